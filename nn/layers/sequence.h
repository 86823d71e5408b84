/* What layers of sequences [batch, time, features] share (sequence.c). */
#ifndef SWALE_NN_SEQUENCE_H
#define SWALE_NN_SEQUENCE_H

#include <swale/nn.h>

/* Checks that samples are [time, features], or not known, and sets *features, if it is 0, to the length of the last
 * axis. An error unless the two are equal. */
sw_status swn_sequence_features(const sw_module *m, const sw_sample_shape *shape, int64_t *features);
/* Releases a tensor unless it is `kept` or null. For a tensor to which no other handle exists. */
void swn_release_unless(sw_tensor t, sw_tensor kept);

#endif
