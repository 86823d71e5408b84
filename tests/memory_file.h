/* A file in memory, for tests that damage a file thousands of times. Define _GNU_SOURCE before the first header. */
#ifndef SWALE_TEST_MEMORY_FILE_H
#define SWALE_TEST_MEMORY_FILE_H

#include "support.h"

#include <sys/mman.h>
#include <unistd.h>

/* The path of the file, which this call fills with `size` bytes. It is the same file in each call. */
static inline const char *memory_file(const void *data, size_t size) {
    static char path[64];
    static int file = -1;
    if (file < 0) {
        file = memfd_create("test", MFD_CLOEXEC);
        assert_true(file >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    assert_int_equal(ftruncate(file, 0), 0);
    assert_int_equal(pwrite(file, data, size, 0), size);
    return path;
}

#endif
