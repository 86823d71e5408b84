/* What layers of sequences share (sequence.h). */
#include "nn/layers/sequence.h"

#include <swale/extend.h>

#include "nn/layers/child_list.h"

sw_status swn_sequence_features(const sw_module *m, const sw_sample_shape *shape, int64_t *features) {
    if (shape->rank < 0)
        return *features > 0 ? SW_OK
                             : sw_fail(SW_ERR_SHAPE,
                                       "layer %s: the number of features is not known; give it, or "
                                       "sw_model_set_input_shape",
                                       m->name);
    if (shape->rank != 2)
        return sw_fail(SW_ERR_SHAPE, "layer %s: samples %s; sequences [time, features] are needed", m->name,
                       sw_shape_text(shape->rank, shape->length));
    if (*features == 0)
        *features = shape->length[1];
    return shape->length[1] == *features
               ? SW_OK
               : sw_fail(SW_ERR_SHAPE, "layer %s: takes %lld features, but its input has %lld", m->name,
                         (long long)*features, (long long)shape->length[1]);
}

void swn_release_unless(sw_tensor t, sw_tensor kept) {
    if (!sw_is_null(t) && !swn_same_tensor(t, kept))
        sw_release(t);
}
