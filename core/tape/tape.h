/* Tapes and tensors: what a program computes is recorded, and run back for gradients. */
#ifndef SWALE_TAPE_H
#define SWALE_TAPE_H

#include <swale/params.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sw_tape sw_tape;

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

/* ---- Tensors ---- */

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

#ifdef __cplusplus
}
#endif
#endif
