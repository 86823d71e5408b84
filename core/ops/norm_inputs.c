/* The optional inputs and the option ε of normalizations (norm_inputs.h). */
#include "core/ops/norm_inputs.h"

#include <swale/extend.h>

#include <math.h>

sw_tensor swi_norm_apply(const sw_op *op, swi_norm_inputs *attributes, size_t bytes, sw_tensor x, sw_tensor weight,
                         sw_tensor bias) {
    sw_tensor in[3] = {x};
    int count = 1;
    attributes->weight = !sw_is_null(weight);
    attributes->bias = !sw_is_null(bias);
    if ((!attributes->weight || !attributes->bias) && sw_error() != NULL)
        return (sw_tensor){0};
    if (attributes->weight)
        in[count++] = weight;
    if (attributes->bias)
        in[count++] = bias;
    return sw_apply(op, attributes, bytes, count, in);
}

static sw_status norm_check_input(const sw_call *c, int input, const char *name, int axes) {
    const sw_view *x = c->in[0];
    if (input < 0)
        return SW_OK;
    const sw_view *w = c->in[input];
    const int64_t *last = x->shape + x->rank - axes;
    return sw_shape_equal(w->rank, w->shape, axes, last)
               ? SW_OK
               : sw_fail(SW_ERR_SHAPE, "%s: input %s and %s %s; the %s must be %s", c->op->name,
                         sw_shape_text(x->rank, x->shape), name, sw_shape_text(w->rank, w->shape), name,
                         sw_shape_text(axes, last));
}

sw_status swi_norm_check(const sw_call *c, const swi_norm_inputs *in, int axes) {
    const sw_view *x = c->in[0];
    if (axes < 1 || axes > x->rank)
        return sw_fail(SW_ERR_SHAPE, "%s: %d last axes of %s; 1 to %d are possible", c->op->name, axes,
                       sw_shape_text(x->rank, x->shape), x->rank);
    SW_TRY(norm_check_input(c, swi_norm_weight(in), "weight", axes));
    return norm_check_input(c, swi_norm_bias(in), "bias", axes);
}

sw_status swi_norm_check_eps(const sw_call *c, double eps) {
    return eps >= 0 && eps < (double)INFINITY
               ? SW_OK
               : sw_fail(SW_ERR_ARGUMENT, "%s: eps = %g; a finite number of at least 0 is needed (0: the default)",
                         c->op->name, eps);
}

sw_status swi_norm_gradient(sw_call *c, int input, void **gradient) {
    const bool wanted = input >= 0 && sw_call_wants_grad(c, input);
    *gradient = wanted ? sw_call_grad(c, input) : NULL;
    return wanted && !*gradient ? SW_ERR_MEMORY : SW_OK;
}
