/* Curves between two vectors, as an objective whose parameters are the bends. With weights c_k(t) that sum to 1,
 *
 *     φ(t) = Σ_k c_k(t) θ_k,   ∂f(φ(t))/∂θ_k = c_k(t) ∇f(φ(t)) */
#include "optim/landscapes/vectors.h"

#include <swale/curve.h>
#include <swale/memory.h>
#include <swale/status.h>
#include <swale/vector.h>

#include <math.h>
#include <stdio.h>

enum { CURVE_MOST_BENDS = 16 };

struct sw_curve {
    const sw_objective *f;
    sw_curve_form form;
    int bends;
    uint64_t key; /* of the numbers t */
    int64_t chunk;
    sw_dtype type;
    int64_t dim, buffers; /* elements of a vector of f->params; buffers at its end */
    void *start, *end;
    sw_params *params;
    sw_objective objective;
    /* For evaluations of the objective: */
    sw_tape *tape;
    sw_gradient *view;
    void *x, *g; /* φ(t), and the gradient there */
};

/* Computes c_0 … c_(n+1). */
static void curve_weights(const sw_curve *c, double t, double *weight) {
    const int degree = c->bends + 1;
    if (c->form == SW_CURVE_POLYCHAIN) {
        for (int k = 0; k <= degree; k++)
            weight[k] = fmax(0, 1 - fabs(t * degree - k));
        return;
    }
    double binomial = 1;
    for (int k = 0; k <= degree; k++) {
        weight[k] = binomial * pow(t, k) * pow(1 - t, degree - k);
        binomial = binomial * (degree - k) / (k + 1);
    }
}

static void *curve_bend(const sw_curve *c, const void *bends, int k) {
    return (char *)(uintptr_t)bends + (size_t)((k - 1) * (c->dim - c->buffers)) * sw_dtype_size(c->type);
}

/* Copies elements of frozen parameters that are equal at both ends: an attention mask holds -Inf, and 0·Inf is NaN. */
static void curve_copy_constants(const sw_curve *c, void *out) {
    for (int i = 0; i < sw_params_count(c->f->params); i++) {
        const sw_param *p = sw_params_at(c->f->params, i);
        for (int64_t k = p->offset; p->frozen && k < p->offset + p->count; k++)
            if (sw_load_element(c->type, c->start, k) == sw_load_element(c->type, c->end, k))
                sw_store_element(c->type, out, k, sw_load_element(c->type, c->start, k));
    }
}

static void curve_compute_point(const sw_curve *c, const void *bends, double t, void *out) {
    double weight[CURVE_MOST_BENDS + 2];
    const int64_t trained = c->dim - c->buffers;
    const size_t offset = (size_t)trained * sw_dtype_size(c->type);
    curve_weights(c, t, weight);
    sw_vector_axpby(c->type, trained, weight[0], c->start, weight[c->bends + 1], c->end, out);
    for (int k = 1; k <= c->bends; k++)
        if (weight[k] != 0)
            sw_vector_axpby(c->type, trained, 1, out, weight[k], curve_bend(c, bends, k), out);
    sw_vector_axpby(c->type, c->buffers, 1 - t, (char *)c->start + offset, t, (char *)c->end + offset,
                    (char *)out + offset);
    curve_copy_constants(c, out);
}

sw_status sw_curve_point(const sw_curve *c, const void *bends, double t, void *out) {
    if (!c || !out)
        return sw_fail(SW_ERR_ARGUMENT, "curve_point: %s is NULL", c ? "out" : "the curve");
    if (!(t >= 0 && t <= 1))
        return sw_fail(SW_ERR_ARGUMENT, "curve_point: t = %g; it must be from 0 to 1", t);
    curve_compute_point(c, bends ? bends : sw_params_x(c->params), t, out);
    return SW_OK;
}

/* A stream of the curve's random numbers, two words of which belong to each draw. */
double sw_curve_t(const sw_curve *c, uint64_t draw) {
    sw_rng rng = {.key = c ? c->key : 0, .position = 2 * draw};
    return sw_rng_uniform(&rng);
}

sw_params *sw_curve_params(const sw_curve *c) {
    return c ? c->params : NULL;
}

const sw_objective *sw_curve_objective(const sw_curve *c) {
    return c ? &c->objective : NULL;
}

/* ---- The objective ---- */

static sw_status curve_gradient(void *user, const void *bends, const int64_t *ids, int64_t count, uint64_t draw,
                                double *value, void *g) {
    sw_curve *c = user;
    const double t = sw_curve_t(c, draw);
    const int64_t trained = c->dim - c->buffers;
    double weight[CURVE_MOST_BENDS + 2];
    curve_compute_point(c, bends, t, c->x);
    if (!g)
        return sw_objective_value_chunked(c->f, c->tape, c->x, ids, count, c->chunk, draw, value);
    sw_gradient_set_data(c->view, c->g);
    SW_TRY(sw_objective_gradient_chunked(c->f, c->tape, c->x, ids, count, c->chunk, draw, value, c->view));
    const void *at_point = sw_gradient_data(c->view);
    curve_weights(c, t, weight);
    for (int k = 1; k <= c->bends; k++)
        sw_vector_axpby(c->type, trained, weight[k], at_point, 0, NULL, curve_bend(c, g, k));
    return SW_OK;
}

/* The library calls it after curve_gradient. */
static double curve_weight(void *user, const int64_t *ids, int64_t count, uint64_t draw) {
    const sw_curve *c = user;
    (void)ids, (void)count, (void)draw;
    return sw_tape_loss_weight(c->tape);
}

static void curve_prefetch(void *user, const int64_t *ids, int64_t count) {
    const sw_curve *c = user;
    c->f->prefetch(c->f->user, ids, count);
}

/* ---- Creation ---- */

/* Puts the bends on the straight line. */
static sw_status curve_place_bends(sw_curve *c) {
    for (int k = 1; k <= c->bends; k++) {
        char name[16];
        snprintf(name, sizeof name, "bend%d", k);
        SW_TRY(swo_vectors_add(c->params, c->f->params, name));
    }
    SW_TRY(sw_params_build(c->params));
    for (int k = 1; k <= c->bends; k++) {
        const double t = (double)k / (c->bends + 1);
        sw_vector_axpby(c->type, c->dim - c->buffers, 1 - t, c->start, t, c->end,
                        curve_bend(c, sw_params_x(c->params), k));
    }
    sw_params_mark_changed(c->params);
    return SW_OK;
}

static sw_status curve_allocate(sw_curve *c, const void *start, const void *end) {
    c->start = swo_vectors_copy(c->f->params, start);
    c->end = swo_vectors_copy(c->f->params, end);
    c->x = swo_vectors_copy(c->f->params, NULL);
    c->g = swo_vectors_copy(c->f->params, NULL);
    c->tape = sw_tape_new();
    c->view = sw_gradient_view(c->f->params);
    c->params = sw_params_new(c->type, 0);
    if (!c->start || !c->end || !c->x || !c->g || !c->tape || !c->view || !c->params)
        return sw_last_failure();
    sw_tape_set_switch(c->tape, SW_UPDATE_BUFFERS, false);
    c->objective = (sw_objective){.size = sizeof c->objective,
                                  .n = c->f->n,
                                  .params = c->params,
                                  .user = c,
                                  .gradient = curve_gradient,
                                  .prefetch = c->f->prefetch ? curve_prefetch : NULL,
                                  .weight = curve_weight};
    return curve_place_bends(c);
}

static sw_status curve_check(const sw_objective *f, const void *start, const void *end, const sw_curve_options *given,
                             sw_curve_options *o) {
    SW_TRY(sw_objective_check(f));
    if (!start || !end)
        return sw_fail(SW_ERR_ARGUMENT, "curve: the %s is NULL", start ? "end" : "start");
    if (given)
        SW_TRY(sw_options_copy("curve", "sw_curve_options", o, sizeof *o, given, offsetof(sw_curve_options, chunk)));
    o->bends = o->bends == 0 ? 1 : o->bends;
    if (o->chunk < 0)
        return sw_fail(SW_ERR_ARGUMENT, "curve: chunk = %lld; it must be positive, or 0 for 1000", (long long)o->chunk);
    if (o->bends < 1 || o->bends > CURVE_MOST_BENDS)
        return sw_fail(SW_ERR_ARGUMENT, "curve: %d bends; it needs 1 to %d", o->bends, CURVE_MOST_BENDS);
    if (o->form != SW_CURVE_BEZIER && o->form != SW_CURVE_POLYCHAIN)
        return sw_fail(SW_ERR_ARGUMENT, "curve: form %d; SW_CURVE_BEZIER or SW_CURVE_POLYCHAIN is needed",
                       (int)o->form);
    return SW_OK;
}

sw_curve *sw_curve_new(const sw_objective *f, const void *start, const void *end, const sw_curve_options *options) {
    sw_curve_options o = {.size = sizeof o};
    sw_curve *c = curve_check(f, start, end, options, &o) == SW_OK ? sw_alloc(sizeof *c) : NULL;
    if (!c)
        return NULL;
    c->f = f;
    c->form = o.form;
    c->bends = o.bends;
    c->chunk = o.chunk;
    c->key = sw_rng_key(o.seed, "curve");
    c->type = sw_params_type(f->params);
    c->dim = sw_params_dim(f->params);
    c->buffers = sw_params_buffer_dim(f->params);
    if (curve_allocate(c, start, end) != SW_OK) {
        sw_curve_free(c);
        return NULL;
    }
    return c;
}

void sw_curve_free(sw_curve *c) {
    if (!c || !sw_may_free(c, "curve"))
        return;
    sw_tape_free(c->tape);
    sw_gradient_free(c->view);
    sw_params_free(c->params);
    sw_free(c->start), sw_free(c->end), sw_free(c->x), sw_free(c->g);
    sw_free(c);
}
