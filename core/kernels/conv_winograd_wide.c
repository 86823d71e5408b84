/* Winograd's minimal filtering for so many channels that the transformed weights do not stay in the cache. The tiles
 * are transformed for all items, in blocks of tiles. An item has BLOCK outputs. It transforms their weights, a chunk of
 * terms at a time, into its scratch, and multiplies them by the tiles. For the gradient of the weights, an item has the
 * products of BLOCK outputs and at most CHUNK inputs. See conv_winograd.h. */
#include <swale/memory.h>
#include <swale/status.h>

#include "core/kernels/conv_outer.h"
#include "core/kernels/conv_winograd.h"
#include "core/kernels/dispatch.h"

#include <string.h>

/* Channels are a multiple of BLOCK, and a panel has BLOCK channels. */
enum { PLANES = 16, BLOCK = 32, CHUNK = 128, LINE = SW_ALIGNMENT / (int)sizeof(float) };
/* Where it takes less time than direct sums, by measurement: tiles in all; elements of the weights. In the forward
 * pass, the weights are transposed too. */
enum { LEAST_TILES = 32, LEAST_TILES_FORWARD = 48, LEAST_WEIGHTS = 128 * 128 };
/* Bytes of the transformed tiles: of a block of tiles, and in the gradient of the weights of both operands. */
enum { MOST_TILE_BYTES = 1 << 22, MOST_BOTH_BYTES = 1 << 23, FEW_TILES = 24, TILES_MULTIPLE = 12 };
/* Parts of the transformation of a block of tiles. */
enum { PARTS = 16 };
static const double outside_limit = 1.4;

typedef struct wide_job {
    const sw_conv *conv;
    swi_conv_purpose purpose;
    int level;
    int64_t lanes;
    swi_winograd_tiles from, to; /* what is read, x or dy; what is written, or dy in the gradient of the weights */
    int64_t tiles, block_tiles, begin, end; /* tiles; of a block; of the present block */
    int64_t weight_plane, product_plane;    /* elements of a worker's planes */
    const float *w, *bias;
    float *result, *zero;
    int64_t *origin, *offset, *source; /* of tiles; of terms in the planes of tiles; of terms in a chunk of weights */
    swi_conv_term *term;
    size_t shared, worker; /* bytes */
} wide_job;

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

bool swi_winograd_wide_fits(const sw_conv *c, swi_conv_purpose purpose) {
    const int64_t height = purpose == SWI_CONV_INPUT ? c->height : c->out_height,
                  width = purpose == SWI_CONV_INPUT ? c->width : c->out_width,
                  tiles = c->batch * ceil_div(height, 2) * ceil_div(width, 2),
                  both = PLANES * tiles * (c->inputs + c->outputs) * (int64_t)sizeof(float);
    return swi_winograd_has_kernel(c) && c->inputs % BLOCK == 0 && c->outputs % BLOCK == 0 &&
           c->inputs * c->outputs >= LEAST_WEIGHTS &&
           tiles >= (purpose == SWI_CONV_FORWARD ? LEAST_TILES_FORWARD : LEAST_TILES) &&
           swi_winograd_outside(height, width) <= outside_limit &&
           (purpose != SWI_CONV_WEIGHTS || both <= MOST_BOTH_BYTES);
}

/* ---- Memory ---- */

static size_t wide_aligned(int64_t bytes) {
    return ((size_t)bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
}

/* The next `count` numbers of `size` bytes of the shared memory; without memory, they are only counted. */
static void *wide_take(wide_job *j, char *memory, int64_t count, size_t size) {
    void *at = memory ? memory + j->shared : NULL;
    j->shared += wide_aligned(count * (int64_t)size);
    return at;
}

/* Planes of a block of tiles. A plane ends with a line, so that elements of all planes are in different sets of the
 * cache. */
static void wide_take_planes(wide_job *j, char *memory, swi_winograd_tiles *t) {
    t->each = BLOCK;
    t->panel = j->block_tiles * BLOCK;
    t->plane = j->block_tiles * t->channels + LINE;
    t->planes = wide_take(j, memory, PLANES * t->plane, sizeof(float));
}

static wide_job wide_new(const sw_conv *c, swi_conv_purpose purpose, char *memory) {
    const bool gradient = purpose == SWI_CONV_INPUT, weights = purpose == SWI_CONV_WEIGHTS;
    const int level = swi_cpu_level();
    wide_job j = {.conv = c, .purpose = purpose, .level = level, .lanes = (16 << level) / (int64_t)sizeof(float)};
    swi_winograd_sides(c, purpose, &j.from, &j.to);
    j.tiles = c->batch * j.to.rows * j.to.columns;
    const int64_t bytes = PLANES * j.from.channels * (int64_t)sizeof(float),
                  fit = MOST_TILE_BYTES / bytes / TILES_MULTIPLE * TILES_MULTIPLE,
                  most = weights           ? j.tiles
                         : fit < FEW_TILES ? FEW_TILES
                                           : fit;
    j.block_tiles = ceil_div(j.tiles, ceil_div(j.tiles, most));
    j.zero = wide_take(&j, memory, c->inputs > c->outputs ? c->inputs : c->outputs, sizeof(float));
    wide_take_planes(&j, memory, &j.from);
    if (weights) {
        wide_take_planes(&j, memory, &j.to);
        j.term = wide_take(&j, memory, j.tiles, sizeof(swi_conv_term));
        j.product_plane = BLOCK * CHUNK + LINE;
        j.worker = wide_aligned(PLANES * j.product_plane * (int64_t)sizeof(float));
        return j;
    }
    j.origin = wide_take(&j, memory, j.block_tiles, sizeof(int64_t));
    j.offset = wide_take(&j, memory, j.from.channels, sizeof(int64_t));
    j.source = wide_take(&j, memory, CHUNK, sizeof(int64_t));
    j.weight_plane = BLOCK * CHUNK + LINE;
    j.product_plane = BLOCK * j.block_tiles + LINE;
    const int64_t untransposed = gradient ? 0 : j.weight_plane;
    j.worker = wide_aligned(PLANES * (j.weight_plane + j.product_plane + untransposed) * (int64_t)sizeof(float));
    return j;
}

size_t swi_winograd_wide_scratch(const sw_conv *conv, swi_conv_purpose purpose) {
    const wide_job j = wide_new(conv, purpose, NULL);
    const int64_t items =
        purpose == SWI_CONV_WEIGHTS ? j.to.channels / BLOCK * ceil_div(j.from.channels, CHUNK) : j.to.channels / BLOCK;
    const size_t workers = sw_parallel_scratch(items, j.worker);
    return workers > SIZE_MAX - j.shared ? SIZE_MAX : j.shared + workers;
}

/* ---- Forward, and the gradient of the input ---- */

static void wide_transform(void *args, int64_t part) {
    const wide_job *j = args;
    const int64_t tiles = j->end - j->begin, begin = j->begin + sw_part_begin(tiles, PARTS, part),
                  end = j->begin + sw_part_begin(tiles, PARTS, part + 1);
    swi_winograd_tiles from = j->from, to = j->to;
    swi_winograd_input_kernels[SW_F32][j->level](&from, begin, end, NULL);
    if (j->purpose == SWI_CONV_WEIGHTS)
        swi_winograd_gradient_kernels[SW_F32][j->level](&to, begin, end, NULL);
}

/* Packs the planes of `count` terms from `first_term` on, for the outputs from `first` on, in blocks of two registers.
 * In the gradient of the input, the outputs are neighbors in w. */
static void wide_pack_gradient(const wide_job *j, int64_t first, int64_t first_term, int64_t count, float *packed) {
    const int64_t block = 2 * j->lanes, inputs = j->conv->inputs;
    for (int64_t o = 0; o < BLOCK; o += block) {
        swi_winograd_weights s = {.w = j->w + first_term * 9 * inputs + first + o,
                                  .planes = packed + o * count,
                                  .inputs = inputs,
                                  .channels = block,
                                  .row = block,
                                  .plane = j->weight_plane};
        swi_winograd_weights_kernels[SW_F32][j->level](&s, 0, count, NULL);
    }
}

/* The same for the forward pass, in which terms are neighbors in w: they are transformed, and then transposed. */
static void wide_pack_forward(const wide_job *j, int64_t first, int64_t first_term, int64_t count, float *packed,
                              float *chunk) {
    const int64_t block = 2 * j->lanes, inputs = j->conv->inputs;
    swi_winograd_weights s = {.w = j->w + first * 9 * inputs + first_term,
                              .planes = chunk,
                              .inputs = inputs,
                              .channels = count,
                              .row = count,
                              .plane = j->weight_plane};
    swi_winograd_weights_kernels[SW_F32][j->level](&s, 0, BLOCK, NULL);
    for (int64_t plane = 0; plane < PLANES; plane++)
        for (int64_t o = 0; o < BLOCK; o += block) {
            swi_conv_pack pack = {.w = chunk + plane * j->weight_plane + o * count,
                                  .packed = packed + plane * j->weight_plane + o * count,
                                  .source = j->source,
                                  .terms = count,
                                  .outputs = block,
                                  .first_paired = block,
                                  .output_step = count};
            swi_conv_pack_kernels[SW_F32][j->level](&pack, 0, 2, NULL);
        }
}

/* The weights of the chunk of terms after this one, of this item or of the next. */
static swi_conv_ahead wide_ahead(const wide_job *j, int64_t item, int64_t term, int64_t calls) {
    const int64_t inputs = j->conv->inputs, size = (int64_t)sizeof(float);
    if (term >= j->from.channels)
        item++, term = 0;
    if (item * BLOCK >= j->to.channels)
        return (swi_conv_ahead){0};
    const int64_t left = j->from.channels - term, count = left < CHUNK ? left : CHUNK;
    const bool gradient = j->purpose == SWI_CONV_INPUT;
    const int64_t rows = 9 * (gradient ? count : BLOCK), run = (gradient ? BLOCK : count) * size;
    return (swi_conv_ahead){
        .at = (const char *)(j->w + (gradient ? term * 9 * inputs + item * BLOCK : item * BLOCK * 9 * inputs + term)),
        .bytes = rows * run,
        .step = rows * run / calls + 1,
        .run = run,
        .gap = inputs * size - run,
        .left = run};
}

/* Adds the products of a chunk of terms, for the planes of a block of tiles. */
static void wide_products(const wide_job *j, int64_t item, int64_t first_term, int64_t count, const float *packed,
                          float *products) {
    const int64_t block = 2 * j->lanes, tiles = j->end - j->begin;
    swi_conv_ahead ahead = wide_ahead(j, item, first_term + count, PLANES * ((tiles + 11) / 12));
    for (int64_t plane = 0; plane < PLANES; plane++) {
        const int64_t weights = j->purpose == SWI_CONV_INPUT ? swi_winograd_turned(plane) : plane;
        for (int64_t o = 0; o < BLOCK; o += block) {
            swi_conv_sums s = {.x = (const float *)j->from.planes + plane * j->from.plane,
                               .w = packed + weights * j->weight_plane + o * count,
                               .start = j->zero,
                               .y = products + plane * j->product_plane + o,
                               .x_origin = j->origin,
                               .y_origin = j->origin,
                               .offset = j->offset + first_term,
                               .segments = 1,
                               .length = count,
                               .outputs = block,
                               .add = first_term > 0,
                               .ahead = &ahead};
            swi_conv_sums_kernels[SW_F32][j->level](&s, 0, tiles, NULL);
        }
    }
}

static sw_status wide_item(void *args, int64_t index, sw_worker *worker) {
    const wide_job *j = args;
    const int64_t first = index * BLOCK, terms = j->from.channels;
    float *packed = worker->scratch, *products = packed + PLANES * j->weight_plane,
          *chunk = products + PLANES * j->product_plane;
    for (int64_t t = 0; t < terms; t += CHUNK) {
        const int64_t count = terms - t < CHUNK ? terms - t : CHUNK;
        if (j->purpose == SWI_CONV_INPUT)
            wide_pack_gradient(j, first, t, count, packed);
        else
            wide_pack_forward(j, first, t, count, packed, chunk);
        wide_products(j, index, t, count, packed, products);
    }
    swi_winograd_tiles to = j->to;
    to.picture = j->result + first;
    to.channels = to.each = BLOCK;
    to.planes = products;
    to.plane = j->product_plane;
    to.bias = j->bias ? j->bias + first : j->zero;
    swi_winograd_output_kernels[SW_F32][j->level](&to, j->begin, j->end, NULL);
    return SW_OK;
}

sw_status swi_winograd_wide_windows(const sw_conv *conv, bool gradient, const void *picture, const void *w,
                                    const void *bias, void *result, void *scratch, size_t bytes) {
    wide_job j = wide_new(conv, gradient ? SWI_CONV_INPUT : SWI_CONV_FORWARD, scratch);
    if (!scratch || bytes < j.shared)
        return swi_conv_check_scratch(scratch, bytes, j.shared);
    memset(j.zero, 0, (size_t)(conv->inputs > conv->outputs ? conv->inputs : conv->outputs) * sizeof(float));
    j.from.picture = picture;
    j.from.zero = j.to.zero = j.zero;
    j.w = w;
    j.bias = bias;
    j.result = result;
    for (int64_t t = 0; t < j.block_tiles; t++)
        j.origin[t] = t * BLOCK;
    for (int64_t k = 0; k < j.from.channels; k++)
        j.offset[k] = k / BLOCK * j.from.panel + k % BLOCK;
    for (int64_t k = 0; k < CHUNK; k++)
        j.source[k] = k;
    for (j.begin = 0; j.begin < j.tiles; j.begin = j.end) {
        j.end = j.begin + j.block_tiles < j.tiles ? j.begin + j.block_tiles : j.tiles;
        j.from.first = j.to.first = j.begin;
        sw_parallel(wide_transform, &j, PARTS);
        SW_TRY(sw_parallel_items_with_scratch(wide_item, &j, j.to.channels / BLOCK, j.worker,
                                              (char *)scratch + j.shared, bytes - j.shared));
    }
    return SW_OK;
}

/* ---- The gradient of the weights ---- */

static sw_status wide_weights_item(void *args, int64_t index, sw_worker *worker) {
    const wide_job *j = args;
    const int64_t chunks = ceil_div(j->from.channels, CHUNK), output = index / chunks * BLOCK,
                  input = index % chunks * CHUNK, left = j->from.channels - input, inputs = left < CHUNK ? left : CHUNK;
    float *products = worker->scratch, *dw = j->result + output * 9 * j->from.channels + input;
    swi_conv_ahead ahead = {.at = (const char *)dw,
                            .bytes = 9 * BLOCK * inputs * (int64_t)sizeof(float),
                            .run = inputs * (int64_t)sizeof(float),
                            .gap = (j->from.channels - inputs) * (int64_t)sizeof(float),
                            .left = inputs * (int64_t)sizeof(float)};
    ahead.step = ahead.bytes / (PLANES * 3 * (inputs / BLOCK)) + 1;
    for (int64_t plane = 0; plane < PLANES; plane++) {
        swi_conv_outer s = {.rows = (const float *)j->to.planes + plane * j->to.plane + output / BLOCK * j->to.panel,
                            .vectors =
                                (const float *)j->from.planes + plane * j->from.plane + input / BLOCK * j->from.panel,
                            .out = products + plane * j->product_plane,
                            .term = j->term,
                            .terms = j->tiles,
                            .columns = inputs,
                            .out_step = inputs,
                            .run = BLOCK,
                            .run_step = j->from.panel,
                            .ahead = &ahead};
        swi_conv_outer_kernels[SW_F32][j->level](&s, 0, BLOCK, NULL);
    }
    swi_winograd_weights weights = {.w = dw,
                                    .planes = products,
                                    .inputs = j->from.channels,
                                    .channels = inputs,
                                    .row = inputs,
                                    .plane = j->product_plane};
    swi_winograd_weights_gradient_kernels[SW_F32][j->level](&weights, 0, BLOCK, NULL);
    return SW_OK;
}

sw_status swi_winograd_wide_weights_gradient(const sw_conv *conv, const void *x, const void *dy, void *dw,
                                             void *scratch, size_t bytes) {
    wide_job j = wide_new(conv, SWI_CONV_WEIGHTS, scratch);
    if (!scratch || bytes < j.shared)
        return swi_conv_check_scratch(scratch, bytes, j.shared);
    memset(j.zero, 0, (size_t)(conv->inputs > conv->outputs ? conv->inputs : conv->outputs) * sizeof(float));
    j.from.picture = x;
    j.to.picture = dy;
    j.from.zero = j.to.zero = j.zero;
    j.result = dw;
    j.end = j.tiles;
    for (int64_t t = 0; t < j.tiles; t++)
        j.term[t] = (swi_conv_term){t * BLOCK, t * BLOCK};
    sw_parallel(wide_transform, &j, PARTS);
    return sw_parallel_items_with_scratch(wide_weights_item, &j,
                                          j.to.channels / BLOCK * ceil_div(j.from.channels, CHUNK), j.worker,
                                          (char *)scratch + j.shared, bytes - j.shared);
}
