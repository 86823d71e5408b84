/* SAG and SAGA for generalized linear models that begin with a full pass (init=full), at 0 and at the end of an earlier
 * fit: the parameters keep x, and another optimizer continues from there. */
#include "support.h"

#include "glm_problems.h"
#include <swale/optim.h>

static const char *const methods[] = {"sag", "saga"};

/* The golden fit of that name. */
static glm_problem *golden(const char *name) {
    for (size_t i = 0; i < sizeof golden_fits / sizeof *golden_fits; i++)
        if (strcmp(golden_fits[i].name, name) == 0)
            return glm_problem_golden(&golden_fits[i], SW_F64);
    fail_msg("no fit is named %s", name);
    return NULL;
}

/* The norm of the gradient at 0. */
static double norm_at_zero(const glm_problem *p) {
    double *zero = newton_numbers(newton_dim(&p->f));
    const double norm = newton_gradient_norm(&p->f, zero);
    free(zero);
    return norm;
}

/* A fit from where the parameters are: the epochs that it takes until the gradient's norm is `goal`. */
static double epochs_of(sw_glm *m, const char *estimator, double l2, double goal) {
    char rule[128];
    snprintf(rule, sizeof rule, "role=weight: sgd lr=auto weight_decay=%.17g; sgd lr=auto", l2);
    const sw_optim_options how = {.size = sizeof how, .seed = 3, .estimator = estimator, .rule = rule};
    sw_optim *o = sw_optim_new_with_options(sw_glm_params(m), &how);
    sw_train_result r;
    const sw_train_options until = {.size = sizeof until, .epochs = 3000, .tolerance = goal};
    if (sw_train(sw_glm_objective(m), o, &until, &r) != SW_OK)
        fail_msg("%s: %s", estimator, sw_error());
    if (r.reason != SW_TRAIN_TOLERANCE)
        fail_msg("%s: %s", estimator, sw_train_result_text(&r, (char[200]){0}, 200));
    sw_optim_free(o);
    return r.epochs;
}

/* The same model with every element in compressed rows. */
typedef struct sparse_rows {
    int64_t *start;
    int32_t *index;
    sw_csr csr;
} sparse_rows;

static sw_glm *sparse_model(const glm_problem *p, sparse_rows *s) {
    const int64_t n = p->f.n, d = p->f.features;
    s->start = calloc((size_t)n + 1, sizeof *s->start);
    s->index = calloc((size_t)(n * d), sizeof *s->index);
    assert_true(s->start && s->index);
    for (int64_t i = 0; i <= n; i++)
        s->start[i] = i * d;
    for (int64_t k = 0; k < n * d; k++)
        s->index[k] = (int32_t)(k % d);
    s->csr = (sw_csr){.rows = n, .columns = d, .start = s->start, .index = s->index, .value = p->x, .type = p->type};
    const sw_array y =
        p->label ? sw_array_view(p->label, SW_I32, SW_SHAPE(n)) : sw_array_view(p->y, p->type, SW_SHAPE(n, 1));
    double *weight = newton_numbers(n); /* the first third weighs nothing: no curvature is met there */
    for (int64_t i = 0; i < n; i++)
        weight[i] = i % 64 < 22 ? 0 : 1;
    const sw_glm_options how = {.size = sizeof how, .head = p->f.head, .weight = weight};
    sw_glm *m = sw_glm_new_sparse(p->type, &s->csr, &y, &how);
    free(weight);
    if (!m)
        fail_msg("%s", sw_error());
    return m;
}

/* A table that already holds the gradients at x has nothing to change in the first step: the step size has to come
 * from elsewhere, or x stays where it is. */
static void test_run_begins_with_a_full_pass(void **state) {
    (void)state;
    static const char *const names[] = {"logistic_sag", "multinomial_saga", "ridge_sag"};
    static const int batches[] = {1, 3, 16, 64};
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 2; i++)
            for (int b = 0; b < 4; b++)
                for (int sparse = 0; sparse < 2; sparse++) {
                    char spec[64];
                    sparse_rows rows = {0};
                    glm_problem *p = golden(names[k]);
                    sw_glm *m = sparse ? sparse_model(p, &rows) : glm_model(p);
                    snprintf(spec, sizeof spec, "%s init=full batch=%d", methods[i], batches[b]);
                    epochs_of(m, spec, 0.1, 1e-6 * norm_at_zero(p));
                    sw_glm_free(m);
                    glm_problem_free(p);
                    free(rows.start);
                    free(rows.index);
                }
}

/* At a minimum the first step's gradient is that of all samples, and the run ends. With nine tenths of the penalty
 * the old minimum is nearer to the new one than 0 is: from there it takes fewer epochs, the full pass counted. */
static void test_warm_start_at_a_minimum_ends_at_once(void **state) {
    (void)state;
    static const char *const names[] = {"logistic_saga", "multinomial_saga", "ridge_sag", "poisson", "huber"};
    for (int k = 0; k < 5; k++)
        for (int i = 0; i < 2; i++) {
            char spec[64];
            glm_problem *p = golden(names[k]);
            sw_glm *m = glm_model(p);
            const double goal = 1e-6 * norm_at_zero(p), l2 = p->f.l2;
            snprintf(spec, sizeof spec, "%s init=full", methods[i]);
            const double cold = epochs_of(m, spec, 0.9 * l2, goal);
            sw_params_reinitialize(sw_glm_params(m));
            epochs_of(m, "sag", l2, 1e-3 * goal);
            const double again = epochs_of(m, spec, l2, goal), warm = epochs_of(m, spec, 0.9 * l2, goal);
            if (!(again < 1 && warm + 1 < cold))
                fail_msg("%s, %s: %g epochs at the minimum, %g from there, %g from 0", names[k], spec, again, warm,
                         cold);
            sw_glm_free(m);
            glm_problem_free(p);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_run_begins_with_a_full_pass),
                                       cmocka_unit_test(test_warm_start_at_a_minimum_ends_at_once)};
    return cmocka_run_group_tests_name("glm_warm", tests, NULL, NULL);
}
