/* An allocator that measures how much memory the library has at most. Include it after helpers.h. */
#ifndef TESTS_DATASETS_MEASURED_MEMORY_H
#define TESTS_DATASETS_MEASURED_MEMORY_H

/* Bytes in use, and the most so far. */
static struct { size_t in_use, most; } heap;

static inline void *measuring_allocate(void *user, size_t size, size_t alignment) {
    char *block = aligned_alloc(alignment, size + alignment);
    (void)user;
    assert_non_null(block);
    memcpy(block, &size, sizeof size);
    heap.in_use += size;
    heap.most = heap.in_use > heap.most ? heap.in_use : heap.most;
    return block + alignment;
}

static inline void measuring_release(void *user, void *memory_of) {
    char *block = (char *)memory_of - 64; /* what sw_alloc aligns to */
    size_t size;
    (void)user;
    memcpy(&size, block, sizeof size);
    heap.in_use -= size;
    free(block);
}

/* From now on the library allocates through it; sw_set_allocator(NULL) ends that. */
static inline void measure_memory(void) {
    static const sw_allocator measuring = {sizeof(sw_allocator), NULL, measuring_allocate, measuring_release};
    memset(&heap, 0, sizeof heap);
    sw_set_allocator(&measuring);
}

#endif
