/* What was wrong once in core: a small test for each. */
#define _GNU_SOURCE
#include <swale/kernel.h>

#if SW_KERNEL_FIRST
typedef struct half_args {
    const void *x;
    void *y;
} half_args;
#endif

#if SW_KERNEL_PASS

static void SW_K(half)(void *args, int64_t begin, int64_t end, double *sums) {
    const half_args *s = args;
    const real *restrict x = s->x;
    real *restrict y = s->y;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        y[i] = x[i] * (real)0.5;
}

#else /* ---- once ---- */

#include "support.h"

#include <dlfcn.h>
#include <float.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct fixture {
    sw_tape *tape;
} fixture;

static int setup(void **state) {
    static fixture f;
    sw_clear_error();
    f.tape = sw_tape_new();
    *state = &f;
    return f.tape ? 0 : -1;
}

static int teardown(void **state) {
    sw_tape_free(((fixture *)*state)->tape);
    return test_clear(state);
}

/* A set with one f64 vector "NAME" of three elements. */
static sw_params *vector_set(const char *name, double a, double b, double c) {
    sw_params *p = sw_params_new(SW_F64, 1);
    assert_non_null(sw_params_add(p, name, SW_SHAPE(3), NULL));
    assert_int_equal(sw_params_build(p), SW_OK);
    double *x = sw_params_x(p);
    x[0] = a, x[1] = b, x[2] = c;
    return p;
}

static sw_tensor use(sw_tape *tape, sw_params *p) {
    return sw_param_use(tape, sw_params_at(p, 0));
}

static const double *gradient_of(sw_params *p) {
    return sw_gradient_data(sw_params_gradient(p));
}

static void assert_near(const double *v, const double *expected, int n) {
    for (int i = 0; i < n; i++)
        if (!(fabs(v[i] - expected[i]) <= 1e-14 * fmax(1, fabs(expected[i]))))
            fail_msg("element %d: %.17g, %.17g expected", i, v[i], expected[i]);
}

static sw_tensor vector(sw_tape *tape, double *values, int64_t n) {
    return sw_variable(tape, sw_array_view(values, SW_F64, 1, &n));
}

#define MOVED(op)                                            \
    "backward: parameter w has moved since " op " read it; " \
    "reset the tape and record anew"

/* ---- Values that moved between forward and backward ---- */

static void test_backward_after_a_step(void **state) {
    sw_tape *tape = ((fixture *)*state)->tape;
    sw_params *p = vector_set("w", 1, 2, 3);
    sw_tensor w = use(tape, p), loss = sw_sum(sw_mul(w, w));
    ((double *)sw_params_x(p))[0] = 5;
    sw_params_mark_changed(p);
    assert_int_equal(sw_backward(loss), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, MOVED("mul"));
    assert_true(sw_gradient_is_fresh(sw_params_gradient(p)));
    /* The same tape, recorded anew: the leaf is a new one. */
    assert_int_equal(sw_backward(sw_sum(sw_mul(use(tape, p), use(tape, p)))), SW_OK);
    assert_near(gradient_of(p), (double[]){10, 4, 6}, 3);
    expect_no_error();
    /* A vector of one's own does not move with the set's. */
    sw_gradient_make_fresh(sw_params_gradient(p));
    double own[3] = {1, 1, 1};
    sw_tape_reset(tape);
    assert_int_equal(sw_tape_bind(tape, p, own, NULL), SW_OK);
    loss = sw_sum(sw_mul(use(tape, p), use(tape, p)));
    sw_params_mark_changed(p);
    assert_int_equal(sw_backward(loss), SW_OK);
    assert_near(gradient_of(p), (double[]){2, 2, 2}, 3);
    sw_params_free(p);
}

/* Discriminator's loss, its step, and the generator's loss through the new discriminator, on one
 * tape that holds the generated samples throughout. */
static void test_two_models_on_one_tape(void **state) {
    sw_tape *tape = ((fixture *)*state)->tape;
    sw_params *g = vector_set("g", 0.5, -1, 2), *d = vector_set("w", 0.25, 0.5, -0.75);
    double *w = sw_params_x(d), expected[3];
    sw_tensor fake = sw_tanh(use(tape, g));
    assert_int_equal(sw_backward(sw_sum(sw_mul(sw_detach(fake), use(tape, d)))), SW_OK);
    for (int i = 0; i < 3; i++)
        expected[i] = tanh(((double *)sw_params_x(g))[i]);
    assert_near(gradient_of(d), expected, 3);
    assert_true(sw_gradient_is_fresh(sw_params_gradient(g)));
    for (int i = 0; i < 3; i++)
        w[i] -= 0.5 * gradient_of(d)[i];
    sw_gradient_make_fresh(sw_params_gradient(d));
    sw_params_mark_changed(d);
    sw_tensor loss = sw_sum(sw_mul(fake, use(tape, d)));
    double value = 0;
    for (int i = 0; i < 3; i++) {
        value += w[i] * expected[i];
        expected[i] = w[i] * (1 - expected[i] * expected[i]);
    }
    assert_true(fabs(sw_item(loss) - value) <= 1e-14);
    assert_int_equal(sw_backward(loss), SW_OK);
    assert_near(gradient_of(g), expected, 3);
    expect_no_error();
    sw_params_free(g);
    sw_params_free(d);
}

/* ---- Objectives ---- */

typedef struct other_tape {
    sw_params *params;
    sw_tape *elsewhere;
} other_tape;

static sw_tensor loss_elsewhere(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    const other_tape *o = user;
    (void)tape, (void)ids, (void)count;
    return sw_sum(use(o->elsewhere, o->params));
}

static void test_loss_on_another_tape(void **state) {
    sw_tape *tape = ((fixture *)*state)->tape;
    static const char *const text = "objective: the loss is not on the tape that it was asked for on";
    other_tape o = {vector_set("w", 1, 2, 3), sw_tape_new()};
    const sw_objective f = {.size = sizeof f, .n = 4, .params = o.params, .user = &o, .loss = loss_elsewhere};
    sw_gradient *g = sw_params_gradient(o.params);
    double value;
    assert_int_equal(sw_objective_value(&f, tape, NULL, NULL, 4, 1, &value), SW_ERR_USER);
    expect_error(SW_ERR_USER, text);
    assert_int_equal(sw_objective_gradient(&f, tape, NULL, NULL, 4, 1, &value, g), SW_ERR_USER);
    expect_error(SW_ERR_USER, text);
    assert_int_equal(sw_objective_gradient_chunked(&f, tape, NULL, NULL, 4, 2, 1, &value, g), SW_ERR_USER);
    expect_error(SW_ERR_USER, text);
    sw_tape_free(o.elsewhere);
    sw_params_free(o.params);
}

static const double rows_data[4][2] = {{1, 2}, {-1, 0.5}, {3, 1}, {0.25, -2}};

static sw_tensor glm_rows(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    (void)user;
    sw_tensor a = sw_empty(tape, SW_F64, SW_SHAPE(count, 2));
    double *to = sw_value(a).data;
    for (int64_t i = 0; i < 2 * count; i++)
        to[i] = rows_data[ids[i / 2]][i % 2];
    return a;
}

static sw_tensor glm_head(void *user, sw_tape *tape, sw_tensor z, const int64_t *ids, int64_t count) {
    (void)user, (void)tape, (void)ids, (void)count;
    return sw_mean(sw_tanh(z));
}

static void test_incomplete_glm(void **state) {
    sw_tape *tape = ((fixture *)*state)->tape;
    sw_params *p = vector_set("w", 0.5, -0.25, 1), *q = vector_set("w", 1, 2, 3);
    const sw_objective good = {.size = sizeof good,
                               .n = 4,
                               .params = p,
                               .features = 2,
                               .outputs = 1,
                               .bias = true,
                               .rows = glm_rows,
                               .head = glm_head};
    sw_gradient *g = sw_params_gradient(p);
    sw_objective bad[4] = {good, good, good, good};
    static const char *const needed = "objective: it is not a generalized linear model: rows and "
                                      "head or glm, features and outputs are needed";
    bad[0].rows = NULL;
    bad[1].features = 0;
    bad[2].outputs = 0;
    bad[3].bias = false;
    double value, s[4];
    for (int i = 0; i < 4; i++) {
        sw_status status = i == 3 ? SW_ERR_SHAPE : SW_ERR_ARGUMENT;
        const char *text = i < 3 ? needed
                                 : "objective: 3 parameters; a generalized linear model of 2 "
                                   "features and 1 outputs has 2";
#define REFUSED(call)                     \
    do {                                  \
        assert_int_equal((call), status); \
        expect_error(status, text);       \
    } while (0)
        REFUSED(sw_objective_value(&bad[i], tape, NULL, NULL, 4, 1, &value));
        REFUSED(sw_objective_gradient(&bad[i], tape, NULL, NULL, 4, 1, &value, g));
        REFUSED(sw_objective_gradient_chunked(&bad[i], tape, NULL, NULL, 4, 2, 1, &value, g));
        REFUSED(sw_objective_glm_derivatives(&bad[i], tape, NULL, NULL, 4, 1, &value, s));
        REFUSED(sw_objective_glm_combine(&bad[i], tape, NULL, 4, s, 0, sw_gradient_data(g)));
    }
    const sw_status status = SW_ERR_ARGUMENT;
    const char *text = "objective: the gradient block belongs to other parameters";
    sw_gradient *foreign = sw_params_gradient(q);
    REFUSED(sw_objective_gradient(&good, tape, NULL, NULL, 4, 1, &value, foreign));
    REFUSED(sw_objective_gradient_chunked(&good, tape, NULL, NULL, 4, 2, 1, &value, foreign));
#undef REFUSED
    /* And the complete one works, its gradient by hand. */
    assert_int_equal(sw_objective_gradient(&good, tape, NULL, NULL, 4, 1, &value, g), SW_OK);
    double expected[3] = {0}, mean = 0;
    for (int i = 0; i < 4; i++) {
        double t = tanh(0.5 * rows_data[i][0] - 0.25 * rows_data[i][1] + 1);
        mean += t / 4;
        expected[0] += (1 - t * t) * rows_data[i][0] / 4;
        expected[1] += (1 - t * t) * rows_data[i][1] / 4;
        expected[2] += (1 - t * t) / 4;
    }
    assert_true(fabs(value - mean) <= 1e-14);
    assert_near(gradient_of(p), expected, 3);
    sw_params_free(p);
    sw_params_free(q);
}

typedef struct square {
    sw_params *params;
    bool fails;
} square;

static sw_tensor square_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    const square *s = user;
    (void)ids, (void)count;
    sw_tensor w = use(tape, s->params);
    return s->fails ? (sw_tensor){0} : sw_sum(sw_mul(w, w));
}

/* What the caller had bound before an objective was evaluated is bound after it, also if it
 * failed. */
static void test_bindings_are_restored(void **state) {
    sw_tape *tape = ((fixture *)*state)->tape;
    square s = {vector_set("w", 1, 2, 3), false};
    sw_objective f = {.size = sizeof f, .n = 4, .params = s.params, .user = &s, .loss = square_loss};
    sw_objective glm = {.size = sizeof glm,
                        .n = 4,
                        .params = s.params,
                        .features = 2,
                        .outputs = 1,
                        .bias = true,
                        .rows = glm_rows,
                        .head = glm_head};
    double bound[3] = {10, 20, 30}, other[3] = {5, 5, 5}, value, scores[4];
    sw_gradient *mine = sw_gradient_new(s.params), *theirs = sw_gradient_new(s.params);
    assert_int_equal(sw_tape_bind(tape, s.params, bound, mine), SW_OK);
    for (int k = 0; k < 12; k++) {
        s.fails = k % 2;
        if (k / 2 == 0)
            sw_objective_value(&f, tape, other, NULL, 4, 1, &value);
        else if (k / 2 == 1)
            sw_objective_gradient(&f, tape, other, NULL, 4, 1, &value, theirs);
        else if (k / 2 == 2)
            sw_objective_gradient_chunked(&f, tape, other, NULL, 4, 2, 1, &value, theirs);
        else if (k / 2 == 3)
            sw_objective_glm_derivatives(&glm, tape, other, NULL, 4, 1, &value, scores);
        else if (k / 2 == 4)
            sw_objective_glm_combine(&glm, tape, NULL, 4, scores, 0, sw_gradient_data(theirs));
        else
            sw_objective_gradient(&glm, tape, other, NULL, 4, 1, &value, theirs);
        if (!s.fails)
            expect_no_error();
        sw_clear_error();
        sw_tensor w = use(tape, s.params);
        assert_ptr_equal(sw_value(w).data, bound);
        sw_gradient_make_fresh(mine);
        assert_int_equal(sw_backward(sw_sum(sw_mul(w, w))), SW_OK);
        assert_near(sw_gradient_data(mine), (double[]){20, 40, 60}, 3);
        sw_tape_reset(tape);
    }
    assert_true(sw_gradient_is_fresh(sw_params_gradient(s.params))); /* nothing went there */
    sw_gradient_free(mine);
    sw_gradient_free(theirs);
    sw_params_free(s.params);
}

/* ---- Stale errors ---- */

static sw_tensor product(void *user, sw_tape *tape, const sw_tensor *inputs) {
    (void)user, (void)tape;
    return sw_sum(sw_mul(inputs[0], inputs[1]));
}

static void test_stale_errors(void **state) {
    sw_tape *tape = ((fixture *)*state)->tape;
    square s = {vector_set("w", 1, 2, 3), false};
    const sw_objective f = {.size = sizeof f, .n = 4, .params = s.params, .user = &s, .loss = square_loss};
    double value = 0, a[3] = {1, 2, 3}, b[3] = {4, 5, 6};
    const sw_array inputs[2] = {sw_array_view(a, SW_F64, SW_SHAPE(3)), sw_array_view(b, SW_F64, SW_SHAPE(3))};
    sw_fail(SW_ERR_IO, "of long ago");
    assert_int_equal(sw_objective_value(&f, tape, NULL, NULL, 4, 1, &value), SW_OK);
    assert_true(value == 14);
    value = 0;
    assert_int_equal(sw_objective_gradient(&f, tape, NULL, NULL, 4, 1, &value, sw_params_gradient(s.params)), SW_OK);
    assert_true(value == 14);
    assert_int_equal(sw_gradcheck(product, NULL, 2, inputs, NULL, NULL), SW_OK);
    expect_error(SW_ERR_IO, "of long ago"); /* and it is still there */
    sw_params_free(s.params);
}

/* ---- What a vjp reads, and says that it reads ---- */

static sw_status like_input(sw_call *call) {
    return sw_call_set_shape_like(call, 0);
}
static sw_status square_forward(sw_call *call) {
    const double *x = call->in[0]->data;
    for (int64_t i = 0; i < call->out->count; i++)
        ((double *)call->out->data)[i] = x[i] * x[i];
    return SW_OK;
}
static sw_status square_vjp(sw_call *call) {
    const double *x = call->in[0]->data, *c = call->cotangent;
    double *to = sw_call_grad(call, 0);
    for (int64_t i = 0; to && i < call->in[0]->count; i++)
        to[i] = 2 * x[i] * c[i];
    return SW_OK;
}
static sw_status exp_forward(sw_call *call) {
    const double *x = call->in[0]->data;
    for (int64_t i = 0; i < call->out->count; i++)
        ((double *)call->out->data)[i] = exp(x[i]);
    return SW_OK;
}
static sw_status exp_vjp(sw_call *call) {
    const double *y = call->out->data, *c = call->cotangent;
    double *to = sw_call_grad(call, 0);
    for (int64_t i = 0; to && i < call->in[0]->count; i++)
        to[i] = y[i] * c[i];
    return SW_OK;
}
#define OP(text, ...) \
    { .size = sizeof(sw_op), .name = text, .shape = like_input, __VA_ARGS__ }
static const sw_op square_op = OP("square", .forward = square_forward, .vjp = square_vjp, .vjp_reads = SW_READS(0)),
                   forgetful_square_op = OP("square", .forward = square_forward, .vjp = square_vjp),
                   exp_op = OP("exp", .forward = exp_forward, .vjp = exp_vjp, .vjp_reads = SW_READS_OUT),
                   forgetful_exp_op = OP("exp", .forward = exp_forward, .vjp = exp_vjp),
                   mistaken_exp_op = OP("exp", .forward = exp_forward, .vjp = exp_vjp, .vjp_reads = SW_READS(0));

static sw_tensor applied(void *user, sw_tape *tape, const sw_tensor *inputs) {
    (void)tape;
    return sw_apply(user, NULL, 0, 1, inputs);
}

static sw_status checked(const sw_op *op) {
    double x[3] = {0.5, -1, 2};
    const sw_array a = sw_array_view(x, SW_F64, SW_SHAPE(3));
    return sw_gradcheck(applied, (void *)(uintptr_t)op, 1, &a, NULL, NULL);
}

static void test_gradcheck_finds_undeclared_reads(void **state) {
    (void)state;
    assert_int_equal(checked(&square_op), SW_OK);
    assert_int_equal(checked(&exp_op), SW_OK);
    expect_no_error();
    static const sw_op *const wrong[] = {&forgetful_square_op, &forgetful_exp_op, &mistaken_exp_op};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(checked(wrong[i]), SW_ERR_GRADIENT);
        assert_non_null(strstr(sw_error(), "analytic nan"));
        sw_clear_error();
    }
}

/* Also where a call has more inputs than most. */
static sw_status product_forward(sw_call *call) {
    double value = 1;
    for (int k = 0; k < call->inputs; k++)
        value *= *(const double *)call->in[k]->data;
    *(double *)call->out->data = value;
    return SW_OK;
}
static sw_status product_vjp(sw_call *call) {
    for (int i = 0; i < call->inputs; i++) {
        double *to = sw_call_grad(call, i);
        if (!to)
            return SW_ERR_MEMORY;
        *to = *(const double *)call->cotangent;
        for (int k = 0; k < call->inputs; k++)
            *to *= k == i ? 1 : *(const double *)call->in[k]->data;
    }
    return SW_OK;
}
static const sw_op product_op =
                       OP("product", .forward = product_forward, .vjp = product_vjp, .vjp_reads = ~SW_READS_OUT),
                   forgetful_product_op =
                       OP("product", .forward = product_forward, .vjp = product_vjp, .vjp_reads = SW_READS(0));

typedef struct many {
    const sw_op *op;
    int count;
} many;

static sw_tensor applied_to_many(void *user, sw_tape *tape, const sw_tensor *inputs) {
    const many *m = user;
    (void)tape;
    return sw_apply(m->op, NULL, 0, m->count, inputs);
}

static void test_gradcheck_of_many_inputs(void **state) {
    (void)state;
    enum { MOST = 40 };
    double x[MOST];
    sw_array a[MOST];
    for (int i = 0; i < MOST; i++) {
        x[i] = 1 + 0.01 * i;
        a[i] = sw_array_view(&x[i], SW_F64, 0, NULL);
    }
    static const int counts[] = {2, 3, 4, 5, 8, 30, 40};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        many good = {&product_op, counts[k]}, bad = {&forgetful_product_op, counts[k]};
        assert_int_equal(sw_gradcheck(applied_to_many, &good, counts[k], a, NULL, NULL), SW_OK);
        expect_no_error();
        if (sw_gradcheck(applied_to_many, &bad, counts[k], a, NULL, NULL) != SW_ERR_GRADIENT)
            fail_msg("%d inputs: a value that the vjp had not said it reads was there", counts[k]);
        sw_clear_error();
    }
}

/* "Up to 4 blocks" of scratch, also while gradcheck hides values from a vjp with three inputs. */
static sw_status sum_forward(sw_call *call) {
    for (int64_t i = 0; i < call->out->count; i++) {
        double sum = 0;
        for (int k = 0; k < call->inputs; k++)
            sum += ((const double *)call->in[k]->data)[i];
        ((double *)call->out->data)[i] = sum;
    }
    return SW_OK;
}
static sw_status scratchy_vjp(sw_call *call) {
    for (int i = 0; i < 4; i++)
        if (!sw_call_scratch(call, 64))
            return SW_ERR_STATE;
    for (int i = 0; i < call->inputs; i++)
        if (sw_call_wants_grad(call, i))
            sw_call_pass_grad(call, i);
    return SW_OK;
}
static const sw_op scratchy_op = OP("scratchy", .forward = sum_forward, .vjp = scratchy_vjp);

static sw_tensor scratchy(void *user, sw_tape *tape, const sw_tensor *inputs) {
    (void)user, (void)tape;
    return sw_apply(&scratchy_op, NULL, 0, 3, inputs);
}

/* Options of a program that was compiled when there were fewer: nothing behind them is read. */
static void test_options_of_an_older_program(void **state) {
    (void)state;
    double x[3] = {0.5, -1, 2};
    const sw_array a[3] = {sw_array_view(x, SW_F64, SW_SHAPE(1)), sw_array_view(x + 1, SW_F64, SW_SHAPE(1)),
                           sw_array_view(x + 2, SW_F64, SW_SHAPE(1))};
    const size_t older = offsetof(sw_gradcheck_options, seed);
    sw_gradcheck_options now = {.size = older, .rtol = 1e-5}, *then = malloc(older);
    assert_non_null(then);
    memcpy(then, &now, older);
    assert_int_equal(sw_gradcheck(scratchy, NULL, 3, a, then, NULL), SW_OK);
    free(then);
    expect_no_error();
    now.size = 0;
    assert_int_equal(sw_gradcheck(scratchy, NULL, 3, a, &now, NULL), SW_ERR_ARGUMENT);
    assert_non_null(strstr(sw_error(), "gradcheck: options.size is 0; sizeof(sw_gradcheck_options)"));
    sw_clear_error();
    sw_params *p = sw_params_new(SW_F64, 1);
    const sw_param_options none = {.size = 0, .role = SW_ROLE_WEIGHT};
    assert_null(sw_params_add(p, "w", SW_SHAPE(2), &none));
    assert_non_null(strstr(sw_error(), "parameter: options.size is 0"));
    sw_clear_error();
    sw_params_free(p);
}

static void test_scratch_while_hiding(void **state) {
    (void)state;
    double x[3] = {0.5, -1, 2};
    const sw_array a[3] = {sw_array_view(x, SW_F64, SW_SHAPE(1)), sw_array_view(x + 1, SW_F64, SW_SHAPE(1)),
                           sw_array_view(x + 2, SW_F64, SW_SHAPE(1))};
    assert_int_equal(sw_gradcheck(scratchy, NULL, 3, a, NULL, NULL), SW_OK);
    expect_no_error();
}

/* ---- Rewinding at top level ---- */

enum { LONG = 600 };

static void fill_tape(sw_tape *tape) { /* what a stale pointer would point to */
    for (int i = 0; i < 8; i++) {
        sw_tensor t = sw_empty(tape, SW_F64, SW_SHAPE(LONG));
        double *to = sw_value(t).data;
        for (int k = 0; k < LONG; k++)
            to[k] = -1e9;
    }
}

static void all_equal(sw_array a, double expected) {
    assert_non_null(a.data);
    for (int64_t i = 0; i < sw_array_count(&a); i++)
        if (!(fabs(test_get(&a, i) - expected) <= 1e-12))
            fail_msg("element %d: %g, %g expected", (int)i, test_get(&a, i), expected);
}

static void test_rewind_after_backward(void **state) {
    sw_tape *tape = ((fixture *)*state)->tape;
    static double x[LONG];
    for (int i = 0; i < LONG; i++)
        x[i] = 3;
    for (int rounds = 0; rounds < 2; rounds++) {
        sw_tensor v = vector(tape, x, LONG), h = sw_retain_grad(sw_scale(v, 2));
        sw_mark mark = sw_tape_mark(tape);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(sw_backward(sw_sum(sw_mul(h, h))), SW_OK);
            all_equal(sw_grad(v), 24);
            all_equal(sw_grad(h), 12);
            assert_int_equal(sw_tape_rewind(tape, mark), SW_OK);
            assert_null(sw_grad(v).data);
            assert_null(sw_grad(h).data);
            fill_tape(tape);
            assert_int_equal(sw_backward(sw_sum(sw_scale(h, 5))), SW_OK);
            all_equal(sw_grad(v), 10);
            all_equal(sw_grad(h), 5);
            assert_int_equal(sw_tape_rewind(tape, mark), SW_OK);
            fill_tape(tape);
        }
        sw_tape_reset(tape);
    }
    expect_no_error();
}

/* The gradient came to lie in memory from before the mark, that of a tensor released after it. */
static void test_rewind_with_released_memory(void **state) {
    sw_tape *tape = ((fixture *)*state)->tape;
    static double x[LONG], y[LONG];
    sw_tensor b = vector(tape, y, LONG), k = sw_tanh(b), a = vector(tape, x, LONG), h = sw_tanh(a);
    sw_mark mark = sw_tape_mark(tape);
    sw_tensor loss = sw_sum(sw_add(h, k));
    sw_release(h);
    assert_int_equal(sw_backward(loss), SW_OK);
    all_equal(sw_grad(a), 1);
    all_equal(sw_grad(b), 1);
    assert_int_equal(sw_tape_rewind(tape, mark), SW_OK);
    assert_null(sw_grad(a).data);
    assert_null(sw_grad(b).data);
    fill_tape(tape);
    assert_int_equal(sw_backward(sw_sum(k)), SW_OK);
    all_equal(sw_grad(b), 1);
}

/* ---- Memory inside a vjp that records ---- */

enum { PROPER, COTANGENT_LATE, SCRATCH_LATE, SAVE_LATE };

static sw_status segment_forward(sw_call *call) {
    const double *x = call->in[0]->data;
    for (int64_t i = 0; i < call->out->count; i++)
        ((double *)call->out->data)[i] = tanh(x[i]);
    return SW_OK;
}

static sw_status segment_vjp(sw_call *call) {
    int mode = *(const int *)call->attributes;
    double *to = mode == COTANGENT_LATE ? NULL : sw_call_grad(call, 0);
    double *aside = mode == SCRATCH_LATE ? NULL : sw_call_scratch(call, 64);
    sw_mark mark = sw_tape_mark(call->tape);
    sw_array x = sw_array_view(call->in[0]->data, SW_F64, 1, call->in[0]->shape),
             c = sw_array_view(call->cotangent, SW_F64, 1, call->in[0]->shape);
    sw_tensor v = sw_variable(call->tape, x);
    if (mode == COTANGENT_LATE)
        to = sw_call_grad(call, 0);
    if (mode == SCRATCH_LATE && !(aside = sw_call_scratch(call, 64)))
        return SW_ERR_STATE;
    if (mode == SAVE_LATE && !sw_call_save(call, 64))
        return SW_ERR_STATE;
    SW_TRY(sw_backward_from(sw_tanh(v), c));
    const double *found = sw_grad(v).data;
    for (int64_t i = 0; to && i < call->in[0]->count; i++)
        to[i] = found[i];
    return sw_tape_rewind(call->tape, mark);
}
static const sw_op segment_op = OP("segment", .forward = segment_forward, .vjp = segment_vjp, .vjp_reads = SW_READS(0));

static void test_memory_after_a_mark(void **state) {
    sw_tape *tape = ((fixture *)*state)->tape;
    double x[3] = {0.5, -1, 2};
    for (int mode = PROPER; mode <= SAVE_LATE; mode++) {
        sw_tensor v = vector(tape, x, 3);
        sw_tensor y = sw_apply(&segment_op, &mode, sizeof mode, 1, &v);
        sw_status status = sw_backward(sw_sum(y));
        if (mode == PROPER) {
            assert_int_equal(status, SW_OK);
            double expected[3];
            for (int i = 0; i < 3; i++)
                expected[i] = 1 - tanh(x[i]) * tanh(x[i]);
            assert_near(sw_grad(v).data, expected, 3);
        } else {
            assert_int_equal(status, SW_ERR_STATE);
            expect_error(SW_ERR_STATE, "segment: memory for a cotangent, scratch or saved values must be asked "
                                       "for before sw_tape_mark: it would go with the rewind");
            assert_null(sw_grad(v).data);
        }
        sw_tape_reset(tape);
    }
    expect_no_error();
}

/* ---- The contract of operations ---- */

static sw_status saving_forward(sw_call *call) {
    const int64_t *bytes = call->attributes;
    void *first = sw_call_save(call, (size_t)bytes[0]), *again;
    if (!first || !(again = sw_call_save(call, (size_t)bytes[1])))
        return SW_ERR_STATE;
    if (again != first)
        return sw_fail(SW_ERR_USER, "saved in two places");
    return square_forward(call);
}
static const sw_op saving_op = OP("saving", .forward = saving_forward, .vjp = square_vjp, .vjp_reads = SW_READS(0));

static void test_saving_more(void **state) {
    sw_tape *tape = ((fixture *)*state)->tape;
    double x[3] = {0.5, -1, 2};
    sw_tensor v = vector(tape, x, 3);
    static const int64_t same[2] = {64, 64}, less[2] = {64, 8}, more[2] = {64, 65};
    assert_false(sw_is_null(sw_apply(&saving_op, same, sizeof same, 1, &v)));
    assert_false(sw_is_null(sw_apply(&saving_op, less, sizeof less, 1, &v)));
    assert_true(sw_is_null(sw_apply(&saving_op, more, sizeof more, 1, &v)));
    expect_error(SW_ERR_STATE, "saving: 65 bytes to save after 64");
}

static sw_status sets_nothing(sw_call *call) {
    (void)call;
    return SW_OK;
}

static void test_incomplete_operations(void **state) {
    sw_tape *tape = ((fixture *)*state)->tape;
    static const sw_op no_shape = {.size = sizeof(sw_op), .name = "odd", .forward = exp_forward},
                       no_forward = {.size = sizeof(sw_op), .name = "odd", .shape = like_input},
                       no_size = {.name = "odd", .shape = like_input, .forward = exp_forward},
                       blank = {.size = sizeof(sw_op), .name = "odd", .shape = sets_nothing, .forward = exp_forward},
                       one_way = OP("one_way", .forward = exp_forward);
    static const sw_op *const incomplete[] = {&no_shape, &no_forward, &no_size};
    double x[3] = {0.5, -1, 2};
    sw_tensor v = vector(tape, x, 3);
    for (size_t i = 0; i < sizeof incomplete / sizeof *incomplete; i++) {
        assert_true(sw_is_null(sw_apply(incomplete[i], NULL, 0, 1, &v)));
        expect_error(SW_ERR_ARGUMENT, "odd: an operation needs its size, a shape rule and a forward function, "
                                      "and its attributes must not be NULL");
    }
    assert_true(sw_is_null(sw_apply(&exp_op, NULL, 8, 1, &v)));
    expect_error(SW_ERR_ARGUMENT, "exp: an operation needs its size, a shape rule and a forward "
                                  "function, and its attributes must not be NULL");
    assert_true(sw_is_null(sw_apply(NULL, NULL, 0, 1, &v)));
    assert_int_equal(sw_error_status(), SW_ERR_ARGUMENT);
    sw_clear_error();
    assert_true(sw_is_null(sw_apply(&blank, NULL, 0, 1, &v)));
    expect_error(SW_ERR_STATE, "odd: its shape rule set no output");
    double y = 1;
    sw_tensor one = vector(tape, &y, 1), z = sw_apply(&one_way, NULL, 0, 1, &one);
    assert_true(sw_item(z) == exp(1)); /* it computes */
    assert_int_equal(sw_backward(z), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "backward: operation one_way has no derivative");
}

/* ---- Gradients that are none ---- */

static sw_status failing_vjp(sw_call *call) {
    return sw_fail(SW_ERR_USER, "%s: not today", call->op->name);
}
static const sw_op failing_op = OP("failing", .forward = exp_forward, .vjp = failing_vjp);

static void test_failed_backward_leaves_nothing(void **state) {
    sw_tape *tape = ((fixture *)*state)->tape;
    sw_params *p = vector_set("w", 1, 2, 3);
    double x[3] = {0.5, -1, 2}, y[3] = {1, 1, 1};
    sw_tensor a = vector(tape, x, 3), b = vector(tape, y, 3);
    sw_tensor failing = sw_apply(&failing_op, NULL, 0, 1, &a);
    sw_tensor h = sw_retain_grad(sw_mul(b, use(tape, p))); /* reached before the failure */
    assert_int_equal(sw_backward(sw_sum(sw_add(failing, h))), SW_ERR_USER);
    expect_error(SW_ERR_USER, "failing: not today");
    assert_null(sw_grad(a).data);
    assert_null(sw_grad(b).data);
    assert_true(sw_gradient_is_fresh(sw_params_gradient(p)));
    /* The next backward is not added to half a one. */
    assert_int_equal(sw_backward(sw_sum(h)), SW_OK);
    assert_near(sw_grad(b).data, (double[]){1, 2, 3}, 3);
    assert_near(gradient_of(p), y, 3);
    expect_no_error();
    sw_params_free(p);
}

static void test_leaves(void **state) {
    sw_tape *tape = ((fixture *)*state)->tape;
    sw_params *p = vector_set("w", 1, 2, 3), *cold = vector_set("c", 1, 1, 1);
    sw_param_freeze(sw_params_at(cold, 0), true);
    sw_tensor w = use(tape, p), c = use(tape, cold);
    sw_release(w); /* everybody's: a promise for one is none for the others */
    assert_true(sw_is_live(w));
    assert_int_equal(sw_backward(sw_sum(sw_mul(sw_mul(w, use(tape, p)), c))), SW_OK);
    assert_near(gradient_of(p), (double[]){2, 4, 6}, 3);
    assert_near(sw_grad(w).data, (double[]){2, 4, 6}, 3);
    assert_null(sw_grad(c).data);
    expect_no_error();

    assert_false(sw_is_live((sw_tensor){0}));
    double x[3] = {0.5, -1, 2};
    sw_tensor v = vector(tape, x, 3), r = sw_scale(v, 2);
    sw_mark mark = sw_tape_mark(tape);
    sw_tensor late = sw_scale(v, 3);
    assert_true(sw_is_live(v) && sw_is_live(r) && sw_is_live(late));
    sw_release(r);
    assert_false(sw_is_live(r));
    assert_int_equal(sw_tape_rewind(tape, mark), SW_OK);
    assert_false(sw_is_live(late));
    assert_true(sw_is_live(v));
    sw_tape_reset(tape);
    assert_false(sw_is_live(v));
    vector(tape, x, 3);
    use(tape, p);
    assert_false(sw_is_live(v) || sw_is_live(w));
    expect_no_error(); /* a question is no mistake */
    sw_params_free(p);
    sw_params_free(cold);
}

static void test_input_copy(void **state) {
    sw_tape *tape = ((fixture *)*state)->tape;
    double x[3] = {0.5, -1, 2}, one = 4;
    int32_t ids[2] = {7, 9};
    sw_tensor a = sw_input_copy(tape, sw_array_view(x, SW_F64, SW_SHAPE(3))),
              s = sw_input_copy(tape, sw_array_view(&one, SW_F64, 0, NULL)),
              i = sw_input_copy(tape, sw_array_view(ids, SW_I32, SW_SHAPE(2))),
              e = sw_input_copy(tape, sw_array_view(x, SW_F64, SW_SHAPE(0, 3)));
    expect_no_error();
    memset(x, 0, sizeof x); /* the array need not live */
    one = 0;
    memset(ids, 0, sizeof ids);
    assert_near(sw_value(a).data, (double[]){0.5, -1, 2}, 3);
    assert_true(sw_item(s) == 4);
    assert_int_equal(((int32_t *)sw_value(i).data)[1], 9);
    assert_int_equal(sw_value(e).shape[1], 3);
    assert_int_equal(sw_backward(sw_sum(a)), SW_ERR_STATE); /* an input: no gradient */
    sw_clear_error();
    assert_true(sw_is_null(sw_input_copy(NULL, sw_array_view(x, SW_F64, SW_SHAPE(3)))));
    expect_error(SW_ERR_ARGUMENT, "input_copy: the tape is NULL");
    assert_true(sw_is_null(sw_input_copy(tape, (sw_array){.type = SW_F64, .rank = 1, .shape = {3}})));
    expect_error(SW_ERR_ARGUMENT, "input_copy: the array has no data");
}

/* ---- Threads ---- */

enum { TILES = 64 };

static void set_threads_inside(void *args, int64_t tile) {
    sw_status *status = args;
    status[tile] = sw_set_threads(2);
    if (status[tile] != SW_OK && strcmp(sw_error(), "set_threads: not from inside sw_parallel"))
        status[tile] = SW_OK; /* the wrong words: fails below */
    sw_clear_error();
}

static void test_set_threads_inside(void **state) {
    (void)state;
    sw_status status[TILES];
    assert_int_equal(sw_set_threads(4), SW_OK);
    alarm(60); /* it hung */
    sw_parallel(set_threads_inside, status, TILES);
    alarm(0);
    for (int i = 0; i < TILES; i++)
        assert_int_equal(status[i], SW_ERR_STATE);
    assert_int_equal(sw_threads(), 4);
    assert_int_equal(sw_set_threads(1), SW_OK);
}

static const sw_kernels half_kernels = SW_KERNEL_TABLE(half);

/* Halves of the least normal number: zero where subnormal numbers are flushed. */
static void halves(sw_dtype type, const sw_array *x, const sw_array *y, bool flush) {
    half_args args = {x->data, y->data};
    memset(y->data, 0xFF, test_bytes(y));
    unsigned mode = flush ? sw_subnormals_flush() : 0;
    sw_kernel_run(&half_kernels, type, &args, sw_array_count(x));
    if (flush)
        sw_subnormals_restore(mode); /* before the comparison, for which they would be zero too */
    double least = type == SW_F32 ? (double)FLT_MIN : DBL_MIN;
    for (int64_t i = 0, n = sw_array_count(x); i < n; i++) {
        double v = test_get(y, i);
        if (!(flush ? v == 0 : v == least / 2))
            fail_msg("%s, element %d: %g", sw_dtype_name(type), (int)i, v);
    }
}

static void test_flush(void **state) {
    (void)state;
#if !defined(__x86_64__) && !defined(__aarch64__)
    print_message("test_flush: this processor is not asked to flush\n");
    skip();
#endif
    enum { N = 100000 };
    for (int t = SW_F32; t <= SW_F64; t++)
        for (int threads = 1; threads <= 4; threads += 3) {
            sw_array x = test_array((sw_dtype)t, SW_SHAPE(N)), y = test_array((sw_dtype)t, SW_SHAPE(N));
            for (int64_t i = 0; i < N; i++)
                test_set(&x, i, t == SW_F32 ? (double)FLT_MIN : DBL_MIN);
            assert_int_equal(sw_set_threads(threads), SW_OK);
            for (int i = 0; i < 20; i++) { /* whichever threads take part */
                halves((sw_dtype)t, &x, &y, false);
                halves((sw_dtype)t, &x, &y, true);
            }
            halves((sw_dtype)t, &x, &y, false);
            test_array_free(&x);
            test_array_free(&y);
        }
    assert_int_equal(sw_set_threads(1), SW_OK);
}

typedef struct torn_source {
    sw_source source;
    int64_t torn;
} torn_source;

static sw_status torn_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                             void *x, void *y) {
    (void)draw;
    (void)type, (void)y;
    for (int64_t i = 0; i < count; i++) {
        if (ids[i] == ((const torn_source *)source)->torn)
            return sw_fail(SW_ERR_FORMAT, "sample %d is torn", (int)ids[i]);
        ((float *)x)[i] = (float)ids[i];
    }
    return SW_OK;
}

/* Whichever thread met the sample, its message is the caller's. */
static void test_message_of_a_worker(void **state) {
    sw_tape *tape = ((fixture *)*state)->tape;
    enum { N = 2000 };
    static int64_t ids[N];
    for (int i = 0; i < N; i++)
        ids[i] = i;
    assert_int_equal(sw_set_threads(4), SW_OK);
    torn_source s = {.source = {.size = sizeof(sw_source), .n = N, .y_rank = -1, .gather = torn_gather}};
    for (s.torn = 0; s.torn < N; s.torn += 37) {
        sw_batch b;
        char text[64];
        snprintf(text, sizeof text, "sample %d is torn", (int)s.torn);
        assert_int_equal(sw_source_batch(&s.source, tape, SW_F32, ids, N, &b), SW_ERR_FORMAT);
        expect_error(SW_ERR_FORMAT, text);
        sw_tape_reset(tape);
    }
    assert_int_equal(sw_set_threads(1), SW_OK);
    s.source.gather = NULL;
    sw_batch b;
    assert_int_equal(sw_source_batch(&s.source, tape, SW_F32, ids, N, &b), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "batch: the source has no gather function");
}

/* ---- The shared library ---- */

/* In a child of its own: a second copy of the library in this process is nobody's business. */
static void test_dlopen(void **state) {
    (void)state;
    static const char path[] = TEST_BUILD "/libswale.so";
    if (access(path, R_OK) != 0) {
        print_message("test_dlopen: %s is not built\n", path);
        skip();
    }
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char here[4096]; /* a name with a slash: no search path */
        snprintf(here, sizeof here, "%s%s", path[0] == '/' ? "" : "./", path);
        void *library = dlopen(here, RTLD_NOW | RTLD_LOCAL);
        const char *(*version)(void) = NULL;
        void *symbol = library ? dlsym(library, "sw_version") : NULL;
        if (symbol)
            memcpy(&version, &symbol, sizeof version);
        else
            fprintf(stderr, "%s\n", dlerror());
        _exit(version && strcmp(version(), sw_version()) == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Zeros, infinities, NaN and the exponent 0 as C has them; a derivative of 0 and 1 for the exponents 0 and 1. */
static void test_corners_of_pow(void **state) {
    const fixture *f = *state;
    static const double exponents[] = {0, 1, -1, 2, -2, 3, -3, 0.5, -0.5, 2.5};
    const double in[] = {0.0, -0.0, 1, -1, INFINITY, -(double)INFINITY, NAN, -2};
    enum { N = sizeof in / sizeof *in };
    for (size_t e = 0; e < sizeof exponents / sizeof *exponents; e++) {
        sw_tape_reset(f->tape);
        sw_tensor x = sw_variable(f->tape, sw_array_view(in, SW_F64, SW_SHAPE(N))), y = sw_pow(x, exponents[e]);
        const double *value = sw_value(y).data, ones[N] = {1, 1, 1, 1, 1, 1, 1, 1};
        for (int i = 0; i < N; i++) {
            const double expected = pow(in[i], exponents[e]);
            /* An ulp or two of exp and log beside 2^±3; all else is exact. */
            bool near = isfinite(expected) && fabs(value[i] - expected) <= 1e-14 * fabs(expected);
            if (isnan(expected) ? !isnan(value[i])
                                : (value[i] != expected && !near) || signbit(value[i]) != signbit(expected))
                fail_msg("%g to the %g: %g, C has %g", in[i], exponents[e], value[i], expected);
        }
        assert_int_equal(sw_backward_from(y, sw_array_view(ones, SW_F64, SW_SHAPE(N))), SW_OK);
        const double *dx = sw_grad(x).data;
        for (int i = 0; i < N && exponents[e] >= 0 && exponents[e] <= 1 && exponents[e] != 0.5; i++)
            assert_true(dx[i] == exponents[e]);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_backward_after_a_step),
        TEST(test_two_models_on_one_tape),
        TEST(test_loss_on_another_tape),
        TEST(test_incomplete_glm),
        TEST(test_bindings_are_restored),
        TEST(test_stale_errors),
        TEST(test_gradcheck_finds_undeclared_reads),
        TEST(test_gradcheck_of_many_inputs),
        TEST(test_options_of_an_older_program),
        TEST(test_scratch_while_hiding),
        TEST(test_rewind_after_backward),
        TEST(test_rewind_with_released_memory),
        TEST(test_memory_after_a_mark),
        TEST(test_saving_more),
        TEST(test_incomplete_operations),
        TEST(test_failed_backward_leaves_nothing),
        TEST(test_leaves),
        TEST(test_input_copy),
        TEST(test_set_threads_inside),
        TEST(test_flush),
        TEST(test_message_of_a_worker),
        TEST(test_dlopen),
        TEST(test_corners_of_pow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
