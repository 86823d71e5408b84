/* The contract of sw_recompute: what needs a gradient, backward twice, every mistake, every failed allocation, and no
 * allocation after the first step. */
#include "support.h"

#include <swale/extend.h>

#include "recomputed.h"

static sw_tensor no_parameters(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    return sw_tanh(in[0]);
}

/* ---- What needs a gradient ---- */

static void test_segment_needs_a_gradient_only_if_something_in_it_does(void **state) {
    const fixture *f = *state;
    static const char nothing[] = "backward: nothing the tensor depends on needs a gradient (recording off, or all "
                                  "parameters frozen?)";
    sw_array x = test_filled(SW_F64, SW_SHAPE(BATCH, HIDDEN), -1, 1, 5);
    sw_tensor in = sw_input(f->tape, x);
    assert_int_equal(sw_backward(sw_sum(sw_recompute(no_parameters, NULL, 1, &in))), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, nothing);
    assert_ok(sw_backward(sw_sum(sw_recompute(gate, *state, 1, &in)))); /* the parameter trains */
    assert_true(any_nonzero(f->m.b0));
    sw_tape_reset(f->tape);
    assert_ok(sw_tape_freeze(f->tape, f->m.params, true));
    in = sw_input(f->tape, x);
    assert_int_equal(sw_backward(sw_sum(sw_recompute(gate, *state, 1, &in))), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, nothing);
    sw_tensor v = sw_variable(f->tape, x);
    assert_ok(sw_backward(sw_sum(sw_recompute(gate, *state, 1, &v))));
    assert_non_null(sw_grad(v).data);
    test_array_free(&x);
}

/* Gradients of two backward passes are added, as those of plain calls. */
static void test_backward_may_run_twice(void **state) {
    const fixture *f = *state;
    uint64_t hash[2];
    sw_array x = test_filled(SW_F64, SW_SHAPE(BATCH, HIDDEN), -1, 1, 5);
    for (int r = 0; r < 2; r++) {
        recomputing = r;
        sw_tape_reset(f->tape);
        sw_tape_set_draw(f->tape, 1);
        sw_tensor v = sw_variable(f->tape, x), y = call(nested, f, 1, &v);
        sw_tensor first = sw_sum(y), second = sw_sum(sw_mul(y, y));
        assert_ok(sw_backward(first));
        assert_ok(sw_backward(second));
        hash[r] = test_hash(TEST_HASH, sw_grad(v).data, test_bytes(&x));
    }
    assert_true(hash[0] == hash[1]);
    recomputing = false;
    test_array_free(&x);
}

/* A forward between two backward passes discards no gradients. */
static void test_segment_keeps_gradients_of_earlier_tensors(void **state) {
    const fixture *f = *state;
    sw_tensor v = sw_variable(f->tape, f->x);
    assert_ok(sw_backward(sw_sum(sw_mul(v, v))));
    assert_non_null(sw_grad(v).data);
    sw_recompute(no_parameters, NULL, 1, &v);
    const sw_array g = sw_grad(v);
    assert_non_null(g.data);
    for (int i = 0; i < BATCH * IN; i++)
        assert_true(test_get(&g, i) == 2 * test_get(&f->x, i));
}

/* ---- Mistakes ---- */

static sw_tensor outside;
static sw_tensor returns_null(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape, (void)in;
    return (sw_tensor){0};
}
static sw_tensor returns_outside(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape, (void)in;
    return outside;
}
static sw_tensor reads_outside(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    return sw_mul(in[0], outside);
}
static sw_tensor fails(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user;
    return sw_add(in[0], sw_empty(tape, SW_F64, SW_SHAPE(2, 7)));
}
static int turn;
static sw_tensor changes(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    return turn++ ? sw_reshape(in[0], SW_SHAPE(-1)) : sw_tanh(in[0]);
}
static sw_tensor fails_later(void *user, sw_tape *tape, const sw_tensor *in) {
    return turn++ ? fails(user, tape, in) : sw_tanh(in[0]);
}

static void test_mistakes_have_messages(void **state) {
    const fixture *f = *state;
    sw_tensor v = sw_variable(f->tape, f->x), null = {0};
    outside = sw_tanh(v);
    assert_true(sw_is_null(sw_recompute(NULL, NULL, 1, &v)));
    expect_error(SW_ERR_ARGUMENT, "recompute: the function is NULL");
    assert_true(sw_is_null(sw_recompute(fails, NULL, 1025, &v)));
    expect_error(SW_ERR_ARGUMENT, "recompute: 1025 inputs; at most 1024");
    assert_true(sw_is_null(sw_recompute(fails, NULL, 0, NULL)));
    expect_error(SW_ERR_ARGUMENT, "recompute: an operation needs an input");
    assert_true(sw_is_null(sw_recompute(fails, NULL, 1, &null)));
    expect_error(SW_ERR_ARGUMENT, "recompute: input 0 is a null tensor");
    assert_true(sw_is_null(sw_recompute(returns_null, NULL, 1, &v)));
    expect_error(SW_ERR_USER, "recompute: the function returned a null tensor");
    assert_true(sw_is_null(sw_recompute(returns_outside, NULL, 1, &v)));
    expect_error(SW_ERR_ARGUMENT, "recompute: the function returned a tensor that it has neither made nor received");
    assert_true(sw_is_null(sw_recompute(fails, NULL, 1, &v)));
    expect_error(SW_ERR_SHAPE,
                 "add: [8,5] and [2,7] do not broadcast: 5 against 7 in axis 1 from the end; they must be "
                 "equal, or one of them 1");
    sw_tensor y = sw_recompute(reads_outside, NULL, 1, &v);
    assert_int_equal(sw_backward(sw_sum(y)), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "backward: inside a vjp, mul reads a tensor from before it that needs a gradient; the "
                               "segment must take it as a sw_variable, or as an input of sw_recompute");
    turn = 0;
    assert_int_equal(sw_backward(sw_sum(sw_recompute(changes, NULL, 1, &v))), SW_ERR_STATE);
    expect_error(SW_ERR_STATE,
                 "recompute: the result is [40], and was [8,5] in the first call; the function must do the "
                 "same in both");
    turn = 0;
    assert_int_equal(sw_backward(sw_sum(sw_recompute(fails_later, NULL, 1, &v))), SW_ERR_SHAPE);
    sw_clear_error();
    assert_true(sw_is_null(sw_grad(v).data ? v : null));
    assert_ok(sw_backward(sw_sum(sw_recompute(no_parameters, NULL, 1, &v)))); /* on the same tape */
    assert_non_null(sw_grad(v).data);
}

static void test_parameters_that_have_moved_are_refused(void **state) {
    const fixture *f = *state;
    sw_array x = test_filled(SW_F64, SW_SHAPE(BATCH, HIDDEN), -1, 1, 5);
    sw_tensor in = sw_input(f->tape, x), y = sw_sum(sw_recompute(residual, *state, 1, &in));
    sw_params_mark_changed(f->m.params);
    assert_int_equal(sw_backward(y), SW_ERR_STATE);
    expect_error(SW_ERR_STATE,
                 "backward: parameters that recompute uses have changed since its forward; reset the tape "
                 "and record the loss again");
    sw_tape_reset(f->tape);
    test_array_free(&x);
}

/* ---- Memory ---- */

static test_allocator allocator;

/* 1000 rows, so that blocks are large and chunks are added on the way. Null after an error. */
static double run(bool segments, uint64_t *hash) {
    fixture f = {.m = {.params = sw_params_new(SW_F64, 17)}, .tape = sw_tape_new()};
    double value = NAN;
    sw_param *b = f.m.b0 = f.m.params ? sw_params_add(f.m.params, "b0", SW_SHAPE(HIDDEN), NULL) : NULL;
    static double numbers[1000 * HIDDEN];
    for (int i = 0; i < 1000 * HIDDEN; i++)
        numbers[i] = (i % 37) / 37.0;
    recomputing = segments;
    if (b && f.tape && sw_params_build(f.m.params) == SW_OK) {
        sw_tensor v = sw_variable(f.tape, sw_array_view(numbers, SW_F64, SW_SHAPE(1000, HIDDEN)));
        sw_tensor h = sw_is_null(v) ? v : call(nested, &f, 1, &v), y = sw_is_null(h) ? h : call(residual, &f, 1, &h);
        sw_release(h);
        sw_tensor loss = sw_is_null(y) ? y : sw_sum(y);
        if (!sw_error() && sw_backward(loss) == SW_OK) {
            value = sw_item(loss);
            *hash = test_hash(TEST_HASH, sw_grad(v).data, sizeof numbers);
        }
    }
    sw_tape_free(f.tape);
    sw_params_free(f.m.params);
    recomputing = false;
    return value;
}

static void test_every_failed_allocation_is_an_error(void **state) {
    (void)state;
    test_allocator_install(&allocator);
    uint64_t plain = 0, hash = 0;
    const double value = run(false, &plain);
    test_allocator_fail(&allocator, 0, false);
    assert_true(run(true, &hash) == value && hash == plain);
    const long long requests = atomic_load(&allocator.calls);
    assert_true(requests > 10);
    for (long long k = 1; k <= requests; k++) {
        test_allocator_fail(&allocator, k, false);
        const double result = run(true, &hash);
        if (!isnan(result) || sw_error_status() != SW_ERR_MEMORY)
            fail_msg("request %lld of %lld: %g, %s", k, requests, result, sw_error() ? sw_error() : "no error");
        sw_clear_error();
        assert_int_equal(atomic_load(&allocator.live), 0);
    }
    test_allocator_fail(&allocator, 0, false);
    hash = 0;
    assert_true(run(true, &hash) == value && hash == plain);
    sw_set_allocator(NULL);
}

static void test_no_allocation_after_the_first_step(void **state) {
    (void)state;
    test_allocator_install(&allocator);
    sw_params *p = sw_params_new(SW_F64, 17);
    fixture f = {.m = {.params = p, .b0 = declare(p, "b0", SW_SHAPE(HIDDEN))}, .tape = sw_tape_new()};
    assert_ok(sw_params_build(p));
    sw_array x = test_filled(SW_F64, SW_SHAPE(900, HIDDEN), -1, 1, 5);
    recomputing = true;
    long long before = 0;
    for (int i = 0; i < 6; i++) {
        sw_tensor h = sw_variable(f.tape, x);
        for (int k = 0; k < 5; k++) {
            sw_tensor next = call(k % 2 ? residual : nested, &f, 1, &h);
            if (k)
                sw_release(h);
            h = next;
        }
        assert_ok(sw_backward(sw_sum(h)));
        sw_gradient_make_fresh(sw_params_gradient(p));
        sw_tape_reset(f.tape);
        if (i == 0)
            before = atomic_load(&allocator.calls);
    }
    assert_int_equal(atomic_load(&allocator.calls), before);
    recomputing = false;
    sw_tape_free(f.tape);
    sw_params_free(p);
    test_array_free(&x);
    sw_set_allocator(NULL);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_segment_needs_a_gradient_only_if_something_in_it_does),
        TEST(test_backward_may_run_twice),
        TEST(test_segment_keeps_gradients_of_earlier_tensors),
        TEST(test_mistakes_have_messages),
        TEST(test_parameters_that_have_moved_are_refused),
        cmocka_unit_test(test_every_failed_allocation_is_an_error),
        cmocka_unit_test(test_no_allocation_after_the_first_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
