/* lr=auto of SAG, SAGA and SVRG on a network, whose loss is not convex: it may be flat along the change of a row and
 * steep along the step. */
#include "helpers.h"

#include <swale/datasets.h>
#include <swale/nn.h>

enum { POINTS = 600, CLASSES = 3 };

/* Three rings around one another. */
static void make_rings(double *x, int32_t *y) {
    uint64_t seed = 1;
    for (int i = 0; i < POINTS; i++) {
        const double radius = i % CLASSES + test_uniform(&seed, 0.375, 0.625), angle = test_uniform(&seed, 0, 6.28);
        x[2 * i] = radius * cos(angle);
        x[2 * i + 1] = radius * sin(angle);
        y[i] = i % CLASSES;
    }
}

/* At the start the loss is about log 3. After 200 epochs it must be below 0.5 for every batch: a step that is too long
 * would leave it above log 3 for good. */
static void test_automatic_step_size_trains_a_network(void **state) {
    (void)state;
    static double x[2 * POINTS];
    static int32_t y[POINTS];
    static const char *const estimators[] = {"sag batch=16",  "saga batch=16",  "svrg batch=16",
                                             "sag batch=200", "saga batch=600", "svrg batch=600"};
    make_rings(x, y);
    const sw_array rows = sw_array_view(x, SW_F64, SW_SHAPE(POINTS, 2)),
                   labels = sw_array_view(y, SW_I32, SW_SHAPE(POINTS));
    for (int i = 0; i < 12; i++) {
        const sw_dtype type = i % 2 ? SW_F64 : SW_F32;
        const uint64_t seed = 1 + (uint64_t)i % 3;
        const char *estimator = estimators[i / 2 % 6];
        sw_source *source = sw_arrays(&rows, &labels, NULL);
        sw_model *m = sw_model_new(type, seed);
        sw_model_build(m,
                       sw_nn_sequential(m, sw_nn_linear(m, 2, 24), sw_nn_tanh(m), sw_nn_linear(m, 24, CLASSES), NULL));
        sw_optim *o = NEW_OPTIM(sw_model_params(m), .estimator = estimator, .rule = "sgd lr=auto weight_decay=1e-3",
                                .seed = seed);
        assert_ok(sw_train(sw_model_objective(m, source, sw_cross_entropy), o,
                           &(sw_train_options){.size = sizeof(sw_train_options), .epochs = 200}, NULL));
        sw_evaluation e = {0};
        assert_ok(sw_model_evaluate(m, sw_optim_point(o), source, sw_cross_entropy, &e));
        if (!(e.loss < 0.5))
            fail_msg("%s in %s, seed %d: the loss is %g, lr %g", estimator, sw_dtype_name(type), (int)seed, e.loss,
                     sw_optim_option(o, 0, "lr"));
        sw_optim_free(o);
        sw_model_free(m);
        sw_source_free(source);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_automatic_step_size_trains_a_network)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
