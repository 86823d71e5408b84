/* Attention: the rates of the forward pass and of both passes, relative to sw_gemm in f32 for a product of 1024 × 1024
 * × 1024, with one and with two threads. With a causal mask half of the scores count as operations. The time includes
 * the softmax and the copies to scratch, so that the rate of sw_gemm is a floor that no attention reaches. Both sides
 * alternate in one run; figures are medians of ratios.
 *
 *     bench_attention [THREADS] */
#include "bench.h"

#include <math.h>
#include <swale/attention_kernels.h>
#include <swale/extend.h>
#include <swale/library.h>

enum { ROUNDS = 11, PRODUCT = 1024 };
static const double enough_work = 2e8; /* operations in one measurement */

typedef struct shape {
    const char *name;
    int64_t batch, heads, length, features; /* features of a head */
    bool causal;
    sw_dtype type;
    double least; /* the target of both passes: their rate, relative to sw_gemm */
} shape;
static const shape shapes[] = {{"gpt_64", 12, 4, 64, 32, true, SW_F32, 0.35},
                               {"gpt_64_bf16", 12, 4, 64, 32, true, SW_BF16, 0.3},
                               {"long_1024_causal", 1, 12, 1024, 64, true, SW_F32, 0.6},
                               {"long_1024", 1, 12, 1024, 64, false, SW_F32, 0.6},
                               {"long_1024_bf16", 1, 12, 1024, 64, true, SW_BF16, 0.6},
                               {"short_4", 512, 4, 4, 32, false, SW_F32, 0.03}};

typedef struct arrays {
    sw_attention_problem problem;
    void *qkv, *dqkv, *out, *dout, *saved, *scratch[2];
    size_t bytes[2];
} arrays;

static void *filled(sw_dtype type, int64_t count) {
    const size_t bytes = (size_t)count * sw_dtype_size(type);
    void *p = aligned_alloc(64, (bytes + 64) / 64 * 64);
    if (!p)
        exit(1);
    for (int64_t i = 0; i < count; i++) {
        const float x = (float)(i * 7919 % 1999) / 1999 - 0.5f;
        sw_vector_convert(SW_F32, 1, &x, type, (char *)p + (size_t)i * sw_dtype_size(type));
    }
    return p;
}

static arrays arrays_new(const shape *s) {
    const int64_t width = s->heads * s->features, rows = s->batch * s->length;
    arrays a = {.problem = {.size = sizeof(sw_attention_problem),
                            .type = s->type,
                            .batch = s->batch,
                            .heads = s->heads,
                            .queries = s->length,
                            .keys = s->length,
                            .features = s->features,
                            .values = s->features,
                            .q_row = 3 * width,
                            .k_row = 3 * width,
                            .v_row = 3 * width,
                            .out_row = width,
                            .scale = 1 / sqrt((double)s->features),
                            .causal = s->causal,
                            .rows_per_sample = 1},
                .qkv = filled(s->type, rows * 3 * width),
                .dqkv = filled(s->type, rows * 3 * width),
                .out = filled(s->type, rows * width),
                .dout = filled(s->type, rows * width)};
    a.saved = filled(SW_F32, (int64_t)(sw_attention_saved_bytes(&a.problem) / sizeof(float)));
    a.bytes[0] = sw_attention_forward_scratch(&a.problem);
    a.bytes[1] = sw_attention_backward_scratch(&a.problem);
    for (int i = 0; i < 2; i++)
        a.scratch[i] = filled(SW_F32, (int64_t)(a.bytes[i] / sizeof(float)));
    return a;
}

static void arrays_free(arrays *a) {
    free(a->qkv), free(a->dqkv), free(a->out), free(a->dout), free(a->saved), free(a->scratch[0]), free(a->scratch[1]);
}

static void run_once(const arrays *a, bool both) {
    const sw_attention_problem *p = &a->problem;
    const size_t width = (size_t)p->out_row * sw_dtype_size(p->type);
    const char *q = a->qkv;
    char *dq = a->dqkv;
    const sw_attention_gradients g = {.size = sizeof g, .dq = dq, .dk = dq + width, .dv = dq + 2 * width};
    if (sw_attention_forward(p, q, q + width, q + 2 * width, a->out, a->saved, a->scratch[0], a->bytes[0]) != SW_OK)
        exit(1);
    if (both && sw_attention_backward(p, q, q + width, q + 2 * width, a->saved, a->dout, &g, a->scratch[1],
                                      a->bytes[1]) != SW_OK)
        exit(1);
}

/* Two products forward, and five backward, in which the scores are computed again. */
static double operations(const arrays *a, bool both) {
    const sw_attention_problem *p = &a->problem;
    const double product = 2.0 * (double)(p->batch * p->heads * p->queries) * (double)(p->keys * p->features);
    return product * (both ? 7 : 2) * (p->causal ? 0.5 : 1);
}

/* Operations a second. */
static double attention_rate(const arrays *a, bool both) {
    const int repetitions = 1 + (int)(enough_work / operations(a, both));
    const double start = now();
    for (int r = 0; r < repetitions; r++)
        run_once(a, both);
    return operations(a, both) * repetitions / (now() - start);
}

static double product_rate(float *const m[3]) {
    const double start = now();
    if (sw_gemm(SW_F32, false, true, PRODUCT, PRODUCT, PRODUCT, 1, m[0], PRODUCT, m[1], PRODUCT, 0, m[2], PRODUCT) !=
        SW_OK)
        exit(1);
    return 2.0 * PRODUCT * PRODUCT * PRODUCT / (now() - start);
}

static void measure(const shape *s, int threads, float *const m[3]) {
    arrays a = arrays_new(s);
    for (int both = 0; both < 2; both++) {
        double rate[ROUNDS], ratio[ROUNDS];
        char name[64];
        run_once(&a, true);
        for (int i = 0; i < ROUNDS; i++) {
            rate[i] = attention_rate(&a, both);
            ratio[i] = rate[i] / product_rate(m);
        }
        snprintf(name, sizeof name, "attention_%s_%s_%d", s->name, both ? "both" : "forward", threads);
        note("%s: %.0f GF/s, %.3f ms", name, median(rate, ROUNDS) * 1e-9,
             operations(&a, both) / median(rate, ROUNDS) * 1e3);
        if (both && threads == 1)
            figure(name, median(ratio, ROUNDS), s->least, AT_LEAST);
        else
            report(name, median(ratio, ROUNDS));
    }
    arrays_free(&a);
}

int main(int argc, char **argv) {
    float *const m[3] = {filled(SW_F32, PRODUCT * PRODUCT), filled(SW_F32, PRODUCT * PRODUCT),
                         filled(SW_F32, PRODUCT * PRODUCT)};
    const int only = argc > 1 ? atoi(argv[1]) : 0;
    for (int threads = 1; threads <= 2; threads++) {
        if (only && only != threads)
            continue;
        sw_set_threads(threads);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            measure(&shapes[i], threads, m);
    }
    free(m[0]), free(m[1]), free(m[2]);
    return 0;
}
