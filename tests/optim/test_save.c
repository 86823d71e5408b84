/* A run that is saved in the middle, loaded and resumed is bit-for-bit identical to the uninterrupted run: for every
 * registered rule, estimator, schedule, line search and average, and for every option that changes the saved state. */
#include "saved_runs.h"

#include "lbfgs_rule.h"

/* ---- Every method ---- */

/* " name=value" with which an option differs from its default; "" if there is no such. */
static const char *turned(const sw_option *o, char text[96]) {
    text[0] = 0;
    switch (o->kind) {
    case SW_OPTION_BOOL: snprintf(text, 96, " %s=%d", o->name, o->value == 0); break;
    case SW_OPTION_CHOICE: {
        const char *second = o->choices ? strchr(o->choices, '|') : NULL;
        if (second)
            snprintf(text, 96, " %s=%.*s", o->name,
                     o->value == 0 ? (int)strcspn(second + 1, "|") : (int)strcspn(o->choices, "|"),
                     o->value == 0 ? second + 1 : o->choices);
        break;
    }
    case SW_OPTION_REAL:
        if (o->value == 0 && o->high > 0) /* off by default, like momentum */
            snprintf(text, 96, " %s=%g", o->name, o->high >= 1 ? 0.5 : o->high / 2);
        break;
    case SW_OPTION_INTEGER:
        if (o->value + 1 <= o->high && strcmp(o->name, "batch") != 0)
            snprintf(text, 96, " %s=%.0f", o->name, o->value + 1);
        break;
    default: break;
    }
    return text;
}

static int variants_resumed;

/* A rule on all parameters; if it refuses that, on the matrix alone. */
static bool rule_resumes(sw_dtype type, const char *spec) {
    char routed[300];
    snprintf(routed, sizeof routed, "rank=2: %s; sgd lr=0.1", spec);
    char name[64];
    assert_int_equal(sscanf(spec, "%63s", name), 1);
    const bool exact = sw_rule_find(name)->flags & SW_RULE_EXACT_GRADIENT;
    const char *estimator = exact ? "full" : "minibatch batch=5";
    const bool done = resumes(type, true, 0, HOW(.rule = spec, .estimator = estimator)) ||
                      resumes(type, true, 0, HOW(.rule = routed, .estimator = estimator));
    variants_resumed += done;
    return done;
}

static void test_every_rule_resumes(void **state) {
    (void)state;
    int rules = 0;
    variants_resumed = 0;
    for (const sw_rule *r; (r = sw_rule_at(rules)) != NULL; rules++) {
        char spec[200], text[96];
        if (!rule_resumes(SW_F32, r->name) || !rule_resumes(SW_F64, r->name))
            fail_msg("rule %s cannot be run here: give it what it needs", r->name);
        for (const sw_option *o = r->options; o && o->name; o++)
            if (*turned(o, text)) {
                snprintf(spec, sizeof spec, "%s%s", r->name, text);
                rule_resumes(SW_F32, spec); /* options that need others are refused */
            }
    }
    assert_true(rules >= 3 && variants_resumed >= 2 * rules);
    assert_true(rule_resumes(SW_F64, "sgd momentum=0.9 nesterov"));
    assert_true(rule_resumes(SW_F32, "sgd lr=0.1 momentum=0.9 l1=0.01 low=-0.5"));
    assert_true(rule_resumes(SW_F64, "fista lr=auto l1=0.01 nonnegative"));
    assert_true(rule_resumes(SW_F32, "proto_lbfgs lr=0.5 history=2 weight_decay=0.01"));
    assert_true(resumes(SW_F64, true, 0, HOW(.rule = "proto_lbfgs", .estimator = "full", .schedule = "wolfe")));
    assert_true(
        resumes(SW_F64, true, 3,
                HOW(.rule = "role=bias: proto_lbfgs lr=0.5; proto_lbfgs lr=0.5 history=2", .estimator = "full")));
    assert_true(resumes(
        SW_F32, true, 0,
        HOW(.rule = "role=bias: sgd momentum=0.5; adamw lr=0.01", .estimator = "minibatch batch=5", .clip = 0.1)));
}

/* An estimator's spec, wrapped ones around each that is none. */
static int estimator_resumes(const sw_estimator *e, const char *options) {
    char spec[200];
    int done = 0;
    if (!(e->flags & SW_ESTIMATOR_WRAPPER)) {
        snprintf(spec, sizeof spec, "%s%s", e->name, options);
        done += resumes(SW_F64, false, 0, HOW(.rule = "adam lr=0.05", .estimator = spec));
        done += resumes(SW_F32, true, 0, HOW(.rule = "sgd lr=0.05 momentum=0.5", .estimator = spec));
        done += resumes(SW_F32, false, 0, HOW(.rule = "sgd lr=auto", .estimator = spec));
        return done;
    }
    const sw_estimator *inner;
    for (int i = 0; (inner = sw_estimator_at(i)) != NULL; i++) {
        const char *batch = "";
        for (const sw_option *o = inner->options; o && o->name; o++)
            batch = strcmp(o->name, "batch") == 0 ? " batch=5" : batch;
        snprintf(spec, sizeof spec, "%s%s of=%s%s", e->name, options, inner->name, batch);
        if (!(inner->flags & SW_ESTIMATOR_WRAPPER))
            done += resumes(SW_F64, false, 0, HOW(.rule = "adam lr=0.05", .estimator = spec));
    }
    return done;
}

static void test_every_estimator_resumes(void **state) {
    (void)state;
    int estimators = 0;
    for (const sw_estimator *e; (e = sw_estimator_at(estimators)) != NULL; estimators++) {
        char options[200] = "", text[96];
        for (const sw_option *o = e->options; o && o->name; o++)
            if (strcmp(o->name, "batch") == 0)
                snprintf(options, sizeof options, " batch=5");
        if (!estimator_resumes(e, options))
            fail_msg("estimator %s cannot be run here: give it what it needs", e->name);
        for (const sw_option *o = e->options; o && o->name; o++)
            if (*turned(o, text)) {
                char both[320];
                snprintf(both, sizeof both, "%s%s", options, text);
                estimator_resumes(e, both);
            }
    }
    assert_true(estimators >= 1);
}

static void test_every_schedule_search_and_average_resumes(void **state) {
    (void)state;
    int i = 0;
    char spec[200], text[96];
    for (const sw_schedule *s; (s = sw_schedule_at(i)) != NULL; i++) {
        snprintf(spec, sizeof spec, "%s warmup=2; %s on=weight_decay", s->name, s->name);
        if (!resumes(SW_F64, true, 0, HOW(.rule = "adamw", .estimator = "minibatch batch=5", .schedule = spec)))
            fail_msg("schedule %s cannot be run here: give it what it needs", s->name);
    }
    assert_true(i >= 2);
    i = 0;
    for (const sw_line_search *s; (s = sw_line_search_at(i)) != NULL; i++)
        if (!resumes(SW_F64, false, 0, HOW(.rule = "sgd", .estimator = "minibatch batch=12", .schedule = s->name)))
            fail_msg("line search %s cannot be run here: give it what it needs", s->name);
    i = 0;
    for (const sw_average *a; (a = sw_average_at(i)) != NULL; i++) {
        if (!resumes(SW_F32, true, 0, HOW(.rule = "adam", .estimator = "minibatch batch=5", .average = a->name)))
            fail_msg("average %s cannot be run here: give it what it needs", a->name);
        for (const sw_option *o = a->options; o && o->name; o++)
            if (*turned(o, text)) {
                snprintf(spec, sizeof spec, "%s%s", a->name, text);
                resumes(SW_F32, true, 0, HOW(.rule = "adam", .estimator = "minibatch batch=5", .average = spec));
            }
    }
    assert_true(i >= 2);
}

/* Steps that were skipped before the stop or after it. */
static void test_run_with_skipped_steps_resumes(void **state) {
    (void)state;
    for (int k = 1; k <= STEPS; k++)
        assert_true(resumes(SW_F64, true, k,
                            HOW(.rule = "adam", .estimator = "minibatch batch=5", .schedule = "cosine warmup=2",
                                .average = "ema decay=0.9")));
}

/* ---- Methods of a kind that the library may not have: everything there is to save ---- */

static sw_status walk_sample(sw_estimate *e) { /* ids by a stream of its own */
    int64_t *ids = sw_estimate_ids(e, 3);
    if (!ids)
        return SW_ERR_MEMORY;
    sw_rng rng = {.key = sw_rng_key(e->seed, "walk"), .position = (uint64_t)e->scalar[0]};
    for (int i = 0; i < 3; i++)
        ids[i] = (int64_t)sw_rng_below(&rng, (uint64_t)e->n);
    e->scalar[0] = (double)rng.position;
    e->ids = ids;
    e->count = 3;
    return SW_OK;
}

static sw_status walk_estimate(sw_estimate *e, const void *x, void *g) {
    e->lr = 0.01 + ((double *)e->slot[1])[0] * 1e-3;
    return sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g);
}

static sw_status walk_commit(sw_estimate *e) {
    for (int i = 0; i < 3; i++)
        ((int32_t *)e->slot[0])[e->ids[i]]++;
    ((double *)e->slot[1])[0] += e->value;
    return SW_OK;
}

static int64_t per_sample(const sw_slot_sizes *s) {
    return s->n;
}
static int64_t only_one(const sw_slot_sizes *s) {
    (void)s;
    return 1;
}
static const sw_slot walk_slots[] = {{.name = "seen", .type = SW_SLOT_I32, .count = per_sample},
                                     {.name = "sum", .type = SW_SLOT_F64, .count = only_one},
                                     {.name = "start", .start = SW_START_X},
                                     {0}};
static const char *const walk_scalars[] = {"place", NULL};
static const sw_estimator walk = {.size = sizeof walk,
                                  .name = "test-walk",
                                  .slots = walk_slots,
                                  .scalars = walk_scalars,
                                  .sample = walk_sample,
                                  .estimate = walk_estimate,
                                  .commit = walk_commit};

static sw_status around_estimate(sw_estimate *e, const void *x, void *g) {
    sw_status status = sw_estimate_inner(e, x, g);
    e->scalar[0]++;
    return status;
}
static const sw_option around_options[] = {{.name = "of", .kind = SW_OPTION_SPEC}, {0}};
static const char *const around_scalars[] = {"passes", NULL};
static const sw_slot around_slots[] = {{.name = "copy", .type = SW_SLOT_U8, .count = per_sample}, {0}};
static const sw_estimator around = {.size = sizeof around,
                                    .name = "test-around",
                                    .options = around_options,
                                    .flags = SW_ESTIMATOR_WRAPPER,
                                    .scalars = around_scalars,
                                    .slots = around_slots,
                                    .estimate = around_estimate};

/* Unit TENSOR, slots of sizes of their own, a scalar. */
static int64_t squared(const sw_slot_sizes *s) {
    return s->param->count * 2 - 1;
}
static const sw_slot matrix_slots[] = {{.name = "history", .type = SW_SLOT_F32, .count = squared}, {.name = "m"}, {0}};
static const char *const matrix_scalars[] = {"t", NULL};
static sw_status matrix_begin(sw_step *s) {
    s->scalar[0] += 1;
    return SW_OK;
}
static sw_status matrix_update(sw_step *s) {
    float *history = s->slot[0];
    for (int64_t i = 0; i < s->count; i++) {
        double g = s->type == SW_F32 ? (double)((const float *)s->g)[i] : ((const double *)s->g)[i];
        history[i] = (float)(0.5 * (double)history[i] + g);
        if (s->type == SW_F32)
            ((float *)s->x)[i] -= (float)(s->option[0] * (double)history[i] / s->scalar[0]);
        else
            ((double *)s->x)[i] -= s->option[0] * (double)history[i] / s->scalar[0];
    }
    return SW_OK;
}
static const sw_option lr_option[] = {{.name = "lr", .value = 0.1, .low = 0, .high = 1}, {0}};
static const sw_rule matrix = {.size = sizeof matrix,
                               .name = "test-matrix",
                               .options = lr_option,
                               .slots = matrix_slots,
                               .scalars = matrix_scalars,
                               .unit = SW_UNIT_TENSOR,
                               .begin = matrix_begin,
                               .tensor = matrix_update};

/* A point of its own by coefficients that `begin` left. */
static void point_update(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        ((float *)s->x)[i] -= (float)s->option[0] * ((const float *)s->g)[i];
}
static void point_out(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        ((float *)s->out)[i] = ((const float *)s->x)[i] * (float)s->coefficient[3] + (float)s->option[0];
}
static sw_status point_begin(sw_step *s) {
    s->coefficient[3] = 1 / (double)s->step;
    return SW_OK;
}
#define ONLY_F32(kernel)            \
    {                               \
        {kernel, kernel, kernel}, { \
            NULL, NULL, NULL        \
        }                           \
    }
static const sw_kernels point_update_kernels = ONLY_F32(point_update), point_out_kernels = ONLY_F32(point_out);
static const sw_rule pointed = {.size = sizeof pointed,
                                .name = "test-point",
                                .options = lr_option,
                                .begin = point_begin,
                                .update = &point_update_kernels,
                                .point = &point_out_kernels};

/* A search that remembers its last step. */
static sw_status half(sw_search *s, double *alpha) {
    double value, slope;
    s->scalar[0] = s->scalar[0] > 0 ? s->scalar[0] * 0.75 : s->initial;
    SW_TRY(sw_search_eval(s, s->scalar[0], &value, &slope));
    *alpha = s->scalar[0];
    return SW_OK;
}
static const char *const half_scalars[] = {"alpha", NULL};
static const sw_line_search halving = {
    .size = sizeof halving, .name = "test-half", .scalars = half_scalars, .search = half};

static void test_every_kind_of_state_resumes(void **state) {
    (void)state;
    assert_int_equal(sw_estimator_register(&walk), SW_OK);
    assert_int_equal(sw_estimator_register(&around), SW_OK);
    assert_int_equal(sw_rule_register(&matrix), SW_OK);
    assert_int_equal(sw_rule_register(&pointed), SW_OK);
    assert_int_equal(sw_line_search_register(&halving), SW_OK);
    for (int plain = 0; plain < 2; plain++) {
        assert_true(resumes(SW_F64, plain, 0,
                            HOW(.estimator = "test-around of=test-around of=test-walk", .rule = "adam lr=auto")));
        assert_true(resumes(SW_F32, plain, 2,
                            HOW(.estimator = "test-around of=minibatch batch=5",
                                .rule = "rank=2: test-matrix; sgd momentum=0.5", .average = "ema debias")));
        assert_true(resumes(
            SW_F32, plain, 0,
            HOW(.estimator = "minibatch batch=5 order=replacement", .rule = "test-point", .schedule = "cosine")));
        assert_true(resumes(SW_F64, plain, 0,
                            HOW(.estimator = "minibatch batch=5 order=sequential", .rule = "sgd momentum=0.5",
                                .schedule = "test-half")));
    }
    run r;
    assert_true(open_run(&r, SW_F64, false, HOW(.estimator = "test-around of=test-walk", .rule = "adam")));
    assert_int_equal(go(&r, 2), SW_OK);
    sw_archive *a = sw_archive_load(save(&r, "names"));
    static const char *const names[] = {"optim.x.w",
                                        "optim.slot.b.v",
                                        "optim.estimator.inner.seen",
                                        "optim.estimator.inner.scalar.place",
                                        "optim.estimator.scalar.passes",
                                        "optim.group0.option.beta1",
                                        "optim.counter.steps"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!sw_archive_has(a, names[i]))
            fail_msg("%s", names[i]);
    assert_true(*(int64_t *)sw_archive_get(a, "optim.counter.steps").data == 2);
    assert_string_equal(sw_archive_text(a, "optim.estimator"), "test-around of=test-walk");
    sw_params *p = r.p.params; /* the parameters alone */
    const double w = *(double *)sw_params_x(p);
    *(double *)sw_params_x(p) = 9;
    assert_int_equal(sw_params_unpack(p, a, "optim.x."), SW_OK);
    assert_true(*(double *)sw_params_x(p) == w);
    sw_archive_free(a);
    remove_file(path_of("names"));
    close_run(&r);
    expect_no_error();
}

/* ---- Other ways ---- */

/* By hand: no objective is bound. */
static void test_loop_by_hand_resumes(void **state) {
    (void)state;
    run r[3];
    sw_tape *tape = sw_tape_new();
    const char *path = NULL;
    for (int i = 0; i < 3; i++) { /* straight, to the stop, after it */
        open_problem(&r[i].p, SW_F32, true);
        r[i].o = sw_optim_new_with_options(r[i].p.params, HOW(.rule = "adamw", .schedule = "cosine", .average = "ema"));
        assert_non_null(r[i].o);
        if (i == 2)
            assert_int_equal(sw_optim_load(r[i].o, path), SW_OK);
        for (int k = i == 2 ? STOP : 0; k < (i == 1 ? STOP : STEPS); k++) {
            const int64_t ids[3] = {k, k + 1, k + 2};
            sw_tape_reset(tape);
            sw_tape_set_draw(tape, (uint64_t)k);
            assert_int_equal(sw_backward(loss(&r[i].p, tape, ids, 3)), SW_OK);
            assert_int_equal(sw_optim_step(r[i].o), SW_OK);
        }
        if (i == 1)
            path = save(&r[i], "by-hand");
    }
    assert_memory_equal(sw_params_x(r[0].p.params), sw_params_x(r[2].p.params), 8 * sizeof(float));
    assert_true(point_hash(&r[0]) == point_hash(&r[2]));
    assert_true(sw_optim_option(r[0].o, 0, "lr") == sw_optim_option(r[2].o, 0, "lr"));
    remove_file(path);
    sw_tape_free(tape);
    for (int i = 0; i < 3; i++)
        close_run(&r[i]);
    expect_no_error();
}

/* Back to an earlier state in the same optimizer, through a file which holds the program's own numbers too.
 */
static void test_optimizer_returns_to_a_checkpoint(void **state) {
    (void)state;
    run r;
    const int64_t place[2] = {3, 40};
    assert_true(open_run(&r, SW_F32, true, HOW(.rule = "adam", .estimator = "minibatch batch=5")));
    assert_int_equal(go(&r, 3), SW_OK);
    const char *path = path_of("checkpoint");
    sw_archive *a = sw_archive_new();
    assert_int_equal(sw_archive_put_copy(a, "loader", sw_array_view(place, SW_I64, SW_SHAPE(2))), SW_OK);
    assert_int_equal(sw_optim_pack(r.o, a), SW_OK);
    assert_int_equal(sw_archive_save(a, path), SW_OK);
    sw_archive_free(a);
    assert_int_equal(go(&r, 5), SW_OK);
    const uint64_t end = point_hash(&r);
    a = sw_archive_load(path);
    assert_memory_equal(sw_archive_get(a, "loader").data, place, sizeof place);
    assert_int_equal(sw_optim_unpack(r.o, a), SW_OK);
    sw_archive_free(a);
    assert_int_equal(sw_optim_steps_taken(r.o), 3);
    assert_int_equal(go(&r, 5), SW_OK);
    assert_true(point_hash(&r) == end);
    remove_file(path);
    close_run(&r);
    expect_no_error();
}

/* Real numbers and schedules may be others; the length of the run is the file's unless one is set. */
static void test_run_may_resume_with_other_numbers(void **state) {
    (void)state;
    run r, s;
    assert_true(
        open_run(&r, SW_F64, true, HOW(.rule = "adam lr=0.1", .estimator = "minibatch batch=5", .schedule = "cosine")));
    assert_int_equal(go(&r, 2), SW_OK);
    const char *path = save(&r, "otherwise");
    const sw_optim_options how = {.size = sizeof how,
                                  .seed = 11,
                                  .rule = "adam lr=0.01",
                                  .schedule = "cosine; constant",
                                  .estimator = "minibatch batch=5",
                                  .clip = 1};
    assert_true(open_run(&s, SW_F64, true, &how));
    assert_int_equal(sw_optim_load(s.o, path), SW_OK);
    assert_true(sw_optim_option(s.o, 0, "lr") > 0.05); /* of the last step */
    assert_int_equal(go(&s, 1), SW_OK);
    assert_true(sw_optim_option(s.o, 0, "lr") < 0.01);
    remove_file(path);
    close_run(&r), close_run(&s);
    expect_no_error();
}

/* A rule of unit VECTOR is among the registered ones. */
static int set_up(void **state) {
    return make_folder(state) != 0 || sw_rule_register(&proto_lbfgs) != SW_OK;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_every_rule_resumes),
        TEST(test_every_estimator_resumes),
        TEST(test_every_schedule_search_and_average_resumes),
        TEST(test_run_with_skipped_steps_resumes),
        TEST(test_every_kind_of_state_resumes),
        TEST(test_loop_by_hand_resumes),
        TEST(test_optimizer_returns_to_a_checkpoint),
        TEST(test_run_may_resume_with_other_numbers),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
