/* Every rule in plain C, as in the algorithm box of its paper, in double precision, for one element or one tensor at a
 * time. It is not optimized, and shares no code with optim/rules. test_references.c compares each function with the
 * numbers of PyTorch, optax and NumPy, and the rule of the library with the function. For a new rule, add a function
 * and its line in `references`, at the end. */
#ifndef TEST_RULE_REFERENCES_H
#define TEST_RULE_REFERENCES_H

#include "helpers.h"

enum { REFERENCE_STATES = 48 };

typedef struct reference_state {
    const char *name;
    double *value; /* [n] */
} reference_state;

typedef struct reference {
    const sw_rule *rule;
    double option[SW_MAX_OPTIONS]; /* values of the options in this step, in the order of rule->options */
    sw_params *params;             /* the offsets, shapes and roles of the tensors */
    int64_t n;                     /* elements of all tensors */
    int64_t t;                     /* number of this step, from 1 */
    double *theta;                 /* [n], which the step changes */
    const double *g;               /* [n], the gradient at theta */
    reference_state state[REFERENCE_STATES];
} reference;

static inline double option_of(const reference *r, const char *name) {
    for (int i = 0; r->rule->options[i].name; i++)
        if (strcmp(r->rule->options[i].name, name) == 0)
            return r->option[i];
    fail_msg("rule %s has no option %s", r->rule->name, name);
    return NAN;
}

/* A vector [n] of state, zero at first. A single number is its first element. */
static inline double *state_of(reference *r, const char *name) {
    for (int i = 0; i < REFERENCE_STATES; i++) {
        reference_state *s = &r->state[i];
        if (!s->name) {
            s->name = name;
            s->value = calloc((size_t)r->n, sizeof *s->value);
            assert_non_null(s->value);
        }
        if (strcmp(s->name, name) == 0)
            return s->value;
    }
    fail_msg("the reference of %s keeps more than %d vectors", r->rule->name, REFERENCE_STATES);
    return NULL;
}

/* The denominator: √v + ε, or √(v + ε) with eps_in_root. */
static inline double root(const reference *r, double v) {
    const double eps = option_of(r, "eps");
    return option_of(r, "eps_in_root") != 0 ? sqrt(v + eps) : sqrt(v) + eps;
}

/* ---- Gradient methods, without and with a proximal step ---- */

/* The proximal step: argmin over θ of ½ (θ - v)² + η h(θ), where h(θ) = l1 |θ| for θ in [low, high] and ∞ elsewhere
 * (Parikh, Boyd, Proximal algorithms, 2014, section 6). */
static inline double prox(const reference *r, double v) {
    const double threshold = option_of(r, "lr") * option_of(r, "l1"), high = option_of(r, "high");
    const double low = option_of(r, "nonnegative") != 0 ? fmax(option_of(r, "low"), 0) : option_of(r, "low");
    const double shrunk = v > threshold ? v - threshold : v < -threshold ? v + threshold : 0;
    return fmin(fmax(shrunk, low), high);
}

/* iPiano (Ochs, Chen, Brox, Pock, SIAM J. Imaging Sci. 7, 2014): θ' = prox(θ - η g + μ (θ - θ before)), where the
 * previous change of θ is expressed in the learning rate of this step. */
static void sgd_with_prox_reference(reference *r) {
    const double lr = option_of(r, "lr"), mu = option_of(r, "momentum"), lambda = option_of(r, "weight_decay");
    double *theta = r->theta, *before = state_of(r, "before"), *lr_before = state_of(r, "lr_before");
    for (int64_t i = 0; i < r->n; i++) {
        const double g = r->g[i] + lambda * theta[i];
        const double inertia = r->t == 1 ? 0 : mu * (theta[i] - before[i]) * lr / *lr_before;
        before[i] = theta[i];
        theta[i] = prox(r, theta[i] - lr * g + inertia);
    }
    *lr_before = lr;
}

/* Robbins, Monro 1951; momentum of Polyak 1964, Nesterov's as in Sutskever et al., ICML 2013, with the order of
 * operations, dampening and the first step of torch.optim.SGD. */
static void sgd_reference(reference *r) {
    const double lr = option_of(r, "lr"), mu = option_of(r, "momentum"), tau = option_of(r, "dampening"),
                 lambda = option_of(r, "weight_decay");
    const bool nesterov = option_of(r, "nesterov") != 0;
    double *theta = r->theta, *b = state_of(r, "b");
    if (option_of(r, "l1") != 0 || option_of(r, "nonnegative") != 0 || !isinf(option_of(r, "low")) ||
        !isinf(option_of(r, "high"))) {
        sgd_with_prox_reference(r);
        return;
    }
    for (int64_t i = 0; i < r->n; i++) {
        const double g = r->g[i] + lambda * theta[i];
        b[i] = r->t == 1 ? g : mu * b[i] + (1 - tau) * g;
        theta[i] -= lr * (mu == 0 ? g : nesterov ? g + mu * b[i] : b[i]);
    }
}

/* torch.optim.ASGD: Polyak, Juditsky, SIAM J. Control Optim. 30, 1992. The learning rate of a step is computed at the
 * end of the step before. */
static void asgd_reference(reference *r) {
    const double lr = option_of(r, "lr"), lambda = option_of(r, "lambda"), decay = option_of(r, "weight_decay"),
                 t = (double)r->t;
    double *theta = r->theta, *mean = state_of(r, "mean"), *next = state_of(r, "eta"), *mu = state_of(r, "mu");
    const double eta = r->t == 1 ? lr : *next;
    for (int64_t i = 0; i < r->n; i++) {
        theta[i] = (1 - lambda * eta) * theta[i] - eta * (r->g[i] + decay * theta[i]);
        mean[i] = r->t == 1 ? theta[i] : mean[i] + *mu * (theta[i] - mean[i]);
    }
    *next = lr / pow(1 + lambda * lr * t, option_of(r, "alpha"));
    *mu = 1 / fmax(1, t - option_of(r, "t0"));
}

/* torch.optim.Rprop: Riedmiller, Braun, ICNN 1993. The sign of the previous gradient is kept as 1, 2 or 3, so that the
 * noise of test_references.c does not change a sign of 0. */
static void rprop_reference(reference *r) {
    double *theta = r->theta, *size = state_of(r, "size"), *before = state_of(r, "before");
    for (int64_t i = 0; i < r->n; i++) {
        const double g = r->g[i], product = r->t == 1 ? 0 : g * (round(before[i]) - 2);
        size[i] = r->t == 1 ? option_of(r, "lr") : size[i];
        size[i] *= product > 0 ? option_of(r, "eta_plus") : product < 0 ? option_of(r, "eta_minus") : 1;
        size[i] = fmin(fmax(size[i], option_of(r, "min_step")), option_of(r, "max_step"));
        const double sign = product < 0 || g == 0 ? 0 : g > 0 ? 1 : -1;
        theta[i] -= size[i] * sign;
        before[i] = sign + 2;
    }
}

/* Beck, Teboulle, SIAM J. Imaging Sci. 2, 2009, equations (4.1) to (4.3), where theta is y. restart: the gradient
 * scheme of O'Donoghue, Candès, Found. Comput. Math. 15, 2015. mu: Nesterov, Introductory lectures, 2004,
 * section 2.2. */
static void fista_reference(reference *r) {
    const double lr = option_of(r, "lr"), lambda = option_of(r, "weight_decay"),
                 q = sqrt(fmin(lr * option_of(r, "mu"), 1));
    double *y = r->theta, *x = state_of(r, "x"), *x_next = state_of(r, "x_next"), *t = state_of(r, "t"), uphill = 0;
    for (int64_t i = 0; i < r->n; i++) {
        x[i] = r->t == 1 ? y[i] : x[i];
        x_next[i] = prox(r, y[i] - lr * (r->g[i] + lambda * y[i]));
        uphill += (y[i] - x_next[i]) * (x_next[i] - x[i]);
    }
    const bool restart = option_of(r, "restart") != 0 && uphill > 0;
    const double t_now = r->t == 1 || restart ? 1 : *t, t_next = (1 + sqrt(1 + 4 * t_now * t_now)) / 2;
    const double beta = restart ? 0 : option_of(r, "mu") > 0 ? (1 - q) / (1 + q) : (t_now - 1) / t_next;
    for (int64_t i = 0; i < r->n; i++) {
        y[i] = x_next[i] + beta * (x_next[i] - x[i]);
        x[i] = x_next[i];
    }
    *t = t_next;
}

/* ---- Division by the root of a sum or mean of squares ---- */

/* Duchi, Hazan, Singer, JMLR 12, 2011, figure 1, the diagonal case; lr_decay and initial of torch.optim.Adagrad. */
static void adagrad_reference(reference *r) {
    const double lr = option_of(r, "lr") / (1 + (double)(r->t - 1) * option_of(r, "lr_decay")),
                 lambda = option_of(r, "weight_decay");
    double *theta = r->theta, *sum = state_of(r, "sum");
    for (int64_t i = 0; i < r->n; i++) {
        const double g = r->g[i] + lambda * theta[i];
        sum[i] = (r->t == 1 ? option_of(r, "initial") : sum[i]) + g * g;
        theta[i] -= lr * g / root(r, sum[i]);
    }
}

/* Tieleman, Hinton, Neural networks for machine learning, 2012, lecture 6; centered: Graves, arXiv 1308.0850, 2013,
 * where the learning rate is outside of the momentum as in torch.optim.RMSprop. */
static void rmsprop_reference(reference *r) {
    const double lr = option_of(r, "lr"), alpha = option_of(r, "alpha"), mu = option_of(r, "momentum"),
                 lambda = option_of(r, "weight_decay");
    const bool centered = option_of(r, "centered") != 0;
    double *theta = r->theta, *v = state_of(r, "v"), *g_mean = state_of(r, "g_mean"), *b = state_of(r, "b");
    for (int64_t i = 0; i < r->n; i++) {
        const double g = r->g[i] + lambda * theta[i];
        v[i] = alpha * v[i] + (1 - alpha) * g * g;
        g_mean[i] = alpha * g_mean[i] + (1 - alpha) * g;
        const double variance = centered ? fmax(v[i] - g_mean[i] * g_mean[i], 0) : v[i];
        b[i] = mu * b[i] + g / root(r, variance);
        theta[i] -= lr * b[i];
    }
}

/* Zeiler, arXiv 1212.5701, 2012, algorithm 1; lr: torch.optim.Adadelta. */
static void adadelta_reference(reference *r) {
    const double lr = option_of(r, "lr"), rho = option_of(r, "rho"), lambda = option_of(r, "weight_decay");
    double *theta = r->theta, *v = state_of(r, "v"), *a = state_of(r, "a");
    for (int64_t i = 0; i < r->n; i++) {
        const double g = r->g[i] + lambda * theta[i];
        v[i] = rho * v[i] + (1 - rho) * g * g;
        const double delta = root(r, a[i]) / root(r, v[i]) * g;
        a[i] = rho * a[i] + (1 - rho) * delta * delta;
        theta[i] -= lr * delta;
    }
}

/* ---- Adaptive moments ---- */

/* Kingma, Ba, ICLR 2015, algorithm 1. */
static void adam_reference(reference *r) {
    const double lr = option_of(r, "lr"), beta1 = option_of(r, "beta1"), beta2 = option_of(r, "beta2"),
                 lambda = option_of(r, "weight_decay"), t = (double)r->t;
    double *theta = r->theta, *m = state_of(r, "m"), *v = state_of(r, "v");
    for (int64_t i = 0; i < r->n; i++) {
        const double g = r->g[i] + lambda * theta[i];
        m[i] = beta1 * m[i] + (1 - beta1) * g;
        v[i] = beta2 * v[i] + (1 - beta2) * g * g;
        const double m_hat = m[i] / (1 - pow(beta1, t));
        const double v_hat = v[i] / (1 - pow(beta2, t));
        theta[i] -= lr * m_hat / root(r, v_hat);
    }
}

/* Reddi, Kale, Kumar, ICLR 2018, algorithm 2: correction=none. after: torch.optim.Adam(amsgrad=True). before:
 * optax.amsgrad. */
static void amsgrad_reference(reference *r) {
    enum { AFTER, BEFORE, NONE };
    const double lr = option_of(r, "lr"), beta1 = option_of(r, "beta1"), beta2 = option_of(r, "beta2"),
                 lambda = option_of(r, "weight_decay"), t = (double)r->t;
    const int correction = (int)option_of(r, "correction");
    const bool decoupled = option_of(r, "decoupled") != 0; /* torch.optim.AdamW(amsgrad=True) */
    const double of_m = correction == NONE ? 1 : 1 - pow(beta1, t), of_v = correction == NONE ? 1 : 1 - pow(beta2, t);
    double *theta = r->theta, *m = state_of(r, "m"), *v = state_of(r, "v"), *v_max = state_of(r, "v_max");
    for (int64_t i = 0; i < r->n; i++) {
        const double g = decoupled ? r->g[i] : r->g[i] + lambda * theta[i];
        m[i] = beta1 * m[i] + (1 - beta1) * g;
        v[i] = beta2 * v[i] + (1 - beta2) * g * g;
        v_max[i] = fmax(v_max[i], correction == AFTER ? v[i] : v[i] / of_v);
        const double v_hat = correction == AFTER ? v_max[i] / of_v : v_max[i];
        theta[i] -= lr * ((m[i] / of_m) / root(r, v_hat) + (decoupled ? lambda * theta[i] : 0));
    }
}

/* Loshchilov, Hutter, ICLR 2019, algorithm 2. */
static void adamw_reference(reference *r) {
    const double lr = option_of(r, "lr"), beta1 = option_of(r, "beta1"), beta2 = option_of(r, "beta2"),
                 lambda = option_of(r, "weight_decay"), t = (double)r->t;
    double *theta = r->theta, *m = state_of(r, "m"), *v = state_of(r, "v");
    for (int64_t i = 0; i < r->n; i++) {
        const double g = r->g[i];
        m[i] = beta1 * m[i] + (1 - beta1) * g;
        v[i] = beta2 * v[i] + (1 - beta2) * g * g;
        const double m_hat = m[i] / (1 - pow(beta1, t));
        const double v_hat = v[i] / (1 - pow(beta2, t));
        theta[i] -= lr * (m_hat / root(r, v_hat) + lambda * theta[i]);
    }
}

/* Dozat, ICLR workshop 2016, with the momentum schedule of torch.optim.NAdam. */
static void nadam_reference(reference *r) {
    const double lr = option_of(r, "lr"), beta1 = option_of(r, "beta1"), beta2 = option_of(r, "beta2"),
                 lambda = option_of(r, "weight_decay"), psi = option_of(r, "momentum_decay"), t = (double)r->t;
    const bool decoupled = option_of(r, "decoupled") != 0;
    const double mu = beta1 * (1 - 0.5 * pow(0.96, t * psi)), mu_next = beta1 * (1 - 0.5 * pow(0.96, (t + 1) * psi));
    double *theta = r->theta, *m = state_of(r, "m"), *v = state_of(r, "v"), *mu_product = state_of(r, "mu_product");
    *mu_product = (r->t == 1 ? 1 : *mu_product) * mu;
    for (int64_t i = 0; i < r->n; i++) {
        const double g = decoupled ? r->g[i] : r->g[i] + lambda * theta[i];
        m[i] = beta1 * m[i] + (1 - beta1) * g;
        v[i] = beta2 * v[i] + (1 - beta2) * g * g;
        const double m_hat = mu_next * m[i] / (1 - *mu_product * mu_next) + (1 - mu) * g / (1 - *mu_product);
        const double v_hat = v[i] / (1 - pow(beta2, t));
        theta[i] -= lr * (m_hat / root(r, v_hat) + (decoupled ? lambda * theta[i] : 0));
    }
}

/* Dahl et al., Benchmarking neural network training algorithms, arXiv 2306.07179, 2023: the baseline's NAdamW. */
static void nadamw_reference(reference *r) {
    const double lr = option_of(r, "lr"), beta1 = option_of(r, "beta1"), beta2 = option_of(r, "beta2"),
                 lambda = option_of(r, "weight_decay"), t = (double)r->t;
    double *theta = r->theta, *m = state_of(r, "m"), *v = state_of(r, "v");
    for (int64_t i = 0; i < r->n; i++) {
        const double g = r->g[i];
        m[i] = beta1 * m[i] + (1 - beta1) * g;
        v[i] = beta2 * v[i] + (1 - beta2) * g * g;
        const double m_hat = (beta1 * m[i] + (1 - beta1) * g) / (1 - pow(beta1, t));
        const double v_hat = v[i] / (1 - pow(beta2, t));
        theta[i] -= lr * (m_hat / root(r, v_hat) + lambda * theta[i]);
    }
}

/* NadamP, a submission to AlgoPerf (Kasimbeg et al., ICLR 2025): NadamW with the p-th root of v_hat. */
static void nadamp_reference(reference *r) {
    const double lr = option_of(r, "lr"), beta1 = option_of(r, "beta1"), beta2 = option_of(r, "beta2"),
                 eps = option_of(r, "eps"), lambda = option_of(r, "weight_decay"), p = option_of(r, "p"),
                 t = (double)r->t;
    const bool in_root = option_of(r, "eps_in_root") != 0;
    double *theta = r->theta, *m = state_of(r, "m"), *v = state_of(r, "v");
    for (int64_t i = 0; i < r->n; i++) {
        const double g = r->g[i];
        m[i] = beta1 * m[i] + (1 - beta1) * g;
        v[i] = beta2 * v[i] + (1 - beta2) * g * g;
        const double m_hat = (beta1 * m[i] + (1 - beta1) * g) / (1 - pow(beta1, t));
        const double v_hat = v[i] / (1 - pow(beta2, t));
        const double denominator = in_root ? pow(v_hat + eps, 1 / p) : pow(v_hat, 1 / p) + eps;
        theta[i] -= lr * (m_hat / denominator + lambda * theta[i]);
    }
}

/* Generalized Adam, a submission to AlgoPerf (Kasimbeg et al., ICLR 2025). */
static void generalized_adam_reference(reference *r) {
    const double lr = option_of(r, "lr"), beta1 = option_of(r, "beta1"), beta2 = option_of(r, "beta2"),
                 lambda = option_of(r, "weight_decay"), t = (double)r->t;
    const bool nesterov = option_of(r, "nesterov") != 0, precondition = option_of(r, "disable_preconditioning") == 0;
    double *theta = r->theta, *m = state_of(r, "m"), *v = state_of(r, "v");
    for (int64_t i = 0; i < r->n; i++) {
        const double g = r->g[i], fresh = precondition ? 1 - beta1 : 1;
        m[i] = beta1 * m[i] + fresh * g;
        v[i] = beta2 * v[i] + (1 - beta2) * g * g;
        const double ahead = nesterov ? beta1 * m[i] + fresh * g : m[i];
        const double m_hat = nesterov && precondition ? ahead / (1 - pow(beta1, t)) : ahead;
        const double v_hat = v[i] / (1 - pow(beta2, t));
        theta[i] -= lr * ((precondition ? m_hat / root(r, v_hat) : m_hat) + lambda * theta[i]);
    }
}

/* Liu et al., ICLR 2020, algorithm 2, with the threshold 5 and the ε of torch.optim.RAdam. */
static void radam_reference(reference *r) {
    const double lr = option_of(r, "lr"), beta1 = option_of(r, "beta1"), beta2 = option_of(r, "beta2"),
                 lambda = option_of(r, "weight_decay"), t = (double)r->t, bias2 = 1 - pow(beta2, t);
    const bool decoupled = option_of(r, "decoupled") != 0;
    const double rho_inf = 2 / (1 - beta2) - 1, rho = rho_inf - 2 * t * pow(beta2, t) / bias2;
    double *theta = r->theta, *m = state_of(r, "m"), *v = state_of(r, "v");
    for (int64_t i = 0; i < r->n; i++) {
        const double g = decoupled ? r->g[i] : r->g[i] + lambda * theta[i];
        m[i] = beta1 * m[i] + (1 - beta1) * g;
        v[i] = beta2 * v[i] + (1 - beta2) * g * g;
        double direction = m[i] / (1 - pow(beta1, t));
        if (rho > 5)
            direction *= sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) * sqrt(bias2) /
                         root(r, v[i]);
        theta[i] -= lr * (direction + (decoupled ? lambda * theta[i] : 0));
    }
}

/* Kingma, Ba, ICLR 2015, algorithm 2; ε as in torch.optim.Adamax. */
static void adamax_reference(reference *r) {
    const double lr = option_of(r, "lr"), beta1 = option_of(r, "beta1"), beta2 = option_of(r, "beta2"),
                 eps = option_of(r, "eps"), lambda = option_of(r, "weight_decay"), t = (double)r->t;
    double *theta = r->theta, *m = state_of(r, "m"), *u = state_of(r, "u");
    for (int64_t i = 0; i < r->n; i++) {
        const double g = r->g[i] + lambda * theta[i];
        m[i] = beta1 * m[i] + (1 - beta1) * g;
        u[i] = fmax(beta2 * u[i], fabs(g) + eps);
        theta[i] -= lr / (1 - pow(beta1, t)) * m[i] / u[i];
    }
}

/* One matrix of Adafactor: V from R and C, the weighted means of g² over the columns and over the rows. */
static void adafactor_moments(const reference *r, int64_t rows, int64_t columns, const double *g, double *row_mean,
                              double *column_mean, double *v) {
    const double fresh = pow((double)r->t, option_of(r, "beta2_decay"));
    double mean = 0;
    for (int64_t i = 0; i < rows; i++) {
        row_mean[i] *= 1 - fresh;
        for (int64_t j = 0; j < columns; j++)
            row_mean[i] += fresh * g[i * columns + j] * g[i * columns + j] / (double)columns;
        mean += row_mean[i] / (double)rows;
    }
    for (int64_t j = 0; j < columns; j++) {
        column_mean[j] *= 1 - fresh;
        for (int64_t i = 0; i < rows; i++)
            column_mean[j] += fresh * g[i * columns + j] * g[i * columns + j] / (double)rows;
    }
    const double eps1 = option_of(r, "eps1") > 0 ? option_of(r, "eps1") : 0x1p-52;
    for (int64_t i = 0; i < rows * columns; i++)
        v[i] = row_mean[i / columns] * column_mean[i % columns] / fmax(mean, eps1);
}

/* Shazeer, Stern, ICML 2018, algorithms 4 and 5, as torch.optim.Adafactor has them: ε₁ bounds the root, and lr replaces
 * 0.01. Tensors with more than two axes are many matrices of the last two. */
static void adafactor_reference(reference *r) {
    const double lr = option_of(r, "lr"), fresh = pow((double)r->t, option_of(r, "beta2_decay")),
                 eps1 = option_of(r, "eps1") > 0 ? option_of(r, "eps1") : 0x1p-52,
                 rho = fmin(lr, 1 / sqrt((double)r->t));
    double *row_mean = state_of(r, "row_mean"), *column_mean = state_of(r, "column_mean"), *u = state_of(r, "u");
    for (int k = 0; k < sw_params_count(r->params); k++) {
        const sw_param *p = sw_params_at(r->params, k);
        const int64_t rows = p->rank > 1 ? p->shape[p->rank - 2] : 1, columns = p->rank > 1 ? p->shape[p->rank - 1] : 1;
        double *theta = r->theta + p->offset, u_square = 0, theta_square = 0, *v = u + p->offset;
        const double *g = r->g + p->offset;
        for (int64_t at = 0; at < p->count; at += rows * columns)
            if (p->rank > 1)
                adafactor_moments(r, rows, columns, g + at, row_mean + p->offset + at, column_mean + p->offset + at,
                                  v + at);
            else
                v[at] = row_mean[p->offset + at] += fresh * (g[at] * g[at] - row_mean[p->offset + at]);
        for (int64_t i = 0; i < p->count; i++) {
            v[i] = g[i] / fmax(sqrt(v[i]), eps1);
            u_square += v[i] * v[i];
            theta_square += theta[i] * theta[i];
        }
        const double n = (double)p->count, alpha = fmax(option_of(r, "eps2"), sqrt(theta_square / n)) * rho,
                     clip = fmax(1, sqrt(u_square / n) / option_of(r, "d"));
        for (int64_t i = 0; i < p->count; i++)
            theta[i] = (1 - lr * option_of(r, "weight_decay")) * theta[i] - alpha / clip * v[i];
    }
}

/* ---- Others ---- */

/* Chen et al., Symbolic discovery of optimization algorithms, NeurIPS 2023, algorithm 2. sign(0) is 0. */
static void lion_reference(reference *r) {
    const double lr = option_of(r, "lr"), beta1 = option_of(r, "beta1"), beta2 = option_of(r, "beta2"),
                 lambda = option_of(r, "weight_decay");
    double *theta = r->theta, *m = state_of(r, "m");
    for (int64_t i = 0; i < r->n; i++) {
        const double g = r->g[i];
        const double c = beta1 * m[i] + (1 - beta1) * g;
        const double sign = c > 0 ? 1 : c < 0 ? -1 : 0;
        theta[i] -= lr * (sign + lambda * theta[i]);
        m[i] = beta2 * m[i] + (1 - beta2) * g;
    }
}

/* Bernstein, Vahdat, Yue, Liu, NeurIPS 2020, algorithm 1, for each tensor; min_norm of optax.fromage. */
static void fromage_reference(reference *r) {
    const double lr = option_of(r, "lr"), least = option_of(r, "min_norm");
    for (int k = 0; k < sw_params_count(r->params); k++) {
        const sw_param *p = sw_params_at(r->params, k);
        double *theta = r->theta + p->offset, theta_square = 0, g_square = 0;
        const double *g = r->g + p->offset;
        for (int64_t i = 0; i < p->count; i++) {
            theta_square += theta[i] * theta[i];
            g_square += g[i] * g[i];
        }
        const double ratio = fmax(sqrt(theta_square), least) / fmax(sqrt(g_square), least);
        for (int64_t i = 0; i < p->count; i++)
            theta[i] = (theta[i] - lr * ratio * g[i]) / sqrt(1 + lr * lr);
    }
}

/* Leplat et al., arXiv 2209.14937, 2022, algorithm 1, in the order of the authors' code (skolai/nag-gs): the first step
 * has no previous v. */
static void nag_gs_reference(reference *r) {
    const double alpha = option_of(r, "lr"), mu = option_of(r, "mu");
    double *x = r->theta, *v = state_of(r, "v"), *gamma = state_of(r, "gamma");
    *gamma = r->t == 1 ? option_of(r, "gamma") : *gamma;
    for (int64_t i = 0; i < r->n; i++) {
        v[i] = r->t == 1 ? x[i] : (*gamma * v[i] + alpha * mu * x[i] - alpha * r->g[i]) / (*gamma + alpha * mu);
        x[i] += alpha / (1 + alpha) * (v[i] - x[i]);
    }
    *gamma = (*gamma + alpha * mu) / (1 + alpha);
}

/* η of Amos: the scale that the elements of the tensor are expected to have. */
static double amos_scale(const reference *r, const sw_param *p) {
    const double fan_in = (double)(p->fan_in > 0 ? p->fan_in : p->rank > 1 ? p->count / p->shape[0] : p->count);
    switch (p->role) {
    case SW_ROLE_WEIGHT: return sqrt(option_of(r, p->rank > 2 ? "conv" : "weight") / fan_in);
    case SW_ROLE_HEAD: return sqrt(option_of(r, "head") / fan_in);
    case SW_ROLE_EMBEDDING: return option_of(r, "embedding");
    case SW_ROLE_BIAS: return option_of(r, "bias");
    case SW_ROLE_NORM: return option_of(r, "norm");
    default: return option_of(r, "other");
    }
}

/* One row of Amos: theta, g and m have `count` elements, v and b one for the row. */
static void amos_row(const reference *r, double eta, int64_t count, double *theta, const double *g, double *m,
                     double *v, double *b) {
    const double xi = option_of(r, "lr"), beta = option_of(r, "beta"), mu = option_of(r, "momentum");
    double g_square = 0;
    for (int64_t i = 0; i < count; i++)
        g_square += g[i] * g[i] / (double)count;
    *v = beta * *v + (1 - beta) * g_square;
    const double v_hat = fmax(*v, 0x1p-125) / (1 - pow(beta, (double)r->t));
    const double gamma = xi * xi * g_square / v_hat / sqrt(1 + option_of(r, "c") * sqrt(xi) * *b);
    const double fade = 1 + option_of(r, "d") * sqrt(xi * eta) * *b;
    for (int64_t i = 0; i < count; i++) {
        const double step = (gamma / 2 + option_of(r, "extra_l2")) * theta[i] + xi * eta * g[i] / sqrt(v_hat);
        m[i] = mu * m[i] + (1 - mu) * step / fade;
        theta[i] -= m[i];
    }
    *b += gamma * (1 + *b);
}

/* Tian, Parikh, arXiv 2210.11693, 2022, and its authors' code (google-research/jestimator). A row consists of the
 * elements with the same first index; a vector is one row. */
static void amos_reference(reference *r) {
    double *m = state_of(r, "m"), *v = state_of(r, "v"), *b = state_of(r, "b");
    for (int k = 0; k < sw_params_count(r->params); k++) {
        const sw_param *p = sw_params_at(r->params, k);
        const int64_t rows = p->rank >= 2 ? p->shape[0] : 1, count = p->count / rows;
        for (int64_t row = 0; row < rows; row++) {
            const int64_t at = p->offset + row * count;
            amos_row(r, amos_scale(r, p), count, r->theta + at, r->g + at, m + at, v + at, b + at);
        }
    }
}

/* Newton-Schulz iterations (Jordan 2024) on X [rows, columns]: X ← aX + b(XXᵀ)X + c(XXᵀ)²X. */
static inline void newton_schulz_reference(const reference *r, int64_t rows, int64_t columns, double *X) {
    double A[16], AX[64], norm = 0; /* rows ≤ 4, rows·columns ≤ 64 */
    assert_true(rows <= 4 && rows * columns <= 64);
    for (int64_t i = 0; i < rows * columns; i++)
        norm += X[i] * X[i];
    norm = sqrt(norm);
    for (int64_t i = 0; i < rows * columns; i++)
        X[i] = norm == 0 ? 0 : X[i] / (norm + option_of(r, "eps"));
    for (int step = 0; step < (int)option_of(r, "ns_steps"); step++) {
        double next[64];
        for (int64_t i = 0; i < rows * columns; i++) {
            next[i] = option_of(r, "ns_a") * X[i];
            AX[i] = X[i];
        }
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < rows; j++) {
                A[i * rows + j] = 0;
                for (int64_t k = 0; k < columns; k++)
                    A[i * rows + j] += X[i * columns + k] * X[j * columns + k];
            }
        for (int power = 1; power <= 2; power++) { /* AX, then A²X */
            double product[64] = {0};
            for (int64_t i = 0; i < rows; i++)
                for (int64_t j = 0; j < columns; j++)
                    for (int64_t k = 0; k < rows; k++)
                        product[i * columns + j] += A[i * rows + k] * AX[k * columns + j];
            memcpy(AX, product, sizeof AX);
            for (int64_t i = 0; i < rows * columns; i++)
                next[i] += option_of(r, power == 1 ? "ns_b" : "ns_c") * AX[i];
        }
        memcpy(X, next, (size_t)(rows * columns) * sizeof *X);
    }
}

/* Jordan et al., Muon, 2024, on the matrices [rows, columns] of hidden layers; s of Liu et al., arXiv 2502.16982, 2025,
 * section 2.2. */
static inline void muon_matrix(const reference *r, const sw_param *p, double *theta, const double *gradient,
                               double *m) {
    const double lr = option_of(r, "lr"), mu = option_of(r, "momentum"), lambda = option_of(r, "weight_decay");
    const bool decoupled = option_of(r, "decoupled") != 0, nesterov = option_of(r, "nesterov") != 0;
    const int64_t rows = p->shape[0], columns = p->count / rows;
    const bool tall = rows > columns;
    double X[64];
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            const int64_t at = i * columns + j;
            const double g = gradient[at] + (decoupled ? 0 : lambda * theta[at]);
            m[at] = mu * m[at] + (1 - mu) * g;
            X[tall ? j * rows + i : at] = nesterov ? mu * m[at] + (1 - mu) * g : m[at];
        }
    newton_schulz_reference(r, tall ? columns : rows, tall ? rows : columns, X);
    const double aspect = (double)rows / (double)columns, longest = (double)(tall ? rows : columns);
    const double s = option_of(r, "scale") == 0 ? sqrt(fmax(1, aspect)) : 0.2 * sqrt(longest);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            const int64_t at = i * columns + j;
            theta[at] -= lr * ((decoupled ? lambda * theta[at] : 0) + s * X[tall ? j * rows + i : at]);
        }
}

/* Muon, and AdamW for the other parameters, as in MuonWithAuxAdam of Jordan's code. */
static void muon_reference(reference *r) {
    const double lr = option_of(r, "lr") * option_of(r, "adamw_lr_ratio"), beta1 = option_of(r, "adamw_beta1"),
                 beta2 = option_of(r, "adamw_beta2"), lambda = option_of(r, "weight_decay"), t = (double)r->t;
    const bool decoupled = option_of(r, "decoupled") != 0, all = option_of(r, "route") != 0;
    double *m = state_of(r, "m"), *v = state_of(r, "v");
    for (int k = 0; k < sw_params_count(r->params); k++) {
        const sw_param *p = sw_params_at(r->params, k);
        const bool hidden = p->role == SW_ROLE_WEIGHT || p->role == SW_ROLE_OTHER;
        if (p->rank >= 2 && (hidden || all)) {
            muon_matrix(r, p, r->theta + p->offset, r->g + p->offset, m + p->offset);
            continue;
        }
        for (int64_t i = p->offset; i < p->offset + p->count; i++) {
            const double g = r->g[i] + (decoupled ? 0 : lambda * r->theta[i]);
            m[i] = beta1 * m[i] + (1 - beta1) * g;
            v[i] = beta2 * v[i] + (1 - beta2) * g * g;
            const double m_hat = m[i] / (1 - pow(beta1, t)), v_hat = v[i] / (1 - pow(beta2, t));
            r->theta[i] -=
                lr * (m_hat / (sqrt(v_hat) + option_of(r, "adamw_eps")) + (decoupled ? lambda * r->theta[i] : 0));
        }
    }
}

/* ---- Schedule-Free and Prodigy ---- */

/* γ of step k, and its weight in the mean: returns c = w/Σw. */
static double schedule_free_weight(reference *r, double k, double *gamma) {
    const double warmup = option_of(r, "warmup");
    double *sum = state_of(r, "weight_sum"), *lr_max = state_of(r, "lr_max");
    *gamma = option_of(r, "lr") * (k < warmup ? k / warmup : 1);
    *lr_max = fmax(*lr_max, *gamma);
    const double weight = pow(k, option_of(r, "r")) * pow(*lr_max, option_of(r, "weight_lr_power"));
    *sum += weight;
    return weight / *sum;
}

/* Defazio et al., The road less scheduled, NeurIPS 2024, equations (3) to (5), where theta is y; warm-up and weights of
 * the authors' package schedulefree. */
static void schedule_free_sgd_reference(reference *r) {
    const double beta = option_of(r, "momentum"), lambda = option_of(r, "weight_decay");
    double *y = r->theta, *x = state_of(r, "x"), *z = state_of(r, "z"), gamma;
    const double c = schedule_free_weight(r, (double)r->t, &gamma);
    for (int64_t i = 0; i < r->n; i++) {
        x[i] = r->t == 1 ? y[i] : x[i];
        z[i] = r->t == 1 ? y[i] : z[i];
        z[i] -= gamma * (r->g[i] + lambda * y[i]);
        x[i] = (1 - c) * x[i] + c * z[i];
        y[i] = beta * x[i] + (1 - beta) * z[i];
    }
}

/* The same, algorithm 1. correction and decay_at: the submission schedule_free_adamw to AlgoPerf. */
static void schedule_free_adamw_reference(reference *r) {
    const double beta1 = option_of(r, "beta1"), beta2 = option_of(r, "beta2"), lambda = option_of(r, "weight_decay"),
                 bias2 = 1 - pow(beta2, (double)r->t);
    const bool in_step = option_of(r, "correction") != 0, at_x = option_of(r, "decay_at") != 0;
    double *y = r->theta, *x = state_of(r, "x"), *z = state_of(r, "z"), *v = state_of(r, "v"), gamma;
    const double c = schedule_free_weight(r, (double)r->t, &gamma), step = in_step ? gamma * sqrt(bias2) : gamma;
    for (int64_t i = 0; i < r->n; i++) {
        const double g = r->g[i];
        x[i] = r->t == 1 ? y[i] : x[i];
        z[i] = r->t == 1 ? y[i] : z[i];
        v[i] = beta2 * v[i] + (1 - beta2) * g * g;
        z[i] -= step * (g / root(r, in_step ? v[i] : v[i] / bias2) + lambda * (at_x ? x[i] : y[i]));
        x[i] = (1 - c) * x[i] + c * z[i];
        y[i] = beta1 * x[i] + (1 - beta1) * z[i];
    }
}

/* Mishchenko, Defazio, Prodigy, ICML 2024, algorithm 4, with the order and the options of the authors' package
 * prodigyopt: returns d before the step. rho: d times the learning rate; s_rate: this, or d; away[i]: the distance from
 * the start. *d_new: d after the step. */
static double prodigy_distance(reference *r, double rho, double s_rate, const double *g, const double *away,
                               double *d_new) {
    const double d0 = option_of(r, "d0"), beta3 = sqrt(option_of(r, "beta2"));
    double *d = state_of(r, "d"), *d_max = state_of(r, "d_max"), *numerator = state_of(r, "numerator"),
           *has_left = state_of(r, "has_left"), *s = state_of(r, "s"), inner = 0, norm = 0;
    const double before = *d;
    for (int64_t i = 0; i < r->n; i++) {
        inner += g[i] * away[i];
        s[i] = beta3 * s[i] + before / d0 * s_rate * g[i];
        norm += fabs(s[i]);
    }
    *numerator = beta3 * *numerator + before / d0 * rho * inner;
    const double d_hat = option_of(r, "d_coef") * *numerator / norm;
    if (*has_left == 0) { /* d is still d0 */
        *d = fmax(before, d_hat);
        *has_left = d_hat > d0 ? 1 : 0;
    }
    *d_max = fmax(fmax(*d_max, d0), d_hat);
    *d_new = *d = fmin(*d_max, *d * option_of(r, "growth_rate"));
    return before;
}

static void prodigy_reference(reference *r) {
    const double beta1 = option_of(r, "beta1"), beta2 = option_of(r, "beta2"), eps = option_of(r, "eps"),
                 lambda = option_of(r, "weight_decay"), t = (double)r->t;
    const bool decoupled = option_of(r, "decoupled") != 0, in_root = option_of(r, "eps_in_root") != 0;
    double *theta = r->theta, *m = state_of(r, "m"), *v = state_of(r, "v"), *start = state_of(r, "start"),
           *d = state_of(r, "d"), *g = state_of(r, "g"), *away = state_of(r, "away"), d_new;
    *d = r->t == 1 ? option_of(r, "d0") : *d;
    for (int64_t i = 0; i < r->n; i++) {
        start[i] = r->t == 1 ? theta[i] : start[i];
        away[i] = start[i] - theta[i];
        g[i] = r->g[i] + (decoupled ? 0 : lambda * theta[i]);
    }
    const double bias = option_of(r, "use_bias_correction") != 0 ? sqrt(1 - pow(beta2, t)) / (1 - pow(beta1, t)) : 1;
    const double rho = *d * option_of(r, "lr") * bias;
    const double before = prodigy_distance(r, rho, option_of(r, "safeguard_warmup") != 0 ? *d : rho, g, away, &d_new);
    for (int64_t i = 0; i < r->n; i++) {
        m[i] = beta1 * m[i] + (1 - beta1) * before * g[i];
        v[i] = beta2 * v[i] + (1 - beta2) * before * before * g[i] * g[i];
        theta[i] *= 1 - (decoupled ? lambda * rho : 0);
        theta[i] -= rho * m[i] / (in_root ? sqrt(v[i] + d_new * d_new * eps) : sqrt(v[i]) + d_new * eps);
    }
}

/* schedule_free_prodigy, a submission to AlgoPerf (Kasimbeg et al., ICLR 2025). */
static void schedule_free_prodigy_reference(reference *r) {
    const double beta1 = option_of(r, "beta1"), beta2 = option_of(r, "beta2"), eps = option_of(r, "eps"),
                 lambda = option_of(r, "weight_decay");
    const bool in_root = option_of(r, "eps_in_root") != 0;
    double *y = r->theta, *x = state_of(r, "x"), *z = state_of(r, "z"), *v = state_of(r, "v"),
           *start = state_of(r, "start"), *d = state_of(r, "d"), *away = state_of(r, "away"), d_new, gamma;
    *d = r->t == 1 ? option_of(r, "d0") : *d;
    for (int64_t i = 0; i < r->n; i++) {
        if (r->t == 1)
            start[i] = x[i] = z[i] = y[i];
        away[i] = start[i] - z[i];
    }
    const double c = schedule_free_weight(r, (double)r->t, &gamma), rho = *d * gamma;
    const double before = prodigy_distance(r, rho, rho, r->g, away, &d_new);
    for (int64_t i = 0; i < r->n; i++) {
        const double g = r->g[i];
        v[i] = beta2 * v[i] + (1 - beta2) * before * before * g * g;
        z[i] -= rho * lambda * x[i] +
                rho * d_new * g / (in_root ? sqrt(v[i] + d_new * d_new * eps) : sqrt(v[i]) + d_new * eps);
        x[i] = (1 - c) * x[i] + c * z[i];
        y[i] = beta1 * x[i] + (1 - beta1) * z[i];
    }
}

/* ---- L-BFGS ---- */

static double lbfgs_dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Nocedal, Wright, Numerical Optimization, 2006, equation (7.19) as the recursion of algorithm 7.4, from pair k of the
 * states s and y on, the newest being 0: q ← H q. */
static void lbfgs_multiply(const double *const *s, const double *const *y, int k, int pairs, double *q, int64_t n) {
    const double sy = k < pairs ? lbfgs_dot(s[k], y[k], n) : 1;
    if (k == pairs) {
        const double gamma = lbfgs_dot(s[0], y[0], n) / lbfgs_dot(y[0], y[0], n);
        for (int64_t i = 0; i < n; i++)
            q[i] *= gamma;
        return;
    }
    const double alpha = lbfgs_dot(s[k], q, n) / sy;
    for (int64_t i = 0; i < n; i++)
        q[i] -= alpha * y[k][i];
    lbfgs_multiply(s, y, k + 1, pairs, q, n);
    const double beta = lbfgs_dot(y[k], q, n) / sy;
    for (int64_t i = 0; i < n; i++)
        q[i] += (alpha - beta) * s[k][i];
}

enum { LBFGS_REFERENCE_PAIRS = 20 };

/* Liu, Nocedal 1989; the first step is that of torch.optim.LBFGS. Pair k consists of the states s[k] and y[k]. */
static void lbfgs_reference(reference *r) {
    static const char *const s_name[] = {"s0",  "s1",  "s2",  "s3",  "s4",  "s5",  "s6",  "s7",  "s8",  "s9",
                                         "s10", "s11", "s12", "s13", "s14", "s15", "s16", "s17", "s18", "s19"};
    static const char *const y_name[] = {"y0",  "y1",  "y2",  "y3",  "y4",  "y5",  "y6",  "y7",  "y8",  "y9",
                                         "y10", "y11", "y12", "y13", "y14", "y15", "y16", "y17", "y18", "y19"};
    const int history = (int)option_of(r, "history");
    const int64_t n = r->n;
    double *theta = r->theta, *theta_before = state_of(r, "theta_before"), *g_before = state_of(r, "g_before"),
           *stored = state_of(r, "stored"), *q = state_of(r, "q"), *s_new = state_of(r, "s_new"),
           *y_new = state_of(r, "y_new"), *s[LBFGS_REFERENCE_PAIRS], *y[LBFGS_REFERENCE_PAIRS], one_norm = 0;
    assert_true(history <= LBFGS_REFERENCE_PAIRS);
    for (int k = 0; k < history; k++) {
        s[k] = state_of(r, s_name[k]);
        y[k] = state_of(r, y_name[k]);
    }
    for (int64_t i = 0; i < n; i++) {
        q[i] = r->g[i] + option_of(r, "weight_decay") * theta[i];
        s_new[i] = theta[i] - theta_before[i];
        y_new[i] = q[i] - g_before[i];
        theta_before[i] = theta[i];
        g_before[i] = q[i];
        one_norm += fabs(q[i]);
    }
    int pairs = (int)lround(*stored);
    if (r->t > 1 && lbfgs_dot(s_new, y_new, n) > option_of(r, "curvature") * sqrt(lbfgs_dot(s_new, s_new, n)) *
                                                     sqrt(lbfgs_dot(y_new, y_new, n))) {
        pairs += pairs < history;
        for (int k = pairs - 1; k > 0; k--) {
            memcpy(s[k], s[k - 1], (size_t)n * sizeof(double));
            memcpy(y[k], y[k - 1], (size_t)n * sizeof(double));
        }
        memcpy(s[0], s_new, (size_t)n * sizeof(double));
        memcpy(y[0], y_new, (size_t)n * sizeof(double));
    }
    *stored = pairs;
    if (pairs > 0)
        lbfgs_multiply((const double *const *)s, (const double *const *)y, 0, pairs, q, n);
    const double first = option_of(r, "first") == 0 ? fmin(1, 1 / one_norm) : 1 / sqrt(lbfgs_dot(q, q, n));
    for (int64_t i = 0; i < n; i++)
        theta[i] -= option_of(r, "lr") * q[i] * (pairs > 0 ? 1 : first);
}

/* ---- All references, in the order of optim/builtin_methods.h ---- */

static const struct rule_reference {
    const char *name;
    void (*step)(reference *r);
} references[] = {
    {"sgd", sgd_reference},
    {"asgd", asgd_reference},
    {"rprop", rprop_reference},
    {"adagrad", adagrad_reference},
    {"rmsprop", rmsprop_reference},
    {"adadelta", adadelta_reference},
    {"adam", adam_reference},
    {"amsgrad", amsgrad_reference},
    {"adamw", adamw_reference},
    {"nadam", nadam_reference},
    {"nadamw", nadamw_reference},
    {"nadamp", nadamp_reference},
    {"generalized_adam", generalized_adam_reference},
    {"radam", radam_reference},
    {"adamax", adamax_reference},
    {"adafactor", adafactor_reference},
    {"lion", lion_reference},
    {"fromage", fromage_reference},
    {"nag_gs", nag_gs_reference},
    {"amos", amos_reference},
    {"muon", muon_reference},
    {"fista", fista_reference},
    {"schedule_free_sgd", schedule_free_sgd_reference},
    {"schedule_free_adamw", schedule_free_adamw_reference},
    {"prodigy", prodigy_reference},
    {"schedule_free_prodigy", schedule_free_prodigy_reference},
    {"lbfgs", lbfgs_reference},
};

#endif
