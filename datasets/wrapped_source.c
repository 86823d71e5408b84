/* Sources that wrap another source and keep the ids of its samples. */
#include <swale/extend.h>

#include "datasets/wrapped_source.h"

void swd_free_owned_source(sw_source *source, bool owns_inner) {
    if (owns_inner)
        sw_source_free(source);
}

static void wrapped_source_prefetch(const sw_source *source, const int64_t *ids, int64_t count) {
    const sw_source *inner = ((const swd_wrapped_source *)source)->inner;
    inner->prefetch(inner, ids, count);
}

void swd_wrapped_source_init(swd_wrapped_source *wrap, sw_source *inner, bool owns_inner) {
    swd_copy_source(&wrap->source, inner);
    wrap->source.prefetch = inner->prefetch ? wrapped_source_prefetch : NULL;
    /* a wrapper computes its samples, so that it has no memory to share */
    wrap->source.x_memory = wrap->source.y_memory = NULL;
    wrap->source.x_sparse = NULL;
    wrap->inner = inner;
    wrap->owns_inner = owns_inner;
    sw_source_retain(&wrap->hold, inner);
}

void swd_wrapped_source_release(swd_wrapped_source *wrap) {
    sw_may_free(wrap, "source");
    swd_free_owned_source(wrap->inner, wrap->owns_inner);
    sw_source_release(&wrap->hold);
}
