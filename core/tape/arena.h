/* The memory of one pass. */
#ifndef SWALE_TAPE_ARENA_H
#define SWALE_TAPE_ARENA_H

#include <swale/memory.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { SWI_CHUNKS = 48, SWI_CLASSES = 320 };

typedef struct swi_arena {
    struct {
        char *memory;
        size_t size;
    } chunk[SWI_CHUNKS]; /* each at least half as large as all before it */
    int chunks;
    size_t current, used;              /* bump pointer: chunk and bytes in it */
    size_t chunk_size;                 /* bytes of that chunk */
    char *base;                        /* its memory */
    size_t live, peak;                 /* bytes handed out now, and at most in this pass */
    void *list[SWI_CLASSES];           /* blocks given back, by size class; a block holds the next pointer */
    uint64_t filled[SWI_CLASSES / 64]; /* which lists are not empty */
} swi_arena;

/* A block aligned to SW_ALIGNMENT; NULL and an error. And back, with the same number of bytes. */
void *swi_arena_alloc_any(swi_arena *arena, size_t bytes);
void swi_arena_release_any(swi_arena *arena, void *block, size_t bytes);
#if defined(__SANITIZE_ADDRESS__)
#define SWI_POISONING 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SWI_POISONING 1
#endif
#endif

/* One line is what graphs of tiny tensors ask for: in line, unless blocks are poisoned. */
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
/* What a mark keeps. Blocks from before it stay out of reach of what comes after it. It outlives a
 * rewind, so that one can go back to the same mark many times. */
typedef struct swi_stash {
    void *list[SWI_CLASSES];
    uint64_t filled[SWI_CLASSES / 64];
    size_t live;
    struct swi_stash *below; /* of the mark before, if that can still be gone back to */
    uint32_t slot;
    const int64_t *samples;
    int64_t sample_count;
} swi_stash;
swi_stash *swi_arena_stash(swi_arena *arena); /* NULL: no memory */
void swi_arena_unstash(swi_arena *arena, swi_stash *stash, size_t current, size_t used);

#endif
