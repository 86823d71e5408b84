/* Muon: which parameters it updates, and which AdamW updates; large matrices; products in bf16; combinations with
 * estimators and averages. rules/test_references.c and test_rules_golden.c test the numbers of small matrices. */
#include "../helpers.h"

#include <swale/nn.h>
#include <swale/newton_schulz.h>

/* ---- Routes ---- */

static int64_t length_of(const sw_optim *o, sw_params *p, const char *param, const char *slot) {
    const sw_array a = sw_optim_param_slot(o, sw_params_find(p, param), slot);
    return sw_array_count(&a);
}

/* A convolution and hidden layers are updated by Muon, and have no v. The rest is updated by AdamW. */
static void test_routes_in_a_network(void **state) {
    (void)state;
    static const char *const adamw[2][8] = {
        {"conv1.bias", "linear1.bias", "layer_norm1.weight", "layer_norm1.bias", "linear2.weight", "linear2.bias"},
        {"conv1.bias", "linear1.bias", "layer_norm1.weight", "layer_norm1.bias", "linear2.bias"}};
    static const char *const rules[2] = {"muon", "muon route=matrices"};
    for (int k = 0; k < 2; k++) {
        sw_model *m = sw_model_new(SW_F32, 1);
        assert_ok(sw_model_set_input_shape(m, 3, (const int64_t[]){6, 6, 2}));
        sw_params *p =
            sw_model_build(m, sw_nn_sequential(m, sw_nn_conv2d(m, 2, 4, 3), sw_nn_flatten(m), sw_nn_linear(m, 64, 8),
                                               sw_nn_layer_norm(m, 8), sw_nn_linear(m, 8, 3)));
        assert_non_null(p);
        assert_int_equal(sw_params_find(p, "linear2.weight")->role, SW_ROLE_HEAD);
        sw_optim *o = NEW_OPTIM(p, .rule = rules[k]);
        int found = 0;
        int64_t bytes = 0;
        for (int i = 0; i < sw_params_count(p); i++) {
            const sw_param *param = sw_params_at(p, i);
            bool by_adamw = false;
            for (int j = 0; j < 8 && adamw[k][j]; j++)
                by_adamw |= strcmp(adamw[k][j], param->name) == 0;
            found += by_adamw;
            if (length_of(o, p, param->name, "v") != (by_adamw ? param->count : 0))
                fail_msg("%s: v of %s has %d elements", rules[k], param->name, (int)length_of(o, p, param->name, "v"));
            assert_true(length_of(o, p, param->name, "m") == param->count);
            bytes += (by_adamw ? 8 : 4) * param->count;
        }
        assert_int_equal(found, k == 0 ? 6 : 5);
        assert_true(sw_optim_bytes(o).rule == (size_t)bytes);
        sw_optim_free(o);
        sw_model_free(m);
    }
}

/* ---- Large matrices ---- */

/* [512, 320]: threads share its products. [300, 40] is a part. The gradient is constant, so that the momentum has its
 * direction in every step. */
enum { ROWS = 512, COLUMNS = 320, LARGE = ROWS * COLUMNS, SMALL = 300 * 40, BOTH = LARGE + SMALL + 7 };

static sw_params *large_params(sw_dtype type, sw_dtype storage) {
    const sw_param_options weight = {.size = sizeof weight, .role = SW_ROLE_WEIGHT};
    sw_params *p =
        sw_params_new_with_options(&(sw_params_options){.size = sizeof(sw_params_options), .type = storage, .seed = 1});
    assert_non_null(sw_params_add(p, "large", 2, (const int64_t[]){ROWS, COLUMNS}, &weight));
    assert_non_null(sw_params_add(p, "small", 2, (const int64_t[]){300, 40}, &weight));
    assert_non_null(sw_params_add(p, "vector", 1, (const int64_t[]){7}, NULL));
    assert_ok(sw_params_build(p));
    assert_int_equal(sw_params_type(p), type);
    return p;
}

static double direction(int64_t i) {
    uint64_t seed = (uint64_t)i + 1;
    return (double)(float)test_uniform(&seed, -1, 1);
}

static sw_status constant_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                   double *value, void *g) {
    (void)x, (void)ids, (void)count, (void)draw;
    *value = 0;
    for (int64_t i = 0; g && i < BOTH; i++)
        vec_set(sw_params_type(user), g, i, direction(i));
    return SW_OK;
}

/* x after `steps` steps from 0, in doubles. */
static void take(const char *rule, sw_dtype type, int steps, double *x) {
    sw_params *p = large_params(type, type);
    sw_optim *o = NEW_OPTIM(p, .rule = rule);
    const sw_objective f = {.size = sizeof f, .n = 4, .params = p, .user = p, .gradient = constant_gradient};
    memset(sw_params_x(p), 0, params_bytes(p));
    for (int t = 0; t < steps; t++)
        assert_ok(sw_optim_minimize(o, &f, NULL));
    for (int64_t i = 0; i < BOTH; i++)
        x[i] = vec_get(type, sw_params_x(p), i);
    sw_optim_free(o);
    sw_params_free(p);
}

/* The orthogonalized gradient, in f64. */
static void orthogonalize(int64_t rows, int64_t columns, int64_t first, double *O) {
    for (int64_t i = 0; i < rows * columns; i++)
        O[i] = direction(first + i);
    void *work = sw_alloc(sw_newton_schulz_work(SW_F64, rows, columns, NULL));
    assert_ok(sw_newton_schulz(SW_F64, rows, columns, O, NULL, O, work));
    sw_free(work);
}

/* θ = -2 η s O after two steps, where O does not depend on the length of the momentum. eps=0 */
static void compare(const double *x, double scale, int64_t rows, int64_t columns, int64_t first, double tolerance) {
    static double O[LARGE];
    double worst = 0, square = 0;
    orthogonalize(rows, columns, first, O);
    for (int64_t i = 0; i < rows * columns; i++) {
        const double error = fabs(x[first + i] + 2 * 0.5 * scale * O[i]);
        worst = error <= worst ? worst : error;
        square += error * error;
    }
    /* in bf16: the root mean square of errors relative to that of O, which is about 1/√(longest side) */
    const double relative = sqrt(square / (double)(rows * columns)) * sqrt((double)(rows > columns ? rows : columns));
    if (!((tolerance < 1e-2 ? worst : relative / scale) <= tolerance))
        fail_msg("[%d, %d]: %g away, %g in the mean; %g allowed", (int)rows, (int)columns, worst, relative / scale,
                 tolerance);
}

static void test_large_and_small_matrices(void **state) {
    static double x[BOTH];
    (void)state;
    const double sqrt_ratio = sqrt((double)ROWS / COLUMNS), small_ratio = sqrt(300.0 / 40);
    for (int t = 0; t < 2; t++) {
        /* Rounding as in core/matrix/test_newton_schulz.c. */
        const double tolerance = 1.1e5 * (t ? 0x1p-53 : 0x1p-24);
        take("muon lr=0.5 eps=0", both_types[t], 2, x);
        compare(x, sqrt_ratio, ROWS, COLUMNS, 0, tolerance);
        compare(x, small_ratio, 300, 40, LARGE, small_ratio * tolerance);
        take("muon lr=0.5 eps=0 scale=moonshot", both_types[t], 2, x);
        compare(x, 0.2 * sqrt(ROWS), ROWS, COLUMNS, 0, 0.2 * sqrt(ROWS) * tolerance);
    }
}

/* A factor in bf16 has a relative error of up to 2^-9 = 0.002. The products with a = 3.4 and bA + cA² of 5 iterations
 * change the singular values by a few times as much, each in another direction: 5·3·0.002 = 3 % are ample. */
static void test_products_in_bf16_are_near(void **state) {
    static double x[BOTH];
    (void)state;
    take("muon lr=0.5 eps=0 products=bf16", SW_F32, 2, x);
    compare(x, sqrt((double)ROWS / COLUMNS), ROWS, COLUMNS, 0, 0.03 * 2);
    compare(x, sqrt(300.0 / 40), 300, 40, LARGE, 0.03 * 2);
    sw_params *p = large_params(SW_F64, SW_F64);
    assert_null(sw_optim_new(p, "muon products=bf16"));
    expect_error(SW_ERR_ARGUMENT,
                 "rule muon fits none of its 3 parameters: products=bf16 is for parameters in f32, f16 or bf16, and "
                 "not in f64 (omit products); otherwise, choose another rule");
    sw_params_free(p);
}

static void test_bits_do_not_depend_on_threads(void **state) {
    static const char *const rules[] = {"muon", "muon products=bf16", "muon scale=moonshot nesterov=false"};
    static double one[BOTH], other[BOTH];
    static const int threads[] = {1, 2, 3, 8};
    const int before = sw_threads();
    (void)state;
    for (int r = 0; r < 3; r++)
        for (int k = 0; k < 4; k++) {
            assert_ok(sw_set_threads(threads[k]));
            take(rules[r], SW_F32, 2, k ? other : one);
            if (k)
                assert_memory_equal(one, other, sizeof one);
        }
    assert_ok(sw_set_threads(before));
}

static void test_steps_allocate_nothing(void **state) {
    (void)state;
    test_allocator allocator;
    test_allocator_install(&allocator);
    sw_params *p = large_params(SW_F32, SW_F32);
    sw_optim *o = NEW_OPTIM(p, .rule = "muon");
    const sw_objective f = {.size = sizeof f, .n = 4, .params = p, .user = p, .gradient = constant_gradient};
    assert_ok(sw_optim_minimize(o, &f, NULL));
    const long long before = atomic_load(&allocator.calls);
    for (int t = 0; t < 3; t++)
        assert_ok(sw_optim_minimize(o, &f, NULL));
    assert_int_equal(atomic_load(&allocator.calls), before);
    sw_optim_free(o);
    sw_params_free(p);
    assert_true(atomic_load(&allocator.live) == 0);
    sw_set_allocator(NULL);
}

/* ---- Coefficients ---- */

static void test_diverging_coefficients_are_refused(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    options_refused(p, (sw_optim_options){.rule = "muon ns_a=7"},
                    "muon: Newton-Schulz iterations with ns_a = 7, ns_b = -4.775, ns_c = 2.0315 diverge: after "
                    "ns_steps = 5 a singular value may be 3.13e+87 (the default coefficients keep all of them below "
                    "1.3)");
    options_refused(p, (sw_optim_options){.rule = "muon ns_a=0 ns_b=0 ns_c=0"},
                    "muon: ns_a, ns_b and ns_c are all 0, and matrices would not move (omit them for the default "
                    "coefficients)");
    sw_optim_free(NEW_OPTIM(p, .rule = "muon ns_a=1.5 ns_b=-0.5 ns_c=0 ns_steps=20")); /* Newton-Schulz of order 3 */
    sw_params_free(p);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_routes_in_a_network),       TEST(test_large_and_small_matrices),
        TEST(test_products_in_bf16_are_near), TEST(test_bits_do_not_depend_on_threads),
        TEST(test_steps_allocate_nothing),    TEST(test_diverging_coefficients_are_refused),
    };
    return cmocka_run_group_tests_name("muon", tests, NULL, NULL);
}
