/* The check mode (SW_CHECK): tests for NaN and Inf. */
#ifndef SWALE_TAPE_CHECK_H
#define SWALE_TAPE_CHECK_H

#include "core/tape/node.h"

/* After forward: an error if the result of the node holds a NaN, or if it holds an Inf and no input does. */
sw_status swi_check_result(const swi_node *node);
/* The same checks in backward: of the cotangent of a node before its vjp, and of the gradients of its inputs after
 * it. */
sw_status swi_check_cotangent(const swi_node *node, bool *has_inf);
sw_status swi_check_gradients(const sw_tape *tape, const swi_node *node, bool cotangent_has_inf);

#endif
