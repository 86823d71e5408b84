/* The state of layers between forward passes: sequences in parts, resets, several tapes, calls, models and threads,
 * messages, and memory. */
#include "helpers.h"

#include <pthread.h>

/* ---- A layer with a state: running sums over axis 1 of [batch, time, features] ---- */

typedef struct sums {
    int64_t positions;
    double sum[]; /* [batch, features] */
} sums;

static size_t sums_bytes(const sw_array *a) {
    return sizeof(sums) + (size_t)(a->shape[0] * a->shape[2]) * sizeof(double);
}

static sw_tensor sums_forward(sw_module *m, sw_tensor x) {
    const sw_array in = sw_value(x);
    const sw_tensor y = sw_empty(x.tape, in.type, in.rank, in.shape), none = {0};
    if (sw_is_null(y))
        return none;
    const sw_array out = sw_value(y);
    sums *s = sw_module_state(m, x.tape, in.shape[0], sizeof(sums)); /* more is asked for below */
    s = s ? sw_module_state(m, x.tape, in.shape[0], sums_bytes(&in)) : NULL;
    if (!s)
        return none;
    assert_true((uintptr_t)s % SW_ALIGNMENT == 0);
    s->positions += in.shape[1];
    for (int64_t b = 0; b < in.shape[0]; b++)
        for (int64_t i = 0; i < in.shape[1] * in.shape[2]; i++) {
            double *sum = &s->sum[b * in.shape[2] + i % in.shape[2]];
            const int64_t at = b * in.shape[1] * in.shape[2] + i;
            *sum += test_get(&in, at);
            test_set(&out, at, *sum);
        }
    return y;
}

static const sw_module_type sums_type = {.size = sizeof(sw_module_type), .name = "sums", .forward = sums_forward};

static sw_module *sums_new(sw_model *model) {
    return sw_module_new(model, &sums_type, 0);
}

/* Refuses numbers above 99. */
static sw_tensor strict_forward(sw_module *m, sw_tensor x) {
    const sw_array a = sw_value(x);
    for (int64_t i = 0; i < sw_array_count(&a); i++)
        if (test_get(&a, i) > 99) {
            sw_fail(SW_ERR_USER, "layer %s: a large number", m->name);
            return (sw_tensor){0};
        }
    return x;
}
static const sw_module_type strict_type = {.size = sizeof(sw_module_type), .name = "strict", .forward = strict_forward};

/* ---- Runs ---- */

enum { BATCH = 2, TIME = 6, FEATURES = 3 };
static const int64_t whole[] = {BATCH, TIME, FEATURES};

static sw_tape *tape_with(sw_state *state) {
    sw_tape *tape = sw_tape_new();
    sw_tape_set_switch(tape, SW_RECORD | SW_TRAIN, false);
    assert_ok(sw_tape_set_state(tape, state));
    assert_ptr_equal(sw_tape_state(tape), state);
    return tape;
}

/* The positions [from, to) of x [BATCH, TIME, FEATURES]. */
static sw_tensor positions(sw_tape *tape, const sw_array *x, int64_t from, int64_t to) {
    return sw_slice(sw_input(tape, *x), 1, from, to);
}

static void expect_positions(sw_tensor t, const sw_array *x, int64_t from, int64_t to) {
    const sw_array own = sw_value(t);
    expect_no_error();
    assert_int_equal(own.shape[1], to - from);
    for (int64_t i = 0; i < sw_array_count(&own); i++) {
        const int64_t row = (to - from) * FEATURES, at = i / row * TIME * FEATURES + from * FEATURES + i % row;
        assert_true(test_get(&own, i) == test_get(x, at));
    }
}

/* The running sums of x, computed here. */
static sw_array sums_of(const sw_array *x) {
    sw_array y = test_array(x->type, 3, whole);
    for (int64_t b = 0; b < BATCH; b++)
        for (int64_t i = 0; i < TIME * FEATURES; i++) {
            const int64_t at = b * TIME * FEATURES + i;
            test_set(&y, at, test_get(x, at) + (i >= FEATURES ? test_get(&y, at - FEATURES) : 0));
        }
    return y;
}

/* Integers, so that sums are exact. */
static sw_array integers(uint64_t seed) {
    sw_array x = test_array(SW_F64, 3, whole);
    for (int64_t i = 0; i < sw_array_count(&x); i++)
        test_set(&x, i, (double)(test_random(&seed) % 16));
    return x;
}

static void test_parts_of_a_sequence_continue_it(void **unused) {
    (void)unused;
    sw_array x = integers(1), y = sums_of(&x), z = sums_of(&y);
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *root = sw_nn_sequential(model, sums_new(model), sw_nn_sequential(model, sums_new(model)));
    built(model, root);
    sw_state *state = sw_state_new();
    sw_tape *tape = tape_with(state), *other = tape_with(state);
    for (int round = 0; round < 3; round++) {
        expect_positions(sw_forward(root, positions(tape, &x, 0, 2)), &z, 0, 2);
        expect_positions(sw_forward(root, positions(tape, &x, 2, 3)), &z, 2, 3);
        sw_tape_reset(tape); /* does not change the state */
        expect_positions(sw_forward(root, positions(tape, &x, 3, 4)), &z, 3, 4);
        if (round == 1) /* the state moves to another tape */
            expect_positions(sw_forward(root, positions(other, &x, 4, 6)), &z, 4, 6);
        sw_state_reset(state);
    }
    expect_positions(sw_forward(root, positions(tape, &x, 0, TIME)), &z, 0, TIME);
    assert_true(sw_state_bytes(state) >= 2 * sizeof(sums));
    sw_tape_free(tape), sw_tape_free(other), sw_state_free(state), sw_model_free(model);
    test_array_free(&x), test_array_free(&y), test_array_free(&z);
}

static sw_tensor twice_forward(sw_module *self, sw_tensor x) {
    const sw_tensor once = sw_forward(sw_module_child(self, 0), x);
    return sw_forward(sw_module_child(self, 0), once);
}

/* A layer that a pass calls twice has two memories. */
static void test_calls_of_a_layer_have_separate_memories(void **unused) {
    (void)unused;
    sw_array x = integers(2), y = sums_of(&x), z = sums_of(&y);
    sw_model *model = sw_model_new(SW_F64, 1);
    const sw_sample_shape out = {.rank = 2, .length = {TIME, FEATURES}};
    sw_module *inner = sums_new(model),
              *root = sw_nn_compose_with_options(model, "twice", twice_forward, 1, &inner,
                                                 &SW_OPTIONS(sw_compose_options, .out = &out));
    built(model, root);
    sw_state *state = sw_state_new();
    sw_tape *tape = tape_with(state);
    expect_positions(sw_forward(root, positions(tape, &x, 0, 1)), &z, 0, 1);
    expect_positions(sw_forward(root, positions(tape, &x, 1, 4)), &z, 1, 4);
    expect_positions(sw_forward(root, positions(tape, &x, 4, 6)), &z, 4, 6);
    sw_tape_free(tape), sw_state_free(state), sw_model_free(model);
    test_array_free(&x), test_array_free(&y), test_array_free(&z);
}

/* Two models in one state; a model whose layer may have the address of one that was freed begins with zeros. */
static void test_models_have_separate_memories(void **unused) {
    (void)unused;
    sw_array x = integers(3), y = sums_of(&x);
    sw_state *state = sw_state_new();
    sw_tape *tape = tape_with(state);
    for (int i = 0; i < 3; i++) {
        sw_model *models[2] = {sw_model_new(SW_F64, 1), sw_model_new(SW_F64, 1)};
        for (int k = 0; k < 2; k++) {
            sw_module *root = sums_new(models[k]);
            built(models[k], root);
            expect_positions(sw_forward(root, positions(tape, &x, 0, 2)), &y, 0, 2);
            expect_positions(sw_forward(root, positions(tape, &x, 2, 6)), &y, 2, 6);
        }
        sw_model_free(models[0]), sw_model_free(models[1]);
    }
    sw_tape_free(tape), sw_state_free(state);
    test_array_free(&x), test_array_free(&y);
}

/* ---- Threads ---- */

typedef struct worker {
    sw_module *root;
    const sw_array *x, *y;
    bool good;
} worker;

static void *worker_run(void *argument) {
    worker *w = argument;
    sw_state *state = sw_state_new();
    sw_tape *tape = sw_tape_new();
    sw_tape_set_switch(tape, SW_RECORD | SW_TRAIN, false);
    sw_tape_set_state(tape, state);
    w->good = true;
    for (int round = 0; round < 20; round++) {
        for (int64_t t = 0; t < TIME; t++) {
            const sw_array own = sw_value(sw_forward(w->root, positions(tape, w->x, t, t + 1)));
            for (int64_t i = 0; i < BATCH * FEATURES; i++)
                w->good &= own.data && test_get(&own, i) ==
                                           test_get(w->y, i / FEATURES * TIME * FEATURES + t * FEATURES + i % FEATURES);
        }
        sw_state_reset(state);
        sw_tape_reset(tape);
    }
    sw_tape_free(tape), sw_state_free(state);
    return NULL;
}

static void test_threads_share_a_model(void **unused) {
    (void)unused;
    enum { WORKERS = 4 };
    sw_array x[WORKERS], y[WORKERS];
    worker workers[WORKERS];
    pthread_t threads[WORKERS];
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *root = sums_new(model);
    built(model, root);
    for (int i = 0; i < WORKERS; i++) {
        x[i] = integers((uint64_t)i + 10), y[i] = sums_of(&x[i]);
        workers[i] = (worker){root, &x[i], &y[i], false};
        assert_int_equal(pthread_create(&threads[i], NULL, worker_run, &workers[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(workers[i].good);
        test_array_free(&x[i]), test_array_free(&y[i]);
    }
    sw_model_free(model);
}

/* ---- Mistakes ---- */

static void test_another_batch_and_recording_are_refused(void **unused) {
    (void)unused;
    sw_array x = integers(4), y = sums_of(&x);
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *root = sums_new(model);
    built(model, root);
    sw_state *state = sw_state_new();
    sw_tape *tape = tape_with(state);
    expect_positions(sw_forward(root, positions(tape, &x, 0, 2)), &y, 0, 2);
    assert_true(sw_is_null(sw_forward(root, sw_empty(tape, SW_F64, SW_SHAPE(1, 2, FEATURES)))));
    expect_error(SW_ERR_SHAPE, "layer sums1: a batch of 1, but the state has sequences of a batch of 2 (call "
                               "sw_state_reset before another batch)");
    assert_true(sw_is_null(sw_forward(root, positions(tape, &x, 2, 3))));
    expect_error(SW_ERR_STATE, "forward: an earlier pass with this state failed, so that its layers are not at one "
                               "position (call sw_state_reset)");
    sw_state_reset(state);
    assert_false(sw_is_null(sw_forward(root, sw_empty(tape, SW_F64, SW_SHAPE(1, 2, FEATURES)))));
    sw_state_reset(state);
    sw_tape_set_switch(tape, SW_RECORD, true);
    assert_true(sw_is_null(sw_forward(root, positions(tape, &x, 0, 2))));
    expect_error(SW_ERR_STATE, "forward: the tape has a state, through which no gradient flows (turn SW_RECORD off, or "
                               "take the state off the tape by sw_tape_set_state)");
    sw_tape_set_switch(tape, SW_RECORD, false);
    expect_positions(sw_forward(root, positions(tape, &x, 0, 2)), &y, 0, 2); /* the refused call changed nothing */
    assert_ok(sw_tape_set_state(tape, NULL));
    assert_null(sw_tape_state(tape));
    assert_null(sw_module_state(root, tape, 1, 8));
    expect_error(SW_ERR_STATE, "module_state: the tape has no state (sw_tape_set_state)");
    assert_null(sw_module_state(NULL, tape, 1, 8));
    expect_error(SW_ERR_STATE, "module_state: the layer is NULL");
    assert_int_equal(sw_tape_set_state(NULL, state), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "tape_set_state: the tape is NULL");
    assert_null(sw_tape_state(NULL));
    assert_int_equal(sw_state_bytes(NULL), 0);
    sw_state_reset(NULL);
    sw_state_free(NULL);
    sw_tape_free(tape), sw_state_free(state), sw_model_free(model);
    test_array_free(&x), test_array_free(&y);
}

/* The first layer has continued when the second fails. */
static void test_state_of_a_failed_pass_is_refused(void **unused) {
    (void)unused;
    sw_array x = integers(5), y = sums_of(&x), z = integers(5);
    test_set(&z, 0, 100);
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *root = sw_nn_sequential(model, sums_new(model), sw_module_new(model, &strict_type, 0));
    built(model, root);
    sw_state *state = sw_state_new();
    sw_tape *tape = tape_with(state);
    assert_true(sw_is_null(sw_forward(root, positions(tape, &z, 0, 1))));
    expect_error(SW_ERR_USER, "layer strict1: a large number");
    assert_true(sw_is_null(sw_forward(root, positions(tape, &x, 0, 1))));
    assert_int_equal(sw_error_status(), SW_ERR_STATE);
    sw_clear_error();
    sw_state_reset(state);
    expect_positions(sw_forward(root, positions(tape, &x, 0, 4)), &y, 0, 4);
    sw_tape_free(tape), sw_state_free(state), sw_model_free(model);
    test_array_free(&x), test_array_free(&y), test_array_free(&z);
}

/* ---- Memory ---- */

static bool run_of_two_parts(const void *user) {
    const sw_array *x = user;
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *root = model ? sw_nn_sequential(model, sums_new(model), sums_new(model)) : NULL;
    sw_state *state = root && sw_model_build(model, root) ? sw_state_new() : NULL;
    sw_tape *tape = state ? sw_tape_new() : NULL;
    bool good = tape != NULL;
    sw_tape_set_switch(tape, SW_RECORD, false);
    if (tape)
        sw_tape_set_state(tape, state);
    for (int64_t t = 0; t < 2 && good; t++)
        good = !sw_is_null(sw_forward(root, positions(tape, x, t, t + 1)));
    sw_tape_free(tape), sw_state_free(state), sw_model_free(model);
    return good;
}

static void test_every_allocation_may_fail(void **unused) {
    (void)unused;
    sw_array x = integers(6);
    expect_failed_allocations(run_of_two_parts, &x, 8);
    test_array_free(&x);
}

static void test_further_passes_allocate_nothing(void **unused) {
    (void)unused;
    sw_array x = integers(7), y = sums_of(&x);
    test_allocator a;
    test_allocator_install(&a);
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *root = sums_new(model);
    built(model, root);
    sw_state *state = sw_state_new();
    sw_tape *tape = tape_with(state);
    long long calls = 0;
    for (int round = 0; round < 3; round++) {
        for (int64_t t = 0; t < TIME; t++) {
            expect_positions(sw_forward(root, positions(tape, &x, t, t + 1)), &y, t, t + 1);
            sw_tape_reset(tape);
            if (round == 0 && t == 0)
                calls = atomic_load(&a.calls);
        }
        sw_state_reset(state);
    }
    assert_int_equal(atomic_load(&a.calls), calls);
    sw_tape_free(tape), sw_state_free(state), sw_model_free(model);
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
    test_array_free(&x), test_array_free(&y);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_parts_of_a_sequence_continue_it),
        TEST(test_calls_of_a_layer_have_separate_memories),
        TEST(test_models_have_separate_memories),
        TEST(test_threads_share_a_model),
        TEST(test_another_batch_and_recording_are_refused),
        TEST(test_state_of_a_failed_pass_is_refused),
        TEST(test_every_allocation_may_fail),
        TEST(test_further_passes_allocate_nothing),
    };
    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
