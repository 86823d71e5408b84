/* Work items on the threads of the pool: worker index, scratch of each worker, and errors, which are kept by thread and
 * are brought to the caller. */
#include <swale/memory.h>
#include <swale/status.h>
#include <swale/text.h>

#include "core/base/allocation.h"
#include "core/base/dry_run_state.h"
#include "core/base/error_state.h"
#include "core/kernels/dispatch.h"

#include <string.h>

typedef struct items_job {
    sw_work_item work;
    void *args;
    char *scratch;
    size_t stride; /* bytes from one worker's scratch to the next */
    int workers;
    atomic_llong failed; /* the lowest item that has failed; LLONG_MAX: none */
    atomic_flag taken;   /* somebody writes the failure */
    sw_status status;    /* of item `failed` */
    char *text;          /* its message, of SWI_ERROR_TEXT bytes; not in this struct, which is cleared at each call */
} items_job;

/* Keeps the failure unless one of a lower item is known. The text is this thread's message. */
static void items_keep_failure(items_job *j, int64_t item, sw_status status) {
    while (atomic_flag_test_and_set_explicit(&j->taken, memory_order_acquire))
        ;
    if (item < atomic_load_explicit(&j->failed, memory_order_relaxed)) {
        const char *text = sw_error();
        j->status = status;
        if (text)
            memcpy(j->text, text, strlen(text) + 1);
        else
            sw_format(j->text, SWI_ERROR_TEXT, "parallel_items: item %lld returned status %d without a message",
                      (long long)item, (int)status);
        atomic_store_explicit(&j->failed, item, memory_order_relaxed);
    }
    atomic_flag_clear_explicit(&j->taken, memory_order_release);
}

/* An item above a failed one is left out. Those below it run: one of them may fail too, and then counts. */
static void items_run_one(void *args, int64_t item, int index) {
    items_job *j = args;
    if (item > atomic_load_explicit(&j->failed, memory_order_relaxed))
        return;
    sw_worker worker = {.size = sizeof worker,
                        .index = index,
                        .count = j->workers,
                        .scratch = j->scratch ? j->scratch + (size_t)index * j->stride : NULL};
    swi_pending_status = SW_OK; /* what an earlier job of this thread left is nobody's */
    sw_status status = j->work(j->args, item, &worker);
    if (swi_pending_status != SW_OK && (status == SW_OK || status == SW_SKIPPED))
        status = swi_pending_status;
    if (status != SW_OK)
        items_keep_failure(j, item, status);
    swi_pending_status = SW_OK;
}

static sw_status items_run(items_job *j, int64_t items) {
    char text[SWI_ERROR_TEXT];
    if (swi_dry_run())
        return SW_OK;
    swi_error_state before;
    swi_error_suspend(&before);
    j->text = text;
    atomic_init(&j->failed, INT64_MAX);
    atomic_flag_clear(&j->taken);
    if (!swi_parallel_workers(items_run_one, j, items, j->workers)) {
        j->workers = 1;
        for (int64_t i = 0; i < items && i < atomic_load_explicit(&j->failed, memory_order_relaxed); i++)
            items_run_one(j, i, 0);
    }
    swi_error_resume(&before);
    if (atomic_load(&j->failed) == INT64_MAX)
        return SW_OK;
    return j->status == SW_SKIPPED ? SW_SKIPPED : sw_fail(j->status, "%s", j->text);
}

static sw_status items_check(sw_work_item work, int64_t items) {
    if (!work)
        return sw_fail(SW_ERR_ARGUMENT, "parallel_items: the function of the items is NULL");
    if (items < 0)
        return sw_fail(SW_ERR_ARGUMENT, "parallel_items: %lld items; 0 or more are needed", (long long)items);
    return SW_OK;
}

/* 0: it overflows. */
static size_t items_stride(size_t scratch_bytes) {
    return scratch_bytes > SIZE_MAX / 2 ? 0 : (scratch_bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
}

size_t sw_parallel_scratch(int64_t items, size_t scratch_bytes) {
    const size_t stride = items_stride(scratch_bytes), workers = (size_t)swi_parallel_threads(items);
    if (scratch_bytes && (stride == 0 || stride > SIZE_MAX / workers))
        return SIZE_MAX;
    return workers * stride;
}

sw_status sw_parallel_items_with_scratch(sw_work_item work, void *args, int64_t items, size_t scratch_bytes,
                                         void *scratch, size_t bytes) {
    SW_TRY(items_check(work, items));
    items_job j = {.work = work, .args = args, .workers = swi_parallel_threads(items)};
    if (scratch_bytes) {
        j.scratch = scratch;
        j.stride = items_stride(scratch_bytes);
        const size_t fit = j.stride ? bytes / j.stride : 0;
        if (!scratch || fit < 1)
            return sw_fail(SW_ERR_ARGUMENT,
                           "parallel_items: scratch of %zu bytes; one worker needs %zu (see sw_parallel_scratch)",
                           scratch ? bytes : 0, j.stride);
        if (fit < (size_t)j.workers)
            j.workers = (int)fit;
    }
    return items_run(&j, items);
}

sw_status sw_parallel_items(sw_work_item work, void *args, int64_t items, size_t scratch_bytes) {
    SW_TRY(items_check(work, items));
    if (scratch_bytes == 0 || items == 0)
        return sw_parallel_items_with_scratch(work, args, items, 0, NULL, 0);
    const size_t bytes = sw_parallel_scratch(items, scratch_bytes);
    void *scratch = swi_alloc_raw(SW_ACCOUNT_TEMPORARIES, bytes);
    if (!scratch)
        return SW_ERR_MEMORY;
    const sw_status status = sw_parallel_items_with_scratch(work, args, items, scratch_bytes, scratch, bytes);
    sw_free(scratch);
    return status;
}

int64_t sw_part_begin(int64_t n, int64_t parts, int64_t part) {
    const int64_t longer = n % parts;
    return n / parts * part + (part < longer ? part : longer);
}
