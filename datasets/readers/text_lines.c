/* Reads a text file line by line. */
#include <swale/extend.h>

#include "datasets/readers/text_lines.h"

#include <stdarg.h>
#include <string.h>

sw_status swd_lines_fail(const swd_lines *l, const char *format, ...) {
    char reason[256];
    va_list list;
    va_start(list, format);
    sw_vformat(reason, sizeof reason, format, list);
    va_end(list);
    return swd_stream_fail(&l->in, SW_ERR_FORMAT, "line %lld: %s", (long long)l->line, reason);
}

const char *swd_quote(const char *text, char out[64]) {
    enum { MOST = 40 };
    size_t length = strlen(text), n = length < MOST ? length : MOST, at = 0;
    while (n < length && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--; /* do not cut inside a UTF-8 character */
    out[at++] = '\'';
    for (size_t i = 0; i < n; i++)
        out[at++] = (char)((unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i]);
    memcpy(out + at, n < length ? "...'" : "'", n < length ? 5 : 2);
    return out;
}

/* Makes room for more text at the end: removes the lines that were returned, or enlarges the buffer. */
static sw_status lines_grow(swd_lines *l) {
    if (l->begin > 0) {
        memmove(l->buffer, l->buffer + l->begin, l->end - l->begin);
        l->end -= l->begin;
        l->buffer_offset += (int64_t)l->begin;
        l->begin = 0;
    }
    if (l->end < l->capacity)
        return SW_OK;
    const size_t capacity = l->capacity ? 2 * l->capacity : 64 * 1024;
    if (l->end >= SWD_LONGEST_LINE) {
        l->line++;
        return swd_lines_fail(l, "has %d bytes or more", SWD_LONGEST_LINE);
    }
    if (sw_resize_array_for(SW_ACCOUNT_TEMPORARIES, &l->buffer, (int64_t)l->end, (int64_t)capacity + 1, 1) != SW_OK)
        return swd_stream_fail_memory(&l->in);
    l->capacity = capacity;
    return SW_OK;
}

/* Reads more text to the end of the buffer, which a zero terminates. */
static sw_status lines_read_more(swd_lines *l) {
    size_t made = 0;
    SW_TRY(lines_grow(l));
    SW_TRY(swd_stream_read(&l->in, l->buffer + l->end, l->capacity - l->end, &made));
    l->ended = made < l->capacity - l->end;
    l->end += made;
    l->buffer[l->end] = 0;
    return SW_OK;
}

sw_status swd_lines_next(swd_lines *l, char **line) {
    static const char utf8_mark[] = "\xef\xbb\xbf";
    *line = NULL;
    if (l->begin == l->end && !l->ended)
        SW_TRY(lines_read_more(l));
    if (l->after_cr && l->begin < l->end && l->buffer[l->begin] == '\n')
        l->begin++;
    l->after_cr = false;
    size_t length = 0; /* number of bytes that were searched and contain no line end */
    for (;;) {
        /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): the first read allocates the buffer */
        length += strcspn(l->buffer + l->begin + length, "\r\n");
        if (l->begin + length < l->end || l->ended)
            break;
        SW_TRY(lines_read_more(l));
    }
    if (l->begin == l->end)
        return SW_OK;
    l->line++;
    char *end = l->buffer + l->begin + length;
    if (l->begin + length < l->end && !*end)
        return swd_lines_fail(l, "has a zero byte: this is not text in UTF-8");
    l->after_cr = *end == '\r';
    l->at = l->buffer_offset + (int64_t)l->begin;
    *line = l->buffer + l->begin;
    l->begin += length + (l->begin + length < l->end);
    *end = 0;
    if (l->line == 1 && strncmp(*line, utf8_mark, 3) == 0)
        *line += 3;
    return SW_OK;
}

void swd_lines_close(swd_lines *l) {
    swd_stream_close(&l->in);
    sw_free(l->buffer);
    l->buffer = NULL;
}
