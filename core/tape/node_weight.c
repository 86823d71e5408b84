/* The weight of a node: that of its loss, or of the losses from which it is computed. */
#include "core/tape/engine.h"

swi_weight swi_node_weight(const sw_tape *tape, const swi_node *node) {
    if (node->flags & SWI_WEIGHTED)
        return node->weight;
    return swi_plain_weight(tape->sample_count ? (double)tape->sample_count : 1);
}

void swi_inherit_weight(swi_node *node) {
    if (node->flags & SWI_WEIGHTED) /* a loss that has set its weight */
        return;
    for (int i = 0; i < node->inputs; i++) {
        const swi_node *input = swi_inputs(node)[i];
        if (!(input->flags & SWI_WEIGHTED))
            continue;
        node->weight = node->flags & SWI_WEIGHTED ? swi_weight_combine(node->weight, input->weight) : input->weight;
        node->flags |= SWI_WEIGHTED;
    }
}
