/* Limits of descriptions, and which networks can be described. */
#ifndef SWALE_NN_DESCRIBE_H
#define SWALE_NN_DESCRIBE_H

#include <swale/description.h>

/* The version of the text; layers in a network; how deep they are nested (the root is 1 deep). */
enum { SWN_DESCRIPTION_FORMAT = 1, SWN_MOST_LAYERS = 10000, SWN_MOST_DEPTH = 64 };

/* Whether all layers of a built model can be described; if not, a message that names the first that cannot. */
bool swn_can_describe(const sw_model *model, char *reason, size_t bytes);

#endif
