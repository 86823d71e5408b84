/* What was wrong once in optim: a small test for each. */
#define _GNU_SOURCE /* barriers */
#include "test_optim_shared.h"

#include <pthread.h>

/* ---- Objectives without a tape: the gradient is what the test says ---- */

typedef struct table {
    sw_objective f;
    double value, g[SMALL_DIM];
} table;

static sw_status table_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                double *value, void *g) {
    const table *t = user;
    (void)x, (void)ids, (void)count, (void)draw;
    *value = t->value;
    for (int i = 0; g && i < SMALL_DIM; i++)
        vec_set(sw_params_type(t->f.params), g, i, t->g[i]);
    return SW_OK;
}

static void table_init(table *t, sw_params *p, int64_t n, double value, double g) {
    *t = (table){.f = {.size = sizeof(sw_objective), .n = n, .params = p, .user = t, .gradient = table_gradient},
                 .value = value};
    for (int i = 0; i < SMALL_DIM; i++)
        t->g[i] = g;
}

static void refused(sw_params *p, sw_optim_options how, const char *message) {
    how.size = sizeof how;
    assert_null(sw_optim_new_with_options(p, &how));
    expect_error(SW_ERR_ARGUMENT, message);
}

/* ---- Methods ---- */

static int searched;
static sw_status eager_search(sw_search *search, double *alpha) {
    searched++;
    assert_true(search->slope < 0);
    *alpha = 1;
    return SW_OK;
}
static const sw_line_search eager = {.size = sizeof(sw_line_search), .name = "eager", .search = eager_search};

/* The gradient a hundred times: no DIRECT one. */
static sw_status hundredfold_estimate(sw_estimate *e, const void *x, void *g) {
    SW_TRY(sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g));
    for (int64_t i = 0; i < e->dim; i++)
        vec_set(e->type, g, i, 100 * vec_get(e->type, g, i));
    return SW_OK;
}
static const sw_estimator hundredfold = {.size = sizeof(sw_estimator),
                                         .name = "hundredfold",
                                         .flags = SW_ESTIMATOR_OBJECTIVE,
                                         .estimate = hundredfold_estimate};

static sw_status plain_estimate(sw_estimate *e, const void *x, void *g) {
    return sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g);
}
static sw_status return_skipped(sw_estimate *e) {
    (void)e;
    return SW_SKIPPED;
}
static const sw_estimator late_skip = {
    .size = sizeof(sw_estimator), .name = "late_skip", .estimate = plain_estimate, .commit = return_skipped};

static bool sample_skips;
static sw_status moody_sample(sw_estimate *e) {
    e->ids = NULL;
    e->count = e->n;
    e->scalar[0]++;
    return sample_skips ? SW_SKIPPED : SW_OK;
}
static const char *const moody_scalars[] = {"samples", NULL};
static const sw_estimator moody = {.size = sizeof(sw_estimator),
                                   .name = "moody",
                                   .scalars = moody_scalars,
                                   .sample = moody_sample,
                                   .estimate = plain_estimate};

static sw_status proposing_estimate(sw_estimate *e, const void *x, void *g) {
    e->lr = 0.25;
    return plain_estimate(e, x, g);
}
static const sw_estimator proposing = {
    .size = sizeof(sw_estimator), .name = "proposing", .estimate = proposing_estimate};
static sw_status inner_estimate(sw_estimate *e, const void *x, void *g) {
    return sw_estimate_inner(e, x, g);
}
static const sw_option of_options[] = {{.name = "of", .kind = SW_OPTION_SPEC}, {0}};
static const sw_estimator around = {.size = sizeof(sw_estimator),
                                    .name = "around",
                                    .options = of_options,
                                    .flags = SW_ESTIMATOR_WRAPPER,
                                    .estimate = inner_estimate};

static double started_with[2];
static sw_status patient_start(sw_estimate *e) {
    started_with[0] = e->option[1];
    started_with[1] = e->option[2];
    return SW_OK;
}
static const sw_option patient_options[] = {
    {.name = "batch", .kind = SW_OPTION_INTEGER, .value = 4, .low = 1, .high = 100},
    {.name = "wait", .kind = SW_OPTION_DURATION, .value = 7},
    {.name = "rest", .kind = SW_OPTION_DURATION, .value = 9},
    {0}};
static int64_t one_each(const sw_slot_sizes *sizes) {
    return sizes->n;
}
static const sw_slot patient_slots[] = {{.name = "when", .type = SW_SLOT_I32, .count = one_each},
                                        {.name = "seen", .type = SW_SLOT_U8, .count = one_each},
                                        {.name = "exact", .type = SW_SLOT_F64},
                                        {.name = "single", .type = SW_SLOT_F32},
                                        {.name = "plain"},
                                        {0}};
static sw_status patient_commit(sw_estimate *e) {
    for (int64_t i = 0; i < e->count; i++) {
        ((int32_t *)e->slot[0])[e->ids[i]] = (int32_t)e->step;
        ((uint8_t *)e->slot[1])[e->ids[i]] = 255;
    }
    for (int64_t i = 0; i < e->dim; i++)
        ((double *)e->slot[2])[i] += 0.1;
    return SW_OK;
}
static const sw_estimator patient = {.size = sizeof(sw_estimator),
                                     .name = "patient",
                                     .options = patient_options,
                                     .slots = patient_slots,
                                     .start = patient_start,
                                     .estimate = plain_estimate,
                                     .commit = patient_commit};

static void no_kernel(void *args, int64_t begin, int64_t end, double *sums) {
    (void)args, (void)begin, (void)end, (void)sums;
}
#define ALL_LEVELS(kernel)          \
    {                               \
        {kernel, kernel, kernel}, { \
            kernel, kernel, kernel  \
        }                           \
    }
static const sw_kernels no_kernels = ALL_LEVELS(no_kernel);
static const sw_option counted_options[] = {
    {.name = "lr", .value = 1, .low = 0, .high = 10},
    {.name = "count", .kind = SW_OPTION_INTEGER, .value = 3, .low = 0, .high = 9},
    {0}};
static const sw_rule counted = {
    .size = sizeof(sw_rule), .name = "counted", .options = counted_options, .update = &no_kernels};

/* A matrix rows × rows for each parameter, a number of bytes, and one slot in its shape. */
static int64_t rows_squared(const sw_slot_sizes *sizes) {
    int64_t rows = sizes->param->rank ? sizes->param->shape[0] : 1;
    assert_int_equal(sizes->dim, sizes->param->count);
    return rows * rows;
}
static int64_t seven(const sw_slot_sizes *sizes) {
    (void)sizes;
    return 7;
}
static const sw_slot shaped_slots[] = {{.name = "left", .count = rows_squared},
                                       {.name = "note", .type = SW_SLOT_U8, .count = seven},
                                       {.name = "sum"},
                                       {0}};
static bool shaped_zero = true;
static sw_status shaped_tensor(sw_step *s) {
    int64_t rows = s->param->rank ? s->param->shape[0] : 1;
    for (int64_t i = 0; i < rows * rows; i++) {
        double was = vec_get(s->type, s->slot[0], i);
        if (s->step == 1)
            shaped_zero &= was == 0;
        vec_set(s->type, s->slot[0], i, was + (double)(100 * (s->param->index + 1) + i));
    }
    for (int i = 0; i < 7; i++) {
        uint8_t *note = s->slot[1];
        if (s->step == 1)
            shaped_zero &= note[i] == 0;
        note[i] = (uint8_t)(note[i] + s->param->index + 1);
    }
    for (int64_t i = 0; i < s->count; i++) {
        if (s->step == 1)
            shaped_zero &= vec_get(s->type, s->slot[2], i) == 0;
        double sum = vec_get(s->type, s->slot[2], i) + vec_get(s->type, s->g, i);
        vec_set(s->type, s->slot[2], i, sum);
    }
    return SW_OK;
}
static const sw_option lr_options[] = {{.name = "lr", .value = 1, .low = 0, .high = 10}, {0}};
static const sw_rule shaped = {.size = sizeof(sw_rule),
                               .name = "shaped",
                               .options = lr_options,
                               .slots = shaped_slots,
                               .unit = SW_UNIT_TENSOR,
                               .tensor = shaped_tensor,
                               .flags = SW_RULE_LINEAR};

static double least_total, last_total;
static double watching_factor(const double *option, double t, double total) {
    (void)option, (void)t;
    least_total = fmin(least_total, total);
    last_total = total;
    return 1;
}
static const sw_schedule watching = {.size = sizeof(sw_schedule), .name = "watching", .factor = watching_factor};

static int register_all(void **state) {
    (void)state;
    static const sw_estimator *const estimators[] = {&hundredfold, &late_skip, &moody, &proposing, &around, &patient};
    for (size_t i = 0; i < sizeof estimators / sizeof *estimators; i++)
        if (sw_estimator_register(estimators[i]) != SW_OK)
            return -1;
    return sw_line_search_register(&eager) != SW_OK || sw_rule_register(&counted) != SW_OK ||
           sw_rule_register(&shaped) != SW_OK || sw_schedule_register(&watching) != SW_OK;
}

/* ---- A step between forward and backward ---- */

static void test_backward_after_a_step(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_tape *tape = sw_tape_new();
    sw_optim *o = sw_optim_new(p, "sgd lr=0.5");
    double c[SMALL_DIM];
    for (int i = 0; i < SMALL_DIM; i++)
        c[i] = 1;
    sw_tensor old = inner_loss(tape, p, c);
    assert_ok(sw_backward(inner_loss(tape, p, c)));
    assert_ok(sw_optim_step(o));
    assert_int_equal(sw_backward(old), SW_ERR_STATE);
    assert_non_null(strstr(sw_error(), "backward: parameter "));
    assert_non_null(strstr(sw_error(), " has moved since mul read it; reset the tape and record"));
    sw_clear_error();
    assert_int_equal(sw_optim_step(o), SW_ERR_STATE); /* half a gradient is none */
    expect_error(SW_ERR_STATE, "step: there is no gradient; run sw_backward first");
    double before = vec_get(SW_F64, sw_params_x(p), 0);
    assert_ok(sw_backward(inner_loss(tape, p, c))); /* on the same tape, recorded anew */
    assert_ok(sw_optim_step(o));
    assert_true(vec_get(SW_F64, sw_params_x(p), 0) == before - 0.5);
    sw_optim_free(o);
    sw_tape_free(tape);
    sw_params_free(p);
}

/* ---- Line searches ---- */

static void test_clip_with_a_search(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    refused(p, (sw_optim_options){.rule = "sgd", .schedule = "eager", .clip = 1},
            "line search eager: its slopes are of the gradient as it is, not clipped");
    sw_params_free(p);
}

static void test_search_at_a_stationary_point(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        sw_params *p = small_params(both_types[t]);
        table f;
        table_init(&f, p, 1, 3, 0);
        const sw_optim_options how = {.size = sizeof how, .rule = "sgd lr=0.1", .schedule = "eager"};
        sw_optim *o = new_optim(p, &how);
        char before[SMALL_DIM * sizeof(double)];
        memcpy(before, sw_params_x(p), params_bytes(p));
        searched = 0;
        double value;
        assert_ok(sw_optim_minimize(o, &f.f, &value));
        assert_true(value == 3);
        assert_int_equal(searched, 0);
        assert_int_equal(sw_optim_steps_taken(o), 1);
        assert_memory_equal(before, sw_params_x(p), params_bytes(p));
        for (int i = 0; i < SMALL_DIM; i++)
            f.g[i] = 1;
        assert_ok(sw_optim_minimize(o, &f.f, &value)); /* and on it goes from a slope */
        assert_int_equal(searched, 1);
        expect_no_error();
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* ---- Gradients that are too large, too small, or frozen ---- */

static void test_combined_gradient_is_checked(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F32);
    table f;
    table_init(&f, p, 1, 1, 0.5);
    f.g[11] = 1e37; /* fine, until it is taken a hundred times */
    const sw_optim_options how = {.size = sizeof how, .estimator = "hundredfold"};
    sw_optim *o = new_optim(p, &how);
    float before[SMALL_DIM];
    memcpy(before, sw_params_x(p), sizeof before);
    assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_SKIPPED);
    assert_memory_equal(before, sw_params_x(p), sizeof before);
    assert_int_equal(sw_optim_steps_skipped(o), 1);
    assert_int_equal(sw_optim_steps_taken(o), 0);
    f.g[11] = 1;
    assert_ok(sw_optim_minimize(o, &f.f, NULL));
    assert_int_equal(sw_optim_steps_taken(o), 1);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_norm_of_tiny_gradients(void **state) {
    (void)state;
    static const struct {
        sw_dtype type;
        double size;
    } cases[] = {{SW_F32, 1e-24}, {SW_F32, 1e-19},  {SW_F32, 1e-14},  {SW_F32, 1e-36},
                 {SW_F64, 1e-24}, {SW_F64, 1e-150}, {SW_F64, 1e-170}, {SW_F64, 1e-290}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        sw_params *p = small_params(cases[k].type);
        sw_optim *o = sw_optim_new(p, "sgd");
        double c[SMALL_DIM], sum = 0;
        for (int i = 0; i < SMALL_DIM; i++) {
            c[i] = cases[k].size * (1 + 0.1 * i);
            sum += (1 + 0.1 * i) * (1 + 0.1 * i);
        }
        assert_ok(step_with(o, p, c));
        double expected = cases[k].size * sqrt(sum), norm = sw_optim_gradient_norm(o);
        if (!(fabs(norm - expected) <= 1e-6 * expected))
            fail_msg("%g, %g expected", norm, expected);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

static void test_frozen_without_a_tape(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++)
        for (int clipped = 0; clipped < 2; clipped++) {
            sw_params *p = small_params(both_types[t]);
            table f;
            table_init(&f, p, 1, 1, 1);
            sw_param *frozen = sw_params_find(p, "a"), *free_one = sw_params_find(p, "b");
            sw_param_freeze(frozen, true);
            for (int64_t i = 0; i < frozen->count; i++)
                f.g[frozen->offset + i] = 1000;
            const sw_optim_options how = {.size = sizeof how, .rule = "sgd lr=1", .clip = clipped ? 1 : 0};
            sw_optim *o = new_optim(p, &how);
            double was[SMALL_DIM];
            for (int i = 0; i < SMALL_DIM; i++)
                was[i] = vec_get(both_types[t], sw_params_x(p), i);
            assert_ok(sw_optim_minimize(o, &f.f, NULL));
            double norm = sqrt(6), step = clipped ? 1 / norm : 1;
            assert_true(fabs(sw_optim_gradient_norm(o) - norm) <= 1e-6 * norm);
            for (int64_t i = 0; i < frozen->count; i++)
                assert_true(vec_get(both_types[t], sw_params_x(p), frozen->offset + i) == was[frozen->offset + i]);
            for (int64_t i = 0; i < free_one->count; i++) {
                int64_t k = free_one->offset + i;
                assert_true(fabs(vec_get(both_types[t], sw_params_x(p), k) - (was[k] - step)) <= 1e-6);
            }
            sw_optim_free(o);
            sw_params_free(p);
        }
}

static void test_value_of_a_skipped_step(void **state) {
    (void)state;
    static const double bad[] = {INFINITY, -INFINITY, (double)NAN};
    sw_params *p = small_params(SW_F32);
    sw_optim *o = sw_optim_new(p, "sgd");
    table f;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double value = 7;
        if (i == 0)
            table_init(&f, p, 1, 0, (double)NAN);
        f.value = bad[i];
        assert_int_equal(sw_optim_minimize(o, &f.f, &value), SW_SKIPPED);
        assert_true(isnan(bad[i]) ? isnan(value) : value == bad[i]);
    }
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- Estimators ---- */

static void test_commit_cannot_skip(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    table f;
    table_init(&f, p, 1, 1, 1);
    const sw_optim_options how = {.size = sizeof how, .estimator = "late_skip"};
    sw_optim *o = new_optim(p, &how);
    assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "estimator late_skip: commit cannot skip a step that was taken");
    assert_int_equal(sw_optim_steps_skipped(o), 0);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_sample_may_skip(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    table f;
    table_init(&f, p, 3, 1, 1);
    const sw_optim_options how = {.size = sizeof how, .estimator = "moody"};
    sw_optim *o = new_optim(p, &how);
    double before[SMALL_DIM], value = 7;
    memcpy(before, sw_params_x(p), sizeof before);
    sample_skips = true;
    assert_int_equal(sw_optim_minimize(o, &f.f, &value), SW_SKIPPED);
    assert_true(isnan(value));
    assert_int_equal(sw_optim_steps_skipped(o), 1);
    assert_int_equal(sw_optim_steps_taken(o), 0);
    assert_true(sw_optim_scalar(o, -1, "samples") == 0); /* undone */
    assert_memory_equal(before, sw_params_x(p), sizeof before);
    sample_skips = false;
    assert_ok(sw_optim_minimize(o, &f.f, &value));
    assert_true(sw_optim_scalar(o, -1, "samples") == 1);
    assert_int_equal(sw_optim_steps_taken(o), 1);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_auto_through_a_wrapper(void **state) {
    (void)state;
    static const char *const estimators[] = {"proposing", "around of=proposing", "around of=around of=proposing"};
    for (size_t i = 0; i < sizeof estimators / sizeof *estimators; i++) {
        sw_params *p = small_params(SW_F64);
        table f;
        table_init(&f, p, 1, 1, 1);
        const sw_optim_options how = {.size = sizeof how, .estimator = estimators[i], .rule = "sgd lr=auto"};
        sw_optim *o = new_optim(p, &how);
        double before = vec_get(SW_F64, sw_params_x(p), 0);
        assert_ok(sw_optim_minimize(o, &f.f, NULL));
        assert_true(vec_get(SW_F64, sw_params_x(p), 0) == before - 0.25);
        assert_true(sw_optim_option(o, 0, "lr") == 0.25);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

static void start_sees(const char *estimator, int64_t steps, double wait, double rest) {
    sw_params *p = small_params(SW_F32);
    table f;
    table_init(&f, p, 10, 1, 1); /* 3 steps an epoch */
    const sw_optim_options how = {.size = sizeof how, .estimator = estimator, .total_steps = steps};
    sw_optim *o = new_optim(p, &how);
    started_with[0] = started_with[1] = -1;
    assert_ok(sw_optim_bind(o, &f.f));
    const double expected[2] = {wait, rest};
    for (int i = 0; i < 2; i++)
        if (!(isnan(expected[i]) ? isnan(started_with[i]) : started_with[i] == expected[i]))
            fail_msg("%s, %d steps: %g, %g expected", estimator, (int)steps, started_with[i], expected[i]);
    expect_no_error();
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_durations_at_the_start(void **state) {
    (void)state;
    start_sees("patient", 0, 7, 9);
    start_sees("patient wait=2ep rest=10%", 50, 6, 5);
    start_sees("patient wait=2.5ep rest=10%", 0, 7.5, (double)NAN);
    start_sees("patient batch=10 wait=2ep rest=100%", 8, 2, 8);
    start_sees("around of=patient wait=2ep rest=50%", 8, 6, 4);
}

static void test_typed_slots(void **state) {
    (void)state;
    enum { N = 10 };
    for (int t = 0; t < 2; t++) {
        sw_params *p = small_params(both_types[t]);
        table f;
        table_init(&f, p, N, 1, 1);
        const sw_optim_options how = {.size = sizeof how, .estimator = "patient"};
        sw_optim *o = new_optim(p, &how);
        assert_ok(sw_optim_bind(o, &f.f));
        static const struct {
            const char *name;
            sw_dtype type[2];
            int64_t count;
        } expected[] = {{"when", {SW_I32, SW_I32}, N},
                        {"seen", {SW_U8, SW_U8}, N},
                        {"exact", {SW_F64, SW_F64}, SMALL_DIM},
                        {"single", {SW_F32, SW_F32}, SMALL_DIM},
                        {"plain", {SW_F32, SW_F64}, SMALL_DIM}};
        size_t bytes = 0;
        for (size_t k = 0; k < sizeof expected / sizeof *expected; k++) {
            sw_array a = sw_optim_slot(o, expected[k].name);
            assert_non_null(a.data);
            assert_int_equal(a.type, expected[k].type[t]);
            assert_int_equal(a.rank, 1);
            assert_int_equal(a.shape[0], expected[k].count);
            for (int64_t i = 0; i < a.shape[0]; i++)
                assert_true(test_get(&a, i) == 0);
            bytes += test_bytes(&a);
        }
        assert_int_equal(sw_optim_bytes(o).estimator, bytes);
        for (int i = 0; i < 3; i++) /* an epoch: every sample is seen once */
            assert_ok(sw_optim_minimize(o, &f.f, NULL));
        sw_array when = sw_optim_slot(o, "when"), seen = sw_optim_slot(o, "seen"), exact = sw_optim_slot(o, "exact");
        int times[4] = {0};
        for (int i = 0; i < N; i++) {
            assert_true(test_get(&seen, i) == 255);
            assert_in_range((int)test_get(&when, i), 1, 3);
            times[(int)test_get(&when, i)]++;
        }
        assert_true(times[1] == 4 && times[2] == 4 && times[3] == 2);
        assert_true(test_get(&exact, SMALL_DIM - 1) == 0.1 + 0.1 + 0.1); /* no f32 can hold it */
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* ---- Slots of rules ---- */

static void test_slots_of_their_own_size(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        sw_params *p = small_params(both_types[t]);
        sw_optim *o = sw_optim_new(p, "shaped");
        assert_non_null(o);
        double c[SMALL_DIM];
        for (int i = 0; i < SMALL_DIM; i++)
            c[i] = i;
        enum { STEPS = 3 };
        shaped_zero = true;
        for (int i = 0; i < STEPS; i++)
            assert_ok(step_with(o, p, c));
        assert_true(shaped_zero);
        static const int64_t rows[3] = {3, 5, 1};
        size_t bytes = 0;
        for (int k = 0; k < 3; k++) {
            const sw_param *param = sw_params_at(p, k);
            sw_array left = sw_optim_param_slot(o, param, "left"), note = sw_optim_param_slot(o, param, "note"),
                     sum = sw_optim_param_slot(o, param, "sum");
            assert_int_equal(left.type, both_types[t]);
            assert_int_equal(left.rank, 1);
            assert_int_equal(left.shape[0], rows[k] * rows[k]);
            for (int64_t i = 0; i < left.shape[0]; i++)
                assert_true(test_get(&left, i) == (double)(STEPS * (100 * (k + 1) + i)));
            assert_int_equal(note.type, SW_U8);
            assert_int_equal(note.shape[0], 7);
            for (int64_t i = 0; i < 7; i++)
                assert_true(test_get(&note, i) == STEPS * (k + 1));
            assert_int_equal(sum.rank, param->rank); /* of the parameter's own shape */
            for (int64_t i = 0; i < param->count; i++)
                assert_true(test_get(&sum, i) == STEPS * c[param->offset + i]);
            bytes += test_bytes(&left) + test_bytes(&note) + test_bytes(&sum);
        }
        assert_int_equal(sw_optim_bytes(o).rule, bytes);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* A search that gives up puts them back, all of them. */
static sw_status giving_up(sw_search *search, double *alpha) {
    (void)search, (void)alpha;
    return SW_SKIPPED;
}
static const sw_line_search quitter = {.size = sizeof(sw_line_search), .name = "quitter", .search = giving_up};

static sw_status descending_tensor(sw_step *s) {
    for (int64_t i = 0; i < s->count; i++) {
        double step = s->option[0] * vec_get(s->type, s->g, i);
        vec_set(s->type, s->x, i, vec_get(s->type, s->x, i) - step);
    }
    return shaped_tensor(s);
}
static const sw_rule descending = {.size = sizeof(sw_rule),
                                   .name = "descending",
                                   .options = lr_options,
                                   .slots = shaped_slots,
                                   .unit = SW_UNIT_TENSOR,
                                   .tensor = descending_tensor,
                                   .flags = SW_RULE_LINEAR};

static void test_search_puts_slots_back(void **state) {
    (void)state;
    assert_ok(sw_line_search_register(&quitter));
    assert_ok(sw_rule_register(&descending));
    sw_params *p = small_params(SW_F64);
    table f;
    table_init(&f, p, 1, 1, 1);
    const sw_optim_options how = {.size = sizeof how, .rule = "descending", .schedule = "quitter"};
    sw_optim *o = new_optim(p, &how);
    assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_SKIPPED);
    static const char *const slots[] = {"left", "note", "sum"};
    for (int k = 0; k < 3; k++)
        for (int s = 0; s < 3; s++) {
            sw_array a = sw_optim_param_slot(o, sw_params_at(p, k), slots[s]);
            for (int64_t i = 0; i < sw_array_count(&a); i++)
                assert_true(test_get(&a, i) == 0);
        }
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_sizes_need_tensors(void **state) {
    (void)state;
    static const sw_slot sized[] = {{.name = "left", .count = seven}, {0}},
                         odd[] = {{.name = "z", .type = SW_SLOT_F64, .start = SW_START_X}, {0}};
    static const sw_rule by_element = {.size = sizeof(sw_rule),
                                       .name = "by_element",
                                       .slots = sized,
                                       .update = &no_kernels},
                         odd_start = {
                             .size = sizeof(sw_rule), .name = "odd_start", .slots = odd, .update = &no_kernels};
    assert_int_equal(sw_rule_register(&by_element), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: slot left of rule by_element: a size of its own needs unit TENSOR");
    assert_int_equal(sw_rule_register(&odd_start), SW_ERR_ARGUMENT);
    assert_non_null(strstr(sw_error(), "register: slot z of rule odd_start"));
    sw_clear_error();
    assert_null(sw_rule_find("by_element"));
    assert_null(sw_rule_find("odd_start"));
}

/* A copy of x fits a slot of x's type and size only. Whoever asks for another is refused, when the
 * method is registered or at the latest when memory is made, and nothing is written past an end. */
static sw_status leave_x(sw_step *s) {
    (void)s;
    return SW_OK;
}
static int64_t two(const sw_slot_sizes *sizes) {
    (void)sizes;
    return 2;
}
/* A rule need not have an option lr where no schedule is asked for. */
static const sw_rule still = {.size = sizeof(sw_rule), .name = "still", .unit = SW_UNIT_TENSOR, .tensor = leave_x};
static void test_rule_without_lr(void **state) {
    (void)state;
    assert_int_equal(sw_rule_register(&still), SW_OK);
    sw_params *p = small_params(SW_F64);
    sw_optim *o = sw_optim_new(p, "still");
    assert_non_null(o);
    const sw_optim_options how = {.size = sizeof how, .rule = "still", .schedule = "cosine"};
    assert_null(sw_optim_new_with_options(p, &how));
    expect_error(SW_ERR_ARGUMENT, "schedule: no rule here has an option lr");
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_copies_of_x_that_do_not_fit(void **state) {
    (void)state;
    static const sw_slot few[] = {{.name = "z", .start = SW_START_X, .count = two}, {0}},
                         bytes[] = {{.name = "z", .start = SW_START_X, .type = SW_SLOT_U8}, {0}},
                         wide[] = {{.name = "z", .start = SW_START_X, .type = SW_SLOT_F64}, {0}};
    static const sw_slot *const slots[] = {few, bytes, wide};
    static sw_rule rule[3];
    static sw_estimator estimator[3];
    static sw_average average[3];
    static const char *const names[] = {"copy_few", "copy_bytes", "copy_wide"};
    for (int i = 0; i < 3; i++) {
        rule[i] = (sw_rule){.size = sizeof(sw_rule),
                            .name = names[i],
                            .options = lr_options,
                            .slots = slots[i],
                            .unit = SW_UNIT_TENSOR,
                            .tensor = leave_x};
        estimator[i] = (sw_estimator){
            .size = sizeof(sw_estimator), .name = names[i], .slots = slots[i], .estimate = plain_estimate};
        average[i] = (sw_average){.size = sizeof(sw_average), .name = names[i], .slots = slots[i]};
        for (int kind = 0; kind < 3; kind++) {
            sw_status status = kind == 0   ? sw_rule_register(&rule[i])
                               : kind == 1 ? sw_estimator_register(&estimator[i])
                                           : sw_average_register(&average[i]);
            sw_params *p = small_params(SW_F32);
            table f;
            table_init(&f, p, 1, 1, 1);
            const sw_optim_options how = {.size = sizeof how,
                                          .rule = kind == 0 ? names[i] : NULL,
                                          .estimator = kind == 1 ? names[i] : NULL,
                                          .average = kind == 2 ? names[i] : NULL};
            sw_optim *o = status == SW_OK ? sw_optim_new_with_options(p, &how) : NULL;
            if (o && sw_optim_minimize(o, &f.f, NULL) == SW_OK)
                fail_msg("%s of kind %d was taken", names[i], kind);
            assert_non_null(sw_error());
            sw_clear_error();
            sw_optim_free(o);
            sw_params_free(p);
        }
    }
}

/* ---- Registering from two threads ---- */

enum { THREADS = 4, NAMES = 8 };
static sw_rule contenders[THREADS][NAMES];
static pthread_barrier_t barrier;

static void *contend(void *args) {
    const sw_rule *mine = args;
    int won = 0;
    for (int i = 0; i < NAMES; i++) {
        pthread_barrier_wait(&barrier);
        won |= (sw_rule_register(&mine[i]) == SW_OK) << i;
        sw_clear_error();
    }
    return (void *)(intptr_t)won;
}

static void test_a_name_is_taken_once(void **state) {
    (void)state;
    static char names[NAMES][32];
    pthread_t threads[THREADS];
    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
    for (int i = 0; i < NAMES; i++)
        snprintf(names[i], sizeof names[i], "contended%d", i);
    for (int t = 0; t < THREADS; t++) {
        for (int i = 0; i < NAMES; i++)
            contenders[t][i] = (sw_rule){.size = sizeof(sw_rule), .name = names[i], .update = &no_kernels};
        assert_int_equal(pthread_create(&threads[t], NULL, contend, contenders[t]), 0);
    }
    int won[THREADS];
    for (int t = 0; t < THREADS; t++) {
        void *result;
        pthread_join(threads[t], &result);
        won[t] = (int)(intptr_t)result;
    }
    for (int i = 0; i < NAMES; i++) {
        int winners = 0;
        for (int t = 0; t < THREADS; t++) {
            winners += won[t] >> i & 1;
            if (won[t] >> i & 1)
                assert_ptr_equal(sw_rule_find(names[i]), &contenders[t][i]);
        }
        assert_int_equal(winners, 1);
    }
    pthread_barrier_destroy(&barrier);
}

/* ---- Options and schedules ---- */

static void test_size_of_the_options(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F32);
    static const size_t bad[] = {0, 1, sizeof(sw_optim_options) + 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const sw_optim_options how = {.size = bad[i], .rule = "sgd"};
        char text[128];
        snprintf(text, sizeof text, "optimizer: options.size is %zu; sizeof(sw_optim_options) is %zu", bad[i],
                 sizeof how);
        assert_null(sw_optim_new_with_options(p, &how));
        expect_error(SW_ERR_ARGUMENT, text);
    }
    /* What an older program does not know of is zero, whatever lies behind its struct. */
    const sw_optim_options older = {
        .size = offsetof(sw_optim_options, schedule), .rule = "sgd lr=0.5", .schedule = "no such schedule", .clip = -1};
    sw_optim *o = new_optim(p, &older);
    assert_true(sw_optim_option(o, 0, "lr") == 0.5);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_schedules_scale_real_numbers(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    refused(p, (sw_optim_options){.rule = "counted", .schedule = "constant on=count"},
            "schedule: count of rule counted is no real number to be scaled");
    refused(p, (sw_optim_options){.rule = "sgd", .schedule = "constant on=nesterov"},
            "schedule: nesterov of rule sgd is no real number to be scaled");
    sw_params_free(p);
}

static void test_total_is_never_negative(void **state) {
    (void)state;
    static const struct {
        const char *schedule;
        int64_t steps;
        double last; /* the total that it sees in the end */
    } cases[] = {{"watching", 30, 30},          {"watching", 0, 0},           {"watching warmup=10", 30, 20},
                 {"watching warmup=40", 30, 0}, {"watching warmup=10", 0, 0}, {"watching warmup=30", 30, 0}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        sw_params *p = small_params(SW_F64);
        const sw_optim_options how = {.size = sizeof how, .schedule = cases[k].schedule, .total_steps = cases[k].steps};
        sw_optim *o = new_optim(p, &how);
        double c[SMALL_DIM] = {1};
        least_total = 0;
        last_total = -1;
        for (int i = 0; i < 50; i++)
            assert_ok(step_with(o, p, c));
        if (least_total < 0 || last_total != cases[k].last)
            fail_msg("%s of %d: %g, at least %g", cases[k].schedule, (int)cases[k].steps, last_total, least_total);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* ---- Averages ---- */

static void test_average_of_weights_set_later(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        sw_params *p = small_params(both_types[t]);
        const sw_optim_options how = {.size = sizeof how, .rule = "sgd lr=1", .average = "ema decay=0.75"};
        sw_optim *o = new_optim(p, &how);
        double x[SMALL_DIM], c[SMALL_DIM];
        for (int i = 0; i < SMALL_DIM; i++) { /* loaded from a file, say */
            x[i] = 64 + i;
            c[i] = 4;
        }
        params_set(p, x);
        assert_ok(step_with(o, p, c));
        for (int i = 0; i < SMALL_DIM; i++) /* e = x0 + (1 - 0.75)(x1 - x0): exact */
            assert_true(vec_get(both_types[t], sw_optim_point(o), i) == x[i] - 1);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* measure goes over stretches of many parameters, where a part of a slot with a size of its own is not to be found:
 * it got a wild pointer. */
static int64_t seen_type;
static int64_t sized_by_type(const sw_slot_sizes *sizes) {
    seen_type = sizes->type;
    return 2;
}
static const sw_slot typed_slots[] = {{.name = "state", .count = sized_by_type}, {0}};
static sw_status typed_tensor(sw_step *s) {
    (void)s;
    return SW_OK;
}
static void typed_measure(void *args, int64_t begin, int64_t end, double *sums) {
    (void)args, (void)begin, (void)end, (void)sums;
}

static void test_sized_slots_outside_tensor(void **state) {
    (void)state;
    static const sw_kernels kernels = {{typed_measure, typed_measure, typed_measure},
                                       {typed_measure, typed_measure, typed_measure}};
    static const sw_rule typed = {.size = sizeof(sw_rule),
                                  .name = "typed",
                                  .unit = SW_UNIT_TENSOR,
                                  .tensor = typed_tensor,
                                  .slots = typed_slots},
                         measured = {.size = sizeof(sw_rule),
                                     .name = "measured",
                                     .unit = SW_UNIT_TENSOR,
                                     .tensor = typed_tensor,
                                     .slots = typed_slots,
                                     .measure = &kernels,
                                     .sums = 1};
    assert_int_equal(sw_rule_register(&measured), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: slot state of rule measured: its count gives it a size of its own, which "
                                  "measure and point cannot use: only tensor sees one parameter at a time");
    assert_ok(sw_rule_register(&typed));
    for (int t = 0; t < 2; t++) { /* the element type is among what the size may depend on */
        sw_params *p = small_params(both_types[t]);
        seen_type = -1;
        sw_optim_free(sw_optim_new(p, "typed"));
        assert_int_equal(seen_type, both_types[t]);
        sw_params_free(p);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_backward_after_a_step),
        TEST(test_clip_with_a_search),
        TEST(test_search_at_a_stationary_point),
        TEST(test_combined_gradient_is_checked),
        TEST(test_sized_slots_outside_tensor),
        TEST(test_norm_of_tiny_gradients),
        TEST(test_frozen_without_a_tape),
        TEST(test_value_of_a_skipped_step),
        TEST(test_commit_cannot_skip),
        TEST(test_sample_may_skip),
        TEST(test_auto_through_a_wrapper),
        TEST(test_durations_at_the_start),
        TEST(test_typed_slots),
        TEST(test_slots_of_their_own_size),
        TEST(test_search_puts_slots_back),
        TEST(test_sizes_need_tensors),
        TEST(test_a_name_is_taken_once),
        TEST(test_size_of_the_options),
        TEST(test_schedules_scale_real_numbers),
        TEST(test_total_is_never_negative),
        TEST(test_average_of_weights_set_later),
        TEST(test_rule_without_lr),
        TEST(test_copies_of_x_that_do_not_fit), /* last: where it is not mended it spoils memory */
    };
    return cmocka_run_group_tests_name("optim_regressions", tests, register_all, NULL);
}
