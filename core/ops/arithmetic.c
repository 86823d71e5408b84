/* Elementwise arithmetic. */
#include <swale/kernel.h>
#include <swale/unary.h>
#include <swale/extend.h>

#include "core/ops/shared.h"

#if SW_KERNEL_PASS

SW_BINARY(add, a + b)
SW_BINARY(sub, a - b)
SW_BINARY(mul, a *b)
SW_UNARY(scale, a *v)
SW_UNARY(scale_vjp, a *g)

#else /* ---- once ---- */

const sw_kernels swi_add_kernels = SW_KERNEL_TABLE(add);
const sw_kernels swi_mul_kernels = SW_KERNEL_TABLE(mul);
static const sw_kernels negate_kernels = SW_KERNEL_TABLE(scale), sub_kernels = SW_KERNEL_TABLE(sub);

/* ---- add, sub, mul ---- */

/* Whether the operands, which have one type, are one f32 each. Such an operation takes less time than the call of a
 * kernel. */
static inline bool arithmetic_is_scalar(const sw_call *c) {
    return c->out->count == 1 && c->out->type == SW_F32;
}

static inline float arithmetic_scalar(const void *x) {
    return *(const float *)x;
}

static sw_status add_forward(sw_call *c) {
    if (arithmetic_is_scalar(c))
        *(float *)c->out->data = arithmetic_scalar(c->in[0]->data) + arithmetic_scalar(c->in[1]->data);
    else
        sw_binary_run(&swi_add_kernels, c->in[0], c->in[1], c->out);
    return SW_OK;
}

static sw_status add_vjp(sw_call *c) {
    sw_call_pass_grad(c, 0);
    sw_call_pass_grad(c, 1);
    return SW_OK;
}

static sw_status sub_forward(sw_call *c) {
    if (arithmetic_is_scalar(c))
        *(float *)c->out->data = arithmetic_scalar(c->in[0]->data) - arithmetic_scalar(c->in[1]->data);
    else
        sw_binary_run(&sub_kernels, c->in[0], c->in[1], c->out);
    return SW_OK;
}

static sw_status sub_vjp(sw_call *c) {
    sw_call_pass_grad(c, 0);
    if (sw_call_wants_grad(c, 1)) {
        sw_unary_args args = {.x = c->cotangent, .out = sw_call_grad(c, 1), .factor = -1};
        if (!args.out)
            return SW_ERR_MEMORY;
        sw_unary_run(&negate_kernels, c->out->type, &args, c->out->count);
    }
    return SW_OK;
}

static sw_status mul_forward(sw_call *c) {
    if (arithmetic_is_scalar(c))
        *(float *)c->out->data = arithmetic_scalar(c->in[0]->data) * arithmetic_scalar(c->in[1]->data);
    else
        sw_binary_run(&swi_mul_kernels, c->in[0], c->in[1], c->out);
    return SW_OK;
}

static void mul_by_cotangent(const sw_call *c, const sw_view *factor, void *to) {
    sw_view dy = *c->out, d = *c->out;
    dy.data = (void *)(uintptr_t)c->cotangent;
    d.data = to;
    sw_binary_run(&swi_mul_kernels, &dy, factor, &d);
}

static sw_status mul_vjp(sw_call *c) {
    for (int i = 0; i < 2; i++) {
        if (!sw_call_wants_grad(c, i))
            continue;
        void *const to = sw_call_grad(c, i);
        if (!to)
            return SW_ERR_MEMORY;
        if (arithmetic_is_scalar(c))
            *(float *)to = arithmetic_scalar(c->cotangent) * arithmetic_scalar(c->in[1 - i]->data);
        else
            mul_by_cotangent(c, c->in[1 - i], to);
    }
    return SW_OK;
}

static const sw_op add_op = {.size = sizeof(sw_op),
                             .name = "add",
                             .shape = sw_binary_shape,
                             .forward = add_forward,
                             .vjp = add_vjp,
                             .broadcasts = true,
                             .takes_16_bit = true};
static const sw_op sub_op = {.size = sizeof(sw_op),
                             .name = "sub",
                             .shape = sw_binary_shape,
                             .forward = sub_forward,
                             .vjp = sub_vjp,
                             .broadcasts = true,
                             .takes_16_bit = true};
static const sw_op mul_op = {.size = sizeof(sw_op),
                             .name = "mul",
                             .shape = sw_binary_shape,
                             .forward = mul_forward,
                             .vjp = mul_vjp,
                             .broadcasts = true,
                             .vjp_reads = SW_READS(0) | SW_READS(1),
                             .takes_16_bit = true};

sw_tensor sw_add(sw_tensor a, sw_tensor b) {
    return sw_apply(&add_op, NULL, 0, 2, (sw_tensor[]){a, b});
}

sw_tensor sw_sub(sw_tensor a, sw_tensor b) {
    return sw_apply(&sub_op, NULL, 0, 2, (sw_tensor[]){a, b});
}

sw_tensor sw_mul(sw_tensor a, sw_tensor b) {
    return sw_apply(&mul_op, NULL, 0, 2, (sw_tensor[]){a, b});
}

/* ---- scale ---- */

SW_UNARY_OP(scale, 0)

sw_tensor sw_scale(sw_tensor a, double factor) {
    return sw_apply_unary(&scale_op, a, factor, 0);
}

#endif
