/* Parts of a source, and transforms of its samples.
 *
 *     sw_source *part[2];
 *     sw_split_source(all, 2, &SW_OPTIONS(sw_split_options, .fractions = (double[]){0.9, 0.1}, .seed = 1), part);
 *     sw_source *train = sw_normalize(part[0], NULL);
 *
 * These functions make sources that read another source: they are wrappers, and do not copy samples. A wrapper keeps
 * the source alive (sw_source_free in source.h). With the option `owns_source` the wrapper takes over the source: it is
 * freed with the last wrapper, and also if the call fails (except for a wrong options.size), so that calls can be
 * nested.
 */
#ifndef SWALE_TRANSFORMS_H
#define SWALE_TRANSFORMS_H

#include <swale/source.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Parts of a source ----------------------------------------------------------------------- */

/* Options of sw_subset and sw_take. */
typedef struct sw_wrap_options {
    size_t size; /* sizeof(sw_wrap_options) */
    bool owns_source;
} sw_wrap_options;
/* Makes a source of the samples ids[0..count), in this order: sample i of the subset is sample ids[i] of the source.
 * The ids are copied. An id may occur more than once; an id out of range is an error that names it. count ≥ 1; options
 * may be NULL. */
SW_API sw_source *sw_subset(sw_source *source, const int64_t *ids, int64_t count, const sw_wrap_options *options);
/* Makes a source of the first `count` samples, 1 to n. */
SW_API sw_source *sw_take(sw_source *source, int64_t count, const sw_wrap_options *options);

/* Options of sw_split_source. */
typedef struct sw_split_options {
    size_t size; /* sizeof(sw_split_options) */
    /* `parts` numbers in one of the two: fractions > 0 that add up to 1 (within 1e-9), which are converted to counts by
     * the method of largest remainders; or counts ≥ 1 that add up to n. */
    const double *fractions;
    const int64_t *counts;
    uint64_t seed;
    /* Each part gets its fraction of every class, within 1 sample (2 samples if there are more than two parts); the
     * counts of the parts remain exact. The targets must be class ids. */
    bool stratified;
    bool owns_source;
} sw_split_options;
/* Divides the shuffled samples among `parts` sources, out[parts]: every sample is in exactly one. The order within a
 * part is random too. A part without samples is an error; after an error all of out[] are NULL. */
SW_API sw_status sw_split_source(sw_source *source, int parts, const sw_split_options *options, sw_source **out);

/* ---- Transforms ------------------------------------------------------------------------------ */
/* Transforms change x when it is gathered. y and n are those of the source. */

/* The numbers that share one mean and one standard deviation. SW_PER_FEATURE: each number of a sample has its own.
 * SW_PER_CHANNEL: those of each channel, the last axis of samples [height, width, channels] and of samples with more
 * axes; in samples with fewer axes, all numbers share one.
 *
 * Samples whose first axis has length 1 to 4 and whose other two axes have length 8 or more are refused (SW_ERR_SHAPE):
 * they almost certainly have their channels first, so that `mean` and `std` would be too short. */
typedef enum sw_moments_axis { SW_PER_FEATURE = 0, SW_PER_CHANNEL } sw_moments_axis;
/* The number of means: the numbers of a sample, or the channels. 0 and an error if the arguments are invalid. */
SW_API int64_t sw_moments_count(const sw_source *source, sw_moments_axis which);
/* Computes the mean and the standard deviation (of the population: divided by the count) of x over all samples, as
 * gathered with draw 0, in one pass in f64 (Welford 1962; the moments of a channel are combined as in Chan, Golub,
 * LeVeque 1983). mean and std have [sw_moments_count] elements; std may be NULL. */
SW_API sw_status sw_moments(const sw_source *source, sw_moments_axis which, double *mean, double *std);

/* Options of sw_normalize. */
typedef struct sw_normalize_options {
    size_t size; /* sizeof(sw_normalize_options) */
    sw_moments_axis which;
    /* Both are given, [sw_moments_count] elements, and copied; or both are NULL: the moments of `like`. */
    const double *mean, *std;
    const sw_source *like; /* the training set, for example; NULL: the source itself */
    bool owns_source;
} sw_normalize_options;
/* Makes a source whose x is (x - mean)/std. It is computed in the type of the batch as (x - mean)·(1/std), where mean
 * and 1/std are first rounded to this type. A std of 0 (a number that never changes) counts as 1. options NULL:
 * SW_PER_FEATURE with the moments of the source. */
SW_API sw_source *sw_normalize(sw_source *source, const sw_normalize_options *options);

/* Options of sw_augment. */
typedef struct sw_augment_options {
    size_t size;           /* sizeof(sw_augment_options) */
    int64_t padding;       /* zeros added on each side, ≥ 0; in samples of sw_normalize, 0 is the mean */
    int64_t height, width; /* of the window; 0: that of the picture */
    bool flip;             /* exchange left and right with probability ½ */
    /* For samples that are vectors: their shape as pictures [height, width, channels], where channels 0 means 1; the
     * result is a vector too. All 0 for samples [height, width] or [height, width, channels]. */
    int64_t from_channels, from_height, from_width;
    uint64_t seed;
    bool owns_source;
    /* The largest angle in degrees, 0 to 180: the picture is rotated about its center by an angle that is uniform in
     * [-rotation, rotation), with bilinear interpolation and zeros around the picture. */
    SW_ADDED double rotation;
    /* The side of a square of zeros, 0 (none) to the shorter side of the window. Its center is a random pixel, and
     * parts of it may lie outside of the window (DeVries, Taylor 2017). In samples of sw_normalize, 0 is the mean. */
    int64_t cutout;
    /* α, 0.001 to 1e6: each sample is mixed with another one, λ·x + (1 - λ)·x', and so are their targets (Zhang, Cisse,
     * Dauphin, Lopez-Paz, ICLR 2018). λ has the distribution Beta(α, α), and the other sample is uniform over all
     * samples. Class ids become distributions over the classes, y_shape {classes} in the type of the batch, which
     * sw_cross_entropy takes as targets, and `classes` of the new source is 0. The accuracy that sw_model_evaluate
     * computes for such a source is NaN; evaluate with a source without mixup. 0: no mixup; 0.2 is usual. */
    double mixup;
} sw_augment_options;
/* Makes a source of randomly changed pictures. In this order, it adds `padding` zeros on each side; rotates; takes a
 * window of height × width at a random position (all positions have equal probabilities, within 2^-32); with `flip`,
 * exchanges left and right with probability ½; cuts out a square; and mixes two such results. All channels are changed
 * in the same way. The result is a function of the seed, the sample id (in the wrapped source) and the draw; it does
 * not depend on batch size and threads. (Rotation and mixup: up to the rounding of the C library's sin, cos, log and
 * exp.) NULL after an error; samples that seem to have their channels first are refused as by SW_PER_CHANNEL. */
SW_API sw_source *sw_augment(sw_source *source, const sw_augment_options *options);

/* A function of one sample: computes `out`, in the shape of the options, from `in`, x of the source as f64. It is
 * called from several threads for different samples. The result must depend on in, id and draw only. If it returns a
 * status other than SW_OK, the batch fails. */
typedef sw_status (*sw_map_function)(void *user, int64_t id, uint64_t draw, const double *in, double *out);
/* Options of sw_map. */
typedef struct sw_map_options {
    size_t size;  /* sizeof(sw_map_options) */
    bool reshape; /* the result has the shape given below; else it has the shape of the source */
    int rank;     /* 0 to 7 */
    int64_t shape[SW_MAX_RANK];
    bool owns_source;
} sw_map_options;
/* Makes a source whose x is computed by a function. options NULL: the shape does not change. NULL after an error. */
SW_API sw_source *sw_map(sw_source *source, sw_map_function function, void *user, const sw_map_options *options);

#ifdef __cplusplus
}
#endif
#endif
