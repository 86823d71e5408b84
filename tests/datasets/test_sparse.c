/* Sparse rows as dense samples: the gathered values, models over them, and the objects that keep them alive. */
#include "helpers.h"

#include <swale/nn.h>

static sw_svmlight *open_text(const char *text, const sw_svmlight_options *options) {
    const char *path = write_file("train.svm", text, strlen(text));
    sw_svmlight *d = sw_svmlight_load(path, options);
    if (!d)
        fail_msg("%s", sw_error());
    remove_file(path);
    return d;
}

static void test_dense_samples_hold_zeros_and_numbers(void **state) {
    (void)state;
    for (int stored = 0; stored < 2; stored++) {
        const sw_svmlight_options o = {.size = sizeof o, .type = stored ? SW_F64 : SW_F32};
        sw_svmlight *d = open_text("3 1:0.1 4:-2\n7\n3 2:5\n", &o);
        const sw_source *s = d->source;
        const double tenth = stored ? 0.1 : (double)0.1f;
        const double expected[4][4] = {{0, 5, 0, 0}, {tenth, 0, 0, -2}, {0, 0, 0, 0}, {tenth, 0, 0, -2}};
        const int64_t ids[4] = {2, 0, 1, 0};
        double x[17];
        float x32[17];
        int32_t y[4];
        assert_int_equal(s->n, 3);
        assert_int_equal(s->x_rank, 1);
        assert_int_equal(s->x_shape[0], 4);
        assert_int_equal(s->y_rank, 0);
        assert_int_equal(s->y_type, SW_I32);
        assert_int_equal(s->classes, 2);
        assert_string_equal(s->class_names[1], "7");
        memset(x, 0xff, sizeof x);
        memset(x32, 0xff, sizeof x32);
        assert_int_equal(sw_source_gather(s, SW_F64, 0, ids, 4, x, y), SW_OK);
        assert_int_equal(sw_source_gather(s, SW_F32, 0, ids, 4, x32, NULL), SW_OK);
        assert_memory_equal(x, expected, sizeof expected);
        for (int i = 0; i < 16; i++)
            assert_true(x32[i] == (float)(&expected[0][0])[i]);
        assert_true(isnan(x[16]) && isnan(x32[16])); /* nothing is written behind them */
        assert_true(y[0] == 0 && y[1] == 0 && y[2] == 1 && y[3] == 0);
        memset(y, 0, sizeof y);
        assert_int_equal(sw_source_gather(s, SW_F64, 0, ids, 4, NULL, y), SW_OK);
        assert_true(y[2] == 1);
        assert_int_equal(sw_source_gather(s, SW_F64, 0, (int64_t[]){3}, 1, x, NULL), SW_ERR_ARGUMENT);
        sw_clear_error();
        sw_svmlight_free(d);
    }
}

static void test_real_targets_are_gathered(void **state) {
    (void)state;
    sw_svmlight *d = open_text("0.1 1:1\n-7 1:2\n", NULL);
    double y[2];
    float y32[2];
    assert_int_equal(d->source->y_rank, 1);
    assert_int_equal(d->source->y_shape[0], 1);
    assert_int_equal(d->source->y_type, SW_F64);
    assert_int_equal(d->source->classes, 0);
    assert_int_equal(sw_source_gather(d->source, SW_F64, 0, (int64_t[]){0, 1}, 2, NULL, y), SW_OK);
    assert_int_equal(sw_source_gather(d->source, SW_F32, 0, (int64_t[]){0, 1}, 2, NULL, y32), SW_OK);
    assert_true(y[0] == 0.1 && y[1] == -7 && y32[0] == 0.1f && y32[1] == -7);
    sw_svmlight_free(d);
}

/* ---- Models ---- */

enum { ROWS = 300, COLUMNS = 20, CLASSES = 3 };

/* Sparse rows as a file, and the same numbers as arrays. */
static sw_svmlight *make_data(double *x, int32_t *y) {
    bytes text = make_bytes(ROWS * COLUMNS * 16);
    uint64_t seed = 3;
    text.size = 0;
    memset(x, 0, ROWS * COLUMNS * sizeof *x);
    for (int i = 0; i < ROWS; i++) {
        y[i] = (i * 7 + i / 11) % CLASSES;
        text.size += (size_t)sprintf((char *)text.at + text.size, "%d", 10 * y[i]);
        for (int j = i % 4; j < COLUMNS; j += 3 + i % 5) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            x[i * COLUMNS + j] = (double)(int)(seed >> 45) / 1024 + y[i] * (j % 3);
            text.size += (size_t)sprintf((char *)text.at + text.size, " %d:%.17g", j, x[i * COLUMNS + j]);
        }
        text.at[text.size++] = '\n';
    }
    text.at[text.size] = 0;
    const sw_svmlight_options o = {
        .size = sizeof o, .type = SW_F64, .base = SW_SVMLIGHT_ZERO_BASED, .columns = COLUMNS};
    sw_svmlight *d = open_text((const char *)text.at, &o);
    free(text.at);
    return d;
}

static void test_model_sees_the_same_bits_as_from_arrays(void **state) {
    static double x[ROWS * COLUMNS];
    static int32_t y[ROWS];
    (void)state;
    sw_svmlight *d = make_data(x, y);
    const sw_array xs = sw_array_view(x, SW_F64, SW_SHAPE(ROWS, COLUMNS)),
                   ys = sw_array_view(y, SW_I32, SW_SHAPE(ROWS));
    sw_source *dense = sw_arrays(&xs, &ys, NULL);
    sw_model *model = sw_model_new(SW_F64, 1);
    assert_non_null(sw_model_build(model, sw_nn_linear(model, COLUMNS, CLASSES)));
    sw_tape *tape = sw_tape_new();
    double value[2], loss[2], accuracy[2];
    sw_gradient *g = sw_gradient_new(sw_model_params(model));
    static double gradient[2][COLUMNS * CLASSES + CLASSES];
    for (int k = 0; k < 2; k++) {
        const sw_source *source = k ? dense : d->source;
        const sw_objective *f = sw_model_objective(model, source, sw_cross_entropy);
        sw_evaluation e;
        assert_int_equal(sw_objective_gradient(f, tape, NULL, NULL, ROWS, 1, &value[k], g), SW_OK);
        const void *at = sw_gradient_data(g);
        assert_non_null(at);
        memcpy(gradient[k], at, sizeof gradient[k]);
        assert_int_equal(sw_model_evaluate(model, NULL, source, sw_cross_entropy, &e), SW_OK);
        loss[k] = e.loss;
        accuracy[k] = e.accuracy;
    }
    assert_true(value[0] == value[1] && loss[0] == loss[1] && accuracy[0] == accuracy[1]);
    assert_true(accuracy[0] > 0 && isfinite(loss[0]));
    assert_memory_equal(gradient[0], gradient[1], sizeof gradient[0]);
    sw_gradient_free(g);
    sw_tape_free(tape);
    sw_model_free(model);
    sw_source_free(dense);
    sw_svmlight_free(d);
    assert_null(sw_error());
}

/* ---- Lifetime ---- */

/* Freed first, as data or as a source; what reads it still does, and nothing is left in the end. */
static void test_readers_keep_the_data_alive(void **state) {
    (void)state;
    for (int by_source = 0; by_source < 2; by_source++) {
        count_memory(-1);
        sw_svmlight *d = open_text("0 1:1 3:2\n1 2:5\n0 1:7\n1\n", NULL);
        sw_source *part = sw_take(d->source, 3, NULL);
        sw_loader *loader = sw_loader_new(d->source, 2, NULL);
        const sw_csr m = d->x;
        if (by_source)
            sw_source_free(d->source);
        else
            sw_svmlight_free(d);
        float x[9];
        assert_int_equal(sw_source_gather(part, SW_F32, 0, (int64_t[]){0, 1, 2}, 3, x, NULL), SW_OK);
        assert_memory_equal(x, ((float[]){1, 0, 2, 0, 5, 0, 7, 0, 0}), sizeof x);
        sw_source_free(part);
        assert_int_equal(sw_csr_check(&m), SW_OK); /* the loader keeps all of the data */
        sw_tape *tape = sw_tape_new();
        int batches = 0;
        for (sw_batch b; sw_loader_next(loader, tape, &b); sw_tape_reset(tape))
            batches++;
        assert_int_equal(batches, 2);
        sw_tape_free(tape);
        sw_loader_free(loader);
        check_memory();
        assert_null(sw_error());
    }
}

static void test_objective_keeps_the_data_alive(void **state) {
    static double x[ROWS * COLUMNS];
    static int32_t y[ROWS];
    (void)state;
    sw_svmlight *d = make_data(x, y);
    sw_model *model = sw_model_new(SW_F64, 1);
    assert_non_null(sw_model_build(model, sw_nn_linear(model, COLUMNS, CLASSES)));
    const sw_objective *f = sw_model_objective(model, d->source, sw_cross_entropy);
    sw_tape *tape = sw_tape_new();
    double before = 0, after = 1;
    assert_int_equal(sw_objective_value(f, tape, NULL, NULL, ROWS, 1, &before), SW_OK);
    sw_svmlight_free(d);
    assert_int_equal(sw_objective_value(f, tape, NULL, NULL, ROWS, 1, &after), SW_OK);
    assert_true(before == after);
    sw_tape_free(tape);
    sw_model_free(model);
    assert_null(sw_error());
}

static void test_owning_view_frees_the_data(void **state) {
    (void)state;
    count_memory(-1);
    sw_svmlight *d = open_text("0 1:1 3:2\n1 2:5\n", NULL);
    sw_source *part =
        sw_take(d->source, 1, &(const sw_wrap_options){.size = sizeof(sw_wrap_options), .owns_source = true});
    sw_source_free(part);
    check_memory();
    assert_null(sw_error());
}

static void test_freeing_twice_is_an_error(void **state) {
    (void)state;
    sw_svmlight *d = open_text("0 1:1\n", NULL);
    sw_svmlight_free(d);
    sw_svmlight_free(d);
    check_error(SW_ERR_STATE, "source_free: this source was freed before", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense_samples_hold_zeros_and_numbers),
        cmocka_unit_test(test_real_targets_are_gathered),
        cmocka_unit_test(test_model_sees_the_same_bits_as_from_arrays),
        cmocka_unit_test(test_readers_keep_the_data_alive),
        cmocka_unit_test(test_objective_keeps_the_data_alive),
        cmocka_unit_test(test_owning_view_frees_the_data),
        cmocka_unit_test(test_freeing_twice_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
