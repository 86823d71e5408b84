/* Matches parameters and the arrays of an archive by name, and reports every mismatch in one message. */
#include <swale/memory.h>
#include <swale/status.h>

#include "core/base/element.h"
#include "core/files/archive_entries.h"
#include "core/files/params_match.h"
#include "core/files/reader_writer.h"
#include "core/files/stored_type.h"
#include "core/params/file_order.h"
#include "core/params/vector.h"

#include <string.h>
#include <stdio.h>

char *swi_join_name(const char *prefix, const char *name) {
    const size_t size = strlen(prefix) + strlen(name) + 1;
    char *whole = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, size);
    if (whole)
        snprintf(whole, size, "%s%s", prefix, name);
    return whole;
}

enum { PREFIX_ROOM = 64, PREFIX_TRIES = 8 }; /* the search for a prefix: bytes with the 0 at the end; attempts */

/* The name of a parameter as the file has it, without the prefix. */
static const char *match_file_name(const swi_match *m, const char *name) {
    const size_t omitted = strlen(m->omitted);
    return strncmp(name, m->omitted, omitted) == 0 ? name + omitted : name;
}

/* The entry with this name or, if `aliases`, the entry that a text gives for this name (a tied parameter); -1 if there
 * is none. */
static int match_entry(swi_match *m, const char *name, bool aliases) {
    char *whole = swi_join_name(m->prefix, match_file_name(m, name));
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
static void match_find_source(swi_match *m, const sw_param *p, bool aliases) {
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

static void match_check_shape(swi_match *m, const sw_param *p) {
    const sw_array *a = &m->archive->entry[m->from[p->index]].array;
    const bool permuted = m->channels_first && p->channels_first.rank != 0;
    int64_t here[SW_MAX_RANK], other[SW_MAX_RANK];
    const int rank = swi_file_shape(p, m->channels_first, here), other_rank = swi_file_shape(p, true, other);
    if (permuted && p->channels_first.rank < 0)
        sw_error_list_add(&m->faults,
                          "%.200s has no known order with channels first, because its layer was built without the "
                          "shape of its input (call sw_model_set_input_shape)",
                          p->name);
    if (sw_shape_equal(a->rank, a->shape, rank, here))
        return;
    sw_error_list_add(&m->faults, "%.200s is %s here%s and %s in the file", p->name, sw_shape_text(rank, here),
                      permuted ? ", with channels first," : "", sw_shape_text(a->rank, a->shape));
    m->other_order |= sw_shape_equal(a->rank, a->shape, other_rank, other);
}

/* Adds a mismatch if a finite number of the file, in x, is too large for `type`. */
static bool match_is_within(swi_match *m, const sw_param *p, const sw_array *array, sw_dtype type) {
    const int64_t beyond = swi_find_beyond(array->type, p->count, array->data, m->params->type, type);
    if (beyond >= 0)
        sw_error_list_add(&m->faults, "%.200s holds %g, which is beyond %s", p->name,
                          sw_load_element(array->type, array->data, beyond), sw_dtype_name(type));
    return beyond < 0;
}

/* Adds a mismatch if an integer of the file is not a number of x: a counter of PyTorch, which is a buffer here. */
static void match_check_integers(swi_match *m, const sw_param *p, const sw_array *array) {
    const int64_t *numbers = array->data, limit = (int64_t)1 << (m->params->type == SW_F32 ? 24 : 53);
    for (int64_t i = 0, count = sw_array_count(array); i < count; i++)
        if (numbers[i] < -limit || numbers[i] > limit) {
            sw_error_list_add(&m->faults, "%.200s holds %lld, which is beyond the integers of %s", p->name,
                              (long long)numbers[i], sw_dtype_name(m->params->type));
            return;
        }
}

/* Adds a mismatch if the numbers cannot be converted to the type of x, or are too large for the copy of x. */
static void match_check_numbers(swi_match *m, const sw_param *p) {
    const swi_entry *entry = &m->archive->entry[m->from[p->index]];
    const sw_params *params = m->params;
    if (entry->array.data && entry->array.type == SW_I64 && p->buffer) {
        match_check_integers(m, p, &entry->array);
        return;
    }
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

/* Whether a parameter has the first `base` characters of the name, and then `end`. */
static bool match_has_param(const swi_match *m, const char *name, size_t base, const char *end) {
    for (int i = 0; i < m->params->count; i++) {
        const char *other = match_file_name(m, m->params->list[i]->name);
        if (strncmp(other, name, base) == 0 && strcmp(other + base, end) == 0)
            return true;
    }
    return false;
}

/* The length of the name without `end`, with which it ends; 0 if it does not, or if nothing is left. */
static size_t match_base(const char *name, const char *end) {
    const size_t length = strlen(name), tail = strlen(end);
    return length > tail && strcmp(name + length - tail, end) == 0 ? length - tail : 0;
}

/* Whether the array is a buffer of PyTorch that swale does not need. `name` is its name without the prefix. */
static bool match_is_buffer(const swi_match *m, const swi_entry *entry, const char *name) {
    const sw_array *a = &entry->array;
    /* The counter of a batch norm, whose running statistics are parameters here. */
    size_t base = match_base(name, ".num_batches_tracked");
    if (base > 0 && a->type == SW_I64 && a->rank == 0)
        return match_has_param(m, name, base, ".running_mean");
    /* The masks of causal attention of GPT-2. */
    base = match_base(name, ".attn.bias");
    if (base == 0 || a->rank != 4 || a->shape[0] != 1 || a->shape[1] != 1 || a->shape[2] != a->shape[3])
        base = a->rank == 0 ? match_base(name, ".attn.masked_bias") : 0;
    return base > 0 && match_has_param(m, name, base, ".attn.c_attn.weight");
}

static void match_list_unexpected(swi_match *m) {
    const size_t length = strlen(m->prefix);
    for (int i = 0; i < m->archive->entries; i++)
        if (!m->used[i] && strncmp(m->archive->entry[i].name, m->prefix, length) == 0 &&
            !match_is_buffer(m, &m->archive->entry[i], m->archive->entry[i].name + length))
            sw_error_list_add(&m->faults, "%.200s is not expected", m->archive->entry[i].name + length);
}

/* Whether the file has an array named prefix + name for every parameter that is not tied. */
static bool match_all_begin_with(const swi_match *m, const char *prefix) {
    char name[PREFIX_ROOM + 256];
    for (int i = 0; i < m->params->count; i++) {
        const sw_param *p = m->params->list[i];
        const int length = snprintf(name, sizeof name, "%s%s", prefix, p->name);
        if (!p->tied && (length >= (int)sizeof name || swi_archive_find(m->archive, name) < 0))
            return false;
    }
    return true;
}

static bool match_is_empty(const swi_match *m) {
    for (int i = 0; i < m->params->count; i++)
        if (m->from[i] >= 0)
            return false;
    return true;
}

/* Searches for a prefix with which the file has all parameters: "optim.x.", or "module." of a PyTorch model. */
static bool match_find_prefix(const swi_match *m, char prefix[PREFIX_ROOM]) {
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

/* Whether the file has every parameter that is not tied, under its name without this beginning. */
static bool match_all_without(const swi_match *m, const char *begin, size_t length) {
    for (int i = 0; i < m->params->count; i++) {
        const sw_param *p = m->params->list[i];
        const char *name = strncmp(p->name, begin, length) == 0 ? p->name + length : p->name;
        if (!p->tied && swi_archive_find(m->archive, name) < 0)
            return false;
    }
    return true;
}

/* The length of the beginning of the first name without which the file has all parameters: "transformer." of the
 * published GPT-2; 0 if there is none. */
static size_t match_find_omitted(const swi_match *m) {
    const char *first = m->params->count > 0 ? m->params->list[0]->name : "";
    for (const char *dot = strchr(first, '.'); dot; dot = strchr(dot + 1, '.'))
        if (match_all_without(m, first, (size_t)(dot + 1 - first)))
            return (size_t)(dot + 1 - first);
    return 0;
}

sw_status swi_match_names(swi_match *m) {
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
    const size_t omitted = *m->prefix || *m->omitted ? 0 : match_find_omitted(m);
    if (omitted > 0)
        return swi_file_fail(path, SW_ERR_FORMAT,
                             "has the parameters under names without \"%.*s\": set omitted to it in sw_load_options, "
                             "and channels_first for a file of PyTorch",
                             (int)omitted, p->list[0]->name);
    return swi_file_fail(
        path, SW_ERR_FORMAT, "does not fit the parameters: %s%s", sw_error_list_text(&m->faults),
        m->other_order && !m->channels_first ? " (a file of PyTorch? set channels_first in sw_load_options)" : "");
}
