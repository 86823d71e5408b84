/* sw_pow, sw_pow_tensor and their derivatives: every f32 of some octaves, f64 against long double, exact results,
 * and the special cases of the C standard, on every kernel level of this processor. */
#define _GNU_SOURCE
#include "support.h"

#include <float.h>

#include <swale/extend.h>
#include "levels.h"

enum { CHUNK = 1 << 16 };

typedef struct chunk {
    sw_dtype type;
    int64_t count;
    float x32[CHUNK], y32[CHUNK], d32[CHUNK];
    double x64[CHUNK], y64[CHUNK], d64[CHUNK];
} chunk;

static void set(chunk *c, int64_t i, double x) {
    c->x32[i] = (float)x;
    c->x64[i] = x;
}

static double x_at(const chunk *c, int64_t i) {
    return c->type == SW_F32 ? (double)c->x32[i] : c->x64[i];
}
static double y_at(const chunk *c, int64_t i) {
    return c->type == SW_F32 ? (double)c->y32[i] : c->y64[i];
}
static double d_at(const chunk *c, int64_t i) {
    return c->type == SW_F32 ? (double)c->d32[i] : c->d64[i];
}

/* Value and derivative of the points of the chunk. */
static void run(chunk *c, double exponent) {
    const bool narrow = c->type == SW_F32;
    static float ones32[CHUNK];
    static double ones64[CHUNK];
    for (int i = 0; i < CHUNK; i++)
        ones64[i] = ones32[i] = 1;
    sw_tape *tape = sw_tape_new();
    sw_tensor x =
        sw_variable(tape, sw_array_view(narrow ? (void *)c->x32 : (void *)c->x64, c->type, SW_SHAPE(c->count)));
    sw_tensor y = sw_pow(x, exponent);
    sw_array ones = sw_array_view(narrow ? (void *)ones32 : (void *)ones64, c->type, SW_SHAPE(c->count));
    assert_int_equal(sw_backward_from(y, ones), SW_OK);
    const size_t bytes = (size_t)c->count * sw_dtype_size(c->type);
    memcpy(narrow ? (void *)c->y32 : (void *)c->y64, sw_value(y).data, bytes);
    memcpy(narrow ? (void *)c->d32 : (void *)c->d64, sw_grad(x).data, bytes);
    sw_tape_free(tape);
}

/* |got - exact| in units of the last place of the exact number in the type; within the type's
 * range. */
static double error_in_ulp(sw_dtype type, double got, long double exact) {
    const int digits = type == SW_F32 ? 24 : 53, least = type == SW_F32 ? -149 : -1074;
    int exponent;
    frexpl(exact, &exponent);
    exponent = exponent - digits < least ? least : exponent - digits;
    const long double most = type == SW_F32 ? (long double)FLT_MAX : (long double)DBL_MAX;
    if (isinf(got))
        return fabsl(exact) >= most ? 0 : (double)INFINITY;
    return (double)(fabsl((long double)got - exact) / ldexpl(1, exponent));
}

/* The rounding of a result that is off by 2^-9 of a half ulp at most; twice one for the derivative,
 * a product of the power and the exponent; f64's power has 0.06 ulp before it is rounded
 * (kernel_math.h). */
static const double value_bound[2] = {0.502, 0.56}, derivative_bound[2] = {1.51, 1.63};

static void check(const chunk *c, double exponent, int every) {
    for (int64_t i = 0; i < c->count; i += every) {
        const double x = x_at(c, i);
        const bool narrow = c->type == SW_F32;
        const long double y = narrow ? (long double)pow(x, exponent) : powl((long double)x, (long double)exponent);
        const long double below = (long double)exponent - 1;
        const long double d =
            (long double)exponent * (narrow ? (long double)pow(x, (double)below) : powl((long double)x, below));
        double error = error_in_ulp(c->type, y_at(c, i), y);
        if (!(error <= value_bound[c->type]))
            fail_msg("%s: %.17g^%.17g = %.17g: %.3f ulp", sw_dtype_name(c->type), x, exponent, y_at(c, i), error);
        error = error_in_ulp(c->type, d_at(c, i), d);
        /* A subnormal power has lost digits before it is multiplied by the exponent. */
        const bool subnormal = fabsl(d / (long double)exponent) < (narrow ? 0x1p-125L : 0x1p-1021L);
        if (!(error <= derivative_bound[c->type] + (subnormal ? fabs(exponent) : 0)))
            fail_msg("%s: derivative of x^%.17g at %.17g is %.17g: %.3f ulp", sw_dtype_name(c->type), exponent, x,
                     d_at(c, i), error);
    }
}

/* libm's f64 functions are f32's exact numbers: their error is 2^-29 of f32's ulp. */
static void test_pow_of_every_f32_of_some_octaves_is_within_its_ulp(void **state) {
    (void)state;
    static chunk c = {.type = SW_F32};
    static const double exponents[] = {3, 0.3, -2.5};
    static const float octaves[] = {0.5f, 1, 0x1p20f};
    for (size_t e = 0; e < sizeof exponents / sizeof *exponents; e++)
        for (size_t o = 0; o < sizeof octaves / sizeof *octaves; o++)
            for (uint32_t bits = 0; bits < 1u << 23; bits += CHUNK) {
                c.count = CHUNK;
                for (uint32_t i = 0; i < CHUNK; i++)
                    c.x32[i] = octaves[o] * (1 + (float)(bits + i) * 0x1p-23f);
                run(&c, exponents[e]);
                /* Every value; the derivative, which is the same function again, with every 5th. */
                for (int64_t i = 0; i < CHUNK; i++) {
                    const double y = pow((double)c.x32[i], exponents[e]), unit = ldexp(1, ilogb(y) - 23);
                    if (!(fabs((double)c.y32[i] - y) <= value_bound[SW_F32] * unit))
                        fail_msg("%.9g^%g = %.9g, not %.17g", (double)c.x32[i], exponents[e], (double)c.y32[i], y);
                }
                if (bits % (5 * CHUNK) == 0)
                    check(&c, exponents[e], 1);
            }
}

static const double exponents[] = {3,  -1,  0.5,  1 / 3.0, 0.3, -2.5, 7,      10, -0.75,
                                   20, 100, -300, 1e-3,    1.5, 2.2,  1e-300, 1e9};
enum { EXPONENTS = sizeof exponents / sizeof *exponents };

/* Numbers of all magnitudes and near 1, as far as the result is a number of the type. */
static void spread_points(void) {
    static chunk c;
    uint64_t seed = 5;
    for (int type = SW_F32; type <= SW_F64; type++)
        for (int e = 0; e < EXPONENTS; e++) {
            c.type = (sw_dtype)type;
            c.count = 4096;
            const double most = type == SW_F32 ? 126 : 1021,
                         fits = fmin(most, most / fmax(fabs(exponents[e]), fabs(exponents[e] - 1)));
            for (int64_t i = 0; i < c.count; i++)
                set(&c, i, exp2(test_uniform(&seed, -1, 1) * (i % 4 ? fits : fmin(fits, 1))));
            run(&c, exponents[e]);
            check(&c, exponents[e], 1);
        }
}

static void test_pow_of_all_magnitudes_is_within_its_ulp(void **state) {
    (void)state;
    each_level(spread_points);
}

/* (k/8)^n for |k|^n within the type's digits, and its inverse for powers of two; roots of squares.
 */
static void exact_points(void) {
    static chunk c;
    for (int type = SW_F32; type <= SW_F64; type++) {
        c.type = (sw_dtype)type;
        const double most = type == SW_F32 ? 0x1p24 : 0x1p53;
        for (int n = 1; n <= 53; n++) {
            static double exact[2 * 4096];
            c.count = 0;
            for (int k = -4000; k <= 4000; k++) {
                double product = 1;
                int i = 0;
                for (; i < n && fabs(product) < most; i++)
                    product *= k;
                if (i < n || fabs(product) > most || ldexp(1, -3 * n) < (type == SW_F32 ? 0x1p-120 : 0))
                    continue;
                exact[c.count] = ldexp(product, -3 * n);
                set(&c, c.count++, k / 8.0);
            }
            run(&c, n);
            for (int64_t i = 0; i < c.count; i++)
                if (y_at(&c, i) != exact[i])
                    fail_msg("%s: (%g)^%d = %.17g, not %.17g", sw_dtype_name(c.type), x_at(&c, i), n, y_at(&c, i),
                             exact[i]);
        }
        c.count = 0;
        for (int k = -30; k <= 30; k++)
            set(&c, c.count++, ldexp(1, k));
        run(&c, -3);
        for (int64_t i = 0; i < c.count; i++)
            assert_true(y_at(&c, i) == ldexp(1, -3 * ((int)i - 30)));
        for (c.count = 0; c.count < 4000; c.count++)
            set(&c, c.count, (double)(c.count * c.count));
        run(&c, 0.5);
        for (int64_t i = 0; i < c.count; i++)
            assert_true(y_at(&c, i) == (double)i);
        set(&c, 0, 2);
        c.count = 1;
        run(&c, 3);
        assert_true(y_at(&c, 0) == 8 && d_at(&c, 0) == 12);
    }
}

static void test_pow_gives_exact_results_exactly(void **state) {
    (void)state;
    each_level(exact_points);
}

static bool same(double a, double b) {
    return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b));
}

/* Where C's pow gives 0, 1, ∞ or NaN, so does sw_pow, sign and all; its derivative is exponent ·
 * C's pow(x, exponent - 1), and 0 for the exponent 0, of which x^0 = 1 makes a constant. */
static void corner_points(void) {
    static chunk c;
    const double infinity = (double)INFINITY;
    static const double powers[] = {0,   1,    -1,  2,       -2,    3,      -3,     0.5,           -0.5,
                                    1.5, -1.5, 2.5, 0x1p-30, 1e300, -1e300, 0x1p53, 0x1p64 - 2048, 9007199254740991.0};
    for (int type = SW_F32; type <= SW_F64; type++) {
        const double x[] = {0,    -0.0, infinity, -infinity, (double)NAN, 1,
                            -1,   0.5,  -0.5,     -2,        2,           type == SW_F32 ? 0x1p-149 : 0x1p-1074,
                            -1.5, 1.5,  -1e30,    1e30};
        c.type = (sw_dtype)type;
        c.count = sizeof x / sizeof *x;
        for (size_t p = 0; p < sizeof powers / sizeof *powers; p++) {
            const double e = powers[p], below = e - 1;
            for (int64_t i = 0; i < c.count; i++)
                set(&c, i, x[i]);
            run(&c, e);
            for (int64_t i = 0; i < c.count; i++) {
                const double in = x_at(&c, i);
                double y = pow(in, e), d = e == 0 ? 0 : e * pow(in, below);
                y = type == SW_F32 ? (double)(float)y : y;
                d = type == SW_F32 ? (double)((float)pow(in, below)) * e : d;
                d = type == SW_F32 ? (double)(float)d : d;
                d = e == 0 ? 0 : d;
                const bool corner = y == 0 || fabs(y) == 1 || !isfinite(y),
                           d_corner = below != e && (d == 0 || !isfinite(d)); /* else e - 1 was rounded */
                if (corner && !same(y_at(&c, i), y))
                    fail_msg("%s: (%g)^%g = %g, C's pow is %g", sw_dtype_name(c.type), in, e, y_at(&c, i), y);
                if (d_corner && !same(d_at(&c, i), d))
                    fail_msg("%s: derivative of x^%g at %g is %g, not %g", sw_dtype_name(c.type), e, in, d_at(&c, i),
                             d);
            }
        }
    }
}

static void test_pow_has_the_corners_of_c(void **state) {
    (void)state;
    each_level(corner_points);
}

/* Zeros, infinities, NaN and the exponent 0 as C has them; a derivative of 0 and 1 for the exponents 0 and 1. */
static void test_pow_has_the_corners_of_c_on_a_tape(void **state) {
    sw_tape *tape = sw_tape_new();
    (void)state;
    static const double powers[] = {0, 1, -1, 2, -2, 3, -3, 0.5, -0.5, 2.5};
    const double in[] = {0.0, -0.0, 1, -1, INFINITY, -(double)INFINITY, NAN, -2};
    enum { N = sizeof in / sizeof *in };
    for (size_t e = 0; e < sizeof powers / sizeof *powers; e++) {
        sw_tape_reset(tape);
        sw_tensor x = sw_variable(tape, sw_array_view(in, SW_F64, SW_SHAPE(N))), y = sw_pow(x, powers[e]);
        const double *value = sw_value(y).data, ones[N] = {1, 1, 1, 1, 1, 1, 1, 1};
        for (int i = 0; i < N; i++) {
            const double expected = pow(in[i], powers[e]);
            /* An ulp or two of exp and log beside 2^±3; all else is exact. */
            bool near = isfinite(expected) && fabs(value[i] - expected) <= 1e-14 * fabs(expected);
            if (isnan(expected) ? !isnan(value[i])
                                : (value[i] != expected && !near) || signbit(value[i]) != signbit(expected))
                fail_msg("%g to the %g: %g, C has %g", in[i], powers[e], value[i], expected);
        }
        assert_int_equal(sw_backward_from(y, sw_array_view(ones, SW_F64, SW_SHAPE(N))), SW_OK);
        const double *dx = sw_grad(x).data;
        for (int i = 0; i < N && powers[e] >= 0 && powers[e] <= 1 && powers[e] != 0.5; i++)
            assert_true(dx[i] == powers[e]);
    }
    sw_tape_free(tape);
}

/* ---- The exponent is a tensor ---- */

/* The number in f32 if the type is f32. */
static double in_type(sw_dtype type, double x) {
    return type == SW_F32 ? (double)(float)x : x;
}

static void expect_corner(const char *what, sw_dtype type, double x, double e, double got, double expected) {
    const bool near = isfinite(expected) && expected != 0 && fabs(expected) != 1;
    if (near ? !(fabs(got - expected) <= (type == SW_F32 ? 0x1p-21 : 0x1p-50) * fabs(expected))
             : !(got == expected || same(got, expected)))
        fail_msg("%s: %s of (%g)^%g is %g, not %g", sw_dtype_name(type), what, x, e, got, expected);
}

/* Every base with every exponent. The value is that of C's pow. The derivative by the base is e·C's pow(x, e - 1), 0
 * for e = 0 and where the power is 0. The derivative by the exponent is the value times log x, 0 for a base or a value
 * of 0 (except a base of 0 with an exponent below 0, where it is -∞), as PyTorch defines both. */
static void tensor_corners(void) {
    static const double bases[] =
        {0, -0.0, 1, -1, 0.5, -0.5, 2, -2, 1.5, -1.5, 1e30, 1e-30, (double)INFINITY, -(double)INFINITY, (double)NAN},
                        powers[] = {0,
                                    -0.0,
                                    1,
                                    -1,
                                    2,
                                    -2,
                                    3,
                                    -3,
                                    0.5,
                                    -0.5,
                                    2.5,
                                    0x1p24,
                                    0x1p24 + 2,
                                    -300,
                                    301,
                                    (double)INFINITY,
                                    -(double)INFINITY,
                                    (double)NAN};
    enum { BASES = sizeof bases / sizeof *bases, POWERS = sizeof powers / sizeof *powers };
    for (int t = SW_F32; t <= SW_F64; t++) {
        const sw_dtype type = (sw_dtype)t;
        sw_array x = test_array(type, SW_SHAPE(BASES, 1)), e = test_array(type, SW_SHAPE(POWERS)),
                 dy = test_array(type, SW_SHAPE(BASES, POWERS));
        for (int i = 0; i < BASES; i++)
            test_set(&x, i, bases[i]);
        for (int i = 0; i < POWERS; i++)
            test_set(&e, i, powers[i]);
        for (int i = 0; i < BASES * POWERS; i++)
            test_set(&dy, i, 1);
        sw_tape *tape = sw_tape_new();
        sw_tensor tx = sw_variable(tape, x), te = sw_variable(tape, e);
        /* The gradients of the expanded operands have one number for each pair. */
        sw_tensor wide_x = sw_retain_grad(sw_expand(tx, SW_SHAPE(-1, POWERS))),
                  wide_e = sw_retain_grad(sw_expand(te, SW_SHAPE(BASES, -1))), y = sw_pow_tensor(wide_x, wide_e);
        assert_ok(sw_backward_from(y, dy));
        const sw_array value = sw_value(y), dx = sw_grad(wide_x), de = sw_grad(wide_e),
                       broadcast = sw_value(sw_pow_tensor(tx, te));
        assert_memory_equal(value.data, broadcast.data, test_bytes(&value));
        for (int i = 0; i < BASES * POWERS; i++) {
            const double b = in_type(type, bases[i / POWERS]), p = powers[i % POWERS], v = in_type(type, pow(b, p)),
                         below = in_type(type, pow(b, p - 1)),
                         log_b = b > 0    ? log(b)
                                 : b == 0 ? -(double)INFINITY
                                          : (double)NAN;
            expect_corner("the value", type, b, p, test_get(&value, i), v);
            assert_true(v != 0 || signbit(v) == signbit(test_get(&value, i)));
            const double slope = p == 0 ? 0 : below == 0 ? below : in_type(type, p * below);
            if (isfinite(p) || isnan(p) || below == 0)
                expect_corner("the derivative by the base", type, b, p, test_get(&dx, i), slope);
            const bool zero = (b == 0 && fabs(v) <= 1) || (b > 0 && v == 0);
            expect_corner("the derivative by the exponent", type, b, p, test_get(&de, i),
                          zero ? 0 : in_type(type, v * log_b));
        }
        sw_tape_free(tape);
        test_array_free(&x);
        test_array_free(&e);
        test_array_free(&dy);
    }
}

static void test_powers_of_tensors_have_the_corners_of_c(void **state) {
    (void)state;
    each_level(tensor_corners);
}

/* With one exponent for all elements, value and derivative have the bits of sw_pow. */
static void powers_of_one_exponent(void) {
    static chunk c;
    static double value[CHUNK], derivative[CHUNK];
    uint64_t seed = 9;
    for (int type = SW_F32; type <= SW_F64; type++)
        for (int e = 0; e < EXPONENTS; e++) {
            const double exponent = in_type((sw_dtype)type, exponents[e]);
            c.type = (sw_dtype)type;
            c.count = 3000;
            for (int64_t i = 0; i < c.count; i++)
                set(&c, i, test_uniform(&seed, -3, 3));
            run(&c, exponent);
            for (int64_t i = 0; i < c.count; i++) {
                value[i] = y_at(&c, i);
                derivative[i] = d_at(&c, i);
            }
            sw_tape *tape = sw_tape_new();
            sw_tensor x = sw_variable(
                tape, sw_array_view(type == SW_F32 ? (void *)c.x32 : (void *)c.x64, c.type, SW_SHAPE(c.count)));
            sw_tensor y = sw_pow_tensor(x, sw_constant(tape, c.type, exponent));
            const sw_array out = sw_value(y);
            assert_ok(sw_backward(sw_sum(y)));
            const sw_array d = sw_grad(x);
            for (int64_t i = 0; i < c.count; i++)
                if (!same(test_get(&out, i), value[i]) || !same(test_get(&d, i), derivative[i]))
                    fail_msg("%s: %g^%g: %.17g and %.17g, by sw_pow %.17g and %.17g", sw_dtype_name(c.type),
                             x_at(&c, i), exponent, test_get(&out, i), test_get(&d, i), value[i], derivative[i]);
            sw_tape_free(tape);
        }
}

static void test_powers_with_one_exponent_have_the_bits_of_pow(void **state) {
    (void)state;
    each_level(powers_of_one_exponent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pow_of_every_f32_of_some_octaves_is_within_its_ulp),
        cmocka_unit_test(test_pow_of_all_magnitudes_is_within_its_ulp),
        cmocka_unit_test(test_pow_gives_exact_results_exactly),
        cmocka_unit_test(test_pow_has_the_corners_of_c),
        cmocka_unit_test(test_pow_has_the_corners_of_c_on_a_tape),
        cmocka_unit_test(test_powers_of_tensors_have_the_corners_of_c),
        cmocka_unit_test(test_powers_with_one_exponent_have_the_bits_of_pow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
