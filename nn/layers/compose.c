/* Layers made of layers: sequential, residual, compose. */
#include "nn/internal.h"

#include <stdarg.h>
#include <stdio.h>

static sw_module *add_all(sw_module *m, int count, sw_module *const *modules) {
    if (count < 0 || (count > 0 && !modules)) {
        sw_fail(SW_ERR_ARGUMENT, "%s: the list of layers %s", m->type->name,
                count < 0 ? "has a negative length" : "is NULL");
        return sw_module_fail(m->model);
    }
    for (int i = 0; i < count; i++) {
        if (!modules[i] && count > 1) {
            sw_fail(SW_ERR_ARGUMENT, "%s: layer %d of %d is NULL", m->type->name, i + 1, count);
            return sw_module_fail(m->model);
        }
        if (sw_module_add_child(m, modules[i]) != SW_OK)
            return sw_module_fail(m->model);
    }
    return m;
}

/* Up to a NULL. */
static sw_module *add_listed(sw_module *m, va_list list) {
    sw_module *child;
    while ((child = va_arg(list, sw_module *)) != NULL)
        if (sw_module_add_child(m, child) != SW_OK)
            return sw_module_fail(m->model);
    return m;
}

/* ---- sequential ---- */

static sw_status sequential_build(sw_module *m, sw_sample_shape *shape) {
    for (int i = 0; i < m->children; i++)
        SW_TRY(sw_module_build(m->child[i], shape));
    return SW_OK;
}

static bool same(sw_tensor a, sw_tensor b) {
    return a.tape == b.tape && a.slot == b.slot && a.generation == b.generation;
}

static sw_tensor sequential_forward(sw_module *m, sw_tensor x) {
    sw_tensor at = x;
    for (int i = 0; i < m->children && !sw_is_null(at); i++) {
        sw_tensor next = sw_forward(m->child[i], at);
        /* Nobody else has a handle on what passes between two layers; the input is the caller's. */
        if (!same(at, x) && !same(at, next))
            sw_release(at);
        at = next;
    }
    return at;
}

const sw_module_type swn_sequential_type = {
    .size = sizeof(sw_module_type), .name = "sequential", .build = sequential_build, .forward = sequential_forward};

sw_module *sw_nn_sequential_array(sw_model *model, int count, sw_module *const *modules) {
    sw_module *m = sw_module_new(model, &swn_sequential_type, 0);
    if (!swn_is(m, &swn_sequential_type))
        return m;
    return add_all(m, count, modules);
}

/* Without the NULLs at the end of a list. */
static int listed_count(int count, sw_module *const *modules) {
    while (count > 0 && modules && !modules[count - 1])
        count--;
    return count;
}

sw_module *sw_nn_sequential_listed(sw_model *model, int count, sw_module *const *modules) {
    return sw_nn_sequential_array(model, listed_count(count, modules), modules);
}

sw_module *(sw_nn_sequential)(sw_model *model, ...) {
    sw_module *m = sw_module_new(model, &swn_sequential_type, 0);
    if (!swn_is(m, &swn_sequential_type))
        return m;
    va_list list;
    va_start(list, model);
    m = add_listed(m, list);
    va_end(list);
    return m;
}

/* ---- residual: x + f(x) ---- */

static sw_status residual_build(sw_module *m, sw_sample_shape *shape) {
    const sw_sample_shape in = *shape;
    SW_TRY(sw_module_build(m->child[0], shape));
    if (in.rank >= 0 && !swn_same_shape(&in, shape))
        return sw_fail(SW_ERR_SHAPE,
                       "layer %s: %s comes in and layer %s makes it %s; x + f(x) needs equal "
                       "shapes",
                       m->name, sw_shape_text(in.rank, in.length), m->child[0]->name,
                       sw_shape_text(shape->rank, shape->length));
    return SW_OK;
}

static bool equal_shapes(const sw_array *a, const sw_array *b) {
    bool equal = a->rank == b->rank;
    for (int i = 0; equal && i < a->rank; i++)
        equal = a->shape[i] == b->shape[i];
    return equal;
}

static sw_tensor residual_forward(sw_module *m, sw_tensor x) {
    sw_tensor y = sw_forward(m->child[0], x);
    if (sw_is_null(y))
        return y;
    sw_array a = sw_value(x), b = sw_value(y);
    if (!equal_shapes(&a, &b)) { /* the build may not have known */
        sw_fail(SW_ERR_SHAPE, "layer %s: x %s and f(x) %s; equal shapes are needed", m->name,
                sw_shape_text(a.rank, a.shape), sw_shape_text(b.rank, b.shape));
        return (sw_tensor){0};
    }
    sw_tensor sum = sw_add(x, y);
    if (!same(x, y) && !sw_is_null(sum))
        sw_release(y); /* nobody else has it */
    return sum;
}

static const sw_module_type residual_type = {
    .size = sizeof(sw_module_type), .name = "residual", .build = residual_build, .forward = residual_forward};

sw_module *sw_nn_residual(sw_model *model, sw_module *f) {
    sw_module *m = sw_module_new(model, &residual_type, 0);
    return swn_is(m, &residual_type) ? add_all(m, 1, &f) : m;
}

/* ---- compose ---- */

typedef struct compose {
    sw_module_type type; /* with the user's kind as its name */
    char kind[50];
    void *user;
    bool out_given;
    sw_sample_shape out;
} compose;

static sw_status compose_build_unknown(sw_module *m) {
    for (int i = 0; i < m->children; i++)
        if (!m->child[i]->built) {
            sw_sample_shape unknown = {.rank = -1};
            SW_TRY(sw_module_build(m->child[i], &unknown));
        }
    return SW_OK;
}

/* Runs forward on two samples of zeros. */
static sw_status compose_trace(sw_module *m, sw_tape *tape, sw_sample_shape *shape) {
    enum { SAMPLES = 2 };
    sw_dtype type = m->type->takes_ids ? SW_I32 : sw_params_type(m->model->params);
    sw_tensor x = swn_zeros(tape, type, SAMPLES, shape);
    if (sw_is_null(x))
        return sw_last_failure();
    const char *outer = sw_tape_set_layer(tape, m->name);
    const uint64_t failures = sw_failure_count();
    sw_tensor y = m->type->forward(m, x);
    sw_tape_set_layer(tape, outer);
    sw_array a = sw_is_null(y) ? (sw_array){0} : sw_value(y);
    if (!a.data)
        return sw_failure_count() != failures
                   ? sw_last_failure()
                   : sw_fail(SW_ERR_USER, "layer %s: its forward gives a null tensor", m->name);
    if (a.rank < 1 || a.shape[0] != SAMPLES)
        return sw_fail(SW_ERR_SHAPE,
                       "layer %s: its forward makes %s of a batch of %d; axis 0 must stay the "
                       "batch",
                       m->name, sw_shape_text(a.rank, a.shape), SAMPLES);
    shape->rank = a.rank - 1;
    for (int i = 1; i < a.rank; i++)
        shape->length[i - 1] = a.shape[i];
    return SW_OK;
}

static sw_status compose_build(sw_module *m, sw_sample_shape *shape) {
    const compose *c = m->data;
    sw_model *model = m->model;
    if (c->out_given) {
        *shape = c->out;
        return compose_build_unknown(m);
    }
    if (shape->rank < 0)
        return sw_fail(SW_ERR_SHAPE, "layer %s: what comes in is not known; sw_model_set_input_shape gives it",
                       m->name);
    sw_tape *outer = model->trace, *tape = outer ? outer : sw_tape_new();
    const sw_module *outer_module = model->tracing;
    if (!tape)
        return SW_ERR_MEMORY;
    sw_tape_set_switch(tape, SW_RECORD | SW_TRAIN, false);
    model->trace = tape;
    model->tracing = m;
    sw_status status = compose_trace(m, tape, shape);
    model->trace = outer;
    model->tracing = outer_module;
    if (!outer)
        sw_tape_free(tape);
    return status == SW_OK ? compose_build_unknown(m) : status;
}

static void compose_describe(const sw_module *m, char *text, size_t bytes) {
    snprintf(text, bytes, "composed of %d", m->children);
}

/* Without layers in it yet. */
static sw_module *compose_new(sw_model *model, const char *kind, sw_tensor (*forward)(sw_module *, sw_tensor),
                              const sw_compose_options *given) {
    sw_compose_options options = {.size = sizeof options};
    if (given && sw_options_copy("compose", "sw_compose_options", &options, sizeof options, given,
                                 offsetof(sw_compose_options, user)) != SW_OK)
        return sw_module_fail(model);
    if (!kind || !*kind || strlen(kind) >= sizeof((compose *)0)->kind - 1 || !forward) {
        sw_fail(SW_ERR_ARGUMENT, "compose: %s",
                forward ? "a kind of 1 to 48 characters is needed" : "the forward function is NULL");
        return sw_module_fail(model);
    }
    const sw_module_type type = {.size = sizeof type,
                                 .name = kind,
                                 .build = compose_build,
                                 .forward = forward,
                                 .describe = compose_describe,
                                 .name_space = true,
                                 .takes_ids = options.takes_ids};
    sw_module *m = sw_module_new(model, &type, sizeof(compose));
    if (!swn_is(m, &type))
        return m;
    compose *c = m->data;
    c->type = type;
    snprintf(c->kind, sizeof c->kind, "%s", kind);
    c->type.name = c->kind;
    c->user = options.user;
    c->out_given = options.out != NULL;
    if (options.out)
        c->out = *options.out;
    m->type = &c->type;
    return m;
}

sw_module *sw_nn_compose_with_options(sw_model *model, const char *kind,
                                      sw_tensor (*forward)(sw_module *self, sw_tensor x), int count,
                                      sw_module *const *modules, const sw_compose_options *options) {
    sw_module *m = compose_new(model, kind, forward, options);
    return m && m->type->build == compose_build ? add_all(m, count, modules) : m;
}

sw_module *sw_nn_compose_listed(sw_model *model, const char *kind, sw_tensor (*forward)(sw_module *self, sw_tensor x),
                                int count, sw_module *const *modules) {
    return sw_nn_compose_with_options(model, kind, forward, listed_count(count, modules), modules, NULL);
}

sw_module *(sw_nn_compose)(sw_model *model, const char *kind, sw_tensor (*forward)(sw_module *self, sw_tensor x), ...) {
    sw_module *m = compose_new(model, kind, forward, NULL);
    if (!m || m->type->build != compose_build)
        return m;
    va_list list;
    va_start(list, forward);
    m = add_listed(m, list);
    va_end(list);
    return m;
}

void *sw_module_user(const sw_module *module) {
    return module && module->type->build == compose_build ? ((const compose *)module->data)->user : NULL;
}
