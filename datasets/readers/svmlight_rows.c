/* Reads the rows of LIBSVM and SVMlight files: target [qid:id] index:value ... # comment */
#include <swale/extend.h>

#include "datasets/readers/parse_number.h"
#include "datasets/readers/svmlight.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Memory ---- */

sw_status swd_svmlight_resize(const swd_svmlight *s, void *list, int64_t used, int64_t wanted, size_t size) {
    return sw_resize_array_for(SW_ACCOUNT_DATA, list, used, wanted, size) == SW_OK
               ? SW_OK
               : swd_stream_fail_memory(&s->lines.in);
}

/* The new capacity of a list with `used` elements, of which `before` come from earlier lines. The size of a file that
 * is not compressed, and the density so far, give an estimate of the final length. The lists are then copied once or
 * twice, and have little unused room at the end. */
static int64_t svmlight_capacity(const swd_svmlight *s, int64_t used, int64_t before) {
    enum { FIRST = 1024 };
    const int64_t capacity = used < FIRST ? FIRST : used + used / 2;
    if (s->lines.in.compressed || before < FIRST)
        return capacity;
    const double expected = 1.0625 * (double)before * ((double)s->lines.in.file_size / (double)s->lines.at);
    return expected > (double)capacity ? (int64_t)expected : capacity;
}

static sw_status svmlight_more_numbers(swd_svmlight *s) {
    const int64_t capacity = svmlight_capacity(s, s->count, s->start[s->rows]);
    SW_TRY(swd_svmlight_resize(s, &s->index, s->count, capacity, sizeof *s->index));
    SW_TRY(swd_svmlight_resize(s, &s->value, s->count, capacity, sw_dtype_size(s->o.type)));
    s->capacity = capacity;
    return SW_OK;
}

static sw_status svmlight_more_rows(swd_svmlight *s) {
    const int64_t capacity = svmlight_capacity(s, s->rows, s->rows);
    SW_TRY(swd_svmlight_resize(s, &s->start, s->rows + 1, capacity + 1, sizeof *s->start));
    SW_TRY(swd_svmlight_resize(s, &s->y, s->rows, capacity, sizeof *s->y));
    if (s->classed) {
        SW_TRY(swd_svmlight_resize(s, &s->ids, s->rows, capacity, sizeof *s->ids));
    }
    s->row_capacity = capacity;
    return SW_OK;
}

/* ---- Tokens ---- */

static bool svmlight_is_token_end(char c) {
    return c == ' ' || c == '\t' || c == 0 || c == '#';
}

/* Returns the next token, terminated by zero, and moves *cursor behind it; NULL at the end of the line or at a
 * comment. */
static char *svmlight_token(char **cursor) {
    char *begin = *cursor;
    while (*begin == ' ' || *begin == '\t')
        begin++;
    if (svmlight_is_token_end(*begin))
        return NULL;
    char *end = begin;
    while (!svmlight_is_token_end(*end))
        end++;
    *cursor = *end == ' ' || *end == '\t' ? end + 1 : end;
    *end = 0; /* may overwrite '#': the rest of the line is not read */
    return begin;
}

static bool svmlight_is_digits(const char *text) {
    text += strspn(text, "0123456789");
    return !*text;
}

/* Converts a number. `what` describes its position for the message. */
static sw_status svmlight_number(const swd_svmlight *s, const char *what, const char *text, const char *hint,
                                 double *value) {
    char quoted[64];
    switch (swd_parse_number(text, value)) {
    case SWD_NUMBER: return SW_OK;
    case SWD_NONFINITE:
        return s->o.allow_nonfinite ? SW_OK
                                    : swd_lines_fail(&s->lines, "%s: %s is not finite (option allow_nonfinite)", what,
                                                     swd_quote(text, quoted));
    case SWD_TOO_LARGE: return swd_lines_fail(&s->lines, "%s: %s is too large", what, swd_quote(text, quoted));
    case SWD_NO_NUMBER: break;
    }
    return swd_lines_fail(&s->lines, "%s: %s is not a number%s", what, swd_quote(text, quoted), hint);
}

/* ---- Targets ---- */

static sw_status svmlight_not_whole(swd_svmlight *s, const char *token) {
    char quoted[64];
    if (s->o.target == SW_SVMLIGHT_CLASS_IDS || s->given)
        return swd_lines_fail(&s->lines, "class %s is not a whole number (SW_SVMLIGHT_REAL is for real targets)",
                              swd_quote(token, quoted));
    s->classed = false;
    return SW_OK;
}

static sw_status svmlight_add_label(swd_svmlight *s, int64_t label, int32_t *id) {
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)label);
    *id = s->given ? swd_classes_find(&s->classes, text) : swd_classes_add(&s->classes, text);
    if (*id >= 0)
        return SW_OK;
    if (s->given)
        return swd_lines_fail(&s->lines,
                              "class %s is not one of the classes of `like`, which are %d (SW_SVMLIGHT_REAL "
                              "is for real targets)",
                              text, s->classes.count);
    if (*id == SWD_NO_MEMORY)
        return swd_stream_fail_memory(&s->lines.in);
    if (s->o.target == SW_SVMLIGHT_CLASS_IDS)
        return swd_lines_fail(&s->lines, "more than %d different classes (SW_SVMLIGHT_REAL is for real targets)",
                              SWD_MOST_CLASSES);
    s->classed = false;
    return SW_OK;
}

/* Records the class of target y in the current row, as long as all targets are classes. */
static sw_status svmlight_class(swd_svmlight *s, double y, const char *token) {
    if (!(y == floor(y) && fabs(y) <= 0x1p53))
        return svmlight_not_whole(s, token);
    const int64_t label = (int64_t)y;
    const int at = (int)(label & (SWD_LABEL_CACHE - 1));
    if (s->label_id[at] == 0 || s->label[at] != label) {
        int32_t id = 0;
        SW_TRY(svmlight_add_label(s, label, &id));
        if (!s->classed)
            return SW_OK;
        s->label[at] = label;
        s->label_id[at] = id + 1;
    }
    s->ids[s->rows] = s->label_id[at] - 1;
    return SW_OK;
}

static sw_status svmlight_target(swd_svmlight *s, const char *token) {
    const char *hint = strchr(token, ':')   ? " (is the target missing?)"
                       : strchr(token, ',') ? " (files with several labels in a row are not read)"
                                            : "";
    double y = 0;
    SW_TRY(svmlight_number(s, "target", token, hint, &y));
    s->y[s->rows] = y;
    return s->classed ? svmlight_class(s, y, token) : SW_OK;
}

static sw_status svmlight_query(const swd_svmlight *s, const char *id) {
    char quoted[64];
    if (*id && svmlight_is_digits(id + (*id == '-' && id[1])))
        return SW_OK;
    return swd_lines_fail(&s->lines, "the query id %s is not a whole number", swd_quote(id, quoted));
}

/* ---- Numbers ---- */

/* Reports why a token is not index:value, if this is detected before the value is read. */
static sw_status svmlight_fail_token(const swd_svmlight *s, const char *token) {
    char quoted[64];
    const char *colon = strchr(token, ':');
    swd_quote(token, quoted);
    if (!colon)
        return swd_lines_fail(&s->lines, "%s has no ':'; index:value is expected", quoted);
    if (strncmp(token, "qid:", 4) == 0)
        return swd_lines_fail(&s->lines, "%s: a query id stands directly behind the target", quoted);
    if (*token == '-' && token[1] >= '0' && token[1] <= '9')
        return swd_lines_fail(&s->lines, "%s: the index is negative", quoted);
    return swd_lines_fail(&s->lines, "%s: the index is not a whole number; index:value is expected", quoted);
}

/* Checks an index against the number of columns, if it is known. If the base is not known yet, an index that is equal
 * to the number of columns may be valid: this is decided at the end of the file (edge_line). */
static sw_status svmlight_check_column(swd_svmlight *s, int64_t index) {
    const bool from_zero = s->o.base == SW_SVMLIGHT_ZERO_BASED || s->zero;
    const int64_t columns = s->o.columns, first = from_zero ? 0 : 1;
    if (index == 0 && s->o.base == SW_SVMLIGHT_ONE_BASED)
        return swd_lines_fail(&s->lines, "index 0, but indices begin at 1 (option base)");
    if (columns > 0 && index - first >= columns)
        return swd_lines_fail(&s->lines, "index %lld, but there are %lld columns, %lld to %lld (option columns)",
                              (long long)index, (long long)columns, (long long)first, (long long)columns - 1 + first);
    if (columns > 0 && index == columns && s->edge_line == 0)
        s->edge_line = s->lines.line;
    s->zero |= index == 0;
    s->largest = index > s->largest ? index : s->largest;
    return SW_OK;
}

/* Reads the index at the beginning of the token *text, which then points to the value. */
static sw_status svmlight_index(swd_svmlight *s, const char **text, int64_t *index) {
    const char *const token = *text, *p = token;
    *index = 0;
    for (; *p >= '0' && *p <= '9'; p++)
        *index = *index <= INT32_MAX ? 10 * *index + (*p - '0') : *index;
    if (p == token || *p != ':')
        return svmlight_fail_token(s, token);
    char quoted[64];
    if (*index > INT32_MAX)
        return swd_lines_fail(&s->lines, "%s: the index is larger than %d", swd_quote(token, quoted), INT32_MAX);
    if (*index <= s->previous)
        return swd_lines_fail(&s->lines, "index %lld after index %lld; indices must increase", (long long)*index,
                              (long long)s->previous);
    *text = p + 1;
    return svmlight_check_column(s, *index);
}

/* Reports a value that is not a finite number. */
static sw_status svmlight_check_value(const swd_svmlight *s, int64_t index, const char *text) {
    char what[32];
    double value;
    snprintf(what, sizeof what, "index %lld", (long long)index);
    if (!*text)
        return swd_lines_fail(&s->lines, "%s has no value; index:value is expected", what);
    return svmlight_number(s, what, text, "", &value);
}

static sw_status svmlight_feature(swd_svmlight *s, const char *token) {
    const char *text = token;
    int64_t index = 0;
    double value = 0;
    SW_TRY(svmlight_index(s, &text, &index));
    if (swd_parse_number(text, &value) != SWD_NUMBER)
        SW_TRY(svmlight_check_value(s, index, text));
    if (s->count == s->capacity)
        SW_TRY(svmlight_more_numbers(s));
    if (s->o.type == SW_F32) {
        const float rounded = (float)value;
        if (isinf(rounded) && isfinite(value)) {
            char quoted[64];
            return swd_lines_fail(&s->lines, "index %lld: %s is too large for f32 (option type)", (long long)index,
                                  swd_quote(text, quoted));
        }
        ((float *)s->value)[s->count] = rounded;
    } else {
        ((double *)s->value)[s->count] = value;
    }
    s->index[s->count++] = (int32_t)index;
    s->previous = index;
    return SW_OK;
}

/* ---- Rows ---- */

/* Reads one line. A blank line and a comment are not rows. */
static sw_status svmlight_row(swd_svmlight *s, char *line) {
    char *token = svmlight_token(&line);
    if (!token)
        return SW_OK;
    if (s->rows == s->row_capacity)
        SW_TRY(svmlight_more_rows(s));
    SW_TRY(svmlight_target(s, token));
    token = svmlight_token(&line);
    if (token && strncmp(token, "qid:", 4) == 0) {
        SW_TRY(svmlight_query(s, token + 4));
        token = svmlight_token(&line);
    }
    s->previous = -1;
    for (; token; token = svmlight_token(&line))
        SW_TRY(svmlight_feature(s, token));
    s->start[++s->rows] = s->count;
    return SW_OK;
}

sw_status swd_svmlight_rows(swd_svmlight *s) {
    char *line;
    s->largest = -1;
    for (;;) {
        SW_TRY(swd_lines_next(&s->lines, &line));
        if (!line)
            break;
        SW_TRY(svmlight_row(s, line));
    }
    return s->rows > 0 ? SW_OK : swd_stream_fail(&s->lines.in, SW_ERR_FORMAT, "has no rows");
}
