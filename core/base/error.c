/* Errors: the status and the first message of each thread. This file allocates no memory, because it must work when
 * no memory is left. */
#include <swale/status.h>
#include <swale/text.h>

#include "core/base/error_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Thread_local sw_status swi_pending_status;
static _Thread_local char text[SWI_ERROR_TEXT];
/* These two count every failure, also one whose message was discarded because an earlier error is pending. */
static _Thread_local sw_status latest_status;
static _Thread_local uint64_t failures;

const char *sw_error(void) {
    return swi_pending_status == SW_OK ? NULL : text;
}

sw_status sw_error_status(void) {
    return swi_pending_status;
}

void sw_clear_error(void) {
    swi_pending_status = SW_OK;
}

uint64_t sw_failure_count(void) {
    return failures;
}

sw_status sw_last_failure(void) {
    return latest_status;
}

SW_PRINTF(2, 0) static sw_status error_record(sw_status status, const char *format, va_list list) {
    if (status != SW_OK) {
        latest_status = status;
        failures++;
    }
    if (swi_pending_status == SW_OK && status != SW_OK) {
        sw_vformat(text, sizeof text, format, list);
        swi_pending_status = status;
    }
    return status;
}

sw_status sw_fail(sw_status status, const char *format, ...) {
    va_list list;
    va_start(list, format);
    status = error_record(status, format, list);
    va_end(list);
    return status;
}

sw_status sw_fail_unless_pending(sw_status status, const char *format, ...) {
    if (swi_pending_status != SW_OK)
        return swi_pending_status;
    va_list list;
    va_start(list, format);
    status = error_record(status, format, list);
    va_end(list);
    return status;
}

sw_status sw_fail_unless_since(uint64_t before, sw_status status, const char *format, ...) {
    if (failures != before)
        return latest_status;
    va_list list;
    va_start(list, format);
    status = error_record(status, format, list);
    va_end(list);
    return status;
}

void swi_error_suspend(swi_error_state *state) {
    state->pending = swi_pending_status;
    state->latest = latest_status;
    state->failures = failures;
    if (state->pending != SW_OK)
        memcpy(state->text, text, sizeof text);
    swi_pending_status = SW_OK;
}

void swi_error_resume(const swi_error_state *state) {
    swi_pending_status = state->pending;
    latest_status = state->latest;
    failures = state->failures;
    if (state->pending != SW_OK)
        memcpy(text, state->text, sizeof text);
}

sw_status swi_returned(const char *kind, const char *name, const char *function, sw_status status) {
    if (status == SW_OK)
        return status;
    if (status == SW_SKIPPED)
        return sw_fail(SW_ERR_STATE, "%s%s%s: %s returned SW_SKIPPED, which is for optimizers", kind, name ? " " : "",
                       name ? name : "", function);
    /* sw_fail discards this message if the function has recorded one itself. */
    return sw_fail(status, "%s%s%s: %s returned status %d without a message", kind, name ? " " : "", name ? name : "",
                   function, (int)status);
}

void swi_error_prefix(const char *prefix) {
    size_t have = strlen(text), add = strlen(prefix);
    if (swi_pending_status == SW_OK || have + add + 1 > sizeof text)
        return;
    memmove(text + add, text, have + 1);
    memcpy(text, prefix, add); // NOLINT(bugprone-not-null-terminated-result): the rest follows
}

void swi_error_prefix_path(const char *path) {
    char prefix[720];
    sw_format(prefix, sizeof prefix, "%.700s: ", path);
    swi_error_prefix(prefix);
}
