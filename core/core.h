/* swale core: errors, arrays, tapes and tensors, operations, parameters, files, objectives, data sources.
 *
 * Conventions of every function here
 *   - A function that can fail returns sw_status, or a null pointer, or a null tensor. The reason
 *     is in sw_error(), which keeps the first message of this thread until sw_clear_error(): "Errors"
 *     below.
 *   - An operation on a null tensor does nothing and returns a null tensor, so that a program
 *     chains without checks and asks once.
 *   - Shapes are row-major and counted in elements; axis 0 is the batch where there is one.
 *   - The caller frees each object that it created, once. Every sw_X_free accepts NULL. A second free does
 *     nothing but report an error, unless the memory was reused meanwhile. Where thousands of objects were
 *     freed, an older one may not be recognized.
 *   - A tape belongs to one thread at a time; different tapes may run in different threads.
 */
#ifndef SWALE_CORE_H
#define SWALE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SW_VERSION_MAJOR 0
#define SW_VERSION_MINOR 1
#define SW_VERSION_PATCH 0

#if defined(__GNUC__)
#define SW_API __attribute__((visibility("default")))
#define SW_PRINTF(text, first) __attribute__((__format__(printf, text, first)))
#else
#define SW_API
#define SW_PRINTF(text, first)
#endif

/* An options struct with its `size`: sw_optim_new_with_options(params, &SW_OPTIONS(sw_optim_options, .clip = 1)).
 * Members that are not given are 0, which stands for the default. C only; in C++ set the members one by one. */
#define SW_OPTIONS(type, ...) ((type){.size = sizeof(type), __VA_ARGS__})

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Errors ---------------------------------------------------------------------------------- */
/* No call needs a check. The first failure of a thread is recorded, with a message that sw_error() gives, and
 * is pending until sw_clear_error(). Functions ignore the null tensors and NULL pointers that result from it,
 * and a program checks sw_error() once, at its end.
 *
 * While an error is pending:
 *   - Loops over data and optimizer steps stop, and do not start: sw_loader_next returns false; sw_train,
 *     sw_optim_minimize and sw_optim_step return the status of the pending error and change nothing. So a
 *     mistake ends a training loop at once, with its own message. Loops over the number of an epoch end too
 *     (sw_loader_epoch, sw_optim_epoch, sw_train_remaining); a loop until some step must ask for sw_error().
 *   - Every other function does its work, and its return value (a status, NULL or a null tensor) reports only
 *     its own failure. The message of such a later failure is not kept: sw_error() is that of the first. A
 *     function that is given a NULL pointer or a null tensor assumes that the pending error is the cause.
 *
 * A program that handles an error and continues must clear it. That is right where every reason for the
 * failure has the same remedy, as for a cache: whether the file is missing or damaged, its contents are
 * computed again.
 *
 *     sw_archive *cache = sw_archive_load("cache.safetensors");
 *     if (!cache)
 *         sw_clear_error();            // optional: compute it again
 *
 * It is wrong for a checkpoint: a failed sw_model_load may also mean that the file is damaged or belongs to
 * another model, and a program that went on would train from the start and then overwrite the file. So check
 * first whether the file exists, and treat every error of the load as one (saving is not refused while an
 * error is pending):
 *
 *     if (access("last.safetensors", F_OK) == 0 &&       // unistd.h
 *         sw_model_load(net, "last.safetensors") != SW_OK)
 *         return EXIT_FAILURE;         // sw_error() says why; do not save over the file
 *
 * A library, or a callback of sw_train, may be called while its caller's error is pending. If it tries
 * something that may fail, it must clear only its own error:
 *
 *     const bool pending = sw_error() != NULL;
 *     sw_archive *cache = sw_archive_load(path);
 *     if (!cache && !pending)
 *         sw_clear_error();
 *
 * If a callback returns SW_OK but leaves an error pending, sw_train ends as if the callback had returned that
 * error's status. */

typedef enum sw_status {
    SW_OK = 0,
    SW_SKIPPED,       /* not an error: the gradient held Inf or NaN and nothing was changed */
    SW_ERR_ARGUMENT,  /* a value out of its range, an unknown name */
    SW_ERR_SHAPE,     /* shapes that do not fit together */
    SW_ERR_TYPE,      /* element types that do not fit together */
    SW_ERR_STATE,     /* right call, wrong moment: a tensor after reset, a model not built */
    SW_ERR_MEMORY,    /* the allocator returned NULL */
    SW_ERR_IO,        /* a file could not be opened, read or written */
    SW_ERR_FORMAT,    /* a file's contents are not what they should be */
    SW_ERR_GRADIENT,  /* sw_gradcheck found a wrong derivative */
    SW_ERR_NONFINITE, /* SW_CHECK found a NaN or Inf, or a step would make x or a state infinite */
    SW_ERR_USER       /* for extensions */
} sw_status;

/* The pending message of this thread, its first since the last sw_clear_error, or NULL. Valid until then. */
SW_API const char *sw_error(void);
/* The status that went with it, SW_OK if there is none. */
SW_API sw_status sw_error_status(void);
/* Nothing is pending any more. */
SW_API void sw_clear_error(void);
/* Records a message (unless one is pending already) and returns `status`: `return sw_fail(...)`. */
SW_API sw_status sw_fail(sw_status status, const char *format, ...) SW_PRINTF(2, 3);

/* ---- The library ----------------------------------------------------------------------------- */

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

/* The one point where the library allocates. `allocate` returns NULL when there is no memory;
 * both must be callable from any thread. Set it before anything is allocated, NULL for the default
 * (aligned_alloc and free). jansson, which parses the headers of files, has a hook of its own,
 * json_set_alloc_funcs: it is the program's, and left alone. */
typedef struct sw_allocator {
    size_t size; /* sizeof(sw_allocator) */
    void *user;
    void *(*allocate)(void *user, size_t bytes, size_t alignment);
    void (*release)(void *user, void *memory);
} sw_allocator;
SW_API void sw_set_allocator(const sw_allocator *allocator);

/* ---- Element types and arrays ---------------------------------------------------------------- */

typedef enum sw_dtype {
    SW_F32 = 0, /* computed in */
    SW_F64 = 1, /* computed in */
    SW_I32 = 2, /* class ids */
    SW_U8 = 3,  /* stored pictures */
    SW_I64 = 4  /* counters in files; not for tapes */
} sw_dtype;

SW_API size_t sw_dtype_size(sw_dtype type);      /* bytes */
SW_API const char *sw_dtype_name(sw_dtype type); /* "f32" */

enum { SW_MAX_RANK = 8 };

/* A row-major array somewhere in memory. A plain value: it owns nothing. */
typedef struct sw_array {
    void *data;
    sw_dtype type;
    int rank; /* 0 for a scalar */
    int64_t shape[SW_MAX_RANK];
} sw_array;

/* rank and shape in one: sw_array_view(p, SW_F32, SW_SHAPE(64, 784)). C only. */
#define SW_SHAPE(...)                                                                    \
    (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) { \
        __VA_ARGS__                                                                      \
    }

/* A view of `data`. A rank outside 0..SW_MAX_RANK, a negative length, or lengths whose product, but for those
 * that are 0, is 2^59 or more gives data NULL and an error. */
SW_API sw_array sw_array_view(const void *data, sw_dtype type, int rank, const int64_t *shape);
/* Number of elements: the product of the shape, 1 for a scalar. 0 and an error if rank or shape is
 * invalid. */
SW_API int64_t sw_array_count(const sw_array *array);
/* An array of zeros with memory of its own, freed by sw_array_free. data NULL after an error. */
SW_API sw_array sw_array_new(sw_dtype type, int rank, const int64_t *shape);
/* Frees the data of an array from a function that says so, and makes it all zeros. */
SW_API void sw_array_free(sw_array *array);

/* ---- Random numbers -------------------------------------------------------------------------- */

/* Philox4x32-10 (Salmon et al., SC 2011): a counter goes in, 128 random bits come out. */
SW_API void sw_philox(uint64_t key, const uint32_t counter[4], uint32_t out[4]);
/* A key for a named place that draws numbers: seed and name, well mixed. */
SW_API uint64_t sw_rng_key(uint64_t seed, const char *site);

/* A stream over Philox: the whole state is these numbers. */
typedef struct sw_rng {
    uint64_t key;
    uint64_t position; /* 32-bit words drawn so far */
} sw_rng;
SW_API uint32_t sw_rng_next(sw_rng *rng);
SW_API double sw_rng_uniform(sw_rng *rng);                 /* [0, 1), 53 bits */
SW_API double sw_rng_normal(sw_rng *rng);                  /* mean 0, variance 1 (Box-Muller) */
SW_API uint64_t sw_rng_below(sw_rng *rng, uint64_t bound); /* 0..bound-1, unbiased; bound ≥ 1 */

/* ---- Tapes ----------------------------------------------------------------------------------- */

typedef struct sw_tape sw_tape;
typedef struct sw_params sw_params;
typedef struct sw_param sw_param;
typedef struct sw_gradient sw_gradient;

/* A handle, passed by value. Its memory belongs to the tape and lives until the tape's reset, after
 * which the handle is recognized as stale and refused. {0} is the null tensor. */
typedef struct sw_tensor {
    sw_tape *tape;
    uint32_t slot;
    uint32_t generation;
} sw_tensor;

/* An empty tape; NULL after an error. */
SW_API sw_tape *sw_tape_new(void);
/* Its tensors with it; accepts NULL. */
SW_API void sw_tape_free(sw_tape *tape);
/* Forgets every tensor in O(1) and keeps the memory for the next step. The draw number goes up by
 * one; switches, bindings and frozen parameters stay. Call it after each step or evaluation. If a program
 * never calls it, recording fails with an error once the tape holds 2^24 tensors, or 1 GiB and the parameters
 * have changed 100 times. */
SW_API void sw_tape_reset(sw_tape *tape);

/* Independent switches; at first SW_RECORD and SW_TRAIN are on. */
typedef enum sw_switch {
    SW_RECORD = 1,         /* keep what backward needs */
    SW_TRAIN = 2,          /* dropout drops */
    SW_UPDATE_BUFFERS = 4, /* running statistics move */
    /* Off at first. Every operation's result and every gradient is checked, and the first NaN, or Inf that
     * did not go in, is an error (SW_ERR_NONFINITE) which names the layer, the operation, the element and
     * what went in. An input or a parameter that holds a NaN is named where it is read; an Inf in one, of a
     * mask say, is let pass. */
    SW_CHECK = 8,
    /* Off at first. Nothing recorded from now on is given back before the reset: sw_release does nothing, and
     * every tensor keeps its gradient, as if marked by sw_retain_grad. For sw_tape_dot and the like. */
    SW_KEEP = 16
} sw_switch;
SW_API void sw_tape_set_switch(sw_tape *tape, unsigned switches, bool on);
SW_API bool sw_tape_switch(const sw_tape *tape, sw_switch which);

/* Parameter leaves of `params` read `x` and write `g` from now on; NULL means the parameters' own
 * vector or gradient. O(1): nothing is copied, so binding back is exact. Refused once a leaf of
 * `params` is on the tape: reset it first. */
SW_API sw_status sw_tape_bind(sw_tape *tape, sw_params *params, const void *x, sw_gradient *g);
/* On this tape, the leaves of `params` need no gradient (a second model stays as it is). */
SW_API sw_status sw_tape_freeze(sw_tape *tape, sw_params *params, bool frozen);

/* The ids of the samples in axis 0 of what follows: random operations draw by sample id, and the number of
 * ids is the weight of a loss that does not state one. Copied. Until the next reset. */
SW_API sw_status sw_tape_set_sample_ids(sw_tape *tape, const int64_t *ids, int64_t count);
/* Which draw of random numbers this pass sees. Equal seed, draw, site and sample: equal numbers. */
SW_API void sw_tape_set_draw(sw_tape *tape, uint64_t draw);
SW_API uint64_t sw_tape_draw(const sw_tape *tape);
SW_API void sw_tape_set_seed(sw_tape *tape, uint64_t seed);

/* Bytes of the arena that this pass has in use at most, and bytes held. */
SW_API size_t sw_tape_peak_bytes(const sw_tape *tape);
SW_API size_t sw_tape_held_bytes(const sw_tape *tape);

/* ---- Tensors --------------------------------------------------------------------------------- */

/* A leaf that needs no gradient and reads the array in place: it must live until the reset. */
SW_API sw_tensor sw_input(sw_tape *tape, sw_array array);
/* The same from a copy on the tape: for arrays that do not live until the reset. */
SW_API sw_tensor sw_input_copy(sw_tape *tape, sw_array array);
/* As sw_input, but a leaf whose gradient is wanted: sw_grad after backward. f32 or f64. */
SW_API sw_tensor sw_variable(sw_tape *tape, sw_array array);
/* Memory of the tape, uninitialized, to be filled through sw_value before use; no gradient. */
SW_API sw_tensor sw_empty(sw_tape *tape, sw_dtype type, int rank, const int64_t *shape);
/* A scalar constant; of i32 and u8 a whole number that they have. A number is added to a tensor by it:
 * sw_add(x, sw_constant(tape, SW_F32, 1)). */
SW_API sw_tensor sw_constant(sw_tape *tape, sw_dtype type, double value);
/* The leaf of a parameter; one leaf per tape and pass, however often it is asked for. */
SW_API sw_tensor sw_param_use(sw_tape *tape, sw_param *param);

SW_API bool sw_is_null(sw_tensor t); /* {0}: what an operation returns after an error */
/* Not null, and of the tape's present pass: without an error if it is not. A handle dies with its tape. */
SW_API bool sw_is_live(sw_tensor t);
/* The values, in the tape's memory, until the reset. data is NULL on a null or stale tensor. */
SW_API sw_array sw_value(sw_tensor t);
/* The one element of a tensor with one element, as double. NaN and an error for others. */
SW_API double sw_item(sw_tensor t);
/* The gradient that backward left at a sw_variable or a tensor marked by sw_retain_grad, or at a
 * parameter's leaf. data is NULL (and no error) if no gradient reached this tensor. */
SW_API sw_array sw_grad(sw_tensor t);
/* Keeps the gradient of an intermediate tensor for sw_grad. Returns t. */
SW_API sw_tensor sw_retain_grad(sw_tensor t);
/* A promise not to touch t again: its memory is reused within the step as soon as no vjp will read
 * it. Using it later is an error. Done by sw_nn_sequential for what passes between its layers. */
SW_API void sw_release(sw_tensor t);
/* The same values, with no gradient to the past. */
SW_API sw_tensor sw_detach(sw_tensor t);

/* Gradients of a scalar: one reverse pass. Adds to what the gradient block holds since the last step:
 * backward passes on one tape pass add up; passes after a reset, and those of other tapes, are averaged by
 * the weights of their losses (see Means over parts), so that the block holds the gradient of the mean over
 * all samples that it has seen, however the samples were divided into parts. The parameters must be what they
 * were when the loss was recorded: after a step, record anew. */
SW_API sw_status sw_backward(sw_tensor loss);
/* The same from any tensor with its cotangent, of the tensor's type and shape. */
SW_API sw_status sw_backward_from(sw_tensor t, sw_array cotangent);

/* A place on the tape. sw_tape_rewind forgets everything recorded after it, and the gradients at tensors
 * from before it (not those of parameters). It works while a backward
 * runs: that is how a segment is recomputed inside a vjp. Random ops that follow a rewind (or
 * sw_tape_rewind_random) see the numbers that those which followed the mark saw. */
typedef struct sw_mark {
    uint32_t slot, random_calls;
    uint64_t pass;
    size_t chunk, used;
    void *lists;
} sw_mark;
SW_API sw_mark sw_tape_mark(sw_tape *tape);
SW_API sw_status sw_tape_rewind(sw_tape *tape, sw_mark mark);
/* Only the random numbers go back to where they were at the mark. */
SW_API void sw_tape_rewind_random(sw_tape *tape, sw_mark mark);

/* ---- Operations ------------------------------------------------------------------------------ */
/* Element types of the inputs must agree: f32 or f64. Broadcasting is NumPy's: shapes are aligned
 * at their last axes, and an axis of length 1, or a missing one, repeats.
 *
 * At ±∞ a value and a derivative are their limits: silu(-∞) is 0 with derivative 0, cross-entropy of a logit ∞ at
 * the right class is 0. Where there is no limit (∞ - ∞, 0·∞, sin ∞) they are NaN.
 *
 * NaN is never lost: a result that depends on a NaN is NaN, and so is the derivative by an input wherever it
 * depends on a NaN. A derivative that does not depend on the input (of sums, sw_scale, sw_neg, shapes, sw_pow
 * with exponent 0 or 1, of a product by one of its factors) keeps its value at NaN. In a reduction or a row
 * operation one NaN makes the derivatives of its whole group NaN. The exceptions: sw_pow(NaN, 0) = 1, as C's
 * pow; comparisons give 0; sw_argmax counts NaN as largest; sw_where takes nothing from the side that was not
 * chosen; what sw_dropout drops is 0; where a class has weight 0 or a row is ignored, it adds nothing.
 *
 * Every operation returns a handle of its own, also where it changes nothing, so that either side can be released.
 *
 * Sums of f32 (reductions, losses, gradients of broadcast, of gathers and of biases) keep a relative error of 1e-5
 * for any length if the terms have one sign. For products see sw_gemm (extend.h). Two sums have no such
 * bound, because they add in plain f32: the gradients of a tensor that many operations use, and products over
 * broadcast batch axes. */

SW_API sw_tensor sw_add(sw_tensor a, sw_tensor b); /* a + b, broadcasting */
SW_API sw_tensor sw_sub(sw_tensor a, sw_tensor b); /* a - b, broadcasting */
SW_API sw_tensor sw_mul(sw_tensor a, sw_tensor b); /* a · b by element, broadcasting */
SW_API sw_tensor sw_div(sw_tensor a, sw_tensor b); /* a / b, broadcasting */
/* The larger, the smaller; broadcasting; NaN if one is NaN. Equal ones share the gradient in halves. */
SW_API sw_tensor sw_maximum(sw_tensor a, sw_tensor b);
SW_API sw_tensor sw_minimum(sw_tensor a, sw_tensor b);
SW_API sw_tensor sw_scale(sw_tensor a, double factor);
SW_API sw_tensor sw_neg(sw_tensor x);
SW_API sw_tensor sw_exp(sw_tensor x);
SW_API sw_tensor sw_log(sw_tensor x);  /* -∞ at 0, NaN below */
SW_API sw_tensor sw_sqrt(sw_tensor x); /* derivative ∞ at 0; NaN below */
SW_API sw_tensor sw_abs(sw_tensor x);  /* derivative 0 at 0 */
SW_API sw_tensor sw_sin(sw_tensor x);  /* radians */
SW_API sw_tensor sw_cos(sw_tensor x);
/* x^exponent with the corners of C's pow; the exponent is finite. Within 0.51 (f32) and 0.56 (f64) units in the
 * last place, so exact wherever the exact result is a number of the type: 2³ = 8. Derivative
 * exponent · x^(exponent - 1), within 1.7 units; 0 everywhere for the exponent 0. */
SW_API sw_tensor sw_pow(sw_tensor x, double exponent);
/* Into [low, high]; derivative 1 inside and at the ends, 0 outside. */
SW_API sw_tensor sw_clamp(sw_tensor x, double low, double high);
/* [..., m, k] [..., k, n] → [..., m, n]; the axes before the last two are broadcast. */
SW_API sw_tensor sw_matmul(sw_tensor a, sw_tensor b);
/* The same with the last two axes of either side exchanged: a as [..., k, m], b as [..., n, k]. No copy. */
SW_API sw_tensor sw_matmul_transposed(sw_tensor a, sw_tensor b, bool transpose_a, bool transpose_b);
/* x [batch, in], weight [out, in], bias [out] or null tensor → x weightᵀ + bias [batch, out]. A null bias
 * while an error is pending gives a null tensor: it may be the one that failed. */
SW_API sw_tensor sw_linear(sw_tensor x, sw_tensor weight, sw_tensor bias);
SW_API sw_tensor sw_relu(sw_tensor x); /* max(x, 0); derivative 0 at 0; NaN stays NaN */
SW_API sw_tensor sw_tanh(sw_tensor x);
SW_API sw_tensor sw_sigmoid(sw_tensor x);                  /* 1 / (1 + e^-x) */
SW_API sw_tensor sw_leaky_relu(sw_tensor x, double slope); /* x, or slope·x below 0 (often 0.01) */
SW_API sw_tensor sw_elu(sw_tensor x, double alpha);        /* x, or alpha (e^x - 1) below 0 (often 1) */
SW_API sw_tensor sw_silu(sw_tensor x);                     /* x σ(x) */
SW_API sw_tensor sw_softplus(sw_tensor x);                 /* log(1 + e^x) */
SW_API sw_tensor sw_gelu(sw_tensor x);      /* x Φ(x), Φ the normal distribution (Hendrycks, Gimpel 2016) */
SW_API sw_tensor sw_gelu_tanh(sw_tensor x); /* ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), ibid. */

/* ---- Reductions. `axes`: `count` different axes, negative ones counted from the end: SW_AXES(-1),
 * SW_AXES(0, 2); SW_ALL_AXES for all. keepdim: they stay, with length 1. ---- */
#define SW_AXES(...)                                                         \
    (int)(sizeof((const int[]){__VA_ARGS__}) / sizeof(int)), (const int[]) { \
        __VA_ARGS__                                                          \
    }
#define SW_ALL_AXES (-1), ((const int *)0)

SW_API sw_tensor sw_sum(sw_tensor x);  /* of all elements, a scalar; 0 for none */
SW_API sw_tensor sw_mean(sw_tensor x); /* of all elements, a scalar; NaN for none */
/* The same over some axes. */
SW_API sw_tensor sw_sum_over(sw_tensor x, int count, const int *axes, bool keepdim);
SW_API sw_tensor sw_mean_over(sw_tensor x, int count, const int *axes, bool keepdim);
/* Σ (x - mean)² / (n - correction), in two passes; correction 0 (population) or 1 (sample). NaN where
 * n ≤ correction. */
SW_API sw_tensor sw_var_over(sw_tensor x, int count, const int *axes, bool keepdim, int correction);
/* The largest, the smallest; NaN if one is NaN, with gradient NaN for all; equal ones share the gradient evenly. An
 * axis of length 0 is an error unless nothing is asked for. */
SW_API sw_tensor sw_max_over(sw_tensor x, int count, const int *axes, bool keepdim);
SW_API sw_tensor sw_min_over(sw_tensor x, int count, const int *axes, bool keepdim);
/* (Σ |x|^p)^(1/p) for p ≥ 1, max |x| for p = INFINITY; scaled, so that nothing overflows on the way.
 * Derivative 0 where the norm is 0; where it is ∞, the sign at infinite elements and 0 at the others. */
SW_API sw_tensor sw_norm_over(sw_tensor x, double p, int count, const int *axes, bool keepdim);
/* log Σ e^x, without overflow; -∞ for none. The derivative is sw_softmax, and does not change if a constant
 * is added to x; 0 where all are -∞. */
SW_API sw_tensor sw_logsumexp_over(sw_tensor x, int count, const int *axes, bool keepdim);

/* e^x / Σ e^x along an axis (negative: from the end), without overflow; and its logarithm. A single ∞ has
 * probability 1; several ∞ have equal probabilities; rows that hold only -∞ give NaN. */
SW_API sw_tensor sw_softmax(sw_tensor x, int axis);
SW_API sw_tensor sw_log_softmax(sw_tensor x, int axis);

/* Where along an axis the largest element is, i32; the first of equal ones; NaN counts as largest. The
 * axis goes unless keepdim. No gradient. */
SW_API sw_tensor sw_argmax(sw_tensor x, int axis, bool keepdim);
/* Accuracy, the fraction of rows whose largest score is at its id: scores [..., classes], ids i32 [...]; a
 * scalar of the scores' type, NaN for no rows. A row with a NaN is a miss. No gradient. */
SW_API sw_tensor sw_accuracy(sw_tensor scores, sw_tensor ids);

/* ---- Comparisons and choice, broadcasting ---- */
/* u8: 1 where it holds, else 0. No gradient. */
SW_API sw_tensor sw_greater(sw_tensor a, sw_tensor b);
SW_API sw_tensor sw_less(sw_tensor a, sw_tensor b);
SW_API sw_tensor sw_equal(sw_tensor a, sw_tensor b);
/* a where the condition (u8 or i32) is not 0, else b. Each gets the gradient where it was taken: an
 * Inf or NaN in the other one's place does no harm. */
SW_API sw_tensor sw_where(sw_tensor condition, sw_tensor a, sw_tensor b);

/* ---- Shape. Negative axes count from the end. f32 and f64, with gradients; i32 and u8 without. ---- */
/* The same elements in another shape; one length may be -1 and is worked out. No copy. */
SW_API sw_tensor sw_reshape(sw_tensor x, int rank, const int64_t *shape);
/* Exchanges two axes. */
SW_API sw_tensor sw_transpose(sw_tensor x, int axis_a, int axis_b);
/* Axis i of the result is axis axes[i] of x: sw_permute(x, SW_AXES(1, 2, 0)). All axes, each once. */
SW_API sw_tensor sw_permute(sw_tensor x, int count, const int *axes);
/* Elements begin to end - 1 along an axis. Negative ones count from the end; SW_END is the end. Outside
 * of the axis, or end < begin: an error. */
#define SW_END INT64_MAX
SW_API sw_tensor sw_slice(sw_tensor x, int axis, int64_t begin, int64_t end);
/* One after the other along an axis; the other lengths are equal: sw_concat(SW_TENSORS(a, b, c), -1). */
#define SW_TENSORS(...)                                                                        \
    (int)(sizeof((const sw_tensor[]){__VA_ARGS__}) / sizeof(sw_tensor)), (const sw_tensor[]) { \
        __VA_ARGS__                                                                            \
    }
SW_API sw_tensor sw_concat(int count, const sw_tensor *parts, int axis);
/* Along a new axis, of equal shapes. */
SW_API sw_tensor sw_stack(int count, const sw_tensor *parts, int axis);
/* Parts of the given lengths (NULL: `count` equal ones), which add up to the axis. All parts are null
 * after an error. */
SW_API sw_status sw_split(sw_tensor x, int axis, int count, const int64_t *lengths, sw_tensor *parts);
/* before[i] and after[i] elements of `value` around axis i; `rank` of each, x's rank; none negative. */
SW_API sw_tensor sw_pad(sw_tensor x, int rank, const int64_t *before, const int64_t *after, double value);
/* Repeated to the shape, as broadcasting does; -1: the length that is there. */
SW_API sw_tensor sw_expand(sw_tensor x, int rank, const int64_t *shape);

/* ---- Gathering by ids (i32). An id out of range is an error that names it. ---- */
/* table [rows, ...], ids of any shape → [ids..., ...]: an embedding. Rows asked for several times add
 * up their gradients, in the order of the ids. */
SW_API sw_tensor sw_gather_rows(sw_tensor table, sw_tensor ids);
/* out[i][j][k] = x[i][ids[i][j][k]][k] for axis 1, and so on. ids has x's rank and, but for the axis,
 * x's lengths. */
SW_API sw_tensor sw_gather(sw_tensor x, int axis, sw_tensor ids);

/* Each element is dropped with probability p in [0, 1), the rest scaled by 1/(1-p) (Srivastava et
 * al., JMLR 2014). A view of x unless SW_TRAIN and p > 0. The mask depends on the tape's seed and draw, on
 * `site`, on how many random ops came before on this pass, and, if axis 0 is as long as the list
 * given to sw_tape_set_sample_ids, on the sample's id; otherwise on the row's number. */
SW_API sw_tensor sw_dropout(sw_tensor x, double p, uint64_t site);

/* ---- Losses. The short forms are means, and fit sw_loss (nn.h). ---- */
typedef enum sw_reduction {
    SW_MEAN = 0,
    SW_SUM, /* parts add up; a sum that is then scaled to a mean says so by sw_loss_with_weight */
    SW_NONE /* one number for each element, or for each sample where the loss is one of rows */
} sw_reduction;

/* Cross-entropy of softmax(logits), logits [..., classes], against
 *   ids i32 [...]:               log Σ exp(z) - z[id]
 *   distributions [..., classes] of the logits' type (soft targets): -Σ_c t_c log softmax(z)_c
 * The mean is over all rows. */
SW_API sw_tensor sw_cross_entropy(sw_tensor logits, sw_tensor target);
typedef struct sw_cross_entropy_options {
    size_t size; /* sizeof(sw_cross_entropy_options) */
    sw_reduction reduction;
    /* ε in [0, 1]: the target becomes (1 - ε) t + ε/classes (Szegedy et al., CVPR 2016). */
    double label_smoothing;
    /* Rows whose id is `ignored_id` count as nothing: loss 0, no gradient, not in the mean. */
    bool ignore;
    int32_t ignored_id;
    /* w, one for each class, ≥ 0, or NULL: each class's term is multiplied by w_c. The mean of ids is then
     * Σ loss / Σ w[id] as in PyTorch; that of distributions stays one over the rows. Copied. */
    const double *class_weights;
    int classes; /* how many class_weights there are */
} sw_cross_entropy_options;
/* options NULL: as sw_cross_entropy. SW_NONE gives [...]. The mean over no rows is NaN. */
SW_API sw_tensor sw_cross_entropy_with_options(sw_tensor logits, sw_tensor target,
                                               const sw_cross_entropy_options *options);

typedef struct sw_loss_options {
    size_t size; /* sizeof(sw_loss_options) */
    sw_reduction reduction;
} sw_loss_options;
/* Of prediction p and target t, equal shapes, by element. The short form is the mean over all elements, as is
 * options NULL in the long one. */
SW_API sw_tensor sw_mse(sw_tensor prediction, sw_tensor target); /* (p - t)² */
SW_API sw_tensor sw_mse_with_options(sw_tensor prediction, sw_tensor target, const sw_loss_options *options);
SW_API sw_tensor sw_l1(sw_tensor prediction, sw_tensor target); /* |p - t|, derivative 0 at 0 */
SW_API sw_tensor sw_l1_with_options(sw_tensor prediction, sw_tensor target, const sw_loss_options *options);
typedef struct sw_huber_options {
    size_t size; /* sizeof(sw_huber_options) */
    sw_reduction reduction;
    double delta; /* δ > 0; 0: 1 */
} sw_huber_options;
/* ½ d² for |d| ≤ δ, else δ (|d| - ½ δ), d = p - t; the short form has δ = 1 (Huber 1964) */
SW_API sw_tensor sw_huber(sw_tensor prediction, sw_tensor target);
SW_API sw_tensor sw_huber_with_options(sw_tensor prediction, sw_tensor target, const sw_huber_options *options);
/* max(0, 1 - t s); derivative 0 at the kink. Targets must be -1 or 1: that is not checked. */
SW_API sw_tensor sw_hinge(sw_tensor score, sw_tensor target);
SW_API sw_tensor sw_hinge_with_options(sw_tensor score, sw_tensor target, const sw_loss_options *options);
/* log(1 + exp z) - y z for targets y in [0, 1] */
SW_API sw_tensor sw_bce_with_logits(sw_tensor logits, sw_tensor target);
SW_API sw_tensor sw_bce_with_logits_with_options(sw_tensor logits, sw_tensor target, const sw_loss_options *options);
/* Kullback-Leibler divergence of log-probabilities q from probabilities t along the last axis:
 * Σ_c t_c (log t_c - q_c), 0 where t_c = 0. One number a row; the mean is over the rows, as the
 * definition has it (PyTorch's "batchmean" for two axes). The derivative by t_c is 0 where t_c = 0. */
SW_API sw_tensor sw_kl_div(sw_tensor log_prediction, sw_tensor target);
SW_API sw_tensor sw_kl_div_with_options(sw_tensor log_prediction, sw_tensor target, const sw_loss_options *options);

/* The same value and gradient as `loss`, a tensor with one element, with another weight in means over parts
 * (see there): finite and at least 0, or SW_SUMMED. For losses that a program puts together itself. */
SW_API sw_tensor sw_loss_with_weight(sw_tensor loss, double weight);

/* ---- Seeing inside --------------------------------------------------------------------------- */

/* Type and shape, then one row a line, broken after 100 columns; above 1000 elements the first and last
 * three of each axis. */
SW_API void sw_array_print(const sw_array *array, FILE *to);
/* Layer, operation or leaf, shape, value; the gradient where there is one (see sw_retain_grad). A null or
 * stale tensor is called that, and is no error. */
SW_API void sw_tensor_print(sw_tensor t, FILE *to);
/* Name, role, shape, value, gradient. */
SW_API void sw_param_print(const sw_param *param, FILE *to);
/* The graph of what is on the tape, in Graphviz's DOT: operations with shape and a summary of value and
 * gradient, grouped by layer, leaves with their parameters' names. With SW_KEEP all values and gradients
 * are still there after backward. `dot -Tsvg graph.dot`. */
SW_API sw_status sw_tape_dot(const sw_tape *tape, FILE *to);

/* ---- Means over parts ------------------------------------------------------------------------ */
/* A mean over samples that are seen in parts (micro-batches, chunks, batches of an evaluation) is
 * Σ weight·loss / Σ weight, where a part's weight is what its mean was divided by. A loss knows it:
 *   - the mean cross-entropy of ids: the rows that are not ignored, or the sum of their class weights;
 *   - other mean losses: the rows, that is the product of all axes but the last, whose length must be the same
 *     in all parts (of a vector, its elements);
 *   - with SW_SUM: SW_SUMMED, since sums add up;
 *   - what is computed from losses has their weight: a penalty may be added, a loss may be scaled;
 *   - any other tensor: as many as sw_tape_set_sample_ids named on its tape, or 1.
 * If a tensor combines losses with different weights, its parts can be averaged only if the ratio of these
 * weights is the same in all parts. Otherwise adding a part is an error. */
#define SW_SUMMED (-1.0)
/* The weight of a loss; NaN and an error for a null or stale tensor. */
SW_API double sw_loss_weight(sw_tensor loss);
/* The mean of a loss over parts. Starts as {0}. Parts with weight 0 count as nothing, whatever their
 * value (the mean over no rows is NaN). */
typedef struct sw_loss_mean {
    double sum, weight; /* Σ value·weight/unit and Σ weight/unit */
    double unit;        /* the first weight above 0, or SW_SUMMED; 0: none so far */
    double mix;         /* identifies the ratio of the weights if the tensor combines several losses */
} sw_loss_mean;
/* Takes in value and weight of a loss (one element). */
SW_API sw_status sw_loss_mean_add(sw_loss_mean *mean, sw_tensor loss);
/* The same from numbers: the weight is finite and at least 0, or SW_SUMMED. */
SW_API sw_status sw_loss_mean_add_part(sw_loss_mean *mean, double value, double weight);
/* The mean so far, the sum for losses that are sums; NaN where the weights add up to 0. */
SW_API double sw_loss_mean_value(const sw_loss_mean *mean);

/* ---- Gradient check -------------------------------------------------------------------------- */

/* A function of tensors under test: builds its result on the tape from the inputs. */
typedef sw_tensor (*sw_function)(void *user, sw_tape *tape, const sw_tensor *inputs);

typedef struct sw_gradcheck_options {
    size_t size;       /* sizeof(sw_gradcheck_options) */
    double step;       /* of the central difference; 0 means 1e-6 */
    double atol, rtol; /* |analytic - numeric| ≤ atol + rtol·|numeric|; 0 means 1e-7, 1e-6 */
    uint64_t seed;     /* of the random cotangent */
    unsigned no_grad;  /* bit i: input i is passed without gradient */
    unsigned switches; /* of the tape; 0 means those of a new tape */
} sw_gradcheck_options;

/* Compares the gradient of ⟨f(inputs), random cotangent⟩ with central differences, in f64, while every vjp
 * sees NaN in values that it has not declared to read, for
 * every element of every f64 input. The inputs' data are moved and put back. `worst`, if not NULL,
 * gets the largest |analytic - numeric| / (atol + rtol·|numeric|). SW_ERR_GRADIENT names input and
 * element. Equal draws of random numbers are seen by every evaluation. */
SW_API sw_status sw_gradcheck(sw_function f, void *user, int count, const sw_array *inputs,
                              const sw_gradcheck_options *options, double *worst);

/* ---- Parameters ------------------------------------------------------------------------------ */
/* All parameters lie in one vector x without padding. A parameter is a name, a role, a shape and
 * an offset into it. Declared first, then built once. */

typedef enum sw_role {
    SW_ROLE_WEIGHT = 0, /* a hidden layer's matrix */
    SW_ROLE_BIAS,
    SW_ROLE_NORM,
    SW_ROLE_EMBEDDING,
    SW_ROLE_HEAD, /* the last layer's matrix */
    SW_ROLE_OTHER
} sw_role;
SW_API const char *sw_role_name(sw_role role); /* "weight" */

struct sw_param {
    const char *name; /* unique: "linear1.weight" */
    sw_role role;
    int rank;
    int64_t shape[SW_MAX_RANK];
    int64_t count;           /* elements */
    int64_t offset;          /* of the first element in the vector; -1 before the build */
    int64_t fan_in, fan_out; /* 0 where it makes no sense */
    bool frozen;             /* no gradient, no update: sw_param_freeze */
    int index;               /* in the order of declaration */
    sw_params *owner;
    sw_param *tied; /* shares that one's elements, or NULL */
};

/* How initial values are made: fills `out`, `count` values, from the stream, or fails, and the build with
 * it. NaN, or a number that is infinite in the parameters' type, is refused with SW_ERR_NONFINITE; a parameter
 * that is frozen before the build may hold Inf, as an attention mask does. nn has the usual ones. */
typedef struct sw_init {
    size_t size; /* sizeof(sw_init) */
    const char *name;
    sw_status (*fill)(const struct sw_init *init, const sw_param *param, sw_rng *rng, double *out);
    double a, b, c, d; /* the method's own numbers */
} sw_init;

/* An empty set. type: f32 or f64. Initial values depend on seed and name alone. */
SW_API sw_params *sw_params_new(sw_dtype type, uint64_t seed);
SW_API void sw_params_free(sw_params *params);

typedef struct sw_param_options {
    size_t size; /* sizeof(sw_param_options) */
    sw_role role;
    int64_t fan_in, fan_out;
    sw_init init; /* fill NULL: zeros */
} sw_param_options;
/* Declares a parameter; the name and the options are copied. NULL after an error. */
SW_API sw_param *sw_params_add(sw_params *params, const char *name, int rank, const int64_t *shape,
                               const sw_param_options *options);
/* Declares a name for the elements of `target` (equal shape), stored and saved once. */
SW_API sw_param *sw_params_tie(sw_params *params, const char *name, sw_param *target);
/* Lays out the vector, makes gradient and initial values. Once. */
SW_API sw_status sw_params_build(sw_params *params);
/* The initial values again, as after the build. After an error some of them may be missing. */
SW_API sw_status sw_params_reinitialize(sw_params *params);

SW_API bool sw_params_built(const sw_params *params);                       /* sw_params_build has succeeded */
SW_API sw_dtype sw_params_type(const sw_params *params);                    /* SW_F32 or SW_F64 */
SW_API uint64_t sw_params_seed(const sw_params *params);                    /* of initial values */
SW_API int64_t sw_params_dim(const sw_params *params);                      /* elements of the vector */
SW_API int sw_params_count(const sw_params *params);                        /* parameters, tied names included */
SW_API sw_param *sw_params_at(const sw_params *params, int index);          /* in the order of declaration, from 0 */
SW_API sw_param *sw_params_find(const sw_params *params, const char *name); /* NULL: no such name */
SW_API void *sw_params_x(const sw_params *params);                          /* the vector */
/* To be called after writing to the vector by hand: what was recorded before is then refused. */
SW_API void sw_params_mark_changed(sw_params *params);
/* A number that grows whenever the vector changes: by a step, by loading, by sw_params_mark_changed. */
SW_API uint64_t sw_params_version(const sw_params *params);
SW_API sw_gradient *sw_params_gradient(const sw_params *params); /* its own gradient block */
SW_API sw_array sw_param_value(const sw_param *param);           /* a view of its elements in x */
/* A view of the parameter's gradient: the mean that the block holds, also after a step (clipped, if it was). */
SW_API sw_array sw_param_grad(const sw_param *param);
/* Both record an error for NULL: a name that sw_params_find does not know would otherwise train in silence. */
SW_API void sw_param_freeze(sw_param *param, bool frozen);
SW_API void sw_param_set_role(sw_param *param, sw_role role);

/* A gradient block: a vector like x that knows what it holds. Fresh: the next backward stores, and
 * parameters it does not reach become zero. Taking a step makes it fresh; it need not be zeroed. While
 * several passes add to a block it holds a weighted sum (in f32 with the rounding errors in a second vector,
 * made at the second pass, so that 1e5 passes lose no digits). sw_gradient_data, sw_param_grad and sw_grad
 * turn it into the mean: ask for them again after a further backward. */
SW_API sw_gradient *sw_gradient_new(sw_params *params);
/* One without memory of its own, for vectors that are somebody else's: fresh, and pointed at one of
 * them (dim elements) by sw_gradient_set_data before use. */
SW_API sw_gradient *sw_gradient_view(sw_params *params);
SW_API void sw_gradient_set_data(sw_gradient *view, void *vector);
SW_API void sw_gradient_free(sw_gradient *gradient);
/* The mean so far: dim elements of the parameters' type, for reading or for filling as a whole. */
SW_API void *sw_gradient_data(sw_gradient *gradient);
SW_API void sw_gradient_make_fresh(sw_gradient *gradient);
SW_API bool sw_gradient_is_fresh(const sw_gradient *gradient);
SW_API int64_t sw_gradient_samples(const sw_gradient *gradient); /* seen since fresh */
/* The sum of the weights seen since fresh, or SW_SUMMED; 0 while fresh. */
SW_API double sw_gradient_weight(const sw_gradient *gradient);

/* ---- Files ----------------------------------------------------------------------------------- */
/* An archive is a set of named arrays, and of texts by key, in memory. Its file is in the format
 * safetensors (huggingface/safetensors, version 0.4 and later), which Python's package of that name reads
 * and writes. Equal contents give equal files, byte for byte, in whatever order they were put in.
 *
 *     sw_archive *a = sw_archive_new();
 *     sw_archive_put(a, "directions", sw_array_view(d, SW_F32, SW_SHAPE(2, dim)));
 *     sw_archive_set_text(a, "about", "two eigenvectors");
 *     sw_status status = sw_archive_save(a, "directions.safetensors");
 *     sw_archive_free(a);
 *
 *     sw_archive *a = sw_archive_load("directions.safetensors");
 *     sw_array d = sw_archive_get(a, "directions");
 *
 * Every message about a file begins with its path. Functions on a NULL archive do nothing, and give what
 * they give after an error, so that a program asks once. */
typedef struct sw_archive sw_archive;

/* One without contents. */
SW_API sw_archive *sw_archive_new(void);
/* Reads a whole file into memory. Every rule of the format is checked: a header of at most 100,000,000 bytes
 * within the file; the arrays one after the other from the first byte of the data to the last; each as
 * long as its type and shape say; no name twice; texts that are texts. Besides, at most SW_MAX_RANK axes.
 * F32, F64, I32, U8 and I64 become arrays of their type, F16 and BF16 become f32 (exactly);
 * arrays of the format's other types are listed without data. NULL and an error. */
SW_API sw_archive *sw_archive_load(const char *path);
SW_API void sw_archive_free(sw_archive *archive);

/* Adds an array, which is read in place when the archive is saved: it must live until then. Names are UTF-8,
 * not empty, and taken once; "__metadata__" is the format's own. After an error the archive is not
 * saved any more. */
SW_API sw_status sw_archive_put(sw_archive *archive, const char *name, sw_array array);
/* The same with a copy: for arrays that do not live so long. */
SW_API sw_status sw_archive_put_copy(sw_archive *archive, const char *name, sw_array array);
/* Sets the text of a key, or replaces it. Both are UTF-8, and copied. */
SW_API sw_status sw_archive_set_text(sw_archive *archive, const char *key, const char *text);
/* Writes the file: to a temporary file in the same folder, which takes the old one's place when all of it is
 * on the disk. So there is the old file or the new one, whole, whatever happens in between; after
 * an error it is the old one (unless the message says otherwise). A symbolic link is followed, but for one
 * that leads nowhere; an existing file's permissions are kept. Anything but an ordinary file is refused, and so
 * is a file that is write-protected. A file beyond the process's limit (`ulimit -f`) is an error, without a
 * signal. Names of 255 bytes and paths of 4,095 can be written: the temporary file has a short name.
 * Two that save under one name at the same time leave one of both files, whole. */
SW_API sw_status sw_archive_save(const sw_archive *archive, const char *path);

SW_API int sw_archive_count(const sw_archive *archive); /* of arrays */
typedef struct sw_archive_item {
    const char *name;
    const char *stored; /* the type in the file: "BF16" */
    sw_array array;     /* as sw_archive_get gives it; data NULL where the type is not read */
} sw_archive_item;
/* By their order in the file, or as they were put in; all zeros beyond the last. */
SW_API sw_archive_item sw_archive_at(const sw_archive *archive, int index);
SW_API bool sw_archive_has(const sw_archive *archive, const char *name);
/* A view of the archive's memory, until it is freed. data NULL and an error: there is none of that name, or
 * its type is not read. */
SW_API sw_array sw_archive_get(const sw_archive *archive, const char *name);
/* NULL, and no error: no such key. */
SW_API const char *sw_archive_text(const sw_archive *archive, const char *key);
SW_API int sw_archive_text_count(const sw_archive *archive);
SW_API const char *sw_archive_text_key(const sw_archive *archive, int index); /* of a text; NULL beyond the last */
/* The path it was opened from; NULL for one that was not. */
SW_API const char *sw_archive_path(const sw_archive *archive);

/* Writes all parameters by name, in their type, to a file, or reads them from one. What is tied is written
 * once; a text says under which name: {"head.weight": "embedding.weight"}. Nothing else is in the file, so
 * equal parameters give equal files.
 *
 * Reading: F64, F32, F16 and BF16 are converted to the type of the parameters, f64 rounded to the nearest
 * f32; a finite number beyond f32's range is an error. Names that are missing, that are not expected, whose shape
 * or type is another: all are listed in one message, and nothing is changed after any error. Tied
 * parameters may be in the file under any of their names, or under several with equal numbers.
 * Afterwards it is as after sw_params_mark_changed, and their gradient block is fresh. */
SW_API sw_status sw_params_save(const sw_params *params, const char *path);
SW_API sw_status sw_params_load(sw_params *params, const char *path);
/* The same with an archive that holds more. Each name has the prefix in front (NULL: none), and
 * only what begins with it is read: two models, or a model and what else a program keeps, share
 * a file. Packing copies nothing: see sw_archive_put. */
SW_API sw_status sw_params_pack(const sw_params *params, sw_archive *archive, const char *prefix);
SW_API sw_status sw_params_unpack(sw_params *params, const sw_archive *archive, const char *prefix);

/* ---- Sparse rows ----------------------------------------------------------------------------- */

/* A matrix in compressed rows (CSR): row i holds value[k] in column index[k] for start[i] ≤ k < start[i+1], and 0
 * elsewhere. The columns of a row increase. */
typedef struct sw_csr {
    int64_t rows, columns;
    const int64_t *start; /* [rows + 1], start[0] = 0 */
    const int32_t *index; /* [start[rows]] */
    const void *value;    /* [start[rows]], of `type` */
    sw_dtype type;        /* SW_F32 or SW_F64 */
} sw_csr;

/* SW_OK if the members describe such a matrix, with finite values; else an error that names row and column. */
SW_API sw_status sw_csr_check(const sw_csr *matrix);

/* ---- Data sources ---------------------------------------------------------------------------- */

/* n samples that can be gathered by id. A reader embeds this as its first member and fills it in. */
typedef struct sw_source sw_source;
struct sw_source {
    size_t size; /* sizeof(sw_source) */
    int64_t n;
    int x_rank, y_rank; /* of one sample; y_rank -1: no targets */
    int64_t x_shape[SW_MAX_RANK], y_shape[SW_MAX_RANK];
    sw_dtype y_type;                /* SW_I32: class ids; SW_F64: real numbers, in x's type */
    int classes;                    /* 0 for real targets */
    const char *const *class_names; /* NULL or `classes` names */
    /* Writes samples ids[0..count) to x (type f32 or f64, [count, x_shape]) and y ([count, y_shape],
     * i32 or like x). Either may be NULL. Called from several threads for different parts. What is random
     * (a crop, a flip) is a function of the sample's id and `draw` alone: the tape's draw, which dropout
     * sees too, so that a method that evaluates twice in one draw sees equal pictures; or a loader's
     * epoch. */
    sw_status (*gather)(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                        void *x, void *y);
    /* Optional: these will be gathered soon. */
    void (*prefetch)(const sw_source *source, const int64_t *ids, int64_t count);
    /* Frees the source, including its struct. The struct, and all that gather and prefetch read, must live
     * until this is called, which may be later than sw_source_free. NULL: there is nothing to free; then the
     * struct must outlive all that reads it. */
    void (*free)(sw_source *source);
    /* To gather takes more than copying numbers (decoding, crops, a user's function): where there are
     * processors enough, a loader does it ahead in a thread of its own. */
    bool costly;
    bool fixed; /* gather does not depend on `draw` */
    /* Optional: where all samples lie in memory, x [n, x_shape] of type f32 or f64 or as sparse rows, y of type y_type or
     * f32 or f64. gather gives these numbers, converted to its type. */
    const sw_array *x_memory, *y_memory;
    const sw_csr *x_sparse;
};
/* Calls source->free: now, or, where something made from the source still reads it, when the last of these is
 * freed: a subset or another wrapper, a loader, or the model that an objective of sw_model_objective belongs
 * to. So the order of freeing does not matter for sources that are freed by their `free`. A program that
 * frees the memory of its source itself does so in `free`, or after all of these were freed; not after
 * sw_source_free. */
SW_API void sw_source_free(sw_source *source);

typedef struct sw_batch {
    sw_tensor x, y;     /* y is null where the source has no targets */
    const int64_t *ids; /* [count], until the tape's reset */
    int64_t count;
} sw_batch;

/* Gathers samples onto the tape as inputs of the given type, and tells the tape their ids. What is
 * random in them is that of the tape's draw. */
SW_API sw_status sw_source_batch(const sw_source *source, sw_tape *tape, sw_dtype type, const int64_t *ids,
                                 int64_t count, sw_batch *batch);
/* The same with an explicit draw: equal draws, equal pictures, whatever the tape's is. */
SW_API sw_status sw_source_batch_with_draw(const sw_source *source, sw_tape *tape, sw_dtype type, uint64_t draw,
                                           const int64_t *ids, int64_t count, sw_batch *batch);
/* The same into the caller's memory: x [count, x_shape] of type f32 or f64, y [count, y_shape], i32 or
 * like x; either may be NULL. Threads share the samples. */
SW_API sw_status sw_source_gather(const sw_source *source, sw_dtype type, uint64_t draw, const int64_t *ids,
                                  int64_t count, void *x, void *y);

/* Which samples come next: seeded, its state a few numbers. */
typedef enum sw_order {
    SW_SHUFFLE = 0, /* every sample once an epoch, in a new order each epoch */
    SW_SEQUENTIAL,
    SW_WITH_REPLACEMENT /* independent draws */
} sw_order;
typedef struct sw_sampler sw_sampler;
/* n ≥ 1 samples, 1 ≤ batch; the last batch of an epoch holds what is left over. */
SW_API sw_sampler *sw_sampler_new(int64_t n, int64_t batch, sw_order order, uint64_t seed);
SW_API void sw_sampler_free(sw_sampler *sampler);
/* The next batch: its size; *ids until the next call. Starts a new epoch by itself. */
SW_API int64_t sw_sampler_next(sw_sampler *sampler, const int64_t **ids);
/* The batch after that one, without going there; 0 at the end of the epoch. For prefetching. */
SW_API int64_t sw_sampler_peek(const sw_sampler *sampler, const int64_t **ids);
SW_API int64_t sw_sampler_steps_per_epoch(const sw_sampler *sampler);
SW_API int64_t sw_sampler_epoch(const sw_sampler *sampler); /* of the batch given last, from 0 */
SW_API bool sw_sampler_at_end(const sw_sampler *sampler);   /* that batch was its epoch's last */
/* How many samples of that epoch have been given, 0 to n. With the epoch it is the sampler's whole state:
 * a new sampler of equal n, batch, order and seed continues from there after sw_sampler_seek. */
SW_API int64_t sw_sampler_position(const sw_sampler *sampler);
/* Goes to where `position` samples of `epoch` (from 0) have been given. A position is a multiple of the
 * batch or n; others, and negative numbers, are errors, and the sampler stays where it is. */
SW_API sw_status sw_sampler_seek(sw_sampler *sampler, int64_t epoch, int64_t position);

/* ---- Generalized linear models ---------------------------------------------------------------- */

/* Losses l(z, y) of predictions z = W a + b whose derivatives by z are known. */
typedef enum sw_head {
    SW_HEAD_LOGISTIC = 1,  /* log(1 + e^z) - y z, y 0 or 1 */
    SW_HEAD_MULTINOMIAL,   /* log Σ_k e^(z_k) - z_y, y a class id */
    SW_HEAD_SQUARED,       /* ½ Σ_k (z_k - y_k)² */
    SW_HEAD_HUBER,         /* Σ_k, with r = z_k - y_k: ½ r² where |r| ≤ δ, else δ|r| - ½δ² */
    SW_HEAD_SQUARED_HINGE, /* max(0, 1 - s z)², s = 2y - 1, y 0 or 1 */
    SW_HEAD_POISSON        /* e^z - y z, y ≥ 0 */
} sw_head;
SW_API const char *sw_head_name(sw_head head); /* "logistic" */
/* The largest second derivative by z, for MULTINOMIAL along any direction: ¼, ½, 1, 1, 2; 0: there is no bound. */
SW_API double sw_head_curvature(sw_head head);

/* Samples in memory of such a model: f_i(x) = weight_i·scale·l(W a_i + b, y_i). The arrays must outlive whatever uses
 * them, and hold what is said here (sw_objective_check). Objectives that have this (see sw_objective) are evaluated without a tape, and the estimators sag, saga and
 * svrg have loops of their own for them. */
typedef struct sw_glm_data {
    size_t size; /* sizeof(sw_glm_data) */
    sw_head head;
    double delta;         /* δ of HUBER, above 0 */
    double scale;         /* above 0 */
    const void *dense;    /* a: [n, features], of the parameters' type; NULL: */
    const sw_csr *sparse; /* n rows, `features` columns, of the parameters' type */
    const int32_t *label; /* [n]: y of LOGISTIC, MULTINOMIAL, SQUARED_HINGE */
    const void *target;   /* [n, outputs], of the parameters' type: y of the others */
    const double *weight; /* [n], not negative, with mean 1; NULL: 1 each */
} sw_glm_data;

/* ---- Objectives ------------------------------------------------------------------------------ */

/* f(x) = 1/n Σ f_i(x). One of `loss`, `gradient`, `glm`, and `rows` with `head` is needed. The last two make it a
 * generalized linear model, f_i(x) = l(W a_i + b, y_i): `glm` one whose loss is known and whose samples are in
 * memory, `rows` and `head` one with any loss, on the tape. */
typedef struct sw_objective {
    size_t size; /* sizeof(sw_objective) */
    int64_t n;   /* samples; 1 for a plain function */
    sw_params *params;
    void *user;
    /* The mean loss of the given samples, on the tape. */
    sw_tensor (*loss)(void *user, sw_tape *tape, const int64_t *ids, int64_t count);
    /* With no tape: value and, unless g is NULL, gradient of the mean over the samples at x, with the
     * random numbers of `draw`. x and g have the parameters' type; ids is never NULL. */
    sw_status (*gradient)(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw, double *value,
                          void *g);
    /* Generalized linear model: rows a_i of the data matrix, [count, features], on the tape, and
     * the mean loss of predictions z [count, outputs]. x is W [outputs, features] first, then b
     * [outputs] if `bias`. All of rows, head, features and outputs are needed then. */
    int64_t features, outputs;
    bool bias;
    sw_tensor (*rows)(void *user, sw_tape *tape, const int64_t *ids, int64_t count);
    sw_tensor (*head)(void *user, sw_tape *tape, sw_tensor z, const int64_t *ids, int64_t count);
    /* Optional: these samples come next. */
    void (*prefetch)(void *user, const int64_t *ids, int64_t count);
    /* Generalized linear model without a tape, with features, outputs and bias as above. It goes before rows and head;
     * with a `loss` besides, values and gradients are taken from that. */
    const sw_glm_data *glm;
} sw_objective;

/* All of the following reset the tape, keep its switches and bindings, and see the random numbers of
 * `draw`.
 * x NULL means the parameters' own vector. ids NULL with count n means all samples in order. */

/* Mean loss at x; records nothing. */
SW_API sw_status sw_objective_value(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                    int64_t count, uint64_t draw, double *value);
/* The same over many samples, in chunks of at most `chunk` (0: 1000), in a fixed order: the mean by the
 * weights of the chunks' losses. */
SW_API sw_status sw_objective_value_chunked(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                            int64_t count, int64_t chunk, uint64_t draw, double *value);
/* Mean loss (unless NULL) and its gradient at x. g is overwritten: it need not be fresh. */
SW_API sw_status sw_objective_gradient(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                       int64_t count, uint64_t draw, double *value, sw_gradient *g);
/* The same over many samples, in chunks of at most `chunk` (0: 1000), in a fixed order. */
SW_API sw_status sw_objective_gradient_chunked(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                               int64_t count, int64_t chunk, uint64_t draw, double *value,
                                               sw_gradient *g);
/* The weight of the loss that one of these functions evaluated last on the tape, all chunks together: Σ
 * weight, or SW_SUMMED; for an objective without a tape, the number of samples. NaN before the first. */
SW_API double sw_tape_loss_weight(const sw_tape *tape);
SW_API bool sw_objective_is_glm(const sw_objective *f);
/* Whether the members fit together: what is needed is there, x has the length that features, outputs and bias say, and of
 * `glm` labels, targets and weights are in their ranges. An optimizer does it when it is bound. O(n) for `glm`. */
SW_API sw_status sw_objective_check(const sw_objective *f);
/* For a generalized linear model, the n·k numbers s_i = weight·∂loss/∂z_i with one backward to z, weight
 * that of the loss (sw_tape_loss_weight): s is [count, outputs] in the parameters' type. For a plain mean
 * s_i = ∂l_i/∂z_i and ∇f_i = s_i a_iᵀ (and s_i for the bias). */
SW_API sw_status sw_objective_glm_derivatives(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                              int64_t count, uint64_t draw, double *value, void *s);
/* And back: g = beta·g + Σ_i c_i [a_i, 1] for coefficients c [count, outputs], so that c = s/weight
 * gives the mean gradient. g has dim elements; c and g are in the parameters' type. */
SW_API sw_status sw_objective_glm_combine(const sw_objective *f, sw_tape *tape, const int64_t *ids, int64_t count,
                                          const void *c, double beta, void *g);

/* Bounds on the curvature of a generalized linear model with known loss: f_i has a gradient with the Lipschitz constant
 * L_i = weight_i·scale·h·(‖a_i‖² + 1 if there is a bias), h the sw_head_curvature. Gives the largest and the mean L_i; either may
 * be NULL. An error for POISSON, which has none, and for objectives without `glm`. */
SW_API sw_status sw_objective_lipschitz(const sw_objective *f, double *largest, double *mean);

/* Of an objective with `glm`: ‖a_i‖² of all n samples. */
SW_API void sw_objective_squared_norms(const sw_objective *f, double *squares);

/* A generalized linear model with its parameters: "weight" [outputs, features] and "bias" [outputs], zeros. */
typedef struct sw_glm sw_glm;
typedef struct sw_glm_options {
    size_t size; /* sizeof(sw_glm_options) */
    sw_head head;
    double delta;    /* δ of HUBER; 0: 1.35 */
    int64_t outputs; /* of MULTINOMIAL: the classes; 0: the largest class id + 1. Others: as y has columns */
    bool no_bias;
    /* [n] weights of the samples, not negative and not all 0; NULL: equal. They are copied, divided by their mean:
     * f = Σ w_i l_i / Σ w_i, whatever the batches. */
    const double *weight;
    const double *class_weight; /* [outputs], or 2 for a head with two classes: multiplies the sample's weight */
} sw_glm_options;
/* x [n, features] and y in memory: class ids (i32, u8) [n] for LOGISTIC, MULTINOMIAL and SQUARED_HINGE; else real
 * numbers (f32, f64) [n] or [n, outputs]. type: of the parameters, SW_F32 or SW_F64. An x or y of that type is read in
 * place and must outlive the model; others are converted to a copy (of sparse rows the numbers: start and index are always
 * read in place). NULL and an error for what does not fit, and for
 * numbers that are not finite. */
SW_API sw_glm *sw_glm_new(sw_dtype type, const sw_array *x, const sw_array *y, const sw_glm_options *options);
/* The same for sparse rows. */
SW_API sw_glm *sw_glm_new_sparse(sw_dtype type, const sw_csr *x, const sw_array *y, const sw_glm_options *options);
SW_API void sw_glm_free(sw_glm *glm); /* after all that was made from it */
SW_API sw_params *sw_glm_params(const sw_glm *glm);
SW_API const sw_objective *sw_glm_objective(const sw_glm *glm);
/* Predictions z = W a + b, [n, outputs] of the parameters' type, for rows [n, features] of any of the two types, at x
 * (NULL: the parameters' own vector). z->data NULL: *z becomes a new array, to be freed by sw_array_free. */
SW_API sw_status sw_glm_predict(const sw_glm *glm, const void *x, const sw_array *rows, sw_array *z);
SW_API sw_status sw_glm_predict_sparse(const sw_glm *glm, const void *x, const sw_csr *rows, sw_array *z);

#ifdef __cplusplus
}
#endif
#endif
