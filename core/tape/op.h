/* The contract of an operation. */
#ifndef SWALE_OP_H
#define SWALE_OP_H

#include <swale/status.h>
#include <swale/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

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
/* The same, but inputs may be of any types, and out has the given one. */
SW_API sw_status sw_call_set_shape_broadcast_of(sw_call *call, sw_dtype type);
/* An error unless inputs `first` and on are of one type. */
SW_API sw_status sw_call_check_equal_types(const sw_call *call, int first);
/* An axis of input 0, counted from the start: negative ones count from the end; others are an error. */
SW_API sw_status sw_call_axis(const sw_call *call, int axis, int *from_start);
SW_API sw_status sw_call_check_real(sw_call *call); /* all inputs f32, or all f64 */
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

/* For functions that are composed of operations: type and shape of their input number `input`. NULL for a null tensor, and
 * for one that is stale, with an error that names the function `who`. */
SW_API const sw_view *sw_tensor_view(sw_tensor x, const char *who, int input);

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
