/* Memory of one pass of a tape, in chunks that are kept. A released block is used again within the pass: a small one
 * for blocks of the same size; a large one becomes, with the free memory beside it, an extent, from which blocks of any
 * size are cut. A step with the same shapes as an earlier one allocates no memory. */
#include <swale/memory.h>
#include <swale/status.h>
#include <swale/tape.h>

#include "core/base/allocation.h"
#include "core/base/error_state.h"
#include "core/tape/arena.h"

#include <string.h>

#ifdef SWI_POISONING
enum { GAP = SW_ALIGNMENT }; /* memory after each block in which the sanitizer detects an overrun */
#else
enum { GAP = 0 };
#endif

enum { FEW_CHUNKS = 1 << 20 /* bytes that few chunks hold */ };
enum { FIRST_CHUNK = 64 * 1024, FIRST_SLAB = 1024, LARGEST_SLAB = 64 * 1024 };
enum { KEPT_WHOLE = 4 /* for as many times its size an extent is kept whole */ };
enum { LARGEST_SMALL = SWI_SMALL * SW_ALIGNMENT, LINE = SW_ALIGNMENT + GAP /* the smallest block */ };

/* The bytes that a block takes. */
static size_t arena_block_bytes(size_t bytes) {
    return (bytes ? (bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT : SW_ALIGNMENT) + GAP;
}

static void arena_count_live(swi_arena *a, size_t bytes) {
    a->live += bytes;
    if (a->live > a->peak)
        a->peak = a->live;
}

/* ---- Extents ---- */

static sw_status extents_reserve(swi_extents *e, int64_t count) {
    if (count <= e->capacity)
        return SW_OK;
    const int64_t capacity = count < 32 ? 64 : 2 * count;
    SW_TRY(sw_resize_array_for(SW_ACCOUNT_TAPE, &e->list, e->count, capacity, sizeof *e->list));
    e->capacity = capacity;
    return SW_OK;
}

static void extents_remove(swi_extents *e, int64_t index) {
    memmove(&e->list[index], &e->list[index + 1], (size_t)(--e->count - index) * sizeof *e->list);
}

/* The index of the first extent after an address. */
static int64_t extents_find(const swi_extents *e, const char *at) {
    int64_t low = 0, high = e->count;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (e->list[middle].at < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool extents_touch(const swi_extents *e, int64_t index, const char *at) {
    return index >= 0 && e->list[index].at + e->list[index].bytes == at;
}

/* Adds a block, and joins it with the extents that it touches. Room was reserved. */
static void extents_add(swi_extents *e, char *at, size_t bytes, size_t whole_until) {
    const int64_t i = extents_find(e, at);
    const bool after = i < e->count && at + bytes == e->list[i].at;
    if (extents_touch(e, i - 1, at)) {
        e->list[i - 1].bytes += bytes;
        e->list[i - 1].whole_until = 0;
        if (after) {
            e->list[i - 1].bytes += e->list[i].bytes;
            extents_remove(e, i);
        }
    } else if (after) {
        e->list[i] = (swi_extent){at, e->list[i].bytes + bytes, 0};
    } else {
        memmove(&e->list[i + 1], &e->list[i], (size_t)(e->count++ - i) * sizeof *e->list);
        e->list[i] = (swi_extent){at, bytes, whole_until};
    }
}

/* Cuts a block out of the smallest extent that has room for it and need not stay whole; NULL if there is none. */
static char *extents_take(swi_extents *e, size_t bytes, size_t requested) {
    int64_t best = -1;
    size_t least = SIZE_MAX;
    for (int64_t i = 0; i < e->count; i++)
        if (e->list[i].bytes >= bytes && e->list[i].bytes < least &&
            (e->list[i].whole_until <= requested || e->list[i].bytes <= bytes + bytes / 8)) {
            best = i;
            least = e->list[i].bytes;
            if (least == bytes)
                break;
        }
    if (best < 0)
        return NULL;
    char *at = e->list[best].at;
    if (least == bytes) {
        extents_remove(e, best);
    } else {
        e->list[best] = (swi_extent){at + bytes, least - bytes, 0};
    }
    return at;
}

/* Puts extents in the order of their addresses, by Shell's method, because qsort may allocate memory; and joins them.
 * */
static void extents_order(swi_extents *e) {
    for (int64_t gap = e->count / 2; gap > 0; gap /= 2)
        for (int64_t i = gap; i < e->count; i++) {
            const swi_extent moved = e->list[i];
            int64_t k = i;
            for (; k >= gap && e->list[k - gap].at > moved.at; k -= gap)
                e->list[k] = e->list[k - gap];
            e->list[k] = moved;
        }
    int64_t last = 0;
    for (int64_t i = 1; i < e->count; i++)
        if (extents_touch(e, last, e->list[i].at))
            e->list[last].bytes += e->list[i].bytes; /* small ones need not stay whole */
        else
            e->list[++last] = e->list[i];
    e->count = e->count ? last + 1 : 0;
}

/* ---- Chunks ---- */

static bool arena_add_chunk(swi_arena *a, size_t bytes) {
    if (a->chunks == SWI_CHUNKS) {
        sw_fail(SW_ERR_MEMORY, "out of memory: a tape holds at most %d chunks", SWI_CHUNKS);
        return false;
    }
    /* Each chunk is a fraction of the memory held so far: while that is little, a half, so that there are few chunks;
     * then an eighth, which bounds what the last chunk leaves unused. SWI_CHUNKS chunks are enough for a terabyte. */
    const size_t held = swi_arena_held(a), parts = held < FEW_CHUNKS ? 2 : 8;
    size_t size = held / (parts * SW_ALIGNMENT) * SW_ALIGNMENT;
    if (size < FIRST_CHUNK)
        size = FIRST_CHUNK;
    if (size < bytes)
        size = bytes;
    const bool pending = swi_pending_status != SW_OK;
    char *memory = swi_alloc_raw(SW_ACCOUNT_TAPE, size);
    if (!memory && !pending && a->chunks) {
        sw_clear_error();
        sw_fail(SW_ERR_MEMORY,
                "out of memory: %zu bytes requested, by a tape that uses %zu since its last "
                "sw_tape_reset (was it forgotten?)",
                size, a->live);
    }
    if (!memory)
        return false;
    SWI_POISON(memory, size);
    a->chunk[a->chunks++] = (swi_chunk){.memory = memory, .size = size, .top = size};
    return true;
}

/* The first chunk with room in its middle part; NULL and an error if there is not enough memory. */
static swi_chunk *arena_chunk_with_room(swi_arena *a, size_t bytes) {
    int c = 0;
    while (c < a->chunks && a->chunk[c].top - a->chunk[c].used < bytes)
        c++;
    if (c == a->chunks && !arena_add_chunk(a, bytes))
        return NULL;
    a->touched += bytes;
    if (a->touched > a->highest)
        a->highest = a->touched;
    return &a->chunk[c];
}

/* ---- Blocks ---- */

static void arena_push(swi_arena *a, char *block, size_t bytes) {
    void **list = &a->list[bytes / SW_ALIGNMENT];
    SWI_UNPOISON(block, sizeof(void *));
    memcpy(block, list, sizeof(void *));
    *list = block;
    SWI_POISON(block, bytes);
}

/* Begins a slab with room for a small block: for the smallest ones free memory from before a mark, else new memory. */
static bool arena_next_slab(swi_arena *a, size_t bytes) {
    if (a->used < a->slab_size)
        arena_push(a, a->base + a->used, a->slab_size - a->used); /* less than the small block */
    a->used = a->slab_size = 0;
    for (int64_t i = a->free_small.count; bytes == LINE && i-- > 0;)
        if (a->free_small.list[i].bytes >= bytes) { /* always, unless blocks have gaps */
            a->base = a->free_small.list[i].at;
            a->slab_size = a->free_small.list[i].bytes;
            extents_remove(&a->free_small, i);
            return true;
        }
    size_t size = a->slabs / ((size_t)8 * SW_ALIGNMENT) * SW_ALIGNMENT;
    size = size < FIRST_SLAB ? FIRST_SLAB : size > LARGEST_SLAB ? LARGEST_SLAB : size;
    swi_chunk *chunk = arena_chunk_with_room(a, size);
    if (!chunk)
        return false;
    chunk->top -= size;
    a->base = chunk->memory + chunk->top;
    a->slab_size = size;
    a->slabs += size;
    return true;
}

static char *arena_alloc_small(swi_arena *a, size_t bytes) {
    char *block = a->list[bytes / SW_ALIGNMENT];
    if (block) {
        SWI_UNPOISON(block, sizeof(void *));
        memcpy(&a->list[bytes / SW_ALIGNMENT], block, sizeof(void *));
        return block;
    }
    if (a->used + bytes > a->slab_size) {
        if (bytes > LINE && (block = extents_take(&a->free_small, bytes, 0)) != NULL)
            return block;
        if (!arena_next_slab(a, bytes))
            return NULL;
    }
    block = a->base + a->used;
    a->used += bytes;
    return block;
}

/* There is room in `free` for every large block, so that a release cannot fail. */
static char *arena_alloc_large(swi_arena *a, size_t bytes) {
    if (extents_reserve(&a->free, a->free.count + a->blocks + 2) != SW_OK)
        return NULL;
    char *block = extents_take(&a->free, bytes, a->requested);
    if (!block) {
        swi_chunk *chunk = arena_chunk_with_room(a, bytes);
        if (!chunk)
            return NULL;
        block = chunk->memory + chunk->used;
        chunk->used += bytes;
    }
    a->blocks++;
    a->requested += bytes;
    return block;
}

void *swi_arena_alloc_any(swi_arena *a, size_t bytes) {
    if (bytes > (size_t)1 << 46) {
        sw_fail(SW_ERR_MEMORY, "out of memory: %zu bytes requested", bytes);
        return NULL;
    }
    const size_t need = arena_block_bytes(bytes);
    char *block = need <= LARGEST_SMALL ? arena_alloc_small(a, need) : arena_alloc_large(a, need);
    if (!block)
        return NULL;
    arena_count_live(a, need - GAP);
    SWI_UNPOISON(block, bytes);
    return block;
}

static void arena_release_large(swi_arena *a, char *block, size_t bytes) {
    a->blocks--;
    for (int c = 0; c < a->chunks; c++) {
        swi_chunk *chunk = &a->chunk[c];
        if (block + bytes != chunk->memory + chunk->used)
            continue;
        const int64_t before = extents_find(&a->free, block) - 1;
        if (extents_touch(&a->free, before, block)) {
            block = a->free.list[before].at;
            extents_remove(&a->free, before);
        }
        const size_t used = (size_t)(block - chunk->memory);
        a->touched -= chunk->used - used;
        chunk->used = used;
        return;
    }
    extents_add(&a->free, block, bytes, a->requested + KEPT_WHOLE * bytes);
}

void swi_arena_release_any(swi_arena *a, void *block, size_t bytes) {
    const size_t need = arena_block_bytes(bytes);
    a->live -= need - GAP;
    if (need <= LARGEST_SMALL) {
        arena_push(a, block, need);
    } else {
        SWI_POISON(block, need);
        arena_release_large(a, block, need);
    }
}

/* ---- The whole arena ---- */

static void arena_clear_small(swi_arena *a) {
    memset(a->list, 0, sizeof a->list);
    a->used = a->slab_size = 0;
}

size_t swi_arena_most_live(const swi_arena *a) {
    return a->peak > a->most_live ? a->peak : a->most_live;
}

size_t swi_arena_most_used(const swi_arena *a) {
    return a->highest > a->most_used ? a->highest : a->most_used;
}

void swi_arena_reset(swi_arena *a) {
    a->most_live = swi_arena_most_live(a);
    a->most_used = swi_arena_most_used(a);
    for (int c = 0; c < a->chunks; c++) {
        SWI_POISON(a->chunk[c].memory, a->chunk[c].size);
        a->chunk[c].used = 0;
        a->chunk[c].top = a->chunk[c].size;
    }
    arena_clear_small(a);
    a->free.count = a->free_small.count = 0;
    a->blocks = 0;
    a->live = a->peak = a->touched = a->highest = a->slabs = a->requested = 0;
}

void swi_arena_free(swi_arena *a) {
    for (int i = 0; i < a->chunks; i++) {
        SWI_UNPOISON(a->chunk[i].memory, a->chunk[i].size);
        sw_free(a->chunk[i].memory);
    }
    sw_free(a->free.list);
    sw_free(a->free_small.list);
    memset(a, 0, sizeof *a);
}

size_t swi_arena_held(const swi_arena *a) {
    size_t held = 0;
    for (int i = 0; i < a->chunks; i++)
        held += a->chunk[i].size;
    return held;
}

/* ---- Marks ---- */

/* Converts the released small blocks and the rest of the slab to extents, which a mark can save. */
static sw_status arena_collect_small(swi_arena *a) {
    swi_extents *e = &a->free_small;
    int64_t blocks = 1;
    for (int lines = 1; lines <= SWI_SMALL; lines++)
        for (char *block = a->list[lines], *next; block; block = next) {
            SWI_UNPOISON(block, sizeof next);
            memcpy(&next, block, sizeof next);
            blocks++;
        }
    SW_TRY(extents_reserve(e, e->count + blocks));
    const int64_t before = e->count;
    for (int lines = 1; lines <= SWI_SMALL; lines++)
        for (char *block = a->list[lines], *next; block; block = next) {
            memcpy(&next, block, sizeof next);
            SWI_POISON(block, sizeof next);
            e->list[e->count++] = (swi_extent){block, (size_t)lines * SW_ALIGNMENT, 0};
        }
    if (a->used < a->slab_size)
        e->list[e->count++] = (swi_extent){a->base + a->used, a->slab_size - a->used, 0};
    arena_clear_small(a);
    if (e->count > before)
        extents_order(e);
    return SW_OK;
}

swi_mark_state *swi_arena_save(swi_arena *a) {
    if (arena_collect_small(a) != SW_OK)
        return NULL;
    /* The allocation of the state itself can add an extent to each list. */
    const size_t bytes =
        sizeof(swi_mark_state) + (size_t)(a->free.count + a->free_small.count + 2) * sizeof(swi_extent);
    swi_mark_state *s = swi_arena_alloc(a, bytes);
    if (!s)
        return NULL;
    if (arena_collect_small(a) != SW_OK) {
        swi_arena_release(a, s, bytes);
        return NULL;
    }
    s->bytes = bytes;
    s->live = a->live;
    s->touched = a->touched;
    s->slabs = a->slabs;
    s->blocks = a->blocks;
    s->free = a->free.count;
    s->free_small = a->free_small.count;
    s->chunks = a->chunks;
    for (int c = 0; c < a->chunks; c++) {
        s->used[c] = a->chunk[c].used;
        s->top[c] = a->chunk[c].top;
    }
    if (s->free)
        memcpy(s->extent, a->free.list, (size_t)s->free * sizeof *s->extent);
    if (s->free_small)
        memcpy(s->extent + s->free, a->free_small.list, (size_t)s->free_small * sizeof *s->extent);
    return s;
}

void swi_arena_restore(swi_arena *a, const swi_mark_state *s) {
    arena_clear_small(a);
    a->live = s->live;
    a->touched = s->touched;
    a->slabs = s->slabs;
    a->blocks = s->blocks;
    for (int c = 0; c < a->chunks; c++) {
        swi_chunk *chunk = &a->chunk[c];
        chunk->used = c < s->chunks ? s->used[c] : 0;
        chunk->top = c < s->chunks ? s->top[c] : chunk->size;
        SWI_POISON(chunk->memory + chunk->used, chunk->top - chunk->used);
    }
    a->free.count = s->free;
    a->free_small.count = s->free_small;
    if (s->free)
        memcpy(a->free.list, s->extent, (size_t)s->free * sizeof *s->extent);
    if (s->free_small)
        memcpy(a->free_small.list, s->extent + s->free, (size_t)s->free_small * sizeof *s->extent);
    for (int64_t i = 0; i < s->free + s->free_small; i++)
        SWI_POISON(s->extent[i].at, s->extent[i].bytes);
}

void swi_arena_forget(swi_arena *a, swi_mark_state *s) {
    swi_arena_release(a, s, s->bytes);
}
