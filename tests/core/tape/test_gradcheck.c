/* sw_gradcheck detects a value that a vjp reads without declaring it, for any number of inputs, and accepts the options
 * struct of an older program. test_ops.c tests wrong derivatives. */
#include "support.h"

#include "helpers.h"
#include "small_ops.h"

/* ---- What a vjp reads, and says that it reads ---- */

static const sw_op square_op = OP("square", .forward = square_forward, .vjp = square_vjp, .vjp_reads = SW_READS(0)),
                   forgetful_square_op = OP("square", .forward = square_forward, .vjp = square_vjp),
                   exp_op = OP("exp", .forward = exp_forward, .vjp = exp_vjp, .vjp_reads = SW_READS_OUT),
                   forgetful_exp_op = OP("exp", .forward = exp_forward, .vjp = exp_vjp),
                   mistaken_exp_op = OP("exp", .forward = exp_forward, .vjp = exp_vjp, .vjp_reads = SW_READS(0));

/* ---- What a vjp reads, and says that it reads ---- */

static sw_tensor applied(void *user, sw_tape *tape, const sw_tensor *inputs) {
    (void)tape;
    return sw_apply(user, NULL, 0, 1, inputs);
}

static sw_status checked(const sw_op *op) {
    double x[3] = {0.5, -1, 2};
    const sw_array a = sw_array_view(x, SW_F64, SW_SHAPE(3));
    return sw_gradcheck(applied, (void *)(uintptr_t)op, 1, &a, NULL, NULL);
}

static void test_gradcheck_finds_undeclared_reads(void **state) {
    (void)state;
    assert_int_equal(checked(&square_op), SW_OK);
    assert_int_equal(checked(&exp_op), SW_OK);
    expect_no_error();
    static const sw_op *const wrong[] = {&forgetful_square_op, &forgetful_exp_op, &mistaken_exp_op};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(checked(wrong[i]), SW_ERR_GRADIENT);
        assert_non_null(strstr(sw_error(), "analytic nan"));
        sw_clear_error();
    }
}

/* The same for a call with many inputs. */
static sw_status product_forward(sw_call *call) {
    double value = 1;
    for (int k = 0; k < call->inputs; k++)
        value *= *(const double *)call->in[k]->data;
    *(double *)call->out->data = value;
    return SW_OK;
}
static sw_status product_vjp(sw_call *call) {
    for (int i = 0; i < call->inputs; i++) {
        double *to = sw_call_grad(call, i);
        if (!to)
            return SW_ERR_MEMORY;
        *to = *(const double *)call->cotangent;
        for (int k = 0; k < call->inputs; k++)
            *to *= k == i ? 1 : *(const double *)call->in[k]->data;
    }
    return SW_OK;
}
static const sw_op product_op =
                       OP("product", .forward = product_forward, .vjp = product_vjp, .vjp_reads = ~SW_READS_OUT),
                   forgetful_product_op =
                       OP("product", .forward = product_forward, .vjp = product_vjp, .vjp_reads = SW_READS(0));

typedef struct many {
    const sw_op *op;
    int count;
} many;

static sw_tensor applied_to_many(void *user, sw_tape *tape, const sw_tensor *inputs) {
    const many *m = user;
    (void)tape;
    return sw_apply(m->op, NULL, 0, m->count, inputs);
}

static void test_gradcheck_finds_undeclared_reads_of_many_inputs(void **state) {
    (void)state;
    enum { MOST = 40 };
    double x[MOST];
    sw_array a[MOST];
    for (int i = 0; i < MOST; i++) {
        x[i] = 1 + 0.01 * i;
        a[i] = sw_array_view(&x[i], SW_F64, 0, NULL);
    }
    static const int counts[] = {2, 3, 4, 5, 8, 30, 40};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        many good = {&product_op, counts[k]}, bad = {&forgetful_product_op, counts[k]};
        assert_int_equal(sw_gradcheck(applied_to_many, &good, counts[k], a, NULL, NULL), SW_OK);
        expect_no_error();
        if (sw_gradcheck(applied_to_many, &bad, counts[k], a, NULL, NULL) != SW_ERR_GRADIENT)
            fail_msg("%d inputs: a value that the vjp had not said it reads was there", counts[k]);
        sw_clear_error();
    }
}

/* "Up to 4 blocks" of scratch, also while gradcheck hides values from a vjp with three inputs. */
static sw_status sum_forward(sw_call *call) {
    for (int64_t i = 0; i < call->out->count; i++) {
        double sum = 0;
        for (int k = 0; k < call->inputs; k++)
            sum += ((const double *)call->in[k]->data)[i];
        ((double *)call->out->data)[i] = sum;
    }
    return SW_OK;
}
static sw_status scratchy_vjp(sw_call *call) {
    for (int i = 0; i < 4; i++)
        if (!sw_call_scratch(call, 64))
            return SW_ERR_STATE;
    for (int i = 0; i < call->inputs; i++)
        if (sw_call_wants_grad(call, i))
            sw_call_pass_grad(call, i);
    return SW_OK;
}
static const sw_op scratchy_op = OP("scratchy", .forward = sum_forward, .vjp = scratchy_vjp);

static sw_tensor scratchy(void *user, sw_tape *tape, const sw_tensor *inputs) {
    (void)user, (void)tape;
    return sw_apply(&scratchy_op, NULL, 0, 3, inputs);
}

static void test_gradcheck_leaves_scratch_to_the_vjp(void **state) {
    (void)state;
    double x[3] = {0.5, -1, 2};
    const sw_array a[3] = {sw_array_view(x, SW_F64, SW_SHAPE(1)), sw_array_view(x + 1, SW_F64, SW_SHAPE(1)),
                           sw_array_view(x + 2, SW_F64, SW_SHAPE(1))};
    assert_int_equal(sw_gradcheck(scratchy, NULL, 3, a, NULL, NULL), SW_OK);
    expect_no_error();
}

/* Options of a program that was compiled when there were fewer: nothing behind them is read. */
static void test_options_of_an_older_program_are_taken(void **state) {
    (void)state;
    double x[3] = {0.5, -1, 2};
    const sw_array a[3] = {sw_array_view(x, SW_F64, SW_SHAPE(1)), sw_array_view(x + 1, SW_F64, SW_SHAPE(1)),
                           sw_array_view(x + 2, SW_F64, SW_SHAPE(1))};
    const size_t older = offsetof(sw_gradcheck_options, seed);
    sw_gradcheck_options now = {.size = older, .rtol = 1e-5}, *then = malloc(older);
    assert_non_null(then);
    memcpy(then, &now, older);
    assert_int_equal(sw_gradcheck(scratchy, NULL, 3, a, then, NULL), SW_OK);
    free(then);
    expect_no_error();
    now.size = 0;
    assert_int_equal(sw_gradcheck(scratchy, NULL, 3, a, &now, NULL), SW_ERR_ARGUMENT);
    assert_non_null(strstr(sw_error(), "gradcheck: options.size is 0; sizeof(sw_gradcheck_options)"));
    sw_clear_error();
    sw_params *p = sw_params_new(SW_F64, 1);
    const sw_param_options none = {.size = 0, .role = SW_ROLE_WEIGHT};
    assert_null(sw_params_add(p, "w", SW_SHAPE(2), &none));
    assert_non_null(strstr(sw_error(), "parameter: options.size is 0"));
    sw_clear_error();
    sw_params_free(p);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_gradcheck_finds_undeclared_reads),
        TEST(test_gradcheck_finds_undeclared_reads_of_many_inputs),
        TEST(test_gradcheck_leaves_scratch_to_the_vjp),
        TEST(test_options_of_an_older_program_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
