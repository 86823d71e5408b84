/* Coefficients of scikit-learn, by SAG, SAGA and SVRG with lr=auto: sag, saga, elastic net, multinomial, sample
 * and class weights, ridge, Poisson, Huber, squared hinge. */
#include "glm_problems.h"

#include <swale/optim.h>

enum { FITS = sizeof golden_fits / sizeof *golden_fits };

typedef struct golden_watch {
    const glm_problem *problem;
    double l1, *x, goal, norm;
} golden_watch;

static sw_status golden_see(void *user, sw_train_state *state) {
    golden_watch *w = user;
    glm_x(w->problem, state->point, w->x);
    w->norm = newton_residual(&w->problem->f, w->l1, w->x);
    state->stop = !(w->norm > w->goal);
    return SW_OK;
}

/* Until the gradient (with l1, the smallest subgradient) is so small that no coefficient is apart from the
 * minimum by more than 1e-7 of the largest one: ‖x - x*‖ ≤ ‖∇f‖/μ. Then they are compared to 1e-6. */
static void golden_fit_by(const golden_fit *fit, const glm_problem *p, const double *golden, double curvature,
                          const char *estimator) {
    const int64_t dim = newton_dim(&p->f);
    double largest = 0, apart = 0;
    char l1[64] = "", rule[256];
    for (int64_t j = 0; j < dim; j++)
        largest = fmax(largest, fabs(golden[j]));
    golden_watch w = {.problem = p, .l1 = fit->l1, .x = newton_numbers(dim), .goal = 1e-7 * largest * curvature};
    if (fit->l1 > 0)
        snprintf(l1, sizeof l1, " l1=%.17g", fit->l1);
    glm_rule(p, l1, rule, sizeof rule);
    sw_glm *model = glm_model(p);
    sw_optim *o = sw_optim_new_with_options(
        sw_glm_params(model),
        &(sw_optim_options){.size = sizeof(sw_optim_options), .rule = rule, .estimator = estimator, .seed = 1});
    if (!o)
        fail_msg("%s, %s: %s", fit->name, estimator, sw_error());
    sw_train_result result;
    if (sw_train(
            sw_glm_objective(model), o,
            &(sw_train_options){.size = sizeof(sw_train_options), .epochs = 20000, .user = &w, .evaluate = golden_see},
            &result) != SW_OK)
        fail_msg("%s, %s: %s", fit->name, estimator, sw_error());
    for (int64_t j = 0; j < dim; j++)
        apart = fmax(apart, fabs(w.x[j] - golden[j]));
    print_message("%-28s %-14s %7.0f epochs, apart %.1e of %.1e\n", fit->name, estimator, result.epochs, apart,
                  largest);
    if (!(apart <= 1e-6 * largest))
        fail_msg("%s, %s: %.3g apart after %.0f epochs, gradient %.3g, goal %.3g", fit->name, estimator, apart,
                 result.epochs, w.norm, w.goal);
    sw_optim_free(o);
    sw_glm_free(model);
    free(w.x);
}

static void test_coefficients_agree_with_scikit_learn(void **state) {
    (void)state;
    static const char *const estimators[] = {"sag", "saga", "svrg", "saga batch=16"};
    for (int i = 0; i < FITS; i++) {
        glm_problem *p = glm_problem_golden(&golden_fits[i], SW_F64);
        double *golden = glm_golden_x(&golden_fits[i]);
        const double curvature = newton_curvature(&p->f, golden);
        for (int k = 0; k < 4; k++)
            golden_fit_by(&golden_fits[i], p, golden, curvature, estimators[k]);
        free(golden);
        glm_problem_free(p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_coefficients_agree_with_scikit_learn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
