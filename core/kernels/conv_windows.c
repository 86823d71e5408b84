/* The forward pass and the gradient of the input of a convolution: packs the weights, then the threads share the items
 * of the plan (see conv_sums.h). */
#include <swale/memory.h>
#include <swale/status.h>

#include "core/kernels/conv_plan.h"
#include "core/kernels/conv_shared.h"
#include "core/kernels/dispatch.h"

#include <string.h>

typedef struct windows_job {
    const swi_conv_plan *plan;
    const char *picture;
    char *result;
    sw_kernel *sums, *pack;
    const void *w;
    int64_t lanes; /* of a register at this level */
} windows_job;

/* ---- Weights ---- */

static int64_t windows_registers(const windows_job *j) {
    return (j->plan->group_outputs + j->lanes - 1) / j->lanes;
}

/* Packs one register of all phases: item r of the groups' registers. */
static void windows_pack(void *args, int64_t r) {
    const windows_job *j = args;
    const swi_conv_plan *p = j->plan;
    const sw_conv *c = p->conv;
    const int64_t length = c->kernel_height * c->kernel_width * (c->inputs / c->groups),
                  all = windows_registers(j) * j->lanes * c->groups;
    for (int64_t k = 0; k < p->phases; k++) {
        const swi_conv_phase *f = &p->phase[k];
        swi_conv_pack pack = {.w = j->w,
                              .packed = (char *)p->packed + f->first_term * all * p->size,
                              .source = f->source,
                              .terms = f->terms,
                              .outputs = p->group_outputs,
                              .group_step = c->outputs / c->groups * length,
                              .output_step = p->gradient ? 1 : length};
        j->pack(&pack, r, r + 1, NULL);
    }
}

/* The bias of each group in whole registers; 0 without a bias. */
static void windows_start(const windows_job *j, const char *bias) {
    const swi_conv_plan *p = j->plan;
    const int64_t padded = windows_registers(j) * j->lanes * p->size, bytes = p->group_outputs * p->size;
    memset(p->start, 0, (size_t)(p->conv->groups * padded));
    for (int64_t g = 0; bias && g < p->conv->groups; g++)
        memcpy((char *)p->start + g * padded, bias + g * bytes, (size_t)bytes);
}

/* ---- Items ---- */

/* The part of an axis that belongs to an item. */
typedef struct windows_range {
    int64_t begin, length;
} windows_range;

static windows_range windows_part(int64_t total, int64_t part, int64_t index) {
    const int64_t begin = index * part;
    return (windows_range){begin, total - begin < part ? total - begin : part};
}

/* Sums for the pixels of a phase, for the blocks [begin, end) of outputs. */
static void windows_phase(const windows_job *j, const swi_conv_phase *f, const char *from, char *to, int64_t pixels,
                          int64_t begin, int64_t end) {
    const swi_conv_plan *p = j->plan;
    const int64_t registers = windows_registers(j), each = (registers + 1) / 2, all = registers * p->conv->groups;
    for (int64_t b = begin; b < end; b++) {
        const int64_t group = b / each, first = group * registers + b % each * 2, done = b % each * 2 * j->lanes;
        const int64_t left = p->group_outputs - done, block = left < 2 * j->lanes ? left : 2 * j->lanes;
        swi_conv_sums s = {.x = from + group * p->group_channels * p->size,
                           .w = (char *)p->packed + (f->first_term * all + first * f->terms) * j->lanes * p->size,
                           .start = (char *)p->start + first * j->lanes * p->size,
                           .y = to + (group * p->group_outputs + done) * p->size,
                           .x_origin = f->x_origin,
                           .y_origin = f->y_origin,
                           .offset = f->offset,
                           .terms = f->terms,
                           .outputs = block};
        j->sums(&s, 0, pixels, NULL);
    }
}

/* The copy of an item's part of the picture, with zeros around it. */
static void windows_copy(const windows_job *j, windows_range n, windows_range i, windows_range k, char *to) {
    const swi_conv_plan *p = j->plan;
    const swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    const int64_t pixel = p->channels * p->size, left = k.begin * w->step + w->low;
    const int64_t before = left < 0 ? (-left < w->copy ? -left : w->copy) : 0;
    int64_t inside = w->picture - (left + before);
    inside = inside < 0 ? 0 : inside < w->copy - before ? inside : w->copy - before;
    for (int64_t sample = 0; sample < n.length; sample++)
        for (int64_t r = 0; r < h->copy; r++, to += w->copy * pixel) {
            const int64_t row = i.begin * h->step + h->low + r;
            if (row < 0 || row >= h->picture || inside == 0) {
                memset(to, 0, (size_t)(w->copy * pixel));
                continue;
            }
            const char *from =
                j->picture + (((n.begin + sample) * h->picture + row) * w->picture + left + before) * pixel;
            memset(to, 0, (size_t)(before * pixel));
            memcpy(to + before * pixel, from, (size_t)(inside * pixel));
            memset(to + (before + inside) * pixel, 0, (size_t)((w->copy - before - inside) * pixel));
        }
}

static sw_status windows_item(void *args, int64_t index, sw_worker *worker) {
    const windows_job *j = args;
    const swi_conv_plan *p = j->plan;
    const swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    const int64_t columns = (w->grid + w->part - 1) / w->part, rows = (h->grid + h->part - 1) / h->part;
    const int64_t item = index / p->parts, part = index % p->parts;
    const windows_range k = windows_part(w->grid, w->part, item % columns),
                        i = windows_part(h->grid, h->part, item / columns % rows),
                        n = windows_part(p->conv->batch, p->samples, item / columns / rows);
    const int64_t blocks = (windows_registers(j) + 1) / 2 * p->conv->groups;
    const char *from = worker->scratch;
    if (p->direct)
        from = j->picture +
               ((n.begin * h->picture + i.begin * h->step + h->low) * w->picture + k.begin * w->step + w->low) *
                   p->channels * p->size;
    else
        windows_copy(j, n, i, k, worker->scratch);
    for (int64_t q = 0; q < p->phases; q++) {
        const swi_conv_phase *f = &p->phase[q];
        const windows_range a = windows_part(f->grid[0], h->part, item / columns % rows),
                            b = windows_part(f->grid[1], w->part, item % columns);
        if (a.length <= 0 || b.length <= 0)
            continue;
        char *to = j->result + ((n.begin * h->result + i.begin * h->apart + f->first[0]) * w->result +
                                k.begin * w->apart + f->first[1]) *
                                   p->outputs * p->size;
        windows_phase(j, f, from, to, n.length * a.length * b.length, sw_part_begin(blocks, p->parts, part),
                      sw_part_begin(blocks, p->parts, part + 1));
    }
    return SW_OK;
}

/* ---- Both passes ---- */

size_t swi_conv_windows_scratch(const sw_conv *conv, bool gradient) {
    const swi_conv_plan p = swi_conv_plan_new(conv, gradient);
    const size_t shared = swi_conv_plan_bytes(&p),
                 workers = sw_parallel_scratch(p.items * p.parts, swi_conv_plan_worker_bytes(&p));
    return workers > SIZE_MAX - shared ? SIZE_MAX : shared + workers;
}

sw_status swi_conv_windows(const sw_conv *conv, bool gradient, const void *picture, const void *w, const void *bias,
                           void *result, void *scratch, size_t bytes) {
    swi_conv_plan p = swi_conv_plan_new(conv, gradient);
    const size_t shared = swi_conv_plan_bytes(&p);
    if (p.items == 0)
        return SW_OK;
    if (!scratch || bytes < shared)
        return sw_fail(SW_ERR_ARGUMENT, "conv: scratch of %zu bytes; %zu are needed", scratch ? bytes : 0, shared);
    swi_conv_plan_fill(&p, scratch);
    const int level = swi_cpu_level();
    windows_job j = {.plan = &p,
                     .picture = picture,
                     .result = result,
                     .sums = swi_conv_sums_kernels[conv->type][level],
                     .pack = swi_conv_pack_kernels[conv->type][level],
                     .w = w,
                     .lanes = (16 << level) / p.size};
    windows_start(&j, bias);
    const int64_t registers = windows_registers(&j) * conv->groups;
    if (p.terms * p.outputs < SW_SERIAL)
        for (int64_t r = 0; r < registers; r++)
            windows_pack(&j, r);
    else
        sw_parallel(windows_pack, &j, registers);
    return sw_parallel_items_with_scratch(windows_item, &j, p.items * p.parts, swi_conv_plan_worker_bytes(&p),
                                          (char *)scratch + shared, bytes - shared);
}
