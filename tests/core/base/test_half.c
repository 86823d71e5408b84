/* f16 and bf16 (half.h): every bit pattern has its value; every number is rounded once, to the nearest number, or to
 * the even one of two equally near; both also while subnormal numbers are flushed; arrays and files of these types. */
#include "support.h"

#include <swale/parallel.h>

typedef struct format {
    sw_dtype type;
    int exponent, fraction, bias; /* bits of the exponent and of the fraction */
} format;
static const format formats[] = {{SW_F16, 5, 10, 15}, {SW_BF16, 8, 7, 127}};
enum { FORMATS = sizeof formats / sizeof *formats, PATTERNS = 1 << 16 };

/* The value of a pattern by the definition of the format; the exponent of all ones is Inf, or NaN with a fraction. */
static double value_of(const format *f, unsigned pattern) {
    const int most = (1 << f->exponent) - 1;
    const int e = (int)(pattern >> f->fraction) & most, fraction = (int)(pattern & ((1u << f->fraction) - 1));
    const double sign = pattern >> 15 ? -1 : 1;
    if (e == most)
        return fraction ? NAN : sign * INFINITY;
    return sign * (e ? ldexp((1 << f->fraction) + fraction, e - f->bias - f->fraction)
                     : ldexp(fraction, 1 - f->bias - f->fraction));
}

/* The pattern without sign that is nearest to |v|, found by bisection: patterns increase with their values. The middle
 * between two neighbors is exact in f64. Infinity counts as the number after the largest. */
static unsigned nearest_pattern(const format *f, double v) {
    const unsigned infinity = ((1u << f->exponent) - 1) << f->fraction;
    const double beyond = ldexp(1, (1 << f->exponent) - 1 - f->bias), size = fabs(v);
    unsigned low = 0, high = infinity;
    if (isinf(v))
        low = infinity;
    while (low < infinity && high - low > 1) {
        const unsigned middle = (low + high) / 2;
        *(value_of(f, middle) <= size ? &low : &high) = middle;
    }
    if (low < infinity) {
        const double next = low + 1 == infinity ? beyond : value_of(f, low + 1), half = (value_of(f, low) + next) / 2;
        if (size > half || (size == half && (low & 1u)))
            low++;
    }
    return low | (signbit(v) ? 0x8000u : 0);
}

static float load(const format *f, uint16_t pattern) {
    return f->type == SW_F16 ? sw_f16_to_f32(pattern) : sw_bf16_to_f32(pattern);
}

static uint16_t store(const format *f, float x) {
    return f->type == SW_F16 ? sw_f16_from_f32(x) : sw_bf16_from_f32(x);
}

static void check_patterns(const format *f) {
    for (unsigned p = 0; p < PATTERNS; p++) {
        const double expected = value_of(f, p);
        const float x = load(f, (uint16_t)p);
        const uint16_t pattern[4] = {(uint16_t)p}; /* room for an element of each type */
        if (isnan(expected)) { /* a NaN stays a NaN, quiet, with its sign and the upper bits of its payload */
            assert_true(isnan(x));
            assert_int_equal(store(f, x), p | 1u << (f->fraction - 1));
            continue;
        }
        assert_true((double)x == expected && !signbit(x) == !signbit(expected));
        assert_int_equal(store(f, x), p);
        assert_true(sw_element_to_number(f->type, pattern, 0) == expected);
        assert_true(sw_load_element(f->type, pattern, 0) == expected);
    }
}

static void test_every_pattern_has_its_value(void **state) {
    (void)state;
    for (int k = 0; k < FORMATS; k++) {
        check_patterns(&formats[k]);
        const unsigned mode = sw_subnormals_flush();
        if (formats[k].type == SW_F16) /* numbers of bf16 below 2^-126 are subnormal in f32 too */
            check_patterns(&formats[k]);
        sw_subnormals_restore(mode);
    }
}

static void check_rounding(const format *f, double v) {
    uint16_t pattern[4] = {0}; /* room for an element of each type */
    assert_int_equal(store(f, (float)v), nearest_pattern(f, (double)(float)v));
    sw_store_element(f->type, pattern, 0, v); /* rounds an f64 once */
    assert_int_equal(pattern[0], nearest_pattern(f, v));
    pattern[0] = 0x1234;
    assert_int_equal(sw_number_to_element("x", f->type, v, pattern), SW_OK);
    assert_int_equal(pattern[0], nearest_pattern(f, v));
}

/* Rounds, between each two neighbors, the middle and the f32 and f64 numbers next to it. If the f64 numbers were
 * rounded to f32 first, they would become the middle, and then the even neighbor on either side. */
static void test_rounding_goes_to_the_nearest(void **state) {
    (void)state;
    uint64_t seed = 1;
    for (int k = 0; k < FORMATS; k++) {
        const format *f = &formats[k];
        const unsigned infinity = ((1u << f->exponent) - 1) << f->fraction;
        for (unsigned p = 0; p < infinity; p++) {
            const double a = value_of(f, p);
            const double b = p + 1 == infinity ? ldexp(1, (1 << f->exponent) - 1 - f->bias) : value_of(f, p + 1);
            const double v[] = {(a + b) / 2,
                                nextafter((a + b) / 2, 0),
                                nextafter((a + b) / 2, INFINITY),
                                (double)nextafterf((float)((a + b) / 2), 0),
                                (double)nextafterf((float)((a + b) / 2), INFINITY),
                                test_uniform(&seed, a, b)};
            for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
                check_rounding(f, v[i]);
                check_rounding(f, -v[i]);
            }
        }
        const double far[] = {0,      -0.0,    1e300,           -1e300, INFINITY, -INFINITY,
                              1e-300, -1e-300, (double)3.4e38f, 65520,  65519};
        for (size_t i = 0; i < sizeof far / sizeof *far; i++)
            check_rounding(f, far[i]);
    }
}

static void test_types_have_sizes_and_names(void **state) {
    (void)state;
    static const struct {
        sw_dtype type, compute;
        size_t size;
        const char *name;
        bool is_float, computed;
    } types[] = {{SW_F32, SW_F32, 4, "f32", true, true},   {SW_F64, SW_F64, 8, "f64", true, true},
                 {SW_F16, SW_F32, 2, "f16", true, false},  {SW_BF16, SW_F32, 2, "bf16", true, false},
                 {SW_I32, SW_I32, 4, "i32", false, false}, {SW_U8, SW_U8, 1, "u8", false, false},
                 {SW_I64, SW_I64, 8, "i64", false, false}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        assert_int_equal(sw_dtype_size(types[i].type), types[i].size);
        assert_string_equal(sw_dtype_name(types[i].type), types[i].name);
        assert_int_equal(sw_dtype_is_float(types[i].type), types[i].is_float);
        assert_int_equal(sw_dtype_is_computed(types[i].type), types[i].computed);
        assert_int_equal(sw_dtype_compute(types[i].type), types[i].compute);
        sw_array a = sw_array_new(types[i].type, SW_SHAPE(3, 5));
        assert_int_equal(sw_array_count(&a), 15);
        assert_true(sw_element_to_number(types[i].type, a.data, 14) == 0);
        sw_array_free(&a);
    }
    for (int type = -1; type <= 7; type += 8) {
        assert_int_equal(sw_dtype_size((sw_dtype)type), 0);
        assert_string_equal(sw_dtype_name((sw_dtype)type), "?");
        assert_false(sw_dtype_is_float((sw_dtype)type) || sw_dtype_is_computed((sw_dtype)type));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_pattern_has_its_value),
                                       cmocka_unit_test(test_rounding_goes_to_the_nearest),
                                       cmocka_unit_test(test_types_have_sizes_and_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
