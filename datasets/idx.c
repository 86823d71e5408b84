/* IDX files of unsigned bytes, plain or compressed by gzip.
 *
 *     00 00 type rank | rank dimensions, 4 bytes each, big-endian | the elements, row-major
 *
 * Nothing is believed before it is checked: no memory is asked for that the file could not fill.
 */
#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <zlib.h>

enum {
    BLOCK = 128 * 1024,    /* compressed bytes read at once */
    PIECE = 1 << 30,       /* zlib counts in unsigned int */
    DEFLATE_RATIO = 1032,  /* at most: 258 bytes from 2 bits */
    UNSIGNED_BYTES = 0x08, /* IDX's code for the element type */
    GZIP_WINDOW = 15 + 16  /* zlib: a gzip member, its CRC and length checked */
};

typedef struct reader {
    const char *path;
    FILE *file;
    int64_t file_size;
    bool first_error; /* no message was kept when we began */
    bool compressed;
    bool inflating; /* inflateEnd is due */
    bool ended;     /* the gzip member is complete, its CRC and length are right */
    z_stream z;
    unsigned char *block;
} reader;

/* "path: reason", of which a very long path may not push out the reason. */
static SW_PRINTF(3, 4) sw_status fail(const reader *r, sw_status status, const char *format, ...) {
    char reason[256];
    va_list list;
    va_start(list, format);
    vsnprintf(reason, sizeof reason, format, list);
    va_end(list);
    return sw_fail(status, "%.700s: %s", r->path, reason);
}

/* Puts the path in front of the allocator's message, which knows only of bytes. */
static sw_status fail_memory(const reader *r) {
    if (r->first_error)
        sw_clear_error();
    return fail(r, SW_ERR_MEMORY, "out of memory");
}

static sw_status fail_read(const reader *r) {
    return fail(r, SW_ERR_IO, "cannot be read: %s", strerror(errno));
}

static void *zlib_allocate(void *user, unsigned items, unsigned size) {
    (void)user;
    return sw_alloc_array(items, size);
}

static void zlib_release(void *user, void *memory) {
    (void)user;
    sw_free(memory);
}

static sw_status begin_inflate(reader *r) {
    r->block = sw_alloc(BLOCK);
    if (!r->block)
        return fail_memory(r);
    r->z.zalloc = zlib_allocate;
    r->z.zfree = zlib_release;
    if (inflateInit2(&r->z, GZIP_WINDOW) != Z_OK)
        return fail_memory(r);
    r->inflating = true;
    return SW_OK;
}

static sw_status open_reader(reader *r) {
    r->file = fopen(r->path, "rb");
    if (!r->file)
        return fail(r, SW_ERR_IO, "cannot be opened: %s", strerror(errno));
    setvbuf(r->file, NULL, _IONBF, 0); /* we read in large blocks: no second copy */
    unsigned char magic[2];
    size_t have = fread(magic, 1, 2, r->file);
    if (ferror(r->file)) /* so for a directory */
        return fail_read(r);
    if (have < 2)
        return fail(r, SW_ERR_FORMAT, have ? "holds one byte" : "is empty");
    r->compressed = magic[0] == 0x1f && magic[1] == 0x8b;
    if (!r->compressed && (magic[0] || magic[1]))
        return fail(r, SW_ERR_FORMAT,
                    "neither IDX (begins with 00 00) nor gzip (1f 8b): begins with %02x %02x",
                    magic[0], magic[1]);
    long end = fseek(r->file, 0, SEEK_END) == 0 ? ftell(r->file) : -1;
    if (end < 0 || end == LONG_MAX || fseek(r->file, 0, SEEK_SET) != 0)
        return fail(r, SW_ERR_IO, "its length cannot be found: not an ordinary file");
    r->file_size = end;
    return r->compressed ? begin_inflate(r) : SW_OK;
}

static void close_reader(reader *r) {
    if (r->inflating)
        inflateEnd(&r->z);
    sw_free(r->block);
    if (r->file)
        fclose(r->file);
}

/* One call of inflate for at most `room` bytes; reads on in the file where it must. */
static sw_status inflate_some(reader *r, unsigned char *out, size_t room, size_t *made) {
    if (r->z.avail_in == 0) {
        r->z.next_in = r->block;
        r->z.avail_in = (uInt)fread(r->block, 1, BLOCK, r->file);
        if (r->z.avail_in == 0)
            return ferror(r->file) ? fail_read(r)
                                   : fail(r, SW_ERR_FORMAT, "truncated: the gzip data break off");
    }
    uInt piece = room < PIECE ? (uInt)room : PIECE;
    r->z.next_out = out;
    r->z.avail_out = piece;
    int result = inflate(&r->z, Z_NO_FLUSH);
    *made = piece - r->z.avail_out;
    if (result == Z_MEM_ERROR)
        return fail_memory(r);
    r->ended = result == Z_STREAM_END;
    if (result != Z_OK && result != Z_STREAM_END)
        return fail(r, SW_ERR_FORMAT, "damaged gzip data: %s", r->z.msg ? r->z.msg : "no progress");
    return SW_OK;
}

/* The next n bytes of the contents. `what` they are a part of, for the message. */
static sw_status read_bytes(reader *r, void *out, size_t n, const char *what) {
    unsigned char *p = out;
    if (!r->compressed) {
        if (fread(p, 1, n, r->file) == n)
            return SW_OK;
        return ferror(r->file) ? fail_read(r)
                               : fail(r, SW_ERR_FORMAT, "truncated: ends within the %s", what);
    }
    for (size_t made = 0; n > 0; p += made, n -= made) {
        if (r->ended)
            return fail(r, SW_ERR_FORMAT, "truncated: the contents end within the %s", what);
        SW_TRY(inflate_some(r, p, n, &made));
    }
    return SW_OK;
}

/* Of a compressed file: the contents end here with the right CRC, and the file ends with them. */
static sw_status check_end(reader *r) {
    unsigned char spare, next;
    for (size_t made = 0; !r->ended;) {
        SW_TRY(inflate_some(r, &spare, 1, &made));
        if (made)
            return fail(r, SW_ERR_FORMAT, "trailing bytes: more contents than its header says");
    }
    if (r->z.avail_in > 0 || fread(&next, 1, 1, r->file) == 1)
        return fail(r, SW_ERR_FORMAT, "trailing bytes after the gzip data");
    return ferror(r->file) ? fail_read(r) : SW_OK;
}

/* Type, rank and shape; *count is the number of elements, which are bytes. */
static sw_status read_header(reader *r, sw_array *array, int64_t *count) {
    unsigned char magic[4], length[4];
    SW_TRY(read_bytes(r, magic, sizeof magic, "header"));
    if (magic[0] || magic[1])
        return fail(r, SW_ERR_FORMAT, "not IDX: the contents begin with %02x %02x, not 00 00",
                    magic[0], magic[1]);
    if (magic[2] != UNSIGNED_BYTES)
        return fail(r, SW_ERR_FORMAT, "element type 0x%02x: only 0x08, unsigned bytes, is read",
                    magic[2]);
    if (magic[3] < 1 || magic[3] > SW_MAX_RANK)
        return fail(r, SW_ERR_FORMAT, "rank %d is outside 1 to %d", magic[3], SW_MAX_RANK);
    array->type = SW_U8;
    array->rank = magic[3];
    *count = 1;
    for (int i = 0; i < array->rank; i++) {
        SW_TRY(read_bytes(r, length, sizeof length, "header"));
        int64_t n = (int64_t)length[0] << 24 | length[1] << 16 | length[2] << 8 | length[3];
        array->shape[i] = n;
        if (n > 0 && *count > INT64_MAX / n)
            return fail(r, SW_ERR_FORMAT, "impossible shape: the number of elements overflows");
        *count *= n;
    }
    return SW_OK;
}

/* Before memory is asked for: could this file hold that many elements? */
static sw_status check_size(const reader *r, const sw_array *array, int64_t count) {
    int64_t header = 4 + 4 * (int64_t)array->rank;
    const char *shape = sw_shape_text(array->rank, array->shape);
    if (r->compressed) {
        if (count / DEFLATE_RATIO > r->file_size)
            return fail(r, SW_ERR_FORMAT,
                        "shape %s cannot come out of %lld compressed bytes (at most %d:1)", shape,
                        (long long)r->file_size, DEFLATE_RATIO);
        return SW_OK;
    }
    int64_t have = r->file_size - header;
    if (count != have)
        return fail(r, SW_ERR_FORMAT, "%s: shape %s means %lld bytes after the header, not %lld",
                    count > have ? "truncated" : "trailing bytes", shape, (long long)count,
                    (long long)have);
    return SW_OK;
}

static sw_status read_contents(reader *r, sw_array *array) {
    int64_t count = 0;
    SW_TRY(open_reader(r));
    SW_TRY(read_header(r, array, &count));
    SW_TRY(check_size(r, array, count));
    array->data = sw_alloc_array(count, 1);
    if (!array->data)
        return fail_memory(r);
    SW_TRY(read_bytes(r, array->data, (size_t)count, "elements"));
    return r->compressed ? check_end(r) : SW_OK;
}

sw_status sw_idx_read(const char *path, sw_array *array) {
    if (array)
        *array = (sw_array){0};
    if (!path || !array)
        return sw_fail(SW_ERR_ARGUMENT, "idx: the %s is NULL", path ? "array" : "path");
    reader r = {.path = path, .first_error = !sw_error()};
    sw_status status = read_contents(&r, array);
    close_reader(&r);
    if (status != SW_OK)
        sw_idx_free(array);
    return status;
}

void sw_idx_free(sw_array *array) {
    if (!array)
        return;
    sw_free(array->data);
    *array = (sw_array){0};
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
