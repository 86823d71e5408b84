/* Layers in f16 and bf16 against PyTorch, bit for bit: the output and all gradients of two linear layers with a ReLU
 * between them, and of an embedding. golden/torch_half_layers.py has verified that every number of PyTorch is an exact
 * result, rounded once. */
#include "support.h"

#include <swale/swale.h>

#include "golden/torch_half_layers.h"

static void compare(const char *what, const sw_array *own, sw_dtype type, const uint16_t *expected) {
    assert_non_null(own->data);
    assert_int_equal(own->type, type);
    const uint16_t *bits = own->data;
    for (int64_t i = 0; i < sw_array_count(own); i++)
        if (bits[i] != expected[i] && ((bits[i] | expected[i]) & 0x7FFFu) != 0) /* zeros may have either sign */
            fail_msg("%s in %s: element %lld has the bits 0x%04x, PyTorch 0x%04x", what, sw_dtype_name(type),
                     (long long)i, bits[i], expected[i]);
}

static void compare_gradient(const sw_module *layer, const char *name, sw_dtype type, const uint16_t *expected) {
    const sw_array g = sw_param_grad(sw_module_find_param(layer, name));
    compare(name, &g, type, expected);
}

static sw_array drawn(sw_dtype type, int rank, const int64_t *shape, uint64_t seed) {
    return test_filled(type, rank, shape, -1, 1, seed);
}

/* The masters are numbers of f32, which the leaves of the tape round. */
static void set_master(const sw_module *layer, const char *name, uint64_t seed) {
    const sw_array x = sw_param_value(sw_module_find_param(layer, name));
    assert_int_equal(x.type, SW_F32);
    test_fill(&x, -1, 1, seed);
}

static void run_linear(const struct torch_half_layers *golden) {
    const sw_dtype type = golden->type;
    sw_model *model = sw_model_new(type, 1);
    sw_module *first = sw_nn_linear(model, LAYER_IN, LAYER_HIDDEN),
              *last = sw_nn_linear(model, LAYER_HIDDEN, LAYER_OUT);
    sw_module *root = sw_nn_sequential(model, first, sw_nn_relu(model), last, NULL);
    sw_params *params = sw_model_build(model, root);
    set_master(first, "weight", golden->seed + 1);
    set_master(first, "bias", golden->seed + 2);
    set_master(last, "weight", golden->seed + 3);
    set_master(last, "bias", golden->seed + 4);
    sw_params_mark_changed(params);
    sw_array x = drawn(type, SW_SHAPE(LAYER_BATCH, LAYER_IN), golden->seed);
    sw_array g = drawn(type, SW_SHAPE(LAYER_BATCH, LAYER_OUT), golden->seed + 5);
    sw_tape *tape = sw_tape_new();
    const sw_tensor leaf = sw_variable(tape, x), y = sw_forward(root, leaf);
    const sw_array value = sw_value(y);
    compare("output", &value, type, golden->output);
    assert_int_equal(sw_backward_from(y, g), SW_OK);
    const sw_array dx = sw_grad(leaf);
    compare("gradient of x", &dx, type, golden->x);
    compare_gradient(first, "weight", type, golden->weight1);
    compare_gradient(first, "bias", type, golden->bias1);
    compare_gradient(last, "weight", type, golden->weight2);
    compare_gradient(last, "bias", type, golden->bias2);
    sw_tape_free(tape);
    sw_model_free(model);
    test_array_free(&x), test_array_free(&g);
}

static void run_embedding(const struct torch_half_layers *golden) {
    const sw_dtype type = golden->type;
    sw_model *model = sw_model_new(type, 1);
    sw_module *root = sw_nn_embedding(model, LAYER_ROWS, LAYER_WIDTH);
    sw_params *params = sw_model_build(model, root);
    set_master(root, "weight", golden->seed + 6);
    sw_params_mark_changed(params);
    sw_array g = drawn(type, SW_SHAPE(LAYER_IDS, LAYER_WIDTH), golden->seed + 7);
    sw_tape *tape = sw_tape_new();
    const sw_tensor y = sw_forward(root, sw_input(tape, sw_array_view(torch_layer_ids, SW_I32, SW_SHAPE(LAYER_IDS))));
    const sw_array value = sw_value(y);
    compare("rows", &value, type, golden->rows);
    assert_int_equal(sw_backward_from(y, g), SW_OK);
    compare_gradient(root, "weight", type, golden->table);
    sw_tape_free(tape);
    sw_model_free(model);
    test_array_free(&g);
}

enum { TYPES = sizeof torch_half_layers / sizeof *torch_half_layers };

static void test_linear_layers_have_the_bits_of_torch(void **state) {
    (void)state;
    for (int i = 0; i < TYPES; i++)
        run_linear(&torch_half_layers[i]);
}

static void test_embedding_has_the_bits_of_torch(void **state) {
    (void)state;
    for (int i = 0; i < TYPES; i++)
        run_embedding(&torch_half_layers[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_linear_layers_have_the_bits_of_torch, test_clear),
        cmocka_unit_test_teardown(test_embedding_has_the_bits_of_torch, test_clear),
    };
    return cmocka_run_group_tests_name("torch_half_layers", tests, NULL, NULL);
}
