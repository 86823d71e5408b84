/* SW_THREADS, SW_CPU and SW_BF16_PRODUCTS: the settings that they select, and an error at the start of a program for an
 * invalid value. The library reads them once, so that each case runs in a child process. */
#define _GNU_SOURCE
#include "support.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <swale/extend.h>
#include <swale/nn.h>

enum { RIGHT = 7 }; /* exit status of a child whose checks all held */

/* check() in a child with these variables; NULL: not set. It reports by what it returns, and messages on stderr. */
static void in_child(const char *threads, const char *cpu, bool (*check)(const void *), const void *args) {
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        threads ? setenv("SW_THREADS", threads, 1) : unsetenv("SW_THREADS");
        cpu ? setenv("SW_CPU", cpu, 1) : unsetenv("SW_CPU");
        _exit(check(args) ? RIGHT : 1);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    if (!WIFEXITED(result) || WEXITSTATUS(result) != RIGHT)
        fail_msg("SW_THREADS=%s, SW_CPU=%s: see above", threads ? threads : "(unset)", cpu ? cpu : "(unset)");
}

static bool has_message(const char *message) {
    const bool same = sw_error() && strcmp(sw_error(), message) == 0 && sw_error_status() == SW_ERR_ARGUMENT;
    if (!same)
        fprintf(stderr, "\"%s\" instead of \"%s\"\n", sw_error() ? sw_error() : "no error", message);
    sw_clear_error();
    return same;
}

static int processors(void) {
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    return CPU_COUNT(&set) < 64 ? CPU_COUNT(&set) : 64;
}

/* Nothing to compute with is made, again and again, and a model's message is the same. */
static bool nothing_begins(const void *args) {
    bool good = true;
    for (int i = 0; i < 2; i++) {
        good = good && !sw_params_new(SW_F32, 1) && has_message(args);
        good = good && !sw_tape_new() && has_message(args);
        good = good && !sw_model_new(SW_F32, 1) && has_message(args);
    }
    return good;
}

/* The choice of the program counts, and not what the environment says. */
static bool the_program_chooses(const void *args) {
    sw_tape *tape = NULL;
    bool good = sw_set_threads(3) == SW_OK && sw_threads() == 3 && (tape = sw_tape_new()) != NULL;
    sw_tape_free(tape);
    (void)args;
    return good && !sw_error();
}

static bool the_program_chooses_after_the_error(const void *args) {
    return nothing_begins(args) && the_program_chooses(NULL);
}

static void test_wrong_thread_count_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"abc", "0", "-2", "2x", "1.5", "0x2", " ", "-", "all"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char message[200];
        snprintf(message, sizeof message,
                 "SW_THREADS=%s: a whole number from 1 to 64 is needed; unset it for one thread for each of this "
                 "process's processors (%d)",
                 bad[i], processors());
        in_child(bad[i], NULL, nothing_begins, message);
        in_child(bad[i], NULL, the_program_chooses, NULL);
        in_child(bad[i], NULL, the_program_chooses_after_the_error, message);
    }
}

static bool threads_are(const void *args) {
    sw_params *p = sw_params_new(SW_F32, 1);
    sw_tape *tape = sw_tape_new();
    const bool good = p && tape && !sw_error() && sw_threads() == *(const int *)args;
    if (!good)
        fprintf(stderr, "%s; %d threads instead of %d\n", sw_error() ? sw_error() : "no error", sw_threads(),
                *(const int *)args);
    sw_tape_free(tape);
    sw_params_free(p);
    return good;
}

static void test_thread_count_is_taken(void **state) {
    (void)state;
    const struct {
        const char *text;
        int threads;
    } cases[] = {{"1", 1},
                 {"3", 3},
                 {"64", 64},
                 {"65", 64},
                 {"99999999999999999999999", 64},
                 {"", processors()},
                 {NULL, processors()}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        in_child(cases[i].text, NULL, threads_are, &cases[i].threads);
}

static bool level_is(const void *args) {
    const int one = 1;
    return threads_are(&one) && strcmp(sw_cpu_name(), args) == 0;
}

static void test_wrong_kernel_level_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"avx3", "AVX2", "2", "avx2 ", "none"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char message[200];
        snprintf(message, sizeof message,
                 "SW_CPU=%s: baseline, avx2, avx512, avx512bf16 or amx is needed; unset it for the best of this "
                 "processor",
                 bad[i]);
        in_child("1", bad[i], nothing_begins, message);
        in_child("abc", bad[i], nothing_begins, message);
    }
    in_child("1", "baseline", level_is, "baseline");
}

#if defined(__x86_64__)
#define CPU_HAS(name) __builtin_cpu_supports(name)
#else
#define CPU_HAS(name) false
#endif

static const char *best_level(void) {
    if (!CPU_HAS("avx2") || !CPU_HAS("fma"))
        return "baseline";
    return CPU_HAS("avx512f") && CPU_HAS("avx512bw") && CPU_HAS("avx512dq") && CPU_HAS("avx512vl") ? "avx512" : "avx2";
}

/* As Linux lists it, which also means that the kernel supports the tile registers. */
static bool processor_has_amx(void) {
    char line[8192];
    bool found = false;
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && !found && fgets(line, sizeof line, file))
        found = strncmp(line, "flags", 5) == 0 && strstr(line, " amx_bf16") && strstr(line, " amx_tile");
    if (file)
        fclose(file);
    return found;
}

static void test_best_kernel_level_is_the_default(void **state) {
    (void)state;
    const char *best = best_level(), *with_bf16 = best, *default_name = best, *with_amx;
    if (strcmp(best, "avx512") == 0 && CPU_HAS("avx512bf16")) {
        with_bf16 = "avx512bf16";
#if defined(__x86_64__)
        if (__builtin_cpu_is("amd")) /* the instructions are slow on others */
            default_name = with_bf16;
#endif
    }
    with_amx = default_name;
    if (strcmp(with_bf16, "avx512bf16") == 0 && processor_has_amx())
        default_name = with_amx = "amx";
    in_child("1", NULL, level_is, default_name);
    in_child("1", "amx", level_is, with_amx);
    in_child("1", "", level_is, default_name);
    in_child("1", "avx512", level_is, best); /* a level that the processor lacks counts as the best it has */
    in_child("1", "avx512bf16", level_is, with_bf16);
}

/* ---- SW_BF16_PRODUCTS ---- */

static bool order_is(const void *args) {
    sw_tape *tape = sw_tape_new();
    const bool good = tape && sw_bf16_order_used() == *(const sw_bf16_order *)args;
    sw_tape_free(tape);
    return good;
}

static bool the_program_chooses_the_order(const void *args) {
    (void)args;
    bool good = sw_set_bf16_order(SW_BF16_TILES) == SW_OK && sw_bf16_order_used() == SW_BF16_TILES;
    sw_tape *tape = sw_tape_new();
    good = good && tape;
    sw_tape_free(tape);
    return good && sw_set_bf16_order((sw_bf16_order)3) == SW_ERR_ARGUMENT &&
           has_message("set_bf16_order: 3 is no order; SW_BF16_PAIRS, SW_BF16_TILES or SW_BF16_DEFAULT is needed") &&
           sw_bf16_order_used() == SW_BF16_TILES;
}

static void test_order_of_bf16_products(void **state) {
    (void)state;
    const sw_bf16_order pairs = SW_BF16_PAIRS, tiles = SW_BF16_TILES;
    setenv("SW_BF16_PRODUCTS", "pairs", 1);
    in_child("1", "amx", order_is, &pairs);
    setenv("SW_BF16_PRODUCTS", "tiles", 1);
    in_child("1", "baseline", order_is, &tiles);
    setenv("SW_BF16_PRODUCTS", "tile", 1);
    in_child("1", NULL, nothing_begins,
             "SW_BF16_PRODUCTS=tile: pairs or tiles is needed; unset it for the fastest of this processor");
    in_child("1", NULL, the_program_chooses_the_order, NULL);
    setenv("SW_BF16_PRODUCTS", "", 1);
    in_child("1", "avx512", order_is, &pairs);
    unsetenv("SW_BF16_PRODUCTS");
    in_child("1", "baseline", order_is, &pairs);
    in_child("1", "avx512bf16", order_is, &pairs);
    in_child("1", "amx", order_is, processor_has_amx() ? &tiles : &pairs);
    in_child("1", NULL, order_is, processor_has_amx() ? &tiles : &pairs);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_thread_count_is_refused), cmocka_unit_test(test_thread_count_is_taken),
        cmocka_unit_test(test_wrong_kernel_level_is_refused), cmocka_unit_test(test_best_kernel_level_is_the_default),
        cmocka_unit_test(test_order_of_bf16_products),
    };
    return cmocka_run_group_tests_name("environment", tests, NULL, NULL);
}
