/* Curves whose points a program records while it runs. They are drawn on a panel of plot.h, and written as CSV beside
 * the picture. Not part of the library. */
#ifndef SWALE_EXAMPLES_CURVES_H
#define SWALE_EXAMPLES_CURVES_H

#include "cli.h"
#include "plot.h"

enum { CURVE_MOST = 2048, CURVE_NAMED = 16 };

typedef struct curve {
    const char *name;
    unsigned color;
    double width;
    char key[64]; /* its name in a CSV file; "": `name` */
    int n;
    double x[CURVE_MOST], y[CURVE_MOST];
} curve;

static inline const char *curve_key(const curve *c) {
    return *c->key ? c->key : c->name;
}

/* Adds a point; points beyond the capacity are ignored. */
static inline void curve_add(curve *c, double x, double y) {
    if (c->n < CURVE_MOST) {
        c->x[c->n] = x;
        c->y[c->n++] = y;
    }
}

/* The mean of y over the last fraction `part` of the points, 0 < part <= 1. */
static inline double curve_end(const curve *c, double part) {
    const int first = (int)((1 - part) * c->n);
    double sum = 0;
    for (int i = first; i < c->n; i++)
        sum += c->y[i];
    return sum / (c->n - first);
}

/* Draws all curves on the panel, the first one on top. */
static inline void curves_draw(plot *p, int count, const curve *c) {
    for (int i = count - 1; i >= 0; i--)
        plot_curve(p, c[i].n, c[i].x, c[i].y, c[i].width, c[i].color);
}

/* Draws a legend of the first curves, at most CURVE_NAMED. Call it after all data of the panel are drawn. */
static inline void curves_legend(plot *p, int count, const curve *c) {
    legend_entry entry[CURVE_NAMED] = {{0}};
    const int named = count < CURVE_NAMED ? count : CURVE_NAMED;
    for (int i = 0; i < named; i++)
        entry[i] = (legend_entry){.text = c[i].name, .color = c[i].color, .width = c[i].width + 0.6};
    plot_legend(p, named, entry);
}

/* Writes FILE.csv beside the picture with a line "curve",x,y for each point. Does nothing while an error is pending. */
static inline void curves_save(const char *picture, const char *x, const char *y, int count, const curve *c) {
    char path[OUTPUT_PATH];
    output o;
    cli_numbers_path(picture, path);
    FILE *file = output_open(&o, "%s", path);
    for (int i = 0; file && i < count; i++) {
        if (i == 0)
            fprintf(file, "curve,%s,%s\n", x, y);
        for (int k = 0; k < c[i].n; k++) {
            output_quoted(file, curve_key(&c[i]));
            fprintf(file, ",%.9g,%.9g\n", c[i].x[k], c[i].y[k]);
        }
    }
    output_close(&o);
}

#endif
