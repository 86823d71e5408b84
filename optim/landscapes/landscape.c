/* A landscape: evaluations at vectors around a point. */
#include "optim/landscapes/landscape_state.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

enum { LANDSCAPE_CHUNK = 1000 };

static size_t landscape_bytes(const sw_landscape *l) {
    return (size_t)l->dim * sw_dtype_size(l->type);
}

void swo_landscape_mask(const sw_landscape *l, void *v) {
    for (int i = 0; i < sw_params_count(l->f->params); i++) {
        const sw_param *p = sw_params_at(l->f->params, i);
        if (p->frozen)
            memset((char *)v + (size_t)p->offset * sw_dtype_size(l->type), 0,
                   (size_t)p->count * sw_dtype_size(l->type));
    }
}

void swo_landscape_random(const sw_landscape *l, bool signs, sw_rng *rng, void *v) {
    for (int64_t i = 0; i < l->dim; i++)
        sw_store_element(l->type, v, i, !signs ? sw_rng_normal(rng) : sw_rng_next(rng) >> 31 ? 1 : -1);
    swo_landscape_mask(l, v);
}

void swo_landscape_move(sw_landscape *l, double a, const void *d) {
    if (d)
        sw_vector_axpby(l->type, l->dim, 1, l->x, a, d, l->trial);
    else
        memcpy(l->trial, l->x, landscape_bytes(l));
}

/* ---- Running statistics ---- */

static sw_status landscape_report_statistics(sw_landscape *l, int64_t first, int64_t count) {
    const int64_t *ids = l->options.ids ? l->options.ids + first : l->ids;
    for (int64_t i = 0; !l->options.ids && i < count; i++)
        l->ids[i] = first + i;
    sw_tape_reset(l->tape);
    sw_tape_set_draw(l->tape, l->options.draw);
    SW_TRY(sw_tape_bind(l->tape, l->f->params, l->trial, l->statistics));
    SW_TRY(sw_tape_set_sample_ids(l->tape, ids, count));
    const uint64_t failures = sw_failure_count();
    if (sw_is_null(l->f->loss(l->f->user, l->tape, ids, count)))
        return sw_failure_count() > failures ? sw_last_failure()
                                             : sw_fail(SW_ERR_USER, "landscape: the loss is a null tensor");
    return SW_OK;
}

/* Sets the buffers of the trial vector to the statistics of the samples there. The sizes of the chunks differ by at
 * most 1, so that none has so few samples that its variance is of no use. */
static sw_status landscape_estimate_statistics(sw_landscape *l) {
    const int64_t n = l->options.statistics, parts = (n - 1) / l->options.chunk + 1;
    sw_status status = SW_OK;
    int64_t first = 0;
    sw_gradient_make_fresh(l->statistics); /* drops what a failed estimation has left */
    sw_tape_set_switch(l->tape, SW_RECORD, false);
    sw_tape_set_switch(l->tape, SW_TRAIN | SW_UPDATE_BUFFERS, true);
    for (int64_t i = 0; i < parts && status == SW_OK; i++) {
        const int64_t count = n / parts + (i < n % parts);
        status = landscape_report_statistics(l, first, count);
        first += count;
    }
    sw_tape_reset(l->tape);
    sw_tape_set_switch(l->tape, SW_RECORD, true);
    sw_tape_set_switch(l->tape, SW_UPDATE_BUFFERS, false);
    sw_tape_set_switch(l->tape, SW_TRAIN, l->options.train);
    SW_TRY(status);
    return sw_gradient_commit_buffers(l->statistics, l->trial, 1);
}

/* ---- Evaluation ---- */

/* Estimates the statistics, if they are estimated again. *finite becomes false, without an error, if they overflow: the
 * loss at this point is not finite. */
static sw_status landscape_try_statistics(sw_landscape *l, bool *finite) {
    const bool pending = sw_error() != NULL;
    const sw_status status = l->statistics ? landscape_estimate_statistics(l) : SW_OK;
    *finite = status != SW_ERR_NONFINITE || pending;
    if (*finite)
        return status;
    sw_clear_error();
    return SW_OK;
}

sw_status swo_landscape_value(sw_landscape *l, double *value) {
    const sw_landscape_options *o = &l->options;
    bool finite;
    *value = NAN;
    SW_TRY(landscape_try_statistics(l, &finite));
    return finite ? sw_objective_value_chunked(l->f, l->tape, l->trial, o->ids, o->count, o->chunk, o->draw, value)
                  : SW_OK;
}

sw_status swo_landscape_gradient(sw_landscape *l, bool statistics, double *value, void *g) {
    const sw_landscape_options *o = &l->options;
    bool finite = true;
    double unused = NAN;
    value = value ? value : &unused;
    if (statistics)
        SW_TRY(landscape_try_statistics(l, &finite));
    if (!finite) {
        *value = NAN;
        sw_vector_axpby(l->type, l->dim, NAN, l->trial, 0, NULL, g);
        swo_landscape_mask(l, g);
        return SW_OK;
    }
    sw_gradient_set_data(l->view, g);
    SW_TRY(sw_objective_gradient_chunked(l->f, l->tape, l->trial, o->ids, o->count, o->chunk, o->draw, value, l->view));
    sw_gradient_data(l->view); /* divides the sum over the chunks by its weight */
    swo_landscape_mask(l, g);
    return SW_OK;
}

sw_status swo_landscape_check(const char *who, const sw_landscape *l, const char *name, const void *argument) {
    return l && argument ? SW_OK : sw_fail(SW_ERR_ARGUMENT, "%s: %s is NULL", who, l ? name : "the landscape");
}

sw_status sw_landscape_value(sw_landscape *l, const void *x, double *value) {
    SW_TRY(swo_landscape_check("landscape_value", l, "value", value));
    memcpy(l->trial, x ? x : l->x, landscape_bytes(l));
    return swo_landscape_value(l, value);
}

sw_status sw_landscape_gradient(sw_landscape *l, const void *x, double *value, void *g) {
    SW_TRY(swo_landscape_check("landscape_gradient", l, "g", g));
    memcpy(l->trial, x ? x : l->x, landscape_bytes(l));
    return swo_landscape_gradient(l, true, value, g);
}

sw_status sw_landscape_line(sw_landscape *l, const void *d, int64_t count, const double *alpha, double *values) {
    SW_TRY(swo_landscape_check("landscape_line", l, "d", d));
    if (count > 0) {
        SW_TRY(swo_landscape_check("landscape_line", l, "alpha", alpha));
        SW_TRY(swo_landscape_check("landscape_line", l, "values", values));
    }
    for (int64_t i = 0; i < count; i++) {
        swo_landscape_move(l, alpha[i], d);
        SW_TRY(swo_landscape_value(l, &values[i]));
    }
    return SW_OK;
}

sw_status sw_landscape_plane(sw_landscape *l, const void *u, const void *v, int64_t columns, const double *alpha,
                             int64_t rows, const double *beta, double *values) {
    SW_TRY(swo_landscape_check("landscape_plane", l, "u", u));
    SW_TRY(swo_landscape_check("landscape_plane", l, "v", v));
    if (columns < 0 || rows < 0)
        return sw_fail(SW_ERR_ARGUMENT, "landscape_plane: %lld columns and %lld rows; neither may be negative",
                       (long long)columns, (long long)rows);
    if (columns > 0 && rows > 0) {
        SW_TRY(swo_landscape_check("landscape_plane", l, "alpha", alpha));
        SW_TRY(swo_landscape_check("landscape_plane", l, "beta", beta));
        SW_TRY(swo_landscape_check("landscape_plane", l, "values", values));
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            swo_landscape_move(l, alpha[j], u);
            sw_vector_axpby(l->type, l->dim, 1, l->trial, beta[i], v, l->trial);
            SW_TRY(swo_landscape_value(l, &values[i * columns + j]));
        }
    return SW_OK;
}

/* ---- Creation ---- */

static sw_status landscape_read_options(const sw_objective *f, const sw_landscape_options *given,
                                        sw_landscape_options *o) {
    if (given)
        SW_TRY(sw_options_copy("landscape", "sw_landscape_options", o, sizeof *o, given, sizeof *o));
    if (o->count < 0 || o->chunk < 0 || o->statistics < 0 || !(o->step >= 0) || isinf(o->step))
        return sw_fail(SW_ERR_ARGUMENT,
                       "landscape: count = %lld, chunk = %lld, statistics = %lld, step = %g; none may be negative, and "
                       "step must be finite",
                       (long long)o->count, (long long)o->chunk, (long long)o->statistics, o->step);
    if (o->ids && o->count == 0)
        return sw_fail(SW_ERR_ARGUMENT, "landscape: there are ids, but count is 0; set it to the number of ids");
    o->count = o->count > 0 ? o->count : f->n;
    o->chunk = o->chunk > 0 ? o->chunk : LANDSCAPE_CHUNK;
    if (!o->ids && o->count > f->n)
        return sw_fail(SW_ERR_ARGUMENT, "landscape: count = %lld; the objective has %lld samples", (long long)o->count,
                       (long long)f->n);
    if (o->chunk > o->count)
        o->chunk = o->count > 0 ? o->count : 1;
    if (o->statistics > o->count)
        return sw_fail(SW_ERR_ARGUMENT, "landscape: statistics = %lld; at most the %lld samples of the landscape",
                       (long long)o->statistics, (long long)o->count);
    if (o->statistics > 0 && sw_params_buffer_dim(f->params) > 0 && !f->loss)
        return sw_fail(SW_ERR_ARGUMENT, "landscape: statistics are estimated on a tape: the objective needs `loss`");
    return SW_OK;
}

static void landscape_count_free(sw_landscape *l) {
    for (int i = 0; i < sw_params_count(l->f->params); i++) {
        const sw_param *p = sw_params_at(l->f->params, i);
        l->free_dim += p->tied || p->frozen ? 0 : p->count;
    }
}

static sw_status landscape_allocate(sw_landscape *l) {
    const bool statistics = l->options.statistics > 0 && sw_params_buffer_dim(l->f->params) > 0;
    l->tape = sw_tape_new();
    l->view = sw_gradient_view(l->f->params);
    l->x = swo_landscape_vectors(l, 1);
    l->trial = swo_landscape_vectors(l, 1);
    if (statistics) {
        l->statistics = sw_gradient_new(l->f->params);
        l->ids = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, l->options.chunk, sizeof *l->ids);
    }
    if (!l->tape || !l->view || !l->x || !l->trial || (statistics && !(l->statistics && l->ids)))
        return sw_last_failure();
    sw_tape_set_switch(l->tape, SW_UPDATE_BUFFERS, false);
    sw_tape_set_switch(l->tape, SW_TRAIN, l->options.train);
    return SW_OK;
}

sw_landscape *sw_landscape_new(const sw_objective *f, const void *x, const sw_landscape_options *options) {
    sw_landscape_options o = {.size = sizeof o};
    if (sw_objective_check(f) != SW_OK || landscape_read_options(f, options, &o) != SW_OK)
        return NULL;
    sw_landscape *l = sw_alloc(sizeof *l);
    if (!l)
        return NULL;
    l->f = f;
    l->options = o;
    l->type = sw_params_type(f->params);
    l->dim = sw_params_dim(f->params);
    landscape_count_free(l);
    if (landscape_allocate(l) != SW_OK || sw_landscape_set_point(l, x) != SW_OK) {
        sw_landscape_free(l);
        return NULL;
    }
    return l;
}

void sw_landscape_free(sw_landscape *l) {
    if (!l || !sw_may_free(l, "landscape"))
        return;
    sw_tape_free(l->tape);
    sw_gradient_free(l->view);
    sw_gradient_free(l->statistics);
    sw_free(l->x);
    sw_free(l->trial);
    sw_free(l->ids);
    sw_free(l);
}

/* max(1, max |x_i|) over the elements that are not frozen: an attention mask holds -Inf. */
static double landscape_largest(const sw_landscape *l) {
    double largest = 1;
    for (int i = 0; i < sw_params_count(l->f->params); i++) {
        const sw_param *p = sw_params_at(l->f->params, i);
        for (int64_t k = 0; !p->frozen && k < p->count; k++)
            largest = fmax(largest, fabs(sw_load_element(l->type, l->x, p->offset + k)));
    }
    return largest;
}

sw_status sw_landscape_set_point(sw_landscape *l, const void *x) {
    if (!l)
        return sw_fail(SW_ERR_ARGUMENT, "landscape_set_point: the landscape is NULL");
    memcpy(l->trial, x ? x : sw_params_x(l->f->params), landscape_bytes(l));
    if (l->statistics)
        SW_TRY(landscape_estimate_statistics(l));
    memcpy(l->x, l->trial, landscape_bytes(l));
    l->step = l->options.step > 0 ? l->options.step
                                  : cbrt(l->type == SW_F64 ? DBL_EPSILON : FLT_EPSILON) * landscape_largest(l);
    return SW_OK;
}

const void *sw_landscape_point(const sw_landscape *l) {
    return l ? l->x : NULL;
}
