/* Products with a packed matrix: against sums of products in f64, with the bound of packed_product.h for each element;
 * the stated order of the additions, bit for bit; equal bits for any number of rows, and on avx2 and avx512. */
#include "support.h"

#include <swale/extend.h>

#include <math.h>

#include "core/ops/levels.h"

typedef struct packed_case {
    sw_dtype type;
    int64_t M, N, K;
    sw_array a, b, bias, c;
    void *panels;
    bool transposed;
    int64_t columns;
} packed_case;

static packed_case case_new(sw_dtype type, bool transposed, int64_t M, int64_t N, int64_t K) {
    packed_case p = {.type = type, .M = M, .N = N, .K = K, .transposed = transposed};
    p.columns = sw_packed_columns(type, N);
    assert_true(p.columns >= N);
    p.a = test_filled(type, SW_SHAPE(M, K + 3), -1, 1, 1);
    p.b =
        transposed ? test_filled(type, SW_SHAPE(N, K + 2), -1, 1, 2) : test_filled(type, SW_SHAPE(K, N + 2), -1, 1, 2);
    p.bias = test_filled(type, SW_SHAPE(N), -1, 1, 3);
    p.c = test_array(type, 2, (int64_t[]){M, p.columns + 1});
    p.panels = sw_alloc(sw_packed_bytes(type, K, N));
    assert_non_null(p.panels);
    return p;
}

static void case_free(packed_case *p) {
    test_array_free(&p->a);
    test_array_free(&p->b);
    test_array_free(&p->bias);
    test_array_free(&p->c);
    sw_free(p->panels);
}

static void case_run(packed_case *p, int64_t first, int64_t rows, bool bias) {
    const size_t size = sw_dtype_size(p->type);
    const int64_t ldb = p->b.shape[1], lda = p->K + 3, ldc = p->columns + 1;
    sw_packed_fill(p->type, p->transposed, p->K, p->N, p->b.data, ldb, p->panels);
    sw_packed_product(p->type, rows, p->N, p->K, (char *)p->a.data + (size_t)(first * lda) * size, lda, p->panels,
                      bias ? p->bias.data : NULL, (char *)p->c.data + (size_t)(first * ldc) * size, ldc);
}

static double b_at(const packed_case *p, int64_t k, int64_t n) {
    const int64_t ldb = p->b.shape[1];
    return test_get(&p->b, p->transposed ? n * ldb + k : k * ldb + n);
}

static void expect_sums(packed_case *p, bool bias) {
    const double u = p->type == SW_F32 ? 0x1p-24 : 0x1p-53;
    for (int64_t m = 0; m < p->M; m++)
        for (int64_t n = 0; n < p->N; n++) {
            double sum = bias ? test_get(&p->bias, n) : 0, all = fabs(sum);
            for (int64_t k = 0; k < p->K; k++) {
                const double term = test_get(&p->a, m * (p->K + 3) + k) * b_at(p, k, n);
                sum += term;
                all += fabs(term);
            }
            /* The bound of the header; the same again for the rounding of this sum in f64; one for the bias. */
            const double bound = (256 + (double)p->K / 256 + 1) * u * all + (double)(p->K + 1) * 0x1p-53 * all;
            const double got = test_get(&p->c, m * (p->columns + 1) + n);
            if (!(fabs(got - sum) <= bound))
                fail_msg("%s [%d,%d] K %d, element %d %d: %.9g, not %.9g (bound %.3g)", sw_dtype_name(p->type),
                         (int)p->M, (int)p->N, (int)p->K, (int)m, (int)n, got, sum, bound);
        }
}

static const int64_t sizes[][3] = {{1, 1, 1},   {1, 33, 5},   {2, 16, 1},   {3, 7, 300}, {4, 70, 17},  {5, 31, 256},
                                   {6, 32, 64}, {7, 40, 257}, {8, 64, 600}, {9, 100, 3}, {17, 5, 512}, {16, 48, 0}};

static void products_agree(void) {
    for (int type = SW_F32; type <= SW_F64; type++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int form = 0; form < 4; form++) {
                packed_case p = case_new((sw_dtype)type, form & 1, sizes[i][0], sizes[i][1], sizes[i][2]);
                case_run(&p, 0, p.M, form & 2);
                expect_sums(&p, form & 2);
                case_free(&p);
            }
}

static void test_products_agree_with_sums_in_f64(void **state) {
    (void)state;
    each_level(products_agree);
}

/* The order of the header, in scalar arithmetic with fma. */
static double chained_f64(const packed_case *p, int64_t m, int64_t n) {
    double sum = 0;
    for (int64_t from = 0; from < p->K; from += 256) {
        double part = 0;
        for (int64_t k = from; k < p->K && k < from + 256; k++)
            part = fma(test_get(&p->a, m * (p->K + 3) + k), b_at(p, k, n), part);
        sum = from ? sum + part : part;
    }
    return sum + test_get(&p->bias, n);
}
static float chained_f32(const packed_case *p, int64_t m, int64_t n) {
    float sum = 0;
    for (int64_t from = 0; from < p->K; from += 256) {
        float part = 0;
        for (int64_t k = from; k < p->K && k < from + 256; k++)
            part = fmaf((float)test_get(&p->a, m * (p->K + 3) + k), (float)b_at(p, k, n), part);
        sum = from ? sum + part : part;
    }
    return sum + (float)test_get(&p->bias, n);
}

static void bits_are_those_of_the_header(void) {
    if (sw_cpu_level() == 0) /* rounds each product */
        return;
    for (int type = SW_F32; type <= SW_F64; type++) {
        packed_case p = case_new((sw_dtype)type, true, 11, 45, 700);
        case_run(&p, 0, p.M, true);
        for (int64_t m = 0; m < p.M; m++)
            for (int64_t n = 0; n < p.N; n++) {
                const double got = test_get(&p.c, m * (p.columns + 1) + n);
                assert_true(got == (type == SW_F32 ? (double)chained_f32(&p, m, n) : chained_f64(&p, m, n)));
            }
        case_free(&p);
    }
}

static void test_order_of_additions_is_that_of_the_header(void **state) {
    (void)state;
    each_level(bits_are_those_of_the_header);
}

/* The rows one by one, and in blocks of another size, have the bits of all rows together. */
static void rows_do_not_depend_on_others(void) {
    for (int type = SW_F32; type <= SW_F64; type++)
        for (int64_t block = 1; block < 13; block++) {
            packed_case whole = case_new((sw_dtype)type, false, 13, 50, 90),
                        parts = case_new((sw_dtype)type, false, 13, 50, 90);
            case_run(&whole, 0, 13, true);
            for (int64_t first = 0; first < 13; first += block)
                case_run(&parts, first, 13 - first < block ? 13 - first : block, true);
            for (int64_t m = 0; m < 13; m++)
                for (int64_t n = 0; n < 50; n++)
                    assert_true(test_get(&whole.c, m * (whole.columns + 1) + n) ==
                                test_get(&parts.c, m * (parts.columns + 1) + n));
            case_free(&whole);
            case_free(&parts);
        }
}

static void test_rows_do_not_depend_on_others(void **state) {
    (void)state;
    each_level(rows_do_not_depend_on_others);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_products_agree_with_sums_in_f64, test_no_error_left),
        cmocka_unit_test_teardown(test_order_of_additions_is_that_of_the_header, test_no_error_left),
        cmocka_unit_test_teardown(test_rows_do_not_depend_on_others, test_no_error_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
