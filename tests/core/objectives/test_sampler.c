/* Samplers: the number of times that each order returns a sample, equal orders for equal seeds, and resuming from any
 * position. */
#include "support.h"

#include <swale/extend.h>

static const sw_order orders[3] = {SW_SHUFFLE, SW_WITH_REPLACEMENT, SW_SEQUENTIAL};

static void test_sampler_gives_each_sample_once_an_epoch(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{10, 3}, {10, 10}, {10, 1}, {1, 1}, {7, 100}, {64, 8}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int o = 0; o < 3; o++) {
            const sw_order order = orders[o];
            int64_t n = sizes[k][0], batch = sizes[k][1], steps = (n + batch - 1) / batch;
            sw_sampler *s = sw_sampler_new(n, batch, order, 5);
            assert_int_equal(sw_sampler_steps_per_epoch(s), steps);
            for (int epoch = 0; epoch < 4; epoch++) {
                int times[64] = {0};
                int64_t given = 0;
                for (int64_t step = 0; step < steps; step++) {
                    const int64_t *next, *ids;
                    int64_t ahead = epoch || step ? sw_sampler_peek(s, &next) : -1;
                    int64_t expected = step + 1 < steps ? batch : n - given;
                    int64_t foreseen[64];
                    if (step) /* at the start of an epoch, nothing is foreseen */
                        memcpy(foreseen, next, (size_t)ahead * sizeof *foreseen);
                    assert_int_equal(sw_sampler_next(s, &ids), expected);
                    if (step) {
                        assert_int_equal(ahead, expected);
                        assert_memory_equal(foreseen, ids, (size_t)expected * sizeof *ids);
                    } else {
                        assert_int_equal(ahead, epoch ? 0 : -1);
                    }
                    assert_int_equal(sw_sampler_epoch(s), epoch);
                    assert_int_equal(sw_sampler_at_end(s), step + 1 == steps);
                    for (int64_t i = 0; i < expected; i++) {
                        assert_in_range(ids[i], 0, n - 1);
                        times[ids[i]]++;
                        if (order == SW_SEQUENTIAL)
                            assert_int_equal(ids[i], given + i);
                    }
                    given += expected;
                }
                for (int64_t i = 0; i < n && order != SW_WITH_REPLACEMENT; i++)
                    assert_int_equal(times[i], 1);
            }
            sw_sampler_free(s);
        }
}

enum { LENGTH = 100 };

static void draw_epoch(sw_sampler *s, int64_t *out) {
    int64_t at = 0;
    do {
        const int64_t *ids;
        int64_t count = sw_sampler_next(s, &ids);
        memcpy(out + at, ids, (size_t)count * sizeof *ids);
        at += count;
    } while (!sw_sampler_at_end(s));
    assert_int_equal(at, LENGTH);
}

static void test_sampler_orders_differ_by_epoch_and_seed(void **state) {
    (void)state;
    for (int o = 0; o < 2; o++) { /* the random ones */
        const sw_order order = orders[o];
        int64_t a[3][LENGTH], b[3][LENGTH], c[LENGTH];
        sw_sampler *s = sw_sampler_new(LENGTH, 7, order, 5), *same = sw_sampler_new(LENGTH, 30, order, 5),
                   *other = sw_sampler_new(LENGTH, 7, order, 6);
        for (int epoch = 0; epoch < 3; epoch++) {
            draw_epoch(s, a[epoch]);
            draw_epoch(same, b[epoch]); /* the order does not depend on the batch size */
            assert_memory_equal(a[epoch], b[epoch], sizeof a[epoch]);
            for (int k = 0; k < epoch; k++)
                assert_memory_not_equal(a[epoch], a[k], sizeof a[k]);
        }
        draw_epoch(other, c);
        assert_memory_not_equal(a[0], c, sizeof c);
        sw_sampler_free(s);
        sw_sampler_free(same);
        sw_sampler_free(other);
    }
}

/* Every sample is as likely in every place: id 0's places over many epochs, and all ids' counts
 * with replacement, within 6 standard deviations. */
static void test_sampler_puts_samples_anywhere_equally_often(void **state) {
    (void)state;
    enum { EPOCHS = 4000, FEW = 8 };
    for (int o = 0; o < 2; o++) {
        const sw_order order = orders[o];
        int times[FEW][FEW] = {{0}};
        sw_sampler *s = sw_sampler_new(FEW, FEW, order, 9);
        for (int epoch = 0; epoch < EPOCHS; epoch++) {
            const int64_t *ids;
            sw_sampler_next(s, &ids);
            for (int place = 0; place < FEW; place++)
                times[ids[place]][place]++;
        }
        double p = 1. / FEW, deviation = sqrt(EPOCHS * p * (1 - p));
        for (int i = 0; i < FEW; i++)
            for (int k = 0; k < FEW; k++)
                assert_true(fabs(times[i][k] - EPOCHS * p) <= 6 * deviation);
        sw_sampler_free(s);
    }
}

/* From every place in three epochs, and back from elsewhere: the batches that would have followed. */
static void test_sampler_resumes_from_any_place(void **state) {
    (void)state;
    enum { COUNT = 11, SIZE = 4, STEPS = 9 };
    for (int o = 0; o < 3; o++) {
        sw_sampler *s = sw_sampler_new(COUNT, SIZE, orders[o], 5);
        int64_t seen[STEPS][SIZE], count[STEPS], epoch[STEPS + 1], position[STEPS + 1];
        const int64_t *ids;
        for (int i = 0; i <= STEPS; i++) {
            epoch[i] = sw_sampler_epoch(s);
            position[i] = sw_sampler_position(s);
            assert_int_equal(position[i], i == 0 ? 0 : i % 3 ? i % 3 * SIZE : COUNT);
            if (i < STEPS) {
                count[i] = sw_sampler_next(s, &ids);
                memcpy(seen[i], ids, (size_t)count[i] * sizeof *ids);
            }
        }
        for (int from = 0; from < STEPS; from++)
            for (int fresh = 0; fresh < 2; fresh++) {
                sw_sampler *t = fresh ? sw_sampler_new(COUNT, SIZE, orders[o], 5) : s;
                assert_int_equal(sw_sampler_seek(t, epoch[from], position[from]), SW_OK);
                assert_int_equal(sw_sampler_epoch(t), epoch[from]);
                assert_int_equal(sw_sampler_position(t), position[from]);
                assert_int_equal(sw_sampler_at_end(t), position[from] == COUNT);
                if (position[from] < COUNT) {
                    assert_int_equal(sw_sampler_peek(t, &ids), count[from]);
                    assert_memory_equal(ids, seen[from], (size_t)count[from] * sizeof *ids);
                }
                for (int i = from; i < STEPS; i++) {
                    assert_int_equal(sw_sampler_next(t, &ids), count[i]);
                    assert_memory_equal(ids, seen[i], (size_t)count[i] * sizeof *ids);
                    assert_int_equal(sw_sampler_at_end(t), i % 3 == 2);
                }
                if (fresh)
                    sw_sampler_free(t);
            }
        /* The beginning of an epoch is its predecessor's end. */
        assert_int_equal(sw_sampler_seek(s, 1, 0), SW_OK);
        assert_int_equal(sw_sampler_next(s, &ids), SIZE);
        assert_memory_equal(ids, seen[3], sizeof seen[3]);
        static const int64_t wrong[][2] = {{-1, 0}, {0, -4}, {0, 3}, {0, 12}, {0, 10}};
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            char text[120];
            snprintf(text, sizeof text,
                     "sampler: epoch %d, position %d is not at the end of a batch of 4 of the 11 samples",
                     (int)wrong[i][0], (int)wrong[i][1]);
            assert_int_equal(sw_sampler_seek(s, wrong[i][0], wrong[i][1]), SW_ERR_ARGUMENT);
            expect_error(SW_ERR_ARGUMENT, text);
            assert_int_equal(sw_sampler_position(s), SIZE);
            assert_int_equal(sw_sampler_epoch(s), 1);
        }
        sw_sampler_free(s);
    }
    assert_int_equal(sw_sampler_seek(NULL, 0, 0), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "sampler: seek of NULL");
}

static void test_sampler_refuses_wrong_arguments(void **state) {
    (void)state;
    assert_null(sw_sampler_new(0, 1, SW_SHUFFLE, 1));
    expect_error(SW_ERR_ARGUMENT, "sampler: 0 samples in batches of 1");
    assert_null(sw_sampler_new(5, 0, SW_SHUFFLE, 1));
    expect_error(SW_ERR_ARGUMENT, "sampler: 5 samples in batches of 0");
    assert_null(sw_sampler_new(5, 1, (sw_order)9, 1));
    expect_error(SW_ERR_ARGUMENT, "sampler: 9 is not a value of sw_order");
}

/* No sum of n and the batch overflows. */
static void test_sampler_takes_the_largest_batch_size(void **state) {
    (void)state;
    const int64_t *ids;
    sw_sampler *s = sw_sampler_new(5, INT64_MAX, SW_SEQUENTIAL, 1);
    assert_int_equal(sw_sampler_steps_per_epoch(s), 1);
    assert_int_equal(sw_sampler_next(s, &ids), 5);
    assert_true(sw_sampler_at_end(s));
    sw_sampler_free(s);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_clear, test_no_error_left)
    const struct CMUnitTest tests[] = {
        TEST(test_sampler_gives_each_sample_once_an_epoch),
        TEST(test_sampler_orders_differ_by_epoch_and_seed),
        TEST(test_sampler_puts_samples_anywhere_equally_often),
        TEST(test_sampler_resumes_from_any_place),
        TEST(test_sampler_refuses_wrong_arguments),
        TEST(test_sampler_takes_the_largest_batch_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
