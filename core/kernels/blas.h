/* Calls of OpenBLAS and LAPACK: what must surround them.
 *
 *     if (sw_blas_ready(1) == 0)
 *         return SW_ERR_MEMORY;
 *     sw_blas_call call = sw_blas_enter();
 *     dgeqrf_(...);
 *     sw_blas_leave(call);
 */
#ifndef SWALE_BLAS_H
#define SWALE_BLAS_H

#include <swale/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Obtains the memory that OpenBLAS works in: SW_BLAS_BUFFER bytes for each call under way at once. Returns
 * how many threads may call OpenBLAS at once, 1 to `threads`; 0 and an error of status SW_ERR_MEMORY if there
 * is memory for none. OpenBLAS itself would try for ever. */
SW_API int sw_blas_ready(int threads);

/* What OpenBLAS maps for each call under way at once, on x86-64; less elsewhere. */
#define SW_BLAS_BUFFER ((size_t)128 << 20)

typedef struct sw_blas_call {
    struct sw_blas_caller *caller;
    int omp_threads; /* of this thread, to be set again; 0: not changed */
    bool has_mutex;  /* of blas_call.c, until sw_blas_leave */
} sw_blas_call;

/* Between the two calls OpenBLAS computes on this thread alone, whichever way it is built: with POSIX
 * threads, with OpenMP, or without threads (such a build is not safe for several threads, so calls take
 * turns). Call sw_blas_ready first. If other threads are using all the memory, the call waits until one of
 * them leaves. Not to be nested. In between, neither fork nor the end of the process takes OpenBLAS's memory
 * away: both wait for sw_blas_leave. */
SW_API sw_blas_call sw_blas_enter(void);
SW_API void sw_blas_leave(sw_blas_call call);

/* sw_parallel for tiles that multiply, on those threads for which there is memory. */
SW_API sw_status sw_blas_parallel(void (*work)(void *args, int64_t tile), void *args, int64_t tiles);

#ifdef __cplusplus
}
#endif
#endif
