/* The order of parameters in files with channels first. */
#include <swale/params.h>
#include <swale/status.h>
#include <swale/text.h>

#include "core/base/array_permute.h"
#include "core/params/file_order.h"

#include <string.h>

sw_file_order sw_channels_first(int rank, const int64_t *shape, int at) {
    sw_file_order order = {.rank = -1};
    if (rank < 1 || rank > SW_MAX_RANK || !shape || at < 0 || at >= rank) {
        sw_fail(SW_ERR_SHAPE, "channels_first: the last of %d axes cannot move to position %d", rank, at);
        return order;
    }
    order.rank = rank;
    for (int i = 0; i < rank; i++) {
        order.view[i] = shape[i];
        order.axes[i] = i < at ? i : i == at ? rank - 1 : i - 1;
    }
    return order;
}

/* The view with its axes permuted. */
static sw_array file_order_permuted(const sw_file_order *o, sw_dtype type, const void *data) {
    int64_t shape[SW_MAX_RANK] = {0};
    for (int i = 0; i < o->rank; i++)
        shape[i] = o->view[o->axes[i]];
    sw_array a = {.data = (void *)(uintptr_t)data, .type = type, .rank = o->rank};
    memcpy(a.shape, shape, sizeof shape);
    return a;
}

static bool file_order_has_each_axis(const sw_file_order *o) {
    unsigned seen = 0;
    for (int i = 0; i < o->rank; i++)
        seen |= o->axes[i] >= 0 && o->axes[i] < o->rank ? 1u << o->axes[i] : 0;
    return seen == (1u << o->rank) - 1;
}

/* Whether the permuted array has the elements in the order of x: axes of length 1 may move. */
static bool file_order_is_plain(const sw_file_order *o) {
    int last = -1;
    for (int i = 0; i < o->rank; i++) {
        if (o->view[o->axes[i]] == 1)
            continue;
        if (o->axes[i] < last)
            return false;
        last = o->axes[i];
    }
    return true;
}

static sw_status file_order_fail(const char *name, const char *what, int rank, const int64_t *shape, int64_t count) {
    return sw_fail(SW_ERR_SHAPE, "parameter %s: its order with channels first: the %s %s does not have %lld elements",
                   name, what, sw_shape_text(rank, shape), (long long)count);
}

sw_status swi_file_order_complete(const char *name, int rank, const int64_t *shape, sw_file_order *o) {
    int64_t count, view, file;
    if (o->rank == 0 || o->rank == -1)
        return SW_OK;
    if (o->rank < 0 || o->rank > SW_MAX_RANK || !file_order_has_each_axis(o))
        return sw_fail(SW_ERR_SHAPE,
                       "parameter %s: its order with channels first: each of 1 to %d axes is needed once in axes", name,
                       SW_MAX_RANK);
    if (o->file_rank == 0) {
        const sw_array permuted = file_order_permuted(o, SW_F32, NULL);
        o->file_rank = o->rank;
        memcpy(o->file_shape, permuted.shape, sizeof permuted.shape);
    }
    SW_TRY(sw_shape_count(rank, shape, &count));
    SW_TRY(sw_shape_count(o->rank, o->view, &view));
    SW_TRY(sw_shape_count(o->file_rank, o->file_shape, &file));
    if (view != count)
        return file_order_fail(name, "view", o->rank, o->view, count);
    if (file != count)
        return file_order_fail(name, "file_shape", o->file_rank, o->file_shape, count);
    if (file_order_is_plain(o) && sw_shape_equal(rank, shape, o->file_rank, o->file_shape))
        *o = (sw_file_order){0};
    return SW_OK;
}

int swi_file_shape(const sw_param *p, bool channels_first, int64_t shape[SW_MAX_RANK]) {
    const bool ordered = channels_first && p->channels_first.rank > 0;
    memcpy(shape, ordered ? p->channels_first.file_shape : p->shape, sizeof p->shape);
    return ordered ? p->channels_first.file_rank : p->rank;
}

void swi_file_order_from_x(const sw_param *p, sw_dtype type, const void *from, void *to) {
    const sw_file_order *o = &p->channels_first;
    sw_array view = {.data = (void *)(uintptr_t)from, .type = type, .rank = o->rank};
    memcpy(view.shape, o->view, sizeof view.shape);
    swi_array_permute_to(&view, o->axes, to);
}

void swi_file_order_to_x(const sw_param *p, sw_dtype type, const void *from, void *to) {
    const sw_file_order *o = &p->channels_first;
    int back[SW_MAX_RANK] = {0};
    for (int i = 0; i < o->rank; i++)
        back[o->axes[i]] = i;
    const sw_array permuted = file_order_permuted(o, type, from);
    swi_array_permute_to(&permuted, back, to);
}
