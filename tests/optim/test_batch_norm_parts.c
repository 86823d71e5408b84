/* Running statistics of estimators that evaluate their samples in parts, and the memory that running
 * statistics need. */
#include "batch_norm_net.h"

enum { STEPS = 7 };

/* ---- Estimators that evaluate their samples in parts ---- */

static sw_status parts_estimate(sw_estimate *e, const void *x, void *g) {
    void *part = sw_estimate_scratch(e, 0, 0), *far = sw_estimate_scratch(e, 1, 0);
    double value = 0;
    if (!part || !far)
        return SW_ERR_MEMORY;
    memset(g, 0, (size_t)e->dim * sw_dtype_size(e->type));
    sw_vector_axpby(e->type, e->dim, 2, x, 0, NULL, far);
    for (int64_t k = 0; k < e->count; k += 3) { /* three samples; then the same samples at another point */
        const int64_t n = e->count - k < 3 ? e->count - k : 3;
        double of_part;
        SW_TRY(sw_estimate_gradient(e, x, e->ids + k, n, &of_part, part));
        sw_vector_axpby(e->type, e->dim, 1, g, (double)n / (double)e->count, part, g);
        value += of_part * (double)n / (double)e->count;
        SW_TRY(sw_estimate_gradient(e, far, e->ids + k, n, NULL, part));
    }
    e->value = value;
    return SW_OK;
}

static const sw_option parts_options[] = {
    {.name = "batch", .kind = SW_OPTION_INTEGER, .value = 8, .low = 1, .high = 100, .help = "samples"}, {0}};
static const sw_estimator parts_estimator = {.size = sizeof(sw_estimator),
                                             .name = "proto_parts",
                                             .summary = "the gradient of a batch in parts of three",
                                             .options = parts_options,
                                             .flags = SW_ESTIMATOR_OBJECTIVE,
                                             .estimate = parts_estimate};

static void test_parts_of_an_estimate_are_pooled(void **state) {
    (void)state;
    const entry e[] = {{"proto_parts batch=8", "sgd lr=0.1", NULL, NULL, FEW},
                       {"sam rho=0.5 of=proto_parts batch=8", "sgd lr=0.1", NULL, NULL, FEW}};
    for (int i = 0; i < 2; i++) {
        net *n = net_new(SW_F64, FEW, MOMENTUM);
        sw_optim *o = make_optim(&e[i], n);
        for (int step = 1; step <= STEPS; step++) {
            void *before = net_copy(n);
            assert_int_equal(one_step(&e[i], n, o), SW_OK);
            assert_int_equal(n->seen, 8);
            const moments m = net_moments(n, before, n->ids, n->seen);
            assert_moved(n, e[i].estimator, step, before, &m, MOMENTUM);
            free(before);
        }
        sw_optim_free(o);
        net_free(n);
    }
}

/* ---- Memory ---- */

static void test_steps_allocate_nothing(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    const entry e = {"sam rho=0.5 of=minibatch batch=8", "adam lr=0.02", NULL, "ema decay=0.9", FEW};
    net *n = net_new(SW_F32, FEW, MOMENTUM);
    sw_optim *o = make_optim(&e, n);
    take_steps(&e, n, o, 3);
    test_allocator_fail(&a, 0, false); /* counts from here */
    take_steps(&e, n, o, 12);
    assert_int_equal(atomic_load(&a.calls), 0);
    sw_optim_free(o);
    net_free(n);
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

static bool whole_life(const entry *e, net *n) {
    sw_optim *o = sw_optim_new_with_options(
        n->params, &(sw_optim_options){.size = sizeof(sw_optim_options), .estimator = e->estimator, .rule = e->rule});
    bool good = o != NULL;
    for (int k = 0; k < 2 && good; k++)
        good = sw_optim_minimize(o, &n->objective, NULL) == SW_OK;
    sw_optim_free(o);
    return good;
}

/* Every allocation fails in turn: an error each time, and no buffer moves in the step that fails. */
static void test_failed_allocations(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    const entry e = {"sam rho=0.5 of=minibatch batch=8", "adam lr=0.02", NULL, NULL, FEW};
    net *n = net_new(SW_F64, FEW, MOMENTUM);
    test_allocator_fail(&a, 0, false);
    assert_true(whole_life(&e, n));
    const long long requests = atomic_load(&a.calls);
    net_free(n);
    for (long long k = 1; k <= requests; k++) {
        n = net_new(SW_F64, FEW, MOMENTUM);
        test_allocator_fail(&a, k, false);
        const bool good = whole_life(&e, n);
        test_allocator_fail(&a, 0, false);
        if (good)
            fail_msg("request %lld of %lld failed unnoticed", k, requests);
        assert_int_equal(sw_error_status(), SW_ERR_MEMORY);
        sw_clear_error();
        net_free(n);
        assert_int_equal(atomic_load(&a.live), 0);
    }
    sw_set_allocator(NULL);
}

static int set_up(void **state) {
    (void)state;
    return sw_estimator_register(&parts_estimator) == SW_OK ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_of_an_estimate_are_pooled),
        cmocka_unit_test(test_steps_allocate_nothing),
        cmocka_unit_test(test_failed_allocations),
    };
    const int failed = cmocka_run_group_tests_name("a layer of the program", tests, set_up, NULL);
    net_has_layer_of_library = true;
    return failed + cmocka_run_group_tests_name("the layer of the library", tests, set_up, NULL);
}
