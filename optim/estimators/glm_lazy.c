/* Lazy updates for sparse rows, and the flush that brings all columns up to date (glm_lazy.h). */
#include <swale/kernel.h>
#include <swale/kernel_compensated.h>
#include "optim/estimators/glm_lazy_kernels.h"
#include "optim/estimators/glm_steps.h"

#if SW_KERNEL_FIRST
/* The numbers of a step: the factors of t and d, the threshold of l1, the scale after the step, the factor of v in the
 * term added to E, and the new `then` of the columns in its row. */
typedef struct lazy_step {
    double by_t, by_d, threshold, scale, weight, then;
} lazy_step;
typedef struct flush_args {
    const swo_glm_move *move;
    bool restart; /* the average becomes x */
} flush_args;

/* Returns x, or a bound if x differs from it only by rounding: a weight at a bound must be exactly equal to it. */
static inline double lazy_snap(const swo_glm_lazy *lazy, double x) {
    const double low = lazy->low, high = lazy->high; /* if infinite, -∞ + ∞ is NaN, which compares as false */
    if (x <= low + lazy->near * (low < 0 ? -low : low))
        return low;
    return x >= high - lazy->near * (high < 0 ? -high : high) ? high : x;
}
#endif

#if SW_KERNEL_PASS

/* Updates the weights of column j: v ← v - (lr/scale')(fresh t + old d), or prox of that; d ← d + t. */
static inline void SW_K(lazy_move_column)(const swo_glm_move *a, int64_t j, const lazy_step *step, const real *c,
                                          real value) {
    const int64_t features = a->f->features;
    swo_glm_lazy *lazy = a->lazy;
    real *x = a->x, *d = a->d, *low = a->d_low, *t_of = a->row_t, *x_low = a->x_low;
    for (int64_t k = 0; k < a->f->outputs; k++) {
        const int64_t at = k * features + j;
        const real t = t_of ? t_of[at] : c ? c[k] * value : 0;
        const double by = -(step->by_t * (double)t + step->by_d * (double)d[at]);
        if (lazy->recorded) {
            double v = (double)x[at] + ((x_low ? (double)x_low[at] : 0) + by);
            v = lazy->proximal ? swo_glm_soft(v, step->threshold) : v;
            v = lazy->boxed ? swo_glm_clamp(lazy, v, step->scale) : v;
            SW_K(set_pair)(&x[at], x_low ? &x_low[at] : NULL, v);
            SW_K(lazy_gain)(lazy, at, step->weight * v);
        } else {
            SW_K(add_pair)(&x[at], x_low ? &x_low[at] : NULL, by);
        }
        if (low && SW_KERNEL_F32)
            SW_K(sw_k_compensated_add)(&d[at], &low[at], t);
        else if (low) /* in f64 a low-order part is not needed, and would cost a cache line for each column */
            d[at] += t;
        if (t_of)
            t_of[at] = 0;
    }
    lazy->then[j] = step->then;
}

/* The same for the columns of one sample and one output, without records and low-order parts. The loop has no
 * branches. */
static void SW_K(lazy_move_plain)(const swo_glm_move *a, const lazy_step *step) {
    const sw_csr *m = a->f->glm->sparse;
    const int32_t *restrict index = m->index + m->start[a->sample];
    const real *restrict value = (const real *)m->value + m->start[a->sample];
    real *restrict x = a->x, *restrict d = a->d;
    double *restrict then = a->lazy->then;
    const real c = *(const real *)a->c;
    const bool sums = a->d_low != NULL;
    const int64_t count = m->start[a->sample + 1] - m->start[a->sample];
    for (int64_t at = 0; at < count; at++) {
        const int64_t j = index[at];
        const real t = c * value[at];
        x[j] += (real) - (step->by_t * (double)t + step->by_d * (double)d[j]);
        if (sums)
            d[j] += t;
        then[j] = step->then;
    }
}

static void SW_K(lazy_move)(void *args, int64_t begin, int64_t end, double *sums) {
    const swo_glm_move *a = args;
    swo_glm_lazy *lazy = a->lazy;
    const sw_csr *m = a->f->glm->sparse;
    const double lr = a->segment[0].lr, scale = lazy->scale * (1 - lr * a->segment[0].decay), per = lr / scale;
    const real *value = m->value;
    lazy_step step = {.by_t = per * a->fresh, .by_d = per * a->old, .threshold = per * lazy->l1, .scale = scale};
    (void)begin, (void)end, (void)sums;
    lazy->scale = scale;
    lazy->sum += step.by_d;
    step.then = lazy->sum;
    if (lazy->recorded) {
        swo_glm_record_step(lazy, per, a->old, scale);
        step.then = (double)lazy->steps;
        step.weight = lazy->record[lazy->steps - 1].weight;
    }
    if (!a->row_t && a->f->outputs == 1 && !lazy->recorded && !a->x_low) /* f64 */
        SW_K(lazy_move_plain)(a, &step);
    else if (a->row_t)
        for (int64_t i = 0; i < lazy->count; i++)
            SW_K(lazy_move_column)(a, lazy->touched[i], &step, NULL, 0);
    else
        for (int64_t at = m->start[a->sample]; at < m->start[a->sample + 1]; at++)
            SW_K(lazy_move_column)(a, m->index[at], &step, a->c, value[at]);
}

/* Replaces E by e for weight i, whose x is up to date. */
static inline void SW_K(flush_mean)(const swo_glm_lazy *lazy, int64_t i, real x, bool restart) {
    real *mean = (real *)lazy->mean + i, *low = lazy->mean_low ? (real *)lazy->mean_low + i : NULL;
    SW_K(set_pair)(mean, low, restart ? (double)x : lazy->kept * ((double)*mean + (low ? (double)*low : 0)));
}

static void SW_K(flush)(void *args, int64_t begin, int64_t end, double *sums) {
    const flush_args *flush = args;
    const swo_glm_move *a = flush->move;
    const swo_glm_lazy *lazy = a->lazy;
    const int64_t features = a->f->features;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        real *x = (real *)a->x + i, *low = a->x_low ? (real *)a->x_low + i : NULL;
        SW_K(lazy_update)(lazy, x, low, (double)((const real *)a->d)[i], i % features, i);
        const double updated = lazy->scale * ((double)*x + (low ? (double)*low : 0));
        SW_K(set_pair)(x, low, lazy->boxed ? lazy_snap(lazy, updated) : updated);
        if (lazy->mean)
            SW_K(flush_mean)(lazy, i, *x, flush->restart);
    }
}

#else

static const sw_kernels move_kernels = SW_KERNEL_TABLE(lazy_move), flush_kernels = SW_KERNEL_TABLE(flush);

void swo_glm_lazy_move(sw_dtype type, swo_glm_move *move) {
    move_kernels[type][sw_cpu_level()](move, 0, 1, NULL);
}

void swo_glm_flush(sw_dtype type, const swo_glm_move *move, bool restart) {
    swo_glm_lazy *lazy = move->lazy;
    const int64_t features = move->f->features;
    flush_args args = {.move = move, .restart = restart};
    sw_kernel_run(&flush_kernels, type, &args, move->f->outputs * features);
    for (int64_t j = 0; j < features; j++)
        lazy->then[j] = 0;
    lazy->scale = lazy->kept = 1;
    lazy->sum = 0;
    lazy->steps = 0;
}

#endif
