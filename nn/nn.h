/* swale nn: layers, initial values, models. Built on core alone.
 *
 * A model owns its layers and its parameters. Layers are made by sw_nn_ functions, which return a
 * placeholder after an error, so that a program chains them and asks once: sw_model_build returns
 * NULL, and sw_error() says which layer was wrong.
 */
#ifndef SWALE_NN_H
#define SWALE_NN_H

#include "core.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sw_model sw_model;
typedef struct sw_module sw_module;

/* ---- Models ---------------------------------------------------------------------------------- */

/* type: f32 or f64, of parameters and activations. Equal seeds and names give equal initial values. */
SW_API sw_model *sw_model_new(sw_dtype type, uint64_t seed);
SW_API void sw_model_free(sw_model *model);
/* The shape of one sample, without the batch axis: needed only where a layer leaves its number of
 * inputs open (0). */
SW_API sw_status sw_model_input(sw_model *model, int rank, const int64_t *shape);
/* Works out shapes, declares and initialises the parameters; the weight of the last layer that has
 * one gets the role SW_ROLE_HEAD. Once. NULL and an error if a layer does not fit. */
SW_API sw_params *sw_model_build(sw_model *model, sw_module *root);
SW_API sw_params *sw_model_params(const sw_model *model); /* NULL before the build */
SW_API sw_module *sw_model_root(const sw_model *model);
/* A table: layer, what it is, output shape, parameters. */
SW_API void sw_model_print(const sw_model *model, FILE *to);

/* The output of a layer, or of the root, for a batch. x is [batch, ...]. */
SW_API sw_tensor sw_forward(sw_module *module, sw_tensor x);

/* ---- Layers ---------------------------------------------------------------------------------- */

/* x Wᵀ + b. inputs ≥ 1, or 0: what comes in; outputs ≥ 1. W [outputs, inputs] starts by He's uniform
 * rule, b [outputs] at zero. Parameters NAME.weight and NAME.bias. */
SW_API sw_module *sw_nn_linear(sw_model *model, int64_t inputs, int64_t outputs);
SW_API sw_module *sw_nn_relu(sw_model *model);
/* Drops with probability p in [0, 1) while the tape's SW_TRAIN is on. */
SW_API sw_module *sw_nn_dropout(sw_model *model, double p);
/* One after the other; the list ends with NULL. What passes between them is released. */
SW_API sw_module *sw_nn_sequential(sw_model *model, ...) __attribute__((sentinel));
/* The same from an array. */
SW_API sw_module *sw_nn_sequential_of(sw_model *model, int count, sw_module *const *modules);

/* Names a layer (before the build); otherwise it is its kind and a number, counted in the order of the
 * build: linear1. At most 100 characters. Returns it. */
SW_API sw_module *sw_module_name(sw_module *module, const char *name);
/* How its weight starts (before the build). Returns it. */
SW_API sw_module *sw_module_init(sw_module *module, sw_init init);

/* ---- Initial values -------------------------------------------------------------------------- */

/* gain scales the standard deviation: √2 after ReLU, 1 for a linear layer, 5/3 for tanh. */
/* Variance gain²/fan_in. He, Zhang, Ren, Sun, ICCV 2015 (their gain is √2). */
SW_API sw_init sw_init_he_normal(double gain);
SW_API sw_init sw_init_he_uniform(double gain);
/* Variance 2 gain²/(fan_in + fan_out). Glorot, Bengio, AISTATS 2010 (their gain is 1). */
SW_API sw_init sw_init_xavier_normal(double gain);
SW_API sw_init sw_init_xavier_uniform(double gain);
SW_API sw_init sw_init_zeros(void);

/* ---- Objectives and evaluation --------------------------------------------------------------- */

/* The mean loss of predictions against targets: sw_cross_entropy, sw_mse, sw_bce_with_logits, … */
typedef sw_tensor (*sw_loss)(sw_tensor prediction, sw_tensor target);

/* f_i(x) = loss(model(x_i), y_i) over a data source, which must outlive it. Owned by the model. */
SW_API const sw_objective *sw_model_objective(sw_model *model, const sw_source *source, sw_loss loss);

typedef struct sw_evaluation {
    double loss;     /* mean over the source */
    double accuracy; /* share of samples whose largest output is the target's class; NaN without */
} sw_evaluation;
/* Without recording or dropout, in batches of 1000, at the parameter vector x (NULL: the model's). */
SW_API sw_status sw_model_evaluate(sw_model *model, const void *x, const sw_source *source,
                                   sw_loss loss, sw_evaluation *result);

/* ---- Layers of one's own --------------------------------------------------------------------- */

/* A sample's shape on its way through the layers. rank -1: not known. */
typedef struct sw_sample_shape {
    int rank;
    int64_t length[SW_MAX_RANK];
} sw_sample_shape;

typedef struct sw_module_type {
    size_t size;      /* sizeof(sw_module_type) */
    const char *name; /* "linear": layers are named after it */
    /* Takes the incoming sample's shape and replaces it by the outgoing one; declares parameters by
     * sw_module_param. NULL: shape unchanged, no parameters. */
    sw_status (*build)(sw_module *module, sw_sample_shape *shape);
    sw_tensor (*forward)(sw_module *module, sw_tensor x);
    void (*describe)(const sw_module *module, char *text, size_t bytes); /* "784 → 100"; NULL: "" */
    void (*free)(sw_module *module); /* what `data` owns; NULL: nothing */
} sw_module_type;

struct sw_module {
    const sw_module_type *type;
    sw_model *model;
    const char *name;
    void *data; /* the layer's own, `bytes` of it, freed by the model */
    sw_module *parent, **child;
    int children;
    bool built;
    bool named;   /* by sw_module_name, or by the build; until then `name` is the kind's */
    sw_init init; /* of the weight; fill NULL: the layer's default */
    sw_sample_shape out;
};

/* A layer with `bytes` of zeroed data. A placeholder after an error. */
SW_API sw_module *sw_module_new(sw_model *model, const sw_module_type *type, size_t bytes);
/* Marks the model as failed and returns the placeholder, after sw_fail. */
SW_API sw_module *sw_module_failed(sw_model *model);
/* Declares NAME.suffix. NULL after an error. */
SW_API sw_param *sw_module_param(sw_module *module, const char *suffix, int rank,
                                 const int64_t *shape, const sw_param_options *options);
/* Adds a layer inside a layer; its build and forward are called by the outer one's. */
SW_API sw_status sw_module_add(sw_module *module, sw_module *child);
SW_API sw_status sw_module_build(sw_module *module, sw_sample_shape *shape);

#ifdef __cplusplus
}
#endif
#endif
