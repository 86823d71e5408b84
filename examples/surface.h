/* Values of a function on a grid in a plane, as a colored surface on a panel of plot.h and as CSV. Not part of the
 * library. */
#ifndef SWALE_EXAMPLES_SURFACE_H
#define SWALE_EXAMPLES_SURFACE_H

#include "cli.h"
#include "plot.h"

enum { SURFACE_MOST = 101 }; /* points of a side */

typedef struct surface {
    const char *name;
    int columns, rows;
    double x[SURFACE_MOST], y[SURFACE_MOST];   /* ascending, at equal distances */
    double value[SURFACE_MOST * SURFACE_MOST]; /* [rows, columns] */
} surface;

static inline void surface_set_axes(surface *s, int columns, double x0, double x1, int rows, double y0, double y1) {
    s->columns = columns, s->rows = rows;
    for (int j = 0; j < columns; j++)
        s->x[j] = x0 + (x1 - x0) * j / (columns - 1);
    for (int i = 0; i < rows; i++)
        s->y[i] = y0 + (y1 - y0) * i / (rows - 1);
}

/* The surface that surface_at interpolates: plot_contours takes a function of two numbers. */
static const surface *surface_drawn;

/* The cell of a number on an axis, and the place within it. */
static inline int surface_cell(int count, const double *axis, double at, double *part) {
    const double cell = (at - axis[0]) / (axis[1] - axis[0]);
    const int index = cell < 0 ? 0 : cell >= count - 1 ? count - 2 : (int)cell;
    *part = fmin(fmax(cell - index, 0), 1);
    return index;
}

/* Interpolates linearly in x and y. A value that is not finite counts as a very large one. */
static inline double surface_at(double x, double y) {
    const surface *s = surface_drawn;
    double part_x, part_y, corner[2][2];
    const int j = surface_cell(s->columns, s->x, x, &part_x), i = surface_cell(s->rows, s->y, y, &part_y);
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 2; b++) {
            const double value = s->value[(i + a) * s->columns + j + b];
            corner[a][b] = isfinite(value) ? value : 1e30;
        }
    const double low = corner[0][0] + part_x * (corner[0][1] - corner[0][0]),
                 high = corner[1][0] + part_x * (corner[1][1] - corner[1][0]);
    return low + part_y * (high - low);
}

/* Levels from the least value of all surfaces to the largest that is at most `cut` times as large. */
static inline plot_levels surface_levels(int count, const surface *s, int levels, double cut) {
    double low = INFINITY, high = 0;
    for (int n = 0; n < count; n++)
        for (int i = 0; i < s[n].rows * s[n].columns; i++)
            if (isfinite(s[n].value[i])) {
                low = fmin(low, s[n].value[i]);
                high = fmax(high, s[n].value[i]);
            }
    low = isfinite(low) ? fmax(low, 1e-6) : 1;
    high = fmin(fmax(high, low * 1.1), low * cut);
    return (plot_levels){.low = low, .factor = pow(high / low, 1.0 / levels), .count = levels};
}

/* Draws the surface on the panel, whose range must be that of the axes. */
static inline void surface_draw(plot *p, const surface *s, const plot_levels *levels) {
    surface_drawn = s;
    plot_contours(p, surface_at, levels);
    plot_frame(p, PLOT_GRAY);
}

/* Writes lines "surface",x,y,value. */
static inline void surfaces_write(FILE *file, int count, const surface *s) {
    for (int n = 0; file && n < count; n++)
        for (int i = 0; i < s[n].rows; i++)
            for (int j = 0; j < s[n].columns; j++)
                fprintf(file, "\"%s\",%.9g,%.9g,%.9g\n", s[n].name, s[n].x[j], s[n].y[i],
                        s[n].value[i * s[n].columns + j]);
}

#endif
