/* What the layers of normalizations share: the number of features, the parameters and their use (norm_layer.c). */
#ifndef SWALE_NN_NORM_LAYER_H
#define SWALE_NN_NORM_LAYER_H

#include <swale/nn.h>

/* Sets *features, if it is 0, to the length of the last axis of the samples. An error unless the two are equal. */
sw_status swn_norm_set_features(const sw_module *m, const sw_sample_shape *shape, int64_t *features);

/* The parameters of a layer; NULL where it has none. */
typedef struct swn_norm_params {
    sw_param *weight, *bias;
} swn_norm_params;

/* Declares NAME.weight, ones, and NAME.bias, zeros, of the shape [rank]. `order` is that of files with channels
 * first. */
sw_status swn_norm_add_params(sw_module *m, int rank, const int64_t *shape, sw_file_order order, bool has_weight,
                              bool has_bias, swn_norm_params *to);

/* The inputs of the operation: x in the type of the parameters, and the parameters, null where the layer has none. */
typedef struct swn_norm_tensors {
    sw_tensor x, weight, bias;
} swn_norm_tensors;

/* x is null if a parameter could not be used. */
swn_norm_tensors swn_norm_use(const swn_norm_params *p, sw_tensor x);
/* Releases the copy of x that swn_norm_use made, if it made one; returns y. */
sw_tensor swn_norm_finish(const swn_norm_tensors *t, sw_tensor x, sw_tensor y);

#endif
