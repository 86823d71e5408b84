/* Batches of a source, one after the other: a sampler says which, core gathers them. */
#include "internal.h"

struct sw_loader {
    const sw_source *source;
    sw_sampler *sampler;
    sw_dtype type;
    bool at_end;   /* the next call ends the epoch */
    int64_t ended; /* epochs */
    sw_tensor last; /* x of the batch given last, to see whether its tape was reset */
};

static sw_status check_options(sw_loader_options *o, const sw_loader_options *given) {
    if (given)
        SW_TRY(sw_take_options("loader", "sw_loader_options", o, sizeof *o, given, sizeof *o));
    if (o->type != SW_F32 && o->type != SW_F64)
        return sw_fail(SW_ERR_TYPE, "loader: x is f32 or f64, not %s", sw_dtype_name(o->type));
    if (o->order != SW_SEQUENTIAL && o->order != SW_SHUFFLE && o->order != SW_WITH_REPLACEMENT)
        return sw_fail(SW_ERR_ARGUMENT, "loader: there is no order %d", (int)o->order);
    return SW_OK;
}

sw_loader *sw_loader_new(const sw_source *source, int64_t batch, const sw_loader_options *options) {
    sw_loader_options o = {.type = SW_F32, .order = SW_SHUFFLE};
    if (!source) {
        sw_fail(SW_ERR_ARGUMENT, "loader: the source is NULL");
        return NULL;
    }
    if (check_options(&o, options) != SW_OK)
        return NULL;
    if (source->n < 1 || batch < 1) {
        sw_fail(SW_ERR_ARGUMENT, "loader: %lld samples in batches of %lld: both must be at least 1",
                (long long)source->n, (long long)batch);
        return NULL;
    }
    sw_loader *loader = sw_alloc(sizeof *loader);
    if (!loader)
        return NULL;
    *loader = (sw_loader){.source = source, .type = o.type};
    loader->sampler = sw_sampler_new(source->n, batch, o.order, o.seed);
    if (!loader->sampler) {
        sw_free(loader);
        return NULL;
    }
    return loader;
}

void sw_loader_free(sw_loader *loader) {
    if (!loader)
        return;
    sw_sampler_free(loader->sampler);
    sw_free(loader);
}

static bool end_epoch(sw_loader *loader) {
    loader->at_end = false;
    loader->ended++;
    return false;
}

/* After a failure the rest of the epoch is passed over, so that a loop over epochs comes to an end
 * even if it never looks at sw_error. */
static bool give_up(sw_loader *loader) {
    for (const int64_t *ids; !sw_sampler_at_end(loader->sampler);)
        sw_sampler_next(loader->sampler, &ids);
    return end_epoch(loader);
}

bool sw_loader_next(sw_loader *loader, sw_tape *tape, sw_batch *batch) {
    if (batch)
        *batch = (sw_batch){0};
    if (!loader || !tape || !batch) {
        sw_fail(SW_ERR_ARGUMENT, "loader: the %s is NULL",
                !loader ? "loader"
                : !tape ? "tape"
                        : "batch");
        return false;
    }
    if (loader->last.tape == tape && sw_is_live(loader->last)) {
        sw_fail(SW_ERR_STATE, "loader: the last batch is still on the tape; call sw_tape_reset between "
                              "batches");
        return give_up(loader);
    }
    if (loader->at_end)
        return end_epoch(loader);
    const int64_t *ids;
    int64_t count = sw_sampler_next(loader->sampler, &ids);
    if (sw_source_batch(loader->source, tape, loader->type, ids, count, batch) != SW_OK) {
        *batch = (sw_batch){0};
        return give_up(loader);
    }
    loader->last = batch->x;
    loader->at_end = sw_sampler_at_end(loader->sampler);
    count = sw_sampler_peek(loader->sampler, &ids);
    if (count > 0 && loader->source->prefetch)
        loader->source->prefetch(loader->source, ids, count);
    return true;
}

int64_t sw_loader_batches(const sw_loader *loader) {
    return loader ? sw_sampler_steps_per_epoch(loader->sampler) : 0;
}

int64_t sw_loader_epoch(const sw_loader *loader) {
    return loader ? loader->ended : 0;
}
