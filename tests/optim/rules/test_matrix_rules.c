/* The matrix rules shampoo, distributed_shampoo and caspr: 100 steps against NumPy (golden/matrix_rules.py), and what
 * is particular to them: roots that cannot be computed, when roots are computed, large and small blocks, threads,
 * limits. */
#include "../helpers.h"

#include "golden/matrix_rules.h"
#include "optim/rules/preconditioner.h"

enum { MATRIX_PARAMS = 9, MATRIX_GOLDENS = sizeof matrix_goldens / sizeof *matrix_goldens };
static const struct matrix_layout {
    const char *name;
    int rank;
    int64_t shape[4];
    double scale; /* of the gradient */
} layouts[MATRIX_PARAMS] = {
    {"conv", 4, {3, 2, 2, 3}, 1}, {"wide", 2, {4, 7}, 0x1p-5}, {"tall", 2, {6, 2}, 8},
    {"vector", 1, {5}, 1},        {"scalar", 0, {0}, 1},       {"kernel", 3, {2, 1, 3}, 1},
    {"flat", 2, {1, 4}, 1},       {"rank_one", 2, {4, 3}, 1},  {"late", 2, {2, 3}, 1},
};
static const char *const matrix_rules[] = {"shampoo", "distributed_shampoo", "caspr"};
enum { MATRIX_RULES = sizeof matrix_rules / sizeof *matrix_rules };
static double start[MATRIX_DIM], gradient[MATRIX_STEPS][MATRIX_DIM];

static sw_params *matrix_params(sw_dtype type) {
    sw_params *p = sw_params_new(type, 1);
    for (int k = 0; k < MATRIX_PARAMS; k++) {
        sw_param_options o = {.size = sizeof o, .role = layouts[k].rank >= 2 ? SW_ROLE_WEIGHT : SW_ROLE_BIAS};
        if (layouts[k].rank == 4)
            o.channels_first = sw_channels_first(4, layouts[k].shape, 1);
        assert_non_null(sw_params_add(p, layouts[k].name, layouts[k].rank, layouts[k].shape, &o));
    }
    assert_ok(sw_params_build(p));
    assert_int_equal(sw_params_dim(p), MATRIX_DIM);
    return p;
}

/* As matrix_rules.py draws them. */
static int draw(void **state) {
    (void)state;
    uint64_t seed = 71;
    for (int i = 0; i < MATRIX_DIM; i++)
        start[i] = (double)(float)test_uniform(&seed, -1, 1);
    sw_params *p = matrix_params(SW_F64);
    for (int t = 0; t < MATRIX_STEPS; t++)
        for (int k = 0; k < MATRIX_PARAMS; k++) {
            const sw_param *param = sw_params_at(p, k);
            double *g = gradient[t] + param->offset, u[64];
            for (int64_t i = 0; i < param->count; i++)
                u[i] = (double)(float)test_uniform(&seed, -1, 1);
            for (int64_t i = 0; i < param->count; i++) {
                g[i] = u[i] * layouts[k].scale;
                if (strcmp(param->name, "rank_one") == 0)
                    g[i] = (double)(float)(u[i / 3 * 3] * u[i % 3]);
                if (strcmp(param->name, "late") == 0 && t < 30)
                    g[i] = 0;
            }
        }
    sw_params_free(p);
    return 0;
}

/* ---- 100 steps against NumPy ---- */

/* Takes all steps; the largest distance from the golden points, for each parameter relative to its largest element. */
static double golden_distance(sw_dtype type, const struct matrix_golden *golden, double *failures) {
    double worst[MATRIX_PARAMS] = {0}, largest[MATRIX_PARAMS] = {0}, distance = 0;
    sw_params *p = matrix_params(type);
    params_set(p, start);
    sw_optim *o = sw_optim_new(p, golden->rule);
    if (!o)
        fail_msg("%s: %s", golden->rule, sw_error());
    for (int t = 0, at = 0; t < MATRIX_STEPS; t++) {
        if (step_with(o, p, gradient[t]) != SW_OK)
            fail_msg("%s, step %d: %s", golden->rule, t + 1, sw_error());
        if (t + 1 != matrix_checked[at])
            continue;
        const double *point = golden->points + MATRIX_DIM * at++;
        for (int k = 0; k < MATRIX_PARAMS; k++) {
            const sw_param *param = sw_params_at(p, k);
            for (int64_t i = param->offset; i < param->offset + param->count; i++) {
                const double apart = fabs(vec_get(type, sw_params_x(p), i) - point[i]);
                if (!(apart <= worst[k])) /* NaN stays */
                    worst[k] = apart;
                largest[k] = fmax(largest[k], fabs(point[i]));
            }
        }
    }
    for (int k = 0; k < MATRIX_PARAMS; k++)
        if (!(worst[k] / largest[k] <= distance))
            distance = worst[k] / largest[k];
    *failures = sw_optim_scalar(o, 0, "failed_roots");
    sw_optim_free(o);
    sw_params_free(p);
    return distance;
}

/* The fixture's tolerance for f32 is 16 times the distance that the reference in f32 has from that in f64: the effect
 * of rounding errors of 2^-24. Those of f64 are 2^-29 of them. The 14 digits of the fixture lose 5e-14, and f64 has at
 * least 1e-12, as in test_rules_golden.c. */
static void test_rules_agree_with_numpy(void **state) {
    (void)state;
    for (int i = 0; i < MATRIX_GOLDENS; i++) {
        const struct matrix_golden *g = &matrix_goldens[i];
        double failures[2];
        const double f64 = golden_distance(SW_F64, g, &failures[0]), f32 = golden_distance(SW_F32, g, &failures[1]);
        print_message("%s: f64 %.2g, f32 %.2g of %.2g; %g roots failed\n", g->rule, f64, f32, g->tolerance,
                      failures[0]);
        if (!(f64 <= fmax(1e-12, g->tolerance * 0x1p-29)))
            fail_msg("%s, f64: %.3g away, %.3g allowed", g->rule, f64, fmax(1e-12, g->tolerance * 0x1p-29));
        if (!(f32 <= g->tolerance))
            fail_msg("%s, f32: %.3g away, %.3g allowed", g->rule, f32, g->tolerance);
        if ((strstr(g->rule, "iterations=7") != NULL) != (failures[0] > 0))
            fail_msg("%s: %g roots failed", g->rule, failures[0]);
    }
}

/* Each option of each rule has another value than its default in at least one golden path, except those that change no
 * number of such small matrices. */
static void test_every_option_has_golden_numbers(void **state) {
    (void)state;
    sw_params *p = matrix_params(SW_F64);
    for (int r = 0; r < MATRIX_RULES; r++) {
        const sw_rule *rule = sw_rule_find(matrix_rules[r]);
        assert_non_null(rule);
        for (const sw_option *option = rule->options; option->name; option++) {
            bool differs = false;
            for (int i = 0; i < MATRIX_GOLDENS; i++) {
                const char *spec = matrix_goldens[i].rule;
                if (strncmp(spec, rule->name, strlen(rule->name)) != 0 || spec[strlen(rule->name)] != ' ')
                    continue;
                sw_optim *o = sw_optim_new(p, spec);
                differs |= sw_optim_option(o, 0, option->name) != option->value;
                sw_optim_free(o);
            }
            if (!differs)
                fail_msg("no golden path has another %s of %s than the default", option->name, rule->name);
        }
    }
    sw_params_free(p);
}

static void test_every_golden_path_differs(void **state) {
    (void)state;
    for (int i = 0; i < MATRIX_GOLDENS; i++)
        for (int j = 0; j < i; j++) {
            double apart = 0;
            for (int k = 0; k < MATRIX_CHECKED * MATRIX_DIM; k++)
                apart = fmax(apart, fabs(matrix_goldens[i].points[k] - matrix_goldens[j].points[k]));
            if (!(apart > 1e-3))
                fail_msg("%s and %s are only %g apart", matrix_goldens[i].rule, matrix_goldens[j].rule, apart);
        }
}

/* ---- Roots that cannot be computed ---- */

/* A factor with an infinite element has no root: the previous root stays, bit for bit, the failure is counted, and the
 * run goes on. The other factor of the matrix has a new root. The program writes the element, because no step does. */
static void test_a_failed_root_keeps_the_previous_one(void **state) {
    (void)state;
    static const char *const specs[] = {"shampoo period=2 spread=false",
                                        "distributed_shampoo start=2 period=2 merge=false spread=false"};
    enum { ROWS = 4, COLUMNS = 7, LEFT = ROWS * ROWS, BOTH = LEFT + COLUMNS * COLUMNS };
    for (size_t k = 0; k < sizeof specs / sizeof *specs; k++)
        for (int t = 0; t < 2; t++) {
            const sw_dtype type = both_types[t];
            sw_params *p = matrix_params(type);
            sw_param *wide = sw_params_find(p, "wide");
            sw_optim *o = sw_optim_new(p, specs[k]);
            assert_non_null(o);
            const sw_array factors = sw_optim_param_slot(o, wide, "factors"),
                           roots = sw_optim_param_slot(o, wide, "roots"),
                           failures = sw_optim_param_slot(o, wide, "failures");
            double before[BOTH] = {0};
            int changed = 0;
            assert_int_equal(roots.shape[0], BOTH);
            for (int i = 0; i < 3; i++)
                assert_ok(step_with(o, p, gradient[i]));
            assert_true(sw_optim_scalar(o, 0, "failed_roots") == 0);
            for (int i = 0; i < BOTH; i++)
                before[i] = vec_get(type, roots.data, i);
            vec_set(type, factors.data, 0, INFINITY);
            assert_ok(step_with(o, p, gradient[3]));
            for (int i = 0; i < BOTH; i++) {
                const bool same = vec_get(type, roots.data, i) == before[i];
                changed += !same;
                assert_true(same || i >= LEFT);
            }
            assert_true(changed > 0);
            assert_int_equal(((int32_t *)failures.data)[0], 1);
            assert_true(sw_optim_scalar(o, 0, "failed_roots") == 1);
            for (int64_t i = 0; i < sw_params_dim(p); i++)
                assert_true(isfinite(vec_get(type, sw_params_x(p), i)));
            sw_param_freeze(wide, true); /* does not change the number of failures */
            assert_ok(step_with(o, p, gradient[4]));
            assert_true(sw_optim_scalar(o, 0, "failed_roots") == 1);
            sw_optim_free(o);
            sw_params_free(p);
        }
}

/* One iteration is never enough for a root of caspr: the roots stay the identity, U is M̂ with the length of A, and R
 * is not rescaled: after three steps it is β2³ I + (1 - β2) Σ β2^(3-t) GᵀG/rows, with about 30 roundings of terms whose
 * absolute values add up to less than 200. Both roots of the seven parameters of rank 2 or more fail in each step. */
static void test_roots_without_convergence_stay_the_identity(void **state) {
    (void)state;
    sw_params *p = matrix_params(SW_F64);
    sw_param *tall = sw_params_find(p, "tall");
    params_set(p, start);
    sw_optim *o =
        sw_optim_new(p, "caspr lr=0.5 beta1=0 weight_decay=0 period=1 start=1 root=newton iterations=1 tolerance=1e-9");
    assert_non_null(o);
    for (int t = 0; t < 3; t++) {
        double x[12], square = 0, length = 0;
        for (int i = 0; i < 12; i++)
            x[i] = vec_get(SW_F64, sw_param_value(tall).data, i);
        assert_ok(step_with(o, p, gradient[t]));
        const double *v = sw_optim_param_slot(o, tall, "v").data, *g = gradient[t] + tall->offset;
        for (int i = 0; i < 12; i++) {
            const double a = g[i] / (sqrt(v[i] / (1 - pow(0.999, t + 1))) + 1e-8);
            square += a * a;
            length += g[i] * g[i];
        }
        for (int i = 0; i < 12; i++) { /* numbers up to 8, some 30 roundings */
            const double moved = x[i] - vec_get(SW_F64, sw_param_value(tall).data, i);
            assert_true(fabs(moved - 0.5 * g[i] * sqrt(square / length)) <= 30 * 8 * 0x1p-53);
        }
    }
    assert_true(sw_optim_scalar(o, 0, "failed_roots") == 3 * 2 * 7);
    const double *roots = sw_optim_param_slot(o, tall, "roots").data;
    for (int i = 0; i < 36; i++)
        assert_true(roots[i] == (i % 7 == 0));
    const double *R = (const double *)sw_optim_param_slot(o, tall, "factors").data + 36;
    for (int i = 0; i < 4; i++) {
        double expected = i % 3 == 0 ? pow(0.999, 3) : 0;
        for (int t = 0; t < 3; t++)
            for (int row = 0; row < 6; row++) {
                const double *g = gradient[t] + tall->offset + 2 * row;
                expected += 0.001 * pow(0.999, 2 - t) * g[i / 2] * g[i % 2] / 6;
            }
        assert_true(fabs(R[i] - expected) <= 30 * 200 * 0x1p-53);
    }
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- Products that overflow ---- */

/* With roots that are multiples of the identity, U has the direction of M̂ and the length of A, also if P M̂ Q is above
 * or far below the numbers of the type. The roots do not change, because period is longer than the run. Points agree to
 * the roundings of two norms of f32, each 2^-24 for a sum of 12 squares, and of the step; x is at most 8. */
static void test_lengths_of_products_do_not_matter(void **state) {
    (void)state;
    static const struct {
        int P, Q; /* exponents, and the largest for f32; f64: 8 times as large */
    } scales[] = {{10, 124}, {0, 126}, {-60, -50}, {0, -120}};
    for (size_t k = 0; k < sizeof scales / sizeof *scales; k++)
        for (int t = 0; t < 2; t++) {
            const sw_dtype type = both_types[t];
            const int more = type == SW_F64 ? 8 : 1;
            sw_params *p[2] = {matrix_params(type), matrix_params(type)};
            sw_optim *o[2];
            for (int i = 0; i < 2; i++) {
                o[i] = sw_optim_new(p[i], "caspr lr=0.5 start=1 period=1000 spread=false");
                assert_ok(step_with(o[i], p[i], gradient[0]));
            }
            const sw_array roots = sw_optim_param_slot(o[1], sw_params_find(p[1], "tall"), "roots");
            for (int i = 0, rows = 6, left = rows * rows; i < (int)sw_array_count(&roots); i++)
                vec_set(type, roots.data, i,
                        ldexp(vec_get(type, roots.data, i), more * (i < left ? scales[k].P : scales[k].Q)));
            const double room = 8 * 16 * (type == SW_F32 ? 0x1p-24 : 0x1p-53);
            for (int s = 1; s < 4; s++) {
                for (int i = 0; i < 2; i++)
                    if (step_with(o[i], p[i], gradient[s]) != SW_OK)
                        fail_msg("%s, 2^%d, 2^%d: %s", sw_dtype_name(type), scales[k].P, scales[k].Q, sw_error());
                for (int64_t i = 0; i < sw_params_dim(p[0]); i++) {
                    const double x = vec_get(type, sw_params_x(p[0]), i), y = vec_get(type, sw_params_x(p[1]), i);
                    if (!(fabs(x - y) <= room))
                        fail_msg("%s, 2^%d, 2^%d, step %d: x[%d] is %g, and with other roots %g", sw_dtype_name(type),
                                 scales[k].P, scales[k].Q, s, (int)i, x, y);
                }
            }
            for (int i = 0; i < 2; i++) {
                sw_optim_free(o[i]);
                sw_params_free(p[i]);
            }
        }
}

/* ---- Bits: threads, parts or whole parameters, skipped steps, resuming ---- */

static sw_status large_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw_number,
                                double *value, void *g) {
    sw_params *p = user;
    uint64_t seed = 3 + 7 * draw_number;
    (void)x, (void)ids, (void)count;
    *value = 0;
    for (int64_t i = 0; g && i < sw_params_dim(p); i++)
        vec_set(sw_params_type(p), g, i, test_uniform(&seed, -1, 1));
    return SW_OK;
}

/* Small blocks, which are parts, and one that is large enough for threads to share its products. */
static sw_params *large_params(sw_dtype type) {
    sw_params *p = sw_params_new(type, 1);
    assert_non_null(sw_params_add(p, "large", SW_SHAPE(300, 260), NULL));
    assert_non_null(sw_params_add(p, "middle", SW_SHAPE(70, 90), NULL));
    assert_non_null(sw_params_add(p, "small", SW_SHAPE(20, 30), NULL));
    assert_non_null(sw_params_add(p, "vector", SW_SHAPE(50), NULL));
    assert_ok(sw_params_build(p));
    return p;
}

static sw_optim *large_run(sw_params *p, const char *rule, int steps) {
    const sw_objective f = {.size = sizeof f, .n = 4, .params = p, .user = p, .gradient = large_gradient};
    sw_optim *o = NEW_OPTIM(p, .rule = rule, .estimator = "minibatch batch=4", .seed = 5);
    for (int i = 0; i < steps; i++)
        assert_ok(sw_optim_minimize(o, &f, NULL));
    return o;
}

static void test_bits_do_not_depend_on_threads(void **state) {
    (void)state;
    static const char *const specs[] = {"shampoo period=2 weight_decay=0.1",
                                        "distributed_shampoo start=2 period=2 block=400",
                                        "distributed_shampoo start=2 period=2 block=64", "caspr start=2 period=2",
                                        "caspr start=2 period=2 block=64 root=newton"};
    const int threads[] = {1, 2, 3, 8}, before = sw_threads();
    for (size_t k = 0; k < sizeof specs / sizeof *specs; k++)
        for (int t = 0; t < 2; t++) {
            void *one = NULL;
            for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
                sw_params *p = large_params(both_types[t]);
                assert_ok(sw_set_threads(threads[i]));
                sw_optim *o = large_run(p, specs[k], 4);
                if (!one)
                    one = memcpy(malloc(params_bytes(p)), sw_params_x(p), params_bytes(p));
                else if (memcmp(one, sw_params_x(p), params_bytes(p)) != 0)
                    fail_msg("%s, %s: other bits on %d threads", specs[k], sw_dtype_name(both_types[t]), threads[i]);
                sw_optim_free(o);
                sw_params_free(p);
            }
            free(one);
        }
    assert_ok(sw_set_threads(before));
}

/* The test above has parameters of both kinds. */
static void test_large_and_small_blocks_are_told_apart(void **state) {
    (void)state;
    sw_params *p = large_params(SW_F32);
    const swo_modes large = swo_modes_of_matrix(sw_params_at(p, 0), INT64_MAX, 1024),
                    small = swo_modes_of_matrix(sw_params_at(p, 1), INT64_MAX, 1024),
                    blocks = swo_modes_of_matrix(sw_params_at(p, 0), 64, 1024);
    assert_true(swo_blocks_are_large(&large));
    assert_false(swo_blocks_are_large(&small));
    assert_false(swo_blocks_are_large(&blocks));
    sw_params_free(p);
}

/* A run that is saved and continued in the middle of a period, at the step after new roots and before the first
 * ones. */
static void test_resumed_runs_have_equal_bits(void **state) {
    (void)state;
    static const char *const specs[] = {"shampoo period=3 momentum=0.5",
                                        "distributed_shampoo start=3 period=3 block=4 momentum=0.9",
                                        "caspr start=4 period=3 block=4"};
    for (size_t k = 0; k < sizeof specs / sizeof *specs; k++)
        for (int t = 0; t < 2; t++)
            for (int at = 1; at < 9; at++) {
                sw_params *p = matrix_params(both_types[t]), *q = matrix_params(both_types[t]);
                sw_optim *whole = sw_optim_new(p, specs[k]), *first = sw_optim_new(q, specs[k]);
                for (int i = 0; i < 10; i++)
                    assert_ok(step_with(whole, p, gradient[i]));
                for (int i = 0; i < at; i++)
                    assert_ok(step_with(first, q, gradient[i]));
                sw_archive *a = sw_archive_new();
                assert_ok(sw_optim_pack(first, a));
                sw_params *r = matrix_params(both_types[t]);
                sw_optim *second = sw_optim_new(r, specs[k]);
                assert_ok(sw_optim_unpack(second, a));
                sw_archive_free(a);
                sw_optim_free(first);
                sw_params_free(q);
                q = r;
                for (int i = at; i < 10; i++)
                    assert_ok(step_with(second, q, gradient[i]));
                if (memcmp(sw_params_x(p), sw_params_x(q), params_bytes(p)) != 0)
                    fail_msg("%s, %s: other bits when resumed after step %d", specs[k], sw_dtype_name(both_types[t]),
                             at);
                sw_optim_free(whole);
                sw_optim_free(second);
                sw_params_free(p);
                sw_params_free(q);
            }
}

/* ---- When roots are computed ---- */

static void test_refreshes_are_spread(void **state) {
    (void)state;
    enum { PERIOD = 10, BLOCKS = 4, START = 7 };
    sw_params *p = matrix_params(SW_F32);
    int at_once[3 * PERIOD] = {0};
    for (int k = 0; k < 3; k++)
        for (int64_t i = 0; i < BLOCKS; i++) {
            const swo_block b = {.index = i};
            const sw_param *param = sw_params_at(p, k);
            int last = 0;
            for (int t = 1; t < START + 3 * PERIOD; t++) {
                const bool due = swo_refresh_is_due(t, param, &b, BLOCKS, START, PERIOD, true);
                assert_true(t > START || due == (t == START));
                if (due && t > START) {
                    at_once[t - START]++;
                    assert_true(last == 0 || t - last == PERIOD);
                    last = t;
                }
                assert_int_equal(swo_refresh_is_due(t, param, &b, BLOCKS, START, PERIOD, false),
                                 t == START || (t > START && t % PERIOD == 0));
            }
            assert_true(last >= START + 2 * PERIOD - 1);
        }
    for (int i = 0; i < 3 * PERIOD; i++)
        assert_true(at_once[i] <= 3); /* of 12 blocks in 10 steps */
    sw_params_free(p);
}

/* ---- Long periods ---- */

/* f_i = ½ h_i x_i² for each of 48 elements, with h from 0.1 to 10. The gradient of a batch has few elements. */
enum { VALLEY_ROWS = 8, VALLEY_COLUMNS = 6, VALLEY_DIM = VALLEY_ROWS * VALLEY_COLUMNS };
static sw_status valley_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw_number,
                                 double *value, void *g) {
    const double *at = x;
    (void)user, (void)draw_number;
    *value = 0;
    if (g)
        memset(g, 0, VALLEY_DIM * sizeof(double));
    for (int64_t k = 0; k < count; k++) {
        const int64_t i = ids[k];
        const double h = 0.1 * pow(100, (double)i / (VALLEY_DIM - 1));
        *value += h / 2 * at[i] * at[i] / (double)count;
        if (g)
            ((double *)g)[i] = h * at[i] / (double)count;
    }
    return SW_OK;
}

/* Trains w, a matrix or a vector, with the default lr. Returns the largest loss of all samples in 20 epochs, relative
 * to that at the start; *end: the last one. */
static double valley_descend(const char *rule, bool vector, double *end) {
    sw_params *p = sw_params_new(SW_F64, 1);
    assert_non_null(vector ? sw_params_add(p, "w", SW_SHAPE(VALLEY_DIM), NULL)
                           : sw_params_add(p, "w", SW_SHAPE(VALLEY_ROWS, VALLEY_COLUMNS), NULL));
    assert_ok(sw_params_build(p));
    uint64_t seed = 5;
    for (int i = 0; i < VALLEY_DIM; i++)
        ((double *)sw_params_x(p))[i] = test_uniform(&seed, -1, 1);
    const sw_objective f = {.size = sizeof f, .n = VALLEY_DIM, .params = p, .gradient = valley_gradient};
    sw_optim *o = NEW_OPTIM(p, .rule = rule, .estimator = "minibatch batch=4", .seed = 1);
    double first, most = 0;
    assert_ok(sw_objective_value(&f, NULL, NULL, NULL, VALLEY_DIM, 0, &first));
    for (int step = 0; step < 20 * VALLEY_DIM / 4; step++) {
        assert_ok(sw_optim_minimize(o, &f, NULL));
        assert_ok(sw_objective_value(&f, NULL, NULL, NULL, VALLEY_DIM, 0, end));
        *end /= first;
        most = fmax(most, *end);
    }
    sw_optim_free(o);
    sw_params_free(p);
    return most;
}

/* Old roots are about ε^(-1/4) = 30 in directions that no earlier gradient had. Without the limit of D, the loss grows
 * by factors of 1e3 and more with these periods. New roots may increase it too, by a step of length lr in each of the
 * matrix's six singular directions: (1 + 0.1 √6/‖x‖)² < 2, with ‖x‖ near 4 at the start. */
static void test_long_periods_do_not_diverge(void **state) {
    (void)state;
    static const char *const specs[] = {"shampoo",
                                        "shampoo period=10",
                                        "shampoo period=20",
                                        "shampoo period=50",
                                        "shampoo period=100",
                                        "shampoo period=100 spread=false",
                                        "shampoo period=20 max_dim=7"};
    for (size_t k = 0; k < sizeof specs / sizeof *specs; k++)
        for (int vector = 0; vector < 2; vector++) {
            double end;
            const double most = valley_descend(specs[k], vector, &end);
            print_message("%s, %s: at most %.3g of the first loss, %.3g at the end\n", specs[k],
                          vector ? "a vector" : "a matrix", most, end);
            if (!(most < 2 && end < 0.5))
                fail_msg("%s: the loss is at most %g of the first one, and %g at the end", specs[k], most, end);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_rules_agree_with_numpy, test_clear),
        cmocka_unit_test_teardown(test_every_option_has_golden_numbers, test_clear),
        cmocka_unit_test_teardown(test_every_golden_path_differs, test_clear),
        cmocka_unit_test_teardown(test_a_failed_root_keeps_the_previous_one, test_clear),
        cmocka_unit_test_teardown(test_roots_without_convergence_stay_the_identity, test_clear),
        cmocka_unit_test_teardown(test_lengths_of_products_do_not_matter, test_clear),
        cmocka_unit_test_teardown(test_bits_do_not_depend_on_threads, test_clear),
        cmocka_unit_test_teardown(test_large_and_small_blocks_are_told_apart, test_clear),
        cmocka_unit_test_teardown(test_resumed_runs_have_equal_bits, test_clear),
        cmocka_unit_test_teardown(test_refreshes_are_spread, test_clear),
        cmocka_unit_test_teardown(test_long_periods_do_not_diverge, test_clear),
    };
    return cmocka_run_group_tests_name("matrix_rules", tests, draw, NULL);
}
