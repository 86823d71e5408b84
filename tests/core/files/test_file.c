/* Files that are replaced as a whole under difficult conditions: the longest names and paths, write protection, pipes,
 * limits of size, a full disk. */
#define _GNU_SOURCE
#include "support.h"

#include <swale/extend.h>
#include "files.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { LONGEST_NAME = 255, LONGEST_PATH = 4095 }; /* NAME_MAX and PATH_MAX - 1 of Linux */

static void write_twice(const char *path) {
    for (int again = 0; again < 2; again++) {
        sw_file_replace(path, again ? "bytes" : "first", 5);
        expect_no_error();
        check_file(path, again ? "bytes" : "first", 5);
    }
}

/* A temporary name that is the file's with something appended would not be allowed. */
static void test_longest_names_are_written(void **state) {
    (void)state;
    for (size_t length = 200; length <= LONGEST_NAME; length++) {
        char name[LONGEST_NAME + 1];
        memset(name, 'n', length);
        name[length] = 0;
        const char *path = path_of(name);
        write_twice(path);
        assert_int_equal(count_entries(folder), 1);
        remove_file(path);
    }
}

/* And a link to such a file whose text, appended to the link's folder, would be longer than a path may be. */
static void test_longest_path_is_written(void **state) {
    (void)state;
    enum { PART = 200, DEPTH = 40 };
    static char path[LONGEST_PATH + 1], link[LONGEST_PATH + 1], place[LONGEST_PATH + 1];
    size_t at = strlen(folder), end[DEPTH];
    int depth = 0;
    memcpy(path, folder, at + 1);
    while (LONGEST_PATH - at > LONGEST_NAME) {
        end[depth++] = at;
        path[at++] = '/';
        memset(path + at, 'd', PART);
        at += PART;
        path[at] = 0;
        assert_int_equal(mkdir(path, 0700), 0);
    }
    end[depth] = at;
    path[at++] = '/';
    memset(path + at, 'f', LONGEST_PATH - at);
    assert_int_equal(strlen(path), LONGEST_PATH);
    write_twice(path);

    /* in the last folder, by way of the one before it: the two texts together are too long for a path */
    snprintf(link, sizeof link, "../%s", path + end[depth - 1] + 1);
    snprintf(place, sizeof place, "%.*s/link", (int)end[depth], path);
    assert_true(end[depth] + 1 + strlen(link) > LONGEST_PATH);
    assert_int_equal(symlink(link, place), 0);
    write_twice(place);
    check_file(path, "bytes", 5);
    remove_file(place);
    remove_file(path);
    for (int i = depth; i > 0; i--) {
        path[end[i]] = 0;
        assert_int_equal(rmdir(path), 0);
    }
}

static void test_write_protected_file_is_refused(void **state) {
    (void)state;
    char text[PATH_SIZE + 200];
    const char *path = write_file("protected", "old", 3);
    assert_int_equal(chmod(path, 0444), 0);
    assert_int_equal(sw_file_replace(path, "new", 3), SW_ERR_IO);
    snprintf(text, sizeof text,
             "%s: cannot be written: it is write-protected (mode 444); make it writable (chmod u+w) or choose "
             "another name",
             path);
    expect_error(SW_ERR_IO, text);
    sw_archive *a = sw_archive_new();
    assert_int_equal(sw_archive_save(a, path), SW_ERR_IO);
    expect_error(SW_ERR_IO, text);
    sw_archive_free(a);
    check_file(path, "old", 3);
    assert_int_equal(count_entries(folder), 1);
    assert_int_equal(chmod(path, 0600), 0);
    write_twice(path);
    remove_file(path);
}

/* To open a pipe for reading would wait for a writer: then the alarm ends the test. */
static void test_pipe_is_refused_at_once(void **state) {
    (void)state;
    char text[PATH_SIZE + 200];
    int64_t length = -1;
    const char *path = path_of("pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(text, sizeof text,
             "%s: not an ordinary file but a pipe or a socket, whose length is not known: write its contents to a "
             "file first",
             path);
    alarm(60);
    assert_null(sw_archive_load(path));
    expect_error(SW_ERR_IO, text);
    assert_int_equal(sw_file_open(path, &length), -1);
    expect_error(SW_ERR_IO, text);
    assert_int_equal(length, 0);
    alarm(0);
    remove_file(path);
}

/* The reader of a pipe ends after a few bytes: an error, and no SIGPIPE, which would end the process. */
static void test_pipe_whose_reader_ends_is_an_error(void **state) {
    (void)state;
    static char zeros[1 << 20]; /* more than a pipe holds */
    char text[PATH_SIZE + 99], got[4];
    const char *path = path_of("pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    const pid_t reader = fork();
    if (reader == 0) {
        const int end = open(path, O_RDONLY);
        _exit(end < 0 || read(end, got, sizeof got) != sizeof got);
    }
    assert_int_equal(sw_file_write(path, zeros, sizeof zeros), SW_ERR_IO);
    snprintf(text, sizeof text, "%s: cannot be written: Broken pipe", path);
    expect_error(SW_ERR_IO, text);
    int ended = 1;
    assert_int_equal(waitpid(reader, &ended, 0), reader);
    assert_int_equal(ended, 0);
    remove_file(path);
}

static bool is_pending_or_blocked(int number) {
    sigset_t blocked, pending;
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
    assert_int_equal(sigpending(&pending), 0);
    return sigismember(&blocked, number) || sigismember(&pending, number);
}

/* `ulimit -f` sends SIGXFSZ, which ends the process by default. */
static void test_file_size_limit_is_an_error(void **state) {
    (void)state;
    static char zeros[400000];
    char text[PATH_SIZE + 99];
    const char *path = write_file("large", "old", 3);
    struct rlimit limit, small;
    snprintf(text, sizeof text, "%s: cannot be written: File too large", path);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 100000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_true(signal(SIGXFSZ, SIG_DFL) == SIG_DFL);
    const sw_status status = sw_file_replace(path, zeros, sizeof zeros);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(status, SW_ERR_IO);
    expect_error(SW_ERR_IO, text);
    assert_false(is_pending_or_blocked(SIGXFSZ));
    check_file(path, "old", 3);
    assert_int_equal(count_entries(folder), 1);
    write_twice(path);
    remove_file(path);
}

/* A signal that the program has blocked and that was sent before stays pending. */
static void test_signal_of_the_program_stays_pending(void **state) {
    (void)state;
    static char zeros[200000];
    sigset_t set, before;
    struct rlimit limit, small;
    const char *path = path_of("large");
    sigemptyset(&set);
    sigaddset(&set, SIGXFSZ);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, &before), 0);
    assert_int_equal(pthread_kill(pthread_self(), SIGXFSZ), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 100000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const sw_status status = sw_file_replace(path, zeros, sizeof zeros);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(status, SW_ERR_IO);
    sw_clear_error();
    assert_int_equal(sigpending(&set), 0);
    assert_true(sigismember(&set, SIGXFSZ));
    int got = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGXFSZ);
    assert_int_equal(sigwait(&set, &got), 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    assert_int_equal(count_entries(folder), 0);
}

/* /dev/full takes no byte. A device stays one, and an ordinary file is replaced. */
static void test_full_device_is_an_error(void **state) {
    (void)state;
    assert_int_equal(sw_file_write("/dev/full", "x", 1), SW_ERR_IO);
    expect_error(SW_ERR_IO, "/dev/full: cannot be written: No space left on device");
    assert_int_equal(sw_file_write("/dev/null", "x", 1), SW_OK);
    const char *path = path_of("file");
    assert_int_equal(sw_file_write(path, "x", 1), SW_OK);
    check_file(path, "x", 1);
    remove_file(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_longest_names_are_written, test_clear),
        cmocka_unit_test_setup(test_longest_path_is_written, test_clear),
        cmocka_unit_test_setup(test_write_protected_file_is_refused, test_clear),
        cmocka_unit_test_setup(test_pipe_is_refused_at_once, test_clear),
        cmocka_unit_test_setup(test_pipe_whose_reader_ends_is_an_error, test_clear),
        cmocka_unit_test_setup(test_file_size_limit_is_an_error, test_clear),
        cmocka_unit_test_setup(test_signal_of_the_program_stays_pending, test_clear),
        cmocka_unit_test_setup(test_full_device_is_an_error, test_clear),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
