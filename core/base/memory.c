/* Allocation: the only file of the library that allocates memory, so that tests can make every allocation fail. */
#define _DEFAULT_SOURCE /* madvise */
#include <swale/memory.h>
#include <swale/status.h>

#include "core/base/allocation.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Large blocks request large pages: an optimizer step reads several vectors at once, and with pages of 4 KiB it waits
 * as long for the translation of addresses as for the data. The blocks are not aligned to large pages, because equal
 * elements of all vectors would then be in the same bank of memory. */
enum { PAGE = 4096, LARGE = 1 << 22 };

static void *allocator_default_allocate(void *user, size_t bytes, size_t alignment) {
    (void)user;
    char *memory = aligned_alloc(alignment, bytes);
#ifdef MADV_HUGEPAGE
    if (memory && bytes >= LARGE) { /* for the whole pages of the block; the kernel may ignore the request */
        char *first = memory + (PAGE - (uintptr_t)memory % PAGE) % PAGE;
        (void)madvise(first, (size_t)(memory + bytes - first) / PAGE * PAGE, MADV_HUGEPAGE);
    }
#endif
    return memory;
}

static void allocator_default_release(void *user, void *memory) {
    (void)user;
    free(memory);
}

static sw_allocator active_allocator = {sizeof(sw_allocator), NULL, allocator_default_allocate,
                                        allocator_default_release};

void sw_set_allocator(const sw_allocator *allocator) {
    if (allocator) {
        active_allocator = *allocator;
    } else {
        active_allocator =
            (sw_allocator){sizeof(sw_allocator), NULL, allocator_default_allocate, allocator_default_release};
    }
}

void *swi_alloc_raw(size_t bytes) {
    if (bytes > SIZE_MAX / 2) {
        sw_fail(SW_ERR_MEMORY, "out of memory: %zu bytes requested", bytes);
        return NULL;
    }
    size_t rounded = (bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
    void *memory = active_allocator.allocate(active_allocator.user, rounded ? rounded : SW_ALIGNMENT, SW_ALIGNMENT);
    if (!memory)
        sw_fail(SW_ERR_MEMORY, "out of memory: %zu bytes requested", bytes);
    else
        swi_forget_freed(memory);
    return memory;
}

void *sw_alloc(size_t bytes) {
    void *memory = swi_alloc_raw(bytes);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

void *sw_alloc_array(int64_t count, size_t size) {
    if (count < 0 || (size && (uint64_t)count > SIZE_MAX / 2 / size)) {
        sw_fail(SW_ERR_MEMORY, "out of memory: %lld elements of %zu bytes requested", (long long)count, size);
        return NULL;
    }
    return sw_alloc((size_t)count * size);
}

void sw_free(void *memory) {
    if (memory)
        active_allocator.release(active_allocator.user, memory);
}

/* `array` is a pointer to a pointer of any type: memcpy reads and writes it without a cast that breaks aliasing. */
sw_status sw_resize_array(void *array, int64_t used, int64_t count, size_t size) {
    void *from, *to = sw_alloc_array(count, size);
    if (!to)
        return SW_ERR_MEMORY;
    memcpy(&from, array, sizeof from);
    if (from && used > 0)
        memcpy(to, from, (size_t)used * size);
    sw_free(from);
    memcpy(array, &to, sizeof to);
    return SW_OK;
}

sw_status sw_grow_array(void *array, int *capacity, int used, int first, size_t size) {
    if (used < *capacity)
        return SW_OK;
    if (*capacity > INT_MAX / 2)
        return sw_fail(SW_ERR_MEMORY, "out of memory: more than %d elements of %zu bytes", *capacity, size);
    const int doubled = *capacity ? 2 * *capacity : first;
    SW_TRY(sw_resize_array(array, used, doubled, size));
    *capacity = doubled;
    return SW_OK;
}

char *sw_strdup(const char *string) {
    if (!string)
        return NULL;
    size_t length = strlen(string) + 1;
    char *copy = swi_alloc_raw(length);
    if (copy)
        memcpy(copy, string, length);
    return copy;
}

uint64_t swi_next_id(void) {
    static atomic_uint_fast64_t next = 1;
    return atomic_fetch_add_explicit(&next, 1, memory_order_relaxed);
}
