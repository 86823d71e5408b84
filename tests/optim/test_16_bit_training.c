/* Networks with parameters in f16 and bf16: they train, with 16.00 bytes for each parameter with Adam, nothing is
 * allocated after the first epoch, also with recomputation, and results have equal bits for every number of threads. */
#include "helpers.h"

#include "byte_counter.h"

#include <swale/datasets.h>
#include <swale/nn.h>

static const sw_dtype halves[2] = {SW_F16, SW_BF16};
/* More than SW_SERIAL parameters, so that threads share the update and the conversions. */
enum { FEATURES = 40, CLASSES = 4, HIDDEN = 400, SAMPLES = 200, BATCH = 32, EPOCHS = 3 };

typedef struct trained {
    sw_source *source;
    sw_model *model;
    sw_params *params;
    sw_optim *optim;
} trained;

/* recompute: the hidden layer is computed again in the backward. */
static trained train_open(sw_dtype type, bool recompute, const sw_optim_options *how) {
    trained t = {.source =
                     sw_blobs(&SW_OPTIONS(sw_blobs_options, .n = SAMPLES, .classes = CLASSES, .features = FEATURES)),
                 .model = sw_model_new(type, 1)};
    sw_module *hidden = sw_nn_sequential(t.model, sw_nn_linear(t.model, FEATURES, HIDDEN), sw_nn_relu(t.model),
                                         sw_nn_dropout(t.model, 0.1), NULL);
    if (recompute)
        hidden = sw_nn_recompute(t.model, hidden);
    t.params = sw_model_build(t.model, sw_nn_sequential(t.model, hidden, sw_nn_linear(t.model, HIDDEN, CLASSES), NULL));
    assert_non_null(t.params);
    assert_true(sw_params_dim(t.params) > (int)SW_SERIAL);
    t.optim = new_optim(t.params, how);
    return t;
}

static void train_close(trained *t) {
    sw_optim_free(t->optim);
    sw_model_free(t->model);
    sw_source_free(t->source);
}

/* A hand-written loop of one epoch. Returns the mean loss. */
static double train_by_hand(trained *t, sw_loader *loader, sw_tape *tape) {
    sw_loss_mean mean = {0};
    for (sw_batch batch; sw_loader_next(loader, tape, &batch); sw_tape_reset(tape)) {
        sw_tensor loss = sw_cross_entropy(sw_forward(sw_model_root(t->model), batch.x), batch.y);
        assert_ok(sw_loss_mean_add(&mean, loss));
        assert_ok(sw_backward(loss));
        const sw_status status = sw_optim_step(t->optim);
        assert_true(status == SW_OK || status == SW_SKIPPED);
    }
    expect_no_error();
    return sw_loss_mean_value(&mean);
}

static void test_a_loop_by_hand_trains_in_16_bytes(void **state) {
    (void)state;
    byte_counter counter;
    byte_counter_install(&counter);
    for (int k = 0; k < 4; k++) {
        const sw_dtype type = halves[k % 2];
        trained t = train_open(type, k >= 2, &SW_OPTIONS(sw_optim_options, .rule = "adam lr=1e-3", .clip = 1));
        sw_loader *loader = sw_loader_new(t.source, BATCH, &SW_OPTIONS(sw_loader_options, .prefetch = SW_PREFETCH_OFF));
        sw_tape *tape = sw_tape_new();
        const double first = train_by_hand(&t, loader, tape);
        assert_true(sw_memory_per_parameter(sw_params_dim(t.params)) == 16);
        const long long calls = atomic_load(&counter.calls);
        double last = first;
        for (int epoch = 0; epoch < EPOCHS; epoch++)
            last = train_by_hand(&t, loader, tape);
        assert_int_equal(atomic_load(&counter.calls), calls);
        assert_true(sw_memory_per_parameter(sw_params_dim(t.params)) == 16);
        if (!(last < 0.5 * first))
            fail_msg("%s: the loss is %g after %g", sw_dtype_name(type), last, first);
        sw_loader_free(loader);
        sw_tape_free(tape);
        train_close(&t);
    }
    sw_set_allocator(NULL);
}

/* The same under sw_train, where the estimator writes the block in 16 bits. The leaves of its tape read the copy of the
 * parameters, and so does the evaluation. */
static void test_sw_train_trains_in_16_bytes(void **state) {
    (void)state;
    byte_counter counter;
    byte_counter_install(&counter);
    for (int k = 0; k < 2; k++) {
        trained t = train_open(
            halves[k], false, &SW_OPTIONS(sw_optim_options, .rule = "adam lr=1e-3", .estimator = "minibatch batch=32"));
        const sw_objective *f = sw_model_objective(t.model, t.source, sw_cross_entropy);
        assert_non_null(f);
        sw_train_result first, last;
        assert_ok(sw_train(f, t.optim, &SW_OPTIONS(sw_train_options, .epochs = 1), &first));
        const long long calls = atomic_load(&counter.calls);
        assert_true(sw_memory_per_parameter(sw_params_dim(t.params)) == 16);
        assert_int_equal(sw_optim_bytes(t.optim).work, 0);
        assert_ok(sw_train(f, t.optim, &SW_OPTIONS(sw_train_options, .epochs = 1 + EPOCHS), &last));
        assert_int_equal(atomic_load(&counter.calls), calls);
        assert_true(last.mean_loss < 0.5 * first.mean_loss);
        expect_no_error();
        train_close(&t);
    }
    sw_set_allocator(NULL);
}

/* x, the copy and the predictions have the same bits for 1, 2, 4 and 8 threads. */
static void test_threads_give_equal_bits(void **state) {
    (void)state;
    static const char *const estimators[] = {"minibatch batch=32", "sam rho=0.05 of=minibatch batch=32",
                                             "minibatch batch=32 shards=3"};
    for (int k = 0; k < 2; k++)
        for (size_t e = 0; e < sizeof estimators / sizeof *estimators; e++) {
            uint64_t hash[2] = {0};
            for (int threads = 1; threads <= 8; threads *= 2) {
                assert_ok(sw_set_threads(threads));
                trained t = train_open(halves[k], false,
                                       &SW_OPTIONS(sw_optim_options, .rule = "adamw", .estimator = estimators[e],
                                                   .average = "ema", .clip = 1));
                const sw_objective *f = sw_model_objective(t.model, t.source, sw_cross_entropy);
                assert_ok(sw_train(f, t.optim, &SW_OPTIONS(sw_train_options, .epochs = 2), NULL));
                const size_t dim = (size_t)sw_params_dim(t.params);
                uint64_t h = test_hash(TEST_HASH, sw_params_x(t.params), dim * sizeof(float));
                h = test_hash(h, sw_param_stored_value(sw_params_at(t.params, 0)).data, dim * sizeof(uint16_t));
                h = test_hash(h, sw_optim_point(t.optim), dim * sizeof(float));
                hash[threads > 1] = h;
                assert_true(threads == 1 || hash[0] == hash[1]);
                expect_no_error();
                train_close(&t);
            }
        }
    assert_ok(sw_set_threads(1));
}

/* sag, saga and svrg evaluate a generalized linear model on samples in memory without a tape, from x itself. So x has
 * the bits of the model in f32, also in loops of many steps, and the copy for predictions is x, rounded. */
static void test_tables_of_linear_models_are_computed_in_f32(void **state) {
    (void)state;
    static const char *const estimators[] = {"saga batch=4", "svrg batch=4", "sag batch=4"};
    sw_array samples = test_filled(SW_F32, SW_SHAPE(SAMPLES, FEATURES), -1, 1, 3),
             labels = test_array(SW_I32, SW_SHAPE(SAMPLES));
    for (int i = 0; i < SAMPLES; i++)
        test_set(&labels, i, i % CLASSES);
    for (size_t e = 0; e < sizeof estimators / sizeof *estimators; e++) {
        float *x = NULL;
        for (int k = -1; k < 2; k++) {
            sw_source *source = sw_arrays(&samples, &labels, NULL);
            sw_model *model = sw_model_new(k < 0 ? SW_F32 : halves[k], 1);
            sw_params *p = sw_model_build(model, sw_nn_linear(model, FEATURES, CLASSES));
            sw_optim *optim = NEW_OPTIM(p, .rule = "sgd lr=0.01", .estimator = estimators[e]);
            const sw_objective *f = sw_model_objective(model, source, sw_cross_entropy);
            assert_non_null(f->glm);
            assert_ok(sw_train(f, optim, &SW_OPTIONS(sw_train_options, .epochs = 3, .log_every = 1000), NULL));
            const size_t dim = (size_t)sw_params_dim(p);
            if (k < 0) {
                x = malloc(dim * sizeof *x);
                memcpy(x, sw_params_x(p), dim * sizeof *x);
            } else {
                uint16_t *rounded = malloc(dim * sizeof *rounded);
                if (memcmp(x, sw_params_x(p), dim * sizeof *x) != 0)
                    fail_msg("%s: x differs from that of a model in f32", estimators[e]);
                sw_vector_convert(SW_F32, (int64_t)dim, x, halves[k], rounded);
                assert_memory_equal(rounded, sw_param_stored_value(sw_params_at(p, 0)).data, dim * sizeof *rounded);
                free(rounded);
            }
            sw_optim_free(optim);
            sw_model_free(model);
            sw_source_free(source);
        }
        expect_no_error();
        free(x);
    }
    free(samples.data), free(labels.data);
}

/* A loop by hand that resumes from a checkpoint, the position of its loader and the draw of its tape has the bits of an
 * uninterrupted one. With another draw it has not, because of dropout. lr is so small that the loss does not become 0,
 * with which gradients do not depend on the draw. */
static void test_a_loop_by_hand_resumes(void **state) {
    (void)state;
    for (int k = 0; k < 4; k++) {
        const bool same_draw = k < 2;
        const sw_optim_options how = {.size = sizeof how, .rule = "adam lr=1e-4"};
        trained whole = train_open(halves[k % 2], false, &how), resumed = train_open(halves[k % 2], false, &how);
        sw_loader *loader = sw_loader_new(whole.source, BATCH, NULL),
                  *again = sw_loader_new(resumed.source, BATCH, NULL);
        sw_tape *tape = sw_tape_new(), *other = sw_tape_new();
        train_by_hand(&whole, loader, tape);

        sw_archive *file = sw_archive_new();
        sw_loader_position position = {.size = sizeof position};
        assert_ok(sw_optim_pack(whole.optim, file));
        assert_ok(sw_optim_unpack(resumed.optim, file));
        assert_ok(sw_loader_get_position(loader, &position));
        assert_ok(sw_loader_set_position(again, &position));
        sw_tape_set_draw(other, sw_tape_draw(tape) + !same_draw);

        train_by_hand(&whole, loader, tape);
        train_by_hand(&resumed, again, other);
        const size_t bytes = (size_t)sw_params_dim(whole.params) * sizeof(float);
        assert_true((memcmp(sw_params_x(whole.params), sw_params_x(resumed.params), bytes) == 0) == same_draw);
        assert_true(sw_optim_loss_scale(whole.optim) == sw_optim_loss_scale(resumed.optim));
        sw_archive_free(file);
        sw_tape_free(tape), sw_tape_free(other);
        sw_loader_free(loader), sw_loader_free(again);
        train_close(&whole), train_close(&resumed);
        expect_no_error();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_loop_by_hand_trains_in_16_bytes), cmocka_unit_test(test_sw_train_trains_in_16_bytes),
        cmocka_unit_test(test_a_loop_by_hand_resumes), cmocka_unit_test(test_threads_give_equal_bits),
        cmocka_unit_test(test_tables_of_linear_models_are_computed_in_f32)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
