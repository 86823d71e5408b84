/* swale nn: layers, initial values and models. It depends only on core.
 *
 *     sw_model *model = sw_model_new(SW_F32, 1);
 *     sw_params *params = sw_model_build(
 *         model, sw_nn_sequential(model, sw_nn_linear(model, 784, 100), sw_nn_relu(model),
 *                                 sw_nn_linear(model, 100, 10)));
 *     if (!params)
 *         fprintf(stderr, "%s\n", sw_error());
 *     const sw_objective *f = sw_model_objective(model, source, sw_cross_entropy);
 *
 * A model owns its layers and its parameters. The sw_nn_ functions make layers. After an error they return a
 * placeholder, so that a program can combine layers without checks: sw_model_build returns NULL then, and sw_error()
 * names the layer.
 */
#ifndef SWALE_NN_H
#define SWALE_NN_H

#include <swale/archive.h>
#include <swale/conv_options.h>
#include <swale/description.h>
#include <swale/generate.h>
#include <swale/init.h>
#include <swale/module.h>
#include <swale/networks.h>
#include <swale/normalization.h>
#include <swale/objective.h>
#include <swale/pool_options.h>
#include <swale/source.h>
#include <swale/transformer.h>

#ifdef __cplusplus
#include <initializer_list>
extern "C" {
#endif

/* ---- Models ---------------------------------------------------------------------------------- */

/* Makes an empty model whose parameters and activations are of type f32, f64, f16 or bf16. With f16 and bf16 the
 * optimizer computes in f32 (see the storage type in params.h), and sw_params_storage is the type of the activations.
 * Equal seeds and names give equal initial values. NULL after an error. */
SW_API sw_model *sw_model_new(sw_dtype type, uint64_t seed);
/* As sw_model_new, with options of the parameters (params.h), which include their storage type. */
SW_API sw_model *sw_model_new_with_options(const sw_params_options *options);
/* Frees the model with its layers, parameters and objectives. Accepts NULL. */
SW_API void sw_model_free(sw_model *model);
/* Sets the shape of one sample of the input, without the batch axis, before the build. It is required only if a layer
 * takes its number of inputs from its input (0), or a composed layer needs the shape. */
SW_API sw_status sw_model_set_input_shape(sw_model *model, int rank, const int64_t *shape);
/* The same for a root of several inputs (sw_forward_many): the shape of a sample of each of 1 to SW_MAX_INPUTS inputs.
 * A shape that is not known has rank -1. */
SW_API sw_status sw_model_set_input_shapes(sw_model *model, int count, const sw_sample_shape *shapes);
/* Determines all shapes, and declares and initializes the parameters. The weight of the last layer that has one gets
 * the role SW_ROLE_HEAD, unless it is tied. Returns the parameters, which the model owns. Call it once. NULL and an
 * error if the layers do not fit together. */
SW_API sw_params *sw_model_build(sw_model *model, sw_module *root);
SW_API sw_params *sw_model_params(const sw_model *model); /* NULL before the build */
SW_API sw_module *sw_model_root(const sw_model *model);   /* the layer given to sw_model_build; NULL before */
/* Saves all parameters to a file by name (see sw_params_save, archive.h), together with the description of the network,
 * as the text "network". If a layer cannot be described, the file has the parameters and, as the text "no_network", the
 * reason, which is the error of sw_model_description. */
SW_API sw_status sw_model_save(const sw_model *model, const char *path);
/* As sw_model_save, with options (archive.h); NULL: the defaults. To save the weights in 16 bits:
 *
 *     sw_model_save_with_options(net, "net.safetensors", &SW_OPTIONS(sw_save_options, .storage = SW_BF16));
 */
SW_API sw_status sw_model_save_with_options(const sw_model *model, const char *path, const sw_save_options *options);
/* Loads the parameters of a file of sw_model_save or sw_params_save into a model that has the same ones: see
 * sw_params_load (archive.h). It does not read the description. */
SW_API sw_status sw_model_load(sw_model *model, const char *path);
/* As sw_model_load, with options (archive.h); NULL: the defaults. To load a state_dict of PyTorch, whose keys are the
 * names of the parameters, from a file of the Python package safetensors:
 *
 *     sw_model_load_with_options(net, "resnet.safetensors", &SW_OPTIONS(sw_load_options, .channels_first = true));
 */
SW_API sw_status sw_model_load_with_options(sw_model *model, const char *path, const sw_load_options *options);
/* Makes and builds the network that a file of sw_model_save describes, with the parameters of the file:
 *
 *     sw_model_save(net, "net.safetensors");
 *     sw_model *again = sw_model_new_from_file("net.safetensors");  // its root: sw_model_root(again)
 *
 * Names, ties, frozen layers and parameters, roles, the type of x, the storage type and the seed are those of the saved
 * model, even if the file contains the weights in another type. Methods for initial values are not in the file:
 * sw_params_reinitialize uses the default methods of the layers. A damaged or hostile file is an error: for example, a
 * network that has more parameters than the file has numbers is refused before memory is allocated for them. NULL after
 * an error; it is an error, too, if the file has no description of the network, or if the type of a layer is not
 * registered (description.h). */
SW_API sw_model *sw_model_new_from_file(const char *path);
/* As sw_model_save_with_options (options NULL: as sw_model_save) and sw_model_new_from_file, with an archive, to which
 * the program adds what belongs to the model: a tokenizer (sw_tokenizer_pack) or other texts. Other arrays in the
 * archive would be an error when the model is loaded. Packing does not copy the parameters: they must be valid and
 * unchanged until the archive is saved. */
SW_API sw_status sw_model_pack(const sw_model *model, sw_archive *archive, const sw_save_options *options);
SW_API sw_model *sw_model_new_from_archive(const sw_archive *archive);
/* The description of a built model as text (JSON, see description.h), which the caller frees by sw_free. NULL and an
 * error that names the layer if one cannot be described, because its type has no `save` or is not registered. A layer
 * of sw_nn_compose has a `save` only if sw_compose_options.save is set. At most 10000 layers, 64 levels deep. */
SW_API char *sw_model_description(const sw_model *model);
/* Makes and builds a network from its description, with initial values. Do not use it for untrusted text, which may
 * demand any amount of memory. NULL after an error. */
SW_API sw_model *sw_model_new_from_description(const char *text);
/* Prints a table of the layers: name, description, output shape, and number of parameters. Buffers are not included in
 * these numbers; a line at the end has their number. */
SW_API void sw_model_print(const sw_model *model, FILE *to);

/* Computes the output of a layer, or of the root, for a batch x [batch, ...], on the tape of x. A null tensor after an
 * error. */
SW_API sw_tensor sw_forward(sw_module *module, sw_tensor x);
/* The same for a layer of several inputs, x[count] on one tape. A layer of one input takes count 1. sw_model_objective,
 * sw_model_evaluate and sw_predict give the root one input; a program with several writes its own objective. */
SW_API sw_tensor sw_forward_many(sw_module *module, int count, const sw_tensor *x);

/* ---- Layers ---------------------------------------------------------------------------------- */
/* Layers that combine the features or channels of a sample act on the last axis, and treat all axes before it as the
 * batch (see "The layout" in source.h): vectors [batch, features], sequences [batch, time, features], pictures
 * [batch, height, width, channels]. */

/* x Wᵀ + b over the last axis of x [batch, ..., inputs] → [batch, ..., outputs], with the parameters NAME.weight, W
 * [outputs, inputs], and NAME.bias, b [outputs]. inputs ≥ 1, or 0: the length of the last axis; outputs ≥ 1. W has
 * initial values from sw_init_he_uniform(√2), b is 0. Where the build does not know the shape of its input, it takes
 * samples for vectors; sw_model_set_input_shape gives other shapes. */
SW_API sw_module *sw_nn_linear(sw_model *model, int64_t inputs, int64_t outputs);
/* x Wᵀ: as sw_nn_linear, without b. */
SW_API sw_module *sw_nn_linear_no_bias(sw_model *model, int64_t inputs, int64_t outputs);
/* Options of sw_nn_linear_with_options. */
typedef struct sw_linear_options {
    size_t size; /* sizeof(sw_linear_options) */
    bool no_bias;
    /* Files with channels first (archive.h) have the weight as [inputs, outputs]: the Conv1D of GPT-2 in the Python
     * package transformers. */
    bool file_transposed;
} sw_linear_options;
/* As sw_nn_linear, with options (NULL: the defaults). */
SW_API sw_module *sw_nn_linear_with_options(sw_model *model, int64_t inputs, int64_t outputs,
                                            const sw_linear_options *options);
/* An embedding: ids [batch, ...] → the rows of NAME.weight [rows, dim] with these ids, [batch, ..., dim]. Ids are
 * integers from 0 to rows - 1, of type i32, u8, f32 (up to 2^24) or f64; another value is an error that names the value
 * and its position. The weight has initial values from sw_init_normal(0, 1), fan_in = dim, fan_out = rows, and the role
 * SW_ROLE_EMBEDDING. rows ≤ 2^31 - 1. */
SW_API sw_module *sw_nn_embedding(sw_model *model, int64_t rows, int64_t dim);
/* Options of sw_nn_embedding_with_options. */
typedef struct sw_embedding_options {
    size_t size; /* sizeof(sw_embedding_options) */
    /* If true, the row padding_id, from 0 to rows - 1, stands for the padding of sequences: it is 0 initially, unless
     * other initial values are set, and gets no gradient. */
    bool padding;
    int64_t padding_id;
} sw_embedding_options;
/* As sw_nn_embedding, with options (NULL: the defaults). */
SW_API sw_module *sw_nn_embedding_with_options(sw_model *model, int64_t rows, int64_t dim,
                                               const sw_embedding_options *options);
/* A convolution of pictures with a square kernel: x [batch, height, width, inputs] → [batch, height', width', outputs],
 * with the parameters NAME.weight [outputs, kernel, kernel, inputs] and NAME.bias [outputs], stride 1 and no padding:
 * see sw_conv2d (conv.h). Layers are named conv1, conv2 and so on. inputs ≥ 1, or 0: the length of the last axis; then
 * samples [1,n,n] and [3,n,n] with n ≥ 8, which seem to have their channels first, are an error (SW_ERR_SHAPE). The
 * weight has initial values from sw_init_he_uniform(√2), and the bias is 0; sw_init_pytorch gives PyTorch's values. As
 * in PyTorch, fan_in is kernel²·inputs / groups, and fan_out is kernel²·outputs. If the shape of the input is not known
 * to the build, `inputs` must be given, and the shape of the output is not known either. */
SW_API sw_module *sw_nn_conv2d(sw_model *model, int64_t inputs, int64_t outputs, int64_t kernel);
/* The same with a kernel of any shape, and options (NULL: the defaults); the weight is [outputs, kernel_height,
 * kernel_width, inputs / groups]. */
SW_API sw_module *sw_nn_conv2d_with_options(sw_model *model, int64_t inputs, int64_t outputs, int64_t kernel_height,
                                            int64_t kernel_width, const sw_conv_options *options);
/* A convolution of signals, x [batch, length, inputs], with the weight [outputs, kernel, inputs / groups]: see
 * sw_conv1d. */
SW_API sw_module *sw_nn_conv1d(sw_model *model, int64_t inputs, int64_t outputs, int64_t kernel);
SW_API sw_module *sw_nn_conv1d_with_options(sw_model *model, int64_t inputs, int64_t outputs, int64_t kernel,
                                            const sw_conv_options *options);
/* A transposed convolution of pictures, with the weight [inputs, kernel_height, kernel_width, outputs / groups]: see
 * sw_conv2d_transposed. Layers are named conv_transposed1 and so on. fan_in and fan_out are exchanged, as in PyTorch:
 * fan_in has outputs / groups, and fan_out has inputs. */
SW_API sw_module *sw_nn_conv2d_transposed(sw_model *model, int64_t inputs, int64_t outputs, int64_t kernel);
SW_API sw_module *sw_nn_conv2d_transposed_with_options(sw_model *model, int64_t inputs, int64_t outputs,
                                                       int64_t kernel_height, int64_t kernel_width,
                                                       const sw_conv_options *options);
/* The largest or the mean element of each square window of pictures, with the window as the stride: [batch, height,
 * width, channels] → [batch, height', width', channels]; see sw_max_pool2d and sw_avg_pool2d (pool.h). Layers are named
 * max_pool1, avg_pool1 and so on. If the build does not know the shape of its input, that of the output is not known
 * either; this is true for all pools. */
SW_API sw_module *sw_nn_max_pool2d(sw_model *model, int64_t window);
SW_API sw_module *sw_nn_avg_pool2d(sw_model *model, int64_t window);
/* The same with a window of any shape, and options (pool_options.h; NULL: the defaults). A sequential layer computes
 * sw_nn_relu and the max or average pool after it as one operation, that of the option relu. */
SW_API sw_module *sw_nn_max_pool2d_with_options(sw_model *model, int64_t window_height, int64_t window_width,
                                                const sw_pool_options *options);
SW_API sw_module *sw_nn_avg_pool2d_with_options(sw_model *model, int64_t window_height, int64_t window_width,
                                                const sw_pool_options *options);
/* The same for sequences [batch, length, channels]: see sw_max_pool1d and sw_avg_pool1d. */
SW_API sw_module *sw_nn_max_pool1d(sw_model *model, int64_t window);
SW_API sw_module *sw_nn_avg_pool1d(sw_model *model, int64_t window);
SW_API sw_module *sw_nn_max_pool1d_with_options(sw_model *model, int64_t window, const sw_pool_options *options);
SW_API sw_module *sw_nn_avg_pool1d_with_options(sw_model *model, int64_t window, const sw_pool_options *options);
/* Pooling to pictures of a given size, ≥ 1: see sw_adaptive_max_pool2d. Layers are named adaptive_max_pool1, …. */
SW_API sw_module *sw_nn_adaptive_max_pool2d(sw_model *model, int64_t out_height, int64_t out_width);
SW_API sw_module *sw_nn_adaptive_avg_pool2d(sw_model *model, int64_t out_height, int64_t out_width);
/* The largest or the mean element of each channel: [batch, height, width, channels] → [batch, channels]. Layers are
 * named global_max_pool1 and so on. */
SW_API sw_module *sw_nn_global_max_pool2d(sw_model *model);
SW_API sw_module *sw_nn_global_avg_pool2d(sw_model *model);
/* Options of the recurrent layers below. */
typedef struct sw_recurrent_layer_options {
    size_t size;        /* sizeof(sw_recurrent_layer_options) */
    int layers;         /* on top of each other, 1 to 256; 0: 1 */
    bool bidirectional; /* each layer reads the sequence in both directions; its output has 2·hidden features */
    bool no_bias;
    double dropout; /* the probability, in [0, 1), of sw_dropout between layers; needs two layers or more */
    /* The output is only h after the last step of each sample, [batch, hidden]. With `bidirectional`, h of the other
     * direction after its last step, which is the first in time, follows it. */
    bool last;
} sw_recurrent_layer_options;
/* A long short-term memory: x [batch, time, inputs] → h of every step, [batch, time, hidden]. recurrent.h has the
 * equations, which are PyTorch's, as are the names of the parameters: NAME.weight_ih_l0 [4·hidden, inputs],
 * NAME.weight_hh_l0 [4·hidden, hidden], NAME.bias_ih_l0 and NAME.bias_hh_l0 [4·hidden], with l1 and so on for further
 * layers, and _reverse at the end for the other direction. All initial values are uniform in ±1/√hidden, as PyTorch's:
 * fan_in is `hidden` for all of them, and the method sw_init_pytorch. Layers are named lstm1, lstm2 and so on.
 * inputs ≥ 1, or 0: the length of the last axis.
 *
 * A second input (sw_forward_many), i32 [batch], gives the lengths of the samples: see sw_recurrent_options. While the
 * tape has a state (state.h), the layer begins with h and c after the last pass; bidirectional layers and lengths are
 * errors then. */
SW_API sw_module *sw_nn_lstm(sw_model *model, int64_t inputs, int64_t hidden);
SW_API sw_module *sw_nn_lstm_with_options(sw_model *model, int64_t inputs, int64_t hidden,
                                          const sw_recurrent_layer_options *options);
/* A gated recurrent unit, likewise, with 3·hidden rows in the parameters. Layers are named gru1 and so on. */
SW_API sw_module *sw_nn_gru(sw_model *model, int64_t inputs, int64_t hidden);
SW_API sw_module *sw_nn_gru_with_options(sw_model *model, int64_t inputs, int64_t hidden,
                                         const sw_recurrent_layer_options *options);
/* Normalizations of the features or channels, the last axis. The parameters NAME.weight, ones with the role
 * SW_ROLE_NORM, and NAME.bias, zeros, have an element for each feature. features ≥ 1, or 0: the length of the last
 * axis. The operations of normalization.h state the equations. */

/* Batch normalization of vectors [batch, features], sequences [batch, length, features] and pictures [batch, height,
 * width, features]. The buffers NAME.running_mean and NAME.running_var hold the running statistics, which each training
 * step updates with the momentum 0.1; they normalize while SW_TRAIN is off, and while the layer is frozen
 * (sw_module_freeze). See sw_batch_norm. A last batch of one vector is an error: drop_last of sw_loader_options omits
 * it. */
SW_API sw_module *sw_nn_batch_norm(sw_model *model, int64_t features);
/* With options (normalization.h; NULL: the defaults), except those of the operation. With `cumulative`, the running
 * statistics are the plain average over all steps, which the buffer NAME.num_batches_tracked counts. */
SW_API sw_module *sw_nn_batch_norm_with_options(sw_model *model, int64_t features,
                                                const sw_batch_norm_options *options);
/* Options of the layers of layer, RMS and group normalization. */
typedef struct sw_norm_options {
    size_t size; /* sizeof(sw_norm_options) */
    double eps;  /* 0: the default of the operation */
    /* Layer and RMS normalization: the number of last axes that are normalized together; the parameters have their
     * shape, and `features` is the length of the last one. 0: 1. Several axes need samples of a known shape. */
    int axes;
    bool no_weight, no_bias; /* has no weight, no bias (RMS normalization never has a bias) */
} sw_norm_options;
/* Layer normalization over the last axis: see sw_layer_norm. */
SW_API sw_module *sw_nn_layer_norm(sw_model *model, int64_t features);
SW_API sw_module *sw_nn_layer_norm_with_options(sw_model *model, int64_t features, const sw_norm_options *options);
/* RMS normalization over the last axis: see sw_rms_norm. */
SW_API sw_module *sw_nn_rms_norm(sw_model *model, int64_t features);
SW_API sw_module *sw_nn_rms_norm_with_options(sw_model *model, int64_t features, const sw_norm_options *options);
/* Group normalization: see sw_group_norm. */
SW_API sw_module *sw_nn_group_norm(sw_model *model, int64_t groups, int64_t features);
SW_API sw_module *sw_nn_group_norm_with_options(sw_model *model, int64_t groups, int64_t features,
                                                const sw_norm_options *options);

/* Dropout with probability p in [0, 1), active while the switch SW_TRAIN of the tape is on: see sw_dropout (ops.h). */
SW_API sw_module *sw_nn_dropout(sw_model *model, double p);

/* Activations: each layer performs the operation of ops.h with the same name. */
SW_API sw_module *sw_nn_relu(sw_model *model);
SW_API sw_module *sw_nn_tanh(sw_model *model);
SW_API sw_module *sw_nn_sigmoid(sw_model *model);
SW_API sw_module *sw_nn_leaky_relu(sw_model *model, double slope); /* slope: finite */
SW_API sw_module *sw_nn_elu(sw_model *model, double alpha);        /* alpha: finite */
SW_API sw_module *sw_nn_silu(sw_model *model);
SW_API sw_module *sw_nn_softplus(sw_model *model);
SW_API sw_module *sw_nn_gelu(sw_model *model);
SW_API sw_module *sw_nn_gelu_tanh(sw_model *model);
/* Softmax, or its logarithm, along an axis. Axis 0 is the batch; negative axes count from the end: -1 is the axis of
 * the features or channels. */
SW_API sw_module *sw_nn_softmax(sw_model *model, int axis);
SW_API sw_module *sw_nn_log_softmax(sw_model *model, int axis);
/* One of these layers by its name, "gelu" for example, with slope 0.01, alpha 1 and axis -1. */
SW_API sw_module *sw_nn_activation(sw_model *model, const char *name);

/* Reshapes each sample to a vector: [batch, elements]. In files with channels first (archive.h), the parameters of the
 * layers behind it have the order of PyTorch's flatten: for pictures, [c,h,w] in place of [h,w,c]. This concerns inputs
 * and results of sw_nn_reshape with three or more axes, and the outputs of convolutions and pools. */
SW_API sw_module *sw_nn_flatten(sw_model *model);
/* Reshapes each sample to a shape with the same number of elements. `shape` does not include the batch axis. */
SW_API sw_module *sw_nn_reshape(sw_model *model, int rank, const int64_t *shape);

/* Applies layers one after the other: sw_nn_sequential(model, a, b, c, NULL). The tensors between the layers are
 * released. The final NULL is optional, because a macro of the same name counts the layers (see SW_MODULES below); a
 * call through a function pointer needs it. A NULL between two layers is an error. */
SW_API sw_module *sw_nn_sequential(sw_model *model, ...) __attribute__((sentinel));
/* As sw_nn_sequential, with an array of layers. */
SW_API sw_module *sw_nn_sequential_array(sw_model *model, int count, sw_module *const *modules);
/* Options of sw_nn_sequential_with_options. */
typedef struct sw_sequential_options {
    size_t size; /* sizeof(sw_sequential_options) */
    /* k ≥ 1: every k layers are a segment (the last one may be shorter) of which only the output is kept, and which the
     * backward computes again, as sw_nn_recompute does for one layer. The names of layers and parameters do not change.
     * Memory is smallest for k near the square root of the number of layers. 0: no segments. */
    int recompute;
} sw_sequential_options;
/* As sw_nn_sequential_array, with options (NULL: none). */
SW_API sw_module *sw_nn_sequential_with_options(sw_model *model, int count, sw_module *const *modules,
                                                const sw_sequential_options *options);
/* A layer that does what `layer` does with less memory: the tape keeps its inputs and its output alone, and the
 * backward runs `layer` again (sw_recompute in tape.h). Values, gradients, random numbers and running statistics are
 * the same, bit for bit, for about a third more arithmetic in a step. `layer` may have several inputs, and may contain
 * such layers. */
SW_API sw_module *sw_nn_recompute(sw_model *model, sw_module *layer);
/* A residual connection: x + f(x), for a layer f whose output has the shape of its input (He, Zhang, Ren, Sun, CVPR
 * 2016). */
SW_API sw_module *sw_nn_residual(sw_model *model, sw_module *f);

/* Composes a layer from others by a function. `forward` calls sw_forward for the inner layers (sw_module_child(self,
 * i), in the order of the list) and operations of ops.h in any way. The list ends as that of sw_nn_sequential. `kind`
 * is the name of the type, of 1 to 48 characters: layers of kind "block" are named block1, block2, …; see "Names"
 * below.
 *
 * The build determines the shapes by running `forward` once, on a tape that does not record, with zeros [2, sample...]
 * of the model's type. Each inner layer that it calls is built with the shape of its input and returns zeros. Therefore
 * `forward` must not make decisions that depend on values; a layer that is called twice must receive equal shapes; and
 * a layer that is not called is built with an unknown input shape. Parameters are declared in the order of the calls:
 * write each call as a separate statement, because C does not define the order of calls within an expression.
 * sw_nn_compose_with_options (module.h) has options.
 *
 * sw_nn_compose is a macro. In C++, a lambda that is passed as `forward` may contain commas inside parentheses only: a
 * comma outside of them (`sw_tensor a, b;`) would end the argument of the macro. Put such a lambda in parentheses, or
 * call sw_nn_compose_with_options, which is a function. */
SW_API sw_module *sw_nn_compose(sw_model *model, const char *kind, sw_tensor (*forward)(sw_module *self, sw_tensor x),
                                ...) __attribute__((sentinel));

/* ---- Names, parameters, settings ---- */

/* Names. A layer without a name is named by its type and a number: linear1. Numbers follow the order in which layers
 * are built: the order of the list in sw_nn_sequential, and the order of the calls in a composed layer. A composed
 * layer is a name space: the names of the layers inside it begin with its name, and their numbers begin at 1:
 * block1.linear1, block2.linear1, block2.query. Therefore the names inside a block do not depend on the layers around
 * it, a function that makes a block may be called many times, and names do not change when layers are added elsewhere.
 * Two layers with the same name are an error. */

/* Names a layer, before the build, with 1 to 100 characters. Returns the layer. */
SW_API sw_module *sw_module_set_name(sw_module *module, const char *name);

/* Sets the initial values of the parameter NAME.weight, before the build. Returns the layer. */
SW_API sw_module *sw_module_set_init(sw_module *module, sw_init init);
/* As sw_module_set_init, for any parameter of the layer, by the end of its name:
 * sw_module_set_param_init(layer, "bias", sw_init_pytorch()). If the layer does not have the parameter, the build
 * fails. */
SW_API sw_module *sw_module_set_param_init(sw_module *module, const char *suffix, sw_init init);
/* Sets the initial values of all parameters with the role SW_ROLE_WEIGHT (which embeddings and norms do not have),
 * except those set by sw_module_set_init. Before the build. */
SW_API sw_status sw_model_set_init(sw_model *model, sw_init init);
/* As sw_model_set_init, for all parameters that are declared with another role: SW_ROLE_BIAS, SW_ROLE_EMBEDDING, …
 * Neither changes the initial values of buffers. */
SW_API sw_status sw_model_set_role_init(sw_model *model, sw_role role, sw_init init);

/* Tie a parameter (sw_module_tie: the weight) of a layer to one of another layer. The two share their elements, which
 * are saved once; their gradients are added; the initial values and the role are those of the other layer's parameter.
 * Call it before the build. The other layer must be built first, and the shapes must be equal (the weights of
 * sw_nn_linear, [outputs, inputs], and of an embedding, [rows, dim], can be tied). Returns the layer. */
SW_API sw_module *sw_module_tie(sw_module *module, sw_module *other);
SW_API sw_module *sw_module_tie_param(sw_module *module, const char *suffix, sw_module *other,
                                      const char *other_suffix);

/* Freezes the parameters of a layer and of all layers inside it, so that they have no gradient and no update; false
 * makes them trainable again. It may be called before or after the build; the last call counts. A tied parameter that
 * is frozen in one layer is frozen in the other. Parameters that the build function of a layer froze (by
 * sw_param_freeze, a fixed table for example) stay frozen. Buffers are not changed. A layer with running statistics may
 * check `frozen` of sw_module, and then normalize by its buffers and report nothing. Returns the layer. */
SW_API sw_module *sw_module_freeze(sw_module *module, bool frozen);

/* The parameter NAME.suffix of the layer; NULL if the layer has no such parameter or is not built. */
SW_API sw_param *sw_module_find_param(const sw_module *module, const char *suffix);
/* The inner layer with an index, from 0; NULL if there is none. */
SW_API sw_module *sw_module_child(const sw_module *module, int index);

/* ---- Objectives and evaluation --------------------------------------------------------------- */

/* A function that returns the mean loss of predictions for targets: sw_cross_entropy, sw_mse, sw_bce_with_logits, … A
 * custom loss that ignores or weights rows declares its weight (loss_mean.h). A loss that needs other data than
 * predictions and targets is the member `loss` of an objective that the program fills in (objective.h). */
typedef sw_tensor (*sw_loss)(sw_tensor prediction, sw_tensor target);

/* The objective with f_i(x) = loss(model(x_i), y_i) over a data source. The model owns it, and returns the same
 * objective for the same source and loss. The objective keeps the source alive until sw_model_free: if sw_source_free
 * is called before, sw_model_free calls the source's `free`. NULL after an error.
 *
 * A model that consists of one linear layer for vectors (after flattening), on samples that are not random
 * (sw_source.fixed), is recognized as a generalized linear model. Then the tables of sag, saga and svrg hold n·outputs
 * numbers. In addition no tape is needed if the loss is sw_cross_entropy, sw_mse or sw_huber, and the samples are in
 * memory in the model's type. For weights that are stored in 16 bits, these estimators compute in f32 with x itself,
 * rather than with its 16-bit copy. */
SW_API const sw_objective *sw_model_objective(sw_model *model, const sw_source *source, sw_loss loss);

/* The result of sw_model_evaluate. */
typedef struct sw_evaluation {
    double loss; /* the mean over the source, by the weights of the batches' losses (loss_mean.h) */
    /* The fraction of the targets whose class id is that of the largest output. Targets whose id is not that of a
     * class, such as those that a loss ignores, are not counted. NaN if the targets are not class ids [batch, ...],
     * with outputs [batch, ..., classes] of two classes or more. */
    double accuracy;
} sw_evaluation;
/* Computes loss and accuracy over a source, without recording or dropout, at the parameter vector x (NULL: the
 * model's), in batches of 1000 samples; of samples with several class ids each, such as texts, in batches of at most
 * 1000 ids, or one sample. Random samples of the source are those of draw 0. See sw_predict about threads. */
SW_API sw_status sw_model_evaluate(sw_model *model, const void *x, const sw_source *source, sw_loss loss,
                                   sw_evaluation *result);

/* Options of sw_model_recalibrate. */
typedef struct sw_recalibrate_options {
    size_t size;     /* sizeof(sw_recalibrate_options) */
    int64_t batch;   /* the largest number of samples in a batch, preferably the batch size of the training; 0: 64 */
    int64_t batches; /* 0: one epoch */
    uint64_t seed;   /* of the order of the samples */
} sw_recalibrate_options;
/* Sets the buffers (running statistics; "Buffers" in params.h) in the parameter vector x (NULL: the model's) to the
 * statistics of the data at x. Call it for a point that training did not go through: an average of iterates (SWA,
 * EMA), the point of evaluation of a rule (Schedule-Free), a point between two models. The buffers at such a point are
 * averages of the statistics at other points (P. Izmailov et al., Averaging weights leads to wider optima, UAI 2018,
 * section 3.2).
 *
 * The function runs the model on batches of the source in random order, as in training (with dropout, without
 * recording). Then it sets each buffer to the statistics of all batches together, pooled by weight; its old value and
 * its momentum do not matter. An epoch is divided into batches whose sizes differ by at most 1. Equal arguments give
 * equal bits. The rest of x does not change, and neither does a buffer for which no layer reports. A buffer that counts
 * the steps of a plain average is increased by 1. options NULL: the defaults. After an error x is unchanged. See
 * sw_predict about threads.
 *
 *     memcpy(copy, sw_optim_point(optim), bytes);        // or sw_optim_adopt_point(optim), and NULL for copy
 *     sw_model_recalibrate(model, copy, train, NULL);
 *     sw_model_evaluate(model, copy, test, sw_cross_entropy, &result);
 */
SW_API sw_status sw_model_recalibrate(sw_model *model, void *x, const sw_source *source,
                                      const sw_recalibrate_options *options);

/* Computes the outputs for an array x [n, sample...], n ≥ 0 (one picture is [1, height, width, channels]), in batches
 * of 1000 rows, without dropout. x is of a floating-point type, i32 or u8 and is converted to the model's type; if the
 * first layer takes ids (an embedding), x holds ids. If y->data is NULL, *y becomes a new array, which the caller frees
 * by sw_array_free; after an error *y is unchanged. Else y must have the shape and type of the output, and the function
 * fills it. Outputs in f16 and bf16 are returned in f32, unless y is given in their type.
 *
 * The function does not scale x: if the training data were scaled or normalized (pictures: bytes divided by 255), scale
 * x in the same way. Arrays that begin at a multiple of 64 bytes, as those of sw_array_new do, are multiplied up to a
 * third faster.
 *
 * Only one of sw_predict, sw_predict_source, sw_model_evaluate and sw_model_recalibrate may run on a model at a time,
 * because they use its tape. A second call, from another thread or from a user's function that the first one calls, is
 * an error. To share a model between threads, give each thread a tape and call sw_forward. */
SW_API sw_status sw_predict(sw_model *model, const sw_array *x, sw_array *y);
/* As sw_predict, for all samples of a source, in order. Random samples are those of draw 0. */
SW_API sw_status sw_predict_source(sw_model *model, const sw_source *source, sw_array *y);

/* ---- Lists of layers ------------------------------------------------------------------------- */
/* The macros sw_nn_sequential and sw_nn_compose call these functions with an array of layers and its length. NULLs at
 * the end of the array are ignored. */
SW_API sw_module *sw_nn_sequential_listed(sw_model *model, int count, sw_module *const *modules);
SW_API sw_module *sw_nn_compose_listed(sw_model *model, const char *kind,
                                       sw_tensor (*forward)(sw_module *self, sw_tensor x), int count,
                                       sw_module *const *modules);
#ifdef __cplusplus
extern "C++" {
inline sw_module *sw_nn_sequential_listed(sw_model *model, std::initializer_list<sw_module *> modules) {
    return sw_nn_sequential_listed(model, static_cast<int>(modules.size()), modules.begin());
}
inline sw_module *sw_nn_compose_listed(sw_model *model, const char *kind,
                                       sw_tensor (*forward)(sw_module *self, sw_tensor x),
                                       std::initializer_list<sw_module *> modules) {
    return sw_nn_compose_listed(model, kind, forward, static_cast<int>(modules.size()), modules.begin());
}
}
#define SW_MODULES(...) \
    { __VA_ARGS__ }
#else
#define SW_MODULES(...)                                                                            \
    (int)(sizeof((sw_module *const[]){__VA_ARGS__}) / sizeof(sw_module *)), (sw_module *const[]) { \
        __VA_ARGS__                                                                                \
    }
#endif
#define sw_nn_sequential(model, ...) sw_nn_sequential_listed(model, SW_MODULES(__VA_ARGS__))
#define sw_nn_compose(model, kind, forward, ...) sw_nn_compose_listed(model, kind, forward, SW_MODULES(__VA_ARGS__))

#ifdef __cplusplus
}
#endif
#endif
