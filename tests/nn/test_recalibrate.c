/* sw_model_recalibrate: the running statistics of the data at any point, against statistics that are computed here;
 * what it does not change, and what it refuses. The layer is the batch normalization of tests/batch_norm.h. */
#include "batch_norm_net.h"

static moments all_moments(const net *n, const void *vector, int64_t samples) {
    int64_t *ids = malloc((size_t)samples * sizeof *ids);
    assert_non_null(ids);
    for (int64_t i = 0; i < samples; i++)
        ids[i] = i;
    const moments m = net_moments(n, vector, ids, samples);
    free(ids);
    return m;
}

/* The statistics of all samples together, at a vector that differs in each number from the vector before. */
static void test_buffers_become_those_of_the_data(void **state) {
    (void)state;
    static const int64_t samples[] = {FEW, 2, 65, MANY};
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < 4; i++)
            for (int own = 0; own < 2; own++) {
                net *n = net_new(both_types[t], samples[i], MOMENTUM);
                void *before = net_copy(n), *copy = net_copy(n), *x = own ? sw_params_x(n->params) : copy;
                for (int64_t k = 0; k < sw_params_dim(n->params); k++)
                    sw_store_element(both_types[t], x, k, 0.5 * sw_load_element(both_types[t], x, k) + 0.01);
                void *start = malloc(net_bytes(n));
                memcpy(start, x, net_bytes(n));
                const uint64_t version = sw_params_version(n->params);
                assert_int_equal(sw_model_recalibrate(n->model, own ? NULL : x, &n->source, NULL), SW_OK);
                assert_true((sw_params_version(n->params) > version) == own);
                const moments m = all_moments(n, start, samples[i]);
                for (int k = 0; k < HIDDEN; k++) {
                    assert_close("mean", 0, sw_load_element(both_types[t], x, n->mean->offset + k), m.mean[k],
                                 net_tolerance(both_types[t]));
                    assert_close("variance", 0, sw_load_element(both_types[t], x, n->variance->offset + k),
                                 m.variance[k], net_tolerance(both_types[t]));
                }
                /* The rest of x does not change, and neither does the vector of the model if x is another vector. */
                const size_t trained =
                    (size_t)(sw_params_dim(n->params) - sw_params_buffer_dim(n->params)) * sw_dtype_size(both_types[t]);
                assert_memory_equal(x, start, trained);
                if (!own)
                    assert_memory_equal(sw_params_x(n->params), before, net_bytes(n));
                free(before);
                free(copy);
                free(start);
                net_free(n);
            }
}

/* Batches as in the options, each sample at most once in an epoch: with all batches the buffers are equal up to
 * rounding; with a few batches they are those of these samples. */
static struct {
    int batches;
    int64_t rows, most, least;
    int seen[MANY];
    bool records;
} count;

static sw_tensor counting_forward(sw_module *m, sw_tensor x) {
    const sw_array a = sw_value(x);
    (void)m;
    if (!a.data || !sw_tape_switch(x.tape, SW_UPDATE_BUFFERS) || !sw_tape_switch(x.tape, SW_TRAIN))
        return x;
    const int64_t *ids = sw_tape_sample_ids(x.tape, a.shape[0]);
    assert_non_null(ids);
    for (int64_t i = 0; i < a.shape[0]; i++)
        count.seen[ids[i]]++;
    count.most = count.batches == 0 || a.shape[0] > count.most ? a.shape[0] : count.most;
    count.least = count.batches == 0 || a.shape[0] < count.least ? a.shape[0] : count.least;
    count.batches++;
    count.rows += a.shape[0];
    count.records |= sw_tape_switch(x.tape, SW_RECORD);
    return x;
}
static const sw_module_type counting_type = {
    .size = sizeof(sw_module_type), .name = "counting", .forward = counting_forward};

static void test_batches_are_those_of_the_options(void **state) {
    (void)state;
    net *n = net_new(SW_F64, 101, MOMENTUM);
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_params *p =
        sw_model_build(model, sw_nn_sequential(model, sw_module_new(model, &counting_type, 0),
                                               sw_nn_linear(model, FEATURES, HIDDEN), batch_norm_new(model, MOMENTUM)));
    assert_non_null(p);
    memset(&count, 0, sizeof count);
    assert_int_equal(
        sw_model_recalibrate(model, NULL, &n->source,
                             &(sw_recalibrate_options){.size = sizeof(sw_recalibrate_options), .batch = 25}),
        SW_OK);
    assert_true(count.batches == 5 && count.rows == 101 && count.least == 20 && count.most == 21 && !count.records);
    for (int i = 0; i < 101; i++)
        assert_int_equal(count.seen[i], 1);
    memset(&count, 0, sizeof count);
    assert_int_equal(
        sw_model_recalibrate(
            model, NULL, &n->source,
            &(sw_recalibrate_options){.size = sizeof(sw_recalibrate_options), .batch = 25, .batches = 12, .seed = 4}),
        SW_OK);
    assert_int_equal(count.batches, 12);
    for (int i = 0; i < 101; i++) /* two epochs, and two batches of a third */
        assert_in_range(count.seen[i], 2, 3);
    /* An evaluation after the call reports no statistics. */
    memset(&count, 0, sizeof count);
    sw_array y = {0};
    assert_int_equal(sw_predict_source(model, &n->source, &y), SW_OK);
    assert_int_equal(count.batches, 0);
    sw_array_free(&y);
    sw_model_free(model);
    net_free(n);
}

/* A plain average (momentum 0) and any old value: the result depends on neither. And equal calls give equal bits. */
static void test_momentum_and_history_do_not_matter(void **state) {
    (void)state;
    net *n = net_new(SW_F32, FEW, MOMENTUM), *plain = net_new(SW_F32, FEW, 0);
    const sw_array old = sw_param_value(plain->mean);
    for (int k = 0; k < HIDDEN; k++)
        test_set(&old, k, 1e6);
    assert_int_equal(sw_model_recalibrate(n->model, NULL, &n->source, NULL), SW_OK);
    assert_int_equal(sw_model_recalibrate(plain->model, NULL, &plain->source, NULL), SW_OK);
    assert_memory_equal(sw_param_value(n->mean).data, sw_param_value(plain->mean).data, HIDDEN * sizeof(float));
    assert_memory_equal(sw_param_value(n->variance).data, sw_param_value(plain->variance).data, HIDDEN * sizeof(float));
    /* The number of steps of the plain average: all batches together count as one. */
    const sw_param *steps = NULL;
    for (int i = 0; i < sw_params_count(plain->params); i++)
        steps = sw_params_at(plain->params, i)->rank == 0 ? sw_params_at(plain->params, i) : steps;
    assert_non_null(steps);
    for (int calls = 1; calls <= 2; calls++) {
        assert_true(*(const float *)sw_param_value(steps).data == (float)calls);
        assert_int_equal(sw_model_recalibrate(plain->model, NULL, &plain->source, NULL), SW_OK);
    }
    void *before = net_copy(n);
    assert_int_equal(sw_model_recalibrate(n->model, NULL, &n->source, NULL), SW_OK);
    assert_memory_equal(sw_params_x(n->params), before, net_bytes(n));
    free(before);
    net_free(n);
    net_free(plain);
}

/* The purpose of the function: the buffers of an average of iterates are the average of their buffers, which are not
 * the statistics at the average. */
static void test_average_of_iterates_needs_it(void **state) {
    (void)state;
    net *n = net_new(SW_F64, FEW, MOMENTUM);
    sw_optim *o = sw_optim_new_with_options(n->params, &(sw_optim_options){.size = sizeof(sw_optim_options),
                                                                           .estimator = "minibatch batch=8",
                                                                           .rule = "adam lr=0.3",
                                                                           .average = "swa start=3 every=1",
                                                                           .total_steps = 9});
    assert_non_null(o);
    for (int i = 0; i < 9; i++)
        assert_int_equal(sw_optim_minimize(o, n->plain, NULL), SW_OK);
    void *point = malloc(net_bytes(n));
    memcpy(point, sw_optim_point(o), net_bytes(n));
    const moments m = all_moments(n, point, FEW);
    double away = 0, left = 0;
    for (int k = 0; k < HIDDEN; k++)
        away = fmax(away, fabs(((double *)point)[n->variance->offset + k] - m.variance[k]));
    assert_int_equal(sw_model_recalibrate(n->model, point, &n->source, NULL), SW_OK);
    for (int k = 0; k < HIDDEN; k++)
        left = fmax(left, fabs(((double *)point)[n->variance->offset + k] - m.variance[k]));
    assert_true(away > 0.05 && left <= net_tolerance(SW_F64));
    free(point);
    sw_optim_free(o);
    net_free(n);
}

/* Gradients of a Schedule-Free rule are those at y, and so are the running statistics. At x, sw_optim_point, they are
 * others. */
static void test_point_of_schedule_free_needs_it(void **state) {
    (void)state;
    static const char *const rules[] = {"schedule_free_sgd lr=1", "schedule_free_adamw lr=0.1",
                                        "schedule_free_prodigy d0=0.05"};
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        for (int t = 0; t < 2; t++) {
            net *n = net_new(both_types[t], FEW, MOMENTUM);
            sw_optim *o = sw_optim_new_with_options(n->params, &(sw_optim_options){.size = sizeof(sw_optim_options),
                                                                                   .estimator = "minibatch batch=8",
                                                                                   .rule = rules[r]});
            assert_non_null(o);
            for (int i = 0; i < 20; i++)
                assert_int_equal(sw_optim_minimize(o, n->plain, NULL), SW_OK);
            void *point = malloc(net_bytes(n)), *y = net_copy(n);
            assert_non_null(point);
            memcpy(point, sw_optim_point(o), net_bytes(n));
            const moments m = all_moments(n, point, FEW);
            double away = 0;
            for (int k = 0; k < HIDDEN; k++)
                away = fmax(away, fabs(sw_load_element(both_types[t], point, n->variance->offset + k) - m.variance[k]));
            assert_true(away > 1e-3);
            assert_int_equal(sw_model_recalibrate(n->model, point, &n->source, NULL), SW_OK);
            for (int k = 0; k < HIDDEN; k++) {
                assert_close(rules[r], 20, sw_load_element(both_types[t], point, n->mean->offset + k), m.mean[k],
                             net_tolerance(both_types[t]));
                assert_close(rules[r], 20, sw_load_element(both_types[t], point, n->variance->offset + k),
                             m.variance[k], net_tolerance(both_types[t]));
            }
            assert_memory_equal(sw_params_x(n->params), y, net_bytes(n)); /* the run can go on at y */
            assert_int_equal(sw_optim_minimize(o, n->plain, NULL), SW_OK);
            free(point), free(y);
            sw_optim_free(o);
            net_free(n);
        }
}

static void test_model_without_buffers_has_nothing_to_do(void **state) {
    (void)state;
    net *n = net_new(SW_F32, FEW, MOMENTUM);
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_params *p = sw_model_build(model, sw_nn_linear(model, FEATURES, 2));
    const uint64_t version = sw_params_version(p);
    assert_int_equal(sw_model_recalibrate(model, NULL, &n->source, NULL), SW_OK);
    assert_int_equal(sw_params_version(p), version);
    sw_model_free(model);
    net_free(n);
}

/* ---- Errors ---- */

static sw_tensor failing_forward(sw_module *m, sw_tensor x) {
    (void)m;
    return sw_tape_switch(x.tape, SW_TRAIN) ? (sw_tensor){0} : x;
}
static const sw_module_type failing_type = {
    .size = sizeof(sw_module_type), .name = "failing", .forward = failing_forward};

static void refused(sw_status status, sw_status expected, const char *message) {
    assert_int_equal(status, expected);
    expect_error(expected, message);
}

static void test_mistakes_have_messages(void **state) {
    (void)state;
    net *n = net_new(SW_F64, FEW, MOMENTUM);
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_recalibrate_options o = {.size = sizeof o, .batch = -1};
    sw_source empty = n->source;
    empty.n = 0;
    refused(sw_model_recalibrate(NULL, NULL, &n->source, NULL), SW_ERR_ARGUMENT,
            "model_recalibrate: the model is NULL");
    refused(sw_model_recalibrate(n->model, NULL, NULL, NULL), SW_ERR_ARGUMENT, "model_recalibrate: the source is NULL");
    refused(sw_model_recalibrate(n->model, NULL, &empty, NULL), SW_ERR_ARGUMENT,
            "model_recalibrate: the source has no samples");
    refused(sw_model_recalibrate(model, NULL, &n->source, NULL), SW_ERR_STATE,
            "model_recalibrate: the model is not built");
    refused(sw_model_recalibrate(n->model, NULL, &n->source, &o), SW_ERR_ARGUMENT,
            "model_recalibrate: batch = -1; it must not be negative");
    o.batch = 8;
    o.batches = -3;
    refused(sw_model_recalibrate(n->model, NULL, &n->source, &o), SW_ERR_ARGUMENT,
            "model_recalibrate: batches = -3; it must not be negative");
    sw_params *p = sw_model_build(model, sw_nn_sequential(model, sw_nn_linear(model, FEATURES, HIDDEN),
                                                          batch_norm_new(model, MOMENTUM),
                                                          sw_module_new(model, &failing_type, 0)));
    assert_non_null(p);
    double before[64];
    assert_true(sw_params_dim(p) <= 64);
    memcpy(before, sw_params_x(p), (size_t)sw_params_dim(p) * sizeof *before);
    refused(sw_model_recalibrate(model, NULL, &n->source, NULL), SW_ERR_USER,
            "layer failing1: its forward function returned a null tensor without a message");
    assert_memory_equal(sw_params_x(p), before, (size_t)sw_params_dim(p) * sizeof *before);
    sw_source one = n->source;
    one.n = 1;
    refused(sw_model_recalibrate(n->model, NULL, &one, NULL), SW_ERR_ARGUMENT,
            "buffer norm1.variance: the unbiased variance of 1 value; more than one is needed (a larger batch?)");
    sw_model_free(model);
    net_free(n);
}

static void test_every_failed_allocation_is_an_error(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    for (long long k = 1;; k++) {
        net *n = net_new(SW_F64, FEW, MOMENTUM);
        void *before = net_copy(n);
        test_allocator_fail(&a, k, false);
        const sw_status status = sw_model_recalibrate(n->model, NULL, &n->source, NULL);
        const bool failed = atomic_load(&a.failed) > 0;
        test_allocator_fail(&a, 0, false);
        assert_int_equal(status, failed ? SW_ERR_MEMORY : SW_OK);
        if (failed)
            assert_memory_equal(sw_params_x(n->params), before, net_bytes(n));
        sw_clear_error();
        free(before);
        net_free(n);
        assert_int_equal(atomic_load(&a.live), 0);
        if (!failed) {
            assert_true(k > 5);
            break;
        }
    }
    sw_set_allocator(NULL);
}

/* The printed table counts parameters without buffers, and has a line for these. */
static void test_table_has_a_line_for_buffers(void **state) {
    (void)state;
    net *n = net_new(SW_F32, FEW, MOMENTUM);
    FILE *to = tmpfile();
    char text[4096];
    assert_non_null(to);
    sw_model_print(n->model, to);
    rewind(to);
    text[fread(text, 1, sizeof text - 1, to)] = 0;
    fclose(to);
    /* linear1 25, norm1 10 and 10 of buffers, linear2 18 */
    const char *norm = strstr(text, "norm1"), *total = strstr(text, "total"), *buffers = strstr(text, "buffers");
    assert_true(norm && total && buffers);
    assert_non_null(strstr(norm, " 10\n"));
    assert_non_null(strstr(total, " 53\n"));
    assert_non_null(strstr(buffers, " 10\n"));
    net_free(n);
}

/* Initial values by role are for parameters that are trained. */
static void test_role_init_leaves_buffers_alone(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F64, 1);
    assert_int_equal(sw_model_set_role_init(model, SW_ROLE_NORM, sw_init_constant(7)), SW_OK);
    sw_params *p = sw_model_build(
        model, sw_nn_sequential(model, sw_nn_linear(model, FEATURES, HIDDEN), batch_norm_new(model, MOMENTUM)));
    assert_non_null(p);
    static const struct {
        const char *name;
        double value;
    } expected[] = {{"norm1.scale", 7}, {"norm1.shift", 7}, {"norm1.mean", 0}, {"norm1.variance", 1}};
    for (int i = 0; i < 4; i++) {
        const sw_array a = sw_param_value(sw_params_find(p, expected[i].name));
        assert_true(test_get(&a, 2) == expected[i].value);
    }
    sw_model_free(model);
}

/* Nor does a buffer become the head of the model, whatever its role and its rank. */
static sw_status kept_build(sw_module *m, sw_sample_shape *shape) {
    const sw_param_options options = {.size = sizeof options, .buffer = true}; /* role 0 is that of a weight */
    return sw_module_add_param(m, "kept", 2, (const int64_t[]){shape->length[0], 2}, &options) ? SW_OK
                                                                                               : sw_error_status();
}
static sw_tensor kept_forward(sw_module *m, sw_tensor x) {
    (void)m;
    return x;
}
static const sw_module_type kept_type = {
    .size = sizeof(sw_module_type), .name = "kept", .build = kept_build, .forward = kept_forward};

static void test_head_is_a_trained_parameter(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_params *p = sw_model_build(
        model, sw_nn_sequential(model, sw_nn_linear(model, FEATURES, HIDDEN), sw_module_new(model, &kept_type, 0)));
    assert_non_null(p);
    assert_int_equal(sw_params_find(p, "linear1.weight")->role, SW_ROLE_HEAD);
    assert_int_equal(sw_params_find(p, "kept1.kept")->role, SW_ROLE_WEIGHT);
    sw_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffers_become_those_of_the_data),
        cmocka_unit_test(test_batches_are_those_of_the_options),
        cmocka_unit_test(test_momentum_and_history_do_not_matter),
        cmocka_unit_test(test_average_of_iterates_needs_it),
        cmocka_unit_test(test_point_of_schedule_free_needs_it),
        cmocka_unit_test(test_model_without_buffers_has_nothing_to_do),
        cmocka_unit_test(test_mistakes_have_messages),
        cmocka_unit_test(test_every_failed_allocation_is_an_error),
        cmocka_unit_test(test_table_has_a_line_for_buffers),
        cmocka_unit_test(test_role_init_leaves_buffers_alone),
        cmocka_unit_test(test_head_is_a_trained_parameter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
