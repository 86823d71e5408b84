/* Calls of OpenBLAS from this library's files: what must surround them. For core, and for folders that call
 * LAPACK themselves.
 *
 *     if (swi_blas_ready(1) == 0)
 *         return SW_ERR_MEMORY;
 *     swi_blas_call call = swi_blas_enter();
 *     dgeqrf_(...);
 *     swi_blas_leave(call);
 */
#ifndef SWALE_BLAS_H
#define SWALE_BLAS_H

#include "extend.h"

/* Obtains the memory that OpenBLAS works in (SWI_BLAS_BUFFER bytes for each thread), for this thread and for
 * threads - 1 workers of the pool. Returns how many threads may call OpenBLAS at once, 1 to `threads`; 0 and
 * an error of status SW_ERR_MEMORY if not even this thread may. OpenBLAS itself would try for ever. */
int swi_blas_ready(int threads);

/* What OpenBLAS maps for each thread that computes, on x86-64; less elsewhere. */
#define SWI_BLAS_BUFFER ((size_t)128 << 20)

typedef struct swi_blas_call {
    struct swi_blas_caller *caller;
    int omp_threads; /* of this thread, to be set again; 0: not changed */
} swi_blas_call;

/* Between the two calls OpenBLAS computes on this thread alone, whichever way it is built: with POSIX
 * threads, with OpenMP, or without threads (such a build is not safe for several threads, so calls take
 * turns). Not to be nested. In between, neither fork nor the end of the process takes OpenBLAS's memory away:
 * both wait for swi_blas_leave. */
swi_blas_call swi_blas_enter(void);
void swi_blas_leave(swi_blas_call call);

/* sw_parallel for tiles that multiply, on those threads for which there is memory. */
sw_status swi_blas_parallel(void (*work)(void *args, int64_t tile), void *args, int64_t tiles);

/* This thread is worker `index` (1 and on) of the pool. */
void swi_blas_worker(int index);
/* The library is unloaded or the process ends: waits for the calls under way. Other threads that would begin
 * one afterwards sleep until the process has ended. */
void swi_blas_close(void);

#endif
