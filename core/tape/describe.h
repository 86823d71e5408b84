/* Nodes and values in words. */
#ifndef SWALE_TAPE_DESCRIBE_H
#define SWALE_TAPE_DESCRIBE_H

#include "core/tape/node.h"

/* A node's operation, its parameter's name, or what leaf it is. */
const char *swi_node_title(const swi_node *node);
/* "from -1.2 to 3.4, mean 0.25, 2 NaN, 1 Inf" */
void swi_summary(sw_dtype type, int64_t count, const void *data, char *text, size_t bytes);

#endif
