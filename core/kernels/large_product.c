/* Products of large matrices: see large_product.h. C is divided into tiles, which threads share. For each part of 256
 * terms of a tile, the block of op(B) is copied to a panel, which stays in the second-level cache, and then a few rows
 * of op(A) at a time, which stay in the first-level cache; rows of an A that is neither transposed nor rounded are read
 * in place. For each of these rows, and for strips of 32 columns, the sums of a part are in registers, and are added to
 * C at its end. The instructions are those of AVX-512: with AVX2, on an Intel Xeon, OpenBLAS was 10 to 20 % faster than
 * such a kernel.
 *
 * OpenBLAS copies all of an operand for each of its calls. Because a call computes one tile, and the tiles must not
 * depend on the number of threads, it would copy the same operand up to eight times.
 *
 * Of a symmetric result, the blocks above the diagonal are not computed. Tiles consist of squares of GROUP_ROWS rows
 * and columns, so that each square on the diagonal is in one tile. When the sums of GROUP_ROWS rows of a tile are
 * complete, the thread copies them to their mirror image, while they are in the cache. */
#if defined(__x86_64__)
#include "core/kernels/half_transpose.h"
#endif
#include <swale/kernel.h>

#include "core/kernels/dispatch.h"
#include "core/kernels/half_product.h"
#include "core/kernels/large_panels.h"
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
enum { AHEAD = 8 /* lines of a strip that are prefetched */, SHARED = 3 /* rows that share a pointer */ };

/* How rows of op(A) are read: from a panel of rows or of lines, or from memory */
typedef enum large_a_form { IN_ROWS, IN_LINES, IN_PLACE } large_a_form;

/* A block of C: at most SWI_MICRO_ROWS rows, and a strip of SWI_STRIP columns. See half_product.h for the panels. */
typedef struct large_block {
    const float *a, *b, *bias; /* bias NULL: none */
    float *c;
    int64_t terms, ldc, lda;
    int rows;
    large_a_form a_form;
    bool add; /* the sums are added to C */
} large_block;

/* Rows [first, end) and columns [column, column_end) of a C whose sums are complete. All but the ends are multiples of
 * SWI_GROUP. */
typedef struct large_area {
    float *c;
    const swi_large_sum *sum;
    int64_t ldc, first, end, column, column_end;
} large_area;
#endif

#if SW_KERNEL_PASS

#if SW_KERNEL_AVX512 && SW_KERNEL_F32

/* Keeps the compiler from computing the addresses of all rows first, for which the registers do not suffice. */
#undef LARGE_KEEP
#define LARGE_KEEP(pointer) __asm__("" : "+r"(pointer))

SW_K_INLINE void SW_K(large_begin_rows)(const large_block *s, int rows, __m512 sum[SWI_MICRO_ROWS][2]) {
    const float *c = s->c;
    LARGE_UNROLL
    for (int r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = _mm512_setzero_ps();
    for (int r = 0; s->add && r < rows; r++, c += s->ldc) {
        _mm_prefetch((const char *)c, _MM_HINT_T0);
        _mm_prefetch((const char *)(c + SWI_STRIP - 1), _MM_HINT_T0);
    }
}

SW_K_INLINE void SW_K(large_end_rows)(const large_block *s, int rows, __m512 sum[SWI_MICRO_ROWS][2]) {
    float *c = s->c;
    if (s->add) {
        LARGE_UNROLL
        for (int r = 0; r < rows; r++, c += s->ldc) {
            LARGE_KEEP(c);
            for (int v = 0; v < 2; v++)
                sum[r][v] = _mm512_add_ps(_mm512_loadu_ps(c + v * SWI_GROUP), sum[r][v]);
        }
        c = s->c;
    }
    if (s->bias) {
        LARGE_UNROLL
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < 2; v++)
                sum[r][v] = _mm512_add_ps(sum[r][v], _mm512_loadu_ps(s->bias + v * SWI_GROUP));
    }
    LARGE_UNROLL
    for (int r = 0; r < rows; r++, c += s->ldc) {
        LARGE_KEEP(c);
        _mm512_storeu_ps(c, sum[r][0]);
        _mm512_storeu_ps(c + SWI_GROUP, sum[r][1]);
    }
}

/* A in a panel, as rows or as lines */
SW_K_INLINE void SW_K(large_rows)(const large_block *s, int rows, bool lines) {
    const float *const a = s->a, *b = s->b;
    const int64_t terms = s->terms;
    __m512 sum[SWI_MICRO_ROWS][2];
    SW_K(large_begin_rows)(s, rows, sum);
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
    SW_K(large_end_rows)(s, rows, sum);
}

/* A in memory, with rows that are lda apart. Three rows share a pointer: it, plus once or twice lda. */
SW_K_INLINE void SW_K(large_place_term)(const float *const *a, int64_t lda, int term, const float *b, int rows,
                                        __m512 sum[SWI_MICRO_ROWS][2]) {
    const __m512 b0 = _mm512_load_ps(b), b1 = _mm512_load_ps(b + SWI_GROUP);
    _mm_prefetch((const char *)(b + AHEAD * SWI_STRIP), _MM_HINT_T0);
    _mm_prefetch((const char *)(b + AHEAD * SWI_STRIP + SWI_GROUP), _MM_HINT_T0);
    LARGE_UNROLL
    for (int r = 0; r < rows; r++) {
        const __m512 x = _mm512_set1_ps(a[r / SHARED][r % SHARED * lda + term]);
        sum[r][0] = _mm512_fmadd_ps(x, b0, sum[r][0]);
        sum[r][1] = _mm512_fmadd_ps(x, b1, sum[r][1]);
    }
}

SW_K_INLINE void SW_K(large_place)(const large_block *s, int rows) {
    const int pointers = (rows + SHARED - 1) / SHARED;
    const float *b = s->b, *a[(SWI_MICRO_ROWS + SHARED - 1) / SHARED];
    __m512 sum[SWI_MICRO_ROWS][2];
    SW_K(large_begin_rows)(s, rows, sum);
    LARGE_UNROLL
    for (int i = 0; i < pointers; i++)
        a[i] = s->a + SHARED * i * s->lda;
    for (int64_t k = 2; k <= s->terms; k += 2, b += 2 * SWI_STRIP) {
        SW_K(large_place_term)(a, s->lda, 0, b, rows, sum);
        SW_K(large_place_term)(a, s->lda, 1, b + SWI_STRIP, rows, sum);
        LARGE_UNROLL
        for (int i = 0; i < pointers; i++)
            a[i] += 2;
    }
    if (s->terms % 2)
        SW_K(large_place_term)(a, s->lda, 0, b, rows, sum);
    SW_K(large_end_rows)(s, rows, sum);
}

/* Each number of rows is a separate function, because its variables fill the registers. */
#define LARGE_FORM(rows)                                                                       \
    static __attribute__((noinline)) void SW_K(large_rows_##rows)(const large_block *block) {  \
        SW_K(large_rows)(block, rows, false);                                                  \
    }                                                                                          \
    static __attribute__((noinline)) void SW_K(large_lines_##rows)(const large_block *block) { \
        SW_K(large_rows)(block, rows, true);                                                   \
    }                                                                                          \
    static __attribute__((noinline)) void SW_K(large_place_##rows)(const large_block *block) { \
        SW_K(large_place)(block, rows);                                                        \
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
    static form *const forms[3][SWI_MICRO_ROWS] = {LARGE_FORMS(rows), LARGE_FORMS(lines), LARGE_FORMS(place)};
#undef LARGE_FORMS
    forms[block->a_form][block->rows - 1](block);
}

/* C ← alpha C + beta D; each product and the sum are rounded. */
static void SW_K(large_add)(const large_area *s) {
    const __m512 alpha = _mm512_set1_ps(s->sum->alpha), beta = _mm512_set1_ps(s->sum->beta);
    for (int64_t i = s->first; i < s->end; i++)
        for (int64_t j = s->column; j < s->column_end; j += SWI_GROUP) {
            const int64_t count = s->column_end - j < SWI_GROUP ? s->column_end - j : SWI_GROUP;
            const __mmask16 mask = (__mmask16)((1u << count) - 1);
            float *to = s->c + i * s->ldc + j;
            const __m512 product = _mm512_mul_ps(alpha, _mm512_maskz_loadu_ps(mask, to)),
                         more = _mm512_mul_ps(beta, _mm512_maskz_loadu_ps(mask, s->sum->D + i * s->sum->ldd + j));
            _mm512_mask_storeu_ps(to, mask, _mm512_add_ps(product, more));
        }
}

/* Copies the block of at most 16 rows from i on and 16 columns from j <= i on to its mirror image. Of a block on the
 * diagonal, only the elements below the diagonal are copied. */
SW_K_INLINE void SW_K(large_mirror_block)(const large_area *s, int64_t i, int64_t j) {
    const int64_t rows = s->end - i < SWI_GROUP ? s->end - i : SWI_GROUP;
    const __mmask16 all = (__mmask16)((1u << rows) - 1), columns = i == j ? all : (__mmask16)0xffff;
    __m512i row[SWI_GROUP];
    LARGE_UNROLL
    for (int r = 0; r < SWI_GROUP; r++)
        row[r] = r < rows ? _mm512_maskz_loadu_epi32(columns, s->c + (i + r) * s->ldc + j) : _mm512_setzero_si512();
    swi_half_transpose(row);
    LARGE_UNROLL
    for (int r = 0; r < SWI_GROUP; r++)
        if (columns >> r & 1)
            _mm512_mask_storeu_epi32(s->c + (j + r) * s->ldc + i, (__mmask16)(i == j ? all & ~((2u << r) - 1) : all),
                                     row[r]);
}

/* Copies the elements below the diagonal to those above it. */
static void SW_K(large_mirror)(const large_area *s) {
    for (int64_t j = s->column; j < s->column_end; j += SWI_GROUP)
        for (int64_t i = s->first > j ? s->first : j; i < s->end; i += SWI_GROUP)
            SW_K(large_mirror_block)(s, i, j);
}

#endif

#else /* ---- once ---- */

#if defined(__x86_64__)

enum {
    PANEL_BLOCKS = 8, /* blocks of rows of A that are copied at a time */
    GROUP_ROWS = PANEL_BLOCKS * SWI_MICRO_ROWS,
    PANEL_COLUMNS = 6 * GROUP_ROWS, /* of the panel of B; both panels have 720 KiB */
    MOST_ROW_TILES = 64,
    LEAST_TERMS = 128,  /* fewer would spend too much time on reading and writing C */
    LONGEST = 16384,    /* gemm.c divides longer sums */
    LEAST_LENGTH = 128, /* of M and N: for fewer, copying would take too much of the time */
    TILE_LENGTH = 64,   /* of the smallest tile */
    SHORT_SUM = 512,
    UNUSED = 16,     /* at most 1/16 of the columns that are computed are unused */
    MOST_WORKERS = 8 /* with a workspace of swi_large_product_workspace */
};
static const double large_work = 5e7; /* the smallest M·N·K */
/* If B alone is transposed, OpenBLAS has half of its speed for small products, those with short sums at least. */
static const double least_work = 8e6;
static const double work_of_one = 2.5e7; /* M·N·K for each worker of a workspace */
_Static_assert(GROUP_ROWS % SWI_STRIP == 0, "squares of GROUP_ROWS columns consist of strips");

typedef struct large_job {
    const sw_product *p;
    const swi_large_sum *sum; /* NULL, or what is added to the result */
    large_a_form form;
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

/* A block whose strip has only n < SWI_STRIP columns, computed in copies of C and the bias. */
static void large_edge(const large_block *block, int64_t n) {
    _Alignas(SW_ALIGNMENT) float c[SWI_MICRO_ROWS * SWI_STRIP] = {0}, bias[SWI_STRIP] = {0};
    const size_t bytes = (size_t)n * sizeof(float);
    large_block copy = *block;
    for (int64_t r = 0; r < block->rows && block->add; r++)
        memcpy(c + r * SWI_STRIP, block->c + r * block->ldc, bytes);
    if (block->bias)
        memcpy(bias, block->bias, bytes);
    copy.c = c;
    copy.bias = block->bias ? bias : NULL;
    copy.ldc = SWI_STRIP;
    large_block_run_f32_avx512(&copy);
    for (int64_t r = 0; r < block->rows; r++)
        memcpy(block->c + r * block->ldc, c + r * SWI_STRIP, bytes);
}

/* The last steps for rows [first, end) of a tile: the sum, and the mirror image. */
static void large_finish(const large_job *j, const large_tile *t, int64_t first, int64_t end) {
    const sw_product *p = j->p;
    const int64_t columns = t->n0 + t->n;
    const large_area area = {.c = p->C,
                             .sum = j->sum,
                             .ldc = p->ldc,
                             .first = first,
                             .end = end,
                             .column = t->n0,
                             .column_end = p->symmetric && end < columns ? end : columns};
    if (j->sum && j->sum->D)
        large_add_f32_avx512(&area);
    if (j->sum && t->n0 <= first && first < columns) /* the square on the diagonal */
        for (int64_t i = first; i < end; i++)
            area.c[i * p->ldc + i] += j->sum->shift;
    if (p->symmetric)
        large_mirror_f32_avx512(&area);
}

/* Adds the terms from k on, of which panels have copies, to `rows` rows of a tile from m on. */
static void large_rows_of_part(const large_job *j, const large_tile *t, int64_t k, int64_t m, int64_t rows,
                               const float *a, const float *b) {
    const sw_product *p = j->p;
    const int64_t terms = p->K - k < SWI_PART ? p->K - k : SWI_PART, even = terms + terms % 2;
    const bool rounded = p->rounded_to == SW_BF16; /* panels end with an even number of terms then */
    const int64_t below = m + rows - t->n0, columns = p->symmetric && below < t->n ? below : t->n;
    const bool last = k + terms == p->K;
    for (int64_t n = 0; n < columns; n += SWI_STRIP) {
        const large_block block = {.a = j->form == IN_PLACE ? (const float *)p->A + m * p->lda + k : a,
                                   .b = b + n * even,
                                   .bias = last && p->bias ? (const float *)p->bias + t->n0 + n : NULL,
                                   .c = (float *)p->C + m * p->ldc + t->n0 + n,
                                   .terms = rounded ? even : terms,
                                   .ldc = p->ldc,
                                   .lda = p->lda,
                                   .rows = (int)rows,
                                   .a_form = j->form,
                                   .add = k > 0 || p->beta != 0};
        if (t->n - n < SWI_STRIP)
            large_edge(&block, t->n - n);
        else
            large_block_run_f32_avx512(&block);
    }
}

/* In products of bf16 subnormal numbers are 0, except in the last steps. */
static unsigned large_set_mode(const sw_product *p) {
    return p->rounded_to == SW_BF16 ? sw_subnormals_flush() : 0;
}

static void large_restore_mode(const sw_product *p, unsigned mode) {
    if (p->rounded_to == SW_BF16)
        sw_subnormals_restore(mode);
}

/* Adds the part that begins with term k to a tile. */
static void large_part(const large_job *j, const large_tile *t, int64_t k, const large_panels *panels) {
    const sw_product *p = j->p;
    const int64_t terms = p->K - k < SWI_PART ? p->K - k : SWI_PART, end = t->m0 + t->m;
    swi_large_pack_b(p, t->n0, t->n, k, terms, panels->b);
    unsigned mode = large_set_mode(p);
    for (int64_t first = t->m0; first < end; first += GROUP_ROWS) {
        const int64_t group_end = end - first < GROUP_ROWS ? end : first + GROUP_ROWS;
        if (j->form != IN_PLACE)
            swi_large_pack_a(p, first, group_end, k, terms, panels->a);
        for (int64_t m = first; m < group_end; m += SWI_MICRO_ROWS)
            large_rows_of_part(j, t, k, m, group_end - m < SWI_MICRO_ROWS ? group_end - m : SWI_MICRO_ROWS,
                               panels->a + (m - first) / SWI_MICRO_ROWS * SWI_LARGE_BLOCK, panels->b);
        if (k + terms < p->K)
            continue;
        large_restore_mode(p, mode);
        large_finish(j, t, first, group_end);
        mode = large_set_mode(p);
    }
    large_restore_mode(p, mode);
}

/* The index at which part `part` of `parts` begins, a multiple of `multiple`, or n at the end. */
static int64_t large_begin(int64_t n, int64_t multiple, int64_t parts, int64_t part) {
    const int64_t begin = multiple * sw_part_begin(large_ceil_div(n, multiple), parts, part);
    return begin < n ? begin : n;
}

static void large_tile_run(large_job *j, int64_t index, const large_panels *panels) {
    const sw_product *p = j->p;
    const int64_t row = index % j->row_tiles, column = index / j->row_tiles;
    const int64_t unit_m = p->symmetric ? GROUP_ROWS : 1, unit_n = p->symmetric ? GROUP_ROWS : SWI_STRIP;
    const int64_t m_end = large_begin(p->M, unit_m, j->row_tiles, row + 1),
                  n_end = large_begin(p->N, unit_n, j->column_tiles, column + 1);
    large_tile t = {.m0 = large_begin(p->M, unit_m, j->row_tiles, row),
                    .n0 = large_begin(p->N, unit_n, j->column_tiles, column)};
    if (p->symmetric && t.m0 < t.n0)
        t.m0 = t.n0;
    if (t.m0 >= m_end)
        return;
    t.m = m_end - t.m0;
    t.n = n_end - t.n0;
    for (int64_t k = 0; k < p->K; k += SWI_PART)
        large_part(j, &t, k, panels);
    /* The thread that has computed the last tile of some rows reports them, because only whole rows are contiguous. */
    if (p->squares && p->ldc == p->N && atomic_fetch_sub_explicit(&j->left[row], 1, memory_order_acq_rel) == 1)
        sw_squares_report(p->squares, (float *)p->C + t.m0 * p->ldc, t.m * p->N);
}

static sw_status large_item(void *args, int64_t index, sw_worker *worker) {
    float *const a = worker->scratch;
    large_tile_run(args, index, &(large_panels){a, a + PANEL_BLOCKS * SWI_LARGE_BLOCK});
    return SW_OK;
}

/* Tiles of at most PANEL_COLUMNS columns; more than one for each thread, because threads may be slowed down by others.
 * The longer side is halved, so that the operands are copied as few times as possible. About half of the tiles of a
 * symmetric result are above the diagonal. */
static void large_choose_tiles(large_job *j) {
    const int64_t unit = j->p->symmetric ? GROUP_ROWS : SWI_STRIP, units = large_ceil_div(j->p->N, unit),
                  least = j->p->symmetric ? GROUP_ROWS : TILE_LENGTH;
    const int threads = swi_parallel_threads(MOST_ROW_TILES);
    j->row_tiles = 1;
    j->column_tiles = large_ceil_div(units, PANEL_COLUMNS / unit);
    while (threads > 1 && j->row_tiles * j->column_tiles < (j->p->symmetric ? 4 : 2) * (int64_t)threads) {
        const int64_t m = j->p->M / j->row_tiles, n = units * unit / j->column_tiles;
        const bool wide = n >= 2 * least, tall = m >= 2 * least && 2 * j->row_tiles <= MOST_ROW_TILES;
        if (!wide && !tall)
            break;
        if (wide && (n >= m || !tall))
            j->column_tiles *= 2;
        else
            j->row_tiles *= 2;
    }
}

/* Rows that are a multiple of 4096 bytes apart would be in the same set of the cache. */
static large_a_form large_choose_form(const sw_product *p) {
    return p->a_transposed ? IN_LINES : p->rounded_to == SW_F32 && p->lda % 1024 != 0 ? IN_PLACE : IN_ROWS;
}

static size_t large_panel_bytes(const sw_product *p) {
    const int64_t all = large_ceil_div(p->N, SWI_STRIP) * SWI_STRIP,
                  columns = all < PANEL_COLUMNS ? all : PANEL_COLUMNS;
    return (size_t)(columns * SWI_PART + PANEL_BLOCKS * SWI_LARGE_BLOCK) * sizeof(float);
}

/* The smallest M·N·K for which the function is as fast as OpenBLAS. */
static double large_least_work(const sw_product *p) {
    return p->b_transposed && !p->a_transposed && !p->symmetric && p->K < SHORT_SUM ? least_work : large_work;
}

/* Whether the lengths, alpha and beta fit. */
static bool large_shape_fits(const sw_product *p) {
    const int64_t columns = large_ceil_div(p->N, SWI_STRIP) * SWI_STRIP;
    return p->c_type == SW_F32 && p->alpha == 1 && (p->beta == 0 || p->beta == 1) && p->K >= LEAST_TERMS &&
           p->K <= LONGEST && p->M >= LEAST_LENGTH && p->N >= LEAST_LENGTH && (columns - p->N) * UNUSED <= columns &&
           (double)p->M * (double)p->N * (double)p->K >= large_least_work(p);
}

bool swi_large_product_fits(const sw_product *p) {
    return swi_cpu_level() == 2 && large_shape_fits(p);
}

size_t swi_large_product_scratch(const sw_product *p) {
    return sw_parallel_scratch(MOST_ROW_TILES, large_panel_bytes(p));
}

size_t swi_large_product_workspace(const sw_product *p) {
    if (swi_cpu_best() < 2 || !large_shape_fits(p))
        return 0;
    const double workers = (double)p->M * (double)p->N * (double)p->K / work_of_one;
    return (workers < MOST_WORKERS ? (size_t)workers : MOST_WORKERS) * large_panel_bytes(p);
}

sw_status swi_large_product(const sw_product *p, const swi_large_sum *sum) {
    large_job j = {.p = p, .sum = sum, .form = large_choose_form(p)};
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

size_t swi_large_product_workspace(const sw_product *p) {
    (void)p;
    return 0;
}

sw_status swi_large_product(const sw_product *p, const swi_large_sum *sum) {
    (void)p, (void)sum;
    return SW_OK;
}

#endif

#endif
