/* Generated data sets. Random numbers come from Philox, as functions of a key and a counter. Sine, cosine, logarithm
 * and the logistic function are the polynomials of core, so that no bit depends on the libm. */
#include <swale/kernel.h>

#if SW_KERNEL_FIRST
typedef struct generators_args {
    const double *in, *in2;
    double *out, *out2;
} generators_args;
#endif

#if SW_KERNEL_PASS

/* Called only for f64; the f32 versions of these kernels are compiled but not used. */

/* out = cos in, out2 = sin in */
static void SW_K(circle)(void *args, int64_t begin, int64_t end, double *sums) {
    const generators_args *s = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        s->out[i] = (double)SW_K(sw_k_cos)((real)s->in[i]);
        s->out2[i] = (double)SW_K(sw_k_sin)((real)s->in[i]);
    }
}

/* Computes two independent numbers from N(0, 1) from two uniform numbers, in ∈ (0, 1] and in2 ∈ [0, 1) (Box, Muller
 * 1958). */
static void SW_K(normals)(void *args, int64_t begin, int64_t end, double *sums) {
    const generators_args *s = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real r = (real)sqrt(-2 * (double)SW_K(sw_k_log)((real)s->in[i]));
        const real angle = SW_R(6.283185307179586477) * (real)s->in2[i];
        s->out[i] = (double)(r * SW_K(sw_k_cos)(angle));
        s->out2[i] = (double)(r * SW_K(sw_k_sin)(angle));
    }
}

static void SW_K(logistic)(void *args, int64_t begin, int64_t end, double *sums) {
    const generators_args *s = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        s->out[i] = (double)SW_K(sw_k_sigmoid)((real)s->in[i]);
}

#else /* ---- once ---- */

#include <swale/generators.h>

#include "datasets/memory_source.h"

static const sw_kernels circle_kernels = SW_KERNEL_TABLE(circle);
static const sw_kernels normals_kernels = SW_KERNEL_TABLE(normals);
static const sw_kernels logistic_kernels = SW_KERNEL_TABLE(logistic);

static const double pi = 3.14159265358979323846;

static void generators_run(const sw_kernels *kernels, const double *in, const double *in2, double *out, double *out2,
                           int64_t n) {
    generators_args args = {in, in2, out, out2};
    (*kernels)[SW_F64][sw_cpu_level()](&args, 0, n, NULL);
}

/* ---- Random numbers: element i of a list is a function of the key and i ---- */

/* Two uniform numbers in [0, 1), 53 bits each: elements 2·pair and 2·pair + 1. */
static void generators_uniform_pair(uint64_t key, int64_t pair, double *a, double *b) {
    const uint32_t counter[4] = {(uint32_t)pair, (uint32_t)((uint64_t)pair >> 32), 0, 0};
    uint32_t w[4];
    sw_philox(key, counter, w);
    *a = (double)(((uint64_t)w[0] << 32 | w[1]) >> 11) * 0x1p-53;
    *b = (double)(((uint64_t)w[2] << 32 | w[3]) >> 11) * 0x1p-53;
}

static double generators_uniform(uint64_t key, int64_t i) {
    double a, b;
    generators_uniform_pair(key, i / 2, &a, &b);
    return i % 2 ? b : a;
}

/* out[i] += scale·ε_i for i in [0, n) */
static void generators_add_normals(uint64_t key, double scale, int64_t n, double *out) {
    enum { PAIRS = 256 };
    double u[PAIRS], v[PAIRS], e[2][PAIRS];
    for (int64_t first = 0; first < n; first += 2 * PAIRS) {
        for (int64_t i = 0; i < PAIRS; i++) {
            generators_uniform_pair(key, first / 2 + i, &u[i], &v[i]);
            u[i] = 1 - u[i];
        }
        generators_run(&normals_kernels, u, v, e[0], e[1], PAIRS);
        int64_t count = n - first < 2 * PAIRS ? n - first : 2 * PAIRS;
        for (int64_t i = 0; i < count; i++)
            out[first + i] += scale * e[i % 2][i / 2];
    }
}

/* ---- A source of numbers in memory ---- */

typedef enum kind { MOONS, SPIRALS, BLOBS, LINEAR, LOGISTIC } kind;

typedef struct generated {
    swd_memory_source stored; /* first, so that a pointer to the source is a pointer to the struct */
    kind kind;
    double *x;      /* [n, features]: x of the source */
    int32_t *label; /* [n]: class ids; NULL for real targets */
    double *target; /* [n, 1]: real targets; NULL for classes */
    double *hidden; /* centers [classes, features], or weights [features]; else NULL */
} generated;

static void generated_free(sw_source *source) {
    sw_free(((generated *)source)->hidden);
    swd_memory_source_free(source);
}

/* The source if it was generated and is of this kind; else NULL. */
static const generated *generated_by(const sw_source *source, kind which) {
    const generated *m = source && source->free == generated_free ? (const generated *)source : NULL;
    return m && m->kind == which ? m : NULL;
}

/* Makes a source of zeros. classes 0: real targets. hidden: the number of elements in `hidden`. */
static generated *generated_new(kind which, int64_t n, int64_t features, int classes, int64_t hidden) {
    if (features > INT64_MAX / 16 / n) {
        sw_fail(SW_ERR_MEMORY, "out of memory: %lld samples of %lld numbers", (long long)n, (long long)features);
        return NULL;
    }
    swd_memory_source *s = swd_memory_source_new(sizeof(generated));
    if (!s)
        return NULL;
    generated *m = (generated *)s;
    m->kind = which;
    s->source.free = generated_free;
    s->source.classes = classes;
    s->x = sw_array_new(SW_F64, SW_SHAPE(n, features));
    if (s->x.data)
        s->y = classes ? sw_array_new(SW_I32, SW_SHAPE(n)) : sw_array_new(SW_F64, SW_SHAPE(n, 1));
    if (s->y.data && hidden)
        m->hidden = sw_alloc_array_for(SW_ACCOUNT_DATA, hidden, sizeof *m->hidden);
    if (!s->y.data || (hidden && !m->hidden)) {
        generated_free(&s->source);
        return NULL;
    }
    swd_memory_source_finish(s);
    m->x = s->x.data;
    if (classes)
        m->label = s->y.data;
    else
        m->target = s->y.data;
    return m;
}

/* ---- Options ---- */

static sw_status generators_check_count(const char *who, const char *what, int64_t value, int64_t least) {
    return value >= least ? SW_OK
                          : sw_fail(SW_ERR_ARGUMENT, "%s: %s is %lld, and must be at least %lld", who, what,
                                    (long long)value, (long long)least);
}

/* `positive`: 0 is refused too. */
static sw_status generators_check_real(const char *who, const char *what, double value, bool positive) {
    bool fits = isfinite(value) && (positive ? value > 0 : value >= 0);
    return fits ? SW_OK
                : sw_fail(SW_ERR_ARGUMENT, "%s: %s is %g, and must be finite and %s", who, what, value,
                          positive ? "above 0" : "not negative");
}

#define COPY_OPTIONS(who, type, options, given) \
    if (given)                                  \
    SW_TRY(sw_options_copy(who, #type, options, sizeof *(options), given, sizeof *(options)))
#define DEFAULT(value, number) (value) = (value) == 0 ? (number) : (value)

/* ---- Two moons ---- */

static sw_status moons_options(sw_moons_options *o, const sw_moons_options *given) {
    COPY_OPTIONS("moons", sw_moons_options, o, given);
    DEFAULT(o->n, 100);
    SW_TRY(generators_check_count("moons", "n", o->n, 1));
    return generators_check_real("moons", "noise", o->noise, false);
}

/* One half circle of n points: x [n, 2] = (x0, y0) + sign (cos t, sin t). */
static void moons_half_circle(int64_t n, double x0, double y0, double sign, double *x) {
    const double step = n > 1 ? pi / (double)(n - 1) : 0;
    for (int64_t i = 0; i < n; i++) {
        double t = i > 0 && i == n - 1 ? pi : (double)i * step, cosine, sine;
        generators_run(&circle_kernels, &t, NULL, &cosine, &sine, 1);
        x[2 * i] = x0 + sign * cosine;
        x[2 * i + 1] = y0 + sign * sine;
    }
}

sw_source *sw_moons(const sw_moons_options *options) {
    sw_moons_options o = {0};
    if (moons_options(&o, options) != SW_OK)
        return NULL;
    generated *m = generated_new(MOONS, o.n, 2, 2, 0);
    if (!m)
        return NULL;
    const int64_t outer = o.n / 2;
    moons_half_circle(outer, 0, 0, 1, m->x);
    moons_half_circle(o.n - outer, 1, 0.5, -1, m->x + 2 * outer);
    for (int64_t i = outer; i < o.n; i++)
        m->label[i] = 1;
    if (o.noise > 0)
        generators_add_normals(sw_rng_key(o.seed, "moons noise"), o.noise, 2 * o.n, m->x);
    return &m->stored.source;
}

/* ---- Spirals ---- */

static sw_status spirals_options(sw_spirals_options *o, const sw_spirals_options *given) {
    COPY_OPTIONS("spirals", sw_spirals_options, o, given);
    DEFAULT(o->n, 300);
    DEFAULT(o->classes, 3);
    DEFAULT(o->turns, 1);
    SW_TRY(generators_check_count("spirals", "classes", o->classes, 2));
    SW_TRY(generators_check_count("spirals", "n", o->n, o->classes));
    if (!(o->turns >= -1000 && o->turns <= 1000))
        return sw_fail(SW_ERR_ARGUMENT, "spirals: turns is %g, outside -1000 to 1000", o->turns);
    return generators_check_real("spirals", "noise", o->noise, false);
}

sw_source *sw_spirals(const sw_spirals_options *options) {
    sw_spirals_options o = {0};
    if (spirals_options(&o, options) != SW_OK)
        return NULL;
    generated *m = generated_new(SPIRALS, o.n, 2, o.classes, 0);
    if (!m)
        return NULL;
    for (int64_t i = 0; i < o.n; i++) {
        const int64_t c = i % o.classes, k = i / o.classes;
        const int64_t members = (o.n - c + o.classes - 1) / o.classes; /* of class c */
        const double r = (double)(k + 1) / (double)members;
        const double t = 2 * pi * (o.turns * r + (double)c / o.classes);
        double cosine, sine;
        generators_run(&circle_kernels, &t, NULL, &cosine, &sine, 1);
        m->x[2 * i] = r * cosine;
        m->x[2 * i + 1] = r * sine;
        m->label[i] = (int32_t)c;
    }
    if (o.noise > 0)
        generators_add_normals(sw_rng_key(o.seed, "spirals noise"), o.noise, 2 * o.n, m->x);
    return &m->stored.source;
}

/* ---- Blobs ---- */

static sw_status blobs_options(sw_blobs_options *o, const sw_blobs_options *given) {
    COPY_OPTIONS("blobs", sw_blobs_options, o, given);
    DEFAULT(o->n, 100);
    DEFAULT(o->classes, 3);
    DEFAULT(o->features, 2);
    DEFAULT(o->spread, 1);
    DEFAULT(o->box, 10);
    SW_TRY(generators_check_count("blobs", "n", o->n, 1));
    SW_TRY(generators_check_count("blobs", "classes", o->classes, 1));
    SW_TRY(generators_check_count("blobs", "features", o->features, 1));
    SW_TRY(generators_check_real("blobs", "spread", o->spread, true));
    return generators_check_real("blobs", "box", o->box, true);
}

sw_source *sw_blobs(const sw_blobs_options *options) {
    sw_blobs_options o = {0};
    if (blobs_options(&o, options) != SW_OK)
        return NULL;
    const int64_t features = o.features;
    if (features > INT64_MAX / 16 / o.classes) {
        sw_fail(SW_ERR_MEMORY, "out of memory: %d centers of %lld numbers", o.classes, (long long)features);
        return NULL;
    }
    generated *m = generated_new(BLOBS, o.n, features, o.classes, o.classes * features);
    if (!m)
        return NULL;
    /* the key contains the old spelling, because another key would give other centers */
    const uint64_t key = sw_rng_key(o.seed, "blobs centres");
    for (int64_t i = 0; i < o.classes * features; i++)
        m->hidden[i] = o.box * (2 * generators_uniform(key, i) - 1);
    for (int64_t i = 0; i < o.n; i++) {
        m->label[i] = (int32_t)(i % o.classes);
        memcpy(m->x + i * features, m->hidden + m->label[i] * features, (size_t)features * sizeof *m->x);
    }
    generators_add_normals(sw_rng_key(o.seed, "blobs noise"), o.spread, o.n * features, m->x);
    return &m->stored.source;
}

const double *sw_blobs_centers(const sw_source *source) {
    const generated *m = generated_by(source, BLOBS);
    if (m)
        return m->hidden;
    sw_fail(SW_ERR_ARGUMENT, "blobs_centers: the source is %s", source ? "not of sw_blobs" : "NULL");
    return NULL;
}

/* ---- Linear and logistic regression ---- */

/* a_i ~ N(0, I), w ~ scale·N(0, I), target_i = ⟨w, a_i⟩ summed in the order of the features. */
static generated *linear_samples_new(kind which, const char *site, int64_t n, int64_t features, double scale,
                                     uint64_t seed) {
    generated *m = generated_new(which, n, features, 0, features);
    if (!m)
        return NULL;
    char name[64];
    snprintf(name, sizeof name, "%s x", site);
    generators_add_normals(sw_rng_key(seed, name), 1, n * features, m->x);
    snprintf(name, sizeof name, "%s weights", site);
    generators_add_normals(sw_rng_key(seed, name), scale, features, m->hidden);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < features; j++)
            m->target[i] += m->hidden[j] * m->x[i * features + j];
    return m;
}

static sw_status linear_samples_options(sw_linear_samples_options *o, const sw_linear_samples_options *given) {
    COPY_OPTIONS("linear_samples", sw_linear_samples_options, o, given);
    DEFAULT(o->n, 100);
    DEFAULT(o->features, 10);
    SW_TRY(generators_check_count("linear_samples", "n", o->n, 1));
    SW_TRY(generators_check_count("linear_samples", "features", o->features, 1));
    if (!isfinite(o->bias))
        return sw_fail(SW_ERR_ARGUMENT, "linear_samples: bias is %g, and must be finite", o->bias);
    return generators_check_real("linear_samples", "noise", o->noise, false);
}

sw_source *sw_linear_samples(const sw_linear_samples_options *options) {
    sw_linear_samples_options o = {0};
    if (linear_samples_options(&o, options) != SW_OK)
        return NULL;
    generated *m = linear_samples_new(LINEAR, "linear", o.n, o.features, 1, o.seed);
    if (!m)
        return NULL;
    for (int64_t i = 0; i < o.n; i++)
        m->target[i] += o.bias;
    if (o.noise > 0)
        generators_add_normals(sw_rng_key(o.seed, "linear noise"), o.noise, o.n, m->target);
    return &m->stored.source;
}

static sw_status logistic_samples_options(sw_logistic_samples_options *o, const sw_logistic_samples_options *given) {
    COPY_OPTIONS("logistic_samples", sw_logistic_samples_options, o, given);
    DEFAULT(o->n, 200);
    DEFAULT(o->features, 10);
    DEFAULT(o->scale, 1);
    SW_TRY(generators_check_count("logistic_samples", "n", o->n, 1));
    SW_TRY(generators_check_count("logistic_samples", "features", o->features, 1));
    return generators_check_real("logistic_samples", "scale", o->scale, true);
}

sw_source *sw_logistic_samples(const sw_logistic_samples_options *options) {
    sw_logistic_samples_options o = {0};
    if (logistic_samples_options(&o, options) != SW_OK)
        return NULL;
    generated *m = linear_samples_new(LOGISTIC, "logistic", o.n, o.features, o.scale, o.seed);
    if (!m)
        return NULL;
    const uint64_t key = sw_rng_key(o.seed, "logistic labels");
    for (int64_t i = 0; i < o.n; i++) {
        double p;
        generators_run(&logistic_kernels, &m->target[i], NULL, &p, NULL, 1);
        m->target[i] = generators_uniform(key, i) < p ? 1 : -1;
    }
    return &m->stored.source;
}

const double *sw_true_weights(const sw_source *source) {
    const generated *linear = generated_by(source, LINEAR), *m = linear ? linear : generated_by(source, LOGISTIC);
    if (m)
        return m->hidden;
    sw_fail(SW_ERR_ARGUMENT, "true_weights: %s",
            source ? "the source is neither of sw_linear_samples nor of sw_logistic_samples" : "the source is NULL");
    return NULL;
}

#endif
