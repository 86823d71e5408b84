/* The contract of an operation: what a custom operation implements, and the functions that it calls. The library's
 * operations use nothing else. examples/extend.c has an example; sw_gradcheck tests a vjp.
 */
#ifndef SWALE_OP_H
#define SWALE_OP_H

#include <swale/status.h>
#include <swale/tape.h>
#include <swale/vector.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The data of a tensor, as an operation receives them: row-major, `count` elements. */
typedef struct sw_view {
    void *data;
    const int64_t *shape;
    int64_t count;
    int32_t rank;
    sw_dtype type;
} sw_view;

typedef struct sw_op sw_op;

/* One call of an operation. While `shape` runs, out->data is not set. */
typedef struct sw_call {
    const sw_op *op;
    sw_tape *tape;
    const void *attributes; /* the tape's copy of those given to sw_apply */
    int inputs;
    const sw_view *const *in; /* [inputs] */
    sw_view *out;
    void *saved;           /* allocated by sw_call_save, kept from forward to vjp */
    const void *cotangent; /* vjp: the gradient of the loss by out, shaped like out; else NULL */
    void *engine;
} sw_call;

/* An operation: a constant, which must outlive every tape that uses it. */
struct sw_op {
    size_t size; /* sizeof(sw_op) */
    const char *name;
    /* Checks the inputs and sets out's type and shape by one of the sw_call_set_shape functions, or fails. */
    sw_status (*shape)(sw_call *call);
    /* Fills all of out->data. It must not read elements outside the shapes of the inputs. */
    sw_status (*forward)(sw_call *call);
    /* The vector-Jacobian product. For each input i with sw_call_wants_grad(call, i), it either fills all of
     * sw_call_grad(call, i), in the shape of the input (of the output, if `broadcasts`), or calls
     * sw_call_pass_grad(call, i). It overwrites the memory; the engine accumulates the gradients and sums them over
     * broadcast axes. NULL: the operation has no derivative, and no gradient flows back through it, as with
     * sw_detach. */
    sw_status (*vjp)(sw_call *call);
    unsigned vjp_reads; /* what the vjp reads: SW_READS(i) for the values of input i, SW_READS_OUT for out */
    bool broadcasts;    /* inputs are broadcast to the shape of the output */
    bool is_view;       /* out shares the elements of input 0; forward is NULL */
    /* The operation uses parameters that are not among its inputs: forward and vjp call sw_param_use. An example is a
     * segment that the vjp computes again. While SW_RECORD is on, out then needs a gradient even if no input needs one,
     * unless every parameter that forward used is frozen (on this tape, by sw_tape_freeze, or everywhere). If forward
     * used no parameter, out needs a gradient too. The vjp itself runs backward into the parameters (sw_backward_from).
     * sw_backward refuses the operation if its parameters have changed since forward. Without this flag, such
     * parameters are not trained if no input needs a gradient. A vjp is required.
     *
     * A segment: forward allocates a sw_mark by sw_call_save, sets it by sw_tape_mark, runs the layers with SW_RECORD
     * off on sw_input of its input, copies their value to out, and rewinds. So that later layers do not draw the random
     * numbers of the segment again, forward reads random_calls of a second mark before the rewind, and restores them
     * afterwards by sw_tape_rewind_random. The vjp calls sw_call_grad, marks, calls sw_tape_rewind_random with the mark
     * of forward, runs the layers again on a sw_variable, calls sw_backward_from, copies sw_grad, and rewinds. */
    SW_ADDED bool reads_params;
    /* The operation reads inputs in f16 and bf16 itself: shape, forward and vjp accept them if all floating-point
     * inputs have one of these types. The gradient of an input has the type of the input, and the cotangent that of
     * out. Views need not set it.
     *
     * Without the flag, and if the types of the inputs differ, the engine does the conversions: shape, forward and vjp
     * see 16-bit inputs as copies in f32, and the values in vjp_reads, the cotangent and the gradients too. A result in
     * f32 is then rounded to the type of the inputs (sw_call_result_type); other results (i32, u8) keep their type. The
     * gradients are rounded once, after sums over broadcast axes. The tape keeps only the 16-bit values, and what the
     * operation saves. */
    SW_ADDED bool takes_16_bit;
    /* For inputs in f16 and bf16 the result is f32, as that of sums and losses. See sw_call_result_type. */
    SW_ADDED bool f32_result;
};
#define SW_READS(input) (1u << (input)) /* 0 to 30; 30 stands for input 30 and all later ones */
#define SW_READS_OUT (1u << 31)

/* Performs an operation on `count` inputs of one tape and returns its output; a null tensor after an error. `bytes`
 * bytes of `attributes` (may be NULL for 0 bytes) are copied. */
SW_API sw_tensor sw_apply(const sw_op *op, const void *attributes, size_t bytes, int count, const sw_tensor *inputs);

/* For `shape`: */
SW_API sw_status sw_call_set_shape(sw_call *call, sw_dtype type, int rank, const int64_t *shape);
SW_API sw_status sw_call_set_shape_like(sw_call *call, int input); /* type and shape of an input */
SW_API sw_status sw_call_set_shape_broadcast(sw_call *call);       /* all inputs, of one type, broadcast together */
/* As sw_call_set_shape_broadcast, but the inputs may have any types, and out has the given type. */
SW_API sw_status sw_call_set_shape_broadcast_of(sw_call *call, sw_dtype type);
/* An error unless input `first` and all later inputs have one type. */
SW_API sw_status sw_call_check_equal_types(const sw_call *call, int first);
/* Converts an axis of input 0, which counts from the end if it is negative, to an axis from the start. An axis out of
 * range is an error. */
SW_API sw_status sw_call_axis(const sw_call *call, int axis, int *from_start);
/* All inputs f32, or all f64. An operation without takes_16_bit sees 16-bit inputs as f32. */
SW_API sw_status sw_call_check_real(sw_call *call);
/* All inputs of one floating-point type, for operations with takes_16_bit. */
SW_API sw_status sw_call_check_float(sw_call *call);
/* For `shape`: the type of a result that is computed from the floating-point inputs. It is their type, except in two
 * cases in which it is f32: the inputs are f16 or bf16 and the operation has f32_result; or their types differ, which
 * is possible for f16, bf16 and f32 alone (as in PyTorch: f32 is the smallest type that contains them). If no input is
 * of a floating-point type, the type of input 0. */
SW_API sw_dtype sw_call_result_type(const sw_call *call);
/* Allocates memory in which forward passes data to vjp (as call->saved). It is kept until the vjp has run, and if the
 * program has not released out, as long as out. Call it once, in `shape` or `forward`. NULL and an error if there is
 * not enough memory. */
SW_API void *sw_call_save(sw_call *call, size_t bytes);
/* For `forward` of a loss: declares that out is a mean that was divided by `weight` (finite, ≥ 0), or a sum
 * (SW_SUMMED). If it is not called, out has the weight of its inputs (loss_mean.h). */
SW_API sw_status sw_call_set_weight(sw_call *call, double weight);
/* Allocates memory for the duration of this call, at most 4 blocks. NULL and an error if there is not enough memory. */
SW_API void *sw_call_scratch(sw_call *call, size_t bytes);

/* For `vjp`: whether the gradient of an input is needed, and the memory for it (NULL and an error if there is not
 * enough memory). A vjp that records operations itself (sw_tape_mark, …, sw_backward_from, sw_tape_rewind) calls
 * sw_call_grad and sw_call_scratch before the mark, because a rewind frees what was allocated after the mark.
 * (sw_recompute in tape.h does that for a function of tensors.) */
SW_API bool sw_call_wants_grad(const sw_call *call, int input);
SW_API void *sw_call_grad(sw_call *call, int input);
/* For a vjp that writes the gradient of a large parameter in parts: the object to which it reports the parts that have
 * their final values (sw_squares_report in vector.h; sw_product has a member for it), so that a step need not read the
 * gradient again to check it for Inf and NaN. Call it after sw_call_grad. NULL if no report is wanted, which is the
 * usual case. After a report the vjp must not change the elements. A vjp that reports nothing is correct too. */
SW_API sw_squares *sw_call_squares(const sw_call *call, int input);
/* Declares that the gradient of this input equals the cotangent. */
SW_API void sw_call_pass_grad(sw_call *call, int input);

/* For functions composed of operations: the view of the tensor x, which is input number `input` of the function `who`.
 * NULL for a null tensor (if no error is pending, with an error) and for a stale tensor, with an error that names
 * `who`. */
SW_API const sw_view *sw_tensor_view(sw_tensor x, const char *who, int input);

/* For operations that draw random numbers: the key of this call, which depends on the seed, the draw, the site and the
 * number of earlier random operations of the pass; and the ids of the samples.
 *
 * The numbers that an element of a tensor draws must depend on the key, on the id of its sample and on its position
 * within the sample, and on nothing else: not on the batch, the shard or the chunk in which the sample is. A reshape
 * may have merged other axes into axis 0, [batch, time, features] into [batch·time, features]. sw_tape_row_samples
 * tells how to find the sample: with k = *rows_per_sample, row r (0 to rows-1) is row r % k of sample ids[r / k], or of
 * sample number r / k if the function returns NULL. k is the number of rows divided by the number of ids of the tape,
 * if this is an integer. The function assumes that the k rows of a sample follow one another, as after a reshape. This
 * is wrong after an operation that moves another axis to the front; transpose back before you draw. If the quotient is
 * not an integer, or if there are no ids, the function returns NULL, and k is 1. The ids are valid until the reset. */
SW_API uint64_t sw_tape_random_key(sw_tape *tape, uint64_t site);
SW_API const int64_t *sw_tape_row_samples(const sw_tape *tape, int64_t rows, int64_t *rows_per_sample);
/* The ids given to sw_tape_set_sample_ids if there are `rows` of them, otherwise NULL. */
SW_API const int64_t *sw_tape_sample_ids(const sw_tape *tape, int64_t rows);

/* For layers with running statistics, and the `forward` of their operations: reports a statistic of this batch for a
 * buffer. See "Buffers" in params.h. values: of the buffer's shape, f32 or f64, whatever the type of the parameters.
 * weight: the number of values from which each element was computed, for example samples times pixels; finite, ≥ 0; a
 * report with weight 0 is ignored. momentum: from 0 to 1, equal in all reports of a step for this buffer. If
 * sw_tape_wants_statistics is false, the function does nothing, which is not an error. */
SW_API sw_status sw_tape_put_statistic(sw_tape *tape, sw_param *buffer, sw_array values, double weight,
                                       double momentum);
/* A mean and a variance of `weight` values for each element. The variance is that of the population:
 * Σ (value - mean)² / weight. */
typedef struct sw_batch_moments {
    size_t size; /* sizeof(sw_batch_moments) */
    sw_array mean, variance;
    double weight;
    /* true: the buffer gets the pooled variance times N/(N - 1), where N is the sum of all weights (as in PyTorch);
     * false: the pooled variance itself (as in JAX). */
    bool unbiased;
} sw_batch_moments;
/* As sw_tape_put_statistic, for a mean and its variance, two buffers of equal shape. Several reports of a step are
 * combined to the mean and the variance of all values together, so that the variance includes the differences between
 * the means of the parts. */
SW_API sw_status sw_tape_put_moments(sw_tape *tape, sw_param *mean, sw_param *variance, const sw_batch_moments *moments,
                                     double momentum);
/* Whether a report for this buffer has an effect. If not, a layer need not compute statistics that it does not use
 * itself. True while SW_TRAIN and SW_UPDATE_BUFFERS are on, the parameters are built and not frozen on the tape
 * (sw_tape_freeze), and no backward pass is under way, which may recompute a segment. */
SW_API bool sw_tape_wants_statistics(const sw_tape *tape, const sw_param *buffer);

/* Makes the tape call release(user) once, when the tape is reset or freed, in the thread that does so. Use it to free
 * memory that tensors read in place (sw_input). `release` must not use the tape. After an error (SW_ERR_MEMORY) it will
 * not be called. */
SW_API sw_status sw_tape_defer(sw_tape *tape, void (*release)(void *user), void *user);

/* Sets the name of the current layer, for error messages, and returns the previous name. The string must be valid until
 * the tape is reset. */
SW_API const char *sw_tape_set_layer(sw_tape *tape, const char *name);

#ifdef __cplusplus
}
#endif
#endif
