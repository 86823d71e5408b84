/* The Newton method (newton.h) with which the tests of SAG, SAGA and SVRG compare: its derivatives, and the optima of
 * scikit-learn's fits. */
#include "glm_problems.h"

enum { FITS = sizeof golden_fits / sizeof *golden_fits };

static double random_point(const newton_problem *p, double size, uint64_t seed, double *x) {
    double largest = 0;
    for (int64_t j = 0; j < newton_dim(p); j++) {
        x[j] = test_uniform(&seed, -size, size);
        largest = fmax(largest, fabs(x[j]));
    }
    return largest;
}

/* Along random directions: f against ∇f, and ∇f against ∇²f, by differences over ±1e-5. Their own error is
 * 1e-10·f‴/6 and the rounding 1e-16·f/1e-5, both below 1e-7 of the first derivative for these points, on Huber's
 * and the hinge's corners (where ∇²f jumps for one sample of n) below 1/n. */
static void test_derivatives_agree_with_differences(void **state) {
    (void)state;
    for (int i = 0; i < FITS; i++) {
        glm_problem *p = glm_problem_golden(&golden_fits[i], SW_F64);
        const int64_t dim = newton_dim(&p->f);
        double *x = newton_numbers(dim), *v = newton_numbers(dim), *g = newton_numbers(3 * dim),
               *h = newton_numbers(dim * dim);
        const bool corners = p->f.head == SW_HEAD_HUBER || p->f.head == SW_HEAD_SQUARED_HINGE;
        random_point(&p->f, golden_fits[i].scaled ? 0.1 : 0.01, 1, x);
        random_point(&p->f, 1, 2, v);
        for (int64_t k = p->f.outputs * p->f.features; p->f.head == SW_HEAD_MULTINOMIAL && k < dim; k++)
            v[k] = 0; /* newton_hessian adds something there */
        double value[2], slope, bend = 0;
        newton_value(&p->f, x, g);
        newton_hessian(&p->f, x, h);
        slope = newton_dot(dim, g, v);
        for (int64_t r = 0; r < dim; r++)
            for (int64_t c = 0; c < dim; c++)
                bend += v[r] * v[c] * h[r >= c ? r * dim + c : c * dim + r];
        for (int side = 0; side < 2; side++) {
            for (int64_t j = 0; j < dim; j++)
                x[j] += (side ? 2e-5 : -1e-5) * v[j];
            value[side] = newton_value(&p->f, x, g + (1 + side) * dim);
        }
        const double by_value = (value[1] - value[0]) / 2e-5,
                     by_slope = (newton_dot(dim, g + 2 * dim, v) - newton_dot(dim, g + dim, v)) / 2e-5;
        if (!(fabs(by_value - slope) <= 1e-6 * fabs(slope) && fabs(by_slope - bend) <= (corners ? 0.01 : 1e-6) * bend))
            fail_msg("%s: slope %.9g, by differences %.9g; curvature %.9g, by differences %.9g", p->name, slope,
                     by_value, bend, by_slope);
        free(x);
        free(v);
        free(g);
        free(h);
        glm_problem_free(p);
    }
}

/* Both end where the gradient is the rounding of its sums, some 1e-16 of the first one for each of n terms with
 * signs of their own: 1e-14 of it. The two optima are then apart by at most the sum over the smallest
 * curvature. */
static void test_optima_agree_with_scikit_learn(void **state) {
    (void)state;
    for (int i = 0; i < FITS; i++) {
        if (golden_fits[i].l1 > 0)
            continue;
        glm_problem *p = glm_problem_golden(&golden_fits[i], SW_F64);
        const int64_t dim = newton_dim(&p->f);
        double *x = newton_numbers(dim), *golden = glm_golden_x(&golden_fits[i]), apart = 0, largest = 0;
        const double first = newton_gradient_norm(&p->f, x), norm = newton_minimize(&p->f, x, 1e-13 * first),
                     bound = (norm + golden_fits[i].gradient + 2e-14 * first) / newton_curvature(&p->f, golden);
        for (int64_t j = 0; j < dim; j++) {
            apart = fmax(apart, fabs(x[j] - golden[j]));
            largest = fmax(largest, fabs(golden[j]));
        }
        print_message("%-28s gradient %.1e of %.1e, apart %.1e of %.1e, bound %.1e\n", p->name, norm, first, apart,
                      largest, bound);
        if (!(apart <= bound && bound <= 1e-9 * largest))
            fail_msg("%s: coefficients are apart by %.3g, the bound is %.3g", p->name, apart, bound);
        free(x);
        free(golden);
        glm_problem_free(p);
    }
}

/* With λ₁‖W‖₁ the gradient of the rest is -λ₁ sign(W) where W is not 0, and at most λ₁ elsewhere: to 1e-12 of
 * the first gradient, golden/glm.py's own goal. */
static void test_optima_with_l1_meet_their_conditions(void **state) {
    (void)state;
    for (int i = 0; i < FITS; i++) {
        const golden_fit *fit = &golden_fits[i];
        if (fit->l1 == 0)
            continue;
        glm_problem *p = glm_problem_golden(fit, SW_F64);
        const int64_t dim = newton_dim(&p->f), weights = p->f.outputs * p->f.features;
        double *x = glm_golden_x(fit), *g = newton_numbers(dim), *zero = newton_numbers(dim);
        int zeros = 0;
        newton_value(&p->f, x, g);
        for (int64_t j = 0; j < weights; j++) {
            zeros += x[j] == 0;
            assert_true(fabs(g[j]) <= fit->l1 * (1 + 1e-9));
        }
        assert_true(newton_residual(&p->f, fit->l1, x) <= 1e-12 * fmax(newton_gradient_norm(&p->f, zero), 1));
        assert_true(zeros > 0 && zeros < weights);
        free(x);
        free(g);
        free(zero);
        glm_problem_free(p);
    }
}

/* Rows c_j e_j: f = 1/(2n) Σ (c_j x_j - y_j)² + λ/2 ‖x‖² with the curvature c_j²/n + λ along e_j. */
static void test_smallest_curvature_is_found(void **state) {
    (void)state;
    enum { N = 7 };
    double a[N * N] = {0}, y[N] = {1, 2, 3, 4, 5, 6, 7}, x[N] = {0};
    const newton_problem p = {
        .head = SW_HEAD_SQUARED, .n = N, .features = N, .outputs = 1, .a = a, .target = y, .l2 = 0.5};
    for (int j = 0; j < N; j++)
        a[j * N + j] = 3 + j;
    assert_true(fabs(newton_curvature(&p, x) - (9.0 / N + 0.5)) < 1e-9);
    assert_true(newton_minimize(&p, x, 1e-14) <= 1e-14);
    for (int j = 0; j < N; j++)
        assert_true(fabs(x[j] - (3 + j) * y[j] / ((3 + j) * (3 + j) + 0.5 * N)) < 1e-13);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_derivatives_agree_with_differences),
        cmocka_unit_test(test_optima_agree_with_scikit_learn),
        cmocka_unit_test(test_optima_with_l1_meet_their_conditions),
        cmocka_unit_test(test_smallest_curvature_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
