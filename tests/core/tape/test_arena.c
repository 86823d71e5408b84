/* The memory of one pass: blocks keep their contents, through marks and rewinds; free memory of any size, also from
 * before a mark, is used again; the high-water mark stays near the bytes in use; what forward saved is freed after the
 * vjp. */
#include "support.h"

#include "helpers.h"
#include "small_ops.h"

/* The smallest block, of a shape for example: the address sanitizer has a gap after each block. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { LINE = 2 * SW_ALIGNMENT };
#define LINE_IS_SET
#endif
#endif
#ifndef LINE_IS_SET
enum { LINE = SW_ALIGNMENT };
#endif

static sw_tensor block_of(sw_tape *tape, int64_t bytes) {
    sw_tensor t = sw_empty(tape, SW_U8, SW_SHAPE(bytes));
    assert_false(sw_is_null(t));
    return t;
}

/* ---- Random blocks ---- */

enum { MOST = 400, DEPTH = 4 };
typedef struct held {
    sw_tensor tensor;
    unsigned char *data;
    int64_t bytes;
    unsigned char pattern;
} held;

typedef struct heap {
    held block[MOST];
    int count;
} heap;

static void heap_add(heap *h, sw_tape *tape, uint64_t *seed) {
    if (h->count == MOST)
        return;
    /* From one byte to 300 KB: small blocks, large ones, and sizes next to the limit between them. */
    static const int64_t most[] = {64, 200, 1024, 1100, 20000, 300000};
    held *b = &h->block[h->count++];
    b->bytes = 1 + (int64_t)(test_random(seed) % (uint64_t)most[test_random(seed) % 6]);
    b->tensor = block_of(tape, b->bytes);
    b->data = sw_value(b->tensor).data;
    assert_int_equal((uintptr_t)b->data % SW_ALIGNMENT, 0);
    b->pattern = (unsigned char)test_random(seed);
    memset(b->data, b->pattern, (size_t)b->bytes);
}

static void heap_check(const held *b) {
    for (int64_t i = 0; i < b->bytes; i++)
        if (b->data[i] != b->pattern)
            fail_msg("byte %lld of %lld has changed", (long long)i, (long long)b->bytes);
}

static void heap_remove(heap *h, int index) {
    heap_check(&h->block[index]);
    sw_release(h->block[index].tensor);
    h->block[index] = h->block[--h->count];
}

static void test_blocks_keep_their_contents(void **state) {
    sw_tape *tape = *state;
    static heap h, saved[DEPTH];
    sw_mark mark[DEPTH];
    uint64_t seed = 5;
    for (int pass = 0; pass < 20; pass++) {
        int depth = 0, rewinds = 0;
        for (int i = 0; i < 1500; i++) {
            const uint64_t r = test_random(&seed) % 100;
            /* Blocks from before a mark are not released after it. */
            const int first = depth ? saved[depth - 1].count : 0;
            if (r < 50) {
                heap_add(&h, tape, &seed);
            } else if (r < 96) {
                if (h.count > first)
                    heap_remove(&h, first + (int)(test_random(&seed) % (uint64_t)(h.count - first)));
            } else if (r < 98 && depth < DEPTH) {
                mark[depth] = sw_tape_mark(tape);
                saved[depth++] = h;
            } else if (depth) {
                const int to = (int)(test_random(&seed) % (uint64_t)depth);
                assert_ok(sw_tape_rewind(tape, mark[to]));
                h = saved[to];
                depth = to + 1; /* the mark remains valid */
                rewinds++;
            }
        }
        assert_true(rewinds > 5);
        for (int i = 0; i < h.count; i++)
            heap_check(&h.block[i]);
        const size_t peak = sw_tape_peak_bytes(tape), high = sw_tape_touched_bytes(tape);
        assert_true(high >= peak && high <= sw_tape_held_bytes(tape));
        sw_tape_reset(tape);
        assert_int_equal(sw_tape_touched_bytes(tape), 0);
        h.count = 0;
    }
}

/* ---- Sizes ---- */

/* Released blocks that lie side by side make room for a larger one, in whatever order they were released. */
static void test_adjacent_blocks_are_joined(void **state) {
    sw_tape *tape = *state;
    enum { BLOCKS = 60, BYTES = 10240 };
    for (int order = 0; order < 3; order++) {
        sw_tensor t[BLOCKS];
        for (int i = 0; i < BLOCKS; i++)
            t[i] = block_of(tape, BYTES);
        const sw_tensor last = block_of(tape, BYTES); /* so that the blocks are not at the end of what is used */
        const size_t high = sw_tape_touched_bytes(tape);
        for (int i = 0; i < BLOCKS; i++)
            sw_release(t[order == 0 ? i : order == 1 ? BLOCKS - 1 - i : i * 7 % BLOCKS]);
        /* A third of the blocks is in the last chunk, because each is half as large as those before it together. */
        for (int i = 0; i < 2; i++)
            block_of(tape, BLOCKS / 6 * BYTES);
        block_of(tape, 5 * BYTES);
        assert_int_equal(sw_tape_touched_bytes(tape), high);
        assert_true(sw_is_live(last));
        sw_tape_reset(tape);
    }
}

/* Blocks of one size do not hold more than their sum when blocks of other sizes replace them. */
static void test_growing_blocks_take_the_place_of_smaller_ones(void **state) {
    sw_tape *tape = *state;
    for (int pass = 0; pass < 2; pass++) {
        sw_tape_reset(tape);
        size_t largest = 0;
        for (int64_t bytes = 4096; bytes < (int64_t)1 << 20; bytes += bytes / 5) {
            sw_tensor t[4];
            for (int i = 0; i < 4; i++)
                t[i] = block_of(tape, bytes);
            for (int i = 0; i < 4; i++)
                sw_release(t[i]);
            largest = 4 * (size_t)bytes;
        }
        /* In the second pass the chunks are there. In each at most one block of the four is wasted. */
        const double ratio = (double)sw_tape_touched_bytes(tape) / (double)largest;
        assert_true(ratio <= (pass ? 1.6 : 3));
    }
}

/* Above 1 MiB a chunk is an eighth of those before it together, so that less than an eighth of them is unused in the
 * last one, and less than a block at the end of each of the others. */
static void test_little_of_the_chunks_is_unused(void **state) {
    sw_tape *tape = *state;
    enum { BYTES = 16384, CHUNKS = 40 /* at most, for 40 MiB */ };
    for (size_t used = 0; used < (size_t)40 << 20; used += BYTES) {
        block_of(tape, BYTES);
        const size_t touched = sw_tape_touched_bytes(tape), capacity = sw_tape_capacity_bytes(tape);
        if (touched >= (size_t)2 << 20)
            assert_true(capacity <= touched + touched / 8 + (size_t)CHUNKS * BYTES);
    }
}

/* A program that releases every second one of very many blocks leaves as many holes. */
static void test_many_holes_are_used_again(void **state) {
    sw_tape *tape = *state;
    enum { HOLES = 3000, BYTES = 4096 };
    static sw_tensor t[2 * HOLES];
    for (int i = 0; i < 2 * HOLES; i++)
        t[i] = block_of(tape, BYTES);
    for (int i = 2 * HOLES - 2; i >= 0; i -= 2)
        sw_release(t[i]);
    const size_t high = sw_tape_touched_bytes(tape), shapes = (size_t)HOLES * LINE + 65536; /* and a slab */
    for (int i = 0; i < HOLES; i++)
        block_of(tape, BYTES);
    assert_true(sw_tape_touched_bytes(tape) <= high + shapes);
}

/* ---- Marks ---- */

static void test_memory_freed_before_a_mark_is_used_after_it(void **state) {
    sw_tape *tape = *state;
    static const int64_t sizes[] = {40, 64, 500, 1024, 1025, 10000, 300000};
    enum { BLOCKS = 3000 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        static sw_tensor t[BLOCKS];
        const int64_t bytes = sizes[s];
        const int count = bytes > 100000 ? 8 : BLOCKS;
        for (int i = 0; i < count; i++)
            t[i] = block_of(tape, bytes);
        for (int i = 0; i < count; i++)
            sw_release(t[i]);
        block_of(tape, bytes); /* so that one of them is in use */
        /* Each tensor has a shape; a mark saves 24 bytes for each hole, and about 1 KB; slabs grow by an eighth. New
         * memory for the blocks would be more than that. */
        const size_t high = sw_tape_touched_bytes(tape),
                     allowance = 8192 + high / 8 + (size_t)count * (LINE + (size_t)24);
        const sw_mark mark = sw_tape_mark(tape);
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < count - 1; i++)
                block_of(tape, bytes);
            if (sw_tape_touched_bytes(tape) > high + allowance)
                fail_msg("%lld bytes: %zu, %zu before the mark", (long long)bytes, sw_tape_touched_bytes(tape), high);
            assert_ok(sw_tape_rewind(tape, mark));
        }
        sw_tape_reset(tape);
    }
}

/* A rewind gives memory back as often as it is repeated, and marks do not pile up. */
static void test_rewinds_do_not_use_up_memory(void **state) {
    sw_tape *tape = *state;
    sw_tensor free_me = block_of(tape, 50000);
    block_of(tape, 5000);
    sw_release(free_me);
    const sw_mark mark = sw_tape_mark(tape);
    size_t high = 0;
    for (int i = 0; i < 1000; i++) {
        for (int k = 0; k < 5; k++)
            block_of(tape, 9000);
        for (int k = 0; k < 20; k++)
            sw_release(block_of(tape, 300));
        assert_ok(sw_tape_rewind(tape, mark));
        if (i == 0)
            high = sw_tape_touched_bytes(tape);
    }
    assert_int_equal(sw_tape_touched_bytes(tape), high);
}

/* ---- Saved memory ---- */

enum { SAVED = 1 << 20 };
static sw_status saving_forward(sw_call *call) {
    double *saved = sw_call_save(call, SAVED);
    if (!saved)
        return SW_ERR_MEMORY;
    saved[0] = 3;
    for (int64_t i = 0; i < call->out->count; i++)
        ((double *)call->out->data)[i] = 3 * ((const double *)call->in[0]->data)[i];
    return SW_OK;
}
static sw_status saving_vjp(sw_call *call) {
    const double *saved = call->saved, *c = call->cotangent;
    double *to = sw_call_grad(call, 0);
    for (int64_t i = 0; to && i < call->out->count; i++)
        to[i] = saved[0] * c[i];
    return SW_OK;
}
static sw_status hungry_forward(sw_call *call) {
    memcpy(call->out->data, call->in[0]->data, (size_t)call->out->count * sizeof(double));
    return SW_OK;
}
static sw_status hungry_vjp(sw_call *call) {
    for (int i = 0; i < 4; i++) {
        void *scratch = sw_call_scratch(call, SAVED);
        if (!scratch)
            return SW_ERR_MEMORY;
        memset(scratch, 0xFF, SAVED);
    }
    sw_call_pass_grad(call, 0);
    return SW_OK;
}
static const sw_op saving_op = OP("saving", .forward = saving_forward, .vjp = saving_vjp),
                   hungry_op = OP("hungry", .forward = hungry_forward, .vjp = hungry_vjp);

static void test_saved_memory_is_freed_after_the_vjp(void **state) {
    sw_tape *tape = *state;
    double x[] = {1, 2, 3};
    for (int release = 0; release < 2; release++) {
        sw_tensor v = vector_variable(tape, x, 3), h = sw_apply(&hungry_op, NULL, 0, 1, &v);
        for (int i = 0; i < 4; i++) {
            sw_tensor next = sw_apply(&saving_op, NULL, 0, 1, &h);
            if (release)
                sw_release(h);
            h = next;
        }
        sw_tensor loss = sw_sum(h);
        if (release)
            sw_release(h);
        assert_ok(sw_backward(loss));
        const sw_array g = sw_grad(v);
        for (int i = 0; i < 3; i++)
            assert_true(test_get(&g, i) == 81);
        /* Four saved blocks, and the four of the scratch in their place or beside them. */
        const size_t high = sw_tape_touched_bytes(tape);
        assert_true(release ? high < 4 * SAVED + 64 * 1024 : high >= 8 * SAVED);
        if (release) {
            assert_int_equal(sw_backward(loss), SW_ERR_STATE);
            expect_error(SW_ERR_STATE, "saving: an earlier backward has released its values; add the losses and run "
                                       "backward once");
        } else {
            assert_ok(sw_backward(loss));
            const sw_array twice = sw_grad(v);
            assert_true(test_get(&twice, 0) == 162);
        }
        sw_tape_reset(tape);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, tape_setup, tape_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_blocks_keep_their_contents),
        TEST(test_adjacent_blocks_are_joined),
        TEST(test_growing_blocks_take_the_place_of_smaller_ones),
        TEST(test_little_of_the_chunks_is_unused),
        TEST(test_many_holes_are_used_again),
        TEST(test_memory_freed_before_a_mark_is_used_after_it),
        TEST(test_rewinds_do_not_use_up_memory),
        TEST(test_saved_memory_is_freed_after_the_vjp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
