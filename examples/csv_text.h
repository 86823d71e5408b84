/* A CSV file as a table of texts, whose first line names the columns. Not part of the library; sw_csv reads tables of
 * numbers. */
#ifndef SWALE_EXAMPLES_CSV_TEXT_H
#define SWALE_EXAMPLES_CSV_TEXT_H

#include <swale/datasets.h>
#include <swale/extend.h>
#include <math.h>
#include <string.h>

typedef struct csv_text {
    const char *path; /* of the caller */
    char *text;       /* the file; the fields are cut out of it */
    char **cell;      /* [rows + 1, columns], the names first */
    int64_t rows, columns;
} csv_text;

static inline const char *csv_text_cell(const csv_text *t, int64_t row, int64_t column) {
    return t->cell[(row + 1) * t->columns + column];
}

/* The column with this name, or -1. */
static inline int64_t csv_text_find(const csv_text *t, const char *name) {
    for (int64_t i = 0; i < t->columns; i++)
        if (strcmp(t->cell[i], name) == 0)
            return i;
    return -1;
}

/* As csv_text_find; a missing column is an error. */
static inline int64_t csv_text_need(const csv_text *t, const char *name) {
    const int64_t column = t->cell ? csv_text_find(t, name) : -1;
    if (column < 0)
        sw_fail(SW_ERR_FORMAT, "%s: there is no column %s; the first line must name the columns", t->path, name);
    return column;
}

/* The number in a cell; inf and nan are numbers too. Messages count the rows below the names from 1. */
static inline double csv_text_number(const csv_text *t, int64_t row, int64_t column) {
    const char *cell = csv_text_cell(t, row, column);
    char *end;
    const double value = sw_parse_number(cell, &end);
    if (end == cell || *end)
        sw_fail(SW_ERR_FORMAT, "%s: row %lld, column %s: '%.60s' is not a number", t->path, (long long)row + 1,
                t->cell[column], cell);
    return value;
}

/* The integer in a cell, at most 2^53 in absolute value. After an error, 0. */
static inline int64_t csv_text_integer(const csv_text *t, int64_t row, int64_t column) {
    const double value = csv_text_number(t, row, column);
    const bool is_integer = value >= -9007199254740992.0 && value <= 9007199254740992.0 && trunc(value) == value;
    if (!is_integer && !sw_error())
        sw_fail(SW_ERR_FORMAT, "%s: row %lld, column %s: '%.60s' is not an integer", t->path, (long long)row + 1,
                t->cell[column], csv_text_cell(t, row, column));
    return is_integer ? (int64_t)value : 0;
}

/* Ends the field at *at with a zero byte, removes its quotes, and moves *at behind its delimiter. Returns the field.
 * *last: it was the last one of its line. */
static inline char *csv_text_field(char **at, bool *last) {
    char *field = *at, *from = *at, *to = *at;
    const bool quoted = *from == '"';
    from += quoted;
    for (; *from; from++) {
        if (quoted && *from == '"' && *++from != '"')
            break;
        if (!quoted && strchr(",\r\n", *from))
            break;
        *to++ = *from;
    }
    from += strcspn(from, ",\r\n"); /* anything behind a closing quote */
    *last = *from != ',';
    from += from[0] == '\r' && from[1] == '\n' ? 2 : *from != 0;
    *to = 0;
    *at = from;
    return field;
}

static inline void csv_text_free(csv_text *t) {
    sw_free(t->cell), sw_free(t->text);
    *t = (csv_text){0};
}

/* Reads the file; empty lines are left out. An error is pending if it cannot be read, or if a line has another number
 * of fields than the first. Free it by csv_text_free in each case. */
static inline sw_status csv_text_load(csv_text *t, const char *path) {
    int capacity = 0, used = 0;
    size_t bytes;
    *t = (csv_text){.path = path, .rows = -1, .text = sw_text_load(path, &bytes)};
    if (!t->text)
        return sw_error_status();
    if (strlen(t->text) != bytes)
        return sw_fail(SW_ERR_FORMAT, "%s: byte %zu is zero; a text is needed", path, strlen(t->text));
    char *at = t->text + (strncmp(t->text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0);
    for (int64_t line = 1; *at; line++) {
        int64_t fields = 0;
        if (*at == '\n' || *at == '\r') {
            at += at[0] == '\r' && at[1] == '\n' ? 2 : 1;
            continue;
        }
        for (bool last = false; !last; fields++, used++) {
            char *field = csv_text_field(&at, &last);
            if (sw_grow_array(&t->cell, &capacity, used, 1024, sizeof *t->cell) != SW_OK)
                return sw_error_status();
            t->cell[used] = field;
        }
        if (t->rows < 0)
            t->columns = fields;
        if (fields != t->columns)
            return sw_fail(SW_ERR_FORMAT, "%s: line %lld has %lld fields, the first line has %lld", path,
                           (long long)line, (long long)fields, (long long)t->columns);
        t->rows++;
    }
    if (t->rows < 1)
        return sw_fail(SW_ERR_FORMAT,
                       "%s: the file has no rows; a line with the names of the columns and at least one "
                       "row are needed",
                       path);
    return SW_OK;
}

#endif
