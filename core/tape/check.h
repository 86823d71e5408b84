/* The check mode (SW_CHECK). */
#ifndef SWALE_TAPE_CHECK_H
#define SWALE_TAPE_CHECK_H

#include "core/tape/node.h"

/* An error if the result of the node, run just now, holds a NaN, or an Inf that its inputs do not. */
sw_status swi_check_result(const swi_node *node);
/* The same for what backward hands to a node, before its vjp, and for its inputs' gradients after it. */
sw_status swi_check_cotangent(const swi_node *node, bool *has_inf);
sw_status swi_check_gradients(const sw_tape *tape, const swi_node *node, bool cotangent_has_inf);

#endif
