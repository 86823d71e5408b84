/* Batches: values, orders, ends of epochs, failures, memory. */
#include "helpers.h"

/* ---- A small source ---- */

enum { N = 103, HEIGHT = 3, WIDTH = 7, PIXELS = HEIGHT * WIDTH, CLASSES = 4 };
static const int64_t shape[3] = {N, HEIGHT, WIDTH};

static unsigned char pixel_of(int64_t id, int j) {
    return noise((size_t)id * PIXELS + (size_t)j);
}

static sw_source *open_small(bool packed, double scale, double shift) {
    sw_images_options options = {.size = sizeof options, .classes = CLASSES, .scale = scale, .shift = shift};
    bytes data[2] = {make_idx(3, shape), make_idx(1, shape)};
    const char *path[2];
    for (int i = 0; i < N; i++)
        data[1].at[8 + i] = (unsigned char)(i * 7 % CLASSES);
    for (int i = 0; i < 2; i++) {
        bytes gz = gzip(data[i].at, data[i].size), *b = packed ? &gz : &data[i];
        path[i] = write_file(i ? "labels" : "images", b->at, b->size);
        free(gz.at);
    }
    sw_source *source = sw_idx_images(path[0], path[1], &options);
    if (!source)
        fail_msg("%s", sw_error());
    for (int i = 0; i < 2; i++) {
        remove_file(path[i]);
        free(data[i].at);
    }
    return source;
}

/* One epoch: the ids in the order they come. Returns the number of batches. */
static int run_epoch(sw_loader *loader, int64_t *ids, int64_t batch_size) {
    sw_tape *tape = sw_tape_new();
    int64_t at = 0;
    int batches = 0;
    for (sw_batch b; sw_loader_next(loader, tape, &b); sw_tape_reset(tape), batches++) {
        assert_true(at + b.count <= N);
        assert_int_equal(b.count, N - at < batch_size ? N - at : batch_size);
        memcpy(ids + at, b.ids, (size_t)b.count * sizeof *ids);
        at += b.count;
    }
    assert_null(sw_error());
    assert_int_equal(at, N);
    sw_tape_free(tape);
    return batches;
}

static void check_permutation(const int64_t *ids) {
    bool seen[N] = {false};
    for (int i = 0; i < N; i++) {
        assert_in_range(ids[i], 0, N - 1);
        assert_false(seen[ids[i]]);
        seen[ids[i]] = true;
    }
}

/* ---- Values ---- */

static void check_batch(const sw_batch *b, sw_dtype type, double scale, double shift) {
    sw_array x = sw_value(b->x), y = sw_value(b->y);
    assert_int_equal(x.type, type);
    assert_int_equal(x.rank, 2);
    assert_int_equal(x.shape[0], b->count);
    assert_int_equal(x.shape[1], PIXELS);
    assert_int_equal(y.type, SW_I32);
    assert_int_equal(y.rank, 1);
    assert_int_equal(y.shape[0], b->count);
    for (int64_t i = 0; i < b->count; i++) {
        assert_int_equal(((int32_t *)y.data)[i], b->ids[i] * 7 % CLASSES);
        for (int j = 0; j < PIXELS; j++) {
            const unsigned char p = pixel_of(b->ids[i], j);
            if (type == SW_F32) { /* every operation rounded to f32 */
                const float product = (float)p * (float)scale;
                assert_true(((float *)x.data)[i * PIXELS + j] == product + (float)shift);
            } else {
                assert_true(((double *)x.data)[i * PIXELS + j] == p * scale + shift);
            }
        }
    }
}

static void check_values(bool packed, sw_dtype type, double scale, double shift) {
    count_memory(-1);
    sw_source *source = open_small(packed, scale, shift);
    const sw_loader_options options = {.size = sizeof options, .type = type, .order = SW_SHUFFLE, .seed = 3};
    sw_loader *loader = sw_loader_new(source, 40, &options); /* more than one tile of gathering */
    sw_tape *tape = sw_tape_new();
    int batches = 0;
    for (sw_batch b; sw_loader_next(loader, tape, &b); sw_tape_reset(tape), batches++)
        check_batch(&b, type, scale == 0 && shift == 0 ? 1.0 / 255 : scale, shift);
    assert_int_equal(batches, 3);
    assert_null(sw_error());
    sw_tape_free(tape);
    sw_loader_free(loader);
    sw_source_free(source);
    check_memory();
}

static void test_pixels_are_scaled_and_shifted(void **state) {
    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        check_values(packed, SW_F32, 0, 0);
        check_values(packed, SW_F64, 0, 0);
        check_values(packed, SW_F32, 1 / (255 * 0.3530), -0.2860 / 0.3530);
        check_values(packed, SW_F64, 1 / (255 * 0.3530), -0.2860 / 0.3530);
        check_values(packed, SW_F32, 0, 0.5); /* scale 0 is meant if shift is not 0 */
    }
}

static void test_black_is_zero_and_white_is_one(void **state) {
    (void)state;
    sw_source *source = open_small(false, 0, 0);
    float x[PIXELS];
    double z[PIXELS];
    int black = 0, white = 0;
    for (int64_t i = 0; i < N; i++) {
        source->gather(source, &i, 1, 0, SW_F32, x, NULL);
        source->gather(source, &i, 1, 0, SW_F64, z, NULL);
        for (int j = 0; j < PIXELS; j++) {
            const int p = pixel_of(i, j);
            assert_true(x[j] >= 0 && x[j] <= 1 && z[j] >= 0 && z[j] <= 1);
            assert_true((p == 0) == (x[j] == 0) && (p == 255) == (x[j] == 1));
            assert_true((p == 0) == (z[j] == 0) && (p == 255) == (z[j] == 1));
            black += p == 0;
            white += p == 255;
        }
    }
    assert_true(black && white);
    sw_source_free(source);
}

/* Whatever the number of threads: the same bits. */
static void test_every_number_of_threads_gathers_the_same(void **state) {
    (void)state;
    sw_source *source = open_small(false, 0, 0);
    const int before = sw_threads();
    float first[N * PIXELS];
    int64_t ids[N];
    for (int i = 0; i < N; i++)
        ids[i] = i * 10 % N;
    for (int threads = 1; threads <= 4; threads++) {
        assert_int_equal(sw_set_threads(threads), SW_OK);
        sw_tape *tape = sw_tape_new();
        sw_batch b;
        assert_int_equal(sw_source_batch(source, tape, SW_F32, ids, N, &b), SW_OK);
        check_batch(&b, SW_F32, 1.0 / 255, 0);
        if (threads == 1)
            memcpy(first, sw_value(b.x).data, sizeof first);
        assert_memory_equal(first, sw_value(b.x).data, sizeof first);
        sw_tape_free(tape);
    }
    sw_set_threads(before);
    sw_source_free(source);
}

/* ---- Orders ---- */

static sw_loader *open_loader(const sw_source *source, int64_t batch, sw_order order, uint64_t seed) {
    const sw_loader_options options = {.size = sizeof options, .order = order, .seed = seed};
    return sw_loader_new(source, batch, &options);
}

static void test_every_sample_comes_once_an_epoch(void **state) {
    static const int64_t batch[] = {1, 10, 64, 102, 103, 104, 1000};
    (void)state;
    sw_source *source = open_small(true, 0, 0);
    for (size_t i = 0; i < sizeof batch / sizeof *batch; i++) {
        sw_loader *loader = open_loader(source, batch[i], SW_SHUFFLE, 1);
        const int64_t expected = (N + batch[i] - 1) / batch[i];
        int64_t ids[4][N];
        assert_int_equal(sw_loader_batches(loader), expected);
        for (int epoch = 0; epoch < 4; epoch++) {
            assert_int_equal(sw_loader_epoch(loader), epoch);
            assert_int_equal(run_epoch(loader, ids[epoch], batch[i]), expected);
            check_permutation(ids[epoch]);
            for (int other = 0; other < epoch; other++)
                assert_true(memcmp(ids[epoch], ids[other], sizeof ids[0]) != 0);
        }
        assert_int_equal(sw_loader_epoch(loader), 4);
        sw_loader_free(loader);
    }
    sw_source_free(source);
}

static void test_seed_decides_the_order(void **state) {
    (void)state;
    sw_source *source = open_small(true, 0, 0);
    int64_t ids[3][2][N];
    for (int i = 0; i < 3; i++) {
        sw_loader *loader = open_loader(source, 10, SW_SHUFFLE, i == 2 ? 6 : 5);
        for (int epoch = 0; epoch < 2; epoch++)
            run_epoch(loader, ids[i][epoch], 10);
        sw_loader_free(loader);
    }
    assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
    assert_memory_not_equal(ids[0][0], ids[2][0], sizeof ids[0][0]);
    assert_memory_not_equal(ids[0][1], ids[2][1], sizeof ids[0][1]);
    sw_source_free(source);
}

static void test_defaults_are_shuffled_and_f32(void **state) {
    (void)state;
    sw_source *source = open_small(false, 0, 0);
    int64_t ids[2][N];
    sw_loader *loader = sw_loader_new(source, 10, NULL);
    run_epoch(loader, ids[0], 10);
    sw_tape *tape = sw_tape_new();
    sw_batch b;
    assert_true(sw_loader_next(loader, tape, &b));
    assert_int_equal(sw_value(b.x).type, SW_F32);
    sw_tape_free(tape);
    sw_loader_free(loader);
    loader = open_loader(source, 10, SW_SHUFFLE, 0);
    run_epoch(loader, ids[1], 10);
    assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
    sw_loader_free(loader);
    sw_source_free(source);
}

static void test_sequential_and_replacement_orders_are_right(void **state) {
    (void)state;
    sw_source *source = open_small(true, 0, 0);
    int64_t ids[N];
    sw_loader *loader = open_loader(source, 10, SW_SEQUENTIAL, 9);
    for (int epoch = 0; epoch < 2; epoch++) {
        run_epoch(loader, ids, 10);
        for (int i = 0; i < N; i++)
            assert_int_equal(ids[i], i);
    }
    sw_loader_free(loader);
    loader = open_loader(source, 10, SW_WITH_REPLACEMENT, 9);
    bool seen[N] = {false};
    int distinct = 0;
    run_epoch(loader, ids, 10);
    for (int i = 0; i < N; i++) {
        assert_in_range(ids[i], 0, N - 1);
        distinct += !seen[ids[i]];
        seen[ids[i]] = true;
    }
    assert_in_range(distinct, N / 2, 4 * N / 5); /* about 1 - 1/e */
    sw_loader_free(loader);
    sw_source_free(source);
}

/* ---- Prefetching and failures, with a source that takes notes ---- */

typedef struct noting {
    sw_source source;
    int gathered, fail_at; /* calls of gather; the one that fails, -1: none */
    int64_t asked[16];     /* ids of the last prefetch */
    int64_t asked_count;
    int prefetches;
} noting;

static sw_status note_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                             void *x, void *y) {
    (void)draw;
    noting *s = (noting *)(uintptr_t)source;
    (void)type, (void)y;
    if (s->gathered++ == s->fail_at)
        return sw_fail(SW_ERR_IO, "the disk is gone");
    for (int64_t i = 0; i < count; i++)
        ((float *)x)[i] = (float)ids[i];
    return SW_OK;
}

static void note_prefetch(const sw_source *source, const int64_t *ids, int64_t count) {
    noting *s = (noting *)(uintptr_t)source;
    assert_in_range(count, 1, 16);
    memcpy(s->asked, ids, (size_t)count * sizeof *ids);
    s->asked_count = count;
    s->prefetches++;
}

static noting new_noting(void) {
    return (noting){.source = {.size = sizeof(sw_source),
                               .n = 20,
                               .x_rank = 0,
                               .y_rank = -1,
                               .gather = note_gather,
                               .prefetch = note_prefetch},
                    .fail_at = -1};
}

static void test_loader_announces_the_next_batch(void **state) {
    (void)state;
    noting s = new_noting();
    sw_loader *loader = open_loader(&s.source, 8, SW_SHUFFLE, 2);
    sw_tape *tape = sw_tape_new();
    sw_batch b;
    for (int i = 0; sw_loader_next(loader, tape, &b); i++, sw_tape_reset(tape)) {
        assert_true(sw_is_null(b.y));
        if (i > 0) { /* what came is what was asked for */
            assert_int_equal(b.count, i == 1 ? 8 : 4);
            assert_int_equal(s.prefetches, 2);
        } else {
            assert_int_equal(s.prefetches, 1);
        }
        if (i == 2)
            assert_memory_equal(s.asked, b.ids, (size_t)b.count * sizeof *b.ids);
    }
    assert_int_equal(s.prefetches, 2);
    s.source.prefetch = NULL; /* it is optional */
    assert_true(sw_loader_next(loader, tape, &b));
    assert_null(sw_error());
    sw_loader_free(loader);
    sw_tape_free(tape);
}

/* false once at the end of each epoch, and never twice in a row */
static void test_every_epoch_ends_once(void **state) {
    static const int count[4] = {8, 8, 4, 0};
    (void)state;
    noting s = new_noting();
    sw_loader *loader = open_loader(&s.source, 8, SW_SHUFFLE, 2);
    sw_tape *tape = sw_tape_new();
    sw_batch b;
    for (int call = 0; call < 40; call++, sw_tape_reset(tape)) {
        assert_int_equal(sw_loader_next(loader, tape, &b), call % 4 != 3);
        assert_int_equal(b.count, count[call % 4]);
        assert_int_equal(sw_loader_epoch(loader), (call + 1) / 4);
    }
    sw_loader_free(loader);
    sw_tape_free(tape);
}

static void test_failed_batch_ends_the_epoch(void **state) {
    (void)state;
    for (int at = 0; at < 3; at++) {
        noting s = new_noting();
        s.fail_at = at;
        sw_loader *loader = open_loader(&s.source, 8, SW_SHUFFLE, 2);
        sw_tape *tape = sw_tape_new();
        sw_batch b;
        for (int i = 0; i < at; i++, sw_tape_reset(tape))
            assert_true(sw_loader_next(loader, tape, &b));
        assert_false(sw_loader_next(loader, tape, &b));
        assert_int_equal(b.count, 0);
        assert_true(sw_is_null(b.x));
        assert_int_equal(sw_loader_epoch(loader), 1);
        check_error(SW_ERR_IO, "the disk", "is gone");
        sw_tape_reset(tape);
        int batches = 0;
        for (; sw_loader_next(loader, tape, &b); sw_tape_reset(tape))
            batches++;
        assert_int_equal(batches, 3);
        assert_int_equal(sw_loader_epoch(loader), 2);
        assert_null(sw_error());
        sw_loader_free(loader);
        sw_tape_free(tape);
    }
}

/* A loop without sw_tape_reset grew until memory was gone. */
static void test_forgotten_reset_is_named(void **state) {
    (void)state;
    noting s = new_noting();
    sw_loader *loader = open_loader(&s.source, 8, SW_SHUFFLE, 2);
    sw_tape *tape = sw_tape_new(), *other = sw_tape_new();
    sw_batch b;
    assert_true(sw_loader_next(loader, tape, &b));
    assert_false(sw_loader_next(loader, tape, &b));
    check_error(SW_ERR_STATE, "loader: ", "call sw_tape_reset between batches");
    assert_true(sw_is_null(b.x) && b.count == 0);
    assert_int_equal(sw_loader_epoch(loader), 1); /* a loop over batches ends */
    sw_tape_reset(tape);
    for (int i = 0; i < 3; i++, sw_tape_reset(tape)) /* and the next epoch is a whole one */
        assert_true(sw_loader_next(loader, tape, &b));
    assert_false(sw_loader_next(loader, tape, &b));
    assert_int_equal(sw_loader_epoch(loader), 2);
    /* Batches on two tapes in turn are no mistake. */
    assert_true(sw_loader_next(loader, tape, &b));
    assert_true(sw_loader_next(loader, other, &b));
    sw_tape_reset(tape);
    assert_true(sw_loader_next(loader, tape, &b));
    assert_null(sw_error());
    sw_loader_free(loader);
    sw_tape_free(tape);
    sw_tape_free(other);
}

static void test_source_without_gather_is_refused(void **state) {
    (void)state;
    noting s = new_noting();
    s.source.gather = NULL;
    sw_tape *tape = sw_tape_new();
    sw_batch b;
    sw_loader *loader = sw_loader_new(&s.source, 8, NULL);
    if (loader)
        assert_false(sw_loader_next(loader, tape, &b));
    check_error(SW_ERR_ARGUMENT, "", "gather");
    sw_loader_free(loader);
    sw_tape_free(tape);
}

static void check_no_loader(const sw_source *source, int64_t batch, const sw_loader_options *options, sw_status status,
                            const char *part) {
    assert_null(sw_loader_new(source, batch, options));
    check_error(status, "loader: ", part);
}

static void test_refuses_wrong_arguments(void **state) {
    (void)state;
    noting s = new_noting();
    const sw_loader_options i32 = {.size = sizeof i32, .type = SW_I32};
    const sw_loader_options f16 = {.size = sizeof f16, .type = SW_F16};
    const sw_loader_options order = {.size = sizeof order, .order = (sw_order)7};
    const sw_loader_options no_size = {.seed = 1};
    check_no_loader(NULL, 8, NULL, SW_ERR_ARGUMENT, "source is NULL");
    check_no_loader(&s.source, 0, NULL, SW_ERR_ARGUMENT, "at least 1");
    check_no_loader(&s.source, -1, NULL, SW_ERR_ARGUMENT, "at least 1");
    check_no_loader(&s.source, 8, &i32, SW_ERR_TYPE, "not i32");
    check_no_loader(&s.source, 8, &f16, SW_ERR_TYPE, "not f16; layers convert it to the type of their weights");
    check_no_loader(&s.source, 8, &order, SW_ERR_ARGUMENT, "order 7 is not a value of sw_order");
    check_no_loader(&s.source, 8, &no_size, SW_ERR_ARGUMENT, "options.size");
    s.source.n = 0;
    check_no_loader(&s.source, 8, NULL, SW_ERR_ARGUMENT, "0 samples");
}

/* A program that never checks: a missing dataset is the message, and nothing crashes. */
static void test_null_source_gives_one_message(void **state) {
    (void)state;
    sw_source *source = sw_fashion_mnist("/nowhere", SW_TRAINING);
    sw_loader *loader = sw_loader_new(source, 64, NULL);
    sw_tape *tape = sw_tape_new();
    for (sw_batch b; sw_loader_next(loader, tape, &b);)
        fail();
    assert_int_equal(sw_loader_batches(loader), 0);
    assert_int_equal(sw_loader_epoch(loader), 0);
    check_error(SW_ERR_IO, "/nowhere", "`make deps`");
    noting s = new_noting();
    loader = sw_loader_new(&s.source, 8, NULL);
    sw_batch b;
    assert_false(sw_loader_next(loader, NULL, &b));
    check_error(SW_ERR_ARGUMENT, "loader", "tape is NULL");
    assert_false(sw_loader_next(loader, tape, NULL));
    check_error(SW_ERR_ARGUMENT, "loader", "batch is NULL");
    assert_int_equal(sw_loader_epoch(loader), 0); /* nothing was passed over */
    sw_loader_free(loader);
    sw_loader_free(NULL);
    sw_source_free(NULL);
    sw_tape_free(tape);
}

/* ---- Memory ---- */

static void test_no_allocation_after_the_first_step(void **state) {
    (void)state;
    sw_source *source = open_small(false, 0, 0);
    count_memory(-1);
    sw_loader *loader = sw_loader_new(source, 10, NULL);
    sw_tape *tape = sw_tape_new();
    sw_batch b;
    assert_true(sw_loader_next(loader, tape, &b));
    sw_tape_reset(tape);
    const long long made = memory_requests();
    for (int epoch = 0; epoch < 5; epoch++)
        for (; sw_loader_next(loader, tape, &b); sw_tape_reset(tape))
            ;
    assert_int_equal(memory_requests(), made);
    sw_loader_free(loader);
    sw_tape_free(tape);
    check_memory();
    sw_source_free(source);
}

static void test_loader_survives_every_failed_allocation(void **state) {
    (void)state;
    sw_source *source = open_small(false, 0, 0);
    bool ok = false;
    int64_t k = 0;
    for (; !ok; k++) {
        count_memory(k);
        sw_loader *loader = sw_loader_new(source, 10, NULL);
        sw_tape *tape = sw_tape_new();
        sw_batch b;
        ok = sw_loader_next(loader, tape, &b);
        if (!ok)
            check_error(SW_ERR_MEMORY, "", "out of memory");
        sw_loader_free(loader);
        sw_tape_free(tape);
        check_memory();
        assert_true(k < 100);
    }
    assert_null(sw_error());
    assert_true(k > 3);
    sw_source_free(source);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pixels_are_scaled_and_shifted),
        cmocka_unit_test(test_black_is_zero_and_white_is_one),
        cmocka_unit_test(test_every_number_of_threads_gathers_the_same),
        cmocka_unit_test(test_every_sample_comes_once_an_epoch),
        cmocka_unit_test(test_seed_decides_the_order),
        cmocka_unit_test(test_defaults_are_shuffled_and_f32),
        cmocka_unit_test(test_sequential_and_replacement_orders_are_right),
        cmocka_unit_test(test_loader_announces_the_next_batch),
        cmocka_unit_test(test_every_epoch_ends_once),
        cmocka_unit_test(test_failed_batch_ends_the_epoch),
        cmocka_unit_test(test_forgotten_reset_is_named),
        cmocka_unit_test(test_source_without_gather_is_refused),
        cmocka_unit_test(test_refuses_wrong_arguments),
        cmocka_unit_test(test_null_source_gives_one_message),
        cmocka_unit_test(test_no_allocation_after_the_first_step),
        cmocka_unit_test(test_loader_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
