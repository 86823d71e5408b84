/* A walk over the state of an optimizer, for files. */
#ifndef SWALE_OPTIM_CHECKPOINT_WALK_H
#define SWALE_OPTIM_CHECKPOINT_WALK_H

#include "optim/optimizer.h"

/* Numbers that are saved in another form, or are checked before they are set. */
typedef struct swo_counters {
    int64_t seed, n; /* n: samples of the objective; 0: none is bound */
    int64_t steps, skipped, samples, draws, total;
    int64_t epoch, position; /* of the sampler; 0, 0 without one */
} swo_counters;
enum { SWO_COUNTERS = sizeof(swo_counters) / sizeof(int64_t) };

typedef struct swo_piece {
    void *to;
    const void *from;
    size_t bytes;
    bool whole; /* a double in the file, an int64_t in memory */
} swo_piece;

typedef struct swo_walk {
    sw_archive *out;      /* packing; else NULL */
    const sw_archive *in; /* unpacking: */
    swo_piece *piece;     /* what is to be copied, the counters first */
    int pieces, room;
    bool *used; /* [arrays of `in`] */
    sw_error_list faults;
} swo_walk;

sw_status swo_walk_counters(swo_walk *v, swo_counters *counters);
/* The parameters in their element type: a run with others would not be resumed bit for bit. */
sw_status swo_walk_params(swo_walk *v, const sw_params *params);
/* Everything else. The optimizer is only written to by swo_walk_copy. */
sw_status swo_walk_state(swo_walk *v, sw_optim *o, double *norm);
/* Unpacking: copies the pieces from `first` up to `end`. */
void swo_walk_copy(const swo_walk *v, int first, int end);

#endif
