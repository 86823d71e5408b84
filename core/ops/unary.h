/* What files with elementwise operations share: kernels by expression, and operations of one input with
 * up to two numbers. Included after kernel.h, in every pass. */

#ifndef SWALE_UNARY_H
#define SWALE_UNARY_H

#include <swale/op.h>
#include <swale/parallel.h>
typedef struct sw_binary_args {
    const void *a, *b;
    void *out;
    bool a_repeats, b_repeats; /* one element for all */
} sw_binary_args;
typedef struct sw_unary_args {
    const void *x, *dy;
    void *out;
    double factor, second;
} sw_unary_args;

/* `a` and `b` are the elements; out may be one of the operands. */
#define SW_BINARY(name, expression)                                                \
    static void SW_K(name)(void *args, int64_t begin, int64_t end, double *sums) { \
        const sw_binary_args *s = args;                                            \
        const real *p = s->a, *q = s->b;                                           \
        real *out = s->out;                                                        \
        const int64_t p_step = !s->a_repeats, q_step = !s->b_repeats;              \
        (void)sums;                                                                \
        if (p_step & q_step) {                                                     \
            SW_INDEPENDENT                                                         \
            for (int64_t i = begin; i < end; i++) {                                \
                const real a = p[i], b = q[i];                                     \
                out[i] = expression;                                               \
            }                                                                      \
        } else if (p_step) {                                                       \
            const real b = q[0];                                                   \
            SW_INDEPENDENT                                                         \
            for (int64_t i = begin; i < end; i++) {                                \
                const real a = p[i];                                               \
                out[i] = expression;                                               \
            }                                                                      \
        } else {                                                                   \
            const real a = p[0];                                                   \
            for (int64_t i = begin; i < end; i++) {                                \
                const real b = q[i * q_step];                                      \
                out[i] = expression;                                               \
            }                                                                      \
        }                                                                          \
    }

/* `v` is the element (in a vjp: of what it reads), `g` the cotangent's, `a` and `b` the numbers. */
#define SW_UNARY(name, expression)                                                 \
    static void SW_K(name)(void *args, int64_t begin, int64_t end, double *sums) { \
        const sw_unary_args *s = args;                                             \
        const real *restrict p = s->x, *restrict q = s->dy ? s->dy : s->x;         \
        real *restrict out = s->out;                                               \
        const real a = (real)s->factor, b = (real)s->second;                       \
        (void)sums, (void)a, (void)b;                                              \
        for (int64_t i = begin; i < end; i++) {                                    \
            const real v = p[i], g = q[i];                                         \
            (void)v, (void)g;                                                      \
            out[i] = expression;                                                   \
        }                                                                          \
    }

/* The operation NAME_op from kernels NAME and NAME_vjp; `reads`: what its vjp's v is. */
#define SW_UNARY_OP(fn, reads)                                                                                \
    static const sw_kernels fn##_kernels = SW_KERNEL_TABLE(fn), fn##_vjp_kernels = SW_KERNEL_TABLE(fn##_vjp); \
    static sw_status fn##_forward(sw_call *c) {                                                               \
        return sw_unary_forward(c, &fn##_kernels);                                                            \
    }                                                                                                         \
    static sw_status fn##_vjp(sw_call *c) {                                                                   \
        return sw_unary_vjp(c, &fn##_vjp_kernels);                                                            \
    }                                                                                                         \
    static const sw_op fn##_op = {.size = sizeof(sw_op),                                                      \
                                  .name = #fn,                                                                \
                                  .shape = sw_unary_shape,                                                    \
                                  .forward = fn##_forward,                                                    \
                                  .vjp = fn##_vjp,                                                            \
                                  .vjp_reads = reads};

/* Functions of operations made by SW_UNARY_OP, and such an operation with its numbers. */
SW_API sw_status sw_unary_shape(sw_call *call);
SW_API sw_status sw_unary_forward(sw_call *call, const sw_kernels *kernels);
SW_API sw_status sw_unary_vjp(sw_call *call, const sw_kernels *kernels);
SW_API sw_tensor sw_apply_unary(const sw_op *op, sw_tensor x, double a, double b);
/* out = a ∘ b over the shape of out, a and b broadcast to it, for kernels made by SW_BINARY. */
SW_API void sw_binary_run(const sw_kernels *kernels, const sw_view *a, const sw_view *b, const sw_view *out);

#endif
