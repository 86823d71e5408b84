/* Linear models with penalties for the tests of proximal rules: the cases of golden/prox_optimum.h, with value,
 * gradient and optimality in plain loops, and with data times a given factor. */
#ifndef TEST_LINEAR_MODELS_H
#define TEST_LINEAR_MODELS_H

#include "helpers.h"

#include "golden/prox_optimum.h"

enum { PROX_CASES = sizeof prox_cases / sizeof *prox_cases };

typedef struct linear_model {
    sw_objective f;
    sw_params *params; /* "w" [N] weight; "b" [] bias, if there is an intercept */
    const struct prox_case *c;
    double scale;      /* the factor of a and y */
    int64_t evaluated; /* number of samples whose gradient was evaluated */
} linear_model;

/* The mean over samples of ½ (⟨a, w⟩ + b - y)², or of log(1 + exp(-y (⟨a, w⟩ + b))). x contains w, then b. */
static inline double linear_model_value(const linear_model *p, const double *x, const int64_t *ids, int64_t count,
                                        double *g) {
    const int dim = PROX_N + p->c->intercept;
    double value = 0;
    for (int j = 0; j < dim; j++)
        g[j] = 0;
    for (int64_t k = 0; k < count; k++) {
        const int *a = prox_a + (ids ? ids[k] : k) * PROX_N;
        const int64_t i = ids ? ids[k] : k;
        double z = p->c->intercept ? x[PROX_N] : 0, slope;
        for (int j = 0; j < PROX_N; j++)
            z += a[j] / 1024.0 * p->scale * x[j];
        if (p->c->logistic) {
            const double m = prox_class[i] * z;
            value += m > 0 ? log1p(exp(-m)) : log1p(exp(m)) - m;
            slope = -prox_class[i] / (1 + exp(m));
        } else {
            slope = z - prox_y[i] / 1024.0 * p->scale;
            value += slope * slope / 2;
        }
        for (int j = 0; j < PROX_N; j++)
            g[j] += slope / (double)count * (a[j] / 1024.0 * p->scale);
        if (p->c->intercept)
            g[PROX_N] += slope / (double)count;
    }
    return value / (double)count;
}

static inline sw_status linear_model_gradient(void *user, const void *x, const int64_t *ids, int64_t count,
                                              uint64_t draw, double *value, void *g) {
    linear_model *p = user;
    const sw_dtype type = sw_params_type(p->params);
    double at[PROX_N + 1], slope[PROX_N + 1];
    (void)draw;
    for (int j = 0; j < PROX_N + p->c->intercept; j++)
        at[j] = vec_get(type, x, j);
    *value = linear_model_value(p, at, ids, count, slope);
    for (int j = 0; g && j < PROX_N + p->c->intercept; j++)
        vec_set(type, g, j, slope[j]);
    p->evaluated += g ? count : 0;
    return SW_OK;
}

static inline linear_model *linear_model_new(sw_dtype type, const struct prox_case *c, double scale) {
    linear_model *p = calloc(1, sizeof *p);
    assert_non_null(p);
    *p = (linear_model){.params = sw_params_new(type, 1), .c = c, .scale = scale};
    const sw_param_options weight = {.size = sizeof weight, .role = SW_ROLE_WEIGHT},
                           bias = {.size = sizeof bias, .role = SW_ROLE_BIAS};
    assert_non_null(sw_params_add(p->params, "w", SW_SHAPE(PROX_N), &weight));
    if (c->intercept)
        assert_non_null(sw_params_add(p->params, "b", SW_SHAPE(1), &bias));
    assert_ok(sw_params_build(p->params));
    memset(sw_params_x(p->params), 0, params_bytes(p->params));
    p->f = (sw_objective){
        .size = sizeof p->f, .n = PROX_M, .params = p->params, .user = p, .gradient = linear_model_gradient};
    return p;
}

static inline void linear_model_free(linear_model *p) {
    sw_params_free(p->params);
    free(p);
}

/* argmin over θ of ½ (θ - v)² + t|θ| in [low, high]: the best of the points at which the derivative is 0 or
 * discontinuous. */
static inline double prox_by_trial(double v, double t, double low, double high) {
    const double candidates[] = {low, high, 0, v - t, v + t};
    double best = NAN, least = INFINITY;
    for (int i = 0; i < 5; i++) {
        const double at = candidates[i];
        if (!isfinite(at) || at < low || at > high)
            continue;
        const double value = at * at / 2 - v * at + t * fabs(at); /* without the constant v²/2 */
        if (value < least) {
            least = value;
            best = at;
        }
    }
    return best;
}

/* The distance of x from the optimum of F: ‖x - prox_{sh}(x - s ∇f)‖∞ with s = 1/scale². b has no penalty. */
static inline double linear_model_residual(const linear_model *p, const void *x) {
    double at[PROX_N + 1], g[PROX_N + 1], worst = 0;
    const double s = 1 / (p->scale * p->scale), l1 = p->c->l1 / s, l2 = p->c->l2 / s;
    for (int j = 0; j < PROX_N + p->c->intercept; j++)
        at[j] = vec_get(sw_params_type(p->params), x, j);
    linear_model_value(p, at, NULL, PROX_M, g);
    for (int j = 0; j < PROX_N; j++) {
        const double v = at[j] - s * (g[j] + l2 * at[j]);
        worst = fmax(worst, fabs(at[j] - prox_by_trial(v, s * l1, p->c->low, p->c->high)));
    }
    return p->c->intercept ? fmax(worst, fabs(g[PROX_N]) / p->scale) : worst;
}

/* The options " l1=… weight_decay=… low=… high=…" of the case, or "" if it has none. The penalties are proportional to
 * the square of the data. */
static inline const char *prox_options(const struct prox_case *c, double scale, char text[160]) {
    int at = 0;
    text[0] = 0;
    if (c->l1 > 0)
        at += snprintf(text + at, 160 - (size_t)at, " l1=%.17g", c->l1 * scale * scale);
    if (c->l2 > 0)
        at += snprintf(text + at, 160 - (size_t)at, " weight_decay=%.17g", c->l2 * scale * scale);
    if (c->low == 0 && isinf(c->high)) {
        snprintf(text + at, 160 - (size_t)at, " nonnegative");
        return text;
    }
    if (!isinf(c->low))
        at += snprintf(text + at, 160 - (size_t)at, " low=%.17g", c->low);
    if (!isinf(c->high))
        snprintf(text + at, 160 - (size_t)at, " high=%.17g", c->high);
    return text;
}

/* The spec of the rule: step and momentum for all parameters, penalties only for w. */
static inline sw_optim *linear_model_optim(const linear_model *p, const char *estimator, const char *rule,
                                           uint64_t seed) {
    char spec[512], options[160];
    prox_options(p->c, p->scale, options);
    snprintf(spec, sizeof spec, "role=weight: %s%s%s%s", rule, options, p->c->intercept ? "; " : "",
             p->c->intercept ? rule : "");
    return NEW_OPTIM(p->params, .rule = spec, .estimator = estimator, .seed = seed);
}

/* The largest ‖a_i‖² + 1; the 1 is for the intercept. */
static inline double linear_model_largest(const linear_model *p) {
    double most = 0;
    for (int i = 0; i < PROX_M; i++) {
        double square = p->c->intercept;
        for (int j = 0; j < PROX_N; j++)
            square += pow(prox_a[i * PROX_N + j] / 1024.0 * p->scale, 2);
        most = fmax(most, square);
    }
    return most;
}

#endif
