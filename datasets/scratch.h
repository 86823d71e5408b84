/* Scratch memory for threads that gather. */
#ifndef SWALE_DATASETS_SCRATCH_H
#define SWALE_DATASETS_SCRATCH_H

#include <swale/memory.h>

#include <stdatomic.h>

/* Blocks of equal size: one for each of the 64 threads of core, and two for the threads of loaders. */
enum { SWD_SCRATCHES = 66 };
typedef struct swd_scratch {
    size_t bytes;
    _Atomic(void *) block[SWD_SCRATCHES]; /* NULL: not allocated, or in use */
} swd_scratch;
sw_status swd_scratch_init(swd_scratch *scratch, size_t bytes);
void swd_scratch_free(swd_scratch *scratch);
void *swd_scratch_take(swd_scratch *scratch); /* NULL and an error */
void swd_scratch_release(swd_scratch *scratch, void *block);

#endif
