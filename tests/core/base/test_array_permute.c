/* Arrays with their axes in another order, against loops over indices. */
#include "support.h"

#include <swale/extend.h>
#include <swale/ops.h>

#define TEST(name) cmocka_unit_test_teardown(name, test_clear)

static const sw_dtype types[] = {SW_F32, SW_F64, SW_F16, SW_BF16, SW_I32, SW_U8, SW_I64};

/* Fills an array with bytes that identify the place of each element up to 251 of them. */
static sw_array numbered(sw_dtype type, int rank, const int64_t *shape) {
    sw_array a = test_array(type, rank, shape);
    for (size_t i = 0; i < test_bytes(&a); i++)
        ((unsigned char *)a.data)[i] = (unsigned char)(i % 251);
    return a;
}

/* The expected element k of the copy: its index in the array follows from its index in the copy. */
static const char *expected_element(const sw_array *a, const int *axes, const sw_array *copy, int64_t k) {
    int64_t index[SW_MAX_RANK] = {0}, at = 0;
    for (int i = copy->rank - 1; i >= 0; i--) {
        index[axes[i]] = k % copy->shape[i];
        k /= copy->shape[i];
    }
    for (int i = 0; i < a->rank; i++)
        at = at * a->shape[i] + index[i];
    return (const char *)a->data + (size_t)at * sw_dtype_size(a->type);
}

static void check_permuted(const sw_array *a, const int *axes) {
    const size_t size = sw_dtype_size(a->type);
    sw_array copy = sw_array_permute(a, a->rank, axes);
    expect_no_error();
    assert_non_null(copy.data);
    assert_true(copy.data != a->data && copy.type == a->type && copy.rank == a->rank);
    for (int i = 0; i < a->rank; i++)
        assert_int_equal(copy.shape[i], a->shape[axes[i]]);
    for (int64_t k = 0, n = sw_array_count(&copy); k < n; k++)
        assert_memory_equal((const char *)copy.data + (size_t)k * size, expected_element(a, axes, &copy, k), size);
    sw_array_free(&copy);
}

/* Permutation number `which` of `rank` axes, of rank! (digits in the factorial number system). */
static void permutation(int rank, int which, int *axes) {
    int left[SW_MAX_RANK];
    for (int i = 0; i < rank; i++)
        left[i] = i;
    for (int i = 0; i < rank; i++) {
        const int remaining = rank - i, digit = which % remaining;
        which /= remaining;
        axes[i] = left[digit];
        for (int j = digit; j + 1 < remaining; j++)
            left[j] = left[j + 1];
    }
}

static void test_every_order_of_up_to_four_axes(void **state) {
    static const int64_t shapes[][4] = {{2, 3, 5, 4}, {1, 3, 1, 2}, {3, 2, 0, 2}, {7, 1, 1, 1}};
    static const int orders[] = {1, 1, 2, 6, 24};
    (void)state;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (int rank = 0; rank <= 4; rank++) {
                sw_array a = numbered(types[t], rank, shapes[s]);
                for (int which = 0; which < orders[rank]; which++) {
                    int axes[SW_MAX_RANK] = {0};
                    permutation(rank, which, axes);
                    check_permuted(&a, axes);
                }
                test_array_free(&a);
            }
}

static void test_eight_axes_are_permuted(void **state) {
    (void)state;
    sw_array a = numbered(SW_F32, 8, (int64_t[]){2, 1, 2, 3, 1, 2, 2, 3});
    check_permuted(&a, (const int[]){7, 0, 6, 1, 5, 2, 4, 3});
    check_permuted(&a, (const int[]){7, 6, 5, 4, 3, 2, 1, 0});
    test_array_free(&a);
}

/* The operation of the same name, which shares no code with the function, gives the same elements. */
static void test_negative_axes_agree_with_sw_permute(void **state) {
    (void)state;
    sw_array a = test_filled(SW_F32, 4, (int64_t[]){3, 4, 5, 6}, -1, 1, 2);
    sw_tape *tape = sw_tape_new();
    sw_array y = sw_value(sw_permute(sw_input(tape, a), SW_AXES(0, -2, -1, 1)));
    sw_array copy = sw_array_permute(&a, SW_AXES(0, -2, -1, 1));
    expect_no_error();
    assert_true(sw_shape_equal(copy.rank, copy.shape, y.rank, y.shape));
    assert_memory_equal(copy.data, y.data, test_bytes(&y));
    sw_array_free(&copy);
    sw_tape_free(tape);
    test_array_free(&a);
}

#define REFUSED(array, count, axes, status, message)            \
    do {                                                        \
        assert_null(sw_array_permute(array, count, axes).data); \
        expect_error(status, "array_permute: " message);        \
    } while (0)

static void test_refuses_wrong_axes_and_arrays(void **state) {
    (void)state;
    sw_array a = test_array(SW_F32, 2, (int64_t[]){2, 3}), wrong = a;
    const int axes[] = {0, 1};
    REFUSED(NULL, 2, axes, SW_ERR_ARGUMENT, "the array is NULL");
    REFUSED(&a, 1, axes, SW_ERR_ARGUMENT, "1 axes for [2,3], which has 2; all are needed, each once");
    REFUSED(&a, 3, axes, SW_ERR_ARGUMENT, "3 axes for [2,3], which has 2; all are needed, each once");
    REFUSED(&a, 2, NULL, SW_ERR_ARGUMENT, "0 axes for [2,3], which has 2; all are needed, each once");
    REFUSED(&a, 2, ((const int[]){0, 2}), SW_ERR_SHAPE, "axis 2 of [2,3]; its axes are -2 to 1");
    REFUSED(&a, 2, ((const int[]){-3, 1}), SW_ERR_SHAPE, "axis -3 of [2,3]; its axes are -2 to 1");
    REFUSED(&a, 2, ((const int[]){1, -1}), SW_ERR_ARGUMENT,
            "axis 1 of [2,3] is given twice; all are needed, each once");
    wrong.data = NULL;
    REFUSED(&wrong, 2, axes, SW_ERR_ARGUMENT, "the array has no data");
    wrong = a;
    wrong.type = (sw_dtype)99;
    REFUSED(&wrong, 2, axes, SW_ERR_ARGUMENT, "the array has an invalid type");
    wrong = a;
    wrong.shape[1] = -3;
    assert_null(sw_array_permute(&wrong, 2, axes).data);
    expect_error(SW_ERR_SHAPE, "axis 1 of [2,-3] is negative");
    wrong = a;
    wrong.rank = 9;
    assert_null(sw_array_permute(&wrong, 9, axes).data);
    expect_error(SW_ERR_SHAPE, "an array has 0 to 8 axes, not 9");
    test_array_free(&a);
}

static void test_reports_a_failed_allocation(void **state) {
    (void)state;
    static test_allocator memory;
    sw_array a = test_array(SW_F32, 2, (int64_t[]){2, 3});
    test_allocator_install(&memory);
    test_allocator_fail(&memory, 1, false);
    sw_array copy = sw_array_permute(&a, SW_AXES(1, 0));
    assert_null(copy.data);
    assert_int_equal(sw_error_status(), SW_ERR_MEMORY);
    assert_non_null(strstr(sw_error(), "out of memory"));
    sw_clear_error();
    sw_set_allocator(NULL);
    assert_int_equal(atomic_load(&memory.live), 0);
    test_array_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_every_order_of_up_to_four_axes),      TEST(test_eight_axes_are_permuted),
        TEST(test_negative_axes_agree_with_sw_permute), TEST(test_refuses_wrong_axes_and_arrays),
        TEST(test_reports_a_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
