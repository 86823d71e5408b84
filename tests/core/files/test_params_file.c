/* Parameters saved and loaded: equal numbers give equal files; files of Python's package can be read; element types and
 * tied names are converted; one message reports every mismatch; and a failed load changes nothing. */
#define _GNU_SOURCE
#include "json_memory.h"

#include "files.h"

#include "golden/package_files.h"

#include <fcntl.h>

/* embedding.weight [5,3], head.weight tied to it, head.bias [5]. */
static sw_params *tied_params(sw_dtype type, uint64_t seed) {
    sw_params *p = sw_params_new(type, seed);
    sw_param *weight = sw_params_add(p, "embedding.weight", 2, (int64_t[]){5, 3}, NULL);
    sw_params_add(p, "head.bias", 1, (int64_t[]){5}, NULL);
    sw_params_tie(p, "head.weight", weight);
    assert_int_equal(sw_params_build(p), SW_OK);
    return p;
}

static sw_params *plain_params(sw_dtype type, int count, const char *const *names, int64_t length) {
    sw_params *p = sw_params_new(type, 1);
    for (int i = 0; i < count; i++)
        assert_non_null(sw_params_add(p, names[i], length < 0 ? 0 : 1, &length, NULL));
    assert_int_equal(sw_params_build(p), SW_OK);
    return p;
}

static void fill(sw_params *p, double first) {
    for (int64_t i = 0; i < sw_params_dim(p); i++) {
        if (sw_params_type(p) == SW_F32)
            ((float *)sw_params_x(p))[i] = (float)(first + (double)i / 8);
        else
            ((double *)sw_params_x(p))[i] = first + (double)i / 8;
    }
}

static double value(const sw_params *p, int64_t i) {
    return sw_params_type(p) == SW_F32 ? (double)((float *)sw_params_x(p))[i] : ((double *)sw_params_x(p))[i];
}

/* torch's save_model writes this file for the same network, and its numbers come back. */
static void test_python_package_saves_the_same_bytes(void **state) {
    (void)state;
    const char *path = write_file("tied", golden_tied, sizeof golden_tied), *again = path_of("again");
    for (int f64 = 0; f64 < 2; f64++) {
        sw_params *p = tied_params(f64 ? SW_F64 : SW_F32, 1);
        assert_int_equal(sw_params_load(p, path), SW_OK);
        for (int i = 0; i < 20; i++)
            assert_true(value(p, i) == (i < 15 ? i / 8.0 : 15 - i));
        assert_int_equal(sw_params_save(p, again), SW_OK);
        if (!f64)
            check_file(again, golden_tied, sizeof golden_tied);
        sw_params *q = tied_params(SW_F64, 2);
        assert_int_equal(sw_params_load(q, again), SW_OK);
        for (int i = 0; i < 20; i++)
            assert_true(value(q, i) == value(p, i));
        sw_params_free(q);
        sw_params_free(p);
    }
    expect_no_error();
    remove_file(again);
    remove_file(path);
}

/* Other seeds and orders of declaration, another history: equal numbers, equal files. */
static void test_equal_numbers_give_equal_files(void **state) {
    (void)state;
    static const char *const forwards[] = {"a", "b", "c"}, *const backwards[] = {"c", "b", "a"};
    sw_params *p = plain_params(SW_F64, 3, forwards, 4), *q = plain_params(SW_F64, 3, backwards, 4);
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 4; i++) {
            ((double *)sw_params_x(p))[4 * k + i] = 10 * k + i;
            ((double *)sw_params_x(q))[4 * (2 - k) + i] = 10 * k + i;
        }
    const char *one = path_of("one"), *two = path_of("two");
    assert_int_equal(sw_params_save(p, one), SW_OK);
    assert_int_equal(sw_params_load(p, one), SW_OK);
    assert_int_equal(sw_params_save(q, two), SW_OK);
    bytes b = read_file(one);
    check_file(two, b.at, b.size);
    free(b.at);
    remove_file(one);
    remove_file(two);
    sw_params_free(p);
    sw_params_free(q);
    expect_no_error();
}

/* An archive with one array under each of the names, in turn from `x`. */
static const char *archive_of(int count, const char *const *names, sw_dtype type, int64_t length, const void *x) {
    const char *path = path_of("made");
    sw_archive *a = sw_archive_new();
    for (int i = 0; i < count; i++)
        sw_archive_put(
            a, names[i],
            sw_array_view((const char *)x + (size_t)i * (size_t)(length < 0 ? 1 : length) * sw_dtype_size(type), type,
                          length < 0 ? 0 : 1, &length));
    assert_int_equal(sw_archive_save(a, path), SW_OK);
    sw_archive_free(a);
    return path;
}

static void expect_misfit(sw_params *p, const char *path, const char *faults) {
    char text[PATH_SIZE + 4000];
    const int64_t dim = sw_params_dim(p);
    const size_t size = (size_t)dim * sw_dtype_size(sw_params_type(p));
    bytes before = make_bytes(size);
    memcpy(before.at, sw_params_x(p), size);
    assert_int_equal(sw_params_load(p, path), SW_ERR_FORMAT);
    snprintf(text, sizeof text, "%s: does not fit the parameters: %s", path, faults);
    expect_error(SW_ERR_FORMAT, text);
    assert_memory_equal(before.at, sw_params_x(p), size);
    free(before.at);
}

static void test_params_are_loaded_from_other_element_types(void **state) {
    (void)state;
    static const char *const names[] = {"a", "b"};
    static const double exact[4] = {0.1, -1e30, INFINITY, 3};
    sw_params *p = plain_params(SW_F32, 2, names, 2), *q = plain_params(SW_F64, 2, names, 2);
    const char *path = archive_of(2, names, SW_F64, 2, exact);
    assert_int_equal(sw_params_load(p, path), SW_OK);
    assert_int_equal(sw_params_load(q, path), SW_OK);
    for (int i = 0; i < 4; i++) {
        assert_true(((float *)sw_params_x(p))[i] == (float)exact[i]);
        assert_true(((double *)sw_params_x(q))[i] == exact[i]);
    }
    static const double large[4] = {0, 1, 1e39, 2};
    path = archive_of(2, names, SW_F64, 2, large);
    expect_misfit(p, path, "b holds 1e+39, which is beyond f32");
    assert_int_equal(sw_params_load(q, path), SW_OK);
    static const int32_t whole[4] = {1, 2, 3, 4};
    path = archive_of(2, names, SW_I32, 2, whole);
    expect_misfit(p, path,
                  "a is of type I32 in the file; F64, F32, F16 or BF16 is needed; "
                  "b is of type I32 in the file; F64, F32, F16 or BF16 is needed");
    remove_file(path);
    sw_params_free(p);
    sw_params_free(q);
    path = write_file("kinds", golden_kinds, sizeof golden_kinds); /* halves, of which only two are asked for */
    sw_archive *a = sw_archive_load(path), *two = sw_archive_new();
    sw_archive_put(two, "m.f16", sw_archive_get(a, "f16"));
    sw_archive_put(two, "m.bf16", sw_archive_get(a, "bf16"));
    q = sw_params_new(SW_F64, 1);
    sw_params_add(q, "bf16", 2, (int64_t[]){2, 3}, NULL);
    sw_params_add(q, "f16", 2, (int64_t[]){2, 3}, NULL);
    assert_int_equal(sw_params_build(q), SW_OK);
    assert_int_equal(sw_params_unpack(q, two, "m."), SW_OK);
    for (int i = 0; i < 12; i++)
        assert_true(value(q, i) == i % 6 - 1.5);
    sw_params_free(q);
    sw_archive_free(a);
    sw_archive_free(two);
    remove_file(path);
    expect_no_error();
}

static void test_every_mismatch_is_in_one_message(void **state) {
    (void)state;
    static const char *const mine[] = {"a", "b", "c", "d"}, *const theirs[] = {"a", "e", "c", "f"};
    static const float x[8] = {0};
    sw_params *p = plain_params(SW_F32, 4, mine, 1);
    expect_misfit(p, archive_of(4, theirs, SW_F32, 2, x),
                  "b is missing; d is missing; e is not expected; f is not expected; "
                  "a is [1] here and [2] in the file; c is [1] here and [2] in the file");
    expect_misfit(p, archive_of(0, theirs, SW_F32, 2, x), "a is missing; b is missing; c is missing; d is missing");
    sw_params_free(p);
    /* All there, under other names. */
    static const char *const module[] = {"module.a", "module.b", "count"};
    p = plain_params(SW_F32, 2, mine, 1);
    const char *path = archive_of(3, module, SW_F32, 1, x);
    char text[PATH_SIZE + 400];
    snprintf(text, sizeof text,
             "%s: has the parameters under names that begin with \"module.\": sw_params_unpack "
             "takes such a prefix, and sw_optim_load an optimizer's state",
             path);
    assert_int_equal(sw_params_load(p, path), SW_ERR_FORMAT);
    expect_error(SW_ERR_FORMAT, text);
    sw_params_free(p);
    p = plain_params(SW_F32, 3, mine, 1);
    expect_misfit(p, path,
                  "a is missing; b is missing; c is missing; count is not expected; "
                  "module.a is not expected; module.b is not expected");
    sw_params_free(p);
    /* No prefix where one name fits, or where a name only ends alike. */
    static const char *const half[] = {"ema.a", "ema.b", "a"}, *const alike[] = {"ra", "rb"};
    p = plain_params(SW_F32, 2, mine, 1);
    expect_misfit(p, archive_of(3, half, SW_F32, 2, x),
                  "b is missing; ema.a is not expected; ema.b is not expected; "
                  "a is [1] here and [2] in the file");
    expect_misfit(p, archive_of(2, alike, SW_F32, 1, x),
                  "a is missing; b is missing; ra is not expected; rb is not "
                  "expected");
    sw_params_free(p);
    archive_of(0, theirs, SW_F32, 2, x);
    enum { MANY = 300 };
    static char name[MANY][16];
    const char *names[MANY];
    for (int i = 0; i < MANY; i++) {
        snprintf(name[i], sizeof name[i], "layer%d.weight", i);
        names[i] = name[i];
    }
    p = plain_params(SW_F32, MANY, names, 1);
    path = path_of("made");
    assert_int_equal(sw_params_load(p, path), SW_ERR_FORMAT);
    assert_true(strlen(sw_error()) < 3000);
    int told = 0, more = 0;
    for (const char *at = sw_error(); (at = strstr(at, " is missing")); at++)
        told++;
    const char *end = strstr(sw_error(), "; … and ");
    assert_non_null(end);
    assert_int_equal(sscanf(end, "; … and %d more", &more), 1);
    assert_int_equal(told + more, MANY);
    assert_true(told >= 50);
    sw_clear_error();
    sw_params_free(p);
    remove_file(path);
}

static void test_tied_names_are_saved_once(void **state) {
    (void)state;
    static const float x[30] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
                                1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    static float other[15];
    const sw_array matrix = sw_array_view(x, SW_F32, SW_SHAPE(5, 3)),
                   twin = sw_array_view(x + 15, SW_F32, SW_SHAPE(5, 3)),
                   differs = sw_array_view(other, SW_F32, SW_SHAPE(5, 3)), bias = sw_array_view(x, SW_F32, SW_SHAPE(5));
    const char *path = path_of("tied");
    const struct {
        const char *name[2], *alias, *of, *faults;
        const sw_array *array[2];
    } cases[] = {
        {{"embedding.weight"}, NULL, NULL, NULL, {&matrix}},
        {{"head.weight"}, NULL, NULL, NULL, {&matrix}}, /* under the other name alone */
        {{"head.weight", "embedding.weight"}, NULL, NULL, NULL, {&matrix, &twin}},
        {{"shared"}, "head.weight", "shared", NULL, {&matrix}}, /* a name that only the text knows */
        {{"shared"}, "wte", "shared", "embedding.weight is missing; shared is not expected", {&matrix}},
        {{"head.weight", "embedding.weight"},
         NULL,
         NULL,
         "embedding.weight and head.weight are tied here and differ in the file",
         {&matrix, &differs}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sw_archive *a = sw_archive_new();
        for (int k = 0; k < 2 && cases[i].name[k]; k++)
            sw_archive_put(a, cases[i].name[k], *cases[i].array[k]);
        sw_archive_put(a, "head.bias", bias);
        if (cases[i].alias)
            sw_archive_set_text(a, cases[i].alias, cases[i].of);
        assert_int_equal(sw_archive_save(a, path), SW_OK);
        sw_archive_free(a);
        sw_params *p = tied_params(SW_F32, 1);
        if (cases[i].faults) {
            expect_misfit(p, path, cases[i].faults);
        } else {
            assert_int_equal(sw_params_load(p, path), SW_OK);
            assert_memory_equal(sw_params_x(p), x, 15 * sizeof *x);
        }
        sw_params_free(p);
    }
    static const char *const apart[] = {"a", "b"}, *const one[] = {"a"}; /* tied there, not here */
    sw_archive *a = sw_archive_new();
    sw_params *p = plain_params(SW_F32, 2, apart, 3);
    sw_archive_put(a, one[0], sw_array_view(x, SW_F32, SW_SHAPE(3)));
    sw_archive_set_text(a, "b", "a");
    assert_int_equal(sw_params_unpack(p, a, NULL), SW_OK);
    assert_memory_equal(sw_params_x(p), x, 3 * sizeof *x);
    assert_memory_equal((float *)sw_params_x(p) + 3, x, 3 * sizeof *x);
    sw_archive_free(a);
    sw_params_free(p);
    remove_file(path);
    expect_no_error();
}

/* What was recorded before a load is refused, and a gradient from before is forgotten. */
static void test_load_marks_the_parameters_as_changed(void **state) {
    (void)state;
    static const char *const names[] = {"a"};
    sw_params *p = plain_params(SW_F64, 1, names, 2);
    const char *path = path_of("a");
    assert_int_equal(sw_params_save(p, path), SW_OK);
    sw_tape *tape = sw_tape_new();
    sw_tensor loss = sw_sum(sw_param_use(tape, sw_params_at(p, 0)));
    assert_int_equal(sw_backward(loss), SW_OK);
    assert_false(sw_gradient_is_fresh(sw_params_gradient(p)));
    assert_int_equal(sw_params_load(p, path), SW_OK);
    assert_true(sw_gradient_is_fresh(sw_params_gradient(p)));
    assert_int_equal(sw_backward(loss), SW_ERR_STATE);
    sw_clear_error();
    sw_tape_reset(tape);
    assert_int_equal(sw_backward(sw_sum(sw_param_use(tape, sw_params_at(p, 0)))), SW_OK);
    sw_tape_free(tape);
    sw_params_free(p);
    remove_file(path);
}

static void test_two_models_in_one_file(void **state) {
    (void)state;
    static const char *const names[] = {"w", "b"};
    static const float more[3] = {5, 6, 7};
    sw_params *one = plain_params(SW_F32, 2, names, 4), *two = tied_params(SW_F64, 3);
    const char *path = path_of("both");
    fill(one, 1), fill(two, 100);
    sw_archive *a = sw_archive_new();
    assert_int_equal(sw_params_pack(one, a, "one."), SW_OK);
    assert_int_equal(sw_params_pack(two, a, "two."), SW_OK);
    sw_archive_put(a, "more", sw_array_view(more, SW_F32, SW_SHAPE(3)));
    assert_int_equal(sw_archive_save(a, path), SW_OK);
    sw_archive_free(a);
    fill(one, 0), fill(two, 0);
    a = sw_archive_load(path);
    assert_string_equal(sw_archive_text(a, "two.head.weight"), "two.embedding.weight");
    assert_int_equal(sw_params_unpack(two, a, "two."), SW_OK);
    assert_int_equal(sw_params_unpack(one, a, "one."), SW_OK);
    for (int i = 0; i < 8; i++)
        assert_true(value(one, i) == 1 + i / 8.0);
    for (int i = 0; i < 20; i++)
        assert_true(value(two, i) == 100 + i / 8.0);
    sw_archive_free(a);
    char text[PATH_SIZE + 200];
    assert_int_equal(sw_params_load(one, path), SW_ERR_FORMAT); /* the whole file is another matter */
    snprintf(text, sizeof text,
             "%s: has the parameters under names that begin with \"one.\": sw_params_unpack takes such a prefix, "
             "and sw_optim_load an optimizer's state",
             path);
    expect_error(SW_ERR_FORMAT, text);
    sw_params_free(one);
    sw_params_free(two);
    remove_file(path);
}

static void test_empty_and_scalar_sets_are_saved(void **state) {
    (void)state;
    static const char *const names[] = {"s"};
    const char *path = path_of("odd");
    sw_params *none = plain_params(SW_F32, 0, names, 1), *scalar = plain_params(SW_F64, 1, names, -1),
              *empty = plain_params(SW_F32, 1, names, 0);
    sw_params *sets[3] = {none, scalar, empty};
    *(double *)sw_params_x(scalar) = 0.1;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sw_params_save(sets[i], path), SW_OK);
        assert_int_equal(sw_params_load(sets[i], path), SW_OK);
    }
    assert_true(*(double *)sw_params_x(scalar) == 0.1);
    for (int i = 0; i < 3; i++)
        sw_params_free(sets[i]);
    remove_file(path);
    expect_no_error();
}

static void test_params_file_survives_every_failed_allocation(void **state) {
    (void)state;
    test_allocator memory;
    static const char *const names[] = {"a", "b"};
    const char *path = path_of("memory");
    sw_params *made = plain_params(SW_F64, 2, names, 3);
    fill(made, 7);
    assert_int_equal(sw_params_save(made, path), SW_OK);
    sw_params_free(made);
    bytes file = read_file(path);
    for (int loading = 0; loading < 2; loading++) {
        bool done = false;
        for (long long k = 1; !done; k++) {
            test_all_memory(&memory);
            sw_params *p = plain_params(SW_F64, 2, names, 3);
            fill(p, loading ? 1 : 7);
            test_allocator_fail(&memory, k, false);
            sw_status status = loading ? sw_params_load(p, path) : sw_params_save(p, path);
            done = status == SW_OK;
            assert_int_equal(done, !memory.failed);
            assert_int_equal(status, done ? SW_OK : SW_ERR_MEMORY);
            assert_true(value(p, 0) == (loading && !done ? 1 : 7));
            sw_clear_error();
            sw_params_free(p);
            assert_int_equal(memory.live, 0);
            test_all_memory(NULL);
            check_file(path, file.at, file.size);
            assert_int_equal(count_entries(folder), 1);
        }
    }
    free(file.at);
    remove_file(path);
}

static void test_params_file_refuses_wrong_calls(void **state) {
    (void)state;
    static const char *const names[] = {"a"};
    sw_params *open_set = sw_params_new(SW_F32, 1), *p = plain_params(SW_F32, 1, names, 1);
    assert_int_equal(sw_params_save(NULL, "x"), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "params_save: the parameters are NULL");
    assert_int_equal(sw_params_load(NULL, "x"), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "params_load: the parameters are NULL");
    assert_int_equal(sw_params_save(open_set, "x"), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "params_save: the parameters are not built");
    assert_int_equal(sw_params_load(open_set, "x"), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "params_load: the parameters are not built");
    assert_int_equal(sw_params_save(p, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "archive: the path is NULL");
    assert_int_equal(sw_params_load(p, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "archive: the path is NULL");
    assert_int_equal(sw_params_pack(p, NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "params_pack: the archive is NULL");
    assert_int_equal(sw_params_unpack(p, NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "params_unpack: the archive is NULL");
    sw_archive *a = sw_archive_new();
    assert_int_equal(sw_params_unpack(p, a, NULL), SW_ERR_FORMAT);
    expect_error(SW_ERR_FORMAT, "archive: does not fit the parameters: a is missing");
    assert_int_equal(sw_params_pack(p, a, NULL), SW_OK);
    assert_int_equal(sw_params_pack(p, a, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "archive: there are two arrays a");
    sw_archive_free(a);
    sw_params_free(open_set);
    sw_params_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_python_package_saves_the_same_bytes, test_clear),
        cmocka_unit_test_setup(test_equal_numbers_give_equal_files, test_clear),
        cmocka_unit_test_setup(test_params_are_loaded_from_other_element_types, test_clear),
        cmocka_unit_test_setup(test_every_mismatch_is_in_one_message, test_clear),
        cmocka_unit_test_setup(test_tied_names_are_saved_once, test_clear),
        cmocka_unit_test_setup(test_load_marks_the_parameters_as_changed, test_clear),
        cmocka_unit_test_setup(test_two_models_in_one_file, test_clear),
        cmocka_unit_test_setup(test_empty_and_scalar_sets_are_saved, test_clear),
        cmocka_unit_test_setup(test_params_file_survives_every_failed_allocation, test_clear),
        cmocka_unit_test_setup(test_params_file_refuses_wrong_calls, test_clear),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
