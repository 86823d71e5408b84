/* Products whose result is symmetric: only the blocks on and below the diagonal are computed. Block row i is one
 * product of BLOCK_ROWS rows and of the columns up to the diagonal block. */
#include "core/matrix/symmetric_result.h"

#include <swale/gemm.h>
#include <swale/parallel.h>
#include <swale/status.h>

#include "core/base/dry_run_state.h"
#include "core/matrix/square.h"

enum { LEAST = 256 };      /* smaller products are computed as a whole */
enum { BLOCK_ROWS = 128 }; /* fewer rows waste less above the diagonal, but slow down sgemm */
/* For shorter sums of f32, sgemm with B takes 0.69 to 0.77 of the time of sgemm with Bᵀ, which is the same matrix. */
enum { TRANSPOSED = 512 };

typedef struct symmetric_result {
    sw_dtype type;
    int64_t n, lda, ldb, ldc;
    const char *A, *B;
    char *C;
} symmetric_result;

/* Copies the rows [begin, end) to the left of the diagonal to the columns above it. */
static void symmetric_result_mirror(const symmetric_result *p, int64_t begin, int64_t end) {
    const int64_t size = (int64_t)sw_dtype_size(p->type);
    swi_transpose(p->type, end - begin, begin, p->C + begin * p->ldc * size, p->C + begin * size, p->ldc);
    swi_square_mirror(p->type, end - begin, p->C + begin * (p->ldc + 1) * size, p->ldc);
}

/* One block row. The longest is the first item, so that the threads end at about the same time. */
static sw_status symmetric_result_rows(void *args, int64_t item, sw_worker *worker) {
    const symmetric_result *p = args;
    const int64_t size = (int64_t)sw_dtype_size(p->type), blocks = (p->n + BLOCK_ROWS - 1) / BLOCK_ROWS,
                  begin = (blocks - 1 - item) * BLOCK_ROWS, end = begin + BLOCK_ROWS < p->n ? begin + BLOCK_ROWS : p->n;
    (void)worker;
    const bool transposed = p->type != SW_F32 || p->n >= TRANSPOSED;
    SW_TRY(sw_gemm(p->type, false, transposed, end - begin, end, p->n, 1, p->A + begin * p->lda * size, p->lda, p->B,
                   p->ldb, 0, p->C + begin * p->ldc * size, p->ldc));
    symmetric_result_mirror(p, begin, end);
    return SW_OK;
}

sw_status swi_symmetric_result(sw_dtype type, int64_t n, const void *A, int64_t lda, const void *B, int64_t ldb,
                               void *C, int64_t ldc) {
    symmetric_result p = {.type = type, .n = n, .lda = lda, .ldb = ldb, .ldc = ldc, .A = A, .B = B, .C = C};
    if (swi_dry_run()) {
        swi_symmetric_count(n, n);
        return SW_OK;
    }
    if (n < LEAST) {
        SW_TRY(sw_gemm(type, false, true, n, n, n, 1, A, lda, B, ldb, 0, C, ldc));
        swi_square_mirror(type, n, C, ldc);
        return SW_OK;
    }
    return sw_parallel_items(symmetric_result_rows, &p, (n + BLOCK_ROWS - 1) / BLOCK_ROWS, 0);
}
