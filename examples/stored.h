/* The results of a program as a CSV file beside its picture, from which the picture can be drawn again without the
 * training. A program lists its results in one function, for writing and reading:
 *
 *     static const cli_option options[] = {..., STORED_FROM, CLI_COMMON(...)};    .numbers = true in its cli_program
 *
 *     static void list_results(stored *s) {
 *         stored_curves(s, RUNS, 1, losses);        of curves.h; each with one point at least
 *         stored_surfaces(s, 1, &plane);            of surface.h
 *         stored_number(s, "threshold", &threshold);
 *     }
 *     ...
 *     if (cli.from)
 *         stored_load(list_results);                sets the options of that run too, before it calls list_results
 *     else
 *         train();
 *     if (!sw_error()) {
 *         print(); draw();                          from the results and the options alone
 *         stored_save(list_results);                nothing, if they were loaded
 *     }
 *
 * The file has the columns name,x,y,value. Its rows are, in this order:
 *
 *     program,,,NAME          the program
 *     --steps,,,100           each option of the run that is not a path (texts are written, and ignored by the reader)
 *     NAME,,,value            a number
 *     NAME,x,,value           a point of a curve; NAME,,, : the curve has no points
 *     NAME,x,y,value          a point of a surface, the rows of its grid one after another
 *     rows,,,N                the number of rows above: a truncated file is refused
 *
 * Numbers are written so that they are read back exactly: the bytes of the picture are the same. Not part of the
 * library. */
#ifndef SWALE_EXAMPLES_STORED_H
#define SWALE_EXAMPLES_STORED_H

#include "cli.h"
#include "csv_text.h"
#include "curves.h"
#include "surface.h"

enum { STORED_NUMBERS = 64, STORED_CURVES = 256, STORED_SURFACES = 16 }; /* at most */

/* The row of --from in the table of options. */
#define STORED_FROM \
    { "--from", "FILE.csv", CLI_INPUT, &cli.from, 0, 0, "draw the results of an earlier run from its numbers" }

/* Pointers to the results. More results than the arrays can hold are an error. */
typedef struct stored {
    int numbers, curves, surfaces;
    struct {
        const char *name;
        double *value;
        bool read;
    } number[STORED_NUMBERS];
    struct {
        curve *curve;
        int least; /* a file with fewer points is refused */
        bool read;
    } curve[STORED_CURVES];
    struct {
        surface *surface;
        int read; /* points */
    } surface[STORED_SURFACES];
} stored;

typedef void stored_list(stored *s);

static inline bool stored_fits(int count, int most) {
    if (count > most)
        sw_fail(SW_ERR_ARGUMENT, "%d results are stored, at most %d are possible", count, most);
    return count <= most;
}

static inline void stored_number(stored *s, const char *name, double *value) {
    if (stored_fits(s->numbers + 1, STORED_NUMBERS))
        s->number[s->numbers].name = name, s->number[s->numbers++].value = value;
}

/* The curves need names (curve_key) that differ from those of all other results, and `least` points each. */
static inline void stored_curves(stored *s, int count, int least, curve *c) {
    for (int i = 0; i < count && stored_fits(s->curves + 1, STORED_CURVES); i++)
        s->curve[s->curves].curve = &c[i], s->curve[s->curves++].least = least;
}

static inline void stored_surfaces(stored *s, int count, surface *of) {
    for (int i = 0; i < count && stored_fits(s->surfaces + 1, STORED_SURFACES); i++)
        s->surface[s->surfaces++].surface = &of[i];
}

/* Whether the option belongs to the results: paths do not, nor do options that concern this call alone. */
static inline bool stored_has_option(const cli_option *o) {
    const char *at = o->value;
    return o->kind <= CLI_FLAG && (o->value == &cli.seed || at < (char *)&cli || at >= (char *)(&cli + 1));
}

/* ---- Writing ---- */

/* A NULL pointer gives an empty field. */
static inline void stored_write_row(FILE *file, const char *name, const double *x, const double *y,
                                    const double *value) {
    char text[3][32] = {"", "", ""};
    const double *const number[3] = {x, y, value};
    for (int i = 0; i < 3; i++)
        if (number[i])
            sw_format_number(*number[i], text[i]);
    output_quoted(file, name);
    fprintf(file, ",%s,%s,%s\n", text[0], text[1], text[2]);
}

/* Returns the number of rows. */
static inline int stored_write_options(FILE *file) {
    int rows = 0;
    for (const cli_option *o = cli_current()->options; o->name; o++) {
        if (!stored_has_option(o) || (o->kind == CLI_FLAG && !*(bool *)o->value) ||
            (o->kind == CLI_TEXT && !*(const char **)o->value))
            continue;
        char text[32] = "1";
        if (o->kind == CLI_COUNT)
            snprintf(text, sizeof text, "%lld", (long long)*(int64_t *)o->value);
        else if (o->kind == CLI_REAL)
            sw_format_number(*(double *)o->value, text);
        fprintf(file, "%s,,,", o->name);
        if (o->kind == CLI_TEXT)
            output_quoted(file, *(const char **)o->value);
        else
            fputs(text, file);
        fputc('\n', file);
        rows++;
    }
    return rows;
}

static inline int stored_write_curve(FILE *file, const curve *c) {
    for (int k = 0; k < c->n; k++)
        stored_write_row(file, curve_key(c), &c->x[k], NULL, &c->y[k]);
    if (c->n == 0)
        stored_write_row(file, curve_key(c), NULL, NULL, NULL);
    return c->n > 0 ? c->n : 1;
}

static inline int stored_write_surface(FILE *file, const surface *s) {
    for (int i = 0; i < s->rows; i++)
        for (int j = 0; j < s->columns; j++)
            stored_write_row(file, s->name, &s->x[j], &s->y[i], &s->value[i * s->columns + j]);
    return s->rows * s->columns;
}

/* Writes FILE.csv beside the picture --out. Does nothing after stored_load, and while an error is pending. */
static inline void stored_save(stored_list *list) {
    char path[OUTPUT_PATH];
    stored s = {0};
    output o;
    int rows = 1;
    if (cli.from)
        return;
    list(&s);
    cli_numbers_path(cli.out, path);
    FILE *file = output_open(&o, "%s", path);
    if (file) {
        fprintf(file, "name,x,y,value\nprogram,,,%s\n", cli_current()->name);
        rows += stored_write_options(file);
        for (int i = 0; i < s.numbers; i++, rows++)
            stored_write_row(file, s.number[i].name, NULL, NULL, s.number[i].value);
        for (int i = 0; i < s.curves; i++)
            rows += stored_write_curve(file, s.curve[i].curve);
        for (int i = 0; i < s.surfaces; i++)
            rows += stored_write_surface(file, s.surface[i].surface);
        fprintf(file, "rows,,,%d\n", rows);
    }
    output_close(&o);
}

/* ---- Reading ---- */

enum { STORED_NAME, STORED_X, STORED_Y, STORED_VALUE, STORED_COLUMNS };

/* An error in a row, which is counted as csv_text_number does. */
SW_PRINTF(3, 4)
static inline void stored_refuse(const csv_text *t, int64_t row, const char *format, ...) {
    char text[256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    sw_fail(SW_ERR_FORMAT, "%s: row %lld, '%.60s': %s", t->path, (long long)row + 1, csv_text_cell(t, row, STORED_NAME),
            text);
}

/* Whether the row has x and y as a result of this kind must have them, and a value. */
static inline bool stored_row_has(const csv_text *t, int64_t row, bool x, bool y) {
    const bool has[2] = {*csv_text_cell(t, row, STORED_X) != 0, *csv_text_cell(t, row, STORED_Y) != 0};
    if (has[0] != x || has[1] != y)
        stored_refuse(t, row, "%s was expected", y ? "x, y and a value" : x ? "x and a value" : "a value alone");
    return has[0] == x && has[1] == y;
}

static inline void stored_read_option(const csv_text *t, int64_t row) {
    const char *name = csv_text_cell(t, row, STORED_NAME), *text = csv_text_cell(t, row, STORED_VALUE);
    const cli_option *o = cli_current()->options;
    while (o->name && strcmp(o->name, name) != 0)
        o++;
    if (!o->name || !stored_has_option(o))
        stored_refuse(t, row, "the program has no such option");
    else if (o->kind != CLI_TEXT && !cli_accepts(o, text))
        stored_refuse(t, row, "%.40s: a number from %g to %g is needed", text, o->low, o->high);
}

static inline void stored_read_curve(const csv_text *t, int64_t row, stored *s, int i) {
    curve *c = s->curve[i].curve;
    const bool none = !*csv_text_cell(t, row, STORED_X) && !*csv_text_cell(t, row, STORED_VALUE);
    if (!s->curve[i].read)
        c->n = 0;
    s->curve[i].read = true;
    if (none || !stored_row_has(t, row, true, false))
        return;
    if (c->n == CURVE_MOST)
        stored_refuse(t, row, "a curve has at most %d points", CURVE_MOST);
    else
        curve_add(c, csv_text_number(t, row, STORED_X), csv_text_number(t, row, STORED_VALUE));
}

/* The points of the first row of the grid give the columns. */
static inline void stored_read_surface(const csv_text *t, int64_t row, stored *s, int index) {
    surface *of = s->surface[index].surface;
    if (!stored_row_has(t, row, true, true))
        return;
    const double x = csv_text_number(t, row, STORED_X), y = csv_text_number(t, row, STORED_Y);
    const int k = s->surface[index].read;
    if (k == 0)
        of->columns = of->rows = 1, of->y[0] = y;
    else if (of->rows == 1 && y == of->y[0])
        of->columns++;
    const int i = k / of->columns, j = k % of->columns;
    if (of->columns > SURFACE_MOST || i >= SURFACE_MOST) {
        stored_refuse(t, row, "a surface has at most %d points a side", SURFACE_MOST);
        return;
    }
    if (i == 0)
        of->x[j] = x;
    else if (j == 0)
        of->y[i] = y, of->rows = i + 1;
    if (of->x[j] != x || of->y[i] != y || (j > 0 && !(x > of->x[j - 1])) || (i > 0 && !(y > of->y[i - 1])))
        stored_refuse(t, row, "the points are not those of a grid, row by row");
    of->value[k] = csv_text_number(t, row, STORED_VALUE);
    s->surface[index].read++;
}

static inline bool stored_is_option(const csv_text *t, int64_t row) {
    return strncmp(csv_text_cell(t, row, STORED_NAME), "--", 2) == 0;
}

static inline void stored_read_result(const csv_text *t, int64_t row, stored *s) {
    const char *name = csv_text_cell(t, row, STORED_NAME);
    for (int i = 0; i < s->numbers; i++)
        if (strcmp(name, s->number[i].name) == 0) {
            s->number[i].read = stored_row_has(t, row, false, false);
            *s->number[i].value = csv_text_number(t, row, STORED_VALUE);
            return;
        }
    for (int i = 0; i < s->curves; i++)
        if (strcmp(name, curve_key(s->curve[i].curve)) == 0) {
            stored_read_curve(t, row, s, i);
            return;
        }
    for (int i = 0; i < s->surfaces; i++)
        if (strcmp(name, s->surface[i].surface->name) == 0) {
            stored_read_surface(t, row, s, i);
            return;
        }
    stored_refuse(t, row, "%s has no result of this name", cli_current()->name);
}

/* The columns, the program, and the number of rows at the end. */
static inline bool stored_check_frame(const csv_text *t) {
    static const char *const column[STORED_COLUMNS] = {"name", "x", "y", "value"};
    bool good = t->columns == STORED_COLUMNS;
    for (int i = 0; i < STORED_COLUMNS && good; i++)
        good = strcmp(t->cell[i], column[i]) == 0;
    good = good && strcmp(csv_text_cell(t, 0, STORED_NAME), "program") == 0;
    if (!good)
        sw_fail(SW_ERR_FORMAT,
                "%s: not the results of a program; a file that %s wrote beside its picture is needed, with the "
                "columns name,x,y,value and the first row program,,,%s",
                t->path, cli_current()->name, cli_current()->name);
    else if (strcmp(csv_text_cell(t, 0, STORED_VALUE), cli_current()->name) != 0)
        sw_fail(SW_ERR_FORMAT, "%s: the results are those of %.60s, and cannot be drawn by %s", t->path,
                csv_text_cell(t, 0, STORED_VALUE), cli_current()->name);
    else if (strcmp(csv_text_cell(t, t->rows - 1, STORED_NAME), "rows") != 0)
        sw_fail(SW_ERR_FORMAT, "%s: the end is missing: the last row must give the number of rows", t->path);
    else if (csv_text_number(t, t->rows - 1, STORED_VALUE) != (double)(t->rows - 1) && !sw_error())
        sw_fail(SW_ERR_FORMAT, "%s: %lld rows before the last one, but that gives %.40s (is the file complete?)",
                t->path, (long long)t->rows - 1, csv_text_cell(t, t->rows - 1, STORED_VALUE));
    return !sw_error();
}

static inline void stored_check_complete(const char *path, const stored *s) {
    const char *missing = NULL;
    for (int i = 0; i < s->numbers; i++)
        missing = s->number[i].read ? missing : s->number[i].name;
    for (int i = 0; i < s->curves; i++)
        if (!s->curve[i].read || s->curve[i].curve->n < s->curve[i].least)
            missing = curve_key(s->curve[i].curve);
    for (int i = 0; i < s->surfaces; i++) {
        const surface *of = s->surface[i].surface;
        const int points = s->surface[i].read;
        if (points == 0 || of->columns < 2 || of->rows < 2 || points != of->columns * of->rows)
            missing = of->name;
    }
    if (missing)
        sw_fail(SW_ERR_FORMAT, "%s: '%s' is missing or incomplete", path, missing);
}

/* A mistake on the command line ends the program: the options of the run are those in the file. */
static inline void stored_check_alone(void) {
    for (const cli_option *o = cli_current()->options; o->name; o++)
        if (cli.given >> (o - cli_current()->options) & 1 && o->value != &cli.from && o->value != &cli.out &&
            o->value != &cli.threads && o->value != &cli.quiet)
            cli_fail(2, "--from %s has the options of its run: %s cannot be given too", cli.from, o->name);
}

/* Reads the results, and the options of their run, from the file --from. An error is pending if the file is not one
 * that this program wrote, or is damaged. */
static inline sw_status stored_load(stored_list *list) {
    csv_text t = {0};
    stored s = {0};
    stored_check_alone();
    if (!sw_error() && csv_text_load(&t, cli.from) == SW_OK && stored_check_frame(&t)) {
        for (int64_t row = 1; row < t.rows - 1 && !sw_error(); row++)
            if (stored_is_option(&t, row))
                stored_read_option(&t, row);
        list(&s);
        for (int64_t row = 1; row < t.rows - 1 && !sw_error(); row++)
            if (!stored_is_option(&t, row))
                stored_read_result(&t, row, &s);
        if (!sw_error())
            stored_check_complete(cli.from, &s);
    }
    csv_text_free(&t);
    return sw_error_status();
}

#endif
