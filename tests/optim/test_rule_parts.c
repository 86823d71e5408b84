/* Rules that update a parameter in parts: each part runs once per step, in the order of cost, with the workspace of its
 * worker. Results have equal bits for every number of threads. Errors reach the caller, and the step is undone. */
#include "helpers.h"

#include <float.h>
#include <stdatomic.h>
#include <stdlib.h>

/* ---- A rule that updates rows: x ← x - lr·g, and counts the updates of each row ---- */

enum { ROWS_LR, ROWS_COST };
static const sw_option rows_options[] = {
    {.name = "lr", .value = 1, .low = 0, .high = 1e30, .help = "a rate"},
    {.name = "cost", .kind = SW_OPTION_INTEGER, .value = 1, .low = 0, .high = 1e9, .help = "of an element"},
    {0}};
enum { ROWS_SCRATCH = 1000 };

static int64_t rows_of(const sw_param *p) {
    return p->rank ? p->shape[0] : 1;
}

static int64_t rows_count(const sw_slot_sizes *sizes) {
    return rows_of(sizes->param);
}

static int64_t rows_parts(const sw_param *p, const double *option, sw_dtype type) {
    (void)option, (void)type;
    return rows_of(p);
}

static size_t rows_workspace(const sw_param *p, const double *option, sw_dtype type) {
    (void)option, (void)type;
    return ROWS_SCRATCH - (size_t)p->rank; /* the largest counts */
}

static double rows_cost(const sw_param *p, const double *option, sw_dtype type, int64_t part) {
    (void)type;
    const int64_t width = p->count / rows_of(p);
    return option[ROWS_COST] * (double)(width * (1 + part));
}

static int64_t fail_param, fail_part; /* -1: none */
static sw_status fail_status;
static const char *fail_text; /* NULL: no message */
static bool write_scalar, write_coefficient;

static sw_status rows_fail(const sw_step *s, int64_t part) {
    if (s->param->index != fail_param || (part != fail_part && fail_part >= 0))
        return SW_OK;
    return fail_text ? sw_fail(fail_status, "%s: row %lld of %s", fail_text, (long long)part, s->param->name)
                     : fail_status;
}

/* An assertion for any thread. */
#define DEMAND(condition)                                          \
    do {                                                           \
        if (!(condition))                                          \
            return sw_fail(SW_ERR_USER, "not so: %s", #condition); \
    } while (0)

static sw_status rows_part(sw_step *s, int64_t part, sw_worker *worker) {
    const int64_t width = s->count / rows_of(s->param);
    unsigned char *scratch = s->workspace;
    DEMAND(scratch == worker->scratch && (uintptr_t)scratch % SW_ALIGNMENT == 0);
    DEMAND(worker->size >= sizeof *worker && worker->index >= 0 && worker->index < worker->count);
    DEMAND(s->count == s->param->count && part >= 0 && part < rows_of(s->param));
    memset(scratch, worker->index + 1, ROWS_SCRATCH);
    for (int64_t i = part * width; i < (part + 1) * width; i++)
        vec_set(s->type, s->x, i, vec_get(s->type, s->x, i) - s->option[ROWS_LR] * vec_get(s->type, s->g, i));
    vec_set(s->type, s->slot[0], part, vec_get(s->type, s->slot[0], part) + 1);
    for (int i = 0; i < ROWS_SCRATCH; i++) /* no other part writes there */
        DEMAND(scratch[i] == worker->index + 1);
    s->scalar[0] += write_scalar;
    s->coefficient[3] += write_coefficient;
    return rows_fail(s, part);
}

static const sw_slot rows_slots[] = {{.name = "done", .count = rows_count}, {0}};
static const char *const rows_scalars[] = {"steps", NULL};
static const sw_rule rows_rule = {.size = sizeof(sw_rule),
                                  .name = "rows",
                                  .options = rows_options,
                                  .slots = rows_slots,
                                  .scalars = rows_scalars,
                                  .unit = SW_UNIT_TENSOR,
                                  .parts = rows_parts,
                                  .part = rows_part,
                                  .part_workspace = rows_workspace,
                                  .part_cost = rows_cost};

/* With `reach`: a step that could overflow is tried on copies, and not undone. */
static void rows_reach(const sw_step *s, sw_bounds *b) {
    b->x += s->option[ROWS_LR] * b->g;
    b->slot[0] += (double)b->count;
    b->largest += s->option[ROWS_LR] * b->g;
}
static sw_rule reaching_rule;

/* ---- A rule that records the order of calls: `tensor`, then the parts ---- */

static char calls[400];

static void called(const char *format, const char *name, int64_t part) {
    const size_t used = strlen(calls);
    sw_format(calls + used, sizeof calls - used, format, name, (long long)part);
}

static sw_status diary_tensor(sw_step *s) {
    called("%s ", s->param->name, 0);
    assert_non_null(s->workspace);
    return SW_OK;
}

static sw_status diary_part(sw_step *s, int64_t part, sw_worker *worker) {
    assert_int_equal(worker->count, 1); /* it is too little for several */
    called("%s%lld ", s->param->name, part);
    return SW_OK;
}

/* None for c. */
static int64_t diary_parts(const sw_param *p, const double *option, sw_dtype type) {
    (void)option, (void)type;
    return p->rank;
}

static size_t diary_workspace(const sw_param *p, sw_dtype type) {
    (void)p, (void)type;
    return 8;
}

static const sw_rule diary_rule = {.size = sizeof(sw_rule),
                                   .name = "diary",
                                   .unit = SW_UNIT_TENSOR,
                                   .tensor = diary_tensor,
                                   .workspace = diary_workspace,
                                   .parts = diary_parts,
                                   .part = diary_part};

/* ---- Rules that return wrong values ---- */

static int64_t endless_parts(const sw_param *p, const double *option, sw_dtype type) {
    (void)option, (void)type;
    return p->rank == 1 ? INT64_MAX : 1;
}
static int64_t negative_parts(const sw_param *p, const double *option, sw_dtype type) {
    (void)option, (void)type;
    return p->rank - 1;
}
static sw_rule endless_rule, negative_rule;

/* ---- A rule whose parts wait for each other ---- */

static atomic_int meeting, met;
static void *meeting_scratch[2];

static int64_t meeting_parts(const sw_param *p, const double *option, sw_dtype type) {
    (void)p, (void)option, (void)type;
    return 2;
}

static double meeting_cost(const sw_param *p, const double *option, sw_dtype type, int64_t part) {
    (void)p, (void)option, (void)type, (void)part;
    return SW_SERIAL;
}

static size_t meeting_workspace(const sw_param *p, const double *option, sw_dtype type) {
    (void)p, (void)option, (void)type;
    return 1;
}

static sw_status meeting_part(sw_step *s, int64_t part, sw_worker *worker) {
    const double end = sw_seconds() + 30;
    (void)s;
    meeting_scratch[part] = worker->scratch;
    atomic_fetch_add(&meeting, 1);
    while (atomic_load(&meeting) < 2 && sw_seconds() < end)
        ;
    atomic_fetch_add(&met, atomic_load(&meeting) == 2);
    return SW_OK;
}

static const sw_rule meeting_rule = {.size = sizeof(sw_rule),
                                     .name = "meeting",
                                     .unit = SW_UNIT_TENSOR,
                                     .parts = meeting_parts,
                                     .part = meeting_part,
                                     .part_workspace = meeting_workspace,
                                     .part_cost = meeting_cost};

static int set_up(void **state) {
    (void)state;
    calls[0] = 0;
    fail_param = -1;
    write_scalar = write_coefficient = false;
    return 0;
}

/* ---- What runs ---- */

/* 40 matrices of up to 39 rows of 7; the gradient of ⟨c, x⟩ is c. */
enum { MATRICES = 40, WIDTH = 7 };
static sw_params *matrices_new(sw_dtype type) {
    sw_params *p = sw_params_new(type, 1);
    for (int i = 0; i < MATRICES; i++) {
        char name[32];
        snprintf(name, sizeof name, "m%d", i);
        assert_non_null(sw_params_add(p, name, 2, (const int64_t[]){i, WIDTH}, NULL));
    }
    assert_ok(sw_params_build(p));
    return p;
}

static double *coefficients_new(const sw_params *p) {
    double *c = calloc((size_t)sw_params_dim(p) + 1, sizeof *c);
    uint64_t seed = 5;
    assert_non_null(c);
    for (int64_t i = 0; i < sw_params_dim(p); i++)
        c[i] = (double)(float)test_uniform(&seed, -1, 1);
    return c;
}

/* Each part runs once in each step. The parts of a frozen matrix do not run; after it is trainable again, they run
 * again. */
static void test_each_part_runs_once_a_step(void **state) {
    (void)state;
    const int threads[] = {1, 2, 8}, before = sw_threads();
    for (int t = 0; t < 2; t++)
        for (int k = 0; k < 3; k++) {
            sw_params *p = matrices_new(both_types[t]), *q = matrices_new(both_types[t]);
            double *c = coefficients_new(p);
            assert_ok(sw_set_threads(threads[k]));
            sw_optim *o = sw_optim_new(p, "rows lr=0.5 cost=1000"), *plain = sw_optim_new(q, "sgd lr=0.5");
            for (int step = 0; step < 6; step++) {
                sw_param_freeze(sw_params_at(p, 20), step >= 2 && step < 4);
                sw_param_freeze(sw_params_at(q, 20), step >= 2 && step < 4);
                assert_ok(step_with(o, p, c));
                assert_ok(step_with(plain, q, c));
            }
            assert_memory_equal(sw_params_x(p), sw_params_x(q), params_bytes(p)); /* powers of 2 times c: exact */
            for (int i = 0; i < MATRICES; i++) {
                const sw_array done = sw_optim_param_slot(o, sw_params_at(p, i), "done");
                assert_int_equal(sw_array_count(&done), i);
                for (int row = 0; row < i; row++)
                    assert_true(test_get(&done, row) == (i == 20 ? 4 : 6));
            }
            free(c);
            sw_optim_free(o);
            sw_optim_free(plain);
            sw_params_free(p);
            sw_params_free(q);
        }
    assert_ok(sw_set_threads(before));
}

/* `tensor` of all parameters, then the parts, the most expensive ones first: a has 2 parts of 6 elements, b one of 5.
 * For so little work no other thread is used. */
static void test_parts_follow_tensor_by_cost(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = sw_optim_new(p, "diary");
    assert_ok(step_with(o, p, some_gradient));
    assert_string_equal(calls, "a b c a0 a1 b0 ");
    sw_param_freeze(sw_params_at(p, 0), true);
    calls[0] = 0;
    assert_ok(step_with(o, p, some_gradient));
    assert_string_equal(calls, "b c b0 ");
    sw_optim_free(o);
    o = sw_optim_new(p, "name=c: diary; name=b: diary; sgd"); /* each group has a list; the last group has no parts */
    calls[0] = 0;
    assert_ok(step_with(o, p, some_gradient));
    assert_string_equal(calls, "c b b0 ");
    sw_optim_free(o);
    sw_params_free(p);
}

/* Two parts, each of which ends when the other has begun, or after 30 s. */
static void test_parts_run_at_the_same_time(void **state) {
    (void)state;
    const int before = sw_threads();
    assert_ok(sw_set_threads(2));
    sw_params *p = small_params(SW_F32);
    sw_optim *o = sw_optim_new(p, "name=a: meeting; sgd");
    atomic_store(&meeting, 0);
    atomic_store(&met, 0);
    assert_ok(step_with(o, p, some_gradient));
    assert_int_equal(atomic_load(&met), 2);
    assert_true(meeting_scratch[0] && meeting_scratch[1] && meeting_scratch[0] != meeting_scratch[1]);
    sw_optim_free(o);
    sw_params_free(p);
    assert_ok(sw_set_threads(before));
}

/* ---- Line searches ---- */

/* The search takes twice the length, or finds no step; then x and the slots are as before. */
static bool search_gives_up;
static sw_status twice_search(sw_search *s, double *alpha) {
    *alpha = 2 * s->initial;
    return search_gives_up ? SW_SKIPPED : SW_OK;
}
static const sw_line_search twice = {.size = sizeof(sw_line_search), .name = "twice", .search = twice_search};
static sw_rule linear_rule;

static void test_line_search_follows_the_parts(void **state) {
    (void)state;
    const int threads[] = {1, 2, 8}, before = sw_threads();
    for (int k = 0; k < 3; k++) {
        sw_params *p = small_params(SW_F64);
        constant_problem f;
        constant_problem_init(&f, p, 1, 1, 0.5);
        assert_ok(sw_set_threads(threads[k]));
        sw_optim *o = NEW_OPTIM(p, .rule = "linear lr=0.25 cost=100000", .estimator = "full", .schedule = "twice");
        double x[SMALL_DIM];
        const sw_array done = sw_optim_param_slot(o, sw_params_at(p, 0), "done");
        for (int step = 1; step <= 6; step++) {
            memcpy(x, sw_params_x(p), sizeof x);
            search_gives_up = step % 2 == 0;
            assert_int_equal(sw_optim_minimize(o, &f.f, NULL), search_gives_up ? SW_SKIPPED : SW_OK);
            for (int i = 0; i < SMALL_DIM; i++)
                assert_true(vec_get(SW_F64, sw_params_x(p), i) == x[i] - (search_gives_up ? 0 : 0.25));
            for (int row = 0; row < 3; row++)
                assert_true(test_get(&done, row) == (step + 1) / 2);
        }
        sw_optim_free(o);
        sw_params_free(p);
    }
    assert_ok(sw_set_threads(before));
}

/* ---- Errors ---- */

/* The step fails with this message, and x, slots and counters are as before. */
static void step_fails(const char *rule, sw_status status, const char *message) {
    const int threads[] = {1, 2, 8}, before = sw_threads();
    for (int k = 0; k < 3; k++) {
        sw_params *p = small_params(SW_F64);
        double x[SMALL_DIM], done[3];
        const int64_t param = fail_param;
        assert_ok(sw_set_threads(threads[k]));
        sw_optim *o = sw_optim_new(p, rule);
        assert_non_null(o);
        const sw_array slot = sw_optim_param_slot(o, sw_params_at(p, 0), "done");
        fail_param = -1;
        const bool writes[2] = {write_scalar, write_coefficient};
        write_scalar = write_coefficient = false;
        assert_ok(step_with(o, p, some_gradient));
        memcpy(x, sw_params_x(p), sizeof x);
        memcpy(done, slot.data, sizeof done);
        fail_param = param;
        write_scalar = writes[0], write_coefficient = writes[1];
        assert_int_equal(step_with(o, p, some_gradient), status);
        expect_error(status, message);
        assert_memory_equal(sw_params_x(p), x, sizeof x);
        assert_memory_equal(slot.data, done, sizeof done);
        assert_int_equal(sw_optim_steps_taken(o), 1);
        assert_true(sw_optim_scalar(o, 0, "steps") == 0);
        sw_optim_free(o);
        sw_params_free(p);
    }
    assert_ok(sw_set_threads(before));
}

static void test_error_of_a_part_ends_the_step(void **state) {
    (void)state;
    fail_param = 1;
    fail_part = 3;
    fail_status = SW_ERR_USER;
    fail_text = "rows: no pivot";
    step_fails("rows", SW_ERR_USER, "rows: no pivot: row 3 of b");
    step_fails("rows cost=100000", SW_ERR_USER, "rows: no pivot: row 3 of b");
    fail_text = NULL;
    step_fails("rows cost=100000", SW_ERR_USER, "rule rows: part returned status 11 without a message");
    fail_status = SW_SKIPPED;
    step_fails("rows cost=100000", SW_ERR_STATE, "rule rows: only begin and decide may skip a step");
}

/* All rows of `a` fail. The message is that of the most expensive row, which is the last one. */
static void test_first_failing_part_counts(void **state) {
    (void)state;
    fail_param = 0;
    fail_part = -1;
    fail_status = SW_ERR_NONFINITE;
    fail_text = "rows: no pivot";
    for (int i = 0; i < 20; i++)
        step_fails("rows cost=100000", SW_ERR_NONFINITE, "rows: no pivot: row 2 of a");
}

static void test_part_may_not_write_numbers(void **state) {
    (void)state;
    write_scalar = true;
    step_fails(
        "rows", SW_ERR_STATE,
        "rule rows: part 2 of parameter a writes a scalar or a coefficient, which all parts share: only begin and "
        "decide may write them");
    write_scalar = false;
    write_coefficient = true;
    step_fails(
        "rows cost=100000", SW_ERR_STATE,
        "rule rows: part 2 of parameter a writes a scalar or a coefficient, which all parts share: only begin and "
        "decide may write them");
}

static void test_wrong_numbers_of_parts_are_refused(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F32);
    options_refused(p, (sw_optim_options){.rule = "endless"},
                    "rule endless: parts returned 9223372036854775807 for parameter b; 0 or more are needed");
    options_refused(p, (sw_optim_options){.rule = "negative"},
                    "rule negative: parts returned -1 for parameter c; 0 or more are needed");
    sw_params_free(p);
}

/* ---- Steps that would overflow ---- */

/* With `reach`, the parts are tried on copies; without it, the step is undone. */
static void test_overflow_in_a_part_is_refused(void **state) {
    (void)state;
    static const char *const message[2] = {"rule reaching: step 2 would make the value of parameter a Inf or NaN: it "
                                           "has grown over many steps; x is unchanged "
                                           "(the gradient's norm is 16; a smaller lr, or weight_decay, is needed)",
                                           "rule rows: step 2 would make x of parameter a Inf or NaN (the gradient's "
                                           "norm is 16): the step is refused, and x is "
                                           "unchanged"};
    for (int k = 0; k < 2; k++) {
        sw_params *p = small_params(SW_F32);
        sw_optim *o = sw_optim_new(p, k ? "rows lr=1e30" : "reaching lr=1e30");
        double c[SMALL_DIM] = {[5] = 16}, zero[SMALL_DIM] = {0};
        assert_non_null(o);
        assert_ok(step_with(o, p, zero));
        float x[SMALL_DIM], *at = sw_params_x(p);
        at[5] = -FLT_MAX;
        sw_params_mark_changed(p);
        memcpy(x, at, sizeof x);
        assert_int_equal(step_with(o, p, c), SW_ERR_NONFINITE);
        expect_error(SW_ERR_NONFINITE, message[k]);
        assert_memory_equal(at, x, sizeof x);
        const sw_array done = sw_optim_param_slot(o, sw_params_at(p, 0), "done");
        assert_true(test_get(&done, 1) == 1);
        at[5] = 0;
        sw_params_mark_changed(p);
        assert_ok(step_with(o, p, c));
        assert_true(at[5] == -1.6e31f && test_get(&done, 1) == 2);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* ---- Memory ---- */

/* Every allocation of an optimizer with parts fails in turn. Later steps allocate only if there are more threads than
 * before. If this allocation fails, x does not change. */
static void test_failing_allocations_are_errors(void **state) {
    (void)state;
    const int before = sw_threads();
    test_allocator a;
    test_allocator_install(&a);
    sw_params *p = matrices_new(SW_F32);
    double *c = coefficients_new(p);
    bool made = false;
    assert_ok(sw_set_threads(1));
    for (long long k = 1; !made; k++) {
        assert_true(k < 1000);
        test_allocator_fail(&a, k, true);
        sw_optim *o = sw_optim_new(p, "reaching lr=0.5 cost=1000");
        test_allocator_fail(&a, 0, false);
        made = o != NULL;
        if (!made)
            assert_int_equal(sw_error_status(), SW_ERR_MEMORY);
        sw_clear_error();
        sw_optim_free(o);
    }
    sw_optim *o = sw_optim_new(p, "reaching lr=0.5 cost=1000");
    sw_tape *tape = sw_tape_new();
    for (int step = 0; step < 4; step++) {
        assert_ok(sw_set_threads(step < 2 ? 1 : 2));
        assert_ok(sw_backward(inner_loss(tape, p, c)));
        if (step == 2) {
            float x[WIDTH];
            memcpy(x, sw_params_x(p), sizeof x);
            test_allocator_fail(&a, 1, true);
            assert_int_equal(sw_optim_step(o), SW_ERR_MEMORY);
            test_allocator_fail(&a, 0, false);
            sw_clear_error();
            assert_memory_equal(sw_params_x(p), x, sizeof x);
            assert_int_equal(sw_optim_steps_taken(o), 2);
            assert_ok(sw_backward(inner_loss(tape, p, c)));
        }
        test_allocator_fail(&a, 0, false);
        assert_ok(sw_optim_step(o));
        assert_int_equal(atomic_load(&a.calls) != 0, step == 2);
        sw_tape_reset(tape);
    }
    sw_tape_free(tape);
    sw_optim_free(o);
    sw_params_free(p);
    free(c);
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
    assert_ok(sw_set_threads(before));
}

static int register_all(void **state) {
    (void)state;
    reaching_rule = endless_rule = negative_rule = linear_rule = rows_rule;
    linear_rule.name = "linear";
    linear_rule.flags = SW_RULE_LINEAR;
    reaching_rule.name = "reaching";
    reaching_rule.reach = rows_reach;
    endless_rule.name = "endless";
    endless_rule.parts = endless_parts;
    negative_rule.name = "negative";
    negative_rule.parts = negative_parts;
    return sw_rule_register(&rows_rule) || sw_rule_register(&linear_rule) || sw_line_search_register(&twice) ||
           sw_rule_register(&reaching_rule) || sw_rule_register(&diary_rule) || sw_rule_register(&endless_rule) ||
           sw_rule_register(&negative_rule) || sw_rule_register(&meeting_rule);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_each_part_runs_once_a_step),    TEST(test_parts_follow_tensor_by_cost),
        TEST(test_parts_run_at_the_same_time),    TEST(test_line_search_follows_the_parts),
        TEST(test_error_of_a_part_ends_the_step), TEST(test_first_failing_part_counts),
        TEST(test_part_may_not_write_numbers),    TEST(test_wrong_numbers_of_parts_are_refused),
        TEST(test_overflow_in_a_part_is_refused), TEST(test_failing_allocations_are_errors),
    };
    return cmocka_run_group_tests_name("rule_parts", tests, register_all, NULL);
}
