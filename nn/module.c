/* A layer: made, named, set up, built, run. */
#include "nn/internal.h"

#include <math.h>
#include <stdio.h>

struct sw_module_setting { /* of one parameter */
    char *suffix, *other_suffix;
    sw_init init;     /* fill NULL: not asked for */
    sw_module *other; /* NULL: not tied */
    bool used;
    sw_module_setting *next;
};

static sw_tensor nothing(sw_module *module, sw_tensor x) {
    (void)module, (void)x;
    return (sw_tensor){0};
}

const sw_module_type swn_placeholder_type = {.size = sizeof(sw_module_type), .name = "placeholder", .forward = nothing};

bool swn_is_name_space(const sw_module_type *type) {
    return type->size > offsetof(sw_module_type, name_space) && type->name_space;
}

bool swn_takes_ids(const sw_module *m) {
    while (m->type == &swn_sequential_type && m->children)
        m = m->child[0];
    return m->type->size > offsetof(sw_module_type, takes_ids) && m->type->takes_ids;
}

bool swn_same_shape(const sw_sample_shape *a, const sw_sample_shape *b) {
    bool same = a->rank == b->rank;
    for (int i = 0; same && i < a->rank; i++)
        same = a->length[i] == b->length[i];
    return same;
}

sw_tensor swn_zeros(sw_tape *tape, sw_dtype type, int64_t batch, const sw_sample_shape *sample) {
    int64_t shape[SW_MAX_RANK + 1] = {batch};
    for (int i = 0; i < sample->rank; i++)
        shape[i + 1] = sample->length[i];
    sw_tensor t = sw_empty(tape, type, sample->rank + 1, shape);
    sw_array a = sw_is_null(t) ? (sw_array){0} : sw_value(t);
    if (a.data)
        memset(a.data, 0, (size_t)sw_array_count(&a) * sw_dtype_size(type));
    return t;
}

double swn_number_at(const sw_array *a, int64_t i) {
    switch (a->type) {
    case SW_F32: return (double)((const float *)a->data)[i];
    case SW_F64: return ((const double *)a->data)[i];
    case SW_I32: return ((const int32_t *)a->data)[i];
    case SW_U8: return ((const uint8_t *)a->data)[i];
    case SW_I64: break; /* not on tapes */
    }
    return NAN;
}

/* ---- Made ---- */

sw_module *sw_module_fail(sw_model *model) {
    if (!model)
        return NULL;
    model->failed = true;
    return &model->placeholder;
}

static sw_status make_room(sw_model *model) {
    if (model->modules < model->capacity)
        return SW_OK;
    int capacity = model->capacity ? 2 * model->capacity : 8;
    sw_module **more = sw_alloc_array(capacity, sizeof *more);
    if (!more)
        return SW_ERR_MEMORY;
    if (model->modules)
        memcpy(more, model->module, (size_t)model->modules * sizeof *more);
    sw_free(model->module);
    model->module = more;
    model->capacity = capacity;
    return SW_OK;
}

sw_module *sw_module_new(sw_model *model, const sw_module_type *type, size_t bytes) {
    if (!type || !type->name || !type->forward) {
        sw_fail(SW_ERR_ARGUMENT, "a layer needs a type with a name and a forward function");
        return sw_module_fail(model);
    }
    if (!model) {
        sw_fail(SW_ERR_ARGUMENT, "%s: the model is NULL", type->name);
        return NULL;
    }
    if (model->root) {
        sw_fail(SW_ERR_STATE, "%s: the model is built already", type->name);
        return sw_module_fail(model);
    }
    if (make_room(model) != SW_OK)
        return sw_module_fail(model);
    sw_module *module = sw_alloc(sizeof *module);
    void *data = sw_alloc(bytes);
    char *name = sw_strdup(type->name); /* numbered when it is built */
    if (!module || !data || !name) {
        sw_free(module);
        sw_free(data);
        sw_free(name);
        return sw_module_fail(model);
    }
    *module = (sw_module){.type = type, .model = model, .name = name, .data = data};
    module->in.rank = module->out.rank = -1;
    model->module[model->modules++] = module;
    return module;
}

void swn_module_free(sw_module *m) {
    if (m->type->free)
        m->type->free(m);
    while (m->settings) {
        sw_module_setting *next = m->settings->next;
        sw_free(m->settings->suffix);
        sw_free(m->settings->other_suffix);
        sw_free(m->settings);
        m->settings = next;
    }
    sw_free(m->data);
    sw_free(m->child);
    sw_free(m->param);
    sw_free(m->kept_frozen);
    sw_free((void *)(uintptr_t)m->name);
    sw_free(m);
}

sw_status sw_module_add_child(sw_module *module, sw_module *child) {
    if (!module || !child)
        return sw_fail(SW_ERR_ARGUMENT, "a layer to be added is NULL");
    if (child->model != module->model)
        return sw_fail(SW_ERR_ARGUMENT, "layer %s belongs to another model", child->name);
    if (child == &module->model->placeholder)
        return sw_error() ? sw_last_failure()
                          : sw_fail(SW_ERR_STATE, "layer %s: a layer in it could not be made", module->name);
    for (const sw_module *up = module; up; up = up->parent)
        if (up == child)
            return sw_fail(SW_ERR_ARGUMENT, "layer %s cannot be part of itself", child->name);
    if (child->parent)
        return sw_fail(SW_ERR_ARGUMENT, "layer %s is part of a layer already", child->name);
    sw_module **more = sw_alloc_array(module->children + 1, sizeof *more);
    if (!more)
        return SW_ERR_MEMORY;
    if (module->children)
        memcpy(more, module->child, (size_t)module->children * sizeof *more);
    sw_free(module->child);
    module->child = more;
    more[module->children++] = child;
    child->parent = module;
    return SW_OK;
}

sw_module *sw_module_child(const sw_module *module, int index) {
    return module && index >= 0 && index < module->children ? module->child[index] : NULL;
}

/* ---- Set up ---- */

/* Whether settings of the module can still be changed; the answer to its caller if not. */
static bool is_open(sw_module *module, const char *what, sw_module **answer) {
    *answer = module;
    if (!module || module == &module->model->placeholder)
        return false;
    if (module->built) {
        sw_fail(SW_ERR_ARGUMENT, "layer %s: it is built, and keeps its %s", module->name, what);
        *answer = sw_module_fail(module->model);
        return false;
    }
    return true;
}

sw_module *sw_module_set_name(sw_module *module, const char *name) {
    sw_module *answer;
    if (!is_open(module, "name", &answer))
        return answer;
    if (!name || !*name || strlen(name) > 100) {
        sw_fail(SW_ERR_ARGUMENT, "layer %s: a name of 1 to 100 characters is needed", module->name);
        return sw_module_fail(module->model);
    }
    char *copy = sw_strdup(name);
    if (!copy)
        return sw_module_fail(module->model);
    sw_free((void *)(uintptr_t)module->name);
    module->name = copy;
    module->named = true;
    return module;
}

static sw_module_setting *setting_of(const sw_module *module, const char *suffix) {
    sw_module_setting *s = module->settings;
    while (s && strcmp(s->suffix, suffix) != 0)
        s = s->next;
    return s;
}

/* The setting for a parameter, made if there is none. */
static sw_module_setting *set_up(sw_module *module, const char *suffix) {
    if (!suffix || !*suffix) {
        sw_fail(SW_ERR_ARGUMENT, "layer %s: which parameter is not said", module->name);
        return NULL;
    }
    sw_module_setting *s = setting_of(module, suffix);
    if (s)
        return s;
    s = sw_alloc(sizeof *s);
    char *copy = sw_strdup(suffix);
    if (!s || !copy) {
        sw_free(s);
        sw_free(copy);
        return NULL;
    }
    s->suffix = copy;
    s->next = module->settings;
    module->settings = s;
    return s;
}

static sw_module *both(sw_module *module, const char *suffix) {
    sw_fail(SW_ERR_ARGUMENT, "layer %s: a tied %s starts as the other layer's does", module->name, suffix);
    return sw_module_fail(module->model);
}

sw_module *sw_module_set_param_init(sw_module *module, const char *suffix, sw_init init) {
    sw_module *answer;
    if (!is_open(module, "initial values", &answer))
        return answer;
    if (!init.fill) {
        sw_fail(SW_ERR_ARGUMENT, "layer %s: the initial values have no fill function", module->name);
        return sw_module_fail(module->model);
    }
    sw_module_setting *s = set_up(module, suffix);
    if (!s)
        return sw_module_fail(module->model);
    if (s->other)
        return both(module, suffix);
    s->init = init;
    return module;
}

sw_module *sw_module_set_init(sw_module *module, sw_init init) {
    return sw_module_set_param_init(module, "weight", init);
}

sw_module *sw_module_tie_param(sw_module *module, const char *suffix, sw_module *other, const char *other_suffix) {
    sw_module *answer;
    if (!is_open(module, "parameters", &answer))
        return answer;
    if (!other || other == &other->model->placeholder || other == module || other->model != module->model ||
        !other_suffix || !*other_suffix) {
        sw_fail(SW_ERR_ARGUMENT, "layer %s: it can be tied to another layer of its model%s", module->name,
                other && other->model == module->model ? "" : ", and that is none");
        return sw_module_fail(module->model);
    }
    sw_module_setting *s = set_up(module, suffix);
    char *copy = s ? sw_strdup(other_suffix) : NULL;
    if (!copy)
        return sw_module_fail(module->model);
    sw_free(s->other_suffix);
    s->other_suffix = copy;
    s->other = other;
    return s->init.fill ? both(module, suffix) : module;
}

sw_module *sw_module_tie(sw_module *module, sw_module *other) {
    return sw_module_tie_param(module, "weight", other, "weight");
}

static const sw_param *untied(const sw_param *param) {
    return param->tied ? param->tied : param;
}

/* Whether the build of a layer that has this parameter froze it. */
static bool is_kept_frozen(const sw_model *model, const sw_param *param) {
    for (int i = 0; i < model->modules; i++) {
        const sw_module *m = model->module[i];
        for (int k = 0; m->kept_frozen && k < m->params; k++)
            if (m->kept_frozen[k] && untied(m->param[k]) == untied(param))
                return true;
    }
    return false;
}

sw_module *sw_module_freeze(sw_module *module, bool frozen) {
    if (!module)
        return NULL;
    module->frozen = frozen;
    for (int i = 0; i < module->params; i++)
        if (frozen || !is_kept_frozen(module->model, module->param[i]))
            sw_param_freeze(module->param[i], frozen);
    for (int i = 0; i < module->children; i++)
        sw_module_freeze(module->child[i], frozen);
    return module;
}

/* ---- Parameters ---- */

sw_param *sw_module_find_param(const sw_module *module, const char *suffix) {
    for (int i = 0; module && suffix && i < module->params; i++)
        if (strcmp(module->param[i]->name + strlen(module->name) + 1, suffix) == 0)
            return module->param[i];
    return NULL;
}

static sw_param *tie(sw_module *m, const char *name, const sw_module_setting *s, int rank, const int64_t *shape) {
    sw_param *target = sw_module_find_param(s->other, s->other_suffix);
    if (!target) {
        sw_fail(SW_ERR_STATE, "layer %s: its %s is tied to layer %s, which %s%s", m->name, s->suffix, s->other->name,
                s->other->built ? "has no " : "is built later: tie that layer to this one",
                s->other->built ? s->other_suffix : "");
        return NULL;
    }
    bool fits = rank == target->rank;
    for (int i = 0; i < rank; i++) {
        if (fits && shape[i] != target->shape[i]) {
            sw_fail(SW_ERR_SHAPE, "parameter %s: %s cannot be tied to %s %s: axis %d differs", name,
                    sw_shape_text(rank, shape), target->name, sw_shape_text(target->rank, target->shape), i);
            return NULL;
        }
    }
    if (!fits) {
        sw_fail(SW_ERR_SHAPE, "parameter %s: %s cannot be tied to %s %s: %d and %d axes", name,
                sw_shape_text(rank, shape), target->name, sw_shape_text(target->rank, target->shape), rank,
                target->rank);
        return NULL;
    }
    return sw_params_tie(m->model->params, name, target);
}

static sw_param *declare(sw_module *m, const char *name, const sw_module_setting *s, int rank, const int64_t *shape,
                         const sw_param_options *given) {
    sw_param_options options = {.size = sizeof options, .role = SW_ROLE_OTHER};
    if (given && sw_options_copy("parameter", "sw_param_options", &options, sizeof options, given,
                                 offsetof(sw_param_options, role)) != SW_OK)
        return NULL;
    options.size = sizeof options;
    if (s && s->init.fill)
        options.init = s->init;
    else if ((unsigned)options.role < SWN_ROLES && m->model->init[options.role].fill)
        options.init = m->model->init[options.role];
    return sw_params_add(m->model->params, name, rank, shape, &options);
}

sw_param *sw_module_add_param(sw_module *module, const char *suffix, int rank, const int64_t *shape,
                              const sw_param_options *options) {
    char name[256];
    if (!module || !suffix || !*suffix || (rank > 0 && !shape)) {
        sw_fail(SW_ERR_ARGUMENT, "module_param: the %s is NULL", !module ? "layer" : suffix ? "shape" : "name");
        return NULL;
    }
    if (snprintf(name, sizeof name, "%s.%s", module->name, suffix) >= (int)sizeof name) {
        sw_fail(SW_ERR_ARGUMENT, "layer %s: the name of its %s is too long", module->name, suffix);
        return NULL;
    }
    sw_param **more = sw_alloc_array(module->params + 1, sizeof *more);
    if (!more)
        return NULL;
    if (module->params)
        memcpy(more, module->param, (size_t)module->params * sizeof *more);
    sw_free(module->param);
    module->param = more;
    sw_module_setting *s = setting_of(module, suffix);
    if (s)
        s->used = true;
    sw_param *param =
        s && s->other ? tie(module, name, s, rank, shape) : declare(module, name, s, rank, shape, options);
    if (!param)
        return NULL;
    more[module->params++] = param;
    return param;
}

/* ---- Named ---- */

static const sw_module *name_space_of(const sw_module *m) {
    const sw_module *up = m->parent;
    while (up && !swn_is_name_space(up->type))
        up = up->parent;
    return up;
}

/* Whether another layer is, or will be, called so. A name of the user's that is not settled yet is one
 * within its name space. */
static bool is_taken(const sw_module *m, const sw_module *space, const char *own, const char *full) {
    for (int i = 0; i < m->model->modules; i++) {
        const sw_module *other = m->model->module[i];
        if (other != m && ((other->settled && strcmp(other->name, full) == 0) ||
                           (!other->settled && other->named && !m->named && name_space_of(other) == space &&
                            strcmp(other->name, own) == 0)))
            return true;
    }
    return false;
}

static int largest_number(const sw_module *m, const sw_module *space) {
    int largest = 0;
    for (int i = 0; i < m->model->modules; i++) {
        const sw_module *other = m->model->module[i];
        if (other->number > largest && name_space_of(other) == space && strcmp(other->type->name, m->type->name) == 0)
            largest = other->number;
    }
    return largest;
}

/* Layers are numbered in the order in which they are built: compilers differ in the order in which
 * they evaluate the arguments of sw_nn_sequential(model, sw_nn_linear(…), sw_nn_linear(…), NULL). */
static sw_status settle_name(sw_module *m) {
    const sw_module *space = name_space_of(m);
    char own[128], full[256];
    int number = m->named ? 0 : largest_number(m, space);
    if (m->settled)
        return SW_OK;
    do {
        if (m->named)
            snprintf(own, sizeof own, "%s", m->name);
        else
            snprintf(own, sizeof own, "%.48s%d", m->type->name, ++number);
        if (snprintf(full, sizeof full, "%s%s%s", space ? space->name : "", space ? "." : "", own) > 200)
            return sw_fail(SW_ERR_ARGUMENT,
                           "layer %s: its name, in those around it, has more than 200 "
                           "characters",
                           own);
    } while (is_taken(m, space, own, full) && !m->named);
    if (is_taken(m, space, own, full))
        return sw_fail(SW_ERR_ARGUMENT, "layer %s: another layer has this name", full);
    char *name = sw_strdup(full);
    if (!name)
        return SW_ERR_MEMORY;
    sw_free((void *)(uintptr_t)m->name);
    m->name = name;
    m->number = number;
    m->named = m->settled = true;
    return SW_OK;
}

/* ---- Built ---- */

static sw_status fail_unused(const sw_module *m, const sw_module_setting *s) {
    enum { MOST = 32 };
    const char *names[MOST];
    int count = 0;
    for (; count < m->params && count < MOST; count++)
        names[count] = m->param[count]->name + strlen(m->name) + 1;
    return sw_fail(SW_ERR_ARGUMENT, "layer %s: it has no parameter %s, which is %s%s", m->name, s->suffix,
                   s->other ? "tied" : "given initial values", sw_suggest(s->suffix, count, names));
}

/* Notes what the build has frozen, and freezes the rest if the program asked for it. A tied parameter that was
 * frozen before is the other layer's matter. */
static sw_status module_settle_frozen(sw_module *module) {
    for (int i = 0; i < module->params; i++) {
        const sw_param *param = module->param[i];
        if (!param->tied && param->frozen) {
            if (!module->kept_frozen && !(module->kept_frozen = sw_alloc((size_t)module->params)))
                return SW_ERR_MEMORY;
            module->kept_frozen[i] = true;
        }
    }
    for (int i = 0; module->frozen && i < module->params; i++)
        sw_param_freeze(module->param[i], true);
    return SW_OK;
}

sw_status sw_module_build(sw_module *module, sw_sample_shape *shape) {
    if (!module || !shape)
        return sw_fail(SW_ERR_ARGUMENT, "module_build: the %s is NULL", module ? "shape" : "layer");
    SW_TRY(settle_name(module));
    module->in = *shape;
    if (module->type->build) {
        sw_status status = module->type->build(module, shape);
        if (status != SW_OK)
            return sw_fail(status, "layer %s: build returned status %d without a message", module->name, (int)status);
    }
    SW_TRY(module_settle_frozen(module));
    for (const sw_module_setting *s = module->settings; s; s = s->next)
        if (!s->used)
            return fail_unused(module, s);
    module->out = *shape;
    module->built = true;
    return SW_OK;
}

/* ---- Run ---- */

/* A layer called while the shapes of a composed one are worked out: it is built for what comes in, and
 * gives zeros. */
static sw_tensor traced(sw_module *m, sw_tensor x) {
    const sw_tensor null = {0};
    sw_array a = sw_value(x);
    const sw_module *up = m, *block = m->model->tracing;
    while (up && up != block)
        up = up->parent;
    if (!up || m == block) {
        sw_fail(SW_ERR_ARGUMENT, "layer %s: its forward calls layer %s, which is not part of it", block->name, m->name);
        return null;
    }
    if (!a.data || a.rank < 1) {
        sw_fail(SW_ERR_SHAPE, "layer %s: its forward gives layer %s a scalar; [batch, ...] is needed", block->name,
                m->name);
        return null;
    }
    sw_sample_shape sample = {.rank = a.rank - 1};
    for (int i = 1; i < a.rank; i++)
        sample.length[i - 1] = a.shape[i];
    if (m->built && !swn_same_shape(&sample, &m->in)) {
        sw_fail(SW_ERR_SHAPE, "layer %s: its forward calls layer %s with samples %s and %s", block->name, m->name,
                sw_shape_text(m->in.rank, m->in.length), sw_shape_text(sample.rank, sample.length));
        return null;
    }
    if (!m->built && sw_module_build(m, &sample) != SW_OK)
        return null;
    if (m->out.rank < 0) {
        sw_fail(SW_ERR_SHAPE, "layer %s: its build does not say what comes out", m->name);
        return null;
    }
    return swn_zeros(x.tape, sw_params_type(m->model->params), a.shape[0], &m->out);
}

sw_tensor sw_forward(sw_module *module, sw_tensor x) {
    if (!module || sw_is_null(x)) {
        if (!sw_error())
            sw_fail(SW_ERR_ARGUMENT, "forward: the %s is null", module ? "input" : "layer");
        return (sw_tensor){0};
    }
    if (module->model->trace && module->model->trace == x.tape)
        return traced(module, x);
    if (!module->built) {
        sw_fail(SW_ERR_STATE,
                "forward: layer %s is not built: sw_model_build builds the root, a layer's "
                "build its children by sw_module_build",
                module->name);
        return (sw_tensor){0};
    }
    const char *outer = sw_tape_set_layer(x.tape, module->name);
    const uint64_t failures = sw_failure_count();
    sw_tensor y = module->type->forward(module, x);
    sw_tape_set_layer(x.tape, outer);
    if (sw_is_null(y) && sw_failure_count() == failures)
        sw_fail(SW_ERR_USER, "layer %s: its forward gives a null tensor without a message", module->name);
    return y;
}
