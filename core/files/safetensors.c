/* Archives as files in the safetensors format.
 *
 *     u64, little-endian       length N of the header, at most 100,000,000
 *     N bytes                  JSON {"name": {"dtype": "F32", "shape": [2,3], "data_offsets": [0,24]}, …},
 *                              with "__metadata__": {"key": "text"}; spaces up to N
 *     the rest                 the arrays, one after the other without gaps; offsets begin here
 *
 * Files are written as the Python package writes them: types of larger elements first, then by name, N a multiple of 8,
 * so that every array is aligned in the file. */
#include <swale/memory.h>
#include <swale/status.h>
#include <swale/text.h>
#include <swale/vector.h>

#include "core/base/allocation.h"
#include "core/base/element.h"
#include "core/files/archive_entries.h"
#include "core/files/reader_writer.h"
#include "core/files/stored_type.h"

#include <string.h>
#include <jansson.h>
#include <stdlib.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "arrays are written as they lie in memory: little-endian"
#endif

enum { LONGEST_HEADER = 100000000, ALIGNMENT = 8 };

/* ---- Reading: the header ---- */

typedef struct tensor {
    const char *name;
    const swi_stored_type *type;
    int rank;
    int64_t shape[SW_MAX_RANK], count, begin, end;
} tensor;

typedef struct header {
    const char *path;
    json_t *json;
    tensor *tensor;
    int tensors;
} header;

/* The bytes of an array in the file. The product cannot overflow, because safetensors_read_shape limits the count. */
static int64_t safetensors_stored_bytes(const tensor *t) {
    return t->type->bits >= 8 ? t->count * (t->type->bits / 8) : t->count * t->type->bits / 8;
}

#define FAIL(h, ...) swi_file_fail((h)->path, SW_ERR_FORMAT, __VA_ARGS__)

static sw_status safetensors_read_shape(const header *h, tensor *t, const json_t *shape) {
    if (!json_is_array(shape))
        return FAIL(h, "%.200s has no shape", t->name);
    if (json_array_size(shape) > SW_MAX_RANK)
        return FAIL(h, "%.200s has %zu axes; at most %d are read", t->name, json_array_size(shape), SW_MAX_RANK);
    t->rank = (int)json_array_size(shape);
    t->count = 1;
    for (int i = 0; i < t->rank; i++) {
        const json_t *length = json_array_get(shape, (size_t)i);
        if (!json_is_integer(length) || json_integer_value(length) < 0)
            return FAIL(h, "%.200s: axis %d of its shape is not a length", t->name, i);
        t->shape[i] = json_integer_value(length);
        if (t->shape[i] > 0 && t->count > INT64_MAX / 16 / t->shape[i])
            return FAIL(h, "%.200s: its shape has too many elements", t->name);
        t->count *= t->shape[i];
    }
    return SW_OK;
}

static sw_status safetensors_read_tensor(const header *h, tensor *t, const char *name, const json_t *json) {
    const json_t *type = json_object_get(json, "dtype"), *offsets = json_object_get(json, "data_offsets");
    *t = (tensor){.name = name};
    if (!json_is_string(type))
        return FAIL(h, "%.200s has no dtype", name);
    t->type = swi_find_stored_type(json_string_value(type));
    if (!t->type)
        return FAIL(h, "%.200s: dtype %.100s is not supported", name, json_string_value(type));
    SW_TRY(safetensors_read_shape(h, t, json_object_get(json, "shape")));
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return FAIL(h, "%.200s has no data_offsets", name);
    t->begin = json_integer_value(begin);
    t->end = json_integer_value(end);
    return SW_OK;
}

static sw_status safetensors_read_texts(const header *h, sw_archive *a, json_t *metadata) {
    const char *key;
    json_t *value;
    if (json_is_null(metadata)) /* no texts, as in the Python package */
        return SW_OK;
    if (!json_is_object(metadata))
        return FAIL(h, "its __metadata__ is not an object");
    const bool had_error = sw_error() != NULL;
    json_object_foreach(metadata, key, value) {
        if (!json_is_string(value))
            return FAIL(h, "%.200s in its __metadata__ is not a string", key);
        if (swi_archive_add_text(a, key, json_string_value(value)) != SW_OK)
            return swi_file_no_memory(h->path, had_error);
    }
    return SW_OK;
}

static sw_status safetensors_read_tensors(header *h, sw_archive *a) {
    const char *name;
    json_t *value;
    const bool had_error = sw_error() != NULL;
    h->tensor = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, (int64_t)json_object_size(h->json), sizeof *h->tensor);
    if (!h->tensor)
        return swi_file_no_memory(h->path, had_error);
    json_object_foreach(h->json, name, value) {
        if (strcmp(name, "__metadata__") == 0)
            SW_TRY(safetensors_read_texts(h, a, value));
        else
            SW_TRY(safetensors_read_tensor(h, &h->tensor[h->tensors++], name, value));
    }
    return SW_OK;
}

static int compare_tensors_by_offset(const void *a, const void *b) {
    const tensor *s = a, *t = b;
    if (s->begin != t->begin)
        return s->begin < t->begin ? -1 : 1;
    if (s->end != t->end) /* empty arrays come before the array that begins at the same byte */
        return s->end < t->end ? -1 : 1;
    return strcmp(s->name, t->name);
}

/* Checks that each array begins where the one before ends, and that the last one ends with the file. */
static sw_status safetensors_check_offsets(const header *h, int64_t data_bytes) {
    int64_t at = 0;
    for (int i = 0; i < h->tensors; i++) {
        const tensor *t = &h->tensor[i];
        if (t->begin != at)
            return FAIL(h, "%.200s begins at byte %lld of the data, but the array before it ends at %lld", t->name,
                        (long long)t->begin, (long long)at);
        if (t->type->bits < 8 && t->count * t->type->bits % 8 != 0)
            return FAIL(h, "%.200s: %s %s does not end at a whole byte", t->name, t->type->name,
                        sw_shape_text(t->rank, t->shape));
        if (t->end < t->begin || t->end - t->begin != safetensors_stored_bytes(t))
            return FAIL(h, "%.200s: %s %s takes %lld bytes, but its data_offsets are [%lld,%lld]", t->name,
                        t->type->name, sw_shape_text(t->rank, t->shape), (long long)safetensors_stored_bytes(t),
                        (long long)t->begin, (long long)t->end);
        at = t->end;
    }
    if (at != data_bytes)
        return FAIL(h, "its arrays have %lld bytes, and %lld follow its header", (long long)at, (long long)data_bytes);
    return SW_OK;
}

/* Parses the header twice and compares the results: if jansson (2.14) has no memory for a token that is longer than the
 * ones before it, it may drop a byte of the token and continue. (It may also stop in an assertion, which cannot be
 * prevented here.) */
static sw_status safetensors_parse(header *h, const char *text, size_t length) {
    json_error_t error;
    json_t *again = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &error);
    h->json = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &error);
    const bool alike = !h->json == !again && (!h->json || json_equal(h->json, again));
    json_decref(again);
    if (!alike || (!h->json && !error.text[0]))
        return swi_file_fail(h->path, SW_ERR_MEMORY, "out of memory: its header has %zu bytes", length);
    if (!h->json)
        return FAIL(h, "its header is not valid JSON: %s, at byte %d", error.text, error.position);
    for (size_t i = (size_t)error.position; i < length; i++)
        if (text[i] != ' ')
            return FAIL(h, "byte %zu of its header comes after the end and is not a space", i);
    return SW_OK;
}

static sw_status safetensors_read_header(swi_reader *r, sw_archive *a, header *h) {
    unsigned char bytes[8];
    uint64_t length = 0;
    const bool had_error = sw_error() != NULL;
    if (r->size < 8)
        return FAIL(h, "not a safetensors file: it has %lld bytes", (long long)r->size);
    SW_TRY(swi_reader_take(r, bytes, 8));
    for (int i = 7; i >= 0; i--)
        length = length << 8 | bytes[i];
    if (length > LONGEST_HEADER && bytes[0] == '{')
        return FAIL(h, "JSON, not a safetensors file (the index of a model in several files? load the files that it "
                       "lists)");
    if (length > LONGEST_HEADER)
        return FAIL(h, "not a safetensors file: a header of %llu bytes; at most %d are allowed",
                    (unsigned long long)length, LONGEST_HEADER);
    if ((int64_t)length > r->size - 8)
        return FAIL(h, "truncated: a header of %llu bytes, of which the file has %lld", (unsigned long long)length,
                    (long long)r->size - 8);
    char *text = swi_alloc_raw(SW_ACCOUNT_TEMPORARIES, (size_t)length);
    if (!text)
        return swi_file_no_memory(h->path, had_error);
    sw_status status = swi_reader_take(r, text, (int64_t)length);
    if (status == SW_OK && (length == 0 || text[0] != '{'))
        status = FAIL(h, "not a safetensors file: its header does not begin with {");
    if (status == SW_OK)
        status = safetensors_parse(h, text, (size_t)length);
    sw_free(text);
    SW_TRY(status);
    SW_TRY(safetensors_read_tensors(h, a));
    if (h->tensors)
        qsort(h->tensor, (size_t)h->tensors, sizeof *h->tensor, compare_tensors_by_offset);
    return safetensors_check_offsets(h, r->size - 8 - (int64_t)length);
}

/* ---- Reading: the arrays ---- */

/* The bytes of an array in memory, rounded up so that every array begins at a multiple of 8. */
static int64_t safetensors_memory_bytes(const tensor *t) {
    const int64_t bytes = t->type->type < 0 ? 0 : safetensors_stored_bytes(t);
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static sw_status safetensors_read_arrays(swi_reader *r, sw_archive *a, const header *h) {
    int64_t total = 0, at = 0;
    const bool had_error = sw_error() != NULL;
    for (int i = 0; i < h->tensors; i++)
        total += safetensors_memory_bytes(&h->tensor[i]);
    a->block = swi_alloc_raw(SW_ACCOUNT_OTHER, (size_t)total);
    if (!a->block)
        return swi_file_no_memory(h->path, had_error);
    for (int i = 0; i < h->tensors; i++) {
        const tensor *t = &h->tensor[i];
        swi_entry *entry = swi_archive_add(a, t->name);
        if (!entry)
            return swi_file_no_memory(h->path, had_error);
        char *to = (char *)a->block + at;
        const bool known = t->type->type >= 0;
        SW_TRY(known ? swi_reader_take(r, to, safetensors_stored_bytes(t))
                     : swi_reader_skip(r, safetensors_stored_bytes(t)));
        at += safetensors_memory_bytes(t);
        entry->stored = t->type->name;
        entry->as = known ? (sw_dtype)t->type->type : SW_U8;
        entry->array = (sw_array){.data = known ? to : NULL, .rank = t->rank, .type = entry->as};
        memcpy(entry->array.shape, t->shape, sizeof t->shape);
    }
    return SW_OK;
}

/* Reads the file a->path into the archive, which is empty. */
static sw_status safetensors_read(sw_archive *a) {
    swi_reader r;
    header h = {.path = a->path};
    sw_status status = swi_reader_open(&r, a->path);
    if (status == SW_OK)
        status = safetensors_read_header(&r, a, &h);
    if (status == SW_OK)
        status = safetensors_read_arrays(&r, a, &h);
    swi_reader_close(&r);
    json_decref(h.json);
    sw_free(h.tensor);
    return status;
}

/* ---- Writing ---- */

static int compare_entries_by_type(const void *a, const void *b) {
    const swi_entry *s = *(const swi_entry *const *)a, *t = *(const swi_entry *const *)b;
    const swi_stored_type *s_type = swi_stored_type_of(s->as), *t_type = swi_stored_type_of(t->as);
    if (s_type != t_type)
        return s_type > t_type ? -1 : 1;
    return strcmp(s->name, t->name);
}

static int compare_texts_by_key(const void *a, const void *b) {
    return strcmp(((const swi_text *)a)->key, ((const swi_text *)b)->key);
}

/* Finds out why jansson has failed, which it does not report: a text is not UTF-8, or there is not enough memory. */
static sw_status safetensors_fail_text(const char *path, const char *key, const char *text) {
    json_t *key_json = json_string(key), *text_json = text ? json_string(text) : NULL,
           *memory_json = json_string_nocheck(text && key_json ? text : key);
    sw_status status = memory_json && !key_json
                           ? swi_file_fail(path, SW_ERR_ARGUMENT, "the name %.200s is not UTF-8", key)
                       : memory_json && text && !text_json
                           ? swi_file_fail(path, SW_ERR_ARGUMENT, "the text of %.200s is not UTF-8", key)
                           : swi_file_fail(path, SW_ERR_MEMORY, "out of memory: its header cannot be made");
    json_decref(key_json);
    json_decref(text_json);
    json_decref(memory_json);
    return status;
}

static sw_status safetensors_put_texts(json_t *json, const char *path, const sw_archive *a) {
    if (a->texts == 0)
        return SW_OK;
    const bool had_error = sw_error() != NULL;
    swi_text *sorted = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, a->texts, sizeof *sorted);
    if (!sorted)
        return swi_file_no_memory(path, had_error);
    memcpy(sorted, a->text, (size_t)a->texts * sizeof *sorted);
    qsort(sorted, (size_t)a->texts, sizeof *sorted, compare_texts_by_key);
    json_t *metadata = json_object();
    sw_status status = SW_OK;
    for (int i = 0; i < a->texts && status == SW_OK; i++)
        if (json_object_set_new(metadata, sorted[i].key, json_string(sorted[i].text)) != 0)
            status = safetensors_fail_text(path, sorted[i].key, sorted[i].text);
    sw_free(sorted);
    if (status == SW_OK)
        return json_object_set_new(json, "__metadata__", metadata) == 0 ? SW_OK : safetensors_fail_text(path, "", NULL);
    json_decref(metadata);
    return status;
}

static json_t *safetensors_integers(int count, const int64_t *values) {
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        if (json_array_append_new(list, json_integer(values[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* json_pack takes ownership of `shape` and `range`, also if it fails; it fails if one of them is NULL. */
static json_t *safetensors_describe_entry(const swi_entry *entry, const int64_t offsets[2]) {
    json_t *shape = safetensors_integers(entry->array.rank, entry->array.shape),
           *range = safetensors_integers(2, offsets);
    json_t *tensor_json = json_pack("{s:s, s:o, s:o}", "dtype", entry->stored, "shape", shape, "data_offsets", range);
    return tensor_json;
}

static int64_t safetensors_entry_bytes(const swi_entry *entry) {
    return sw_array_count(&entry->array) * (int64_t)swi_size(entry->as);
}

static sw_status safetensors_make_header(json_t *json, const char *path, const sw_archive *a,
                                         swi_entry *const *sorted) {
    int64_t offsets[2] = {0, 0};
    SW_TRY(safetensors_put_texts(json, path, a));
    for (int i = 0; i < a->entries; i++) {
        offsets[1] = offsets[0] + safetensors_entry_bytes(sorted[i]);
        if (json_object_set_new(json, sorted[i]->name, safetensors_describe_entry(sorted[i], offsets)) != 0)
            return safetensors_fail_text(path, sorted[i]->name, NULL);
        offsets[0] = offsets[1];
    }
    return SW_OK;
}

/* Makes the beginning of the file: the length of the header and the header. The caller frees *text. */
static sw_status safetensors_print_header(const json_t *json, const char *path, char **text, size_t *size) {
    const bool had_error = sw_error() != NULL;
    const size_t length = json ? json_dumpb(json, NULL, 0, JSON_COMPACT) : 0,
                 padded = (length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (length == 0)
        return swi_file_fail(path, SW_ERR_MEMORY, "out of memory: its header cannot be made");
    if (padded > LONGEST_HEADER)
        return swi_file_fail(path, SW_ERR_ARGUMENT, "its names and texts take %zu bytes; at most %d are allowed",
                             padded, LONGEST_HEADER);
    *size = 8 + padded;
    *text = swi_alloc_raw(SW_ACCOUNT_TEMPORARIES, *size);
    if (!*text)
        return swi_file_no_memory(path, had_error);
    memset(*text, ' ', *size);
    for (int i = 0; i < 8; i++)
        (*text)[i] = (char)(unsigned char)((uint64_t)padded >> 8 * i);
    if (json_dumpb(json, *text + 8, length, JSON_COMPACT) != length)
        return swi_file_fail(path, SW_ERR_MEMORY, "out of memory: its header cannot be made");
    return SW_OK;
}

/* Writes an array that the file contains in another type than the memory does. */
static sw_status safetensors_write_rounded(swi_writer *w, const swi_entry *entry) {
    enum { BLOCK = 1024 };
    double block[BLOCK]; /* room for numbers of every type */
    const sw_dtype type = entry->array.type;
    const int64_t count = sw_array_count(&entry->array);
    for (int64_t begin = 0; begin < count; begin += BLOCK) {
        const int64_t some = count - begin < BLOCK ? count - begin : BLOCK;
        const char *from = (const char *)entry->array.data + (size_t)begin * swi_size(type);
        const int64_t beyond = swi_find_beyond(type, some, from, type, entry->as);
        const long long element = begin + beyond;
        if (beyond >= 0)
            return swi_file_fail(w->path, SW_ERR_NONFINITE, "not saved: element %lld of %.200s is %g, too large for %s",
                                 element, entry->name, sw_load_element(type, from, beyond), sw_dtype_name(entry->as));
        sw_vector_convert(type, some, from, entry->as, block);
        SW_TRY(swi_writer_put(w, block, (size_t)some * swi_size(entry->as)));
    }
    return SW_OK;
}

static sw_status safetensors_write_array(swi_writer *w, const swi_entry *entry) {
    return entry->as == entry->array.type ? swi_writer_put(w, entry->array.data, (size_t)safetensors_entry_bytes(entry))
                                          : safetensors_write_rounded(w, entry);
}

static sw_status safetensors_write_file(const char *path, const char *text, size_t size, swi_entry *const *sorted,
                                        int count) {
    swi_writer w;
    sw_status status = swi_writer_open(&w, path);
    if (status == SW_OK)
        status = swi_writer_put(&w, text, size);
    for (int i = 0; i < count && status == SW_OK; i++)
        status = safetensors_write_array(&w, sorted[i]);
    if (status == SW_OK)
        status = swi_writer_commit(&w);
    swi_writer_close(&w);
    return status;
}

static sw_status safetensors_write(const sw_archive *a, const char *path) {
    const bool had_error = sw_error() != NULL;
    for (int i = 0; i < a->entries; i++)
        if (!a->entry[i].array.data)
            return swi_file_fail(path, SW_ERR_TYPE, "%.200s is %s, which is not supported", a->entry[i].name,
                                 a->entry[i].stored);
    swi_entry **sorted = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, a->entries, sizeof *sorted);
    if (!sorted)
        return swi_file_no_memory(path, had_error);
    for (int i = 0; i < a->entries; i++)
        sorted[i] = &a->entry[i];
    if (a->entries)
        qsort(sorted, (size_t)a->entries, sizeof *sorted, compare_entries_by_type);
    char *text = NULL;
    size_t size = 0;
    json_t *json = json_object();
    sw_status status = safetensors_make_header(json, path, a, sorted);
    if (status == SW_OK)
        status = safetensors_print_header(json, path, &text, &size);
    json_decref(json);
    if (status == SW_OK)
        status = safetensors_write_file(path, text, size, sorted, a->entries);
    sw_free(text);
    sw_free(sorted);
    return status;
}

/* ---- Public functions ---- */

sw_archive *sw_archive_load(const char *path) {
    if (!path) {
        sw_fail(SW_ERR_ARGUMENT, "archive: the path is NULL");
        return NULL;
    }
    sw_archive *a = sw_archive_new();
    if (a && (a->path = sw_strdup(path)) && safetensors_read(a) == SW_OK)
        return a;
    sw_archive_free(a);
    return NULL;
}

sw_status sw_archive_save(const sw_archive *a, const char *path) {
    if (!a)
        return sw_fail_unless_pending(SW_ERR_ARGUMENT, "archive: the archive is NULL");
    if (!path)
        return sw_fail(SW_ERR_ARGUMENT, "archive: the path is NULL");
    if (a->failed)
        return sw_error() ? a->failed
                          : sw_fail(SW_ERR_STATE,
                                    "%.700s: not saved: the archive is incomplete, because an "
                                    "earlier call failed",
                                    path);
    return safetensors_write(a, path);
}
