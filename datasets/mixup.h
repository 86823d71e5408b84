/* Mixup: convex combinations of two samples and of their targets (Zhang, Cisse, Dauphin, Lopez-Paz, ICLR 2018). */
#ifndef SWALE_DATASETS_MIXUP_H
#define SWALE_DATASETS_MIXUP_H

#include <swale/random.h>
#include <swale/source.h>

typedef struct swd_mixup {
    double alpha; /* 0: no mixup */
    uint64_t key;
    const sw_source *inner; /* of the samples that are mixed */
} swd_mixup;

/* The result of a sample is weight·sample + (1 - weight)·partner. */
typedef struct swd_mixture {
    int64_t partner;
    double weight;
} swd_mixture;

/* The partner, which has the uniform distribution over all samples, and the weight, which has the distribution
 * Beta(α, α), as a function of the key, the id and the draw. */
swd_mixture swd_mixup_draw(const swd_mixup *mixup, int64_t id, uint64_t draw);
/* a ← weight a + (1 - weight) b, for `count` numbers of type f32 or f64. */
void swd_mixup_combine(sw_dtype type, double weight, int64_t count, void *a, const void *b);
/* Sets the shape of the targets of a source that mixes: for class ids, distributions over the classes. */
sw_status swd_mixup_set_targets(sw_source *out);
/* Gathers the mixed target of a sample. other: memory for a target of the inner source. */
sw_status swd_mixup_target(const swd_mixup *mixup, int64_t id, uint64_t draw, sw_dtype type, void *y, void *other);

#endif
