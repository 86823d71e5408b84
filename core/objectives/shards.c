/* Evaluations of a batch in shards, one after the other; gradient_tree.h describes the tree in which they are added. */
#include <swale/gradient_tree.h>
#include <swale/memory.h>
#include <swale/objective.h>
#include <swale/parallel.h>
#include <swale/status.h>

#include "core/base/allocation.h"
#include "core/base/element.h"
#include "core/objectives/objective_part.h"
#include "core/params/gradient.h"
#include "core/params/statistics.h"
#include "core/params/vector.h"

#include <string.h>

/* The values that are the same for all shards of an evaluation. */
typedef struct shard_pass {
    const sw_objective *f;
    sw_tape *tape;
    const void *x;
    const int64_t *ids;
    int64_t count, shards, chunk;
    uint64_t draw;
    sw_gradient *block; /* for the leaves; its vector is set for each leaf. NULL: losses alone */
    char *work;         /* a vector for each level but the lowest */
} shard_pass;

static int64_t shard_begin(const shard_pass *p, int64_t shard) {
    return sw_part_begin(p->count, p->shards, shard);
}

/* Evaluates a shard. node->gradient is the vector for its gradient, or NULL. */
static sw_status shard_leaf(const shard_pass *p, int64_t shard, sw_gradient_node *node) {
    const int64_t first = shard_begin(p, shard), n = shard_begin(p, shard + 1) - first,
                  chunk = p->chunk > 0 ? p->chunk
                          : n > 0      ? n
                                       : 1;
    if (p->block) {
        double value;
        p->block->data = node->gradient;
        SW_TRY(swi_objective_gradient_part(p->f, p->tape, p->x, p->ids, first, n, chunk, p->draw, &value, p->block));
        return sw_gradient_node_set(node, p->block, value);
    }
    sw_loss_mean mean = {0};
    SW_TRY(swi_objective_value_part(p->f, p->tape, p->x, p->ids, first, n, chunk, p->draw, &mean));
    node->loss = sw_loss_mean_value(&mean);
    node->weight = node->unit = swi_mean_weight(&mean);
    node->mix = mean.mix;
    node->samples = n;
    return SW_OK;
}

/* Whether all shards from this one on have no samples, because there are more shards than samples. */
static bool shards_are_empty(const shard_pass *p, int64_t shard) {
    return shard > 0 && (shard >= p->shards || shard_begin(p, shard) == p->count);
}

/* The left half of the node is computed in the vector of the node, the right half in the vector of the level below. */
static sw_status shard_node(const shard_pass *p, int level, int64_t index, sw_gradient_node *node) {
    if (level == 0)
        return shard_leaf(p, index, node);
    SW_TRY(shard_node(p, level - 1, 2 * index, node));
    if (shards_are_empty(p, (2 * index + 1) << (level - 1)))
        return SW_OK;
    sw_gradient_node right = {.size = sizeof right};
    const size_t bytes = (size_t)p->f->params->dim * swi_size(p->f->params->type);
    right.gradient = p->block ? p->work + (size_t)(level - 1) * bytes : NULL;
    const bool aside = p->block && swi_statistics_set_aside(p->block);
    sw_status status = shard_node(p, level - 1, 2 * index + 1, &right);
    if (aside) { /* after an error too */
        const sw_status added = swi_statistics_add_to_aside(p->block);
        status = status == SW_OK ? added : status;
    }
    return status == SW_OK ? sw_gradient_node_add(p->f->params, node, &right) : status;
}

static sw_status shards_check(const sw_objective *f, const sw_tape *tape, int64_t count, const sw_shard_options *how,
                              const sw_gradient *g) {
    if (count < 0)
        return sw_fail(SW_ERR_ARGUMENT, "shards: %lld samples; the number cannot be negative", (long long)count);
    if (how && how->size < sizeof *how)
        return sw_fail(SW_ERR_ARGUMENT, "shards: the size of the options must be sizeof(sw_shard_options)");
    if (how && (how->shards < 0 || how->chunk < 0))
        return sw_fail(SW_ERR_ARGUMENT, "shards: %lld shards in chunks of %lld samples; neither can be negative",
                       (long long)how->shards, (long long)how->chunk);
    return swi_objective_check_call(f, tape, g);
}

/* The vectors of nodes have the type of the parameters. */
static sw_status shards_check_type(const sw_objective *f, const sw_gradient *g) {
    if (g->type == f->params->type)
        return SW_OK;
    return sw_fail(SW_ERR_TYPE, "shards: the gradient block is %s; it must have the type of the parameters, %s",
                   sw_dtype_name(g->type), sw_dtype_name(f->params->type));
}

/* Computes a node of at least one shard with samples. */
static sw_status shards_run(shard_pass *p, const sw_shard_options *how, int level, int64_t index,
                            sw_gradient_node *node) {
    void *allocated = NULL;
    p->work = how ? how->work : NULL;
    if (p->block && level > 0 && !p->work) {
        allocated = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, (int64_t)level * p->f->params->dim,
                                       swi_size(p->f->params->type));
        if (!allocated)
            return SW_ERR_MEMORY;
        p->work = allocated;
    }
    const sw_status status = shard_node(p, level, index, node);
    sw_free(allocated);
    if (status == SW_OK)
        swi_objective_store_weight(p->tape, node->unit == 0 ? 0 : node->weight);
    return status;
}

static int64_t shards_of(const sw_shard_options *how) {
    return how && how->shards > 0 ? how->shards : 1;
}

sw_status sw_objective_value_sharded(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                     int64_t count, const sw_shard_options *how, uint64_t draw, double *value) {
    SW_TRY(shards_check(f, tape, count, how, NULL));
    shard_pass p = {f, tape, x, ids, count, shards_of(how), how ? how->chunk : 0, draw, NULL, NULL};
    sw_gradient_node root = {.size = sizeof root};
    SW_TRY(shards_run(&p, how, sw_shard_levels(p.shards), 0, &root));
    return sw_gradient_node_close(f->params, &root, value);
}

sw_status sw_objective_gradient_sharded(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                        int64_t count, const sw_shard_options *how, uint64_t draw, double *value,
                                        sw_gradient *g) {
    SW_TRY(shards_check(f, tape, count, how, g));
    if (!g || !g->data)
        return sw_fail(SW_ERR_ARGUMENT, "shards: the gradient block is NULL, or a view without a vector");
    SW_TRY(shards_check_type(f, g));
    shard_pass p = {f, tape, x, ids, count, shards_of(how), how ? how->chunk : 0, draw, g, NULL};
    sw_gradient_node root = {.size = sizeof root, .gradient = g->data};
    sw_gradient_make_fresh(g);
    sw_status status = shards_run(&p, how, sw_shard_levels(p.shards), 0, &root);
    g->data = root.gradient; /* after an error too */
    if (status == SW_OK)
        status = sw_gradient_node_close(f->params, &root, value);
    if (status != SW_OK) {
        sw_gradient_make_fresh(g);
        return status;
    }
    swi_gradient_filled(g, (swi_weight){root.weight, root.mix}, root.samples);
    return SW_OK;
}

sw_status sw_objective_gradient_node(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                     int64_t count, const sw_shard_options *how, int level, int64_t index,
                                     uint64_t draw, sw_gradient *view, sw_gradient_node *node) {
    SW_TRY(shards_check(f, tape, count, how, NULL));
    shard_pass p = {f, tape, x, ids, count, shards_of(how), how ? how->chunk : 0, draw, view, NULL};
    if (!view || view->owned || view->params != f->params)
        return sw_fail(SW_ERR_ARGUMENT, "shards: a block of sw_gradient_view for the objective's parameters is needed");
    if (!node || node->size < sizeof *node || !node->gradient)
        return sw_fail(SW_ERR_ARGUMENT, "shards: the node needs its size and a vector for the gradient");
    if (level < 0 || level > sw_shard_levels(p.shards) || index < 0 || index > (p.shards - 1) >> level)
        return sw_fail(SW_ERR_ARGUMENT, "shards: %lld shards have no node %lld in level %d", (long long)p.shards,
                       (long long)index, level);
    void *const vector = node->gradient;
    sw_gradient_make_fresh(view);
    *node = (sw_gradient_node){.size = node->size, .gradient = vector};
    if (shards_are_empty(&p, index << level)) {
        memset(vector, 0, (size_t)f->params->dim * swi_size(f->params->type));
        return SW_OK;
    }
    const sw_status status = shards_run(&p, how, level, index, node);
    view->data = vector;
    swi_gradient_restart(view);
    if (status != SW_OK)
        sw_gradient_drop_statistics(view);
    return status;
}
