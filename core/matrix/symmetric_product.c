/* C = alpha A Aᵀ + beta C. The lower triangle is divided into tiles: those on the diagonal are computed by syrk, the
 * others by gemm, and each tile is copied to its mirror image while it is in the cache.
 *
 * One tile is the fastest for one thread. Two rows of tiles cost 3 to 8 % and let two threads work, one on the tile
 * below the diagonal, which has half of the multiplications, the other on the two on the diagonal. Four rows of tiles
 * have work for eight threads; they are used if the tiles are large enough to cost less than 3 % more. */
#include <swale/blas.h>
#include <swale/gemm.h>
#include <swale/status.h>

#include "core/base/dry_run_state.h"
#include "core/matrix/square.h"

#include <cblas.h>
#include <string.h>

static const double gemm_work = 4e6; /* the largest n·n·k that sw_gemm computes */
static const double four_work = 5e8; /* from this n·n·k and FOUR_ROWS on, four rows of tiles */
enum { FOUR_ROWS = 768, LONG_SUM = 16384, MULTIPLE = 16 };

typedef struct symmetric_product {
    sw_dtype type;
    bool transposed;
    int64_t n, k, lda, ldc;
    double alpha, beta;
    const char *A;
    char *C;
    int64_t rows;  /* of a tile */
    int64_t tiles; /* rows of tiles */
} symmetric_product;

/* The tile at index: first those below the diagonal, then those on it, which take half the time, so that threads end at
 * about the same time. */
static void symmetric_product_position(int64_t tiles, int64_t index, int64_t *row, int64_t *column) {
    const int64_t below = tiles * (tiles - 1) / 2;
    *row = *column = index - below;
    if (index >= below)
        return;
    *row = 1;
    *column = index;
    while (*column >= *row) {
        *column -= *row;
        (*row)++;
    }
}

static void symmetric_product_call(const symmetric_product *p, int64_t i, int64_t j, int64_t m, int64_t n, char *C) {
    const int64_t size = (int64_t)sw_dtype_size(p->type), step = p->transposed ? 1 : p->lda;
    const void *Ai = p->A + i * step * size, *Aj = p->A + j * step * size;
    const CBLAS_TRANSPOSE t = p->transposed ? CblasTrans : CblasNoTrans, u = p->transposed ? CblasNoTrans : CblasTrans;
    if (p->beta == 0) /* not by OpenBLAS, which in some versions computes 0·NaN */
        for (int64_t r = 0; r < m; r++)
            memset(C + r * p->ldc * size, 0, (size_t)(n * size));
    const double beta = p->beta == 0 ? 1 : p->beta;
    const int M = (int)m, N = (int)n, K = (int)p->k, lda = (int)p->lda, ldc = (int)p->ldc;
    if (p->type == SW_F32 && i == j)
        cblas_ssyrk(CblasRowMajor, CblasLower, t, M, K, (float)p->alpha, Ai, lda, (float)beta, (float *)(void *)C, ldc);
    else if (p->type == SW_F32)
        cblas_sgemm(CblasRowMajor, t, u, M, N, K, (float)p->alpha, Ai, lda, Aj, lda, (float)beta, (float *)(void *)C,
                    ldc);
    else if (i == j)
        cblas_dsyrk(CblasRowMajor, CblasLower, t, M, K, p->alpha, Ai, lda, beta, (double *)(void *)C, ldc);
    else
        cblas_dgemm(CblasRowMajor, t, u, M, N, K, p->alpha, Ai, lda, Aj, lda, beta, (double *)(void *)C, ldc);
}

static void symmetric_product_tile(void *args, int64_t index) {
    const symmetric_product *p = args;
    const int64_t size = (int64_t)sw_dtype_size(p->type);
    int64_t row, column;
    symmetric_product_position(p->tiles, index, &row, &column);
    const int64_t i = row * p->rows, j = column * p->rows;
    const int64_t m = p->n - i < p->rows ? p->n - i : p->rows, n = p->n - j < p->rows ? p->n - j : p->rows;
    char *C = p->C + (i * p->ldc + j) * size;
    sw_blas_call call = sw_blas_enter();
    symmetric_product_call(p, i, j, m, n, C);
    sw_blas_leave(call);
    if (i == j)
        swi_square_mirror(p->type, m, C, p->ldc);
    else
        swi_transpose(p->type, m, n, C, p->C + (j * p->ldc + i) * size, p->ldc);
}

static sw_status symmetric_product_arguments(sw_dtype type, int64_t n, int64_t k, int64_t lda, int64_t columns,
                                             int64_t ldc) {
    if (type != SW_F32 && type != SW_F64)
        return sw_fail(SW_ERR_TYPE, "symmetric product: the type is %s, expected f32 or f64", sw_dtype_name(type));
    if (n < 0 || k < 0 || lda < columns || ldc < n)
        return sw_fail(SW_ERR_ARGUMENT,
                       "symmetric product: n = %lld, k = %lld, lda = %lld, ldc = %lld; lda must be at least %lld, the "
                       "columns of A, and ldc at least n",
                       (long long)n, (long long)k, (long long)lda, (long long)ldc, (long long)columns);
    return SW_OK;
}

sw_status sw_symmetric_product(sw_dtype type, bool transposed, int64_t n, int64_t k, double alpha, const void *A,
                               int64_t lda, double beta, void *C, int64_t ldc) {
    const double work = (double)n * (double)n * (double)k;
    const bool dry = swi_dry_run();
    SW_TRY(symmetric_product_arguments(type, n, k, lda, transposed ? n : k, ldc));
    if (!dry && (work <= gemm_work || (type == SW_F32 && k > LONG_SUM))) {
        const sw_status status = sw_gemm(type, transposed, !transposed, n, n, k, alpha, A, lda, A, lda, beta, C, ldc);
        if (status == SW_OK)
            swi_square_mirror(type, n, C, ldc);
        return status;
    }
    if (dry) {
        swi_symmetric_count(n, k);
        return SW_OK;
    }
    symmetric_product p = {.type = type,
                           .transposed = transposed,
                           .n = n,
                           .k = k,
                           .lda = lda,
                           .ldc = ldc,
                           .alpha = alpha,
                           .beta = beta,
                           .A = A,
                           .C = C};
    const int64_t rows = work >= four_work && n >= FOUR_ROWS ? 4 : 2;
    p.rows = ((n + rows - 1) / rows + MULTIPLE - 1) / MULTIPLE * MULTIPLE;
    p.tiles = (n + p.rows - 1) / p.rows;
    return sw_blas_parallel(symmetric_product_tile, &p, p.tiles * (p.tiles + 1) / 2);
}
