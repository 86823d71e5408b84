/* Error messages of pictures: "path: reason". */
#include <swale/text.h>

#include "datasets/path_error.h"
#include "datasets/pictures/picture.h"

sw_status swd_picture_fail(const swd_picture *p, sw_status status, const char *format, ...) {
    va_list list;
    if (status == SW_ERR_MEMORY && p->first_error)
        sw_clear_error(); /* the message of the allocator has only a number of bytes */
    va_start(list, format);
    status = swd_path_vfail(p->path, status, format, list);
    va_end(list);
    return status;
}
