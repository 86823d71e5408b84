/* Every operation of the table in op_table.h against PyTorch in float64: the result and all gradients, in f64 and in
 * f32. golden/torch_ops.py, which draws the same inputs, wrote the numbers. */
#include "support.h"

#include "op_table.h"

#include "golden/torch_ops.h"

/* Both are asked of the library, relative to the largest element of the array that is compared: an
 * element by itself may be a difference of larger ones, in which every way of summing loses all digits
 * (the gradient of softmax adds up to 0 along its axis). They stand for less than 1000 roundings in f64
 * (2^-53·1000 = 1.1e-13) and for 80 in f32 (2^-24·80 = 4.8e-6), each with room for a factor of two or
 * more; sums here have at most 200 terms, added in lanes. Inputs are exact in f32. */
static const double tolerance[] = {[SW_F32] = 1e-5, [SW_F64] = 1e-12};

/* Inputs and cotangents, and so the terms of every sum, are of order 1. Where all elements are below this
 * the true ones are 0 (softmax of one class, differentiated) and PyTorch's, or ours, are what rounding
 * left of it: those are compared on the scale of the terms. */
static const double nothing = 1e-13;

/* Largest |own - expected|, as a share of the largest |expected|. Infinities must be equal. */
static double distance(const sw_array *own, const double *expected, int count) {
    double worst = 0, scale = 0;
    for (int i = 0; i < count; i++)
        scale = isfinite(expected[i]) ? fmax(scale, fabs(expected[i])) : scale;
    if (scale < nothing)
        scale = 1;
    for (int i = 0; i < count; i++) {
        double a = own->data ? test_get(own, i) : 0; /* no gradient came by: zeros */
        if (a == expected[i] || (isnan(a) && isnan(expected[i])))
            continue;
        double error = fabs(a - expected[i]) / scale;
        if (isnan(error))
            return error;
        worst = fmax(worst, error);
    }
    return worst;
}

static void compare(const struct torch_case *golden, const char *what, int input, sw_dtype type, const sw_array *own,
                    const double *expected, int count) {
    if (own->data)
        assert_int_equal(sw_array_count(own), count);
    double error = distance(own, expected, count);
    if (!(error <= tolerance[type]))
        fail_msg("%s, case %d, %s %d, %s: %.3g away from PyTorch's, %.3g allowed", golden->label, golden->number, what,
                 input, sw_dtype_name(type), error, tolerance[type]);
}

static const op_entry *entry_of(const char *label) {
    for (int o = 0; op_at(o); o++)
        if (strcmp(op_at(o)->label, label) == 0)
            return op_at(o);
    fail_msg("golden/torch_ops.h has \"%s\", which is not in ops.h: run golden/torch_ops.py", label);
    return NULL;
}

static void run(const struct torch_case *golden, sw_tape *tape, sw_dtype type) {
    op_case c = {.op = entry_of(golden->label)};
    const char *at = c.op->shapes;
    while (c.number < golden->number) {
        op_free(&c);
        if (!op_next(&at, type, &c))
            fail_msg("%s has no case %d: run golden/torch_ops.py", golden->label, golden->number);
    }
    sw_tensor in[OP_INPUTS], y = op_run(&c, tape, in, true);
    if (sw_error())
        fail_msg("%s: %s", c.op->label, sw_error());
    const double *expected = torch_numbers + golden->at;
    sw_array value = sw_value(y);
    assert_int_equal(sw_array_count(&value), golden->outputs);
    compare(golden, "result", 0, type, &value, expected, golden->outputs);
    expected += golden->outputs;
    for (int i = 0; i < c.op->inputs; i++) {
        bool wanted = op_has_gradient(c.op->kinds[i]) && !(c.op->flags & NO_GRADIENT);
        assert_int_equal(golden->gradients[i], wanted ? sw_array_count(&c.in[i]) : -1);
        if (!wanted)
            continue;
        sw_array gradient = sw_grad(in[i]);
        compare(golden, "gradient of input", i, type, &gradient, expected, golden->gradients[i]);
        expected += golden->gradients[i];
    }
    op_free(&c);
}

enum { CASES = sizeof torch_cases / sizeof *torch_cases };

static void follow(sw_dtype type) {
    sw_tape *tape = sw_tape_new();
    for (int i = 0; i < CASES; i++)
        run(&torch_cases[i], tape, type);
    sw_tape_free(tape);
}

static void test_operations_in_f64_agree_with_torch(void **state) {
    (void)state;
    follow(SW_F64);
}

static void test_operations_in_f32_agree_with_torch(void **state) {
    (void)state;
    follow(SW_F32);
}

static void test_every_operation_has_golden_numbers(void **state) {
    (void)state;
    for (int o = 0; op_at(o); o++) {
        bool found = op_at(o)->flags & COMPOSED;
        for (int i = 0; i < CASES && !found; i++)
            found = strcmp(torch_cases[i].label, op_at(o)->label) == 0;
        if (!found)
            fail_msg("\"%s\" has no numbers of PyTorch's: run golden/torch_ops.py", op_at(o)->label);
    }
}

/* The measure sees what it should: a wrong element, a NaN, a gradient that did not come. */
static void test_comparison_notices_a_wrong_element(void **state) {
    (void)state;
    const double expected[3] = {4, -8, 1e-9};
    double own[3] = {4, -8, 1e-9};
    sw_array a = sw_array_view(own, SW_F64, SW_SHAPE(3)), none = {0};
    assert_true(distance(&a, expected, 3) == 0);
    own[2] = 2;
    assert_true(fabs(distance(&a, expected, 3) - 0.25) < 1e-9);
    own[0] = NAN;
    assert_true(isnan(distance(&a, expected, 3)));
    assert_true(distance(&none, expected, 3) == 1);
    own[0] = INFINITY; /* stays infinite, whatever the others are */
    assert_true(distance(&a, expected, 3) > tolerance[SW_F32]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_operations_in_f64_agree_with_torch, test_clear),
        cmocka_unit_test_teardown(test_operations_in_f32_agree_with_torch, test_clear),
        cmocka_unit_test_teardown(test_every_operation_has_golden_numbers, test_clear),
        cmocka_unit_test_teardown(test_comparison_notices_a_wrong_element, test_clear),
    };
    return cmocka_run_group_tests_name("torch_ops", tests, NULL, NULL);
}
