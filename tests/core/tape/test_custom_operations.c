/* The contract of a custom operation with sw_apply and backward: its table, the memory that it saves, and memory that
 * its vjp requests. */
#include "support.h"

#include "helpers.h"
#include "small_ops.h"

static const sw_op exp_op = OP("exp", .forward = exp_forward, .vjp = exp_vjp, .vjp_reads = SW_READS_OUT);

/* ---- The contract of operations ---- */

static sw_status saving_forward(sw_call *call) {
    const int64_t *bytes = call->attributes;
    void *first = sw_call_save(call, (size_t)bytes[0]), *again;
    if (!first || !(again = sw_call_save(call, (size_t)bytes[1])))
        return SW_ERR_STATE;
    if (again != first)
        return sw_fail(SW_ERR_USER, "saved in two places");
    return square_forward(call);
}
static const sw_op saving_op = OP("saving", .forward = saving_forward, .vjp = square_vjp, .vjp_reads = SW_READS(0));

static void test_saving_more_than_before_is_refused(void **state) {
    sw_tape *tape = *state;
    double x[3] = {0.5, -1, 2};
    sw_tensor v = vector_variable(tape, x, 3);
    static const int64_t same[2] = {64, 64}, less[2] = {64, 8}, more[2] = {64, 65};
    assert_false(sw_is_null(sw_apply(&saving_op, same, sizeof same, 1, &v)));
    assert_false(sw_is_null(sw_apply(&saving_op, less, sizeof less, 1, &v)));
    assert_true(sw_is_null(sw_apply(&saving_op, more, sizeof more, 1, &v)));
    expect_error(SW_ERR_STATE, "saving: 65 bytes to save after 64");
}

static sw_status sets_nothing(sw_call *call) {
    (void)call;
    return SW_OK;
}

static void test_incomplete_operation_is_refused(void **state) {
    sw_tape *tape = *state;
    static const sw_op no_shape = {.size = sizeof(sw_op), .name = "odd", .forward = exp_forward},
                       no_forward = {.size = sizeof(sw_op), .name = "odd", .shape = like_input},
                       no_size = {.name = "odd", .shape = like_input, .forward = exp_forward},
                       blank = {.size = sizeof(sw_op), .name = "odd", .shape = sets_nothing, .forward = exp_forward},
                       one_way = OP("one_way", .forward = exp_forward);
    static const sw_op *const incomplete[] = {&no_shape, &no_forward, &no_size};
    double x[3] = {0.5, -1, 2};
    sw_tensor v = vector_variable(tape, x, 3);
    for (size_t i = 0; i < sizeof incomplete / sizeof *incomplete; i++) {
        assert_true(sw_is_null(sw_apply(incomplete[i], NULL, 0, 1, &v)));
        expect_error(SW_ERR_ARGUMENT, "odd: an operation needs its size, a shape rule and a forward function, "
                                      "and its attributes must not be NULL");
    }
    assert_true(sw_is_null(sw_apply(&exp_op, NULL, 8, 1, &v)));
    expect_error(SW_ERR_ARGUMENT, "exp: an operation needs its size, a shape rule and a forward "
                                  "function, and its attributes must not be NULL");
    assert_true(sw_is_null(sw_apply(NULL, NULL, 0, 1, &v)));
    assert_int_equal(sw_error_status(), SW_ERR_ARGUMENT);
    sw_clear_error();
    assert_true(sw_is_null(sw_apply(&blank, NULL, 0, 1, &v)));
    expect_error(SW_ERR_STATE, "odd: its shape function did not set the output");
    double y = 1;
    sw_tensor one = vector_variable(tape, &y, 1), z = sw_apply(&one_way, NULL, 0, 1, &one);
    assert_true(sw_item(z) == exp(1)); /* it computes */
    assert_int_equal(sw_backward(z), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "backward: operation one_way has no derivative");
}

/* ---- Memory inside a vjp that records ---- */

enum { PROPER, COTANGENT_LATE, SCRATCH_LATE, SAVE_LATE };

static sw_status segment_forward(sw_call *call) {
    const double *x = call->in[0]->data;
    for (int64_t i = 0; i < call->out->count; i++)
        ((double *)call->out->data)[i] = tanh(x[i]);
    return SW_OK;
}

static sw_status segment_vjp(sw_call *call) {
    int mode = *(const int *)call->attributes;
    double *to = mode == COTANGENT_LATE ? NULL : sw_call_grad(call, 0);
    double *aside = mode == SCRATCH_LATE ? NULL : sw_call_scratch(call, 64);
    sw_mark mark = sw_tape_mark(call->tape);
    sw_array x = sw_array_view(call->in[0]->data, SW_F64, 1, call->in[0]->shape),
             c = sw_array_view(call->cotangent, SW_F64, 1, call->in[0]->shape);
    sw_tensor v = sw_variable(call->tape, x);
    if (mode == COTANGENT_LATE)
        to = sw_call_grad(call, 0);
    if (mode == SCRATCH_LATE && !(aside = sw_call_scratch(call, 64)))
        return SW_ERR_STATE;
    if (mode == SAVE_LATE && !sw_call_save(call, 64))
        return SW_ERR_STATE;
    SW_TRY(sw_backward_from(sw_tanh(v), c));
    const double *found = sw_grad(v).data;
    for (int64_t i = 0; to && i < call->in[0]->count; i++)
        to[i] = found[i];
    return sw_tape_rewind(call->tape, mark);
}
static const sw_op segment_op = OP("segment", .forward = segment_forward, .vjp = segment_vjp, .vjp_reads = SW_READS(0));

static void test_vjp_asking_for_memory_after_a_mark_is_refused(void **state) {
    sw_tape *tape = *state;
    double x[3] = {0.5, -1, 2};
    for (int mode = PROPER; mode <= SAVE_LATE; mode++) {
        sw_tensor v = vector_variable(tape, x, 3);
        sw_tensor y = sw_apply(&segment_op, &mode, sizeof mode, 1, &v);
        sw_status status = sw_backward(sw_sum(y));
        if (mode == PROPER) {
            assert_int_equal(status, SW_OK);
            double expected[3];
            for (int i = 0; i < 3; i++)
                expected[i] = 1 - tanh(x[i]) * tanh(x[i]);
            assert_near(sw_grad(v).data, expected, 3);
        } else {
            assert_int_equal(status, SW_ERR_STATE);
            expect_error(SW_ERR_STATE, "segment: memory for a cotangent, scratch or saved values must be requested "
                                       "before sw_tape_mark, because the rewind discards it");
            assert_null(sw_grad(v).data);
        }
        sw_tape_reset(tape);
    }
    expect_no_error();
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, tape_setup, tape_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_saving_more_than_before_is_refused),
        TEST(test_incomplete_operation_is_refused),
        TEST(test_vjp_asking_for_memory_after_a_mark_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
