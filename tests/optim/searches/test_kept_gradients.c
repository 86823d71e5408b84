/* A line search over all samples does not compute the gradient at the start of a step again: it is that of the last
 * trial of the step before. All numbers keep their bits, and a step costs one gradient less. */
#define _GNU_SOURCE
#include "helpers.h"

#include <swale/datasets.h>
#include <swale/nn.h>

#include <unistd.h>

/* f = Σ h_i ((x_i - t_i)² + (x_i - t_i)⁴), without a tape. Counts its gradients. */
typedef struct quartic {
    sw_objective f;
    double factor; /* of f */
    int64_t gradients;
} quartic;

static sw_status quartic_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                  double *value, void *g) {
    quartic *q = user;
    const sw_dtype type = sw_params_type(q->f.params);
    (void)ids, (void)count, (void)draw;
    q->gradients += g != NULL;
    *value = 0;
    for (int i = 0; i < SMALL_DIM; i++) {
        const double h = q->factor * (1 + i), d = vec_get(type, x, i) - (2 - 0.25 * i);
        *value += h * (d * d + d * d * d * d);
        if (g)
            vec_set(type, g, i, h * (2 * d + 4 * d * d * d));
    }
    return SW_OK;
}

/* Two optimizers of the same problem: run 0 with a fixed objective, run 1 with one that is not. */
typedef struct pair {
    quartic f[2];
    sw_optim *o[2];
} pair;

static void pair_open(pair *p, sw_dtype type, const char *rule, const char *estimator, const char *search) {
    for (int k = 0; k < 2; k++) {
        sw_params *params = small_params(type);
        p->f[k] = (quartic){.f = {.size = sizeof p->f[k].f,
                                  .n = 4,
                                  .params = params,
                                  .user = &p->f[k],
                                  .gradient = quartic_gradient,
                                  .fixed = k == 0},
                            .factor = 1};
        p->o[k] = NEW_OPTIM(params, .rule = rule, .estimator = estimator, .schedule = search);
    }
}

static void pair_close(pair *p) {
    for (int k = 0; k < 2; k++) {
        sw_params *params = p->f[k].f.params;
        sw_optim_free(p->o[k]);
        sw_params_free(params);
    }
}

/* Takes a step of both. Values, norms and points have equal bits. Returns the number of gradients that run 0 saved. */
static int64_t pair_step(pair *p) {
    double value[2];
    int64_t used[2];
    for (int k = 0; k < 2; k++) {
        const int64_t before = p->f[k].gradients;
        assert_ok(sw_optim_minimize(p->o[k], &p->f[k].f, &value[k]));
        used[k] = p->f[k].gradients - before;
    }
    assert_true(value[0] == value[1]);
    assert_true(sw_optim_gradient_norm(p->o[0]) == sw_optim_gradient_norm(p->o[1]));
    assert_memory_equal(sw_params_x(p->f[0].f.params), sw_params_x(p->f[1].f.params), params_bytes(p->f[0].f.params));
    return used[1] - used[0];
}

static void test_steps_begin_with_the_gradient_of_the_last_trial(void **state) {
    (void)state;
    static const char *const rules[] = {"lbfgs", "lbfgs weight_decay=0.1", "sgd", "name=a: lbfgs; sgd lr=0.1"};
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
            pair p;
            pair_open(&p, both_types[k], rules[i], "full", "wolfe guess=lr");
            assert_int_equal(pair_step(&p), 0);
            for (int step = 0; step < 8; step++)
                assert_int_equal(pair_step(&p), 1);
            pair_close(&p);
        }
}

/* Trials of armijo compute no gradients, batches have other samples, and the gradient of sam is that of another point.
 */
static void test_other_steps_compute_their_gradient(void **state) {
    (void)state;
    static const struct {
        const char *estimator, *search;
    } cases[] = {{"full", "armijo"},
                 {"minibatch batch=2", "wolfe"},
                 {"minibatch batch=4", "wolfe"},
                 {"sam rho=1e-3 of=full", "wolfe"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pair p;
        pair_open(&p, SW_F64, "sgd", cases[i].estimator, cases[i].search);
        for (int step = 0; step < 8; step++)
            assert_int_equal(pair_step(&p), 0);
        pair_close(&p);
    }
}

/* ---- Changes between steps ---- */

static void test_gradient_is_computed_again_after_a_change(void **state) {
    (void)state;
    pair p;
    pair_open(&p, SW_F64, "lbfgs", "full", "wolfe guess=lr");
    pair_step(&p);
    for (int step = 0; step < 3; step++)
        assert_int_equal(pair_step(&p), 1);
    for (int k = 0; k < 2; k++) {
        sw_params *params = p.f[k].f.params;
        ((double *)sw_params_x(params))[2] += 0.125;
        sw_params_mark_changed(params);
    }
    assert_int_equal(pair_step(&p), 0);
    assert_int_equal(pair_step(&p), 1);
    for (int k = 0; k < 2; k++) { /* another objective */
        p.f[k].factor = 2;
        sw_params_mark_changed(p.f[k].f.params);
    }
    assert_int_equal(pair_step(&p), 0);
    assert_int_equal(pair_step(&p), 1);
    for (int frozen = 1; frozen >= 0; frozen--) { /* a kept gradient is 0 for parameters that were frozen */
        for (int k = 0; k < 2; k++)
            sw_param_freeze(sw_params_find(p.f[k].f.params, "b"), frozen != 0);
        assert_int_equal(pair_step(&p), 0);
        assert_int_equal(pair_step(&p), 1);
    }
    pair_close(&p);
}

/* A resumed run computes the gradient that the other one has kept, and continues with equal bits. */
static void test_resumed_run_has_equal_bits(void **state) {
    (void)state;
    char path[] = "/tmp/swale_kept_XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    pair p;
    pair_open(&p, SW_F64, "lbfgs", "full", "wolfe guess=lr");
    for (int step = 0; step < 4; step++)
        pair_step(&p);
    assert_ok(sw_optim_save(p.o[0], path));
    assert_int_equal(pair_step(&p), 1); /* now the kept gradient is that of a later point */
    for (int k = 0; k < 2; k++)
        assert_ok(sw_optim_load(p.o[k], path));
    assert_int_equal(pair_step(&p), 0);
    assert_int_equal(pair_step(&p), 1);
    pair_close(&p);
    unlink(path);
}

/* ---- Models ---- */

typedef sw_module *(*make_network)(sw_model *model);

static sw_module *network_plain(sw_model *m) {
    return sw_nn_sequential(m, sw_nn_linear(m, 5, 7), sw_nn_tanh(m), sw_nn_linear(m, 7, 3), NULL);
}
static sw_module *network_with_dropout(sw_model *m) {
    return sw_nn_sequential(m, sw_nn_linear(m, 5, 7), sw_nn_dropout(m, 0.5), sw_nn_linear(m, 7, 3), NULL);
}
static sw_module *network_with_buffers(sw_model *m) {
    return sw_nn_sequential(m, sw_nn_linear(m, 5, 7), sw_nn_batch_norm(m, 7), sw_nn_linear(m, 7, 3), NULL);
}

static int64_t evaluations;
static sw_tensor counted_loss(sw_tensor prediction, sw_tensor target) {
    evaluations++;
    return sw_cross_entropy(prediction, target);
}

/* Trains with the objective of the model, or with a copy that is not fixed. Returns x, and the evaluations. */
static void train_network(make_network make, bool fixed, double *x, int64_t *dim, int64_t *used) {
    sw_source *source =
        sw_blobs(&(sw_blobs_options){.size = sizeof(sw_blobs_options), .n = 40, .classes = 3, .features = 5});
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_params *params = sw_model_build(model, make(model));
    const sw_objective *f = sw_model_objective(model, source, counted_loss);
    assert_non_null(f);
    assert_true(f->fixed);
    sw_objective copy = *f;
    copy.fixed = fixed;
    sw_optim *o = NEW_OPTIM(params, .rule = "sgd lr=0.1", .estimator = "full", .schedule = "wolfe");
    evaluations = 0;
    for (int step = 0; step < 6; step++)
        assert_ok(sw_optim_minimize(o, &copy, NULL));
    *used = evaluations;
    *dim = sw_params_dim(params);
    assert_true(*dim <= 200);
    memcpy(x, sw_params_x(params), (size_t)*dim * sizeof *x);
    sw_optim_free(o);
    sw_model_free(model);
    sw_source_free(source);
}

/* Dropout has other random numbers in the next step, and buffers are updated from its gradient. */
static void test_networks_with_random_numbers_or_buffers_compute_it_again(void **state) {
    (void)state;
    static const struct {
        make_network make;
        int64_t saved; /* of 6 steps */
    } cases[] = {{network_plain, 5}, {network_with_dropout, 0}, {network_with_buffers, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double x[2][200];
        int64_t dim[2], used[2];
        for (int k = 0; k < 2; k++)
            train_network(cases[i].make, k == 0, x[k], &dim[k], &used[k]);
        assert_memory_equal(x[0], x[1], (size_t)dim[0] * sizeof *x[0]);
        assert_int_equal(used[1] - used[0], cases[i].saved);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_steps_begin_with_the_gradient_of_the_last_trial, test_clear),
        cmocka_unit_test_teardown(test_other_steps_compute_their_gradient, test_clear),
        cmocka_unit_test_teardown(test_gradient_is_computed_again_after_a_change, test_clear),
        cmocka_unit_test_teardown(test_resumed_run_has_equal_bits, test_clear),
        cmocka_unit_test_teardown(test_networks_with_random_numbers_or_buffers_compute_it_again, test_clear),
    };
    return cmocka_run_group_tests_name("kept gradients", tests, NULL, NULL);
}
