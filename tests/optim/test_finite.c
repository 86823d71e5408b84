/* No number becomes Inf or NaN while steps return SW_OK. Every registered rule, average, schedule, estimator and line
 * search is driven into overflow, in f32 and f64. As long as steps return SW_OK, all numbers of the run are finite. The
 * step that would overflow returns SW_ERR_NONFINITE, and x and all states are unchanged, bit for bit. */
#include "rule_specs.h"

#include <float.h>

static double most(sw_dtype type) {
    return type == SW_F32 ? FLT_MAX : DBL_MAX;
}

/* ---- All numbers of a run ---- */

typedef struct numbers {
    bool finite;
    const char *first; /* what is not */
    uint64_t hash;     /* of x and the rules' and the average's states */
} numbers;

static void take(numbers *n, const char *what, const sw_array *a) {
    for (int64_t i = 0, count = a->data ? sw_array_count(a) : 0; i < count; i++)
        if (!isfinite(test_get(a, i)) && n->finite) {
            n->finite = false;
            n->first = what;
        }
    if (a->data)
        n->hash = test_hash(n->hash, a->data, test_bytes(a));
}

static void take_scalars(numbers *n, const sw_optim *o, int group, const char *const *names) {
    for (int i = 0; names && names[i]; i++)
        n->finite &= isfinite(sw_optim_scalar(o, group, names[i])) != 0;
}

static numbers all_numbers(const sw_optim *o, const sw_params *p, const sw_rule *rule, const sw_average *average,
                           const sw_estimator *estimator) {
    numbers n = {true, "a scalar", TEST_HASH};
    for (int k = 0; k < sw_params_count(p); k++) {
        const sw_param *param = sw_params_at(p, k);
        sw_array x = sw_param_value(param);
        take(&n, param->name, &x);
        for (int i = 0; rule && rule->slots && rule->slots[i].name; i++) {
            sw_array state = sw_optim_param_slot(o, param, rule->slots[i].name);
            take(&n, rule->slots[i].name, &state);
        }
    }
    for (int i = 0; average && average->slots && average->slots[i].name; i++) {
        sw_array state = sw_optim_slot(o, average->slots[i].name);
        take(&n, average->slots[i].name, &state);
    }
    const uint64_t hash = n.hash; /* an estimator's table may hold a gradient that was seen */
    for (int i = 0; estimator && estimator->slots && estimator->slots[i].name; i++) {
        sw_array state = sw_optim_slot(o, estimator->slots[i].name);
        take(&n, estimator->slots[i].name, &state);
    }
    n.hash = hash;
    if (rule)
        take_scalars(&n, o, 0, rule->scalars);
    take_scalars(&n, o, -1, average ? average->scalars : NULL);
    take_scalars(&n, o, -1, estimator ? estimator->scalars : NULL);
    return n;
}

/* Judges one step. True if the run is over. */
static bool judge(sw_status status, const char *spec, const char *method, const numbers *before, const numbers *after) {
    if (status == SW_OK) {
        if (!after->finite)
            fail_msg("%s: %s is Inf or NaN after a step that is SW_OK", spec, after->first);
        return false;
    }
    if (after->hash != before->hash)
        fail_msg("%s: refused with status %d, but x or a state has changed", spec, (int)status);
    if (status == SW_SKIPPED)
        return false;
    assert_int_equal(status, SW_ERR_NONFINITE);
    assert_non_null(sw_error());
    if (method && (!strstr(sw_error(), method) || !strstr(sw_error(), "step ")))
        fail_msg("%s: the message names neither the method nor the step: %s", spec, sw_error());
    sw_clear_error();
    return true;
}

/* ---- Rules ---- */

static const char *const variants[][2] = {
    {"sgd", "momentum=0.999"},
    {"sgd", "momentum=0.9 nesterov"},
    {"sgd", "l1=1e300"},
    {"sgd", "l1=3 nonnegative"},
    {"sgd", "momentum=0.9 nonnegative weight_decay=1e6"},
    {"sgd", "low=1e30"},
    {"sgd", "momentum=0.9 high=-1e38"},
    {"sgd", "momentum=0.99 low=-1e30 high=1e308"},
    {"sgd", "weight_decay=1e6"},
    {"sgd", "weight_decay=1e300"},
    {"adam", "weight_decay=1e6"},
    {"adam", "eps=1e-30"},
    {"adam", "eps_in_root"},
    {"adam", "beta2=0"},
    {"adamw", "weight_decay=1e6"},
    {"nadam", "decoupled weight_decay=1e6"},
    {"nadamp", "p=3"},
    {"nadamp", "p=1 eps_in_root"},
    {"amsgrad", "correction=before weight_decay=1e3"},
    {"amsgrad", "correction=none"},
    {"radam", "beta2=0.5 weight_decay=1e3"},
    {"generalized_adam", "disable_preconditioning"},
    {"generalized_adam", "nesterov=0"},
    {"amsgrad", "decoupled weight_decay=1e6"},
    {"asgd", "lambda=1e6 weight_decay=1e6 t0=3"},
    {"adafactor", "d=1e6 eps2=1e6 weight_decay=1e3"},
    {"adafactor", "eps1=1e-300 beta2_decay=-10"},
    {"rprop", "max_step=1e6 eta_plus=1e3"},
    {"adagrad", "weight_decay=1e6"},
    {"adagrad", "eps_in_root eps=1e-30"},
    {"rmsprop", "centered"},
    {"rmsprop", "momentum=0.99"},
    {"rmsprop", "weight_decay=1e6"},
    {"rmsprop", "centered momentum=0.9 weight_decay=1e3 eps=1e-30"},
    {"adadelta", "eps_in_root=0"},
    {"adadelta", "weight_decay=1e6"},
    {"adadelta", "eps=1e-30"},
    {"adamax", "weight_decay=1e6"},
    {"adamax", "eps=1e-30 beta2=0"},
    {"lion", "weight_decay=1e6"},
    {"fromage", "min_norm=1e6"},
    {"nag_gs", "mu=1e6"},
    {"nag_gs", "mu=0 gamma=1e-300"},
    {"amos", "momentum=0.9"},
    {"amos", "extra_l2=1 c=0 d=0"},
    {"fista", "restart=false l1=1e300"},
    {"fista", "mu=1e300 weight_decay=1e6"},
    {"fista", "restart=false nonnegative"},
    {"fista", "low=-1e38 high=1e30 l1=1"},
    {"shampoo", "eps=1e-20"},
    {"shampoo", "momentum=0.99 weight_decay=1e6 beta=0.9"},
    {"shampoo", "period=3 max_dim=3"},
    {"distributed_shampoo", "start=1 period=1"},
    {"distributed_shampoo", "start=2 period=3 block=2 grafting=none momentum=0.99 eps=1e-20"},
    {"distributed_shampoo", "start=1 period=1 beta1=0 beta2=1 decoupled=0 weight_decay=1e6 grafting=adagrad"},
    {"caspr", "start=1 period=1"},
    {"caspr", "start=2 period=3 block=2 beta2=1 weight_decay=1e6"},
    {"caspr", "start=1 period=2 root=newton ridge=1e-12 tolerance=1"},
    {"soap", "period=1 eps=1e-15"},
    {"soap", "period=3 beta1=0 beta2=0 precondition_1d weight_decay=1e6"},
    {"schedule_free_sgd", "weight_decay=1e300"},
    {"schedule_free_sgd", "momentum=0.01 r=16 weight_lr_power=16"},
    {"schedule_free_adamw", "weight_decay=1e6 decay_at=x beta1=0.01"},
    {"schedule_free_adamw", "eps=1e-30 beta2=0 correction=step"},
    {"prodigy", "d0=1e6 d_coef=1e6 weight_decay=1e6"},
    {"prodigy", "d0=1e-300 eps=1e-30 beta2=0"},
    {"prodigy", "decoupled=false weight_decay=1e6"},
    {"schedule_free_prodigy", "d0=1e6 d_coef=1e6 weight_decay=1e6"},
    {"schedule_free_prodigy", "d0=1e-300 eps=1e-30"},
};

enum { DRIVES = 5 };
/* What pushes: the step size; growing gradients; x itself, at the end of the type; both; gradients that change
 * sign. */
static void drive(int how, sw_dtype type, int t, double g[SMALL_DIM]) {
    const double growth = how == 1 || how == 3 ? ldexp(1, (type == SW_F32 ? 2 : 16) * t) : 1;
    for (int i = 0; i < SMALL_DIM; i++) {
        const double sign = how == 4 && t % 2 ? -1 : i % 3 ? 1 : -1;
        g[i] = sign * growth * (1 + 0.125 * i) * (how == 4 ? 1e30 : 1);
        g[i] = fabs(g[i]) <= most(type) ? g[i] : copysign(most(type), g[i]);
    }
}

static int refusals;

static void drive_rule(const sw_rule *rule, const char *options, sw_dtype type, int how) {
    char spec[200];
    const sw_option *lr = rule->options;
    assert_string_equal(lr->name, "lr");
    snprintf(spec, sizeof spec, "%s lr=%g %s", rule->name, how == 0 || how == 3 ? lr->high : lr->value, options);
    char name[250];
    snprintf(name, sizeof name, "%s (%s, drive %d)", spec, sw_dtype_name(type), how);
    sw_params *p = small_params(type);
    for (int i = 0; how == 2 && i < SMALL_DIM; i++)
        vec_set(type, sw_params_x(p), i, (i % 2 ? 0.9 : -0.9) * most(type));
    sw_optim *o = NEW_OPTIM(p, .rule = spec, .schedule = how == 0 ? "exponential factor=3" : NULL);
    for (int t = 0; t < 600; t++) {
        double g[SMALL_DIM];
        drive(how, type, t, g);
        const numbers before = all_numbers(o, p, rule, NULL, NULL);
        const sw_status status = step_with(o, p, g);
        const numbers after = all_numbers(o, p, rule, NULL, NULL);
        if (judge(status, name, rule->name, &before, &after)) {
            refusals++;
            break;
        }
    }
    sw_optim_free(o);
    sw_params_free(p);
}

/* Each rule, with each option that may choose another loop or state, and with the variants above. */
static void test_rules_stay_finite(void **state) {
    (void)state;
    static rule_specs specs;
    refusals = 0;
    int runs = 0;
    rule_specs_add_all(&specs, true);
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        char spec[RULE_SPEC_LENGTH];
        snprintf(spec, sizeof spec, "%s %s", variants[v][0], variants[v][1]);
        rule_specs_add(&specs, spec);
    }
    for (int i = 0; i < specs.count; i++) {
        const sw_rule *rule = rule_of_spec(specs.text[i]);
        for (int t = 0; t < 2 && rule->source; t++) /* the library's own */
            for (int how = 0; how < DRIVES; how++, runs++)
                drive_rule(rule, specs.text[i] + strlen(rule->name), both_types[t], how);
    }
    print_message("%d of %d runs ended in a refusal\n", refusals, runs);
    assert_true(runs > 450 && refusals > runs / 2);
}

/* Steps of ordinary size need neither copies nor a trial: both take memory. */
static void test_ordinary_steps_take_no_copies(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    static const double g[SMALL_DIM] = {1, -2, 0.5, 0, 3, -1, 1e-3, 2, 1, -1, 0.25, 4, -3, 1, 0.125, -2, 1e-6, 1};
    const sw_rule *rule;
    for (int r = 0; (rule = sw_rule_at(r)) != NULL && rule->source; r++)
        for (int k = 0; k < 3 && rule->unit != SW_UNIT_VECTOR; k++) { /* whose steps always take copies */
            char spec[100];
            /* Under a constant gradient, Prodigy's steps would grow without end. */
            snprintf(spec, sizeof spec, "%s%s%s", rule->name,
                     k == 1 && has_option(rule, "weight_decay") ? " weight_decay=0.1" : "",
                     has_option(rule, "growth_rate") ? " growth_rate=1.02" : "");
            sw_params *p = small_params(SW_F32);
            sw_optim *o = NEW_OPTIM(p, .rule = spec, .average = k == 2 && !rule->point ? "ema" : NULL);
            sw_tape *tape = sw_tape_new();
            for (int t = 0; t < 300; t++) {
                sw_tape_reset(tape);
                assert_ok(sw_backward(inner_loss(tape, p, g)));
                const long long calls = atomic_load(&a.calls);
                assert_ok(sw_optim_step(o));
                if (atomic_load(&a.calls) != calls)
                    fail_msg("%s: step %d took memory", spec, t + 1);
            }
            sw_tape_free(tape);
            sw_optim_free(o);
            sw_params_free(p);
            assert_non_null(rule->reach);
        }
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

/* ---- Averages ---- */

/* x jumps between both ends of the type, where x - e has no number. */
static void test_averages_stay_finite(void **state) {
    (void)state;
    static const char *const specs[] = {"none",
                                        "ema decay=0.5",
                                        "ema debias decay=0.9",
                                        "polyak",
                                        "swa start=0 every=1",
                                        "lawa_ema start=0 every=1",
                                        "lawa_queue length=3 start=0 every=1"};
    static const double zero[SMALL_DIM] = {0};
    int refused = 0;
    for (size_t k = 0; k < sizeof specs / sizeof *specs; k++)
        for (int t = 0; t < 2; t++) {
            char name[64];
            assert_int_equal(sscanf(specs[k], "%63s", name), 1);
            const sw_average *average = NULL;
            for (int i = 0; (average = sw_average_at(i)) != NULL && strcmp(average->name, name) != 0;)
                i++;
            assert_non_null(average);
            sw_params *p = small_params(both_types[t]);
            sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=1", .average = specs[k], .total_steps = 100);
            for (int step = 0; step < 12; step++) {
                for (int i = 0; i < SMALL_DIM; i++)
                    vec_set(both_types[t], sw_params_x(p), i, (step % 2 ? 0.75 : -0.75) * most(both_types[t]));
                sw_params_mark_changed(p);
                const numbers before = all_numbers(o, p, NULL, average, NULL);
                const sw_status status = step_with(o, p, zero);
                const numbers after = all_numbers(o, p, NULL, average, NULL);
                refused += judge(status, specs[k], name, &before, &after);
                const void *point = sw_optim_point(o);
                for (int i = 0; point && i < SMALL_DIM; i++)
                    assert_true(isfinite(vec_get(both_types[t], point, i)));
                if (!point)
                    assert_int_equal(sw_error_status(), SW_ERR_NONFINITE);
                sw_clear_error();
            }
            sw_optim_free(o);
            sw_params_free(p);
        }
    int count = 0;
    while (sw_average_at(count) && sw_average_at(count)->source)
        count++;
    assert_true(refused > 0);
    for (int i = 0; sw_average_at(i); i++) { /* none is left out */
        bool there = sw_average_at(i)->name[0] == '!';
        for (size_t k = 0; k < sizeof specs / sizeof *specs; k++)
            there |= strncmp(specs[k], sw_average_at(i)->name, strlen(sw_average_at(i)->name)) == 0;
        if (!there)
            fail_msg("average %s is not driven", sw_average_at(i)->name);
    }
}

/* ---- Schedules ---- */

static double broken_factor(const double *option, double t, double total) {
    (void)option, (void)total;
    return t < 3 ? 1 : t < 4 ? (double)INFINITY : (double)NAN;
}
static const sw_schedule broken = {.size = sizeof(sw_schedule), .name = "!broken", .factor = broken_factor};

static void test_step_sizes_stay_finite(void **state) {
    (void)state;
    static const double g[SMALL_DIM] = {0}; /* so that nothing but the step size is large */
    static const char *const extra[] = {"exponential factor=1e6",
                                        "one_cycle div=1e-300 final_div=1e-300",
                                        "step factor=1e6 every=1",
                                        "linear final=1e6",
                                        "!broken",
                                        "exponential factor=1e-6",
                                        "restarts period=1 growth=1e3",
                                        "cyclic height=exp_range gamma=1e-300 up=1"};
    int refused = 0;
    for (int t = 0; t < 2; t++)
        for (int k = 0; k < 40; k++) {
            const sw_schedule *s = sw_schedule_at(k);
            const size_t e = (size_t)k - 30;
            if (k < 30 ? !s : e >= sizeof extra / sizeof *extra)
                continue;
            const char *spec = k < 30 ? s->name : extra[e];
            sw_params *p = small_params(both_types[t]);
            sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=1e6", .schedule = spec, .total_steps = 100);
            for (int step = 0; step < 400; step++) {
                const numbers before = all_numbers(o, p, NULL, NULL, NULL);
                const sw_status status = step_with(o, p, g);
                const numbers after = all_numbers(o, p, NULL, NULL, NULL);
                if (judge(status, spec, "lr is ", &before, &after)) {
                    refused++;
                    break;
                }
                assert_true(fabs(sw_optim_option(o, 0, "lr")) <= most(both_types[t]));
            }
            sw_optim_free(o);
            sw_params_free(p);
        }
    assert_true(refused >= 6);
}

/* ---- Estimators and line searches ---- */

/* ½ scale Σ (a_i x - y_i)²/n in one variable, or its linear part alone: a loss without a minimum. */
typedef struct points {
    sw_objective f;
    sw_params *params;
    double scale, slope;
} points;

static const double point_a[] = {1, 2, -1, 0.5, 3}, point_y[] = {2, 4, -2, 1, 6};

static sw_status points_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                 double *value, void *g) {
    const points *p = user;
    const sw_dtype type = sw_params_type(p->params);
    const double at = vec_get(type, x, 0);
    double sum = 0, slope = 0;
    (void)draw;
    for (int64_t k = 0; k < count; k++) {
        const int64_t i = ids ? ids[k] : k;
        const double d = point_a[i] * at - point_y[i];
        sum += p->slope != 0 ? p->slope * at : 0.5 * p->scale * d * d;
        slope += p->slope != 0 ? p->slope : p->scale * d * point_a[i];
    }
    *value = sum / (double)count;
    if (g)
        vec_set(type, g, 0, slope / (double)count);
    return SW_OK;
}

static points points_new(sw_dtype type, int64_t n, double scale, double slope) {
    points p = {.params = sw_params_new(type, 1), .scale = scale, .slope = slope};
    assert_non_null(sw_params_add(p.params, "w", 1, (const int64_t[]){1}, NULL));
    assert_ok(sw_params_build(p.params));
    vec_set(type, sw_params_x(p.params), 0, 0);
    p.f = (sw_objective){.size = sizeof p.f, .n = n, .params = p.params, .gradient = points_gradient};
    return p;
}

/* Three points on the line y = 2x. Their gradients go to 0, below where L can be searched for: it sank by half in
 * every epoch, the step 1/L was 8e14 at step 100, and x was NaN from step 2050 on. */
static void test_lipschitz_estimate_does_not_vanish(void **state) {
    (void)state;
    static const char *const estimators[] = {"sag batch=2", "saga batch=2", "sag batch=2 sampling=lipschitz",
                                             "saga batch=1"};
    for (size_t k = 0; k < sizeof estimators / sizeof *estimators; k++) {
        points p = points_new(SW_F64, 3, 1, 0);
        p.f.user = &p;
        sw_optim *o = NEW_OPTIM(p.params, .estimator = estimators[k], .rule = "sgd lr=auto");
        for (int t = 0; t < 5000; t++)
            assert_ok(sw_optim_minimize(o, &p.f, NULL));
        /* L is at least what the last search that could see something left: half of the least curvature, 1. */
        assert_true(sw_optim_scalar(o, -1, "L") >= 0.25 && sw_optim_option(o, 0, "lr") <= 4);
        assert_true(fabs(vec_get(SW_F64, sw_params_x(p.params), 0) - 2) <= 1e-3);
        sw_optim_free(o);
        sw_params_free(p.params);
    }
}

static void test_estimators_stay_finite(void **state) {
    (void)state;
    static const char *const specs[] = {"minibatch batch=2",
                                        "full",
                                        "sag",
                                        "sag batch=2 init=sgd",
                                        "sag init=full sampling=lipschitz",
                                        "sag init=centered",
                                        "sag init=zero",
                                        "saga",
                                        "saga batch=2 init=sgd",
                                        "saga init=full",
                                        "saga init=centered",
                                        "saga sampling=lipschitz",
                                        "svrg batch=2 period=3",
                                        "svrg batch=1 period=2 snapshot=mean",
                                        "svrg batch=1 period=2 snapshot=random",
                                        "sam rho=1e6 of=minibatch batch=2",
                                        "sam p=1 of=full",
                                        "sam p=3 of=svrg batch=2",
                                        "asam rho=1e6 of=minibatch batch=2",
                                        "asam scale=all of=svrg batch=2"};
    static const char *const rules[] = {"sgd lr=1e6", "sgd lr=auto", "sgd lr=10 momentum=0.9", "adam lr=1e6"};
    int refused = 0, runs = 0;
    for (size_t k = 0; k < sizeof specs / sizeof *specs; k++)
        for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
            for (int t = 0; t < 2; t++)
                for (int shape = 0; shape < 3; shape++) {
                    const double huge = both_types[t] == SW_F32 ? 1e37 : 1e306;
                    char name[64];
                    assert_int_equal(sscanf(specs[k], "%63s", name), 1);
                    if (strcmp(rules[r], "sgd lr=auto") == 0 && !strstr(name, "sag") && !strstr(specs[k], "full"))
                        continue;
                    points p = points_new(both_types[t], 5, shape == 2 ? huge / 1e3 : 1, shape == 1 ? huge : 0);
                    p.f.user = &p;
                    sw_optim *o = NEW_OPTIM(p.params, .estimator = specs[k], .rule = rules[r]);
                    char spec[160];
                    snprintf(spec, sizeof spec, "%s, %s, shape %d, type %d", specs[k], rules[r], shape, t);
                    const sw_estimator *estimator = sw_estimator_find(name);
                    const sw_rule *rule = sw_rule_find(r == 3 ? "adam" : "sgd");
                    runs++;
                    for (int step = 0; step < 500; step++) {
                        const numbers before = all_numbers(o, p.params, rule, NULL, estimator);
                        const sw_status status = sw_optim_minimize(o, &p.f, NULL);
                        const numbers after = all_numbers(o, p.params, rule, NULL, estimator);
                        if (judge(status, spec, NULL, &before, &after)) {
                            refused++;
                            break;
                        }
                        if (status == SW_OK)
                            assert_true(isfinite(sw_optim_option(o, 0, "lr")));
                    }
                    sw_optim_free(o);
                    sw_params_free(p.params);
                }
    print_message("%d of %d runs ended in a refusal\n", refused, runs);
    assert_true(refused > runs / 5);
    for (int i = 0; sw_estimator_at(i); i++) {
        bool there = sw_estimator_at(i)->name[0] == '!';
        for (size_t k = 0; k < sizeof specs / sizeof *specs; k++)
            there |= strncmp(specs[k], sw_estimator_at(i)->name, strlen(sw_estimator_at(i)->name)) == 0;
        if (!there)
            fail_msg("estimator %s is not driven", sw_estimator_at(i)->name);
    }
}

static double leap;
static sw_status leap_search(sw_search *s, double *alpha) {
    s->scalar[0] = leap;
    *alpha = leap;
    return SW_OK;
}
static const char *const leap_scalars[] = {"leap", NULL};
static const sw_line_search leaping = {
    .size = sizeof(sw_line_search), .name = "!leaping", .scalars = leap_scalars, .search = leap_search};

static void test_searches_stay_finite(void **state) {
    (void)state;
    static const double leaps[] = {1, 1e300, (double)INFINITY, (double)NAN};
    for (int k = 0; sw_line_search_at(k); k++)
        for (int t = 0; t < 2; t++)
            for (int shape = 0; shape < 2; shape++)
                for (size_t l = 0; l < sizeof leaps / sizeof *leaps; l++)
                    for (int averaged = 0; averaged < 2; averaged++) {
                        const char *name = sw_line_search_at(k)->name;
                        points p = points_new(both_types[t], 5, 1, shape ? 1e30 : 0);
                        p.f.user = &p;
                        sw_optim *o = NEW_OPTIM(p.params, .estimator = "full", .rule = "sgd lr=1e6 momentum=0.5",
                                                .schedule = name, .average = averaged ? "polyak" : NULL);
                        leap = leaps[l];
                        for (int step = 0; step < 60; step++) {
                            const numbers before = all_numbers(o, p.params, sw_rule_find("sgd"), NULL, NULL);
                            const sw_status status = sw_optim_minimize(o, &p.f, NULL);
                            const numbers after = all_numbers(o, p.params, sw_rule_find("sgd"), NULL, NULL);
                            if (status == SW_ERR_STATE) { /* momentum may point uphill */
                                sw_clear_error();
                                break;
                            }
                            if (status == SW_OK && !isfinite(leap) && strcmp(name, "!leaping") == 0)
                                fail_msg("a step of length %g is SW_OK", leap);
                            if (judge(status, name, NULL, &before, &after))
                                break;
                        }
                        sw_optim_free(o);
                        sw_params_free(p.params);
                    }
}

/* ---- Methods of a program, which say nothing of how far they go ---- */

static int breaks_at;
static double *breaks_what;
static sw_status breaking_begin(sw_step *s) {
    s->scalar[0] = 1;
    s->coefficient[3] = 1;
    if (s->step == breaks_at && breaks_what)
        *(breaks_what == s->scalar ? &s->scalar[0] : &s->coefficient[3]) = (double)NAN;
    return SW_OK;
}
static sw_status breaking_tensor(sw_step *s) {
    const double lr = s->option[0];
    for (int64_t i = 0; i < s->count; i++) {
        vec_set(s->type, s->slot[0], i, vec_get(s->type, s->slot[0], i) + 1);
        vec_set(s->type, s->x, i, vec_get(s->type, s->x, i) - lr * vec_get(s->type, s->g, i));
    }
    if (s->step == breaks_at && !breaks_what && s->count == 1)
        vec_set(s->type, breaks_at % 2 ? s->x : s->slot[0], 0, breaks_at % 3 ? (double)INFINITY : (double)NAN);
    return SW_OK;
}
static const sw_option breaking_options[] = {{.name = "lr", .value = 0.1, .low = 0, .high = 1}, {0}};
static const sw_slot breaking_slots[] = {{.name = "count"}, {0}};
static const char *const breaking_scalars[] = {"one", NULL};
static const sw_rule breaking = {.size = sizeof(sw_rule),
                                 .name = "!breaking",
                                 .options = breaking_options,
                                 .slots = breaking_slots,
                                 .scalars = breaking_scalars,
                                 .unit = SW_UNIT_TENSOR,
                                 .begin = breaking_begin,
                                 .tensor = breaking_tensor};

static void break_average(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        vec_set(s->type, s->slot[0], i, s->step == breaks_at ? (double)NAN : vec_get(s->type, s->x, i));
}

static const sw_kernels breaking_kernels = ALL_LEVELS(break_average);
static const sw_slot breaking_average_slots[] = {{.name = "copy"}, {0}};
static const sw_average breaking_average = {
    .size = sizeof(sw_average), .name = "!breaking", .slots = breaking_average_slots, .update = &breaking_kernels};

static const double plain[SMALL_DIM] = {1, 2, -1, 0.5, 1, 1, -2, 1, 3, 0.25, 1, -1, 2, 1, 2, -0.5, 1, 1};

static void test_nonfinite_custom_methods_are_refused(void **state) {
    (void)state;
    double something;
    for (int t = 0; t < 2; t++)
        for (int at = 2; at < 8; at++)
            for (int kind = 0; kind < 2; kind++) {
                breaks_at = at;
                breaks_what = NULL;
                sw_params *p = small_params(both_types[t]);
                sw_optim *o = NEW_OPTIM(p, .rule = kind ? "sgd" : "!breaking", .average = kind ? "!breaking" : "ema");
                const sw_average *average = NULL;
                for (int i = 0; (average = sw_average_at(i)) && strcmp(average->name, kind ? "!breaking" : "ema");)
                    i++;
                for (int step = 1; step < at; step++)
                    assert_ok(step_with(o, p, plain));
                for (int again = 0; again < 2; again++) { /* it stays refused */
                    const numbers before = all_numbers(o, p, kind ? NULL : &breaking, average, NULL);
                    const sw_status status = step_with(o, p, plain);
                    const numbers after = all_numbers(o, p, kind ? NULL : &breaking, average, NULL);
                    assert_true(judge(status, "!breaking", "!breaking", &before, &after));
                    assert_int_equal(sw_optim_steps_taken(o), at - 1);
                }
                breaks_at = 0; /* and goes on when the cause is gone */
                assert_ok(step_with(o, p, plain));
                assert_int_equal(sw_optim_steps_taken(o), at);
                sw_optim_free(o);
                sw_params_free(p);
            }
    breaks_at = 2;
    breaks_what = &something; /* a coefficient */
    sw_params *p = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "!breaking");
    assert_ok(step_with(o, p, plain));
    assert_int_equal(step_with(o, p, plain), SW_ERR_NONFINITE);
    expect_error(SW_ERR_NONFINITE, "rule !breaking: coefficient 3 is nan in step 2: the step is not taken");
    sw_optim_free(o);
    sw_params_free(p);
}

/* A rule that makes x NaN late ended a run as complete, with its last steps skipped. */
static void test_run_of_refused_steps_is_not_complete(void **state) {
    (void)state;
    breaks_at = 7;
    breaks_what = NULL;
    sw_params *p = small_params(SW_F64);
    linear_problem f;
    linear_problem_init(&f, p, 4, plain);
    sw_optim *o = NEW_OPTIM(p, .rule = "!breaking", .estimator = "full");
    sw_train_result r;
    const sw_train_options how = {.size = sizeof how, .steps = 9};
    assert_int_equal(sw_train(&f.f, o, &how, &r), SW_ERR_NONFINITE);
    assert_non_null(strstr(sw_error(), "rule !breaking: step 7 would make x of parameter c Inf or NaN"));
    sw_clear_error();
    assert_true(r.reason == SW_TRAIN_ERROR && r.steps == 6 && r.skipped == 0);
    for (int i = 0; i < SMALL_DIM; i++)
        assert_true(isfinite(vec_get(SW_F64, sw_params_x(p), i)));
    sw_optim_free(o);
    sw_params_free(p);
}

static int set_up(void **state) {
    (void)state;
    return sw_rule_register(&breaking) || sw_average_register(&breaking_average) || sw_schedule_register(&broken) ||
           sw_line_search_register(&leaping);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_rules_stay_finite),
        TEST(test_ordinary_steps_take_no_copies),
        TEST(test_averages_stay_finite),
        TEST(test_step_sizes_stay_finite),
        TEST(test_lipschitz_estimate_does_not_vanish),
        TEST(test_estimators_stay_finite),
        TEST(test_searches_stay_finite),
        TEST(test_nonfinite_custom_methods_are_refused),
        TEST(test_run_of_refused_steps_is_not_complete),
    };
    return cmocka_run_group_tests_name("finite", tests, set_up, NULL);
}
