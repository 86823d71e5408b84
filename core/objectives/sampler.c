/* The order of samples. */
#include <swale/memory.h>
#include <swale/random.h>
#include <swale/sampler.h>

/* ---- Samplers ---- */

struct sw_sampler {
    int64_t n, batch, next, epoch; /* next: position of the next batch in ids; epoch: the epoch of ids */
    int64_t last_epoch;            /* the epoch of the most recent batch */
    bool ended;                    /* that batch was the last of its epoch */
    sw_order order;
    uint64_t seed;
    int64_t *ids;
};

/* Computes the order of s->epoch, which depends only on the seed and the epoch. */
static void sampler_arrange(sw_sampler *s) {
    sw_rng rng = {.key = sw_rng_key(s->seed + 0x9E3779B97F4A7C15u * (uint64_t)s->epoch, "sampler")};
    if (s->order == SW_WITH_REPLACEMENT) {
        for (int64_t i = 0; i < s->n; i++)
            s->ids[i] = (int64_t)sw_rng_below(&rng, (uint64_t)s->n);
        return;
    }
    for (int64_t i = 0; i < s->n; i++)
        s->ids[i] = i;
    for (int64_t i = s->n - 1; i > 0 && s->order == SW_SHUFFLE; i--) { /* Fisher-Yates */
        int64_t j = (int64_t)sw_rng_below(&rng, (uint64_t)i + 1), t = s->ids[i];
        s->ids[i] = s->ids[j];
        s->ids[j] = t;
    }
}

static void sampler_set_epoch(sw_sampler *s, int64_t epoch) {
    if (s->epoch == epoch)
        return;
    s->epoch = epoch;
    if (s->order != SW_SEQUENTIAL)
        sampler_arrange(s);
}

sw_sampler *sw_sampler_new(int64_t n, int64_t batch, sw_order order, uint64_t seed) {
    if (n < 1 || batch < 1) {
        sw_fail(SW_ERR_ARGUMENT, "sampler: %lld samples in batches of %lld", (long long)n, (long long)batch);
        return NULL;
    }
    if (order != SW_SHUFFLE && order != SW_SEQUENTIAL && order != SW_WITH_REPLACEMENT) {
        sw_fail(SW_ERR_ARGUMENT, "sampler: %d is not a value of sw_order", (int)order);
        return NULL;
    }
    sw_sampler *s = sw_alloc_for(SW_ACCOUNT_DATA, sizeof *s);
    if (!s)
        return NULL;
    *s = (sw_sampler){.n = n, .batch = batch, .order = order, .seed = seed};
    s->ids = sw_alloc_array_for(SW_ACCOUNT_DATA, n, sizeof *s->ids);
    if (!s->ids) {
        sw_free(s);
        return NULL;
    }
    sampler_arrange(s);
    return s;
}

void sw_sampler_free(sw_sampler *s) {
    if (!s || !sw_may_free(s, "sampler"))
        return;
    sw_free(s->ids);
    sw_free(s);
}

int64_t sw_sampler_next(sw_sampler *s, const int64_t **ids) {
    if (!s || !ids)
        return 0;
    if (s->next >= s->n) {
        sampler_set_epoch(s, s->epoch + 1);
        s->next = 0;
    }
    int64_t count = s->n - s->next < s->batch ? s->n - s->next : s->batch;
    *ids = s->ids + s->next;
    s->next += count;
    s->last_epoch = s->epoch;
    s->ended = s->next >= s->n;
    return count;
}

int64_t sw_sampler_peek(const sw_sampler *s, const int64_t **ids) {
    *ids = s->ids + s->next;
    return s->n - s->next < s->batch ? s->n - s->next : s->batch;
}

int64_t sw_sampler_steps_per_epoch(const sw_sampler *s) {
    return (s->n - 1) / s->batch + 1; /* n + batch may be too large */
}

int64_t sw_sampler_epoch(const sw_sampler *s) {
    return s->last_epoch;
}

bool sw_sampler_at_end(const sw_sampler *s) {
    return s->ended;
}

int64_t sw_sampler_position(const sw_sampler *s) {
    return s->next;
}

sw_status sw_sampler_seek(sw_sampler *s, int64_t epoch, int64_t position) {
    if (!s)
        return sw_fail(SW_ERR_ARGUMENT, "sampler: seek of NULL");
    if (epoch < 0 || position < 0 || position > s->n || (position % s->batch != 0 && position != s->n))
        return sw_fail(SW_ERR_ARGUMENT,
                       "sampler: epoch %lld, position %lld is not at the end of a batch of %lld of the "
                       "%lld samples",
                       (long long)epoch, (long long)position, (long long)s->batch, (long long)s->n);
    sampler_set_epoch(s, epoch);
    s->next = position;
    s->last_epoch = epoch;
    s->ended = position == s->n;
    return SW_OK;
}
