/* A model's evaluation in batches, with a tape and ids that the model keeps. */
#ifndef SWALE_NN_EVALUATION_H
#define SWALE_NN_EVALUATION_H

#include <swale/nn.h>

enum { SWN_BATCH = 1000 };
/* Takes the tape, which does not record, and the ids until swn_evaluation_end; an error if they are in use. `who` is for
 * the message. */
sw_status swn_evaluation_begin(const char *who, sw_model *model);
void swn_evaluation_end(sw_model *model);
/* Samples [first, first + count), at most SWN_BATCH, onto that tape. Random values in them are those of draw 0. */
sw_status swn_evaluation_batch(sw_model *model, const sw_source *source, int64_t first, int64_t count, sw_batch *batch);

#endif
