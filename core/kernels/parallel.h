/* Running kernels over the elements of arrays, and sharing work among the library's threads. kernel.h explains how to
 * write kernels.
 *
 *     static const sw_kernels square_kernels = SW_KERNEL_TABLE(square);
 *     sw_kernel_run(&square_kernels, SW_F32, &args, n);
 */
#ifndef SWALE_PARALLEL_H
#define SWALE_PARALLEL_H

#include <swale/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Kernels ---- */

/* A kernel processes the elements [begin, end). `args` points to the arguments, a struct of any type. A kernel that
 * computes sums adds to sums[0], sums[1], …; for other kernels sums is NULL. */
typedef void sw_kernel(void *args, int64_t begin, int64_t end, double *sums);

enum { SW_LEVELS = 3 }; /* baseline, avx2, avx512 */
/* A kernel for both element types and every level: [type][level]. SW_KERNEL_TABLE (kernel.h) is an initializer for
 * it. */
typedef sw_kernel *sw_kernels[2][SW_LEVELS];
SW_API int sw_cpu_level(void); /* the level in use, 0..SW_LEVELS-1: see sw_cpu_name (library.h) */

/* The number of elements in a tile, the unit of elementwise work. It does not depend on the number of threads. */
enum { SW_TILE = 4096 };
/* Below this number of elements one thread does all of the work. */
enum { SW_SERIAL = 4 * SW_TILE };

/* Runs a kernel over [0, n). If n is below SW_SERIAL, the calling thread calls the kernel once for all elements.
 * Otherwise threads share the tiles, and each call of the kernel processes one tile. `type` is f32 or f64. */
SW_API void sw_kernel_run(const sw_kernels *kernels, sw_dtype type, void *args, int64_t n);
/* Runs a kernel that computes `width` sums (at most 8) over [0, n). Each tile has separate partial sums, which are
 * added in the order of the tiles. Therefore the result, in sums[width], has the same bits for every number of
 * threads. */
SW_API void sw_kernel_run_sums(const sw_kernels *kernels, sw_dtype type, void *args, int64_t n, int width,
                               double *sums);
/* Runs a kernel over rows of `length` elements; begin and end of the kernel count rows. A tile has about SW_TILE
 * elements. `sum` is NULL, or receives the one sum that the kernel computes, as in sw_kernel_run_sums. */
SW_API void sw_kernel_run_rows(sw_kernel *kernel, void *args, int64_t rows, int64_t length, double *sum);

/* ---- Threads ---- */

/* Calls work(args, i) for every i in [0, tiles), on the library's threads and the calling thread, and returns when all
 * calls have returned. Consecutive i run on the same thread if possible. Inside another call of sw_parallel, and while
 * another thread uses the library's threads, the calling thread does all the work. */
SW_API void sw_parallel(void (*work)(void *args, int64_t tile), void *args, int64_t tiles);

/* From sw_subnormals_flush until sw_subnormals_restore, this thread treats subnormal numbers (below 1e-38 in f32) as
 * zero. An operation on a subnormal number takes a hundred cycles on some processors, and the decaying averages of
 * optimizers contain many of them. sw_subnormals_flush returns the previous mode of arithmetic, which the program
 * passes to sw_subnormals_restore. Threads of sw_parallel compute in the mode of the caller. Both functions do nothing
 * on processors other than x86-64 and AArch64. */
SW_API unsigned sw_subnormals_flush(void);
SW_API void sw_subnormals_restore(unsigned mode);

#ifdef __cplusplus
}
#endif
#endif
