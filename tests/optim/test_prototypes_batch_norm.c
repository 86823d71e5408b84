/* Batch normalization, a layer written outside the library (tests/batch_norm.h) and that of the library, under every
 * kind of step. The running statistics are buffers: each step updates them once, with the statistics of its samples at
 * the x before the step, which are computed here in plain C. A step that is skipped or fails does not change them. */
#define _GNU_SOURCE
#include "batch_norm_net.h"

#include "files.h"

static const entry entries[] = {
    {"minibatch batch=8", "adam lr=0.02", NULL, NULL, FEW},
    {"minibatch batch=7", "sgd lr=0.1 momentum=0.9 weight_decay=0.3", "cosine", "ema decay=0.9", FEW},
    {"minibatch batch=8 shards=3", "adam lr=0.02", NULL, NULL, FEW}, /* of 3, 3 and 2 samples */
    {"full shards=4", "adam lr=0.02", NULL, NULL, MANY},
    {"full shards=3", "sgd lr=1", "armijo", NULL, FEW},
    {"svrg batch=4 period=3 shards=2", "sgd lr=0.05", NULL, NULL, FEW},
    {"sam rho=0.5 of=minibatch batch=8 shards=2", "adam lr=0.02", NULL, NULL, FEW},
    {"full", "adamw lr=0.05 weight_decay=0.5", NULL, "polyak", FEW},
    {"full", "sgd lr=auto", NULL, NULL, FEW},
    {"full", "adam lr=0.02", NULL, NULL, MANY}, /* in chunks of 1000 */
    {"full", "sgd lr=1", "armijo", NULL, FEW},
    {"full", "sgd lr=1", "armijo", NULL, MANY},
    {"full", "sgd lr=1", "wolfe", NULL, FEW},
    {"minibatch batch=8", "sgd lr=1", "wolfe", "ema decay=0.5", FEW},
    {"minibatch batch=8 shards=3", "adam lr=0.02", NULL, "ema decay=0.5", FEW},
    {"full shards=5", "sgd lr=1", "wolfe", NULL, MANY},
    {"svrg batch=4 period=3 shards=2", "sgd lr=0.05", NULL, NULL, FEW},
    {"sam rho=0.5 of=minibatch batch=8 shards=4", "adam lr=0.02", NULL, NULL, FEW},
    {"svrg batch=4 period=3", "sgd lr=0.05", NULL, NULL, FEW},
    {"svrg batch=4 period=3 replay=step", "adam lr=0.02", NULL, NULL, FEW},
    {"svrg batch=4 period=3 snapshot=mean", "sgd lr=0.05 weight_decay=0.1", NULL, NULL, FEW},
    {"svrg batch=4 period=3 snapshot=random", "sgd lr=0.05", NULL, NULL, MANY},
    {"sag batch=6", "sgd lr=0.05", NULL, NULL, FEW},
    {"sag batch=3 sampling=lipschitz", "sgd lr=0.05", NULL, NULL, FEW},
    {"saga batch=6 init=full", "sgd lr=0.05", NULL, NULL, FEW},
    {"sam rho=0.5 of=minibatch batch=8", "adam lr=0.02", NULL, "swa start=1 every=1", FEW},
    {"sam rho=0.5 of=full", "sgd lr=0.1", NULL, NULL, MANY},
    {"sam rho=0.5 of=svrg batch=4 period=3", "sgd lr=0.05", NULL, NULL, FEW},
    {"asam rho=0.5 of=minibatch batch=8", "sgd lr=0.1", NULL, NULL, FEW},
    {"asam rho=0.5 scale=all of=minibatch batch=8", "sgd lr=0.1", NULL, NULL, FEW},
};
enum { ENTRIES = sizeof entries / sizeof *entries, STEPS = 7 };

/* ---- One update in every step ---- */

static void test_statistics_move_once_in_each_step(void **state) {
    (void)state;
    for (int i = 0; i < ENTRIES; i++)
        for (int t = 0; t < 2; t++) {
            const entry *e = &entries[i];
            net *n = net_new(both_types[t], e->samples, MOMENTUM);
            sw_optim *o = make_optim(e, n);
            for (int step = 1; step <= STEPS; step++) {
                void *before = net_copy(n);
                if (one_step(e, n, o) != SW_OK)
                    fail_msg("%s: %s", e->estimator, sw_error());
                if (n->seen != n->expected)
                    fail_msg("%s, step %d: %lld samples were evaluated at x, not %lld", e->estimator, step,
                             (long long)n->seen, (long long)n->expected);
                const moments m = net_moments(n, before, n->ids, n->seen);
                assert_moved(n, e->estimator, step, before, &m, MOMENTUM);
                free(before);
            }
            sw_optim_free(o);
            net_free(n);
        }
}

/* Each evaluation in turn gives Inf or NaN, or fails: then nothing has changed, and the reports are dropped, so that
 * the next step uses its own statistics alone. A line search may take a shorter step instead. */
static void run_spoiled(const entry *e, sw_dtype type, int64_t at, double what, int64_t *calls) {
    net *n = net_new(type, e->samples, MOMENTUM);
    sw_optim *o = make_optim(e, n);
    int refused = 0;
    n->spoil_at = at;
    n->spoil = what;
    for (int step = 1; step <= STEPS; step++) {
        void *before = net_copy(n);
        const sw_status status = one_step(e, n, o);
        if (status == SW_OK) {
            const moments m = net_moments(n, before, n->ids, n->seen);
            assert_moved(n, e->estimator, step, before, &m, MOMENTUM);
        } else {
            assert_int_equal(status, what == 0 ? SW_ERR_USER : SW_SKIPPED);
            assert_memory_equal(sw_params_x(n->params), before, net_bytes(n));
            sw_clear_error();
            refused++;
        }
        free(before);
    }
    *calls = n->calls;
    if (at > 0 && what == 0 && refused != 1)
        fail_msg("%s: %d steps failed with evaluation %lld", e->estimator, refused, (long long)at);
    assert_true(refused <= 1);
    sw_optim_free(o);
    net_free(n);
}

static void test_refused_steps_move_nothing(void **state) {
    (void)state;
    for (int i = 0; i < ENTRIES; i++) {
        int64_t calls, ignored;
        if (entries[i].samples != FEW || strstr(entries[i].rule, "auto"))
            continue; /* (1/L is found by trials) */
        run_spoiled(&entries[i], SW_F64, 0, NAN, &calls);
        for (int64_t k = 1; k <= calls; k++)
            for (int kind = 0; kind < 3; kind++) {
                if (kind == 2 && entries[i].schedule && strcmp(entries[i].schedule, "cosine") != 0)
                    continue; /* the message of a search differs */
                run_spoiled(&entries[i], both_types[k % 2], k,
                            kind == 0   ? (double)INFINITY
                            : kind == 1 ? (double)NAN
                                        : 0,
                            &ignored);
            }
    }
}

/* A step that the rule's range refuses after the statistics were reported. */
static void test_step_out_of_range_moves_nothing(void **state) {
    (void)state;
    net *n = net_new(SW_F32, FEW, MOMENTUM);
    const entry far = {"full", "sgd lr=1e6", NULL, "ema decay=0.9", FEW},
                near = {"full", "sgd lr=0.1", NULL, NULL, FEW};
    sw_optim *o = make_optim(&far, n);
    void *before = net_copy(n);
    n->spoil_at = 1;
    n->spoil = 1e36; /* f32 can represent the gradient, but not 1e6 times the gradient */
    assert_int_equal(one_step(&far, n, o), SW_ERR_NONFINITE);
    assert_memory_equal(sw_params_x(n->params), before, net_bytes(n));
    sw_clear_error();
    sw_optim_free(o);
    o = make_optim(&near, n);
    assert_int_equal(one_step(&near, n, o), SW_OK);
    const moments m = net_moments(n, before, n->ids, n->seen);
    assert_moved(n, "after a refused step", 1, before, &m, MOMENTUM);
    free(before);
    sw_optim_free(o);
    net_free(n);
}

/* A statistic that is too large for f32, with a finite loss and gradient: the step is refused, with the name of the
 * buffer. */
static void test_infinite_statistic_refuses_the_step(void **state) {
    (void)state;
    const entry e = {"full", "sgd lr=0.1", NULL, "ema decay=0.9", FEW};
    net *n = net_new(SW_F32, FEW, MOMENTUM);
    sw_optim *o = make_optim(&e, n);
    const sw_array w = sw_param_value(n->weight);
    for (int64_t i = 0; i < n->weight->count; i++)
        test_set(&w, i, test_get(&w, i) * 1e25); /* normalized again by the layer; their squares are beyond f32 */
    sw_params_mark_changed(n->params);
    void *before = net_copy(n);
    assert_int_equal(one_step(&e, n, o), SW_ERR_NONFINITE);
    char expected[128];
    snprintf(expected, sizeof expected, "buffer %s: element 0 would become inf: the statistics of the batch are",
             net_buffer(1));
    assert_non_null(strstr(sw_error(), expected));
    sw_clear_error();
    assert_memory_equal(sw_params_x(n->params), before, net_bytes(n));
    assert_int_equal(sw_optim_steps_taken(o), 0);
    free(before);
    sw_optim_free(o);
    net_free(n);
}

/* ---- What does not include buffers ---- */

static void test_no_state_no_decay_no_norm(void **state) {
    (void)state;
    const entry e = {"minibatch batch=8", "adamw lr=0.02 weight_decay=0.5", NULL, NULL, FEW};
    net *n = net_new(SW_F64, FEW, MOMENTUM);
    sw_optim *o = make_optim(&e, n);
    sw_norms norms, all, trained = {0};
    assert_int_equal(sw_optim_record_norms(o, true), SW_OK);
    sw_module_freeze(n->root, true);
    sw_module_freeze(n->root, false); /* thaws all but the buffers */
    assert_int_equal(one_step(&e, n, o), SW_OK);
    for (int i = 0; i < sw_params_count(n->params); i++) {
        const sw_param *p = sw_params_at(n->params, i);
        assert_true(p->frozen == p->buffer);
        assert_true((sw_optim_param_slot(o, p, "m").data == NULL) == p->buffer);
        assert_int_equal(sw_optim_norms(o, p->name, &norms), SW_OK);
        if (p->buffer)
            assert_true(norms.parameter == 0 && norms.gradient == 0 && norms.update == 0);
        trained.gradient = hypot(trained.gradient, norms.gradient);
    }
    assert_int_equal(sw_optim_norms(o, NULL, &all), SW_OK);
    assert_close("norm", 1, sw_optim_gradient_norm(o), trained.gradient, 1e-14 * trained.gradient);
    assert_close("norm", 1, all.gradient, trained.gradient, 1e-14 * trained.gradient);
    /* m and v, for all but the 2·HIDDEN elements of buffers. */
    assert_int_equal(sw_optim_bytes(o).rule,
                     2 * sizeof(double) * (size_t)(sw_params_dim(n->params) - sw_params_buffer_dim(n->params)));
    sw_optim_free(o);
    net_free(n);
}

/* A group whose selector matches only buffers has no parameters. */
static void test_groups_are_of_trained_parameters(void **state) {
    (void)state;
    net *n = net_new(SW_F64, FEW, MOMENTUM);
    assert_null(sw_optim_new(n->params, net_has_layer_of_library ? "name=*.running_var: sgd; adam"
                                                                 : "name=*.variance: sgd; adam"));
    expect_error(SW_ERR_ARGUMENT,
                 net_has_layer_of_library
                     ? "rule: name=*.running_var: sgd has no parameters: no remaining parameter matches"
                     : "rule: name=*.variance: sgd has no parameters: no remaining parameter matches");
    sw_optim *o = sw_optim_new(n->params, "role=norm: sgd lr=0.5; role=bias: sgd; role=weight: sgd; role=head: adam");
    assert_non_null(o);
    sw_optim_free(o);
    net_free(n);
}

/* A frozen layer normalizes by its running statistics and does not change them, while the rest is trained. */
static void test_frozen_layer_keeps_its_statistics(void **state) {
    (void)state;
    const entry e = {"minibatch batch=8", "adam lr=0.02", NULL, "ema decay=0.9", FEW};
    net *n = net_new(SW_F64, FEW, MOMENTUM);
    sw_optim *o = make_optim(&e, n);
    assert_int_equal(one_step(&e, n, o), SW_OK);
    void *before = net_copy(n);
    sw_module_freeze(n->norm, true);
    take_steps(&e, n, o, 3);
    assert_buffers_equal(n, before);
    assert_memory_not_equal(sw_params_x(n->params), before, net_bytes(n));
    free(before);
    before = net_copy(n);
    sw_module_freeze(n->norm, false);
    assert_int_equal(one_step(&e, n, o), SW_OK);
    const moments m = net_moments(n, before, n->ids, n->seen);
    assert_moved(n, "thawed", 1, before, &m, MOMENTUM);
    free(before);
    sw_optim_free(o);
    net_free(n);
}

/* ---- What includes buffers ---- */

/* The average reads the buffers after their update. */
static void test_averages_include_buffers(void **state) {
    (void)state;
    const entry e = {"sam rho=0.5 of=minibatch batch=8", "adam lr=0.02", NULL, "ema decay=0.75", FEW};
    net *n = net_new(SW_F64, FEW, MOMENTUM);
    sw_optim *o = make_optim(&e, n);
    double ema[2 * HIDDEN];
    for (int k = 0; k < 2 * HIDDEN; k++)
        ema[k] = k < HIDDEN ? 0 : 1; /* it starts at x */
    for (int step = 1; step <= STEPS; step++) {
        assert_int_equal(one_step(&e, n, o), SW_OK);
        const double *x = sw_params_x(n->params), *point = sw_optim_point(o);
        for (int k = 0; k < 2 * HIDDEN; k++) {
            const int64_t at = (k < HIDDEN ? n->mean->offset : n->variance->offset - HIDDEN) + k;
            ema[k] += 0.25 * (x[at] - ema[k]);
            assert_close("ema", step, point[at], ema[k], STEPS * 4 * 4 * 0x1p-53); /* of values below 4 */
        }
    }
    assert_int_equal(sw_optim_adopt_point(o), SW_OK);
    assert_close("adopted", 0, ((const double *)sw_params_x(n->params))[n->mean->offset], ema[0],
                 STEPS * 4 * 4 * 0x1p-53);
    sw_optim_free(o);
    net_free(n);
}

/* A run that is saved and resumed with new objects is bit-for-bit identical to an uninterrupted one. */
static void test_resumed_run_has_equal_bits(void **state) {
    (void)state;
    for (int i = 0; i < ENTRIES; i++) {
        const entry *e = &entries[i];
        if (e->samples != FEW)
            continue;
        net *n = net_new(both_types[i % 2], e->samples, MOMENTUM),
            *resumed = net_new(both_types[i % 2], e->samples, 0.125);
        sw_optim *o = make_optim(e, n), *other = make_optim(e, resumed);
        const char *path = path_of("run.safetensors");
        for (int step = 1; step <= STEPS; step++) {
            if (step == 4)
                assert_int_equal(sw_optim_save(o, path), SW_OK);
            assert_int_equal(one_step(e, n, o), SW_OK);
        }
        assert_int_equal(one_step(e, resumed, other), SW_OK); /* another point */
        if (sw_optim_load(other, path) != SW_OK)
            fail_msg("%s: %s", e->estimator, sw_error());
        take_steps(e, resumed, other, STEPS - 3);
        assert_memory_equal(sw_params_x(resumed->params), sw_params_x(n->params), net_bytes(n));
        assert_memory_equal(sw_optim_point(other), sw_optim_point(o), net_bytes(n));
        remove_file(path);
        sw_optim_free(o);
        sw_optim_free(other);
        net_free(n);
        net_free(resumed);
    }
}

/* Plain averages (momentum 0): the mean of the steps' statistics, with one count per step, also with SAM. */
static void test_plain_average_counts_steps(void **state) {
    (void)state;
    const entry e = {"sam rho=0.5 of=minibatch batch=8", "adam lr=0.02", NULL, NULL, FEW};
    net *n = net_new(SW_F64, FEW, 0);
    sw_optim *o = make_optim(&e, n);
    double sum[HIDDEN] = {0};
    for (int step = 1; step <= STEPS; step++) {
        void *before = net_copy(n);
        assert_int_equal(one_step(&e, n, o), SW_OK);
        const moments m = net_moments(n, before, n->ids, n->seen);
        const sw_array count = sw_param_value(sw_params_find(n->params, net_buffer(2))), mean = sw_param_value(n->mean);
        assert_true(test_get(&count, 0) == step);
        for (int k = 0; k < HIDDEN; k++) {
            sum[k] += m.mean[k];
            assert_close("plain average", step, test_get(&mean, k), sum[k] / step, net_tolerance(SW_F64));
        }
        free(before);
    }
    sw_optim_free(o);
    net_free(n);
}

/* ---- Threads ---- */

static void test_bits_are_equal_for_every_number_of_threads(void **state) {
    (void)state;
    const int before = sw_threads();
    for (int i = 0; i < ENTRIES; i++) {
        if (entries[i].samples != MANY)
            continue;
        void *first = NULL;
        for (int threads = 1; threads <= 8; threads *= threads == 2 ? 4 : 2) {
            assert_int_equal(sw_set_threads(threads), SW_OK);
            net *n = net_new(SW_F32, MANY, MOMENTUM);
            sw_optim *o = make_optim(&entries[i], n);
            take_steps(&entries[i], n, o, 3);
            if (!first)
                first = net_copy(n);
            assert_memory_equal(sw_params_x(n->params), first, net_bytes(n));
            sw_optim_free(o);
            net_free(n);
        }
        free(first);
    }
    assert_int_equal(sw_set_threads(before), SW_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistics_move_once_in_each_step),
        cmocka_unit_test(test_refused_steps_move_nothing),
        cmocka_unit_test(test_step_out_of_range_moves_nothing),
        cmocka_unit_test(test_infinite_statistic_refuses_the_step),
        cmocka_unit_test(test_no_state_no_decay_no_norm),
        cmocka_unit_test(test_groups_are_of_trained_parameters),
        cmocka_unit_test(test_frozen_layer_keeps_its_statistics),
        cmocka_unit_test(test_averages_include_buffers),
        cmocka_unit_test(test_resumed_run_has_equal_bits),
        cmocka_unit_test(test_plain_average_counts_steps),
        cmocka_unit_test(test_bits_are_equal_for_every_number_of_threads),
    };
    const int failed = cmocka_run_group_tests_name("a layer of the program", tests, make_folder, remove_folder);
    net_has_layer_of_library = true;
    return failed + cmocka_run_group_tests_name("the layer of the library", tests, make_folder, remove_folder);
}
