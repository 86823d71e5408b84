/* Attention. Features are the last axis, and the heads are equal parts of it, so that nothing is transposed:
 *
 *     sw_tensor y = sw_attention(q, k, v, &SW_OPTIONS(sw_attention_options, .heads = 4, .causal = true));
 *
 * computes, for each sample b and head h, with query i, key j, and the features c of the head,
 *
 *     score[i,j] = scale Σ_c q[b,i,h,c] k[b,j,h,c] + mask[b,h,i,j]
 *     y[b,i,h,c] = Σ_j softmax_j(score)[i,j] v[b,j,h,c]
 *
 * (A. Vaswani et al., Attention is all you need, NeurIPS 2017). The definitions are those of PyTorch's
 * scaled_dot_product_attention. The matrix of scores is not stored, neither forward nor backward.
 *
 * The conventions of ops.h apply to types and null tensors. f16 and bf16 are computed in f32, and results and gradients
 * are rounded once. The results have the same bits for every number of threads, and on the levels avx2 and avx512 of
 * sw_cpu_name; they differ in the last digits at level baseline, which has no fused multiply-add.
 *
 * A query that sees no key, because all are masked, has the result 0, and passes no gradient (as in PyTorch since 2.5).
 * Keys that no query of a causal attention sees are not read. A NaN or an infinity in v of a masked key can make the
 * result NaN, because a probability of 0 is multiplied by it. */
#ifndef SWALE_ATTENTION_H
#define SWALE_ATTENTION_H

#include <swale/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sw_attention_options {
    size_t size;  /* sizeof(sw_attention_options) */
    int heads;    /* must divide the features; 0: 1 */
    double scale; /* finite; 0: 1/√(features of a head) */
    bool causal;  /* query i sees the keys 0 to first_position + i alone */
    /* The position of query 0 among the keys: with a cache that holds n earlier keys, n. It needs causal. The default,
     * 0, is PyTorch's is_causal. */
    int64_t first_position;
    /* The probability that an element of the softmax is set to 0 (the others are divided by 1 - dropout) while SW_TRAIN
     * is on; 0 ≤ dropout < 1. Which elements these are depends on the seed, the draw, `site` (as in sw_dropout), the id
     * of the sample, and the numbers of the head, the query and the key; not on the lengths or the rest of the batch.
     */
    double dropout;
    uint64_t site;
    /* The null tensor, or a tensor that broadcasts to [batch, heads, queries, keys]. u8: a key with 0 is not seen by
     * the query. Floating-point: it is added to the scores, and has a gradient, for which the operation needs memory
     * for all scores. */
    sw_tensor mask;
    /* The null tensor, or u8 [batch, keys]: a key with a number other than 0 is padding, and no query sees it (as in
     * key_padding_mask of PyTorch's MultiheadAttention). */
    sw_tensor key_padding;
} sw_attention_options;

/* q [batch, queries, heads·d], k [batch, keys, heads·d], v [batch, keys, heads·e] → [batch, queries, heads·e]. options
 * NULL: the defaults. */
SW_API sw_tensor sw_attention(sw_tensor q, sw_tensor k, sw_tensor v, const sw_attention_options *options);
/* The same with q, k and v side by side: qkv [batch, length, 3·heads·d] has the queries of all heads first, then the
 * keys, then the values, as the result of in_proj of PyTorch's MultiheadAttention and of c_attn of GPT-2. → [batch,
 * length, heads·d]. The gradient is written to one array. */
SW_API sw_tensor sw_attention_packed(sw_tensor qkv, const sw_attention_options *options);

/* ---- Linear attention ---- */

/* What is applied to the queries and the keys. */
typedef enum sw_feature_map {
    SW_MAP_IDENTITY, /* nothing */
    SW_MAP_ELU       /* elu(x) + 1, which is positive */
} sw_feature_map;

/* What the result of a linear attention holds. */
typedef enum sw_linear_result {
    SW_LINEAR_OUTPUTS, /* y, in the shape of sw_attention */
    /* The state after the keys: Σ_j φ(k[j]) v[j]ᵀ of each head, and if normalized, in a further column, Σ_j φ(k[j]);
     * plus the state of the options. It does not depend on the queries, causal and scale. */
    SW_LINEAR_STATE
} sw_linear_result;

typedef struct sw_linear_attention_options {
    size_t size;     /* sizeof(sw_linear_attention_options) */
    int heads;       /* must divide the features; 0: 1 */
    double scale;    /* a finite factor of the result, for example 1 / keys; 0: 1 */
    bool causal;     /* query i sees the keys 0 to i alone */
    bool normalized; /* divides each result by the sum of its weights; needs SW_MAP_ELU, and no scale */
    sw_feature_map map;
    sw_tensor key_padding; /* as in sw_attention_options */
    /* The null tensor, or the state after earlier keys, which every query sees besides those of this call, so that a
     * sequence is computed in parts: [batch, heads, d, e], or [batch, heads, d, e + 1] if normalized; f64 if the inputs
     * are, else f32. */
    sw_tensor state;
    sw_linear_result result;
} sw_linear_attention_options;

/* Attention without softmax, with a feature map φ: for each sample and head, and the shapes of sw_attention,
 *
 *     y[i] = scale Σ_j (φ(q[i])·φ(k[j])) v[j],      divided by Σ_j φ(q[i])·φ(k[j]) if normalized
 *
 * over the keys that query i sees. With the identity it is the linear attention of the studies of in-context regression
 * (K. Ahn et al., Linear attention is (maybe) all you need, ICLR 2024), with elu + 1 and `normalized` that of A.
 * Katharopoulos et al., Transformers are RNNs, ICML 2020. A query that sees no key has the result 0. Without `causal`
 * the function computes Σ_j φ(k[j]) v[j]ᵀ first, so that time and memory grow with the number of positions, not with
 * its square. With `causal` it computes this sum after every 64 positions, and weights only for pairs of positions
 * within such a part. options NULL: the defaults. */
SW_API sw_tensor sw_linear_attention(sw_tensor q, sw_tensor k, sw_tensor v, const sw_linear_attention_options *options);

/* ---- Rotary positions ---- */

typedef struct sw_rotary_options {
    size_t size;            /* sizeof(sw_rotary_options) */
    int heads;              /* must divide the features, into an even number of features each; 0: 1 */
    double base;            /* ≥ 1; 0: 10000 */
    int64_t first_position; /* the position of element 0 of axis 1; the last position must be at most 1000000 */
    /* The pairs are the features 2c and 2c + 1 of a head, as in the paper; else c and c + d/2, as in most programs. */
    bool interleaved;
} sw_rotary_options;

/* Rotary position embedding (J. Su et al., RoFormer, 2021): x [batch, length, heads·d] → the same shape. Pair c of the
 * features of each head at position p is rotated by the angle a = p base^(-2c/d): (x, y) → (x cos a - y sin a, x sin a
 * + y cos a). The products of rotated queries and keys depend on the distances of their positions alone. The angles are
 * computed in f64. options NULL: the defaults. */
SW_API sw_tensor sw_rotary(sw_tensor x, const sw_rotary_options *options);

#ifdef __cplusplus
}
#endif
#endif
