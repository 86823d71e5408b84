/* Code that the tests of layers share. */
#ifndef SWALE_TEST_NN_HELPERS_H
#define SWALE_TEST_NN_HELPERS_H

#include "support.h"

#include <swale/extend.h>
#include <swale/nn.h>

#define TEST(name) cmocka_unit_test_teardown(name, test_clear)

static const sw_dtype both_types[2] = {SW_F32, SW_F64};
/* The types of inputs that may hold ids. */
enum { INPUT_TYPES = 4 };
static const sw_dtype input_types[INPUT_TYPES] = {SW_F32, SW_F64, SW_I32, SW_U8};

static inline sw_params *built(sw_model *model, sw_module *root) {
    sw_params *p = sw_model_build(model, root);
    if (!p)
        fail_msg("%s", sw_error());
    return p;
}

/* Calls run(user) again and again, while each of its allocations in turn fails, for once and for good. Each time `run`
 * must return false with SW_ERR_MEMORY and free everything. It needs more than `least` allocations. */
static inline void expect_failed_allocations(bool (*run)(const void *user), const void *user, long long least) {
    test_allocator a;
    test_allocator_install(&a);
    test_allocator_fail(&a, 0, false);
    assert_true(run(user));
    const long long requests = atomic_load(&a.calls);
    assert_true(requests > least);
    assert_int_equal(atomic_load(&a.live), 0);
    for (int for_good = 0; for_good < 2; for_good++)
        for (long long k = 1; k <= requests; k++) {
            test_allocator_fail(&a, k, for_good != 0);
            const bool good = run(user);
            test_allocator_fail(&a, 0, false);
            if (good)
                fail_msg("request %lld of %lld failed unnoticed", k, requests);
            assert_non_null(sw_error());
            if (sw_error_status() != SW_ERR_MEMORY)
                fail_msg("request %lld: %s", k, sw_error());
            sw_clear_error();
            assert_int_equal(atomic_load(&a.live), 0);
        }
    sw_set_allocator(NULL);
}

static inline void set_values(sw_params *p, const char *name, const double *values) {
    sw_param *param = sw_params_find(p, name);
    if (!param)
        fail_msg("there is no parameter %s", name);
    sw_array a = sw_param_value(param);
    for (int64_t i = 0; i < param->count; i++)
        test_set(&a, i, values[i]);
}

static inline double value_of(sw_params *p, const char *name, int64_t i) {
    sw_array a = sw_param_value(sw_params_find(p, name));
    return test_get(&a, i);
}

static inline sw_tensor tensor_of(sw_tape *tape, sw_dtype type, int rank, const int64_t *shape, const double *values) {
    sw_tensor x = sw_empty(tape, type, rank, shape);
    sw_array a = sw_value(x);
    for (int64_t i = 0; i < sw_array_count(&a); i++)
        test_set(&a, i, values[i]);
    return x;
}

/* A tensor [rows, columns] with these values. */
static inline sw_tensor rows_of(sw_tape *tape, sw_dtype type, int64_t rows, int64_t columns, const double *values) {
    sw_tensor x = sw_empty(tape, type, SW_SHAPE(rows, columns));
    sw_array a = sw_value(x);
    for (int64_t i = 0; i < rows * columns; i++)
        test_set(&a, i, values[i]);
    return x;
}

/* Checks the elements of t, of any shape. */
static inline void assert_values(sw_tensor t, const double *expected, int64_t count, double tolerance) {
    expect_no_error();
    sw_array a = sw_value(t);
    assert_int_equal(sw_array_count(&a), count);
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(test_get(&a, i) - expected[i]) <= tolerance))
            fail_msg("element %d: %.9g, %.9g expected", (int)i, test_get(&a, i), expected[i]);
}

/* Two rows of three numbers, and a linear layer from three to two: small integers and halves, exact in both types. */
static const double small_weight[6] = {1, -2, 0.5, 3, 0, -1}, small_bias[2] = {0.5, -4},
                    small_points[6] = {2, 1, 4, -1, 3, 2};

static inline void expect_values(sw_tensor t, int rank, const int64_t *shape, const double *expected,
                                 double tolerance) {
    expect_no_error();
    sw_array a = sw_value(t);
    assert_int_equal(a.rank, rank);
    for (int i = 0; i < rank; i++)
        assert_int_equal(a.shape[i], shape[i]);
    for (int64_t i = 0; i < sw_array_count(&a); i++)
        if (!(fabs(test_get(&a, i) - expected[i]) <= tolerance))
            fail_msg("element %d: %.9g, %.9g expected", (int)i, test_get(&a, i), expected[i]);
}

/* The text that sw_model_print writes. */
static inline const char *print_of(const sw_model *model) {
    static char text[4096];
    FILE *to = tmpfile();
    assert_non_null(to);
    sw_model_print(model, to);
    rewind(to);
    text[fread(text, 1, sizeof text - 1, to)] = 0;
    fclose(to);
    return text;
}

/* A forward function that returns its input. */
static inline sw_tensor as_it_is(sw_module *module, sw_tensor x) {
    (void)module;
    return x;
}

/* ⟨f(x), cotangent⟩ */
static inline double run_loss(sw_module *root, sw_tape *tape, const sw_array *x, const sw_array *cotangent) {
    sw_tape_reset(tape);
    sw_array y = sw_value(sw_forward(root, sw_input(tape, *x)));
    expect_no_error();
    double sum = 0;
    for (int64_t i = 0; i < sw_array_count(&y); i++)
        sum += test_get(&y, i) * test_get(cotangent, i);
    return sum;
}

/* Steps of 1e-6 in f64. The larger part of the error is the rounding of a loss of size 1 to 10, 1e-15·10/1e-6 = 1e-8;
 * that of the third derivative is 1e-12. */
static inline void check_slope(sw_module *root, sw_tape *tape, const sw_array *x, const sw_array *cotangent, double *at,
                               double analytic, const char *what, int64_t i) {
    const double step = 1e-6, keep = *at;
    *at = keep + step;
    sw_params_mark_changed(sw_model_params(root->model));
    double up = run_loss(root, tape, x, cotangent);
    *at = keep - step;
    double down = run_loss(root, tape, x, cotangent);
    *at = keep;
    double numeric = (up - down) / (2 * step);
    if (!(fabs(numeric - analytic) <= 1e-7 + 1e-6 * fabs(numeric)))
        fail_msg("%s[%d]: gradient %.9g, by differences %.9g", what, (int)i, analytic, numeric);
}

/* Checks the gradients of the input (if it is real) and of every parameter of a built f64 model. */
static inline void check_gradients(sw_module *root, const sw_array *x) {
    sw_params *p = sw_model_params(root->model);
    sw_tape *tape = sw_tape_new();
    sw_tape_set_switch(tape, SW_TRAIN, false);
    bool real = x->type == SW_F64;
    sw_tensor in = real ? sw_variable(tape, *x) : sw_input(tape, *x);
    sw_tensor y = sw_forward(root, in);
    expect_no_error();
    sw_array value = sw_value(y), dx = {0};
    sw_array cotangent = test_filled(SW_F64, value.rank, value.shape, -1, 1, 3);
    sw_gradient_make_fresh(sw_params_gradient(p));
    assert_int_equal(sw_backward_from(y, cotangent), SW_OK);
    if (real) {
        sw_array g = sw_grad(in);
        assert_non_null(g.data);
        dx = test_array(SW_F64, g.rank, g.shape);
        memcpy(dx.data, g.data, test_bytes(&g));
    }
    int64_t dim = sw_params_dim(p);
    double *g = sw_gradient_data(sw_params_gradient(p)), *at = sw_params_x(p);
    for (int64_t i = 0; i < dim; i++)
        check_slope(root, tape, x, &cotangent, at + i, g[i], "parameters", i);
    for (int64_t i = 0; real && i < sw_array_count(x); i++)
        check_slope(root, tape, x, &cotangent, (double *)x->data + i, test_get(&dx, i), "input", i);
    test_array_free(&dx);
    test_array_free(&cotangent);
    sw_tape_free(tape);
}

typedef sw_module *(*make_root)(sw_model *model);

/* Checks that a model with this root is refused with this message. */
static inline void refused(make_root make, sw_status status, const char *message) {
    sw_model *model = sw_model_new(SW_F32, 1);
    assert_null(sw_model_build(model, make(model)));
    expect_error(status, message);
    sw_model_free(model);
}

#endif
