/* Files that are replaced as a whole, or read from the beginning to the end. */
#ifndef SWALE_FILE_H
#define SWALE_FILE_H

#include <swale/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes `count` bytes as the whole contents of a file, in the way of sw_archive_save (archive.h): the path always
 * names a complete file, the old one or the new one. */
SW_API sw_status sw_file_replace(const char *path, const void *bytes, size_t count);
/* As sw_file_replace, but if the path names a device or a pipe, the function opens it and writes to it directly. */
SW_API sw_status sw_file_write(const char *path, const void *bytes, size_t count);
/* Opens a regular file for reading and sets *bytes to its length. Returns its descriptor, which the caller closes by
 * close(); -1 and an error (SW_ERR_IO) for anything else. A pipe, a device or a folder is refused at once, without
 * waiting for a writer. /dev/stdin can be read if it is redirected from a file. */
SW_API int sw_file_open(const char *path, int64_t *bytes);

#ifdef __cplusplus
}
#endif
#endif
