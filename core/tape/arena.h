/* The arena of a tape: memory for one pass. */
#ifndef SWALE_TAPE_ARENA_H
#define SWALE_TAPE_ARENA_H

#include <swale/memory.h>

#include "core/base/poison.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { SWI_CHUNKS = 48, SWI_CLASSES = 320 };

typedef struct swi_arena {
    struct {
        char *memory;
        size_t size;
    } chunk[SWI_CHUNKS]; /* each at least half as large as all chunks before it together */
    int chunks;
    size_t current, used;              /* the bump pointer: the index of a chunk, and the bytes used in it */
    size_t chunk_size;                 /* the size of the current chunk */
    char *base;                        /* the memory of the current chunk */
    size_t live, peak;                 /* bytes allocated now, and the maximum in this pass */
    size_t before;                     /* the size of the chunks in front of the current one */
    size_t most_live, most_used;       /* maxima over earlier passes, and before the last rewind: see the functions */
    void *list[SWI_CLASSES];           /* released blocks, by size class; each block holds the pointer to the next */
    uint64_t filled[SWI_CLASSES / 64]; /* bit i: list i is not empty */
} swi_arena;

/* Allocates a block aligned to SW_ALIGNMENT; NULL and an error if there is not enough memory. Releases a block, with
 * the same number of bytes. */
void *swi_arena_alloc_any(swi_arena *arena, size_t bytes);
void swi_arena_release_any(swi_arena *arena, void *block, size_t bytes);

/* Graphs of tiny tensors allocate blocks of one cache line. Therefore this case is inline, unless blocks are poisoned
 * for the address sanitizer. */
static inline void *swi_arena_alloc(swi_arena *a, size_t bytes) {
#ifndef SWI_POISONING
    if (bytes <= SW_ALIGNMENT && (a->list[1] || a->used + SW_ALIGNMENT <= a->chunk_size)) {
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
        a->filled[0] |= 2;
        return;
    }
#endif
    swi_arena_release_any(a, block, bytes);
}
void swi_arena_reset(swi_arena *arena);
void swi_arena_free(swi_arena *arena);
size_t swi_arena_held(const swi_arena *arena);
/* Maxima over all passes: of `live`, and of the memory up to the bump pointer. */
size_t swi_arena_most_live(const swi_arena *arena);
size_t swi_arena_most_used(const swi_arena *arena);
/* The state that a mark saves. After the mark, allocations do not use blocks that were released before it. A rewind
 * keeps the struct, so that a program can rewind to one mark many times. */
typedef struct swi_mark_state {
    void *list[SWI_CLASSES];
    uint64_t filled[SWI_CLASSES / 64];
    size_t live;
    struct swi_mark_state *previous; /* the state of the previous mark that is still valid */
    uint32_t slot;
    const int64_t *samples;
    int64_t sample_count;
} swi_mark_state;
/* Saves the lists of released blocks and empties them; NULL and an error if there is not enough memory. */
swi_mark_state *swi_arena_save(swi_arena *arena);
/* Restores the lists, and the bump pointer to `used` bytes of the chunk `current`. */
void swi_arena_restore(swi_arena *arena, swi_mark_state *mark_state, size_t current, size_t used);

#endif
