/* Products whose result is symmetric: only the blocks on and below the diagonal are computed. Block row i is one
 * product of `rows` rows and of the columns up to the diagonal block. */
#include "core/matrix/symmetric_result.h"

#include <swale/gemm.h>
#include <swale/parallel.h>
#include <swale/status.h>

enum { BLOCK_ROWS = 128 }; /* rows of a product: fewer waste less above the diagonal, but slow down sgemm */
enum { COPY = 32 };        /* rows and columns of a tile that is mirrored */

typedef struct symmetric_product {
    sw_dtype type;
    bool a_transposed, b_transposed;
    int64_t n, k;
    double alpha, beta;
    const char *A, *B;
    char *C;
    int64_t lda, ldb, ldc;
} symmetric_product;

/* One block row. The longest is the first item, so that the threads end at about the same time. */
static sw_status symmetric_block_row(void *args, int64_t item, sw_worker *worker) {
    const symmetric_product *p = args;
    const int64_t size = (int64_t)sw_dtype_size(p->type), blocks = (p->n + BLOCK_ROWS - 1) / BLOCK_ROWS,
                  begin = (blocks - 1 - item) * BLOCK_ROWS, end = begin + BLOCK_ROWS < p->n ? begin + BLOCK_ROWS : p->n;
    (void)worker;
    return sw_gemm(p->type, p->a_transposed, p->b_transposed, end - begin, end, p->k, p->alpha,
                   p->A + (p->a_transposed ? begin : begin * p->lda) * size, p->lda, p->B, p->ldb, p->beta,
                   p->C + begin * p->ldc * size, p->ldc);
}

/* Copies C[i,j] to C[j,i] for i > j, where i is in tile `row` of COPY rows. */
static void symmetric_mirror_f32(float *C, int64_t n, int64_t ldc, int64_t row) {
    const int64_t end = (row + 1) * COPY < n ? (row + 1) * COPY : n;
    for (int64_t column = 0; column <= row; column++)
        for (int64_t j = column * COPY; j < (column + 1) * COPY && j < end; j++)
            for (int64_t i = column < row ? row * COPY : j + 1; i < end; i++)
                C[j * ldc + i] = C[i * ldc + j];
}

static void symmetric_mirror_f64(double *C, int64_t n, int64_t ldc, int64_t row) {
    const int64_t end = (row + 1) * COPY < n ? (row + 1) * COPY : n;
    for (int64_t column = 0; column <= row; column++)
        for (int64_t j = column * COPY; j < (column + 1) * COPY && j < end; j++)
            for (int64_t i = column < row ? row * COPY : j + 1; i < end; i++)
                C[j * ldc + i] = C[i * ldc + j];
}

static void symmetric_mirror(void *args, int64_t tile) {
    const symmetric_product *p = args;
    const int64_t tiles = (p->n + COPY - 1) / COPY;
    if (p->type == SW_F32)
        symmetric_mirror_f32((float *)(void *)p->C, p->n, p->ldc, tiles - 1 - tile);
    else
        symmetric_mirror_f64((double *)(void *)p->C, p->n, p->ldc, tiles - 1 - tile);
}

sw_status swi_symmetric_result(sw_dtype type, bool a_transposed, bool b_transposed, int64_t n, int64_t k, double alpha,
                               const void *A, int64_t lda, const void *B, int64_t ldb, double beta, void *C,
                               int64_t ldc) {
    if (n < SWI_SYMMETRIC_LEAST)
        return sw_gemm(type, a_transposed, b_transposed, n, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
    symmetric_product p = {.type = type,
                           .a_transposed = a_transposed,
                           .b_transposed = b_transposed,
                           .n = n,
                           .k = k,
                           .alpha = alpha,
                           .beta = beta,
                           .A = A,
                           .B = B,
                           .C = C,
                           .lda = lda,
                           .ldb = ldb,
                           .ldc = ldc};
    SW_TRY(sw_parallel_items(symmetric_block_row, &p, (n + BLOCK_ROWS - 1) / BLOCK_ROWS, 0));
    sw_parallel(symmetric_mirror, &p, (n + COPY - 1) / COPY);
    return SW_OK;
}
