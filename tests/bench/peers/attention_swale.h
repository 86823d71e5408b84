/* One attention in swale, forward and backward, on a packed array. attention_torch.py has the same in PyTorch. */
#ifndef SWALE_PEER_ATTENTION_H
#define SWALE_PEER_ATTENTION_H

#include <swale/swale.h>

typedef struct attention_bench {
    sw_tape *tape;
    sw_array qkv, dout; /* [batch, length, 3·heads·features], [batch, length, heads·features] */
    sw_attention_options options;
    double check; /* the first element of the gradient */
} attention_bench;

static inline sw_array attention_array(sw_dtype type, int64_t batch, int64_t length, int64_t width) {
    sw_array a = sw_array_new(type, SW_SHAPE(batch, length, width));
    for (int64_t i = 0; a.data && i < sw_array_count(&a); i++) {
        const float x = (float)(i * 7919 % 1999) / 1999 - 0.5f;
        sw_vector_convert(SW_F32, 1, &x, type, (char *)a.data + (size_t)i * sw_dtype_size(type));
    }
    return a;
}

static inline attention_bench attention_new(sw_dtype type, int64_t batch, int heads, int64_t length, int64_t features,
                                            bool causal) {
    return (attention_bench){
        .tape = sw_tape_new(),
        .qkv = attention_array(type, batch, length, 3 * heads * features),
        .dout = attention_array(type, batch, length, heads * features),
        .options = {.size = sizeof(sw_attention_options), .heads = heads, .causal = causal},
    };
}

static inline void attention_free(attention_bench *a) {
    sw_tape_free(a->tape), sw_array_free(&a->qkv), sw_array_free(&a->dout);
    *a = (attention_bench){0};
}

static inline void attention_run(void *args, int steps) {
    attention_bench *a = args;
    for (int i = 0; i < steps; i++) {
        const sw_tensor qkv = sw_variable(a->tape, a->qkv);
        sw_backward_from(sw_attention_packed(qkv, &a->options), a->dout);
        const sw_array gradient = sw_grad(qkv);
        float first = 0;
        if (gradient.data)
            sw_vector_convert(gradient.type, 1, gradient.data, SW_F32, &first);
        a->check = first;
        sw_tape_reset(a->tape);
    }
}

#endif
