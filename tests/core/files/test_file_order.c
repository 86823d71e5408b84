/* Files with channels first: the order and the shapes of PyTorch's arrays, against loops over indices; the counters of
 * PyTorch's batch norm; messages; failed allocations. */
#define _GNU_SOURCE
#include "support.h"

#include "files.h"

#include <swale/archive.h>
#include <swale/extend.h>

enum { OUT = 3, H = 2, W = 4, IN = 5, FLAT = H * W * IN };

/* Parameters as layers declare them, filled with 0, 1, 2, …: a convolution [OUT,H,W,IN], a
 * linear layer behind a flatten of [H,W,IN], one for sequences [OUT,W,IN], and a batch norm. */
static sw_params *picture_params(sw_dtype type) {
    const int64_t conv[4] = {OUT, H, W, IN}, flat[2] = {OUT, H * W * IN}, sequence[3] = {OUT, W, IN};
    sw_params *p = sw_params_new(type, 1);
    sw_params_add(p, "conv.weight", 4, conv,
                  &SW_OPTIONS(sw_param_options, .channels_first = sw_channels_first(4, conv, 1)));
    sw_params_add(p, "linear.weight", 2, flat,
                  &SW_OPTIONS(sw_param_options, .channels_first = {.rank = 4,
                                                                   .view = {OUT, H, W, IN},
                                                                   .axes = {0, 3, 1, 2},
                                                                   .file_rank = 2,
                                                                   .file_shape = {OUT, IN * H * W}}));
    sw_params_add(p, "sequence.weight", 3, sequence,
                  &SW_OPTIONS(sw_param_options, .channels_first = sw_channels_first(3, sequence, 1)));
    sw_params_add(p, "bn.running_mean", 1, conv, &SW_OPTIONS(sw_param_options, .buffer = true));
    sw_params_add(p, "linear.bias", 1, conv, NULL);
    assert_ok(sw_params_build(p));
    return p;
}

static void fill(sw_params *p, double factor) {
    const sw_array x = sw_array_view(sw_params_x(p), sw_params_type(p), SW_SHAPE(sw_params_dim(p)));
    for (int64_t i = 0; i < sw_params_dim(p); i++)
        test_set(&x, i, factor * (double)i);
}

static double element(const sw_archive *a, const char *name, int64_t i) {
    const sw_array array = sw_archive_get(a, name);
    return test_get(&array, i);
}

static void check_shape(const sw_archive *a, const char *name, int rank, const int64_t *shape) {
    const sw_array array = sw_archive_get(a, name);
    assert_true(sw_shape_equal(array.rank, array.shape, rank, shape));
}

/* Each number of the arrays is where PyTorch has it. */
static void check_archive(const sw_archive *a, const sw_params *p, double factor) {
    const double conv = factor * (double)sw_params_find(p, "conv.weight")->offset,
                 linear = factor * (double)sw_params_find(p, "linear.weight")->offset,
                 sequence = factor * (double)sw_params_find(p, "sequence.weight")->offset;
    check_shape(a, "conv.weight", SW_SHAPE(OUT, IN, H, W));
    check_shape(a, "linear.weight", SW_SHAPE(OUT, FLAT));
    check_shape(a, "sequence.weight", SW_SHAPE(OUT, IN, W));
    check_shape(a, "bn.running_mean", SW_SHAPE(OUT));
    for (int o = 0; o < OUT; o++)
        for (int c = 0; c < IN; c++)
            for (int x = 0; x < W; x++) {
                for (int y = 0; y < H; y++) {
                    const int here = ((o * H + y) * W + x) * IN + c, there = ((o * IN + c) * H + y) * W + x;
                    assert_true(element(a, "conv.weight", there) == conv + factor * here);
                    assert_true(element(a, "linear.weight", there) == linear + factor * here);
                }
                assert_true(element(a, "sequence.weight", (o * IN + c) * W + x) ==
                            sequence + factor * ((o * W + x) * IN + c));
            }
    for (int o = 0; o < OUT; o++)
        assert_true(element(a, "bn.running_mean", o) ==
                    factor * (double)(sw_params_find(p, "bn.running_mean")->offset + o));
}

/* Saved and loaded in every pair of types, alone and with a prefix; the text makes the option unnecessary. */
static void test_channels_first_has_the_order_of_pytorch(void **state) {
    (void)state;
    static const sw_dtype types[3] = {SW_F32, SW_F64, SW_BF16};
    const char *path = path_of("first");
    for (int from = 0; from < 3; from++)
        for (int to = 0; to < 3; to++) {
            sw_params *one = picture_params(types[from]), *two = picture_params(types[to]);
            fill(one, 0.5); /* exact in f32 and, up to 128, in bf16 */
            assert_ok(sw_params_save_with_options(one, path, &SW_OPTIONS(sw_save_options, .channels_first = true)));
            sw_archive *a = sw_archive_load(path);
            check_archive(a, one, 0.5);
            assert_string_equal(sw_archive_text(a, "order"), "channels_first");
            sw_archive_free(a);
            fill(two, 3);
            assert_ok(sw_params_load(two, path));
            for (int64_t i = 0; i < sw_params_dim(one); i++)
                assert_true(vec_get(sw_params_type(two), sw_params_x(two), i) == 0.5 * (double)i);
            sw_params_free(one);
            sw_params_free(two);
        }
    sw_params *one = picture_params(SW_F64), *two = picture_params(SW_F64), *back = picture_params(SW_F64);
    sw_archive *a = sw_archive_new();
    fill(one, 1);
    fill(two, 2);
    assert_ok(sw_params_pack_with_options(one, a, "a.", &SW_OPTIONS(sw_save_options, .channels_first = true)));
    assert_ok(sw_params_pack(two, a, "b."));
    assert_string_equal(sw_archive_text(a, "a.order"), "channels_first");
    for (int k = 0; k < 2; k++) {
        assert_ok(sw_params_unpack(back, a, k ? "b." : "a."));
        assert_memory_equal(sw_params_x(back), sw_params_x(k ? two : one),
                            (size_t)sw_params_dim(back) * sizeof(double));
    }
    sw_archive_free(a);
    sw_params_free(one);
    sw_params_free(two);
    sw_params_free(back);
    remove_file(path);
    expect_no_error();
}

/* Arrays in the types of 16 bits and in f64, as PyTorch would have saved them: without the text. */
static void test_pytorch_files_are_loaded_by_the_option(void **state) {
    (void)state;
    const char *path = path_of("torch");
    sw_params *p = picture_params(SW_F32), *q = picture_params(SW_F32);
    fill(p, 0.25);
    sw_archive *first = sw_archive_new(), *a = sw_archive_new();
    assert_ok(sw_params_pack_with_options(p, first, NULL, &SW_OPTIONS(sw_save_options, .channels_first = true)));
    for (int i = 0; i < sw_archive_count(first); i++)
        assert_ok(sw_archive_put_as(a, sw_archive_at(first, i).name, sw_archive_at(first, i).array, SW_F16));
    assert_ok(sw_archive_save(a, path));
    assert_ok(sw_params_load_with_options(q, path, &SW_OPTIONS(sw_load_options, .channels_first = true)));
    for (int64_t i = 0; i < sw_params_dim(p); i++)
        assert_true(((float *)sw_params_x(q))[i] == 0.25f * (float)i);
    char text[PATH_SIZE + 500];
    assert_int_equal(sw_params_load(q, path), SW_ERR_FORMAT);
    snprintf(
        text, sizeof text,
        "%s: does not fit the parameters: conv.weight is [3,2,4,5] here and [3,5,2,4] in the file; sequence.weight "
        "is [3,4,5] here and [3,5,4] in the file (a file of PyTorch? set channels_first in sw_load_options)",
        path);
    expect_error(SW_ERR_FORMAT, text);
    assert_ok(sw_params_save(p, path));
    assert_int_equal(sw_params_load_with_options(q, path, &SW_OPTIONS(sw_load_options, .channels_first = true)),
                     SW_ERR_FORMAT);
    snprintf(
        text, sizeof text,
        "%s: does not fit the parameters: conv.weight is [3,5,2,4] here, with channels first, and [3,2,4,5] in the "
        "file; sequence.weight is [3,5,4] here, with channels first, and [3,4,5] in the file",
        path);
    expect_error(SW_ERR_FORMAT, text);
    sw_archive_free(first);
    sw_archive_free(a);
    sw_params_free(p);
    sw_params_free(q);
    remove_file(path);
}

static sw_params *norm_params(sw_dtype type, bool counter) {
    sw_params *p = sw_params_new(type, 1);
    sw_params_add(p, "bn.running_mean", SW_SHAPE(2), &SW_OPTIONS(sw_param_options, .buffer = true));
    if (counter)
        sw_params_add(p, "bn.num_batches_tracked", 0, NULL, &SW_OPTIONS(sw_param_options, .buffer = true));
    assert_ok(sw_params_build(p));
    return p;
}

static void expect_misfit(sw_params *p, const sw_archive *a, const char *faults) {
    char text[1000];
    assert_int_equal(sw_params_unpack(p, a, NULL), SW_ERR_FORMAT);
    snprintf(text, sizeof text, "archive: does not fit the parameters: %s", faults);
    expect_error(SW_ERR_FORMAT, text);
}

/* The modules of nn.Sequential have names of one character. */
static void test_counter_of_a_short_name_is_ignored(void **state) {
    (void)state;
    const float mean[2] = {1, 2};
    const int64_t batches = 3;
    sw_params *p = sw_params_new(SW_F32, 1);
    sw_params_add(p, "1.running_mean", SW_SHAPE(2), &SW_OPTIONS(sw_param_options, .buffer = true));
    assert_ok(sw_params_build(p));
    sw_archive *a = sw_archive_new();
    sw_archive_put(a, "1.running_mean", sw_array_view(mean, SW_F32, SW_SHAPE(2)));
    sw_archive_put(a, "1.num_batches_tracked", sw_array_view(&batches, SW_I64, 0, NULL));
    assert_ok(sw_params_unpack(p, a, NULL));
    assert_true(((float *)sw_params_x(p))[1] == 2);
    sw_archive_free(a);
    sw_params_free(p);
}

/* The counter is ignored, or read if a buffer has its name; nothing else of type I64 is. */
static void test_counter_of_batch_norm_is_ignored_or_read(void **state) {
    (void)state;
    const float mean[2] = {1, 2};
    int64_t batches = 16777216, many[2] = {1, 2};
    sw_archive *a = sw_archive_new();
    sw_archive_put(a, "bn.running_mean", sw_array_view(mean, SW_F32, SW_SHAPE(2)));
    sw_archive_put(a, "bn.num_batches_tracked", sw_array_view(&batches, SW_I64, 0, NULL));
    sw_params *p = norm_params(SW_F32, false), *q = norm_params(SW_F32, true), *r = norm_params(SW_F64, true);
    assert_ok(sw_params_unpack(p, a, NULL));
    assert_ok(sw_params_unpack(q, a, NULL));
    assert_true(((float *)sw_params_x(p))[1] == 2 && ((float *)sw_params_x(q))[2] == 16777216);
    batches++;
    expect_misfit(q, a, "bn.num_batches_tracked holds 16777217, which is beyond the integers of f32");
    assert_ok(sw_params_unpack(r, a, NULL));
    assert_true(((double *)sw_params_x(r))[2] == 16777217);
    sw_archive_put(a, "n.num_batches_tracked", sw_array_view(&batches, SW_I64, 0, NULL));
    sw_archive_put(a, ".num_batches_tracked", sw_array_view(&batches, SW_I64, 0, NULL));
    sw_archive_put(a, "bn.batches_tracked", sw_array_view(&batches, SW_I64, 0, NULL));
    expect_misfit(p, a,
                  "n.num_batches_tracked is not expected; .num_batches_tracked is not expected; bn.batches_tracked is "
                  "not expected");
    sw_archive_free(a);
    a = sw_archive_new();
    sw_archive_put(a, "bn.running_mean", sw_array_view(mean, SW_F32, SW_SHAPE(2)));
    sw_archive_put(a, "bn.num_batches_tracked", sw_array_view(many, SW_I64, SW_SHAPE(2)));
    expect_misfit(p, a, "bn.num_batches_tracked is not expected");
    expect_misfit(r, a, "bn.num_batches_tracked is [] here and [2] in the file");
    sw_archive_free(a);
    sw_params_free(p);
    sw_params_free(q);
    sw_params_free(r);
}

static void test_files_with_channels_first_survive_failed_allocations(void **state) {
    (void)state;
    test_allocator memory;
    const char *path = path_of("memory");
    sw_params *made = picture_params(SW_F64);
    fill(made, 1);
    assert_ok(sw_params_save_with_options(made, path, &SW_OPTIONS(sw_save_options, .channels_first = true)));
    sw_params_free(made);
    bytes file = read_file(path);
    for (int loading = 0; loading < 2; loading++) {
        bool done = false;
        long long k = 1;
        for (; !done; k++) {
            test_allocator_install(&memory);
            sw_params *p = picture_params(SW_F64);
            fill(p, loading ? 2 : 1);
            test_allocator_fail(&memory, k, false);
            const sw_status status =
                loading ? sw_params_load(p, path)
                        : sw_params_save_with_options(p, path, &SW_OPTIONS(sw_save_options, .channels_first = true));
            done = status == SW_OK;
            assert_int_equal(status, memory.failed ? SW_ERR_MEMORY : SW_OK);
            assert_true(((double *)sw_params_x(p))[1] == (loading && !done ? 2 : 1));
            sw_clear_error();
            sw_params_free(p);
            assert_int_equal(memory.live, 0);
            sw_set_allocator(NULL);
            check_file(path, file.at, file.size);
        }
        assert_true(k > 10);
    }
    free(file.at);
    remove_file(path);
}

static void expect_refused(const sw_file_order *order, const char *why) {
    sw_params *p = sw_params_new(SW_F32, 1);
    assert_null(sw_params_add(p, "w", SW_SHAPE(2, 6), &SW_OPTIONS(sw_param_options, .channels_first = *order)));
    expect_error(SW_ERR_SHAPE, why);
    sw_params_free(p);
}

static void test_orders_are_checked(void **state) {
    (void)state;
    expect_refused(&(sw_file_order){.rank = 3, .view = {2, 3, 3}, .axes = {0, 2, 1}},
                   "parameter w: its order with channels first: the view [2,3,3] does not have 12 elements");
    expect_refused(
        &(sw_file_order){.rank = 3, .view = {2, 3, 2}, .axes = {0, 2, 1}, .file_rank = 2, .file_shape = {2, 5}},
        "parameter w: its order with channels first: the file_shape [2,5] does not have 12 elements");
    static const sw_file_order bad[] = {{.rank = 3, .view = {2, 3, 2}, .axes = {0, 1, 1}},
                                        {.rank = 3, .view = {2, 3, 2}, .axes = {0, 1, 3}},
                                        {.rank = 3, .view = {2, 3, 2}, .axes = {0, 1, -1}},
                                        {.rank = 9},
                                        {.rank = -2}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_refused(&bad[i],
                       "parameter w: its order with channels first: each of 1 to 8 axes is needed once in axes");
    static const int wrong[][2] = {{0, 0}, {2, 2}, {2, -1}, {9, 1}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[100];
        snprintf(text, sizeof text, "channels_first: the last of %d axes cannot move to position %d", wrong[i][0],
                 wrong[i][1]);
        assert_int_equal(sw_channels_first(wrong[i][0], (int64_t[]){2, 6}, wrong[i][1]).rank, -1);
        expect_error(SW_ERR_SHAPE, text);
    }
    /* An order that changes nothing is none: one channel, or one picture element. */
    sw_params *p = sw_params_new(SW_F32, 1);
    const sw_param *plain = sw_params_add(
        p, "w", SW_SHAPE(2, 6),
        &SW_OPTIONS(sw_param_options,
                    .channels_first = {
                        .rank = 4, .view = {2, 2, 3, 1}, .axes = {0, 3, 1, 2}, .file_rank = 2, .file_shape = {2, 6}}));
    assert_int_equal(plain->channels_first.rank, 0);
    sw_params_free(p);
    expect_no_error();
}

/* An order that is not known is refused in both directions; other files are not affected. */
static void test_unknown_orders_are_refused(void **state) {
    (void)state;
    const char *path = path_of("unknown");
    sw_params *p = sw_params_new(SW_F32, 1);
    sw_params_add(p, "w", SW_SHAPE(2, 6), &SW_OPTIONS(sw_param_options, .channels_first = {.rank = -1}));
    assert_ok(sw_params_build(p));
    assert_ok(sw_params_save(p, path));
    assert_ok(sw_params_load(p, path));
    assert_int_equal(sw_params_save_with_options(p, path, &SW_OPTIONS(sw_save_options, .channels_first = true)),
                     SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "params_pack: w has no known order with channels first, because its layer was built "
                               "without the shape of its input (call sw_model_set_input_shape)");
    char text[PATH_SIZE + 300];
    snprintf(text, sizeof text,
             "%s: does not fit the parameters: w has no known order with channels first, because its layer was built "
             "without the shape of its input (call sw_model_set_input_shape)",
             path);
    assert_int_equal(sw_params_load_with_options(p, path, &SW_OPTIONS(sw_load_options, .channels_first = true)),
                     SW_ERR_FORMAT);
    expect_error(SW_ERR_FORMAT, text);
    sw_archive *a = sw_archive_new();
    sw_archive_set_text(a, "order", "columns");
    assert_int_equal(sw_params_unpack(p, a, NULL), SW_ERR_FORMAT);
    expect_error(SW_ERR_FORMAT, "archive: has parameters in the order \"columns\"; only channels_first is known");
    sw_archive_free(a);
    sw_params_free(p);
    remove_file(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_channels_first_has_the_order_of_pytorch, test_clear),
        cmocka_unit_test_setup(test_pytorch_files_are_loaded_by_the_option, test_clear),
        cmocka_unit_test_setup(test_counter_of_a_short_name_is_ignored, test_clear),
        cmocka_unit_test_setup(test_counter_of_batch_norm_is_ignored_or_read, test_clear),
        cmocka_unit_test_setup(test_files_with_channels_first_survive_failed_allocations, test_clear),
        cmocka_unit_test_setup(test_orders_are_checked, test_clear),
        cmocka_unit_test_setup(test_unknown_orders_are_refused, test_clear),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
