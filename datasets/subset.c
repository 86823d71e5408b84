/* Subsets and splits of a source: views by lists of ids, and the distribution of all samples to several views. */
#include <swale/extend.h>
#include <swale/transforms.h>

#include "datasets/wrapped_source.h"

#include <stdatomic.h>
#include <string.h>

#include <math.h>

/* ---- A source that several parts own ---- */

typedef struct shared {
    sw_source *source;
    atomic_int owners;
} shared;

static void shared_release(shared *s) {
    if (s && atomic_fetch_sub_explicit(&s->owners, 1, memory_order_acq_rel) == 1) {
        sw_source_free(s->source);
        sw_free(s);
    }
}

/* NULL and an error if there is no memory; the source is then freed. */
static shared *shared_new(sw_source *source) {
    shared *s = sw_alloc_for(SW_ACCOUNT_DATA, sizeof *s);
    if (!s) {
        sw_source_free(source);
        return NULL;
    }
    s->source = source;
    atomic_init(&s->owners, 1);
    return s;
}

/* ---- A subset ---- */

typedef struct subset {
    sw_source source; /* first, so that a pointer to the source is a pointer to the struct */
    const sw_source *inner;
    int64_t *ids;        /* [n]: ids in the inner source; NULL: the first n samples */
    shared *owned;       /* NULL: the subset does not own the inner source */
    sw_source_hold hold; /* of inner */
} subset;

enum { CHUNK = 64 }; /* number of ids that are translated at once */

static sw_status subset_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                               void *x, void *y) {
    const subset *s = (const subset *)source;
    if (!s->ids)
        return s->inner->gather(s->inner, ids, count, draw, type, x, y);
    const int64_t x_bytes = swd_sample_bytes(source, type), y_bytes = swd_target_bytes(source, type);
    for (int64_t at = 0; at < count; at += CHUNK) {
        int64_t inner[CHUNK], n = count - at < CHUNK ? count - at : CHUNK;
        for (int64_t i = 0; i < n; i++)
            inner[i] = s->ids[ids[at + i]];
        SW_TRY(s->inner->gather(s->inner, inner, n, draw, type, x ? (char *)x + at * x_bytes : NULL,
                                y ? (char *)y + at * y_bytes : NULL));
    }
    return SW_OK;
}

static void subset_prefetch(const sw_source *source, const int64_t *ids, int64_t count) {
    const subset *s = (const subset *)source;
    if (!s->ids) {
        s->inner->prefetch(s->inner, ids, count);
        return;
    }
    for (int64_t at = 0; at < count; at += CHUNK) {
        int64_t inner[CHUNK], n = count - at < CHUNK ? count - at : CHUNK;
        for (int64_t i = 0; i < n; i++)
            inner[i] = s->ids[ids[at + i]];
        s->inner->prefetch(s->inner, inner, n);
    }
}

static void subset_free(sw_source *source) {
    subset *s = (subset *)source;
    sw_may_free(s, "source");
    shared_release(s->owned);
    sw_source_release(&s->hold);
    sw_free(s->ids);
    sw_free(s);
}

/* Makes a subset of the samples `ids` (NULL: the first n), and adds it to the owners of `owned`. */
static subset *subset_new(const sw_source *inner, const int64_t *ids, int64_t n, shared *owned) {
    subset *s = sw_alloc_for(SW_ACCOUNT_DATA, sizeof *s);
    if (!s)
        return NULL;
    swd_copy_source(&s->source, inner);
    s->source.n = n;
    s->source.gather = subset_gather;
    s->source.prefetch = inner->prefetch ? subset_prefetch : NULL;
    s->source.free = subset_free;
    s->source.x_memory = s->source.y_memory = NULL;
    s->source.x_sparse = NULL;
    s->inner = inner;
    if (ids) {
        s->ids = sw_alloc_array_for(SW_ACCOUNT_DATA, n, sizeof *ids);
        if (!s->ids) {
            sw_free(s);
            return NULL;
        }
        memcpy(s->ids, ids, (size_t)n * sizeof *ids);
    }
    sw_source_retain(&s->hold, inner);
    s->owned = owned;
    if (owned)
        atomic_fetch_add_explicit(&owned->owners, 1, memory_order_relaxed);
    return s;
}

/* Makes a subset of a source. With `owns_source` it takes over the source, also if the function fails. */
static sw_source *subset_of_source(sw_source *source, const int64_t *ids, int64_t n, bool owns_source) {
    shared *owned = owns_source ? shared_new(source) : NULL;
    if (owns_source && !owned)
        return NULL;
    subset *s = subset_new(source, ids, n, owned);
    shared_release(owned); /* the subset is a separate owner */
    return s ? &s->source : NULL;
}

static sw_status subset_check(const sw_source *source, const int64_t *ids, int64_t count) {
    SW_TRY(swd_check_source("subset", source));
    if (!ids || count < 1)
        return sw_fail(SW_ERR_ARGUMENT, "subset: %lld ids; at least 1 is needed", ids ? (long long)count : 0LL);
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= source->n)
            return sw_fail(SW_ERR_ARGUMENT, "subset: ids[%lld] is %lld, outside 0 to %lld", (long long)i,
                           (long long)ids[i], (long long)source->n - 1);
    return SW_OK;
}

sw_source *sw_subset(sw_source *source, const int64_t *ids, int64_t count, const sw_wrap_options *options) {
    sw_wrap_options o = {0};
    if (options && sw_options_copy("subset", "sw_wrap_options", &o, sizeof o, options, sizeof o) != SW_OK)
        return NULL;
    if (subset_check(source, ids, count) != SW_OK) {
        swd_free_owned_source(source, o.owns_source);
        return NULL;
    }
    return subset_of_source(source, ids, count, o.owns_source);
}

sw_source *sw_take(sw_source *source, int64_t count, const sw_wrap_options *options) {
    sw_wrap_options o = {0};
    if (options && sw_options_copy("take", "sw_wrap_options", &o, sizeof o, options, sizeof o) != SW_OK)
        return NULL;
    sw_status status = swd_check_source("take", source);
    if (status == SW_OK && (count < 1 || count > source->n))
        status =
            sw_fail(SW_ERR_ARGUMENT, "take: %lld samples, outside 1 to %lld", (long long)count, (long long)source->n);
    if (status != SW_OK) {
        swd_free_owned_source(source, o.owns_source);
        return NULL;
    }
    return subset_of_source(source, NULL, count, o.owns_source);
}

/* ---- Splits ---- */

/* Converts fractions to numbers of samples: each is rounded down, and the parts with the largest remainders get the
 * missing samples. */
static sw_status split_counts_of_fractions(int64_t n, int parts, const double *fraction, int64_t *count) {
    double sum = 0;
    int64_t given = 0;
    for (int p = 0; p < parts; p++) {
        if (!(fraction[p] > 0 && fraction[p] <= 1))
            return sw_fail(SW_ERR_ARGUMENT, "split: fractions[%d] is %g, outside (0, 1]", p, fraction[p]);
        sum += fraction[p];
    }
    if (fabs(sum - 1) > 1e-9)
        return sw_fail(SW_ERR_ARGUMENT, "split: the fractions add up to %.10g, not 1", sum);
    for (int p = 0; p < parts; p++)
        given += count[p] = (int64_t)floor(fraction[p] * (double)n);
    for (; given < n; given++) { /* fewer than `parts` times, apart from rounding errors of 1e-9 n */
        int best = 0;
        for (int p = 1; p < parts; p++)
            if (fraction[p] * (double)n - (double)count[p] > fraction[best] * (double)n - (double)count[best])
                best = p;
        count[best]++;
    }
    for (; given > n; given--) { /* if the sum of the fractions is slightly above 1 */
        int best = 0;
        for (int p = 1; p < parts; p++)
            best = count[p] > count[best] ? p : best;
        count[best]--;
    }
    for (int p = 0; p < parts; p++)
        if (count[p] < 1)
            return sw_fail(SW_ERR_ARGUMENT, "split: part %d, %g of %lld samples, would be empty", p, fraction[p],
                           (long long)n);
    return SW_OK;
}

static sw_status split_check_counts(int64_t n, int parts, const int64_t *given, int64_t *count) {
    int64_t sum = 0;
    for (int p = 0; p < parts; p++) {
        if (given[p] < 1 || given[p] > n)
            return sw_fail(SW_ERR_ARGUMENT, "split: counts[%d] is %lld, outside 1 to %lld", p, (long long)given[p],
                           (long long)n);
        if (sum <= n)
            sum += given[p];
        count[p] = given[p];
    }
    return sum == n ? SW_OK
                    : sw_fail(SW_ERR_ARGUMENT, "split: the counts add up to %s %lld samples",
                              sum < n ? "less than" : "more than", (long long)n);
}

static void split_shuffle(sw_rng *rng, int64_t n, int64_t *ids) {
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)sw_rng_below(rng, (uint64_t)i + 1), t = ids[i];
        ids[i] = ids[j];
        ids[j] = t;
    }
}

/* Sorts shuffled ids by class into `sorted` [n], with a stable sort. */
static sw_status split_sort_by_class(const sw_source *source, const int64_t *ids, int64_t *sorted) {
    const int64_t n = source->n;
    int64_t *start = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, (int64_t)source->classes + 1, sizeof *start);
    int32_t *label = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, n, sizeof *label);
    sw_status status = start && label ? sw_source_gather(source, SW_F32, 0, ids, n, NULL, label) : SW_ERR_MEMORY;
    for (int64_t i = 0; i < n && status == SW_OK; i++)
        if (label[i] < 0 || label[i] >= source->classes)
            status = sw_fail(SW_ERR_ARGUMENT, "split: the class of sample %lld is %d, outside 0 to %d",
                             (long long)ids[i], (int)label[i], source->classes - 1);
        else
            start[label[i] + 1]++;
    for (int c = 1; c <= source->classes && status == SW_OK; c++)
        start[c] += start[c - 1];
    for (int64_t i = 0; i < n && status == SW_OK; i++)
        sorted[start[label[i]]++] = ids[i];
    sw_free(start);
    sw_free(label);
    return status;
}

/* Selects the part that receives the t-th sample (t from 1). After every t, each part has its fraction of t to within 1
 * sample: the chairman assignment (R. Tijdeman, Discrete Mathematics 32, 1980). Of the parts that lack at least
 * 1/(2k-2) samples (k: the number of parts), it is the one whose deadline comes first. */
static int split_chairman(int64_t t, int64_t n, int parts, const int64_t *count, const int64_t *given) {
    const double margin = parts > 1 ? 1 / (2.0 * parts - 2) : 0;
    int best = -1, most_short = -1;
    double least = 0, most = 0;
    for (int p = 0; p < parts; p++) {
        if (given[p] >= count[p])
            continue;
        double fraction = (double)count[p] / (double)n;
        double missing = (double)t * fraction - (double)given[p];
        double deadline = (1 - margin - missing) / fraction;
        if (missing >= margin - 1e-9 && (best < 0 || deadline < least)) {
            best = p;
            least = deadline;
        }
        if (most_short < 0 || missing > most) { /* used if rounding errors leave no part in `best` */
            most_short = p;
            most = missing;
        }
    }
    return best >= 0 ? best : most_short;
}

/* Fills ids: the ids of part 0, then the ids of part 1, and so on. */
static sw_status split_assign(const sw_source *source, int parts, const sw_split_options *o, const int64_t *count,
                              int64_t *ids) {
    const int64_t n = source->n;
    sw_rng rng = {.key = sw_rng_key(o->seed, "split")};
    for (int64_t i = 0; i < n; i++)
        ids[i] = i;
    split_shuffle(&rng, n, ids);
    if (!o->stratified)
        return SW_OK;
    int64_t *sorted = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, n, sizeof *sorted);
    int64_t *given = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, 2 * (int64_t)parts, sizeof *given);
    sw_status status = sorted && given ? split_sort_by_class(source, ids, sorted) : SW_ERR_MEMORY;
    if (status == SW_OK) {
        int64_t *start = given + parts;
        for (int p = 1; p < parts; p++)
            start[p] = start[p - 1] + count[p - 1];
        for (int64_t t = 1; t <= n; t++) {
            int p = split_chairman(t, n, parts, count, given);
            ids[start[p] + given[p]++] = sorted[t - 1];
        }
        for (int p = 0; p < parts; p++)
            split_shuffle(&rng, count[p], ids + start[p]);
    }
    sw_free(sorted);
    sw_free(given);
    return status;
}

static sw_status split_check(const sw_source *source, int parts, const sw_split_options *o) {
    SW_TRY(swd_check_source("split", source));
    if (parts < 1 || parts > source->n)
        return sw_fail(SW_ERR_ARGUMENT, "split: %d parts of %lld samples", parts, (long long)source->n);
    if (!o->fractions == !o->counts)
        return sw_fail(SW_ERR_ARGUMENT, "split: one of fractions and counts is needed, %s given",
                       o->fractions ? "both are" : "neither is");
    if (o->stratified && (source->classes < 1 || source->y_type != SW_I32 || source->y_rank != 0))
        return sw_fail(SW_ERR_ARGUMENT, "split: stratified, but the source has no class ids");
    return SW_OK;
}

static sw_status split_source(sw_source *source, int parts, const sw_split_options *o, shared *owned, sw_source **out) {
    int64_t *ids = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, source->n, sizeof *ids);
    int64_t *count = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, parts, sizeof *count), at = 0;
    sw_status status = ids && count ? SW_OK : SW_ERR_MEMORY;
    if (status == SW_OK)
        status = o->fractions ? split_counts_of_fractions(source->n, parts, o->fractions, count)
                              : split_check_counts(source->n, parts, o->counts, count);
    if (status == SW_OK)
        status = split_assign(source, parts, o, count, ids);
    for (int p = 0; p < parts && status == SW_OK; at += count[p++]) {
        subset *s = subset_new(source, ids + at, count[p], owned);
        out[p] = s ? &s->source : NULL;
        status = s ? SW_OK : SW_ERR_MEMORY;
    }
    for (int p = 0; p < parts && status != SW_OK; p++) {
        sw_source_free(out[p]);
        out[p] = NULL;
    }
    sw_free(ids);
    sw_free(count);
    return status;
}

sw_status sw_split_source(sw_source *source, int parts, const sw_split_options *options, sw_source **out) {
    for (int p = 0; p < parts && out; p++)
        out[p] = NULL;
    if (!options || !out)
        return sw_fail(SW_ERR_ARGUMENT, "split: %s NULL", out ? "options are" : "out is");
    sw_split_options o = {0};
    SW_TRY(sw_options_copy("split", "sw_split_options", &o, sizeof o, options, sizeof o));
    sw_status status = split_check(source, parts, &o);
    if (status != SW_OK) {
        swd_free_owned_source(source, o.owns_source);
        return status;
    }
    shared *owned = o.owns_source ? shared_new(source) : NULL;
    if (o.owns_source && !owned)
        return SW_ERR_MEMORY;
    status = split_source(source, parts, &o, owned, out);
    shared_release(owned);
    return status;
}
