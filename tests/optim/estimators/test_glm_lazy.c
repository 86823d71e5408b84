/* Loops over sparse rows that update weights only when a row contains them: averages and bounds, alone and together,
 * against the same rows in dense form, for which every weight is updated, and against single steps. */
#include "small_glm.h"

enum { ROWS = 60, COLUMNS = 40, NUMBERS = 3, STEPS = 420 };

/* Three numbers a row; some columns are in one row alone, the last in none. */
typedef struct sparse_problem {
    double x[ROWS * COLUMNS], number[ROWS * NUMBERS], y[ROWS];
    int32_t column[ROWS * NUMBERS], label[ROWS], three[ROWS];
    int64_t start[ROWS + 1];
} sparse_problem;

static sparse_problem *sparse_problem_new(void) {
    sparse_problem *p = calloc(1, sizeof *p);
    uint64_t seed = 8;
    assert_non_null(p);
    for (int i = 0; i < ROWS; i++) {
        const int32_t column[NUMBERS] = {i % 4, 4 + i % 7, 11 + i % (i % 2 ? 9 : 28)};
        for (int k = 0; k < NUMBERS; k++) {
            const double v = test_uniform(&seed, -1, 1) + test_uniform(&seed, -1, 1);
            p->column[i * NUMBERS + k] = column[k];
            p->number[i * NUMBERS + k] = p->x[i * COLUMNS + column[k]] = v;
            p->y[i] += (column[k] % 3 - 1) * v;
        }
        p->start[i + 1] = (i + 1) * NUMBERS;
        p->label[i] = p->y[i] + test_uniform(&seed, -1, 1) > 0;
        p->three[i] = p->label[i] + (p->y[i] > 0.5);
    }
    return p;
}

/* Weights begin at numbers other than 0, so that those without a row move, too. */
static sw_glm *sparse_glm_of(sparse_problem *p, sw_head head, sw_dtype type, bool sparse) {
    const sw_array x = sw_array_view(p->x, SW_F64, SW_SHAPE(ROWS, COLUMNS)),
                   y = head == SW_HEAD_LOGISTIC      ? sw_array_view(p->label, SW_I32, SW_SHAPE(ROWS))
                       : head == SW_HEAD_MULTINOMIAL ? sw_array_view(p->three, SW_I32, SW_SHAPE(ROWS))
                                                     : sw_array_view(p->y, SW_F64, SW_SHAPE(ROWS));
    const sw_csr csr = {ROWS, COLUMNS, p->start, p->column, p->number, SW_F64};
    const sw_glm_options how = {.size = sizeof how, .head = head};
    sw_glm *m = sparse ? sw_glm_new_sparse(type, &csr, &y, &how) : sw_glm_new(type, &x, &y, &how);
    if (!m)
        fail_msg("%s", sw_error());
    for (int64_t j = 0; j < sw_params_at(sw_glm_params(m), 0)->count; j++)
        vec_set(type, sw_params_x(sw_glm_params(m)), j, (double)(j % 5 - 2) * 0.0625);
    return m;
}

static const char *const estimators[] = {"sag", "saga", "svrg lipschitz=4 period=90", "sag init=seen",
                                         "saga init=zero"};
static const char *const averages[] = {"none",
                                       "polyak",
                                       "polyak start=37",
                                       "ema decay=0.95",
                                       "ema decay=0.9 debias",
                                       "ema decay=0.4",
                                       "ema decay=0",
                                       "swa start=50 every=7",
                                       "lawa_ema decay=0.8 start=20 every=5"};
static const char *const penalties[] = {"",
                                        "weight_decay=0.1",
                                        "weight_decay=4",
                                        "l1=0.02",
                                        "l1=0.01 weight_decay=0.1",
                                        "nonnegative",
                                        "l1=0.01 nonnegative",
                                        "low=-0.1 high=0.2",
                                        "l1=0.01 low=-0.1 high=0.2 weight_decay=0.2",
                                        "low=0.05 high=0.3 weight_decay=0.5",
                                        "high=-0.05 l1=0.02",
                                        "low=0.1 high=0.1"};
enum {
    ESTIMATORS = sizeof estimators / sizeof *estimators,
    AVERAGES = sizeof averages / sizeof *averages,
    PENALTIES = sizeof penalties / sizeof *penalties
};

/* A case by its number. */
typedef struct lazy_case {
    sw_dtype type;
    sw_head head;
    int64_t outputs;
    char estimator[80], rule[160], name[400];
    const char *average, *penalty;
} lazy_case;

/* Tests that would take long run one case in SOME, in which values of any two lists still meet. */
enum { CASES = 2 * 2 * ESTIMATORS * AVERAGES * PENALTIES, SOME = 7 };

static lazy_case case_of(int i) {
    lazy_case c = {.type = both_types[i % 2]};
    const int batch = i / 2 % 2 ? 16 : 1;
    const bool many = (i / 4 % AVERAGES + i / 4 / AVERAGES) % 2 == 1;
    c.head = many ? SW_HEAD_MULTINOMIAL : SW_HEAD_LOGISTIC;
    c.outputs = many ? 3 : 1;
    c.average = averages[i / 4 % AVERAGES];
    c.penalty = penalties[i / 4 / AVERAGES % PENALTIES];
    snprintf(c.estimator, sizeof c.estimator, "%s batch=%d", estimators[i / 4 / AVERAGES / PENALTIES], batch);
    snprintf(c.rule, sizeof c.rule, "role=bias: sgd lr=0.2; sgd lr=0.2 %s", c.penalty);
    snprintf(c.name, sizeof c.name, "%s, %s, %s, %s", c.estimator, c.penalty, c.average, sw_dtype_name(c.type));
    return c;
}

static sw_optim *case_optim(const lazy_case *c, sw_glm *m) {
    return NEW_OPTIM(sw_glm_params(m), .estimator = c->estimator, .rule = c->rule, .average = c->average, .seed = 4);
}

/* Both sides do the same arithmetic in another order. A step adds some 10 roundings of numbers below 2: of x, its
 * gradient and the columns' sums of steps. The problem is convex and lr below 1/L, so that errors do not grow, and
 * their signs are random: hence 6 standard deviations. An average has the errors of x, some of which cancel, and few
 * more. */
static double tolerance_of(sw_dtype type, int64_t steps) {
    return 6 * sqrt(10 * (double)steps) * 2 * (type == SW_F32 ? 0x1p-24 : 0x1p-53);
}

static void expect_near(const lazy_case *c, const char *what, const void *a, const void *b, int64_t steps, bool exact) {
    for (int64_t j = 0; j < c->outputs * (COLUMNS + 1); j++) {
        const double x = vec_get(c->type, a, j), y = vec_get(c->type, b, j);
        if (!(fabs(x - y) <= tolerance_of(c->type, steps)))
            fail_msg("%s: %s: element %d is %.17g, not %.17g", c->name, what, (int)j, y, x);
        if (exact && c->type == SW_F64 && j < c->outputs * COLUMNS &&
            ((x == 0) != (y == 0) || (x == 0.2) != (y == 0.2) || (x == -0.1) != (y == -0.1)))
            fail_msg("%s: %s: element %d is %.17g, not %.17g: one of them is at 0 or at a bound", c->name, what, (int)j,
                     y, x);
    }
}

static void expect_both_near(const lazy_case *c, const char *what, sw_glm *a, sw_optim *first, sw_glm *b,
                             sw_optim *second, int64_t steps) {
    assert_int_equal(sw_optim_steps_taken(first), sw_optim_steps_taken(second));
    expect_near(c, what, sw_params_x(sw_glm_params(a)), sw_params_x(sw_glm_params(b)), steps, true);
    expect_near(c, "average", sw_optim_point(first), sw_optim_point(second), steps, false);
}

/* ---- Sparse rows, and the same rows in full ---- */

static void test_lazy_loops_equal_dense_rows(void **state) {
    (void)state;
    sparse_problem *p = sparse_problem_new();
    int zeros = 0, bounds = 0;
    for (int i = 0; i < CASES; i++) {
        const lazy_case c = case_of(i);
        sw_glm *a = sparse_glm_of(p, c.head, c.type, false), *b = sparse_glm_of(p, c.head, c.type, true);
        sw_optim *dense = case_optim(&c, a), *lazy = case_optim(&c, b);
        static const int64_t parts[] = {1, 35, 150, STEPS - 186};
        for (int64_t k = 0, steps = 0; k < 4; k++) {
            steps += parts[k];
            assert_ok(sw_optim_minimize_steps(dense, sw_glm_objective(a), parts[k], NULL));
            assert_ok(sw_optim_minimize_steps(lazy, sw_glm_objective(b), parts[k], NULL));
            expect_both_near(&c, "dense", a, dense, b, lazy, steps);
        }
        for (int j = 0; j < COLUMNS; j++) {
            const double x = vec_get(c.type, sw_params_x(sw_glm_params(b)), j);
            zeros += x == 0 && strstr(c.penalty, "l1");
            bounds += x == (c.type == SW_F32 ? (double)0.2f : 0.2) && strstr(c.penalty, "high=0.2");
        }
        sw_optim_free(dense);
        sw_optim_free(lazy);
        sw_glm_free(a);
        sw_glm_free(b);
    }
    assert_true(zeros > 1000 && bounds > 1000);
    free(p);
}

/* A penalty scales v, and with it the bounds of v: x is at its bound all the same, whatever the scale is at the end
 * of a loop. The estimator's test, at the start of the step that follows, takes a gradient that points outward for 0
 * only there: runs over sparse rows converge in the same step as those over the rows in full. */
static void test_lazy_loops_hold_bounds_exactly(void **state) {
    (void)state;
    sparse_problem *p = sparse_problem_new();
    for (int i = 0; i < 40; i++) {
        char rule[120];
        sw_train_result r[2];
        snprintf(rule, sizeof rule, "role=bias: sgd lr=0.2; sgd lr=0.2 weight_decay=%g low=-0.0013 high=0.0017",
                 0.5 + 0.05 * i);
        for (int k = 0; k < 2; k++) {
            sw_glm *m = sparse_glm_of(p, SW_HEAD_LOGISTIC, SW_F64, k);
            sw_optim *o = NEW_OPTIM(sw_glm_params(m), .estimator = "sag batch=1 tol=1e-9", .seed = 4, .rule = rule);
            assert_ok(sw_train(sw_glm_objective(m), o,
                               &(sw_train_options){.size = sizeof(sw_train_options), .epochs = 3000}, &r[k]));
            sw_optim_free(o);
            sw_glm_free(m);
        }
        if (r[1].reason != SW_TRAIN_TOLERANCE || r[1].steps != r[0].steps)
            fail_msg("%s: %s, and in full after %d epochs", rule, sw_train_result_text(&r[1], (char[200]){0}, 200),
                     (int)r[0].epochs);
    }
    free(p);
}

/* ---- A loop, and single steps ---- */

static void test_lazy_loops_equal_single_steps(void **state) {
    (void)state;
    sparse_problem *p = sparse_problem_new();
    for (int i = 0; i < CASES; i += SOME) {
        const lazy_case c = case_of(i);
        sw_glm *a = sparse_glm_of(p, c.head, c.type, true), *b = sparse_glm_of(p, c.head, c.type, true);
        sw_optim *one = case_optim(&c, a), *many = case_optim(&c, b);
        for (int k = 0; k < 200; k++)
            assert_ok(sw_optim_minimize(one, sw_glm_objective(a), NULL));
        assert_ok(sw_optim_minimize_steps(many, sw_glm_objective(b), 83, NULL));
        assert_ok(sw_optim_minimize_steps(many, sw_glm_objective(b), 117, NULL));
        expect_both_near(&c, "single steps", a, one, b, many, 200);
        for (int k = 0; k < 10; k++) { /* and after the loop */
            assert_ok(sw_optim_minimize(one, sw_glm_objective(a), NULL));
            assert_ok(sw_optim_minimize(many, sw_glm_objective(b), NULL));
        }
        expect_both_near(&c, "steps after the loop", a, one, b, many, 210);
        sw_optim_free(one);
        sw_optim_free(many);
        sw_glm_free(a);
        sw_glm_free(b);
    }
    free(p);
}

static void expect_equal(const lazy_case *c, const char *what, const void *single, const void *loop) {
    for (int64_t j = 0; j < c->outputs * (COLUMNS + 1); j++)
        if (vec_get(c->type, single, j) != vec_get(c->type, loop, j))
            fail_msg("%s: %s[%d] is %.9g in single steps, %.9g in a loop", c->name, what, (int)j,
                     vec_get(c->type, single, j), vec_get(c->type, loop, j));
}

/* A loop over dense rows has the numbers of single steps, averages and all. */
static void test_dense_loops_have_the_bits_of_single_steps(void **state) {
    (void)state;
    sparse_problem *p = sparse_problem_new();
    for (int i = 0; i < CASES; i += SOME) {
        lazy_case c = case_of(i);
        sw_glm *a = sparse_glm_of(p, c.head, c.type, false), *b = sparse_glm_of(p, c.head, c.type, false);
        sw_optim *one = case_optim(&c, a), *many = case_optim(&c, b);
        for (int k = 0; k < 150; k++)
            assert_ok(sw_optim_minimize(one, sw_glm_objective(a), NULL));
        assert_ok(sw_optim_minimize_steps(many, sw_glm_objective(b), 150, NULL));
        expect_equal(&c, "x", sw_params_x(sw_glm_params(a)), sw_params_x(sw_glm_params(b)));
        expect_equal(&c, "the point", sw_optim_point(one), sw_optim_point(many));
        sw_optim_free(one);
        sw_optim_free(many);
        sw_glm_free(a);
        sw_glm_free(b);
    }
    free(p);
}

/* Over sparse rows a loop rounds elsewhere than single steps do, and so its bits show that it was one. */
static void test_average_is_updated_in_the_loop(void **state) {
    (void)state;
    sparse_problem *p = sparse_problem_new();
    static const char *const with[] = {"polyak", "ema", "swa start=5 every=2", "lawa_ema start=2 every=3",
                                       "lawa_queue start=2 every=3"};
    for (int i = 0; i < 5; i++) {
        const bool loops = i < 4;
        sw_glm *m[2];
        sw_optim *o[2];
        for (int k = 0; k < 2; k++) {
            m[k] = sparse_glm_of(p, SW_HEAD_LOGISTIC, SW_F64, true);
            o[k] = NEW_OPTIM(sw_glm_params(m[k]), .estimator = "saga init=seen", .rule = "sgd lr=0.1 weight_decay=0.01",
                             .average = with[i]);
        }
        assert_ok(sw_optim_minimize_steps(o[0], sw_glm_objective(m[0]), 100, NULL));
        for (int k = 0; k < 100; k++)
            assert_ok(sw_optim_minimize(o[1], sw_glm_objective(m[1]), NULL));
        const bool equal = memcmp(sw_params_x(sw_glm_params(m[0])), sw_params_x(sw_glm_params(m[1])),
                                  (COLUMNS + 1) * sizeof(double)) == 0;
        assert_int_equal(equal, !loops);
        for (int k = 0; k < 2; k++) {
            sw_optim_free(o[k]);
            sw_glm_free(m[k]);
        }
    }
    free(p);
}

/* ---- Saved in the middle ---- */

static void test_resumed_lazy_loop_has_the_same_bits(void **state) {
    (void)state;
    sparse_problem *p = sparse_problem_new();
    for (int i = 0; i < CASES; i += SOME) {
        const lazy_case c = case_of(i);
        const size_t bytes = (size_t)(c.outputs * (COLUMNS + 1)) * sw_dtype_size(c.type);
        sw_glm *a = sparse_glm_of(p, c.head, c.type, true), *b = sparse_glm_of(p, c.head, c.type, true);
        sw_optim *whole = case_optim(&c, a), *before = case_optim(&c, b);
        sw_train_options how = {.size = sizeof how, .epochs = 2};
        sw_archive *file = sw_archive_new();
        sw_set_threads(2);
        assert_ok(sw_train(sw_glm_objective(b), before, &how, NULL));
        sw_set_threads(1);
        assert_ok(sw_optim_pack(before, file));
        sw_optim *after = case_optim(&c, b);
        assert_ok(sw_optim_bind(after, sw_glm_objective(b)));
        assert_ok(sw_optim_unpack(after, file));
        how.epochs = 5;
        assert_ok(sw_train(sw_glm_objective(b), after, &how, NULL));
        assert_ok(sw_train(sw_glm_objective(a), whole, &how, NULL));
        if (memcmp(sw_params_x(sw_glm_params(a)), sw_params_x(sw_glm_params(b)), bytes) != 0 ||
            memcmp(sw_optim_point(whole), sw_optim_point(after), bytes) != 0)
            fail_msg("%s: other bits after it was resumed", c.name);
        sw_archive_free(file);
        sw_optim_free(whole);
        sw_optim_free(before);
        sw_optim_free(after);
        sw_glm_free(a);
        sw_glm_free(b);
    }
    free(p);
}

/* ---- Long loops ---- */

/* More steps than are recorded, so that all columns are brought up to date on the way; and averages that forget so
 * quickly that this is so in every few steps. */
static void test_long_lazy_loops_are_accurate(void **state) {
    (void)state;
    enum { LONG = 40000 };
    static const char *const with[] = {"polyak", "ema decay=0.001", "ema decay=0.5", "none",
                                       "swa start=100 every=1000"};
    sparse_problem *p = sparse_problem_new();
    for (int i = 0; i < 40; i++) {
        static const char *const of[] = {"", "weight_decay=0.001", "l1=0.001", "low=-0.1 high=0.2 weight_decay=0.001"};
        lazy_case c = {.type = both_types[i % 2],
                       .estimator = "saga batch=1",
                       .average = with[i / 2 % 5],
                       .penalty = of[i / 10],
                       .outputs = 1};
        snprintf(c.rule, sizeof c.rule, "role=bias: sgd lr=0.1; sgd lr=0.1 %s", c.penalty);
        snprintf(c.name, sizeof c.name, "%s, %s, %s", c.penalty, c.average, sw_dtype_name(c.type));
        sw_glm *a = sparse_glm_of(p, SW_HEAD_SQUARED, c.type, false),
               *b = sparse_glm_of(p, SW_HEAD_SQUARED, c.type, true);
        sw_optim *dense = case_optim(&c, a), *lazy = case_optim(&c, b);
        assert_ok(sw_optim_minimize_steps(dense, sw_glm_objective(a), LONG, NULL));
        assert_ok(sw_optim_minimize_steps(lazy, sw_glm_objective(b), LONG, NULL));
        expect_near(&c, "x", sw_params_x(sw_glm_params(a)), sw_params_x(sw_glm_params(b)), LONG, false);
        expect_near(&c, "average", sw_optim_point(dense), sw_optim_point(lazy), LONG, false);
        sw_optim_free(dense);
        sw_optim_free(lazy);
        sw_glm_free(a);
        sw_glm_free(b);
    }
    free(p);
}

/* ---- Frozen biases, and numbers at the end of the type ---- */

static void test_frozen_bias_does_not_move_in_lazy_loops(void **state) {
    (void)state;
    sparse_problem *p = sparse_problem_new();
    for (int i = 0; i < 4 * AVERAGES; i++) {
        lazy_case c = case_of(i);
        sw_glm *a = sparse_glm_of(p, c.head, c.type, true), *b = sparse_glm_of(p, c.head, c.type, true);
        sw_glm *const both[] = {a, b};
        sw_optim *o[2];
        for (int k = 0; k < 2; k++) {
            vec_set(c.type, sw_params_x(sw_glm_params(both[k])), c.outputs * COLUMNS, 0.5);
            sw_param_freeze(sw_params_at(sw_glm_params(both[k]), 1), true);
            o[k] = case_optim(&c, both[k]);
        }
        for (int k = 0; k < 150; k++)
            assert_ok(sw_optim_minimize(o[0], sw_glm_objective(a), NULL));
        assert_ok(sw_optim_minimize_steps(o[1], sw_glm_objective(b), 150, NULL));
        expect_both_near(&c, "frozen bias", a, o[0], b, o[1], 150);
        assert_true(vec_get(c.type, sw_params_x(sw_glm_params(b)), c.outputs * COLUMNS) == 0.5);
        for (int k = 0; k < 2; k++) {
            sw_optim_free(o[k]);
            sw_glm_free(both[k]);
        }
    }
    free(p);
}

/* Steps that lead x away until the pipeline refuses one: what is left is finite, and so is the average. */
static void test_overflow_in_a_lazy_loop_is_refused(void **state) {
    (void)state;
    sparse_problem *p = sparse_problem_new();
    for (int i = 0; i < 4 * AVERAGES; i++) {
        lazy_case c = case_of(i);
        snprintf(c.rule, sizeof c.rule, "sgd lr=1e4");
        sw_glm *m = sparse_glm_of(p, SW_HEAD_SQUARED, c.type, true);
        sw_optim *o = case_optim(&c, m);
        sw_status status = SW_OK;
        for (int k = 0; k < 40 && status == SW_OK; k++)
            status = sw_optim_minimize_steps(o, sw_glm_objective(m), 50, NULL);
        assert_int_not_equal(status, SW_OK);
        sw_clear_error();
        for (int j = 0; j <= COLUMNS; j++) {
            assert_true(isfinite(vec_get(c.type, sw_params_x(sw_glm_params(m)), j)));
            assert_true(isfinite(vec_get(c.type, sw_optim_point(o), j)));
        }
        sw_optim_free(o);
        sw_glm_free(m);
    }
    free(p);
}

/* ---- A million features ---- */

enum { WIDE = 1000000, WIDE_ROWS = 300, WIDE_NONZEROS = 5, WIDE_USED = WIDE_ROWS * WIDE_NONZEROS };

/* Logistic regression on rows whose nonzeros all lie in other columns: in the first WIDE_USED of them, or spread over a
 * million. Column k of the one is column k·(WIDE/WIDE_USED) of the other. */
static sw_glm *wide_glm(sw_dtype type, bool spread) {
    static int64_t start[WIDE_ROWS + 1];
    static int32_t column[2][WIDE_USED], label[WIDE_ROWS];
    static double number[WIDE_USED];
    uint64_t seed = 7;
    for (int k = 0; k < WIDE_USED; k++) {
        column[spread][k] = spread ? k * (WIDE / WIDE_USED) : k;
        number[k] = test_uniform(&seed, -1, 1);
    }
    for (int i = 0; i < WIDE_ROWS; i++) {
        start[i + 1] = start[i] + WIDE_NONZEROS;
        label[i] = number[start[i]] + number[start[i] + 1] > 0;
    }
    const sw_csr x = {.rows = WIDE_ROWS,
                      .columns = spread ? WIDE : WIDE_USED,
                      .start = start,
                      .index = column[spread],
                      .value = number,
                      .type = SW_F64};
    const sw_array y = sw_array_view(label, SW_I32, SW_SHAPE(WIDE_ROWS));
    sw_glm *m =
        sw_glm_new_sparse(type, &x, &y, &(sw_glm_options){.size = sizeof(sw_glm_options), .head = SW_HEAD_LOGISTIC});
    assert_non_null(m);
    return m;
}

/* The weights of both are equal to rounding, and those of columns that no row has stay 0. */
static void test_million_features_are_fitted(void **state) {
    (void)state;
    static const char *const specs[] = {"sag", "saga", "svrg lipschitz=2"};
    for (int i = 0; i < 6; i++) {
        const sw_dtype type = both_types[i / 3];
        sw_glm *m[2];
        sw_optim *o[2];
        for (int k = 0; k < 2; k++) {
            m[k] = wide_glm(type, k);
            o[k] = NEW_OPTIM(sw_glm_params(m[k]), .estimator = specs[i % 3], .rule = "sgd lr=0.5 weight_decay=1e-3",
                             .average = "polyak", .seed = 3);
            assert_ok(sw_optim_minimize_steps(o[k], sw_glm_objective(m[k]), 10 * WIDE_ROWS, NULL));
        }
        const void *few = sw_optim_point(o[0]), *many = sw_optim_point(o[1]);
        double all = 0, used = 0;
        for (int64_t j = 0; j < WIDE; j++)
            all += fabs(vec_get(type, many, j));
        for (int64_t j = 0; j < WIDE_USED; j++) {
            const double x = vec_get(type, few, j), y = vec_get(type, many, j * (WIDE / WIDE_USED));
            used += fabs(y);
            if (!(fabs(x - y) <= tolerance_of(type, 10 * WIDE_ROWS)))
                fail_msg("%s in %s: weight %d is %g among a million, %g without the others", specs[i % 3],
                         sw_dtype_name(type), (int)j, y, x);
        }
        assert_true(used > 0 && fabs(all - used) <= 1e-12 * all);
        for (int k = 0; k < 2; k++) {
            sw_optim_free(o[k]);
            sw_glm_free(m[k]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lazy_loops_equal_dense_rows),
                                       cmocka_unit_test(test_lazy_loops_hold_bounds_exactly),
                                       cmocka_unit_test(test_lazy_loops_equal_single_steps),
                                       cmocka_unit_test(test_dense_loops_have_the_bits_of_single_steps),
                                       cmocka_unit_test(test_average_is_updated_in_the_loop),
                                       cmocka_unit_test(test_resumed_lazy_loop_has_the_same_bits),
                                       cmocka_unit_test(test_long_lazy_loops_are_accurate),
                                       cmocka_unit_test(test_frozen_bias_does_not_move_in_lazy_loops),
                                       cmocka_unit_test(test_overflow_in_a_lazy_loop_is_refused),
                                       cmocka_unit_test(test_million_features_are_fitted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
