/* Code that all tests share: an allocator that counts and fails on demand, random numbers that do not come from the
 * library under test, arrays, and checks of exact error messages. */
#ifndef SWALE_TEST_SUPPORT_H
#define SWALE_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <swale/core.h>

/* ---- An allocator that counts, and fails at the k-th allocation ---- */

typedef struct test_allocator {
    atomic_llong calls;   /* allocations so far */
    atomic_llong live;    /* blocks that are not freed yet */
    atomic_llong fail_at; /* this allocation returns NULL; 0: none does */
    atomic_bool for_good; /* all later allocations fail too */
    atomic_llong failed;  /* allocations that returned NULL */
    bool untouched;       /* blocks are not filled, for tests that allocate gigabytes */
} test_allocator;

static inline void *test_allocator_take(void *user, size_t bytes, size_t alignment) {
    test_allocator *a = user;
    long long call = atomic_fetch_add(&a->calls, 1) + 1, at = atomic_load(&a->fail_at);
    if (at > 0 && (call == at || (call > at && atomic_load(&a->for_good)))) {
        atomic_fetch_add(&a->failed, 1);
        return NULL;
    }
    void *memory = aligned_alloc(alignment, bytes);
    if (memory) {
        if (!a->untouched)
            memset(memory, 0xA5, bytes); /* callers must not rely on zeros */
        atomic_fetch_add(&a->live, 1);
    }
    return memory;
}

static inline void test_allocator_give(void *user, void *memory) {
    test_allocator *a = user;
    atomic_fetch_sub(&a->live, 1);
    free(memory);
}

/* Makes the library allocate through `a`. All earlier blocks must have been freed. */
static inline void test_allocator_install(test_allocator *a) {
    memset(a, 0, sizeof *a);
    const sw_allocator hook = {sizeof hook, a, test_allocator_take, test_allocator_give};
    sw_set_allocator(&hook);
}

/* Makes the k-th allocation from now fail; k = 1 is the next one. 0: none. */
static inline void test_allocator_fail(test_allocator *a, long long k, bool for_good) {
    atomic_store(&a->calls, 0);
    atomic_store(&a->failed, 0);
    atomic_store(&a->for_good, for_good);
    atomic_store(&a->fail_at, k);
}

/* ---- Random numbers: splitmix64, so that tests do not depend on the library's generator ---- */

static inline uint64_t test_random(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline double test_uniform(uint64_t *state, double low, double high) {
    return low + (high - low) * (double)(test_random(state) >> 11) * 0x1p-53;
}

/* ---- Arrays ---- */

static inline double test_get(const sw_array *a, int64_t i) {
    switch (a->type) {
    case SW_F32: return (double)((const float *)a->data)[i];
    case SW_F64: return ((const double *)a->data)[i];
    case SW_F16:
    case SW_BF16: return sw_element_to_number(a->type, a->data, i);
    case SW_I32: return ((const int32_t *)a->data)[i];
    case SW_U8: return ((const uint8_t *)a->data)[i];
    case SW_I64: return (double)((const int64_t *)a->data)[i];
    }
    return NAN;
}

static inline void test_set(const sw_array *a, int64_t i, double value) {
    switch (a->type) {
    case SW_F32: ((float *)a->data)[i] = (float)value; break;
    case SW_F64: ((double *)a->data)[i] = value; break;
    case SW_F16:
    case SW_BF16: sw_number_to_float(a->type, a->data, i, value); break;
    case SW_I32: ((int32_t *)a->data)[i] = (int32_t)value; break;
    case SW_U8: ((uint8_t *)a->data)[i] = (uint8_t)value; break;
    case SW_I64: ((int64_t *)a->data)[i] = (int64_t)value; break;
    }
}

/* An array of zeros on the heap with the exact size, so that a sanitizer detects an overrun. */
static inline sw_array test_array(sw_dtype type, int rank, const int64_t *shape) {
    sw_array a = {.type = type, .rank = rank};
    for (int i = 0; i < rank; i++)
        a.shape[i] = shape[i];
    size_t bytes = (size_t)sw_array_count(&a) * sw_dtype_size(type);
    a.data = calloc(1, bytes ? bytes : 1);
    assert_non_null(a.data);
    return a;
}

/* Fills an array with uniform numbers in [low, high), rounded to f32, so that both element types have the same
 * numbers. */
static inline void test_fill(const sw_array *a, double low, double high, uint64_t seed) {
    for (int64_t i = 0, n = sw_array_count(a); i < n; i++)
        test_set(a, i, (double)(float)test_uniform(&seed, low, high));
}

static inline sw_array test_filled(sw_dtype type, int rank, const int64_t *shape, double low, double high,
                                   uint64_t seed) {
    sw_array a = test_array(type, rank, shape);
    test_fill(&a, low, high, seed);
    return a;
}

static inline void test_array_free(sw_array *a) {
    free(a->data);
    a->data = NULL;
}

static inline size_t test_bytes(const sw_array *a) {
    return (size_t)sw_array_count(a) * sw_dtype_size(a->type);
}

/* A hash of bytes, continued from `hash`; start with TEST_HASH. Each step is a bijection of the state, so that a
 * difference in a single word or in the length always changes the hash. Blocks of four words have four independent
 * states, whose multiplications overlap. */
#define TEST_HASH 0xCBF29CE484222325u
static inline uint64_t test_hash(uint64_t hash, const void *data, size_t bytes) {
    const uint64_t factor = 0x9E3779B97F4A7C15u;
    const unsigned char *p = data, *end = p + bytes;
    uint64_t state[4] = {bytes, 2, 3, 4}, word[4];
    for (; end - p >= (ptrdiff_t)sizeof word; p += sizeof word) {
        memcpy(word, p, sizeof word);
        for (int k = 0; k < 4; k++) {
            state[k] = (state[k] ^ word[k]) * factor;
            state[k] ^= state[k] >> 29;
        }
    }
    memset(word, 0, sizeof word);
    memcpy(word, p, (size_t)(end - p));
    for (int k = 0; k < 8; k++) {
        hash = (hash ^ (k < 4 ? state[k] : word[k - 4])) * factor;
        hash ^= hash >> 29;
    }
    return hash;
}

/* ---- Vectors of either element type ---- */

static inline double vec_get(sw_dtype type, const void *v, int64_t i) {
    return type == SW_F32 ? (double)((const float *)v)[i] : ((const double *)v)[i];
}

static inline void vec_set(sw_dtype type, void *v, int64_t i, double value) {
    if (type == SW_F32)
        ((float *)v)[i] = (float)value;
    else
        ((double *)v)[i] = value;
}

/* ---- Errors ---- */

#define assert_ok(call)                                                                        \
    do {                                                                                       \
        sw_status status_ = (call);                                                            \
        if (status_ != SW_OK)                                                                  \
            fail_msg("%s: status %d: %s", #call, (int)status_, sw_error() ? sw_error() : "-"); \
    } while (0)

/* Checks that exactly this status and this message are pending, and clears them. */
#define expect_error(status, text)                   \
    do {                                             \
        assert_non_null(sw_error());                 \
        assert_string_equal(sw_error(), text);       \
        assert_int_equal(sw_error_status(), status); \
        sw_clear_error();                            \
    } while (0)

#define expect_no_error()                                 \
    do {                                                  \
        if (sw_error())                                   \
            fail_msg("unexpected error: %s", sw_error()); \
    } while (0)

static inline int test_clear(void **state) {
    (void)state;
    sw_clear_error();
    return 0;
}

/* A teardown that checks that no error is pending. */
static inline int test_no_error_left(void **state) {
    (void)state;
    return sw_error() != NULL;
}

#endif
