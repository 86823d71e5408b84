/* Errors: a status and the first message of each thread. No allocation: it must work when memory is
 * gone. */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Thread_local sw_status swi_error_now;
static _Thread_local char text[1024];

const char *sw_error(void) {
    return swi_error_now == SW_OK ? NULL : text;
}

sw_status sw_error_status(void) {
    return swi_error_now;
}

void sw_clear_error(void) {
    swi_error_now = SW_OK;
}

sw_status sw_fail(sw_status status, const char *format, ...) {
    if (swi_error_now == SW_OK && status != SW_OK) {
        va_list list;
        va_start(list, format);
        vsnprintf(text, sizeof text, format, list);
        va_end(list);
        swi_error_now = status;
    }
    return status;
}

void swi_error_prefix(const char *prefix) {
    size_t have = strlen(text), add = strlen(prefix);
    if (swi_error_now == SW_OK || have + add + 1 > sizeof text)
        return;
    memmove(text + add, text, have + 1);
    memcpy(text, prefix, add);
}

const char *sw_shape_text(int rank, const int64_t *shape) {
    enum { BUFFERS = 4, LENGTH = 24 * SW_MAX_RANK };
    static _Thread_local char buffer[BUFFERS][LENGTH];
    static _Thread_local unsigned turn;
    char *out = buffer[turn++ % BUFFERS];
    size_t at = 0;
    out[at++] = '[';
    for (int i = 0; i < rank; i++)
        at += (size_t)snprintf(out + at, LENGTH - at, i ? ",%lld" : "%lld", (long long)shape[i]);
    out[at++] = ']';
    out[at] = 0;
    return out;
}
