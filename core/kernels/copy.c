/* Strided copies of elements by size, for any element type. They serve transpose, permute, slice, expand, pad,
 * concat, stack and their gradients. */
#include <swale/copy.h>

#include "core/kernels/dispatch.h"

#include <string.h>

/* ---- Boxes ---- */

void sw_box_join(sw_box *b, int operands) {
    int axes = 0;
    for (int axis = 0; axis < b->axes; axis++) {
        bool joins = axes > 0;
        if (b->length[axis] == 1)
            continue;
        for (int k = 0; k < operands && joins; k++)
            joins = b->stride[k][axes - 1] == b->length[axis] * b->stride[k][axis];
        axes += !joins;
        b->length[axes - 1] = joins ? b->length[axes - 1] * b->length[axis] : b->length[axis];
        for (int k = 0; k < operands; k++)
            b->stride[k][axes - 1] = b->stride[k][axis];
    }
    if (axes == 0) { /* the box has one element */
        axes = 1;
        b->length[0] = 1;
        for (int k = 0; k < operands; k++)
            b->stride[k][0] = 1;
    }
    b->axes = axes;
}

int64_t sw_box_count(const sw_box *b) {
    int64_t n = 1;
    for (int axis = 0; axis < b->axes; axis++)
        n *= b->length[axis];
    return n;
}

void sw_strides(int rank, const int64_t *shape, int64_t *stride) {
    int64_t step = 1;
    for (int axis = rank - 1; axis >= 0; axis--) {
        stride[axis] = step;
        step *= shape[axis];
    }
}

/* ---- Pieces: rows × run elements; element (r, i) is at r·row + i·step in both arrays ---- */

typedef struct piece {
    const char *from;
    char *to;
    int64_t rows, run, from_row, from_step, to_row, to_step;
} piece;

/* Unsigned types by which elements of any type of that size are moved. */
typedef uint8_t __attribute__((may_alias)) bits8;
typedef uint16_t __attribute__((may_alias)) bits16;
typedef uint32_t __attribute__((may_alias)) bits32;
typedef uint64_t __attribute__((may_alias)) bits64;
typedef uint16_t eight __attribute__((vector_size(16), aligned(2), may_alias));
typedef uint32_t quad __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint64_t pair __attribute__((vector_size(16), aligned(8), may_alias));

/* An exchange of two axes moves blocks of BLOCK × BLOCK elements, which are whole cache lines in both arrays. */
enum { BLOCK = 16 };

/* to[r][i] = from[i][r] for a corner of a block: 8 × 8 elements of 2 bytes, 4 × 4 of 4, 2 × 2 of 8. */
static inline void exchange_corner_bits16(const bits16 *x, int64_t s, bits16 *y, int64_t t) {
    eight a[8], b[8];
    for (int i = 0; i < 8; i++)
        a[i] = *(const eight *)(x + i * s);
    for (int round = 0; round < 3;
         round++) { /* three times, row i and row i + 4 are interleaved to rows 2i and 2i + 1 */
        for (int i = 0; i < 4; i++) {
            b[2 * i] = __builtin_shufflevector(a[i], a[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
            b[2 * i + 1] = __builtin_shufflevector(a[i], a[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
        }
        for (int i = 0; i < 8; i++)
            a[i] = b[i];
    }
    for (int i = 0; i < 8; i++)
        *(eight *)(y + i * t) = a[i];
}

static inline void exchange_corner_bits32(const bits32 *x, int64_t s, bits32 *y, int64_t t) {
    const quad a = *(const quad *)x, b = *(const quad *)(x + s), c = *(const quad *)(x + 2 * s),
               d = *(const quad *)(x + 3 * s);
    const quad ac_low = __builtin_shufflevector(a, c, 0, 4, 1, 5), ac_high = __builtin_shufflevector(a, c, 2, 6, 3, 7),
               bd_low = __builtin_shufflevector(b, d, 0, 4, 1, 5), bd_high = __builtin_shufflevector(b, d, 2, 6, 3, 7);
    *(quad *)y = __builtin_shufflevector(ac_low, bd_low, 0, 4, 1, 5);
    *(quad *)(y + t) = __builtin_shufflevector(ac_low, bd_low, 2, 6, 3, 7);
    *(quad *)(y + 2 * t) = __builtin_shufflevector(ac_high, bd_high, 0, 4, 1, 5);
    *(quad *)(y + 3 * t) = __builtin_shufflevector(ac_high, bd_high, 2, 6, 3, 7);
}

static inline void exchange_corner_bits64(const bits64 *x, int64_t s, bits64 *y, int64_t t) {
    const pair a = *(const pair *)x, b = *(const pair *)(x + s);
    *(pair *)y = __builtin_shufflevector(a, b, 0, 2);
    *(pair *)(y + t) = __builtin_shufflevector(a, b, 1, 3);
}

static inline void exchange_corner_bits8(const bits8 *x, int64_t s, bits8 *y, int64_t t) {
    (void)s, (void)t;
    *y = *x;
}

/* plain: for any steps. repeat: each row is one element, which is repeated. exchange: rows are contiguous in `from`,
 * and the elements of a row are contiguous in `to`. */
#define PIECES(type, corner)                                                                                      \
    static void plain_##type(const piece *p) {                                                                    \
        const bool along = p->run >= p->rows; /* the longer loop is inside */                                     \
        const int64_t outer = along ? p->rows : p->run, inner = along ? p->run : p->rows,                         \
                      from_outer = along ? p->from_row : p->from_step,                                            \
                      from_inner = along ? p->from_step : p->from_row, to_outer = along ? p->to_row : p->to_step, \
                      to_inner = along ? p->to_step : p->to_row;                                                  \
        for (int64_t r = 0; r < outer; r++) {                                                                     \
            const type *x = (const type *)p->from + r * from_outer;                                               \
            type *y = (type *)p->to + r * to_outer;                                                               \
            for (int64_t i = 0; i < inner; i++)                                                                   \
                y[i * to_inner] = x[i * from_inner];                                                              \
        }                                                                                                         \
    }                                                                                                             \
    static void repeat_##type(const piece *p) {                                                                   \
        for (int64_t r = 0; r < p->rows; r++) {                                                                   \
            const type x = ((const type *)p->from)[r * p->from_row];                                              \
            type *y = (type *)p->to + r * p->to_row;                                                              \
            for (int64_t i = 0; i < p->run; i++)                                                                  \
                y[i] = x;                                                                                         \
        }                                                                                                         \
    }                                                                                                             \
    static void exchange_##type(const piece *p) {                                                                 \
        const int64_t s = p->from_step, t = p->to_row;                                                            \
        for (int64_t i0 = 0; i0 < p->run; i0 += BLOCK)                                                            \
            for (int64_t r0 = 0; r0 < p->rows; r0 += BLOCK) {                                                     \
                const type *x = (const type *)p->from + i0 * s + r0;                                              \
                type *y = (type *)p->to + r0 * t + i0;                                                            \
                if (p->run - i0 >= BLOCK && p->rows - r0 >= BLOCK) {                                              \
                    for (int r = 0; r < BLOCK; r += corner)                                                       \
                        for (int i = 0; i < BLOCK; i += corner)                                                   \
                            exchange_corner_##type(x + i * s + r, s, y + r * t + i, t);                           \
                    continue;                                                                                     \
                }                                                                                                 \
                for (int64_t r = 0; r < p->rows - r0 && r < BLOCK; r++)                                           \
                    for (int64_t i = 0; i < p->run - i0 && i < BLOCK; i++)                                        \
                        y[r * t + i] = x[i * s + r];                                                              \
            }                                                                                                     \
    }
PIECES(bits8, 1)
PIECES(bits16, 8)
PIECES(bits32, 4)
PIECES(bits64, 2)

static void copy_runs(const piece *p, size_t size) {
    const int64_t bytes = (int64_t)size; /* signed, because a distance between rows may be negative */
    for (int64_t r = 0; r < p->rows; r++)
        memcpy(p->to + r * p->to_row * bytes, p->from + r * p->from_row * bytes, (size_t)p->run * size);
}

/* ---- The loop over the pieces of a box ---- */

enum {
    FROM,
    TO,                   /* operands of the box */
    PIECE = SW_TILE,      /* the approximate number of elements in a piece */
    LONGEST_RUN = 16384,  /* the largest number of contiguous elements in a piece */
    BAND = 64,            /* rows of an exchange in a piece */
    SHORT_RUN_BYTES = 32, /* shorter runs are copied without a call of memcpy */
    LEAST_EXCHANGE = 8    /* shorter axes are not exchanged in blocks */
};

typedef enum copy_way { PLAIN, RUNS, REPEAT, EXCHANGE } copy_way;

typedef struct copy_job {
    sw_box outer; /* the axes that are not in a piece */
    piece whole;  /* the axes of a piece in full length */
    copy_way way;
    size_t size;
    int64_t rows, run;     /* the size of a piece */
    int64_t bands, pieces; /* the numbers of pieces along the rows and along a run */
    int64_t units, per_tile;
} copy_job;

static void copy_piece(const piece *p, copy_way way, size_t size) {
    static void (*const table[][4])(const piece *) = {
        [PLAIN] = {plain_bits8, plain_bits16, plain_bits32, plain_bits64},
        [REPEAT] = {repeat_bits8, repeat_bits16, repeat_bits32, repeat_bits64},
        [EXCHANGE] = {exchange_bits8, exchange_bits16, exchange_bits32, exchange_bits64}};
    if (way == RUNS)
        copy_runs(p, size);
    else
        table[way][size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3](p);
}

static void copy_tile(void *args, int64_t tile) {
    const copy_job *j = args;
    const int64_t size = (int64_t)j->size, end = (tile + 1) * j->per_tile;
    for (int64_t unit = tile * j->per_tile; unit < end && unit < j->units; unit++) {
        const int64_t i = unit % j->pieces * j->run, r = unit / j->pieces % j->bands * j->rows;
        int64_t rest = unit / j->pieces / j->bands;
        piece p = j->whole;
        int64_t from = r * p.from_row + i * p.from_step, to = r * p.to_row + i * p.to_step;
        for (int axis = j->outer.axes - 1; axis >= 0; axis--) {
            const int64_t index = rest % j->outer.length[axis];
            rest /= j->outer.length[axis];
            from += index * j->outer.stride[FROM][axis];
            to += index * j->outer.stride[TO][axis];
        }
        p.from += from * size;
        p.to += to * size;
        p.rows = p.rows - r < j->rows ? p.rows - r : j->rows;
        p.run = p.run - i < j->run ? p.run - i : j->run;
        copy_piece(&p, j->way, j->size);
    }
}

/* The axis of a piece besides the last axis: the one that is exchanged with the last, or the one before the last, or,
 * if that is short, the longest. -1 if there is no other axis. */
static int copy_second_axis(const sw_box *b, copy_way *way) {
    const int last = b->axes - 1;
    int best = last - 1;
    if (*way == PLAIN && b->stride[TO][last] == 1 && b->length[last] >= LEAST_EXCHANGE)
        for (int axis = 0; axis < last; axis++)
            if (b->stride[FROM][axis] == 1 && b->length[axis] >= LEAST_EXCHANGE) {
                *way = EXCHANGE;
                return axis;
            }
    for (int axis = last - 2; axis >= 0 && b->length[best] < LEAST_EXCHANGE; axis--)
        if (b->length[axis] > b->length[best])
            best = axis;
    return best;
}

static int64_t copy_min(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Chooses the longest possible run, and then as many rows as fit in a piece. */
static void copy_set_tiles(copy_job *j) {
    const piece *w = &j->whole;
    if (j->way == EXCHANGE) {
        j->rows = copy_min(w->rows, BAND);
        j->run = copy_min(w->run, 4 * (int64_t)PIECE / j->rows);
    } else {
        j->run = copy_min(w->run, LONGEST_RUN);
        j->rows = copy_min(w->rows, 1 + (PIECE - 1) / j->run);
    }
    j->bands = (w->rows + j->rows - 1) / j->rows;
    j->pieces = (w->run + j->run - 1) / j->run;
    j->units = sw_box_count(&j->outer) * j->bands * j->pieces;
    j->per_tile = 1 + (PIECE - 1) / (j->rows * j->run);
}

void sw_box_copy(size_t size, sw_box box, const void *from, void *to) {
    const int64_t count = sw_box_count(&box);
    if (count == 0)
        return;
    sw_box_join(&box, 2);
    const int last = box.axes - 1;
    copy_job j = {.size = size,
                  .whole = {.from = from,
                            .to = to,
                            .rows = 1,
                            .run = box.length[last],
                            .from_step = box.stride[FROM][last],
                            .to_step = box.stride[TO][last]}};
    if (box.stride[TO][last] == 1 && (size_t)box.length[last] * size > SHORT_RUN_BYTES)
        j.way = box.stride[FROM][last] == 1 ? RUNS : box.stride[FROM][last] == 0 ? REPEAT : PLAIN;
    const int second = copy_second_axis(&box, &j.way);
    if (second >= 0) {
        j.whole.rows = box.length[second];
        j.whole.from_row = box.stride[FROM][second];
        j.whole.to_row = box.stride[TO][second];
    }
    for (int axis = 0; axis < last; axis++)
        if (axis != second) {
            j.outer.length[j.outer.axes] = box.length[axis];
            j.outer.stride[FROM][j.outer.axes] = box.stride[FROM][axis];
            j.outer.stride[TO][j.outer.axes++] = box.stride[TO][axis];
        }
    copy_set_tiles(&j);
    const int64_t tiles = (j.units + j.per_tile - 1) / j.per_tile;
    if (count < SW_SERIAL)
        for (int64_t t = 0; t < tiles; t++)
            copy_tile(&j, t);
    else
        sw_parallel(copy_tile, &j, tiles);
}

void sw_box_fill(size_t size, const void *value, int rank, const int64_t *shape, const int64_t *stride, void *to) {
    sw_box b = {.axes = rank};
    for (int axis = 0; axis < rank; axis++) {
        b.length[axis] = shape[axis];
        b.stride[TO][axis] = stride[axis];
    }
    sw_box_copy(size, b, value, to);
}

/* ---- A part of an array ---- */

static sw_box part_box(const sw_part *p, int inside, int whole) {
    sw_box b = {.axes = p->rank};
    for (int axis = 0; axis < p->rank; axis++)
        b.length[axis] = p->length[axis];
    sw_strides(p->rank, p->length, b.stride[inside]);
    sw_strides(p->rank, p->shape, b.stride[whole]);
    return b;
}

static int64_t part_offset(const sw_part *p) {
    int64_t offset = 0, stride[SW_MAX_RANK] = {0};
    sw_strides(p->rank, p->shape, stride);
    for (int axis = 0; axis < p->rank; axis++) {
        if (p->length[axis] == 0)
            return 0; /* the part is empty, and the array may have no memory */
        offset += p->begin[axis] * stride[axis];
    }
    return offset;
}

void sw_part_read(size_t size, const sw_part *p, const void *whole, void *part) {
    sw_box_copy(size, part_box(p, TO, FROM), (const char *)whole + (size_t)part_offset(p) * size, part);
}

void sw_part_write(size_t size, const sw_part *p, const void *part, void *whole) {
    sw_box_copy(size, part_box(p, FROM, TO), part, (char *)whole + (size_t)part_offset(p) * size);
}

/* For each axis, fills the elements before and after the part along this axis that are inside the part along the axes
 * before it. Therefore every element is written once. */
void sw_part_fill_around(size_t size, const sw_part *p, const void *value, void *whole) {
    int64_t stride[SW_MAX_RANK] = {0}, length[SW_MAX_RANK], at = 0;
    sw_strides(p->rank, p->shape, stride);
    for (int axis = 0; axis < p->rank; axis++)
        length[axis] = p->shape[axis];
    for (int axis = 0; axis < p->rank; axis++) {
        char *to = (char *)whole + (size_t)at * size;
        const int64_t end = p->begin[axis] + p->length[axis];
        length[axis] = p->begin[axis];
        sw_box_fill(size, value, p->rank, length, stride, to);
        length[axis] = p->shape[axis] - end;
        sw_box_fill(size, value, p->rank, length, stride, to + (size_t)(end * stride[axis]) * size);
        length[axis] = p->length[axis];
        at += p->begin[axis] * stride[axis];
    }
}
