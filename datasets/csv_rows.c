/* Lines of a CSV file, and their fields (RFC 4180). */
#include "csv.h"

#include <stdarg.h>

sw_status swd_csv_fail(const swd_csv *c, int64_t column, const char *format, ...) {
    char reason[256];
    va_list list;
    va_start(list, format);
    sw_vformat(reason, sizeof reason, format, list);
    va_end(list);
    if (column < 0)
        return swd_stream_fail(&c->in, SW_ERR_FORMAT, "line %lld: %s", (long long)c->line, reason);
    return swd_stream_fail(&c->in, SW_ERR_FORMAT, "line %lld, column %lld: %s", (long long)c->line,
                           (long long)column + 1, reason);
}

const char *swd_csv_quote(const char *field, char out[64]) {
    enum { MOST = 40 };
    size_t length = strlen(field), n = length < MOST ? length : MOST, at = 0;
    while (n < length && n > 0 && ((unsigned char)field[n] & 0xc0) == 0x80)
        n--; /* not within a character of UTF-8 */
    out[at++] = '\'';
    for (size_t i = 0; i < n; i++)
        out[at++] = (char)((unsigned char)field[i] < 0x20 || field[i] == 0x7f ? '?' : field[i]);
    memcpy(out + at, n < length ? "...'" : "'", n < length ? 5 : 2);
    return out;
}

/* ---- Lines ---- */

/* Room for more text at the end: what was handed out goes, or the buffer grows. */
static sw_status make_room(swd_csv *c) {
    if (c->begin > 0) {
        memmove(c->buffer, c->buffer + c->begin, c->end - c->begin);
        c->end -= c->begin;
        c->begin = 0;
    }
    if (c->end < c->room)
        return SW_OK;
    const size_t room = c->room ? 2 * c->room : 64 * 1024;
    if (c->end >= SWD_CSV_LINE) {
        c->line++;
        return swd_csv_fail(c, -1, "has %d bytes or more", SWD_CSV_LINE);
    }
    char *larger = sw_alloc(room + 1);
    if (!larger)
        return swd_stream_fail_memory(&c->in);
    if (c->end > 0)
        memcpy(larger, c->buffer, c->end);
    sw_free(c->buffer);
    c->buffer = larger;
    c->room = room;
    return SW_OK;
}

/* More text at the end of the buffer, which ends with a zero. */
static sw_status csv_read_more(swd_csv *c) {
    size_t made = 0;
    SW_TRY(make_room(c));
    SW_TRY(swd_stream_read(&c->in, c->buffer + c->end, c->room - c->end, &made));
    c->ended = made < c->room - c->end;
    c->end += made;
    c->buffer[c->end] = 0;
    return SW_OK;
}

/* The next line without its end (LF, CR, or CR and LF), terminated by zero; NULL at the end of the file. */
static sw_status next_line(swd_csv *c, char **line) {
    *line = NULL;
    if (c->begin == c->end && !c->ended)
        SW_TRY(csv_read_more(c));
    if (c->after_cr && c->begin < c->end && c->buffer[c->begin] == '\n')
        c->begin++;
    c->after_cr = false;
    size_t length = 0; /* searched so far, without a line's end */
    for (;;) {
        /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): there since the first reading */
        length += strcspn(c->buffer + c->begin + length, "\r\n");
        if (c->begin + length < c->end || c->ended)
            break;
        SW_TRY(csv_read_more(c));
    }
    if (c->begin == c->end)
        return SW_OK;
    c->line++;
    char *end = c->buffer + c->begin + length;
    if (c->begin + length < c->end && !*end)
        return swd_csv_fail(c, -1, "holds a zero byte: this is not text in UTF-8");
    c->after_cr = *end == '\r';
    *line = c->buffer + c->begin;
    c->begin += length + (c->begin + length < c->end);
    *end = 0;
    return SW_OK;
}

/* ---- Fields ---- */

static bool is_blank(const swd_csv *c, char ch) {
    return (ch == ' ' || ch == '\t') && ch != c->o.delimiter;
}

static char *skip_blanks(const swd_csv *c, char *p) {
    while (is_blank(c, *p))
        p++;
    return p;
}

/* After the opening quote: takes doubled quotes apart in place; *end is what follows the closing
 * one. */
static sw_status unquote(swd_csv *c, char *text, int64_t column, char **end) {
    char *out = text, *in = text;
    bool closed = false;
    while (*in && !closed) {
        if (*in == '"' && in[1] != '"') {
            closed = true;
            in++;
        } else {
            in += *in == '"'; /* the second of two */
            *out++ = *in++;
        }
    }
    if (!closed)
        return swd_csv_fail(c, column, "a quote is not closed on this line");
    *end = skip_blanks(c, in);
    if (**end && **end != c->o.delimiter)
        return swd_csv_fail(c, column, "text after the closing quote");
    *out = 0;
    return SW_OK;
}

/* One field at *cursor, which then points behind the delimiter, or is NULL after the last field. */
static sw_status take_field(swd_csv *c, char **cursor, int64_t column, uint32_t *field) {
    char *text = skip_blanks(c, *cursor), *end = text;
    if (*text == '"') {
        SW_TRY(unquote(c, ++text, column, &end));
        *cursor = *end ? end + 1 : NULL;
    } else {
        end = text + strcspn(text, (char[]){c->o.delimiter, 0});
        *cursor = *end ? end + 1 : NULL;
        while (end > text && is_blank(c, end[-1]))
            end--;
        *end = 0;
    }
    *field = (uint32_t)(text - c->text);
    return SW_OK;
}

static sw_status split_first(swd_csv *c, char *line) {
    int64_t most = 1;
    for (const char *p = line; *p; p++)
        most += *p == c->o.delimiter;
    c->text = line;
    c->field = sw_alloc_array(most, sizeof *c->field);
    if (!c->field)
        return swd_stream_fail_memory(&c->in);
    while (line) {
        SW_TRY(take_field(c, &line, c->columns, &c->field[c->columns]));
        c->columns++;
    }
    c->first_line = c->line;
    return SW_OK;
}

static sw_status split(swd_csv *c, char *line) {
    int64_t count = 0;
    c->text = line;
    for (uint32_t spare; line; count++)
        SW_TRY(take_field(c, &line, count, count < c->columns ? &c->field[count] : &spare));
    if (count != c->columns)
        return swd_csv_fail(c, -1, "%lld field%s, but line %lld has %lld", (long long)count,
                            count == 1 ? "" : "s", (long long)c->first_line, (long long)c->columns);
    return SW_OK;
}

/* Blank lines are passed over at the end of the file alone. */
sw_status swd_csv_row(swd_csv *c, bool *got) {
    int64_t blank = 0;
    *got = false;
    for (;;) {
        char *line;
        SW_TRY(next_line(c, &line));
        if (!line)
            return SW_OK;
        if (c->line == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0)
            line += 3;
        if (*skip_blanks(c, line)) {
            if (blank) {
                c->line = blank;
                return swd_csv_fail(c, -1, "is blank, and rows follow it");
            }
            *got = true;
            return c->field ? split(c, line) : split_first(c, line);
        }
        blank = blank ? blank : c->line;
    }
}
