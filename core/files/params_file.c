/* Saving parameters to archives and loading them. */
#include <swale/memory.h>
#include <swale/status.h>
#include <swale/text.h>
#include <swale/vector.h>

#include "core/base/element.h"
#include "core/files/archive_entries.h"
#include "core/files/reader_writer.h"
#include "core/files/stored_type.h"
#include "core/params/vector.h"

#include <string.h>
#include <stdio.h>

/* Returns the prefix followed by the name, which the caller frees by sw_free; NULL and an error if there is not enough
 * memory. */
static char *params_join_name(const char *prefix, const char *name) {
    const size_t size = strlen(prefix) + strlen(name) + 1;
    char *whole = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, size);
    if (whole)
        snprintf(whole, size, "%s%s", prefix, name);
    return whole;
}

static sw_status params_check_built(const sw_params *p, const char *what) {
    if (!p)
        return sw_fail_unless_pending(SW_ERR_ARGUMENT, "%s: the parameters are NULL", what);
    return p->built ? SW_OK : sw_fail(SW_ERR_STATE, "%s: the parameters are not built", what);
}

/* ---- Saving ---- */

/* storage: the type in the file; 0: the type of x. */
static sw_status params_pack_one(const sw_param *p, sw_archive *a, const char *prefix, sw_dtype storage) {
    const sw_array value = sw_param_value(p);
    const sw_dtype type = storage && !p->buffer ? storage : value.type;
    char *name = params_join_name(prefix, p->name), *target = p->tied ? params_join_name(prefix, p->tied->name) : NULL;
    sw_status status = !name || (p->tied && !target) ? SW_ERR_MEMORY
                       : p->tied                     ? sw_archive_set_text(a, name, target)
                                                     : sw_archive_put_as(a, name, value, type);
    sw_free(name);
    sw_free(target);
    return status;
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
    for (int i = 0; status == SW_OK && i < p->count; i++)
        status = params_pack_one(p->list[i], a, prefix ? prefix : "", o.storage);
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

/* ---- Loading: matching parameters and arrays ---- */

enum { PREFIX_ROOM = 64, PREFIX_TRIES = 8 }; /* the search for a prefix: bytes with the 0 at the end; attempts */

typedef struct match {
    const sw_params *params;
    const sw_archive *archive;
    const char *prefix; /* the prefix of the names in the file */
    int *from;          /* [params]: the entry from which a parameter is read; -1: none, or it is tied */
    bool *used;         /* [entries]: the entry belongs to a parameter */
    bool no_memory;
    sw_error_list faults;
} match;

/* The entry with this name or, if `aliases`, the entry that a text gives for this name (a tied parameter); -1 if there
 * is none. */
static int match_entry(match *m, const char *name, bool aliases) {
    char *whole = params_join_name(m->prefix, name);
    const char *target = whole && aliases ? sw_archive_text(m->archive, whole) : whole;
    const int i = target ? swi_archive_find(m->archive, target) : -1;
    m->no_memory |= !whole;
    sw_free(whole);
    return i;
}

static bool match_same_numbers(const swi_entry *a, const swi_entry *b) {
    const int64_t count = sw_array_count(&a->array);
    return a->array.data && b->array.data && a->array.type == b->array.type && count == sw_array_count(&b->array) &&
           memcmp(a->array.data, b->array.data, (size_t)count * swi_size(a->array.type)) == 0;
}

/* Searches for a parameter under its name and the names that are tied to it. */
static void match_find_source(match *m, const sw_param *p, bool aliases) {
    int *from = &m->from[p->index];
    for (int i = p->index; i < m->params->count; i++) { /* tied names are declared after their target */
        const sw_param *name = m->params->list[i];
        if (name != p && name->tied != p)
            continue;
        const int entry = match_entry(m, name->name, aliases);
        if (entry < 0)
            continue;
        m->used[entry] = true;
        if (*from < 0)
            *from = entry;
        else if (!match_same_numbers(&m->archive->entry[*from], &m->archive->entry[entry]))
            sw_error_list_add(&m->faults, "%.150s and %.150s are tied here and differ in the file",
                              m->archive->entry[*from].name, m->archive->entry[entry].name);
    }
}

static void match_check_shape(match *m, const sw_param *p) {
    const sw_array *a = &m->archive->entry[m->from[p->index]].array;
    if (!sw_shape_equal(a->rank, a->shape, p->rank, p->shape))
        sw_error_list_add(&m->faults, "%.200s is %s here and %s in the file", p->name, sw_shape_text(p->rank, p->shape),
                          sw_shape_text(a->rank, a->shape));
}

/* Adds a mismatch if a finite number of the file, in x, is too large for `type`. */
static bool match_is_within(match *m, const sw_param *p, const sw_array *array, sw_dtype type) {
    const int64_t beyond = swi_find_beyond(array->type, p->count, array->data, m->params->type, type);
    if (beyond >= 0)
        sw_error_list_add(&m->faults, "%.200s holds %g, which is beyond %s", p->name,
                          sw_load_element(array->type, array->data, beyond), sw_dtype_name(type));
    return beyond < 0;
}

/* Adds a mismatch if the numbers cannot be converted to the type of x, or are too large for the copy of x. */
static void match_check_numbers(match *m, const sw_param *p) {
    const swi_entry *entry = &m->archive->entry[m->from[p->index]];
    const sw_params *params = m->params;
    if (!entry->array.data || !sw_dtype_is_float(entry->array.type)) {
        sw_error_list_add(&m->faults, "%.200s is of type %s in the file; F64, F32, F16 or BF16 is needed", p->name,
                          entry->stored);
        return;
    }
    if (sw_array_count(&entry->array) != p->count) /* the shapes differ, which is reported already */
        return;
    if (match_is_within(m, p, &entry->array, params->type) && params->storage != params->type && !p->frozen)
        match_is_within(m, p, &entry->array, params->storage);
}

static void match_list_unexpected(match *m) {
    const size_t length = strlen(m->prefix);
    for (int i = 0; i < m->archive->entries; i++)
        if (!m->used[i] && strncmp(m->archive->entry[i].name, m->prefix, length) == 0)
            sw_error_list_add(&m->faults, "%.200s is not expected", m->archive->entry[i].name + length);
}

/* Whether the file has an array named prefix + name for every parameter that is not tied. */
static bool match_all_begin_with(const match *m, const char *prefix) {
    char name[PREFIX_ROOM + 256];
    for (int i = 0; i < m->params->count; i++) {
        const sw_param *p = m->params->list[i];
        const int length = snprintf(name, sizeof name, "%s%s", prefix, p->name);
        if (!p->tied && (length >= (int)sizeof name || swi_archive_find(m->archive, name) < 0))
            return false;
    }
    return true;
}

static bool match_is_empty(const match *m) {
    for (int i = 0; i < m->params->count; i++)
        if (m->from[i] >= 0)
            return false;
    return true;
}

/* Searches for a prefix with which the file has all parameters: "optim.x.", or "module." of a PyTorch model. */
static bool match_find_prefix(const match *m, char prefix[PREFIX_ROOM]) {
    const char *first = m->params->count > 0 ? m->params->list[0]->name : "";
    const size_t length = strlen(first);
    for (int i = 0, tries = 0; i < m->archive->entries && length > 0 && tries < PREFIX_TRIES; i++) {
        const char *name = m->archive->entry[i].name;
        const size_t whole = strlen(name), extra = whole > length ? whole - length : 0;
        if (extra == 0 || extra >= PREFIX_ROOM || name[extra - 1] != '.' || strcmp(name + extra, first) != 0)
            continue;
        tries++;
        memcpy(prefix, name, extra);
        prefix[extra] = 0;
        if (match_all_begin_with(m, prefix))
            return true;
    }
    return false;
}

static sw_status match_names(match *m) {
    const char *path = m->archive->path ? m->archive->path : "archive";
    const sw_params *p = m->params;
    const bool had_error = sw_error() != NULL;
    for (int i = 0; i < p->count; i++) {
        m->from[i] = -1;
        if (p->list[i]->tied)
            continue;
        match_find_source(m, p->list[i], false);
        if (m->from[i] < 0)
            match_find_source(m, p->list[i], true);
        if (m->from[i] < 0)
            sw_error_list_add(&m->faults, "%.200s is missing", p->list[i]->name);
    }
    if (m->no_memory)
        return swi_file_no_memory(path, had_error);
    match_list_unexpected(m);
    for (int i = 0; i < p->count; i++)
        if (m->from[i] >= 0)
            match_check_shape(m, p->list[i]);
    for (int i = 0; i < p->count; i++)
        if (m->from[i] >= 0)
            match_check_numbers(m, p->list[i]);
    if (m->faults.count == 0)
        return SW_OK;
    char prefix[PREFIX_ROOM];
    if (!*m->prefix && match_is_empty(m) && match_find_prefix(m, prefix))
        return swi_file_fail(path, SW_ERR_FORMAT,
                             "has the parameters under names that begin with \"%s\": sw_params_unpack takes such "
                             "a prefix, and sw_optim_load an optimizer's state",
                             prefix);
    return swi_file_fail(path, SW_ERR_FORMAT, "does not fit the parameters: %s", sw_error_list_text(&m->faults));
}

/* ---- Loading: the numbers ---- */

static void params_copy(const sw_param *p, const sw_array *from) {
    const sw_array to = sw_param_value(p);
    sw_vector_convert(from->type, p->count, from->data, to.type, to.data);
}

static sw_status params_unpack(match *m, sw_params *p) {
    const char *path = m->archive->path ? m->archive->path : "archive";
    const bool had_error = sw_error() != NULL;
    m->from = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, p->count, sizeof *m->from);
    m->used = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, m->archive->entries, sizeof *m->used);
    if (!m->from || !m->used)
        return swi_file_no_memory(path, had_error);
    SW_TRY(match_names(m));
    for (int i = 0; i < p->count; i++)
        if (m->from[i] >= 0 && p->list[i]->count > 0)
            params_copy(p->list[i], &m->archive->entry[m->from[i]].array);
    sw_params_mark_changed(p);
    sw_gradient_make_fresh(p->gradient);
    return SW_OK;
}

sw_status sw_params_unpack(sw_params *p, const sw_archive *a, const char *prefix) {
    SW_TRY(params_check_built(p, "params_unpack"));
    if (!a)
        return sw_fail_unless_pending(SW_ERR_ARGUMENT, "params_unpack: the archive is NULL");
    match m = {.params = p, .archive = a, .prefix = prefix ? prefix : ""};
    sw_status status = params_unpack(&m, p);
    sw_free(m.from);
    sw_free(m.used);
    return status;
}

sw_status sw_params_load(sw_params *p, const char *path) {
    SW_TRY(params_check_built(p, "params_load"));
    sw_archive *a = sw_archive_load(path);
    sw_status status = a ? sw_params_unpack(p, a, NULL) : sw_last_failure();
    sw_archive_free(a);
    return status;
}
