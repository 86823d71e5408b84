/* A frozen parameter may contain Inf, for example an attention mask. Every rule, average, estimator and line search
 * then takes the same steps, bit for bit, as with a frozen parameter of zeros, and without copies of x; the point
 * contains the unchanged mask. If an average refuses a step, the tables of the estimator do not change. */
#include "helpers.h"
#include "lbfgs_rule.h"

enum { MASK_AT = 12, MASK_COUNT = 5 }; /* "b" of small_params */

/* 1/n Σ_i ½ (1 + i/4) Σ (x_k - 1)² over all elements but those of the mask. */
enum { POINTS = 6 };
typedef struct bowl {
    sw_objective f;
    sw_params *params;
} bowl;

static bool is_mask(int k) {
    return k >= MASK_AT && k < MASK_AT + MASK_COUNT;
}

static sw_status bowl_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                               double *value, void *g) {
    const sw_dtype type = sw_params_type(((const bowl *)user)->params);
    double weight = 0, sum = 0;
    (void)draw;
    for (int64_t i = 0; i < count; i++)
        weight += (1 + 0.25 * (double)(ids ? ids[i] : i)) / (double)count;
    for (int k = 0; k < SMALL_DIM; k++) {
        const double d = is_mask(k) ? 0 : vec_get(type, x, k) - 1;
        sum += 0.5 * weight * d * d;
        if (g)
            vec_set(type, g, k, weight * d);
    }
    *value = sum;
    return SW_OK;
}

static bowl bowl_new(sw_dtype type, bool infinite) {
    bowl b = {.params = small_params(type)};
    for (int i = 0; i < MASK_COUNT; i++)
        vec_set(type, sw_params_x(b.params), MASK_AT + i,
                !infinite             ? 0
                : i % 2               ? 0
                : i == MASK_COUNT - 1 ? (double)INFINITY
                                      : -(double)INFINITY);
    sw_params_mark_changed(b.params);
    sw_param_freeze(sw_params_find(b.params, "b"), true);
    b.f = (sw_objective){.size = sizeof b.f, .n = POINTS, .params = b.params, .gradient = bowl_gradient};
    return b;
}

/* The same bits but at the mask. */
static void expect_same_bits(const char *what, int step, sw_dtype type, const void *x, const void *y) {
    const size_t size = sw_dtype_size(type);
    for (int k = 0; k < SMALL_DIM; k++)
        if (!is_mask(k) && memcmp((const char *)x + (size_t)k * size, (const char *)y + (size_t)k * size, size) != 0)
            fail_msg("%s, step %d: element %d is %.17g with a mask of Inf and %.17g with one of 0", what, step, k,
                     vec_get(type, x, k), vec_get(type, y, k));
}

static void compare_runs(const char *estimator, const char *rule, const char *schedule, const char *average,
                         sw_dtype type) {
    char what[200];
    snprintf(what, sizeof what, "%s, %s, %s, %s, %s", estimator, rule, schedule ? schedule : "-",
             average ? average : "-", sw_dtype_name(type));
    const size_t mask_bytes = MASK_COUNT * sw_dtype_size(type), mask_at = MASK_AT * sw_dtype_size(type);
    bowl b[2] = {bowl_new(type, true), bowl_new(type, false)};
    sw_optim *o[2];
    char mask[MASK_COUNT * sizeof(double)];
    memcpy(mask, (char *)sw_params_x(b[0].params) + mask_at, mask_bytes);
    for (int i = 0; i < 2; i++) {
        b[i].f.user = &b[i];
        o[i] = NEW_OPTIM(b[i].params, .estimator = estimator, .rule = rule, .schedule = schedule, .average = average,
                         .total_steps = 40, .seed = 3);
        assert_ok(sw_optim_record_norms(o[i], true));
    }
    for (int step = 1; step <= 20; step++) {
        const void *point[2];
        for (int i = 0; i < 2; i++) {
            const sw_status status = sw_optim_minimize(o[i], &b[i].f, NULL);
            if (status != SW_OK)
                fail_msg("%s, step %d, %s: status %d: %s", what, step, i ? "mask of 0" : "mask of Inf", (int)status,
                         sw_error() ? sw_error() : "-");
            point[i] = sw_optim_point(o[i]);
            if (!point[i])
                fail_msg("%s, step %d: no point: %s", what, step, sw_error());
        }
        expect_same_bits(what, step, type, sw_params_x(b[0].params), sw_params_x(b[1].params));
        expect_same_bits(what, step, type, point[0], point[1]);
        assert_memory_equal((char *)sw_params_x(b[0].params) + mask_at, mask, mask_bytes);
        assert_memory_equal((const char *)point[0] + mask_at, mask, mask_bytes);
        sw_norms norms[2];
        for (int i = 0; i < 2; i++)
            assert_ok(sw_optim_norms(o[i], NULL, &norms[i]));
        assert_true(norms[0].update == norms[1].update && norms[0].gradient == norms[1].gradient);
        assert_true(isinf(norms[0].parameter) && isfinite(norms[1].parameter));
    }
    for (int i = 0; average && sw_average_at(i); i++)
        for (int s = 0; sw_average_at(i)->slots && sw_average_at(i)->slots[s].name; s++) {
            const sw_array state = sw_optim_slot(o[0], sw_average_at(i)->slots[s].name);
            for (int64_t k = 0; state.data && k < sw_array_count(&state); k++)
                assert_true(isfinite(test_get(&state, k)));
        }
    if (!schedule) { /* a search keeps them anyway */
        const sw_optim_memory with = sw_optim_bytes(o[0]), without = sw_optim_bytes(o[1]);
        assert_true(with.work <= without.work + params_bytes(b[0].params)); /* the point */
    }
    for (int i = 0; i < 2; i++) {
        sw_optim_free(o[i]);
        sw_params_free(b[i].params);
    }
}

static const char *const averages[] = {NULL,
                                       "ema decay=0.5",
                                       "ema debias",
                                       "polyak",
                                       "swa start=2 every=3",
                                       "lawa_ema start=2 every=2",
                                       "lawa_queue length=3 start=1 every=2"};
enum { AVERAGES = sizeof averages / sizeof *averages };

static void test_rules_ignore_a_frozen_infinite_mask(void **state) {
    (void)state;
    const sw_rule *rule;
    for (int r = 0; (rule = sw_rule_at(r)) != NULL; r++)
        for (int t = 0; t < 2; t++)
            for (int a = 0; a < 2; a++)
                compare_runs(rule->flags & SW_RULE_EXACT_GRADIENT ? "full" : "minibatch batch=2", rule->name, NULL,
                             rule->point ? NULL : averages[a], both_types[t]);
}

static void test_averages_ignore_a_frozen_infinite_mask(void **state) {
    (void)state;
    for (int a = 0; a < AVERAGES; a++)
        for (int t = 0; t < 2; t++)
            compare_runs("minibatch batch=2", "sgd lr=0.1", NULL, averages[a], both_types[t]);
}

static void test_estimators_ignore_a_frozen_infinite_mask(void **state) {
    (void)state;
    static const char *const specs[] = {"full",
                                        "sag",
                                        "sag tol=1e-3",
                                        "saga batch=2",
                                        "svrg batch=2 period=4",
                                        "svrg batch=2 period=4 snapshot=mean",
                                        "svrg batch=2 period=4 snapshot=random",
                                        "sam of=minibatch batch=2",
                                        "sam p=1 of=full",
                                        "sam p=3 of=full",
                                        "sam p=inf of=full",
                                        "asam of=full",
                                        "asam scale=all of=full"};
    for (size_t k = 0; k < sizeof specs / sizeof *specs; k++)
        for (int t = 0; t < 2; t++)
            compare_runs(specs[k], "sgd lr=0.05 momentum=0.5", NULL, "ema decay=0.5", both_types[t]);
    for (int t = 0; t < 2; t++)
        compare_runs("full", "sgd lr=auto", NULL, NULL, both_types[t]);
}

static void test_searches_ignore_a_frozen_infinite_mask(void **state) {
    (void)state;
    const sw_line_search *search;
    for (int k = 0; (search = sw_line_search_at(k)) != NULL; k++)
        for (int a = 0; a < 2; a++)
            for (int t = 0; t < 2; t++)
                compare_runs("minibatch batch=2", "sgd lr=0.3", search->name, averages[a], both_types[t]);
}

/* Steps of ordinary size need neither copies nor a trial, whatever is frozen: both take memory. */
static void test_frozen_infinite_mask_needs_no_copies(void **state) {
    (void)state;
    static const double g[SMALL_DIM] = {1, -2, 0.5, 0, 3, -1, 1e-3, 2, 1, -1, 0.25, 4, -3, 1, 0.125, -2, 1e-6, 1};
    test_allocator a;
    test_allocator_install(&a);
    const sw_rule *rule;
    for (int r = 0; (rule = sw_rule_at(r)) != NULL && rule->source; r++)
        for (int k = 0; k < AVERAGES && rule->unit != SW_UNIT_VECTOR; k++) { /* whose steps always take copies */
            bowl b = bowl_new(SW_F32, true);
            sw_optim *o = NEW_OPTIM(b.params, .rule = rule->name, .average = rule->point ? NULL : averages[k],
                                    .total_steps = 100);
            for (int t = 0; t < 30; t++) {
                sw_tape *tape = sw_tape_new();
                assert_ok(sw_backward(inner_loss(tape, b.params, g)));
                const long long calls = atomic_load(&a.calls);
                assert_ok(sw_optim_step(o));
                if (atomic_load(&a.calls) != calls)
                    fail_msg("%s, %s: step %d took memory", rule->name, averages[k] ? averages[k] : "-", t + 1);
                sw_tape_free(tape);
            }
            sw_optim_free(o);
            sw_params_free(b.params);
        }
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

/* What is not frozen is judged as before; so is what was finite. */
static void test_thawed_infinite_mask_is_refused(void **state) {
    (void)state;
    static const double g[SMALL_DIM] = {1};
    bowl b = bowl_new(SW_F32, true);
    sw_optim *o = NEW_OPTIM(b.params, .rule = "sgd lr=0.1");
    assert_ok(step_with(o, b.params, g));
    sw_param_freeze(sw_params_find(b.params, "b"), false);
    assert_int_equal(step_with(o, b.params, g), SW_ERR_NONFINITE);
    assert_non_null(strstr(sw_error(), "parameter b"));
    sw_clear_error();
    assert_int_equal(sw_optim_steps_taken(o), 1);
    sw_optim_free(o);
    sw_params_free(b.params);
}

/* A mask that is written while frozen is seen: its average goes on from finite numbers. */
static void test_mask_that_becomes_finite_is_averaged(void **state) {
    (void)state;
    static const double g[SMALL_DIM] = {1};
    for (int t = 0; t < 2; t++) {
        bowl b = bowl_new(both_types[t], true);
        sw_optim *o = NEW_OPTIM(b.params, .rule = "sgd lr=0.1", .average = "ema decay=0.5");
        assert_ok(step_with(o, b.params, g));
        for (int i = 0; i < MASK_COUNT; i++)
            vec_set(both_types[t], sw_params_x(b.params), MASK_AT + i, 2);
        sw_params_mark_changed(b.params);
        for (int step = 0; step < 3; step++)
            assert_ok(step_with(o, b.params, g));
        const void *point = sw_optim_point(o);
        assert_non_null(point);
        for (int i = 0; i < MASK_COUNT; i++) /* from 0, three halvings of the distance to 2: powers of 2, exact */
            assert_true(vec_get(both_types[t], point, MASK_AT + i) == 1.75);
        sw_optim_free(o);
        sw_params_free(b.params);
    }
}

/* ---- Refused by the average: tables stay ---- */

static int fails_at;
static void fail_update(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        vec_set(s->type, s->slot[0], i, s->step == fails_at ? (double)NAN : vec_get(s->type, s->x, i));
}
static const sw_kernels fail_kernels = {{fail_update, fail_update, fail_update},
                                        {fail_update, fail_update, fail_update}};
static const sw_slot fail_slots[] = {{.name = "failing_copy"}, {0}};
static const sw_average failing = {
    .size = sizeof(sw_average), .name = "!failing", .slots = fail_slots, .update = &fail_kernels};

static uint64_t hash_of_tables(const sw_optim *o, const sw_estimator *e) {
    uint64_t hash = TEST_HASH;
    for (int i = 0; e->slots[i].name; i++) {
        const sw_array slot = sw_optim_slot(o, e->slots[i].name);
        if (slot.data)
            hash = test_hash(hash, slot.data, test_bytes(&slot));
    }
    for (int i = 0; e->scalars && e->scalars[i]; i++) {
        const double value = sw_optim_scalar(o, -1, e->scalars[i]);
        hash = test_hash(hash, &value, sizeof value);
    }
    return hash;
}

static void test_tables_are_undone_if_the_average_refuses(void **state) {
    (void)state;
    static const char *const specs[] = {"sag",
                                        "saga",
                                        "sag batch=2 init=sgd",
                                        "saga init=zero",
                                        "svrg batch=2 period=50 snapshot=mean",
                                        "svrg batch=2 period=50 snapshot=random"};
    assert_ok(sw_average_register(&failing));
    for (size_t k = 0; k < sizeof specs / sizeof *specs; k++)
        for (int t = 0; t < 2; t++) {
            char name[64];
            assert_int_equal(sscanf(specs[k], "%63s", name), 1);
            bowl b = bowl_new(both_types[t], false);
            b.f.user = &b;
            sw_optim *o = NEW_OPTIM(b.params, .estimator = specs[k], .rule = "sgd lr=0.1", .average = "!failing");
            fails_at = 4;
            for (int step = 1; step < fails_at; step++)
                assert_ok(sw_optim_minimize(o, &b.f, NULL));
            const uint64_t before = hash_of_tables(o, sw_estimator_find(name));
            assert_int_equal(sw_optim_minimize(o, &b.f, NULL), SW_ERR_NONFINITE);
            assert_non_null(
                strstr(sw_error(), "average !failing: step 4 would make its state failing_copy Inf or NaN"));
            sw_clear_error();
            if (hash_of_tables(o, sw_estimator_find(name)) != before)
                fail_msg("%s: the tables have moved in a step that was refused", specs[k]);
            assert_int_equal(sw_optim_steps_taken(o), 3);
            fails_at = 0;
            assert_ok(sw_optim_minimize(o, &b.f, NULL));
            assert_true(hash_of_tables(o, sw_estimator_find(name)) != before);
            sw_optim_free(o);
            sw_params_free(b.params);
        }
}

/* A rule of unit VECTOR is among the registered ones. */
static int set_up(void **state) {
    (void)state;
    return sw_rule_register(&proto_lbfgs) != SW_OK;
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_rules_ignore_a_frozen_infinite_mask),      TEST(test_averages_ignore_a_frozen_infinite_mask),
        TEST(test_estimators_ignore_a_frozen_infinite_mask), TEST(test_searches_ignore_a_frozen_infinite_mask),
        TEST(test_frozen_infinite_mask_needs_no_copies),     TEST(test_thawed_infinite_mask_is_refused),
        TEST(test_mask_that_becomes_finite_is_averaged),     TEST(test_tables_are_undone_if_the_average_refuses),
    };
    return cmocka_run_group_tests_name("frozen_infinite", tests, set_up, NULL);
}
