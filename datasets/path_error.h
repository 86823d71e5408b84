/* Error messages of files: "path: reason". */
#ifndef SWALE_DATASETS_PATH_ERROR_H
#define SWALE_DATASETS_PATH_ERROR_H

#include <swale/error.h>

#include <stdarg.h>

/* Calls sw_fail with "path: reason". A very long path is shortened, so that the reason is not cut off. */
SW_PRINTF(3, 4) sw_status swd_path_fail(const char *path, sw_status status, const char *format, ...);
SW_PRINTF(3, 0) sw_status swd_path_vfail(const char *path, sw_status status, const char *format, va_list list);
/* Call it after a failed allocation. The message of the allocator has only a number of bytes. If it is the first error
 * of this reader (first_error: no error was pending when the reader began), a message with the path replaces it. */
sw_status swd_path_fail_memory(const char *path, bool first_error);

#endif
