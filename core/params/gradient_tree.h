/* Gradients of shards, added in a fixed binary tree.
 *
 * A batch of `count` samples can be cut into S shards. Shard s has the samples from sw_part_begin(count, S, s) to
 * sw_part_begin(count, S, s + 1) (parallel.h), which depend on count and S alone. The gradients of the shards are the
 * leaves of a tree. Each level of the tree adds neighbors in pairs, and an odd last node rises to the next level
 * unchanged: (0 + 1) + (2 + 3) for 4 shards, ((0 + 1) + (2 + 3)) + 4 for 5. Node `index` of level `level` holds the
 * shards index·2^level to (index + 1)·2^level - 1, as far as these exist; level 0 has the leaves, and node 0 of level
 * sw_shard_levels(S) is the root.
 *
 * The order of all additions is therefore fixed, and so are the bits of the result, no matter which process computes a
 * shard. Each of several processes can compute one node (sw_objective_gradient_node in objective.h). The processes
 * exchange their nodes, and each process adds the nodes by sw_gradient_node_add, again in pairs.
 */
#ifndef SWALE_GRADIENT_TREE_H
#define SWALE_GRADIENT_TREE_H

#include <swale/params.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A node: sums over its shards. The weight of a shard is that of its loss (loss_mean.h). To send a node to another
 * process, send the members from `loss` on, and the vector. */
typedef struct sw_gradient_node {
    size_t size;     /* sizeof(sw_gradient_node) */
    void *gradient;  /* Σ weight/unit · gradient: dim elements of the parameters' type, in memory of the caller; NULL:
                      * the node holds losses alone */
    double loss;     /* Σ weight/unit · loss */
    double weight;   /* Σ weight; SW_SUMMED for losses that are sums */
    double unit;     /* the weight of the first shard whose weight is not 0, or SW_SUMMED; 0: no shard has a weight, and
                      * `loss` and `gradient` are ignored */
    double mix;      /* identifies the ratio of the weights if the loss combines several losses, as in sw_loss_mean */
    int64_t samples; /* of all shards */
} sw_gradient_node;

/* The number of levels above the leaves, ⌈log2 shards⌉; 0 for less than 2 shards. */
SW_API int sw_shard_levels(int64_t shards);
/* Makes a node from a gradient block that holds the mean gradient of one shard (or of several micro-batches), and the
 * mean loss. node->gradient becomes sw_gradient_data(block): it is not copied. An error if the block is fresh, or has
 * another type than the parameters. */
SW_API sw_status sw_gradient_node_set(sw_gradient_node *node, sw_gradient *block, double loss);
/* Adds the shards of a node to those of its left neighbor: to ← to + from. Shards without weight add nothing, whatever
 * their loss and gradient. An error if losses are means in one node and sums in the other, or combine several losses
 * with weights in another ratio; then `to` is unchanged. */
SW_API sw_status sw_gradient_node_add(const sw_params *params, sw_gradient_node *to, const sw_gradient_node *from);
/* Converts the sums to means (unit/weight times the sums; sums stay sums), so that node->gradient is the gradient of
 * the mean loss, and returns the mean loss in *value (unless it is NULL): NaN if no shard has a weight. The node then
 * counts as one shard: unit is weight. */
SW_API sw_status sw_gradient_node_close(const sw_params *params, sw_gradient_node *node, double *value);

#ifdef __cplusplus
}
#endif
#endif
