/* examples/memory.c from the command line: the effects that it shows, in a small setting. */
#include "run.h"

#include <math.h>

enum { SETTINGS = 6, PLAIN = 3 };
static const char *const setting[SETTINGS] = {"f32", "f16", "bf16", "f32_recompute", "f16_recompute", "bf16_recompute"};

/* Sanitizers have another malloc, which reserves its address space at the start. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
enum { SANITIZED = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) };
#else
enum { SANITIZED = 0 };
#endif

static output run;

/* The number of a line "NAME.LINE value". */
static double line_of(const char *name, const char *line) {
    char both[96];
    snprintf(both, sizeof both, "%s.%s", name, line);
    const double value = result(&run, both);
    if (isnan(value))
        fail_msg("there is no line %s in:\n%s", both, run.out);
    return value;
}

/* The same line, which is not printed if it is 0. */
static double part_of(const char *name, const char *line) {
    char both[96];
    snprintf(both, sizeof both, "%s.%s", name, line);
    const double value = result(&run, both);
    return isnan(value) ? 0 : value;
}

static int memory_setup(void **state) {
    if (run_setup(state) != 0)
        return -1;
    run = RUN(TEST_BUILD "/examples/memory", "--width", "48", "--hidden", "64", "--batch", "128", "--steps", "12",
              "--rounds", "1", "--quiet", "--out", in_folder("a.png"));
    return 0;
}

static int memory_teardown(void **state) {
    remove(in_folder("a.png"));
    remove(in_folder("a.csv"));
    return run_teardown(state);
}

static void test_program_ends_without_error(void **state) {
    (void)state;
    if (run.code != 0 || *run.err)
        fail_msg("exit %d: %s", run.code, run.err);
    assert_int_equal(access(in_folder("a.png"), F_OK), 0);
    assert_int_equal(access(in_folder("a.csv"), F_OK), 0);
}

static void test_each_parameter_has_16_bytes(void **state) {
    (void)state;
    const double dim = result(&run, "parameters");
    /* Each vector is one block, with a header of 64 bytes, rounded up to 64 bytes. */
    const double more = 128;
    for (int i = 0; i < SETTINGS; i++) {
        const bool wide = i % PLAIN == 0;
        const double size = wide ? 4 : 2;
        assert_true(line_of(setting[i], "bytes_per_parameter") == 16);
        assert_true(fabs(line_of(setting[i], "parameters") - size * dim) <= more);
        assert_true(fabs(part_of(setting[i], "masters") - (wide ? 0 : 4 * dim)) <= more);
        assert_true(fabs(line_of(setting[i], "gradients") - size * dim) <= more);
        assert_true(fabs(line_of(setting[i], "moments") - 8 * dim) <= 2 * more);
        assert_true(line_of(setting[i], "gradient_blocks") == 1);
    }
}

static void test_bytes_are_predicted_from_shapes(void **state) {
    (void)state;
    for (int i = 0; i < SETTINGS; i++)
        assert_true(line_of(setting[i], "predicted_peak") == line_of(setting[i], "peak"));
}

static void test_arena_needs_little_more_than_what_is_live(void **state) {
    (void)state;
    for (int i = 0; i < SETTINGS; i++) {
        const double high = line_of(setting[i], "high_water"), live = line_of(setting[i], "live_set");
        if (!(high >= live && high <= 1.1 * live))
            fail_msg("%s: high-water mark %.0f, live %.0f", setting[i], high, live);
    }
}

static void test_activations_in_16_bits_need_half(void **state) {
    (void)state;
    const double f32 = line_of("f32", "activations");
    for (int i = 1; i < PLAIN; i++) {
        /* All values of the blocks have half the size. What the loss saves, 3 of about 8500 numbers, is f32. */
        const double part = line_of(setting[i], "activations") / f32;
        if (!(part >= 0.5 && part <= 0.51))
            fail_msg("%s: %.3f of the activations of f32", setting[i], part);
    }
}

static void test_recomputation_saves_memory_for_a_third_more_flops(void **state) {
    (void)state;
    for (int i = 0; i < PLAIN; i++) {
        assert_true(line_of(setting[i], "activations_saved") >= 0.5);
        assert_true(line_of(setting[i], "arena_saved") >= 0.5);
        /* One more forward, for a forward and a backward of two products each. */
        const double more = line_of(setting[i], "more_flops");
        assert_true(more > 0.33 && more <= 0.36);
        /* The same bits. */
        assert_true(line_of(setting[i], "loss") == line_of(setting[i + PLAIN], "loss"));
        assert_true(line_of(setting[i], "seconds") > 0);
    }
}

/* The rounding errors of the type, 2^-11 and 2^-8, of twelve steps add up at most. */
static void test_losses_coincide(void **state) {
    (void)state;
    const double f32 = line_of("f32", "loss");
    assert_true(f32 > 0 && f32 < 3);
    assert_true(fabs(line_of("f16", "loss") / f32 - 1) <= 12 * 0x1p-11);
    assert_true(fabs(line_of("bf16", "loss") / f32 - 1) <= 12 * 0x1p-8);
}

static void test_heaps_refuse_with_a_third_free_and_the_tape_does_not(void **state) {
    (void)state;
    static const char *const heap[] = {"first_fit", "best_fit", "malloc"};
    assert_true(result(&run, "heap.needed") <= 0.9 * result(&run, "heap.bytes"));
    for (int i = 0; i < 3; i++) {
        if (i == 2 && SANITIZED)
            continue;
        assert_true(line_of(heap[i], "refused") > 0);
        assert_true(line_of(heap[i], "free_when_refused") > 0.3);
    }
    assert_true(line_of("tape", "refused") == 0);
}

/* The numbers of the ZeRO paper: 1.5 billion parameters, 24 GB of state, about 60 GB of activations, 6 GB for a fused
 * gradient in f32; half of the activations are saved for a third more arithmetic. */
static void test_large_model_is_predicted(void **state) {
    (void)state;
    const double dim = result(&run, "gpt2.parameters");
    assert_true(dim == 1557611200);
    const double wide = line_of("gpt2_f32", "parameters") + line_of("gpt2_f32", "gradients") +
                        line_of("gpt2_f32", "moments"),
                 half = line_of("gpt2_f16", "parameters") + line_of("gpt2_f16", "masters") +
                        line_of("gpt2_f16", "moments"),
                 sums = line_of("gpt2_f16", "gradients") - 2 * dim;
    assert_true(fabs(wide - 16 * dim) <= 4 * 128 && wide > 24e9 && wide < 25e9);
    assert_true(fabs(half - 14 * dim) <= 4 * 128);
    /* The table of tokens is used twice: its 16-bit gradient is a sum, for which the block has an f32 vector. */
    assert_true(sums >= 0 && sums <= 4 * dim + 256);
    assert_true(fabs(line_of("gpt2_f32", "gradients") - 4 * dim) <= 128);
    assert_true(result(&run, "formula.activations") > 60e9 && result(&run, "formula.activations") < 61e9);
    /* A block keeps 12 values of 2 bytes for each feature and token beside attention: both normalized inputs, both
     * sums, and 4 before and 4 after gelu. The loss and the normalizations keep less than a fifth of them. Attention
     * keeps queries, keys, values and its result, and two numbers in f32 for each head and token. */
    const double values = 48.0 * 32 * 1024 * 1600 * 2, rows = 48.0 * 32 * 25 * 1024, scores = rows * 1024 * 2;
    const double kept = line_of("gpt2_f16", "activations") / values;
    assert_true(kept >= 12 && kept <= 1.2 * 12);
    assert_true(fabs(line_of("gpt2_f16", "attention") / (4 * values + 8 * rows) - 1) < 1e-3);
    /* Attention from single operations keeps the scores instead of the two numbers. */
    assert_true(fabs(line_of("gpt2_f16", "attention_saved") / (scores - 8 * rows) - 1) < 1e-3);
    assert_true(line_of("gpt2_f16_scores", "attention") ==
                line_of("gpt2_f16", "attention") + line_of("gpt2_f16", "attention_saved"));
    assert_true(part_of("gpt2_f16_recompute", "attention") == 0);
    assert_true(line_of("gpt2_f16_recompute", "high_water") <= 0.5 * line_of("gpt2_f16", "high_water"));
    /* 6 flops for each parameter and token, and the products of attention: 2 forward, and 5 backward. */
    const double flops = 6 * dim * 32 * 1024 + 48.0 * (2 + 5) * 2 * 32 * 1600 * 1024.0 * 1024.0;
    assert_true(fabs(line_of("gpt2_f16", "flops") / flops - 1) < 0.01);
    assert_true(line_of("gpt2_f16_recompute", "flops") / line_of("gpt2_f16", "flops") <= 1.36);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_program_ends_without_error),
        cmocka_unit_test(test_each_parameter_has_16_bytes),
        cmocka_unit_test(test_bytes_are_predicted_from_shapes),
        cmocka_unit_test(test_arena_needs_little_more_than_what_is_live),
        cmocka_unit_test(test_activations_in_16_bits_need_half),
        cmocka_unit_test(test_recomputation_saves_memory_for_a_third_more_flops),
        cmocka_unit_test(test_losses_coincide),
        cmocka_unit_test(test_heaps_refuse_with_a_third_free_and_the_tape_does_not),
        cmocka_unit_test(test_large_model_is_predicted),
    };
    return cmocka_run_group_tests_name("memory", tests, memory_setup, memory_teardown);
}
