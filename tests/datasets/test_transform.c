/* Transforms: moments and normalization against plain loops, crops and flips against all possible results, a user's
 * function. */
#include "helpers.h"

#include <stdatomic.h>

/* ---- A source whose every number says where it comes from ---- */

enum { MOST = 400 }; /* numbers in a sample */

typedef struct pictures {
    sw_source source;
    int64_t numbers; /* in a sample */
    double (*value)(int64_t id, int64_t at);
    int64_t fail_at; /* this sample cannot be read; -1: all can */
    atomic_int freed, prefetched;
} pictures;

static double label_value(int64_t id, int64_t at) {
    return (double)(id * 1000 + at + 1); /* never 0; exact in f32 for id < 16,000 */
}

static sw_status gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                        void *x, void *y) {
    const pictures *s = (const pictures *)source;
    (void)draw;
    for (int64_t i = 0; i < count; i++) {
        if (ids[i] == s->fail_at)
            return sw_fail(SW_ERR_FORMAT, "picture %d is torn", (int)ids[i]);
        for (int64_t j = 0; j < s->numbers && x; j++)
            if (type == SW_F32)
                ((float *)x)[i * s->numbers + j] = (float)s->value(ids[i], j);
            else
                ((double *)x)[i * s->numbers + j] = s->value(ids[i], j);
        if (y)
            ((int32_t *)y)[i] = (int32_t)(ids[i] % 3);
    }
    return SW_OK;
}

static void note_prefetch(const sw_source *source, const int64_t *ids, int64_t count) {
    pictures *s = (pictures *)(uintptr_t)source;
    assert_int_equal(ids[0], 2);
    s->prefetched += (int)count;
}

static void count_free(sw_source *source) {
    ((pictures *)source)->freed++;
}

static void init(pictures *s, int64_t n, int rank, const int64_t *shape) {
    memset(s, 0, sizeof *s);
    s->source = (sw_source){.size = sizeof(sw_source),
                            .n = n,
                            .x_rank = rank,
                            .y_type = SW_I32,
                            .classes = 3,
                            .gather = gather,
                            .prefetch = note_prefetch,
                            .free = count_free};
    s->numbers = 1;
    for (int i = 0; i < rank; i++)
        s->numbers *= s->source.x_shape[i] = shape[i];
    assert_true(s->numbers <= MOST);
    s->value = label_value;
    s->fail_at = -1;
}

static void one(const sw_source *source, int64_t id, uint64_t draw, double *x) {
    int32_t y = -1;
    if (source->gather(source, &id, 1, draw, SW_F64, x, &y) != SW_OK)
        fail_msg("%s", sw_error());
    assert_int_equal(y, id % 3);
}

/* ---- Moments ---- */

static double noisy_value(int64_t id, int64_t at) {
    return noise((size_t)(id * MOST + at)) / 255.0 + (double)(at / 20);
}

/* A Welford update rounds the mean by at most 2 ulp of |x| < 6, so after n = 103 of them it is off by
 * less than 103·2·6·2^-53 < 2e-13; the variance by that times 2|d| ≤ 2 and 6 roundings of d² ≤ 1 a
 * sample, < 5e-13; std = √v ≥ 0.2 by v's error over 2 std, < 2e-12. */
static const double moment_error = 2e-12;

static void test_moments_agree_with_two_plain_passes(void **state) {
    (void)state;
    static const int64_t shapes[][4] = {{5, 4, 3}, {60}, {6, 10}, {2, 3, 2, 5}};
    static const int ranks[] = {3, 1, 2, 4}, channels[] = {3, 1, 1, 5}; /* channels: the last axis */
    for (int k = 0; k < 4; k++)
        for (int which = 0; which < 2; which++) {
            pictures s;
            enum { N = 103 };
            init(&s, N, ranks[k], shapes[k]);
            s.value = noisy_value;
            const int64_t groups = which == SW_PER_FEATURE ? 60 : channels[k], each = 60 / groups;
            double mean[60], std[60], alone[60];
            assert_int_equal(sw_moments_count(&s.source, (sw_moments_axis)which), groups);
            assert_int_equal(sw_moments(&s.source, (sw_moments_axis)which, mean, std), SW_OK);
            assert_int_equal(sw_moments(&s.source, (sw_moments_axis)which, alone, NULL), SW_OK);
            assert_memory_equal(alone, mean, (size_t)groups * sizeof *mean);
            for (int64_t g = 0; g < groups; g++) {
                double sum = 0, square = 0;
                for (int64_t i = 0; i < N * each; i++)
                    sum += noisy_value(i / each, g + i % each * groups);
                sum /= (double)(N * each);
                for (int64_t i = 0; i < N * each; i++) {
                    const double d = noisy_value(i / each, g + i % each * groups) - sum;
                    square += d * d;
                }
                assert_true(fabs(mean[g] - sum) < moment_error);
                assert_true(fabs(std[g] - sqrt(square / (double)(N * each))) < moment_error);
                assert_true(std[g] > 0.2);
            }
        }
}

static double far_value(int64_t id, int64_t at) {
    return 1e9 + (double)(id % 3) + (double)at * 0;
}

/* Far from 0: variance 2/3 around 1e9 + 1. The mean is off by up to 2^-24 a step; Σx² - (Σx)²/n would
 * be off by 1e18·2^-53 = 111. */
static void test_moments_far_from_zero_are_accurate(void **state) {
    (void)state;
    pictures s;
    init(&s, 3000, 1, (const int64_t[]){2});
    s.value = far_value;
    double mean[2], std[2];
    assert_int_equal(sw_moments(&s.source, SW_PER_FEATURE, mean, std), SW_OK);
    for (int i = 0; i < 2; i++) {
        assert_true(fabs(mean[i] - 1e9 - 1) < 3000 * 0x1p-23);
        assert_true(fabs(std[i] - sqrt(2. / 3)) < 1e-4);
    }
}

static void test_moments_do_not_depend_on_threads(void **state) {
    (void)state;
    const int before = sw_threads();
    pictures s;
    double first[2][MOST], again[2][MOST];
    init(&s, 1000, 2, (const int64_t[]){20, 20});
    s.value = noisy_value;
    for (int threads = 1; threads <= 4; threads++) {
        sw_set_threads(threads);
        double(*to)[MOST] = threads == 1 ? first : again;
        assert_int_equal(sw_moments(&s.source, SW_PER_FEATURE, to[0], to[1]), SW_OK);
        if (threads > 1)
            assert_memory_equal(first, again, sizeof first);
    }
    sw_set_threads(before);
}

/* ---- Normalizing ---- */

static void test_normalized_samples_have_mean_0_and_deviation_1(void **state) {
    (void)state;
    for (int which = 0; which < 2; which++) {
        pictures s;
        double mean[60], std[60];
        init(&s, 103, 3, (const int64_t[]){5, 4, 3});
        s.value = noisy_value;
        const sw_normalize_options o = {.size = sizeof o, .which = (sw_moments_axis)which};
        sw_source *source = sw_normalize(&s.source, &o);
        assert_non_null(source);
        assert_int_equal(sw_moments(source, o.which, mean, std), SW_OK);
        for (int64_t i = 0; i < sw_moments_count(source, o.which); i++) {
            assert_true(fabs(mean[i]) < 5 * moment_error); /* divided by std > 0.2 */
            assert_true(fabs(std[i] - 1) < 5 * moment_error);
        }
        sw_source_free(source);
        assert_int_equal(s.freed, 0);
    }
}

/* Bit for bit, with given numbers, per channel, in both types; and a std of 0 counts as 1. */
static void test_normalizing_is_the_stated_arithmetic(void **state) {
    (void)state;
    pictures s;
    init(&s, 50, 3, (const int64_t[]){4, 5, 3});
    s.value = noisy_value;
    const double mean[3] = {0.3, 1.1, -7}, std[3] = {0.7, 0, 3};
    const sw_normalize_options o = {
        .size = sizeof o, .which = SW_PER_CHANNEL, .mean = mean, .std = std, .owns_source = true};
    sw_source *source = sw_normalize(&s.source, &o);
    float f[60];
    double d[60];
    for (int64_t id = 0; id < 50; id++) {
        assert_int_equal(source->gather(source, &id, 1, 0, SW_F32, f, NULL), SW_OK);
        one(source, id, 0, d);
        for (int i = 0; i < 60; i++) {
            const int c = i % 3; /* the channel */
            const double factor = std[c] > 0 ? 1 / std[c] : 1;
            volatile double difference = noisy_value(id, i) - mean[c];
            volatile float narrow = (float)noisy_value(id, i) - (float)mean[c];
            assert_true(d[i] == difference * factor);
            assert_true(f[i] == narrow * (float)factor);
        }
    }
    source->prefetch(source, (const int64_t[]){2, 3}, 2);
    assert_int_equal(s.prefetched, 2);
    sw_source_free(source);
    assert_int_equal(s.freed, 1);
}

/* A test set is normalized by the training set's numbers. */
static void test_normalizing_by_another_source_takes_its_moments(void **state) {
    (void)state;
    pictures training, test;
    init(&training, 80, 1, (const int64_t[]){7});
    init(&test, 9, 1, (const int64_t[]){7});
    training.value = noisy_value;
    test.value = noisy_value;
    double mean[7], std[7], x[7], z[7];
    assert_int_equal(sw_moments(&training.source, SW_PER_FEATURE, mean, std), SW_OK);
    const sw_normalize_options like = {.size = sizeof like, .like = &training.source},
                               given = {.size = sizeof given, .mean = mean, .std = std};
    sw_source *a = sw_normalize(&test.source, &like), *b = sw_normalize(&test.source, &given);
    for (int64_t id = 0; id < 9; id++) {
        one(a, id, 0, x);
        one(b, id, 0, z);
        assert_memory_equal(x, z, sizeof x);
    }
    sw_source_free(a);
    sw_source_free(b);
}

/* ---- Crops and flips ---- */

typedef struct geometry {
    int64_t height, width, channels, rows, columns, padding;
    bool flip;
} geometry;

/* The window at (top, left) of the padded picture, by a loop over its numbers. */
static void plain_window(const geometry *g, int64_t id, int64_t top, int64_t left, bool flip, double *out) {
    for (int64_t i = 0; i < g->rows; i++)
        for (int64_t j = 0; j < g->columns; j++)
            for (int64_t c = 0; c < g->channels; c++) {
                const int64_t y = top + i - g->padding;
                const int64_t x = left + (flip ? g->columns - 1 - j : j) - g->padding;
                const bool inside = y >= 0 && y < g->height && x >= 0 && x < g->width;
                out[(i * g->columns + j) * g->channels + c] =
                    inside ? label_value(id, (y * g->width + x) * g->channels + c) : 0;
            }
}

/* Which of all windows x is: top, left, flip; fails if it is none, or more than one. */
static void find_window(const geometry *g, int64_t id, const double *x, int64_t at[3]) {
    int found = 0;
    double other[MOST];
    const size_t size = (size_t)(g->channels * g->rows * g->columns) * sizeof *x;
    for (int64_t top = 0; top <= g->height + 2 * g->padding - g->rows; top++)
        for (int64_t left = 0; left <= g->width + 2 * g->padding - g->columns; left++)
            for (int64_t flip = 0; flip <= g->flip; flip++) {
                plain_window(g, id, top, left, flip != 0, other);
                if (memcmp(x, other, size) != 0)
                    continue;
                found++;
                at[0] = top;
                at[1] = left;
                at[2] = flip;
            }
    assert_int_equal(found, 1);
}

static sw_source *open_augmented(pictures *s, const geometry *g, uint64_t seed) {
    const int64_t shape[3] = {g->height, g->width, g->channels};
    init(s, 40, g->channels > 1 ? 3 : 2, shape);
    const sw_augment_options o = {.size = sizeof o,
                                  .padding = g->padding,
                                  .height = g->rows == g->height ? 0 : g->rows,
                                  .width = g->columns == g->width ? 0 : g->columns,
                                  .flip = g->flip,
                                  .seed = seed};
    sw_source *source = sw_augment(&s->source, &o);
    if (!source)
        fail_msg("%s", sw_error());
    assert_true(source->costly);
    assert_int_equal(source->x_rank, s->source.x_rank);
    assert_true(source->x_shape[0] == g->rows && source->x_shape[1] == g->columns);
    assert_true(source->x_rank == 2 || source->x_shape[2] == g->channels);
    return source;
}

/* Every result is one of the windows, and all windows come equally often: within five standard errors,
 * and no more than 1 in 1.7 million counts is beyond those by chance. */
static void test_crops_and_flips_are_equally_likely(void **state) {
    static const geometry cases[] = {
        {6, 7, 1, 6, 7, 2, true},  /* the usual augmentation */
        {5, 4, 3, 5, 4, 1, false}, /* channels move together */
        {5, 4, 3, 5, 4, 1, true},  /* and keep their order in a flip */
        {6, 7, 2, 3, 2, 0, true},  /* a small window, no padding */
        {4, 3, 1, 7, 6, 2, true},  /* a window larger than the picture */
        {4, 5, 1, 4, 5, 0, true},  /* flips alone */
        {3, 2, 2, 3, 2, 0, false}, /* nothing */
    };
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const geometry *g = &cases[k];
        pictures s;
        sw_source *source = open_augmented(&s, g, 3);
        enum { DRAWS = 60 };
        static int times[16][16][2];
        memset(times, 0, sizeof times);
        const int64_t down = g->height + 2 * g->padding - g->rows + 1,
                      across = g->width + 2 * g->padding - g->columns + 1;
        double x[MOST];
        for (uint64_t draw = 0; draw < DRAWS; draw++)
            for (int64_t id = 0; id < 40; id++) {
                int64_t at[3] = {0};
                one(source, id, draw << (draw % 3 * 20), x);
                find_window(g, id, x, at);
                times[at[0]][at[1]][at[2]]++;
            }
        const double p = 1. / (double)(down * across * (g->flip ? 2 : 1)), n = 40 * DRAWS;
        for (int64_t i = 0; i < down; i++)
            for (int64_t j = 0; j < across; j++)
                for (int f = 0; f <= g->flip; f++)
                    assert_true(fabs(times[i][j][f] - n * p) <= 5 * sqrt(n * p * (1 - p)));
        sw_source_free(source);
    }
}

/* Batch size, threads, type, place in the batch: the sample, the draw and the seed decide alone. */
static void test_crop_depends_on_sample_draw_and_seed_alone(void **state) {
    (void)state;
    static const geometry g = {6, 7, 2, 5, 6, 2, true};
    enum { SIZE = 60, N = 40 };
    const int before = sw_threads();
    pictures s, t;
    sw_source *source = open_augmented(&s, &g, 3), *other = open_augmented(&t, &g, 4);
    static double first[2][N][SIZE], x[N * SIZE];
    static float f[N * SIZE];
    int differ[2] = {0, 0};
    for (int draw = 0; draw < 2; draw++)
        for (int64_t id = 0; id < N; id++)
            one(source, id, (uint64_t)draw, first[draw][id]);
    for (int64_t id = 0; id < N; id++) {
        one(other, id, 0, x);
        differ[0] += memcmp(x, first[0][id], sizeof first[0][id]) != 0;
        differ[1] += memcmp(first[1][id], first[0][id], sizeof first[0][id]) != 0;
    }
    /* 6·6·2 windows: equal ones have probability 1/72 each, 0.6 of 40 expected; 8 or more: 1e-7 */
    assert_true(differ[0] > 32 && differ[1] > 32);
    int64_t ids[N];
    for (int i = 0; i < N; i++)
        ids[i] = i * 7 % N;
    for (int threads = 1; threads <= 4; threads++)
        for (int64_t batch = 1; batch <= N; batch += 13) {
            sw_set_threads(threads);
            for (int64_t at = 0; at < N; at += batch) {
                const int64_t count = N - at < batch ? N - at : batch;
                assert_int_equal(sw_source_gather(source, SW_F64, 1, ids + at, count, x, NULL), SW_OK);
                assert_int_equal(sw_source_gather(source, SW_F32, 1, ids + at, count, f, NULL), SW_OK);
                for (int64_t i = 0; i < count; i++)
                    for (int j = 0; j < SIZE; j++) {
                        assert_true(x[i * SIZE + j] == first[1][ids[at + i]][j]);
                        assert_true(f[i * SIZE + j] == (float)x[i * SIZE + j]);
                    }
            }
        }
    sw_set_threads(before);
    /* Other samples beside it in the source, and other ids in a subset, change nothing either. */
    const int64_t some[2] = {11, 5};
    sw_source *part = sw_subset(source, some, 2, NULL);
    int64_t id = 1;
    assert_int_equal(part->gather(part, &id, 1, 1, SW_F64, x, NULL), SW_OK);
    assert_memory_equal(x, first[1][5], sizeof first[1][5]);
    sw_source_free(part);
    sw_source_free(source);
    sw_source_free(other);
}

static void test_vectors_are_taken_as_pictures(void **state) {
    (void)state;
    static const geometry g = {4, 5, 3, 3, 6, 1, true};
    pictures s, v;
    sw_source *source = open_augmented(&s, &g, 3);
    init(&v, 40, 1, (const int64_t[]){60});
    const sw_augment_options o = {.size = sizeof o,
                                  .padding = 1,
                                  .height = 3,
                                  .width = 6,
                                  .flip = true,
                                  .from_channels = 3,
                                  .from_height = 4,
                                  .from_width = 5,
                                  .seed = 3};
    sw_source *vector = sw_augment(&v.source, &o);
    assert_int_equal(vector->x_rank, 1);
    assert_int_equal(vector->x_shape[0], 54);
    for (int64_t id = 0; id < 40; id++) {
        double a[54], b[54];
        one(source, id, 9, a);
        one(vector, id, 9, b);
        assert_memory_equal(a, b, sizeof a);
    }
    vector->prefetch(vector, (const int64_t[]){2}, 1);
    assert_int_equal(v.prefetched, 1);
    sw_source_free(source);
    sw_source_free(vector);
}

/* ---- A user's function ---- */

/* Sum, number of the sample, draw, and the first value halved: [2, 2] */
static sw_status summarize(void *user, int64_t id, uint64_t draw, const double *in, double *out) {
    const int64_t *numbers = user;
    if (id == 13)
        return SW_ERR_USER;
    if (id == 14)
        return sw_fail(SW_ERR_USER, "fourteen is not liked");
    out[0] = 0;
    for (int64_t i = 0; i < *numbers; i++)
        out[0] += in[i];
    out[1] = (double)id;
    out[2] = (double)draw;
    out[3] = in[0] / 3;
    return SW_OK;
}

static sw_status negate(void *user, int64_t id, uint64_t draw, const double *in, double *out) {
    (void)id;
    (void)draw;
    for (int64_t i = 0; i < *(const int64_t *)user; i++)
        out[i] = -in[i] / 3;
    return SW_OK;
}

static void test_map_applies_the_users_function(void **state) {
    (void)state;
    int64_t numbers = 6, ids[20];
    pictures s;
    init(&s, 20, 2, (const int64_t[]){2, 3});
    const sw_map_options o = {.size = sizeof o, .reshape = true, .rank = 2, .shape = {2, 2}};
    sw_source *source = sw_map(&s.source, summarize, &numbers, &o), *like = sw_map(&s.source, negate, &numbers, NULL);
    assert_int_equal(source->x_rank, 2);
    assert_int_equal(source->x_shape[1], 2);
    assert_int_equal(like->x_shape[1], 3);
    assert_true(source->costly && like->costly);
    for (int64_t id = 0; id < 13; id++) {
        double x[6];
        one(source, id, 77, x);
        assert_true(x[0] == (double)(6 * (id * 1000 + 1) + 15));
        assert_true(x[1] == (double)id && x[2] == 77 && x[3] == (double)(id * 1000 + 1) / 3);
        float f[6];
        one(like, id, 0, x);
        assert_int_equal(like->gather(like, &id, 1, 0, SW_F32, f, NULL), SW_OK);
        for (int j = 0; j < 6; j++) {
            assert_true(x[j] == -label_value(id, j) / 3);
            assert_true(f[j] == (float)x[j]); /* computed in f64, rounded once */
        }
    }
    for (int i = 0; i < 20; i++)
        ids[i] = i;
    double x[20 * 4];
    assert_int_equal(sw_source_gather(source, SW_F64, 0, ids, 14, x, NULL), SW_ERR_USER);
    check_error(SW_ERR_USER, "map: the function returned status 11 without a message", "for sample 13");
    assert_int_equal(sw_source_gather(source, SW_F64, 0, ids + 14, 6, x, NULL), SW_ERR_USER);
    check_error(SW_ERR_USER, "fourteen", "is not liked");
    s.fail_at = 2;
    assert_int_equal(sw_source_gather(source, SW_F64, 0, ids, 4, x, NULL), SW_ERR_FORMAT);
    check_error(SW_ERR_FORMAT, "picture 2", "is torn");
    sw_source_free(source);
    sw_source_free(like);
}

/* ---- Errors and memory ---- */

#define AUGMENT(...) sw_augment(&s.source, &(sw_augment_options){.size = sizeof(sw_augment_options), __VA_ARGS__})
#define NORMALISE(...) \
    sw_normalize(&s.source, &(sw_normalize_options){.size = sizeof(sw_normalize_options), __VA_ARGS__})
#define MAP(...) sw_map(&s.source, summarize, NULL, &(sw_map_options){.size = sizeof(sw_map_options), __VA_ARGS__})
#define refused(call, status, text, part) \
    do {                                  \
        s.freed = 0;                      \
        assert_null(call);                \
        check_error(status, text, part);  \
    } while (0)

static void test_refuses_wrong_arguments(void **state) {
    (void)state;
    pictures s, v;
    init(&s, 20, 2, (const int64_t[]){4, 5});
    init(&v, 20, 1, (const int64_t[]){20});
    refused(AUGMENT(.padding = -1), SW_ERR_ARGUMENT, "augment: a padding of -1 around [4,5]; 0 to 536870911",
            "is needed, and sides of at most 536870911");
    refused(AUGMENT(.height = 9, .padding = 2), SW_ERR_SHAPE, "augment: a window [9,5]",
            "in a picture [4,5] padded by 2");
    refused(AUGMENT(.width = -1), SW_ERR_SHAPE, "augment: a window [4,-1]", NULL);
    refused(AUGMENT(.from_height = 4, .from_width = 5), SW_ERR_SHAPE, "augment: a sample [4,5] cannot",
            "be read as [4,5,1]; from_height and from_width are for vectors");
    refused(AUGMENT(.height = 9, .owns_source = true), SW_ERR_SHAPE, "augment: a window", NULL);
    assert_int_equal(s.freed, 1);
    refused(sw_augment(&v.source, NULL), SW_ERR_SHAPE, "augment: a sample [20] is neither",
            "set from_height and from_width");
    const sw_augment_options six = {.size = sizeof six, .from_height = 4, .from_width = 6};
    refused(sw_augment(&v.source, &six), SW_ERR_SHAPE, "augment: a sample [20] cannot", "[4,6,1]");
    const sw_augment_options rgb = {.size = sizeof rgb, .from_height = 2, .from_width = 5}; /* 2 channels are not set */
    refused(sw_augment(&v.source, &rgb), SW_ERR_SHAPE, "augment: a sample [20] cannot be read as [2,5,1]",
            "(set from_channels?)");
    const sw_augment_options huge = {
        .size = sizeof huge, .from_channels = INT64_MAX, .from_height = INT64_MAX, .from_width = INT64_MAX};
    refused(sw_augment(&v.source, &huge), SW_ERR_SHAPE, "augment: a sample [20] cannot", NULL);
    refused(sw_augment(NULL, NULL), SW_ERR_ARGUMENT, "augment: the source", "is NULL");
    refused(sw_augment(&s.source, &(sw_augment_options){.flip = true}), SW_ERR_ARGUMENT, "augment: options.size",
            "is 0");

    const double mean[20] = {0}, negative[20] = {1, -1}, wrong[20] = {NAN};
    refused(NORMALISE(.mean = mean), SW_ERR_ARGUMENT, "normalize: mean is given", "without std");
    refused(NORMALISE(.std = mean), SW_ERR_ARGUMENT, "normalize: mean is given", NULL);
    refused(NORMALISE(.mean = mean, .std = negative), SW_ERR_ARGUMENT, "normalize: mean[1] 0", "std[1] -1");
    refused(NORMALISE(.mean = wrong, .std = mean, .owns_source = true), SW_ERR_ARGUMENT, "normalize: mean[0] nan",
            NULL);
    assert_int_equal(s.freed, 1);
    refused(NORMALISE(.mean = mean, .std = mean, .like = &v.source), SW_ERR_ARGUMENT, "normalize: both", NULL);
    init(&v, 20, 1, (const int64_t[]){19});
    refused(NORMALISE(.like = &v.source), SW_ERR_SHAPE, "normalize: like has 19 moments", "samples [4,5] have 20");
    refused(NORMALISE(.which = (sw_moments_axis)3, .owns_source = true), SW_ERR_ARGUMENT, "normalize: 3 is neither",
            NULL);
    assert_int_equal(s.freed, 1);
    refused(sw_normalize(NULL, NULL), SW_ERR_ARGUMENT, "normalize: the source", "is NULL");
    s.fail_at = 3;
    refused(NORMALISE(.owns_source = true), SW_ERR_FORMAT, "picture 3", "is torn");
    assert_int_equal(s.freed, 1);
    s.fail_at = -1;

    assert_int_equal(sw_moments(&s.source, SW_PER_FEATURE, NULL, NULL), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "moments: mean", "is NULL");
    assert_int_equal(sw_moments_count(NULL, SW_PER_FEATURE), 0);
    check_error(SW_ERR_ARGUMENT, "moments: the source", "is NULL");

    refused(sw_map(&s.source, NULL, NULL, NULL), SW_ERR_ARGUMENT, "map: the function", "is NULL");
    refused(sw_map(NULL, summarize, NULL, NULL), SW_ERR_ARGUMENT, "map: the source", "is NULL");
    refused(MAP(.reshape = true, .rank = 8), SW_ERR_SHAPE, "map: a sample has 0 to 7 axes", "not 8");
    refused(MAP(.reshape = true, .rank = 2, .shape = {3, 0}, .owns_source = true), SW_ERR_SHAPE, "map: [3,0]",
            "is not a valid shape");
    assert_int_equal(s.freed, 1);
    refused(MAP(.reshape = true, .rank = 3, .shape = {1 << 30, 1 << 30, 1 << 30}), SW_ERR_SHAPE, "map: [",
            "is not a valid shape");
}

static sw_source *nested(pictures *s, int64_t *numbers) {
    const sw_normalize_options norm = {.size = sizeof norm, .owns_source = true};
    const sw_augment_options crop = {.size = sizeof crop, .padding = 1, .flip = true, .owns_source = true};
    const sw_map_options map = {.size = sizeof map, .owns_source = true};
    return sw_map(sw_augment(sw_normalize(&s->source, &norm), &crop), negate, numbers, &map);
}

static void test_transforms_survive_every_failed_allocation(void **state) {
    (void)state;
    const int before = sw_threads();
    int64_t numbers = 20, ids[30], k = 0;
    static double x[30 * 20];
    for (int i = 0; i < 30; i++)
        ids[i] = i;
    sw_set_threads(1);
    for (bool ok = false; !ok; k++) {
        pictures s;
        init(&s, 30, 2, (const int64_t[]){4, 5});
        count_memory(k);
        sw_source *source = nested(&s, &numbers);
        ok = source != NULL;
        if (!ok)
            check_error(SW_ERR_MEMORY, "out of memory", NULL);
        assert_int_equal(s.freed, !ok);
        if (ok) {
            const long long made = memory_requests(); /* gathering allocates nothing */
            assert_int_equal(sw_source_gather(source, SW_F64, 0, ids, 30, x, NULL), SW_OK);
            assert_int_equal(memory_requests(), made);
        }
        sw_source_free(source);
        assert_int_equal(s.freed, 1);
        check_memory();
    }
    assert_true(k > 10);
    sw_set_threads(before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moments_agree_with_two_plain_passes),
        cmocka_unit_test(test_moments_far_from_zero_are_accurate),
        cmocka_unit_test(test_moments_do_not_depend_on_threads),
        cmocka_unit_test(test_normalized_samples_have_mean_0_and_deviation_1),
        cmocka_unit_test(test_normalizing_is_the_stated_arithmetic),
        cmocka_unit_test(test_normalizing_by_another_source_takes_its_moments),
        cmocka_unit_test(test_crops_and_flips_are_equally_likely),
        cmocka_unit_test(test_crop_depends_on_sample_draw_and_seed_alone),
        cmocka_unit_test(test_vectors_are_taken_as_pictures),
        cmocka_unit_test(test_map_applies_the_users_function),
        cmocka_unit_test(test_refuses_wrong_arguments),
        cmocka_unit_test(test_transforms_survive_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
