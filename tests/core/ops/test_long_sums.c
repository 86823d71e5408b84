/* Sums of many equal f32 terms, whose rounding errors do not cancel: the relative error is at most 1e-5, with equal
 * bits for every number of threads. A chain of f32 additions has an error of several percent at these lengths. */
#include "support.h"

#include <swale/extend.h>

enum { MANY = 4000000, LONG = 1000000 };

/* The f32 nearest 0.1, whose sums round at almost every step. */
static const float tenth = 0.1f;

static float *tenths(int64_t count) {
    float *x = malloc((size_t)count * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < count; i++)
        x[i] = tenth;
    return x;
}

static void expect_near(const char *what, double got, double exact) {
    if (!(fabs(got - exact) <= 1e-5 * fabs(exact)))
        fail_msg("%s: %.9g, not %.9g", what, got, exact);
}

/* One id many times, another one now and then, and one that never comes. */
static void test_gather_gradient_of_many_repeats_is_accurate(void **state) {
    (void)state;
    enum { WIDTH = 2 };
    float *dy = tenths((int64_t)MANY * WIDTH), table[3 * WIDTH] = {0}, first[3 * WIDTH];
    int32_t *ids = calloc(MANY, sizeof *ids);
    int64_t rare = 0;
    assert_non_null(ids);
    for (int64_t i = 0; i < MANY; i += 40000)
        rare += ids[i] = 2;
    rare /= 2;
    assert_true(rare <= 256); /* stays in f32 */
    for (int threads = 1; threads <= 2; threads++) {
        assert_int_equal(sw_set_threads(threads), SW_OK);
        sw_tape *tape = sw_tape_new();
        sw_tensor x = sw_variable(tape, sw_array_view(table, SW_F32, SW_SHAPE(3, WIDTH)));
        sw_tensor y = sw_gather_rows(x, sw_input(tape, sw_array_view(ids, SW_I32, SW_SHAPE(MANY))));
        assert_int_equal(sw_backward_from(y, sw_array_view(dy, SW_F32, SW_SHAPE(MANY, WIDTH))), SW_OK);
        const float *d = sw_grad(x).data;
        for (int k = 0; k < WIDTH; k++) {
            expect_near("gather_rows", (double)d[k], (double)(MANY - rare) * (double)tenth);
            expect_near("gather_rows, rare", (double)d[2 * WIDTH + k], (double)rare * (double)tenth);
            assert_true(d[WIDTH + k] == 0);
        }
        if (threads == 1)
            memcpy(first, d, sizeof first);
        assert_memory_equal(first, d, sizeof first);

        sw_tape_reset(tape);
        x = sw_variable(tape, sw_array_view(table, SW_F32, SW_SHAPE(3)));
        y = sw_gather(x, 0, sw_input(tape, sw_array_view(ids, SW_I32, SW_SHAPE(MANY))));
        assert_int_equal(sw_backward_from(y, sw_array_view(dy, SW_F32, SW_SHAPE(MANY))), SW_OK);
        d = sw_grad(x).data;
        expect_near("gather", (double)d[0], (double)(MANY - rare) * (double)tenth);
        assert_true(d[1] == 0);
        sw_tape_free(tape);
    }
    free(ids);
    free(dy);
}

/* alpha op(A) op(B) + beta C with a long inner length, stored either way: vectors, and several
 * tiles of sums. */
static void test_long_products_are_accurate(void **state) {
    (void)state;
    static const struct { int64_t M, N; } sizes[] = {{1, 1}, {3, 1}, {1, 5}, {3, 5}, {66, 2}};
    float *a = tenths(66 * (int64_t)20000 > (int64_t)3 * LONG ? 66 * (int64_t)20000 : (int64_t)3 * LONG),
          *b = tenths((int64_t)5 * LONG);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int stored = 0; stored < 4; stored++) {
            const int64_t M = sizes[s].M, N = sizes[s].N, K = M > 3 ? 20000 : LONG;
            const bool ta = stored & 1, tb = stored & 2;
            float c[66 * 5], again[66 * 5];
            for (int threads = 1; threads <= 2; threads++) {
                assert_int_equal(sw_set_threads(threads), SW_OK);
                for (int i = 0; i < 66 * 5; i++)
                    c[i] = 1000;
                assert_int_equal(sw_gemm(SW_F32, ta, tb, M, N, K, 2, a, ta ? M : K, b, tb ? K : N, 3, c, N), SW_OK);
                for (int64_t i = 0; i < M * N; i++)
                    expect_near("gemm", (double)c[i], 2 * (double)K * (double)tenth * (double)tenth + 3000);
                if (threads == 1)
                    memcpy(again, c, sizeof c);
                assert_memory_equal(again, c, (size_t)(M * N) * sizeof *c);
            }
        }
    free(a);
    free(b);
}

/* The products of a long sum are those of the matrices: each element its own number. */
static void test_long_products_are_accurate_in_every_element(void **state) {
    (void)state;
    enum { M = 70, N = 67, K = 16385 };
    float *a = malloc(M * K * sizeof *a), *b = malloc(N * K * sizeof *b), *c = malloc(M * N * sizeof *c);
    assert_true(a && b && c);
    for (int i = 0; i < M; i++)
        for (int k = 0; k < K; k++)
            a[i * K + k] = (float)(1 + i % 3) * (k % 2 ? 1 : 2);
    for (int j = 0; j < N; j++)
        for (int k = 0; k < K; k++)
            b[k * N + j] = (float)(1 + j % 5);
    assert_int_equal(sw_gemm(SW_F32, false, false, M, N, K, 1, a, K, b, N, 0, c, N), SW_OK);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++)
            expect_near("element", (double)c[i * N + j], (1 + i % 3) * (1 + j % 5) * (2.0 * (K / 2 + 1) + K / 2));
    free(a);
    free(b);
    free(c);
}

/* Products whose tiles are cut into several blocks, and whose tiles are several. */
static void test_long_products_in_several_blocks_are_accurate(void **state) {
    (void)state;
    enum { K = 16385, ROWS = 1600 };
    static const struct {
        int64_t M, N;
        int most_threads;
    } sizes[] = {{ROWS, 700, 2}, {400, 30, 3}};
    float *a = malloc((size_t)ROWS * K * sizeof *a), *c = malloc((size_t)ROWS * 700 * sizeof *c),
          *first = malloc((size_t)ROWS * 700 * sizeof *c);
    assert_true(a && c && first);
    for (int64_t i = 0; i < ROWS; i++)
        for (int k = 0; k < K; k++)
            a[i * K + k] = (float)(1 + i % 7) * (k % 2 ? 1 : 2);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int64_t M = sizes[s].M, N = sizes[s].N;
        const int most = sizes[s].most_threads;
        for (int threads = s == 0 ? most : 1; threads <= most; threads++) { /* the large one takes a second */
            assert_int_equal(sw_set_threads(threads), SW_OK);
            for (int64_t i = 0; i < M * N; i++)
                c[i] = 1000;
            assert_int_equal(sw_gemm(SW_F32, false, true, M, N, K, 2, a, K, a, K, 3, c, N), SW_OK);
            for (int64_t i = 0; i < M; i++)
                for (int64_t j = 0; j < N; j++)
                    expect_near("element", (double)c[i * N + j],
                                2.0 * (double)((1 + i % 7) * (1 + j % 7)) * (4.0 * (K / 2 + 1) + K / 2) + 3000);
            if (threads == 1)
                memcpy(first, c, (size_t)(M * N) * sizeof *c);
            if (s > 0)
                assert_memory_equal(first, c, (size_t)(M * N) * sizeof *c);
        }
    }
    free(a);
    free(c);
    free(first);
}

/* The sums in f64 of a gather's gradient take memory for some columns at a time, not for all of x; each is that of its
 * column, in the order of the ids, whatever the number of threads. */
static void test_gather_gradient_takes_little_memory(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{2, 1000, 3000}, {1, 400000, 12}, {40, 5000, 20}};
    enum { MANY_IDS = 300 };
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const int64_t outer = shapes[s][0], n = shapes[s][1], inner = shapes[s][2], count = outer * n * inner,
                      ids_count = outer * MANY_IDS * inner;
        float *x = calloc((size_t)count, sizeof *x), *dy = malloc((size_t)ids_count * sizeof *dy);
        int32_t *ids = malloc((size_t)ids_count * sizeof *ids);
        double *sum = calloc((size_t)count, sizeof *sum);
        assert_true(x && dy && ids && sum);
        uint64_t random = 1;
        for (int64_t i = 0; i < ids_count; i++) {
            dy[i] = (float)test_uniform(&random, -1, 1);
            ids[i] = (int32_t)(i % 3 ? 7 : (i * 31) % n);
            const int64_t block = i / (MANY_IDS * inner);
            sum[(block * n + ids[i]) * inner + i % inner] += (double)dy[i];
        }
        for (int threads = 1; threads <= 3; threads++) {
            assert_int_equal(sw_set_threads(threads), SW_OK);
            sw_tape *tape = sw_tape_new();
            const sw_array whole = sw_array_view(x, SW_F32, 3, shapes[s]);
            sw_tensor t = sw_variable(tape, whole);
            sw_tensor y = sw_gather(t, 1, sw_input(tape, sw_array_view(ids, SW_I32, SW_SHAPE(outer, MANY_IDS, inner))));
            const size_t before = sw_tape_peak_bytes(tape);
            assert_int_equal(sw_backward_from(y, sw_array_view(dy, SW_F32, SW_SHAPE(outer, MANY_IDS, inner))), SW_OK);
            const size_t used = sw_tape_peak_bytes(tape) - before;
            const float *d = sw_grad(t).data;
            for (int64_t i = 0; i < count; i++)
                if (d[i] != (float)sum[i])
                    fail_msg("element %lld: %.9g, not %.9g", (long long)i, (double)d[i], (double)(float)sum[i]);
            /* The gradients of x and of y, and a lane's sums for each thread: 2 MiB or a column. The arena gives
             * large memory in whole MiB: at most 1 MiB more for each of the three. */
            const int64_t column = n * (int64_t)sizeof(double), lane = column > 2 << 20 ? column : 2 << 20;
            const size_t most = (size_t)(4 * (count + ids_count) + threads * lane + 3 * (1 << 20));
            if (used > most)
                fail_msg("%zu bytes for the gradient of [%lld, %lld, %lld]; at most %zu are needed", used,
                         (long long)outer, (long long)n, (long long)inner, most);
            sw_tape_free(tape);
        }
        free(x);
        free(dy);
        free(ids);
        free(sum);
    }
}

static void test_sums_of_long_rows_are_accurate(void **state) {
    (void)state;
    float *x = tenths(MANY);
    sw_tape *tape = sw_tape_new();
    sw_tensor row = sw_variable(tape, sw_array_view(x, SW_F32, SW_SHAPE(1, MANY)));
    expect_near("sum", sw_item(sw_sum(row)), (double)MANY * (double)tenth);
    expect_near("softmax", (double)((const float *)sw_value(sw_softmax(row, 1)).data)[MANY - 1], 1.0 / MANY);
    const int32_t id = 3;
    sw_tensor ids = sw_input(tape, sw_array_view(&id, SW_I32, SW_SHAPE(1)));
    expect_near("cross_entropy", sw_item(sw_cross_entropy(row, ids)), log((double)MANY));
    /* t (log t - q) with t = q = 0.1 */
    sw_tensor each = sw_kl_div_with_options(row, row, &SW_OPTIONS(sw_loss_options, .reduction = SW_NONE));
    expect_near("kl_div", (double)((const float *)sw_value(each).data)[0],
                (double)MANY * (double)tenth * (log((double)tenth) - (double)tenth));
    sw_tensor column = sw_variable(tape, sw_array_view(x, SW_F32, SW_SHAPE(MANY / 2, 2)));
    expect_near("columns", (double)((const float *)sw_value(sw_sum_over(column, SW_AXES(0), false)).data)[1],
                (double)MANY / 2 * (double)tenth);
    sw_tape_free(tape);
    free(x);
}

static int restore(void **state) {
    (void)state;
    return sw_set_threads(1) == SW_OK ? 0 : -1;
}

/* Cumulative sums of one row, of rows and of columns, and their gradients. Each is a sum in f64 that is rounded once:
 * the error is at most 2^-24 and LONG·2^-53 of it. */
static void test_cumulative_sums_are_accurate(void **state) {
    (void)state;
    static const int64_t shapes[][2] = {{1, LONG}, {3, LONG / 5}, {LONG / 5, 3}};
    float *x = tenths(LONG);
    for (int s = 0; s < 3; s++) {
        const int64_t *shape = shapes[s], n = s == 2 ? shape[0] : shape[1], count = shape[0] * shape[1];
        const int axis = s == 2 ? 0 : 1;
        const double bound = 0x1p-24 + LONG * 0x1p-53, total = (double)n * (double)tenth;
        sw_tape *tape = sw_tape_new();
        sw_tensor a = sw_variable(tape, sw_array_view(x, SW_F32, 2, shape)), y = sw_cumsum(a, axis);
        assert_ok(sw_backward_from(y, sw_array_view(x, SW_F32, 2, shape)));
        const float *value = sw_value(y).data, *d = sw_grad(a).data;
        for (int64_t i = 0; i < count; i++) {
            const int64_t j = s == 2 ? i / 3 : i % n;
            const double sum = (double)(j + 1) * (double)tenth, rest = total - (double)j * (double)tenth;
            if (!(fabs((double)value[i] - sum) <= bound * sum && fabs((double)d[i] - rest) <= bound * rest))
                fail_msg("element %lld: %.9g and %.9g, not %.9g and %.9g", (long long)i, (double)value[i], (double)d[i],
                         sum, rest);
        }
        sw_tape_free(tape);
    }
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_gather_gradient_of_many_repeats_is_accurate, restore),
        cmocka_unit_test_teardown(test_long_products_are_accurate, restore),
        cmocka_unit_test_teardown(test_cumulative_sums_are_accurate, restore),
        cmocka_unit_test(test_long_products_are_accurate_in_every_element),
        cmocka_unit_test_teardown(test_long_products_in_several_blocks_are_accurate, restore),
        cmocka_unit_test_teardown(test_gather_gradient_takes_little_memory, restore),
        cmocka_unit_test(test_sums_of_long_rows_are_accurate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
