/* Generated data: against the formulas with the arithmetic of the C library, moments within five standard errors, and
 * the same bits for every level, type, batch size and number of threads. */
#include "helpers.h"

#include <unistd.h>

/* x [n, features] and y [n] of a whole source, as f64. */
typedef struct whole {
    int64_t n, features;
    double *x, *y;
} whole;

static whole all_of(const sw_source *source) {
    if (!source)
        fail_msg("%s", sw_error());
    whole w = {.n = source->n, .features = source->x_shape[0]};
    int64_t *ids = malloc((size_t)w.n * sizeof *ids);
    int32_t *label = malloc((size_t)w.n * sizeof *label);
    w.x = malloc((size_t)(w.n * w.features) * sizeof *w.x);
    w.y = malloc((size_t)w.n * sizeof *w.y);
    for (int64_t i = 0; i < w.n; i++)
        ids[i] = i;
    const bool classes = source->y_type == SW_I32;
    assert_int_equal(source->x_rank, 1);
    assert_int_equal(source->y_rank, classes ? 0 : 1);
    assert_true(classes || source->y_shape[0] == 1);
    assert_int_equal(sw_source_gather(source, SW_F64, 0, ids, w.n, w.x, classes ? (void *)label : w.y), SW_OK);
    for (int64_t i = 0; i < w.n && classes; i++)
        w.y[i] = label[i];
    free(ids);
    free(label);
    return w;
}

static void free_whole(whole *w) {
    free(w->x);
    free(w->y);
}

/* n numbers that ought to be N(0, 1): mean, variance, share beyond ±1, each within five standard
 * errors: 1/√n, √(2/n), √(p(1-p)/n) with p = P(|ε| > 1) = 0.31731. */
static void check_normal(int64_t n, const double *e) {
    double mean = 0, square = 0, beyond = 0;
    const double p = 0.31731050786291410, root = sqrt((double)n);
    for (int64_t i = 0; i < n; i++) {
        mean += e[i] / (double)n;
        square += e[i] * e[i] / (double)n;
        beyond += (fabs(e[i]) > 1) / (double)n;
    }
    assert_true(fabs(mean) < 5 / root);
    assert_true(fabs(square - 1) < 5 * sqrt(2.0) / root);
    assert_true(fabs(beyond - p) < 5 * sqrt(p * (1 - p)) / root);
    double follows = 0; /* neighbors are independent: the product has variance 1 */
    for (int64_t i = 0; i + 1 < n; i++)
        follows += e[i] * e[i + 1] / (double)n;
    assert_true(fabs(follows) < 5 / root);
}

/* ---- Two moons ---- */

/* scikit-learn 1.2, make_moons(n_samples, shuffle=False, noise=None). Our sine and cosine and libm's are
 * each off by at most 1.5 units of 2^-53, the differences 1 - cos and ½ - sin round once more to 2^-53:
 * 2^-51 is above the sum. */
static void test_moons_agree_with_scikit_learn(void **state) {
    static const int64_t sizes[] = {1, 2, 3, 4, 7, 100, 1001};
    (void)state;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const int64_t n = sizes[k], outer = n / 2, inner = n - outer;
        const sw_moons_options options = {.size = sizeof options, .n = n, .seed = 3};
        sw_source *source = sw_moons(&options);
        assert_int_equal(source->classes, 2);
        whole w = all_of(source);
        assert_int_equal(w.n, n);
        assert_int_equal(w.features, 2);
        for (int64_t i = 0; i < n; i++) {
            const bool first = i < outer;
            const int64_t at = first ? i : i - outer, of = first ? outer : inner;
            const double t = of > 1 ? M_PI * (double)at / (double)(of - 1) : 0;
            const double x = first ? cos(t) : 1 - cos(t), y = first ? sin(t) : 1 - sin(t) - 0.5;
            /* t itself: at·(π/(of-1)) there, π·at/(of-1) here: two roundings of at most 4·2^-53 each */
            assert_true(fabs(w.x[2 * i] - x) <= 0x1p-51 + 0x1p-50);
            assert_true(fabs(w.x[2 * i + 1] - y) <= 0x1p-51 + 0x1p-50);
            assert_true(w.y[i] == (first ? 0 : 1));
        }
        free_whole(&w);
        sw_source_free(source);
    }
}

/* What noise adds to the same points without it, divided by its scale. */
static void check_noise(sw_source *noisy, sw_source *clean, double scale) {
    whole a = all_of(noisy), b = all_of(clean);
    double *e = malloc((size_t)(a.n * a.features) * sizeof *e);
    assert_int_equal(a.n, b.n);
    for (int64_t i = 0; i < a.n * a.features; i++)
        e[i] = (a.x[i] - b.x[i]) / scale;
    check_normal(a.n * a.features, e);
    free(e);
    free_whole(&a);
    free_whole(&b);
    sw_source_free(noisy);
    sw_source_free(clean);
}

static void test_noise_is_normal(void **state) {
    (void)state;
    sw_moons_options moons = {.size = sizeof moons, .n = 20000, .seed = 5};
    sw_source *clean = sw_moons(&moons);
    moons.noise = 0.25;
    check_noise(sw_moons(&moons), clean, 0.25);
    sw_spirals_options spirals = {.size = sizeof spirals, .n = 20001, .classes = 4, .seed = 5};
    clean = sw_spirals(&spirals);
    spirals.noise = 0.03;
    check_noise(sw_spirals(&spirals), clean, 0.03);
}

/* ---- Spirals ---- */

static void test_spirals_have_their_radius_and_angle(void **state) {
    (void)state;
    static const struct {
        int64_t n;
        int classes;
        double turns;
    } cases[] = {{300, 3, 1}, {7, 3, 2.5}, {50, 2, -0.75}, {4, 4, 1}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const sw_spirals_options o = {
            .size = sizeof o, .n = cases[k].n, .classes = cases[k].classes, .turns = cases[k].turns};
        sw_source *source = sw_spirals(&o);
        whole w = all_of(source);
        int64_t members[8] = {0};
        for (int64_t i = 0; i < w.n; i++)
            members[(int)w.y[i]]++;
        for (int64_t i = 0; i < w.n; i++) {
            const int64_t c = i % o.classes;
            assert_true(w.y[i] == (double)c);
            const double r = (double)(i / o.classes + 1) / (double)members[c];
            const double t = 2 * M_PI * (o.turns * r + (double)c / o.classes);
            /* |t| < 2^5: its rounding moves the point by 2^-48 at most */
            assert_true(fabs(w.x[2 * i] - r * cos(t)) < 0x1p-47);
            assert_true(fabs(w.x[2 * i + 1] - r * sin(t)) < 0x1p-47);
        }
        free_whole(&w);
        sw_source_free(source);
    }
}

/* ---- Blobs ---- */

static void test_blobs_lie_around_their_centers(void **state) {
    (void)state;
    const sw_blobs_options o = {
        .size = sizeof o, .n = 30001, .classes = 4, .features = 3, .spread = 2, .box = 7, .seed = 11};
    sw_source *source = sw_blobs(&o);
    const double *center = sw_blobs_centers(source);
    whole w = all_of(source);
    int64_t members[4] = {0};
    double *e = malloc((size_t)(w.n * 3) * sizeof *e);
    assert_int_equal(source->classes, 4);
    for (int i = 0; i < 12; i++) {
        assert_true(center[i] >= -7 && center[i] < 7);
        for (int j = 0; j < i; j++)
            assert_true(center[i] != center[j]);
    }
    for (int64_t i = 0; i < w.n; i++) {
        assert_true(w.y[i] == (double)(i % 4));
        members[i % 4]++;
        for (int j = 0; j < 3; j++)
            e[i * 3 + j] = (w.x[i * 3 + j] - center[i % 4 * 3 + j]) / 2;
    }
    check_normal(w.n * 3, e);
    assert_int_equal(members[0], 7501);
    assert_int_equal(members[3], 7500);
    free(e);
    free_whole(&w);
    sw_source_free(source);
}

enum { SOLVE = 8 };

/* A x = b for a symmetric positive definite A [n, n] by elimination; x in b. */
static void solve(int n, double a[SOLVE][SOLVE], double b[SOLVE]) {
    for (int k = 0; k < n; k++)
        for (int i = k + 1; i < n; i++) {
            const double f = a[i][k] / a[k][k];
            for (int j = k; j < n; j++)
                a[i][j] -= f * a[k][j];
            b[i] -= f * b[k];
        }
    for (int k = n - 1; k >= 0; k--) {
        for (int j = k + 1; j < n; j++)
            b[k] -= a[k][j] * b[j];
        b[k] /= a[k][k];
    }
}

/* Least squares of y [n] on x [n, features] and a constant: features + 1 coefficients. */
static void least_squares(const whole *w, const double *y, double out[SOLVE]) {
    double a[SOLVE][SOLVE] = {{0}};
    const int m = (int)w->features + 1;
    memset(out, 0, SOLVE * sizeof *out);
    for (int64_t i = 0; i < w->n; i++) {
        double row[SOLVE];
        memcpy(row, w->x + i * w->features, (size_t)w->features * sizeof *row);
        row[m - 1] = 1;
        for (int j = 0; j < m; j++) {
            for (int k = 0; k < m; k++)
                a[j][k] += row[j] * row[k];
            out[j] += row[j] * y[i];
        }
    }
    solve(m, a, out);
}

/* Two blobs of equal size whose centers are at least 20 spreads apart: the least-squares plane for
 * targets ±1 runs through the middle, across the line of the centers (Fisher's discriminant), 10 standard
 * deviations from either. 400 samples: not one is on the wrong side. */
static void test_wide_blobs_are_separated_by_a_plane(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        const sw_blobs_options o = {
            .size = sizeof o, .n = 400, .classes = 2, .features = 5, .spread = 0.05, .seed = seed};
        sw_source *source = sw_blobs(&o);
        const double *c = sw_blobs_centers(source);
        double square = 0, plane[SOLVE];
        for (int j = 0; j < 5; j++)
            square += (c[j] - c[5 + j]) * (c[j] - c[5 + j]);
        assert_true(sqrt(square) > 20 * o.spread);
        whole w = all_of(source);
        for (int64_t i = 0; i < w.n; i++)
            w.y[i] = 2 * w.y[i] - 1;
        least_squares(&w, w.y, plane);
        for (int64_t i = 0; i < w.n; i++) {
            double z = plane[5];
            for (int j = 0; j < 5; j++)
                z += plane[j] * w.x[i * 5 + j];
            assert_true(z * w.y[i] > 0);
        }
        free_whole(&w);
        sw_source_free(source);
    }
}

/* ---- Linear and logistic regression ---- */

static void test_linear_samples_follow_their_weights(void **state) {
    (void)state;
    sw_linear_samples_options o = {.size = sizeof o, .n = 5000, .features = 4, .bias = -1.5, .seed = 2};
    sw_source *clean = sw_linear_samples(&o);
    o.noise = 0.5;
    sw_source *noisy = sw_linear_samples(&o);
    const double *v = sw_true_weights(noisy);
    whole a = all_of(clean), b = all_of(noisy);
    double *e = malloc((size_t)a.n * sizeof *e), fit[SOLVE];
    assert_memory_equal(v, sw_true_weights(clean), 4 * sizeof *v);
    assert_memory_equal(a.x, b.x, (size_t)(a.n * 4) * sizeof *a.x);
    check_normal(a.n * 4, a.x);
    for (int64_t i = 0; i < a.n; i++) {
        double y = 0;
        for (int j = 0; j < 4; j++)
            y += v[j] * a.x[i * 4 + j];
        assert_true(a.y[i] == y - 1.5); /* the same operations in the same order */
        e[i] = (b.y[i] - a.y[i]) / 0.5;
    }
    check_normal(a.n, e);
    /* (XᵀX)⁻¹ is about I/n: each coefficient has standard error 0.5/√n. */
    least_squares(&b, b.y, fit);
    for (int j = 0; j < 5; j++)
        assert_true(fabs(fit[j] - (j < 4 ? v[j] : -1.5)) < 5 * 0.5 / sqrt((double)a.n) * 1.1);
    free(e);
    free_whole(&a);
    free_whole(&b);
    sw_source_free(clean);
    sw_source_free(noisy);
}

/* Sums of y01 - σ and of t (y01 - σ), t = ⟨a, w⟩, have mean 0 and variances Σ σ(1-σ), Σ t² σ(1-σ). */
static void test_logistic_labels_have_their_probabilities(void **state) {
    (void)state;
    for (int k = 0; k < 3; k++) {
        const sw_logistic_samples_options o = {.size = sizeof o,
                                               .n = 20000,
                                               .features = 5,
                                               .scale = k == 0   ? 0
                                                        : k == 1 ? 0.3
                                                                 : 4,
                                               .seed = 8};
        sw_source *source = sw_logistic_samples(&o);
        const double *v = sw_true_weights(source);
        whole w = all_of(source);
        double sum = 0, slope = 0, variance = 0, slope_variance = 0;
        int64_t positive = 0;
        check_normal(w.n * 5, w.x);
        for (int64_t i = 0; i < w.n; i++) {
            double t = 0;
            for (int j = 0; j < 5; j++)
                t += v[j] * w.x[i * 5 + j];
            const double p = 1 / (1 + exp(-t));
            assert_true(w.y[i] == 1 || w.y[i] == -1);
            positive += w.y[i] == 1;
            sum += (w.y[i] == 1) - p;
            slope += t * ((w.y[i] == 1) - p);
            variance += p * (1 - p);
            slope_variance += t * t * p * (1 - p);
        }
        assert_true(positive > w.n / 4 && positive < 3 * w.n / 4);
        assert_true(fabs(sum) < 5 * sqrt(variance));
        assert_true(fabs(slope) < 5 * sqrt(slope_variance));
        free_whole(&w);
        sw_source_free(source);
    }
}

static void test_defaults_are_those_of_the_header(void **state) {
    (void)state;
    sw_source *source[] = {sw_moons(NULL), sw_spirals(NULL), sw_blobs(NULL), sw_linear_samples(NULL),
                           sw_logistic_samples(NULL)};
    static const int64_t n[] = {100, 300, 100, 100, 200}, features[] = {2, 2, 2, 10, 10};
    static const int classes[] = {2, 3, 3, 0, 0};
    for (int i = 0; i < 5; i++) {
        assert_non_null(source[i]);
        assert_int_equal(source[i]->n, n[i]);
        assert_int_equal(source[i]->x_shape[0], features[i]);
        assert_int_equal(source[i]->classes, classes[i]);
        assert_false(source[i]->costly);
        sw_source_free(source[i]);
    }
}

/* ---- The same numbers everywhere ---- */

enum { KINDS = 5 };
static sw_source *make(int kind, int64_t n, uint64_t seed) {
    const sw_moons_options moons = {.size = sizeof moons, .n = n, .noise = 0.1, .seed = seed};
    const sw_spirals_options spirals = {.size = sizeof spirals, .n = n, .noise = 0.1, .seed = seed};
    const sw_blobs_options blobs = {.size = sizeof blobs, .n = n, .seed = seed};
    const sw_linear_samples_options linear = {.size = sizeof linear, .n = n, .noise = 0.1, .seed = seed};
    const sw_logistic_samples_options logistic = {.size = sizeof logistic, .n = n, .seed = seed};
    switch (kind) {
    case 0: return sw_moons(&moons);
    case 1: return sw_spirals(&spirals);
    case 2: return sw_blobs(&blobs);
    case 3: return sw_linear_samples(&linear);
    default: return sw_logistic_samples(&logistic);
    }
}

static void test_longer_source_begins_with_the_shorter_one(void **state) {
    (void)state;
    for (int kind = 2; kind < KINDS; kind++) {
        sw_source *s[2] = {make(kind, 37, 4), make(kind, 1000, 4)};
        whole a = all_of(s[0]), b = all_of(s[1]);
        assert_memory_equal(a.x, b.x, (size_t)(a.n * a.features) * sizeof *a.x);
        assert_memory_equal(a.y, b.y, (size_t)a.n * sizeof *a.y);
        free_whole(&a);
        free_whole(&b);
        sw_source_free(s[0]);
        sw_source_free(s[1]);
    }
}

static void test_seed_decides_the_samples(void **state) {
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        sw_source *s[3] = {make(kind, 50, 4), make(kind, 50, 4), make(kind, 50, 5)};
        whole w[3];
        for (int i = 0; i < 3; i++)
            w[i] = all_of(s[i]);
        const size_t size = (size_t)(w[0].n * w[0].features) * sizeof *w[0].x;
        assert_memory_equal(w[0].x, w[1].x, size);
        for (size_t i = 0; i < size / sizeof *w[0].x; i++)
            assert_true(w[0].x[i] != w[2].x[i]);
        for (int i = 0; i < 3; i++) {
            free_whole(&w[i]);
            sw_source_free(s[i]);
        }
    }
}

static void test_types_threads_and_batches_see_the_same_samples(void **state) {
    (void)state;
    const int before = sw_threads();
    for (int kind = 0; kind < KINDS; kind++) {
        sw_source *source = make(kind, 103, 9);
        whole w = all_of(source);
        for (int threads = 1; threads <= 4; threads++)
            for (int64_t batch = 1; batch <= 103; batch += 17) {
                assert_int_equal(sw_set_threads(threads), SW_OK);
                const sw_loader_options o = {.size = sizeof o, .order = SW_SHUFFLE, .seed = 3};
                sw_loader *loader = sw_loader_new(source, batch, &o);
                sw_tape *tape = sw_tape_new();
                for (sw_batch b; sw_loader_next(loader, tape, &b); sw_tape_reset(tape)) {
                    const float *x = sw_value(b.x).data;
                    const sw_array y = sw_value(b.y);
                    for (int64_t i = 0; i < b.count; i++) {
                        for (int64_t j = 0; j < w.features; j++)
                            assert_true(x[i * w.features + j] == (float)w.x[b.ids[i] * w.features + j]);
                        if (y.type == SW_I32)
                            assert_true(((int32_t *)y.data)[i] == (int32_t)w.y[b.ids[i]]);
                        else
                            assert_true(((float *)y.data)[i] == (float)w.y[b.ids[i]]);
                    }
                }
                assert_null(sw_error());
                sw_tape_free(tape);
                sw_loader_free(loader);
            }
        free_whole(&w);
        sw_source_free(source);
    }
    sw_set_threads(before);
}

static uint64_t hash_of_all(void) {
    uint64_t hash = 0xCBF29CE484222325u;
    for (int kind = 0; kind < KINDS; kind++) {
        sw_source *source = make(kind, 1003, 7);
        whole w = all_of(source);
        for (int64_t i = 0; i < w.n * (w.features + 1); i++) {
            uint64_t word;
            memcpy(&word, i < w.n ? &w.y[i] : &w.x[i - w.n], sizeof word);
            hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
            hash ^= hash >> 29;
        }
        free_whole(&w);
        sw_source_free(source);
    }
    return hash;
}

/* What every machine, compiler and kernel level has come to; a new number is a change of all data. */
#define HASH 0x3633C7E88E1D24CBu

static void test_bits_are_equal_on_every_level(void **state) {
    static const char *const level[] = {"baseline", "avx2", "avx512"};
    (void)state;
    char self[PATH_SIZE], command[PATH_SIZE + 64];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(length > 0);
    self[length] = 0;
    assert_int_equal(hash_of_all(), HASH);
    for (int i = 0; i < 3; i++) {
        unsigned long long hash = 0;
        snprintf(command, sizeof command, "SW_CPU=%s '%s' hash", level[i], self);
        FILE *from = popen(command, "r");
        assert_non_null(from);
        assert_int_equal(fscanf(from, "%llx", &hash), 1);
        assert_int_equal(pclose(from), 0);
        assert_int_equal(hash, HASH);
    }
}

/* ---- Errors and memory ---- */

/* The call gives NULL, and a message that begins with `text`. */
#define refused(call, status, text)                                        \
    do {                                                                   \
        assert_null(call);                                                 \
        assert_non_null(sw_error());                                       \
        if (strncmp(sw_error(), text, strlen(text)) != 0)                  \
            fail_msg("message \"%s\", expected \"%s\"", sw_error(), text); \
        assert_int_equal(sw_error_status(), status);                       \
        sw_clear_error();                                                  \
    } while (0)

static void test_refuses_wrong_options(void **state) {
    (void)state;
#define MOONS(...) sw_moons(&(sw_moons_options){.size = sizeof(sw_moons_options), __VA_ARGS__})
#define SPIRALS(...) sw_spirals(&(sw_spirals_options){.size = sizeof(sw_spirals_options), __VA_ARGS__})
#define BLOBS(...) sw_blobs(&(sw_blobs_options){.size = sizeof(sw_blobs_options), __VA_ARGS__})
#define LINEAR(...) \
    sw_linear_samples(&(sw_linear_samples_options){.size = sizeof(sw_linear_samples_options), __VA_ARGS__})
#define LOGISTIC(...) \
    sw_logistic_samples(&(sw_logistic_samples_options){.size = sizeof(sw_logistic_samples_options), __VA_ARGS__})
    refused(MOONS(.n = -1), SW_ERR_ARGUMENT, "moons: n is -1, and must be at least 1");
    refused(MOONS(.noise = -1), SW_ERR_ARGUMENT, "moons: noise is -1, and must be finite and not negative");
    refused(MOONS(.noise = NAN), SW_ERR_ARGUMENT, "moons: noise is nan, ");
    refused(sw_moons(&(sw_moons_options){.n = 3}), SW_ERR_ARGUMENT, "moons: options.size is 0; ");
    refused(SPIRALS(.classes = 1), SW_ERR_ARGUMENT, "spirals: classes is 1, and must be at least 2");
    refused(SPIRALS(.n = 2), SW_ERR_ARGUMENT, "spirals: n is 2, and must be at least 3");
    refused(SPIRALS(.turns = 1001), SW_ERR_ARGUMENT, "spirals: turns is 1001, outside -1000 to 1000");
    refused(SPIRALS(.turns = NAN), SW_ERR_ARGUMENT, "spirals: turns is nan, outside -1000 to 1000");
    refused(SPIRALS(.noise = INFINITY), SW_ERR_ARGUMENT, "spirals: noise is inf, ");
    refused(BLOBS(.spread = -1), SW_ERR_ARGUMENT, "blobs: spread is -1, and must be finite and above 0");
    refused(BLOBS(.box = NAN), SW_ERR_ARGUMENT, "blobs: box is nan, ");
    refused(BLOBS(.features = -2), SW_ERR_ARGUMENT, "blobs: features is -2, ");
    refused(BLOBS(.classes = -2), SW_ERR_ARGUMENT, "blobs: classes is -2, ");
    refused(BLOBS(.n = -2), SW_ERR_ARGUMENT, "blobs: n is -2, ");
    refused(BLOBS(.n = INT64_MAX), SW_ERR_MEMORY, "out of memory: ");
    refused(BLOBS(.features = INT64_MAX / 8), SW_ERR_MEMORY, "out of memory: ");
    refused(LINEAR(.noise = -2), SW_ERR_ARGUMENT, "linear_samples: noise is -2, ");
    refused(LINEAR(.bias = INFINITY), SW_ERR_ARGUMENT, "linear_samples: bias is inf, ");
    refused(LINEAR(.n = -2), SW_ERR_ARGUMENT, "linear_samples: n is -2, ");
    refused(LINEAR(.features = -2), SW_ERR_ARGUMENT, "linear_samples: features is -2, ");
    refused(LOGISTIC(.scale = -1), SW_ERR_ARGUMENT, "logistic_samples: scale is -1, ");
    refused(LOGISTIC(.n = -1), SW_ERR_ARGUMENT, "logistic_samples: n is -1, ");
    refused(LOGISTIC(.features = -1), SW_ERR_ARGUMENT, "logistic_samples: features is -1, ");
    sw_source *blobs = sw_blobs(NULL), *linear = sw_linear_samples(NULL);
    refused(sw_true_weights(blobs), SW_ERR_ARGUMENT, "true_weights: the source is neither of ");
    refused(sw_true_weights(NULL), SW_ERR_ARGUMENT, "true_weights: the source is NULL");
    refused(sw_blobs_centers(linear), SW_ERR_ARGUMENT, "blobs_centers: the source is not of sw_blobs");
    refused(sw_blobs_centers(NULL), SW_ERR_ARGUMENT, "blobs_centers: the source is NULL");
    sw_source_free(blobs);
    sw_source_free(linear);
}

static void test_generators_survive_every_failed_allocation(void **state) {
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        bool ok = false;
        for (int64_t k = 0; !ok; k++) {
            count_memory(k);
            sw_source *source = make(kind, 20, 1);
            ok = source != NULL;
            assert_true(ok == (k >= (kind < 2 ? 3 : 4))); /* the source, x, y; centers or weights */
            if (!ok)
                check_error(SW_ERR_MEMORY, "out of memory", NULL);
            sw_source_free(source);
            check_memory();
        }
    }
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "hash") == 0) {
        printf("%llx\n", (unsigned long long)hash_of_all());
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moons_agree_with_scikit_learn),
        cmocka_unit_test(test_noise_is_normal),
        cmocka_unit_test(test_spirals_have_their_radius_and_angle),
        cmocka_unit_test(test_blobs_lie_around_their_centers),
        cmocka_unit_test(test_wide_blobs_are_separated_by_a_plane),
        cmocka_unit_test(test_linear_samples_follow_their_weights),
        cmocka_unit_test(test_logistic_labels_have_their_probabilities),
        cmocka_unit_test(test_defaults_are_those_of_the_header),
        cmocka_unit_test(test_longer_source_begins_with_the_shorter_one),
        cmocka_unit_test(test_seed_decides_the_samples),
        cmocka_unit_test(test_types_threads_and_batches_see_the_same_samples),
        cmocka_unit_test(test_bits_are_equal_on_every_level),
        cmocka_unit_test(test_refuses_wrong_options),
        cmocka_unit_test(test_generators_survive_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
