/* Threads: equal bits for every number of threads and in every run, each tile exactly once, concurrent and nested
 * calls, and the child of a fork. */
#define _GNU_SOURCE
#include "support.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/ops/op_table.h"
#include "signals.h"

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#endif

/* ---- Equal bits ---- */

#if defined(THREAD_SANITIZER)
enum { RUNS = 1, MOST_OPS = 1000 }; /* the sanitizer sees a race in one run; ten take a quarter of an hour */
#else
enum { RUNS = 10, MOST_OPS = 1000 };
#endif
static const int thread_counts[] = {1, 2, 3, 4, 8};

static void test_bits_are_equal_for_every_number_of_threads(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    static uint64_t seen[MOST_OPS];
    int number = 0;
    for (int o = 0; op_at(o); o++) {
        for (int type = SW_F32; type <= SW_F64; type++) {
            op_case c = {.op = op_at(o)};
            const char *at = c.op->big ? c.op->big : "";
            if (!op_next(&at, (sw_dtype)type, &c))
                continue;
            uint64_t first = 0;
            for (size_t n = 0; n < sizeof thread_counts / sizeof *thread_counts; n++) {
                assert_int_equal(sw_set_threads(thread_counts[n]), SW_OK);
                const int runs = thread_counts[n] == 1 ? 1 : RUNS; /* one thread has one order */
                for (int run = 0; run < runs; run++) {
                    uint64_t hash = op_hash(&c, tape);
                    if (n == 0 && run == 0)
                        first = hash;
                    if (hash != first)
                        fail_msg("%s, %s: other bits with %d threads in run %d", c.op->label,
                                 sw_dtype_name((sw_dtype)type), thread_counts[n], run);
                }
            }
            for (int before = 0; before < number && !(c.op->flags & NO_GRADIENT); before++)
                if (seen[before] == first) /* the hash sees what is computed */
                    fail_msg("%s, %s has the hash of another", c.op->label, sw_dtype_name((sw_dtype)type));
            assert_true(number < MOST_OPS);
            seen[number++] = first;
            op_free(&c);
        }
    }
    assert_true(number > 80);
    sw_tape_free(tape);
}

/* ---- Tiles ---- */

enum { TILES = 50000 };

typedef struct counted {
    atomic_uchar times[TILES];
    atomic_int running, together; /* at once now, and at most */
} counted;

static void count_tile(void *args, int64_t tile) {
    counted *c = args;
    int now = atomic_fetch_add(&c->running, 1) + 1, most = atomic_load(&c->together);
    while (now > most && !atomic_compare_exchange_weak(&c->together, &most, now))
        ;
    atomic_fetch_add(&c->times[tile], 1);
    atomic_fetch_sub(&c->running, 1);
}

static bool each_once(const counted *c, int64_t tiles) {
    for (int64_t i = 0; i < TILES; i++)
        if (atomic_load(&c->times[i]) != (i < tiles))
            return false;
    return true;
}

static void test_every_tile_runs_once(void **state) {
    (void)state;
    static const int64_t numbers[] = {0, 1, 2, 3, 7, 8, 9, 63, 64, 65, 1000, TILES};
    static const int threads[] = {1, 2, 3, 8, 64};
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        assert_int_equal(sw_set_threads(threads[t]), SW_OK);
        assert_int_equal(sw_threads(), threads[t]);
        for (int round = 0; round < 20; round++)
            for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
                if (round && numbers[i] == TILES)
                    continue;
                counted *c = calloc(1, sizeof *c);
                assert_non_null(c);
                sw_parallel(count_tile, c, numbers[i]);
                assert_true(each_once(c, numbers[i]));
                assert_true(atomic_load(&c->together) <= threads[t]);
                free(c);
            }
    }
}

static void count_elements(void *args, int64_t begin, int64_t end, double *sums) {
    unsigned char *times = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        times[i]++;
}

/* About every number of tiles at which something changes: each element once. */
static void test_every_element_is_visited_once(void **state) {
    (void)state;
    static const sw_kernels count_kernels = {{count_elements, count_elements, count_elements},
                                             {count_elements, count_elements, count_elements}};
    static const int64_t tiles[] = {0, 1, 3, 4, 5, 63, 64, 65, 127, 128, 129, 200};
    static unsigned char times[201 * SW_TILE];
    for (int threads = 1; threads <= 3; threads++) {
        sw_set_threads(threads);
        for (size_t k = 0; k < sizeof tiles / sizeof *tiles; k++)
            for (int64_t n = tiles[k] * SW_TILE - 1; n <= tiles[k] * SW_TILE + 1; n++) {
                memset(times, 0, sizeof times);
                if (n >= 0)
                    sw_kernel_run(&count_kernels, SW_F32, times, n);
                for (int64_t i = 0; i < (int64_t)sizeof times; i++)
                    if (times[i] != (i < n))
                        fail_msg("%lld of %lld: %d times", (long long)i, (long long)n, times[i]);
            }
    }
}

static void sleep_tile(void *args, int64_t tile) {
    (void)tile;
    count_tile(args, tile);
    counted *c = args;
    int now = atomic_fetch_add(&c->running, 1) + 1, most = atomic_load(&c->together);
    while (now > most && !atomic_compare_exchange_weak(&c->together, &most, now))
        ;
    usleep(20000);
    atomic_fetch_sub(&c->running, 1);
}

/* Threads do take part: four tiles that sleep are under way together. */
static void test_workers_take_part(void **state) {
    (void)state;
    assert_int_equal(sw_set_threads(4), SW_OK);
    int most = 0;
    for (int round = 0; round < 50 && most < 3; round++) { /* a busy machine may be slow to wake */
        counted *c = calloc(1, sizeof *c);
        assert_non_null(c);
        sw_parallel(sleep_tile, c, 8);
        assert_true(each_once(c, 8));
        most = atomic_load(&c->together);
        free(c);
    }
    assert_true(most >= 3);
}

typedef struct nest {
    counted outer, inner;
} nest;

static void inner_tile(void *args, int64_t tile) {
    count_tile(&((nest *)args)->inner, tile);
}

typedef struct nest_part {
    nest *n;
    int64_t base;
} nest_part;

static void part_tile(void *args, int64_t tile) {
    const nest_part *p = args;
    inner_tile(p->n, p->base + tile);
}

static void outer_tile(void *args, int64_t tile) {
    nest *n = args;
    count_tile(&n->outer, tile);
    nest_part part = {n, tile * 50};
    sw_parallel(part_tile, &part, 50); /* serial, on this thread */
}

static void test_nested_parallel_calls_complete(void **state) {
    (void)state;
    assert_int_equal(sw_set_threads(4), SW_OK);
    for (int round = 0; round < 10; round++) {
        nest *n = calloc(1, sizeof *n);
        assert_non_null(n);
        sw_parallel(outer_tile, n, 200);
        assert_true(each_once(&n->outer, 200));
        assert_true(each_once(&n->inner, 200 * 50));
        free(n);
    }
}

static void *calling_thread(void *args) {
    counted *all = args;
    for (int round = 0; round < 200; round++) {
        memset(all, 0, sizeof *all);
        int64_t tiles = 1 + round * 7 % 500;
        sw_parallel(count_tile, all, tiles);
        if (!each_once(all, tiles))
            return "a tile was not done exactly once";
    }
    return NULL;
}

static void test_concurrent_parallel_calls_complete(void **state) {
    (void)state;
    assert_int_equal(sw_set_threads(3), SW_OK);
    enum { CALLERS = 3 };
    pthread_t thread[CALLERS];
    counted *c = calloc(CALLERS, sizeof *c);
    assert_non_null(c);
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, calling_thread, &c[i]), 0);
    for (int i = 0; i < CALLERS; i++) {
        void *trouble;
        pthread_join(thread[i], &trouble);
        if (trouble)
            fail_msg("%s", (const char *)trouble);
    }
    free(c);
}

static void test_thread_count_outside_the_range_is_refused(void **state) {
    (void)state;
    assert_int_equal(sw_set_threads(2), SW_OK);
    assert_int_equal(sw_set_threads(0), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "threads: 0 is outside 1 to 64");
    assert_int_equal(sw_set_threads(65), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "threads: 65 is outside 1 to 64");
    assert_int_equal(sw_set_threads(-3), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "threads: -3 is outside 1 to 64");
    assert_int_equal(sw_threads(), 2);
}

/* ---- Signals ---- */

static volatile sig_atomic_t handled;
static volatile pthread_t handled_by;

static void handle(int signal) {
    (void)signal;
    handled_by = pthread_self();
    handled++;
}

/* Workers block the program's signals from the moment they exist; the caller's mask stays. */
static void test_workers_block_signals(void **state) {
    (void)state;
    assert_int_equal(sw_set_threads(1), SW_OK); /* the workers end */
    sigset_t mask, before, after;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &mask, &before);
    const unsigned long long own = signals_blocked(getpid());
    const signals_threads threads = signals_threads_now();
    assert_int_equal(sw_set_threads(4), SW_OK);
    counted *c = calloc(1, sizeof *c);
    assert_non_null(c);
    sw_parallel(count_tile, c, 1000);
    free(c);
    signals_check_new(&threads, 3);
    assert_true(signals_blocked(getpid()) == own);
    pthread_sigmask(SIG_SETMASK, &before, &after);
    assert_true(sigismember(&after, SIGUSR2) && !sigismember(&after, SIGUSR1) && !sigismember(&after, SIGINT));
    const struct sigaction action = {.sa_handler = handle};
    struct sigaction old;
    sigaction(SIGUSR1, &action, &old);
    for (int i = 0; i < 100; i++)
        kill(getpid(), SIGUSR1);
    assert_int_equal(handled, 100);
    assert_true(pthread_equal(handled_by, pthread_self()));
    sigaction(SIGUSR1, &old, NULL);
}

/* ---- A forked child ---- */

#if !defined(THREAD_SANITIZER) /* which does not support threads in the child */

static atomic_bool stop;

static void *keep_busy(void *args) {
    counted *c = args;
    while (!atomic_load(&stop)) {
        memset(c, 0, sizeof *c);
        sw_parallel(count_tile, c, 100);
    }
    return NULL;
}

static uint64_t one_result(sw_tape *tape) {
    uint64_t hash = 0;
    for (int o = 0; o < 2; o++) {
        op_case c = {.op = o ? &ops_elementwise[4] : &ops_reduce[0]};
        const char *at = c.op->big;
        assert_true(op_next(&at, SW_F32, &c));
        hash ^= op_hash(&c, tape);
        op_free(&c);
    }
    return hash;
}

static void test_forked_child_computes_the_same_bits(void **state) {
    (void)state;
    assert_int_equal(sw_set_threads(2), SW_OK);
    sw_tape *tape = sw_tape_new();
    uint64_t right = one_result(tape); /* the pool runs */
    pthread_t busy;
    counted *c = calloc(1, sizeof *c);
    for (int round = 0; round < 12; round++) {
        bool while_busy = round >= 4;
        if (while_busy) {
            atomic_store(&stop, false);
            assert_int_equal(pthread_create(&busy, NULL, keep_busy, c), 0);
            usleep(500);
        }
        pid_t child = fork();
        if (child == 0) {
            bool ok = one_result(tape) == right && one_result(tape) == right;
            ok &= sw_set_threads(4) == SW_OK && one_result(tape) == right;
            _exit(ok ? 0 : 1);
        }
        assert_true(child > 0);
        int result;
        assert_int_equal(waitpid(child, &result, 0), child);
        assert_true(WIFEXITED(result) && WEXITSTATUS(result) == 0);
        assert_true(one_result(tape) == right); /* and the parent goes on */
        if (while_busy) {
            atomic_store(&stop, true);
            pthread_join(busy, NULL);
        }
    }
    free(c);
    sw_tape_free(tape);
}

#endif

/* ---- Another number of threads, asked for inside sw_parallel ---- */

static void set_threads_inside(void *args, int64_t tile) {
    sw_status *status = args;
    status[tile] = sw_set_threads(2);
    if (status[tile] != SW_OK && strcmp(sw_error(), "set_threads: not from inside sw_parallel"))
        status[tile] = SW_OK; /* the wrong words: fails below */
    sw_clear_error();
}

static void test_set_threads_inside_parallel_is_refused(void **state) {
    (void)state;
    enum { CALLS = 64 };
    sw_status status[CALLS];
    assert_int_equal(sw_set_threads(4), SW_OK);
    alarm(60); /* it hung */
    sw_parallel(set_threads_inside, status, CALLS);
    alarm(0);
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(status[i], SW_ERR_STATE);
    assert_int_equal(sw_threads(), 4);
    assert_int_equal(sw_set_threads(1), SW_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_bits_are_equal_for_every_number_of_threads, test_clear),
        cmocka_unit_test_setup(test_every_tile_runs_once, test_clear),
        cmocka_unit_test_setup(test_every_element_is_visited_once, test_clear),
        cmocka_unit_test_setup(test_workers_take_part, test_clear),
        cmocka_unit_test_setup(test_nested_parallel_calls_complete, test_clear),
        cmocka_unit_test_setup(test_concurrent_parallel_calls_complete, test_clear),
        cmocka_unit_test_setup(test_thread_count_outside_the_range_is_refused, test_clear),
        cmocka_unit_test_setup(test_workers_block_signals, test_clear),
        cmocka_unit_test_setup(test_set_threads_inside_parallel_is_refused, test_clear),
#if !defined(THREAD_SANITIZER)
        cmocka_unit_test_setup(test_forked_child_computes_the_same_bits, test_clear),
#endif
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sw_set_threads(1); /* joins the workers */
    return failed;
}
