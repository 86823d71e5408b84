/* Memory of one pass of a tape: a bump pointer through chunks that are kept, and lists of blocks that were released
 * within the pass. A step with the same shapes as an earlier one allocates no memory. */
#include <swale/memory.h>
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

enum { FIRST_CHUNK = 64 * 1024, STEPS = 8 /* size classes between a power of 2 and the next */ };

/* Returns the size class of a block of `lines` cache lines, and sets *rounded to the number of lines of this class. It
 * is exact up to STEPS, and above that at most 1/STEPS larger than requested. */
static int arena_class(size_t lines, size_t *rounded) {
    if (lines <= STEPS) {
        *rounded = lines;
        return (int)lines;
    }
    int octave = 63 - __builtin_clzll(lines - 1) - 3;                     /* lines - 1 in [8, 16)·2^octave */
    size_t unit = (size_t)1 << octave, steps = (lines + unit - 1) / unit; /* 9..16 */
    *rounded = steps * unit;
    return (int)(STEPS * ((size_t)octave + 1) + (steps - STEPS));
}

static void arena_enter_chunk(swi_arena *a, size_t chunk, size_t used) {
    for (; a->current < chunk; a->current++)
        a->before += a->chunk[a->current].size;
    for (; a->current > chunk; a->current--)
        a->before -= a->chunk[a->current - 1].size;
    a->used = used;
    a->base = a->chunks ? a->chunk[chunk].memory : NULL;
    a->chunk_size = a->chunks ? a->chunk[chunk].size : 0;
}

static bool arena_next_chunk(swi_arena *a, size_t bytes) {
    while (a->chunks && a->current + 1 < (size_t)a->chunks) {
        arena_enter_chunk(a, a->current + 1, 0);
        if (a->chunk_size >= bytes)
            return true;
    }
    if (a->chunks == SWI_CHUNKS) {
        sw_fail(SW_ERR_MEMORY, "out of memory: a tape holds at most %d chunks", SWI_CHUNKS);
        return false;
    }
    /* Half of the memory held so far: at most a third is unused, and 48 chunks are enough for any memory. */
    size_t size = swi_arena_held(a) / ((size_t)2 * SW_ALIGNMENT) * SW_ALIGNMENT;
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
    a->chunk[a->chunks].memory = memory;
    a->chunk[a->chunks].size = size;
    a->chunks++;
    arena_enter_chunk(a, (size_t)a->chunks - 1, 0);
    return true;
}

void *swi_arena_alloc_any(swi_arena *a, size_t bytes) {
    if (bytes > (size_t)1 << 46) { /* the largest size class */
        sw_fail(SW_ERR_MEMORY, "out of memory: %zu bytes requested", bytes);
        return NULL;
    }
    size_t lines = bytes ? (bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT : 1, rounded;
    int class = arena_class(lines, &rounded);
    char *block = a->list[class];
    if (block) {
        SWI_UNPOISON(block, sizeof(void *));
        memcpy(&a->list[class], block, sizeof(void *));
        if (!a->list[class])
            a->filled[class / 64] &= ~((uint64_t)1 << (class % 64));
    } else {
        size_t need = rounded * SW_ALIGNMENT + GAP;
        if (a->used + need > a->chunk_size && !arena_next_chunk(a, need))
            return NULL;
        block = a->base + a->used;
        a->used += need;
    }
    a->live += rounded * SW_ALIGNMENT;
    if (a->live > a->peak)
        a->peak = a->live;
    SWI_UNPOISON(block, bytes);
    return block;
}

void swi_arena_release_any(swi_arena *a, void *block, size_t bytes) {
    size_t lines = bytes ? (bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT : 1, rounded;
    int class = arena_class(lines, &rounded);
    a->live -= rounded * SW_ALIGNMENT;
    SWI_UNPOISON(block, sizeof(void *));
    memcpy(block, &a->list[class], sizeof(void *));
    a->list[class] = block;
    a->filled[class / 64] |= (uint64_t)1 << (class % 64);
    SWI_POISON(block, rounded * SW_ALIGNMENT);
}

static void arena_clear_lists(swi_arena *a) {
    for (int w = 0; w < SWI_CLASSES / 64; w++)
        if (a->filled[w]) {
            memset(a->list + (size_t)64 * (size_t)w, 0, 64 * sizeof(void *));
            a->filled[w] = 0;
        }
}

size_t swi_arena_most_live(const swi_arena *a) {
    return a->peak > a->most_live ? a->peak : a->most_live;
}

size_t swi_arena_most_used(const swi_arena *a) {
    return a->before + a->used > a->most_used ? a->before + a->used : a->most_used;
}

void swi_arena_reset(swi_arena *a) {
    a->most_live = swi_arena_most_live(a);
    a->most_used = swi_arena_most_used(a);
    for (int i = 0; i < a->chunks; i++)
        SWI_POISON(a->chunk[i].memory, a->chunk[i].size);
    arena_clear_lists(a);
    arena_enter_chunk(a, 0, 0);
    a->live = a->peak = 0;
}

void swi_arena_free(swi_arena *a) {
    for (int i = 0; i < a->chunks; i++) {
        SWI_UNPOISON(a->chunk[i].memory, a->chunk[i].size);
        sw_free(a->chunk[i].memory);
    }
    memset(a, 0, sizeof *a);
}

size_t swi_arena_held(const swi_arena *a) {
    size_t held = 0;
    for (int i = 0; i < a->chunks; i++)
        held += a->chunk[i].size;
    return held;
}

swi_mark_state *swi_arena_save(swi_arena *a) {
    swi_mark_state *s = swi_arena_alloc(a, sizeof *s);
    if (!s)
        return NULL;
    memcpy(s->list, a->list, sizeof s->list);
    memcpy(s->filled, a->filled, sizeof s->filled);
    s->live = a->live;
    arena_clear_lists(a);
    return s;
}

void swi_arena_restore(swi_arena *a, swi_mark_state *s, size_t current, size_t used) {
    memcpy(a->list, s->list, sizeof s->list);
    memcpy(a->filled, s->filled, sizeof s->filled);
    /* A second rewind to the same mark must not restore these lists, because their blocks, which hold the links, may be
     * in use by then. */
    memset(s->list, 0, sizeof s->list);
    memset(s->filled, 0, sizeof s->filled);
    a->live = s->live;
    a->most_used = swi_arena_most_used(a);
    for (size_t i = current; i < (size_t)a->chunks; i++) {
        size_t from = i == current ? used : 0;
        SWI_POISON(a->chunk[i].memory + from, a->chunk[i].size - from);
        (void)from;
    }
    arena_enter_chunk(a, current, used);
}
