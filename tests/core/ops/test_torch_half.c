/* Operations in f16 and bf16 against PyTorch, bit for bit, where PyTorch computes in f32 and rounds the result once
 * (golden/torch_half.py decides that). A result that is f32 here is 16-bit in PyTorch, and is rounded for the
 * comparison. */
#include "support.h"

#include "op_table.h"

#include "golden/torch_half.h"

enum { CASES = sizeof torch_half_cases / sizeof *torch_half_cases };

static uint16_t bits_of(const sw_array *array, int64_t i, sw_dtype type) {
    uint16_t bits;
    sw_number_to_float(type, &bits, 0, test_get(array, i)); /* exact, or one rounding of an f32 */
    return bits;
}

/* The first element whose bits differ; -1 if there is none. Zeros may have either sign, because PyTorch multiplies the
 * gradients of some operations by 0 where swale stores 0. */
static int64_t difference(const sw_array *own, sw_dtype type, const uint16_t *expected) {
    for (int64_t i = 0, n = sw_array_count(own); i < n; i++) {
        const uint16_t bits = own->data ? bits_of(own, i, type) : 0;
        if (bits != expected[i] && expected[i] != TORCH_HALF_ANY && ((bits | expected[i]) & 0x7FFFu) != 0)
            return i;
    }
    return -1;
}

static void compare(const struct torch_half_case *golden, const char *what, int input, const sw_array *own,
                    const uint16_t *expected, int count) {
    assert_int_equal(sw_array_count(own), count);
    const int64_t i = difference(own, golden->type, expected);
    if (i >= 0)
        fail_msg("%s, case %d, %s %d, %s: element %lld has the bits 0x%04x, PyTorch 0x%04x", golden->label,
                 golden->number, what, input, sw_dtype_name(golden->type), (long long)i,
                 own->data ? bits_of(own, i, golden->type) : 0, expected[i]);
}

static const op_entry *entry_of(const char *label) {
    for (int o = 0; op_at(o); o++)
        if (strcmp(op_at(o)->label, label) == 0)
            return op_at(o);
    fail_msg("golden/torch_half.h has \"%s\", which is not in op_table.h: run golden/torch_half.py", label);
    return NULL;
}

/* Random numbers that both sides draw, rounded to the 16-bit type, in the type of the result. */
static sw_array cotangent_of(const sw_array *out, sw_dtype type) {
    const sw_array narrow = test_array(type, out->rank, out->shape);
    test_fill(&narrow, -1, 1, 77);
    const sw_array wide = test_array(out->type, out->rank, out->shape);
    for (int64_t i = 0; i < sw_array_count(out); i++)
        test_set(&wide, i, test_get(&narrow, i));
    free(narrow.data);
    return wide;
}

static void run(const struct torch_half_case *golden, sw_tape *tape) {
    op_case c = {.op = entry_of(golden->label)};
    const char *at = c.op->shapes;
    while (c.number < golden->number) {
        op_free(&c);
        if (!op_next(&at, golden->type, &c))
            fail_msg("%s has no case %d: run golden/torch_half.py", golden->label, golden->number);
    }
    sw_tensor in[OP_INPUTS];
    sw_tape_reset(tape);
    for (int i = 0; i < c.op->inputs; i++)
        in[i] = op_has_gradient(c.op->kinds[i]) ? sw_variable(tape, c.in[i]) : sw_input(tape, c.in[i]);
    sw_tensor y = c.op->build(NULL, tape, in);
    if (sw_error())
        fail_msg("%s in %s: %s", golden->label, sw_dtype_name(golden->type), sw_error());
    const uint16_t *expected = torch_half_numbers + golden->at;
    const sw_array value = sw_value(y);
    assert_true(value.type == golden->type || value.type == SW_F32);
    if (golden->counts[0] >= 0) {
        compare(golden, "result", 0, &value, expected, golden->counts[0]);
        expected += golden->counts[0];
    }
    if (golden->counts[1] >= 0 || golden->counts[2] >= 0 || golden->counts[3] >= 0) {
        sw_array cotangent = cotangent_of(&value, golden->type);
        assert_int_equal(sw_backward_from(y, cotangent), SW_OK);
        test_array_free(&cotangent);
    }
    for (int i = 0; i < OP_INPUTS; i++) {
        if (golden->counts[i + 1] < 0)
            continue;
        sw_array gradient = sw_grad(in[i]);
        if (!gradient.data)
            gradient = c.in[i], gradient.data = NULL;
        compare(golden, "gradient of input", i, &gradient, expected, golden->counts[i + 1]);
        expected += golden->counts[i + 1];
    }
    op_free(&c);
}

static void follow(sw_dtype type) {
    sw_tape *tape = sw_tape_new();
    int count = 0;
    for (int i = 0; i < CASES; i++)
        if (torch_half_cases[i].type == type)
            run(&torch_half_cases[i], tape), count++;
    assert_true(count > 100); /* the fixture is not truncated */
    sw_tape_free(tape);
}

static void test_operations_in_f16_have_the_bits_of_torch(void **state) {
    (void)state;
    follow(SW_F16);
}

static void test_operations_in_bf16_have_the_bits_of_torch(void **state) {
    (void)state;
    follow(SW_BF16);
}

/* Whether the fixture or its list of other cases contains the label. */
static bool is_known(const char *label) {
    for (int i = 0; i < CASES; i++)
        if (strcmp(torch_half_cases[i].label, label) == 0)
            return true;
    for (size_t i = 0; i < sizeof torch_half_others / sizeof *torch_half_others; i++)
        if (strcmp(torch_half_others[i], label) == 0)
            return true;
    return false;
}

static void test_every_operation_is_compared_or_listed(void **state) {
    (void)state;
    for (int o = 0; op_at(o); o++)
        if (!(op_at(o)->flags & COMPOSED) && !is_known(op_at(o)->label))
            fail_msg("\"%s\" has no 16-bit numbers of PyTorch's: run golden/torch_half.py", op_at(o)->label);
}

/* A last bit that differs is noticed; the sign of a zero is not. */
static void test_comparison_notices_a_last_bit(void **state) {
    (void)state;
    const uint16_t expected[3] = {0x3C00, 0x8000, TORCH_HALF_ANY};
    uint16_t own[3] = {0x3C00, 0, 0x1234};
    const sw_array a = sw_array_view(own, SW_F16, SW_SHAPE(3));
    assert_int_equal(difference(&a, SW_F16, expected), -1);
    own[0] = 0x3C01;
    assert_int_equal(difference(&a, SW_F16, expected), 0);
    own[0] = 0x3C00, own[1] = 1;
    assert_int_equal(difference(&a, SW_F16, expected), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_operations_in_f16_have_the_bits_of_torch, test_clear),
        cmocka_unit_test_teardown(test_operations_in_bf16_have_the_bits_of_torch, test_clear),
        cmocka_unit_test_teardown(test_every_operation_is_compared_or_listed, test_clear),
        cmocka_unit_test_teardown(test_comparison_notices_a_last_bit, test_clear),
    };
    return cmocka_run_group_tests_name("torch_half", tests, NULL, NULL);
}
