/* Limits of descriptions, and which networks can be described. */
#ifndef SWALE_NN_DESCRIBE_H
#define SWALE_NN_DESCRIBE_H

#include <swale/description.h>

/* The version of the text; the largest number of layers in a network; the largest depth of nesting (the root has depth
 * 1). */
enum { SWN_DESCRIPTION_FORMAT = 1, SWN_MOST_LAYERS = 10000, SWN_MOST_DEPTH = 64 };

/* Whether all layers of a built model can be described; if not, `reason` receives a message that names the first layer
 * that cannot. */
bool swn_can_describe(const sw_model *model, char *reason, size_t bytes);

#endif
