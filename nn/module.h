/* Layers: the contract of a layer type, and the functions with which custom layers are written.
 *
 * A custom layer is a sw_module_type with a build and a forward function, and a function that makes the layer:
 *
 *     sw_module *my_layer(sw_model *model) {
 *         return sw_module_new(model, &my_type, sizeof(my_data));
 *     }
 *
 * sw_nn_compose (nn.h) is simpler if the layer only combines other layers and operations. A layer of several inputs
 * (queries and a context, a mask) has build_many and forward_many in place of build and forward.
 */
#ifndef SWALE_MODULE_H
#define SWALE_MODULE_H

#include <swale/ops.h>
#include <swale/state.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sw_model sw_model;
typedef struct sw_module sw_module;
typedef struct sw_description sw_description; /* the settings of a layer in a file: description.h */

/* The shape of one sample, without the batch axis. rank -1: not known. The members after `length` state how PyTorch
 * orders the elements of the sample, for files with channels first (archive.h); if they are 0, PyTorch has the same
 * order. A layer that acts on each element or each channel separately does not change them. A build function that sets
 * another shape writes a new struct: (sw_sample_shape){.rank = 3, .length = {h, w, c}, .spatial = 2}. They are ignored
 * in the shapes of inputs that a program sets: inputs of three or more axes are pictures. */
typedef struct sw_sample_shape {
    int rank;
    int64_t length[SW_MAX_RANK];
    int spatial; /* the number of axes that PyTorch has after the channels, which are the last axis here: 1 behind a
                  * convolution of sequences [length, channels], 2 behind one of pictures [height, width, channels] */
    /* Behind a flatten: the rank and the shape of the sample that became the last axis; `spatial` is that of this
     * sample. 0: nothing was flattened, or PyTorch has the same order; -1: the sample was not known. */
    int flattened_rank;
    int64_t flattened[SW_MAX_RANK];
} sw_sample_shape;
/* For build functions: the order of a parameter in files with channels first, for sw_param_options.channels_first. Axis
 * `axis` of the parameter has an element for each feature of the input, whose last axis are the features: axis 1 for
 * the weight [outputs, inputs] of a linear layer. The result is the order of x (rank 0) unless the features are a
 * flattened sample, and has rank -1 if the order is not known. */
SW_API sw_file_order sw_sample_channels_first(const sw_sample_shape *sample, int rank, const int64_t *shape, int axis);

enum { SW_MAX_INPUTS = 16 }; /* of a layer */

/* The type of a layer: a constant that outlives the models with such layers. */
typedef struct sw_module_type {
    size_t size;      /* sizeof(sw_module_type) */
    const char *name; /* "linear"; layers are named after it */
    /* Receives the shape of a sample of the input and replaces it by that of the output; declares the parameters by
     * sw_module_add_param. NULL: the shape does not change, and there are no parameters. */
    sw_status (*build)(sw_module *module, sw_sample_shape *shape);
    /* Computes the output for a batch, on the tape of x; a null tensor after an error. NULL if there is a
     * forward_many. */
    sw_tensor (*forward)(sw_module *module, sw_tensor x);
    /* Writes a description for sw_model_print, at most `bytes` bytes: "784 → 100". NULL: no description. */
    void (*describe)(const sw_module *module, char *text, size_t bytes);
    void (*free)(sw_module *module); /* frees what the members of `data` own; NULL: nothing to free */
    bool name_space; /* the names of layers inside it begin with the name of this layer: see "Names" in nn.h */
    bool takes_ids;  /* its input is ids, which sw_predict does not convert to the type of the model */
    /* Properties by which sw_model_objective recognizes a linear model. */
    /* For a layer that computes x Wᵀ + b, declares W [outputs, inputs] and then b [outputs] (if there is one), and no
     * other parameter: gives the sizes once it is built. NULL: another layer. */
    void (*linear_sizes)(const sw_module *module, int64_t *inputs, int64_t *outputs, bool *bias);
    bool is_chain;   /* forward calls the layers in it one after the other, and does nothing else */
    bool is_reshape; /* forward changes the shape of a sample alone, not its elements or their order */
    /* For a layer of several inputs, in place of `build` and `forward`. Axis 0 of each input is the batch; it has
     * length 1 if the input is the same for all samples, as a mask may be. */
    /* Receives the shapes of a sample of each input, and sets *out, which is unknown before (rank -1); declares the
     * parameters. NULL: the output has the shape of the first input, and there are no parameters. */
    sw_status (*build_many)(sw_module *module, int count, const sw_sample_shape *in, sw_sample_shape *out);
    /* Computes the output for `count` inputs on one tape; a null tensor after an error. */
    sw_tensor (*forward_many)(sw_module *module, int count, const sw_tensor *x);
    /* The number of inputs that forward_many takes: at least (0: 1) and at most (0: SW_MAX_INPUTS). Inputs that may be
     * left out are the last. */
    int least_inputs, most_inputs;
    unsigned id_inputs;   /* bit i: input i is ids (see takes_ids), and is i32 in sw_module_trace_many */
    unsigned mask_inputs; /* bit i: input i is a mask, and is u8 in sw_module_trace_many */
    /* For files that contain the network (description.h); the type must be registered by sw_module_type_register.
     * `save` writes the settings of a built layer. `restore` makes a layer from these settings, with the inner layers
     * that sw_description_layers returns; after an error it returns NULL or sw_module_fail(model). NULL: layers of this
     * type cannot be described. */
    sw_status (*save)(const sw_module *module, sw_description *to);
    sw_module *(*restore)(sw_model *model, const sw_description *from);
    /* The layer acts on each position of a sequence [batch, time, ...] separately, or keeps what it needs of earlier
     * ones by sw_module_state. If this is true for all layers of a network, it computes sequences in parts, and
     * sw_generate does not compute earlier positions again. A layer that only calls others has `continues` too. */
    bool continues;
} sw_module_type;

typedef struct sw_module_setting sw_module_setting;

/* A layer. Layer types read the members; only the library changes them, except the contents of `data`. */
struct sw_module {
    const sw_module_type *type;
    sw_model *model;
    const char *name;
    void *data; /* for the layer type: the `bytes` of sw_module_new; the model frees it */
    sw_module *parent, **child;
    int children;
    bool built;
    bool named;       /* by sw_module_set_name, or by the build; before that, `name` is the name of the type */
    bool settled;     /* its name is final */
    bool frozen;      /* the last argument of sw_module_freeze, for this layer or for a layer that contains it */
    int number;       /* the number in its name, 0 if it has none */
    sw_param **param; /* the parameters of this layer, in the order of declaration */
    int params;
    sw_module_setting *settings; /* the requests of sw_module_set_init and sw_module_tie */
    sw_sample_shape in, out;     /* rank -1: not known */
    bool *kept_frozen;           /* [params]: frozen by its build function; NULL: none is */
    int inputs;                  /* with which it was built; 0 before */
    sw_sample_shape *every_in;   /* [inputs], of which `in` is the first; NULL if there is one */
};

/* Makes a layer of a type, with `bytes` of zeroed data. After an error it returns a placeholder, which other functions
 * accept (NULL if the model is NULL). */
SW_API sw_module *sw_module_new(sw_model *model, const sw_module_type *type, size_t bytes);
/* Whether it is a layer of this type: false for the placeholder of an error, and for NULL. */
static inline bool sw_module_is(const sw_module *module, const sw_module_type *type) {
    return module && module->type == type;
}
/* Marks the model as failed, so that sw_model_build fails, and returns the placeholder. Call sw_fail before. */
SW_API sw_module *sw_module_fail(sw_model *model);
/* For a build function: declares the parameter NAME.suffix. The initial values are those of the options, unless the
 * program has set others (sw_module_set_init, sw_model_set_init). If the program has tied the parameter, this declares
 * a name for that of the other layer. NULL after an error. */
SW_API sw_param *sw_module_add_param(sw_module *module, const char *suffix, int rank, const int64_t *shape,
                                     const sw_param_options *options);
/* Adds a layer inside a layer. The build and forward functions of the outer layer call sw_module_build and sw_forward
 * for the inner one. A layer can be inside one layer only. */
SW_API sw_status sw_module_add_child(sw_module *module, sw_module *child);
/* Names a layer and builds it for samples of shape *shape, which the function replaces by the shape of the output. */
SW_API sw_status sw_module_build(sw_module *module, sw_sample_shape *shape);
/* The same for a layer of `count` inputs with samples of the shapes in[]; *out becomes the shape of the output. */
SW_API sw_status sw_module_build_many(sw_module *module, int count, const sw_sample_shape *in, sw_sample_shape *out);
/* For the build of a layer made of layers that it calls in any way: runs its forward on zeros [2, sample...] (ids for a
 * type with takes_ids). Each layer in it is built with the shape of the sample that reaches it; *shape becomes that of
 * the output. Layers that forward does not call are not built. */
SW_API sw_status sw_module_trace(sw_module *module, sw_sample_shape *shape);
/* The same for the build_many of a layer of several inputs. */
SW_API sw_status sw_module_trace_many(sw_module *module, int count, const sw_sample_shape *in, sw_sample_shape *out);
/* For the forward of a layer with parameters: x in the element type of `weight`, the leaf of a parameter. The layers of
 * a network whose weights are stored in 16 bits then compute in 16 bits, although a batch or the result of a norm is
 * f32. Returns x itself if there is nothing to convert: the types are equal, one of them is f64, or x is not of a
 * floating-point type; the operation that follows then accepts or refuses the types. Otherwise the result is a new
 * tensor, which the layer releases after use:
 *
 *     const sw_tensor weight = sw_param_use(x.tape, l->weight), in = sw_module_cast(x, weight);
 *     const sw_tensor y = sw_matmul(in, weight);
 *     if (in.slot != x.slot)
 *         sw_release(in); */
SW_API sw_tensor sw_module_cast(sw_tensor x, sw_tensor weight);
/* For the forward of a layer, while its tape has a state (sw_tape_state): `bytes` of memory of this layer, aligned to
 * SW_ALIGNMENT. They are 0 in the first pass of a sequence, and later what the layer has written to them:
 *
 *     typedef struct memory { int64_t positions; } memory;
 *     memory *before = sw_tape_state(x.tape) ? sw_module_state(module, x.tape, batch, sizeof(memory)) : NULL;
 *
 * A layer may ask for more bytes than before, also twice in one call of its forward: the first bytes stay, the new ones
 * are 0, and the address may change. If a pass calls a layer several times, each of the calls has its own memory.
 * `batch` is the number of sequences, the length of axis 0; another number than in the sequence so far is an error
 * (SW_ERR_SHAPE). NULL after an error, or if the tape has no state. */
SW_API void *sw_module_state(const sw_module *module, sw_tape *tape, int64_t batch, size_t bytes);
/* The type of x, SW_F32 or SW_F64 (for a model in f16 or bf16 SW_F32; sw_params_storage is the type of its leaves), and
 * the seed of the initial values, also before the build. */
SW_API sw_dtype sw_model_type(const sw_model *model);
SW_API uint64_t sw_model_seed(const sw_model *model);

/* ---- Composed layers with options ---- */

/* Options of a composed layer. */
typedef struct sw_compose_options {
    size_t size; /* sizeof(sw_compose_options) */
    void *user;  /* returned by sw_module_user */
    /* The shape of a sample of the output; NULL: the build determines it by running `forward`. If it is given, the
     * build does not run `forward`, and builds the inner layers in order, with unknown input shapes. */
    const sw_sample_shape *out;
    bool takes_ids;               /* the input is ids, i32 in the run at the build; see sw_predict */
    SW_ADDED int optional_inputs; /* sw_nn_compose_many: how many of the last inputs may be left out */
    unsigned id_inputs;           /* sw_nn_compose_many: bit i: input i is ids, i32 in the run at the build */
    unsigned mask_inputs;         /* sw_nn_compose_many: bit i: input i is a mask, u8 in the run at the build */
    /* Writes the settings of the layer, for files that contain the network. A registered type with the name `kind`
     * restores it: see sw_module_type_register (description.h). NULL: the layer cannot be described. */
    sw_status (*save)(const sw_module *module, sw_description *to);
    bool continues; /* the layer continues sequences: see sw_module_type */
} sw_compose_options;
/* As sw_nn_compose (nn.h), with an array of layers, and options, which are copied (NULL: none). */
SW_API sw_module *sw_nn_compose_with_options(sw_model *model, const char *kind,
                                             sw_tensor (*forward)(sw_module *self, sw_tensor x), int count,
                                             sw_module *const *modules, const sw_compose_options *options);
/* Composes a layer of `inputs` inputs, 1 to SW_MAX_INPUTS: as sw_nn_compose_with_options, with a `forward` that gets
 * `count` tensors, all of `inputs` or without optional ones. Call it by sw_forward_many. The build runs it with the
 * inputs that the layer around it, or sw_model_set_input_shapes, gives: an inner layer that only an optional input
 * reaches must be given its number of inputs. */
SW_API sw_module *sw_nn_compose_many(sw_model *model, const char *kind, int inputs,
                                     sw_tensor (*forward)(sw_module *self, int count, const sw_tensor *x),
                                     int modules_count, sw_module *const *modules, const sw_compose_options *options);
/* The `user` of sw_compose_options; NULL for layers that are not composed. */
SW_API void *sw_module_user(const sw_module *module);

#ifdef __cplusplus
}
#endif
#endif
