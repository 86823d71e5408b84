/* Descriptions of nodes and values as text. */
#ifndef SWALE_TAPE_DESCRIBE_H
#define SWALE_TAPE_DESCRIBE_H

#include "core/tape/node.h"

/* The name of the node's operation or parameter, or the kind of the leaf ("variable", "input"). */
const char *swi_node_title(const swi_node *node);
/* Writes a summary such as "from -1.2 to 3.4, mean 0.25, 2 NaN, 1 Inf" to `text`. */
void swi_summary(sw_dtype type, int64_t count, const void *data, char *text, size_t bytes);

#endif
