/* A heap of fixed size without memory: which addresses an allocator would give to a sequence of requests. For memory.c,
 * which shows how blocks that stay divide the free space. Not part of the library.
 *
 * The heap is a list of blocks in the order of their addresses, used and free ones, without gaps. A block that is freed
 * is joined with free neighbors. First fit takes the first free block that is large enough, best fit the smallest. */
#ifndef SWALE_EXAMPLES_HEAP_H
#define SWALE_EXAMPLES_HEAP_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { HEAP_BLOCKS = 4096, HEAP_ALIGNMENT = 64 };

typedef enum heap_policy { HEAP_FIRST_FIT, HEAP_BEST_FIT } heap_policy;

typedef struct heap_block {
    int64_t at, bytes;
    bool used;
} heap_block;

typedef struct heap {
    heap_policy policy;
    int count;
    heap_block block[HEAP_BLOCKS];
} heap;

static inline void heap_new(heap *h, heap_policy policy, int64_t bytes) {
    h->policy = policy;
    h->count = 1;
    h->block[0] = (heap_block){0, bytes, false};
}

static inline int heap_find(const heap *h, int64_t bytes) {
    int best = -1;
    for (int i = 0; i < h->count; i++) {
        if (h->block[i].used || h->block[i].bytes < bytes)
            continue;
        if (h->policy == HEAP_FIRST_FIT)
            return i;
        if (best < 0 || h->block[i].bytes < h->block[best].bytes)
            best = i;
    }
    return best;
}

/* The address of a new block; -1 if no free block is large enough. */
static inline int64_t heap_alloc(heap *h, int64_t bytes) {
    bytes = (bytes + HEAP_ALIGNMENT - 1) / HEAP_ALIGNMENT * HEAP_ALIGNMENT;
    const int i = heap_find(h, bytes);
    if (i < 0 || h->count == HEAP_BLOCKS)
        return -1;
    const int64_t rest = h->block[i].bytes - bytes;
    h->block[i].used = true;
    h->block[i].bytes = bytes;
    if (rest > 0) {
        memmove(&h->block[i + 2], &h->block[i + 1], (size_t)(h->count++ - i - 1) * sizeof *h->block);
        h->block[i + 1] = (heap_block){h->block[i].at + bytes, rest, false};
    }
    return h->block[i].at;
}

static inline void heap_remove(heap *h, int i) {
    memmove(&h->block[i], &h->block[i + 1], (size_t)(--h->count - i) * sizeof *h->block);
}

static inline void heap_free(heap *h, int64_t at) {
    int i = 0;
    while (i < h->count && h->block[i].at != at)
        i++;
    if (i == h->count)
        return;
    h->block[i].used = false;
    if (i + 1 < h->count && !h->block[i + 1].used) {
        h->block[i].bytes += h->block[i + 1].bytes;
        heap_remove(h, i + 1);
    }
    if (i > 0 && !h->block[i - 1].used) {
        h->block[i - 1].bytes += h->block[i].bytes;
        heap_remove(h, i);
    }
}

static inline int64_t heap_free_bytes(const heap *h) {
    int64_t bytes = 0;
    for (int i = 0; i < h->count; i++)
        bytes += h->block[i].used ? 0 : h->block[i].bytes;
    return bytes;
}

/* The largest request that would succeed. */
static inline int64_t heap_largest_free(const heap *h) {
    int64_t most = 0;
    for (int i = 0; i < h->count; i++)
        if (!h->block[i].used && h->block[i].bytes > most)
            most = h->block[i].bytes;
    return most;
}

#endif
