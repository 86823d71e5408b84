/* Saving parameters to archives and loading them. */
#include <swale/memory.h>
#include <swale/status.h>
#include <swale/vector.h>

#include "core/base/allocation.h"
#include "core/base/element.h"
#include "core/files/archive_entries.h"
#include "core/files/params_match.h"
#include "core/files/reader_writer.h"
#include "core/files/stored_type.h"
#include "core/params/file_order.h"
#include "core/params/vector.h"

#include <string.h>

static sw_status params_check_built(const sw_params *p, const char *what) {
    if (!p)
        return sw_fail_unless_pending(SW_ERR_ARGUMENT, "%s: the parameters are NULL", what);
    return p->built ? SW_OK : sw_fail(SW_ERR_STATE, "%s: the parameters are not built", what);
}

/* The text of an archive with the order of its parameters, and the order that is not that of x. */
static const char order_key[] = "order", order_channels_first[] = "channels_first";

/* ---- Saving ---- */

/* Adds a copy of the parameter with channels first. */
static sw_status params_put_permuted(const sw_param *p, sw_archive *a, const char *name, sw_dtype type) {
    const sw_array value = sw_param_value(p);
    sw_array copy = {.type = value.type};
    copy.rank = swi_file_shape(p, true, copy.shape);
    copy.data = swi_alloc_raw(SW_ACCOUNT_OTHER, (size_t)p->count * swi_size(copy.type));
    if (!copy.data)
        return SW_ERR_MEMORY;
    swi_file_order_from_x(p, value.type, value.data, copy.data);
    return swi_archive_put_owned(a, name, copy, type);
}

static sw_status params_pack_one(const sw_param *p, sw_archive *a, const char *prefix, const sw_save_options *o) {
    const sw_array value = sw_param_value(p);
    const sw_dtype type = o->storage && !p->buffer ? o->storage : value.type; /* storage 0: the type of x */
    char *name = swi_join_name(prefix, p->name), *target = p->tied ? swi_join_name(prefix, p->tied->name) : NULL;
    sw_status status = !name || (p->tied && !target)                     ? SW_ERR_MEMORY
                       : p->tied                                         ? sw_archive_set_text(a, name, target)
                       : o->channels_first && p->channels_first.rank > 0 ? params_put_permuted(p, a, name, type)
                                                                         : sw_archive_put_as(a, name, value, type);
    sw_free(name);
    sw_free(target);
    return status;
}

static sw_status params_put_order(sw_archive *a, const char *prefix) {
    char *key = swi_join_name(prefix, order_key);
    const sw_status status = key ? sw_archive_set_text(a, key, order_channels_first) : SW_ERR_MEMORY;
    sw_free(key);
    return status;
}

static sw_status params_check_orders(const char *what, const sw_params *p) {
    for (int i = 0; i < p->count; i++)
        if (p->list[i]->channels_first.rank < 0)
            return sw_fail(SW_ERR_STATE,
                           "%s: %.200s has no known order with channels first, because its layer was built without "
                           "the shape of its input (call sw_model_set_input_shape)",
                           what, p->list[i]->name);
    return SW_OK;
}

static sw_status params_read_options(const char *what, const sw_save_options *options, sw_save_options *o) {
    *o = (sw_save_options){.size = sizeof *o};
    if (options)
        SW_TRY(sw_options_copy(what, "sw_save_options", o, sizeof *o, options, offsetof(sw_save_options, storage)));
    return o->storage == 0 || sw_dtype_is_16_bit(o->storage)
               ? SW_OK
               : sw_fail(SW_ERR_TYPE, "%s: options.storage is %s; f16, bf16 or 0 (the type of x) is needed", what,
                         sw_dtype_name(o->storage));
}

sw_status sw_params_pack_with_options(const sw_params *p, sw_archive *a, const char *prefix,
                                      const sw_save_options *options) {
    sw_save_options o;
    sw_status status = params_check_built(p, "params_pack");
    if (status == SW_OK && !a)
        status = sw_fail_unless_pending(SW_ERR_ARGUMENT, "params_pack: the archive is NULL");
    if (status == SW_OK)
        status = params_read_options("params_pack", options, &o);
    if (status == SW_OK && o.channels_first)
        status = params_check_orders("params_pack", p);
    if (status == SW_OK && o.channels_first)
        status = params_put_order(a, prefix ? prefix : "");
    for (int i = 0; status == SW_OK && i < p->count; i++)
        status = params_pack_one(p->list[i], a, prefix ? prefix : "", &o);
    if (a && status != SW_OK)
        a->failed = status;
    return status;
}

sw_status sw_params_pack(const sw_params *p, sw_archive *a, const char *prefix) {
    return sw_params_pack_with_options(p, a, prefix, NULL);
}

sw_status sw_params_save(const sw_params *p, const char *path) {
    return sw_params_save_with_options(p, path, NULL);
}

sw_status sw_params_save_with_options(const sw_params *p, const char *path, const sw_save_options *options) {
    SW_TRY(params_check_built(p, "params_save"));
    sw_archive *a = sw_archive_new();
    sw_status status = a ? sw_params_pack_with_options(p, a, NULL, options) : SW_ERR_MEMORY;
    if (status == SW_OK)
        status = sw_archive_save(a, path);
    sw_archive_free(a);
    return status;
}

/* ---- Loading ---- */

/* Converts count numbers to the type of x. */
static void params_convert(const sw_array *from, int64_t count, sw_dtype type, void *to) {
    if (from->type != SW_I64)
        sw_vector_convert(from->type, count, from->data, type, to);
    else
        for (int64_t i = 0; i < count; i++)
            sw_store_element(type, to, i, (double)((const int64_t *)from->data)[i]);
}

static bool match_is_permuted(const swi_match *m, const sw_param *p) {
    return m->channels_first && m->from[p->index] >= 0 && p->channels_first.rank > 0;
}

/* Memory for the largest parameter that is permuted; NULL, without an error, if there is none. */
static sw_status params_alloc_converted(const swi_match *m, void **converted) {
    int64_t most = 0;
    for (int i = 0; i < m->params->count; i++) {
        const sw_param *p = m->params->list[i];
        if (match_is_permuted(m, p) && p->count > most)
            most = p->count;
    }
    *converted = most ? swi_alloc_raw(SW_ACCOUNT_TEMPORARIES, (size_t)most * swi_size(m->params->type)) : NULL;
    return *converted || !most ? SW_OK : SW_ERR_MEMORY;
}

static void params_copy(const swi_match *m, const sw_param *p, void *converted) {
    const sw_array to = sw_param_value(p), *from = &m->archive->entry[m->from[p->index]].array;
    const bool permuted = match_is_permuted(m, p);
    params_convert(from, p->count, to.type, permuted ? converted : to.data);
    if (permuted)
        swi_file_order_to_x(p, to.type, converted, to.data);
}

static sw_status params_unpack(swi_match *m, sw_params *p) {
    const char *path = m->archive->path ? m->archive->path : "archive";
    const bool had_error = sw_error() != NULL;
    m->from = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, p->count, sizeof *m->from);
    m->used = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, m->archive->entries, sizeof *m->used);
    if (!m->from || !m->used)
        return swi_file_no_memory(path, had_error);
    SW_TRY(swi_match_names(m));
    void *converted = NULL;
    if (params_alloc_converted(m, &converted) != SW_OK)
        return swi_file_no_memory(path, had_error);
    for (int i = 0; i < p->count; i++)
        if (m->from[i] >= 0 && p->list[i]->count > 0)
            params_copy(m, p->list[i], converted);
    sw_free(converted);
    sw_params_mark_changed(p);
    sw_gradient_make_fresh(p->gradient);
    return SW_OK;
}

/* Whether the archive has channels first, by the options or by its text. */
static sw_status params_read_order(swi_match *m, const sw_load_options *options) {
    sw_load_options o = {.size = sizeof o};
    if (options)
        SW_TRY(sw_options_copy("params_unpack", "sw_load_options", &o, sizeof o, options,
                               offsetof(sw_load_options, channels_first)));
    const char *path = m->archive->path ? m->archive->path : "archive";
    const bool had_error = sw_error() != NULL;
    char *key = swi_join_name(m->prefix, order_key);
    if (!key)
        return swi_file_no_memory(path, had_error);
    const char *order = sw_archive_text(m->archive, key);
    sw_free(key);
    m->channels_first = o.channels_first || order;
    m->omitted = o.omitted ? o.omitted : "";
    return !order || strcmp(order, order_channels_first) == 0
               ? SW_OK
               : swi_file_fail(path, SW_ERR_FORMAT, "has parameters in the order \"%.100s\"; only %s is known", order,
                               order_channels_first);
}

sw_status sw_params_unpack_with_options(sw_params *p, const sw_archive *a, const char *prefix,
                                        const sw_load_options *options) {
    SW_TRY(params_check_built(p, "params_unpack"));
    if (!a)
        return sw_fail_unless_pending(SW_ERR_ARGUMENT, "params_unpack: the archive is NULL");
    swi_match m = {.params = p, .archive = a, .prefix = prefix ? prefix : "", .omitted = ""};
    sw_status status = params_read_order(&m, options);
    if (status == SW_OK)
        status = params_unpack(&m, p);
    sw_free(m.from);
    sw_free(m.used);
    return status;
}

sw_status sw_params_unpack(sw_params *p, const sw_archive *a, const char *prefix) {
    return sw_params_unpack_with_options(p, a, prefix, NULL);
}

sw_status sw_params_load_with_options(sw_params *p, const char *path, const sw_load_options *options) {
    SW_TRY(params_check_built(p, "params_load"));
    sw_archive *a = sw_archive_load(path);
    sw_status status = a ? sw_params_unpack_with_options(p, a, NULL, options) : sw_last_failure();
    sw_archive_free(a);
    return status;
}

sw_status sw_params_load(sw_params *p, const char *path) {
    return sw_params_load_with_options(p, path, NULL);
}
