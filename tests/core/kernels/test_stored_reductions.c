/* Folds and spreads of f16 and bf16 (reduce_kernels.h): the kernels for f32 run on pieces that are converted on the
 * stack. A fold has the bits of the fold of the whole array in f32, a spread those of the spread in f32, rounded once,
 * on every level and for every number of threads. */
#include <swale/kernel.h>
#include <swale/reduce_kernels.h>

#if SW_KERNEL_PASS

/* A custom fold Σ v³ and a custom spread h - v. The kernel of the fold for rows adds all elements in order. */
static void SW_K(cube_rows)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_fold_args *s = args;
    (void)sums;
    for (int64_t row = begin; row < end; row++)
        for (int64_t j = 0; j < s->length; j++) {
            const double v = (double)((const real *)s->x)[row * s->stride + j];
            s->to[row] += v * v * v;
        }
}
static void SW_K(cube_columns)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_fold_args *s = args;
    (void)sums;
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t i = begin; i < end; i++) {
            const double v = (double)((const real *)s->x)[r * s->stride + i];
            s->to[i] += v * v * v;
        }
}
static void SW_K(minus_rows)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_spread_args *s = args;
    (void)sums;
    for (int64_t row = begin; row < end; row++)
        for (int64_t j = 0; j < s->length; j++)
            ((real *)s->out)[row * s->stride + j] =
                ((const real *)s->h)[row] - ((const real *)s->x)[row * s->stride + j];
}
static void SW_K(minus_columns)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_spread_args *s = args;
    (void)sums;
    for (int64_t row = begin; row < end; row++)
        for (int64_t j = 0; j < s->length; j++)
            ((real *)s->out)[row * s->stride + j] = ((const real *)s->h)[j] - ((const real *)s->x)[row * s->stride + j];
}

#else

#include "support.h"

#include "core/ops/levels.h"
#include "stored_vectors.h"

static const sw_fold cube_sum = {SW_KERNEL_TABLE(cube_rows), SW_KERNEL_TABLE(cube_columns), false};
static const sw_spread minus_element = {SW_KERNEL_TABLE(minus_rows), SW_KERNEL_TABLE(minus_columns)};

/* Shapes of at most PATTERNS elements: short rows; rows around the piece of 4096 elements, whose rest is shorter and
 * longer than 64; one output with many elements, which is divided into parts; narrow and wide columns with more rows
 * than a group of 64; several folded axes; axes of length 1; no elements. */
typedef struct axes_case {
    int rank;
    int64_t shape[4], to[4];
} axes_case;
static const axes_case cases[] = {{2, {100, 130}, {100, 1}},
                                  {2, {100, 130}, {1, 130}},
                                  {2, {700, 7}, {700, 1}},
                                  {2, {3, 4096}, {3, 1}},
                                  {2, {3, 4106}, {3, 1}},
                                  {2, {3, 4170}, {3, 1}},
                                  {2, {2, 12345}, {2, 1}},
                                  {1, {65536}, {1}},
                                  {1, {40001}, {1}},
                                  {2, {6553, 10}, {1, 10}},
                                  {2, {200, 300}, {1, 300}},
                                  {2, {65, 129}, {1, 129}},
                                  {3, {7, 64, 5}, {7, 1, 5}},
                                  {4, {6, 50, 4, 30}, {1, 50, 1, 30}},
                                  {4, {6, 50, 4, 30}, {6, 1, 4, 1}},
                                  {3, {40, 2, 700}, {1, 2, 1}},
                                  {2, {5, 1}, {5, 1}},
                                  {2, {1, 5}, {1, 5}},
                                  {1, {1}, {1}},
                                  {2, {0, 3}, {1, 3}},
                                  {2, {3, 0}, {3, 1}}};
enum { CASES = sizeof cases / sizeof *cases };

static sw_fold_axes axes_of(const axes_case *c) {
    return sw_fold_axes_of(c->rank, c->shape, c->rank, c->to);
}

static void expect_equal_bits(const float *a, const float *b, int64_t n, const char *what, size_t fold, int shape) {
    for (int64_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, sizeof *a) != 0 && !(isnan(a[i]) && isnan(b[i])))
            fail_msg("%s, fold %zu, shape %d, output %d: %g, not %g", what, fold, shape, (int)i, (double)b[i],
                     (double)a[i]);
}

/* The bits of a fold of the numbers in f32: results, rounding errors, and sums with `add`. */
static void compare_folds(void) {
    const sw_fold *const folds[] = {
        &sw_fold_sum,     &sw_fold_wide_sum,  &sw_fold_abs_sum, &sw_fold_square_deviation_sum, &sw_fold_square_sum,
        &sw_fold_exp_sum, &sw_fold_equal_sum, &sw_fold_largest, &sw_fold_largest_abs,          &cube_sum};
    static float out[2][PATTERNS], rest[2][PATTERNS];
    for (int k = 0; k < 2; k++) {
        vectors *v = vectors_new(halves[k]);
        for (size_t f = 0; f < sizeof folds / sizeof *folds; f++)
            for (int c = 0; c < CASES; c++) {
                const sw_fold_axes axes = axes_of(&cases[c]);
                sw_fold_job job = {.m = v->wide_z, .low = v->wide_z + 200, .p = 1, .factor = 1.5, .divisor = 7};
                for (int half = 0; half < 2; half++) {
                    job.type = half ? halves[k] : SW_F32;
                    job.x = half ? (const void *)v->y : v->wide_y;
                    job.out = out[half];
                    job.rest = rest[half];
                    job.add = false;
                    sw_fold_run(folds[f], &axes, &job);
                }
                expect_equal_bits(rest[0], rest[1], axes.outputs, "rounding error", f, c);
                for (int half = 0; half < 2; half++) {
                    job.type = half ? halves[k] : SW_F32;
                    job.x = half ? (const void *)(v->z + 11) : v->wide_z + 11;
                    job.out = out[half];
                    job.rest = NULL;
                    job.add = true;
                    if (axes.outputs * axes.count <= PATTERNS - 11)
                        sw_fold_run(folds[f], &axes, &job);
                }
                expect_equal_bits(out[0], out[1], axes.outputs, "result", f, c);
            }
        free(v);
    }
}

static void test_folds_have_the_bits_of_f32(void **state) {
    (void)state;
    each_level(compare_folds);
}

/* Inf and NaN in x, and a sum beyond 65504, which is finite because results are f32. */
static void test_folds_of_every_pattern(void **state) {
    (void)state;
    const sw_fold *const folds[] = {&sw_fold_sum, &sw_fold_abs_sum, &sw_fold_largest, &sw_fold_largest_abs};
    static const axes_case rows = {2, {1024, 64}, {1024, 1}}, columns = {2, {64, 1024}, {1, 1024}};
    for (int k = 0; k < 2; k++) {
        vectors *v = vectors_new(halves[k]);
        for (size_t f = 0; f < sizeof folds / sizeof *folds; f++)
            for (int across = 0; across < 2; across++) {
                const sw_fold_axes axes = axes_of(across ? &columns : &rows);
                float out[2][1024];
                sw_fold_job job = {.type = SW_F32, .x = v->wide_x, .out = out[0], .p = -1, .factor = 1, .divisor = 1};
                sw_fold_run(folds[f], &axes, &job);
                job.type = halves[k], job.x = v->x, job.out = out[1];
                sw_fold_run(folds[f], &axes, &job);
                expect_equal_bits(out[0], out[1], axes.outputs, "every pattern", f, across);
            }
        free(v);
    }
    static uint16_t large[40000];
    for (int i = 0; i < 40000; i++)
        large[i] = sw_f16_from_f32(60000);
    float sum = 0;
    const sw_fold_axes axes = sw_fold_axes_of(1, (int64_t[]){40000}, 0, NULL);
    const sw_fold_job job = {.type = SW_F16, .x = large, .out = &sum, .factor = 1, .divisor = 1};
    sw_fold_run(&sw_fold_sum, &axes, &job);
    assert_true(sum == 40000.0f * 60000.0f); /* 2.4e9: each partial sum is a multiple of 2^5 below 2^24 · 2^8 */
}

static void compare_spreads(void) {
    const sw_spread *const spreads[] = {&sw_spread_copies,       &sw_spread_signs,      &sw_spread_deviations,
                                        &sw_spread_chosen,       &sw_spread_abs_chosen, &sw_spread_directions,
                                        &sw_spread_exponentials, &minus_element};
    const int level = sw_cpu_level();
    for (int k = 0; k < 2; k++) {
        vectors *v = vectors_new(halves[k]);
        for (size_t f = 0; f < sizeof spreads / sizeof *spreads; f++)
            for (int c = 0; c < CASES; c++) {
                const sw_fold_axes axes = axes_of(&cases[c]);
                const int64_t n = axes.outputs * axes.count;
                sw_spread_args args = {.x = f == 0 ? NULL : v->x,
                                       .y = v->wide_z,
                                       .low = v->wide_z + 200,
                                       .h = v->wide_y + 400,
                                       .out = v->out};
                if (axes.outputs > PATTERNS - 400)
                    continue;
                sw_spread_run(spreads[f], &axes, halves[k], &args);
                args.x = f == 0 ? NULL : v->wide_x;
                args.out = v->wide_out;
                sw_spread_run(spreads[f], &axes, SW_F32, &args);
                expect_rounded("spread", halves[k], level, v->wide_out, v->out, n);
            }
        free(v);
    }
}

static void test_spreads_round_once(void **state) {
    (void)state;
    each_level(compare_spreads);
}

/* dst has 16 bits too: the sum in f32, which is rounded once. */
static void test_sum_to_shape(void **state) {
    (void)state;
    static float wide[PATTERNS];
    for (int k = 0; k < 2; k++) {
        vectors *v = vectors_new(halves[k]);
        for (int c = 0; c < CASES; c++)
            for (int store = 0; store < 2; store++) {
                const axes_case *a = &cases[c];
                const int64_t outputs = axes_of(a).outputs;
                memcpy(v->out, v->z, sizeof v->out);
                memcpy(wide, v->wide_z, sizeof wide);
                sw_sum_to_shape(halves[k], a->rank, a->shape, v->y, a->rank, a->to, v->out, 0.3, store);
                sw_sum_to_shape(SW_F32, a->rank, a->shape, v->wide_y, a->rank, a->to, wide, 0.3, store);
                expect_rounded("sum_to_shape", halves[k], c, wide, v->out, outputs);
                assert_memory_equal(v->out + outputs, v->z + outputs, (size_t)(PATTERNS - outputs) * sizeof *v->out);
            }
        free(v);
    }
}

/* Threads share the pieces; the partial sums of a row that is divided into parts are added in a fixed order. */
static void test_equal_bits_for_every_number_of_threads(void **state) {
    (void)state;
    static float out[4][PATTERNS];
    static uint16_t spread[4][PATTERNS];
    vectors *v = vectors_new(SW_F16);
    for (int c = 0; c < CASES; c++) {
        const sw_fold_axes axes = axes_of(&cases[c]);
        for (int t = 0; t < 4; t++) {
            sw_set_threads(1 << t);
            const sw_fold_job job = {.type = SW_F16, .x = v->y, .out = out[t], .factor = 1, .divisor = 1};
            sw_fold_run(&sw_fold_sum, &axes, &job);
            const sw_spread_args args = {.x = v->y, .y = v->wide_z, .h = v->wide_z, .out = spread[t]};
            sw_spread_run(&sw_spread_directions, &axes, SW_F16, &args);
            assert_memory_equal(out[t], out[0], (size_t)axes.outputs * sizeof **out);
            assert_memory_equal(spread[t], spread[0], (size_t)(axes.outputs * axes.count) * sizeof **spread);
        }
    }
    sw_set_threads(1);
    free(v);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_folds_have_the_bits_of_f32),
                                       cmocka_unit_test(test_folds_of_every_pattern),
                                       cmocka_unit_test(test_spreads_round_once), cmocka_unit_test(test_sum_to_shape),
                                       cmocka_unit_test(test_equal_bits_for_every_number_of_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
