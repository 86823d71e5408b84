/* Saves PNG files with stb_image_write.
 *
 * It uses the deflate of stb_image_write instead of zlib, so that the bytes do not depend on the version of zlib. It
 * runs within swd_stb_run, like the decoder. */
#include <swale/extend.h>

#include "datasets/pictures/picture.h"
#include "datasets/pictures/stb_memory.h"
#include "datasets/sample_size.h"

#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Weverything"
#else
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-variable"
#endif

#define STBIW_MALLOC(bytes) swd_stb_malloc((size_t)(bytes))
#define STBIW_REALLOC_SIZED(memory, old_bytes, bytes) swd_stb_realloc(memory, (size_t)(old_bytes), (size_t)(bytes))
#define STBIW_FREE(memory) swd_stb_free(memory)
#define STBIW_ASSERT(condition) swd_stb_assert(condition)
/* STBI_WRITE_NO_STDIO is not defined, because it would leave a declaration without a definition. */
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>

#if defined(__clang__)
#pragma clang diagnostic pop
#else
#pragma GCC diagnostic pop
#endif

/* ---- The picture ---- */

typedef struct encode_job {
    swd_picture *picture;
    const void *pixels;
    int channels;
    sw_status status;
} encode_job;

static void picture_encode(void *args) {
    encode_job *j = args;
    swd_picture *p = j->picture;
    int bytes = 0;
    p->data = stbi_write_png_to_mem(j->pixels, 0, (int)p->width, (int)p->height, j->channels, &bytes);
    swd_stb_assert(p->data != NULL);
    p->bytes = bytes;
    j->status = sw_file_write(p->path, p->data, (size_t)p->bytes);
}

static sw_status picture_check_array(const swd_picture *p, const sw_array *a) {
    const long long height = p->height, width = p->width;
    if (a->type != SW_U8 || a->rank < 2 || a->rank > 3 || (a->rank == 3 && (a->shape[2] < 1 || a->shape[2] > 4)))
        return swd_picture_fail(p, SW_ERR_SHAPE,
                                "a picture is u8 [height, width] or [height, width, 1 to 4 channels], "
                                "not %s %s%s",
                                sw_dtype_name(a->type), sw_shape_text(a->rank, a->shape),
                                swd_channels_first_hint(a->rank, a->shape));
    if (height < 1 || width < 1)
        return swd_picture_fail(p, SW_ERR_SHAPE, "%lldx%lld pixels: the picture is empty", width, height);
    if (height > SWD_PICTURE_SIDE || width > SWD_PICTURE_SIDE || height * width > SWD_PICTURE_PIXELS)
        return swd_picture_fail(p, SW_ERR_SHAPE,
                                "%lldx%lld pixels are too many: at most %d per side and %d in total are "
                                "written",
                                width, height, SWD_PICTURE_SIDE, SWD_PICTURE_PIXELS);
    return SW_OK;
}

sw_status sw_picture_save(const char *path, const sw_array *picture) {
    if (!path || !picture || !picture->data)
        return sw_fail(SW_ERR_ARGUMENT, "picture: the %s is NULL",
                       !path      ? "path"
                       : !picture ? "array"
                                  : "array's data");
    if (!*path)
        return sw_fail(SW_ERR_ARGUMENT, "picture: the path is empty");
    swd_picture p = {.path = path, .first_error = !sw_error()};
    if (picture->rank >= 2) {
        p.height = picture->shape[0];
        p.width = picture->shape[1];
    }
    SW_TRY(picture_check_array(&p, picture));
    encode_job job = {
        .picture = &p, .pixels = picture->data, .channels = picture->rank == 3 ? (int)picture->shape[2] : 1};
    swd_stb g;
    if (!swd_stb_run(&g, picture_encode, &job))
        return swd_picture_fail(&p, g.status, "%s", g.reason);
    return job.status;
}
