/* The contract of a tape: switches, reuse of memory, views, leaves and copies of inputs, graphs of any depth and
 * width. */
#include "support.h"

#include "helpers.h"
#include "small_model.h"

static void test_switches_outlive_a_reset(void **state) {
    const fixture *f = *state;
    assert_true(sw_tape_switch(f->tape, SW_RECORD));
    assert_true(sw_tape_switch(f->tape, SW_TRAIN));
    assert_true(sw_tape_switch(f->tape, SW_UPDATE_BUFFERS));
    sw_tape_set_switch(f->tape, SW_RECORD | SW_UPDATE_BUFFERS, false);
    assert_false(sw_tape_switch(f->tape, SW_UPDATE_BUFFERS));
    sw_tape_set_switch(f->tape, SW_UPDATE_BUFFERS, true);
    sw_tape_reset(f->tape);
    assert_false(sw_tape_switch(f->tape, SW_RECORD)); /* they outlive a reset */
    assert_true(sw_tape_switch(f->tape, SW_TRAIN));
    assert_true(sw_tape_switch(f->tape, SW_UPDATE_BUFFERS));
    assert_false(sw_tape_switch(NULL, SW_TRAIN));
    sw_tape_set_switch(NULL, SW_TRAIN, true);
    uint64_t draw = sw_tape_draw(f->tape);
    sw_tape_reset(f->tape);
    assert_true(sw_tape_draw(f->tape) == draw + 1);
    sw_tape_reset(NULL);
    sw_tape_free(NULL);
}

/* ---- Memory ---- */

enum { WIDTH = 512, LAYERS = 12 };

/* A chain whose ops alternate between those whose vjp reads values and those that need none. */
static sw_tensor chain(sw_tensor x, bool release) {
    sw_tensor h = x;
    for (int i = 0; i < LAYERS; i++) {
        sw_tensor before = h;
        switch (i % 4) {
        case 0: h = sw_scale(h, 0.9); break;
        case 1: h = sw_tanh(h); break;
        case 2: h = sw_add(h, x); break;
        default: h = sw_mul(h, h);
        }
        if (release && i > 0)
            sw_release(before);
    }
    return sw_sum(h);
}

static void test_released_memory_is_reused(void **state) {
    const fixture *f = *state;
    sw_array x = test_filled(SW_F64, SW_SHAPE(WIDTH), -1, 1, 3);
    uint64_t hash[2];
    size_t used[2];
    double value[2];
    for (int release = 0; release < 2; release++) {
        sw_tensor v = sw_variable(f->tape, x), loss = chain(v, release);
        value[release] = sw_item(loss);
        assert_int_equal(sw_backward(loss), SW_OK);
        hash[release] = test_hash(TEST_HASH, sw_grad(v).data, test_bytes(&x));
        used[release] = sw_tape_peak_bytes(f->tape);
        sw_tape_reset(f->tape);
    }
    assert_true(value[0] == value[1]);
    assert_true(hash[0] == hash[1]);
    /* Outputs of scale and add are read by tanh's and mul's vjp or not at all: of 12 values the
     * three of scale and tanh's input go at once. At least four blocks less are needed. */
    assert_true(used[1] + 4 * WIDTH * sizeof(double) <= used[0]);
    assert_true(sw_tape_held_bytes(f->tape) >= used[0]);
    /* Recording nothing, a chain of any length needs two blocks or three. */
    sw_tape_set_switch(f->tape, SW_RECORD, false);
    chain(sw_input(f->tape, x), true);
    assert_true(sw_tape_peak_bytes(f->tape) < 5 * WIDTH * sizeof(double));
    sw_tape_set_switch(f->tape, SW_RECORD, true);
    test_array_free(&x);
}

/* Memory freed under a view would be taken by what follows and overwritten. */
static void test_released_memory_under_a_view_is_kept(void **state) {
    const fixture *f = *state;
    sw_array x = test_filled(SW_F64, SW_SHAPE(4, 8), -1, 1, 3);
    for (int record = 0; record < 2; record++) {
        sw_tape_set_switch(f->tape, SW_RECORD, record);
        sw_tensor v = sw_variable(f->tape, x), base = sw_scale(v, 2);
        sw_tensor view = sw_reshape(base, SW_SHAPE(8, 4)), flat = sw_reshape(view, SW_SHAPE(32));
        assert_true(sw_value(view).data == sw_value(base).data); /* no copy */
        sw_release(base);
        sw_release(view);
        size_t used = sw_tape_peak_bytes(f->tape);
        sw_tensor other = sw_scale(v, 5);
        assert_true(sw_value(other).data != sw_value(flat).data);
        assert_true(sw_tape_peak_bytes(f->tape) > used);
        sw_array a = sw_value(flat);
        for (int i = 0; i < 32; i++)
            assert_true(test_get(&a, i) == 2 * test_get(&x, i));
        void *block = a.data;
        sw_tensor square = sw_mul(flat, flat);
        sw_release(flat); /* the last that looks */
        sw_tensor next = sw_scale(v, 3);
        if (record) { /* mul's vjp still reads it */
            assert_true(sw_value(next).data != block);
            assert_int_equal(sw_backward(sw_sum(square)), SW_OK);
            sw_array g = sw_grad(v);
            for (int i = 0; i < 32; i++)
                assert_true(test_get(&g, i) == 8 * test_get(&x, i));
        } else {
            assert_true(sw_value(next).data == block);
        }
        sw_tape_reset(f->tape);
    }
    sw_tape_set_switch(f->tape, SW_RECORD, true);
    test_array_free(&x);
}

/* ---- Leaves ---- */

static void test_leaves_are_released_and_live_as_stated(void **state) {
    sw_tape *tape = ((const fixture *)*state)->tape;
    sw_params *p = vector_params("w", 1, 2, 3), *cold = vector_params("c", 1, 1, 1);
    sw_param_freeze(sw_params_at(cold, 0), true);
    sw_tensor w = use_vector(tape, p), c = use_vector(tape, cold);
    sw_release(w); /* a shared leaf: releasing one use does not release the others */
    assert_true(sw_is_live(w));
    assert_int_equal(sw_backward(sw_sum(sw_mul(sw_mul(w, use_vector(tape, p)), c))), SW_OK);
    assert_near(gradient_of(p), (double[]){2, 4, 6}, 3);
    assert_near(sw_grad(w).data, (double[]){2, 4, 6}, 3);
    assert_null(sw_grad(c).data);
    expect_no_error();

    assert_false(sw_is_live((sw_tensor){0}));
    double x[3] = {0.5, -1, 2};
    sw_tensor v = vector_variable(tape, x, 3), r = sw_scale(v, 2);
    sw_mark mark = sw_tape_mark(tape);
    sw_tensor late = sw_scale(v, 3);
    assert_true(sw_is_live(v) && sw_is_live(r) && sw_is_live(late));
    sw_release(r);
    assert_false(sw_is_live(r));
    assert_int_equal(sw_tape_rewind(tape, mark), SW_OK);
    assert_false(sw_is_live(late));
    assert_true(sw_is_live(v));
    sw_tape_reset(tape);
    assert_false(sw_is_live(v));
    vector_variable(tape, x, 3);
    use_vector(tape, p);
    assert_false(sw_is_live(v) || sw_is_live(w));
    expect_no_error(); /* a question is no mistake */
    sw_params_free(p);
    sw_params_free(cold);
}

static void test_input_copy_does_not_need_the_array(void **state) {
    sw_tape *tape = ((const fixture *)*state)->tape;
    double x[3] = {0.5, -1, 2}, one = 4;
    int32_t ids[2] = {7, 9};
    sw_tensor a = sw_input_copy(tape, sw_array_view(x, SW_F64, SW_SHAPE(3))),
              s = sw_input_copy(tape, sw_array_view(&one, SW_F64, 0, NULL)),
              i = sw_input_copy(tape, sw_array_view(ids, SW_I32, SW_SHAPE(2))),
              e = sw_input_copy(tape, sw_array_view(x, SW_F64, SW_SHAPE(0, 3)));
    expect_no_error();
    memset(x, 0, sizeof x); /* the array need not live */
    one = 0;
    memset(ids, 0, sizeof ids);
    assert_near(sw_value(a).data, (double[]){0.5, -1, 2}, 3);
    assert_true(sw_item(s) == 4);
    assert_int_equal(((int32_t *)sw_value(i).data)[1], 9);
    assert_int_equal(sw_value(e).shape[1], 3);
    assert_int_equal(sw_backward(sw_sum(a)), SW_ERR_STATE); /* an input: no gradient */
    sw_clear_error();
    assert_true(sw_is_null(sw_input_copy(NULL, sw_array_view(x, SW_F64, SW_SHAPE(3)))));
    expect_error(SW_ERR_ARGUMENT, "input_copy: the tape is NULL");
    assert_true(sw_is_null(sw_input_copy(tape, (sw_array){.type = SW_F64, .rank = 1, .shape = {3}})));
    expect_error(SW_ERR_ARGUMENT, "input_copy: the array has no data");
}

/* ---- Size ---- */

static void test_graph_of_100000_operations_is_run(void **state) {
    const fixture *f = *state;
    enum { DEPTH = 100000 };
    const double one = 1;
    for (int pass = 0; pass < 2; pass++) {
        sw_tensor x = sw_variable(f->tape, sw_array_view(&one, SW_F64, 0, NULL)), h = x;
        for (int i = 0; i < DEPTH; i++)
            h = i % 2 ? sw_scale(h, 2) : sw_scale(h, 0.5);
        assert_true(sw_item(h) == 1);
        assert_int_equal(sw_backward(h), SW_OK);
        assert_true(test_get(&(sw_array){.data = sw_grad(x).data, .type = SW_F64}, 0) == 1);
        expect_no_error();
        sw_tape_reset(f->tape);
    }
    /* 100,000 nodes of three blocks of 64 bytes and one node each, and half as much again */
    assert_true(sw_tape_held_bytes(f->tape) < (size_t)DEPTH * (3 * 64 + 192) * 3 / 2);
}

static void test_tensor_used_3000_times_adds_its_gradients(void **state) {
    const fixture *f = *state;
    enum { USES = 3000 };
    const double x[2] = {1, 2};
    sw_tensor v = sw_variable(f->tape, sw_array_view(x, SW_F64, SW_SHAPE(2))), sum = sw_scale(v, 0);
    for (int i = 0; i < USES; i++)
        sum = sw_add(sum, v);
    assert_int_equal(sw_backward(sw_sum(sum)), SW_OK);
    sw_array g = sw_grad(v);
    assert_true(test_get(&g, 0) == USES && test_get(&g, 1) == USES);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_switches_outlive_a_reset),
        TEST(test_released_memory_is_reused),
        TEST(test_released_memory_under_a_view_is_kept),
        TEST(test_leaves_are_released_and_live_as_stated),
        TEST(test_input_copy_does_not_need_the_array),
        TEST(test_graph_of_100000_operations_is_run),
        TEST(test_tensor_used_3000_times_adds_its_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
