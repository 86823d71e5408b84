/* A source that applies a user's function to each sample. */
#include <swale/extend.h>
#include <swale/transforms.h>

#include "datasets/scratch.h"
#include "datasets/wrapped_source.h"

#include <string.h>

typedef struct mapper {
    swd_wrapped_source wrap; /* first, so that a pointer to the source is a pointer to the struct */
    swd_scratch *scratch;    /* the input and the output of the function for one sample, in f64 */
    sw_map_function function;
    void *user;
    int64_t before, after; /* numbers of elements in the input and in the output */
} mapper;

static sw_status map_samples(const mapper *s, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type, void *x,
                             double *in) {
    const sw_source *inner = s->wrap.inner;
    double *out = in + s->before;
    for (int64_t i = 0; i < count; i++) {
        SW_TRY(inner->gather(inner, ids + i, 1, draw, SW_F64, in, NULL));
        sw_status status = s->function(s->user, ids[i], draw, in, out);
        if (status != SW_OK)
            return sw_fail(status, "map: the function returned status %d without a message for sample %lld",
                           (int)status, (long long)ids[i]);
        if (type == SW_F64)
            memcpy((double *)x + i * s->after, out, (size_t)s->after * sizeof *out);
        for (int64_t j = 0; j < s->after && type == SW_F32; j++)
            ((float *)x)[i * s->after + j] = (float)out[j];
    }
    return SW_OK;
}

static sw_status mapper_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                               void *x, void *y) {
    const mapper *s = (const mapper *)source;
    const sw_source *inner = s->wrap.inner;
    if (y)
        SW_TRY(inner->gather(inner, ids, count, draw, type, NULL, y));
    if (!x)
        return SW_OK;
    void *in = swd_scratch_take(s->scratch);
    if (!in)
        return SW_ERR_MEMORY;
    sw_status status = map_samples(s, ids, count, draw, type, x, in);
    swd_scratch_release(s->scratch, in);
    return status;
}

static void mapper_free(sw_source *source) {
    mapper *s = (mapper *)source;
    swd_wrapped_source_release(&s->wrap);
    if (s->scratch)
        swd_scratch_free(s->scratch);
    sw_free(s->scratch);
    sw_free(s);
}

static sw_status map_set_shape(sw_source *out, const sw_map_options *o) {
    if (!o->reshape)
        return SW_OK;
    if (o->rank < 0 || o->rank >= SW_MAX_RANK)
        return sw_fail(SW_ERR_SHAPE, "map: a sample has 0 to %d axes, not %d", SW_MAX_RANK - 1, o->rank);
    int64_t count = 1;
    for (int i = 0; i < o->rank; i++) {
        if (o->shape[i] < 1 || count > INT64_MAX / 32 / o->shape[i])
            return sw_fail(SW_ERR_SHAPE, "map: %s is not a valid shape of a sample", sw_shape_text(o->rank, o->shape));
        count *= o->shape[i];
    }
    out->x_rank = o->rank;
    for (int i = 0; i < o->rank; i++)
        out->x_shape[i] = o->shape[i];
    return SW_OK;
}

static sw_status map_init(mapper *s, const sw_source *source, const sw_map_options *o) {
    SW_TRY(map_set_shape(&s->wrap.source, o));
    s->before = swd_sample_count(source);
    s->after = swd_sample_count(&s->wrap.source);
    s->scratch = sw_alloc_for(SW_ACCOUNT_DATA, sizeof *s->scratch);
    return s->scratch ? swd_scratch_init(s->scratch, (size_t)(s->before + s->after) * sizeof(double)) : SW_ERR_MEMORY;
}

sw_source *sw_map(sw_source *source, sw_map_function function, void *user, const sw_map_options *options) {
    sw_map_options o = {0};
    if (options && sw_options_copy("map", "sw_map_options", &o, sizeof o, options, sizeof o) != SW_OK)
        return NULL;
    sw_status status = swd_check_source("map", source);
    if (status == SW_OK)
        status = swd_check_numbers("map", source);
    if (status == SW_OK && !function)
        status = sw_fail(SW_ERR_ARGUMENT, "map: the function is NULL");
    mapper *s = status == SW_OK ? sw_alloc_for(SW_ACCOUNT_DATA, sizeof *s) : NULL;
    if (!s) {
        swd_free_owned_source(source, o.owns_source);
        return NULL;
    }
    swd_wrapped_source_init(&s->wrap, source, o.owns_source);
    s->wrap.source.gather = mapper_gather;
    s->wrap.source.fixed = false; /* the function may give other values for each draw */
    s->wrap.source.free = mapper_free;
    s->wrap.source.costly = true;
    s->function = function;
    s->user = user;
    if (map_init(s, source, &o) != SW_OK) {
        mapper_free(&s->wrap.source);
        return NULL;
    }
    return &s->wrap.source;
}
