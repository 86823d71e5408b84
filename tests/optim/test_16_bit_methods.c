/* Every combination of a rule, an estimator and an average that is not refused runs with parameters in f16 and bf16,
 * and a run that is saved in the middle, loaded and resumed is bit-for-bit identical to the uninterrupted one. The
 * methods have no code for 16 bits, so that the refusals are those of f32. */
#include "saved_runs.h"

static const sw_dtype halves[2] = {SW_F16, SW_BF16};

/* The refusals, all for reasons that do not depend on the type:
 *   - a rule that needs exact gradients (fista) with an estimator that has none,
 *   - an average beside a rule that determines the point of evaluation itself (fista). */
static bool is_refused(const sw_rule *rule, const sw_estimator *estimator, const sw_average *average) {
    const bool inexact = !(estimator->flags & SW_ESTIMATOR_EXACT);
    return ((rule->flags & SW_RULE_EXACT_GRADIENT) && inexact) || (rule->point && strcmp(average->name, "none") != 0);
}

/* An estimator with batches of 5; a wrapper around minibatch. */
static void estimator_spec(const sw_estimator *e, char spec[120]) {
    const char *batch = e->flags & SW_ESTIMATOR_WRAPPER ? " of=minibatch batch=5" : "";
    for (const sw_option *o = e->options; o && o->name; o++)
        batch = strcmp(o->name, "batch") == 0 ? " batch=5" : batch;
    snprintf(spec, 120, "%s%s", e->name, batch);
}

static void test_every_combination_of_methods_resumes(void **state) {
    (void)state;
    const sw_rule *rule;
    const sw_estimator *estimator;
    const sw_average *average;
    int resumed = 0, refused = 0;
    for (int r = 0; (rule = sw_rule_at(r)) != NULL; r++)
        for (int e = 0; (estimator = sw_estimator_at(e)) != NULL; e++)
            for (int a = 0; (average = sw_average_at(a)) != NULL; a++)
                for (int k = 0; k < 2; k++) {
                    char spec[120];
                    estimator_spec(estimator, spec);
                    const bool plain = (r + e + a) % 2; /* a network with dropout, or a generalized linear model */
                    const bool done = resumes(
                        halves[k], plain, 0,
                        HOW(.rule = rule->name, .estimator = spec, .average = average->name, .clip = a % 2 ? 0.5 : 0));
                    if (done == is_refused(rule, estimator, average))
                        fail_msg("%s: %s, %s, %s is %s", sw_dtype_name(halves[k]), rule->name, spec, average->name,
                                 done ? "not refused" : "refused");
                    resumed += done;
                    refused += !done;
                }
    assert_true(resumed > 1000 && refused > 0);
}

/* Line searches, schedules, several groups, shards, and a skipped step. */
static void test_other_parts_resume(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        assert_true(resumes(halves[k], true, 0, HOW(.rule = "sgd", .estimator = "full", .schedule = "armijo")));
        assert_true(resumes(halves[k], true, 0, HOW(.rule = "sgd", .estimator = "full", .schedule = "wolfe")));
        assert_true(resumes(halves[k], true, 0,
                            HOW(.rule = "role=bias: fromage; amos",
                                .estimator = "sam rho=0.1 "
                                             "of=svrg batch=4",
                                .schedule = "cosine warmup=2", .average = "swa every=2")));
        assert_true(resumes(halves[k], true, 0, HOW(.rule = "adam", .estimator = "minibatch batch=6 shards=3")));
        for (int poisoned = 1; poisoned <= STEPS; poisoned++)
            assert_true(resumes(halves[k], true, poisoned,
                                HOW(.rule = "adamw", .estimator = "minibatch batch=5", .average = "ema decay=0.9")));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_combination_of_methods_resumes),
                                       cmocka_unit_test(test_other_parts_resume)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
