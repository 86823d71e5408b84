/* Variance reduction: SVRG with dropout in the network, and SAG with a table of gradients or, for a
 * generalized linear model, of the numbers s_i. R. Johnson, T. Zhang, NIPS 2013; M. Schmidt,
 * N. Le Roux, F. Bach, Minimizing finite sums with the stochastic average gradient, 2013. */
#include <swale/kernel.h>

#if SW_KERNEL_FIRST
typedef struct vectors {
    const void *x, *y, *z;
    void *out;
    double a;
} vectors;
#endif

#if SW_KERNEL_PASS

/* out = x - y + z */
static void SW_K(correct)(void *args, int64_t begin, int64_t end, double *sums) {
    const vectors *s = args;
    const real *x = s->x, *y = s->y, *z = s->z;
    real *out = s->out;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        out[i] = x[i] - y[i] + z[i];
}

/* out = a x */
static void SW_K(scale)(void *args, int64_t begin, int64_t end, double *sums) {
    const vectors *s = args;
    const real *x = s->x;
    real *out = s->out;
    const real a = (real)s->a;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        out[i] = a * x[i];
}

#else

#include "prototypes.h"

static const sw_kernels correct_kernels = SW_KERNEL_TABLE(correct), scale_kernels = SW_KERNEL_TABLE(scale);

/* out = x - y + z */
static void correct(sw_dtype type, int64_t n, const void *x, const void *y, const void *z, void *out) {
    vectors v = {.x = x, .y = y, .z = z, .out = out};
    sw_kernel_run(&correct_kernels, type, &v, n);
}

static void scale(sw_dtype type, int64_t n, double a, const void *x, void *out) {
    vectors v = {.x = x, .out = out, .a = a};
    sw_kernel_run(&scale_kernels, type, &v, n);
}

/* ---- SVRG: g = ∇f_B(x) - ∇f_B(w) + ∇f(w), w the snapshot ---- */

enum { SCRIPT, PERIOD }; /* options; script_sample wants the script first */
enum { CURSOR, SINCE };  /* scalars: the step that took the snapshot, 0: none */
enum { SNAPSHOT, FULL }; /* slots */
/* clang-format off */
static const sw_option svrg_options[] = {
    SCRIPT_OPTION,
    {.name = "period", .kind = SW_OPTION_INTEGER, .value = 3, .low = 1, .high = 1e9,
     .help = "steps from snapshot to snapshot"},
    {0}};
/* clang-format on */
static const char *const svrg_scalars[] = {"cursor", "since", NULL};
static const sw_slot svrg_slots[] = {{.name = "snapshot"}, {.name = "full"}, {0}};

static sw_status svrg_estimate(sw_estimate *e, const void *x, void *g) {
    void *w = e->slot[SNAPSHOT], *full = e->slot[FULL], *there = sw_estimate_scratch(e, 0, 0);
    if (!there)
        return SW_ERR_MEMORY;
    if (e->scalar[SINCE] == 0 || (double)e->step - e->scalar[SINCE] >= e->option[PERIOD]) {
        memcpy(w, x, (size_t)e->dim * sw_dtype_size(e->type));
        SW_TRY(sw_estimate_gradient(e, w, NULL, e->n, NULL, full));
        e->scalar[SINCE] = (double)e->step; /* a skip takes it back: then both are built again */
    }
    SW_TRY(sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g));
    SW_TRY(sw_estimate_gradient(e, w, e->ids, e->count, NULL, there));
    correct(e->type, e->dim, g, there, full, g);
    return SW_OK;
}

static const sw_estimator proto_svrg = {.size = sizeof(sw_estimator),
                                        .name = "proto_svrg",
                                        .summary = "snapshot and correction",
                                        .source = "Johnson, Zhang 2013",
                                        .options = svrg_options,
                                        .slots = svrg_slots,
                                        .scalars = svrg_scalars,
                                        .flags = SW_ESTIMATOR_OBJECTIVE,
                                        .start = script_start,
                                        .sample = script_sample,
                                        .estimate = svrg_estimate};

/* ---- SAG: d ← d + g_i - y_i, g = d/m with m the samples seen so far; y_i ← g_i when the step is
 * taken. A generalized linear model keeps s_i for g_i = s_i a_iᵀ ---- */

enum { SEEN = 1 };                     /* scalars, after the cursor: m */
enum { TABLE, SUM, VISITED_BEFORE };   /* slots */
enum { NEW_ENTRIES, NEW_SUM, CHANGE }; /* scratch, from estimate to commit */
static const char *const sag_scalars[] = {"cursor", "m", NULL};

static int64_t table_size(const sw_slot_sizes *s) {
    return s->n * (s->features ? s->outputs : s->dim);
}

static int64_t one_each(const sw_slot_sizes *s) {
    return s->n;
}

static const sw_slot sag_slots[] = {
    {.name = "y", .count = table_size}, {.name = "d"}, {.name = "visited", .count = one_each}, {0}};

/* Elements of a sample's entry, and where it stands. */
static int64_t entry(const sw_estimate *e) {
    return sw_objective_is_glm(e->objective) ? e->objective->outputs : e->dim;
}

static void *row(const sw_estimate *e, void *table, int64_t i, int64_t width) {
    return (char *)table + (size_t)(i * width) * sw_dtype_size(e->type);
}

static sw_status sag_start(sw_estimate *e) {
    if (e->option[0] != VISITED)
        return sw_fail(SW_ERR_ARGUMENT, "proto_sag: takes one sample at a time");
    return script_start(e);
}

/* Of one sample i: the table's new entry and d + g_i - y_i, both in scratch. */
static sw_status sag_estimate(sw_estimate *e, const void *x, void *g) {
    const int64_t i = e->ids[0], width = entry(e);
    const size_t size = sw_dtype_size(e->type);
    const bool glm = sw_objective_is_glm(e->objective);
    void *y = row(e, e->slot[TABLE], i, width), *d = sw_estimate_scratch(e, NEW_SUM, 0);
    void *entries = sw_estimate_scratch(e, NEW_ENTRIES, width);
    void *change = sw_estimate_scratch(e, CHANGE, width), *zero = g;
    if (!d || !entries || !change)
        return SW_ERR_MEMORY;
    SW_TRY(glm ? sw_estimate_glm_derivatives(e, x, e->ids, 1, &e->value, entries)
               : sw_estimate_gradient(e, x, e->ids, 1, &e->value, entries));
    memset(zero, 0, (size_t)e->dim * size);
    if (glm) { /* d += (s_i - y_i) [a_i, 1] */
        correct(e->type, width, entries, y, zero, change);
        memcpy(d, e->slot[SUM], (size_t)e->dim * size);
        SW_TRY(sw_estimate_glm_combine(e, e->ids, 1, change, 1, d));
    } else {
        correct(e->type, width, entries, y, e->slot[SUM], d);
    }
    double m = e->scalar[SEEN] + (vec_get(e->type, e->slot[VISITED_BEFORE], i) == 0 ? 1 : 0);
    scale(e->type, e->dim, 1 / m, d, g);
    return SW_OK;
}

static sw_status sag_commit(sw_estimate *e) {
    const int64_t i = e->ids[0], width = entry(e);
    const size_t size = sw_dtype_size(e->type);
    memcpy(row(e, e->slot[TABLE], i, width), sw_estimate_scratch(e, NEW_ENTRIES, width), (size_t)width * size);
    memcpy(e->slot[SUM], sw_estimate_scratch(e, NEW_SUM, 0), (size_t)e->dim * size);
    e->scalar[SEEN] += vec_get(e->type, e->slot[VISITED_BEFORE], i) == 0 ? 1 : 0;
    vec_set(e->type, e->slot[VISITED_BEFORE], i, 1);
    return SW_OK;
}

static const sw_estimator proto_sag = {.size = sizeof(sw_estimator),
                                       .name = "proto_sag",
                                       .summary = "the average of the gradients seen last",
                                       .source = "Schmidt, Le Roux, Bach 2013",
                                       .options = script_options,
                                       .slots = sag_slots,
                                       .scalars = sag_scalars,
                                       .flags = SW_ESTIMATOR_OBJECTIVE | SW_ESTIMATOR_ONCE,
                                       .start = sag_start,
                                       .sample = script_sample,
                                       .estimate = sag_estimate,
                                       .commit = sag_commit};

/* ---- A wrapper that only looks ---- */

static double seen_estimate[NET_DIM];

static sw_status spy_estimate(sw_estimate *e, const void *x, void *g) {
    SW_TRY(sw_estimate_inner(e, x, g));
    for (int64_t i = 0; i < e->dim && i < NET_DIM; i++)
        seen_estimate[i] = vec_get(e->type, g, i);
    return SW_OK;
}

static const sw_option spy_options[] = {{.name = "of", .kind = SW_OPTION_SPEC, .help = "whom"}, {0}};
static const sw_estimator proto_spy = {.size = sizeof(sw_estimator),
                                       .name = "proto_spy",
                                       .summary = "copies the estimate",
                                       .options = spy_options,
                                       .flags = SW_ESTIMATOR_OBJECTIVE | SW_ESTIMATOR_WRAPPER,
                                       .estimate = spy_estimate};

/* ---- SVRG's tests ---- */

/* The masks that the network saw, evaluation by evaluation. */
static struct {
    int8_t kept[3][SAMPLES * HIDDEN];
    int64_t rows[3];
    int passes;
} masks;

static sw_tensor mask_forward(sw_module *m, sw_tensor x) {
    sw_array a = sw_value(x);
    (void)m;
    if (masks.passes < 3 && a.shape[1] == HIDDEN) {
        masks.rows[masks.passes] = a.shape[0];
        for (int64_t i = 0; i < a.shape[0] * HIDDEN; i++) /* a tanh is never exactly 0 here */
            masks.kept[masks.passes][i] = vec_get(a.type, a.data, i) != 0;
    }
    masks.passes++;
    return x;
}

static const sw_module_type mask_type = {.size = sizeof(sw_module_type), .name = "mask", .forward = mask_forward};

static problem *dropout_problem(sw_dtype type) {
    return problem_new(type, net_sizes, &net_x0[0], 0.4, &mask_type);
}

static problem *large_dropout_problem(sw_dtype type) {
    return problem_new(type, large_sizes, NULL, 0.4, NULL);
}

static void forget_masks(problem *p, sw_optim *optim, int step) {
    (void)p, (void)optim, (void)step;
    masks.passes = 0;
}

static void look_at_masks(problem *p, sw_optim *optim, int step) {
    const sw_dtype type = sw_params_type(p->params);
    const bool refreshed = step % 3 == 0;
    const int here = refreshed, there = refreshed + 1;
    (void)optim;
    assert_int_equal(masks.passes, there + 1);
    assert_int_equal(masks.rows[here], batch_count[step]);
    assert_int_equal(masks.rows[there], batch_count[step]);
    for (int64_t i = 0; i < batch_count[step] * HIDDEN; i++) {
        assert_int_equal(masks.kept[here][i], svrg_mask[step][i]);
        assert_int_equal(masks.kept[there][i], svrg_mask[step][i]);
        int64_t same = batch_ids[step][i / HIDDEN] * HIDDEN + i % HIDDEN;
        if (refreshed) /* the full pass has the same mask for the same sample */
            assert_int_equal(masks.kept[0][same], svrg_mask[step][i]);
    }
    double d = 0, largest = 0;
    for (int i = 0; i < NET_DIM; i++) {
        d = fmax(d, fabs(seen_estimate[i] - svrg_g[step][i]));
        largest = fmax(largest, fabs(svrg_g[step][i]));
    }
    assert_near("svrg's estimate", step, d / largest, svrg_g_tolerance[type]);
}

/* In a step that takes a snapshot the old one is dead: `since` vouches for it. */
static bool snapshot_lives(sw_optim *optim) {
    double since = sw_optim_scalar(optim, -1, "since");
    return since != 0 && (double)(sw_optim_steps_taken(optim) + 1) - since < 3;
}

static const char *const svrg_tables[] = {"snapshot", "full", NULL};
static const claim svrg = {.name = "svrg with dropout",
                           .estimator = "proto_spy of=proto_svrg period=3",
                           .rule = "sgd lr=0.2",
                           .tables = svrg_tables,
                           .scalars = svrg_scalars,
                           .live = snapshot_lives,
                           .steps = 7,
                           .expected = &svrg_x[0][0],
                           .tolerance = svrg_x_tolerance,
                           .make = dropout_problem,
                           .before = forget_masks,
                           .after = look_at_masks};

static void test_svrg_agrees_with_numpy(void **state) {
    (void)state;
    prove_numpy(&svrg, SW_F64);
    prove_numpy(&svrg, SW_F32);
}

static void test_svrg_survives_skipped_steps(void **state) {
    (void)state;
    assert_int_equal(prove_skips(&svrg, SW_F64), 2 * 7 + 3);
    prove_skips(&svrg, SW_F32);
}

static void test_svrg_has_equal_bits_on_threads(void **state) {
    (void)state;
    claim large = svrg;
    large.make = large_dropout_problem;
    large.steps = 4;
    prove_threads(&large, SW_F64);
    prove_threads(&large, SW_F32);
}

/* ---- SAG's tests ---- */

static void look_at_sum(problem *p, sw_optim *optim, int step) {
    const sw_dtype type = sw_params_type(p->params);
    sw_array d = sw_optim_slot(optim, "d"), y = sw_optim_slot(optim, "y");
    const int64_t dim = sw_params_dim(p->params);
    const bool glm = sw_objective_is_glm(&p->objective);
    assert_int_equal(sw_array_count(&d), dim);
    assert_int_equal(sw_array_count(&y), SAMPLES * (glm ? CLASSES : dim));
    if (step == VISITS - 1)
        assert_near("sag's sum", step, distance(type, d.data, sag_d, dim), sag_d_tolerance[type]);
}

static const char *const sag_tables[] = {"y", "d", "visited", NULL};
#define SAG(NAME, MAKE)                                                                               \
    {                                                                                                 \
        .name = NAME, .estimator = "proto_sag script=visits", .rule = "sgd lr=0.5 weight_decay=0.01", \
        .tables = sag_tables, .scalars = sag_scalars, .steps = VISITS, .expected = &sag_x[0][0],      \
        .tolerance = sag_x_tolerance, .make = MAKE, .after = look_at_sum                              \
    }
static const claim sag_of_samples = SAG("sag, n x dim", line_problem),
                   sag_of_scalars = SAG("sag, n x outputs", glm_problem);

static void test_sag_agrees_with_numpy(void **state) {
    (void)state;
    for (sw_dtype type = SW_F32; type <= SW_F64; type++) {
        prove_numpy(&sag_of_samples, type);
        prove_numpy(&sag_of_scalars, type);
    }
}

/* Both tables, one path: apart by rounding alone. */
static void test_sag_tables_agree(void **state) {
    (void)state;
    int64_t calls;
    double *a = run_path(&sag_of_samples, SW_F64, 0, false, &calls);
    double *b = run_path(&sag_of_scalars, SW_F64, 0, false, &calls);
    enum { DIM = CLASSES * (INPUTS + 1) };
    for (int k = 0; k < VISITS; k++)
        assert_near("sag's tables", k, distance(SW_F64, a + k * DIM, b + k * DIM, DIM), 1e-14);
    free(a);
    free(b);
}

static void test_sag_survives_skipped_steps(void **state) {
    (void)state;
    assert_int_equal(prove_skips(&sag_of_samples, SW_F64), VISITS);
    assert_int_equal(prove_skips(&sag_of_scalars, SW_F64), VISITS);
    prove_skips(&sag_of_samples, SW_F32);
    prove_skips(&sag_of_scalars, SW_F32);
}

/* Inside a wrapper a table moves as well. */
static void test_sag_works_in_a_wrapper(void **state) {
    (void)state;
    claim watched = sag_of_samples;
    watched.estimator = "proto_spy of=proto_sag script=visits";
    prove_equal(&sag_of_samples, &watched, SW_F64);
    prove_skips(&watched, SW_F64);
}

static void test_sag_refuses_batches(void **state) {
    (void)state;
    problem *p = line_problem(SW_F64);
    sw_optim *optim = sw_optim_new_with_options(
        p->params, &(sw_optim_options){.size = sizeof(sw_optim_options), .estimator = "proto_sag"});
    assert_non_null(optim);
    assert_int_equal(sw_optim_minimize(optim, &p->objective, NULL), SW_ERR_ARGUMENT);
    assert_non_null(strstr(sw_error(), "one sample"));
    sw_clear_error();
    sw_optim_free(optim);
    problem_free(p);
}

/* A wrapper that evaluates twice would put the gradients of its second point into SAG's table. */
static const sw_estimator proto_twice = {.size = sizeof(sw_estimator),
                                         .name = "proto_twice",
                                         .options = spy_options,
                                         .flags = SW_ESTIMATOR_OBJECTIVE | SW_ESTIMATOR_WRAPPER | SW_ESTIMATOR_AGAIN,
                                         .estimate = spy_estimate};

static sw_status never(sw_search *s, double *alpha) {
    (void)s, (void)alpha;
    return SW_SKIPPED;
}

static const sw_line_search proto_search = {.size = sizeof(sw_line_search), .name = "proto_search", .search = never};

static void test_combinations_are_refused(void **state) {
    (void)state;
    problem *p = line_problem(SW_F64);
    sw_optim_options how = {.size = sizeof how, .estimator = "proto_twice of=proto_spy of=proto_sag"};
    assert_null(sw_optim_new_with_options(p->params, &how));
    assert_non_null(strstr(sw_error(), "more than once per step"));
    sw_clear_error();
    /* The trials of a search are of the batch; SVRG's estimate is not its gradient. */
    how = (sw_optim_options){.size = sizeof how, .estimator = "proto_svrg", .schedule = "proto_search"};
    assert_null(sw_optim_new_with_options(p->params, &how));
    assert_non_null(strstr(sw_error(), "the gradient of estimator proto_svrg"));
    sw_clear_error();
    problem_free(p);
}

static void test_sag_has_equal_bits_on_threads(void **state) {
    (void)state;
    claim large = sag_of_samples;
    large.make = large_problem;
    large.steps = 6;
    large.after = NULL;
    prove_threads(&large, SW_F64);
    prove_threads(&large, SW_F32);
}

static int set_up(void **state) {
    (void)state;
    return sw_estimator_register(&proto_svrg) || sw_estimator_register(&proto_sag) ||
           sw_estimator_register(&proto_spy) || sw_estimator_register(&proto_twice) ||
           sw_line_search_register(&proto_search);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_svrg_agrees_with_numpy),
        cmocka_unit_test(test_svrg_survives_skipped_steps),
        cmocka_unit_test(test_svrg_has_equal_bits_on_threads),
        cmocka_unit_test(test_sag_agrees_with_numpy),
        cmocka_unit_test(test_sag_tables_agree),
        cmocka_unit_test(test_sag_survives_skipped_steps),
        cmocka_unit_test(test_sag_refuses_batches),
        cmocka_unit_test(test_sag_has_equal_bits_on_threads),
        cmocka_unit_test(test_sag_works_in_a_wrapper),
        cmocka_unit_test(test_combinations_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}

#endif
