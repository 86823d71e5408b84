/* Sorting, the k first elements, adding by ids and one-hot vectors, against plain loops: every element type, NaN, ±∞,
 * ±0 and equal elements, columns of every length at which the algorithm changes, and exact messages. */
#include "support.h"

#include <swale/extend.h>

static const sw_dtype types[] = {SW_F32, SW_F64, SW_F16, SW_BF16, SW_I32, SW_U8};
enum { TYPES = sizeof types / sizeof *types };

static int below(uint64_t *seed, int bound) {
    return (int)(test_random(seed) % (uint64_t)bound);
}

/* Numbers of which many are equal, among them NaN, ±∞, ±0, subnormal numbers and the limits of integers. */
static sw_array crowded_array(sw_dtype type, int rank, const int64_t *shape, uint64_t *seed) {
    sw_array a = test_array(type, rank, shape);
    const double special[] = {(double)NAN, INFINITY, -INFINITY, 0.0, -0.0, 0x1p-20, -0x1p-20, 0x1p-133};
    for (int64_t i = 0; i < sw_array_count(&a); i++) {
        double v = below(seed, 60) / 4.0 - 7;
        if (type == SW_I32)
            v = below(seed, 9) == 0 ? (below(seed, 2) ? INT32_MAX : INT32_MIN) : below(seed, 60) - 30;
        else if (type == SW_U8)
            v = below(seed, 256);
        else if (below(seed, 5) == 0)
            v = special[below(seed, 8)];
        else if (below(seed, 3) == 0)
            v = test_uniform(seed, -2, 2);
        test_set(&a, i, v);
    }
    return a;
}

/* Whether a comes before b in ascending order: NaN is the largest. */
static bool comes_before(double a, double b) {
    return a < b || (isnan(b) && !isnan(a));
}

/* The ids of a column, `stride` apart from `first` on, by insertion, which keeps the order of equal elements. */
static void plain_sort(const sw_array *x, int64_t first, int64_t stride, int64_t n, bool descending, int64_t *ids) {
    for (int64_t i = 0; i < n; i++) {
        int64_t at = i;
        const double v = test_get(x, first + i * stride);
        for (; at > 0; at--) {
            const double w = test_get(x, first + ids[at - 1] * stride);
            if (!(descending ? comes_before(w, v) : comes_before(v, w)))
                break;
            ids[at] = ids[at - 1];
        }
        ids[at] = i;
    }
}

/* The results for k of the n elements of each column of [outer, n, inner]. */
static void expect_sorted(const sw_array *x, const sw_array *ids, const sw_array *values, const int64_t shape[3],
                          int64_t k, bool descending) {
    const int64_t n = shape[1], inner = shape[2];
    int64_t *expected = calloc((size_t)n + 1, sizeof *expected);
    assert_non_null(expected);
    assert_true(sw_shape_equal(ids->rank, ids->shape, 3, (const int64_t[]){shape[0], k, inner}));
    for (int64_t unit = 0; unit < shape[0] * inner; unit++) {
        const int64_t first = unit / inner * n * inner + unit % inner, to = unit / inner * k * inner + unit % inner;
        plain_sort(x, first, inner, n, descending, expected);
        for (int64_t i = 0; i < k; i++) {
            const int64_t at = to + i * inner;
            if (((const int32_t *)ids->data)[at] != (int32_t)expected[i])
                fail_msg("%s, %lld of %s, column %lld: id %lld is %d, not %lld", sw_dtype_name(x->type), (long long)k,
                         sw_shape_text(3, shape), (long long)unit, (long long)i, ((const int32_t *)ids->data)[at],
                         (long long)expected[i]);
            if (values) {
                const size_t size = sw_dtype_size(x->type);
                assert_memory_equal((const char *)values->data + (size_t)at * size,
                                    (const char *)x->data + (size_t)(first + expected[i] * inner) * size, size);
            }
        }
    }
    free(expected);
}

/* Lengths around those of insertion (32), of a block of keys (256), and of the heap (16 elements for each that is
 * selected). */
static const int64_t sorted_shapes[][3] = {{3, 1, 2},   {5, 2, 3},   {4, 31, 1},   {2, 32, 5}, {3, 33, 2}, {1, 255, 1},
                                           {2, 256, 2}, {1, 257, 1}, {1, 1000, 3}, {0, 3, 2},  {2, 3, 0},  {700, 9, 4}};

static void test_sort_is_stable_for_every_type(void **state) {
    (void)state;
    uint64_t seed = 1;
    sw_tape *tape = sw_tape_new();
    for (int t = 0; t < TYPES; t++)
        for (size_t s = 0; s < sizeof sorted_shapes / sizeof *sorted_shapes; s++)
            for (int descending = 0; descending < 2; descending++) {
                sw_array x = crowded_array(types[t], 3, sorted_shapes[s], &seed);
                sw_tensor ids, in = sw_input(tape, x), sorted = sw_sort(in, 1, descending, &ids);
                const sw_array values = sw_value(sorted), places = sw_value(ids),
                               alone = sw_value(sw_argsort(in, -2, descending)),
                               without = sw_value(sw_sort(in, 1, descending, NULL));
                expect_no_error();
                assert_int_equal(values.type, types[t]);
                expect_sorted(&x, &places, &values, sorted_shapes[s], sorted_shapes[s][1], descending);
                expect_sorted(&x, &alone, NULL, sorted_shapes[s], sorted_shapes[s][1], descending);
                if (values.data && test_bytes(&values))
                    assert_memory_equal(without.data, values.data, test_bytes(&values));
                sw_tape_reset(tape);
                test_array_free(&x);
            }
    sw_tape_free(tape);
}

static void test_top_k_is_the_beginning_of_the_sorted_elements(void **state) {
    (void)state;
    uint64_t seed = 2;
    sw_tape *tape = sw_tape_new();
    for (int t = 0; t < TYPES; t++)
        for (size_t s = 0; s < sizeof sorted_shapes / sizeof *sorted_shapes; s++)
            for (int round = 0; round < 6; round++) {
                const int64_t *shape = sorted_shapes[s], n = shape[1];
                const int64_t k = round == 0 ? 0 : round == 1 ? n : round == 2 ? n / 16 : below(&seed, (int)n + 1);
                const bool smallest = below(&seed, 2);
                sw_array x = crowded_array(types[t], 3, shape, &seed);
                sw_tensor ids, first = sw_top_k(sw_input(tape, x), k, 1, smallest, &ids);
                const sw_array values = sw_value(first), places = sw_value(ids);
                expect_no_error();
                expect_sorted(&x, &places, &values, shape, k, !smallest);
                sw_tape_reset(tape);
                test_array_free(&x);
            }
    sw_tape_free(tape);
}

/* Ascending, descending and constant columns: the heap replaces every element, or none. */
static void test_top_k_of_ordered_columns(void **state) {
    (void)state;
    enum { LENGTH = 5000, K = 100 };
    sw_tape *tape = sw_tape_new();
    for (int order = -1; order <= 1; order++) {
        sw_array x = test_array(SW_F64, SW_SHAPE(1, LENGTH, 1));
        for (int64_t i = 0; i < LENGTH; i++)
            test_set(&x, i, (double)(order * i));
        for (int smallest = 0; smallest < 2; smallest++) {
            sw_tensor ids, first = sw_top_k(sw_input(tape, x), K, 1, smallest, &ids);
            const sw_array values = sw_value(first), places = sw_value(ids);
            expect_no_error();
            expect_sorted(&x, &places, &values, (const int64_t[]){1, LENGTH, 1}, K, !smallest);
        }
        sw_tape_reset(tape);
        test_array_free(&x);
    }
    sw_tape_free(tape);
}

/* The gradient of each element is that of its place, that of the others 0. */
static void test_gradient_returns_to_the_place_of_the_element(void **state) {
    (void)state;
    const double x[6] = {3, (double)NAN, -1, 3, 7, 0}, d[4] = {1, 2, 4, 8}, expected[6] = {8, 0, 1, 0, 0, 2};
    sw_tape *tape = sw_tape_new();
    sw_tensor t = sw_variable(tape, sw_array_view(x, SW_F64, SW_SHAPE(6)));
    sw_tensor ids = {0}, y = sw_top_k(t, 3, 0, true, &ids); /* -1, 0, 3 */
    assert_int_equal(sw_backward_from(y, sw_array_view((const double[]){1, 2, 8}, SW_F64, SW_SHAPE(3))), SW_OK);
    sw_array g = sw_grad(t);
    for (int i = 0; i < 6; i++)
        assert_true(test_get(&g, i) == expected[i]);
    y = sw_top_k(t, 4, 0, false, NULL); /* NaN, 7, 3, 3: added to the gradient above */
    assert_int_equal(sw_backward_from(y, sw_array_view(d, SW_F64, SW_SHAPE(4))), SW_OK);
    g = sw_grad(t);
    const double sum[6] = {12, 1, 1, 8, 2, 2};
    for (int i = 0; i < 6; i++)
        assert_true(test_get(&g, i) == sum[i]);
    expect_no_error();
    sw_tape_free(tape);
}

/* argmin is argmax of -x: the first of equal elements, and the first NaN. */
static void test_argmin_is_argmax_of_the_negative(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{3, 1, 2}, {4, 31, 1}, {2, 70, 5}, {1, 1300, 1}, {2, 300, 150}, {1, 40, 1000}};
    uint64_t seed = 3;
    sw_tape *tape = sw_tape_new();
    for (int t = 0; t < 4; t++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            sw_array x = crowded_array(types[t], 3, shapes[s], &seed);
            for (int64_t i = 0; s % 2 == 0 && i < sw_array_count(&x); i++) /* also rows without NaN */
                if (isnan(test_get(&x, i)))
                    test_set(&x, i, -2);
            sw_tensor in = sw_input(tape, x);
            const sw_array least = sw_value(sw_argmin(in, 1, false)), most = sw_value(sw_argmax(sw_neg(in), 1, false));
            expect_no_error();
            assert_memory_equal(least.data, most.data, test_bytes(&most));
            sw_tape_reset(tape);
            test_array_free(&x);
        }
    sw_tape_free(tape);
}

/* Values at equal ids are added in the order of the ids, in the type, as long as they are few. */
static void test_scatter_add_adds_in_the_order_of_ids(void **state) {
    (void)state;
    enum { OUTER = 2, N_ = 3, M = 40, INNER = 5 };
    uint64_t seed = 4;
    sw_tape *tape = sw_tape_new();
    for (int t = 0; t < 2; t++) {
        sw_array x = test_filled(types[t], SW_SHAPE(OUTER, N_, INNER), -2, 2, 1),
                 v = test_filled(types[t], SW_SHAPE(OUTER, M, INNER), -2, 2, 2),
                 ids = test_array(SW_I32, SW_SHAPE(OUTER, M, INNER)),
                 expected = test_filled(types[t], SW_SHAPE(OUTER, N_, INNER), -2, 2, 1);
        for (int64_t i = 0; i < sw_array_count(&ids); i++) {
            const int id = below(&seed, N_);
            const int64_t at = (i / (M * INNER) * N_ + id) * INNER + i % INNER;
            test_set(&ids, i, id);
            test_set(&expected, at, test_get(&expected, at) + test_get(&v, i));
        }
        const sw_array sum = sw_value(sw_scatter_add(sw_input(tape, x), 1, sw_input(tape, ids), sw_input(tape, v)));
        expect_no_error();
        assert_memory_equal(sum.data, expected.data, test_bytes(&sum));
        test_array_free(&x);
        test_array_free(&v);
        test_array_free(&ids);
        test_array_free(&expected);
    }
    sw_tape_free(tape);
}

/* A chain of 10^6 additions in f32 would err by 1e-3. The sum in f64 is rounded once, so that its relative error is
 * 2^-24, and one rounding more in f16 and bf16. */
static void test_long_sums_of_scatter_add_are_accurate(void **state) {
    (void)state;
    enum { MANY = 1000000 };
    sw_tape *tape = sw_tape_new();
    for (int t = 0; t < 4; t++)
        for (int rows = 0; rows < 2; rows++) {
            sw_array x = test_array(types[t], SW_SHAPE(2, 1)), v = test_array(types[t], SW_SHAPE(MANY, 1)),
                     ids = test_array(SW_I32, 2 - rows, (const int64_t[]){MANY, 1});
            double sum[2] = {0.5, 0.25};
            uint64_t seed = 5;
            for (int i = 0; i < 2; i++)
                test_set(&x, i, sum[i]);
            for (int i = 0; i < MANY; i++) {
                const int id = i % 3 == 0;
                test_set(&v, i, 0.01 * test_uniform(&seed, 0, 1));
                test_set(&ids, i, id);
                sum[id] += test_get(&v, i);
            }
            sw_tensor a = sw_input(tape, x), b = sw_input(tape, ids), c = sw_input(tape, v);
            const sw_array y = sw_value(rows ? sw_scatter_add_rows(a, b, c) : sw_scatter_add(a, 0, b, c));
            const double error = 1.01 * (0x1p-24 + (t == 2 ? 0x1p-11 : t == 3 ? 0x1p-8 : 0));
            expect_no_error();
            for (int i = 0; i < 2; i++)
                assert_true(fabs(test_get(&y, i) - sum[i]) <= error * sum[i]);
            sw_tape_reset(tape);
            test_array_free(&x);
            test_array_free(&v);
            test_array_free(&ids);
        }
    sw_tape_free(tape);
}

/* The gradient is that of sw_gather_rows, with 0 in the row of the padding, also for rows with a sum in f64. */
static void test_padding_has_the_gradient_zero(void **state) {
    (void)state;
    enum { LINES = 3, DIM = 70, MANY = 900 };
    uint64_t seed = 7;
    sw_tape *tape = sw_tape_new();
    sw_array ids = test_array(SW_I32, SW_SHAPE(MANY));
    for (int64_t i = 0; i < MANY; i++)
        test_set(&ids, i, below(&seed, LINES));
    for (int t = 0; t < 4; t++)
        for (int padding = 0; padding < LINES; padding++) {
            sw_array x = test_filled(types[t], SW_SHAPE(LINES, DIM), -2, 2, 1), g[2];
            for (int padded = 0; padded < 2; padded++) {
                sw_tensor table = sw_variable(tape, x), by = sw_input(tape, ids),
                          y = padded ? sw_gather_rows_with_padding(table, by, padding) : sw_gather_rows(table, by);
                assert_ok(sw_backward(sw_sum(sw_mul(y, y))));
                g[padded] = sw_grad(table);
            }
            for (int64_t i = 0; i < LINES * DIM; i++)
                assert_true(test_get(&g[1], i) == (i / DIM == padding ? 0 : test_get(&g[0], i)));
            sw_tape_reset(tape);
            test_array_free(&x);
        }
    sw_tape_free(tape);
    test_array_free(&ids);
}

static void test_one_hot_is_one_at_the_id(void **state) {
    (void)state;
    enum { IDS = 6000, CLASSES = 5 };
    sw_tape *tape = sw_tape_new();
    sw_array ids = test_array(SW_I32, SW_SHAPE(2, IDS));
    uint64_t seed = 6;
    sw_array bytes = test_array(SW_U8, SW_SHAPE(2, IDS));
    for (int64_t i = 0; i < 2 * IDS; i++) {
        test_set(&ids, i, below(&seed, CLASSES));
        test_set(&bytes, i, test_get(&ids, i));
    }
    for (int t = 0; t < TYPES; t++) {
        const sw_array y = sw_value(sw_one_hot(sw_input(tape, ids), CLASSES, types[t]));
        expect_no_error();
        assert_int_equal(y.type, types[t]);
        assert_true(sw_shape_equal(y.rank, y.shape, 3, (const int64_t[]){2, IDS, CLASSES}));
        for (int64_t i = 0; i < 2 * IDS * CLASSES; i++)
            assert_true(test_get(&y, i) == (test_get(&ids, i / CLASSES) == (double)(i % CLASSES)));
        const sw_array z = sw_value(sw_one_hot(sw_input(tape, bytes), CLASSES, types[t]));
        expect_no_error();
        assert_memory_equal(y.data, z.data, test_bytes(&y));
    }
    sw_tape_free(tape);
    test_array_free(&ids);
    test_array_free(&bytes);
}

/* In a dry run the ids of a sort are not computed, and nothing may read them. */
static void test_sort_runs_in_a_dry_run(void **state) {
    (void)state;
    const int64_t lengths[] = {7, 300, 200000};
    for (int i = 0; i < 3; i++) {
        size_t bytes[2];
        for (int dry = 0; dry < 2; dry++) {
            sw_array x = test_array(SW_F32, SW_SHAPE(lengths[i], 2));
            if (dry)
                assert_ok(sw_dry_run_begin());
            sw_tape *tape = sw_tape_new();
            sw_tensor t = sw_variable(tape, x), ids, y = sw_sort(t, 0, true, &ids);
            y = sw_add(y, sw_gather_rows(t, sw_reshape(sw_slice(ids, 1, 0, 1), SW_SHAPE(-1))));
            y = sw_scatter_add(y, 0, ids, t);
            assert_ok(sw_backward(sw_sum(y)));
            bytes[dry] = sw_tape_touched_bytes(tape);
            sw_tape_free(tape);
            if (dry)
                assert_ok(sw_dry_run_end());
            test_array_free(&x);
        }
        assert_int_equal(bytes[0], bytes[1]);
    }
}

#define REFUSED(call, status, message) \
    do {                               \
        assert_true(sw_is_null(call)); \
        expect_error(status, message); \
    } while (0)

static void test_operations_refuse_wrong_arguments(void **state) {
    (void)state;
    const float x[6] = {1, 2, 3, 4, 5, 6};
    const int32_t i[6] = {0, 1, 2, 1, -1, 0};
    sw_tape *tape = sw_tape_new();
    sw_tensor t = sw_input(tape, sw_array_view(x, SW_F32, SW_SHAPE(2, 3))),
              ids = sw_input(tape, sw_array_view(i, SW_I32, SW_SHAPE(2, 3))), place = t,
              none = sw_empty(tape, SW_F32, SW_SHAPE(0, 3));
    REFUSED(sw_sort(t, 2, false, &place), SW_ERR_SHAPE, "sort: axis 2 of [2,3]; its axes are -2 to 1");
    assert_true(sw_is_null(place));
    place = t;
    REFUSED(sw_top_k(t, 4, 1, false, &place), SW_ERR_ARGUMENT, "top_k: k = 4 for axis 1 of [2,3]; it must be 0 to 3");
    assert_true(sw_is_null(place));
    REFUSED(sw_top_k(t, -1, 1, false, NULL), SW_ERR_ARGUMENT, "top_k: k = -1 for axis 1 of [2,3]; it must be 0 to 3");
    REFUSED(sw_sort((sw_tensor){0}, 0, false, NULL), SW_ERR_ARGUMENT, "sort: input 0 is a null tensor");
    REFUSED(sw_argmin(ids, 0, false), SW_ERR_TYPE, "argmin: input 0 is i32; f32, f64, f16 or bf16 is needed");
    REFUSED(sw_scatter_add(t, 0, ids, t), SW_ERR_ARGUMENT, "scatter_add: id 2 at position 2 is outside 0 to 1");
    REFUSED(sw_scatter_add(t, 1, ids, t), SW_ERR_ARGUMENT, "scatter_add: id -1 at position 4 is outside 0 to 2");
    REFUSED(sw_scatter_add(ids, 0, ids, ids), SW_ERR_TYPE,
            "scatter_add: input 0 is i32; f32, f64, f16 or bf16 is needed");
    REFUSED(sw_scatter_add(t, 0, t, t), SW_ERR_TYPE, "scatter_add: the ids are f32; i32 is needed");
    REFUSED(sw_scatter_add(none, 0, ids, t), SW_ERR_SHAPE,
            "scatter_add: axis 0 of [0,3] has length 0: there is no element to add to");
    REFUSED(sw_scatter_add_rows(t, sw_reshape(ids, SW_SHAPE(6)), sw_empty(tape, SW_F32, SW_SHAPE(6, 3))),
            SW_ERR_ARGUMENT, "scatter_add_rows: id 2 at position 2 is outside 0 to 1");
    REFUSED(sw_gather_rows_with_padding(t, ids, 2), SW_ERR_ARGUMENT,
            "gather_rows_with_padding: padding id 2 for table [2,3]; it must be one of its rows");
    REFUSED(sw_one_hot(ids, 3, SW_F32), SW_ERR_ARGUMENT, "one_hot: id -1 at position 4 is outside 0 to 2");
    REFUSED(sw_one_hot(t, 3, SW_F32), SW_ERR_TYPE, "one_hot: the ids are f32; i32 or u8 is needed");
    REFUSED(sw_one_hot(sw_input(tape, sw_array_view((const uint8_t[]){0, 2, 3}, SW_U8, SW_SHAPE(3))), 3, SW_F32),
            SW_ERR_ARGUMENT, "one_hot: id 3 at position 2 is outside 0 to 2");
    REFUSED(sw_one_hot(ids, 0, SW_F32), SW_ERR_ARGUMENT, "one_hot: 0 classes; at least 1 is needed");
    REFUSED(sw_one_hot(ids, 3, SW_I64), SW_ERR_TYPE,
            "one_hot: the type is i64; f32, f64, f16, bf16, i32 or u8 is needed");
    sw_tape_free(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_sort_is_stable_for_every_type, test_clear),
        cmocka_unit_test_setup(test_top_k_is_the_beginning_of_the_sorted_elements, test_clear),
        cmocka_unit_test_setup(test_top_k_of_ordered_columns, test_clear),
        cmocka_unit_test_setup(test_gradient_returns_to_the_place_of_the_element, test_clear),
        cmocka_unit_test_setup(test_argmin_is_argmax_of_the_negative, test_clear),
        cmocka_unit_test_setup(test_scatter_add_adds_in_the_order_of_ids, test_clear),
        cmocka_unit_test_setup(test_long_sums_of_scatter_add_are_accurate, test_clear),
        cmocka_unit_test_setup(test_padding_has_the_gradient_zero, test_clear),
        cmocka_unit_test_setup(test_one_hot_is_one_at_the_id, test_clear),
        cmocka_unit_test_setup(test_sort_runs_in_a_dry_run, test_clear),
        cmocka_unit_test_setup(test_operations_refuse_wrong_arguments, test_clear),
    };
    return cmocka_run_group_tests_name("ops_index", tests, NULL, NULL);
}
