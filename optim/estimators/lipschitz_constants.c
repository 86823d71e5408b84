/* Curvature by differences of gradients,
 *     ℓ = ⟨∇f(x) - ∇f(x - hu), u⟩ / (h ‖u‖²)
 * M. Schmidt, N. Le Roux, F. Bach (2013, section 4.6) compare losses instead, f(x - g/L) ≤ f(x) - ‖g‖²/(2L). In f32
 * losses are not precise enough for that: the difference is of second order in the step, but its rounding error does
 * not become smaller with the step. The difference of gradients is of first order. With steps of at least √ε‖x‖, where
 * ε is the unit roundoff, its relative error is about √ε. */
#include "optim/estimators/lipschitz_constants.h"

#include "optim/estimators/glm_loop.h"

#include <math.h>

enum { TRIAL = 4, THERE, DERIVATIVES }; /* scratch */
enum { MOST_TRIALS = 100 };

sw_status swo_head_curvature(const sw_estimate *e, double *curvature) {
    const sw_glm_data *data = e->objective->glm;
    if (!data)
        return sw_fail(SW_ERR_ARGUMENT,
                       "estimator %s: lipschitz=auto needs a generalized linear model with a known loss "
                       "and samples in memory (sw_glm_new); lipschitz=0 measures it",
                       e->method->name);
    *curvature = sw_head_curvature(data->head);
    if (*curvature == 0)
        return sw_fail(SW_ERR_ARGUMENT,
                       "estimator %s: the second derivative of the %s loss has no bound, so that "
                       "lipschitz=auto finds none; lipschitz=0 measures it",
                       e->method->name, sw_head_name(data->head));
    return SW_OK;
}

sw_status swo_keep_squares(sw_estimate *e) {
    swo_glm_own *own = swo_glm_own_of(e);
    double *squares = sw_estimate_memory(e, GLM_MEMORY_SQUARES, (size_t)e->n * sizeof *squares), most = 0;
    if (!squares)
        return SW_ERR_MEMORY;
    sw_objective_squared_norms(e->objective, squares);
    for (int64_t i = 0; i < e->n; i++)
        most = squares[i] > most ? squares[i] : most;
    own->squares = squares;
    own->largest_row = sqrt(most + 1);
    return SW_OK;
}

const double *swo_squares(const sw_estimate *e) {
    return swo_glm_own_of(e)->squares;
}

double swo_sample_l(const sw_estimate *e, int64_t id, double curvature) {
    const sw_glm_data *data = e->objective->glm;
    return curvature * data->scale * (data->weight ? data->weight[id] : 1) *
           (swo_squares(e)[id] + (e->objective->bias ? 1 : 0));
}

void swo_find_frozen_parts(const sw_estimate *e, bool *weights_frozen, bool *bias_frozen) {
    const int64_t weights = e->objective->outputs * e->objective->features;
    *weights_frozen = *bias_frozen = true;
    for (int i = 0; i < sw_params_count(e->params); i++) {
        const sw_param *p = sw_params_at(e->params, i);
        if (p->frozen || p->tied || p->count == 0)
            continue;
        if (p->offset < weights)
            *weights_frozen = false;
        if (p->offset + p->count > weights)
            *bias_frozen = false;
    }
}

double swo_known_l(const sw_estimate *e, double given, double measured) {
    return given > 0 ? given : isnan(given) ? swo_glm_own_of(e)->l_of_rows : measured;
}

double swo_expected_l(double n, double batch, double whole, double most) {
    return n > 1 ? n * (batch - 1) / (batch * (n - 1)) * whole + (n - batch) / (batch * (n - 1)) * most : most;
}

/* e^z of one output of a sample, from its derivative s = factor·(e^z - y). */
static double poisson_exp(const sw_estimate *e, const void *s, int64_t at, double factor) {
    const void *y = e->objective->glm->target;
    return sw_load_element(e->type, s, at) / factor + sw_load_element(e->type, y, at);
}

/* Computed from the curvatures at this point. The L of the mean loss is at least the trace of its Hessian divided by
 * the number of parameters, which is used in its place. */
double swo_least_l(const sw_estimate *e, const void *s, double batch) {
    const sw_objective *f = e->objective;
    const double n = (double)e->n;
    double most = 0, trace = 0;
    bool weights_frozen, bias_frozen;
    swo_find_frozen_parts(e, &weights_frozen, &bias_frozen);
    if (f->glm->head != SW_HEAD_POISSON)
        return 0;
    for (int64_t i = 0; i < e->n; i++) {
        const double factor = f->glm->scale * (f->glm->weight ? f->glm->weight[i] : 1),
                     square = (weights_frozen ? 0 : swo_squares(e)[i]) + (f->bias && !bias_frozen ? 1 : 0);
        for (int64_t k = 0; k < f->outputs && factor > 0; k++) {
            const double l = factor * square * fmax(poisson_exp(e, s, i * f->outputs + k, factor), 0);
            most = fmax(most, l);
            trace += l / n;
        }
    }
    const double l = swo_expected_l(n, batch, trace / (double)e->dim, most);
    return isfinite(l) ? l : 0;
}

double swo_mean_factor(double weight) {
    return weight == SW_SUMMED ? 1 : weight > 0 ? 1 / weight : 0;
}

/* Computes the mean gradient of the samples of the step. */
static sw_status mean_gradient_at(sw_estimate *e, const void *x, void *g) {
    if (e->objective->glm || !sw_objective_is_glm(e->objective))
        return sw_estimate_gradient(e, x, e->ids, e->count, NULL, g);
    const int64_t numbers = e->count * e->objective->outputs;
    void *s = sw_estimate_scratch(e, DERIVATIVES, numbers);
    if (!s)
        return SW_ERR_MEMORY;
    SW_TRY(sw_estimate_glm_derivatives(e, x, e->ids, e->count, NULL, s));
    const double weight = sw_tape_loss_weight(e->tape);
    sw_vector_axpby(e->type, numbers, swo_mean_factor(weight), s, 0, NULL, s);
    SW_TRY(sw_estimate_glm_combine(e, e->ids, e->count, s, 0, g));
    sw_estimate_zero_frozen(e, g);
    return SW_OK;
}

typedef struct secant {
    sw_estimate *e;
    const void *x, *g, *u;
    double square;            /* ‖u‖² */
    double curvature, change; /* out: ℓ, NaN if the gradient is not finite; ‖∇f(x) - ∇f(x - hu)‖ */
} secant;

static sw_status secant_over(secant *s, double h) {
    sw_estimate *e = s->e;
    void *trial = sw_estimate_scratch(e, TRIAL, 0), *there = sw_estimate_scratch(e, THERE, 0);
    if (!trial || !there)
        return SW_ERR_MEMORY;
    s->curvature = s->change = NAN;
    sw_vector_axpby(e->type, e->dim, 1, s->x, -h, s->u, trial);
    sw_status status = mean_gradient_at(e, trial, there);
    if (status == SW_SKIPPED)
        return SW_OK;
    SW_TRY(status);
    sw_vector_axpby(e->type, e->dim, 1, s->g, -1, there, there);
    if (sw_vector_norm(e->type, e->dim, there, &s->change) != SW_OK)
        s->change = NAN;
    s->curvature = sw_vector_dot(e->type, e->dim, there, s->u) / (h * s->square);
    return SW_OK;
}

/* If no L is known, neither is a suitable h. Begins with a tiny h, which grows until the gradient changes by √ε of its
 * norm. */
static sw_status first_curvature(secant *s, double x_norm, double g_norm, double root, double *l) {
    const double u = sqrt(s->square);
    double h = fmax(x_norm * root, 1e-30) / u;
    for (int k = 0; k < MOST_TRIALS && h * u < 1e30; k++) {
        SW_TRY(secant_over(s, h));
        if (isnan(s->change))
            break;
        *l = s->curvature;
        if (s->change >= root * g_norm)
            return SW_OK;
        h *= 16;
    }
    *l = 0;
    return SW_OK;
}

/* ‖x‖ without frozen parameters, which may contain Inf. */
static double free_norm(const sw_estimate *e, const void *x) {
    double sum = 0, norm;
    for (int i = 0; i < sw_params_count(e->params); i++) {
        const sw_param *p = sw_params_at(e->params, i);
        if (p->frozen || p->tied)
            continue;
        if (sw_vector_norm(e->type, p->count, (const char *)x + (size_t)p->offset * sw_dtype_size(e->type), &norm) !=
            SW_OK)
            return NAN;
        sum = hypot(sum, norm);
    }
    return sum;
}

sw_status swo_curvature(sw_estimate *e, const void *x, const void *g, const void *u, double l, double *curvature) {
    const double root = e->type == SW_F32 ? 0x1p-12 : 0x1p-26;
    double g_norm, u_norm;
    const double x_norm = free_norm(e, x);
    *curvature = 0;
    SW_TRY(sw_vector_norm(e->type, e->dim, g, &g_norm));
    if (sw_vector_norm(e->type, e->dim, u, &u_norm) != SW_OK || u_norm == 0) {
        u = g;
        u_norm = g_norm;
    }
    if (u_norm == 0 || !isfinite(x_norm))
        return SW_OK;
    secant s = {.e = e, .x = x, .g = g, .u = u, .square = u_norm * u_norm};
    if (!(s.square > 0) || isinf(s.square))
        return SW_OK;
    if (l == 0)
        SW_TRY(first_curvature(&s, x_norm, g_norm, root, &l));
    if (!(l > 0) || isinf(l))
        return SW_OK;
    for (int k = 0; k < MOST_TRIALS; k++) {
        SW_TRY(secant_over(&s, fmax(1 / l, root * (x_norm + g_norm / l) / u_norm)));
        if (s.curvature <= l * (1 + 1e-6)) /* false for NaN */
            break;
        l = s.curvature < 2 * l ? s.curvature : 2 * l;
    }
    *curvature = s.curvature > 0 ? s.curvature : 0;
    return SW_OK;
}
