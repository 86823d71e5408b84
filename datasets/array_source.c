/* A source that reads the caller's arrays. */
#include <swale/extend.h>
#include <swale/tables.h>

#include "datasets/class_labels.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static sw_status arrays_check_one(const char *name, const sw_array *a) {
    if (!a->data)
        return sw_fail(SW_ERR_ARGUMENT, "arrays: %s has no data", name);
    if (!sw_dtype_is_float(a->type) && a->type != SW_I32 && a->type != SW_U8)
        return a->type == SW_I64
                   ? sw_fail(SW_ERR_TYPE, "arrays: %s is i64; a floating-point type, i32 or u8 is needed", name)
                   : sw_fail(SW_ERR_TYPE, "arrays: %s has type %d, which is not an element type", name, (int)a->type);
    if (a->rank < 1 || a->rank > SW_MAX_RANK)
        return sw_fail(SW_ERR_SHAPE, "arrays: %s has %d axes; 1 to %d are needed, axis 0 for the samples", name,
                       a->rank, SW_MAX_RANK);
    for (int i = 0; i < a->rank; i++)
        if (a->shape[i] < 1)
            return sw_fail(SW_ERR_SHAPE, "arrays: %s %s has no elements", name, sw_shape_text(a->rank, a->shape));
    return SW_OK;
}

static bool arrays_has_class_type(const sw_array *y) {
    return y->type == SW_I32 || y->type == SW_U8;
}

/* The index of the first number that is not finite; -1 if all are finite. A block is scanned without a branch: x - x is
 * 0 for finite x, else NaN. */
#define FIND_NONFINITE(name, real)                                             \
    static int64_t name(const real *x, int64_t count) {                        \
        enum { BLOCK = 1024 };                                                 \
        for (int64_t begin = 0; begin < count; begin += BLOCK) {               \
            const int64_t end = count - begin < BLOCK ? count : begin + BLOCK; \
            int wrong = 0;                                                     \
            for (int64_t i = begin; i < end; i++)                              \
                wrong |= x[i] - x[i] != 0;                                     \
            for (int64_t i = begin; wrong && i < end; i++)                     \
                if (!isfinite(x[i]))                                           \
                    return i;                                                  \
        }                                                                      \
        return -1;                                                             \
    }
FIND_NONFINITE(find_nonfinite_f32, float)
FIND_NONFINITE(find_nonfinite_f64, double)

/* The same for f16 and bf16, whose exponent is all ones in Inf and NaN. */
static int64_t find_nonfinite_16_bit(const uint16_t *x, int64_t count, uint16_t exponent) {
    enum { BLOCK = 1024 };
    for (int64_t begin = 0; begin < count; begin += BLOCK) {
        const int64_t end = count - begin < BLOCK ? count : begin + BLOCK;
        int wrong = 0;
        for (int64_t i = begin; i < end; i++)
            wrong |= (x[i] & exponent) == exponent;
        for (int64_t i = begin; wrong && i < end; i++)
            if ((x[i] & exponent) == exponent)
                return i;
    }
    return -1;
}

static sw_status arrays_check_finite(const char *name, const sw_array *a) {
    const int64_t count = sw_array_count(a), width = count / a->shape[0];
    const int64_t at = a->type == SW_F32    ? find_nonfinite_f32(a->data, count)
                       : a->type == SW_F64  ? find_nonfinite_f64(a->data, count)
                       : a->type == SW_F16  ? find_nonfinite_16_bit(a->data, count, 0x7C00)
                       : a->type == SW_BF16 ? find_nonfinite_16_bit(a->data, count, 0x7F80)
                                            : -1;
    if (at < 0)
        return SW_OK;
    const double value = sw_load_element(a->type, a->data, at);
    return sw_fail(SW_ERR_ARGUMENT, "arrays: %s of sample %lld, column %lld: %s is not finite (option allow_nonfinite)",
                   name, (long long)(at / width), (long long)(at % width),
                   isnan(value) ? "nan"
                   : value > 0  ? "inf"
                                : "-inf");
}

static sw_status arrays_check_classes(const sw_array *y, int classes, bool named) {
    if (y->type != SW_I32 && y->type != SW_U8)
        return sw_fail(SW_ERR_TYPE, "arrays: y is %s; class ids are i32 or u8", sw_dtype_name(y->type));
    if (y->rank != 1)
        return sw_fail(SW_ERR_SHAPE, "arrays: y %s of class ids is not [n]", sw_shape_text(y->rank, y->shape));
    for (int64_t i = 0; classes > 0 && i < y->shape[0]; i++) {
        int32_t id = y->type == SW_U8 ? ((const unsigned char *)y->data)[i] : ((const int32_t *)y->data)[i];
        if (id < 0 || id >= classes)
            return sw_fail(SW_ERR_ARGUMENT, "arrays: class %d of sample %lld is outside 0 to %d%s", (int)id,
                           (long long)i, classes - 1, named ? "" : SWD_NUMBER_LABELS);
    }
    return SW_OK;
}

static sw_status arrays_check_targets(const sw_array *x, const sw_array *y, int classes, bool named) {
    if (!y)
        return classes == 0 ? SW_OK : sw_fail(SW_ERR_ARGUMENT, "arrays: %d classes, but y is NULL", classes);
    SW_TRY(arrays_check_one("y", y));
    if (y->shape[0] != x->shape[0])
        return sw_fail(SW_ERR_SHAPE, "arrays: x %s and y %s differ in axis 0, the samples",
                       sw_shape_text(x->rank, x->shape), sw_shape_text(y->rank, y->shape));
    return arrays_has_class_type(y) || classes > 0 ? arrays_check_classes(y, classes, named) : SW_OK;
}

static sw_status arrays_check(const sw_array *x, const sw_array *y, sw_arrays_options *o) {
    if (!x)
        return sw_fail(SW_ERR_ARGUMENT, "arrays: x is NULL");
    SW_TRY(arrays_check_one("x", x));
    if (o->classes < 0)
        return sw_fail(SW_ERR_ARGUMENT, "arrays: %d classes", o->classes);
    SW_TRY(arrays_check_targets(x, y, o->classes, o->class_names != NULL));
    if (x->type != SW_U8 && (o->scale != 0 || o->shift != 0))
        return sw_fail(SW_ERR_ARGUMENT,
                       "arrays: scale and shift are for u8, and x is %s: wrap the source "
                       "in sw_normalize",
                       sw_dtype_name(x->type));
    SW_TRY(swd_check_pixel_scale("arrays", &o->scale, &o->shift, 1));
    if (o->class_names && o->classes == 0)
        return sw_fail(SW_ERR_ARGUMENT, "arrays: class_names need `classes`, their number");
    if (o->allow_nonfinite)
        return SW_OK;
    SW_TRY(arrays_check_finite("x", x));
    return y ? arrays_check_finite("y", y) : SW_OK;
}

static sw_status arrays_copy(sw_array *out, const sw_array *in) {
    *out = sw_array_new(in->type, in->rank, in->shape);
    if (!out->data)
        return sw_last_failure();
    memcpy(out->data, in->data, (size_t)sw_array_count(in) * sw_dtype_size(in->type));
    return SW_OK;
}

/* The arrays are read in place, or copied. Labels that will be renumbered are copied in any case. */
static sw_status arrays_set(swd_memory_source *s, const sw_array *x, const sw_array *y, const sw_arrays_options *o) {
    s->borrowed_x = !o->copy;
    if (o->copy)
        SW_TRY(arrays_copy(&s->x, x));
    else
        s->x = *x;
    if (!y)
        return SW_OK;
    if (arrays_has_class_type(y) && o->classes == 0)
        return swd_class_ids_of_labels("arrays: y", y, s, &s->y);
    if (o->copy)
        return arrays_copy(&s->y, y);
    s->borrowed_y = true;
    s->y = *y;
    return SW_OK;
}

sw_source *sw_arrays(const sw_array *x, const sw_array *y, const sw_arrays_options *options) {
    sw_arrays_options o = {0};
    if (options && sw_options_copy("arrays", "sw_arrays_options", &o, sizeof o, options,
                                   offsetof(sw_arrays_options, allow_nonfinite)) != SW_OK)
        return NULL;
    if (arrays_check(x, y, &o) != SW_OK)
        return NULL;
    swd_memory_source *s = swd_memory_source_new(sizeof(swd_memory_source));
    if (!s)
        return NULL;
    s->source.classes = o.classes;
    s->source.class_names = o.class_names;
    if (arrays_set(s, x, y, &o) != SW_OK) {
        sw_source_free(&s->source);
        return NULL;
    }
    s->scale = o.scale;
    s->shift = o.shift;
    swd_memory_source_finish(s);
    return &s->source;
}
