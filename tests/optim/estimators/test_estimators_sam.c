/* SAM and ASAM: ε solves the linearized problem in every norm and for gradients of any size; both forms of ASAM against
 * plain loops; the estimators that they wrap and refuse. */
#include "helpers.h"

/* A function with the gradient that a test sets, and a note of where it was evaluated. */
enum { DIM = 5000, POINTS = 4 };
typedef struct given {
    sw_objective f;
    double g[DIM], at[POINTS][DIM];
    int points;
} given;

static sw_status given_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                double *value, void *g) {
    given *p = user;
    const sw_dtype type = sw_params_type(p->f.params);
    (void)ids, (void)count, (void)draw;
    *value = 1;
    for (int64_t i = 0; i < DIM; i++) {
        if (p->points < POINTS)
            p->at[p->points][i] = vec_get(type, x, i);
        if (g)
            vec_set(type, g, i, p->g[i]);
    }
    p->points++;
    return SW_OK;
}

/* "layer.weight" [40, 100], "layer.bias" [40], "other" [960]; x at 0. */
static given *given_new(sw_dtype type) {
    given *p = calloc(1, sizeof *p);
    assert_non_null(p);
    sw_params *params = sw_params_new(type, 1);
    const sw_param_options weight = {.size = sizeof weight, .role = SW_ROLE_WEIGHT},
                           bias = {.size = sizeof bias, .role = SW_ROLE_BIAS},
                           other = {.size = sizeof other, .role = SW_ROLE_OTHER};
    assert_non_null(sw_params_add(params, "layer.weight", SW_SHAPE(40, 100), &weight));
    assert_non_null(sw_params_add(params, "layer.bias", SW_SHAPE(40), &bias));
    assert_non_null(sw_params_add(params, "other", SW_SHAPE(960), &other));
    assert_ok(sw_params_build(params));
    p->f = (sw_objective){.size = sizeof p->f, .n = 1, .params = params, .user = p, .gradient = given_gradient};
    return p;
}

static void given_free(given *p) {
    sw_params_free(p->f.params);
    free(p);
}

static void fill(given *p, double size, uint64_t seed) {
    for (int64_t i = 0; i < DIM; i++) {
        const double u = test_uniform(&seed, -1, 1);
        p->g[i] = (double)(float)(size * u * u * u);
    }
}

/* ε of one step: the second evaluation's point less the first's. */
static void epsilon(given *p, const char *estimator, double *eps) {
    sw_optim *o = sw_optim_new_with_options(
        p->f.params, &(sw_optim_options){.size = sizeof(sw_optim_options), .rule = "sgd lr=0", .estimator = estimator});
    if (!o)
        fail_msg("%s: %s", estimator, sw_error());
    p->points = 0;
    assert_ok(sw_optim_minimize(o, &p->f, NULL));
    assert_int_equal(p->points, 2);
    for (int64_t i = 0; i < DIM; i++)
        eps[i] = p->at[1][i] - p->at[0][i];
    sw_optim_free(o);
}

static double largest(const double *v) {
    double most = 0;
    for (int64_t i = 0; i < DIM; i++)
        most = fmax(most, fabs(v[i]));
    return most;
}

static double norm(const double *v, double p) {
    const double most = largest(v);
    double sum = 0;
    if (isinf(p) || most == 0)
        return most;
    for (int64_t i = 0; i < DIM; i++)
        sum += pow(fabs(v[i]) / most, p);
    return most * pow(sum, 1 / p);
}

/* ⟨a, b⟩ / max|a| */
static double inner(const double *a, const double *b) {
    const double most = largest(a);
    double sum = 0;
    for (int64_t i = 0; i < DIM; i++)
        sum += a[i] / most * b[i];
    return sum;
}

/* ‖ε‖_p = ρ, and ⟨g, ε⟩ = ρ‖g‖_q, which is the most that Hölder allows; so that it beats any other ε of the
 * size, and 100 by lot. In h^(q-1) = exp((q-1) log h) a relative error of 2 ulp in the logarithm becomes
 * (q-1)|log h|·2 ulp, where (q-1)|log h| ≤ 745 (f64), 104 (f32) or the power is 0; weighted by its share of
 * the sum, e^-t t ≤ 0.37 for t = (q-1)|log h| at each element: 2 ulp more at most, on the average. The f32
 * sums have 32 lanes of 128 elements: 128 ulp if all errors add up, 12 as a walk. */
static void worst_of_its_size(double p, sw_dtype type, double size) {
    char spec[64];
    given *f = given_new(type);
    double eps[DIM], other[DIM];
    const double rho = 0.05,
                 q = p == 1     ? INFINITY
                     : isinf(p) ? 1
                                : p / (p - 1),
                 tolerance = type == SW_F32 ? 2e-6 : 1e-13 * (p < 1.1 ? 10 : 1);
    fill(f, size, 77);
    snprintf(spec, sizeof spec, "sam rho=0.05 p=%.17g", p);
    epsilon(f, spec, eps);
    const double most = largest(f->g), gain = inner(f->g, eps);
    if (!(fabs(norm(eps, p) / rho - 1) <= tolerance))
        fail_msg("p = %g, |g| = %g: size %.17g", p, size, norm(eps, p));
    if (!(fabs(gain / (rho * norm(f->g, q) / most) - 1) <= tolerance))
        fail_msg("p = %g, |g| = %g: gain %.17g of %.17g", p, size, gain, rho * norm(f->g, q) / most);
    uint64_t seed = 5;
    for (int k = 0; k < 100; k++) {
        for (int64_t i = 0; i < DIM; i++)
            other[i] = test_uniform(&seed, -1, 1);
        const double s = rho / norm(other, p);
        for (int64_t i = 0; i < DIM; i++)
            other[i] *= s;
        assert_true(inner(f->g, other) < gain);
    }
    given_free(f);
}

static void test_sam_perturbation_is_the_worst_of_its_norm(void **state) {
    (void)state;
    static const double p[] = {1, 1.001, 1.5, 2, 3, 100, INFINITY};
    for (size_t i = 0; i < sizeof p / sizeof *p; i++) {
        worst_of_its_size(p[i], SW_F64, 1);
        worst_of_its_size(p[i], SW_F32, 1);
        worst_of_its_size(p[i], SW_F64, 1e30); /* squares and powers of it are no numbers of f32 */
        worst_of_its_size(p[i], SW_F32, 1e30);
        worst_of_its_size(p[i], SW_F64, 1e-30);
        worst_of_its_size(p[i], SW_F32, 1e-30);
    }
}

/* p = 1: one element moves, the first of the largest. */
static void test_sam_ties_go_to_the_lowest_index(void **state) {
    (void)state;
    given *f = given_new(SW_F64);
    double eps[DIM];
    fill(f, 0.5, 3);
    f->g[4100] = f->g[4999] = 2;
    f->g[4099] = -2;
    epsilon(f, "sam rho=0.25 p=1", eps);
    for (int64_t i = 0; i < DIM; i++)
        assert_true(eps[i] == (i == 4099 ? -0.25 : 0));
    given_free(f);
}

/* Nowhere to go: one gradient serves, which is 0; p = ∞ moves only what has a gradient. */
static void test_sam_without_a_gradient_does_not_move(void **state) {
    (void)state;
    static const char *const specs[] = {"sam", "sam p=1", "sam p=inf", "sam p=1.5", "asam", "asam scale=all"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        given *f = given_new(SW_F64);
        sw_optim *o = sw_optim_new_with_options(
            f->f.params,
            &(sw_optim_options){.size = sizeof(sw_optim_options), .rule = "sgd lr=1", .estimator = specs[i]});
        assert_ok(sw_optim_minimize(o, &f->f, NULL));
        for (int64_t k = 0; k < DIM; k++)
            assert_true(vec_get(SW_F64, sw_params_x(f->f.params), k) == 0);
        sw_optim_free(o);
        given_free(f);
    }
    given *f = given_new(SW_F32);
    double eps[DIM];
    f->g[7] = -3;
    f->g[4500] = 1e-30;
    epsilon(f, "sam rho=0.5 p=inf", eps);
    for (int64_t i = 0; i < DIM; i++)
        assert_true(eps[i] == (i == 7 ? -0.5 : i == 4500 ? 0.5 : 0));
    given_free(f);
}

/* ε = ρ T² g/‖T g‖ in plain loops. Both sides in f64; the sum of 5000 squares in either order is within
 * 5000·2⁻⁵³, half of that in the root; a few roundings more, and one of x + ε for x up to 1 and ε above 1e-3
 * in those that are compared. */
static void test_asam_follows_its_formula(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        bool all;
        double rho, eta;
    } of[] = {{"asam", false, 0.5, 0.01}, {"asam scale=all", true, 2, 0}, {"asam rho=0.1 eta=0.5", false, 0.1, 0.5}};
    for (size_t k = 0; k < sizeof of / sizeof *of; k++)
        for (int e = -1; e <= 1; e++) {
            given *f = given_new(SW_F64);
            double eps[DIM], t[DIM], square = 0;
            uint64_t seed = 9;
            fill(f, 1, 4);
            for (int64_t i = 0; i < DIM; i++) {
                const double x = test_uniform(&seed, -1, 1);
                vec_set(SW_F64, sw_params_x(f->f.params), i, x);
                t[i] = of[k].all ? fabs(x) : i < 4000 ? fabs(x) + of[k].eta : 1;
                square += t[i] * f->g[i] * t[i] * f->g[i];
            }
            for (int64_t i = 0; i < DIM; i++) /* exact: a power of 2 whose square is none of f64 */
                f->g[i] = ldexp(f->g[i], 700 * e);
            epsilon(f, of[k].spec, eps);
            for (int64_t i = 0; i < DIM; i++) {
                const double expected = of[k].rho * t[i] * t[i] * ldexp(f->g[i], -700 * e) / sqrt(square);
                if (!(fabs(eps[i] - expected) <= 5e-13 * fabs(expected) + 0x1p-52))
                    fail_msg("%s, element %lld: %.17g, expected %.17g", of[k].spec, (long long)i, eps[i], expected);
            }
            given_free(f);
        }
}

/* The same in f32 where T g is no normal number of it: too large, too small. Sums in 32 lanes of 157 terms: 157
 * roundings of the square, half of that in the root, 8 more in the other factors; x and x + ε are rounded. */
static void test_asam_is_right_at_the_ends_of_f32(void **state) {
    (void)state;
    static const double sizes[][2] = {{1e10, 1e30}, {1e30, 1e38}, {1e-20, 1e-30}, {1, 1e-38}}; /* of x, g */
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        given *f = given_new(SW_F32);
        double eps[DIM], x[DIM], square = 0;
        uint64_t seed = 9;
        fill(f, sizes[k][1], 4);
        for (int64_t i = 0; i < DIM; i++) {
            x[i] = (double)(float)(sizes[k][0] * test_uniform(&seed, -1, 1));
            vec_set(SW_F32, sw_params_x(f->f.params), i, x[i]);
            square += x[i] * f->g[i] * x[i] * f->g[i];
        }
        epsilon(f, "asam scale=all", eps);
        for (int64_t i = 0; i < DIM; i++) {
            const double expected = 2 * x[i] * x[i] * f->g[i] / sqrt(square),
                         bound =
                             (157 / 2 + 8) * 0x1p-24 * fabs(expected) + 0x1p-24 * (fabs(x[i]) + fabs(x[i] + expected));
            if (!(fabs(eps[i] - expected) <= bound))
                fail_msg("x = %g, g = %g: %.9g, expected %.9g", x[i], f->g[i], eps[i], expected);
        }
        given_free(f);
    }
}

static sw_optim *make(given *f, const char *estimator) {
    return sw_optim_new_with_options(f->f.params,
                                     &(sw_optim_options){.size = sizeof(sw_optim_options), .estimator = estimator});
}

static void test_sam_refuses_wrong_options_by_name(void **state) {
    (void)state;
    given *f = given_new(SW_F64);
    assert_null(make(f, "sam rho=0.1 of=sag"));
    expect_error(
        SW_ERR_ARGUMENT,
        "estimator sam of=sag: sam evaluates more than once per step, but the tables of sag allow one evaluation");
    assert_null(make(f, "asam of=sam of=saga batch=2"));
    expect_error(
        SW_ERR_ARGUMENT,
        "estimator sam of=saga: sam evaluates more than once per step, but the tables of saga allow one evaluation");
    assert_null(make(f, "asam p=inf"));
    expect_error(SW_ERR_ARGUMENT, "asam: p=inf is outside [2, 2]");
    assert_null(make(f, "sam p=0.5"));
    expect_error(SW_ERR_ARGUMENT, "sam: p=0.5 is outside [1, inf)");
    assert_null(make(f, "sam rho=-1"));
    expect_error(SW_ERR_ARGUMENT, "sam: rho=-1 is outside [0, 1e+06]");
    sw_optim *o = make(f, "sam");
    assert_int_equal(sw_optim_step(o), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "optim_step: sam evaluates the objective itself: call sw_optim_minimize instead");
    sw_optim_free(o);
    given_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sam_perturbation_is_the_worst_of_its_norm),
        cmocka_unit_test(test_sam_ties_go_to_the_lowest_index),
        cmocka_unit_test(test_sam_without_a_gradient_does_not_move),
        cmocka_unit_test(test_asam_follows_its_formula),
        cmocka_unit_test(test_asam_is_right_at_the_ends_of_f32),
        cmocka_unit_test(test_sam_refuses_wrong_options_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
