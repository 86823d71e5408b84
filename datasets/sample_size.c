/* Sizes of samples, and checks of sources. */
#include <swale/extend.h>

#include "datasets/sample_size.h"

#include <string.h>

sw_status swd_check_source(const char *who, const sw_source *source) {
    if (!source)
        return sw_fail(SW_ERR_ARGUMENT, "%s: the source is NULL", who);
    if (!source->gather || source->n < 1)
        return sw_fail(SW_ERR_ARGUMENT, "%s: the source has no %s", who,
                       source->gather ? "samples" : "gather function");
    if (source->x_rank < 0 || source->x_rank >= SW_MAX_RANK || source->y_rank >= SW_MAX_RANK)
        return sw_fail(SW_ERR_SHAPE, "%s: a sample has at most %d axes", who, SW_MAX_RANK - 1);
    return SW_OK;
}

sw_status swd_check_numbers(const char *who, const sw_source *source) {
    if (sw_source_x_type(source, SW_F32) != SW_I32)
        return SW_OK;
    return sw_fail(SW_ERR_TYPE, "%s: the samples are ids (i32), not numbers", who);
}

void swd_copy_source(sw_source *to, const sw_source *from) {
    memcpy(to, from, offsetof(sw_source, x_type));
    to->size = sizeof *to;
    to->x_type = sw_source_x_type(from, SW_F32);
}

const char *swd_channels_first_hint(int rank, const int64_t *shape) {
    return rank == 3 && sw_seems_channels_first(rank, shape)
               ? "; channels are the last axis (reorder the axes with sw_array_permute?)"
               : "";
}

sw_status swd_check_channels_last(const char *who, const sw_source *source) {
    const char *hint = swd_channels_first_hint(source->x_rank, source->x_shape);
    if (!*hint)
        return SW_OK;
    return sw_fail(SW_ERR_SHAPE, "%s: a sample %s is not [height, width, channels]%s", who,
                   sw_shape_text(source->x_rank, source->x_shape), hint);
}

static int64_t length_product(int rank, const int64_t *shape) {
    int64_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= shape[i];
    return count;
}

int64_t swd_sample_count(const sw_source *source) {
    return length_product(source->x_rank, source->x_shape);
}

int64_t swd_sample_bytes(const sw_source *source, sw_dtype type) {
    return swd_sample_count(source) * (int64_t)sw_dtype_size(sw_source_x_type(source, type));
}

int64_t swd_target_bytes(const sw_source *source, sw_dtype type) {
    if (source->y_rank < 0)
        return 0;
    return length_product(source->y_rank, source->y_shape) * (int64_t)sw_dtype_size(sw_source_y_type(source, type));
}
