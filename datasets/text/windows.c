/* Windows of a long array of ids, with the ids that follow as targets. */
#include <swale/extend.h>

#include "datasets/text/id_array.h"

typedef struct windows {
    sw_source source; /* first, so that a pointer to the source is a pointer to the struct */
    swd_id_array ids;
    int64_t length, stride;
} windows;

static sw_status windows_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw,
                                sw_dtype type, void *x, void *y) {
    const windows *w = (const windows *)source;
    (void)draw, (void)type;
    for (int64_t i = 0; i < count; i++) {
        const int64_t first = ids[i] * w->stride;
        if (x)
            swd_id_array_read(&w->ids, first, w->length, (int32_t *)x + i * w->length);
        if (y)
            swd_id_array_read(&w->ids, first + 1, w->length, (int32_t *)y + i * w->length);
    }
    return SW_OK;
}

static void windows_free(sw_source *source) {
    windows *w = (windows *)source;
    sw_may_free(w, "source");
    swd_id_array_free(&w->ids);
    sw_free(w);
}

static sw_status windows_init(windows *w, const sw_array *ids, int64_t length, const sw_windows_options *o) {
    int64_t classes = o->classes;
    if (length < 1 || o->stride < 0)
        return sw_fail(SW_ERR_ARGUMENT,
                       "windows: length %lld and stride %lld; a length of at least 1 is needed, and a "
                       "stride of at least 1, or 0 for 1",
                       (long long)length, (long long)o->stride);
    SW_TRY(swd_id_array_init(&w->ids, "windows", "ids", ids, o->copy, &classes));
    if (w->ids.count <= length)
        return sw_fail(SW_ERR_SHAPE,
                       "windows: %lld ids; a window of %lld with its targets needs %lld (a shorter window?)",
                       (long long)w->ids.count, (long long)length, (long long)length + 1);
    w->length = length;
    w->stride = o->stride > 0 ? o->stride : 1;
    w->source.n = (w->ids.count - length - 1) / w->stride + 1;
    w->source.x_shape[0] = w->source.y_shape[0] = length;
    w->source.classes = (int)classes;
    return SW_OK;
}

sw_source *sw_windows(const sw_array *ids, int64_t length, const sw_windows_options *options) {
    sw_windows_options o = {0};
    if (options && sw_options_copy("windows", "sw_windows_options", &o, sizeof o, options, sizeof o) != SW_OK)
        return NULL;
    windows *w = sw_alloc_for(SW_ACCOUNT_DATA, sizeof *w);
    if (!w)
        return NULL;
    w->source = (sw_source){.size = sizeof w->source,
                            .x_rank = 1,
                            .y_rank = 1,
                            .x_type = SW_I32,
                            .y_type = SW_I32,
                            .gather = windows_gather,
                            .free = windows_free,
                            .fixed = true};
    if (windows_init(w, ids, length, &o) == SW_OK)
        return &w->source;
    windows_free(&w->source);
    return NULL;
}
