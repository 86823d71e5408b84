/* A source from the rows of a CSV file. */
#include <swale/extend.h>

#include "datasets/readers/csv.h"
#include "datasets/readers/parse_number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The source: rows in memory, and the names of their columns. */
typedef struct csv_source {
    swd_memory_source stored; /* first, so that a pointer to the source is a pointer to the struct */
    char **names;             /* [features]: the pointers and the texts are in one block; NULL: no header */
} csv_source;

/* The rows that were read so far. */
typedef struct table {
    char **names; /* becomes csv_source.names */
    double *x;    /* [capacity, features] */
    double *y;    /* [capacity] real targets, or NULL */
    int32_t *ids; /* [capacity] class ids, or NULL */
    int64_t rows, capacity;
    swd_classes classes;  /* the labels of the file; their ids are in order of appearance */
    bool numbers;         /* the labels are integers, as the first one is */
    int64_t first_labels; /* the line of the first label */
} table;

/* ---- Options ---- */

static sw_status csv_check_lists(const sw_csv_options *o) {
    if (o->skip_count < 0 || o->skip_names_count < 0 || (o->skip_count > 0 && !o->skip) ||
        (o->skip_names_count > 0 && !o->skip_names))
        return sw_fail(SW_ERR_ARGUMENT, "csv: a list of columns to skip is NULL, or its count negative");
    return SW_OK;
}

static sw_status csv_check_options(sw_csv_options *o, const sw_csv_options *given) {
    if (given)
        SW_TRY(sw_options_copy("csv", "sw_csv_options", o, sizeof *o, given, sizeof *o));
    o->delimiter = (char)(o->delimiter ? o->delimiter : ',');
    const char d = o->delimiter;
    if ((d < ' ' && d != '\t') || d == 0x7f || strchr("\"+-.", d) || (d >= '0' && d <= '9') ||
        ((d | 0x20) >= 'a' && (d | 0x20) <= 'z'))
        return sw_fail(SW_ERR_ARGUMENT, "csv: the byte 0x%02x cannot be the delimiter", (unsigned char)d);
    if ((int)o->header < SW_CSV_HEADER_AUTO || o->header > SW_CSV_HEADER_NO)
        return sw_fail(SW_ERR_ARGUMENT, "csv: header %d is not a value of sw_csv_header", (int)o->header);
    if ((int)o->target < SW_CSV_NO_TARGET || o->target > SW_CSV_REAL)
        return sw_fail(SW_ERR_ARGUMENT, "csv: target %d is not a value of sw_csv_target", (int)o->target);
    if (o->classes < 0 || o->classes > SWD_MOST_CLASSES)
        return sw_fail(SW_ERR_ARGUMENT, "csv: %d classes are outside 1 to %d", o->classes, SWD_MOST_CLASSES);
    if ((o->classes > 0 || o->class_names) && o->target != SW_CSV_CLASS_IDS)
        return sw_fail(SW_ERR_ARGUMENT, "csv: classes are given, but the target is not SW_CSV_CLASS_IDS");
    if (o->class_names && o->classes == 0)
        return sw_fail(SW_ERR_ARGUMENT, "csv: class_names need `classes`, their number");
    return csv_check_lists(o);
}

/* ---- Rows ---- */

static sw_status csv_resize(const swd_csv *c, void *list, const table *t, int64_t capacity, int64_t width,
                            size_t size) {
    if (width > INT64_MAX / capacity ||
        sw_resize_array_for(SW_ACCOUNT_DATA, list, t->rows * width, capacity * width, size) != SW_OK)
        return swd_stream_fail_memory(&c->lines.in);
    return SW_OK;
}

/* Doubles the capacity. The first capacity is that of 64 KiB, at most 64 rows. A row has a delimiter or a line end for
 * each column, and at least one character for each number. The size of a file that is not compressed therefore limits
 * the number of rows, and the memory is a small multiple of the file size, even for one row of very many columns. */
static sw_status csv_grow(const swd_csv *c, table *t) {
    enum { FIRST_BYTES = 64 * 1024, FIRST_ROWS = 64 };
    if (t->rows < t->capacity)
        return SW_OK;
    int64_t capacity = 2 * t->capacity;
    if (capacity == 0) {
        capacity = FIRST_BYTES / (c->features * (int64_t)sizeof *t->x);
        capacity = capacity < 1 ? 1 : capacity > FIRST_ROWS ? FIRST_ROWS : capacity;
    }
    const int64_t most = c->lines.in.file_size / (c->columns + c->features) + 1;
    if (!c->lines.in.compressed && capacity > most && most > t->rows)
        capacity = most;
    SW_TRY(csv_resize(c, &t->x, t, capacity, c->features, sizeof *t->x));
    if (c->o.target == SW_CSV_REAL) {
        SW_TRY(csv_resize(c, &t->y, t, capacity, 1, sizeof *t->y));
    } else if (c->o.target == SW_CSV_CLASS_IDS) {
        SW_TRY(csv_resize(c, &t->ids, t, capacity, 1, sizeof *t->ids));
    }
    t->capacity = capacity;
    return SW_OK;
}

static sw_status csv_read_number(const swd_csv *c, int64_t column, double *value) {
    const char *field = swd_csv_field(c, column);
    char quoted[64], hint[64];
    if (!*field)
        return swd_csv_fail(c, column, "is empty, not a number");
    switch (swd_parse_number(field, value)) {
    case SWD_NUMBER: return SW_OK;
    case SWD_NONFINITE:
        return c->o.allow_nonfinite
                   ? SW_OK
                   : swd_csv_fail(c, column, "%s is not finite (option allow_nonfinite)", swd_quote(field, quoted));
    case SWD_TOO_LARGE: return swd_csv_fail(c, column, "%s is too large", swd_quote(field, quoted));
    case SWD_NO_NUMBER: break;
    }
    return swd_csv_fail(c, column, "%s is not a number%s", swd_quote(field, quoted), swd_csv_hint(c, field, hint));
}

/* Writes a label that is an integer in its shortest form ("1" for "1.0"). */
typedef enum label_kind { LABEL_WHOLE, LABEL_OTHER_NUMBER, LABEL_TEXT } label_kind;
static label_kind csv_read_label(const char *field, double *value, char text[32]) {
    *value = 0;
    const swd_number_kind kind = swd_parse_number(field, value);
    if (kind == SWD_NO_NUMBER)
        return LABEL_TEXT;
    if (kind != SWD_NUMBER || *value != floor(*value) || fabs(*value) > 0x1p53)
        return LABEL_OTHER_NUMBER;
    snprintf(text, 32, "%lld", (long long)*value);
    return LABEL_WHOLE;
}

/* Finds a label among given classes: one of class_names, or, if none of the names is a number, an id. */
static sw_status csv_read_given_class(const swd_csv *c, int64_t column, int32_t *id) {
    const char *field = swd_csv_field(c, column);
    char quoted[64], text[32];
    double value;
    const label_kind kind = csv_read_label(field, &value, text);
    *id = swd_classes_find(&c->given, field);
    if (*id < 0 && kind == LABEL_WHOLE)
        *id = swd_classes_find(&c->given, text);
    if (*id < 0 && kind == LABEL_WHOLE && !c->given_numbers && value >= 0 && value < c->o.classes)
        *id = (int32_t)value;
    if (*id >= 0)
        return SW_OK;
    if (c->given.count > 0 && (kind == LABEL_TEXT || c->given_numbers))
        return swd_csv_fail(c, column, "class %s is not one of class_names", swd_quote(field, quoted));
    return swd_csv_fail(c, column, "class %s is not a whole number from 0 to %d%s", swd_quote(field, quoted),
                        c->o.classes - 1, kind == LABEL_WHOLE && c->given.count == 0 ? SWD_NUMBER_LABELS : "");
}

/* Adds a label of the file. All labels are integers, or all are texts, as the first one is. */
static sw_status csv_read_class(const swd_csv *c, int64_t column, table *t, int32_t *id) {
    const char *field = swd_csv_field(c, column);
    char quoted[64], text[32];
    double value;
    if (!*field)
        return swd_csv_fail(c, column, "is empty, not a class");
    if (c->o.classes > 0)
        return csv_read_given_class(c, column, id);
    const label_kind kind = csv_read_label(field, &value, text);
    if (t->rows == 0) {
        t->numbers = kind != LABEL_TEXT;
        t->first_labels = c->lines.line;
    }
    if (t->numbers && kind == LABEL_TEXT)
        return swd_csv_fail(c, column, "class %s is not a number, but that of line %lld is", swd_quote(field, quoted),
                            (long long)t->first_labels);
    if (t->numbers && kind == LABEL_OTHER_NUMBER)
        return swd_csv_fail(c, column, "class %s is not a whole number (SW_CSV_REAL is for real targets)",
                            swd_quote(field, quoted));
    *id = swd_classes_add(&t->classes, t->numbers ? text : field);
    if (*id == SWD_NO_MEMORY)
        return swd_stream_fail_memory(&c->lines.in);
    if (*id == SWD_TOO_MANY_CLASSES)
        return swd_csv_fail(c, column, "more than %d different classes (SW_CSV_REAL is for real targets)",
                            SWD_MOST_CLASSES);
    return SW_OK;
}

/* Converts the fields of one row. */
static sw_status csv_add_row(const swd_csv *c, table *t) {
    SW_TRY(csv_grow(c, t));
    double *x = t->x + t->rows * c->features;
    for (int64_t i = 0; i < c->columns; i++) {
        if (c->role[i] == SWD_FEATURE)
            SW_TRY(csv_read_number(c, i, x++));
        else if (c->role[i] == SWD_TARGET && t->ids)
            SW_TRY(csv_read_class(c, i, t, &t->ids[t->rows]));
        else if (c->role[i] == SWD_TARGET)
            SW_TRY(csv_read_number(c, i, &t->y[t->rows]));
    }
    t->rows++;
    return SW_OK;
}

static bool csv_is_header(const swd_csv *c) {
    double value;
    bool numbers = false;
    for (int64_t i = 0; i < c->columns; i++)
        numbers |= swd_parse_number(swd_csv_field(c, i), &value) != SWD_NO_NUMBER;
    return c->o.header == SW_CSV_HEADER_YES || (c->o.header == SW_CSV_HEADER_AUTO && !numbers);
}

/* Copies the fields of the header, which are valid only until the next row is read. */
static sw_status csv_copy_names(const swd_csv *c, table *t) {
    size_t bytes = (size_t)c->features * sizeof *t->names, at = bytes;
    for (int64_t i = 0; i < c->columns; i++)
        bytes += c->role[i] == SWD_FEATURE ? strlen(swd_csv_field(c, i)) + 1 : 0;
    t->names = sw_alloc_for(SW_ACCOUNT_DATA, bytes);
    if (!t->names)
        return swd_stream_fail_memory(&c->lines.in);
    for (int64_t i = 0, feature = 0; i < c->columns; i++) {
        if (c->role[i] != SWD_FEATURE)
            continue;
        t->names[feature] = strcpy((char *)t->names + at, swd_csv_field(c, i));
        at += strlen(t->names[feature++]) + 1;
    }
    return SW_OK;
}

static sw_status csv_read_rows(swd_csv *c, table *t) {
    bool got;
    SW_TRY(swd_csv_row(c, &got));
    if (!got)
        return swd_stream_fail(&c->lines.in, SW_ERR_FORMAT, "has no rows");
    const bool header = csv_is_header(c);
    SW_TRY(swd_csv_roles(c, header));
    SW_TRY(header ? csv_copy_names(c, t) : csv_add_row(c, t));
    for (;;) {
        SW_TRY(swd_csv_row(c, &got));
        if (!got)
            break;
        SW_TRY(csv_add_row(c, t));
    }
    return t->rows > 0 ? SW_OK : swd_stream_fail(&c->lines.in, SW_ERR_FORMAT, "has no rows after its header");
}

/* ---- The source ---- */

static void csv_free(sw_source *source) {
    sw_free(((csv_source *)source)->names);
    swd_memory_source_free(source);
}

/* Moves the rows into the source. */
static sw_status csv_finish(const swd_csv *c, table *t, csv_source *source) {
    swd_memory_source *s = &source->stored;
    s->source.free = csv_free;
    source->names = t->names;
    t->names = NULL;
    s->x = sw_array_view(t->x, SW_F64, SW_SHAPE(t->rows, c->features));
    t->x = NULL;
    if (c->o.target == SW_CSV_REAL) {
        s->y = sw_array_view(t->y, SW_F64, SW_SHAPE(t->rows, 1));
        t->y = NULL;
    } else if (c->o.target == SW_CSV_CLASS_IDS) {
        s->y = sw_array_view(t->ids, SW_I32, SW_SHAPE(t->rows));
        t->ids = NULL;
        s->source.classes = c->o.classes;
        s->source.class_names = c->o.class_names;
        if (c->o.classes == 0 && swd_classes_finish(&t->classes, t->numbers, s->y.data, t->rows, s) != SW_OK)
            return swd_stream_fail_memory(&c->lines.in);
    }
    swd_memory_source_finish(s);
    return SW_OK;
}

static sw_status csv_copy_class_names(swd_csv *c) {
    double value;
    for (int i = 0; c->o.class_names && i < c->o.classes; i++) {
        if (!c->o.class_names[i])
            return sw_fail(SW_ERR_ARGUMENT, "csv: class_names[%d] is NULL", i);
        const int id = swd_classes_add(&c->given, c->o.class_names[i]);
        if (id < 0)
            return SW_ERR_MEMORY;
        if (id != i)
            return sw_fail(SW_ERR_ARGUMENT, "csv: class_names %d and %d are both %.100s", id, i, c->o.class_names[i]);
        c->given_numbers |= swd_parse_number(c->o.class_names[i], &value) != SWD_NO_NUMBER;
    }
    return SW_OK;
}

static sw_status csv_load(swd_csv *c, const char *path, table *t, csv_source **s) {
    SW_TRY(swd_stream_open(&c->lines.in, path));
    SW_TRY(csv_copy_class_names(c));
    if (c->lines.in.magic_size == 0)
        return swd_stream_fail(&c->lines.in, SW_ERR_FORMAT, "is empty");
    SW_TRY(csv_read_rows(c, t));
    *s = (csv_source *)swd_memory_source_new(sizeof(csv_source));
    return *s ? csv_finish(c, t, *s) : swd_stream_fail_memory(&c->lines.in);
}

sw_source *sw_csv(const char *path, const sw_csv_options *options) {
    swd_csv c = {.lines = {.in = {.members = true}}};
    table t = {0};
    csv_source *s = NULL;
    if (csv_check_options(&c.o, options) != SW_OK)
        return NULL;
    if (!path) {
        sw_fail(SW_ERR_ARGUMENT, "csv: the path is NULL");
        return NULL;
    }
    sw_status status = csv_load(&c, path, &t, &s);
    swd_lines_close(&c.lines);
    sw_free(c.field);
    sw_free(c.role);
    sw_free(t.names);
    sw_free(t.x);
    sw_free(t.y);
    sw_free(t.ids);
    swd_classes_free(&t.classes);
    swd_classes_free(&c.given);
    if (status == SW_OK)
        return &s->stored.source;
    if (s)
        sw_source_free(&s->stored.source);
    return NULL;
}

const char *const *sw_csv_feature_names(const sw_source *source) {
    if (source && source->free == csv_free)
        return (const char *const *)((const csv_source *)source)->names;
    sw_fail(SW_ERR_ARGUMENT, "csv_feature_names: the source is %s", source ? "not of sw_csv" : "NULL");
    return NULL;
}
