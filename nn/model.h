/* A model: its layers, its parameters, its objectives, and the tape for evaluations. */
#ifndef SWALE_NN_MODEL_H
#define SWALE_NN_MODEL_H

#include <swale/nn.h>

#include <stdatomic.h>

enum { SWN_ROLES = SW_ROLE_OTHER + 1 };

struct swn_objective;

typedef struct swn_traced {
    sw_tensor tensor;
    sw_sample_shape sample;
} swn_traced;

struct sw_model {
    sw_params *params;
    sw_module **module; /* all layers, for freeing */
    int modules, capacity;
    sw_module placeholder;
    sw_module *root;
    sw_sample_shape input[SW_MAX_INPUTS]; /* of the root; rank -1: not known */
    int inputs;                           /* the number of them; 0: not given */
    sw_init init[SWN_ROLES];              /* for each role; fill NULL: the layers' defaults */
    bool failed;
    int64_t most_params; /* restore.c: the largest number of elements of all parameters together; -1: any number */
    struct swn_objective *objectives;
    /* evaluate.c */
    atomic_flag evaluating; /* set while an evaluation uses tape and ids */
    sw_tape *tape;
    int64_t *ids;
    /* generate.c */
    sw_state *state;
    int32_t *generated; /* [generated_capacity] */
    int64_t generated_capacity;
    struct swn_candidate *candidates; /* [candidate_count] */
    int64_t candidate_count;
    /* forward.c: the tape on which sw_module_trace runs the forward function of the layer `tracing`; else NULL */
    sw_tape *trace;
    const sw_module *tracing;
    swn_traced *traced; /* tensors of this run, and the shapes of their samples */
    int traced_count, traced_capacity;
};

/* The two parts of the build. The first declares the parameters; the second allocates them, with initial values (NULL
 * and an error). */
sw_status swn_model_declare(sw_model *model, sw_module *root);
sw_params *swn_model_finish(sw_model *model);
/* An error unless the model is built. The message begins with `what`. */
sw_status swn_check_built(const sw_model *model, const char *what);

extern const sw_module_type swn_placeholder_type;
void swn_module_free(sw_module *module);

#endif
