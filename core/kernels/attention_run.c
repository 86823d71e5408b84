/* Attention of arrays: the work items. */
#include <swale/attention_kernels.h>
#include <swale/dry_run.h>
#include <swale/memory.h>
#include <swale/status.h>

#include "core/kernels/attention_short.h"
#include "core/kernels/attention_tiles.h"
#include "core/kernels/dispatch.h"

/* If a pass has fewer heads in all, the queries of each head are divided into several items. Backward, each of them
 * needs memory for its sums of the gradients of the keys and values. */
enum { FEW_FORWARD = 16, FEW_BACKWARD = 8 };

static size_t attention_worker_bytes(const sw_attention_problem *p, bool backward) {
    return (size_t)swi_attention_layout_of(p, backward).elements * sw_dtype_size(sw_dtype_compute(p->type));
}

/* ---- Items ---- */

typedef struct attention_job {
    swi_attention_item item; /* without what differs between items */
    sw_kernel *kernel;
    int64_t strips, parts; /* strips of queries; items into which those of one head are divided */
    char *sums[2];         /* backward with several parts: [parts, batch·heads, keys, line] for keys and values */
} attention_job;

/* The bytes of one head in sums[i]. */
static size_t attention_sums_of_head(const sw_attention_problem *p, int i) {
    return (size_t)(p->keys * swi_attention_padded(i == 0 ? p->features : p->values)) *
           sw_dtype_size(sw_dtype_compute(p->type));
}

/* The bytes of sums[i]. */
static size_t attention_sums_bytes(const sw_attention_problem *p, int64_t parts, int i) {
    return parts > 1 ? (size_t)(parts * p->batch * p->heads) * attention_sums_of_head(p, i) : 0;
}

static sw_status attention_run_item(void *args, int64_t index, sw_worker *worker) {
    const attention_job *j = args;
    swi_attention_item item = j->item;
    const int64_t part = index % j->parts, head = index / j->parts;
    item.sample = head / item.problem->heads;
    item.head = head % item.problem->heads;
    item.begin = sw_part_begin(j->strips, j->parts, part);
    item.end = sw_part_begin(j->strips, j->parts, part + 1);
    item.scratch = worker->scratch;
    if (j->sums[0]) {
        const int64_t heads = item.problem->batch * item.problem->heads;
        item.key_sums = j->sums[0] + (size_t)(part * heads + head) * attention_sums_of_head(item.problem, 0);
        item.value_sums = j->sums[1] + (size_t)(part * heads + head) * attention_sums_of_head(item.problem, 1);
    }
    j->kernel(&item, 0, 1, NULL);
    return SW_OK;
}

/* Short sequences: an item is one head of SWI_SHORT_GROUP samples. */
static int64_t attention_short_items(const sw_attention_problem *p) {
    return (p->batch + SWI_SHORT_GROUP - 1) / SWI_SHORT_GROUP * p->heads;
}

static sw_status attention_run_short(void *args, int64_t index, sw_worker *worker) {
    const attention_job *j = args;
    swi_attention_item item = j->item;
    const int64_t batch = item.problem->batch;
    item.head = index % item.problem->heads;
    item.begin = index / item.problem->heads * SWI_SHORT_GROUP;
    item.end = batch - item.begin < SWI_SHORT_GROUP ? batch : item.begin + SWI_SHORT_GROUP;
    item.scratch = worker->scratch;
    j->kernel(&item, 0, 1, NULL);
    return SW_OK;
}

static size_t attention_short_scratch(const sw_attention_problem *p) {
    return swi_short_fits(p) ? sw_parallel_scratch(attention_short_items(p), swi_short_bytes(p)) : 0;
}

static int64_t attention_strips(const sw_attention_problem *p) {
    return (p->queries + SWI_ATTENTION_STRIP - 1) / SWI_ATTENTION_STRIP;
}

static int64_t attention_parts(const sw_attention_problem *p, int64_t few) {
    const int64_t heads = p->batch * p->heads, strips = attention_strips(p);
    const int64_t parts = heads > 0 ? (few + heads - 1) / heads : 1;
    return parts < strips ? parts : strips > 1 ? strips : 1;
}

/* Stores the sums of a head as gradients of its keys and values. */
static void attention_store_sums(void *args, int64_t head) {
    const attention_job *j = args;
    const sw_attention_problem *p = j->item.problem;
    const int64_t size = (int64_t)sw_dtype_size(p->type), position = head / p->heads * p->keys,
                  number = head % p->heads;
    const char *const keys = j->sums[0] + (size_t)head * attention_sums_of_head(p, 0), *const values =
                                                                                           j->sums[1] +
                                                                                           (size_t)head *
                                                                                               attention_sums_of_head(
                                                                                                   p, 1);
    char *const dk = j->item.gradient.dk, *const dv = j->item.gradient.dv;
    if (dk)
        swi_attention_store(p->type, p->keys, p->features, keys, swi_attention_padded(p->features),
                            dk + (position * p->k_row + number * p->features) * size, p->k_row);
    if (dv)
        swi_attention_store(p->type, p->keys, p->values, values, swi_attention_padded(p->values),
                            dv + (position * p->v_row + number * p->values) * size, p->v_row);
}

/* Adds the sums of all parts in a fixed order. */
static void attention_add_parts(attention_job *j) {
    const sw_attention_problem *p = j->item.problem;
    const sw_dtype type = sw_dtype_compute(p->type);
    const int64_t heads = p->batch * p->heads;
    for (int i = 0; i < 2; i++)
        sw_add_vectors(type, j->sums[i], j->parts,
                       heads * (int64_t)(attention_sums_of_head(p, i) / sw_dtype_size(type)));
    sw_parallel(attention_store_sums, j, heads);
}

/* Counts the products of a call in a dry run: [queries, keys, features] and [queries, keys, values] for each head. */
static void attention_count(const sw_attention_problem *p, int64_t scores, int64_t values) {
    const int64_t rows = p->batch * p->heads * p->queries;
    sw_dry_run_count_product(scores * rows, p->keys, p->features);
    sw_dry_run_count_product(values * rows, p->keys, p->values);
}

static sw_status attention_check(const sw_attention_problem *p) {
    if (p->size != sizeof *p)
        return sw_fail(SW_ERR_ARGUMENT, "attention: sw_attention_problem of %zu bytes; its size must be %zu", p->size,
                       sizeof *p);
    if (!sw_dtype_is_float(p->type))
        return sw_fail(SW_ERR_TYPE, "attention: type %s; f32, f64, f16 or bf16 is needed", sw_dtype_name(p->type));
    return SW_OK;
}

size_t sw_attention_saved_bytes(const sw_attention_problem *p) {
    return 2 * (size_t)(p->batch * p->heads * p->queries) * sw_dtype_size(sw_dtype_compute(p->type));
}

size_t sw_attention_forward_scratch(const sw_attention_problem *p) {
    const int64_t items = p->batch * p->heads * attention_parts(p, FEW_FORWARD);
    const size_t tiles = sw_parallel_scratch(items, attention_worker_bytes(p, false)), few = attention_short_scratch(p);
    return few > tiles ? few : tiles;
}

size_t sw_attention_backward_scratch(const sw_attention_problem *p) {
    const int64_t parts = attention_parts(p, FEW_BACKWARD);
    const size_t workers = sw_parallel_scratch(p->batch * p->heads * parts, attention_worker_bytes(p, true)),
                 sums = attention_sums_bytes(p, parts, 0) + attention_sums_bytes(p, parts, 1),
                 few = attention_short_scratch(p);
    if (workers > SIZE_MAX - sums)
        return SIZE_MAX;
    return few > workers + sums ? few : workers + sums;
}

sw_status sw_attention_forward(const sw_attention_problem *p, const void *q, const void *k, const void *v, void *out,
                               void *saved, void *scratch, size_t bytes) {
    SW_TRY(attention_check(p));
    attention_job job = {.item = {.problem = p, .q = q, .k = k, .v = v, .out = out, .saved = saved},
                         .kernel = swi_attention_forward_kernels[sw_dtype_compute(p->type)][swi_cpu_level()],
                         .strips = attention_strips(p),
                         .parts = attention_parts(p, FEW_FORWARD)};
    if (p->queries == 0)
        return SW_OK;
    attention_count(p, 1, 1);
    if (swi_short_fits(p)) {
        job.kernel = swi_short_forward_kernels[p->type][swi_cpu_level()];
        return sw_parallel_items_with_scratch(attention_run_short, &job, attention_short_items(p), swi_short_bytes(p),
                                              scratch, bytes);
    }
    return sw_parallel_items_with_scratch(attention_run_item, &job, p->batch * p->heads * job.parts,
                                          attention_worker_bytes(p, false), scratch, bytes);
}

sw_status sw_attention_backward(const sw_attention_problem *p, const void *q, const void *k, const void *v,
                                const void *saved, const void *dout, const sw_attention_gradients *gradients,
                                void *scratch, size_t bytes) {
    SW_TRY(attention_check(p));
    attention_job job = {.item = {.problem = p,
                                  .q = q,
                                  .k = k,
                                  .v = v,
                                  .dout = dout,
                                  .saved = (void *)(uintptr_t)saved,
                                  .gradient = *gradients},
                         .kernel = swi_attention_backward_kernels[sw_dtype_compute(p->type)][swi_cpu_level()],
                         .strips = attention_strips(p),
                         .parts = attention_parts(p, FEW_BACKWARD)};
    const size_t keys = attention_sums_bytes(p, job.parts, 0), sums = keys + attention_sums_bytes(p, job.parts, 1);
    if (job.parts > 1) {
        job.sums[0] = scratch;
        job.sums[1] = (char *)scratch + keys;
    }
    attention_count(p, 3, 2); /* the scores again, and those of the gradients of q and k; dout vᵀ and that of v */
    if (swi_short_fits(p) && !gradients->dmask) {
        job.kernel = swi_short_backward_kernels[p->type][swi_cpu_level()];
        return sw_parallel_items_with_scratch(attention_run_short, &job, attention_short_items(p), swi_short_bytes(p),
                                              scratch, bytes);
    }
    SW_TRY(sw_parallel_items_with_scratch(attention_run_item, &job, p->batch * p->heads * job.parts,
                                          attention_worker_bytes(p, true), scratch ? (char *)scratch + sums : NULL,
                                          bytes > sums ? bytes - sums : 0));
    if (job.parts > 1 && !sw_dry_run())
        attention_add_parts(&job);
    return SW_OK;
}
