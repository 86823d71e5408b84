/* A model that is saved, and loaded into another model with the same layers. */
#define _GNU_SOURCE
#include "support.h"

#include "files.h"
#include "memory_file.h"

#include <swale/nn.h>

static sw_model *make_of_type(sw_dtype type, uint64_t seed, int64_t hidden) {
    sw_model *net = sw_model_new(type, seed);
    sw_module *root =
        sw_nn_sequential(net, sw_nn_linear(net, 3, hidden), sw_nn_relu(net), sw_nn_linear(net, hidden, 2), NULL);
    assert_non_null(sw_model_build(net, root));
    return net;
}

static sw_model *make(uint64_t seed, int64_t hidden) {
    return make_of_type(SW_F32, seed, hidden);
}

static void test_saved_model_is_loaded(void **state) {
    (void)state;
    const char *path = path_of("model");
    sw_model *one = make(1, 4), *two = make(2, 4);
    const size_t size = (size_t)sw_params_dim(sw_model_params(one)) * sizeof(float);
    const void *x = sw_params_x(sw_model_params(one)), *y = sw_params_x(sw_model_params(two));
    assert_int_equal(sw_model_save(one, path), SW_OK);
    assert_memory_not_equal(x, y, size);
    assert_int_equal(sw_model_load(two, path), SW_OK);
    assert_memory_equal(x, y, size);
    sw_archive *a = sw_archive_load(path);
    assert_int_equal(sw_archive_count(a), 4);
    assert_true(sw_archive_has(a, "linear1.weight") && sw_archive_has(a, "linear2.bias"));
    sw_archive_free(a);
    sw_model_free(one);
    sw_model_free(two);
    one = make(1, 5);
    assert_int_equal(sw_model_load(one, path), SW_ERR_FORMAT);
    char text[PATH_SIZE + 300];
    snprintf(text, sizeof text,
             "%s: does not fit the parameters: linear1.weight is [5,3] here and [4,3] in the file; "
             "linear1.bias is [5] here and [4] in the file; linear2.weight is [2,5] here and [2,4] "
             "in the file",
             path);
    expect_error(SW_ERR_FORMAT, text);
    sw_model_free(one);
    remove_file(path);
}

/* Numbers and outputs of a model after its weights were saved in a 16-bit type. */
static void test_model_is_saved_in_16_bits(void **state) {
    (void)state;
    static const sw_dtype types[2] = {SW_F16, SW_BF16};
    const char *path = path_of("model");
    for (int k = 0; k < 2; k++) {
        sw_model *one = make(1, 4);
        assert_int_equal(sw_model_save_with_options(one, path, &SW_OPTIONS(sw_save_options, .storage = types[k])),
                         SW_OK);
        sw_model *two = sw_model_new_from_file(path); /* an f32 model, as the one that was saved */
        assert_non_null(two);
        assert_int_equal(sw_model_type(two), SW_F32);
        const float *x = sw_params_x(sw_model_params(one)), *y = sw_params_x(sw_model_params(two));
        for (int64_t i = 0; i < sw_params_dim(sw_model_params(one)); i++) {
            uint16_t rounded;
            sw_number_to_float(types[k], &rounded, 0, (double)x[i]);
            assert_true((double)y[i] == sw_element_to_number(types[k], &rounded, 0));
        }
        sw_archive *a = sw_archive_load(path);
        assert_int_equal(sw_archive_get(a, "linear1.weight").type, types[k]);
        assert_non_null(sw_archive_text(a, "network"));
        sw_archive_free(a);
        sw_model_free(one);
        sw_model_free(two);
    }
    remove_file(path);
    expect_no_error();
}

/* The outputs of a model for three samples. */
static sw_array outputs_of(sw_model *net) {
    static const float samples[9] = {1, 2, 3, -0.5f, 0.25f, 0.1f, 7, -7, 0.3f};
    const sw_array x = sw_array_view(samples, SW_F32, SW_SHAPE(3, 3));
    sw_array y = {0};
    assert_ok(sw_predict(net, &x, &y));
    return y;
}

static void check_same_outputs(sw_model *one, sw_model *two) {
    sw_array y = outputs_of(one), z = outputs_of(two);
    assert_true(y.type == z.type && sw_array_count(&y) == 6 && sw_array_count(&z) == 6);
    assert_memory_equal(y.data, z.data, test_bytes(&y));
    sw_array_free(&y), sw_array_free(&z);
}

/* A model made from its file has the storage type of the saved one. By default it has its masters too; from a file in
 * 16 bits it has the numbers that the leaves read, and therefore the same outputs, bit for bit. */
static void test_storage_type_is_restored(void **state) {
    (void)state;
    static const sw_dtype types[2] = {SW_F16, SW_BF16};
    const char *path = path_of("model");
    for (int k = 0; k < 2; k++) {
        sw_model *one = make_of_type(types[k], 3, 4);
        const sw_params *p = sw_model_params(one);
        const int64_t dim = sw_params_dim(p);
        char *text = sw_model_description(one);
        assert_non_null(
            strstr(text, k ? "\"storage\":\"bf16\",\"type\":\"f32\"" : "\"storage\":\"f16\",\"type\":\"f32\""));
        for (int rounded = 0; rounded < 2; rounded++) {
            assert_ok(rounded ? sw_model_save_with_options(one, path, &SW_OPTIONS(sw_save_options, .storage = types[k]))
                              : sw_model_save(one, path));
            sw_model *two = sw_model_new_from_file(path);
            assert_non_null(two);
            const sw_params *q = sw_model_params(two);
            assert_true(sw_params_storage(q) == types[k] && sw_params_type(q) == SW_F32);
            char *again = sw_model_description(two);
            assert_string_equal(again, text);
            const float *x = sw_params_x(p), *y = sw_params_x(q);
            int changed = 0;
            for (int64_t i = 0; i < dim; i++) {
                uint16_t half;
                sw_number_to_float(types[k], &half, 0, (double)x[i]);
                assert_true((double)y[i] == (rounded ? sw_element_to_number(types[k], &half, 0) : (double)x[i]));
                changed += y[i] != x[i];
            }
            assert_true(rounded ? changed > 10 : changed == 0);
            check_same_outputs(one, two);
            sw_free(again);
            sw_model_free(two);
        }
        sw_free(text);
        sw_model_free(one);
    }
    remove_file(path);
    expect_no_error();
}

/* Every bit of the file of a 16-bit model is damaged: the model is made, or there is a message. */
static void test_damaged_files_of_16_bit_models_are_survived(void **state) {
    (void)state;
    const char *path = path_of("model");
    sw_model *net = make_of_type(SW_BF16, 3, 2);
    assert_ok(sw_model_save_with_options(net, path, &SW_OPTIONS(sw_save_options, .storage = SW_F16)));
    sw_model_free(net);
    bytes file = read_file(path);
    int made = 0;
    for (size_t bit = 0; bit < 8 * file.size; bit++) {
        file.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
        net = sw_model_new_from_file(memory_file(file.at, file.size));
        assert_true(!net == (sw_error() != NULL));
        made += net != NULL;
        sw_model_free(net);
        sw_clear_error();
        file.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    assert_true(made > 0);
    free(file.at);
    remove_file(path);
}

static void test_model_file_refuses_wrong_calls(void **state) {
    (void)state;
    sw_model *net = sw_model_new(SW_F32, 1);
    assert_int_equal(sw_model_save(net, "x"), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "model_save: the model is not built");
    assert_int_equal(sw_model_save_with_options(NULL, "x", NULL), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "model_save: the model is NULL");
    assert_int_equal(sw_model_load(NULL, "x"), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "model_load: the model is NULL");
    sw_model_free(net);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_saved_model_is_loaded, test_clear),
        cmocka_unit_test_setup(test_model_is_saved_in_16_bits, test_clear),
        cmocka_unit_test_setup(test_storage_type_is_restored, test_clear),
        cmocka_unit_test_setup(test_damaged_files_of_16_bit_models_are_survived, test_clear),
        cmocka_unit_test_setup(test_model_file_refuses_wrong_calls, test_clear),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
