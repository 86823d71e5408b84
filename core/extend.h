/* swale core, for those who write custom operations, layers, rules and estimators: memory,
 * kernels and threads, products, and the contract of an operation. The library's own operations are
 * written against this header alone.
 */
#ifndef SWALE_EXTEND_H
#define SWALE_EXTEND_H

#include "core.h"

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `SW_TRY(call)`: returns the status of a failing call. */
#define SW_TRY(call)                      \
    do {                                  \
        sw_status sw_try_status = (call); \
        if (sw_try_status != SW_OK)       \
            return sw_try_status;         \
    } while (0)

/* ---- Failures -------------------------------------------------------------------------------- */
/* A function returns the status of its own failure, also while an earlier error is pending, whose message is
 * the one that stays. sw_error_status() is the status of that message, so it does not serve for this.
 *
 *     const uint64_t before = sw_failure_count();
 *     sw_tensor t = users_function(...);
 *     if (sw_is_null(t))
 *         return sw_failure_count() != before ? sw_last_failure() : sw_fail(SW_ERR_USER, "... a null tensor");
 */

/* How many failures this thread has recorded by sw_fail, whether or not the message was kept. */
SW_API uint64_t sw_failure_count(void);
/* The status of the latest of them: what a function returns when a function it called has just failed. */
SW_API sw_status sw_last_failure(void);

/* ---- Messages -------------------------------------------------------------------------------- */

/* "[64,784]", in a buffer that stays valid for the next few calls of this thread. */
SW_API const char *sw_shape_text(int rank, const int64_t *shape);
/* ", did you mean NAME?" with the nearest of the names (upper and lower case count as equal), or "" if none
 * is near; until this thread's next call. */
SW_API const char *sw_suggest(const char *word, int count, const char *const *names);

/* Faults that are reported in one message: "a is missing; b is [2] here and [3] in the file; … and 12 more".
 * Starts as {0}; goes into a message of sw_fail as its text. */
typedef struct sw_error_list {
    int count, told;
    size_t used;
    char text[2000];
} sw_error_list;
SW_API void sw_error_list_add(sw_error_list *faults, const char *format, ...) SW_PRINTF(2, 3);
SW_API const char *sw_error_list_text(sw_error_list *faults);

/* ---- Numbers and texts ----------------------------------------------------------------------- */
/* Text that is read again, written to a file or shown in a message is the same in every locale: all numbers go
 * through these functions, which write and expect a point, as in the locale "C". */

/* strtod, with its `end`, which may be NULL. */
SW_API double sw_parse_number(const char *text, char **end);
/* The shortest text of 15 to 17 digits that sw_parse_number turns into the same number. Returns `text`. */
SW_API const char *sw_format_number(double value, char text[32]);
/* snprintf and vsnprintf. */
SW_API int sw_format(char *out, size_t size, const char *format, ...) SW_PRINTF(3, 4);
SW_API int sw_vformat(char *out, size_t size, const char *format, va_list list) SW_PRINTF(3, 0);
/* Between these two calls the calling thread uses the locale "C", for text printed to a FILE. Pass the result
 * of sw_locale_begin to sw_locale_end. */
SW_API void *sw_locale_begin(void);
SW_API void sw_locale_end(void *before);

/* ---- Files ----------------------------------------------------------------------------------- */

/* Writes a whole file as sw_archive_save does: under the path is the old file or the new one, whole. */
SW_API sw_status sw_file_replace(const char *path, const void *bytes, size_t count);
/* Like sw_file_replace, but a device or a pipe is opened and written to directly. */
SW_API sw_status sw_file_write(const char *path, const void *bytes, size_t count);
/* Opens a regular file for reading, with its length in bytes. Returns its descriptor, to be closed by close();
 * -1 and an error for anything else. A pipe, a device or a folder is refused at once, without waiting for a
 * writer; /dev/stdin is read if it is redirected from a file. */
SW_API int sw_file_open(const char *path, int64_t *bytes);

/* ---- Options --------------------------------------------------------------------------------- */

/* Puts a caller's options, a struct whose first member is its size, over the defaults in `options`
 * (`size` bytes): as many bytes as the caller has, so that a program compiled before an option was added
 * still works. Refuses a size below `least`, that of the first version, or above `size`. who and type are
 * for the message: "optimizer: options.size is 0; sizeof(sw_optim_options) is 72". */
SW_API sw_status sw_options_copy(const char *who, const char *type, void *options, size_t size, const void *given,
                                 size_t least);

/* ---- Time ------------------------------------------------------------------------------------ */

/* Seconds of a clock that only goes forward, from an arbitrary start. */
SW_API double sw_seconds(void);

/* ---- Memory ---------------------------------------------------------------------------------- */

/* Zeroed memory, aligned to 64 bytes, from the one allocation point; NULL and an error if there is
 * none. Freed by sw_free, which accepts NULL. bytes 0 gives a valid pointer. */
SW_API void *sw_alloc(size_t bytes);
/* count × size with the product checked. */
SW_API void *sw_alloc_array(int64_t count, size_t size);
SW_API void sw_free(void *memory);
/* A copy of a string, NULL for NULL. */
SW_API char *sw_strdup(const char *string);

/* ---- Lifetimes ------------------------------------------------------------------------------- */

/* Call this first in the free function of an object made by sw_alloc, before reading its fields. Returns true
 * if the object may be freed; false, and an error that names the kind ("tape"), if an object of this kind at
 * this address was freed before and its memory was not reused. Older ones among thousands of freed objects may
 * not be recognized. */
SW_API bool sw_may_free(const void *object, const char *kind);

/* Embed one in each object that reads a source and has its own free function. Initialize it with zeros. */
typedef struct sw_source_hold {
    sw_source *source; /* NULL: nothing is held */
    bool freed;        /* sw_source_free was called meanwhile */
    struct sw_source_hold *next;
} sw_source_hold;
/* Keeps the source alive until the release, in spite of sw_source_free (called later, or before while another
 * hold keeps the source). `hold` is not moved meanwhile. */
SW_API void sw_source_retain(sw_source_hold *hold, const sw_source *source);
/* The last release after sw_source_free frees the source. Does nothing if the hold is all zeros. */
SW_API void sw_source_release(sw_source_hold *hold);

/* ---- Kernels and threads --------------------------------------------------------------------- */

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
/* Calls work(args, i) for every i in [0, tiles); i to i+1 stay with one thread where possible. The
 * caller takes part. Run serially inside another such call, or when the threads are busy. */
SW_API void sw_parallel(void (*work)(void *args, int64_t tile), void *args, int64_t tiles);

/* From here to sw_subnormals_restore this thread treats subnormal numbers (below 1e-38 in f32) as zero: an
 * operation on one costs a hundred cycles on some processors, and the decaying averages of optimizers
 * are full of them. Returns the mode before. Threads of sw_parallel compute in the caller's mode. */
SW_API unsigned sw_subnormals_flush(void);
SW_API void sw_subnormals_restore(unsigned mode);

/* C[M,N] = alpha·op(A)·op(B) + beta·C, row-major, in f32 or f64, through OpenBLAS on one thread for
 * each tile; tiles depend on M, N, K and the transpositions alone, and threads share them. lda, ldb,
 * ldc: elements between rows as stored. K = 0 gives beta·C, and 0 for beta = 0. Lengths and strides
 * below 2^31. In f32, sums longer than 16384 are made of parts that are added in f64: a relative error of 1e-5 for
 * terms of one sign and any K. Shorter ones are OpenBLAS's, with an error of at most K 2^-24 Σ|a||b|.
 * SW_ERR_MEMORY, with C as it was, if OpenBLAS cannot have the 128 MiB of address space that
 * it needs. If there is not enough address space for every thread, the calling thread computes all tiles. */
SW_API sw_status sw_gemm(sw_dtype type, bool a_transposed, bool b_transposed, int64_t M, int64_t N, int64_t K,
                         double alpha, const void *A, int64_t lda, const void *B, int64_t ldb, double beta, void *C,
                         int64_t ldc);

/* ---- Operations ------------------------------------------------------------------------------ */

/* A tensor as an operation sees it. */
typedef struct sw_view {
    void *data;
    const int64_t *shape;
    int64_t count;
    int32_t rank;
    sw_dtype type;
} sw_view;

typedef struct sw_op sw_op;

/* One call of an operation. In `shape`, out has no data yet. */
typedef struct sw_call {
    const sw_op *op;
    sw_tape *tape;
    const void *attributes; /* the tape's copy of what sw_apply was given */
    int inputs;
    const sw_view *const *in; /* [inputs] */
    sw_view *out;
    void *saved;           /* memory asked for by sw_call_save, kept from forward to vjp */
    const void *cotangent; /* vjp: gradient of the loss by out, like out; else NULL */
    void *engine;
} sw_call;

/* An operation: a constant that tensors' nodes point to. Built-in and users' are the same thing. */
struct sw_op {
    size_t size; /* sizeof(sw_op) */
    const char *name;
    /* Checks the inputs and sets out's type and shape by one of the sw_shape_ functions, or fails. */
    sw_status (*shape)(sw_call *call);
    /* Fills out->data. Never reads what an input's shape does not allow. */
    sw_status (*forward)(sw_call *call);
    /* For each input i for which sw_call_wants_grad(call, i): either fills all of sw_call_grad(call, i), in the
     * shape of the input (of the output, if `broadcasts`), or calls sw_call_pass_grad(call, i). Never
     * accumulates, never reduces broadcast axes: the engine does. NULL: no derivative; gradients end
     * here, as at sw_detach. */
    sw_status (*vjp)(sw_call *call);
    unsigned vjp_reads; /* SW_READS(i) for each input whose values the vjp reads, SW_READS_OUT */
    bool broadcasts;    /* inputs are broadcast to the shape of the output */
    bool is_view;       /* out has the elements of input 0, in place; forward is NULL */
};
#define SW_READS(input) (1u << (input)) /* 0 to 30; 30 stands for all inputs from there on */
#define SW_READS_OUT (1u << 31)

/* Runs an operation on `count` inputs of one tape. `attributes` are copied, `bytes` of them. */
SW_API sw_tensor sw_apply(const sw_op *op, const void *attributes, size_t bytes, int count, const sw_tensor *inputs);

/* For `shape`: */
SW_API sw_status sw_call_set_shape(sw_call *call, sw_dtype type, int rank, const int64_t *shape);
SW_API sw_status sw_call_set_shape_like(sw_call *call, int input); /* type and shape of an input */
SW_API sw_status sw_call_set_shape_broadcast(sw_call *call);       /* of all inputs together, types equal */
SW_API sw_status sw_call_check_real(sw_call *call);                /* all inputs f32, or all f64 */
/* Memory that lives as long as out and that forward hands to vjp (as call->saved); NULL and an error
 * if there is none. May be asked for in `shape` or `forward`, once. */
SW_API void *sw_call_save(sw_call *call, size_t bytes);
/* For `forward` of a loss: out is a mean that was divided by `weight` (finite, ≥ 0), or a sum (SW_SUMMED).
 * Without it, out has the weight of its inputs: see Means over parts in core.h. */
SW_API sw_status sw_call_set_weight(sw_call *call, double weight);
/* Memory for the duration of this call; up to 4 blocks. */
SW_API void *sw_call_scratch(sw_call *call, size_t bytes);

/* For `vjp`. One that records (sw_tape_mark, forward, sw_backward_from, sw_tape_rewind) asks for
 * cotangents and scratch before the mark: memory taken after it goes with the rewind. */
SW_API bool sw_call_wants_grad(const sw_call *call, int input);
SW_API void *sw_call_grad(sw_call *call, int input);
/* The gradient of this input is the cotangent itself. */
SW_API void sw_call_pass_grad(sw_call *call, int input);

/* For operations that draw random numbers: the key of this call (seed, draw, site and how many
 * random ops came before), and the ids of the rows of axis 0, or NULL for 0, 1, 2, … */
SW_API uint64_t sw_tape_random_key(sw_tape *tape, uint64_t site);
SW_API const int64_t *sw_tape_sample_ids(const sw_tape *tape, int64_t rows);

/* Calls release(user) once, at the tape's next reset or when it is freed: for memory that is not the
 * tape's and that its tensors read in place (sw_input). In the thread that resets; it must not use the
 * tape. After an error (no memory) it will not be called. */
SW_API sw_status sw_tape_defer(sw_tape *tape, void (*release)(void *user), void *user);

/* The name of the layer at work, for error messages; returns the one before. The string must live as
 * long as the tape's pass. */
SW_API const char *sw_tape_set_layer(sw_tape *tape, const char *name);

#ifdef __cplusplus
}
#endif
#endif
