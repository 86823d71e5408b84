/* Archives: named arrays and texts in memory. safetensors.c reads and writes them as files. */
#include <swale/memory.h>
#include <swale/status.h>
#include <swale/text.h>

#include "core/base/allocation.h"
#include "core/base/element.h"
#include "core/files/archive_entries.h"
#include "core/files/stored_type.h"

#include <string.h>

/* ---- Adding entries ---- */

enum { FIRST_CAPACITY = 16 };

swi_entry *swi_archive_add(sw_archive *a, const char *name) {
    const sw_status status = sw_grow_array(&a->entry, &a->entry_capacity, a->entries, FIRST_CAPACITY, sizeof *a->entry);
    char *copy = status == SW_OK ? sw_strdup(name) : NULL;
    if (!copy)
        return NULL;
    swi_entry *entry = &a->entry[a->entries++];
    *entry = (swi_entry){.name = copy};
    return entry;
}

sw_status swi_archive_add_text(sw_archive *a, const char *key, const char *text) {
    SW_TRY(sw_grow_array(&a->text, &a->text_capacity, a->texts, FIRST_CAPACITY, sizeof *a->text));
    swi_text add = {sw_strdup(key), sw_strdup(text)};
    if (!add.key || !add.text) {
        sw_free(add.key);
        sw_free(add.text);
        return SW_ERR_MEMORY;
    }
    a->text[a->texts++] = add;
    return SW_OK;
}

/* ---- New, free ---- */

sw_archive *sw_archive_new(void) {
    return sw_alloc(sizeof(sw_archive));
}

void sw_archive_free(sw_archive *a) {
    if (!a || !sw_may_free(a, "archive"))
        return;
    for (int i = 0; i < a->entries; i++) {
        sw_free(a->entry[i].name);
        sw_free(a->entry[i].owned);
    }
    for (int i = 0; i < a->texts; i++) {
        sw_free(a->text[i].key);
        sw_free(a->text[i].text);
    }
    sw_free(a->entry);
    sw_free(a->text);
    sw_free(a->block);
    sw_free(a->path);
    sw_free(a);
}

/* The error of a NULL archive: the pending error, or else a new one. */
static sw_status archive_fail_null(void) {
    return sw_fail_unless_pending(SW_ERR_ARGUMENT, "archive: the archive is NULL");
}

/* ---- Arrays and texts: writing ---- */

static sw_status archive_put(sw_archive *a, const char *name, const sw_array *array, sw_dtype as, bool copy) {
    int64_t count;
    if (!name || !*name)
        return sw_fail(SW_ERR_ARGUMENT, "archive: an array needs a name");
    if (strcmp(name, "__metadata__") == 0)
        return sw_fail(SW_ERR_ARGUMENT, "archive: the format reserves the name __metadata__");
    if (swi_archive_find(a, name) >= 0)
        return sw_fail(SW_ERR_ARGUMENT, "archive: there are two arrays %s", name);
    if (!swi_stored_name(array->type) || !swi_stored_name(as))
        return sw_fail(SW_ERR_TYPE, "archive: %s: %d is not an element type", name,
                       (int)(swi_stored_name(array->type) ? as : array->type));
    if (as != array->type && !(sw_dtype_is_float(as) && sw_dtype_is_float(array->type)))
        return sw_fail(SW_ERR_TYPE, "archive: %s: an array of type %s cannot be saved as %s", name,
                       sw_dtype_name(array->type), sw_dtype_name(as));
    SW_TRY(sw_shape_count(array->rank, array->shape, &count));
    if (!array->data && count > 0)
        return sw_fail(SW_ERR_ARGUMENT, "archive: %s has no data", name);
    const size_t bytes = (size_t)count * swi_size(array->type);
    void *copied = copy ? swi_alloc_raw(SW_ACCOUNT_OTHER, bytes) : NULL;
    swi_entry *entry = copy && !copied ? NULL : swi_archive_add(a, name);
    if (!entry) {
        sw_free(copied);
        return SW_ERR_MEMORY;
    }
    if (copy && array->data)
        memcpy(copied, array->data, bytes);
    entry->stored = swi_stored_name(as);
    entry->as = as;
    entry->array = *array;
    entry->owned = copied;
    if (copied)
        entry->array.data = copied;
    else if (!array->data) /* an empty array; data NULL would mean an unsupported type */
        entry->array.data = entry->name;
    return SW_OK;
}

sw_status sw_archive_put(sw_archive *a, const char *name, sw_array array) {
    return sw_archive_put_as(a, name, array, array.type);
}

sw_status sw_archive_put_as(sw_archive *a, const char *name, sw_array array, sw_dtype type) {
    sw_status status = a ? archive_put(a, name, &array, type, false) : archive_fail_null();
    if (a && status != SW_OK)
        a->failed = status;
    return status;
}

sw_status swi_archive_put_owned(sw_archive *a, const char *name, sw_array array, sw_dtype type) {
    const sw_status status = sw_archive_put_as(a, name, array, type);
    if (status == SW_OK)
        a->entry[a->entries - 1].owned = array.data;
    else
        sw_free(array.data);
    return status;
}

sw_status sw_archive_put_copy(sw_archive *a, const char *name, sw_array array) {
    sw_status status = a ? archive_put(a, name, &array, array.type, true) : archive_fail_null();
    if (a && status != SW_OK)
        a->failed = status;
    return status;
}

static int archive_find_text(const sw_archive *a, const char *key) {
    for (int i = 0; i < a->texts; i++)
        if (strcmp(a->text[i].key, key) == 0)
            return i;
    return -1;
}

static sw_status archive_set_text(sw_archive *a, const char *key, const char *text) {
    if (!key || !text)
        return sw_fail(SW_ERR_ARGUMENT, "archive: a text and its key must not be NULL");
    const int i = archive_find_text(a, key);
    if (i < 0)
        return swi_archive_add_text(a, key, text);
    char *copy = sw_strdup(text);
    if (!copy)
        return SW_ERR_MEMORY;
    sw_free(a->text[i].text);
    a->text[i].text = copy;
    return SW_OK;
}

sw_status sw_archive_set_text(sw_archive *a, const char *key, const char *text) {
    sw_status status = a ? archive_set_text(a, key, text) : archive_fail_null();
    if (a && status != SW_OK)
        a->failed = status;
    return status;
}

/* ---- Arrays and texts: reading ---- */

int swi_archive_find(const sw_archive *a, const char *name) {
    for (int i = 0; i < a->entries; i++)
        if (strcmp(a->entry[i].name, name) == 0)
            return i;
    return -1;
}

int sw_archive_count(const sw_archive *a) {
    return a ? a->entries : 0;
}

sw_archive_item sw_archive_at(const sw_archive *a, int index) {
    if (!a || index < 0 || index >= a->entries)
        return (sw_archive_item){0};
    const swi_entry *entry = &a->entry[index];
    return (sw_archive_item){entry->name, entry->stored, entry->array};
}

bool sw_archive_has(const sw_archive *a, const char *name) {
    return a && name && swi_archive_find(a, name) >= 0;
}

static sw_status archive_fail_missing(const sw_archive *a, const char *name) {
    enum { MOST = 256 };
    const char *names[MOST], *path = a->path ? a->path : "archive";
    const int count = a->entries < MOST ? a->entries : MOST;
    for (int i = 0; i < count; i++)
        names[i] = a->entry[i].name;
    return sw_fail(SW_ERR_ARGUMENT, "%.700s: there is no array %s%s", path, name, sw_suggest(name, count, names));
}

sw_array sw_archive_get(const sw_archive *a, const char *name) {
    const sw_array none = {0};
    if (!a || !name) {
        if (!a)
            archive_fail_null();
        else
            sw_fail(SW_ERR_ARGUMENT, "archive: the name of the array is NULL");
        return none;
    }
    const int i = swi_archive_find(a, name);
    if (i < 0) {
        archive_fail_missing(a, name);
        return none;
    }
    if (!a->entry[i].array.data) {
        sw_fail(SW_ERR_TYPE, "%.700s: %s is %s, which is not supported", a->path ? a->path : "archive", name,
                a->entry[i].stored);
        return none;
    }
    return a->entry[i].array;
}

const char *sw_archive_text(const sw_archive *a, const char *key) {
    const int i = a && key ? archive_find_text(a, key) : -1;
    return i >= 0 ? a->text[i].text : NULL;
}

int sw_archive_text_count(const sw_archive *a) {
    return a ? a->texts : 0;
}

const char *sw_archive_text_key(const sw_archive *a, int index) {
    return a && index >= 0 && index < a->texts ? a->text[index].key : NULL;
}

const char *sw_archive_path(const sw_archive *a) {
    return a ? a->path : NULL;
}
