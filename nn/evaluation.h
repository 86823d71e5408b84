/* Evaluation of a model in batches. The model keeps the tape and the array of ids that an evaluation uses. */
#ifndef SWALE_NN_EVALUATION_H
#define SWALE_NN_EVALUATION_H

#include <swale/nn.h>

enum { SWN_BATCH = 1000 };
/* Reserves the model's tape, which does not record, and its array of ids until swn_evaluation_end. It is an error if
 * another evaluation has reserved them. `who` is the name of the function in messages. */
sw_status swn_evaluation_begin(const char *who, sw_model *model);
void swn_evaluation_end(sw_model *model);
/* Puts the samples [first, first + count) on this tape; count ≤ SWN_BATCH. Random samples are those of draw 0. */
sw_status swn_evaluation_batch(sw_model *model, const sw_source *source, int64_t first, int64_t count, sw_batch *batch);

#endif
