/* Saving an optimizer in the middle of a run and going on in another one is the same, bit for bit, as not
 * stopping: for every registered rule, estimator, schedule, line search and average, each option that changes
 * what there is to save turned once. And what does not fit is told at once and changes nothing. */
#define _GNU_SOURCE
#include "json_memory.h"

#include "files.h"

#include <swale/extend.h>
#include <swale/nn.h>
#include <swale/optim.h>

/* Does not wait for the disk: hundreds of files are saved. */
int fsync(int file) {
    return file < 0 ? -1 : 0;
}

/* ---- A small problem: logistic regression, a generalized linear model with dropout where asked for ---- */

enum { N = 12, FEATURES = 3, OUTPUTS = 2, STEPS = 7, STOP = 4 };

typedef struct problem {
    sw_params *params;
    sw_objective f;
    double a[N][FEATURES];
    int32_t y[N];
    bool plain;   /* no generalized linear model: a loss with dropout */
    int poisoned; /* this evaluation gives NaN; 0: none */
    int calls;
} problem;

static sw_array rows_of(problem *p, sw_dtype type, const int64_t *ids, int64_t count, void *out) {
    for (int64_t i = 0; i < count * FEATURES; i++) {
        const double v = p->a[ids ? ids[i / FEATURES] : i / FEATURES][i % FEATURES];
        if (type == SW_F32)
            ((float *)out)[i] = (float)v;
        else
            ((double *)out)[i] = v;
    }
    return sw_array_view(out, type, 2, (int64_t[]){count, FEATURES});
}

static sw_tensor rows(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    problem *p = user;
    double block[N * FEATURES];
    return sw_input_copy(tape, rows_of(p, sw_params_type(p->params), ids, count, block));
}

static sw_tensor head(void *user, sw_tape *tape, sw_tensor z, const int64_t *ids, int64_t count) {
    problem *p = user;
    int32_t y[N];
    for (int64_t i = 0; i < count; i++)
        y[i] = p->y[ids ? ids[i] : i];
    sw_tensor loss = sw_cross_entropy(z, sw_input_copy(tape, sw_array_view(y, SW_I32, 1, &count)));
    return ++p->calls == p->poisoned ? sw_scale(loss, (double)NAN) : loss;
}

static sw_tensor loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    problem *p = user;
    sw_tensor x = rows(user, tape, ids, count);
    if (p->plain)
        x = sw_dropout(x, 0.3, 7);
    sw_tensor z = sw_linear(x, sw_param_use(tape, sw_params_find(p->params, "w")),
                            sw_param_use(tape, sw_params_find(p->params, "b")));
    return head(user, tape, z, ids, count);
}

static void open_problem(problem *p, sw_dtype type, bool plain) {
    *p = (problem){.plain = plain};
    uint64_t random = 5;
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < FEATURES; j++)
            p->a[i][j] = (double)(float)test_uniform(&random, -1, 1);
        p->y[i] = p->a[i][0] + 0.3 * p->a[i][1] > 0;
    }
    p->params = sw_params_new(type, 3);
    const sw_param_options weight = {.size = sizeof weight, .role = SW_ROLE_WEIGHT},
                           bias = {.size = sizeof bias, .role = SW_ROLE_BIAS};
    sw_params_add(p->params, "w", 2, (int64_t[]){OUTPUTS, FEATURES}, &weight);
    sw_params_add(p->params, "b", 1, (int64_t[]){OUTPUTS}, &bias);
    assert_int_equal(sw_params_build(p->params), SW_OK);
    for (int64_t i = 0; i < sw_params_dim(p->params); i++) {
        const double v = (double)(float)test_uniform(&random, -0.5, 0.5);
        if (type == SW_F32)
            ((float *)sw_params_x(p->params))[i] = (float)v;
        else
            ((double *)sw_params_x(p->params))[i] = v;
    }
    p->f = (sw_objective){.size = sizeof p->f, .n = N, .params = p->params, .user = p, .loss = loss};
    if (!plain) {
        p->f.features = FEATURES;
        p->f.outputs = OUTPUTS;
        p->f.bias = true;
        p->f.rows = rows;
        p->f.head = head;
    }
}

/* ---- A run, and a run with a stop ---- */

typedef struct run {
    problem p;
    sw_optim *o;
} run;

/* What an optimizer refuses at its making or in its first step is no case for us. */
static bool open_run(run *r, sw_dtype type, bool plain, const sw_optim_options *how) {
    open_problem(&r->p, type, plain);
    r->o = sw_optim_new_with_options(r->p.params, how);
    return r->o && sw_optim_bind(r->o, &r->p.f) == SW_OK;
}

static void close_run(run *r) {
    sw_optim_free(r->o);
    sw_params_free(r->p.params);
}

static sw_status go(run *r, int steps) {
    for (int i = 0; i < steps; i++) {
        sw_status status = sw_optim_minimize(r->o, &r->p.f, NULL);
        if (status != SW_OK && status != SW_SKIPPED)
            return status;
    }
    return SW_OK;
}

static uint64_t point_hash(run *r) {
    const size_t size = (size_t)sw_params_dim(r->p.params) * sw_dtype_size(sw_params_type(r->p.params));
    const void *point = sw_optim_point(r->o);
    assert_non_null(point);
    return test_hash(TEST_HASH, point, size);
}

static const char *save(run *r, const char *name) {
    const char *path = path_of(name);
    if (sw_optim_save(r->o, path) != SW_OK)
        fail_msg("%s", sw_error());
    return path;
}

static const char *text_of(const sw_optim_options *how) {
    static char text[600];
    snprintf(text, sizeof text, "estimator \"%s\", rule \"%s\", schedule \"%s\", average \"%s\"",
             how->estimator ? how->estimator : "", how->rule ? how->rule : "", how->schedule ? how->schedule : "",
             how->average ? how->average : "");
    return text;
}

/* False: this combination is refused. Both files at the end hold all state, so that equal files are equal
 * runs. */
static bool resumes(sw_dtype type, bool plain, int poisoned, const sw_optim_options *how) {
    run straight = {0}, first = {0}, second = {0};
    if (!open_run(&straight, type, plain, how) || go(&straight, 1) != SW_OK) {
        assert_non_null(sw_error());
        sw_clear_error();
        close_run(&straight);
        return false;
    }
    close_run(&straight);
    assert_true(open_run(&straight, type, plain, how));
    straight.p.poisoned = poisoned;
    if (go(&straight, STOP) != SW_OK)
        fail_msg("%s: %s", text_of(how), sw_error());
    const uint64_t point = point_hash(&straight);
    const double norm = sw_optim_gradient_norm(straight.o);
    if (go(&straight, STEPS - STOP) != SW_OK)
        fail_msg("%s: %s", text_of(how), sw_error());

    assert_true(open_run(&first, type, plain, how));
    first.p.poisoned = poisoned;
    assert_int_equal(go(&first, STOP), SW_OK);
    const char *stop = save(&first, "stop");
    assert_true(open_run(&second, type, plain, how));
    second.p.poisoned = poisoned;
    second.p.calls = first.p.calls;
    memset(sw_params_x(second.p.params), 0x11, (size_t)sw_params_dim(second.p.params) * sw_dtype_size(type));
    if (sw_optim_load(second.o, stop) != SW_OK)
        fail_msg("%s: %s", text_of(how), sw_error());
    remove_file(stop);
    bytes stopped = read_file(save(&first, "first")), loaded = read_file(save(&second, "second"));
    if (stopped.size != loaded.size || memcmp(stopped.at, loaded.at, loaded.size) != 0)
        fail_msg("%s: the state is another after loading", text_of(how));
    free(stopped.at), free(loaded.at);
    if (point_hash(&second) != point)
        fail_msg("%s: the point is another after loading", text_of(how));
    assert_true(norm == sw_optim_gradient_norm(second.o) || isnan(norm));
    assert_int_equal(go(&second, STEPS - STOP), SW_OK);
    stopped = read_file(save(&straight, "first"));
    loaded = read_file(save(&second, "second"));
    if (stopped.size != loaded.size || memcmp(stopped.at, loaded.at, loaded.size) != 0 ||
        point_hash(&straight) != point_hash(&second))
        fail_msg("%s: the run went on in another way", text_of(how));
    free(stopped.at), free(loaded.at);
    remove_file(path_of("first"));
    remove_file(path_of("second"));
    close_run(&straight), close_run(&first), close_run(&second);
    expect_no_error();
    return true;
}

#define HOW(...) \
    (&(const sw_optim_options){.size = sizeof(sw_optim_options), .seed = 11, .total_steps = STEPS, __VA_ARGS__})

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

static void every_rule(void **state) {
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

static void every_estimator(void **state) {
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

static void every_schedule_search_and_average(void **state) {
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
static void skipped_steps(void **state) {
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

static void all_kinds_of_state(void **state) {
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
static void a_loop_by_hand(void **state) {
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
static void back_to_a_checkpoint(void **state) {
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
static void a_run_may_go_on_otherwise(void **state) {
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

/* ---- What does not fit ---- */

static void expect_refused(const char *path, sw_dtype type, const sw_optim_options *how, const char *faults) {
    run r;
    char text[PATH_SIZE + 2400];
    assert_true(open_run(&r, type, true, how));
    assert_int_equal(go(&r, 1), SW_OK);
    bytes before = read_file(save(&r, "before"));
    if (sw_optim_load(r.o, path) == SW_OK)
        fail_msg("expected: %s", faults);
    snprintf(text, sizeof text, "%s: %s", path, faults);
    expect_error(SW_ERR_FORMAT, text);
    check_file(save(&r, "before"), before.at, before.size);
    free(before.at);
    remove_file(path_of("before"));
    close_run(&r);
}

static void what_does_not_fit(void **state) {
    (void)state;
    run r;
    char path[PATH_SIZE + NAME_SIZE], other[sizeof path]; /* path_of has a few buffers */
    snprintf(path, sizeof path, "%s", path_of("misfit"));
    snprintf(other, sizeof other, "%s", path_of("other"));
    assert_true(open_run(&r, SW_F32, true, HOW(.rule = "adam", .estimator = "minibatch batch=5", .average = "ema")));
    assert_int_equal(go(&r, 2), SW_OK);
    save(&r, "misfit");
    expect_refused(
        path, SW_F64,
        &(const sw_optim_options){.size = sizeof(sw_optim_options),
                                  .seed = 12,
                                  .estimator = "minibatch batch=4",
                                  .rule = "rank=2: sgd momentum=0.5 nesterov; adam"},
        "does not fit the optimizer: rule is \"rank=2: sgd nesterov=1; adam\" here and \"adam\" in the file; "
        "estimator is \"minibatch batch=4\" here and \"minibatch batch=5\" in the file; average is \"none\" "
        "here and \"ema\" in the file; the seed is 12 here and 11 in the file; "
        "x.w is f64 [2,3] here and f32 [2,3] in the file; x.b is f64 [2] here and f32 [2] in the file");
    sw_archive *a = sw_archive_load(path), *b = sw_archive_new();
    for (int i = 0; i < sw_archive_count(a); i++) { /* without one array, with another, one of another shape */
        sw_archive_item item = sw_archive_at(a, i);
        if (strcmp(item.name, "optim.slot.w.m") == 0)
            item.array.shape[0] = 3, item.array.shape[1] = 2;
        if (strcmp(item.name, "optim.average.ema") != 0)
            sw_archive_put(b, item.name, item.array);
    }
    for (int i = 0; i < sw_archive_text_count(a); i++)
        sw_archive_set_text(b, sw_archive_text_key(a, i), sw_archive_text(a, sw_archive_text_key(a, i)));
    sw_archive_put_copy(b, "optim.slot.w.u", sw_archive_get(a, "optim.slot.w.v"));
    assert_int_equal(sw_archive_save(b, other), SW_OK);
    sw_archive_free(b);
    const sw_optim_options *same =
        HOW(.rule = "adam lr=0.5", .estimator = "minibatch batch=5", .average = "ema decay=0.5");
    expect_refused(other, SW_F32, same,
                   "does not fit the optimizer: slot.w.m is f32 [2,3] here and f32 [3,2] in the "
                   "file; average.ema is missing; slot.w.u is not expected");
    ((float *)sw_archive_get(a, "optim.slot.w.m").data)[1] += 1;
    assert_int_equal(sw_archive_save(a, other), SW_OK);
    expect_refused(other, SW_F32, same, "damaged: its numbers are not those that were saved");
    sw_archive_set_text(a, "optim.format", "2");
    assert_int_equal(sw_archive_save(a, other), SW_OK);
    expect_refused(other, SW_F32, same, "an optimizer's state in format 2; this version of swale reads 1");
    assert_int_equal(sw_params_save(r.p.params, other), SW_OK);
    expect_refused(other, SW_F32, same, "holds no optimizer's state: parameters alone are loaded by sw_params_load");
    sw_archive_free(a);
    remove_file(other);
    remove_file(path);
    close_run(&r);
    expect_no_error();
}

/* Tables of an estimator are there when it is bound. */
static void bound_or_not(void **state) {
    (void)state;
    run r, s;
    char text[PATH_SIZE + 200];
    const char *path = path_of("bound");
    const sw_optim_options *how = HOW(.rule = "sgd", .estimator = "minibatch batch=5");
    assert_true(open_run(&r, SW_F32, true, how));
    save(&r, "bound");
    open_problem(&s.p, SW_F32, true);
    s.o = sw_optim_new_with_options(s.p.params, how);
    assert_int_equal(sw_optim_load(s.o, path), SW_ERR_STATE);
    snprintf(text, sizeof text,
             "%s: holds the state of an estimator: call sw_optim_bind with the objective before "
             "loading",
             path);
    expect_error(SW_ERR_STATE, text);
    save(&s, "bound");
    assert_int_equal(sw_optim_load(s.o, path), SW_OK);
    assert_int_equal(sw_optim_load(r.o, path), SW_ERR_STATE);
    snprintf(text, sizeof text, "%s: saved before an objective was bound, and here one is: load before sw_optim_bind",
             path);
    expect_error(SW_ERR_STATE, text);
    close_run(&s);
    open_problem(&s.p, SW_F32, true);
    s.p.f.n = N - 1;
    s.o = sw_optim_new_with_options(s.p.params, how);
    assert_int_equal(sw_optim_bind(s.o, &s.p.f), SW_OK);
    save(&r, "bound");
    assert_int_equal(sw_optim_load(s.o, path), SW_ERR_FORMAT);
    snprintf(text, sizeof text, "%s: does not fit the optimizer: the objective has 11 samples here and 12 in the file",
             path);
    expect_error(SW_ERR_FORMAT, text);
    remove_file(path);
    close_run(&r), close_run(&s);
    assert_int_equal(sw_optim_save(NULL, path), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "optim_save: the optimizer is NULL");
    assert_int_equal(sw_optim_load(NULL, path), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "optim_load: the optimizer is NULL");
    assert_int_equal(sw_optim_pack(NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "optim_pack: the optimizer is NULL");
}

/* Cut off or with a bit turned, a file is refused and changes nothing: no number of the state may be another.
 */
static void damaged_files(void **state) {
    (void)state;
    run r;
    int refused = 0;
    assert_true(open_run(&r, SW_F32, true, HOW(.rule = "sgd momentum=0.5", .estimator = "minibatch batch=5")));
    assert_int_equal(go(&r, 3), SW_OK);
    bytes good = read_file(save(&r, "good"));
    uint64_t length = 0;
    memcpy(&length, good.at, 8);
    const size_t data = 8 + (size_t)length;
    for (size_t i = 0; i < good.size; i += i < data ? 7 : 1) { /* all of the data, some of the header */
        good.at[i] ^= (unsigned char)(1u << i % 8);
        const char *path = write_file("bad", good.at, good.size);
        const sw_status status = sw_optim_load(r.o, path);
        good.at[i] ^= (unsigned char)(1u << i % 8);
        if (status == SW_OK)
            fail_msg("byte %zu of %zu", i, good.size);
        assert_int_equal(strncmp(sw_error(), path, strlen(path)), 0);
        sw_clear_error();
        remove_file(path);
        refused++;
    }
    assert_true(refused > 200);
    check_file(save(&r, "good"), good.at, good.size);
    free(good.at);
    remove_file(path_of("good"));
    close_run(&r);
}

/* Also where an option was asked for before loading. */
static void options_are_the_programs(void **state) {
    (void)state;
    for (int asked = 0; asked < 2; asked++) {
        run r, s;
        assert_true(open_run(&r, SW_F64, true, HOW(.rule = "sgd lr=0.5 weight_decay=0.25")));
        assert_int_equal(go(&r, 2), SW_OK);
        const char *path = save(&r, "options");
        assert_true(open_run(&s, SW_F64, true, HOW(.rule = "sgd lr=0.01 weight_decay=0.125")));
        assert_true(!asked || sw_optim_option(s.o, 0, "lr") == 0.01);
        assert_int_equal(sw_optim_load(s.o, path), SW_OK);
        assert_true(sw_optim_option(s.o, 0, "lr") == 0.5); /* of the last step */
        assert_int_equal(go(&s, 1), SW_OK);
        assert_true(sw_optim_option(s.o, 0, "lr") == 0.01 && sw_optim_option(s.o, 0, "weight_decay") == 0.125);
        remove_file(path);
        close_run(&r);
        close_run(&s);
    }
}

static void without_memory(void **state) {
    (void)state;
    test_allocator memory;
    const sw_optim_options *how = HOW(.rule = "adam", .estimator = "minibatch batch=5", .average = "ema");
    for (int loading = 0; loading < 2; loading++) {
        bool done = false;
        for (long long k = 1; !done; k++) {
            run r;
            test_all_memory(&memory);
            assert_true(open_run(&r, SW_F32, true, how));
            assert_int_equal(go(&r, 2), SW_OK);
            sw_archive *a = sw_archive_new();
            if (loading)
                assert_int_equal(sw_optim_pack(r.o, a), SW_OK);
            test_allocator_fail(&memory, k, false);
            sw_status status = loading ? sw_optim_unpack(r.o, a) : sw_optim_pack(r.o, a);
            done = status == SW_OK;
            assert_int_equal(done, !memory.failed);
            assert_int_equal(status, done ? SW_OK : SW_ERR_MEMORY);
            sw_clear_error();
            if (!loading && !done) { /* what is not complete is not saved */
                assert_int_equal(sw_archive_save(a, path_of("partial")), SW_ERR_STATE);
                sw_clear_error();
            }
            sw_archive_free(a);
            close_run(&r);
            assert_int_equal(memory.live, 0);
            test_all_memory(NULL);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_rule, test_clear),
        cmocka_unit_test_setup(every_estimator, test_clear),
        cmocka_unit_test_setup(every_schedule_search_and_average, test_clear),
        cmocka_unit_test_setup(skipped_steps, test_clear),
        cmocka_unit_test_setup(all_kinds_of_state, test_clear),
        cmocka_unit_test_setup(a_loop_by_hand, test_clear),
        cmocka_unit_test_setup(back_to_a_checkpoint, test_clear),
        cmocka_unit_test_setup(a_run_may_go_on_otherwise, test_clear),
        cmocka_unit_test_setup(what_does_not_fit, test_clear),
        cmocka_unit_test_setup(bound_or_not, test_clear),
        cmocka_unit_test_setup(damaged_files, test_clear),
        cmocka_unit_test_setup(options_are_the_programs, test_clear),
        cmocka_unit_test_setup(without_memory, test_clear),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
