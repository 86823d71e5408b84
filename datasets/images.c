/* Pictures of two IDX files as a source of samples. They stay as stored, a byte a pixel: a quarter
 * of the memory traffic of f32, and normalised on the way into the batch. */
#define SW_KERNEL_FILE "images.c"
#include "kernel.h"

#ifndef IMAGES_ARGS
#define IMAGES_ARGS
typedef struct images_args {
    const unsigned char *pixels; /* [n, width] */
    const int64_t *ids;
    void *out; /* [ids, width] */
    int64_t width;
    double scale, shift;
} images_args;
#endif

#if SW_KERNEL_PASS

/* Rows [begin, end) of the batch. `restrict` through arguments: gcc vectorises the loop by it. */
static inline void SW_K(normalise_row)(const unsigned char *restrict pixel, real *restrict out,
                                       int64_t width, real scale, real shift) {
    for (int64_t i = 0; i < width; i++)
        out[i] = (real)pixel[i] * scale + shift;
}

static void SW_K(normalise)(void *args, int64_t begin, int64_t end, double *sums) {
    const images_args *s = args;
    const int64_t width = s->width;
    (void)sums;
    for (int64_t row = begin; row < end; row++)
        SW_K(normalise_row)
        (s->pixels + s->ids[row] * width, (real *)s->out + row * width, width, (real)s->scale,
         (real)s->shift);
}

#else /* ---- once ---- */

#include "internal.h"

static const sw_kernels normalise_kernels = SW_KERNEL_TABLE(normalise);

enum { CACHE_LINE = 64, MAX_CLASSES = 256 };

typedef struct images {
    sw_source source; /* first: a pointer to it is a pointer to the whole */
    sw_array pixels;  /* u8 [n, height, width] */
    sw_array labels;  /* u8 [n] */
    int64_t width;    /* pixels of a picture */
    double scale, shift;
} images;

static sw_status gather(const sw_source *source, const int64_t *ids, int64_t count, sw_dtype type,
                        void *x, void *y) {
    const images *s = (const images *)source;
    if (x) {
        images_args args = {.pixels = s->pixels.data,
                            .ids = ids,
                            .out = x,
                            .width = s->width,
                            .scale = s->scale,
                            .shift = s->shift};
        normalise_kernels[type][sw_cpu_level()](&args, 0, count, NULL);
    }
    if (y) {
        const unsigned char *label = s->labels.data;
        int32_t *out = y;
        for (int64_t i = 0; i < count; i++)
            out[i] = label[ids[i]];
    }
    return SW_OK;
}

/* Asks for the lines in the second-level cache (2): a batch would not outlast a step in the first.
 */
static void prefetch(const sw_source *source, const int64_t *ids, int64_t count) {
    const images *s = (const images *)source;
    const char *pixels = s->pixels.data, *labels = s->labels.data;
    for (int64_t i = 0; i < count; i++) {
        const char *row = pixels + ids[i] * s->width, *last = row + s->width - 1;
        for (const char *line = row; line < last; line += CACHE_LINE)
            __builtin_prefetch(line, 0, 2);
        __builtin_prefetch(last, 0, 2); /* rows begin anywhere in a line */
        __builtin_prefetch(labels + ids[i], 0, 2);
    }
}

static void free_images(sw_source *source) {
    images *s = (images *)source;
    sw_idx_free(&s->pixels);
    sw_idx_free(&s->labels);
    sw_free(s);
}

/* ---- Opening ---- */

static sw_status check_options(sw_images_options *o, const sw_images_options *given) {
    if (!given)
        return sw_fail(SW_ERR_ARGUMENT, "images: options are NULL, but `classes` is needed");
    SW_TRY(sw_take_options("images", "sw_images_options", o, sizeof *o, given, sizeof *o));
    if (o->classes < 1 || o->classes > MAX_CLASSES)
        return sw_fail(SW_ERR_ARGUMENT, "images: %d classes are outside 1 to %d", o->classes,
                       MAX_CLASSES);
    if (!isfinite(o->scale) || !isfinite(o->shift))
        return sw_fail(SW_ERR_ARGUMENT, "images: scale %g and shift %g must be finite", o->scale,
                       o->shift);
    if (o->scale == 0 && o->shift == 0)
        o->scale = 1.0 / 255;
    return SW_OK;
}

static sw_status check_pixels(const char *path, const sw_array *pixels, const int64_t *expected) {
    const int64_t *shape = pixels->shape;
    const char *text = sw_shape_text(pixels->rank, shape);
    if (pixels->rank != 3)
        return sw_fail(SW_ERR_FORMAT, "%.700s: shape %s is not [n, height, width]", path, text);
    if (expected && memcmp(shape, expected, 3 * sizeof *shape) != 0)
        return sw_fail(SW_ERR_FORMAT, "%.700s: shape %s, not %s", path, text,
                       sw_shape_text(3, expected));
    if (sw_array_count(pixels) == 0)
        return sw_fail(SW_ERR_FORMAT, "%.700s: shape %s holds no pixel", path, text);
    return SW_OK;
}

static sw_status check_labels(const char *path, const sw_array *labels, int64_t n, int classes) {
    if (labels->rank != 1)
        return sw_fail(SW_ERR_FORMAT, "%.700s: shape %s of labels is not [n]", path,
                       sw_shape_text(labels->rank, labels->shape));
    if (labels->shape[0] != n)
        return sw_fail(SW_ERR_FORMAT, "%.700s: %lld labels for %lld images", path,
                       (long long)labels->shape[0], (long long)n);
    const unsigned char *label = labels->data;
    for (int64_t i = 0; i < n; i++)
        if (label[i] >= classes)
            return sw_fail(SW_ERR_FORMAT, "%.700s: label %d of sample %lld is not below %d", path,
                           label[i], (long long)i, classes);
    return SW_OK;
}

/* Labels first: they are small, and a wrong file is found soon. */
static sw_status load(images *s, const char *images_path, const char *labels_path, int classes,
                      const int64_t *expected) {
    SW_TRY(sw_idx_read(labels_path, &s->labels));
    SW_TRY(sw_idx_read(images_path, &s->pixels));
    SW_TRY(check_pixels(images_path, &s->pixels, expected));
    return check_labels(labels_path, &s->labels, s->pixels.shape[0], classes);
}

sw_source *swd_images_open(const char *images_path, const char *labels_path,
                           const sw_images_options *options, const int64_t expected[3]) {
    sw_images_options o = {0};
    if (check_options(&o, options) != SW_OK)
        return NULL;
    images *s = sw_alloc(sizeof *s);
    if (!s)
        return NULL;
    s->source = (sw_source){.size = sizeof(sw_source),
                            .x_rank = 1,
                            .y_type = SW_I32,
                            .classes = o.classes,
                            .class_names = o.class_names,
                            .gather = gather,
                            .prefetch = prefetch,
                            .free = free_images};
    if (load(s, images_path, labels_path, o.classes, expected) != SW_OK) {
        free_images(&s->source);
        return NULL;
    }
    s->scale = o.scale;
    s->shift = o.shift;
    s->width = s->pixels.shape[1] * s->pixels.shape[2];
    s->source.n = s->pixels.shape[0];
    s->source.x_shape[0] = s->width;
    return &s->source;
}

sw_source *sw_idx_images(const char *images_path, const char *labels_path,
                         const sw_images_options *options) {
    return swd_images_open(images_path, labels_path, options, NULL);
}

#endif
