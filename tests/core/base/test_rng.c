/* Random numbers: published values of Philox, distributions, and the quantities on which a dropout mask depends. */
#include "support.h"

#include <swale/extend.h>

/* ---- Philox ---- */

/* kat_vectors of the authors' Random123, philox4x32 with 10 rounds; the key's first word is k0. */
static void test_philox_gives_the_known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint64_t key = (uint64_t)known[i].key[1] << 32 | known[i].key[0];
        uint32_t out[4];
        sw_philox(key, known[i].counter, out);
        assert_memory_equal(out, known[i].out, sizeof out);
    }
}

/* The stream is Philox over 0, 1, 2, …; its place can be set. */
static void test_stream_is_philox_over_a_counter(void **state) {
    (void)state;
    sw_rng rng = {.key = 42};
    uint32_t words[400];
    for (uint32_t i = 0; i < 400; i++)
        words[i] = sw_rng_next(&rng);
    assert_true(rng.position == 400);
    for (uint32_t block = 0; block < 100; block++) {
        uint32_t out[4];
        sw_philox(42, (uint32_t[4]){block, 0, 0, 0}, out);
        assert_memory_equal(out, words + 4 * block, sizeof out);
    }
    sw_rng again = {.key = 42, .position = 123};
    assert_true(sw_rng_next(&again) == words[123]);
    sw_rng far = {.key = 42, .position = (uint64_t)5 << 34 | 2}; /* beyond 2^32 blocks */
    uint32_t out[4];
    sw_philox(42, (uint32_t[4]){0, 5, 0, 0}, out);
    assert_true(sw_rng_next(&far) == out[2]);
}

static void test_keys_of_near_seeds_and_names_are_unrelated(void **state) {
    (void)state;
    /* Near seeds and near names give unrelated keys: on average 32 of 64 bits differ; for 64 fair
     * bits less than 8 happen once in 1e10. */
    const char *names[] = {"", "a", "b", "aa", "linear1.weight", "linear2.weight", "linear1.bias"};
    uint64_t keys[7 * 8];
    int count = 0;
    for (uint64_t seed = 0; seed < 8; seed++)
        for (int i = 0; i < 7; i++)
            keys[count++] = sw_rng_key(seed, names[i]);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < i; k++)
            assert_true(__builtin_popcountll(keys[i] ^ keys[k]) >= 8);
    assert_true(sw_rng_key(3, "x") == sw_rng_key(3, "x"));
}

/* ---- Distributions ---- */

enum { DRAWS = 1500000 };

/* A mean of n draws of standard deviation s strays from its expectation by more than 5 s/√n once in
 * 1.7 million seeds; the seed is fixed. */
static void expect_mean(double sum, double expected, double deviation) {
    double tolerance = 5 * deviation / sqrt((double)DRAWS);
    if (!(fabs(sum / DRAWS - expected) <= tolerance))
        fail_msg("mean %.8g, expected %.8g within %.2g", sum / DRAWS, expected, tolerance);
}

static void test_uniform_numbers_have_their_moments(void **state) {
    (void)state;
    sw_rng rng = {.key = sw_rng_key(1, "uniform")};
    double sum = 0, square = 0, lag = 0, before = 0.5, least = 1, most = 0;
    int bins[16] = {0};
    for (int i = 0; i < DRAWS; i++) {
        double u = sw_rng_uniform(&rng);
        assert_true(u >= 0 && u < 1);
        sum += u;
        square += u * u;
        lag += (u - 0.5) * (before - 0.5);
        before = u;
        least = u < least ? u : least;
        most = u > most ? u : most;
        bins[(int)(u * 16)]++;
    }
    assert_true(rng.position == 2 * DRAWS);
    expect_mean(sum, 0.5, sqrt(1. / 12));
    expect_mean(square, 1. / 3, sqrt(1. / 5 - 1. / 9));
    expect_mean(lag, 0, 1. / 12); /* neighbors are unrelated */
    for (int i = 0; i < 16; i++)
        expect_mean(bins[i], 1. / 16, sqrt(15.) / 16);
    /* P(no draw below 40/n) = e^-40 */
    assert_true(least < 40. / DRAWS && most > 1 - 40. / DRAWS);
}

static void test_normal_numbers_have_their_moments(void **state) {
    (void)state;
    sw_rng rng = {.key = sw_rng_key(2, "normal")};
    double power[5] = {0}, inside = 0, lag = 0, before = 0;
    for (int i = 0; i < DRAWS; i++) {
        double z = sw_rng_normal(&rng), p = 1;
        assert_true(isfinite(z));
        for (int k = 1; k <= 4; k++)
            power[k] += p *= z;
        inside += fabs(z) < 1;
        lag += z * before;
        before = z;
    }
    /* E z^k = 0, 1, 0, 3, with variances 1, 2, 15, 96 (= E z^2k - (E z^k)²) */
    expect_mean(power[1], 0, 1);
    expect_mean(power[2], 1, sqrt(2));
    expect_mean(power[3], 0, sqrt(15));
    expect_mean(power[4], 3, sqrt(96));
    expect_mean(lag, 0, 1);
    double p = erf(sqrt(0.5));
    expect_mean(inside, p, sqrt(p * (1 - p)));
}

static void test_integers_below_a_bound_are_equally_likely(void **state) {
    (void)state;
    sw_rng rng = {.key = sw_rng_key(3, "below")};
    static const uint64_t bounds[] = {1, 2, 3, 7, 10, 16};
    for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++) {
        int bins[16] = {0};
        double n = (double)bounds[b];
        for (int i = 0; i < DRAWS; i++) {
            uint64_t x = sw_rng_below(&rng, bounds[b]);
            assert_true(x < bounds[b]);
            bins[x]++;
        }
        for (uint64_t i = 0; i < bounds[b]; i++)
            expect_mean(bins[i], 1 / n, sqrt((n - 1) / n / n));
    }
    /* Of 2^64 values, 3·2^62 leave a quarter over: taken modulo, the first third would come twice
     * as often. Unbiased, each third comes in a third of the draws. */
    const uint64_t third = (uint64_t)1 << 62, bound = 3 * third;
    int bins[3] = {0};
    for (int i = 0; i < DRAWS; i++) {
        uint64_t x = sw_rng_below(&rng, bound);
        assert_true(x < bound);
        bins[x / third]++;
    }
    for (int i = 0; i < 3; i++)
        expect_mean(bins[i], 1. / 3, sqrt(2) / 3);
    assert_true(sw_rng_below(&rng, UINT64_MAX) < UINT64_MAX);
}

/* ---- Dropout ---- */

enum { ROWS = 24, WIDTH = 150 };

typedef struct mask_of {
    uint64_t seed, draw, site;
    int calls_before;
    const int64_t *ids;
    double p;
    sw_dtype type;
} mask_of;

/* 1 where an element is kept. */
static void mask(const mask_of *m, unsigned char out[ROWS * WIDTH]) {
    static float ones[ROWS * WIDTH];
    static double ones64[ROWS * WIDTH];
    for (int i = 0; i < ROWS * WIDTH; i++)
        ones64[i] = ones[i] = 1;
    sw_tape *tape = sw_tape_new();
    sw_tape_set_seed(tape, m->seed);
    sw_tape_set_draw(tape, m->draw);
    if (m->ids)
        assert_int_equal(sw_tape_set_sample_ids(tape, m->ids, ROWS), SW_OK);
    sw_tensor x = sw_input(
        tape, sw_array_view(m->type == SW_F64 ? (void *)ones64 : (void *)ones, m->type, SW_SHAPE(ROWS, WIDTH)));
    for (int i = 0; i < m->calls_before; i++)
        sw_dropout(x, 0.5, 1);
    sw_array y = sw_value(sw_dropout(x, m->p, m->site));
    expect_no_error();
    /* in the element type: a number and its product with 1 */
    double kept = m->type == SW_F64 ? 1 / (1 - m->p) : (double)(float)(1 / (1 - m->p));
    for (int i = 0; i < ROWS * WIDTH; i++) {
        assert_true(test_get(&y, i) == 0 || test_get(&y, i) == kept);
        out[i] = test_get(&y, i) != 0;
    }
    sw_tape_free(tape);
}

/* Two masks of unrelated draws agree with probability q = p² + (1-p)² in each element; 6 standard
 * deviations of a mean over 3600. */
static bool unrelated(const unsigned char *a, const unsigned char *b, double p) {
    int equal = 0;
    for (int i = 0; i < ROWS * WIDTH; i++)
        equal += a[i] == b[i];
    double q = p * p + (1 - p) * (1 - p), n = ROWS * WIDTH;
    return fabs(equal / n - q) <= 6 * sqrt(q * (1 - q) / n);
}

static void test_dropout_mask_depends_on_seed_draw_and_site(void **state) {
    (void)state;
    const mask_of base = {.seed = 5, .draw = 9, .site = 3, .p = 0.4};
    unsigned char first[ROWS * WIDTH], other[ROWS * WIDTH];
    int64_t ids[ROWS], shifted[ROWS];
    for (int i = 0; i < ROWS; i++) {
        ids[i] = i;
        shifted[i] = i + 1000;
    }
    mask(&base, first);
    mask(&base, other);
    assert_memory_equal(first, other, sizeof first); /* equal draws, equal numbers */
    mask_of m = base;
    m.type = SW_F64; /* in either type */
    mask(&m, other);
    assert_memory_equal(first, other, sizeof first);
    m = base;
    m.ids = ids; /* rows are numbered from 0 where there are no ids */
    mask(&m, other);
    assert_memory_equal(first, other, sizeof first);
    const mask_of changed[] = {
        {.seed = 6, .draw = 9, .site = 3, .p = 0.4},
        {.seed = 5, .draw = 10, .site = 3, .p = 0.4},
        {.seed = 5, .draw = 9, .site = 4, .p = 0.4},
        {.seed = 5, .draw = 9, .site = 3, .p = 0.4, .calls_before = 1},
        {.seed = 5, .draw = 9, .site = 3, .p = 0.4, .ids = shifted},
        {.seed = 9, .draw = 5, .site = 3, .p = 0.4}, /* the parts do not just add */
        {.seed = 5, .draw = 3, .site = 9, .p = 0.4},
    };
    unsigned char seen[sizeof changed / sizeof *changed][ROWS * WIDTH];
    for (size_t i = 0; i < sizeof changed / sizeof *changed; i++) {
        mask(&changed[i], seen[i]);
        assert_true(unrelated(first, seen[i], 0.4));
        for (size_t k = 0; k < i; k++)
            assert_true(unrelated(seen[k], seen[i], 0.4));
    }
    /* Rows of one mask are unrelated as well: row r against row r + 1. */
    for (int r = 0; r + 1 < ROWS; r++)
        assert_true(memcmp(first + r * WIDTH, first + (r + 1) * WIDTH, WIDTH) != 0);
    memcpy(other, first + WIDTH, sizeof other - WIDTH);
    memcpy(other + sizeof other - WIDTH, first, WIDTH);
    assert_true(unrelated(first, other, 0.4));
}

/* The mask goes with the sample, wherever in the batch it is. */
static void test_dropout_mask_follows_the_sample(void **state) {
    (void)state;
    int64_t ids[ROWS], turned[ROWS];
    for (int i = 0; i < ROWS; i++)
        ids[i] = 100 + 7 * i;
    for (int i = 0; i < ROWS; i++)
        turned[i] = ids[(i * 5 + 3) % ROWS];
    ids[ROWS - 1] = ((int64_t)1 << 40) + 100; /* all 64 bits of an id count */
    unsigned char a[ROWS * WIDTH], b[ROWS * WIDTH];
    mask_of m = {.seed = 1, .draw = 1, .site = 1, .p = 0.5, .ids = ids};
    mask(&m, a);
    m.ids = turned;
    mask(&m, b);
    int same = 0;
    for (int i = 0; i < ROWS; i++)
        for (int k = 0; k < ROWS; k++) {
            bool equal = memcmp(a + i * WIDTH, b + k * WIDTH, WIDTH) == 0;
            assert_int_equal(equal, ids[i] == turned[k]);
            same += equal;
        }
    assert_int_equal(same, ROWS - 1);
}

static void test_dropout_keeps_the_stated_fraction(void **state) {
    (void)state;
    static const double rates[] = {0.05, 0.3, 0.5, 0.9};
    unsigned char kept[ROWS * WIDTH];
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        double p = rates[i], sum = 0;
        enum { DRAWN = 20 };
        for (uint64_t draw = 0; draw < DRAWN; draw++) {
            mask(&(mask_of){.seed = 3, .draw = draw, .p = p}, kept);
            for (int k = 0; k < ROWS * WIDTH; k++)
                sum += kept[k];
        }
        double n = (double)DRAWN * ROWS * WIDTH;
        assert_true(fabs(sum / n - (1 - p)) <= 5 * sqrt(p * (1 - p) / n)); /* as in expect_mean */
    }
}

/* Element i of a row is word i/16 mod 4 of block 16 (i/64) + i mod 16, whatever kernel made it. */
static void test_dropout_mask_is_philox(void **state) {
    (void)state;
    const double p = 0.37;
    int64_t ids[ROWS];
    for (int i = 0; i < ROWS; i++)
        ids[i] = (int64_t)i * 0x123456789 + 1;
    unsigned char kept[ROWS * WIDTH];
    mask(&(mask_of){.seed = 8, .draw = 2, .site = 77, .calls_before = 2, .ids = ids, .p = p}, kept);
    sw_tape *tape = sw_tape_new();
    sw_tape_set_seed(tape, 8);
    sw_tape_set_draw(tape, 2);
    sw_tape_random_key(tape, 1);
    sw_tape_random_key(tape, 1);
    uint64_t key = sw_tape_random_key(tape, 77); /* the third call */
    for (int r = 0; r < ROWS; r++)
        for (uint32_t i = 0; i < WIDTH; i++) {
            uint32_t out[4], block = i / 64 * 16 + i % 16;
            sw_philox(key, (uint32_t[4]){block, (uint32_t)ids[r], (uint32_t)((uint64_t)ids[r] >> 32), 1}, out);
            bool drop = out[i / 16 % 4] < (uint32_t)(p * 4294967296.0);
            assert_int_equal(kept[(uint32_t)r * WIDTH + i], !drop);
        }
    sw_tape_free(tape);
}

/* ---- Dropout after a reshape ---- */

enum { BATCH = 3, TIME = 5 };

/* The values and the gradient of dropout of ones [shape], with the ids of samples. Returns the number of elements. */
static int64_t dropout_of_ones(sw_dtype type, int rank, const int64_t *shape, int64_t samples, const int64_t *ids,
                               double *values, double *gradient) {
    sw_tape *tape = sw_tape_new();
    sw_array ones = test_array(type, rank, shape);
    const int64_t n = sw_array_count(&ones);
    for (int64_t i = 0; i < n; i++)
        test_set(&ones, i, 1);
    sw_tape_set_seed(tape, 4);
    sw_tape_set_draw(tape, 6);
    if (samples)
        assert_int_equal(sw_tape_set_sample_ids(tape, ids, samples), SW_OK);
    sw_tensor x = sw_variable(tape, ones), y = sw_dropout(x, 0.4, 2);
    assert_int_equal(sw_backward(sw_sum(y)), SW_OK);
    sw_array a = sw_value(y), g = sw_grad(x);
    for (int64_t i = 0; i < n; i++) {
        values[i] = test_get(&a, i);
        gradient[i] = test_get(&g, i);
    }
    sw_tape_free(tape);
    test_array_free(&ones);
    return n;
}

/* [batch, time, features] → [batch·time, features]: the tokens of a sample have the same mask before the reshape and
 * after it, alone and in the batch, in a batch in another order, and in a shorter sequence. Lengths around a block of
 * 64 random numbers and around a tile of 4096 elements. */
static void test_dropout_after_a_reshape_draws_by_token(void **state) {
    (void)state;
    static const int64_t ids[BATCH] = {70, 3, ((int64_t)1 << 40) + 11}, turned[BATCH] = {ids[2], ids[0], ids[1]};
    static const int64_t lengths[] = {1, 7, 64, 70, 1000, 5000};
    for (int k = 0; k < 12; k++) {
        const int64_t width = lengths[k / 2], sample = TIME * width;
        const sw_dtype type = k % 2 ? SW_F64 : SW_F32;
        double *v[5], *g[5];
        for (int i = 0; i < 5; i++) {
            v[i] = calloc((size_t)(BATCH * sample), sizeof(double));
            g[i] = calloc((size_t)(BATCH * sample), sizeof(double));
            assert_true(v[i] && g[i]);
        }
        const size_t bytes = (size_t)sample * sizeof(double);
        dropout_of_ones(type, SW_SHAPE(BATCH, TIME, width), BATCH, ids, v[0], g[0]);
        dropout_of_ones(type, SW_SHAPE(BATCH * TIME, width), BATCH, ids, v[1], g[1]);
        assert_memory_equal(v[0], v[1], BATCH * bytes);
        assert_memory_equal(g[0], g[1], BATCH * bytes);
        assert_memory_equal(g[0], v[0], BATCH * bytes); /* of ones: both are the scaled mask */
        dropout_of_ones(type, SW_SHAPE(BATCH * TIME, width), BATCH, turned, v[2], g[2]);
        for (int i = 0; i < BATCH; i++) {
            assert_memory_equal(v[2] + i * sample, v[1] + (i + BATCH - 1) % BATCH * sample, bytes);
            dropout_of_ones(type, SW_SHAPE(TIME, width), 1, &ids[i], v[3], g[3]);
            assert_memory_equal(v[3], v[1] + i * sample, bytes);
            assert_memory_equal(g[3], g[1] + i * sample, bytes);
            dropout_of_ones(type, SW_SHAPE(2, width), 1, &ids[i], v[4], g[4]);
            assert_memory_equal(v[4], v[1] + i * sample, (size_t)(2 * width) * sizeof(double));
        }
        for (int64_t t = 0; width > 64 && t + 1 < BATCH * TIME; t++) /* equal by chance: 0.52^70 */
            assert_true(memcmp(v[1] + t * width, v[1] + (t + 1) * width, (size_t)width * sizeof(double)) != 0);
        for (int i = 0; i < 5; i++) {
            free(v[i]);
            free(g[i]);
        }
    }
}

/* If the number of rows is not a multiple of the number of samples, the rows count as samples with their numbers as
 * ids. */
static void test_dropout_of_other_rows_draws_by_row(void **state) {
    (void)state;
    static const int64_t ids[BATCH] = {70, 3, 11};
    double with[7 * 9], without[7 * 9], g[7 * 9];
    dropout_of_ones(SW_F32, SW_SHAPE(7, 9), BATCH, ids, with, g);
    dropout_of_ones(SW_F32, SW_SHAPE(7, 9), 0, NULL, without, g);
    assert_memory_equal(with, without, sizeof with);
    sw_tape *tape = sw_tape_new();
    int64_t per_sample;
    assert_null(sw_tape_row_samples(tape, 7, &per_sample)); /* no ids at all */
    assert_int_equal(per_sample, 1);
    assert_int_equal(sw_tape_set_sample_ids(tape, ids, BATCH), SW_OK);
    static const int64_t rows[] = {0, 1, 2, 3, 4, 6, 9, 300}, expected[] = {0, 0, 0, 1, 0, 2, 3, 100};
    for (int i = 0; i < 8; i++) {
        const int64_t *found = sw_tape_row_samples(tape, rows[i], &per_sample);
        assert_int_equal(per_sample, expected[i] ? expected[i] : 1);
        assert_int_equal(found != NULL, expected[i] > 0);
        assert_true(!found || memcmp(found, ids, sizeof ids) == 0);
    }
    sw_tape_free(tape);
}

/* Long samples are divided among threads. */
static void test_dropout_of_long_samples_has_equal_bits_on_every_number_of_threads(void **state) {
    (void)state;
    enum { LONG = 9 * 4096 + 77 };
    static double one[2 * LONG], many[2 * LONG], g[2 * LONG];
    static const int64_t ids[2] = {5, 9};
    const int before = sw_threads();
    assert_int_equal(sw_set_threads(1), SW_OK);
    dropout_of_ones(SW_F32, SW_SHAPE(2, LONG), 2, ids, one, g);
    for (int threads = 2; threads <= 8; threads *= 4) {
        assert_int_equal(sw_set_threads(threads), SW_OK);
        dropout_of_ones(SW_F32, SW_SHAPE(2 * LONG), 2, ids, many, g);
        assert_memory_equal(one, many, sizeof one);
    }
    assert_int_equal(sw_set_threads(before), SW_OK);
}

static void test_dropout_mask_is_replayed(void **state) {
    (void)state;
    static float ones[4 * 100];
    for (int i = 0; i < 400; i++)
        ones[i] = 1;
    sw_tape *tape = sw_tape_new();
    sw_tensor x = sw_input(tape, sw_array_view(ones, SW_F32, SW_SHAPE(4, 100)));
    sw_mark mark = sw_tape_mark(tape);
    uint64_t hash[4];
    sw_array a = sw_value(sw_dropout(x, 0.5, 1)), b = sw_value(sw_dropout(x, 0.5, 1));
    hash[0] = test_hash(TEST_HASH, a.data, sizeof ones);
    hash[1] = test_hash(TEST_HASH, b.data, sizeof ones);
    sw_tape_rewind_random(tape, mark); /* the tensors stay, the numbers come again */
    sw_array c = sw_value(sw_dropout(x, 0.5, 1)), d = sw_value(sw_dropout(x, 0.5, 1));
    hash[2] = test_hash(TEST_HASH, c.data, sizeof ones);
    hash[3] = test_hash(TEST_HASH, d.data, sizeof ones);
    assert_true(hash[0] == hash[2] && hash[1] == hash[3] && hash[0] != hash[1]);
    assert_true(hash[0] == test_hash(TEST_HASH, a.data, sizeof ones));
    /* A reset goes to the next draw; going back to the draw brings the numbers back. */
    uint64_t draw = sw_tape_draw(tape);
    for (int again = 0; again < 2; again++) {
        sw_tape_reset(tape);
        if (again)
            sw_tape_set_draw(tape, draw);
        sw_array e = sw_value(sw_dropout(sw_input(tape, sw_array_view(ones, SW_F32, SW_SHAPE(4, 100))), 0.5, 1));
        assert_int_equal(test_hash(TEST_HASH, e.data, sizeof ones) == hash[0], again);
    }
    expect_no_error();
    sw_tape_free(tape);
}

static void test_dropout_does_nothing_in_evaluation(void **state) {
    (void)state;
    const float x[3] = {1, 2, 3};
    sw_tape *tape = sw_tape_new();
    sw_tensor t = sw_variable(tape, sw_array_view(x, SW_F32, SW_SHAPE(3)));
    sw_tensor same = sw_dropout(t, 0, 1); /* p = 0: nothing is dropped */
    assert_true(same.slot != t.slot && sw_value(same).data == sw_value(t).data);
    sw_tape_set_switch(tape, SW_TRAIN, false);
    sw_tensor y = sw_dropout(t, 0.9, 1);
    assert_true(y.slot != t.slot && sw_value(y).data == sw_value(t).data);
    sw_release(t); /* each handle is given back by itself */
    assert_memory_equal(sw_value(y).data, x, sizeof x);
    sw_tape_free(tape);
    expect_no_error();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_philox_gives_the_known_answers, test_clear),
        cmocka_unit_test_setup(test_stream_is_philox_over_a_counter, test_clear),
        cmocka_unit_test_setup(test_keys_of_near_seeds_and_names_are_unrelated, test_clear),
        cmocka_unit_test_setup(test_uniform_numbers_have_their_moments, test_clear),
        cmocka_unit_test_setup(test_normal_numbers_have_their_moments, test_clear),
        cmocka_unit_test_setup(test_integers_below_a_bound_are_equally_likely, test_clear),
        cmocka_unit_test_setup(test_dropout_mask_depends_on_seed_draw_and_site, test_clear),
        cmocka_unit_test_setup(test_dropout_mask_follows_the_sample, test_clear),
        cmocka_unit_test_setup(test_dropout_keeps_the_stated_fraction, test_clear),
        cmocka_unit_test_setup(test_dropout_mask_is_philox, test_clear),
        cmocka_unit_test_setup(test_dropout_after_a_reshape_draws_by_token, test_clear),
        cmocka_unit_test_setup(test_dropout_of_other_rows_draws_by_row, test_clear),
        cmocka_unit_test_setup(test_dropout_of_long_samples_has_equal_bits_on_every_number_of_threads, test_clear),
        cmocka_unit_test_setup(test_dropout_mask_is_replayed, test_clear),
        cmocka_unit_test_setup(test_dropout_does_nothing_in_evaluation, test_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
