/* Pooled statistics of the parts of a batch, and their commit to the buffers.
 *
 * With N the weight so far and n the weight of a report with m' and v', the mean m and the population variance v become
 *     δ = m' - m,    v ← v + (n/(N+n)) ((v' - v) + (N/(N+n)) δ²),    m ← m + (n/(N+n)) δ,    N ← N + n
 * (T. F. Chan, G. H. Golub, R. J. LeVeque, Updating formulae and a pairwise algorithm for computing sample variances,
 * 1979). A single report is kept as it is, bit for bit. */
#include <swale/memory.h>
#include <swale/status.h>
#include <swale/text.h>

#include "core/base/element.h"
#include "core/params/gradient.h"
#include "core/params/statistics.h"
#include "core/params/vector.h"

#include <math.h>
#include <string.h>

/* The pooled reports for one buffer. */
typedef struct statistic {
    double weight; /* of all reports together; 0: there was none */
    double momentum;
    sw_param *partner; /* the variance of a mean, the mean of a variance; NULL: reported without one */
    bool is_variance, unbiased;
} statistic;

struct swi_statistics {
    struct swi_statistics *next; /* of a list: those that are set aside, or spare ones */
    bool any;
    statistic *of;  /* [parameters] */
    double *pooled; /* [buffer_dim], in the order of the vector */
};

/* ---- Memory ---- */

void swi_statistics_free(struct swi_statistics *s) {
    while (s) {
        struct swi_statistics *next = s->next;
        sw_free(s->of);
        sw_free(s->pooled);
        sw_free(s);
        s = next;
    }
}

/* The statistics of the block, which are made if there are none; NULL and an error if there is not enough memory. */
static struct swi_statistics *statistics_of(sw_gradient *g) {
    if (g->statistics)
        return g->statistics;
    if (g->spare) {
        g->statistics = g->spare;
        g->spare = g->spare->next;
        g->statistics->next = NULL;
        return g->statistics;
    }
    struct swi_statistics *s = sw_alloc_for(SW_ACCOUNT_GRADIENTS, sizeof *s);
    if (!s)
        return NULL;
    s->of = sw_alloc_array_for(SW_ACCOUNT_GRADIENTS, g->params->count, sizeof *s->of);
    s->pooled = sw_alloc_array_for(SW_ACCOUNT_GRADIENTS, g->params->buffer_dim, sizeof *s->pooled);
    if (!s->of || !s->pooled) {
        swi_statistics_free(s);
        return NULL;
    }
    return g->statistics = s;
}

static void statistics_clear(struct swi_statistics *s, const sw_params *params) {
    memset(s->of, 0, (size_t)params->count * sizeof *s->of);
    s->any = false;
}

void sw_gradient_drop_statistics(sw_gradient *g) {
    if (g && g->statistics && g->statistics->any)
        statistics_clear(g->statistics, g->params);
}

/* Element 0 of a buffer in `pooled`. */
static double *statistics_pooled(const struct swi_statistics *s, const sw_param *buffer) {
    return s->pooled + (buffer->offset - (buffer->owner->dim - buffer->owner->buffer_dim));
}

/* ---- Reports ---- */

static sw_status report_check_array(const swi_report *r, const sw_param *buffer, const sw_array *a) {
    if (!a->data && buffer->count > 0)
        return sw_fail(SW_ERR_ARGUMENT, "%s: the statistic for %s has no data", r->who, buffer->name);
    if (!sw_dtype_is_computed(a->type))
        return sw_fail(SW_ERR_TYPE, "%s: the statistic for %s is %s; f32 or f64 is needed", r->who, buffer->name,
                       sw_dtype_name(a->type));
    if (!sw_shape_equal(a->rank, a->shape, buffer->rank, buffer->shape))
        return sw_fail(SW_ERR_SHAPE, "%s: the statistic for %s is %s; the buffer is %s", r->who, buffer->name,
                       sw_shape_text(a->rank, a->shape), sw_shape_text(buffer->rank, buffer->shape));
    return SW_OK;
}

static sw_status report_check_buffer(const swi_report *r, const sw_gradient *g, const sw_param *buffer) {
    if (buffer->owner != g->params)
        return sw_fail(SW_ERR_ARGUMENT, "%s: %s belongs to another set of parameters", r->who, buffer->name);
    return buffer->buffer ? SW_OK
                          : sw_fail(SW_ERR_ARGUMENT, "%s: %s is not a buffer (declare it with sw_param_options.buffer)",
                                    r->who, buffer->name);
}

static const char *statistic_kind(const statistic *s) {
    if (!s->partner)
        return "as a single statistic";
    if (s->is_variance)
        return s->unbiased ? "as the unbiased variance to the mean " : "as the variance to the mean ";
    return s->unbiased ? "as the mean to the unbiased variance " : "as the mean to the variance ";
}

/* An error if the report does not agree with the pending ones for this buffer. */
static sw_status report_check_before(const swi_report *r, const sw_gradient *g, const sw_param *buffer,
                                     const statistic *now) {
    const statistic *s = g->statistics ? &g->statistics->of[buffer->index] : NULL;
    if (!s || s->weight == 0)
        return SW_OK;
    if (s->partner != now->partner || s->is_variance != now->is_variance || s->unbiased != now->unbiased)
        return sw_fail(SW_ERR_ARGUMENT, "%s: %s was reported in this step %s%s, and now %s%s", r->who, buffer->name,
                       statistic_kind(s), s->partner ? s->partner->name : "", statistic_kind(now),
                       now->partner ? now->partner->name : "");
    if (s->momentum != now->momentum)
        return sw_fail(SW_ERR_ARGUMENT, "%s: %s was reported in this step with momentum %g, and now with %g", r->who,
                       buffer->name, s->momentum, now->momentum);
    return SW_OK;
}

static sw_status report_check(const swi_report *r, const sw_gradient *g) {
    if (!(r->weight >= 0 && r->weight < (double)INFINITY))
        return sw_fail(SW_ERR_ARGUMENT, "%s: the weight of %s is %g; it must be finite and at least 0", r->who,
                       r->buffer->name, r->weight);
    if (!(r->momentum >= 0 && r->momentum <= 1))
        return sw_fail(SW_ERR_ARGUMENT, "%s: the momentum of %s is %g, outside 0 to 1", r->who, r->buffer->name,
                       r->momentum);
    SW_TRY(report_check_buffer(r, g, r->buffer));
    SW_TRY(report_check_array(r, r->buffer, r->values));
    const statistic value = {.momentum = r->momentum, .partner = r->variance, .unbiased = r->unbiased},
                    variance = {
                        .momentum = r->momentum, .partner = r->buffer, .is_variance = true, .unbiased = r->unbiased};
    SW_TRY(report_check_before(r, g, r->buffer, &value));
    if (!r->variance)
        return SW_OK;
    SW_TRY(report_check_buffer(r, g, r->variance));
    SW_TRY(report_check_array(r, r->variance, r->variances));
    if (r->variance == r->buffer || r->variance->count != r->buffer->count)
        return sw_fail(SW_ERR_SHAPE, "%s: %s %s cannot be the variance to the mean %s %s", r->who, r->variance->name,
                       sw_shape_text(r->variance->rank, r->variance->shape), r->buffer->name,
                       sw_shape_text(r->buffer->rank, r->buffer->shape));
    return report_check_before(r, g, r->variance, &variance);
}

sw_status swi_statistics_put(sw_gradient *g, const swi_report *given) {
    swi_report r = *given;
    if (r.buffer->tied)
        r.buffer = r.buffer->tied;
    if (r.variance && r.variance->tied)
        r.variance = r.variance->tied;
    SW_TRY(report_check(&r, g));
    if (r.weight == 0)
        return SW_OK;
    struct swi_statistics *s = statistics_of(g);
    if (!s)
        return SW_ERR_MEMORY;
    const double before = s->of[r.buffer->index].weight, whole = before + r.weight;
    const double fraction = r.weight / whole, rest = before / whole;
    double *mean = statistics_pooled(s, r.buffer), *variance = r.variance ? statistics_pooled(s, r.variance) : NULL;
    for (int64_t i = 0; i < r.buffer->count; i++) {
        const double m = sw_load_element(r.values->type, r.values->data, i);
        const double v = variance ? sw_load_element(r.variances->type, r.variances->data, i) : 0;
        const double delta = m - mean[i]; // NOLINT(clang-analyzer-core.NullDereference): made by statistics_of
        if (variance)
            variance[i] = before > 0 ? variance[i] + fraction * ((v - variance[i]) + rest * delta * delta) : v;
        mean[i] = before > 0 ? mean[i] + fraction * delta : m;
    }
    statistic now = {.weight = whole, .momentum = r.momentum, .partner = r.variance, .unbiased = r.unbiased};
    s->of[r.buffer->index] = now;
    now.partner = r.buffer;
    now.is_variance = true;
    if (variance)
        s->of[r.variance->index] = now;
    s->any = true;
    return SW_OK;
}

/* ---- Sums ---- */

static sw_status statistics_add(const char *who, sw_gradient *to, const struct swi_statistics *from) {
    for (int i = 0; from && from->any && i < to->params->count; i++) {
        sw_param *p = to->params->list[i];
        const statistic *s = &from->of[i];
        if (s->weight == 0 || s->is_variance)
            continue; /* a variance goes with its mean */
        sw_param *variance = s->partner;
        const sw_array values = sw_array_view(statistics_pooled(from, p), SW_F64, p->rank, p->shape);
        const sw_array variances =
            variance ? sw_array_view(statistics_pooled(from, variance), SW_F64, variance->rank, variance->shape)
                     : (sw_array){0};
        const swi_report r = {.who = who,
                              .buffer = p,
                              .variance = variance,
                              .values = &values,
                              .variances = &variances,
                              .weight = s->weight,
                              .momentum = s->momentum,
                              .unbiased = s->unbiased};
        SW_TRY(swi_statistics_put(to, &r));
    }
    return SW_OK;
}

sw_status sw_gradient_add_statistics(sw_gradient *to, const sw_gradient *from) {
    if (!to || !from)
        return sw_fail(SW_ERR_ARGUMENT, "gradient_add_statistics: a gradient block is NULL");
    if (to->params != from->params)
        return sw_fail(SW_ERR_ARGUMENT, "gradient_add_statistics: the gradient blocks belong to different parameters");
    if (to == from)
        return sw_fail(SW_ERR_ARGUMENT, "gradient_add_statistics: a gradient block cannot be added to itself");
    return statistics_add("gradient_add_statistics", to, from->statistics);
}

bool swi_statistics_set_aside(sw_gradient *g) {
    struct swi_statistics *s = g->statistics;
    if (!s || !s->any)
        return false;
    s->next = g->aside;
    g->aside = s;
    g->statistics = NULL;
    return true;
}

sw_status swi_statistics_add_to_aside(sw_gradient *g) {
    struct swi_statistics *right = g->statistics;
    g->statistics = g->aside;
    g->aside = g->aside->next;
    g->statistics->next = NULL;
    const sw_status status = statistics_add("shards", g, right);
    if (right) {
        statistics_clear(right, g->params);
        right->next = g->spare;
        g->spare = right;
    }
    return status;
}

/* ---- The commit ---- */

static double statistic_moved(const statistic *s, double momentum, double before, double pooled) {
    if (s->is_variance && s->unbiased)
        pooled *= s->weight / (s->weight - 1);
    if (momentum == 0 || momentum == 1) /* 0·Inf is not 0 */
        return momentum == 0 ? before : pooled;
    return (1 - momentum) * before + momentum * pooled;
}

/* Checks the elements of the buffer after the commit. *largest receives the largest finite absolute value of them. */
static sw_status buffer_check(const sw_gradient *g, const sw_param *p, const void *x, double momentum,
                              double *largest) {
    const statistic *s = &g->statistics->of[p->index];
    const sw_dtype type = g->params->type;
    const double *pooled = statistics_pooled(g->statistics, p);
    if (s->is_variance && s->unbiased && !(s->weight > 1))
        return sw_fail(SW_ERR_ARGUMENT,
                       "buffer %s: the unbiased variance of %g value%s; more than one is needed (a larger batch?)",
                       p->name, s->weight, s->weight == 1 ? "" : "s");
    for (int64_t i = 0; i < p->count; i++) {
        const double before = sw_load_element(type, x, p->offset + i);
        const double after = statistic_moved(s, momentum, before, pooled[i]);
        const double stored = type == SW_F32 ? (double)(float)after : after;
        if (!isfinite(stored) && isfinite(before))
            return sw_fail(SW_ERR_NONFINITE,
                           "buffer %s: element %lld would become %g: the statistics of the batch are %g; the step is "
                           "not taken",
                           p->name, (long long)i, stored, pooled[i]);
        if (isfinite(stored) && fabs(stored) > *largest)
            *largest = fabs(stored);
    }
    return SW_OK;
}

/* Checks all buffers in the vector x. *norm (unless norm is NULL) receives a bound of their 2-norm after the commit. */
static sw_status buffers_check(const sw_gradient *g, const void *x, double momentum, double *norm) {
    double sum = 0;
    for (int i = 0; i < g->params->count && g->params->buffer_dim > 0; i++) {
        const sw_param *p = g->params->list[i];
        const statistic *s = g->statistics ? &g->statistics->of[i] : NULL;
        double largest = 0;
        if (!p->buffer || p->tied)
            continue;
        if (s && s->weight > 0) {
            SW_TRY(buffer_check(g, p, x, isnan(momentum) ? s->momentum : momentum, &largest));
        } else {
            for (int64_t k = 0; norm && k < p->count; k++) {
                const double value = fabs(sw_load_element(g->params->type, x, p->offset + k));
                largest = isfinite(value) && value > largest ? value : largest;
            }
        }
        sum = hypot(sum, largest * sqrt((double)p->count));
    }
    if (norm)
        *norm = sum * (1 + 0x1p-20); /* more than the rounding errors of `sum` */
    return SW_OK;
}

static sw_status buffers_check_call(const char *who, const sw_gradient *g, double momentum) {
    if (!g)
        return sw_fail(SW_ERR_ARGUMENT, "%s: the gradient block is NULL", who);
    if (!isnan(momentum) && !(momentum >= 0 && momentum <= 1))
        return sw_fail(SW_ERR_ARGUMENT, "%s: a momentum of %g, outside 0 to 1", who, momentum);
    return SW_OK;
}

sw_status sw_gradient_check_buffers(const sw_gradient *g, const void *x, double momentum, double *norm) {
    if (norm)
        *norm = 0;
    SW_TRY(buffers_check_call("gradient_check_buffers", g, momentum));
    return buffers_check(g, x ? x : g->params->x, momentum, norm);
}

sw_status sw_gradient_commit_buffers(sw_gradient *g, void *x, double momentum) {
    SW_TRY(buffers_check_call("gradient_commit_buffers", g, momentum));
    const struct swi_statistics *s = g->statistics; // NOLINT(clang-analyzer-core.NullDereference): checked
    if (!s || !s->any)
        return SW_OK;
    void *vector = x ? x : g->params->x;
    SW_TRY(buffers_check(g, vector, momentum, NULL));
    for (int i = 0; i < g->params->count; i++) {
        const sw_param *p = g->params->list[i];
        const double *pooled = s->of[i].weight > 0 ? statistics_pooled(s, p) : NULL;
        for (int64_t k = 0; pooled && k < p->count; k++) {
            const double before = sw_load_element(g->params->type, vector, p->offset + k);
            const double after =
                statistic_moved(&s->of[i], isnan(momentum) ? s->of[i].momentum : momentum, before, pooled[k]);
            sw_store_element(g->params->type, vector, p->offset + k, after);
        }
    }
    sw_gradient_drop_statistics(g);
    if (!x)
        g->params->version++;
    return SW_OK;
}
