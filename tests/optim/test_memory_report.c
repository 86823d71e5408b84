/* The memory report equals the bytes of the allocator exactly: through training, evaluation, checkpoints and
 * prefetching, with every rule, estimator, average and line search. Sizes of accounts are derived from the shapes. */
#define _GNU_SOURCE
#include "helpers.h"

#include "byte_counter.h"

#include <swale/datasets.h>
#include <swale/nn.h>

#include <unistd.h>

static byte_counter counter;

static int setup(void **state) {
    (void)state;
    sw_clear_error();
    byte_counter_install(&counter);
    return 0;
}

/* All memory was freed, and every account is 0. */
static int teardown(void **state) {
    (void)state;
    for (int a = 0; a < SW_ACCOUNTS; a++)
        if (sw_memory_live((sw_account)a) != 0) {
            print_error("%zu bytes of %s are left\n", sw_memory_live((sw_account)a), sw_account_name((sw_account)a));
            return 1;
        }
    const bool clean = atomic_load(&counter.live) == 0 && sw_memory_live_total() == 0;
    sw_set_allocator(NULL);
    sw_set_threads(1);
    return clean ? 0 : 1;
}

/* ---- A training loop ---- */

enum {
    FEATURES = 20,
    CLASSES = 3,
    HIDDEN = 50,
    SAMPLES = 130,
    BATCH = 32,
    DIM = HIDDEN * FEATURES + HIDDEN + CLASSES * HIDDEN + CLASSES
};

static sw_source *blobs(void) {
    return sw_blobs(
        &(sw_blobs_options){.size = sizeof(sw_blobs_options), .n = SAMPLES, .classes = CLASSES, .features = FEATURES});
}

static sw_module *network(sw_model *model) {
    return sw_nn_sequential(model, sw_nn_linear(model, FEATURES, HIDDEN), sw_nn_relu(model), sw_nn_dropout(model, 0.25),
                            sw_nn_linear(model, HIDDEN, CLASSES), NULL);
}

static void train_epoch(sw_model *model, sw_loader *loader, sw_tape *tape, sw_optim *optim) {
    for (sw_batch batch; sw_loader_next(loader, tape, &batch); sw_tape_reset(tape)) {
        assert_ok(sw_backward(sw_cross_entropy(sw_forward(sw_model_root(model), batch.x), batch.y)));
        assert_ok(sw_optim_step(optim));
        check_bytes(&counter, "in a step");
    }
    expect_no_error();
}

static void test_accounts_of_a_training_loop_follow_from_its_shapes(void **state) {
    (void)state;
    sw_source *source = blobs();
    const size_t of_source = sw_memory_live(SW_ACCOUNT_DATA);
    assert_true(of_source >= SAMPLES * (FEATURES * sizeof(double) + sizeof(int32_t)));
    assert_int_equal(sw_memory_live_total(), of_source);
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_params *params = sw_model_build(model, network(model));
    assert_int_equal(sw_params_dim(params), DIM);
    const size_t vector = block_bytes(DIM * sizeof(float));
    assert_int_equal(sw_memory_live(SW_ACCOUNT_PARAMETERS), vector);
    sw_loader *loader = sw_loader_new(source, BATCH, &SW_OPTIONS(sw_loader_options, .prefetch = SW_PREFETCH_OFF));
    sw_tape *tape = sw_tape_new();
    sw_optim *optim = NEW_OPTIM(params, .rule = "adamw lr=1e-3", .average = "ema decay=0.9");
    assert_true(loader && tape);
    assert_int_equal(report_line(SW_ACCOUNT_OPTIMIZER, "adamw.m").live, vector);
    assert_int_equal(report_line(SW_ACCOUNT_OPTIMIZER, "adamw.v").live, vector);
    check_bytes(&counter, "made");
    train_epoch(model, loader, tape, optim);
    size_t accounts[SW_ACCOUNTS];
    for (int a = 0; a < SW_ACCOUNTS; a++)
        accounts[a] = sw_memory_live((sw_account)a);
    const long long calls = atomic_load(&counter.calls);
    for (int epoch = 0; epoch < 3; epoch++)
        train_epoch(model, loader, tape, optim);
    assert_int_equal(atomic_load(&counter.calls), calls); /* later epochs allocate nothing */
    for (int a = 0; a < SW_ACCOUNTS; a++)
        assert_int_equal(sw_memory_live((sw_account)a), accounts[a]);
    /* x; m, v, and ema with its rounding errors; the gradient */
    assert_int_equal(accounts[SW_ACCOUNT_PARAMETERS], vector);
    assert_int_equal(accounts[SW_ACCOUNT_OPTIMIZER], 4 * vector);
    assert_int_equal(report_line(SW_ACCOUNT_OPTIMIZER, "ema.ema").live, vector);
    assert_int_equal(report_line(SW_ACCOUNT_OPTIMIZER, "ema.ema_low").live, vector);
    assert_int_equal(accounts[SW_ACCOUNT_GRADIENTS], vector);
    assert_int_equal(sw_memory_contents(SW_ACCOUNT_OPTIMIZER), 4 * DIM * sizeof(float));
    assert_true(sw_memory_per_parameter(DIM) == 6 * sizeof(float)); /* exactly: nothing else is in these accounts */
    assert_true(accounts[SW_ACCOUNT_DATA] > of_source);
    assert_true(accounts[SW_ACCOUNT_TAPE] >= sw_tape_held_bytes(tape));
    sw_optim_free(optim);
    assert_int_equal(sw_memory_live(SW_ACCOUNT_OPTIMIZER), 0);
    assert_int_equal(sw_memory_peak(SW_ACCOUNT_OPTIMIZER), 4 * vector);
    sw_tape_free(tape);
    assert_int_equal(sw_memory_live(SW_ACCOUNT_TAPE), 0);
    sw_loader_free(loader);
    sw_source_free(source);
    assert_int_equal(sw_memory_live(SW_ACCOUNT_DATA), 0);
    sw_model_free(model);
    check_bytes(&counter, "freed");
}

/* The thread of the loader allocates and frees memory, too. */
static void test_accounts_are_right_with_a_prefetching_loader_and_threads(void **state) {
    (void)state;
    assert_ok(sw_set_threads(4));
    sw_source *source = blobs();
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_params *params = sw_model_build(model, network(model));
    sw_loader *loader =
        sw_loader_new(source, BATCH, &SW_OPTIONS(sw_loader_options, .type = SW_F64, .prefetch = SW_PREFETCH_ON));
    sw_tape *tape = sw_tape_new();
    sw_optim *optim = NEW_OPTIM(params, .rule = "sgd lr=1e-3 momentum=0.9", .clip = 1);
    assert_true(loader && tape && sw_loader_prefetches(loader));
    for (int epoch = 0; epoch < 3; epoch++) {
        for (sw_batch batch; sw_loader_next(loader, tape, &batch); sw_tape_reset(tape)) {
            assert_ok(sw_backward(sw_cross_entropy(sw_forward(sw_model_root(model), batch.x), batch.y)));
            assert_ok(sw_optim_step(optim));
        }
        expect_no_error();
    }
    sw_loader_free(loader); /* its thread has ended */
    check_bytes(&counter, "after prefetching");
    sw_tape_free(tape);
    sw_optim_free(optim);
    sw_model_free(model);
    sw_source_free(source);
}

/* ---- Evaluation and files ---- */

static void test_accounts_are_right_after_evaluation_and_checkpoints(void **state) {
    (void)state;
    char path[] = "/tmp/swale_memory_XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    sw_source *source = blobs();
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_params *params = sw_model_build(model, network(model));
    const sw_objective *f = sw_model_objective(model, source, sw_cross_entropy);
    sw_optim *optim = NEW_OPTIM(params, .rule = "role=weight: lion; sgd lr=0.01", .estimator = "sam of=svrg");
    assert_non_null(f);
    for (int step = 0; step < 5; step++)
        assert_ok(sw_optim_minimize(optim, f, NULL));
    check_bytes(&counter, "after steps");
    sw_evaluation e;
    assert_ok(sw_model_evaluate(model, NULL, source, sw_cross_entropy, &e));
    check_bytes(&counter, "after an evaluation");
    sw_array y = {0};
    assert_ok(sw_predict_source(model, source, &y));
    check_bytes(&counter, "after a prediction");
    sw_array_free(&y);
    assert_ok(sw_optim_save(optim, path));
    check_bytes(&counter, "after saving");
    const size_t live = sw_memory_live_total();
    assert_ok(sw_optim_load(optim, path));
    check_bytes(&counter, "after loading");
    assert_int_equal(sw_memory_live_total(), live);
    sw_archive *archive = sw_archive_load(path);
    assert_non_null(archive);
    check_bytes(&counter, "with an archive");
    sw_archive_free(archive);
    assert_int_equal(sw_memory_live_total(), live);
    unlink(path);
    sw_optim_free(optim);
    sw_model_free(model);
    sw_source_free(source);
    check_bytes(&counter, "freed");
}

/* ---- Every method, by the names of its slots ---- */

/* The bytes of a slot; for a slot of a rule, those of all parameters together. */
static size_t slot_bytes(const sw_optim *o, sw_params *p, const char *name, bool *exists) {
    const sw_array of_method = sw_optim_slot(o, name), of_group = sw_optim_group_slot(o, 0, name),
                   whole = of_method.data ? of_method : of_group;
    size_t bytes = whole.data ? test_bytes(&whole) : 0;
    *exists = whole.data != NULL;
    for (int i = 0; !whole.data && i < sw_params_count(p); i++) {
        const sw_array part = sw_optim_param_slot(o, sw_params_at(p, i), name);
        bytes += part.data ? test_bytes(&part) : 0;
        *exists |= part.data != NULL;
    }
    return bytes;
}

/* Asserts that the report has a line for each slot of this optimizer, with its bytes. Returns the number of slots. */
static int check_slots(const sw_optim *o, sw_params *p, const char *method, const sw_slot *slots) {
    int found = 0;
    for (int i = 0; slots && slots[i].name; i++) {
        char name[80];
        snprintf(name, sizeof name, "%s.%s", method, slots[i].name);
        bool exists;
        const size_t bytes = slot_bytes(o, p, slots[i].name, &exists),
                     line = report_line(SW_ACCOUNT_OPTIMIZER, name).live;
        if (line != (exists ? block_bytes(bytes ? bytes : 1) : 0))
            fail_msg("%s: %zu bytes in the report, the slot has %zu", name, line, bytes);
        found += exists;
    }
    return found;
}

static void test_every_rule_reports_its_slots(void **state) {
    (void)state;
    int rules = 0, slots = 0;
    for (const sw_rule *rule; (rule = sw_rule_at(rules)); rules++) {
        sw_params *p = small_params(SW_F32);
        linear_problem f;
        linear_problem_init(&f, p, 4, some_gradient);
        sw_optim *o = NEW_OPTIM(p, .rule = rule->name);
        long long calls = 0;
        for (int step = 0; step < 20; step++) {
            assert_ok(sw_optim_minimize(o, &f.f, NULL));
            calls = step == 2 ? atomic_load(&counter.calls) : calls;
        }
        assert_int_equal(atomic_load(&counter.calls), calls); /* later steps allocate nothing */
        slots += check_slots(o, p, rule->name, rule->slots);
        check_bytes(&counter, rule->name);
        sw_optim_free(o);
        sw_params_free(p);
        assert_int_equal(sw_memory_live_total(), 0);
    }
    if (rules < 18 || slots < 28)
        fail_msg("only %d rules with %d slots", rules, slots);
}

static void test_every_average_reports_its_slots(void **state) {
    (void)state;
    int averages = 0, slots = 0;
    for (const sw_average *average; (average = sw_average_at(averages)); averages++) {
        sw_params *p = small_params(SW_F32);
        linear_problem f;
        linear_problem_init(&f, p, 4, some_gradient);
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.01", .average = average->name, .total_steps = 10);
        long long calls = 0;
        for (int step = 0; step < 10; step++) {
            assert_ok(sw_optim_minimize(o, &f.f, NULL));
            assert_non_null(sw_optim_point(o));
            calls = step == 5 ? atomic_load(&counter.calls) : calls;
        }
        assert_int_equal(atomic_load(&counter.calls), calls);
        slots += check_slots(o, p, average->name, average->slots);
        check_bytes(&counter, average->name);
        sw_optim_free(o);
        sw_params_free(p);
    }
    assert_true(averages >= 4 && slots >= 3);
}

static sw_glm *logistic(sw_array *x, sw_array *y) {
    enum { N = 12 };
    *x = test_filled(SW_F64, 2, (int64_t[]){N, 3}, -1, 1, 5);
    *y = test_array(SW_I32, 1, (int64_t[]){N});
    for (int i = 0; i < N; i++)
        test_set(y, i, i % 2);
    sw_glm *glm = sw_glm_new(SW_F64, x, y, &SW_OPTIONS(sw_glm_options, .head = SW_HEAD_LOGISTIC));
    assert_non_null(glm);
    return glm;
}

static void test_every_estimator_reports_its_slots(void **state) {
    (void)state;
    int estimators = 0, slots = 0;
    for (const sw_estimator *estimator; (estimator = sw_estimator_at(estimators)); estimators++) {
        sw_array x, y;
        sw_glm *glm = logistic(&x, &y);
        sw_optim *o = NEW_OPTIM(sw_glm_params(glm), .rule = "sgd lr=0.01", .estimator = estimator->name);
        long long calls = 0;
        for (int step = 0; step < 100; step++) { /* and snapshots */
            assert_ok(sw_optim_minimize(o, sw_glm_objective(glm), NULL));
            calls = step == 20 ? atomic_load(&counter.calls) : calls;
        }
        assert_int_equal(atomic_load(&counter.calls), calls);
        slots += check_slots(o, sw_glm_params(glm), estimator->name, estimator->slots);
        check_bytes(&counter, estimator->name);
        sw_optim_free(o);
        sw_glm_free(glm);
        test_array_free(&x);
        test_array_free(&y);
        assert_int_equal(sw_memory_live_total(), 0);
    }
    assert_true(estimators >= 5 && slots >= 5);
}

static void test_line_search_reports_its_vectors(void **state) {
    (void)state;
    sw_array x, y;
    sw_glm *glm = logistic(&x, &y);
    sw_optim *o = NEW_OPTIM(sw_glm_params(glm), .rule = "sgd momentum=0.5", .estimator = "full", .schedule = "armijo");
    long long calls = 0;
    for (int step = 0; step < 10; step++) {
        assert_ok(sw_optim_minimize(o, sw_glm_objective(glm), NULL));
        check_bytes(&counter, "in a line search");
        calls = step == 2 ? atomic_load(&counter.calls) : calls;
    }
    assert_int_equal(atomic_load(&counter.calls), calls);
    static const char *const names[] = {"search.x", "search.direction", "search.trial", "search.trial_gradient",
                                        "undo.momentum"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(report_line(SW_ACCOUNT_TEMPORARIES, names[i]).live, block_bytes(4 * sizeof(double)));
    sw_optim_free(o);
    sw_glm_free(glm);
    test_array_free(&x);
    test_array_free(&y);
}

/* ---- Nothing large without an account ---- */

enum { LARGE_ROWS = 200, LARGE_COLUMNS = 150, LARGE = LARGE_ROWS * LARGE_COLUMNS };

/* f_i(x) = ½ Σ a_j x_j², a = 1, 2, 3, 1, 2, 3, … */
static sw_status square_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                 double *value, void *g) {
    (void)user, (void)ids, (void)count, (void)draw;
    const float *from = x;
    *value = 0;
    for (int j = 0; j < LARGE; j++) {
        const float a = (float)(1 + j % 3);
        *value += 0.5 * (double)(a * from[j] * from[j]);
        if (g)
            ((float *)g)[j] = a * from[j];
    }
    return SW_OK;
}

/* Memory of the size of x is never in the account OTHER. */
static void check_large(const sw_optim_options *how, const char *name) {
    sw_params *p = sw_params_new(SW_F32, 1);
    const sw_init init = sw_init_uniform(-1, 1);
    const sw_param_options weight = {.size = sizeof weight, .role = SW_ROLE_WEIGHT, .init = init};
    assert_non_null(sw_params_add(p, "w", SW_SHAPE(LARGE_ROWS, LARGE_COLUMNS), &weight));
    assert_ok(sw_params_build(p));
    const sw_objective f = {.size = sizeof f, .n = 4, .params = p, .gradient = square_gradient};
    sw_memory_reset_peaks();
    sw_optim *o = new_optim(p, how);
    assert_ok(sw_optim_record_norms(o, true));
    for (int step = 0; step < 12; step++) {
        assert_ok(sw_optim_minimize(o, &f, NULL));
        assert_non_null(sw_optim_point(o));
    }
    const size_t other = sw_memory_peak(SW_ACCOUNT_OTHER);
    if (other >= LARGE * sizeof(float))
        fail_msg("%s: up to %zu bytes are in no account", name, other);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_no_vector_is_without_an_account(void **state) {
    (void)state;
    for (int i = 0; sw_rule_at(i); i++)
        check_large(&SW_OPTIONS(sw_optim_options, .rule = sw_rule_at(i)->name), sw_rule_at(i)->name);
    for (int i = 0; sw_estimator_at(i); i++)
        check_large(&SW_OPTIONS(sw_optim_options, .rule = "sgd lr=0.01", .estimator = sw_estimator_at(i)->name),
                    sw_estimator_at(i)->name);
    for (int i = 0; sw_average_at(i); i++)
        check_large(
            &SW_OPTIONS(sw_optim_options, .rule = "sgd lr=0.01", .average = sw_average_at(i)->name, .total_steps = 12),
            sw_average_at(i)->name);
    check_large(&SW_OPTIONS(sw_optim_options, .rule = "sgd", .estimator = "full", .schedule = "armijo"), "armijo");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_accounts_of_a_training_loop_follow_from_its_shapes),
        TEST(test_accounts_are_right_with_a_prefetching_loader_and_threads),
        TEST(test_accounts_are_right_after_evaluation_and_checkpoints),
        TEST(test_every_rule_reports_its_slots),
        TEST(test_every_average_reports_its_slots),
        TEST(test_every_estimator_reports_its_slots),
        TEST(test_line_search_reports_its_vectors),
        TEST(test_no_vector_is_without_an_account),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
