/* Products of large matrices: see large_product.h. C is divided into tiles, which threads share. For each part of 256
 * terms of a tile, the block of op(B) is copied to a panel, which stays in the second-level cache, and then a few rows
 * of op(A) at a time, which stay in the first-level cache. For each of these rows, and for strips of 32 columns, the
 * sums of a part are in registers, and are added to C at its end. The instructions are those of AVX-512: with AVX2, on
 * an Intel Xeon, OpenBLAS was 10 to 20 % faster than such a kernel.
 *
 * OpenBLAS copies all of an operand for each of its calls. Because a call computes one tile, and the tiles must not
 * depend on the number of threads, it would copy the same operand up to eight times. */
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <swale/kernel.h>

#include "core/kernels/dispatch.h"
#include "core/kernels/half_product.h"
#include "core/kernels/large_product.h"

#include <stdatomic.h>
#include <string.h>

/* Unrolls loops with constant bounds, so that the sums stay in registers. */
#if defined(__clang__)
#define LARGE_UNROLL _Pragma("unroll")
#else
#define LARGE_UNROLL _Pragma("GCC unroll 16")
#endif

#if SW_KERNEL_FIRST
enum { AHEAD = 8 /* lines of a strip that are prefetched */ };

/* A block of C: at most SWI_MICRO_ROWS rows, and a strip of SWI_STRIP columns. See half_product.h for the panels. */
typedef struct large_block {
    const float *a, *b, *bias; /* bias NULL: none */
    float *c;
    int64_t terms, ldc;
    int rows;
    bool lines; /* A is in lines */
    bool add;   /* the sums are added to C */
} large_block;
#endif

#if SW_KERNEL_PASS

#if SW_KERNEL_AVX512 && SW_KERNEL_F32

SW_K_INLINE void SW_K(large_rows)(const large_block *s, int rows, bool lines) {
    const float *const a = s->a, *b = s->b;
    float *const c = s->c;
    const int64_t terms = s->terms, ldc = s->ldc;
    __m512 sum[SWI_MICRO_ROWS][2];
    LARGE_UNROLL
    for (int r = 0; r < rows; r++) {
        sum[r][0] = sum[r][1] = _mm512_setzero_ps();
        if (s->add) {
            _mm_prefetch((const char *)(c + r * ldc), _MM_HINT_T0);
            _mm_prefetch((const char *)(c + r * ldc + SWI_STRIP - 1), _MM_HINT_T0);
        }
    }
    for (int64_t k = 0; k < terms; k++, b += SWI_STRIP) {
        const __m512 b0 = _mm512_load_ps(b), b1 = _mm512_load_ps(b + SWI_GROUP);
        _mm_prefetch((const char *)(b + AHEAD * SWI_STRIP), _MM_HINT_T0);
        _mm_prefetch((const char *)(b + AHEAD * SWI_STRIP + SWI_GROUP), _MM_HINT_T0);
        LARGE_UNROLL
        for (int r = 0; r < rows; r++) {
            const __m512 x = _mm512_set1_ps(lines ? a[k * SWI_GROUP + r] : a[r * SWI_WIDE_STEP + k]);
            sum[r][0] = _mm512_fmadd_ps(x, b0, sum[r][0]);
            sum[r][1] = _mm512_fmadd_ps(x, b1, sum[r][1]);
        }
    }
    LARGE_UNROLL
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < 2; v++) {
            float *const to = c + r * ldc + v * SWI_GROUP;
            __m512 all = s->add ? _mm512_add_ps(_mm512_loadu_ps(to), sum[r][v]) : sum[r][v];
            all = s->bias ? _mm512_add_ps(all, _mm512_loadu_ps(s->bias + v * SWI_GROUP)) : all;
            _mm512_storeu_ps(to, all);
        }
}

/* Each number of rows is a separate function, because its variables fill the registers. */
#define LARGE_FORM(rows)                                                                       \
    static __attribute__((noinline)) void SW_K(large_rows_##rows)(const large_block *block) {  \
        SW_K(large_rows)(block, rows, false);                                                  \
    }                                                                                          \
    static __attribute__((noinline)) void SW_K(large_lines_##rows)(const large_block *block) { \
        SW_K(large_rows)(block, rows, true);                                                   \
    }
LARGE_FORM(1)
LARGE_FORM(2)
LARGE_FORM(3)
LARGE_FORM(4)
LARGE_FORM(5)
LARGE_FORM(6)
LARGE_FORM(7)
LARGE_FORM(8)
LARGE_FORM(9)
LARGE_FORM(10)
LARGE_FORM(11)
LARGE_FORM(12)
#undef LARGE_FORM

static void SW_K(large_block_run)(const large_block *block) {
    typedef void form(const large_block *);
#define LARGE_FORMS(kind)                                                                                     \
    {                                                                                                         \
        SW_K(large_##kind##_1), SW_K(large_##kind##_2), SW_K(large_##kind##_3), SW_K(large_##kind##_4),       \
            SW_K(large_##kind##_5), SW_K(large_##kind##_6), SW_K(large_##kind##_7), SW_K(large_##kind##_8),   \
            SW_K(large_##kind##_9), SW_K(large_##kind##_10), SW_K(large_##kind##_11), SW_K(large_##kind##_12) \
    }
    static form *const forms[2][SWI_MICRO_ROWS] = {LARGE_FORMS(rows), LARGE_FORMS(lines)};
#undef LARGE_FORMS
    forms[block->lines][block->rows - 1](block);
}

#endif

#else /* ---- once ---- */

#if defined(__x86_64__)

enum {
    BLOCK = SWI_A_BYTES / (int)sizeof(float), /* floats of a block of SWI_MICRO_ROWS rows of A */
    /* Columns of the panel of B, and blocks of rows of A that are copied at a time: 640 KiB. */
    PANEL_COLUMNS = 512,
    PANEL_BLOCKS = 8,
    LINES_AHEAD = 8, /* that are prefetched while others are copied */
    SOME_LINES = 8,
    MOST_ROW_TILES = 64,
    LEAST_TERMS = 128,  /* fewer would spend too much time on reading and writing C */
    LONGEST = 16384,    /* gemm.c divides longer sums */
    LEAST_LENGTH = 128, /* of M and N: for fewer, copying would take too much of the time */
    TILE_LENGTH = 64,   /* of the smallest tile */
    UNUSED = 16         /* at most 1/16 of the columns that are computed are unused */
};
static const double large_work = 5e7; /* the smallest M·N·K */

typedef struct large_job {
    const sw_product *p;
    swi_half_pack *pack_b;
    int64_t row_tiles, column_tiles;
    atomic_int left[MOST_ROW_TILES]; /* tiles of a row of tiles that are not computed yet */
} large_job;

typedef struct large_panels {
    float *a, *b; /* of PANEL_BLOCKS blocks, and of at most PANEL_COLUMNS columns */
} large_panels;

/* Rows [m0, m0 + m) and columns [n0, n0 + n) of C. */
typedef struct large_tile {
    int64_t m0, m, n0, n;
} large_tile;

static int64_t large_ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* Copies rows [first, end) of op(A), and the terms [k, k + terms), to blocks of SWI_MICRO_ROWS rows. */
static void large_pack_a(const sw_product *p, int64_t first, int64_t end, int64_t k, int64_t terms, float *to) {
    if (!p->a_transposed) {
        for (int64_t r = first; r < end; r++)
            memcpy(to + (r - first) / SWI_MICRO_ROWS * BLOCK + (r - first) % SWI_MICRO_ROWS * SWI_WIDE_STEP,
                   (const float *)p->A + r * p->lda + k, (size_t)terms * sizeof(float));
        return;
    }
    for (int64_t i = 0; i < terms; i++) { /* all blocks of a line at a time, because lines may be in different pages */
        const float *from = (const float *)p->A + (k + i) * p->lda + first, *next = from + LINES_AHEAD * p->lda;
        float *line = to + i * SWI_GROUP;
        for (int64_t left = end - first; left > 0; left -= SWI_MICRO_ROWS, from += SWI_MICRO_ROWS, line += BLOCK) {
            if (i + LINES_AHEAD < terms)
                _mm_prefetch((const char *)(next + (end - first - left)), _MM_HINT_T0);
            if (left >= SWI_MICRO_ROWS) /* a constant count needs no loop */
                memcpy(line, from, SWI_MICRO_ROWS * sizeof(float));
            else
                memcpy(line, from, (size_t)left * sizeof(float));
        }
    }
}

/* Copies the terms [k, k + terms) of the columns [n0, n0 + n) of op(B) to strips. */
static void large_pack_b(const large_job *j, int64_t n0, int64_t n, int64_t k, int64_t terms, float *panel) {
    const sw_product *p = j->p;
    const int64_t even = terms + terms % 2;
    if (p->b_transposed) {
        j->pack_b((const float *)p->B + n0 * p->ldb + k, p->ldb, terms, n, panel);
        return;
    }
    for (int64_t i = 0; i < terms; i += SOME_LINES) /* a few lines at a time, because they may be in different pages */
        for (int64_t c = 0; c < n; c += SWI_STRIP)
            for (int64_t line = i; line < i + SOME_LINES && line < terms; line++) {
                const float *from = (const float *)p->B + (k + line) * p->ldb + n0 + c;
                float *to = panel + c * even + line * SWI_STRIP;
                if (n - c >= SWI_STRIP) /* a constant count needs no loop */
                    memcpy(to, from, SWI_STRIP * sizeof(float));
                else
                    memcpy(to, from, (size_t)(n - c) * sizeof(float));
            }
}

/* A block whose strip has only n < SWI_STRIP columns, computed in a copy of C. */
static void large_edge(const large_block *block, int64_t n) {
    _Alignas(SW_ALIGNMENT) float c[SWI_MICRO_ROWS * SWI_STRIP] = {0};
    large_block copy = *block;
    copy.c = c;
    copy.ldc = SWI_STRIP;
    copy.add = false;
    copy.bias = NULL;
    large_block_run_f32_avx512(&copy);
    for (int64_t r = 0; r < block->rows; r++)
        for (int64_t i = 0; i < n; i++) {
            float *to = block->c + r * block->ldc + i;
            const float all = block->add ? *to + c[r * SWI_STRIP + i] : c[r * SWI_STRIP + i];
            *to = block->bias ? all + block->bias[i] : all;
        }
}

/* Adds the part that begins with term k to a tile. */
static void large_part(const large_job *j, const large_tile *t, int64_t k, const large_panels *panels) {
    const sw_product *p = j->p;
    const int64_t terms = p->K - k < SWI_PART ? p->K - k : SWI_PART, even = terms + terms % 2;
    const bool last = k + terms == p->K;
    const int64_t end = t->m0 + t->m, group = PANEL_BLOCKS * SWI_MICRO_ROWS;
    large_pack_b(j, t->n0, t->n, k, terms, panels->b);
    for (int64_t first = t->m0; first < end; first += group) {
        const int64_t group_end = end - first < group ? end : first + group;
        large_pack_a(p, first, group_end, k, terms, panels->a);
        for (int64_t m = first; m < group_end; m += SWI_MICRO_ROWS)
            for (int64_t n = 0; n < t->n; n += SWI_STRIP) {
                const large_block block = {.a = panels->a + (m - first) / SWI_MICRO_ROWS * BLOCK,
                                           .b = panels->b + n * even,
                                           .bias = last && p->bias ? (const float *)p->bias + t->n0 + n : NULL,
                                           .c = (float *)p->C + m * p->ldc + t->n0 + n,
                                           .terms = terms,
                                           .ldc = p->ldc,
                                           .rows =
                                               (int)(group_end - m < SWI_MICRO_ROWS ? group_end - m : SWI_MICRO_ROWS),
                                           .lines = p->a_transposed,
                                           .add = k > 0 || p->beta != 0};
                if (t->n - n < SWI_STRIP)
                    large_edge(&block, t->n - n);
                else
                    large_block_run_f32_avx512(&block);
            }
    }
}

static void large_tile_run(large_job *j, int64_t index, const large_panels *panels) {
    const sw_product *p = j->p;
    const int64_t row = index % j->row_tiles, column = index / j->row_tiles, strips = large_ceil_div(p->N, SWI_STRIP);
    large_tile t = {.m0 = sw_part_begin(p->M, j->row_tiles, row),
                    .n0 = SWI_STRIP * sw_part_begin(strips, j->column_tiles, column)};
    const int64_t end = SWI_STRIP * sw_part_begin(strips, j->column_tiles, column + 1);
    t.m = sw_part_begin(p->M, j->row_tiles, row + 1) - t.m0;
    t.n = (end < p->N ? end : p->N) - t.n0;
    for (int64_t k = 0; k < p->K; k += SWI_PART)
        large_part(j, &t, k, panels);
    /* The thread that has computed the last tile of some rows reports them, because only whole rows are contiguous. */
    if (p->squares && p->ldc == p->N && atomic_fetch_sub_explicit(&j->left[row], 1, memory_order_acq_rel) == 1)
        sw_squares_report(p->squares, (float *)p->C + t.m0 * p->ldc, t.m * p->N);
}

static sw_status large_item(void *args, int64_t index, sw_worker *worker) {
    float *const a = worker->scratch;
    large_tile_run(args, index, &(large_panels){a, a + PANEL_BLOCKS * BLOCK});
    return SW_OK;
}

/* Tiles of at most PANEL_COLUMNS columns; more than one for each thread, because threads may be slowed down by others.
 * The longer side is halved, so that the operands are copied as few times as possible. */
static void large_choose_tiles(large_job *j) {
    const int64_t strips = large_ceil_div(j->p->N, SWI_STRIP);
    const int threads = swi_parallel_threads(MOST_ROW_TILES);
    j->row_tiles = 1;
    j->column_tiles = large_ceil_div(strips, PANEL_COLUMNS / SWI_STRIP);
    while (threads > 1 && j->row_tiles * j->column_tiles < 2 * (int64_t)threads) {
        const int64_t m = j->p->M / j->row_tiles, n = strips * SWI_STRIP / j->column_tiles;
        const bool wide = n >= 2 * TILE_LENGTH, tall = m >= 2 * TILE_LENGTH && 2 * j->row_tiles <= MOST_ROW_TILES;
        if (!wide && !tall)
            break;
        if (wide && (n >= m || !tall))
            j->column_tiles *= 2;
        else
            j->row_tiles *= 2;
    }
}

static size_t large_panel_bytes(const sw_product *p) {
    const int64_t all = large_ceil_div(p->N, SWI_STRIP) * SWI_STRIP,
                  columns = all < PANEL_COLUMNS ? all : PANEL_COLUMNS;
    return (size_t)(columns * SWI_PART + PANEL_BLOCKS * BLOCK) * sizeof(float);
}

bool swi_large_product_fits(const sw_product *p) {
    const int64_t columns = large_ceil_div(p->N, SWI_STRIP) * SWI_STRIP;
    return p->c_type == SW_F32 && swi_cpu_level() == 2 && p->alpha == 1 && (p->beta == 0 || p->beta == 1) &&
           p->K >= LEAST_TERMS && p->K <= LONGEST && p->M >= LEAST_LENGTH && p->N >= LEAST_LENGTH &&
           (columns - p->N) * UNUSED <= columns && (double)p->M * (double)p->N * (double)p->K >= large_work;
}

size_t swi_large_product_scratch(const sw_product *p) {
    return sw_parallel_scratch(MOST_ROW_TILES, large_panel_bytes(p));
}

sw_status swi_large_product(const sw_product *p) {
    swi_half_kernels panels;
    large_job j = {.p = p};
    swi_half_wide_kernels(p, true, false, &panels);
    j.pack_b = panels.b;
    large_choose_tiles(&j);
    for (int64_t i = 0; i < j.row_tiles; i++)
        atomic_init(&j.left[i], (int)j.column_tiles);
    return sw_parallel_items_with_scratch(large_item, &j, j.row_tiles * j.column_tiles, large_panel_bytes(p),
                                          p->scratch, p->scratch_bytes);
}

#else

bool swi_large_product_fits(const sw_product *p) {
    (void)p;
    return false;
}

size_t swi_large_product_scratch(const sw_product *p) {
    (void)p;
    return 0;
}

sw_status swi_large_product(const sw_product *p) {
    (void)p;
    return SW_OK;
}

#endif

#endif
