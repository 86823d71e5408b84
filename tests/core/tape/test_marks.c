/* Marks: a tape can be rewound to a mark any number of times, and nodes before the mark stay. */
#include "support.h"

#include "helpers.h"
#include "small_model.h"

enum { WIDTH = 512 };

/* ---- Marks ---- */

/* The tape can be rewound to one mark any number of times, and everything before it stays. */
static void test_tape_is_rewound_to_one_mark_repeatedly(void **state) {
    const fixture *f = *state;
    sw_array x = test_filled(SW_F64, SW_SHAPE(WIDTH), -1, 1, 3);
    sw_tensor v = sw_variable(f->tape, x), free_me = sw_scale(v, 2), base = sw_tanh(v);
    uint64_t hash = test_hash(TEST_HASH, sw_value(base).data, test_bytes(&x));
    sw_release(free_me); /* a block in the lists that the mark keeps */
    sw_mark mark = sw_tape_mark(f->tape);
    size_t used = 0;
    for (int i = 0; i < 20; i++) {
        sw_tensor dropped = sw_dropout(base, 0.5, 1), view = sw_reshape(base, SW_SHAPE(2, -1));
        sw_tensor y = sw_sum(sw_mul(sw_reshape(view, SW_SHAPE(-1)), dropped));
        static double first;
        double value = sw_item(y);
        if (i == 0)
            first = value;
        assert_true(value == first); /* the same mask each time */
        for (int k = 0; k < 30; k++)
            sw_release(sw_scale(base, k));
        assert_int_equal(sw_tape_rewind(f->tape, mark), SW_OK);
        assert_true(test_hash(TEST_HASH, sw_value(base).data, test_bytes(&x)) == hash);
        if (i == 1)
            used = sw_tape_held_bytes(f->tape);
    }
    assert_true(sw_tape_held_bytes(f->tape) == used); /* it costs nothing after the first time */
    /* The readers that were forgotten hold nothing: released, its memory comes back. */
    void *block = sw_value(base).data;
    sw_tape_set_switch(f->tape, SW_RECORD, false);
    sw_tensor plain = sw_tanh(v);
    sw_tape_set_switch(f->tape, SW_RECORD, true);
    sw_mark second = sw_tape_mark(f->tape);
    block = sw_value(plain).data;
    sw_sum(sw_mul(sw_reshape(plain, SW_SHAPE(-1)), sw_tanh(v)));
    assert_int_equal(sw_tape_rewind(f->tape, second), SW_OK);
    sw_release(plain);
    sw_tensor taker = sw_scale(v, 2), next = sw_scale(v, 2); /* free_me's block is the other one */
    assert_true(sw_value(taker).data == block || sw_value(next).data == block);
    test_array_free(&x);
}

/* What the segment told the tape about samples goes with it. */
static void test_rewind_restores_the_sample_ids(void **state) {
    const fixture *f = *state;
    const int64_t ids[3] = {7, 8, 9}, others[3] = {1, 2, 3};
    assert_int_equal(sw_tape_set_sample_ids(f->tape, ids, 3), SW_OK);
    sw_mark mark = sw_tape_mark(f->tape);
    assert_int_equal(sw_tape_set_sample_ids(f->tape, others, 3), SW_OK);
    assert_int_equal(sw_tape_sample_ids(f->tape, 3)[0], 1);
    assert_int_equal(sw_tape_rewind(f->tape, mark), SW_OK);
    assert_non_null(sw_tape_sample_ids(f->tape, 3));
    assert_memory_equal(sw_tape_sample_ids(f->tape, 3), ids, sizeof ids);
    assert_null(sw_tape_sample_ids(f->tape, 2));
}

/* ---- Rewinding at top level ---- */

enum { LONG = 600 };

static void fill_tape(sw_tape *tape) { /* what a stale pointer would point to */
    for (int i = 0; i < 8; i++) {
        sw_tensor t = sw_empty(tape, SW_F64, SW_SHAPE(LONG));
        double *to = sw_value(t).data;
        for (int k = 0; k < LONG; k++)
            to[k] = -1e9;
    }
}

static void all_equal(sw_array a, double expected) {
    assert_non_null(a.data);
    for (int64_t i = 0; i < sw_array_count(&a); i++)
        if (!(fabs(test_get(&a, i) - expected) <= 1e-12))
            fail_msg("element %d: %g, %g expected", (int)i, test_get(&a, i), expected);
}

static void test_rewind_after_backward_drops_its_gradients(void **state) {
    sw_tape *tape = ((const fixture *)*state)->tape;
    static double x[LONG];
    for (int i = 0; i < LONG; i++)
        x[i] = 3;
    for (int rounds = 0; rounds < 2; rounds++) {
        sw_tensor v = vector_variable(tape, x, LONG), h = sw_retain_grad(sw_scale(v, 2));
        sw_mark mark = sw_tape_mark(tape);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(sw_backward(sw_sum(sw_mul(h, h))), SW_OK);
            all_equal(sw_grad(v), 24);
            all_equal(sw_grad(h), 12);
            assert_int_equal(sw_tape_rewind(tape, mark), SW_OK);
            assert_null(sw_grad(v).data);
            assert_null(sw_grad(h).data);
            fill_tape(tape);
            assert_int_equal(sw_backward(sw_sum(sw_scale(h, 5))), SW_OK);
            all_equal(sw_grad(v), 10);
            all_equal(sw_grad(h), 5);
            assert_int_equal(sw_tape_rewind(tape, mark), SW_OK);
            fill_tape(tape);
        }
        sw_tape_reset(tape);
    }
    expect_no_error();
}

/* The gradient came to lie in memory from before the mark, that of a tensor released after it. */
static void test_rewind_drops_gradients_in_memory_released_later(void **state) {
    sw_tape *tape = ((const fixture *)*state)->tape;
    static double x[LONG], y[LONG];
    sw_tensor b = vector_variable(tape, y, LONG), k = sw_tanh(b), a = vector_variable(tape, x, LONG), h = sw_tanh(a);
    sw_mark mark = sw_tape_mark(tape);
    sw_tensor loss = sw_sum(sw_add(h, k));
    sw_release(h);
    assert_int_equal(sw_backward(loss), SW_OK);
    all_equal(sw_grad(a), 1);
    all_equal(sw_grad(b), 1);
    assert_int_equal(sw_tape_rewind(tape, mark), SW_OK);
    assert_null(sw_grad(a).data);
    assert_null(sw_grad(b).data);
    fill_tape(tape);
    assert_int_equal(sw_backward(sw_sum(k)), SW_OK);
    all_equal(sw_grad(b), 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_tape_is_rewound_to_one_mark_repeatedly),
        TEST(test_rewind_restores_the_sample_ids),
        TEST(test_rewind_after_backward_drops_its_gradients),
        TEST(test_rewind_drops_gradients_in_memory_released_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
