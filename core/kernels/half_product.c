/* Products of operands in f16 and bf16: tiles of C, which threads share. The reduced dimension of a tile is processed
 * in parts. For each part, the block of op(B) is copied to a panel, then a few rows of op(A) at a time, and the kernels
 * add their products to sums in f32. At the end the sums are written to C.
 *
 * The panels and the sums of a tile are on the stack of the thread that computes it: less than 256 KiB, which fit in
 * the second-level cache. Therefore a product allocates nothing and cannot fail.
 *
 * If C is narrow, the transposed product is computed, because the kernels compute 16 columns at a time. The order of
 * the additions is the same. */
#include <swale/memory.h>

#include "core/kernels/half_product.h"
#include "core/base/element.h"
#include "core/kernels/bf16_order.h"
#include "core/kernels/dispatch.h"
#if defined(__x86_64__)
#include "core/kernels/half_transpose.h"
#endif

#include <string.h>

enum { TILE_ROWS = 256, LONG_ROWS = 64 /* for sums in f64 */, TILE_COLUMNS = 128 }; /* at most */
enum { TILES = 8, LEAST_ROWS = 2 * SWI_MICRO_ROWS, LEAST_GROUPS = 2 }; /* fewer tiles are halved, down to this size */
static const double least_work = 2e6; /* M·N·K of the smallest tile for which another thread pays off */

typedef struct half_job {
    sw_product p;                /* an operand that is rounded has the type to which it is rounded */
    sw_dtype a_memory, b_memory; /* the types of the operands in memory */
    bool fused;                  /* no operand is f32: products are not rounded before they are added */
    bool c_swapped;              /* C is stored with the columns of p as rows */
    swi_half_kernels kernels;
    int64_t row_tiles, column_tiles; /* multiples of rows and groups of columns are divided among them */
} half_job;

typedef struct half_scratch {
    _Alignas(SW_ALIGNMENT) char a[SWI_A_BYTES];
    _Alignas(SW_ALIGNMENT) char b[SWI_B_BYTES];
    union {
        _Alignas(
            SW_ALIGNMENT) float lines[SWI_GROUP][TILE_ROWS]; /* columns of the sums, if C is swapped or symmetric */
        uint16_t rounded[SWI_STRIP * SWI_PART];              /* a block of f32 that is copied to a panel */
    };
    union { /* of a tile, [rows, TILE_COLUMNS] */
        _Alignas(SW_ALIGNMENT) float sums[TILE_ROWS * TILE_COLUMNS];
        struct {
            float part[LONG_ROWS * TILE_COLUMNS]; /* overlaps sums */
            double total[LONG_ROWS * TILE_COLUMNS];
        } in_f64;
    };
    unsigned mode; /* of arithmetic, in the caller */
} half_scratch;
_Static_assert(sizeof(half_scratch) <= 256 << 10, "gemm.h states it");

static int64_t half_ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static int64_t half_least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* The number of terms in a panel. */
static int64_t half_panel_terms(const half_job *j, int64_t terms) {
    return half_ceil_div(terms, j->kernels.term_multiple) * j->kernels.term_multiple;
}

/* The first of the rows of part `index` of `parts` equal parts. */
static int64_t half_row_begin(const half_job *j, int64_t rows, int64_t parts, int64_t index) {
    const int64_t multiple = j->kernels.row_multiple;
    return half_least(rows, multiple * sw_part_begin(half_ceil_div(rows, multiple), parts, index));
}

static bool half_is_long(const half_job *j) {
    return j->p.K > SWI_LONG_SUM;
}

/* Every operand and C transposed. */
static void half_swap(half_job *j) {
    const sw_product p = j->p;
    j->p.M = p.N, j->p.N = p.M;
    j->p.A = p.B, j->p.B = p.A;
    j->p.a_type = p.b_type, j->p.b_type = p.a_type;
    j->p.lda = p.ldb, j->p.ldb = p.lda;
    const sw_dtype a_memory = j->a_memory;
    j->a_memory = j->b_memory, j->b_memory = a_memory;
    j->p.a_transposed = !p.b_transposed, j->p.b_transposed = !p.a_transposed;
    j->c_swapped = true;
    if (j->p.M == 1 && j->p.a_transposed && j->p.lda == 1) { /* a contiguous vector is a row as well */
        j->p.a_transposed = false;
        j->p.lda = j->p.K;
    }
}

/* Columns are computed in groups of 16. Whether fewer superfluous columns are computed if rows and columns are
 * exchanged. */
static bool half_swap_is_better(const sw_product *p) {
    const int64_t as_is = p->M * (half_ceil_div(p->N, SWI_GROUP) * SWI_GROUP),
                  swapped = p->N * (half_ceil_div(p->M, SWI_GROUP) * SWI_GROUP);
    return swapped < as_is;
}

/* Tiles are as large as the scratch allows, or smaller if there would be few of them for several threads; then their
 * number is even. For one thread they are not cut, because the operand that neighboring tiles share would be copied
 * several times. The order of the additions does not depend on the tiles. */
static void half_choose_tiles(half_job *j) {
    const sw_product *p = &j->p;
    const double work = (double)p->M * (double)p->N * (double)p->K;
    const int64_t groups = half_ceil_div(p->N, SWI_GROUP), terms = half_panel_terms(j, half_least(p->K, SWI_PART));
    const int64_t fit = terms ? SWI_B_BYTES / (terms * j->kernels.term_bytes) : TILE_COLUMNS; /* columns of a panel */
    j->column_tiles = half_ceil_div(groups, half_least(fit / SWI_STRIP * SWI_STRIP, TILE_COLUMNS) / SWI_GROUP);
    j->row_tiles = half_ceil_div(p->M, half_is_long(j) ? LONG_ROWS : TILE_ROWS);
    if (swi_parallel_threads(TILES) == 1)
        return;
    const int64_t least_rows = j->kernels.row_multiple > LEAST_ROWS ? j->kernels.row_multiple : LEAST_ROWS;
    for (int64_t tiles = j->row_tiles * j->column_tiles; tiles < TILES && work >= 2 * least_work * (double)tiles;
         tiles *= 2)
        if (groups >= 2 * LEAST_GROUPS * j->column_tiles)
            j->column_tiles *= 2;
        else if (p->M >= 2 * least_rows * j->row_tiles)
            j->row_tiles *= 2;
        else
            break;
    if (j->row_tiles % 2 == 1 && j->column_tiles % 2 == 1) {
        if (j->column_tiles > 1 && j->column_tiles < groups)
            j->column_tiles++;
        else if (j->row_tiles > 1)
            j->row_tiles++;
    }
}

static const char *half_at(const void *data, sw_dtype type, int64_t index) {
    return (const char *)data + (size_t)index * swi_size(type);
}

/* All kernels but `output` must treat subnormal numbers as 0, because the instructions for bf16 do. */
static void half_set_mode(const half_job *j, half_scratch *s) {
    if (j->fused)
        s->mode = sw_subnormals_flush();
}

static void half_restore_mode(const half_job *j, const half_scratch *s) {
    if (j->fused)
        sw_subnormals_restore(s->mode);
}

/* The number of those of the columns [n0, n0 + n) that are computed for rows up to `row`. */
static int64_t half_columns(const half_job *j, int64_t row, int64_t n0, int64_t n) {
    return j->p.symmetric ? half_least(n, row + 1 - n0) : n;
}

/* Writes rows [m0, m0 + m) and columns [n0, n0 + n) of C; of a symmetric C, up to the diagonal. */
static void half_store(const half_job *j, const float *sums, int64_t m0, int64_t m, int64_t n0, int64_t n) {
    const sw_product *p = &j->p;
    for (int64_t i = 0; i < m; i++) {
        const int64_t columns = half_columns(j, m0 + i, n0, n);
        if (columns > 0)
            j->kernels.output(sums + i * TILE_COLUMNS, columns, (float)p->alpha, (float)p->beta,
                              (char *)p->C + (size_t)((m0 + i) * p->ldc + n0) * swi_size(p->c_type));
    }
}

/* Copies columns [c, c + SWI_GROUP) of m rows of the sums to lines. */
static void half_turn_sums(half_scratch *s, int64_t m, int64_t c) {
    int64_t i = 0;
#if defined(__x86_64__)
    for (; i + 4 <= m; i += 4)
        for (int k = 0; k < SWI_GROUP; k += 4)
            swi_half_transpose4(s->sums + i * TILE_COLUMNS + c + k, TILE_COLUMNS, &s->lines[k][i], TILE_ROWS);
#endif
    for (; i < m; i++)
        for (int k = 0; k < SWI_GROUP; k++)
            /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): written by the kernels */
            s->lines[k][i] = s->sums[i * TILE_COLUMNS + c + k];
}

/* Writes the same elements for a C that is stored with the columns of p as rows. For a symmetric C: the elements below
 * the diagonal also to their places above it. */
static void half_store_turned(const half_job *j, half_scratch *s, int64_t m0, int64_t m, int64_t n0, int64_t n) {
    const sw_product *p = &j->p;
    for (int64_t c = 0; c < n; c += SWI_GROUP) {
        const int64_t some = half_least(SWI_GROUP, n - c);
        half_turn_sums(s, m, c);
        for (int64_t k = 0; k < some; k++) {
            const int64_t column = n0 + c + k, first = p->symmetric && column >= m0 ? column + 1 - m0 : 0;
            if (first < m)
                j->kernels.output(s->lines[k] + first, m - first, (float)p->alpha, (float)p->beta,
                                  (char *)p->C + (size_t)(column * p->ldc + m0 + first) * swi_size(p->c_type));
        }
    }
}

/* Whether each block of rows is written as soon as its sums are complete and in the first-level cache. */
static bool half_stores_blocks(const half_job *j) {
    return !j->c_swapped && !half_is_long(j);
}

/* Copies rows [row, row + rows) of op(A) to a panel. */
static void half_pack_a(const half_job *j, half_scratch *s, int64_t row, int64_t rows, int64_t k, int64_t terms) {
    const sw_product *p = &j->p;
    const bool lines = p->a_transposed;
    const void *from = half_at(p->A, j->a_memory, lines ? k * p->lda + row : row * p->lda + k);
    if (j->a_memory == p->a_type || j->kernels.rounds) {
        j->kernels.a(from, p->lda, terms, rows, s->a);
        return;
    }
    const int64_t width = lines ? rows : terms;
    swi_half_round(p->a_type, from, p->lda, lines ? terms : rows, width, s->rounded);
    j->kernels.a(s->rounded, width, terms, rows, s->a);
}

/* Copies columns [n0, n0 + n) of op(B) to a panel. */
static void half_pack_b(const half_job *j, half_scratch *s, int64_t n0, int64_t n, int64_t k, int64_t terms) {
    const sw_product *p = &j->p;
    const bool rows = p->b_transposed;
    if (j->b_memory == p->b_type || j->kernels.rounds) {
        j->kernels.b(half_at(p->B, j->b_memory, rows ? n0 * p->ldb + k : k * p->ldb + n0), p->ldb, terms, n, s->b);
        return;
    }
    for (int64_t c = 0; c < n; c += SWI_STRIP) {
        const int64_t some = half_least(SWI_STRIP, n - c), width = rows ? terms : some;
        const float *from = (const float *)p->B + (rows ? (n0 + c) * p->ldb + k : k * p->ldb + n0 + c);
        swi_half_round(p->b_type, from, p->ldb, rows ? some : terms, width, s->rounded);
        j->kernels.b(s->rounded, width, terms, some,
                     s->b + (size_t)(c * half_panel_terms(j, terms) * j->kernels.term_bytes));
    }
}

/* The sums of the part that begins with term k, for rows [m0, m0 + m) and columns [n0, n0 + n). */
static void half_part(const half_job *j, half_scratch *s, int64_t m0, int64_t m, int64_t n0, int64_t n, int64_t k,
                      bool add) {
    const sw_product *p = &j->p;
    const int64_t terms = half_least(SWI_PART, p->K - k), padded = half_panel_terms(j, terms);
    const bool store = k + terms == p->K && half_stores_blocks(j);
    if (!j->kernels.few)
        half_pack_b(j, s, n0, n, k, terms);
    /* Blocks of 12 and 10 rows, because a short last block would have too few sums to hide the latency of an addition.
     * In tile registers only the last block is shorter. */
    const int64_t blocks = half_ceil_div(m, j->kernels.block_rows);
    for (int64_t i = 0; i < blocks; i++) {
        const int64_t begin = half_row_begin(j, m, blocks, i), rows = half_row_begin(j, m, blocks, i + 1) - begin;
        const int64_t row = m0 + begin;
        const int64_t columns = half_columns(j, row + rows - 1, n0, n);
        float *sums = s->sums + begin * TILE_COLUMNS;
        if (columns < 1)
            continue;
        half_pack_a(j, s, row, rows, k, terms);
        if (j->kernels.few)
            j->kernels.few(half_at(p->B, p->b_type, n0 * p->ldb + k), p->ldb, terms, n, s->a, (int)rows, sums,
                           TILE_COLUMNS, add);
        for (int64_t c = 0; c < columns && !j->kernels.few; c += SWI_STRIP) {
            const int groups = n - c > SWI_GROUP ? 2 : 1;
            j->kernels.micro(s->a, s->b + (size_t)(c * padded * j->kernels.term_bytes), padded, (int)(rows + rows % 2),
                             groups, sums + c, TILE_COLUMNS, add);
        }
        if (store) {
            half_restore_mode(j, s);
            half_store(j, sums, row, rows, n0, n);
            half_set_mode(j, s);
        }
    }
}

/* Sums with many terms: each part is added to f64. Afterwards the sums are rounded to f32. */
static void half_long_parts(const half_job *j, half_scratch *s, int64_t m0, int64_t m, int64_t n0, int64_t n) {
    double *total = s->in_f64.total;
    for (int64_t k = 0; k < j->p.K; k += SWI_PART) {
        half_part(j, s, m0, m, n0, n, k, false);
        for (int64_t i = 0; i < m; i++) {
            const float *part = s->sums + i * TILE_COLUMNS;
            double *t = total + i * TILE_COLUMNS;
            for (int64_t c = 0; c < n; c++)
                /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): written by the kernels */
                t[c] = k == 0 ? (double)part[c] : t[c] + (double)part[c];
        }
    }
    for (int64_t i = 0; i < m; i++)
        for (int64_t c = 0; c < n; c++)
            s->sums[i * TILE_COLUMNS + c] = (float)total[i * TILE_COLUMNS + c];
}

/* Computes rows [m0, m0 + m) and columns [n0, n0 + n) of C. */
static void half_run_tile(const half_job *j, int64_t m0, int64_t m, int64_t n0, int64_t n) {
    half_scratch s;
    if (j->p.K < 1) {
        memset(s.sums, 0, sizeof s.sums);
    } else {
        half_set_mode(j, &s);
        if (j->kernels.begin)
            j->kernels.begin();
        if (half_is_long(j))
            half_long_parts(j, &s, m0, m, n0, n);
        else
            for (int64_t k = 0; k < j->p.K; k += SWI_PART)
                half_part(j, &s, m0, m, n0, n, k, k > 0);
        if (j->kernels.end)
            j->kernels.end();
        half_restore_mode(j, &s);
    }
    if (!j->c_swapped && (j->p.K < 1 || half_is_long(j)))
        half_store(j, s.sums, m0, m, n0, n);
    if (j->c_swapped || j->p.symmetric)
        half_store_turned(j, &s, m0, m, n0, n);
}

static void half_tile(void *args, int64_t index) {
    const half_job *j = args;
    const int64_t row = index % j->row_tiles, column = index / j->row_tiles;
    const int64_t groups = half_ceil_div(j->p.N, SWI_GROUP);
    const int64_t m0 = half_row_begin(j, j->p.M, j->row_tiles, row),
                  n0 = SWI_GROUP * sw_part_begin(groups, j->column_tiles, column);
    const int64_t m = half_row_begin(j, j->p.M, j->row_tiles, row + 1) - m0,
                  n = half_least(SWI_GROUP * sw_part_begin(groups, j->column_tiles, column + 1), j->p.N) - n0;
    const int64_t columns = half_columns(j, m0 + m - 1, n0, n);
    if (m > 0 && columns > 0)
        half_run_tile(j, m0, m, n0, columns);
}

static void half_choose_kernels(half_job *j) {
    const sw_product *p = &j->p;
    const bool bf16 = p->a_type == SW_BF16 && p->b_type == SW_BF16;
    const bool tiles = bf16 && swi_bf16_order(p->order) == SW_BF16_TILES;
    swi_half_wide_kernels(p, j->fused, tiles, &j->kernels);
    if (j->b_memory != p->b_type)
        j->kernels.few = NULL;
    if (!bf16 || j->kernels.few)
        return;
    const swi_half_operands operands = {.a_transposed = p->a_transposed,
                                        .b_transposed = p->b_transposed,
                                        .a_is_f32 = j->a_memory == SW_F32,
                                        .b_is_f32 = j->b_memory == SW_F32};
    if (!tiles && swi_cpu_has(SWI_CPU_BF16))
        swi_half_bf16_kernels(&operands, &j->kernels);
    if (tiles && swi_cpu_has(SWI_CPU_AMX) && swi_amx_allowed())
        swi_half_amx_kernels(&operands, &j->kernels);
}

void swi_half_product(const sw_product *p) {
    half_job j = {.p = *p, .a_memory = p->a_type, .b_memory = p->b_type};
    if (p->rounded_to != SW_F32 && p->a_type == SW_F32)
        j.p.a_type = p->rounded_to;
    if (p->rounded_to != SW_F32 && p->b_type == SW_F32)
        j.p.b_type = p->rounded_to;
    j.fused = j.p.a_type != SW_F32 && j.p.b_type != SW_F32;
    if (p->alpha == 0) /* A and B are not read */
        j.p.K = 0;
    if (half_swap_is_better(&j.p))
        half_swap(&j);
    half_choose_kernels(&j);
    half_choose_tiles(&j);
    sw_parallel(half_tile, &j, j.row_tiles * j.column_tiles);
}
