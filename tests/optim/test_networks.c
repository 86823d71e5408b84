/* An optimizer and a network: equal bits for every number of threads, two optimizers in two threads, a loop by hand
 * against sw_optim_minimize, memory. */
#include "helpers.h"

#include <swale/nn.h>

#include <pthread.h>

/* ---- A network ---- */

enum { PIXELS = 784, CLASSES = 10, SAMPLES = 230 }; /* 3 batches of 64 and one of 38 */

static sw_status picture_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw,
                                sw_dtype type, void *x, void *y) {
    static float pixels[SAMPLES][PIXELS]; /* made before the first thread */
    static bool made;
    (void)draw;
    (void)source;
    for (uint64_t i = 0; !made && i < SAMPLES; i++) {
        uint64_t seed = i;
        for (int64_t j = 0; j < PIXELS; j++)
            pixels[i][j] = (float)test_uniform(&seed, 0, 1);
    }
    made = true;
    for (int64_t i = 0; i < count; i++) {
        if (x && type == SW_F32)
            memcpy((float *)x + i * PIXELS, pixels[ids[i]], sizeof pixels[0]);
        for (int64_t j = 0; x && type == SW_F64 && j < PIXELS; j++)
            ((double *)x)[i * PIXELS + j] = (double)pixels[ids[i]][j];
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
static void test_bits_are_equal_for_every_number_of_threads(void **state) {
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

static void test_two_optimizers_run_in_two_threads(void **state) {
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

static void test_backward_after_a_step_is_refused(void **state) {
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
    assert_non_null(strstr(sw_error(), " has changed since mul read it; reset the tape and record"));
    sw_clear_error();
    assert_int_equal(sw_optim_step(o), SW_ERR_STATE); /* half a gradient is none */
    expect_error(SW_ERR_STATE, "optim_step: there is no gradient; run sw_backward first");
    double before = vec_get(SW_F64, sw_params_x(p), 0);
    assert_ok(sw_backward(inner_loss(tape, p, c))); /* on the same tape, recorded anew */
    assert_ok(sw_optim_step(o));
    assert_true(vec_get(SW_F64, sw_params_x(p), 0) == before - 0.5);
    sw_optim_free(o);
    sw_tape_free(tape);
    sw_params_free(p);
}

/* ---- Memory ---- */

static void test_adam_takes_sixteen_bytes_a_parameter(void **state) {
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

static void test_step_allocates_nothing_after_the_first(void **state) {
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

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_bits_are_equal_for_every_number_of_threads),
        TEST(test_two_optimizers_run_in_two_threads),
        TEST(test_hand_loop_equals_minimize),
        TEST(test_backward_after_a_step_is_refused),
        TEST(test_adam_takes_sixteen_bytes_a_parameter),
        TEST(test_step_allocates_nothing_after_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
