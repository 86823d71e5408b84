/* Each work item runs once, on a worker with separate scratch memory. The error is that of the lowest item that fails,
 * whatever the timing of the threads. Partial sums are added in one order. */
#define _GNU_SOURCE
#include "support.h"

#include <swale/extend.h>

#include <unistd.h>

static const int thread_counts[] = {1, 2, 3, 8};
#define FOR_EACH_THREAD_COUNT(threads)                                                                             \
    for (size_t k_ = 0, threads = 1; k_ < sizeof thread_counts / sizeof *thread_counts &&                          \
                                     (threads = (size_t)thread_counts[k_], sw_set_threads((int)threads) == SW_OK); \
         k_++)

/* ---- Each item once, its worker to itself ---- */

enum { STATUS = 42 }; /* none of the library's */
enum { ITEMS = 3000, MOST_WORKERS = 64, SCRATCH = 200 };

typedef struct visits {
    atomic_uchar times[ITEMS];
    atomic_bool busy[MOST_WORKERS];
    _Atomic(void *) scratch[MOST_WORKERS];
    int most_workers;
    size_t scratch_bytes;
    atomic_bool wrong;
} visits;

static sw_status visit_item(void *args, int64_t item, sw_worker *w) {
    visits *v = args;
    bool right = w->size == sizeof(sw_worker) && w->index >= 0 && w->index < w->count && w->count <= v->most_workers;
    if (right) {
        right = !atomic_exchange(&v->busy[w->index], true); /* one item at a time */
        void *before = atomic_exchange(&v->scratch[w->index], w->scratch);
        right = right && (!before || before == w->scratch);
        right = right && (v->scratch_bytes ? w->scratch && (uintptr_t)w->scratch % SW_ALIGNMENT == 0 : !w->scratch);
        if (w->scratch)
            memset(w->scratch, (int)item, v->scratch_bytes);
        for (volatile int work = 0; work < (int)(item % 7) * 50; work = work + 1)
            ;                                                  /* items of different cost */
        for (size_t i = 0; right && i < v->scratch_bytes; i++) /* nobody else wrote there */
            right = ((unsigned char *)w->scratch)[i] == (unsigned char)item;
        atomic_store(&v->busy[w->index], false);
    }
    if (!right)
        atomic_store(&v->wrong, true);
    atomic_fetch_add(&v->times[item], 1);
    return SW_OK;
}

static void check_visits(const visits *v, int64_t items) {
    assert_false(atomic_load(&v->wrong));
    for (int64_t i = 0; i < ITEMS; i++)
        assert_int_equal(atomic_load(&v->times[i]), i < items);
    for (int a = 0; a < MOST_WORKERS; a++) /* no memory is that of two workers */
        for (int b = 0; b < a; b++) {
            const char *p = atomic_load(&v->scratch[a]), *q = atomic_load(&v->scratch[b]);
            assert_true(!p || !q || llabs((long long)(p - q)) >= (long long)v->scratch_bytes);
        }
}

static void test_every_item_runs_once_on_a_worker_of_its_own(void **state) {
    (void)state;
    static const int64_t numbers[] = {0, 1, 2, 7, 8, 9, 100, ITEMS};
    static visits v;
    FOR_EACH_THREAD_COUNT(threads)
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (size_t bytes = 0; bytes <= SCRATCH; bytes += SCRATCH / 2) {
            memset(&v, 0, sizeof v);
            v.scratch_bytes = bytes;
            v.most_workers = numbers[i] > 1 && numbers[i] < (int64_t)threads ? (int)numbers[i] : (int)threads;
            assert_ok(sw_parallel_items(visit_item, &v, numbers[i], bytes));
            check_visits(&v, numbers[i]);
        }
}

typedef struct meeting {
    atomic_int running, together;
} meeting;

static sw_status meet_item(void *args, int64_t item, sw_worker *w) {
    (void)item, (void)w;
    meeting *m = args;
    int now = atomic_fetch_add(&m->running, 1) + 1, most = atomic_load(&m->together);
    while (now > most && !atomic_compare_exchange_weak(&m->together, &most, now))
        ;
    usleep(20000);
    atomic_fetch_sub(&m->running, 1);
    return SW_OK;
}

/* Threads do take part. And no more of them than the caller's scratch has room for. */
static void test_items_run_at_the_same_time(void **state) {
    (void)state;
    static _Alignas(SW_ALIGNMENT) char scratch[2 * 128];
    assert_ok(sw_set_threads(4));
    int together = 0, with_room_for_two = 0;
    for (int round = 0; round < 50 && (together < 3 || with_room_for_two < 2); round++) { /* a busy machine */
        meeting m = {0};
        assert_ok(sw_parallel_items(meet_item, &m, 8, 0));
        together = atomic_load(&m.together) > together ? atomic_load(&m.together) : together;
        meeting two = {0};
        assert_ok(sw_parallel_items_with_scratch(meet_item, &two, 8, 128, scratch, sizeof scratch));
        with_room_for_two =
            atomic_load(&two.together) > with_room_for_two ? atomic_load(&two.together) : with_room_for_two;
        assert_true(atomic_load(&two.together) <= 2);
    }
    assert_true(together >= 3);
    assert_int_equal(with_room_for_two, 2);
}

static sw_status inner_item(void *args, int64_t item, sw_worker *w) {
    atomic_llong *sum = args;
    if (w->index != 0 || w->count != 1 || !w->scratch)
        return sw_fail(SW_ERR_USER, "inside an item there is one worker");
    atomic_fetch_add(sum, item);
    return SW_OK;
}

static sw_status outer_item(void *args, int64_t item, sw_worker *w) {
    atomic_llong sum = 0;
    (void)w;
    SW_TRY(sw_parallel_items(inner_item, &sum, 10, 64));
    atomic_fetch_add((atomic_llong *)args, atomic_load(&sum) * item);
    return SW_OK;
}

static void test_items_inside_items_run_on_their_thread(void **state) {
    (void)state;
    assert_ok(sw_set_threads(4));
    atomic_llong sum = 0;
    assert_ok(sw_parallel_items(outer_item, &sum, 100, 0));
    assert_int_equal(atomic_load(&sum), 45 * 4950);
}

/* ---- Errors ---- */

enum { FAILURES = 200, NOTHING, MESSAGE, SILENT, PENDING, SKIPPED, SKIPPED_PENDING, MENDED };

typedef struct failing {
    unsigned char how[FAILURES];
    atomic_uchar ran[FAILURES];
    int64_t slow; /* this item takes long; -1: none */
    atomic_bool saw_error;
} failing;

static sw_status failing_item(void *args, int64_t item, sw_worker *w) {
    (void)w;
    failing *f = args;
    atomic_store(&f->ran[item], 1);
    if (sw_error())
        atomic_store(&f->saw_error, true);
    if (item == f->slow)
        usleep(3000);
    switch (f->how[item]) {
    case MESSAGE: return sw_fail(SW_ERR_USER, "item %lld fails", (long long)item);
    case SILENT: return (sw_status)STATUS;
    case PENDING: sw_fail(SW_ERR_SHAPE, "item %lld left this", (long long)item); return SW_OK;
    case SKIPPED: return SW_SKIPPED;
    case SKIPPED_PENDING: sw_fail(SW_ERR_SHAPE, "item %lld left this", (long long)item); return SW_SKIPPED;
    case MENDED:
        sw_fail(SW_ERR_IO, "no file");
        sw_clear_error();
        return SW_OK;
    default: return SW_OK;
    }
}

/* Runs with these items failing; the status. The items below the first that fails have all run. */
static sw_status run_failing(failing *f, int64_t first) {
    memset(f->ran, 0, sizeof f->ran);
    const sw_status status = sw_parallel_items(failing_item, f, FAILURES, 0);
    for (int64_t i = 0; i <= first && i < FAILURES; i++)
        assert_int_equal(atomic_load(&f->ran[i]), 1);
    assert_false(atomic_load(&f->saw_error));
    return status;
}

static void test_lowest_failing_item_wins(void **state) {
    (void)state;
    FOR_EACH_THREAD_COUNT(threads)
    for (int round = 0; round < 20; round++) {
        failing f = {.how = {[3] = MESSAGE, [4] = MESSAGE, [60] = MESSAGE, [199] = MESSAGE}, .slow = 3};
        assert_int_equal(run_failing(&f, 3), SW_ERR_USER); /* others fail long before */
        expect_error(SW_ERR_USER, "item 3 fails");
    }
}

static void test_each_kind_of_failure_has_its_message(void **state) {
    (void)state;
    static const struct {
        int how;
        sw_status status;
        const char *message;
    } kind[] = {
        {MESSAGE, SW_ERR_USER, "item 77 fails"},
        {SILENT, (sw_status)STATUS, "parallel_items: item 77 returned status 42 without a message"},
        {PENDING, SW_ERR_SHAPE, "item 77 left this"},
        {SKIPPED_PENDING, SW_ERR_SHAPE, "item 77 left this"},
        {SKIPPED, SW_SKIPPED, NULL},
        {MENDED, SW_OK, NULL},
    };
    FOR_EACH_THREAD_COUNT(threads)
    for (size_t k = 0; k < sizeof kind / sizeof *kind; k++) {
        failing f = {.slow = -1};
        f.how[77] = (unsigned char)kind[k].how;
        const uint64_t before = sw_failure_count();
        const sw_status status = run_failing(&f, kind[k].how == MENDED ? FAILURES : 77);
        assert_int_equal(status, kind[k].status);
        /* one failure of this thread, whatever the items did on it */
        assert_int_equal(sw_failure_count() - before, kind[k].message != NULL);
        if (!kind[k].message) {
            expect_no_error();
            continue;
        }
        assert_int_equal(sw_last_failure(), status);
        expect_error(kind[k].status, kind[k].message);
    }
}

/* SW_SKIPPED and errors: the lowest counts. */
static void test_skipped_item_below_a_failed_one_wins(void **state) {
    (void)state;
    FOR_EACH_THREAD_COUNT(threads) {
        failing f = {.how = {[10] = SKIPPED, [11] = MESSAGE}, .slow = 10};
        assert_int_equal(run_failing(&f, 10), SW_SKIPPED);
        expect_no_error();
        failing g = {.how = {[10] = MESSAGE, [11] = SKIPPED}, .slow = 10};
        assert_int_equal(run_failing(&g, 10), SW_ERR_USER);
        expect_error(SW_ERR_USER, "item 10 fails");
    }
}

/* An error of before is nobody's business in an item, and stays with its message. */
static void test_error_pending_before_is_kept(void **state) {
    (void)state;
    FOR_EACH_THREAD_COUNT(threads) {
        sw_fail(SW_ERR_IO, "an earlier error");
        failing f = {.slow = -1};
        assert_int_equal(run_failing(&f, FAILURES), SW_OK);
        f.how[5] = MESSAGE;
        assert_int_equal(run_failing(&f, 5), SW_ERR_USER);
        assert_int_equal(sw_last_failure(), SW_ERR_USER);
        expect_error(SW_ERR_IO, "an earlier error");
    }
}

static void fail_in_tile(void *args, int64_t tile) {
    (void)args;
    usleep(1000); /* so that every thread gets one */
    sw_fail(SW_ERR_IO, "tile %lld", (long long)tile);
}

/* What a job of sw_parallel leaves on the threads of the pool does not fail the items of a later call. */
static void test_error_left_on_a_thread_of_the_pool_is_ignored(void **state) {
    (void)state;
    assert_ok(sw_set_threads(4));
    sw_parallel(fail_in_tile, NULL, 64);
    sw_clear_error();
    failing f = {.slow = -1};
    assert_int_equal(run_failing(&f, FAILURES), SW_OK);
    expect_no_error();
}

static void test_wrong_arguments_are_refused(void **state) {
    (void)state;
    visits v = {.most_workers = 8};
    assert_ok(sw_set_threads(2));
    assert_int_equal(sw_parallel_items(NULL, &v, 3, 0), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "parallel_items: the function of the items is NULL");
    assert_int_equal(sw_parallel_items(visit_item, &v, -1, 0), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "parallel_items: -1 items; 0 or more are needed");
    static _Alignas(SW_ALIGNMENT) char scratch[256];
    assert_int_equal(sw_parallel_items_with_scratch(visit_item, &v, 3, 100, scratch, 127), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT,
                 "parallel_items: scratch of 127 bytes; one worker needs 128 (see sw_parallel_scratch)");
    assert_int_equal(sw_parallel_items_with_scratch(visit_item, &v, 3, 100, NULL, 256), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "parallel_items: scratch of 0 bytes; one worker needs 128 (see sw_parallel_scratch)");
    assert_int_equal(sw_parallel_items(visit_item, &v, 3, SIZE_MAX - 8), SW_ERR_MEMORY);
    assert_memory_equal(sw_error(), "out of memory", 13);
    sw_clear_error();
    check_visits(&v, 0); /* nothing ran */
    assert_true(sw_parallel_scratch(3, 100) == 2 * 128 && sw_parallel_scratch(1, 100) == 128);
    assert_true(sw_parallel_scratch(3, 0) == 0 && sw_parallel_scratch(3, SIZE_MAX - 8) == SIZE_MAX);
}

/* ---- Memory ---- */

static void test_scratch_is_allocated_once_or_not_at_all(void **state) {
    (void)state;
    static visits v;
    test_allocator allocator;
    test_allocator_install(&allocator);
    assert_ok(sw_set_threads(3));
    memset(&v, 0, sizeof v);
    v.scratch_bytes = SCRATCH;
    v.most_workers = 3;
    test_allocator_fail(&allocator, 1, false);
    assert_int_equal(sw_parallel_items(visit_item, &v, 50, SCRATCH), SW_ERR_MEMORY);
    expect_error(SW_ERR_MEMORY, "out of memory: 768 bytes requested"); /* 3 of 256 */
    check_visits(&v, 0);
    test_allocator_fail(&allocator, 0, false);
    assert_ok(sw_parallel_items(visit_item, &v, 50, SCRATCH));
    check_visits(&v, 50);
    assert_int_equal(atomic_load(&allocator.calls), 1);
    const size_t bytes = sw_parallel_scratch(50, SCRATCH);
    void *scratch = aligned_alloc(SW_ALIGNMENT, bytes); /* exact, so that a sanitizer sees an overrun */
    assert_non_null(scratch);
    memset(&v, 0, sizeof v);
    v.scratch_bytes = SCRATCH;
    v.most_workers = 3;
    assert_ok(sw_parallel_items_with_scratch(visit_item, &v, 50, SCRATCH, scratch, bytes));
    check_visits(&v, 50);
    assert_int_equal(atomic_load(&allocator.calls), 1);
    assert_int_equal(atomic_load(&allocator.live), 0);
    free(scratch);
    sw_set_allocator(NULL);
}

/* ---- Parts and their sums ---- */

static void test_parts_are_contiguous_and_even(void **state) {
    (void)state;
    for (int64_t n = 0; n <= 40; n++)
        for (int64_t parts = 1; parts <= 20; parts++) {
            assert_int_equal(sw_part_begin(n, parts, 0), 0);
            assert_int_equal(sw_part_begin(n, parts, parts), n);
            for (int64_t p = 0; p < parts; p++)
                assert_int_equal(sw_part_begin(n, parts, p + 1) - sw_part_begin(n, parts, p),
                                 n / parts + (p < n % parts));
        }
    assert_true(sw_part_begin(INT64_MAX, 3, 3) == INT64_MAX && sw_part_begin(INT64_MAX, 3, 1) == INT64_MAX / 3 + 1);
}

/* The tree of the contract, from its leaves: pairs, then pairs of the sums. */
static double tree_sum(sw_dtype type, const double *v, int count) {
    double level[64];
    memcpy(level, v, (size_t)count * sizeof *v);
    for (; count > 1; count = (count + 1) / 2)
        for (int i = 0; i < (count + 1) / 2; i++) {
            const double sum = 2 * i + 1 < count ? level[2 * i] + level[2 * i + 1] : level[2 * i];
            level[i] = type == SW_F32 ? (double)(float)sum : sum; /* of two floats: rounded once more, it is f32's */
        }
    return level[0];
}

static void test_vectors_are_added_in_pairs(void **state) {
    (void)state;
    enum { MOST = 33, LONGEST = 4 * SW_TILE + 5 };
    static const int64_t lengths[] = {1, 3, 511, 512, 513, LONGEST};
    for (int type = SW_F32; type <= SW_F64; type++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
            for (int count = 1; count <= MOST; count += count > 8 && lengths[l] > 513 ? 12 : 1) {
                sw_array v = test_filled((sw_dtype)type, 2, (int64_t[]){count, lengths[l]}, -1, 1, (uint64_t)count);
                double *expected = malloc((size_t)lengths[l] * sizeof *expected);
                assert_non_null(expected);
                for (int64_t i = 0; i < lengths[l]; i++) {
                    double column[MOST];
                    for (int k = 0; k < count; k++)
                        column[k] = test_get(&v, k * lengths[l] + i);
                    expected[i] = tree_sum((sw_dtype)type, column, count);
                }
                sw_array given = test_array((sw_dtype)type, 2, v.shape);
                FOR_EACH_THREAD_COUNT(threads) {
                    memcpy(given.data, v.data, test_bytes(&v));
                    sw_add_vectors((sw_dtype)type, given.data, count, lengths[l]);
                    for (int64_t i = 0; i < lengths[l]; i++)
                        if (test_get(&given, i) != expected[i])
                            fail_msg("%d vectors of %lld: element %lld", count, (long long)lengths[l], (long long)i);
                }
                test_array_free(&given);
                test_array_free(&v);
                free(expected);
            }
    float one = 3;
    sw_add_vectors(SW_F32, &one, 0, 1); /* none */
    sw_add_vectors(SW_F32, &one, 5, 0);
    assert_true(one == 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_every_item_runs_once_on_a_worker_of_its_own, test_clear),
        cmocka_unit_test_setup(test_items_run_at_the_same_time, test_clear),
        cmocka_unit_test_setup(test_items_inside_items_run_on_their_thread, test_clear),
        cmocka_unit_test_setup(test_lowest_failing_item_wins, test_clear),
        cmocka_unit_test_setup(test_each_kind_of_failure_has_its_message, test_clear),
        cmocka_unit_test_setup(test_skipped_item_below_a_failed_one_wins, test_clear),
        cmocka_unit_test_setup(test_error_pending_before_is_kept, test_clear),
        cmocka_unit_test_setup(test_error_left_on_a_thread_of_the_pool_is_ignored, test_clear),
        cmocka_unit_test_setup(test_wrong_arguments_are_refused, test_clear),
        cmocka_unit_test_setup(test_scratch_is_allocated_once_or_not_at_all, test_clear),
        cmocka_unit_test_setup(test_parts_are_contiguous_and_even, test_clear),
        cmocka_unit_test_setup(test_vectors_are_added_in_pairs, test_clear),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sw_set_threads(1); /* joins the workers */
    return failed;
}
