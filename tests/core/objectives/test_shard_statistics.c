/* Running statistics of shards: they are pooled in the tree in which gradients are added, so that their bits do not
 * depend on which process computes a node. Up to rounding they equal those of the whole batch, which are computed in
 * plain C. */
#include "support.h"

#include <swale/extend.h>
#include <swale/gradient_tree.h>

enum { SAMPLES = 37, CHANNELS = 3, DIM = 1 + 2 * CHANNELS, MOST_SHARDS = 9, DRAW = 5 };

typedef struct problem {
    sw_objective f;
    sw_params *params;
    sw_tape *tape;
    double x[SAMPLES][CHANNELS];
    int64_t silent; /* samples from here on are not reported */
} problem;

static void moments_of(const problem *p, const int64_t *ids, int64_t count, double *mean, double *variance) {
    for (int k = 0; k < CHANNELS; k++) {
        mean[k] = variance[k] = 0;
        for (int64_t i = 0; i < count; i++)
            mean[k] += p->x[ids[i]][k] / (double)count;
        for (int64_t i = 0; i < count; i++)
            variance[k] += (p->x[ids[i]][k] - mean[k]) * (p->x[ids[i]][k] - mean[k]) / (double)count;
    }
}

static sw_tensor problem_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    problem *p = user;
    double mean[CHANNELS], variance[CHANNELS];
    int64_t reported = 0;
    while (reported < count && ids[reported] < p->silent)
        reported++;
    moments_of(p, ids, reported, mean, variance);
    const sw_batch_moments m = {.size = sizeof(sw_batch_moments),
                                .mean = sw_array_view(mean, SW_F64, SW_SHAPE(CHANNELS)),
                                .variance = sw_array_view(variance, SW_F64, SW_SHAPE(CHANNELS)),
                                .weight = (double)reported};
    if (sw_tape_put_moments(tape, sw_params_at(p->params, 0), sw_params_at(p->params, 1), &m, 1) != SW_OK)
        return (sw_tensor){0};
    return sw_sum(sw_param_use(tape, sw_params_at(p->params, 2)));
}

static problem *problem_new(void) {
    problem *p = calloc(1, sizeof *p);
    const sw_param_options buffer = {.size = sizeof buffer, .buffer = true};
    uint64_t seed = 3;
    assert_non_null(p);
    p->params = sw_params_new(SW_F64, 1);
    assert_non_null(sw_params_add(p->params, "mean", SW_SHAPE(CHANNELS), &buffer));
    assert_non_null(sw_params_add(p->params, "variance", SW_SHAPE(CHANNELS), &buffer));
    assert_non_null(sw_params_add(p->params, "w", 0, NULL, NULL));
    assert_int_equal(sw_params_build(p->params), SW_OK);
    for (int i = 0; i < SAMPLES; i++)
        for (int k = 0; k < CHANNELS; k++)
            p->x[i][k] = test_uniform(&seed, -1, 1) + 0.25 * i;
    p->silent = SAMPLES;
    p->tape = sw_tape_new();
    p->f = (sw_objective){.size = sizeof p->f, .n = SAMPLES, .params = p->params, .user = p, .loss = problem_loss};
    return p;
}

static void problem_free(problem *p) {
    sw_tape_free(p->tape);
    sw_params_free(p->params);
    free(p);
}

#define SHARDS(n) (&SW_OPTIONS(sw_shard_options, .shards = (n)))

/* The buffers after a commit of the block. */
static void committed(sw_gradient *g, double x[DIM]) {
    memset(x, 0, DIM * sizeof *x);
    assert_int_equal(sw_gradient_commit_buffers(g, x, NAN), SW_OK);
}

/* Computes the statistics of a node; if `down` is above 0, as the sum of its halves, which are computed in two blocks
 * with down - 1. */
static void node_statistics(problem *p, int64_t shards, int level, int64_t index, int down, sw_gradient *into) {
    double vector[DIM];
    sw_gradient *right = sw_gradient_view(p->params);
    sw_gradient_node node = {.size = sizeof node, .gradient = vector};
    if (index << level >= shards) {
        sw_gradient_drop_statistics(into);
    } else if (level == 0 || down == 0) {
        assert_int_equal(sw_objective_gradient_node(&p->f, p->tape, NULL, NULL, SAMPLES, SHARDS(shards), level, index,
                                                    DRAW, into, &node),
                         SW_OK);
    } else {
        node_statistics(p, shards, level - 1, 2 * index, down - 1, into);
        node_statistics(p, shards, level - 1, 2 * index + 1, down - 1, right);
        assert_int_equal(sw_gradient_add_statistics(into, right), SW_OK);
    }
    sw_gradient_free(right);
}

/* silent: samples from this number on report nothing: none of them, the last ones, or all. */
static void test_every_node_has_the_bits_of_its_halves(void **state) {
    (void)state;
    static const int64_t silent[] = {SAMPLES, 30, 9, 0};
    for (int i = 0; i < 4; i++)
        for (int64_t shards = 1; shards <= MOST_SHARDS; shards++) {
            problem *p = problem_new();
            sw_gradient *g = sw_gradient_new(p->params), *view = sw_gradient_view(p->params);
            double value, whole[DIM], parts[DIM], mean[CHANNELS], variance[CHANNELS];
            int64_t ids[SAMPLES];
            p->silent = silent[i];
            assert_int_equal(
                sw_objective_gradient_sharded(&p->f, p->tape, NULL, NULL, SAMPLES, SHARDS(shards), DRAW, &value, g),
                SW_OK);
            committed(g, whole);
            for (int down = 0; down <= sw_shard_levels(shards); down++) {
                node_statistics(p, shards, sw_shard_levels(shards), 0, down, view);
                committed(view, parts);
                assert_memory_equal(parts, whole, sizeof whole);
            }
            for (int64_t k = 0; k < SAMPLES; k++)
                ids[k] = k;
            moments_of(p, ids, p->silent, mean, variance);
            for (int k = 0; k < CHANNELS && p->silent > 0; k++) {
                /* Values below 10, variances below 10: at most 9 sums of 10 roundings. */
                assert_true(fabs(whole[1 + k] - mean[k]) <= 9 * 10 * 0x1p-53 * 10);
                assert_true(fabs(whole[1 + CHANNELS + k] - variance[k]) <= 9 * 10 * 0x1p-53 * 20);
            }
            assert_true(p->silent > 0 || (whole[1] == 0 && whole[1 + CHANNELS] == 0));
            sw_gradient_free(view);
            sw_gradient_free(g);
            problem_free(p);
        }
}

/* Chunks within shards, values, and errors leave nothing behind; from the second evaluation on there are no
 * requests. */
static sw_tensor failing_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    if (ids[0] < 20)
        return problem_loss(user, tape, ids, count);
    sw_fail(SW_ERR_USER, "the loss failed");
    return (sw_tensor){0};
}

static void test_failed_shards_leave_nothing(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    problem *p = problem_new();
    sw_gradient *g = sw_gradient_new(p->params);
    double value, before[DIM], after[DIM];
    const sw_shard_options how = SW_OPTIONS(sw_shard_options, .shards = 5, .chunk = 3, .work = NULL);
    assert_int_equal(sw_objective_gradient_sharded(&p->f, p->tape, NULL, NULL, SAMPLES, &how, DRAW, &value, g), SW_OK);
    committed(g, before);
    p->f.loss = failing_loss;
    assert_int_equal(sw_objective_gradient_sharded(&p->f, p->tape, NULL, NULL, SAMPLES, &how, DRAW, &value, g),
                     SW_ERR_USER);
    expect_error(SW_ERR_USER, "the loss failed");
    committed(g, after);
    assert_true(after[1] == 0 && after[1 + CHANNELS] == 0);
    p->f.loss = problem_loss;
    assert_int_equal(sw_objective_value_sharded(&p->f, p->tape, NULL, NULL, SAMPLES, &how, DRAW, &value), SW_OK);
    committed(g, after);
    assert_true(after[1] == 0 && after[1 + CHANNELS] == 0);
    test_allocator_fail(&a, 0, false);
    assert_int_equal(sw_objective_gradient_sharded(&p->f, p->tape, NULL, NULL, SAMPLES, &how, DRAW, &value, g), SW_OK);
    assert_int_equal(atomic_load(&a.calls), 1); /* the vectors of the tree, where the caller has none */
    committed(g, after);
    assert_memory_equal(after, before, sizeof before);
    sw_gradient_free(g);
    problem_free(p);
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

/* Each allocation in turn. */
static void test_every_failed_allocation_is_an_error(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    for (long long k = 1;; k++) {
        problem *p = problem_new();
        sw_gradient *g = sw_gradient_new(p->params);
        double value, x[DIM];
        test_allocator_fail(&a, k, false);
        const sw_status status =
            sw_objective_gradient_sharded(&p->f, p->tape, NULL, NULL, SAMPLES, SHARDS(6), DRAW, &value, g);
        const bool failed = atomic_load(&a.failed) > 0;
        test_allocator_fail(&a, 0, false);
        assert_int_equal(status, failed ? SW_ERR_MEMORY : SW_OK);
        sw_clear_error();
        committed(g, x);
        assert_true((x[1] != 0) == !failed);
        sw_gradient_free(g);
        problem_free(p);
        assert_int_equal(atomic_load(&a.live), 0);
        if (!failed) {
            assert_true(k > 9); /* three pools of three blocks among them */
            break;
        }
    }
    sw_set_allocator(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_node_has_the_bits_of_its_halves),
        cmocka_unit_test(test_failed_shards_leave_nothing),
        cmocka_unit_test(test_every_failed_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
