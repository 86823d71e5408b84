/* Sequential reading of files, and atomic replacement of files. All system calls for them are in file.c. */
#ifndef SWALE_FILES_READER_WRITER_H
#define SWALE_FILES_READER_WRITER_H

#include <swale/error.h>

/* A file that is read sequentially. The message of a failed call begins with the path. */
typedef struct swi_reader {
    const char *path;
    int file;
    int64_t size, at; /* bytes of the file, bytes read or skipped */
} swi_reader;

/* Call swi_reader_close afterwards, also after an error. */
sw_status swi_reader_open(swi_reader *r, const char *path);
void swi_reader_close(swi_reader *r);
/* Reads the next `bytes` bytes to `out`, or skips them. If the file ends before them, swi_reader_take fails. */
sw_status swi_reader_take(swi_reader *r, void *out, int64_t bytes);
sw_status swi_reader_skip(swi_reader *r, int64_t bytes);

/* A new file that will replace the file at a path. */
typedef struct swi_writer {
    const char *path;
    char *name;         /* the name of the file in `folder`, after symbolic links were followed */
    char temporary[48]; /* the name of the temporary file in `folder`; "" if there is none */
    int file, folder;
    char *buffer;
    size_t used;
} swi_writer;

/* Call swi_writer_close afterwards, also after an error. Without swi_writer_commit it removes the new file. */
sw_status swi_writer_open(swi_writer *w, const char *path);
sw_status swi_writer_put(swi_writer *w, const void *data, size_t bytes);
/* Flushes the new file to the disk and renames it to the path. */
sw_status swi_writer_commit(swi_writer *w);
void swi_writer_close(swi_writer *w);

/* Fails with the message "path: reason". A very long path is cut, so that the reason is always in the message. */
SW_PRINTF(3, 4)
sw_status swi_file_fail(const char *path, sw_status status, const char *format, ...);
/* After sw_alloc has failed: puts the path before its message, unless an earlier error was pending (had_error). Returns
 * SW_ERR_MEMORY. */
sw_status swi_file_no_memory(const char *path, bool had_error);

#endif
