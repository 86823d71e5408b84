/* Makes a network from its description. The text may be untrusted: every value is checked, the depth and the number of
 * layers are limited, and a parameter is declared only if the file has as many numbers. */
#include "nn/restore.h"

#include <swale/extend.h>

#include "core/base/error_state.h"
#include "nn/describe.h"
#include "nn/description_settings.h"
#include "nn/model.h"

#include <stdlib.h>
#include <string.h>

/* The largest number of elements of a sample of an input. A composed layer is built by running it on two samples. */
enum { MOST_INPUT_ELEMENTS = 1 << 28 };

typedef struct restoring {
    sw_model *model;
    bool had_error;
    sw_module **layer; /* in the order of the text */
    const json_t **text;
    int layers, layer_capacity, text_capacity;
} restoring;

#define FAIL(...) sw_fail(SW_ERR_FORMAT, __VA_ARGS__)

/* ---- JSON ---- */

/* Parses the text twice, for the same reason as in safetensors.c: jansson may drop a byte if it finds no memory. */
static json_t *restore_parse(const char *text) {
    json_error_t error;
    void *before = sw_locale_begin();
    json_t *again = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    sw_locale_end(before);
    const bool alike = !json == !again && (!json || json_equal(json, again));
    json_decref(again);
    if (alike && json)
        return json;
    json_decref(json);
    if (!alike || !error.text[0] || json_error_code(&error) == json_error_out_of_memory)
        sw_fail(SW_ERR_MEMORY, "out of memory: a description of %zu bytes", strlen(text));
    else
        FAIL("the description is not valid JSON: %s, at byte %d", error.text, error.position);
    return NULL;
}

/* An error unless json is an object that has only the listed members. The list ends with NULL. */
static sw_status restore_check_object(const json_t *json, const char *what, const char *const *members) {
    if (!json_is_object(json))
        return FAIL("%s is not an object", what);
    for (void *at = json_object_iter((json_t *)(uintptr_t)json); at;
         at = json_object_iter_next((json_t *)(uintptr_t)json, at)) {
        const char *key = json_object_iter_key(at);
        int i = 0;
        while (members[i] && strcmp(members[i], key) != 0)
            i++;
        if (!members[i])
            return FAIL("%s has an unknown member %.100s", what, key);
    }
    return SW_OK;
}

/* The text of a member; NULL and an error if the member is missing or not a text. */
static const char *restore_text(const json_t *json, const char *what, const char *key) {
    const char *text = json_string_value(json_object_get(json, key));
    if (!text)
        FAIL("%s: its %s is missing, or not a text", what, key);
    return text;
}

/* ---- The model ---- */

/* The floating-point type with this name; SW_U8 if there is none. */
static sw_dtype restore_find_type(const char *name) {
    for (int i = 0; i < SW_FLOAT_TYPES; i++)
        if (strcmp(name, sw_dtype_name((sw_dtype)i)) == 0)
            return (sw_dtype)i;
    return SW_U8;
}

/* The type of x, and the storage type, which is in the file only if it is another one. */
static sw_status restore_types(const json_t *json, sw_params_options *options) {
    const char *name = restore_text(json, "the network", "type"), *storage = NULL;
    if (!name)
        return sw_last_failure();
    options->type = restore_find_type(name);
    if (!sw_dtype_is_computed(options->type))
        return FAIL("the network is of type %.20s; f32 or f64 is needed", name);
    if (!json_object_get(json, "storage"))
        return SW_OK;
    storage = restore_text(json, "the network", "storage");
    if (!storage)
        return sw_last_failure();
    options->storage = restore_find_type(storage);
    return options->type == SW_F32 && sw_dtype_is_16_bit(options->storage)
               ? SW_OK
               : FAIL("the network is of type %s with storage %.20s; f32 with f16 or bf16 is possible", name, storage);
}

static sw_status restore_seed(const json_t *json, uint64_t *seed) {
    const char *text = restore_text(json, "the network", "seed");
    if (!text)
        return sw_last_failure();
    *seed = 0;
    for (const char *c = text; *c; c++) {
        const uint64_t digit = (uint64_t)(unsigned char)*c - '0';
        if (digit > 9 || *seed > (UINT64_MAX - digit) / 10)
            return FAIL("the seed %.40s is not a whole number below 2^64", text);
        *seed = 10 * *seed + digit;
    }
    return *text ? SW_OK : FAIL("the seed is empty");
}

static sw_status restore_sample(const json_t *json, int input, sw_sample_shape *shape) {
    int64_t elements = 1;
    *shape = (sw_sample_shape){.rank = -1};
    if (json_is_null(json))
        return SW_OK;
    if (!json_is_array(json) || json_array_size(json) > SW_MAX_RANK)
        return FAIL("input %d: its shape is not a list of at most %d lengths", input, SW_MAX_RANK);
    shape->rank = (int)json_array_size(json);
    for (int i = 0; i < shape->rank; i++) {
        const json_t *length = json_array_get(json, (size_t)i);
        if (!json_is_integer(length) || json_integer_value(length) < 0)
            return FAIL("input %d: axis %d of its shape is not a length", input, i);
        shape->length[i] = json_integer_value(length);
        if (shape->length[i] > MOST_INPUT_ELEMENTS / elements)
            return FAIL("input %d: a sample has more than %d elements", input, MOST_INPUT_ELEMENTS);
        elements *= shape->length[i] > 0 ? shape->length[i] : 1;
    }
    return SW_OK;
}

static sw_status restore_inputs(sw_model *model, const json_t *inputs) {
    sw_sample_shape shapes[SW_MAX_INPUTS];
    if (!inputs)
        return SW_OK;
    const size_t count = json_array_size(inputs);
    if (!json_is_array(inputs) || count < 1 || count > SW_MAX_INPUTS)
        return FAIL("the inputs are not a list of 1 to %d shapes", SW_MAX_INPUTS);
    for (size_t i = 0; i < count; i++)
        SW_TRY(restore_sample(json_array_get(inputs, i), (int)i, &shapes[i]));
    return sw_model_set_input_shapes(model, (int)count, shapes);
}

/* ---- Layers ---- */

/* Prefixes the message of a failure with the name of the layer in the text. */
static sw_module *restore_fail_layer(const restoring *r, const char *name) {
    char prefix[128];
    sw_format(prefix, sizeof prefix, "layer %.100s: ", name);
    if (!r->had_error)
        swi_error_prefix(prefix);
    return NULL;
}

static sw_status restore_check_read(const sw_description *d) {
    for (void *at = json_object_iter(d->settings); at; at = json_object_iter_next(d->settings, at))
        if (!json_object_get(d->read, json_object_iter_key(at)))
            return FAIL("layers of type %s have no setting %.100s", d->type, json_object_iter_key(at));
    return SW_OK;
}

/* Checks the layer that a restore function returned. */
static sw_status restore_check_made(const restoring *r, const sw_description *d, const sw_module *m,
                                    uint64_t failures) {
    if (!m || m == &r->model->placeholder || r->model->failed)
        return sw_fail_unless_since(failures, SW_ERR_USER, "restore failed without a message");
    if (m->model != r->model || strcmp(m->type->name, d->type) != 0)
        return sw_fail(SW_ERR_USER, "restore of type %s made a layer of %s%s", d->type,
                       m->model != r->model ? "another model" : "type ", m->model != r->model ? "" : m->type->name);
    bool same = m->children == d->count && !m->parent;
    for (int i = 0; i < d->count && same; i++)
        same = m->child[i] == d->layers[i];
    if (!same)
        return FAIL("layers of type %s cannot contain these inner layers (%d)", d->type, d->count);
    return restore_check_read(d);
}

/* Restores one layer whose inner layers are restored. */
static sw_module *restore_one(const restoring *r, const json_t *json, const sw_module_type *type, sw_module **inside,
                              int count) {
    const char *name = json_string_value(json_object_get(json, "name"));
    json_t *settings = json_object_get(json, "settings");
    sw_description d = {.settings = settings ? json_incref(settings) : json_object(),
                        .read = json_object(),
                        .type = type->name,
                        .layers = inside,
                        .count = count};
    sw_module *m = NULL;
    sw_status status =
        d.settings && d.read ? SW_OK : sw_fail(SW_ERR_MEMORY, "out of memory: a description cannot be read");
    if (status == SW_OK && !json_is_object(d.settings))
        status = FAIL("its settings are not an object");
    if (status == SW_OK) {
        const uint64_t failures = sw_failure_count();
        m = type->restore(r->model, &d);
        status = restore_check_made(r, &d, m, failures);
    }
    if (status == SW_OK && sw_module_set_name(m, name) != m)
        status = sw_last_failure();
    if (status == SW_OK)
        m->frozen = json_is_true(json_object_get(json, "frozen")); /* each inner layer has this member too */
    json_decref(d.settings);
    json_decref(d.read);
    return status == SW_OK ? m : restore_fail_layer(r, name);
}

/* Checks the object of a layer and returns the type of the layer; NULL and an error. */
static const sw_module_type *restore_layer_type(const restoring *r, const json_t *json, int depth) {
    static const char *const members[] = {"type", "name", "settings", "layers", "tied", "frozen", NULL};
    char what[32];
    sw_format(what, sizeof what, "layer %d", r->layers);
    if (depth > SWN_MOST_DEPTH) {
        FAIL("%s: layers are nested more than %d deep", what, SWN_MOST_DEPTH);
        return NULL;
    }
    if (r->layers >= SWN_MOST_LAYERS) {
        FAIL("the network has more than %d layers", SWN_MOST_LAYERS);
        return NULL;
    }
    if (restore_check_object(json, what, members) != SW_OK || !restore_text(json, what, "name"))
        return NULL;
    const json_t *frozen = json_object_get(json, "frozen");
    if (frozen && !json_is_boolean(frozen)) {
        FAIL("%s: frozen is not true or false", what);
        return NULL;
    }
    const char *name = restore_text(json, what, "type");
    const sw_module_type *type = name ? sw_module_type_find(name) : NULL;
    if (name && !type)
        FAIL("%s: there is no layer type %.100s; a custom one must be registered (sw_module_type_register)", what,
             name);
    return type;
}

static sw_module *restore_layer(restoring *r, const json_t *json, int depth) {
    const sw_module_type *type = restore_layer_type(r, json, depth);
    if (!type)
        return NULL;
    const json_t *layers = json_object_get(json, "layers");
    const size_t count = json_array_size(layers);
    if ((layers && !json_is_array(layers)) || count > SWN_MOST_LAYERS) {
        FAIL("layer %d: its layers are not a list of at most %d", r->layers, SWN_MOST_LAYERS);
        return NULL;
    }
    sw_module **inside = sw_alloc_array((int64_t)count, sizeof *inside);
    if (!inside || sw_grow_array(&r->layer, &r->layer_capacity, r->layers, 16, sizeof *r->layer) != SW_OK ||
        sw_grow_array(&r->text, &r->text_capacity, r->layers, 16, sizeof *r->text) != SW_OK) {
        sw_free(inside);
        return NULL;
    }
    const int place = r->layers++;
    bool good = true;
    for (size_t i = 0; i < count && good; i++) {
        inside[i] = restore_layer(r, json_array_get(layers, i), depth + 1);
        good = inside[i] != NULL;
    }
    r->text[place] = json;
    r->layer[place] = good ? restore_one(r, json, type, inside, (int)count) : NULL;
    sw_free(inside);
    return r->layer[place];
}

/* ---- Ties and parameters ---- */

static sw_status restore_tie(const restoring *r, int place, const char *suffix, const json_t *tie) {
    static const char *const members[] = {"layer", "parameter", NULL};
    const char *name = json_string_value(json_object_get(r->text[place], "name"));
    SW_TRY(restore_check_object(tie, "a tie", members));
    const json_t *other = json_object_get(tie, "layer");
    const char *parameter = restore_text(tie, "a tie", "parameter");
    if (!parameter)
        return sw_last_failure();
    if (!json_is_integer(other) || json_integer_value(other) < 0 || json_integer_value(other) >= r->layers)
        return FAIL("layer %.100s: its %.100s is tied to a layer that does not exist", name, suffix);
    sw_module *m = r->layer[place];
    return sw_module_tie_param(m, suffix, r->layer[json_integer_value(other)], parameter) == m ? SW_OK
                                                                                               : sw_last_failure();
}

static sw_status restore_ties(const restoring *r) {
    for (int i = 0; i < r->layers; i++) {
        json_t *ties = json_object_get(r->text[i], "tied");
        if (ties && !json_is_object(ties))
            return FAIL("layer %d: its ties are not an object", i);
        for (void *at = json_object_iter(ties); at; at = json_object_iter_next(ties, at))
            SW_TRY(restore_tie(r, i, json_object_iter_key(at), json_object_iter_value(at)));
    }
    return SW_OK;
}

static sw_status restore_parameter(sw_params *params, const char *name, const json_t *json) {
    static const char *const members[] = {"role", "frozen", NULL};
    char what[300];
    sw_format(what, sizeof what, "parameter %.250s", name);
    sw_param *p = sw_params_find(params, name);
    SW_TRY(restore_check_object(json, what, members));
    const char *role = restore_text(json, what, "role");
    const json_t *frozen = json_object_get(json, "frozen");
    if (!role)
        return sw_last_failure();
    if (!p || p->tied || (frozen && !json_is_boolean(frozen)))
        return FAIL("%s: %s", what,
                    p && !p->tied ? "frozen is not true or false" : "the network has no parameter of this name");
    int i = 0;
    while (i < SWN_ROLES && strcmp(sw_role_name((sw_role)i), role) != 0)
        i++;
    if (i == SWN_ROLES)
        return FAIL("%s: there is no role %.50s", what, role);
    sw_param_set_role(p, (sw_role)i);
    if (json_is_true(frozen) != p->frozen)
        sw_param_freeze(p, json_is_true(frozen));
    return SW_OK;
}

static sw_status restore_parameters(sw_params *params, const json_t *json) {
    if (!json_is_object(json))
        return FAIL("the parameters are not an object");
    for (void *at = json_object_iter((json_t *)(uintptr_t)json); at;
         at = json_object_iter_next((json_t *)(uintptr_t)json, at))
        SW_TRY(restore_parameter(params, json_object_iter_key(at), json_object_iter_value(at)));
    return SW_OK;
}

/* ---- The whole ---- */

static sw_status restore_build(restoring *r, const json_t *json) {
    SW_TRY(restore_inputs(r->model, json_object_get(json, "inputs")));
    sw_module *root = restore_layer(r, json_object_get(json, "root"), 1);
    if (!root)
        return sw_last_failure();
    SW_TRY(restore_ties(r));
    SW_TRY(swn_model_declare(r->model, root));
    if (!swn_model_finish(r->model))
        return sw_last_failure();
    return restore_parameters(r->model->params, json_object_get(json, "parameters"));
}

static sw_model *restore_network(const json_t *json, int64_t most) {
    static const char *const members[] = {"format", "inputs", "parameters", "root", "seed", "storage", "type", NULL};
    restoring r = {.had_error = sw_error() != NULL};
    sw_params_options options = {.size = sizeof options};
    const json_t *format = json_object_get(json, "format");
    if (json_is_object(json) && json_integer_value(format) != SWN_DESCRIPTION_FORMAT) {
        FAIL("the description has the format %lld; this library reads format %d", (long long)json_integer_value(format),
             SWN_DESCRIPTION_FORMAT);
        return NULL;
    }
    if (restore_check_object(json, "the network", members) != SW_OK || restore_types(json, &options) != SW_OK ||
        restore_seed(json, &options.seed) != SW_OK)
        return NULL;
    r.model = sw_model_new_with_options(&options);
    if (r.model)
        r.model->most_params = most;
    if (r.model && restore_build(&r, json) != SW_OK) {
        sw_model_free(r.model);
        r.model = NULL;
    }
    sw_free(r.layer);
    sw_free(r.text);
    return r.model;
}

sw_model *swn_restore(const char *text, int64_t most) {
    json_t *json = restore_parse(text);
    sw_model *model = json ? restore_network(json, most) : NULL;
    json_decref(json);
    return model;
}

sw_model *sw_model_new_from_description(const char *text) {
    if (!text) {
        sw_fail_unless_pending(SW_ERR_ARGUMENT, "model_new_from_description: the text is NULL");
        return NULL;
    }
    return swn_restore(text, -1);
}
