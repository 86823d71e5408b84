/* Norms of parameters, gradients and updates of the last step, by layer. */
#include "optim/norms.h"
#include "optim/frozen.h"
#include "optim/optimizer.h"
#include "optim/stored_gradient.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Recording ---- */

typedef struct swo_norm_record {
    void *x;        /* x before the step, then the update */
    sw_norms *norm; /* [parameters]; those of tied parameters are not used */
} swo_norm_record;

static void norms_free_record(swo_norm_record *w) {
    if (!w)
        return;
    sw_free(w->x);
    sw_free(w->norm);
    sw_free(w);
}

void swo_norms_free(sw_optim *o) {
    norms_free_record(o->norms);
    o->norms = NULL;
}

size_t swo_norms_bytes(const sw_optim *o) {
    return o->norms ? (size_t)o->dim * swo_size(o) : 0;
}

sw_status sw_optim_record_norms(sw_optim *o, bool on) {
    if (!o)
        return sw_error() ? sw_error_status() : sw_fail(SW_ERR_ARGUMENT, "optim_record_norms: the optimizer is NULL");
    if (!on)
        swo_norms_free(o);
    if (!on || o->norms)
        return SW_OK;
    const int params = sw_params_count(o->params);
    swo_norm_record *w = sw_alloc(sizeof *w);
    if (!w)
        return SW_ERR_MEMORY;
    w->x = sw_alloc_array_named(SW_ACCOUNT_TEMPORARIES, "norms", "x", o->dim, swo_size(o));
    w->norm = sw_alloc_array(params, sizeof *w->norm);
    if (!w->x || !w->norm) {
        norms_free_record(w);
        return SW_ERR_MEMORY;
    }
    for (int i = 0; i < params; i++)
        w->norm[i] = (sw_norms){NAN, NAN, NAN};
    o->norms = w;
    return SW_OK;
}

void swo_norms_before(sw_optim *o) {
    if (o->norms)
        memcpy(o->norms->x, sw_params_x(o->params), (size_t)o->dim * swo_size(o));
}

static double norms_of_param(sw_dtype type, const sw_param *p, const void *vector) {
    double norm;
    sw_vector_norm(type, p->count, (const char *)vector + (size_t)p->offset * sw_dtype_size(type), &norm);
    return norm;
}

static double norms_of_gradient(const sw_optim *o, const sw_param *p, const void *g) {
    double norm;
    swo_gradient_norm(o, g, p->offset, p->count, &norm);
    return norm;
}

void swo_norms_after(sw_optim *o, const void *g) {
    swo_norm_record *w = o->norms;
    if (!w)
        return;
    const void *x = sw_params_x(o->params);
    sw_vector_axpby(o->type, o->dim, 1, x, -1, w->x, w->x);
    swo_zero_frozen(o, w->x); /* if they contain Inf, the difference is NaN */
    for (int i = 0; i < sw_params_count(o->params); i++) {
        const sw_param *p = sw_params_at(o->params, i);
        if (p->buffer)
            w->norm[i] = (sw_norms){0};
        else if (!p->tied)
            w->norm[i] =
                (sw_norms){norms_of_param(o->type, p, x), norms_of_gradient(o, p, g), norms_of_param(o->type, p, w->x)};
    }
}

/* ---- By layer ---- */

/* Whether a parameter belongs to a layer: "linear1" has linear1.weight and linear1, but not linear10.weight. */
static bool norms_layer_has(const char *layer, const char *name) {
    size_t length = layer ? strlen(layer) : 0;
    return !layer || (strncmp(name, layer, length) == 0 && (name[length] == 0 || name[length] == '.'));
}

static sw_status norms_fail_unknown(const sw_optim *o, const char *layer) {
    enum { NAMES = 256 }; /* candidates for a suggestion: names, and their parts before dots */
    char text[NAMES][64];
    const char *names[NAMES];
    int count = 0;
    for (int i = 0; i < sw_params_count(o->params); i++) {
        const char *name = sw_params_at(o->params, i)->name;
        for (size_t end = 1; end <= strlen(name) && end < sizeof text[0] && count < NAMES; end++) {
            if (name[end] != '.' && name[end] != 0)
                continue;
            snprintf(text[count], sizeof text[count], "%.*s", (int)end, name);
            if (count == 0 || strcmp(text[count], text[count - 1]) != 0) {
                names[count] = text[count];
                count++;
            }
        }
    }
    return sw_fail(SW_ERR_ARGUMENT, "norms: there is no layer %s%s", layer, sw_suggest(layer, count, names));
}

sw_status sw_optim_norms(const sw_optim *o, const char *layer, sw_norms *norms) {
    if (!o && sw_error())
        return sw_error_status();
    if (!o || !norms)
        return sw_fail(SW_ERR_ARGUMENT, "norms: an argument is NULL");
    if (!o->norms)
        return sw_fail(SW_ERR_STATE, "norms: call sw_optim_record_norms(optim, true) before the step");
    bool any = false;
    sw_norms sum = {0};
    const int count = sw_params_count(o->params);
    for (int i = 0; i < count; i++) {
        const sw_param *p = sw_params_at(o->params, i);
        bool in = false;
        for (int k = i; k < count && !p->tied && !in; k++) { /* by its name or the name of a parameter tied to it */
            const sw_param *other = sw_params_at(o->params, k);
            in = (other == p || other->tied == p) && norms_layer_has(layer, other->name);
        }
        if (!in)
            continue;
        any = true;
        const sw_norms *n = &o->norms->norm[i]; /* hypot does not overflow or underflow */
        sum = (sw_norms){hypot(sum.parameter, n->parameter), hypot(sum.gradient, n->gradient),
                         hypot(sum.update, n->update)};
    }
    *norms = sum;
    return any ? SW_OK : norms_fail_unknown(o, layer);
}
