/* GPT-2 in swale: the step of its training, and generation. gpt_torch.py has the same in PyTorch. */
#ifndef SWALE_PEER_GPT_H
#define SWALE_PEER_GPT_H

#include <swale/swale.h>

enum { GPT_VOCABULARY = 65, GPT_BLOCK = 64, GPT_BATCH = 12, GPT_LENGTH = 256, GPT_TOKENS = GPT_LENGTH - 6 };

typedef struct gpt_bench {
    sw_model *model;
    sw_optim *optim;
    sw_tape *tape;
    sw_array x, y; /* ids [batch, block], targets [batch·block] */
    double check;  /* the loss of the last step; the number of tokens */
} gpt_bench;

static inline sw_model *gpt_new(sw_dtype type) {
    sw_model *model = sw_model_new(type, 1);
    sw_model_build(model, sw_nn_gpt(model, &SW_OPTIONS(sw_gpt_options, .vocabulary = GPT_VOCABULARY,
                                                       .length = GPT_LENGTH, .layers = 4, .heads = 4, .width = 128)));
    return model;
}

static inline sw_array gpt_ids(int64_t factor, int rank, const int64_t *shape) {
    sw_array a = sw_array_new(SW_I32, rank, shape);
    for (int64_t i = 0; i < sw_array_count(&a); i++)
        ((int32_t *)a.data)[i] = (int32_t)((i * factor + i / 7) % GPT_VOCABULARY);
    return a;
}

static inline gpt_bench gpt_training(sw_dtype type) {
    gpt_bench g = {.model = gpt_new(type),
                   .tape = sw_tape_new(),
                   .x = gpt_ids(7, SW_SHAPE(GPT_BATCH, GPT_BLOCK)),
                   .y = gpt_ids(11, SW_SHAPE(GPT_BATCH * GPT_BLOCK))};
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
        const sw_tensor logits = sw_forward(sw_model_root(g->model), sw_input(g->tape, g->x)),
                        rows = sw_reshape(logits, SW_SHAPE(GPT_BATCH * GPT_BLOCK, GPT_VOCABULARY)),
                        loss = sw_cross_entropy(rows, sw_input(g->tape, g->y));
        sw_backward(loss);
        sw_optim_step(g->optim);
        g->check = i + 1 == steps ? sw_item(loss) : 0;
        sw_tape_reset(g->tape);
    }
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
