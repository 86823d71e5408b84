/* Class labels: numbers or texts in the data, which get the ids 0 to K-1 in sorted order. */
#include <swale/extend.h>

#include "datasets/class_labels.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The set of labels: a hash table with open addressing, at most half full ---- */

static uint32_t label_hash(const char *text) { /* FNV-1a */
    uint32_t hash = 2166136261u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    return hash;
}

/* The slot of a label, or the empty slot in which it would be inserted. */
static int64_t label_slot(const swd_classes *c, const char *text) {
    int64_t at = label_hash(text) & (uint32_t)(c->slots - 1);
    while (c->slot[at] > 0 && strcmp(c->name[c->slot[at] - 1], text) != 0)
        at = (at + 1) & (c->slots - 1);
    return at;
}

static bool label_table_grow(swd_classes *c) {
    enum { FIRST = 16 };
    const int slots = c->slots ? 2 * c->slots : 2 * FIRST;
    char **name = sw_alloc_array_for(SW_ACCOUNT_DATA, slots / 2, sizeof *name);
    int32_t *slot = sw_alloc_array_for(SW_ACCOUNT_DATA, slots, sizeof *slot);
    if (!name || !slot) {
        sw_free(name);
        sw_free(slot);
        return false;
    }
    for (int i = 0; i < c->count; i++)
        name[i] = c->name[i];
    sw_free(c->name);
    sw_free(c->slot);
    c->name = name;
    c->slot = slot;
    c->slots = slots;
    for (int i = 0; i < c->count; i++)
        c->slot[label_slot(c, c->name[i])] = i + 1;
    return true;
}

int swd_classes_find(const swd_classes *c, const char *label) {
    return c->slots ? c->slot[label_slot(c, label)] - 1 : -1;
}

int swd_classes_add(swd_classes *c, const char *label) {
    int id = swd_classes_find(c, label);
    if (id >= 0)
        return id;
    if (c->count == SWD_MOST_CLASSES)
        return SWD_TOO_MANY_CLASSES;
    if (2 * (c->count + 1) > c->slots && !label_table_grow(c))
        return SWD_NO_MEMORY;
    char *copy = sw_strdup(label);
    if (!copy)
        return SWD_NO_MEMORY;
    c->name[c->count] = copy;
    c->slot[label_slot(c, label)] = ++c->count;
    return c->count - 1;
}

void swd_classes_free(swd_classes *c) {
    for (int i = 0; i < c->count; i++)
        sw_free(c->name[i]);
    sw_free(c->name);
    sw_free(c->slot);
    *c = (swd_classes){0};
}

/* ---- Sorting ---- */

typedef struct label {
    char *name;
    int64_t value; /* 0 for texts */
    int32_t id;
} label;

static int compare_labels(const void *a, const void *b) {
    const label *s = a, *t = b;
    return s->value != t->value ? (s->value < t->value ? -1 : 1) : strcmp(s->name, t->name);
}

sw_status swd_classes_finish(swd_classes *c, bool numbers, int32_t *ids, int64_t n, swd_memory_source *s) {
    label *sorted = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, c->count, sizeof *sorted);
    int32_t *to = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, c->count, sizeof *to);
    if (!sorted || !to) {
        sw_free(sorted);
        sw_free(to);
        return SW_ERR_MEMORY;
    }
    for (int i = 0; i < c->count; i++)
        sorted[i] = (label){c->name[i], numbers ? strtoll(c->name[i], NULL, 10) : 0, i};
    qsort(sorted, (size_t)c->count, sizeof *sorted, compare_labels);
    for (int i = 0; i < c->count; i++) {
        c->name[i] = sorted[i].name;
        to[sorted[i].id] = i;
    }
    for (int64_t i = 0; i < n; i++)
        ids[i] = to[ids[i]];
    sw_free(sorted);
    sw_free(to);
    s->source.classes = c->count;
    s->names = c->name; /* from here on, the source owns the names */
    s->source.class_names = (const char *const *)s->names;
    sw_free(c->slot);
    *c = (swd_classes){0};
    return SW_OK;
}

/* ---- Labels in memory ---- */

static int32_t label_at(const sw_array *y, int64_t i) {
    return y->type == SW_U8 ? ((const unsigned char *)y->data)[i] : ((const int32_t *)y->data)[i];
}

/* Numbers labels in order of appearance. A table indexed by the last byte finds most labels. */
static int label_ids(swd_classes *c, const sw_array *y, int32_t *ids) {
    int32_t value[256], id[256];
    bool known[256] = {false};
    for (int64_t i = 0; i < y->shape[0]; i++) {
        const int32_t this = label_at(y, i);
        const unsigned char last = (unsigned char)this;
        if (!known[last] || value[last] != this) {
            char text[16];
            snprintf(text, sizeof text, "%ld", (long)this);
            value[last] = this;
            id[last] = swd_classes_add(c, text);
            known[last] = true;
            if (id[last] < 0)
                return id[last];
        }
        ids[i] = id[last];
    }
    return 0;
}

sw_status swd_class_ids_of_labels(const char *who, const sw_array *y, swd_memory_source *s, sw_array *ids) {
    swd_classes c = {0};
    *ids = sw_array_new(SW_I32, SW_SHAPE(y->shape[0]));
    if (!ids->data)
        return sw_last_failure();
    const int result = label_ids(&c, y, ids->data);
    sw_status status = result == SWD_NO_MEMORY ? SW_ERR_MEMORY
                       : result == SWD_TOO_MANY_CLASSES
                           ? sw_fail(SW_ERR_FORMAT, "%.700s: more than %d different labels: are they real targets?",
                                     who, SWD_MOST_CLASSES)
                           : swd_classes_finish(&c, true, ids->data, y->shape[0], s);
    swd_classes_free(&c);
    if (status != SW_OK)
        sw_array_free(ids);
    return status;
}
