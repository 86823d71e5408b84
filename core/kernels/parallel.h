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
/* A kernel for each storage type of its elements and each level: [type][level]. SW_KERNEL_TABLE (kernel.h) is an
 * initializer for it. The kernels for f32 and f64 always exist; those for f16 and bf16 are NULL unless the file defines
 * SW_KERNEL_16_BIT (see sw_kernels_take). */
typedef sw_kernel *sw_kernels[SW_FLOAT_TYPES][SW_LEVELS];
/* Whether there is a kernel for elements of a type. */
static inline bool sw_kernels_take(const sw_kernels *kernels, sw_dtype type) {
    return sw_dtype_is_float(type) && (*kernels)[type][0] != NULL;
}
SW_API int sw_cpu_level(void); /* the level in use, 0..SW_LEVELS-1: see sw_cpu_name (library.h) */
/* Whether loops over vectors that are longer than the caches should prefetch later elements: in norms, and in rules
 * with divisions, behind which loads would wait. It saves up to 15 % of a step of Adam on Intel and 3 % on AMD's Zen 5,
 * but costs 15 to 25 % on earlier processors of AMD. Results do not depend on it. */
SW_API bool sw_cpu_needs_prefetch(void);

/* The number of elements in a tile, the unit of elementwise work. It does not depend on the number of threads. */
enum { SW_TILE = 4096 };
/* Below this number of elements one thread does all of the work. */
enum { SW_SERIAL = 4 * SW_TILE };

/* Runs a kernel over [0, n). If n is below SW_SERIAL, the calling thread calls the kernel once for all elements.
 * Otherwise threads share the tiles, and each call of the kernel processes one tile. `type` is the storage type of the
 * elements, for which there must be a kernel. */
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

/* ---- Work items: errors, scratch of each worker, partial sums ---- */

/* The worker that runs a work item. A worker runs one item at a time, and items that run at the same time have
 * different workers. Which worker runs an item is not determined. */
typedef struct sw_worker {
    size_t size;   /* sizeof(sw_worker) of the library */
    int index;     /* of the worker, 0 to count-1 */
    int count;     /* the number of workers of this call, at most sw_threads() */
    void *scratch; /* this worker's memory, aligned to SW_ALIGNMENT; NULL if the call has none */
} sw_worker;
/* A work item, 0 to items-1. To get equal bits for every number of threads, an item must write only to memory that no
 * other item uses, and must not read what an earlier item left in the scratch: its contents are undefined when an item
 * begins. */
typedef sw_status (*sw_work_item)(void *args, int64_t item, sw_worker *worker);

/* Calls work(args, i, worker) for every i in [0, items), on the threads of sw_parallel and by its rules, and returns
 * when all calls have returned. Items may cost different amounts: a thread that has finished takes items from others.
 *
 * `scratch_bytes` is the size of each worker's scratch; 0: none. The function allocates the scratch of all workers, and
 * frees it. For calls at every step use sw_parallel_items_with_scratch.
 *
 * Errors. An item fails as other functions do: it records a message with sw_fail and returns the status. An item that
 * leaves an error pending has failed too. If several items fail, the one with the lowest index counts, whatever the
 * timing of the threads: its status is returned, and its message is recorded for the calling thread. It is possible
 * that items with a higher index than a failed one are not called. A status without a message gets one that names the
 * item; SW_SKIPPED, which is not an error, is returned without a message. Every item begins without a pending error, on
 * the calling thread too. An error that was pending before the call is pending again after it. */
SW_API sw_status sw_parallel_items(sw_work_item work, void *args, int64_t items, size_t scratch_bytes);
/* The same with memory of the caller: `scratch` has `bytes` bytes and is aligned to SW_ALIGNMENT. With
 * sw_parallel_scratch(items, scratch_bytes) bytes, all threads can work; with fewer bytes, as many threads work as the
 * memory suffices for; an error (SW_ERR_ARGUMENT) if it does not suffice for one. Nothing is allocated. */
SW_API sw_status sw_parallel_items_with_scratch(sw_work_item work, void *args, int64_t items, size_t scratch_bytes,
                                                void *scratch, size_t bytes);
/* The bytes of scratch for a call with this number of items: scratch_bytes, rounded up to SW_ALIGNMENT, times the
 * number of workers that it can have with the present number of threads. SIZE_MAX if the result overflows; an
 * allocation of SIZE_MAX bytes always fails. */
SW_API size_t sw_parallel_scratch(int64_t items, size_t scratch_bytes);

/* The index at which part `part` begins if n elements are divided into `parts` contiguous parts, of which the first n %
 * parts have one element more than the others. The part ends at sw_part_begin(n, parts, part + 1). n >= 0, parts >= 1,
 * 0 <= part <= parts. Choose the number of parts by n, never by the number of threads: then the bits of partial sums do
 * not depend on it. */
SW_API int64_t sw_part_begin(int64_t n, int64_t parts, int64_t part);
/* Adds vectors in a fixed order: `vectors` is [count, length] of f32 or f64. The sum is in the first vector afterwards,
 * and the others hold intermediate sums. Vectors are added in pairs, and their sums in pairs again: for 5 vectors,
 * ((v0 + v1) + (v2 + v3)) + v4. The rounding error grows with log2(count). The result has the same bits for every
 * number of threads. */
SW_API void sw_add_vectors(sw_dtype type, void *vectors, int64_t count, int64_t length);

/* ---- Subnormal numbers ---- */

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
