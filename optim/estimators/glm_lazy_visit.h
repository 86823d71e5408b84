/* Visits with lazy updates of sparse rows (glm_lazy.h). Include this file after kernel.h, in every pass. */
#include "optim/estimators/glm_lazy_kernels.h"
#include "optim/estimators/glm_steps.h"

#if SW_KERNEL_PASS

/* Prefetches the weights of the columns of sample i, which are scattered in memory. */
static inline void SW_K(lazy_fetch)(const swo_glm_visit *a, int64_t i) {
    const sw_csr *m = a->f->glm->sparse;
    const real *x = a->weights, *d = a->d, *mean = a->lazy->mean;
    if (a->f->outputs > 1) /* the lines of the first output would be only a small part */
        return;
    for (int64_t at = m->start[i]; at < m->start[i + 1]; at++) {
        const int64_t j = m->index[at];
        __builtin_prefetch(&x[j], 1);
        __builtin_prefetch(&d[j], 1);
        __builtin_prefetch(&a->lazy->then[j], 1);
        if (mean)
            __builtin_prefetch(&mean[j], 1);
    }
}

/* The same for the next sample, and also the sums at `then`, the last update of each column. Without this, each
 * mispredicted branch of one column would delay the loads of the others. */
static inline void SW_K(lazy_fetch_sums)(const swo_glm_visit *a, int64_t i) {
    const sw_csr *m = a->f->glm->sparse;
    const swo_glm_lazy *lazy = a->lazy;
    SW_K(lazy_fetch)(a, i);
    for (int64_t at = m->start[i]; at < m->start[i + 1]; at++) {
        const int64_t from = (int64_t)lazy->then[m->index[at]];
        __builtin_prefetch(&lazy->sums[from]);
        __builtin_prefetch(&lazy->weights[from]);
    }
}

/* Brings the weights of one output up to date, and returns ⟨a_i, v⟩: the special case of lazy_predict in which no steps
 * are recorded and v is one number. Its loop has no branches. */
static real SW_K(lazy_predict_plain)(const swo_glm_visit *a, int64_t i) {
    const sw_csr *m = a->f->glm->sparse;
    const int32_t *restrict index = m->index + m->start[i];
    const real *restrict value = (const real *)m->value + m->start[i], *restrict d = a->d;
    real *restrict x = a->weights;
    double *restrict then = a->lazy->then;
    const double sum = a->lazy->sum;
    const int64_t count = m->start[i + 1] - m->start[i];
    real z = 0;
    for (int64_t at = 0; at < count; at++) {
        const int64_t j = index[at];
        x[j] += (real)(-(sum - then[j]) * (double)d[j]);
        z += value[at] * x[j];
        then[j] = sum;
    }
    return z;
}

/* Brings the weights at the nonzeros of sample i up to date, and computes its predictions. */
static void SW_K(lazy_predict)(const swo_glm_visit *a, int64_t i, real *z) {
    const sw_objective *f = a->f;
    const sw_csr *m = f->glm->sparse;
    swo_glm_lazy *lazy = a->lazy;
    const int64_t features = f->features, outputs = f->outputs;
    const real *value = m->value, *d = a->d;
    real *x = a->weights, *bias = x + outputs * features;
    if (outputs == 1 && !lazy->recorded && !a->x_low) { /* f64 */
        z[0] = (real)lazy->scale * SW_K(lazy_predict_plain)(a, i) + (f->bias ? bias[0] : 0);
        return;
    }
    for (int64_t k = 0; k < outputs; k++)
        z[k] = 0;
    if (lazy->mean)
        SW_K(lazy_fetch_sums)(a, i);
    for (int64_t at = m->start[i]; at < m->start[i + 1]; at++) {
        const int64_t j = m->index[at];
        for (int64_t k = 0; k < outputs; k++) {
            const int64_t w = k * features + j;
            z[k] +=
                value[at] * SW_K(lazy_update)(lazy, &x[w], a->x_low ? (real *)a->x_low + w : NULL, (double)d[w], j, w);
        }
        lazy->then[j] = lazy->recorded ? (double)lazy->steps : lazy->sum;
    }
    for (int64_t k = 0; k < outputs; k++)
        z[k] = (real)lazy->scale * z[k] + (f->bias ? bias[k] : 0);
}

/* t_k += c_ik a_i over the samples of the row; makes the list of their columns. */
static void SW_K(lazy_sum)(const swo_glm_visit *a) {
    const sw_csr *m = a->f->glm->sparse;
    swo_glm_lazy *lazy = a->lazy;
    const int64_t features = a->f->features, outputs = a->f->outputs;
    const real *c = a->c, *value = m->value;
    real *t = a->t, *bias = t + outputs * features;
    lazy->count = 0;
    lazy->now++;
    for (int64_t k = 0; a->f->bias && k < outputs; k++)
        bias[k] = 0;
    for (int64_t i = 0; i < a->count; i++) {
        const int64_t sample = swo_glm_sample(a, i);
        for (int64_t at = m->start[sample]; at < m->start[sample + 1]; at++) {
            const int32_t j = m->index[at];
            if (lazy->stamp[j] != lazy->now) {
                lazy->stamp[j] = lazy->now;
                lazy->touched[lazy->count++] = j;
            }
            for (int64_t k = 0; k < outputs; k++)
                t[k * features + j] += c[i * outputs + k] * value[at];
        }
        for (int64_t k = 0; a->f->bias && k < outputs; k++)
            bias[k] += c[i * outputs + k];
    }
}

static double SW_K(lazy_square)(const swo_glm_visit *a) {
    const int64_t features = a->f->features, outputs = a->f->outputs;
    const real *t = a->t;
    double square = 0;
    for (int64_t i = 0; i < a->lazy->count; i++)
        for (int64_t k = 0; k < outputs; k++) {
            const double v = (double)t[k * features + a->lazy->touched[i]];
            square += v * v;
        }
    return square;
}

static void SW_K(lazy_zero)(const swo_glm_visit *a) {
    const int64_t features = a->f->features, outputs = a->f->outputs;
    real *t = a->t;
    for (int64_t k = 0; k < outputs; k++) {
        for (int64_t i = 0; i < a->lazy->count; i++)
            t[k * features + a->lazy->touched[i]] = 0;
        if (a->f->bias)
            t[outputs * features + k] = 0;
    }
}

#endif
