/* The training of examples/memory.c: no allocation after the first step, and one gradient block, for each type, with
 * recomputation and without; the heaps of examples/heap.h. */
#define _XOPEN_SOURCE 700
#include "support.h"

#include "../../examples/fragmentation.h"
#include "../../examples/memory_run.h"

#define TEST(name) cmocka_unit_test_teardown(name, test_no_error_left)

static const run_setting settings[] = {{"f32", SW_F32, false, 0},          {"f16", SW_F16, false, 0},
                                       {"bf16", SW_BF16, false, 0},        {"f32_recompute", SW_F32, true, 0},
                                       {"f16_recompute", SW_F16, true, 0}, {"bf16_recompute", SW_BF16, true, 0}};

static void test_nothing_is_allocated_after_the_first_step(void **state) {
    (void)state;
    const run_sizes sizes = {.blocks = 48, .width = 24, .hidden = 40, .batch = 16, .segment = 7};
    test_allocator a;
    test_allocator_install(&a);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        run r;
        run_new(&r, &sizes, &settings[i]);
        assert_true(isfinite(run_step(&r, &sizes)));
        const long long calls = atomic_load(&a.calls), live = atomic_load(&a.live);
        for (int k = 0; k < 5; k++)
            assert_true(isfinite(run_step(&r, &sizes)));
        if (atomic_load(&a.calls) != calls)
            fail_msg("%s: %lld allocations in 5 steps", settings[i].name, atomic_load(&a.calls) - calls);
        assert_int_equal(atomic_load(&a.live), live);
        assert_int_equal(run_gradient_blocks(r.params), 1);
        run_free(&r);
        assert_int_equal(atomic_load(&a.live), 0);
    }
    sw_set_allocator(NULL);
}

static void test_heap_joins_free_neighbors(void **state) {
    (void)state;
    static heap h;
    heap_new(&h, HEAP_FIRST_FIT, 64 * 10);
    int64_t at[5];
    for (int i = 0; i < 5; i++)
        assert_int_equal(at[i] = heap_alloc(&h, 100), 128 * i); /* rounded to lines */
    assert_int_equal(heap_alloc(&h, 1), -1);
    heap_free(&h, at[1]);
    heap_free(&h, at[3]);
    assert_int_equal(heap_free_bytes(&h), 256);
    assert_int_equal(heap_largest_free(&h), 128);
    assert_int_equal(heap_alloc(&h, 129), -1); /* 256 bytes are free, in two pieces */
    heap_free(&h, at[2]);
    assert_int_equal(heap_largest_free(&h), 384);
    assert_int_equal(heap_alloc(&h, 384), 128);
    heap_free(&h, 128), heap_free(&h, at[0]), heap_free(&h, at[4]);
    assert_int_equal(h.count, 1);
    assert_int_equal(heap_free_bytes(&h), 640);
}

static void test_heap_takes_the_block_of_its_policy(void **state) {
    (void)state;
    static const int64_t expected[2] = {0, 640}; /* the first hole, and the smallest */
    for (int policy = HEAP_FIRST_FIT; policy <= HEAP_BEST_FIT; policy++) {
        static heap h;
        heap_new(&h, (heap_policy)policy, 2000 / 64 * 64);
        const int64_t large = heap_alloc(&h, 512);
        heap_alloc(&h, 128);
        const int64_t small = heap_alloc(&h, 256);
        heap_alloc(&h, 128);
        heap_free(&h, large), heap_free(&h, small);
        assert_int_equal(heap_alloc(&h, 200), expected[policy]);
    }
}

/* The results lie one after the other, and the memory needed is what is live. */
static void test_tape_keeps_results_together(void **state) {
    (void)state;
    static fragments f;
    fragments_of_tape(&f);
    assert_false(f.refused);
    assert_int_equal(f.segments, SEGMENTS);
    for (int i = 1; i < SEGMENTS; i++) {
        const int64_t gap = f.at[i] - f.at[i - 1] - fragments_result(i - 1);
        assert_true(gap >= 0 && gap < 2 * SW_ALIGNMENT);
    }
    assert_true(fragments_needed() < HEAP_BYTES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_is_allocated_after_the_first_step),
        TEST(test_heap_joins_free_neighbors),
        TEST(test_heap_takes_the_block_of_its_policy),
        TEST(test_tape_keeps_results_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
