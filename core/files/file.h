/* Files that are replaced whole, or read from the beginning to the end. */
#ifndef SWALE_FILE_H
#define SWALE_FILE_H

#include <swale/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes a whole file as sw_archive_save does: under the path is the old file or the new one, whole. */
SW_API sw_status sw_file_replace(const char *path, const void *bytes, size_t count);
/* Like sw_file_replace, but a device or a pipe is opened and written to directly. */
SW_API sw_status sw_file_write(const char *path, const void *bytes, size_t count);
/* Opens a regular file for reading, with its length in bytes. Returns its descriptor, to be closed by close();
 * -1 and an error for anything else. A pipe, a device or a folder is refused at once, without waiting for a
 * writer; /dev/stdin is read if it is redirected from a file. */
SW_API int sw_file_open(const char *path, int64_t *bytes);

#ifdef __cplusplus
}
#endif
#endif
