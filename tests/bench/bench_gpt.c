/* Compares the training step of GPT-2's network (4 layers, 4 heads, width 128, 12 sequences of 64 characters, adamw,
 * gathering included) with its matrix products alone, as calls of sw_gemm: those of the linear layers, and six of the
 * attention for each head, two forward and four backward. Also reports the step in bf16 relative to that in f32. The
 * sides alternate in one run; figures are medians of ratios.
 *
 *     bench_gpt [THREADS] */
#include "bench.h"

#include "peers/gpt_swale.h"

#include <string.h>
#include <swale/extend.h>
#include <swale/library.h>

enum { ROUNDS = 11, STEPS = 4, LAYERS = 4, HEADS = 4, WIDTH = 128, HEAD = WIDTH / HEADS, TEXT = 20000 };
enum { ROWS = GPT_BATCH * GPT_BLOCK };
static const sw_dtype types[] = {SW_F32, SW_BF16};
enum { TYPES = sizeof types / sizeof *types };

/* ---- One side: the products alone ---- */

/* y = x Wᵀ of a linear layer, with x [ROWS, inputs] and W [outputs, inputs]; how many of them there are. */
typedef struct linear {
    int64_t outputs, inputs;
    int count;
} linear;
static const linear linears[] = {{3 * WIDTH, WIDTH, LAYERS},
                                 {WIDTH, WIDTH, LAYERS},
                                 {4 * WIDTH, WIDTH, LAYERS},
                                 {WIDTH, 4 * WIDTH, LAYERS},
                                 {GPT_VOCABULARY, WIDTH, 1}};

typedef struct products {
    float *x, *w, *y;      /* of the largest linear layer */
    float *qkv, *o, *many; /* [ROWS, 3·WIDTH], [ROWS, WIDTH], [GPT_BATCH·HEADS, GPT_BLOCK, GPT_BLOCK] */
} products;

static float *floats(size_t count) {
    float *p = aligned_alloc(64, (count * sizeof *p + 63) / 64 * 64);
    if (!p)
        exit(1);
    for (size_t i = 0; i < count; i++)
        p[i] = (float)(i % 17) / 17 - 0.5f;
    return p;
}

static products products_new(void) {
    return (products){.x = floats(ROWS * 4 * WIDTH),
                      .w = floats(4 * WIDTH * WIDTH),
                      .y = floats(ROWS * 4 * WIDTH),
                      .qkv = floats(ROWS * 3 * WIDTH),
                      .o = floats(ROWS * WIDTH),
                      .many = floats((size_t)GPT_BATCH * HEADS * GPT_BLOCK * GPT_BLOCK)};
}

static void products_free(products *p) {
    free(p->x), free(p->w), free(p->y), free(p->qkv), free(p->o), free(p->many);
}

static void multiply(bool a_transposed, bool b_transposed, int64_t M, int64_t N, int64_t K, const float *A, int64_t lda,
                     const float *B, int64_t ldb, float *C, int64_t ldc) {
    if (sw_gemm(SW_F32, a_transposed, b_transposed, M, N, K, 1, A, lda, B, ldb, 0, C, ldc) != SW_OK)
        exit(1);
}

/* The result, the gradient by the input, the gradient by the weight. */
static void products_of_linear(const products *p, const linear *l) {
    const int64_t in = l->inputs, out = l->outputs;
    multiply(false, true, ROWS, out, in, p->x, in, p->w, in, p->y, out);
    multiply(false, false, ROWS, in, out, p->y, out, p->w, in, p->x, in);
    multiply(true, false, out, in, ROWS, p->y, out, p->x, in, p->w, in);
}

/* One head: scores and result; the gradients by the weights, the values, the queries and the keys. */
static void products_of_head(void *args, int64_t index) {
    const products *p = args;
    enum { T = GPT_BLOCK, ROW = 3 * WIDTH };
    float *q = p->qkv + index / HEADS * T * ROW + index % HEADS * HEAD, *k = q + WIDTH, *v = k + WIDTH,
          *o = p->o + index / HEADS * T * WIDTH + index % HEADS * HEAD, *s = p->many + index * T * T;
    multiply(false, true, T, T, HEAD, q, ROW, k, ROW, s, T);
    multiply(false, false, T, HEAD, T, s, T, v, ROW, o, WIDTH);
    multiply(false, true, T, T, HEAD, o, WIDTH, v, ROW, s, T);
    multiply(true, false, T, HEAD, T, s, T, o, WIDTH, v, ROW);
    multiply(false, false, T, HEAD, T, s, T, k, ROW, q, ROW);
    multiply(true, false, T, HEAD, T, s, T, q, ROW, k, ROW);
}

static double products_time(products *p) {
    double seconds = 0;
    for (int i = 0; i < STEPS; i++) {
        /* New numbers, so that repeated products do not overflow. */
        for (size_t n = 0; n < ROWS * 4 * WIDTH; n++)
            p->x[n] = p->y[n] = 0.01f;
        for (size_t n = 0; n < 4 * WIDTH * WIDTH; n++)
            p->w[n] = 0.01f;
        for (size_t n = 0; n < ROWS * 3 * WIDTH; n++)
            p->qkv[n] = 0.01f;
        const double start = now();
        for (size_t l = 0; l < sizeof linears / sizeof *linears; l++)
            for (int n = 0; n < linears[l].count; n++)
                products_of_linear(p, &linears[l]);
        for (int n = 0; n < LAYERS; n++)
            sw_parallel(products_of_head, p, GPT_BATCH * HEADS);
        seconds += now() - start;
    }
    return seconds / STEPS;
}

/* ---- The other: the whole step ---- */

typedef struct trainer {
    sw_array ids;
    sw_source *source;
    sw_loader *loader;
    gpt_bench gpt; /* its x and y are not used */
} trainer;

static trainer trainer_new(sw_dtype type) {
    trainer t = {.ids = gpt_ids(&gpt_characters, 7, SW_SHAPE(TEXT)),
                 .gpt = {.model = gpt_new(&gpt_characters, type), .tape = sw_tape_new()}};
    t.source = sw_windows(&t.ids, GPT_BLOCK, NULL);
    t.loader = sw_loader_new(t.source, GPT_BATCH, &SW_OPTIONS(sw_loader_options, .drop_last = true));
    t.gpt.optim = sw_optim_new(sw_model_params(t.gpt.model), "adamw lr=1e-3 weight_decay=0.01");
    return t;
}

static void trainer_free(trainer *t) {
    gpt_free(&t->gpt);
    sw_loader_free(t->loader), sw_source_free(t->source), sw_array_free(&t->ids);
}

static double step_time(trainer *t) {
    const double start = now();
    for (int i = 0; i < STEPS; i++) {
        sw_batch b;
        if (!sw_loader_next(t->loader, t->gpt.tape, &b))
            sw_loader_next(t->loader, t->gpt.tape, &b);
        const sw_tensor loss = sw_cross_entropy(sw_forward(sw_model_root(t->gpt.model), b.x), b.y);
        sw_backward(loss);
        sw_optim_step(t->gpt.optim);
        t->gpt.check = i + 1 == STEPS ? sw_item(loss) : 0;
        sw_tape_reset(t->gpt.tape);
    }
    return (now() - start) / STEPS;
}

/* ---- Figures ---- */

static void measure(int threads) {
    products p = products_new();
    trainer t[TYPES];
    double bare[ROUNDS], step[TYPES][ROUNDS], ratio[TYPES][ROUNDS];
    const char *plural = threads > 1 ? "s" : "";
    char name[64];
    sw_set_threads(threads);
    for (int i = 0; i < TYPES; i++) {
        t[i] = trainer_new(types[i]);
        step_time(&t[i]);
    }
    products_time(&p);
    for (int r = 0; r < ROUNDS; r++) {
        bare[r] = products_time(&p);
        for (int i = 0; i < TYPES; i++)
            step[i][r] = step_time(&t[i]);
        ratio[0][r] = step[0][r] / bare[r];
        ratio[1][r] = step[1][r] / step[0][r];
    }
    note("%d thread%s: products %.2f ms; step in f32 %.2f ms, loss %.3f, in bf16 %.2f ms, loss %.3f", threads, plural,
         median(bare, ROUNDS) * 1e3, median(step[0], ROUNDS) * 1e3, t[0].gpt.check, median(step[1], ROUNDS) * 1e3,
         t[1].gpt.check);
    snprintf(name, sizeof name, "gpt_step_%d_thread%s", threads, plural);
    figure(name, median(ratio[0], ROUNDS), 1.4, AT_MOST);
    snprintf(name, sizeof name, "gpt_bf16_over_f32_%d_thread%s", threads, plural);
    report(name, median(ratio[1], ROUNDS));
    for (int i = 0; i < TYPES; i++)
        trainer_free(&t[i]);
    products_free(&p);
}

int main(int argc, char **argv) {
    const int only = argc > 1 ? atoi(argv[1]) : 0;
    note("%s", sw_build_info());
    for (int threads = 1; threads <= 2; threads++)
        if (only == 0 || only == threads)
            measure(threads);
    if (sw_error())
        fprintf(stderr, "%s\n", sw_error());
    return sw_error() != NULL;
}
