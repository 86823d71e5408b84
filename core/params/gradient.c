/* Gradient blocks: their contents, and the weighted sum of the parts of a mean. */
#include <swale/memory.h>
#include <swale/status.h>
#include <swale/vector.h>

#include "core/base/allocation.h"
#include "core/base/dry_run_state.h"
#include "core/base/element.h"
#include "core/kernels/axpy.h"
#include "core/params/gradient.h"
#include "core/params/statistics.h"
#include "core/params/vector.h"

#include <string.h>

/* Below this number of elements the vector is in the cache when a step checks it. */
enum { SQUARES_FROM = 1 << 18 };

/* ---- New and free ---- */

static sw_gradient *gradient_new_without_data(sw_params *params, sw_dtype type) {
    if (!params || !params->x) {
        sw_fail(SW_ERR_STATE, "gradient: the parameters are not built");
        return NULL;
    }
    sw_gradient *g = sw_alloc(sizeof *g);
    if (!g)
        return NULL;
    g->params = params;
    g->type = type;
    g->fresh = true;
    g->scale = 1;
    g->written = sw_alloc((size_t)params->count);
    if (g->written && params->dim >= SQUARES_FROM)
        g->squares = swi_squares_new(type, params->dim);
    if (!g->written || (params->dim >= SQUARES_FROM && !g->squares)) {
        sw_gradient_free(g);
        return NULL;
    }
    return g;
}

sw_gradient *sw_gradient_view(sw_params *params) {
    return gradient_new_without_data(params, params ? params->type : SW_F32);
}

sw_gradient *sw_gradient_new(sw_params *params) {
    sw_gradient *g = gradient_new_without_data(params, params ? params->storage : SW_F32);
    if (!g)
        return NULL;
    g->owned = g->data = sw_alloc_array_for(SW_ACCOUNT_GRADIENTS, params->dim, swi_size(g->type));
    if (!g->data) {
        sw_gradient_free(g);
        return NULL;
    }
    return g;
}

void sw_gradient_set_data(sw_gradient *view, void *vector) {
    if (view && !view->owned) {
        view->data = vector;
        sw_gradient_make_fresh(view); /* the previous vector is not changed */
    }
}

void sw_gradient_free(sw_gradient *g) {
    if (!g || !sw_may_free(g, "gradient"))
        return;
    sw_free(g->owned);
    sw_free(g->low);
    sw_free(g->few);
    sw_free(g->written);
    swi_squares_free(g->squares);
    swi_statistics_free(g->statistics);
    swi_statistics_free(g->aside);
    swi_statistics_free(g->spare);
    sw_free(g);
}

/* ---- Accumulation ---- */

static void gradient_start(sw_gradient *g, swi_weight weight, int64_t samples) {
    g->fresh = g->many_parts = g->summed = g->mixed_weights = g->few_open = false;
    g->samples = samples;
    g->weight = weight;
    g->unit = weight.value;
    g->scale = sw_dtype_is_computed(g->type) ? 1 : g->params->loss_scale;
    g->serial = swi_next_id();
    if (g->squares)
        swi_squares_begin(g->squares, g->data);
}

/* Whether `few` has the sum of the elements [at, at + n). */
static bool gradient_in_few(const sw_gradient *g, int64_t at, int64_t n) {
    return g->few_open && at >= g->few_at && at + n <= g->few_at + g->few_count;
}

/* Begins the sum of the elements of one parameter of a block in f16 or bf16. */
static sw_status gradient_begin_few(sw_gradient *g, int64_t at, int64_t n) {
    if (g->few_room < n) {
        sw_free(g->few);
        g->few_room = 0;
        if (!(g->few = sw_alloc_array_for(SW_ACCOUNT_GRADIENTS, n, sizeof *g->few)))
            return SW_ERR_MEMORY;
        g->few_room = n;
    }
    g->few_at = at;
    g->few_count = n;
    g->few_open = true;
    swi_axpy_wide(g->type, n, 1, (char *)g->data + (size_t)at * swi_size(g->type), g->few, true);
    return SW_OK;
}

/* Moves the sum of one parameter to that of all. */
static void gradient_end_few(sw_gradient *g) {
    if (g->few_open && !swi_dry_run())
        memcpy(g->low + g->few_at, g->few, (size_t)g->few_count * sizeof *g->few);
    sw_free(g->few);
    g->few = NULL;
    g->few_open = false;
    g->few_room = 0;
}

/* Converts the mean to a sum. The unit of the sum is the weight of the mean, so that the numbers do not change. */
static sw_status gradient_begin_sum(sw_gradient *g) {
    const size_t dim = swi_dry_run() ? 0 : (size_t)g->params->dim;
    if (g->type != SW_F64) {
        if (!g->low && !(g->low = sw_alloc_array_for(SW_ACCOUNT_GRADIENTS, g->params->dim, sizeof *g->low)))
            return SW_ERR_MEMORY;
        if (g->type == SW_F32)
            memset(g->low, 0, dim * sizeof *g->low);
        else
            swi_axpy_wide(g->type, g->params->dim, 1, g->data, g->low, true);
        gradient_end_few(g);
    }
    g->unit = g->weight.value;
    g->summed = true;
    return SW_OK;
}

sw_status swi_gradient_open(sw_gradient *g, const char *who, swi_weight weight, int64_t samples) {
    if (g->fresh) {
        memset(g->written, 0, (size_t)g->params->count);
        gradient_start(g, weight, samples);
        return SW_OK;
    }
    if (!swi_weight_fits(g->weight, weight))
        return swi_weight_refuse(who, g->weight, weight);
    if (weight.value == 0) { /* a part with weight 0 does not change the mean */
        g->many_parts = true;
        g->samples += samples;
        return SW_OK;
    }
    if (g->weight.value == 0) { /* the parts so far have weight 0: the new part replaces them */
        memset(g->written, 0, (size_t)g->params->count);
        gradient_start(g, weight, g->samples + samples);
        return SW_OK;
    }
    if (g->mixed_weights)
        return swi_weight_refuse(who, g->weight, g->weight);
    if (!g->summed)
        SW_TRY(gradient_begin_sum(g));
    g->many_parts = true;
    g->samples += samples;
    if (weight.value > 0)
        g->weight.value += weight.value;
    return SW_OK;
}

/* For equal scales, and if the block holds a mean: 1 for the only part; for one of several parts, its fraction of the
 * total weight. */
double swi_gradient_factor(const sw_gradient *g, double weight, double scale) {
    const double unscale = g->scale / scale; /* of powers of 2: exact */
    if (!g->many_parts || weight == SW_SUMMED)
        return unscale;
    const double whole = g->summed ? g->unit : g->weight.value;
    return whole > 0 ? weight / whole * unscale : 0;
}

void swi_gradient_fill_zero(sw_gradient *g, int64_t at, int64_t n) {
    swi_gradient_touch(g, at, n);
    sw_vector_fill(g->type, n, 0, (char *)g->data + (size_t)at * swi_size(g->type));
    if (swi_gradient_is_sum_in_f32(g))
        sw_vector_fill(SW_F32, n, 0, g->low + at);
    if (gradient_in_few(g, at, n))
        sw_vector_fill(SW_F32, n, 0, g->few + (at - g->few_at));
}

sw_status swi_gradient_add(sw_gradient *g, int64_t at, int64_t n, double factor, sw_dtype type, const void *from,
                           bool store) {
    void *to = (char *)g->data + (size_t)at * swi_size(g->type);
    swi_gradient_touch(g, at, n);
    if (factor == 0) { /* 0·NaN is not 0 */
        if (store)
            swi_gradient_fill_zero(g, at, n);
        return SW_OK;
    }
    if (!store && !g->summed && sw_dtype_is_16_bit(g->type) && !gradient_in_few(g, at, n))
        SW_TRY(g->few_open || g->low ? gradient_begin_sum(g) : gradient_begin_few(g, at, n));
    if (gradient_in_few(g, at, n)) /* a parameter that the pass uses more than once */
        swi_axpy_wide(type, n, factor, from, g->few + (at - g->few_at), store);
    else if (swi_gradient_is_sum_in_f32(g))
        swi_axpy_wide(type, n, factor, from, g->low + at, store);
    else if (g->summed && type != SW_F64)
        swi_axpy_compensated(type, n, factor, from, to, g->low + at);
    else if (type == g->type)
        swi_axpy(type, n, factor, from, to, store);
    else
        swi_axpy_wide(type, n, factor, from, to, store);
    return SW_OK;
}

const void *swi_gradient_part(const sw_gradient *g, int64_t at, int64_t n, sw_dtype *type) {
    const bool few = gradient_in_few(g, at, n), wide = few || swi_gradient_is_sum_in_f32(g);
    *type = wide ? SW_F32 : g->type;
    return few    ? g->few + (at - g->few_at)
           : wide ? (const void *)(g->low + at)
                  : (const char *)g->data + (size_t)at * swi_size(g->type);
}

void swi_gradient_close(sw_gradient *g) {
    if (g->few_open) {
        g->few_open = false;
        swi_gradient_touch(g, g->few_at, g->few_count);
        swi_narrow(g->type, g->few_count, g->few, (char *)g->data + (size_t)g->few_at * swi_size(g->type));
    }
    if (!g->summed)
        return;
    g->summed = false;
    swi_gradient_touch(g, 0, g->params->dim);
    const double scale = g->weight.value > 0 ? g->unit / g->weight.value : 1;
    if (g->type == SW_F32) {
        swi_close_compensated(g->params->dim, scale, g->data, g->low);
    } else if (g->type == SW_F64) {
        swi_axpy(g->type, g->params->dim, scale, g->data, g->data, true);
    } else {
        swi_axpy(SW_F32, g->params->dim, scale, g->low, g->low, true);
        swi_narrow(g->type, g->params->dim, g->low, g->data);
    }
}

void swi_gradient_filled(sw_gradient *g, swi_weight weight, int64_t samples) {
    memset(g->written, 1, (size_t)g->params->count);
    gradient_start(g, weight, samples);
}

/* ---- Contents and state ---- */

sw_dtype sw_gradient_type(const sw_gradient *g) {
    return g ? g->type : SW_F32;
}

void *swi_gradient_data(sw_gradient *g) {
    swi_gradient_close(g);
    return g->data;
}

void *sw_gradient_data(sw_gradient *g) {
    if (!g)
        return NULL;
    g->exposed = true;
    return swi_gradient_data(g);
}

sw_status swi_gradient_norm(sw_gradient *g, double *norm) {
    return g->squares ? swi_squares_norm(g->squares, g->data, norm)
                      : sw_vector_norm(g->type, g->params->dim, g->data, norm);
}

void swi_gradient_restart(sw_gradient *g) {
    g->fresh = true;
    g->summed = g->few_open = false;
    g->samples = 0;
    g->weight = swi_plain_weight(0);
}

void sw_gradient_make_fresh(sw_gradient *g) {
    if (g) {
        swi_gradient_restart(g);
        sw_gradient_drop_statistics(g);
    }
}

bool sw_gradient_is_fresh(const sw_gradient *g) {
    return !g || g->fresh;
}

int64_t sw_gradient_samples(const sw_gradient *g) {
    return g ? g->samples : 0;
}

double sw_gradient_scale(const sw_gradient *g) {
    return g ? g->scale : 1;
}

double sw_gradient_weight(const sw_gradient *g) {
    return g ? g->weight.value : 0;
}
