/* An allocator that counts the bytes that are allocated, and the largest number at one time. The size of a block is
 * kept in front of it, so that the count does not depend on the library. */
#ifndef SWALE_TEST_BYTE_COUNTER_H
#define SWALE_TEST_BYTE_COUNTER_H

#include "support.h"

typedef struct byte_counter {
    atomic_size_t live, peak;
    atomic_llong calls, fail_at; /* requests so far; the number of the request that fails, 0: none */
} byte_counter;

enum { BYTE_COUNTER_HEADER = 64 };

static inline void *byte_counter_take(void *user, size_t bytes, size_t alignment) {
    byte_counter *c = user;
    if (atomic_fetch_add(&c->calls, 1) + 1 == atomic_load(&c->fail_at))
        return NULL;
    char *memory = aligned_alloc(alignment, bytes + BYTE_COUNTER_HEADER);
    if (!memory)
        return NULL;
    memset(memory, 0xA5, bytes + BYTE_COUNTER_HEADER);
    memcpy(memory, &bytes, sizeof bytes);
    const size_t live = atomic_fetch_add(&c->live, bytes) + bytes;
    size_t peak = atomic_load(&c->peak);
    while (live > peak && !atomic_compare_exchange_weak(&c->peak, &peak, live))
        ;
    return memory + BYTE_COUNTER_HEADER;
}

static inline void byte_counter_give(void *user, void *memory) {
    byte_counter *c = user;
    size_t bytes;
    memcpy(&bytes, (char *)memory - BYTE_COUNTER_HEADER, sizeof bytes);
    atomic_fetch_sub(&c->live, bytes);
    free((char *)memory - BYTE_COUNTER_HEADER);
}

/* The library then allocates by `c`, and peaks are counted from here. All memory must have been freed before. */
static inline void byte_counter_install(byte_counter *c) {
    memset(c, 0, sizeof *c);
    const sw_allocator hook = {sizeof hook, c, byte_counter_take, byte_counter_give};
    sw_set_allocator(&hook);
    sw_memory_reset_peaks();
}

/* The bytes that are allocated for `bytes` of memory: rounded up to cache lines, with one line for the header. */
static inline size_t block_bytes(size_t bytes) {
    return (bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT + SW_ALIGNMENT;
}

enum { MOST_ENTRIES = SW_ACCOUNTS + 512 };

/* The line of the report with this account and name (NULL: none); zeros if there is none. */
static inline sw_memory_entry report_line(sw_account account, const char *name) {
    static sw_memory_entry entries[MOST_ENTRIES];
    const int count = sw_memory_report(entries, MOST_ENTRIES);
    for (int i = 0; i < count; i++)
        if (entries[i].account == account &&
            (name ? entries[i].name && strcmp(entries[i].name, name) == 0 : !entries[i].name))
            return entries[i];
    return (sw_memory_entry){.account = account, .name = name};
}

/* Asserts that the total, the sum of the accounts and the sum of the report equal the bytes of the allocator, and that
 * each account is the sum of its lines. */
static inline void check_bytes(const byte_counter *c, const char *when) {
    static sw_memory_entry entries[MOST_ENTRIES];
    const int count = sw_memory_report(entries, MOST_ENTRIES);
    assert_true(count <= MOST_ENTRIES);
    size_t of_account[SW_ACCOUNTS] = {0}, sum = 0, all = 0, peaks = 0;
    for (int i = 0; i < count; i++) {
        assert_true(i == 0 || entries[i].account >= entries[i - 1].account);
        assert_true(entries[i].live <= entries[i].peak);
        of_account[entries[i].account] += entries[i].live;
        sum += entries[i].live;
    }
    for (int a = 0; a < SW_ACCOUNTS; a++) {
        if (of_account[a] != sw_memory_live((sw_account)a))
            fail_msg("%s: %s: %zu bytes, its lines %zu", when, sw_account_name((sw_account)a),
                     sw_memory_live((sw_account)a), of_account[a]);
        assert_true(sw_memory_live((sw_account)a) <= sw_memory_peak((sw_account)a));
        all += sw_memory_live((sw_account)a);
        peaks += sw_memory_peak((sw_account)a);
    }
    const size_t live = atomic_load(&c->live);
    if (sw_memory_live_total() != live || all != live || sum != live)
        fail_msg("%s: the allocator has %zu bytes in use; total %zu, accounts %zu, report %zu", when, live,
                 sw_memory_live_total(), all, sum);
    if (sw_memory_peak_total() != atomic_load(&c->peak))
        fail_msg("%s: peak %zu, the allocator's %zu", when, sw_memory_peak_total(), atomic_load(&c->peak));
    assert_true(sw_memory_peak_total() <= peaks);
}

#endif
