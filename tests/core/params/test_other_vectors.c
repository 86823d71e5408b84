/* Tapes that are bound to another vector than that of the set (sw_tape_bind), for every storage type: leaves read the
 * numbers that the vector has when they are made, whether a pass begins or a mark was rewound. */
#include "support.h"

#include "core/helpers.h"

enum { N = 700 };
static const sw_dtype all_types[4] = {SW_F32, SW_F64, SW_F16, SW_BF16};

static sw_params *two_vectors(sw_dtype type) {
    sw_params *p = sw_params_new(type, 1);
    assert_non_null(sw_params_add(p, "w", SW_SHAPE(N), NULL));
    assert_non_null(sw_params_add(p, "v", SW_SHAPE(N), NULL));
    assert_int_equal(sw_params_build(p), SW_OK);
    return p;
}

/* Element i of the vector number k: exact in every type. */
static double element_of(int k, int64_t i) {
    return (double)((3 * i + 7 * k) % 61) / 4 - 8;
}

static void fill(const sw_array *x, int k) {
    for (int64_t i = 0; i < 2 * (int64_t)N; i++)
        test_set(x, i, element_of(k, i));
}

/* Checks that leaves of both parameters have the numbers of vector k. */
static void expect_leaves(sw_tape *tape, sw_params *p, int k) {
    for (int j = 1; j >= 0; j--) {
        const sw_array value = sw_value(sw_param_use(tape, sw_params_at(p, j)));
        assert_int_equal(value.type, sw_params_storage(p));
        for (int64_t i = 0; i < N; i++)
            if (test_get(&value, i) != element_of(k, j * (int64_t)N + i))
                fail_msg("%s, vector %d, element %d of parameter %d: %g, not %g", sw_dtype_name(value.type), k, (int)i,
                         j, test_get(&value, i), element_of(k, j * (int64_t)N + i));
    }
}

static void test_leaves_read_the_vector_of_now(void **state) {
    sw_tape *tape = *state;
    for (int t = 0; t < 4; t++) {
        sw_params *p = two_vectors(all_types[t]);
        sw_array x = test_array(sw_params_type(p), SW_SHAPE(2 * N));
        fill(&x, 0);
        assert_int_equal(sw_tape_bind(tape, p, x.data, NULL), SW_OK);
        for (int k = 1; k < 4; k++) { /* a pass for each vector */
            fill(&x, k);
            expect_leaves(tape, p, k);
            sw_tape_reset(tape);
        }
        const sw_mark first = sw_tape_mark(tape);
        for (int k = 4; k < 8; k++) { /* one pass: the leaves of the vector before are rewound */
            fill(&x, k);
            expect_leaves(tape, p, k);
            assert_int_equal(sw_tape_rewind(tape, first), SW_OK);
        }
        sw_tape_reset(tape);
        assert_int_equal(sw_tape_bind(tape, p, NULL, NULL), SW_OK);
        const sw_array own = sw_array_view(sw_params_x(p), sw_params_type(p), SW_SHAPE(2 * N));
        fill(&own, 9);
        sw_params_mark_changed(p);
        expect_leaves(tape, p, 9);
        sw_tape_reset(tape);
        assert_int_equal(sw_tape_bind(tape, p, x.data, NULL), SW_OK);
        expect_leaves(tape, p, 7);
        sw_tape_reset(tape);
        sw_params_free(p);
        test_array_free(&x);
    }
}

/* The second use of a parameter in a pass has the leaf of the first, although the set has changed since. */
static void test_leaf_of_a_pass_stays(void **state) {
    sw_tape *tape = *state;
    for (int t = 0; t < 4; t++) {
        sw_params *p = two_vectors(all_types[t]);
        sw_array x = test_array(sw_params_type(p), SW_SHAPE(2 * N));
        fill(&x, 1);
        assert_int_equal(sw_tape_bind(tape, p, x.data, NULL), SW_OK);
        sw_tensor w = sw_param_use(tape, sw_params_at(p, 0)), y = sw_mul(w, w);
        sw_params_mark_changed(p);
        assert_int_equal(sw_param_use(tape, sw_params_at(p, 0)).slot, w.slot);
        expect_leaves(tape, p, 1);
        assert_int_equal(sw_backward(sw_sum(y)), SW_OK);
        const sw_array g = sw_param_grad(sw_params_at(p, 0));
        for (int64_t i = 0; i < N; i++)
            assert_true(test_get(&g, i) == 2 * element_of(1, i));
        sw_tape_reset(tape);
        sw_params_free(p);
        test_array_free(&x);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_leaves_read_the_vector_of_now),
                                       cmocka_unit_test(test_leaf_of_a_pass_stays)};
    return cmocka_run_group_tests(tests, tape_setup, tape_teardown);
}
