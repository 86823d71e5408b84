/* The level of the kernels, and a fast path for short vectors. */
#ifndef SWALE_KERNELS_DISPATCH_H
#define SWALE_KERNELS_DISPATCH_H

#include <swale/parallel.h>

#include "core/base/dry_run_state.h"

#include <stdatomic.h>

/* An error if SW_CPU, SW_BF16_PRODUCTS or SW_THREADS has an invalid value, because the program would otherwise run with
 * unexpected kernels or threads, and nobody would notice. sw_params_new and sw_tape_new call it (environment.c). */
sw_status swi_check_environment(void);
sw_status swi_check_level(void);   /* checks SW_CPU (parallel.c) */
sw_status swi_check_threads(void); /* checks SW_THREADS (thread_pool.c) */
/* The number of threads that may share `tiles` (thread_pool.c). */
int swi_parallel_threads(int64_t tiles);
/* Calls work(args, i, worker) for every i in [0, tiles) on at most that many threads; worker 0 is the calling thread.
 * Returns false, and calls nothing, if the calling thread has to do all the work (thread_pool.c). */
bool swi_parallel_workers(void (*work)(void *args, int64_t tile, int worker), void *args, int64_t tiles, int threads);
int swi_cpu_best(void);      /* the best level of this processor, independent of SW_CPU */
extern atomic_int swi_level; /* the level of the kernels; -1 before the first call of sw_cpu_level */
static inline int swi_cpu_level(void) {
    int level = atomic_load_explicit(&swi_level, memory_order_relaxed);
    return level >= 0 ? level : sw_cpu_level();
}
/* Instructions beyond the level. Those of AMX change the default order of additions in products of bf16 (gemm.h); the
 * others do not change results. */
enum {
    SWI_CPU_F16C = 1, /* conversions of f16; at level avx2 or higher */
    SWI_CPU_BF16 = 2, /* products of bf16 in vectors; at level avx512 */
    SWI_CPU_AMX = 4   /* products of bf16 in tiles; at level avx512 */
};
int swi_cpu_instructions(void);     /* those of this processor, added; independent of SW_CPU */
extern atomic_int swi_instructions; /* those in use, added; valid after the first call of sw_cpu_level */
static inline bool swi_cpu_has(int instruction) {
    int level = atomic_load_explicit(&swi_level, memory_order_acquire);
    level = level >= 0 ? level : sw_cpu_level();
    return level >= (instruction == SWI_CPU_F16C ? 1 : 2) &&
           (atomic_load_explicit(&swi_instructions, memory_order_relaxed) & instruction);
}
/* As sw_kernel_run. Below SW_SERIAL elements it calls the kernel directly. */
static inline void swi_run(const sw_kernels *kernels, sw_dtype type, void *args, int64_t n) {
    if (n < SW_SERIAL)
        (*kernels)[type][swi_cpu_level()](args, 0, n, NULL);
    else
        sw_kernel_run(kernels, type, args, n);
}

#endif
