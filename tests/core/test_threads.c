/* Threads: equal bits for every number of them and in every run, each tile exactly once, calls from
 * several threads at once and from within each other, and the child of a fork. */
#define _GNU_SOURCE
#include "support.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "extend.h"

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#endif

/* ---- Equal bits ---- */

enum { RUNS = 10, MOST = 3 };
static const int thread_counts[] = {1, 2, 3, 4, 8};

typedef struct big_case {
    const char *name;
    sw_tensor (*build)(const sw_tensor *in);
    int inputs;
    struct {
        int rank;
        int64_t shape[2];
    } in[MOST];
    int ids; /* which input holds class ids, -1 for none */
} big_case;

static sw_tensor do_add(const sw_tensor *in) { return sw_add(in[0], in[1]); }
static sw_tensor do_sub(const sw_tensor *in) { return sw_sub(in[0], in[1]); }
static sw_tensor do_mul(const sw_tensor *in) { return sw_mul(in[0], in[1]); }
static sw_tensor do_scale(const sw_tensor *in) { return sw_scale(in[0], 0.3); }
static sw_tensor do_relu(const sw_tensor *in) { return sw_relu(in[0]); }
static sw_tensor do_tanh(const sw_tensor *in) { return sw_tanh(in[0]); }
static sw_tensor do_neg(const sw_tensor *in) { return sw_neg(in[0]); }
static sw_tensor do_exp(const sw_tensor *in) { return sw_exp(in[0]); }
static sw_tensor do_abs(const sw_tensor *in) { return sw_abs(in[0]); }
static sw_tensor do_sin(const sw_tensor *in) { return sw_sin(in[0]); }
static sw_tensor do_cos(const sw_tensor *in) { return sw_cos(in[0]); }
static sw_tensor do_clamp(const sw_tensor *in) { return sw_clamp(in[0], -0.5, 0.5); }
static sw_tensor do_div(const sw_tensor *in) { return sw_div(in[0], in[1]); }
static sw_tensor do_maximum(const sw_tensor *in) { return sw_maximum(in[0], in[1]); }
static sw_tensor do_minimum(const sw_tensor *in) { return sw_minimum(in[0], in[1]); }
static sw_tensor do_sigmoid(const sw_tensor *in) { return sw_sigmoid(in[0]); }
static sw_tensor do_leaky_relu(const sw_tensor *in) { return sw_leaky_relu(in[0], 0.01); }
static sw_tensor do_elu(const sw_tensor *in) { return sw_elu(in[0], 1); }
static sw_tensor do_silu(const sw_tensor *in) { return sw_silu(in[0]); }
static sw_tensor do_softplus(const sw_tensor *in) { return sw_softplus(in[0]); }
static sw_tensor do_gelu(const sw_tensor *in) { return sw_gelu(in[0]); }
static sw_tensor do_gelu_tanh(const sw_tensor *in) { return sw_gelu_tanh(in[0]); }
static sw_tensor do_pow(const sw_tensor *in) { return sw_pow(in[0], 3); }
static sw_tensor do_dropout(const sw_tensor *in) { return sw_dropout(in[0], 0.3, 1); }
static sw_tensor do_reshape(const sw_tensor *in) {
    return sw_mul(sw_reshape(in[0], SW_SHAPE(-1, 100)),
                  sw_detach(sw_reshape(in[0], SW_SHAPE(-1, 100))));
}
static sw_tensor do_sum(const sw_tensor *in) { return sw_sum(in[0]); }
static sw_tensor do_mean(const sw_tensor *in) { return sw_mean(in[0]); }
static sw_tensor do_matmul(const sw_tensor *in) { return sw_matmul(in[0], in[1]); }
static sw_tensor do_linear(const sw_tensor *in) { return sw_linear(in[0], in[1], in[2]); }
static sw_tensor do_ce(const sw_tensor *in) { return sw_cross_entropy(in[0], in[1]); }
static sw_tensor do_mse(const sw_tensor *in) { return sw_mse(in[0], in[1]); }
static sw_tensor do_bce(const sw_tensor *in) { return sw_bce_with_logits(in[0], in[1]); }

#define WHOLE {2, {300, 700}}
static const big_case cases[] = {
    {"add", do_add, 2, {WHOLE, WHOLE}, -1},
    {"add rows", do_add, 2, {WHOLE, {1, {700}}}, -1},
    {"sub columns", do_sub, 2, {{2, {300, 1}}, WHOLE}, -1},
    {"sub outer", do_sub, 2, {{2, {300, 1}}, {1, {700}}}, -1},
    {"mul", do_mul, 2, {WHOLE, WHOLE}, -1},
    {"mul scalar", do_mul, 2, {{0, {0}}, WHOLE}, -1},
    {"scale", do_scale, 1, {WHOLE}, -1},
    {"relu", do_relu, 1, {WHOLE}, -1},
    {"tanh", do_tanh, 1, {WHOLE}, -1},
    {"neg", do_neg, 1, {WHOLE}, -1},
    {"exp", do_exp, 1, {WHOLE}, -1},
    {"abs", do_abs, 1, {WHOLE}, -1},
    {"sin", do_sin, 1, {WHOLE}, -1},
    {"cos", do_cos, 1, {WHOLE}, -1},
    {"clamp", do_clamp, 1, {WHOLE}, -1},
    {"div", do_div, 2, {WHOLE, {1, {700}}}, -1},
    {"maximum", do_maximum, 2, {WHOLE, {1, {700}}}, -1},
    {"minimum", do_minimum, 2, {WHOLE, {1, {700}}}, -1},
    {"sigmoid", do_sigmoid, 1, {WHOLE}, -1},
    {"leaky_relu", do_leaky_relu, 1, {WHOLE}, -1},
    {"elu", do_elu, 1, {WHOLE}, -1},
    {"silu", do_silu, 1, {WHOLE}, -1},
    {"softplus", do_softplus, 1, {WHOLE}, -1},
    {"gelu", do_gelu, 1, {WHOLE}, -1},
    {"gelu_tanh", do_gelu_tanh, 1, {WHOLE}, -1},
    {"pow", do_pow, 1, {WHOLE}, -1},
    {"dropout", do_dropout, 1, {WHOLE}, -1},
    {"dropout long rows", do_dropout, 1, {{2, {5, 40000}}}, -1},
    {"reshape", do_reshape, 1, {WHOLE}, -1},
    {"sum", do_sum, 1, {{1, {1000003}}}, -1},
    {"mean", do_mean, 1, {{1, {1000003}}}, -1},
    {"mse", do_mse, 2, {WHOLE, WHOLE}, -1},
    {"bce", do_bce, 2, {WHOLE, WHOLE}, -1},
    {"cross-entropy", do_ce, 2, {{2, {5000, 10}}, {1, {5000}}}, 1},
    {"cross-entropy, more rows", do_ce, 2, {{2, {30000, 3}}, {1, {30000}}}, 1},
    {"linear 64x100x784", do_linear, 3, {{2, {64, 784}}, {2, {100, 784}}, {1, {100}}}, -1},
    {"linear 256x512x512", do_linear, 3, {{2, {256, 512}}, {2, {512, 512}}, {1, {512}}}, -1},
    {"linear 5000x30x20", do_linear, 3, {{2, {5000, 20}}, {2, {30, 20}}, {1, {30}}}, -1},
    {"matmul 130x257x300", do_matmul, 2, {{2, {130, 300}}, {2, {300, 257}}}, -1},
    {"matmul 3x7000x90", do_matmul, 2, {{2, {3, 90}}, {2, {90, 7000}}}, -1},
};
enum { CASES = sizeof cases / sizeof *cases };

/* Forward and backward; the hash of the value and of all gradients. */
static uint64_t run_case(const big_case *c, sw_tape *tape, const sw_array *in) {
    static float noise_f32[1 << 18];
    static double noise_f64[1 << 18];
    sw_tensor t[MOST];
    uint64_t seed = 9;
    for (int i = 0; noise_f64[0] == 0 && i < 1 << 18; i++)
        noise_f32[i] = (float)(noise_f64[i] = test_uniform(&seed, -1, 1));
    sw_tape_reset(tape);
    sw_tape_set_draw(tape, 5);
    for (int i = 0; i < c->inputs; i++)
        t[i] = i == c->ids ? sw_input(tape, in[i]) : sw_variable(tape, in[i]);
    sw_tensor y = c->build(t);
    sw_array value = sw_value(y);
    expect_no_error();
    uint64_t hash = test_hash(TEST_HASH, value.data, test_bytes(&value));
    sw_array cotangent = value;
    assert_true(sw_array_count(&value) <= 1 << 18);
    cotangent.data = value.type == SW_F32 ? (void *)noise_f32 : (void *)noise_f64;
    assert_int_equal(sw_backward_from(y, cotangent), SW_OK);
    for (int i = 0; i < c->inputs; i++)
        if (i != c->ids) {
            sw_array g = sw_grad_of(t[i]);
            hash = test_hash(hash, g.data, test_bytes(&g));
        }
    return hash;
}

static void test_equal_bits(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    uint64_t seen[CASES * 2];
    for (int number = 0; number < CASES * 2; number++) {
        const big_case *c = &cases[number / 2];
        sw_dtype type = (sw_dtype)(number % 2);
        sw_array in[MOST];
        for (int i = 0; i < c->inputs; i++) {
            in[i] = test_filled(i == c->ids ? SW_I32 : type, c->in[i].rank, c->in[i].shape, -2, 2,
                                (uint64_t)i);
            for (int64_t k = 0; i == c->ids && k < sw_array_count(&in[i]); k++)
                test_set(&in[i], k, (double)(k * 7 % c->in[0].shape[1]));
        }
        uint64_t first = 0;
        for (size_t n = 0; n < sizeof thread_counts / sizeof *thread_counts; n++) {
            assert_int_equal(sw_set_threads(thread_counts[n]), SW_OK);
            for (int run = 0; run < RUNS; run++) {
                uint64_t hash = run_case(c, tape, in);
                if (n == 0 && run == 0)
                    first = hash;
                if (hash != first)
                    fail_msg("%s, %s: other bits with %d threads in run %d", c->name,
                             sw_dtype_name(type), thread_counts[n], run);
            }
        }
        seen[number] = first;
        for (int before = 0; before < number; before++) /* the hash sees what is computed */
            assert_true(seen[before] != first);
        for (int i = 0; i < c->inputs; i++)
            test_array_free(&in[i]);
    }
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

static void test_each_tile_once(void **state) {
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
static void test_threads_take_part(void **state) {
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

static void test_nested(void **state) {
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

static void test_calls_at_once(void **state) {
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

static void test_range(void **state) {
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
    sw_array x = test_filled(SW_F32, SW_SHAPE(300, 700), -1, 1, 4);
    uint64_t hash = run_case(&cases[4], tape, (sw_array[]){x, x});
    hash ^= run_case(&cases[12], tape, &x);
    test_array_free(&x);
    return hash;
}

static void test_fork(void **state) {
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_equal_bits, test_clear),
        cmocka_unit_test_setup(test_each_tile_once, test_clear),
        cmocka_unit_test_setup(test_threads_take_part, test_clear),
        cmocka_unit_test_setup(test_nested, test_clear),
        cmocka_unit_test_setup(test_calls_at_once, test_clear),
        cmocka_unit_test_setup(test_range, test_clear),
#if !defined(THREAD_SANITIZER)
        cmocka_unit_test_setup(test_fork, test_clear),
#endif
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sw_set_threads(1); /* joins the workers */
    return failed;
}
