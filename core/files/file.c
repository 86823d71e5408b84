/* Reading files, and replacing them atomically: at every moment a complete file exists. */
#define _XOPEN_SOURCE 700 /* openat, renameat, fsync, sigtimedwait */
#include <swale/file.h>
#include <swale/memory.h>
#include <swale/status.h>
#include <swale/text.h>

#include "core/base/error_state.h"
#include "core/files/reader_writer.h"

#include <stdatomic.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 64 * 1024, PIECE = 1 << 30, MOST_LINKS = 40 };

sw_status swi_file_fail(const char *path, sw_status status, const char *format, ...) {
    char reason[2600];
    va_list list;
    va_start(list, format);
    sw_vformat(reason, sizeof reason, format, list);
    va_end(list);
    return sw_fail(status, "%.700s: %s", path, reason);
}

sw_status swi_file_no_memory(const char *path, bool had_error) {
    if (!had_error)
        swi_error_prefix_path(path);
    return SW_ERR_MEMORY;
}

/* ---- Reading ---- */

/* O_NONBLOCK: without it, opening a FIFO would wait for a writer; it has no effect on a regular file. O_NOCTTY: a
 * terminal, which is refused, must not become the controlling terminal of the process. */
int sw_file_open(const char *path, int64_t *bytes) {
    struct stat kind;
    *bytes = 0;
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0) {
        swi_file_fail(path, SW_ERR_IO, "cannot be opened: %s", strerror(errno));
        return -1;
    }
    if (fstat(file, &kind) != 0)
        swi_file_fail(path, SW_ERR_IO, "cannot be read: %s", strerror(errno));
    else if (S_ISFIFO(kind.st_mode) || S_ISSOCK(kind.st_mode))
        swi_file_fail(path, SW_ERR_IO,
                      "not an ordinary file but a pipe or a socket, whose length is not known: "
                      "write its contents to a file first");
    else if (!S_ISREG(kind.st_mode))
        swi_file_fail(path, SW_ERR_IO, "not an ordinary file%s",
                      S_ISDIR(kind.st_mode) ? " (cannot be read: Is a directory)" : "");
    else {
        *bytes = kind.st_size;
        return file;
    }
    close(file);
    return -1;
}

sw_status swi_reader_open(swi_reader *r, const char *path) {
    *r = (swi_reader){.path = path};
    r->file = sw_file_open(path, &r->size);
    return r->file >= 0 ? SW_OK : SW_ERR_IO;
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

/* A file that must not be written is not replaced either, although the permissions of its folder would allow it. The
 * bits of the mode are checked too, because faccessat always succeeds for root. */
static sw_status writer_check_mode(const swi_writer *w, mode_t mode) {
    if ((mode & 0222) == 0)
        return swi_file_fail(w->path, SW_ERR_IO,
                             "cannot be written: it is write-protected (mode %03o); make it writable (chmod u+w) "
                             "or choose another name",
                             (unsigned)mode & 0777u);
    if (faccessat(AT_FDCWD, w->path, W_OK, AT_EACCESS) != 0)
        return swi_file_fail(w->path, SW_ERR_IO, "cannot be written: %s", strerror(errno));
    return SW_OK;
}

/* Checks the file at the path, after following links, before anything is changed. */
static sw_status writer_check_target(const swi_writer *w, struct stat *kind, bool *exists) {
    struct stat link;
    *exists = stat(w->path, kind) == 0;
    if (!*exists && (errno != ENOENT || !*w->path))
        return swi_file_fail(w->path, SW_ERR_IO, "cannot be written: %s", strerror(errno));
    if (!*exists && lstat(w->path, &link) == 0) /* the rename would replace the link */
        return swi_file_fail(w->path, SW_ERR_IO, "is a symbolic link to a file that does not exist");
    if (!*exists)
        return SW_OK;
    if (!S_ISREG(kind->st_mode)) /* never replace a device such as /dev/null */
        return swi_file_fail(w->path, SW_ERR_IO, "not an ordinary file");
    return writer_check_mode(w, kind->st_mode);
}

/* Opens the folder of `path`, which is relative to the folder that was opened before, and stores the last component in
 * w->name. If the folder cannot be opened, and therefore not flushed, this fails before anything is changed. */
static sw_status writer_open_folder(swi_writer *w, const char *path) {
    const bool had_error = sw_error() != NULL;
    char *copy = sw_strdup(path);
    if (!copy)
        return swi_file_no_memory(w->path, had_error);
    char *slash = strrchr(copy, '/');
    if (slash)
        *slash = 0;
    const int folder = openat(w->folder >= 0 ? w->folder : AT_FDCWD,
                              !slash          ? "."
                              : slash == copy ? "/"
                                              : copy,
                              O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int reason = errno;
    if (w->folder >= 0)
        close(w->folder);
    w->folder = folder;
    if (slash) /* keep only the last component */
        memmove(copy, slash + 1, strlen(slash + 1) + 1);
    sw_free(w->name);
    w->name = copy;
    return folder >= 0 ? SW_OK : swi_file_fail(w->path, SW_ERR_IO, "its folder cannot be opened: %s", strerror(reason));
}

/* Follows symbolic links and sets the folder and the name of the file itself. All calls are relative to an open folder,
 * so that names of NAME_MAX bytes and paths of PATH_MAX bytes work. */
static sw_status writer_find(swi_writer *w, bool exists) {
    char link[PATH_MAX];
    struct stat kind;
    SW_TRY(writer_open_folder(w, w->path));
    for (int links = 0; exists && w->name && links < MOST_LINKS; links++) {
        const ssize_t length = readlinkat(w->folder, w->name, link, sizeof link - 1);
        if (length < 0)
            break;
        link[length] = 0;
        SW_TRY(writer_open_folder(w, link));
    }
    /* Through /dev/stdout, a path can name an open file that was deleted and has no name. */
    if (exists && w->name && (fstatat(w->folder, w->name, &kind, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(kind.st_mode)))
        return swi_file_fail(w->path, SW_ERR_IO, "cannot be written: the file was deleted while it was open");
    return SW_OK;
}

/* Creates the temporary file. Its name contains the process id and a number, so that no other file of the folder has
 * it. It is hidden, and short for every length of the target's name. */
static sw_status writer_open_temporary(swi_writer *w) {
    static atomic_uint next;
    enum { TRIES = 1000 };
    for (int i = 0; i < TRIES && w->file < 0; i++) {
        snprintf(w->temporary, sizeof w->temporary, ".swale-%ld-%u.tmp", (long)getpid(), atomic_fetch_add(&next, 1));
        w->file = openat(w->folder, w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (w->file < 0 && errno != EEXIST)
            break;
    }
    if (w->file >= 0)
        return SW_OK;
    w->temporary[0] = 0;
    return swi_file_fail(w->path, SW_ERR_IO, "cannot be written: %s", strerror(errno));
}

sw_status swi_writer_open(swi_writer *w, const char *path) {
    struct stat kind;
    bool exists = false;
    const bool had_error = sw_error() != NULL;
    *w = (swi_writer){.path = path, .file = -1, .folder = -1};
    SW_TRY(writer_check_target(w, &kind, &exists));
    SW_TRY(writer_find(w, exists));
    w->buffer = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, BUFFER);
    if (!w->buffer)
        return swi_file_no_memory(path, had_error);
    SW_TRY(writer_open_temporary(w));
    if (exists && fchmod(w->file, kind.st_mode & 07777) != 0)
        return swi_file_fail(path, SW_ERR_IO, "its permissions cannot be kept: %s", strerror(errno));
    return SW_OK;
}

/* Discards a pending signal, unless it was pending before. */
static void writer_discard_signal(int number, const sigset_t *before) {
    const struct timespec at_once = {0};
    sigset_t one;
    if (sigismember(before, number))
        return;
    sigemptyset(&one);
    sigaddset(&one, number);
    while (sigtimedwait(&one, NULL, &at_once) < 0 && errno == EINTR)
        ;
}

/* As write(), except that a file that exceeds the limit of the process (`ulimit -f`) and a pipe without a reader are
 * errors and not signals that end the process. Both signals are blocked in this thread during the call, and a signal
 * that the call raised is discarded. SIGPIPE can also occur if a part was written. */
static ssize_t writer_write(int file, const void *data, size_t bytes) {
    sigset_t quiet, mask, pending;
    sigemptyset(&quiet);
    sigaddset(&quiet, SIGXFSZ);
    sigaddset(&quiet, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &quiet, &mask);
    const ssize_t n = write(file, data, bytes);
    const int reason = errno;
    if (n < 0 || (size_t)n < bytes) {
        writer_discard_signal(SIGXFSZ, &pending);
        writer_discard_signal(SIGPIPE, &pending);
    }
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    errno = reason;
    return n;
}

static sw_status writer_write_all(swi_writer *w, const char *data, size_t bytes) {
    while (bytes > 0) {
        const ssize_t n = writer_write(w->file, data, bytes < PIECE ? bytes : PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return swi_file_fail(w->path, SW_ERR_IO, "cannot be written: %s", strerror(n < 0 ? errno : ENOSPC));
        data += n;
        bytes -= (size_t)n;
    }
    return SW_OK;
}

static sw_status writer_write_buffer(swi_writer *w) {
    const size_t used = w->used;
    w->used = 0;
    return writer_write_all(w, w->buffer, used);
}

sw_status swi_writer_put(swi_writer *w, const void *data, size_t bytes) {
    if (bytes > BUFFER - w->used)
        SW_TRY(writer_write_buffer(w));
    if (bytes > BUFFER)
        return writer_write_all(w, data, bytes);
    if (bytes)
        memcpy(w->buffer + w->used, data, bytes);
    w->used += bytes;
    return SW_OK;
}

static int writer_sync(int file) {
    int result;
    do
        result = fsync(file);
    while (result != 0 && errno == EINTR);
    return result;
}

sw_status swi_writer_commit(swi_writer *w) {
    SW_TRY(writer_write_buffer(w));
    if (writer_sync(w->file) != 0)
        return swi_file_fail(w->path, SW_ERR_IO, "cannot be flushed to the disk: %s", strerror(errno));
    const int closed = close(w->file); /* some file systems report a write error only here */
    w->file = -1;
    if (closed != 0)
        return swi_file_fail(w->path, SW_ERR_IO, "cannot be written: %s", strerror(errno));
    if (renameat(w->folder, w->temporary, w->folder, w->name) != 0)
        return swi_file_fail(w->path, SW_ERR_IO, "the temporary file cannot be renamed to it: %s", strerror(errno));
    w->temporary[0] = 0;
    /* Some file systems, in particular network file systems, cannot flush folders. This is not an error. */
    if (writer_sync(w->folder) != 0 && errno != EINVAL && errno != ENOTSUP && errno != ENOSYS)
        return swi_file_fail(w->path, SW_ERR_IO,
                             "the new file was written, but its folder cannot be flushed to the "
                             "disk: %s",
                             strerror(errno));
    return SW_OK;
}

void swi_writer_close(swi_writer *w) {
    if (w->file >= 0)
        close(w->file);
    if (w->temporary[0])
        unlinkat(w->folder, w->temporary, 0);
    if (w->folder >= 0)
        close(w->folder);
    sw_free(w->name);
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

/* Writes to a device or a pipe, which is not replaced. */
static sw_status writer_write_device(const char *path, const void *bytes, size_t count) {
    swi_writer w = {.path = path, .file = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY)};
    if (w.file < 0)
        return swi_file_fail(path, SW_ERR_IO, "cannot be opened for writing: %s", strerror(errno));
    sw_status status = writer_write_all(&w, bytes, count);
    if (close(w.file) != 0 && status == SW_OK)
        status = swi_file_fail(path, SW_ERR_IO, "cannot be written: %s", strerror(errno));
    return status;
}

sw_status sw_file_write(const char *path, const void *bytes, size_t count) {
    struct stat kind;
    if (path && (bytes || !count) && stat(path, &kind) == 0 && !S_ISREG(kind.st_mode))
        return writer_write_device(path, bytes, count);
    return sw_file_replace(path, bytes, count);
}
