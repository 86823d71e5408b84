/* Text on a canvas, in UTF-8, with a TrueType font if the canvas has one, else with strokes. Not part of the
 * library. */
#ifndef SWALE_EXAMPLES_TEXT_H
#define SWALE_EXAMPLES_TEXT_H

#include "canvas.h"
#include "stroke_font.h"

typedef enum plot_align { PLOT_LEFT = 0, PLOT_CENTER = 1, PLOT_RIGHT = 2 } plot_align;

/* Returns the next letter of a text that has not ended, and moves *text behind it. A byte that is not UTF-8 gives
 * U+FFFD. */
static inline unsigned text_letter(const char **text) {
    const unsigned char *s = (const unsigned char *)*text;
    const int more = s[0] < 0x80 ? 0 : s[0] < 0xc2 ? -1 : s[0] < 0xe0 ? 1 : s[0] < 0xf0 ? 2 : s[0] < 0xf5 ? 3 : -1;
    unsigned letter = more < 1 ? s[0] : s[0] & (63u >> more);
    for (int i = 1; i <= more; i++) {
        if ((s[i] & 0xc0) != 0x80) { /* also true at the end of the text */
            *text += i;
            return 0xfffd;
        }
        letter = letter << 6 | (s[i] & 63);
    }
    *text += more < 1 ? 1 : 1 + more;
    return more < 0 ? 0xfffd : letter;
}

/* ---- One letter ---- */

/* The position of a letter: the pen on the base line, which points up instead of to the right if `upwards`. */
typedef struct text_pen {
    double x, y, size; /* in units; capitals are `size` high */
    bool upwards;
    unsigned color;
} text_pen;

/* Moves the pen along the base line, and perpendicular to it. */
static inline text_pen text_moved(text_pen at, double along, double above) {
    at.x += at.upwards ? -above : along;
    at.y -= at.upwards ? along : above;
    return at;
}

static inline void text_strokes(plot *p, text_pen at, char c) {
    const double unit = at.size / 6, width = at.size / 9 + 0.35;
    text_pen before = at;
    bool first = true;
    for (const char *s = stroke_glyph(c); *s; s += 2) {
        if (*s == ' ') {
            first = true;
            s++;
        }
        const text_pen to = text_moved(at, (*s - '0') * unit, (s[1] - '3') * unit);
        const bool alone = first && (!s[2] || s[2] == ' ');
        if (!first || alone)
            plot_line(p, first ? to.x : before.x, first ? to.y : before.y, to.x, to.y, width, at.color);
        before = to;
        first = false;
    }
}

/* Draws the ASCII letters that replace a letter. */
static inline void text_replacement(plot *p, text_pen at, stroke_letter r) {
    at = text_moved(at, 0, r.rise * at.size);
    at.size *= r.size > 0 ? r.size : 1;
    for (const char *c = r.ascii; *c; c++) {
        text_strokes(p, at, *c);
        at = text_moved(at, stroke_advance(*c) * at.size / 6, 0);
    }
}

static inline void text_glyph(plot *p, text_pen at, unsigned letter) {
    const plot_box clip = plot_box_of(p, 0, 0, p->width, p->height);
    const int x = (int)floor(at.x * PLOT_FINE + 0.5), y = (int)floor(at.y * PLOT_FINE + 0.5);
    int rows = 0, columns = 0, left = 0, top = 0;
    unsigned char *gray = truetype_paint(&p->font, letter, at.size * PLOT_FINE, &rows, &columns, &left, &top);
    for (int k = 0; gray && k < rows * columns; k++) {
        const int along = left + k % columns, below = top + k / columns;
        const int i = at.upwards ? x + below : x + along, j = at.upwards ? y - along - 1 : y + below;
        if (gray[k] && i >= clip.x0 && i < clip.x1 && j >= clip.y0 && j < clip.y1)
            plot_dot(p, i, j, at.color, gray[k] / 255.0);
    }
    truetype_release(gray);
}

/* The distance to the next letter, in heights of a capital. */
static inline double text_advance(const plot *p, unsigned letter) {
    if (p->font.bytes)
        return truetype_advance(&p->font, letter);
    if (letter < 128)
        return stroke_advance((char)letter) / 6.0;
    const stroke_letter r = stroke_replacement(letter);
    double advance = 0;
    for (const char *c = r.ascii; *c; c++)
        advance += stroke_advance(*c) / 6.0 * (r.size > 0 ? r.size : 1);
    return advance;
}

/* ---- A line ---- */

/* The length of a line of text whose capitals are `size` high, in units. */
static inline double plot_text_width(const plot *p, double size, const char *text) {
    double width = 0;
    while (*text)
        width += text_advance(p, text_letter(&text));
    return width > 0 ? size * (width - (p->font.bytes ? 0 : 1.0 / 3)) : 0; /* without the gap behind the last stroke */
}

/* Draws a line of text. Capitals are `size` units high; (x, y) is the beginning, center or end of the base line, which
 * points up instead of to the right if `upwards`. */
static inline void plot_text(plot *p, double x, double y, double size, plot_align align, bool upwards, unsigned color,
                             const char *text) {
    if (!plot_ready(p) || !(fabs(x) < 1e5 && fabs(y) < 1e5))
        return;
    text_pen at = {.x = x, .y = y, .size = size, .upwards = upwards, .color = color};
    at = text_moved(at, -plot_text_width(p, size, text) * (int)align / 2, 0);
    while (*text) {
        const unsigned letter = text_letter(&text);
        if (p->font.bytes)
            text_glyph(p, at, letter);
        else if (letter < 128)
            text_strokes(p, at, (char)letter);
        else
            text_replacement(p, at, stroke_replacement(letter));
        at = text_moved(at, text_advance(p, letter) * size, 0);
    }
}

#endif
