/* Allocation: the only file of the library that allocates memory, so that tests can make every allocation fail. */
#define _DEFAULT_SOURCE /* madvise */
#include <swale/memory.h>
#include <swale/status.h>

#include "core/base/allocation.h"
#include "core/base/dry_run_state.h"
#include "core/base/poison.h"

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

/* ---- Blocks ---- */

/* The data that sw_free needs, in front of the memory that the caller receives. A whole cache line in front of the
 * memory keeps it aligned. A string needs no alignment, and begins immediately after the header. */
typedef struct block_header {
    size_t bytes;    /* that the allocator was asked for */
    uint32_t entry;  /* of the accounts, and BLOCK_RESERVED */
    uint16_t offset; /* of the memory in the block */
    uint16_t rest;   /* of the block behind the memory */
} block_header;

enum { STRING_OFFSET = sizeof(block_header) };
enum { BLOCK_RESERVED = 1 << 30 }; /* a block of a dry run: addresses without memory, whose contents are zero */
_Static_assert(STRING_OFFSET == 16, "memory.h states it");

static bool block_is_reserved(size_t bytes) {
    return bytes >= SW_DRY_BLOCK && swi_dry_run();
}

/* Memory of 0 bytes gets a cache line too, so that its pointer lies inside the block. */
static void *block_new(int entry, size_t bytes, size_t offset) {
    if (entry < 0)
        return NULL;
    char *block = NULL;
    const size_t rounded = ((bytes ? bytes : 1) + offset + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
    const bool reserved = block_is_reserved(bytes);
    if (bytes <= SIZE_MAX / 2)
        block =
            reserved ? swi_reserve(rounded) : active_allocator.allocate(active_allocator.user, rounded, SW_ALIGNMENT);
    if (!block) {
        sw_fail(SW_ERR_MEMORY, "out of memory: %zu bytes requested%s", bytes,
                reserved ? ", of addresses for a dry run (a limit of the address space or of overcommitment?)" : "");
        return NULL;
    }
    const block_header header = {.bytes = rounded,
                                 .entry = (uint32_t)entry | (reserved ? (uint32_t)BLOCK_RESERVED : 0),
                                 .offset = (uint16_t)offset,
                                 .rest = (uint16_t)(rounded - offset - bytes)};
    memcpy(block + offset - sizeof header, &header, sizeof header);
    SWI_POISON(block, offset);
    swi_account_add(entry, rounded, bytes);
    swi_forget_freed(block + offset);
    return block + offset;
}

static block_header block_header_of(const void *memory) {
    block_header header;
    SWI_UNPOISON((const char *)memory - sizeof header, sizeof header);
    memcpy(&header, (const char *)memory - sizeof header, sizeof header);
    SWI_POISON((const char *)memory - sizeof header, sizeof header);
    return header;
}

static int block_entry(const block_header *header) {
    return (int)(header->entry & ~(uint32_t)BLOCK_RESERVED);
}

void sw_free(void *memory) {
    if (!memory)
        return;
    const block_header header = block_header_of(memory);
    char *block = (char *)memory - header.offset;
    SWI_UNPOISON(block, header.offset);
    swi_account_remove(block_entry(&header), header.bytes, header.bytes - header.offset - header.rest);
    if (header.entry & BLOCK_RESERVED)
        swi_unreserve(block, header.bytes);
    else
        active_allocator.release(active_allocator.user, block);
}

/* ---- Memory ---- */

static void *alloc_zeroed(int entry, size_t bytes) {
    void *memory = block_new(entry, bytes, SW_ALIGNMENT);
    if (memory && !block_is_reserved(bytes))
        memset(memory, 0, bytes);
    return memory;
}

static void *alloc_array(int entry, int64_t count, size_t size) {
    if (count < 0 || (size && (uint64_t)count > SIZE_MAX / 2 / size)) {
        sw_fail(SW_ERR_MEMORY, "out of memory: %lld elements of %zu bytes requested", (long long)count, size);
        return NULL;
    }
    return alloc_zeroed(entry, (size_t)count * size);
}

void *swi_alloc_raw(sw_account account, size_t bytes) {
    return block_new(swi_account_entry(account, NULL, NULL), bytes, SW_ALIGNMENT);
}

void *sw_alloc_for(sw_account account, size_t bytes) {
    return alloc_zeroed(swi_account_entry(account, NULL, NULL), bytes);
}

void *sw_alloc(size_t bytes) {
    return sw_alloc_for(SW_ACCOUNT_OTHER, bytes);
}

void *sw_alloc_array_for(sw_account account, int64_t count, size_t size) {
    return alloc_array(swi_account_entry(account, NULL, NULL), count, size);
}

void *sw_alloc_array_named(sw_account account, const char *owner, const char *name, int64_t count, size_t size) {
    return alloc_array(swi_account_entry(account, owner, name), count, size);
}

void *sw_alloc_array(int64_t count, size_t size) {
    return sw_alloc_array_for(SW_ACCOUNT_OTHER, count, size);
}

/* `array` is a pointer to a pointer of any type: memcpy reads and writes it without a cast that breaks aliasing. */
sw_status sw_resize_array_for(sw_account account, void *array, int64_t used, int64_t count, size_t size) {
    void *from;
    memcpy(&from, array, sizeof from);
    if (count >= 0 && used > count)
        return sw_fail(SW_ERR_ARGUMENT, "resize_array: %lld elements are used; there is room for %lld", (long long)used,
                       (long long)count);
    const block_header header = from ? block_header_of(from) : (block_header){0};
    const int entry = from ? block_entry(&header) : swi_account_entry(account, NULL, NULL);
    void *to = alloc_array(entry, count, size);
    if (!to)
        return sw_last_failure();
    if (from && used > 0)
        memcpy(to, from, (size_t)used * size);
    sw_free(from);
    memcpy(array, &to, sizeof to);
    return SW_OK;
}

sw_status sw_resize_array(void *array, int64_t used, int64_t count, size_t size) {
    return sw_resize_array_for(SW_ACCOUNT_OTHER, array, used, count, size);
}

sw_status sw_grow_array_for(sw_account account, void *array, int *capacity, int used, int first, size_t size) {
    if (used < *capacity)
        return SW_OK;
    if (*capacity > INT_MAX / 2)
        return sw_fail(SW_ERR_MEMORY, "out of memory: more than %d elements of %zu bytes", *capacity, size);
    const int doubled = *capacity ? 2 * *capacity : first;
    SW_TRY(sw_resize_array_for(account, array, used, doubled, size));
    *capacity = doubled;
    return SW_OK;
}

sw_status sw_grow_array(void *array, int *capacity, int used, int first, size_t size) {
    return sw_grow_array_for(SW_ACCOUNT_OTHER, array, capacity, used, first, size);
}

char *sw_strdup(const char *string) {
    if (!string)
        return NULL;
    size_t length = strlen(string) + 1;
    char *copy = block_new(swi_account_entry(SW_ACCOUNT_OTHER, NULL, NULL), length, STRING_OFFSET);
    if (copy)
        memcpy(copy, string, length);
    return copy;
}

uint64_t swi_next_id(void) {
    static atomic_uint_fast64_t next = 1;
    return atomic_fetch_add_explicit(&next, 1, memory_order_relaxed);
}
