/* Files: read in order, or replaced whole. file.c has core's calls of the operating system for them. */
#ifndef SWALE_FILES_READER_WRITER_H
#define SWALE_FILES_READER_WRITER_H

#include <swale/error.h>

/* A file being read. A failed call has a message that begins with the path. */
typedef struct swi_reader {
    const char *path;
    int file;
    int64_t size, at; /* bytes of the file, bytes read or skipped */
} swi_reader;

/* swi_reader_close is due whatever comes of it. */
sw_status swi_reader_open(swi_reader *r, const char *path);
void swi_reader_close(swi_reader *r);
/* The next `bytes` bytes, which must be there. */
sw_status swi_reader_take(swi_reader *r, void *out, int64_t bytes);
sw_status swi_reader_skip(swi_reader *r, int64_t bytes);

/* A file that is to take another one's place. */
typedef struct swi_writer {
    const char *path;
    char *name;         /* of the file itself, in its folder, where the path is a symbolic link */
    char temporary[48]; /* in the same folder; "": not there */
    int file, folder;
    char *buffer;
    size_t used;
} swi_writer;

/* swi_writer_close is due whatever comes of it: without swi_writer_commit nothing is left of it. */
sw_status swi_writer_open(swi_writer *w, const char *path);
sw_status swi_writer_put(swi_writer *w, const void *data, size_t bytes);
/* All of it is on the disk, and under the path. */
sw_status swi_writer_commit(swi_writer *w);
void swi_writer_close(swi_writer *w);

/* "path: reason", of which a very long path does not push out the reason. */
SW_PRINTF(3, 4)
sw_status swi_file_fail(const char *path, sw_status status, const char *format, ...);
/* After sw_alloc: puts the path in front of its message, unless an older one is kept. */
sw_status swi_file_no_memory(const char *path, bool had_error);

#endif
