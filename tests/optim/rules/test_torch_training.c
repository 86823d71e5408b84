/* 100 steps of small networks with every rule that PyTorch also has, against torch.optim in float64: the losses of all
 * steps, and the parameters at the end. golden/torch_training.py derives the tolerances from the amplification of
 * rounding errors by the problem. */
#include "helpers.h"

#include "golden/rules.h"
#include "golden/torch_training.h"

/* ---- The networks; golden/torch_training.py has the same ---- */

enum { MOST_PARAMETERS = 6 };
typedef struct network {
    const char *name;
    int64_t shapes[MOST_PARAMETERS][2]; /* [a, b], or [a] where b is 0 */
    int parameters;
    int64_t samples, batch;
    void (*data)(sw_array *x, sw_array *y, int64_t n);
    sw_tensor (*loss)(const sw_tensor *w, sw_tensor x, sw_tensor y);
} network;

/* x [n,2] in ±1, y [n,1] = x₀ x₁ */
static void product_data(sw_array *x, sw_array *y, int64_t n) {
    *x = test_filled(SW_F64, SW_SHAPE(n, 2), -1, 1, 11);
    *y = test_array(SW_F64, SW_SHAPE(n, 1));
    for (int64_t i = 0; i < n; i++)
        test_set(y, i, test_get(x, 2 * i) * test_get(x, 2 * i + 1));
}

static sw_tensor tanh_regression(const sw_tensor *w, sw_tensor x, sw_tensor y) {
    sw_tensor h = sw_tanh(sw_linear(x, w[0], w[1]));
    h = sw_tanh(sw_linear(h, w[2], w[3]));
    return sw_mse(sw_linear(h, w[4], w[5]), y);
}

/* x [n,4] in ±1 and one of three classes */
static void class_data(sw_array *x, sw_array *y, int64_t n) {
    *x = test_filled(SW_F64, SW_SHAPE(n, 4), -1, 1, 12);
    *y = test_array(SW_I32, SW_SHAPE(n));
    for (int64_t i = 0; i < n; i++) {
        double a = test_get(x, 4 * i), b = test_get(x, 4 * i + 1), c = test_get(x, 4 * i + 2);
        test_set(y, i, a + b > 0.5 ? 2 : a > c ? 1 : 0);
    }
}

static sw_tensor relu_classifier(const sw_tensor *w, sw_tensor x, sw_tensor y) {
    return sw_cross_entropy(sw_linear(sw_relu(sw_linear(x, w[0], w[1])), w[2], w[3]), y);
}

/* x [n,3] in ±1, y [n,2] = 2 x₀ x₁, x₂² - x₀ */
static void surface_data(sw_array *x, sw_array *y, int64_t n) {
    *x = test_filled(SW_F64, SW_SHAPE(n, 3), -1, 1, 14);
    *y = test_array(SW_F64, SW_SHAPE(n, 2));
    for (int64_t i = 0; i < n; i++) {
        double a = test_get(x, 3 * i), b = test_get(x, 3 * i + 1), c = test_get(x, 3 * i + 2);
        test_set(y, 2 * i, 2 * a * b);
        test_set(y, 2 * i + 1, c * c - a);
    }
}

/* δ = 0.3 has errors on both sides of it for most of the run. */
static sw_tensor smooth_residual(const sw_tensor *w, sw_tensor x, sw_tensor y) {
    sw_tensor h = sw_silu(sw_linear(x, w[0], w[1]));
    h = sw_add(h, sw_gelu(sw_linear(h, w[2], w[3])));
    return sw_huber_with_options(sw_linear(h, w[4], w[5]), y,
                                 &SW_OPTIONS(sw_huber_options, .delta = 0.3, .reduction = SW_MEAN));
}

static const network networks[] = {
    {"tanh regression", {{16, 2}, {16}, {16, 16}, {16}, {1, 16}, {1}}, 6, 64, 16, product_data, tanh_regression},
    {"relu classifier", {{12, 4}, {12}, {3, 12}, {3}}, 4, 60, 20, class_data, relu_classifier},
    {"smooth residual", {{8, 3}, {8}, {8, 8}, {8}, {2, 8}, {2}}, 6, 48, 16, surface_data, smooth_residual},
};

/* ---- Following ---- */

static sw_params *parameters_of(const network *net) {
    sw_params *p = sw_params_new(SW_F64, 1);
    for (int i = 0; i < net->parameters; i++) {
        char name[] = "w0";
        name[1] = (char)('0' + i);
        const int64_t *shape = net->shapes[i];
        assert_non_null(sw_params_add(p, name, shape[1] ? 2 : 1, shape, NULL));
    }
    assert_ok(sw_params_build(p));
    uint64_t seed = 13;
    double *x = sw_params_x(p);
    for (int64_t i = 0; i < sw_params_dim(p); i++)
        x[i] = (double)(float)test_uniform(&seed, -0.6, 0.6);
    return p;
}

/* `count` samples from `at` on: a view. */
static sw_array samples(const sw_array *all, int64_t at, int64_t count) {
    sw_array part = *all;
    size_t row = test_bytes(all) / (size_t)all->shape[0];
    part.shape[0] = count;
    part.data = (char *)all->data + (size_t)at * row;
    return part;
}

static void follow(const network *net, const struct torch_run *run) {
    sw_params *p = parameters_of(net);
    sw_optim *optim = sw_optim_new(p, run->rule);
    if (!optim)
        fail_msg("%s: %s", run->rule, sw_error());
    sw_tape *tape = sw_tape_new();
    sw_array x, y;
    net->data(&x, &y, net->samples);
    for (int t = 0; t < TORCH_STEPS; t++) {
        sw_tensor w[MOST_PARAMETERS];
        for (int i = 0; i < net->parameters; i++)
            w[i] = sw_param_use(tape, sw_params_at(p, i));
        int64_t at = t * net->batch % net->samples;
        sw_tensor loss =
            net->loss(w, sw_input(tape, samples(&x, at, net->batch)), sw_input(tape, samples(&y, at, net->batch)));
        double own = sw_item(loss), golden = run->numbers[t];
        if (!(fabs(own - golden) <= run->tolerance * fabs(golden)))
            fail_msg("%s, %s: the loss of step %d is %.17g, PyTorch's %.17g, %.2g apart; %.2g allowed", net->name,
                     run->rule, t + 1, own, golden, fabs(own / golden - 1), run->tolerance);
        assert_ok(sw_backward(loss));
        assert_ok(sw_optim_step(optim));
        sw_tape_reset(tape);
    }
    const double *golden = run->numbers + TORCH_STEPS;
    for (int i = 0; i < net->parameters; i++) {
        sw_array value = sw_param_value(sw_params_at(p, i));
        double worst = 0, scale = 0;
        for (int64_t j = 0; j < sw_array_count(&value); j++) {
            assert_true(isfinite(test_get(&value, j)));
            worst = fmax(worst, fabs(test_get(&value, j) - golden[j]));
            scale = fmax(scale, fabs(golden[j]));
        }
        if (!(worst <= run->tolerance * scale))
            fail_msg("%s, %s: parameter %d ends %.2g of its largest element away; %.2g allowed", net->name, run->rule,
                     i, worst / scale, run->tolerance);
        golden += sw_array_count(&value);
    }
    test_array_free(&x);
    test_array_free(&y);
    sw_tape_free(tape);
    sw_optim_free(optim);
    sw_params_free(p);
}

enum { RUNS = sizeof torch_runs / sizeof *torch_runs, NETWORKS = sizeof networks / sizeof *networks };

static void test_training_agrees_with_torch(void **state) {
    (void)state;
    int followed = 0;
    for (int n = 0; n < NETWORKS; n++)
        for (int r = 0; r < RUNS; r++)
            if (strcmp(networks[n].name, torch_runs[r].net) == 0) {
                assert_true(torch_runs[r].tolerance <= 1e-10); /* asked for */
                follow(&networks[n], &torch_runs[r]);
                followed++;
            }
    assert_int_equal(followed, RUNS);
}

static bool is_spec_of(const char *spec, const char *rule) {
    const size_t length = strlen(rule);
    return strncmp(spec, rule, length) == 0 && strchr(" ", spec[length]) != NULL;
}

/* Of a rule that PyTorch has: golden/rules.h asks it. */
static void test_every_rule_of_torch_has_golden_runs(void **state) {
    (void)state;
    const sw_rule *rule;
    int of_torch = 0;
    for (int i = 0; (rule = sw_rule_at(i)) != NULL; i++) {
        bool asked = false;
        int runs = 0;
        for (size_t k = 0; k < sizeof goldens / sizeof *goldens; k++)
            asked |= is_spec_of(goldens[k].rule, rule->name) && strcmp(goldens[k].asked, "PyTorch") == 0;
        for (int r = 0; r < RUNS; r++)
            runs += is_spec_of(torch_runs[r].rule, rule->name);
        if (asked && runs < NETWORKS)
            fail_msg("rule %s has %d runs for %d networks: add a line to RULES of golden/torch_training.py", rule->name,
                     runs, (int)NETWORKS);
        of_torch += asked;
    }
    assert_true(of_torch >= 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_training_agrees_with_torch, test_clear),
        cmocka_unit_test_teardown(test_every_rule_of_torch_has_golden_runs, test_clear),
    };
    return cmocka_run_group_tests_name("torch_training", tests, NULL, NULL);
}
