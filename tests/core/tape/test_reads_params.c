/* Operations that use parameters which are not among their inputs (sw_op.reads_params): their output needs a gradient
 * although no input does; frozen parameters, other points, parameters that move, and operations of earlier versions. */
#include "support.h"

#include "segment.h"

/* x tanh(x b), [batch, HIDDEN]. */
static sw_tensor gate(const model *m, sw_tape *tape, sw_tensor x) {
    return sw_mul(x, sw_tanh(sw_mul(x, sw_param_use(tape, m->b0))));
}

/* Uses no parameters but those of the segment inside. */
static sw_tensor gate_inside(const model *m, sw_tape *tape, sw_tensor x) {
    (void)tape;
    return sw_dropout(recompute(m, gate, x), 0.25, 3);
}

static sw_tensor gate_outside(const model *m, sw_tape *tape, sw_tensor x) {
    return sw_dropout(gate(m, tape, x), 0.25, 3);
}

static sw_tensor no_parameters(const model *m, sw_tape *tape, sw_tensor x) {
    (void)m, (void)tape;
    return sw_tanh(x);
}

typedef sw_tensor (*graph)(const fixture *f, sw_tensor x);
static sw_tensor plain_graph(const fixture *f, sw_tensor x) {
    return sw_linear(gate_outside(&f->m, f->tape, x), sw_param_use(f->tape, f->m.w1), (sw_tensor){0});
}
static sw_tensor segment_graph(const fixture *f, sw_tensor x) {
    return sw_linear(sw_dropout(recompute(&f->m, gate, x), 0.25, 3), sw_param_use(f->tape, f->m.w1), (sw_tensor){0});
}
static sw_tensor nested_graph(const fixture *f, sw_tensor x) {
    return sw_linear(recompute(&f->m, gate_inside, x), sw_param_use(f->tape, f->m.w1), (sw_tensor){0});
}

/* A batch in front of the segment: nothing before it needs a gradient. */
static sw_array batch_of(uint64_t seed) {
    return test_filled(SW_F64, SW_SHAPE(BATCH, HIDDEN), -1, 1, seed);
}

static uint64_t hash_after(const fixture *f, graph make, const sw_array *x) {
    sw_params *p = f->m.params;
    sw_tape_reset(f->tape);
    sw_tape_set_draw(f->tape, 5);
    sw_gradient_make_fresh(sw_params_gradient(p));
    poison(p, sw_gradient_data(sw_params_gradient(p)));
    assert_ok(sw_backward(sw_mse(make(f, sw_input(f->tape, *x)), sw_input(f->tape, f->y))));
    return hash_of(p, sw_gradient_data(sw_params_gradient(p)));
}

static void test_parameters_of_a_first_segment_train(void **state) {
    const fixture *f = *state;
    sw_array x = batch_of(3);
    const uint64_t plain = hash_after(f, plain_graph, &x);
    assert_true(any_nonzero(f->m.b0) && any_nonzero(f->m.w1));
    assert_true(hash_after(f, segment_graph, &x) == plain); /* bit for bit */
    assert_true(hash_after(f, nested_graph, &x) == plain);
    test_array_free(&x);
}

/* Backward of a segment alone: its message where no parameter in it is to train, and its gradient else. */
static sw_status backward_of_segment(const fixture *f, segment s, const sw_array *x) {
    sw_tape_reset(f->tape);
    sw_gradient_make_fresh(sw_params_gradient(f->m.params));
    return sw_backward(sw_sum(recompute(&f->m, s, sw_input(f->tape, *x))));
}

static void test_frozen_parameters_need_no_gradient(void **state) {
    const fixture *f = *state;
    static const char nothing[] = "backward: nothing the tensor depends on needs a gradient (recording off, or all "
                                  "parameters frozen?)";
    sw_array x = batch_of(4);
    assert_ok(backward_of_segment(f, gate_inside, &x));
    sw_param_freeze(f->m.w1, true); /* another one is no matter */
    assert_ok(backward_of_segment(f, gate_inside, &x));
    sw_param_freeze(f->m.b0, true);
    assert_int_equal(backward_of_segment(f, gate_inside, &x), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, nothing);
    sw_param_freeze(f->m.b0, false);
    sw_tape_reset(f->tape);
    assert_ok(sw_tape_freeze(f->tape, f->m.params, true));
    assert_int_equal(backward_of_segment(f, gate, &x), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, nothing);
    sw_tape_reset(f->tape);
    assert_ok(sw_tape_freeze(f->tape, f->m.params, false));
    sw_tape_set_switch(f->tape, SW_RECORD, false);
    assert_int_equal(backward_of_segment(f, gate, &x), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, nothing);
    sw_tape_set_switch(f->tape, SW_RECORD, true);
    assert_ok(backward_of_segment(f, gate, &x));
    assert_true(any_nonzero(f->m.b0));
    test_array_free(&x);
}

/* Its forward leaves open whether its vjp will use parameters, so that its vjp runs. A frozen leaf that was used before
 * the segment does not count as one of the segment. */
static void test_segment_without_parameters_runs_its_vjp(void **state) {
    const fixture *f = *state;
    sw_array x = batch_of(5);
    assert_ok(sw_tape_freeze(f->tape, f->m.params, true));
    sw_param_use(f->tape, f->m.b0);
    sw_tensor y = recompute(&f->m, no_parameters, sw_input(f->tape, x));
    assert_ok(sw_backward(sw_sum(y)));
    assert_true(sw_gradient_is_fresh(sw_params_gradient(f->m.params)));
    test_array_free(&x);
}

/* A vjp that uses a parameter which its forward has not used. */
static const model *late_model;
static sw_status late_forward(sw_call *call) {
    memcpy(call->out->data, call->in[0]->data, (size_t)call->in[0]->count * sizeof(double));
    return SW_OK;
}
static sw_status late_vjp(sw_call *call) {
    sw_mark mark = sw_tape_mark(call->tape);
    sw_tensor b = sw_param_use(call->tape, late_model->b0);
    SW_TRY(sw_backward(sw_sum(sw_mul(b, b))));
    return sw_tape_rewind(call->tape, mark);
}
static const sw_op late_op = OP("late", .forward = late_forward, .vjp = late_vjp, .reads_params = true);

static void test_parameters_used_in_the_vjp_alone_train(void **state) {
    const fixture *f = *state;
    late_model = &f->m;
    sw_tensor in = sw_input(f->tape, f->x);
    assert_ok(sw_backward(sw_sum(sw_apply(&late_op, NULL, 0, 1, &in))));
    sw_array g = sw_param_grad(f->m.b0), x = sw_param_value(f->m.b0);
    for (int i = 0; i < HIDDEN; i++)
        assert_true(test_get(&g, i) == 2 * test_get(&x, i));
}

/* The vjp would compute the segment at another point than the forward. A vector that the program has bound is its own
 * affair, as for other operations. */
static void test_parameters_that_have_moved_are_refused(void **state) {
    const fixture *f = *state;
    sw_params *p = f->m.params;
    sw_array x = batch_of(6);
    for (int bound = 0; bound < 2; bound++) {
        sw_tape_reset(f->tape);
        double *scratch = malloc((size_t)sw_params_dim(p) * sizeof *scratch);
        memcpy(scratch, sw_params_x(p), (size_t)sw_params_dim(p) * sizeof *scratch);
        assert_ok(sw_tape_bind(f->tape, p, bound ? scratch : NULL, NULL));
        sw_tensor y = sw_sum(recompute(&f->m, gate_inside, sw_input(f->tape, x)));
        ((double *)sw_params_x(p))[0] += 1;
        sw_params_mark_changed(p);
        if (bound) {
            assert_ok(sw_backward(y));
        } else {
            assert_int_equal(sw_backward(y), SW_ERR_STATE);
            expect_error(SW_ERR_STATE,
                         "backward: parameters that recompute uses have changed since its forward; reset the tape and "
                         "record the loss again");
        }
        sw_tape_reset(f->tape);
        assert_ok(sw_tape_bind(f->tape, p, NULL, NULL));
        free(scratch);
    }
    test_array_free(&x);
}

/* Two sets in one segment: each is seen, and the move of each. */
static const model *second;
static sw_tensor two_sets(const model *m, sw_tape *tape, sw_tensor x) {
    return sw_mul(gate(m, tape, x), sw_param_use(tape, second->b0));
}

static void test_segment_of_two_models_trains_both(void **state) {
    const fixture *f = *state;
    model other = model_new(SW_F64);
    second = &other;
    sw_array x = batch_of(7);
    for (int frozen = 0; frozen < 4; frozen++) {
        sw_tape_reset(f->tape);
        assert_ok(sw_tape_freeze(f->tape, f->m.params, frozen & 1));
        assert_ok(sw_tape_freeze(f->tape, other.params, frozen & 2));
        sw_gradient_make_fresh(sw_params_gradient(other.params));
        const sw_status status = backward_of_segment(f, two_sets, &x);
        assert_int_equal(status, frozen == 3 ? SW_ERR_STATE : SW_OK);
        sw_clear_error();
        assert_int_equal(sw_gradient_is_fresh(sw_params_gradient(f->m.params)), (frozen & 1) != 0);
        assert_int_equal(sw_gradient_is_fresh(sw_params_gradient(other.params)), (frozen & 2) != 0);
    }
    for (int moved = 0; moved < 2; moved++) {
        sw_tape_reset(f->tape);
        assert_ok(sw_tape_freeze(f->tape, f->m.params, false));
        assert_ok(sw_tape_freeze(f->tape, other.params, false));
        sw_tensor y = sw_sum(recompute(&f->m, two_sets, sw_input(f->tape, x)));
        sw_params_mark_changed(moved ? other.params : f->m.params);
        assert_int_equal(sw_backward(y), SW_ERR_STATE);
        sw_clear_error();
    }
    sw_tape_reset(f->tape);
    test_array_free(&x);
    sw_params_free(other.params);
}

/* ---- The table of the operation ---- */

/* A program that was compiled before the member: what follows its table in memory is not read. */
static void test_operation_of_an_earlier_version_works(void **state) {
    const fixture *f = *state;
    sw_op earlier = late_op;
    earlier.size = offsetof(sw_op, reads_params);
    sw_tensor in = sw_input(f->tape, f->x), y = sw_apply(&earlier, NULL, 0, 1, &in);
    assert_false(sw_is_null(y));
    assert_int_equal(sw_backward(sw_sum(y)), SW_ERR_STATE); /* as then: no input needs a gradient */
    sw_clear_error();
    earlier.size--;
    assert_true(sw_is_null(sw_apply(&earlier, NULL, 0, 1, &in)));
    expect_error(SW_ERR_ARGUMENT, "late: an operation needs its size, a shape rule and a forward function, and its "
                                  "attributes must not be NULL");
    sw_tape_reset(f->tape);
}

static void test_operation_with_parameters_needs_a_vjp(void **state) {
    const fixture *f = *state;
    static const sw_op one_way = OP("one_way", .forward = late_forward, .reads_params = true),
                       view = OP("view", .vjp = late_vjp, .is_view = true, .reads_params = true);
    sw_tensor in = sw_input(f->tape, f->x);
    assert_true(sw_is_null(sw_apply(&one_way, NULL, 0, 1, &in)));
    expect_error(SW_ERR_ARGUMENT, "one_way: an operation with reads_params needs a vjp");
    assert_true(sw_is_null(sw_apply(&view, NULL, 0, 1, &in)));
    expect_error(SW_ERR_ARGUMENT, "view: an operation with reads_params cannot be a view");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_parameters_of_a_first_segment_train),     TEST(test_frozen_parameters_need_no_gradient),
        TEST(test_segment_without_parameters_runs_its_vjp), TEST(test_parameters_used_in_the_vjp_alone_train),
        TEST(test_parameters_that_have_moved_are_refused),  TEST(test_segment_of_two_models_trains_both),
        TEST(test_operation_of_an_earlier_version_works),   TEST(test_operation_with_parameters_needs_a_vjp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
