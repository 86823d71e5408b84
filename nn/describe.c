/* A network as text: layers with their settings, and roles, ties and frozen state of parameters. */
#include "nn/describe.h"

#include <swale/extend.h>

#include "core/base/error_state.h"
#include "nn/description_settings.h"
#include "nn/model.h"
#include "nn/module_build.h"
#include "nn/module_settings.h"
#include "nn/module_type.h"

#include <string.h>

/* ---- What can be described ---- */

/* All layers of a network, in the order of the text: each layer before its inner layers. */
typedef struct layer_list {
    const sw_module **layer;
    int count, capacity;
} layer_list;

static int layers_in(const sw_module *m, int depth) {
    int count = 1;
    for (int i = 0; i < m->children && depth < SWN_MOST_DEPTH; i++)
        count += layers_in(m->child[i], depth + 1);
    return count;
}

static bool layers_are_deeper(const sw_module *m, int depth) {
    bool deeper = depth > SWN_MOST_DEPTH;
    for (int i = 0; i < m->children && !deeper; i++)
        deeper = layers_are_deeper(m->child[i], depth + 1);
    return deeper;
}

static bool layer_is_below(const sw_module *m, const sw_module *root) {
    while (m && m != root)
        m = m->parent;
    return m != NULL;
}

static bool layer_can_be_described(const sw_module *m, const sw_module *root, char *reason, size_t bytes) {
    const sw_module_type *type = sw_module_type_find(m->type->name);
    if (!SWN_TYPE_MEMBER(m->type, save)) {
        sw_format(reason, bytes,
                  "layer %s: layers of type %s cannot be described, because the type has no function save", m->name,
                  m->type->name);
        return false;
    }
    if (!type || type->save != m->type->save) {
        sw_format(reason, bytes,
                  "layer %s: layers of type %s cannot be described, because %s (sw_module_type_register)", m->name,
                  m->type->name, type ? "another type of this name is registered" : "the type is not registered");
        return false;
    }
    for (const sw_module_setting *s = m->settings; s; s = s->next)
        if (s->other && !layer_is_below(s->other, root)) {
            sw_format(reason, bytes, "layer %s: its %s is tied to layer %s, which is not part of the network", m->name,
                      s->suffix, s->other->name);
            return false;
        }
    for (int i = 0; i < m->children; i++)
        if (!layer_can_be_described(m->child[i], root, reason, bytes))
            return false;
    return true;
}

bool swn_can_describe(const sw_model *model, char *reason, size_t bytes) {
    const sw_module *root = model->root;
    if (layers_are_deeper(root, 1)) {
        sw_format(reason, bytes, "layers are nested more than %d deep", SWN_MOST_DEPTH);
        return false;
    }
    if (layers_in(root, 1) > SWN_MOST_LAYERS) {
        sw_format(reason, bytes, "the network has more than %d layers", SWN_MOST_LAYERS);
        return false;
    }
    return layer_can_be_described(root, root, reason, bytes);
}

/* ---- The text ---- */

static sw_status describe_no_memory(void) {
    return sw_fail(SW_ERR_MEMORY, "out of memory: a description cannot be made");
}

/* Takes ownership of the value. NULL: an error is already recorded, or there was not enough memory. */
static sw_status describe_put(json_t *json, const char *key, json_t *value) {
    const uint64_t failures = sw_failure_count();
    if (json_object_set_new(json, key, value) == 0)
        return SW_OK;
    json_t *key_text = swn_json_text(key); /* an error if it is not UTF-8 */
    json_decref(key_text);
    return sw_fail_unless_since(failures, SW_ERR_MEMORY, "out of memory: a description cannot be made");
}

static sw_status describe_put_text(json_t *json, const char *key, const char *text) {
    json_t *value = swn_json_text(text);
    return value ? describe_put(json, key, value) : sw_last_failure();
}

static sw_status layers_list(layer_list *list, const sw_module *m) {
    SW_TRY(sw_grow_array(&list->layer, &list->capacity, list->count, 16, sizeof *list->layer));
    list->layer[list->count++] = m;
    for (int i = 0; i < m->children; i++)
        SW_TRY(layers_list(list, m->child[i]));
    return SW_OK;
}

/* {"weight": {"layer": 3, "parameter": "weight"}}, with the index of the layer in the order of the text. */
static sw_status describe_ties(json_t *json, const sw_module *m, const layer_list *list) {
    json_t *ties = json_object();
    sw_status status = ties ? SW_OK : describe_no_memory();
    bool any = false;
    for (const sw_module_setting *s = m->settings; s && status == SW_OK; s = s->next) {
        int place = 0;
        if (!s->other)
            continue;
        while (place < list->count && list->layer[place] != s->other)
            place++;
        json_t *tie = json_object();
        status = describe_put(ties, s->suffix, tie);
        if (status == SW_OK)
            status = describe_put(tie, "layer", json_integer(place));
        if (status == SW_OK)
            status = describe_put_text(tie, "parameter", s->other_suffix);
        any = true;
    }
    if (status == SW_OK && any)
        return describe_put(json, "tied", ties);
    json_decref(ties);
    return status;
}

/* The settings that the type's `save` writes. */
static sw_status describe_settings(json_t *json, const sw_module *m) {
    sw_description to = {.settings = json_object(), .type = m->type->name};
    if (!to.settings)
        return describe_no_memory();
    const bool had_error = sw_error() != NULL;
    const uint64_t failures = sw_failure_count();
    sw_status status = m->type->save(m, &to);
    if (status != SW_OK) {
        sw_fail_unless_since(failures, status, "save returned status %d without a message", (int)status);
        char prefix[256];
        sw_format(prefix, sizeof prefix, "layer %.200s: ", m->name);
        if (!had_error)
            swi_error_prefix(prefix);
    } else if (json_object_size(to.settings) > 0) {
        return describe_put(json, "settings", to.settings);
    }
    json_decref(to.settings);
    return status;
}

static sw_status describe_layer(json_t *json, const sw_module *m, const layer_list *list) {
    SW_TRY(describe_put_text(json, "type", m->type->name));
    SW_TRY(describe_put_text(json, "name", swn_local_name(m)));
    if (m->frozen)
        SW_TRY(describe_put(json, "frozen", json_true()));
    SW_TRY(describe_settings(json, m));
    SW_TRY(describe_ties(json, m, list));
    if (m->children == 0)
        return SW_OK;
    json_t *layers = json_array();
    SW_TRY(describe_put(json, "layers", layers));
    for (int i = 0; i < m->children; i++) {
        json_t *layer = json_object();
        if (json_array_append_new(layers, layer) != 0)
            return describe_no_memory();
        SW_TRY(describe_layer(layer, m->child[i], list));
    }
    return SW_OK;
}

/* [[784], null]: the shape of a sample of each input. */
static sw_status describe_inputs(json_t *json, const sw_model *model) {
    json_t *inputs = json_array();
    SW_TRY(describe_put(json, "inputs", inputs));
    for (int i = 0; i < model->inputs; i++) {
        const sw_sample_shape *shape = &model->input[i];
        json_t *lengths = shape->rank < 0 ? json_null() : json_array();
        if (json_array_append_new(inputs, lengths) != 0)
            return describe_no_memory();
        for (int axis = 0; axis < shape->rank; axis++)
            if (json_array_append_new(lengths, json_integer(shape->length[axis])) != 0)
                return describe_no_memory();
    }
    return SW_OK;
}

/* All parameters that are not tied to another one, by name. */
static sw_status describe_parameters(json_t *json, const sw_params *params) {
    json_t *list = json_object();
    SW_TRY(describe_put(json, "parameters", list));
    for (int i = 0; i < sw_params_count(params); i++) {
        const sw_param *p = sw_params_at(params, i);
        if (p->tied)
            continue;
        json_t *parameter = json_object();
        SW_TRY(describe_put(list, p->name, parameter));
        SW_TRY(describe_put_text(parameter, "role", sw_role_name(p->role)));
        if (p->frozen)
            SW_TRY(describe_put(parameter, "frozen", json_true()));
    }
    return SW_OK;
}

static sw_status describe_network(json_t *json, const sw_model *model, const layer_list *list) {
    char seed[24];
    if (!json)
        return describe_no_memory();
    sw_format(seed, sizeof seed, "%llu", (unsigned long long)sw_model_seed(model));
    SW_TRY(describe_put(json, "format", json_integer(SWN_DESCRIPTION_FORMAT)));
    SW_TRY(describe_put_text(json, "type", sw_dtype_name(sw_params_type(model->params))));
    if (sw_params_storage(model->params) != sw_params_type(model->params))
        SW_TRY(describe_put_text(json, "storage", sw_dtype_name(sw_params_storage(model->params))));
    SW_TRY(describe_put_text(json, "seed", seed));
    if (model->inputs > 0)
        SW_TRY(describe_inputs(json, model));
    SW_TRY(describe_parameters(json, model->params));
    json_t *root = json_object();
    SW_TRY(describe_put(json, "root", root));
    return describe_layer(root, model->root, list);
}

/* Returns memory of sw_alloc; NULL and an error if there is not enough. */
static char *describe_print(const json_t *json) {
    enum { HOW = JSON_COMPACT | JSON_SORT_KEYS };
    void *before = sw_locale_begin();
    const size_t length = json_dumpb(json, NULL, 0, HOW);
    char *text = length ? sw_alloc(length + 1) : NULL;
    if (text && json_dumpb(json, text, length, HOW) != length) {
        sw_free(text);
        text = NULL;
    }
    sw_locale_end(before);
    if (!text)
        describe_no_memory();
    return text;
}

char *sw_model_description(const sw_model *model) {
    char reason[700];
    if (swn_check_built(model, "model_description") != SW_OK)
        return NULL;
    if (!swn_can_describe(model, reason, sizeof reason)) {
        sw_fail(SW_ERR_STATE, "model_description: %s", reason);
        return NULL;
    }
    layer_list list = {0};
    json_t *json = json_object();
    sw_status status = layers_list(&list, model->root);
    if (status == SW_OK)
        status = describe_network(json, model, &list);
    char *text = status == SW_OK ? describe_print(json) : NULL;
    json_decref(json);
    sw_free(list.layer);
    return text;
}
