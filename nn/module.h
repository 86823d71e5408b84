/* Layers: their type, and what a custom one is made of. */
#ifndef SWALE_MODULE_H
#define SWALE_MODULE_H

#include <swale/ops.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sw_model sw_model;
typedef struct sw_module sw_module;

/* A sample's shape on its way through the layers. rank -1: not known. */
typedef struct sw_sample_shape {
    int rank;
    int64_t length[SW_MAX_RANK];
} sw_sample_shape;

typedef struct sw_module_type {
    size_t size;      /* sizeof(sw_module_type) */
    const char *name; /* "linear": layers are named after it */
    /* Takes the incoming sample's shape and replaces it by the outgoing one; declares parameters by
     * sw_module_add_param. NULL: shape unchanged, no parameters. */
    sw_status (*build)(sw_module *module, sw_sample_shape *shape);
    sw_tensor (*forward)(sw_module *module, sw_tensor x);
    void (*describe)(const sw_module *module, char *text, size_t bytes); /* "784 → 100"; NULL: "" */
    void (*free)(sw_module *module);                                     /* what `data` owns; NULL: nothing */
    bool name_space; /* names of layers in it begin with its own: see "Names" */
    bool takes_ids;  /* its input is ids: sw_predict gives it i32 */
} sw_module_type;

typedef struct sw_module_setting sw_module_setting;

struct sw_module {
    const sw_module_type *type;
    sw_model *model;
    const char *name;
    void *data; /* the layer's own, `bytes` of it, freed by the model */
    sw_module *parent, **child;
    int children;
    bool built;
    bool named;       /* by sw_module_set_name, or by the build; until then `name` is the kind's */
    bool settled;     /* its name is final */
    bool frozen;      /* as sw_module_freeze said last */
    int number;       /* in its name, 0 if it has none */
    sw_param **param; /* its own, in the order of declaration */
    int params;
    sw_module_setting *settings; /* what sw_module_set_init and sw_module_tie ask for */
    sw_sample_shape in, out;     /* rank -1: not known */
    bool *kept_frozen;           /* [params]: frozen by its own build; NULL: none is */
};

/* A layer with `bytes` of zeroed data. A placeholder after an error. */
SW_API sw_module *sw_module_new(sw_model *model, const sw_module_type *type, size_t bytes);
/* Marks the model as failed and returns the placeholder, after sw_fail. */
SW_API sw_module *sw_module_fail(sw_model *model);
/* Declares NAME.suffix, with the initial values that options give unless the user asked for others, or a
 * name for another layer's if the user tied it. NULL after an error. */
SW_API sw_param *sw_module_add_param(sw_module *module, const char *suffix, int rank, const int64_t *shape,
                                     const sw_param_options *options);
/* Adds a layer inside a layer; its build and forward are called by the outer one's. */
SW_API sw_status sw_module_add_child(sw_module *module, sw_module *child);
/* Names the layer and builds it for samples of *shape, which becomes that of its output. */
SW_API sw_status sw_module_build(sw_module *module, sw_sample_shape *shape);

typedef struct sw_compose_options {
    size_t size; /* sizeof(sw_compose_options) */
    void *user;  /* for sw_module_user */
    /* A sample's shape on its way out; NULL: worked out. Then `forward` is not run at the build, and the
     * layers in it are built in order, without knowing what comes in. */
    const sw_sample_shape *out;
    bool takes_ids; /* the input is ids, i32, also in the run at the build: see sw_predict */
} sw_compose_options;
/* sw_nn_compose from an array, with options (NULL: none), which are copied. */
SW_API sw_module *sw_nn_compose_with_options(sw_model *model, const char *kind,
                                             sw_tensor (*forward)(sw_module *self, sw_tensor x), int count,
                                             sw_module *const *modules, const sw_compose_options *options);
/* The `user` of sw_compose_options; NULL for other layers. */
SW_API void *sw_module_user(const sw_module *module);

#ifdef __cplusplus
}
#endif
#endif
