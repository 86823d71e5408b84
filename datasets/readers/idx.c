/* IDX files of unsigned bytes, plain or compressed by gzip.
 *
 *     00 00 type rank | rank dimensions, 4 bytes each, big-endian | the elements, row-major
 *
 * The header is checked first: no more memory is allocated than the file can fill.
 */
#include <swale/extend.h>

#include "datasets/readers/gzip_stream.h"
#include "datasets/readers/idx.h"

#include <string.h>

enum {
    DEFLATE_RATIO = 1032, /* the largest possible ratio: 258 bytes from 2 bits */
    UNSIGNED_BYTES = 0x08 /* IDX's code for the element type */
};

static sw_status idx_check_magic(const swd_stream *r) {
    if (r->magic_size < 2)
        return swd_stream_fail(r, SW_ERR_FORMAT, r->magic_size ? "has only one byte" : "is empty");
    if (!r->compressed && (r->magic[0] || r->magic[1]))
        return swd_stream_fail(r, SW_ERR_FORMAT,
                               "neither IDX (begins with 00 00) nor gzip (1f 8b): begins with %02x %02x", r->magic[0],
                               r->magic[1]);
    return SW_OK;
}

/* Reads the next n bytes of the contents. `what` names the part of the file for the message. */
static sw_status idx_read_bytes(swd_stream *r, void *out, size_t n, const char *what) {
    size_t made;
    SW_TRY(swd_stream_read(r, out, n, &made));
    if (made == n)
        return SW_OK;
    return swd_stream_fail(r, SW_ERR_FORMAT, "truncated: %s within the %s", r->compressed ? "the contents end" : "ends",
                           what);
}

/* Reads type, rank and shape; *count is the number of elements, which are bytes. */
static sw_status idx_read_header(swd_stream *r, sw_array *array, int64_t *count) {
    unsigned char magic[4], length[4];
    SW_TRY(idx_read_bytes(r, magic, sizeof magic, "header"));
    if (magic[0] || magic[1])
        return swd_stream_fail(r, SW_ERR_FORMAT, "not IDX: the contents begin with %02x %02x, not 00 00", magic[0],
                               magic[1]);
    if (magic[2] != UNSIGNED_BYTES)
        return swd_stream_fail(r, SW_ERR_FORMAT, "element type 0x%02x: only 0x08, unsigned bytes, is read", magic[2]);
    if (magic[3] < 1 || magic[3] > SW_MAX_RANK)
        return swd_stream_fail(r, SW_ERR_FORMAT, "rank %d is outside 1 to %d", magic[3], SW_MAX_RANK);
    array->type = SW_U8;
    array->rank = magic[3];
    *count = 1;
    for (int i = 0; i < array->rank; i++) {
        SW_TRY(idx_read_bytes(r, length, sizeof length, "header"));
        int64_t n = (int64_t)length[0] << 24 | length[1] << 16 | length[2] << 8 | length[3];
        array->shape[i] = n;
        if (n > 0 && *count > INT64_MAX / n)
            return swd_stream_fail(r, SW_ERR_FORMAT, "impossible shape: the number of elements overflows");
        *count *= n;
    }
    return SW_OK;
}

/* Checks, before memory is allocated, that this file can contain so many elements. */
static sw_status idx_check_size(const swd_stream *r, const sw_array *array, int64_t count) {
    int64_t header = 4 + 4 * (int64_t)array->rank;
    const char *shape = sw_shape_text(array->rank, array->shape);
    if (r->compressed) {
        if (count / DEFLATE_RATIO > r->file_size)
            return swd_stream_fail(r, SW_ERR_FORMAT,
                                   "shape %s has more elements than %lld compressed bytes can contain (at most %d:1)",
                                   shape, (long long)r->file_size, DEFLATE_RATIO);
        return SW_OK;
    }
    int64_t have = r->file_size - header;
    if (count != have)
        return swd_stream_fail(r, SW_ERR_FORMAT, "%s: shape %s means %lld bytes after the header, not %lld",
                               count > have ? "truncated" : "trailing bytes", shape, (long long)count, (long long)have);
    return SW_OK;
}

/* Reads the elements of a compressed file whose header states very many. The memory is doubled each time it is full, so
 * that a file with a false header does not cause a large allocation. */
static sw_status idx_read_growing(swd_stream *r, sw_array *array, int64_t count, int64_t capacity) {
    for (int64_t at = 0;;) {
        size_t made = 0;
        if (sw_resize_array_for(SW_ACCOUNT_DATA, &array->data, at, capacity, 1) != SW_OK)
            return swd_stream_fail_memory(r);
        SW_TRY(swd_stream_read(r, (char *)array->data + at, (size_t)(capacity - at), &made));
        at += (int64_t)made;
        if (at == count)
            return SW_OK;
        if (at < capacity)
            return swd_stream_fail(r, SW_ERR_FORMAT, "truncated: the contents end within the elements");
        capacity = count - capacity < capacity ? count : 2 * capacity;
    }
}

static sw_status idx_read_contents(swd_stream *r, sw_array *array) {
    enum { USUAL_RATIO = 64, LITTLE = 1 << 16 };
    int64_t count = 0;
    SW_TRY(idx_check_magic(r));
    SW_TRY(idx_read_header(r, array, &count));
    SW_TRY(idx_check_size(r, array, count));
    if (r->compressed && count > LITTLE && count / USUAL_RATIO > r->file_size) {
        SW_TRY(idx_read_growing(r, array, count, LITTLE));
        return swd_stream_check_end(r);
    }
    array->data = sw_alloc_array_for(SW_ACCOUNT_DATA, count, 1);
    if (!array->data)
        return swd_stream_fail_memory(r);
    SW_TRY(idx_read_bytes(r, array->data, (size_t)count, "elements"));
    return r->compressed ? swd_stream_check_end(r) : SW_OK;
}

sw_status sw_idx_load(const char *path, sw_array *array) {
    if (array)
        *array = (sw_array){0};
    if (!path || !array)
        return sw_fail(SW_ERR_ARGUMENT, "idx_load: the %s is NULL", path ? "array" : "path");
    swd_stream r = {.members = false};
    sw_status status = swd_stream_open(&r, path);
    if (status == SW_OK)
        status = idx_read_contents(&r, array);
    swd_stream_close(&r);
    if (status != SW_OK)
        sw_array_free(array);
    return status;
}

size_t swd_idx_header(const sw_array *array, unsigned char header[SWD_IDX_HEADER]) {
    size_t at = 0;
    header[at++] = 0;
    header[at++] = 0;
    header[at++] = UNSIGNED_BYTES;
    header[at++] = (unsigned char)array->rank;
    for (int i = 0; i < array->rank; i++)
        for (int shift = 24; shift >= 0; shift -= 8)
            header[at++] = (unsigned char)(array->shape[i] >> shift);
    return at;
}
