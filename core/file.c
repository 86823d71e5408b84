/* Reading files, and writing them so that there is always one that is whole. */
#define _XOPEN_SOURCE 700 /* realpath, fsync */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER = 64 * 1024, PIECE = 1 << 30 };

sw_status swi_file_fail(const char *path, sw_status status, const char *format, ...) {
    char reason[2600];
    va_list list;
    va_start(list, format);
    vsnprintf(reason, sizeof reason, format, list);
    va_end(list);
    return sw_fail(status, "%.700s: %s", path, reason);
}

sw_status swi_file_no_memory(const char *path, bool had_error) {
    char prefix[720];
    snprintf(prefix, sizeof prefix, "%.700s: ", path);
    if (!had_error)
        swi_error_prefix(prefix);
    return SW_ERR_MEMORY;
}

/* ---- Reading ---- */

sw_status swi_reader_open(swi_reader *r, const char *path) {
    struct stat kind;
    *r = (swi_reader){.path = path, .file = open(path, O_RDONLY | O_CLOEXEC)};
    if (r->file < 0)
        return swi_file_fail(path, SW_ERR_IO, "cannot be opened: %s", strerror(errno));
    if (fstat(r->file, &kind) != 0)
        return swi_file_fail(path, SW_ERR_IO, "cannot be read: %s", strerror(errno));
    if (!S_ISREG(kind.st_mode))
        return swi_file_fail(path, SW_ERR_IO, "not an ordinary file");
    r->size = kind.st_size;
    return SW_OK;
}

void swi_reader_close(swi_reader *r) {
    if (r->file >= 0)
        close(r->file);
    r->file = -1;
}

sw_status swi_reader_take(swi_reader *r, void *out, int64_t bytes) {
    for (char *to = out; bytes > 0;) {
        const ssize_t n = read(r->file, to, bytes < PIECE ? (size_t)bytes : PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return swi_file_fail(r->path, SW_ERR_IO, "cannot be read: %s", strerror(errno));
        if (n == 0)
            return swi_file_fail(r->path, SW_ERR_IO, "it became shorter while it was read");
        to += n;
        bytes -= n;
        r->at += n;
    }
    return SW_OK;
}

sw_status swi_reader_skip(swi_reader *r, int64_t bytes) {
    if (lseek(r->file, bytes, SEEK_CUR) < 0)
        return swi_file_fail(r->path, SW_ERR_IO, "cannot be read: %s", strerror(errno));
    r->at += bytes;
    return SW_OK;
}

/* ---- Writing ---- */

/* The file that a path names, links followed; one that is not there is itself. */
static sw_status find_target(swi_writer *w, mode_t *mode, bool *exists) {
    char real[PATH_MAX];
    struct stat kind;
    const bool had_error = sw_error() != NULL;
    *exists = stat(w->path, &kind) == 0;
    if (!*exists && (errno != ENOENT || !*w->path))
        return swi_file_fail(w->path, SW_ERR_IO, "cannot be written: %s", strerror(errno));
    if (!*exists && lstat(w->path, &kind) == 0) /* it would not stay one */
        return swi_file_fail(w->path, SW_ERR_IO, "a link to a file that is not there");
    if (*exists && !S_ISREG(kind.st_mode)) /* to take the place of /dev/null would be a bad joke */
        return swi_file_fail(w->path, SW_ERR_IO, "not an ordinary file");
    if (*exists && !realpath(w->path, real))
        return swi_file_fail(w->path, SW_ERR_IO, "cannot be written: %s", strerror(errno));
    *mode = *exists ? kind.st_mode & 07777 : 0;
    w->target = sw_strdup(*exists ? real : w->path);
    return w->target ? SW_OK : swi_file_no_memory(w->path, had_error);
}

/* Opened beforehand: a folder that cannot be flushed is found out while nothing has happened yet. */
static sw_status open_folder(swi_writer *w) {
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): set just before */
    char *slash = strrchr(w->target, '/');
    if (slash && slash != w->target)
        *slash = 0;
    w->folder = open(!slash ? "." : slash == w->target ? "/" : w->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (slash)
        *slash = '/';
    return w->folder >= 0
               ? SW_OK
               : swi_file_fail(w->path, SW_ERR_IO, "its folder cannot be opened: %s", strerror(errno));
}

/* One that nobody else has: in this process by the number, in others by the process's. */
static sw_status open_temporary(swi_writer *w) {
    static atomic_uint next;
    enum { TRIES = 1000, MORE = 48 };
    const size_t size = strlen(w->target) + MORE;
    const bool had_error = sw_error() != NULL;
    char *name = sw_alloc(size);
    if (!name)
        return swi_file_no_memory(w->path, had_error);
    for (int i = 0; i < TRIES && w->file < 0; i++) {
        snprintf(name, size, "%s.%ld-%u.tmp", w->target, (long)getpid(), atomic_fetch_add(&next, 1));
        w->file = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (w->file < 0 && errno != EEXIST)
            break;
    }
    if (w->file >= 0) {
        w->temporary = name;
        return SW_OK;
    }
    sw_status status = swi_file_fail(w->path, SW_ERR_IO, "cannot be written: %s", strerror(errno));
    sw_free(name);
    return status;
}

sw_status swi_writer_open(swi_writer *w, const char *path) {
    mode_t mode = 0;
    bool exists = false;
    const bool had_error = sw_error() != NULL;
    *w = (swi_writer){.path = path, .file = -1, .folder = -1};
    SW_TRY(find_target(w, &mode, &exists));
    SW_TRY(open_folder(w));
    w->buffer = sw_alloc(BUFFER);
    if (!w->buffer)
        return swi_file_no_memory(path, had_error);
    SW_TRY(open_temporary(w));
    if (exists && fchmod(w->file, mode) != 0)
        return swi_file_fail(path, SW_ERR_IO, "its permissions cannot be kept: %s", strerror(errno));
    return SW_OK;
}

static sw_status write_all(swi_writer *w, const char *data, size_t bytes) {
    while (bytes > 0) {
        const ssize_t n = write(w->file, data, bytes < PIECE ? bytes : PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return swi_file_fail(w->path, SW_ERR_IO, "cannot be written: %s",
                                 strerror(n < 0 ? errno : ENOSPC));
        data += n;
        bytes -= (size_t)n;
    }
    return SW_OK;
}

static sw_status empty_buffer(swi_writer *w) {
    const size_t used = w->used;
    w->used = 0;
    return write_all(w, w->buffer, used);
}

sw_status swi_writer_put(swi_writer *w, const void *data, size_t bytes) {
    if (bytes > BUFFER - w->used)
        SW_TRY(empty_buffer(w));
    if (bytes > BUFFER)
        return write_all(w, data, bytes);
    if (bytes)
        memcpy(w->buffer + w->used, data, bytes);
    w->used += bytes;
    return SW_OK;
}

static int flush(int file) {
    int result;
    do
        result = fsync(file);
    while (result != 0 && errno == EINTR);
    return result;
}

sw_status swi_writer_commit(swi_writer *w) {
    SW_TRY(empty_buffer(w));
    if (flush(w->file) != 0)
        return swi_file_fail(w->path, SW_ERR_IO, "cannot be flushed to the disk: %s", strerror(errno));
    const int closed = close(w->file); /* some file systems tell only here */
    w->file = -1;
    if (closed != 0)
        return swi_file_fail(w->path, SW_ERR_IO, "cannot be written: %s", strerror(errno));
    if (rename(w->temporary, w->target) != 0)
        return swi_file_fail(w->path, SW_ERR_IO, "cannot be put in its place: %s", strerror(errno));
    sw_free(w->temporary);
    w->temporary = NULL;
    if (flush(w->folder) != 0)
        return swi_file_fail(w->path, SW_ERR_IO,
                             "the new file is there, but its folder cannot be flushed to the "
                             "disk: %s",
                             strerror(errno));
    return SW_OK;
}

void swi_writer_close(swi_writer *w) {
    if (w->file >= 0)
        close(w->file);
    if (w->temporary)
        unlink(w->temporary);
    if (w->folder >= 0)
        close(w->folder);
    sw_free(w->temporary);
    sw_free(w->target);
    sw_free(w->buffer);
}

sw_status sw_file_replace(const char *path, const void *bytes, size_t count) {
    swi_writer w;
    if (!path || (!bytes && count))
        return sw_fail(SW_ERR_ARGUMENT, "file_replace: the %s NULL", path ? "bytes are" : "path is");
    sw_status status = swi_writer_open(&w, path);
    if (status == SW_OK)
        status = swi_writer_put(&w, bytes, count);
    if (status == SW_OK)
        status = swi_writer_commit(&w);
    swi_writer_close(&w);
    return status;
}
