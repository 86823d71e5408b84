/* Attention of arrays: the work items. */
#include <swale/attention_kernels.h>
#include <swale/dry_run.h>
#include <swale/memory.h>
#include <swale/status.h>

#include "core/kernels/attention_tiles.h"
#include "core/kernels/dispatch.h"

/* A forward pass with fewer heads in all than this is divided into strips of queries. */
enum { FEW_ITEMS = 16 };

static size_t attention_worker_bytes(const sw_attention_problem *p, bool backward) {
    return (size_t)swi_attention_layout_of(p, backward).elements * sw_dtype_size(sw_dtype_compute(p->type));
}

/* ---- Items ---- */

typedef struct attention_job {
    swi_attention_item item; /* without what differs between items */
    sw_kernel *kernel;
    int64_t strips, parts; /* strips of queries; items into which those of one head are divided */
} attention_job;

static sw_status attention_run_item(void *args, int64_t index, sw_worker *worker) {
    const attention_job *j = args;
    swi_attention_item item = j->item;
    const int64_t part = index % j->parts, head = index / j->parts;
    item.sample = head / item.problem->heads;
    item.head = head % item.problem->heads;
    item.begin = sw_part_begin(j->strips, j->parts, part);
    item.end = sw_part_begin(j->strips, j->parts, part + 1);
    item.scratch = worker->scratch;
    j->kernel(&item, 0, 1, NULL);
    return SW_OK;
}

static int64_t attention_strips(const sw_attention_problem *p) {
    return (p->queries + SWI_ATTENTION_STRIP - 1) / SWI_ATTENTION_STRIP;
}

static int64_t attention_parts(const sw_attention_problem *p) {
    const int64_t heads = p->batch * p->heads, strips = attention_strips(p);
    const int64_t parts = heads > 0 ? (FEW_ITEMS + heads - 1) / heads : 1;
    return parts < strips ? parts : strips > 1 ? strips : 1;
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
    return sw_parallel_scratch(p->batch * p->heads * attention_parts(p), attention_worker_bytes(p, false));
}

size_t sw_attention_backward_scratch(const sw_attention_problem *p) {
    return sw_parallel_scratch(p->batch * p->heads, attention_worker_bytes(p, true));
}

sw_status sw_attention_forward(const sw_attention_problem *p, const void *q, const void *k, const void *v, void *out,
                               void *saved, void *scratch, size_t bytes) {
    SW_TRY(attention_check(p));
    attention_job job = {.item = {.problem = p, .q = q, .k = k, .v = v, .out = out, .saved = saved},
                         .kernel = swi_attention_forward_kernels[sw_dtype_compute(p->type)][swi_cpu_level()],
                         .strips = attention_strips(p),
                         .parts = attention_parts(p)};
    if (p->queries == 0)
        return SW_OK;
    attention_count(p, 1, 1);
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
                         .parts = 1};
    attention_count(p, 3, 2); /* the scores again, and those of the gradients of q and k; dout vᵀ and that of v */
    return sw_parallel_items_with_scratch(attention_run_item, &job, p->batch * p->heads,
                                          attention_worker_bytes(p, true), scratch, bytes);
}
