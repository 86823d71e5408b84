/* Arrays of the user's own as a source. */
#include "internal.h"

static sw_status check_array(const char *name, const sw_array *a) {
    if (!a->data)
        return sw_fail(SW_ERR_ARGUMENT, "arrays: %s has no data", name);
    if (a->type != SW_F32 && a->type != SW_F64 && a->type != SW_I32 && a->type != SW_U8)
        return a->type == SW_I64
                   ? sw_fail(SW_ERR_TYPE, "arrays: %s is i64; f32, f64, i32 or u8 is needed", name)
                   : sw_fail(SW_ERR_TYPE, "arrays: %s has type %d, which is none", name, (int)a->type);
    if (a->rank < 1 || a->rank > SW_MAX_RANK)
        return sw_fail(SW_ERR_SHAPE,
                       "arrays: %s has %d axes; 1 to %d are needed, axis 0 for the samples", name,
                       a->rank, SW_MAX_RANK);
    for (int i = 0; i < a->rank; i++)
        if (a->shape[i] < 1)
            return sw_fail(SW_ERR_SHAPE, "arrays: %s %s holds nothing", name,
                           sw_shape_text(a->rank, a->shape));
    return SW_OK;
}

static sw_status check_classes(const sw_array *y, int classes) {
    if (y->type != SW_I32 && y->type != SW_U8)
        return sw_fail(SW_ERR_TYPE, "arrays: y is %s; class ids are i32 or u8",
                       sw_dtype_name(y->type));
    if (y->rank != 1)
        return sw_fail(SW_ERR_SHAPE, "arrays: y %s of class ids is not [n]",
                       sw_shape_text(y->rank, y->shape));
    for (int64_t i = 0; i < y->shape[0]; i++) {
        int32_t id =
            y->type == SW_U8 ? ((const unsigned char *)y->data)[i] : ((const int32_t *)y->data)[i];
        if (id < 0 || id >= classes)
            return sw_fail(SW_ERR_ARGUMENT, "arrays: class %d of sample %lld is outside 0 to %d",
                           (int)id, (long long)i, classes - 1);
    }
    return SW_OK;
}

static sw_status check_targets(const sw_array *x, const sw_array *y, int classes) {
    if (!y)
        return classes == 0
                   ? SW_OK
                   : sw_fail(SW_ERR_ARGUMENT, "arrays: %d classes, but y is NULL", classes);
    SW_TRY(check_array("y", y));
    if (y->shape[0] != x->shape[0])
        return sw_fail(SW_ERR_SHAPE, "arrays: x %s and y %s differ in axis 0, the samples",
                       sw_shape_text(x->rank, x->shape), sw_shape_text(y->rank, y->shape));
    if (classes > 0)
        return check_classes(y, classes);
    if (y->type != SW_F32 && y->type != SW_F64)
        return sw_fail(SW_ERR_TYPE,
                       "arrays: y is %s; real targets are f32 or f64, and class ids need "
                       "`classes`",
                       sw_dtype_name(y->type));
    return SW_OK;
}

static sw_status check(const sw_array *x, const sw_array *y, sw_arrays_options *o) {
    if (!x)
        return sw_fail(SW_ERR_ARGUMENT, "arrays: x is NULL");
    SW_TRY(check_array("x", x));
    if (o->classes < 0)
        return sw_fail(SW_ERR_ARGUMENT, "arrays: %d classes", o->classes);
    SW_TRY(check_targets(x, y, o->classes));
    if (x->type != SW_U8 && (o->scale != 0 || o->shift != 0))
        return sw_fail(SW_ERR_ARGUMENT,
                       "arrays: scale and shift are for u8, and x is %s: wrap the source "
                       "in sw_normalise",
                       sw_dtype_name(x->type));
    return swd_check_scale("arrays", &o->scale, &o->shift, 1);
}

static sw_status copy_array(sw_array *out, const sw_array *in) {
    *out = sw_array_new(in->type, in->rank, in->shape);
    if (!out->data)
        return sw_last_failure();
    memcpy(out->data, in->data, (size_t)sw_array_count(in) * sw_dtype_size(in->type));
    return SW_OK;
}

sw_source *sw_arrays(const sw_array *x, const sw_array *y, const sw_arrays_options *options) {
    sw_arrays_options o = {0};
    if (options &&
        sw_take_options("arrays", "sw_arrays_options", &o, sizeof o, options, sizeof o) != SW_OK)
        return NULL;
    if (check(x, y, &o) != SW_OK)
        return NULL;
    swd_stored *s = swd_stored_new(sizeof(swd_stored));
    if (!s)
        return NULL;
    if (!o.copy) {
        s->x = *x;
        s->y = y ? *y : (sw_array){0};
        s->borrowed = true;
    } else if (copy_array(&s->x, x) != SW_OK || (y && copy_array(&s->y, y) != SW_OK)) {
        sw_source_free(&s->source);
        return NULL;
    }
    s->source.classes = o.classes;
    s->source.class_names = o.class_names;
    s->scale = o.scale;
    s->shift = o.shift;
    swd_stored_finish(s);
    return &s->source;
}
