/* The keys and values of earlier positions (key_value_cache.h). */
#include "nn/layers/key_value_cache.h"

#include <swale/extend.h>

#include <string.h>

enum { LEAST_CAPACITY = 64 };

/* The memory of a layer in the state: this struct, and behind it the keys [batch, capacity, row] and the values, rows
 * of bytes. */
typedef struct cache {
    int64_t positions, capacity;
} cache;

static char *cache_rows(cache *c) {
    return (char *)c + SW_ALIGNMENT;
}

static size_t cache_bytes(int64_t batch, int64_t capacity, size_t row) {
    return SW_ALIGNMENT + 2 * (size_t)(batch * capacity) * row;
}

/* Moves the rows from the old capacity to the new one, from the last row on, because each moves backward. */
static void cache_spread(cache *c, int64_t batch, int64_t capacity, size_t row) {
    const size_t used = (size_t)c->positions * row;
    for (int64_t i = 2 * batch - 1; i > 0 && used > 0 && !sw_dry_run(); i--)
        memmove(cache_rows(c) + (size_t)(i * capacity) * row, cache_rows(c) + (size_t)(i * c->capacity) * row, used);
    c->capacity = capacity;
}

/* The memory with room for `time` further positions; NULL after an error. */
static cache *cache_reserve(const sw_module *m, sw_tape *tape, int64_t batch, int64_t time, size_t row) {
    cache *c = sw_module_state(m, tape, batch, sizeof *c);
    if (!c || c->positions + time <= c->capacity)
        return c;
    int64_t capacity = c->capacity > 0 ? c->capacity : LEAST_CAPACITY;
    while (capacity < c->positions + time)
        capacity *= 2;
    c = sw_module_state(m, tape, batch, cache_bytes(batch, capacity, row));
    if (c)
        cache_spread(c, batch, capacity, row);
    return c;
}

/* Copies keys (part 0) or values (part 1) of this pass behind the earlier positions. */
static void cache_copy(cache *c, const sw_array *a, int part, size_t row) {
    const int64_t batch = a->shape[0], time = a->shape[1];
    char *to = cache_rows(c) + ((size_t)(part * batch * c->capacity) + (size_t)c->positions) * row;
    for (int64_t b = 0; b < batch && !sw_dry_run(); b++)
        memcpy(to + (size_t)(b * c->capacity) * row, (const char *)a->data + (size_t)(b * time) * row,
               (size_t)time * row);
}

int64_t swn_cache_positions(const sw_module *m, sw_tape *tape, int64_t batch) {
    const cache *c = sw_module_state(m, tape, batch, sizeof *c);
    return c ? c->positions : -1;
}

swn_cached swn_cache_append(const sw_module *m, sw_tensor keys, sw_tensor values) {
    const swn_cached none = {0};
    const sw_array k = sw_value(keys), v = sw_value(values);
    if (!sw_is_live(keys) || !sw_is_live(values))
        return none;
    const int64_t batch = k.shape[0], time = k.shape[1], features = k.shape[2];
    const size_t row = (size_t)features * sw_dtype_size(k.type);
    cache *c = cache_reserve(m, keys.tape, batch, time, row);
    if (!c)
        return none;
    cache_copy(c, &k, 0, row);
    cache_copy(c, &v, 1, row);
    const sw_array all_keys = sw_array_view(cache_rows(c), k.type, SW_SHAPE(batch, c->capacity, features)),
                   all_values = sw_array_view(cache_rows(c) + (size_t)(batch * c->capacity) * row, k.type,
                                              SW_SHAPE(batch, c->capacity, features));
    const swn_cached cached = {c->positions, sw_input(keys.tape, all_keys), sw_input(keys.tape, all_values)};
    c->positions += time;
    return sw_is_null(cached.keys) || sw_is_null(cached.values) ? none : cached;
}
