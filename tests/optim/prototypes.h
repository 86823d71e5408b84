/* Code that the tests of prototypes share: small problems built with nn, given sequences of samples, and a test of
 * every prototype. Its path equals that of NumPy, in f64 and f32. One evaluation of the objective at a time is made
 * NaN: the step is then skipped, nothing has changed, and the path continues as if nothing had happened. 1, 2 and 4
 * threads give the same bits. The methods use only public headers. */
#ifndef TEST_PROTOTYPES_H
#define TEST_PROTOTYPES_H

#include "support.h"

#include "golden/prototypes.h"
#include <swale/extend.h>
#include <swale/nn.h>
#include <swale/optim.h>

/* max |v - expected| / max |expected| */
static inline double distance(sw_dtype type, const void *v, const double *expected, int64_t n) {
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs(vec_get(type, v, i) - expected[i]);
        worst = d > worst || isnan(d) ? d : worst;
        largest = fabs(expected[i]) > largest ? fabs(expected[i]) : largest;
    }
    return largest > 0 ? worst / largest : worst;
}

static inline void assert_near(const char *what, int step, double difference, double tolerance) {
    if (!(difference <= tolerance))
        fail_msg("%s, step %d: %.3g away, %.3g allowed", what, step + 1, difference, tolerance);
}

/* ---- Problems: a network of nn on the golden samples, or on many synthetic samples ---- */

typedef struct problem {
    sw_source source; /* first, because gather gets a pointer to it */
    sw_model *model;
    sw_params *params;
    const sw_objective *plain; /* the objective of nn */
    sw_objective objective;    /* the same objective, which returns `poison` in one call */
    int64_t calls, poison_at;  /* evaluations so far; the evaluation that returns `poison`, 0: none */
    double poison;             /* NaN or Inf */
    int64_t inputs;
} problem;

static inline sw_tensor poison(problem *p, sw_tensor loss) {
    return ++p->calls == p->poison_at ? sw_scale(loss, p->poison) : loss;
}

static inline sw_tensor problem_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    problem *p = user;
    return poison(p, p->plain->loss(p->plain->user, tape, ids, count));
}

static inline sw_status problem_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw,
                                       sw_dtype type, void *x, void *y) {
    (void)draw;
    const problem *p = (const problem *)source;
    for (int64_t i = 0; i < count; i++) {
        for (int64_t j = 0; x && j < p->inputs; j++) {
            sw_rng rng = {.key = (uint64_t)(ids[i] * p->inputs + j)};
            vec_set(type, x, i * p->inputs + j, p->inputs == INPUTS ? sample_x[ids[i]][j] : sw_rng_normal(&rng));
        }
        if (y)
            ((int32_t *)y)[i] = p->inputs == INPUTS ? sample_y[ids[i]] : (int32_t)(ids[i] % CLASSES);
    }
    return SW_OK;
}

static inline sw_tensor tanh_forward(sw_module *m, sw_tensor x) {
    (void)m;
    return sw_tanh(x);
}

static const sw_module_type tanh_type = {.size = sizeof(sw_module_type), .name = "tanh", .forward = tanh_forward};

static inline void set_x(sw_params *params, const double *x0) {
    for (int64_t i = 0; x0 && i < sw_params_dim(params); i++)
        vec_set(sw_params_type(params), sw_params_x(params), i, x0[i]);
}

enum { LARGE_INPUTS = 96, LARGE_SAMPLES = 64 };
static const int64_t net_sizes[] = {INPUTS, HIDDEN, CLASSES, 0}, deep_sizes[] = {INPUTS, 4, HIDDEN, CLASSES, 0},
                     line_sizes[] = {INPUTS, CLASSES, 0},
                     /* large enough for several threads in updates and in products */
    large_sizes[] = {LARGE_INPUTS, 224, 208, CLASSES, 0};

/* A tanh network, with dropout (if any) before the last layer, and `spy` (or NULL) after it. x0 NULL: the initial
 * values of the model. */
static inline problem *problem_new(sw_dtype type, const int64_t *sizes, const double *x0, double dropout,
                                   const sw_module_type *spy) {
    problem *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->inputs = sizes[0];
    p->poison = (double)NAN;
    p->source = (sw_source){.size = sizeof(sw_source),
                            .x_rank = 1,
                            .x_shape = {sizes[0]},
                            .n = sizes[0] == INPUTS ? SAMPLES : LARGE_SAMPLES,
                            .y_type = SW_I32,
                            .classes = CLASSES,
                            .gather = problem_gather};
    p->model = sw_model_new(type, 1);
    sw_module *list[16];
    int count = 0;
    for (int i = 0; sizes[i + 1]; i++) {
        if (i > 0)
            list[count++] = sw_module_new(p->model, &tanh_type, 0);
        if (!sizes[i + 2] && dropout > 0)
            list[count++] = sw_nn_dropout(p->model, dropout);
        if (!sizes[i + 2] && spy)
            list[count++] = sw_module_new(p->model, spy, 0);
        list[count++] = sw_nn_linear(p->model, sizes[i], sizes[i + 1]);
    }
    p->params = sw_model_build(p->model, sw_nn_sequential_array(p->model, count, list));
    if (!p->params)
        fail_msg("%s", sw_error());
    set_x(p->params, x0);
    p->plain = sw_model_objective(p->model, &p->source, sw_cross_entropy);
    assert_non_null(p->plain);
    p->objective = (sw_objective){
        .size = sizeof(sw_objective), .n = p->source.n, .params = p->params, .user = p, .loss = problem_loss};
    return p;
}

static inline void problem_free(problem *p) {
    if (p)
        sw_model_free(p->model);
    free(p);
}

/* ---- Given samples: the ids and the draw of each step are fixed ---- */

typedef enum script { BATCHED, VISITED, ALL } script;
#define SCRIPT_OPTION \
    { .name = "script", .kind = SW_OPTION_CHOICE, .choices = "batches|visits|all", .high = 2, .help = "whose ids" }

/* The cursor is a scalar. A skipped step restores it, so that the same samples are used again. */
static inline sw_status script_next(sw_estimate *e, script which, double *cursor) {
    int64_t k = (int64_t)(*cursor)++;
    e->draw = (uint64_t)(DRAW + k);
    if (which == ALL) {
        e->ids = NULL;
        e->count = e->n;
    } else if (which == VISITED) {
        e->ids = &visit_ids[k];
        e->count = 1;
    } else if (e->n == SAMPLES) {
        e->ids = batch_ids[k];
        e->count = batch_count[k];
    } else {
        int64_t *made_up = sw_estimate_ids(e, 16);
        if (!made_up)
            return SW_ERR_MEMORY;
        for (int64_t i = 0; i < 16; i++)
            made_up[i] = (16 * k + 5 * i) % e->n;
        e->ids = made_up;
        e->count = 16;
    }
    return SW_OK;
}

/* The masks in the golden numbers are for this seed of the tape, independent of the seed of the pipeline. */
static inline sw_status script_start(sw_estimate *e) {
    sw_tape_set_seed(e->tape, SEED);
    return SW_OK;
}

static inline sw_status script_sample(sw_estimate *e) {
    return script_next(e, (script)(int)e->option[0], &e->scalar[0]);
}

static inline sw_status script_estimate(sw_estimate *e, const void *x, void *g) {
    return sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g);
}

static const sw_option script_options[] = {SCRIPT_OPTION, {0}};
static const char *const script_scalars[] = {"cursor", NULL};
static const sw_estimator proto_batch = {.size = sizeof(sw_estimator),
                                         .name = "proto_batch",
                                         .summary = "a mini-batch by script",
                                         .options = script_options,
                                         .scalars = script_scalars,
                                         .flags = SW_ESTIMATOR_DIRECT,
                                         .start = script_start,
                                         .sample = script_sample,
                                         .estimate = script_estimate};

/* The same estimator, which also uses scratch memory. The memory is overwritten before each evaluation, and its
 * contents must then survive until `commit`, whatever wrappers and line searches do between `estimate` and `commit`. */
static inline sw_status keeper_estimate(sw_estimate *e, const void *x, void *g) {
    const size_t size = (size_t)e->dim * sw_dtype_size(e->type);
    for (int i = 0; i < 4; i++) {
        void *scratch = sw_estimate_scratch(e, i, 0);
        if (!scratch)
            return SW_ERR_MEMORY;
        memset(scratch, 0xFF, size); /* NaN */
    }
    SW_TRY(script_estimate(e, x, g));
    for (int i = 0; i < 4; i++)
        memcpy(sw_estimate_scratch(e, i, 0), g, size);
    return SW_OK;
}

static inline sw_status keeper_commit(sw_estimate *e) {
    const size_t size = (size_t)e->dim * sw_dtype_size(e->type);
    for (int i = 1; i < 4; i++)
        if (memcmp(sw_estimate_scratch(e, i, 0), sw_estimate_scratch(e, 0, 0), size) != 0 ||
            isnan(vec_get(e->type, sw_estimate_scratch(e, i, 0), 0)))
            return sw_fail(SW_ERR_USER, "proto_keeper: somebody wrote to scratch %d or 0", i);
    return SW_OK;
}

static const sw_estimator proto_keeper = {.size = sizeof(sw_estimator),
                                          .name = "proto_keeper",
                                          .summary = "a mini-batch that takes notes",
                                          .options = script_options,
                                          .scalars = script_scalars,
                                          .flags = SW_ESTIMATOR_DIRECT,
                                          .start = script_start,
                                          .sample = script_sample,
                                          .estimate = keeper_estimate,
                                          .commit = keeper_commit};

/* ---- State that a skipped step must not change ---- */

/* A prototype, its configuration, and its expected path. */
typedef struct claim {
    const char *name, *estimator, *rule, *schedule, *average;
    /* Names of state: slots of rules, vectors of estimator and average, scalars of any. Each list ends with NULL. */
    const char *const *slots, *const *tables, *const *scalars;
    bool (*live)(sw_optim *optim); /* false if the tables will be rebuilt before they are read; NULL: always true */
    int steps;
    int64_t total;           /* sw_optim_options.total_steps */
    const double *expected;  /* [steps, dim] */
    const double *tolerance; /* [2], by type */
    problem *(*make)(sw_dtype type);
    /* The objective of the optimizer, if it is not that of the problem; NULL: it is. */
    const sw_objective *(*objective)(problem *p);
    void (*before)(problem *p, sw_optim *optim, int step); /* or NULL */
    void (*after)(problem *p, sw_optim *optim, int step);
} claim;

typedef struct bytes {
    unsigned char *data;
    size_t count;
} bytes;

static inline void append(bytes *b, const void *data, size_t count) {
    b->data = realloc(b->data, b->count + count);
    assert_non_null(b->data);
    memcpy(b->data + b->count, data, count);
    b->count += count;
}

/* The complete state of an optimizer: x, evaluation point, slots, tables, scalars, options, counters. */
static inline bytes fingerprint(const claim *c, sw_optim *optim, sw_params *params) {
    bytes b = {0};
    size_t size = sw_dtype_size(sw_params_type(params)), dim = (size_t)sw_params_dim(params);
    int groups = sw_optim_group_count(optim);
    append(&b, sw_params_x(params), dim * size);
    const void *point = sw_optim_point(optim);
    assert_non_null(point);
    append(&b, point, dim * size);
    for (const char *const *name = c->slots; name && *name; name++)
        for (int i = 0; i < sw_params_count(params); i++) {
            sw_array a = sw_optim_param_slot(optim, sw_params_at(params, i), *name);
            if (a.data)
                append(&b, a.data, (size_t)sw_array_count(&a) * sw_dtype_size(a.type));
        }
    for (const char *const *name = c->tables; name && *name; name++) {
        sw_array a = sw_optim_slot(optim, *name);
        assert_non_null(a.data);
        if (!c->live || c->live(optim))
            append(&b, a.data, (size_t)sw_array_count(&a) * sw_dtype_size(a.type));
    }
    for (const char *const *name = c->scalars; name && *name; name++) {
        bool found = false;
        for (int group = -1; group < groups; group++) {
            double value = sw_optim_scalar(optim, group, *name);
            found |= !isnan(value);
            append(&b, &value, sizeof value);
        }
        assert_true(found);
    }
    int64_t steps = sw_optim_steps_taken(optim);
    append(&b, &steps, sizeof steps);
    return b;
}

static inline void assert_same_bytes(const char *what, const bytes *a, const bytes *b) {
    if (a->count != b->count)
        fail_msg("%s: %zu bytes of state became %zu", what, a->count, b->count);
    for (size_t i = 0; i < a->count; i++)
        if (a->data[i] != b->data[i])
            fail_msg("%s: byte %zu of %zu of the state has changed", what, i, a->count);
}

/* ---- The test of a prototype ---- */

/* Computes the path [steps, dim] of one run; *calls: evaluations of the problem. */
static inline void *run_path(const claim *c, sw_dtype type, int64_t poison_at, bool check, int64_t *calls) {
    problem *p = c->make(type);
    p->poison_at = poison_at;
    const sw_objective *objective = c->objective ? c->objective(p) : &p->objective;
    sw_optim *optim = sw_optim_new_with_options(p->params, &(sw_optim_options){.size = sizeof(sw_optim_options),
                                                                               .estimator = c->estimator,
                                                                               .rule = c->rule,
                                                                               .schedule = c->schedule,
                                                                               .average = c->average,
                                                                               .seed = SEED,
                                                                               .total_steps = c->total});
    if (!optim)
        fail_msg("%s: %s", c->name, sw_error());
    size_t row = (size_t)sw_params_dim(p->params) * sw_dtype_size(type);
    sw_optim_steps_per_epoch(optim, objective); /* binds the optimizer, so that tables exist before the first step */
    unsigned char *path = malloc(row * (size_t)c->steps);
    assert_non_null(path);
    for (int k = 0; k < c->steps;) {
        bytes before = fingerprint(c, optim, p->params);
        if (check && c->before)
            c->before(p, optim, k);
        sw_status status = sw_optim_minimize(optim, objective, NULL);
        if (status == SW_SKIPPED) {
            assert_true(poison_at && p->calls >= poison_at && sw_optim_steps_skipped(optim) == 1);
            bytes after = fingerprint(c, optim, p->params);
            assert_same_bytes(c->name, &before, &after);
            free(after.data);
        } else {
            assert_ok(status);
            memcpy(path + row * (size_t)k, sw_params_x(p->params), row);
            if (check && c->after)
                c->after(p, optim, k);
            k++;
            assert_int_equal(sw_optim_steps_taken(optim), k);
        }
        free(before.data);
    }
    assert_int_equal(sw_optim_steps_skipped(optim), poison_at ? 1 : 0);
    assert_null(sw_error());
    *calls = p->calls;
    sw_optim_free(optim);
    problem_free(p);
    return path;
}

static inline void prove_numpy(const claim *c, sw_dtype type) {
    int64_t calls;
    problem *p = c->make(type);
    int64_t dim = sw_params_dim(p->params);
    problem_free(p);
    char *path = run_path(c, type, 0, true, &calls);
    double worst = 0;
    for (int k = 0; k < c->steps; k++) {
        double d = distance(type, path + (size_t)(k * dim) * sw_dtype_size(type), c->expected + k * dim, dim);
        assert_near(c->name, k, d, c->tolerance[type]);
        worst = d > worst ? d : worst;
    }
    print_message("%s %s: %.1e from NumPy, %.1e allowed\n", c->name, sw_dtype_name(type), worst, c->tolerance[type]);
    free(path);
}

/* Makes each evaluation in turn NaN. Returns the number of evaluations. */
static inline int64_t prove_skips(const claim *c, sw_dtype type) {
    int64_t calls, again;
    problem *p = c->make(type);
    size_t size = (size_t)(sw_params_dim(p->params) * c->steps) * sw_dtype_size(type);
    problem_free(p);
    void *clean = run_path(c, type, 0, false, &calls);
    assert_true(calls >= c->steps);
    for (int64_t i = 1; i <= calls; i++) {
        void *path = run_path(c, type, i, false, &again);
        assert_memory_equal(path, clean, size);
        assert_true(again > calls);
        free(path);
    }
    free(clean);
    print_message("%s %s: %lld evaluations, each NaN once\n", c->name, sw_dtype_name(type), (long long)calls);
    return calls;
}

/* Checks that two prototypes have the same path, bit for bit. */
static inline void prove_equal(const claim *a, const claim *b, sw_dtype type) {
    int64_t calls;
    problem *p = a->make(type);
    size_t size = (size_t)(sw_params_dim(p->params) * a->steps) * sw_dtype_size(type);
    problem_free(p);
    void *one = run_path(a, type, 0, false, &calls), *other = run_path(b, type, 0, false, &calls);
    assert_memory_equal(one, other, size);
    free(one);
    free(other);
}

static inline void prove_threads(const claim *c, sw_dtype type) {
    int64_t calls;
    int before = sw_threads();
    problem *p = c->make(type);
    size_t size = (size_t)(sw_params_dim(p->params) * c->steps) * sw_dtype_size(type);
    problem_free(p);
    assert_ok(sw_set_threads(1));
    void *one = run_path(c, type, 0, false, &calls);
    for (int threads = 2; threads <= 8; threads *= 4) {
        assert_ok(sw_set_threads(threads));
        void *many = run_path(c, type, 0, false, &calls);
        assert_memory_equal(many, one, size);
        free(many);
    }
    free(one);
    assert_ok(sw_set_threads(before));
}

static inline problem *large_problem(sw_dtype type) {
    return problem_new(type, large_sizes, NULL, 0, NULL);
}

static inline problem *net_problem(sw_dtype type) {
    return problem_new(type, net_sizes, &net_x0[0], 0, NULL);
}

/* Adds rows and head to the loss, for a generalized linear model. Estimators that need the loss can still use it. */
static inline sw_tensor glm_rows(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    problem *p = user;
    sw_batch b;
    return sw_source_batch(&p->source, tape, sw_params_type(p->params), ids, count, &b) == SW_OK ? b.x : (sw_tensor){0};
}

static inline sw_tensor glm_head(void *user, sw_tape *tape, sw_tensor z, const int64_t *ids, int64_t count) {
    problem *p = user;
    sw_tensor y = sw_empty(tape, SW_I32, 1, &count);
    if (sw_is_null(y))
        return y;
    assert_ok(p->source.gather(&p->source, ids, count, 0, SW_F64, NULL, sw_value(y).data));
    return poison(p, sw_cross_entropy(z, y));
}

static inline problem *line_problem(sw_dtype type) {
    return problem_new(type, line_sizes, &sag_x0[0], 0, NULL);
}

static inline problem *glm_problem(sw_dtype type) {
    problem *p = line_problem(type);
    p->objective.rows = glm_rows;
    p->objective.head = glm_head;
    p->objective.features = INPUTS;
    p->objective.outputs = CLASSES;
    p->objective.bias = true;
    return p;
}

#endif
