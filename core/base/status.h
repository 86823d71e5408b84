/* Error handling inside functions of the library and of extensions: how to return the status of a failed call, and how
 * to get the status of the most recent failure. */
#ifndef SWALE_STATUS_H
#define SWALE_STATUS_H

#include <swale/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `SW_TRY(call)` makes the calling function return the status of a call that fails. */
#define SW_TRY(call)                      \
    do {                                  \
        sw_status sw_try_status = (call); \
        if (sw_try_status != SW_OK)       \
            return sw_try_status;         \
    } while (0)

/* A function that fails returns the status of this failure, even while an earlier error is pending. sw_error_status()
 * cannot be used for this, because it returns the status of the earlier error. Use sw_last_failure() or
 * sw_fail_unless_since():
 *
 *     const uint64_t before = sw_failure_count();
 *     sw_tensor t = users_function(...);
 *     if (sw_is_null(t))
 *         return sw_fail_unless_since(before, SW_ERR_USER, "... a null tensor");
 */

/* The number of failures that this thread has recorded by sw_fail, whether or not their messages were kept. */
SW_API uint64_t sw_failure_count(void);
/* The status of the most recent of these failures. A function returns it if a function that it called has just
 * failed. */
SW_API sw_status sw_last_failure(void);
/* If this thread has recorded a failure since sw_failure_count() returned `before`, returns the status of the latest
 * one. Otherwise calls sw_fail with this message and returns `status`. */
SW_API sw_status sw_fail_unless_since(uint64_t before, sw_status status, const char *format, ...) SW_PRINTF(3, 4);
/* For an argument that is NULL. If an error is pending, it is assumed to be the cause, and the function returns its
 * status. Otherwise calls sw_fail with this message and returns `status`. */
SW_API sw_status sw_fail_unless_pending(sw_status status, const char *format, ...) SW_PRINTF(2, 3);

#ifdef __cplusplus
}
#endif
#endif
