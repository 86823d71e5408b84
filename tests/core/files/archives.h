/* Code that the tests of archives share: system calls, each of which fails on demand, and an archive with an entry of
 * every type. Include it first. */
#ifndef TEST_ARCHIVES_H
#define TEST_ARCHIVES_H

#define _GNU_SOURCE
#include "json_memory.h"

#include <swale/extend.h>
#include "files.h"

#include "golden/package_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

/* ---- System calls that fail on demand ---- */

static struct {
    int calls, fail_at; /* the number of the call that fails, from 1; 0: none */
    bool failed, piecemeal;
} io;

static inline bool io_fails(int error) {
    if (++io.calls != io.fail_at)
        return false;
    io.failed = true;
    errno = error;
    return true;
}

int open(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    return io_fails(EACCES) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int openat(int at, const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    return io_fails(EACCES) ? -1 : (int)syscall(SYS_openat, at, path, flags, mode);
}

ssize_t read(int file, void *out, size_t size) {
    if (io_fails(EIO))
        return -1;
    if (io.piecemeal && io.calls % 2) {
        errno = EINTR;
        return -1;
    }
    return (ssize_t)syscall(SYS_read, file, out, io.piecemeal && size > 7 ? 7 : size);
}

ssize_t write(int file, const void *data, size_t size) {
    if (io_fails(ENOSPC))
        return -1;
    if (io.piecemeal && io.calls % 2) {
        errno = EINTR;
        return -1;
    }
    return (ssize_t)syscall(SYS_write, file, data, io.piecemeal && size > 7 ? 7 : size);
}

/* Does not wait for the disk. */
int fsync(int file) {
    assert_true(fcntl(file, F_GETFD) >= 0);
    if (io.piecemeal && io.calls % 2) {
        io.calls++;
        errno = EINTR;
        return -1;
    }
    return io_fails(EIO) ? -1 : 0;
}

int close(int file) {
    const int result = (int)syscall(SYS_close, file);
    return io_fails(EIO) ? -1 : result;
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    return io_fails(EACCES) ? -1 : (int)syscall(SYS_renameat, from_folder, from, to_folder, to);
}

int fchmod(int file, mode_t mode) {
    return io_fails(EPERM) ? -1 : (int)syscall(SYS_fchmod, file, mode);
}

static inline void fail_io(int k) {
    io.calls = 0;
    io.fail_at = k;
    io.failed = false;
}

/* ---- An archive ---- */

static const float a_data[2] = {1, 2}, b_data[3] = {0, 1, 2};
static const double scalar = 2.5;
static const int64_t count_data[2] = {-1, INT64_C(1) << 40};
static const int32_t ids_data[2] = {3, -4};
static const unsigned char pixels_data[3] = {1, 2, 255};
static const char about[] = "été \"1\"\\\n";

/* The contents of golden_written, added in forward or reverse order. */
static inline sw_archive *make_archive(bool backwards, bool copy) {
    const struct {
        const char *name;
        sw_array array;
    } all[] = {{"b", sw_array_view(b_data, SW_F32, SW_SHAPE(3))},
               {"a", sw_array_view(a_data, SW_F32, SW_SHAPE(2, 1))},
               {"größe", sw_array_view(&scalar, SW_F64, 0, NULL)},
               {"empty", sw_array_view(NULL, SW_F32, SW_SHAPE(0, 3))},
               {"count", sw_array_view(count_data, SW_I64, SW_SHAPE(2))},
               {"ids", sw_array_view(ids_data, SW_I32, SW_SHAPE(2))},
               {"pixels", sw_array_view(pixels_data, SW_U8, SW_SHAPE(3))}};
    enum { COUNT = sizeof all / sizeof *all };
    sw_archive *a = sw_archive_new();
    for (int i = 0; i < COUNT && a; i++) {
        const int k = backwards ? COUNT - 1 - i : i;
        if (copy)
            sw_archive_put_copy(a, all[k].name, all[k].array);
        else
            sw_archive_put(a, all[k].name, all[k].array);
    }
    sw_archive_set_text(a, "about", "first");
    sw_archive_set_text(a, "about", about);
    return a;
}

static inline void check_archive(const sw_archive *a) {
    sw_array x = sw_archive_get(a, "a");
    assert_true(x.type == SW_F32 && x.rank == 2 && x.shape[0] == 2 && x.shape[1] == 1);
    assert_memory_equal(x.data, a_data, sizeof a_data);
    x = sw_archive_get(a, "größe");
    assert_true(x.type == SW_F64 && x.rank == 0 && *(double *)x.data == scalar);
    x = sw_archive_get(a, "empty");
    assert_true(x.data && x.type == SW_F32 && x.rank == 2 && x.shape[0] == 0 && x.shape[1] == 3);
    x = sw_archive_get(a, "count");
    assert_true(x.type == SW_I64 && x.rank == 1);
    assert_memory_equal(x.data, count_data, sizeof count_data);
    x = sw_archive_get(a, "ids");
    assert_true(x.type == SW_I32);
    assert_memory_equal(x.data, ids_data, sizeof ids_data);
    x = sw_archive_get(a, "pixels");
    assert_true(x.type == SW_U8);
    assert_memory_equal(x.data, pixels_data, sizeof pixels_data);
    assert_string_equal(sw_archive_text(a, "about"), about);
    assert_int_equal(sw_archive_count(a), 7);
    assert_int_equal(sw_archive_text_count(a), 1);
    assert_string_equal(sw_archive_text_key(a, 0), "about");
    assert_null(sw_archive_text_key(a, 1));
    assert_null(sw_archive_text(a, "other"));
    assert_true(sw_archive_has(a, "ids") && !sw_archive_has(a, "id"));
    expect_no_error();
}

#endif
