/* Inputs of other types than the weights: sw_module_cast, linear layers, predictions for arrays in 16 bits. */
#include "helpers.h"

#include <swale/module.h>

enum { ROWS = 5, INPUTS = 3, OUTPUTS = 2 };

/* ---- sw_module_cast ---- */

static void test_input_gets_the_type_of_the_weight(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    static const sw_dtype types[6] = {SW_F32, SW_F64, SW_F16, SW_BF16, SW_I32, SW_U8};
    for (int a = 0; a < 6; a++)
        for (int b = 0; b < 4; b++) {
            sw_tensor x = sw_constant(tape, types[a], 3), weight = sw_constant(tape, types[b], 1);
            sw_tensor in = sw_module_cast(x, weight);
            const bool converted = a != b && types[a] != SW_F64 && types[b] != SW_F64 && a < 4;
            assert_int_equal(in.slot != x.slot, converted);
            assert_int_equal(sw_value(in).type, converted ? types[b] : types[a]);
            assert_true(sw_item(in) == 3);
        }
    sw_tensor x = sw_constant(tape, SW_F32, 3), none = {0}, same = sw_module_cast(x, none);
    assert_int_equal(same.slot, x.slot); /* the operation that follows reports the null tensor */
    assert_true(sw_is_null(sw_module_cast(none, x)));
    expect_no_error();
    sw_tape_free(tape);
}

/* ---- A linear layer of a model in f32, on inputs in 16 bits ---- */

/* Runs the layer on x in `type` and in f32, and compares values and gradients: f32 holds the numbers exactly. */
static void compare_types(sw_model *model, sw_params *p, sw_dtype type) {
    sw_tape *tape = sw_tape_new();
    sw_array x = test_filled(type, SW_SHAPE(ROWS, INPUTS), -2, 2, 3), wide = test_array(SW_F32, SW_SHAPE(ROWS, INPUTS)),
             dy = test_filled(SW_F32, SW_SHAPE(ROWS, OUTPUTS), -1, 1, 4);
    for (int64_t i = 0; i < ROWS * INPUTS; i++)
        test_set(&wide, i, test_get(&x, i));
    uint64_t hash[2];
    sw_array dx[2];
    for (int half = 0; half < 2; half++) {
        sw_gradient_make_fresh(sw_params_gradient(p));
        sw_tensor in = sw_variable(tape, half ? x : wide), y = sw_forward(sw_model_root(model), in);
        const sw_array out = sw_value(y);
        assert_int_equal(out.type, SW_F32);
        assert_ok(sw_backward_from(y, dy));
        hash[half] = test_hash(TEST_HASH, out.data, test_bytes(&out));
        hash[half] =
            test_hash(hash[half], sw_gradient_data(sw_params_gradient(p)), (size_t)sw_params_dim(p) * sizeof(float));
        dx[half] = sw_grad(in);
    }
    assert_true(hash[0] == hash[1]);
    assert_int_equal(dx[1].type, type);
    for (int64_t i = 0; i < ROWS * INPUTS; i++) {
        double rounded = 0;
        sw_number_to_float(type, &rounded, 0, test_get(&dx[0], i));
        assert_true(test_get(&dx[1], i) == sw_element_to_number(type, &rounded, 0));
    }
    expect_no_error();
    sw_tape_free(tape);
    test_array_free(&x);
    test_array_free(&wide);
    test_array_free(&dy);
}

static void test_linear_layers_convert_their_input(void **state) {
    (void)state;
    for (int bias = 0; bias < 2; bias++) {
        sw_model *model = sw_model_new(SW_F32, 1);
        sw_params *p =
            built(model, bias ? sw_nn_linear(model, INPUTS, OUTPUTS) : sw_nn_linear_no_bias(model, INPUTS, OUTPUTS));
        compare_types(model, p, SW_F16);
        compare_types(model, p, SW_BF16);
        sw_model_free(model);
    }
}

/* The converted input is released: an evaluation, which records nothing, keeps the result only. */
static void test_converted_input_is_released(void **state) {
    (void)state;
    enum { MANY = 4000 };
    sw_model *model = sw_model_new(SW_F32, 1);
    built(model, sw_nn_linear(model, 100, 1));
    sw_tape *tape = sw_tape_new();
    sw_tape_set_switch(tape, SW_RECORD, false);
    sw_array x = test_filled(SW_BF16, SW_SHAPE(MANY, 100), -2, 2, 3);
    size_t peak[2];
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i <= pass; i++) /* the second pass does it twice */
            assert_false(sw_is_null(sw_forward(sw_model_root(model), sw_input(tape, x))));
        peak[pass] = sw_tape_peak_bytes(tape);
        sw_tape_reset(tape);
    }
    assert_true(peak[0] >= MANY * 100 * sizeof(float));
    assert_true(peak[1] < peak[0] + MANY * sizeof(float) + 4096); /* and not another MANY·100 */
    sw_tape_free(tape);
    sw_model_free(model);
    test_array_free(&x);
}

/* ---- Predictions ---- */

static void test_prediction_of_16_bit_arrays(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    built(model, sw_nn_linear(model, INPUTS, OUTPUTS));
    for (int h = 0; h < 2; h++) {
        const sw_dtype type = h ? SW_BF16 : SW_F16;
        sw_array x = test_filled(type, SW_SHAPE(ROWS, INPUTS), -2, 2, 3),
                 wide = test_array(SW_F32, SW_SHAPE(ROWS, INPUTS)), y = {0}, y32 = {0};
        for (int64_t i = 0; i < ROWS * INPUTS; i++)
            test_set(&wide, i, test_get(&x, i));
        assert_ok(sw_predict(model, &x, &y));
        assert_ok(sw_predict(model, &wide, &y32));
        assert_true(y.type == SW_F32 && y32.type == SW_F32);
        assert_memory_equal(y.data, y32.data, ROWS * OUTPUTS * sizeof(float));
        sw_array_free(&y);
        sw_array_free(&y32);
        test_array_free(&x);
        test_array_free(&wide);
    }
    sw_model_free(model);
}

/* A layer whose outputs are in 16 bits: x in bf16. */
static sw_tensor narrow_forward(sw_module *self, sw_tensor x) {
    (void)self;
    return sw_cast(x, SW_BF16);
}

static void test_predictions_in_16_bits_are_returned_in_f32(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *narrow = sw_nn_compose(model, "narrow", narrow_forward, NULL);
    assert_ok(sw_model_set_input_shape(model, SW_SHAPE(INPUTS)));
    built(model, sw_nn_sequential(model, sw_nn_linear(model, INPUTS, INPUTS), narrow, NULL));
    sw_array x = test_filled(SW_F32, SW_SHAPE(ROWS, INPUTS), -2, 2, 3), y = {0};
    assert_ok(sw_predict(model, &x, &y));
    assert_int_equal(y.type, SW_F32);
    sw_array half = test_array(SW_BF16, SW_SHAPE(ROWS, INPUTS)), single = test_array(SW_F32, SW_SHAPE(ROWS, INPUTS)),
             wide = test_array(SW_F64, SW_SHAPE(ROWS, INPUTS));
    assert_ok(sw_predict(model, &x, &half));
    assert_ok(sw_predict(model, &x, &single));
    for (int64_t i = 0; i < ROWS * INPUTS; i++) {
        assert_true(test_get(&half, i) == test_get(&y, i)); /* f32 holds the numbers of bf16 */
        assert_true(test_get(&single, i) == test_get(&y, i));
    }
    assert_int_equal(sw_predict(model, &x, &wide), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "predict: y is f64, the outputs are bf16");
    sw_array_free(&y);
    test_array_free(&x);
    test_array_free(&half);
    test_array_free(&single);
    test_array_free(&wide);
    sw_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_input_gets_the_type_of_the_weight),
        TEST(test_linear_layers_convert_their_input),
        TEST(test_converted_input_is_released),
        TEST(test_prediction_of_16_bit_arrays),
        TEST(test_predictions_in_16_bits_are_returned_in_f32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
