/* Parameters stored in f16 and bf16, where the program or a file provides what the optimizer usually makes itself:
 * estimators of programs, checkpoints of runs in another type, and steps without memory. */
#include "scaled_problem.h"

#include "vector_rules.h"

#include <swale/glm.h>

static const sw_dtype halves[2] = {SW_F16, SW_BF16};

/* ---- An estimator that passes the gradient block on, but does not declare SW_ESTIMATOR_DIRECT ---- */

static sw_status passing_start(sw_estimate *e) {
    e->passes_g = true;
    return SW_OK;
}

static const sw_estimator passing = {
    .size = sizeof(sw_estimator), .name = "passing", .start = passing_start, .estimate = plain_estimate};

enum { PARTS = 8, PART = 40 }; /* each other parameter is frozen */

static sw_tensor parts_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    sw_params *params = user;
    sw_tensor sum = {0};
    (void)ids;
    (void)count;
    for (int i = 0; i < PARTS; i++) {
        sw_tensor d = sw_sub(sw_cast(sw_param_use(tape, sw_params_at(params, i)), SW_F32),
                             sw_constant(tape, SW_F32, 3)),
                  term = sw_sum(sw_mul(d, d));
        sum = i ? sw_add(sum, term) : term;
    }
    return sum;
}

static sw_params *parts_params(sw_dtype storage) {
    sw_params *p = sw_params_new(storage, 0);
    assert_non_null(p);
    for (int i = 0; i < PARTS; i++) {
        char name[8];
        snprintf(name, sizeof name, "p%d", i);
        assert_non_null(sw_params_add(p, name, 1, (const int64_t[]){PART}, NULL));
    }
    assert_ok(sw_params_build(p));
    for (int i = 1; i < PARTS; i += 2)
        sw_param_freeze(sw_params_at(p, i), true);
    return p;
}

/* x after some steps of an estimator. */
static void parts_run(sw_dtype storage, const char *estimator, float *x) {
    sw_params *p = parts_params(storage);
    const sw_objective f = {.size = sizeof f, .n = 1, .params = p, .user = p, .loss = parts_loss};
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.01", .estimator = estimator, .clip = 1, .loss_scale = "none");
    assert_non_null(o);
    for (int k = 0; k < 3; k++)
        assert_ok(sw_optim_minimize(o, &f, NULL));
    memcpy(x, sw_params_x(p), PARTS * PART * sizeof *x);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_custom_estimator_passes_the_block(void **state) {
    (void)state;
    assert_ok(sw_estimator_register(&passing));
    for (int k = 0; k < 2; k++) {
        float x[PARTS * PART], expected[PARTS * PART];
        parts_run(halves[k], "passing", x);
        parts_run(halves[k], "full", expected);
        assert_memory_equal(x, expected, sizeof x);
        for (int i = 0; i < PARTS; i++)
            assert_true((x[i * PART] != 0) == (i % 2 == 0));
    }
}

/* ---- Checkpoints between storage types ---- */

/* A checkpoint of a run in f32 whose x is beyond f16 does not fit a set in f16: its leaves would be Inf. Frozen
 * parameters may be beyond. */
static void test_checkpoint_beyond_f16(void **state) {
    (void)state;
    for (int frozen = 0; frozen < 2; frozen++)
        for (int k = 0; k < 3; k++) {
            const sw_dtype storage = k < 2 ? halves[k] : SW_F32;
            sw_params *from = stored_params(SW_F32), *to = stored_params(storage);
            sw_optim *saved = NEW_OPTIM(from, .rule = "adam"), *loaded = NEW_OPTIM(to, .rule = "adam");
            ((float *)sw_params_x(from))[14] = 70000;
            sw_params_mark_changed(from);
            sw_param_freeze(sw_params_find(to, "b"), frozen != 0);
            sw_archive *a = sw_archive_new();
            assert_ok(sw_optim_pack(saved, a));
            const float before = ((float *)sw_params_x(to))[0] += 1;
            sw_params_mark_changed(to);
            const sw_status status = sw_optim_unpack(loaded, a);
            if (storage == SW_F16 && !frozen) {
                assert_int_equal(status, SW_ERR_FORMAT);
                assert_non_null(strstr(sw_error(), "b holds 70000, which is beyond f16"));
                assert_true(((float *)sw_params_x(to))[0] == before);
                sw_clear_error();
            } else {
                assert_ok(status);
                assert_true(((float *)sw_params_x(to))[14] == 70000);
            }
            sw_archive_free(a);
            sw_optim_free(saved);
            sw_optim_free(loaded);
            sw_params_free(from);
            sw_params_free(to);
        }
}

/* ---- A point beyond the type ---- */

static void far_point(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        ((float *)s->out)[i] = 70000;
}
static const sw_kernels far_kernels = ALL_LEVELS(far_point);
static const sw_average far_average = {.size = sizeof(sw_average),
                                       .name = "far",
                                       .slots = (const sw_slot[]){{.name = "mean"}, {0}},
                                       .point = &far_kernels};

/* The point is evaluated as it is, but is not adopted if leaves would read Inf. */
static void test_point_beyond_f16_is_not_adopted(void **state) {
    (void)state;
    assert_ok(sw_average_register(&far_average));
    for (int k = 0; k < 2; k++) {
        scaled_run r;
        scaled_open(&r, halves[k], &(const sw_optim_options){.size = sizeof(sw_optim_options), .average = "far"});
        assert_non_null(r.o);
        r.p.unit = 0.125;
        assert_ok(sw_optim_minimize(r.o, &r.p.f, NULL));
        const float before = ((float *)sw_params_x(r.params))[0];
        const sw_status status = sw_optim_adopt_point(r.o);
        if (halves[k] == SW_F16) {
            assert_int_equal(status, SW_ERR_NONFINITE);
            assert_string_equal(sw_error(), "optim_adopt_point: parameter a is 70000 there, which is beyond f16");
            sw_clear_error();
            assert_true(((float *)sw_params_x(r.params))[0] == before);
        } else {
            assert_ok(status);
            assert_true(((float *)sw_params_x(r.params))[0] == 70000);
        }
        scaled_close(&r);
    }
}

/* ---- Many steps in one loop ---- */

/* Least squares with the solution 1e5: also estimators that take many steps in one loop stop before x leaves f16. */
static void test_loops_stay_within_f16(void **state) {
    enum { SAMPLES = 8, FEATURES = 2 };
    (void)state;
    float rows[SAMPLES * FEATURES], target[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
        rows[FEATURES * i] = i % 2 ? 1 : 0.5F;
        rows[FEATURES * i + 1] = i % 2 ? -0.5F : 1;
        target[i] = 100000 * (rows[FEATURES * i] + rows[FEATURES * i + 1]);
    }
    for (int k = 0; k < 2; k++) {
        sw_params *p = sw_params_new(halves[k], 1);
        const sw_glm_data data = {
            .size = sizeof data, .head = SW_HEAD_SQUARED, .scale = 1, .dense = rows, .target = target};
        assert_non_null(sw_params_add(p, "w", SW_SHAPE(1, FEATURES), NULL));
        assert_ok(sw_params_build(p));
        const sw_objective f = {
            .size = sizeof f, .n = SAMPLES, .params = p, .features = FEATURES, .outputs = 1, .glm = &data};
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.25", .estimator = "saga");
        assert_ok(sw_optim_minimize(o, &f, NULL));
        sw_status status = SW_OK;
        for (int i = 0; i < 10 && status == SW_OK; i++)
            status = sw_optim_minimize_steps(o, &f, 50, NULL);
        const float *x = sw_params_x(p);
        const sw_array copy = sw_param_stored_value(sw_params_at(p, 0));
        if (halves[k] == SW_F16) {
            assert_int_equal(status, SW_ERR_NONFINITE);
            assert_non_null(strstr(sw_error(), "beyond f16"));
            sw_clear_error();
            assert_true(fmaxf(x[0], x[1]) > 30000 && fmaxf(x[0], x[1]) < 65520);
        } else {
            assert_ok(status);
            assert_true(fabsf(x[0] - 100000) < 100 && fabsf(x[1] - 100000) < 100);
        }
        for (int i = 0; i < FEATURES; i++)
            assert_true(isfinite(sw_load_element(copy.type, copy.data, i)));
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* ---- A step without memory ---- */

static void test_step_without_memory_leaves_a_fresh_block(void **state) {
    (void)state;
    test_allocator allocator, *memory = &allocator;
    test_allocator_install(memory);
    for (int k = 0; k < 2; k++) {
        sw_params *p = stored_params(halves[k]);
        sw_optim *o = NEW_OPTIM(p, .rule = "descent"); /* it reads the whole gradient in f32 */
        sw_tape *tape = sw_tape_new();
        assert_ok(sw_backward(sw_sum(use_widened(tape, sw_params_at(p, 0)))));
        test_allocator_fail(memory, 1, true);
        const sw_status status = sw_optim_step(o);
        test_allocator_fail(memory, 0, false);
        assert_int_equal(status, SW_ERR_MEMORY);
        sw_clear_error();
        assert_true(sw_gradient_is_fresh(sw_params_gradient(p)));
        sw_tape_free(tape);
        sw_optim_free(o);
        sw_params_free(p);
    }
    assert_true(atomic_load(&allocator.live) == 0);
    sw_set_allocator(NULL);
}

/* ---- The copy that leaves read ---- */

/* The copy is x, rounded, whatever the last call has returned. */
static void expect_copy(sw_params *p, const char *spec, const char *when) {
    for (int i = 0; i < sw_params_count(p); i++) {
        const sw_param *param = sw_params_at(p, i);
        const sw_array x = sw_param_value(param), copy = sw_param_stored_value(param);
        for (int64_t k = 0; k < param->count; k++) {
            const float value = ((const float *)x.data)[k];
            const uint16_t expected = copy.type == SW_F16 ? sw_f16_from_f32(value) : sw_bf16_from_f32(value);
            if (((const uint16_t *)copy.data)[k] != expected)
                fail_msg("%s, %s, %s: element %d of %s is %g in x and %g in the copy", sw_dtype_name(copy.type), spec,
                         when, (int)k, param->name, (double)value, sw_load_element(copy.type, copy.data, k));
        }
    }
}

/* Steps of which one is skipped, one fails for lack of memory, and the point of evaluation is adopted. Returns false if
 * the allocation that shall fail is not reached, or the optimizer is refused. */
static bool copy_run(test_allocator *memory, sw_dtype storage, const sw_optim_options *how, long long fail_at) {
    scaled_run r;
    char spec[300];
    snprintf(spec, sizeof spec, "%s, %s, %s, %s", how->rule, how->estimator ? how->estimator : "-",
             how->average ? how->average : "-", how->schedule ? how->schedule : "-");
    scaled_open(&r, storage, how);
    if (!r.o) {
        scaled_close(&r);
        return false;
    }
    r.p.unit = 0.25;
    sw_param_freeze(sw_params_find(r.params, "c"), true);
    bool failed = false;
    for (int k = 0; k < 5; k++) {
        if (k == 1) /* the loss of this step is infinite */
            r.p.overflow = r.p.calls + 1;
        if (k == 0) {
            test_allocator_fail(memory, fail_at, true);
            (void)sw_optim_minimize(r.o, &r.p.f, NULL);
            failed = atomic_load(&memory->failed) > 0;
            test_allocator_fail(memory, 0, false);
        } else {
            (void)sw_optim_minimize(r.o, &r.p.f, NULL);
        }
        sw_clear_error();
        expect_copy(r.params, spec, "a step");
    }
    (void)sw_optim_adopt_point(r.o);
    sw_clear_error();
    expect_copy(r.params, spec, "adopting the point");
    scaled_close(&r);
    return failed;
}

static void test_copy_is_x_after_every_call(void **state) {
    static const char *const estimators[] = {"minibatch batch=2", "full", "svrg batch=2", "sam of=minibatch batch=2",
                                             "minibatch batch=4 shards=2"},
                             *const averages[] = {NULL, "ema decay=0.5", "swa"};
    (void)state;
    test_allocator memory;
    test_allocator_install(&memory);
    const sw_rule *rule;
    int runs = 0, failures = 0;
    for (int i = 0; (rule = sw_rule_at(i)) != NULL; i++)
        for (int e = 0; e < 6; e++)
            for (int k = 0; k < 2; k++) {
                const sw_optim_options how = {.size = sizeof how,
                                              .rule = rule->name,
                                              .estimator = e < 5 ? estimators[e] : "full",
                                              .schedule = e < 5 ? NULL : "armijo",
                                              .average = averages[(i + e) % 3],
                                              .clip = 3};
                long long at = 1;
                while (copy_run(&memory, halves[k], &how, at))
                    at++;
                runs++;
                failures += (int)at - 1;
            }
    assert_true(runs > 100 && failures > 100);
    assert_true(atomic_load(&memory.live) == 0);
    sw_set_allocator(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_copy_is_x_after_every_call),
                                       cmocka_unit_test(test_custom_estimator_passes_the_block),
                                       cmocka_unit_test(test_checkpoint_beyond_f16),
                                       cmocka_unit_test(test_point_beyond_f16_is_not_adopted),
                                       cmocka_unit_test(test_loops_stay_within_f16),
                                       cmocka_unit_test(test_step_without_memory_leaves_a_fresh_block)};
    return cmocka_run_group_tests(tests, register_vector_rules, NULL);
}
