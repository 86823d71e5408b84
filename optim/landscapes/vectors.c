/* Several vectors of the parameters of an objective as the parameters of another objective. */
#include "optim/landscapes/vectors.h"

#include <swale/memory.h>
#include <swale/status.h>

#include <stdio.h>
#include <string.h>

static sw_status vectors_add_one(sw_params *to, const sw_param *p, const char *prefix) {
    const sw_param_options how = {.size = sizeof how,
                                  .role = p->role,
                                  .fan_in = p->fan_in,
                                  .fan_out = p->fan_out,
                                  .channels_first = p->channels_first};
    const size_t bytes = strlen(prefix) + strlen(p->name) + 2;
    char *name = sw_alloc(bytes);
    if (!name)
        return sw_last_failure();
    snprintf(name, bytes, "%s.%s", prefix, p->name);
    sw_param *copy = sw_params_add(to, name, p->rank, p->shape, &how);
    sw_free(name);
    if (!copy)
        return sw_last_failure();
    if (p->frozen)
        sw_param_freeze(copy, true);
    return SW_OK;
}

sw_status swo_vectors_add(sw_params *to, const sw_params *from, const char *prefix) {
    for (int i = 0; i < sw_params_count(from); i++) {
        const sw_param *p = sw_params_at(from, i);
        if (!p->tied && !p->buffer)
            SW_TRY(vectors_add_one(to, p, prefix));
    }
    return SW_OK;
}

void *swo_vectors_copy(const sw_params *from, const void *values) {
    const size_t size = sw_dtype_size(sw_params_type(from));
    const int64_t dim = sw_params_dim(from);
    void *copy = sw_alloc_array_for(SW_ACCOUNT_PARAMETERS, dim, size);
    if (copy && values)
        memcpy(copy, values, (size_t)dim * size);
    return copy;
}
