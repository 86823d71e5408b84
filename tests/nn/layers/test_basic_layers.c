/* Basic layers against hand computations: linear, relu, sequential, dropout; memory that sequential releases. */
#include "helpers.h"

static void test_linear_gives_the_plain_values(void **state) {
    (void)state;
    const double expected[4] = {2 - 2 + 2 + 0.5, 6 - 4 - 4, -1 - 6 + 1 + 0.5, -3 - 2 - 4};
    for (int t = 0; t < 2; t++) {
        sw_model *model = sw_model_new(both_types[t], 1);
        sw_module *linear = sw_nn_linear(model, 3, 2);
        sw_params *p = built(model, linear);
        assert_int_equal(sw_params_dim(p), 8);
        set_values(p, "linear1.weight", small_weight);
        for (int i = 0; i < 2; i++) /* the bias starts at zero */
            assert_true(value_of(p, "linear1.bias", i) == 0);
        set_values(p, "linear1.bias", small_bias);
        sw_tape *tape = sw_tape_new();
        sw_tensor y = sw_forward(linear, rows_of(tape, both_types[t], 2, 3, small_points));
        assert_values(y, expected, 4, 0);
        assert_ptr_equal(sw_model_root(model), linear);
        assert_ptr_equal(sw_model_params(model), p);
        sw_tape_free(tape);
        sw_model_free(model);
    }
}

static void test_sequential_and_relu_give_the_plain_values(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *inner = sw_nn_sequential(model, sw_nn_relu(model), sw_nn_linear(model, 0, 1), NULL);
    sw_module *list[] = {sw_nn_linear(model, 3, 2), inner};
    sw_module *root = sw_nn_sequential_array(model, 2, list);
    sw_params *p = built(model, root);
    set_values(p, "linear1.weight", small_weight);
    set_values(p, "linear1.bias", small_bias);
    set_values(p, "linear2.weight", (const double[]){2, -1});
    set_values(p, "linear2.bias", (const double[]){10});
    sw_tape *tape = sw_tape_new();
    sw_tensor y = sw_forward(root, rows_of(tape, SW_F64, 2, 3, small_points));
    const double expected[2] = {2 * 2.5 + 10, 10}; /* of rows {2.5, -2} and {-5.5, -9} */
    assert_values(y, expected, 2, 0);
    sw_tape_free(tape);
    sw_model_free(model);
}

static void test_empty_sequential_is_the_identity(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *empty = sw_nn_sequential(model, NULL);
    sw_module *root = sw_nn_sequential(model, empty, sw_nn_sequential_array(model, 0, NULL), NULL);
    assert_int_equal(sw_params_dim(built(model, root)), 0);
    sw_tape *tape = sw_tape_new();
    sw_tensor x = rows_of(tape, SW_F64, 2, 3, small_points), y = sw_forward(root, x);
    assert_values(y, small_points, 6, 0);
    assert_values(x, small_points, 6, 0); /* the caller's tensor is not released */
    sw_tape_free(tape);
    sw_model_free(model);
}

static void test_dropout_keeps_the_stated_fraction(void **state) {
    (void)state;
    enum { ROWS = 200, COLUMNS = 100 };
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *drop = sw_nn_dropout(model, 0.25), *other = sw_nn_dropout(model, 0.25);
    sw_module *root = sw_nn_sequential(model, drop, other, NULL);
    built(model, root);
    sw_tape *tape = sw_tape_new();
    static double ones[ROWS * COLUMNS];
    for (int i = 0; i < ROWS * COLUMNS; i++)
        ones[i] = 1;
    sw_tape_set_switch(tape, SW_TRAIN, false);
    assert_values(sw_forward(drop, rows_of(tape, SW_F64, ROWS, COLUMNS, ones)), ones, ROWS * COLUMNS, 0);
    sw_tape_reset(tape);
    sw_tape_set_switch(tape, SW_TRAIN, true);
    sw_tape_set_draw(tape, 17);
    sw_array a = sw_value(sw_forward(drop, rows_of(tape, SW_F64, ROWS, COLUMNS, ones)));
    sw_array b = sw_value(sw_forward(other, rows_of(tape, SW_F64, ROWS, COLUMNS, ones)));
    int kept = 0, different = 0;
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        double v = test_get(&a, i);
        assert_true(v == 0 || fabs(v - 1 / 0.75) <= 2.3e-16);
        kept += v != 0;
        different += v != test_get(&b, i);
    }
    /* Standard error of the share kept: √(0.75·0.25/20000) = 0.0031; five of them. */
    assert_true(fabs((double)kept / (ROWS * COLUMNS) - 0.75) <= 0.0155);
    assert_true(different > ROWS * COLUMNS / 4); /* 2·0.75·0.25 = 0.375 in the mean */
    /* Equal draw, equal mask; another draw, another mask. */
    uint64_t hash = test_hash(TEST_HASH, a.data, sizeof ones);
    sw_tape_reset(tape);
    sw_tape_set_draw(tape, 17);
    a = sw_value(sw_forward(drop, rows_of(tape, SW_F64, ROWS, COLUMNS, ones)));
    assert_true(test_hash(TEST_HASH, a.data, sizeof ones) == hash);
    sw_tape_reset(tape);
    sw_tape_set_draw(tape, 18);
    a = sw_value(sw_forward(drop, rows_of(tape, SW_F64, ROWS, COLUMNS, ones)));
    assert_true(test_hash(TEST_HASH, a.data, sizeof ones) != hash);
    sw_tape_free(tape);
    sw_model_free(model);
}

/* What passes between the layers of sw_nn_sequential is given back within the step. */
static void test_sequential_releases_memory_between_layers(void **state) {
    (void)state;
    enum { LAYERS = 12, WIDTH = 64, ROWS = 128 };
    static double values[ROWS * WIDTH];
    for (int i = 0; i < ROWS * WIDTH; i++)
        values[i] = (i % 7) - 3;
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *layer[LAYERS];
    for (int i = 0; i < LAYERS; i++)
        layer[i] = i % 2 ? sw_nn_relu(model) : sw_nn_linear(model, WIDTH, WIDTH);
    sw_module *root = sw_nn_sequential_array(model, LAYERS, layer);
    built(model, root);
    for (int record = 0; record < 2; record++) {
        sw_tape *tape = sw_tape_new(), *other = sw_tape_new();
        sw_tape_set_switch(tape, SW_RECORD, record == 1);
        sw_tape_set_switch(other, SW_RECORD, record == 1);
        sw_tensor y = sw_forward(root, rows_of(tape, SW_F64, ROWS, WIDTH, values));
        sw_tensor z = rows_of(other, SW_F64, ROWS, WIDTH, values);
        for (int i = 0; i < LAYERS; i++)
            z = sw_forward(layer[i], z);
        sw_array a = sw_value(y), b = sw_value(z);
        assert_memory_equal(a.data, b.data, test_bytes(&a));
        size_t one = ROWS * WIDTH * sizeof(double), used = sw_tape_peak_bytes(tape), kept = sw_tape_peak_bytes(other);
        /* Without a record no earlier value is read again: input, two at work, slack. With it the
         * outputs of linear layers go, those of relu (which the next layer's vjp reads) stay. */
        assert_true(kept >= (LAYERS + 1) * one);
        assert_true(used + (LAYERS / 2 - 1) * one <= kept);
        if (!record)
            assert_true(used <= 4 * one);
        if (record) { /* and backward is right all the same */
            assert_int_equal(sw_backward(sw_mean(y)), SW_OK);
            sw_params *p = sw_model_params(model);
            uint64_t hash = test_hash(TEST_HASH, sw_gradient_data(sw_params_gradient(p)),
                                      (size_t)sw_params_dim(p) * sizeof(double));
            sw_gradient_make_fresh(sw_params_gradient(p));
            assert_int_equal(sw_backward(sw_mean(z)), SW_OK);
            assert_true(hash == test_hash(TEST_HASH, sw_gradient_data(sw_params_gradient(p)),
                                          (size_t)sw_params_dim(p) * sizeof(double)));
        }
        sw_tape_free(tape);
        sw_tape_free(other);
    }
    expect_no_error();
    sw_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_linear_gives_the_plain_values),
        TEST(test_sequential_and_relu_give_the_plain_values),
        TEST(test_empty_sequential_is_the_identity),
        TEST(test_dropout_keeps_the_stated_fraction),
        TEST(test_sequential_releases_memory_between_layers),
    };
    return cmocka_run_group_tests_name("basic_layers", tests, NULL, NULL);
}
