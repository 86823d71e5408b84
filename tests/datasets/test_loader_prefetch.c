/* Batches that a thread of the loader prefetches: the same bits and errors as without it, memory that is not
 * overwritten while it is read, and no thread left at the end. */
#define _GNU_SOURCE
#include "helpers.h"
#include "signals.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif

/* ---- A source that knows who asks ---- */

enum { N = 100, WIDTH = 5, BATCH = 8, BATCHES = 13 };

typedef struct asked {
    sw_source source;
    pthread_t main;
    atomic_int here, elsewhere; /* calls of gather that are over, by thread */
    atomic_int hints;
    _Atomic int64_t fail_at; /* this sample cannot be read; -1: all can */
} asked;

static double value(int64_t id, int j, uint64_t draw) {
    return (double)(id * WIDTH + j) + (double)draw / 128;
}

static sw_status gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                        void *x, void *y) {
    asked *s = (asked *)(uintptr_t)source;
    for (int64_t i = 0; i < count; i++) {
        if (ids[i] == s->fail_at)
            return sw_fail(SW_ERR_FORMAT, "sample %d is torn", (int)ids[i]);
        for (int j = 0; j < WIDTH && x; j++)
            if (type == SW_F32)
                ((float *)x)[i * WIDTH + j] = (float)value(ids[i], j, draw);
            else
                ((double *)x)[i * WIDTH + j] = value(ids[i], j, draw);
        if (y)
            ((int32_t *)y)[i] = (int32_t)(ids[i] % 3);
    }
    atomic_fetch_add(pthread_equal(pthread_self(), s->main) ? &s->here : &s->elsewhere, 1);
    return SW_OK;
}

static void hint(const sw_source *source, const int64_t *ids, int64_t count) {
    (void)ids, (void)count;
    atomic_fetch_add(&((asked *)(uintptr_t)source)->hints, 1);
}

static void init(asked *s) {
    memset(s, 0, sizeof *s);
    s->source = (sw_source){.size = sizeof(sw_source),
                            .n = N,
                            .x_rank = 1,
                            .x_shape = {WIDTH},
                            .y_type = SW_I32,
                            .classes = 3,
                            .gather = gather,
                            .prefetch = hint};
    s->main = pthread_self();
    s->fail_at = -1;
}

static sw_loader *open_loader(const sw_source *source, sw_prefetch prefetch) {
    const sw_loader_options o = {.size = sizeof o, .seed = 4, .prefetch = prefetch};
    sw_loader *loader = sw_loader_new(source, BATCH, &o);
    if (!loader)
        fail_msg("%s", sw_error());
    return loader;
}

/* Until the loader's thread has gathered `count` batches: the last of them will be given out. */
static void wait_for(asked *s, int count) {
    for (int i = 0; atomic_load(&s->elsewhere) < count; i++) {
        assert_true(i < 10000);
        usleep(1000);
    }
}

static void check_values(const sw_batch *b, uint64_t draw) {
    const sw_array x = sw_value(b->x), y = sw_value(b->y);
    assert_int_equal(x.rank, 2);
    assert_int_equal(x.shape[0], b->count);
    assert_int_equal(x.shape[1], WIDTH);
    assert_int_equal(y.rank, 1);
    assert_int_equal(y.shape[0], b->count);
    for (int64_t i = 0; i < b->count; i++) {
        assert_int_equal(((int32_t *)y.data)[i], b->ids[i] % 3);
        for (int j = 0; j < WIDTH; j++) {
            const double v = value(b->ids[i], j, draw);
            if (x.type == SW_F32)
                assert_true(((float *)x.data)[i * WIDTH + j] == (float)v);
            else
                assert_true(((double *)x.data)[i * WIDTH + j] == v);
        }
    }
}

static int threads_of_process(void) {
    DIR *folder_of_tasks = opendir("/proc/self/task");
    int count = 0;
    assert_non_null(folder_of_tasks);
    for (struct dirent *e; (e = readdir(folder_of_tasks));)
        count += e->d_name[0] != '.';
    closedir(folder_of_tasks);
    return count;
}

/* ---- The same bits ---- */

static void test_prefetch_on_and_off_give_the_same_batches(void **state) {
    (void)state;
    static const sw_order order[] = {SW_SHUFFLE, SW_SEQUENTIAL, SW_WITH_REPLACEMENT};
    asked s;
    init(&s);
    for (int k = 0; k < 12; k++) {
        sw_loader_options o = {.size = sizeof o,
                               .type = k & 1 ? SW_F64 : SW_F32,
                               .order = order[k % 3],
                               .drop_last = k >= 6,
                               .seed = (uint64_t)k,
                               .prefetch = SW_PREFETCH_OFF};
        sw_loader *off = sw_loader_new(&s.source, BATCH, &o);
        o.prefetch = SW_PREFETCH_ON;
        sw_loader *on = sw_loader_new(&s.source, BATCH, &o);
        assert_true(sw_loader_prefetches(on) && !sw_loader_prefetches(off));
        assert_int_equal(sw_loader_batches(on), o.drop_last ? 12 : 13);
        sw_tape *tape[2] = {sw_tape_new(), sw_tape_new()};
        for (int epoch = 0; epoch < 3; epoch++) {
            int batches = 0;
            for (sw_batch a, b; sw_loader_next(off, tape[0], &a);
                 sw_tape_reset(tape[0]), sw_tape_reset(tape[1]), batches++) {
                assert_true(sw_loader_next(on, tape[1], &b));
                assert_int_equal(a.count, b.count);
                assert_int_equal(a.count, batches < 12 ? BATCH : N % BATCH);
                assert_memory_equal(a.ids, b.ids, (size_t)a.count * sizeof *a.ids);
                assert_ptr_equal(b.ids, sw_tape_sample_ids(tape[1], b.count));
                assert_int_equal(sw_value(b.x).type, o.type);
                check_values(&a, (uint64_t)epoch);
                check_values(&b, (uint64_t)epoch);
            }
            sw_batch b;
            assert_false(sw_loader_next(on, tape[1], &b));
            assert_int_equal(batches, o.drop_last ? 12 : 13);
            assert_int_equal(sw_loader_epoch(on), epoch + 1);
        }
        assert_null(sw_error());
        sw_loader_free(on);
        sw_loader_free(off);
        sw_tape_free(tape[0]);
        sw_tape_free(tape[1]);
    }
}

/* The epoch, not the tape's draw. */
static void test_draw_of_a_batch_is_its_epoch(void **state) {
    (void)state;
    asked s;
    init(&s);
    for (int on = 0; on < 2; on++) {
        sw_loader *loader = open_loader(&s.source, on ? SW_PREFETCH_ON : SW_PREFETCH_OFF);
        sw_tape *tape = sw_tape_new();
        sw_tape_set_draw(tape, 1000);
        for (uint64_t epoch = 0; epoch < 3; epoch++)
            for (sw_batch b; sw_loader_next(loader, tape, &b); sw_tape_reset(tape))
                check_values(&b, epoch);
        assert_int_equal(sw_tape_draw(tape), 1000 + 3 * BATCHES);
        sw_batch b;
        assert_int_equal(sw_source_batch(&s.source, tape, SW_F32, (const int64_t[]){4}, 1, &b), SW_OK);
        check_values(&b, 1000 + 3 * BATCHES);
        sw_loader_free(loader);
        sw_tape_free(tape);
    }
}

/* ---- The thread ---- */

/* All but the first batch of an epoch come from the thread, in one of two buffers, in place. */
static void test_batches_are_read_in_place(void **state) {
    (void)state;
    asked s;
    init(&s);
    sw_loader *loader = open_loader(&s.source, SW_PREFETCH_ON);
    sw_tape *tape = sw_tape_new();
    const void *place[BATCHES];
    int i = 0;
    for (sw_batch b; sw_loader_next(loader, tape, &b); sw_tape_reset(tape), i++) {
        place[i] = sw_value(b.x).data;
        check_values(&b, 0);
        if (i + 1 < BATCHES)
            wait_for(&s, i + 1);
    }
    assert_int_equal(i, BATCHES);
    assert_int_equal(s.elsewhere, BATCHES - 1);
    assert_int_equal(s.here, 1);
    assert_int_equal(s.hints, 0);
    for (i = 3; i < BATCHES; i++) {
        assert_ptr_equal(place[i], place[i - 2]);
        assert_ptr_not_equal(place[i], place[i - 1]);
    }
    sw_loader_free(loader);
    sw_tape_free(tape);
}

/* Tapes that are not reset keep their batches, however many come after, and after the loader's end. */
static void test_buffer_in_use_is_not_overwritten(void **state) {
    (void)state;
    enum { TAPES = 5 };
    asked s;
    init(&s);
    for (int freed = 0; freed < 2; freed++) {
        sw_loader *loader = open_loader(&s.source, SW_PREFETCH_ON);
        sw_tape *tape[TAPES];
        sw_batch b[TAPES];
        for (int i = 0; i < TAPES; i++) {
            tape[i] = sw_tape_new();
            assert_true(sw_loader_next(loader, tape[i], &b[i]));
            usleep(2000); /* time for the thread to do harm */
            for (int j = 0; j <= i; j++)
                check_values(&b[j], 0);
        }
        /* Freed or reset in any order, the buffers are used again. */
        for (int i = 1; i < 4; i++) {
            if (freed) {
                sw_tape_free(tape[i]);
                tape[i] = sw_tape_new();
            } else {
                sw_tape_reset(tape[i]);
            }
            assert_true(sw_loader_next(loader, tape[i], &b[i]));
            usleep(2000);
            for (int j = 0; j < TAPES; j++)
                check_values(&b[j], 0);
        }
        sw_loader_free(loader);
        for (int j = 0; j < TAPES; j++) {
            check_values(&b[j], 0);
            sw_tape_free(tape[j]);
        }
        assert_null(sw_error());
    }
}

static void test_prefetch_thread_starts_late_and_ends(void **state) {
    (void)state;
    asked s;
    init(&s);
    const int before = threads_of_process();
    for (int k = 0; k < 20; k++) {
        sw_loader *loader = open_loader(&s.source, SW_PREFETCH_ON);
        sw_tape *tape = sw_tape_new();
        sw_batch b;
        assert_int_equal(threads_of_process(), before);
        for (int i = 0; i < k; i++, sw_tape_reset(tape))
            sw_loader_next(loader, tape, &b);
        assert_true(threads_of_process() <= before + 1);
        sw_loader_free(loader); /* a batch may be under way */
        sw_tape_free(tape);
        int left = threads_of_process();
        for (int i = 0; i < 1000 && left > before; i++, left = threads_of_process())
            usleep(1000); /* a joined thread may be listed for a moment */
        assert_int_equal(left, before);
    }
}

/* ---- Errors ---- */

static void test_errors_of_the_thread_reach_the_caller(void **state) {
    (void)state;
    for (int64_t place = 0; place < N; place += 7)
        for (int on = 0; on < 2; on++) {
            asked s;
            init(&s);
            const sw_loader_options o = {
                .size = sizeof o, .order = SW_SEQUENTIAL, .prefetch = on ? SW_PREFETCH_ON : SW_PREFETCH_OFF};
            sw_loader *loader = sw_loader_new(&s.source, BATCH, &o);
            sw_tape *tape = sw_tape_new();
            sw_batch b;
            char text[40];
            snprintf(text, sizeof text, "sample %d is torn", (int)place);
            s.fail_at = place;
            for (int i = 0; i < place / BATCH; i++, sw_tape_reset(tape)) {
                assert_true(sw_loader_next(loader, tape, &b));
                if (on && i + 1 < place / BATCH)
                    wait_for(&s, i + 1);
                if (on)
                    usleep(300);
            }
            assert_false(sw_loader_next(loader, tape, &b));
            assert_true(sw_is_null(b.x) && b.count == 0);
            assert_string_equal(sw_error(), text);
            assert_int_equal(sw_error_status(), SW_ERR_FORMAT);
            sw_clear_error();
            assert_int_equal(sw_loader_epoch(loader), 1);
            s.fail_at = -1;
            sw_tape_reset(tape);
            int batches = 0;
            for (; sw_loader_next(loader, tape, &b); sw_tape_reset(tape), batches++)
                check_values(&b, 1);
            assert_int_equal(batches, BATCHES);
            assert_null(sw_error());
            sw_loader_free(loader);
            sw_tape_free(tape);
        }
}

/* What was prefetched when the caller forgot a reset is thrown away. */
static void test_forgotten_reset_is_named(void **state) {
    (void)state;
    asked s;
    init(&s);
    sw_loader *loader = open_loader(&s.source, SW_PREFETCH_ON);
    sw_tape *tape = sw_tape_new();
    sw_batch b;
    for (int skip = 0; skip < 3; skip++) {
        for (int i = 0; i < skip; i++, sw_tape_reset(tape))
            assert_true(sw_loader_next(loader, tape, &b));
        assert_true(sw_loader_next(loader, tape, &b));
        assert_false(sw_loader_next(loader, tape, &b));
        check_error(SW_ERR_STATE, "loader: ", "call sw_tape_reset between batches");
        sw_tape_reset(tape);
        for (; sw_loader_next(loader, tape, &b); sw_tape_reset(tape))
            check_values(&b, (uint64_t)(2 * skip + 1));
    }
    sw_loader_free(loader);
    sw_tape_free(tape);
}

static void test_refuses_wrong_options(void **state) {
    (void)state;
    asked s;
    init(&s);
    const sw_loader_options prefetch = {.size = sizeof prefetch, .prefetch = (sw_prefetch)3},
                            drop = {.size = sizeof drop, .drop_last = true},
                            first = {.size = offsetof(sw_loader_options, prefetch),
                                     .drop_last = true,
                                     .prefetch = SW_PREFETCH_ON};
    assert_null(sw_loader_new(&s.source, BATCH, &prefetch));
    check_error(SW_ERR_ARGUMENT, "loader: prefetch 3", "neither AUTO nor ON nor OFF");
    assert_null(sw_loader_new(&s.source, N + 1, &drop));
    check_error(SW_ERR_ARGUMENT, "loader: drop_last leaves no batch", "of 101 out of 100 samples");
    sw_loader *loader = sw_loader_new(&s.source, N, &drop);
    assert_int_equal(sw_loader_batches(loader), 1);
    sw_loader_free(loader);
    /* A program from before the two options were there. */
    loader = sw_loader_new(&s.source, N + 1, &first);
    assert_non_null(loader);
    assert_false(sw_loader_prefetches(loader));
    sw_loader_free(loader);
    assert_false(sw_loader_prefetches(NULL));
}

static void test_auto_prefetches_costly_sources_on_two_processors(void **state) {
    (void)state;
    asked s;
    init(&s);
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    for (int costly = 0; costly < 2; costly++)
        for (int alone = 0; alone < 2; alone++) {
            s.source.costly = costly != 0;
            assert_int_equal(sched_setaffinity(0, sizeof all, alone ? &one : &all), 0);
            sw_loader *loader = open_loader(&s.source, SW_PREFETCH_AUTO);
            assert_int_equal(sw_loader_prefetches(loader), costly && !alone && CPU_COUNT(&all) > 1);
            sw_loader_free(loader);
        }
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

/* ---- Signals ---- */

static void test_prefetch_thread_blocks_signals(void **state) {
    (void)state;
    asked s;
    init(&s);
    sw_loader *loader = open_loader(&s.source, SW_PREFETCH_ON);
    sw_tape *tape = sw_tape_new();
    sw_batch b;
    const signals_threads threads = signals_threads_now();
    const unsigned long long own = signals_blocked(getpid());
    assert_true(sw_loader_next(loader, tape, &b));
    signals_check_new(&threads, 1);
    assert_true(signals_blocked(getpid()) == own);
    sw_loader_free(loader);
    sw_tape_free(tape);
}

/* ---- A child of fork ---- */

static void test_forked_child_starts_its_own_thread(void **state) {
    (void)state;
#ifdef UNDER_TSAN
    skip(); /* it does not follow threads that a child starts */
#else
    asked s;
    init(&s);
    for (int given = 0; given < 3; given++) {
        sw_loader *loader = open_loader(&s.source, SW_PREFETCH_ON);
        sw_tape *tape = sw_tape_new();
        sw_batch b;
        for (int i = 0; i < given; i++, sw_tape_reset(tape))
            assert_true(sw_loader_next(loader, tape, &b));
        fflush(NULL);
        const pid_t child = fork();
        assert_true(child >= 0);
        uint64_t order = 0; /* of what comes */
        int batches = 0, wrong = 0;
        for (int epoch = 0; epoch < 2; epoch++)
            for (; sw_loader_next(loader, tape, &b); sw_tape_reset(tape), batches++)
                for (int64_t i = 0; i < b.count; i++) {
                    order = order * 31 + (uint64_t)b.ids[i];
                    const float x = ((float *)sw_value(b.x).data)[i * WIDTH];
                    wrong += x != (float)value(b.ids[i], 0, (uint64_t)epoch);
                }
        sw_loader_free(loader);
        sw_tape_free(tape);
        const int mark = (int)((order + (uint64_t)batches) % 251);
        if (child == 0)
            _exit(sw_error() || wrong ? 255 : mark);
        assert_int_equal(wrong, 0);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), mark);
        assert_int_equal(batches, 2 * BATCHES - given);
    }
#endif
}

/* ---- Memory ---- */

static atomic_llong made, live, fail_at; /* the helpers' counters are for one thread */

static void *take(void *user, size_t size, size_t alignment) {
    (void)user;
    if (atomic_fetch_add(&made, 1) == atomic_load(&fail_at))
        return NULL;
    atomic_fetch_add(&live, 1);
    return aligned_alloc(alignment, size);
}

static void give(void *user, void *block) {
    (void)user;
    atomic_fetch_sub(&live, 1);
    free(block);
}

static void count_from_here(long long fail) {
    static const sw_allocator allocator = {sizeof allocator, NULL, take, give};
    made = live = 0;
    fail_at = fail;
    sw_set_allocator(&allocator);
}

static void test_no_allocation_after_the_first_epoch(void **state) {
    (void)state;
    asked s;
    init(&s);
    count_from_here(-1);
    sw_loader *loader = open_loader(&s.source, SW_PREFETCH_ON);
    sw_tape *tape = sw_tape_new();
    sw_batch b;
    for (; sw_loader_next(loader, tape, &b); sw_tape_reset(tape))
        wait_for(&s, 1); /* a busy machine could come to no lending, whose first takes memory, before the next */
    const long long before = made;
    for (int epoch = 0; epoch < 5; epoch++)
        for (; sw_loader_next(loader, tape, &b); sw_tape_reset(tape))
            ;
    assert_int_equal(made, before);
    sw_loader_free(loader);
    sw_tape_free(tape);
    assert_int_equal(live, 0);
    sw_set_allocator(NULL);
}

static void test_prefetch_survives_every_failed_allocation(void **state) {
    (void)state;
    asked s;
    init(&s);
    long long k = 0;
    for (bool ok = false; !ok; k++) {
        count_from_here(k);
        const sw_loader_options o = {.size = sizeof o, .prefetch = SW_PREFETCH_ON};
        sw_loader *loader = sw_loader_new(&s.source, BATCH, &o);
        sw_tape *tape = sw_tape_new();
        sw_batch b;
        const int before = s.elsewhere;
        ok = sw_loader_next(loader, tape, &b);
        if (ok) {
            wait_for(&s, before + 1);
            sw_tape_reset(tape);
            ok = sw_loader_next(loader, tape, &b);
        }
        if (ok)
            check_values(&b, 0);
        else
            check_error(SW_ERR_MEMORY, "out of memory", NULL);
        sw_loader_free(loader);
        sw_tape_free(tape);
        assert_int_equal(live, 0);
        sw_set_allocator(NULL);
        assert_true(k < 100);
    }
    assert_true(k > 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefetch_on_and_off_give_the_same_batches),
        cmocka_unit_test(test_draw_of_a_batch_is_its_epoch),
        cmocka_unit_test(test_batches_are_read_in_place),
        cmocka_unit_test(test_buffer_in_use_is_not_overwritten),
        cmocka_unit_test(test_prefetch_thread_starts_late_and_ends),
        cmocka_unit_test(test_errors_of_the_thread_reach_the_caller),
        cmocka_unit_test(test_forgotten_reset_is_named),
        cmocka_unit_test(test_refuses_wrong_options),
        cmocka_unit_test(test_auto_prefetches_costly_sources_on_two_processors),
        cmocka_unit_test(test_prefetch_thread_blocks_signals),
        cmocka_unit_test(test_forked_child_starts_its_own_thread),
        cmocka_unit_test(test_no_allocation_after_the_first_epoch),
        cmocka_unit_test(test_prefetch_survives_every_failed_allocation),
    };
    sw_set_threads(1); /* so that threads which are counted are the loader's */
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
