/* any and all along axes, for any element type: whether one element, or all, are not 0. */
#include <swale/extend.h>

#include "core/ops/lines.h"
#include "core/ops/shared.h"

#include <string.h>

typedef struct truth_args {
    const sw_fold_axes *axes;
    const void *x;
    uint8_t *out;
    bool all; /* whether all elements are true; else whether one is */
} truth_args;

/* The type of the elements, and whether one is true. Both zeros of a floating-point type are false, and NaN is true. */
typedef float __attribute__((may_alias)) real_f32;
typedef double __attribute__((may_alias)) real_f64;
typedef int32_t __attribute__((may_alias)) whole_i32;
typedef uint8_t __attribute__((may_alias)) whole_u8;
typedef uint16_t __attribute__((may_alias)) bits16; /* f16 and bf16, without the sign bit */

/* Sets found[i] if line i has an element whose truth is `seek`: a true one for any, a false one for all. */
#define TRUTH(type, expression)                                                                                      \
    static void truth_columns_##type(const type *x, const swi_lines *l, bool seek, uint8_t *restrict found) {        \
        for (int64_t j = 0; j < l->n; j++)                                                                           \
            for (int64_t i = 0; i < l->lines; i++) {                                                                 \
                const type v = x[j * l->step + i];                                                                   \
                found[i] |= (expression) == seek;                                                                    \
            }                                                                                                        \
    }                                                                                                                \
    static void truth_rows_##type(const type *x, const swi_lines *l, bool seek, uint8_t *restrict found) {           \
        for (int64_t i = 0; i < l->lines; i++) {                                                                     \
            int one = 0;                                                                                             \
            for (int64_t j = 0; j < l->n; j++) {                                                                     \
                const type v = x[i * l->line_step + j];                                                              \
                one |= (expression) == seek;                                                                         \
            }                                                                                                        \
            found[i] |= one != 0;                                                                                    \
        }                                                                                                            \
    }                                                                                                                \
    static void truth_##type(void *args, int64_t begin, int64_t end, double *sums) {                                 \
        const truth_args *s = args;                                                                                  \
        const sw_fold_axes *a = s->axes;                                                                             \
        (void)sums;                                                                                                  \
        for (int64_t piece = begin; piece < end; piece++) {                                                          \
            const swi_lines l = swi_lines_of(a, piece);                                                              \
            uint8_t found[SWI_LINE_COLUMNS] = {0};                                                                   \
            for (int64_t f = 0; f < a->folds; f++) {                                                                 \
                const type *x =                                                                                      \
                    (const type *)s->x + l.start + sw_fold_offset(f, a->folded, a->folded_length, a->folded_stride); \
                (a->across ? truth_columns_##type : truth_rows_##type)(x, &l, !s->all, found);                       \
            }                                                                                                        \
            for (int64_t i = 0; i < l.lines; i++)                                                                    \
                s->out[l.output + i] = found[i] != s->all;                                                           \
        }                                                                                                            \
    }
TRUTH(real_f32, v != 0)
TRUTH(real_f64, v != 0)
TRUTH(whole_i32, v != 0)
TRUTH(whole_u8, v != 0)
TRUTH(bits16, (v & 0x7FFF) != 0)

static sw_status truth_shape(sw_call *c) {
    return swi_reduction_shape(c, SW_U8);
}

static sw_status truth_forward(sw_call *c, bool all) {
    static sw_kernel *const by_type[] = {
        [SW_F32] = truth_real_f32, [SW_F64] = truth_real_f64,  [SW_F16] = truth_bits16,
        [SW_BF16] = truth_bits16,  [SW_I32] = truth_whole_i32, [SW_U8] = truth_whole_u8};
    const sw_fold_axes axes = swi_reduction_axes(c);
    truth_args args = {.axes = &axes, .x = c->in[0]->data, .out = c->out->data, .all = all};
    if (c->in[0]->count == 0)
        memset(args.out, all, sw_dry_run() ? 0 : (size_t)c->out->count);
    else
        swi_lines_run(by_type[c->in[0]->type], &args, &axes);
    return SW_OK;
}

static sw_status any_forward(sw_call *c) {
    return truth_forward(c, false);
}

static sw_status all_forward(sw_call *c) {
    return truth_forward(c, true);
}

static const sw_op any_op = {
    .size = sizeof(sw_op), .name = "any_over", .shape = truth_shape, .forward = any_forward, .takes_16_bit = true};
static const sw_op all_op = {
    .size = sizeof(sw_op), .name = "all_over", .shape = truth_shape, .forward = all_forward, .takes_16_bit = true};

sw_tensor sw_any_over(sw_tensor x, int count, const int *axes, bool keepdim) {
    return swi_reduction_apply(&any_op, x, count, axes, (swi_reduction){.keepdim = keepdim});
}

sw_tensor sw_all_over(sw_tensor x, int count, const int *axes, bool keepdim) {
    return swi_reduction_apply(&all_op, x, count, axes, (swi_reduction){.keepdim = keepdim});
}
