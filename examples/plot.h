/* Raster plots for the examples: panels with axes, curves, bands, points, colored fields, small pictures
 * and text, as a PNG file. Not part of the library.
 *
 *     plot p = plot_new(640, 400);                          white, in pixels
 *     plot_panel(&p, 60, 40, 560, 300, -1, 1, 0, 2);        a box of it shows x in [-1, 1], y in [0, 2]
 *     plot_axes(&p, "title", "x", "y");
 *     plot_curve(&p, n, x, y, 2, PLOT_BLUE);
 *     plot_save(&p, "curve.png");
 *
 * After plot_logarithmic(&p, false, true) the panel's y is logarithmic; data are given as they are.
 *
 * Everything is painted three times as large and shrunk at the end, which smooths the edges. There are only
 * additions, multiplications, divisions and square roots, in double: equal data give equal bytes on every
 * machine. Nothing needs a check: after an error nothing is painted, and sw_error() tells. */
#ifndef SWALE_EXAMPLES_PLOT_H
#define SWALE_EXAMPLES_PLOT_H

#include <swale/datasets.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 0xRRGGBB. The colors of Okabe and Ito, which people who are color-blind can tell apart. */
enum {
    PLOT_BLUE = 0x0072b2,
    PLOT_ORANGE = 0xe69f00,
    PLOT_GREEN = 0x009e73,
    PLOT_RED = 0xd55e00,
    PLOT_PURPLE = 0xcc79a7,
    PLOT_SKY = 0x56b4e9,
    PLOT_BLACK = 0x222222,
    PLOT_GRAY = 0x888888,
    PLOT_LIGHT = 0xe4e4e4,
    PLOT_WHITE = 0xffffff
};

enum { PLOT_FINE = 3 }; /* painted so many times as large */

typedef struct plot {
    sw_array pixels; /* u8 [PLOT_FINE height, PLOT_FINE width, 3] */
    int width, height;
    double left, top, right, bottom; /* the panel at hand, in pixels from the upper left corner */
    double x0, x1, y0, y1;           /* what it shows */
    bool log_x, log_y;               /* on a logarithmic axis */
    bool clipped;                    /* nothing is painted outside of it */
} plot;

/* Part `t` in [0, 1] of the way from one color to another. */
static inline unsigned plot_mix(unsigned from, unsigned to, double t) {
    unsigned mixed = 0;
    for (int shift = 0; shift <= 16; shift += 8) {
        const double a = from >> shift & 255, b = to >> shift & 255;
        mixed |= (unsigned)(a + (b - a) * t + 0.5) << shift;
    }
    return mixed;
}

/* ---- Paint, in pixels ---- */

/* One fine pixel: `cover` of the color over what is there. */
static inline void plot_dot(plot *p, int x, int y, unsigned color, double cover) {
    const int64_t pixel = (int64_t)y * PLOT_FINE * p->width + x;
    unsigned char *at = (unsigned char *)p->pixels.data + 3 * pixel;
    const unsigned there = (unsigned)at[0] << 16 | (unsigned)at[1] << 8 | at[2];
    const unsigned mixed = plot_mix(there, color, cover);
    for (int c = 0; c < 3; c++)
        at[c] = (unsigned char)(mixed >> (16 - 8 * c) & 255);
}

/* The fine pixels from low to high whose centers are in a box, within the picture and the panel. */
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
    if (!p->pixels.data)
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

/* All that is nearer than width/2 to the line between two points; equal ones make a disc. */
static inline void plot_line(plot *p, double x0, double y0, double x1, double y1, double width, unsigned color) {
    const double r = width / 2, dx = x1 - x0, dy = y1 - y0, square = dx * dx + dy * dy;
    const plot_box b = plot_box_of(p, (x0 < x1 ? x0 : x1) - r, (y0 < y1 ? y0 : y1) - r, (x0 < x1 ? x1 : x0) + r,
                                   (y0 < y1 ? y1 : y0) + r);
    for (int j = b.y0; j < b.y1; j++)
        for (int i = b.x0; i < b.x1; i++) {
            const double x = (i + 0.5) / PLOT_FINE - x0, y = (j + 0.5) / PLOT_FINE - y0;
            double t = square > 0 ? (x * dx + y * dy) / square : 0; /* the nearest point's place */
            t = t < 0 ? 0 : t > 1 ? 1 : t;
            const double a = x - t * dx, c = y - t * dy;
            if (a * a + c * c <= r * r)
                plot_dot(p, i, j, color, 1);
        }
}

/* ---- Text ---- */

/* Letters as strokes: points xy, one digit each, strokes apart by blanks. Six units from the base line,
 * y = 3, to the top of the capitals, y = 9. */
static inline const char *plot_glyph(char c) {
    static const char *const glyph[128] = {['a'] = "4743 4637170604133344",
                                           ['b'] = "0903 0617374644331304",
                                           ['c'] = "4637170604133344",
                                           ['d'] = "4943 4637170604133344",
                                           ['e'] = "05454637170604133344",
                                           ['f'] = "39291813 0737",
                                           ['g'] = "4741301001 4637170604133344",
                                           ['h'] = "0903 0617374643",
                                           ['i'] = "0703 0909",
                                           ['j'] = "171100 1919",
                                           ['k'] = "0903 3704 1533",
                                           ['l'] = "0903",
                                           ['m'] = "0703 0617273633 3647576663",
                                           ['n'] = "0703 0617374643",
                                           ['o'] = "133344463717060413",
                                           ['p'] = "0700 0617374644331304",
                                           ['q'] = "4740 4637170604133344",
                                           ['r'] = "0703 061737",
                                           ['s'] = "46371706153544331304",
                                           ['t'] = "19142333 0737",
                                           ['u'] = "0704133344 4743",
                                           ['v'] = "072347",
                                           ['w'] = "0713375367",
                                           ['x'] = "0743 0347",
                                           ['y'] = "0723 47231100",
                                           ['z'] = "07470343",
                                           ['A'] = "033963 1555",
                                           ['B'] = "03094958574606 4655544303",
                                           ['C'] = "5849190804134354",
                                           ['D'] = "03093957553303",
                                           ['E'] = "59090353 0646",
                                           ['F'] = "590903 0646",
                                           ['G'] = "58491908041343545636",
                                           ['H'] = "0903 5953 0656",
                                           ['I'] = "0903",
                                           ['J'] = "4944331304",
                                           ['K'] = "0903 4905 1643",
                                           ['L'] = "090343",
                                           ['M'] = "0309356963",
                                           ['N'] = "03095359",
                                           ['O'] = "194958544313040819",
                                           ['P'] = "03094958574606",
                                           ['Q'] = "194958544313040819 3553",
                                           ['R'] = "03094958574606 2653",
                                           ['S'] = "584919080716465554431304",
                                           ['T'] = "0969 3933",
                                           ['U'] = "090413435459",
                                           ['V'] = "093369",
                                           ['W'] = "0923374369",
                                           ['X'] = "0953 0359",
                                           ['Y'] = "093669 3633",
                                           ['Z'] = "09590353",
                                           ['0'] = "193948443313040819",
                                           ['1'] = "082923",
                                           ['2'] = "08193948470343",
                                           ['3'] = "08193948473616 364544331304",
                                           ['4'] = "33390545",
                                           ['5'] = "490906364544331304",
                                           ['6'] = "483919080413334445361605",
                                           ['7'] = "094913",
                                           ['8'] = "16070819394847361605041333444536",
                                           ['9'] = "041333444839190807163647",
                                           ['.'] = "0303",
                                           [','] = "1302",
                                           [':'] = "0606 0303",
                                           ['\''] = "0908",
                                           ['!'] = "0905 0303",
                                           ['?'] = "08193948472625 2323",
                                           ['-'] = "0636",
                                           ['+'] = "0646 2824",
                                           ['='] = "0747 0545",
                                           ['/'] = "0339",
                                           ['%'] = "6903 0929270709 4565634345",
                                           ['('] = "19080413",
                                           [')'] = "09181403",
                                           ['<'] = "480644",
                                           ['>'] = "084604",
                                           ['_'] = "0242",
                                           ['*'] = "0848 1739 3719",
                                           ['|'] = "0902",
                                           ['~'] = "06173546",
                                           [' '] = ""};
    const unsigned char at = (unsigned char)c;
    return at < 128 && glyph[at] ? glyph[at] : "0343490903"; /* a box */
}

/* How far to the next letter, in units. */
static inline int plot_advance(char c) {
    int most = c == ' ' ? 2 : 0;
    for (const char *s = plot_glyph(c); *s; s += *s == ' ' ? 1 : 2)
        if (*s != ' ' && *s - '0' > most)
            most = *s - '0';
    return most + 2;
}

typedef enum plot_align { PLOT_LEFT = 0, PLOT_CENTER = 1, PLOT_RIGHT = 2 } plot_align;

/* Capitals are `size` pixels high; (x, y) is the beginning, middle or end of the base line, which points
 * up instead of to the right if `upwards`. */
static inline void plot_text(plot *p, double x, double y, double size, plot_align align, bool upwards, unsigned color,
                             const char *text) {
    const double unit = size / 6, width = size / 9 + 0.35;
    double along = 0;
    for (const char *c = text; *c; c++)
        along += plot_advance(*c);
    along = -(along - 2) * unit * (int)align / 2;
    for (const char *c = text; *c; c++) {
        double before[2] = {0};
        bool first = true;
        for (const char *s = plot_glyph(*c); *s; s++) {
            if (*s == ' ') {
                first = true;
                continue;
            }
            const double a = along + (*s - '0') * unit, b = (s[1] - '3') * unit;
            const double to[2] = {upwards ? x - b : x + a, upwards ? y - a : y - b};
            const bool alone = first && (!s[2] || s[2] == ' ');
            if (!first || alone)
                plot_line(p, first ? to[0] : before[0], first ? to[1] : before[1], to[0], to[1], width, color);
            memcpy(before, to, sizeof before);
            first = false;
            s++;
        }
        along += plot_advance(*c) * unit;
    }
}

/* ---- Panels ---- */

static inline plot plot_new(int width, int height) {
    plot p = {.width = width, .height = height, .right = width, .bottom = height, .x1 = 1, .y1 = 1};
    if (sw_error())
        return p;
    p.pixels = sw_array_new(SW_U8, SW_SHAPE((int64_t)PLOT_FINE * height, (int64_t)PLOT_FINE * width, 3));
    if (p.pixels.data)
        memset(p.pixels.data, 255, (size_t)sw_array_count(&p.pixels));
    return p;
}

/* From here on data are shown in this box: x0 at its left, y0 at its bottom. */
static inline void plot_panel(plot *p, double left, double top, double width, double height, double x0, double x1,
                              double y0, double y1) {
    p->left = left, p->top = top, p->right = left + width, p->bottom = top + height;
    p->x0 = x0, p->x1 = x1, p->y0 = y0, p->y1 = y1;
    p->log_x = p->log_y = false;
}

/* Axes of the panel at hand that are logarithmic: their ends must be above 0. */
static inline void plot_logarithmic(plot *p, bool x, bool y) {
    p->log_x = x, p->log_y = y;
}

/* log2 x for x > 0, by log m = 2 (t + t³/3 + …), t = (m - 1)/(m + 1), |t| < 0.18: equal bits everywhere. */
static inline double plot_log2(double x) {
    int exponent;
    double m = frexp(x, &exponent), sum = 0;
    if (m < 0.70710678118654752)
        m *= 2, exponent--;
    const double t = (m - 1) / (m + 1);
    for (int k = 21; k > 0; k -= 2)
        sum = sum * t * t + 1.0 / k;
    return exponent + 2 * t * sum / 0.69314718055994531;
}

/* How far v is from v0 to v1: 0 and 1 there. What has no logarithm is far below. */
static inline double plot_share(double v, double v0, double v1, bool logarithmic) {
    if (!logarithmic)
        return (v - v0) / (v1 - v0);
    return v > 0 ? plot_log2(v / v0) / plot_log2(v1 / v0) : -1000;
}

static inline double plot_x(const plot *p, double x) {
    return p->left + (p->right - p->left) * plot_share(x, p->x0, p->x1, p->log_x);
}
static inline double plot_y(const plot *p, double y) {
    return p->bottom - (p->bottom - p->top) * plot_share(y, p->y0, p->y1, p->log_y);
}

/* 1, 2 or 5 times a power of ten, so that there are six at most. */
static inline double plot_tick(double length) {
    static const double factor[3] = {1, 2, 5};
    double power = 1;
    while (power * 10 * 6 <= length)
        power *= 10;
    double down = 1;
    while (power / down * 6 > length)
        down *= 10;
    for (int i = 0; i < 3; i++)
        if (factor[i] * power / down * 6 >= length)
            return factor[i] * power / down;
    return 10 * power / down;
}

/* The first tick from v0 on (index 0), and those after it. */
static inline double plot_tick_at(double v0, double v1, bool logarithmic, int index) {
    if (!logarithmic) {
        const double step = plot_tick(v1 - v0);
        return ((int)ceil(v0 / step - 1e-9) + index) * step;
    }
    const double decades = plot_log2(v1 / v0) / plot_log2(10); /* powers of ten: seven at most */
    const int every = (int)ceil(decades / 6 - 1e-9);
    int exponent = 0;
    double power = 1;
    for (; power > v0 * (1 - 1e-9); exponent--)
        power /= 10;
    for (; power < v0 * (1 - 1e-9) || exponent % every; exponent++)
        power *= 10;
    for (int i = 0; i < index * every; i++)
        power *= 10;
    return power;
}

/* As %g, but 1e-6 for 1e-06, and 1e-4 for 0.0001. */
static inline void plot_number(double v, char number[32]) {
    const bool power = v != 0 && (fabs(v) < 0.000999 || fabs(v) > 99999);
    snprintf(number, 32, power ? "%.4e" : "%g", v);
    char *e = power ? strchr(number, 'e') : NULL, *end = e;
    if (!e)
        return;
    const int exponent = (int)strtol(e + 1, NULL, 10);
    while (end[-1] == '0')
        end--;
    end -= end[-1] == '.';
    snprintf(end, (size_t)(number + 32 - end), "e%d", exponent);
}

/* A faint grid with its numbers for each axis that has a label, and the title. */
static inline void plot_axes(plot *p, const char *title, const char *x_label, const char *y_label) {
    char number[32];
    if (!p->pixels.data)
        return;
    const double middle_x = (p->left + p->right) / 2, middle_y = (p->top + p->bottom) / 2;
    for (int i = 0; x_label; i++) {
        const double at = plot_tick_at(p->x0, p->x1, p->log_x, i), x = plot_x(p, at);
        if (!(x <= p->right + 1e-6))
            break;
        plot_number(at, number);
        plot_line(p, x, p->top, x, p->bottom, 1, PLOT_LIGHT);
        plot_text(p, x, p->bottom + 16, 8, PLOT_CENTER, false, PLOT_BLACK, number);
    }
    for (int i = 0; y_label; i++) {
        const double at = plot_tick_at(p->y0, p->y1, p->log_y, i), y = plot_y(p, at);
        if (!(y >= p->top - 1e-6))
            break;
        plot_number(at, number);
        plot_line(p, p->left, y, p->right, y, 1, PLOT_LIGHT);
        plot_text(p, p->left - 8, y + 4, 8, PLOT_RIGHT, false, PLOT_BLACK, number);
    }
    if (x_label)
        plot_text(p, middle_x, p->bottom + 35, 9, PLOT_CENTER, false, PLOT_BLACK, x_label);
    if (y_label)
        plot_text(p, p->left - (p->log_y ? 54 : 42), middle_y, 9, PLOT_CENTER, true, PLOT_BLACK, y_label);
    if (title)
        plot_text(p, middle_x, p->top - 12, 10, PLOT_CENTER, false, PLOT_BLACK, title);
}

static inline void plot_frame(plot *p, unsigned color) {
    const double l = p->left, t = p->top, r = p->right, b = p->bottom;
    plot_line(p, l, t, r, t, 1, color), plot_line(p, l, b, r, b, 1, color);
    plot_line(p, l, t, l, b, 1, color), plot_line(p, r, t, r, b, 1, color);
}

/* A stroke of the color and what it stands for, in the panel's upper right corner; row from 0. */
static inline void plot_key(plot *p, int row, double width, unsigned color, const char *text) {
    const double y = p->top + 14 + 20 * row, x = p->right - 28;
    plot_line(p, x, y, x + 18, y, width, color);
    plot_text(p, x - 14, y + 4, 8, PLOT_RIGHT, false, PLOT_BLACK, text);
}

/* The same for plot_dashed, with a stroke long enough to show the dashes. */
static inline void plot_key_dashed(plot *p, int row, double width, unsigned color, const char *text,
                                   const double dash[2]) {
    const double y = p->top + 14 + 20 * row, x = p->right - 44, length = 40;
    const double period = dash[0] > 0 && dash[0] + dash[1] > 1 ? dash[0] + dash[1] : length;
    for (int k = 0; k * period < length; k++) {
        const double from = k * period, rest = length - from;
        plot_line(p, x + from, y, x + from + (dash[0] > 0 && dash[0] < rest ? dash[0] : rest), y, width, color);
    }
    plot_text(p, x - 10, y + 4, 8, PLOT_RIGHT, false, PLOT_BLACK, text);
}

/* ---- Data, in the panel's units ---- */

static inline void plot_curve(plot *p, int n, const double *x, const double *y, double width, unsigned color) {
    p->clipped = true;
    for (int i = 0; i + 1 < n; i++)
        plot_line(p, plot_x(p, x[i]), plot_y(p, y[i]), plot_x(p, x[i + 1]), plot_y(p, y[i + 1]), width, color);
    p->clipped = false;
}

/* A curve in dashes of dash[0] pixels and gaps of dash[1], measured along the curve; {0, 0}: without gaps. */
static inline void plot_dashed(plot *p, int n, const double *x, const double *y, double width, unsigned color,
                               const double dash[2]) {
    double left = dash[0]; /* of the dash or gap at hand */
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
        if (!(length < 1e5)) /* a value that is not finite: there is no way along it */
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

/* What is between two curves, which share x, in ascending order. */
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

/* A disc with a white edge. */
static inline void plot_point(plot *p, double x, double y, double radius, unsigned color) {
    const double px = plot_x(p, x), py = plot_y(p, y);
    plot_line(p, px, py, px, py, 2 * radius + 1.2, PLOT_WHITE);
    plot_line(p, px, py, px, py, 2 * radius, color);
}

/* Fills the panel with [rows, columns] colors, the first row at the top: a field, or a small picture. */
static inline void plot_field(plot *p, int rows, int columns, const unsigned *color) {
    const double width = (p->right - p->left) / columns, height = (p->bottom - p->top) / rows;
    for (int j = 0; j < rows; j++)
        for (int i = 0; i < columns; i++)
            plot_rectangle(p, p->left + i * width, p->top + j * height, width, height, color[j * columns + i], 1);
}

/* ---- The end ---- */

/* Shrinks the picture, writes it unless something has failed before, and frees it. */
static inline void plot_save(plot *p, const char *path) {
    enum { F = PLOT_FINE };
    unsigned char *pixels = p->pixels.data;
    for (int y = 0; pixels && y < p->height; y++)
        for (int x = 0; x < p->width; x++)
            for (int c = 0; c < 3; c++) {
                int sum = 0;
                for (int k = 0; k < F * F; k++)
                    sum += pixels[3 * ((F * y + k / F) * F * p->width + F * x + k % F) + c];
                pixels[3 * (y * p->width + x) + c] = (unsigned char)((sum + F * F / 2) / (F * F));
            }
    const sw_array small = sw_array_view(pixels, SW_U8, SW_SHAPE(p->height, p->width, 3));
    if (pixels && !sw_error())
        sw_picture_save(path, &small);
    sw_array_free(&p->pixels);
}

#endif
