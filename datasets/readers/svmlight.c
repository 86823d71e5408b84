/* Loads LIBSVM and SVMlight files as sparse rows and targets. */
#include <swale/extend.h>

#include "datasets/readers/svmlight.h"
#include "datasets/sparse_source.h"

#include <math.h>
#include <stdlib.h>

/* The program receives a pointer to `data`. The source is the first member, so that freeing the source frees
 * everything. */
typedef struct svmlight_data {
    swd_sparse_source dense;
    sw_svmlight data;
    int64_t *start;
    int32_t *index;
    void *value;
    double *y; /* [n]: the targets; those of `dense` may be class ids instead */
    double *class_values;
} svmlight_data;

static svmlight_data *svmlight_whole(const sw_svmlight *data) {
    return (svmlight_data *)((uintptr_t)data - offsetof(svmlight_data, data));
}

static void svmlight_free(sw_source *source) {
    svmlight_data *d = (svmlight_data *)source;
    sw_free(d->start);
    sw_free(d->index);
    sw_free(d->value);
    sw_free(d->y);
    sw_free(d->class_values);
    swd_memory_source_free(source);
}

void sw_svmlight_free(sw_svmlight *data) {
    if (data)
        sw_source_free(&svmlight_whole(data)->dense.stored.source);
}

/* ---- Options ---- */

static sw_status svmlight_take_like(sw_svmlight_options *o) {
    if (o->base != SW_SVMLIGHT_BASE_AUTO || o->columns != 0)
        return sw_fail(SW_ERR_ARGUMENT, "svmlight: like gives base and columns; these options must be 0 then");
    if (o->target == SW_SVMLIGHT_CLASS_IDS && o->like->classes == 0)
        return sw_fail(SW_ERR_ARGUMENT, "svmlight: target is SW_SVMLIGHT_CLASS_IDS, but `like` has no classes");
    o->base = o->like->base == 0 ? SW_SVMLIGHT_ZERO_BASED : SW_SVMLIGHT_ONE_BASED;
    o->columns = o->like->x.columns;
    if (o->like->classes == 0)
        o->target = SW_SVMLIGHT_REAL;
    return SW_OK;
}

static sw_status svmlight_check_options(sw_svmlight_options *o, const sw_svmlight_options *given) {
    if (given)
        SW_TRY(sw_options_copy("svmlight", "sw_svmlight_options", o, sizeof *o, given, sizeof *o));
    if (!sw_dtype_is_computed(o->type))
        return sw_fail(SW_ERR_TYPE, "svmlight: options.type is %s; f32 or f64 is needed", sw_dtype_name(o->type));
    if ((int)o->base < SW_SVMLIGHT_BASE_AUTO || o->base > SW_SVMLIGHT_ONE_BASED)
        return sw_fail(SW_ERR_ARGUMENT, "svmlight: base %d is not a value of sw_svmlight_base", (int)o->base);
    if ((int)o->target < SW_SVMLIGHT_TARGET_AUTO || o->target > SW_SVMLIGHT_REAL)
        return sw_fail(SW_ERR_ARGUMENT, "svmlight: target %d is not a value of sw_svmlight_target", (int)o->target);
    if (o->columns < 0 || o->columns > (int64_t)INT32_MAX + 1)
        return sw_fail(SW_ERR_ARGUMENT, "svmlight: %lld columns are outside 1 to 2147483648", (long long)o->columns);
    return o->like ? svmlight_take_like(o) : SW_OK;
}

static sw_status svmlight_take_classes(swd_svmlight *s) {
    s->classed = s->o.target != SW_SVMLIGHT_REAL;
    s->given = s->classed && s->o.like;
    for (int i = 0; s->given && i < s->o.like->classes; i++)
        if (swd_classes_add(&s->classes, s->o.like->class_names[i]) < 0)
            return swd_stream_fail_memory(&s->lines.in);
    return SW_OK;
}

/* ---- The result ---- */

/* Converts the indices of the file to columns, and determines the number of columns. */
static sw_status svmlight_columns(swd_svmlight *s, sw_csr *x, int *base) {
    const bool from_zero = s->o.base == SW_SVMLIGHT_ZERO_BASED || s->zero;
    if (from_zero && s->edge_line > 0) {
        s->lines.line = s->edge_line;
        return swd_lines_fail(&s->lines,
                              "index %lld, but there are %lld columns, 0 to %lld, since another index is 0 "
                              "(options columns and base)",
                              (long long)s->o.columns, (long long)s->o.columns, (long long)s->o.columns - 1);
    }
    *base = from_zero ? 0 : 1;
    x->columns = s->o.columns ? s->o.columns : s->largest + 1 - *base;
    if (x->columns < 1)
        return swd_stream_fail(&s->lines.in, SW_ERR_FORMAT,
                               "no row has an index, so that the number of columns is not known (option columns)");
    for (int64_t k = 0; *base == 1 && k < s->count; k++)
        s->index[k]--;
    return SW_OK;
}

/* Shrinks lists that have much more room than needed. For a compressed file, the needed size is not known in
 * advance. */
static sw_status svmlight_trim(swd_svmlight *s) {
    if (s->capacity - s->count > s->count / 8) {
        SW_TRY(swd_svmlight_resize(s, &s->index, s->count, s->count, sizeof *s->index));
        SW_TRY(swd_svmlight_resize(s, &s->value, s->count, s->count, sw_dtype_size(s->o.type)));
        s->capacity = s->count;
    }
    if (s->row_capacity - s->rows > s->rows / 8) {
        SW_TRY(swd_svmlight_resize(s, &s->start, s->rows + 1, s->rows + 1, sizeof *s->start));
        SW_TRY(swd_svmlight_resize(s, &s->y, s->rows, s->rows, sizeof *s->y));
        s->row_capacity = s->rows;
    }
    return SW_OK;
}

/* Converts labels to class ids, and moves their names and values into the result. */
static sw_status svmlight_classes(swd_svmlight *s, svmlight_data *d) {
    swd_memory_source *stored = &d->dense.stored;
    if (!s->classed) {
        stored->y = sw_array_view(d->y, SW_F64, SW_SHAPE(s->rows, 1));
        stored->borrowed_y = true;
        return SW_OK;
    }
    d->class_values = sw_alloc_array_for(SW_ACCOUNT_DATA, s->classes.count, sizeof *d->class_values);
    if (!d->class_values || swd_classes_finish(&s->classes, true, s->ids, s->rows, stored) != SW_OK)
        return swd_stream_fail_memory(&s->lines.in);
    stored->y = sw_array_view(s->ids, SW_I32, SW_SHAPE(s->rows));
    s->ids = NULL;
    for (int c = 0; c < stored->source.classes; c++)
        d->class_values[c] = (double)strtoll(stored->names[c], NULL, 10);
    return SW_OK;
}

/* Moves the arrays into the result. */
static sw_status svmlight_finish(swd_svmlight *s, svmlight_data *d) {
    sw_svmlight *data = &d->data;
    SW_TRY(svmlight_trim(s));
    SW_TRY(svmlight_columns(s, &data->x, &data->base));
    d->start = s->start;
    d->index = s->index;
    d->value = s->value;
    d->y = s->y;
    s->start = NULL;
    s->index = NULL;
    s->value = NULL;
    s->y = NULL;
    data->x = (sw_csr){.rows = s->rows,
                       .columns = data->x.columns,
                       .start = d->start,
                       .index = d->index,
                       .value = d->value,
                       .type = s->o.type};
    SW_TRY(svmlight_classes(s, d));
    d->dense.x = data->x;
    swd_sparse_source_finish(&d->dense);
    data->y = d->y;
    data->source = &d->dense.stored.source;
    data->classes = data->source->classes;
    data->class_names = data->source->class_names;
    data->class_values = d->class_values;
    data->ids = data->classes > 0 ? d->dense.stored.y.data : NULL;
    return SW_OK;
}

static sw_status svmlight_load(swd_svmlight *s, const char *path, svmlight_data **d) {
    SW_TRY(swd_stream_open(&s->lines.in, path));
    SW_TRY(svmlight_take_classes(s));
    if (s->lines.in.magic_size == 0)
        return swd_stream_fail(&s->lines.in, SW_ERR_FORMAT, "is empty");
    SW_TRY(swd_svmlight_rows(s));
    *d = (svmlight_data *)swd_memory_source_new(sizeof **d);
    if (!*d)
        return swd_stream_fail_memory(&s->lines.in);
    (*d)->dense.stored.source.free = svmlight_free;
    return svmlight_finish(s, *d);
}

sw_svmlight *sw_svmlight_load(const char *path, const sw_svmlight_options *options) {
    swd_svmlight s = {.lines = {.in = {.members = true}}};
    svmlight_data *d = NULL;
    if (svmlight_check_options(&s.o, options) != SW_OK)
        return NULL;
    if (!path) {
        sw_fail(SW_ERR_ARGUMENT, "svmlight: the path is NULL");
        return NULL;
    }
    const sw_status status = svmlight_load(&s, path, &d);
    swd_lines_close(&s.lines);
    sw_free(s.start);
    sw_free(s.index);
    sw_free(s.value);
    sw_free(s.y);
    sw_free(s.ids);
    swd_classes_free(&s.classes);
    if (status == SW_OK)
        return &d->data;
    if (d)
        sw_source_free(&d->dense.stored.source);
    return NULL;
}

/* ---- Scaling ---- */

static double svmlight_value(const sw_csr *x, int64_t k) {
    return sw_load_element(x->type, x->value, k);
}

sw_status sw_svmlight_max_abs(const sw_svmlight *data, double *max) {
    if (!data || !max)
        return sw_fail(SW_ERR_ARGUMENT, "svmlight_max_abs: %s NULL", data ? "max is" : "the data are");
    const sw_csr *x = &data->x;
    for (int64_t j = 0; j < x->columns; j++)
        max[j] = 0;
    for (int64_t k = 0; k < x->start[x->rows]; k++) {
        const double size = fabs(svmlight_value(x, k));
        max[x->index[k]] = size > max[x->index[k]] ? size : max[x->index[k]];
    }
    return SW_OK;
}

static sw_status svmlight_check_scale(const sw_csr *x, const double *by) {
    for (int64_t j = 0; j < x->columns; j++)
        if (!(by[j] >= 0 && isfinite(by[j])))
            return sw_fail(SW_ERR_ARGUMENT,
                           "svmlight_scale: column %lld is to be divided by %g; a finite number ≥ 0 is "
                           "needed",
                           (long long)j, by[j]);
    for (int64_t k = 0; k < x->start[x->rows]; k++) {
        const double d = by[x->index[k]], from = svmlight_value(x, k), to = d > 0 ? from / d : from;
        if (isfinite(from) && !(x->type == SW_F32 ? isfinite((float)to) : isfinite(to)))
            return sw_fail(SW_ERR_ARGUMENT, "svmlight_scale: %g in column %lld divided by %g is too large for %s", from,
                           (long long)x->index[k], d, sw_dtype_name(x->type));
    }
    return SW_OK;
}

sw_status sw_svmlight_scale(sw_svmlight *data, const double *by) {
    if (!data || !by)
        return sw_fail(SW_ERR_ARGUMENT, "svmlight_scale: %s NULL", data ? "by is" : "the data are");
    SW_TRY(svmlight_check_scale(&data->x, by));
    const svmlight_data *d = svmlight_whole(data);
    float *f32 = d->value;
    double *f64 = d->value;
    for (int64_t k = 0; k < data->x.start[data->x.rows]; k++) {
        const double divisor = by[data->x.index[k]];
        if (divisor > 0 && data->x.type == SW_F32)
            f32[k] = (float)((double)f32[k] / divisor);
        else if (divisor > 0)
            f64[k] /= divisor;
    }
    return SW_OK;
}
