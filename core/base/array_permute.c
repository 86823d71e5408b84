/* Copies of arrays with their axes in another order. */
#include <swale/array.h>
#include <swale/text.h>

#include "core/base/array_permute.h"

#include <string.h>

/* Writes the axes to `order`, with negative axes converted to positive ones. */
static sw_status permute_read_axes(const sw_array *array, int count, const int *axes, int order[SW_MAX_RANK]) {
    bool seen[SW_MAX_RANK] = {false};
    const char *text = sw_shape_text(array->rank, array->shape);
    if (count != array->rank || (count > 0 && !axes))
        return sw_fail(SW_ERR_ARGUMENT, "array_permute: %d axes for %s, which has %d; all are needed, each once",
                       axes ? count : 0, text, array->rank);
    for (int i = 0; i < count; i++) {
        order[i] = axes[i] < 0 ? axes[i] + count : axes[i];
        if (order[i] < 0 || order[i] >= count)
            return sw_fail(SW_ERR_SHAPE, "array_permute: axis %d of %s; its axes are %d to %d", axes[i], text, -count,
                           count - 1);
        if (seen[order[i]])
            return sw_fail(SW_ERR_ARGUMENT, "array_permute: axis %d of %s is given twice; all are needed, each once",
                           order[i], text);
        seen[order[i]] = true;
    }
    return SW_OK;
}

/* shape: of the result; stride[i]: the distance in bytes, in the array, of neighbors along axis i of the result */
typedef struct permutation {
    int rank;
    size_t size; /* of an element */
    int64_t shape[SW_MAX_RANK], stride[SW_MAX_RANK];
} permutation;

static void permute_init(permutation *p, const sw_array *array, const int *order) {
    int64_t stride[SW_MAX_RANK] = {0}, bytes = (int64_t)p->size;
    for (int i = array->rank - 1; i >= 0; i--) {
        stride[i] = bytes;
        bytes *= array->shape[i];
    }
    p->rank = array->rank;
    for (int i = 0; i < p->rank; i++) {
        p->shape[i] = array->shape[order[i]];
        p->stride[i] = stride[order[i]];
    }
}

/* Copies one row along the last axis of the result. A constant number of bytes makes each copy one load and store. */
#define PERMUTE_ROW(bytes)               \
    for (int64_t i = 0; i < length; i++) \
    memcpy(to + i * (bytes), from + i * stride, (bytes))

static void permute_copy_row(const permutation *p, const char *from, char *to) {
    const int64_t length = p->shape[p->rank - 1], stride = p->stride[p->rank - 1];
    if (stride == (int64_t)p->size)
        memcpy(to, from, (size_t)length * p->size);
    else if (p->size == 1)
        PERMUTE_ROW(1);
    else if (p->size == 2)
        PERMUTE_ROW(2);
    else if (p->size == 4)
        PERMUTE_ROW(4);
    else
        PERMUTE_ROW(8);
}

/* Copies the rows in the order of the result. */
static void permute_copy_rows(const permutation *p, const char *from, char *to, int64_t rows) {
    const int last = p->rank - 1;
    const int64_t row_bytes = p->shape[last] * (int64_t)p->size;
    int64_t place[SW_MAX_RANK] = {0}, offset = 0;
    for (int64_t row = 0; row < rows; row++) {
        permute_copy_row(p, from + offset, to + row * row_bytes);
        for (int axis = last - 1; axis >= 0; axis--) { /* to the place of the next row */
            offset += p->stride[axis];
            if (++place[axis] < p->shape[axis])
                break;
            offset -= p->stride[axis] * p->shape[axis];
            place[axis] = 0;
        }
    }
}

void swi_array_permute_to(const sw_array *array, const int *axes, void *to) {
    permutation p = {.size = sw_dtype_size(array->type)};
    const int64_t elements = sw_array_count(array);
    permute_init(&p, array, axes);
    if (p.rank == 0)
        memcpy(to, array->data, p.size);
    else if (elements > 0)
        permute_copy_rows(&p, array->data, to, elements / p.shape[p.rank - 1]);
}

sw_array sw_array_permute(const sw_array *array, int count, const int *axes) {
    int order[SW_MAX_RANK] = {0};
    int64_t elements, shape[SW_MAX_RANK] = {0};
    if (!array || !array->data || !sw_dtype_size(array->type)) {
        sw_fail(SW_ERR_ARGUMENT, "array_permute: the array %s",
                !array         ? "is NULL"
                : !array->data ? "has no data"
                               : "has an invalid type");
        return (sw_array){0};
    }
    if (sw_shape_count(array->rank, array->shape, &elements) != SW_OK ||
        permute_read_axes(array, count, axes, order) != SW_OK)
        return (sw_array){0};
    for (int i = 0; i < array->rank; i++)
        shape[i] = array->shape[order[i]];
    const sw_array out = sw_array_new(array->type, array->rank, shape);
    if (!out.data)
        return (sw_array){0};
    swi_array_permute_to(array, order, out.data);
    return out;
}
