/* What files with elementwise operations share: kernels by expression, and operations of one input with
 * up to two numbers. Included after kernel.h, in every pass. */

#ifndef SWALE_UNARY_H
#define SWALE_UNARY_H
typedef struct binary_args {
    const void *a, *b;
    void *out;
    bool a_repeats, b_repeats; /* one element for all */
} binary_args;
typedef struct unary_args {
    const void *x, *dy;
    void *out;
    double factor, second;
} unary_args;
typedef struct compensated_args {
    const void *x;
    void *y, *low;
    double factor;
} compensated_args;

/* `a` and `b` are the elements; out may be one of the operands. */
#define SWI_BINARY(name, expression)                                               \
    static void SW_K(name)(void *args, int64_t begin, int64_t end, double *sums) { \
        const binary_args *s = args;                                               \
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
#define SWI_UNARY(name, expression)                                                \
    static void SW_K(name)(void *args, int64_t begin, int64_t end, double *sums) { \
        const unary_args *s = args;                                                \
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
#define SWI_UNARY_OP(fn, reads)                                                                               \
    static const sw_kernels fn##_kernels = SW_KERNEL_TABLE(fn), fn##_vjp_kernels = SW_KERNEL_TABLE(fn##_vjp); \
    static sw_status fn##_forward(sw_call *c) {                                                               \
        return swi_unary(c, &fn##_kernels);                                                                   \
    }                                                                                                         \
    static sw_status fn##_vjp(sw_call *c) {                                                                   \
        return swi_unary_vjp(c, &fn##_vjp_kernels);                                                           \
    }                                                                                                         \
    static const sw_op fn##_op = {.size = sizeof(sw_op),                                                      \
                                  .name = #fn,                                                                \
                                  .shape = swi_unary_shape,                                                   \
                                  .forward = fn##_forward,                                                    \
                                  .vjp = fn##_vjp,                                                            \
                                  .vjp_reads = reads};
#endif
