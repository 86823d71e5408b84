/* A model, a source and a loss as an objective. */
#ifndef SWALE_NN_MODEL_OBJECTIVE_H
#define SWALE_NN_MODEL_OBJECTIVE_H

#include <swale/nn.h>

typedef struct swn_objective {
    sw_objective objective;
    sw_model *model;
    const sw_source *source;
    sw_source_hold hold; /* of source */
    sw_loss loss;
    sw_glm_data data; /* objective.glm */
    struct swn_objective *next;
} swn_objective;

void swn_free_objectives(sw_model *model);
/* linear_model.c: makes the objective a generalized linear model if the model is one linear layer and its samples are
 * not random. */
void swn_recognize_linear_model(swn_objective *o);

#endif
