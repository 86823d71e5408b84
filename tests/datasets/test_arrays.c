/* Arrays of the program as a source. */
#include "helpers.h"

static sw_array view(const void *data, sw_dtype type, int rank, const int64_t *shape) {
    return sw_array_view(data, type, rank, shape);
}

/* Samples 2, 0, 2 in both types. */
static void check_gather(const sw_source *s, int64_t width, const double *x) {
    static const int64_t ids[3] = {2, 0, 2};
    double x64[3 * 8];
    float x32[3 * 8];
    assert_true(width <= 8);
    assert_int_equal(sw_source_gather(s, SW_F64, 0, ids, 3, x64, NULL), SW_OK);
    assert_int_equal(sw_source_gather(s, SW_F32, 0, ids, 3, x32, NULL), SW_OK);
    for (int64_t i = 0; i < 3 * width; i++) {
        assert_true(x64[i] == x[ids[i / width] * width + i % width]);
        assert_true(x32[i] == (float)x64[i]);
    }
}

static void test_features_of_every_type_are_read(void **state) {
    static const double x64[6] = {1, -2.5, 0.1, 1e300, 5, 6};
    static const float x32[6] = {1, -2.5f, 0.1f, 1e30f, 5, 6};
    static const int32_t x_i32[6] = {1, -2, 2147483647, -2147483647, 16777217, 0};
    static const unsigned char x_u8[6] = {0, 1, 127, 128, 254, 255};
    /* 1, -2, the least subnormal number, the largest number, ⅓ rounded; 1, 0 in f16 */
    static const uint16_t x_f16[6] = {0x3C00, 0xC000, 0x0001, 0x7BFF, 0x3555, 0},
                          x_bf16[6] = {0x3F80, 0xC000, 0x0001, 0x7F7F, 0x3EAB, 0};
    static const struct {
        const void *data;
        sw_dtype type;
    } all[] = {{x32, SW_F32}, {x64, SW_F64}, {x_i32, SW_I32}, {x_u8, SW_U8}, {x_f16, SW_F16}, {x_bf16, SW_BF16}};
    static const double values_f16[6] = {1, -2, 0x1p-24, 65504, 0x1.554p-2, 0},
                        values_bf16[6] = {1, -2, 0x1p-133, 0x1.FEp127, 0x1.56p-2, 0};
    (void)state;
    for (int k = 0; k < 6; k++) {
        sw_array x = view(all[k].data, all[k].type, SW_SHAPE(3, 1, 2));
        double expected[6];
        for (int i = 0; i < 6; i++)
            expected[i] = k == 0   ? (double)x32[i]
                          : k == 1 ? x64[i]
                          : k == 2 ? x_i32[i]
                          : k == 3 ? x_u8[i]
                          : k == 4 ? values_f16[i]
                                   : values_bf16[i];
        count_memory(-1);
        sw_source *s = sw_arrays(&x, NULL, NULL);
        assert_non_null(s);
        assert_int_equal(s->n, 3);
        assert_int_equal(s->x_rank, 2);
        assert_true(s->x_shape[0] == 1 && s->x_shape[1] == 2);
        assert_int_equal(s->y_rank, -1);
        assert_false(s->costly);
        check_gather(s, 2, expected);
        s->prefetch(s, (int64_t[]){0, 2}, 2);
        sw_source_free(s);
        check_memory();
    }
}

static void test_bytes_are_scaled(void **state) {
    static const unsigned char pixels[3] = {0, 51, 255};
    (void)state;
    sw_array x = view(pixels, SW_U8, SW_SHAPE(3));
    const sw_arrays_options o = {.size = sizeof o, .scale = 1.0 / 255, .shift = -0.5};
    sw_source *s = sw_arrays(&x, NULL, &o);
    double got[3];
    assert_non_null(s);
    assert_int_equal(s->x_rank, 0);
    assert_int_equal(sw_source_gather(s, SW_F64, 0, (int64_t[]){0, 1, 2}, 3, got, NULL), SW_OK);
    for (int i = 0; i < 3; i++)
        assert_true(got[i] == pixels[i] * (1.0 / 255) + -0.5);
    sw_source_free(s);
}

static void test_class_ids_of_two_types_are_read(void **state) {
    static const double numbers[3] = {1, 2, 3};
    static const int32_t ids32[3] = {2, 0, 1};
    static const unsigned char ids8[3] = {2, 0, 1};
    static const char *const names[3] = {"a", "b", "c"};
    (void)state;
    sw_array x = view(numbers, SW_F64, SW_SHAPE(3, 1)),
             y[2] = {view(ids32, SW_I32, SW_SHAPE(3)), view(ids8, SW_U8, SW_SHAPE(3))};
    const sw_arrays_options o = {.size = sizeof o, .classes = 3, .class_names = names};
    for (int k = 0; k < 2; k++) {
        int32_t got[3];
        sw_source *s = sw_arrays(&x, &y[k], &o);
        assert_non_null(s);
        assert_int_equal(s->y_type, SW_I32);
        assert_int_equal(s->y_rank, 0);
        assert_int_equal(s->classes, 3);
        assert_string_equal(s->class_names[2], "c");
        assert_int_equal(sw_source_gather(s, SW_F32, 0, (int64_t[]){2, 1, 0}, 3, NULL, got), SW_OK);
        assert_true(got[0] == 1 && got[1] == 0 && got[2] == 2);
        sw_source_free(s);
    }
}

static void test_real_targets_are_read(void **state) {
    static const double numbers[3] = {1, 2, 3}, targets[6] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6};
    (void)state;
    sw_array x = view(numbers, SW_F64, SW_SHAPE(3, 1)), y = view(targets, SW_F64, SW_SHAPE(3, 2));
    sw_source *s = sw_arrays(&x, &y, NULL);
    float got[2];
    double got64[2];
    const int64_t id = 1;
    assert_non_null(s);
    assert_int_equal(s->y_type, SW_F64);
    assert_int_equal(s->y_rank, 1);
    assert_int_equal(s->y_shape[0], 2);
    assert_int_equal(sw_source_gather(s, SW_F32, 0, &id, 1, NULL, got), SW_OK);
    assert_int_equal(sw_source_gather(s, SW_F64, 0, &id, 1, NULL, got64), SW_OK);
    assert_true(got[0] == 0.3f && got[1] == 0.4f && got64[0] == 0.3 && got64[1] == 0.4);
    sw_source_free(s);
    const uint16_t halves[6] = {0x3C00, 0xC000, 0x3555, 0x0001, 0x7BFF, 0}; /* f16: sample 1 is ⅓ rounded, 2^-24 */
    y = view(halves, SW_F16, SW_SHAPE(3, 2));
    s = sw_arrays(&x, &y, NULL);
    assert_non_null(s);
    assert_int_equal(s->y_type, SW_F64);
    assert_null(s->y_memory); /* which is f32 or f64 */
    assert_int_equal(sw_source_gather(s, SW_F32, 0, &id, 1, NULL, got), SW_OK);
    assert_int_equal(sw_source_gather(s, SW_F64, 0, &id, 1, NULL, got64), SW_OK);
    assert_true(got[0] == 0x1.554p-2f && got[1] == 0x1p-24f && got64[0] == 0x1.554p-2 && got64[1] == 0x1p-24);
    sw_source_free(s);
}

static void test_arrays_are_used_in_place_or_copied(void **state) {
    (void)state;
    for (int copy = 0; copy < 2; copy++) {
        double numbers[3] = {1, 2, 3}, expected[3] = {1, 2, 3};
        int32_t ids[3] = {0, 1, 0}, got;
        sw_array x = view(numbers, SW_F64, SW_SHAPE(3, 1)), y = view(ids, SW_I32, SW_SHAPE(3));
        const sw_arrays_options o = {.size = sizeof o, .classes = 2, .copy = copy};
        count_memory(-1);
        sw_source *s = sw_arrays(&x, &y, &o);
        assert_non_null(s);
        numbers[2] = 7;
        ids[2] = 1;
        expected[2] = copy ? 3 : 7;
        check_gather(s, 1, expected);
        assert_int_equal(sw_source_gather(s, SW_F64, 0, (int64_t[]){2}, 1, NULL, &got), SW_OK);
        assert_int_equal(got, !copy);
        sw_source_free(s);
        check_memory();
    }
}

static void refuses(const sw_array *x, const sw_array *y, const sw_arrays_options *o, sw_status status,
                    const char *message) {
    count_memory(-1);
    assert_null(sw_arrays(x, y, o));
    check_memory();
    assert_string_equal(sw_error(), message);
    assert_int_equal(sw_error_status(), status);
    sw_clear_error();
}

static void test_arrays_refuse_wrong_calls(void **state) {
    static const double numbers[12] = {0};
    static const int32_t ids[3] = {0, 2, -1};
    (void)state;
    const sw_array x = view(numbers, SW_F64, SW_SHAPE(3, 2)), two = view(numbers, SW_F64, SW_SHAPE(2, 1));
    const sw_array none = view(numbers, SW_F64, SW_SHAPE(3, 0)), scalar = view(numbers, SW_F64, 0, NULL);
    const sw_array y = view(ids, SW_I32, SW_SHAPE(3)), matrix = view(ids, SW_I32, SW_SHAPE(3, 1));
    const sw_array first = view(ids, SW_I32, SW_SHAPE(2)), empty = {.rank = 1, .shape = {3}};
    sw_array odd = x;
    odd.type = (sw_dtype)7;
    const sw_arrays_options classes = {.size = sizeof classes, .classes = 3};
    sw_arrays_options o = {.size = sizeof o};
    refuses(NULL, NULL, NULL, SW_ERR_ARGUMENT, "arrays: x is NULL");
    refuses(&empty, NULL, NULL, SW_ERR_ARGUMENT, "arrays: x has no data");
    refuses(&odd, NULL, NULL, SW_ERR_TYPE, "arrays: x has type 7, which is not an element type");
    odd.type = SW_I64;
    refuses(&odd, NULL, NULL, SW_ERR_TYPE, "arrays: x is i64; a floating-point type, i32 or u8 is needed");
    refuses(&scalar, NULL, NULL, SW_ERR_SHAPE, "arrays: x has 0 axes; 1 to 8 are needed, axis 0 for the samples");
    refuses(&none, NULL, NULL, SW_ERR_SHAPE, "arrays: x [3,0] has no elements");
    refuses(&x, NULL, &classes, SW_ERR_ARGUMENT, "arrays: 3 classes, but y is NULL");
    refuses(&x, &two, NULL, SW_ERR_SHAPE, "arrays: x [3,2] and y [2,1] differ in axis 0, the samples");
    refuses(&x, &x, &classes, SW_ERR_TYPE, "arrays: y is f64; class ids are i32 or u8");
    refuses(&x, &matrix, &classes, SW_ERR_SHAPE, "arrays: y [3,1] of class ids is not [n]");
    refuses(&x, &y, &classes, SW_ERR_ARGUMENT,
            "arrays: class -1 of sample 2 is outside 0 to 2 (classes = 0 numbers the labels of the data)");
    o.classes = 2;
    refuses(&two, &first, &o, SW_ERR_ARGUMENT,
            "arrays: class 2 of sample 1 is outside 0 to 1 (classes = 0 numbers the labels of the data)");
    o.class_names = (const char *const[]){"cat", "dog"}; /* the ids are another source's: numbering is no remedy */
    refuses(&two, &first, &o, SW_ERR_ARGUMENT, "arrays: class 2 of sample 1 is outside 0 to 1");
    o.class_names = NULL;
    o.classes = -1;
    refuses(&x, NULL, &o, SW_ERR_ARGUMENT, "arrays: -1 classes");
    o.classes = 0;
    o.scale = 2;
    refuses(&x, NULL, &o, SW_ERR_ARGUMENT,
            "arrays: scale and shift are for u8, and x is f64: wrap the source in sw_normalize");
}

/* Labels are numbered in order of their values, which are the classes' names; the caller's array stays. */
static void test_labels_of_any_value_become_classes(void **state) {
    static const double numbers[5] = {0};
    static const int32_t signs[5] = {1, -1, -1, 1, 1}, far[5] = {1000, 3, -200000, 3 + 256, 3};
    static const unsigned char from_one[5] = {3, 1, 2, 3, 1};
    static const struct {
        const void *y;
        sw_dtype type;
        int classes;
        int32_t ids[5];
        const char *names[4];
    } all[] = {{signs, SW_I32, 2, {1, 0, 0, 1, 1}, {"-1", "1"}},
               {far, SW_I32, 4, {3, 1, 0, 2, 1}, {"-200000", "3", "259", "1000"}},
               {from_one, SW_U8, 3, {2, 0, 1, 2, 0}, {"1", "2", "3"}}};
    (void)state;
    const sw_array x = view(numbers, SW_F64, SW_SHAPE(5, 1));
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        for (int copy = 0; copy < 2; copy++) {
            const sw_array y = view(all[k].y, all[k].type, SW_SHAPE(5));
            const sw_arrays_options o = {.size = sizeof o, .copy = copy};
            int32_t got[5];
            count_memory(-1);
            sw_source *s = sw_arrays(&x, &y, &o);
            assert_non_null(s);
            assert_int_equal(s->classes, all[k].classes);
            assert_int_equal(s->y_type, SW_I32);
            assert_int_equal(sw_source_gather(s, SW_F32, 0, (int64_t[]){0, 1, 2, 3, 4}, 5, NULL, got), SW_OK);
            assert_memory_equal(got, all[k].ids, sizeof got);
            for (int c = 0; c < s->classes; c++)
                assert_string_equal(s->class_names[c], all[k].names[c]);
            sw_source_free(s);
            check_memory();
        }
}

/* In x and in y, of every floating-point type, at the first place, beyond the first block that is scanned, and at the
 * last. */
static void test_numbers_that_are_not_finite_are_refused(void **state) {
    enum { N = 700, WIDTH = 3, COUNT = N * WIDTH };
    static const int places[3] = {0, 1500, COUNT - 1};
    static const char *const names[3] = {"nan", "inf", "-inf"};
    static double x64[COUNT], zeros[N];
    static float x32[COUNT];
    static uint16_t x16[COUNT];
    static const sw_dtype types[4] = {SW_F32, SW_F64, SW_F16, SW_BF16};
    const double values[3] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    (void)state;
    for (int type = 0; type < 4; type++)
        for (int i = 0; i < 3; i++) {
            const int at = places[i];
            const void *data = type == 0 ? (void *)x32 : type == 1 ? (void *)x64 : x16;
            const sw_array wrong = view(data, types[type], SW_SHAPE(N, WIDTH)),
                           right = view(zeros, SW_F64, SW_SHAPE(N, 1));
            char text[160];
            x64[at] = values[i];
            x32[at] = (float)values[i];
            if (type > 1)
                sw_number_to_float(types[type], x16, at, values[i]);
            for (int y = 0; y < 2; y++) {
                snprintf(text, sizeof text,
                         "arrays: %s of sample %d, column %d: %s is not finite (option allow_nonfinite)", y ? "y" : "x",
                         at / WIDTH, at % WIDTH, names[i]);
                refuses(y ? &right : &wrong, y ? &wrong : NULL, NULL, SW_ERR_ARGUMENT, text);
            }
            const sw_arrays_options o = {.size = sizeof o, .allow_nonfinite = true};
            sw_source *s = sw_arrays(&wrong, &wrong, &o);
            assert_non_null(s);
            sw_source_free(s);
            x64[at] = 0;
            x32[at] = 0;
            x16[at] = 0;
            s = sw_arrays(&wrong, &wrong, NULL);
            assert_non_null(s);
            sw_source_free(s);
        }
}

/* A program that was compiled before the last option was added. */
static void test_options_of_an_older_program_are_taken(void **state) {
    static const double numbers[1] = {(double)INFINITY};
    (void)state;
    const sw_array x = view(numbers, SW_F64, SW_SHAPE(1, 1));
    const sw_arrays_options o = {.size = offsetof(sw_arrays_options, allow_nonfinite), .allow_nonfinite = true};
    refuses(&x, NULL, &o, SW_ERR_ARGUMENT,
            "arrays: x of sample 0, column 0: inf is not finite (option allow_nonfinite)");
}

static void test_arrays_survive_every_failed_allocation(void **state) {
    static const double numbers[3] = {0};
    (void)state;
    const sw_array x = view(numbers, SW_F64, SW_SHAPE(3, 1)), y = view(numbers, SW_F64, SW_SHAPE(3, 1));
    const sw_arrays_options o = {.size = sizeof o, .copy = true};
    sw_source *s = NULL;
    static const int32_t labels[3] = {7, 8, 9};
    const sw_array numbered = view(labels, SW_I32, SW_SHAPE(3));
    for (int64_t k = 0; !s; k++) {
        count_memory(k);
        s = sw_arrays(&x, &numbered, NULL);
        if (!s)
            check_error(SW_ERR_MEMORY, "out of memory", NULL);
        sw_source_free(s);
        check_memory();
        assert_true(k < 20);
    }
    s = NULL;
    for (int64_t k = 0; !s; k++) {
        count_memory(k);
        s = sw_arrays(&x, &y, &o);
        if (!s)
            check_error(SW_ERR_MEMORY, "out of memory", NULL);
        sw_source_free(s);
        check_memory();
        assert_true(s ? k == 3 : k < 3);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_features_of_every_type_are_read),
        cmocka_unit_test(test_bytes_are_scaled),
        cmocka_unit_test(test_class_ids_of_two_types_are_read),
        cmocka_unit_test(test_real_targets_are_read),
        cmocka_unit_test(test_arrays_are_used_in_place_or_copied),
        cmocka_unit_test(test_labels_of_any_value_become_classes),
        cmocka_unit_test(test_numbers_that_are_not_finite_are_refused),
        cmocka_unit_test(test_options_of_an_older_program_are_taken),
        cmocka_unit_test(test_arrays_refuse_wrong_calls),
        cmocka_unit_test(test_arrays_survive_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
