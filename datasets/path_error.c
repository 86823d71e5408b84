/* Error messages of files: "path: reason". */
#include "datasets/path_error.h"

#include <swale/text.h>

sw_status swd_path_vfail(const char *path, sw_status status, const char *format, va_list list) {
    char reason[256];
    sw_vformat(reason, sizeof reason, format, list);
    return sw_fail(status, "%.700s: %s", path, reason);
}

sw_status swd_path_fail(const char *path, sw_status status, const char *format, ...) {
    va_list list;
    va_start(list, format);
    status = swd_path_vfail(path, status, format, list);
    va_end(list);
    return status;
}

sw_status swd_path_fail_memory(const char *path, bool first_error) {
    if (first_error)
        sw_clear_error();
    return swd_path_fail(path, SW_ERR_MEMORY, "out of memory");
}
