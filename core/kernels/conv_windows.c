/* The forward pass and the gradient of the input of a convolution: packs the weights, then the threads share the items
 * of the plan (see conv_sums.h). */
#include <swale/memory.h>
#include <swale/status.h>

#include "core/kernels/conv_plan.h"
#include "core/kernels/conv_shared.h"
#include "core/kernels/dispatch.h"

#include <string.h>

enum { PACK_PARTS = 16, TILE_PIXELS = 12 };

typedef struct windows_job {
    const swi_conv_plan *plan;
    const char *picture;
    char *result;
    sw_kernel *sums, *pack;
    const void *w;
    int64_t lanes;      /* of a register at this level */
    int64_t pack_parts; /* of all registers of the weights */
} windows_job;

/* ---- Weights ---- */

static int64_t windows_registers(const windows_job *j) {
    return (j->plan->group_outputs + j->lanes - 1) / j->lanes;
}

/* Packs one part of the registers of all groups, for all phases. */
static void windows_pack(void *args, int64_t part) {
    const windows_job *j = args;
    const swi_conv_plan *p = j->plan;
    const int64_t registers = windows_registers(j) * p->conv->groups;
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
                              .first_paired = p->first_paired,
                              .group_step = c->outputs / c->groups * length,
                              .output_step = p->purpose == SWI_CONV_INPUT ? 1 : length};
        j->pack(&pack, sw_part_begin(registers, j->pack_parts, part), sw_part_begin(registers, j->pack_parts, part + 1),
                NULL);
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

static int64_t windows_blocks(const windows_job *j) {
    return swi_conv_blocks(j->plan->group_outputs, j->plan->first_paired, j->lanes);
}

/* Block b of all groups, for a phase: the arguments without pixels. */
static swi_conv_sums windows_block(const windows_job *j, const swi_conv_phase *f, const char *from, char *to,
                                   int64_t b) {
    const swi_conv_plan *p = j->plan;
    const int64_t each = windows_blocks(j), group = b / each, padded = windows_registers(j) * j->lanes;
    const swi_conv_block block = swi_conv_block_at(p->group_outputs, p->first_paired, j->lanes, b % each);
    const int64_t first = group * padded + block.first;
    return (swi_conv_sums){.x = from + group * p->group_channels * p->size,
                           .w = (char *)p->packed +
                                (f->first_term * padded * p->conv->groups + first * f->terms) * p->size,
                           .start = (char *)p->start + first * p->size,
                           .y = to + (group * p->group_outputs + block.first) * p->size,
                           .x_origin = f->x_origin,
                           .y_origin = f->y_origin,
                           .offset = f->offset,
                           .segments = 1,
                           .length = f->terms,
                           .outputs = block.outputs,
                           .paired = block.paired};
}

/* Packs block b of all groups, for a phase. */
static void *windows_pack_block(const windows_job *j, const swi_conv_phase *f, int64_t b, void *packed) {
    const sw_conv *c = j->plan->conv;
    const int64_t each = windows_blocks(j), length = c->kernel_height * c->kernel_width * (c->inputs / c->groups),
                  output_step = j->plan->purpose == SWI_CONV_INPUT ? 1 : length;
    const swi_conv_block block = swi_conv_block_at(j->plan->group_outputs, j->plan->first_paired, j->lanes, b % each);
    const int64_t first = b / each * (c->outputs / c->groups) * length + block.first * output_step;
    swi_conv_pack pack = {.w = (const char *)j->w + first * j->plan->size,
                          .packed = packed,
                          .source = f->source,
                          .terms = f->terms,
                          .outputs = block.outputs,
                          .first_paired = block.paired ? 0 : block.outputs,
                          .output_step = output_step};
    j->pack(&pack, 0, (block.outputs + j->lanes - 1) / j->lanes, NULL);
    return packed;
}

/* Whether the terms of a window's row and the pixels of a row are neighbors in the picture. */
static bool windows_is_row(const swi_conv_plan *p, const swi_conv_phase *f) {
    const int64_t taps = f->taps[1];
    return p->channels == 1 && p->phases == 1 && p->axis[1].step == 1 && (taps == 3 || taps == 5) &&
           f->offset[1] - f->offset[0] == 1;
}

/* The sums with the taps u along H and v along W. */
static swi_conv_sums windows_with_taps(const windows_job *j, const swi_conv_phase *f, swi_conv_sums s, swi_conv_taps u,
                                       swi_conv_taps v) {
    const swi_conv_plan *p = j->plan;
    const int64_t width = f->taps[1] * p->group_channels, first = u.first * width + v.first * p->group_channels,
                  block = s.paired || s.outputs <= j->lanes ? j->lanes : 2 * j->lanes;
    s.offset += first;
    s.segments = u.end - u.first;
    s.length = (v.end - v.first) * p->group_channels;
    s.step = width;
    s.w = (const char *)s.w + first * block * p->size;
    return s;
}

/* All rectangles of an item, for one block of outputs. */
static void windows_rectangles(const windows_job *j, const swi_conv_phase *f, swi_conv_sums block, int64_t samples) {
    int64_t first = 0;
    for (int64_t i = 0; i < f->runs[0]; i++)
        for (int64_t k = 0; k < f->runs[1]; k++) {
            const swi_conv_run *rows = &f->run[0][i], *columns = &f->run[1][k];
            const int64_t pixels = rows->count * columns->count;
            swi_conv_sums s = windows_with_taps(j, f, block, rows->taps, columns->taps);
            j->sums(&s, first, first + samples * pixels, NULL);
            first += j->plan->samples * pixels;
        }
}

/* All pixels of an item, for the blocks [begin, end). packed: memory for a block of weights, or NULL if they are packed
 * already. */
static void windows_phase(const windows_job *j, const swi_conv_phase *f, const swi_conv_item *item, const char *from,
                          char *result, swi_conv_ahead *ahead, int64_t begin, int64_t end, void *packed) {
    const swi_conv_plan *p = j->plan;
    const swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    const swi_conv_range rows = swi_conv_item_phase(p, item, f, 0), columns = swi_conv_item_phase(p, item, f, 1);
    if (rows.length <= 0 || columns.length <= 0)
        return;
    char *to = result + ((item->sample.begin * h->result + rows.begin * h->apart + f->first[0]) * w->result +
                         columns.begin * w->apart + f->first[1]) *
                            p->outputs * p->size;
    const int64_t pixels = item->sample.length * rows.length * columns.length,
                  tiles = (end - begin) * p->phases * pixels / TILE_PIXELS + 1;
    ahead->step = ahead->step ? ahead->step : ahead->bytes / tiles + 1;
    for (int64_t b = begin; b < end; b++) {
        swi_conv_sums s = windows_block(j, f, from, to, b);
        s.ahead = ahead;
        if (packed)
            s.w = windows_pack_block(j, f, b, packed);
        if (windows_is_row(p, f) && s.outputs <= j->lanes && !s.paired) {
            s.taps = f->taps[1];
            s.row = columns.length;
        }
        if (p->in_place)
            windows_rectangles(j, f, s, item->sample.length);
        else
            j->sums(&s, 0, pixels, NULL);
    }
}

/* The sums of one pixel of all samples of an item, with the taps that lie in the picture. */
static void windows_pixel(const windows_job *j, const swi_conv_phase *f, swi_conv_sums s, int64_t row, int64_t column,
                          int64_t samples) {
    const swi_conv_plan *p = j->plan;
    const swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    s = windows_with_taps(j, f, s, p->taps[0][row], p->taps[1][column]);
    s.x = (const char *)s.x + ((row / h->apart * h->step + h->low) * w->copy + column / w->apart * w->step + w->low) *
                                  p->channels * p->size;
    s.y = (char *)s.y + (row * w->result + column) * p->outputs * p->size;
    j->sums(&s, 0, samples, NULL);
}

/* The rows [begin, end) of the grid of an item, pixel by pixel. */
static void windows_pixels(const windows_job *j, const swi_conv_phase *f, const swi_conv_item *item, const char *from,
                           char *result, int64_t begin, int64_t end) {
    const swi_conv_plan *p = j->plan;
    const swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    char *to = result + item->sample.begin * h->result * w->result * p->outputs * p->size;
    const int64_t blocks = windows_blocks(j) * p->conv->groups;
    for (int64_t b = 0; b < blocks; b++) {
        const swi_conv_sums s = windows_block(j, f, from, to, b);
        for (int64_t i = begin; i < end && i < f->grid[0]; i++)
            for (int64_t k = 0; k < f->grid[1]; k++)
                windows_pixel(j, f, s, i * h->apart + f->first[0], k * w->apart + f->first[1], item->sample.length);
    }
}

/* The bytes of y, or dy, of an item that has whole samples. */
static size_t windows_sample_bytes(const swi_conv_plan *p) {
    const sw_conv *c = p->conv;
    const int64_t bytes = p->samples * c->out_height * c->out_width * c->outputs * p->size;
    return c->samples ? ((size_t)bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT : 0;
}

static size_t windows_worker_bytes(const swi_conv_plan *p) {
    return swi_conv_plan_worker_bytes(p) + windows_sample_bytes(p);
}

/* An item whose y, or dy, is only in the worker's scratch. */
static sw_status windows_samples_item(void *args, int64_t index, sw_worker *worker) {
    const windows_job *j = args;
    const swi_conv_plan *p = j->plan;
    const sw_conv *c = p->conv;
    const bool gradient = p->purpose == SWI_CONV_INPUT;
    const swi_conv_item item = swi_conv_item_at(p, index);
    const int64_t end = p->by_pixel ? p->axis[0].grid : windows_blocks(j) * c->groups;
    char *y = (char *)worker->scratch + swi_conv_plan_worker_bytes(p);
    swi_conv_item read = item, written = item;
    if (gradient) {
        c->samples(c->samples_args, item.sample.begin, item.sample.length, y);
        read.sample.begin = 0;
    } else {
        written.sample.begin = 0;
    }
    const char *from = swi_conv_item_picture(p, &read, gradient ? y : j->picture, worker->scratch);
    char *to = gradient ? j->result : y;
    swi_conv_ahead ahead =
        swi_conv_item_ahead(p, gradient ? p->items : index + 1, false, j->picture, p->channels * p->size);
    for (int64_t q = 0; q < p->phases; q++)
        if (p->by_pixel)
            windows_pixels(j, &p->phase[q], &written, from, to, 0, end);
        else
            windows_phase(j, &p->phase[q], &written, from, to, &ahead, 0, end, NULL);
    if (!gradient)
        c->samples(c->samples_args, item.sample.begin, item.sample.length, y);
    return SW_OK;
}

static sw_status windows_item(void *args, int64_t index, sw_worker *worker) {
    const windows_job *j = args;
    const swi_conv_plan *p = j->plan;
    swi_conv_item item = swi_conv_item_at(p, index / p->parts);
    const int64_t part = index % p->parts, all = p->by_pixel ? p->axis[0].grid : windows_blocks(j) * p->conv->groups,
                  begin = sw_part_begin(all, p->parts, part), end = sw_part_begin(all, p->parts, part + 1);
    if (p->by_pixel)
        item.at[0] = (swi_conv_range){begin, end - begin};
    const char *from = swi_conv_item_picture(p, &item, j->picture, worker->scratch);
    void *packed = p->packs_blocks ? (char *)worker->scratch + swi_conv_plan_copy_bytes(p) : NULL;
    swi_conv_ahead ahead = swi_conv_item_ahead(p, index / p->parts + 1, false, j->picture, p->channels * p->size);
    for (int64_t q = 0; q < p->phases; q++)
        if (p->by_pixel)
            windows_pixels(j, &p->phase[q], &item, from, j->result, begin, end);
        else
            windows_phase(j, &p->phase[q], &item, from, j->result, &ahead, begin, end, packed);
    return SW_OK;
}

/* ---- Both passes ---- */

size_t swi_conv_windows_scratch(const sw_conv *conv, bool gradient) {
    const swi_conv_plan p = swi_conv_plan_new(conv, gradient ? SWI_CONV_INPUT : SWI_CONV_FORWARD);
    const size_t shared = swi_conv_plan_bytes(&p),
                 workers = sw_parallel_scratch(p.items * p.parts, windows_worker_bytes(&p));
    return workers > SIZE_MAX - shared ? SIZE_MAX : shared + workers;
}

bool swi_conv_windows_by_samples(const sw_conv *conv, bool gradient) {
    const swi_conv_plan p = swi_conv_plan_new(conv, gradient ? SWI_CONV_INPUT : SWI_CONV_FORWARD);
    const swi_conv_axis *h = &p.axis[0], *w = &p.axis[1];
    return p.items > 0 && p.parts == 1 && h->part == h->grid && w->part == w->grid;
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
    j.pack_parts = p.terms * p.outputs < SW_SERIAL ? 1 : registers < PACK_PARTS ? registers : PACK_PARTS;
    if (!p.packs_blocks)
        sw_parallel(windows_pack, &j, j.pack_parts);
    return sw_parallel_items_with_scratch(conv->samples ? windows_samples_item : windows_item, &j, p.items * p.parts,
                                          windows_worker_bytes(&p), (char *)scratch + shared, bytes - shared);
}
