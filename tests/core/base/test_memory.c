/* Memory: a step of a known shape allocates nothing. Every allocation fails in turn, once and permanently: this gives
 * an error, without leak or crash, and the same call succeeds when there is memory again. */
#include "support.h"

#include <swale/extend.h>

static test_allocator allocator;

static int setup(void **state) {
    (void)state;
    sw_clear_error();
    test_allocator_install(&allocator);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    long long live = atomic_load(&allocator.live);
    sw_set_allocator(NULL);
    return live != 0 || sw_error(); /* everything was given back */
}

/* ---- A model and data that do not change ---- */

enum { IN = 20, HIDDEN = 16, CLASSES = 5, SAMPLES = 40 };

typedef struct model {
    sw_params *params;
    sw_param *w0, *b0, *w1, *b1;
} model;

static sw_status fill_uniform(const sw_init *init, const sw_param *param, sw_rng *rng, double *out) {
    (void)init;
    for (int64_t i = 0; i < param->count; i++)
        out[i] = sw_rng_uniform(rng) - 0.5;
    return SW_OK;
}

static const sw_param_options uniform = {.size = sizeof uniform,
                                         .init = {.size = sizeof(sw_init), .name = "uniform", .fill = fill_uniform}};

static bool model_make(model *m) {
    m->params = sw_params_new(SW_F32, 3);
    m->w0 = sw_params_add(m->params, "w0", SW_SHAPE(HIDDEN, IN), &uniform);
    m->b0 = sw_params_add(m->params, "b0", SW_SHAPE(HIDDEN), &uniform);
    m->w1 = sw_params_add(m->params, "w1", SW_SHAPE(CLASSES, HIDDEN), &uniform);
    m->b1 = sw_params_add(m->params, "b1", SW_SHAPE(CLASSES), &uniform);
    return sw_params_build(m->params) == SW_OK;
}

static float data_x[SAMPLES * IN];
static int32_t data_y[SAMPLES];

static void make_data(void) {
    uint64_t seed = 1;
    for (int i = 0; i < SAMPLES * IN; i++)
        data_x[i] = (float)test_uniform(&seed, -1, 1);
    for (int i = 0; i < SAMPLES; i++)
        data_y[i] = (int32_t)(test_random(&seed) % CLASSES);
}

static sw_status gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                        void *x, void *y) {
    (void)draw;
    (void)source;
    for (int64_t i = 0; i < count; i++) {
        for (int k = 0; k < IN && x; k++)
            if (type == SW_F32)
                ((float *)x)[i * IN + k] = data_x[ids[i] * IN + k];
            else
                ((double *)x)[i * IN + k] = (double)data_x[ids[i] * IN + k];
        if (y)
            ((int32_t *)y)[i] = data_y[ids[i]];
    }
    return SW_OK;
}

static const sw_source source = {.size = sizeof source,
                                 .n = SAMPLES,
                                 .x_rank = 1,
                                 .x_shape = {IN},
                                 .y_type = SW_I32,
                                 .classes = CLASSES,
                                 .gather = gather};

static sw_tensor model_loss(const model *m, sw_tape *tape, const int64_t *ids, int64_t count, bool release) {
    sw_batch batch;
    if (sw_source_batch(&source, tape, SW_F32, ids, count, &batch) != SW_OK)
        return (sw_tensor){0};
    sw_tensor h = sw_linear(batch.x, sw_param_use(tape, m->w0), sw_param_use(tape, m->b0));
    sw_tensor r = sw_relu(h), d = sw_dropout(r, 0.2, 1);
    sw_tensor z = sw_linear(d, sw_param_use(tape, m->w1), sw_param_use(tape, m->b1));
    sw_tensor loss = sw_cross_entropy(z, batch.y);
    if (release) {
        sw_release(h);
        sw_release(r);
        sw_release(d);
        sw_release(z);
    }
    return loss;
}

/* ---- Steady state ---- */

static void run_step(const model *m, sw_tape *tape, int64_t first, int64_t count, bool release) {
    int64_t ids[SAMPLES];
    for (int64_t i = 0; i < count; i++)
        ids[i] = (first + i) % SAMPLES;
    assert_int_equal(sw_backward(model_loss(m, tape, ids, count, release)), SW_OK);
    float *x = sw_params_x(m->params);
    const float *g = sw_gradient_data(sw_params_gradient(m->params));
    for (int64_t i = 0; i < sw_params_dim(m->params); i++)
        x[i] -= 0.1f * g[i];
    sw_gradient_make_fresh(sw_params_gradient(m->params));
    sw_tape_reset(tape);
}

static void test_step_allocates_nothing_after_the_first(void **state) {
    (void)state;
    static const int64_t sizes[4] = {32, 7, 40, 1};
    for (int release = 0; release < 2; release++) {
        model m;
        assert_true(model_make(&m));
        sw_tape *tape = sw_tape_new();
        for (int kinds = 1; kinds <= 4; kinds++) {
            for (int i = 0; i < kinds; i++) /* each seen once */
                run_step(&m, tape, i, sizes[i], release);
            long long before = atomic_load(&allocator.calls), live = atomic_load(&allocator.live);
            for (int i = 0; i < 24; i++)
                run_step(&m, tape, i, sizes[i * i % kinds], release);
            assert_int_equal(atomic_load(&allocator.calls) - before, 0);
            assert_int_equal(atomic_load(&allocator.live), live);
        }
        sw_tape_free(tape);
        sw_params_free(m.params);
    }
    expect_no_error();
}

/* Marks, evaluation beside training, and objectives: the same. */
static sw_tensor objective_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    return model_loss(user, tape, ids, count, false);
}

static void test_objective_allocates_nothing_after_the_first(void **state) {
    (void)state;
    model m;
    assert_true(model_make(&m));
    sw_objective f = {.size = sizeof f, .n = SAMPLES, .params = m.params, .user = &m, .loss = objective_loss};
    sw_tape *tape = sw_tape_new();
    sw_sampler *sampler = sw_sampler_new(SAMPLES, 16, SW_SHUFFLE, 1);
    sw_gradient *g = sw_gradient_new(m.params);
    long long before = 0;
    for (int round = 0; round < 6; round++) {
        if (round == 2)
            before = atomic_load(&allocator.calls);
        for (int i = 0; i < 3; i++) {
            const int64_t *ids;
            int64_t count = sw_sampler_next(sampler, &ids);
            double value;
            assert_int_equal(sw_objective_gradient(&f, tape, NULL, ids, count, 1, &value, g), SW_OK);
            assert_int_equal(sw_objective_value(&f, tape, NULL, ids, count, 1, &value), SW_OK);
        }
        double value;
        assert_int_equal(sw_objective_gradient_chunked(&f, tape, NULL, NULL, SAMPLES, 16, 1, &value, g), SW_OK);
        sw_mark mark = sw_tape_mark(tape);
        sw_release(sw_scale(sw_constant(tape, SW_F32, 1), 2));
        assert_int_equal(sw_tape_rewind(tape, mark), SW_OK);
        sw_tape_reset(tape);
    }
    assert_int_equal(atomic_load(&allocator.calls) - before, 0);
    sw_gradient_free(g);
    sw_sampler_free(sampler);
    sw_tape_free(tape);
    sw_params_free(m.params);
}

/* ---- Every request refused in turn ---- */

/* Does everything from making to freeing; false if something failed. */
typedef bool (*scenario)(void);

static void refuse_in_turn(scenario s, int at_least) {
    /* It works, before and after; and it asks for memory. */
    long long live = atomic_load(&allocator.live);
    test_allocator_fail(&allocator, 0, false);
    assert_true(s());
    long long requests = atomic_load(&allocator.calls);
    assert_true(requests >= at_least);
    for (int for_good = 0; for_good < 2; for_good++)
        for (long long k = 1; k <= requests; k++) {
            test_allocator_fail(&allocator, k, for_good);
            bool worked = s();
            assert_true(atomic_load(&allocator.failed) > 0);
            if (worked || sw_error_status() != SW_ERR_MEMORY)
                fail_msg("request %lld of %lld: %s, %s", k, requests, worked ? "worked" : "failed",
                         sw_error() ? sw_error() : "no error");
            assert_memory_equal(sw_error(), "out of memory", 13);
            sw_clear_error();
            if (atomic_load(&allocator.live) != live)
                fail_msg("request %lld of %lld: a leak", k, requests);
        }
    test_allocator_fail(&allocator, 0, false);
    assert_true(s());
    assert_int_equal(atomic_load(&allocator.live), live);
    expect_no_error();
}

static bool params_scenario(void) {
    sw_params *p = sw_params_new(SW_F64, 5);
    sw_param *first = NULL;
    for (int i = 0; i < 20; i++) { /* the list grows twice */
        char name[16];
        snprintf(name, sizeof name, "p%d", i);
        sw_param *param = sw_params_add(p, name, SW_SHAPE(3), &uniform);
        if (i == 0)
            first = param;
    }
    sw_params_tie(p, "alias", first);
    bool ok = sw_params_build(p) == SW_OK && sw_params_reinitialize(p) == SW_OK;
    sw_gradient *g = ok ? sw_gradient_new(p) : NULL;
    sw_gradient *view = ok ? sw_gradient_view(p) : NULL;
    ok = ok && g && view;
    sw_gradient_free(view);
    sw_gradient_free(g);
    sw_params_free(p);
    return ok;
}

static void test_params_survive_every_failed_allocation(void **state) {
    (void)state;
    refuse_in_turn(params_scenario, 30);
}

/* A build that failed can be asked for again. */
static void test_failed_build_can_be_repeated(void **state) {
    (void)state;
    for (int for_good = 0; for_good < 2; for_good++)
        for (int k = 1;; k++) {
            sw_params *p = sw_params_new(SW_F32, 5);
            sw_params_add(p, "a", SW_SHAPE(4, 5), &uniform);
            sw_params_add(p, "b", SW_SHAPE(3), NULL);
            expect_no_error();
            test_allocator_fail(&allocator, k, for_good);
            sw_status status = sw_params_build(p);
            bool refused = atomic_load(&allocator.failed) > 0;
            test_allocator_fail(&allocator, 0, false);
            if (refused) {
                assert_int_equal(status, SW_ERR_MEMORY);
                assert_false(sw_params_built(p));
                assert_null(sw_params_x(p));
                sw_clear_error();
                assert_int_equal(sw_params_build(p), SW_OK);
            }
            assert_int_equal(sw_params_dim(p), 23);
            assert_true(((const float *)sw_params_x(p))[0] != 0);
            sw_params_free(p);
            if (!refused) {
                assert_true(k > 3);
                break;
            }
        }
}

static bool tape_scenario(void) {
    model m;
    bool ok = model_make(&m);
    sw_tape *tape = sw_tape_new();
    float *big = calloc(1, 300000 * sizeof *big);
    int64_t ids[SAMPLES];
    for (int i = 0; i < SAMPLES; i++)
        ids[i] = i;
    for (int step = 0; step < 2 && ok; step++) {
        ok = sw_tape_bind(tape, m.params, NULL, NULL) == SW_OK &&
             sw_backward(model_loss(&m, tape, ids, SAMPLES, true)) == SW_OK;
        /* values and gradients larger than any chunk so far, and more nodes than a block has */
        sw_tensor v = sw_variable(tape, sw_array_view(big, SW_F32, SW_SHAPE(300000)));
        sw_tensor t = sw_retain_grad(sw_tanh(v));
        sw_mark mark = sw_tape_mark(tape);
        ok = ok && !sw_is_null(sw_mul(t, t)) && sw_tape_rewind(tape, mark) == SW_OK;
        for (int i = 0; i < 300; i++)
            sw_constant(tape, SW_F32, i);
        ok = ok && sw_backward(sw_mean(t)) == SW_OK && !sw_error();
        sw_tape_reset(tape);
    }
    free(big);
    sw_tape_free(tape);
    sw_params_free(m.params);
    return ok;
}

static void test_tape_survives_every_failed_allocation(void **state) {
    (void)state;
    refuse_in_turn(tape_scenario, 20);
}

/* What failed within a pass may be tried again within the pass, and the gradient is right. */
static void test_failed_step_can_be_repeated(void **state) {
    (void)state;
    model m;
    assert_true(model_make(&m));
    int64_t ids[SAMPLES];
    for (int i = 0; i < SAMPLES; i++)
        ids[i] = i;
    sw_gradient *g = sw_params_gradient(m.params);
    size_t bytes = (size_t)sw_params_dim(m.params) * sizeof(float);
    uint64_t right = 0;
    int retries[2] = {0, 0};
    for (int k = 0;; k++) { /* k = 0: nothing is refused */
        sw_tape *tape = sw_tape_new();
        sw_gradient_make_fresh(g);
        memset(sw_gradient_data(g), 0x7F, bytes);
        test_allocator_fail(&allocator, k, false);
        sw_tensor loss = model_loss(&m, tape, ids, SAMPLES, false);
        if (sw_error()) { /* the loss itself may exist: a null bias is no bias */
            assert_int_equal(sw_error_status(), SW_ERR_MEMORY);
            sw_clear_error();
            retries[0]++;
            sw_tape_reset(tape);
            sw_tape_set_draw(tape, 0);
            loss = model_loss(&m, tape, ids, SAMPLES, false);
            assert_false(sw_is_null(loss));
        }
        sw_status status = sw_backward(loss);
        if (status != SW_OK) {
            assert_int_equal(status, SW_ERR_MEMORY);
            assert_true(sw_gradient_is_fresh(g)); /* half a gradient is none */
            sw_clear_error();
            retries[1]++;
            assert_int_equal(sw_backward(loss), SW_OK);
        }
        assert_false(sw_gradient_is_fresh(g));
        uint64_t hash = test_hash(TEST_HASH, sw_gradient_data(g), bytes);
        if (k == 0)
            right = hash;
        assert_true(hash == right);
        bool refused = atomic_load(&allocator.failed) > 0;
        sw_tape_free(tape);
        if (k > 0 && !refused)
            break;
    }
    test_allocator_fail(&allocator, 0, false);
    assert_true(retries[0] > 3);
    sw_params_free(m.params);
}

/* Backward alone, on graphs of several depths, so that it needs chunks of its own. Gives the hash
 * of the gradient; k: the request that is refused. */
static uint64_t deep_gradient(sw_param *w, int depth, int k, bool *refused) {
    sw_gradient *g = sw_params_gradient(w->owner);
    sw_tape *tape = sw_tape_new();
    sw_gradient_make_fresh(g);
    sw_tensor x = sw_param_use(tape, w), h = sw_tanh(x);
    for (int i = 0; i < depth; i++)
        h = sw_retain_grad(sw_mul(sw_add(h, x), sw_tanh(h)));
    sw_tensor loss = sw_mean(h);
    expect_no_error();
    test_allocator_fail(&allocator, k, false);
    sw_status status = sw_backward(loss);
    *refused = atomic_load(&allocator.failed) > 0;
    test_allocator_fail(&allocator, 0, false);
    assert_int_equal(status, *refused ? SW_ERR_MEMORY : SW_OK);
    if (*refused) {
        sw_clear_error();
        assert_true(sw_gradient_is_fresh(g));
        assert_int_equal(sw_backward(loss), SW_OK); /* without a reset */
    }
    uint64_t hash = test_hash(TEST_HASH, sw_gradient_data(g), (size_t)w->count * sizeof(double));
    sw_tape_free(tape);
    return hash;
}

static void test_failed_backward_can_be_repeated(void **state) {
    (void)state;
    sw_params *p = sw_params_new(SW_F64, 1);
    sw_param *w = sw_params_add(p, "w", SW_SHAPE(3000), &uniform);
    assert_int_equal(sw_params_build(p), SW_OK);
    int retries = 0;
    for (int depth = 1; depth <= 12; depth++) {
        bool refused;
        uint64_t right = deep_gradient(w, depth, 0, &refused);
        for (int k = 1;; k++) {
            assert_true(deep_gradient(w, depth, k, &refused) == right);
            if (!refused)
                break;
            retries++;
        }
    }
    assert_true(retries >= 3);
    sw_params_free(p);
}

static sw_tensor glm_rows(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    (void)user;
    sw_batch batch;
    sw_source_batch(&source, tape, SW_F32, ids, count, &batch);
    return batch.x;
}

static sw_tensor glm_head(void *user, sw_tape *tape, sw_tensor z, const int64_t *ids, int64_t count) {
    (void)user;
    sw_tensor y = sw_empty(tape, SW_I32, SW_SHAPE(count));
    int32_t *id = sw_value(y).data;
    for (int64_t i = 0; i < count && id; i++)
        id[i] = data_y[ids[i]];
    return sw_cross_entropy(z, y);
}

static bool objective_scenario(void) {
    model m;
    bool ok = model_make(&m);
    sw_params *linear = sw_params_new(SW_F32, 3);
    sw_params_add(linear, "w", SW_SHAPE(CLASSES, IN), &uniform);
    sw_params_add(linear, "b", SW_SHAPE(CLASSES), &uniform);
    ok = sw_params_build(linear) == SW_OK && ok;
    sw_tape *tape = sw_tape_new();
    sw_gradient *g = ok ? sw_gradient_new(m.params) : NULL, *lg = ok ? sw_gradient_new(linear) : NULL;
    sw_objective f = {.size = sizeof f, .n = SAMPLES, .params = m.params, .user = &m, .loss = objective_loss};
    sw_objective glm = {.size = sizeof glm,
                        .n = SAMPLES,
                        .params = linear,
                        .features = IN,
                        .outputs = CLASSES,
                        .bias = true,
                        .rows = glm_rows,
                        .head = glm_head};
    double value;
    float s[SAMPLES * CLASSES];
    ok = ok && tape && g && lg && sw_objective_value(&f, tape, NULL, NULL, SAMPLES, 1, &value) == SW_OK &&
         sw_objective_gradient(&f, tape, NULL, NULL, SAMPLES, 1, &value, g) == SW_OK &&
         sw_objective_gradient_chunked(&f, tape, NULL, NULL, SAMPLES, 7, 1, &value, g) == SW_OK &&
         sw_objective_value(&glm, tape, NULL, NULL, SAMPLES, 1, &value) == SW_OK &&
         sw_objective_gradient(&glm, tape, NULL, NULL, SAMPLES, 1, &value, lg) == SW_OK &&
         sw_objective_glm_derivatives(&glm, tape, NULL, NULL, SAMPLES, 1, &value, s) == SW_OK;
    sw_gradient_free(g);
    sw_gradient_free(lg);
    sw_tape_free(tape);
    sw_params_free(linear);
    sw_params_free(m.params);
    return ok;
}

static void test_objective_survives_every_failed_allocation(void **state) {
    (void)state;
    refuse_in_turn(objective_scenario, 25);
}

static bool sampler_scenario(void) {
    sw_sampler *s[3];
    bool ok = true;
    for (int order = 0; order < 3; order++) {
        s[order] = sw_sampler_new(10, 3, (sw_order)order, 1);
        const int64_t *ids;
        for (int i = 0; i < 9 && s[order]; i++)
            sw_sampler_next(s[order], &ids); /* two epochs: nothing is asked for */
        ok &= s[order] != NULL;
    }
    for (int order = 0; order < 3; order++)
        sw_sampler_free(s[order]);
    return ok;
}

static void test_sampler_survives_every_failed_allocation(void **state) {
    (void)state;
    refuse_in_turn(sampler_scenario, 6);
}

static sw_tensor checked(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    return sw_mul(sw_tanh(in[0]), sw_add(in[0], in[1]));
}

static bool gradcheck_scenario(void) {
    double a[6] = {1, 2, 3, 4, 5, 6}, b[3] = {0.1, 0.2, 0.3};
    const double a_before[6] = {1, 2, 3, 4, 5, 6};
    const sw_array in[2] = {sw_array_view(a, SW_F64, SW_SHAPE(2, 3)), sw_array_view(b, SW_F64, SW_SHAPE(3))};
    double worst;
    sw_status status = sw_gradcheck(checked, NULL, 2, in, NULL, &worst);
    assert_memory_equal(a, a_before, sizeof a); /* put back also where it failed */
    return status == SW_OK;
}

static void test_gradcheck_survives_every_failed_allocation(void **state) {
    (void)state;
    refuse_in_turn(gradcheck_scenario, 5);
}

/* ---- The allocation point itself ---- */

static void test_alloc_refuses_impossible_sizes(void **state) {
    (void)state;
    unsigned char *zero = sw_alloc(0), *some = sw_alloc(1000);
    assert_non_null(zero);
    assert_true((uintptr_t)zero % 64 == 0 && (uintptr_t)some % 64 == 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(some[i], 0);
    sw_free(zero);
    sw_free(some);
    sw_free(NULL);
    assert_null(sw_alloc(SIZE_MAX - 10));
    assert_int_equal(sw_error_status(), SW_ERR_MEMORY);
    sw_clear_error();
    assert_null(sw_alloc_array(INT64_MAX / 2, 1024));
    assert_int_equal(sw_error_status(), SW_ERR_MEMORY);
    sw_clear_error();
    assert_null(sw_alloc_array(-1, 8));
    expect_error(SW_ERR_MEMORY, "out of memory: -1 elements of 8 bytes requested");
    char *copy = sw_strdup("abc");
    assert_string_equal(copy, "abc");
    sw_free(copy);
    assert_null(sw_strdup(NULL));
    assert_int_equal(atomic_load(&allocator.live), 0);
    sw_params_free(NULL);
    sw_gradient_free(NULL);
    sw_tape_free(NULL);
    sw_sampler_free(NULL);
    sw_source_free(NULL);
    expect_no_error();
}

int main(void) {
    make_data();
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_step_allocates_nothing_after_the_first),   TEST(test_objective_allocates_nothing_after_the_first),
        TEST(test_params_survive_every_failed_allocation),   TEST(test_failed_build_can_be_repeated),
        TEST(test_tape_survives_every_failed_allocation),    TEST(test_failed_step_can_be_repeated),
        TEST(test_failed_backward_can_be_repeated),          TEST(test_objective_survives_every_failed_allocation),
        TEST(test_sampler_survives_every_failed_allocation), TEST(test_gradcheck_survives_every_failed_allocation),
        TEST(test_alloc_refuses_impossible_sizes),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sw_set_threads(1);
    return failed;
}
