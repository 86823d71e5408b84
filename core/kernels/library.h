/* Information about the library, and its threads: version, build, instruction set of the kernels, OpenBLAS. */
#ifndef SWALE_LIBRARY_H
#define SWALE_LIBRARY_H

#include <swale/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library: "0.2.0". */
SW_API const char *sw_version(void);
/* One line with the version, the compiler, the kernel level, and the OpenBLAS library with its core. The text is valid
 * until the next call by this thread. */
SW_API const char *sw_build_info(void);
/* The kernel level in use: "baseline", "avx2", "avx512", or one of two that are avx512 with instructions for products
 * of bf16: "avx512bf16" in vectors, "amx" in tiles. The default is the fastest level of the processor; avx512bf16 is
 * the default only on AMD processors, because these instructions are slower than f32 on Intel processors. Results do
 * not depend on the level, except that amx changes the default order of additions in products of bf16 (sw_bf16_order in
 * gemm.h). The environment variable SW_CPU=<level> selects another level; if the processor does not have it, the best
 * one that it has. If SW_CPU has another value, sw_params_new and sw_tape_new fail. */
SW_API const char *sw_cpu_name(void);
/* The processor type whose kernels OpenBLAS uses: "SkylakeX", for example. An OpenBLAS that is older than the processor
 * may choose the slower kernels of a processor without AVX2. In this case swale makes OpenBLAS choose again before
 * main, unless the environment variable OPENBLAS_CORETYPE is set. If dlopen loads swale into a process that already has
 * other threads, swale does not correct the choice, because those threads may be inside OpenBLAS. For such a process
 * set OPENBLAS_CORETYPE before the program starts. */
SW_API const char *sw_blas_core(void);

/* The number of threads that kernels may use, 1 to 64. The default is the environment variable SW_THREADS (more than 64
 * count as 64), or the number of processors on which this process may run. If SW_THREADS is not a positive integer (0,
 * -2, "all"), sw_params_new and sw_tape_new fail until the program calls sw_set_threads. Results have the same bits for
 * every number of threads. sw_set_threads must not be called while another thread computes; a number out of range, and
 * a call from inside sw_parallel, are errors.
 *
 * OpenBLAS computes on the calling thread only:
 *   - OpenBLAS with POSIX threads is set to one thread for the whole process at the first matrix product.
 *   - OpenBLAS with OpenMP is set to one thread around each product; omp_get_max_threads keeps its value.
 *   - OpenBLAS without threads (and therefore without locks) computes one product at a time.
 * The library's threads block all signals except those that report their own faults (SIGSEGV and others). They end at
 * dlclose. At exit, and before fork, the library waits for products that are being computed. */
SW_API sw_status sw_set_threads(int threads);
SW_API int sw_threads(void);

#ifdef __cplusplus
}
#endif
#endif
