/* Evaluations in shards: the gradients of the shards are added in the documented tree, bit for bit; the mean is that of
 * the whole batch, up to rounding, whatever the weights; every mistake has its message. */
#include "shards.h"

/* ---- The order of the additions ---- */

typedef struct leaf {
    char vector[DIM * sizeof(double)];
    double loss, weight, unit;
} leaf;

/* a ← a + b, in the arithmetic of the type. */
static void leaf_add(sw_dtype type, leaf *a, const leaf *b) {
    if (b->weight == 0)
        return;
    if (a->weight == 0) {
        *a = *b;
        return;
    }
    const double factor = b->unit / a->unit;
    for (int i = 0; i < DIM; i++)
        if (type == SW_F32) {
            const float product = (float)factor * ((const float *)(const void *)b->vector)[i];
            ((float *)(void *)a->vector)[i] += product;
        } else {
            const double product = factor * ((const double *)(const void *)b->vector)[i];
            ((double *)(void *)a->vector)[i] += product;
        }
    a->loss += factor * b->loss;
    a->weight += b->weight;
}

/* Evaluates each shard separately and adds the shards level by level. Returns the expected mean, with its loss and
 * weight. */
static leaf tree_by_hand(problem *p, const int64_t *ids, int64_t count, int64_t shards) {
    static leaf node[MOST_SHARDS];
    const sw_dtype type = sw_params_type(p->params);
    int64_t nodes = 0;
    for (int64_t s = 0; s < shards; s++) {
        const int64_t whole = count / shards, more = count % shards, n = whole + (s < more),
                      first = s * whole + (s < more ? s : more);
        if (n == 0)
            continue;
        leaf *l = &node[nodes++];
        assert_ok(sw_objective_gradient(&p->f, p->tape, NULL, ids + first, n, DRAW, &l->loss, p->g));
        memcpy(l->vector, sw_gradient_data(p->g), vector_bytes(p));
        l->weight = l->unit = sw_gradient_weight(p->g);
    }
    for (; nodes > 1; nodes = (nodes + 1) / 2)
        for (int64_t i = 0; i < nodes; i += 2) {
            if (i + 1 < nodes)
                leaf_add(type, &node[i], &node[i + 1]);
            node[i / 2] = node[i];
        }
    const double scale = node->unit / node->weight;
    for (int i = 0; node->weight != node->unit && i < DIM; i++)
        if (type == SW_F32)
            ((float *)(void *)node->vector)[i] *= (float)scale;
        else
            ((double *)(void *)node->vector)[i] *= scale;
    node->loss *= node->weight != node->unit ? scale : 1;
    return *node;
}

static void test_shards_are_added_in_the_documented_tree(void **state) {
    (void)state;
    static const int64_t counts[] = {SAMPLES, 16, 5, 3, 1};
    int64_t ids[SAMPLES];
    for (int64_t i = 0; i < SAMPLES; i++)
        ids[i] = (i * 5 + 2) % SAMPLES;
    for (int t = 0; t < 2; t++) {
        problem *p = problem_new(types[t]);
        for (int64_t shards = 1; shards <= MOST_SHARDS; shards++)
            for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
                const leaf expected = tree_by_hand(p, ids, counts[k], shards);
                double value, again;
                p->evaluations = 0;
                assert_ok(sw_objective_gradient_sharded(&p->f, p->tape, NULL, ids, counts[k], SHARDS(shards), DRAW,
                                                        &value, p->g));
                assert_int_equal(p->evaluations, shards < counts[k] ? shards : counts[k]);
                assert_memory_equal(sw_gradient_data(p->g), expected.vector, vector_bytes(p));
                assert_true(value == expected.loss);
                assert_true(sw_gradient_weight(p->g) == expected.weight); /* multiples of 1/2 */
                assert_true(sw_tape_loss_weight(p->tape) == expected.weight);
                assert_int_equal(sw_gradient_samples(p->g), counts[k]);
                assert_ok(
                    sw_objective_value_sharded(&p->f, p->tape, NULL, ids, counts[k], SHARDS(shards), DRAW, &again));
                assert_true(again == value && sw_tape_loss_weight(p->tape) == expected.weight);
            }
        problem_free(p);
    }
}

static void test_shards_have_as_many_levels_as_needed(void **state) {
    (void)state;
    static const int expected[] = {0, 0, 1, 2, 2, 3, 3, 3, 3, 4};
    for (int i = 0; i < 10; i++)
        assert_int_equal(sw_shard_levels(i), expected[i]);
    assert_int_equal(sw_shard_levels((int64_t)1 << 40), 40);
    assert_int_equal(sw_shard_levels(((int64_t)1 << 40) + 1), 41);
    assert_int_equal(sw_shard_levels(INT64_MAX), 62);
}

/* ---- The mean is that of the whole batch ---- */

/* Σ|w_i ∂l_i| / W is at most 5/3 for each element: |p - e| <= 1, |x| <= 1, 1/(1 - 0.4) from dropout. A term has about
 * 30 roundings (products of 9 features, softmax, a product), the sums have 37 terms, and a tree of 9 shards 4 levels of
 * 3 roundings and the division: 80 u · 5/3 for each of the two results. The loss is below 8, with fewer roundings. */
static double tolerance(sw_dtype type) {
    return 2 * 80 * 8 * (type == SW_F32 ? 0x1p-24 : 0x1p-53);
}

static void expect_near_whole(const char *what, problem *p, double value, const char *whole, double loss) {
    const sw_dtype type = sw_params_type(p->params);
    const double most = p->kind == SUMMED ? tolerance(type) * 3 * SAMPLES : tolerance(type);
    if (!(fabs(value - loss) <= most))
        fail_msg("%s: the loss is %.17g, not %.17g", what, value, loss);
    for (int i = 0; i < DIM; i++)
        if (!(fabs(vec_get(type, sw_gradient_data(p->g), i) - vec_get(type, whole, i)) <= most))
            fail_msg("%s: element %d is %.17g, not %.17g", what, i, vec_get(type, sw_gradient_data(p->g), i),
                     vec_get(type, whole, i));
}

static void test_mean_of_shards_is_that_of_the_whole(void **state) {
    (void)state;
    for (int t = 0; t < 4; t++) {
        problem *p = problem_new(types[t % 2]);
        p->kind = t < 2 ? WEIGHTED : SUMMED;
        char whole[DIM * sizeof(double)];
        double loss, value;
        assert_ok(sw_objective_gradient(&p->f, p->tape, NULL, NULL, SAMPLES, DRAW, &loss, p->g));
        const double weight = sw_gradient_weight(p->g);
        assert_true(t < 2 ? weight > SAMPLES / 2.0 : weight == SW_SUMMED);
        memcpy(whole, sw_gradient_data(p->g), vector_bytes(p));
        for (int64_t shards = 1; shards <= 64; shards++) {
            char work[6 * DIM * sizeof(double)]; /* 64 shards have 6 levels */
            const sw_shard_options how = {
                .size = sizeof how, .shards = shards, .chunk = shards % 3, .work = shards % 2 ? work : NULL};
            assert_ok(sw_objective_gradient_sharded(&p->f, p->tape, NULL, NULL, SAMPLES, &how, DRAW, &value, p->g));
            assert_true(sw_gradient_weight(p->g) == weight);
            expect_near_whole("shards", p, value, whole, loss);
        }
        assert_ok(sw_objective_gradient_sharded(&p->f, p->tape, NULL, NULL, SAMPLES, NULL, DRAW, NULL, p->g));
        assert_memory_equal(sw_gradient_data(p->g), whole, vector_bytes(p)); /* without options: one shard */
        problem_free(p);
    }
}

/* If no sample counts, there is no mean: the value is NaN, the weight 0, as without shards. Later passes replace it. */
static void test_shards_without_weight_have_no_mean(void **state) {
    (void)state;
    problem *p = problem_new(SW_F64);
    double value;
    p->ignore_all = true;
    assert_ok(sw_objective_gradient_sharded(&p->f, p->tape, NULL, NULL, SAMPLES, SHARDS(4), DRAW, &value, p->g));
    assert_true(isnan(value) && sw_gradient_weight(p->g) == 0 && sw_tape_loss_weight(p->tape) == 0);
    assert_int_equal(sw_gradient_samples(p->g), SAMPLES);
    assert_ok(sw_objective_value_sharded(&p->f, p->tape, NULL, NULL, SAMPLES, SHARDS(4), DRAW, &value));
    assert_true(isnan(value));
    problem_free(p);
}

/* The block holds a mean like any other: a micro-batch adds to it by weight. */
static void test_micro_batches_add_to_shards(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        problem *p = problem_new(types[t]);
        char whole[DIM * sizeof(double)];
        double loss, value;
        assert_ok(sw_objective_gradient(&p->f, p->tape, NULL, NULL, SAMPLES, DRAW, &loss, p->g));
        memcpy(whole, sw_gradient_data(p->g), vector_bytes(p));
        assert_ok(sw_objective_gradient_sharded(&p->f, p->tape, NULL, NULL, 20, SHARDS(3), DRAW, &value, p->g));
        int64_t rest[SAMPLES - 20];
        for (int64_t i = 20; i < SAMPLES; i++)
            rest[i - 20] = i;
        sw_tape_reset(p->tape);
        sw_tape_set_draw(p->tape, DRAW);
        assert_ok(sw_tape_bind(p->tape, p->params, NULL, p->g));
        assert_ok(sw_tape_set_sample_ids(p->tape, rest, SAMPLES - 20));
        sw_loss_mean mean = {0};
        assert_ok(sw_loss_mean_add_part(&mean, value, sw_gradient_weight(p->g)));
        sw_tensor more = problem_loss(p, p->tape, rest, SAMPLES - 20);
        assert_ok(sw_loss_mean_add(&mean, more));
        assert_ok(sw_backward(more));
        expect_near_whole("micro-batch", p, sw_loss_mean_value(&mean), whole, loss);
        assert_int_equal(sw_gradient_samples(p->g), SAMPLES);
        problem_free(p);
    }
}

/* ---- Errors ---- */

static void test_shards_refuse_mistakes(void **state) {
    (void)state;
    problem *p = problem_new(SW_F64);
    sw_gradient *view = sw_gradient_view(p->params);
    sw_gradient_node node = new_node(p), no_vector = {.size = sizeof node};
    sw_shard_options small = {.size = 8, .shards = 2};
    double value;
#define GRADIENT(count, how, g) sw_objective_gradient_sharded(&p->f, p->tape, NULL, NULL, count, how, 1, &value, g)
    REFUSED(SW_ERR_ARGUMENT, GRADIENT(-1, SHARDS(2), p->g), "shards: -1 samples; the number cannot be negative");
    REFUSED(SW_ERR_ARGUMENT, GRADIENT(4, &small, p->g),
            "shards: the size of the options must be sizeof(sw_shard_options)");
    REFUSED(SW_ERR_ARGUMENT, GRADIENT(4, SHARDS(-2), p->g),
            "shards: -2 shards in chunks of 0 samples; neither can be negative");
    REFUSED(SW_ERR_ARGUMENT, GRADIENT(4, SHARDS(2), NULL),
            "shards: the gradient block is NULL, or a view without a vector");
    REFUSED(SW_ERR_ARGUMENT, GRADIENT(4, SHARDS(2), view),
            "shards: the gradient block is NULL, or a view without a vector");
    REFUSED(SW_ERR_ARGUMENT, GRADIENT(SAMPLES + 1, SHARDS(2), p->g), "objective: 19 samples requested, of 37");
    assert_true(sw_gradient_is_fresh(p->g));
    REFUSED(SW_ERR_ARGUMENT, sw_objective_value_sharded(NULL, p->tape, NULL, NULL, 4, NULL, 1, &value),
            "objective: parameters and a loss, or a gradient, are needed");
#define NODE(level, index, block, to) \
    sw_objective_gradient_node(&p->f, p->tape, NULL, NULL, 4, SHARDS(3), level, index, 1, block, to)
    static const char *const no_view = "shards: a block of sw_gradient_view for the objective's parameters is needed",
                             *const no_node = "shards: the node needs its size and a vector for the gradient";
    REFUSED(SW_ERR_ARGUMENT, NODE(0, 0, NULL, &node), no_view);
    REFUSED(SW_ERR_ARGUMENT, NODE(0, 0, p->g, &node), no_view);
    REFUSED(SW_ERR_ARGUMENT, NODE(0, 0, view, NULL), no_node);
    REFUSED(SW_ERR_ARGUMENT, NODE(0, 0, view, &no_vector), no_node);
    REFUSED(SW_ERR_ARGUMENT, NODE(3, 0, view, &node), "shards: 3 shards have no node 0 in level 3");
    REFUSED(SW_ERR_ARGUMENT, NODE(0, 3, view, &node), "shards: 3 shards have no node 3 in level 0");
    REFUSED(SW_ERR_ARGUMENT, NODE(1, 2, view, &node), "shards: 3 shards have no node 2 in level 1");
    REFUSED(SW_ERR_ARGUMENT, NODE(-1, 0, view, &node), "shards: 3 shards have no node 0 in level -1");
    REFUSED(SW_ERR_ARGUMENT, NODE(0, -1, view, &node), "shards: 3 shards have no node -1 in level 0");
    free(node.gradient);
    sw_gradient_free(view);
    problem_free(p);
}

/* Losses that have no common mean are refused, in whichever shard they are, as in chunks. The block is fresh
 * afterwards, and still has its vector. */
static void test_shards_without_a_common_mean_are_refused(void **state) {
    (void)state;
    problem *p = problem_new(SW_F64);
    const void *vector = sw_gradient_data(p->g);
    double value;
    for (int k = TWO_RATIOS; k <= MEAN_OR_SUM; k++) {
        p->kind = (kind)k;
        for (int64_t shards = 2; shards <= 5; shards++) {
            assert_int_equal(GRADIENT(SAMPLES, SHARDS(shards), p->g), SW_ERR_STATE);
            assert_non_null(strstr(sw_error(), k == TWO_RATIOS ? "in another ratio" : "some are sums"));
            sw_clear_error();
            assert_true(sw_gradient_is_fresh(p->g) && sw_gradient_data(p->g) == vector);
            assert_int_equal(sw_objective_value_sharded(&p->f, p->tape, NULL, NULL, SAMPLES, SHARDS(shards), 1, &value),
                             SW_ERR_STATE);
            sw_clear_error();
        }
        assert_ok(GRADIENT(SAMPLES, SHARDS(1), p->g));
    }
    problem_free(p);
}

/* Each allocation fails in turn: an error, and a fresh block with its vector; the next call works. Once the memory is
 * allocated, and with `work` from the caller, no shard allocates. */
static void test_shards_survive_failing_allocations(void **state) {
    (void)state;
    static test_allocator allocator;
    test_allocator_install(&allocator);
    long long failures = 0;
    for (long long k = 1;; k++) {
        problem *p = problem_new(SW_F32);
        const void *vector = sw_gradient_data(p->g);
        double value;
        test_allocator_fail(&allocator, k, false);
        sw_status status = GRADIENT(SAMPLES, SHARDS(5), p->g);
        const bool failed = atomic_load(&allocator.failed) > 0;
        test_allocator_fail(&allocator, 0, false);
        assert_true(sw_gradient_data(p->g) == vector);
        if (failed) {
            assert_int_equal(status, SW_ERR_MEMORY);
            assert_true(sw_gradient_is_fresh(p->g));
            sw_clear_error();
            failures++;
        }
        char work[3 * DIM * sizeof(float)];
        const sw_shard_options how = {.size = sizeof how, .shards = 5, .work = work};
        const leaf expected = tree_by_hand(p, (int64_t[]){0, 1, 2, 3, 4, 5, 6}, 7, 5);
        test_allocator_fail(&allocator, 0, false);
        assert_ok(sw_objective_gradient_sharded(&p->f, p->tape, NULL, (int64_t[]){0, 1, 2, 3, 4, 5, 6}, 7, &how, DRAW,
                                                &value, p->g));
        assert_int_equal(atomic_load(&allocator.calls), 0);
        assert_memory_equal(sw_gradient_data(p->g), expected.vector, vector_bytes(p));
        problem_free(p);
        if (!failed)
            break;
    }
    assert_true(failures >= 3); /* the work vectors, the tape's nodes and its arena */
    assert_int_equal(atomic_load(&allocator.live), 0);
    sw_set_allocator(NULL);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_clear, test_no_error_left)
    const struct CMUnitTest tests[] = {
        TEST(test_shards_are_added_in_the_documented_tree),
        TEST(test_shards_have_as_many_levels_as_needed),
        TEST(test_mean_of_shards_is_that_of_the_whole),
        TEST(test_shards_without_weight_have_no_mean),
        TEST(test_micro_batches_add_to_shards),
        TEST(test_shards_refuse_mistakes),
        TEST(test_shards_without_a_common_mean_are_refused),
        TEST(test_shards_survive_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
