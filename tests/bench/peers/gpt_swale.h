/* GPT-2's network in swale: the step of its training, and generation. gpt_torch.py has the same in PyTorch. */
#ifndef SWALE_PEER_GPT_H
#define SWALE_PEER_GPT_H

#include "peer.h"

#include <swale/swale.h>

enum { GPT_VOCABULARY = 65, GPT_BLOCK = 64, GPT_BATCH = 12, GPT_LENGTH = 256, GPT_TOKENS = GPT_LENGTH - 6 };

/* A task: a network of width 128 with 4 heads, and its batch of sequences of `block` ids. */
typedef struct gpt_task {
    int64_t vocabulary, length;
    int layers;
    int64_t batch, block;
    bool last; /* only the last id of a sequence has a target */
} gpt_task;
static const gpt_task gpt_characters = {GPT_VOCABULARY, GPT_LENGTH, 4, GPT_BATCH, GPT_BLOCK, false};
/* a ∘ b = c modulo 97 (A. Power et al., Grokking, 2022): sequences of a, the operation, b and the equals sign. */
static const gpt_task gpt_grokking = {99, 4, 2, 512, 4, true};

typedef struct gpt_bench {
    const gpt_task *task;
    sw_model *model;
    sw_optim *optim;
    sw_tape *tape;
    sw_array x, y; /* ids [batch, block], targets [rows] */
    double check;  /* the loss of the last step; the number of tokens */
} gpt_bench;

static inline sw_model *gpt_new(const gpt_task *task, sw_dtype type) {
    sw_model *model = sw_model_new(type, 1);
    sw_model_build(model,
                   sw_nn_gpt(model, &SW_OPTIONS(sw_gpt_options, .vocabulary = task->vocabulary, .length = task->length,
                                                .layers = task->layers, .heads = 4, .width = 128)));
    return model;
}

static inline sw_array gpt_ids(const gpt_task *task, int64_t factor, int rank, const int64_t *shape) {
    sw_array a = sw_array_new(SW_I32, rank, shape);
    for (int64_t i = 0; i < sw_array_count(&a); i++)
        ((int32_t *)a.data)[i] = (int32_t)((i * factor + i / 7) % task->vocabulary);
    return a;
}

static inline gpt_bench gpt_training(const gpt_task *task, sw_dtype type) {
    const int64_t targets = task->last ? 1 : task->block;
    gpt_bench g = {.task = task,
                   .model = gpt_new(task, type),
                   .tape = sw_tape_new(),
                   .x = gpt_ids(task, 7, SW_SHAPE(task->batch, task->block)),
                   .y = gpt_ids(task, 11, SW_SHAPE(task->batch * targets))};
    g.optim = sw_optim_new(sw_model_params(g.model), "adamw lr=1e-3 weight_decay=0.01");
    return g;
}

static inline void gpt_free(gpt_bench *g) {
    sw_tape_free(g->tape), sw_optim_free(g->optim), sw_model_free(g->model);
    sw_array_free(&g->x), sw_array_free(&g->y);
    *g = (gpt_bench){0};
}

static inline void gpt_train(void *args, int steps) {
    gpt_bench *g = args;
    for (int i = 0; i < steps; i++) {
        const gpt_task *task = g->task;
        const sw_tensor logits = sw_forward(sw_model_root(g->model), sw_input(g->tape, g->x)),
                        last = task->last ? sw_slice(logits, 1, -1, task->block) : logits,
                        rows = sw_reshape(last, SW_SHAPE(sw_array_count(&g->y), task->vocabulary)),
                        loss = sw_cross_entropy(rows, sw_input(g->tape, g->y));
        sw_backward(loss);
        sw_optim_step(g->optim);
        g->check = i + 1 == steps ? sw_item(loss) : 0;
        sw_tape_reset(g->tape);
    }
}

/* The largest number of bytes that the library had allocated at one time in a training of a few steps, and by how many
 * the resident memory of the process rose; both from before the network was made. */
static inline void gpt_memory(sw_dtype type, double *allocated, double *resident) {
    enum { STEPS = 3 };
    resident_reset();
    sw_memory_reset_peaks();
    const double live = (double)sw_memory_live_total(), before = resident_bytes("VmRSS:");
    gpt_bench g = gpt_training(&gpt_characters, type);
    gpt_train(&g, STEPS);
    *allocated = (double)sw_memory_peak_total() - live;
    *resident = resident_bytes("VmHWM:") - before;
    gpt_free(&g);
}

/* A step is a token. */
static inline void gpt_generate(void *args, int tokens) {
    gpt_bench *g = args;
    const int32_t prompt[] = {1};
    int32_t out[GPT_TOKENS];
    for (g->check = 0; g->check < tokens && !sw_error();) {
        const int left = tokens - (int)g->check;
        sw_generate(g->model, 1, prompt, left < GPT_TOKENS ? left : GPT_TOKENS, out, NULL, NULL);
        g->check += left < GPT_TOKENS ? left : GPT_TOKENS;
    }
}

#endif
