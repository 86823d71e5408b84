/* Scaled dot-product attention of arrays, for operations that need it (attention.h has the operations on a tape).
 *
 * For each sample b and head h, with query i, key j, and the features c of the head:
 *
 *     s[i,j] = scale Σ_c q[b,i,h,c] k[b,j,h,c] + mask[b,h,i,j]       -∞ for keys that the query does not see
 *     p[i,j] = exp(s[i,j] - max_j s[i,j]) / Σ_j exp(…)               0 for a query that sees no key
 *     out[b,i,h,c] = Σ_j p[i,j] kept[b,h,i,j] v[b,j,h,c]
 *
 * The matrices s and p are not kept. A work item holds a strip of them: the scores of 32 queries with all keys. The
 * forward pass saves two numbers for each query and head, the maximum and 1/Σ, from which the gradients compute p
 * again. Queries are the lanes of the vectors, so that maximum and sum need no operations within a vector. */
#ifndef SWALE_ATTENTION_KERNELS_H
#define SWALE_ATTENTION_KERNELS_H

#include <swale/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An attention. q is [batch, queries, heads, features], k [batch, keys, heads, features], v [batch, keys, heads,
 * values], out [batch, queries, heads, values]. */
typedef struct sw_attention_problem {
    size_t size;   /* sizeof(sw_attention_problem) */
    sw_dtype type; /* of q, k, v and out, and of their gradients: f32, f64, f16 or bf16 */
    int64_t batch, heads, queries, keys, features, values;
    /* The elements from one position of an array to the next; at least heads·features or heads·values. A packed array
     * [batch, positions, 3·heads·features] has 3·heads·features for all three. Gradients have the same distances. */
    int64_t q_row, k_row, v_row, out_row;
    double scale;
    /* Query i sees the keys 0 to first_position + i alone. Other keys are not read. */
    bool causal;
    int64_t first_position;
    /* NULL, or an array whose element for (b, h, i, j) is at b·mask_step[0] + h·mask_step[1] + i·mask_step[2] +
     * j·mask_step[3]; a step may be 0. SW_U8: a key with 0 is not seen. Otherwise the compute type of `type` (f32 for
     * f16 and bf16), added to the scores. */
    const void *mask;
    sw_dtype mask_type;
    int64_t mask_step[4];
    const uint8_t *padding; /* NULL, or [batch, keys]: a key with a number other than 0 is not seen */
    /* The probability that p[i,j] is set to 0; others are divided by 1 - dropout. 0: no dropout. The random numbers
     * depend on `random_key` (sw_tape_random_key), the id of the sample, the number of the row within the sample, and
     * h, i, j alone. `ids` and `rows_per_sample` are those of sw_tape_row_samples for `batch` rows. */
    double dropout;
    uint64_t random_key;
    const int64_t *ids;
    int64_t rows_per_sample;
} sw_attention_problem;

/* Bytes of what the forward pass saves: two numbers of the compute type for each query and head. */
SW_API size_t sw_attention_saved_bytes(const sw_attention_problem *problem);

/* Computes out, and fills `saved`, which may be NULL if there will be no gradient. `scratch` has at least the bytes
 * that the _scratch function returns, and is aligned to SW_ALIGNMENT; `bytes` is its size, which depends on
 * sw_threads(). Nothing is allocated.
 *
 * The results have the same bits for every number of threads, and on the levels avx2 and avx512 of sw_cpu_name, where
 * multiplications and additions are fused. At level baseline the last digits differ.
 *
 * Errors: SW_ERR_ARGUMENT for a struct or scratch of the wrong size, SW_ERR_TYPE for another type. */
SW_API sw_status sw_attention_forward(const sw_attention_problem *problem, const void *q, const void *k, const void *v,
                                      void *out, void *saved, void *scratch, size_t bytes);
SW_API size_t sw_attention_forward_scratch(const sw_attention_problem *problem);

/* The gradients for the cotangent dout, which has the shape of out with heads·values elements from position to
 * position. Each of dq, dk, dv and dmask may be NULL. dmask is [batch, heads, queries, keys] of the compute type: the
 * gradient of the scores, which the caller sums to the shape of the mask. Errors as above. */
typedef struct sw_attention_gradients {
    size_t size; /* sizeof(sw_attention_gradients) */
    void *dq, *dk, *dv, *dmask;
} sw_attention_gradients;
SW_API sw_status sw_attention_backward(const sw_attention_problem *problem, const void *q, const void *k, const void *v,
                                       const void *saved, const void *dout, const sw_attention_gradients *gradients,
                                       void *scratch, size_t bytes);
SW_API size_t sw_attention_backward_scratch(const sw_attention_problem *problem);

#ifdef __cplusplus
}
#endif
#endif
