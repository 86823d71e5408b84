/* Legends, which name what is drawn in a panel and never cover it. Not part of the library. */
#ifndef SWALE_EXAMPLES_LEGEND_H
#define SWALE_EXAMPLES_LEGEND_H

#include "axes.h"

typedef enum legend_mark { LEGEND_LINE = 0, LEGEND_POINT, LEGEND_AREA } legend_mark;

typedef struct legend_entry {
    const char *text; /* UTF-8 */
    unsigned color;
    double width; /* the width of a line or the radius of a point, in units */
    legend_mark mark;
    double dash[2]; /* of a line, as in plot_dashed */
} legend_entry;

/* Sizes in units: of a row, of the mark at its left, and of the gap around both. */
enum {
    LEGEND_ROW = 20,
    LEGEND_MARK = 34,
    LEGEND_GAP = 8,
    LEGEND_CLEAR = 4 /* the margin around the legend */
};

typedef struct legend_box {
    int left, top, width, height; /* units */
    int columns;                  /* number of columns of entries */
} legend_box;

static inline bool legend_fits(const plot *p, legend_box at) {
    return plot_is_free(p, at.left - LEGEND_CLEAR, at.top - LEGEND_CLEAR, at.width + 2 * LEGEND_CLEAR,
                        at.height + 2 * LEGEND_CLEAR);
}

/* Finds a place of at->width and at->height in the panel that shows no data: one of its corners, else any. */
static inline bool legend_place_inside(const plot *p, legend_box *at) {
    const int left = (int)ceil(p->left) + LEGEND_GAP, right = (int)p->right - LEGEND_GAP - at->width;
    const int top = (int)ceil(p->top) + LEGEND_GAP, bottom = (int)p->bottom - LEGEND_GAP - at->height;
    if (left > right || top > bottom)
        return false;
    for (int corner = 0; corner < 4; corner++) {
        at->left = corner & 1 ? left : right, at->top = corner & 2 ? bottom : top;
        if (legend_fits(p, *at))
            return true;
    }
    for (at->top = top; at->top <= bottom; at->top += 4)
        for (at->left = right; at->left >= left; at->left -= 4)
            if (legend_fits(p, *at))
                return true;
    return false;
}

/* Whether the part of the box inside the picture contains data or text. */
static inline bool legend_is_obstructed(const plot *p, legend_box at) {
    const int top = at.top - LEGEND_CLEAR, below = p->height - top, high = at.height + 2 * LEGEND_CLEAR;
    const int rows = high < below ? high : below;
    return rows > 0 && !plot_is_free(p, at.left - LEGEND_CLEAR, top, at.width + 2 * LEGEND_CLEAR, rows);
}

/* Places the legend below the panel, under the numbers and the label, in as many columns as the width of the panel
 * allows; the picture is enlarged if necessary. */
static inline void legend_place_below(plot *p, int count, legend_box *at) {
    const int most = (int)(p->right - p->left) / at->width;
    at->columns = most < 1 ? 1 : most < count ? most : count;
    at->width *= at->columns;
    at->height = LEGEND_GAP + LEGEND_ROW * ((count + at->columns - 1) / at->columns);
    at->left = (int)ceil(p->left);
    at->top = (int)ceil(p->bottom) + LEGEND_GAP;
    if (at->width > p->width - LEGEND_CLEAR - at->left) /* the end of a long text is cut off */
        at->width = p->width - LEGEND_CLEAR - at->left;
    while (legend_is_obstructed(p, *at))
        at->top++;
    const int missing = at->top + at->height + LEGEND_GAP - p->height;
    if (missing > 0)
        plot_extend(p, missing);
}

static inline void legend_draw_mark(plot *p, const legend_entry *e, double x, double y) {
    const double end = x + LEGEND_MARK, middle = x + LEGEND_MARK / 2.0;
    if (e->mark == LEGEND_AREA)
        plot_rectangle(p, x, y - 5, LEGEND_MARK, 10, e->color, 1);
    else if (e->mark == LEGEND_POINT)
        plot_line(p, middle, y, middle, y, 2 * e->width, e->color);
    const bool dashed = e->dash[0] > 0 && e->dash[0] + e->dash[1] > 1;
    for (double from = x; e->mark == LEGEND_LINE && from < end;) {
        const double to = dashed && from + e->dash[0] < end ? from + e->dash[0] : end;
        plot_line(p, from, y, to, y, e->width, e->color);
        from += dashed ? e->dash[0] + e->dash[1] : LEGEND_MARK;
    }
}

/* Draws a white box with a row for each entry: inside the panel where it covers no data, else below the panel. Call it
 * after all data of the panel, and of a panel below it, are drawn. */
static inline void plot_legend(plot *p, int count, const legend_entry *entry) {
    double widest = 0;
    if (!plot_ready(p) || count < 1)
        return;
    for (int i = 0; i < count; i++)
        widest = fmax(widest, plot_text_width(p, plot_number_size, entry[i].text));
    legend_box at = {.width = LEGEND_MARK + 3 * LEGEND_GAP + (int)ceil(widest),
                     .height = count * LEGEND_ROW + LEGEND_GAP,
                     .columns = 1};
    const int column = at.width;
    if (!legend_place_inside(p, &at))
        legend_place_below(p, count, &at);
    if (!plot_ready(p))
        return;
    plot_rectangle(p, at.left, at.top, at.width, at.height, PLOT_LIGHT, 1);
    plot_rectangle(p, at.left + 1, at.top + 1, at.width - 2, at.height - 2, PLOT_WHITE, 1);
    for (int i = 0; i < count; i++) {
        const int row = i / at.columns;
        const double x = at.left + LEGEND_GAP + column * (i % at.columns);
        const double y = at.top + LEGEND_GAP / 2.0 + LEGEND_ROW * (row + 0.5);
        legend_draw_mark(p, &entry[i], x, y);
        plot_text(p, x + LEGEND_MARK + LEGEND_GAP, y + plot_number_size / 2, plot_number_size, PLOT_LEFT, false,
                  PLOT_BLACK, entry[i].text);
    }
}

#endif
