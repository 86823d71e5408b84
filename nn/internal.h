/* What nn's files share. */
#ifndef SWALE_NN_INTERNAL_H
#define SWALE_NN_INTERNAL_H

#include <swale/extend.h>
#include <swale/nn.h>

#include <stdatomic.h>
#include <string.h>

typedef struct swn_objective {
    sw_objective objective;
    sw_model *model;
    const sw_source *source;
    sw_source_hold hold; /* of source */
    sw_loss loss;
    sw_glm_data data; /* objective.glm */
    struct swn_objective *next;
} swn_objective;

enum { SWN_ROLES = SW_ROLE_OTHER + 1 };

struct sw_model {
    sw_params *params;
    sw_module **module; /* all layers, for freeing */
    int modules, capacity;
    sw_module placeholder;
    sw_module *root;
    sw_sample_shape input;
    sw_init init[SWN_ROLES]; /* for parameters of which the user says nothing; fill NULL: the layer's own */
    bool failed;
    swn_objective *objectives;
    atomic_flag evaluating; /* who has it has the next two */
    sw_tape *tape;          /* for evaluation */
    int64_t *ids;
    sw_tape *trace;           /* while a composed layer's forward is run to work out shapes */
    const sw_module *tracing; /* that layer */
};

extern const sw_module_type swn_placeholder_type, swn_sequential_type;
void swn_module_free(sw_module *module);
/* The flags of a type, which may be of a program compiled before there were any. */
bool swn_is_name_space(const sw_module_type *type);
bool swn_takes_ids(const sw_module *module);
/* Zeros [batch, sample...] of an element type. */
sw_tensor swn_zeros(sw_tape *tape, sw_dtype type, int64_t batch, const sw_sample_shape *sample);
bool swn_same_shape(const sw_sample_shape *a, const sw_sample_shape *b);
/* linear_model.c: makes the objective a generalized linear model if the model is one linear layer, and its samples do
 * not depend on chance. */
void swn_recognize_linear_model(swn_objective *o);
/* Whether a layer is linear, and its sizes (layers.c); whether it only changes the shape of samples. */
bool swn_is_linear(const sw_module *module, int64_t *inputs, int64_t *outputs, bool *bias);
bool swn_is_reshaping(const sw_module *module);
/* Evaluation in batches: a tape that does not record, and the ids of a batch, kept by the model and taken
 * from the begin (an error if they are in use) to the end. who is for the message. */
enum { SWN_BATCH = 1000 };
sw_status swn_evaluation_begin(const char *who, sw_model *model);
void swn_evaluation_end(sw_model *model);
/* Samples [first, first + count), at most SWN_BATCH, onto that tape. What is random in
 * them is that of draw 0. */
sw_status swn_evaluation_batch(sw_model *model, const sw_source *source, int64_t first, int64_t count, sw_batch *batch);
/* Element i of an array of a type that a tape has. */
double swn_number_at(const sw_array *array, int64_t i);
/* A new layer of a type, and whether it is one or the placeholder (or NULL). */
static inline bool swn_is(const sw_module *module, const sw_module_type *type) {
    return module && module->type == type;
}

#endif
