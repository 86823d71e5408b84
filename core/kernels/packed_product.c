/* Products with a packed matrix: see packed_product.h. A panel has two registers of columns for each of the K terms. A
 * block of rows times a panel is kept in registers. The panels are in the outer loop, so that a panel is read from the
 * second-level cache once for all rows. */
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <swale/kernel.h>
#include <swale/packed_product.h>

#if SW_KERNEL_FIRST
enum {
    CHAIN = 256, /* that are added in one chain; packed_product.h states it */
    BYTES = 128, /* of the columns that the widest panel has; columns are padded to a multiple of it at every level */
    MOST = 8     /* rows of a block */
};

typedef struct packed_args {
    int64_t N, K, lda, ldc; /* of a product; ldb in lda */
    bool transposed;
    const void *a, *bias; /* the matrix that is packed, or the operand A */
    char *panels;
    void *c;
} packed_args;

/* A block of rows times a panel. */
typedef struct packed_block {
    const void *a, *panel, *bias; /* `bias` has the columns of the panel, or is NULL */
    void *c;
    int64_t K, lda, ldc;
} packed_block;
#endif

#if SW_KERNEL_PASS

#define CONV_baseline 0
#define CONV_avx2 1
#define CONV_avx512 2
#include "core/kernels/conv_vector.h"

/* `rows` is a constant where this function is inlined. */
SW_K_INLINE void SW_K(packed_rows)(const packed_block *s, int rows) {
    const real *panel = s->panel, *bias = s->bias, *row[MOST];
    const int64_t K = s->K, ldc = s->ldc;
    real *const c = s->c;
    CONV_UNROLL
    for (int r = 0; r < rows; r++) {
        row[r] = (const real *)s->a + r * s->lda;
        CONV_KEEP(row[r]);
    }
    for (int64_t from = 0; from == 0 || from < K; from += CHAIN) {
        const int64_t to = K - from < CHAIN ? K : from + CHAIN;
        VECTOR sum[MOST][2];
        CONV_UNROLL
        for (int r = 0; r < rows; r++)
            sum[r][0] = sum[r][1] = (VECTOR){0};
        for (int64_t k = from; k < to; k++, panel += 2 * LANES) {
            const VECTOR b0 = LOAD(panel), b1 = LOAD(panel + LANES);
            CONV_UNROLL
            for (int r = 0; r < rows; r++) {
                const VECTOR x = BROADCAST(row[r][k]);
                sum[r][0] = FMA(x, b0, sum[r][0]);
                sum[r][1] = FMA(x, b1, sum[r][1]);
            }
        }
        CONV_UNROLL
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < 2; v++) {
                real *const at = c + r * ldc + v * LANES;
                VECTOR all = sum[r][v];
                if (from)
                    all = LOAD(at) + all;
                if (bias && to == K)
                    all = all + LOAD(bias + v * LANES);
                STORE(at, all);
            }
    }
}

/* Each number of rows is a separate function, because its sums fill the registers. */
#define PACKED_ROWS(rows)                                                                       \
    static __attribute__((noinline)) void SW_K(packed_rows_##rows)(const packed_block *block) { \
        SW_K(packed_rows)(block, rows);                                                         \
    }
PACKED_ROWS(1)
PACKED_ROWS(2)
PACKED_ROWS(3)
PACKED_ROWS(4)
#if CONV_LEVEL == 2
PACKED_ROWS(5)
PACKED_ROWS(6)
PACKED_ROWS(7)
PACKED_ROWS(8)
#endif
#undef PACKED_ROWS

/* The product of the rows [begin, end). */
static void SW_K(packed_multiply)(void *args, int64_t begin, int64_t end, double *sums) {
    static void (*const block[])(const packed_block *) = {
        SW_K(packed_rows_1),
        SW_K(packed_rows_2),
        SW_K(packed_rows_3),
        SW_K(packed_rows_4),
#if CONV_LEVEL == 2
        SW_K(packed_rows_5),
        SW_K(packed_rows_6),
        SW_K(packed_rows_7),
        SW_K(packed_rows_8),
#endif
    };
    enum { ROWS = sizeof block / sizeof *block };
    const packed_args *s = args;
    const int64_t blocks = (end - begin + ROWS - 1) / ROWS;
    (void)sums;
    for (int64_t at = 0; at < s->N; at += 2 * LANES) {
        const real *const bias = s->bias;
        real part[2 * LANES] = {0};
        const bool whole = s->N - at >= 2 * LANES;
        for (int64_t j = 0; bias && !whole && j < s->N - at; j++)
            part[j] = bias[at + j];
        for (int64_t i = 0; i < blocks; i++) {
            const int64_t first = begin + sw_part_begin(end - begin, blocks, i),
                          rows = begin + sw_part_begin(end - begin, blocks, i + 1) - first;
            const packed_block b = {.a = (const real *)s->a + first * s->lda,
                                    .panel = (const real *)(const void *)s->panels + at * s->K,
                                    .bias = !bias   ? NULL
                                            : whole ? bias + at
                                                    : part,
                                    .c = (real *)s->c + first * s->ldc + at,
                                    .K = s->K,
                                    .lda = s->lda,
                                    .ldc = s->ldc};
            block[rows - 1](&b);
        }
    }
}

/* Fills the panels [begin, end); columns after the last are 0. */
static void SW_K(packed_fill)(void *args, int64_t begin, int64_t end, double *sums) {
    enum { WIDTH = 2 * LANES };
    const packed_args *s = args;
    (void)sums;
    for (int64_t p = begin; p < end; p++) {
        const int64_t first = p * WIDTH, n = s->N - first < WIDTH ? s->N - first : WIDTH;
        const real *b = (const real *)s->a + (s->transposed ? first * s->lda : first);
        real *to = (real *)(void *)s->panels + first * s->K;
        for (int64_t k = 0; k < s->K; k++, to += WIDTH) {
            if (s->transposed)
                for (int64_t j = 0; j < n; j++)
                    to[j] = b[j * s->lda + k];
            else
                memcpy(to, b + k * s->lda, (size_t)n * sizeof *to);
            for (int64_t j = n; j < WIDTH; j++)
                to[j] = 0;
        }
    }
}

/* The columns of a panel, in sums[0]. */
static void SW_K(packed_width)(void *args, int64_t begin, int64_t end, double *sums) {
    (void)args, (void)begin, (void)end;
    const int width = 2 * LANES;
    sums[0] = width;
}

#else

#include <swale/parallel.h>

static const sw_kernels multiply_kernels = SW_KERNEL_TABLE(packed_multiply),
                        fill_kernels = SW_KERNEL_TABLE(packed_fill), width_kernels = SW_KERNEL_TABLE(packed_width);

int64_t sw_packed_columns(sw_dtype type, int64_t N) {
    const int64_t multiple = BYTES / (int64_t)sw_dtype_size(type);
    return (N + multiple - 1) / multiple * multiple;
}

size_t sw_packed_bytes(sw_dtype type, int64_t K, int64_t N) {
    return (size_t)(K * sw_packed_columns(type, N)) * sw_dtype_size(type);
}

typedef struct packed_fill_job {
    packed_args args;
    sw_kernel *kernel;
} packed_fill_job;

static void packed_fill_tile(void *args, int64_t tile) {
    packed_fill_job *j = args;
    j->kernel(&j->args, tile, tile + 1, NULL);
}

void sw_packed_fill(sw_dtype type, bool transposed, int64_t K, int64_t N, const void *B, int64_t ldb, void *panels) {
    const int level = sw_cpu_level();
    double width = 0;
    packed_fill_job job = {.args = {.N = N, .K = K, .lda = ldb, .transposed = transposed, .a = B, .panels = panels},
                           .kernel = fill_kernels[type][level]};
    width_kernels[type][level](NULL, 0, 0, &width);
    sw_parallel(packed_fill_tile, &job, (N + (int64_t)width - 1) / (int64_t)width);
}

void sw_packed_product(sw_dtype type, int64_t M, int64_t N, int64_t K, const void *A, int64_t lda, const void *panels,
                       const void *bias, void *C, int64_t ldc) {
    packed_args args = {
        .N = N, .K = K, .lda = lda, .ldc = ldc, .a = A, .bias = bias, .panels = (char *)(uintptr_t)panels, .c = C};
    if (M > 0)
        multiply_kernels[type][sw_cpu_level()](&args, 0, M, NULL);
}

#endif
