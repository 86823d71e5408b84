/* Windows of a pooling along one axis, and the arguments of its kernels. */
#ifndef SWALE_OPS_POOL_WINDOW_H
#define SWALE_OPS_POOL_WINDOW_H

#include <swale/extend.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { POOL_PIECE = 32 }; /* elements that are added in one chain; longer sums consist of such sums */

/* The windows along an axis. Window i begins at i·stride - padding, and its `window` positions are `dilation` apart. An
 * adaptive one has the positions ⌊i·length/out⌋ to ⌈(i+1)·length/out⌉ - 1, at most `window`. */
typedef struct pool_axis {
    int64_t length, out; /* of x, of the result */
    int64_t window, stride, padding, dilation;
    bool adaptive;
    bool exclude_padding;
} pool_axis;

/* The positions of a window that are in x: begin, begin + dilation, … They are elements first, first + 1, … of the
 * window. */
typedef struct pool_part {
    int64_t begin, count, first;
} pool_part;

static inline pool_part pool_part_of(const pool_axis *a, int64_t i) {
    if (a->adaptive) {
        const int64_t begin = i * a->length / a->out;
        return (pool_part){begin, ((i + 1) * a->length + a->out - 1) / a->out - begin, 0};
    }
    int64_t begin = i * a->stride - a->padding, first = 0;
    if (begin < 0) {
        first = a->dilation == 1 ? -begin : (a->dilation - 1 - begin) / a->dilation;
        begin += first * a->dilation;
    }
    int64_t count = a->length - begin;
    if (a->dilation > 1)
        count = (count + a->dilation - 1) / a->dilation;
    return (pool_part){begin, count < a->window - first ? count : a->window - first, first};
}

/* The windows that have a position p in x among their positions, or, with a dilation, between them: first to last. */
typedef struct pool_windows {
    int64_t first, last;
} pool_windows;

static inline pool_windows pool_windows_of(const pool_axis *a, int64_t p) {
    if (a->adaptive)
        return (pool_windows){p * a->out / a->length, ((p + 1) * a->out - 1) / a->length};
    const int64_t from = p + a->padding, before = from - (a->window - 1) * a->dilation; /* all numbers are below 2^32 */
    const int64_t last = (uint32_t)from / (uint32_t)a->stride;
    return (pool_windows){before > 0 ? ((uint32_t)before - 1) / (uint32_t)a->stride + 1 : 0,
                          last < a->out - 1 ? last : a->out - 1};
}

/* Which element of window i the position p is; -1 if it is between two elements. i is one of the windows above. */
static inline int64_t pool_element(const pool_axis *a, int64_t i, int64_t p) {
    if (a->adaptive)
        return p - i * a->length / a->out;
    const int64_t distance = p + a->padding - i * a->stride;
    return a->dilation == 1 ? distance : distance % a->dilation == 0 ? distance / a->dilation : -1;
}

/* The factor along this axis by which the sum of window i is divided. */
static inline int64_t pool_divisor(const pool_axis *a, int64_t i) {
    if (a->adaptive || a->exclude_padding)
        return pool_part_of(a, i).count;
    const int64_t begin = i * a->stride - a->padding, end = a->length + a->padding;
    return begin + a->window < end ? a->window : end - begin;
}

/* The arguments of a kernel. Its items are rows of pictures, or whole pictures if rows_per_item is their number. */
typedef struct pool_args {
    const void *in; /* forward: x; vjp: the gradient of y */
    const void *x;  /* vjp of means with relu, else NULL */
    const void *y;  /* vjp of largest elements with relu, else NULL */
    void *out;      /* forward: y; vjp: the gradient of x */
    void *place;    /* shaped like y: row · width.window + column of the largest element in its window, u8 or u32; or
                     * signs */
    pool_axis height,
        width; /* x is [N, height.length, width.length, channels], y [N, height.out, width.out, channels] */
    int64_t channels, rows_per_item;
    int64_t divisor;  /* of the sum of each window, for means; 0 if the divisors differ */
    bool wide_places; /* u32 */
    bool relu;        /* x stands for max(x, 0) */
    /* Means with relu: `place` is u8, or NULL in a forward pass that saves nothing. For element e < 4 of a window, bit
     * e is set if it is positive, and bit e + 4 if it is NaN. */
    bool signs;
} pool_args;

static inline int64_t pool_place_bytes(const pool_args *s) {
    return s->wide_places ? (int64_t)sizeof(uint32_t) : 1;
}

static inline int64_t pool_divisor_of(const pool_args *s, int64_t i, int64_t j) {
    return s->divisor ? s->divisor : pool_divisor(&s->height, i) * pool_divisor(&s->width, j);
}

/* 1 / divisor */
static inline double pool_factor(const pool_args *s, int64_t i, int64_t j) {
    return 1 / (double)pool_divisor_of(s, i, j);
}

/* A position (h, w) of picture n, and the windows around it. */
typedef struct pool_position {
    int64_t n, h, w;
    pool_windows rows, columns;
} pool_position;

/* Whether no two windows along the axis have a position in common, so that window i owns the positions from its
 * beginning to that of the next window. */
static inline bool pool_is_disjoint(const pool_axis *a) {
    return !a->adaptive && a->dilation == 1 && a->stride >= a->window;
}

/* pool_forward.c: from x to y, rows of y. */
extern const sw_kernels swi_pool_max, swi_pool_avg;
/* pool_vjp.c: the gradients of x, if the windows do not overlap along either axis (pool_is_disjoint): rows of y; for
 * all other windows: rows of x. */
extern const sw_kernels swi_pool_max_disjoint, swi_pool_avg_disjoint, swi_pool_max_overlapping,
    swi_pool_avg_overlapping;

#endif
