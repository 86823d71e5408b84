/* Sorting along an axis, and the k largest or smallest elements. The operations compute ids, gather the elements by
 * them, and add the gradient at the ids.
 *
 * An element becomes a key, an unsigned integer with the order of the elements: of -0 and 0, which are equal, the key
 * is the same, and that of a NaN is the largest. For a descending order, the keys are inverted. An axis is sorted by a
 * stable radix sort, the k first elements of a long axis are selected with a heap. */
#include <swale/extend.h>

#include "core/ops/shared.h"

#include <string.h>

/* Unsigned types by which elements are read. */
typedef uint8_t __attribute__((may_alias)) bits8;
typedef uint16_t __attribute__((may_alias)) bits16;
typedef uint32_t __attribute__((may_alias)) bits32;
typedef uint64_t __attribute__((may_alias)) bits64;

/* ---- Keys ---- */

/* Sets key[i] to the key of element begin + i of a column, whose elements are `stride` apart. */
typedef void sort_keys(const void *column, int64_t stride, int64_t begin, int64_t count, uint64_t *key);

/* For a floating-point type with this sign bit and these bits of ∞. */
#define FLOAT_KEYS(name, type, sign, infinity)                                                                      \
    static void sort_keys_##name(const void *column, int64_t stride, int64_t begin, int64_t count, uint64_t *key) { \
        const type *x = (const type *)column + begin * stride;                                                      \
        for (int64_t i = 0; i < count; i++) {                                                                       \
            const type u = x[i * stride], magnitude = (type)(u & ((sign)-1));                                       \
            const type flipped = u & (sign) ? (type)~u : (type)(u | (sign));                                        \
            key[i] = magnitude > (infinity) ? (type)-1 : magnitude == 0 ? (sign) : flipped;                         \
        }                                                                                                           \
    }
/* For an integer type; a signed one has a sign bit, which is inverted. */
#define INTEGER_KEYS(name, type, sign)                                                                              \
    static void sort_keys_##name(const void *column, int64_t stride, int64_t begin, int64_t count, uint64_t *key) { \
        const type *x = (const type *)column + begin * stride;                                                      \
        for (int64_t i = 0; i < count; i++)                                                                         \
            key[i] = (type)(x[i * stride] ^ (sign));                                                                \
    }
FLOAT_KEYS(f32, bits32, 0x80000000u, 0x7f800000u)
FLOAT_KEYS(f64, bits64, 0x8000000000000000u, 0x7ff0000000000000u)
FLOAT_KEYS(f16, bits16, 0x8000u, 0x7c00u)
FLOAT_KEYS(bf16, bits16, 0x8000u, 0x7f80u)
INTEGER_KEYS(i32, bits32, 0x80000000u)
INTEGER_KEYS(u8, bits8, 0u)

/* For each type the function, and the bytes of a key. */
static const struct {
    sort_keys *keys;
    int bytes;
} sort_types[] = {[SW_F32] = {sort_keys_f32, 4},   [SW_F64] = {sort_keys_f64, 8}, [SW_F16] = {sort_keys_f16, 2},
                  [SW_BF16] = {sort_keys_bf16, 2}, [SW_I32] = {sort_keys_i32, 4}, [SW_U8] = {sort_keys_u8, 1}};

/* ---- One column ---- */

enum {
    BLOCK = 256,       /* the number of keys that are computed at a time */
    SHORT = 32,        /* columns of at most this length are sorted by insertion */
    HEAP_FRACTION = 16 /* of a column of length n, up to n/16 elements are selected with a heap */
};

typedef struct sort_job {
    sw_dtype type;
    bool descending;
    const void *x;                          /* [outer, n, inner] */
    int32_t *ids;                           /* [outer, k, inner] */
    int64_t n, k, inner, columns, per_item; /* columns of all matrices, and of a work item */
} sort_job;

/* Computes the keys [begin, begin + count) of a column, in ascending order of the result. */
static void sort_load_keys(const sort_job *j, const char *column, int64_t begin, int64_t count, uint64_t *key) {
    sort_types[j->type].keys(column, j->inner, begin, count, key);
    const uint64_t all = UINT64_MAX >> (64 - 8 * sort_types[j->type].bytes);
    for (int64_t i = 0; j->descending && i < count; i++)
        key[i] ^= all;
}

/* Sorts a short column by insertion, and writes the first k ids. */
static void sort_short_column(const sort_job *j, const char *column, int32_t *ids) {
    uint64_t key[SHORT];
    int32_t id[SHORT];
    sort_load_keys(j, column, 0, j->n, key);
    for (int32_t i = 0; i < j->n; i++) {
        const uint64_t own = key[i];
        int32_t at = i;
        for (; at > 0 && key[at - 1] > own; at--) {
            key[at] = key[at - 1];
            id[at] = id[at - 1];
        }
        key[at] = own;
        id[at] = i;
    }
    for (int64_t i = 0; i < j->n && i < j->k; i++)
        ids[i * j->inner] = id[i];
}

/* Items hold 32 bits of a key and, below them, the id. Sorts them by the lowest `digits` bytes of the key, stably.
 * Returns the array with the result, `items` or `spare`. */
static uint64_t *sort_items(uint64_t *items, uint64_t *spare, int64_t n, int digits) {
    uint32_t count[4][256] = {{0}};
    for (int64_t i = 0; i < n; i++)
        for (int d = 0; d < digits; d++)
            count[d][items[i] >> (32 + 8 * d) & 255]++;
    for (int d = 0; d < digits; d++) {
        const int shift = 32 + 8 * d;
        if (count[d][items[0] >> shift & 255] == n) /* the digit is the same in all keys */
            continue;
        for (uint32_t digit = 0, place = 0; digit < 256; digit++) {
            const uint32_t equal = count[d][digit];
            count[d][digit] = place;
            place += equal;
        }
        for (int64_t i = 0; i < n; i++)
            spare[count[d][items[i] >> shift & 255]++] = items[i];
        uint64_t *sorted = spare;
        spare = items;
        items = sorted;
    }
    return items;
}

/* Writes the first k ids of a sorted column. Keys of 64 bits are sorted by their lower half and then, stably, by their
 * upper half. */
static void sort_column(const sort_job *j, const char *column, int32_t *ids, void *scratch) {
    const int bytes = sort_types[j->type].bytes, digits = bytes < 4 ? bytes : 4;
    uint64_t *items = scratch, *spare = items + j->n, key[BLOCK];
    uint32_t *upper = (uint32_t *)(spare + j->n);
    for (int64_t begin = 0; begin < j->n; begin += BLOCK) {
        const int64_t some = j->n - begin < BLOCK ? j->n - begin : BLOCK;
        sort_load_keys(j, column, begin, some, key);
        for (int64_t i = 0; i < some; i++) {
            items[begin + i] = key[i] << 32 | (uint64_t)(begin + i);
            if (bytes == 8)
                upper[begin + i] = (uint32_t)(key[i] >> 32);
        }
    }
    uint64_t *sorted = sort_items(items, spare, j->n, digits);
    if (bytes == 8) {
        for (int64_t i = 0; i < j->n; i++)
            sorted[i] = (uint64_t)upper[(uint32_t)sorted[i]] << 32 | (uint32_t)sorted[i];
        sorted = sort_items(sorted, sorted == items ? spare : items, j->n, digits);
    }
    for (int64_t i = 0; i < j->k; i++)
        ids[i * j->inner] = (int32_t)(uint32_t)sorted[i];
}

/* ---- The first k elements with a heap, whose root is the last of them ---- */

typedef struct heap_entry {
    uint64_t key;
    int64_t id;
} heap_entry;

static bool heap_is_after(heap_entry a, heap_entry b) {
    return a.key > b.key || (a.key == b.key && a.id > b.id);
}

/* Puts an entry in the place of entry `at`, and restores the order of a heap of `count` entries below it. */
static void heap_put(heap_entry *heap, int64_t count, int64_t at, heap_entry entry) {
    for (int64_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && heap_is_after(heap[child + 1], heap[child]))
            child++;
        if (!heap_is_after(heap[child], entry))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = entry;
}

static void heap_column(const sort_job *j, const char *column, int32_t *ids, void *scratch) {
    heap_entry *heap = scratch;
    uint64_t key[BLOCK];
    int64_t filled = 0;
    for (int64_t begin = 0; begin < j->n; begin += BLOCK) {
        const int64_t some = j->n - begin < BLOCK ? j->n - begin : BLOCK;
        sort_load_keys(j, column, begin, some, key);
        int64_t i = 0;
        for (; i < some && filled < j->k; i++) {
            heap[filled++] = (heap_entry){key[i], begin + i};
            for (int64_t at = filled / 2 - 1; filled == j->k && at >= 0; at--)
                heap_put(heap, filled, at, heap[at]);
        }
        for (; i < some; i++)
            if (key[i] < heap[0].key) /* of equal keys, the first stay */
                heap_put(heap, filled, 0, (heap_entry){key[i], begin + i});
    }
    for (int64_t last = filled - 1; last >= 0; last--) {
        ids[last * j->inner] = (int32_t)heap[0].id;
        heap_put(heap, last, 0, heap[last]);
    }
}

/* ---- The operations ---- */

typedef struct sort_attributes {
    int axis;
    bool descending, some; /* some: the first k elements, else all */
    int64_t k;
} sort_attributes;

/* Sets the shape of the result, of the given type. */
static sw_status sort_set_shape(sw_call *c, sw_dtype type) {
    const sort_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    int64_t shape[SW_MAX_RANK];
    int axis = 0;
    SW_TRY(sw_call_axis(c, a->axis, &axis));
    if (x->shape[axis] > INT32_MAX)
        return sw_fail(SW_ERR_SHAPE, "%s: axis %d of %s is longer than %d, the largest id in i32", c->op->name, axis,
                       sw_shape_text(x->rank, x->shape), INT32_MAX);
    if (a->some && (a->k < 0 || a->k > x->shape[axis]))
        return sw_fail(SW_ERR_ARGUMENT, "%s: k = %lld for axis %d of %s; it must be 0 to %lld", c->op->name,
                       (long long)a->k, axis, sw_shape_text(x->rank, x->shape), (long long)x->shape[axis]);
    for (int i = 0; i < x->rank; i++)
        shape[i] = x->shape[i];
    if (a->some)
        shape[axis] = a->k;
    return sw_call_set_shape(c, type, x->rank, shape);
}

static sw_status sort_shape_of_ids(sw_call *c) {
    return sort_set_shape(c, SW_I32);
}

static sw_status sort_shape_of_values(sw_call *c) {
    return sort_set_shape(c, c->in[0]->type);
}

/* x as [outer, n, inner], the result as [outer, k, inner]. */
static swi_gather sort_gather(const sw_call *c, const int32_t *ids) {
    const sort_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    swi_gather g = swi_gather_along(x, c->out, a->axis < 0 ? a->axis + x->rank : a->axis);
    g.ids = ids;
    g.unique = true;
    return g;
}

static bool sort_uses_heap(const sort_job *j) {
    return j->k <= j->n / HEAP_FRACTION;
}

static sw_status sort_work_item(void *args, int64_t item, sw_worker *worker) {
    const sort_job *j = args;
    const int64_t end = (item + 1) * j->per_item, size = (int64_t)sw_dtype_size(j->type);
    for (int64_t unit = item * j->per_item; unit < end && unit < j->columns; unit++) {
        const int64_t outer = unit / j->inner, at = unit % j->inner;
        const char *column = (const char *)j->x + (outer * j->n * j->inner + at) * size;
        int32_t *ids = j->ids + outer * j->k * j->inner + at;
        if (j->n <= SHORT)
            sort_short_column(j, column, ids);
        else if (sort_uses_heap(j))
            heap_column(j, column, ids, worker->scratch);
        else
            sort_column(j, column, ids, worker->scratch);
    }
    return SW_OK;
}

/* Computes the ids of the result, which has at least one element. */
static sw_status sort_find(sw_call *c, int32_t *ids) {
    const sort_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    const swi_gather g = sort_gather(c, ids);
    sort_job j = {.type = x->type,
                  .descending = a->descending,
                  .x = x->data,
                  .ids = ids,
                  .n = g.n,
                  .k = g.m,
                  .inner = g.inner,
                  .columns = g.outer * g.inner,
                  .per_item = 1 + (SW_TILE - 1) / g.n};
    const int64_t items = (j.columns + j.per_item - 1) / j.per_item;
    const size_t item = 2 * sizeof(uint64_t) + (sort_types[x->type].bytes == 8 ? sizeof(uint32_t) : 0),
                 each = sort_uses_heap(&j) ? (size_t)j.k * sizeof(heap_entry) : (size_t)j.n * item,
                 bytes = sw_parallel_scratch(x->count < SW_SERIAL ? 1 : items, each);
    void *scratch = sw_call_scratch(c, bytes);
    return scratch ? sw_parallel_items_with_scratch(sort_work_item, &j, items, each, scratch, bytes) : SW_ERR_MEMORY;
}

static sw_status sort_forward_of_ids(sw_call *c) {
    return c->out->count > 0 ? sort_find(c, c->out->data) : SW_OK;
}

/* The ids are saved for the vjp. */
static sw_status sort_forward_of_values(sw_call *c) {
    if (c->out->count == 0)
        return SW_OK;
    int32_t *ids = sw_call_save(c, (size_t)c->out->count * sizeof *ids);
    if (!ids)
        return SW_ERR_MEMORY;
    SW_TRY(sort_find(c, ids));
    const swi_gather g = sort_gather(c, ids);
    swi_gather_take(&g, c->in[0]->data, c->out->data);
    return SW_OK;
}

static sw_status sort_vjp(sw_call *c) {
    const swi_gather g = sort_gather(c, c->saved);
    void *d = sw_call_grad(c, 0);
    return d ? swi_gather_add(c, &g, NULL, c->cotangent, d) : SW_ERR_MEMORY;
}

/* Defines FN_ids_op, whose result are the ids, and FN_op, whose result are the elements. */
#define SORT_IDS(fn)                                                  \
    static const sw_op fn##_ids_op = {.size = sizeof(sw_op),          \
                                      .name = #fn,                    \
                                      .shape = sort_shape_of_ids,     \
                                      .forward = sort_forward_of_ids, \
                                      .takes_16_bit = true};
#define SORT(fn)                                                     \
    SORT_IDS(fn)                                                     \
    static const sw_op fn##_op = {.size = sizeof(sw_op),             \
                                  .name = #fn,                       \
                                  .shape = sort_shape_of_values,     \
                                  .forward = sort_forward_of_values, \
                                  .vjp = sort_vjp,                   \
                                  .takes_16_bit = true};
SORT_IDS(argsort)
SORT(sort)
SORT(top_k)

/* If the program wants the ids, they are a tensor, by which the elements are gathered. */
static sw_tensor sort_with_ids(const sw_op *op, sw_tensor x, sort_attributes attributes, sw_tensor *ids) {
    sw_tensor found = sw_apply(op, &attributes, sizeof attributes, 1, &x), values = {0};
    if (!sw_is_null(found))
        values = sw_gather(x, attributes.axis, found);
    *ids = sw_is_null(values) ? values : found;
    return values;
}

sw_tensor sw_argsort(sw_tensor x, int axis, bool descending) {
    const sort_attributes a = {.axis = axis, .descending = descending};
    return sw_apply(&argsort_ids_op, &a, sizeof a, 1, &x);
}

sw_tensor sw_sort(sw_tensor x, int axis, bool descending, sw_tensor *ids) {
    const sort_attributes a = {.axis = axis, .descending = descending};
    return ids ? sort_with_ids(&sort_ids_op, x, a, ids) : sw_apply(&sort_op, &a, sizeof a, 1, &x);
}

sw_tensor sw_top_k(sw_tensor x, int64_t k, int axis, bool smallest, sw_tensor *ids) {
    const sort_attributes a = {.axis = axis, .descending = !smallest, .some = true, .k = k};
    return ids ? sort_with_ids(&top_k_ids_op, x, a, ids) : sw_apply(&top_k_op, &a, sizeof a, 1, &x);
}
