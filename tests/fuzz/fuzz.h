/* Code that the fuzzing targets share: the input as a file for the public function of the reader. See `make fuzz`. */
#ifndef SWALE_FUZZ_H
#define SWALE_FUZZ_H
#define _GNU_SOURCE

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <swale/datasets.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The path of a file in memory, which is made once. */
static inline const char *fuzz_file(const uint8_t *data, size_t size) {
    static char path[64];
    static int file = -1;
    if (file < 0) {
        file = memfd_create("fuzz", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    if (file < 0 || ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != (ssize_t)size)
        abort();
    return path;
}

/* Checks that a failure has a message that begins with `prefix`, and that success leaves no error. */
static inline void fuzz_check(bool ok, const char *prefix) {
    const char *message = sw_error();
    if (ok != !message || (!ok && strncmp(message, prefix, strlen(prefix)) != 0))
        abort();
    sw_clear_error();
}

#endif
