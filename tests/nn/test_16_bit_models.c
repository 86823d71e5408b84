/* Models whose weights are stored in f16 and bf16: types and bits of values and gradients, evaluation, prediction,
 * recomputed segments, threads, failing allocations. */
#include "cloud.h"

#include <swale/optim.h>

enum { ROWS = 12, WIDE = 40 };
static const sw_dtype halves[2] = {SW_F16, SW_BF16};

/* linear, relu, x + linear, linear. recompute: the number of layers in a segment; 0: no segments. */
static sw_model *net_of(sw_dtype type, int recompute) {
    sw_model *m = sw_model_new(type, 3);
    sw_module *layers[] = {sw_nn_linear(m, FEATURES, WIDE), sw_nn_relu(m),
                           sw_nn_residual(m, sw_nn_linear(m, WIDE, WIDE)), sw_nn_linear_no_bias(m, WIDE, CLASSES)};
    const sw_sequential_options o = {.size = sizeof o, .recompute = recompute};
    if (!sw_model_build(m, sw_nn_sequential_with_options(m, 4, layers, &o))) {
        sw_model_free(m);
        return NULL;
    }
    return m;
}

static sw_tensor leaf_of(sw_model *m, sw_tape *tape, const char *name) {
    return sw_param_use(tape, sw_params_find(sw_model_params(m), name));
}

/* The same by operations. */
static sw_tensor by_operations(sw_model *m, sw_tensor x) {
    sw_tape *tape = x.tape;
    sw_tensor w = leaf_of(m, tape, "linear1.weight");
    sw_tensor h = sw_relu(sw_linear(sw_cast(x, sw_value(w).type), w, leaf_of(m, tape, "linear1.bias")));
    h = sw_add(h, sw_linear(h, leaf_of(m, tape, "linear2.weight"), leaf_of(m, tape, "linear2.bias")));
    return sw_matmul_transposed(h, leaf_of(m, tape, "linear3.weight"), false, true);
}

typedef struct result {
    sw_dtype type; /* of the logits */
    double loss;
    uint64_t hash; /* of the logits and of the gradient block */
} result;

/* One forward and backward of cross-entropy on rows in f32. */
static bool run(sw_model *m, bool plain, result *r) {
    static const float x[ROWS * FEATURES] = {1.5F, -0.25F, 0.1F, 3, -2, 0.75F, 0.3F, -1};
    static const int32_t ids[ROWS] = {0, 1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0};
    sw_params *p = sw_model_params(m);
    sw_tape *tape = sw_tape_new();
    sw_gradient *g = sw_params_gradient(p);
    sw_gradient_make_fresh(g);
    sw_tensor in = sw_input(tape, sw_array_view(x, SW_F32, SW_SHAPE(ROWS, FEATURES)));
    sw_tensor z = plain ? by_operations(m, in) : sw_forward(sw_model_root(m), in);
    sw_tensor loss = sw_cross_entropy(z, sw_input(tape, sw_array_view(ids, SW_I32, SW_SHAPE(ROWS))));
    const sw_status status = sw_is_null(loss) ? sw_last_failure() : sw_backward(loss);
    if (status == SW_OK) {
        const sw_array logits = sw_value(z);
        r->type = logits.type;
        r->loss = sw_item(loss);
        r->hash = test_hash(TEST_HASH, logits.data, test_bytes(&logits));
        r->hash =
            test_hash(r->hash, sw_gradient_data(g), (size_t)sw_params_dim(p) * sw_dtype_size(sw_gradient_type(g)));
    }
    sw_tape_free(tape);
    return status == SW_OK;
}

static void test_network_has_the_bits_of_its_operations(void **state) {
    (void)state;
    for (int h = 0; h < 2; h++) {
        sw_model *m = net_of(halves[h], 0), *wide = net_of(SW_F32, 0);
        result net, plain, single;
        assert_true(run(m, false, &net) && run(m, true, &plain) && run(wide, false, &single));
        assert_true(net.type == halves[h] && plain.type == halves[h] && single.type == SW_F32);
        assert_true(net.hash == plain.hash && net.loss == plain.loss);
        /* Logits below 4 with four roundings on their way, and weights that were rounded: 16 u to first order. */
        assert_true(fabs(net.loss - single.loss) <= 16 * 4 * (halves[h] == SW_F16 ? 0x1p-11 : 0x1p-8));
        expect_no_error();
        sw_model_free(m);
        sw_model_free(wide);
    }
}

static void test_recomputed_segments_have_the_same_bits(void **state) {
    (void)state;
    for (int h = 0; h < 2; h++) {
        result net, segments;
        sw_model *m = net_of(halves[h], 0), *again = net_of(halves[h], 2);
        assert_true(run(m, false, &net) && run(again, false, &segments));
        assert_true(net.hash == segments.hash && net.loss == segments.loss);
        sw_model_free(m);
        sw_model_free(again);
    }
}

static void test_bits_do_not_depend_on_threads(void **state) {
    (void)state;
    for (int h = 0; h < 2; h++) {
        sw_model *m = net_of(halves[h], 0);
        result one, many;
        sw_set_threads(1);
        assert_true(run(m, false, &one));
        for (int threads = 2; threads <= 8; threads *= 2) {
            sw_set_threads(threads);
            assert_true(run(m, false, &many) && many.hash == one.hash);
        }
        sw_set_threads(1);
        sw_model_free(m);
    }
}

static void test_embedding_returns_the_type_of_its_table(void **state) {
    (void)state;
    for (int h = 0; h < 2; h++) {
        sw_model *m = sw_model_new(halves[h], 1);
        sw_params *p = built(m, sw_nn_sequential(m, sw_nn_embedding(m, 300, 4), sw_nn_linear(m, 4, 2), NULL));
        sw_tape *tape = sw_tape_new();
        const float ids[3] = {299, 0, 257}; /* f32: bf16 does not hold 257 */
        sw_tensor rows =
            sw_forward(sw_model_root(m)->child[0], sw_input(tape, sw_array_view(ids, SW_F32, SW_SHAPE(3))));
        const sw_array value = sw_value(rows), table = sw_value(leaf_of(m, tape, "embedding1.weight"));
        assert_true(value.type == halves[h] && table.type == halves[h]);
        for (int i = 0; i < 3; i++)
            assert_memory_equal((const uint16_t *)value.data + 4 * i, (const uint16_t *)table.data + 4 * (int)ids[i],
                                4 * sizeof(uint16_t));
        assert_ok(sw_backward(sw_sum(sw_forward(sw_model_root(m)->child[1], rows))));
        const sw_array g = sw_param_grad(sw_params_find(p, "embedding1.weight"));
        assert_int_equal(g.type, halves[h]);
        assert_true(test_get(&g, 299 * 4) != 0 && test_get(&g, 4) == 0);
        sw_tape_free(tape);
        sw_model_free(m);
    }
}

/* ---- Evaluation and prediction ---- */

static void test_evaluation_and_prediction(void **state) {
    (void)state;
    for (int h = 0; h < 2; h++) {
        sw_model *m = net_of(halves[h], 0);
        cloud c = cloud_of(1500); /* two batches */
        sw_evaluation e;
        sw_array y = {0};
        assert_ok(sw_model_evaluate(m, NULL, &c.source, sw_cross_entropy, &e));
        assert_ok(sw_predict_source(m, &c.source, &y));
        assert_true(y.type == SW_F32 && y.shape[0] == 1500 && y.shape[1] == CLASSES);
        double loss = 0, right = 0;
        for (int64_t i = 0; i < 1500; i++) {
            double sum = 0;
            int best = 0, target = (int)(i % CLASSES);
            for (int k = 0; k < CLASSES; k++) {
                const double z = test_get(&y, i * CLASSES + k);
                sum += exp(z);
                best = z > test_get(&y, i * CLASSES + best) ? k : best;
            }
            loss += log(sum) - test_get(&y, i * CLASSES + target);
            right += best == target;
        }
        /* The logits are those of the predictions; the losses, of about 1, are computed in f32. */
        assert_true(fabs(e.loss - loss / 1500) <= 5e-7);
        assert_true(e.accuracy == right / 1500);
        sw_array_free(&y);
        sw_model_free(m);
    }
}

/* The objective of a model: its value is the loss of the network, and its gradient is in the block. */
static void test_objective(void **state) {
    (void)state;
    for (int h = 0; h < 2; h++) {
        sw_model *m = net_of(halves[h], 0);
        cloud c = cloud_of(50);
        sw_tape *tape = sw_tape_new();
        const sw_objective *f = sw_model_objective(m, &c.source, sw_cross_entropy);
        sw_gradient *g = sw_params_gradient(sw_model_params(m));
        double value = 0, other = 0;
        sw_evaluation e;
        assert_ok(sw_objective_gradient(f, tape, NULL, NULL, 50, 1, &value, g));
        assert_ok(sw_objective_value(f, tape, NULL, NULL, 50, 1, &other));
        assert_ok(sw_model_evaluate(m, NULL, &c.source, sw_cross_entropy, &e));
        assert_true(value == other && value == e.loss);
        assert_int_equal(sw_gradient_type(g), halves[h]);
        double norm = 0;
        assert_ok(sw_vector_norm(halves[h], sw_params_dim(sw_model_params(m)), sw_gradient_data(g), &norm));
        assert_true(norm > 0.01 && norm < 100);
        sw_tape_free(tape);
        sw_model_free(m);
    }
}

/* ---- What programs read ---- */

static void test_model_is_printed_with_its_storage_type(void **state) {
    (void)state;
    sw_model *m = net_of(SW_BF16, 0), *wide = net_of(SW_F32, 0);
    assert_non_null(strstr(print_of(m), "\ntotal                 bf16 (masters f32) "));
    assert_non_null(strstr(print_of(wide), "\ntotal                 f32 "));
    assert_true(sw_model_type(m) == SW_F32 && sw_params_storage(sw_model_params(m)) == SW_BF16);
    sw_model_free(m);
    sw_model_free(wide);
}

/* The gradient as README.md converts it is that of the optimizer: a step of SGD with lr = 1 subtracts it, rounded once
 * to f32. The loss scale of f16 is 65536. */
static void test_gradient_is_read_in_f32(void **state) {
    (void)state;
    for (int h = 0; h < 2; h++) {
        sw_model *m = net_of(halves[h], 0);
        sw_params *p = sw_model_params(m);
        sw_optim *o = sw_optim_new(p, "sgd lr=1");
        sw_param *w = sw_params_find(p, "linear1.weight");
        result r;
        assert_true(run(m, false, &r));
        assert_true(sw_gradient_scale(sw_params_gradient(p)) == (halves[h] == SW_F16 ? 65536 : 1));
        float g[WIDE * FEATURES], x[WIDE * FEATURES];
        assert_true(w->count == WIDE * FEATURES);

        const sw_array stored = sw_param_grad(w); /* elements of uint16_t */
        sw_vector_convert(stored.type, w->count, stored.data, SW_F32, g);
        const float scale = (float)sw_gradient_scale(sw_params_gradient(p));
        for (int64_t i = 0; i < w->count; i++)
            g[i] /= scale;

        memcpy(x, sw_param_value(w).data, sizeof x);
        assert_int_equal(sw_optim_step(o), SW_OK);
        const float *after = sw_param_value(w).data;
        int changed = 0;
        for (int64_t i = 0; i < w->count; i++) {
            assert_true(after[i] == x[i] - g[i]);
            changed += after[i] != x[i];
        }
        assert_true(changed > WIDE);
        sw_optim_free(o);
        sw_model_free(m);
    }
}

/* ---- Memory ---- */

static bool run_once(const void *user) {
    sw_model *m = net_of(*(const sw_dtype *)user, 0);
    result r;
    const bool good = m && run(m, false, &r);
    sw_model_free(m);
    return good;
}

static void test_every_allocation_fails_once(void **state) {
    (void)state;
    expect_failed_allocations(run_once, &halves[1], 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_network_has_the_bits_of_its_operations),
        TEST(test_recomputed_segments_have_the_same_bits),
        TEST(test_bits_do_not_depend_on_threads),
        TEST(test_embedding_returns_the_type_of_its_table),
        TEST(test_evaluation_and_prediction),
        TEST(test_objective),
        TEST(test_model_is_printed_with_its_storage_type),
        TEST(test_gradient_is_read_in_f32),
        TEST(test_every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
