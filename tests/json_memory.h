/* Makes jansson allocate through the counting allocator of support.h, so that its allocations fail in turn too. */
#ifndef SWALE_TEST_JSON_MEMORY_H
#define SWALE_TEST_JSON_MEMORY_H

#include "support.h"

#include <jansson.h>

static test_allocator *json_allocator;

static inline void *json_take(size_t bytes) {
    return test_allocator_take(json_allocator, (bytes + 15) / 16 * 16, 16);
}

static inline void json_give(void *memory) {
    if (memory)
        test_allocator_give(json_allocator, memory);
}

/* The library and jansson allocate through `a`, or, for NULL, through their default allocators. */
static inline void test_all_memory(test_allocator *a) {
    json_allocator = a;
    if (a) {
        test_allocator_install(a);
        json_set_alloc_funcs(json_take, json_give);
    } else {
        sw_set_allocator(NULL);
        json_set_alloc_funcs(malloc, free);
    }
}

#endif
