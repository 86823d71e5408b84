/* sw_cast: values and gradients between all floating-point types, integers, views, errors. */
#include "support.h"

#include "core/helpers.h"

#include <swale/parallel.h>

enum { N = 5000 }; /* more than one tile */

/* The number that is nearest to `value` among those of the type. */
static double rounded(sw_dtype type, double value) {
    double element = 0;
    sw_number_to_float(type, &element, 0, value);
    return sw_element_to_number(type, &element, 0);
}

static void expect_rounded(const sw_array *to, const sw_array *from) {
    for (int64_t i = 0; i < sw_array_count(from); i++) {
        const double expected = rounded(to->type, test_get(from, i)), found = test_get(to, i);
        if (!(found == expected || (isnan(found) && isnan(expected))))
            fail_msg("%s to %s: %.17g becomes %.17g, not %.17g", sw_dtype_name(from->type), sw_dtype_name(to->type),
                     test_get(from, i), found, expected);
    }
}

/* Numbers of very different sizes: normal, subnormal and too large for f16. */
static sw_array wide_range(sw_dtype type, uint64_t seed) {
    sw_array x = test_array(type, SW_SHAPE(N / 5, 5));
    for (int64_t i = 0; i < N; i++)
        test_set(&x, i, test_uniform(&seed, -1, 1) * exp2(test_uniform(&seed, -30, 18)));
    return x;
}

static void test_values_and_gradients_are_rounded_once(void **state) {
    sw_tape *tape = *state;
    for (int threads = 1; threads <= 4; threads += 3)
        for (int a = 0; a < SW_FLOAT_TYPES; a++)
            for (int b = 0; b < SW_FLOAT_TYPES; b++) {
                const sw_dtype from = (sw_dtype)a, to = (sw_dtype)b;
                sw_set_threads(threads);
                sw_array x = wide_range(from, 3), dy = wide_range(to, 4);
                sw_tensor v = sw_variable(tape, x), y = sw_cast(v, to);
                assert_ok(sw_backward_from(y, dy));
                const sw_array out = sw_value(y), dx = sw_grad(v);
                assert_true(out.type == to && dx.type == from && out.rank == 2 && out.shape[1] == 5);
                assert_int_equal(out.data == x.data, from == to);
                expect_rounded(&out, &x);
                expect_rounded(&dx, &dy);
                sw_tape_reset(tape);
                test_array_free(&x);
                test_array_free(&dy);
            }
    sw_set_threads(1);
}

/* 1 + 2^-11 + 2^-40: above the middle of two f16 numbers, at which it would be if it were rounded to f32 first. The
 * same for bf16, 1 + 2^-8 + 2^-40. */
static void test_f64_is_not_rounded_to_f32_before(void **state) {
    sw_tape *tape = *state;
    double x[2] = {1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-8 + 0x1p-40};
    assert_true((double)(float)x[0] == 1 + 0x1p-11);
    sw_tensor v = sw_input(tape, sw_array_view(x, SW_F64, SW_SHAPE(2)));
    const sw_array f16 = sw_value(sw_cast(v, SW_F16)), bf16 = sw_value(sw_cast(v, SW_BF16));
    assert_true(test_get(&f16, 0) == 1 + 0x1p-10);
    assert_true(test_get(&bf16, 1) == 1 + 0x1p-7);
}

static void test_every_pattern_of_16_bits_survives(void **state) {
    sw_tape *tape = *state;
    enum { ALL = 1 << 16 };
    static uint16_t every[ALL];
    for (int i = 0; i < ALL; i++)
        every[i] = (uint16_t)i;
    for (int h = 0; h < 2; h++)
        for (int wide = SW_F32; wide <= SW_F64; wide++) {
            const sw_dtype type = h ? SW_BF16 : SW_F16;
            sw_tensor x = sw_input(tape, sw_array_view(every, type, SW_SHAPE(ALL)));
            sw_tensor y = sw_cast(x, (sw_dtype)wide);
            const sw_array exact = sw_value(y), again = sw_value(sw_cast(y, type));
            for (int i = 0; i < ALL; i++) {
                const double value = sw_element_to_number(type, every, i), found = test_get(&exact, i);
                assert_true(found == value || (isnan(found) && isnan(value)));
                if (!isnan(value))
                    assert_int_equal(((const uint16_t *)again.data)[i], every[i]);
                else
                    assert_true(isnan(test_get(&again, i)));
            }
            sw_tape_reset(tape);
        }
}

static void test_integers_become_numbers_without_gradient(void **state) {
    sw_tape *tape = *state;
    sw_array ids = test_array(SW_I32, SW_SHAPE(N)), bytes = test_array(SW_U8, SW_SHAPE(N));
    uint64_t seed = 1;
    for (int64_t i = 0; i < N; i++) {
        test_set(&ids, i, (double)(int32_t)(uint32_t)test_random(&seed));
        test_set(&bytes, i, (double)(test_random(&seed) % 256));
    }
    test_set(&ids, 0, INT32_MIN);
    test_set(&ids, 1, INT32_MAX);
    for (int t = 0; t < SW_FLOAT_TYPES; t++) {
        const sw_array a = sw_value(sw_cast(sw_input(tape, ids), (sw_dtype)t)),
                       b = sw_value(sw_cast(sw_input(tape, bytes), (sw_dtype)t));
        assert_true(a.type == (sw_dtype)t && b.type == (sw_dtype)t);
        expect_rounded(&a, &ids);
        expect_rounded(&b, &bytes);
    }
    assert_int_equal(sw_backward(sw_sum(sw_cast(sw_input(tape, ids), SW_F32))), SW_ERR_STATE);
    sw_clear_error();
    test_array_free(&ids);
    test_array_free(&bytes);
}

static void test_small_and_empty_tensors(void **state) {
    sw_tape *tape = *state;
    float one = 1.0625F;
    sw_tensor scalar = sw_cast(sw_variable(tape, sw_array_view(&one, SW_F32, 0, NULL)), SW_BF16);
    assert_true(sw_item(scalar) == 1.0625 && sw_value(scalar).rank == 0);
    assert_ok(sw_backward(scalar));
    const sw_array none = sw_value(sw_cast(sw_empty(tape, SW_F64, SW_SHAPE(0, 3)), SW_F16));
    assert_true(none.type == SW_F16 && none.shape[0] == 0 && none.shape[1] == 3);
    expect_no_error();
}

static void test_other_types_are_refused(void **state) {
    sw_tape *tape = *state;
    sw_tensor x = sw_constant(tape, SW_F32, 1);
    assert_true(sw_is_null(sw_cast(x, SW_I32)));
    expect_error(SW_ERR_TYPE, "cast: to i32; f32, f64, f16 or bf16 is needed");
    assert_true(sw_is_null(sw_cast(x, (sw_dtype)99)));
    expect_error(SW_ERR_TYPE, "cast: to ?; f32, f64, f16 or bf16 is needed");
    assert_true(sw_is_null(sw_cast((sw_tensor){0}, SW_F16)));
    expect_error(SW_ERR_ARGUMENT, "cast: input 0 is a null tensor");
    sw_release(x);
    assert_true(sw_is_null(sw_cast(x, SW_F16)));
    assert_int_equal(sw_error_status(), SW_ERR_STATE);
    sw_clear_error();
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, tape_setup, tape_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_values_and_gradients_are_rounded_once),
        TEST(test_f64_is_not_rounded_to_f32_before),
        TEST(test_every_pattern_of_16_bits_survives),
        TEST(test_integers_become_numbers_without_gradient),
        TEST(test_small_and_empty_tensors),
        TEST(test_other_types_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
