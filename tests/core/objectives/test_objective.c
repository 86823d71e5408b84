/* Objectives: value, gradient, chunks and generalized linear models agree. */
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

static void test_objective_gives_value_and_gradient(void **state) {
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

static void test_objective_keeps_switches_and_draws(void **state) {
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

static void test_objective_gradient_is_equal_in_chunks(void **state) {
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

static void test_objective_of_a_glm_is_the_same_function(void **state) {
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

static void test_objective_without_a_tape_is_evaluated(void **state) {
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
static void test_gradient_of_an_objective_takes_more_micro_batches(void **state) {
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

static void test_objective_refuses_wrong_calls(void **state) {
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

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_objective_gives_value_and_gradient),    TEST(test_objective_keeps_switches_and_draws),
        TEST(test_objective_gradient_is_equal_in_chunks), TEST(test_objective_of_a_glm_is_the_same_function),
        TEST(test_objective_without_a_tape_is_evaluated), TEST(test_gradient_of_an_objective_takes_more_micro_batches),
        TEST(test_objective_refuses_wrong_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
