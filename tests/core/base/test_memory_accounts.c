/* Accounts of memory equal the bytes of the allocator, after every kind of allocation. */
#include "support.h"

#include "byte_counter.h"

#include <pthread.h>

static byte_counter counter;

static int setup(void **state) {
    (void)state;
    sw_clear_error();
    byte_counter_install(&counter);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    const bool clean = sw_memory_live_total() == 0 && atomic_load(&counter.live) == 0 && !sw_error();
    sw_set_allocator(NULL);
    return clean ? 0 : 1;
}

static void test_each_function_counts_in_its_account(void **state) {
    (void)state;
    enum { KINDS = 9 };
    void *memory[KINDS] = {
        sw_alloc(100),
        sw_alloc_array(3, 40),
        sw_alloc_for(SW_ACCOUNT_DATA, 128),
        sw_alloc_array_for(SW_ACCOUNT_TAPE, 10, 13),
        sw_alloc_array_named(SW_ACCOUNT_OPTIMIZER, "adam", "m", 5, 8),
        sw_alloc(0),
        sw_strdup("abc"),
        sw_strdup("a text of more than the 48 bytes that follow a header in one line"),
        sw_alloc_array_named(SW_ACCOUNT_OPTIMIZER, NULL, NULL, 5, 8),
    };
    static const sw_account account[KINDS] = {SW_ACCOUNT_OTHER, SW_ACCOUNT_OTHER,     SW_ACCOUNT_DATA,
                                              SW_ACCOUNT_TAPE,  SW_ACCOUNT_OPTIMIZER, SW_ACCOUNT_OTHER,
                                              SW_ACCOUNT_OTHER, SW_ACCOUNT_OTHER,     SW_ACCOUNT_OPTIMIZER};
    static const size_t bytes[KINDS] = {192, 192, 192, 256, 128, 128, 64, 128, 128};
    size_t expected[SW_ACCOUNTS] = {0}, all = 0;
    for (int i = 0; i < KINDS; i++) {
        assert_non_null(memory[i]);
        expected[account[i]] += bytes[i];
        all += bytes[i];
    }
    for (int a = 0; a < SW_ACCOUNTS; a++)
        assert_int_equal(sw_memory_live((sw_account)a), expected[a]);
    assert_int_equal(sw_memory_live_total(), all);
    assert_int_equal(report_line(SW_ACCOUNT_OPTIMIZER, "adam.m").live, 128);
    assert_int_equal(report_line(SW_ACCOUNT_OPTIMIZER, NULL).live, 128);
    check_bytes(&counter, "allocated");
    for (int i = 0; i < KINDS; i++) { /* in another order */
        sw_free(memory[(i * 4) % KINDS]);
        all -= bytes[(i * 4) % KINDS];
        assert_int_equal(sw_memory_live_total(), all);
        check_bytes(&counter, "freed");
    }
}

static void test_memory_is_aligned_zeroed_and_its_own(void **state) {
    (void)state;
    enum { BLOCKS = 200 };
    unsigned char *block[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        block[i] = sw_alloc_for((sw_account)(i % SW_ACCOUNTS), (size_t)i);
        assert_true(block[i] && (uintptr_t)block[i] % SW_ALIGNMENT == 0);
        for (int k = 0; k < i; k++)
            assert_int_equal(block[i][k], 0);
        memset(block[i], i, (size_t)i); /* does not overwrite a header, of this block or of another */
    }
    for (int i = 0; i < BLOCKS; i++)
        for (int k = 0; k < i; k++)
            assert_int_equal(block[i][k], i);
    check_bytes(&counter, "filled");
    for (int i = 0; i < BLOCKS; i++)
        sw_free(block[i]);
}

static void test_arrays_shrink_to_what_they_hold(void **state) {
    (void)state;
    int *data = NULL;
    assert_ok(sw_resize_array(&data, 0, 100, sizeof *data));
    data[1] = 7;
    int *const before = data;
    assert_int_equal(sw_resize_array(&data, 100, 2, sizeof *data), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "resize_array: 100 elements are used; there is room for 2");
    assert_true(data == before && data[1] == 7);
    assert_ok(sw_resize_array(&data, 2, 2, sizeof *data));
    assert_true(data != before && data[1] == 7);
    check_bytes(&counter, "shrunk");
    sw_free(data);
}

static void test_arrays_keep_their_account_as_they_grow(void **state) {
    (void)state;
    int *data = NULL, *state_array = sw_alloc_array_named(SW_ACCOUNT_OPTIMIZER, "rule", "slot", 2, sizeof(int)),
        *plain = NULL, capacity = 0;
    state_array[1] = 7;
    assert_ok(sw_resize_array_for(SW_ACCOUNT_DATA, &data, 0, 100, sizeof *data));
    assert_int_equal(sw_memory_live(SW_ACCOUNT_DATA), block_bytes(100 * sizeof *data));
    assert_ok(sw_resize_array(&data, 100, 1000, sizeof *data)); /* not to OTHER */
    assert_int_equal(sw_memory_live(SW_ACCOUNT_DATA), block_bytes(1000 * sizeof *data));
    assert_ok(sw_resize_array_for(SW_ACCOUNT_TAPE, &data, 1000, 3000, sizeof *data)); /* nor to TAPE */
    assert_int_equal(sw_memory_live(SW_ACCOUNT_DATA), block_bytes(3000 * sizeof *data));
    /* both blocks were allocated while the numbers were copied */
    assert_int_equal(sw_memory_peak(SW_ACCOUNT_DATA),
                     block_bytes(3000 * sizeof *data) + block_bytes(1000 * sizeof *data));
    assert_ok(sw_resize_array(&state_array, 2, 50, sizeof *state_array));
    assert_true(state_array[1] == 7 && state_array[49] == 0);
    assert_int_equal(report_line(SW_ACCOUNT_OPTIMIZER, "rule.slot").live, block_bytes(50 * sizeof(int)));
    for (int i = 0; i < 20; i++) {
        assert_ok(sw_grow_array_for(SW_ACCOUNT_GRADIENTS, &plain, &capacity, i, 4, sizeof *plain));
        plain[i] = i;
    }
    assert_true(capacity == 32 && plain[19] == 19);
    assert_int_equal(sw_memory_live(SW_ACCOUNT_GRADIENTS), block_bytes(32 * sizeof *plain));
    assert_int_equal(sw_memory_live(SW_ACCOUNT_OTHER) + sw_memory_live(SW_ACCOUNT_TAPE), 0);
    check_bytes(&counter, "grown");
    sw_free(data);
    sw_free(state_array);
    sw_free(plain);
}

static void test_failed_allocation_counts_nothing(void **state) {
    (void)state;
    void *kept = sw_alloc_for(SW_ACCOUNT_DATA, 1000);
    const size_t live = sw_memory_live_total(), peak = sw_memory_peak_total();
    for (int kind = 0; kind < 4; kind++) {
        atomic_store(&counter.fail_at, atomic_load(&counter.calls) + 1);
        void *none = kind == 0   ? sw_alloc(5000)
                     : kind == 1 ? sw_alloc_array_named(SW_ACCOUNT_OPTIMIZER, "new", "name", 70, 100)
                     : kind == 2 ? (void *)sw_strdup("text")
                                 : sw_alloc_for(SW_ACCOUNT_DATA, SIZE_MAX - 40); /* the allocator is not called */
        assert_null(none);
        assert_int_equal(sw_error_status(), SW_ERR_MEMORY);
        sw_clear_error();
        atomic_store(&counter.fail_at, atomic_load(&counter.calls) + 1);
        void *before = kept;
        assert_int_equal(sw_resize_array(&kept, 1000, 2000, 1), SW_ERR_MEMORY);
        assert_ptr_equal(kept, before);
        expect_error(SW_ERR_MEMORY, "out of memory: 2000 bytes requested");
        assert_true(sw_memory_live_total() == live && sw_memory_peak_total() == peak);
        check_bytes(&counter, "failed");
    }
    sw_free(kept);
}

static void test_unknown_account_is_refused(void **state) {
    (void)state;
    void *array = NULL;
    int capacity = 0;
    const sw_account wrong = (sw_account)SW_ACCOUNTS;
    assert_null(sw_alloc_for(wrong, 10));
    expect_error(SW_ERR_ARGUMENT, "alloc_for: there is no account 7; SW_ACCOUNT_OTHER (0) to 6 exist");
    assert_null(sw_alloc_array_for(wrong, 10, 8));
    assert_int_equal(sw_error_status(), SW_ERR_ARGUMENT);
    sw_clear_error();
    assert_null(sw_alloc_array_named(wrong, "a", "b", 10, 8));
    sw_clear_error();
    assert_int_equal(sw_resize_array_for(wrong, &array, 0, 10, 8), SW_ERR_ARGUMENT);
    assert_int_equal(sw_grow_array_for(wrong, &array, &capacity, 0, 10, 8), SW_ERR_ARGUMENT);
    sw_clear_error();
    assert_true(!array && capacity == 0);
    assert_true(sw_memory_live(wrong) == 0 && sw_memory_peak(wrong) == 0 && !sw_account_name(wrong));
    for (int a = 0; a < SW_ACCOUNTS; a++)
        for (int b = 0; b < a; b++)
            assert_string_not_equal(sw_account_name((sw_account)a), sw_account_name((sw_account)b));
}

static void test_peaks_are_of_one_time_and_can_be_reset(void **state) {
    (void)state;
    void *a = sw_alloc_for(SW_ACCOUNT_TAPE, 6400);
    sw_free(a);
    void *b = sw_alloc_array_named(SW_ACCOUNT_OPTIMIZER, "peaks", "slot", 1, 3200);
    assert_int_equal(sw_memory_peak(SW_ACCOUNT_TAPE), 6464);
    assert_int_equal(sw_memory_peak(SW_ACCOUNT_OPTIMIZER), 3264);
    assert_int_equal(sw_memory_peak_total(), 6464); /* not together */
    sw_memory_reset_peaks();
    assert_int_equal(sw_memory_peak(SW_ACCOUNT_TAPE), 0);
    assert_int_equal(sw_memory_peak(SW_ACCOUNT_OPTIMIZER), 3264);
    assert_int_equal(sw_memory_peak_total(), 3264);
    assert_int_equal(report_line(SW_ACCOUNT_OPTIMIZER, "peaks.slot").peak, 3264);
    sw_free(b);
    assert_int_equal(report_line(SW_ACCOUNT_OPTIMIZER, "peaks.slot").peak, 3264);
    sw_memory_reset_peaks(); /* an entry without bytes and peak has no line */
    assert_int_equal(sw_memory_report(NULL, 0), 0);
}

static void test_report_may_have_more_lines_than_there_is_room(void **state) {
    (void)state;
    void *memory[3] = {sw_alloc_array_named(SW_ACCOUNT_OPTIMIZER, "lion", "m", 1, 64),
                       sw_alloc_for(SW_ACCOUNT_DATA, 64), sw_alloc_for(SW_ACCOUNT_PARAMETERS, 64)};
    sw_memory_entry line[4] = {{0}, {0}, {0}, {.live = 99}};
    assert_int_equal(sw_memory_report(NULL, 0), 3);
    assert_int_equal(sw_memory_report(line, 3), 3);
    assert_true(line[0].account == SW_ACCOUNT_PARAMETERS && !line[0].name && line[0].live == 128);
    assert_true(line[1].account == SW_ACCOUNT_OPTIMIZER && line[1].live == 128);
    assert_string_equal(line[1].name, "lion.m");
    assert_true(line[2].account == SW_ACCOUNT_DATA && line[3].live == 99);
    sw_memory_entry first = {0}, untouched = {.live = 99}, two[2] = {first, untouched};
    assert_int_equal(sw_memory_report(two, 1), 3);
    assert_true(two[0].account == SW_ACCOUNT_PARAMETERS && two[1].live == 99);
    for (int i = 0; i < 3; i++)
        sw_free(memory[i]);
}

/* Names are copied, are cut if they are too long, and belong to their account. */
static void test_names_are_copied_and_cut(void **state) {
    (void)state;
    char owner[120], name[] = "slot", cut[64];
    memset(owner, 'x', sizeof owner - 1);
    owner[sizeof owner - 1] = 0;
    void *a = sw_alloc_array_named(SW_ACCOUNT_OPTIMIZER, owner, name, 1, 64);
    void *b = sw_alloc_array_named(SW_ACCOUNT_DATA, "same", name, 1, 64);
    void *c = sw_alloc_array_named(SW_ACCOUNT_TAPE, "same", name, 1, 128);
    memset(cut, 'x', sizeof cut - 1);
    cut[sizeof cut - 1] = 0;
    memset(owner, 'y', sizeof owner - 1);
    memset(name, 'z', 4);
    assert_int_equal(report_line(SW_ACCOUNT_OPTIMIZER, cut).live, 128);
    assert_int_equal(report_line(SW_ACCOUNT_DATA, "same.slot").live, 128);
    assert_int_equal(report_line(SW_ACCOUNT_TAPE, "same.slot").live, 192);
    check_bytes(&counter, "named");
    sw_free(a);
    sw_free(b);
    sw_free(c);
}

/* ---- Several threads ---- */

enum { THREADS = 4, ROUNDS = 3000, HELD = 16 };

static void *allocate_and_free(void *args) {
    uint64_t random = *(uint64_t *)args;
    void *held[HELD] = {0};
    static const char *const names[] = {"a", "b", "c"};
    for (int round = 0; round < ROUNDS; round++) {
        void **at = &held[test_random(&random) % HELD];
        const uint64_t kind = test_random(&random) % 9;
        const size_t bytes = test_random(&random) % 500;
        sw_free(*at);
        *at = kind < 3    ? sw_alloc_array_named(SW_ACCOUNT_OPTIMIZER, "threads", names[kind], 1, bytes)
              : kind == 8 ? (void *)sw_strdup("text")
                          : sw_alloc_for((sw_account)(kind - 3), bytes);
    }
    for (int i = 0; i < HELD; i++)
        sw_free(held[i]);
    return NULL;
}

static void test_threads_count_together(void **state) {
    (void)state;
    pthread_t thread[THREADS];
    uint64_t seed[THREADS];
    for (int i = 0; i < THREADS; i++) {
        seed[i] = (uint64_t)i;
        assert_int_equal(pthread_create(&thread[i], NULL, allocate_and_free, &seed[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(sw_memory_live_total(), 0);
    for (int a = 0; a < SW_ACCOUNTS; a++)
        assert_int_equal(sw_memory_live((sw_account)a), 0);
    int lines = 0; /* one for each name, whichever thread was first */
    static sw_memory_entry entries[MOST_ENTRIES];
    const int count = sw_memory_report(entries, MOST_ENTRIES);
    for (int i = 0; i < count; i++) {
        assert_int_equal(entries[i].live, 0);
        lines += entries[i].name && strncmp(entries[i].name, "threads.", 8) == 0;
    }
    assert_int_equal(lines, 3);
}

/* This is the last test, because names are never removed. Memory of names for which there is no room is counted without
 * a name. */
static void test_names_beyond_the_last_count_without_a_name(void **state) {
    (void)state;
    enum { MANY = 600, ROOM = 512 };
    void *memory[MANY];
    int with_a_name = 0;
    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        memory[i] = sw_alloc_array_named(SW_ACCOUNT_GRADIENTS, "many", name, 1, 64);
        assert_non_null(memory[i]);
        char both[32];
        snprintf(both, sizeof both, "many.%d", i);
        with_a_name += report_line(SW_ACCOUNT_GRADIENTS, both).live == 128;
    }
    assert_true(with_a_name < ROOM && with_a_name > ROOM - 100); /* other tests have used some */
    assert_int_equal(report_line(SW_ACCOUNT_GRADIENTS, NULL).live, (size_t)(MANY - with_a_name) * 128);
    assert_int_equal(sw_memory_live(SW_ACCOUNT_GRADIENTS), (size_t)MANY * 128);
    check_bytes(&counter, "many names");
    for (int i = 0; i < MANY; i++)
        sw_free(memory[i]);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_each_function_counts_in_its_account),
        TEST(test_memory_is_aligned_zeroed_and_its_own),
        TEST(test_arrays_keep_their_account_as_they_grow),
        TEST(test_arrays_shrink_to_what_they_hold),
        TEST(test_failed_allocation_counts_nothing),
        TEST(test_unknown_account_is_refused),
        TEST(test_peaks_are_of_one_time_and_can_be_reset),
        TEST(test_report_may_have_more_lines_than_there_is_room),
        TEST(test_names_are_copied_and_cut),
        TEST(test_threads_count_together),
        TEST(test_names_beyond_the_last_count_without_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
