/* The types of the layers in this folder. */
#ifndef SWALE_NN_BUILTIN_TYPES_H
#define SWALE_NN_BUILTIN_TYPES_H

#include <swale/module.h>
#include <swale/pool_options.h>

extern const sw_module_type swn_linear_type, swn_embedding_type, swn_dropout_type, swn_flatten_type, swn_reshape_type,
    swn_sequential_type, swn_residual_type, swn_recompute_type, swn_conv_type, swn_conv_transposed_type,
    swn_max_pool_type, swn_avg_pool_type, swn_adaptive_max_pool_type, swn_adaptive_avg_pool_type,
    swn_global_max_pool_type, swn_global_avg_pool_type, swn_lstm_type, swn_gru_type,

    swn_batch_norm_type, swn_layer_norm_type, swn_rms_norm_type, swn_group_norm_type, swn_basic_block_type,

    swn_position_type, swn_sinusoidal_position_type, swn_attention_type, swn_cross_attention_type,
    swn_linear_attention_type, swn_transformer_block_type;
extern const sw_module_type swn_activation_types[];
extern const int swn_activation_count;

/* activations.c: whether a layer is sw_nn_relu. */
bool swn_is_relu(const sw_module *module);
/* pool.c: whether a layer can compute a ReLU of its input too; and its output for max(x, 0), with the bits of the two
 * layers one after the other. */
bool swn_takes_relu(const sw_module *module);
sw_tensor swn_pool_relu(sw_module *module, sw_tensor x);
/* pool.c: the windows of a pool that sw_nn_conv2d can compute too, after a ReLU if `relu`, without storing its own
 * result. False for all other layers. */
typedef struct swn_pool_windows {
    bool average;
    int64_t window[2];
    sw_pool_options options;
} swn_pool_windows;
bool swn_pool_joins_conv(const sw_module *module, bool relu, swn_pool_windows *windows);
/* conv.c: whether a layer is a sw_nn_conv2d that can compute such a pool; and its output for x with the pool after it,
 * with the bits of the layers one after the other. */
bool swn_conv_takes_pool(const sw_module *module);
sw_tensor swn_conv_pool(sw_module *module, const swn_pool_windows *pool, sw_tensor x);

/* norms.c: false for a layer or RMS normalization over the axis of the positions; true for all other layers. */
bool swn_norm_continues(const sw_module *module);
/* recurrent.c: false for a bidirectional layer; true for all other layers. */
bool swn_recurrent_continues(const sw_module *module);
/* attention.c: false for self-attention, linear too, that is not causal; true for all other layers. */
bool swn_attention_continues(const sw_module *module);
/* position.c: the number of positions of sw_nn_position; 0 for other layers. */
int64_t swn_position_length(const sw_module *module);

#endif
