/* What the layers of a network keep for backward, against bytes computed by hand. */
#include "helpers.h"

enum { ROWS = 32, FEATURES = 20, HIDDEN = 50, CLASSES = 3 };

static size_t layer_bytes(const sw_tape *tape, const char *name) {
    sw_tape_layer layer[16];
    const int count = sw_tape_activations(tape, layer, 16);
    assert_true(count <= 16);
    for (int i = 0; i < count; i++)
        if (name && layer[i].layer ? strcmp(name, layer[i].layer) == 0 : name == layer[i].layer)
            return layer[i].bytes;
    return 0;
}

static size_t all_bytes(const sw_tape *tape) {
    sw_tape_layer layer[16];
    const int count = sw_tape_activations(tape, layer, 16);
    size_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += layer[i].bytes;
    return sum;
}

static void run(sw_tape *tape, sw_module *root, const sw_array *x, const sw_array *y) {
    sw_tape_set_switch(tape, SW_MEASURE, true);
    assert_ok(sw_backward(sw_cross_entropy(sw_forward(root, sw_input_copy(tape, *x)), sw_input(tape, *y))));
    sw_tape_reset(tape);
}

/* The layers between the input and the loss, with the bytes of a number of each type:
 *   the copied input, which linear1 multiplies with the cotangent:   ROWS x FEATURES     no layer
 *   linear1: no vjp reads its output, because relu reads its own:    0
 *   relu1: relu and linear2 read it, once:                           ROWS x HIDDEN       relu1
 *   linear2, read by silu:                                           ROWS x HIDDEN       linear2
 *   silu1, read by linear3:                                          ROWS x HIDDEN       silu1
 *   linear3: the loss does not read it, but saves logarithms:        ROWS x CLASSES      no layer */
static void test_layers_of_a_network_keep_what_backward_reads(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        const sw_dtype type = both_types[i];
        const size_t number = sw_dtype_size(type), hidden = ROWS * HIDDEN * number;
        sw_model *model = sw_model_new(type, 1);
        sw_module *root = sw_nn_sequential(model, sw_nn_linear(model, FEATURES, HIDDEN), sw_nn_relu(model),
                                           sw_nn_linear(model, HIDDEN, HIDDEN), sw_nn_silu(model),
                                           sw_nn_linear(model, HIDDEN, CLASSES), NULL);
        built(model, root);
        sw_array x = test_filled(type, SW_SHAPE(ROWS, FEATURES), -1, 1, 3), y = test_array(SW_I32, SW_SHAPE(ROWS));
        sw_tape *tape = sw_tape_new();
        run(tape, root, &x, &y);
        assert_int_equal(layer_bytes(tape, "linear1"), 0);
        assert_int_equal(layer_bytes(tape, "relu1"), hidden);
        assert_int_equal(layer_bytes(tape, "linear2"), hidden);
        assert_int_equal(layer_bytes(tape, "silu1"), hidden);
        assert_int_equal(layer_bytes(tape, "linear3"), 0);
        assert_int_equal(layer_bytes(tape, NULL), ROWS * (FEATURES + CLASSES) * number);
        assert_int_equal(all_bytes(tape), 3 * hidden + ROWS * (FEATURES + CLASSES) * number);
        assert_true(sw_tape_live_set_bytes(tape) > all_bytes(tape));
        sw_tape_free(tape);
        test_array_free(&x);
        test_array_free(&y);
        sw_model_free(model);
    }
}

/* Dropout keeps a key instead of a mask; linear2 reads its output. */
static void test_dropout_keeps_no_mask(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *root = sw_nn_sequential(model, sw_nn_linear(model, FEATURES, HIDDEN), sw_nn_dropout(model, 0.5),
                                       sw_nn_linear(model, HIDDEN, CLASSES), NULL);
    built(model, root);
    sw_array x = test_filled(SW_F32, SW_SHAPE(ROWS, FEATURES), -1, 1, 3), y = test_array(SW_I32, SW_SHAPE(ROWS));
    sw_tape *tape = sw_tape_new();
    run(tape, root, &x, &y);
    const size_t output = ROWS * HIDDEN * sizeof(float), kept = layer_bytes(tape, "dropout1");
    assert_true(kept > output && kept <= output + 64); /* the key and where the samples are */
    assert_int_equal(layer_bytes(tape, "linear1"), 0);
    sw_tape_free(tape);
    test_array_free(&x);
    test_array_free(&y);
    sw_model_free(model);
}

/* Layers behind which nothing needs a gradient keep nothing. */
static void test_frozen_layers_keep_nothing(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *first = sw_nn_linear(model, FEATURES, HIDDEN), *last = sw_nn_linear(model, HIDDEN, CLASSES);
    sw_module *root = sw_nn_sequential(model, first, sw_nn_silu(model), last, NULL);
    built(model, root);
    sw_module_freeze(first, true);
    sw_array x = test_filled(SW_F32, SW_SHAPE(ROWS, FEATURES), -1, 1, 3), y = test_array(SW_I32, SW_SHAPE(ROWS));
    sw_tape *tape = sw_tape_new();
    run(tape, root, &x, &y);
    assert_int_equal(layer_bytes(tape, "linear1"), 0);
    assert_int_equal(layer_bytes(tape, "silu1"), ROWS * HIDDEN * sizeof(float)); /* read by the weight of linear2 */
    assert_int_equal(layer_bytes(tape, NULL), ROWS * CLASSES * sizeof(float));   /* of the loss; no batch */
    sw_tape_free(tape);
    test_array_free(&x);
    test_array_free(&y);
    sw_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_layers_of_a_network_keep_what_backward_reads),
        TEST(test_dropout_keeps_no_mask),
        TEST(test_frozen_layers_keep_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
