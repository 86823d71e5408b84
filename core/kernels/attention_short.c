/* Attention of short sequences: 2 to 4 positions, for example the tokens of a ÷ b =. The tiles of attention_tiles.c
 * would use only a few lanes of each register. In this file a lane is a sample: the features of GROUP samples are
 * transposed, and the scores of all pairs of positions, their softmax and the sums are operations on whole registers.
 * Each sum adds the terms of attention_tiles.c in the same order, so that the results have the same bits. */
#if defined(__x86_64__)
#include "core/kernels/half_transpose.h"
#endif
#include <swale/kernel.h>

#include "core/kernels/attention_short.h"

#include <math.h>

#if SW_KERNEL_FIRST
enum { MOST_PAIRS = SWI_SHORT_MOST * SWI_SHORT_MOST, BLOCK = 4 };
#endif

#if SW_KERNEL_PASS

#include "core/kernels/conv_vector.h"

#include "core/kernels/attention_vectors.h"

/* ---- Samples as lanes ---- */

/* from[l·step + c] of `count` samples l becomes to[c·LANES + l]. Lanes from `count` on repeat the last sample. */
static void SW_K(short_load_lanes)(const real *from, int64_t step, int64_t count, int64_t n, real *to) {
#if SW_KERNEL_F32 && SW_KERNEL_AVX512
    for (int64_t c = 0; c < n; c += LANES) {
        __m512i r[LANES];
        CONV_UNROLL
        for (int l = 0; l < LANES; l++)
            r[l] = _mm512_loadu_si512(from + (l < count ? l : count - 1) * step + c);
        swi_half_transpose(r);
        CONV_UNROLL
        for (int i = 0; i < LANES; i++)
            _mm512_storeu_si512(to + (c + i) * LANES, r[i]);
    }
#else
    int64_t l = 0;
#if SW_KERNEL_F32 && defined(__x86_64__)
    for (; l + BLOCK <= LANES && l + BLOCK <= count; l += BLOCK)
        for (int64_t c = 0; c < n; c += BLOCK)
            swi_half_transpose4(from + l * step + c, step, to + c * LANES + l, LANES);
#endif
    for (; l < LANES; l++)
        for (int64_t c = 0; c < n; c++)
            to[c * LANES + l] = from[(l < count ? l : count - 1) * step + c];
#endif
}

/* The reverse: to[l·step + c] = from[c·LANES + l] for l < count. */
static void SW_K(short_store_lanes)(const real *from, int64_t step, int64_t count, int64_t n, real *to) {
#if SW_KERNEL_F32 && SW_KERNEL_AVX512
    for (int64_t c = 0; c < n; c += LANES) {
        __m512i r[LANES];
        CONV_UNROLL
        for (int i = 0; i < LANES; i++)
            r[i] = _mm512_loadu_si512(from + (c + i) * LANES);
        swi_half_transpose(r);
        CONV_UNROLL
        for (int l = 0; l < LANES; l++)
            if (l < count)
                _mm512_storeu_si512(to + l * step + c, r[l]);
    }
#else
    int64_t l = 0;
#if SW_KERNEL_F32 && defined(__x86_64__)
    for (; l + BLOCK <= LANES && l + BLOCK <= count; l += BLOCK)
        for (int64_t c = 0; c < n; c += BLOCK)
            swi_half_transpose4(from + c * LANES + l, LANES, to + l * step + c, step);
#endif
    for (; l < LANES && l < count; l++)
        for (int64_t c = 0; c < n; c++)
            to[l * step + c] = from[c * LANES + l];
#endif
}

/* LANES samples of an item, or fewer, and their arrays [positions, features or values, LANES] in scratch. */
typedef struct SW_K(short_group) {
    const sw_attention_problem *problem;
    const swi_attention_item *item;
    int64_t first, count; /* samples */
    real *q, *k, *v, *cotangent;
} SW_K(short_group);

static SW_K(short_group) SW_K(short_group_at)(const swi_attention_item *item, int64_t first) {
    const sw_attention_problem *p = item->problem;
    SW_K(short_group)
    g = {.problem = p, .item = item, .first = first, .count = item->end - first < LANES ? item->end - first : LANES};
    g.q = item->scratch;
    g.k = g.q + p->queries * p->features * LANES;
    g.v = g.k + p->keys * p->features * LANES;
    g.cotangent = g.v + p->keys * p->values * LANES;
    return g;
}

/* Loads or stores all positions of an array whose positions are `row` apart, n elements of each. */
static void SW_K(short_load)(const SW_K(short_group) * g, const void *array, int64_t row, int64_t n, real *to) {
    const int64_t positions = g->problem->keys;
    const real *from = (const real *)array + g->first * positions * row + g->item->head * n;
    for (int64_t i = 0; i < positions; i++)
        SW_K(short_load_lanes)(from + i * row, positions * row, g->count, n, to + i * n * LANES);
}
static void SW_K(short_store)(const SW_K(short_group) * g, const real *from, int64_t row, int64_t n, void *array) {
    const int64_t positions = g->problem->keys;
    real *to = (real *)array + g->first * positions * row + g->item->head * n;
    for (int64_t i = 0; i < positions; i++)
        SW_K(short_store_lanes)(from + i * n * LANES, positions * row, g->count, n, to + i * row);
}

/* The place of position i among the numbers that the forward pass saves. */
static real *SW_K(short_saved)(const SW_K(short_group) * g, int64_t lane, int64_t i) {
    const sw_attention_problem *p = g->problem;
    const int64_t sample = g->first + (lane < g->count ? lane : g->count - 1);
    return (real *)g->item->saved + (sample * p->heads + g->item->head) * p->queries + i;
}

/* ---- Sums over pairs of positions; `n` and `causal` are constants where the functions are inlined ---- */

/* Whether query i attends to key j. */
SW_K_INLINE bool SW_K(short_sees)(int i, int j, bool causal) {
    return !causal || j <= i;
}

/* pair[i·n + j] = factor Σ_c query[i][c] key[j][c] with one chain for each pair; the query is multiplied by the factor
 * first. */
SW_K_INLINE void SW_K(short_pairs)(const real *query, const real *key, int64_t features, real factor, int n,
                                   bool causal, VECTOR *pair) {
    const int64_t line = features * LANES;
    for (int i = 0; i < n * n; i++)
        pair[i] = (VECTOR){0};
    for (int64_t at = 0; at < line; at += LANES) {
        VECTOR keys[SWI_SHORT_MOST];
        CONV_UNROLL
        for (int j = 0; j < n; j++)
            keys[j] = LOAD(key + j * line + at);
        CONV_UNROLL
        for (int i = 0; i < n; i++) {
            const VECTOR one = LOAD(query + i * line + at) * factor;
            CONV_UNROLL
            for (int j = 0; j < n; j++)
                if (SW_K(short_sees)(i, j, causal))
                    pair[i * n + j] = FMA(keys[j], one, pair[i * n + j]);
        }
    }
}

/* Σ_j pair[row·n + j] other[j] over the keys to which query `row` attends; or, if `turned`, Σ_i pair[i·n + row]
 * other[i] over the queries that attend to key `row`. */
SW_K_INLINE VECTOR SW_K(short_sum)(const VECTOR *pair, const VECTOR *other, int row, int n, bool causal, bool turned) {
    VECTOR sum = {0};
    CONV_UNROLL
    for (int t = 0; t < n; t++) {
        const int i = turned ? t : row, j = turned ? row : t;
        if (SW_K(short_sees)(i, j, causal))
            sum = FMA(pair[i * n + j], other[t], sum);
    }
    return sum;
}

/* ---- Forward ---- */

/* Replaces the scores by their exponentials, and returns the maximum score and the inverse sum of each query. */
SW_K_INLINE void SW_K(short_softmax)(VECTOR *pair, int n, bool causal, VECTOR *max, VECTOR *inverse) {
    CONV_UNROLL
    for (int i = 0; i < n; i++) {
        VECTOR most = BROADCAST(-(real)INFINITY), sum = {0};
        CONV_UNROLL
        for (int j = 0; j < n; j++)
            if (SW_K(short_sees)(i, j, causal))
                most = LARGER(pair[i * n + j], most);
        most = SELECT(most == -(real)INFINITY, (VECTOR){0}, most);
        CONV_UNROLL
        for (int j = 0; j < n; j++)
            if (SW_K(short_sees)(i, j, causal)) {
                pair[i * n + j] = SW_K(attention_exp)(pair[i * n + j] - most);
                sum += pair[i * n + j];
            }
        max[i] = most;
        inverse[i] = SELECT(sum == 0, (VECTOR){0}, 1 / sum);
    }
}

static void SW_K(short_save)(const SW_K(short_group) * g, int n, const VECTOR *max, const VECTOR *inverse) {
    const sw_attention_problem *p = g->problem;
    if (!g->item->saved)
        return;
    for (int64_t l = 0; l < g->count; l++)
        for (int i = 0; i < n; i++) {
            real *to = SW_K(short_saved)(g, l, i);
            to[0] = max[i][l];
            to[p->batch * p->heads * p->queries] = inverse[i][l];
        }
}

SW_K_INLINE void SW_K(short_forward_group)(const SW_K(short_group) * g, int n, bool causal) {
    const sw_attention_problem *p = g->problem;
    const int64_t line = p->values * LANES;
    VECTOR pair[MOST_PAIRS], max[SWI_SHORT_MOST], inverse[SWI_SHORT_MOST];
    SW_K(short_load)(g, g->item->q, p->q_row, p->features, g->q);
    SW_K(short_load)(g, g->item->k, p->k_row, p->features, g->k);
    SW_K(short_load)(g, g->item->v, p->v_row, p->values, g->v);
    SW_K(short_pairs)(g->q, g->k, p->features, (real)p->scale, n, causal, pair);
    SW_K(short_softmax)(pair, n, causal, max, inverse);
    SW_K(short_save)(g, n, max, inverse);
    for (int64_t at = 0; at < line; at += LANES) { /* the results replace the values */
        VECTOR values[SWI_SHORT_MOST];
        CONV_UNROLL
        for (int j = 0; j < n; j++)
            values[j] = LOAD(g->v + j * line + at);
        CONV_UNROLL
        for (int i = 0; i < n; i++)
            STORE(g->v + i * line + at, SW_K(short_sum)(pair, values, i, n, causal, false) * inverse[i]);
    }
    SW_K(short_store)(g, g->v, p->out_row, p->values, g->item->out);
}

/* ---- Backward ---- */

/* Computes, for each pair, the probability, and the gradient by the score times the scale. */
SW_K_INLINE void SW_K(short_slopes)(const SW_K(short_group) * g, int n, bool causal, VECTOR *probability,
                                    VECTOR *slope) {
    const sw_attention_problem *p = g->problem;
    SW_K(short_pairs)(g->q, g->k, p->features, (real)p->scale, n, causal, probability);
    SW_K(short_pairs)(g->cotangent, g->v, p->values, 1, n, causal, slope);
    for (int i = 0; i < n; i++) {
        VECTOR max = {0}, inverse = {0}, total = {0};
        for (int l = 0; l < LANES; l++) {
            const real *from = SW_K(short_saved)(g, l, i);
            max[l] = from[0];
            inverse[l] = from[p->batch * p->heads * p->queries];
        }
        for (int j = 0; j < n; j++)
            if (SW_K(short_sees)(i, j, causal)) {
                VECTOR *const at = &probability[i * n + j];
                *at = SW_K(attention_exp)(*at - max) * inverse;
                total = FMA(ABSOLUTE(*at), slope[i * n + j], total);
            }
        for (int j = 0; j < n; j++)
            slope[i * n + j] = ABSOLUTE(probability[i * n + j]) * (slope[i * n + j] - total) * (real)p->scale;
    }
}

/* The gradients replace q, k and v in scratch. */
SW_K_INLINE void SW_K(short_backward_group)(const SW_K(short_group) * g, int n, bool causal) {
    const sw_attention_problem *p = g->problem;
    const int64_t line = p->features * LANES, v_line = p->values * LANES;
    VECTOR probability[MOST_PAIRS], slope[MOST_PAIRS], one[SWI_SHORT_MOST], two[SWI_SHORT_MOST];
    SW_K(short_load)(g, g->item->q, p->q_row, p->features, g->q);
    SW_K(short_load)(g, g->item->k, p->k_row, p->features, g->k);
    SW_K(short_load)(g, g->item->v, p->v_row, p->values, g->v);
    SW_K(short_load)(g, g->item->dout, p->heads * p->values, p->values, g->cotangent);
    SW_K(short_slopes)(g, n, causal, probability, slope);
    for (int64_t at = 0; at < line; at += LANES) {
        CONV_UNROLL
        for (int i = 0; i < n; i++) {
            one[i] = LOAD(g->q + i * line + at);
            two[i] = LOAD(g->k + i * line + at);
        }
        CONV_UNROLL
        for (int i = 0; i < n; i++) {
            STORE(g->q + i * line + at, SW_K(short_sum)(slope, two, i, n, causal, false));
            STORE(g->k + i * line + at, SW_K(short_sum)(slope, one, i, n, causal, true));
        }
    }
    for (int64_t at = 0; at < v_line; at += LANES) {
        CONV_UNROLL
        for (int i = 0; i < n; i++)
            one[i] = LOAD(g->cotangent + i * v_line + at);
        CONV_UNROLL
        for (int j = 0; j < n; j++)
            STORE(g->v + j * v_line + at, SW_K(short_sum)(probability, one, j, n, causal, true));
    }
    if (g->item->gradient.dq)
        SW_K(short_store)(g, g->q, p->q_row, p->features, g->item->gradient.dq);
    if (g->item->gradient.dk)
        SW_K(short_store)(g, g->k, p->k_row, p->features, g->item->gradient.dk);
    if (g->item->gradient.dv)
        SW_K(short_store)(g, g->v, p->v_row, p->values, g->item->gradient.dv);
}

/* ---- Items ---- */

/* A function for each number of positions, with and without the causal mask. */
#undef SHORT_FORM
#define SHORT_FORM(pass, n)                                                                       \
    static __attribute__((noinline)) void SW_K(short_##pass##_##n)(const SW_K(short_group) * g) { \
        if (g->problem->causal)                                                                   \
            SW_K(short_##pass##_group)(g, n, true);                                               \
        else                                                                                      \
            SW_K(short_##pass##_group)(g, n, false);                                              \
    }
SHORT_FORM(forward, 2)
SHORT_FORM(forward, 3)
SHORT_FORM(forward, 4)
SHORT_FORM(backward, 2)
SHORT_FORM(backward, 3)
SHORT_FORM(backward, 4)

typedef void SW_K(short_form)(const SW_K(short_group) * g);

static void SW_K(short_run)(const swi_attention_item *item, SW_K(short_form) *const form[3]) {
    for (int64_t first = item->begin; first < item->end; first += LANES) {
        const SW_K(short_group) g = SW_K(short_group_at)(item, first);
        form[item->problem->keys - 2](&g);
    }
}

static void SW_K(short_forward)(void *args, int64_t begin, int64_t end, double *sums) {
    static SW_K(short_form) *const form[3] = {SW_K(short_forward_2), SW_K(short_forward_3), SW_K(short_forward_4)};
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        SW_K(short_run)((const swi_attention_item *)args + i, form);
}

static void SW_K(short_backward)(void *args, int64_t begin, int64_t end, double *sums) {
    static SW_K(short_form) *const form[3] = {SW_K(short_backward_2), SW_K(short_backward_3), SW_K(short_backward_4)};
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        SW_K(short_run)((const swi_attention_item *)args + i, form);
}

#else

const sw_kernels swi_short_forward_kernels = SW_KERNEL_TABLE(short_forward),
                 swi_short_backward_kernels = SW_KERNEL_TABLE(short_backward);

bool swi_short_fits(const sw_attention_problem *p) {
    return sw_dtype_is_computed(p->type) && p->queries == p->keys && p->keys >= 2 && p->keys <= SWI_SHORT_MOST &&
           p->features % SWI_ATTENTION_GROUP == 0 && p->values % SWI_ATTENTION_GROUP == 0 &&
           p->features + p->values <= SWI_SHORT_FEATURES && p->batch >= SWI_SHORT_GROUP / 2 && !p->mask &&
           !p->padding && p->dropout == 0 && (!p->causal || p->first_position == 0);
}

size_t swi_short_bytes(const sw_attention_problem *p) {
    return (size_t)(2 * p->keys * (p->features + p->values) * SWI_SHORT_GROUP) * sw_dtype_size(p->type);
}

#endif
