/* Attention of some queries of one sample and head: products of tiles in registers, and the softmax between them. */
#include <swale/kernel.h>

#include "core/kernels/attention_tiles.h"

#include <math.h>

#if SW_KERNEL_FIRST
enum { STRIP = SWI_ATTENTION_STRIP, GROUP = SWI_ATTENTION_GROUP };

#endif

#if SW_KERNEL_PASS

#include "core/kernels/conv_vector.h"

/* After conv_vector.h, whose macros it uses. */
#include "core/kernels/attention_products.h"

/* ---- Strips ---- */

/* What the functions of a strip share. */
typedef struct SW_K(attention_strip) {
    const swi_attention_item *item;
    const sw_attention_problem *problem;
    int64_t first, count; /* the queries */
    int64_t keys;         /* those that one of the queries sees */
    int64_t columns;      /* count, rounded up */
    real *scores;         /* [keys, STRIP] */
    real max[STRIP], inverse[STRIP];
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

/* to[c][r] = factor·from[r][c], for `rows` rows of n elements; columns from `rows` on become 0. */
static void SW_K(attention_turn)(int64_t rows, int64_t n, const real *from, int64_t line, real factor, real *to) {
    for (int64_t c = 0; c < n; c++) {
        for (int64_t r = 0; r < rows; r++)
            to[c * STRIP + r] = from[r * line + c] * factor;
        for (int64_t r = rows; r < STRIP; r++)
            to[c * STRIP + r] = 0;
    }
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

/* Applies the masks to the scores; max: the largest score of each query, 0 if it sees no key. */
static void SW_K(attention_mask)(SW_K(attention_strip) * s) {
    const sw_attention_problem *p = s->problem;
    const uint8_t *padding = p->padding ? p->padding + s->item->sample * p->keys : NULL;
    real max[STRIP];
    for (int l = 0; l < STRIP; l++)
        max[l] = -(real)INFINITY;
    for (int64_t j = 0; j < s->keys; j++) {
        real *line = s->scores + j * STRIP;
        const int64_t unseen = p->causal ? j - p->first_position - s->first : 0; /* the queries below do not see j */
        if (p->mask)
            SW_K(attention_mask_line)(s, j, line);
        for (int l = 0; l < STRIP && padding && padding[j]; l++)
            line[l] = -(real)INFINITY;
        for (int64_t l = 0; l < unseen; l++)
            line[l] = -(real)INFINITY;
        for (int l = 0; l < STRIP; l++)
            max[l] = line[l] > max[l] ? line[l] : max[l];
    }
    for (int l = 0; l < STRIP; l++)
        s->max[l] = max[l] == -(real)INFINITY ? 0 : max[l];
}

/* The scores with all keys, from the queries [features, STRIP] times scale. */
static void SW_K(attention_scores)(SW_K(attention_strip) * s, const real *keys, int64_t line, const real *columns) {
    const swi_attention_product product = {.a = keys,
                                           .a_row = line,
                                           .b = columns,
                                           .b_row = STRIP,
                                           .c = s->scores,
                                           .c_row = STRIP,
                                           .rows = s->keys,
                                           .columns = s->columns,
                                           .terms = s->problem->features,
                                           .first_term = -ATTENTION_EVERY,
                                           .last_term = ATTENTION_EVERY};
    SW_K(attention_multiply)(&product);
}

/* scores = exp(scores - max); inverse = 1/Σ. */
static void SW_K(attention_softmax)(SW_K(attention_strip) * s) {
    real sum[STRIP] = {0};
    for (int64_t j = 0; j < s->keys; j++) {
        real *line = s->scores + j * STRIP;
        for (int l = 0; l < STRIP; l++)
            line[l] = SW_K(sw_k_exp)(line[l] - s->max[l]);
        for (int l = 0; l < STRIP; l++)
            sum[l] += line[l];
    }
    for (int l = 0; l < STRIP; l++)
        s->inverse[l] = sum[l] == 0 ? 0 : 1 / sum[l];
}

/* ---- Dropout ---- */

/* Philox4x32-10 (random.c) for 4 keys, from j on, of GROUP queries, from first + group·GROUP on. */
static void SW_K(attention_random)(const SW_K(attention_strip) * s, int64_t j, int group, uint32_t bits[4][GROUP]) {
    const sw_attention_problem *p = s->problem;
    const int64_t row = s->item->sample, per = p->rows_per_sample, number = row / per,
                  sample = p->ids ? p->ids[number] : number;
    /* Each head of each row of the sample has a key: the steps of SplitMix64 from random_key. */
    uint64_t key = p->random_key + 0x9E3779B97F4A7C15u * (uint64_t)(row % per * p->heads + s->item->head + 1);
    key = (key ^ key >> 30) * 0xBF58476D1CE4E5B9u;
    key = (key ^ key >> 27) * 0x94D049BB133111EBu;
    key ^= key >> 31;
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int l = 0; l < GROUP; l++) {
        bits[0][l] = (uint32_t)(j / 4 * GROUP + l);
        bits[1][l] = (uint32_t)sample;
        bits[2][l] = (uint32_t)((uint64_t)sample >> 32);
        bits[3][l] = (uint32_t)(2 + s->first / GROUP + group); /* sw_rng has 0 here, dropout 1 */
    }
    for (int round = 0; round < 10; round++) {
        for (int l = 0; l < GROUP; l++) {
            const uint64_t p0 = (uint64_t)0xD2511F53u * bits[0][l], p1 = (uint64_t)0xCD9E8D57u * bits[2][l];
            const uint32_t n0 = (uint32_t)(p1 >> 32) ^ bits[1][l] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ bits[3][l] ^ k1;
            bits[1][l] = (uint32_t)p1;
            bits[3][l] = (uint32_t)p0;
            bits[0][l] = n0;
            bits[2][l] = n2;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

static uint32_t SW_K(attention_threshold)(const sw_attention_problem *p) {
    return (uint32_t)(p->dropout * 4294967296.0);
}

/* The probabilities of the forward pass, where dropped ones are 0. */
static void SW_K(attention_drop)(const SW_K(attention_strip) * s) {
    const uint32_t threshold = SW_K(attention_threshold)(s->problem);
    const real scale = (real)(1 / (1 - s->problem->dropout));
    uint32_t bits[4][GROUP];
    for (int64_t j = 0; j < s->keys; j += 4)
        for (int g = 0; g < STRIP / GROUP; g++) {
            SW_K(attention_random)(s, j, g, bits);
            for (int64_t i = 0; i < 4 && j + i < s->keys; i++) {
                real *line = s->scores + (j + i) * STRIP + g * GROUP;
                for (int l = 0; l < GROUP; l++)
                    line[l] = bits[i][l] < threshold ? 0 : line[l] * scale;
            }
        }
}

/* Backward: the slopes of dropped probabilities become 0, those of others are scaled. Dropped probabilities are made
 * negative, so that attention_slopes finds them. */
static void SW_K(attention_drop_slopes)(const SW_K(attention_strip) * s, real *slopes) {
    const uint32_t threshold = SW_K(attention_threshold)(s->problem);
    const real scale = (real)(1 / (1 - s->problem->dropout));
    uint32_t bits[4][GROUP];
    for (int64_t j = 0; j < s->keys; j += 4)
        for (int g = 0; g < STRIP / GROUP; g++) {
            SW_K(attention_random)(s, j, g, bits);
            for (int64_t i = 0; i < 4 && j + i < s->keys; i++) {
                const int64_t at = (j + i) * STRIP + g * GROUP;
                for (int l = 0; l < GROUP; l++) {
                    const bool drops = bits[i][l] < threshold;
                    slopes[at + l] = drops ? 0 : slopes[at + l] * scale;
                    s->scores[at + l] = drops ? -s->scores[at + l] : s->scores[at + l];
                }
            }
        }
}

/* ---- Forward ---- */

/* The product of the probabilities and the values, times 1/Σ, in the lines of `result`. */
static void SW_K(attention_average)(const SW_K(attention_strip) * s, const real *values, int64_t line, real *result) {
    const sw_attention_problem *p = s->problem;
    const swi_attention_product product = {.a = s->scores,
                                           .b = values,
                                           .b_row = line,
                                           .c = result,
                                           .c_row = line,
                                           .rows = s->count,
                                           .columns = line,
                                           .terms = s->keys,
                                           .first_term = -ATTENTION_EVERY,
                                           .last_term = p->causal ? s->first + p->first_position + 1 : ATTENTION_EVERY,
                                           .turned = true};
    SW_K(attention_multiply)(&product);
    for (int64_t l = 0; l < s->count; l++)
        for (int64_t c = 0; c < line; c++)
            result[l * line + c] *= s->inverse[l];
}

static void SW_K(attention_save)(const SW_K(attention_strip) * s) {
    const sw_attention_problem *p = s->problem;
    if (!s->item->saved)
        return;
    real *max = (real *)s->item->saved + (s->item->sample * p->heads + s->item->head) * p->queries + s->first,
         *inverse = max + p->batch * p->heads * p->queries;
    memcpy(max, s->max, (size_t)s->count * sizeof(real));
    memcpy(inverse, s->inverse, (size_t)s->count * sizeof(real));
}

/* The keys and values that one of the item's queries sees; their number. */
static int64_t SW_K(attention_load_keys)(const swi_attention_item *item, const swi_attention_layout *layout,
                                         real *scratch) {
    const sw_attention_problem *p = item->problem;
    const int64_t keys = SW_K(attention_strip_at)(item, item->end - 1, NULL).keys;
    swi_attention_load(p->type, keys, p->features,
                       swi_attention_at(item->k, p->type, item->sample * p->keys * p->k_row + item->head * p->features),
                       p->k_row, scratch + layout->keys, layout->k_line);
    swi_attention_load(p->type, keys, p->values,
                       swi_attention_at(item->v, p->type, item->sample * p->keys * p->v_row + item->head * p->values),
                       p->v_row, scratch + layout->values, layout->v_line);
    return keys;
}

/* The queries of a strip, as lines and, times scale, as columns. */
static void SW_K(attention_load_queries)(const SW_K(attention_strip) * s, const swi_attention_layout *layout,
                                         real *scratch) {
    const sw_attention_problem *p = s->problem;
    const int64_t at = (s->item->sample * p->queries + s->first) * p->q_row + s->item->head * p->features;
    swi_attention_load(p->type, s->count, p->features, swi_attention_at(s->item->q, p->type, at), p->q_row,
                       scratch + layout->query, layout->k_line);
    SW_K(attention_turn)
    (s->count, p->features, scratch + layout->query, layout->k_line, (real)p->scale, scratch + layout->query_columns);
}

static void SW_K(attention_forward_item)(const swi_attention_item *item) {
    const sw_attention_problem *p = item->problem;
    const swi_attention_layout layout = swi_attention_layout_of(p, false);
    real *scratch = item->scratch;
    SW_K(attention_load_keys)(item, &layout, scratch);
    for (int64_t i = item->begin; i < item->end; i++) {
        SW_K(attention_strip) s = SW_K(attention_strip_at)(item, i, scratch + layout.scores);
        SW_K(attention_load_queries)(&s, &layout, scratch);
        SW_K(attention_scores)(&s, scratch + layout.keys, layout.k_line, scratch + layout.query_columns);
        SW_K(attention_mask)(&s);
        SW_K(attention_softmax)(&s);
        SW_K(attention_save)(&s);
        if (p->dropout > 0)
            SW_K(attention_drop)(&s);
        SW_K(attention_average)(&s, scratch + layout.values, layout.v_line, scratch + layout.result);
        const int64_t at = (item->sample * p->queries + s.first) * p->out_row + item->head * p->values;
        swi_attention_store(p->type, s.count, p->values, scratch + layout.result, layout.v_line,
                            (char *)item->out + at * (int64_t)sw_dtype_size(p->type), p->out_row);
    }
}

static void SW_K(attention_forward)(void *args, int64_t begin, int64_t end, double *sums) {
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        SW_K(attention_forward_item)((const swi_attention_item *)args + i);
}

/* ---- Backward ---- */

/* The probabilities, from the scores and what the forward pass has saved. */
static void SW_K(attention_restore)(SW_K(attention_strip) * s) {
    const sw_attention_problem *p = s->problem;
    const real *max =
                   (const real *)s->item->saved + (s->item->sample * p->heads + s->item->head) * p->queries + s->first,
               *inverse = max + p->batch * p->heads * p->queries;
    for (int l = 0; l < STRIP; l++) {
        s->max[l] = l < s->count ? max[l] : 0;
        s->inverse[l] = l < s->count ? inverse[l] : 0;
    }
    for (int64_t j = 0; j < s->keys; j++) {
        real *line = s->scores + j * STRIP;
        for (int l = 0; l < STRIP; l++)
            line[l] = SW_K(sw_k_exp)(line[l] - s->max[l]) * s->inverse[l];
    }
}

/* The gradient by the scores, p (dp - Σ p dp), in place of dp in slopes; times scale, unless it is written to dmask
 * first. With dropout, the probabilities become those of the forward pass. */
static void SW_K(attention_slopes)(const SW_K(attention_strip) * s, real *slopes) {
    const sw_attention_problem *p = s->problem;
    const real scale = (real)(1 / (1 - p->dropout));
    real total[STRIP] = {0};
    for (int64_t j = 0; j < s->keys; j++)
        for (int l = 0; l < STRIP; l++)
            total[l] += SW_R(fabs)(s->scores[j * STRIP + l]) * slopes[j * STRIP + l];
    for (int64_t j = 0; j < s->keys; j++) {
        real *line = slopes + j * STRIP, *probability = s->scores + j * STRIP;
        for (int l = 0; l < STRIP; l++)
            line[l] = SW_R(fabs)(probability[l]) * (line[l] - total[l]);
        for (int l = 0; l < STRIP && p->dropout > 0; l++)
            probability[l] = probability[l] < 0 ? 0 : probability[l] * scale;
    }
}

/* Writes the gradient by the mask. */
static void SW_K(attention_store_slopes)(const SW_K(attention_strip) * s, const real *slopes) {
    const sw_attention_problem *p = s->problem;
    for (int64_t l = 0; l < s->count; l++) {
        real *to = (real *)s->item->gradient.dmask +
                   ((s->item->sample * p->heads + s->item->head) * p->queries + s->first + l) * p->keys;
        for (int64_t j = 0; j < p->keys; j++)
            to[j] = j < s->keys ? slopes[j * STRIP + l] : 0;
    }
}

/* [keys, line] += (scores or slopes) · rows of queries: the gradients of the values and of the keys. */
static void SW_K(attention_add_keys)(const SW_K(attention_strip) * s, const real *strip, const real *rows, int64_t line,
                                     real *to) {
    const sw_attention_problem *p = s->problem;
    const swi_attention_product product = {.a = strip,
                                           .a_row = STRIP,
                                           .b = rows,
                                           .b_row = line,
                                           .c = to,
                                           .c_row = line,
                                           .rows = s->keys,
                                           .columns = line,
                                           .terms = s->count,
                                           .first_term = p->causal ? -s->first - p->first_position : -ATTENTION_EVERY,
                                           .last_term = ATTENTION_EVERY,
                                           .add = true};
    SW_K(attention_multiply)(&product);
}

/* The gradient by the queries of a strip. */
static void SW_K(attention_query_gradient)(const SW_K(attention_strip) * s, const real *slopes, const real *keys,
                                           int64_t line, real *result) {
    const sw_attention_problem *p = s->problem;
    const swi_attention_product product = {.a = slopes,
                                           .b = keys,
                                           .b_row = line,
                                           .c = result,
                                           .c_row = line,
                                           .rows = s->count,
                                           .columns = line,
                                           .terms = s->keys,
                                           .first_term = -ATTENTION_EVERY,
                                           .last_term = p->causal ? s->first + p->first_position + 1 : ATTENTION_EVERY,
                                           .turned = true};
    SW_K(attention_multiply)(&product);
    const int64_t at = (s->item->sample * p->queries + s->first) * p->q_row + s->item->head * p->features;
    swi_attention_store(p->type, s->count, p->features, result, line,
                        (char *)s->item->gradient.dq + at * (int64_t)sw_dtype_size(p->type), p->q_row);
}

/* The gradients by the scores of a strip, in `slopes`, and the gradients that follow from them. */
static void SW_K(attention_backward_strip)(SW_K(attention_strip) * s, const swi_attention_layout *layout,
                                           real *scratch) {
    const sw_attention_problem *p = s->problem;
    const sw_attention_gradients *g = &s->item->gradient;
    const int64_t at = (s->item->sample * p->queries + s->first) * p->heads * p->values + s->item->head * p->values;
    real *slopes = scratch + layout->slopes, *cotangent = scratch + layout->cotangent;
    swi_attention_load(p->type, s->count, p->values, swi_attention_at(s->item->dout, p->type, at), p->heads * p->values,
                       cotangent, layout->v_line);
    if (g->dq || g->dk || g->dmask) {
        real *columns = scratch + layout->cotangent_columns;
        SW_K(attention_turn)(s->count, p->values, cotangent, layout->v_line, 1, columns);
        const swi_attention_product product = {.a = scratch + layout->values,
                                               .a_row = layout->v_line,
                                               .b = columns,
                                               .b_row = STRIP,
                                               .c = slopes,
                                               .c_row = STRIP,
                                               .rows = s->keys,
                                               .columns = s->columns,
                                               .terms = p->values,
                                               .first_term = -ATTENTION_EVERY,
                                               .last_term = ATTENTION_EVERY};
        SW_K(attention_multiply)(&product);
    }
    if (p->dropout > 0)
        SW_K(attention_drop_slopes)(s, slopes);
    SW_K(attention_slopes)(s, slopes);
    if (g->dv)
        SW_K(attention_add_keys)(s, s->scores, cotangent, layout->v_line, scratch + layout->value_gradient);
    if (g->dmask)
        SW_K(attention_store_slopes)(s, slopes);
    for (int64_t i = 0; i < s->keys * STRIP; i++)
        slopes[i] *= (real)p->scale;
    if (g->dk)
        SW_K(attention_add_keys)
    (s, slopes, scratch + layout->query, layout->k_line, scratch + layout->key_gradient);
    if (g->dq)
        SW_K(attention_query_gradient)
    (s, slopes, scratch + layout->keys, layout->k_line, scratch + layout->result);
}

static void SW_K(attention_backward_item)(const swi_attention_item *item) {
    const sw_attention_problem *p = item->problem;
    const swi_attention_layout layout = swi_attention_layout_of(p, true);
    const int64_t size = (int64_t)sw_dtype_size(p->type);
    real *scratch = item->scratch, *dk = scratch + layout.key_gradient, *dv = scratch + layout.value_gradient;
    if (p->queries > 0)
        SW_K(attention_load_keys)(item, &layout, scratch);
    memset(dk, 0, (size_t)(p->keys * layout.k_line) * sizeof(real));
    memset(dv, 0, (size_t)(p->keys * layout.v_line) * sizeof(real));
    for (int64_t i = item->begin; i < item->end; i++) {
        SW_K(attention_strip) s = SW_K(attention_strip_at)(item, i, scratch + layout.scores);
        SW_K(attention_load_queries)(&s, &layout, scratch);
        SW_K(attention_scores)(&s, scratch + layout.keys, layout.k_line, scratch + layout.query_columns);
        SW_K(attention_mask)(&s);
        SW_K(attention_restore)(&s);
        SW_K(attention_backward_strip)(&s, &layout, scratch);
    }
    if (item->gradient.dk)
        swi_attention_store(p->type, p->keys, p->features, dk, layout.k_line,
                            (char *)item->gradient.dk +
                                (item->sample * p->keys * p->k_row + item->head * p->features) * size,
                            p->k_row);
    if (item->gradient.dv)
        swi_attention_store(
            p->type, p->keys, p->values, dv, layout.v_line,
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
