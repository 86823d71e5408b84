/* Generated samples. */
#ifndef SWALE_GENERATORS_H
#define SWALE_GENERATORS_H

#include <swale/source.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Made once, in f64, by Philox and arithmetic of this library's own: the same bits on every machine.
 * Gathered in the batch's type, rounded. Options NULL, and every 0 in them, mean the default beside it.
 * Samples are independent of one another: sample i of 100 is sample i of 1000 where nothing else is said.
 * NULL after an error: an argument out of range, no memory. ε below is N(0, 1). */

/* Two half circles, the outer one of class 0 first: (cos t, sin t), then (1 - cos t, ½ - sin t), t at
 * equal steps over [0, π] for each, plus noise·ε on each coordinate: scikit-learn's
 * make_moons(shuffle=False). n/2 samples are of class 0, rounded down; t depends on n. */
typedef struct sw_moons_options {
    size_t size;  /* sizeof(sw_moons_options) */
    int64_t n;    /* 100 */
    double noise; /* standard deviation, ≥ 0; 0 is none */
    uint64_t seed;
} sw_moons_options;
SW_API sw_source *sw_moons(const sw_moons_options *options);

/* Arms of a spiral: sample i is of class c = i mod classes and the k-th of its n_c, k = i / classes, at
 * r (cos t, sin t) with r = (k + 1)/n_c and t = 2π (turns·r + c/classes), plus noise·ε. */
typedef struct sw_spirals_options {
    size_t size;  /* sizeof(sw_spirals_options) */
    int64_t n;    /* 300; at least `classes` */
    int classes;  /* 3; 2 or more */
    double turns; /* 1; within ±1000, negative: clockwise */
    double noise; /* standard deviation, ≥ 0; 0 is none */
    uint64_t seed;
} sw_spirals_options;
SW_API sw_source *sw_spirals(const sw_spirals_options *options);

/* Gaussian blobs: sample i is of class i mod classes, at its class's center plus spread·ε on each
 * coordinate; centers are uniform in [-box, box). */
typedef struct sw_blobs_options {
    size_t size;      /* sizeof(sw_blobs_options) */
    int64_t n;        /* 100 */
    int classes;      /* 3 */
    int64_t features; /* 2 */
    double spread;    /* 1; > 0 */
    double box;       /* 10; > 0 */
    uint64_t seed;
} sw_blobs_options;
SW_API sw_source *sw_blobs(const sw_blobs_options *options);
/* [classes, features]; NULL and an error for another source. The source's. */
SW_API const double *sw_blobs_centers(const sw_source *source);

/* y = ⟨w, x⟩ + bias + noise·ε with x ~ N(0, I) and w ~ N(0, I) by the seed; y_shape is {1}. */
typedef struct sw_linear_samples_options {
    size_t size;      /* sizeof(sw_linear_samples_options) */
    int64_t n;        /* 100 */
    int64_t features; /* 10 */
    double bias;      /* 0 */
    double noise;     /* standard deviation, ≥ 0; 0 is none */
    uint64_t seed;
} sw_linear_samples_options;
SW_API sw_source *sw_linear_samples(const sw_linear_samples_options *options);

/* The rows a_i and labels y_i, -1 or +1 as real numbers of shape {1}, of binary logistic regression,
 *   f(x) = μ/2 ‖x‖² + 1/m Σ log(1 + exp(-y_i ⟨a_i, x⟩)),
 * drawn from its own model: a ~ N(0, I), w ~ scale·N(0, I), P(y = 1 | a) = 1/(1 + exp(-⟨a, w⟩)). The
 * size is that of the lectures' figure. */
typedef struct sw_logistic_samples_options {
    size_t size;      /* sizeof(sw_logistic_samples_options) */
    int64_t n;        /* 200: m above */
    int64_t features; /* 10 */
    double scale;     /* 1; > 0: larger numbers, fewer surprises in y */
    uint64_t seed;
} sw_logistic_samples_options;
SW_API sw_source *sw_logistic_samples(const sw_logistic_samples_options *options);

/* w [features] of sw_linear_samples or sw_logistic_samples; NULL and an error for another source. The
 * source's. */
SW_API const double *sw_true_weights(const sw_source *source);

#ifdef __cplusplus
}
#endif
#endif
