/* The loader: a sampler selects the samples of each batch, and core gathers them, or a thread of the loader prefetches
 * them while the previous batch is used. The thread fills one of two buffers, and the tape that receives the batch
 * reads the buffer in place. A buffer is shared by the loader and every tape that reads it, until the tape is reset
 * (sw_tape_defer). It is filled again only when no tape uses it, and the last user frees it. */
#include <swale/extend.h>
#include <swale/loader.h>

#include "datasets/prefetch_thread.h"
#include "datasets/sample_size.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { BUFFERS = 2, TEXT = 1024 };

typedef struct buffer {
    atomic_int owners; /* the number of owners: the loader and tapes */
    void *x, *y;       /* y NULL: no targets */
} buffer;

/* A batch to be gathered by the thread. The loader does not touch it until the thread has finished. */
typedef struct prefetch_job {
    const sw_source *source;
    const int64_t *ids;
    int64_t count;
    uint64_t draw;
    sw_dtype type;
    buffer *into;
    unsigned mode; /* the floating-point mode of the caller */
    sw_status status;
    char text[TEXT]; /* the error message */
} prefetch_job;

struct sw_loader {
    const sw_source *source;
    sw_source_hold hold; /* of source */
    sw_sampler *sampler;
    sw_loader_options options;
    int64_t batch;
    bool at_end;      /* the next call ends the epoch */
    int64_t ended;    /* number of epochs that have ended */
    int64_t refused;  /* number of calls since the last batch that were refused because an error was pending */
    int64_t position; /* number of samples returned in this epoch */
    sw_tensor last;   /* x of the last batch, to check that its tape was reset */
    /* The following members are used only with prefetching. */
    swd_prefetch_thread *thread;
    buffer *buffer[BUFFERS];
    prefetch_job job;
    bool prefetching; /* the thread gathers the next batch */
};

/* ---- Creation and release ---- */

static void buffer_release(void *user) {
    buffer *b = user;
    if (atomic_fetch_sub_explicit(&b->owners, 1, memory_order_acq_rel) == 1)
        sw_free(b);
}

/* One block: the buffer, x [samples, ...] and y [samples, ...], each at the beginning of a cache line. */
static buffer *buffer_new(const sw_source *source, sw_dtype type, int64_t samples) {
    int64_t x = swd_sample_bytes(source, type), y = swd_target_bytes(source, type);
    size_t each = (size_t)(x + y), head = (sizeof(buffer) + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
    if (each > 0 && (uint64_t)samples > SIZE_MAX / 4 / each) {
        sw_fail(SW_ERR_MEMORY, "loader: a batch of %lld samples of %zu bytes", (long long)samples, each);
        return NULL;
    }
    size_t x_size = ((size_t)x * (size_t)samples + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
    buffer *b = sw_alloc_for(SW_ACCOUNT_DATA, head + x_size + (size_t)y * (size_t)samples);
    if (!b)
        return NULL;
    atomic_init(&b->owners, 1);
    b->x = (char *)b + head;
    b->y = source->y_rank >= 0 ? (char *)b + head + x_size : NULL;
    return b;
}

static sw_status loader_check_options(sw_loader_options *o, const sw_loader_options *given) {
    if (given)
        SW_TRY(
            sw_options_copy("loader", "sw_loader_options", o, sizeof *o, given, offsetof(sw_loader_options, prefetch)));
    if (!sw_dtype_is_computed(o->type))
        return sw_fail(SW_ERR_TYPE, "loader: x is f32 or f64, not %s%s", sw_dtype_name(o->type),
                       sw_dtype_is_float(o->type) ? "; layers convert it to the type of their weights" : "");
    if (o->order != SW_SEQUENTIAL && o->order != SW_SHUFFLE && o->order != SW_WITH_REPLACEMENT)
        return sw_fail(SW_ERR_ARGUMENT, "loader: order %d is not a value of sw_order", (int)o->order);
    if (o->prefetch != SW_PREFETCH_AUTO && o->prefetch != SW_PREFETCH_ON && o->prefetch != SW_PREFETCH_OFF)
        return sw_fail(SW_ERR_ARGUMENT, "loader: prefetch %d is neither AUTO nor ON nor OFF", (int)o->prefetch);
    return SW_OK;
}

static sw_status loader_check_sizes(const sw_source *source, int64_t batch, const sw_loader_options *o) {
    if (source->n < 1 || batch < 1)
        return sw_fail(SW_ERR_ARGUMENT, "loader: %lld samples in batches of %lld: both must be at least 1",
                       (long long)source->n, (long long)batch);
    if (o->drop_last && source->n < batch)
        return sw_fail(SW_ERR_ARGUMENT, "loader: drop_last leaves no batch of %lld out of %lld samples",
                       (long long)batch, (long long)source->n);
    return SW_OK;
}

/* Memory for the thread; the thread itself is started when it is first needed. */
static sw_status loader_prepare_prefetch(sw_loader *loader) {
    const sw_source *source = loader->source;
    int64_t samples = loader->batch < source->n ? loader->batch : source->n;
    if (!source->gather || source->x_rank >= SW_MAX_RANK || source->y_rank >= SW_MAX_RANK)
        return SW_OK; /* core reports what is wrong with the source */
    loader->thread = swd_prefetch_thread_new();
    if (!loader->thread)
        return SW_ERR_MEMORY;
    for (int i = 0; i < BUFFERS; i++) {
        loader->buffer[i] = buffer_new(source, loader->options.type, samples);
        if (!loader->buffer[i])
            return SW_ERR_MEMORY;
    }
    return SW_OK;
}

static bool loader_wants_thread(const sw_source *source, sw_prefetch prefetch) {
    return prefetch == SW_PREFETCH_ON || (prefetch == SW_PREFETCH_AUTO && source->costly && swd_processors() > 1);
}

sw_loader *sw_loader_new(const sw_source *source, int64_t batch, const sw_loader_options *options) {
    sw_loader_options o = {.type = SW_F32, .order = SW_SHUFFLE};
    if (!source) {
        sw_fail(SW_ERR_ARGUMENT, "loader: the source is NULL");
        return NULL;
    }
    if (loader_check_options(&o, options) != SW_OK || loader_check_sizes(source, batch, &o) != SW_OK)
        return NULL;
    sw_loader *loader = sw_alloc_for(SW_ACCOUNT_DATA, sizeof *loader);
    if (!loader)
        return NULL;
    loader->source = source;
    sw_source_retain(&loader->hold, source);
    loader->options = o;
    loader->batch = batch;
    loader->sampler = sw_sampler_new(source->n, batch, o.order, o.seed);
    if (!loader->sampler || (loader_wants_thread(source, o.prefetch) && loader_prepare_prefetch(loader) != SW_OK)) {
        sw_loader_free(loader);
        return NULL;
    }
    return loader;
}

void sw_loader_free(sw_loader *loader) {
    if (!loader || !sw_may_free(loader, "loader"))
        return;
    swd_prefetch_thread_free(loader->thread);
    for (int i = 0; i < BUFFERS; i++)
        if (loader->buffer[i])
            buffer_release(loader->buffer[i]);
    sw_sampler_free(loader->sampler);
    sw_source_release(&loader->hold);
    sw_free(loader);
}

/* ---- Functions of the thread ---- */

/* Gathers on this thread only, because the training step uses the library's threads. */
static void prefetch_job_run(void *args) {
    prefetch_job *job = args;
    sw_subnormals_restore(job->mode);
    sw_clear_error();
    job->status =
        job->source->gather(job->source, job->ids, job->count, job->draw, job->type, job->into->x, job->into->y);
    if (job->status == SW_OK)
        return;
    const char *text = sw_error();
    if (text)
        snprintf(job->text, sizeof job->text, "%s", text);
    else
        snprintf(job->text, sizeof job->text,
                 "batch: samples could not be gathered: the source's gather returned "
                 "status %d without a message",
                 (int)job->status);
}

/* Starts prefetching of the next batch. */
static void loader_prefetch(sw_loader *loader, const int64_t *ids, int64_t count) {
    buffer *into = NULL;
    for (int i = 0; i < BUFFERS && loader->thread; i++)
        if (atomic_load_explicit(&loader->buffer[i]->owners, memory_order_acquire) == 1)
            into = loader->buffer[i];
    if (into) {
        unsigned mode = sw_subnormals_flush();
        sw_subnormals_restore(mode);
        loader->job = (prefetch_job){.source = loader->source,
                                     .ids = ids,
                                     .count = count,
                                     .into = into,
                                     .draw = (uint64_t)loader->ended,
                                     .type = loader->options.type,
                                     .mode = mode};
        loader->prefetching = swd_prefetch_thread_start(loader->thread, prefetch_job_run, &loader->job);
    }
    if (!loader->prefetching && loader->source->prefetch)
        loader->source->prefetch(loader->source, ids, count);
}

/* Waits for the thread. True if it has gathered the batch. */
static bool loader_finish_prefetch(sw_loader *loader) {
    bool done = loader->prefetching && swd_prefetch_thread_finish(loader->thread);
    loader->prefetching = false;
    return done;
}

/* ---- Returning batches ---- */

static sw_tensor loader_view(sw_tape *tape, void *data, sw_dtype type, int64_t count, int rank, const int64_t *sample) {
    sw_array array = {.data = data, .type = type, .rank = rank + 1, .shape = {count}};
    for (int i = 0; i < rank; i++)
        array.shape[i + 1] = sample[i];
    return sw_input(tape, array);
}

/* Puts the batch that the thread has gathered on the tape, without a copy. */
static sw_status loader_put_prefetched(sw_loader *loader, sw_tape *tape, sw_batch *batch) {
    const sw_source *source = loader->source;
    const prefetch_job *job = &loader->job;
    if (job->status != SW_OK)
        return sw_fail(job->status, "%s", job->text);
    SW_TRY(sw_tape_defer(tape, buffer_release, job->into));
    atomic_fetch_add_explicit(&job->into->owners, 1, memory_order_relaxed);
    SW_TRY(sw_tape_set_sample_ids(tape, job->ids, job->count));
    batch->x = loader_view(tape, job->into->x, sw_source_x_type(source, job->type), job->count, source->x_rank,
                           source->x_shape);
    if (sw_is_null(batch->x))
        return sw_last_failure();
    if (source->y_rank >= 0) {
        batch->y = loader_view(tape, job->into->y, sw_source_y_type(source, job->type), job->count, source->y_rank,
                               source->y_shape);
        if (sw_is_null(batch->y))
            return sw_last_failure();
    }
    batch->ids = sw_tape_sample_ids(tape, job->count);
    batch->count = job->count;
    return SW_OK;
}

static bool loader_end_epoch(sw_loader *loader) {
    loader->at_end = false;
    loader->position = 0;
    loader->ended++;
    return false;
}

/* A failure ends the epoch, so that a loop over epochs terminates even if it never checks sw_error. */
static bool loader_fail(sw_loader *loader) {
    loader_finish_prefetch(loader);
    return loader_end_epoch(loader);
}

/* The ids of the next batch. Returns their number, 0 at the end of the epoch. */
static int64_t loader_peek(const sw_loader *loader, const int64_t **ids) {
    int64_t count = sw_sampler_peek(loader->sampler, ids);
    return loader->options.drop_last && count < loader->batch ? 0 : count;
}

bool sw_loader_next(sw_loader *loader, sw_tape *tape, sw_batch *batch) {
    if (batch)
        *batch = (sw_batch){0};
    if (!loader || !tape || !batch) {
        sw_fail(SW_ERR_ARGUMENT, "loader: the %s is NULL", !loader ? "loader" : !tape ? "tape" : "batch");
        return false;
    }
    if (sw_error()) { /* after sw_clear_error, the loop continues with this batch, prefetched or not */
        loader->refused++;
        return false;
    }
    loader->refused = 0;
    if (loader->last.tape == tape && sw_is_live(loader->last)) {
        sw_fail(SW_ERR_STATE, "loader: the last batch is still on the tape; call sw_tape_reset between "
                              "batches");
        return loader_fail(loader);
    }
    if (loader->at_end)
        return loader_end_epoch(loader);
    if (loader->position == 0)
        sw_sampler_seek(loader->sampler, loader->ended, 0);
    const int64_t *ids;
    int64_t count = sw_sampler_next(loader->sampler, &ids);
    sw_status status = loader_finish_prefetch(loader)
                           ? loader_put_prefetched(loader, tape, batch)
                           : sw_source_batch_with_draw(loader->source, tape, loader->options.type,
                                                       (uint64_t)loader->ended, ids, count, batch);
    if (status != SW_OK) {
        *batch = (sw_batch){0};
        return loader_fail(loader);
    }
    loader->last = batch->x;
    loader->position += count;
    count = loader_peek(loader, &ids);
    loader->at_end = count == 0;
    if (count > 0)
        loader_prefetch(loader, ids, count);
    return true;
}

int64_t sw_loader_batches(const sw_loader *loader) {
    if (!loader)
        return 0;
    return loader->options.drop_last ? loader->source->n / loader->batch : sw_sampler_steps_per_epoch(loader->sampler);
}

int64_t sw_loader_epoch(const sw_loader *loader) {
    if (!loader)
        return 0;
    /* Counting refused calls ends a loop over epochs that never checks sw_error. */
    return loader->ended + (sw_error() ? loader->refused : 0);
}

bool sw_loader_prefetches(const sw_loader *loader) {
    return loader && loader->thread;
}

/* ---- Checkpoints ---- */

static sw_loader_position loader_position(const sw_loader *loader) {
    return (sw_loader_position){.size = sizeof(sw_loader_position),
                                .seed = loader->options.seed,
                                .order = loader->options.order,
                                .n = loader->source->n,
                                .batch = loader->batch,
                                .drop_last = loader->options.drop_last,
                                .epoch = loader->ended,
                                .position = loader->position};
}

sw_status sw_loader_get_position(const sw_loader *loader, sw_loader_position *position) {
    if (!loader || !position)
        return sw_fail(SW_ERR_ARGUMENT, "loader_get_position: the %s is NULL", loader ? "position" : "loader");
    sw_loader_position current = {0};
    SW_TRY(sw_options_copy("loader_get_position", "sw_loader_position", &current, sizeof current, position,
                           sizeof current));
    *position = loader_position(loader);
    return SW_OK;
}

static sw_status loader_check_same(const char *what, int64_t loaders, int64_t given) {
    return loaders == given
               ? SW_OK
               : sw_fail(SW_ERR_ARGUMENT, "loader_set_position: %s is %lld here, and %lld in the saved position", what,
                         (long long)loaders, (long long)given);
}

sw_status sw_loader_set_position(sw_loader *loader, const sw_loader_position *position) {
    if (!loader || !position)
        return sw_fail(SW_ERR_ARGUMENT, "loader_set_position: the %s is NULL", loader ? "position" : "loader");
    sw_loader_position p = {0}, current = loader_position(loader);
    SW_TRY(sw_options_copy("loader_set_position", "sw_loader_position", &p, sizeof p, position, sizeof p));
    SW_TRY(loader_check_same("n", current.n, p.n));
    SW_TRY(loader_check_same("batch", current.batch, p.batch));
    SW_TRY(loader_check_same("order", current.order, p.order));
    SW_TRY(loader_check_same("drop_last", current.drop_last, p.drop_last));
    if (current.seed != p.seed)
        return sw_fail(SW_ERR_ARGUMENT, "loader_set_position: seed is %llu here, and %llu in the saved position",
                       (unsigned long long)current.seed, (unsigned long long)p.seed);
    int64_t most = p.drop_last ? p.n - p.n % p.batch : p.n;
    if (p.epoch < 0 || p.position < 0 || p.position > most || (p.position % p.batch != 0 && p.position != p.n))
        return sw_fail(SW_ERR_ARGUMENT,
                       "loader_set_position: epoch %lld, position %lld is not at the beginning of a batch",
                       (long long)p.epoch, (long long)p.position);
    loader_finish_prefetch(loader);
    SW_TRY(sw_sampler_seek(loader->sampler, p.epoch, p.position));
    const int64_t *ids;
    loader->ended = p.epoch;
    loader->position = p.position;
    loader->at_end = loader_peek(loader, &ids) == 0;
    return SW_OK;
}
