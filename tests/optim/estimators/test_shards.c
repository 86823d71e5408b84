#define _GNU_SOURCE /* mkstemp */
/* The option shards of estimators: equal bits for every number of threads; the gradient of a step is that of
 * sw_objective_gradient_sharded, and equals that of the whole batch up to rounding; line searches and wrappers evaluate
 * in the same shards. */
#include "support.h"

#include "prototypes.h"

#include <unistd.h>

#define NEW_OPTIM(p, ...) \
    sw_optim_new_with_options((p)->params, &(const sw_optim_options){.size = sizeof(sw_optim_options), __VA_ARGS__})

static size_t vector_bytes(const problem *p) {
    return (size_t)sw_params_dim(p->params) * sw_dtype_size(sw_params_type(p->params));
}

/* ---- Threads ---- */

typedef struct setup {
    const char *estimator, *rule, *schedule;
} setup;

/* 64 samples: batches of 40 and 24. */
static const setup setups[] = {{"minibatch batch=40 shards=4", "adamw lr=0.01", NULL},
                               {"minibatch batch=40 shards=7", "adamw lr=0.01", NULL},
                               {"full shards=4", "sgd lr=auto", NULL},
                               {"full shards=4", "sgd", "armijo"},
                               {"svrg batch=20 period=2 shards=4", "sgd lr=0.05", NULL},
                               {"sam of=minibatch batch=40 shards=4", "sgd lr=0.05 momentum=0.9", NULL}};

/* x after four steps of a network with dropout that is large enough for several threads. */
static void *x_after_steps(const setup *s, sw_dtype type) {
    problem *p = problem_new(type, large_sizes, NULL, 0.4, NULL);
    sw_optim *o = NEW_OPTIM(p, .estimator = s->estimator, .rule = s->rule, .schedule = s->schedule, .seed = SEED);
    if (!o)
        fail_msg("%s: %s", s->estimator, sw_error());
    for (int i = 0; i < 4; i++)
        assert_ok(sw_optim_minimize(o, &p->objective, NULL));
    void *x = malloc(vector_bytes(p));
    assert_non_null(x);
    memcpy(x, sw_params_x(p->params), vector_bytes(p));
    sw_optim_free(o);
    problem_free(p);
    return x;
}

static void test_shards_have_equal_bits_on_every_number_of_threads(void **state) {
    (void)state;
    const int before = sw_threads();
    for (size_t k = 0; k < 2 * sizeof setups / sizeof *setups; k++) {
        const sw_dtype type = k % 2 ? SW_F64 : SW_F32;
        problem *p = large_problem(type);
        const size_t size = vector_bytes(p);
        problem_free(p);
        assert_ok(sw_set_threads(1));
        void *one = x_after_steps(&setups[k / 2], type);
        for (int threads = 2; threads <= 8; threads *= 2) {
            assert_ok(sw_set_threads(threads));
            void *many = x_after_steps(&setups[k / 2], type);
            if (memcmp(one, many, size) != 0)
                fail_msg("%s %s: other bits with %d threads", setups[k / 2].estimator, sw_dtype_name(type), threads);
            free(many);
        }
        free(one);
    }
    assert_ok(sw_set_threads(before));
}

/* ---- The gradient of a step ---- */

static void test_step_takes_the_gradient_of_its_shards(void **state) {
    (void)state;
    static const int64_t ids[5] = {0, 1, 2, 3, 4};
    for (int k = 0; k < 4; k++) {
        problem *p = net_problem(k % 2 ? SW_F64 : SW_F32);
        const bool full = k >= 2;
        sw_tape *tape = sw_tape_new();
        sw_gradient *g = sw_gradient_new(p->params);
        double value, expected;
        assert_ok(sw_objective_gradient_sharded(p->plain, tape, NULL, full ? NULL : ids, full ? SAMPLES : 5,
                                                &SW_OPTIONS(sw_shard_options, .shards = 4), 1, &expected, g));
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.5",
                                .estimator = full ? "full shards=4" : "minibatch batch=5 order=sequential shards=4");
        assert_ok(sw_optim_minimize(o, &p->objective, &value));
        assert_int_equal(p->calls, 4);
        assert_true(value == expected && sw_optim_loss_weight(o) == (full ? SAMPLES : 5));
        assert_memory_equal(sw_gradient_data(sw_params_gradient(p->params)), sw_gradient_data(g), vector_bytes(p));
        sw_optim_free(o);
        sw_gradient_free(g);
        sw_tape_free(tape);
        problem_free(p);
    }
}

/* Steps with lr = 1 from equal x: the results differ as the gradients differ, which have the same samples and the same
 * dropout masks. An element of a gradient is a sum of at most 12 terms, whose absolute values add up to less than 10
 * (weights and tanh about 1, 1/(1 - 0.4) from dropout). A term passes through three layers, each with a sum of at most
 * 6 products and a function: 100 roundings in total, in either gradient. */
static void test_shards_give_the_gradient_of_the_whole_batch(void **state) {
    (void)state;
    static const char *const whole[] = {"minibatch batch=5", "full", "svrg batch=5 period=3",
                                        "sam rho=0.01 of=minibatch batch=5"},
                             *const sharded[] = {"minibatch batch=5 shards=4", "full shards=4",
                                                 "svrg batch=5 period=3 shards=2",
                                                 "sam rho=0.01 of=minibatch batch=5 shards=3"};
    for (int k = 0; k < 8; k++) {
        const sw_dtype type = k % 2 ? SW_F64 : SW_F32;
        problem *p = problem_new(type, net_sizes, &net_x0[0], 0.4, NULL),
                *q = problem_new(type, net_sizes, &net_x0[0], 0.4, NULL);
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=1", .estimator = whole[k / 2], .seed = SEED),
                 *s = NEW_OPTIM(q, .rule = "sgd lr=1", .estimator = sharded[k / 2], .seed = SEED);
        /* svrg adds three gradients. The second point of sam depends on the first gradient; its relative error is
         * multiplied by the curvature, below 100, times rho = 0.01 */
        const double most = 4 * 2 * 100 * 10 * (type == SW_F32 ? 0x1p-24 : 0x1p-53);
        for (int step = 0; step < 9; step++) {
            double value[2];
            assert_ok(sw_optim_minimize(o, &p->objective, &value[0]));
            assert_ok(sw_optim_minimize(s, &q->objective, &value[1]));
            assert_true(fabs(value[0] - value[1]) <= most);
            for (int64_t i = 0; i < sw_params_dim(p->params); i++) {
                const double a = vec_get(type, sw_params_x(p->params), i), b = vec_get(type, sw_params_x(q->params), i);
                if (!(fabs(a - b) <= most))
                    fail_msg("%s, step %d: element %d is %.17g, not %.17g", sharded[k / 2], step + 1, (int)i, b, a);
            }
            memcpy(sw_params_x(q->params), sw_params_x(p->params), vector_bytes(p));
            sw_params_mark_changed(q->params);
        }
        sw_optim_free(o);
        sw_optim_free(s);
        problem_free(p);
        problem_free(q);
    }
}

/* Trial points are evaluated in the same shards as the gradient, so that their losses can be compared bit for bit. */
static void test_line_search_evaluates_in_shards(void **state) {
    (void)state;
    static const char *const searches[] = {"armijo", "wolfe"};
    for (int k = 0; k < 4; k++) {
        problem *p = net_problem(k % 2 ? SW_F64 : SW_F32);
        sw_optim *o =
            NEW_OPTIM(p, .rule = "sgd", .estimator = "minibatch batch=12 shards=3", .schedule = searches[k / 2]);
        int64_t before = 0;
        for (int i = 0; i < 5; i++) {
            assert_ok(sw_optim_minimize(o, &p->objective, NULL));
            assert_true(p->calls >= before + 6 && p->calls % 3 == 0); /* the gradient and a trial at least */
            before = p->calls;
        }
        sw_optim_free(o);
        problem_free(p);
    }
}

/* ---- Custom estimators ---- */

static sw_status own_estimate(sw_estimate *e, const void *x, void *g) {
    return sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g);
}
static const sw_option own_options[] = {
    {.name = "batch", .kind = SW_OPTION_INTEGER, .value = 6, .low = 1, .high = 100},
    {.name = "shards", .kind = SW_OPTION_INTEGER, .value = 1, .low = 1, .high = 100},
    {0}};
static const sw_estimator own = {
    .size = sizeof(sw_estimator), .name = "own", .options = own_options, .estimate = own_estimate};

/* A wrapper that evaluates gradients itself, in addition to the inner estimator. */
static sw_status twice_estimate(sw_estimate *e, const void *x, void *g) {
    double value;
    SW_TRY(sw_estimate_inner(e, x, g));
    SW_TRY(sw_estimate_value(e, x, e->ids, e->count, &value));
    assert_true(value == e->value);
    return sw_estimate_gradient(e, x, e->ids, e->count, NULL, g);
}
static const sw_option twice_options[] = {{.name = "of", .kind = SW_OPTION_SPEC}, {0}};
static const sw_estimator twice = {.size = sizeof(sw_estimator),
                                   .name = "twice",
                                   .options = twice_options,
                                   .flags = SW_ESTIMATOR_WRAPPER | SW_ESTIMATOR_OBJECTIVE,
                                   .estimate = twice_estimate};

static void test_custom_estimators_have_shards_by_their_option(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        int calls;
    } cases[] = {{"own", 1}, {"own shards=3", 3}, {"twice of=own shards=3", 9}, {"twice of=own", 3}};
    assert_ok(sw_estimator_register(&own));
    assert_ok(sw_estimator_register(&twice));
    for (int i = 0; i < 4; i++) {
        problem *p = net_problem(SW_F32);
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.5", .estimator = cases[i].spec);
        assert_ok(sw_optim_minimize(o, &p->objective, NULL));
        assert_int_equal(p->calls, cases[i].calls);
        sw_optim_free(o);
        problem_free(p);
    }
}

/* ---- Costs and errors ---- */

/* A vector for each level of the tree; none for one shard. */
static void test_memory_of_shards_is_counted(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        size_t vectors;
    } cases[] = {{"minibatch batch=6", 0},
                 {"minibatch batch=6 shards=1", 0},
                 {"minibatch batch=6 shards=2", 1},
                 {"minibatch batch=6 shards=4", 2},
                 {"minibatch batch=6 shards=5", 3}};
    size_t before = 0;
    for (int i = 0; i < 5; i++) {
        problem *p = net_problem(SW_F32);
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.5", .estimator = cases[i].spec);
        assert_ok(sw_optim_bind(o, &p->objective));
        const size_t work = sw_optim_bytes(o).work;
        before = i ? before : work;
        assert_int_equal(work - before, cases[i].vectors * vector_bytes(p));
        sw_optim_free(o);
        problem_free(p);
    }
}

static void test_shards_are_refused_where_they_have_no_meaning(void **state) {
    (void)state;
    problem *p = glm_problem(SW_F64);
    p->objective.loss = NULL;
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.1", .estimator = "svrg batch=4 shards=4");
    assert_int_equal(sw_optim_bind(o, &p->objective), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "svrg: shards=4 for a generalized linear model, whose batches are combined from "
                                  "derivatives and not from gradients; leave shards out");
    sw_optim_free(o);
    o = NEW_OPTIM(p, .rule = "sgd lr=0.1", .estimator = "minibatch batch=6 shards=4"); /* from gradients */
    assert_ok(sw_optim_minimize(o, &p->objective, NULL));
    assert_int_equal(p->calls, 4);
    sw_optim_free(o);
    assert_null(NEW_OPTIM(p, .rule = "sgd lr=0.1", .estimator = "minibatch shards=0"));
    assert_non_null(strstr(sw_error(), "shards"));
    sw_clear_error();
    problem_free(p);
}

/* Another number of shards gives other bits; therefore a run cannot be resumed with it. */
static void test_run_is_not_resumed_with_other_shards(void **state) {
    (void)state;
    char path[] = "/tmp/swale_shards_XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    problem *p = net_problem(SW_F32);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.5", .estimator = "minibatch batch=6 shards=4"),
             *other = NEW_OPTIM(p, .rule = "sgd lr=0.5", .estimator = "minibatch batch=6");
    assert_ok(sw_optim_minimize(o, &p->objective, NULL));
    assert_ok(sw_optim_save(o, path));
    assert_ok(sw_optim_bind(other, &p->objective));
    assert_int_equal(sw_optim_load(other, path), SW_ERR_FORMAT);
    assert_non_null(strstr(sw_error(), "minibatch batch=6 shards=4"));
    sw_clear_error();
    assert_ok(sw_optim_load(o, path));
    unlink(path);
    sw_optim_free(o);
    sw_optim_free(other);
    problem_free(p);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_clear, test_no_error_left)
    const struct CMUnitTest tests[] = {
        TEST(test_shards_have_equal_bits_on_every_number_of_threads), TEST(test_step_takes_the_gradient_of_its_shards),
        TEST(test_shards_give_the_gradient_of_the_whole_batch),       TEST(test_line_search_evaluates_in_shards),
        TEST(test_custom_estimators_have_shards_by_their_option),     TEST(test_memory_of_shards_is_counted),
        TEST(test_shards_are_refused_where_they_have_no_meaning),     TEST(test_run_is_not_resumed_with_other_shards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
