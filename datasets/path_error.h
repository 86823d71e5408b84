/* Errors of files: "path: reason". */
#ifndef SWALE_DATASETS_PATH_ERROR_H
#define SWALE_DATASETS_PATH_ERROR_H

#include <swale/error.h>

#include <stdarg.h>

/* sw_fail with "path: reason"; a very long path is cut, so that the reason stays. */
SW_PRINTF(3, 4) sw_status swd_path_fail(const char *path, sw_status status, const char *format, ...);
SW_PRINTF(3, 0) sw_status swd_path_vfail(const char *path, sw_status status, const char *format, va_list list);
/* After an allocation that failed. The allocator's message gives only a number of bytes: if it is this reader's first
 * error (first_error: none was pending when it began), this one with the path replaces it. */
sw_status swd_path_fail_memory(const char *path, bool first_error);

#endif
