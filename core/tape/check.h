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
/* For sw_gradcheck: for the vjp of a node, replaces values that are not in vjp_reads by views of NaN, in in[] and
 * call->out. */
sw_status swi_poison_unread(sw_tape *tape, const swi_node *node, const sw_view **in, sw_call *call);

#endif
