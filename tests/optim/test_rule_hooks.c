/* The hooks of rules that follow a step. `accepted` is called exactly once for every step that was kept, with every
 * estimator, line search and loop, and never for another step. `adopted` is called after the point of evaluation was
 * copied to x. */
#include "helpers.h"

#include "estimators/small_glm.h"

/* ---- sgd, with hooks that count ---- */

static int64_t accepted, accepted_step, adopted, adopted_step;
static bool in_order; /* each step had the next number */
static sw_status hook_status;
static double hook_value; /* the hook writes it to the first scalar */
static double slot_value; /* the hook writes it to the slot `seen`; 0: it writes nothing */
static double seen_x, seen_g;

/* Copies x and g of the whole group to the slot, as kernels receive them. */
static void seen_kernel(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        vec_set(s->type, s->slot[0], i, slot_value != 0 ? slot_value : vec_get(s->type, s->x, i));
}
static const sw_kernels seen_kernels = ALL_LEVELS(seen_kernel);

static sw_status hook_accepted(sw_step *s) {
    in_order &= s->step == accepted_step + 1;
    accepted_step = s->step;
    accepted++;
    return SW_OK;
}

static sw_status hook_adopted(sw_step *s) {
    adopted_step = s->step;
    adopted++;
    return s->g ? sw_fail(SW_ERR_USER, "adopted has a gradient") : SW_OK;
}

/* A copy of sgd, with the flags by which loops of estimators and compensated sums recognize sgd. */
static sw_rule counting;

static void reset_counts(void) {
    accepted = accepted_step = adopted = adopted_step = 0;
    in_order = true;
}

/* ---- A rule with slots and scalars, whose hooks use them ---- */

static sw_status writer_accepted(sw_step *s) {
    accepted++;
    seen_x = vec_get(s->type, s->x, 0);
    seen_g = vec_get(s->type, s->g, 0);
    s->scalar[0] += hook_value;
    SW_TRY(sw_step_run(s, &seen_kernels));
    return hook_status;
}

static sw_status writer_adopted(sw_step *s) {
    adopted++;
    adopted_step = s->step;
    s->scalar[0] = hook_value;
    SW_TRY(sw_step_run(s, &seen_kernels));
    return hook_status;
}

static void writer_update(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        vec_set(s->type, s->x, i, vec_get(s->type, s->x, i) - s->option[0] * vec_get(s->type, s->g, i));
}
static const sw_kernels writer_kernels = ALL_LEVELS(writer_update);
static const sw_option lr_options[] = {{.name = "lr", .value = 1, .low = 0, .high = 10, .help = "a rate"}, {0}};
static const sw_slot seen_slots[] = {{.name = "seen"}, {0}};
static const char *const kept_scalar[] = {"kept", NULL};
static const sw_rule writer = {.size = sizeof(sw_rule),
                               .name = "writer",
                               .options = lr_options,
                               .slots = seen_slots,
                               .scalars = kept_scalar,
                               .update = &writer_kernels,
                               .accepted = writer_accepted,
                               .adopted = writer_adopted};

/* The same with unit TENSOR, and with a slot whose size the rule determines. */
static sw_status tensor_update(sw_step *s) {
    writer_update(s, 0, s->count, NULL);
    return SW_OK;
}
static int64_t tensor_count(const sw_slot_sizes *sizes) {
    return sizes->dim + 3;
}
static const sw_slot tensor_slots[] = {{.name = "seen", .count = tensor_count}, {0}};
static const sw_rule tensor_writer = {.size = sizeof(sw_rule),
                                      .name = "tensor_writer",
                                      .options = lr_options,
                                      .slots = tensor_slots,
                                      .scalars = kept_scalar,
                                      .unit = SW_UNIT_TENSOR,
                                      .tensor = tensor_update,
                                      .accepted = writer_accepted,
                                      .adopted = writer_adopted};

/* ---- A rule for whole vectors, whose hooks receive the parameters of the group without gaps ---- */

enum { PAIRS = 2 };
static double vector_x[SMALL_DIM], vector_g[SMALL_DIM];
static int64_t vector_count;

static int64_t pairs_count(const sw_slot_sizes *sizes) {
    return PAIRS * sizes->dim;
}

static sw_status vector_direction(sw_step *s) {
    sw_step_scale(s, -1, s->g, s->out);
    return SW_OK;
}

/* Stores the change of x in each step, x - last, in the rows of a slot in turn; g is that of the step. */
static sw_status vector_accepted(sw_step *s) {
    accepted++;
    vector_count = s->count;
    void *row = sw_step_row(s, s->slot[1], s->step % PAIRS);
    sw_step_scale(s, 1, s->x, row);
    sw_step_axpy(s, -1, s->slot[0], row);
    sw_step_scale(s, 1, s->x, s->slot[0]);
    for (int64_t i = 0; i < s->count; i++) {
        vector_x[i] = vec_get(s->type, s->x, i);
        vector_g[i] = vec_get(s->type, s->g, i);
    }
    return SW_OK;
}

static sw_status vector_adopted(sw_step *s) {
    adopted++;
    if (s->g)
        return sw_fail(SW_ERR_USER, "adopted has a gradient");
    sw_step_scale(s, 1, s->x, s->slot[0]);
    return SW_OK;
}

static const sw_slot vector_slots[] = {{.name = "last"}, {.name = "moves", .count = pairs_count}, {0}};
static const sw_rule vector_writer = {.size = sizeof(sw_rule),
                                      .name = "vector_writer",
                                      .options = lr_options,
                                      .slots = vector_slots,
                                      .unit = SW_UNIT_VECTOR,
                                      .flags = SW_RULE_LINEAR,
                                      .vector = vector_direction,
                                      .accepted = vector_accepted,
                                      .adopted = vector_adopted};

/* A rule for whole vectors whose hooks process elements: `accepted` with g, `adopted` without. */
static void elements_kernel(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        vec_set(s->type, s->slot[0], i, vec_get(s->type, s->g ? s->g : s->x, i));
}
static const sw_kernels elements_kernels = ALL_LEVELS(elements_kernel);
static sw_status elements_hook(sw_step *s) {
    return sw_step_run(s, &elements_kernels);
}
static const sw_rule vector_elements = {.size = sizeof(sw_rule),
                                        .name = "vector_elements",
                                        .options = lr_options,
                                        .slots = seen_slots,
                                        .unit = SW_UNIT_VECTOR,
                                        .vector = vector_direction,
                                        .accepted = elements_hook,
                                        .adopted = elements_hook};

/* A rule whose hook reads values of the last step: an option that a schedule scales, and a coefficient. */
static double last_option, last_coefficient;
static bool last_begin_skips;
static sw_status last_begin(sw_step *s) {
    s->coefficient[0] = 100 * (double)s->step;
    return last_begin_skips ? SW_SKIPPED : SW_OK;
}
static sw_status last_adopted(sw_step *s) {
    last_option = s->option[0];
    last_coefficient = s->coefficient[0];
    return SW_OK;
}
static const sw_option rate_options[] = {{.name = "rate", .value = 1, .low = 0, .high = 10, .help = "a rate"}, {0}};
static const sw_rule last_step = {.size = sizeof(sw_rule),
                                  .name = "last",
                                  .options = rate_options,
                                  .begin = last_begin,
                                  .update = &writer_kernels,
                                  .adopted = last_adopted};

/* Calls sw_step_run where this is not allowed. */
static sw_status hasty_begin(sw_step *s) {
    return sw_step_run(s, &seen_kernels);
}
static const sw_rule hasty = {.size = sizeof(sw_rule),
                              .name = "hasty",
                              .options = lr_options,
                              .slots = seen_slots,
                              .begin = hasty_begin,
                              .update = &writer_kernels};

/* Writes to a scalar that its table does not name. */
static sw_status careless_accepted(sw_step *s) {
    s->scalar[1] = 1;
    return SW_OK;
}
static const sw_rule careless = {.size = sizeof(sw_rule),
                                 .name = "careless_hook",
                                 .options = lr_options,
                                 .scalars = kept_scalar,
                                 .update = &no_kernels,
                                 .accepted = careless_accepted};

/* ---- Estimators, searches and averages that fail on demand ---- */

static sw_status late_status;
static sw_status late_commit(sw_estimate *e) {
    (void)e;
    return late_status;
}
static const sw_estimator late = {
    .size = sizeof(sw_estimator), .name = "late", .estimate = plain_estimate, .commit = late_commit};

static sw_status refusing_begin(sw_step *s) {
    (void)s;
    return late_status;
}
static void refusing_update(void *args, int64_t begin, int64_t end, double *sums) {
    (void)args, (void)begin, (void)end, (void)sums;
}
static const sw_kernels refusing_kernels = ALL_LEVELS(refusing_update);
static const sw_average refusing = {
    .size = sizeof(sw_average), .name = "refusing", .begin = refusing_begin, .update = &refusing_kernels};

/* A search that makes five trials, and then finds no step or takes the last one. */
static bool search_gives_up;
static sw_status trials_search(sw_search *s, double *alpha) {
    double value;
    for (int i = 1; i <= 5; i++)
        SW_TRY(sw_search_eval(s, s->initial / i, &value, NULL));
    *alpha = s->initial / 5;
    return search_gives_up ? SW_SKIPPED : SW_OK;
}
static const sw_line_search trials = {.size = sizeof(sw_line_search), .name = "trials", .search = trials_search};

static int register_all(void **state) {
    (void)state;
    counting = *sw_rule_find("sgd");
    counting.name = "counting";
    counting.accepted = hook_accepted;
    counting.adopted = hook_adopted;
    return sw_rule_register(&counting) || sw_rule_register(&writer) || sw_rule_register(&tensor_writer) ||
           sw_rule_register(&vector_writer) || sw_rule_register(&hasty) || sw_rule_register(&last_step) ||
           sw_rule_register(&vector_elements) || sw_rule_register(&careless) || sw_estimator_register(&late) ||
           sw_average_register(&refusing) || sw_line_search_register(&trials);
}

static int set_up(void **state) {
    (void)state;
    reset_counts();
    hook_status = late_status = SW_OK;
    hook_value = 1;
    slot_value = 0;
    search_gives_up = false;
    return 0;
}

/* ---- accepted: once for each step that was kept ---- */

static void assert_counted(const sw_optim *o, const char *what) {
    if (accepted != sw_optim_steps_taken(o) || !in_order || accepted_step != accepted)
        fail_msg("%s: %lld steps, accepted %lld times, the last one step %lld", what,
                 (long long)sw_optim_steps_taken(o), (long long)accepted, (long long)accepted_step);
}

/* Single steps, many steps at once (in which the estimator would run its loop, if it has one), and sw_train, on a
 * generalized linear model in memory. */
static void count_under(const char *estimator, const char *average, bool sparse, sw_dtype type) {
    problem *p = problem_new(1);
    sw_glm *m = glm_of(p, SW_HEAD_LOGISTIC, type, sparse);
    sw_optim *o = NEW_OPTIM(sw_glm_params(m), .estimator = estimator, .rule = "counting lr=0.01", .average = average);
    const sw_objective *f = sw_glm_objective(m);
    reset_counts();
    for (int i = 0; i < 7; i++)
        assert_ok(sw_optim_minimize(o, f, NULL));
    assert_counted(o, estimator);
    assert_ok(sw_optim_minimize_steps(o, f, 50, NULL));
    assert_int_equal(sw_optim_steps_taken(o), 57);
    assert_counted(o, estimator);
    sw_train_result result;
    assert_ok(sw_train(f, o, &SW_OPTIONS(sw_train_options, .steps = 300), &result));
    assert_int_equal(sw_optim_steps_taken(o), 300);
    assert_counted(o, estimator);
    assert_int_equal(adopted, 0);
    sw_optim_free(o);
    sw_glm_free(m);
    free(p);
}

static void test_accepted_is_called_under_every_estimator(void **state) {
    (void)state;
    int seen = 0;
    for (int i = 0; sw_estimator_at(i); i++) {
        const sw_estimator *e = sw_estimator_at(i);
        for (int k = 0; k < 2; k++) {
            count_under(e->name, NULL, k == 1, SW_F64);
            count_under(e->name, "ema decay=0.9", k == 1, SW_F32);
        }
        seen++;
    }
    assert_true(seen >= 8); /* minibatch, full, sag, saga, svrg, sam, asam, late */
    count_under("sam of=svrg", NULL, false, SW_F64);
    count_under("asam of=full", "polyak", false, SW_F32);
    count_under("sag batch=1", "ema decay=0", true, SW_F64);
}

/* The loop is not used: x has the bits of single steps, which for sparse rows differ from those of the loop. */
static void test_accepted_needs_single_steps(void **state) {
    (void)state;
    double x[3][D + 1];
    for (int k = 0; k < 3; k++) {
        problem *p = problem_new(1);
        sw_glm *m = glm_of(p, SW_HEAD_LOGISTIC, SW_F64, true);
        sw_optim *o = NEW_OPTIM(sw_glm_params(m), .estimator = "saga batch=1",
                                .rule = k == 1 ? "counting lr=0.01 weight_decay=0.1" : "sgd lr=0.01 weight_decay=0.1");
        for (int i = 0; i < 500 && k == 0; i++)
            assert_ok(sw_optim_minimize(o, sw_glm_objective(m), NULL));
        if (k > 0)
            assert_ok(sw_optim_minimize_steps(o, sw_glm_objective(m), 500, NULL));
        memcpy(x[k], sw_params_x(sw_glm_params(m)), sizeof x[k]);
        sw_optim_free(o);
        sw_glm_free(m);
        free(p);
    }
    assert_memory_equal(x[0], x[1], sizeof x[0]);
    assert_true(memcmp(x[0], x[2], sizeof x[0]) != 0); /* otherwise this test would prove nothing */
    assert_int_equal(accepted, 500);
}

static void test_accepted_is_called_after_steps_by_hand(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F32);
    sw_optim *o = NEW_OPTIM(p, .rule = "name=b: counting lr=0.5; sgd", .average = "ema");
    double bad[SMALL_DIM] = {[3] = (double)NAN};
    for (int i = 0; i < 5; i++) {
        assert_ok(step_with(o, p, some_gradient));
        assert_counted(o, "by hand");
        assert_int_equal(step_with(o, p, bad), SW_SKIPPED);
        assert_counted(o, "skipped by hand");
    }
    assert_int_equal(accepted, 5);
    sw_optim_free(o);
    sw_params_free(p);
}

/* Called once for each group, with the same number of the step. */
static void test_accepted_is_called_for_each_group(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "rank=2: writer; rank=1: writer lr=0.5; counting");
    for (int i = 0; i < 3; i++)
        sw_param_freeze(sw_params_at(p, i), i == 1); /* a frozen group: called, as `begin` is */
    assert_ok(step_with(o, p, some_gradient));
    assert_int_equal(accepted, 3);
    assert_true(sw_optim_scalar(o, 0, "kept") == 1 && sw_optim_scalar(o, 1, "kept") == 1);
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- Never for another step ---- */

static void test_accepted_is_not_called_for_steps_not_kept(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    constant_problem f;
    constant_problem_init(&f, p, 1, 1, 1);
    struct {
        const char *estimator, *average;
        double g;
        sw_status late, status;
        const char *message;
    } cases[] = {
        {"full", NULL, (double)INFINITY, SW_OK, SW_SKIPPED, NULL},
        {"full", "refusing", 1, SW_ERR_USER, SW_ERR_USER,
         "average refusing: begin returned status 11 without a message"},
        {"late", NULL, 1, SW_ERR_USER, SW_ERR_USER, "estimator late: commit returned status 11 without a message"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sw_optim *o = NEW_OPTIM(p, .rule = "counting", .estimator = cases[i].estimator, .average = cases[i].average);
        reset_counts();
        late_status = SW_OK;
        f.g[4] = 1;
        assert_ok(sw_optim_minimize(o, &f.f, NULL));
        assert_counted(o, cases[i].estimator);
        late_status = cases[i].late;
        f.g[4] = cases[i].g;
        assert_int_equal(sw_optim_minimize(o, &f.f, NULL), cases[i].status);
        if (cases[i].message)
            expect_error(cases[i].status, cases[i].message);
        assert_int_equal(accepted, 1);
        assert_int_equal(sw_optim_steps_taken(o), 1);
        sw_optim_free(o);
    }
    sw_params_free(p);
}

/* A step that would overflow, in f32. */
static void test_accepted_is_not_called_for_refused_steps(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F32);
    sw_optim *o = NEW_OPTIM(p, .rule = "counting lr=1e6");
    const double huge[SMALL_DIM] = {3e38};
    assert_int_equal(step_with(o, p, huge), SW_ERR_NONFINITE);
    sw_clear_error();
    assert_int_equal(accepted, 0);
    assert_ok(step_with(o, p, some_gradient));
    assert_counted(o, "after a refused step");
    sw_optim_free(o);
    sw_params_free(p);
}

/* The hook is not called for trials, nor if a search finds no step, but once for the step at the end. */
static void test_accepted_is_called_once_for_a_line_search(void **state) {
    (void)state;
    static const char *const searches[] = {"trials", "armijo", "wolfe"};
    for (size_t k = 0; k < sizeof searches / sizeof *searches; k++) {
        problem *p = problem_new(1);
        sw_glm *m = glm_of(p, SW_HEAD_SQUARED, SW_F64, false);
        sw_optim *o =
            NEW_OPTIM(sw_glm_params(m), .estimator = "full", .rule = "counting lr=0.1", .schedule = searches[k]);
        reset_counts();
        for (int i = 0; i < 9; i++) {
            search_gives_up = i % 3 == 2; /* `trials` does */
            assert_int_equal(sw_optim_minimize(o, sw_glm_objective(m), NULL),
                             k == 0 && search_gives_up ? SW_SKIPPED : SW_OK);
            assert_counted(o, searches[k]);
        }
        assert_int_equal(accepted, k == 0 ? 6 : 9);
        sw_optim_free(o);
        sw_glm_free(m);
        free(p);
        /* The value does not agree with the gradient, so that no length satisfies the conditions. */
        sw_params *q = small_params(SW_F64);
        constant_problem flat;
        constant_problem_init(&flat, q, 1, 1, 1);
        o = NEW_OPTIM(q, .rule = "counting", .estimator = "full", .schedule = searches[k]);
        reset_counts();
        search_gives_up = true;
        assert_int_equal(sw_optim_minimize(o, &flat.f, NULL), SW_SKIPPED);
        assert_int_equal(accepted, 0);
        sw_optim_free(o);
        sw_params_free(q);
    }
    /* A stationary point: the step has length 0 and is kept. */
    sw_params *p = small_params(SW_F64);
    constant_problem f;
    constant_problem_init(&f, p, 1, 1, 0);
    sw_optim *o = NEW_OPTIM(p, .rule = "counting", .estimator = "full", .schedule = "armijo");
    reset_counts();
    assert_ok(sw_optim_minimize(o, &f.f, NULL));
    assert_int_equal(accepted, 1);
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- What accepted reads and writes ---- */

static void test_accepted_sees_the_new_x(void **state) {
    (void)state;
    static const char *const rules[2] = {"writer lr=0.5", "tensor_writer lr=0.5"};
    for (int k = 0; k < 2; k++)
        for (int t = 0; t < 2; t++) {
            sw_params *p = small_params(both_types[t]);
            sw_optim *o = NEW_OPTIM(p, .rule = rules[k]);
            sw_param_freeze(sw_params_at(p, 1), true);
            for (int i = 1; i <= 3; i++) {
                assert_ok(step_with(o, p, some_gradient));
                assert_true(seen_x == vec_get(both_types[t], sw_params_x(p), 0));
                assert_true(seen_g == some_gradient[0]);
                assert_true(sw_optim_scalar(o, 0, "kept") == i);
            }
            for (int i = 0; i < 3; i++) {
                const sw_array seen = sw_optim_param_slot(o, sw_params_at(p, i), "seen"),
                               x = sw_param_value(sw_params_at(p, i));
                for (int64_t j = 0; j < sw_array_count(&x); j++)
                    assert_true(test_get(&seen, j) == (i == 1 ? 0 : test_get(&x, j)));
            }
            sw_optim_free(o);
            sw_params_free(p);
        }
}

/* Groups that are one range of x, that have a gap, and with a frozen parameter, whose elements are 0. */
static void test_hooks_of_unit_vector_see_all_parameters(void **state) {
    (void)state;
    static const struct {
        const char *rule;
        int frozen; /* -1: none */
        int64_t count;
        int first[2], end[2]; /* the elements of x in the group: two ranges */
    } cases[] = {
        {"vector_writer lr=0.5", -1, 18, {0, 12}, {12, 18}},
        {"name=b: sgd; vector_writer lr=0.5", -1, 13, {0, 17}, {12, 18}},
        {"name=b: sgd; vector_writer lr=0.5", 2, 13, {0, 17}, {12, 18}},
        {"name=c: sgd; vector_writer lr=0.5", 0, 17, {0, 12}, {12, 17}},
        {"rank=1: vector_writer; sgd", 1, 5, {12, 17}, {17, 17}}, /* all of it */
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int t = 0; t < 2; t++) {
            const sw_dtype type = both_types[t];
            sw_params *p = small_params(type);
            sw_optim *o = NEW_OPTIM(p, .rule = cases[k].rule, .average = "ema decay=0.5");
            const int group = strncmp(cases[k].rule, "name", 4) == 0; /* the number of the vector's group */
            double before[SMALL_DIM];
            if (cases[k].frozen >= 0)
                sw_param_freeze(sw_params_at(p, cases[k].frozen), true);
            accepted = adopted = 0;
            for (int step = 1; step <= 3; step++) {
                for (int i = 0; i < SMALL_DIM; i++)
                    before[i] = vec_get(type, sw_params_x(p), i);
                assert_ok(step_with(o, p, some_gradient));
                assert_int_equal(accepted, step);
                assert_int_equal(vector_count, cases[k].count);
                const sw_array moves = sw_optim_group_slot(o, group, "moves");
                assert_int_equal(sw_array_count(&moves), PAIRS * cases[k].count);
                int at = 0;
                for (int r = 0; r < 2; r++)
                    for (int i = cases[k].first[r]; i < cases[k].end[r]; i++, at++) {
                        const int param = i < 12 ? 0 : i < 17 ? 1 : 2;
                        const bool frozen = param == cases[k].frozen;
                        const double x = vec_get(type, sw_params_x(p), i);
                        assert_true(vector_x[at] == (frozen ? 0 : x));
                        assert_true(vector_g[at] == (frozen ? 0 : some_gradient[i]));
                        if (step > 1) /* numbers with few digits: exact */
                            assert_true(test_get(&moves, step % PAIRS * cases[k].count + at) ==
                                        (frozen ? 0 : x - before[i]));
                    }
                assert_int_equal(at, cases[k].count);
            }
            assert_ok(sw_optim_adopt_point(o));
            assert_int_equal(adopted, 1);
            for (int i = 0; i < 3; i++) {
                const sw_param *param = sw_params_at(p, i);
                const sw_array last = sw_optim_param_slot(o, param, "last"), x = sw_param_value(param);
                for (int64_t j = 0; last.data && j < sw_array_count(&x); j++)
                    assert_true(test_get(&last, j) == (param->frozen ? 0 : test_get(&x, j)));
            }
            sw_optim_free(o);
            sw_params_free(p);
        }
}

/* sw_step_run processes the elements of x and g at their positions, although the hook receives vectors without gaps. */
static void test_hooks_of_unit_vector_process_elements(void **state) {
    (void)state;
    static const char *const rules[] = {"vector_elements", "name=b: vector_elements; sgd",
                                        "name=c: vector_elements; sgd", "name=b: sgd; vector_elements"};
    for (int k = 0; k < 4; k++)
        for (int frozen = -1; frozen < 3; frozen++) {
            sw_params *p = small_params(SW_F64);
            sw_optim *o = NEW_OPTIM(p, .rule = rules[k], .average = "ema decay=0.5");
            if (frozen >= 0)
                sw_param_freeze(sw_params_at(p, frozen), true);
            for (int pass = 0; pass < 2; pass++) {
                assert_ok(pass ? sw_optim_adopt_point(o) : step_with(o, p, some_gradient));
                for (int i = 0; i < 3; i++) {
                    const sw_param *param = sw_params_at(p, i);
                    const sw_array slot = sw_optim_param_slot(o, param, "seen"), x = sw_param_value(param);
                    for (int64_t j = 0; slot.data && j < param->count; j++)
                        assert_true(test_get(&slot, j) == (i == frozen ? 0
                                                           : pass      ? test_get(&x, j)
                                                                       : some_gradient[param->offset + j]));
                }
            }
            sw_optim_free(o);
            sw_params_free(p);
        }
}

/* Receives x after the whole step of a line search. It is not called if the search finds no step. */
static void test_accepted_of_unit_vector_follows_a_line_search(void **state) {
    (void)state;
    problem *p = problem_new(1);
    sw_glm *m = glm_of(p, SW_HEAD_SQUARED, SW_F64, false);
    sw_optim *o =
        NEW_OPTIM(sw_glm_params(m), .estimator = "full", .rule = "vector_writer lr=0.1", .schedule = "trials");
    for (int i = 0; i < 9; i++) {
        search_gives_up = i % 3 == 2;
        assert_int_equal(sw_optim_minimize(o, sw_glm_objective(m), NULL), search_gives_up ? SW_SKIPPED : SW_OK);
        const double *x = sw_params_x(sw_glm_params(m));
        for (int j = 0; j < D + 1; j++)
            assert_true(vector_x[j] == x[j]);
    }
    assert_int_equal(accepted, 6);
    sw_optim_free(o);
    sw_glm_free(m);
    free(p);
}

static void test_failing_accepted_has_a_message(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "writer");
    hook_status = SW_ERR_USER;
    assert_int_equal(step_with(o, p, some_gradient), SW_ERR_USER);
    expect_error(SW_ERR_USER, "rule writer: accepted returned status 11 without a message");
    assert_int_equal(sw_optim_steps_taken(o), 0);
    assert_true(sw_optim_scalar(o, 0, "kept") == 0); /* scalars are restored, as after a failed commit */
    hook_status = SW_SKIPPED;
    assert_int_equal(step_with(o, p, some_gradient), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "rule writer: accepted returned SW_SKIPPED, but a step cannot be skipped there");
    hook_status = SW_OK;
    hook_value = (double)INFINITY;
    assert_int_equal(step_with(o, p, some_gradient), SW_ERR_NONFINITE);
    expect_error(SW_ERR_NONFINITE, "rule writer: accepted makes kept inf");
    hook_value = 1;
    slot_value = (double)NAN;
    assert_int_equal(step_with(o, p, some_gradient), SW_ERR_NONFINITE);
    expect_error(SW_ERR_NONFINITE, "rule writer: accepted makes its state seen Inf or NaN");
    sw_optim_free(o);
    o = NEW_OPTIM(p, .rule = "careless_hook");
    assert_int_equal(step_with(o, p, some_gradient), SW_ERR_STATE);
    expect_error(SW_ERR_STATE,
                 "rule careless_hook writes scalar 1, which its table does not name: it would not be saved");
    sw_optim_free(o);
    o = NEW_OPTIM(p, .rule = "hasty");
    assert_int_equal(step_with(o, p, some_gradient), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "step_run: only `accepted` and `adopted` of a rule may run a kernel over the group");
    assert_int_equal(sw_step_run(NULL, &seen_kernels), SW_ERR_STATE);
    sw_clear_error();
    assert_int_equal(sw_step_run_with_frozen(NULL, &seen_kernels), SW_ERR_STATE);
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- adopted ---- */

static void test_adopted_is_called_when_the_point_becomes_x(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "rank=2: writer; counting", .average = "ema decay=0.5");
    assert_ok(sw_optim_adopt_point(o)); /* before the first step the point is x */
    assert_int_equal(adopted, 0);
    for (int i = 0; i < 3; i++)
        assert_ok(step_with(o, p, some_gradient));
    double point[SMALL_DIM];
    memcpy(point, sw_optim_point(o), sizeof point);
    assert_true(memcmp(point, sw_params_x(p), sizeof point) != 0);
    hook_value = 9;
    assert_ok(sw_optim_adopt_point(o));
    assert_int_equal(adopted, 2); /* once for each group */
    assert_int_equal(adopted_step, 3);
    assert_memory_equal(sw_params_x(p), point, sizeof point);
    const sw_array seen = sw_optim_param_slot(o, sw_params_at(p, 0), "seen");
    assert_memory_equal(seen.data, point, 12 * sizeof *point);
    assert_true(sw_optim_scalar(o, 0, "kept") == 9);
    assert_int_equal(sw_optim_steps_taken(o), 3);
    hook_value = 1;
    assert_ok(step_with(o, p, some_gradient)); /* the run continues from this point */
    assert_true(((double *)sw_params_x(p))[0] == point[0] - 1);
    sw_optim_free(o);
    /* Without an average the point is x, and the hook is not called. */
    o = NEW_OPTIM(p, .rule = "writer");
    adopted = 0;
    assert_ok(step_with(o, p, some_gradient));
    assert_ok(sw_optim_adopt_point(o));
    assert_int_equal(adopted, 0);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_failing_adopted_changes_nothing(void **state) {
    (void)state;
    struct {
        double value, slot;
        sw_status status, result;
        const char *message;
    } cases[] = {
        {5, 0, SW_ERR_USER, SW_ERR_USER, "rule writer: adopted returned status 11 without a message"},
        {5, 0, SW_SKIPPED, SW_ERR_STATE,
         "rule writer: adopted returned SW_SKIPPED, but a step cannot be skipped there"},
        {(double)NAN, 0, SW_OK, SW_ERR_NONFINITE, NULL}, /* the sign of NaN is printed too */
        {5, (double)INFINITY, SW_OK, SW_ERR_NONFINITE, "rule writer: adopted makes its state seen Inf or NaN"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sw_params *p = small_params(SW_F32);
        sw_optim *o = NEW_OPTIM(p, .rule = "writer", .average = "polyak");
        float x[SMALL_DIM], slot[SMALL_DIM], point[SMALL_DIM];
        hook_value = 1, slot_value = 0, hook_status = SW_OK;
        for (int k = 0; k < 3; k++)
            assert_ok(step_with(o, p, some_gradient));
        const sw_array seen = sw_optim_param_slot(o, sw_params_at(p, 0), "seen");
        memcpy(x, sw_params_x(p), sizeof x);
        memcpy(slot, seen.data, sizeof slot);
        memcpy(point, sw_optim_point(o), sizeof point);
        hook_value = cases[i].value, slot_value = cases[i].slot, hook_status = cases[i].status;
        assert_int_equal(sw_optim_adopt_point(o), cases[i].result);
        if (cases[i].message)
            expect_error(cases[i].result, cases[i].message);
        sw_clear_error();
        assert_memory_equal(sw_params_x(p), x, sizeof x);
        assert_memory_equal(seen.data, slot, sizeof slot);
        assert_memory_equal(sw_optim_point(o), point, sizeof point);
        assert_true(sw_optim_scalar(o, 0, "kept") == 3);
        hook_value = 1, slot_value = 0, hook_status = SW_OK;
        assert_ok(sw_optim_adopt_point(o));
        assert_memory_equal(sw_params_x(p), point, sizeof point);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* A parameter that the program froze after the last step is frozen for the hook, too. */
static void test_adopted_leaves_out_what_was_frozen_since(void **state) {
    (void)state;
    static const char *const rules[3] = {"writer", "tensor_writer", "vector_writer"};
    for (int k = 0; k < 3; k++) {
        sw_params *p = small_params(SW_F64);
        sw_optim *o = NEW_OPTIM(p, .rule = rules[k], .average = "ema decay=0.5");
        const char *slot = k == 2 ? "last" : "seen";
        for (int i = 0; i < 2; i++)
            assert_ok(step_with(o, p, some_gradient));
        double before[5];
        const sw_array frozen = sw_optim_param_slot(o, sw_params_at(p, 1), slot),
                       moves = sw_optim_param_slot(o, sw_params_at(p, 0), slot);
        memcpy(before, frozen.data, sizeof before);
        sw_param_freeze(sw_params_at(p, 1), true);
        assert_ok(sw_optim_adopt_point(o));
        assert_memory_equal(moves.data, sw_params_x(p), 12 * sizeof *before);
        for (int i = 0; i < 5; i++) /* a rule for whole vectors copies zeros */
            assert_true(test_get(&frozen, i) == (k == 2 ? 0 : before[i]));
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* The same after skipped steps, which had other options and coefficients, and after loading. */
static void test_adopted_reads_the_last_step(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64), *q = small_params(SW_F64);
    const sw_optim_options how = {.size = sizeof how,
                                  .rule = "last rate=1",
                                  .schedule = "exponential factor=0.5 per=1 on=rate",
                                  .average = "ema decay=0.5"};
    sw_optim *o = new_optim(p, &how), *resumed = new_optim(q, &how);
    for (int i = 0; i < 3; i++)
        assert_ok(step_with(o, p, some_gradient));
    sw_archive *a = sw_archive_new();
    assert_ok(sw_optim_pack(o, a));
    assert_ok(sw_optim_unpack(resumed, a));
    sw_archive_free(a);
    for (int k = 0; k < 3; k++) {
        last_begin_skips = k == 1;
        if (k == 1) {
            assert_int_equal(step_with(o, p, some_gradient), SW_SKIPPED);
            assert_int_equal(step_with(resumed, q, some_gradient), SW_SKIPPED);
        }
        last_begin_skips = false;
        if (k == 2) {
            assert_ok(step_with(o, p, some_gradient));
            assert_ok(step_with(resumed, q, some_gradient));
        }
        for (int r = 0; r < 2; r++) {
            last_option = last_coefficient = -1;
            assert_ok(sw_optim_adopt_point(r ? resumed : o));
            assert_true(last_option == (k < 2 ? 0.25 : 0.125));
            assert_true(last_coefficient == (k < 2 ? 300 : 400));
        }
        assert_memory_equal(sw_params_x(p), sw_params_x(q), params_bytes(p));
    }
    sw_optim_free(o);
    sw_optim_free(resumed);
    sw_params_free(p);
    sw_params_free(q);
}

/* ---- Memory ---- */

/* sw_optim_adopt_point makes copies to undo the hook. If their allocation fails, nothing is changed. */
static void test_failing_allocations_of_adopt_are_errors(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    bool done = false;
    int failures = 0;
    for (long long k = 1; !done; k++) {
        sw_params *p = small_params(SW_F64);
        sw_optim *o =
            NEW_OPTIM(p, .rule = "counting momentum=0.5", .average = "ema decay=0.5"); /* with reach: no copies */
        assert_ok(step_with(o, p, some_gradient));
        assert_ok(step_with(o, p, some_gradient));
        double x[SMALL_DIM];
        memcpy(x, sw_params_x(p), sizeof x);
        test_allocator_fail(&a, k, false);
        const sw_status status = sw_optim_adopt_point(o);
        done = atomic_load(&a.failed) == 0;
        test_allocator_fail(&a, 0, false);
        assert_int_equal(status, done ? SW_OK : SW_ERR_MEMORY);
        assert_int_equal(memcmp(sw_params_x(p), x, sizeof x) == 0, !done);
        assert_int_equal(adopted, done);
        failures += !done;
        sw_clear_error();
        sw_optim_free(o);
        sw_params_free(p);
    }
    assert_true(failures >= 3); /* x, the list of slots, the momentum */
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_accepted_is_called_under_every_estimator),      TEST(test_accepted_needs_single_steps),
        TEST(test_accepted_is_called_after_steps_by_hand),        TEST(test_accepted_is_called_for_each_group),
        TEST(test_accepted_is_not_called_for_steps_not_kept),     TEST(test_accepted_is_not_called_for_refused_steps),
        TEST(test_accepted_is_called_once_for_a_line_search),     TEST(test_accepted_sees_the_new_x),
        TEST(test_hooks_of_unit_vector_see_all_parameters),       TEST(test_hooks_of_unit_vector_process_elements),
        TEST(test_accepted_of_unit_vector_follows_a_line_search), TEST(test_failing_accepted_has_a_message),
        TEST(test_adopted_is_called_when_the_point_becomes_x),    TEST(test_failing_adopted_changes_nothing),
        TEST(test_adopted_leaves_out_what_was_frozen_since),      TEST(test_adopted_reads_the_last_step),
        TEST(test_failing_allocations_of_adopt_are_errors),
    };
    return cmocka_run_group_tests_name("rule_hooks", tests, register_all, NULL);
}
