/* Folds and spreads of f16 and bf16 (reduce_kernels.h), compiled for every storage type outside the library: a fold
 * adds in f32 and f64 and rounds once, a spread computes in f32 and rounds each element once. */
#define SW_KERNEL_16_BIT
#include "core/kernels/reduce_kernels.c"

#if !SW_KERNEL_PASS

#include "support.h"

#include "stored_vectors.h"

/* A fold adds in f32 and f64, and rounds once. */
static void test_folds(void **state) {
    (void)state;
    enum { ROWS = 100, COLUMNS = 130 };
    const sw_fold *const folds[] = {
        &sw_fold_sum,     &sw_fold_wide_sum,  &sw_fold_abs_sum, &sw_fold_square_deviation_sum, &sw_fold_square_sum,
        &sw_fold_exp_sum, &sw_fold_equal_sum, &sw_fold_largest, &sw_fold_largest_abs};
    for (int k = 0; k < 2; k++) {
        vectors *v = vectors_new(halves[k]);
        for (size_t f = 0; f < sizeof folds / sizeof *folds; f++)
            for (int across = 0; across < 2; across++) {
                const int64_t shape[2] = {ROWS, COLUMNS}, to[2] = {across ? 1 : ROWS, across ? COLUMNS : 1};
                const sw_fold_axes axes = sw_fold_axes_of(2, shape, 2, to);
                uint16_t rest[COLUMNS];
                float wide_rest[COLUMNS];
                sw_fold_job job = {.type = halves[k],
                                   .x = v->y,
                                   .m = v->z,
                                   .low = v->z + 200,
                                   .out = v->out,
                                   .rest = rest,
                                   .p = 1,
                                   .factor = 1.5,
                                   .divisor = 7};
                sw_fold_run(folds[f], &axes, &job);
                job = (sw_fold_job){.type = SW_F32,
                                    .x = v->wide_y,
                                    .m = v->wide_z,
                                    .low = v->wide_z + 200,
                                    .out = v->wide_out,
                                    .rest = wide_rest,
                                    .p = 1,
                                    .factor = 1.5,
                                    .divisor = 7};
                sw_fold_run(folds[f], &axes, &job);
                for (int64_t i = 0; i < axes.outputs; i++) {
                    /* wide_out + wide_rest is the sum in f64, which is rounded; either rounding may be off by half a
                     * unit. */
                    const double sum = (double)v->wide_out[i] + (double)wide_rest[i];
                    const double unit = halves[k] == SW_F16 ? 0x1p-11 : 0x1p-8;
                    const double got = sw_load_element(halves[k], v->out, i), low = sw_load_element(halves[k], rest, i);
                    assert_true(fabs(got - sum) <= fabs(sum) * unit);
                    assert_true(fabs(got + low - sum) <= fabs(sum) * unit * unit * 2 + 0x1p-25);
                }
                job.type = halves[k]; /* added to what is there */
                job.x = v->y, job.m = v->z, job.low = v->z + 200, job.out = v->out, job.rest = NULL, job.add = true;
                double before[COLUMNS];
                for (int64_t i = 0; i < axes.outputs; i++)
                    before[i] = sw_load_element(halves[k], v->out, i);
                sw_fold_run(folds[f], &axes, &job);
                for (int64_t i = 0; i < axes.outputs; i++) {
                    const double sum = before[i] + (double)v->wide_out[i] + (double)wide_rest[i];
                    assert_true(fabs(sw_load_element(halves[k], v->out, i) - sum) <=
                                fabs(sum) * (halves[k] == SW_F16 ? 0x1p-11 : 0x1p-8));
                }
            }
        free(v);
    }
}

static void test_spreads(void **state) {
    (void)state;
    enum { ROWS = 100, COLUMNS = 130 };
    const sw_spread *const spreads[] = {&sw_spread_copies,      &sw_spread_signs,      &sw_spread_deviations,
                                        &sw_spread_chosen,      &sw_spread_abs_chosen, &sw_spread_directions,
                                        &sw_spread_exponentials};
    for (int k = 0; k < 2; k++) {
        vectors *v = vectors_new(halves[k]);
        for (size_t f = 0; f < sizeof spreads / sizeof *spreads; f++)
            for (int across = 0; across < 2; across++) {
                const int64_t shape[2] = {ROWS, COLUMNS}, to[2] = {across ? 1 : ROWS, across ? COLUMNS : 1};
                const sw_fold_axes axes = sw_fold_axes_of(2, shape, 2, to);
                const sw_spread_args args = {.x = v->y, .y = v->z, .low = v->z + 200, .h = v->z + 400, .out = v->out};
                const sw_spread_args wide = {
                    .x = v->wide_y, .y = v->wide_z, .low = v->wide_z + 200, .h = v->wide_z + 400, .out = v->wide_out};
                sw_spread_run(spreads[f], &axes, halves[k], &args);
                sw_spread_run(spreads[f], &axes, SW_F32, &wide);
                expect_rounded("spread", halves[k], -1, v->wide_out, v->out, ROWS * COLUMNS);
            }
        free(v);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_folds), cmocka_unit_test(test_spreads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
