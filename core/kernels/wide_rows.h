/* Rows of f16 and bf16 for kernels of f32: blocks of rows are converted to f32, the kernel runs on the block, and what
 * it writes is rounded once. A kernel that is written for f32 and f64 alone (without SW_KERNEL_16_BIT, see kernel.h)
 * can thus compute on 16-bit tensors, and may store intermediate results in its output, in f32. The results have the
 * bits of the kernel on whole arrays in f32, rounded once.
 *
 *     typedef struct center_args { const void *x; void *out; int64_t n; } center_args;   // out = x - mean, row by row
 *
 *     const center_args args = {x, out, n};
 *     const sw_wide_array arrays[] = {sw_wide_array_of(offsetof(center_args, x), SW_F16, false, n),
 *                                     sw_wide_array_of(offsetof(center_args, out), SW_F16, true, n)};
 *     const sw_wide_rows job = {.size = sizeof job, .kernels = &center_kernels, .args = &args, .bytes = sizeof args,
 *                               .type = SW_F16, .array = arrays, .arrays = 2, .rows = rows, .length = n};
 *     const size_t bytes = sw_wide_rows_scratch(&job);
 *     return sw_wide_rows_run(&job, NULL, bytes ? sw_call_scratch(call, bytes) : NULL, bytes);
 */
#ifndef SWALE_WIDE_ROWS_H
#define SWALE_WIDE_ROWS_H

#include <swale/parallel.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Limits of a job: bytes of the arguments, arrays, and arrays that are converted. */
enum { SW_WIDE_ARGS = 256, SW_WIDE_ARRAYS = 8, SW_WIDE_CONVERTED = 4 };

/* What is done with an array before and after each block. */
typedef enum sw_wide_use {
    SW_WIDE_ROWS = 0, /* nothing: the kernel reads or writes the rows in place, in any type */
    SW_WIDE_READ,     /* f16 or bf16: the kernel reads an f32 copy */
    SW_WIDE_WRITTEN   /* f16 or bf16: the kernel writes all elements in f32, which are rounded */
} sw_wide_use;

/* An array with as many rows as the job, to which a member of the arguments points. A NULL pointer stays NULL. Arrays
 * that are not listed, such as weights that all rows share, are passed to the kernel unchanged. */
typedef struct sw_wide_array {
    size_t member; /* offsetof(struct of the arguments, pointer) */
    sw_wide_use use;
    int64_t row; /* from row to row, in bytes for SW_WIDE_ROWS, else in elements: at most `length` of the job, or 1 */
} sw_wide_array;

/* An array of `type` with `row` elements in each row. */
static inline sw_wide_array sw_wide_array_of(size_t member, sw_dtype type, bool written, int64_t row) {
    const bool wide = sw_dtype_compute(type) != type;
    sw_wide_array a;
    a.member = member;
    a.use = !wide ? SW_WIDE_ROWS : written ? SW_WIDE_WRITTEN : SW_WIDE_READ;
    a.row = wide ? row : row * (int64_t)sw_dtype_size(type);
    return a;
}

/* A run of a kernel over rows. The kernel must use the index of a row only to find its elements in these arrays,
 * because it runs on the rows [0, k) of each block, with a copy of the arguments that points to the block. Elements are
 * rows of length 1. */
typedef struct sw_wide_rows {
    size_t size;               /* sizeof(sw_wide_rows) */
    const sw_kernels *kernels; /* those for f32 run */
    const void *args;
    size_t bytes;  /* of the arguments, at most SW_WIDE_ARGS */
    sw_dtype type; /* of the arrays that are converted: f16 or bf16 */
    const sw_wide_array *array;
    int arrays;
    int64_t rows, length; /* as in sw_kernel_run_rows, which determines the tiles */
} sw_wide_rows;

/* The bytes of scratch that a run needs: 0 if a row has at most SW_TILE elements, because its blocks are on the stack;
 * else room for one row of each converted array and each thread. */
SW_API size_t sw_wide_rows_scratch(const sw_wide_rows *job);
/* Runs the kernel over all rows. `sum` is NULL, or receives the sum that the kernel computes, as in sw_kernel_run_rows.
 * `scratch` has `bytes` bytes, as many as sw_wide_rows_scratch returned, and is aligned to SW_ALIGNMENT. Nothing is
 * allocated, and only the rows that threads work on are in memory as f32. SW_ERR_TYPE if the type is not f16 or bf16;
 * SW_ERR_ARGUMENT if the job exceeds a limit above; SW_ERR_MEMORY, without a message, if scratch is needed and NULL,
 * because the function that returned NULL has recorded the error. */
SW_API sw_status sw_wide_rows_run(const sw_wide_rows *job, double *sum, void *scratch, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
