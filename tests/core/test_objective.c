/* Objectives: value, gradient, chunks and generalized linear models agree; samplers; data sources.
 */
#include "support.h"

#include <swale/extend.h>

/* ---- Softmax regression on made-up data: as a loss on the tape, and as a linear model ---- */

enum { N = 30, FEATURES = 7, CLASSES = 4, DIM = CLASSES * (FEATURES + 1) };

typedef struct problem {
    sw_params *params;
    sw_param *w, *b;
    double rows[N * FEATURES];
    int32_t y[N];
    double dropout;
    int calls;
} problem;

static sw_status fill_uniform(const sw_init *init, const sw_param *param, sw_rng *rng, double *out) {
    (void)init;
    for (int64_t i = 0; i < param->count; i++)
        out[i] = sw_rng_uniform(rng) - 0.5;
    return SW_OK;
}

static sw_tensor rows(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    const problem *p = user;
    sw_tensor t = sw_empty(tape, SW_F64, SW_SHAPE(count, FEATURES));
    double *to = sw_value(t).data;
    for (int64_t i = 0; i < count && to; i++)
        memcpy(to + i * FEATURES, p->rows + ids[i] * FEATURES, FEATURES * sizeof(double));
    return t;
}

static sw_tensor head(void *user, sw_tape *tape, sw_tensor z, const int64_t *ids, int64_t count) {
    const problem *p = user;
    sw_tensor t = sw_empty(tape, SW_I32, SW_SHAPE(count));
    int32_t *to = sw_value(t).data;
    for (int64_t i = 0; i < count && to; i++)
        to[i] = p->y[ids[i]];
    return sw_cross_entropy(z, t);
}

static sw_tensor loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    problem *p = user;
    p->calls++;
    sw_tensor x = sw_dropout(rows(user, tape, ids, count), p->dropout, 3);
    sw_tensor z = sw_linear(x, sw_param_use(tape, p->w), sw_param_use(tape, p->b));
    return head(user, tape, z, ids, count);
}

typedef struct fixture {
    problem p;
    sw_objective f, glm; /* the same function */
    sw_tape *tape;
    sw_gradient *g;
} fixture;

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    sw_clear_error();
    uint64_t seed = 11;
    for (int i = 0; i < N * FEATURES; i++)
        f->p.rows[i] = test_uniform(&seed, -1, 1);
    for (int i = 0; i < N; i++)
        f->p.y[i] = (int32_t)(test_random(&seed) % CLASSES);
    const sw_param_options options = {.size = sizeof options, .init = {.size = sizeof(sw_init), .fill = fill_uniform}};
    f->p.params = sw_params_new(SW_F64, 2);
    f->p.w = sw_params_add(f->p.params, "w", SW_SHAPE(CLASSES, FEATURES), &options);
    f->p.b = sw_params_add(f->p.params, "b", SW_SHAPE(CLASSES), &options);
    assert_int_equal(sw_params_build(f->p.params), SW_OK);
    f->f = (sw_objective){.size = sizeof f->f, .n = N, .params = f->p.params, .user = &f->p, .loss = loss};
    f->glm = (sw_objective){.size = sizeof f->glm,
                            .n = N,
                            .params = f->p.params,
                            .user = &f->p,
                            .features = FEATURES,
                            .outputs = CLASSES,
                            .bias = true,
                            .rows = rows,
                            .head = head};
    f->tape = sw_tape_new();
    f->g = sw_gradient_new(f->p.params);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    sw_gradient_free(f->g);
    sw_tape_free(f->tape);
    sw_params_free(f->p.params);
    free(f);
    return sw_error() != NULL;
}

/* The plain computation: mean loss and gradient at x over the samples. */
static double plain(const problem *p, const double *x, const int64_t *ids, int64_t count, double *g) {
    double total = 0;
    memset(g, 0, DIM * sizeof *g);
    for (int64_t i = 0; i < count; i++) {
        const double *a = p->rows + ids[i] * FEATURES;
        double e[CLASSES], sum = 0;
        for (int c = 0; c < CLASSES; c++) {
            double z = x[CLASSES * FEATURES + c];
            for (int k = 0; k < FEATURES; k++)
                z += x[c * FEATURES + k] * a[k];
            sum += e[c] = exp(z);
        }
        total += log(sum) - log(e[p->y[ids[i]]]);
        for (int c = 0; c < CLASSES; c++) {
            double s = (e[c] / sum - (c == p->y[ids[i]])) / (double)count;
            for (int k = 0; k < FEATURES; k++)
                g[c * FEATURES + k] += s * a[k];
            g[CLASSES * FEATURES + c] += s;
        }
    }
    return total / (double)count;
}

/* Sums of at most 30 terms, each below 2 and with some ten roundings of 2^-53: 30·2·(30 + 10)·2^-53
 * is 3e-13; and the same on the other side. */
static const double tolerance = 2 * 30 * 2 * 40 * 0x1p-53;

static void expect_vector(const double *got, const double *expected, double within) {
    for (int i = 0; i < DIM; i++)
        if (!(fabs(got[i] - expected[i]) <= within))
            fail_msg("element %d: %.17g, not %.17g", i, got[i], expected[i]);
}

static const int64_t some[6] = {4, 29, 0, 17, 4, 8}; /* one of them twice */

static void test_value_and_gradient(void **state) {
    fixture *f = *state;
    int64_t all[N];
    for (int i = 0; i < N; i++)
        all[i] = i;
    double elsewhere[DIM], *own = sw_params_x(f->p.params);
    for (int i = 0; i < DIM; i++)
        elsewhere[i] = own[i] * -2 + 0.1;
    for (int kind = 0; kind < 2; kind++)
        for (int place = 0; place < 2; place++)
            for (int which = 0; which < 3; which++) {
                const sw_objective *o = kind ? &f->glm : &f->f;
                const double *x = place ? elsewhere : NULL;
                const int64_t *ids = which == 0 ? NULL : which == 1 ? all : some;
                int64_t count = which == 2 ? 6 : N;
                double expected[DIM], value = -1, second = -2;
                double mean = plain(&f->p, place ? elsewhere : own, ids ? ids : all, count, expected);
                uint64_t before = test_hash(TEST_HASH, own, DIM * sizeof *own);
                assert_int_equal(sw_objective_value(o, f->tape, x, ids, count, 7, &value), SW_OK);
                assert_true(fabs(value - mean) <= tolerance);
                /* overwritten, fresh or not */
                memset(sw_gradient_data(f->g), 0x7F, DIM * sizeof(double));
                assert_int_equal(sw_objective_gradient(o, f->tape, x, ids, count, 7, &second, f->g), SW_OK);
                assert_true(second == value);
                expect_vector(sw_gradient_data(f->g), expected, tolerance);
                assert_int_equal(sw_gradient_samples(f->g), count);
                assert_false(sw_gradient_is_fresh(f->g));
                assert_int_equal(sw_objective_gradient(o, f->tape, x, ids, count, 7, NULL, f->g), SW_OK);
                expect_vector(sw_gradient_data(f->g), expected, tolerance);
                assert_true(test_hash(TEST_HASH, own, DIM * sizeof *own) == before);
                assert_true(sw_gradient_is_fresh(sw_params_gradient(f->p.params)));
                /* The tape is given back as it was: it reads the parameters' own vector. */
                assert_true(sw_value(sw_param_use(f->tape, f->p.w)).data == (void *)own);
            }
}

static void test_switches_and_draws(void **state) {
    fixture *f = *state;
    double a, b, c;
    f->p.dropout = 0.5;
    assert_int_equal(sw_objective_value(&f->f, f->tape, NULL, some, 6, 1, &a), SW_OK);
    assert_int_equal(sw_objective_value(&f->f, f->tape, NULL, some, 6, 2, &b), SW_OK);
    assert_int_equal(sw_objective_gradient(&f->f, f->tape, NULL, some, 6, 1, &c, f->g), SW_OK);
    assert_true(a == c && a != b);
    assert_true(sw_tape_switch(f->tape, SW_RECORD));
    /* Samples draw their own mask: in another order the mean is the same but for rounding. */
    const int64_t turned[6] = {8, 4, 17, 0, 29, 4};
    assert_int_equal(sw_objective_value(&f->f, f->tape, NULL, turned, 6, 1, &b), SW_OK);
    assert_true(fabs(a - b) <= tolerance);
    sw_tape_set_switch(f->tape, SW_TRAIN | SW_RECORD, false);
    double plain_gradient[DIM], mean = plain(&f->p, sw_params_x(f->p.params), some, 6, plain_gradient);
    assert_int_equal(sw_objective_value(&f->f, f->tape, NULL, some, 6, 1, &c), SW_OK);
    assert_true(fabs(c - mean) <= tolerance);
    assert_false(sw_tape_switch(f->tape, SW_RECORD));
    assert_false(sw_tape_switch(f->tape, SW_TRAIN));
}

static void test_chunks(void **state) {
    fixture *f = *state;
    f->p.dropout = 0.3; /* the masks go with the samples, so that chunks see the same */
    double value, whole[DIM];
    assert_int_equal(sw_objective_gradient(&f->f, f->tape, NULL, NULL, N, 5, &value, f->g), SW_OK);
    memcpy(whole, sw_gradient_data(f->g), sizeof whole);
    static const int64_t chunks[] = {1, 4, 7, 15, 29, 30, 31, 0};
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
        for (int listed = 0; listed < 2; listed++) {
            int64_t ids[N];
            for (int k = 0; k < N; k++)
                ids[k] = k;
            double parts;
            f->p.calls = 0;
            assert_int_equal(
                sw_objective_gradient_chunked(&f->f, f->tape, NULL, listed ? ids : NULL, N, chunks[i], 5, &parts, f->g),
                SW_OK);
            int64_t chunk = chunks[i] ? chunks[i] : 1000;
            assert_int_equal(f->p.calls, (N + chunk - 1) / chunk);
            assert_true(fabs(parts - value) <= tolerance);
            expect_vector(sw_gradient_data(f->g), whole, tolerance);
            assert_int_equal(sw_gradient_samples(f->g), N);
        }
}

static void test_glm(void **state) {
    fixture *f = *state;
    assert_true(sw_objective_is_glm(&f->glm));
    assert_false(sw_objective_is_glm(&f->f));
    assert_false(sw_objective_is_glm(NULL));
    sw_params *no_bias = sw_params_new(SW_F64, 1);
    sw_params_add(no_bias, "w", SW_SHAPE(CLASSES, FEATURES), NULL);
    assert_int_equal(sw_params_build(no_bias), SW_OK);
    for (int bias = 0; bias < 2; bias++) {
        double s[6 * CLASSES], value, mean, one[DIM], sum[DIM] = {0}, x[DIM] = {0};
        const int dim = bias ? DIM : CLASSES * FEATURES;
        sw_objective o = f->glm;
        o.bias = bias;
        o.params = bias ? f->p.params : no_bias;
        memcpy(x, sw_params_x(f->p.params), (size_t)dim * sizeof *x); /* without bias: zeros there */
        assert_int_equal(sw_objective_glm_derivatives(&o, f->tape, x, some, 6, 1, &value, s), SW_OK);
        assert_int_equal(sw_objective_value(&o, f->tape, x, some, 6, 1, &mean), SW_OK);
        assert_true(fabs(value - mean) <= tolerance);
        for (int i = 0; i < 6; i++) {
            const double *a = f->p.rows + some[i] * FEATURES;
            plain(&f->p, x, &some[i], 1, one); /* ∇f_i */
            for (int c = 0; c < CLASSES; c++) {
                for (int k = 0; k < FEATURES; k++)
                    assert_true(fabs(s[i * CLASSES + c] * a[k] - one[c * FEATURES + k]) <= tolerance);
                assert_true(fabs(s[i * CLASSES + c] - one[CLASSES * FEATURES + c]) <= tolerance);
            }
            for (int k = 0; k < DIM; k++)
                sum[k] += one[k];
        }
        /* And back: beta g + Σ c_i [a_i, 1] */
        double g[DIM], expected[DIM];
        for (int k = 0; k < DIM; k++) {
            g[k] = k;
            expected[k] = k < dim ? 0.5 * k + sum[k] : k;
        }
        assert_int_equal(sw_objective_glm_combine(&o, f->tape, some, 6, s, 0.5, g), SW_OK);
        expect_vector(g, expected, tolerance);
        for (int k = 0; k < dim; k++) {
            g[k] = (double)NAN; /* beta = 0 does not read it */
            expected[k] = sum[k];
        }
        assert_int_equal(sw_objective_glm_combine(&o, f->tape, some, 6, s, 0, g), SW_OK);
        expect_vector(g, expected, tolerance);
    }
    sw_params_free(no_bias);
}

/* ---- An objective without a tape: ½ Σ k x_k², plus the draw to see that it arrives ---- */

static uint64_t seen_draw;
static const int64_t *seen_ids;

static sw_status quadratic(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw, double *value,
                           void *g) {
    (void)count;
    const double *at = x;
    seen_draw = draw;
    seen_ids = ids;
    if (*(const bool *)user)
        return sw_fail(SW_ERR_USER, "no luck");
    *value = 0;
    for (int k = 0; k < DIM; k++) {
        *value += 0.5 * k * at[k] * at[k];
        if (g)
            ((double *)g)[k] = k * at[k];
    }
    return SW_OK;
}

static void test_without_a_tape(void **state) {
    fixture *f = *state;
    bool fails = false;
    sw_objective q = {.size = sizeof q, .n = 1, .params = f->p.params, .user = &fails, .gradient = quadratic};
    const double *own = sw_params_x(f->p.params);
    double x[DIM], expected[DIM], value, same, exact = 0;
    for (int k = 0; k < DIM; k++) {
        x[k] = own[k] + 1;
        expected[k] = k * x[k];
        exact += 0.5 * k * x[k] * x[k];
    }
    assert_int_equal(sw_objective_value(&q, NULL, x, NULL, 1, 77, &value), SW_OK);
    assert_true(value == exact && seen_draw == 77 && seen_ids != NULL); /* a list, where all are asked for */
    assert_int_equal(sw_objective_gradient(&q, NULL, x, some, 6, 78, &same, f->g), SW_OK);
    assert_true(same == exact && seen_draw == 78 && seen_ids == some);
    expect_vector(sw_gradient_data(f->g), expected, 0);
    assert_int_equal(sw_gradient_samples(f->g), 6);
    assert_int_equal(sw_objective_gradient_chunked(&q, NULL, x, NULL, 1, 3, 1, NULL, f->g), SW_OK);
    expect_vector(sw_gradient_data(f->g), expected, 0);
    fails = true;
    assert_int_equal(sw_objective_value(&q, NULL, x, NULL, 1, 0, &value), SW_ERR_USER);
    expect_error(SW_ERR_USER, "no luck");
    assert_int_equal(sw_objective_gradient(&q, NULL, x, NULL, 1, 0, &value, f->g), SW_ERR_USER);
    expect_error(SW_ERR_USER, "no luck");
}

/* A block that an objective filled takes further micro-batches like any other: mean by samples. */
static void test_accumulating_on_top(void **state) {
    fixture *f = *state;
    bool fails = false;
    sw_objective q = {.size = sizeof q, .n = 1, .params = f->p.params, .user = &fails, .gradient = quadratic};
    const double *x = sw_params_x(f->p.params);
    double value, part[DIM], expected[DIM];
    plain(&f->p, x, some + 3, 3, part);
    for (int kind = 0; kind < 3; kind++) {
        const sw_objective *first = kind == 0 ? &q : kind == 1 ? &f->glm : &f->f;
        sw_gradient *g = sw_gradient_new(f->p.params); /* never written by a backward */
        assert_int_equal(sw_objective_gradient(first, f->tape, NULL, some, 3, 1, &value, g), SW_OK);
        const double *held = sw_gradient_data(g);
        for (int k = 0; k < DIM; k++)
            expected[k] = (held[k] + part[k]) / 2; /* 3 samples and 3 */
        assert_int_equal(sw_tape_bind(f->tape, f->p.params, NULL, g), SW_OK);
        assert_int_equal(sw_tape_set_sample_ids(f->tape, some + 3, 3), SW_OK);
        assert_int_equal(sw_backward(loss(&f->p, f->tape, some + 3, 3)), SW_OK);
        expect_vector(sw_gradient_data(g), expected, tolerance * DIM);
        assert_int_equal(sw_gradient_samples(g), 6);
        sw_tape_reset(f->tape);
        assert_int_equal(sw_tape_bind(f->tape, f->p.params, NULL, NULL), SW_OK);
        sw_gradient_free(g);
    }
}

/* ---- Errors of objectives ---- */

static sw_tensor null_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    (void)user, (void)tape, (void)ids, (void)count;
    return (sw_tensor){0};
}
static sw_tensor wide_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    return sw_tanh(sw_mul(rows(user, tape, ids, count), sw_sum(sw_param_use(tape, ((problem *)user)->w))));
}
static sw_tensor constant_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    return sw_sum(rows(user, tape, ids, count));
}

static void test_errors(void **state) {
    fixture *f = *state;
    double value, s[N * CLASSES];
    sw_objective o = f->f;
#define EXPECT_BOTH(status, text)                                                                     \
    do {                                                                                              \
        assert_int_equal(sw_objective_value(&o, f->tape, NULL, some, 6, 1, &value), status);          \
        expect_error(status, text);                                                                   \
        assert_int_equal(sw_objective_gradient(&o, f->tape, NULL, some, 6, 1, &value, f->g), status); \
        expect_error(status, text);                                                                   \
    } while (0)
    o.loss = NULL;
    EXPECT_BOTH(SW_ERR_ARGUMENT, "objective: parameters and a loss, or a gradient, are needed");
    o = f->f;
    o.params = NULL;
    EXPECT_BOTH(SW_ERR_ARGUMENT, "objective: parameters and a loss, or a gradient, are needed");
    o.params = sw_params_new(SW_F64, 1);
    EXPECT_BOTH(SW_ERR_STATE, "objective: the parameters are not built");
    sw_params_free(o.params);
    o = f->f;
    o.loss = null_loss;
    EXPECT_BOTH(SW_ERR_USER, "objective: the loss is a null tensor");
    o.loss = wide_loss;
    assert_int_equal(sw_objective_value(&o, f->tape, NULL, some, 6, 1, &value), SW_ERR_SHAPE);
    expect_error(SW_ERR_SHAPE, "objective: the loss must be one number, its shape is [6,7]");
    assert_int_equal(sw_objective_gradient(&o, f->tape, NULL, some, 6, 1, &value, f->g), SW_ERR_SHAPE);
    expect_error(SW_ERR_SHAPE, "objective: the loss must be one number, its shape is [6,7]");
    assert_int_equal(sw_objective_gradient(&o, f->tape, NULL, some, 6, 1, NULL, f->g), SW_ERR_SHAPE);
    expect_error(SW_ERR_SHAPE, "objective: the loss must be one number, its shape is [6,7]");
    o.loss = constant_loss;
    assert_int_equal(sw_objective_gradient(&o, f->tape, NULL, some, 6, 1, &value, f->g), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "backward: nothing the tensor depends on needs a gradient (recording "
                               "off, or all parameters frozen?)");
    assert_int_equal(sw_objective_value(&f->f, NULL, NULL, some, 6, 1, &value), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "objective: a tape is needed");
    assert_int_equal(sw_objective_gradient(&f->f, f->tape, NULL, some, 6, 1, &value, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "objective: the gradient block is NULL");
    assert_int_equal(sw_objective_gradient_chunked(&f->f, f->tape, NULL, some, 6, 2, 1, &value, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "objective: the gradient block is NULL");
    assert_int_equal(sw_objective_glm_derivatives(&f->f, f->tape, NULL, some, 6, 1, &value, s), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "objective: it is not a generalized linear model: rows and head "
                                  "or glm, features and outputs are needed");
    o = f->glm;
    o.bias = false;
    assert_int_equal(sw_objective_glm_derivatives(&o, f->tape, NULL, some, 6, 1, &value, s), SW_ERR_SHAPE);
    expect_error(SW_ERR_SHAPE, "objective: 32 parameters; a generalized linear model of 7 features "
                               "and 4 outputs has 28");
    o = f->glm;
    o.features = 8;
    assert_int_equal(sw_objective_glm_derivatives(&o, f->tape, NULL, some, 6, 1, &value, s), SW_ERR_SHAPE);
    expect_error(SW_ERR_SHAPE, "objective: 32 parameters; a generalized linear model of 8 features "
                               "and 4 outputs with bias has 36");
    /* After all of these the tape works. */
    assert_int_equal(sw_objective_value(&f->f, f->tape, NULL, some, 6, 1, &value), SW_OK);
    assert_true(sw_tape_switch(f->tape, SW_RECORD));
}

/* ---- Samplers ---- */

static const sw_order orders[3] = {SW_SHUFFLE, SW_WITH_REPLACEMENT, SW_SEQUENTIAL};

static void test_epochs(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{10, 3}, {10, 10}, {10, 1}, {1, 1}, {7, 100}, {64, 8}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int o = 0; o < 3; o++) {
            const sw_order order = orders[o];
            int64_t n = sizes[k][0], batch = sizes[k][1], steps = (n + batch - 1) / batch;
            sw_sampler *s = sw_sampler_new(n, batch, order, 5);
            assert_int_equal(sw_sampler_steps_per_epoch(s), steps);
            for (int epoch = 0; epoch < 4; epoch++) {
                int times[64] = {0};
                int64_t given = 0;
                for (int64_t step = 0; step < steps; step++) {
                    const int64_t *next, *ids;
                    int64_t ahead = epoch || step ? sw_sampler_peek(s, &next) : -1;
                    int64_t expected = step + 1 < steps ? batch : n - given;
                    int64_t foreseen[64];
                    if (step) /* at the start of an epoch, nothing is foreseen */
                        memcpy(foreseen, next, (size_t)ahead * sizeof *foreseen);
                    assert_int_equal(sw_sampler_next(s, &ids), expected);
                    if (step) {
                        assert_int_equal(ahead, expected);
                        assert_memory_equal(foreseen, ids, (size_t)expected * sizeof *ids);
                    } else {
                        assert_int_equal(ahead, epoch ? 0 : -1);
                    }
                    assert_int_equal(sw_sampler_epoch(s), epoch);
                    assert_int_equal(sw_sampler_at_end(s), step + 1 == steps);
                    for (int64_t i = 0; i < expected; i++) {
                        assert_in_range(ids[i], 0, n - 1);
                        times[ids[i]]++;
                        if (order == SW_SEQUENTIAL)
                            assert_int_equal(ids[i], given + i);
                    }
                    given += expected;
                }
                for (int64_t i = 0; i < n && order != SW_WITH_REPLACEMENT; i++)
                    assert_int_equal(times[i], 1);
            }
            sw_sampler_free(s);
        }
}

enum { LENGTH = 100 };

static void draw_epoch(sw_sampler *s, int64_t *out) {
    int64_t at = 0;
    do {
        const int64_t *ids;
        int64_t count = sw_sampler_next(s, &ids);
        memcpy(out + at, ids, (size_t)count * sizeof *ids);
        at += count;
    } while (!sw_sampler_at_end(s));
    assert_int_equal(at, LENGTH);
}

static void test_orders_differ(void **state) {
    (void)state;
    for (int o = 0; o < 2; o++) { /* the random ones */
        const sw_order order = orders[o];
        int64_t a[3][LENGTH], b[3][LENGTH], c[LENGTH];
        sw_sampler *s = sw_sampler_new(LENGTH, 7, order, 5), *same = sw_sampler_new(LENGTH, 30, order, 5),
                   *other = sw_sampler_new(LENGTH, 7, order, 6);
        for (int epoch = 0; epoch < 3; epoch++) {
            draw_epoch(s, a[epoch]);
            draw_epoch(same, b[epoch]); /* the order does not depend on the batch size */
            assert_memory_equal(a[epoch], b[epoch], sizeof a[epoch]);
            for (int k = 0; k < epoch; k++)
                assert_memory_not_equal(a[epoch], a[k], sizeof a[k]);
        }
        draw_epoch(other, c);
        assert_memory_not_equal(a[0], c, sizeof c);
        sw_sampler_free(s);
        sw_sampler_free(same);
        sw_sampler_free(other);
    }
}

/* Every sample is as likely in every place: id 0's places over many epochs, and all ids' counts
 * with replacement, within 6 standard deviations. */
static void test_each_place(void **state) {
    (void)state;
    enum { EPOCHS = 4000, FEW = 8 };
    for (int o = 0; o < 2; o++) {
        const sw_order order = orders[o];
        int times[FEW][FEW] = {{0}};
        sw_sampler *s = sw_sampler_new(FEW, FEW, order, 9);
        for (int epoch = 0; epoch < EPOCHS; epoch++) {
            const int64_t *ids;
            sw_sampler_next(s, &ids);
            for (int place = 0; place < FEW; place++)
                times[ids[place]][place]++;
        }
        double p = 1. / FEW, deviation = sqrt(EPOCHS * p * (1 - p));
        for (int i = 0; i < FEW; i++)
            for (int k = 0; k < FEW; k++)
                assert_true(fabs(times[i][k] - EPOCHS * p) <= 6 * deviation);
        sw_sampler_free(s);
    }
}

/* From every place in three epochs, and back from elsewhere: the batches that would have followed. */
static void test_seek(void **state) {
    (void)state;
    enum { COUNT = 11, SIZE = 4, STEPS = 9 };
    for (int o = 0; o < 3; o++) {
        sw_sampler *s = sw_sampler_new(COUNT, SIZE, orders[o], 5);
        int64_t seen[STEPS][SIZE], count[STEPS], epoch[STEPS + 1], position[STEPS + 1];
        const int64_t *ids;
        for (int i = 0; i <= STEPS; i++) {
            epoch[i] = sw_sampler_epoch(s);
            position[i] = sw_sampler_position(s);
            assert_int_equal(position[i], i == 0 ? 0 : i % 3 ? i % 3 * SIZE : COUNT);
            if (i < STEPS) {
                count[i] = sw_sampler_next(s, &ids);
                memcpy(seen[i], ids, (size_t)count[i] * sizeof *ids);
            }
        }
        for (int from = 0; from < STEPS; from++)
            for (int fresh = 0; fresh < 2; fresh++) {
                sw_sampler *t = fresh ? sw_sampler_new(COUNT, SIZE, orders[o], 5) : s;
                assert_int_equal(sw_sampler_seek(t, epoch[from], position[from]), SW_OK);
                assert_int_equal(sw_sampler_epoch(t), epoch[from]);
                assert_int_equal(sw_sampler_position(t), position[from]);
                assert_int_equal(sw_sampler_at_end(t), position[from] == COUNT);
                if (position[from] < COUNT) {
                    assert_int_equal(sw_sampler_peek(t, &ids), count[from]);
                    assert_memory_equal(ids, seen[from], (size_t)count[from] * sizeof *ids);
                }
                for (int i = from; i < STEPS; i++) {
                    assert_int_equal(sw_sampler_next(t, &ids), count[i]);
                    assert_memory_equal(ids, seen[i], (size_t)count[i] * sizeof *ids);
                    assert_int_equal(sw_sampler_at_end(t), i % 3 == 2);
                }
                if (fresh)
                    sw_sampler_free(t);
            }
        /* The beginning of an epoch is its predecessor's end. */
        assert_int_equal(sw_sampler_seek(s, 1, 0), SW_OK);
        assert_int_equal(sw_sampler_next(s, &ids), SIZE);
        assert_memory_equal(ids, seen[3], sizeof seen[3]);
        static const int64_t wrong[][2] = {{-1, 0}, {0, -4}, {0, 3}, {0, 12}, {0, 10}};
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            char text[120];
            snprintf(text, sizeof text, "sampler: epoch %d, position %d is no place between batches of 4 out of 11",
                     (int)wrong[i][0], (int)wrong[i][1]);
            assert_int_equal(sw_sampler_seek(s, wrong[i][0], wrong[i][1]), SW_ERR_ARGUMENT);
            expect_error(SW_ERR_ARGUMENT, text);
            assert_int_equal(sw_sampler_position(s), SIZE);
            assert_int_equal(sw_sampler_epoch(s), 1);
        }
        sw_sampler_free(s);
    }
    assert_int_equal(sw_sampler_seek(NULL, 0, 0), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "sampler: seek of NULL");
}

static void test_sampler_errors(void **state) {
    (void)state;
    assert_null(sw_sampler_new(0, 1, SW_SHUFFLE, 1));
    expect_error(SW_ERR_ARGUMENT, "sampler: 0 samples in batches of 1");
    assert_null(sw_sampler_new(5, 0, SW_SHUFFLE, 1));
    expect_error(SW_ERR_ARGUMENT, "sampler: 5 samples in batches of 0");
    assert_null(sw_sampler_new(5, 1, (sw_order)9, 1));
    expect_error(SW_ERR_ARGUMENT, "sampler: 9 is no order");
}

/* No sum of n and the batch overflows. */
static void test_endless_batch(void **state) {
    (void)state;
    const int64_t *ids;
    sw_sampler *s = sw_sampler_new(5, INT64_MAX, SW_SEQUENTIAL, 1);
    assert_int_equal(sw_sampler_steps_per_epoch(s), 1);
    assert_int_equal(sw_sampler_next(s, &ids), 5);
    assert_true(sw_sampler_at_end(s));
    sw_sampler_free(s);
}

/* ---- Sources ---- */

typedef struct counting_source {
    sw_source source;
    int64_t fail_at; /* the sample that cannot be read; -1: none */
} counting_source;

static sw_status gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                        void *x, void *y) {
    (void)draw;
    const counting_source *s = (const counting_source *)source;
    int64_t width = 1, targets = 1;
    for (int i = 0; i < source->x_rank; i++)
        width *= source->x_shape[i];
    for (int i = 0; i < source->y_rank; i++)
        targets *= source->y_shape[i];
    sw_array to = {.data = x, .type = type};
    sw_array target = {.data = y, .type = source->y_type == SW_I32 ? SW_I32 : type};
    for (int64_t i = 0; i < count; i++) {
        if (ids[i] == s->fail_at)
            return SW_ERR_IO;
        for (int64_t k = 0; k < width && x; k++)
            test_set(&to, i * width + k, (double)(ids[i] * 100 + k));
        for (int64_t k = 0; k < targets && y; k++)
            test_set(&target, i * targets + k, (double)(ids[i] * 10 + k));
    }
    return SW_OK;
}

static int freed;
static void count_free(sw_source *source) {
    (void)source;
    freed++;
}

static void test_batches(void **state) {
    const fixture *f = *state;
    enum { MANY = 2100 };
    int64_t ids[MANY];
    for (int i = 0; i < MANY; i++)
        ids[i] = (int64_t)i * 37 % 5000;
    for (int kind = 0; kind < 3; kind++)
        for (int t = SW_F32; t <= SW_F64; t++)
            for (int64_t count = 1; count <= MANY; count = count * 9 + 3) {
                counting_source s = {
                    {.size = sizeof(sw_source), .n = 5000, .x_rank = 2, .x_shape = {2, 3}, .gather = gather}, -1};
                s.source.y_rank = kind == 0 ? -1 : kind == 1 ? 0 : 1;
                s.source.y_shape[0] = 4;
                s.source.y_type = kind == 1 ? SW_I32 : SW_F64;
                sw_batch b;
                assert_int_equal(sw_source_batch(&s.source, f->tape, (sw_dtype)t, ids, count, &b), SW_OK);
                sw_array x = sw_value(b.x);
                assert_int_equal(x.type, t);
                assert_int_equal(x.rank, 3);
                assert_int_equal(x.shape[0], count);
                assert_int_equal(x.shape[1], 2);
                assert_int_equal(x.shape[2], 3);
                assert_int_equal(b.count, count);
                for (int64_t i = 0; i < count; i++) {
                    assert_int_equal(b.ids[i], ids[i]);
                    for (int k = 0; k < 6; k++)
                        assert_true(test_get(&x, i * 6 + k) == (double)(ids[i] * 100 + k));
                }
                assert_ptr_not_equal(b.ids, ids); /* the tape's own copy */
                assert_ptr_equal(sw_tape_sample_ids(f->tape, count), b.ids);
                if (kind == 0) {
                    assert_true(sw_is_null(b.y));
                } else {
                    sw_array y = sw_value(b.y);
                    int64_t width = kind == 1 ? 1 : 4;
                    assert_int_equal(y.type, kind == 1 ? SW_I32 : t); /* real targets in x's type */
                    assert_int_equal(y.rank, kind);
                    for (int64_t i = 0; i < count * width; i++)
                        assert_true(test_get(&y, i) == (double)(ids[i / width] * 10 + i % width));
                }
                sw_tape_reset(f->tape);
            }
}

static void test_source_errors(void **state) {
    const fixture *f = *state;
    counting_source s = {{.size = sizeof(sw_source),
                          .n = 10,
                          .x_rank = 1,
                          .x_shape = {3},
                          .y_type = SW_I32,
                          .gather = gather,
                          .free = count_free},
                         -1};
    sw_batch b;
    int64_t ids[3] = {1, 10, 2};
    assert_int_equal(sw_source_batch(&s.source, f->tape, SW_F32, ids, 3, &b), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: sample 10 is outside 0 to 9");
    assert_true(sw_is_null(b.x) && sw_is_null(b.y) && b.count == 0);
    ids[1] = -1;
    assert_int_equal(sw_source_batch(&s.source, f->tape, SW_F32, ids, 3, &b), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: sample -1 is outside 0 to 9");
    ids[1] = 5;
    assert_int_equal(sw_source_batch(&s.source, f->tape, SW_I32, ids, 3, &b), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "batch: samples are gathered as f32 or f64, not i32");
    assert_int_equal(sw_source_batch(NULL, f->tape, SW_F32, ids, 3, &b), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: the source is NULL");
    assert_int_equal(sw_source_batch(&s.source, NULL, SW_F32, ids, 3, &b), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: the tape is NULL");
    assert_int_equal(sw_source_batch(&s.source, f->tape, SW_F32, ids, -1, &b), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: -1 samples asked for");
    assert_int_equal(sw_source_batch(&s.source, f->tape, SW_F32, ids, 0, &b), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: 0 samples asked for");
    assert_true(sw_is_null(b.x) && sw_is_null(b.y) && b.count == 0);
    assert_int_equal(sw_source_batch(&s.source, f->tape, SW_F32, NULL, 3, &b), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: 3 samples asked for");
    s.source.x_rank = SW_MAX_RANK;
    assert_int_equal(sw_source_batch(&s.source, f->tape, SW_F32, ids, 3, &b), SW_ERR_SHAPE);
    expect_error(SW_ERR_SHAPE, "batch: a sample has at most 7 axes");
    s.source.x_rank = 1;
    /* A sample that cannot be read, wherever it is and whichever thread meets it. */
    enum { MANY = 1500 };
    s.source.n = MANY;
    int64_t many[MANY];
    for (int i = 0; i < MANY; i++)
        many[i] = i;
    static const int64_t bad[] = {0, 7, 8, 511, 512, 513, 1499};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        s.fail_at = bad[i];
        assert_int_equal(sw_source_batch(&s.source, f->tape, SW_F32, many, MANY, &b), SW_ERR_IO);
        expect_error(SW_ERR_IO, "batch: samples could not be gathered: the source's gather returned status 7 without "
                                "a message");
    }
    sw_source_free(&s.source);
    assert_int_equal(freed, 1);
    sw_source_free(NULL);
}

/* x = id + 1000·draw, y = -x */
static sw_status drawn_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                              void *x, void *y) {
    (void)source;
    for (int64_t i = 0; i < count; i++) {
        if (x)
            test_set(&(sw_array){.data = x, .type = type}, i, (double)ids[i] + 1000. * (double)draw);
        if (y)
            test_set(&(sw_array){.data = y, .type = type}, i, -(double)ids[i] - 1000. * (double)draw);
    }
    return SW_OK;
}

static void test_draws_of_a_batch(void **state) {
    const fixture *f = *state;
    const sw_source s = {.size = sizeof s, .n = 30, .y_type = SW_F64, .gather = drawn_gather};
    const int64_t ids[12] = {3, 29, 0, 7, 7, 12, 13, 14, 15, 16, 17, 18};
    sw_batch b;
    sw_tape_set_draw(f->tape, 5);
    assert_int_equal(sw_source_batch(&s, f->tape, SW_F64, ids, 12, &b), SW_OK);
    for (int i = 0; i < 12; i++)
        assert_true(((double *)sw_value(b.x).data)[i] == (double)ids[i] + 5000);
    assert_int_equal(sw_source_batch_with_draw(&s, f->tape, SW_F64, 9, ids, 12, &b), SW_OK);
    for (int i = 0; i < 12; i++)
        assert_true(((double *)sw_value(b.y).data)[i] == -(double)ids[i] - 9000);
    assert_int_equal(sw_tape_draw(f->tape), 5);
    float x[12], y[12];
    assert_int_equal(sw_source_gather(&s, SW_F32, 2, ids, 12, x, y), SW_OK);
    for (int i = 0; i < 12; i++)
        assert_true(x[i] == (float)ids[i] + 2000 && y[i] == -x[i]);
    x[0] = y[0] = 0;
    assert_int_equal(sw_source_gather(&s, SW_F32, 3, ids, 1, x, NULL), SW_OK);
    assert_int_equal(sw_source_gather(&s, SW_F32, 4, ids, 1, NULL, y), SW_OK);
    assert_true(x[0] == 3003 && y[0] == -4003);
    assert_int_equal(sw_source_gather(&s, SW_U8, 0, ids, 1, x, NULL), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "batch: samples are gathered as f32 or f64, not u8");
    assert_int_equal(sw_source_gather(NULL, SW_F32, 0, ids, 1, x, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: the source is NULL");
    const sw_source none = {.size = sizeof s, .n = 30, .y_rank = -1, .gather = drawn_gather};
    assert_int_equal(sw_source_gather(&none, SW_F32, 0, ids, 1, x, y), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: the source has no targets");
}

/* ---- Memory lent to a tape ---- */

static void count_release(void *user) {
    ++*(int *)user;
}

static void test_deferred(void **state) {
    (void)state;
    int times[20] = {0};
    sw_tape *tape = sw_tape_new();
    for (int round = 1; round <= 3; round++) {
        sw_mark mark = sw_tape_mark(tape);
        for (int i = 0; i < 20; i++) /* more than there is room for at first */
            assert_int_equal(sw_tape_defer(tape, count_release, &times[i]), SW_OK);
        assert_int_equal(sw_tape_rewind(tape, mark), SW_OK);
        for (int i = 0; i < 20; i++)
            assert_int_equal(times[i], round - 1); /* not before the reset, not at a rewind */
        sw_tape_reset(tape);
        for (int i = 0; i < 20; i++)
            assert_int_equal(times[i], round);
        sw_tape_reset(tape);
    }
    assert_int_equal(sw_tape_defer(tape, count_release, &times[0]), SW_OK);
    assert_int_equal(sw_tape_defer(tape, NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "defer: the function is NULL");
    assert_int_equal(sw_tape_defer(NULL, count_release, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "defer: the tape is NULL");
    sw_tape_free(tape);
    assert_int_equal(times[0], 4);
    assert_int_equal(times[1], 3);
    test_allocator a;
    test_allocator_install(&a);
    tape = sw_tape_new();
    test_allocator_fail(&a, 1, false);
    assert_int_equal(sw_tape_defer(tape, count_release, &times[1]), SW_ERR_MEMORY);
    sw_clear_error();
    assert_int_equal(sw_tape_defer(tape, count_release, &times[2]), SW_OK);
    sw_tape_free(tape);
    assert_int_equal(times[1], 3);
    assert_int_equal(times[2], 4);
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_value_and_gradient),
        TEST(test_switches_and_draws),
        TEST(test_chunks),
        TEST(test_glm),
        TEST(test_without_a_tape),
        TEST(test_accumulating_on_top),
        TEST(test_errors),
        TEST(test_epochs),
        TEST(test_orders_differ),
        TEST(test_each_place),
        TEST(test_seek),
        TEST(test_sampler_errors),
        TEST(test_endless_batch),
        TEST(test_batches),
        TEST(test_source_errors),
        TEST(test_draws_of_a_batch),
        TEST(test_deferred),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sw_set_threads(1);
    return failed;
}
