/* A case of an operation in f16 or bf16, compared with the same operation in f32 on the same numbers: the value and the
 * gradients are those of f32, rounded once. A vjp that reads the output finds the rounded output on the tape. Include
 * this header after support.h and op_table.h. */
#ifndef TEST_CORE_HALF_CASES_H
#define TEST_CORE_HALF_CASES_H

#include <swale/vector.h>

static const sw_dtype half_types[2] = {SW_F16, SW_BF16};

static inline bool half_is(sw_dtype type) {
    return type == SW_F16 || type == SW_BF16;
}

/* A copy with the same numbers in f32; a plain copy of ids and masks. */
static inline sw_array half_widened(const sw_array *a) {
    sw_array wide = test_array(half_is(a->type) ? SW_F32 : a->type, a->rank, a->shape);
    if (half_is(a->type))
        for (int64_t i = 0; i < sw_array_count(a); i++)
            test_set(&wide, i, test_get(a, i));
    else
        memcpy(wide.data, a->data, test_bytes(a));
    return wide;
}

/* Copies rounded to `type` by half.h, not by the library's conversion of vectors. */
static inline sw_array half_rounded(sw_dtype type, const sw_array *wide) {
    sw_array a = test_array(type, wide->rank, wide->shape);
    for (int64_t i = 0; i < sw_array_count(wide); i++) {
        const float x = ((const float *)wide->data)[i];
        ((uint16_t *)a.data)[i] = type == SW_F16 ? sw_f16_from_f32(x) : sw_bf16_from_f32(x);
    }
    return a;
}

/* A copy with the shape of `out`, to which it is broadcast. */
static inline sw_array half_expanded(const sw_array *a, const sw_array *out) {
    sw_array full = test_array(a->type, out->rank, out->shape);
    for (int64_t i = 0; i < sw_array_count(out); i++) {
        int64_t rest = i, at = 0, stride = 1;
        for (int axis = out->rank - 1, own = a->rank - 1; own >= 0; axis--, own--) {
            at += (a->shape[own] == 1 ? 0 : rest % out->shape[axis]) * stride;
            rest /= out->shape[axis];
            stride *= a->shape[own];
        }
        test_set(&full, i, test_get(a, at));
    }
    return full;
}

/* The same bits, except for those of a NaN. */
static inline void half_expect_equal(const op_case *c, const char *what, const sw_array *got,
                                     const sw_array *expected) {
    assert_int_equal(got->type, expected->type);
    if (!sw_shape_equal(got->rank, got->shape, expected->rank, expected->shape))
        fail_msg("%s, case %d: %s has another shape", c->op->label, c->number, what);
    const size_t size = sw_dtype_size(got->type);
    for (int64_t i = 0; i < sw_array_count(got); i++)
        if (memcmp((char *)got->data + (size_t)i * size, (char *)expected->data + (size_t)i * size, size) != 0 &&
            !(isnan(test_get(got, i)) && isnan(test_get(expected, i))))
            fail_msg("%s, case %d, %s, %s, element %lld: %g, not %g", c->op->label, c->number,
                     sw_dtype_name(half_is(c->in[0].type) ? c->in[0].type : c->in[1].type), what, (long long)i,
                     test_get(got, i), test_get(expected, i));
}

static inline bool half_broadcasts(const op_entry *op) {
    static const char *const names[] = {"add", "sub", "mul", "div", "maximum", "minimum", "where", "pow_tensor"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(op->function, names[i]) == 0)
            return true;
    return false;
}

/* A random cotangent of the shape of `out`. */
static inline sw_array half_cotangent(sw_dtype type, const sw_array *out) {
    sw_array d = test_array(type, out->rank, out->shape);
    test_fill(&d, -1, 1, 77);
    return d;
}

/* Runs the case, and its vjp if there is a cotangent. If `output` is not NULL, its numbers replace those of the output
 * before the vjp runs. */
static inline sw_tensor half_run(const op_case *c, sw_tape *tape, const sw_array *in, sw_tensor *leaf,
                                 const sw_array *cotangent, const sw_array *output) {
    sw_tape_reset(tape);
    sw_tape_set_draw(tape, 3);
    for (int i = 0; i < c->op->inputs; i++)
        leaf[i] = op_has_gradient(c->op->kinds[i]) ? sw_variable(tape, in[i]) : sw_input(tape, in[i]);
    const sw_tensor y = c->op->build(NULL, tape, leaf);
    if (output && !sw_is_null(y))
        for (int64_t i = 0; i < sw_array_count(output); i++) {
            const sw_array value = sw_value(y);
            test_set(&value, i, test_get(output, i));
        }
    if (cotangent && !sw_is_null(y))
        assert_ok(sw_backward_from(y, *cotangent));
    if (sw_error())
        fail_msg("%s, case %d: %s", c->op->label, c->number, sw_error());
    return y;
}

/* The gradient of an input in f32, summed over broadcast axes and rounded once. The terms of such a sum are rounded
 * before they are added. */
static inline sw_array half_expected_gradient(sw_dtype type, const sw_array *in, const sw_array *gradient,
                                              const sw_array *out) {
    if (sw_array_count(gradient) == sw_array_count(in)) {
        const sw_array same = sw_array_view(gradient->data, SW_F32, in->rank, in->shape);
        return half_rounded(type, &same);
    }
    sw_array terms = half_rounded(type, gradient), wide = half_widened(&terms),
             sum = test_array(SW_F32, in->rank, in->shape);
    sw_sum_to_shape(SW_F32, out->rank, out->shape, wide.data, sum.rank, sum.shape, sum.data, 1, true);
    sw_array expected = half_rounded(type, &sum);
    test_array_free(&terms);
    test_array_free(&wide);
    test_array_free(&sum);
    return expected;
}

/* Compares the case, whose floating-point inputs have `type`, with f32. */
static inline void half_check(const op_case *c, sw_dtype type, sw_tape *tape, sw_tape *tape_f32) {
    sw_tensor leaf[OP_INPUTS], leaf_f32[OP_INPUTS];
    sw_array in[OP_INPUTS], wide[OP_INPUTS], out = sw_value(half_run(c, tape, c->in, leaf, NULL, NULL));
    const bool differentiable = !(c->op->flags & NO_GRADIENT);
    sw_array d = half_cotangent(half_is(out.type) ? out.type : SW_F32, &out), d_f32 = half_widened(&d);
    for (int i = 0; i < c->op->inputs; i++) {
        in[i] = half_broadcasts(c->op) ? half_expanded(&c->in[i], &out) : c->in[i];
        wide[i] = half_widened(&in[i]);
    }
    out = sw_value(half_run(c, tape, c->in, leaf, differentiable ? &d : NULL, NULL));
    sw_array out_f32 = sw_value(half_run(c, tape_f32, wide, leaf_f32, NULL, NULL));
    sw_array expected = half_is(out.type) ? half_rounded(type, &out_f32) : half_widened(&out_f32);
    half_expect_equal(c, "value", &out, &expected);
    if (differentiable)
        half_run(c, tape_f32, wide, leaf_f32, &d_f32, &expected);
    test_array_free(&expected);
    for (int i = 0; i < c->op->inputs; i++) {
        if (op_has_gradient(c->op->kinds[i]) && differentiable) {
            const sw_array g = sw_grad(leaf[i]), g_f32 = sw_grad(leaf_f32[i]);
            char what[16];
            snprintf(what, sizeof what, "gradient %d", i);
            expected = half_expected_gradient(type, &c->in[i], &g_f32, &out);
            half_expect_equal(c, what, &g, &expected);
            test_array_free(&expected);
        }
        test_array_free(&wide[i]);
        if (half_broadcasts(c->op))
            test_array_free(&in[i]);
    }
    test_array_free(&d);
    test_array_free(&d_f32);
}

#endif
