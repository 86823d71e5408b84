/* Sources of generated samples.
 *
 *     sw_source *moons = sw_moons(&SW_OPTIONS(sw_moons_options, .n = 1000, .noise = 0.1));
 *
 * The samples are computed once, in f64, with the library's random numbers and mathematical functions, so that they
 * have the same bits on every machine. Gathering rounds them to the type of the batch. Options NULL, and every option
 * that is 0, mean the default in the comment beside it. Samples are independent of one another: sample i of 100 equals
 * sample i of 1000 unless the comment states otherwise. A source is NULL after an error: an argument out of range, or
 * not enough memory. ε is a random number from N(0, 1).
 */
#ifndef SWALE_GENERATORS_H
#define SWALE_GENERATORS_H

#include <swale/source.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Classes in the plane ---- */

/* Options of sw_moons. */
typedef struct sw_moons_options {
    size_t size;  /* sizeof(sw_moons_options) */
    int64_t n;    /* 100 */
    double noise; /* standard deviation, ≥ 0; default 0: no noise */
    uint64_t seed;
} sw_moons_options;
/* Two half circles: the outer one, class 0, has the points (cos t, sin t), and the inner one, class 1, the points
 * (1 - cos t, ½ - sin t), with t at equal steps over [0, π] for each, plus noise·ε on each coordinate. This is
 * scikit-learn's make_moons(shuffle=False). The first n/2 samples, rounded down, are of class 0. t depends on n. */
SW_API sw_source *sw_moons(const sw_moons_options *options);

/* Options of sw_spirals. */
typedef struct sw_spirals_options {
    size_t size;  /* sizeof(sw_spirals_options) */
    int64_t n;    /* 300; at least `classes` */
    int classes;  /* 3; 2 or more */
    double turns; /* 1; within ±1000, negative: clockwise */
    double noise; /* standard deviation, ≥ 0; default 0: no noise */
    uint64_t seed;
} sw_spirals_options;
/* The arms of a spiral: sample i is of class c = i mod classes, and is number k = i / classes of the n_c samples of
 * this class. It is the point r (cos t, sin t) with r = (k + 1)/n_c and t = 2π (turns·r + c/classes), plus noise·ε on
 * each coordinate. It depends on n. */
SW_API sw_source *sw_spirals(const sw_spirals_options *options);

/* Options of sw_blobs. */
typedef struct sw_blobs_options {
    size_t size;      /* sizeof(sw_blobs_options) */
    int64_t n;        /* 100 */
    int classes;      /* 3 */
    int64_t features; /* 2 */
    double spread;    /* 1; > 0 */
    double box;       /* 10; > 0 */
    uint64_t seed;
} sw_blobs_options;
/* Gaussian blobs: sample i is of class i mod classes, at the center of its class plus spread·ε on each coordinate. The
 * centers are uniform in [-box, box). */
SW_API sw_source *sw_blobs(const sw_blobs_options *options);
/* The centers [classes, features] of a source from sw_blobs, which owns them; NULL and an error for another source. */
SW_API const double *sw_blobs_centers(const sw_source *source);

/* ---- Samples of linear models ---- */

/* Options of sw_linear_samples. */
typedef struct sw_linear_samples_options {
    size_t size;      /* sizeof(sw_linear_samples_options) */
    int64_t n;        /* 100 */
    int64_t features; /* 10 */
    double bias;      /* 0 */
    double noise;     /* standard deviation, ≥ 0; default 0: no noise */
    uint64_t seed;
} sw_linear_samples_options;
/* Linear regression: y = ⟨w, x⟩ + bias + noise·ε with x ~ N(0, I) and w ~ N(0, I); y has the shape {1}. */
SW_API sw_source *sw_linear_samples(const sw_linear_samples_options *options);

/* Options of sw_logistic_samples. */
typedef struct sw_logistic_samples_options {
    size_t size;      /* sizeof(sw_logistic_samples_options) */
    int64_t n;        /* 200: m in the formula below */
    int64_t features; /* 10 */
    double scale;     /* 1; > 0: the larger it is, the less random is y */
    uint64_t seed;
} sw_logistic_samples_options;
/* Binary logistic regression: the rows a_i and the labels y_i, -1 or +1 as numbers of shape {1}, of
 *     f(x) = μ/2 ‖x‖² + 1/m Σ log(1 + exp(-y_i ⟨a_i, x⟩)),
 * drawn from the model itself: a ~ N(0, I), w ~ scale·N(0, I), P(y = 1 | a) = 1/(1 + exp(-⟨a, w⟩)). The default size is
 * that of the figure in the lectures. */
SW_API sw_source *sw_logistic_samples(const sw_logistic_samples_options *options);

/* The weights w [features] of a source from sw_linear_samples or sw_logistic_samples, which owns them; NULL and an
 * error for another source. */
SW_API const double *sw_true_weights(const sw_source *source);

#ifdef __cplusplus
}
#endif
#endif
