/* Generalized linear models without a tape: values, derivatives and gradients equal those of the tape's losses; sparse
 * rows give the results of dense ones; weights belong to the objective. */
#include "support.h"

#include <math.h>
#include <stddef.h>

enum { N = 37, D = 11, K = 3 };

static double x_of[N * D];
static double real_y[N * K];
static int32_t two[N], three[N];
static double weight[N];

static int make_data(void **state) {
    uint64_t seed = 5;
    (void)state;
    for (int i = 0; i < N * D; i++)
        x_of[i] = i % 3 == 0 ? 0 : test_uniform(&seed, -2, 2);
    for (int i = 0; i < N; i++) {
        two[i] = i % 2;
        three[i] = i % K;
        weight[i] = 1 + i % 4;
        for (int k = 0; k < K; k++)
            real_y[i * K + k] = test_uniform(&seed, 0, 3);
    }
    return 0;
}

/* ---- Plain loops in f64 ---- */

static double loss_of(sw_head head, const double *z, int i, double *s) {
    const double y = real_y[i], sign = two[i] ? 1 : -1;
    double total = 0, loss = 0;
    switch (head) {
    case SW_HEAD_LOGISTIC: *s = 1 / (1 + exp(-z[0])) - two[i]; return log1p(exp(-sign * z[0]));
    case SW_HEAD_MULTINOMIAL:
        for (int k = 0; k < K; k++)
            total += exp(z[k]);
        for (int k = 0; k < K; k++)
            s[k] = exp(z[k]) / total - (k == three[i]);
        return log(total) - z[three[i]];
    case SW_HEAD_SQUARED:
        for (int k = 0; k < K; k++) {
            s[k] = z[k] - real_y[i * K + k];
            loss += 0.5 * s[k] * s[k];
        }
        return loss;
    case SW_HEAD_HUBER: {
        const double r = z[0] - y, d = 0.7;
        *s = fabs(r) <= d ? r : copysign(d, r);
        return fabs(r) <= d ? 0.5 * r * r : d * fabs(r) - 0.5 * d * d;
    }
    case SW_HEAD_SQUARED_HINGE: {
        const double m = fmax(0, 1 - sign * z[0]);
        *s = -2 * sign * m;
        return m * m;
    }
    default: *s = exp(z[0]) - y; return exp(z[0]) - y * z[0];
    }
}

/* f at x [k·D + k] over samples, and g. */
static double plain(sw_head head, int k, bool bias, bool weighted, const double *x, const int64_t *ids, int count,
                    double *g) {
    double f = 0, mean = 0;
    memset(g, 0, (size_t)(k * D + k) * sizeof *g);
    for (int i = 0; i < N; i++)
        mean += weight[i] / N;
    for (int j = 0; j < count; j++) {
        const int i = (int)ids[j];
        const double w = (weighted ? weight[i] / mean : 1) / count;
        double z[K], s[K];
        for (int o = 0; o < k; o++) {
            z[o] = bias ? x[k * D + o] : 0;
            for (int d = 0; d < D; d++)
                z[o] += x[o * D + d] * x_of[i * D + d];
        }
        f += w * loss_of(head, z, i, s);
        for (int o = 0; o < k; o++) {
            g[k * D + o] += bias ? w * s[o] : 0;
            for (int d = 0; d < D; d++)
                g[o * D + d] += w * s[o] * x_of[i * D + d];
        }
    }
    return f;
}

/* ---- Models ---- */

static const struct {
    sw_head head;
    int outputs;
} heads[] = {{SW_HEAD_LOGISTIC, 1}, {SW_HEAD_MULTINOMIAL, K},   {SW_HEAD_SQUARED, K},
             {SW_HEAD_HUBER, 1},    {SW_HEAD_SQUARED_HINGE, 1}, {SW_HEAD_POISSON, 1}};
enum { HEADS = sizeof heads / sizeof *heads };

static sw_array targets(int h) {
    const sw_head head = heads[h].head;
    if (head == SW_HEAD_MULTINOMIAL)
        return sw_array_view(three, SW_I32, SW_SHAPE(N));
    if (head == SW_HEAD_LOGISTIC || head == SW_HEAD_SQUARED_HINGE)
        return sw_array_view(two, SW_I32, SW_SHAPE(N));
    return head == SW_HEAD_SQUARED ? sw_array_view(real_y, SW_F64, SW_SHAPE(N, K))
                                   : sw_array_view(real_y, SW_F64, SW_SHAPE(N));
}

static int64_t start[N + 1];
static int32_t column[N * D];
static double number[N * D];

static sw_csr sparse_rows(void) {
    int64_t k = 0;
    for (int i = 0; i < N; i++) {
        for (int d = 0; d < D; d++)
            if (x_of[i * D + d] != 0) {
                column[k] = d;
                number[k++] = x_of[i * D + d];
            }
        start[i + 1] = k;
    }
    return (sw_csr){N, D, start, column, number, SW_F64};
}

static sw_glm *model_of(int h, sw_dtype type, bool sparse, bool bias, bool weighted) {
    const sw_array x = sw_array_view(x_of, SW_F64, SW_SHAPE(N, D)), y = targets(h);
    const sw_glm_options how = {
        .size = sizeof how, .head = heads[h].head, .delta = 0.7, .no_bias = !bias, .weight = weighted ? weight : NULL};
    const sw_csr csr = sparse_rows();
    sw_glm *m = sparse ? sw_glm_new_sparse(type, &csr, &y, &how) : sw_glm_new(type, &x, &y, &how);
    if (!m)
        fail_msg("%s: %s", sw_head_name(heads[h].head), sw_error());
    return m;
}

/* Sums of at most 37 terms of size 30 with 11 products each: 500 roundings of numbers below 100. */
static double allowed(sw_dtype type) {
    return 500 * 100 * (type == SW_F32 ? 0x1p-24 : 0x1p-53);
}

static void test_glm_gives_values_and_gradients_of_the_tape(void **state) {
    (void)state;
    static const int64_t few[] = {3, 36, 7}, many[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
                         mixed[] = {30, 1, 17, 2, 2, 9, 12, 35, 0, 5};
    static const struct {
        const int64_t *ids;
        int count;
    } cuts[] = {{few, 3}, {few, 1}, {many, 12}, {mixed, 10}};
    for (int t = 0; t < 64 * HEADS; t++) {
        const int h = t / 64, cut = t % 4;
        const sw_dtype type = t & 4 ? SW_F32 : SW_F64;
        const bool sparse = t & 8, bias = t & 16, weighted = t & 32;
        sw_glm *m = model_of(h, type, sparse, bias, weighted);
        sw_params *p = sw_glm_params(m);
        sw_tape *tape = sw_tape_new();
        sw_gradient *block = sw_gradient_new(p);
        double x[K * D + K] = {0}, g[K * D + K], value, s[12 * K];
        const int dim = (int)sw_params_dim(p);
        uint64_t seed = 9;
        for (int j = 0; j < dim; j++) {
            x[j] = (double)(float)test_uniform(&seed, -0.5, 0.5);
            vec_set(type, sw_params_x(p), j, x[j]);
        }
        const double expected =
            plain(heads[h].head, heads[h].outputs, bias, weighted, x, cuts[cut].ids, cuts[cut].count, g);
        const sw_objective *f = sw_glm_objective(m);
        assert_ok(sw_objective_gradient(f, tape, NULL, cuts[cut].ids, cuts[cut].count, 0, &value, block));
        assert_true(fabs(value - expected) <= allowed(type));
        assert_true(sw_tape_loss_weight(tape) == cuts[cut].count);
        for (int j = 0; j < dim; j++)
            if (!(fabs(vec_get(type, sw_gradient_data(block), j) - g[j]) <= allowed(type)))
                fail_msg("%s %s, cut %d: element %d is %g, not %g", sw_head_name(heads[h].head),
                         sparse ? "sparse" : "dense", cut, j, vec_get(type, sw_gradient_data(block), j), g[j]);
        assert_ok(sw_objective_value(f, tape, NULL, cuts[cut].ids, cuts[cut].count, 0, &value));
        assert_true(fabs(value - expected) <= allowed(type));
        /* There and back by the derivatives. */
        double back[K * D + K];
        assert_ok(sw_objective_glm_derivatives(f, tape, NULL, cuts[cut].ids, cuts[cut].count, 0, &value, s));
        assert_ok(sw_objective_glm_combine(f, tape, cuts[cut].ids, cuts[cut].count, s, 0, back));
        for (int j = 0; j < dim; j++)
            assert_true(fabs(vec_get(type, back, j) / cuts[cut].count - g[j]) <= allowed(type));
        sw_gradient_free(block);
        sw_tape_free(tape);
        sw_glm_free(m);
    }
}

/* Large predictions: no Inf, no NaN, the limits that the formulas have. */
static void test_glm_of_large_predictions_stays_finite(void **state) {
    (void)state;
    for (int t = 0; t < 2 * HEADS; t++) {
        const int h = t / 2;
        const sw_dtype type = t % 2 ? SW_F32 : SW_F64;
        if (heads[h].head == SW_HEAD_POISSON)
            continue; /* e^z */
        sw_glm *m = model_of(h, type, false, true, false);
        sw_tape *tape = sw_tape_new();
        double value, s[N * K];
        for (int64_t j = 0; j < sw_params_dim(sw_glm_params(m)); j++)
            vec_set(type, sw_params_x(sw_glm_params(m)), j, j % 2 ? 1e6 : -1e6);
        assert_ok(sw_objective_glm_derivatives(sw_glm_objective(m), tape, NULL, NULL, N, 0, &value, s));
        assert_true(isfinite(value));
        for (int i = 0; i < N * heads[h].outputs; i++)
            assert_true(isfinite(vec_get(type, s, i)));
        sw_tape_free(tape);
        sw_glm_free(m);
    }
}

/* L_i = weight h (‖a_i‖² + 1) bounds ‖∇f_i(x) - ∇f_i(x')‖/‖x - x'‖ for random pairs, and for some comes near it. */
static void test_glm_lipschitz_bounds_the_curvature(void **state) {
    (void)state;
    for (int h = 0; h < HEADS; h++) {
        sw_glm *m = model_of(h, SW_F64, false, true, true);
        const sw_objective *f = sw_glm_objective(m);
        double most, mean, met = 0;
        if (heads[h].head == SW_HEAD_POISSON) {
            assert_int_equal(sw_objective_lipschitz(f, &most, &mean), SW_ERR_ARGUMENT);
            expect_error(SW_ERR_ARGUMENT,
                         "objective_lipschitz: the second derivative of the poisson loss has no bound");
            sw_glm_free(m);
            continue;
        }
        assert_ok(sw_objective_lipschitz(f, &most, &mean));
        assert_true(mean <= most && mean > 0);
        uint64_t seed = 4;
        for (int64_t i = 0; i < N; i++)
            for (int pair = 0; pair < 20; pair++) {
                const int dim = (int)sw_params_dim(sw_glm_params(m));
                double x[2][K * D + K], g[2][K * D + K], far = 0, change = 0;
                for (int j = 0; j < dim; j++) {
                    x[0][j] = test_uniform(&seed, -0.05, 0.05);
                    x[1][j] = x[0][j] + (j < dim - heads[h].outputs ? x_of[i * D + j % D] : 1) *
                                            (j / D == pair % 2 || j >= dim - heads[h].outputs ? 0.01 : -0.01);
                }
                plain(heads[h].head, heads[h].outputs, true, true, x[0], &i, 1, g[0]);
                plain(heads[h].head, heads[h].outputs, true, true, x[1], &i, 1, g[1]);
                for (int j = 0; j < dim; j++) {
                    far += (x[0][j] - x[1][j]) * (x[0][j] - x[1][j]);
                    change += (g[0][j] - g[1][j]) * (g[0][j] - g[1][j]);
                }
                met = fmax(met, sqrt(change / far));
            }
        if (!(met <= most * (1 + 1e-9) && met > 0.4 * most))
            fail_msg("%s: %g met, L is %g", sw_head_name(heads[h].head), met, most);
        sw_glm_free(m);
    }
}

static void test_glm_predict_gives_the_scores(void **state) {
    (void)state;
    for (int t = 0; t < 4; t++) {
        const sw_dtype type = t % 2 ? SW_F32 : SW_F64;
        sw_glm *m = model_of(2, type, t / 2, true, false);
        uint64_t seed = 2;
        double x[K * D + K];
        for (int j = 0; j < K * D + K; j++) {
            x[j] = (double)(float)test_uniform(&seed, -1, 1);
            vec_set(type, sw_params_x(sw_glm_params(m)), j, x[j]);
        }
        const sw_array rows = sw_array_view(x_of, SW_F64, SW_SHAPE(N, D));
        const sw_csr csr = sparse_rows();
        sw_array z = {0}, same = {0};
        assert_ok(sw_glm_predict(m, NULL, &rows, &z));
        assert_ok(sw_glm_predict_sparse(m, NULL, &csr, &same));
        for (int i = 0; i < N; i++)
            for (int k = 0; k < K; k++) {
                double sum = x[K * D + k];
                for (int d = 0; d < D; d++)
                    sum += x[k * D + d] * x_of[i * D + d];
                assert_true(fabs(vec_get(type, z.data, i * K + k) - sum) <= allowed(type));
                assert_true(fabs(vec_get(type, same.data, i * K + k) - sum) <= allowed(type));
            }
        sw_array_free(&z);
        sw_array_free(&same);
        const sw_array narrow = sw_array_view(x_of, SW_F64, SW_SHAPE(N, D - 1));
        assert_int_equal(sw_glm_predict(m, NULL, &narrow, &z), SW_ERR_SHAPE);
        expect_error(SW_ERR_SHAPE, "glm_predict: rows [37,10] have 10 features, the model 11");
        sw_glm_free(m);
    }
}

static void refused(const sw_array *x, const sw_array *y, const sw_glm_options *how, const char *message) {
    assert_null(sw_glm_new(SW_F64, x, y, how));
    if (!strstr(sw_error(), message))
        fail_msg("%s, expected: %s", sw_error(), message);
    sw_clear_error();
}

static void test_glm_refuses_wrong_data(void **state) {
    (void)state;
    const sw_array x = sw_array_view(x_of, SW_F64, SW_SHAPE(N, D)), y = sw_array_view(two, SW_I32, SW_SHAPE(N)),
                   real = sw_array_view(real_y, SW_F64, SW_SHAPE(N)), few = sw_array_view(two, SW_I32, SW_SHAPE(N - 1)),
                   classes = sw_array_view(three, SW_I32, SW_SHAPE(N));
    sw_glm_options how = {.size = sizeof how, .head = SW_HEAD_LOGISTIC};
    refused(&x, &real, &how, "y is f64 [37]; the logistic loss takes class ids");
    refused(&x, &few, &how, "x has 37 samples, y [36]");
    refused(&x, &classes, &how, "class 2 of sample 2 is outside 0 to 1");
    refused(&x, &y, NULL, "options with a head are needed");
    int32_t zeros[N] = {0};
    const sw_array one = sw_array_view(zeros, SW_I32, SW_SHAPE(N));
    refused(&x, &one, &SW_OPTIONS(sw_glm_options, .head = SW_HEAD_MULTINOMIAL),
            "y has only class 0; the multinomial loss needs two classes or more");
    const double tiny[N] = {4e-312, 4e-312, 8e-312};
    how.weight = tiny;
    sw_glm *of_tiny = sw_glm_new(SW_F64, &x, &y, &how);
    assert_non_null(of_tiny);
    assert_true(fabs(sw_glm_objective(of_tiny)->glm->weight[2] - N / 2.0) < 1e-9);
    sw_glm_free(of_tiny);
    how.weight = NULL;
    how.outputs = 5;
    refused(&x, &y, &how, "the logistic loss has one output, not 5");
    how.outputs = 0;
    double bad[N * D];
    memcpy(bad, x_of, sizeof bad);
    bad[40] = NAN;
    const sw_array broken = sw_array_view(bad, SW_F64, SW_SHAPE(N, D));
    refused(&broken, &y, &how, "x holds nan, number 40, which is not finite");
    double negative[N] = {-1}, none[N] = {0};
    how.weight = negative;
    refused(&x, &y, &how, "the weight of sample 0 is -1");
    how.weight = none;
    refused(&x, &y, &how, "all weights are 0");
    how.weight = NULL;
    how.head = (sw_head)77;
    refused(&x, &y, &how, "head = 77");
    how.head = SW_HEAD_SQUARED;
    how.class_weight = weight;
    refused(&x, &real, &how, "the squared loss has no classes to weigh");
    how.class_weight = NULL;
    how.head = SW_HEAD_POISSON;
    const sw_array counts = sw_array_view(bad, SW_F64, SW_SHAPE(N));
    bad[0] = -2;
    refused(&x, &counts, &how, "y holds -2, number 0; the poisson loss takes counts");
    /* An id beyond the samples. */
    sw_glm *m = model_of(0, SW_F64, false, true, false);
    sw_tape *tape = sw_tape_new();
    double value;
    const int64_t beyond = N;
    assert_int_equal(sw_objective_value(sw_glm_objective(m), tape, NULL, &beyond, 1, 0, &value), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "objective: sample 37 of 37");
    sw_tape_free(tape);
    sw_glm_free(m);
}

/* What a program puts into sw_glm_data itself is checked before an optimizer reads it. */
static void test_objective_check_refuses_changed_data(void **state) {
    (void)state;
    sw_glm *m = model_of(1, SW_F64, false, true, false);
    const sw_objective good = *sw_glm_objective(m);
    assert_ok(sw_objective_check(&good));
    static int32_t labels[N];
    double w[N];
    for (int i = 0; i < N; i++)
        w[i] = 1;
    sw_glm_data data = *good.glm;
    sw_objective f = good;
    f.glm = &data;
    data.label = labels;
    labels[7] = 1000;
    assert_int_equal(sw_objective_check(&f), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "objective: class 1000 of sample 7 is outside 0 to 2");
    labels[7] = -70;
    assert_int_equal(sw_objective_check(&f), SW_ERR_ARGUMENT);
    sw_clear_error();
    data.label = three;
    data.weight = w;
    w[3] = -1;
    assert_int_equal(sw_objective_check(&f), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "objective: the weight of sample 3 is -1; it must be finite, and 0 or more");
    data.weight = NULL;
    data.dense = NULL;
    assert_int_equal(sw_objective_check(&f), SW_ERR_ARGUMENT);
    sw_clear_error();
    f = good;
    f.bias = false;
    assert_int_equal(sw_objective_check(&f), SW_ERR_SHAPE);
    sw_clear_error();
    f = good;
    f.size = offsetof(sw_objective, glm);
    assert_int_equal(sw_objective_check(&f), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "objective: its size must be sizeof(sw_objective)");
    assert_false(sw_objective_is_glm(&f));
    sw_glm_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_glm_gives_values_and_gradients_of_the_tape),
                                       cmocka_unit_test(test_glm_of_large_predictions_stays_finite),
                                       cmocka_unit_test(test_glm_lipschitz_bounds_the_curvature),
                                       cmocka_unit_test(test_glm_predict_gives_the_scores),
                                       cmocka_unit_test(test_glm_refuses_wrong_data),
                                       cmocka_unit_test(test_objective_check_refuses_changed_data)};
    return cmocka_run_group_tests(tests, make_data, NULL);
}
