/* Matrix, parameter-free and other recent rules with each part of an optimizer that wraps a step: estimators, averages,
 * shards, schedules, loss scales and parameters in 16 bits. A combination moves every parameter, stays finite, and a
 * run that is resumed in the middle is bit-for-bit identical to the uninterrupted one; or it is refused with its
 * reason. */
#include "scaled_problem.h"

enum { TAKEN = 6, SAVED_AFTER = 3 };

static const char *const combined_rules[] = {
    "muon lr=0.01",
    "soap lr=0.01 period=2 weight_decay=0",
    "shampoo lr=0.01",
    "distributed_shampoo lr=0.01 start=2 period=2",
    "caspr lr=0.01 start=2 period=2",
    "prodigy d0=0.01",
    "schedule_free_sgd lr=0.01",
    "schedule_free_adamw lr=0.01",
    "schedule_free_prodigy d0=0.01",
    "lbfgs lr=0.1",
    "adafactor",
    "asgd lr=0.01",
    "rprop lr=0.01",
};

/* The parts of an optimizer beside the rule. */
typedef struct combination {
    const char *estimator, *schedule, *search, *average, *loss_scale; /* a schedule or a line search */
} combination;

static const combination combinations[] = {
    {.estimator = "minibatch batch=2"},
    {.estimator = "minibatch batch=4 shards=2"},
    {.estimator = "sam rho=0.1 of=minibatch batch=2"},
    {.estimator = "asam rho=0.1 of=minibatch batch=2"},
    {.estimator = "svrg batch=2 period=2"},
    {.estimator = "sam rho=0.1 of=svrg batch=2 period=2"},
    {.estimator = "full"},
    {.estimator = "full shards=2"},
    {.estimator = "full", .schedule = "cosine warmup=2"},
    {.estimator = "full", .search = "wolfe"},
    {.estimator = "full", .search = "armijo"},
    {.estimator = "full", .average = "ema decay=0.5"},
    {.estimator = "full", .average = "polyak"},
    {.estimator = "full", .average = "swa every=1"},
    {.estimator = "full", .average = "lawa_queue"},
    {.estimator = "full", .average = "lawa_ema"},
    {.estimator = "full", .loss_scale = "dynamic initial=16 interval=2"},
    {.estimator = "sam rho=0.1 of=minibatch batch=2", .loss_scale = "dynamic initial=16 interval=2"},
};

/* A line search needs a direction of descent, which the mean of several gradients need not be, after CASPR's
 * preconditioners in particular. */
static const char *rule_for(const char *rule, const combination *c) {
    return c->search && strncmp(rule, "caspr", 5) == 0 ? "caspr lr=0.01 start=2 period=2 beta1=0" : rule;
}

static sw_optim *combined(sw_params *p, const char *rule, const combination *c, scaled_problem *f) {
    scaled_problem_init(f, p);
    sw_optim *o = sw_optim_new_with_options(p, &(sw_optim_options){.size = sizeof(sw_optim_options),
                                                                   .rule = rule_for(rule, c),
                                                                   .estimator = c->estimator,
                                                                   .schedule = c->search ? c->search : c->schedule,
                                                                   .average = c->average,
                                                                   .loss_scale = c->loss_scale,
                                                                   .total_steps = TAKEN,
                                                                   .seed = 4});
    if (o && sw_optim_bind(o, &f->f) != SW_OK) {
        sw_optim_free(o);
        o = NULL;
    }
    return o;
}
static const sw_rule *combined_rule(const char *spec) {
    char name[64];
    assert_int_equal(sscanf(spec, "%63s", name), 1);
    const sw_rule *rule = sw_rule_find(name);
    assert_non_null(rule);
    return rule;
}

/* The message of the refusal; "" if the combination works:
 *   - lbfgs stores differences of gradients, and needs the gradient of f itself,
 *   - a line search needs a direction whose length is the learning rate,
 *   - Schedule-Free rules compute an average themselves. */
static void refusal(const char *spec, const combination *c, char message[300]) {
    const sw_rule *rule = combined_rule(spec);
    char estimator[32];
    sscanf(c->estimator, "%31s", estimator);
    *message = 0;
    if (c->average && rule->point)
        snprintf(
            message, 300,
            "average %.*s: rule %s determines the point of evaluation itself; omit the average, or choose another rule",
            (int)strcspn(c->average, " "), c->average, rule->name);
    if (c->search && !(rule->flags & SW_RULE_LINEAR))
        snprintf(message, 300,
                 "line search %s: the step of rule %s is not its learning rate times a direction; use a "
                 "schedule, or another rule, such as lbfgs",
                 c->search, rule->name);
    if ((rule->flags & SW_RULE_EXACT_GRADIENT) && strcmp(estimator, "full") != 0)
        snprintf(message, 300,
                 "rule %s: errors of gradients accumulate in its steps, and the gradients of estimator %s are not "
                 "exact; use estimator full, or another rule",
                 rule->name, estimator);
}

static void take(sw_optim *o, scaled_problem *f, int steps, const char *what) {
    for (int i = 0; i < steps; i++)
        if (sw_optim_minimize(o, &f->f, NULL) != SW_OK)
            fail_msg("%s, step %d: %s", what, (int)sw_optim_steps_taken(o) + 1, sw_error() ? sw_error() : "skipped");
}

static void moves_and_resumes(sw_dtype storage, const char *rule, const combination *c, const char *what) {
    sw_params *p = stored_params(storage), *q = stored_params(storage);
    const sw_dtype type = sw_params_type(p);
    scaled_problem f, g;
    sw_archive *a = sw_archive_new();
    sw_optim *o = combined(p, rule, c, &f), *resumed = combined(q, rule, c, &g);
    if (!o || !resumed)
        fail_msg("%s: %s", what, sw_error());
    take(o, &f, SAVED_AFTER, what);
    assert_ok(sw_optim_pack(o, a));
    if (sw_optim_unpack(resumed, a) != SW_OK)
        fail_msg("%s: %s", what, sw_error());
    g.calls = f.calls;
    take(o, &f, TAKEN - SAVED_AFTER, what);
    take(resumed, &g, TAKEN - SAVED_AFTER, what);
    for (int64_t i = 0; i < SMALL_DIM; i++) {
        const double x = vec_get(type, sw_params_x(p), i);
        if (!isfinite(x) || x == 0.125 * (double)(i - 7))
            fail_msg("%s: x[%d] = %g", what, (int)i, x);
    }
    if (memcmp(sw_params_x(p), sw_params_x(q), params_bytes(p)) != 0 ||
        memcmp(sw_optim_point(o), sw_optim_point(resumed), params_bytes(p)) != 0)
        fail_msg("%s: the resumed run has other bits", what);
    sw_archive_free(a);
    sw_optim_free(o), sw_optim_free(resumed);
    sw_params_free(p), sw_params_free(q);
}

/* In f64, f32 and bf16, and with a loss scale in f16 as well. */
static void test_combinations_work_or_are_refused(void **state) {
    (void)state;
    static const sw_dtype storages[] = {SW_F64, SW_F32, SW_BF16, SW_F16};
    int worked = 0, refused = 0;
    for (size_t r = 0; r < sizeof combined_rules / sizeof *combined_rules; r++)
        for (size_t k = 0; k < sizeof combinations / sizeof *combinations; k++)
            for (int t = 0; t < (combinations[k].loss_scale ? 4 : 3); t++) {
                const combination *c = &combinations[k];
                char what[300], expected[300];
                snprintf(what, sizeof what, "%s, %s, %s, %s, %s, %s, %s", sw_dtype_name(storages[t]), combined_rules[r],
                         c->estimator, c->schedule ? c->schedule : "", c->search ? c->search : "",
                         c->average ? c->average : "", c->loss_scale ? c->loss_scale : "");
                refusal(combined_rules[r], c, expected);
                if (!*expected) {
                    moves_and_resumes(storages[t], combined_rules[r], c, what);
                    worked++;
                    continue;
                }
                sw_params *p = stored_params(storages[t]);
                scaled_problem f;
                if (combined(p, combined_rules[r], c, &f))
                    fail_msg("%s: not refused", what);
                expect_error(SW_ERR_ARGUMENT, expected);
                sw_params_free(p);
                refused++;
            }
    print_message("%d combinations work, %d are refused\n", worked, refused);
    assert_true(worked > 500 && refused > 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_combinations_work_or_are_refused, test_clear),
    };
    return cmocka_run_group_tests_name("optim_matrix_combinations", tests, NULL, NULL);
}
