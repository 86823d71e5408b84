/* Attention of some queries of one sample and head: products of tiles in registers, and the softmax between them. */
#if defined(__x86_64__)
#include "core/kernels/half_transpose.h"
#endif
#include <swale/kernel.h>

#include "core/kernels/attention_tiles.h"

#include <math.h>

#if SW_KERNEL_FIRST
enum { STRIP = SWI_ATTENTION_STRIP, GROUP = SWI_ATTENTION_GROUP };
/* Keys whose scores, values and gradients are processed together, so that they stay in the first-level cache. A
 * multiple of 4, for which attention_random computes the random numbers. */
enum { BLOCK_KEYS = 64 };

#endif

#if SW_KERNEL_PASS

#include "core/kernels/conv_vector.h"

/* After conv_vector.h, whose macros it uses. */
#include "core/kernels/attention_products.h"
#include "core/kernels/attention_vectors.h"
#include "core/kernels/attention_lines.h"

/* ---- Strips ---- */

/* What the functions of a strip share. */
typedef struct SW_K(attention_strip) {
    const swi_attention_item *item;
    const sw_attention_problem *problem;
    int64_t first, count; /* the queries */
    int64_t keys;         /* those that one of the queries sees */
    int64_t columns;      /* count, rounded up */
    int64_t begin, end;   /* the block of keys that is processed */
    real *scores;         /* [keys, STRIP] */
    /* Of the scores of each query: the largest one; Σ exp(score - max), and later 1/Σ; Σ p dp. */
    real max[STRIP], sum[STRIP], total[STRIP];
} SW_K(attention_strip);

static SW_K(attention_strip) SW_K(attention_strip_at)(const swi_attention_item *item, int64_t index, real *scores) {
    const sw_attention_problem *p = item->problem;
    const int64_t first = index * STRIP, count = p->queries - first < STRIP ? p->queries - first : STRIP;
    int64_t keys = p->keys;
    if (p->causal && keys - count > first + p->first_position)
        keys = first + p->first_position + count;
    return (SW_K(attention_strip)){.item = item,
                                   .problem = p,
                                   .first = first,
                                   .count = count,
                                   .keys = keys,
                                   .columns = swi_attention_padded(count),
                                   .scores = scores};
}

/* Continues with the next block of keys; false after the last. Begin with s->end = 0. */
static bool SW_K(attention_next)(SW_K(attention_strip) * s) {
    s->begin = s->end;
    s->end = s->keys - s->begin < BLOCK_KEYS ? s->keys : s->begin + BLOCK_KEYS;
    return s->begin < s->end;
}

/* Adds the mask of key j to its line of scores. */
static void SW_K(attention_mask_line)(const SW_K(attention_strip) * s, int64_t j, real *line) {
    const sw_attention_problem *p = s->problem;
    const int64_t at = s->item->sample * p->mask_step[0] + s->item->head * p->mask_step[1] +
                       s->first * p->mask_step[2] + j * p->mask_step[3];
    if (p->mask_type == SW_U8) {
        const uint8_t *mask = (const uint8_t *)p->mask + at;
        for (int64_t l = 0; l < s->count; l++)
            line[l] = mask[l * p->mask_step[2]] ? line[l] : -(real)INFINITY;
    } else {
        const real *mask = (const real *)p->mask + at;
        for (int64_t l = 0; l < s->count; l++)
            line[l] += mask[l * p->mask_step[2]];
    }
}

/* Applies the masks to the scores of a block. */
static void SW_K(attention_mask)(const SW_K(attention_strip) * s) {
    const sw_attention_problem *p = s->problem;
    const uint8_t *padding = p->padding ? p->padding + s->item->sample * p->keys : NULL;
    for (int64_t j = s->begin; j < s->end && p->mask; j++)
        SW_K(attention_mask_line)(s, j, s->scores + j * STRIP);
    for (int64_t j = s->begin; j < s->end && padding; j++)
        if (padding[j])
            SW_K(attention_hide)(s->scores + j * STRIP, STRIP);
    if (p->causal) { /* key `last` + n is not seen by the first n queries */
        const int64_t last = s->first + p->first_position;
        for (int64_t j = s->begin > last ? s->begin : last + 1; j < s->end; j++)
            SW_K(attention_hide)(s->scores + j * STRIP, j - last);
    }
}

/* The end of the keys of the block that one of the queries l to l + LANES - 1 sees, because of the causal mask. */
static int64_t SW_K(attention_seen)(const SW_K(attention_strip) * s, int64_t l) {
    const int64_t end = s->first + s->problem->first_position + l + LANES;
    return !s->problem->causal || end > s->end ? s->end : end > s->begin ? end : s->begin;
}

/* Zeros in the lines [j, s->end) of a strip, for the queries l to l + LANES - 1. */
static void SW_K(attention_zero)(const SW_K(attention_strip) * s, real *strip, int64_t l, int64_t j) {
    for (; j < s->end; j++)
        STORE(strip + j * STRIP + l, (VECTOR){0});
}

/* The largest score of each query, with those of a further block. */
static void SW_K(attention_find_max)(SW_K(attention_strip) * s) {
    for (int64_t l = 0; l < s->columns; l += LANES) {
        VECTOR max = BROADCAST(-(real)INFINITY);
        if (s->begin > 0)
            max = LOAD(s->max + l);
        const int64_t end = SW_K(attention_seen)(s, l);
        for (int64_t j = s->begin; j < end; j++) {
            const VECTOR score = LOAD(s->scores + j * STRIP + l);
            max = LARGER(score, max);
        }
        STORE(s->max + l, max);
    }
}

/* The first query of the strip that sees the first key of the block; key n of the block is seen by those from n later
 * on. */
static int64_t SW_K(attention_first_query)(const SW_K(attention_strip) * s) {
    return s->problem->causal ? s->begin - s->first - s->problem->first_position : -ATTENTION_EVERY;
}

/* A block of scores, from the queries [features, STRIP] times scale; masked. */
static void SW_K(attention_scores)(SW_K(attention_strip) * s, const real *keys, int64_t line, const real *columns) {
    const swi_attention_product product = {.a = keys + s->begin * line,
                                           .a_row = line,
                                           .b = columns,
                                           .b_row = STRIP,
                                           .c = s->scores + s->begin * STRIP,
                                           .c_row = STRIP,
                                           .rows = s->end - s->begin,
                                           .columns = s->columns,
                                           .terms = s->problem->features,
                                           .first_term = -ATTENTION_EVERY,
                                           .last_term = ATTENTION_EVERY,
                                           .first_column = SW_K(attention_first_query)(s)};
    SW_K(attention_multiply)(&product);
    SW_K(attention_mask)(s);
}

/* scores = exp(scores - max), in a block; adds them to the sum. */
static void SW_K(attention_exponentials)(SW_K(attention_strip) * s) {
    for (int64_t l = 0; l < s->columns; l += LANES) {
        const VECTOR max = LOAD(s->max + l);
        VECTOR sum = {0};
        if (s->begin > 0)
            sum = LOAD(s->sum + l);
        const int64_t end = SW_K(attention_seen)(s, l);
        for (int64_t j = s->begin; j < end; j++) {
            real *score = s->scores + j * STRIP + l;
            const VECTOR e = SW_K(attention_exp)(LOAD(score) - max);
            STORE(score, e);
            sum += e;
        }
        SW_K(attention_zero)(s, s->scores, l, end);
        STORE(s->sum + l, sum);
    }
}

#include "core/kernels/attention_dropout.h"

/* ---- Forward ---- */

/* Adds the products of a block of weights of the keys, [keys, STRIP], and the lines of the keys, to the lines of the
 * queries in `result`: the forward pass has probabilities and values, the gradient by the queries slopes and keys. */
static void SW_K(attention_add_to_queries)(const SW_K(attention_strip) * s, const real *weights, const real *keys,
                                           int64_t line, real *result) {
    const sw_attention_problem *p = s->problem;
    const swi_attention_product product = {.a = weights + s->begin * STRIP,
                                           .b = keys + s->begin * line,
                                           .b_row = line,
                                           .c = result,
                                           .c_row = line,
                                           .rows = s->count,
                                           .columns = line,
                                           .terms = s->end - s->begin,
                                           .first_term = -ATTENTION_EVERY,
                                           .last_term = p->causal ? s->first + p->first_position + 1 - s->begin
                                                                  : ATTENTION_EVERY,
                                           .first_column = -ATTENTION_EVERY,
                                           .turned = true,
                                           .add = s->begin > 0};
    SW_K(attention_multiply)(&product);
}

/* The result of a strip: [count, line]. */
static void SW_K(attention_forward_strip)(SW_K(attention_strip) * s, const swi_attention_layout *layout,
                                          real *scratch) {
    real *result = scratch + layout->result;
    const int64_t line = layout->v_line;
    while (SW_K(attention_next)(s)) {
        SW_K(attention_scores)(s, scratch + layout->keys, layout->k_line, scratch + layout->query_columns);
        SW_K(attention_find_max)(s);
    }
    for (int64_t l = 0; l < s->columns; l += LANES)
        STORE(s->max + l, SELECT(LOAD(s->max + l) == -(real)INFINITY, (VECTOR){0}, LOAD(s->max + l)));
    s->end = 0;
    while (SW_K(attention_next)(s)) {
        SW_K(attention_exponentials)(s);
        if (s->problem->dropout > 0)
            SW_K(attention_drop)(s);
        SW_K(attention_add_to_queries)(s, s->scores, scratch + layout->values, line, result);
    }
    for (int64_t l = 0; l < s->columns; l += LANES)
        STORE(s->sum + l, SELECT(LOAD(s->sum + l) == 0, (VECTOR){0}, 1 / LOAD(s->sum + l)));
    for (int64_t l = 0; l < s->count; l++) {
        const VECTOR factor = BROADCAST(s->sum[l]);
        for (real *at = result + l * line, *end = at + line; at < end; at += LANES)
            STORE(at, LOAD(at) * factor);
    }
}

static void SW_K(attention_save)(const SW_K(attention_strip) * s) {
    const sw_attention_problem *p = s->problem;
    if (!s->item->saved)
        return;
    real *max = (real *)s->item->saved + (s->item->sample * p->heads + s->item->head) * p->queries + s->first,
         *inverse = max + p->batch * p->heads * p->queries;
    memcpy(max, s->max, (size_t)s->count * sizeof(real));
    memcpy(inverse, s->sum, (size_t)s->count * sizeof(real));
}

/* The keys and values that one of the item's queries sees; their number. */
static int64_t SW_K(attention_load_keys)(const swi_attention_item *item, const swi_attention_layout *layout,
                                         real *scratch) {
    const sw_attention_problem *p = item->problem;
    const int64_t keys = SW_K(attention_strip_at)(item, item->end - 1, NULL).keys;
    SW_K(attention_load)
    (p->type, keys, p->features,
     swi_attention_at(item->k, p->type, item->sample * p->keys * p->k_row + item->head * p->features), p->k_row,
     scratch + layout->keys, layout->k_line);
    SW_K(attention_load)
    (p->type, keys, p->values,
     swi_attention_at(item->v, p->type, item->sample * p->keys * p->v_row + item->head * p->values), p->v_row,
     scratch + layout->values, layout->v_line);
    return keys;
}

/* The queries of a strip, as lines and, times scale, as columns. */
static void SW_K(attention_load_queries)(const SW_K(attention_strip) * s, const swi_attention_layout *layout,
                                         real *scratch) {
    const sw_attention_problem *p = s->problem;
    const int64_t at = (s->item->sample * p->queries + s->first) * p->q_row + s->item->head * p->features;
    SW_K(attention_load)
    (p->type, s->count, p->features, swi_attention_at(s->item->q, p->type, at), p->q_row, scratch + layout->query,
     layout->k_line);
    SW_K(attention_turn)
    (s->count, scratch + layout->query, layout->k_line, (real)p->scale, scratch + layout->query_columns);
}

static void SW_K(attention_forward_item)(const swi_attention_item *item) {
    const sw_attention_problem *p = item->problem;
    const swi_attention_layout layout = swi_attention_layout_of(p, false);
    real *scratch = item->scratch;
    SW_K(attention_load_keys)(item, &layout, scratch);
    for (int64_t i = item->begin; i < item->end; i++) {
        SW_K(attention_strip) s = SW_K(attention_strip_at)(item, i, scratch + layout.scores);
        SW_K(attention_load_queries)(&s, &layout, scratch);
        if (s.keys == 0)
            memset(scratch + layout.result, 0, (size_t)(s.count * layout.v_line) * sizeof(real));
        SW_K(attention_forward_strip)(&s, &layout, scratch);
        SW_K(attention_save)(&s);
        const int64_t at = (item->sample * p->queries + s.first) * p->out_row + item->head * p->values;
        SW_K(attention_store)
        (p->type, s.count, p->values, scratch + layout.result, layout.v_line,
         (char *)item->out + at * (int64_t)sw_dtype_size(p->type), p->out_row);
    }
}

static void SW_K(attention_forward)(void *args, int64_t begin, int64_t end, double *sums) {
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        SW_K(attention_forward_item)((const swi_attention_item *)args + i);
}

/* ---- Backward ---- */

/* What the forward pass has saved of a strip. */
static void SW_K(attention_restore)(SW_K(attention_strip) * s) {
    const sw_attention_problem *p = s->problem;
    const int64_t at = (s->item->sample * p->heads + s->item->head) * p->queries + s->first;
    const real *max = (const real *)s->item->saved + at, *inverse = max + p->batch * p->heads * p->queries;
    memcpy(s->max, max, (size_t)s->count * sizeof(real));
    memcpy(s->sum, inverse, (size_t)s->count * sizeof(real));
}

/* The probabilities of a block, from the scores. */
static void SW_K(attention_probabilities)(const SW_K(attention_strip) * s) {
    for (int64_t l = 0; l < s->columns; l += LANES) {
        const VECTOR max = LOAD(s->max + l), factor = LOAD(s->sum + l);
        const int64_t end = SW_K(attention_seen)(s, l);
        for (int64_t j = s->begin; j < end; j++) {
            real *score = s->scores + j * STRIP + l;
            STORE(score, SW_K(attention_exp)(LOAD(score) - max) * factor);
        }
        SW_K(attention_zero)(s, s->scores, l, end);
    }
}

/* Adds Σ p dp of a block, where dp is in `slopes`. */
static void SW_K(attention_add_total)(SW_K(attention_strip) * s, const real *slopes) {
    for (int64_t l = 0; l < s->columns; l += LANES) {
        VECTOR total = LOAD(s->total + l);
        for (int64_t at = s->begin * STRIP + l; at < SW_K(attention_seen)(s, l) * STRIP; at += STRIP)
            total = FMA(ABSOLUTE(LOAD(s->scores + at)), LOAD(slopes + at), total);
        STORE(s->total + l, total);
    }
}

/* The gradient by the scores of a block, p (dp - Σ p dp), times `factor`, in place of dp in slopes. */
static void SW_K(attention_slopes)(const SW_K(attention_strip) * s, real factor, real *slopes) {
    for (int64_t l = 0; l < s->columns; l += LANES) {
        const VECTOR total = LOAD(s->total + l);
        const int64_t end = SW_K(attention_seen)(s, l);
        for (int64_t at = s->begin * STRIP + l; at < end * STRIP; at += STRIP)
            STORE(slopes + at, ABSOLUTE(LOAD(s->scores + at)) * (LOAD(slopes + at) - total) * factor);
        SW_K(attention_zero)(s, slopes, l, end);
    }
}

/* Writes the gradient by the mask. */
static void SW_K(attention_store_slopes)(const SW_K(attention_strip) * s, const real *slopes) {
    const sw_attention_problem *p = s->problem;
    for (int64_t l = 0; l < s->count; l++) {
        real *to = (real *)s->item->gradient.dmask +
                   ((s->item->sample * p->heads + s->item->head) * p->queries + s->first + l) * p->keys;
        for (int64_t j = s->begin; j < s->end; j++)
            to[j] = slopes[j * STRIP + l];
        for (int64_t j = s->end; j < p->keys && s->end == s->keys; j++)
            to[j] = 0;
    }
}

/* [keys, line] += (scores or slopes) · rows of queries, for a block: the gradients of the values and of the keys. */
static void SW_K(attention_add_keys)(const SW_K(attention_strip) * s, const real *strip, const real *rows, int64_t line,
                                     real *to) {
    const swi_attention_product product = {.a = strip + s->begin * STRIP,
                                           .a_row = STRIP,
                                           .b = rows,
                                           .b_row = line,
                                           .c = to + s->begin * line,
                                           .c_row = line,
                                           .rows = s->end - s->begin,
                                           .columns = line,
                                           .terms = s->count,
                                           .first_term = SW_K(attention_first_query)(s),
                                           .last_term = ATTENTION_EVERY,
                                           .first_column = -ATTENTION_EVERY,
                                           .add = true};
    SW_K(attention_multiply)(&product);
}

/* The probabilities of a strip, and the gradient by them in `slopes`; the sum of their products. */
static void SW_K(attention_backward_scores)(SW_K(attention_strip) * s, const swi_attention_layout *layout,
                                            real *scratch) {
    const sw_attention_problem *p = s->problem;
    real *slopes = scratch + layout->slopes;
    SW_K(attention_restore)(s);
    s->end = 0;
    while (SW_K(attention_next)(s)) {
        const swi_attention_product product = {.a = scratch + layout->values + s->begin * layout->v_line,
                                               .a_row = layout->v_line,
                                               .b = scratch + layout->cotangent_columns,
                                               .b_row = STRIP,
                                               .c = slopes + s->begin * STRIP,
                                               .c_row = STRIP,
                                               .rows = s->end - s->begin,
                                               .columns = s->columns,
                                               .terms = p->values,
                                               .first_term = -ATTENTION_EVERY,
                                               .last_term = ATTENTION_EVERY,
                                               .first_column = SW_K(attention_first_query)(s)};
        SW_K(attention_scores)(s, scratch + layout->keys, layout->k_line, scratch + layout->query_columns);
        SW_K(attention_probabilities)(s);
        SW_K(attention_multiply)(&product);
        if (p->dropout > 0)
            SW_K(attention_drop_slopes)(s, slopes);
        SW_K(attention_add_total)(s, slopes);
    }
}

/* The gradients that follow from a block of the gradient by the scores. dk and dv are as keys and values. */
static void SW_K(attention_backward_block)(const SW_K(attention_strip) * s, const swi_attention_layout *layout,
                                           real *scratch, real *dk, real *dv) {
    const sw_attention_problem *p = s->problem;
    const sw_attention_gradients *g = &s->item->gradient;
    real *slopes = scratch + layout->slopes;
    SW_K(attention_slopes)(s, g->dmask ? 1 : (real)p->scale, slopes);
    if (p->dropout > 0)
        SW_K(attention_drop_again)(s);
    if (g->dv)
        SW_K(attention_add_keys)
    (s, s->scores, scratch + layout->cotangent, layout->v_line, dv);
    if (g->dmask) {
        SW_K(attention_store_slopes)(s, slopes);
        for (int64_t i = s->begin * STRIP; i < s->end * STRIP; i += LANES)
            STORE(slopes + i, LOAD(slopes + i) * (real)p->scale);
    }
    if (g->dk)
        SW_K(attention_add_keys)
    (s, slopes, scratch + layout->query, layout->k_line, dk);
    if (g->dq)
        SW_K(attention_add_to_queries)
    (s, slopes, scratch + layout->keys, layout->k_line, scratch + layout->result);
}

static void SW_K(attention_backward_strip)(SW_K(attention_strip) * s, const swi_attention_layout *layout, real *scratch,
                                           real *dk, real *dv) {
    const sw_attention_problem *p = s->problem;
    const int64_t row = s->item->sample * p->queries + s->first, at = row * p->heads * p->values,
                  to = row * p->q_row + s->item->head * p->features;
    real *cotangent = scratch + layout->cotangent, *result = scratch + layout->result;
    SW_K(attention_load_queries)(s, layout, scratch);
    SW_K(attention_load)
    (p->type, s->count, p->values, swi_attention_at(s->item->dout, p->type, at + s->item->head * p->values),
     p->heads * p->values, cotangent, layout->v_line);
    SW_K(attention_turn)(s->count, cotangent, layout->v_line, 1, scratch + layout->cotangent_columns);
    if (s->keys == 0)
        memset(result, 0, (size_t)(s->count * layout->k_line) * sizeof(real));
    SW_K(attention_backward_scores)(s, layout, scratch);
    s->end = 0;
    while (SW_K(attention_next)(s))
        SW_K(attention_backward_block)(s, layout, scratch, dk, dv);
    if (s->item->gradient.dq)
        SW_K(attention_store)
    (p->type, s->count, p->features, result, layout->k_line,
     (char *)s->item->gradient.dq + to * (int64_t)sw_dtype_size(p->type), p->q_row);
}

static void SW_K(attention_backward_item)(const swi_attention_item *item) {
    const sw_attention_problem *p = item->problem;
    const swi_attention_layout layout = swi_attention_layout_of(p, true);
    const int64_t size = (int64_t)sw_dtype_size(p->type);
    real *scratch = item->scratch, *dk = item->key_sums ? item->key_sums : scratch + layout.key_gradient,
         *dv = item->value_sums ? item->value_sums : scratch + layout.value_gradient;
    if (p->queries > 0)
        SW_K(attention_load_keys)(item, &layout, scratch);
    memset(dk, 0, (size_t)(p->keys * layout.k_line) * sizeof(real));
    memset(dv, 0, (size_t)(p->keys * layout.v_line) * sizeof(real));
    for (int64_t i = item->begin; i < item->end; i++) {
        SW_K(attention_strip) s = SW_K(attention_strip_at)(item, i, scratch + layout.scores);
        SW_K(attention_backward_strip)(&s, &layout, scratch, dk, dv);
    }
    if (item->key_sums)
        return;
    if (item->gradient.dk)
        SW_K(attention_store)
    (p->type, p->keys, p->features, dk, layout.k_line,
     (char *)item->gradient.dk + (item->sample * p->keys * p->k_row + item->head * p->features) * size, p->k_row);
    if (item->gradient.dv)
        SW_K(attention_store)
    (p->type, p->keys, p->values, dv, layout.v_line,
     (char *)item->gradient.dv + (item->sample * p->keys * p->v_row + item->head * p->values) * size, p->v_row);
}

static void SW_K(attention_backward)(void *args, int64_t begin, int64_t end, double *sums) {
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        SW_K(attention_backward_item)((const swi_attention_item *)args + i);
}

#else

const sw_kernels swi_attention_forward_kernels = SW_KERNEL_TABLE(attention_forward);
const sw_kernels swi_attention_backward_kernels = SW_KERNEL_TABLE(attention_backward);

#endif
