/* For a scale-invariant objective, weight decay is equivalent to an increasing learning rate (Li, Arora, An
 * exponential learning rate schedule for deep learning, ICLR 2020): SGD with learning rate η, decay λ and
 * momentum γ follows, up to a scale, the path of SGD without decay with the learning rates
 *     ηₜ = η a^(-2t-1),   t from 0,   a the larger root of x² - (1 + γ - λη) x + γ = 0:
 * w̃ₜ = a^(-t) wₜ. Momentum starts as if both walks had not moved in the step before: w₋₁ = w₀ for the walk
 * without decay is w₋₁ = w₀/a for the other, whose buffer therefore starts as (1/a - 1) w₀/η.
 *
 * The tolerance is derived as in golden/torch_training.py: the walk is repeated with noise in every step, δ = 1e-9
 * times a random number in [-1, 1] times the largest element, in gradient and parameters. The distance divided by δ is
 * the factor by which the problem amplifies relative errors. The rounding errors of each side are below ROUNDINGS ·
 * 2^-53: sums of DIM terms and a few dozen operations. */
#include "helpers.h"

enum { DIM = 6, STEPS = 300, ROUNDINGS = 128 };
static const double NOISE = 1e-9;

/* f = ½ ⟨w, A w⟩/‖w‖²; A has the diagonal 1, 2, … and couples neighbors. */
typedef struct sphere {
    sw_params *params;
    double noise; /* of the gradient and of x */
    uint64_t seed;
} sphere;

static sw_status rayleigh(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw, double *value,
                          void *g) {
    sphere *s = user;
    const double *w = x;
    double aw[DIM], norm = 0, form = 0, largest = 0, *out = g;
    (void)ids, (void)count, (void)draw;
    for (int i = 0; i < DIM; i++) {
        aw[i] = (1 + i) * w[i] + (i ? 0.5 * w[i - 1] : 0) + (i + 1 < DIM ? 0.5 * w[i + 1] : 0);
        norm += w[i] * w[i];
        form += w[i] * aw[i];
    }
    *value = 0.5 * form / norm;
    if (!out)
        return SW_OK;
    for (int i = 0; i < DIM; i++) {
        out[i] = (aw[i] - form / norm * w[i]) / norm;
        largest = fmax(largest, fabs(out[i]));
    }
    for (int i = 0; i < DIM && s->noise > 0; i++)
        out[i] += s->noise * largest * test_uniform(&s->seed, -1, 1);
    return SW_OK;
}

static void shake(sphere *s) {
    double *x = sw_params_x(s->params), largest = 0;
    for (int i = 0; i < DIM; i++)
        largest = fmax(largest, fabs(x[i]));
    for (int i = 0; i < DIM; i++)
        x[i] += s->noise * largest * test_uniform(&s->seed, -1, 1);
}

/* η a^(-2t-1), as a schedule: the factor of η. */
static double growing_factor(const double *option, double t, double total) {
    (void)total;
    return pow(option[0], -2 * t - 1);
}
static const sw_option growing_options[] = {{.name = "a", .value = 1, .low = 0, .high = 1}, {0}};
static const sw_schedule growing = {.size = sizeof growing,
                                    .name = "test_growing",
                                    .summary = "a^(-2t-1)",
                                    .options = growing_options,
                                    .factor = growing_factor};

typedef struct walk {
    double eta, lambda, gamma, a;
    bool decayed;
    double noise;
    uint64_t seed;
} walk;

static void start_at(sw_params *p) {
    for (int i = 0; i < DIM; i++)
        ((double *)sw_params_x(p))[i] = 0.3 + 0.1 * i * (i % 2 ? -1 : 1);
}

/* The buffer one step before the first: see above. */
static void start_buffer(sw_optim *optim, sw_params *p, const walk *w) {
    sw_array buffer = sw_optim_param_slot(optim, sw_params_at(p, 0), "momentum");
    assert_non_null(buffer.data);
    for (int i = 0; i < DIM; i++)
        test_set(&buffer, i, (1 / w->a - 1) * ((double *)sw_params_x(p))[i] / w->eta);
}

static void take(const walk *w, double path[STEPS][DIM]) {
    char rule[128], schedule[64];
    sw_params *p = sw_params_new(SW_F64, 1);
    assert_non_null(sw_params_add(p, "w", 1, (const int64_t[]){DIM}, NULL));
    assert_ok(sw_params_build(p));
    start_at(p);
    sphere s = {p, w->noise, w->seed};
    const sw_objective f = {.size = sizeof f, .n = 1, .params = p, .user = &s, .gradient = rayleigh};
    snprintf(rule, sizeof rule, "sgd lr=%.17g momentum=%.17g weight_decay=%.17g", w->eta, w->gamma,
             w->decayed ? w->lambda : 0);
    snprintf(schedule, sizeof schedule, "test_growing a=%.17g", w->a);
    const sw_optim_options how = {
        .size = sizeof how, .rule = rule, .schedule = w->decayed ? NULL : schedule, .estimator = "minibatch batch=1"};
    sw_optim *optim = sw_optim_new_with_options(p, &how);
    assert_non_null(optim);
    if (w->decayed && w->gamma > 0)
        start_buffer(optim, p, w);
    for (int t = 0; t < STEPS; t++) {
        assert_ok(sw_optim_minimize(optim, &f, NULL));
        if (w->noise > 0)
            shake(&s);
        for (int i = 0; i < DIM; i++)
            path[t][i] = ((double *)sw_params_x(p))[i] * (w->decayed ? pow(w->a, -(t + 1)) : 1);
    }
    sw_optim_free(optim);
    sw_params_free(p);
}

/* Of each step relative to its largest element: the worst. */
static double apart(double one[STEPS][DIM], double other[STEPS][DIM]) {
    double worst = 0;
    for (int t = 0; t < STEPS; t++) {
        double error = 0, largest = 0;
        for (int i = 0; i < DIM; i++) {
            error = fmax(error, fabs(one[t][i] - other[t][i]));
            largest = fmax(largest, fabs(other[t][i]));
        }
        if (!(error / largest <= worst))
            worst = error / largest;
    }
    return worst;
}

static void same_walk(double eta, double lambda, double gamma) {
    static double decayed[STEPS][DIM], grown[STEPS][DIM], noisy[STEPS][DIM];
    /* 1 - a is the smaller root of y² - (1 - γ + λη) y + λη = 0, in the form that loses no digits. */
    const double b = 1 - gamma + lambda * eta;
    const double y = 2 * lambda * eta / (b + sqrt(b * b - 4 * lambda * eta));
    walk w = {.eta = eta, .lambda = lambda, .gamma = gamma, .a = 1 - y};
    take(&w, grown);
    w.decayed = true;
    take(&w, decayed);
    w.decayed = false;
    w.noise = NOISE;
    double growth = 0;
    for (w.seed = 1; w.seed <= 3; w.seed++) {
        take(&w, noisy);
        growth = fmax(growth, apart(noisy, grown) / NOISE);
    }
    /* The last power of a, whose own rounding counts as often. */
    const double allowed = (growth * ROUNDINGS + 2 * STEPS) * 0x1p-53, distance = apart(decayed, grown);
    assert_true(allowed < 1e-11); /* a bound that says something */
    if (!(distance <= allowed))
        fail_msg("η %g, λ %g, γ %g: the walks are %.3g apart, %.3g allowed", eta, lambda, gamma, distance, allowed);
    /* The rates did grow, and the walk without them is another. */
    assert_true(pow(w.a, -2 * STEPS) > 1.5);
    w = (walk){.eta = eta, .gamma = gamma, .a = 1};
    take(&w, noisy);
    assert_true(apart(noisy, grown) > 1e-3);
}

static void test_weight_decay_equals_a_growing_lr(void **state) {
    (void)state;
    assert_ok(sw_schedule_register(&growing));
    same_walk(0.1, 0.01, 0);
    same_walk(0.02, 0.1, 0);
    same_walk(0.005, 0.02, 0.9);
    same_walk(0.01, 0.03, 0.8);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_weight_decay_equals_a_growing_lr, test_clear)};
    return cmocka_run_group_tests_name("rules_equivalence", tests, NULL, NULL);
}
