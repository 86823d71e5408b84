/* The computations of one work item of an attention (attention_kernels.h), by type and level. */
#ifndef SWALE_KERNELS_ATTENTION_TILES_H
#define SWALE_KERNELS_ATTENTION_TILES_H

#include <swale/attention_kernels.h>
#include <swale/parallel.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* The names of the levels as numbers, for conv_vector.h. A register has 16 << level bytes. */
#define CONV_baseline 0
#define CONV_avx2 1
#define CONV_avx512 2

enum {
    SWI_ATTENTION_STRIP = 32, /* queries whose scores are computed together: the length of a line of a strip */
    SWI_ATTENTION_GROUP = 16  /* lengths of lines in scratch are multiples of it: no register is longer */
};
static inline int64_t swi_attention_padded(int64_t n) {
    return (n + SWI_ATTENTION_GROUP - 1) / SWI_ATTENTION_GROUP * SWI_ATTENTION_GROUP;
}

/* The arrays of a call, and one item: some strips of queries of one sample and head. */
typedef struct swi_attention_item {
    const sw_attention_problem *problem;
    const void *q, *k, *v, *dout;
    void *out, *saved;
    sw_attention_gradients gradient;
    int64_t sample, head;
    int64_t begin, end; /* strips of queries */
    /* Backward: NULL, or where the sums of these strips for the gradients of the keys [keys, k_line] and of the values
     * [keys, v_line] are stored, because other items have other strips of this head. */
    void *key_sums, *value_sums;
    void *scratch;
} swi_attention_item;

/* What an item keeps in scratch, as numbers of elements of the compute type. Lines of keys and values are padded with
 * zeros to multiples of SWI_ATTENTION_GROUP. */
typedef struct swi_attention_layout {
    int64_t k_line, v_line;               /* lengths of the padded lines */
    int64_t keys, values;                 /* where [keys, k_line] and [keys, v_line] begin */
    int64_t query, query_columns;         /* [STRIP, k_line] and its transpose */
    int64_t scores;                       /* [keys, STRIP] */
    int64_t result;                       /* [STRIP, v_line], or the gradient of the queries [STRIP, k_line] */
    int64_t cotangent, cotangent_columns; /* backward: [STRIP, v_line] and its transpose */
    int64_t slopes;                       /* backward: [keys, STRIP], the gradient of the scores */
    int64_t key_gradient, value_gradient; /* backward: as keys and values */
    int64_t elements;                     /* of all */
} swi_attention_layout;
swi_attention_layout swi_attention_layout_of(const sw_attention_problem *problem, bool backward);

/* Copies rows of n elements of `type` to lines of `line` elements of its compute type, with zeros after the n-th; and
 * back. Rows of `from` and of `to` are `row` apart. */
void swi_attention_load(sw_dtype type, int64_t rows, int64_t n, const void *from, int64_t row, void *to, int64_t line);
void swi_attention_store(sw_dtype type, int64_t rows, int64_t n, const void *from, int64_t line, void *to, int64_t row);
static inline const void *swi_attention_at(const void *array, sw_dtype type, int64_t element) {
    return (const char *)array + element * (int64_t)sw_dtype_size(type);
}

/* ---- For the kernels ---- */

/* A product C = A B or C += A B with C [rows, columns], where columns is a multiple of SWI_ATTENTION_GROUP:
 *
 *     C[r][n] (+)= Σ_t A(r,t) B[t][n],   A(r,t) = a[r·a_row + t], or a[t·SWI_ATTENTION_STRIP + r] if `turned`
 *
 * Row r has the terms first_term + r ≤ t < last_term + r, as far as they exist: with a causal mask, the others are 0.
 * The results in the columns n < first_column + r of row r are not needed, and may be 0.
 * The sum of each element is one chain of multiply-additions in the order of the terms. */
typedef struct swi_attention_product {
    const void *a, *b;
    void *c;
    int64_t a_row, b_row, c_row, rows, columns, terms;
    int64_t first_term, last_term, first_column;
    bool turned, add;
} swi_attention_product;
/* first_term = first_column = -every and last_term = every: all terms and all columns */
#define ATTENTION_EVERY (INT64_MAX / 4)

/* args: items; a kernel runs the items [begin, end). The kernels are those of the compute type. */
extern const sw_kernels swi_attention_forward_kernels, swi_attention_backward_kernels;

#endif
