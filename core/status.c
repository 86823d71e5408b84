/* Errors: a status and the first message of each thread. No allocation: it must work when memory is
 * gone. */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct {
    sw_status status;
    char text[1024];
} first;

const char *sw_error(void) {
    return first.status == SW_OK ? NULL : first.text;
}

sw_status sw_error_status(void) {
    return first.status;
}

void sw_clear_error(void) {
    first.status = SW_OK;
}

sw_status sw_fail(sw_status status, const char *format, ...) {
    if (first.status == SW_OK && status != SW_OK) {
        va_list list;
        va_start(list, format);
        vsnprintf(first.text, sizeof first.text, format, list);
        va_end(list);
        first.status = status;
    }
    return status;
}

void swi_error_prefix(const char *prefix) {
    size_t have = strlen(first.text), add = strlen(prefix);
    if (first.status == SW_OK || have + add + 1 > sizeof first.text)
        return;
    memmove(first.text + add, first.text, have + 1);
    memcpy(first.text, prefix, add);
}

const char *sw_shape_text(int rank, const int64_t *shape) {
    enum { BUFFERS = 4, LENGTH = 24 * SW_MAX_RANK };
    static _Thread_local char buffer[BUFFERS][LENGTH];
    static _Thread_local unsigned turn;
    char *text = buffer[turn++ % BUFFERS];
    size_t at = 0;
    text[at++] = '[';
    for (int i = 0; i < rank; i++)
        at += (size_t)snprintf(text + at, LENGTH - at, i ? ",%lld" : "%lld", (long long)shape[i]);
    text[at++] = ']';
    text[at] = 0;
    return text;
}
