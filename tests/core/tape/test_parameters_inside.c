/* Operations with reads_params that also take a parameter as an input: their vjp requests the memory for its gradient
 * first, and then runs backward through a segment that uses the same parameter and others, some of them twice. */
#include "support.h"

#include "helpers.h"

enum { N = 21 };
static const sw_dtype all_types[4] = {SW_F32, SW_F64, SW_F16, SW_BF16};

static sw_params *inside_params; /* "w" and "v" */

/* x + v² + w² */
static sw_tensor inside_sum(sw_tape *tape, sw_tensor x) {
    sw_tensor w = sw_param_use(tape, sw_params_find(inside_params, "w")),
              v = sw_param_use(tape, sw_params_find(inside_params, "v"));
    return sw_add(x, sw_add(sw_mul(v, v), sw_mul(w, w)));
}
static sw_array inside_array(const sw_call *c, const void *data) {
    return sw_array_view(data, c->in[0]->type, 1, c->in[0]->shape);
}
static size_t inside_bytes(const sw_call *c) {
    return (size_t)c->out->count * sw_dtype_size(c->out->type);
}
static sw_status inside_shape(sw_call *c) {
    return sw_call_set_shape_like(c, 0);
}
static sw_status inside_forward(sw_call *c) {
    const sw_mark mark = sw_tape_mark(c->tape);
    sw_tape_set_switch(c->tape, SW_RECORD, false);
    const sw_array y = sw_value(inside_sum(c->tape, sw_input(c->tape, inside_array(c, c->in[0]->data))));
    sw_tape_set_switch(c->tape, SW_RECORD, true);
    if (!y.data)
        return sw_last_failure();
    memcpy(c->out->data, y.data, inside_bytes(c));
    return sw_tape_rewind(c->tape, mark);
}
static sw_status inside_vjp(sw_call *c) {
    void *dx = sw_call_grad(c, 0);
    if (!dx)
        return SW_ERR_MEMORY;
    const sw_mark mark = sw_tape_mark(c->tape);
    sw_tensor x = sw_variable(c->tape, inside_array(c, c->in[0]->data));
    SW_TRY(sw_backward_from(inside_sum(c->tape, x), inside_array(c, c->cotangent)));
    memcpy(dx, sw_grad(x).data, inside_bytes(c));
    return sw_tape_rewind(c->tape, mark);
}
static const sw_op inside_op = {.size = sizeof(sw_op),
                                .name = "inside",
                                .shape = inside_shape,
                                .forward = inside_forward,
                                .vjp = inside_vjp,
                                .vjp_reads = SW_READS(0),
                                .reads_params = true,
                                .takes_16_bit = true};

/* Elements are multiples of 1/4 below 4, and small powers of 2 as cotangents: every number is exact in every type. */
static double inside_value(int64_t i, int which) {
    return (double)((5 * i + 3 * which) % 16) / 4;
}

static sw_params *inside_new(sw_dtype type) {
    sw_params *p = sw_params_new(type, 1);
    assert_non_null(sw_params_add(p, "w", SW_SHAPE(N), NULL));
    assert_non_null(sw_params_add(p, "v", SW_SHAPE(N), NULL));
    assert_int_equal(sw_params_build(p), SW_OK);
    for (int k = 0; k < 2; k++) {
        const sw_array x = sw_param_value(sw_params_at(p, k));
        for (int64_t i = 0; i < N; i++)
            test_set(&x, i, inside_value(i, k));
    }
    sw_params_mark_changed(p);
    return p;
}

/* dw = dy (1 + 2 w) and dv = 2 dy v. */
static void expect_gradients(const sw_array *dy) {
    const sw_array dw = sw_param_grad(sw_params_find(inside_params, "w")),
                   dv = sw_param_grad(sw_params_find(inside_params, "v"));
    const double scale = sw_gradient_scale(sw_params_gradient(inside_params));
    for (int64_t i = 0; i < N; i++) {
        const double c = scale * test_get(dy, i);
        if (test_get(&dw, i) != c * (1 + 2 * inside_value(i, 0)) || test_get(&dv, i) != 2 * c * inside_value(i, 1))
            fail_msg("%s, element %d: %g and %g, not %g and %g", sw_dtype_name(dw.type), (int)i, test_get(&dw, i),
                     test_get(&dv, i), c * (1 + 2 * inside_value(i, 0)), 2 * c * inside_value(i, 1));
    }
}

static void test_parameter_is_an_input_and_used_inside(void **state) {
    sw_tape *tape = *state;
    for (int k = 0; k < 4; k++)
        for (int scaled = 0; scaled < 2; scaled++) {
            inside_params = inside_new(all_types[k]);
            assert_int_equal(sw_params_set_loss_scale(inside_params, scaled ? 64 : 1), SW_OK);
            sw_array dy = test_array(all_types[k], SW_SHAPE(N));
            for (int64_t i = 0; i < N; i++)
                test_set(&dy, i, i % 3 ? 0.5 : -1);
            const sw_array old = sw_param_grad(sw_params_at(inside_params, 0));
            for (int64_t i = 0; i < 2 * (int64_t)N; i++) /* what an earlier step may have left */
                sw_number_to_float(old.type, old.data, i, 1000);
            sw_tensor y =
                sw_apply(&inside_op, NULL, 0, 1, (sw_tensor[]){sw_param_use(tape, sw_params_find(inside_params, "w"))});
            assert_false(sw_is_null(y));
            assert_int_equal(sw_backward_from(y, dy), SW_OK);
            expect_gradients(&dy);
            sw_tape_reset(tape);
            sw_params_free(inside_params);
            test_array_free(&dy);
        }
}

/* ---- Inputs of different types ---- */

/* a + b w, for inputs of one type: f16 or bf16 too. The vjp runs backward through the same operations. */
static sw_tensor pair_sum(sw_tape *tape, sw_tensor a, sw_tensor b) {
    return sw_add(a, sw_mul(b, sw_cast(sw_param_use(tape, sw_params_at(inside_params, 0)), sw_value(b).type)));
}
static sw_status pair_shape(sw_call *c) {
    return c->in[0]->type == c->in[1]->type ? sw_call_set_shape_like(c, 0)
                                            : sw_fail(SW_ERR_USER, "pair: the types differ");
}
static sw_status pair_forward(sw_call *c) {
    const sw_mark mark = sw_tape_mark(c->tape);
    sw_tape_set_switch(c->tape, SW_RECORD, false);
    const sw_array y = sw_value(pair_sum(c->tape, sw_input(c->tape, inside_array(c, c->in[0]->data)),
                                         sw_input(c->tape, inside_array(c, c->in[1]->data))));
    sw_tape_set_switch(c->tape, SW_RECORD, true);
    if (!y.data)
        return sw_last_failure();
    memcpy(c->out->data, y.data, inside_bytes(c));
    return sw_tape_rewind(c->tape, mark);
}
static sw_status pair_vjp(sw_call *c) {
    void *grad[2] = {sw_call_grad(c, 0), sw_call_grad(c, 1)};
    const sw_mark mark = sw_tape_mark(c->tape);
    sw_tensor x[2];
    for (int i = 0; i < 2; i++)
        x[i] = sw_variable(c->tape, inside_array(c, c->in[i]->data));
    SW_TRY(sw_backward_from(pair_sum(c->tape, x[0], x[1]), inside_array(c, c->cotangent)));
    for (int i = 0; i < 2; i++)
        memcpy(grad[i], sw_grad(x[i]).data, inside_bytes(c));
    return sw_tape_rewind(c->tape, mark);
}
static const sw_op pair_op = {.size = sizeof(sw_op),
                              .name = "pair",
                              .shape = pair_shape,
                              .forward = pair_forward,
                              .vjp = pair_vjp,
                              .vjp_reads = SW_READS(0) | SW_READS(1),
                              .reads_params = true,
                              .takes_16_bit = true};

/* The engine converts inputs of different types for an operation with reads_params too. */
static void test_inputs_of_different_types_are_converted(void **state) {
    sw_tape *tape = *state;
    for (int k = 0; k < 9; k++) {
        static const sw_dtype types[3] = {SW_F32, SW_F16, SW_BF16};
        const sw_dtype type[2] = {types[k / 3], types[k % 3]};
        inside_params = inside_new(SW_BF16);
        sw_array in[2], dy = test_array(type[0] == type[1] ? type[0] : SW_F32, SW_SHAPE(N));
        sw_tensor x[2];
        for (int i = 0; i < 2; i++) {
            in[i] = test_array(type[i], SW_SHAPE(N));
            for (int64_t j = 0; j < N; j++)
                test_set(&in[i], j, inside_value(j, 2 + i));
            x[i] = sw_variable(tape, in[i]);
        }
        for (int64_t j = 0; j < N; j++)
            test_set(&dy, j, j % 3 ? 0.5 : -1);
        sw_tensor y = sw_apply(&pair_op, NULL, 0, 2, x);
        if (sw_is_null(y))
            fail_msg("%s and %s: %s", sw_dtype_name(type[0]), sw_dtype_name(type[1]), sw_error());
        const sw_array value = sw_value(y);
        assert_int_equal(value.type, dy.type);
        assert_int_equal(sw_backward_from(y, dy), SW_OK);
        const sw_array da = sw_grad(x[0]), db = sw_grad(x[1]), dw = sw_param_grad(sw_params_at(inside_params, 0));
        for (int64_t j = 0; j < N; j++) {
            const double w = inside_value(j, 0), b = inside_value(j, 3), c = test_get(&dy, j);
            assert_true(fabs(test_get(&value, j) - (inside_value(j, 2) + b * w)) <= 0.0625); /* 2^-8 of 16 */
            assert_true(test_get(&da, j) == c && test_get(&db, j) == c * w && test_get(&dw, j) == c * b);
        }
        sw_tape_reset(tape);
        sw_params_free(inside_params);
        test_array_free(&dy);
        for (int i = 0; i < 2; i++)
            test_array_free(&in[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_inputs_of_different_types_are_converted),
                                       cmocka_unit_test(test_parameter_is_an_input_and_used_inside)};
    return cmocka_run_group_tests(tests, tape_setup, tape_teardown);
}
