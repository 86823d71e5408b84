#define _GNU_SOURCE /* fork, pipe */
/* The nodes of the tree of shards: if they are computed separately, by several processes or by hand-written loops, and
 * then added, they give the bits of one evaluation in shards. */
#include "shards.h"

#include <sys/wait.h>
#include <unistd.h>

/* Compares every node of the tree, computed on a new tape, with the sum of its two halves. */
static void test_nodes_are_the_sums_of_their_halves(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++)
        for (int64_t shards = 1; shards <= MOST_SHARDS; shards++) {
            problem *p = problem_new(types[t]);
            sw_gradient *view = sw_gradient_view(p->params);
            const int top = sw_shard_levels(shards);
            for (int level = 0; level <= top; level++)
                for (int64_t index = 0; index << level < shards; index++) {
                    sw_gradient_node whole = new_node(p), left = new_node(p), right = new_node(p);
                    const sw_shard_options *how = SHARDS(shards);
#define NODE(level, index, node) \
    sw_objective_gradient_node(&p->f, p->tape, NULL, NULL, 7, how, level, index, DRAW, view, node)
                    assert_ok(NODE(level, index, &whole)); /* of 7 samples: with 8 and 9 shards, some are empty */
                    assert_true(sw_gradient_is_fresh(view));
                    if (level > 0) {
                        assert_ok(NODE(level - 1, 2 * index, &left));
                        if ((2 * index + 1) << (level - 1) < shards) {
                            assert_ok(NODE(level - 1, 2 * index + 1, &right));
                            assert_ok(sw_gradient_node_add(p->params, &left, &right));
                        }
                        assert_memory_equal(left.gradient, whole.gradient, vector_bytes(p));
                        assert_true(left.loss == whole.loss && left.weight == whole.weight && left.unit == whole.unit &&
                                    left.mix == whole.mix && left.samples == whole.samples);
                    }
                    if (level == top) {
                        double value, expected;
                        assert_ok(sw_gradient_node_close(p->params, &whole, &value));
                        assert_ok(
                            sw_objective_gradient_sharded(&p->f, p->tape, NULL, NULL, 7, how, DRAW, &expected, p->g));
                        assert_true(value == expected && whole.unit == whole.weight);
                        assert_memory_equal(whole.gradient, sw_gradient_data(p->g), vector_bytes(p));
                    }
                    free(whole.gradient);
                    free(left.gradient);
                    free(right.gradient);
                }
            sw_gradient_free(view);
            problem_free(p);
        }
}

/* A process for each quarter of the tree: the others send their nodes to the first, which adds them. */
static void test_processes_share_the_shards(void **state) {
    (void)state;
    enum { RANKS = 4, SHARDS_IN_ALL = 8 };
    for (int t = 0; t < 2; t++) {
        problem *p = problem_new(types[t]);
        sw_gradient *view = sw_gradient_view(p->params);
        const sw_shard_options *how = SHARDS(SHARDS_IN_ALL);
        sw_gradient_node node[RANKS];
        int pipes[RANKS][2];
        pid_t child[RANKS] = {0};
        for (int r = 0; r < RANKS; r++)
            node[r] = new_node(p);
        for (int r = 1; r < RANKS; r++) {
            assert_int_equal(pipe(pipes[r]), 0);
            child[r] = fork();
            assert_true(child[r] >= 0);
            if (child[r] == 0) {
                sw_status status =
                    sw_objective_gradient_node(&p->f, p->tape, NULL, NULL, SAMPLES, how, 1, r, DRAW, view, &node[r]);
                _exit(status != SW_OK || write(pipes[r][1], &node[r], sizeof *node) != sizeof *node ||
                      write(pipes[r][1], node[r].gradient, vector_bytes(p)) != (ssize_t)vector_bytes(p));
            }
        }
        assert_ok(sw_objective_gradient_node(&p->f, p->tape, NULL, NULL, SAMPLES, how, 1, 0, DRAW, view, &node[0]));
        for (int r = 1; r < RANKS; r++) {
            void *vector = node[r].gradient;
            int result;
            assert_int_equal(read(pipes[r][0], &node[r], sizeof *node), sizeof *node);
            node[r].gradient = vector;
            assert_int_equal(read(pipes[r][0], vector, vector_bytes(p)), vector_bytes(p));
            assert_int_equal(waitpid(child[r], &result, 0), child[r]);
            assert_int_equal(result, 0);
            close(pipes[r][0]);
            close(pipes[r][1]);
        }
        double value, expected;
        assert_ok(sw_gradient_node_add(p->params, &node[0], &node[1]));
        assert_ok(sw_gradient_node_add(p->params, &node[2], &node[3]));
        assert_ok(sw_gradient_node_add(p->params, &node[0], &node[2]));
        assert_ok(sw_gradient_node_close(p->params, &node[0], &value));
        assert_ok(sw_objective_gradient_sharded(&p->f, p->tape, NULL, NULL, SAMPLES, how, DRAW, &expected, p->g));
        assert_true(value == expected);
        assert_memory_equal(node[0].gradient, sw_gradient_data(p->g), vector_bytes(p));
        for (int r = 0; r < RANKS; r++)
            free(node[r].gradient);
        sw_gradient_free(view);
        problem_free(p);
    }
}

/* A hand-written loop: a gradient block for each shard, filled by sw_backward. */
static void test_nodes_are_made_from_gradient_blocks(void **state) {
    (void)state;
    problem *p = problem_new(SW_F32);
    sw_gradient *block[2] = {sw_gradient_new(p->params), sw_gradient_new(p->params)};
    sw_gradient_node node[2] = {{.size = sizeof *node}, {.size = sizeof *node}};
    int64_t ids[SAMPLES];
    for (int64_t i = 0; i < SAMPLES; i++)
        ids[i] = i;
    assert_int_equal(sw_gradient_node_set(&node[0], block[0], 1), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "gradient_node: the block holds no gradient; run sw_backward first");
    assert_int_equal(sw_gradient_node_set(&node[0], NULL, 1), SW_ERR_STATE);
    sw_clear_error();
    for (int s = 0; s < 2; s++) {
        const int64_t first = sw_part_begin(SAMPLES, 2, s), n = sw_part_begin(SAMPLES, 2, s + 1) - first;
        sw_tape_reset(p->tape);
        sw_tape_set_draw(p->tape, DRAW);
        assert_ok(sw_tape_set_sample_ids(p->tape, ids + first, n));
        assert_ok(sw_tape_bind(p->tape, p->params, NULL, block[s]));
        sw_tensor loss = problem_loss(p, p->tape, ids + first, n);
        assert_ok(sw_backward(loss));
        assert_ok(sw_gradient_node_set(&node[s], block[s], sw_item(loss)));
        assert_ptr_equal(node[s].gradient, sw_gradient_data(block[s]));
    }
    double value, expected;
    assert_ok(sw_gradient_node_add(p->params, &node[0], &node[1]));
    assert_ok(sw_gradient_node_close(p->params, &node[0], &value));
    sw_tape_reset(p->tape);
    assert_ok(sw_objective_gradient_sharded(&p->f, p->tape, NULL, ids, SAMPLES, SHARDS(2), DRAW, &expected, p->g));
    assert_true(value == expected);
    assert_memory_equal(node[0].gradient, sw_gradient_data(p->g), vector_bytes(p));
    sw_gradient_free(block[0]);
    sw_gradient_free(block[1]);
    problem_free(p);
}

static void test_nodes_refuse_what_has_no_sum(void **state) {
    (void)state;
    problem *p = problem_new(SW_F64);
    sw_params *bare = sw_params_new(SW_F64, 1);
    double ones[DIM], twos[DIM];
    for (int i = 0; i < DIM; i++) {
        ones[i] = 1;
        twos[i] = 2;
    }
    const sw_gradient_node mean = {sizeof mean, ones, 1, 4, 4, 1, 4}, more = {sizeof mean, twos, 2, 4, 4, 1, 4},
                           sum = {sizeof mean, twos, 2, SW_SUMMED, SW_SUMMED, 1, 4},
                           other = {sizeof mean, twos, 2, 4, 4, 0.5, 4}, losses = {sizeof mean, NULL, 2, 4, 4, 1, 4};
    sw_gradient_node to = mean, small = mean;
    small.size = sizeof(size_t);
    REFUSED(SW_ERR_ARGUMENT, sw_gradient_node_add(p->params, NULL, &mean), "gradient_node: the node is NULL");
    REFUSED(SW_ERR_ARGUMENT, sw_gradient_node_add(p->params, &to, NULL), "gradient_node: the node is NULL");
    REFUSED(SW_ERR_ARGUMENT, sw_gradient_node_add(p->params, &to, &small),
            "gradient_node: its size must be sizeof(sw_gradient_node)");
    REFUSED(SW_ERR_STATE, sw_gradient_node_add(bare, &to, &more), "gradient_node: the parameters are not built");
    REFUSED(SW_ERR_STATE, sw_gradient_node_close(NULL, &to, NULL), "gradient_node: the parameters are not built");
    REFUSED(SW_ERR_ARGUMENT, sw_gradient_node_add(p->params, &to, &losses),
            "gradient_node: one node has a gradient, and the other has none");
    assert_int_equal(sw_gradient_node_add(p->params, &to, &sum), SW_ERR_STATE);
    assert_non_null(strstr(sw_error(), "gradient_node: "));
    assert_non_null(strstr(sw_error(), "some are sums"));
    sw_clear_error();
    assert_int_equal(sw_gradient_node_add(p->params, &to, &other), SW_ERR_STATE);
    assert_non_null(strstr(sw_error(), "in another ratio"));
    sw_clear_error();
    assert_memory_equal(&to, &mean, sizeof to);
    for (int i = 0; i < DIM; i++)
        assert_true(ones[i] == 1);
    /* And what has one: (4·1 + 4·2) / 8. */
    double value;
    assert_ok(sw_gradient_node_add(p->params, &to, &more));
    assert_ok(sw_gradient_node_close(p->params, &to, &value));
    assert_true(value == 1.5 && to.weight == 8 && to.unit == 8 && to.samples == 8 && ones[DIM - 1] == 1.5);
    sw_params_free(bare);
    problem_free(p);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_clear, test_no_error_left)
    const struct CMUnitTest tests[] = {
        TEST(test_nodes_are_the_sums_of_their_halves),
        TEST(test_processes_share_the_shards),
        TEST(test_nodes_are_made_from_gradient_blocks),
        TEST(test_nodes_refuse_what_has_no_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
