/* The items of a plan, and the copies of their parts of the picture. See conv_plan.h. */
#include "core/kernels/conv_plan.h"

#include <string.h>

static swi_conv_range item_part(int64_t total, int64_t part, int64_t index) {
    const int64_t begin = index * part;
    return (swi_conv_range){begin, total - begin < part ? total - begin : part};
}

swi_conv_item swi_conv_item_at(const swi_conv_plan *p, int64_t index) {
    const swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    const int64_t rows = (h->grid + h->part - 1) / h->part, columns = (w->grid + w->part - 1) / w->part;
    const int64_t i = index / columns % rows, k = index % columns;
    return (swi_conv_item){.index = {i, k},
                           .sample = item_part(p->conv->batch, p->samples, index / columns / rows),
                           .at = {item_part(h->grid, h->part, i), item_part(w->grid, w->part, k)}};
}

swi_conv_range swi_conv_item_phase(const swi_conv_plan *p, const swi_conv_item *item, const swi_conv_phase *phase,
                                   int axis) {
    return item_part(phase->grid[axis], p->axis[axis].part, item->index[axis]);
}

/* One row of a copy; `left` is the column of the picture at which it begins. */
static void item_copy_row(const swi_conv_axis *w, int64_t left, int64_t pixel, const char *row, char *to) {
    int64_t before = left < 0 ? -left : 0, inside = w->picture - (left + before);
    before = before < w->copy ? before : w->copy;
    inside = inside < 0 ? 0 : inside < w->copy - before ? inside : w->copy - before;
    memset(to, 0, (size_t)(before * pixel));
    if (inside > 0)
        memcpy(to + before * pixel, row + (left + before) * pixel, (size_t)(inside * pixel));
    memset(to + (before + inside) * pixel, 0, (size_t)((w->copy - before - inside) * pixel));
}

/* by_pixel: the rows of a sample that `rows` rows of the grid read, of which the first begins at row `top`. */
static void item_copy_rows(const swi_conv_plan *p, int64_t top, int64_t rows, const char *from, char *to) {
    const swi_conv_axis *h = &p->axis[0];
    const int64_t row = p->axis[1].picture * p->channels * p->size, last = top + (rows - 1) * h->step + h->extent + 1,
                  begin = top < 0 ? 0 : top, end = last < h->picture ? last : h->picture;
    if (begin < end)
        memcpy(to + begin * row, from + begin * row, (size_t)((end - begin) * row));
}

const char *swi_conv_item_picture(const swi_conv_plan *p, const swi_conv_item *item, const char *picture, char *copy) {
    const swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    const int64_t pixel = p->channels * p->size, left = item->at[1].begin * w->step + w->low,
                  top = item->at[0].begin * h->step + h->low;
    if (p->direct)
        return picture + ((item->sample.begin * h->picture + top) * w->picture + left) * pixel;
    if (pixel == 0) /* no channels, and no copy */
        return picture;
    for (int64_t n = 0; n < item->sample.length; n++) {
        char *to = copy + n * p->sample_copy * p->size;
        const char *from = picture + (item->sample.begin + n) * h->picture * w->picture * pixel;
        if (p->by_pixel)
            item_copy_rows(p, top, item->at[0].length, from, to);
        for (int64_t r = 0; !p->by_pixel && r < h->copy; r++, to += w->copy * pixel) {
            if (top + r < 0 || top + r >= h->picture)
                memset(to, 0, (size_t)(w->copy * pixel));
            else
                item_copy_row(w, left, pixel, from + (top + r) * w->picture * pixel, to);
        }
    }
    return copy;
}

swi_conv_ahead swi_conv_item_ahead(const swi_conv_plan *p, int64_t index, bool result, const char *array,
                                   int64_t pixel) {
    const swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    if (index >= p->items)
        return (swi_conv_ahead){0};
    const swi_conv_item item = swi_conv_item_at(p, index);
    const int64_t height = result ? h->result : h->picture, width = result ? w->result : w->picture,
                  apart = result ? h->apart : h->step, low = result ? 0 : h->low,
                  extent = result ? h->apart - 1 : h->extent;
    int64_t top = item.at[0].begin * apart + low, end = top + (item.at[0].length - 1) * apart + extent + 1;
    top = top < 0 ? 0 : top < height ? top : height;
    end = end < top ? top : end < height ? end : height;
    const int64_t row = width * pixel, rows = (item.sample.length - 1) * height + end - top;
    swi_conv_ahead ahead = {.at = array + (item.sample.begin * height + top) * row, .bytes = rows * row};
    if (!result && extent + 1 < apart && height % apart == 0) { /* the other rows are not read */
        ahead.run = ahead.left = (extent + 1) * row;
        ahead.gap = (apart - extent - 1) * row;
        ahead.bytes = (rows + apart - extent - 2) / apart * ahead.run;
    }
    return ahead;
}
