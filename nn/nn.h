/* swale nn: layers, initial values, models. Built on core alone.
 *
 * A model owns its layers and its parameters. Layers are made by sw_nn_ functions, which return a
 * placeholder after an error, so that a program chains them and asks once: sw_model_build returns
 * NULL, and sw_error() says which layer was wrong.
 */
#ifndef SWALE_NN_H
#define SWALE_NN_H

#include <swale/init.h>
#include <swale/module.h>
#include <swale/objective.h>
#include <swale/source.h>

#ifdef __cplusplus
#include <initializer_list>
extern "C" {
#endif

/* ---- Models ---------------------------------------------------------------------------------- */

/* type: f32 or f64, of parameters and activations. Equal seeds and names give equal initial values. */
SW_API sw_model *sw_model_new(sw_dtype type, uint64_t seed);
SW_API void sw_model_free(sw_model *model);
/* The shape of one sample, without the batch axis: needed only where a layer leaves its number of
 * inputs open (0). */
SW_API sw_status sw_model_set_input_shape(sw_model *model, int rank, const int64_t *shape);
/* Works out shapes, declares and initializes the parameters; the weight of the last layer that has
 * one gets the role SW_ROLE_HEAD. Once. NULL and an error if a layer does not fit. */
SW_API sw_params *sw_model_build(sw_model *model, sw_module *root);
SW_API sw_params *sw_model_params(const sw_model *model); /* NULL before the build */
SW_API sw_module *sw_model_root(const sw_model *model);
/* All that the model has learned, by name, in a file: see sw_params_save and sw_params_load in core.h. */
SW_API sw_status sw_model_save(const sw_model *model, const char *path);
SW_API sw_status sw_model_load(sw_model *model, const char *path);
/* A table: layer, what it is, output shape, parameters. Columns are as wide as their longest entry. */
SW_API void sw_model_print(const sw_model *model, FILE *to);

/* The output of a layer, or of the root, for a batch. x is [batch, ...]. */
SW_API sw_tensor sw_forward(sw_module *module, sw_tensor x);

/* ---- Layers ---------------------------------------------------------------------------------- */

/* x Wᵀ + b. inputs ≥ 1, or 0: what comes in; outputs ≥ 1. W [outputs, inputs] starts by He's uniform
 * rule, b [outputs] at zero. Parameters NAME.weight and NAME.bias. */
SW_API sw_module *sw_nn_linear(sw_model *model, int64_t inputs, int64_t outputs);
/* x Wᵀ */
SW_API sw_module *sw_nn_linear_no_bias(sw_model *model, int64_t inputs, int64_t outputs);
/* Ids 0 to rows - 1, [batch, ...], to rows of the weight [rows, dim]: [batch, ..., dim]. Ids are i32, u8, or
 * f32 and f64 that hold whole numbers (from a source, say; f32 up to 2^24); anything else is an error that
 * names it and its place. The weight starts normal(0, 1), has fan_in dim and fan_out rows, and the role
 * SW_ROLE_EMBEDDING. */
SW_API sw_module *sw_nn_embedding(sw_model *model, int64_t rows, int64_t dim);
/* Drops with probability p in [0, 1) while the tape's SW_TRAIN is on. */
SW_API sw_module *sw_nn_dropout(sw_model *model, double p);

/* Activations, each the operation of core.h that has its name. */
SW_API sw_module *sw_nn_relu(sw_model *model);
SW_API sw_module *sw_nn_tanh(sw_model *model);
SW_API sw_module *sw_nn_sigmoid(sw_model *model);
SW_API sw_module *sw_nn_leaky_relu(sw_model *model, double slope); /* finite */
SW_API sw_module *sw_nn_elu(sw_model *model, double alpha);        /* finite */
SW_API sw_module *sw_nn_silu(sw_model *model);
SW_API sw_module *sw_nn_softplus(sw_model *model);
SW_API sw_module *sw_nn_gelu(sw_model *model);
SW_API sw_module *sw_nn_gelu_tanh(sw_model *model);
/* The axis counts from the batch, which is 0; negative: from the end. */
SW_API sw_module *sw_nn_softmax(sw_model *model, int axis);
SW_API sw_module *sw_nn_log_softmax(sw_model *model, int axis);
/* One of them by its name: "gelu". slope 0.01, alpha 1, axis -1. */
SW_API sw_module *sw_nn_activation(sw_model *model, const char *name);

/* A sample of any shape to a vector: [batch, elements]. */
SW_API sw_module *sw_nn_flatten(sw_model *model);
/* A sample to another shape of as many elements; the batch is not named. */
SW_API sw_module *sw_nn_reshape(sw_model *model, int rank, const int64_t *shape);

/* One after the other: sw_nn_sequential(model, a, b, c, NULL). What passes between them is released. The
 * final NULL is optional, because a macro of the same name counts the layers (see SW_MODULES below). A NULL
 * between two layers is an error. A call through a function pointer needs the NULL. */
SW_API sw_module *sw_nn_sequential(sw_model *model, ...) __attribute__((sentinel));
/* The same from an array. */
SW_API sw_module *sw_nn_sequential_array(sw_model *model, int count, sw_module *const *modules);
/* x + f(x), for a layer f whose output is shaped like its input (He, Zhang, Ren, Sun, CVPR 2016). */
SW_API sw_module *sw_nn_residual(sw_model *model, sw_module *f);

/* A layer composed of others by a function: `forward` calls sw_forward on its layers
 * (sw_module_child(self, i), in the order given here) and operations of core.h in any way. The list ends
 * as that of sw_nn_sequential. `kind` names it: kind "block" makes block1, block2, …; see "Names" below.
 *
 * Shapes are worked out at the build: `forward` is run once on a tape that does not record, with zeros
 * [2, sample...] of the model's type; each layer that it calls is built with the shape that reaches it, and
 * gives zeros. So `forward` must not decide by the numbers; a layer called twice must see equal shapes;
 * one that is not called is built without knowing what comes in. Parameters are declared in the order of the
 * calls: write each call as a separate statement, since C leaves the order within an expression open.
 * sw_nn_compose_with_options has options.
 *
 * sw_nn_compose is a macro. In C++ a lambda given as `forward` may hold commas inside parentheses only: one
 * outside of them (`sw_tensor a, b;`) would end the macro's argument. Put such a lambda in parentheses, or
 * call sw_nn_compose_with_options, which is a function. */
SW_API sw_module *sw_nn_compose(sw_model *model, const char *kind, sw_tensor (*forward)(sw_module *self, sw_tensor x),
                                ...) __attribute__((sentinel));

/* ---- Names, parameters, settings ---- */

/* Names. A layer not named is its kind and a number: linear1. Numbers follow the order of the build, which
 * is that of the sequential and, in a composed layer, that of the calls. A composed layer is a name space:
 * the names of the layers in it begin with its own, and numbers start anew: block1.linear1,
 * block2.linear1, block2.query. So what is in a block does not depend on what is around it, a function
 * that makes a block may be called many times, and names stay as they are when layers are added
 * elsewhere. Two layers of one name are an error. */

/* Names a layer (before the build). At most 100 characters. Returns it. */
SW_API sw_module *sw_module_set_name(sw_module *module, const char *name);

/* How its weight starts (before the build). Returns it. */
SW_API sw_module *sw_module_set_init(sw_module *module, sw_init init);
/* The same for any parameter, by the end of its name: sw_module_set_param_init(layer, "bias",
 * sw_init_pytorch()). A parameter that the layer does not have is an error of the build. */
SW_API sw_module *sw_module_set_param_init(sw_module *module, const char *suffix, sw_init init);
/* How all weights of layers start (role SW_ROLE_WEIGHT, so not those of embeddings and norms) for which
 * sw_module_set_init says nothing. Before the build. */
SW_API sw_status sw_model_set_init(sw_model *model, sw_init init);
/* The same for all parameters that are declared with a role: SW_ROLE_BIAS, SW_ROLE_EMBEDDING, … */
SW_API sw_status sw_model_set_role_init(sw_model *model, sw_role role, sw_init init);

/* The layer's weight is the other layer's: one set of numbers, gradients add up, saved once, initial values
 * and role of the other's. Before the build; the other layer must come first in it, and the shapes must be
 * equal (sw_nn_linear's weight is [outputs, inputs], an embedding's [rows, dim]: they fit). Returns it. */
SW_API sw_module *sw_module_tie(sw_module *module, sw_module *other);
SW_API sw_module *sw_module_tie_param(sw_module *module, const char *suffix, sw_module *other,
                                      const char *other_suffix);

/* No gradient and no update for its parameters and those of all layers in it, from now on or from the build
 * on; false: again. The last call counts. A tied parameter is one: frozen in one layer, it is frozen
 * in the other. Parameters that a layer froze in its own build (sw_param_freeze, for example a fixed table)
 * stay frozen. Returns it. */
SW_API sw_module *sw_module_freeze(sw_module *module, bool frozen);

/* The layer's own parameter NAME.suffix; NULL: it has none, or is not built. */
SW_API sw_param *sw_module_find_param(const sw_module *module, const char *suffix);
/* The layer inside it, counted from 0; NULL: no such. */
SW_API sw_module *sw_module_child(const sw_module *module, int index);

/* ---- Objectives and evaluation --------------------------------------------------------------- */

/* The mean loss of predictions against targets: sw_cross_entropy, sw_mse, sw_bce_with_logits, … */
typedef sw_tensor (*sw_loss)(sw_tensor prediction, sw_tensor target);

/* f_i(x) = loss(model(x_i), y_i) over a data source. A model of one linear layer (after flattening) on samples without
 * chance (sw_source.fixed) is recognized as a generalized linear model: the tables of sag, saga and svrg hold n·outputs
 * numbers, and no tape is needed where the loss is sw_cross_entropy, sw_mse or sw_huber and the samples lie in memory in
 * the model's type. Owned by the model; the same source and loss give the
 * same objective again. The objective holds the source until sw_model_free: if sw_source_free is called
 * before, sw_model_free calls the source's `free`. */
SW_API const sw_objective *sw_model_objective(sw_model *model, const sw_source *source, sw_loss loss);

typedef struct sw_evaluation {
    double loss;     /* mean over the source, by the weights of the batches' losses */
    double accuracy; /* fraction of the samples with a class id whose largest output is that class; NaN without */
} sw_evaluation;
/* Without recording or dropout, in batches of 1000, at the parameter vector x (NULL: the model's). Accuracy
 * is of outputs [batch, classes] and class ids. What is random in the source is that of draw 0. */
SW_API sw_status sw_model_evaluate(sw_model *model, const void *x, const sw_source *source, sw_loss loss,
                                   sw_evaluation *result);

/* The outputs for x [n, sample...], n ≥ 0: arrays in, arrays out, in batches of 1000 rows, without dropout.
 * x is f32, f64, i32 or u8 and is converted to the model's type; for a model that takes ids (its first
 * layer is an embedding) to i32. y->data NULL: *y becomes a new array, to be freed by sw_array_free, and
 * stays as it is after an error. Else y must have the output's shape and type, and is filled. x is taken as
 * it is: where the training data were scaled or normalized (pictures: bytes over 255), so must x be. Rows
 * that begin at a multiple of 64 bytes, as sw_array_new's do, are up to a third faster to multiply. Only one
 * of sw_predict, sw_predict_source and sw_model_evaluate may run on a model at a time, because they use its
 * tape; a second call, from another thread or from a user's function called by the first, is an error. To
 * share a model between threads, give each thread a tape and call sw_forward. */
SW_API sw_status sw_predict(sw_model *model, const sw_array *x, sw_array *y);
/* The same for all samples of a source, in order; what is random in them is that of draw 0. */
SW_API sw_status sw_predict_source(sw_model *model, const sw_source *source, sw_array *y);

/* ---- Lists of layers ------------------------------------------------------------------------- */
/* The macros sw_nn_sequential and sw_nn_compose call these functions with an array of layers and its length.
 * NULLs at the end are dropped. */
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
