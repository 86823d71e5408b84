/* Plans of convolutions. See conv_plan.h. */
#include "core/kernels/conv_plan.h"

#include <swale/memory.h>

#include "core/kernels/dispatch.h"

/* Limits of an item: pixels and bytes of its copy, so that the lists and the copy stay in the cache. */
enum { MOST_PIXELS = 1024, MOST_COPY = 1 << 18 };
/* With large weights, the copies of all samples are in one item if they have at most these bytes. */
enum { MOST_COPIES = 1 << 20 };
/* An item has at least FEW_PIXELS, for full tiles, or MANY_PIXELS if the weights do not stay in the cache from one item
 * to the next, and enough products to be worth a thread's attention. */
enum { FEW_PIXELS = 64, MANY_PIXELS = 256, LARGE_WEIGHTS = 1 << 19, FEW_PRODUCTS = 1 << 17 };
/* Items for the threads to share, if possible. */
enum { ENOUGH_ITEMS = 16, SAMPLE_ITEMS = 32 };
/* In the gradient of the weights, the pixels of an item, whose operands stay in the first-level cache; and items. */
enum { WEIGHTS_PIXELS = 128, WEIGHTS_ITEMS = 64 };
/* The zeros around a small picture can take more memory than there is. Therefore a copy with zeros has at most these
 * bytes, or this many times those of a sample, and copies of several samples without zeros have at most as many
 * bytes. */
enum { LARGE_COPY = 1 << 24, COPY_SAMPLES = 4 };
/* Tiles by pixel: the samples of a tile, and the least batch. They are worth it if the taps outside of the picture are
 * more than a fifth of those inside. */
enum { PIXEL_SAMPLES = 12, PIXEL_BATCH = 8 };
static const double outside_limit = 1.2;

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* ---- Taps ---- */

static int64_t conv_kernel_length(const sw_conv *c, int axis) {
    return axis == 0 ? c->kernel_height : c->kernel_width;
}

/* Whether the pixels of a phase use element u of the kernel. *position is where pixel 0 finds it in the picture. */
static bool conv_tap(const swi_conv_plan *p, int axis, int64_t phase, int64_t u, int64_t *position) {
    const sw_conv *c = p->conv;
    *position = u * c->dilation[axis] - c->before[axis];
    if (p->purpose != SWI_CONV_INPUT)
        return true;
    const int64_t distance = phase - *position;
    *position = distance / c->stride[axis];
    return distance % c->stride[axis] == 0;
}

static int64_t conv_tap_count(const swi_conv_plan *p, int axis, int64_t phase) {
    int64_t count = 0, position;
    for (int64_t u = 0; u < conv_kernel_length(p->conv, axis); u++)
        count += conv_tap(p, axis, phase, u, &position);
    return count;
}

/* Element `i` of the kernel in the order of the positions in the picture. */
static int64_t conv_tap_in_order(const swi_conv_plan *p, int axis, int64_t i) {
    return p->purpose == SWI_CONV_INPUT ? conv_kernel_length(p->conv, axis) - 1 - i : i;
}

/* The range of all taps. */
static void conv_tap_range(const swi_conv_plan *p, int axis, int64_t *low, int64_t *extent) {
    int64_t least = INT64_MAX, most = INT64_MIN, position;
    for (int64_t phase = 0; phase < p->axis[axis].phases; phase++)
        for (int64_t u = 0; u < conv_kernel_length(p->conv, axis); u++)
            if (conv_tap(p, axis, phase, u, &position)) {
                least = smaller(least, position);
                most = larger(most, position);
            }
    *low = least <= most ? least : 0;
    *extent = least <= most ? most - least : 0;
}

/* The pixels of a phase along an axis. */
static int64_t conv_phase_length(const swi_conv_axis *a, int64_t phase) {
    return a->result > phase ? (a->result - phase + a->apart - 1) / a->apart : 0;
}

static void conv_plan_axis(swi_conv_plan *p, int axis) {
    const sw_conv *c = p->conv;
    const int64_t x = axis == 0 ? c->height : c->width, y = axis == 0 ? c->out_height : c->out_width;
    const bool gradient = p->purpose == SWI_CONV_INPUT;
    swi_conv_axis *a = &p->axis[axis];
    *a = (swi_conv_axis){.picture = gradient ? y : x,
                         .result = gradient ? x : y,
                         .phases = gradient ? c->stride[axis] : 1,
                         .apart = gradient ? c->stride[axis] : 1,
                         .step = gradient ? 1 : c->stride[axis]};
    a->phases = smaller(a->phases, larger(a->result, 1)); /* others have no pixels */
    a->grid = conv_phase_length(a, 0);
    conv_tap_range(p, axis, &a->low, &a->extent);
}

/* The number of taps of all pixels of an axis; *inside: of those in the picture. */
static int64_t conv_all_taps(const swi_conv_plan *p, int axis, int64_t *inside) {
    const swi_conv_axis *a = &p->axis[axis];
    int64_t taps = 0, position;
    *inside = 0;
    for (int64_t phase = 0; phase < a->phases; phase++)
        for (int64_t u = 0; u < conv_kernel_length(p->conv, axis); u++)
            if (conv_tap(p, axis, phase, u, &position)) { /* of pixel i, it lies at position + i step */
                const int64_t pixels = conv_phase_length(a, phase),
                              first = position < 0 ? ceil_div(-position, a->step) : 0,
                              end = position < a->picture ? ceil_div(a->picture - position, a->step) : 0;
                taps += pixels;
                *inside += larger(smaller(end, pixels) - first, 0);
            }
    return taps;
}

static int64_t conv_sample_bytes(const swi_conv_plan *p) {
    return p->axis[0].picture * p->axis[1].picture * p->channels * p->size;
}

static bool conv_is_by_pixel(const swi_conv_plan *p) {
    int64_t inside[2];
    if (p->purpose > SWI_CONV_INPUT || p->direct || p->conv->batch < PIXEL_BATCH ||
        conv_sample_bytes(p) > LARGE_COPY / PIXEL_SAMPLES)
        return false;
    const double taps = (double)conv_all_taps(p, 0, &inside[0]) * (double)conv_all_taps(p, 1, &inside[1]);
    return taps > outside_limit * (double)inside[0] * (double)inside[1];
}

/* ---- Items ---- */

/* The length of the picture that `pixels` of the grid read. */
static int64_t conv_read_length(const swi_conv_axis *a, int64_t pixels) {
    return a->step * (pixels - 1) + a->extent + 1;
}

static bool conv_is_inside(const swi_conv_axis *a) {
    return a->low >= 0 && a->low + conv_read_length(a, a->grid) <= a->picture;
}

/* Items of a few samples, one tile for each pixel. The distance of the samples' copies is an odd number of cache lines,
 * so that the same pixel of all samples is not in the same set of the cache. */
static void conv_plan_pixels(swi_conv_plan *p) {
    swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    const int64_t batch = p->conv->batch, line = SW_ALIGNMENT / p->size;
    const int64_t most = smaller(PIXEL_SAMPLES, LARGE_COPY / larger(conv_sample_bytes(p), 1));
    p->samples = ceil_div(batch, ceil_div(batch, larger(most, 1)));
    p->items = ceil_div(batch, p->samples);
    p->parts = smaller(h->grid, ceil_div(ENOUGH_ITEMS, p->items));
    h->part = h->grid;
    w->part = w->grid;
    h->copy = h->picture;
    w->copy = w->picture;
    p->sample_copy = (ceil_div(h->copy * w->copy * p->channels, line) | 1) * line;
    p->direct = false;
}

/* Whether the copy for an item of `rows` rows of the grid would have too many zeros. */
static bool conv_is_too_large(const swi_conv_plan *p, int64_t rows) {
    const swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    const double copy = (double)conv_read_length(h, rows) * (double)conv_read_length(w, w->part) * (double)p->channels *
                        (double)p->size;
    return !p->direct && copy > (double)larger(LARGE_COPY, COPY_SAMPLES * conv_sample_bytes(p));
}

/* Whole samples, if one is small enough; else rows; else parts of one row. */
static void conv_plan_items(swi_conv_plan *p) {
    swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    const int64_t batch = p->conv->batch, pixels = h->grid * w->grid;
    w->part = ceil_div(w->grid, ceil_div(w->grid, MOST_PIXELS));
    p->too_large = conv_is_too_large(p, 1);
    if (p->too_large)
        return;
    const int64_t row = p->direct ? 1 : larger(conv_read_length(w, w->part) * p->channels * p->size, 1);
    int64_t rows = w->part < w->grid ? 1 : larger(MOST_PIXELS / w->part, 1);
    if ((MOST_COPY / row - h->extent - 1) / h->step + 1 < rows)
        rows = larger((MOST_COPY / row - h->extent - 1) / h->step + 1, 1);
    h->part = rows >= h->grid ? h->grid : ceil_div(h->grid, ceil_div(h->grid, rows));
    p->too_large = conv_is_too_large(p, h->part);
    if (p->too_large)
        return;
    p->samples = 1;
    if (h->part == h->grid && w->part == w->grid) {
        const bool large = p->terms * p->outputs * p->size > LARGE_WEIGHTS, weights = p->purpose > SWI_CONV_INPUT;
        const int64_t sample = row * conv_read_length(h, h->grid),
                      copies = large && batch * sample <= MOST_COPIES ? MOST_COPIES : MOST_COPY,
                      most = smaller(MOST_PIXELS / pixels, copies / sample),
                      products = larger(pixels * p->terms * p->group_outputs, 1);
        int64_t least = ceil_div(weights ? WEIGHTS_PIXELS : large ? MANY_PIXELS : FEW_PIXELS, pixels);
        least = larger(least, ceil_div(FEW_PRODUCTS, products));
        p->samples = larger(smaller(larger(least, batch / (weights ? WEIGHTS_ITEMS : SAMPLE_ITEMS)), most), 1);
        p->samples = ceil_div(batch, ceil_div(batch, p->samples));
    }
    h->copy = p->direct ? h->picture : conv_read_length(h, h->part);
    w->copy = p->direct ? w->picture : conv_read_length(w, w->part);
    p->sample_copy = h->copy * w->copy * p->channels;
    p->items = ceil_div(batch, p->samples) * ceil_div(h->grid, h->part) * ceil_div(w->grid, w->part);
    const int64_t blocks = p->conv->groups * ceil_div(p->padded_outputs, 2 * SW_ALIGNMENT / p->size);
    p->parts = p->items < ENOUGH_ITEMS ? smaller(larger(blocks, 1), ceil_div(ENOUGH_ITEMS, p->items)) : 1;
    p->packs_blocks = p->items == 1 && p->parts > 1;
}

/* ---- Rectangles ---- */

/* The taps of pixel i of phase `phase` along an axis. The first lie before the picture, and the last behind it. */
static swi_conv_taps conv_taps_inside(const swi_conv_plan *p, int axis, int64_t phase, int64_t i) {
    const swi_conv_axis *a = &p->axis[axis];
    swi_conv_taps taps = {0, 0};
    int64_t position, tap = 0;
    for (int64_t k = 0; k < conv_kernel_length(p->conv, axis); k++) {
        if (!conv_tap(p, axis, phase, conv_tap_in_order(p, axis, k), &position))
            continue;
        position += i * a->step;
        tap++;
        if (position < 0)
            taps.first = tap;
        if (position < a->picture)
            taps.end = tap;
    }
    taps.end = larger(taps.end, taps.first);
    return taps;
}

/* The runs of a phase along an axis; run NULL: they are only counted. */
static int64_t conv_fill_runs(const swi_conv_plan *p, int axis, int64_t phase, swi_conv_run *run) {
    int64_t runs = 0;
    swi_conv_run last = {0};
    for (int64_t i = 0; i < conv_phase_length(&p->axis[axis], phase); i++) {
        const swi_conv_taps taps = conv_taps_inside(p, axis, phase, i);
        if (i > 0 && taps.first == last.taps.first && taps.end == last.taps.end) {
            last.count++;
        } else {
            last = (swi_conv_run){.first = i, .count = 1, .taps = taps};
            runs++;
        }
        if (run)
            run[runs - 1] = last;
    }
    return runs;
}

/* The cost of a rectangle of `pixels` pixels for each channel, with two registers of outputs: tiles of few pixels wait
 * for the sums before. */
static double conv_tile_cost(int64_t pixels, int64_t taps) {
    enum { TILE = 12, LEAST = 4 };
    const int64_t tiles = ceil_div(pixels, TILE);
    return (double)(taps * larger(pixels, tiles * LEAST));
}

/* Whether rectangles take less time than a copy with zeros, of which about COPIED bytes are written in the time of one
 * multiplication and addition of two registers. There are at most SHORT taps along an axis: then the runs are few. */
static bool conv_is_in_place(const swi_conv_plan *p) {
    enum { COPIED = 16, SHORT = 8, MOST_RUNS = 2 * SHORT + 1 };
    const swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    if (p->purpose > SWI_CONV_INPUT || p->direct || p->too_large || p->channels == 1 || h->part < h->grid ||
        w->part < w->grid || p->conv->kernel_height > SHORT || p->conv->kernel_width > SHORT)
        return false;
    const int64_t blocks = ceil_div(p->padded_outputs * p->size, 2 * SW_ALIGNMENT) * p->conv->groups;
    double copied = (double)(p->samples * p->sample_copy * p->size) / (double)(COPIED * p->group_channels * blocks),
           inside = 0;
    for (int64_t k = 0; k < p->phases; k++) {
        swi_conv_run run[2][MOST_RUNS];
        int64_t runs[2];
        for (int axis = 0; axis < 2; axis++) {
            const int64_t phase = axis ? k % w->phases : k / w->phases;
            runs[axis] = conv_fill_runs(p, axis, phase, NULL);
            if (runs[axis] > MOST_RUNS)
                return false;
            conv_fill_runs(p, axis, phase, run[axis]);
        }
        copied += conv_tile_cost(p->samples * conv_phase_length(h, k / w->phases) * conv_phase_length(w, k % w->phases),
                                 conv_tap_count(p, 0, k / w->phases) * conv_tap_count(p, 1, k % w->phases));
        for (int64_t i = 0; i < runs[0]; i++)
            for (int64_t j = 0; j < runs[1]; j++) {
                const swi_conv_run *a = &run[0][i], *b = &run[1][j];
                inside += conv_tile_cost(p->samples * a->count * b->count,
                                         (a->taps.end - a->taps.first) * (b->taps.end - b->taps.first));
            }
    }
    return inside <= copied;
}

/* Items as they are, but without copies. */
static void conv_plan_in_place(swi_conv_plan *p) {
    p->direct = p->in_place = true;
    for (int axis = 0; axis < 2; axis++)
        p->axis[axis].copy = p->axis[axis].picture;
    p->sample_copy = p->axis[0].copy * p->axis[1].copy * p->channels;
}

/* ---- The plan ---- */

/* The taps and the phases, without items. */
static swi_conv_plan conv_plan_taps(const sw_conv *conv, swi_conv_purpose purpose) {
    const bool gradient = purpose == SWI_CONV_INPUT;
    swi_conv_plan p = {.conv = conv,
                       .purpose = purpose,
                       .size = (int64_t)sw_dtype_size(conv->type),
                       .channels = gradient ? conv->outputs : conv->inputs,
                       .outputs = gradient ? conv->inputs : conv->outputs};
    p.group_channels = p.channels / conv->groups;
    p.group_outputs = p.outputs / conv->groups;
    for (int axis = 0; axis < 2; axis++)
        conv_plan_axis(&p, axis);
    p.phases = p.axis[0].phases * p.axis[1].phases;
    int64_t taps[2] = {0, 0};
    for (int axis = 0; axis < 2; axis++)
        for (int64_t phase = 0; phase < p.axis[axis].phases; phase++)
            taps[axis] += conv_tap_count(&p, axis, phase);
    p.terms = taps[0] * taps[1] * p.group_channels;
    return p;
}

swi_conv_plan swi_conv_plan_new(const sw_conv *conv, swi_conv_purpose purpose) {
    swi_conv_plan p = conv_plan_taps(conv, purpose);
    const int64_t lanes = SW_ALIGNMENT / p.size;
    if (purpose == SWI_CONV_INPUT || purpose == SWI_CONV_FORWARD)
        p.padded_outputs = ceil_div(p.group_outputs, lanes) * lanes;
    p.direct = purpose != SWI_CONV_WEIGHTS_COPY && conv_is_inside(&p.axis[0]) && conv_is_inside(&p.axis[1]);
    p.first_paired = swi_conv_first_paired(p.group_outputs, p.group_channels, conv->type);
    if (conv->batch == 0 || p.axis[0].grid == 0 || p.axis[1].grid == 0 || p.outputs == 0)
        return p;
    p.by_pixel = conv_is_by_pixel(&p);
    if (!p.by_pixel)
        conv_plan_items(&p);
    if (p.too_large && purpose <= SWI_CONV_INPUT) {
        p.too_large = false;
        p.by_pixel = true;
    }
    if (p.by_pixel)
        conv_plan_pixels(&p);
    else if (conv_is_in_place(&p))
        conv_plan_in_place(&p);
    return p;
}

swi_conv_plan swi_conv_plan_depthwise(const sw_conv *conv, swi_conv_purpose purpose) {
    enum { ITEM_PRODUCTS = 1 << 16 };
    swi_conv_plan p = conv_plan_taps(conv, purpose);
    swi_conv_axis *h = &p.axis[0], *w = &p.axis[1];
    p.by_pixel = p.direct = true;
    p.samples = 1;
    h->copy = h->picture;
    w->copy = w->picture;
    const double products = (double)w->result * (double)p.outputs * (double)p.terms / (double)p.phases;
    /* As many rows as the second-level cache holds, but enough items, unless they are small. */
    const int64_t few = products < ITEM_PRODUCTS ? ITEM_PRODUCTS / (int64_t)larger((int64_t)products, 1) : 1,
                  row = larger(w->picture * h->step, w->result * h->apart) * p.channels * p.size / h->apart,
                  rows = larger(few, smaller(MOST_COPY / larger(row, 1),
                                             ceil_div(h->result, ceil_div(ENOUGH_ITEMS, conv->batch))));
    h->part = ceil_div(h->result, ceil_div(h->result, smaller(larger(rows, 1), h->result)));
    w->part = w->result;
    p.items = conv->batch * ceil_div(h->result, h->part);
    return p;
}

/* ---- Lists ---- */

/* The origins of an item. */
static int64_t conv_item_pixels(const swi_conv_plan *p) {
    return p->by_pixel ? p->samples : p->samples * p->axis[0].part * p->axis[1].part;
}

static size_t conv_packed_bytes(const swi_conv_plan *p) {
    return p->packs_blocks ? 0 : (size_t)(p->terms * p->conv->groups * p->padded_outputs * p->size);
}

static size_t conv_aligned(size_t bytes) {
    return (bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
}

static const int64_t conv_run_numbers = sizeof(swi_conv_run) / sizeof(int64_t);

size_t swi_conv_plan_bytes(const swi_conv_plan *p) {
    if (p->items == 0)
        return 0;
    const int64_t numbers = 2 * p->terms + 2 * conv_item_pixels(p) * p->phases +
                            (p->by_pixel ? 2 * (p->axis[0].result + p->axis[1].result) : 0) +
                            (p->in_place ? conv_run_numbers * p->phases * (p->axis[0].grid + p->axis[1].grid) : 0);
    return conv_aligned(conv_packed_bytes(p)) + conv_aligned((size_t)(p->conv->groups * p->padded_outputs * p->size)) +
           conv_aligned((size_t)p->phases * sizeof(swi_conv_phase)) + conv_aligned((size_t)numbers * sizeof(int64_t));
}

size_t swi_conv_plan_copy_bytes(const swi_conv_plan *p) {
    return p->direct ? 0 : conv_aligned((size_t)(p->samples * p->sample_copy * p->size));
}

size_t swi_conv_plan_worker_bytes(const swi_conv_plan *p) {
    return swi_conv_plan_copy_bytes(p) + (p->packs_blocks ? (size_t)p->terms * 2 * SW_ALIGNMENT : 0);
}

/* The terms of a phase in the order of the picture: rows, columns, channels. */
static void conv_fill_terms(const swi_conv_plan *p, swi_conv_phase *f) {
    const sw_conv *c = p->conv;
    const int64_t inputs = c->inputs / c->groups, row = p->axis[1].copy * p->channels;
    int64_t position[2], t = 0;
    for (int64_t i = 0; i < c->kernel_height; i++) {
        const int64_t u = conv_tap_in_order(p, 0, i);
        if (!conv_tap(p, 0, f->first[0], u, &position[0]))
            continue;
        for (int64_t j = 0; j < c->kernel_width; j++) {
            const int64_t v = conv_tap_in_order(p, 1, j);
            if (!conv_tap(p, 1, f->first[1], v, &position[1]))
                continue;
            const int64_t offset = (position[0] - p->axis[0].low) * row + (position[1] - p->axis[1].low) * p->channels,
                          source = (u * c->kernel_width + v) * inputs;
            for (int64_t k = 0; k < p->group_channels; k++, t++) {
                f->offset[t] = offset + k;
                f->source[t] =
                    source + (p->purpose == SWI_CONV_INPUT ? k * c->kernel_height * c->kernel_width * inputs : k);
            }
        }
    }
}

/* The pixels of an item's samples in the rows and columns of two runs, in the order of the result. */
static int64_t conv_fill_rectangle(const swi_conv_plan *p, swi_conv_phase *f, swi_conv_run rows, swi_conv_run columns,
                                   int64_t e) {
    const swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    for (int64_t n = 0; n < p->samples; n++)
        for (int64_t i = rows.first; i < rows.first + rows.count; i++)
            for (int64_t j = columns.first; j < columns.first + columns.count; j++, e++) {
                f->x_origin[e] = n * p->sample_copy + (i * h->step * w->copy + j * w->step) * p->channels;
                f->y_origin[e] = ((n * h->result + i * h->apart) * w->result + j * w->apart) * p->outputs;
            }
    return e;
}

/* The pixels of an item, by rectangle. An item at the end that has fewer samples or rows uses the first of them. */
static void conv_fill_origins(const swi_conv_plan *p, swi_conv_phase *f) {
    const swi_conv_run rows = {.count = p->by_pixel ? 1 : smaller(p->axis[0].part, f->grid[0])},
                       columns = {.count = p->by_pixel ? 1 : smaller(p->axis[1].part, f->grid[1])};
    int64_t e = 0;
    if (!p->in_place)
        conv_fill_rectangle(p, f, rows, columns, 0);
    for (int64_t i = 0; i < f->runs[0]; i++)
        for (int64_t j = 0; j < f->runs[1]; j++)
            e = conv_fill_rectangle(p, f, f->run[0][i], f->run[1][j], e);
}

/* The taps of each pixel of an axis that lie in the picture. */
static void conv_fill_taps(const swi_conv_plan *p, int axis, swi_conv_taps *taps) {
    const swi_conv_axis *a = &p->axis[axis];
    for (int64_t i = 0; i < a->result; i++)
        taps[i] = conv_taps_inside(p, axis, i % a->apart, i / a->apart);
}

void swi_conv_plan_fill(swi_conv_plan *p, void *memory) {
    char *at = memory;
    p->packed = at;
    at += conv_aligned(conv_packed_bytes(p));
    p->start = at;
    at += conv_aligned((size_t)(p->conv->groups * p->padded_outputs * p->size));
    p->phase = (swi_conv_phase *)(void *)at;
    at += conv_aligned((size_t)p->phases * sizeof(swi_conv_phase));
    int64_t *numbers = (int64_t *)(void *)at, first_term = 0;
    for (int64_t k = 0; k < p->phases; k++) {
        swi_conv_phase *f = &p->phase[k];
        *f = (swi_conv_phase){.first = {k / p->axis[1].phases, k % p->axis[1].phases}, .first_term = first_term};
        for (int axis = 0; axis < 2; axis++)
            f->grid[axis] = conv_phase_length(&p->axis[axis], f->first[axis]);
        for (int axis = 0; axis < 2; axis++)
            f->taps[axis] = conv_tap_count(p, axis, f->first[axis]);
        f->terms = f->taps[0] * f->taps[1] * p->group_channels;
        f->source = numbers;
        f->offset = f->source + f->terms;
        f->x_origin = f->offset + f->terms;
        f->y_origin = f->x_origin + conv_item_pixels(p);
        numbers = f->y_origin + conv_item_pixels(p);
        for (int axis = 0; p->in_place && axis < 2; axis++) {
            f->run[axis] = (swi_conv_run *)(void *)numbers;
            f->runs[axis] = conv_fill_runs(p, axis, f->first[axis], f->run[axis]);
            numbers += conv_run_numbers * f->grid[axis];
        }
        first_term += f->terms;
        conv_fill_terms(p, f);
        conv_fill_origins(p, f);
    }
    for (int axis = 0; p->by_pixel && axis < 2; axis++) {
        p->taps[axis] = (swi_conv_taps *)(void *)numbers;
        numbers += 2 * p->axis[axis].result;
        conv_fill_taps(p, axis, p->taps[axis]);
    }
}

sw_status swi_conv_check_scratch(const void *scratch, size_t bytes, size_t needed) {
    if (scratch && bytes >= needed)
        return SW_OK;
    return sw_fail(SW_ERR_ARGUMENT, "conv: scratch of %zu bytes; at least %zu are needed (see sw_conv_forward_scratch)",
                   scratch ? bytes : 0, needed);
}
