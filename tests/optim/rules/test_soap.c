/* The rule soap: 100 steps against NumPy (golden/soap.py), and what is particular to it: the first step, bases that
 * cannot be computed, vectors, large and small parameters, threads, allocations, resuming. */
#include "../helpers.h"

#include "golden/soap.h"

enum { GOLDENS = sizeof soap_goldens / sizeof *soap_goldens };
static const struct soap_layout {
    const char *name;
    int rank;
    int64_t shape[4];
    double scale; /* of the gradient */
} layouts[SOAP_PARAMS] = {
    {"square", 2, {4, 4}, 1}, {"cube", 3, {2, 3, 4}, 0x1p-7}, {"conv", 4, {3, 2, 2, 3}, 16}, {"vector", 1, {5}, 1},
    {"scalar", 0, {0}, 1},    {"wide", 2, {3, 5}, 1},         {"flat", 2, {1, 4}, 1},        {"tall", 2, {6, 2}, 1},
};
static double start[128], gradient[SOAP_STEPS][128], rotations[SOAP_PARAMS][4][36];

static sw_params *soap_params(sw_dtype type, int count) {
    sw_params *p = sw_params_new(type, 1);
    for (int k = 0; k < count; k++) {
        sw_param_options o = {.size = sizeof o, .role = layouts[k].rank >= 2 ? SW_ROLE_WEIGHT : SW_ROLE_BIAS};
        if (layouts[k].rank == 4)
            o.channels_first = sw_channels_first(4, layouts[k].shape, 1);
        assert_non_null(sw_params_add(p, layouts[k].name, layouts[k].rank, layouts[k].shape, &o));
    }
    assert_ok(sw_params_build(p));
    params_set(p, start);
    return p;
}

/* H2 H1, as soap.py computes it. */
static void draw_rotation(int64_t n, double *q, uint64_t *seed) {
    for (int64_t i = 0; i < n * n; i++)
        q[i] = i % (n + 1) == 0;
    for (int turn = 0; turn < 2; turn++) {
        double u[6], size = 0;
        for (int64_t i = 0; i < n; i++) {
            u[i] = test_uniform(seed, -1, 1);
            size += u[i] * u[i];
        }
        for (int64_t j = 0; j < n; j++) {
            double dot = 0;
            for (int64_t i = 0; i < n; i++)
                dot += u[i] * q[i * n + j];
            for (int64_t i = 0; i < n; i++)
                q[i * n + j] -= 2 / size * u[i] * dot;
        }
    }
}

/* As soap.py draws them. */
static int draw(void **state) {
    (void)state;
    uint64_t seed = 83;
    sw_params *p = soap_params(SW_F64, SOAP_PARAMS);
    const int64_t dim = sw_params_dim(p);
    assert_true(dim <= 128);
    for (int i = 0; i < dim; i++)
        start[i] = (double)(float)test_uniform(&seed, -1, 1);
    for (int t = 0; t < SOAP_STEPS; t++)
        for (int k = 0; k < SOAP_PARAMS; k++) {
            const sw_param *param = sw_params_at(p, k);
            for (int64_t i = 0; i < param->count; i++)
                gradient[t][param->offset + i] =
                    (double)(float)(test_uniform(&seed, -1, 1) * (double)(1 + i % 3)) * layouts[k].scale;
        }
    sw_params_free(p);
    seed = 97;
    for (int k = 0; k < SOAP_PARAMS; k++)
        for (int i = 0; i < layouts[k].rank; i++)
            if (layouts[k].shape[i] > 1)
                draw_rotation(layouts[k].shape[i], rotations[k][i], &seed);
    return 0;
}

/* Writes the given bases, after the first step has computed others. */
static void set_bases(sw_optim *o, sw_params *p, const char *rule) {
    const double max_dim = sw_optim_option(o, 0, "max_dim");
    const bool vectors = sw_optim_option(o, 0, "precondition_1d") != 0;
    for (int k = 0; k < sw_params_count(p); k++) {
        const sw_array bases = sw_optim_param_slot(o, sw_params_at(p, k), "bases");
        int64_t at = 0;
        for (int i = 0; i < layouts[k].rank; i++) {
            const int64_t n = layouts[k].shape[i];
            if (n == 1 || (double)n > max_dim || (layouts[k].rank < 2 && !vectors))
                continue;
            for (int64_t j = 0; j < n * n; j++)
                vec_set(sw_params_type(p), bases.data, at++, rotations[k][i][j]);
        }
        if (at != (bases.data ? sw_array_count(&bases) : 0))
            fail_msg("%s: the bases of %s have not %lld elements", rule, layouts[k].name, (long long)at);
    }
}

/* ---- 100 steps against NumPy ---- */

/* Takes all steps; the largest distance from the golden points, for each parameter relative to its largest element. */
static double golden_distance(sw_dtype type, const struct soap_golden *golden) {
    double worst[SOAP_PARAMS] = {0}, largest[SOAP_PARAMS] = {0}, distance = 0;
    sw_params *p = soap_params(type, golden->fixed ? SOAP_PARAMS : SOAP_REGULAR);
    sw_optim *o = sw_optim_new(p, golden->rule);
    if (!o)
        fail_msg("%s: %s", golden->rule, sw_error());
    for (int t = 0, at = 0; t < SOAP_STEPS; t++) {
        if (step_with(o, p, gradient[t]) != SW_OK)
            fail_msg("%s, step %d: %s", golden->rule, t + 1, sw_error());
        if (t == 0 && golden->fixed)
            set_bases(o, p, golden->rule);
        if (t + 1 != soap_checked[at])
            continue;
        const double *point = golden->points + sw_params_dim(p) * at++;
        for (int k = 0; k < sw_params_count(p); k++) {
            const sw_param *param = sw_params_at(p, k);
            for (int64_t i = param->offset; i < param->offset + param->count; i++) {
                const double apart = fabs(vec_get(type, sw_params_x(p), i) - point[i]);
                if (!(apart <= worst[k])) /* NaN stays */
                    worst[k] = apart;
                largest[k] = fmax(largest[k], fabs(point[i]));
            }
        }
    }
    for (int k = 0; k < sw_params_count(p); k++)
        if (!(worst[k] / largest[k] <= distance))
            distance = worst[k] / largest[k];
    assert_true(sw_optim_scalar(o, 0, "failed_roots") == 0);
    sw_optim_free(o);
    sw_params_free(p);
    return distance;
}

/* The fixture's tolerance for f32 is 16 times the distance that the reference in f32 has from that in f64: the effect
 * of rounding errors of 2^-24. Those of f64 are 2^-29 of them. The 14 digits of the fixture lose 5e-14, and f64 has at
 * least 1e-12, as in test_rules_golden.c. */
static void test_soap_agrees_with_numpy(void **state) {
    (void)state;
    for (int i = 0; i < GOLDENS; i++) {
        const struct soap_golden *g = &soap_goldens[i];
        const double f64 = golden_distance(SW_F64, g), f32 = golden_distance(SW_F32, g);
        print_message("%s: f64 %.2g, f32 %.2g of %.2g\n", g->rule, f64, f32, g->tolerance);
        if (!(f64 <= fmax(1e-12, g->tolerance * 0x1p-29)))
            fail_msg("%s, f64: %.3g away, %.3g allowed", g->rule, f64, fmax(1e-12, g->tolerance * 0x1p-29));
        if (!(f32 <= g->tolerance))
            fail_msg("%s, f32: %.3g away, %.3g allowed", g->rule, f32, g->tolerance);
    }
}

static void test_every_option_has_golden_numbers(void **state) {
    (void)state;
    sw_params *p = soap_params(SW_F64, SOAP_PARAMS);
    for (const sw_option *option = sw_rule_find("soap")->options; option->name; option++) {
        bool differs = false;
        for (int i = 0; i < GOLDENS; i++) {
            sw_optim *o = sw_optim_new(p, soap_goldens[i].rule);
            differs |= sw_optim_option(o, 0, option->name) != option->value;
            sw_optim_free(o);
        }
        if (!differs)
            fail_msg("no golden path has another %s than the default", option->name);
    }
    sw_params_free(p);
}

/* ---- The first step ---- */

/* It changes no parameter, also none without a basis, and writes bases of orthonormal rows, also for a gradient of 0.
 */
static void test_the_first_step_only_initializes(void **state) {
    (void)state;
    static const double zeros[128] = {0};
    for (int zero = 0; zero < 2; zero++) {
        sw_params *p = soap_params(SW_F64, SOAP_PARAMS);
        sw_optim *o = sw_optim_new(p, "soap");
        assert_ok(step_with(o, p, zero ? zeros : gradient[0]));
        assert_memory_equal(sw_params_x(p), start, params_bytes(p));
        for (int k = 0; k < SOAP_PARAMS; k++)
            if (layouts[k].rank == 2) {
                const sw_array bases = sw_optim_param_slot(o, sw_params_at(p, k), "bases");
                const int64_t n = layouts[k].shape[0] > 1 ? layouts[k].shape[0] : layouts[k].shape[1];
                for (int64_t i = 0; i < n; i++)
                    for (int64_t j = 0; j < n; j++) {
                        double dot = 0;
                        for (int64_t l = 0; l < n; l++)
                            dot += test_get(&bases, i * n + l) * test_get(&bases, j * n + l);
                        assert_true(fabs(dot - (i == j)) <= 8 * 6 * 0x1p-52); /* as in test_eigen.c, n at most 6 */
                    }
            }
        assert_ok(step_with(o, p, gradient[1]));
        for (int64_t i = 0; i < sw_params_dim(p); i++)
            assert_true(vec_get(SW_F64, sw_params_x(p), i) != start[i]);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* A parameter that was frozen in the first step has its first step later. */
static void test_a_thawed_parameter_begins_later(void **state) {
    (void)state;
    sw_params *p = soap_params(SW_F64, SOAP_PARAMS);
    sw_param *square = sw_params_at(p, 0);
    sw_optim *o = sw_optim_new(p, "soap");
    sw_param_freeze(square, true);
    for (int t = 0; t < 3; t++)
        assert_ok(step_with(o, p, gradient[t]));
    sw_param_freeze(square, false);
    assert_ok(step_with(o, p, gradient[3]));
    assert_memory_equal(sw_params_x(p), start, 16 * sizeof(double));
    assert_ok(step_with(o, p, gradient[4]));
    assert_true(memcmp(sw_params_x(p), start, 16 * sizeof(double)) != 0);
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- Vectors ---- */

/* With precondition_1d a vector has the bits of a matrix with one column; without it, those of a scalar for each
 * element. */
static void test_vectors_with_and_without_a_basis(void **state) {
    (void)state;
    for (int with = 0; with < 2; with++) {
        sw_params *p = sw_params_new(SW_F32, 1);
        assert_non_null(sw_params_add(p, "vector", SW_SHAPE(6), NULL));
        assert_non_null(sw_params_add(p, "matrix", SW_SHAPE(6, 1), NULL));
        assert_non_null(sw_params_add(p, "scalar", 0, NULL, NULL));
        assert_ok(sw_params_build(p));
        float *x = memset(sw_params_x(p), 0, params_bytes(p));
        sw_optim *o = sw_optim_new(p, with ? "soap spread=false precondition_1d" : "soap spread=false");
        for (int t = 0; t < 25; t++) {
            double g[13];
            for (int i = 0; i < 13; i++)
                g[i] = i == 12 ? gradient[t][2] : gradient[t][i % 6];
            assert_ok(step_with(o, p, g));
            assert_int_equal(memcmp(x, x + 6, 6 * sizeof *x) == 0, with || t == 0);
            assert_int_equal(x[2] == x[12], !with || t == 0);
        }
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* ---- Bases that cannot be computed ---- */

/* A factor with an infinite element gives no basis: the previous one stays, bit for bit, the failure is counted, and
 * the run goes on. The other factor of the matrix has a new basis. The program writes the element, because no step
 * does. */
static void test_a_failed_basis_keeps_the_previous_one(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        const sw_dtype type = both_types[t];
        sw_params *p = soap_params(type, SOAP_REGULAR);
        sw_param *square = sw_params_at(p, 0);
        sw_optim *o = sw_optim_new(p, "soap period=3 spread=false");
        for (int i = 0; i < 3; i++)
            assert_ok(step_with(o, p, gradient[i]));
        const sw_array factors = sw_optim_param_slot(o, square, "factors"),
                       bases = sw_optim_param_slot(o, square, "bases");
        double before[32];
        for (int i = 0; i < 32; i++)
            before[i] = test_get(&bases, i);
        test_set(&factors, 0, (double)INFINITY);
        assert_ok(step_with(o, p, gradient[3]));
        int changed = 0;
        for (int i = 0; i < 32; i++) {
            changed += i >= 16 && test_get(&bases, i) != before[i];
            assert_true(i >= 16 || test_get(&bases, i) == before[i]);
        }
        assert_true(changed > 0);
        assert_true(sw_optim_scalar(o, 0, "failed_roots") == 1);
        for (int64_t i = 0; i < sw_params_dim(p); i++)
            assert_true(isfinite(vec_get(type, sw_params_x(p), i)));
        sw_param_freeze(square, true); /* does not change the number of failures */
        assert_ok(step_with(o, p, gradient[4]));
        assert_true(sw_optim_scalar(o, 0, "failed_roots") == 1);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* An axis of 3000 elements would have a basis of 72 MB. */
static void test_a_parameter_without_elements_has_no_bases(void **state) {
    (void)state;
    sw_params *p = sw_params_new(SW_F64, 1);
    const sw_param *empty = sw_params_add(p, "empty", SW_SHAPE(0, 3000), NULL);
    assert_non_null(sw_params_add(p, "a", SW_SHAPE(2, 3), NULL));
    assert_ok(sw_params_build(p));
    sw_optim *o = NEW_OPTIM(p, .rule = "soap");
    const double g[6] = {1, 2, 3, 4, 5, -6};
    for (int t = 0; t < 2; t++)
        assert_ok(step_with(o, p, g));
    assert_int_equal(sw_optim_param_slot(o, empty, "bases").shape[0], 0);
    assert_int_equal(sw_optim_param_slot(o, sw_params_find(p, "a"), "bases").shape[0], 4 + 9);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_shampoo_beta_is_checked(void **state) {
    (void)state;
    sw_params *p = soap_params(SW_F32, SOAP_REGULAR);
    assert_null(sw_optim_new(p, "soap shampoo_beta=-0.5"));
    expect_error(SW_ERR_ARGUMENT, "rule soap: shampoo_beta is -0.5, expected 0 to 1, or -1 for the value of beta2");
    sw_params_free(p);
}

/* ---- Bits: threads, large and small parameters; allocations; resuming ---- */

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

/* Small parameters, which are parts, and one that is large enough for threads to share its products. */
static sw_params *large_params(sw_dtype type) {
    sw_params *p = sw_params_new(type, 1);
    assert_non_null(sw_params_add(p, "large", SW_SHAPE(300, 260), NULL));
    assert_non_null(sw_params_add(p, "kernel", SW_SHAPE(20, 3, 3, 16), NULL));
    assert_non_null(sw_params_add(p, "small", SW_SHAPE(20, 30), NULL));
    assert_non_null(sw_params_add(p, "vector", SW_SHAPE(50), NULL));
    assert_non_null(sw_params_add(p, "empty", SW_SHAPE(0, 3), NULL));
    assert_ok(sw_params_build(p));
    uint64_t seed = 1;
    for (int64_t i = 0; i < sw_params_dim(p); i++)
        vec_set(type, sw_params_x(p), i, test_uniform(&seed, -1, 1));
    return p;
}

static void test_bits_do_not_depend_on_threads(void **state) {
    (void)state;
    const int threads[] = {1, 2, 3, 8}, before = sw_threads();
    for (int t = 0; t < 2; t++) {
        void *one = NULL;
        for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
            sw_params *p = large_params(both_types[t]);
            const sw_objective f = {.size = sizeof f, .n = 4, .params = p, .user = p, .gradient = large_gradient};
            assert_ok(sw_set_threads(threads[i]));
            sw_optim *o = NEW_OPTIM(p, .rule = "soap period=2", .estimator = "minibatch batch=4", .seed = 5);
            for (int k = 0; k < 5; k++)
                assert_ok(sw_optim_minimize(o, &f, NULL));
            if (!one)
                one = memcpy(malloc(params_bytes(p)), sw_params_x(p), params_bytes(p));
            else if (memcmp(one, sw_params_x(p), params_bytes(p)) != 0)
                fail_msg("%s: other bits on %d threads", sw_dtype_name(both_types[t]), threads[i]);
            sw_optim_free(o);
            sw_params_free(p);
        }
        free(one);
    }
    assert_ok(sw_set_threads(before));
}

/* Nothing is allocated after the second step, not even when bases are computed. */
static void test_nothing_is_allocated_after_the_second_step(void **state) {
    (void)state;
    static test_allocator a;
    test_allocator_install(&a);
    sw_params *p = large_params(SW_F32);
    const sw_objective f = {.size = sizeof f, .n = 4, .params = p, .user = p, .gradient = large_gradient};
    sw_optim *o = NEW_OPTIM(p, .rule = "soap period=2", .estimator = "minibatch batch=4", .seed = 5);
    for (int k = 0; k < 2; k++)
        assert_ok(sw_optim_minimize(o, &f, NULL));
    const long long calls = atomic_load(&a.calls);
    for (int k = 0; k < 5; k++)
        assert_ok(sw_optim_minimize(o, &f, NULL));
    assert_int_equal(atomic_load(&a.calls), calls);
    sw_optim_free(o);
    sw_params_free(p);
    sw_set_allocator(NULL);
}

/* A run that is saved and continued in the middle of a period, at the step after new bases and before the first ones.
 */
static void test_resumed_runs_have_equal_bits(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++)
        for (int at = 1; at < 9; at++) {
            sw_params *p = soap_params(both_types[t], SOAP_PARAMS), *q = soap_params(both_types[t], SOAP_PARAMS);
            sw_optim *whole = sw_optim_new(p, "soap period=3"), *first = sw_optim_new(q, "soap period=3");
            for (int i = 0; i < 10; i++)
                assert_ok(step_with(whole, p, gradient[i]));
            for (int i = 0; i < at; i++)
                assert_ok(step_with(first, q, gradient[i]));
            sw_archive *a = sw_archive_new();
            assert_ok(sw_optim_pack(first, a));
            sw_params *r = soap_params(both_types[t], SOAP_PARAMS);
            sw_optim *second = sw_optim_new(r, "soap period=3");
            assert_ok(sw_optim_unpack(second, a));
            sw_archive_free(a);
            for (int i = at; i < 10; i++)
                assert_ok(step_with(second, r, gradient[i]));
            if (memcmp(sw_params_x(p), sw_params_x(r), params_bytes(p)) != 0)
                fail_msg("%s: other bits when resumed after step %d", sw_dtype_name(both_types[t]), at);
            sw_optim_free(whole);
            sw_optim_free(first);
            sw_optim_free(second);
            sw_params_free(p);
            sw_params_free(q);
            sw_params_free(r);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_soap_agrees_with_numpy, test_clear),
        cmocka_unit_test_teardown(test_every_option_has_golden_numbers, test_clear),
        cmocka_unit_test_teardown(test_the_first_step_only_initializes, test_clear),
        cmocka_unit_test_teardown(test_a_thawed_parameter_begins_later, test_clear),
        cmocka_unit_test_teardown(test_vectors_with_and_without_a_basis, test_clear),
        cmocka_unit_test_teardown(test_a_failed_basis_keeps_the_previous_one, test_clear),
        cmocka_unit_test_teardown(test_a_parameter_without_elements_has_no_bases, test_clear),
        cmocka_unit_test_teardown(test_shampoo_beta_is_checked, test_clear),
        cmocka_unit_test_teardown(test_bits_do_not_depend_on_threads, test_clear),
        cmocka_unit_test_teardown(test_nothing_is_allocated_after_the_second_step, test_clear),
        cmocka_unit_test_teardown(test_resumed_runs_have_equal_bits, test_clear),
    };
    return cmocka_run_group_tests_name("soap", tests, draw, NULL);
}
