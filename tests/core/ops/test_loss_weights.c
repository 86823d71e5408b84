/* Weights of elements, and pos_weight, in losses: means over parts, weights that add up to 0, constants, and messages.
 * The values and gradients are those of PyTorch (test_torch_ops.c). */
#include "support.h"

#include <swale/extend.h>

enum { ROWS = 6, WIDTH = 3, COUNT = ROWS * WIDTH };

/* ---- Every loss with weights ---- */

typedef sw_tensor weighted_loss(sw_tensor p, sw_tensor t, sw_tensor w, sw_reduction reduction);

static sw_tensor mse(sw_tensor p, sw_tensor t, sw_tensor w, sw_reduction reduction) {
    return sw_mse_with_options(p, t, &SW_OPTIONS(sw_loss_options, .reduction = reduction, .weight = w));
}
static sw_tensor l1(sw_tensor p, sw_tensor t, sw_tensor w, sw_reduction reduction) {
    return sw_l1_with_options(p, t, &SW_OPTIONS(sw_loss_options, .reduction = reduction, .weight = w));
}
static sw_tensor hinge(sw_tensor p, sw_tensor t, sw_tensor w, sw_reduction reduction) {
    return sw_hinge_with_options(p, t, &SW_OPTIONS(sw_loss_options, .reduction = reduction, .weight = w));
}
static sw_tensor huber(sw_tensor p, sw_tensor t, sw_tensor w, sw_reduction reduction) {
    return sw_huber_with_options(p, t, &SW_OPTIONS(sw_huber_options, .reduction = reduction, .weight = w));
}
static sw_tensor bce(sw_tensor p, sw_tensor t, sw_tensor w, sw_reduction reduction) {
    return sw_bce_with_logits_with_options(p, t, &SW_OPTIONS(sw_bce_options, .reduction = reduction, .weight = w));
}
static sw_tensor bce_positive(sw_tensor p, sw_tensor t, sw_tensor w, sw_reduction reduction) {
    return sw_bce_with_logits_with_options(p, t, &SW_OPTIONS(sw_bce_options, .reduction = reduction, .pos_weight = w));
}

static const struct {
    const char *name;
    weighted_loss *apply;
    bool over_weights; /* the mean is divided by the sum of the weights */
} losses[] = {{"mse", mse, true},      {"l1", l1, true},    {"hinge", hinge, true},
              {"huber", huber, false}, {"bce", bce, false}, {"bce with pos_weight", bce_positive, false}};
enum { LOSSES = sizeof losses / sizeof *losses };

/* The rows [begin, end) of an array [ROWS, WIDTH] as a tensor. */
static sw_tensor rows_of(sw_tape *tape, const sw_array *a, int begin, int end) {
    return sw_input(tape, sw_array_view((const double *)a->data + begin * WIDTH, SW_F64, SW_SHAPE(end - begin, WIDTH)));
}

/* The mean over parts is that of all rows, wherever they are divided. Both are sums of 18 terms below 10 with two
 * roundings each: the tolerance is 64 · 2^-53 relative to them. */
static void test_mean_does_not_depend_on_the_parts(void **state) {
    (void)state;
    sw_array p = test_filled(SW_F64, SW_SHAPE(ROWS, WIDTH), -2, 2, 1),
             t = test_filled(SW_F64, SW_SHAPE(ROWS, WIDTH), 0, 1, 2),
             w = test_filled(SW_F64, SW_SHAPE(ROWS, WIDTH), 0, 3, 3);
    sw_tape *tape = sw_tape_new();
    for (int l = 0; l < LOSSES; l++)
        for (int cut = 0; cut <= ROWS; cut++) {
            sw_loss_mean mean = {0};
            const double whole = sw_item(losses[l].apply(rows_of(tape, &p, 0, ROWS), rows_of(tape, &t, 0, ROWS),
                                                         rows_of(tape, &w, 0, ROWS), SW_MEAN));
            for (int part = 0; part < 2; part++) {
                const int begin = part ? cut : 0, end = part ? ROWS : cut;
                sw_tensor loss = losses[l].apply(rows_of(tape, &p, begin, end), rows_of(tape, &t, begin, end),
                                                 rows_of(tape, &w, begin, end), SW_MEAN);
                assert_ok(sw_loss_mean_add(&mean, loss));
            }
            if (!(fabs(sw_loss_mean_value(&mean) - whole) <= 64 * 0x1p-53 * whole))
                fail_msg("%s, cut at %d: %.17g, not %.17g", losses[l].name, cut, sw_loss_mean_value(&mean), whole);
            sw_tape_reset(tape);
        }
    sw_tape_free(tape);
    test_array_free(&p);
    test_array_free(&t);
    test_array_free(&w);
}

/* The mean of elements with weights is the plain mean of those with weight 1, if the others have weight 0: a mask. For
 * means over the elements the number of elements remains the divisor. The weight of a loss is its divisor. */
static void test_weights_of_zero_are_a_mask(void **state) {
    (void)state;
    double p[COUNT], t[COUNT], w[COUNT];
    uint64_t seed = 4;
    for (int i = 0; i < COUNT; i++) {
        p[i] = test_uniform(&seed, -2, 2);
        t[i] = test_uniform(&seed, 0, 1);
        w[i] = i < COUNT / 2;
    }
    sw_tape *tape = sw_tape_new();
    for (int l = 0; l < LOSSES - 1; l++) {
        sw_tensor all = losses[l].apply(sw_input(tape, sw_array_view(p, SW_F64, SW_SHAPE(ROWS, WIDTH))),
                                        sw_input(tape, sw_array_view(t, SW_F64, SW_SHAPE(ROWS, WIDTH))),
                                        sw_input(tape, sw_array_view(w, SW_F64, SW_SHAPE(ROWS, WIDTH))), SW_MEAN);
        sw_tensor half = losses[l].apply(sw_input(tape, sw_array_view(p, SW_F64, SW_SHAPE(COUNT / 2))),
                                         sw_input(tape, sw_array_view(t, SW_F64, SW_SHAPE(COUNT / 2))),
                                         sw_constant(tape, SW_F64, 1), SW_MEAN);
        expect_no_error();
        const double wanted = sw_item(half) * (losses[l].over_weights ? 1 : 0.5);
        assert_true(fabs(sw_item(all) - wanted) <= 32 * 0x1p-53 * fabs(wanted));
        assert_true(sw_loss_weight(all) == (losses[l].over_weights ? COUNT / 2 : ROWS));
        sw_tape_reset(tape);
    }
    sw_tape_free(tape);
}

/* A part without weight counts for nothing, and NaN weights show in the loss. */
static void test_sums_of_weights_without_a_mean(void **state) {
    (void)state;
    const double p[2] = {1, 2}, t[2] = {0, 0}, none[2] = {0, 0}, nan[2] = {1, (double)NAN}, negative[2] = {1, -2};
    sw_tape *tape = sw_tape_new();
    sw_tensor a = sw_input(tape, sw_array_view(p, SW_F64, SW_SHAPE(2))),
              b = sw_input(tape, sw_array_view(t, SW_F64, SW_SHAPE(2)));
    sw_tensor empty = mse(a, b, sw_input(tape, sw_array_view(none, SW_F64, SW_SHAPE(2))), SW_MEAN);
    assert_true(isnan(sw_item(empty)) && sw_loss_weight(empty) == 0);
    sw_loss_mean mean = {0};
    assert_ok(sw_loss_mean_add(&mean, empty));
    assert_ok(sw_loss_mean_add(&mean, mse(a, b, sw_constant(tape, SW_F64, 1), SW_MEAN)));
    assert_true(sw_loss_mean_value(&mean) == 2.5);
    assert_true(isnan(sw_item(mse(a, b, sw_input(tape, sw_array_view(nan, SW_F64, SW_SHAPE(2))), SW_MEAN))));
    expect_no_error();
    sw_tensor below = sw_input(tape, sw_array_view(negative, SW_F64, SW_SHAPE(2)));
    assert_true(sw_is_null(mse(a, b, below, SW_MEAN)));
    expect_error(SW_ERR_ARGUMENT, "mse: the weights add up to -1; a mean needs a sum of at least 0");
    assert_true(sw_item(mse(a, b, below, SW_SUM)) == -7);
    assert_true(sw_item(huber(a, b, below, SW_MEAN)) == (0.5 - 2 * 1.5) / 2);
    sw_tape_free(tape);
}

/* Weights are constants, also if they need a gradient elsewhere. */
static void test_no_gradient_flows_to_weights(void **state) {
    (void)state;
    const double p[2] = {1, 2}, t[2] = {0.5, 1}, w[2] = {2, 3};
    sw_tape *tape = sw_tape_new();
    for (int l = 0; l < LOSSES; l++) {
        sw_tensor a = sw_variable(tape, sw_array_view(p, SW_F64, SW_SHAPE(2))),
                  b = sw_input(tape, sw_array_view(t, SW_F64, SW_SHAPE(2))),
                  c = sw_variable(tape, sw_array_view(w, SW_F64, SW_SHAPE(2)));
        assert_ok(sw_backward(sw_add(losses[l].apply(a, b, c, SW_MEAN), sw_sum(c))));
        const sw_array g = sw_grad(c), d = sw_grad(a);
        assert_true(test_get(&g, 0) == 1 && test_get(&g, 1) == 1);
        assert_true(test_get(&d, 0) != 0);
        sw_tape_reset(tape);
    }
    sw_tape_free(tape);
}

static void test_wrong_weights_are_refused(void **state) {
    (void)state;
    const float x[4] = {0, 1, 2, 3};
    sw_tape *tape = sw_tape_new(), *other = sw_tape_new();
    sw_tensor t = sw_input(tape, sw_array_view(x, SW_F32, SW_SHAPE(4))), wide = sw_constant(tape, SW_F64, 1),
              ids = sw_constant(tape, SW_I32, 1), stale = sw_constant(other, SW_F32, 1);
    assert_true(sw_is_null(mse(t, t, wide, SW_MEAN)));
    expect_error(SW_ERR_TYPE, "mse: input 0 is f32 and input 2 is f64; convert one of them (sw_cast)");
    assert_true(sw_is_null(bce(t, t, ids, SW_MEAN)));
    expect_error(SW_ERR_TYPE, "bce_with_logits: input 2 is i32; f32, f64, f16 or bf16 is needed");
    sw_tape_reset(other);
    assert_true(sw_is_null(mse(t, t, stale, SW_MEAN)));
    expect_error(SW_ERR_STATE, "mse: input 2: a tensor was used after its tape was reset");
    assert_true(
        sw_is_null(sw_kl_div_with_options(t, t, &SW_OPTIONS(sw_loss_options, .weight = sw_constant(tape, SW_F32, 1)))));
    expect_error(SW_ERR_ARGUMENT,
                 "kl_div: there are no weights of elements (multiply the numbers that SW_NONE returns)");
    /* A weight that failed is not the same as none. */
    assert_true(sw_is_null(mse(t, t, sw_reshape(t, SW_SHAPE(3)), SW_MEAN)));
    expect_error(SW_ERR_SHAPE, "reshape: [4] has 4 elements and cannot become [3]");
    assert_true(sw_is_null(bce_positive(t, t, sw_reshape(t, SW_SHAPE(3)), SW_MEAN)));
    expect_error(SW_ERR_SHAPE, "reshape: [4] has 4 elements and cannot become [3]");
    assert_true(sw_is_null(huber(t, t, sw_reshape(t, SW_SHAPE(3)), SW_MEAN)));
    expect_error(SW_ERR_SHAPE, "reshape: [4] has 4 elements and cannot become [3]");
    sw_tape_free(tape);
    sw_tape_free(other);
}

/* A program that was compiled before the options had weights gives smaller structs. */
static void test_options_of_earlier_versions(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    const sw_tensor p = sw_input_copy(tape, sw_array_view((float[]){1, 3}, SW_F32, SW_SHAPE(2))),
                    t = sw_input_copy(tape, sw_array_view((float[]){0, 1}, SW_F32, SW_SHAPE(2)));
    const sw_loss_options sum = {.size = offsetof(sw_loss_options, weight), .reduction = SW_SUM};
    const sw_huber_options huber_sum = {.size = offsetof(sw_huber_options, weight), .reduction = SW_SUM, .delta = 9};
    const sw_bce_options bce_sum = {.size = offsetof(sw_bce_options, weight), .reduction = SW_SUM};
    assert_true(fabs(sw_item(sw_mse_with_options(p, t, &sum)) - 5) < 1e-6);
    assert_true(fabs(sw_item(sw_huber_with_options(p, t, &huber_sum)) - 2.5) < 1e-6);
    const double bce = log1p(exp(1)) + log1p(exp(-3));
    assert_true(fabs(sw_item(sw_bce_with_logits_with_options(p, t, &bce_sum)) - bce) < 1e-5);
    assert_null(sw_error());
    sw_tape_free(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_mean_does_not_depend_on_the_parts, test_clear),
        cmocka_unit_test_setup(test_weights_of_zero_are_a_mask, test_clear),
        cmocka_unit_test_setup(test_sums_of_weights_without_a_mean, test_clear),
        cmocka_unit_test_setup(test_no_gradient_flows_to_weights, test_clear),
        cmocka_unit_test_setup(test_wrong_weights_are_refused, test_clear),
        cmocka_unit_test_setup(test_options_of_earlier_versions, test_clear),
    };
    return cmocka_run_group_tests_name("loss_weights", tests, NULL, NULL);
}
