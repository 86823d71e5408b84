/* The library itself: version, build, kernel level, BLAS, threads. */
#ifndef SWALE_LIBRARY_H
#define SWALE_LIBRARY_H

#include <swale/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0" */
SW_API const char *sw_version(void);
/* One line: version, compiler, kernel level, BLAS library and its core. Until this thread's next call. */
SW_API const char *sw_build_info(void);
/* Kernel level in use: "baseline", "avx2" or "avx512". SW_CPU=<level> in the environment lowers it; with another
 * value sw_params_new and sw_tape_new fail. */
SW_API const char *sw_cpu_name(void);
/* "SkylakeX" and the like: the kernels that OpenBLAS uses. If OpenBLAS has taken a processor that is newer
 * than itself for one without AVX2, swale makes it choose again before main, unless OPENBLAS_CORETYPE is set.
 * If dlopen loads swale into a process that already has threads, the choice is not corrected, because those
 * threads may be inside OpenBLAS. In that case set OPENBLAS_CORETYPE before the program starts. */
SW_API const char *sw_blas_core(void);

/* Number of threads that kernels may use, 1 to 64; also the environment variable SW_THREADS, where more than 64
 * count as 64. If SW_THREADS is something else (0, -2, "all"), sw_params_new and sw_tape_new fail until the
 * program calls sw_set_threads. The default is the number of processors this process may run on. Results have the
 * same bits for every number. Not to be called while another thread computes.
 * OpenBLAS computes on the calling thread alone:
 *   - OpenBLAS with POSIX threads: set to one thread for the whole process at the first product.
 *   - With OpenMP: set to one thread around each product; omp_get_max_threads keeps its value.
 *   - Without threads (and so without locks): products run one at a time.
 * Threads of the library block all signals but those of their own faults (SIGSEGV and the like). They end
 * with dlclose; at exit, and before fork, products under way are waited for. */
SW_API sw_status sw_set_threads(int threads);
SW_API int sw_threads(void);

#ifdef __cplusplus
}
#endif
#endif
