/* Random crops, flips, rotations and cutouts of pictures, and mixtures of two of them. */
#include <swale/kernel.h>

#if SW_KERNEL_FIRST
/* out [rows, columns, channels] is the window of `in` [height, width, channels] whose upper left corner is (top, left),
 * in the picture rotated about its center, counterclockwise by the angle of this sine and cosine. The corner may be
 * negative, and the window may extend beyond the picture: there it is 0. */
typedef struct window_args {
    const void *in;
    void *out;
    int64_t height, width, channels, rows, columns, top, left;
    bool flip;
    double sine, cosine;
} window_args;
#endif

#if SW_KERNEL_PASS

/* Copies pixels in reverse order; the order of the channels does not change. */
static inline void SW_K(augment_reverse)(const real *restrict in, real *restrict out, int64_t pixels,
                                         int64_t channels) {
    for (int64_t j = 0; j < pixels; j++)
        for (int64_t c = 0; c < channels; c++)
            out[j * channels + c] = in[(pixels - 1 - j) * channels + c];
}

/* The constants 1 and 3 let the compiler vectorize the loops for gray and RGB pictures. */
static void SW_K(augment_reverse_row)(const real *in, real *out, int64_t pixels, int64_t channels) {
    if (channels == 1)
        SW_K(augment_reverse)(in, out, pixels, 1);
    else if (channels == 3)
        SW_K(augment_reverse)(in, out, pixels, 3);
    else
        SW_K(augment_reverse)(in, out, pixels, channels);
}

/* Rows [begin, end) of the output. */
static void SW_K(augment_window)(void *args, int64_t begin, int64_t end, double *sums) {
    const window_args *s = args;
    const int64_t columns = s->columns, channels = s->channels;
    /* columns [first, last) of the window, before the flip, lie in the picture */
    const int64_t first = s->left < 0 ? -s->left : 0;
    const int64_t last = s->width - s->left < columns ? s->width - s->left : columns;
    const int64_t before = s->flip ? columns - last : first; /* columns of zeros on the left */
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const int64_t y = s->top + i;
        real *out = (real *)s->out + i * columns * channels;
        if (y < 0 || y >= s->height || first >= last) {
            memset(out, 0, (size_t)(columns * channels) * sizeof *out);
            continue;
        }
        const int64_t pixels = last - first, copied = pixels * channels;
        const real *in = (const real *)s->in + (y * s->width + s->left + first) * channels;
        memset(out, 0, (size_t)(before * channels) * sizeof *out);
        out += before * channels;
        if (s->flip)
            SW_K(augment_reverse_row)(in, out, pixels, channels);
        else
            memcpy(out, in, (size_t)copied * sizeof *out);
        memset(out + copied, 0, (size_t)((columns - before - pixels) * channels) * sizeof *out);
    }
}

/* Adds weight·in[y][x] to a pixel; a pixel outside of the picture is 0. */
static inline void SW_K(augment_add_pixel)(const window_args *s, int64_t y, int64_t x, real weight, real *out) {
    if (y < 0 || y >= s->height || x < 0 || x >= s->width)
        return;
    const real *in = (const real *)s->in + (y * s->width + x) * s->channels;
    for (int64_t c = 0; c < s->channels; c++)
        out[c] += weight * in[c];
}

/* Rows [begin, end) of the output, by bilinear interpolation. */
static void SW_K(augment_rotated_window)(void *args, int64_t begin, int64_t end, double *sums) {
    const window_args *s = args;
    const real middle_x = (real)(s->width - 1) / 2, middle_y = (real)(s->height - 1) / 2, sine = (real)s->sine,
               cosine = (real)s->cosine;
    (void)sums;
    memset((real *)s->out + begin * s->columns * s->channels, 0,
           (size_t)((end - begin) * s->columns * s->channels) * sizeof(real));
    for (int64_t i = begin; i < end; i++) {
        real *out = (real *)s->out + i * s->columns * s->channels;
        const real down = (real)(s->top + i) - middle_y;
        for (int64_t j = 0; j < s->columns; j++, out += s->channels) {
            const real right = (real)(s->left + (s->flip ? s->columns - 1 - j : j)) - middle_x;
            const real x = middle_x + cosine * right - sine * down, y = middle_y + sine * right + cosine * down;
            const real floor_x = SW_R(floor)(x), floor_y = SW_R(floor)(y), to_right = x - floor_x,
                       to_down = y - floor_y;
            const int64_t column = (int64_t)floor_x, row = (int64_t)floor_y;
            SW_K(augment_add_pixel)(s, row, column, (1 - to_down) * (1 - to_right), out);
            SW_K(augment_add_pixel)(s, row, column + 1, (1 - to_down) * to_right, out);
            SW_K(augment_add_pixel)(s, row + 1, column, to_down * (1 - to_right), out);
            SW_K(augment_add_pixel)(s, row + 1, column + 1, to_down * to_right, out);
        }
    }
}

#else /* ---- once ---- */

#include <swale/transforms.h>

#include "datasets/mixup.h"

#include "datasets/scratch.h"
#include "datasets/wrapped_source.h"

static const sw_kernels augment_window_kernels = SW_KERNEL_TABLE(augment_window);
static const sw_kernels augment_rotated_window_kernels = SW_KERNEL_TABLE(augment_rotated_window);

static const double pi = 3.14159265358979323846;

typedef struct augmenter {
    swd_wrapped_source wrap; /* first, so that a pointer to the source is a pointer to the struct */
    swd_scratch *scratch;    /* of a sample, and for mixup of another result */
    int64_t height, width, channels, rows, columns, padding, cutout;
    bool flip;
    double rotation; /* the largest angle in degrees */
    swd_mixup mixup;
    uint64_t key, angle_key, cutout_key;
} augmenter;

/* A random integer from 0 to bound - 1 from 32 random bits. The probabilities are equal up to a relative error of
 * bound/2^32. */
static int64_t augment_below(uint32_t bits, int64_t bound) {
    return (int64_t)((uint64_t)bits * (uint64_t)bound >> 32);
}

static void augment_random_bits(uint64_t key, int64_t id, uint64_t draw, uint32_t bits[4]) {
    const uint32_t counter[4] = {(uint32_t)id, (uint32_t)((uint64_t)id >> 32), (uint32_t)draw, (uint32_t)(draw >> 32)};
    sw_philox(key, counter, bits);
}

static void augment_place_window(const augmenter *s, int64_t id, uint64_t draw, window_args *args) {
    uint32_t bits[4];
    augment_random_bits(s->key, id, draw, bits);
    args->top = augment_below(bits[0], s->height + 2 * s->padding - s->rows + 1) - s->padding;
    args->left = augment_below(bits[1], s->width + 2 * s->padding - s->columns + 1) - s->padding;
    args->flip = s->flip && (bits[2] & 1);
}

/* The angle is uniform in [-rotation, rotation). */
static void augment_rotate(const augmenter *s, int64_t id, uint64_t draw, window_args *args) {
    uint32_t bits[4];
    augment_random_bits(s->angle_key, id, draw, bits);
    const double angle = (2 * ((double)bits[0] * 0x1p-32) - 1) * s->rotation * (pi / 180);
    args->sine = sin(angle);
    args->cosine = cos(angle);
}

/* Clears a square whose center is a random pixel of the result. Parts of it may lie outside. */
static void augment_cut_out(const augmenter *s, int64_t id, uint64_t draw, size_t pixel, char *out) {
    uint32_t bits[4];
    augment_random_bits(s->cutout_key, id, draw, bits);
    const int64_t top = augment_below(bits[0], s->rows) - s->cutout / 2, bottom = top + s->cutout,
                  left = augment_below(bits[1], s->columns) - s->cutout / 2, right = left + s->cutout,
                  first = left < 0 ? 0 : left, end = right < s->columns ? right : s->columns;
    for (int64_t i = top < 0 ? 0 : top; i < bottom && i < s->rows; i++)
        memset(out + (size_t)(i * s->columns + first) * pixel, 0, (size_t)(end - first) * pixel);
}

static sw_status augment_sample(const augmenter *s, int64_t id, uint64_t draw, sw_dtype type, char *out,
                                void *picture) {
    const sw_source *inner = s->wrap.inner;
    window_args args = {.in = picture,
                        .out = out,
                        .height = s->height,
                        .width = s->width,
                        .channels = s->channels,
                        .rows = s->rows,
                        .columns = s->columns};
    SW_TRY(inner->gather(inner, &id, 1, draw, type, picture, NULL));
    augment_place_window(s, id, draw, &args);
    if (s->rotation > 0)
        augment_rotate(s, id, draw, &args);
    const sw_kernels *kernels = s->rotation > 0 ? &augment_rotated_window_kernels : &augment_window_kernels;
    (*kernels)[type][sw_cpu_level()](&args, 0, s->rows, NULL);
    if (s->cutout > 0)
        augment_cut_out(s, id, draw, (size_t)s->channels * sw_dtype_size(type), out);
    return SW_OK;
}

static sw_status augment_samples(const augmenter *s, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                                 char *x, char *scratch) {
    const int64_t bytes = swd_sample_bytes(&s->wrap.source, type);
    char *other = scratch + swd_sample_bytes(s->wrap.inner, SW_F64);
    for (int64_t i = 0; i < count; i++) {
        char *out = x + i * bytes;
        SW_TRY(augment_sample(s, ids[i], draw, type, out, scratch));
        if (s->mixup.alpha == 0)
            continue;
        const swd_mixture mix = swd_mixup_draw(&s->mixup, ids[i], draw);
        SW_TRY(augment_sample(s, mix.partner, draw, type, other, scratch));
        swd_mixup_combine(type, mix.weight, bytes / (int64_t)sw_dtype_size(type), out, other);
    }
    return SW_OK;
}

static sw_status augment_targets(const augmenter *s, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                                 char *y, char *scratch) {
    const int64_t bytes = swd_target_bytes(&s->wrap.source, type);
    for (int64_t i = 0; i < count; i++)
        SW_TRY(swd_mixup_target(&s->mixup, ids[i], draw, type, y + i * bytes, scratch));
    return SW_OK;
}

static sw_status augmenter_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw,
                                  sw_dtype type, void *x, void *y) {
    const augmenter *s = (const augmenter *)source;
    const sw_source *inner = s->wrap.inner;
    const bool mixed_y = y && s->mixup.alpha > 0;
    if (y && !mixed_y)
        SW_TRY(inner->gather(inner, ids, count, draw, type, NULL, y));
    if (!x && !mixed_y)
        return SW_OK;
    void *scratch = swd_scratch_take(s->scratch);
    if (!scratch)
        return SW_ERR_MEMORY;
    sw_status status = x ? augment_samples(s, ids, count, draw, type, x, scratch) : SW_OK;
    if (status == SW_OK && mixed_y)
        status = augment_targets(s, ids, count, draw, type, y, scratch);
    swd_scratch_release(s->scratch, scratch);
    return status;
}

static void augmenter_free(sw_source *source) {
    augmenter *s = (augmenter *)source;
    swd_wrapped_source_release(&s->wrap);
    if (s->scratch)
        swd_scratch_free(s->scratch);
    sw_free(s->scratch);
    sw_free(s);
}

/* Whether a vector of `count` numbers can be pictures of this height and width with some number of channels. */
static bool augment_divides(const augmenter *s, int64_t count) {
    return count > 0 && s->height >= 1 && s->width >= 1 && count % s->height == 0 && count / s->height % s->width == 0;
}

/* Sets the shape of a picture from the options, for samples that are vectors. */
static sw_status augment_set_shape(augmenter *s, const sw_source *source, const sw_augment_options *o) {
    const int64_t count = source->x_rank == 1 ? source->x_shape[0] : 0;
    s->height = o->from_height;
    s->width = o->from_width;
    s->channels = o->from_channels ? o->from_channels : 1;
    if (s->height < 1 || s->width < 1 || s->channels < 1 || s->channels > count ||
        s->height > count || /* therefore no product overflows */
        s->channels * s->height > count || s->width > count / (s->channels * s->height) ||
        s->channels * s->height * s->width != count)
        return sw_fail(SW_ERR_SHAPE, "augment: a sample %s cannot be read as [%lld,%lld,%lld]%s",
                       sw_shape_text(source->x_rank, source->x_shape), (long long)s->height, (long long)s->width,
                       (long long)s->channels,
                       source->x_rank != 1                              ? "; from_height and from_width are for vectors"
                       : !o->from_channels && augment_divides(s, count) ? " (set from_channels?)"
                                                                        : "");
    return SW_OK;
}

/* Sets the shape of a picture from the options or from the source. */
static sw_status augment_read_shape(augmenter *s, const sw_source *source, const sw_augment_options *o) {
    const int rank = source->x_rank;
    const int64_t *shape = source->x_shape;
    if (o->from_channels || o->from_height || o->from_width)
        return augment_set_shape(s, source, o);
    if (rank != 2 && rank != 3)
        return sw_fail(SW_ERR_SHAPE,
                       "augment: a sample %s is neither [height, width] nor [height, width, channels]; for "
                       "a vector set from_height and from_width",
                       sw_shape_text(rank, shape));
    SW_TRY(swd_check_channels_last("augment", source));
    s->height = shape[0];
    s->width = shape[1];
    s->channels = rank == 3 ? shape[2] : 1;
    if (s->channels < 1 || s->height < 1 || s->width < 1)
        return sw_fail(SW_ERR_SHAPE, "augment: a sample %s has no elements", sw_shape_text(rank, shape));
    return SW_OK;
}

static sw_status augment_set_window(augmenter *s, const sw_augment_options *o) {
    const int64_t most = INT32_MAX;
    s->rows = o->height ? o->height : s->height;
    s->columns = o->width ? o->width : s->width;
    s->padding = o->padding;
    if (o->padding < 0 || o->padding > most / 4 || s->height > most / 4 || s->width > most / 4)
        return sw_fail(SW_ERR_ARGUMENT,
                       "augment: a padding of %lld around [%lld,%lld]; 0 to %lld is needed, and sides of at most %lld",
                       (long long)o->padding, (long long)s->height, (long long)s->width, (long long)most / 4,
                       (long long)most / 4);
    if (s->rows < 1 || s->columns < 1 || s->rows > s->height + 2 * o->padding || s->columns > s->width + 2 * o->padding)
        return sw_fail(SW_ERR_SHAPE, "augment: a window [%lld,%lld] in a picture [%lld,%lld] padded by %lld",
                       (long long)s->rows, (long long)s->columns, (long long)s->height, (long long)s->width,
                       (long long)o->padding);
    if (s->channels > INT64_MAX / 16 / s->rows / s->columns)
        return sw_fail(SW_ERR_SHAPE, "augment: a window [%lld,%lld,%lld] has too many numbers", (long long)s->rows,
                       (long long)s->columns, (long long)s->channels);
    sw_source *out = &s->wrap.source;
    if (out->x_rank == 1) {
        out->x_shape[0] = s->channels * s->rows * s->columns;
    } else {
        out->x_shape[0] = s->rows;
        out->x_shape[1] = s->columns;
    }
    return SW_OK;
}

static sw_status augment_set_changes(augmenter *s, const sw_source *source, const sw_augment_options *o) {
    const int64_t shorter = s->rows < s->columns ? s->rows : s->columns;
    if (!(o->rotation >= 0 && o->rotation <= 180))
        return sw_fail(SW_ERR_ARGUMENT, "augment: a rotation by up to %g degrees; 0 to 180 are possible", o->rotation);
    if (o->cutout < 0 || o->cutout > shorter)
        return sw_fail(SW_ERR_ARGUMENT, "augment: a cutout of %lld pixels; 0 to %lld, the shorter side, are possible",
                       (long long)o->cutout, (long long)shorter);
    if (o->mixup != 0 && !(o->mixup >= 1e-3 && o->mixup <= 1e6)) /* with tiny numbers both gammas would be 0 */
        return sw_fail(SW_ERR_ARGUMENT, "augment: mixup with α = %g; 0 (none) or 0.001 to 1e6 is needed", o->mixup);
    s->flip = o->flip;
    s->rotation = o->rotation;
    s->cutout = o->cutout;
    s->key = sw_rng_key(o->seed, "augment");
    s->angle_key = sw_rng_key(o->seed, "augment rotation");
    s->cutout_key = sw_rng_key(o->seed, "augment cutout");
    s->mixup = (swd_mixup){.alpha = o->mixup, .key = sw_rng_key(o->seed, "augment mixup"), .inner = source};
    return o->mixup > 0 ? swd_mixup_set_targets(&s->wrap.source) : SW_OK;
}

static sw_status augment_init(augmenter *s, const sw_source *source, const sw_augment_options *o) {
    SW_TRY(augment_read_shape(s, source, o));
    SW_TRY(augment_set_window(s, o));
    SW_TRY(augment_set_changes(s, source, o));
    int64_t bytes = swd_sample_bytes(source, SW_F64);
    if (s->mixup.alpha > 0)
        bytes += swd_sample_bytes(&s->wrap.source, SW_F64) + swd_target_bytes(source, SW_F64);
    s->scratch = sw_alloc_for(SW_ACCOUNT_DATA, sizeof *s->scratch);
    return s->scratch ? swd_scratch_init(s->scratch, (size_t)bytes) : SW_ERR_MEMORY;
}

sw_source *sw_augment(sw_source *source, const sw_augment_options *options) {
    sw_augment_options o = {0};
    if (options && sw_options_copy("augment", "sw_augment_options", &o, sizeof o, options,
                                   offsetof(sw_augment_options, rotation)) != SW_OK)
        return NULL;
    const bool good = swd_check_source("augment", source) == SW_OK && swd_check_numbers("augment", source) == SW_OK;
    augmenter *s = good ? sw_alloc_for(SW_ACCOUNT_DATA, sizeof *s) : NULL;
    if (!s) {
        swd_free_owned_source(source, o.owns_source);
        return NULL;
    }
    swd_wrapped_source_init(&s->wrap, source, o.owns_source);
    s->wrap.source.gather = augmenter_gather;
    s->wrap.source.fixed = false;
    s->wrap.source.free = augmenter_free;
    s->wrap.source.costly = true;
    if (augment_init(s, source, &o) != SW_OK) {
        augmenter_free(&s->wrap.source);
        return NULL;
    }
    return &s->wrap.source;
}

#endif
