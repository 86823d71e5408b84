/* Arrays of ids: checks, copies, and conversion to i32. */
#include <swale/extend.h>

#include "datasets/text/id_array.h"

#include <string.h>

static sw_status id_array_check(const char *who, const char *name, const sw_array *a, int64_t classes) {
    if (!a || !a->data)
        return sw_fail(SW_ERR_ARGUMENT, "%s: %s %s", who, name, a ? "has no data" : "is NULL");
    if (a->type != SW_I32 && a->type != SW_U8)
        return sw_fail(SW_ERR_TYPE, "%s: %s is %s; i32 or u8 is needed", who, name, sw_dtype_name(a->type));
    if (a->rank != 1)
        return sw_fail(SW_ERR_SHAPE, "%s: %s %s is not [n]", who, name, sw_shape_text(a->rank, a->shape));
    if (classes < 0 || classes > INT32_MAX)
        return sw_fail(SW_ERR_ARGUMENT, "%s: %lld classes; 1 to 2^31 - 1, or 0 for the largest id + 1, are possible",
                       who, (long long)classes);
    return SW_OK;
}

void swd_id_array_read(const swd_id_array *ids, int64_t first, int64_t count, int32_t *out) {
    if (!ids->bytes) {
        if (count > 0)
            memcpy(out, (const int32_t *)ids->data + first, (size_t)count * sizeof *out);
        return;
    }
    const unsigned char *from = (const unsigned char *)ids->data + first;
    for (int64_t i = 0; i < count; i++)
        out[i] = from[i];
}

sw_status swd_id_array_init(swd_id_array *ids, const char *who, const char *name, const sw_array *a, bool copy,
                            int64_t *classes) {
    SW_TRY(id_array_check(who, name, a, *classes));
    *ids = (swd_id_array){.data = a->data, .bytes = a->type == SW_U8, .count = a->shape[0]};
    int32_t most = 0;
    for (int64_t i = 0; i < ids->count; i++) {
        int32_t id;
        swd_id_array_read(ids, i, 1, &id);
        if (id < 0 || id == INT32_MAX || (*classes > 0 && id >= *classes))
            return sw_fail(SW_ERR_ARGUMENT, "%s: id %d at position %lld of %s is outside 0 to %lld", who, (int)id,
                           (long long)i, name, *classes > 0 ? (long long)*classes - 1 : (long long)INT32_MAX - 1);
        most = id > most ? id : most;
    }
    *classes = *classes > 0 ? *classes : most + 1;
    if (!copy)
        return SW_OK;
    ids->copy = sw_array_new(a->type, 1, a->shape);
    if (!ids->copy.data)
        return sw_last_failure();
    memcpy(ids->copy.data, a->data, (size_t)ids->count * sw_dtype_size(a->type));
    ids->data = ids->copy.data;
    return SW_OK;
}

void swd_id_array_free(swd_id_array *ids) {
    sw_array_free(&ids->copy);
}
