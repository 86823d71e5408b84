/* Tapes and tensors. A tape records the operations that a program performs, in order. sw_backward processes them in
 * reverse order and computes gradients (reverse-mode automatic differentiation).
 *
 * A training step: make tensors from data and parameters, compute a loss, call sw_backward, take an optimizer step, and
 * reset the tape.
 */
#ifndef SWALE_TAPE_H
#define SWALE_TAPE_H

#include <swale/params.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sw_tape sw_tape;

/* A handle of a tensor, passed by value. The memory of the tensor belongs to the tape and is valid until the tape is
 * reset. After the reset, functions recognize the handle as stale and fail. {0} is the null tensor. */
typedef struct sw_tensor {
    sw_tape *tape;
    uint32_t slot;
    uint32_t generation;
} sw_tensor;

/* Makes an empty tape; NULL after an error. */
SW_API sw_tape *sw_tape_new(void);
/* Frees the tape and its tensors. Accepts NULL. */
SW_API void sw_tape_free(sw_tape *tape);
/* Discards every tensor in O(1) and keeps the memory for the next step. Increments the draw number; keeps switches,
 * bindings and frozen parameters. Call it after each step or evaluation. If a program never calls it, recording fails
 * when the tape holds 2^24 tensors, or when it holds 1 GiB and the parameters have changed 100 times. */
SW_API void sw_tape_reset(sw_tape *tape);

/* Switches of a tape, independent of one another. A new tape has SW_RECORD, SW_TRAIN and SW_UPDATE_BUFFERS on. For an
 * evaluation turn SW_RECORD and SW_TRAIN off. */
typedef enum sw_switch {
    SW_RECORD = 1, /* operations keep what backward needs */
    SW_TRAIN = 2,  /* dropout is active, and layers with running statistics use those of the batch */
    /* While SW_TRAIN is on too, layers report the statistics of their batch for running statistics ("Buffers" in
     * params.h). Turn the switch off for a forward pass of the training that must not change them, for example at
     * another point. Inside a vjp, which may recompute a segment, reports never have an effect. */
    SW_UPDATE_BUFFERS = 4,
    /* Every result and every gradient is checked. The first NaN, or the first Inf that no input contained, is an error
     * (SW_ERR_NONFINITE) that names the layer, the operation, the element and a summary of the inputs. An input or a
     * parameter that holds a NaN is reported by the first operation that reads it. An input or a parameter may hold
     * Inf, as an attention mask does. A gradient in f16 that overflows because of the loss scale is an error too; the
     * message has the scale. */
    SW_CHECK = 8,
    /* No memory is reused before the reset: sw_release has no effect, and every tensor keeps its gradient, as after
     * sw_retain_grad. Set it before recording. It is useful for sw_tape_dot. */
    SW_KEEP = 16,
    /* Each sw_backward first measures what layers keep for it: see sw_tape_activations. It takes one pass over the
     * nodes. */
    SW_MEASURE = 32
} sw_switch;
/* Turns one or several switches (joined by |) on or off. */
SW_API void sw_tape_set_switch(sw_tape *tape, unsigned switches, bool on);
SW_API bool sw_tape_switch(const sw_tape *tape, sw_switch which);

/* Makes the leaves of `params` on this tape read the vector `x` and accumulate into `g`; NULL stands for the vector and
 * the gradient block of `params`. Nothing is copied, and it takes O(1) time. An error if a leaf of `params` is already
 * on the tape: reset the tape first. */
SW_API sw_status sw_tape_bind(sw_tape *tape, sw_params *params, const void *x, sw_gradient *g);
/* Makes the leaves of `params` on this tape need no gradient (or, with false, need one again). Use it for a model that
 * a program evaluates on the tape while it trains another one. */
SW_API sw_status sw_tape_freeze(sw_tape *tape, sw_params *params, bool frozen);

/* Sets the ids of the samples in axis 0 of the tensors that follow, until the next reset. They are copied. The random
 * numbers of a sample depend on its id, also if a reshape has merged axes of the samples into axis 0. The number of
 * ids is the weight of a loss that does not state one. */
SW_API sw_status sw_tape_set_sample_ids(sw_tape *tape, const int64_t *ids, int64_t count);
/* Selects the random numbers of this pass: they are a function of seed, draw, site (a layer) and sample id. */
SW_API void sw_tape_set_draw(sw_tape *tape, uint64_t draw);
SW_API uint64_t sw_tape_draw(const sw_tape *tape);
SW_API void sw_tape_set_seed(sw_tape *tape, uint64_t seed);

/* The memory of the tape in bytes. The largest amount in use at one time since the last reset; the amount that was
 * touched since then, which includes free memory between blocks; and the amount allocated, for the arena and for nodes.
 * */
SW_API size_t sw_tape_peak_bytes(const sw_tape *tape);
SW_API size_t sw_tape_touched_bytes(const sw_tape *tape);
SW_API size_t sw_tape_held_bytes(const sw_tape *tape);
/* The arena holds everything that a pass makes, except the nodes. Its capacity is what it has allocated. Its high-water
 * mark is the largest part of the capacity that a pass has needed so far, including blocks that were released and not
 * used again. The live set is the largest amount that was in use at one time in any pass, with the rounding of blocks
 * to lines of SW_ALIGNMENT bytes. Therefore live set ≤ high-water mark ≤ capacity, and the difference of the first two
 * is lost to fragmentation. */
SW_API size_t sw_tape_capacity_bytes(const sw_tape *tape);
SW_API size_t sw_tape_high_water_bytes(const sw_tape *tape);
SW_API size_t sw_tape_live_set_bytes(const sw_tape *tape);

/* The activations of a layer: what its operations keep in the arena for backward. */
typedef struct sw_tape_layer {
    const char *layer; /* the name (sw_tape_set_layer); NULL: outside of layers, a copied batch for example */
    int64_t values;    /* how many values are kept */
    size_t bytes;      /* their bytes, without rounding */
} sw_tape_layer;
/* What the tape measured while SW_MEASURE was on, at the beginning of the sw_backward that found the most bytes: the
 * values in the arena that vjps will read, each once, in the layer that computed it, and what operations saved
 * (sw_call_save). Parameters and arrays that the tape reads in place are not in the arena. Fills in at most `most`
 * entries, in the order of the first value of each layer, and returns how many there are (which may be more). They are
 * valid until the next sw_backward, and after a reset. `entries` may be NULL if `most` is 0. */
SW_API int sw_tape_activations(const sw_tape *tape, sw_tape_layer *entries, int most);

/* ---- Tensors ---- */

/* A leaf without gradient that reads the array in place: the array must be valid until the reset. */
SW_API sw_tensor sw_input(sw_tape *tape, sw_array array);
/* As sw_input, but the tape makes a copy, so that the array need not outlive the call. */
SW_API sw_tensor sw_input_copy(sw_tape *tape, sw_array array);
/* As sw_input, with a gradient, which sw_grad returns after sw_backward. Of a floating-point type. */
SW_API sw_tensor sw_variable(sw_tape *tape, sw_array array);
/* An uninitialized leaf without gradient in memory of the tape. Fill it through sw_value before it is used. */
SW_API sw_tensor sw_empty(sw_tape *tape, sw_dtype type, int rank, const int64_t *shape);
/* A scalar constant: sw_add(x, sw_constant(tape, SW_F32, 1)). For i32 and u8 the value must be an integer in the range
 * of the type. */
SW_API sw_tensor sw_constant(sw_tape *tape, sw_dtype type, double value);
/* The leaf of a parameter. Further calls in the same pass return the same leaf. */
SW_API sw_tensor sw_param_use(sw_tape *tape, sw_param *param);

SW_API bool sw_is_null(sw_tensor t); /* {0}: what an operation returns after an error */
/* Whether t is not null and belongs to the current pass of its tape, which must not have been freed. Never an error. */
SW_API bool sw_is_live(sw_tensor t);
/* A view of the values, in the tape's memory, valid until the reset. data is NULL for a null or stale tensor. */
SW_API sw_array sw_value(sw_tensor t);
/* The element of a tensor that has exactly one, as double. NaN and an error for other tensors. */
SW_API double sw_item(sw_tensor t);
/* The gradient of a sw_variable, of a parameter's leaf, or of a tensor marked by sw_retain_grad. data is NULL (without
 * an error) if no gradient reached this tensor. The gradient of a parameter is that of its block: in f16 and bf16, it
 * is multiplied by the loss scale (sw_gradient_scale). All other gradients are without this factor. */
SW_API sw_array sw_grad(sw_tensor t);
/* Keeps the gradient of an intermediate tensor for sw_grad. Returns t. */
SW_API sw_tensor sw_retain_grad(sw_tensor t);
/* Declares that the program will not use t again, so that its memory is reused within the step as soon as no vjp needs
 * it. Using it later is an error. sw_nn_sequential releases the tensors that it passes from layer to layer. */
SW_API void sw_release(sw_tensor t);
/* Returns a tensor with the same values, through which no gradient flows back. */
SW_API sw_tensor sw_detach(sw_tensor t);

/* Computes the gradients of a scalar in one reverse pass and accumulates them in the gradient block, which a step makes
 * fresh. The gradients of several backward passes between two resets of the tape are added. Gradients that are computed
 * after a reset, or on other tapes, are averaged by the weights of their losses (loss_mean.h). Therefore the block
 * holds the gradient of the mean over all samples, however they were divided into parts. The parameters must not have
 * changed since the loss was recorded: after a step, record the loss again. If they have a loss scale
 * (sw_params_set_loss_scale), all gradients are computed with this factor. A loss in f16 is then an error
 * (SW_ERR_NONFINITE) if the scale is above 2^15, because f16 has no larger power of 2: compute the loss in f32. */
SW_API sw_status sw_backward(sw_tensor loss);
/* As sw_backward, for a tensor t of any shape and its cotangent: the gradient of a scalar with respect to t, an array
 * of t's type and shape. The function multiplies the cotangent by the loss scale. Inside a vjp neither function does,
 * because the cotangent of the vjp has the factor already. */
SW_API sw_status sw_backward_from(sw_tensor t, sw_array cotangent);

/* ---- Recomputation ---- */

/* A function of tensors: computes its result on the tape from the inputs. */
typedef sw_tensor (*sw_function)(void *user, sw_tape *tape, const sw_tensor *inputs);

/* f(inputs), of which the tape keeps nothing but the result: what f records is discarded, and backward calls f again. A
 * network of n segments needs the memory of n results and of one segment at a time, for one more forward (T. Chen et
 * al., Training deep nets with sublinear memory cost, 2016; elsewhere called checkpointing). Values, random numbers and
 * gradients, of the inputs and of parameters that f uses (sw_param_use), are those of a plain call of f, bit for bit.
 * Running statistics are reported by the first call. Segments may contain segments.
 *
 * f must do the same in both calls, so `user` and what it points to must be as they were until the backward has ended
 * or the tape is reset. In the second call the switches, the draw and the sample ids are those of the first. f gets
 * new tensors in place of the `count` ≥ 1 inputs. It must use other tensors from outside only if no gradient flows into
 * them, and must not call sw_backward. A null tensor after an error. */
SW_API sw_tensor sw_recompute(sw_function f, void *user, int count, const sw_tensor *inputs);

/* A position on the tape. sw_tape_rewind discards everything that was recorded after it, and if there was a backward
 * since the mark, the gradients of earlier tensors (not those of parameters). Memory that was free at the mark can be
 * used after it, and is free again after a rewind. The forward function of an operation may use it to discard what it
 * recorded, and a vjp to recompute a segment of the tape, although sw_recompute is simpler: see reads_params in op.h.
 * The engine forgets marks that a vjp, or the forward of an operation with reads_params, has taken when the function
 * returns. Random operations after a rewind, or after sw_tape_rewind_random, draw the same numbers as the operations
 * that followed the mark. */
typedef struct sw_mark {
    uint32_t slot, random_calls;
    uint64_t pass;
    void *state;
} sw_mark;
SW_API sw_mark sw_tape_mark(sw_tape *tape);
SW_API sw_status sw_tape_rewind(sw_tape *tape, sw_mark mark);
/* Restores only the state of the random numbers at the mark, of any mark since the last reset. */
SW_API void sw_tape_rewind_random(sw_tape *tape, sw_mark mark);

#ifdef __cplusplus
}
#endif
#endif
