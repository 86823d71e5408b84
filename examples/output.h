/* Files that a program writes: paths are checked before the work begins, and files are replaced atomically. Not part of
 * the library. cli.h includes this file and selects the version of POSIX. */
#ifndef SWALE_EXAMPLES_OUTPUT_H
#define SWALE_EXAMPLES_OUTPUT_H

#include <swale/extend.h>

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OUTPUT_PATH = 4096 };

/* ---- Texts in CSV ---- */

/* Writes a text in quotes, in which each quote is doubled. */
static inline void output_quoted(FILE *file, const char *text) {
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', file);
        fputc(*text, file);
    }
    fputc('"', file);
}

/* ---- Paths ---- */

/* Finds the path at the end of a symbolic link, where a file will be written. Returns NULL, or the reason why it cannot
 * be written. */
static inline const char *output_resolve(const char *path, char real[PATH_MAX], mode_t *mode) {
    struct stat there;
    *mode = 0;
    if (stat(path, &there) == 0) {
        *mode = there.st_mode & 07777;
        if (S_ISDIR(there.st_mode))
            return "Is a directory";
        if (!S_ISREG(there.st_mode)) /* opening a FIFO would block, and a device must not be replaced */
            return "not an ordinary file";
        if (!(there.st_mode & 0222) || access(path, W_OK) != 0) /* access() always succeeds for root */
            return "the file there is write-protected";
        return realpath(path, real) ? NULL : strerror(errno);
    }
    if (errno != ENOENT)
        return strerror(errno);
    if (lstat(path, &there) == 0)
        return "a symbolic link to a file that does not exist";
    if (strlen(path) >= PATH_MAX)
        return strerror(ENAMETOOLONG);
    strcpy(real, path);
    return NULL;
}

/* Creates a file beside `real`, opens it for writing, and puts its name into `name`; -1 and errno after an error. The
 * name is hidden, and short even if that of `real` is long. */
static inline int output_temporary(const char *real, char name[PATH_MAX]) {
    const char *slash = strrchr(real, '/');
    const int folder = slash ? (int)(slash - real) + 1 : 0;
    if (snprintf(name, PATH_MAX, "%.*s.swale-XXXXXX", folder, real) >= PATH_MAX)
        return errno = ENAMETOOLONG, -1;
    return mkstemp(name);
}

/* Returns NULL if a file can be written there, else the reason. A file is created beside it and removed again; an
 * existing file stays unchanged. */
static inline const char *output_fault(const char *path) {
    char real[PATH_MAX], name[PATH_MAX];
    mode_t mode;
    const char *fault = output_resolve(path, real, &mode);
    if (fault)
        return fault;
    const int file = output_temporary(real, name);
    if (file < 0)
        return strerror(errno);
    close(file);
    unlink(name);
    return NULL;
}

/* Whether two paths refer to the same file, which need not exist. */
static inline bool output_same(const char *a, const char *b) {
    struct stat of_a, of_b;
    const bool has_a = stat(a, &of_a) == 0, has_b = stat(b, &of_b) == 0;
    if (has_a || has_b)
        return has_a && has_b && of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
    const char *name[2] = {strrchr(a, '/'), strrchr(b, '/')}, *path[2] = {a, b};
    char folder[2][PATH_MAX], real[2][PATH_MAX];
    for (int i = 0; i < 2; i++) {
        if (!name[i])
            strcpy(folder[i], ".");
        else if (snprintf(folder[i], PATH_MAX, "%.*s", (int)(name[i] - path[i]) + 1, path[i]) >= PATH_MAX)
            return false;
        name[i] = name[i] ? name[i] + 1 : path[i];
        if (!realpath(folder[i], real[i]))
            return false;
    }
    return strcmp(name[0], name[1]) == 0 && strcmp(real[0], real[1]) == 0;
}

/* ---- Atomic replacement of a file ---- */

/* Writes a file under another name, syncs it to the disk, and renames it to `path`, keeping the permissions. After an
 * error, the old file is unchanged, and no other file remains. Allocates no memory. */
static inline sw_status output_replace(const char *path, const char *bytes, size_t count) {
    char real[PATH_MAX], name[PATH_MAX];
    mode_t mode;
    const char *fault = output_resolve(path, real, &mode);
    const int file = fault ? -1 : output_temporary(real, name);
    if (file < 0)
        return sw_fail(SW_ERR_IO, "%s: cannot be written: %s", path, fault ? fault : strerror(errno));
    if (!mode) {
        const mode_t mask = umask(0);
        umask(mask);
        mode = 0666 & ~mask;
    }
    bool good = fchmod(file, mode) == 0;
    while (good && count > 0) {
        const ssize_t n = write(file, bytes, count);
        good = n > 0 || (n < 0 && errno == EINTR);
        bytes += n > 0 ? n : 0;
        count -= n > 0 ? (size_t)n : 0;
    }
    good = good && fsync(file) == 0;
    int error = errno;
    if (close(file) != 0 && good)
        good = false, error = errno;
    if (good && rename(name, real) != 0)
        good = false, error = errno;
    if (good)
        return SW_OK;
    unlink(name);
    return sw_fail(SW_ERR_IO, "%s: cannot be written: %s", path, strerror(error));
}

/* A text that is collected in memory, and then written by output_replace. */
typedef struct output {
    FILE *file; /* the stream to which the program prints; NULL after an error */
    char *text;
    size_t size;
    char path[OUTPUT_PATH];
} output;

SW_PRINTF(2, 3) static inline FILE *output_open(output *o, const char *path, ...) {
    va_list list;
    *o = (output){0};
    va_start(list, path);
    const int length = vsnprintf(o->path, sizeof o->path, path, list);
    va_end(list);
    if (sw_error())
        return NULL;
    if (length >= (int)sizeof o->path)
        sw_fail(SW_ERR_ARGUMENT, "a path of %d bytes is too long: %.100s...", length, o->path);
    else if (!(o->file = open_memstream(&o->text, &o->size)))
        sw_fail(SW_ERR_MEMORY, "%s: out of memory", o->path);
    return o->file;
}

/* Writes the text printed so far; more can be printed afterwards. Writes nothing while an error is pending. */
static inline sw_status output_save(output *o) {
    if (!o->file || sw_error())
        return sw_error_status();
    if (fflush(o->file) != 0 || ferror(o->file))
        return sw_fail(SW_ERR_MEMORY, "%s: out of memory", o->path);
    return output_replace(o->path, o->text, o->size);
}

static inline void output_free(output *o) {
    if (o->file)
        fclose(o->file);
    free(o->text);
    *o = (output){0};
}

static inline sw_status output_close(output *o) {
    const sw_status status = output_save(o);
    output_free(o);
    return status;
}

#endif
