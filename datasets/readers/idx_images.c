/* Pictures and labels of two IDX files as a source of samples. */
#include <swale/extend.h>

#include "datasets/class_labels.h"
#include "datasets/readers/idx_images.h"

#include <string.h>

enum { MAX_CLASSES = 256 };

static sw_status images_check_options(sw_images_options *o, const sw_images_options *given) {
    if (given)
        SW_TRY(
            sw_options_copy("images", "sw_images_options", o, sizeof *o, given, offsetof(sw_images_options, pictures)));
    if (o->classes < 0 || o->classes > MAX_CLASSES)
        return sw_fail(SW_ERR_ARGUMENT, "images: %d classes are outside 1 to %d", o->classes, MAX_CLASSES);
    if (o->class_names && o->classes == 0)
        return sw_fail(SW_ERR_ARGUMENT, "images: class_names need `classes`, their number");
    return swd_check_pixel_scale("images", &o->scale, &o->shift, 1.0 / 255);
}

static sw_status images_check_pixels(const char *path, const sw_array *pixels, const int64_t *expected) {
    const int64_t *shape = pixels->shape;
    const char *text = sw_shape_text(pixels->rank, shape);
    if (pixels->rank != 3)
        return sw_fail(SW_ERR_FORMAT, "%.700s: shape %s is not [n, height, width]", path, text);
    if (expected && memcmp(shape, expected, 3 * sizeof *shape) != 0)
        return sw_fail(SW_ERR_FORMAT, "%.700s: shape %s, not %s", path, text, sw_shape_text(3, expected));
    if (sw_array_count(pixels) == 0)
        return sw_fail(SW_ERR_FORMAT, "%.700s: shape %s has no pixels", path, text);
    return SW_OK;
}

static sw_status images_check_labels(const char *path, const sw_array *labels, int64_t n, int classes) {
    if (labels->rank != 1)
        return sw_fail(SW_ERR_FORMAT, "%.700s: shape %s of labels is not [n]", path,
                       sw_shape_text(labels->rank, labels->shape));
    if (labels->shape[0] != n)
        return sw_fail(SW_ERR_FORMAT, "%.700s: %lld labels for %lld images", path, (long long)labels->shape[0],
                       (long long)n);
    const unsigned char *label = labels->data;
    for (int64_t i = 0; classes > 0 && i < n; i++)
        if (label[i] >= classes)
            return sw_fail(SW_ERR_FORMAT, "%.700s: label %d of sample %lld is not below %d", path, label[i],
                           (long long)i, classes);
    return SW_OK;
}

/* The labels are read first: they are small, so that a wrong file is detected early. */
static sw_status images_load(swd_memory_source *s, const char *images_path, const char *labels_path, int classes,
                             const int64_t *expected) {
    SW_TRY(sw_idx_load(labels_path, &s->y));
    SW_TRY(sw_idx_load(images_path, &s->x));
    SW_TRY(images_check_pixels(images_path, &s->x, expected));
    return images_check_labels(labels_path, &s->y, s->x.shape[0], classes);
}

/* Replaces the labels by their class ids. */
static sw_status images_number_labels(swd_memory_source *s, const char *labels_path) {
    sw_array ids;
    SW_TRY(swd_class_ids_of_labels(labels_path, &s->y, s, &ids));
    sw_array_free(&s->y);
    s->y = ids;
    return SW_OK;
}

sw_source *swd_images_open(const char *images_path, const char *labels_path, const sw_images_options *options,
                           const int64_t expected[3]) {
    sw_images_options o = {0};
    if (images_check_options(&o, options) != SW_OK)
        return NULL;
    swd_memory_source *s = swd_memory_source_new(sizeof(swd_memory_source));
    if (!s)
        return NULL;
    s->source.classes = o.classes;
    s->source.class_names = o.class_names;
    if (images_load(s, images_path, labels_path, o.classes, expected) != SW_OK ||
        (o.classes == 0 && images_number_labels(s, labels_path) != SW_OK)) {
        sw_source_free(&s->source);
        return NULL;
    }
    s->scale = o.scale;
    s->shift = o.shift;
    if (o.pictures) {
        s->x.rank = 4; /* one channel */
        s->x.shape[3] = 1;
    } else {
        s->x.rank = 2; /* one vector for each picture */
        s->x.shape[1] *= s->x.shape[2];
    }
    swd_memory_source_finish(s);
    return &s->source;
}

sw_source *sw_idx_images(const char *images_path, const char *labels_path, const sw_images_options *options) {
    return swd_images_open(images_path, labels_path, options, NULL);
}
