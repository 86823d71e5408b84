/* Kernels over elements, and threads that share tiles of work. Kernels themselves: kernel.h. */
#ifndef SWALE_PARALLEL_H
#define SWALE_PARALLEL_H

#include <swale/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Work on elements [begin, end). `args` is whatever the caller and the kernel agree on. A kernel
 * that reduces adds to sums[0..]; others get NULL. */
typedef void sw_kernel(void *args, int64_t begin, int64_t end, double *sums);

enum { SW_LEVELS = 3 }; /* baseline, avx2, avx512 */
/* One kernel for both element types and every level: SW_KERNEL_TABLE in kernel.h makes it. */
typedef sw_kernel *sw_kernels[2][SW_LEVELS];
SW_API int sw_cpu_level(void); /* 0..SW_LEVELS-1 */

/* Elements in a tile: the grain of elementwise work, whatever the number of threads. */
enum { SW_TILE = 4096 };

/* Runs a kernel over [0, n) in tiles of SW_TILE; threads share the tiles where there are enough. */
SW_API void sw_kernel_run(const sw_kernels *kernels, sw_dtype type, void *args, int64_t n);
/* The same for a kernel with `width` (≤ 8) sums: partial sums per tile, added in order of the tiles,
 * so that the result has the same bits for every number of threads. */
SW_API void sw_kernel_run_sums(const sw_kernels *kernels, sw_dtype type, void *args, int64_t n, int width,
                               double *sums);
/* A kernel over rows of `length` elements: tiles of about SW_TILE elements. `sum`: NULL, or the one sum
 * that the kernel adds to. */
SW_API void sw_kernel_run_rows(sw_kernel *kernel, void *args, int64_t rows, int64_t length, double *sum);
/* Calls work(args, i) for every i in [0, tiles); i to i+1 stay with one thread where possible. The
 * caller takes part. Run serially inside another such call, or when the threads are busy. */
SW_API void sw_parallel(void (*work)(void *args, int64_t tile), void *args, int64_t tiles);

/* From here to sw_subnormals_restore this thread treats subnormal numbers (below 1e-38 in f32) as zero: an
 * operation on one costs a hundred cycles on some processors, and the decaying averages of optimizers
 * are full of them. Returns the mode before. Threads of sw_parallel compute in the caller's mode. */
SW_API unsigned sw_subnormals_flush(void);
SW_API void sw_subnormals_restore(unsigned mode);

#ifdef __cplusplus
}
#endif
#endif
