/* Convolutions by Winograd's minimal filtering. An item is a range of tiles, whose planes stay in the cache: they are
 * transformed, multiplied and transformed back. See conv_winograd.h. */
#include <swale/memory.h>
#include <swale/status.h>

#include "core/kernels/conv_outer.h"
#include "core/kernels/conv_plan.h"
#include "core/kernels/conv_shared.h"
#include "core/kernels/conv_winograd.h"
#include "core/kernels/dispatch.h"

#include <string.h>

enum { PLANES = 16 };
/* Where the transformations take less time than they save, by measurement: channels of both sides; tiles in all; bytes
 * of transformed weights, which stay in the cache; for the gradient of the weights, bytes of their sums. */
enum { LEAST_CHANNELS = 32, LEAST_TILES = 96, MOST_WEIGHTS = 1 << 20, MOST_SUM = 1 << 18 };
/* Of the planes of an item; the tiles of an item. */
enum { MOST_PLANE_BYTES = 1 << 17, FEW_TILES = 24, MANY_TILES = 192, TILES_MULTIPLE = 12 };
/* The pixels of all tiles are at most this many times those of the result. */
static const double outside_limit = 1.4, outside_limit_weights = 1.4;
enum { MOST_SUMS = 16 };

typedef struct winograd_job {
    const sw_conv *conv;
    swi_conv_purpose purpose;
    int level;
    int64_t lanes;
    swi_winograd_tiles from, to; /* what is read, x or dy; what is written, or dy in the gradient of the weights */
    int64_t tiles, item_tiles, items, sums;
    int64_t registers, first_paired; /* of the outputs */
    char *packed, *zero, *planes, *sum;
    int64_t *from_origin, *to_origin, *offset, *source;
    swi_conv_term *term;
    size_t shared;
} winograd_job;

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* With transformed weights that stay in the cache. */
static bool winograd_is_narrow(const sw_conv *c, swi_conv_purpose purpose) {
    const int64_t height = purpose == SWI_CONV_INPUT ? c->height : c->out_height,
                  width = purpose == SWI_CONV_INPUT ? c->width : c->out_width,
                  bytes = PLANES * c->inputs * c->outputs * (int64_t)sizeof(float);
    const bool weights = purpose == SWI_CONV_WEIGHTS;
    return swi_winograd_has_kernel(c) && c->inputs >= LEAST_CHANNELS && c->outputs >= LEAST_CHANNELS &&
           c->batch * ceil_div(height, 2) * ceil_div(width, 2) >= LEAST_TILES &&
           bytes <= (weights ? MOST_SUM : MOST_WEIGHTS) &&
           swi_winograd_outside(height, width) <= (weights ? outside_limit_weights : outside_limit);
}

bool swi_winograd_fits(const sw_conv *c, swi_conv_purpose purpose) {
    return winograd_is_narrow(c, purpose) || swi_winograd_wide_fits(c, purpose);
}

/* ---- Memory ---- */

static size_t winograd_aligned(int64_t bytes) {
    return ((size_t)bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
}

/* The next `bytes` of the shared memory; without memory, they are only counted. */
static void *winograd_take(winograd_job *j, char *memory, int64_t bytes) {
    void *at = memory ? memory + j->shared : NULL;
    j->shared += winograd_aligned(bytes);
    return at;
}

static winograd_job winograd_new(const sw_conv *c, swi_conv_purpose purpose, char *memory) {
    const int level = swi_cpu_level();
    winograd_job j = {.conv = c, .purpose = purpose, .level = level, .lanes = (16 << level) / (int64_t)sizeof(float)};
    swi_winograd_sides(c, purpose, &j.from, &j.to);
    j.tiles = c->batch * j.to.rows * j.to.columns;
    const int64_t bytes = PLANES * (c->inputs + c->outputs) * (int64_t)sizeof(float);
    int64_t most = MOST_PLANE_BYTES / bytes / TILES_MULTIPLE * TILES_MULTIPLE;
    most = most < FEW_TILES ? FEW_TILES : most > MANY_TILES ? MANY_TILES : most;
    j.item_tiles = ceil_div(j.tiles, ceil_div(j.tiles, most));
    j.items = ceil_div(j.tiles, j.item_tiles);
    j.sums = j.items < MOST_SUMS ? j.items : MOST_SUMS;
    const int64_t outputs = j.to.channels, terms = j.from.channels, longest = outputs > terms ? outputs : terms,
                  weights = PLANES * outputs * terms * (int64_t)sizeof(float);
    j.registers = ceil_div(outputs, j.lanes);
    j.first_paired = swi_conv_first_paired(outputs, terms, c->type);
    j.zero = winograd_take(&j, memory, longest * (int64_t)sizeof(float) + SW_ALIGNMENT);
    if (purpose == SWI_CONV_WEIGHTS) {
        j.sum = winograd_take(&j, memory, j.sums * weights);
        j.term = winograd_take(&j, memory, j.item_tiles * (int64_t)sizeof(swi_conv_term));
        return j;
    }
    j.planes = winograd_take(&j, memory, weights);
    j.packed = winograd_take(&j, memory, PLANES * ceil_div(outputs, PLANES) * PLANES * terms * (int64_t)sizeof(float));
    j.from_origin = winograd_take(&j, memory, j.item_tiles * (int64_t)sizeof(int64_t));
    j.to_origin = winograd_take(&j, memory, j.item_tiles * (int64_t)sizeof(int64_t));
    j.offset = winograd_take(&j, memory, terms * (int64_t)sizeof(int64_t));
    j.source = winograd_take(&j, memory, terms * (int64_t)sizeof(int64_t));
    return j;
}

/* Of the planes of an item: those read, then those of the products. */
static size_t winograd_plane_bytes(const winograd_job *j, const swi_winograd_tiles *t) {
    return winograd_aligned((PLANES * j->item_tiles * t->channels + SWI_CONV_SLACK) * (int64_t)sizeof(float));
}

static size_t winograd_worker_bytes(const winograd_job *j) {
    return winograd_plane_bytes(j, &j->from) + winograd_plane_bytes(j, &j->to);
}

size_t swi_winograd_scratch(const sw_conv *conv, swi_conv_purpose purpose) {
    if (!winograd_is_narrow(conv, purpose))
        return swi_winograd_wide_scratch(conv, purpose);
    const winograd_job j = winograd_new(conv, purpose, NULL);
    const size_t workers =
        sw_parallel_scratch(purpose == SWI_CONV_WEIGHTS ? j.sums : j.items, winograd_worker_bytes(&j));
    return workers > SIZE_MAX - j.shared ? SIZE_MAX : j.shared + workers;
}

/* ---- Forward, and the gradient of the input ---- */

/* All planes of the kernels, [outputs, inputs] each. */
static swi_winograd_weights winograd_weights_of(const sw_conv *c, const void *w, void *planes) {
    return (swi_winograd_weights){.w = w,
                                  .planes = planes,
                                  .inputs = c->inputs,
                                  .channels = c->inputs,
                                  .row = c->inputs,
                                  .plane = c->outputs * c->inputs};
}

static void winograd_pack(void *args, int64_t plane) {
    const winograd_job *j = args;
    const bool gradient = j->purpose == SWI_CONV_INPUT;
    const int64_t outputs = j->to.channels, terms = j->from.channels, size = (int64_t)sizeof(float);
    swi_conv_pack pack = {.w = j->planes + (gradient ? swi_winograd_turned(plane) : plane) * outputs * terms * size,
                          .packed = j->packed + plane * j->registers * j->lanes * terms * size,
                          .source = j->source,
                          .terms = terms,
                          .outputs = outputs,
                          .first_paired = j->first_paired,
                          .output_step = gradient ? 1 : terms};
    swi_conv_pack_kernels[SW_F32][j->level](&pack, 0, j->registers, NULL);
}

/* The products of one plane: tiles times weights. */
static void winograd_plane(const winograd_job *j, int64_t plane, int64_t tiles, const char *from, char *to) {
    const int64_t terms = j->from.channels, size = (int64_t)sizeof(float);
    const char *w = j->packed + plane * j->registers * j->lanes * terms * size;
    for (int64_t b = 0; b < swi_conv_blocks(j->to.channels, j->first_paired, j->lanes); b++) {
        const swi_conv_block block = swi_conv_block_at(j->to.channels, j->first_paired, j->lanes, b);
        swi_conv_sums s = {.x = from,
                           .w = w + block.first * terms * size,
                           .start = j->zero,
                           .y = to + block.first * size,
                           .x_origin = j->from_origin,
                           .y_origin = j->to_origin,
                           .offset = j->offset,
                           .segments = 1,
                           .length = terms,
                           .outputs = block.outputs,
                           .paired = block.paired};
        swi_conv_sums_kernels[SW_F32][j->level](&s, 0, tiles, NULL);
    }
}

/* The tiles of an item on both sides of the products, whose planes are in the worker's scratch. Returns the end of the
 * item, which begins at tile item·item_tiles. */
static int64_t winograd_set_tiles(const winograd_job *j, int64_t item, void *scratch, swi_winograd_tiles *from,
                                  swi_winograd_tiles *to) {
    const int64_t begin = item * j->item_tiles;
    *from = j->from;
    *to = j->to;
    from->first = to->first = begin;
    from->plane = j->item_tiles * from->channels;
    to->plane = j->item_tiles * to->channels;
    from->planes = scratch;
    to->planes = (char *)scratch + winograd_plane_bytes(j, from);
    from->each = from->channels;
    to->each = to->channels;
    return begin + j->item_tiles < j->tiles ? begin + j->item_tiles : j->tiles;
}

static sw_status winograd_item(void *args, int64_t index, sw_worker *worker) {
    const winograd_job *j = args;
    const int64_t size = (int64_t)sizeof(float);
    swi_winograd_tiles from, to;
    const int64_t begin = index * j->item_tiles, end = winograd_set_tiles(j, index, worker->scratch, &from, &to);
    swi_winograd_input_kernels[SW_F32][j->level](&from, begin, end, NULL);
    for (int64_t plane = 0; plane < PLANES; plane++)
        winograd_plane(j, plane, end - begin, (const char *)from.planes + plane * from.plane * size,
                       (char *)to.planes + plane * to.plane * size);
    swi_winograd_output_kernels[SW_F32][j->level](&to, begin, end, NULL);
    return SW_OK;
}

sw_status swi_winograd_windows(const sw_conv *conv, bool gradient, const void *picture, const void *w, const void *bias,
                               void *result, void *scratch, size_t bytes) {
    if (!winograd_is_narrow(conv, gradient ? SWI_CONV_INPUT : SWI_CONV_FORWARD))
        return swi_winograd_wide_windows(conv, gradient, picture, w, bias, result, scratch, bytes);
    winograd_job j = winograd_new(conv, gradient ? SWI_CONV_INPUT : SWI_CONV_FORWARD, scratch);
    if (!scratch || bytes < j.shared)
        return swi_conv_check_scratch(scratch, bytes, j.shared);
    const int64_t longest = conv->inputs > conv->outputs ? conv->inputs : conv->outputs;
    memset(j.zero, 0, (size_t)longest * sizeof(float) + SW_ALIGNMENT);
    j.from.picture = picture;
    j.to.picture = result;
    j.from.zero = j.to.zero = j.zero;
    j.to.bias = bias ? bias : j.zero;
    for (int64_t t = 0; t < j.item_tiles; t++) {
        j.from_origin[t] = t * j.from.channels;
        j.to_origin[t] = t * j.to.channels;
    }
    for (int64_t c = 0; c < j.from.channels; c++) {
        j.offset[c] = c;
        j.source[c] = gradient ? c * j.to.channels : c;
    }
    swi_winograd_weights weights = winograd_weights_of(conv, w, j.planes);
    swi_winograd_weights_kernels[SW_F32][j.level](&weights, 0, conv->outputs, NULL);
    sw_parallel(winograd_pack, &j, PLANES);
    return sw_parallel_items_with_scratch(winograd_item, &j, j.items, winograd_worker_bytes(&j),
                                          (char *)scratch + j.shared, bytes - j.shared);
}

/* ---- The gradient of the weights ---- */

static sw_status winograd_weights_item(void *args, int64_t index, sw_worker *worker) {
    const winograd_job *j = args;
    const int64_t first = sw_part_begin(j->items, j->sums, index), last = sw_part_begin(j->items, j->sums, index + 1),
                  size = (int64_t)sizeof(float), weights = j->from.channels * j->to.channels;
    for (int64_t i = first; i < last; i++) {
        swi_winograd_tiles x, dy;
        const int64_t begin = i * j->item_tiles, end = winograd_set_tiles(j, i, worker->scratch, &x, &dy);
        swi_winograd_input_kernels[SW_F32][j->level](&x, begin, end, NULL);
        swi_winograd_gradient_kernels[SW_F32][j->level](&dy, begin, end, NULL);
        for (int64_t plane = 0; plane < PLANES; plane++) {
            swi_conv_outer s = {.rows = (const char *)dy.planes + plane * dy.plane * size,
                                .vectors = (const char *)x.planes + plane * x.plane * size,
                                .out = j->sum + (index * PLANES + plane) * weights * size,
                                .term = j->term,
                                .terms = end - begin,
                                .columns = x.channels,
                                .out_step = x.channels,
                                .add = i > first};
            swi_conv_outer_kernels[SW_F32][j->level](&s, 0, dy.channels, NULL);
        }
    }
    return SW_OK;
}

sw_status swi_winograd_weights_gradient(const sw_conv *conv, const void *x, const void *dy, void *dw, void *scratch,
                                        size_t bytes) {
    if (!winograd_is_narrow(conv, SWI_CONV_WEIGHTS))
        return swi_winograd_wide_weights_gradient(conv, x, dy, dw, scratch, bytes);
    winograd_job j = winograd_new(conv, SWI_CONV_WEIGHTS, scratch);
    if (!scratch || bytes < j.shared)
        return swi_conv_check_scratch(scratch, bytes, j.shared);
    const int64_t longest = conv->inputs > conv->outputs ? conv->inputs : conv->outputs;
    memset(j.zero, 0, (size_t)longest * sizeof(float) + SW_ALIGNMENT);
    j.from.picture = x;
    j.to.picture = dy;
    j.from.zero = j.to.zero = j.zero;
    for (int64_t t = 0; t < j.item_tiles; t++)
        j.term[t] = (swi_conv_term){t * conv->outputs, t * conv->inputs};
    SW_TRY(sw_parallel_items_with_scratch(winograd_weights_item, &j, j.sums, winograd_worker_bytes(&j),
                                          (char *)scratch + j.shared, bytes - j.shared));
    sw_add_vectors(SW_F32, j.sum, j.sums, PLANES * conv->inputs * conv->outputs);
    swi_winograd_weights weights = winograd_weights_of(conv, dw, j.sum);
    swi_winograd_weights_gradient_kernels[SW_F32][j.level](&weights, 0, conv->outputs, NULL);
    return SW_OK;
}
