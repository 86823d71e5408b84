/* Element types and arrays. */
#include <swale/memory.h>
#include <swale/text.h>

#include "core/base/element.h"

#include <math.h>

size_t sw_dtype_size(sw_dtype type) {
    switch (type) {
    case SW_F32: return 4;
    case SW_F64: return 8;
    case SW_F16:
    case SW_BF16: return 2;
    case SW_I32: return 4;
    case SW_U8: return 1;
    case SW_I64: return 8;
    }
    return 0;
}

const char *sw_dtype_name(sw_dtype type) {
    switch (type) {
    case SW_F32: return "f32";
    case SW_F64: return "f64";
    case SW_F16: return "f16";
    case SW_BF16: return "bf16";
    case SW_I32: return "i32";
    case SW_U8: return "u8";
    case SW_I64: return "i64";
    }
    return "?";
}

sw_status sw_shape_count(int rank, const int64_t *shape, int64_t *count) {
    if (rank < 0 || rank > SW_MAX_RANK || (rank > 0 && !shape))
        return sw_fail(SW_ERR_SHAPE, "an array has 0 to %d axes, not %d", SW_MAX_RANK, rank);
    int64_t n = 1;
    bool empty = false;
    for (int i = 0; i < rank; i++)
        if (shape[i] < 0)
            return sw_fail(SW_ERR_SHAPE, "axis %d of %s is negative", i, sw_shape_text(rank, shape));
    for (int i = 0; i < rank; i++) {
        empty |= shape[i] == 0;
        if (shape[i] > 0 && n > (INT64_MAX / 16) / shape[i])
            return sw_fail(SW_ERR_SHAPE, "%s has too many elements", sw_shape_text(rank, shape));
        n *= shape[i] > 0 ? shape[i] : 1; /* a product of some of the lengths must not overflow either */
    }
    *count = empty ? 0 : n;
    return SW_OK;
}

sw_array sw_array_view(const void *data, sw_dtype type, int rank, const int64_t *shape) {
    sw_array a = {.type = type};
    int64_t count;
    if (sw_shape_count(rank, shape, &count) != SW_OK)
        return a;
    a.data = (void *)(uintptr_t)data;
    a.rank = rank;
    for (int i = 0; i < rank; i++)
        a.shape[i] = shape[i];
    return a;
}

/* Rounds to odd: if the number is not an f32, the result is the neighboring f32 whose last bit is 1. Rounding the
 * result again, to fewer bits, gives the same as rounding the number itself. */
static float number_to_odd(double value) {
    const float nearest = (float)value;
    const uint32_t u = sw_f32_bits(nearest);
    if ((double)nearest == value || isnan(value) || u & 1u)
        return nearest;
    const bool too_large = fabs((double)nearest) > fabs(value); /* also ±∞ for a number beyond the largest f32 */
    return sw_f32_from_bits(too_large ? u - 1 : u + 1);
}

void sw_number_to_float(sw_dtype type, void *data, int64_t i, double value) {
    switch ((int)type) {
    case SW_F32: ((float *)data)[i] = (float)value; break;
    case SW_F64: ((double *)data)[i] = value; break;
    case SW_F16: ((uint16_t *)data)[i] = sw_f16_from_f32(number_to_odd(value)); break;
    case SW_BF16: ((uint16_t *)data)[i] = sw_bf16_from_f32(number_to_odd(value)); break;
    default: break;
    }
}

sw_status sw_number_to_element(const char *what, sw_dtype type, double value, void *element) {
    const double low = type == SW_U8 ? 0 : INT32_MIN, high = type == SW_U8 ? UINT8_MAX : INT32_MAX;
    if (sw_dtype_is_float(type)) {
        sw_number_to_float(type, element, 0, value);
        return SW_OK;
    }
    if (!(value >= low && value <= high) || value != (double)(int64_t)value)
        return sw_fail(SW_ERR_ARGUMENT, "%s: %g is not a whole number from %.0f to %.0f (%s)", what, value, low, high,
                       sw_dtype_name(type));
    if (type == SW_I32)
        *(int32_t *)element = (int32_t)value;
    else
        *(uint8_t *)element = (uint8_t)value;
    return SW_OK;
}

double sw_element_to_number(sw_dtype type, const void *data, int64_t i) {
    switch (type) {
    case SW_F32: return (double)((const float *)data)[i];
    case SW_F64: return ((const double *)data)[i];
    case SW_F16: return (double)sw_f16_to_f32(((const uint16_t *)data)[i]);
    case SW_BF16: return (double)sw_bf16_to_f32(((const uint16_t *)data)[i]);
    case SW_I32: return ((const int32_t *)data)[i];
    case SW_U8: return ((const uint8_t *)data)[i];
    case SW_I64: return (double)((const int64_t *)data)[i];
    }
    return (double)NAN;
}

/* Returns 0 and records the error of an invalid rank or shape. */
static int64_t array_fail_count(const sw_array *array) {
    int64_t count;
    sw_shape_count(array->rank, array->shape, &count);
    return 0;
}

int64_t sw_array_count(const sw_array *array) {
    int64_t n = 1;
    for (int i = 0; i < array->rank && array->rank <= SW_MAX_RANK; i++) {
        if (array->shape[i] < 0 || (array->shape[i] > 0 && n > INT64_MAX / array->shape[i]))
            return array_fail_count(array);
        n *= array->shape[i];
    }
    return array->rank < 0 || array->rank > SW_MAX_RANK ? array_fail_count(array) : n;
}

sw_array sw_array_new(sw_dtype type, int rank, const int64_t *shape) {
    sw_array a = sw_array_view("", type, rank, shape);
    if (a.data)
        a.data = sw_alloc_array_for(SW_ACCOUNT_DATA, sw_array_count(&a), swi_size(type));
    return a;
}

void sw_array_free(sw_array *array) {
    if (!array)
        return;
    sw_free(array->data);
    *array = (sw_array){0};
}

bool sw_seems_channels_first(int rank, const int64_t *shape) {
    enum { CHANNELS = 4, SIDE = 8 }; /* at most red, green, blue and alpha; at least 8 pixels */
    const int64_t *last = rank >= 3 ? shape + rank - 3 : NULL;
    return last && last[0] >= 1 && last[0] <= CHANNELS && last[1] >= SIDE && last[2] >= SIDE;
}
