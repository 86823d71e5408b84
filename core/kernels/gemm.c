/* Matrix products: the thread pool distributes tiles of C, and OpenBLAS computes each tile on one thread.
 *
 * The tiles depend on M, N, K, the transpositions and the kernels that OpenBLAS chose on this machine, never on the
 * number of threads. If OpenBLAS has a kernel for small matrices (its AVX-512 targets, for M·N·K up to 100³), tiles of
 * that size need no packing and reach 1.2 to 1.7 times the speed of one call for the whole product. This holds only if
 * the reduced dimension is short, so that the operands of a tile stay in the cache. Larger products use a few large
 * tiles. Their number is a power of two, so that two, four or eight threads get equal numbers of tiles.
 * tests/bench/RESULTS.md has the measurements.
 */
#include <swale/blas.h>
#include <swale/gemm.h>
#include <swale/memory.h>

#include "core/base/dry_run_state.h"
#include "core/kernels/blas_core.h"
#include "core/kernels/large_product.h"
#include "core/kernels/matrix_vector.h"
#include "core/kernels/product_gemm.h"
#include "core/kernels/small_product.h"

#include <cblas.h>
#include <stdatomic.h>
#include <string.h>

enum { SMALL_REDUCTION = 128, ROWS = 64, COLUMN_MULTIPLE = 16, HALVES_MULTIPLE = 4 };
static const double small_work = 1e6;        /* the largest M·N·K of OpenBLAS's small kernel */
static const double medium_work = 1e8;       /* up to this M·N·K, A Bᵀ is faster in small tiles */
static const double large_tile = 1.2e7;      /* the smallest M·N·K of a large tile */
enum { LARGE_TILES = 8, LARGE_WIDTH = 190 }; /* narrower tiles would spend too much time on packing */
static const double halves_work = 4e6; /* from this M·N·K on, two halves save more time than a thread costs … */
enum { HALVES_WIDTH = 96 };            /* … and, from this total width on, than packing twice costs */
enum { CACHED = 1 << 18 };             /* elements of an operand that stay in the cache between tiles */
enum { REPORTED_ROWS = 1024 };         /* more rows of tiles are not reported (sw_product.squares) */
/* Sums of f32 with more than LONG_SUM terms are divided into parts, which are added in f64: in one long sum the
 * relative error would grow with the length (2.4 % at 10^7). At most SUM_BLOCK sums are computed at a time, in blocks
 * of at least SUM_WIDTH columns if the tile has as many. With this width, packing, which is repeated for each part and
 * block, takes less than 1 % of the time. */
enum { LONG_SUM = 16384, SUM_PART = 512, SUM_BLOCK = 1 << 17, SUM_WIDTH = 512 };

static int64_t gemm_ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

typedef struct grid {
    int64_t rows, columns; /* the size of a tile */
    int64_t row_tiles, column_tiles;
} grid;

static grid grid_even(int64_t M, int64_t N, int64_t row_tiles, int64_t column_tiles, int64_t multiple) {
    grid g;
    g.rows = gemm_ceil_div(M, row_tiles);
    g.columns = gemm_ceil_div(gemm_ceil_div(N, column_tiles), multiple) * multiple;
    g.row_tiles = gemm_ceil_div(M, g.rows);
    g.column_tiles = gemm_ceil_div(N, g.columns);
    return g;
}

static grid grid_choose(bool small_kernel, bool a_transposed, bool b_transposed, int64_t M, int64_t N, int64_t K) {
    double work = (double)M * (double)N * (double)K;
    if (work <= small_work)
        return grid_even(M, N, 1, 1, 1);
    if (small_kernel && (K <= SMALL_REDUCTION || (!a_transposed && b_transposed && work <= medium_work))) {
        int64_t row_tiles = gemm_ceil_div(M, ROWS), rows = gemm_ceil_div(M, row_tiles);
        int64_t columns = (int64_t)(small_work / ((double)rows * (double)K));
        columns = columns / COLUMN_MULTIPLE * COLUMN_MULTIPLE;
        if (columns < COLUMN_MULTIPLE) { /* a long reduction: fewer rows instead */
            columns = COLUMN_MULTIPLE;
            rows = (int64_t)(small_work / ((double)columns * (double)K));
            row_tiles = gemm_ceil_div(M, rows < 1 ? 1 : rows);
        }
        return grid_even(M, N, row_tiles, gemm_ceil_div(N, columns), COLUMN_MULTIPLE);
    }
    int64_t longest = M > N ? M : N, tiles = 1;
    while (tiles < LARGE_TILES && work >= large_tile * 2 * (double)tiles && longest >= LARGE_WIDTH * 2 * tiles)
        tiles *= 2;
    int64_t multiple = COLUMN_MULTIPLE;
    if (tiles == 1 && work >= halves_work && longest >= HALVES_WIDTH) {
        tiles = 2;
        multiple = HALVES_MULTIPLE;
    }
    /* The gradient of a weight is divided into rows if possible: see gemm_report_row. */
    const bool rows = M > N || (a_transposed && !b_transposed && M >= LARGE_WIDTH * tiles);
    return rows ? grid_even(M, N, tiles, 1, 1) : grid_even(M, N, 1, tiles, multiple);
}

typedef struct product {
    sw_dtype type;
    bool ta, tb, small_kernel;
    int64_t M, N, K;
    double alpha, beta;
    const char *A, *B, *bias;
    char *C;
    int64_t lda, ldb, ldc;
    grid grid;
    sw_squares *squares; /* or NULL: C is reported to it, one row of tiles after the other … */
    atomic_int *left;    /* … if no tile of it is left: [row_tiles] */
    char *sums;          /* for long sums: a block of f64 and a block of f32 for each tile */
} product;

static void gemm_zero(void *C, int64_t rows, int64_t columns, int64_t ldc, int64_t size) {
    if (columns == ldc) { /* contiguous: one call, because a call for each row takes longer than the clearing */
        columns *= rows;
        rows = 1;
    }
    for (int64_t i = 0; i < rows; i++)
        memset((char *)C + i * ldc * size, 0, (size_t)(columns * size));
}

/* A tile of a C with one row or one column: y = X v, or y = Xᵀ v. A call of gemm would pack all of X, which takes
 * several times as long. y is set to zero here, because some versions of OpenBLAS read it although beta = 0. */
static void gemm_vector_tile(const product *p, int64_t m, int64_t n, const void *A, const void *B, void *C) {
    bool row = p->M == 1, transposed = row ? !p->tb : p->ta;
    int64_t outputs = row ? n : m, ldx = row ? p->ldb : p->lda;
    int64_t v_step = row ? (p->ta ? p->lda : 1) : (p->tb ? 1 : p->ldb), y_step = row ? 1 : p->ldc;
    const void *X = row ? B : A, *v = row ? A : B;
    CBLAS_TRANSPOSE t = transposed ? CblasTrans : CblasNoTrans;
    int64_t rows = transposed ? p->K : outputs, columns = transposed ? outputs : p->K;
    if (!transposed && v_step == 1 && p->alpha != 0 &&
        swi_matrix_vector_run(&(swi_matrix_vector){.type = p->type,
                                                   .rows = outputs,
                                                   .terms = p->K,
                                                   .x = X,
                                                   .v = v,
                                                   .y = C,
                                                   .ldx = ldx,
                                                   .y_step = y_step,
                                                   .alpha = p->alpha,
                                                   .beta = p->beta}))
        return;
    if (p->beta == 0)
        gemm_zero(C, outputs, 1, y_step, (int64_t)sw_dtype_size(p->type));
    double beta = p->beta == 0 ? 1 : p->beta;
    if (p->type == SW_F32)
        cblas_sgemv(CblasRowMajor, t, (int)rows, (int)columns, (float)p->alpha, X, (int)ldx, v, (int)v_step,
                    (float)beta, C, (int)y_step);
    else
        cblas_dgemv(CblasRowMajor, t, (int)rows, (int)columns, p->alpha, X, (int)ldx, v, (int)v_step, beta, C,
                    (int)y_step);
}

/* C[m,n] = alpha op(A) op(B) + beta C by one call of OpenBLAS. */
static void gemm_call_blas(const product *p, int64_t m, int64_t n, const void *A, const void *B, void *C) {
    if (p->M == 1 || p->N == 1) {
        gemm_vector_tile(p, m, n, A, B, C);
        return;
    }
    CBLAS_TRANSPOSE ta = p->ta ? CblasTrans : CblasNoTrans, tb = p->tb ? CblasTrans : CblasNoTrans;
    double beta = p->beta;
    if (beta == 0 && !p->small_kernel) { /* memset is several times as fast as the loop in OpenBLAS that clears C */
        gemm_zero(C, m, n, p->ldc, (int64_t)sw_dtype_size(p->type));
        beta = 1;
    }
    if (p->type == SW_F32)
        cblas_sgemm(CblasRowMajor, ta, tb, (int)m, (int)n, (int)p->K, (float)p->alpha, A, (int)p->lda, B, (int)p->ldb,
                    (float)beta, C, (int)p->ldc);
    else
        cblas_dgemm(CblasRowMajor, ta, tb, (int)m, (int)n, (int)p->K, p->alpha, A, (int)p->lda, B, (int)p->ldb, beta, C,
                    (int)p->ldc);
}

/* The size of the blocks in which the long sums of a tile of m × n are computed. */
static void gemm_sum_block(int64_t m, int64_t n, int64_t *rows, int64_t *columns) {
    const int64_t wide = SUM_BLOCK / m > SUM_WIDTH ? SUM_BLOCK / m : SUM_WIDTH;
    *columns = n < wide ? n : wide;
    *rows = m < SUM_BLOCK / *columns ? m : SUM_BLOCK / *columns;
}

/* The number of elements of a block, rounded up to a multiple of 2, so that the f64 of each tile are aligned. */
static int64_t gemm_sum_block_elements(const grid *g) {
    int64_t rows, columns;
    gemm_sum_block(g->rows, g->columns, &rows, &columns);
    return (rows * columns + 1) / 2 * 2;
}

/* Computes at most one block C[m,n] of f32 whose sums are long. */
static void gemm_long_sums(const product *p, double *sum, float *part, int64_t m, int64_t n, const float *A,
                           const float *B, float *C) {
    product q = *p;
    q.M = m;
    q.N = n;
    q.alpha = 1;
    q.beta = 0;
    q.ldc = n;
    for (int64_t i = 0; i < m * n; i++)
        sum[i] = 0;
    for (int64_t k = 0; k < p->K; k += SUM_PART) {
        q.K = p->K - k < SUM_PART ? p->K - k : SUM_PART;
        gemm_call_blas(&q, m, n, A + (p->ta ? k * p->lda : k), B + (p->tb ? k : k * p->ldb), part);
        for (int64_t i = 0; i < m * n; i++)
            sum[i] += (double)part[i];
    }
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            float *c = C + i * p->ldc + j;
            const double more = p->alpha * sum[i * n + j];
            *c = (float)(p->beta == 0 ? more : more + p->beta * (double)*c);
        }
}

static void gemm_long_sum_blocks(const product *p, int64_t index, int64_t m, int64_t n, const float *A, const float *B,
                                 float *C) {
    const int64_t elements = gemm_sum_block_elements(&p->grid);
    char *block = p->sums + (size_t)index * (size_t)elements * (sizeof(double) + sizeof(float));
    double *sum = (double *)(void *)block;
    float *part = (float *)(void *)(sum + elements);
    int64_t rows, columns;
    gemm_sum_block(p->grid.rows, p->grid.columns, &rows, &columns);
    for (int64_t i = 0; i < m; i += rows)
        for (int64_t j = 0; j < n; j += columns)
            gemm_long_sums(p, sum, part, m - i < rows ? m - i : rows, n - j < columns ? n - j : columns,
                           A + (p->ta ? i : i * p->lda), B + (p->tb ? j * p->ldb : j), C + i * p->ldc + j);
}

/* Called after each tile of this row of tiles, which has m rows. The thread that has computed the last one reports all
 * of them, because only whole rows are contiguous. */
static void gemm_report_row(const product *p, int64_t row, int64_t m) {
    if (atomic_fetch_sub_explicit(&p->left[row], 1, memory_order_acq_rel) == 1)
        sw_squares_report(p->squares, p->C + row * p->grid.rows * p->ldc * (int64_t)sw_dtype_size(p->type), m * p->N);
}

/* Adds the bias to the rows of a tile whose first column is n0. */
static void gemm_add_bias(const product *p, int64_t m, int64_t n0, int64_t n, void *C) {
    if (p->bias)
        swi_add_bias(p->type, m, n, p->bias + n0 * (int64_t)sw_dtype_size(p->type), C, p->ldc);
}

static void gemm_tile(void *args, int64_t index) {
    const product *p = args;
    const grid *g = &p->grid;
    /* The outputs of a linear layer are the columns of x Wᵀ and the rows of the gradient of W. They are the outer index
     * in both products, so that a thread computes the same outputs in both and finds them in its cache. */
    bool columns_first = !p->ta && p->tb && p->M * p->K <= CACHED;
    int64_t i = columns_first ? index % g->row_tiles : index / g->column_tiles;
    int64_t j = columns_first ? index / g->row_tiles : index % g->column_tiles;
    int64_t m0 = i * g->rows, n0 = j * g->columns;
    int64_t m = p->M - m0 < g->rows ? p->M - m0 : g->rows;
    int64_t n = p->N - n0 < g->columns ? p->N - n0 : g->columns;
    int64_t size = (int64_t)sw_dtype_size(p->type);
    const void *A = p->A + (p->ta ? m0 : m0 * p->lda) * size;
    const void *B = p->B + (p->tb ? n0 * p->ldb : n0) * size;
    void *C = p->C + (m0 * p->ldc + n0) * size;
    sw_blas_call call = sw_blas_enter();
    if (p->type == SW_F32 && p->K > LONG_SUM)
        gemm_long_sum_blocks(p, index, m, n, A, B, C);
    else
        gemm_call_blas(p, m, n, A, B, C);
    gemm_add_bias(p, m, n0, n, C);
    if (p->squares)
        gemm_report_row(p, i, m);
    sw_blas_leave(call);
}

static void gemm_scale_rows(const sw_product *p) { /* C = beta C for K = 0, for which OpenBLAS has had errors */
    for (int64_t m = 0; m < p->M; m++)
        for (int64_t n = 0; n < p->N; n++) {
            const int64_t at = m * p->ldc + n;
            if (p->c_type == SW_F32) {
                float *c = (float *)p->C + at;
                *c = p->beta == 0 ? 0 : *c * (float)p->beta;
            } else {
                double *c = (double *)p->C + at;
                *c = p->beta == 0 ? 0 : *c * p->beta;
            }
        }
    if (p->bias)
        swi_add_bias(p->c_type, p->M, p->N, p->bias, p->C, p->ldc);
}

/* By tiles of OpenBLAS; K > 0. */
static sw_status gemm_run_tiles(const sw_product *s, bool dry) {
    product p = {.type = s->c_type,
                 .ta = s->a_transposed,
                 .tb = s->b_transposed,
                 .small_kernel = swi_blas_small_kernel(),
                 .M = s->M,
                 .N = s->N,
                 .K = s->K,
                 .alpha = s->alpha,
                 .beta = s->beta,
                 .A = s->A,
                 .B = s->B,
                 .bias = s->bias,
                 .C = s->C,
                 .lda = s->lda,
                 .ldb = s->ldb,
                 .ldc = s->ldc};
    p.grid = grid_choose(p.small_kernel, p.ta, p.tb, p.M, p.N, p.K);
    const int64_t tiles = p.grid.row_tiles * p.grid.column_tiles;
    if (p.type == SW_F32 && p.K > LONG_SUM) {
        p.sums = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, tiles,
                                    (size_t)gemm_sum_block_elements(&p.grid) * (sizeof(double) + sizeof(float)));
        if (!p.sums)
            return SW_ERR_MEMORY;
    }
    atomic_int left[REPORTED_ROWS];
    if (s->squares && p.ldc == p.N && p.grid.row_tiles <= REPORTED_ROWS) {
        p.squares = s->squares;
        p.left = left;
        for (int64_t i = 0; i < p.grid.row_tiles; i++)
            atomic_init(&left[i], (int)p.grid.column_tiles);
    }
    const sw_status status = dry ? SW_OK : sw_blas_parallel(gemm_tile, &p, tiles);
    sw_free(p.sums);
    return status;
}

sw_status swi_gemm(const sw_product *s) {
    if (s->M == 0 || s->N == 0)
        return SW_OK;
    const bool dry = swi_dry_run();
    if (dry)
        sw_dry_run_count_product(s->M, s->N, s->K);
    if (s->K == 0) {
        if (!dry)
            gemm_scale_rows(s);
        return SW_OK;
    }
    if (!dry && s->scratch && swi_large_product_fits(s))
        return swi_large_product(s, NULL);
    if (dry || !swi_small_product(s))
        return gemm_run_tiles(s, dry);
    if (s->squares && s->ldc == s->N)
        sw_squares_report(s->squares, s->C, s->M * s->N);
    return SW_OK;
}

sw_status sw_gemm(sw_dtype type, bool a_transposed, bool b_transposed, int64_t M, int64_t N, int64_t K, double alpha,
                  const void *A, int64_t lda, const void *B, int64_t ldb, double beta, void *C, int64_t ldc) {
    return swi_gemm(&(sw_product){.size = sizeof(sw_product),
                                  .a_type = type,
                                  .b_type = type,
                                  .c_type = type,
                                  .a_transposed = a_transposed,
                                  .b_transposed = b_transposed,
                                  .M = M,
                                  .N = N,
                                  .K = K,
                                  .alpha = alpha,
                                  .beta = beta,
                                  .A = A,
                                  .B = B,
                                  .C = C,
                                  .lda = lda,
                                  .ldb = ldb,
                                  .ldc = ldc});
}
