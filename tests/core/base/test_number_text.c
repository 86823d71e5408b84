/* Numbers as text in a locale with a decimal comma: all numbers that are read back, written to a file or printed are
 * the same as in the locale "C". */
#define _GNU_SOURCE
#include "support.h"

#include <swale/extend.h>
#include <swale/nn.h>
#include <swale/optim.h>

#include "comma_locale.h"

#include <locale.h>
#include <pthread.h>

static void test_number_text_has_a_point_in_a_comma_locale(void **state) {
    char text[32], *end;
    (void)state;
    snprintf(text, sizeof text, "%g", 0.5);
    assert_string_equal(text, "0,5"); /* the locale is in force */
    assert_true(sw_parse_number("0.25;", &end) == 0.25 && *end == ';');
    assert_true(sw_parse_number("0,25", &end) == 0 && *end == ',');
    assert_int_equal(sw_format(text, sizeof text, "%.3f|%g", 1234.5, 0.5), 12);
    assert_string_equal(text, "1234.500|0.5");
    sw_fail(SW_ERR_ARGUMENT, "%g is outside [%g, %.2f]", 0.5, 1.5, 2.5);
    expect_error(SW_ERR_ARGUMENT, "0.5 is outside [1.5, 2.50]");
    sw_error_list faults = {0};
    sw_error_list_add(&faults, "%g", 0.5);
    assert_string_equal(sw_error_list_text(&faults), "0.5");
    snprintf(text, sizeof text, "%g", 0.5);
    assert_string_equal(text, "0,5"); /* and the caller's again */
}

/* The shortest of 15 to 17 digits, and the same number again. */
static void test_number_text_reads_back_as_the_same_number(void **state) {
    static const struct {
        double value;
        const char *text;
    } known[] = {{0.1, "0.1"},        {1.0 / 3, "0.3333333333333333"},   {0.1 + 0.2, "0.30000000000000004"},
                 {1e300, "1e+300"},   {5e-324, "4.94065645841247e-324"}, {-2, "-2"},
                 {1234567, "1234567"}};
    char text[32];
    uint64_t seed = 7;
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_string_equal(sw_format_number(known[i].value, text), known[i].text);
    for (int i = 0; i < 20000; i++) {
        const uint64_t bits = test_random(&seed);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value))
            assert_true(sw_parse_number(sw_format_number(value, text), NULL) == value);
    }
    assert_string_equal(sw_format_number((double)INFINITY, text), "inf");
}

/* The locale that was in force comes back: the process's, or one that this thread has set. */
static void test_locale_of_the_thread_is_restored(void **state) {
    (void)state;
    locale_t own = newlocale(LC_ALL_MASK, "C", (locale_t)0), before = uselocale(own);
    void *outer = sw_locale_begin(), *inner = sw_locale_begin();
    sw_locale_end(inner);
    sw_locale_end(outer);
    assert_true(uselocale(before) == own);
    freelocale(own);
    char text[8];
    snprintf(text, sizeof text, "%g", 0.5);
    assert_string_equal(text, "0,5");
}

/* What a function writes to a FILE. */
static char *written(void (*write)(FILE *to, const void *what), const void *what) {
    static char *text;
    static size_t size;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    write(to, what);
    assert_int_equal(fclose(to), 0);
    return text;
}

static void write_list(FILE *to, const void *what) {
    (void)what;
    sw_optim_list(to);
}

static void write_model(FILE *to, const void *model) {
    sw_model_print(model, to);
}

static void write_array(FILE *to, const void *array) {
    sw_array_print(array, to);
}

static void write_tape(FILE *to, const void *tape) {
    assert_int_equal(sw_tape_dot(tape, to), SW_OK);
}

static void check_same(void (*write)(FILE *to, const void *what), const void *what, const char *part) {
    char *comma = written(write, what);
    setlocale(LC_NUMERIC, "C");
    char *point = written(write, what);
    setlocale(LC_NUMERIC, "comma");
    assert_string_equal(comma, point);
    assert_non_null(strstr(point, part));
    free(comma);
    free(point);
}

static void test_printed_text_is_the_same_in_a_comma_locale(void **state) {
    static const double numbers[3] = {0.5, 1234.25, -1e-9};
    (void)state;
    const sw_array array = sw_array_view(numbers, SW_F64, SW_SHAPE(3));
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_model_build(model, sw_nn_sequential(model, sw_nn_linear(model, 2, 2), sw_nn_dropout(model, 0.25), NULL));
    expect_no_error();
    sw_tape *tape = sw_tape_new();
    sw_input(tape, array);
    check_same(write_list, NULL, "lr=0.001");
    check_same(write_model, model, "dropout 0.25");
    check_same(write_array, &array, "5.0000e-01");
    check_same(write_tape, tape, "from -1e-09 to 1234");
    sw_tape_free(tape);
    sw_model_free(model);
}

/* Specs, their messages, and an optimizer's file, which says what its state means. */
static void test_specs_are_read_and_written_in_a_comma_locale(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_params *params = sw_model_build(model, sw_nn_linear(model, 2, 2));
    expect_no_error();
    sw_optim *optim = sw_optim_new(params, "adamw lr=0.125 weight_decay=2.5e-1");
    expect_no_error();
    assert_non_null(optim);
    sw_optim_free(optim);
    assert_null(sw_optim_new(params, "adamw lr=0,125"));
    expect_error(SW_ERR_ARGUMENT, "adamw: lr=0,125 is not a number");
    assert_null(sw_optim_new(params, "sgd momentum=1.5"));
    assert_non_null(strstr(sw_error(), "momentum=1.5 is outside [0, 1"));
    sw_clear_error();
    sw_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_number_text_has_a_point_in_a_comma_locale, test_clear),
        cmocka_unit_test_setup(test_number_text_reads_back_as_the_same_number, test_clear),
        cmocka_unit_test_setup(test_locale_of_the_thread_is_restored, test_clear),
        cmocka_unit_test_setup(test_printed_text_is_the_same_in_a_comma_locale, test_clear),
        cmocka_unit_test_setup(test_specs_are_read_and_written_in_a_comma_locale, test_clear),
    };
    return cmocka_run_group_tests(tests, comma_begin, comma_end);
}
