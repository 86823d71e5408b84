/* What nn's files share. */
#ifndef SWALE_NN_INTERNAL_H
#define SWALE_NN_INTERNAL_H

#include "extend.h"
#include "nn.h"

#include <string.h>

typedef struct swn_kind { /* how many layers of a kind there are, for their names */
    const char *name;
    int count;
} swn_kind;

typedef struct swn_objective {
    sw_objective objective;
    sw_model *model;
    const sw_source *source;
    sw_loss loss;
    struct swn_objective *next;
} swn_objective;

struct sw_model {
    sw_params *params;
    sw_module **module; /* all layers, for freeing */
    int modules, capacity;
    swn_kind kind[32];
    int kinds;
    sw_module placeholder;
    sw_module *root;
    sw_sample_shape input;
    bool failed;
    swn_objective *objectives;
    sw_tape *tape; /* for evaluation */
    int64_t *ids;
};

#endif
