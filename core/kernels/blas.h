/* Direct calls of OpenBLAS and LAPACK: the functions that must surround them. For matrix products use sw_gemm (gemm.h),
 * which does this itself.
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

/* Obtains the memory in which OpenBLAS computes: SW_BLAS_BUFFER bytes for each of up to `threads` simultaneous calls.
 * Returns how many threads may call OpenBLAS at the same time, 1 to `threads`; 0 and an error (SW_ERR_MEMORY) if there
 * is not enough memory for one call. (Without this function OpenBLAS would try forever to get the memory.) */
SW_API int sw_blas_ready(int threads);

/* How many such buffers swale has made OpenBLAS map so far. */
SW_API int sw_blas_buffers(void);
/* The address space that OpenBLAS maps for each simultaneous call on x86-64; less on other processors. */
#define SW_BLAS_BUFFER ((size_t)128 << 20)

/* The state that sw_blas_leave restores. */
typedef struct sw_blas_call {
    struct sw_blas_caller *caller;
    int omp_threads; /* the number of OpenMP threads to restore; 0: not changed */
    bool has_mutex;  /* this call holds the mutex of blas_call.c until sw_blas_leave */
} sw_blas_call;

/* Begin and end calls of OpenBLAS by this thread. Between the two, OpenBLAS computes on this thread only, whether it
 * was built with POSIX threads, with OpenMP, or without threads. (A build without threads is not thread-safe; therefore
 * only one thread at a time may call it.) Call sw_blas_ready first. If other threads use all the memory,
 * sw_blas_enter waits until one of them leaves. Calls must not be nested. A fork, and the end of the process, wait for
 * sw_blas_leave, so that they do not release OpenBLAS's memory while it is in use. */
SW_API sw_blas_call sw_blas_enter(void);
SW_API void sw_blas_leave(sw_blas_call call);

/* As sw_parallel (parallel.h), for work that calls OpenBLAS between sw_blas_enter and sw_blas_leave. If there is not
 * enough memory for every thread, the calling thread does all the work. SW_ERR_MEMORY if there is not enough memory for
 * one thread. */
SW_API sw_status sw_blas_parallel(void (*work)(void *args, int64_t tile), void *args, int64_t tiles);

#ifdef __cplusplus
}
#endif
#endif
