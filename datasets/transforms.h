/* Parts of a source, and transforms of its samples. */
#ifndef SWALE_TRANSFORMS_H
#define SWALE_TRANSFORMS_H

#include <swale/source.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Parts of a source ----------------------------------------------------------------------- */
/* Views: samples stay where they are. Parts keep the source alive (sw_source_free). With `owns_source` it belongs to
 * them: it is freed with the last part, and also if the call fails (but for a wrong options.size), so that
 * calls can be nested. */

typedef struct sw_wrap_options {
    size_t size; /* sizeof(sw_wrap_options) */
    bool owns_source;
} sw_wrap_options;
/* The samples ids[0..count), copied, in this order; an id may come twice. Sample i of the subset is
 * ids[i] of the source: an id out of range is an error that names it. count ≥ 1; options may be NULL. */
SW_API sw_source *sw_subset(sw_source *source, const int64_t *ids, int64_t count, const sw_wrap_options *options);
/* The first `count` samples, 1 to n. */
SW_API sw_source *sw_take(sw_source *source, int64_t count, const sw_wrap_options *options);

typedef struct sw_split_options {
    size_t size; /* sizeof(sw_split_options) */
    /* One of the two, `parts` numbers: shares > 0 that add up to 1 (to 1e-9), turned into counts by the
     * largest remainders; or counts ≥ 1 that add up to n. */
    const double *fractions;
    const int64_t *counts;
    uint64_t seed;
    /* Of every class, each part gets its share of it, give or take 1 sample (2 if there are more than two
     * parts); counts stay exact. Class ids are needed. */
    bool stratified;
    bool owns_source;
} sw_split_options;
/* Deals the shuffled samples out to `parts` sources: every sample to exactly one. Within a part the order
 * is random too. A part that would be empty is an error; after one all of out[] are NULL. */
SW_API sw_status sw_split_source(sw_source *source, int parts, const sw_split_options *options, sw_source **out);

/* ---- Transforms ------------------------------------------------------------------------------ */
/* They wrap a source as above, and change x as it is gathered; y and n stay. */

/* What shares one mean and one standard deviation: each number of a sample; or each channel, axis 0 of
 * samples [channels, height, width] (of a sample with other than three axes: all its numbers). */
typedef enum sw_moments_axis { SW_PER_FEATURE = 0, SW_PER_CHANNEL } sw_moments_axis;
/* How many means there are. */
SW_API int64_t sw_moments_count(const sw_source *source, sw_moments_axis which);
/* Mean and standard deviation (population: divided by the count) of x over all samples, in one pass in
 * f64 (Welford 1962; channels put together as in Chan, Golub, LeVeque 1983), as draw 0 has them.
 * [sw_moments_count] each; std may be NULL. */
SW_API sw_status sw_moments(const sw_source *source, sw_moments_axis which, double *mean, double *std);

/* x becomes (x - mean)/std, computed in the batch's type as (x - mean)·(1/std), both rounded to it
 * first. Where std is 0 (a number that never changes), it counts as 1. */
typedef struct sw_normalize_options {
    size_t size; /* sizeof(sw_normalize_options) */
    sw_moments_axis which;
    /* Both given, [sw_moments_count], copied; or both NULL: those of `like`, the training set, say. */
    const double *mean, *std;
    const sw_source *like; /* NULL: the source itself */
    bool owns_source;
} sw_normalize_options;
/* options NULL: each number of a sample by its own moments. */
SW_API sw_source *sw_normalize(sw_source *source, const sw_normalize_options *options);

/* Random crops and flips of pictures: `padding` zeros on each side, then a window of height × width at
 * a random place, all places equally likely (to 2^-32), then, with `flip`, left and right exchanged with
 * probability ½. All channels alike. A function of seed, sample id (in the wrapped source) and draw:
 * batch size and threads change nothing. */
typedef struct sw_augment_options {
    size_t size;           /* sizeof(sw_augment_options) */
    int64_t padding;       /* ≥ 0 */
    int64_t height, width; /* of the window; 0: the picture's own */
    bool flip;
    /* How a sample that is one vector is to be read: [channels, height, width], channels 0 meaning 1; the
     * result is one vector too. All 0 for samples [height, width] or [channels, height, width]. */
    int64_t from_channels, from_height, from_width;
    uint64_t seed;
    bool owns_source;
} sw_augment_options;
SW_API sw_source *sw_augment(sw_source *source, const sw_augment_options *options);

/* A function of one sample: x of the source as f64 → `out`, whose shape is that of the options. Called
 * from several threads for different samples; a function of in, id and draw alone. A status other than
 * SW_OK fails the batch. */
typedef sw_status (*sw_map_function)(void *user, int64_t id, uint64_t draw, const double *in, double *out);
typedef struct sw_map_options {
    size_t size;  /* sizeof(sw_map_options) */
    bool reshape; /* else the result has the source's shape, and the next two are not read */
    int rank;     /* 0 to 7 */
    int64_t shape[SW_MAX_RANK];
    bool owns_source;
} sw_map_options;
/* options NULL: the shape stays. */
SW_API sw_source *sw_map(sw_source *source, sw_map_function function, void *user, const sw_map_options *options);

#ifdef __cplusplus
}
#endif
#endif
