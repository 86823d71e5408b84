/* Networks that are made by one function.
 *
 *     sw_model *net = sw_model_new(SW_F32, 1);
 *     sw_model_set_input_shape(net, SW_SHAPE(224, 224, 3));
 *     sw_model_build(net, sw_nn_resnet18(net, 1000));
 *     sw_model_load_with_options(net, "resnet18.safetensors", &SW_OPTIONS(sw_load_options, .channels_first = true));
 *
 * The networks have samples [height, width, channels], take the number of channels from the shape of their input
 * (sw_model_set_input_shape; square pictures with 1 or 3 channels first are refused), and return the logits of the
 * classes, [batch, classes]. Parameters have the names of PyTorch's modules, so that a file of a state_dict can be
 * loaded (channels_first in archive.h). The comments list the names; {a,b} stands for a and for b. Names in a model
 * must be different, so that a model can contain one of these networks at its top level. Put further ones into a layer
 * of sw_nn_compose; its name then precedes their names. */
#ifndef SWALE_NETWORKS_H
#define SWALE_NETWORKS_H

#include <swale/module.h>

#ifdef __cplusplus
extern "C" {
#endif

/* LeNet in a form that is common today: a convolution 5×5 without padding to 16 channels, ReLU, max pool 2; a
 * convolution 5×5 without padding to 32 channels, ReLU, max pool 2; flatten, a linear layer of 128 units, ReLU, and a
 * linear layer to the classes. Pictures have at least 16×16 pixels. (Y. LeCun, L. Bottou, Y. Bengio, P. Haffner:
 * Gradient-based learning applied to document recognition, Proceedings of the IEEE, 1998, has other widths and
 * activations.)
 *
 *     {conv1,conv2,fc1,fc2}.{weight,bias} */
SW_API sw_module *sw_nn_lenet(sw_model *model, int64_t classes);

/* The basic block of residual networks: a convolution 3×3 with the stride, batch norm, ReLU, a convolution 3×3 and
 * batch norm; the input is added, and ReLU is applied to the sum. If the stride is not 1, or the numbers of channels
 * differ, the input passes a convolution 1×1 with this stride and a batch norm before it is added (option B of the
 * paper below, and the choice of torchvision). The convolutions have no bias. The names of all its layers begin with
 * the name of the block. All arguments are 1 or more.
 *
 *     NAME.{conv1,conv2,downsample.0}.weight
 *     NAME.{bn1,bn2,downsample.1}.{weight,bias,running_mean,running_var} */
SW_API sw_module *sw_nn_basic_block(sw_model *model, int64_t inputs, int64_t outputs, int64_t stride);

/* A residual network for small pictures, such as those of CIFAR (K. He, X. Zhang, S. Ren, J. Sun: Deep residual
 * learning for image recognition, CVPR 2016, section 4.2): a convolution 3×3 to `width` channels, batch norm, ReLU;
 * three stages of n basic blocks with width, 2·width and 4·width channels, of which the second and third halve height
 * and width; the mean of each channel, and a linear layer. depth = 6n + 2: 8, 14, 20, …, 1202. width: 1 to 2^20. The
 * paper has width 16, and shortcuts without parameters (option A).
 *
 *     conv1.weight, bn1.{weight,bias,running_mean,running_var}, fc.{weight,bias},
 *     and those of the basic blocks layer{1,2,3}.{0,…,n-1} */
SW_API sw_module *sw_nn_resnet(sw_model *model, int depth, int64_t width, int64_t classes);
/* Options of a residual network. */
typedef struct sw_resnet_options {
    size_t size; /* sizeof(sw_resnet_options) */
    /* The form for large pictures: a convolution 7×7 with stride 2, batch norm, ReLU, and a max pool of 3 with stride 2
     * and padding 1; then four stages of 2, 2, 2, 2 blocks (depth 18) or of 3, 4, 6, 3 (depth 34). */
    bool imagenet;
    int64_t inputs; /* the channels of the pictures; 0: the length of the last axis of the samples */
} sw_resnet_options;
/* As sw_nn_resnet, with options; NULL: the defaults. */
SW_API sw_module *sw_nn_resnet_with_options(sw_model *model, int depth, int64_t width, int64_t classes,
                                            const sw_resnet_options *options);
/* torchvision's resnet18 and resnet34: the form for large pictures, with width 64. The blocks are layer{1,2,3,4}.{0,…}.
 */
SW_API sw_module *sw_nn_resnet18(sw_model *model, int64_t classes);
SW_API sw_module *sw_nn_resnet34(sw_model *model, int64_t classes);

/* Options of sw_nn_gpt. The first five are required. */
typedef struct sw_gpt_options {
    size_t size;        /* sizeof(sw_gpt_options) */
    int64_t vocabulary; /* the number of different tokens */
    int64_t length;     /* the largest number of positions */
    int layers, heads;  /* blocks; heads of each attention */
    int64_t width;      /* features of a position: a multiple of `heads` */
    int64_t hidden;     /* features inside the feed-forward networks; 0: 4·width */
    /* The probability of dropout, 0 ≤ dropout < 1: behind the sum of token and position, of the attention, and behind
     * the attention and the feed-forward network of each block. */
    double dropout;
    bool no_bias;           /* linear layers and normalizations have no bias */
    bool untied;            /* the weight of lm_head is separate; by default it is that of transformer.wte */
    const char *activation; /* see sw_transformer_block_options; NULL: "gelu_tanh" */
    /* k ≥ 1: every k blocks are a segment, which the backward computes again (sw_nn_recompute); 0: none. */
    int recompute;
} sw_gpt_options;
/* GPT-2, a transformer that predicts the next token (A. Radford et al., Language models are unsupervised multitask
 * learners, 2019): ids [batch, time] → logits [batch, time, vocabulary], time ≤ length. The embedding of the token and
 * that of the position are added; then come pre-norm blocks with causal attention (sw_nn_transformer_block), layer
 * normalization and a linear layer without bias. Weights have normal initial values with the standard deviation 0.02,
 * those of the layers before a residual connection with 0.02/√(2·layers); biases are 0.
 *
 *     transformer.{wte,wpe}.weight, transformer.ln_f.{weight,bias}, lm_head.weight,
 *     transformer.h.{0,…}.{ln_1,attn.c_attn,attn.c_proj,ln_2,mlp.c_fc,mlp.c_proj}.{weight,bias}
 *
 * These are the names of GPT2LMHeadModel in the Python package transformers, whose files are loaded with channels first
 * (archive.h). The published weights lack the first part of the names:
 *
 *     sw_model_load_with_options(net, "model.safetensors",
 *                                &SW_OPTIONS(sw_load_options, .channels_first = true, .omitted = "transformer."));
 *
 * sw_generate (generate.h) continues a text. */
SW_API sw_module *sw_nn_gpt(sw_model *model, const sw_gpt_options *options);

#ifdef __cplusplus
}
#endif
#endif
