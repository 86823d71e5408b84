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
    bool whole; /* it is a double in the file and an int64_t in memory */
} swo_piece;

typedef struct swo_walk {
    sw_archive *out;      /* the archive to pack to; NULL when unpacking */
    const sw_archive *in; /* the archive to unpack; NULL when packing */
    swo_piece *piece;     /* unpacking: the pieces to copy, with the counters first */
    int pieces, room;
    bool *used; /* [arrays of `in`] */
    sw_error_list faults;
} swo_walk;

sw_status swo_walk_counters(swo_walk *v, swo_counters *counters);
/* Visits the parameters, whose type must be that in the file: with another type the resumed run would differ. */
sw_status swo_walk_params(swo_walk *v, const sw_params *params);
/* Visits the rest of the state. Only swo_walk_copy writes to the optimizer. */
sw_status swo_walk_state(swo_walk *v, sw_optim *o, double *norm);
/* When unpacking: copies the pieces [first, end) to the optimizer. */
void swo_walk_copy(const swo_walk *v, int first, int end);

#endif
