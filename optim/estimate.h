/* The estimator of an optimizer, with the data that the pipeline stores for it. */
#ifndef SWALE_OPTIM_ESTIMATE_H
#define SWALE_OPTIM_ESTIMATE_H

#include "optim/option_values.h"

#include <stddef.h>
#include <string.h>

enum { SWO_SCRATCH = 7, SWO_MEMORIES = 4 };

typedef struct swo_estimate {
    sw_estimate e; /* must be first: swo_estimate_of casts its address */
    swo_values values;
    double resolved[SW_MAX_OPTIONS]; /* values with durations in steps; e.option points to it */
    double scalar[SW_MAX_SCALARS], saved[SW_MAX_SCALARS], saved_lr;
    size_t bytes;
    void *scratch[SWO_SCRATCH];
    int64_t room[SWO_SCRATCH], slot_count[SW_MAX_SLOTS];
    int64_t *ids, ids_room;
    struct swo_estimate *inner;
    unsigned flags;   /* of the method; DIRECT and EXACT only if the inner estimators have them too */
    double norm;      /* of its estimate in this step, if it is inside a wrapper and the method has `fits` */
    bool chose_batch; /* batch=0 was replaced when the objective was bound */
    int64_t shards;   /* of the option; 0: the estimator has none */
    void *shard_work; /* [shard_work_count], for more than one shard */
    int64_t shard_work_count;
    void *memory[SWO_MEMORIES];
    size_t memory_bytes[SWO_MEMORIES];
} swo_estimate;

/* The internal struct of which an sw_estimate is the public part. */
static inline swo_estimate *swo_estimate_of(sw_estimate *e) {
    return (swo_estimate *)(void *)e;
}
static inline const swo_estimate *swo_estimate_of_const(const sw_estimate *e) {
    return (const swo_estimate *)(const void *)e;
}

/* Whether an estimator has this member and it is not NULL. Structs of programs built for earlier versions may end
 * before it. */
#define SWO_ESTIMATOR_HAS(m, member) ((m)->size >= offsetof(sw_estimator, member) + sizeof((m)->member) && (m)->member)
static inline uint32_t swo_whole_scalars(const sw_estimator *m) {
    return SWO_ESTIMATOR_HAS(m, whole_scalars) ? m->whole_scalars : 0;
}
/* Scalar i as a double, also if it is stored as an int64_t. */
static inline double swo_scalar(const double *values, uint32_t whole, int i) {
    int64_t number;
    if (!(whole >> i & 1))
        return values[i];
    memcpy(&number, &values[i], sizeof number);
    return (double)number;
}

/* Computes the estimate at x: that of the method, or of the inner estimator of a wrapper without `estimate`. */
sw_status swo_estimate_compute(sw_estimate *e, const void *x, void *g);

/* Frees an estimate and its inner ones. */
void swo_estimate_free(swo_estimate *e);

#endif
