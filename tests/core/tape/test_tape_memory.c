/* The memory of a tape: the arena's capacity, high-water mark and live set; the activations of layers, by hand; and the
 * report of all memory as text. */
#define _GNU_SOURCE
#include "byte_counter.h"

#include "core/helpers.h"

#if defined(__SANITIZE_ADDRESS__)
#define GAP SW_ALIGNMENT /* behind each block (arena.c) */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GAP SW_ALIGNMENT
#endif
#endif
#ifndef GAP
#define GAP 0
#endif

static byte_counter counter;

static int setup(void **state) {
    byte_counter_install(&counter);
    return tape_setup(state);
}

static int teardown(void **state) {
    const int failed = tape_teardown(state);
    const bool clean = atomic_load(&counter.live) == 0 && sw_memory_live_total() == 0;
    sw_set_allocator(NULL);
    return failed ? failed : clean ? 0 : -1;
}

/* ---- The arena ---- */

/* Small blocks, such as shapes, are cut from slabs; the first one holds all that a test needs. */
enum { LINE = SW_ALIGNMENT, SLAB = 1024 };

/* A leaf of whole lines takes its memory, and one line for its shape. */
static sw_tensor lines(sw_tape *tape, int64_t count) {
    const sw_tensor t = sw_empty(tape, SW_U8, SW_SHAPE(count * LINE));
    assert_false(sw_is_null(t));
    return t;
}

/* large_lines: of the blocks that are larger than a slab. */
static void assert_arena(const sw_tape *tape, size_t live_lines, size_t large_lines, size_t large_blocks) {
    assert_int_equal(sw_tape_live_set_bytes(tape), live_lines * LINE);
    assert_int_equal(sw_tape_high_water_bytes(tape), large_lines * LINE + large_blocks * GAP + SLAB);
    assert_true(sw_tape_high_water_bytes(tape) <= sw_tape_capacity_bytes(tape));
    assert_true(sw_tape_capacity_bytes(tape) < sw_tape_held_bytes(tape));
}

static void test_high_water_and_live_set_follow_from_the_blocks(void **state) {
    sw_tape *tape = *state;
    assert_true(sw_tape_capacity_bytes(tape) == 0 && sw_tape_live_set_bytes(tape) == 0);
    const sw_tensor a = lines(tape, 40);
    lines(tape, 20);
    assert_arena(tape, 62, 60, 2);
    sw_release(a);
    assert_arena(tape, 62, 60, 2);
    lines(tape, 40); /* in the memory of a */
    assert_arena(tape, 63, 60, 2);
    const sw_tensor b = lines(tape, 80);
    assert_arena(tape, 144, 140, 3);
    sw_release(b);
    lines(tape, 60); /* in a part of the memory of b */
    assert_arena(tape, 144, 140, 3);
    assert_int_equal(sw_tape_peak_bytes(tape), 144 * LINE);
}

static void test_marks_of_earlier_passes_are_kept(void **state) {
    sw_tape *tape = *state;
    lines(tape, 80);
    sw_tape_reset(tape);
    assert_arena(tape, 81, 80, 1);
    lines(tape, 20);
    assert_arena(tape, 81, 80, 1); /* a smaller pass */
    assert_int_equal(sw_tape_peak_bytes(tape), 21 * LINE);
    sw_tape_reset(tape);
    sw_tape_reset(tape);
    assert_arena(tape, 81, 80, 1);
}

/* What a rewind discards was needed. */
static void test_rewinds_do_not_lower_the_marks(void **state) {
    sw_tape *tape = *state;
    const sw_mark mark = sw_tape_mark(tape);
    const size_t live = sw_tape_live_set_bytes(tape), used = sw_tape_high_water_bytes(tape);
    for (int i = 0; i < 3; i++) {
        lines(tape, 80);
        assert_int_equal(sw_tape_rewind(tape, mark), SW_OK);
        assert_int_equal(sw_tape_live_set_bytes(tape), live + 81 * LINE);
        const size_t more = sw_tape_high_water_bytes(tape) - used - 80 * LINE - GAP;
        assert_true(more == 0 || more == SLAB); /* the shape is in the slab of the mark's state, or in another */
    }
}

/* A block that does not fit in a chunk is in another, and the rest of the first is not touched. */
static void test_high_water_reaches_over_chunks(void **state) {
    sw_tape *tape = *state;
    lines(tape, 1);
    const size_t first = sw_tape_capacity_bytes(tape);
    lines(tape, (int64_t)first / LINE);
    const size_t capacity = sw_tape_capacity_bytes(tape);
    assert_true(capacity >= 2 * first);
    assert_int_equal(sw_tape_live_set_bytes(tape), first + 3 * LINE);
    for (int i = 0; i < 3; i++) { /* the same in the chunks that exist */
        assert_int_equal(sw_tape_high_water_bytes(tape), first + GAP + SLAB);
        assert_int_equal(sw_tape_capacity_bytes(tape), capacity);
        sw_tape_reset(tape);
        lines(tape, 1);
        lines(tape, (int64_t)first / LINE);
    }
}

/* ---- Activations ---- */

enum { ROWS = 4, COLUMNS = 5 };
static const size_t one = ROWS * COLUMNS * sizeof(double); /* the bytes of a value */

static sw_tensor in_layer(sw_tensor t, const char *layer) {
    sw_tape_set_layer(t.tape, layer);
    return t;
}

/* Layer a: tanh, whose vjp reads its output. Layer b: h·h reads h, which is of a; h + c reads nothing. Layer c: silu
 * reads the sum, which is of b; the product with a copied batch reads both, and the sum over all nothing. */
static sw_tensor record(sw_tape *tape, sw_array x) {
    const sw_tensor batch = sw_input_copy(tape, x), v = sw_variable(tape, x);
    char names[] = "a\0b\0c"; /* valid during the pass alone */
    char *name = sw_alloc(sizeof names);
    assert_non_null(name);
    memcpy(name, names, sizeof names);
    assert_int_equal(sw_tape_defer(tape, sw_free, name), SW_OK);
    const sw_tensor h = sw_tanh(in_layer(v, name));
    in_layer(h, name + 2);
    const sw_tensor square = sw_mul(h, h), sum = sw_add(square, sw_scale(h, 0.5));
    sw_release(square);
    in_layer(sum, name + 4);
    const sw_tensor s = sw_silu(sum), product = sw_mul(s, batch);
    in_layer(product, NULL);
    return sw_sum(product);
}

static void check_layers(const sw_tape *tape) {
    sw_tape_layer layer[8];
    assert_int_equal(sw_tape_activations(tape, layer, 8), 4);
    assert_true(!layer[0].layer && layer[0].values == 1 && layer[0].bytes == one);
    static const char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        assert_string_equal(layer[i + 1].layer, names[i]);
        assert_int_equal(layer[i + 1].values, 1);
        assert_int_equal(layer[i + 1].bytes, one);
    }
}

static void test_activations_are_what_vjps_read_by_layer(void **state) {
    sw_tape *tape = *state;
    sw_array x = test_filled(SW_F64, SW_SHAPE(ROWS, COLUMNS), -1, 1, 3);
    assert_int_equal(sw_backward(record(tape, x)), SW_OK);
    assert_int_equal(sw_tape_activations(tape, NULL, 0), 0); /* SW_MEASURE is off */
    sw_tape_reset(tape);
    sw_tape_set_switch(tape, SW_MEASURE, true);
    assert_int_equal(sw_backward(record(tape, x)), SW_OK);
    check_layers(tape);
    sw_tape_layer two[3] = {{0}, {0}, {.bytes = 99}};
    assert_int_equal(sw_tape_activations(tape, two, 2), 4);
    assert_true(two[1].bytes == one && two[2].bytes == 99);
    assert_int_equal(sw_tape_activations(NULL, two, 2), 0);
    sw_tape_reset(tape);
    check_layers(tape); /* although the names of the pass are freed */
    const long long calls = atomic_load(&counter.calls);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sw_backward(record(tape, x)), SW_OK);
        sw_tape_reset(tape);
    }
    assert_int_equal(atomic_load(&counter.calls), calls + 3); /* the names that this test allocates */
    check_layers(tape);
    test_array_free(&x);
}

/* Measured at the beginning of a backward: what an earlier one has released is not kept any more. A smaller pass does
 * not replace a larger one, whose lines belong together. */
static void test_activations_are_those_of_the_largest_pass(void **state) {
    sw_tape *tape = *state;
    sw_tape_set_switch(tape, SW_MEASURE, true);
    sw_array x = test_filled(SW_F64, SW_SHAPE(ROWS, COLUMNS), -1, 1, 3),
             wide = test_filled(SW_F64, SW_SHAPE(ROWS, 3 * COLUMNS), -1, 1, 4);
    sw_tape_layer layer[2];
    assert_int_equal(sw_backward(sw_sum(sw_tanh(sw_variable(tape, x)))), SW_OK);
    assert_int_equal(sw_backward(sw_sum(sw_tanh(sw_variable(tape, x)))), SW_OK);
    assert_int_equal(sw_tape_activations(tape, layer, 2), 1);
    assert_true(layer[0].bytes == one && layer[0].values == 1 && !layer[0].layer);
    sw_tape_reset(tape);
    assert_int_equal(sw_backward(sw_sum(sw_tanh(sw_variable(tape, wide)))), SW_OK);
    assert_int_equal(sw_tape_activations(tape, layer, 2), 1);
    assert_int_equal(layer[0].bytes, 3 * one);
    sw_tape_reset(tape);
    assert_int_equal(sw_backward(sw_sum(sw_tanh(sw_variable(tape, x)))), SW_OK);
    assert_int_equal(sw_tape_activations(tape, layer, 2), 1);
    assert_int_equal(layer[0].bytes, 3 * one);
    test_array_free(&x);
    test_array_free(&wide);
}

static void test_no_memory_for_the_measure_is_an_error(void **state) {
    sw_tape *tape = *state;
    sw_array x = test_filled(SW_F64, SW_SHAPE(ROWS, COLUMNS), -1, 1, 3);
    assert_int_equal(sw_backward(record(tape, x)), SW_OK);
    sw_tape_reset(tape);
    sw_tape_set_switch(tape, SW_MEASURE, true);
    int refused = 0;
    for (;; refused++) {
        const sw_tensor loss = record(tape, x);
        atomic_store(&counter.fail_at, atomic_load(&counter.calls) + 1 + refused);
        const sw_status status = sw_backward(loss);
        atomic_store(&counter.fail_at, 0);
        if (status == SW_OK)
            break;
        assert_int_equal(status, SW_ERR_MEMORY);
        assert_int_equal(sw_error_status(), SW_ERR_MEMORY);
        sw_clear_error();
        assert_int_equal(sw_tape_activations(tape, NULL, 0), 0);
        sw_tape_reset(tape);
    }
    if (refused < 3) /* the struct, the list, a name; what was made before a failure stays */
        fail_msg("only %d allocations failed", refused);
    check_layers(tape);
    test_array_free(&x);
}

/* ---- The report as text ---- */

/* Reads the whole numbers at the beginning of a text, at most two; returns how many there are. */
static int read_numbers(const char *text, size_t number[2]) {
    int count = 0;
    for (char *end; count < 2; count++, text = end) {
        text += strspn(text, " ");
        number[count] = strtoull(text, &end, 10);
        if (end == text)
            break;
    }
    return count;
}

/* The numbers of the line that begins with `name`; at most two. */
static int numbers_of(const char *text, const char *name, size_t number[2]) {
    const size_t length = strlen(name);
    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, name, length) == 0 && line[length] == ' ')
            return read_numbers(line + length, number);
    return 0;
}

static char *text_of(void (*print)(const sw_tape *tape, FILE *to), const sw_tape *tape) {
    static char *text; /* static, because the stream keeps the addresses */
    static size_t size;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    print(tape, to);
    fclose(to);
    assert_non_null(text);
    return text;
}

static void print_all(const sw_tape *tape, FILE *to) {
    (void)tape;
    sw_memory_print(to);
}

/* Every entry is a line with its bytes, the lines add up to the total, and this is what the allocator has handed out.
 * */
static void test_report_is_printed_line_by_line(void **state) {
    sw_tape *tape = *state;
    lines(tape, 3);
    void *slot = sw_alloc_array_named(SW_ACCOUNT_OPTIMIZER, "adam", "m", 1, 1000);
    sw_free(sw_alloc_for(SW_ACCOUNT_DATA, 6400));
    char *text = text_of(print_all, NULL);
    size_t number[2] = {0}, sum = 0, all = 0;
    assert_int_equal(numbers_of(text, "memory.optimizer.adam.m", number), 2);
    assert_true(number[0] == block_bytes(1000) && number[1] == block_bytes(1000));
    assert_int_equal(numbers_of(text, "memory.data", number), 2);
    assert_true(number[0] == 0 && number[1] == block_bytes(6400));
    int printed = 0;
    for (char *line = strchr(text, '\n') + 1; strncmp(line, "memory.total ", 13) != 0; line = strchr(line, '\n') + 1) {
        assert_int_equal(read_numbers(line + strcspn(line, " "), number), 2);
        sum += number[0];
        printed++;
    }
    assert_int_equal(printed, sw_memory_report(NULL, 0));
    assert_int_equal(numbers_of(text, "memory.total", number), 2);
    assert_int_equal(number[0], sum);
    assert_int_equal(number[0], atomic_load(&counter.live));
    assert_int_equal(number[1], atomic_load(&counter.peak));
    all = sum;
    char mapped[64];
    snprintf(mapped, sizeof mapped, "\nnot counted: OpenBLAS, which has mapped %d buffers of ", sw_blas_buffers());
    assert_non_null(strstr(text, mapped));
    free(text);
    assert_int_equal(sw_memory_live_total(), all); /* printing has allocated nothing that stays */
    sw_free(slot);
    sw_memory_print(NULL);
}

static void test_memory_of_a_tape_is_printed(void **state) {
    sw_tape *tape = *state;
    sw_array x = test_filled(SW_F64, SW_SHAPE(ROWS, COLUMNS), -1, 1, 3);
    size_t number[2] = {0};
    assert_int_equal(sw_backward(record(tape, x)), SW_OK);
    char *text = text_of(sw_tape_memory_print, tape);
    assert_null(strstr(text, "activations"));
    free(text);
    sw_tape_set_switch(tape, SW_MEASURE, true);
    sw_tape_reset(tape);
    assert_int_equal(sw_backward(record(tape, x)), SW_OK);
    text = text_of(sw_tape_memory_print, tape);
    const struct {
        const char *name;
        size_t bytes;
    } line[] = {{"arena.capacity", sw_tape_capacity_bytes(tape)},
                {"arena.high_water", sw_tape_high_water_bytes(tape)},
                {"arena.live_set", sw_tape_live_set_bytes(tape)},
                {"activations", 4 * one},
                {"activations.(no_layer)", one},
                {"activations.a", one},
                {"activations.b", one},
                {"activations.c", one}};
    for (size_t i = 0; i < sizeof line / sizeof *line; i++) {
        assert_int_equal(numbers_of(text, line[i].name, number), 1);
        assert_int_equal(number[0], line[i].bytes);
    }
    free(text);
    text = text_of(sw_tape_memory_print, NULL);
    assert_string_equal(text, "");
    free(text);
    sw_tape_memory_print(tape, NULL);
    test_array_free(&x);
}

/* ---- Contents ---- */

/* Without the header and the rounding, whatever the size, and for strings too. */
static void test_contents_are_the_bytes_that_were_requested(void **state) {
    (void)state;
    const size_t before = sw_memory_contents(SW_ACCOUNT_OTHER);
    static const size_t sizes[] = {0, 1, 63, 64, 65, 1000, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *memory = sw_alloc_array_named(SW_ACCOUNT_DATA, "contents", "x", 1, sizes[i]);
        assert_int_equal(sw_memory_contents(SW_ACCOUNT_DATA), sizes[i]);
        assert_int_equal(report_line(SW_ACCOUNT_DATA, "contents.x").contents, sizes[i]);
        sw_free(memory);
        assert_int_equal(sw_memory_contents(SW_ACCOUNT_DATA), 0);
    }
    char *text = sw_strdup("seven b");
    assert_int_equal(sw_memory_contents(SW_ACCOUNT_OTHER), before + 8);
    sw_free(text);
    assert_int_equal(sw_memory_contents(SW_ACCOUNT_OTHER), before);
    assert_int_equal(sw_memory_contents((sw_account)SW_ACCOUNTS), 0);
}

static void test_bytes_per_parameter_are_those_of_the_vectors(void **state) {
    (void)state;
    sw_params *p = vector_params("v", 1, 2, 3);
    assert_true(sw_memory_per_parameter(3) == 16); /* x and g of f64, without names and structs */
    void *slot = sw_alloc_array_named(SW_ACCOUNT_OPTIMIZER, "rule", "m", 3, sizeof(double));
    assert_true(sw_memory_per_parameter(3) == 24);
    assert_true(sw_memory_per_parameter(6) == 12);
    assert_true(sw_memory_per_parameter(0) == 0 && sw_memory_per_parameter(-1) == 0);
    sw_free(slot);
    sw_params_free(p);
    assert_true(sw_memory_per_parameter(3) == 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_high_water_and_live_set_follow_from_the_blocks),
        TEST(test_marks_of_earlier_passes_are_kept),
        TEST(test_rewinds_do_not_lower_the_marks),
        TEST(test_high_water_reaches_over_chunks),
        TEST(test_activations_are_what_vjps_read_by_layer),
        TEST(test_activations_are_those_of_the_largest_pass),
        TEST(test_no_memory_for_the_measure_is_an_error),
        TEST(test_report_is_printed_line_by_line),
        TEST(test_memory_of_a_tape_is_printed),
        TEST(test_contents_are_the_bytes_that_were_requested),
        TEST(test_bytes_per_parameter_are_those_of_the_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
