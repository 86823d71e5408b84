/* The order, in files with channels first, of parameters with an element for each feature of a sample. */
#include <swale/extend.h>
#include <swale/module.h>

/* Appends the lengths of axes to the view. */
static void sample_view_add(sw_file_order *o, int count, const int64_t *length) {
    for (int i = 0; i < count; i++)
        o->view[o->rank++] = length[i];
}

sw_file_order sw_sample_channels_first(const sw_sample_shape *sample, int rank, const int64_t *shape, int axis) {
    const sw_file_order plain = {0}, unknown = {.rank = -1};
    const int flat = sample->flattened_rank, spatial = sample->spatial;
    if (flat == 0)
        return plain;
    if (flat < 0 || spatial < 1 || spatial >= flat || rank - 1 + flat > SW_MAX_RANK)
        return unknown;
    sw_file_order o = {.file_rank = rank};
    sample_view_add(&o, axis, shape);
    sample_view_add(&o, flat, sample->flattened);
    sample_view_add(&o, rank - axis - 1, shape + axis + 1);
    const int channels = axis + flat - 1; /* they move in front of the spatial axes */
    for (int i = 0; i < o.rank; i++)
        o.axes[i] = i < channels - spatial || i > channels ? i : i == channels - spatial ? channels : i - 1;
    for (int i = 0; i < rank; i++)
        o.file_shape[i] = shape[i];
    return o;
}
