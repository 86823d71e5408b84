/* Kernels: their level, short runs, runs over rows. */
#ifndef SWALE_KERNELS_DISPATCH_H
#define SWALE_KERNELS_DISPATCH_H

#include <swale/parallel.h>

#include <stdatomic.h>

/* Refuses an SW_CPU or SW_THREADS that means nothing: a run with other kernels or threads than those asked for
 * would not be noticed. Called where a program begins, with its parameters or a tape. */
sw_status swi_check_environment(void);
sw_status swi_check_threads(void); /* thread_pool.c: SW_THREADS */
/* thread_pool.c, for work_items.c. How many threads may share `tiles`. And work(args, i, worker) for every i, on at most
 * that many threads, worker 0 being the caller's; false, and nothing was called, if the caller has to do all the work. */
int swi_parallel_threads(int64_t tiles);
bool swi_parallel_workers(void (*work)(void *args, int64_t tile, int worker), void *args, int64_t tiles, int threads);
int swi_cpu_best(void);      /* level of this processor, whatever SW_CPU says */
extern atomic_int swi_level; /* of the kernels; -1 before the first question */
static inline int swi_cpu_level(void) {
    int level = atomic_load_explicit(&swi_level, memory_order_relaxed);
    return level >= 0 ? level : sw_cpu_level();
}
/* sw_kernel_run, without a call where there is one tile's work or little more. */
static inline void swi_run(const sw_kernels *kernels, sw_dtype type, void *args, int64_t n) {
    if (n < SW_SERIAL)
        (*kernels)[type][swi_cpu_level()](args, 0, n, NULL);
    else
        sw_kernel_run(kernels, type, args, n);
}

#endif
