/* Loads PNG and JPEG files with stb_image. It receives only files that picture_check.c has accepted, and runs within
 * swd_stb_run. */
#define _POSIX_C_SOURCE 200809L /* read */
#include <swale/extend.h>

#include "datasets/pictures/picture_check.h"
#include "datasets/pictures/stb_memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Weverything"
#else
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#endif

#define STBI_MALLOC(bytes) swd_stb_malloc(bytes)
#define STBI_REALLOC_SIZED(memory, old_bytes, bytes) swd_stb_realloc(memory, old_bytes, bytes)
#define STBI_FREE(memory) swd_stb_free(memory)
#define STBI_ASSERT(condition) swd_stb_assert(condition)
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_GIF /* needed in addition to ONLY_PNG, which keeps the declaration for GIF */
#define STBI_MAX_DIMENSIONS SWD_PICTURE_SIDE
#define STBI_FAILURE_USERMSG
/* stb declares one function by the first name and defines it by the second. */
#define stbi_set_unpremultiply_on_load_thread stbi__unpremultiply_on_load_thread
/* Version 2.27 has an error in the horizontal interpolation of chroma: the next-to-last pixel of a row is mixed with
 * the wrong neighbor. The macro has arguments. Therefore it renames the function where stb defines it, but not where
 * stb takes its address: there stb gets the function below. */
static unsigned char *stbi__resample_row_h_2(unsigned char *out, unsigned char *in_near, unsigned char *in_far, int w,
                                             int hs);
#define stbi__resample_row_h_2(out, in_near, in_far, w, hs) picture_resample_of_stb(out, in_near, in_far, w, hs)
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#undef stbi__resample_row_h_2

/* Interpolates w samples to 2·w as libjpeg does: each pixel is ¾ of the sample in which it lies and ¼ of the nearest
 * other sample; the first and the last pixel have no other sample. Halves are rounded down for the left pixel of a
 * sample, and up for the right one. Rows of one or two samples are repeated. */
static unsigned char *stbi__resample_row_h_2(unsigned char *out, unsigned char *in_near, unsigned char *in_far, int w,
                                             int hs) {
    (void)in_far, (void)hs;
    for (int i = 0; i < w; i++) {
        const int near = in_near[i], left = w > 2 && i > 0 ? in_near[i - 1] : near,
                  right = w > 2 && i < w - 1 ? in_near[i + 1] : near;
        out[2 * i] = (unsigned char)((3 * near + left + 1) >> 2);
        out[2 * i + 1] = (unsigned char)((3 * near + right + 2) >> 2);
    }
    return out;
}

#if defined(__clang__)
#pragma clang diagnostic pop
#else
#pragma GCC diagnostic pop
#endif

/* ---- The file ---- */

static sw_status picture_read_open(swd_picture *p, int file) {
    if (p->bytes == 0)
        return swd_picture_fail(p, SW_ERR_FORMAT, "is empty");
    if (p->bytes > SWD_PICTURE_BYTES)
        return swd_picture_fail(p, SW_ERR_FORMAT, "%lld bytes are too many: at most %d are read", (long long)p->bytes,
                                SWD_PICTURE_BYTES);
    p->data = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, (size_t)p->bytes);
    if (!p->data)
        return swd_picture_fail(p, SW_ERR_MEMORY, "out of memory");
    for (int64_t at = 0; at < p->bytes;) {
        const ssize_t n = read(file, p->data + at, (size_t)(p->bytes - at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return swd_picture_fail(p, SW_ERR_IO, "cannot be read: %s", n < 0 ? strerror(errno) : "it became shorter");
        at += n;
    }
    return SW_OK;
}

static sw_status picture_read_file(swd_picture *p) {
    const int file = sw_file_open(p->path, &p->bytes);
    if (file < 0)
        return SW_ERR_IO;
    sw_status status = picture_read_open(p, file);
    close(file);
    return status;
}

static sw_status picture_check_contents(swd_picture *p) {
    static const unsigned char png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, jpeg[2] = {0xff, 0xd8};
    if (p->bytes >= 8 && memcmp(p->data, png, sizeof png) == 0)
        return swd_picture_check_png(p);
    if (p->bytes >= 2 && memcmp(p->data, jpeg, sizeof jpeg) == 0)
        return swd_picture_check_jpeg(p);
    const unsigned char second = p->bytes > 1 ? p->data[1] : 0;
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): a file that was read has data */
    if (p->bytes < 8 && memcmp(p->data, png, (size_t)p->bytes) == 0)
        return swd_picture_fail(p, SW_ERR_FORMAT, "truncated: ends within the signature of PNG");
    return swd_picture_fail(p, SW_ERR_FORMAT, "neither PNG (begins with 89 50) nor JPEG (ff d8): begins with %02x %02x",
                            p->data[0], second);
}

/* Extends a palette that is shorter than the number of colors a pixel can select, because stb would read beyond its
 * end. The additional colors are black. */
static sw_status picture_extend_palette(swd_picture *p) {
    const int64_t want = 3 * (int64_t)p->palette, more = want - p->palette_bytes;
    if (!p->palette_at || more <= 0)
        return SW_OK;
    unsigned char *longer = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, (size_t)(p->bytes + more));
    if (!longer)
        return swd_picture_fail(p, SW_ERR_MEMORY, "out of memory");
    const int64_t end = p->palette_at + 8 + p->palette_bytes; /* the end of the palette's data, whose CRC was checked */
    memcpy(longer, p->data, (size_t)end);
    memcpy(longer + end + more, p->data + end, (size_t)(p->bytes - end));
    longer[p->palette_at + 2] = (unsigned char)(want >> 8);
    longer[p->palette_at + 3] = (unsigned char)want;
    sw_free(p->data);
    p->data = longer;
    p->bytes += more;
    return SW_OK;
}

/* ---- Decoding ---- */

typedef struct decode_job {
    const swd_picture *picture;
    int want, width, height, channels;
    const char *reason;
    sw_array *out;
} decode_job;

static void picture_decode(void *args) {
    decode_job *j = args;
    const swd_picture *p = j->picture;
    if (stbi_info_from_memory(p->data, (int)p->bytes, &j->width, &j->height, &j->channels))
        /* if stb cannot read the header, decoding reports the reason */
        swd_stb_assert(j->width == p->width && j->height == p->height);
    stbi_uc *pixels = stbi_load_from_memory(p->data, (int)p->bytes, &j->width, &j->height, &j->channels, j->want);
    if (!pixels) {
        j->reason = stbi_failure_reason();
        return;
    }
    const int channels = j->want ? j->want : j->channels;
    *j->out = sw_array_new(SW_U8, SW_SHAPE(j->height, j->width, channels));
    if (!j->out->data)
        swd_stb_abort(SW_ERR_MEMORY, "out of memory");
    memcpy(j->out->data, pixels, (size_t)sw_array_count(j->out));
}

static sw_status picture_read(swd_picture *p, int channels, sw_array *out) {
    decode_job job = {.picture = p, .want = channels, .out = out};
    swd_stb g;
    SW_TRY(picture_read_file(p));
    SW_TRY(picture_check_contents(p));
    SW_TRY(picture_extend_palette(p));
    if (!swd_stb_run(&g, picture_decode, &job))
        return swd_picture_fail(p, g.status, "%s", g.reason);
    if (!out->data)
        return swd_picture_fail(p, SW_ERR_FORMAT, "damaged, or of a kind that is not read: %s",
                                job.reason ? job.reason : "no reason given");
    return SW_OK;
}

sw_status sw_picture_load(const char *path, int channels, sw_array *out) {
    if (out)
        *out = (sw_array){0};
    if (!path || !out)
        return sw_fail(SW_ERR_ARGUMENT, "picture: the %s is NULL", path ? "array" : "path");
    if (channels != 0 && channels != 1 && channels != 3)
        return sw_fail(SW_ERR_ARGUMENT, "picture: %d channels; 1 (gray), 3 (RGB) or 0 (as in the file) is needed",
                       channels);
    swd_picture p = {.path = path, .first_error = !sw_error()};
    sw_status status = picture_read(&p, channels, out);
    sw_free(p.data);
    if (status != SW_OK)
        sw_array_free(out);
    return status;
}
