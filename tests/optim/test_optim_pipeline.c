/* The pipeline of a step: its order, what a skipped step leaves alone, clipping, frozen and tied
 * parameters, groups, the two ways to take a step, memory, threads. */
#include "test_optim_shared.h"

#include <swale/nn.h>

#include <pthread.h>

static const double some[SMALL_DIM] = {1, -2, 0.5, 3, -0.25, 0.125, 2, -1, 1.5, 0.75, -3, 1, 0.5, -0.5, 0.25, -1, 2, 4};

/* ---- A method of each kind that writes down when it is called ---- */

static char calls[2000];
static bool skip_begin, skip_decide;
static double seen_gradient, seen_step, decided;

static void called(const char *name) {
    size_t used = strlen(calls);
    snprintf(calls + used, sizeof calls - used, "%s%s", used ? " " : "", name);
}

static sw_status spy_sample(sw_estimate *e) {
    static const int64_t ids[2] = {0, 1};
    called("sample");
    e->scalar[0]++;
    e->ids = ids;
    e->count = 2;
    return SW_OK;
}

static sw_status spy_estimate(sw_estimate *e, const void *x, void *g) {
    called("estimate");
    return sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g);
}

static sw_status spy_commit(sw_estimate *e) {
    called("commit");
    vec_set(e->type, e->slot[0], 0, vec_get(e->type, e->slot[0], 0) + 1);
    return SW_OK;
}

static const sw_slot table_slots[] = {{.name = "table"}, {0}};
static const char *const samples_scalar[] = {"samples", NULL};
static const sw_estimator spy = {.size = sizeof(sw_estimator),
                                 .name = "spy",
                                 .slots = table_slots,
                                 .scalars = samples_scalar,
                                 .sample = spy_sample,
                                 .estimate = spy_estimate,
                                 .commit = spy_commit};

static sw_status outer_sample(sw_estimate *e) {
    called("outer-sample");
    e->ids = e->inner->ids;
    e->count = e->inner->count;
    e->draw = e->inner->draw;
    return SW_OK;
}

static sw_status outer_estimate(sw_estimate *e, const void *x, void *g) {
    called("outer-estimate");
    return sw_estimate_inner(e, x, g);
}

static sw_status outer_commit(sw_estimate *e) {
    (void)e;
    called("outer-commit");
    return SW_OK;
}

static const sw_option of_options[] = {{.name = "of", .kind = SW_OPTION_SPEC}, {0}};
static const sw_estimator outer = {.size = sizeof(sw_estimator),
                                   .name = "outer",
                                   .options = of_options,
                                   .flags = SW_ESTIMATOR_WRAPPER,
                                   .sample = outer_sample,
                                   .estimate = outer_estimate,
                                   .commit = outer_commit};

static sw_status spy_begin(sw_step *s) {
    called("begin");
    s->scalar[0]++;
    seen_gradient = vec_get(s->type, s->g, 0);
    seen_step = (double)s->step;
    return skip_begin ? SW_SKIPPED : SW_OK;
}

static void spy_measure(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    if (begin == 0)
        called("measure");
    for (int64_t i = begin; i < end; i++)
        sums[0] += vec_get(s->type, s->g, i);
    sums[1] += (double)(end - begin);
}

static sw_status spy_decide(sw_step *s, const double *sums) {
    called("decide");
    s->scalar[1] = decided = sums[0];
    return skip_decide ? SW_SKIPPED : SW_OK;
}

static void spy_update(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)sums;
    if (begin == 0)
        called("update");
    for (int64_t i = begin; i < end; i++) {
        vec_set(s->type, s->slot[0], i, vec_get(s->type, s->slot[0], i) + 1);
        vec_set(s->type, s->x, i, vec_get(s->type, s->x, i) - s->option[0] * vec_get(s->type, s->g, i));
    }
}

#define ALL_LEVELS(kernel)          \
    {                               \
        {kernel, kernel, kernel}, { \
            kernel, kernel, kernel  \
        }                           \
    }
static const sw_kernels measure_kernels = ALL_LEVELS(spy_measure), update_kernels = ALL_LEVELS(spy_update);
static const sw_option lr_options[] = {{.name = "lr", .value = 1, .low = 0, .high = 10}, {0}};
static const sw_slot count_slots[] = {{.name = "count"}, {0}};
static const char *const rule_scalars[] = {"begun", "decided", NULL};
static const sw_rule spy_rule = {.size = sizeof(sw_rule),
                                 .name = "spy",
                                 .options = lr_options,
                                 .slots = count_slots,
                                 .scalars = rule_scalars,
                                 .begin = spy_begin,
                                 .measure = &measure_kernels,
                                 .sums = 2,
                                 .decide = spy_decide,
                                 .update = &update_kernels};

static sw_status tensor_update(sw_step *s) {
    called(s->param->name);
    return skip_decide ? SW_SKIPPED : SW_OK;
}
static const sw_rule tensor_rule = {.size = sizeof(sw_rule),
                                    .name = "tensor_spy",
                                    .options = lr_options,
                                    .unit = SW_UNIT_TENSOR,
                                    .tensor = tensor_update};

/* Keeps something where its table, which has one scalar, names none. */
static sw_status careless_begin(sw_step *s) {
    s->scalar[0] = 1;
    s->scalar[1] = 2;
    return SW_OK;
}
static const char *const one_scalar[] = {"one", NULL};
static const sw_rule careless = {.size = sizeof(sw_rule),
                                 .name = "careless",
                                 .options = lr_options,
                                 .scalars = one_scalar,
                                 .begin = careless_begin,
                                 .update = &update_kernels};

static sw_status average_begin(sw_step *s) {
    called("average");
    s->scalar[0]++;
    return SW_OK;
}
static void average_update(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)begin, (void)end, (void)sums;
    if (begin == 0)
        called("average-update");
    assert_null(s->g);
}
static const sw_kernels average_kernels = ALL_LEVELS(average_update);
static const char *const average_scalars[] = {"averaged", NULL};
static const sw_average spy_average = {.size = sizeof(sw_average),
                                       .name = "spy",
                                       .slots = count_slots,
                                       .scalars = average_scalars,
                                       .begin = average_begin,
                                       .update = &average_kernels};

static sw_status loss_hungry(sw_estimate *e, const void *x, void *g) {
    return sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g);
}
static const sw_estimator hungry = {
    .size = sizeof(sw_estimator), .name = "hungry", .flags = SW_ESTIMATOR_OBJECTIVE, .estimate = loss_hungry};

static int register_all(void **state) {
    (void)state;
    return sw_estimator_register(&spy) != SW_OK || sw_estimator_register(&outer) != SW_OK ||
           sw_estimator_register(&hungry) != SW_OK || sw_rule_register(&spy_rule) != SW_OK ||
           sw_rule_register(&tensor_rule) != SW_OK || sw_average_register(&spy_average) != SW_OK;
}

static int fresh(void **state) {
    (void)state;
    sw_clear_error();
    calls[0] = 0;
    skip_begin = skip_decide = false;
    return 0;
}

/* ---- Order ---- */

static void test_order_of_minimize(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    linear_problem f;
    linear_problem_init(&f, p, 4, some);
    sw_optim *o = NEW_OPTIM(p, .rule = "spy", .estimator = "outer of=spy", .average = "spy", .clip = 1);
    double value = 0, x[SMALL_DIM], inner = 0, norm = 0;
    memcpy(x, sw_params_x(p), sizeof x);
    for (int i = 0; i < SMALL_DIM; i++) {
        inner += some[i] * x[i];
        norm += some[i] * some[i];
    }
    assert_ok(sw_optim_minimize(o, &f.f, &value));
    assert_string_equal(calls, "sample outer-sample outer-estimate estimate begin measure decide update "
                               "average average-update commit outer-commit");
    /* ids 0 and 1 of 4: the factor is the mean of 1 and 1.25. The sums have 18 terms up to 4·1.25.
     */
    assert_true(fabs(value - 1.125 * inner) <= 1e-13);
    assert_true(fabs(sw_optim_gradient_norm(o) - 1.125 * sqrt(norm)) <= 1e-13);
    assert_true(fabs(seen_gradient - some[0] / sqrt(norm)) <= 1e-15); /* clipped before the rule */
    assert_true(seen_step == 1);
    assert_int_equal(sw_optim_steps_taken(o), 1);
    assert_true(sw_optim_epoch(o) == 0.5);
    assert_true(sw_optim_scalar(o, 0, "begun") == 1);
    assert_true(sw_optim_scalar(o, -1, "samples") == 1);
    assert_true(sw_optim_scalar(o, -1, "averaged") == 1);
    assert_true(isnan(sw_optim_scalar(o, 0, "samples")));
    assert_true(isnan(sw_optim_scalar(o, 1, "begun")));
    sw_array table = sw_optim_slot(o, "table");
    assert_true(table.rank == 1 && table.shape[0] == SMALL_DIM && test_get(&table, 0) == 1);
    assert_null(sw_optim_slot(o, "tables").data);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_order_of_step(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F32);
    sw_optim *o = NEW_OPTIM(p, .rule = "spy", .average = "spy");
    assert_ok(step_with(o, p, some));
    assert_ok(step_with(o, p, some));
    assert_string_equal(calls, "begin measure decide update average average-update "
                               "begin measure decide update average average-update");
    assert_true(seen_step == 2);
    sw_optim_free(o);
    sw_params_free(p);
}

/* begin of all groups, then the sums of all groups of a rule together, then updates in order. */
static void test_order_of_groups(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "name=a: spy; name=b: tensor_spy; spy lr=2");
    assert_ok(step_with(o, p, some));
    assert_string_equal(calls, "begin begin measure measure decide decide update b update");
    double sum = 0;
    for (int i = 0; i < SMALL_DIM; i++)
        sum += i < 12 || i == 17 ? some[i] : 0;
    assert_true(decided == sum); /* multiples of 1/8: exact */
    assert_true(sw_optim_scalar(o, 0, "decided") == sum && sw_optim_scalar(o, 2, "decided") == sum);
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- Skipped steps ---- */

typedef struct snapshot {
    unsigned char x[SMALL_DIM * 8], m[SMALL_DIM * 8], v[SMALL_DIM * 8], ema[SMALL_DIM * 8];
} snapshot;

static snapshot snapshot_of(sw_optim *o, sw_params *p) {
    snapshot s;
    memset(&s, 0, sizeof s);
    const sw_param *a = sw_params_at(p, 0); /* the slots of one group lie in one block */
    memcpy(s.x, sw_params_x(p), params_bytes(p));
    memcpy(s.m, sw_optim_param_slot(o, a, "m").data, params_bytes(p));
    memcpy(s.v, sw_optim_param_slot(o, a, "v").data, params_bytes(p));
    memcpy(s.ema, sw_optim_slot(o, "ema").data, params_bytes(p));
    return s;
}

/* Two optimizers on the same stream, one of which sees bad gradients in between: the same bits. */
static void skip_of(sw_dtype type, double bad, int at, int before) {
    const sw_optim_options how = {.size = sizeof how,
                                  .rule = "adam lr=0.1",
                                  .average = "ema decay=0.5",
                                  .schedule = "cosine warmup=2",
                                  .total_steps = 10,
                                  .clip = 2};
    sw_params *p = small_params(type), *q = small_params(type);
    sw_optim *o = new_optim(p, &how), *clean = new_optim(q, &how);
    double c[SMALL_DIM];
    for (int i = 0; i < 6; i++) {
        for (int k = 0; k < SMALL_DIM; k++)
            c[k] = some[(k + i) % SMALL_DIM];
        assert_ok(step_with(clean, q, c));
        if (i == before) {
            double broken[SMALL_DIM];
            memcpy(broken, c, sizeof c);
            broken[at] = bad;
            snapshot s = snapshot_of(o, p);
            assert_int_equal(step_with(o, p, broken), SW_SKIPPED);
            expect_no_error();
            snapshot t = snapshot_of(o, p);
            assert_memory_equal(&s, &t, sizeof s);
            assert_int_equal(sw_optim_steps_taken(o), i);
            assert_int_equal(sw_optim_steps_skipped(o), 1);
            assert_true(sw_gradient_is_fresh(sw_params_gradient(p)));
        }
        assert_ok(step_with(o, p, c));
    }
    snapshot s = snapshot_of(o, p), t = snapshot_of(clean, q);
    assert_memory_equal(&s, &t, sizeof s);
    assert_int_equal(sw_optim_steps_taken(o), 6);
    assert_int_equal(sw_optim_steps_skipped(clean), 0);
    sw_optim_free(o);
    sw_optim_free(clean);
    sw_params_free(p);
    sw_params_free(q);
}

static void test_skipped_steps_move_nothing(void **state) {
    (void)state;
    const double bad[3] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (int t = 0; t < 2; t++)
        for (int b = 0; b < 3; b++) {
            skip_of(both_types[t], bad[b], 0, 3);
            skip_of(both_types[t], bad[b], SMALL_DIM - 1, 3);
            skip_of(both_types[t], bad[b], 7, 0); /* before anything was done */
        }
}

/* A vector of one element, and long ones, where lanes, tails and tiles take turns. */
static void bad_in_vector(sw_dtype type, int64_t n, int64_t at, double bad) {
    sw_params *p = sw_params_new(type, 1);
    assert_non_null(sw_params_add(p, "w", 1, &n, NULL));
    assert_ok(sw_params_build(p));
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=1");
    double *c = calloc((size_t)n, sizeof *c);
    assert_non_null(c);
    c[at] = bad;
    assert_int_equal(step_with(o, p, c), SW_SKIPPED);
    for (int64_t i = 0; i < n; i++)
        assert_true(vec_get(type, sw_params_x(p), i) == 0);
    free(c);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_bad_elements_anywhere(void **state) {
    (void)state;
    const double bad[3] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    const int64_t lengths[] = {1, 31, 32, 33, SW_TILE - 1, SW_TILE, SW_TILE + 1, 3 * SW_TILE + 17};
    for (int t = 0; t < 2; t++)
        for (int b = 0; b < 3; b++)
            for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
                bad_in_vector(both_types[t], lengths[l], 0, bad[b]);
                bad_in_vector(both_types[t], lengths[l], lengths[l] - 1, bad[b]);
                bad_in_vector(both_types[t], lengths[l], lengths[l] / 2, bad[b]);
            }
}

/* Squares that overflow are no Inf: the step is taken, and the norm is right. */
static void test_large_gradients_are_not_skipped(void **state) {
    (void)state;
    const double large[2] = {1e30, 1e200}, larger[2] = {(double)3e38f, 1e308};
    for (int t = 0; t < 2; t++) {
        sw_params *p = small_params(both_types[t]);
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0");
        double c[SMALL_DIM] = {0};
        c[3] = (double)(float)3e0 * large[t];
        c[5] = 4 * large[t];
        assert_ok(step_with(o, p, c));
        double norm = sw_optim_gradient_norm(o); /* f32 rounds c by 6e-8 each */
        assert_true(fabs(norm / (5 * large[t]) - 1) <= (t == 0 ? 1e-7 : 1e-15));
        for (int i = 0; i < SMALL_DIM; i++)
            c[i] = larger[t];
        assert_ok(step_with(o, p, c)); /* also where the norm is larger than any number of the type */
        assert_int_equal(sw_optim_steps_skipped(o), 0);
        sw_optim_free(o);
        /* Clipping such a gradient: of norm 1, not zero. */
        params_set(p, (const double[SMALL_DIM]){0});
        o = NEW_OPTIM(p, .rule = "sgd lr=1", .clip = 1);
        assert_ok(step_with(o, p, c));
        for (int i = 0; i < SMALL_DIM; i++) { /* sqrt, division, product: three roundings */
            double each = vec_get(both_types[t], sw_params_x(p), i);
            if (!(fabs(each * sqrt(18) + 1) <= (t == 0 ? 4e-7 : 1e-15)))
                fail_msg("%s: clipped to %g", sw_dtype_name(both_types[t]), each);
        }
        sw_optim_free(o);
        sw_params_free(p);
    }
}

static void test_begin_and_decide_may_skip(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    linear_problem f;
    linear_problem_init(&f, p, 4, some);
    sw_optim *o = NEW_OPTIM(p, .rule = "spy", .estimator = "spy", .average = "spy");
    assert_ok(sw_optim_minimize(o, &f.f, NULL));
    double before[SMALL_DIM];
    memcpy(before, sw_params_x(p), sizeof before);
    for (int k = 0; k < 2; k++) {
        calls[0] = 0;
        skip_begin = k == 0;
        skip_decide = k == 1;
        assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_SKIPPED);
        expect_no_error();
        assert_string_equal(calls, k == 0 ? "sample estimate begin" : "sample estimate begin measure decide");
        assert_memory_equal(before, sw_params_x(p), sizeof before);
        assert_true(sw_optim_scalar(o, 0, "begun") == 1); /* what they wrote is undone */
        assert_true(sw_optim_scalar(o, -1, "samples") == 1);
        assert_int_equal(sw_optim_steps_skipped(o), k + 1);
        assert_int_equal(sw_optim_steps_taken(o), 1);
    }
    skip_begin = skip_decide = false;
    assert_ok(sw_optim_minimize(o, &f.f, NULL));
    assert_true(seen_step == 2);
    sw_optim_free(o);
    o = NEW_OPTIM(p, .rule = "tensor_spy"); /* too late to skip */
    skip_decide = true;
    assert_int_equal(step_with(o, p, some), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "rule tensor_spy: only begin and decide may skip a step");
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- Clipping ---- */

static void test_clip(void **state) {
    (void)state;
    double norm = 0;
    for (int i = 0; i < SMALL_DIM; i++)
        norm += some[i] * some[i];
    norm = sqrt(norm);
    for (int t = 0; t < 2; t++) {
        sw_params *p = small_params(both_types[t]);
        params_set(p, (const double[SMALL_DIM]){0});
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=1", .clip = 0.75);
        assert_ok(step_with(o, p, some));
        double moved = 0;
        for (int i = 0; i < SMALL_DIM; i++) {
            double x = vec_get(both_types[t], sw_params_x(p), i);
            moved += x * x;
            /* one rounding of the factor and one of the product, of numbers up to 0.75 */
            assert_true(fabs(x + 0.75 / norm * some[i]) <= (t == 0 ? 9e-8 : 2e-16));
        }
        assert_true(fabs(sqrt(moved) / 0.75 - 1) <= (t == 0 ? 1.2e-7 : 5e-16));
        assert_true(fabs(sw_optim_gradient_norm(o) / norm - 1) <= (t == 0 ? 2e-6 : 4e-15));
        sw_optim_free(o);
        /* A gradient within the limit goes through bit for bit. */
        params_set(p, (const double[SMALL_DIM]){0});
        o = NEW_OPTIM(p, .rule = "sgd lr=1", .clip = norm * 1.001);
        assert_ok(step_with(o, p, some));
        for (int i = 0; i < SMALL_DIM; i++)
            assert_true(vec_get(both_types[t], sw_params_x(p), i) == -some[i]);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

static void test_gradient_norm(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd");
    assert_true(isnan(sw_optim_gradient_norm(o)));
    assert_true(isnan(sw_optim_gradient_norm(NULL)));
    double c[SMALL_DIM] = {0};
    assert_ok(step_with(o, p, c));
    assert_true(sw_optim_gradient_norm(o) == 0);
    c[2] = 3;
    c[17] = -4;
    assert_ok(step_with(o, p, c));
    assert_true(sw_optim_gradient_norm(o) == 5);
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- Frozen and tied ---- */

static bool part_moved(sw_params *p, const double *before, int index) {
    const sw_param *q = sw_params_at(p, index);
    bool any = false, all = true;
    for (int64_t i = q->offset; i < q->offset + q->count; i++) {
        bool moved = vec_get(sw_params_type(p), sw_params_x(p), i) != before[i];
        any |= moved;
        all &= moved;
    }
    if (any != all)
        fail_msg("parameter %s moved in part", q->name);
    return any;
}

static void frozen_step(sw_optim *o, sw_params *p, bool a, bool b, bool c) {
    double before[SMALL_DIM];
    for (int i = 0; i < SMALL_DIM; i++)
        before[i] = vec_get(sw_params_type(p), sw_params_x(p), i);
    assert_ok(step_with(o, p, some));
    assert_true(part_moved(p, before, 0) == a);
    assert_true(part_moved(p, before, 1) == b);
    assert_true(part_moved(p, before, 2) == c);
}

static void test_frozen(void **state) {
    (void)state;
    /* Momentum and decay would move a parameter without a gradient too. */
    static const char *const rules[] = {"adamw lr=0.1 weight_decay=0.5", "sgd lr=0.1 momentum=0.9 weight_decay=0.1",
                                        "name=b: spy; sgd lr=0.5"};
    for (size_t k = 0; k < sizeof rules / sizeof *rules; k++) {
        calls[0] = 0;
        sw_params *p = small_params(SW_F32);
        for (int i = 0; i < SMALL_DIM; i++) /* decay leaves zeros alone, and must not cancel g */
            vec_set(SW_F32, sw_params_x(p), i, 100 + i);
        sw_param_freeze(sw_params_at(p, 1), true);
        sw_optim *o = NEW_OPTIM(p, .rule = rules[k]);
        frozen_step(o, p, true, false, true);
        sw_array own = sw_optim_param_slot(o, sw_params_at(p, 1), k == 0 ? "m" : k == 1 ? "momentum" : "count");
        for (int i = 0; i < 5; i++)
            assert_true(test_get(&own, i) == 0);
        sw_param_freeze(sw_params_at(p, 0), true);
        frozen_step(o, p, false, false, true);
        sw_param_freeze(sw_params_at(p, 1), false);
        frozen_step(o, p, false, true, true);
        sw_param_freeze(sw_params_at(p, 0), false);
        frozen_step(o, p, true, true, true);
        assert_true(test_get(&own, 0) != 0);
        for (int i = 0; i < 3; i++)
            sw_param_freeze(sw_params_at(p, i), true);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* A parameter that is frozen between sw_backward and sw_optim_step has no part in the step: neither in the norm
 * that clips, nor by a gradient that is not a number. The bits are those of one frozen before sw_backward. */
static void test_frozen_after_backward(void **state) {
    (void)state;
    const double broken[] = {1e6, (double)INFINITY, (double)NAN};
    for (int t = 0; t < 2; t++)
        for (size_t k = 0; k < sizeof broken / sizeof *broken; k++) {
            char x[2][SMALL_DIM * sizeof(double)];
            double norm[2];
            for (int late = 0; late < 2; late++) {
                double c[SMALL_DIM];
                memcpy(c, some, sizeof c);
                c[13] = broken[k]; /* of b */
                sw_params *p = small_params(both_types[t]);
                sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.5 momentum=0.9", .clip = 0.5);
                sw_tape *tape = sw_tape_new();
                sw_param_freeze(sw_params_at(p, 1), !late);
                assert_ok(sw_backward(inner_loss(tape, p, c)));
                sw_param_freeze(sw_params_at(p, 1), true);
                assert_ok(sw_optim_step(o));
                norm[late] = sw_optim_gradient_norm(o);
                memcpy(x[late], sw_params_x(p), params_bytes(p));
                memset(x[late] + params_bytes(p), 0, sizeof x[late] - params_bytes(p));
                sw_tape_free(tape);
                sw_optim_free(o);
                sw_params_free(p);
            }
            assert_memory_equal(x[0], x[1], sizeof x[0]);
            assert_true(norm[0] == norm[1] && norm[0] > 0);
        }
}

static void test_tied(void **state) {
    (void)state;
    sw_params *p = sw_params_new(SW_F64, 1);
    sw_param *w = sw_params_add(p, "w", 1, (const int64_t[]){3}, NULL);
    sw_param *same = sw_params_tie(p, "same", w);
    assert_ok(sw_params_build(p));
    assert_int_equal(sw_params_dim(p), 3);
    /* A selector that would fit the second name alone finds nothing: it has no elements of its own.
     */
    assert_null(sw_optim_new(p, "name=same: spy; sgd"));
    expect_error(SW_ERR_ARGUMENT, "rule: name=same: spy has no parameters: none fits");
    sw_optim *o = sw_optim_new(p, "spy lr=0.5");
    const double c[3] = {1, 2, 4};
    assert_ok(step_with(o, p, c)); /* each name has gradient c: 2c in all, and one step */
    sw_array count = sw_optim_param_slot(o, w, "count"), other = sw_optim_param_slot(o, same, "count");
    assert_ptr_equal(count.data, other.data);
    for (int i = 0; i < 3; i++) {
        assert_true(vec_get(SW_F64, sw_params_x(p), i) == -c[i]);
        assert_true(test_get(&count, i) == 1);
    }
    sw_param_freeze(same, true); /* the one is the other */
    assert_int_equal(sw_optim_bytes(o).rule, 3 * 8);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_groups_have_rates_of_their_own(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    params_set(p, (const double[SMALL_DIM]){0});
    sw_optim *o = NEW_OPTIM(p, .rule = "name=b: sgd lr=0.5; role=weight: sgd lr=2; sgd lr=0.25");
    assert_ok(step_with(o, p, some));
    for (int i = 0; i < SMALL_DIM; i++) {
        double lr = i < 12 ? 2 : i < 17 ? 0.5 : 0.25;
        assert_true(vec_get(SW_F64, sw_params_x(p), i) == -lr * some[i]);
    }
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- Refusals at the step ---- */

static void test_refusals(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64), *q = small_params(SW_F64);
    linear_problem f, g, other;
    linear_problem_init(&f, p, 4, some);
    linear_problem_init(&g, p, 4, some);
    linear_problem_init(&other, q, 4, some);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd");
    assert_int_equal(sw_optim_step(o), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "step: there is no gradient; run sw_backward first");
    assert_ok(step_with(o, p, some));
    assert_int_equal(sw_optim_step(o), SW_ERR_STATE); /* it was used up */
    expect_error(SW_ERR_STATE, "step: there is no gradient; run sw_backward first");
    assert_int_equal(sw_optim_minimize(o, NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "minimize: the objective is NULL");
    assert_int_equal(sw_optim_minimize(o, &other.f, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "minimize: the objective is of other parameters");
    f.f.n = 0;
    assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "minimize: an objective of 0 samples");
    f.f.n = 4;
    assert_ok(sw_optim_minimize(o, &f.f, NULL)); /* none of these has bound it */
    assert_int_equal(sw_optim_minimize(o, &g.f, NULL), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "minimize: the optimizer is bound to another objective");
    assert_int_equal(sw_optim_minimize(o, NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "minimize: the objective is NULL");
    assert_int_equal(sw_optim_steps_per_epoch(o, &f.f), 1);
    assert_ok(step_with(o, p, some)); /* by hand in between */
    assert_int_equal(sw_optim_steps_taken(o), 3);
    assert_int_equal(sw_optim_set_total_steps(o, -1), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "set_total_steps: -1 steps");
    sw_optim_free(o);
    o = NEW_OPTIM(p, .rule = "sgd", .estimator = "hungry");
    assert_int_equal(sw_optim_step(o), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "step: hungry evaluates the objective by itself: call "
                               "sw_optim_minimize instead");
    assert_ok(sw_optim_minimize(o, &f.f, NULL)); /* no batch option: all samples */
    assert_true(sw_optim_epoch(o) == 1);
    assert_int_equal(sw_optim_steps_per_epoch(o, &f.f), 0);
    sw_optim_free(o);
    o = NEW_OPTIM(p, .rule = "sgd", .estimator = "outer of=hungry");
    assert_int_equal(sw_optim_step(o), SW_ERR_STATE);
    sw_clear_error();
    sw_optim_free(o);
    assert_int_equal(sw_optim_step(NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "step: the optimizer is NULL");
    assert_int_equal(sw_optim_minimize(NULL, &f.f, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "minimize: the optimizer is NULL");
    assert_null(sw_optim_point(NULL));
    assert_int_equal(sw_optim_steps_taken(NULL) + sw_optim_steps_skipped(NULL) + sw_optim_group_count(NULL), 0);
    sw_params_free(p);
    sw_params_free(q);
}

/* ---- The point, and state by name ---- */

static void test_point(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=1");
    assert_ptr_equal(sw_optim_point(o), sw_params_x(p));
    assert_ok(step_with(o, p, some));
    assert_ptr_equal(sw_optim_point(o), sw_params_x(p));
    sw_optim_free(o);
    o = NEW_OPTIM(p, .rule = "sgd lr=1", .average = "ema decay=0.5");
    params_set(p, (const double[SMALL_DIM]){8, 4}); /* after it was made, before the first step */
    assert_ptr_equal(sw_optim_point(o), sw_params_x(p));
    assert_ok(step_with(o, p, some));
    const double *e = sw_optim_point(o), *x = sw_params_x(p);
    double copy[SMALL_DIM];
    memcpy(copy, x, sizeof copy);
    assert_true(e != x);
    assert_true(x[0] == 7 && e[0] == 7.5); /* (8 + 7)/2 */
    assert_true(x[1] == 6 && e[1] == 5);
    assert_ptr_equal(sw_optim_slot(o, "ema").data, e);
    assert_memory_equal(copy, sw_params_x(p), sizeof copy);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_state_by_name(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F32);
    sw_optim *o = NEW_OPTIM(p, .rule = "role=weight: adam; sgd momentum=0.5");
    assert_ok(step_with(o, p, some));
    sw_array m = sw_optim_param_slot(o, sw_params_at(p, 0), "m");
    assert_true(m.type == SW_F32 && m.rank == 2 && m.shape[0] == 3 && m.shape[1] == 4);
    for (int i = 0; i < 12; i++) /* 0.1·g: rounding of 1 - 0.9 and of the product */
        assert_true(fabs(test_get(&m, i) - 0.1 * some[i]) <= 1.2e-7 * 0.1 * fabs(some[i]));
    sw_array momentum = sw_optim_param_slot(o, sw_params_at(p, 2), "momentum");
    assert_true(momentum.rank == 0 && test_get(&momentum, 0) == some[17]);
    momentum = sw_optim_param_slot(o, sw_params_at(p, 1), "momentum");
    assert_true(momentum.shape[0] == 5 && test_get(&momentum, 4) == some[16]);
    assert_null(sw_optim_param_slot(o, sw_params_at(p, 1), "m").data);
    assert_null(sw_optim_param_slot(o, NULL, "m").data);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_bytes_of_state(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    linear_problem f;
    linear_problem_init(&f, p, 4, some);
    sw_optim *o = NEW_OPTIM(p, .rule = "role=weight: adam; sgd", .estimator = "spy", .average = "ema");
    sw_optim_memory bytes = sw_optim_bytes(o);
    assert_int_equal(bytes.rule, 2 * 12 * 8);
    assert_int_equal(bytes.average, SMALL_DIM * 8);
    assert_int_equal(bytes.estimator, 0); /* not bound yet */
    assert_ok(sw_optim_minimize(o, &f.f, NULL));
    assert_int_equal(sw_optim_bytes(o).estimator, SMALL_DIM * 8);
    sw_optim_free(o);
    bytes = sw_optim_bytes(NULL);
    assert_int_equal(bytes.rule + bytes.estimator + bytes.average, 0);
    sw_params_free(p);
}

/* ---- A network ---- */

enum { PIXELS = 784, CLASSES = 10, SAMPLES = 230 }; /* 3 batches of 64 and one of 38 */

static sw_status picture_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw,
                                sw_dtype type, void *x, void *y) {
    (void)draw;
    (void)source;
    for (int64_t i = 0; i < count; i++) {
        uint64_t seed = (uint64_t)ids[i];
        for (int64_t j = 0; x && j < PIXELS; j++)
            vec_set(type, x, i * PIXELS + j, (double)(float)test_uniform(&seed, 0, 1));
        if (y)
            ((int32_t *)y)[i] = (int32_t)(ids[i] % CLASSES);
    }
    return SW_OK;
}

static const sw_source pictures = {.size = sizeof(sw_source),
                                   .n = SAMPLES,
                                   .x_rank = 1,
                                   .x_shape = {PIXELS},
                                   .y_type = SW_I32,
                                   .classes = CLASSES,
                                   .gather = picture_gather};

typedef struct net {
    sw_model *model;
    sw_module *root;
    sw_params *params;
    const sw_objective *f;
} net;

static net net_new(sw_dtype type, double p) {
    net n = {.model = sw_model_new(type, 3)};
    n.root = sw_nn_sequential(n.model, sw_nn_linear(n.model, PIXELS, 100), sw_nn_relu(n.model),
                              sw_nn_dropout(n.model, p), sw_nn_linear(n.model, 100, CLASSES), NULL);
    n.params = sw_model_build(n.model, n.root);
    n.f = sw_model_objective(n.model, &pictures, sw_cross_entropy);
    return n;
}

/* x after some steps, as a hash, and the last loss. */
static uint64_t train(sw_dtype type, const char *rule, const char *average, double p, int steps, double *value) {
    net n = net_new(type, p);
    sw_optim *o = NEW_OPTIM(n.params, .rule = rule, .average = average, .clip = 1, .seed = 5, .total_steps = steps);
    for (int i = 0; i < steps; i++)
        assert_ok(sw_optim_minimize(o, n.f, value));
    uint64_t hash = test_hash(TEST_HASH, sw_params_x(n.params), params_bytes(n.params));
    hash = test_hash(hash, sw_optim_point(o), params_bytes(n.params));
    sw_optim_free(o);
    sw_model_free(n.model);
    return hash;
}

/* The names of a section of sw_optim_list: lines of two blanks and a word. */
static int listed(const char *section, char names[][32], int most) {
    char line[512];
    int count = 0;
    bool inside = false;
    FILE *list = tmpfile();
    assert_non_null(list);
    sw_optim_list(list);
    rewind(list);
    while (fgets(line, sizeof line, list)) {
        if (line[0] != ' ')
            inside = strncmp(line, section, strlen(section)) == 0 && line[strlen(section)] == '\n';
        else if (inside && line[2] != ' ' && count < most)
            assert_int_equal(sscanf(line, "%31s", names[count++]), 1);
    }
    fclose(list);
    return count;
}

static void same_bits(sw_dtype type, const char *rule, const char *average) {
    uint64_t first = 0;
    double loss = 0;
    for (int threads = 1; threads <= 8; threads *= 2) {
        double value = 0;
        assert_ok(sw_set_threads(threads));
        uint64_t hash = train(type, rule, average, 0.3, 20, &value);
        if (threads == 1) {
            first = hash;
            loss = value;
        }
        if (hash != first || value != loss)
            fail_msg("%s, %s, %s: other bits with %d threads", rule, average, sw_dtype_name(type), threads);
    }
    assert_true(isfinite(loss));
}

/* Every rule and every average there is, and those whose options change the loop. */
static void test_threads_same_bits(void **state) {
    (void)state;
    char rules[64][32], averages[16][32];
    int rule_count = listed("rules", rules, 64), average_count = listed("averages", averages, 16);
    assert_true(rule_count >= 3 && average_count >= 2);
    int before = sw_threads();
    for (int t = 0; t < 2; t++) {
        for (int i = 0; i < rule_count; i++)
            same_bits(both_types[t], rules[i], "none");
        for (int i = 0; i < average_count; i++)
            same_bits(both_types[t], "adamw lr=1e-3", averages[i]);
        same_bits(both_types[t], "sgd lr=0.1 momentum=0.9 nesterov weight_decay=1e-4", "none");
    }
    assert_ok(sw_set_threads(before));
}

typedef struct job {
    const char *rule;
    uint64_t hash;
    double value;
} job;

static void *run_job(void *args) {
    job *j = args;
    j->hash = train(SW_F32, j->rule, "ema decay=0.9", 0.3, 30, &j->value);
    return NULL;
}

static void test_two_optimizers_in_two_threads(void **state) {
    (void)state;
    static const char *const rules[2] = {"adam lr=1e-3", "sgd lr=0.1 momentum=0.9"};
    job alone[2] = {{.rule = rules[0]}, {.rule = rules[1]}}, together[2] = {alone[0], alone[1]};
    pthread_t thread[2];
    for (int i = 0; i < 2; i++)
        run_job(&alone[i]);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, run_job, &together[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < 2; i++)
        assert_true(alone[i].hash == together[i].hash && alone[i].value == together[i].value);
    assert_true(alone[0].hash != alone[1].hash);
}

/* gather, forward, backward, step, by hand and with the ids that the optimizer would draw. */
static void test_hand_loop_equals_minimize(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        const sw_optim_options how = {.size = sizeof how,
                                      .rule = "adam lr=1e-3",
                                      .clip = 0.5,
                                      .schedule = "cosine warmup=3",
                                      .average = "ema decay=0.9",
                                      .estimator = "minibatch batch=48",
                                      .seed = 9,
                                      .total_steps = 12};
        net n = net_new(both_types[t], 0), m = net_new(both_types[t], 0);
        sw_optim *o = new_optim(n.params, &how), *by_hand = new_optim(m.params, &how);
        sw_sampler *sampler = sw_sampler_new(SAMPLES, 48, SW_SHUFFLE, how.seed);
        sw_tape *tape = sw_tape_new();
        for (int i = 0; i < 12; i++) {
            const int64_t *ids;
            double value;
            sw_batch b;
            assert_ok(sw_optim_minimize(o, n.f, &value));
            int64_t count = sw_sampler_next(sampler, &ids);
            assert_ok(sw_source_batch(&pictures, tape, both_types[t], ids, count, &b));
            sw_tensor loss = sw_cross_entropy(sw_forward(m.root, b.x), b.y);
            assert_ok(sw_backward(loss));
            assert_ok(sw_optim_step(by_hand));
            assert_true(sw_item(loss) == value);
            assert_true(sw_optim_gradient_norm(o) == sw_optim_gradient_norm(by_hand));
            sw_tape_reset(tape);
        }
        assert_memory_equal(sw_params_x(n.params), sw_params_x(m.params), params_bytes(n.params));
        assert_memory_equal(sw_optim_point(o), sw_optim_point(by_hand), params_bytes(n.params));
        sw_tape_free(tape);
        sw_sampler_free(sampler);
        sw_optim_free(o);
        sw_optim_free(by_hand);
        sw_model_free(n.model);
        sw_model_free(m.model);
    }
}

/* ---- Memory ---- */

static void test_sixteen_bytes(void **state) {
    (void)state;
    net n = net_new(SW_F32, 0);
    sw_optim *o = NEW_OPTIM(n.params, .rule = "adam");
    assert_ok(sw_optim_minimize(o, n.f, NULL));
    sw_optim_memory bytes = sw_optim_bytes(o);
    size_t x = params_bytes(n.params), g = 4 * (size_t)sw_params_dim(n.params);
    double each = (double)(x + g + bytes.rule + bytes.estimator + bytes.average) / (double)sw_params_dim(n.params);
    assert_true(each == 16);
    assert_int_equal(sw_params_dim(n.params), 79510);
    sw_optim_free(o);
    sw_model_free(n.model);
}

static void test_no_allocation_after_the_first_step(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    for (int t = 0; t < 2; t++) {
        net n = net_new(both_types[t], 0.3);
        sw_optim *o = NEW_OPTIM(n.params, .rule = "role=bias: sgd momentum=0.9; adamw", .clip = 1, .average = "ema",
                                .schedule = "cosine warmup=1ep", .total_steps = 20);
        assert_ok(sw_optim_minimize(o, n.f, NULL));
        long long after_first = atomic_load(&a.calls);
        for (int i = 0; i < 17; i++) { /* four epochs' ends, each with a smaller batch */
            assert_ok(sw_optim_minimize(o, n.f, NULL));
            assert_non_null(sw_optim_point(o));
        }
        assert_int_equal(atomic_load(&a.calls), after_first);
        sw_optim_free(o);
        sw_model_free(n.model);
    }
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

/* Create and three steps; returns whether all went well. */
static bool whole_life(sw_params *p, const sw_objective *f) {
    const sw_optim_options how = {.size = sizeof how,
                                  .rule = "role=weight: adam; sgd momentum=0.5",
                                  .estimator = "outer of=minibatch batch=2",
                                  .average = "ema",
                                  .clip = 1,
                                  .schedule = "constant warmup=2; cosine on=weight_decay",
                                  .total_steps = 3};
    sw_optim *o = sw_optim_new_with_options(p, &how);
    bool good = o != NULL;
    for (int i = 0; i < 3 && good; i++)
        good = sw_optim_minimize(o, f, NULL) == SW_OK;
    sw_optim_free(o);
    return good;
}

static void test_every_allocation_fails_in_turn(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    sw_params *p = small_params(SW_F64);
    linear_problem f;
    linear_problem_init(&f, p, 5, some);
    test_allocator_fail(&a, 0, false);
    calls[0] = 0;
    long long live = atomic_load(&a.live);
    assert_true(whole_life(p, &f.f));
    long long requests = atomic_load(&a.calls);
    assert_true(requests > 10);
    for (int for_good = 0; for_good < 2; for_good++)
        for (long long k = 1; k <= requests; k++) {
            calls[0] = 0;
            test_allocator_fail(&a, k, for_good != 0);
            bool good = whole_life(p, &f.f);
            test_allocator_fail(&a, 0, false);
            if (good)
                fail_msg("request %lld of %lld failed unnoticed", k, requests);
            assert_non_null(sw_error());
            assert_int_equal(sw_error_status(), SW_ERR_MEMORY);
            sw_clear_error();
            assert_int_equal(atomic_load(&a.live), live);
        }
    sw_params_free(p);
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

/* After a first minimize that ran out of memory the same optimizer can try again, and then does
 * what it would have done. */
static void test_minimize_can_be_tried_again(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    sw_params *p = small_params(SW_F64), *q = small_params(SW_F64);
    linear_problem f, g;
    linear_problem_init(&f, p, 5, some);
    linear_problem_init(&g, q, 5, some);
    const sw_optim_options how = {.size = sizeof how, .rule = "adam lr=0.1", .estimator = "minibatch batch=2"};
    sw_optim *clean = new_optim(q, &how);
    assert_ok(sw_optim_minimize(clean, &g.f, NULL));
    for (long long k = 1; k < 200; k++) {
        params_set(p, (const double[SMALL_DIM]){0});
        for (int64_t i = 0; i < SMALL_DIM; i++)
            vec_set(SW_F64, sw_params_x(p), i, 0.125 * (double)(i - 7));
        sw_optim *o = new_optim(p, &how);
        test_allocator_fail(&a, k, false);
        sw_status status = sw_optim_minimize(o, &f.f, NULL);
        bool reached = atomic_load(&a.failed) > 0;
        test_allocator_fail(&a, 0, false);
        assert_true(reached == (status == SW_ERR_MEMORY));
        sw_clear_error();
        if (!reached) {
            assert_true(k > 3);
            k = 200;
        } else {
            assert_ok(sw_optim_minimize(o, &f.f, NULL));
            assert_int_equal(sw_optim_steps_taken(o), 1);
            assert_int_equal(sw_optim_steps_skipped(o), 0);
        }
        sw_optim_free(o);
    }
    /* The sampler may have gone on by the batch that was lost; the moves of x are by ±lr either
     * way. */
    for (int64_t i = 0; i < SMALL_DIM; i++)
        assert_true(fabs(vec_get(SW_F64, sw_params_x(p), i) - vec_get(SW_F64, sw_params_x(q), i)) <=
                    1e-7); /* ε/|g| of the two steps */
    sw_optim_free(clean);
    sw_params_free(p);
    sw_params_free(q);
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

/* ---- Sampling ---- */

static int64_t seen_ids[64];
static int seen;

static sw_tensor watching_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    linear_problem *p = user;
    for (int64_t i = 0; i < count; i++)
        seen_ids[seen++] = ids[i];
    return inner_loss(tape, p->f.params, p->c);
}

static void draws(const char *estimator, uint64_t seed, int steps) {
    sw_params *p = small_params(SW_F64);
    linear_problem f;
    linear_problem_init(&f, p, 10, some);
    f.f.loss = watching_loss;
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0", .estimator = estimator, .seed = seed);
    seen = 0;
    for (int i = 0; i < steps; i++)
        assert_ok(sw_optim_minimize(o, &f.f, NULL));
    sw_optim_free(o);
    sw_params_free(p);
}

static bool ascending(const int64_t *ids) {
    for (int i = 0; i < 10; i++)
        if (ids[i] != i)
            return false;
    return true;
}

static bool complete(const int64_t *ids) {
    bool has[10] = {false};
    for (int i = 0; i < 10; i++)
        has[ids[i]] = true;
    for (int i = 0; i < 10; i++)
        if (!has[i])
            return false;
    return true;
}

static void test_orders_of_samples(void **state) {
    (void)state;
    int64_t first[20];
    draws("minibatch batch=4", 1, 6); /* the default shuffles; 4, 4, 2 an epoch */
    assert_int_equal(seen, 20);
    assert_true(complete(seen_ids) && complete(seen_ids + 10));
    assert_false(ascending(seen_ids));
    assert_true(memcmp(seen_ids, seen_ids + 10, 10 * sizeof *seen_ids) != 0);
    memcpy(first, seen_ids, sizeof first);
    draws("minibatch batch=4 order=shuffle", 1, 6);
    assert_memory_equal(first, seen_ids, sizeof first);
    draws("minibatch batch=4", 2, 6);
    assert_true(memcmp(first, seen_ids, sizeof first) != 0);
    draws("minibatch batch=4 order=sequential", 1, 6);
    assert_true(ascending(seen_ids) && ascending(seen_ids + 10));
    draws("minibatch batch=4 order=replacement", 1, 6);
    assert_int_equal(seen, 20);
    assert_false(complete(seen_ids) && complete(seen_ids + 10)); /* (10!/10¹⁰)² = 1e-7 by chance */
    draws("minibatch batch=1000", 1, 2);                         /* more than there are */
    assert_true(seen == 20 && complete(seen_ids) && complete(seen_ids + 10));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, test_clear)

/* The last one: other tests ask every rule that is registered. */
static void test_scalars_are_declared(void **state) {
    (void)state;
    assert_ok(sw_rule_register(&careless));
    sw_params *p = small_params(SW_F64);
    sw_optim *o = sw_optim_new(p, "careless");
    double before[SMALL_DIM], g[SMALL_DIM] = {1};
    memcpy(before, sw_params_x(p), sizeof before);
    assert_int_equal(step_with(o, p, g), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "rule careless writes scalar 1, which its table does not name: it would not be saved");
    assert_memory_equal(before, sw_params_x(p), sizeof before);
    sw_optim_free(o);
    sw_params_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_order_of_minimize),
        TEST(test_order_of_step),
        TEST(test_order_of_groups),
        TEST(test_skipped_steps_move_nothing),
        TEST(test_bad_elements_anywhere),
        TEST(test_large_gradients_are_not_skipped),
        TEST(test_begin_and_decide_may_skip),
        TEST(test_clip),
        TEST(test_gradient_norm),
        TEST(test_frozen),
        TEST(test_frozen_after_backward),
        TEST(test_tied),
        TEST(test_groups_have_rates_of_their_own),
        TEST(test_refusals),
        TEST(test_point),
        TEST(test_state_by_name),
        TEST(test_bytes_of_state),
        TEST(test_threads_same_bits),
        TEST(test_two_optimizers_in_two_threads),
        TEST(test_hand_loop_equals_minimize),
        TEST(test_sixteen_bytes),
        TEST(test_no_allocation_after_the_first_step),
        TEST(test_every_allocation_fails_in_turn),
        TEST(test_minimize_can_be_tried_again),
        TEST(test_orders_of_samples),
        TEST(test_scalars_are_declared),
    };
    return cmocka_run_group_tests_name("optim_pipeline", tests, register_all, NULL);
}
