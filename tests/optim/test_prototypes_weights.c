/* Means by weight, outside the library: a loss with class weights and ignored rows, written four times on the public
 * headers (an operation, a composition of operations, an objective without a tape, and sums), and an objective whose
 * weight depends on random masks. The contract is in loss_mean.h. Whole evaluations, chunks, shards, micro-batches,
 * batches of an evaluation, epochs of steps and tables of SAG compute the same mean, which equals that of plain loops
 * in double precision. */
#include "helpers.h"

#include <swale/nn.h>

enum { ROWS = 23, FEATURES = 4, CLASSES = 3, DIM = CLASSES * (FEATURES + 1), IGNORED = -1 };

static const double class_weights[CLASSES] = {0.25, 1.5, 4};

/* ---- The problem: z = W a + b, l_i = w_y Σ_c (z_c - [c = y])², the mean Σ l_i / Σ w_y over rows with y ≥ 0 ---- */

typedef enum loss_form { OPERATION, COMPOSED, NO_TAPE, SUM_OF_ROWS, MASKED, FORMS } loss_form;
static const char *const form_names[FORMS] = {"operation", "composed", "without a tape", "sum", "masked"};

typedef struct problem {
    sw_source source; /* first: gather gets a pointer to it */
    sw_model *model;
    sw_module *module;
    sw_params *params;
    sw_objective f;
    double a[ROWS][FEATURES];
    int32_t y[ROWS];
    loss_form form;
    int64_t seen[ROWS]; /* the samples for which `weight` was called since `count` was 0, and the draw */
    int64_t count;
    uint64_t draw;
} problem;

static double weight_of(int32_t y) {
    return y == IGNORED ? 0 : class_weights[y];
}

/* In MASKED, half of the rows do not count; which ones depends on the draw. */
static bool problem_keeps(const problem *p, int64_t id, uint64_t draw) {
    sw_rng rng = {.key = sw_rng_key((uint64_t)id * 1000003 + draw, "mask")};
    return p->form != MASKED || sw_rng_uniform(&rng) < 0.5;
}

/* Σ weight·loss and its gradient over rows, in the layout of x: W, then b. Returns Σ weight. */
static double problem_sums(const problem *p, const double *x, const int64_t *ids, int64_t count, uint64_t draw,
                           double *loss, double *g) {
    double weight = 0;
    *loss = 0;
    memset(g, 0, DIM * sizeof *g);
    for (int64_t k = 0; k < count; k++) {
        const double *a = p->a[ids[k]], w = problem_keeps(p, ids[k], draw) ? weight_of(p->y[ids[k]]) : 0;
        for (int c = 0; c < CLASSES && w > 0; c++) {
            double d = x[CLASSES * FEATURES + c] - (c == p->y[ids[k]]);
            for (int j = 0; j < FEATURES; j++)
                d += x[c * FEATURES + j] * a[j];
            *loss += w * d * d;
            for (int j = 0; j < FEATURES; j++)
                g[c * FEATURES + j] += 2 * w * d * a[j];
            g[CLASSES * FEATURES + c] += 2 * w * d;
        }
        weight += w;
    }
    return weight;
}

/* ---- As an operation: z [rows, classes], y i32 [rows] → the mean, with the weight Σ w_y ---- */

static sw_status class_loss_shape(sw_call *c) {
    const sw_view *z = c->in[0], *y = c->in[1];
    if (z->type > SW_F64 || z->rank != 2 || z->shape[1] != CLASSES || y->type != SW_I32 || y->rank != 1 ||
        y->shape[0] != z->shape[0])
        return sw_fail(SW_ERR_SHAPE, "class_loss: z [rows, %d] and ids [rows] are needed", CLASSES);
    return sw_call_set_shape(c, z->type, 0, NULL);
}

static double class_loss_total(const sw_view *y) {
    double total = 0;
    for (int64_t i = 0; i < y->count; i++)
        total += weight_of(((const int32_t *)y->data)[i]);
    return total;
}

static double class_loss_factor(const sw_call *c) {
    const double total = class_loss_total(c->in[1]);
    return *(const bool *)c->attributes ? 1 : total > 0 ? 1 / total : 0;
}

static sw_status class_loss_forward(sw_call *c) {
    const sw_view *z = c->in[0];
    const int32_t *y = c->in[1]->data;
    double sum = 0;
    for (int64_t i = 0; i < z->count; i++) {
        const int32_t of = y[i / CLASSES];
        const double d = vec_get(z->type, z->data, i) - (i % CLASSES == of);
        sum += weight_of(of) * d * d;
    }
    vec_set(z->type, c->out->data, 0, sum * class_loss_factor(c));
    return sw_call_set_weight(c, *(const bool *)c->attributes ? SW_SUMMED : class_loss_total(c->in[1]));
}

static sw_status class_loss_vjp(sw_call *c) {
    const sw_view *z = c->in[0];
    const int32_t *y = c->in[1]->data;
    void *dz = sw_call_grad(c, 0);
    if (!dz)
        return SW_ERR_MEMORY;
    const double factor = 2 * class_loss_factor(c) * vec_get(z->type, c->cotangent, 0);
    for (int64_t i = 0; i < z->count; i++) {
        const int32_t of = y[i / CLASSES];
        vec_set(z->type, dz, i, factor * weight_of(of) * (vec_get(z->type, z->data, i) - (i % CLASSES == of)));
    }
    return SW_OK;
}

static const sw_op class_loss_op = {.size = sizeof(sw_op),
                                    .name = "class_loss",
                                    .shape = class_loss_shape,
                                    .forward = class_loss_forward,
                                    .vjp = class_loss_vjp,
                                    .vjp_reads = SW_READS(0) | SW_READS(1)};

static sw_tensor class_loss_reduced(sw_tensor z, sw_tensor y, bool sum) {
    return sw_apply(&class_loss_op, &sum, sizeof sum, 2, (const sw_tensor[]){z, y});
}

static sw_tensor class_loss(sw_tensor z, sw_tensor y) {
    return class_loss_reduced(z, y, false);
}

static sw_tensor class_loss_sum(sw_tensor z, sw_tensor y) {
    return class_loss_reduced(z, y, true);
}

/* ---- The same, composed of operations of the library ---- */

static sw_tensor composed_loss(sw_tensor z, sw_tensor y) {
    const sw_array logits = sw_value(z), ids = sw_value(y);
    if (!logits.data || !ids.data)
        return (sw_tensor){0};
    const int64_t rows = ids.shape[0];
    sw_tensor target = sw_empty(z.tape, logits.type, 2, (const int64_t[]){rows, CLASSES}),
              weight = sw_empty(z.tape, logits.type, 2, (const int64_t[]){rows, 1});
    const sw_array t = sw_value(target), w = sw_value(weight);
    double total = 0;
    for (int64_t i = 0; t.data && w.data && i < rows; i++) {
        const int32_t of = ((const int32_t *)ids.data)[i];
        for (int c = 0; c < CLASSES; c++)
            test_set(&t, i * CLASSES + c, c == of);
        test_set(&w, i, weight_of(of));
        total += weight_of(of);
    }
    sw_tensor d = sw_sub(z, target), sum = sw_sum(sw_mul(weight, sw_mul(d, d)));
    return sw_loss_with_weight(sw_scale(sum, total > 0 ? 1 / total : 0), total);
}

static sw_loss loss_of(loss_form form) {
    return form == COMPOSED ? composed_loss : form == SUM_OF_ROWS ? class_loss_sum : class_loss;
}

static sw_tensor problem_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    problem *p = user;
    sw_batch b;
    if (sw_source_batch(&p->source, tape, sw_params_type(p->params), ids, count, &b) != SW_OK)
        return (sw_tensor){0};
    return loss_of(p->form)(sw_forward(p->module, b.x), b.y);
}

/* ---- The same without a tape ---- */

static sw_status problem_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                  double *value, void *g) {
    const problem *p = user;
    const sw_dtype type = sw_params_type(p->params);
    double at[DIM], sums[DIM];
    for (int i = 0; i < DIM; i++)
        at[i] = vec_get(type, x, i);
    const double weight = problem_sums(p, at, ids, count, draw, value, sums);
    *value /= weight;
    for (int i = 0; g && i < DIM; i++)
        vec_set(type, g, i, weight > 0 ? sums[i] / weight : 0);
    return SW_OK;
}

static double problem_weight(void *user, const int64_t *ids, int64_t count, uint64_t draw) {
    problem *p = user;
    double weight = 0;
    for (int64_t k = 0; k < count; k++) {
        weight += problem_keeps(p, ids[k], draw) ? weight_of(p->y[ids[k]]) : 0;
        p->seen[p->count++ % ROWS] = ids[k];
    }
    p->draw = draw;
    return weight;
}

/* ---- Made and freed ---- */

static sw_status problem_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw,
                                sw_dtype type, void *x, void *y) {
    const problem *p = (const problem *)source;
    (void)draw;
    for (int64_t i = 0; i < count; i++) {
        for (int j = 0; x && j < FEATURES; j++)
            vec_set(type, x, i * FEATURES + j, p->a[ids[i]][j]);
        if (y)
            ((int32_t *)y)[i] = p->y[ids[i]];
    }
    return SW_OK;
}

static problem *problem_new(sw_dtype type, loss_form form) {
    problem *p = calloc(1, sizeof *p);
    uint64_t random = 9;
    assert_non_null(p);
    p->form = form;
    p->source = (sw_source){.size = sizeof(sw_source),
                            .x_rank = 1,
                            .x_shape = {FEATURES},
                            .n = ROWS,
                            .y_type = SW_I32,
                            .classes = CLASSES,
                            .gather = problem_gather};
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < FEATURES; j++)
            p->a[i][j] = (double)(float)test_uniform(&random, -1, 1);
        p->y[i] = i >= 6 && i < 10 ? IGNORED : (int32_t)(test_random(&random) % (CLASSES + 1)) - 1;
    }
    p->model = sw_model_new(type, 1);
    p->module = sw_nn_linear(p->model, FEATURES, CLASSES);
    p->params = sw_model_build(p->model, p->module);
    if (!p->params)
        fail_msg("%s", sw_error());
    assert_int_equal(sw_params_dim(p->params), DIM);
    assert_int_equal(sw_params_at(p->params, 0)->count, CLASSES * FEATURES); /* W, then b */
    for (int i = 0; i < DIM; i++)
        vec_set(type, sw_params_x(p->params), i, (double)(float)test_uniform(&random, -1, 1));
    p->f = (sw_objective){.size = sizeof p->f, .n = ROWS, .params = p->params, .user = p};
    if (form == NO_TAPE || form == MASKED) {
        p->f.gradient = problem_gradient;
        p->f.weight = problem_weight;
    } else {
        p->f.loss = problem_loss;
    }
    return p;
}

static void problem_free(problem *p) {
    sw_model_free(p->model);
    free(p);
}

/* ---- The expected mean ---- */

typedef struct mean {
    double loss, weight, g[DIM];
} mean;

static mean mean_by_hand(const problem *p, uint64_t draw) {
    const sw_dtype type = sw_params_type(p->params);
    double x[DIM];
    int64_t ids[ROWS];
    for (int i = 0; i < DIM; i++)
        x[i] = vec_get(type, sw_params_x(p->params), i);
    for (int i = 0; i < ROWS; i++)
        ids[i] = i;
    mean m;
    m.weight = problem_sums(p, x, ids, ROWS, draw, &m.loss, m.g);
    if (p->form == SUM_OF_ROWS) {
        m.weight = SW_SUMMED;
        return m;
    }
    m.loss /= m.weight;
    for (int i = 0; i < DIM; i++)
        m.g[i] /= m.weight;
    return m;
}

/* |x| and |a| are below 1, so that |d| <= 1 + 4 + 1 = 6, l_i <= 3·36·w and |∂l_i| <= 12·w. A term has 15 roundings (4
 * products and sums, the square, weights), and 23 of them are added: 40 roundings relative to a mean of absolute terms
 * of at most 108, whatever the order; the division and the scaling of parts by weight add 10. A sum is 23 · 4 times as
 * large. */
static double tolerance(const problem *p) {
    return 50 * 108 * (p->form == SUM_OF_ROWS ? ROWS * 4 : 1) *
           (sw_params_type(p->params) == SW_F32 ? 0x1p-24 : 0x1p-53);
}

static void expect_number(const problem *p, const char *what, int64_t part, double found, double expected) {
    if (!(fabs(found - expected) <= tolerance(p)))
        fail_msg("%s %s, %s %lld: %.17g, not %.17g", form_names[p->form], sw_dtype_name(sw_params_type(p->params)),
                 what, (long long)part, found, expected);
}

static void expect_gradient(const problem *p, const char *what, int64_t part, const void *g, const mean *m) {
    for (int i = 0; i < DIM; i++)
        expect_number(p, what, part, vec_get(sw_params_type(p->params), g, i), m->g[i]);
}

#define FOR_EACH_FORM(p)                   \
    for (int k_ = 0; k_ < 2 * FORMS; k_++) \
        for (problem *p = problem_new(both_types[k_ % 2], (loss_form)(k_ / 2)); p; problem_free(p), p = NULL)

enum { DRAW = 5 };

static void test_chunks_and_shards_have_one_mean(void **state) {
    (void)state;
    FOR_EACH_FORM(p) {
        const mean m = mean_by_hand(p, DRAW);
        sw_tape *tape = sw_tape_new();
        sw_gradient *g = sw_gradient_new(p->params);
        double value;
        assert_ok(sw_objective_gradient(&p->f, tape, NULL, NULL, ROWS, DRAW, &value, g));
        assert_true(sw_gradient_weight(g) == m.weight && sw_tape_loss_weight(tape) == m.weight); /* multiples of 1/4 */
        expect_number(p, "loss of", ROWS, value, m.loss);
        expect_gradient(p, "gradient of", ROWS, sw_gradient_data(g), &m);
        for (int64_t n = 1; n <= ROWS; n++) {
            const sw_shard_options how = {.size = sizeof how, .shards = n};
            assert_ok(sw_objective_gradient_chunked(&p->f, tape, NULL, NULL, ROWS, n, DRAW, &value, g));
            assert_true(sw_gradient_weight(g) == m.weight); /* that of the tape is a sum of 23 quotients */
            assert_true(fabs(sw_tape_loss_weight(tape) - m.weight) <= 2 * ROWS * 0x1p-53 * fabs(m.weight));
            expect_number(p, "loss in chunks of", n, value, m.loss);
            expect_gradient(p, "gradient in chunks of", n, sw_gradient_data(g), &m);
            assert_ok(sw_objective_value_chunked(&p->f, tape, NULL, NULL, ROWS, n, DRAW, &value));
            expect_number(p, "value in chunks of", n, value, m.loss);
            assert_ok(sw_objective_gradient_sharded(&p->f, tape, NULL, NULL, ROWS, &how, DRAW, &value, g));
            assert_true(sw_gradient_weight(g) == m.weight && sw_tape_loss_weight(tape) == m.weight);
            expect_number(p, "loss in shards", n, value, m.loss);
            expect_gradient(p, "gradient in shards", n, sw_gradient_data(g), &m);
            assert_ok(sw_objective_value_sharded(&p->f, tape, NULL, NULL, ROWS, &how, DRAW, &value));
            expect_number(p, "value in shards", n, value, m.loss);
        }
        sw_gradient_free(g);
        sw_tape_free(tape);
    }
}

/* A hand-written loop: the gradients of batches of n rows are added in the block. */
static void test_micro_batches_have_the_same_mean(void **state) {
    (void)state;
    FOR_EACH_FORM(p) {
        const mean m = mean_by_hand(p, DRAW);
        sw_tape *tape = sw_tape_new();
        sw_gradient *g = sw_params_gradient(p->params);
        for (int64_t n = 1; p->f.loss && n <= ROWS; n++) {
            sw_loss_mean pooled = {0};
            for (int64_t first = 0; first < ROWS; first += n) {
                int64_t ids[ROWS], count = 0;
                for (; count < n && first + count < ROWS; count++)
                    ids[count] = first + count;
                sw_tape_reset(tape);
                sw_tensor loss = problem_loss(p, tape, ids, count);
                assert_ok(sw_backward(loss));
                assert_ok(sw_loss_mean_add(&pooled, loss));
            }
            assert_true(sw_gradient_weight(g) == m.weight);
            expect_number(p, "loss of micro-batches of", n, sw_loss_mean_value(&pooled), m.loss);
            expect_gradient(p, "gradient of micro-batches of", n, sw_gradient_data(g), &m);
            sw_gradient_make_fresh(g);
        }
        sw_tape_free(tape);
    }
}

/* sw_model_evaluate takes batches of 1000. The source repeats the rows 100 times, so that the last batch is shorter. */
static sw_status repeated_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw,
                                 sw_dtype type, void *x, void *y) {
    for (int64_t i = 0; i < count; i++) {
        const int64_t id = ids[i] % ROWS;
        SW_TRY(problem_gather(source, &id, 1, draw, type,
                              x ? (char *)x + (size_t)(i * FEATURES) * sw_dtype_size(type) : NULL,
                              y ? (int32_t *)y + i : NULL));
    }
    return SW_OK;
}

static void test_evaluation_has_the_same_mean(void **state) {
    (void)state;
    FOR_EACH_FORM(p) {
        const mean m = mean_by_hand(p, DRAW);
        sw_evaluation e;
        if (!p->f.loss)
            continue;
        assert_ok(sw_model_evaluate(p->model, NULL, &p->source, loss_of(p->form), &e));
        expect_number(p, "evaluation of", ROWS, e.loss, m.loss);
        const sw_objective *f = sw_model_objective(p->model, &p->source, loss_of(p->form));
        sw_tape *tape = sw_tape_new();
        double value;
        assert_ok(sw_objective_value_chunked(f, tape, NULL, NULL, ROWS, 4, DRAW, &value));
        expect_number(p, "objective of the model, of", ROWS, value, m.loss);
        sw_tape_free(tape);
        p->source.gather = repeated_gather;
        p->source.n = 100 * ROWS;
        assert_ok(sw_model_evaluate(p->model, NULL, &p->source, loss_of(p->form), &e));
        const double loss = p->form == SUM_OF_ROWS ? e.loss / 100 : e.loss;
        /* 100 times as many terms: 2300 roundings in place of 23 */
        if (!(fabs(loss - m.loss) <= 60 * tolerance(p)))
            fail_msg("evaluation of the repeated rows: %.17g, not %.17g", loss, m.loss);
    }
}

/* The loss that a step returns is the mean of its samples, in its draw. */
static void expect_step(problem *p, int64_t count, double value, double weight) {
    double x[DIM], g[DIM], loss;
    for (int i = 0; i < DIM; i++)
        x[i] = vec_get(sw_params_type(p->params), sw_params_x(p->params), i);
    assert_int_equal(p->count, count);
    const double expected = problem_sums(p, x, p->seen, count, p->draw, &loss, g);
    assert_true(weight == expected);
    if (weight > 0)
        expect_number(p, "step of", count, value, loss / weight);
    else
        assert_true(isnan(value));
}

/* The losses that the steps of an epoch return, and the gradient of a step over all samples. */
static void test_epochs_of_steps_have_the_same_mean(void **state) {
    (void)state;
    static const char *const specs[] = {"minibatch batch=5", "minibatch batch=7 shards=3", "full", "full shards=4"};
    FOR_EACH_FORM(p) {
        for (int s = 0; s < 4; s++) {
            sw_optim *o = NEW_OPTIM(p->params, .rule = "sgd lr=0", .estimator = specs[s], .seed = 3);
            sw_loss_mean pooled = {0};
            double value = 0;
            for (int64_t i = 0, done = 0, steps = sw_optim_steps_per_epoch(o, &p->f); i < steps; i++) {
                p->count = 0;
                assert_ok(sw_optim_minimize(o, &p->f, &value));
                assert_ok(sw_loss_mean_add_part(&pooled, value, sw_optim_loss_weight(o)));
                const int64_t samples = llround(sw_optim_epoch(o) * ROWS) - done;
                done += samples;
                if (p->f.weight)
                    expect_step(p, samples, value, sw_optim_loss_weight(o));
            }
            const mean m = mean_by_hand(p, p->draw);
            if (p->form != MASKED || s >= 2) /* otherwise each step has another mask */
                expect_number(p, "epoch of", s, sw_loss_mean_value(&pooled), m.loss);
            if (s >= 2)
                expect_gradient(p, "step of", s, sw_gradient_data(sw_params_gradient(p->params)), &m);
            sw_optim_free(o);
        }
    }
}

/* The tables of SAG are weighted by the weights of the objective, so that SAG converges to the minimum of the weighted
 * mean. The curvature is between mu = weight_decay and 2·4·(4 + 1)/1 for a row with a large weight; 1e-13 is the
 * rounding error of sums of 23 terms. */
static void test_tables_go_to_the_weighted_minimum(void **state) {
    (void)state;
    static const char *const specs[] = {"sag batch=1", "saga batch=2", "svrg batch=4 period=2ep shards=2",
                                        "full shards=3"};
    for (int s = 0; s < 4; s++) {
        problem *p = problem_new(SW_F64, NO_TAPE);
        sw_optim *o = NEW_OPTIM(p->params, .rule = "sgd lr=0.02 weight_decay=0.1", .estimator = specs[s], .seed = 3);
        for (int i = 0; i < 30000; i++)
            assert_ok(sw_optim_minimize(o, &p->f, NULL));
        const mean m = mean_by_hand(p, 0);
        for (int i = 0; i < DIM; i++) {
            const double slope = m.g[i] + 0.1 * ((const double *)sw_params_x(p->params))[i];
            if (!(fabs(slope) <= 1e-13))
                fail_msg("%s: element %d of the gradient at the end is %g", specs[s], i, slope);
        }
        sw_optim_free(o);
        problem_free(p);
    }
}

/* Without the weight, the mean depends on how the samples are divided. Invalid weights are refused. */
static double wrong_weight(void *user, const int64_t *ids, int64_t count, uint64_t draw) {
    (void)ids, (void)count, (void)draw;
    return *(double *)user;
}

static sw_status zero_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                               double *value, void *g) {
    (void)user, (void)x, (void)ids, (void)count, (void)draw;
    *value = 1;
    if (g)
        memset(g, 0, DIM * sizeof(double));
    return SW_OK;
}

static void test_weights_matter_and_are_checked(void **state) {
    (void)state;
    problem *p = problem_new(SW_F64, NO_TAPE);
    const mean m = mean_by_hand(p, DRAW);
    sw_tape *tape = sw_tape_new();
    sw_gradient *g = sw_gradient_new(p->params);
    const sw_shard_options how = {.size = sizeof how, .shards = 5};
    double value;
    sw_objective f = p->f;
    f.weight = NULL;
    assert_ok(sw_objective_gradient(&f, tape, NULL, NULL, ROWS, DRAW, &value, g));
    assert_true(sw_gradient_weight(g) == ROWS);
    expect_number(p, "loss of", ROWS, value, m.loss);
    assert_ok(sw_objective_gradient_sharded(&f, tape, NULL, NULL, ROWS, &how, DRAW, &value, g));
    assert_true(!(fabs(value - m.loss) <= 0.01)); /* NaN: a shard has no rows that count */
    f.size = offsetof(sw_objective, weight);      /* of a program that was compiled without the member */
    f.weight = problem_weight;
    assert_ok(sw_objective_gradient(&f, tape, NULL, NULL, ROWS, DRAW, &value, g));
    assert_true(sw_gradient_weight(g) == ROWS);
    static const double wrong[] = {-2, -0.5, (double)NAN, (double)INFINITY};
    for (int i = 0; i < 4; i++) {
        double weight = wrong[i];
        const sw_objective bad = {.size = sizeof bad,
                                  .n = ROWS,
                                  .params = p->params,
                                  .user = &weight,
                                  .gradient = zero_gradient,
                                  .weight = wrong_weight};
        assert_int_equal(sw_objective_gradient(&bad, tape, NULL, NULL, ROWS, DRAW, &value, g), SW_ERR_ARGUMENT);
        assert_non_null(strstr(sw_error(), "objective: the weight of the loss is "));
        assert_true(sw_gradient_is_fresh(g));
        sw_clear_error();
        assert_int_equal(sw_objective_value(&bad, NULL, NULL, NULL, ROWS, DRAW, &value), SW_ERR_ARGUMENT);
        sw_clear_error();
        weight = 0; /* no row counts: there is no mean */
        assert_ok(sw_objective_value(&bad, NULL, NULL, NULL, ROWS, DRAW, &value));
        assert_true(isnan(value));
        weight = SW_SUMMED;
        assert_ok(sw_objective_gradient_sharded(&bad, NULL, NULL, NULL, ROWS, &how, DRAW, &value, g));
        assert_true(value == 5 && sw_gradient_weight(g) == SW_SUMMED); /* a sum over five shards */
    }
    sw_gradient_free(g);
    sw_tape_free(tape);
    problem_free(p);
}

/* The vjp of the operation is its derivative. */
static void test_class_loss_has_the_right_derivative(void **state) {
    (void)state;
    problem *p = problem_new(SW_F64, OPERATION);
    int64_t ids[5] = {0, 2, 7, 11, 20};
    const mean m = mean_by_hand(p, DRAW);
    double x[DIM], g[DIM], loss, value;
    memcpy(x, sw_params_x(p->params), sizeof x);
    const double weight = problem_sums(p, x, ids, 5, DRAW, &loss, g);
    sw_tape *tape = sw_tape_new();
    sw_gradient *block = sw_params_gradient(p->params);
    assert_ok(sw_objective_gradient(&p->f, tape, NULL, ids, 5, DRAW, &value, block));
    expect_number(p, "loss of", 5, value, loss / weight);
    for (int i = 0; i < DIM; i++)
        expect_number(p, "gradient of", 5, ((const double *)sw_gradient_data(block))[i], g[i] / weight);
    assert_true(m.weight > weight && weight > 0);
    sw_tape_free(tape);
    problem_free(p);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_clear, test_no_error_left)
    const struct CMUnitTest tests[] = {
        TEST(test_class_loss_has_the_right_derivative), TEST(test_chunks_and_shards_have_one_mean),
        TEST(test_micro_batches_have_the_same_mean),    TEST(test_evaluation_has_the_same_mean),
        TEST(test_epochs_of_steps_have_the_same_mean),  TEST(test_tables_go_to_the_weighted_minimum),
        TEST(test_weights_matter_and_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
