/* Kernels of f32 on rows of f16 and bf16 (wide_rows.h): the bits of the kernel on whole arrays in f32, for short rows
 * and for rows that are longer than the blocks on the stack, with and without sums, for every number of threads. */
#include <swale/kernel.h>
#include <swale/kernel_rows.h>
#include <swale/wide_rows.h>

#if SW_KERNEL_FIRST
/* out = weight·(x - the mean of the row) + offset of the row; writes the mean; adds Σ x² to the sum, if there is one */
typedef struct center_args {
    const void *x, *offset; /* [rows, n]; [rows], f32 or NULL */
    void *out, *mean;       /* [rows, n]; [rows] in f32 */
    const void *weights;    /* [n], for all rows */
    int64_t n;
} center_args;
#endif

#if SW_KERNEL_PASS

static void SW_K(center)(void *args, int64_t begin, int64_t end, double *sums) {
    const center_args *s = args;
    const real *weights = s->weights, *offset = s->offset;
    for (int64_t row = begin; row < end; row++) {
        const real *x = (const real *)s->x + row * s->n;
        real *out = (real *)s->out + row * s->n, total;
        SW_ROW_SUM(total, s->n, x[j]);
        const real mean = s->n ? total / (real)s->n : 0;
        ((real *)s->mean)[row] = mean;
        for (int64_t j = 0; j < s->n; j++)
            out[j] = weights[j] * (x[j] - mean) + (offset ? offset[row] : 0);
    }
    for (int64_t j = 0; sums && j < s->n; j++) /* an order that depends on the rows of the call */
        for (int64_t row = begin; row < end; row++) {
            const double x = (double)((const real *)s->x)[row * s->n + j];
            sums[0] += x * x / 3;
        }
}

#else

#include "support.h"

#include <swale/extend.h>

#include "core/ops/levels.h"

static const sw_kernels center_kernels = SW_KERNEL_TABLE(center);

typedef struct center_case {
    int64_t rows, n;
    sw_array x, out, wide_x, wide_out, weights, offset, mean[2];
} center_case;

static center_case center_new(sw_dtype type, int64_t rows, int64_t n) {
    const int64_t shape[2] = {rows, n};
    center_case c = {.rows = rows,
                     .n = n,
                     .x = test_filled(type, 2, shape, -1, 3, 5),
                     .out = test_array(type, 2, shape),
                     .wide_x = test_array(SW_F32, 2, shape),
                     .wide_out = test_array(SW_F32, 2, shape),
                     .weights = test_filled(SW_F32, 1, &n, 0.5, 2, 6),
                     .offset = test_filled(SW_F32, 1, &rows, 0.5, 2, 7),
                     .mean = {test_array(SW_F32, 1, &rows), test_array(SW_F32, 1, &rows)}};
    sw_vector_convert(type, rows * n, c.x.data, SW_F32, c.wide_x.data);
    return c;
}

static void center_free(center_case *c) {
    sw_array *const all[] = {&c->x,       &c->out,    &c->wide_x,  &c->wide_out,
                             &c->weights, &c->offset, &c->mean[0], &c->mean[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        test_array_free(all[i]);
}

static center_args center_arguments(const center_case *c, bool half, bool offset) {
    return (center_args){.x = half ? c->x.data : c->wide_x.data,
                         .offset = offset ? c->offset.data : NULL,
                         .out = half ? c->out.data : c->wide_out.data,
                         .mean = c->mean[half].data,
                         .weights = c->weights.data,
                         .n = c->n};
}

/* Runs the kernel on the 16-bit rows, with new memory as scratch. */
static sw_status center_run(const center_case *c, bool offset, double *sum) {
    const center_args args = center_arguments(c, true, offset);
    const sw_wide_array arrays[] = {sw_wide_array_of(offsetof(center_args, x), c->x.type, false, c->n),
                                    sw_wide_array_of(offsetof(center_args, offset), SW_F32, false, 1),
                                    sw_wide_array_of(offsetof(center_args, out), c->x.type, true, c->n),
                                    sw_wide_array_of(offsetof(center_args, mean), SW_F32, true, 1)};
    const sw_wide_rows job = {.size = sizeof job,
                              .kernels = &center_kernels,
                              .args = &args,
                              .bytes = sizeof args,
                              .type = c->x.type,
                              .array = arrays,
                              .arrays = 4,
                              .rows = c->rows,
                              .length = c->n};
    const size_t bytes = sw_wide_rows_scratch(&job);
    assert_int_equal(bytes > 0, c->n > SW_TILE && c->rows > 0);
    /* Two rows for each thread that works, whatever the number of rows. */
    assert_true(bytes <= (size_t)sw_threads() * 2 * ((size_t)c->n * sizeof(float) + SW_ALIGNMENT));
    void *scratch = bytes ? aligned_alloc(SW_ALIGNMENT, bytes) : NULL;
    const sw_status status = sw_wide_rows_run(&job, sum, scratch, bytes);
    free(scratch);
    return status;
}

static void compare_rows(void) {
    static const int64_t sizes[][2] = {{3, 5},     {1000, 7},  {100, 40}, {7, 1024}, {9, 1500},  {70, 4096},
                                       {70, 4097}, {1, 10000}, {0, 5},    {5, 0},    {20000, 1}, {0, 5000}};
    const sw_dtype halves[2] = {SW_F16, SW_BF16};
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int variant = 0; variant < 4; variant++) {
                const bool with_sum = variant & 1, offset = variant & 2;
                center_case c = center_new(halves[k], sizes[i][0], sizes[i][1]);
                double sum[2] = {1e9, 1e9}; /* overwritten */
                center_args wide = center_arguments(&c, false, offset);
                sw_kernel_run_rows(center_kernels[SW_F32][sw_cpu_level()], &wide, c.rows, c.n,
                                   with_sum ? &sum[0] : NULL);
                for (int threads = 1; threads <= 8; threads *= 2) {
                    sw_set_threads(threads);
                    memset(c.out.data, 0xFF, test_bytes(&c.out));
                    memset(c.mean[1].data, 0xFF, test_bytes(&c.mean[1]));
                    assert_ok(center_run(&c, offset, with_sum ? &sum[1] : NULL));
                    assert_true(sum[0] == sum[1]);
                    assert_memory_equal(c.mean[0].data, c.mean[1].data, test_bytes(&c.mean[0]));
                    for (int64_t j = 0; j < c.rows * c.n; j++) {
                        uint16_t expected[4]; /* room for an element of each type */
                        sw_store_scalar(c.out.type, expected, test_get(&c.wide_out, j));
                        assert_int_equal(((const uint16_t *)c.out.data)[j], expected[0]);
                    }
                }
                sw_set_threads(1);
                center_free(&c);
            }
    expect_no_error();
}

static void test_rows_have_the_bits_of_f32(void **state) {
    (void)state;
    each_level(compare_rows);
}

/* A job that breaks a limit is refused before memory is read. */
static void test_limits_of_a_job(void **state) {
    (void)state;
    const center_args args = {.n = 4};
    sw_wide_array arrays[SW_WIDE_ARRAYS + 1];
    for (int i = 0; i <= SW_WIDE_ARRAYS; i++)
        arrays[i] = sw_wide_array_of(offsetof(center_args, x), i < 5 ? SW_F16 : SW_F32, false, 4);
    const sw_wide_rows good = {.size = sizeof good,
                               .kernels = &center_kernels,
                               .args = &args,
                               .bytes = sizeof args,
                               .type = SW_F16,
                               .array = arrays,
                               .arrays = 4,
                               .rows = 0,
                               .length = 4};
    assert_ok(sw_wide_rows_run(&good, NULL, NULL, 0));
    sw_wide_rows job = good;
    job.size = sizeof job - 1;
    assert_int_equal(sw_wide_rows_run(&job, NULL, NULL, 0), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "wide_rows: its size must be sizeof(sw_wide_rows)");
    assert_int_equal(sw_wide_rows_run(NULL, NULL, NULL, 0), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "wide_rows: it is NULL");
    job = good;
    job.type = SW_F32;
    assert_int_equal(sw_wide_rows_run(&job, NULL, NULL, 0), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "wide_rows: the rows are f32; f16 or bf16 is needed");
    job = good;
    job.bytes = SW_WIDE_ARGS + 1;
    assert_int_equal(sw_wide_rows_run(&job, NULL, NULL, 0), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "wide_rows: 257 bytes of arguments and 4 arrays; at most 256 and 8 are possible");
    job = good;
    job.arrays = SW_WIDE_ARRAYS + 1;
    assert_int_equal(sw_wide_rows_run(&job, NULL, NULL, 0), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "wide_rows: 48 bytes of arguments and 9 arrays; at most 256 and 8 are possible");
    job.arrays = 5;
    assert_int_equal(sw_wide_rows_run(&job, NULL, NULL, 0), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "wide_rows: 5 arrays to convert; at most 4 are possible");
    job.arrays = 4;
    job.length = 3;
    assert_int_equal(sw_wide_rows_run(&job, NULL, NULL, 0), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "wide_rows: array 0 has 4 elements in a row; 0 to 3 are possible");
    /* Scratch that the caller could not allocate: it has recorded the error. */
    job = good;
    job.rows = 1;
    job.length = 5000;
    assert_int_equal(sw_wide_rows_run(&job, NULL, NULL, sw_wide_rows_scratch(&job)), SW_ERR_MEMORY);
    expect_no_error();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows_have_the_bits_of_f32),
                                       cmocka_unit_test(test_limits_of_a_job)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
