/* Every function of one number, loss and row operation at -∞, ∞ and NaN: the limit of its value and
 * of its derivative, in both types and on every kernel level of this processor. */
#include "support.h"

#include <swale/extend.h>
#include "levels.h"

enum { N = 67 }; /* vectors and what is left over */
#define INF ((double)INFINITY)
#define NO ((double)NAN)

typedef sw_tensor build(sw_tensor x, double a);

/* N times the number a, in the type of x. */
static sw_tensor same_of(sw_tensor x, double a) {
    const sw_array v = sw_value(x);
    sw_tensor t = sw_empty(x.tape, v.type, v.rank, v.shape);
    const sw_array to = sw_value(t);
    for (int64_t i = 0; i < sw_array_count(&to); i++)
        test_set(&to, i, a);
    return t;
}
static sw_tensor ids_of(sw_tensor x, double id) {
    sw_tensor t = sw_empty(x.tape, SW_I32, SW_SHAPE(N));
    for (int i = 0; i < N; i++)
        ((int32_t *)sw_value(t).data)[i] = (int32_t)id;
    return t;
}

#define OF(name, expression)                       \
    static sw_tensor name(sw_tensor x, double a) { \
        (void)a;                                   \
        return expression;                         \
    }
OF(neg, sw_neg(x))
OF(scale, sw_scale(x, a))
OF(exp_, sw_exp(x))
OF(log_, sw_log(x))
OF(sqrt_, sw_sqrt(x))
OF(abs_, sw_abs(x))
OF(sin_, sw_sin(x))
OF(cos_, sw_cos(x))
OF(clamp, sw_clamp(x, -1, 2))
OF(power, sw_pow(x, a))
OF(power_base, sw_pow_tensor(x, same_of(x, a)))
OF(power_exponent, sw_pow_tensor(same_of(x, a), x))
OF(log1p_, sw_log1p(x))
OF(expm1_, sw_expm1(x))
OF(erf_, sw_erf(x))
OF(sign, sw_sign(x))
OF(floor_, sw_floor(x))
OF(ceil_, sw_ceil(x))
OF(round_, sw_round(x))
OF(trunc_, sw_trunc(x))
OF(relu, sw_relu(x))
OF(tanh_, sw_tanh(x))
OF(sigmoid, sw_sigmoid(x))
OF(leaky_relu, sw_leaky_relu(x, a))
OF(elu, sw_elu(x, a))
OF(silu, sw_silu(x))
OF(softplus, sw_softplus(x))
OF(gelu, sw_gelu(x))
OF(gelu_tanh, sw_gelu_tanh(x))
OF(squared_relu, sw_squared_relu(x))
OF(plus, sw_add(x, same_of(x, a)))
OF(minus, sw_sub(same_of(x, a), x))
OF(times, sw_mul(x, same_of(x, a)))
OF(over, sw_div(same_of(x, a), x))
OF(maximum, sw_maximum(x, same_of(x, a)))
OF(minimum, sw_minimum(same_of(x, a), x))
OF(mse, sw_mse_with_options(x, same_of(x, a), &SW_OPTIONS(sw_loss_options, .reduction = SW_NONE)))
OF(l1, sw_l1_with_options(same_of(x, a), x, &SW_OPTIONS(sw_loss_options, .reduction = SW_NONE)))
OF(huber, sw_huber_with_options(x, same_of(x, a), &SW_OPTIONS(sw_huber_options, .delta = 1, .reduction = SW_NONE)))
OF(huber_target,
   sw_huber_with_options(same_of(x, a), x, &SW_OPTIONS(sw_huber_options, .delta = 1, .reduction = SW_NONE)))
OF(hinge, sw_hinge_with_options(x, same_of(x, a), &SW_OPTIONS(sw_loss_options, .reduction = SW_NONE)))
OF(hinge_target, sw_hinge_with_options(same_of(x, a), x, &SW_OPTIONS(sw_loss_options, .reduction = SW_NONE)))
OF(bce, sw_bce_with_logits_with_options(x, same_of(x, a), &SW_OPTIONS(sw_bce_options, .reduction = SW_NONE)))
OF(bce_target, sw_bce_with_logits_with_options(same_of(x, a), x, &SW_OPTIONS(sw_bce_options, .reduction = SW_NONE)))
OF(bce_positive,
   sw_bce_with_logits_with_options(x, same_of(x, a),
                                   &SW_OPTIONS(sw_bce_options, .reduction = SW_NONE, .pos_weight = same_of(x, 3))))
OF(bce_positive_target,
   sw_bce_with_logits_with_options(same_of(x, a), x,
                                   &SW_OPTIONS(sw_bce_options, .reduction = SW_NONE, .pos_weight = same_of(x, 1))))
OF(kl, sw_kl_div_with_options(sw_reshape(x, SW_SHAPE(N, 1)), sw_reshape(same_of(x, a), SW_SHAPE(N, 1)),
                              &SW_OPTIONS(sw_loss_options, .reduction = SW_NONE)))

/* x beside a 0: rows of two, and columns of two. */
static sw_tensor rows(sw_tensor x, double a) {
    sw_tensor column = sw_reshape(x, SW_SHAPE(N, 1));
    return sw_concat(SW_TENSORS(column, same_of(column, a)), 1);
}
static sw_tensor columns(sw_tensor x, double a) {
    sw_tensor row = sw_reshape(x, SW_SHAPE(1, N));
    return sw_concat(SW_TENSORS(row, same_of(row, a)), 0);
}
OF(softmax_rows, sw_slice(sw_softmax(rows(x, 0), 1), 1, 0, 1))
OF(softmax_columns, sw_slice(sw_softmax(columns(x, 0), 0), 0, 0, 1))
OF(log_softmax_rows, sw_slice(sw_log_softmax(rows(x, 0), 1), 1, 0, 1))
OF(log_softmax_columns, sw_slice(sw_log_softmax(columns(x, 0), 0), 0, 0, 1))
OF(logsumexp_rows, sw_logsumexp_over(rows(x, 0), SW_AXES(1), false))
OF(logsumexp_columns, sw_logsumexp_over(columns(x, 0), SW_AXES(0), false))
OF(cross_entropy, sw_cross_entropy_with_options(rows(x, 0), ids_of(x, a),
                                                &(sw_cross_entropy_options){.size = sizeof(sw_cross_entropy_options),
                                                                            .reduction = SW_SUM}))
OF(cross_entropy_each,
   sw_cross_entropy_with_options(rows(x, 0), ids_of(x, a),
                                 &(sw_cross_entropy_options){.size = sizeof(sw_cross_entropy_options),
                                                             .reduction = SW_NONE}))
/* Distributions that are all at the class of x (a = 1) or at the other one (a = 0). */
static sw_tensor cross_entropy_soft(sw_tensor x, double a) {
    sw_tensor z = rows(x, 0), one = sw_reshape(same_of(x, a), SW_SHAPE(N, 1));
    sw_tensor t = sw_concat(SW_TENSORS(one, same_of(one, 1 - a)), 1);
    return sw_cross_entropy_with_options(
        z, t, &(sw_cross_entropy_options){.size = sizeof(sw_cross_entropy_options), .reduction = SW_NONE});
}
OF(sum, sw_sum_over(rows(x, 1), SW_AXES(1), false))
OF(prod, sw_prod_over(rows(x, 2), SW_AXES(1), false))
OF(cumsum, sw_cumsum(columns(x, 1), 0))
OF(cumprod, sw_cumprod(rows(x, 2), 1))
OF(max_over, sw_max_over(rows(x, 0), SW_AXES(1), false))
OF(min_over, sw_min_over(columns(x, 0), SW_AXES(0), false))
OF(sort, sw_slice(sw_sort(columns(x, 0), 0, true, NULL), 0, 0, 1))
OF(top_k, sw_top_k(rows(x, 0), 1, 1, true, NULL))
OF(norm, sw_norm_over(rows(x, 1), a, SW_AXES(1), false))
OF(where, sw_where(sw_greater(same_of(x, a), same_of(x, 0)), x, same_of(x, 5)))

typedef struct limit {
    const char *name;
    build *build;
    double a;
    double value[3], derivative[3]; /* at -∞, ∞, NaN */
} limit;

static const limit limits[] = {
    {"neg", neg, 0, {INF, -INF, NO}, {-1, -1, -1}},
    {"scale", scale, 2, {-INF, INF, NO}, {2, 2, 2}},
    {"exp", exp_, 0, {0, INF, NO}, {0, INF, NO}},
    {"log", log_, 0, {NO, INF, NO}, {NO, 0, NO}},
    {"sqrt", sqrt_, 0, {NO, INF, NO}, {NO, 0, NO}},
    {"abs", abs_, 0, {INF, INF, NO}, {-1, 1, NO}},
    {"sin", sin_, 0, {NO, NO, NO}, {NO, NO, NO}},
    {"cos", cos_, 0, {NO, NO, NO}, {NO, NO, NO}},
    {"clamp", clamp, 0, {-1, 2, NO}, {0, 0, NO}},
    {"pow 0", power, 0, {1, 1, 1}, {0, 0, 0}},
    {"pow 1", power, 1, {-INF, INF, NO}, {1, 1, 1}},
    {"pow 2", power, 2, {INF, INF, NO}, {-INF, INF, NO}},
    {"pow 3", power, 3, {-INF, INF, NO}, {INF, INF, NO}},
    {"pow -1", power, -1, {0, 0, NO}, {0, 0, NO}},
    {"pow 0.5", power, 0.5, {INF, INF, NO}, {0, 0, NO}},
    {"pow_tensor, base, 0", power_base, 0, {1, 1, 1}, {0, 0, 0}},
    {"pow_tensor, base, 1", power_base, 1, {-INF, INF, NO}, {1, 1, 1}},
    {"pow_tensor, base, 2", power_base, 2, {INF, INF, NO}, {-INF, INF, NO}},
    {"pow_tensor, base, 3", power_base, 3, {-INF, INF, NO}, {INF, INF, NO}},
    {"pow_tensor, base, -1", power_base, -1, {0, 0, NO}, {0, 0, NO}},
    {"pow_tensor, base, 0.5", power_base, 0.5, {INF, INF, NO}, {0, 0, NO}},
    {"pow_tensor, exponent of 2", power_exponent, 2, {0, INF, NO}, {0, INF, NO}},
    {"pow_tensor, exponent of 0.5", power_exponent, 0.5, {INF, 0, NO}, {-INF, 0, NO}},
    {"pow_tensor, exponent of 1", power_exponent, 1, {1, 1, 1}, {0, 0, 0}},
    {"log1p", log1p_, 0, {NO, INF, NO}, {NO, 0, NO}},
    {"expm1", expm1_, 0, {-1, INF, NO}, {0, INF, NO}},
    {"erf", erf_, 0, {-1, 1, NO}, {0, 0, NO}},
    {"sign", sign, 0, {-1, 1, NO}, {0, 0, 0}},
    {"floor", floor_, 0, {-INF, INF, NO}, {0, 0, 0}},
    {"ceil", ceil_, 0, {-INF, INF, NO}, {0, 0, 0}},
    {"round", round_, 0, {-INF, INF, NO}, {0, 0, 0}},
    {"trunc", trunc_, 0, {-INF, INF, NO}, {0, 0, 0}},
    {"relu", relu, 0, {0, INF, NO}, {0, 1, NO}},
    {"tanh", tanh_, 0, {-1, 1, NO}, {0, 0, NO}},
    {"sigmoid", sigmoid, 0, {0, 1, NO}, {0, 0, NO}},
    {"leaky_relu", leaky_relu, 0.25, {-INF, INF, NO}, {0.25, 1, NO}},
    {"leaky_relu 0", leaky_relu, 0, {0, INF, NO}, {0, 1, NO}},
    {"elu", elu, 1.5, {-1.5, INF, NO}, {0, 1, NO}},
    {"silu", silu, 0, {0, INF, NO}, {0, 1, NO}},
    {"softplus", softplus, 0, {0, INF, NO}, {0, 1, NO}},
    {"gelu", gelu, 0, {0, INF, NO}, {0, 1, NO}},
    {"gelu_tanh", gelu_tanh, 0, {0, INF, NO}, {0, 1, NO}},
    {"squared_relu", squared_relu, 0, {0, INF, NO}, {0, INF, NO}},
    {"x + 1", plus, 1, {-INF, INF, NO}, {1, 1, 1}},
    {"1 - x", minus, 1, {INF, -INF, NO}, {-1, -1, -1}},
    {"2 x", times, 2, {-INF, INF, NO}, {2, 2, 2}},
    {"1 / x", over, 1, {0, 0, NO}, {0, 0, NO}},
    {"maximum", maximum, 1, {1, INF, NO}, {0, 1, NO}},
    {"minimum", minimum, 1, {-INF, 1, NO}, {1, 0, NO}},
    {"mse", mse, 1, {INF, INF, NO}, {-INF, INF, NO}},
    {"l1", l1, 1, {INF, INF, NO}, {-1, 1, NO}},
    {"huber", huber, 1, {INF, INF, NO}, {-1, 1, NO}},
    {"huber, target", huber_target, 1, {INF, INF, NO}, {-1, 1, NO}},
    {"hinge 1", hinge, 1, {INF, 0, NO}, {-1, 0, NO}},
    {"hinge -1", hinge, -1, {0, INF, NO}, {0, 1, NO}},
    {"hinge, target", hinge_target, 2, {INF, 0, NO}, {-2, 0, NO}},
    {"bce 1", bce, 1, {INF, 0, NO}, {-1, 0, NO}},
    {"bce 0", bce, 0, {0, INF, NO}, {0, 1, NO}},
    {"bce 0.5", bce, 0.5, {INF, INF, NO}, {-0.5, 0.5, NO}},
    {"bce, target", bce_target, 2, {INF, -INF, NO}, {-2, -2, -2}},
    {"bce with pos_weight 1", bce_positive, 1, {INF, 0, NO}, {-3, 0, NO}},
    {"bce with pos_weight 0", bce_positive, 0, {0, INF, NO}, {0, 1, NO}},
    {"bce with pos_weight 0.5", bce_positive, 0.5, {INF, INF, NO}, {-1.5, 0.5, NO}},
    {"bce with pos_weight, target", bce_positive_target, 2, {INF, -INF, NO}, {-2, -2, -2}},
    {"kl 0.5", kl, 0.5, {INF, -INF, NO}, {-0.5, -0.5, -0.5}},
    {"kl 0", kl, 0, {0, 0, NO}, {0, 0, 0}},
    {"softmax of rows", softmax_rows, 0, {0, 1, NO}, {0, 0, NO}},
    {"softmax of columns", softmax_columns, 0, {0, 1, NO}, {0, 0, NO}},
    {"log_softmax of rows", log_softmax_rows, 0, {-INF, 0, NO}, {1, 0, NO}},
    {"log_softmax of columns", log_softmax_columns, 0, {-INF, 0, NO}, {1, 0, NO}},
    {"logsumexp of rows", logsumexp_rows, 0, {0, INF, NO}, {0, 1, NO}},
    {"logsumexp of columns", logsumexp_columns, 0, {0, INF, NO}, {0, 1, NO}},
    {"cross_entropy, its class", cross_entropy, 0, {INF, 0, NO}, {-1, 0, NO}},
    {"cross_entropy, another class", cross_entropy, 1, {0, INF, NO}, {0, 1, NO}},
    {"cross_entropy each, its class", cross_entropy_each, 0, {INF, 0, NO}, {-1, 0, NO}},
    {"cross_entropy each, another class", cross_entropy_each, 1, {0, INF, NO}, {0, 1, NO}},
    {"cross_entropy soft, its class", cross_entropy_soft, 1, {INF, 0, NO}, {-1, 0, NO}},
    {"cross_entropy soft, another class", cross_entropy_soft, 0, {0, INF, NO}, {0, 1, NO}},
    {"sum", sum, 0, {-INF, INF, NO}, {1, 1, 1}},
    {"prod", prod, 0, {-INF, INF, NO}, {2, 2, 2}},
    {"cumsum", cumsum, 0, {-INF, INF, NO}, {2, 2, 2}},
    {"cumprod", cumprod, 0, {-INF, INF, NO}, {3, 3, 3}},
    {"max_over", max_over, 0, {0, INF, NO}, {0, 1, NO}},
    {"min_over", min_over, 0, {-INF, 0, NO}, {1, 0, NO}},
    {"the first of two sorted", sort, 0, {0, INF, NO}, {0, 1, 1}},
    {"the smallest of two", top_k, 0, {-INF, 0, 0}, {1, 0, 0}},
    {"norm 1", norm, 1, {INF, INF, NO}, {-1, 1, NO}},
    {"norm 2", norm, 2, {INF, INF, NO}, {-1, 1, NO}},
    {"norm 3", norm, 3, {INF, INF, NO}, {-1, 1, NO}},
    {"norm inf", norm, INF, {INF, INF, NO}, {-1, 1, NO}},
    {"where taken", where, 1, {-INF, INF, NO}, {1, 1, 1}},
    {"where not taken", where, -1, {5, 5, 5}, {0, 0, 0}},
};

static bool equal(double a, double b) {
    return a == b || (isnan(a) && isnan(b));
}

static void check_limit(const limit *l, sw_dtype type, int which) {
    const double at[3] = {-INF, INF, NO};
    sw_array in = test_array(type, SW_SHAPE(N));
    for (int i = 0; i < N; i++)
        test_set(&in, i, at[which]);
    sw_tape *tape = sw_tape_new();
    sw_tensor x = sw_variable(tape, in), y = l->build(x, l->a);
    const sw_array value = sw_value(y);
    if (!value.data || sw_backward_from(y, sw_value(same_of(y, 1))) != SW_OK)
        fail_msg("%s: %s", l->name, sw_error());
    const sw_array d = sw_grad(x);
    for (int64_t i = 0; i < sw_array_count(&value); i++)
        if (!equal(test_get(&value, i), l->value[which]))
            fail_msg("%s, %s: %g at %g; its limit is %g", l->name, sw_dtype_name(type), test_get(&value, i), at[which],
                     l->value[which]);
    for (int i = 0; i < N; i++)
        if (!equal(test_get(&d, i), l->derivative[which]))
            fail_msg("%s, %s: derivative %g at %g; its limit is %g", l->name, sw_dtype_name(type), test_get(&d, i),
                     at[which], l->derivative[which]);
    sw_tape_free(tape);
    test_array_free(&in);
}

static void check_limits(void) {
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        for (int type = SW_F32; type <= SW_F64; type++)
            for (int which = 0; which < 3; which++)
                check_limit(&limits[i], (sw_dtype)type, which);
}

static void test_values_and_derivatives_have_their_limits(void **state) {
    (void)state;
    each_level(check_limits);
}

/* A derivative at ±0 where the function is steep. */
static void test_derivative_at_zero_has_its_limit(void **state) {
    (void)state;
    for (int type = SW_F32; type <= SW_F64; type++)
        for (int sign = 0; sign < 2; sign++) {
            sw_array in = test_array((sw_dtype)type, 0, NULL);
            test_set(&in, 0, sign ? -0.0 : 0.0);
            sw_tape *tape = sw_tape_new();
            sw_tensor x = sw_variable(tape, in);
            assert_true(sw_item(sw_abs(x)) == 0 && !signbit(sw_item(sw_abs(x))));
            assert_int_equal(sw_backward(sw_log(x)), SW_OK);
            const sw_array d = sw_grad(x);
            assert_true(test_get(&d, 0) == INF);
            assert_int_equal(sw_backward(sw_sqrt(x)), SW_OK); /* adds to it: -∞ would make NaN */
            assert_true(test_get(&d, 0) == INF);
            sw_tape_free(tape);
            test_array_free(&in);
        }
}

/* Several ∞ share evenly, as several largest do; rows of -∞ alone have no softmax. */
static void test_softmax_shares_among_infinities(void **state) {
    (void)state;
    const float row[3] = {INFINITY, 1, INFINITY}, none[2] = {-INFINITY, -INFINITY};
    sw_tape *tape = sw_tape_new();
    sw_tensor x = sw_variable(tape, sw_array_view(row, SW_F32, SW_SHAPE(3)));
    sw_tensor low = sw_variable(tape, sw_array_view(none, SW_F32, SW_SHAPE(2)));
    const float *p = sw_value(sw_softmax(x, 0)).data;
    assert_true(p[0] == 0.5f && p[1] == 0 && p[2] == 0.5f);
    assert_int_equal(sw_backward(sw_logsumexp_over(x, SW_ALL_AXES, false)), SW_OK);
    const float *d = sw_grad(x).data;
    assert_true(d[0] == 0.5f && d[1] == 0 && d[2] == 0.5f);
    p = sw_value(sw_softmax(low, 0)).data;
    assert_true(isnan(p[0]) && isnan(p[1]));
    sw_tensor least = sw_logsumexp_over(low, SW_ALL_AXES, false);
    assert_true(sw_item(least) == -INF);
    assert_int_equal(sw_backward(least), SW_OK);
    d = sw_grad(low).data;
    assert_true(d[0] == 0 && d[1] == 0);
    sw_tape_free(tape);
}

/* Gradients that are softmax: to 1e-7 whatever is added to all logits. Rounding of e^d (1 ulp), of
 * the sum, its inverse and the product (½ each) makes 2.5·2^-24 p, and the rounding of d or of log
 * p, |log p| 2^-24 p, at most 0.37·2^-24: below 1e-7 for p ≤ 0.5, which these are. */
static void test_softmax_gradient_does_not_depend_on_the_offset(void **state) {
    (void)state;
    static const double offsets[] = {0, 1000, -1000, 5e6, -5e6, 1e8};
    enum { K = 6 };
    for (size_t o = 0; o < sizeof offsets / sizeof *offsets; o++) {
        float x[K], t[K] = {1, 0, 0, 0, 0, 0};
        long double total = 0, p[K];
        for (int i = 0; i < K; i++)
            x[i] = (float)(offsets[o] + 0.37 * (i % 3) - 2 * (i == 4));
        for (int i = 0; i < K; i++)
            total += p[i] = expl((long double)x[i] - (long double)x[2]);
        sw_tape *tape = sw_tape_new();
        const sw_array in = sw_array_view(x, SW_F32, SW_SHAPE(1, K));
        sw_tensor a = sw_variable(tape, in), b = sw_variable(tape, in), c = sw_variable(tape, in);
        assert_int_equal(sw_backward(sw_sum(sw_logsumexp_over(a, SW_AXES(1), false))), SW_OK);
        assert_int_equal(sw_backward(sw_sum(sw_slice(sw_log_softmax(b, 1), 1, 0, 1))), SW_OK);
        assert_int_equal(sw_backward(sw_cross_entropy(c, sw_input(tape, sw_array_view(t, SW_F32, SW_SHAPE(1, K))))),
                         SW_OK);
        for (int i = 0; i < K; i++) {
            const double exact = (double)(p[i] / total);
            assert_true(exact <= 0.5);
            assert_true(fabs((double)((const float *)sw_grad(a).data)[i] - exact) <= 1e-7);
            assert_true(fabs((double)((const float *)sw_grad(b).data)[i] - ((i == 0) - exact)) <= 1e-7);
            assert_true(fabs((double)((const float *)sw_grad(c).data)[i] - (exact - (i == 0))) <= 1e-7);
        }
        sw_tape_free(tape);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_values_and_derivatives_have_their_limits, test_clear),
        cmocka_unit_test_setup(test_derivative_at_zero_has_its_limit, test_clear),
        cmocka_unit_test_setup(test_softmax_shares_among_infinities, test_clear),
        cmocka_unit_test_setup(test_softmax_gradient_does_not_depend_on_the_offset, test_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
