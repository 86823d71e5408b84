/* An allocator that measures the largest amount of memory in use by the library. Include it after helpers.h. */
#ifndef TESTS_DATASETS_MEASURED_MEMORY_H
#define TESTS_DATASETS_MEASURED_MEMORY_H

/* Bytes in use now, and at most so far. */
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
    char *block = (char *)memory_of - 64; /* 64: the alignment of sw_alloc */
    size_t size;
    (void)user;
    memcpy(&size, block, sizeof size);
    heap.in_use -= size;
    free(block);
}

/* Makes the library allocate through it; sw_set_allocator(NULL) ends this. */
static inline void measure_memory(void) {
    static const sw_allocator measuring = {sizeof(sw_allocator), NULL, measuring_allocate, measuring_release};
    memset(&heap, 0, sizeof heap);
    sw_set_allocator(&measuring);
}

#endif
