/* Plans of convolutions. See conv_plan.h. */
#include "core/kernels/conv_plan.h"

#include <swale/memory.h>

#include "core/kernels/dispatch.h"

/* Limits of an item: pixels and bytes of its copy, so that the lists and the copy stay in the cache. */
enum { MOST_PIXELS = 1024, MOST_COPY = 1 << 18 };
/* An item has at least FEW_PIXELS, for full tiles, or MANY_PIXELS if the weights do not stay in the cache from one item
 * to the next, and enough products to be worth a thread's attention. */
enum { FEW_PIXELS = 64, MANY_PIXELS = 256, LARGE_WEIGHTS = 1 << 19, FEW_PRODUCTS = 1 << 17 };
/* Items for the threads to share, if possible. */
enum { ENOUGH_ITEMS = 16, SAMPLE_ITEMS = 32 };
/* A copy with more bytes is impossible: the zeros around a small picture can be longer than any memory. */
static const double most_bytes = 0x1p50;
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

static bool conv_is_by_pixel(const swi_conv_plan *p) {
    int64_t inside[2];
    if (p->purpose > SWI_CONV_INPUT || p->direct || p->conv->batch < PIXEL_BATCH)
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
    p->samples = ceil_div(batch, ceil_div(batch, PIXEL_SAMPLES));
    p->items = ceil_div(batch, p->samples);
    p->parts = smaller(h->grid, ceil_div(ENOUGH_ITEMS, p->items));
    h->part = h->grid;
    w->part = w->grid;
    h->copy = h->picture;
    w->copy = w->picture;
    p->sample_copy = (ceil_div(h->copy * w->copy * p->channels, line) | 1) * line;
    p->direct = false;
}

/* Whether the copy for an item of `rows` rows of the grid would be larger than any memory. */
static bool conv_is_too_large(const swi_conv_plan *p, int64_t rows) {
    const swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    return !p->direct && (double)conv_read_length(h, rows) * (double)conv_read_length(w, w->part) *
                                 (double)p->channels * (double)p->size >
                             most_bytes;
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
        const int64_t sample = row * conv_read_length(h, h->grid),
                      most = smaller(MOST_PIXELS / pixels, MOST_COPY / sample),
                      products = larger(pixels * p->terms * p->group_outputs, 1);
        const bool many = p->padded_outputs == 0 || p->terms * p->outputs * p->size > LARGE_WEIGHTS;
        int64_t least = ceil_div(many ? MANY_PIXELS : FEW_PIXELS, pixels);
        least = larger(least, ceil_div(FEW_PRODUCTS, products));
        p->samples = larger(smaller(larger(least, batch / SAMPLE_ITEMS), most), 1);
        p->samples = ceil_div(batch, ceil_div(batch, p->samples));
    }
    h->copy = p->direct ? h->picture : conv_read_length(h, h->part);
    w->copy = p->direct ? w->picture : conv_read_length(w, w->part);
    p->sample_copy = h->copy * w->copy * p->channels;
    p->items = ceil_div(batch, p->samples) * ceil_div(h->grid, h->part) * ceil_div(w->grid, w->part);
    const int64_t registers = p->conv->groups * (p->padded_outputs / (SW_ALIGNMENT / p->size));
    p->parts = p->items < ENOUGH_ITEMS ? smaller(registers, ceil_div(ENOUGH_ITEMS, p->items)) : 1;
}

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
    if (p.by_pixel)
        conv_plan_pixels(&p);
    else
        conv_plan_items(&p);
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
    const int64_t rows = products < ITEM_PRODUCTS ? ITEM_PRODUCTS / (int64_t)larger((int64_t)products, 1) : 1;
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
    return (size_t)(p->terms * p->conv->groups * p->padded_outputs * p->size);
}

static size_t conv_aligned(size_t bytes) {
    return (bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
}

size_t swi_conv_plan_bytes(const swi_conv_plan *p) {
    if (p->items == 0)
        return p->too_large ? SIZE_MAX : 0;
    const int64_t numbers = 2 * p->terms + 2 * conv_item_pixels(p) * p->phases +
                            (p->by_pixel ? 2 * (p->axis[0].result + p->axis[1].result) : 0);
    return conv_aligned(conv_packed_bytes(p)) + conv_aligned((size_t)(p->conv->groups * p->padded_outputs * p->size)) +
           conv_aligned((size_t)p->phases * sizeof(swi_conv_phase)) + conv_aligned((size_t)numbers * sizeof(int64_t));
}

size_t swi_conv_plan_worker_bytes(const swi_conv_plan *p) {
    return p->direct ? 0 : (size_t)(p->samples * p->sample_copy * p->size);
}

/* Element `i` of the kernel in the order of the positions in the picture. */
static int64_t conv_tap_in_order(const swi_conv_plan *p, int axis, int64_t i) {
    return p->purpose == SWI_CONV_INPUT ? conv_kernel_length(p->conv, axis) - 1 - i : i;
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

/* The pixels of an item in the order of the result. An item at the end that has fewer samples or rows uses the first of
 * them. */
static void conv_fill_origins(const swi_conv_plan *p, swi_conv_phase *f) {
    const swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    const int64_t rows = p->by_pixel ? 1 : smaller(h->part, f->grid[0]),
                  columns = p->by_pixel ? 1 : smaller(w->part, f->grid[1]);
    int64_t e = 0;
    for (int64_t n = 0; n < p->samples; n++)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++, e++) {
                f->x_origin[e] = n * p->sample_copy + (i * h->step * w->copy + j * w->step) * p->channels;
                f->y_origin[e] = ((n * h->result + i * h->apart) * w->result + j * w->apart) * p->outputs;
            }
}

/* The taps of each pixel of an axis that lie in the picture. */
static void conv_fill_taps(const swi_conv_plan *p, int axis, swi_conv_taps *taps) {
    const swi_conv_axis *a = &p->axis[axis];
    for (int64_t i = 0; i < a->result; i++) {
        int64_t position, tap = 0;
        taps[i] = (swi_conv_taps){0, 0};
        for (int64_t k = 0; k < conv_kernel_length(p->conv, axis); k++) {
            if (!conv_tap(p, axis, i % a->apart, conv_tap_in_order(p, axis, k), &position))
                continue;
            position += i / a->apart * a->step;
            tap++;
            if (position < 0)
                taps[i].first = tap;
            if (position < a->picture)
                taps[i].end = tap;
        }
        taps[i].end = larger(taps[i].end, taps[i].first);
    }
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
