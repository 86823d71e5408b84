/* LIBSVM and SVMlight files: the same numbers as scikit-learn reads. test_svmlight_mistakes.c tests mistakes,
 * test_sparse.c the dense view, test_hostile.c damaged files and failing allocations. */
#include "svmlight_helpers.h"

#include "golden/svmlight.h"
#include "comma_locale.h"

/* ---- What it reads ---- */

/* Bit for bit, in f32 and in f64. */
static void test_numbers_agree_with_scikit_learn(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof golden_svmlights / sizeof *golden_svmlights; i++) {
        const golden_svmlight *g = &golden_svmlights[i];
        sw_svmlight_options o = {.size = sizeof o, .base = g->base, .columns = g->n_features};
        const int64_t count = g->start[g->rows];
        double *from_f32 = malloc((size_t)(count + 1) * sizeof *from_f32);
        assert_non_null(from_f32);
        for (int64_t k = 0; k < count; k++)
            from_f32[k] = (double)g->f32[k];
        for (int type = 0; type < 2; type++) {
            o.type = type ? SW_F64 : SW_F32;
            sw_svmlight *d = open_text(g->text, &o);
            assert_int_equal(d->x.type, o.type);
            check_matrix(&d->x, g->rows, g->columns, g->start, g->index, type ? g->f64 : from_f32);
            assert_memory_equal(d->y, g->y, (size_t)g->rows * sizeof *g->y);
            sw_svmlight_free(d);
        }
        free(from_f32);
    }
}

static void test_rows_are_read_with_defaults(void **state) {
    (void)state;
    sw_svmlight *d = open_text("-1 1:0.5 3:-2\n1 2:1e1\n", NULL);
    check_matrix(&d->x, 2, 3, I64(0, 2, 3), I32(0, 2, 1), F64(0.5, -2, 10));
    assert_int_equal(d->x.type, SW_F32);
    assert_int_equal(d->base, 1);
    assert_true(d->y[0] == -1 && d->y[1] == 1);
    assert_int_equal(d->classes, 2);
    sw_svmlight_free(d);
    sw_svmlight_free(NULL);
    assert_null(sw_error());
}

/* An index 0 anywhere, also after many rows, in the last one, and with columns known. */
static void test_base_of_the_indices_is_detected(void **state) {
    (void)state;
    sw_svmlight_options o = {.size = sizeof o};
    sw_svmlight *d = open_text("1 1:1 2:2\n2 1:3\n3 0:4 2:5\n", &o);
    check_matrix(&d->x, 3, 3, I64(0, 2, 3, 5), I32(1, 2, 1, 0, 2), F64(1, 2, 3, 4, 5));
    assert_int_equal(d->base, 0);
    sw_svmlight_free(d);
    o.base = SW_SVMLIGHT_ZERO_BASED;
    d = open_text("1 1:1 2:2\n", &o);
    check_matrix(&d->x, 1, 3, I64(0, 2), I32(1, 2), F64(1, 2));
    assert_int_equal(d->base, 0);
    sw_svmlight_free(d);
    o.base = SW_SVMLIGHT_ONE_BASED;
    check_message("1 1:1\n1 0:1 2:2\n", &o, SW_ERR_FORMAT, "line 2: index 0, but indices begin at 1 (option base)");
    o.base = SW_SVMLIGHT_BASE_AUTO;
    o.columns = 2;
    d = open_text("1 1:1 2:2\n", &o); /* 2 of 2 columns, so that they begin at 1 */
    check_matrix(&d->x, 1, 2, I64(0, 2), I32(0, 1), F64(1, 2));
    sw_svmlight_free(d);
    d = open_text("1 1:1\n1 0:2\n", &o);
    check_matrix(&d->x, 2, 2, I64(0, 1, 2), I32(1, 0), F64(1, 2));
    sw_svmlight_free(d);
}

static void test_indices_beyond_the_columns_are_refused(void **state) {
    (void)state;
    sw_svmlight_options o = {.size = sizeof o, .columns = 2};
    check_message("1 1:1\n1 1:1 3:2\n", &o, SW_ERR_FORMAT,
                  "line 2: index 3, but there are 2 columns, 1 to 2 (option columns)");
    check_message("1 0:1\n1 1:1 2:2\n", &o, SW_ERR_FORMAT,
                  "line 2: index 2, but there are 2 columns, 0 to 1 (option columns)");
    /* Right until the third line says that indices begin at 0. */
    check_message("1 1:1\n1 1:1 2:2\n1 0:1\n1 1:1\n", &o, SW_ERR_FORMAT,
                  "line 2: index 2, but there are 2 columns, 0 to 1, since another index is 0 (options columns and "
                  "base)");
    o.base = SW_SVMLIGHT_ZERO_BASED;
    check_message("1 1:1 2:2\n", &o, SW_ERR_FORMAT,
                  "line 1: index 2, but there are 2 columns, 0 to 1 (option columns)");
    o.base = SW_SVMLIGHT_ONE_BASED;
    check_message("1 3:2\n", &o, SW_ERR_FORMAT, "line 1: index 3, but there are 2 columns, 1 to 2 (option columns)");
    o.columns = 0;
    check_message("1\n2\n", &o, SW_ERR_FORMAT,
                  "no row has an index, so that the number of columns is not known (option columns)");
    o.columns = (int64_t)1 << 31;
    o.base = SW_SVMLIGHT_BASE_AUTO;
    sw_svmlight *d = open_text("1 0:1 2147483647:2\n1\n", &o);
    check_matrix(&d->x, 2, (int64_t)1 << 31, I64(0, 2, 2), I32(0, INT32_MAX), F64(1, 2));
    sw_svmlight_free(d);
    refuses("1 2147483648:2\n", "line 1: '2147483648:2': the index is larger than 2147483647");
    refuses("1 18446744073709551617:2\n", "line 1: '18446744073709551617:2': the index is larger than 2147483647");
}

static void test_rows_without_numbers_are_read(void **state) {
    (void)state;
    sw_svmlight_options o = {.size = sizeof o, .columns = 3};
    sw_svmlight *d = open_text("7\n8 \n9 qid:1\n10 # 1:1\n", &o);
    check_matrix(&d->x, 4, 3, I64(0, 0, 0, 0, 0), NULL, NULL);
    assert_true(d->y[0] == 7 && d->y[3] == 10);
    sw_svmlight_free(d);
    d = open_text("1\n2 4:1\n3\n", NULL);
    check_matrix(&d->x, 3, 4, I64(0, 0, 1, 1), I32(3), F64(1));
    sw_svmlight_free(d);
}

static void test_comments_and_blank_lines_are_skipped(void **state) {
    static const char *const texts[] = {"1 1:2 3:4\n5 2:6",
                                        "1 1:2 3:4\n5 2:6\n",
                                        "1 1:2 3:4\r\n5 2:6\r\n",
                                        "1 1:2 3:4\r5 2:6\r",
                                        ("\xef\xbb\xbf"
                                         "1 1:2 3:4\n5 2:6\n"),
                                        "# a\n\n \t\n1 1:2 3:4\n#b\n5 2:6\n\n#c",
                                        " 1\t1:2  3:4 \n\t5 2:6#7:8\n",
                                        "1 qid:3 1:2 3:4 # qid:x\n5 qid:-10 2:6\n",
                                        "+1 01:2.0 003:.4e1\r\n\r\n5. 2:+6#"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        sw_svmlight *d = open_text(texts[i], NULL);
        check_matrix(&d->x, 2, 3, I64(0, 2, 3), I32(0, 2, 1), F64(2, 4, 6));
        assert_true(d->y[0] == 1 && d->y[1] == 5);
        sw_svmlight_free(d);
    }
}

/* ---- Targets ---- */

static void check_classes(const sw_svmlight *d, int classes, const double *values, const int32_t *ids) {
    assert_int_equal(d->classes, classes);
    assert_memory_equal(d->ids, ids, (size_t)d->x.rows * sizeof *ids);
    for (int c = 0; c < classes; c++) {
        assert_true(d->class_values[c] == values[c]);
        assert_true(atof(d->class_names[c]) == values[c]);
    }
}

static void test_classes_and_real_targets_are_read(void **state) {
    (void)state;
    sw_svmlight_options o = {.size = sizeof o};
    sw_svmlight *d = open_text("1 1:1\n-1 1:1\n+1.0\n-257\n1e0\n", &o); /* -1, -257: the same last byte */
    check_classes(d, 3, F64(-257, -1, 1), I32(2, 1, 2, 0, 2));
    assert_true(d->y[1] == -1 && d->y[3] == -257);
    sw_svmlight_free(d);
    o.target = SW_SVMLIGHT_REAL;
    d = open_text("1 1:1\n-1 1:1\n", &o);
    assert_true(d->y[0] == 1 && d->y[1] == -1);
    assert_true(d->classes == 0 && !d->ids && !d->class_values && !d->class_names);
    sw_svmlight_free(d);
    o.target = SW_SVMLIGHT_TARGET_AUTO;
    d = open_text("1 1:1\n2 1:1\n0.5\n", &o);
    assert_true(d->y[0] == 1 && d->y[2] == 0.5 && d->classes == 0 && !d->ids);
    sw_svmlight_free(d);
    d = open_text("1 1:1\n9007199254740994\n", &o); /* beyond 2^53 doubles are whole, but say little */
    assert_true(d->y[1] == 9007199254740994 && d->classes == 0 && !d->ids);
    sw_svmlight_free(d);
    o.target = SW_SVMLIGHT_CLASS_IDS;
    d = open_text("9007199254740992 1:1\n-9007199254740992\n", &o);
    check_classes(d, 2, F64(-0x1p53, 0x1p53), I32(1, 0));
    sw_svmlight_free(d);
    check_message("1 1:1\n2 1:1\n0.5\n", &o, SW_ERR_FORMAT,
                  "line 3: class '0.5' is not a whole number (SW_SVMLIGHT_REAL is for real targets)");
}

/* More labels than the first hash tables hold, and than the cache of the last ones. */
static void test_thousands_of_classes_are_read(void **state) {
    enum { N = 5000 };
    (void)state;
    bytes text = make_bytes(N * 16);
    text.size = 0;
    for (int i = 0; i < N; i++)
        text.size += (size_t)sprintf((char *)text.at + text.size, "%d 1:1\n", 7 * (i * 2503 % N) - N);
    sw_svmlight *d = open_bytes(text.at, text.size, NULL);
    assert_int_equal(d->classes, N);
    for (int64_t i = 0; i < N; i++) {
        assert_int_equal(d->ids[i], i * 2503 % N);
        assert_true(d->class_values[i] == (double)(7 * i - N));
    }
    sw_svmlight_free(d);
    free(text.at);
}

/* 2^20 labels are classes; one more are real numbers, or an error. */
static void test_too_many_classes_are_real_numbers(void **state) {
    enum { MOST = 1 << 20 };
    (void)state;
    sw_svmlight_options o = {.size = sizeof o, .columns = 1};
    bytes text = make_bytes((size_t)(MOST + 2) * 10);
    text.size = 0;
    for (int i = 0; i < MOST; i++)
        text.size += (size_t)sprintf((char *)text.at + text.size, "%d\n", i);
    sw_svmlight *d = open_bytes(text.at, text.size, &o);
    assert_int_equal(d->classes, MOST);
    assert_true(d->ids[MOST - 1] == MOST - 1);
    sw_svmlight_free(d);
    text.size += (size_t)sprintf((char *)text.at + text.size, "-1\n3\n");
    d = open_bytes(text.at, text.size, &o);
    assert_int_equal(d->classes, 0);
    assert_null(d->ids);
    assert_true(d->y[MOST] == -1 && d->y[MOST + 1] == 3);
    sw_svmlight_free(d);
    o.target = SW_SVMLIGHT_CLASS_IDS;
    const char *path = write_file("train.svm", text.at, text.size);
    count_memory(-1);
    assert_null(sw_svmlight_load(path, &o));
    check_memory();
    check_error(SW_ERR_FORMAT, path,
                "line 1048577: more than 1048576 different classes (SW_SVMLIGHT_REAL is for real targets)");
    remove_file(path);
    free(text.at);
}

/* The test set lacks a class, an index 0 and the last column. */
static void test_test_set_takes_classes_of_the_training_set(void **state) {
    (void)state;
    sw_svmlight *train = open_text("3 0:1 4:1\n1 1:1\n2\n", NULL);
    sw_svmlight_options o = {.size = sizeof o, .like = train};
    sw_svmlight *test = open_text("3 1:1 2:5\n1\n", &o);
    check_matrix(&test->x, 2, 5, I64(0, 2, 2), I32(1, 2), F64(1, 5));
    assert_int_equal(test->base, 0);
    check_classes(test, 3, F64(1, 2, 3), I32(2, 0));
    check_message("1 1:1\n4 1:1\n", &o, SW_ERR_FORMAT,
                  "line 2: class 4 is not one of the classes of `like`, which are 3 (SW_SVMLIGHT_REAL is for real "
                  "targets)");
    check_message("1.5 1:1\n", &o, SW_ERR_FORMAT,
                  "line 1: class '1.5' is not a whole number (SW_SVMLIGHT_REAL is for real targets)");
    check_message("1 1:1 5:1\n", &o, SW_ERR_FORMAT,
                  "line 1: index 5, but there are 5 columns, 0 to 4 (option columns)");
    o.target = SW_SVMLIGHT_REAL;
    sw_svmlight *real = open_text("4.5 1:1\n", &o);
    assert_true(real->y[0] == 4.5 && real->classes == 0);
    sw_svmlight_free(train); /* the others do not need it */
    o.like = real;
    o.target = SW_SVMLIGHT_CLASS_IDS;
    assert_null(sw_svmlight_load("train.svm", &o));
    check_error(SW_ERR_ARGUMENT, "svmlight: ", "target is SW_SVMLIGHT_CLASS_IDS, but `like` has no classes");
    o.target = SW_SVMLIGHT_TARGET_AUTO;
    sw_svmlight *also_real = open_text("4 1:1\n", &o);
    assert_true(also_real->y[0] == 4 && also_real->classes == 0 && also_real->x.columns == 5);
    check_classes(test, 3, F64(1, 2, 3), I32(2, 0));
    sw_svmlight_free(also_real);
    sw_svmlight_free(real);
    sw_svmlight_free(test);
}

/* ---- Numbers ---- */

/* Against glibc's strtod in the C locale, which rounds correctly, bit by bit; in f32 its double, rounded. */
static void test_numbers_are_rounded_correctly(void **state) {
    enum { N = 4000 };
    (void)state;
    bytes text = make_bytes(N * 64);
    static double expected[N], rounded[N];
    static int32_t index[N];
    uint64_t seed = 5;
    text.size = (size_t)sprintf((char *)text.at, "1");
    for (int i = 0; i < N; i++) {
        char number[48];
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const int digits = (int)(seed % 20), power = (int)(seed >> 33) % 80 - 45;
        snprintf(number, sizeof number, "%.*fe%d", digits, (double)(seed >> 11) * 0x1p-53, power);
        expected[i] = strtod(number, NULL);
        rounded[i] = (double)(float)expected[i];
        index[i] = i;
        text.size += (size_t)sprintf((char *)text.at + text.size, " %d:%s", i + 1, number);
    }
    for (int type = 0; type < 2; type++) {
        sw_svmlight_options o = {.size = sizeof o, .type = type ? SW_F64 : SW_F32};
        sw_svmlight *d = open_bytes(text.at, text.size, &o);
        check_matrix(&d->x, 1, N, I64(0, N), index, type ? expected : rounded);
        sw_svmlight_free(d);
    }
    free(text.at);
}

static void test_numbers_do_not_depend_on_the_locale(void **state) {
    assert_int_equal(comma_begin(state), 0);
    sw_svmlight_options o = {.size = sizeof o, .type = SW_F64};
    sw_svmlight *d = open_text("1.5 1:2.00000000000000000000000001 2:0.25\n", &o);
    assert_int_equal(comma_end(state), 0);
    check_matrix(&d->x, 1, 2, I64(0, 2), I32(0, 1), F64(2, 0.25));
    assert_true(d->y[0] == 1.5);
    sw_svmlight_free(d);
}

static void test_numbers_that_are_not_finite_are_refused(void **state) {
    (void)state;
    sw_svmlight_options o = {.size = sizeof o, .allow_nonfinite = true};
    refuses("1 1:1\n1 1:nan\n", "line 2: index 1: 'nan' is not finite (option allow_nonfinite)");
    refuses("1 1:1 3:-INF\n", "line 1: index 3: '-INF' is not finite (option allow_nonfinite)");
    refuses("nan 1:1\n", "line 1: target: 'nan' is not finite (option allow_nonfinite)");
    refuses("1 1:1e999\n", "line 1: index 1: '1e999' is too large");
    refuses("-1e999 1:1\n", "line 1: target: '-1e999' is too large");
    refuses("1 1:3.5e38\n", "line 1: index 1: '3.5e38' is too large for f32 (option type)");
    check_message("1 1:-1e39\n", &o, SW_ERR_FORMAT, "line 1: index 1: '-1e39' is too large for f32 (option type)");
    check_message("1 1:1e999\n", &o, SW_ERR_FORMAT, "line 1: index 1: '1e999' is too large");
    for (int type = 0; type < 2; type++) {
        o.type = type ? SW_F64 : SW_F32;
        sw_svmlight *d = open_text("1 1:nan 2:-inf 3:Infinity\ninf\n", &o);
        assert_true(isnan(value_at(&d->x, 0)) && value_at(&d->x, 1) < 0 && isinf(value_at(&d->x, 1)));
        assert_true(isinf(value_at(&d->x, 2)) && isinf(d->y[1]) && d->classes == 0);
        sw_svmlight_free(d);
    }
    o.type = SW_F64;
    sw_svmlight *d = open_text("1 1:1e39 2:1.7976931348623157e308\n", &o);
    check_matrix(&d->x, 1, 2, I64(0, 2), I32(0, 1), F64(1e39, 1.7976931348623157e308));
    sw_svmlight_free(d);
}

/* ---- Scaling ---- */

static void test_scaling_by_largest_absolute_values_is_exact(void **state) {
    (void)state;
    for (int type = 0; type < 2; type++) {
        const sw_svmlight_options o = {.size = sizeof o, .type = type ? SW_F64 : SW_F32, .columns = 5};
        sw_svmlight *d = open_text("1 1:3 2:-8 5:0\n1 1:-4.5\n1 2:2 3:0.1\n", &o);
        double max[5], again[5];
        const double tenth = type ? 0.1 : (double)0.1f;
        assert_int_equal(sw_svmlight_max_abs(d, max), SW_OK);
        assert_memory_equal(max, F64(4.5, 8, tenth, 0, 0), sizeof max);
        assert_int_equal(sw_svmlight_scale(d, max), SW_OK);
        const double third = type ? 3 / 4.5 : (double)(float)(3 / 4.5);
        check_matrix(&d->x, 3, 5, I64(0, 3, 4, 6), I32(0, 1, 4, 0, 1, 2), F64(third, -1, 0, -1, 0.25, 1));
        assert_int_equal(sw_svmlight_max_abs(d, again), SW_OK);
        assert_memory_equal(again, F64(1, 1, 1, 0, 0), sizeof again);
        sw_svmlight_free(d);
    }
}

static void test_scaling_by_wrong_factors_is_refused(void **state) {
    (void)state;
    sw_svmlight *d = open_text("1 1:3 2:1e38\n", NULL);
    double by[2] = {2, -1};
    assert_int_equal(sw_svmlight_scale(d, by), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "svmlight_scale: ", "column 1 is to be divided by -1; a finite number ≥ 0 is needed");
    by[1] = INFINITY;
    assert_int_equal(sw_svmlight_scale(d, by), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "svmlight_scale: ", "column 1 is to be divided by inf");
    by[1] = NAN;
    assert_int_equal(sw_svmlight_scale(d, by), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "svmlight_scale: ", "column 1 is to be divided by ");
    by[1] = 1e-3;
    assert_int_equal(sw_svmlight_scale(d, by), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "svmlight_scale: ", "1e+38 in column 1 divided by 0.001 is too large for f32");
    check_matrix(&d->x, 1, 2, I64(0, 2), I32(0, 1), F64(3, (double)1e38f)); /* nothing was changed */
    assert_int_equal(sw_svmlight_scale(NULL, by), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "svmlight_scale: ", "the data are NULL");
    assert_int_equal(sw_svmlight_scale(d, NULL), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "svmlight_scale: ", "by is NULL");
    assert_int_equal(sw_svmlight_max_abs(NULL, by), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "svmlight_max_abs: ", "the data are NULL");
    assert_int_equal(sw_svmlight_max_abs(d, NULL), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "svmlight_max_abs: ", "max is NULL");
    sw_svmlight_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_agree_with_scikit_learn),
        cmocka_unit_test(test_rows_are_read_with_defaults),
        cmocka_unit_test(test_base_of_the_indices_is_detected),
        cmocka_unit_test(test_indices_beyond_the_columns_are_refused),
        cmocka_unit_test(test_rows_without_numbers_are_read),
        cmocka_unit_test(test_comments_and_blank_lines_are_skipped),
        cmocka_unit_test(test_classes_and_real_targets_are_read),
        cmocka_unit_test(test_thousands_of_classes_are_read),
        cmocka_unit_test(test_too_many_classes_are_real_numbers),
        cmocka_unit_test(test_test_set_takes_classes_of_the_training_set),
        cmocka_unit_test(test_numbers_are_rounded_correctly),
        cmocka_unit_test(test_numbers_do_not_depend_on_the_locale),
        cmocka_unit_test(test_numbers_that_are_not_finite_are_refused),
        cmocka_unit_test(test_scaling_by_largest_absolute_values_is_exact),
        cmocka_unit_test(test_scaling_by_wrong_factors_is_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
