/* The networks against PyTorch: the names of parameters are the keys of its state_dict, outputs in f64 and f32, files
 * that PyTorch has written, and files that are written for it. */
#define _GNU_SOURCE
#include "nn/helpers.h"

#include "files.h"

#include "golden/torch_networks.h"
#include "nn/torch_fill.h"

#define GOLDEN_FILE(name) "tests/golden/networks/" name ".safetensors"

static sw_module *make_lenet(sw_model *m) {
    return sw_nn_lenet(m, 10);
}
static sw_module *make_resnet8(sw_model *m) {
    return sw_nn_resnet(m, 8, 4, 3);
}
static sw_module *make_resnet20(sw_model *m) {
    return sw_nn_resnet(m, 20, 2, 3);
}
static sw_module *make_resnet18(sw_model *m) {
    return sw_nn_resnet_with_options(m, 18, 2, 5, &SW_OPTIONS(sw_resnet_options, .imagenet = true));
}
static sw_module *make_resnet34(sw_model *m) {
    return sw_nn_resnet_with_options(m, 34, 1, 5, &SW_OPTIONS(sw_resnet_options, .imagenet = true));
}

static const struct network {
    const char *name;
    make_root make;
    int64_t sample[3], classes;
    const char *const *keys;
    const double *outputs;
    const char *file; /* or NULL */
} networks[] = {
    {"lenet", make_lenet, {28, 28, 1}, 10, lenet_keys, lenet_outputs, NULL},
    {"resnet8", make_resnet8, {9, 11, 2}, 3, resnet8_keys, resnet8_outputs, GOLDEN_FILE("resnet8")},
    {"resnet20", make_resnet20, {8, 8, 3}, 3, resnet20_keys, resnet20_outputs, NULL},
    {"resnet18", make_resnet18, {40, 36, 3}, 5, resnet18_keys, resnet18_outputs, GOLDEN_FILE("resnet18")},
    {"resnet34", make_resnet34, {33, 33, 3}, 5, resnet34_keys, resnet34_outputs, NULL},
};
enum { NETWORKS = sizeof networks / sizeof *networks, ROWS = 3 };

static sw_model *make(const struct network *net, sw_dtype type) {
    sw_model *m = sw_model_new(type, 5);
    assert_ok(sw_model_set_input_shape(m, 3, net->sample));
    built(m, net->make(m));
    return m;
}

/* Errors relative to the largest output. f64: both sides add up to 512 products in another order, in up to 34 layers,
 * which contribute 2^-53·√512·34 = 9e-14 in the mean. f32: the tolerance that the networks promise. */
static void check_outputs(const struct network *net, sw_model *m) {
    const sw_dtype type = sw_model_type(m);
    const double allowed = type == SW_F64 ? 1e-12 : 1e-5;
    sw_array x = test_filled(type, SW_SHAPE(ROWS, net->sample[0], net->sample[1], net->sample[2]), -1, 1, 21), y = {0};
    assert_ok(sw_predict(m, &x, &y));
    double worst = 0, most = 0;
    for (int64_t i = 0; i < ROWS * net->classes; i++) {
        worst = fmax(worst, fabs(test_get(&y, i) - net->outputs[i]));
        most = fmax(most, fabs(net->outputs[i]));
        assert_true(isfinite(test_get(&y, i)));
    }
    if (!(worst <= allowed * most))
        fail_msg("%s in %s: an output is %.2g of the largest one away, %.2g allowed", net->name, sw_dtype_name(type),
                 worst / most, allowed);
    sw_array_free(&y);
    test_array_free(&x);
}

static void test_names_are_the_keys_of_pytorch(void **state) {
    (void)state;
    for (int k = 0; k < NETWORKS; k++) {
        sw_model *m = make(&networks[k], SW_F32);
        const sw_params *p = sw_model_params(m);
        int i = 0;
        for (; networks[k].keys[i]; i++)
            assert_string_equal(sw_params_at(p, i)->name, networks[k].keys[i]);
        assert_int_equal(i, sw_params_count(p));
        sw_model_free(m);
    }
}

static void test_outputs_equal_those_of_pytorch(void **state) {
    (void)state;
    for (int k = 0; k < NETWORKS; k++)
        for (int f64 = 0; f64 < 2; f64++) {
            sw_model *m = make(&networks[k], f64 ? SW_F64 : SW_F32);
            torch_fill(sw_model_params(m), 31);
            check_outputs(&networks[k], m);
            sw_model_free(m);
        }
    expect_no_error();
}

/* The files have num_batches_tracked, and no text that gives their order. */
static void test_files_of_pytorch_are_loaded(void **state) {
    (void)state;
    for (int k = 0; k < NETWORKS; k++)
        for (int f64 = 0; networks[k].file && f64 < 2; f64++) {
            sw_model *m = make(&networks[k], f64 ? SW_F64 : SW_F32);
            assert_int_equal(sw_model_load(m, networks[k].file), SW_ERR_FORMAT);
            assert_non_null(strstr(sw_error(), "(a file of PyTorch? set channels_first in sw_load_options)"));
            sw_clear_error();
            assert_ok(
                sw_model_load_with_options(m, networks[k].file, &SW_OPTIONS(sw_load_options, .channels_first = true)));
            check_outputs(&networks[k], m);
            sw_model_free(m);
        }
    expect_no_error();
}

/* What swale writes has the arrays of PyTorch's file, byte for byte, except for num_batches_tracked. */
static void test_saved_files_are_those_of_pytorch(void **state) {
    (void)state;
    const char *path = path_of("saved");
    for (int k = 0; k < NETWORKS; k++) {
        if (!networks[k].file)
            continue;
        sw_model *m = make(&networks[k], SW_F32);
        torch_fill(sw_model_params(m), 31);
        assert_ok(sw_model_save_with_options(m, path, &SW_OPTIONS(sw_save_options, .channels_first = true)));
        sw_archive *saved = sw_archive_load(path), *golden = sw_archive_load(networks[k].file);
        int counters = 0;
        for (int i = 0; i < sw_archive_count(golden); i++) {
            const sw_archive_item item = sw_archive_at(golden, i);
            if (item.array.type == SW_I64) {
                counters++;
                continue;
            }
            const sw_array array = sw_archive_get(saved, item.name);
            assert_true(sw_shape_equal(array.rank, array.shape, item.array.rank, item.array.shape));
            assert_memory_equal(array.data, item.array.data, test_bytes(&array));
        }
        assert_int_equal(sw_archive_count(golden), sw_archive_count(saved) + counters);
        assert_true(counters > 0);
        sw_archive_free(saved);
        sw_archive_free(golden);
        sw_model *again = sw_model_new_from_file(path); /* with the description of the network */
        assert_non_null(again);
        check_outputs(&networks[k], again);
        sw_model_free(again);
        sw_model_free(m);
    }
    remove_file(path);
    expect_no_error();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_names_are_the_keys_of_pytorch), TEST(test_outputs_equal_those_of_pytorch),
        TEST(test_files_of_pytorch_are_loaded), TEST(test_saved_files_are_those_of_pytorch)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
