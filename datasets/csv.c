/* Rows of numbers as a source. */
#include "csv.h"

#include <math.h>

/* Numbers read so far. */
typedef struct table {
    double *x; /* [room, features] */
    double *y; /* [room], or NULL */
    int64_t rows, room;
    double largest; /* class id */
} table;

/* ---- Options ---- */

static sw_status check_lists(const sw_csv_options *o) {
    if (o->skip_count < 0 || o->skip_names_count < 0 || (o->skip_count > 0 && !o->skip) ||
        (o->skip_names_count > 0 && !o->skip_names))
        return sw_fail(SW_ERR_ARGUMENT,
                       "csv: a list of columns to skip is NULL, or its count negative");
    return SW_OK;
}

static sw_status check_options(sw_csv_options *o, const sw_csv_options *given) {
    if (given)
        SW_TRY(sw_take_options("csv", "sw_csv_options", o, sizeof *o, given, sizeof *o));
    o->delimiter = (char)(o->delimiter ? o->delimiter : ',');
    const char d = o->delimiter;
    if ((d < ' ' && d != '\t') || d == 0x7f || strchr("\"+-.", d) || (d >= '0' && d <= '9') ||
        ((d | 0x20) >= 'a' && (d | 0x20) <= 'z'))
        return sw_fail(SW_ERR_ARGUMENT, "csv: the byte 0x%02x cannot be the delimiter",
                       (unsigned char)d);
    if ((int)o->header < SW_CSV_HEADER_AUTO || o->header > SW_CSV_HEADER_NO)
        return sw_fail(SW_ERR_ARGUMENT, "csv: header %d is no sw_csv_header", (int)o->header);
    if ((int)o->target < SW_CSV_NO_TARGET || o->target > SW_CSV_REAL)
        return sw_fail(SW_ERR_ARGUMENT, "csv: target %d is no sw_csv_target", (int)o->target);
    if (o->classes < 0 || o->classes > SWD_CSV_CLASSES)
        return sw_fail(SW_ERR_ARGUMENT, "csv: %d classes are outside 1 to %d", o->classes,
                       SWD_CSV_CLASSES);
    if ((o->classes > 0 || o->class_names) && o->target != SW_CSV_CLASS_IDS)
        return sw_fail(SW_ERR_ARGUMENT,
                       "csv: classes are given, but the target is not SW_CSV_CLASS_IDS");
    if (o->class_names && o->classes == 0)
        return sw_fail(SW_ERR_ARGUMENT, "csv: class_names need `classes`, their number");
    return check_lists(o);
}

/* ---- Rows ---- */

static sw_status grow(const swd_csv *c, double **list, const table *t, int64_t room,
                      int64_t width) {
    double *longer =
        width <= INT64_MAX / room ? sw_alloc_array(room * width, sizeof *longer) : NULL;
    if (!longer)
        return swd_stream_fail_memory(&c->in);
    if (t->rows > 0)
        memcpy(longer, *list, (size_t)(t->rows * width) * sizeof *longer);
    sw_free(*list);
    *list = longer;
    return SW_OK;
}

static sw_status make_room(const swd_csv *c, table *t) {
    if (t->rows < t->room)
        return SW_OK;
    const int64_t room = t->room ? 2 * t->room : 64;
    SW_TRY(grow(c, &t->x, t, room, c->features));
    if (c->o.target != SW_CSV_NO_TARGET)
        SW_TRY(grow(c, &t->y, t, room, 1));
    t->room = room;
    return SW_OK;
}

static sw_status read_number(const swd_csv *c, int64_t column, double *value) {
    const char *field = c->field[column];
    char quoted[64];
    if (!*field)
        return swd_csv_fail(c, column, "is empty, not a number");
    switch (swd_parse_number(field, value)) {
    case SWD_NUMBER: return SW_OK;
    case SWD_NONFINITE:
        return c->o.allow_nonfinite
                   ? SW_OK
                   : swd_csv_fail(c, column, "%s is not finite (option allow_nonfinite)",
                                  swd_csv_quote(field, quoted));
    case SWD_TOO_LARGE:
        return swd_csv_fail(c, column, "%s is too large", swd_csv_quote(field, quoted));
    case SWD_NO_NUMBER: break;
    }
    return swd_csv_fail(c, column, "%s is not a number", swd_csv_quote(field, quoted));
}

static sw_status check_class(const swd_csv *c, int64_t column, double id) {
    const int classes = c->o.classes ? c->o.classes : SWD_CSV_CLASSES;
    char quoted[64];
    if (!(id >= 0 && id < classes) || id != floor(id))
        return swd_csv_fail(c, column, "class %s is not a whole number from 0 to %d",
                            swd_csv_quote(c->field[column], quoted), classes - 1);
    return SW_OK;
}

/* The fields of one row. */
static sw_status add_row(const swd_csv *c, table *t) {
    SW_TRY(make_room(c, t));
    double *x = t->x + t->rows * c->features, *y = t->y ? t->y + t->rows : NULL;
    for (int64_t i = 0; i < c->columns; i++) {
        if (c->role[i] == SWD_SKIPPED)
            continue;
        SW_TRY(read_number(c, i, c->role[i] == SWD_FEATURE ? x++ : y));
        if (c->role[i] == SWD_TARGET && c->o.target == SW_CSV_CLASS_IDS) {
            /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): there with a target */
            SW_TRY(check_class(c, i, *y));
            t->largest = *y > t->largest ? *y : t->largest;
        }
    }
    t->rows++;
    return SW_OK;
}

static bool is_header(const swd_csv *c) {
    double value;
    bool numbers = false;
    for (int64_t i = 0; i < c->columns; i++)
        numbers |= swd_parse_number(c->field[i], &value) != SWD_NO_NUMBER;
    return c->o.header == SW_CSV_HEADER_YES || (c->o.header == SW_CSV_HEADER_AUTO && !numbers);
}

static sw_status read_rows(swd_csv *c, table *t) {
    bool got;
    SW_TRY(swd_csv_row(c, &got));
    if (!got)
        return swd_stream_fail(&c->in, SW_ERR_FORMAT, "holds no row");
    const bool header = is_header(c);
    SW_TRY(swd_csv_roles(c, header));
    if (!header)
        SW_TRY(add_row(c, t));
    for (;;) {
        SW_TRY(swd_csv_row(c, &got));
        if (!got)
            break;
        SW_TRY(add_row(c, t));
    }
    return t->rows > 0 ? SW_OK
                       : swd_stream_fail(&c->in, SW_ERR_FORMAT, "holds no row after its header");
}

/* ---- The source ---- */

/* Takes over what was read. */
static sw_status finish(const swd_csv *c, table *t, swd_stored *s) {
    s->x = sw_array_of(t->x, SW_F64, SW_SHAPE(t->rows, c->features));
    t->x = NULL;
    if (c->o.target == SW_CSV_REAL) {
        s->y = sw_array_of(t->y, SW_F64, SW_SHAPE(t->rows, 1));
        t->y = NULL;
    } else if (c->o.target == SW_CSV_CLASS_IDS) {
        s->y = sw_array_new(SW_I32, SW_SHAPE(t->rows));
        if (!s->y.data)
            return swd_stream_fail_memory(&c->in);
        for (int64_t i = 0; i < t->rows; i++)
            /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): there with a target */
            ((int32_t *)s->y.data)[i] = (int32_t)t->y[i];
        s->source.classes = c->o.classes ? c->o.classes : (int)t->largest + 1;
        s->source.class_names = c->o.class_names;
    }
    swd_stored_finish(s);
    return SW_OK;
}

static sw_status load(swd_csv *c, const char *path, table *t, swd_stored **s) {
    SW_TRY(swd_stream_open(&c->in, path));
    if (c->in.magic_size == 0)
        return swd_stream_fail(&c->in, SW_ERR_FORMAT, "is empty");
    SW_TRY(read_rows(c, t));
    *s = swd_stored_new(sizeof(swd_stored));
    return *s ? finish(c, t, *s) : swd_stream_fail_memory(&c->in);
}

sw_source *sw_csv(const char *path, const sw_csv_options *options) {
    swd_csv c = {.in = {.members = true}};
    table t = {0};
    swd_stored *s = NULL;
    if (check_options(&c.o, options) != SW_OK)
        return NULL;
    if (!path) {
        sw_fail(SW_ERR_ARGUMENT, "csv: the path is NULL");
        return NULL;
    }
    sw_status status = load(&c, path, &t, &s);
    swd_stream_close(&c.in);
    sw_free(c.buffer);
    sw_free(c.field);
    sw_free(c.role);
    sw_free(t.x);
    sw_free(t.y);
    if (status == SW_OK)
        return &s->source;
    if (s)
        sw_source_free(&s->source);
    return NULL;
}
