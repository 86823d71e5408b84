/* The arena of a tape: memory for one pass. */
#ifndef SWALE_TAPE_ARENA_H
#define SWALE_TAPE_ARENA_H

#include <swale/memory.h>

#include "core/base/poison.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Blocks of up to SWI_SMALL lines of SW_ALIGNMENT bytes are small. */
enum { SWI_CHUNKS = 128, SWI_SMALL = 16 };

/* Free memory: extents in the order of their addresses, none of which touches the next. An extent that was one block is
 * kept whole for a while, because a block of the same size usually follows, of the next layer or of a gradient: if a
 * much smaller block took a part of it, the next large one would need new memory. */
typedef struct swi_extent {
    char *at;
    size_t bytes;
    size_t whole_until; /* until arena->requested exceeds this, only blocks of nearly its size are cut from it */
} swi_extent;
typedef struct swi_extents {
    swi_extent *list;
    int64_t count, capacity;
} swi_extents;

/* A chunk is filled from both ends: large blocks from the start, and from the end slabs, which are cut into small
 * blocks. Small blocks, most of which live until the reset, therefore never separate large ones.
 *
 *     | large | extent | large | … used →      never touched      ← top … | slab | slab |
 */
typedef struct swi_chunk {
    char *memory;
    size_t size, used, top;
} swi_chunk;

typedef struct swi_arena {
    swi_chunk chunk[SWI_CHUNKS]; /* each at least a half or an eighth of all chunks before it together */
    int chunks;
    size_t used, slab_size;      /* the slab from which small blocks are cut: the bytes used in it, and its size */
    char *base;                  /* its memory */
    size_t live, peak;           /* bytes allocated now, and the maximum in this pass */
    size_t touched, highest;     /* bytes of the chunks outside of the middle part, and the maximum in this pass */
    size_t most_live, most_used; /* maxima over earlier passes: see the functions */
    size_t slabs;                /* bytes of all slabs of this pass */
    size_t requested;            /* bytes of all large blocks allocated in this pass */
    int64_t blocks;              /* large blocks allocated now: the number of entries for which `free` must have room */
    swi_extents free, free_small;
    void *list[SWI_SMALL + 1]; /* released small blocks by their number of lines; each holds the pointer to the next */
} swi_arena;

/* Allocates a block aligned to SW_ALIGNMENT; NULL and an error if there is not enough memory. Releases a block, with
 * the same number of bytes. */
void *swi_arena_alloc_any(swi_arena *arena, size_t bytes);
void swi_arena_release_any(swi_arena *arena, void *block, size_t bytes);

/* Graphs of tiny tensors allocate blocks of one cache line. Therefore this case is inline, unless blocks are poisoned
 * for the address sanitizer. */
static inline void *swi_arena_alloc(swi_arena *a, size_t bytes) {
#ifndef SWI_POISONING
    if (bytes <= SW_ALIGNMENT && (a->list[1] || a->used + SW_ALIGNMENT <= a->slab_size)) {
        char *block = a->list[1];
        if (block) {
            memcpy(&a->list[1], block, sizeof(void *));
        } else {
            block = a->base + a->used;
            a->used += SW_ALIGNMENT;
        }
        a->live += SW_ALIGNMENT;
        if (a->live > a->peak)
            a->peak = a->live;
        return block;
    }
#endif
    return swi_arena_alloc_any(a, bytes);
}

static inline void swi_arena_release(swi_arena *a, void *block, size_t bytes) {
#ifndef SWI_POISONING
    if (bytes <= SW_ALIGNMENT) {
        a->live -= SW_ALIGNMENT;
        memcpy(block, &a->list[1], sizeof(void *));
        a->list[1] = block;
        return;
    }
#endif
    swi_arena_release_any(a, block, bytes);
}
void swi_arena_reset(swi_arena *arena);
void swi_arena_free(swi_arena *arena);
size_t swi_arena_held(const swi_arena *arena);
/* Maxima over all passes: of `live`, and of the memory that was touched. */
size_t swi_arena_most_live(const swi_arena *arena);
size_t swi_arena_most_used(const swi_arena *arena);
/* Moves the contents of a block that a rewind has discarded into a block that was allocated since, and to which nothing
 * was written. The two may overlap. */
static inline void swi_arena_move(void *to, void *discarded, size_t bytes) {
    SWI_UNPOISON(discarded, bytes);
    memmove(to, discarded, bytes);
    SWI_POISON(discarded, bytes);
    SWI_UNPOISON(to, bytes);
}

/* The state that a mark saves. Blocks that were released before the mark can be used after it, and are free again after
 * a rewind. A rewind keeps the state, so that a program can rewind to one mark many times. A block from before the mark
 * that is released after it is free until the next rewind, and then lost until the reset. */
typedef struct swi_mark_state {
    struct swi_mark_state *previous; /* the state of the previous mark that is still valid */
    uint32_t slot;
    const int64_t *samples;
    int64_t sample_count;
    uint64_t backward; /* tape->backward at the mark */
    size_t bytes;      /* of this struct with its extents */
    size_t live, touched, slabs;
    int64_t blocks, free, free_small; /* free, free_small: the numbers of extents */
    int chunks;
    size_t used[SWI_CHUNKS], top[SWI_CHUNKS];
    swi_extent extent[]; /* [free + free_small] */
} swi_mark_state;
/* Saves the state of the arena; NULL and an error if there is not enough memory. */
swi_mark_state *swi_arena_save(swi_arena *arena);
/* Restores it. The state remains valid. */
void swi_arena_restore(swi_arena *arena, const swi_mark_state *state);
/* Frees the state of the newest mark, restored or not. */
void swi_arena_forget(swi_arena *arena, swi_mark_state *state);

#endif
