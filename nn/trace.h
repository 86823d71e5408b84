/* Layers that are called while sw_module_trace runs the forward of the layer around them. */
#ifndef SWALE_NN_TRACE_H
#define SWALE_NN_TRACE_H

#include <swale/nn.h>

/* Builds the layer for the samples that reach it, if it is not built, and returns zeros in the shape of its output. */
sw_tensor swn_traced_forward(sw_module *module, int count, const sw_tensor *x);

#endif
