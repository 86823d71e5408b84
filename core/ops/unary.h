/* Elementwise operations from expressions: macros that define a kernel from an expression, functions that run such a
 * kernel, and operations of one input with up to two numbers. Include this header after kernel.h, at the top of the
 * file.
 *
 * A kernel for f32 serves f16 and bf16 too: the functions convert blocks of elements to f32 on the stack, run the
 * kernel on a block, and round its results. The results have the bits of a computation that widens whole operands to
 * f32 and rounds once at the end. If the file defines SW_KERNEL_16_BIT, its kernels for f16 and bf16 are used instead.
 *
 *     #if SW_KERNEL_PASS
 *     SW_UNARY(square, v *v)
 *     SW_UNARY(square_vjp, 2 * v * g)
 *     #else
 *     SW_UNARY_OP(square, SW_READS(0))                  // defines square_op
 *     sw_tensor my_square(sw_tensor x) {
 *         return sw_apply_unary(&square_op, x, 0, 0);
 *     }
 *     #endif
 */

#ifndef SWALE_UNARY_H
#define SWALE_UNARY_H

#include <swale/op.h>
#include <swale/parallel.h>
/* Arguments of a kernel from SW_BINARY or SW_BINARY_VJP. */
typedef struct sw_binary_args {
    const void *a, *b;
    void *out;
    bool a_repeats, b_repeats; /* the operand is one element, which is used for all */
    const void *dy;            /* the cotangents, one for each element of out; NULL for SW_BINARY */
} sw_binary_args;
/* Arguments of a kernel from SW_UNARY. */
typedef struct sw_unary_args {
    const void *x, *dy; /* the elements; the cotangents, or NULL */
    void *out;
    double factor, second; /* the numbers a and b of the expression */
} sw_unary_args;

/* Defines the kernel SW_K(name), which computes an expression of two elements `a` and `b`. out may be one of the
 * operands. */
#define SW_BINARY(name, expression) SW_BINARY_LOOPS(name, expression, 0)
/* The same for an expression of two elements and the cotangent `g`. */
#define SW_BINARY_VJP(name, expression) SW_BINARY_LOOPS(name, expression, SW_LOAD(dy, i))
#define SW_BINARY_LOOPS(name, expression, cotangent)                               \
    static void SW_K(name)(void *args, int64_t begin, int64_t end, double *sums) { \
        const sw_binary_args *s = args;                                            \
        const stored *p = s->a, *q = s->b, *dy = s->dy;                            \
        stored *out = s->out;                                                      \
        const int64_t p_step = !s->a_repeats, q_step = !s->b_repeats;              \
        (void)sums, (void)dy;                                                      \
        if (p_step & q_step) {                                                     \
            SW_INDEPENDENT                                                         \
            for (int64_t i = begin; i < end; i++) {                                \
                const real a = SW_LOAD(p, i), b = SW_LOAD(q, i), g = cotangent;    \
                (void)a, (void)b, (void)g;                                         \
                SW_STORE(out, i, expression);                                      \
            }                                                                      \
        } else if (p_step) {                                                       \
            const real b = SW_LOAD(q, 0);                                          \
            SW_INDEPENDENT                                                         \
            for (int64_t i = begin; i < end; i++) {                                \
                const real a = SW_LOAD(p, i), g = cotangent;                       \
                (void)a, (void)b, (void)g;                                         \
                SW_STORE(out, i, expression);                                      \
            }                                                                      \
        } else {                                                                   \
            const real a = SW_LOAD(p, 0);                                          \
            for (int64_t i = begin; i < end; i++) {                                \
                const real b = SW_LOAD(q, i * q_step), g = cotangent;              \
                (void)a, (void)b, (void)g;                                         \
                SW_STORE(out, i, expression);                                      \
            }                                                                      \
        }                                                                          \
    }

/* Defines the kernel SW_K(name), which computes an expression of an element `v`, the cotangent `g` and the numbers `a`
 * and `b`. In the kernel of a vjp, v is an element of the input or of the output, as SW_UNARY_OP says. */
#define SW_UNARY(name, expression)                                                 \
    static void SW_K(name)(void *args, int64_t begin, int64_t end, double *sums) { \
        const sw_unary_args *s = args;                                             \
        const stored *restrict p = s->x, *restrict q = s->dy ? s->dy : s->x;       \
        stored *restrict out = s->out;                                             \
        const real a = (real)s->factor, b = (real)s->second;                       \
        (void)sums, (void)a, (void)b;                                              \
        for (int64_t i = begin; i < end; i++) {                                    \
            const real v = SW_LOAD(p, i), g = SW_LOAD(q, i);                       \
            (void)v, (void)g;                                                      \
            SW_STORE(out, i, expression);                                          \
        }                                                                          \
    }

/* Defines the operation fn##_op from the kernels fn and fn##_vjp. `reads` says what v is in fn##_vjp: SW_READS(0) for
 * the input, SW_READS_OUT for the output, 0 if the vjp reads neither. */
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
                                  .vjp_reads = reads,                                                         \
                                  .takes_16_bit = true};

#ifdef __cplusplus
extern "C" {
#endif

/* The functions of operations from SW_UNARY_OP; and sw_apply_unary, which performs such an operation with the numbers a
 * and b. */
SW_API sw_status sw_unary_shape(sw_call *call);
SW_API sw_status sw_unary_forward(sw_call *call, const sw_kernels *kernels);
SW_API sw_status sw_unary_vjp(sw_call *call, const sw_kernels *kernels);
SW_API sw_tensor sw_apply_unary(const sw_op *op, sw_tensor x, double a, double b);
/* Runs a kernel from SW_UNARY over n elements of a floating-point type. */
SW_API void sw_unary_run(const sw_kernels *kernels, sw_dtype type, const sw_unary_args *args, int64_t n);

/* The shape rule of an operation of kernels from SW_BINARY: inputs of one floating-point type, which are broadcast
 * together. Set takes_16_bit and broadcasts in its sw_op. */
SW_API sw_status sw_binary_shape(sw_call *call);
/* Runs a kernel from SW_BINARY over the elements of out, to whose shape a and b are broadcast. All three are f64, or
 * each of them is f32, f16 or bf16; the result is rounded once, to the type of out. */
SW_API void sw_binary_run(const sw_kernels *kernels, const sw_view *a, const sw_view *b, const sw_view *out);
/* The same for a kernel from SW_BINARY_VJP. The cotangents dy have the shape of out, and may have another of the
 * types. */
SW_API void sw_binary_run_vjp(const sw_kernels *kernels, const sw_view *a, const sw_view *b, const sw_view *dy,
                              const sw_view *out);

#ifdef __cplusplus
}
#endif
#endif
