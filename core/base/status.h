/* For functions that fail: statuses that are passed on, and the status of the failure that happened last. */
#ifndef SWALE_STATUS_H
#define SWALE_STATUS_H

#include <swale/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `SW_TRY(call)`: returns the status of a failing call. */
#define SW_TRY(call)                      \
    do {                                  \
        sw_status sw_try_status = (call); \
        if (sw_try_status != SW_OK)       \
            return sw_try_status;         \
    } while (0)

/* A function returns the status of its own failure, also while an earlier error is pending, whose message is
 * the one that stays. sw_error_status() is the status of that message, so it does not serve for this.
 *
 *     const uint64_t before = sw_failure_count();
 *     sw_tensor t = users_function(...);
 *     if (sw_is_null(t))
 *         return sw_failure_count() != before ? sw_last_failure() : sw_fail(SW_ERR_USER, "... a null tensor");
 */

/* How many failures this thread has recorded by sw_fail, whether or not the message was kept. */
SW_API uint64_t sw_failure_count(void);
/* The status of the latest of them: what a function returns when a function it called has just failed. */
SW_API sw_status sw_last_failure(void);

#ifdef __cplusplus
}
#endif
#endif
