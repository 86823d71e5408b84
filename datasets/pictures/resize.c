/* Resizes pictures with stb_image_resize, which runs within swd_stb_run. */
#include <swale/extend.h>

#include "datasets/pictures/picture.h"
#include "datasets/pictures/resize.h"
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
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#endif

#define STBIR_MALLOC(bytes, context) ((void)(context), swd_stb_malloc(bytes))
#define STBIR_FREE(memory, context) ((void)(context), swd_stb_free(memory))
#define STBIR_ASSERT(condition) swd_stb_assert(condition)
#define STB_IMAGE_RESIZE_STATIC
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#include <stb/stb_image_resize.h>

#if defined(__clang__)
#pragma clang diagnostic pop
#else
#pragma GCC diagnostic pop
#endif

typedef struct resize_job {
    const sw_array *in;
    int width, height;
    unsigned char *out;
    bool done;
} resize_job;

static void resize_run(void *args) {
    resize_job *j = args;
    const int64_t *shape = j->in->shape;
    j->done =
        stbir_resize_uint8(j->in->data, (int)shape[1], (int)shape[0], 0, j->out, j->width, j->height, 0, (int)shape[2]);
}

/* stb uses int for the size of its buffers of rows. One input row or one output row involves at most 4 h/height + 8
 * rows of the output, because the support of the filters of Mitchell and Catmull-Rom is 2 on either side. */
static bool resize_fits(const sw_array *in, int64_t height, int64_t width) {
    const int64_t rows = 4 * (in->shape[0] / height + 1) + 8, columns = 4 * (in->shape[1] / width + 1) + 8;
    const int64_t row_bytes = (width + in->shape[1] + 2 * columns) * in->shape[2] * (int64_t)sizeof(float);
    return rows * row_bytes < SWD_STB_MEMORY / 2;
}

sw_status swd_picture_resize(const char *path, const sw_array *in, int64_t height, int64_t width, unsigned char *out) {
    const swd_picture p = {.path = path, .first_error = !sw_error()};
    resize_job job = {.in = in, .width = (int)width, .height = (int)height, .out = out};
    swd_stb g;
    if (!resize_fits(in, height, width))
        return swd_picture_fail(&p, SW_ERR_FORMAT, "%lldx%lld pixels cannot be resized to %lldx%lld",
                                (long long)in->shape[1], (long long)in->shape[0], (long long)width, (long long)height);
    if (!swd_stb_run(&g, resize_run, &job))
        return swd_picture_fail(&p, g.status, "%s", g.reason);
    return job.done ? SW_OK : swd_picture_fail(&p, SW_ERR_FORMAT, "cannot be resized");
}

/* ---- Arrays ---- */

sw_status swd_picture_check_pixels(const char *what, const sw_array *picture) {
    if (!picture || !picture->data)
        return sw_fail(SW_ERR_ARGUMENT, "%s: the picture has no data", what);
    if (picture->type != SW_U8 || (picture->rank != 2 && picture->rank != 3) ||
        (picture->rank == 3 && (picture->shape[2] < 1 || picture->shape[2] > 4)))
        return sw_fail(SW_ERR_SHAPE, "%s: u8 [height, width, 1 to 4 channels] is needed, not %s %s%s", what,
                       sw_dtype_name(picture->type), sw_shape_text(picture->rank, picture->shape),
                       swd_channels_first_hint(picture->rank, picture->shape));
    for (int i = 0; i < 2; i++)
        if (picture->shape[i] < 1 || picture->shape[i] > SWD_PICTURE_SIDE)
            return sw_fail(SW_ERR_SHAPE, "%s: %lld pixels per side; 1 to %d are possible", what,
                           (long long)picture->shape[i], SWD_PICTURE_SIDE);
    return SW_OK;
}

sw_status swd_picture_check_side(const char *what, int64_t side) {
    return side >= 1 && side <= SWD_PICTURE_SIDE
               ? SW_OK
               : sw_fail(SW_ERR_ARGUMENT, "%s: %lld pixels per side; 1 to %d are possible", what, (long long)side,
                         SWD_PICTURE_SIDE);
}

sw_status sw_picture_resize(const sw_array *picture, int64_t height, int64_t width, sw_array *out) {
    if (!out)
        return sw_fail(SW_ERR_ARGUMENT, "picture_resize: the array for the result is NULL");
    *out = (sw_array){0};
    SW_TRY(swd_picture_check_pixels("picture_resize", picture));
    SW_TRY(swd_picture_check_side("picture_resize", height));
    SW_TRY(swd_picture_check_side("picture_resize", width));
    const sw_array in =
        sw_array_view(picture->data, SW_U8,
                      SW_SHAPE(picture->shape[0], picture->shape[1], picture->rank == 3 ? picture->shape[2] : 1));
    int64_t shape[3] = {height, width, in.shape[2]};
    sw_array result = sw_array_new(SW_U8, picture->rank, shape);
    if (!result.data)
        return sw_last_failure();
    sw_status status = swd_picture_resize("picture_resize", &in, height, width, result.data);
    if (status == SW_OK)
        *out = result;
    else
        sw_array_free(&result);
    return status;
}
