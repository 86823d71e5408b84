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

/* Obtains the memory that OpenBLAS works in: SWI_BLAS_BUFFER bytes for each call under way at once. Returns
 * how many threads may call OpenBLAS at once, 1 to `threads`; 0 and an error of status SW_ERR_MEMORY if there
 * is memory for none. OpenBLAS itself would try for ever. */
int swi_blas_ready(int threads);

/* What OpenBLAS maps for each call under way at once, on x86-64; less elsewhere. */
#define SWI_BLAS_BUFFER ((size_t)128 << 20)

typedef struct swi_blas_call {
    struct swi_blas_caller *caller;
    int omp_threads; /* of this thread, to be set again; 0: not changed */
    bool has_mutex;  /* of blas_call.c, until swi_blas_leave */
} swi_blas_call;

/* Between the two calls OpenBLAS computes on this thread alone, whichever way it is built: with POSIX
 * threads, with OpenMP, or without threads (such a build is not safe for several threads, so calls take
 * turns). Call swi_blas_ready first. If other threads are using all the memory, the call waits until one of
 * them leaves. Not to be nested. In between, neither fork nor the end of the process takes OpenBLAS's memory
 * away: both wait for swi_blas_leave. */
swi_blas_call swi_blas_enter(void);
void swi_blas_leave(swi_blas_call call);

/* sw_parallel for tiles that multiply, on those threads for which there is memory. */
sw_status swi_blas_parallel(void (*work)(void *args, int64_t tile), void *args, int64_t tiles);

/* The library is unloaded or the process ends: waits for the calls under way. Other threads that would begin
 * one afterwards sleep until the process has ended. */
void swi_blas_close(void);

#endif
