/* Compares an iteration of Newton-Schulz with the three plain products in f32 that its formula has: XXᵀ, A² and PX. The
 * two alternate in one run, on one thread; figures are medians of ratios. Products in bf16 have a target only if the
 * processor has instructions for them. */
#include "bench.h"

#include <string.h>
#include <swale/extend.h>
#include <swale/library.h>
#include <swale/newton_schulz.h>

enum { ROUNDS = 11, ITERATIONS = 5 };

typedef struct matrices {
    int64_t n, m; /* X is [n, m] with n ≤ m */
    float *X, *result, *A, *P;
    void *work;
} matrices;

static void *memory(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!p)
        exit(1);
    memset(p, 0, bytes);
    return p;
}

static matrices matrices_new(int64_t n, int64_t m) {
    const size_t x = (size_t)(n * m) * sizeof(float), a = (size_t)(n * n) * sizeof(float);
    matrices s = {n, m, memory(x), memory(x), memory(a), memory(a), NULL};
    unsigned seed = 1;
    for (int64_t i = 0; i < n * m; i++) {
        seed = seed * 1664525u + 1013904223u;
        s.X[i] = (float)(seed >> 8) / (float)(1 << 23) - 1;
    }
    s.work = memory(sw_newton_schulz_work(SW_F32, n, m, NULL));
    return s;
}

static void matrices_free(matrices *s) {
    free(s->X), free(s->result), free(s->A), free(s->P), free(s->work);
}

/* Seconds of an iteration. */
static double iteration_time(const matrices *s, sw_dtype products) {
    const sw_newton_schulz_options how = {.size = sizeof how, .iterations = ITERATIONS, .products = products};
    const double start = now();
    sw_newton_schulz(SW_F32, s->n, s->m, s->X, &how, s->result, s->work);
    return (now() - start) / ITERATIONS;
}

/* Seconds of the three products. */
static double products_time(const matrices *s) {
    const double start = now();
    sw_gemm(SW_F32, false, true, s->n, s->n, s->m, 1, s->X, s->m, s->X, s->m, 0, s->A, s->n);
    sw_gemm(SW_F32, false, false, s->n, s->n, s->n, 1, s->A, s->n, s->A, s->n, 0, s->P, s->n);
    sw_gemm(SW_F32, false, false, s->n, s->m, s->n, 1, s->P, s->n, s->X, s->m, 0, s->result, s->m);
    return now() - start;
}

static void iterations(const char *name, int64_t n, int64_t m, sw_dtype products, double target) {
    matrices s = matrices_new(n, m);
    double ratio[ROUNDS], iteration[ROUNDS], plain[ROUNDS];
    iteration_time(&s, products), products_time(&s);
    for (int r = 0; r < ROUNDS; r++) {
        iteration[r] = iteration_time(&s, products);
        plain[r] = products_time(&s);
        ratio[r] = iteration[r] / plain[r];
    }
    note("%s: %.2f ms an iteration, three products %.2f ms", name, median(iteration, ROUNDS) * 1e3,
         median(plain, ROUNDS) * 1e3);
    if (target > 0)
        figure(name, median(ratio, ROUNDS), target, AT_MOST);
    else
        report(name, median(ratio, ROUNDS));
    matrices_free(&s);
}

int main(void) {
    note("%s", sw_build_info());
    sw_set_threads(1);
    const bool bf16 = strcmp(sw_cpu_name(), "avx512bf16") == 0 || strcmp(sw_cpu_name(), "amx") == 0;
    iterations("muon_f32_1024x1024", 1024, 1024, SW_F32, 0.75);
    iterations("muon_bf16_1024x1024", 1024, 1024, SW_BF16, bf16 ? 0.42 : 0);
    iterations("muon_f32_1024x4096", 1024, 4096, SW_F32, 0);
    iterations("muon_bf16_1024x4096", 1024, 4096, SW_BF16, 0);
    iterations("muon_f32_256x256", 256, 256, SW_F32, 0);
    iterations("muon_bf16_256x256", 256, 256, SW_BF16, 0);
    if (sw_error())
        fprintf(stderr, "%s\n", sw_error());
    return sw_error() != NULL;
}
