/* Linear attention beyond the table in op_table.h: many positions, which a causal call computes in chunks, and
 * sequences in parts. */
#include "support.h"

#include <swale/extend.h>

/* The gradient by the inputs, [1, LINEAR_TIME, LINEAR_WIDTH] each, and the result. A causal call computes 64 positions
 * at a time. */
enum { LINEAR_TIME = 150, LINEAR_WIDTH = 6, LINEAR_SUM = LINEAR_TIME * LINEAR_WIDTH };

/* One call for all positions, or two: the state after the first `part` positions is that of the second one. */
static void linear_in_parts(const sw_array x[3], const sw_array *dout, int64_t part,
                            const sw_linear_attention_options *options, double result[4][LINEAR_SUM]) {
    sw_tape *tape = sw_tape_new();
    sw_tensor in[3], y[2] = {{0}};
    sw_linear_attention_options o = *options;
    for (int i = 0; i < 3; i++)
        in[i] = sw_variable(tape, x[i]);
    for (int p = 0; p < (part < LINEAR_TIME ? 2 : 1); p++) {
        const int64_t from = p == 0 ? 0 : part, end = p == 0 ? part : LINEAR_TIME;
        const sw_tensor q = sw_slice(in[0], 1, from, end), k = sw_slice(in[1], 1, from, end),
                        v = sw_slice(in[2], 1, from, end);
        o.result = SW_LINEAR_OUTPUTS;
        y[p] = sw_linear_attention(q, k, v, &o);
        o.result = SW_LINEAR_STATE;
        o.state = sw_linear_attention(q, k, v, &o);
    }
    const sw_tensor all = sw_is_null(y[1]) ? y[0] : sw_concat(2, y, 1);
    assert_ok(sw_backward_from(all, *dout));
    for (int i = 0; i < 4; i++) {
        const sw_array a = i == 3 ? sw_value(all) : sw_grad(in[i]);
        assert_int_equal(sw_array_count(&a), LINEAR_SUM);
        for (int n = 0; n < LINEAR_SUM; n++)
            result[i][n] = test_get(&a, n);
    }
    sw_tape_free(tape);
}

/* Element by element, in long double: the formula of attention.h for one sample and one feature map, elu + 1. */
static void linear_formula(const sw_array x[3], int heads, bool causal, double y[LINEAR_SUM]) {
    const int d = LINEAR_WIDTH / heads;
    for (int i = 0; i < LINEAR_TIME; i++)
        for (int h = 0; h < heads; h++) {
            long double sum[LINEAR_WIDTH] = {0}, total = 0;
            for (int j = 0; j < (causal ? i + 1 : LINEAR_TIME); j++) {
                long double weight = 0;
                for (int c = 0; c < d; c++) {
                    const double a = test_get(&x[0], i * LINEAR_WIDTH + h * d + c),
                                 b = test_get(&x[1], j * LINEAR_WIDTH + h * d + c);
                    weight += (a > 0 ? a + 1 : expl(a)) * (b > 0 ? b + 1 : expl(b));
                }
                total += weight;
                for (int c = 0; c < d; c++)
                    sum[c] += weight * test_get(&x[2], j * LINEAR_WIDTH + h * d + c);
            }
            for (int c = 0; c < d; c++)
                y[i * LINEAR_WIDTH + h * d + c] = (double)(sum[c] / total);
        }
}

/* Weights are between 0.1 and 12, and values below 1: sums of 150 terms, each with some 20 roundings, divided by the
 * sum of the weights; gradients, which are below 10, have products of three such sums. 3·150·20·2^-53·10 = 1e-11 is a
 * bound of the worst case; independent roundings give 1e-13. */
static void test_linear_attention_in_parts_is_that_of_all_positions(void **state) {
    (void)state;
    static double whole[4][LINEAR_SUM], parts[4][LINEAR_SUM], formula[LINEAR_SUM];
    sw_array x[3], dout = test_filled(SW_F64, SW_SHAPE(1, LINEAR_TIME, LINEAR_WIDTH), -1, 1, 4);
    for (int i = 0; i < 3; i++)
        x[i] = test_filled(SW_F64, SW_SHAPE(1, LINEAR_TIME, LINEAR_WIDTH), -2, 1, (uint64_t)i + 1);
    for (int causal = 0; causal < 2; causal++) {
        const sw_linear_attention_options o = SW_OPTIONS(sw_linear_attention_options, .heads = 2, .causal = causal,
                                                         .normalized = true, .map = SW_MAP_ELU);
        linear_in_parts(x, &dout, LINEAR_TIME, &o, whole);
        linear_formula(x, 2, causal, formula);
        for (int n = 0; n < LINEAR_SUM; n++)
            assert_true(fabs(whole[3][n] - formula[n]) <= 1e-13);
        for (int64_t part = 1; causal && part < LINEAR_TIME; part += 37) {
            linear_in_parts(x, &dout, part, &o, parts);
            for (int i = 0; i < 4; i++)
                for (int n = 0; n < LINEAR_SUM; n++)
                    assert_true(fabs(parts[i][n] - whole[i][n]) <= 1e-12);
        }
    }
    sw_tape *tape = sw_tape_new();
    const sw_tensor q = sw_variable(tape, x[0]), wrong = sw_empty(tape, SW_F64, SW_SHAPE(1, 2, 3, 4));
    assert_true(
        sw_is_null(sw_linear_attention(q, q, q, &SW_OPTIONS(sw_linear_attention_options, .heads = 2, .state = wrong))));
    expect_error(SW_ERR_SHAPE, "linear_attention: the state is f64 [1,2,3,4]; f64 [1,2,3,3] is needed");
    sw_tape_free(tape);
    for (int i = 0; i < 3; i++)
        test_array_free(&x[i]);
    test_array_free(&dout);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_linear_attention_in_parts_is_that_of_all_positions, test_no_error_left)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
