/* Layers of transformers: positions, attention, blocks.
 *
 * Samples are sequences [time, features], batches [batch, time, features]. With a state (state.h) the layers continue a
 * sequence: the positions of a pass follow those of the passes before it. */
#ifndef SWALE_TRANSFORMER_H
#define SWALE_TRANSFORMER_H

#include <swale/attention.h>
#include <swale/module.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Positions ---- */

/* Learned positions: x [batch, time, features] + W[position], with the parameter NAME.weight, W [length, features], an
 * embedding of the positions 0 to length - 1. A later position is an error. features ≥ 1, or 0: the length of the last
 * axis. W has the initial values and the role of sw_nn_embedding. */
SW_API sw_module *sw_nn_position(sw_model *model, int64_t length, int64_t features);
/* Sinusoidal positions, without parameters (A. Vaswani et al., Attention is all you need, NeurIPS 2017, section 3.5):
 * to the features 2i and 2i + 1 of x [batch, time, features] it adds the sine and the cosine of position /
 * 10000^(2i / features). */
SW_API sw_module *sw_nn_sinusoidal_position(sw_model *model);

/* ---- Attention ---- */

/* The names of the parameters, and their order in files with channels first (archive.h). */
typedef enum sw_naming {
    SW_NAMES_TORCH, /* those of PyTorch's MultiheadAttention and TransformerEncoderLayer */
    SW_NAMES_GPT2   /* those of GPT-2 in the Python package transformers, which stores the weights of linear layers as
                     * [inputs, outputs] */
} sw_naming;

/* Options of sw_nn_attention_with_options. */
typedef struct sw_attention_layer_options {
    size_t size;    /* sizeof(sw_attention_layer_options) */
    bool causal;    /* position i sees the positions 0 to i alone; not for cross-attention */
    double dropout; /* of the probabilities, 0 ≤ dropout < 1: see sw_attention */
    bool no_bias;   /* neither of the linear layers has a bias */
    /* Cross-attention: keys and values come from a second input, the context [batch, keys, features]. */
    bool cross;
    int64_t context_features; /* of the context; 0: as many as `features` */
    sw_naming naming;         /* SW_NAMES_GPT2 is not for cross-attention */
    /* Queries and keys are rotated by their positions (sw_rotary, with c and c + d/2 as pairs), with the base
     * rotary_base ≥ 1 (0: 10000); not for cross-attention. The features of a head must be even. */
    bool rotary;
    double rotary_base;
} sw_attention_layer_options;
/* Multi-head attention (A. Vaswani et al., Attention is all you need, NeurIPS 2017): a linear layer to queries, keys
 * and values, attention with `heads` heads (sw_attention), and a linear layer of the result. x [batch, time, features]
 * → [batch, time, features]; `features` is a multiple of `heads`.
 *
 *     NAME.in_proj_weight [3·features, features], NAME.in_proj_bias [3·features],
 *     NAME.out_proj.weight [features, features], NAME.out_proj.bias [features]
 *
 * With SW_NAMES_GPT2 they are NAME.{c_attn,c_proj}.{weight,bias}. If the context has another number of features, the
 * weights are NAME.q_proj_weight, NAME.k_proj_weight and NAME.v_proj_weight. Weights have initial values from
 * sw_init_xavier_uniform(1), out_proj.weight from sw_init_pytorch, and biases are 0, as in PyTorch.
 *
 * A further input, u8 [batch, keys], the second or behind the context, is the key padding mask: a key with a number
 * other than 0 is padding, and no position sees it (sw_forward_many).
 *
 * With a state (state.h), self-attention must be causal and without a mask: it keeps the keys and values of each pass,
 * and the positions of a pass see them. Cross-attention sees the context of the pass. */
SW_API sw_module *sw_nn_attention(sw_model *model, int64_t features, int64_t heads);
SW_API sw_module *sw_nn_attention_with_options(sw_model *model, int64_t features, int64_t heads,
                                               const sw_attention_layer_options *options);

/* Options of sw_nn_linear_attention_with_options; see sw_linear_attention (attention.h) for the first four. */
typedef struct sw_linear_attention_layer_options {
    size_t size; /* sizeof(sw_linear_attention_layer_options) */
    bool causal;
    bool normalized; /* needs SW_MAP_ELU, and no scale */
    sw_feature_map map;
    double scale; /* 0: 1 */
    bool no_bias;
} sw_linear_attention_layer_options;
/* Attention without softmax: as sw_nn_attention with SW_NAMES_TORCH, with the operation sw_linear_attention. Layers are
 * named linear_attention1 and so on. With a state, it must be causal and without a mask: it keeps the state
 * of the linear attention, whose size does not depend on the number of positions. */
SW_API sw_module *sw_nn_linear_attention(sw_model *model, int64_t features, int64_t heads);
SW_API sw_module *sw_nn_linear_attention_with_options(sw_model *model, int64_t features, int64_t heads,
                                                      const sw_linear_attention_layer_options *options);

/* ---- Blocks ---- */

/* Options of sw_nn_transformer_block_with_options. */
typedef struct sw_transformer_block_options {
    size_t size;    /* sizeof(sw_transformer_block_options) */
    int64_t hidden; /* the features inside the feed-forward network; 0: 4·features */
    /* Post-norm: x ← norm(x + f(x)), as in the paper and PyTorch's default; otherwise pre-norm: x ← x + f(norm(x)), as
     * in GPT-2. */
    bool post_norm;
    /* "gelu" (NULL means it), "gelu_tanh", "relu", "relu2": max(x, 0)², "swiglu": the first layer has 2·hidden outputs,
     * of which the SiLU of the first half is multiplied by the second half (N. Shazeer, GLU variants improve
     * transformer, 2020). */
    const char *activation;
    /* The probability of dropout of the attention, of the results of the attention and of the feed-forward network,
     * and, with SW_NAMES_TORCH, behind the activation; 0 ≤ dropout < 1. */
    double dropout;
    bool causal, no_bias; /* see sw_attention_layer_options; no_bias: neither have the normalizations */
    sw_naming naming;
    bool rotary; /* see sw_attention_layer_options */
} sw_transformer_block_options;
/* A block of a transformer: attention, and a feed-forward network of two linear layers with an activation, each with a
 * residual connection and layer normalization. x [batch, time, features] → [batch, time, features]; a second input is
 * the key padding mask (see sw_nn_attention). features ≥ 1. The defaults are a pre-norm block with GELU; PyTorch's
 * TransformerEncoderLayer has post_norm, "relu", hidden 2048 and dropout 0.1.
 *
 *     SW_NAMES_TORCH: NAME.self_attn.…, NAME.{linear1,linear2,norm1,norm2}.{weight,bias}
 *     SW_NAMES_GPT2: NAME.attn.…, NAME.{ln_1,ln_2,mlp.c_fc,mlp.c_proj}.{weight,bias} */
SW_API sw_module *sw_nn_transformer_block(sw_model *model, int64_t features, int64_t heads);
SW_API sw_module *sw_nn_transformer_block_with_options(sw_model *model, int64_t features, int64_t heads,
                                                       const sw_transformer_block_options *options);

#ifdef __cplusplus
}
#endif
#endif
