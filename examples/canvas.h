/* The surface that pictures are painted on: rectangles, lines and discs in units from the upper left corner, saved as
 * PNG. Not part of the library.
 *
 * A unit is PLOT_SCALE pixels of the file. Everything is painted PLOT_SAMPLES times finer than the pixels and
 * averaged at the end, which smooths the edges. There are only additions, multiplications, divisions and square roots,
 * in double: equal data give equal bytes on every machine. A unit needs 108 bytes of memory: 60 MB for 1200 x 460.
 *
 * The canvas also records which units show data or text, so that a legend can be placed beside them. */
#ifndef SWALE_EXAMPLES_CANVAS_H
#define SWALE_EXAMPLES_CANVAS_H

#include "colors.h"
#include <swale/datasets.h>
#include "truetype.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PLOT_SCALE = 2,                        /* pixels of the file per unit, in each direction */
    PLOT_SAMPLES = 3,                      /* samples per pixel, in each direction */
    PLOT_FINE = PLOT_SCALE * PLOT_SAMPLES, /* samples per unit, in each direction */
};

typedef struct plot {
    sw_array samples;                /* u8 [PLOT_FINE height, PLOT_FINE width, 3] */
    sw_array occupied;               /* u8 [height, width]: 1 where data or text were painted */
    int width, height;               /* units */
    truetype font;                   /* the font of the text; without a font, letters are strokes */
    double left, top, right, bottom; /* the current panel, in units */
    double x0, x1, y0, y1;           /* the data that it shows */
    bool log_x, log_y;               /* the axis is logarithmic */
    bool clipped;                    /* paint only inside the panel */
    bool background;                 /* what is painted is not recorded as data or text */
} plot;

/* Makes a white picture; width and height are in units. The environment variable SWALE_FONT=strokes selects text of
 * strokes, SWALE_FONT=PATH a TrueType font. Without it, the font is TRUETYPE_DEFAULT if that file exists. If a font
 * cannot be used, a line on stderr gives the reason, and strokes are used. */
static inline plot plot_new(int width, int height) {
    plot p = {.width = width, .height = height, .right = width, .bottom = height, .x1 = 1, .y1 = 1};
    const char *wanted = getenv("SWALE_FONT"), *path = wanted && *wanted ? wanted : TRUETYPE_DEFAULT;
    if (sw_error())
        return p;
    p.samples = sw_array_new(SW_U8, SW_SHAPE((int64_t)PLOT_FINE * height, (int64_t)PLOT_FINE * width, 3));
    p.occupied = sw_array_new(SW_U8, SW_SHAPE(height, width));
    if (sw_error())
        return p;
    memset(p.samples.data, 255, (size_t)sw_array_count(&p.samples));
    memset(p.occupied.data, 0, (size_t)sw_array_count(&p.occupied));
    const char *fault = strcmp(path, "strokes") == 0 ? NULL : truetype_load(&p.font, path);
    if (fault && path == wanted && !sw_error())
        fprintf(stderr, "SWALE_FONT=%.500s: %s; the picture's text is drawn by strokes\n", path, fault);
    return p;
}

/* Whether the picture can be painted on: false after an error. */
static inline bool plot_ready(const plot *p) {
    return p->samples.data && p->occupied.data;
}

/* Paints one sample: `cover` in [0, 1] is the fraction of the new color in the result. */
static inline void plot_dot(plot *p, int x, int y, unsigned color, double cover) {
    const int64_t sample = (int64_t)y * PLOT_FINE * p->width + x;
    unsigned char *at = (unsigned char *)p->samples.data + 3 * sample;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): without samples every box is empty */
    const unsigned there = (unsigned)at[0] << 16 | (unsigned)at[1] << 8 | at[2];
    const unsigned mixed = cover < 1 ? color_mix(there, color, cover) : color;
    for (int c = 0; c < 3; c++)
        at[c] = (unsigned char)(mixed >> (16 - 8 * c) & 255);
    if (!p->background)
        ((unsigned char *)p->occupied.data)[(int64_t)(y / PLOT_FINE) * p->width + x / PLOT_FINE] = 1;
}

/* The range of samples whose centers are in a box, limited to the picture and the panel. */
typedef struct plot_box {
    int x0, y0, x1, y1;
} plot_box;

static inline int plot_fine(double at, double low, double high) {
    const double clamped = !(at > low) ? low : at > high ? high : at; /* NaN: low */
    return (int)ceil(clamped * PLOT_FINE - 0.5);
}

static inline plot_box plot_box_of(const plot *p, double x0, double y0, double x1, double y1) {
    const double left = p->clipped ? p->left : 0, right = p->clipped ? p->right : p->width;
    const double top = p->clipped ? p->top : 0, bottom = p->clipped ? p->bottom : p->height;
    if (!plot_ready(p))
        return (plot_box){0};
    return (plot_box){plot_fine(x0, left, right), plot_fine(y0, top, bottom), plot_fine(x1, left, right),
                      plot_fine(y1, top, bottom)};
}

static inline void plot_rectangle(plot *p, double x, double y, double width, double height, unsigned color,
                                  double cover) {
    const plot_box b = plot_box_of(p, x, y, x + width, y + height);
    for (int j = b.y0; j < b.y1; j++)
        for (int i = b.x0; i < b.x1; i++)
            plot_dot(p, i, j, color, cover);
}

/* Paints all samples that are nearer than width/2 to the line between two points; equal points give a disc. */
static inline void plot_line(plot *p, double x0, double y0, double x1, double y1, double width, unsigned color) {
    const double r = width / 2, dx = x1 - x0, dy = y1 - y0, square = dx * dx + dy * dy;
    const plot_box b = plot_box_of(p, (x0 < x1 ? x0 : x1) - r, (y0 < y1 ? y0 : y1) - r, (x0 < x1 ? x1 : x0) + r,
                                   (y0 < y1 ? y1 : y0) + r);
    for (int j = b.y0; j < b.y1; j++)
        for (int i = b.x0; i < b.x1; i++) {
            const double x = (i + 0.5) / PLOT_FINE - x0, y = (j + 0.5) / PLOT_FINE - y0;
            double t = square > 0 ? (x * dx + y * dy) / square : 0; /* the position of the nearest point on the line */
            t = t < 0 ? 0 : t > 1 ? 1 : t;
            const double a = x - t * dx, c = y - t * dy;
            if (a * a + c * c <= r * r)
                plot_dot(p, i, j, color, 1);
        }
}

/* Whether a box of units, which must lie within the picture, contains neither data nor text. */
static inline bool plot_is_free(const plot *p, int left, int top, int width, int height) {
    if (left < 0 || top < 0 || left + width > p->width || top + height > p->height)
        return false;
    for (int y = top; y < top + height; y++)
        if (memchr((const char *)p->occupied.data + (int64_t)y * p->width + left, 1, (size_t)width))
            return false;
    return true;
}

/* Makes the picture `more` units higher; the new part is white. */
static inline void plot_extend(plot *p, int more) {
    sw_array *const part[2] = {&p->samples, &p->occupied};
    for (int i = 0; i < 2 && plot_ready(p); i++) {
        const int64_t rows = part[i]->shape[0] + more * (i == 0 ? PLOT_FINE : 1), count = sw_array_count(part[i]);
        sw_array larger = i == 0 ? sw_array_new(SW_U8, SW_SHAPE(rows, part[i]->shape[1], 3))
                                 : sw_array_new(SW_U8, SW_SHAPE(rows, part[i]->shape[1]));
        if (larger.data) {
            memset(larger.data, i == 0 ? 255 : 0, (size_t)sw_array_count(&larger));
            memcpy(larger.data, part[i]->data, (size_t)count);
        }
        sw_array_free(part[i]);
        *part[i] = larger;
    }
    p->height += more;
}

/* Averages the samples of each pixel, writes the picture unless something has failed before, and frees it. */
static inline void plot_save(plot *p, const char *path) {
    enum { N = PLOT_SAMPLES };
    unsigned char *samples = p->samples.data;
    const int64_t width = (int64_t)PLOT_SCALE * p->width, height = (int64_t)PLOT_SCALE * p->height;
    for (int64_t y = 0; samples && y < height; y++)
        for (int64_t x = 0; x < width; x++)
            for (int c = 0; c < 3; c++) {
                int sum = 0;
                for (int k = 0; k < N * N; k++)
                    sum += samples[3 * ((N * y + k / N) * N * width + N * x + k % N) + c];
                samples[3 * (y * width + x) + c] = (unsigned char)((sum + N * N / 2) / (N * N));
            }
    const sw_array picture = sw_array_view(samples, SW_U8, SW_SHAPE(height, width, 3));
    if (samples && !sw_error())
        sw_picture_save(path, &picture);
    sw_array_free(&p->samples);
    sw_array_free(&p->occupied);
    truetype_free(&p->font);
}

#endif
