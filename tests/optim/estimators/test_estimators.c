/* The contract of every estimator, tested with one table of all: a skipped step changes nothing, bit for bit; all
 * passes of a step use the same dropout masks, and only one of them updates running statistics; 1, 2 and 4 threads give
 * equal bits; every allocation fails in turn. The test fails if a registered estimator is missing in the table. Further
 * tests check messages. */
#include "support.h"

#include "prototypes.h"

typedef struct entry {
    const char *name, *inner; /* inner: of a wrapper, or NULL */
    const char *spec;
    bool glm;         /* on a generalized linear model instead of a network with dropout */
    int masks_for;    /* steps that see equal masks */
    int passes;       /* the least number of passes that a step makes */
    bool searches;    /* evaluates values too, or at trial points: a NaN there is no reason to skip */
    const char *rule; /* NULL: adam lr=0.01 */
} entry;

static const entry entries[] = {
    {"minibatch", NULL, "minibatch batch=4", false, 1, 1, false, NULL},
    {"minibatch", NULL, "minibatch batch=4 shards=3", false, 1, 1, false, NULL}, /* the last batch is shorter */
    {"full", NULL, "full", false, 1, 1, false, NULL},
    {"full", NULL, "full shards=5", false, 1, 1, false, NULL},
    {"full", NULL, "full shards=4", true, 1, 1, true, "sgd lr=auto"},
    {"full", NULL, "full", true, 1, 1, false, NULL},
    {"full", NULL, "full", false, 1, 1, true, "sgd lr=auto"},
    {"full", NULL, "full", true, 1, 1, true, "sgd lr=auto"},
    {"sag", NULL, "sag batch=5", false, 1, 1, false, NULL},
    {"sag", NULL, "sag", true, 1, 1, false, NULL},
    {"sag", NULL, "sag batch=5 init=full", false, 1, 1, false, NULL},
    {"sag", NULL, "sag batch=5 init=centered", true, 1, 1, false, NULL},
    {"sag", NULL, "sag init=sgd tol=1e-9", false, 1, 1, false, NULL},
    {"sag", NULL, "sag batch=3 sampling=lipschitz init=centered", false, 1, 2, true, NULL},
    {"sag", NULL, "sag sampling=lipschitz", true, 1, 1, true, NULL},
    {"saga", NULL, "saga batch=5", false, 1, 1, false, NULL},
    {"saga", NULL, "saga init=full tol=1e-3", true, 1, 1, false, NULL},
    {"saga", NULL, "saga batch=3 sampling=lipschitz", false, 1, 2, true, NULL},
    {"svrg", NULL, "svrg batch=4 period=3", false, 3, 2, false, NULL},
    {"svrg", NULL, "svrg batch=4 period=3 replay=step", false, 1, 2, false, NULL},
    {"svrg", NULL, "svrg batch=4 period=3 snapshot=random", false, 3, 2, false, NULL},
    {"svrg", NULL, "svrg batch=4 period=3 snapshot=mean alpha=0.5 over=200", false, 3, 2, false, NULL},
    {"svrg", NULL, "svrg batch=4 period=3 shards=2", false, 3, 2, false, NULL},
    {"sam", "minibatch", "sam of=minibatch batch=4", false, 1, 2, false, NULL},
    {"sam", "minibatch", "sam of=minibatch batch=4 shards=2", false, 1, 4, false, NULL},
    {"sam", "minibatch", "sam p=1 of=minibatch batch=4", false, 1, 2, false, NULL},
    {"sam", "minibatch", "sam p=1.5 of=minibatch batch=4", false, 1, 2, false, NULL},
    {"sam", "minibatch", "sam p=inf of=minibatch batch=4", false, 1, 2, false, NULL},
    {"sam", "svrg", "sam of=svrg batch=4 period=3", false, 3, 4, false, NULL},
    {"sam", "full", "sam of=full", false, 1, 2, false, NULL},
    {"sam", "full", "sam of=full", false, 1, 2, true, "sgd lr=auto"},
    {"asam", "minibatch", "asam rho=0.1 of=minibatch batch=4", false, 1, 2, false, NULL},
    {"asam", "svrg", "asam scale=all rho=0.1 of=svrg batch=4 period=3 snapshot=mean", false, 3, 4, false, NULL},
};
enum { ENTRIES = sizeof entries / sizeof *entries, STEPS = 9, LOOKS = 2 * SAMPLES };

static void test_every_estimator_is_in_the_table(void **state) {
    (void)state;
    FILE *list = tmpfile();
    char line[512], name[64];
    int found = 0;
    assert_non_null(list);
    sw_optim_list(list);
    rewind(list);
    bool inside = false;
    while (fgets(line, sizeof line, list)) {
        if (line[0] != ' ')
            inside = strcmp(line, "estimators\n") == 0;
        else if (inside && line[2] != ' ' && sscanf(line, "%63s", name) == 1) {
            bool there = false;
            for (int i = 0; i < ENTRIES; i++)
                there |= strcmp(entries[i].name, name) == 0;
            if (!there)
                fail_msg("estimator %s is registered, and not in this test's table", name);
            found++;
        }
    }
    assert_true(found >= 7);
    fclose(list);
}

/* ---- Masks and running statistics: a layer after the dropout looks on ---- */

static struct {
    int8_t kept[SAMPLES][HIDDEN];
    bool has[SAMPLES];
    int compared, different, passes, updates;
    int64_t updated;
} seen;

static sw_tensor look(sw_module *m, sw_tensor x) {
    (void)m;
    sw_array a = sw_value(x);
    const int64_t *ids = a.data && a.shape[1] == HIDDEN ? sw_tape_sample_ids(x.tape, a.shape[0]) : NULL;
    seen.passes++;
    seen.updates += sw_tape_switch(x.tape, SW_UPDATE_BUFFERS);
    seen.updated += sw_tape_switch(x.tape, SW_UPDATE_BUFFERS) ? a.shape[0] : 0;
    for (int64_t i = 0; ids && i < a.shape[0]; i++) {
        if (ids[i] >= SAMPLES)
            continue;
        int8_t *kept = seen.kept[ids[i]];
        for (int64_t j = 0; j < HIDDEN; j++) { /* a tanh is never exactly 0 here */
            const int8_t now = vec_get(a.type, a.data, i * HIDDEN + j) != 0;
            seen.different += seen.has[ids[i]] && kept[j] != now;
            kept[j] = now;
        }
        seen.compared += seen.has[ids[i]];
        seen.has[ids[i]] = true;
    }
    return x;
}

static const sw_module_type look_type = {.size = sizeof(sw_module_type), .name = "look", .forward = look};

static problem *dropout_problem(sw_dtype type) {
    return problem_new(type, net_sizes, &net_x0[0], 0.4, &look_type);
}

static problem *make_problem(const entry *e, sw_dtype type) {
    return e->glm ? glm_problem(type) : dropout_problem(type);
}

static sw_optim *make_optim(const entry *e, problem *p) {
    return sw_optim_new_with_options(p->params, &(sw_optim_options){.size = sizeof(sw_optim_options),
                                                                    .estimator = e->spec,
                                                                    .rule = e->rule ? e->rule : "adam lr=0.01",
                                                                    .average = "ema decay=0.9",
                                                                    .seed = SEED});
}

/* Steps that should see other masks than those before; counts the samples that do. */
static int start_anew(int8_t old[SAMPLES][HIDDEN], bool had[SAMPLES]) {
    int new_masks = 0;
    for (int64_t s = 0; s < SAMPLES; s++)
        if (seen.has[s]) {
            new_masks += had[s] && memcmp(old[s], seen.kept[s], HIDDEN) != 0;
            memcpy(old[s], seen.kept[s], HIDDEN);
            had[s] = true;
        }
    memset(&seen, 0, sizeof seen);
    return new_masks;
}

/* Evaluations that one gradient takes at most. */
static int shards_of(const entry *e) {
    const char *option = strstr(e->spec, "shards=");
    return option ? atoi(option + strlen("shards=")) : 1;
}

static void test_passes_of_a_step_see_equal_masks(void **state) {
    (void)state;
    for (int i = 0; i < ENTRIES; i++)
        for (int t = 0; t < 2 && !entries[i].glm; t++) {
            const entry *e = &entries[i];
            problem *p = make_problem(e, (sw_dtype)t);
            sw_optim *o = make_optim(e, p);
            int8_t old[SAMPLES][HIDDEN];
            bool had[SAMPLES] = {0};
            int new_masks = 0, compared = 0;
            assert_non_null(o);
            memset(&seen, 0, sizeof seen);
            for (int k = 0; k < LOOKS; k++) {
                if (k % e->masks_for == 0)
                    new_masks += start_anew(old, had);
                const double before = sw_optim_epoch(o);
                seen.passes = seen.updates = seen.compared = 0;
                seen.updated = 0;
                assert_ok(sw_optim_minimize(o, &p->objective, NULL));
                if (seen.different || seen.updates < 1 || seen.updates > shards_of(e) || seen.passes < e->passes)
                    fail_msg("%s, step %d: %d elements of masks differ; %d passes, %d of them moved running "
                             "statistics",
                             e->spec, k + 1, seen.different, seen.passes, seen.updates);
                assert_int_equal(seen.updated, lround((sw_optim_epoch(o) - before) * SAMPLES));
                compared += seen.compared;
            }
            if (new_masks == 0)
                fail_msg("%s: the masks of other steps are the same", e->spec);
            assert_true(e->passes == 1 || compared > 0);
            sw_optim_free(o);
            problem_free(p);
        }
}

/* ---- Skipped steps ---- */

/* Slots that are built anew before they are read are no state until then: a scalar says so. */
static bool lives(const entry *e, sw_optim *o, const char *slot) {
    const char *all = e->spec;
    if (strstr(all, "svrg") && (strcmp(slot, "snapshot") == 0 || strcmp(slot, "full") == 0)) {
        const double since = sw_optim_scalar(o, -1, "since");
        return since != 0 && (double)(sw_optim_steps_taken(o) + 1) - since < 3;
    }
    if (strstr(all, "init=full") || strstr(all, "init=centered"))
        return sw_optim_scalar(o, -1, "filled") == 1 || strcmp(slot, "order") == 0 || strcmp(slot, "tree") == 0;
    return true;
}

static void append_method(bytes *b, const entry *e, sw_optim *o, const char *name) {
    const sw_estimator *method = name ? sw_estimator_find(name) : NULL;
    for (int i = 0; method && method->slots && method->slots[i].name; i++) {
        sw_array a = sw_optim_slot(o, method->slots[i].name);
        if (a.data && lives(e, o, method->slots[i].name))
            append(b, a.data, (size_t)sw_array_count(&a) * sw_dtype_size(a.type));
    }
    for (int i = 0; method && method->scalars && method->scalars[i]; i++) {
        const double value = sw_optim_scalar(o, -1, method->scalars[i]);
        append(b, &value, sizeof value);
    }
}

static bytes all_of(const entry *e, sw_optim *o, problem *p) {
    static const char *const slots[] = {"m", "v", NULL}, *const tables[] = {"ema", NULL};
    const claim c = {.slots = slots, .tables = tables};
    bytes b = fingerprint(&c, o, p->params);
    append_method(&b, e, o, e->name);
    append_method(&b, e, o, e->inner);
    return b;
}

/* One run with evaluation `poison_at` spoilt (0: none); how many evaluations there were. */
static int64_t run(const entry *e, sw_dtype type, int64_t poison_at, double what) {
    problem *p = make_problem(e, type);
    sw_optim *o = make_optim(e, p);
    if (!o)
        fail_msg("%s: %s", e->spec, sw_error());
    p->poison_at = poison_at;
    p->poison = what;
    assert_ok(sw_optim_bind(o, &p->objective));
    for (int k = 0; k < STEPS;) {
        bytes before = all_of(e, o, p);
        const sw_status status = sw_optim_minimize(o, &p->objective, NULL);
        bytes after = all_of(e, o, p);
        if (status == SW_SKIPPED) {
            assert_same_bytes(e->spec, &before, &after);
            assert_int_equal(sw_optim_steps_skipped(o), 1);
        } else {
            assert_ok(status);
            k++;
            assert_true(before.count != after.count || memcmp(before.data, after.data, before.count) != 0);
        }
        free(before.data);
        free(after.data);
    }
    const int64_t skipped = sw_optim_steps_skipped(o), calls = p->calls;
    if (e->searches ? skipped > 1 : skipped != (poison_at > 0))
        fail_msg("%s: %lld steps skipped with evaluation %lld spoilt", e->spec, (long long)skipped,
                 (long long)poison_at);
    assert_null(sw_error());
    sw_optim_free(o);
    problem_free(p);
    return calls;
}

static void test_skipped_step_changes_nothing(void **state) {
    (void)state;
    for (int i = 0; i < ENTRIES; i++)
        for (int t = 0; t < 2; t++) {
            const int64_t calls = run(&entries[i], (sw_dtype)t, 0, NAN);
            for (int64_t k = 1; k <= calls; k++)
                run(&entries[i], (sw_dtype)t, k, k % 2 ? (double)NAN : (double)INFINITY);
        }
}

/* ---- Threads ---- */

static problem *large_dropout_problem(sw_dtype type) {
    return problem_new(type, large_sizes, NULL, 0.4, NULL);
}

static void test_bits_are_equal_for_every_number_of_threads(void **state) {
    (void)state;
    for (int i = 0; i < ENTRIES; i++) {
        const entry *e = &entries[i];
        const claim c = {.name = e->spec,
                         .estimator = e->spec,
                         .rule = e->rule ? e->rule : "sgd lr=0.05",
                         .steps = 4,
                         .make = e->glm ? glm_problem : large_dropout_problem};
        prove_threads(&c, i % 2 ? SW_F32 : SW_F64);
    }
}

/* ---- Memory ---- */

static bool whole_life(const entry *e, problem *p) {
    sw_optim *o = make_optim(e, p);
    bool good = o != NULL;
    for (int k = 0; k < 4 && good; k++)
        good = sw_optim_minimize(o, &p->objective, NULL) == SW_OK;
    good = good && sw_optim_point(o) != NULL;
    sw_optim_free(o);
    return good;
}

static void test_estimators_survive_every_failed_allocation(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    for (int i = 0; i < ENTRIES; i++) {
        problem *p = make_problem(&entries[i], i % 2 ? SW_F64 : SW_F32);
        assert_true(whole_life(&entries[i], p));
        const long long live = atomic_load(&a.live);
        test_allocator_fail(&a, 0, false);
        assert_true(whole_life(&entries[i], p));
        const long long requests = atomic_load(&a.calls);
        for (int for_good = 0; for_good < 2; for_good++)
            for (long long k = 1; k <= requests; k++) {
                test_allocator_fail(&a, k, for_good != 0);
                const bool good = whole_life(&entries[i], p);
                test_allocator_fail(&a, 0, false);
                if (good)
                    fail_msg("%s: request %lld of %lld failed unnoticed", entries[i].spec, k, requests);
                assert_int_equal(sw_error_status(), SW_ERR_MEMORY);
                sw_clear_error();
                assert_int_equal(atomic_load(&a.live), live);
            }
        problem_free(p);
    }
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

/* Steps of full size after the first two make no request. */
static void test_steps_allocate_nothing(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    for (int i = 0; i < ENTRIES; i++) {
        problem *p = make_problem(&entries[i], SW_F32);
        sw_optim *o = make_optim(&entries[i], p);
        for (int k = 0; k < 12; k++)
            assert_ok(sw_optim_minimize(o, &p->objective, NULL));
        test_allocator_fail(&a, 0, false);
        for (int k = 0; k < 12; k++)
            assert_ok(sw_optim_minimize(o, &p->objective, NULL));
        if (atomic_load(&a.calls) != 0)
            fail_msg("%s: %lld requests in 12 later steps", entries[i].spec, (long long)atomic_load(&a.calls));
        sw_optim_free(o);
        problem_free(p);
    }
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

/* ---- Messages ---- */

static void refused(const char *spec, const char *rule, bool glm, const char *message) {
    problem *p = glm ? glm_problem(SW_F32) : dropout_problem(SW_F32);
    sw_optim *o = sw_optim_new_with_options(
        p->params, &(sw_optim_options){.size = sizeof(sw_optim_options), .estimator = spec, .rule = rule});
    assert_true(!o || sw_optim_bind(o, &p->objective) == SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, message);
    sw_optim_free(o);
    problem_free(p);
}

/* 6-5-3: 53 parameters; the line 6-3: 21, with 3 outputs. 12 samples. */
static void test_table_beyond_the_limit_names_its_size(void **state) {
    (void)state;
    refused("sag table_limit=0.001", "sgd", false,
            "estimator sag: the table of 12 rows of 53 f32 needs 2544 bytes, and table_limit is 0.001 MiB; "
            "raise it, "
            "take a larger batch (one row each), or give the objective rows and head, if it is a generalized "
            "linear "
            "model");
    refused("saga batch=5 table_limit=0.0005", "sgd", false,
            "estimator saga: the table of 3 rows of 53 f32 needs 636 bytes, and table_limit is 0.0005 MiB; "
            "raise it, "
            "take a larger batch (one row each), or give the objective rows and head, if it is a generalized "
            "linear "
            "model");
    refused("saga table_limit=0.0001", "sgd", true,
            "estimator saga: the table of 12 rows of 3 f32 needs 144 bytes, and table_limit is 0.0001 MiB; "
            "raise it");
    refused("sag table_limit=0", "sgd", true, "sag: table_limit=0 is outside (0, 1e+12]");
    /* Exactly the limit is not above it: 2544 bytes are 0.00242614746 MiB. */
    problem *p = dropout_problem(SW_F32);
    sw_optim *o =
        sw_optim_new_with_options(p->params, &(sw_optim_options){.size = sizeof(sw_optim_options),
                                                                 .estimator = "sag table_limit=0.00242614746093750"});
    assert_ok(sw_optim_bind(o, &p->objective));
    sw_optim_free(o);
    problem_free(p);
}

static void test_estimators_refuse_wrong_options_by_name(void **state) {
    (void)state;
    refused("sag sampling=lipschitz lipschitz=3", "sgd", false,
            "estimator sag: sampling=lipschitz measures an L_i for each row, and cannot be combined with lipschitz=3");
    refused("sag init=ful", "sgd", false, "sag: init=ful; one of seen|zero|full|centered|sgd|auto is needed");
    refused("sag btach=2", "sgd", false, "estimator sag has no option btach, did you mean batch?");
    refused("svrg alpha=2", "sgd", false, "svrg: alpha=2 is outside [0, 1]");
    refused("full batch=2", "sgd", false, "estimator full has no option batch; it has lipschitz, l2, shards");
    problem *p = dropout_problem(SW_F64);
    sw_optim *o = sw_optim_new_with_options(
        p->params,
        &(sw_optim_options){.size = sizeof(sw_optim_options), .rule = "sgd lr=auto", .estimator = "minibatch"});
    assert_int_equal(sw_optim_minimize(o, &p->objective, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "rule sgd: lr=auto, but estimator minibatch proposes no step size");
    sw_optim_free(o);
    problem_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_estimator_is_in_the_table),
        cmocka_unit_test(test_passes_of_a_step_see_equal_masks),
        cmocka_unit_test(test_skipped_step_changes_nothing),
        cmocka_unit_test(test_bits_are_equal_for_every_number_of_threads),
        cmocka_unit_test(test_estimators_survive_every_failed_allocation),
        cmocka_unit_test(test_steps_allocate_nothing),
        cmocka_unit_test(test_table_beyond_the_limit_names_its_size),
        cmocka_unit_test(test_estimators_refuse_wrong_options_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
