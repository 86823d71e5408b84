/* The memory of training steps: the high-water mark of the tape is within 10 % of the largest set of bytes that are
 * live at one time, which is computed here from the shapes alone; and recomputed segments keep no more than their
 * results. */
#include "cloud.h"

#include <swale/extend.h>

/* ---- The ledger: what is live, from shapes alone ---- */

typedef struct ledger {
    size_t live, most;
} ledger;

static void make(ledger *l, int64_t elements) {
    l->live += (size_t)elements * sizeof(float);
    l->most = l->live > l->most ? l->live : l->most;
}

static void end(ledger *l, int64_t elements) {
    l->live -= (size_t)elements * sizeof(float);
}

/* A residual block x + W2 relu(W1 x + b1) + b2 on [batch, width], with `hidden` features inside. Kept for backward: the
 * input of each linear layer, which is also the output of relu that its vjp reads. */
static void block_forward(ledger *l, int64_t w, int64_t h) {
    make(l, h); /* W1 x + b1 */
    make(l, h); /* relu */
    end(l, h);
    make(l, w); /* W2 … + b2 */
    make(l, w); /* the sum */
    end(l, w);
}

/* At the start, the gradient of the block's output is live; at the end, that of its input, which takes over from the
 * skip connection. Gradients of parameters are not in the tape. */
static void block_backward(ledger *l, int64_t w, int64_t h) {
    make(l, w); /* the gradient of x by the skip connection */
    make(l, h); /* of relu's output */
    end(l, w);  /* of the sum, which was passed on to W2 … + b2 */
    make(l, h); /* of W1 x + b1 */
    end(l, h);
    end(l, h);  /* the output of relu itself */
    make(l, w); /* the second part of the gradient of x */
    end(l, w);
    end(l, h);
    end(l, w); /* x itself */
}

static size_t live_of_blocks(int blocks, int64_t w, int64_t h, int64_t batch, int64_t classes) {
    ledger l = {0};
    w *= batch, h *= batch, classes *= batch;
    make(&l, w); /* of the first linear layer, whose input is outside of the tape */
    for (int i = 0; i < blocks; i++)
        block_forward(&l, w, h);
    make(&l, classes); /* the output of the last linear layer */
    make(&l, classes); /* what cross_entropy saves: the probabilities */
    make(&l, 1);
    make(&l, classes); /* the gradient of the output */
    make(&l, w);
    end(&l, classes);
    end(&l, w); /* the input of the last layer */
    for (int i = 0; i < blocks; i++)
        block_backward(&l, w, h);
    end(&l, w); /* the gradient of the first layer's output */
    return l.most;
}

static sw_module *residual_block(sw_model *m, int64_t w, int64_t h) {
    return sw_nn_residual(m, sw_nn_sequential(m, sw_nn_linear(m, w, h), sw_nn_relu(m), sw_nn_linear(m, h, w)));
}

enum { INPUTS = 20, OUTPUTS = 10, MOST_BLOCKS = 48 };

static sw_model *residual_network(int blocks, int64_t w, int64_t h, int recompute) {
    sw_model *m = sw_model_new(SW_F32, 1);
    sw_module *list[MOST_BLOCKS + 2];
    list[0] = sw_nn_linear(m, INPUTS, w);
    for (int i = 0; i < blocks; i++)
        list[i + 1] = residual_block(m, w, h);
    list[blocks + 1] = sw_nn_linear(m, w, OUTPUTS);
    built(m, sw_nn_sequential_with_options(m, blocks + 2, list,
                                           &SW_OPTIONS(sw_sequential_options, .recompute = recompute)));
    return m;
}

typedef struct usage {
    size_t peak, high, account;
    uint64_t hash;
} usage;

/* The second of two steps, because in the first one chunks are added to the tape. */
static usage step_of(const sw_model *m, const sw_array *x, const sw_array *y) {
    sw_params *p = sw_model_params(m);
    usage u = {0};
    sw_memory_reset_peaks();
    sw_tape *tape = sw_tape_new();
    for (int i = 0; i < 2; i++) {
        sw_tape_reset(tape);
        sw_gradient_make_fresh(sw_params_gradient(p));
        sw_tensor z = sw_forward(sw_model_root(m), sw_input(tape, *x)), loss = sw_cross_entropy(z, sw_input(tape, *y));
        assert_ok(sw_backward(loss));
        assert_false(sw_is_null(z));
    }
    u.peak = sw_tape_peak_bytes(tape);
    u.high = sw_tape_touched_bytes(tape);
    u.account = sw_memory_peak(SW_ACCOUNT_TAPE);
    u.hash = test_hash(TEST_HASH, sw_gradient_data(sw_params_gradient(p)), (size_t)sw_params_dim(p) * sizeof(float));
    sw_tape_free(tape);
    return u;
}

static sw_array ids_of(int64_t n) {
    sw_array y = test_array(SW_I32, SW_SHAPE(n));
    for (int64_t i = 0; i < n; i++)
        test_set(&y, i, (double)(i % OUTPUTS));
    return y;
}

static void expect_lean(const char *what, const usage *u, size_t live) {
    print_message("%s: %zu bytes live, %zu in use, high-water mark %zu (%.3f)\n", what, live, u->peak, u->high,
                  (double)u->high / (double)live);
    if (u->peak < live || (double)u->high > 1.1 * (double)live)
        fail_msg("%s: %zu bytes live at most, %zu in use, high-water mark %zu", what, live, u->peak, u->high);
}

static void test_residual_networks_use_little_more_than_what_is_live(void **state) {
    (void)state;
    /* Width, hidden features, batch: also sizes that are no round numbers, and blocks of very different sizes. */
    static const int64_t sizes[][3] = {{64, 64, 32}, {128, 512, 64}, {100, 70, 33}, {250, 31, 40}, {64, 1000, 24}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int64_t w = sizes[i][0], h = sizes[i][1], batch = sizes[i][2];
        sw_array x = test_filled(SW_F32, SW_SHAPE(batch, INPUTS), -1, 1, 3), y = ids_of(batch);
        sw_model *m = residual_network(MOST_BLOCKS, w, h, 0);
        const usage u = step_of(m, &x, &y);
        char what[80];
        snprintf(what, sizeof what, "48 blocks of %d and %d, batch %d", (int)w, (int)h, (int)batch);
        expect_lean(what, &u, live_of_blocks(MOST_BLOCKS, w, h, batch, OUTPUTS));
        sw_model_free(m);
        test_array_free(&x);
        test_array_free(&y);
    }
}

/* 784-100-10: of the hidden layer relu's output is kept. */
static void test_small_network_uses_little_more_than_what_is_live(void **state) {
    (void)state;
    static const int64_t batches[] = {64, 50, 256, 1000};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        const int64_t batch = batches[i], h = batch * 100, z = batch * 10;
        ledger l = {0};
        make(&l, h); /* W1 x + b1 */
        make(&l, h); /* relu */
        end(&l, h);
        make(&l, z);
        make(&l, z); /* the probabilities */
        make(&l, 1);
        make(&l, z); /* gradients: of z, */
        make(&l, h); /* of relu's output, */
        end(&l, z);
        make(&l, h); /* of W1 x + b1 */
        sw_array x = test_filled(SW_F32, SW_SHAPE(batch, 784), -1, 1, 3), y = ids_of(batch);
        sw_model *m = sw_model_new(SW_F32, 1);
        built(m, sw_nn_sequential(m, sw_nn_linear(m, 784, 100), sw_nn_relu(m), sw_nn_linear(m, 100, 10)));
        const usage u = step_of(m, &x, &y);
        char what[40];
        snprintf(what, sizeof what, "784-100-10, batch %d", (int)batch);
        expect_lean(what, &u, l.most);
        sw_model_free(m);
        test_array_free(&x);
        test_array_free(&y);
    }
}

/* ---- Segments ---- */

/* The list of layers is the first linear layer, the blocks and the last linear layer, cut into segments of k. Kept are
 * the results of the segments. At one time, there is also what one segment of k blocks keeps (for each the sum and
 * relu's output), with the gradients and temporaries of a block: the cotangent of the segment's result, and two of
 * [batch, width] and two of [batch, hidden]; and the last segment has four of [batch, classes]. */
static size_t most_of_segments(int layers, int k, int64_t w, int64_t h, int64_t batch) {
    const int64_t segments = (layers + k - 1) / k;
    return (size_t)(batch * (segments * w + k * (w + h) + 3 * w + 2 * h + 4 * OUTPUTS)) * sizeof(float);
}

static void test_segments_keep_their_results_alone(void **state) {
    (void)state;
    enum { W = 96, H = 160, BATCH = 48 };
    sw_array x = test_filled(SW_F32, SW_SHAPE(BATCH, INPUTS), -1, 1, 3), y = ids_of(BATCH);
    sw_model *plain = residual_network(MOST_BLOCKS, W, H, 0);
    const usage all = step_of(plain, &x, &y);
    sw_model_free(plain);
    for (int k = 1; k <= 25; k += k < 8 ? 1 : 6) {
        sw_model *m = residual_network(MOST_BLOCKS, W, H, k);
        const usage u = step_of(m, &x, &y);
        const size_t most = most_of_segments(MOST_BLOCKS + 2, k, W, H, BATCH);
        print_message("every %d layers: %zu bytes of at most %zu, high-water mark %zu; without segments %zu\n", k,
                      u.peak, most, u.high, all.high);
        assert_true(u.hash == all.hash); /* the same gradients, bit for bit */
        /* The nodes' shapes, attributes and inputs, of 5 operations a block, take at most 512 bytes an operation. */
        const size_t small = (size_t)(MOST_BLOCKS + 2) * 5 * 512;
        assert_true(u.peak <= most + small);
        assert_true((double)u.high <= 1.1 * (double)(most + small));
        /* Chunks grow by halves, so that at most a third is unused; nodes come in blocks of 256, of 192 bytes each. */
        const size_t nodes = ((MOST_BLOCKS + 2) * 10 / 256 + 2) * (256 * 192 + 64) + 4096;
        assert_true((double)u.account <= 1.5 * 1.1 * (double)(most + small) + 65536 + (double)nodes);
        if (k >= 3 && k <= 13)
            assert_true(2 * u.high < all.high);
        sw_model_free(m);
    }
    test_array_free(&x);
    test_array_free(&y);
}

/* Two large segments: the second can use the memory that the first has left. Their inside is live one at a time, and
 * the whole step needs less than without segments. */
static void test_two_large_segments_need_less_than_none(void **state) {
    (void)state;
    enum { W = 200, H = 200, BATCH = 40, BLOCKS = 24 };
    sw_array x = test_filled(SW_F32, SW_SHAPE(BATCH, INPUTS), -1, 1, 3), y = ids_of(BATCH);
    usage u[2];
    for (int segments = 0; segments < 2; segments++) {
        sw_model *m = residual_network(BLOCKS, W, H, segments ? (BLOCKS + 2) / 2 : 0);
        u[segments] = step_of(m, &x, &y);
        sw_model_free(m);
    }
    const size_t one = (size_t)W * BATCH * sizeof(float);
    assert_true(u[1].hash == u[0].hash);
    /* Plain: 2 for each block. With segments: half of it, two results, and the gradients and temporaries of a block. */
    assert_true(u[0].peak >= 2 * BLOCKS * one);
    assert_true(u[1].peak <= (BLOCKS + 2 + 6) * one);
    assert_true((double)u[1].high <= 1.1 * (BLOCKS + 2 + 6) * (double)one);
    test_array_free(&x);
    test_array_free(&y);
}

/* A segment in a segment in a segment: each level keeps its results while the level above is computed again. */
static void test_nested_segments_keep_one_path(void **state) {
    (void)state;
    enum { W = 256, BATCH = 64, EACH = 4 };
    sw_array x = test_filled(SW_F32, SW_SHAPE(BATCH, W), -1, 1, 3);
    usage u[2] = {{0}};
    for (int nested = 0; nested < 2; nested++) {
        sw_model *m = sw_model_new(SW_F32, 1);
        sw_module *outer[EACH];
        for (int i = 0; i < EACH; i++) {
            sw_module *middle[EACH];
            for (int j = 0; j < EACH; j++) {
                sw_module *inner[EACH];
                for (int k = 0; k < EACH; k++)
                    inner[k] = sw_nn_sequential(m, sw_nn_linear(m, W, W), sw_nn_tanh(m));
                middle[j] = sw_nn_sequential_array(m, EACH, inner);
                middle[j] = nested ? sw_nn_recompute(m, middle[j]) : middle[j];
            }
            outer[i] = sw_nn_sequential_array(m, EACH, middle);
            outer[i] = nested ? sw_nn_recompute(m, outer[i]) : outer[i];
        }
        built(m, sw_nn_sequential_array(m, EACH, outer));
        sw_tape *tape = sw_tape_new();
        assert_ok(sw_backward(sw_mean(sw_forward(sw_model_root(m), sw_input(tape, x)))));
        sw_params *p = sw_model_params(m);
        u[nested].high = sw_tape_touched_bytes(tape);
        u[nested].hash = test_hash(TEST_HASH, sw_gradient_data(sw_params_gradient(p)), (size_t)sw_params_dim(p) * 4);
        sw_tape_free(tape);
        sw_model_free(m);
    }
    assert_true(u[1].hash == u[0].hash);
    /* Plain: 64 outputs of tanh. Nested: at most EACH results at each of the three levels, and 5 gradients and
     * temporaries, one of them at each level. */
    const double one = (double)BATCH * W * sizeof(float);
    assert_true((double)u[0].high >= EACH * EACH * EACH * one);
    assert_true((double)u[1].high <= 1.1 * (3 * EACH + 5 + 2) * one);
    test_array_free(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_residual_networks_use_little_more_than_what_is_live),
        TEST(test_small_network_uses_little_more_than_what_is_live),
        TEST(test_segments_keep_their_results_alone),
        TEST(test_two_large_segments_need_less_than_none),
        TEST(test_nested_segments_keep_one_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
