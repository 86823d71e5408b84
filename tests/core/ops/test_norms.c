/* Normalizations against their definition in plain C and f64, for shapes of several chunks with every kind of rest:
 * values and all gradients. Then what f32 must not lose: a variance that is small compared with the mean, numbers whose
 * squares are beyond the range, and channels beside one with Inf or NaN. */
#include "support.h"

#include <swale/extend.h>

typedef enum kind { BATCH, GROUP, LAYER, RMS } kind;

typedef struct norm_case {
    kind kind;
    int rank;
    int64_t shape[4];
    int64_t groups; /* GROUP; LAYER and RMS: the number of last axes */
} norm_case;

static const norm_case cases[] = {
    {BATCH, 2, {300, 40}, 0},       {BATCH, 2, {3001, 5}, 0},        {BATCH, 2, {20, 900}, 0},
    {BATCH, 2, {701, 33}, 0},       {BATCH, 4, {7, 13, 11, 31}, 0},  {BATCH, 3, {5, 999, 1}, 0},
    {BATCH, 4, {3, 30, 29, 16}, 0}, {BATCH, 3, {17, 16, 64}, 0},     {BATCH, 2, {35, 1030}, 0},
    {BATCH, 2, {2, 70}, 0},         {BATCH, 3, {9, 100, 96}, 0},     {GROUP, 2, {9, 12}, 3},
    {GROUP, 3, {3, 1000, 12}, 4},   {GROUP, 4, {2, 31, 30, 33}, 11}, {GROUP, 3, {4, 7, 130}, 2},
    {GROUP, 3, {2, 500, 64}, 64},   {GROUP, 3, {2, 501, 48}, 1},     {GROUP, 3, {300, 3, 6}, 2},
    {LAYER, 2, {130, 33}, 1},       {LAYER, 2, {3, 9001}, 1},        {LAYER, 3, {70, 5, 31}, 2},
    {LAYER, 2, {2000, 3}, 1},       {LAYER, 2, {65, 128}, 1},        {LAYER, 4, {3, 20, 20, 3}, 3},
    {RMS, 2, {130, 33}, 1},         {RMS, 2, {3, 9001}, 1},          {RMS, 3, {70, 5, 31}, 2},
    {RMS, 2, {2000, 1}, 1},         {GROUP, 3, {23, 90, 70}, 7}, /* blocks of samples */
};

static sw_tensor apply(const norm_case *c, sw_tensor x, sw_tensor weight, sw_tensor bias) {
    return c->kind == BATCH   ? sw_batch_norm(x, weight, bias, NULL)
           : c->kind == GROUP ? sw_group_norm(x, c->groups, weight, bias, 0)
           : c->kind == LAYER ? sw_layer_norm_over(x, (int)c->groups, weight, bias, 0)
                              : sw_rms_norm_over(x, (int)c->groups, weight, 1e-5);
}

/* ---- The definition ---- */

/* The shape of the weight: the last `axes` axes. */
static int weight_axes(const norm_case *c) {
    return c->kind == LAYER || c->kind == RMS ? (int)c->groups : 1;
}

static int64_t weight_count(const norm_case *c) {
    int64_t n = 1;
    for (int i = c->rank - weight_axes(c); i < c->rank; i++)
        n *= c->shape[i];
    return n;
}

static int64_t group_count(const norm_case *c, int64_t count) {
    return c->kind == BATCH   ? c->shape[c->rank - 1]
           : c->kind == GROUP ? c->shape[0] * c->groups
                              : count / weight_count(c);
}

/* The group to which element i of `count` belongs. */
static int64_t group_of(const norm_case *c, int64_t i, int64_t count) {
    const int64_t channels = c->shape[c->rank - 1], sample = count / c->shape[0];
    if (c->kind == BATCH)
        return i % channels;
    if (c->kind == GROUP)
        return i / sample * c->groups + i % channels / (channels / c->groups);
    return i / weight_count(c);
}

typedef struct expected {
    double *y, *dx, *d_weight, *d_bias;
} expected;

static double *numbers(int64_t count) {
    double *p = calloc((size_t)count + 1, sizeof *p);
    assert_non_null(p);
    return p;
}

/* y = x̂ w + b with x̂ = (x - m) r, r = 1/√(v + ε); dx = r (g - mean of g - x̂ · mean of g x̂) with g = dy w. */
static expected expect(const norm_case *c, const sw_array *x, const sw_array *w, const sw_array *b,
                       const sw_array *dy) {
    const int64_t count = sw_array_count(x), n = weight_count(c), groups = group_count(c, count);
    double *size = numbers(groups), *mean = numbers(groups), *variance = numbers(groups), *one = numbers(groups),
           *along = numbers(groups);
    expected e = {numbers(count), numbers(count), numbers(n), numbers(n)};
    for (int64_t i = 0; i < count; i++) {
        const int64_t g = group_of(c, i, count);
        size[g]++;
        mean[g] += c->kind == RMS ? 0 : test_get(x, i);
    }
    for (int64_t g = 0; g < groups; g++)
        mean[g] /= size[g];
    for (int64_t i = 0; i < count; i++) {
        const int64_t g = group_of(c, i, count);
        variance[g] += (test_get(x, i) - mean[g]) * (test_get(x, i) - mean[g]) / size[g];
    }
    for (int64_t i = 0; i < count; i++) {
        const int64_t g = group_of(c, i, count), k = i % n;
        const double x_hat = (test_get(x, i) - mean[g]) / sqrt(variance[g] + 1e-5), d = test_get(dy, i);
        e.y[i] = x_hat * test_get(w, k) + test_get(b, k);
        one[g] += c->kind == RMS ? 0 : d * test_get(w, k) / size[g];
        along[g] += d * test_get(w, k) * x_hat / size[g];
        e.d_weight[k] += d * x_hat;
        e.d_bias[k] += d;
    }
    for (int64_t i = 0; i < count; i++) {
        const int64_t g = group_of(c, i, count);
        const double r = 1 / sqrt(variance[g] + 1e-5), x_hat = (test_get(x, i) - mean[g]) * r;
        e.dx[i] = r * (test_get(dy, i) * test_get(w, i % n) - one[g] - x_hat * along[g]);
    }
    free(size);
    free(mean);
    free(variance);
    free(one);
    free(along);
    return e;
}

static void expected_free(expected *e) {
    free(e->y);
    free(e->dx);
    free(e->d_weight);
    free(e->d_bias);
}

/* ---- Comparison ---- */

/* Relative to the largest element. In f64, a sum of up to 9001 terms of the definition, added one after the other, has
 * a relative error of at most 9001·2^-53 = 1e-12 of the sum of the absolute terms, here about 100 times as large as
 * their root mean square; typically √9001·2^-53. In f32 the library's sums have an error of at most 1.2e-6 of the
 * absolute terms, and a few roundings of 6e-8. */
static const double tolerance[] = {[SW_F32] = 1e-5, [SW_F64] = 1e-11};

static void compare(const norm_case *c, const char *what, const sw_array *own, const double *wanted) {
    const int64_t count = sw_array_count(own);
    double worst = 0, scale = 0;
    int64_t at = 0;
    assert_non_null(own->data);
    for (int64_t i = 0; i < count; i++) {
        const double error = fabs(test_get(own, i) - wanted[i]);
        if (!(error <= worst)) {
            worst = error;
            at = i;
        }
        scale = fmax(scale, fabs(wanted[i]));
    }
    scale = fmax(scale, 1e-2); /* of the terms, where the elements are 0 */
    if (!(worst <= tolerance[own->type] * scale))
        fail_msg("kind %d, %s, %s, %s: element %lld is %.9g, %.9g expected", c->kind, sw_shape_text(c->rank, c->shape),
                 sw_dtype_name(own->type), what, (long long)at, test_get(own, at), wanted[at]);
}

static void run(const norm_case *c, sw_dtype type) {
    const int64_t *last = c->shape + c->rank - weight_axes(c);
    sw_array x = test_filled(type, c->rank, c->shape, -1, 2, 1), w = test_filled(type, weight_axes(c), last, 0.5, 2, 2),
             b = test_filled(type, weight_axes(c), last, -1, 1, 3), dy = test_filled(type, c->rank, c->shape, -1, 1, 4);
    expected e = expect(c, &x, &w, &b, &dy);
    sw_tape *tape = sw_tape_new();
    sw_tensor in[3] = {sw_variable(tape, x), sw_variable(tape, w), sw_variable(tape, b)},
              y = apply(c, in[0], in[1], in[2]);
    if (c->kind == RMS) /* it has no bias */
        y = sw_add(y, in[2]);
    const sw_array value = sw_value(y);
    compare(c, "result", &value, e.y);
    assert_int_equal(sw_backward_from(y, dy), SW_OK);
    const double *const wanted[] = {e.dx, e.d_weight, e.d_bias};
    static const char *const names[] = {"gradient of x", "gradient of the weight", "gradient of the bias"};
    for (int i = 0; i < 3; i++) {
        const sw_array gradient = sw_grad(in[i]);
        compare(c, names[i], &gradient, wanted[i]);
    }
    expected_free(&e);
    sw_tape_free(tape);
    test_array_free(&x);
    test_array_free(&w);
    test_array_free(&b);
    test_array_free(&dy);
}

static void test_normalizations_agree_with_their_definition(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run(&cases[i], SW_F64);
        run(&cases[i], SW_F32);
    }
}

/* ---- What f32 must not lose ---- */

/* With a mean of 10^4 deviations, the result for x in f32 equals that for the same numbers in f64. A mean that is
 * rounded to f32, or a variance from Σx² - n m², would lose 3 or all digits. */
static void test_large_means_lose_no_digits(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const norm_case *c = &cases[k];
        if (c->kind == RMS)
            continue;
        sw_array x = test_array(SW_F32, c->rank, c->shape), wide = test_array(SW_F64, c->rank, c->shape);
        uint64_t seed = 8;
        for (int64_t i = 0; i < sw_array_count(&x); i++) {
            test_set(&x, i, 10000 + (double)(i % 5) + test_uniform(&seed, -1, 1));
            test_set(&wide, i, test_get(&x, i));
        }
        sw_tape *tape = sw_tape_new();
        const sw_tensor none = {0};
        const sw_array narrow_y = sw_value(apply(c, sw_input(tape, x), none, none)),
                       wide_y = sw_value(apply(c, sw_input(tape, wide), none, none));
        for (int64_t i = 0; i < sw_array_count(&x); i++) /* of at most about 4, as deviations are about 1 */
            if (!(fabs(test_get(&narrow_y, i) - test_get(&wide_y, i)) <= 1e-5 * 4))
                fail_msg("kind %d, %s: element %lld is %.9g, in f64 %.9g", c->kind, sw_shape_text(c->rank, c->shape),
                         (long long)i, test_get(&narrow_y, i), test_get(&wide_y, i));
        sw_tape_free(tape);
        test_array_free(&x);
        test_array_free(&wide);
    }
}

/* Squares of numbers near 1e25 are beyond f32, and so is the sum of numbers near 1e38. */
static void test_large_numbers_do_not_overflow(void **state) {
    (void)state;
    enum { ROWS = 300, WIDTH = 5 };
    const double scales[WIDTH] = {1, 1e25, 3e38, 1e-3, 1e19};
    sw_array x = test_array(SW_F32, SW_SHAPE(ROWS, WIDTH)), wide = test_array(SW_F64, SW_SHAPE(ROWS, WIDTH));
    uint64_t seed = 5;
    for (int i = 0; i < ROWS * WIDTH; i++) {
        test_set(&x, i, scales[i % WIDTH] * test_uniform(&seed, 0.1, 1));
        test_set(&wide, i, test_get(&x, i));
    }
    const sw_tensor none = {0};
    sw_tape *tape = sw_tape_new();
    const sw_array y = sw_value(sw_batch_norm(sw_input(tape, x), none, none, NULL)),
                   expected_y = sw_value(sw_batch_norm(sw_input(tape, wide), none, none, NULL));
    for (int i = 0; i < ROWS * WIDTH; i++) /* 1/√v is subnormal in f32 for 3e38: it has 2^-149/1e-38 = 7e-8 */
        if (!(fabs(test_get(&y, i) - test_get(&expected_y, i)) <= 1e-5 * 4))
            fail_msg("element %d is %.9g, %.9g expected", i, test_get(&y, i), test_get(&expected_y, i));
    sw_tape_free(tape);
    test_array_free(&x);
    test_array_free(&wide);
}

/* Inf and NaN make their channel, group or row NaN, and no other one, as in PyTorch. */
static void test_inf_and_nan_stay_in_their_group(void **state) {
    (void)state;
    const double values[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int type = SW_F32; type <= SW_F64; type++)
            for (int v = 0; v < 3; v++) {
                const norm_case *c = &cases[k];
                sw_array x = test_filled((sw_dtype)type, c->rank, c->shape, -1, 1, 7);
                const int64_t count = sw_array_count(&x), bad = count * 2 / 3;
                const sw_tensor none = {0};
                test_set(&x, bad, values[v]);
                sw_tape *tape = sw_tape_new();
                const sw_array y = sw_value(apply(c, sw_input(tape, x), none, none));
                const int64_t group = group_of(c, bad, count);
                for (int64_t i = 0; i < count; i++)
                    if (c->kind != RMS || i == bad || v == 0) /* x/∞ = 0 for the other elements */
                        assert_int_equal(isnan(test_get(&y, i)) != 0, group_of(c, i, count) == group);
                sw_tape_free(tape);
                test_array_free(&x);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_normalizations_agree_with_their_definition, test_clear),
        cmocka_unit_test_teardown(test_large_means_lose_no_digits, test_clear),
        cmocka_unit_test_teardown(test_large_numbers_do_not_overflow, test_clear),
        cmocka_unit_test_teardown(test_inf_and_nan_stay_in_their_group, test_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
