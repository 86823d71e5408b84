/* An error is pending until it is cleared. Loops do not start or continue while one is pending, so that its message
 * ends them, and they do not look like successful runs. Other functions return the status of their failure. */
#include "support.h"

#include <swale/datasets.h>
#include <swale/extend.h>
#include <swale/nn.h>
#include <swale/optim.h>

enum { N = 20, BATCH = 4, BATCHES = N / BATCH };

/* Two numbers a sample, and their sum as the target; counts the samples it was asked for. */
typedef struct plane {
    sw_source source;
    atomic_int gathered;
} plane;

static sw_status plane_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                              void *x, void *y) {
    plane *p = (plane *)(uintptr_t)source;
    (void)draw;
    assert_int_equal(type, SW_F32);
    for (int64_t i = 0; i < count; i++) {
        const float a = (float)ids[i] / N, b = 1 - 2 * a;
        if (x) {
            ((float *)x)[2 * i] = a;
            ((float *)x)[2 * i + 1] = b;
        }
        if (y)
            ((float *)y)[i] = a + b;
    }
    atomic_fetch_add(&p->gathered, (int)count);
    return SW_OK;
}

static void plane_init(plane *p) {
    memset(p, 0, sizeof *p);
    p->source = (sw_source){.size = sizeof(sw_source),
                            .n = N,
                            .x_rank = 1,
                            .x_shape = {2},
                            .y_rank = 1,
                            .y_shape = {1},
                            .y_type = SW_F64,
                            .gather = plane_gather};
}

static sw_model *line_new(void) {
    sw_model *model = sw_model_new(SW_F32, 1);
    assert_non_null(sw_model_build(model, sw_nn_linear(model, 2, 1)));
    return model;
}

static sw_loader *loader_of(const plane *p, bool prefetch) {
    const sw_loader_options o = {.size = sizeof o, .seed = 5, .prefetch = prefetch ? SW_PREFETCH_ON : SW_PREFETCH_OFF};
    return sw_loader_new(&p->source, BATCH, &o);
}

/* The loop of README.md; how often its body ran. */
static int hand_written_loop(sw_model *model, sw_optim *optim, sw_loader *loader, sw_tape *tape) {
    int steps = 0;
    for (sw_batch b; sw_loader_next(loader, tape, &b); sw_tape_reset(tape), steps++) {
        sw_backward(sw_mse(sw_forward(sw_model_root(model), b.x), b.y));
        sw_optim_step(optim);
    }
    return steps;
}

/* ---- Hand-written loops ---- */

static void test_pending_error_ends_a_loop_before_its_first_batch(void **state) {
    (void)state;
    for (int prefetch = 0; prefetch < 2; prefetch++) {
        plane p;
        plane_init(&p);
        sw_model *model = line_new();
        sw_optim *optim = sw_optim_new(sw_model_params(model), "adamm lr=1e-3");
        assert_null(optim);
        sw_loader *loader = loader_of(&p, prefetch);
        sw_tape *tape = sw_tape_new();
        assert_int_equal(hand_written_loop(model, optim, loader, tape), 0);
        assert_int_equal(atomic_load(&p.gathered), 0);
        assert_non_null(sw_error());
        assert_non_null(strstr(sw_error(), "adamm"));
        sw_clear_error();
        optim = sw_optim_new(sw_model_params(model), "adam lr=1e-3");
        assert_int_equal(hand_written_loop(model, optim, loader, tape), BATCHES);
        assert_int_equal(sw_optim_steps_taken(optim), BATCHES);
        expect_no_error();
        sw_tape_free(tape);
        sw_loader_free(loader);
        sw_optim_free(optim);
        sw_model_free(model);
    }
}

/* A step of the loop fails: the loop ends there, and not N steps later. */
static void test_failed_step_ends_a_loop(void **state) {
    (void)state;
    for (int prefetch = 0; prefetch < 2; prefetch++) {
        plane p;
        plane_init(&p);
        sw_model *model = line_new();
        sw_loader *loader = loader_of(&p, prefetch);
        sw_tape *tape = sw_tape_new();
        int steps = 0;
        for (sw_batch b; sw_loader_next(loader, tape, &b); sw_tape_reset(tape), steps++)
            if (steps == 2)
                assert_true(sw_is_null(sw_matmul(b.x, b.x)));
        assert_int_equal(steps, 3);
        assert_int_equal(sw_error_status(), SW_ERR_SHAPE);
        assert_non_null(strstr(sw_error(), "matmul"));
        sw_clear_error();
        sw_tape_free(tape);
        sw_loader_free(loader);
        sw_model_free(model);
    }
}

static void test_pending_error_moves_no_loader(void **state) {
    (void)state;
    for (int prefetch = 0; prefetch < 2; prefetch++)
        for (int at = 0; at <= BATCHES; at++) {
            plane p;
            plane_init(&p);
            sw_loader *straight = loader_of(&p, false), *refused = loader_of(&p, prefetch);
            sw_tape *tapes[2] = {sw_tape_new(), sw_tape_new()};
            sw_batch a, b;
            sw_loader_position before = {.size = sizeof before}, after = before;
            for (int i = 0; i < 3 * BATCHES; i++) {
                if (i % (BATCHES + 1) == at) {
                    assert_int_equal(sw_loader_get_position(refused, &before), SW_OK);
                    sw_fail(SW_ERR_IO, "somebody else's");
                    for (int k = 0; k < 3; k++) {
                        assert_false(sw_loader_next(refused, tapes[1], &b));
                        assert_true(sw_is_null(b.x) && sw_is_null(b.y) && !b.ids && b.count == 0);
                    }
                    assert_int_equal(sw_loader_get_position(refused, &after), SW_OK);
                    assert_memory_equal(&before, &after, sizeof before);
                    expect_error(SW_ERR_IO, "somebody else's");
                    assert_int_equal(sw_loader_epoch(refused), before.epoch);
                }
                const bool more = sw_loader_next(straight, tapes[0], &a);
                assert_true(sw_loader_next(refused, tapes[1], &b) == more);
                if (more) {
                    assert_int_equal(a.count, b.count);
                    assert_memory_equal(a.ids, b.ids, (size_t)a.count * sizeof *a.ids);
                    assert_memory_equal(sw_value(a.x).data, sw_value(b.x).data, (size_t)a.count * 2 * sizeof(float));
                }
                sw_tape_reset(tapes[0]);
                sw_tape_reset(tapes[1]);
            }
            expect_no_error();
            sw_tape_free(tapes[0]);
            sw_tape_free(tapes[1]);
            sw_loader_free(straight);
            sw_loader_free(refused);
        }
}

/* A loop that asks for nothing but the number of epochs ends as well. */
static void test_failed_step_ends_a_loop_over_an_epoch(void **state) {
    (void)state;
    plane p;
    plane_init(&p);
    sw_loader *loader = loader_of(&p, false);
    sw_tape *tape = sw_tape_new();
    sw_batch b;
    assert_true(sw_loader_next(loader, tape, &b));
    sw_tape_reset(tape);
    sw_fail(SW_ERR_IO, "pending");
    int rounds = 0;
    while (sw_loader_epoch(loader) < 10) {
        while (sw_loader_next(loader, tape, &b))
            fail();
        assert_true(++rounds <= 10);
    }
    assert_int_equal(rounds, 10);
    sw_clear_error();
    assert_int_equal(sw_loader_epoch(loader), 0);
    for (int i = 1; i < BATCHES; i++, sw_tape_reset(tape))
        assert_true(sw_loader_next(loader, tape, &b));
    assert_false(sw_loader_next(loader, tape, &b));
    assert_int_equal(sw_loader_epoch(loader), 1);
    sw_tape_free(tape);
    sw_loader_free(loader);
}

/* ---- sw_train and steps ---- */

#define OPTIONS(...) (&(const sw_train_options){.size = sizeof(sw_train_options), __VA_ARGS__})

typedef struct setting {
    plane p;
    sw_model *model;
    sw_params *params;
    const sw_objective *f;
    sw_optim *optim;
} setting;

static void setting_init(setting *s) {
    plane_init(&s->p);
    s->model = line_new();
    s->params = sw_model_params(s->model);
    s->f = sw_model_objective(s->model, &s->p.source, sw_mse);
    const sw_optim_options o = {.size = sizeof o, .estimator = "minibatch batch=4", .rule = "sgd lr=0.1"};
    s->optim = sw_optim_new_with_options(s->params, &o);
    assert_non_null(s->f);
    assert_non_null(s->optim);
}

static void setting_free(setting *s) {
    sw_optim_free(s->optim);
    sw_model_free(s->model);
}

static void test_stale_error_ends_no_run(void **state) {
    (void)state;
    setting s;
    setting_init(&s);
    sw_train_result result;
    float before[3];
    memcpy(before, sw_params_x(s.params), sizeof before);
    sw_fail(SW_ERR_IO, "of long ago");
    assert_int_equal(sw_train(s.f, s.optim, OPTIONS(.epochs = 2), &result), SW_ERR_IO);
    assert_int_equal(result.reason, SW_TRAIN_ERROR);
    assert_int_equal(result.steps, 0);
    assert_int_equal(sw_optim_steps_taken(s.optim), 0);
    assert_int_equal(atomic_load(&s.p.gathered), 0);
    assert_memory_equal(before, sw_params_x(s.params), sizeof before);
    expect_error(SW_ERR_IO, "of long ago");
    assert_int_equal(sw_train(s.f, s.optim, OPTIONS(.epochs = 2), &result), SW_OK);
    assert_int_equal(result.steps, 2 * BATCHES);
    expect_no_error();
    setting_free(&s);
}

static void test_no_step_is_taken_while_an_error_is_pending(void **state) {
    (void)state;
    setting s;
    setting_init(&s);
    float before[3];
    double value = 1;
    memcpy(before, sw_params_x(s.params), sizeof before);
    sw_fail(SW_ERR_IO, "of long ago");
    assert_int_equal(sw_optim_minimize(s.optim, s.f, &value), SW_ERR_IO);
    assert_true(isnan(value));
    sw_tape *tape = sw_tape_new();
    const int64_t ids[2] = {0, 1};
    sw_batch b;
    assert_int_equal(sw_source_batch(&s.p.source, tape, SW_F32, ids, 2, &b), SW_OK);
    assert_int_equal(sw_backward(sw_mse(sw_forward(sw_model_root(s.model), b.x), b.y)), SW_OK);
    assert_int_equal(sw_optim_step(s.optim), SW_ERR_IO);
    assert_memory_equal(before, sw_params_x(s.params), sizeof before);
    assert_int_equal(sw_optim_steps_taken(s.optim), 0);
    expect_error(SW_ERR_IO, "of long ago");
    assert_int_equal(sw_optim_step(s.optim), SW_OK); /* the gradient is still there */
    assert_int_equal(sw_optim_minimize(s.optim, s.f, &value), SW_OK);
    assert_int_equal(sw_optim_steps_taken(s.optim), 2);
    expect_no_error();
    sw_tape_free(tape);
    setting_free(&s);
}

/* Loops that count epochs or steps and never check a status, before their first step and after some. */
static void test_loops_over_the_optimizers_counters_end(void **state) {
    (void)state;
    enum { BEFORE = 2, MOST = 1000 }; /* steps before the error, and calls that mean that a loop would never end */
    setting s;
    setting_init(&s);
    const sw_train_options *how = OPTIONS(.epochs = 3);
    for (int i = 0; i < BEFORE; i++)
        assert_int_equal(sw_optim_minimize(s.optim, s.f, NULL), SW_OK);
    assert_true(sw_optim_epoch(s.optim) == (double)(BEFORE * BATCH) / N);
    assert_int_equal(sw_train_remaining(s.f, s.optim, how), 3 * BATCHES - BEFORE);
    sw_fail(SW_ERR_IO, "of long ago");
    int calls = 0;
    while (sw_optim_epoch(s.optim) < 3 && calls++ < MOST)
        sw_optim_minimize(s.optim, s.f, NULL);
    assert_int_equal(calls, 0);
    for (; !(sw_optim_epoch(s.optim) >= 3) && calls < MOST; calls++)
        sw_optim_minimize(s.optim, s.f, NULL);
    assert_int_equal(calls, 0);
    while (sw_train_remaining(s.f, s.optim, how) > 0 && calls++ < MOST)
        sw_optim_minimize(s.optim, s.f, NULL);
    assert_int_equal(calls, 0);
    assert_int_equal(sw_train_remaining(s.f, s.optim, how), -1);
    assert_int_equal(sw_optim_steps_taken(s.optim), BEFORE); /* a number of things that happened: it stays */
    while (sw_optim_steps_taken(s.optim) < 10 && !sw_error() && calls++ < MOST) /* as optim.h writes this loop */
        sw_optim_minimize(s.optim, s.f, NULL);
    assert_int_equal(calls, 0);
    assert_true(sw_optim_epoch(NULL) == (double)INFINITY); /* one that could not be made */
    expect_error(SW_ERR_IO, "of long ago");
    /* Cleared, the numbers are the real ones, and the loops go on. */
    assert_true(sw_optim_epoch(s.optim) == (double)(BEFORE * BATCH) / N);
    assert_int_equal(sw_train_remaining(s.f, s.optim, how), 3 * BATCHES - BEFORE);
    while (sw_optim_epoch(s.optim) < 2 && calls++ < MOST)
        assert_int_equal(sw_optim_minimize(s.optim, s.f, NULL), SW_OK);
    assert_int_equal(calls, 2 * BATCHES - BEFORE);
    while (sw_train_remaining(s.f, s.optim, how) > 0 && calls++ < MOST)
        assert_int_equal(sw_optim_minimize(s.optim, s.f, NULL), SW_OK);
    assert_int_equal(sw_optim_steps_taken(s.optim), 3 * BATCHES);
    expect_no_error();
    setting_free(&s);
}

/* Every step is skipped, and no status is checked: the loop of README.md ends all the same, and so does one over
 * epochs of the optimizer. */
static void test_loops_without_any_step_end(void **state) {
    (void)state;
    enum { MOST = 100, FOR_EVER = 1000 }; /* skipped steps that are too many; rounds that mean it would not end */
    plane p;
    plane_init(&p);
    sw_model *model = line_new();
    sw_params *params = sw_model_params(model);
    sw_loader *loader = loader_of(&p, false);
    sw_tape *tape = sw_tape_new();
    sw_optim *optim = sw_optim_new(params, "sgd lr=0.1");
    ((float *)sw_params_x(params))[0] = (float)NAN;
    int rounds = 0;
    while (sw_loader_epoch(loader) < FOR_EVER && !sw_error() && rounds++ < FOR_EVER)
        hand_written_loop(model, optim, loader, tape);
    assert_int_equal(rounds, MOST / BATCHES);
    assert_int_equal(sw_optim_steps_skipped(optim), MOST);
    assert_int_equal(sw_error_status(), SW_ERR_NONFINITE);
    sw_clear_error();
    const sw_objective *f = sw_model_objective(model, &p.source, sw_mse);
    for (rounds = 0; sw_optim_epoch(optim) < FOR_EVER && rounds < FOR_EVER; rounds++)
        sw_optim_minimize(optim, f, NULL);
    assert_int_equal(rounds, MOST);
    assert_int_equal(sw_error_status(), SW_ERR_NONFINITE);
    sw_clear_error();
    sw_tape_free(tape);
    sw_loader_free(loader);
    sw_optim_free(optim);
    sw_model_free(model);
}

/* Looks for a file that is not there after every second step. */
static sw_status look_for_a_file(void *user, sw_train_state *s) {
    const bool clears = *(const bool *)user;
    if (s->step % 2 == 0) {
        assert_null(sw_archive_load("/nowhere/extra.safetensors"));
        if (clears)
            sw_clear_error();
    }
    return SW_OK;
}

static void test_error_handled_by_a_callback_fails_no_run(void **state) {
    (void)state;
    setting s;
    setting_init(&s);
    sw_train_result result;
    bool clears = true;
    assert_int_equal(sw_train(s.f, s.optim, OPTIONS(.epochs = 2, .user = &clears, .log = look_for_a_file), &result),
                     SW_OK);
    assert_int_equal(result.steps, 2 * BATCHES);
    expect_no_error();
    clears = false;
    assert_int_equal(sw_train(s.f, s.optim, OPTIONS(.epochs = 4, .user = &clears, .log = look_for_a_file), &result),
                     SW_ERR_IO);
    assert_int_equal(result.reason, SW_TRAIN_ERROR);
    assert_int_equal(result.steps, 2); /* the run goes on at step 10 and ends after 12 */
    assert_non_null(strstr(sw_error(), "/nowhere/extra.safetensors"));
    sw_clear_error();
    setting_free(&s);
}

static sw_tensor loss_that_leaves_an_error(sw_tensor prediction, sw_tensor target) {
    sw_fail(SW_ERR_USER, "left by the loss");
    return sw_mse(prediction, target);
}

static void test_error_left_by_the_objective_is_kept(void **state) {
    (void)state;
    setting s;
    setting_init(&s);
    sw_train_result result;
    const sw_objective *f = sw_model_objective(s.model, &s.p.source, loss_that_leaves_an_error);
    sw_optim *optim = sw_optim_new(s.params, "sgd lr=0.1"); /* all samples: one step */
    assert_int_equal(sw_train(f, optim, OPTIONS(.steps = 1), &result), SW_ERR_USER);
    assert_int_equal(result.reason, SW_TRAIN_ERROR);
    expect_error(SW_ERR_USER, "left by the loss");
    sw_optim_free(optim);
    setting_free(&s);
}

static void test_missing_optional_file_fails_no_run(void **state) {
    (void)state;
    setting s;
    setting_init(&s);
    if (sw_model_load(s.model, "/nowhere/last.safetensors") == SW_OK)
        fail();
    sw_clear_error();
    assert_int_equal(sw_train(s.f, s.optim, OPTIONS(.epochs = 1), NULL), SW_OK);
    assert_null(sw_error());
    setting_free(&s);
}

/* As error.h shows it: what the caller had pending stays, and nothing is added to it. */
static void try_an_optional_file(void) {
    const bool pending = sw_error() != NULL;
    sw_archive *cache = sw_archive_load("/nowhere/cache.safetensors");
    assert_null(cache);
    if (!cache && !pending)
        sw_clear_error();
}

static void test_failed_attempt_changes_nothing(void **state) {
    (void)state;
    try_an_optional_file();
    expect_no_error();
    sw_fail(SW_ERR_TYPE, "the caller's");
    try_an_optional_file();
    expect_error(SW_ERR_TYPE, "the caller's");
}

/* ---- The status is that of the failure ---- */

static sw_tensor null_function(void *user, sw_tape *tape, const sw_tensor *inputs) {
    (void)user, (void)tape, (void)inputs;
    return (sw_tensor){0};
}
static sw_tensor failing_function(void *user, sw_tape *tape, const sw_tensor *inputs) {
    (void)user, (void)tape;
    return sw_matmul(inputs[0], inputs[0]);
}
static sw_tensor null_loss(sw_tensor prediction, sw_tensor target) {
    (void)prediction, (void)target;
    return (sw_tensor){0};
}
static sw_tensor head_mse(void *user, sw_tape *tape, sw_tensor z, const int64_t *ids, int64_t count) {
    (void)user, (void)ids;
    const double zeros[N] = {0};
    return sw_mse(z, sw_input_copy(tape, sw_array_view(zeros, SW_F64, SW_SHAPE(count, 1))));
}
static sw_tensor rows_of_ones(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    (void)user, (void)ids;
    double ones[2 * N];
    for (int i = 0; i < 2 * N; i++)
        ones[i] = 1;
    return sw_input_copy(tape, sw_array_view(ones, SW_F64, SW_SHAPE(count, 2)));
}
static sw_tensor identity_forward(sw_module *m, sw_tensor x) {
    (void)m;
    return x;
}
static sw_tensor null_forward(sw_module *m, sw_tensor x) {
    (void)m, (void)x;
    return (sw_tensor){0};
}

static void test_statuses_of_core_are_those_of_the_failure(void **state) {
    (void)state;
    double x[6] = {1, 2, 3, 4, 5, 6};
    const sw_array three = sw_array_view(x, SW_F64, SW_SHAPE(3)), odd = sw_array_view(x, SW_F64, SW_SHAPE(2, 3));
    sw_tape *tape = sw_tape_new();
    sw_params *params = sw_params_new(SW_F64, 1), *broken = sw_params_new(SW_F64, 1);
    sw_archive *archive = sw_archive_new();
    const int64_t negative = -1;
    sw_fail(SW_ERR_IO, "of long ago");
    assert_int_equal(sw_tape_bind(tape, params, NULL, NULL), SW_ERR_STATE);
    assert_int_equal(sw_tape_freeze(tape, NULL, true), SW_ERR_ARGUMENT);
    assert_int_equal(sw_params_save(params, "/nowhere/x"), SW_ERR_STATE);
    assert_int_equal(sw_gradcheck(null_function, NULL, 1, &three, NULL, NULL), SW_ERR_USER);
    assert_int_equal(sw_gradcheck(failing_function, NULL, 1, &odd, NULL, NULL), SW_ERR_SHAPE);
    sw_tensor parts[2], vector = sw_variable(tape, three);
    assert_int_equal(sw_split(vector, 0, 2, NULL, parts), SW_ERR_SHAPE);
    assert_int_equal(sw_backward(vector), SW_ERR_SHAPE);
    sw_tensor stale = vector;
    sw_tape_reset(tape);
    assert_int_equal(sw_backward(stale), SW_ERR_STATE);
    assert_null(sw_params_add(broken, "w", 1, &negative, NULL));
    assert_int_equal(sw_params_build(broken), SW_ERR_SHAPE);
    assert_int_equal(sw_archive_put(archive, NULL, three), SW_ERR_ARGUMENT);
    assert_int_equal(sw_archive_save(archive, "/nowhere/y"), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_IO, "of long ago");
    sw_archive_free(archive);
    sw_params_free(params);
    sw_params_free(broken);
    sw_tape_free(tape);
}

/* x Wᵀ without a bias: a null bias and a pending error have nothing to do with one another here. */
static void test_linear_model_without_bias_ignores_a_pending_error(void **state) {
    (void)state;
    sw_params *params = sw_params_new(SW_F64, 1);
    const sw_param_options w = {.size = sizeof w, .role = SW_ROLE_WEIGHT};
    sw_params_add(params, "w", 2, (const int64_t[]){1, 2}, &w);
    assert_int_equal(sw_params_build(params), SW_OK);
    double *x = sw_params_x(params), value = 0, s[N];
    x[0] = 1, x[1] = 2;
    const sw_objective f = {.size = sizeof f,
                            .n = N,
                            .params = params,
                            .features = 2,
                            .outputs = 1,
                            .rows = rows_of_ones,
                            .head = head_mse};
    sw_tape *tape = sw_tape_new();
    sw_fail(SW_ERR_IO, "of long ago");
    assert_int_equal(sw_objective_value(&f, tape, NULL, NULL, N, 1, &value), SW_OK);
    assert_true(value == 9); /* (1 + 2)² */
    assert_int_equal(sw_objective_gradient(&f, tape, NULL, NULL, N, 1, &value, sw_params_gradient(params)), SW_OK);
    assert_int_equal(sw_objective_glm_derivatives(&f, tape, NULL, NULL, N, 1, &value, s), SW_OK);
    assert_true(s[0] == 6); /* 2 · 3 */
    expect_error(SW_ERR_IO, "of long ago");
    sw_tape_free(tape);
    sw_params_free(params);
}

static void test_statuses_of_models_are_those_of_the_failure(void **state) {
    (void)state;
    plane p;
    plane_init(&p);
    static const sw_module_type null_type = {.size = sizeof(sw_module_type), .name = "null", .forward = null_forward};
    sw_model *model = line_new(), *plain = sw_model_new(SW_F32, 1), *failing = sw_model_new(SW_F32, 1),
             *null = sw_model_new(SW_F32, 1), *composed = sw_model_new(SW_F32, 1);
    sw_array y = {0};
    sw_evaluation e;
    assert_non_null(sw_model_build(null, sw_module_new(null, &null_type, 0)));
    sw_fail(SW_ERR_IO, "of long ago");
    assert_int_equal(sw_model_save(plain, "/nowhere/x"), SW_ERR_STATE);
    assert_int_equal(sw_model_evaluate(model, NULL, &p.source, null_loss, &e), SW_ERR_USER);
    assert_int_equal(sw_predict_source(null, &p.source, &y), SW_ERR_USER);
    assert_int_equal(sw_model_set_input_shape(plain, 1, (const int64_t[]){-1}), SW_ERR_SHAPE);
    sw_module *block = sw_nn_compose(composed, "block", null_forward, sw_nn_relu(composed), NULL);
    sw_sample_shape shape = {.rank = 1, .length = {2}};
    assert_int_equal(sw_module_build(block, &shape), SW_ERR_USER);
    sw_module *outer = sw_nn_compose(failing, "outer", identity_forward, sw_nn_relu(failing), NULL);
    assert_int_equal(sw_module_add_child(outer, sw_nn_linear(failing, -1, 1)), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_IO, "of long ago");
    sw_model_free(model);
    sw_model_free(plain);
    sw_model_free(failing);
    sw_model_free(null);
    sw_model_free(composed);
}

static void test_statuses_of_optimizers_are_those_of_the_failure(void **state) {
    (void)state;
    setting s;
    setting_init(&s);
    sw_norms norms;
    sw_fail(SW_ERR_IO, "of long ago");
    assert_int_equal(sw_optim_norms(s.optim, NULL, NULL), SW_ERR_ARGUMENT);
    assert_int_equal(sw_optim_norms(s.optim, NULL, &norms), SW_ERR_STATE);
    assert_int_equal(sw_optim_set_total_steps(s.optim, -1), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_IO, "of long ago");
    setting_free(&s);
}

#define TEST(name) cmocka_unit_test_teardown(name, test_clear)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_pending_error_ends_a_loop_before_its_first_batch),
        TEST(test_failed_step_ends_a_loop),
        TEST(test_pending_error_moves_no_loader),
        TEST(test_failed_step_ends_a_loop_over_an_epoch),
        TEST(test_stale_error_ends_no_run),
        TEST(test_no_step_is_taken_while_an_error_is_pending),
        TEST(test_loops_over_the_optimizers_counters_end),
        TEST(test_loops_without_any_step_end),
        TEST(test_error_handled_by_a_callback_fails_no_run),
        TEST(test_error_left_by_the_objective_is_kept),
        TEST(test_missing_optional_file_fails_no_run),
        TEST(test_failed_attempt_changes_nothing),
        TEST(test_statuses_of_core_are_those_of_the_failure),
        TEST(test_linear_model_without_bias_ignores_a_pending_error),
        TEST(test_statuses_of_models_are_those_of_the_failure),
        TEST(test_statuses_of_optimizers_are_those_of_the_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
