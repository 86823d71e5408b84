/* The gradient of the weights of a convolution: sums over pixels of outer products of x and dy. The pixels are those of
 * the items of the forward pass. Each of `sums` groups of items has its own sums, which are added at the end.
 *
 * Either operand can be the vectors of the outer products, and the elements of the other are broadcast:
 *
 *     by inputs     vectors are parts of a row of the window in x, and dw is computed as it is stored
 *     by outputs    vectors are outputs of dy, and the transpose of dw is computed; for few input channels */
#include <swale/copy.h>
#include <swale/memory.h>
#include <swale/status.h>

#include "core/kernels/conv_outer.h"
#include "core/kernels/conv_plan.h"
#include "core/kernels/conv_shared.h"
#include "core/kernels/dispatch.h"

#include <string.h>

enum { MOST_SUMS = 16, MOST_SUM_BYTES = 1 << 23, LEAST_ROWS = 6, TILE_SUMS = 384 };
/* The bytes of a pixel of dy from which on panels take less time than they save, by measurement. */
enum { PANEL_PIXEL = 256 };

typedef struct weights_job {
    swi_conv_plan plan;
    bool by_inputs;
    bool copies_dy;         /* because vectors at its end would be read beyond it, or because it is not stored */
    int64_t rows, columns;  /* of the outer products of one term */
    int64_t window, length; /* elements of a window of one group, of dw */
    int64_t sums, parts;    /* groups of items; parts of the rows */
    int64_t panel;          /* by_inputs: the width of the panels of dy; 0: none */
    int64_t taps;           /* of a row of a window with one channel, if terms and rows are neighbors; otherwise 0 */
    const char *x, *dy;
    char *sum;           /* [sums, length] */
    swi_conv_term *term; /* the pixels of an item */
    sw_kernel *outer, *pack;
} weights_job;

/* ---- The choice of the vectors ---- */

/* About the part of the fused multiply-adds that outer products do in their best case. */
static double weights_efficiency(int64_t rows, int64_t columns, int64_t lanes) {
    const int64_t registers = (columns + lanes - 1) / lanes, chains = rows * (registers < 3 ? registers : 3);
    const double used = (double)columns / (double)(registers * lanes), waiting = chains < 8 ? (double)chains / 8 : 1;
    return used * waiting * (registers == 1 ? 0.85 : 1); /* one register: a load for each product */
}

/* The elements of x that are the columns of one outer product: a row of a window, or the channels of a pixel. The
 * channels of the pixels of a row need not be next to one another if they fill whole registers. */
static int64_t weights_run(const sw_conv *c) {
    const int64_t each = c->inputs / c->groups, lanes = SW_ALIGNMENT / (int64_t)sw_dtype_size(c->type);
    return (c->groups == 1 && c->dilation[1] == 1) || each % lanes == 0 ? c->kernel_width * each : each;
}

/* See swi_conv_outer: of a square window with one channel, whose items have whole rows. */
static int64_t weights_taps(const sw_conv *c, const weights_job *j) {
    const swi_conv_axis *w = &j->plan.axis[1];
    const bool neighbors = c->inputs == 1 && c->groups == 1 && c->stride[1] == 1 && c->dilation[1] == 1;
    return neighbors && !j->by_inputs && c->kernel_height == c->kernel_width && w->part == w->grid ? c->kernel_width
                                                                                                   : 0;
}

static weights_job weights_new(const sw_conv *c) {
    const int64_t outputs = c->outputs / c->groups, lanes = SW_ALIGNMENT / (int64_t)sw_dtype_size(c->type),
                  run = weights_run(c);
    weights_job j = {.window = c->kernel_height * c->kernel_width * (c->inputs / c->groups),
                     .length = c->kernel_height * c->kernel_width * (c->inputs / c->groups) * c->outputs};
    j.by_inputs = run > 0 && weights_efficiency(outputs, run, lanes) >= weights_efficiency(j.window, outputs, lanes);
    j.rows = j.by_inputs ? outputs : j.window;
    j.columns = j.by_inputs ? run : outputs;
    j.copies_dy = (!j.by_inputs && outputs % lanes != 0) || c->samples;
    j.plan = swi_conv_plan_new(c, j.by_inputs && run % lanes != 0 ? SWI_CONV_WEIGHTS_COPY : SWI_CONV_WEIGHTS);
    if (j.plan.items == 0 || j.length == 0)
        return j;
    const int64_t fit = MOST_SUM_BYTES / (j.length * j.plan.size);
    j.sums = j.plan.items < MOST_SUMS ? j.plan.items : MOST_SUMS;
    j.sums = j.sums < fit ? j.sums : fit > 1 ? fit : 1;
    const int64_t parts = (MOST_SUMS + j.sums - 1) / j.sums, most = (j.rows + LEAST_ROWS - 1) / LEAST_ROWS;
    j.parts = parts < most ? parts : most;
    if (j.by_inputs && c->outputs * j.plan.size >= PANEL_PIXEL)
        j.panel = swi_conv_panel_width(j.columns, c->type, swi_cpu_level());
    j.taps = weights_taps(c, &j);
    return j;
}

/* ---- Items ---- */

static size_t weights_aligned(int64_t bytes) {
    return ((size_t)bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
}

static size_t weights_copy_bytes(const swi_conv_plan *p) {
    const int64_t slack = SWI_CONV_SLACK * p->size;
    return p->direct ? 0 : weights_aligned((int64_t)swi_conv_plan_copy_bytes(p) + slack);
}

/* The most pixels of an item. */
static int64_t weights_pixels(const swi_conv_plan *p) {
    return p->samples * p->axis[0].part * p->axis[1].part;
}

static int64_t weights_dy_bytes(const swi_conv_plan *p, int64_t pixels) {
    return pixels * p->outputs * p->size;
}

static int64_t weights_panel_bytes(const weights_job *j) {
    const int64_t rows = (j->rows + j->parts - 1) / j->parts;
    return j->panel ? (rows + j->panel - 1) / j->panel * j->panel * weights_pixels(&j->plan) * j->plan.size : 0;
}

static size_t weights_copy_dy_bytes(const weights_job *j) {
    const int64_t bytes = weights_dy_bytes(&j->plan, weights_pixels(&j->plan)) + SWI_CONV_SLACK * j->plan.size;
    return j->copies_dy ? weights_aligned(bytes) : 0;
}

/* Of the copies of x and dy, and of the panels, for the pixels of one item of the plan. */
static size_t weights_worker_bytes(const weights_job *j) {
    return weights_copy_bytes(&j->plan) + weights_copy_dy_bytes(j) + weights_aligned(weights_panel_bytes(j));
}

/* The part of an item that a call computes, with the rows [begin, end). */
typedef struct weights_part {
    int64_t begin, end, pixels;
    bool add;
    void *panels;          /* memory for them */
    swi_conv_ahead *ahead; /* two */
} weights_part;

/* Vectors are parts of a row of the window. */
static void weights_by_inputs(const weights_job *j, const weights_part *part, const char *x, const char *dy,
                              char *sum) {
    const swi_conv_plan *p = &j->plan;
    const swi_conv_phase *f = p->phase;
    if (j->panel) {
        swi_conv_panels s = {
            .rows = dy, .panels = part->panels, .origin = f->y_origin, .terms = part->pixels, .width = j->panel};
        j->pack(&s, part->begin, part->end, NULL);
        dy = part->panels;
    }
    for (int64_t k = 0; k < j->window; k += j->columns) {
        swi_conv_outer s = {.rows = dy,
                            .vectors = x + f->offset[k] * p->size,
                            .out = sum + k * p->size,
                            .term = j->term,
                            .terms = part->pixels,
                            .columns = j->columns,
                            .run = p->group_channels % (SW_ALIGNMENT / p->size) == 0 ? p->group_channels : 0,
                            .run_step = p->conv->dilation[1] * p->channels,
                            .out_step = j->window,
                            .add = part->add,
                            .ahead = &part->ahead[k >= j->window / 2],
                            .panel = j->panel,
                            .panel_step = j->panel * part->pixels};
        j->outer(&s, part->begin, part->end, NULL);
    }
}

/* Adds the outer products of the pixels of an item, for one group of channels. */
static void weights_group(const weights_job *j, int64_t group, const weights_part *part, const char *x, const char *dy,
                          char *sum) {
    const swi_conv_plan *p = &j->plan;
    x += group * p->group_channels * p->size;
    dy += group * p->group_outputs * p->size;
    sum += group * p->group_outputs * j->window * p->size;
    if (j->by_inputs) {
        weights_by_inputs(j, part, x, dy, sum);
        return;
    }
    swi_conv_outer s = {.rows = x,
                        .vectors = dy,
                        .out = sum,
                        .row_origin = p->phase->offset,
                        .term = j->term,
                        .terms = part->pixels,
                        .columns = j->columns,
                        .out_step = j->columns,
                        .add = part->add,
                        .ahead = part->ahead,
                        .taps = j->taps,
                        .term_run = p->axis[1].part};
    j->outer(&s, part->begin, part->end, NULL);
}

/* dy of an item, or its copy in the scratch of a worker. */
static const char *weights_item_dy(const weights_job *j, const swi_conv_item *item, char *copy) {
    const swi_conv_plan *p = &j->plan;
    const sw_conv *c = p->conv;
    if (c->samples) {
        c->samples(c->samples_args, item->sample.begin, item->sample.length, copy);
        return copy;
    }
    const char *dy =
        j->dy + ((item->sample.begin * p->axis[0].result + item->at[0].begin) * p->axis[1].result + item->at[1].begin) *
                    p->outputs * p->size;
    const int64_t pixels = item->sample.length * item->at[0].length * item->at[1].length;
    return j->copies_dy ? memcpy(copy, dy, (size_t)weights_dy_bytes(p, pixels)) : dy;
}

static sw_status weights_item(void *args, int64_t index, sw_worker *worker) {
    const weights_job *j = args;
    const swi_conv_plan *p = &j->plan;
    const int64_t group = index / j->parts, part = index % j->parts, first = sw_part_begin(p->items, j->sums, group),
                  end = sw_part_begin(p->items, j->sums, group + 1);
    char *sum = j->sum + group * j->length * p->size, *copy = worker->scratch;
    for (int64_t i = first; i < end; i++) {
        const swi_conv_item item = swi_conv_item_at(p, i);
        const char *x = swi_conv_item_picture(p, &item, j->x, copy);
        const char *dy = weights_item_dy(j, &item, copy + weights_copy_bytes(p));
        const int64_t pixels = item.sample.length * item.at[0].length * item.at[1].length,
                      next = i + 1 < end ? i + 1 : p->items;
        swi_conv_ahead ahead[2] = {
            swi_conv_item_ahead(p, next, false, j->x, p->channels * p->size),
            swi_conv_item_ahead(p, p->conv->samples ? p->items : next, true, j->dy, p->outputs * p->size)};
        const int64_t tiles = (j->window * p->outputs / (j->parts * TILE_SUMS) + 2) / 2;
        for (int k = 0; k < 2; k++)
            ahead[k].step = ahead[k].bytes / tiles + 1;
        const weights_part w = {.begin = sw_part_begin(j->rows, j->parts, part),
                                .end = sw_part_begin(j->rows, j->parts, part + 1),
                                .pixels = pixels,
                                .add = i > first,
                                .panels = copy + weights_copy_bytes(p) + weights_copy_dy_bytes(j),
                                .ahead = ahead};
        for (int64_t g = 0; g < p->conv->groups; g++)
            weights_group(j, g, &w, x, dy, sum);
    }
    return SW_OK;
}

/* ---- All ---- */

/* The sums of one group of items that are computed as dw is stored need no memory. */
static size_t weights_sum_bytes(const weights_job *j) {
    return j->sums == 1 && j->by_inputs ? 0 : weights_aligned(j->sums * j->length * j->plan.size);
}

static size_t weights_shared_bytes(const weights_job *j) {
    return swi_conv_plan_bytes(&j->plan) + weights_aligned(weights_pixels(&j->plan) * (int64_t)sizeof(swi_conv_term)) +
           weights_sum_bytes(j);
}

size_t swi_conv_weights_scratch(const sw_conv *conv) {
    const weights_job j = weights_new(conv);
    if (j.plan.too_large)
        return swi_conv_weights_taps_scratch(conv);
    if (j.sums == 0)
        return 0;
    const size_t shared = weights_shared_bytes(&j),
                 workers = sw_parallel_scratch(j.sums * j.parts, weights_worker_bytes(&j));
    return workers > SIZE_MAX - shared ? SIZE_MAX : shared + workers;
}

bool swi_conv_weights_by_samples(const sw_conv *conv) {
    const weights_job j = weights_new(conv);
    const swi_conv_axis *h = &j.plan.axis[0], *w = &j.plan.axis[1];
    return j.sums > 0 && !j.plan.too_large && j.parts == 1 && h->part == h->grid && w->part == w->grid;
}

/* Adds the sums of the groups of items, and brings them to dw. */
static void weights_finish(const weights_job *j, void *dw) {
    const swi_conv_plan *p = &j->plan;
    sw_add_vectors(p->conv->type, j->sum, j->sums, j->length);
    if (!j->by_inputs) {
        const sw_box box = {.axes = 3,
                            .length = {p->conv->groups, p->group_outputs, j->window},
                            .stride = {{j->window * p->group_outputs, 1, p->group_outputs},
                                       {j->window * p->group_outputs, j->window, 1}}};
        sw_box_copy((size_t)p->size, box, j->sum, dw);
    } else if (j->sum != dw) {
        memcpy(dw, j->sum, (size_t)(j->length * p->size));
    }
}

sw_status swi_conv_weights(const sw_conv *conv, const void *x, const void *dy, void *dw, void *scratch, size_t bytes) {
    weights_job j = weights_new(conv);
    if (j.plan.too_large)
        return swi_conv_weights_taps(conv, x, dy, dw, scratch, bytes);
    if (j.sums == 0) {
        memset(dw, 0, (size_t)(j.length * j.plan.size));
        return SW_OK;
    }
    const size_t shared = weights_shared_bytes(&j);
    SW_TRY(swi_conv_check_scratch(scratch, bytes, shared));
    swi_conv_plan_fill(&j.plan, scratch);
    char *at = (char *)scratch + swi_conv_plan_bytes(&j.plan);
    j.term = (swi_conv_term *)(void *)at;
    for (int64_t i = 0; i < weights_pixels(&j.plan); i++) {
        const int64_t from_x = j.plan.phase->x_origin[i], from_dy = j.plan.phase->y_origin[i];
        j.term[i] =
            j.by_inputs ? (swi_conv_term){j.panel ? i * j.panel : from_dy, from_x} : (swi_conv_term){from_x, from_dy};
    }
    at += weights_aligned(weights_pixels(&j.plan) * (int64_t)sizeof(swi_conv_term));
    j.x = x;
    j.dy = dy;
    j.sum = weights_sum_bytes(&j) ? at : dw;
    j.outer = swi_conv_outer_kernels[conv->type][swi_cpu_level()];
    j.pack = swi_conv_panels_kernels[conv->type][swi_cpu_level()];
    SW_TRY(sw_parallel_items_with_scratch(weights_item, &j, j.sums * j.parts, weights_worker_bytes(&j),
                                          (char *)scratch + shared, bytes - shared));
    weights_finish(&j, dw);
    return SW_OK;
}
