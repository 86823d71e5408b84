/* What sources that wrap another one share. */
#include "datasets/internal.h"

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

void swd_free_owned(sw_source *source, bool own) {
    if (own)
        sw_source_free(source);
}

static int64_t product(int rank, const int64_t *shape) {
    int64_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= shape[i];
    return count;
}

int64_t swd_sample_count(const sw_source *source) {
    return product(source->x_rank, source->x_shape);
}

int64_t swd_sample_bytes(const sw_source *source, sw_dtype type) {
    return swd_sample_count(source) * (int64_t)sw_dtype_size(type);
}

sw_dtype swd_target_type(const sw_source *source, sw_dtype type) {
    return source->y_type == SW_I32 ? SW_I32 : type;
}

int64_t swd_target_bytes(const sw_source *source, sw_dtype type) {
    if (source->y_rank < 0)
        return 0;
    return product(source->y_rank, source->y_shape) * (int64_t)sw_dtype_size(swd_target_type(source, type));
}

/* ---- Wrappers of one source that keep its samples' ids ---- */

static void prefetch(const sw_source *source, const int64_t *ids, int64_t count) {
    const sw_source *inner = ((const swd_wrap *)source)->inner;
    inner->prefetch(inner, ids, count);
}

void swd_wrap_source(swd_wrap *wrap, sw_source *inner, bool own) {
    wrap->source = *inner;
    wrap->source.size = sizeof wrap->source;
    wrap->source.prefetch = inner->prefetch ? prefetch : NULL;
    wrap->source.x_memory = wrap->source.y_memory = NULL; /* what a wrapper gives is computed */
    wrap->source.x_sparse = NULL;
    wrap->inner = inner;
    wrap->own = own;
    sw_source_retain(&wrap->hold, inner);
}

void swd_unwrap_source(swd_wrap *wrap) {
    sw_may_free(wrap, "source");
    swd_free_owned(wrap->inner, wrap->own);
    sw_source_release(&wrap->hold);
}

/* ---- Scratch: one block for each thread that gathers, kept from batch to batch ---- */

sw_status swd_scratch_init(swd_scratch *scratch, size_t bytes) {
    scratch->bytes = bytes;
    int ready = sw_threads() + 1; /* and a loader's thread */
    for (int i = 0; i < SWD_SCRATCHES; i++)
        atomic_init(&scratch->block[i], NULL);
    for (int i = 0; i < ready && i < SWD_SCRATCHES; i++) {
        void *block = sw_alloc(bytes);
        if (!block) {
            swd_scratch_free(scratch);
            return SW_ERR_MEMORY;
        }
        atomic_store(&scratch->block[i], block);
    }
    return SW_OK;
}

void swd_scratch_free(swd_scratch *scratch) {
    for (int i = 0; i < SWD_SCRATCHES; i++)
        sw_free(atomic_exchange(&scratch->block[i], NULL));
}

void *swd_scratch_take(swd_scratch *scratch) {
    for (int i = 0; i < SWD_SCRATCHES; i++)
        if (atomic_load_explicit(&scratch->block[i], memory_order_relaxed)) {
            void *block = atomic_exchange(&scratch->block[i], NULL);
            if (block)
                return block;
        }
    return sw_alloc(scratch->bytes); /* more threads than when it was made */
}

void swd_scratch_give(swd_scratch *scratch, void *block) {
    for (int i = 0; i < SWD_SCRATCHES; i++) {
        void *empty = NULL;
        if (atomic_compare_exchange_strong(&scratch->block[i], &empty, block))
            return;
    }
    sw_free(block);
}
