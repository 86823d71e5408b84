/* Newton's method for generalized linear models, for comparison with the library's estimators: dense, in f64,
 * with a line search, in plain loops. It uses only the names of the losses from the library.
 *
 *     f(W, b) = Σ w_i l(W a_i + b, y_i) / Σ w_i + λ/2 ‖W‖²
 *
 * x holds W [outputs, features], then b [outputs], as in sw_glm_params. */
#ifndef TEST_NEWTON_H
#define TEST_NEWTON_H

#include "support.h"

typedef struct newton_problem {
    sw_head head;
    double delta; /* δ of HUBER */
    int64_t n, features, outputs;
    bool bias;
    const double *a;      /* [n, features] */
    const int32_t *label; /* [n], or: */
    const double *target; /* [n, outputs] */
    const double *weight; /* [n]; NULL: equal */
    double l2;            /* λ */
    bool parabolas;       /* see newton_factor_at */
} newton_problem;

enum { NEWTON_MOST_OUTPUTS = 16, NEWTON_STEPS = 200 };

static inline int64_t newton_dim(const newton_problem *p) {
    return p->outputs * (p->features + (p->bias ? 1 : 0));
}

static inline double *newton_numbers(int64_t count) {
    double *numbers = calloc((size_t)(count > 0 ? count : 1), sizeof *numbers);
    assert_non_null(numbers);
    return numbers;
}

/* Eight partial sums, which a compiler can keep in one register. */
static inline double newton_dot(int64_t n, const double *a, const double *b) {
    double lane[8] = {0};
    int64_t j = 0;
    for (; j + 8 <= n; j += 8)
        for (int k = 0; k < 8; k++)
            lane[k] += a[j + k] * b[j + k];
    for (; j < n; j++)
        lane[0] += a[j] * b[j];
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

static inline double newton_norm(int64_t n, const double *v) {
    return sqrt(newton_dot(n, v, v));
}

/* ---- Losses ---- */

static inline double newton_multinomial(int64_t outputs, const double *z, int32_t y, double *s) {
    double top = z[0], sum = 0;
    for (int64_t k = 1; k < outputs; k++)
        top = fmax(top, z[k]);
    for (int64_t k = 0; k < outputs; k++)
        sum += s[k] = exp(z[k] - top);
    for (int64_t k = 0; k < outputs; k++)
        s[k] = s[k] / sum - (k == y);
    return log(sum) + top - z[y];
}

/* Computes l of one output, its derivative s and its second derivative h. */
static inline double newton_single(const newton_problem *p, double z, double y, double *s, double *h) {
    const double r = z - y, e = exp(-fabs(z)), q = (z >= 0 ? 1 : e) / (1 + e), gap = 1 - (2 * y - 1) * z;
    switch (p->head) {
    case SW_HEAD_LOGISTIC:
        *s = q - y;
        *h = q * (1 - q);
        return log1p(e) + fmax(z, 0) - y * z;
    case SW_HEAD_SQUARED:
        *s = r;
        *h = 1;
        return r * r / 2;
    case SW_HEAD_HUBER:
        *h = fabs(r) <= p->delta ? 1 : p->parabolas ? p->delta / fabs(r) : 0;
        *s = fabs(r) <= p->delta ? r : copysign(p->delta, r);
        return fabs(r) <= p->delta ? r * r / 2 : p->delta * fabs(r) - p->delta * p->delta / 2;
    case SW_HEAD_SQUARED_HINGE:
        *h = gap > 0 ? 2 : 0;
        *s = gap > 0 ? -2 * (2 * y - 1) * gap : 0;
        return gap > 0 ? gap * gap : 0;
    case SW_HEAD_POISSON:
        *s = exp(z) - y;
        *h = exp(z);
        return exp(z) - y * z;
    default: fail_msg("no such loss: %d", (int)p->head); return NAN;
    }
}

/* Computes l(z, y_i), s [outputs], and h: the second derivative of each output; for MULTINOMIAL the probabilities, from
 * which the second derivatives follow. */
static inline double newton_loss(const newton_problem *p, int64_t i, const double *z, double *s, double *h) {
    double value = 0;
    if (p->head == SW_HEAD_MULTINOMIAL) {
        value = newton_multinomial(p->outputs, z, p->label[i], s);
        for (int64_t k = 0; k < p->outputs; k++)
            h[k] = s[k] + (k == p->label[i]);
        return value;
    }
    for (int64_t k = 0; k < p->outputs; k++)
        value += newton_single(p, z[k], p->label ? p->label[i] : p->target[i * p->outputs + k], &s[k], &h[k]);
    return value;
}

static inline void newton_predict(const newton_problem *p, const double *x, int64_t i, double *z) {
    for (int64_t k = 0; k < p->outputs; k++)
        z[k] = newton_dot(p->features, p->a + i * p->features, x + k * p->features) +
               (p->bias ? x[p->outputs * p->features + k] : 0);
}

/* The weight of sample i, divided by the sum of all weights. */
static inline double newton_weight(const newton_problem *p, int64_t i, double sum) {
    return (p->weight ? p->weight[i] : 1) / sum;
}

static inline double newton_weight_sum(const newton_problem *p) {
    double sum = 0;
    for (int64_t i = 0; i < p->n; i++)
        sum += p->weight ? p->weight[i] : 1;
    return sum;
}

/* Returns f(x); if g is not NULL, it receives the gradient. */
static inline double newton_value(const newton_problem *p, const double *x, double *g) {
    const int64_t d = p->features, weights = p->outputs * d;
    const double sum = newton_weight_sum(p);
    double value = p->l2 / 2 * newton_dot(weights, x, x), z[NEWTON_MOST_OUTPUTS], s[NEWTON_MOST_OUTPUTS],
           h[NEWTON_MOST_OUTPUTS];
    for (int64_t j = 0; g && j < newton_dim(p); j++)
        g[j] = j < weights ? p->l2 * x[j] : 0;
    for (int64_t i = 0; i < p->n; i++) {
        const double w = newton_weight(p, i, sum);
        newton_predict(p, x, i, z);
        value += w * newton_loss(p, i, z, s, h);
        for (int64_t k = 0; g && k < p->outputs; k++) {
            for (int64_t j = 0; j < d; j++)
                g[k * d + j] += w * s[k] * p->a[i * d + j];
            if (p->bias)
                g[weights + k] += w * s[k];
        }
    }
    return value;
}

/* ‖∇f(x)‖ */
static inline double newton_gradient_norm(const newton_problem *p, const double *x) {
    double *g = newton_numbers(newton_dim(p));
    newton_value(p, x, g);
    const double norm = newton_norm(newton_dim(p), g);
    free(g);
    return norm;
}

/* The norm of the smallest subgradient of f + λ₁‖W‖₁ at x. */
static inline double newton_residual(const newton_problem *p, double l1, const double *x) {
    const int64_t dim = newton_dim(p), weights = p->outputs * p->features;
    double *g = newton_numbers(dim);
    newton_value(p, x, g);
    for (int64_t j = 0; j < weights; j++)
        g[j] = x[j] != 0 ? g[j] + copysign(l1, x[j]) : copysign(fmax(fabs(g[j]) - l1, 0), g[j]);
    const double norm = newton_norm(dim, g);
    free(g);
    return norm;
}

/* ---- The Hessian ---- */

/* h += c [a_i, 1] [a_i, 1]ᵀ in the block of outputs k, l ≤ k; the lower triangle of [dim, dim]. */
static inline void newton_add_block(const newton_problem *p, int64_t i, int64_t k, int64_t l, double c, double *h) {
    const int64_t d = p->features, dim = newton_dim(p), weights = p->outputs * d;
    const double *a = p->a + i * d;
    for (int64_t r = 0; r < d; r++) {
        if (a[r] == 0)
            continue; /* half of the pixels of digits are 0 */
        double *row = h + (k * d + r) * dim + l * d;
        for (int64_t j = 0; j < (k == l ? r + 1 : d); j++)
            row[j] += c * a[r] * a[j];
    }
    if (!p->bias)
        return;
    double *row = h + (weights + k) * dim, *other = h + (weights + l) * dim;
    for (int64_t j = 0; j < d; j++)
        row[l * d + j] += c * a[j];
    for (int64_t j = 0; k != l && j < d; j++)
        other[k * d + j] += c * a[j];
    row[weights + l] += c;
}

/* Computes the lower triangle of ∇²f(x) [dim, dim]. For MULTINOMIAL with biases, adds 1 1ᵀ to the block of the biases:
 * an equal change of all biases does not change f, so that ∇²f is singular in this direction, in which ∇f is 0. */
static inline void newton_hessian(const newton_problem *p, const double *x, double *h) {
    const int64_t dim = newton_dim(p), weights = p->outputs * p->features;
    const double sum = newton_weight_sum(p);
    const bool multinomial = p->head == SW_HEAD_MULTINOMIAL;
    double z[NEWTON_MOST_OUTPUTS], s[NEWTON_MOST_OUTPUTS], q[NEWTON_MOST_OUTPUTS];
    memset(h, 0, (size_t)(dim * dim) * sizeof *h);
    for (int64_t i = 0; i < p->n; i++) {
        const double w = newton_weight(p, i, sum);
        newton_predict(p, x, i, z);
        newton_loss(p, i, z, s, q);
        for (int64_t k = 0; k < p->outputs; k++) {
            newton_add_block(p, i, k, k, w * q[k] * (multinomial ? 1 - q[k] : 1), h);
            for (int64_t l = 0; multinomial && l < k; l++)
                newton_add_block(p, i, k, l, -w * q[k] * q[l], h);
        }
    }
    for (int64_t j = 0; j < weights; j++)
        h[j * dim + j] += p->l2;
    for (int64_t k = weights; multinomial && k < dim; k++)
        for (int64_t l = weights; l <= k; l++)
            h[k * dim + l] += 1;
}

/* Computes h = L Lᵀ in place, in the lower triangle; false if a pivot is at most 1e-14 of its original value. */
static inline bool newton_factor(int64_t dim, double *h) {
    for (int64_t i = 0; i < dim; i++) {
        const double whole = h[i * dim + i];
        for (int64_t j = 0; j <= i; j++) {
            const double rest = h[i * dim + j] - newton_dot(j, h + i * dim, h + j * dim);
            if (j == i && !(rest > 1e-14 * whole))
                return false;
            h[i * dim + j] = j == i ? sqrt(rest) : rest / h[j * dim + j];
        }
    }
    return true;
}

/* Computes v ← (L Lᵀ)⁻¹ v. */
static inline void newton_substitute(int64_t dim, const double *h, double *v) {
    for (int64_t i = 0; i < dim; i++)
        v[i] = (v[i] - newton_dot(i, h + i * dim, v)) / h[i * dim + i];
    for (int64_t i = dim; i-- > 0;) {
        v[i] /= h[i * dim + i];
        for (int64_t j = 0; j < i; j++)
            v[j] -= h[i * dim + j] * v[i];
    }
}

/* Computes the factor of ∇²f(x). If it is singular, because few samples lie on the quadratic part of Huber's loss, uses
 * the parabolas that touch the linear parts from above. */
static inline void newton_factor_at(const newton_problem *p, const double *x, double *h) {
    newton_problem above = *p;
    newton_hessian(p, x, h);
    if (newton_factor(newton_dim(p), h))
        return;
    above.parabolas = true;
    newton_hessian(&above, x, h);
    if (!newton_factor(newton_dim(p), h))
        fail_msg("the Hessian is singular");
}

/* Estimates the smallest eigenvalue of ∇²f(x) by inverse iteration: an upper bound, to a few percent if it is well
 * separated. */
static inline double newton_curvature(const newton_problem *p, const double *x) {
    const int64_t dim = newton_dim(p);
    double *h = newton_numbers(dim * dim), *v = newton_numbers(dim), norm = 1;
    uint64_t seed = 1;
    newton_factor_at(p, x, h);
    for (int64_t j = 0; j < dim; j++)
        v[j] = test_uniform(&seed, -1, 1);
    for (int k = 0; k < 100; k++) {
        norm = newton_norm(dim, v);
        for (int64_t j = 0; j < dim; j++)
            v[j] /= norm;
        newton_substitute(dim, h, v);
    }
    norm = newton_norm(dim, v);
    free(h);
    free(v);
    return 1 / norm;
}

/* ---- The method ---- */

/* Takes a step from x along -(∇²f)⁻¹ ∇f. The step is halved until f falls by 1e-4 of the linear prediction, up to the
 * rounding of f; false if no length is small enough. */
static inline bool newton_step(const newton_problem *p, double *x, double *work) {
    const int64_t dim = newton_dim(p);
    double *g = work, *step = work + dim, *at = work + 2 * dim, *h = work + 3 * dim;
    const double f = newton_value(p, x, g);
    newton_factor_at(p, x, h);
    memcpy(step, g, (size_t)dim * sizeof *g);
    newton_substitute(dim, h, step);
    const double slope = newton_dot(dim, g, step);
    for (double t = 1; t > 1e-12; t /= 2) {
        for (int64_t j = 0; j < dim; j++)
            at[j] = x[j] - t * step[j];
        if (newton_value(p, at, NULL) <= f - 1e-4 * t * slope + 1e-14 * fabs(f)) {
            memcpy(x, at, (size_t)dim * sizeof *x);
            return true;
        }
    }
    return false;
}

/* Iterates from x to the minimum, until ‖∇f‖ is at most `goal`, or no longer decreases near its rounding error (1e-9 of
 * its value at x = 0). Returns ‖∇f‖; the test fails if the iteration ends elsewhere. */
static inline double newton_minimize(const newton_problem *p, double *x, double goal) {
    const int64_t dim = newton_dim(p);
    double *work = newton_numbers(3 * dim + dim * dim), *best = newton_numbers(dim);
    const double first = newton_gradient_norm(p, best);
    double norm = newton_gradient_norm(p, x);
    memcpy(best, x, (size_t)dim * sizeof *x);
    for (int k = 0, worse = 0; norm > goal && k < NEWTON_STEPS && worse < 3; k++) {
        if (!newton_step(p, x, work))
            break;
        const double now = newton_gradient_norm(p, x);
        worse = now < norm ? 0 : norm <= 1e-9 * first ? worse + 1 : worse;
        if (now < norm || norm > 1e-9 * first) {
            norm = now;
            memcpy(best, x, (size_t)dim * sizeof *x);
        }
    }
    memcpy(x, best, (size_t)dim * sizeof *x);
    free(work);
    free(best);
    if (!(norm <= goal || norm <= 1e-9 * first))
        fail_msg("Newton's method ends at a gradient of %.3g, first %.3g, goal %.3g", norm, first, goal);
    return norm;
}

#endif
