/* A temporary folder for tests that read and write files. Include it before system headers, and after support.h. */
#ifndef SWALE_TEST_FILES_H
#define SWALE_TEST_FILES_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, NAME_SIZE = 256 };

typedef struct bytes {
    unsigned char *at;
    size_t size;
} bytes;

static char folder[PATH_SIZE]; /* the temporary folder of this test program */

static inline int make_folder(void **state) {
    const char *base = getenv("TMPDIR");
    (void)state;
    snprintf(folder, sizeof folder, "%s/swale-XXXXXX", base && *base ? base : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_folder(void **state) {
    (void)state;
    return rmdir(folder); /* fails if a test left a file in it */
}

/* The path of a file in the folder, in one of several static buffers. */
static inline const char *path_of(const char *name) {
    static char path[8][PATH_SIZE + NAME_SIZE];
    static int turn;
    char *p = path[turn++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static inline const char *write_file(const char *name, const void *data, size_t size) {
    const char *path = path_of(name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    return path;
}

static inline void remove_file(const char *path) {
    assert_int_equal(remove(path), 0);
}

static inline bytes make_bytes(size_t size) {
    bytes b = {malloc(size ? size : 1), size};
    assert_non_null(b.at);
    return b;
}

/* The contents of a file; the caller frees them. */
static inline bytes read_file(const char *path) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    bytes b = make_bytes((size_t)ftell(f));
    rewind(f);
    assert_int_equal(fread(b.at, 1, b.size, f), b.size);
    assert_int_equal(fclose(f), 0);
    return b;
}

static inline void check_file(const char *path, const void *data, size_t size) {
    bytes b = read_file(path);
    assert_int_equal(b.size, size);
    assert_memory_equal(b.at, data, size);
    free(b.at);
}

/* The number of entries in a folder, or of open files of this process ("/proc/self/fd"). */
static inline int count_entries(const char *path) {
    DIR *d = opendir(path);
    int count = 0;
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return count;
}

#endif
