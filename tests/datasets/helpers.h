/* Code that the tests of this folder share: IDX and gzip data made in memory, and an allocator that counts and fails on
 * demand. Include it first. */
#ifndef TESTS_DATASETS_HELPERS_H
#define TESTS_DATASETS_HELPERS_H
#define _GNU_SOURCE
#include "support.h"

#include "files.h"

#include <math.h>
#include <zlib.h>

#include <swale/datasets.h>
#include <swale/extend.h>

/* ---- IDX and gzip ---- */

/* An IDX file whose pixel i is noise(i). */
static inline unsigned char noise(size_t i) {
    uint32_t x = (uint32_t)i * 2654435761u + 12345u;
    return (unsigned char)(x >> 24 ^ x >> 11);
}

static inline bytes make_idx(int rank, const int64_t *shape) {
    size_t count = 1, at = 0;
    for (int i = 0; i < rank; i++)
        count *= (size_t)shape[i];
    bytes b = make_bytes(4 + 4 * (size_t)rank + count);
    b.at[at++] = 0;
    b.at[at++] = 0;
    b.at[at++] = 8;
    b.at[at++] = (unsigned char)rank;
    for (int i = 0; i < rank; i++)
        for (int shift = 24; shift >= 0; shift -= 8)
            b.at[at++] = (unsigned char)(shape[i] >> shift);
    for (size_t i = 0; i < count; i++)
        b.at[at++] = noise(i);
    return b;
}

static inline bytes gzip(const void *data, size_t size) {
    z_stream z = {0};
    bytes b;
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    b = make_bytes(deflateBound(&z, (uLong)size) + 32);
    z.next_in = (unsigned char *)(uintptr_t)data;
    z.avail_in = (uInt)size;
    z.next_out = b.at;
    z.avail_out = (uInt)b.size;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    b.size = z.total_out;
    deflateEnd(&z);
    return b;
}

/* ---- Errors ---- */

/* Checks that the last call failed with this status, and that the message begins with the path, has a reason and, if
 * `part` is not NULL, contains it. Clears the error. */
static inline void check_error(sw_status status, const char *path, const char *part) {
    const char *message = sw_error();
    assert_non_null(message);
    if (strncmp(message, path, strlen(path)) != 0 || (part && !strstr(message, part)))
        fail_msg("message \"%s\" for %s, expected \"%s\"", message, path, part ? part : "");
    assert_true(strlen(message) > strlen(path) + 4);
    assert_int_equal(sw_error_status(), status);
    sw_clear_error();
}

/* ---- Memory ---- */

static test_allocator memory;

/* The number of requests since count_memory. */
static inline long long memory_requests(void) {
    return atomic_load(&memory.calls);
}

/* Makes the library allocate through `memory`, which refuses request number `fail_at`, from 0; -1: none. */
static inline void count_memory(int64_t fail_at) {
    test_allocator_install(&memory);
    test_allocator_fail(&memory, fail_at + 1, false);
}

/* Restores the usual allocator; no block may be left. */
static inline void check_memory(void) {
    sw_set_allocator(NULL);
    assert_int_equal(atomic_load(&memory.live), 0);
}

#endif
