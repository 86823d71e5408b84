/* Reads the rows of a CSV file and their fields (RFC 4180). */
#include <swale/extend.h>

#include "datasets/readers/csv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

sw_status swd_csv_fail(const swd_csv *c, int64_t column, const char *format, ...) {
    char reason[256];
    va_list list;
    va_start(list, format);
    sw_vformat(reason, sizeof reason, format, list);
    va_end(list);
    if (column < 0)
        return swd_lines_fail(&c->lines, "%s", reason);
    return swd_stream_fail(&c->lines.in, SW_ERR_FORMAT, "line %lld, column %lld: %s", (long long)c->lines.line,
                           (long long)column + 1, reason);
}

static char csv_other_delimiter(const swd_csv *c, const char *field) {
    for (; *field; field++)
        if (*field != c->o.delimiter && strchr(";,\t|", *field))
            return *field;
    return 0;
}

const char *swd_csv_hint(const swd_csv *c, const char *field, char out[64]) {
    char other = c->other;
    out[0] = 0;
    if (!other && field && c->columns == 1)
        other = csv_other_delimiter(c, field);
    if (other == '\t')
        snprintf(out, 64, " (is the delimiter a tab? option delimiter)");
    else if (other)
        snprintf(out, 64, " (is the delimiter '%c'? option delimiter)", other);
    return out;
}

/* ---- Fields ---- */

static bool csv_is_blank(const swd_csv *c, char ch) {
    return (ch == ' ' || ch == '\t') && ch != c->o.delimiter;
}

static char *csv_skip_blanks(const swd_csv *c, char *p) {
    while (csv_is_blank(c, *p))
        p++;
    return p;
}

/* Reads a quoted field after its opening quote, and replaces doubled quotes by single ones in place. *end points behind
 * the closing quote. */
static sw_status csv_unquote(swd_csv *c, char *text, int64_t column, char **end) {
    char *out = text, *in = text;
    bool closed = false;
    while (*in && !closed) {
        if (*in == '"' && in[1] != '"') {
            closed = true;
            in++;
        } else {
            in += *in == '"'; /* skips the second of two quotes */
            *out++ = *in++;
        }
    }
    if (!closed)
        return swd_csv_fail(c, column, "a quote is not closed on this line");
    *end = csv_skip_blanks(c, in);
    if (**end && **end != c->o.delimiter)
        return swd_csv_fail(c, column, "text after the closing quote");
    *out = 0;
    return SW_OK;
}

/* Reads one field at *cursor, which then points behind the delimiter, or is NULL after the last field. */
static sw_status csv_parse_field(swd_csv *c, char **cursor, int64_t column, uint32_t *field) {
    char *text = csv_skip_blanks(c, *cursor), *end = text;
    if (*text == '"') {
        SW_TRY(csv_unquote(c, ++text, column, &end));
        *cursor = *end ? end + 1 : NULL;
    } else {
        end = text + strcspn(text, (char[]){c->o.delimiter, 0});
        *cursor = *end ? end + 1 : NULL;
        while (end > text && csv_is_blank(c, end[-1]))
            end--;
        *end = 0;
    }
    *field = (uint32_t)(text - c->text);
    return SW_OK;
}

static sw_status csv_parse_first_row(swd_csv *c, char *line) {
    int64_t most = 1;
    for (const char *p = line; *p; p++)
        most += *p == c->o.delimiter;
    c->text = line;
    c->field = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, most, sizeof *c->field);
    if (!c->field)
        return swd_stream_fail_memory(&c->lines.in);
    while (line) {
        SW_TRY(csv_parse_field(c, &line, c->columns, &c->field[c->columns]));
        c->columns++;
    }
    if (c->columns == 1)
        c->other = csv_other_delimiter(c, swd_csv_field(c, 0));
    c->first_line = c->lines.line;
    return SW_OK;
}

static sw_status csv_parse_row(swd_csv *c, char *line) {
    int64_t count = 0;
    c->text = line;
    for (uint32_t spare; line; count++)
        SW_TRY(csv_parse_field(c, &line, count, count < c->columns ? &c->field[count] : &spare));
    char hint[64];
    if (count != c->columns)
        return swd_csv_fail(c, -1, "%lld field%s, but line %lld has %lld%s", (long long)count, count == 1 ? "" : "s",
                            (long long)c->first_line, (long long)c->columns, swd_csv_hint(c, NULL, hint));
    return SW_OK;
}

/* Blank lines are ignored only at the end of the file. */
sw_status swd_csv_row(swd_csv *c, bool *got) {
    int64_t blank = 0;
    *got = false;
    for (;;) {
        char *line;
        SW_TRY(swd_lines_next(&c->lines, &line));
        if (!line)
            return SW_OK;
        if (*csv_skip_blanks(c, line)) {
            if (blank) {
                c->lines.line = blank;
                return swd_csv_fail(c, -1, "is blank, and rows follow it");
            }
            *got = true;
            return c->field ? csv_parse_row(c, line) : csv_parse_first_row(c, line);
        }
        blank = blank ? blank : c->lines.line;
    }
}
