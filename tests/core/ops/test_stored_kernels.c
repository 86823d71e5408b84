/* The kernels of the library's operations for f16 and bf16: the same files, compiled for every storage type outside the
 * library. A kernel loads elements, computes in f32 and rounds what it stores. Its result is therefore that of the
 * kernel for f32 on the same numbers, rounded once, for every element and on every level. Row operations,
 * reductions and losses have no such kernels; for them see test_stored_rows.c. */
#define SW_KERNEL_16_BIT
#include <swale/kernel.h>

#include "core/ops/activation.c"
#include "core/ops/argmax.c"
#include "core/ops/arithmetic.c"
#include "core/ops/dropout.c"
#include "core/ops/index_kernels.c"
#include "core/ops/pointwise.c"
#include "core/ops/power.c"

#if !SW_KERNEL_PASS

#include "support.h"

#include "stored_vectors.h"

/* ---- Elementwise operations ---- */

typedef struct named_kernels {
    const char *name;
    const sw_kernels *kernels;
    double a, b;
} named_kernels;
#define NAMED(name, a, b)                       \
    {#name, &name##_kernels, a, b}, {           \
#name "_vjp", &name##_vjp_kernels, a, b \
    }

static void expect_same_numbers(sw_dtype type, const void *a, const void *b, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const double x = sw_load_element(type, a, i), y = sw_load_element(type, b, i);
        if (!(x == y && signbit(x) == signbit(y)) && !(isnan(x) && isnan(y)))
            fail_msg("%s, element %lld: %g and %g", sw_dtype_name(type), (long long)i, x, y);
    }
}

static void test_unary_operations(void **state) {
    (void)state;
    const named_kernels all[] = {NAMED(neg, 0, 0),
                                 NAMED(exp, 0, 0),
                                 NAMED(log, 0, 0),
                                 NAMED(sqrt, 0, 0),
                                 NAMED(abs, 0, 0),
                                 NAMED(sin, 0, 0),
                                 NAMED(cos, 0, 0),
                                 NAMED(clamp, -0.5, 2),
                                 NAMED(pow, 3, 1),
                                 NAMED(pow, 2, 2),
                                 NAMED(pow, 0.5, 0),
                                 NAMED(pow, 0, 2),
                                 NAMED(pow, -2, 2),
                                 NAMED(scale, 1.7, 0),
                                 NAMED(relu, 0, 0),
                                 NAMED(tanh, 0, 0),
                                 NAMED(sigmoid, 0, 0),
                                 NAMED(leaky_relu, 0.01, 0),
                                 NAMED(elu, 1.3, 0),
                                 NAMED(silu, 0, 0),
                                 NAMED(softplus, 0, 0),
                                 NAMED(gelu, 0, 0),
                                 NAMED(gelu_tanh, 0, 0),
                                 NAMED(log1p, 0, 0),
                                 NAMED(expm1, 0, 0),
                                 NAMED(erf, 0, 0),
                                 {"sign", &sign_kernels, 0, 0},
                                 {"floor", &floor_kernels, 0, 0},
                                 {"ceil", &ceil_kernels, 0, 0},
                                 {"round", &round_kernels, 0, 0},
                                 {"trunc", &trunc_kernels, 0, 0},
                                 {"step_vjp", &step_vjp_kernels, 0, 0}};
    for (int k = 0; k < 2; k++) {
        vectors *v = vectors_new(halves[k]);
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            for (int level = 0; level <= sw_cpu_level(); level++) {
                sw_unary_args args = {.x = v->x, .dy = v->y, .out = v->out, .factor = all[i].a, .second = all[i].b};
                assert_true(sw_kernels_take(all[i].kernels, halves[k]));
                (*all[i].kernels)[halves[k]][level](&args, 0, PATTERNS, NULL);
                args.x = v->wide_x;
                args.dy = v->wide_y;
                args.out = v->wide_out;
                (*all[i].kernels)[SW_F32][level](&args, 0, PATTERNS, NULL);
                expect_rounded(all[i].name, halves[k], level, v->wide_out, v->out, PATTERNS);
            }
        free(v);
    }
}

static void test_binary_operations(void **state) {
    (void)state;
    const named_kernels all[] = {{"add", &swi_add_kernels, 0, 0},
                                 {"sub", &sub_kernels, 0, 0},
                                 {"mul", &swi_mul_kernels, 0, 0},
                                 {"div", &div_kernels, 0, 0},
                                 {"div_vjp", &div_vjp_kernels, 0, 0},
                                 {"maximum", &maximum_kernels, 0, 0},
                                 {"minimum", &minimum_kernels, 0, 0},
                                 {"maximum_vjp", &maximum_vjp_kernels, 0, 0},
                                 {"pow_tensor", &pow_tensor_kernels, 0, 0},
                                 {"pow_tensor_base_vjp", &pow_tensor_base_vjp_kernels, 0, 0},
                                 {"pow_tensor_exponent_vjp", &pow_tensor_exponent_vjp_kernels, 0, 0}};
    for (int k = 0; k < 2; k++) {
        vectors *v = vectors_new(halves[k]);
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            for (int level = 0; level <= sw_cpu_level(); level++)
                for (int repeats = 0; repeats < 4; repeats++) {
                    sw_binary_args args = {.a = v->x,
                                           .b = v->y,
                                           .out = v->out,
                                           .a_repeats = repeats & 1,
                                           .b_repeats = repeats & 2,
                                           .dy = v->z};
                    (*all[i].kernels)[halves[k]][level](&args, 0, PATTERNS, NULL);
                    args.a = v->wide_x;
                    args.b = v->wide_y;
                    args.out = v->wide_out;
                    args.dy = v->wide_z;
                    (*all[i].kernels)[SW_F32][level](&args, 0, PATTERNS, NULL);
                    expect_rounded(all[i].name, halves[k], level, v->wide_out, v->out, PATTERNS);
                }
        free(v);
    }
}

/* The functions that run kernels use those for 16 bits if there are any, and otherwise those for f32 on blocks: the
 * bits are equal. */
static void test_kernels_of_16_bits_and_blocks_agree(void **state) {
    (void)state;
    sw_kernels narrow_unary = {{0}}, narrow_binary = {{0}};
    for (int level = 0; level < SW_LEVELS; level++) {
        narrow_unary[SW_F32][level] = gelu_vjp_kernels[SW_F32][level];
        narrow_binary[SW_F32][level] = div_vjp_kernels[SW_F32][level];
    }
    for (int k = 0; k < 2; k++) {
        vectors *v = vectors_new(halves[k]);
        uint16_t *other = v->z; /* the second result */
        const int64_t shape[2] = {256, 256}, row[1] = {256};
        const sw_view dy = {v->x, shape, PATTERNS, 2, halves[k]}, a = {v->y, shape, PATTERNS, 2, halves[k]},
                      b = {v->z, row, 256, 1, halves[k]}, out = {v->out, shape, PATTERNS, 2, halves[k]};
        sw_view second = out;
        second.data = v->wide_out;
        sw_binary_run_vjp(&div_vjp_kernels, &a, &b, &dy, &out);
        sw_binary_run_vjp(&narrow_binary, &a, &b, &dy, &second);
        expect_same_numbers(halves[k], v->out, v->wide_out, PATTERNS);
        sw_unary_args args = {.x = v->x, .dy = v->y, .out = v->out};
        sw_unary_run(&gelu_vjp_kernels, halves[k], &args, PATTERNS);
        args.out = other;
        sw_unary_run(&narrow_unary, halves[k], &args, PATTERNS);
        expect_same_numbers(halves[k], v->out, other, PATTERNS);
        free(v);
    }
}

/* Operands of different types: the result is that of f32, rounded to the type of out, also if that is f32. */
static void test_operands_of_different_types(void **state) {
    (void)state;
    const int64_t shape[2] = {64, 1024}, row[1] = {1024};
    for (int k = 0; k < 2; k++) {
        vectors *v = vectors_new(halves[k]);
        float *wide = malloc(PATTERNS * sizeof *wide);
        const sw_view x = {v->x, shape, PATTERNS, 2, halves[k]}, wide_x = {v->wide_x, shape, PATTERNS, 2, SW_F32},
                      y = {v->y, row, 1024, 1, halves[k]}, wide_y = {v->wide_y, row, 1024, 1, SW_F32},
                      out = {v->out, shape, PATTERNS, 2, halves[k]}, wide_out = {wide, shape, PATTERNS, 2, SW_F32};
        const sw_view expected = {v->wide_out, shape, PATTERNS, 2, SW_F32};
        sw_binary_run(&swi_mul_kernels, &wide_x, &wide_y, &expected);
        for (int mixed = 0; mixed < 4; mixed++) {
            sw_binary_run(&swi_mul_kernels, mixed & 1 ? &wide_x : &x, mixed & 2 ? &wide_y : &y, &out);
            expect_rounded("mul", halves[k], mixed, v->wide_out, v->out, PATTERNS);
            sw_binary_run(&swi_mul_kernels, mixed & 1 ? &wide_x : &x, mixed & 2 ? &wide_y : &y, &wide_out);
            for (int i = 0; i < PATTERNS; i++)
                assert_true(wide[i] == v->wide_out[i] || (isnan(wide[i]) && isnan(v->wide_out[i])));
        }
        /* a cotangent in f32, and an operand in f32 with everything else in 16 bits */
        const sw_view z = {v->z, shape, PATTERNS, 2, halves[k]}, wide_z = {v->wide_z, shape, PATTERNS, 2, SW_F32};
        sw_binary_run_vjp(&div_vjp_kernels, &wide_x, &wide_y, &wide_z, &expected);
        for (int mixed = 0; mixed < 4; mixed++) {
            sw_binary_run_vjp(&div_vjp_kernels, mixed & 1 ? &wide_x : &x, &y, mixed & 2 ? &wide_z : &z, &out);
            expect_rounded("div_vjp", halves[k], mixed, v->wide_out, v->out, PATTERNS);
        }
        free(wide);
        free(v);
    }
}

/* ---- Rows ---- */

static void test_dropout_argmax_and_gather(void **state) {
    (void)state;
    enum { ROWS = 64, WIDTH = PATTERNS / ROWS };
    static int32_t ids[ROWS];
    for (int i = 0; i < ROWS; i++)
        ids[i] = i * 7 % 5; /* repeated: sums of 12 or 13 rows */
    for (int k = 0; k < 2; k++) {
        vectors *v = vectors_new(halves[k]);
        for (int level = 0; level <= sw_cpu_level(); level++) {
            dropout_args mask = {.x = v->x,
                                 .out = v->out,
                                 .sample_length = WIDTH,
                                 .to = WIDTH,
                                 .key = 5,
                                 .threshold = 1u << 30,
                                 .scale = 1 / 0.75};
            dropout_kernels[halves[k]][level](&mask, 0, ROWS, NULL);
            mask.x = v->wide_x;
            mask.out = v->wide_out;
            dropout_kernels[SW_F32][level](&mask, 0, ROWS, NULL);
            expect_rounded("dropout", halves[k], level, v->wide_out, v->out, PATTERNS);

            int32_t at[2][PATTERNS];
            argmax_args most = {.x = v->y, .out = at[0], .n = WIDTH, .inner = 1};
            rows_kernels[halves[k]][level](&most, 0, ROWS, NULL);
            most.x = v->wide_y;
            most.out = at[1];
            rows_kernels[SW_F32][level](&most, 0, ROWS, NULL);
            assert_memory_equal(at[0], at[1], ROWS * sizeof **at);
            most = (argmax_args){.x = v->x, .out = at[0], .n = ROWS, .inner = WIDTH};
            columns_kernels[halves[k]][level](&most, 0, (WIDTH + STRIP - 1) / STRIP, NULL);
            most.x = v->wide_x;
            most.out = at[1];
            columns_kernels[SW_F32][level](&most, 0, (WIDTH + STRIP - 1) / STRIP, NULL);
            assert_memory_equal(at[0], at[1], WIDTH * sizeof **at);

            /* Additions to a table are rounded to the type of the table, each of them. */
            index_args add = {.from = v->y, .to = v->out, .ids = ids, .n = 5, .m = ROWS, .inner = WIDTH};
            memset(v->out, 0, 5 * WIDTH * sizeof *v->out);
            add_rows_kernels[halves[k]][level](&add, 0, WIDTH, NULL);
            for (int j = 0; j < 5 * WIDTH; j++) {
                uint16_t sum = 0;
                for (int i = 0; i < ROWS; i++)
                    if (ids[i] == j / WIDTH)
                        sw_store_element(
                            halves[k], &sum, 0,
                            (double)((float)sw_load_element(halves[k], &sum, 0) + v->wide_y[i * WIDTH + j % WIDTH]));
                assert_int_equal(v->out[j], sum);
            }
        }
        free(v);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unary_operations), cmocka_unit_test(test_binary_operations),
        cmocka_unit_test(test_kernels_of_16_bits_and_blocks_agree), cmocka_unit_test(test_operands_of_different_types),

        cmocka_unit_test(test_dropout_argmax_and_gather)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
