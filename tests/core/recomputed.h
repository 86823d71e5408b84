/* A graph of nested segments of the small model, which sw_recompute runs in segments, or calls plainly. Included after
 * support.h. */
#ifndef TEST_CORE_RECOMPUTED_H
#define TEST_CORE_RECOMPUTED_H

#include "small_model.h"

static bool recomputing; /* the same graph plainly, or in segments */

static inline sw_tensor call(sw_function f, const fixture *x, int count, const sw_tensor *inputs) {
    return recomputing ? sw_recompute(f, (void *)(uintptr_t)x, count, inputs)
                       : f((void *)(uintptr_t)x, inputs[0].tape, inputs);
}

/* Uses its input three times, so that the order in which gradients are added shows in the bits. */
static inline sw_tensor gate(void *user, sw_tape *tape, const sw_tensor *in) {
    const fixture *f = user;
    sw_tensor b = sw_param_use(tape, f->m.b0), h = sw_mul(in[0], sw_tanh(sw_mul(in[0], b)));
    sw_tensor y = sw_dropout(sw_add(h, sw_scale(in[0], 0.3)), 0.3, 11);
    sw_release(h);
    return y;
}

static inline sw_tensor residual(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)tape;
    sw_tensor inner = call(gate, user, 1, in);
    return sw_add(in[0], sw_dropout(sw_mul(inner, in[0]), 0.2, 12));
}

static inline sw_tensor nested(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)tape;
    sw_tensor inner = call(residual, user, 1, in);
    return sw_add(sw_tanh(call(gate, user, 1, &inner)), sw_mul(in[0], inner));
}

/* Of several inputs: one without gradient, one parameter, and one tensor twice. */
static inline sw_tensor several(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    sw_tensor a = sw_mul(in[0], sw_tanh(in[1])), b = sw_mul(sw_add(in[2], in[3]), in[4]);
    return sw_add(sw_mul(a, b), sw_mul(in[0], in[3]));
}

static inline sw_tensor loss_inside(void *user, sw_tape *tape, const sw_tensor *in) {
    const fixture *f = user;
    sw_tensor z = sw_linear(in[0], sw_param_use(tape, f->m.w1), (sw_tensor){0});
    return sw_mse(z, in[1]);
}

static inline sw_tensor graph(const fixture *f) {
    sw_tape *tape = f->tape;
    sw_tensor h = sw_tanh(sw_linear(sw_input(tape, f->x), sw_param_use(tape, f->m.w0), sw_param_use(tape, f->m.b0)));
    sw_tensor before = sw_scale(h, 0.7), g = call(nested, f, 1, &h), late = sw_tanh(h);
    g = sw_add(sw_mul(g, before), sw_add(sw_dropout(call(residual, f, 1, &g), 0.1, 14), sw_mul(g, late)));
    sw_tensor in[5] = {g, sw_input(tape, sw_value(before)), sw_param_use(tape, f->m.b0), g, before};
    g = sw_add(call(several, f, 5, in), h);
    sw_tensor last[2] = {g, sw_input(tape, f->y)};
    return call(loss_inside, f, 2, last);
}

#endif
