/* Loops over square matrices, in blocks, so that a matrix and its mirror image are both read by whole cache lines. */
#include <swale/kernel.h>

#include <swale/dry_run.h>
#include <swale/memory.h>

#include "core/matrix/square.h"

#if SW_KERNEL_FIRST
enum { BLOCK = 16 };
typedef struct transpose_args {
    const void *from;
    void *to;
    int64_t columns, ld;
} transpose_args;
typedef struct square_args {
    void *matrix;
    int64_t n;
    double largest, difference; /* results: of |a| and of |a - mirror image| */
    bool finite;                /* result */
} square_args;
#endif

#if SW_KERNEL_PASS

/* Rows [begin, end) of `from`, BLOCK at a time. A block is transposed in a buffer, because writing to BLOCK rows in
 * turn would evict lines of rows whose distance is a power of two. */
static void SW_K(square_transpose)(void *args, int64_t begin, int64_t end, double *sums) {
    const transpose_args *s = args;
    (void)sums;
    for (int64_t i = begin; i < end; i += BLOCK)
        for (int64_t j = 0; j < s->columns; j += BLOCK) {
            const int64_t rows = end - i < BLOCK ? end - i : BLOCK;
            const int64_t columns = s->columns - j < BLOCK ? s->columns - j : BLOCK;
            const real *from = (const real *)s->from + i * s->ld + j;
            real *to = (real *)s->to + j * s->ld + i, buffer[BLOCK * BLOCK];
            for (int64_t r = 0; r < rows; r++)
                for (int64_t c = 0; c < columns; c++)
                    buffer[c * BLOCK + r] = from[r * s->ld + c];
            for (int64_t c = 0; c < columns; c++)
                memcpy(to + c * s->ld, buffer + c * BLOCK, (size_t)rows * sizeof(real));
        }
}

/* The lower triangle of the rows [begin, end), of which begin is a multiple of BLOCK, to the upper triangle. */
static void SW_K(square_mirror)(void *args, int64_t begin, int64_t end, double *sums) {
    const transpose_args *s = args;
    real *c = s->to;
    for (int64_t i = begin; i < end; i += BLOCK) {
        const int64_t rows = end - i < BLOCK ? end - i : BLOCK;
        transpose_args left = {.from = c + i * s->ld, .to = c + i, .columns = i, .ld = s->ld};
        SW_K(square_transpose)(&left, 0, rows, sums);
        for (int64_t r = i + 1; r < i + rows; r++)
            for (int64_t j = i; j < r; j++)
                c[j * s->ld + r] = c[r * s->ld + j];
    }
}

/* Rows [begin, end): the largest element, and the largest difference from the mirror image below the diagonal. */
static void SW_K(square_survey)(void *args, int64_t begin, int64_t end, double *sums) {
    square_args *s = args;
    const real *a = s->matrix;
    real largest = 0, difference = 0, zero = 0;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < s->n; j++) {
            const real v = a[i * s->n + j], size = v < 0 ? -v : v;
            largest = size > largest ? size : largest;
            zero += v * 0; /* NaN if v is infinite or NaN */
        }
    for (int64_t first = 0; first < end; first += BLOCK)
        for (int64_t i = begin; i < end; i++)
            for (int64_t j = first; j < first + BLOCK && j < i; j++) {
                const real d = a[i * s->n + j] - a[j * s->n + i], size = d < 0 ? -d : d;
                difference = size > difference ? size : difference;
            }
    s->largest = (double)largest > s->largest ? (double)largest : s->largest;
    s->difference = (double)difference > s->difference ? (double)difference : s->difference;
    s->finite = s->finite && zero == 0;
}

/* a = (a + mirror image)/2 for the pairs below the diagonal in the rows [begin, end). */
static void SW_K(square_average)(void *args, int64_t begin, int64_t end, double *sums) {
    const square_args *s = args;
    real *a = s->matrix;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < i; j++) {
            const real low = a[i * s->n + j], high = a[j * s->n + i];
            a[i * s->n + j] = a[j * s->n + i] = low == high ? low : low / 2 + high / 2;
        }
}

/* The largest |m - 1| or |m| of the rows [begin, end). */
static void SW_K(square_identity_distance)(void *args, int64_t begin, int64_t end, double *sums) {
    square_args *s = args;
    const real *a = s->matrix;
    real largest = 0, zero = 0;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < s->n; j++) {
            const real v = a[i * s->n + j] - (real)(i == j), size = v < 0 ? -v : v;
            largest = size > largest ? size : largest;
            zero += v * 0;
        }
    s->largest = (double)largest > s->largest ? (double)largest : s->largest;
    s->finite = s->finite && zero == 0;
}

#else /* ---- once ---- */

static const sw_kernels transpose_kernels = SW_KERNEL_TABLE(square_transpose),
                        mirror_kernels = SW_KERNEL_TABLE(square_mirror),
                        survey_kernels = SW_KERNEL_TABLE(square_survey),
                        average_kernels = SW_KERNEL_TABLE(square_average),
                        identity_kernels = SW_KERNEL_TABLE(square_identity_distance);

/* These loops run on the calling thread, because they are short compared with the computations around them. */
static void square_run(const sw_kernels *kernels, sw_dtype type, void *args, int64_t rows) {
    (*kernels)[type][sw_cpu_level()](args, 0, rows, NULL);
}

double swi_matrix_epsilon(sw_dtype type) {
    return type == SW_F32 ? 0x1p-23 : 0x1p-52;
}

sw_status swi_square_arguments(const char *what, sw_dtype type, int64_t n, int64_t largest) {
    if (type != SW_F32 && type != SW_F64)
        return sw_fail(SW_ERR_TYPE, "%s: the type is %s, expected f32 or f64", what, sw_dtype_name(type));
    if (n < 0)
        return sw_fail(SW_ERR_ARGUMENT, "%s: n is %lld, which is negative", what, (long long)n);
    if (n > largest)
        return sw_fail(SW_ERR_ARGUMENT, "%s: n is %lld, at most %lld is possible (divide the matrix into blocks)", what,
                       (long long)n, (long long)largest);
    return SW_OK;
}

sw_status swi_matrix_pointers(const char *what, const void *A, const void *result, const void *work,
                              const char *bytes) {
    if (!A || !result)
        return sw_fail(SW_ERR_ARGUMENT, "%s: the matrix or the place for the result is NULL", what);
    if (!work)
        return sw_fail(SW_ERR_ARGUMENT, "%s: work is NULL (allocate it by sw_alloc, as many bytes as %s returns)", what,
                       bytes);
    if ((uintptr_t)work % SW_ALIGNMENT != 0)
        return sw_fail(SW_ERR_ARGUMENT,
                       "%s: work is not aligned to %d bytes (allocate it by sw_alloc, as many bytes as %s returns)",
                       what, SW_ALIGNMENT, bytes);
    return SW_OK;
}

size_t swi_work_bytes(double count, size_t size) {
    const double bytes = (count > 1 ? count : 1) * (double)size;
    if (bytes > (double)(SIZE_MAX / 4))
        return SIZE_MAX;
    return ((size_t)bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
}

static double square_element(sw_dtype type, const void *A, int64_t i) {
    return type == SW_F32 ? (double)((const float *)A)[i] : ((const double *)A)[i];
}

static sw_status square_fail_finite(const char *what, sw_dtype type, int64_t n, const void *A) {
    for (int64_t i = 0; i < n * n; i++)
        if (!isfinite(square_element(type, A, i)))
            return sw_fail(SW_ERR_NONFINITE, "%s: element [%lld,%lld] is %g", what, (long long)(i / n),
                           (long long)(i % n), square_element(type, A, i));
    return sw_fail(SW_ERR_NONFINITE, "%s: the result is not finite (scale the matrix)", what);
}

static sw_status square_fail_symmetric(const char *what, sw_dtype type, int64_t n, const void *A) {
    double worst = -1;
    int64_t row = 0, column = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) {
            const double d = fabs(square_element(type, A, i * n + j) - square_element(type, A, j * n + i));
            if (d > worst) {
                worst = d;
                row = i;
                column = j;
            }
        }
    return sw_fail(
        SW_ERR_ARGUMENT,
        "%s: the matrix is not symmetric: element [%lld,%lld] is %g, and [%lld,%lld] is %g (pass (A + A^T)/2 "
        "if that is meant)",
        what, (long long)row, (long long)column, square_element(type, A, row * n + column), (long long)column,
        (long long)row, square_element(type, A, column * n + row));
}

sw_status swi_matrix_end(const char *what, sw_matrix_outcome result, sw_dtype type, int64_t n, const void *A,
                         sw_matrix_outcome *outcome) {
    if (outcome)
        *outcome = result;
    if (outcome || result == SW_MATRIX_OK)
        return SW_OK;
    switch (result) {
    case SW_MATRIX_NOT_FINITE: return square_fail_finite(what, type, n, A);
    case SW_MATRIX_NOT_SYMMETRIC: return square_fail_symmetric(what, type, n, A);
    case SW_MATRIX_NOT_POSITIVE:
        return sw_fail(SW_ERR_ARGUMENT,
                       "%s: an eigenvalue is 0 or negative (use a larger ridge, shift_negative or pseudo)", what);
    default:
        return sw_fail(SW_ERR_ARGUMENT,
                       "%s: no convergence (for an inverse root, use a larger ridge, or SW_ROOT_EIGEN)", what);
    }
}

void swi_square_average(sw_dtype type, int64_t n, void *M) {
    square_args args = {.matrix = M, .n = n};
    square_run(&average_kernels, type, &args, n);
}

sw_matrix_outcome swi_square_copy(sw_dtype type, int64_t n, const void *A, sw_dtype to_type, void *to) {
    if (type == to_type)
        memcpy(to, A, (size_t)(n * n) * sw_dtype_size(type));
    else
        sw_vector_convert(type, n * n, A, to_type, to);
    square_args args = {.matrix = to, .n = n, .finite = true};
    square_run(&survey_kernels, to_type, &args, n);
    if (!args.finite)
        return SW_MATRIX_NOT_FINITE;
    if (args.difference > sqrt(swi_matrix_epsilon(type)) * args.largest)
        return SW_MATRIX_NOT_SYMMETRIC;
    if (args.difference > 0)
        swi_square_average(to_type, n, to);
    return SW_MATRIX_OK;
}

void swi_transpose(sw_dtype type, int64_t rows, int64_t columns, const void *from, void *to, int64_t ld) {
    transpose_args args = {.from = from, .to = to, .columns = columns, .ld = ld};
    square_run(&transpose_kernels, type, &args, rows);
}

void swi_square_mirror(sw_dtype type, int64_t n, void *C, int64_t ldc) {
    transpose_args args = {.to = C, .ld = ldc};
    square_run(&mirror_kernels, type, &args, n);
}

double swi_identity_distance(sw_dtype type, int64_t n, const void *M) {
    square_args args = {.matrix = (void *)(uintptr_t)M, .n = n, .finite = true};
    square_run(&identity_kernels, type, &args, n);
    return args.finite ? args.largest : (double)INFINITY;
}

void swi_square_shift(sw_dtype type, int64_t n, double a, double b, void *M) {
    if (a != 1)
        sw_vector_axpby(type, n * n, a, M, 0, NULL, M);
    for (int64_t i = 0; i < n; i++)
        if (type == SW_F32)
            ((float *)M)[i * n + i] += (float)b;
        else
            ((double *)M)[i * n + i] += b;
}

void swi_symmetric_count(int64_t n, int64_t k) {
    sw_dry_run_count_product(n % 2 == 0 ? n / 2 : n, n % 2 == 0 ? n + 1 : (n + 1) / 2, k);
}

#endif
