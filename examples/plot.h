/* Pictures of the examples: panels with axes, curves, bands, points, colored surfaces, small pictures, text and
 * legends, as a PNG file. Not part of the library.
 *
 *     plot p = plot_new(640, 400);                          white; a unit is two pixels of the file
 *     plot_panel(&p, 60, 40, 560, 300, -1, 1, 0, 2);        a box that shows x in [-1, 1], y in [0, 2]
 *     plot_axes(&p, "title", "x", "y");
 *     plot_curve(&p, n, x, y, 2, PLOT_BLUE);
 *     plot_legend(&p, 1, &(legend_entry){"curve", PLOT_BLUE, 2});
 *     plot_save(&p, "curve.png");
 *
 * After plot_logarithmic(&p, false, true) the panel's y is logarithmic; data are passed without logarithms. No
 * call needs a check: after an error nothing is painted, and sw_error() returns the message.
 *
 * colors.h, canvas.h (the surface), truetype.h, stroke_font.h, text.h, axes.h and legend.h hold the parts. */
#ifndef SWALE_EXAMPLES_PLOT_H
#define SWALE_EXAMPLES_PLOT_H

#include "legend.h"

/* ---- Data in the units of the panel; widths, radii and dashes in units of the canvas ---- */

static inline void plot_curve(plot *p, int n, const double *x, const double *y, double width, unsigned color) {
    p->clipped = true;
    for (int i = 0; i + 1 < n; i++)
        plot_line(p, plot_x(p, x[i]), plot_y(p, y[i]), plot_x(p, x[i + 1]), plot_y(p, y[i + 1]), width, color);
    p->clipped = false;
}

/* Draws a curve of dashes with the length dash[0] and gaps of dash[1] units, measured along the curve; {0, 0}: without
 * gaps. */
static inline void plot_dashed(plot *p, int n, const double *x, const double *y, double width, unsigned color,
                               const double dash[2]) {
    double left = dash[0]; /* the rest of the current dash or gap */
    bool gap = false;
    if (!(dash[0] > 0 && dash[1] > 0)) {
        plot_curve(p, n, x, y, width, color);
        return;
    }
    p->clipped = true;
    for (int i = 0; i + 1 < n; i++) {
        double from_x = plot_x(p, x[i]), from_y = plot_y(p, y[i]);
        const double to_x = plot_x(p, x[i + 1]), to_y = plot_y(p, y[i + 1]);
        const double dx = to_x - from_x, dy = to_y - from_y, length = sqrt(dx * dx + dy * dy);
        if (!(length < 1e5)) /* an end of the segment is not finite */
            continue;
        for (double gone = 0; gone < length;) {
            const double part = left < length - gone ? left : length - gone;
            const double end_x = from_x + dx * part / length, end_y = from_y + dy * part / length;
            if (!gap)
                plot_line(p, from_x, from_y, end_x, end_y, width, color);
            from_x = end_x, from_y = end_y, gone += part, left -= part;
            if (left <= 1e-9)
                gap = !gap, left = dash[gap];
        }
    }
    p->clipped = false;
}

/* Fills the area between two curves, which have the same x, in ascending order. */
static inline void plot_band(plot *p, int n, const double *x, const double *low, const double *high, unsigned color,
                             double cover) {
    p->clipped = true;
    for (int i = 0; i + 1 < n; i++) {
        const double left = plot_x(p, x[i]), right = plot_x(p, x[i + 1]);
        for (int at = plot_fine(left, 0, p->width); at < plot_fine(right, 0, p->width); at++) {
            const double t = ((at + 0.5) / PLOT_FINE - left) / (right - left);
            const double top = plot_y(p, high[i] + (high[i + 1] - high[i]) * t);
            const double bottom = plot_y(p, low[i] + (low[i + 1] - low[i]) * t);
            plot_rectangle(p, (double)at / PLOT_FINE, top, 1.0 / PLOT_FINE, bottom - top, color, cover);
        }
    }
    p->clipped = false;
}

/* Draws a disc with a white edge. */
static inline void plot_point(plot *p, double x, double y, double radius, unsigned color) {
    const double px = plot_x(p, x), py = plot_y(p, y);
    plot_line(p, px, py, px, py, 2 * radius + 1.2, PLOT_WHITE);
    plot_line(p, px, py, px, py, 2 * radius, color);
}

/* ---- Surfaces, which count as background: a legend may cover them ---- */

/* Fills the panel with [rows, columns] colors, the first row at the top: a surface, or a small picture. */
static inline void plot_field(plot *p, int rows, int columns, const unsigned *color) {
    const double width = (p->right - p->left) / columns, height = (p->bottom - p->top) / rows;
    p->background = true;
    for (int j = 0; j < rows; j++)
        for (int i = 0; i < columns; i++)
            plot_rectangle(p, p->left + i * width, p->top + j * height, width, height, color[j * columns + i], 1);
    p->background = false;
}

/* Fills the panel with the values of a function of x and y, by the colors of a scale; the borders between them are
 * contour lines. */
static inline void plot_contours(plot *p, double (*value)(double x, double y), const plot_levels *scale) {
    const plot_box b = plot_box_of(p, p->left, p->top, p->right, p->bottom);
    p->background = true;
    for (int j = b.y0; j < b.y1; j++)
        for (int i = b.x0; i < b.x1; i++) {
            const double across = ((i + 0.5) / PLOT_FINE - p->left) / (p->right - p->left);
            const double down = ((j + 0.5) / PLOT_FINE - p->top) / (p->bottom - p->top);
            const double v = value(p->x0 + (p->x1 - p->x0) * across, p->y1 - (p->y1 - p->y0) * down);
            plot_dot(p, i, j, plot_value_color(scale, v), 1);
        }
    p->background = false;
}

#endif
