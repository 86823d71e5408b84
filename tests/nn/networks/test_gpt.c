/* GPT-2 beside that of the Python package transformers: names, logits in f64 and f32, files in both directions, 100
 * steps of training; initial values; mistakes. golden/gpt2.py wrote the numbers and the files. */
#define _GNU_SOURCE
#include "nn/helpers.h"

#include "files.h"

#include <swale/optim.h>

#include "golden/gpt2.h"

#define GOLDEN_FILE "tests/golden/networks/gpt2.safetensors"
#define PUBLISHED_FILE "tests/golden/networks/gpt2_published.safetensors"

static const sw_gpt_options tiny = {.size = sizeof tiny,
                                    .vocabulary = GPT2_VOCABULARY,
                                    .length = GPT2_LENGTH,
                                    .layers = GPT2_LAYERS,
                                    .heads = GPT2_HEADS,
                                    .width = GPT2_WIDTH};

static sw_model *gpt_with(sw_dtype type, const sw_gpt_options *options) {
    sw_model *model = sw_model_new(type, 3);
    built(model, sw_nn_gpt(model, options));
    return model;
}

/* The parameters of golden/gpt2.py: in the order of the state_dict, and each in PyTorch's order. */
static void fill(sw_params *p) {
    sw_archive *order = sw_archive_new(), *filled = sw_archive_new();
    assert_ok(sw_params_pack_with_options(p, order, NULL, &SW_OPTIONS(sw_save_options, .channels_first = true)));
    uint64_t seed = 41;
    for (int i = 0; i < sw_params_count(p); i++) {
        const sw_param *param = sw_params_at(p, i);
        if (param->tied)
            continue;
        const sw_array a = sw_archive_get(order, param->name);
        sw_array numbers = test_array(a.type, a.rank, a.shape);
        const bool norm = param->role == SW_ROLE_NORM;
        for (int64_t k = 0; k < param->count; k++)
            test_set(&numbers, k, (double)(float)test_uniform(&seed, norm ? 0.5 : -0.5, norm ? 1.5 : 0.5));
        assert_ok(sw_archive_put_copy(filled, param->name, numbers));
        test_array_free(&numbers);
    }
    assert_ok(sw_params_unpack_with_options(p, filled, NULL, &SW_OPTIONS(sw_load_options, .channels_first = true)));
    sw_archive_free(order), sw_archive_free(filled);
}

static sw_array ids_of(int64_t rows, uint64_t seed) {
    sw_array ids = test_array(SW_I32, SW_SHAPE(rows, GPT2_LENGTH));
    for (int64_t i = 0; i < sw_array_count(&ids); i++)
        test_set(&ids, i, (double)(test_random(&seed) % GPT2_VOCABULARY));
    return ids;
}

/* Errors relative to the largest logit, below 8 here. f64: the longest sums have 48 terms; the rounding errors of about
 * 40 operations are below 40·√48·2^-53 = 3e-14 of the largest number. f32: the same with 2^-24, 1.7e-5 at most, and in
 * the mean a tenth of it. */
static void check_logits(sw_model *model) {
    const sw_dtype type = sw_model_type(model);
    const double allowed = type == SW_F64 ? 1e-12 : 1e-5;
    sw_array ids = ids_of(GPT2_ROWS, 40), y = {0};
    assert_ok(sw_predict(model, &ids, &y));
    assert_true(y.rank == 3 && y.shape[1] == GPT2_LENGTH && y.shape[2] == GPT2_VOCABULARY);
    double worst = 0, most = 0;
    for (int64_t i = 0; i < sw_array_count(&y); i++) {
        assert_true(isfinite(test_get(&y, i)));
        worst = fmax(worst, fabs(test_get(&y, i) - gpt2_logits[i]));
        most = fmax(most, fabs(gpt2_logits[i]));
    }
    if (!(worst <= allowed * most))
        fail_msg("%s: a logit is %.2g of the largest one away, %.2g allowed", sw_dtype_name(type), worst / most,
                 allowed);
    sw_array_free(&y);
    test_array_free(&ids);
}

static void test_names_are_the_keys_of_transformers(void **state) {
    (void)state;
    sw_model *model = gpt_with(SW_F32, &tiny);
    const sw_params *p = sw_model_params(model);
    int i = 0;
    for (; gpt2_keys[i]; i++)
        assert_string_equal(sw_params_at(p, i)->name, gpt2_keys[i]);
    assert_int_equal(i, sw_params_count(p));
    assert_ptr_equal(sw_params_find(p, "lm_head.weight")->tied, sw_params_find(p, "transformer.wte.weight"));
    sw_model_free(model);
}

static void test_logits_equal_those_of_transformers(void **state) {
    (void)state;
    for (int k = 0; k < 6; k++) { /* both types, with segments of 0, 1 and 2 blocks */
        sw_gpt_options options = tiny;
        options.recompute = k / 2;
        sw_model *model = gpt_with(both_types[k % 2], &options);
        fill(sw_model_params(model));
        check_logits(model);
        sw_model_free(model);
    }
    expect_no_error();
}

static void test_files_of_transformers_are_loaded(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        sw_model *model = gpt_with(both_types[t], &tiny);
        assert_int_equal(sw_model_load(model, GOLDEN_FILE), SW_ERR_FORMAT);
        assert_non_null(strstr(sw_error(), "(a file of PyTorch? set channels_first in sw_load_options)"));
        sw_clear_error();
        assert_ok(sw_model_load_with_options(model, GOLDEN_FILE, &SW_OPTIONS(sw_load_options, .channels_first = true)));
        check_logits(model);
        assert_ok(sw_params_reinitialize(sw_model_params(model)));
        assert_ok(sw_model_load_with_options(
            model, PUBLISHED_FILE, &SW_OPTIONS(sw_load_options, .channels_first = true, .omitted = "transformer.")));
        check_logits(model);
        sw_model_free(model);
    }
    expect_no_error();
}

/* A name without "transformer." that is not omitted is a mismatch, and so is a mask of another shape. */
static void test_files_with_other_names_are_refused(void **state) {
    (void)state;
    sw_model *model = gpt_with(SW_F32, &tiny);
    assert_int_equal(
        sw_model_load_with_options(model, PUBLISHED_FILE, &SW_OPTIONS(sw_load_options, .channels_first = true)),
        SW_ERR_FORMAT);
    expect_error(SW_ERR_FORMAT,
                 PUBLISHED_FILE ": has the parameters under names without \"transformer.\": set omitted to "
                                "it in sw_load_options, and channels_first for a file of PyTorch");
    /* One more block: its parameters are missing in any case. */
    sw_gpt_options deeper = tiny;
    deeper.layers++;
    sw_model *other = gpt_with(SW_F32, &deeper);
    assert_int_equal(
        sw_model_load_with_options(other, PUBLISHED_FILE, &SW_OPTIONS(sw_load_options, .omitted = "transformer.")),
        SW_ERR_FORMAT);
    assert_non_null(strstr(sw_error(), "transformer.h.2.ln_1.weight is missing"));
    sw_clear_error();
    sw_model_free(other);
    static const struct {
        const char *name;
        int rank;
        int64_t shape[4];
        bool good;
    } rows[] = {{"h.1.attn.bias", 4, {1, 1, 3, 3}, true}, {"h.1.attn.bias", 4, {1, 1, 3, 4}, false},
                {"h.1.attn.bias", 3, {1, 3, 3}, false},   {"h.1.attn.masked_bias", 0, {0}, true},
                {"h.1.attn.masked_bias", 1, {1}, false},  {"h.7.attn.bias", 4, {1, 1, 3, 3}, false},
                {".attn.bias", 4, {1, 1, 3, 3}, false},   {"h.1.mlp.bias", 4, {1, 1, 3, 3}, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sw_archive *archive = sw_archive_load(PUBLISHED_FILE), *changed = sw_archive_new();
        for (int k = 0; k < sw_archive_count(archive); k++) {
            const sw_archive_item item = sw_archive_at(archive, k);
            if (!strstr(item.name, ".attn.bias"))
                assert_ok(sw_archive_put_copy(changed, item.name, item.array));
        }
        sw_array mask = test_array(SW_F32, rows[i].rank, rows[i].shape);
        assert_ok(sw_archive_put_copy(changed, rows[i].name, mask));
        const sw_status status = sw_params_unpack_with_options(
            sw_model_params(model), changed, NULL,
            &SW_OPTIONS(sw_load_options, .channels_first = true, .omitted = "transformer."));
        assert_int_equal(status, rows[i].good ? SW_OK : SW_ERR_FORMAT);
        if (!rows[i].good)
            assert_non_null(strstr(sw_error(), "is not expected"));
        sw_clear_error();
        test_array_free(&mask);
        sw_archive_free(archive), sw_archive_free(changed);
    }
    sw_model_free(model);
}

/* What swale writes has the arrays of the file of transformers, byte for byte. */
static void test_saved_files_are_those_of_transformers(void **state) {
    (void)state;
    const char *path = path_of("saved");
    sw_model *model = gpt_with(SW_F32, &tiny);
    fill(sw_model_params(model));
    assert_ok(sw_model_save_with_options(model, path, &SW_OPTIONS(sw_save_options, .channels_first = true)));
    sw_archive *saved = sw_archive_load(path), *golden = sw_archive_load(GOLDEN_FILE);
    assert_int_equal(sw_archive_count(golden), sw_archive_count(saved));
    for (int i = 0; i < sw_archive_count(golden); i++) {
        const sw_archive_item item = sw_archive_at(golden, i);
        const sw_array array = sw_archive_get(saved, item.name);
        assert_true(sw_shape_equal(array.rank, array.shape, item.array.rank, item.array.shape));
        assert_memory_equal(array.data, item.array.data, test_bytes(&array));
    }
    sw_archive_free(saved), sw_archive_free(golden);
    sw_model *again = sw_model_new_from_file(path); /* with the description of the network */
    assert_non_null(again);
    check_logits(again);
    sw_model_free(again), sw_model_free(model);
    remove_file(path);
    expect_no_error();
}

/* ---- Training ---- */

static void test_gpt_trains_as_in_pytorch(void **state) {
    (void)state;
    sw_model *model = gpt_with(SW_F64, &tiny);
    fill(sw_model_params(model));
    sw_optim *optim = sw_optim_new(sw_model_params(model), gpt2_rule);
    sw_tape *tape = sw_tape_new();
    sw_array x = ids_of(GPT2_SAMPLES, 42), y = ids_of(GPT2_SAMPLES, 43);
    for (int t = 0; t < GPT2_STEPS; t++) {
        const size_t at = (size_t)(t * GPT2_BATCH % GPT2_SAMPLES) * GPT2_LENGTH * sizeof(int32_t);
        const sw_tensor logits =
            sw_forward(sw_model_root(model),
                       sw_input(tape, sw_array_view((char *)x.data + at, SW_I32, SW_SHAPE(GPT2_BATCH, GPT2_LENGTH))));
        const sw_tensor loss = sw_cross_entropy(
            sw_reshape(logits, SW_SHAPE(GPT2_BATCH * GPT2_LENGTH, GPT2_VOCABULARY)),
            sw_input(tape, sw_array_view((char *)y.data + at, SW_I32, SW_SHAPE(GPT2_BATCH * GPT2_LENGTH))));
        const double own = sw_item(loss), error = fabs(own - gpt2_losses[t]) / gpt2_losses[0];
        if (!(error <= gpt2_tolerance))
            fail_msg("the loss of step %d is %.17g, PyTorch's %.17g; %.2g of the first one apart, %.2g allowed", t + 1,
                     own, gpt2_losses[t], error, gpt2_tolerance);
        assert_ok(sw_backward(loss));
        assert_ok(sw_optim_step(optim));
        sw_tape_reset(tape);
    }
    test_array_free(&x), test_array_free(&y);
    sw_tape_free(tape), sw_optim_free(optim), sw_model_free(model);
    expect_no_error();
}

/* A hash of the parameters after three steps with dropout. */
static uint64_t hash_of_training(sw_dtype type, int threads, int recompute) {
    enum { ROWS = 3, TIME = 40, WORDS = 70 };
    const int before = sw_threads();
    assert_ok(sw_set_threads(threads));
    sw_model *model = gpt_with(type, &SW_OPTIONS(sw_gpt_options, .vocabulary = WORDS, .length = TIME, .layers = 2,
                                                 .heads = 4, .width = 64, .dropout = 0.1, .recompute = recompute));
    sw_params *p = sw_model_params(model);
    sw_optim *optim = sw_optim_new(p, "adamw lr=0.01");
    sw_tape *tape = sw_tape_new();
    sw_array x = test_array(SW_I32, SW_SHAPE(ROWS, TIME)), y = test_array(SW_I32, SW_SHAPE(ROWS * TIME));
    for (int64_t i = 0; i < ROWS * TIME; i++) {
        test_set(&x, i, (double)(i * i % WORDS));
        test_set(&y, i, (double)((i + 1) * (i + 1) % WORDS));
    }
    for (int step = 0; step < 3; step++) {
        const sw_tensor logits = sw_forward(sw_model_root(model), sw_input(tape, x));
        assert_ok(sw_backward(sw_cross_entropy(sw_reshape(logits, SW_SHAPE(ROWS * TIME, WORDS)), sw_input(tape, y))));
        assert_ok(sw_optim_step(optim));
        sw_tape_reset(tape);
    }
    const uint64_t hash =
        test_hash(TEST_HASH, sw_params_x(p), (size_t)sw_params_dim(p) * sw_dtype_size(sw_params_type(p)));
    test_array_free(&x), test_array_free(&y);
    sw_tape_free(tape), sw_optim_free(optim), sw_model_free(model);
    assert_ok(sw_set_threads(before));
    return hash;
}

/* Also if the backward computes blocks again. */
static void test_training_has_the_same_bits_on_any_number_of_threads(void **state) {
    (void)state;
    const sw_dtype types[] = {SW_F64, SW_F32, SW_F16, SW_BF16};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const uint64_t one = hash_of_training(types[i], 1, 0);
        for (int threads = 1; threads <= 8; threads += threads < 3 ? 1 : 5)
            for (int recompute = 0; recompute < 3; recompute++)
                if (hash_of_training(types[i], threads, recompute) != one)
                    fail_msg("%s: %d threads, recompute %d: other bits", sw_dtype_name(types[i]), threads, recompute);
    }
    expect_no_error();
}

/* ---- A dry run ---- */

static size_t bytes_of_training(bool dry) {
    if (dry)
        assert_ok(sw_dry_run_begin());
    sw_memory_reset_peaks();
    hash_of_training(SW_F32, 1, 0);
    const size_t peak = sw_memory_peak(SW_ACCOUNT_TAPE) + sw_memory_peak(SW_ACCOUNT_PARAMETERS);
    if (dry)
        assert_ok(sw_dry_run_end());
    return peak;
}

static void test_dry_run_predicts_the_memory(void **state) {
    (void)state;
    const size_t real = bytes_of_training(false), dry = bytes_of_training(true);
    assert_int_equal(real, dry);
    expect_no_error();
}

/* ---- Initial values ---- */

/* Of n normal numbers, the standard error of the deviation is σ/√(2n); 5 of them are allowed. */
static void expect_deviation(const sw_params *p, const char *name, double deviation) {
    const sw_param *param = sw_params_find(p, name);
    if (!param)
        fail_msg("there is no parameter %s", name);
    const sw_array a = sw_param_value(param);
    double square = 0;
    for (int64_t i = 0; i < param->count; i++)
        square += test_get(&a, i) * test_get(&a, i) / (double)param->count;
    if (!(fabs(sqrt(square) - deviation) <= 5 * deviation / sqrt(2 * (double)param->count)))
        fail_msg("%s: the deviation is %.4g, %.4g expected", name, sqrt(square), deviation);
}

static void test_initial_values_are_those_of_gpt2(void **state) {
    (void)state;
    for (int untied = 0; untied < 2; untied++) {
        sw_model *model = gpt_with(SW_F32, &SW_OPTIONS(sw_gpt_options, .vocabulary = 50, .length = 40, .layers = 8,
                                                       .heads = 2, .width = 32, .untied = untied != 0));
        const sw_params *p = sw_model_params(model);
        expect_deviation(p, "transformer.wte.weight", 0.02);
        expect_deviation(p, "transformer.wpe.weight", 0.02);
        expect_deviation(p, "lm_head.weight", 0.02);
        expect_deviation(p, "transformer.h.7.attn.c_attn.weight", 0.02);
        expect_deviation(p, "transformer.h.7.attn.c_proj.weight", 0.02 / 4);
        expect_deviation(p, "transformer.h.3.mlp.c_fc.weight", 0.02);
        expect_deviation(p, "transformer.h.3.mlp.c_proj.weight", 0.02 / 4);
        expect_deviation(p, "transformer.h.3.mlp.c_proj.bias", 0);
        assert_true(value_of(sw_model_params(model), "transformer.ln_f.weight", 3) == 1);
        assert_int_equal(sw_params_find(p, "lm_head.weight")->tied == NULL, untied);
        sw_model_free(model);
    }
    expect_no_error();
}

/* ---- Mistakes ---- */

#define MISTAKE(name, ...)                                                                                        \
    static sw_module *name(sw_model *m) {                                                                         \
        sw_gpt_options o = {.size = sizeof o, .vocabulary = 9, .length = 4, .layers = 1, .heads = 2, .width = 4}; \
        __VA_ARGS__;                                                                                              \
        return sw_nn_gpt(m, &o);                                                                                  \
    }
MISTAKE(no_vocabulary, o.vocabulary = 0)
MISTAKE(no_length, o.length = 0)
MISTAKE(no_layers, o.layers = 0)
MISTAKE(uneven_heads, o.heads = 3)
MISTAKE(certain_dropout, o.dropout = 1)
MISTAKE(negative_recompute, o.recompute = -1)
MISTAKE(negative_hidden, o.hidden = -1)
MISTAKE(unknown_activation, o.activation = "gelu_tan")
MISTAKE(no_size, o.size = 0)

static void test_wrong_options_are_refused(void **state) {
    (void)state;
    refused(no_vocabulary, SW_ERR_ARGUMENT, "gpt: a vocabulary of 0; 1 to 2^31 - 1 is needed");
    refused(no_length, SW_ERR_ARGUMENT, "gpt: a length of 0; 1 to 2^31 - 1 is needed");
    refused(no_layers, SW_ERR_ARGUMENT, "gpt: 0 layers; 1 to 4096 are needed");
    refused(uneven_heads, SW_ERR_ARGUMENT, "gpt: width 4 and 3 heads; a multiple of the heads is needed");
    refused(certain_dropout, SW_ERR_ARGUMENT, "gpt: dropout 1 is outside [0, 1)");
    refused(negative_recompute, SW_ERR_ARGUMENT, "gpt: recompute -1; 0 (none) or more is needed");
    refused(negative_hidden, SW_ERR_ARGUMENT,
            "transformer_block: 4 features and -1 inside; 1 to 268435455 features, and 0 (4 times as many) or more "
            "inside are needed");
    refused(unknown_activation, SW_ERR_ARGUMENT,
            "transformer_block: there is no activation gelu_tan, did you mean gelu_tanh?");
    char expected[100];
    snprintf(expected, sizeof expected, "gpt: options.size is 0; sizeof(sw_gpt_options) is %zu",
             sizeof(sw_gpt_options));
    refused(no_size, SW_ERR_ARGUMENT, expected);
    sw_model *model = sw_model_new(SW_F32, 1);
    assert_null(sw_model_build(model, sw_nn_gpt(model, NULL)));
    expect_error(SW_ERR_ARGUMENT,
                 "gpt: the options are NULL; a vocabulary, a length, layers, heads and a width are needed");
    sw_model_free(model);
}

/* The context is longer than the positions. */
static void test_long_sequences_are_refused(void **state) {
    (void)state;
    sw_model *model = gpt_with(SW_F32, &tiny);
    sw_tape *tape = sw_tape_new();
    sw_array ids = test_array(SW_I32, SW_SHAPE(1, GPT2_LENGTH + 1));
    assert_true(sw_is_null(sw_forward(sw_model_root(model), sw_input(tape, ids))));
    expect_error(SW_ERR_SHAPE, "layer transformer.wpe: the positions 0 to 8 are needed; it has 0 to 7 (crop the "
                               "sequence)");
    test_array_free(&ids);
    sw_tape_free(tape), sw_model_free(model);
}

static bool make_and_run(const void *user) {
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *root = model ? sw_nn_gpt(model, user) : NULL;
    bool good = root && sw_model_build(model, root);
    sw_tape *tape = good ? sw_tape_new() : NULL;
    const int32_t ids[3] = {1, 2, 3};
    if (tape)
        good = !sw_is_null(
            sw_forward(root, sw_input_copy(tape, sw_array_view((void *)(uintptr_t)ids, SW_I32, SW_SHAPE(1, 3)))));
    good = good && tape;
    sw_tape_free(tape), sw_model_free(model);
    return good;
}

static void test_every_allocation_may_fail(void **state) {
    (void)state;
    sw_gpt_options options = tiny;
    options.layers = 1;
    options.recompute = 1;
    options.dropout = 0.1;
    expect_failed_allocations(make_and_run, &options, 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_names_are_the_keys_of_transformers),
        TEST(test_logits_equal_those_of_transformers),
        TEST(test_files_of_transformers_are_loaded),
        TEST(test_files_with_other_names_are_refused),
        TEST(test_saved_files_are_those_of_transformers),
        TEST(test_gpt_trains_as_in_pytorch),
        TEST(test_training_has_the_same_bits_on_any_number_of_threads),
        TEST(test_dry_run_predicts_the_memory),
        TEST(test_initial_values_are_those_of_gpt2),
        TEST(test_wrong_options_are_refused),
        TEST(test_long_sequences_are_refused),
        TEST(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
