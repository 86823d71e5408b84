/* Operations without kernels for f16 and bf16, and inputs of different types: the engine calls the operation in f32.
 * The operations here are custom ones that accept f32 alone and count what they see. */
#include "support.h"

#include "core/tape/node.h"
#include "helpers.h"

enum { N = 37 };
static const sw_dtype halves[2] = {SW_F16, SW_BF16};

/* ---- Operations in f32 ---- */

static int calls_in_f32;

/* Whether all floating-point inputs are f32, as shape, forward and vjp must find them. */
static bool all_f32(const sw_call *c) {
    calls_in_f32++;
    for (int i = 0; i < c->inputs; i++)
        if (sw_dtype_is_float(c->in[i]->type) && c->in[i]->type != SW_F32)
            return false;
    return true;
}

static sw_status f32_like(sw_call *c) {
    return all_f32(c) ? sw_call_set_shape_like(c, 0) : sw_fail(SW_ERR_USER, "not in f32");
}
static sw_status f32_broadcast(sw_call *c) {
    return all_f32(c) ? sw_call_set_shape_broadcast(c) : sw_fail(SW_ERR_USER, "not in f32");
}
static sw_status f32_scalar(sw_call *c) {
    return all_f32(c) ? sw_call_set_shape(c, c->in[0]->type, 0, NULL) : sw_fail(SW_ERR_USER, "not in f32");
}

static sw_status square_forward(sw_call *c) {
    const float *x = c->in[0]->data;
    float *out = c->out->data;
    for (int64_t i = 0; i < c->out->count; i++)
        out[i] = x[i] * x[i];
    return all_f32(c) ? SW_OK : SW_ERR_USER;
}
static sw_status square_vjp(sw_call *c) {
    const float *x = c->in[0]->data, *dy = c->cotangent;
    float *dx = sw_call_grad(c, 0);
    for (int64_t i = 0; dx && i < c->in[0]->count; i++)
        dx[i] = 2 * x[i] * dy[i];
    return dx && all_f32(c) ? SW_OK : SW_ERR_MEMORY;
}
static const sw_op square_op = {.size = sizeof(sw_op),
                                .name = "square",
                                .shape = f32_like,
                                .forward = square_forward,
                                .vjp = square_vjp,
                                .vjp_reads = SW_READS(0)};

/* √x, whose vjp reads the output, and saves the input too */
static sw_status root_forward(sw_call *c) {
    const float *x = c->in[0]->data;
    float *out = c->out->data, *saved = sw_call_save(c, (size_t)c->out->count * sizeof *saved);
    for (int64_t i = 0; saved && i < c->out->count; i++) {
        out[i] = sqrtf(x[i]);
        saved[i] = out[i];
    }
    return saved ? SW_OK : SW_ERR_MEMORY;
}
static sw_status root_vjp(sw_call *c) {
    const float *y = c->out->data, *dy = c->cotangent, *saved = c->saved;
    float *dx = sw_call_grad(c, 0), *each = sw_call_scratch(c, (size_t)c->out->count * sizeof *each);
    if (!dx || !each)
        return SW_ERR_MEMORY;
    for (int64_t i = 0; i < c->in[0]->count; i++)
        each[i] = saved[i] - y[i]; /* what the rounding of the output has changed */
    for (int64_t i = 0; i < c->in[0]->count; i++)
        dx[i] = dy[i] * 0.5F / (y[i] + each[i]);
    return SW_OK;
}
static const sw_op root_op = {.size = sizeof(sw_op),
                              .name = "root",
                              .shape = f32_like,
                              .forward = root_forward,
                              .vjp = root_vjp,
                              .vjp_reads = SW_READS_OUT};

/* a - b, where one of them may repeat along axis 0; passes the cotangent on */
static sw_status minus_forward(sw_call *c) {
    const float *a = c->in[0]->data, *b = c->in[1]->data;
    float *out = c->out->data;
    for (int64_t i = 0; i < c->out->count; i++)
        out[i] = a[i % c->in[0]->count] - b[i % c->in[1]->count];
    return SW_OK;
}
static sw_status minus_vjp(sw_call *c) {
    const float *dy = c->cotangent;
    if (sw_call_wants_grad(c, 0))
        sw_call_pass_grad(c, 0);
    float *db = sw_call_wants_grad(c, 1) ? sw_call_grad(c, 1) : NULL;
    for (int64_t i = 0; db && i < c->out->count; i++)
        db[i] = -dy[i];
    return SW_OK;
}
static const sw_op minus_op = {.size = sizeof(sw_op),
                               .name = "minus",
                               .shape = f32_broadcast,
                               .forward = minus_forward,
                               .vjp = minus_vjp,
                               .broadcasts = true};

/* Σ_k x_k of all elements of all inputs; the result is f32 */
static sw_status total_forward(sw_call *c) {
    float sum = 0;
    for (int k = 0; k < c->inputs; k++)
        for (int64_t i = 0; i < c->in[k]->count; i++)
            sum += ((const float *)c->in[k]->data)[i];
    *(float *)c->out->data = sum;
    return SW_OK;
}
static sw_status total_vjp(sw_call *c) {
    for (int k = 0; k < c->inputs; k++) {
        float *dx = sw_call_wants_grad(c, k) ? sw_call_grad(c, k) : NULL;
        for (int64_t i = 0; dx && i < c->in[k]->count; i++)
            dx[i] = *(const float *)c->cotangent * (float)(k + 1);
    }
    return SW_OK;
}
static const sw_op total_op = {.size = sizeof(sw_op),
                               .name = "total",
                               .shape = f32_scalar,
                               .forward = total_forward,
                               .vjp = total_vjp,
                               .f32_result = true},
                   rounded_total_op = {.size = sizeof(sw_op),
                                       .name = "rounded_total",
                                       .shape = f32_scalar,
                                       .forward = total_forward,
                                       .vjp = total_vjp};

static sw_tensor apply1(const sw_op *op, sw_tensor x) {
    return sw_apply(op, NULL, 0, 1, &x);
}
static sw_tensor apply2(const sw_op *op, sw_tensor a, sw_tensor b) {
    return sw_apply(op, NULL, 0, 2, (sw_tensor[]){a, b});
}

static double rounded(sw_dtype type, double value) {
    double element = 0;
    sw_number_to_float(type, &element, 0, value);
    return sw_element_to_number(type, &element, 0);
}

static sw_array halves_of(sw_dtype type, int64_t n, double low, uint64_t seed) {
    return test_filled(type, 1, &n, low, 2, seed);
}

/* ---- Values and gradients ---- */

static void test_result_and_gradients_are_rounded_once(void **state) {
    sw_tape *tape = *state;
    for (int h = 0; h < 2; h++) {
        const sw_dtype type = halves[h];
        sw_array x = halves_of(type, N, 0.1, 3), dy = halves_of(type, N, -2, 4);
        for (int root = 0; root < 2; root++) {
            sw_tensor v = sw_variable(tape, x);
            calls_in_f32 = 0;
            sw_tensor y = apply1(root ? &root_op : &square_op, v);
            const sw_array out = sw_value(y);
            assert_int_equal(out.type, type);
            assert_ok(sw_backward_from(y, dy));
            assert_int_equal(calls_in_f32, root ? 1 : 3); /* shape, forward and vjp */
            const sw_array dx = sw_grad(v);
            assert_int_equal(dx.type, type);
            for (int64_t i = 0; i < N; i++) {
                const float a = (float)test_get(&x, i), c = (float)test_get(&dy, i), exact = root ? sqrtf(a) : a * a;
                assert_true(test_get(&out, i) == rounded(type, (double)exact));
                const float d =
                    root ? c * 0.5F / ((float)test_get(&out, i) + (exact - (float)test_get(&out, i))) : 2 * a * c;
                assert_true(test_get(&dx, i) == rounded(type, (double)d));
            }
            sw_tape_reset(tape);
        }
        test_array_free(&x);
        test_array_free(&dy);
    }
}

/* 4096 terms 1: a sum in f16 would stop at 2048, where 1 is half of the spacing, and one in bf16 at 256. */
static void test_broadcast_axes_are_summed_in_f32(void **state) {
    sw_tape *tape = *state;
    enum { ROWS = 4096, WIDTH = 3 };
    for (int h = 0; h < 2; h++) {
        sw_array a = test_array(halves[h], SW_SHAPE(ROWS, WIDTH)), b = test_array(halves[h], SW_SHAPE(WIDTH)),
                 dy = test_array(halves[h], SW_SHAPE(ROWS, WIDTH));
        for (int64_t i = 0; i < ROWS * WIDTH; i++)
            test_set(&dy, i, 1);
        for (int swapped = 0; swapped < 2; swapped++) {
            sw_tensor va = sw_variable(tape, a), vb = sw_variable(tape, b);
            sw_tensor y = apply2(&minus_op, swapped ? vb : va, swapped ? va : vb);
            assert_ok(sw_backward_from(y, dy));
            const sw_array da = sw_grad(va), db = sw_grad(vb);
            for (int64_t j = 0; j < WIDTH; j++) {
                assert_true(test_get(&db, j) == (swapped ? ROWS : -ROWS));
                assert_true(test_get(&da, j) == (swapped ? -1 : 1));
            }
            sw_tape_reset(tape);
        }
        test_array_free(&a);
        test_array_free(&b);
        test_array_free(&dy);
    }
}

/* Both contributions to one tensor: each is rounded, and then they are added as everywhere on the tape. */
static void test_tensor_used_twice_gets_both_gradients(void **state) {
    sw_tape *tape = *state;
    for (int h = 0; h < 2; h++) {
        const sw_dtype type = halves[h];
        sw_array x = halves_of(type, N, -2, 5), dy = halves_of(type, N, -2, 6);
        sw_tensor v = sw_variable(tape, x), y = apply2(&minus_op, v, apply1(&square_op, v));
        assert_ok(sw_backward_from(y, dy));
        const sw_array dx = sw_grad(v);
        for (int64_t i = 0; i < N; i++) {
            const double c = test_get(&dy, i);
            const float through = 2 * (float)test_get(&x, i) * (float)-c;
            assert_true(test_get(&dx, i) == rounded(type, c + rounded(type, (double)through)));
        }
        sw_tape_reset(tape);
        sw_tensor same = sw_variable(tape, x);
        assert_ok(sw_backward_from(apply2(&minus_op, same, same), dy));
        const sw_array zero = sw_grad(same);
        for (int64_t i = 0; i < N; i++)
            assert_true(test_get(&zero, i) == 0);
        sw_tape_reset(tape);
        test_array_free(&x);
        test_array_free(&dy);
    }
}

/* ---- Types ---- */

static void test_type_of_the_result_follows_from_the_inputs(void **state) {
    sw_tape *tape = *state;
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < 4; b++) {
            const sw_dtype ta = (sw_dtype)a, tb = (sw_dtype)b;
            sw_array xa = test_filled(ta, SW_SHAPE(N), -2, 2, 7), xb = test_filled(tb, SW_SHAPE(N), -2, 2, 8);
            sw_tensor va = sw_variable(tape, xa), vb = sw_variable(tape, xb), y = sw_sub(va, vb);
            if (ta != tb && (ta == SW_F64 || tb == SW_F64)) {
                assert_true(sw_is_null(y));
                assert_int_equal(sw_error_status(), SW_ERR_TYPE);
                sw_clear_error();
            } else {
                const sw_array out = sw_value(y), total = sw_value(sw_sum(y));
                const sw_dtype type = ta == tb ? ta : SW_F32;
                assert_int_equal(out.type, type);
                assert_int_equal(total.type, sw_dtype_compute(type));
                for (int64_t i = 0; i < N; i++) {
                    const double exact = test_get(&xa, i) - test_get(&xb, i);
                    const float narrow = (float)test_get(&xa, i) - (float)test_get(&xb, i);
                    assert_true(test_get(&out, i) == (type == SW_F64 ? exact : rounded(type, (double)narrow)));
                }
                sw_array dy = test_filled(type, SW_SHAPE(N), -2, 2, 9);
                assert_ok(sw_backward_from(y, dy));
                const sw_array da = sw_grad(va), db = sw_grad(vb);
                assert_true(da.type == ta && db.type == tb);
                for (int64_t i = 0; i < N; i++) {
                    assert_true(test_get(&da, i) == rounded(ta, test_get(&dy, i)));
                    assert_true(test_get(&db, i) == rounded(tb, -test_get(&dy, i)));
                }
                test_array_free(&dy);
            }
            sw_tape_reset(tape);
            test_array_free(&xa);
            test_array_free(&xb);
        }
}

/* 40000 + 40000 is beyond the largest f16. */
static void test_f32_result_keeps_range_and_digits(void **state) {
    sw_tape *tape = *state;
    sw_array x = test_array(SW_F16, SW_SHAPE(2));
    test_set(&x, 0, 40000);
    test_set(&x, 1, 40000);
    sw_tensor v = sw_variable(tape, x), wide = apply1(&total_op, v), narrow = apply1(&rounded_total_op, v);
    assert_int_equal(sw_value(wide).type, SW_F32);
    assert_true(sw_item(wide) == 80000);
    assert_int_equal(sw_value(narrow).type, SW_F16);
    assert_true(isinf(sw_item(narrow)));
    assert_ok(sw_backward(wide));
    const sw_array dx = sw_grad(v);
    assert_true(dx.type == SW_F16 && test_get(&dx, 0) == 1 && test_get(&dx, 1) == 1);
    test_array_free(&x);
}

static void test_results_that_are_not_f32_keep_their_type(void **state) {
    sw_tape *tape = *state;
    sw_array a = halves_of(SW_F16, N, -2, 1), b = halves_of(SW_BF16, N, -2, 2);
    sw_tensor ta = sw_variable(tape, a), tb = sw_input(tape, b), condition = sw_greater(ta, tb);
    const sw_array greater = sw_value(condition);
    assert_int_equal(greater.type, SW_U8);
    sw_tensor larger = sw_where(condition, ta, tb);
    const sw_array chosen = sw_value(larger);
    assert_int_equal(chosen.type, SW_F32);
    int32_t best = 0;
    for (int32_t i = 0; i < N; i++) {
        const double x = test_get(&a, i), y = test_get(&b, i);
        assert_true(test_get(&greater, i) == (x > y));
        assert_true(test_get(&chosen, i) == (x > y ? x : y));
        best = x > test_get(&a, best) ? i : best;
    }
    const sw_array index = sw_value(sw_argmax(ta, 0, false));
    assert_true(index.type == SW_I32 && test_get(&index, 0) == best);
    test_array_free(&a);
    test_array_free(&b);
}

/* ---- Parameters ---- */

static sw_params *params_of(sw_dtype storage) {
    sw_params_options options = {.size = sizeof options, .type = SW_F32, .storage = storage};
    sw_params *p = sw_params_new_with_options(&options);
    assert_non_null(sw_params_add(p, "w", SW_SHAPE(N), NULL));
    assert_ok(sw_params_build(p));
    for (int i = 0; i < N; i++)
        ((float *)sw_params_x(p))[i] = (float)(i + 1) / 8;
    sw_params_mark_changed(p);
    return p;
}

static void test_gradient_of_a_parameter_reaches_its_block(void **state) {
    sw_tape *tape = *state;
    for (int h = 0; h < 2; h++) {
        sw_params *p = params_of(halves[h]);
        sw_array dy = halves_of(halves[h], N, -2, 4);
        sw_tensor w = sw_param_use(tape, sw_params_at(p, 0));
        assert_ok(sw_backward_from(apply1(&square_op, w), dy));
        const sw_array g = sw_grad(w);
        assert_int_equal(g.type, halves[h]);
        for (int64_t i = 0; i < N; i++)
            assert_true(test_get(&g, i) == rounded(halves[h], (double)(i + 1) / 4 * test_get(&dy, i)));
        ((float *)sw_params_x(p))[0] = 5; /* the leaf that the next backward would read is out of date */
        sw_tensor y = apply1(&square_op, w);
        sw_params_mark_changed(p);
        assert_int_equal(sw_backward_from(y, dy), SW_ERR_STATE);
        expect_error(SW_ERR_STATE, "backward: parameter w has changed since square read it; reset the tape and record "
                                   "the loss again");
        sw_tape_reset(tape);
        sw_params_free(p);
        test_array_free(&dy);
    }
}

/* w of an f32 set and x in f16: the result is f32, and the gradients have the types of x and w. */
static void test_f32_parameter_and_f16_input(void **state) {
    sw_tape *tape = *state;
    sw_params *p = params_of(SW_F32);
    sw_array x = halves_of(SW_F16, N, -2, 4), dy = test_filled(SW_F32, SW_SHAPE(N), -2, 2, 5);
    sw_tensor w = sw_param_use(tape, sw_params_at(p, 0)), v = sw_variable(tape, x), y = sw_mul(v, w);
    assert_int_equal(sw_value(y).type, SW_F32);
    assert_ok(sw_backward_from(y, dy));
    const sw_array dw = sw_grad(w), dx = sw_grad(v);
    assert_true(dw.type == SW_F32 && dx.type == SW_F16);
    for (int64_t i = 0; i < N; i++) {
        assert_true(test_get(&dw, i) == (double)((float)test_get(&dy, i) * (float)test_get(&x, i)));
        assert_true(test_get(&dx, i) == rounded(SW_F16, (double)((float)test_get(&dy, i) * (float)(i + 1) / 8)));
    }
    sw_tape_reset(tape);
    sw_params_free(p);
    test_array_free(&x);
    test_array_free(&dy);
}

/* An operation that uses parameters inside, on an input in 16 bits: the product of the input and w, in a segment of the
 * tape that the vjp records again. */
static sw_params *inner_params;
static sw_tensor inner_product(sw_tape *tape, sw_tensor x) {
    return sw_mul(x, sw_param_use(tape, sw_params_at(inner_params, 0)));
}
static sw_status inner_forward(sw_call *c) {
    const sw_mark mark = sw_tape_mark(c->tape);
    sw_tape_set_switch(c->tape, SW_RECORD, false);
    const sw_array y =
        sw_value(inner_product(c->tape, sw_input(c->tape, sw_array_view(c->in[0]->data, SW_F32, 1, c->in[0]->shape))));
    sw_tape_set_switch(c->tape, SW_RECORD, true);
    if (!y.data)
        return sw_last_failure();
    memcpy(c->out->data, y.data, (size_t)c->out->count * sizeof(float));
    return sw_tape_rewind(c->tape, mark);
}
static sw_status inner_vjp(sw_call *c) {
    float *dx = sw_call_grad(c, 0);
    const sw_mark mark = sw_tape_mark(c->tape);
    sw_tensor x = sw_variable(c->tape, sw_array_view(c->in[0]->data, SW_F32, 1, c->in[0]->shape));
    SW_TRY(sw_backward_from(inner_product(c->tape, x), sw_array_view(c->cotangent, SW_F32, 1, c->in[0]->shape)));
    const sw_array g = sw_grad(x);
    memcpy(dx, g.data, (size_t)c->in[0]->count * sizeof(float));
    return sw_tape_rewind(c->tape, mark);
}
static const sw_op inner_op = {.size = sizeof(sw_op),
                               .name = "inner",
                               .shape = f32_like,
                               .forward = inner_forward,
                               .vjp = inner_vjp,
                               .vjp_reads = SW_READS(0),
                               .reads_params = true};

static void test_operation_that_uses_parameters_inside(void **state) {
    sw_tape *tape = *state;
    inner_params = params_of(SW_F32);
    sw_array x = halves_of(SW_F16, N, -2, 4), dy = halves_of(SW_F16, N, -2, 5);
    for (int fixed = 0; fixed < 2; fixed++) { /* the parameters are trained although the input needs no gradient */
        sw_gradient_make_fresh(sw_params_gradient(inner_params));
        sw_tensor v = fixed ? sw_input(tape, x) : sw_variable(tape, x), y = apply1(&inner_op, v);
        assert_int_equal(sw_value(y).type, SW_F16);
        assert_ok(sw_backward_from(y, dy));
        const float *dw = sw_gradient_data(sw_params_gradient(inner_params));
        const sw_array dx = sw_grad(v);
        for (int64_t i = 0; i < N; i++) {
            const float c = (float)test_get(&dy, i);
            assert_true(dw[i] == c * (float)test_get(&x, i));
            if (!fixed)
                assert_true(test_get(&dx, i) == rounded(SW_F16, (double)(c * (float)(i + 1) / 8)));
        }
        sw_tape_reset(tape);
    }
    sw_params_free(inner_params);
    test_array_free(&x);
    test_array_free(&dy);
}

/* ---- Memory ---- */

/* A chain of squares whose tensors are released: the vjps read the inputs, in 16 bits, and nothing else is kept. */
static void test_tape_keeps_16_bits(void **state) {
    sw_tape *tape = *state;
    enum { LONG = 4096, CHAIN = 16 };
    sw_array x = test_array(SW_BF16, SW_SHAPE(LONG)), dy = test_array(SW_BF16, SW_SHAPE(LONG));
    size_t live[2] = {0};
    for (int record = 0; record < 2; record++) {
        sw_tape_set_switch(tape, SW_RECORD, record == 1);
        sw_tensor v = sw_variable(tape, x);
        for (int i = 0; i < CHAIN; i++) {
            sw_tensor y = apply1(&square_op, v);
            sw_release(v);
            v = y;
        }
        live[record] = tape->arena.live;
        /* Besides, a temporary input and a temporary result. */
        assert_true(sw_tape_peak_bytes(tape) <= live[record] + 2 * LONG * sizeof(float) + LONG * sizeof(uint16_t));
        if (record) {
            assert_ok(sw_backward_from(v, dy));
            /* At the first vjp: the input, the cotangent and the gradient in f32; two cotangents in 16 bits. */
            assert_true(sw_tape_peak_bytes(tape) <=
                        live[1] + 3 * LONG * sizeof(float) + 2 * LONG * sizeof(uint16_t) + 4096);
        }
        sw_tape_reset(tape);
    }
    assert_true(live[0] >= LONG * sizeof(uint16_t) && live[0] < LONG * sizeof(uint16_t) + CHAIN * 1024);
    assert_true(live[1] >= CHAIN * LONG * sizeof(uint16_t));
    assert_true(live[1] < CHAIN * (LONG * sizeof(uint16_t) + 1024));
    test_array_free(&x);
    test_array_free(&dy);
}

enum { MANY = 7 };

static sw_status run_many(sw_tape *tape, const sw_array *x) {
    sw_tensor in[MANY];
    for (int k = 0; k < MANY; k++)
        in[k] = k == 3 ? sw_input(tape, x[k]) : sw_variable(tape, x[k]);
    sw_tensor sum = sw_apply(&total_op, NULL, 0, MANY, in);
    sw_tensor y = sw_mul(apply1(&root_op, in[0]), apply2(&minus_op, in[1], in[2]));
    if (sw_is_null(sum) || sw_is_null(y))
        return sw_last_failure();
    return sw_backward(sw_add(sum, sw_sum(y)));
}

static void test_many_inputs_of_different_types(void **state) {
    sw_tape *tape = *state;
    static const sw_dtype types[MANY] = {SW_F16, SW_F32, SW_F16, SW_BF16, SW_BF16, SW_F32, SW_F16};
    sw_array x[MANY];
    sw_tensor in[MANY];
    for (int k = 0; k < MANY; k++) {
        x[k] = test_filled(types[k], SW_SHAPE(5), 0.5, 2, (uint64_t)k + 1);
        in[k] = k == 3 ? sw_input(tape, x[k]) : sw_variable(tape, x[k]);
    }
    sw_tensor sum = sw_apply(&total_op, NULL, 0, MANY, in);
    assert_int_equal(sw_value(sum).type, SW_F32);
    assert_ok(sw_backward(sum));
    for (int k = 0; k < MANY; k++) {
        const sw_array g = sw_grad(in[k]);
        assert_int_equal(g.data != NULL, k != 3);
        for (int64_t i = 0; g.data && i < 5; i++)
            assert_true(g.type == types[k] && test_get(&g, i) == k + 1);
    }
    sw_tape_reset(tape);
    assert_ok(run_many(tape, x));
    for (int k = 0; k < MANY; k++)
        test_array_free(&x[k]);
}

static void test_every_allocation_fails_once(void **state) {
    (void)state;
    static test_allocator allocator;
    static const sw_dtype types[MANY] = {SW_F16, SW_F32, SW_F16, SW_BF16, SW_BF16, SW_F32, SW_F16};
    sw_array x[MANY];
    for (int k = 0; k < MANY; k++) /* long, so that the arena must grow for each tensor */
        x[k] = test_filled(types[k], SW_SHAPE(40000), 0.5, 2, (uint64_t)k + 1);
    test_allocator_install(&allocator);
    long long k = 1;
    for (bool failed = true; failed; k++) {
        assert_true(k < 100);
        sw_tape *tape = sw_tape_new();
        assert_non_null(tape);
        test_allocator_fail(&allocator, k, false);
        const sw_status status = run_many(tape, x);
        failed = atomic_load(&allocator.failed) > 0;
        if (status != (failed ? SW_ERR_MEMORY : SW_OK) || (failed && sw_error_status() != SW_ERR_MEMORY))
            fail_msg("allocation %lld: status %d: %s", k, (int)status, sw_error() ? sw_error() : "-");
        sw_clear_error();
        test_allocator_fail(&allocator, 0, false);
        sw_tape_reset(tape);
        assert_ok(run_many(tape, x)); /* the tape is usable */
        sw_tape_free(tape);
        assert_int_equal(atomic_load(&allocator.live), 0);
    }
    assert_true(k > 5);
    sw_set_allocator(NULL);
    for (int i = 0; i < MANY; i++)
        test_array_free(&x[i]);
}

/* ---- Errors and the check mode ---- */

static sw_status refusing_shape(sw_call *c) {
    return sw_fail(SW_ERR_SHAPE, "%s: refused %s", c->op->name, sw_shape_text(c->in[0]->rank, c->in[0]->shape));
}
static sw_status silent_failure(sw_call *c) {
    (void)c;
    return SW_ERR_USER;
}
static sw_status returns_nothing(sw_call *c) {
    (void)c;
    return SW_OK;
}
static const sw_op
    refusing_op = {.size = sizeof(sw_op), .name = "odd", .shape = refusing_shape, .forward = square_forward},
    silent_op = {.size = sizeof(sw_op), .name = "odd", .shape = f32_like, .forward = silent_failure},
    blank_op = {.size = sizeof(sw_op), .name = "odd", .shape = returns_nothing, .forward = square_forward},
    hasty_op = {.size = sizeof(sw_op),
                .name = "odd",
                .shape = sw_call_set_shape_broadcast,
                .forward = square_forward,
                .takes_16_bit = true},
    one_way_op = {.size = sizeof(sw_op), .name = "odd", .shape = f32_like, .forward = square_forward},
    forgetful_op = {.size = sizeof(sw_op),
                    .name = "odd",
                    .shape = f32_like,
                    .forward = square_forward,
                    .vjp = returns_nothing},
    silent_vjp_op = {
        .size = sizeof(sw_op), .name = "odd", .shape = f32_like, .forward = square_forward, .vjp = silent_failure};

static void test_errors_name_the_operation_and_the_layer(void **state) {
    sw_tape *tape = *state;
    sw_array x = halves_of(SW_F16, N, -2, 1), dy = halves_of(SW_F16, N, -2, 2);
    sw_tensor v = sw_variable(tape, x);
    sw_tape_set_layer(tape, "gate");
    assert_true(sw_is_null(apply1(&refusing_op, v)));
    expect_error(SW_ERR_SHAPE, "layer gate: odd: refused [37]");
    assert_true(sw_is_null(apply1(&silent_op, v)));
    expect_error(SW_ERR_USER, "layer gate: operation odd: forward returned status 11 without a message");
    assert_true(sw_is_null(apply1(&hasty_op, v))); /* it would read f16 as f32 */
    expect_error(SW_ERR_TYPE,
                 "layer gate: odd: input 0 is f16; an operation with takes_16_bit calls sw_call_check_float "
                 "in its shape function, not sw_call_check_real");
    assert_true(sw_is_null(apply1(&blank_op, v)));
    expect_error(SW_ERR_STATE, "layer gate: odd: its shape function did not set the output");
    sw_tape_set_layer(tape, NULL);
    assert_int_equal(sw_backward_from(apply1(&one_way_op, v), dy), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "backward: operation odd has no derivative");
    assert_int_equal(sw_backward_from(apply1(&forgetful_op, v), dy), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "odd: its vjp returned no gradient for input 0");
    assert_int_equal(sw_backward_from(apply1(&silent_vjp_op, v), dy), SW_ERR_USER);
    expect_error(SW_ERR_USER, "operation odd: vjp returned status 11 without a message");
    test_array_free(&x);
    test_array_free(&dy);
}

static void test_check_mode_finds_overflow_of_16_bits(void **state) {
    sw_tape *tape = *state;
    uint16_t value = sw_f16_from_f32(300), one = sw_f16_from_f32(1), large = sw_f16_from_f32(200);
    const sw_array x = sw_array_view(&value, SW_F16, SW_SHAPE(1)), dy = sw_array_view(&large, SW_F16, SW_SHAPE(1));
    sw_tape_set_switch(tape, SW_CHECK, true);
    assert_true(sw_is_null(apply1(&square_op, sw_variable(tape, x)))); /* 90000, in f32 a finite number */
    expect_error(SW_ERR_NONFINITE, "square: produced Inf at [0] from input 0 f16 [1] 300");
    value = sw_f16_from_f32(200);
    assert_ok(sw_backward_from(apply1(&square_op, sw_variable(tape, x)), sw_array_view(&one, SW_F16, SW_SHAPE(1))));
    sw_tape_set_layer(tape, "gate");
    sw_tensor y = apply1(&square_op, sw_variable(tape, x));
    assert_int_equal(sw_backward_from(y, dy), SW_ERR_NONFINITE); /* 2·200·200 */
    expect_error(SW_ERR_NONFINITE, "layer gate: backward: square: the gradient of input 0 became Inf at [0]; input 0 "
                                   "f16 [1] 200");
    sw_params *p = params_of(SW_F16);
    for (int i = 0; i < N; i++)
        ((float *)sw_params_x(p))[i] = 100;
    sw_params_mark_changed(p);
    sw_array many = test_array(SW_F16, SW_SHAPE(N));
    test_set(&many, 4, 400);
    y = apply1(&square_op, sw_param_use(tape, sw_params_at(p, 0)));
    assert_int_equal(sw_backward_from(y, many), SW_ERR_NONFINITE);
    expect_error(SW_ERR_NONFINITE, "layer gate: backward: square: the gradient of input 0, parameter w became Inf at "
                                   "[4]; input 0 w f16 [37] from 100 to 100, mean 100");
    sw_tape_reset(tape);
    sw_params_free(p);
    test_array_free(&many);
}

/* What a vjp reads without vjp_reads is NaN in the gradient check, and may have been released in other passes. */
static sw_status liar_vjp(sw_call *c) {
    float *dx = sw_call_grad(c, 0);
    for (int64_t i = 0; dx && i < c->out->count; i++)
        dx[i] = ((const float *)c->cotangent)[i] *
                (*(const int *)c->attributes ? ((const float *)c->out->data)[i] : ((const float *)c->in[0]->data)[i]);
    return SW_OK;
}
static const sw_op liar_op = {
    .size = sizeof(sw_op), .name = "liar", .shape = f32_like, .forward = square_forward, .vjp = liar_vjp};

static void test_values_that_a_vjp_must_not_read_can_be_poisoned(void **state) {
    sw_tape *tape = *state;
    sw_array x = halves_of(SW_BF16, N, 0.5, 1), dy = halves_of(SW_BF16, N, 0.5, 2);
    tape->poison_unread = true;
    for (int out = 0; out < 2; out++) {
        sw_tensor v = sw_variable(tape, x);
        assert_ok(sw_backward_from(sw_apply(&liar_op, &out, sizeof out, 1, &v), dy));
        const sw_array dx = sw_grad(v);
        for (int64_t i = 0; i < N; i++)
            assert_true(isnan(test_get(&dx, i)));
        sw_tape_reset(tape);
        v = sw_variable(tape, x); /* a vjp that reads what it declares is not affected */
        assert_ok(sw_backward_from(apply1(out ? &root_op : &square_op, v), dy));
        const sw_array honest = sw_grad(v);
        for (int64_t i = 0; i < N; i++)
            assert_true(isfinite(test_get(&honest, i)));
        sw_tape_reset(tape);
    }
    test_array_free(&x);
    test_array_free(&dy);
}

/* Gradients of intermediate tensors, kept by SW_KEEP, are in 16 bits; a second backward over the same nodes adds. */
static void test_kept_gradients_and_a_second_backward(void **state) {
    sw_tape *tape = *state;
    sw_array x = halves_of(SW_F16, N, 0.5, 1), dy = halves_of(SW_F16, N, 0.5, 2);
    sw_tape_set_switch(tape, SW_KEEP, true);
    sw_tensor v = sw_variable(tape, x), h = apply1(&square_op, v), y = apply2(&minus_op, h, h);
    y = apply2(&minus_op, h, apply1(&square_op, y));
    for (int pass = 1; pass <= 2; pass++) {
        assert_ok(sw_backward_from(y, dy));
        const sw_array dh = sw_grad(h), dv = sw_grad(v);
        assert_true(dh.type == SW_F16 && dv.type == SW_F16);
        for (int64_t i = 0; i < N; i++) {
            const double c = test_get(&dy, i);
            assert_true(test_get(&dh, i) == pass * c); /* h - (h - h)², whose second term has gradient 0 */
            assert_true(test_get(&dv, i) == pass * rounded(SW_F16, 2 * test_get(&x, i) * c));
        }
    }
    test_array_free(&x);
    test_array_free(&dy);
}

/* ---- Inspection ---- */

static void expect_text(void (*write)(sw_tensor t, FILE *to), sw_tensor t, const char *text) {
    char found[4096];
    FILE *file = tmpfile();
    assert_non_null(file);
    write(t, file);
    rewind(file);
    found[fread(found, 1, sizeof found - 1, file)] = 0;
    fclose(file);
    if (!strstr(found, text))
        fail_msg("\"%s\" is not in:\n%s", text, found);
}
static void write_graph(sw_tensor t, FILE *to) {
    assert_ok(sw_tape_dot(t.tape, to));
}

static void test_tensors_are_printed_and_read(void **state) {
    sw_tape *tape = *state;
    for (int h = 0; h < 2; h++) {
        const sw_dtype type = halves[h];
        const char *name = sw_dtype_name(type);
        char text[128];
        sw_array x = test_array(type, SW_SHAPE(2));
        test_set(&x, 0, 1.5);
        test_set(&x, 1, -3);
        sw_tensor v = sw_variable(tape, x), y = sw_retain_grad(apply1(&square_op, v));
        assert_ok(sw_backward_from(y, x));
        snprintf(text, sizeof text, "square: %s [2]\n[2.2500, 9.0000]\ngradient: %s [2]\n[ 1.5000, -3.0000]\n", name,
                 name);
        expect_text(sw_tensor_print, y, text);
        snprintf(text, sizeof text, "square\\n%s [2]\\nfrom 2.25 to 9, mean 5.625\\ngradient from -3 to 1.5", name);
        expect_text(write_graph, y, text);
        sw_tensor third = sw_constant(tape, type, 1.0 / 3), copy = sw_input_copy(tape, x), cut = sw_detach(y);
        assert_true(sw_item(third) == rounded(type, 1.0 / 3));
        assert_true(sw_value(third).type == type && sw_value(copy).type == type && sw_value(cut).type == type);
        assert_true(sw_value(cut).data == sw_value(y).data && sw_value(copy).data != x.data);
        assert_memory_equal(sw_value(copy).data, x.data, 2 * sizeof(uint16_t));
        sw_tape_reset(tape);
        test_array_free(&x);
    }
}

/* What layers keep for backward is in 16 bits; what an operation saves is what it asks for. */
static void test_activations_are_measured_in_16_bits(void **state) {
    sw_tape *tape = *state;
    sw_array x = halves_of(SW_F16, N, 0.5, 1), dy = halves_of(SW_F16, N, 0.5, 2);
    sw_tape_set_switch(tape, SW_MEASURE, true);
    sw_tape_set_layer(tape, "a");
    sw_tensor h = apply1(&square_op, sw_variable(tape, x)); /* read by the square in c */
    sw_tape_set_layer(tape, "b");
    sw_tensor root = apply1(&root_op, h); /* saves 4 bytes, and reads its result */
    sw_tape_set_layer(tape, "c");
    sw_tensor y = apply2(&minus_op, root, apply1(&square_op, h));
    sw_tape_set_layer(tape, NULL);
    assert_ok(sw_backward_from(y, dy));
    sw_tape_layer layer[3];
    assert_int_equal(sw_tape_activations(tape, layer, 3), 2);
    assert_string_equal(layer[0].layer, "a");
    assert_true(layer[0].values == 1 && layer[0].bytes == N * sizeof(uint16_t));
    assert_string_equal(layer[1].layer, "b");
    assert_true(layer[1].values == 2 && layer[1].bytes == N * (sizeof(uint16_t) + sizeof(float)));
    test_array_free(&x);
    test_array_free(&dy);
}

/* A segment with inputs of different types is called with them as they are. */
static sw_tensor mixed_segment(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    sw_tensor h = sw_mul(in[0], in[1]); /* f16 and f32: f32 */
    return sw_add(sw_cast(h, SW_F16), apply1(&square_op, in[0]));
}

static void test_segment_of_mixed_types_is_recomputed(void **state) {
    sw_tape *tape = *state;
    sw_array a = halves_of(SW_F16, N, -2, 1), b = test_filled(SW_F32, SW_SHAPE(N), -2, 2, 2),
             dy = halves_of(SW_F16, N, -2, 3);
    uint64_t hash[2];
    for (int again = 0; again < 2; again++) {
        sw_tensor in[2] = {sw_variable(tape, a), sw_variable(tape, b)};
        sw_tensor y = again ? sw_recompute(mixed_segment, NULL, 2, in) : mixed_segment(NULL, tape, in);
        const sw_array out = sw_value(y);
        assert_int_equal(out.type, SW_F16);
        assert_ok(sw_backward_from(y, dy));
        const sw_array da = sw_grad(in[0]), db = sw_grad(in[1]);
        assert_true(da.type == SW_F16 && db.type == SW_F32);
        hash[again] = test_hash(TEST_HASH, out.data, test_bytes(&out));
        hash[again] = test_hash(hash[again], da.data, test_bytes(&da));
        hash[again] = test_hash(hash[again], db.data, test_bytes(&db));
        sw_tape_reset(tape);
    }
    assert_true(hash[0] == hash[1]);
    test_array_free(&a);
    test_array_free(&b);
    test_array_free(&dy);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, tape_setup, tape_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_result_and_gradients_are_rounded_once),
        TEST(test_broadcast_axes_are_summed_in_f32),
        TEST(test_tensor_used_twice_gets_both_gradients),
        TEST(test_type_of_the_result_follows_from_the_inputs),
        TEST(test_f32_result_keeps_range_and_digits),
        TEST(test_results_that_are_not_f32_keep_their_type),
        TEST(test_gradient_of_a_parameter_reaches_its_block),
        TEST(test_f32_parameter_and_f16_input),
        TEST(test_operation_that_uses_parameters_inside),
        TEST(test_tape_keeps_16_bits),
        TEST(test_many_inputs_of_different_types),
        TEST(test_errors_name_the_operation_and_the_layer),
        TEST(test_check_mode_finds_overflow_of_16_bits),
        TEST(test_values_that_a_vjp_must_not_read_can_be_poisoned),
        TEST(test_kept_gradients_and_a_second_backward),
        TEST(test_tensors_are_printed_and_read),
        TEST(test_activations_are_measured_in_16_bits),
        TEST(test_segment_of_mixed_types_is_recomputed),
        cmocka_unit_test(test_every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
