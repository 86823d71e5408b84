/* Runs a program inside the test while its allocations fail in turn. The program chains its calls and checks for an
 * error once: it must print the error, end with 1, leak nothing, and leave neither the picture nor the numbers. Include
 * support.h, then the program with its main as program_main, then this file. */
#ifndef TEST_EXAMPLES_CHAIN_H
#define TEST_EXAMPLES_CHAIN_H

#include <fcntl.h>
#include <unistd.h>

/* Each of the first allocations fails in turn, and then some of the others, because stb makes thousands of them. A
 * program that allocates little before it draws defines a smaller number, because writing a picture takes a tenth of a
 * second. */
#ifndef CHAIN_FIRST
#define CHAIN_FIRST 60
#endif

static char chain_path[64] = "/tmp/swale-chain-XXXXXX";

static int chain_quietly(int count, char **argv) {
    fflush(stdout), fflush(stderr);
    const int out1 = dup(1), err1 = dup(2), null = open("/dev/null", O_WRONLY);
    assert_true(out1 >= 0 && err1 >= 0 && null >= 0 && dup2(null, 1) == 1 && dup2(null, 2) == 2);
    const int code = program_main(count, argv);
    fflush(stdout), fflush(stderr);
    assert_true(dup2(out1, 1) == 1 && dup2(err1, 2) == 2);
    close(out1), close(err1), close(null);
    return code;
}

static void every_failure_is_said_once(void **state) {
    char *argv[] = {(char[]){"program"}, (char[]){"--out"}, chain_path, PROGRAM_ARGUMENTS, NULL};
    char numbers[80];
    test_allocator a;
    (void)state;
    const int file = mkstemp(chain_path);
    assert_true(file >= 0 && close(file) == 0);
    unlink(chain_path);
    snprintf(numbers, sizeof numbers, "%s.csv", chain_path); /* for programs that write numbers */
    test_allocator_install(&a);
    for (long long k = 1, done = 0; !done; k += k < CHAIN_FIRST ? 1 : k / 2) {
        test_allocator_fail(&a, k, k % 2 == 0);
        const int code = chain_quietly((int)(sizeof argv / sizeof *argv) - 1, argv);
        done = atomic_load(&a.failed) == 0;
        if (code != !done || (sw_error() != NULL) != !done || (access(chain_path, F_OK) == 0) != done)
            fail_msg("allocation %lld: exit %d, %s", k, code, sw_error() ? sw_error() : "no message");
        assert_true(done || access(numbers, F_OK) != 0);
        if (!done)
            assert_int_equal(sw_error_status(), SW_ERR_MEMORY);
        assert_int_equal(atomic_load(&a.live), 0);
        sw_clear_error();
    }
    sw_set_allocator(NULL);
    unlink(chain_path);
    unlink(numbers);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_failure_is_said_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
