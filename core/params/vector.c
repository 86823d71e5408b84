/* The parameter vector, whose parts are declared by name, and gradient blocks of the same size. */
#include <swale/memory.h>
#include <swale/params.h>
#include <swale/status.h>

#include "core/base/allocation.h"
#include "core/base/dry_run_state.h"
#include "core/base/element.h"
#include "core/kernels/axpy.h"
#include "core/kernels/dispatch.h"
#include "core/params/file_order.h"
#include "core/params/vector.h"

#include <string.h>
#include <limits.h>
#include <math.h>

struct swi_initializer {
    sw_init init;
};

const char *sw_role_name(sw_role role) {
    static const char *const names[] = {"weight", "bias", "norm", "embedding", "head", "other"};
    return (unsigned)role < sizeof names / sizeof *names ? names[role] : "?";
}

/* The type of x and the storage type that the options select. */
static sw_status params_find_types(const sw_params_options *options, sw_dtype *type, sw_dtype *storage) {
    if (!sw_dtype_is_float(options->type))
        return sw_fail(SW_ERR_TYPE, "parameters are f32, f64, f16 or bf16, not %s", sw_dtype_name(options->type));
    *type = sw_dtype_compute(options->type);
    *storage = options->storage ? options->storage : options->type;
    if (options->type != *type && *storage != options->type)
        return sw_fail(SW_ERR_TYPE, "parameters: type %s and storage %s; leave the storage out, or let both be equal",
                       sw_dtype_name(options->type), sw_dtype_name(*storage));
    if (!sw_dtype_is_float(*storage) || sw_dtype_compute(*storage) != *type)
        return sw_fail(SW_ERR_TYPE, "parameters: storage %s for parameters in %s; %s%s is needed",
                       sw_dtype_name(*storage), sw_dtype_name(*type), sw_dtype_name(*type),
                       *type == SW_F32 ? ", f16 or bf16" : "");
    return SW_OK;
}

sw_params *sw_params_new_with_options(const sw_params_options *options) {
    sw_params_options o = {.size = sizeof o};
    sw_dtype type = SW_F32, storage = SW_F32;
    if (options && sw_options_copy("params", "sw_params_options", &o, sizeof o, options,
                                   offsetof(sw_params_options, type)) != SW_OK)
        return NULL;
    if (params_find_types(&o, &type, &storage) != SW_OK || swi_check_environment() != SW_OK)
        return NULL;
    sw_params *p = sw_alloc(sizeof *p);
    if (p) {
        p->type = type;
        p->storage = storage;
        p->seed = o.seed;
        p->id = swi_next_id();
        p->loss_scale = 1;
    }
    return p;
}

sw_params *sw_params_new(sw_dtype type, uint64_t seed) {
    return sw_params_new_with_options(
        &(sw_params_options){.size = sizeof(sw_params_options), .type = type, .seed = seed});
}

static void params_free_vectors(sw_params *p) {
    sw_gradient_free(p->gradient);
    sw_free(p->copy);
    sw_free(p->x);
    p->gradient = NULL;
    p->copy = p->x = NULL;
}

void sw_params_free(sw_params *p) {
    if (!p || !sw_may_free(p, "params"))
        return;
    for (int i = 0; i < p->count; i++) {
        sw_free((void *)(uintptr_t)p->list[i]->name);
        sw_free(p->list[i]);
    }
    sw_free(p->list);
    sw_free(p->initializer);
    params_free_vectors(p);
    sw_free(p);
}

static sw_status params_grow(sw_params *p) {
    if (p->count < p->capacity)
        return SW_OK;
    const int capacity = p->capacity ? 2 * p->capacity : 8;
    SW_TRY(sw_resize_array(&p->list, p->count, capacity, sizeof *p->list));
    SW_TRY(sw_resize_array(&p->initializer, p->count, capacity, sizeof *p->initializer));
    p->capacity = capacity;
    return SW_OK;
}

static sw_param *params_declare(sw_params *p, const char *name, int rank, const int64_t *shape,
                                const sw_param_options *options, sw_param *target) {
    int64_t count;
    if (p->built) {
        sw_fail(SW_ERR_STATE, "parameter %s: the set is built already", name);
        return NULL;
    }
    if (!name || !*name) {
        sw_fail(SW_ERR_ARGUMENT, "a parameter needs a name");
        return NULL;
    }
    if (sw_params_find(p, name)) {
        sw_fail(SW_ERR_ARGUMENT, "parameter %s is declared twice", name);
        return NULL;
    }
    sw_file_order order = options->channels_first;
    if (sw_shape_count(rank, shape, &count) != SW_OK || swi_file_order_complete(name, rank, shape, &order) != SW_OK ||
        params_grow(p) != SW_OK)
        return NULL;
    sw_param *param = sw_alloc(sizeof *param);
    char *copy = sw_strdup(name);
    if (!param || !copy) {
        sw_free(param);
        sw_free(copy);
        return NULL;
    }
    *param = (sw_param){.name = copy,
                        .role = options->role,
                        .rank = rank,
                        .count = count,
                        .offset = -1,
                        .fan_in = options->fan_in,
                        .fan_out = options->fan_out,
                        .index = p->count,
                        .owner = p,
                        .tied = target,
                        .frozen = options->buffer,
                        .buffer = options->buffer,
                        .channels_first = order};
    for (int i = 0; i < rank; i++)
        param->shape[i] = shape[i];
    p->initializer[p->count].init = options->init;
    p->list[p->count++] = param;
    return param;
}

sw_param *sw_params_add(sw_params *p, const char *name, int rank, const int64_t *shape,
                        const sw_param_options *options) {
    sw_param_options options_copy = {.size = sizeof options_copy, .role = SW_ROLE_OTHER};
    if (!p) {
        sw_fail(SW_ERR_ARGUMENT, "parameter %s: the set is NULL", name ? name : "?");
        return NULL;
    }
    bool taken = !options || sw_options_copy("parameter", "sw_param_options", &options_copy, sizeof options_copy,
                                             options, offsetof(sw_param_options, role)) == SW_OK;
    sw_param *param = taken ? params_declare(p, name, rank, shape, &options_copy, NULL) : NULL;
    if (!param)
        p->failed = sw_last_failure();
    return param;
}

sw_param *sw_params_tie(sw_params *p, const char *name, sw_param *target) {
    if (!p || !target) {
        sw_fail(SW_ERR_ARGUMENT, "parameter %s: the %s is NULL", name ? name : "?", p ? "target" : "set");
        if (p)
            p->failed = SW_ERR_ARGUMENT;
        return NULL;
    }
    if (target->owner != p) {
        sw_fail(SW_ERR_ARGUMENT, "parameter %s: %s belongs to another set", name, target->name);
        p->failed = SW_ERR_ARGUMENT;
        return NULL;
    }
    while (target->tied)
        target = target->tied;
    const sw_param_options options = {.size = sizeof options,
                                      .role = target->role,
                                      .fan_in = target->fan_in,
                                      .fan_out = target->fan_out,
                                      .buffer = target->buffer,
                                      .channels_first = target->channels_first};
    sw_param *param = params_declare(p, name, target->rank, target->shape, &options, target);
    if (!param)
        p->failed = sw_last_failure();
    return param;
}

/* Assigns the offsets, from *dim on, of all buffers or of all other parameters. */
static sw_status params_lay_out(sw_params *p, bool buffers, int64_t *dim) {
    for (int i = 0; i < p->count; i++) {
        sw_param *param = p->list[i];
        if (param->buffer != buffers)
            continue;
        if (param->tied) {
            param->offset = param->tied->offset; /* declared before: already laid out */
            continue;
        }
        if (param->count > INT64_MAX / 64 - *dim)
            return sw_fail(SW_ERR_SHAPE, "params_build: too many parameters");
        param->offset = *dim;
        *dim += param->count;
    }
    return SW_OK;
}

static sw_status params_alloc_vectors(sw_params *p) {
    const bool copied = p->storage != p->type;
    p->x = sw_alloc_array_named(SW_ACCOUNT_PARAMETERS, copied ? "masters" : NULL, sw_dtype_name(p->type), p->dim,
                                swi_size(p->type));
    if (p->x && copied)
        p->copy = sw_alloc_array_named(SW_ACCOUNT_PARAMETERS, "leaves", sw_dtype_name(p->storage),
                                       swi_params_trained(p), swi_size(p->storage));
    p->gradient = p->x && (p->copy || !copied) ? sw_gradient_new(p) : NULL;
    return p->gradient ? SW_OK : SW_ERR_MEMORY;
}

sw_status sw_params_build(sw_params *p) {
    if (!p)
        return sw_fail_unless_pending(SW_ERR_ARGUMENT, "params_build: the set is NULL");
    if (p->failed)
        return sw_error() ? p->failed : sw_fail(SW_ERR_STATE, "params_build: a parameter could not be declared");
    if (p->built)
        return sw_fail(SW_ERR_STATE, "params_build: the parameters are built already");
    int64_t dim = 0;
    SW_TRY(params_lay_out(p, false, &dim));
    const int64_t trained = dim;
    SW_TRY(params_lay_out(p, true, &dim)); /* last, so that they do not interrupt the loops of rules */
    p->dim = dim;
    p->buffer_dim = dim - trained;
    sw_status status = params_alloc_vectors(p);
    p->built = status == SW_OK;
    if (status == SW_OK)
        status = sw_params_reinitialize(p);
    if (status != SW_OK) {
        p->built = false;
        params_free_vectors(p);
    }
    return status;
}

/* Whether a number is finite after rounding to a type. */
static bool params_is_finite(sw_dtype type, double value) {
    double element = 0; /* room for one of each type */
    sw_store_scalar(type, &element, value);
    return isfinite(sw_load_scalar(type, &element)) != 0;
}

/* An error for initial values that are NaN or Inf, which a program would otherwise notice only in the first loss. A
 * frozen parameter may hold Inf, as a mask does, and a number that is Inf in the copy for the leaves. */
static sw_status params_check_value(const sw_params *p, const sw_param *param, const sw_init *init, int64_t at,
                                    double value) {
    const bool in_x = params_is_finite(p->type, value);
    if (in_x ? param->frozen || params_is_finite(p->storage, value) : param->frozen && isinf(value))
        return SW_OK;
    const char *name = init->name ? init->name : "?";
    if (isfinite(value))
        return sw_fail(SW_ERR_NONFINITE, "parameter %s: initial values %s: element %lld is %g, too large for %s",
                       param->name, name, (long long)at, value, sw_dtype_name(in_x ? p->storage : p->type));
    return sw_fail(SW_ERR_NONFINITE, "parameter %s: initial values %s: element %lld is %s; finite numbers are needed%s",
                   param->name, name, (long long)at,
                   isnan(value) ? "nan"
                   : value > 0  ? "inf"
                                : "-inf",
                   isinf(value) ? " (freeze a parameter that holds a mask before the build)" : "");
}

/* Writes the initial values of parameter i to x. `values` is memory for them in f64, in which all of them are
 * computed. */
static sw_status params_fill(sw_params *p, int i, double *values) {
    const sw_param *param = p->list[i];
    const sw_init *init = &p->initializer[i].init;
    if (init->fill) {
        sw_rng rng = {.key = sw_rng_key(p->seed, param->name)};
        const sw_status status = init->fill(init, param, &rng, values);
        if (status != SW_OK)
            return sw_fail(status == SW_SKIPPED ? SW_ERR_USER : status,
                           "parameter %s: fill of its initial values (%s) returned status %d without "
                           "a message",
                           param->name, init->name ? init->name : "?", (int)status);
    }
    for (int64_t k = 0; k < param->count; k++) {
        const double value = init->fill ? values[k] : 0;
        SW_TRY(params_check_value(p, param, init, k, value));
        sw_store_element(p->type, p->x, param->offset + k, value);
    }
    return SW_OK;
}

sw_status sw_params_reinitialize(sw_params *p) {
    if (!p || !p->built)
        return sw_fail(SW_ERR_STATE, "params_reinitialize: the parameters are not built");
    int64_t largest = 0;
    for (int i = 0; i < p->count; i++)
        if (p->initializer[i].init.fill && p->list[i]->count > largest)
            largest = p->list[i]->count;
    /* f64, so that f32 and f64 start at the same point */
    double *values = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, largest, sizeof *values);
    if (!values)
        return SW_ERR_MEMORY;
    sw_status status = SW_OK;
    for (int i = 0; i < p->count && status == SW_OK && !swi_dry_run(); i++)
        if (!p->list[i]->tied)
            status = params_fill(p, i, values);
    sw_free(values);
    sw_gradient_drop_statistics(p->gradient);
    sw_params_mark_changed(p);
    return status;
}

bool sw_params_built(const sw_params *p) {
    return p && p->built;
}

sw_dtype sw_params_type(const sw_params *p) {
    return p ? p->type : SW_F32;
}

sw_dtype sw_params_storage(const sw_params *p) {
    return p ? p->storage : SW_F32;
}

uint64_t sw_params_seed(const sw_params *p) {
    return p ? p->seed : 0;
}

int64_t sw_params_dim(const sw_params *p) {
    return p ? p->dim : 0;
}

int64_t sw_params_buffer_dim(const sw_params *p) {
    return p ? p->buffer_dim : 0;
}

int sw_params_count(const sw_params *p) {
    return p ? p->count : 0;
}

sw_param *sw_params_at(const sw_params *p, int index) {
    return p && index >= 0 && index < p->count ? p->list[index] : NULL;
}

sw_param *sw_params_find(const sw_params *p, const char *name) {
    for (int i = 0; p && name && i < p->count; i++)
        if (strcmp(p->list[i]->name, name) == 0)
            return p->list[i];
    return NULL;
}

void *sw_params_x(const sw_params *p) {
    return p ? p->x : NULL;
}

void swi_params_renew_copy(sw_params *p) {
    if (p->copy)
        swi_narrow(p->storage, swi_params_trained(p), p->x, p->copy);
}

void swi_params_count_change(sw_params *p) {
    p->version++;
}

void sw_params_mark_changed(sw_params *p) {
    if (!p)
        return;
    swi_params_renew_copy(p);
    swi_params_count_change(p);
}

uint64_t sw_params_version(const sw_params *p) {
    return p ? p->version : 0;
}

sw_status sw_params_set_loss_scale(sw_params *p, double scale) {
    int exponent;
    if (!p)
        return sw_fail_unless_pending(SW_ERR_ARGUMENT, "params_set_loss_scale: the set of parameters is NULL");
    if (!(scale >= 0x1p-24 && scale <= 0x1p24) || frexp(scale, &exponent) != 0.5)
        return sw_fail(SW_ERR_ARGUMENT,
                       "params_set_loss_scale: the scale is %g; a power of 2 from 2^-24 to 2^24 is needed", scale);
    p->loss_scale = scale;
    return SW_OK;
}

double sw_params_loss_scale(const sw_params *p) {
    return p ? p->loss_scale : 1;
}

sw_gradient *sw_params_gradient(const sw_params *p) {
    return p ? p->gradient : NULL;
}

static sw_array param_view(const sw_param *param, sw_dtype type, void *vector) {
    if (!vector)
        return (sw_array){0};
    char *data = (char *)vector + (size_t)param->offset * swi_size(type);
    return sw_array_view(data, type, param->rank, param->shape);
}

sw_array sw_param_value(const sw_param *param) {
    return param ? param_view(param, param->owner->type, param->owner->x) : (sw_array){0};
}

sw_array sw_param_stored_value(const sw_param *param) {
    return param && !param->buffer && param->owner->copy ? param_view(param, param->owner->storage, param->owner->copy)
                                                         : sw_param_value(param);
}

sw_array sw_param_grad(const sw_param *param) {
    sw_gradient *g = param ? param->owner->gradient : NULL;
    return g ? param_view(param, sw_gradient_type(g), sw_gradient_data(g)) : (sw_array){0};
}

void sw_param_freeze(sw_param *param, bool frozen) {
    if (param)
        (param->tied ? param->tied : param)->frozen = frozen || param->buffer;
    else
        sw_fail(SW_ERR_ARGUMENT, "param_freeze: the parameter is NULL (is its name right?)");
}

void sw_param_set_role(sw_param *param, sw_role role) {
    if (param)
        param->role = role;
    else
        sw_fail(SW_ERR_ARGUMENT, "param_set_role: the parameter is NULL (is its name right?)");
}
