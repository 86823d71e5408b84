/* Initial values of a linear layer: moments and bounds of the initializers of He and Xavier, and the quantities on
 * which they depend. test_init.c tests the other initializers. */
#include "helpers.h"

enum { IN = 400, OUT = 100 };

static sw_params *initialized(sw_dtype type, uint64_t seed, sw_init init, sw_model **model) {
    *model = sw_model_new(type, seed);
    sw_module *linear = sw_nn_linear(*model, IN, OUT);
    return built(*model, init.fill ? sw_module_set_init(linear, init) : linear);
}

/* Mean, standard deviation, and for uniform values the bound √3 s. */
static void check_init(sw_init init, double s, bool uniform) {
    sw_model *model;
    sw_params *p = initialized(SW_F64, 11, init, &model);
    sw_array w = sw_param_value(sw_params_find(p, "linear1.weight"));
    double n = IN * OUT, sum = 0, squares = 0, largest = 0;
    for (int64_t i = 0; i < IN * OUT; i++) {
        double v = test_get(&w, i);
        sum += v;
        squares += v * v;
        largest = fmax(largest, fabs(v));
    }
    double mean = sum / n, deviation = sqrt(squares / n);
    /* Standard errors: s/√n of the mean; of the deviation s/√(2n), less for uniform values
     * (kurtosis 1.8 gives 0.63 of that). Five of them each. */
    assert_true(fabs(mean) <= 5 * s / sqrt(n));
    assert_true(fabs(deviation - s) <= 5 * s / sqrt(2 * n) * (uniform ? 0.6325 : 1));
    if (uniform) { /* within the bound, and near it: (1 - 1e-3)^40000 = e^-40 by chance */
        assert_true(largest <= sqrt(3) * s * (1 + 1e-15));
        assert_true(largest >= sqrt(3) * s * (1 - 1e-3));
    } else { /* the largest of 40000 is beyond 3.5 s, or else by chance with e^-18; below 6.5 s */
        assert_true(largest >= 3.5 * s && largest <= 6.5 * s);
    }
    sw_model_free(model);
}

static void test_he_and_xavier_have_their_moments(void **state) {
    (void)state;
    const double he = 1 / sqrt(IN), xavier = sqrt(2.0 / (IN + OUT));
    check_init((sw_init){0}, sqrt(2) * he, true); /* the default: He's uniform rule for ReLU */
    check_init(sw_init_he_uniform(1), he, true);
    check_init(sw_init_he_uniform(5.0 / 3), 5.0 / 3 * he, true);
    check_init(sw_init_he_normal(sqrt(2)), sqrt(2) * he, false);
    check_init(sw_init_xavier_uniform(1), xavier, true);
    check_init(sw_init_xavier_normal(2), 2 * xavier, false);
    sw_model *model;
    sw_params *p = initialized(SW_F64, 11, sw_init_zeros(), &model);
    for (int64_t i = 0; i < sw_params_dim(p); i++)
        assert_true(((const double *)sw_params_x(p))[i] == 0);
    sw_model_free(model);
}

static void test_initial_values_in_f32_are_f64_rounded(void **state) {
    (void)state;
    const sw_init all[] = {sw_init_he_uniform(1), sw_init_he_normal(1), sw_init_xavier_uniform(1),
                           sw_init_xavier_normal(1)};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        sw_model *single, *twice;
        sw_params *p = initialized(SW_F32, 5, all[k], &single), *q = initialized(SW_F64, 5, all[k], &twice);
        const float *x = sw_params_x(p);
        const double *y = sw_params_x(q);
        for (int64_t i = 0; i < IN * OUT; i++)
            assert_true(x[i] == (float)y[i]);
        sw_model_free(single);
        sw_model_free(twice);
    }
}

/* Seed and name alone: neither the order of declaration, nor other layers, nor the type of these.
 */
static void test_initial_values_by_seed_and_name(void **state) {
    (void)state;
    sw_model *one = sw_model_new(SW_F64, 3), *two = sw_model_new(SW_F64, 3), *three = sw_model_new(SW_F64, 4);
    sw_module *a = sw_module_set_name(sw_nn_linear(one, 4, 4), "a"),
              *b = sw_module_set_name(sw_nn_linear(one, 4, 4), "b");
    sw_params *p = built(one, sw_nn_sequential(one, a, b, NULL));
    sw_module *b2 = sw_module_set_name(sw_nn_linear(two, 4, 4), "b"), *more = sw_nn_linear(two, 4, 4),
              *a2 = sw_module_set_name(sw_nn_linear(two, 4, 4), "a");
    sw_params *q = built(two, sw_nn_sequential(two, b2, more, a2, NULL));
    sw_params *r = built(three, sw_module_set_name(sw_nn_linear(three, 4, 4), "a"));
    sw_array wa = sw_param_value(sw_params_find(p, "a.weight")), wa2 = sw_param_value(sw_params_find(q, "a.weight")),
             wb = sw_param_value(sw_params_find(p, "b.weight")), wb2 = sw_param_value(sw_params_find(q, "b.weight"));
    assert_memory_equal(wa.data, wa2.data, test_bytes(&wa));
    assert_memory_equal(wb.data, wb2.data, test_bytes(&wb));
    assert_true(value_of(p, "a.weight", 0) != value_of(p, "b.weight", 0));
    assert_true(value_of(q, "linear1.weight", 0) != value_of(q, "a.weight", 0));
    assert_true(value_of(r, "a.weight", 0) != value_of(p, "a.weight", 0));
    sw_model_free(one);
    sw_model_free(two);
    sw_model_free(three);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_he_and_xavier_have_their_moments),
        TEST(test_initial_values_in_f32_are_f64_rounded),
        TEST(test_initial_values_by_seed_and_name),
    };
    return cmocka_run_group_tests_name("initial_values", tests, NULL, NULL);
}
