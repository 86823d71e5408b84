/* Compares conversions between f32 and 16-bit types with memcpy, in bytes read and written per second, and products of
 * f16 and bf16 with sw_gemm in f32 of the same shape. Both sides alternate in one run, on one thread; figures are
 * medians of ratios. Products have a target only if the kernels use the instructions for bf16 (avx512bf16 or amx). */
#include "bench.h"

#include <string.h>
#include <swale/extend.h>
#include <swale/library.h>

enum { ROUNDS = 21 };

/* ---- Conversions ---- */

typedef struct vectors {
    int64_t n;
    int repetitions;
    float *wide, *wide_copy;
    uint16_t *narrow;
} vectors;

static void *memory(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!p)
        exit(1);
    memset(p, 0, bytes);
    return p;
}

static vectors vectors_new(int64_t n, int repetitions) {
    vectors v = {n, repetitions, memory((size_t)n * 4), memory((size_t)n * 4), memory((size_t)n * 2)};
    for (int64_t i = 0; i < n; i++)
        v.wide[i] = (float)(i % 1999) / 1999 - 0.5f;
    return v;
}

static void vectors_free(vectors *v) {
    free(v->wide), free(v->wide_copy), free(v->narrow);
}

/* Bytes a second. */
static double copy_speed(const vectors *v) {
    const double start = now();
    for (int r = 0; r < v->repetitions; r++)
        memcpy(v->wide_copy, v->wide, (size_t)v->n * sizeof(float));
    return 8.0 * (double)v->n * v->repetitions / (now() - start);
}

static double convert_speed(const vectors *v, sw_dtype type, bool narrow) {
    const double start = now();
    for (int r = 0; r < v->repetitions; r++)
        if (narrow)
            sw_vector_convert(SW_F32, v->n, v->wide, type, v->narrow);
        else
            sw_vector_convert(type, v->n, v->narrow, SW_F32, v->wide_copy);
    return 6.0 * (double)v->n * v->repetitions / (now() - start);
}

static void conversion(const char *name, const vectors *v, sw_dtype type, bool narrow, double target) {
    double ratio[ROUNDS], speed[ROUNDS];
    convert_speed(v, type, true);
    for (int r = 0; r < ROUNDS; r++) {
        speed[r] = convert_speed(v, type, narrow);
        ratio[r] = speed[r] / copy_speed(v);
    }
    note("%s: %.1f GB/s", name, median(speed, ROUNDS) * 1e-9);
    if (target > 0)
        figure(name, median(ratio, ROUNDS), target, AT_LEAST);
    else
        report(name, median(ratio, ROUNDS));
}

static void conversions(void) {
    vectors large = vectors_new(16 << 20, 1), cached = vectors_new(64 << 10, 64);
    conversion("f32_to_f16", &large, SW_F16, true, 0.8);
    conversion("f16_to_f32", &large, SW_F16, false, 0.8);
    conversion("f32_to_bf16", &large, SW_BF16, true, 0.8);
    conversion("bf16_to_f32", &large, SW_BF16, false, 0.8);
    conversion("f32_to_f16_in_cache", &cached, SW_F16, true, 0);
    conversion("f16_to_f32_in_cache", &cached, SW_F16, false, 0);
    conversion("f32_to_bf16_in_cache", &cached, SW_BF16, true, 0);
    conversion("bf16_to_f32_in_cache", &cached, SW_BF16, false, 0);
    vectors_free(&large);
    vectors_free(&cached);
}

/* ---- Products: x Wᵀ, as in the forward pass of a linear layer ---- */

typedef struct operands {
    int64_t M, N, K;
    float *a, *b, *c;
    uint16_t *half_a, *half_b, *half_c;
} operands;

static operands operands_new(int64_t M, int64_t N, int64_t K, sw_dtype type) {
    operands o = {M,
                  N,
                  K,
                  memory((size_t)(M * K) * 4),
                  memory((size_t)(N * K) * 4),
                  memory((size_t)(M * N) * 4),
                  memory((size_t)(M * K) * 2),
                  memory((size_t)(N * K) * 2),
                  memory((size_t)(M * N) * 2)};
    for (int64_t i = 0; i < M * K; i++)
        o.a[i] = (float)(i % 17) / 17 - 0.5f;
    for (int64_t i = 0; i < N * K; i++)
        o.b[i] = (float)(i % 19) / 19 - 0.5f;
    sw_vector_convert(SW_F32, M * K, o.a, type, o.half_a);
    sw_vector_convert(SW_F32, N * K, o.b, type, o.half_b);
    return o;
}

static void operands_free(operands *o) {
    free(o->a), free(o->b), free(o->c), free(o->half_a), free(o->half_b), free(o->half_c);
}

/* Seconds of `count` products. */
static double wide_time(const operands *o, int count) {
    const double start = now();
    for (int i = 0; i < count; i++)
        sw_gemm(SW_F32, false, true, o->M, o->N, o->K, 1, o->a, o->K, o->b, o->K, 0, o->c, o->N);
    return now() - start;
}

static double half_time(const operands *o, sw_dtype type, int count) {
    const sw_product p = {.size = sizeof p,
                          .a_type = type,
                          .b_type = type,
                          .c_type = type,
                          .b_transposed = true,
                          .M = o->M,
                          .N = o->N,
                          .K = o->K,
                          .alpha = 1,
                          .A = o->half_a,
                          .B = o->half_b,
                          .C = o->half_c,
                          .lda = o->K,
                          .ldb = o->K,
                          .ldc = o->N};
    const double start = now();
    for (int i = 0; i < count; i++)
        sw_product_run(&p);
    return now() - start;
}

/* Whether products of bf16 are faster than those of f32 on this processor. */
static bool bf16_is_fast(void) {
    return strcmp(sw_cpu_name(), "avx512bf16") == 0 || strcmp(sw_cpu_name(), "amx") == 0;
}

static void product(const char *name, sw_dtype type, int64_t M, int64_t N, int64_t K, double target) {
    operands o = operands_new(M, N, K, type);
    const int count = (int)(1e8 / ((double)M * (double)N * (double)K)) + 1;
    double ratio[ROUNDS], half[ROUNDS], wide[ROUNDS];
    wide_time(&o, count), half_time(&o, type, count);
    for (int r = 0; r < ROUNDS; r++) {
        wide[r] = wide_time(&o, count) / count;
        half[r] = half_time(&o, type, count) / count;
        ratio[r] = wide[r] / half[r];
    }
    note("%s: %.1f us, sw_gemm in f32 %.1f us", name, median(half, ROUNDS) * 1e6, median(wide, ROUNDS) * 1e6);
    if (target > 0 && bf16_is_fast())
        figure(name, median(ratio, ROUNDS), target, AT_LEAST);
    else
        report(name, median(ratio, ROUNDS));
    operands_free(&o);
}

int main(void) {
    note("%s", sw_build_info());
    sw_set_threads(1);
    conversions();
    product("bf16_64x100x784", SW_BF16, 64, 100, 784, 1.45);
    product("bf16_256x1024x784", SW_BF16, 256, 1024, 784, 1.9);
    product("bf16_1024x1024x1024", SW_BF16, 1024, 1024, 1024, 1.9);
    product("f16_64x100x784", SW_F16, 64, 100, 784, 0);
    product("f16_256x1024x784", SW_F16, 256, 1024, 784, 0);
    product("f16_1024x1024x1024", SW_F16, 1024, 1024, 1024, 0);
    if (sw_error())
        fprintf(stderr, "%s\n", sw_error());
    return sw_error() != NULL;
}
