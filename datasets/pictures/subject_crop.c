/* Cuts out the subject of a picture and centers it like the pictures of Fashion-MNIST. */
#include <swale/extend.h>

#include "datasets/pictures/picture.h"
#include "datasets/pictures/resize.h"

#include <stdlib.h>
#include <string.h>

enum { EVEN = 13 /* largest difference from the background: 5 % of 255 */ };

/* Converts to gray. Transparent pixels are white. Luma as in sw_picture_load. */
static void subject_to_gray(const sw_array *picture, unsigned char *gray) {
    const int channels = picture->rank == 3 ? (int)picture->shape[2] : 1;
    const int64_t count = picture->shape[0] * picture->shape[1];
    const unsigned char *p = picture->data;
    for (int64_t i = 0; i < count; i++, p += channels) {
        int value = channels < 3 ? p[0] : (77 * p[0] + 150 * p[1] + 29 * p[2]) >> 8;
        int alpha = channels % 2 ? 255 : p[channels - 1];
        gray[i] = (unsigned char)((value * alpha + 255 * (255 - alpha) + 127) / 255);
    }
}

static int subject_median(const int64_t histogram[256], int64_t count) {
    int64_t below = 0;
    int value = 0;
    while ((below += histogram[value]) <= count / 2)
        value++;
    return value;
}

static int subject_background(const unsigned char *x, int64_t height, int64_t width) {
    int64_t histogram[256] = {0}, count = 0;
    for (int64_t i = 0; i < height; i++) {
        bool edge = i == 0 || i == height - 1;
        int64_t step = edge || width < 3 ? 1 : width - 1;
        for (int64_t j = 0; j < width; j += step, count++)
            histogram[x[i * width + j]]++;
    }
    return subject_median(histogram, count);
}

typedef struct box {
    int64_t top, bottom, left, right; /* bottom and right are exclusive */
} box;

/* Whether a row or a column of pixels contains a part of the subject: more than one pixel in 200 differs from the
 * background, which is more than the noise of a photograph causes. */
static bool subject_is_in_line(const unsigned char *x, int64_t count, int64_t step, int ground) {
    int64_t other = 0;
    for (int64_t i = 0; i < count; i++)
        other += abs(x[i * step] - ground) > EVEN;
    return other > count / 200;
}

static box subject_box(const unsigned char *x, int64_t height, int64_t width, int ground) {
    box b = {0, height, 0, width};
    while (b.top < height && !subject_is_in_line(x + b.top * width, width, 1, ground))
        b.top++;
    while (b.bottom > b.top && !subject_is_in_line(x + (b.bottom - 1) * width, width, 1, ground))
        b.bottom--;
    while (b.left < width && !subject_is_in_line(x + b.left, height, width, ground))
        b.left++;
    while (b.right > b.left && !subject_is_in_line(x + b.right - 1, height, width, ground))
        b.right--;
    return b;
}

/* Copies the box, scaled so that the background is 0 and the extreme that is farther from it, black or white, is
 * 255. */
static void subject_extract(const unsigned char *x, int64_t width, const box *b, int ground, unsigned char *to) {
    const int range = ground > 127 ? ground : 255 - ground;
    for (int64_t i = b->top; i < b->bottom; i++)
        for (int64_t j = b->left; j < b->right; j++) {
            int far = ground > 127 ? ground - x[i * width + j] : x[i * width + j] - ground;
            *to++ = (unsigned char)(far <= 0 ? 0 : (far * 255 + range / 2) / range);
        }
}

static int64_t subject_side(int64_t length, int64_t longest, int64_t side) {
    int64_t n = (2 * length * side + longest) / (2 * longest);
    return n < 1 ? 1 : n;
}

/* Resizes the subject and puts it into the center of zeros [side, side]. */
static sw_status subject_center(const sw_array *subject, int64_t side, sw_array *result) {
    int64_t h = subject->shape[0], w = subject->shape[1], longest = h > w ? h : w;
    int64_t height = subject_side(h, longest, side), width = subject_side(w, longest, side);
    sw_array small;
    SW_TRY(sw_picture_resize(subject, height, width, &small));
    const unsigned char *from = small.data;
    unsigned char *to = result->data;
    to += (side - height) / 2 * side + (side - width) / 2;
    for (int64_t i = 0; i < height; i++)
        /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): the arrays were checked, or were allocated above */
        memcpy(to + i * side, from + i * width, (size_t)width);
    sw_array_free(&small);
    return SW_OK;
}

static sw_status subject_crop(const unsigned char *x, int64_t height, int64_t width, int64_t side, sw_array *result) {
    const int ground = subject_background(x, height, width);
    const box b = subject_box(x, height, width, ground);
    if (b.bottom == b.top || b.right == b.left)
        return sw_fail(SW_ERR_FORMAT, "picture_subject: there is nothing on the background (brightness %d)", ground);
    sw_array subject = sw_array_new(SW_U8, SW_SHAPE(b.bottom - b.top, b.right - b.left));
    if (!subject.data)
        return SW_ERR_MEMORY;
    subject_extract(x, width, &b, ground, subject.data);
    sw_status status = subject_center(&subject, side, result);
    sw_array_free(&subject);
    return status;
}

sw_status sw_picture_subject(const sw_array *picture, int64_t side, sw_array *out) {
    if (!out)
        return sw_fail(SW_ERR_ARGUMENT, "picture_subject: the array for the result is NULL");
    *out = (sw_array){0};
    SW_TRY(swd_picture_check_pixels("picture_subject", picture));
    SW_TRY(swd_picture_check_side("picture_subject", side));
    sw_array gray = sw_array_new(SW_U8, 2, picture->shape), result = sw_array_new(SW_U8, SW_SHAPE(side, side));
    sw_status status = gray.data && result.data ? SW_OK : SW_ERR_MEMORY;
    if (status == SW_OK) {
        subject_to_gray(picture, gray.data);
        status = subject_crop(gray.data, picture->shape[0], picture->shape[1], side, &result);
    }
    sw_array_free(&gray);
    if (status == SW_OK)
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the arrays were checked, or were allocated above */
        *out = result;
    else
        sw_array_free(&result);
    return status;
}
