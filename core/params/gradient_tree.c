/* The nodes of the binary tree in which the gradients of shards are added. */
#include <swale/gradient_tree.h>
#include <swale/loss_mean.h>
#include <swale/status.h>

#include "core/base/element.h"
#include "core/kernels/axpy.h"
#include "core/params/gradient.h"
#include "core/params/vector.h"

#include <math.h>
#include <string.h>

int sw_shard_levels(int64_t shards) {
    int levels = 0;
    while (levels < 62 && (int64_t)1 << levels < shards)
        levels++;
    return levels;
}

static sw_status node_check(const sw_gradient_node *node) {
    if (!node)
        return sw_fail(SW_ERR_ARGUMENT, "gradient_node: the node is NULL");
    if (node->size < sizeof *node)
        return sw_fail(SW_ERR_ARGUMENT, "gradient_node: its size must be sizeof(sw_gradient_node)");
    return SW_OK;
}

static sw_status node_check_params(const sw_params *params) {
    if (!params || !params->built)
        return sw_fail(SW_ERR_STATE, "gradient_node: the parameters are not built");
    return SW_OK;
}

sw_status sw_gradient_node_set(sw_gradient_node *node, sw_gradient *block, double loss) {
    SW_TRY(node_check(node));
    if (!block || block->fresh)
        return sw_fail(SW_ERR_STATE, "gradient_node: the block holds no gradient; run sw_backward first");
    if (block->type != block->params->type)
        return sw_fail(SW_ERR_TYPE, "gradient_node: the block is %s; a node has the type of the parameters, %s",
                       sw_dtype_name(block->type), sw_dtype_name(block->params->type));
    *node = (sw_gradient_node){.size = node->size,
                               .gradient = sw_gradient_data(block),
                               .loss = loss,
                               .weight = block->weight.value,
                               .unit = block->weight.value,
                               .mix = block->weight.mix,
                               .samples = block->samples};
    return SW_OK;
}

/* Adds the sums of two nodes whose weights are not 0. */
static void node_add_sums(const sw_params *params, sw_gradient_node *to, const sw_gradient_node *from) {
    const double factor = from->unit / to->unit; /* 1 for sums, and for shards of equal weight */
    to->loss += factor * from->loss;
    if (to->weight != SW_SUMMED)
        to->weight += from->weight;
    if (to->gradient)
        swi_axpy(params->type, params->dim, factor, from->gradient, to->gradient, false);
}

sw_status sw_gradient_node_add(const sw_params *params, sw_gradient_node *to, const sw_gradient_node *from) {
    SW_TRY(node_check(to));
    SW_TRY(node_check(from));
    SW_TRY(node_check_params(params));
    if (!to->gradient != !from->gradient)
        return sw_fail(SW_ERR_ARGUMENT, "gradient_node: one node has a gradient, and the other has none");
    const swi_weight have = {to->unit == 0 ? 0 : to->weight, to->mix},
                     more = {from->unit == 0 ? 0 : from->weight, from->mix};
    if (have.value != 0 && more.value != 0 && !swi_weight_fits(have, more))
        return swi_weight_refuse("gradient_node", have, more);
    const int64_t samples = to->samples + from->samples;
    if (have.value == 0 && more.value != 0) {
        void *gradient = to->gradient;
        const size_t size = to->size;
        *to = *from;
        to->size = size;
        to->gradient = gradient;
        if (gradient)
            memcpy(gradient, from->gradient, (size_t)params->dim * swi_size(params->type));
    } else if (more.value != 0) {
        node_add_sums(params, to, from);
    }
    to->samples = samples;
    return SW_OK;
}

sw_status sw_gradient_node_close(const sw_params *params, sw_gradient_node *node, double *value) {
    SW_TRY(node_check(node));
    SW_TRY(node_check_params(params));
    if (node->unit > 0 && node->unit != node->weight) {
        node->loss *= node->unit / node->weight;
        if (node->gradient)
            swi_axpy(params->type, params->dim, node->unit / node->weight, node->gradient, node->gradient, true);
        node->unit = node->weight;
    }
    if (value)
        *value = node->unit == 0 ? (double)NAN : node->loss;
    return SW_OK;
}
