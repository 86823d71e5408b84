/* The table of SAG, SAGA and SVRG: method × batch × type × loss × data × seed. Each cell is a run with lr=auto from x =
 * 0 that must reach the minimum of Newton's method (newton.h). test_glm_table.c runs a part of the table, and
 * convergence/check_variance_reduction.c all of it. */
#ifndef TEST_GLM_TABLE_H
#define TEST_GLM_TABLE_H

#include "glm_problems.h"

#include "golden/glm_epochs.h"
#include <swale/optim.h>

enum { TABLE_SAG, TABLE_SAGA, TABLE_SVRG, TABLE_METHODS };
enum { TABLE_BATCHES = 6, TABLE_LOSSES = 7, TABLE_SEEDS = 5 };
/* BATCH_DEFAULT: the default of SAG and SAGA */
enum { BATCH_1, BATCH_16, BATCH_64, BATCH_N_9, BATCH_N, BATCH_DEFAULT };
enum { SCALED, RAW, LARGE, SMALL, CONSTANT, SEPARABLE, WEIGHTED, UNPENALIZED, FLAT, TABLE_DATA };

static const char *const table_methods[] = {"sag", "saga", "svrg"};
static const char *const table_batches[] = {"1", "16", "64", "n/9", "n", "default"};
static const struct {
    const char *name;
    sw_head head;
    const char *data;
} table_losses[] = {
    {"logistic", SW_HEAD_LOGISTIC, "breast_cancer"}, {"squared_hinge", SW_HEAD_SQUARED_HINGE, "breast_cancer"},
    {"multinomial", SW_HEAD_MULTINOMIAL, "wine"},    {"digits", SW_HEAD_MULTINOMIAL, "digits"},
    {"squared", SW_HEAD_SQUARED, "diabetes"},        {"huber", SW_HEAD_HUBER, "diabetes"},
    {"poisson", SW_HEAD_POISSON, "diabetes"}};
static const char *const table_data[] = {"scaled",    "raw",      "large",       "small", "constant",
                                         "separable", "weighted", "unpenalized", "flat"};

/* ---- Problems; golden/glm_shared.py has the same ones ---- */

static inline bool table_batch_exists(int method, int batch) {
    return batch != BATCH_DEFAULT || method != TABLE_SVRG;
}

static inline bool table_problem_exists(int loss, int data) {
    const sw_head head = table_losses[loss].head;
    if (strcmp(table_losses[loss].data, "digits") == 0)
        return data == SCALED || data == RAW;
    if (data == FLAT)
        return head == SW_HEAD_HUBER;
    return data != UNPENALIZED || head == SW_HEAD_SQUARED || head == SW_HEAD_HUBER;
}

/* Features that separate the classes, or targets without noise. */
static inline void table_separate(glm_problem *p) {
    const int64_t d = p->f.features;
    for (int64_t i = 0; i < p->f.n; i++) {
        double *a = p->a + i * d, z = 0;
        if (p->f.head == SW_HEAD_MULTINOMIAL) {
            for (int64_t k = 0; k < p->f.outputs; k++)
                a[k] = p->label[i] == k ? 1 + fabs(a[k]) : 0;
        } else if (p->label) {
            a[0] = (2 * p->label[i] - 1) * (1 + fabs(a[0]));
        } else {
            for (int64_t j = 0; j < d; j++)
                z += (double)(j % 3 - 1) * a[j];
            p->target[i] = p->f.head == SW_HEAD_POISSON ? exp(z / 4) : z;
        }
    }
}

/* The largest second derivative of the loss. For POISSON, which has no bound, the mean target, e^z at the minimum. */
static inline double table_bend(const glm_problem *p) {
    double sum = 0;
    switch (p->f.head) {
    case SW_HEAD_LOGISTIC: return 0.25;
    case SW_HEAD_MULTINOMIAL: return 0.5;
    case SW_HEAD_SQUARED_HINGE: return 2;
    case SW_HEAD_POISSON:
        for (int64_t i = 0; i < p->f.n; i++)
            sum += p->target[i];
        return sum / (double)p->f.n;
    default: return 1;
    }
}

/* The mean Lipschitz constant of the samples' gradients, without the penalty. */
static inline double table_mean_l(const glm_problem *p) {
    double sum = 0, weights = 0;
    for (int64_t i = 0; i < p->f.n; i++) {
        const double *a = p->a + i * p->f.features, w = p->weighted ? glm_sample_weight(i) : 1;
        sum += w * (newton_dot(p->f.features, a, a) + (p->f.bias ? 1 : 0));
        weights += w;
    }
    return table_bend(p) * sum / weights;
}

static inline glm_problem *table_problem(int loss, int data, sw_dtype type) {
    const sw_head head = table_losses[loss].head;
    glm_problem *p = glm_problem_of(table_losses[loss].data, head, type);
    const int64_t n = p->f.n, d = p->f.features;
    snprintf(p->name, sizeof p->name, "%s/%s", table_losses[loss].name, table_data[data]);
    p->f.bias = data != RAW && data != LARGE && data != SMALL;
    p->f.delta = data == RAW ? 40 : 0.5;
    p->weighted = data == WEIGHTED;
    if (data != RAW) {
        glm_standardize(n, d, p->a);
        if (head == SW_HEAD_SQUARED || head == SW_HEAD_HUBER)
            glm_standardize(n, 1, p->target);
    }
    for (int64_t i = 0; i < n * d; i++)
        p->a[i] *= data == LARGE ? 1e5 : data == SMALL ? 1e-5 : 1;
    for (int64_t i = 0; data == CONSTANT && i < n; i++)
        p->a[i * d + d - 1] = 3;
    for (int64_t i = 0; data == FLAT && i < n; i++)
        p->target[i] += 10; /* the loss of every sample is linear at 0 */
    if (data == SEPARABLE)
        table_separate(p);
    p->f.l2 = data == UNPENALIZED ? 0 : 1e-3 * table_mean_l(p);
    return glm_problem_finish(p);
}

static inline int64_t table_batch(int batch, int64_t n) {
    int64_t power = 1;
    switch (batch) {
    case BATCH_1: return 1;
    case BATCH_16: return 16;
    case BATCH_64: return 64;
    case BATCH_N_9: return n / 9;
    case BATCH_N: return n;
    default: /* n/64, rounded down to a power of 2, at most 64 */
        while (power < 64 && 128 * power <= n)
            power *= 2;
        return power;
    }
}

/* ---- Reference quantities of a problem ---- */

typedef struct table_oracle {
    glm_problem *problem;
    double *x;               /* the minimum */
    double first;            /* ‖∇f(0)‖ */
    double goal;             /* for ‖∇f‖ */
    double mu;               /* the smallest curvature at the minimum */
    double l[TABLE_BATCHES]; /* for the mean loss of a batch, including the penalty */
} table_oracle;

/* The larger curvature of sample i at 0 and at the minimum. */
static inline double table_bend_at(const table_oracle *o, int64_t i) {
    double z[NEWTON_MOST_OUTPUTS];
    if (o->problem->f.head != SW_HEAD_POISSON)
        return table_bend(o->problem);
    newton_predict(&o->problem->f, o->x, i, z);
    return fmax(1, exp(z[0]));
}

/* Estimates the largest eigenvalue of scale Σ w_i h_i [a_i, 1] [a_i, 1]ᵀ over consecutive samples by 60
 * multiplications: a lower bound, to a few percent. `scratch` has 2 (features + 1) numbers. */
static inline double table_row_l(const table_oracle *o, int64_t from, int64_t count, double scale, double *scratch) {
    const newton_problem *f = &o->problem->f;
    const int64_t d = f->features;
    double *v = scratch, *to = scratch + d + 1, norm = 1;
    for (int64_t j = 0; j <= d; j++)
        v[j] = j < d ? f->a[from * d + j] + 1e-3 : f->bias;
    for (int k = 0; k < 60 && norm > 0; k++) {
        norm = newton_norm(d + 1, v);
        memset(to, 0, (size_t)(d + 1) * sizeof *to);
        for (int64_t i = from; i < from + count; i++) {
            const double w = (f->weight ? f->weight[i] : 1) * scale * table_bend_at(o, i),
                         c = w * (newton_dot(d, f->a + i * d, v) + (f->bias ? v[d] : 0)) / norm;
            for (int64_t j = 0; j < d; j++)
                to[j] += c * f->a[i * d + j];
            to[d] += f->bias ? c : 0;
        }
        memcpy(v, to, (size_t)(d + 1) * sizeof *v);
        norm = newton_norm(d + 1, v);
    }
    return norm;
}

/* L of a batch: the larger of the largest L over all batches r of consecutive rows, with the part (R w_r/W) f_r in f =
 * 1/R Σ_r (R w_r/W) f_r, and the expected smoothness of independent draws (R. M. Gower and others, SGD: general
 * analysis and improved rates, 2019: (b-1)/b·n/(n-1)·L_n + (n-b)/(b(n-1))·L_1). */
static inline void table_find_l(table_oracle *o) {
    const newton_problem *f = &o->problem->f;
    const int64_t n = f->n;
    double *scratch = newton_numbers(2 * (f->features + 1));
    for (int k = 0; k < TABLE_BATCHES; k++) {
        const int64_t b = table_batch(k, n);
        const double scale = (double)((n + b - 1) / b) / newton_weight_sum(f);
        o->l[k] = 0;
        for (int64_t from = 0; from < n; from += b)
            o->l[k] = fmax(o->l[k], table_row_l(o, from, from + b < n ? b : n - from, scale, scratch));
    }
    for (int k = 0; k < TABLE_BATCHES; k++) {
        const double b = (double)table_batch(k, n), m = (double)n; /* L_1 and L_n are not changed */
        o->l[k] = fmax(o->l[k], (b - 1) / b * m / (m - 1) * o->l[BATCH_N] + (m - b) / (b * (m - 1)) * o->l[BATCH_1]);
    }
    for (int k = 0; k < TABLE_BATCHES; k++)
        o->l[k] += f->l2;
    free(scratch);
}

/* Goals: 1e-10 of the first gradient, and in f32 3e-6. In these problems, the gradient at the minimum rounded to f32 is
 * at most 9.5e-7 of the first one (2e-7 without the raw problems), and the error of the full gradient that is computed
 * there in f32 is at most 3e-7. */
static inline table_oracle table_oracle_new(int loss, int data, sw_dtype type) {
    table_oracle o = {.problem = table_problem(loss, data, type)};
    o.x = newton_numbers(newton_dim(&o.problem->f));
    o.first = newton_gradient_norm(&o.problem->f, o.x);
    newton_minimize(&o.problem->f, o.x, 1e-13 * o.first);
    o.mu = newton_curvature(&o.problem->f, o.x);
    o.goal = (type == SW_F64 ? 1e-10 : 3e-6) * o.first;
    table_find_l(&o);
    return o;
}

static inline void table_oracle_free(table_oracle *o) {
    glm_problem_free(o->problem);
    free(o->x);
}

/* ---- A cell ---- */

typedef struct table_cell {
    int method, batch, loss, data, seed; /* seed from 1 */
    sw_dtype type;
} table_cell;

typedef struct table_outcome {
    char failure[400];           /* empty if the cell passes */
    double steps, bound, epochs; /* steps and epochs to the goal; bound: with a constant C of 1 */
    double norm;                 /* ‖∇f‖ at the end, relative to the goal */
    bool ran;
} table_outcome;

static inline void table_cell_name(const table_cell *c, char *text, size_t size) {
    snprintf(text, size, "%s/%s/%s/%s/%s/%d", table_methods[c->method], table_batches[c->batch], sw_dtype_name(c->type),
             table_losses[c->loss].name, table_data[c->data], c->seed);
}

/* The constant C: the steps are at most C (n/b + L_b/μ) log(first/goal). */
static const double table_constant[TABLE_METHODS] = {1.5, 2, 2};

typedef struct table_watch {
    const table_oracle *oracle;
    double *x;
    /* norm: the last ‖∇f‖; limit: a level of ‖∇f‖; largest: the largest ‖∇f‖ after it was first below the level */
    double norm, limit, largest;
    int64_t since; /* the step at which ‖∇f‖ was first below the level; -1: not yet */
    bool stops;    /* end the run at this step */
} table_watch;

static inline sw_status table_see(void *user, sw_train_state *state) {
    table_watch *w = user;
    glm_x(w->oracle->problem, state->point, w->x);
    w->norm = newton_gradient_norm(&w->oracle->problem->f, w->x);
    if (w->since >= 0 || w->norm <= w->limit)
        w->largest = !(w->norm <= w->largest) ? w->norm : w->largest;
    if (w->since < 0 && w->norm <= w->limit)
        w->since = state->step;
    state->stop = (w->stops && w->since >= 0) || !isfinite(w->norm);
    return SW_OK;
}

typedef struct table_run {
    sw_glm *model;
    sw_optim *optim;
    const sw_objective *f;
    int64_t per_epoch, every; /* steps per epoch, and between two computations of ‖∇f‖ */
    table_watch watch;
    sw_train_result result;
} table_run;

#define TABLE_FAIL(outcome, ...)                                                 \
    do {                                                                         \
        if (!(outcome)->failure[0])                                              \
            snprintf((outcome)->failure, sizeof(outcome)->failure, __VA_ARGS__); \
    } while (0)

/* more: further options of the estimator, for example " tol=1e-3". */
static inline bool table_begin(const table_cell *c, const table_oracle *o, const char *more, table_run *r,
                               table_outcome *out) {
    char estimator[128], batch[32] = "", rule[256];
    *r = (table_run){.model = glm_model(o->problem)};
    if (c->batch != BATCH_DEFAULT)
        snprintf(batch, sizeof batch, " batch=%lld", (long long)table_batch(c->batch, o->problem->f.n));
    snprintf(estimator, sizeof estimator, "%s%s%s", table_methods[c->method], batch, more);
    glm_rule(o->problem, "", rule, sizeof rule);
    r->f = sw_glm_objective(r->model);
    r->optim = sw_optim_new_with_options(sw_glm_params(r->model), &(sw_optim_options){.size = sizeof(sw_optim_options),
                                                                                      .estimator = estimator,
                                                                                      .rule = rule,
                                                                                      .seed = (uint64_t)c->seed});
    r->per_epoch = r->optim ? sw_optim_steps_per_epoch(r->optim, r->f) : 0;
    r->every = r->per_epoch > 8 ? r->per_epoch : 8;
    r->watch = (table_watch){.oracle = o, .x = newton_numbers(newton_dim(&o->problem->f)), .since = -1};
    if (r->per_epoch > 0)
        return true;
    TABLE_FAIL(out, "no optimizer: %s", sw_error());
    sw_clear_error();
    return false;
}

static inline void table_end(table_run *r) {
    sw_optim_free(r->optim);
    sw_glm_free(r->model);
    free(r->watch.x);
    sw_clear_error();
}

/* Runs `steps` more steps. tolerance: that of sw_train. */
static inline bool table_train(table_run *r, int64_t steps, int64_t every, double tolerance, const char *what,
                               table_outcome *out) {
    const int64_t done = sw_optim_steps_taken(r->optim) + sw_optim_steps_skipped(r->optim);
    const sw_status status = sw_train(r->f, r->optim,
                                      &(sw_train_options){.size = sizeof(sw_train_options),
                                                          .steps = done + steps,
                                                          .user = &r->watch,
                                                          .evaluate = table_see,
                                                          .evaluate_every = every,
                                                          .tolerance = tolerance},
                                      &r->result);
    if (status != SW_OK)
        TABLE_FAIL(out, "%s: error after %lld steps: %s", what, (long long)r->result.steps, sw_error());
    else if (!isfinite(r->watch.norm))
        TABLE_FAIL(out, "%s: the gradient is %g after %lld steps", what, r->watch.norm, (long long)r->result.steps);
    return status == SW_OK && isfinite(r->watch.norm);
}

/* Checks that the run reaches the minimum within the bound, and stays there for 2000 more epochs. */
static inline void table_reach(const table_cell *c, const table_oracle *o, table_outcome *out) {
    table_run r;
    const double n = (double)o->problem->f.n, b = (double)table_batch(c->batch, o->problem->f.n);
    out->bound = (n / b + o->l[c->batch] / o->mu) * log(o->first / o->goal);
    out->ran = true;
    if (table_begin(c, o, "", &r, out)) {
        const double limit = table_constant[c->method] * out->bound + (double)r.every;
        r.watch.limit = o->goal;
        r.watch.stops = true;
        const bool ok = table_train(&r, (int64_t)limit, r.every, 0, "on the way", out);
        out->steps = r.watch.since >= 0 ? (double)r.watch.since : INFINITY;
        out->epochs = out->steps / (double)r.per_epoch;
        out->norm = r.watch.norm / o->goal;
        if (ok && r.watch.since < 0)
            TABLE_FAIL(out, "the gradient is %.3g of the goal after %.0f steps, %.0f epochs, the bound", out->norm,
                       limit, limit / (double)r.per_epoch);
        r.watch.stops = false;
        if (ok && r.watch.since >= 0 && c->seed == 1 &&
            table_train(&r, 2000 * r.per_epoch, 50 * r.per_epoch, 0, "2000 epochs more", out) &&
            !(r.watch.largest <= 10 * o->goal))
            TABLE_FAIL(out, "in 2000 epochs after the goal the gradient becomes %.3g of it", r.watch.largest / o->goal);
    }
    table_end(&r);
}

/* Checks that tol= of SAG and SAGA, and the tolerance of sw_train with SVRG, end a run when ‖∇f‖ is at most 3 tol, and
 * within two epochs (or 16 steps, if that is more) after it was first at most tol/3. */
static inline void table_stop(const table_cell *c, const table_oracle *o, table_outcome *out) {
    table_run r;
    char more[64] = "";
    const double tol = fmax(c->type == SW_F64 ? 1e-7 * o->first : 1e-4 * o->first, 10 * o->goal);
    const bool svrg = c->method == TABLE_SVRG;
    if (!svrg)
        snprintf(more, sizeof more, " tol=%.17g", tol);
    if (table_begin(c, o, more, &r, out)) {
        r.watch.limit = tol / 3;
        const int64_t steps = (int64_t)(table_constant[c->method] * out->bound) + r.every;
        const bool ok = table_train(&r, steps, r.every, svrg ? tol : 0, "with tol", out);
        const int64_t end = r.result.steps, late = 2 * r.every;
        if (ok && r.result.reason != SW_TRAIN_TOLERANCE)
            TABLE_FAIL(out, "tol does not end the run: after %lld steps the gradient is %.3g of it", (long long)end,
                       r.watch.norm / tol);
        else if (ok && r.watch.norm > 3 * tol)
            TABLE_FAIL(out, "tol ends the run after %lld steps, where the gradient is %.3g of it", (long long)end,
                       r.watch.norm / tol);
        else if (ok && r.watch.since >= 0 && end > r.watch.since + late)
            TABLE_FAIL(out, "tol ends the run after %lld steps, and the gradient was a third of it at step %lld",
                       (long long)end, (long long)r.watch.since);
    }
    table_end(&r);
}

static inline table_outcome table_run_cell(const table_cell *c, const table_oracle *o) {
    table_outcome out = {0};
    table_reach(c, o, &out);
    if (c->seed == 1 && !out.failure[0])
        table_stop(c, o, &out);
    return out;
}

/* The epochs that scikit-learn's sag or saga needs for this problem at batch 1; NULL if it does not have the loss, or
 * does not reach the goal. */
static inline const golden_epochs *table_peer(const table_cell *c) {
    char name[64];
    snprintf(name, sizeof name, "%s/%s", table_losses[c->loss].name, table_data[c->data]);
    for (size_t i = 0; i < sizeof golden_epochs_of / sizeof *golden_epochs_of; i++) {
        const golden_epochs *e = &golden_epochs_of[i];
        if (c->batch == BATCH_1 && c->method == (e->saga ? TABLE_SAGA : TABLE_SAG) && strcmp(e->problem, name) == 0 &&
            e->mean[c->type == SW_F64] > 0)
            return e;
    }
    return NULL;
}

#endif
