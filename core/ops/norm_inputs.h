/* The optional inputs and the option ε of normalizations (norm_inputs.c). */
#ifndef SWALE_NORM_INPUTS_H
#define SWALE_NORM_INPUTS_H

#include <swale/op.h>

/* Which of the optional inputs a call has. They follow x. */
typedef struct swi_norm_inputs {
    bool weight, bias;
} swi_norm_inputs;

static inline int swi_norm_weight(const swi_norm_inputs *in) { /* the number of the input; -1: none */
    return in->weight ? 1 : -1;
}
static inline int swi_norm_bias(const swi_norm_inputs *in) {
    return !in->bias ? -1 : in->weight ? 2 : 1;
}
/* The elements of an input; NULL if there is none. */
static inline const void *swi_norm_data(const sw_call *call, int input) {
    return input < 0 ? NULL : call->in[input]->data;
}

/* Applies `op` to x and those of weight and bias that are not null; attributes begin with swi_norm_inputs, which the
 * function sets. A null tensor if one of the two is null while an error is pending. */
sw_tensor swi_norm_apply(const sw_op *op, swi_norm_inputs *attributes, size_t bytes, sw_tensor x, sw_tensor weight,
                         sw_tensor bias);
/* An error unless weight and bias have the last `axes` axes of x, at least one. */
sw_status swi_norm_check(const sw_call *call, const swi_norm_inputs *in, int axes);
/* An error unless eps is finite and at least 0. */
sw_status swi_norm_check_eps(const sw_call *call, double eps);
/* Sets *gradient to the memory of the gradient of an input, or to NULL if none is wanted; input -1: none. */
sw_status swi_norm_gradient(sw_call *call, int input, void **gradient);

#endif
