/* The results of examples/glm.c: the coefficients of scikit-learn, scores, a path that begins where all weights are 0,
 * and the same choice as a loop by hand with cross-validation. */
#include "run.h"

#include <swale/datasets.h>
#include "glm_files.h"
#include <swale/optim.h>

#include "golden/glm.h"

enum { GOLDEN = sizeof golden_fits / sizeof *golden_fits };

/* ---- Against scikit-learn ---- */

/* The file of a golden fit's data, whose targets are as in golden/glm.py. */
static data_set write_data_of(const golden_fit *fit, const char *path) {
    data_set d = data_set_of(fit->data);
    for (int64_t i = 0; strcmp(fit->head, "poisson") == 0 && i < d.n; i++)
        d.y[i] = floor(d.y[i] / 25);
    if (fit->scaled && !fit->bias) /* glm does not shift columns then */
        data_set_standardize(&d);
    data_set_write(&d, path);
    return d;
}

/* Weights and intercepts for the columns of the file; scikit-learn's are for standardized ones. Each within 1e-6 of
 * the largest. An error is at most tol, 1e-11, times the gradient's norm at 0 over the least curvature. That quotient
 * is below 1e3 times the largest weight of standardized columns: 1e-8, and a factor of 100 for the units. */
static void check_coefficients(const golden_fit *fit, const data_set *d, const double *row) {
    int64_t shape[2], one[2];
    double *w = golden_numbers(fit->name, "weight", shape);
    double *b = fit->bias ? golden_numbers(fit->name, "bias", one) : NULL;
    for (int64_t k = 0; k < shape[0]; k++) {
        double intercept = b ? b[k] : 0, most = 0;
        const double *ours = row + COEFFICIENTS + shape[0] + k * shape[1];
        for (int64_t j = 0; j < shape[1]; j++) {
            double *v = &w[k * shape[1] + j];
            *v /= fit->scaled ? d->scale[j] : 1;
            intercept -= fit->scaled ? *v * d->mean[j] : 0;
            most = fmax(most, fabs(*v));
        }
        for (int64_t j = 0; j < shape[1]; j++)
            if (!(fabs(ours[j] - w[k * shape[1] + j]) <= 1e-6 * most) ||
                (fit->l1 > 0 && (ours[j] == 0) != (w[k * shape[1] + j] == 0)))
                fail_msg("%s: weight %d of output %d is %.12g, not %.12g", fit->name, (int)j, (int)k, ours[j],
                         w[k * shape[1] + j]);
        if (!(fabs(row[COEFFICIENTS + k] - intercept) <= 1e-6 * fmax(1, fabs(intercept))))
            fail_msg("%s: intercept %d is %.12g, not %.12g", fit->name, (int)k, row[COEFFICIENTS + k], intercept);
    }
    free(w), free(b);
}

static void check_golden(const golden_fit *fit, const char *file, const char *method) {
    char path[512], l2[32], l1[32], delta[32];
    output o;
    snprintf(path, sizeof path, "%s", in_folder(file));
    snprintf(l2, sizeof l2, "%.17g", fit->l2);
    snprintf(l1, sizeof l1, "%.17g", fit->l1);
    snprintf(delta, sizeof delta, "%.17g", fit->delta > 0 ? fit->delta : 1.35);
    data_set d = write_data_of(fit, path);
    const char *word[32] = {"--data",  path,  "--loss",   fit->head, "--l2",  l2,      "--l1",     l1,
                            "--delta", delta, "--method", method,    "--tol", "1e-11", "--epochs", "1000000"};
    int count = 16;
    if (fit->scaled && fit->bias)
        word[count++] = "--standardize";
    if (!fit->bias)
        word[count++] = "--no-intercept";
    fits f = fits_of(&o, word);
    assert_int_equal(f.rows, 1);
    assert_true(fits_row(&f, 0)[CONVERGED] == 1);
    assert_true(result(&o, "converged") == 1);
    check_coefficients(fit, &d, fits_row(&f, 0));
    free(f.value);
    data_set_free(&d);
    unlink(path);
}

static const golden_fit *golden_of(const char *name) {
    for (size_t i = 0; i < GOLDEN; i++)
        if (strcmp(golden_fits[i].name, name) == 0)
            return &golden_fits[i];
    fail_msg("no fit is named %s", name);
    return NULL;
}

/* Every fit without weights, each by one of the methods. */
static void test_coefficients_agree_with_scikit_learn(void **state) {
    (void)state;
    static const char *const methods[] = {"sag", "saga", "svrg", "fista"};
    int turn = 0;
    for (size_t i = 0; i < GOLDEN; i++)
        if (!golden_fits[i].weighted && golden_fits[i].class_weight[0] == 0)
            check_golden(&golden_fits[i], "data.csv", methods[turn++ % 4]);
    for (int k = 0; k < 4; k++)
        check_golden(golden_of("lasso"), "data.csv", methods[k]);
}

/* The same numbers as sparse rows, plain and compressed. */
static void test_coefficients_of_sparse_rows_agree_with_scikit_learn(void **state) {
    (void)state;
    check_golden(golden_of("multinomial_digits_raw"), "data.svm", "sag");
    check_golden(golden_of("multinomial_digits_raw"), "data.svm.gz", "fista");
    check_golden(golden_of("squared_hinge"), "data.svm", "saga");
}

/* Columns of a LIBSVM file divided by their largest value. Without a penalty the coefficients are those of least
 * squares, whatever the columns were divided by. */
static void test_coefficients_of_scaled_columns_are_in_their_units(void **state) {
    (void)state;
    char path[512];
    output o;
    snprintf(path, sizeof path, "%s", in_folder("data.svm"));
    data_set d = data_set_of("diabetes");
    data_set_write(&d, path);
    fits scaled =
        FITS(&o, "--data", path, "--standardize", "--tol", "1e-12", "--epochs", "1000000", "--method", "fista");
    unlink(path);
    snprintf(path, sizeof path, "%s", in_folder("data.csv"));
    data_set_write(&d, path);
    fits dense =
        FITS(&o, "--data", path, "--standardize", "--tol", "1e-12", "--epochs", "1000000", "--method", "fista");
    unlink(path);
    assert_true(fits_row(&scaled, 0)[CONVERGED] == 1 && fits_row(&dense, 0)[CONVERGED] == 1);
    for (int64_t j = COEFFICIENTS; j < dense.columns; j++) {
        const double a = fits_row(&scaled, 0)[j], b = fits_row(&dense, 0)[j];
        if (!(fabs(a - b) <= 1e-5 * fmax(1, fabs(b))))
            fail_msg("column %d: %.9g, not %.9g", (int)j, a, b);
    }
    free(scaled.value), free(dense.value);
    data_set_free(&d);
}

/* The committed table and the standard tolerances, which promise less. */
static void test_defaults_give_the_promised_accuracy(void **state) {
    (void)state;
    static const char *const methods[] = {"sag", "saga", "svrg", "fista"};
    const golden_fit *fit = golden_of("lasso");
    int64_t shape[2];
    double *w = golden_numbers(fit->name, "weight", shape);
    data_set d = data_set_of("diabetes");
    for (int k = 0; k < 5; k++) {
        output o;
        const bool f32 = k == 4;
        fits f = FITS(&o, "--data", "examples/diabetes.csv", "--standardize", "--l1", "2", "--method", methods[k % 4],
                      f32 ? "--f32" : NULL);
        assert_string_equal(o.err, "");
        for (int64_t j = 0; j < shape[1]; j++)
            assert_true(fabs(fits_row(&f, 0)[COEFFICIENTS + 1 + j] * d.scale[j] - w[j]) <= (f32 ? 0.1 : 1e-3));
        free(f.value);
    }
    data_set_free(&d);
    free(w);
}

/* ---- Scores ---- */

/* As glm's coefficients have them, in plain loops; z of one row. */
static double predicted(const data_set *d, const double *row, int64_t outputs, int64_t i, int64_t k) {
    double z = row[COEFFICIENTS + k];
    for (int64_t j = 0; j < d->features; j++)
        z += row[COEFFICIENTS + outputs + k * d->features + j] * d->x[i * d->features + j];
    return z;
}

typedef double score_function(const data_set *d, const double *row);

static void check_score(const char *data, const char *loss, score_function *score) {
    char path[512];
    output o;
    snprintf(path, sizeof path, "%s", in_folder("data.csv"));
    data_set d = data_set_of(data);
    for (int64_t i = 0; strcmp(loss, "poisson") == 0 && i < d.n; i++)
        d.y[i] = floor(d.y[i] / 25);
    data_set_write(&d, path);
    fits f = FITS(&o, "--data", path, "--loss", loss, "--l2", "0.1", "--standardize");
    const double expected = score(&d, fits_row(&f, 0)), got = fits_row(&f, 0)[SCORE];
    if (!(fabs(got - expected) <= 1e-9)) /* sums of some hundred numbers of 16 digits */
        fail_msg("%s: %.12g, not %.12g", loss, got, expected);
    const char *name = strcmp(loss, "poisson") == 0 ? "d2" : strcmp(loss, "squared") == 0 ? "r2" : "accuracy";
    assert_true(fabs(result(&o, name) - got) <= 5e-5);
    free(f.value);
    data_set_free(&d);
    unlink(path);
}

static double r2(const data_set *d, const double *row) {
    double mean = 0, left = 0, all = 0;
    for (int64_t i = 0; i < d->n; i++)
        mean += d->y[i] / (double)d->n;
    for (int64_t i = 0; i < d->n; i++) {
        left += pow(d->y[i] - predicted(d, row, 1, i, 0), 2);
        all += pow(d->y[i] - mean, 2);
    }
    return 1 - left / all;
}

static double deviance(double y, double mean) {
    return 2 * (y > 0 ? y * log(y / mean) : 0) - 2 * (y - mean);
}

static double d2(const data_set *d, const double *row) {
    double mean = 0, left = 0, all = 0;
    for (int64_t i = 0; i < d->n; i++)
        mean += d->y[i] / (double)d->n;
    for (int64_t i = 0; i < d->n; i++) {
        left += deviance(d->y[i], exp(predicted(d, row, 1, i, 0)));
        all += deviance(d->y[i], mean);
    }
    assert_true(fabs(row[MEAN_LOSS] - left / 2 / (double)d->n) <= 1e-9 * row[MEAN_LOSS]);
    return 1 - left / all;
}

static double accuracy_of_two(const data_set *d, const double *row) {
    double right = 0;
    for (int64_t i = 0; i < d->n; i++)
        right += (predicted(d, row, 1, i, 0) > 0) == (d->y[i] > 0);
    return right / (double)d->n;
}

static double accuracy_of_three(const data_set *d, const double *row) {
    double right = 0;
    for (int64_t i = 0; i < d->n; i++) {
        int64_t best = 0;
        for (int64_t k = 1; k < 3; k++)
            best = predicted(d, row, 3, i, k) > predicted(d, row, 3, i, best) ? k : best;
        right += (double)best == d->y[i];
    }
    return right / (double)d->n;
}

static void test_scores_follow_from_the_coefficients(void **state) {
    (void)state;
    check_score("diabetes", "squared", r2);
    check_score("diabetes", "poisson", d2);
    check_score("breast_cancer", "logistic", accuracy_of_two);
    check_score("breast_cancer", "squared_hinge", accuracy_of_two);
    check_score("wine", "multinomial", accuracy_of_three);
}

/* ---- The path ---- */

/* max_j |1/n Σ x_ij r_i| of standardized columns; the residuals r at w = 0, where b makes their sum 0. */
static double largest_gradient(const data_set *d, const double *r) {
    double most = 0;
    for (int64_t j = 0; j < d->features; j++) {
        double sum = 0;
        for (int64_t i = 0; i < d->n; i++)
            sum += (d->x[i * d->features + j] - d->mean[j]) / d->scale[j] * r[i] / (double)d->n;
        most = fmax(most, fabs(sum));
    }
    return most;
}

static void check_path(const char *data, const char *loss, const char *ratio, const char *method) {
    char path[512];
    output o;
    snprintf(path, sizeof path, "%s", in_folder("data.csv"));
    data_set d = data_set_of(data);
    data_set_write(&d, path);
    double *r = calloc((size_t)d.n, sizeof *r), mean = 0;
    for (int64_t i = 0; i < d.n; i++)
        mean += d.y[i] / (double)d.n;
    for (int64_t i = 0; i < d.n; i++)
        r[i] = d.y[i] - mean; /* of the squared, logistic and Poisson losses */
    const double most = largest_gradient(&d, r), share = strtod(ratio, NULL);
    fits f = FITS(&o, "--data", path, "--loss", loss, "--standardize", "--path", "12", "--l1-ratio", ratio, "--method",
                  method, "--tol", "1e-8", "--epochs", "100000");
    assert_int_equal(f.rows, 12);
    assert_string_equal(o.err, "");
    for (int64_t i = 0; i < f.rows; i++) {
        const double *row = fits_row(&f, i);
        const double penalty = most / share * pow(1e-3 * share, (double)i / 11);
        if (!(fabs(row[PENALTY] - penalty) <= 1e-6 * penalty)) /* b is found to the tolerance */
            fail_msg("%s: penalty %d is %.12g, not %.12g", loss, (int)i, row[PENALTY], penalty);
        assert_true(fabs(row[L1] - share * penalty) <= 1e-6 * penalty);
        assert_true(fabs(row[L2] - (1 - share) * penalty) <= 1e-6 * penalty);
        assert_true(row[CONVERGED] == 1 && isnan(row[CV_LOSS]) && isnan(row[CV_ERROR]));
        double nonzero = 0;
        for (int64_t j = 0; j < d.features; j++)
            nonzero += row[COEFFICIENTS + 1 + j] != 0;
        assert_true(nonzero == row[NONZERO]);
        assert_true(i == 0 || row[MEAN_LOSS] < fits_row(&f, i - 1)[MEAN_LOSS]);
    }
    assert_true(fits_row(&f, 0)[NONZERO] == 0);
    assert_true(fits_row(&f, 1)[NONZERO] >= 1);
    assert_true(fits_row(&f, 11)[NONZERO] >= fits_row(&f, 10)[NONZERO] && fits_row(&f, 11)[NONZERO] > 4);
    free(f.value), free(r);
    data_set_free(&d);
    unlink(path);
}

static void test_path_begins_where_all_weights_are_zero(void **state) {
    (void)state;
    check_path("diabetes", "squared", "1", "saga");
    check_path("diabetes", "squared", "0.5", "fista");
    check_path("breast_cancer", "logistic", "1", "fista");
    check_path("diabetes", "poisson", "1", "sag");
}

/* What a path finds from the solution before, a single fit finds from nothing. To 1e-5 of the largest weight; both
 * have gradients below 1e-10 of that at 0. */
static void test_warm_start_ends_at_the_same_point(void **state) {
    (void)state;
    output o;
    fits warm = FITS(&o, "--data", "examples/diabetes.csv", "--standardize", "--path", "10", "--tol", "1e-10",
                     "--epochs", "100000");
    for (int64_t i = 1; i < warm.rows; i++) {
        char l1[32];
        const double *row = fits_row(&warm, i);
        snprintf(l1, sizeof l1, "%.17g", row[L1]);
        fits cold = FITS(&o, "--data", "examples/diabetes.csv", "--standardize", "--l1", l1, "--tol", "1e-10",
                         "--epochs", "100000");
        double most = 0;
        for (int64_t j = COEFFICIENTS; j < warm.columns; j++)
            most = fmax(most, fabs(row[j]));
        for (int64_t j = COEFFICIENTS; j < warm.columns; j++)
            assert_true(fabs(row[j] - fits_row(&cold, 0)[j]) <= 1e-5 * most);
        free(cold.value);
    }
    free(warm.value);
}

/* ---- Cross-validation ---- */

enum { FOLDS = 5, PENALTIES = 8, SEED = 7 };

/* The rule of README.md: shuffled samples are dealt out, class after class. */
static void deal(const data_set *d, bool classes, int *fold) {
    const int64_t *ids;
    sw_sampler *sampler = sw_sampler_new(d->n, d->n, SW_SHUFFLE, SEED);
    int dealt = 0;
    assert_int_equal(sw_sampler_next(sampler, &ids), d->n);
    for (int c = 0; c < (classes ? 2 : 1); c++)
        for (int64_t i = 0; i < d->n; i++)
            if (!classes || d->y[ids[i]] == c)
                fold[ids[i]] = dealt++ % FOLDS;
    sw_sampler_free(sampler);
}

/* The mean loss on fold k of a model that is fitted from nothing to copies of the other rows, by plain loops. */
static double left_out(const data_set *d, bool classes, const int *fold, int k, double l1, double l2) {
    const int64_t features = d->features;
    double *x = calloc((size_t)(d->n * features), sizeof *x), *y = calloc((size_t)d->n, sizeof *y), loss = 0;
    int32_t *label = calloc((size_t)d->n, sizeof *label);
    char rule[160];
    int64_t n = 0, out = 0;
    assert_true(x && y && label);
    for (int64_t i = 0; i < d->n; i++)
        if (fold[i] != k) {
            memcpy(x + n * features, d->x + i * features, sizeof *x * (size_t)features);
            label[n] = (int32_t)d->y[i];
            y[n++] = d->y[i];
        }
    const sw_array rows = sw_array_view(x, SW_F64, SW_SHAPE(n, features)),
                   targets =
                       classes ? sw_array_view(label, SW_I32, SW_SHAPE(n)) : sw_array_view(y, SW_F64, SW_SHAPE(n));
    const sw_glm_options of = {.size = sizeof of, .head = classes ? SW_HEAD_LOGISTIC : SW_HEAD_SQUARED};
    sw_glm *m = sw_glm_new(SW_F64, &rows, &targets, &of);
    snprintf(rule, sizeof rule, "role=weight: fista lr=auto weight_decay=%.17g l1=%.17g; fista lr=auto", l2, l1);
    const sw_optim_options how = {.size = sizeof how, .rule = rule};
    sw_optim *o = sw_optim_new_with_options(sw_glm_params(m), &how);
    const sw_train_options until = {.size = sizeof until, .steps = 100000, .tolerance = classes ? 1e-9 : 1e-7};
    sw_train_result r;
    assert_int_equal(sw_train(sw_glm_objective(m), o, &until, &r), SW_OK);
    assert_true(r.reason == SW_TRAIN_TOLERANCE);
    const double *w = sw_optim_point(o);
    for (int64_t i = 0; i < d->n; i++) {
        double z = w[features];
        for (int64_t j = 0; j < features; j++)
            z += w[j] * d->x[i * features + j];
        if (fold[i] == k)
            loss += classes ? log1p(exp(-fabs(z))) + fmax(z, 0) - d->y[i] * z : pow(z - d->y[i], 2) / 2, out++;
    }
    sw_optim_free(o), sw_glm_free(m);
    free(x), free(y), free(label);
    return loss / (double)out;
}

/* Means and standard errors to 1e-5: both have gradients below 1e-9 of that at 0, and so coefficients that agree to
 * 1e-6 (see check_coefficients). */
static void check_folds(const char *data, const char *loss, const char *ratio, const char *method) {
    char path[512];
    output o;
    const bool classes = strcmp(loss, "logistic") == 0;
    snprintf(path, sizeof path, "%s", in_folder("data.csv"));
    data_set d = data_set_of(data);
    data_set_standardize(&d);
    data_set_write(&d, path);
    int *fold = calloc((size_t)d.n, sizeof *fold);
    deal(&d, classes, fold);
    fits f = FITS(&o, "--data", path, "--loss", loss, "--path", "8", "--cv", "5", "--seed", "7", "--l1-ratio", ratio,
                  "--method", method, "--tol", "1e-9", "--epochs", "100000");
    double mean[PENALTIES], error[PENALTIES];
    int best = 0, simplest = 0;
    for (int i = 0; i < PENALTIES; i++) {
        const double *row = fits_row(&f, i);
        double of[FOLDS], squares = 0;
        mean[i] = 0;
        for (int k = 0; k < FOLDS; k++)
            mean[i] += (of[k] = left_out(&d, classes, fold, k, row[L1], row[L2])) / FOLDS;
        for (int k = 0; k < FOLDS; k++)
            squares += pow(of[k] - mean[i], 2);
        error[i] = sqrt(squares / (FOLDS - 1) / FOLDS);
        if (!(fabs(row[CV_LOSS] - mean[i]) <= 1e-5 * mean[i] && fabs(row[CV_ERROR] - error[i]) <= 1e-5 * error[i]))
            fail_msg("%s, penalty %g: %.9g and %.9g, not %.9g and %.9g", loss, row[PENALTY], row[CV_LOSS],
                     row[CV_ERROR], mean[i], error[i]);
        best = mean[i] < mean[best] ? i : best;
    }
    while (mean[simplest] > mean[best] + error[best])
        simplest++;
    assert_true(best > 0 && simplest < best); /* a case that tells them apart */
    assert_true(fabs(result(&o, "best_penalty") / fits_row(&f, best)[PENALTY] - 1) <= 1e-8);
    assert_true(fabs(result(&o, "one_standard_error_penalty") / fits_row(&f, simplest)[PENALTY] - 1) <= 1e-8);
    assert_true(result(&o, "nonzero") == fits_row(&f, best)[NONZERO]);
    free(f.value), free(fold);
    data_set_free(&d);
    unlink(path);
}

static void test_folds_agree_with_a_loop_by_hand(void **state) {
    (void)state;
    check_folds("diabetes", "squared", "1", "saga");
    check_folds("diabetes", "squared", "0.3", "fista");
    check_folds("breast_cancer", "logistic", "0.5", "fista");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coefficients_agree_with_scikit_learn),
        cmocka_unit_test(test_coefficients_of_sparse_rows_agree_with_scikit_learn),
        cmocka_unit_test(test_coefficients_of_scaled_columns_are_in_their_units),
        cmocka_unit_test(test_defaults_give_the_promised_accuracy),
        cmocka_unit_test(test_scores_follow_from_the_coefficients),
        cmocka_unit_test(test_path_begins_where_all_weights_are_zero),
        cmocka_unit_test(test_warm_start_ends_at_the_same_point),
        cmocka_unit_test(test_folds_agree_with_a_loop_by_hand),
    };
    return cmocka_run_group_tests_name("glm", tests, run_setup, run_teardown);
}
