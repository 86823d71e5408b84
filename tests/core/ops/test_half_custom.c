/* Custom operations on f16 and bf16, made by the macros of unary.h: their kernels are compiled for f32 and f64
 * alone, and serve the 16-bit types through sw_unary_run and sw_binary_run. The same operations without takes_16_bit
 * run on copies in f32, and give the same bits. */
#include <swale/kernel.h>
#include <swale/unary.h>
#include <swale/extend.h>

#if SW_KERNEL_PASS

SW_UNARY(square, a *v *v)
SW_UNARY(square_vjp, 2 * a * v * g)
SW_BINARY(gated, a > 0 ? a * b : b)
SW_BINARY_VJP(gated_a_vjp, a > 0 ? b * g : 0)
SW_BINARY_VJP(gated_b_vjp, a > 0 ? a * g : g)

#else /* ---- once ---- */

#include "support.h"

SW_UNARY_OP(square, SW_READS(0))

static const sw_kernels gated_kernels = SW_KERNEL_TABLE(gated), gated_a_vjp_kernels = SW_KERNEL_TABLE(gated_a_vjp),
                        gated_b_vjp_kernels = SW_KERNEL_TABLE(gated_b_vjp);

static sw_status gated_forward(sw_call *c) {
    sw_binary_run(&gated_kernels, c->in[0], c->in[1], c->out);
    return SW_OK;
}

static sw_status gated_vjp(sw_call *c) {
    for (int i = 0; i < 2; i++) {
        sw_view dy = *c->out, d = *c->out;
        if (!sw_call_wants_grad(c, i))
            continue;
        dy.data = (void *)(uintptr_t)c->cotangent;
        d.data = sw_call_grad(c, i);
        if (!d.data)
            return SW_ERR_MEMORY;
        sw_binary_run_vjp(i ? &gated_b_vjp_kernels : &gated_a_vjp_kernels, c->in[0], c->in[1], &dy, &d);
    }
    return SW_OK;
}

static const sw_op gated_op = {.size = sizeof(sw_op),
                               .name = "gated",
                               .shape = sw_binary_shape,
                               .forward = gated_forward,
                               .vjp = gated_vjp,
                               .vjp_reads = SW_READS(0) | SW_READS(1),
                               .broadcasts = true,
                               .takes_16_bit = true};

/* The value of an operation on in[0], …, and its gradients, in the arrays `result`. Returns the bytes that the tape
 * needed for the value. */
static size_t run(const sw_op *op, int inputs, const sw_array *in, const sw_array *cotangent, sw_array result[3]) {
    sw_tape *tape = sw_tape_new();
    sw_tensor leaf[2], y;
    for (int i = 0; i < inputs; i++)
        leaf[i] = sw_variable(tape, in[i]);
    y = inputs == 1 ? sw_apply_unary(op, leaf[0], 1.5, 0) : sw_apply(op, NULL, 0, inputs, leaf);
    const size_t bytes = sw_tape_peak_bytes(tape);
    assert_ok(sw_backward_from(y, *cotangent));
    expect_no_error();
    for (int i = 0; i <= inputs; i++) {
        const sw_array from = i ? sw_grad(leaf[i - 1]) : sw_value(y);
        result[i] = test_array(from.type, from.rank, from.shape);
        memcpy(result[i].data, from.data, test_bytes(&from));
    }
    sw_tape_free(tape);
    return bytes;
}

/* An element of a 16-bit array must be a number of f32, rounded to its type by half.h. */
static void expect_element(const sw_array *a, int64_t i, float x) {
    const uint16_t expected = a->type == SW_F16 ? sw_f16_from_f32(x) : sw_bf16_from_f32(x);
    assert_true(((const uint16_t *)a->data)[i] == expected);
}

static void test_operation_from_a_macro(void **state) {
    (void)state;
    enum { N = 5000 };
    sw_op plain = square_op;
    plain.takes_16_bit = false;
    for (sw_dtype type = SW_F16; type <= SW_BF16; type++) {
        sw_array x = test_filled(type, SW_SHAPE(N), -3, 3, 1), d = test_filled(type, SW_SHAPE(N), -1, 1, 2), y[3], z[3];
        const size_t bytes = run(&square_op, 1, &x, &d, y), copies = run(&plain, 1, &x, &d, z);
        for (int i = 0; i < N; i++) {
            const float v = (float)test_get(&x, i), g = (float)test_get(&d, i);
            expect_element(&y[0], i, 1.5f * v * v);
            expect_element(&y[1], i, 2 * 1.5f * v * g);
        }
        for (int i = 0; i < 2; i++) {
            assert_memory_equal(y[i].data, z[i].data, test_bytes(&y[i]));
            test_array_free(&y[i]), test_array_free(&z[i]);
        }
        assert_true(bytes < N * sizeof(uint16_t) + 1024); /* its result */
        assert_true(copies > N * (sizeof(uint16_t) + 2 * sizeof(float)));
        test_array_free(&x), test_array_free(&d);
    }
}

static void test_operation_with_broadcasting(void **state) {
    (void)state;
    enum { ROWS = 70, WIDTH = 90, N = ROWS * WIDTH };
    sw_op plain = gated_op;
    plain.takes_16_bit = false;
    for (sw_dtype type = SW_F16; type <= SW_BF16; type++)
        for (int row = 0; row < 2; row++) { /* the second operand is a row */
            sw_array in[2] = {test_filled(type, SW_SHAPE(ROWS, WIDTH), -2, 2, 1),
                              row ? test_filled(type, SW_SHAPE(WIDTH), -2, 2, 2)
                                  : test_filled(type, SW_SHAPE(ROWS, WIDTH), -2, 2, 2)},
                     d = test_filled(type, SW_SHAPE(ROWS, WIDTH), -1, 1, 3), y[3], z[3];
            const size_t bytes = run(&gated_op, 2, in, &d, y);
            run(&plain, 2, in, &d, z);
            assert_true(bytes < N * sizeof(uint16_t) + 1024);
            for (int i = 0; i < N; i++) {
                const float a = (float)test_get(&in[0], i), b = (float)test_get(&in[1], row ? i % WIDTH : i),
                            g = (float)test_get(&d, i);
                expect_element(&y[0], i, a > 0 ? a * b : b);
                expect_element(&y[1], i, a > 0 ? b * g : 0);
                if (!row)
                    expect_element(&y[2], i, a > 0 ? a * g : g);
            }
            for (int i = 0; i < 3; i++) {
                if (!row || i < 2) /* the sum over the rows has rounded terms, or terms in f32 */
                    assert_memory_equal(y[i].data, z[i].data, test_bytes(&y[i]));
                test_array_free(&y[i]), test_array_free(&z[i]);
            }
            test_array_free(&in[0]), test_array_free(&in[1]), test_array_free(&d);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_operation_from_a_macro),
                                       cmocka_unit_test(test_operation_with_broadcasting)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
