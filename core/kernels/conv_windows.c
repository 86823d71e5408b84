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
                              .output_step = p->purpose == SWI_CONV_INPUT ? 1 : length};
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

static sw_status windows_item(void *args, int64_t index, sw_worker *worker) {
    const windows_job *j = args;
    const swi_conv_plan *p = j->plan;
    const swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    const swi_conv_item item = swi_conv_item_at(p, index / p->parts);
    const int64_t part = index % p->parts, blocks = (windows_registers(j) + 1) / 2 * p->conv->groups;
    const char *from = swi_conv_item_picture(p, &item, j->picture, worker->scratch);
    for (int64_t q = 0; q < p->phases; q++) {
        const swi_conv_phase *f = &p->phase[q];
        const swi_conv_range rows = swi_conv_item_phase(p, &item, f, 0), columns = swi_conv_item_phase(p, &item, f, 1);
        if (rows.length <= 0 || columns.length <= 0)
            continue;
        char *to = j->result + ((item.sample.begin * h->result + rows.begin * h->apart + f->first[0]) * w->result +
                                columns.begin * w->apart + f->first[1]) *
                                   p->outputs * p->size;
        windows_phase(j, f, from, to, item.sample.length * rows.length * columns.length,
                      sw_part_begin(blocks, p->parts, part), sw_part_begin(blocks, p->parts, part + 1));
    }
    return SW_OK;
}

/* ---- Both passes ---- */

size_t swi_conv_windows_scratch(const sw_conv *conv, bool gradient) {
    const swi_conv_plan p = swi_conv_plan_new(conv, gradient ? SWI_CONV_INPUT : SWI_CONV_FORWARD);
    const size_t shared = swi_conv_plan_bytes(&p),
                 workers = sw_parallel_scratch(p.items * p.parts, swi_conv_plan_worker_bytes(&p));
    return workers > SIZE_MAX - shared ? SIZE_MAX : shared + workers;
}

sw_status swi_conv_windows(const sw_conv *conv, bool gradient, const void *picture, const void *w, const void *bias,
                           void *result, void *scratch, size_t bytes) {
    swi_conv_plan p = swi_conv_plan_new(conv, gradient ? SWI_CONV_INPUT : SWI_CONV_FORWARD);
    const size_t shared = swi_conv_plan_bytes(&p);
    if (p.items == 0)
        return SW_OK;
    SW_TRY(swi_conv_check_scratch(scratch, bytes, shared));
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
