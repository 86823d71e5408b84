/* Archives written to files: every allocation and every system call fails in turn, system calls process only a part of
 * the data, and the old file stays complete until the new one is. */
#include "archives.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void test_saving_survives_every_failed_allocation(void **state) {
    (void)state;
    test_allocator memory;
    const char *path = path_of("memory");
    for (int good = 0; good < 2; good++) {
        bool done = false;
        write_file("memory", "old", 3);
        for (long long k = 1; !done; k++) {
            test_all_memory(&memory);
            test_allocator_fail(&memory, k, good);
            sw_archive *a = make_archive(false, k % 2);
            done = sw_archive_save(a, path) == SW_OK;
            assert_int_equal(done, !memory.failed);
            assert_int_equal(sw_error_status(), done ? SW_OK : SW_ERR_MEMORY);
            sw_clear_error();
            sw_archive_free(a);
            assert_int_equal(memory.live, 0);
            test_all_memory(NULL);
            check_file(path, done ? (const void *)golden_written : "old", done ? sizeof golden_written : 3);
            assert_int_equal(count_entries(folder), 1);
        }
    }
    remove_file(path);
}

/* ---- The operating system refuses ---- */

static void test_saving_survives_every_failed_system_call(void **state) {
    (void)state;
    static const char old[] = "the old file";
    const char *path = path_of("io");
    sw_archive *a = make_archive(false, false);
    int failures = 0, replaced = 0;
    const int before = count_entries("/proc/self/fd");
    for (int exists = 0; exists < 2; exists++) {
        for (int k = 1; k == 1 || io.failed; k++) {
            if (exists)
                write_file("io", old, sizeof old);
            fail_io(k);
            sw_status status = sw_archive_save(a, path);
            const bool failed = io.failed;
            fail_io(0);
            io.failed = failed;
            failures += status != SW_OK;
            if (status == SW_OK) {
                check_file(path, golden_written, sizeof golden_written);
            } else {
                assert_int_equal(status, SW_ERR_IO);
                assert_int_equal(strncmp(sw_error(), path, strlen(path)), 0);
                if (strstr(sw_error(), "the new file was written")) {
                    check_file(path, golden_written, sizeof golden_written);
                    replaced++;
                } else if (exists) {
                    check_file(path, old, sizeof old);
                } else {
                    assert_int_equal(access(path, F_OK), -1);
                }
                sw_clear_error();
            }
            assert_int_equal(count_entries(folder), access(path, F_OK) == 0 ? 1 : 0);
            if (access(path, F_OK) == 0)
                remove_file(path);
        }
    }
    /* two opens, fchmod where there is an old file, write, fsync, close, rename, fsync */
    assert_int_equal(failures, 7 + 8);
    assert_int_equal(replaced, 2);
    sw_archive_free(a);
    write_file("io", golden_written, sizeof golden_written);
    failures = 0;
    for (int k = 1; k == 1 || io.failed; k++) {
        fail_io(k);
        a = sw_archive_load(path);
        const bool failed = io.failed;
        fail_io(0);
        io.failed = failed;
        failures += !a;
        if (!a) {
            assert_int_equal(sw_error_status(), SW_ERR_IO);
            assert_int_equal(strncmp(sw_error(), path, strlen(path)), 0);
            sw_clear_error();
        }
        sw_archive_free(a);
    }
    assert_int_equal(failures, 1 + 2 + 6); /* open; the header's length and it; arrays but the empty one */
    assert_int_equal(count_entries("/proc/self/fd"), before);
    remove_file(path);
}

/* Calls that do part of what they were asked for, or are interrupted. */
static void test_saving_completes_partial_and_interrupted_calls(void **state) {
    (void)state;
    const char *path = path_of("pieces");
    sw_archive *a = make_archive(false, false);
    io.piecemeal = true;
    assert_int_equal(sw_archive_save(a, path), SW_OK);
    sw_archive_free(a);
    a = sw_archive_load(path);
    io.piecemeal = false;
    expect_no_error();
    check_archive(a);
    sw_archive_free(a);
    check_file(path, golden_written, sizeof golden_written);
    remove_file(path);
}

static void test_saving_beyond_the_file_size_limit_is_an_error(void **state) {
    (void)state;
    const char *path = write_file("large", golden_written, sizeof golden_written);
    static float zeros[100000];
    sw_archive *a = sw_archive_new();
    sw_archive_put(a, "zeros", sw_array_view(zeros, SW_F32, SW_SHAPE(100000)));
    struct rlimit limit, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const sw_status status = sw_archive_save(a, path);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, SW_ERR_IO);
    char text[PATH_SIZE + 99];
    snprintf(text, sizeof text, "%s: cannot be written: File too large", path);
    expect_error(SW_ERR_IO, text);
    sw_archive_free(a);
    check_file(path, golden_written, sizeof golden_written);
    assert_int_equal(count_entries(folder), 1);
    remove_file(path);
}

static void expect_save_error(const sw_archive *a, const char *path, const char *reason) {
    char text[PATH_SIZE + 200];
    assert_int_equal(sw_archive_save(a, path), SW_ERR_IO);
    snprintf(text, sizeof text, "%s: %s", path, reason);
    expect_error(SW_ERR_IO, text);
}

static void test_saving_to_an_unwritable_place_is_an_error(void **state) {
    (void)state;
    sw_archive *a = make_archive(false, false);
    struct stat before, after;
    assert_int_equal(stat("/dev/full", &before), 0);
    expect_save_error(a, "/dev/full", "not an ordinary file");
    assert_int_equal(stat("/dev/full", &after), 0);
    assert_true(before.st_ino == after.st_ino && S_ISCHR(after.st_mode));
    expect_save_error(a, folder, "not an ordinary file");
    expect_save_error(a, path_of("no/such"), "its folder cannot be opened: No such file or directory");
    const char *path = write_file("file", "", 0);
    expect_save_error(a, path_of("file/x"), "cannot be written: Not a directory");
    remove_file(path);
    expect_save_error(a, "", "cannot be written: No such file or directory");
    if (geteuid() != 0) { /* root writes everywhere */
        path = write_file("locked", "old", 3);
        assert_int_equal(chmod(folder, 0500), 0);
        expect_save_error(a, path, "cannot be written: Permission denied");
        assert_int_equal(chmod(folder, 0700), 0);
        check_file(path, "old", 3);
        remove_file(path);
    }
    sw_archive_free(a);
    assert_null(sw_archive_load(path_of("nothing")));
    assert_true(strstr(sw_error(), "nothing: cannot be opened: No such file or directory"));
    sw_clear_error();
    assert_null(sw_archive_load(folder));
    assert_true(strstr(sw_error(), ": not an ordinary file"));
    sw_clear_error();
    assert_null(sw_archive_load("/dev/zero"));
    expect_error(SW_ERR_IO, "/dev/zero: not an ordinary file");
}

/* A link stays one, and an existing file's permissions stay; a path may be relative. */
static void test_saving_keeps_links_and_permissions(void **state) {
    (void)state;
    struct stat kind;
    sw_archive *a = make_archive(false, false);
    const char *path = write_file("real", "old", 3), *link = path_of("link");
    char here[PATH_SIZE];
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(symlink("real", link), 0);
    assert_int_equal(sw_archive_save(a, link), SW_OK);
    check_file(path, golden_written, sizeof golden_written);
    assert_int_equal(lstat(link, &kind), 0);
    assert_true(S_ISLNK(kind.st_mode));
    assert_int_equal(stat(path, &kind), 0);
    assert_int_equal(kind.st_mode & 07777, 0640);
    remove_file(link);
    remove_file(path);
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(folder), 0);
    const mode_t mask = umask(027);
    assert_int_equal(sw_archive_save(a, "relative"), SW_OK);
    umask(mask);
    assert_int_equal(chdir(here), 0);
    assert_int_equal(stat(path_of("relative"), &kind), 0);
    assert_int_equal(kind.st_mode & 07777, 0640);
    remove_file(path_of("relative"));
    sw_archive_free(a);
    expect_no_error();
}

/* Following such a link would create a file that was not named; replacing it would lose the link. */
static void test_saving_through_a_broken_link_is_refused(void **state) {
    (void)state;
    struct stat kind;
    char text[2 * PATH_SIZE];
    sw_archive *a = make_archive(false, false);
    const char *link = path_of("link");
    snprintf(text, sizeof text, "%s: is a symbolic link to a file that does not exist", link);
    assert_int_equal(symlink("nowhere", link), 0);
    assert_int_equal(sw_archive_save(a, link), SW_ERR_IO);
    expect_error(SW_ERR_IO, text);
    assert_int_equal(lstat(link, &kind), 0);
    assert_true(S_ISLNK(kind.st_mode));
    remove_file(link);
    sw_archive_free(a);
}

static void test_file_replace_replaces_a_file(void **state) {
    (void)state;
    const char *path = write_file("bytes", "old", 3);
    assert_int_equal(sw_file_replace(path, "newer", 5), SW_OK);
    check_file(path, "newer", 5);
    assert_int_equal(sw_file_replace(path, NULL, 0), SW_OK);
    check_file(path, "", 0);
    remove_file(path);
    assert_int_equal(sw_file_replace(NULL, "x", 1), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "file_replace: the path is NULL");
    assert_int_equal(sw_file_replace(path, NULL, 1), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "file_replace: the bytes are NULL");
}

static void *save_many(void *path) {
    sw_archive *a = make_archive(false, false);
    for (int i = 0; i < 20; i++)
        if (sw_archive_save(a, path) != SW_OK)
            return path;
    sw_archive_free(a);
    return NULL;
}

static void test_two_threads_save_to_the_same_path(void **state) {
    (void)state;
    static char path[PATH_SIZE + NAME_SIZE];
    pthread_t thread[2];
    snprintf(path, sizeof path, "%s", path_of("shared"));
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, save_many, path), 0);
    for (int i = 0; i < 2; i++) {
        void *failed;
        assert_int_equal(pthread_join(thread[i], &failed), 0);
        assert_null(failed);
    }
    check_file(path, golden_written, sizeof golden_written);
    assert_int_equal(count_entries(folder), 1);
    remove_file(path);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_saving_survives_every_failed_allocation),
        TEST(test_saving_survives_every_failed_system_call),
        TEST(test_saving_completes_partial_and_interrupted_calls),
        TEST(test_saving_beyond_the_file_size_limit_is_an_error),
        TEST(test_saving_to_an_unwritable_place_is_an_error),
        TEST(test_saving_keeps_links_and_permissions),
        TEST(test_saving_through_a_broken_link_is_refused),
        TEST(test_file_replace_replaces_a_file),
        TEST(test_two_threads_save_to_the_same_path),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
