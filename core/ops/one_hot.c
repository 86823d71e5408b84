/* One-hot vectors of class ids. */
#include <swale/extend.h>

#include "core/ops/shared.h"

#include <string.h>

typedef struct one_hot_attributes {
    int64_t classes;
    sw_dtype type;
} one_hot_attributes;

static sw_status one_hot_shape(sw_call *c) {
    const one_hot_attributes *a = c->attributes;
    const sw_view *ids = c->in[0];
    int64_t shape[SW_MAX_RANK];
    if (ids->type != SW_I32 && ids->type != SW_U8)
        return sw_fail(SW_ERR_TYPE, "one_hot: the ids are %s; i32 or u8 is needed", sw_dtype_name(ids->type));
    if (!sw_dtype_is_float(a->type) && a->type != SW_I32 && a->type != SW_U8)
        return sw_fail(SW_ERR_TYPE, "one_hot: the type is %s; f32, f64, f16, bf16, i32 or u8 is needed",
                       sw_dtype_name(a->type));
    if (a->classes < 1)
        return sw_fail(SW_ERR_ARGUMENT, "one_hot: %lld classes; at least 1 is needed", (long long)a->classes);
    if (ids->rank == SW_MAX_RANK)
        return sw_fail(SW_ERR_SHAPE, "one_hot: ids %s have %d axes; there is no room for another",
                       sw_shape_text(ids->rank, ids->shape), ids->rank);
    for (int i = 0; i < ids->rank; i++)
        shape[i] = ids->shape[i];
    shape[ids->rank] = a->classes;
    return sw_call_set_shape(c, a->type, ids->rank + 1, shape);
}

typedef struct one_hot_job {
    const int32_t *ids;      /* NULL if they are u8 */
    const uint8_t *byte_ids; /* NULL if they are i32 */
    char *to;
    double one; /* the bytes of the number 1 in the type of the result */
    size_t size;
    int64_t classes, count, per_tile; /* rows, and those of a tile */
} one_hot_job;

static void one_hot_tile(void *args, int64_t tile) {
    const one_hot_job *j = args;
    const int64_t begin = tile * j->per_tile, rest = j->count - begin, rows = rest < j->per_tile ? rest : j->per_tile;
    const size_t row = (size_t)j->classes * j->size;
    memset(j->to + (size_t)begin * row, 0, (size_t)rows * row); /* all bits of every type are 0 */
    for (int64_t i = begin; i < begin + rows; i++) {
        const size_t id = (size_t)(j->ids ? j->ids[i] : j->byte_ids[i]);
        memcpy(j->to + (size_t)i * row + id * j->size, &j->one, j->size);
    }
}

static sw_status one_hot_check_bytes(const uint8_t *ids, int64_t count, int64_t classes) {
    for (int64_t i = 0; i < count && !sw_dry_run(); i++)
        if (ids[i] >= classes)
            return sw_fail(SW_ERR_ARGUMENT, "one_hot: id %d at position %lld is outside 0 to %lld", ids[i],
                           (long long)i, (long long)(classes - 1));
    return SW_OK;
}

static sw_status one_hot_forward(sw_call *c) {
    const one_hot_attributes *a = c->attributes;
    const sw_view *ids = c->in[0];
    const bool bytes = ids->type == SW_U8;
    one_hot_job j = {.ids = bytes ? NULL : ids->data,
                     .byte_ids = bytes ? ids->data : NULL,
                     .to = c->out->data,
                     .size = sw_dtype_size(a->type),
                     .classes = a->classes,
                     .count = ids->count,
                     .per_tile = 1 + (SW_TILE - 1) / a->classes};
    SW_TRY(bytes ? one_hot_check_bytes(ids->data, ids->count, a->classes) : swi_call_check_ids(c, 0, a->classes));
    SW_TRY(sw_number_to_element("one_hot", a->type, 1, &j.one));
    const int64_t tiles = (j.count + j.per_tile - 1) / j.per_tile;
    if (c->out->count >= SW_SERIAL)
        sw_parallel(one_hot_tile, &j, tiles);
    else
        for (int64_t t = 0; t < tiles && !sw_dry_run(); t++)
            one_hot_tile(&j, t);
    return SW_OK;
}

static const sw_op one_hot_op = {
    .size = sizeof(sw_op), .name = "one_hot", .shape = one_hot_shape, .forward = one_hot_forward};

sw_tensor sw_one_hot(sw_tensor ids, int64_t classes, sw_dtype type) {
    const one_hot_attributes a = {.classes = classes, .type = type};
    return sw_apply(&one_hot_op, &a, sizeof a, 1, &ids);
}
