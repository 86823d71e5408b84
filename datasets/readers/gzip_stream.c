/* Reads the bytes of a file in order, and inflates them if it is a gzip file. */
#define _POSIX_C_SOURCE 200809L /* fdopen */
#include <swale/extend.h>

#include "datasets/path_error.h"
#include "datasets/readers/gzip_stream.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

enum {
    BLOCK = 128 * 1024,   /* compressed bytes read at once */
    PIECE = 1 << 30,      /* zlib uses unsigned int for sizes */
    GZIP_WINDOW = 15 + 16 /* tells zlib to read a gzip member and to check its CRC and length */
};

sw_status swd_stream_fail(const swd_stream *s, sw_status status, const char *format, ...) {
    va_list list;
    va_start(list, format);
    status = swd_path_vfail(s->path, status, format, list);
    va_end(list);
    return status;
}

sw_status swd_stream_fail_memory(const swd_stream *s) {
    return swd_path_fail_memory(s->path, s->first_error);
}

static sw_status stream_fail_read(const swd_stream *s) {
    return swd_stream_fail(s, SW_ERR_IO, "cannot be read: %s", strerror(errno));
}

/* ---- Opening ---- */

static void *zlib_allocate(void *user, unsigned items, unsigned size) {
    (void)user;
    return sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, items, size);
}

static void zlib_release(void *user, void *memory) {
    (void)user;
    sw_free(memory);
}

static sw_status stream_begin_inflate(swd_stream *s) {
    s->block = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, BLOCK);
    if (!s->block)
        return swd_stream_fail_memory(s);
    s->z.zalloc = zlib_allocate;
    s->z.zfree = zlib_release;
    if (inflateInit2(&s->z, GZIP_WINDOW) != Z_OK)
        return swd_stream_fail_memory(s);
    s->inflating = true;
    return SW_OK;
}

sw_status swd_stream_open(swd_stream *s, const char *path) {
    *s = (swd_stream){.path = path, .members = s->members, .first_error = !sw_error()};
    const int file = sw_file_open(path, &s->file_size);
    if (file < 0)
        return SW_ERR_IO;
    s->file = fdopen(file, "rb");
    if (!s->file) {
        close(file);
        return swd_stream_fail_memory(s);
    }
    setvbuf(s->file, NULL, _IONBF, 0); /* reads use large blocks, so that a buffer would only add a copy */
    s->magic_size = fread(s->magic, 1, sizeof s->magic, s->file);
    if (ferror(s->file) || fseek(s->file, 0, SEEK_SET) != 0)
        return stream_fail_read(s);
    s->compressed = s->magic_size == 2 && s->magic[0] == 0x1f && s->magic[1] == 0x8b;
    return s->compressed ? stream_begin_inflate(s) : SW_OK;
}

void swd_stream_close(swd_stream *s) {
    if (s->inflating)
        inflateEnd(&s->z);
    sw_free(s->block);
    if (s->file)
        fclose(s->file);
}

/* ---- Reading ---- */

/* Reads more compressed bytes if all were used; z.avail_in stays 0 at the end of the file. */
static sw_status stream_refill(swd_stream *s) {
    if (s->z.avail_in == 0) {
        s->z.next_in = s->block;
        s->z.avail_in = (uInt)fread(s->block, 1, BLOCK, s->file);
    }
    return ferror(s->file) ? stream_fail_read(s) : SW_OK;
}

/* Calls inflate once, for at most `size` bytes; reads from the file if necessary. */
static sw_status stream_inflate(swd_stream *s, unsigned char *out, size_t size, size_t *made) {
    SW_TRY(stream_refill(s));
    if (s->z.avail_in == 0)
        return swd_stream_fail(s, SW_ERR_FORMAT, "truncated: the gzip data break off");
    uInt piece = size < PIECE ? (uInt)size : PIECE;
    s->z.next_out = out;
    s->z.avail_out = piece;
    int result = inflate(&s->z, Z_NO_FLUSH);
    *made = piece - s->z.avail_out;
    if (result == Z_MEM_ERROR)
        return swd_stream_fail_memory(s);
    s->ended = result == Z_STREAM_END;
    if (result != Z_OK && result != Z_STREAM_END)
        return swd_stream_fail(s, SW_ERR_FORMAT, "damaged gzip data: %s", s->z.msg ? s->z.msg : "no progress");
    return SW_OK;
}

/* Called after the end of a gzip member. Skips zeros, which pad a file to whole blocks on a tape or a disk. The data
 * after the zeros are in z.next_in; z.avail_in is 0 at the end of the file. */
static sw_status stream_skip_padding(swd_stream *s) {
    for (;;) {
        SW_TRY(stream_refill(s));
        if (s->z.avail_in == 0)
            return SW_OK;
        for (; s->z.avail_in > 0; s->z.avail_in--, s->z.next_in++)
            if (*s->z.next_in != 0)
                return SW_OK;
    }
}

/* Called after the end of a gzip member. Begins the next member if there is one. */
static sw_status stream_next_member(swd_stream *s) {
    SW_TRY(stream_skip_padding(s));
    if (s->z.avail_in > 0) {
        inflateReset(&s->z);
        s->ended = false;
    }
    return SW_OK;
}

sw_status swd_stream_read(swd_stream *s, void *out, size_t size, size_t *made) {
    unsigned char *p = out;
    *made = 0;
    if (!s->compressed) {
        *made = fread(p, 1, size, s->file);
        return ferror(s->file) ? stream_fail_read(s) : SW_OK;
    }
    while (*made < size) {
        if (s->ended && s->members)
            SW_TRY(stream_next_member(s));
        if (s->ended)
            break;
        size_t n = 0;
        SW_TRY(stream_inflate(s, p + *made, size - *made, &n));
        *made += n;
    }
    return SW_OK;
}

sw_status swd_stream_check_end(swd_stream *s) {
    unsigned char spare;
    for (size_t made = 0; !s->ended;) {
        SW_TRY(stream_inflate(s, &spare, 1, &made));
        if (made)
            return swd_stream_fail(s, SW_ERR_FORMAT, "trailing bytes: more contents than its header says");
    }
    SW_TRY(stream_skip_padding(s));
    if (s->z.avail_in > 0)
        return swd_stream_fail(s, SW_ERR_FORMAT, "trailing bytes after the gzip data");
    return SW_OK;
}
