/* Panels of a picture: a box that shows data, its frame, its axes with round numbers, and a color bar. Not part of the
 * library. */
#ifndef SWALE_EXAMPLES_AXES_H
#define SWALE_EXAMPLES_AXES_H

#include "text.h"

/* Heights of capital letters in the numbers, the labels and the title, in units. */
static const double plot_number_size = 9.5, plot_label_size = 10, plot_title_size = 11;

/* The ends of an axis. Ends that are equal, up to a millionth, are moved apart, for data without a range. Others must
 * be finite and ascending. */
static inline void axes_set_ends(double end[2], double low, double high) {
    const double size = fmax(fabs(low), fabs(high));
    const bool good = low <= high && size < 1e300; /* false for NaN */
    if (!good)
        sw_fail(SW_ERR_ARGUMENT, "plot: an axis from %g to %g; two finite numbers in ascending order are needed", low,
                high);
    const double room = !good || high - low > 1e-6 * size ? 0 : size > 1e-300 ? size / 2 : 1;
    end[0] = good ? low - room : 0, end[1] = good ? high + room : 1;
}

/* Starts a new panel: data are shown in this box from now on, with x0 at its left side and y0 at the bottom. */
static inline void plot_panel(plot *p, double left, double top, double width, double height, double x0, double x1,
                              double y0, double y1) {
    double x[2], y[2];
    axes_set_ends(x, x0, x1);
    axes_set_ends(y, y0, y1);
    p->left = left, p->top = top, p->right = left + width, p->bottom = top + height;
    p->x0 = x[0], p->x1 = x[1], p->y0 = y[0], p->y1 = y[1];
    p->log_x = p->log_y = false;
}

/* Makes axes of the current panel logarithmic: their ends must be above 0. */
static inline void plot_logarithmic(plot *p, bool x, bool y) {
    if ((x && !(p->x0 > 0)) || (y && !(p->y0 > 0)))
        sw_fail(SW_ERR_ARGUMENT, "plot: a logarithmic axis that begins at %g; a positive number is needed",
                x && !(p->x0 > 0) ? p->x0 : p->y0);
    else
        p->log_x = x, p->log_y = y;
}

/* log2 x for x > 0: log m = 2 (t + t³/3 + …) with t = (m - 1)/(m + 1), |t| < 0.18. The result has the same bits on
 * every machine. */
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

/* The position of v on the axis: 0 at v0, 1 at v1. A value without logarithm is far below 0. */
static inline double plot_fraction(double v, double v0, double v1, bool logarithmic) {
    if (!logarithmic)
        return (v - v0) / (v1 - v0);
    return v > 0 ? plot_log2(v / v0) / plot_log2(v1 / v0) : -1000;
}

static inline double plot_x(const plot *p, double x) {
    return p->left + (p->right - p->left) * plot_fraction(x, p->x0, p->x1, p->log_x);
}
static inline double plot_y(const plot *p, double y) {
    return p->bottom - (p->bottom - p->top) * plot_fraction(y, p->y0, p->y1, p->log_y);
}

/* ---- Ticks ---- */

/* A step of 1, 2 or 5 times a power of ten, so that there are at most six ticks. */
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

/* Returns the first tick from v0 on (index 0), or one of those after it. */
static inline double plot_tick_at(double v0, double v1, bool logarithmic, int index) {
    if (!logarithmic) {
        const double step = plot_tick(v1 - v0);
        return ((int)ceil(v0 / step - 1e-9) + index) * step;
    }
    const double decades = plot_log2(v1 / v0) / plot_log2(10); /* a logarithmic axis has at most seven powers of ten */
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

/* Writes a number as %g does, in UTF-8: with a minus sign instead of the hyphen, 10⁻⁶ for 1e-06 and 2×10⁻⁴ for 0.0002;
 * powers of ten from 10⁵ and up to 10⁻⁴. */
static inline void plot_number(double v, char number[64]) {
    static const char *const raised[10] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    char digits[32], exponent[8];
    const bool power = v != 0 && (fabs(v) < 0.000999 || fabs(v) > 99999);
    snprintf(digits, sizeof digits, power ? "%.4e" : "%g", fabs(v));
    char *e = power ? strchr(digits, 'e') : NULL, *end = e;
    if (e) {
        snprintf(exponent, sizeof exponent, "%ld", strtol(e + 1, NULL, 10));
        while (end[-1] == '0')
            end--;
        *(end - (end[-1] == '.')) = 0;
    }
    const bool alone = e && strcmp(digits, "1") == 0;
    int at = snprintf(number, 64, "%s%s%s", v < 0 ? "−" : "", alone ? "" : digits, !e ? "" : alone ? "10" : "×10");
    for (const char *c = exponent; e && *c; c++)
        at += snprintf(number + at, (size_t)(64 - at), "%s", *c == '-' ? "⁻" : raised[*c - '0']);
}

/* ---- Axes ---- */

/* Draws the grid lines and numbers of one axis; returns the width of the widest number. */
static inline double axes_ticks(plot *p, bool of_x) {
    char number[64];
    double widest = 0;
    for (int i = 0;; i++) {
        const double at = of_x ? plot_tick_at(p->x0, p->x1, p->log_x, i) : plot_tick_at(p->y0, p->y1, p->log_y, i);
        const double x = plot_x(p, at), y = plot_y(p, at);
        if (!(of_x ? x <= p->right + 1e-6 : y >= p->top - 1e-6))
            return widest;
        plot_number(at, number);
        p->background = true;
        plot_line(p, of_x ? x : p->left, of_x ? p->top : y, of_x ? x : p->right, of_x ? p->bottom : y, 1, PLOT_LIGHT);
        plot_line(p, of_x ? x : p->left - 4, of_x ? p->bottom : y, of_x ? x : p->left, of_x ? p->bottom + 4 : y, 1,
                  PLOT_GRAY);
        p->background = false;
        if (of_x)
            plot_text(p, x, p->bottom + 18, plot_number_size, PLOT_CENTER, false, PLOT_BLACK, number);
        else
            plot_text(p, p->left - 8, y + plot_number_size / 2, plot_number_size, PLOT_RIGHT, false, PLOT_BLACK,
                      number);
        widest = fmax(widest, plot_text_width(p, plot_number_size, number));
    }
}

/* Draws a light grid with numbers for each axis that has a label, which may be empty, and the title. They need 40 units
 * below the panel, 30 above, and at the left 30 plus the width of the widest number. Call it before a surface, which
 * covers the grid. */
static inline void plot_axes(plot *p, const char *title, const char *x_label, const char *y_label) {
    if (!plot_ready(p))
        return;
    const double middle_x = (p->left + p->right) / 2, middle_y = (p->top + p->bottom) / 2;
    if (x_label) {
        axes_ticks(p, true);
        plot_text(p, middle_x, p->bottom + 37, plot_label_size, PLOT_CENTER, false, PLOT_BLACK, x_label);
    }
    if (y_label) {
        const double widest = axes_ticks(p, false);
        plot_text(p, p->left - widest - 18, middle_y, plot_label_size, PLOT_CENTER, true, PLOT_BLACK, y_label);
    }
    if (title)
        plot_text(p, middle_x, p->top - 12, plot_title_size, PLOT_CENTER, false, PLOT_BLACK, title);
}

static inline void plot_frame(plot *p, unsigned color) {
    const double l = p->left, t = p->top, r = p->right, b = p->bottom;
    p->background = true;
    plot_line(p, l, t, r, t, 1, color), plot_line(p, l, b, r, b, 1, color);
    plot_line(p, l, t, l, b, 1, color), plot_line(p, r, t, r, b, 1, color);
    p->background = false;
}

/* ---- Values as colors ---- */

/* A scale of values above 0: level i from 0 to count - 1 begins at low · factor^i. Smaller values belong to the first
 * level, larger ones to the last. */
typedef struct plot_levels {
    double low, factor; /* factor > 1 */
    int count;          /* at least 2 */
} plot_levels;

/* Viridis, made lighter, so that lines of every color are visible on it. */
static inline unsigned plot_level_color(const plot_levels *s, int level) {
    return color_mix(PLOT_WHITE, color_viridis((double)level / (s->count - 1)), 0.65);
}

static inline unsigned plot_value_color(const plot_levels *s, double value) {
    int level = 0;
    for (double next = s->low * s->factor; level < s->count - 1 && value >= next; level++)
        next *= s->factor;
    return plot_level_color(s, level);
}

/* Draws the colors of a scale with their values at the right, large values at the top. It is 50 units wide including
 * the numbers. */
static inline void plot_color_bar(plot *p, double left, double top, double height, const plot_levels *s,
                                  const char *title) {
    const double width = 14;
    double high = s->low;
    char number[64];
    for (int i = 0; i < s->count; i++)
        high *= s->factor;
    plot_panel(p, left, top, width, height, 0, 1, s->low, high);
    plot_logarithmic(p, false, true);
    for (int i = 0; i < s->count; i++)
        plot_rectangle(p, left, top + height * (s->count - 1 - i) / s->count, width, height / s->count,
                       plot_level_color(s, i), 1);
    plot_frame(p, PLOT_GRAY);
    for (int i = 0; plot_ready(p); i++) {
        const double at = plot_tick_at(s->low, high, true, i), y = plot_y(p, at);
        if (!(y >= top - 1e-6))
            break;
        plot_number(at, number);
        plot_line(p, left + width, y, left + width + 3, y, 1, PLOT_GRAY);
        plot_text(p, left + width + 7, y + plot_number_size / 2, plot_number_size, PLOT_LEFT, false, PLOT_BLACK,
                  number);
    }
    plot_text(p, left, top - 12, plot_label_size, PLOT_LEFT, false, PLOT_BLACK, title);
}

#endif
