/* Batches of a source: values and types, errors of gather with their message, draws, and memory that a tape reads in
 * place. */
#include "support.h"

#include "helpers.h"

typedef struct counting_source {
    sw_source source;
    int64_t fail_at; /* the sample that cannot be read; -1: none */
} counting_source;

static sw_status gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                        void *x, void *y) {
    (void)draw;
    const counting_source *s = (const counting_source *)source;
    int64_t width = 1, targets = 1;
    for (int i = 0; i < source->x_rank; i++)
        width *= source->x_shape[i];
    for (int i = 0; i < source->y_rank; i++)
        targets *= source->y_shape[i];
    sw_array to = {.data = x, .type = type};
    sw_array target = {.data = y, .type = source->y_type == SW_I32 ? SW_I32 : type};
    for (int64_t i = 0; i < count; i++) {
        if (ids[i] == s->fail_at)
            return SW_ERR_IO;
        for (int64_t k = 0; k < width && x; k++)
            test_set(&to, i * width + k, (double)(ids[i] * 100 + k));
        for (int64_t k = 0; k < targets && y; k++)
            test_set(&target, i * targets + k, (double)(ids[i] * 10 + k));
    }
    return SW_OK;
}

static int freed;
static void count_free(sw_source *source) {
    (void)source;
    freed++;
}

static void test_source_batch_holds_the_samples(void **state) {
    sw_tape *tape = *state;
    enum { MANY = 2100 };
    int64_t ids[MANY];
    for (int i = 0; i < MANY; i++)
        ids[i] = (int64_t)i * 37 % 5000;
    for (int kind = 0; kind < 3; kind++)
        for (int t = SW_F32; t <= SW_F64; t++)
            for (int64_t count = 1; count <= MANY; count = count * 9 + 3) {
                counting_source s = {
                    {.size = sizeof(sw_source), .n = 5000, .x_rank = 2, .x_shape = {2, 3}, .gather = gather}, -1};
                s.source.y_rank = kind == 0 ? -1 : kind == 1 ? 0 : 1;
                s.source.y_shape[0] = 4;
                s.source.y_type = kind == 1 ? SW_I32 : SW_F64;
                sw_batch b;
                assert_int_equal(sw_source_batch(&s.source, tape, (sw_dtype)t, ids, count, &b), SW_OK);
                sw_array x = sw_value(b.x);
                assert_int_equal(x.type, t);
                assert_int_equal(x.rank, 3);
                assert_int_equal(x.shape[0], count);
                assert_int_equal(x.shape[1], 2);
                assert_int_equal(x.shape[2], 3);
                assert_int_equal(b.count, count);
                for (int64_t i = 0; i < count; i++) {
                    assert_int_equal(b.ids[i], ids[i]);
                    for (int k = 0; k < 6; k++)
                        assert_true(test_get(&x, i * 6 + k) == (double)(ids[i] * 100 + k));
                }
                assert_ptr_not_equal(b.ids, ids); /* the tape's own copy */
                assert_ptr_equal(sw_tape_sample_ids(tape, count), b.ids);
                if (kind == 0) {
                    assert_true(sw_is_null(b.y));
                } else {
                    sw_array y = sw_value(b.y);
                    int64_t width = kind == 1 ? 1 : 4;
                    assert_int_equal(y.type, kind == 1 ? SW_I32 : t); /* real targets in x's type */
                    assert_int_equal(y.rank, kind);
                    for (int64_t i = 0; i < count * width; i++)
                        assert_true(test_get(&y, i) == (double)(ids[i / width] * 10 + i % width));
                }
                sw_tape_reset(tape);
            }
}

static void test_source_batch_refuses_wrong_calls(void **state) {
    sw_tape *tape = *state;
    counting_source s = {{.size = sizeof(sw_source),
                          .n = 10,
                          .x_rank = 1,
                          .x_shape = {3},
                          .y_type = SW_I32,
                          .gather = gather,
                          .free = count_free},
                         -1};
    sw_batch b;
    int64_t ids[3] = {1, 10, 2};
    assert_int_equal(sw_source_batch(&s.source, tape, SW_F32, ids, 3, &b), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: sample 10 is outside 0 to 9");
    assert_true(sw_is_null(b.x) && sw_is_null(b.y) && b.count == 0);
    ids[1] = -1;
    assert_int_equal(sw_source_batch(&s.source, tape, SW_F32, ids, 3, &b), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: sample -1 is outside 0 to 9");
    ids[1] = 5;
    assert_int_equal(sw_source_batch(&s.source, tape, SW_I32, ids, 3, &b), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "batch: samples are gathered as f32 or f64, not i32");
    assert_int_equal(sw_source_batch(NULL, tape, SW_F32, ids, 3, &b), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: the source is NULL");
    assert_int_equal(sw_source_batch(&s.source, NULL, SW_F32, ids, 3, &b), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: the tape is NULL");
    assert_int_equal(sw_source_batch(&s.source, tape, SW_F32, ids, -1, &b), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: -1 samples requested");
    assert_int_equal(sw_source_batch(&s.source, tape, SW_F32, ids, 0, &b), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: 0 samples requested");
    assert_true(sw_is_null(b.x) && sw_is_null(b.y) && b.count == 0);
    assert_int_equal(sw_source_batch(&s.source, tape, SW_F32, NULL, 3, &b), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: 3 samples requested");
    s.source.x_rank = SW_MAX_RANK;
    assert_int_equal(sw_source_batch(&s.source, tape, SW_F32, ids, 3, &b), SW_ERR_SHAPE);
    expect_error(SW_ERR_SHAPE, "batch: a sample has at most 7 axes");
    s.source.x_rank = 1;
    /* A sample that cannot be read, wherever it is and whichever thread meets it. */
    enum { MANY = 1500 };
    s.source.n = MANY;
    int64_t many[MANY];
    for (int i = 0; i < MANY; i++)
        many[i] = i;
    static const int64_t bad[] = {0, 7, 8, 511, 512, 513, 1499};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        s.fail_at = bad[i];
        assert_int_equal(sw_source_batch(&s.source, tape, SW_F32, many, MANY, &b), SW_ERR_IO);
        expect_error(SW_ERR_IO, "batch: samples could not be gathered: the source's gather returned status 7 without "
                                "a message");
    }
    sw_source_free(&s.source);
    assert_int_equal(freed, 1);
    sw_source_free(NULL);
}

/* x = id + 1000·draw, y = -x */
static sw_status drawn_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                              void *x, void *y) {
    (void)source;
    for (int64_t i = 0; i < count; i++) {
        if (x)
            test_set(&(sw_array){.data = x, .type = type}, i, (double)ids[i] + 1000. * (double)draw);
        if (y)
            test_set(&(sw_array){.data = y, .type = type}, i, -(double)ids[i] - 1000. * (double)draw);
    }
    return SW_OK;
}

static void test_source_batch_passes_the_draw(void **state) {
    sw_tape *tape = *state;
    const sw_source s = {.size = sizeof s, .n = 30, .y_type = SW_F64, .gather = drawn_gather};
    const int64_t ids[12] = {3, 29, 0, 7, 7, 12, 13, 14, 15, 16, 17, 18};
    sw_batch b;
    sw_tape_set_draw(tape, 5);
    assert_int_equal(sw_source_batch(&s, tape, SW_F64, ids, 12, &b), SW_OK);
    for (int i = 0; i < 12; i++)
        assert_true(((double *)sw_value(b.x).data)[i] == (double)ids[i] + 5000);
    assert_int_equal(sw_source_batch_with_draw(&s, tape, SW_F64, 9, ids, 12, &b), SW_OK);
    for (int i = 0; i < 12; i++)
        assert_true(((double *)sw_value(b.y).data)[i] == -(double)ids[i] - 9000);
    assert_int_equal(sw_tape_draw(tape), 5);
    float x[12], y[12];
    assert_int_equal(sw_source_gather(&s, SW_F32, 2, ids, 12, x, y), SW_OK);
    for (int i = 0; i < 12; i++)
        assert_true(x[i] == (float)ids[i] + 2000 && y[i] == -x[i]);
    x[0] = y[0] = 0;
    assert_int_equal(sw_source_gather(&s, SW_F32, 3, ids, 1, x, NULL), SW_OK);
    assert_int_equal(sw_source_gather(&s, SW_F32, 4, ids, 1, NULL, y), SW_OK);
    assert_true(x[0] == 3003 && y[0] == -4003);
    assert_int_equal(sw_source_gather(&s, SW_U8, 0, ids, 1, x, NULL), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "batch: samples are gathered as f32 or f64, not u8");
    assert_int_equal(sw_source_gather(NULL, SW_F32, 0, ids, 1, x, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: the source is NULL");
    const sw_source none = {.size = sizeof s, .n = 30, .y_rank = -1, .gather = drawn_gather};
    assert_int_equal(sw_source_gather(&none, SW_F32, 0, ids, 1, x, y), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: the source has no targets");
}

/* ---- Memory lent to a tape ---- */

static void count_release(void *user) {
    ++*(int *)user;
}

static void test_tape_calls_deferred_functions_once(void **state) {
    (void)state;
    int times[20] = {0};
    sw_tape *tape = sw_tape_new();
    for (int round = 1; round <= 3; round++) {
        sw_mark mark = sw_tape_mark(tape);
        for (int i = 0; i < 20; i++) /* more than there is room for at first */
            assert_int_equal(sw_tape_defer(tape, count_release, &times[i]), SW_OK);
        assert_int_equal(sw_tape_rewind(tape, mark), SW_OK);
        for (int i = 0; i < 20; i++)
            assert_int_equal(times[i], round - 1); /* not before the reset, not at a rewind */
        sw_tape_reset(tape);
        for (int i = 0; i < 20; i++)
            assert_int_equal(times[i], round);
        sw_tape_reset(tape);
    }
    assert_int_equal(sw_tape_defer(tape, count_release, &times[0]), SW_OK);
    assert_int_equal(sw_tape_defer(tape, NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "tape_defer: the function is NULL");
    assert_int_equal(sw_tape_defer(NULL, count_release, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "tape_defer: the tape is NULL");
    sw_tape_free(tape);
    assert_int_equal(times[0], 4);
    assert_int_equal(times[1], 3);
    test_allocator a;
    test_allocator_install(&a);
    tape = sw_tape_new();
    test_allocator_fail(&a, 1, false);
    assert_int_equal(sw_tape_defer(tape, count_release, &times[1]), SW_ERR_MEMORY);
    sw_clear_error();
    assert_int_equal(sw_tape_defer(tape, count_release, &times[2]), SW_OK);
    sw_tape_free(tape);
    assert_int_equal(times[1], 3);
    assert_int_equal(times[2], 4);
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

/* ---- Errors in worker threads ---- */

typedef struct torn_source {
    sw_source source;
    int64_t torn;
} torn_source;

static sw_status torn_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                             void *x, void *y) {
    (void)draw;
    (void)type, (void)y;
    for (int64_t i = 0; i < count; i++) {
        if (ids[i] == ((const torn_source *)source)->torn)
            return sw_fail(SW_ERR_FORMAT, "sample %d is torn", (int)ids[i]);
        ((float *)x)[i] = (float)ids[i];
    }
    return SW_OK;
}

/* Whichever thread met the sample, its message is the caller's. */
static void test_message_of_a_worker_thread_reaches_the_caller(void **state) {
    sw_tape *tape = *state;
    enum { N = 2000 };
    static int64_t ids[N];
    for (int i = 0; i < N; i++)
        ids[i] = i;
    assert_int_equal(sw_set_threads(4), SW_OK);
    torn_source s = {.source = {.size = sizeof(sw_source), .n = N, .y_rank = -1, .gather = torn_gather}};
    for (s.torn = 0; s.torn < N; s.torn += 37) {
        sw_batch b;
        char text[64];
        snprintf(text, sizeof text, "sample %d is torn", (int)s.torn);
        assert_int_equal(sw_source_batch(&s.source, tape, SW_F32, ids, N, &b), SW_ERR_FORMAT);
        expect_error(SW_ERR_FORMAT, text);
        sw_tape_reset(tape);
    }
    assert_int_equal(sw_set_threads(1), SW_OK);
    s.source.gather = NULL;
    sw_batch b;
    assert_int_equal(sw_source_batch(&s.source, tape, SW_F32, ids, N, &b), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: the source has no gather function");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, tape_setup, tape_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_source_batch_holds_the_samples),
        TEST(test_source_batch_refuses_wrong_calls),
        TEST(test_source_batch_passes_the_draw),
        TEST(test_tape_calls_deferred_functions_once),
        TEST(test_message_of_a_worker_thread_reaches_the_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
