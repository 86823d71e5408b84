/* A product of storage types in plain C, with the order of additions and the roundings that gemm.h defines. It shares
 * no code with the kernels: the fused multiply-add is that of libm, and numbers that the processor would flush to 0 are
 * set to 0 here. */
#ifndef TEST_PRODUCT_REFERENCE_H
#define TEST_PRODUCT_REFERENCE_H

#include "support.h"

#include <swale/extend.h>

static inline float reference_load(sw_dtype type, const void *data, int64_t i) {
    if (type == SW_F32)
        return ((const float *)data)[i];
    const uint16_t bits = ((const uint16_t *)data)[i];
    return type == SW_F16 ? sw_f16_to_f32(bits) : sw_bf16_to_f32(bits);
}

/* The result of a processor that replaces subnormal results by 0. `exact` is the result before it is rounded to f32,
 * with at least 50 binary digits: it is subnormal if, rounded to 24 digits, it is below 2^-126. */
static inline float reference_flush(float rounded, double exact) {
    return fabsf((float)(exact * 0x1p64)) < 0x1p-62f ? copysignf(0, rounded) : rounded;
}

static inline float reference_flushed(float x) {
    return reference_flush(x, (double)x);
}

/* The type in which operand A or B is multiplied. */
static inline sw_dtype reference_type(const sw_product *p, sw_dtype type) {
    return type == SW_F32 ? p->rounded_to : type;
}

/* An operand, rounded if the product rounds it. */
static inline float reference_operand(const sw_product *p, sw_dtype type, const void *data, int64_t i) {
    float x = reference_load(type, data, i);
    if (type == SW_F32 && p->rounded_to != SW_F32) {
        x = reference_flushed(x);
        x = p->rounded_to == SW_F16 ? sw_f16_to_f32(sw_f16_from_f32(x)) : sw_bf16_to_f32(sw_bf16_from_f32(x));
    }
    return x;
}

/* sum + a b */
static inline float reference_term(float sum, float a, float b, bool fused) {
    if (!fused) {
        const volatile float product = a * b; /* rounded before it is added */
        return sum + product;
    }
    a = reference_flushed(a), b = reference_flushed(b);
    return reference_flush(fmaf(a, b, sum), (double)sum + (double)a * (double)b);
}

static inline float reference_a(const sw_product *p, int64_t m, int64_t k) {
    return k < p->K ? reference_operand(p, p->a_type, p->A, p->a_transposed ? k * p->lda + m : m * p->lda + k) : 0;
}

static inline float reference_b(const sw_product *p, int64_t k, int64_t n) {
    return k < p->K ? reference_operand(p, p->b_type, p->B, p->b_transposed ? n * p->ldb + k : k * p->ldb + n) : 0;
}

static inline bool reference_fused(const sw_product *p) {
    return reference_type(p, p->a_type) != SW_F32 && reference_type(p, p->b_type) != SW_F32;
}

/* Whether the product has the order SW_BF16_TILES. */
static inline bool reference_tiles(const sw_product *p) {
    const sw_bf16_order order = p->order == SW_BF16_DEFAULT ? sw_bf16_order_used() : p->order;
    return reference_type(p, p->a_type) == SW_BF16 && reference_type(p, p->b_type) == SW_BF16 && order == SW_BF16_TILES;
}

/* x + y, where a subnormal result is 0. */
static inline float reference_add(float x, float y) {
    return reference_flush(x + y, (double)x + (double)y);
}

/* 256 terms from term `from` on, of which those beyond K are 0: in the order SW_BF16_PAIRS, or of products that are
 * rounded. */
static inline float reference_part(const sw_product *p, int64_t m, int64_t n, int64_t from) {
    float part = 0;
    for (int64_t i = from; i < from + 256 && i < p->K + p->K % 2; i++) {
        const int64_t k = i ^ 1; /* the second term of a pair comes first */
        part = reference_term(part, reference_a(p, m, k), reference_b(p, k, n), reference_fused(p));
    }
    return part;
}

/* sum + the terms from `from` to `end` in the order SW_BF16_TILES */
static inline float reference_tile_terms(const sw_product *p, int64_t m, int64_t n, int64_t from, int64_t end,
                                         float sum) {
    for (; from < end && from < p->K; from += 32) {
        float chain[2] = {0, 0};
        for (int64_t k = from; k < from + 32; k++)
            chain[k % 2] = reference_term(chain[k % 2], reference_a(p, m, k), reference_b(p, k, n), true);
        sum = reference_add(sum, reference_add(chain[0], chain[1]));
    }
    return sum;
}

/* op(A)[m, k] op(B)[k, n] summed over k */
static inline float reference_sum(const sw_product *p, int64_t m, int64_t n) {
    const bool fused = reference_fused(p), tiles = reference_tiles(p);
    float sum = 0;
    double wide = 0;
    if (tiles && p->K <= 16384)
        return reference_tile_terms(p, m, n, 0, p->K, 0);
    for (int64_t from = 0; from < p->K; from += 256) {
        const float part = tiles ? reference_tile_terms(p, m, n, from, from + 256, 0) : reference_part(p, m, n, from);
        wide = from == 0 ? (double)part : wide + (double)part;
        const float more = from == 0 ? part : sum + part;
        sum = fused ? reference_flushed(more) : more;
    }
    if (p->K <= 16384)
        return sum;
    return fused ? reference_flush((float)wide, wide) : (float)wide;
}

/* The expected C[m, n]; `before` is a copy of C. */
static inline void reference_element(const sw_product *p, const void *before, int64_t m, int64_t n, void *element) {
    const float alpha = (float)p->alpha, beta = (float)p->beta;
    volatile float result = alpha * (alpha == 0 ? 0 : reference_sum(p, m, n));
    if (beta != 0) {
        const volatile float old = beta * reference_load(p->c_type, before, m * p->ldc + n);
        result = result + old;
    }
    if (p->c_type == SW_F32)
        *(float *)element = result;
    else
        *(uint16_t *)element = p->c_type == SW_F16 ? sw_f16_from_f32(result) : sw_bf16_from_f32(result);
}

static inline bool reference_is_nan(sw_dtype type, const void *element) {
    return isnan(reference_load(type, element, 0));
}

#endif
