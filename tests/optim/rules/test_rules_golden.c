/* 100 steps of every rule against PyTorch, optax or NumPy: golden/rules.py names the reference of each rule, and
 * golden/prox_rules.py has the rules with proximal steps. Learning rates that rise and fall; parameters that are a
 * vector, tall, wide and a scalar; gradients of three scales, with zeros. f64 and f32. */
#include "golden_rules.h"

/* Both sides do the same dozen or two operations a step, each rounding by 1.1e-16: over 100 steps at most
 * 100·20·1.1e-16 = 2.2e-13 where the problem does not magnify them; m/√v magnifies those of m by up to
 * about 3 where v is small. The 14 digits of the fixture lose 5e-14. Centered,
 * v - ḡ² of the element whose gradient never changes is αᵗ(1 - αᵗ)g², in the end a difference of numbers
 * 4e4 times as large; ε = 1e-3, as large as its root, and a small step keep what that does below the rest. */
static const double F64_TOLERANCE = 1e-12;

/* max |x - golden| / max |golden| over the steps kept: for each parameter. */
typedef struct distances {
    double worst[PARAMS], largest[PARAMS];
} distances;

static void compare(distances *d, sw_params *p, const double *golden_point) {
    for (int k = 0; k < PARAMS; k++) {
        const sw_param *param = sw_params_at(p, k);
        for (int64_t i = param->offset; i < param->offset + param->count; i++) {
            double error = fabs(vec_get(sw_params_type(p), sw_params_x(p), i) - golden_point[i]);
            if (!(error <= d->worst[k])) /* NaN stays */
                d->worst[k] = error;
            d->largest[k] = fmax(d->largest[k], fabs(golden_point[i]));
        }
    }
}

static double run(sw_dtype type, const struct golden *g) {
    sw_params *p = golden_params(type);
    params_set(p, golden_start);
    const sw_optim_options how = {
        .size = sizeof how, .rule = g->rule, .total_steps = STEPS, .schedule = GOLDEN_SCHEDULE};
    sw_optim *optim = sw_optim_new_with_options(p, &how);
    if (!optim)
        fail_msg("%s: %s", g->rule, sw_error());
    distances d = {{0}, {0}};
    for (int t = 0, at = 0; t < STEPS; t++) {
        assert_ok(step_with(optim, p, golden_gradient[t]));
        if (t + 1 == checked[at])
            compare(&d, p, g->points + DIM * at++);
    }
    double distance = 0;
    for (int k = 0; k < PARAMS; k++)
        if (!(d.worst[k] / d.largest[k] <= distance))
            distance = d.worst[k] / d.largest[k];
    sw_optim_free(optim);
    sw_params_free(p);
    return distance;
}

static void test_rules_agree_with_their_golden_paths(void **state) {
    (void)state;
    for (int i = 0; i < GOLDENS; i++) {
        const struct golden *g = golden_at(i);
        const double apart[2] = {run(SW_F32, g), run(SW_F64, g)};
        if (!(apart[1] <= F64_TOLERANCE))
            fail_msg("%s, f64: %.3g away, %.3g allowed", g->rule, apart[1], F64_TOLERANCE);
        if (!(apart[0] <= g->tolerance))
            fail_msg("%s, f32: %.3g away, %.3g allowed", g->rule, apart[0], g->tolerance);
    }
}

/* NadamP with p = 2 and Generalized Adam as it stands are NadamW: the same numbers, from one reference. */
static bool are_one(const char *a, const char *b) {
    return strcmp(a, "generalized_adam lr=0.03") == 0 && strcmp(b, "nadamw lr=0.03") == 0;
}

/* A rule whose name, or option, does not change what it does is a classic: no case passes for another. */
static void test_every_golden_path_differs(void **state) {
    (void)state;
    for (int i = 0; i < GOLDENS; i++)
        for (int j = 0; j < i; j++) {
            double apart = 0;
            for (int k = 0; k < CHECKED * DIM; k++)
                apart = fmax(apart, fabs(golden_at(i)->points[k] - golden_at(j)->points[k]));
            if (are_one(golden_at(i)->rule, golden_at(j)->rule))
                assert_true(apart == 0);
            else if (!(apart > 1e-3)) /* far above the tolerances */
                fail_msg("%s and %s are only %g apart", golden_at(i)->rule, golden_at(j)->rule, apart);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_rules_agree_with_their_golden_paths, test_clear),
        cmocka_unit_test_teardown(test_every_golden_path_differs, test_clear),
    };
    return cmocka_run_group_tests_name("rules_golden", tests, golden_draw, NULL);
}
