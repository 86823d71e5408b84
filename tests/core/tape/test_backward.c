/* Backward: the tensors from which it may start, the gradients that are kept, a second backward, parameters that
 * changed after forward had read them, and the state after a failed backward. */
#include "support.h"

#include "helpers.h"
#include "small_model.h"
#include "small_ops.h"

/* ---- Gradients of tensors ---- */

static void test_retained_gradients_are_kept(void **state) {
    const fixture *f = *state;
    const double x[2] = {2, 3};
    sw_tensor v = sw_variable(f->tape, sw_array_view(x, SW_F64, SW_SHAPE(2)));
    sw_tensor plain = sw_mul(v, v), kept = sw_retain_grad(sw_scale(plain, 3));
    sw_tensor passed = sw_retain_grad(sw_add(kept, kept)), loss = sw_sum(sw_scale(passed, 0.5));
    assert_null(sw_grad(kept).data);
    assert_int_equal(sw_backward(loss), SW_OK);
    assert_null(sw_grad(plain).data);
    sw_array g = sw_grad(kept), h = sw_grad(passed), dv = sw_grad(v);
    for (int i = 0; i < 2; i++) {
        assert_true(test_get(&h, i) == 0.5);
        assert_true(test_get(&g, i) == 1);
        assert_true(test_get(&dv, i) == 6 * x[i]);
    }
    /* What is kept from one backward is no cotangent of the next. */
    assert_int_equal(sw_backward(sw_sum(plain)), SW_OK); /* does not come by `kept` */
    g = sw_grad(kept), dv = sw_grad(v);
    for (int i = 0; i < 2; i++) {
        assert_true(test_get(&g, i) == 1);
        assert_true(test_get(&dv, i) == 6 * x[i] + 2 * x[i]);
    }
    assert_int_equal(sw_backward(loss), SW_OK);
    g = sw_grad(kept), h = sw_grad(passed), dv = sw_grad(v);
    for (int i = 0; i < 2; i++) { /* backward passes add up, also here */
        assert_true(test_get(&h, i) == 1);
        assert_true(test_get(&g, i) == 2);
        assert_true(test_get(&dv, i) == 2 * 6 * x[i] + 2 * x[i]);
    }
}

static void test_backward_starts_from_any_tensor(void **state) {
    const fixture *f = *state;
    const double x[3] = {2, 3, 4}, cotangent[3] = {10, 100, 1000};
    sw_array c = sw_array_view(cotangent, SW_F64, SW_SHAPE(3));
    sw_tensor v = sw_variable(f->tape, sw_array_view(x, SW_F64, SW_SHAPE(3))), y = sw_mul(v, v);
    assert_int_equal(sw_backward_from(y, c), SW_OK);
    sw_array g = sw_grad(v);
    for (int i = 0; i < 3; i++)
        assert_true(test_get(&g, i) == 2 * x[i] * cotangent[i]);
    /* From a leaf itself, and from a parameter's. */
    sw_tensor w = sw_variable(f->tape, sw_array_view(x, SW_F64, SW_SHAPE(3)));
    assert_int_equal(sw_backward_from(w, c), SW_OK);
    g = sw_grad(w);
    assert_memory_equal(g.data, cotangent, sizeof cotangent);
    assert_memory_equal(c.data, cotangent, sizeof cotangent);
    sw_tensor b0 = sw_param_use(f->tape, f->m.b0);
    const double six[HIDDEN] = {1, 2, 3, 4, 5, 6};
    assert_int_equal(sw_backward_from(b0, sw_array_view(six, SW_F64, SW_SHAPE(HIDDEN))), SW_OK);
    assert_memory_equal(sw_param_grad(f->m.b0).data, six, sizeof six);
    expect_zero(f->m.w0);
}

static void test_second_backward_adds_or_is_refused(void **state) {
    const fixture *f = *state;
    const double x[3] = {0.5, -1, 2};
    sw_array array = sw_array_view(x, SW_F64, SW_SHAPE(3));
    for (int release = 0; release < 2; release++) {
        sw_tensor v = sw_variable(f->tape, array), t = sw_tanh(v), loss = sw_sum(t);
        if (release)
            sw_release(t);
        assert_int_equal(sw_backward(loss), SW_OK);
        double first = test_get(&(sw_array){.data = sw_grad(v).data, .type = SW_F64}, 0);
        if (release) {
            assert_int_equal(sw_backward(loss), SW_ERR_STATE);
            expect_error(SW_ERR_STATE, "tanh: an earlier backward has released its "
                                       "values; add the losses and run backward once");
        } else {
            assert_int_equal(sw_backward(loss), SW_OK);
            assert_true(test_get(&(sw_array){.data = sw_grad(v).data, .type = SW_F64}, 0) == 2 * first);
        }
        sw_tape_reset(f->tape);
    }
}

/* ---- Dropout: backward sees the mask that forward drew ---- */

static void test_backward_sees_the_dropout_mask_of_forward(void **state) {
    const fixture *f = *state;
    enum { ROWS = 6, LONG = 50 };
    sw_array x = test_filled(SW_F64, SW_SHAPE(ROWS, LONG), 1, 2, 5);
    const int64_t ids[ROWS] = {9, 4, 7, 100, 3, 2}, others[ROWS] = {1, 2, 3, 4, 5, 6};
    assert_int_equal(sw_tape_set_sample_ids(f->tape, ids, ROWS), SW_OK);
    sw_tensor v = sw_variable(f->tape, x), y = sw_dropout(v, 0.5, 3);
    /* The next batch of the same pass, before backward */
    assert_int_equal(sw_tape_set_sample_ids(f->tape, others, ROWS), SW_OK);
    sw_array out = sw_value(y);
    assert_int_equal(sw_backward(sw_sum(y)), SW_OK);
    sw_array g = sw_grad(v);
    for (int i = 0; i < ROWS * LONG; i++)
        assert_true(test_get(&g, i) == (test_get(&out, i) == 0 ? 0 : 2));
    test_array_free(&x);
}

#define MOVED(op)                                              \
    "backward: parameter w has changed since " op " read it; " \
    "reset the tape and record the loss again"

/* ---- Values that moved between forward and backward ---- */

static void test_backward_refuses_parameters_changed_since_forward(void **state) {
    sw_tape *tape = ((const fixture *)*state)->tape;
    sw_params *p = vector_params("w", 1, 2, 3);
    sw_tensor w = use_vector(tape, p), loss = sw_sum(sw_mul(w, w));
    ((double *)sw_params_x(p))[0] = 5;
    sw_params_mark_changed(p);
    assert_int_equal(sw_backward(loss), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, MOVED("mul"));
    assert_true(sw_gradient_is_fresh(sw_params_gradient(p)));
    /* The same tape, recorded anew: the leaf is a new one. */
    assert_int_equal(sw_backward(sw_sum(sw_mul(use_vector(tape, p), use_vector(tape, p)))), SW_OK);
    assert_near(gradient_of(p), (double[]){10, 4, 6}, 3);
    expect_no_error();
    /* A vector of the program does not change with the set's. */
    sw_gradient_make_fresh(sw_params_gradient(p));
    double own[3] = {1, 1, 1};
    sw_tape_reset(tape);
    assert_int_equal(sw_tape_bind(tape, p, own, NULL), SW_OK);
    loss = sw_sum(sw_mul(use_vector(tape, p), use_vector(tape, p)));
    sw_params_mark_changed(p);
    assert_int_equal(sw_backward(loss), SW_OK);
    assert_near(gradient_of(p), (double[]){2, 2, 2}, 3);
    sw_params_free(p);
}

/* Discriminator's loss, its step, and the generator's loss through the new discriminator, on one
 * tape that holds the generated samples throughout. */
static void test_two_models_share_one_tape(void **state) {
    sw_tape *tape = ((const fixture *)*state)->tape;
    sw_params *g = vector_params("g", 0.5, -1, 2), *d = vector_params("w", 0.25, 0.5, -0.75);
    double *w = sw_params_x(d), expected[3];
    sw_tensor fake = sw_tanh(use_vector(tape, g));
    assert_int_equal(sw_backward(sw_sum(sw_mul(sw_detach(fake), use_vector(tape, d)))), SW_OK);
    for (int i = 0; i < 3; i++)
        expected[i] = tanh(((double *)sw_params_x(g))[i]);
    assert_near(gradient_of(d), expected, 3);
    assert_true(sw_gradient_is_fresh(sw_params_gradient(g)));
    for (int i = 0; i < 3; i++)
        w[i] -= 0.5 * gradient_of(d)[i];
    sw_gradient_make_fresh(sw_params_gradient(d));
    sw_params_mark_changed(d);
    sw_tensor loss = sw_sum(sw_mul(fake, use_vector(tape, d)));
    double value = 0;
    for (int i = 0; i < 3; i++) {
        value += w[i] * expected[i];
        expected[i] = w[i] * (1 - expected[i] * expected[i]);
    }
    assert_true(fabs(sw_item(loss) - value) <= 1e-14);
    assert_int_equal(sw_backward(loss), SW_OK);
    assert_near(gradient_of(g), expected, 3);
    expect_no_error();
    sw_params_free(g);
    sw_params_free(d);
}

/* ---- Gradients that are none ---- */

static sw_status failing_vjp(sw_call *call) {
    return sw_fail(SW_ERR_USER, "%s: not today", call->op->name);
}
static const sw_op failing_op = OP("failing", .forward = exp_forward, .vjp = failing_vjp);

static void test_failed_backward_leaves_nothing(void **state) {
    sw_tape *tape = ((const fixture *)*state)->tape;
    sw_params *p = vector_params("w", 1, 2, 3);
    double x[3] = {0.5, -1, 2}, y[3] = {1, 1, 1};
    sw_tensor a = vector_variable(tape, x, 3), b = vector_variable(tape, y, 3);
    sw_tensor failing = sw_apply(&failing_op, NULL, 0, 1, &a);
    sw_tensor h = sw_retain_grad(sw_mul(b, use_vector(tape, p))); /* reached before the failure */
    assert_int_equal(sw_backward(sw_sum(sw_add(failing, h))), SW_ERR_USER);
    expect_error(SW_ERR_USER, "failing: not today");
    assert_null(sw_grad(a).data);
    assert_null(sw_grad(b).data);
    assert_true(sw_gradient_is_fresh(sw_params_gradient(p)));
    /* The next backward is not added to half a one. */
    assert_int_equal(sw_backward(sw_sum(h)), SW_OK);
    assert_near(sw_grad(b).data, (double[]){1, 2, 3}, 3);
    assert_near(gradient_of(p), y, 3);
    expect_no_error();
    sw_params_free(p);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_retained_gradients_are_kept),
        TEST(test_backward_starts_from_any_tensor),
        TEST(test_second_backward_adds_or_is_refused),
        TEST(test_backward_sees_the_dropout_mask_of_forward),
        TEST(test_backward_refuses_parameters_changed_since_forward),
        TEST(test_two_models_share_one_tape),
        TEST(test_failed_backward_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
