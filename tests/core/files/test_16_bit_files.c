/* f16 and bf16 in files: arrays and parameters are rounded as by Python's packages, byte for byte; files of every
 * floating-point type are loaded into parameters of every type; numbers that a type cannot hold are refused; and
 * damaged files change nothing. */
#define _GNU_SOURCE
#include "json_memory.h"

#include "core/params/vector.h"

#include "files.h"
#include "memory_file.h"

#include "golden/package_files.h"

#include <swale/vector.h>

#include <float.h>

static const sw_dtype halves[2] = {SW_F16, SW_BF16};

/* ---- Arrays ---- */

/* Puts x (f32) and y (f64) of the file of the Python package as themselves and rounded to both 16-bit types. */
static sw_archive *rounded_archive(const sw_archive *python) {
    sw_archive *a = sw_archive_new();
    static const char *const names[2] = {"x", "y"};
    for (int i = 0; i < 2; i++) {
        const sw_array array = sw_archive_get(python, names[i]);
        char name[8];
        assert_int_equal(sw_archive_put_as(a, names[i], array, array.type), SW_OK);
        for (int k = 0; k < 2; k++) {
            snprintf(name, sizeof name, "%s.%s", names[i], sw_dtype_name(halves[k]));
            assert_int_equal(sw_archive_put_as(a, name, array, halves[k]), SW_OK);
        }
    }
    return a;
}

static void test_arrays_are_rounded_as_by_python(void **state) {
    (void)state;
    const char *path = write_file("python", golden_rounded, sizeof golden_rounded), *again = path_of("again");
    sw_archive *python = sw_archive_load(path), *a = rounded_archive(python);
    assert_string_equal(sw_archive_at(a, 1).stored, "F16");
    assert_int_equal(sw_archive_get(a, "x.f16").type, SW_F32); /* the array that was put */
    for (int i = 0; i < 2; i++) { /* from numbers in memory, then from the file that was read */
        assert_int_equal(sw_archive_save(i ? python : a, again), SW_OK);
        check_file(again, golden_rounded, sizeof golden_rounded);
    }
    static const char *const names[2][2] = {{"x.f16", "x.bf16"}, {"y.f16", "y.bf16"}};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) {
            const sw_array wide = sw_archive_get(python, i ? "y" : "x"), x = sw_archive_get(python, names[i][k]);
            assert_int_equal(x.type, halves[k]);
            assert_int_equal(sw_array_count(&x), sw_array_count(&wide));
            for (int64_t j = 0; j < sw_array_count(&x); j++) { /* the same rounding as that of the vectors */
                uint16_t expected;
                sw_number_to_float(halves[k], &expected, 0, test_get(&wide, j));
                assert_int_equal(((const uint16_t *)x.data)[j], expected);
            }
        }
    sw_archive_free(a);
    sw_archive_free(python);
    remove_file(again);
    remove_file(path);
    expect_no_error();
}

/* Every number of one type becomes the same number in a wider type, and has the same bits after the conversion back. */
static void test_every_number_is_the_same_in_wider_types(void **state) {
    (void)state;
    enum { ALL = 1 << 16 };
    static uint16_t x[ALL];
    const char *path = path_of("wider"), *back = path_of("back");
    for (int i = 0; i < ALL; i++)
        x[i] = (uint16_t)i;
    for (int k = 0; k < 2; k++) {
        const sw_array array = sw_array_view(x, halves[k], SW_SHAPE(256, 256));
        sw_archive *a = sw_archive_new(), *b = sw_archive_new();
        sw_archive_put_as(a, "f32", array, SW_F32);
        sw_archive_put_as(a, "f64", array, SW_F64);
        assert_int_equal(sw_archive_save(a, path), SW_OK);
        sw_archive *wide = sw_archive_load(path);
        sw_archive_put_as(b, "f32", sw_archive_get(wide, "f32"), halves[k]);
        sw_archive_put_as(b, "f64", sw_archive_get(wide, "f64"), halves[k]);
        assert_int_equal(sw_archive_save(b, back), SW_OK);
        sw_archive *same = sw_archive_load(back);
        for (int w = 0; w < 2; w++) {
            const sw_array y = sw_archive_get(wide, w ? "f64" : "f32"), z = sw_archive_get(same, w ? "f64" : "f32");
            assert_int_equal(y.type, w ? SW_F64 : SW_F32);
            for (int i = 0; i < ALL; i++) {
                const double value = test_get(&y, i);
                if (isnan(sw_element_to_number(halves[k], x, i)))
                    assert_true(isnan(value) && isnan(test_get(&z, i)));
                else
                    assert_true(value == sw_element_to_number(halves[k], x, i) && ((uint16_t *)z.data)[i] == x[i]);
            }
        }
        sw_archive_free(a), sw_archive_free(b), sw_archive_free(wide), sw_archive_free(same);
    }
    remove_file(path);
    remove_file(back);
    expect_no_error();
}

/* The first number of each type that rounds to infinity, and the number before it; in every block of the writer. */
static void test_numbers_that_would_become_infinite_are_not_saved(void **state) {
    (void)state;
    enum { COUNT = 2500 };
    static const struct {
        sw_dtype from, to;
        double beyond, within;
        const char *shown;
    } cases[] = {
        {SW_F32, SW_F16, 65520, 65519.99609375, "65520"},
        {SW_F32, SW_F16, -FLT_MAX, -65504, "-3.40282e+38"},
        {SW_F64, SW_F16, 65520, 65519.9999999999, "65520"},
        {SW_BF16, SW_F16, 65536, 65280, "65536"},
        {SW_F32, SW_BF16, 0x1.FFp127, 0x1.FEFFFEp127, "3.39618e+38"},
        {SW_F64, SW_BF16, -1e39, -0x1.FEFFFFFFFFFFFp127, "-1e+39"},
        {SW_F64, SW_F32, 0x1.FFFFFFp127, 0x1.FFFFFEFFFFFFFp127, "3.40282e+38"},
    };
    static const int at[] = {0, 511, 512, 1023, 1024, COUNT - 1};
    const char *path = write_file("old", "old", 3);
    char text[PATH_SIZE + 200];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < sizeof at / sizeof *at; k++) {
            sw_array x = test_array(cases[i].from, SW_SHAPE(COUNT));
            sw_archive *a = sw_archive_new();
            test_set(&x, 7, INFINITY), test_set(&x, 8, -INFINITY),
                test_set(&x, 9, NAN); /* not beyond: the same there */
            test_set(&x, at[k], cases[i].beyond);
            assert_int_equal(sw_archive_put_as(a, "x", x, cases[i].to), SW_OK);
            assert_int_equal(sw_archive_save(a, path), SW_ERR_NONFINITE);
            snprintf(text, sizeof text, "%s: not saved: element %d of x is %s, too large for %s", path, at[k],
                     cases[i].shown, sw_dtype_name(cases[i].to));
            expect_error(SW_ERR_NONFINITE, text);
            check_file(path, "old", 3);
            assert_int_equal(count_entries(folder), 1);
            test_set(&x, at[k], cases[i].within);
            assert_int_equal(sw_archive_save(a, path), SW_OK);
            sw_archive *b = sw_archive_load(path);
            const sw_array y = sw_archive_get(b, "x");
            assert_true(y.type == cases[i].to && isfinite(test_get(&y, at[k])));
            assert_true(test_get(&y, 7) == INFINITY && test_get(&y, 8) == -INFINITY && isnan(test_get(&y, 9)));
            sw_archive_free(a), sw_archive_free(b);
            test_array_free(&x);
            path = write_file("old", "old", 3);
        }
    remove_file(path);
    expect_no_error();
}

static void test_only_floating_point_types_are_converted(void **state) {
    (void)state;
    static const int32_t ids[2] = {1, 2};
    static const float x[2] = {1, 2};
    sw_archive *a = sw_archive_new();
    const sw_array numbers = sw_array_view(x, SW_F32, SW_SHAPE(2)), whole = sw_array_view(ids, SW_I32, SW_SHAPE(2));
    assert_int_equal(sw_archive_put_as(a, "ids", whole, SW_I32), SW_OK);
    assert_int_equal(sw_archive_put_as(a, "whole", whole, SW_F16), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "archive: whole: an array of type i32 cannot be saved as f16");
    assert_int_equal(sw_archive_put_as(a, "x", numbers, SW_U8), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "archive: x: an array of type f32 cannot be saved as u8");
    assert_int_equal(sw_archive_put_as(a, "x", numbers, (sw_dtype)9), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "archive: x: 9 is not an element type");
    assert_int_equal(sw_archive_put_as(NULL, "x", numbers, SW_F16), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "archive: the archive is NULL");
    assert_int_equal(sw_archive_count(a), 1);
    sw_archive_free(a);
}

/* ---- Parameters ---- */

enum { WEIGHTS = 15, BIASES = 5, DIM = WEIGHTS + BIASES };

/* embedding.weight [5,3], head.weight tied to it, head.bias [5]. */
static sw_params *tied_params(sw_dtype type, sw_dtype storage) {
    sw_params *p = sw_params_new_with_options(
        &(sw_params_options){.size = sizeof(sw_params_options), .type = type, .seed = 1, .storage = storage});
    sw_param *weight = sw_params_add(p, "embedding.weight", SW_SHAPE(5, 3), NULL);
    sw_params_add(p, "head.bias", SW_SHAPE(BIASES), NULL);
    sw_params_tie(p, "head.weight", weight);
    assert_int_equal(sw_params_build(p), SW_OK);
    return p;
}

/* The numbers of golden_sevenths_f32, none of which a 16-bit type holds, except for 0, 1, 2 and -1. */
static float seventh(int i) {
    return i < WEIGHTS ? (float)i / 7 : -(float)(i - WEIGHTS) / 3;
}

/* Parameters that hold these numbers; in f64, numbers that become them if they are rounded. */
static sw_params *sevenths_params(sw_dtype type, sw_dtype storage) {
    sw_params *p = tied_params(type, storage);
    for (int i = 0; i < DIM; i++)
        sw_store_element(type, sw_params_x(p), i, (double)seventh(i));
    sw_params_mark_changed(p);
    return p;
}

static const struct {
    sw_dtype type; /* in the file */
    const unsigned char *file;
    size_t size;
} golden[3] = {{SW_F32, golden_sevenths_f32, sizeof golden_sevenths_f32},
               {SW_F16, golden_sevenths_f16, sizeof golden_sevenths_f16},
               {SW_BF16, golden_sevenths_bf16, sizeof golden_sevenths_bf16}};

static const struct {
    sw_dtype type, storage;
} sets[4] = {{SW_F32, SW_F32}, {SW_F64, SW_F64}, {SW_F32, SW_F16}, {SW_F32, SW_BF16}};

/* torch's save_model writes the same bytes for this model in f32, and after half() and bfloat16(). By default x itself
 * is saved, whatever the storage type. */
static void test_python_saves_the_same_models(void **state) {
    (void)state;
    const char *path = path_of("model");
    for (int k = 0; k < 4; k++) {
        sw_params *p = sevenths_params(sets[k].type, sets[k].storage);
        for (int g = 0; g < 3; g++) {
            const sw_dtype storage = golden[g].type == SW_F32 ? 0 : golden[g].type;
            if (sets[k].type == SW_F64 && storage == 0)
                continue;
            assert_int_equal(sw_params_save_with_options(p, path, &SW_OPTIONS(sw_save_options, .storage = storage)),
                             SW_OK);
            check_file(path, golden[g].file, golden[g].size);
        }
        assert_int_equal(sw_params_save(p, path), SW_OK);
        sw_archive *a = sw_archive_load(path);
        assert_int_equal(sw_archive_get(a, "head.bias").type, sets[k].type);
        sw_archive_free(a);
        sw_params_free(p);
    }
    remove_file(path);
    expect_no_error();
}

/* What the leaf of a parameter holds: x, or its copy in the storage type. */
static void check_leaf(sw_params *p, const char *name) {
    sw_tape *tape = sw_tape_new();
    const sw_param *param = sw_params_find(p, name);
    const sw_array leaf = sw_value(sw_param_use(tape, sw_params_find(p, name))), x = sw_param_value(param);
    assert_int_equal(leaf.type, sw_params_storage(p));
    for (int64_t i = 0; i < param->count; i++) {
        uint64_t expected = 0, bits = 0;
        sw_number_to_float(leaf.type, &expected, 0, test_get(&x, i));
        memcpy(&bits, (const char *)leaf.data + (size_t)i * sw_dtype_size(leaf.type), sw_dtype_size(leaf.type));
        assert_true(bits == expected);
    }
    sw_tape_free(tape);
}

/* x has the numbers of the file exactly, and leaves read them rounded to the storage type. */
static void test_files_of_every_type_are_loaded_into_every_type(void **state) {
    (void)state;
    for (int g = 0; g < 3; g++) {
        const char *path = write_file("model", golden[g].file, golden[g].size);
        for (int k = 0; k < 4; k++) {
            sw_params *p = tied_params(sets[k].type, sets[k].storage);
            const uint64_t version = sw_params_version(p);
            assert_int_equal(sw_params_load(p, path), SW_OK);
            assert_true(sw_params_version(p) > version && sw_gradient_is_fresh(sw_params_gradient(p)));
            for (int i = 0; i < DIM; i++) {
                double expected;
                uint64_t bits = 0;
                sw_number_to_float(golden[g].type, &bits, 0, (double)seventh(i));
                expected = sw_load_element(golden[g].type, &bits, 0);
                assert_true(sw_load_element(sets[k].type, sw_params_x(p), i) == expected);
            }
            check_leaf(p, "embedding.weight");
            check_leaf(p, "head.bias");
            sw_params_free(p);
        }
        remove_file(path);
    }
    expect_no_error();
}

static void test_f64_is_rounded_to_the_masters(void **state) {
    (void)state;
    const char *path = path_of("f64");
    sw_params *wide = tied_params(SW_F64, SW_F64), *p = tied_params(SW_F32, SW_BF16);
    for (int i = 0; i < DIM; i++)
        ((double *)sw_params_x(wide))[i] = 1.0 / (i + 3);
    assert_int_equal(sw_params_save(wide, path), SW_OK);
    assert_int_equal(sw_params_load(p, path), SW_OK);
    for (int i = 0; i < DIM; i++)
        assert_true(((float *)sw_params_x(p))[i] == (float)(1.0 / (i + 3)));
    check_leaf(p, "head.bias");
    sw_params_free(wide), sw_params_free(p);
    remove_file(path);
    expect_no_error();
}

/* Running statistics stay f32 in every file, because their leaves read x. */
static void test_buffers_are_not_rounded(void **state) {
    (void)state;
    const char *path = path_of("buffers");
    sw_params *p[2];
    for (int k = 0; k < 2; k++) {
        p[k] = sw_params_new_with_options(&(sw_params_options){.size = sizeof(sw_params_options), .storage = SW_F16});
        sw_params_add(p[k], "weight", SW_SHAPE(2), NULL);
        sw_params_add(p[k], "mean", SW_SHAPE(2), &SW_OPTIONS(sw_param_options, .buffer = true));
        assert_int_equal(sw_params_build(p[k]), SW_OK);
    }
    static const float x[4] = {0.1f, 0.2f, 1e6f, 0.3f};
    memcpy(sw_params_x(p[0]), x, sizeof x);
    sw_params_mark_changed(p[0]);
    assert_int_equal(sw_params_save_with_options(p[0], path, &SW_OPTIONS(sw_save_options, .storage = SW_F16)), SW_OK);
    sw_archive *a = sw_archive_load(path);
    assert_int_equal(sw_archive_get(a, "weight").type, SW_F16);
    assert_int_equal(sw_archive_get(a, "mean").type, SW_F32);
    sw_archive_free(a);
    assert_int_equal(sw_params_load(p[1], path), SW_OK);
    const float *y = sw_params_x(p[1]);
    for (int i = 0; i < 2; i++)
        assert_true(y[i] == sw_f16_to_f32(sw_f16_from_f32(x[i])) && y[2 + i] == x[2 + i]);
    sw_params_free(p[0]), sw_params_free(p[1]);
    remove_file(path);
    expect_no_error();
}

/* ---- Numbers beyond the storage type ---- */

/* Saves DIM numbers, of which one is `value`, in a type; loads them into parameters of f32 with this storage type. */
static sw_status load_one(sw_params *p, sw_dtype type, int at, double value, const char *path) {
    sw_params *file = tied_params(type, type);
    sw_store_element(type, sw_params_x(file), at, value);
    assert_int_equal(sw_params_save(file, path), SW_OK);
    sw_params_free(file);
    return sw_params_load(p, path);
}

static void test_numbers_beyond_the_storage_type_are_refused(void **state) {
    (void)state;
    static const struct {
        sw_dtype type, storage; /* in the file, of the parameters */
        double value;
        const char *shown, *beyond; /* NULL: it is loaded */
    } cases[] = {
        {SW_F32, SW_F16, 65520, "65520", "f16"},
        {SW_F32, SW_F16, 65519.99609375, NULL, NULL},
        {SW_F64, SW_F16, 65519.9999999, "65520", "f16"}, /* 65520 in x */
        {SW_F64, SW_F16, 65519.996, NULL, NULL},
        {SW_F64, SW_F16, -1e39, "-1e+39", "f32"},
        {SW_F32, SW_BF16, 70000, NULL, NULL},
        {SW_F32, SW_BF16, -FLT_MAX, "-3.40282e+38", "bf16"},
        {SW_F32, SW_F32, FLT_MAX, NULL, NULL},
        {SW_F32, SW_F16, INFINITY, NULL, NULL},
    };
    const char *path = path_of("large");
    char text[PATH_SIZE + 200];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int at = 0; at < DIM; at += DIM - 1) {
            sw_params *p = sevenths_params(SW_F32, cases[i].storage);
            const char *name = at < WEIGHTS ? "embedding.weight" : "head.bias";
            const sw_status status = load_one(p, cases[i].type, at, cases[i].value, path);
            if (!cases[i].shown) {
                assert_int_equal(status, SW_OK);
                assert_true(((float *)sw_params_x(p))[at] == (float)cases[i].value);
                sw_params_free(p);
                continue;
            }
            snprintf(text, sizeof text, "%s: does not fit the parameters: %s holds %s, which is beyond %s", path, name,
                     cases[i].shown, cases[i].beyond);
            expect_error(SW_ERR_FORMAT, text);
            for (int k = 0; k < DIM; k++)
                assert_true(((float *)sw_params_x(p))[k] == seventh(k));
            /* A frozen parameter may be infinite for its leaves, but not in x. */
            sw_param_freeze(sw_params_find(p, name), true);
            assert_int_equal(sw_params_load(p, path), strcmp(cases[i].beyond, "f32") ? SW_OK : SW_ERR_FORMAT);
            sw_clear_error();
            sw_params_free(p);
        }
    remove_file(path);
    expect_no_error();
}

/* ---- Mistakes, damage, no memory ---- */

static void test_wrong_save_options_are_refused(void **state) {
    (void)state;
    sw_params *p = tied_params(SW_F32, SW_F32);
    sw_archive *a = sw_archive_new();
    const char *path = path_of("none");
    char text[200];
    assert_int_equal(sw_params_save_with_options(p, path, &SW_OPTIONS(sw_save_options, .storage = SW_U8)), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "params_pack: options.storage is u8; f16, bf16 or 0 (the type of x) is needed");
    assert_int_equal(sw_params_save_with_options(p, path, &SW_OPTIONS(sw_save_options, .storage = SW_F64)),
                     SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "params_pack: options.storage is f64; f16, bf16 or 0 (the type of x) is needed");
    assert_int_equal(sw_params_pack_with_options(p, a, NULL, &(sw_save_options){.size = 1, .storage = SW_F16}),
                     SW_ERR_ARGUMENT);
    snprintf(text, sizeof text, "params_pack: options.size is 1; sizeof(sw_save_options) is %zu",
             sizeof(sw_save_options));
    expect_error(SW_ERR_ARGUMENT, text);
    assert_int_equal(sw_archive_save(a, path), SW_ERR_STATE); /* the archive is incomplete */
    sw_clear_error();
    ((float *)sw_params_x(p))[WEIGHTS] = 1e6f;
    assert_int_equal(sw_params_save_with_options(p, path, &SW_OPTIONS(sw_save_options, .storage = SW_F16)),
                     SW_ERR_NONFINITE);
    assert_true(strstr(sw_error(), ": not saved: element 0 of head.bias is 1e+06, too large for f16") != NULL);
    sw_clear_error();
    assert_int_equal(access(path, F_OK), -1);
    sw_archive_free(a);
    sw_params_free(p);
}

/* A file is loaded as a whole, or not at all. */
static bool load_damaged(const void *data, size_t size) {
    const char *path = memory_file(data, size);
    sw_params *p = sevenths_params(SW_F32, SW_F16);
    const bool loaded = sw_params_load(p, path) == SW_OK;
    if (!loaded) {
        assert_int_equal(strncmp(sw_error(), path, strlen(path)), 0);
        for (int i = 0; i < DIM; i++)
            assert_true(((float *)sw_params_x(p))[i] == seventh(i));
        sw_clear_error();
    }
    expect_no_error();
    sw_params_free(p);
    return loaded;
}

static void test_damaged_files_change_nothing(void **state) {
    (void)state;
    for (int g = 1; g < 3; g++) {
        bytes copy = make_bytes(golden[g].size);
        memcpy(copy.at, golden[g].file, copy.size);
        assert_true(load_damaged(copy.at, copy.size));
        for (size_t n = 0; n < copy.size; n++)
            assert_false(load_damaged(copy.at, n));
        int loaded = 0;
        for (size_t bit = 0; bit < 8 * copy.size; bit++) {
            copy.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
            loaded += load_damaged(copy.at, copy.size);
            copy.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        /* At least every bit of the numbers, except those that make a bf16 too large for f16, and few others. */
        assert_true(loaded > 16 * DIM / 2 && loaded < 16 * DIM + 200);
        free(copy.at);
    }
}

static void test_saving_and_loading_survive_every_failed_allocation(void **state) {
    (void)state;
    test_allocator memory;
    const char *path = write_file("memory", golden_sevenths_bf16, sizeof golden_sevenths_bf16);
    const sw_save_options options = SW_OPTIONS(sw_save_options, .storage = SW_BF16);
    for (int loading = 0; loading < 2; loading++) {
        bool done = false;
        for (long long k = 1; !done; k++) {
            test_all_memory(&memory);
            sw_params *p = loading ? tied_params(SW_F32, SW_F16) : sevenths_params(SW_F32, SW_F16);
            test_allocator_fail(&memory, k, false);
            sw_status status = loading ? sw_params_load(p, path) : sw_params_save_with_options(p, path, &options);
            done = status == SW_OK;
            assert_int_equal(done, !memory.failed);
            assert_int_equal(status, done ? SW_OK : SW_ERR_MEMORY);
            const float last = ((float *)sw_params_x(p))[DIM - 1];
            assert_true(!loading ? last == seventh(DIM - 1) : done ? last == -1.3359375f : last == 0);
            assert_int_equal(sw_error() == NULL, done);
            sw_clear_error();
            sw_params_free(p);
            assert_int_equal(memory.live, 0);
            test_all_memory(NULL);
            check_file(path, golden_sevenths_bf16, sizeof golden_sevenths_bf16);
            assert_int_equal(count_entries(folder), 1);
        }
    }
    remove_file(path);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_arrays_are_rounded_as_by_python),
        TEST(test_every_number_is_the_same_in_wider_types),
        TEST(test_numbers_that_would_become_infinite_are_not_saved),
        TEST(test_only_floating_point_types_are_converted),
        TEST(test_python_saves_the_same_models),
        TEST(test_files_of_every_type_are_loaded_into_every_type),
        TEST(test_f64_is_rounded_to_the_masters),
        TEST(test_buffers_are_not_rounded),
        TEST(test_numbers_beyond_the_storage_type_are_refused),
        TEST(test_wrong_save_options_are_refused),
        TEST(test_damaged_files_change_nothing),
        TEST(test_saving_and_loading_survive_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
