/* Sequences of different lengths, padded to the same length. */
#include <swale/extend.h>

#include "datasets/text/id_array.h"

typedef struct padded {
    sw_source source; /* first, so that a pointer to the source is a pointer to the struct */
    swd_id_array ids, labels;
    int64_t *start; /* [n + 1]: where a sequence begins in the ids */
    int64_t length;
    int32_t padding_id;
    bool labeled;
} padded;

/* Writes the ids of a sequence from its id number `from` (0 for x, 1 for targets), and `fill` behind them. */
static void padded_read(const padded *p, int64_t id, int64_t from, int32_t fill, int32_t *out) {
    const int64_t first = p->start[id] + from, all = p->start[id + 1] - first,
                  count = all < p->length ? all : p->length;
    swd_id_array_read(&p->ids, first, count, out);
    for (int64_t i = count; i < p->length; i++)
        out[i] = fill;
}

static sw_status padded_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                               void *x, void *y) {
    const padded *p = (const padded *)source;
    (void)draw, (void)type;
    for (int64_t i = 0; i < count; i++) {
        if (x)
            padded_read(p, ids[i], 0, p->padding_id, (int32_t *)x + i * p->length);
        if (y && p->labeled)
            swd_id_array_read(&p->labels, ids[i], 1, (int32_t *)y + i);
        else if (y)
            padded_read(p, ids[i], 1, SW_NO_TARGET, (int32_t *)y + i * p->length);
    }
    return SW_OK;
}

static void padded_free(sw_source *source) {
    padded *p = (padded *)source;
    sw_may_free(p, "source");
    swd_id_array_free(&p->ids);
    swd_id_array_free(&p->labels);
    sw_free(p->start);
    sw_free(p);
}

static sw_status padded_check_lengths(const sw_array *lengths) {
    if (!lengths || !lengths->data)
        return sw_fail(SW_ERR_ARGUMENT, "padded_sequences: lengths %s", lengths ? "have no data" : "is NULL");
    if (lengths->type != SW_I32 && lengths->type != SW_I64)
        return sw_fail(SW_ERR_TYPE, "padded_sequences: the lengths are %s; i32 or i64 is needed",
                       sw_dtype_name(lengths->type));
    if (lengths->rank != 1 || lengths->shape[0] < 1)
        return sw_fail(SW_ERR_SHAPE, "padded_sequences: lengths %s is not [n] with n ≥ 1",
                       sw_shape_text(lengths->rank, lengths->shape));
    return SW_OK;
}

/* Computes where the sequences begin, and the length of x. */
static sw_status padded_set_lengths(padded *p, const sw_array *lengths, const sw_padded_sequences_options *o) {
    SW_TRY(padded_check_lengths(lengths));
    const int64_t n = lengths->shape[0], least = p->labeled ? 1 : 2;
    int64_t longest = 0;
    p->start = sw_alloc_array_for(SW_ACCOUNT_DATA, n + 1, sizeof *p->start);
    if (!p->start)
        return SW_ERR_MEMORY;
    for (int64_t i = 0; i < n; i++) {
        const int64_t length =
            lengths->type == SW_I32 ? ((const int32_t *)lengths->data)[i] : ((const int64_t *)lengths->data)[i];
        if (length < least || length > p->ids.count - p->start[i])
            return sw_fail(SW_ERR_ARGUMENT,
                           "padded_sequences: length %lld of sequence %lld; %lld to the %lld ids that "
                           "follow the other sequences are possible",
                           (long long)length, (long long)i, (long long)least, (long long)(p->ids.count - p->start[i]));
        if (o->length > 0 && length > o->length && !o->truncate)
            return sw_fail(SW_ERR_ARGUMENT,
                           "padded_sequences: sequence %lld has %lld ids, more than `length`, %lld "
                           "(option truncate)",
                           (long long)i, (long long)length, (long long)o->length);
        longest = length > longest ? length : longest;
        p->start[i + 1] = p->start[i] + length;
    }
    if (p->start[n] < p->ids.count)
        return sw_fail(SW_ERR_ARGUMENT, "padded_sequences: the lengths add up to %lld, and there are %lld ids",
                       (long long)p->start[n], (long long)p->ids.count);
    p->length = o->length > 0 ? o->length : longest;
    p->source.n = n;
    p->source.x_shape[0] = p->source.y_shape[0] = p->length;
    return SW_OK;
}

static sw_status padded_set_labels(padded *p, const sw_padded_sequences_options *o, int64_t *classes) {
    SW_TRY(swd_id_array_init(&p->labels, "padded_sequences", "labels", o->labels, o->copy, classes));
    p->source.y_rank = 0;
    if (p->labels.count != p->source.n)
        return sw_fail(SW_ERR_SHAPE, "padded_sequences: %lld labels for %lld sequences", (long long)p->labels.count,
                       (long long)p->source.n);
    return SW_OK;
}

static sw_status padded_init(padded *p, const sw_array *ids, const sw_array *lengths,
                             const sw_padded_sequences_options *o) {
    p->labeled = o->labels != NULL;
    p->padding_id = o->padding_id;
    int64_t classes = o->classes, of_ids = p->labeled ? 0 : classes;
    if (o->length < 0 || o->padding_id < 0)
        return sw_fail(SW_ERR_ARGUMENT, "padded_sequences: length %lld and padding id %d; both must be at least 0",
                       (long long)o->length, (int)o->padding_id);
    SW_TRY(swd_id_array_init(&p->ids, "padded_sequences", "ids", ids, o->copy, &of_ids));
    SW_TRY(padded_set_lengths(p, lengths, o));
    if (p->labeled)
        SW_TRY(padded_set_labels(p, o, &classes));
    p->source.classes = (int)(p->labeled ? classes : of_ids);
    return SW_OK;
}

sw_source *sw_padded_sequences(const sw_array *ids, const sw_array *lengths,
                               const sw_padded_sequences_options *options) {
    sw_padded_sequences_options o = {0};
    if (options &&
        sw_options_copy("padded_sequences", "sw_padded_sequences_options", &o, sizeof o, options, sizeof o) != SW_OK)
        return NULL;
    padded *p = sw_alloc_for(SW_ACCOUNT_DATA, sizeof *p);
    if (!p)
        return NULL;
    p->source = (sw_source){.size = sizeof p->source,
                            .x_rank = 1,
                            .y_rank = 1,
                            .x_type = SW_I32,
                            .y_type = SW_I32,
                            .gather = padded_gather,
                            .free = padded_free,
                            .fixed = true};
    if (padded_init(p, ids, lengths, &o) == SW_OK)
        return &p->source;
    padded_free(&p->source);
    return NULL;
}
