/* Data sources: gathers batches of samples into memory or onto a tape. */
#include <swale/parallel.h>
#include <swale/source.h>
#include <swale/status.h>

#include "core/base/allocation.h"
#include "core/base/element.h"
#include "core/tape/node.h"

enum { GATHER_ROWS = 8 }; /* samples of a work item */

typedef struct gather_job {
    const sw_source *source;
    const int64_t *ids;
    int64_t count, x_bytes, y_bytes;
    uint64_t draw;
    sw_dtype type;
    char *x, *y;
} gather_job;

static sw_status source_gather_rows(void *args, int64_t item, sw_worker *worker) {
    const gather_job *j = args;
    (void)worker;
    int64_t first = item * GATHER_ROWS, n = j->count - first;
    if (n > GATHER_ROWS)
        n = GATHER_ROWS;
    sw_status status =
        j->source->gather(j->source, j->ids + first, n, j->draw, j->type, j->x ? j->x + first * j->x_bytes : NULL,
                          j->y ? j->y + first * j->y_bytes : NULL);
    if (status == SW_OK)
        return SW_OK;
    /* Kept only if gather left no message. */
    return sw_fail(status == SW_SKIPPED ? SW_ERR_STATE : status,
                   "batch: samples could not be gathered: the source's gather returned status %d "
                   "without a message",
                   (int)status);
}

static sw_status source_missing(void) {
    return sw_fail(SW_ERR_ARGUMENT, "batch: the source is NULL");
}

static sw_status source_check_request(const sw_source *source, sw_dtype type, const int64_t *ids, int64_t count) {
    swi_forget_freed(source); /* a source of the user may have the address of a freed source */
    if (!source->gather)
        return sw_fail(SW_ERR_ARGUMENT, "batch: the source has no gather function");
    if (count < 1 || !ids)
        return sw_fail(SW_ERR_ARGUMENT, "batch: %lld samples requested", (long long)count);
    if (!sw_dtype_is_computed(type))
        return sw_fail(SW_ERR_TYPE, "batch: samples are gathered as f32 or f64, not %s", sw_dtype_name(type));
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= source->n)
            return sw_fail(SW_ERR_ARGUMENT, "batch: sample %lld is outside 0 to %lld", (long long)ids[i],
                           (long long)source->n - 1);
    if (source->x_rank >= SW_MAX_RANK || source->y_rank >= SW_MAX_RANK)
        return sw_fail(SW_ERR_SHAPE, "batch: a sample has at most %d axes", SW_MAX_RANK - 1);
    return SW_OK;
}

static int64_t source_sample_bytes(int rank, const int64_t *shape, sw_dtype type) {
    int64_t bytes = (int64_t)swi_size(type);
    for (int i = 0; i < rank; i++)
        bytes *= shape[i];
    return bytes;
}

/* The caller has checked the request. */
static sw_status source_gather(const sw_source *source, sw_dtype type, uint64_t draw, const int64_t *ids, int64_t count,
                               void *x, void *y) {
    gather_job job = {.source = source,
                      .ids = ids,
                      .count = count,
                      .draw = draw,
                      .type = type,
                      .x = x,
                      .y = y,
                      .x_bytes = source_sample_bytes(source->x_rank, source->x_shape, sw_source_x_type(source, type)),
                      .y_bytes = source_sample_bytes(source->y_rank, source->y_shape, sw_source_y_type(source, type))};
    return sw_parallel_items(source_gather_rows, &job, (count + GATHER_ROWS - 1) / GATHER_ROWS, 0);
}

sw_status sw_source_gather(const sw_source *source, sw_dtype type, uint64_t draw, const int64_t *ids, int64_t count,
                           void *x, void *y) {
    if (!source)
        return source_missing();
    SW_TRY(source_check_request(source, type, ids, count));
    if (y && source->y_rank < 0)
        return sw_fail(SW_ERR_ARGUMENT, "batch: the source has no targets");
    return source_gather(source, type, draw, ids, count, x, y);
}

/* Makes an uninitialized tensor for `count` samples. */
static sw_tensor source_empty_batch(sw_tape *tape, sw_dtype type, int64_t count, int rank, const int64_t *sample) {
    int64_t shape[SW_MAX_RANK] = {count};
    for (int i = 0; i < rank; i++)
        shape[i + 1] = sample[i];
    return sw_empty(tape, type, rank + 1, shape);
}

sw_status sw_source_batch_with_draw(const sw_source *source, sw_tape *tape, sw_dtype type, uint64_t draw,
                                    const int64_t *ids, int64_t count, sw_batch *batch) {
    *batch = (sw_batch){0};
    if (!source)
        return source_missing();
    if (!tape)
        return sw_fail(SW_ERR_ARGUMENT, "batch: the tape is NULL");
    SW_TRY(source_check_request(source, type, ids, count));
    sw_tensor x = source_empty_batch(tape, sw_source_x_type(source, type), count, source->x_rank, source->x_shape),
              y = {0};
    if (sw_is_null(x))
        return sw_last_failure();
    if (source->y_rank >= 0) {
        y = source_empty_batch(tape, sw_source_y_type(source, type), count, source->y_rank, source->y_shape);
        if (sw_is_null(y))
            return sw_last_failure();
    }
    SW_TRY(source_gather(source, type, draw, ids, count, sw_value(x).data, sw_is_null(y) ? NULL : sw_value(y).data));
    SW_TRY(sw_tape_set_sample_ids(tape, ids, count));
    *batch = (sw_batch){.x = x, .y = y, .ids = tape->samples, .count = count};
    return SW_OK;
}

sw_status sw_source_batch(const sw_source *source, sw_tape *tape, sw_dtype type, const int64_t *ids, int64_t count,
                          sw_batch *batch) {
    return sw_source_batch_with_draw(source, tape, type, sw_tape_draw(tape), ids, count, batch);
}
