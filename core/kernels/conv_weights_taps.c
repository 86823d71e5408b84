/* The gradient of the weights of a convolution, tap by tap: for strides, dilations or paddings that are much longer
 * than the picture, so that a copy with zeros around it (conv_weights.c) would be too large. The pixels of y for which
 * a tap lies in the picture are a rectangle. Each of `sums` groups of samples has its own sums, which are added at the
 * end. */
#include <swale/memory.h>
#include <swale/status.h>

#include "core/kernels/conv_outer.h"
#include "core/kernels/conv_plan.h"
#include "core/kernels/conv_shared.h"
#include "core/kernels/dispatch.h"

#include <string.h>

enum { MOST_SUMS = 16, MOST_SUM_BYTES = 1 << 23 };

typedef struct taps_job {
    const sw_conv *conv;
    const char *x, *dy;
    int64_t size, inputs, outputs; /* of an element; channels of a group */
    int64_t taps, length;          /* elements of the kernel, of dw */
    int64_t sums, parts;           /* groups of samples; parts of the taps */
    char *sum;                     /* [sums, length] */
    sw_kernel *outer;
} taps_job;

static size_t taps_aligned(int64_t bytes) {
    return ((size_t)bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
}

static taps_job taps_new(const sw_conv *c) {
    taps_job j = {.conv = c,
                  .size = (int64_t)sw_dtype_size(c->type),
                  .inputs = c->inputs / c->groups,
                  .outputs = c->outputs / c->groups,
                  .taps = c->kernel_height * c->kernel_width};
    j.length = j.taps * j.inputs * c->outputs;
    const int64_t fit = MOST_SUM_BYTES / (j.length * j.size);
    j.sums = c->batch < MOST_SUMS ? c->batch : MOST_SUMS;
    j.sums = j.sums < fit ? j.sums : fit > 1 ? fit : 1;
    j.parts = (MOST_SUMS + j.sums - 1) / j.sums;
    j.parts = j.parts < j.taps ? j.parts : j.taps;
    return j;
}

/* ---- Items ---- */

/* Of the copy of a sample, behind whose end vectors are read. */
static size_t taps_copy_bytes(const taps_job *j) {
    const sw_conv *c = j->conv;
    return taps_aligned((c->height * c->width * c->inputs + SWI_CONV_SLACK) * j->size);
}

static size_t taps_worker_bytes(const taps_job *j) {
    return taps_copy_bytes(j) + taps_aligned(j->conv->out_height * j->conv->out_width * (int64_t)sizeof(swi_conv_term));
}

/* The pixels [begin, end) of y along an axis whose tap k lies in the picture, which has `length` pixels. */
typedef struct taps_range {
    int64_t begin, end, first; /* first: the tap's position for pixel 0 of y */
} taps_range;

static taps_range taps_inside(const sw_conv *c, int axis, int64_t k) {
    const int64_t length = axis ? c->width : c->height, out = axis ? c->out_width : c->out_height,
                  step = c->stride[axis], first = k * c->dilation[axis] - c->before[axis];
    const int64_t begin = first < 0 ? (-first + step - 1) / step : 0,
                  end = first < length ? (length - 1 - first) / step + 1 : 0;
    return (taps_range){.begin = begin, .end = end < out ? end : out, .first = first};
}

/* Writes the terms of a tap, the offsets in a sample of dy and of x, and returns their number. */
static int64_t taps_terms(const sw_conv *c, int64_t tap, swi_conv_term *term) {
    const taps_range h = taps_inside(c, 0, tap / c->kernel_width), w = taps_inside(c, 1, tap % c->kernel_width);
    int64_t terms = 0;
    for (int64_t i = h.begin; i < h.end; i++)
        for (int64_t k = w.begin; k < w.end; k++)
            term[terms++] = (swi_conv_term){
                .row = (i * c->out_width + k) * c->outputs,
                .vector = ((h.first + i * c->stride[0]) * c->width + w.first + k * c->stride[1]) * c->inputs};
    return terms;
}

/* A part of the taps, for all samples of a group. */
static sw_status taps_item(void *args, int64_t index, sw_worker *worker) {
    const taps_job *j = args;
    const sw_conv *c = j->conv;
    const int64_t group = index / j->parts, part = index % j->parts, window = j->taps * j->inputs,
                  first = sw_part_begin(c->batch, j->sums, group), end = sw_part_begin(c->batch, j->sums, group + 1),
                  x_bytes = c->height * c->width * c->inputs * j->size,
                  dy_bytes = c->out_height * c->out_width * c->outputs * j->size;
    char *copy = worker->scratch, *sum = j->sum + group * j->length * j->size;
    swi_conv_term *term = (swi_conv_term *)(void *)(copy + taps_copy_bytes(j));
    for (int64_t n = first; n < end; n++) {
        memcpy(copy, j->x + n * x_bytes, (size_t)x_bytes);
        for (int64_t tap = sw_part_begin(j->taps, j->parts, part); tap < sw_part_begin(j->taps, j->parts, part + 1);
             tap++) {
            const int64_t terms = taps_terms(c, tap, term);
            for (int64_t g = 0; g < c->groups; g++) {
                swi_conv_outer s = {.rows = j->dy + n * dy_bytes + g * j->outputs * j->size,
                                    .vectors = copy + g * j->inputs * j->size,
                                    .out = sum + (g * j->outputs * window + tap * j->inputs) * j->size,
                                    .term = term,
                                    .terms = terms,
                                    .columns = j->inputs,
                                    .out_step = window,
                                    .add = n > first};
                j->outer(&s, 0, j->outputs, NULL);
            }
        }
    }
    return SW_OK;
}

/* ---- All ---- */

static size_t taps_sum_bytes(const taps_job *j) {
    return j->sums == 1 ? 0 : taps_aligned(j->sums * j->length * j->size);
}

size_t swi_conv_weights_taps_scratch(const sw_conv *conv) {
    const taps_job j = taps_new(conv);
    const size_t shared = taps_sum_bytes(&j), workers = sw_parallel_scratch(j.sums * j.parts, taps_worker_bytes(&j));
    return workers > SIZE_MAX - shared ? SIZE_MAX : shared + workers;
}

sw_status swi_conv_weights_taps(const sw_conv *conv, const void *x, const void *dy, void *dw, void *scratch,
                                size_t bytes) {
    taps_job j = taps_new(conv);
    const size_t shared = taps_sum_bytes(&j);
    SW_TRY(swi_conv_check_scratch(scratch, bytes, shared + 1));
    j.x = x;
    j.dy = dy;
    j.sum = shared ? scratch : dw;
    j.outer = swi_conv_outer_kernels[conv->type][swi_cpu_level()];
    SW_TRY(sw_parallel_items_with_scratch(taps_item, &j, j.sums * j.parts, taps_worker_bytes(&j),
                                          (char *)scratch + shared, bytes - shared));
    sw_add_vectors(conv->type, j.sum, j.sums, j.length);
    if (j.sum != dw)
        memcpy(dw, j.sum, (size_t)(j.length * j.size));
    return SW_OK;
}
