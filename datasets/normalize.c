/* Means and standard deviations of a source, and normalization of samples to mean 0 and standard deviation 1. */
#include <swale/kernel.h>

#if SW_KERNEL_FIRST
typedef struct normalize_args {
    void *x;                   /* [samples, width] */
    const void *mean, *factor; /* [width], in x's type */
    int64_t width;
} normalize_args;

typedef struct moments_args {
    const double *x;           /* [rows, width] */
    double *mean, *m2;         /* [width]; m2: the sum of squared differences from the mean */
    int64_t rows, width, seen; /* number of samples processed before */
} moments_args;
#endif

#if SW_KERNEL_PASS

static inline void SW_K(normalize_row)(real *restrict x, const real *restrict mean, const real *restrict factor,
                                       int64_t width) {
    for (int64_t i = 0; i < width; i++)
        x[i] = (x[i] - mean[i]) * factor[i];
}

static void SW_K(normalize_rows)(void *args, int64_t begin, int64_t end, double *sums) {
    const normalize_args *s = args;
    (void)sums;
    for (int64_t row = begin; row < end; row++)
        SW_K(normalize_row)((real *)s->x + row * s->width, s->mean, s->factor, s->width);
}

static inline void SW_K(moments_welford_row)(const double *restrict x, double *restrict mean, double *restrict m2,
                                             double inverse_count, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
        const double d = x[i] - mean[i];
        mean[i] += d * inverse_count;
        m2[i] += d * (x[i] - mean[i]);
    }
}

/* Columns [begin, end). Algorithm: B. P. Welford, Technometrics 4, 1962. The sums are f64 for every type `real`. */
static void SW_K(moments_welford)(void *args, int64_t begin, int64_t end, double *sums) {
    const moments_args *s = args;
    (void)sums;
    for (int64_t row = 0; row < s->rows; row++)
        SW_K(moments_welford_row)
    (s->x + row * s->width, s->mean, s->m2, 1 / (double)(s->seen + row + 1), begin, end);
}

#else /* ---- once ---- */

#include <swale/transforms.h>

#include "datasets/wrapped_source.h"

static const sw_kernels normalize_rows_kernels = SW_KERNEL_TABLE(normalize_rows);
static const sw_kernels moments_welford_kernels = SW_KERNEL_TABLE(moments_welford);

/* ---- Moments ---- */

static sw_status moments_check_axis(const char *who, const sw_source *source, sw_moments_axis which) {
    SW_TRY(swd_check_source(who, source));
    SW_TRY(swd_check_numbers(who, source));
    if (which != SW_PER_FEATURE && which != SW_PER_CHANNEL)
        return sw_fail(SW_ERR_ARGUMENT, "%s: %d is neither SW_PER_FEATURE nor SW_PER_CHANNEL", who, (int)which);
    if (swd_sample_count(source) < 1)
        return sw_fail(SW_ERR_SHAPE, "%s: a sample %s has no elements", who,
                       sw_shape_text(source->x_rank, source->x_shape));
    return which == SW_PER_CHANNEL ? swd_check_channels_last(who, source) : SW_OK;
}

/* Element i of a sample belongs to group i % groups: channels are last. */
static int64_t moments_groups(const sw_source *source, sw_moments_axis which) {
    if (which == SW_PER_FEATURE)
        return swd_sample_count(source);
    return source->x_rank >= 3 ? source->x_shape[source->x_rank - 1] : 1;
}

int64_t sw_moments_count(const sw_source *source, sw_moments_axis which) {
    return moments_check_axis("moments", source, which) == SW_OK ? moments_groups(source, which) : 0;
}

/* Computes mean and m2 [width] of each element of a sample. */
static sw_status moments_of_features(const sw_source *source, int64_t width, double *mean, double *m2) {
    /* the largest number of samples in a chunk, and about how many numbers it has */
    enum { MOST = 512, ABOUT = 1 << 17 };
    int64_t rows = ABOUT / width, ids[MOST];
    rows = rows < 8 ? 8 : rows > MOST ? MOST : rows;
    rows = rows > source->n ? source->n : rows;
    double *x = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, rows, (size_t)width * sizeof *x);
    if (!x)
        return SW_ERR_MEMORY;
    sw_status status = SW_OK;
    for (int64_t seen = 0; seen < source->n && status == SW_OK; seen += rows) {
        int64_t count = source->n - seen < rows ? source->n - seen : rows;
        for (int64_t i = 0; i < count; i++)
            ids[i] = seen + i;
        status = sw_source_gather(source, SW_F64, 0, ids, count, x, NULL);
        moments_args args = {x, mean, m2, count, width, seen};
        if (status == SW_OK)
            sw_kernel_run(&moments_welford_kernels, SW_F64, &args, width);
    }
    sw_free(x);
    return status;
}

sw_status sw_moments(const sw_source *source, sw_moments_axis which, double *mean, double *std) {
    SW_TRY(moments_check_axis("moments", source, which));
    if (!mean)
        return sw_fail(SW_ERR_ARGUMENT, "moments: mean is NULL");
    const int64_t width = swd_sample_count(source), groups = moments_groups(source, which), each = width / groups;
    double *means = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, 2, (size_t)width * sizeof *means);
    if (!means)
        return SW_ERR_MEMORY;
    double *m2 = means + width;
    sw_status status = moments_of_features(source, width, means, m2);
    for (int64_t g = 0; g < groups && status == SW_OK; g++) {
        double sum = 0, squares = 0;
        for (int64_t i = g; i < width; i += groups)
            sum += means[i];
        mean[g] = each > 1 ? sum / (double)each : sum;
        for (int64_t i = g; i < width; i += groups) {
            const double d = means[i] - mean[g];
            squares += m2[i] + (double)source->n * (d * d);
        }
        if (std)
            std[g] = sqrt(squares / ((double)source->n * (double)each));
    }
    sw_free(means);
    return status;
}

/* ---- The transform ---- */

typedef struct normalizer {
    swd_wrapped_source wrap; /* first, so that a pointer to the source is a pointer to the struct */
    int64_t width;
    double *f64; /* mean [width], then 1/std [width] */
    float *f32;  /* the same numbers, rounded to f32 */
} normalizer;

static sw_status normalizer_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw,
                                   sw_dtype type, void *x, void *y) {
    const normalizer *s = (const normalizer *)source;
    const sw_source *inner = s->wrap.inner;
    SW_TRY(inner->gather(inner, ids, count, draw, type, x, y));
    if (!x)
        return SW_OK;
    normalize_args args = {.x = x, .width = s->width};
    args.mean = type == SW_F32 ? (const void *)s->f32 : s->f64;
    args.factor = type == SW_F32 ? (const void *)(s->f32 + s->width) : s->f64 + s->width;
    normalize_rows_kernels[type][sw_cpu_level()](&args, 0, count, NULL);
    return SW_OK;
}

static void normalizer_free(sw_source *source) {
    normalizer *s = (normalizer *)source;
    swd_wrapped_source_release(&s->wrap);
    sw_free(s->f64);
    sw_free(s->f32);
    sw_free(s);
}

static sw_status normalizer_check_options(const sw_source *source, const sw_normalize_options *o) {
    SW_TRY(moments_check_axis("normalize", source, o->which));
    if (!o->mean != !o->std)
        return sw_fail(SW_ERR_ARGUMENT, "normalize: mean is given without std, or std without mean");
    if (o->mean && o->like)
        return sw_fail(SW_ERR_ARGUMENT, "normalize: both numbers and a source for them are given");
    if (!o->like)
        return SW_OK;
    SW_TRY(moments_check_axis("normalize: like", o->like, o->which));
    int64_t has = sw_moments_count(o->like, o->which), needs = sw_moments_count(source, o->which);
    return has == needs ? SW_OK
                        : sw_fail(SW_ERR_SHAPE, "normalize: like has %lld moments, samples %s have %lld",
                                  (long long)has, sw_shape_text(source->x_rank, source->x_shape), (long long)needs);
}

/* Fills s->f64 and s->f32 from mean and std [groups], with one pair for each element of a sample. */
static sw_status normalizer_set_moments(normalizer *s, int64_t groups, const double *mean, const double *std) {
    for (int64_t i = 0; i < s->width; i++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): there is at least one group */
        const double m = mean[i % groups], d = std[i % groups];
        if (!isfinite(m) || !(d >= 0) || !isfinite(d))
            return sw_fail(SW_ERR_ARGUMENT,
                           "normalize: mean[%lld] %g and std[%lld] %g must be finite, std not negative",
                           (long long)(i % groups), m, (long long)(i % groups), d);
        s->f64[i] = m;
        s->f64[s->width + i] = d > 0 ? 1 / d : 1;
        s->f32[i] = (float)m;
        s->f32[s->width + i] = (float)s->f64[s->width + i];
    }
    return SW_OK;
}

static sw_status normalizer_init(normalizer *s, const sw_normalize_options *o) {
    const sw_source *source = s->wrap.inner;
    const int64_t groups = sw_moments_count(source, o->which);
    s->width = swd_sample_count(source);
    s->f64 = sw_alloc_array_for(SW_ACCOUNT_DATA, 2, (size_t)s->width * sizeof *s->f64);
    s->f32 = sw_alloc_array_for(SW_ACCOUNT_DATA, 2, (size_t)s->width * sizeof *s->f32);
    if (!s->f64 || !s->f32)
        return SW_ERR_MEMORY;
    if (o->mean)
        return normalizer_set_moments(s, groups, o->mean, o->std);
    double *mean = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, 2, (size_t)groups * sizeof *mean);
    if (!mean)
        return SW_ERR_MEMORY;
    sw_status status = sw_moments(o->like ? o->like : source, o->which, mean, mean + groups);
    if (status == SW_OK)
        status = normalizer_set_moments(s, groups, mean, mean + groups);
    sw_free(mean);
    return status;
}

sw_source *sw_normalize(sw_source *source, const sw_normalize_options *options) {
    sw_normalize_options o = {0};
    if (options && sw_options_copy("normalize", "sw_normalize_options", &o, sizeof o, options, sizeof o) != SW_OK)
        return NULL;
    normalizer *s = normalizer_check_options(source, &o) == SW_OK ? sw_alloc_for(SW_ACCOUNT_DATA, sizeof *s) : NULL;
    if (!s) {
        swd_free_owned_source(source, o.owns_source);
        return NULL;
    }
    swd_wrapped_source_init(&s->wrap, source, o.owns_source);
    s->wrap.source.gather = normalizer_gather;
    s->wrap.source.free = normalizer_free;
    if (normalizer_init(s, &o) != SW_OK) {
        normalizer_free(&s->wrap.source);
        return NULL;
    }
    return &s->wrap.source;
}

#endif
