/* Custom operations for the tests of their contract: the square, whose vjp reads its input, and the exponential, whose
 * vjp reads its output. */
#ifndef TEST_CORE_SMALL_OPS_H
#define TEST_CORE_SMALL_OPS_H

#include <swale/extend.h>

static inline sw_status like_input(sw_call *call) {
    return sw_call_set_shape_like(call, 0);
}
static inline sw_status square_forward(sw_call *call) {
    const double *x = call->in[0]->data;
    for (int64_t i = 0; i < call->out->count; i++)
        ((double *)call->out->data)[i] = x[i] * x[i];
    return SW_OK;
}
static inline sw_status square_vjp(sw_call *call) {
    const double *x = call->in[0]->data, *c = call->cotangent;
    double *to = sw_call_grad(call, 0);
    for (int64_t i = 0; to && i < call->in[0]->count; i++)
        to[i] = 2 * x[i] * c[i];
    return SW_OK;
}
static inline sw_status exp_forward(sw_call *call) {
    const double *x = call->in[0]->data;
    for (int64_t i = 0; i < call->out->count; i++)
        ((double *)call->out->data)[i] = exp(x[i]);
    return SW_OK;
}
static inline sw_status exp_vjp(sw_call *call) {
    const double *y = call->out->data, *c = call->cotangent;
    double *to = sw_call_grad(call, 0);
    for (int64_t i = 0; to && i < call->in[0]->count; i++)
        to[i] = y[i] * c[i];
    return SW_OK;
}
#define OP(text, ...) \
    { .size = sizeof(sw_op), .name = text, .shape = like_input, __VA_ARGS__ }

#endif
