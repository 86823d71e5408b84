/* The pending error of this thread, for the library itself. */
#ifndef SWALE_BASE_ERROR_STATE_H
#define SWALE_BASE_ERROR_STATE_H

#include <swale/error.h>

/* The status of this thread's pending error; SW_OK if no error is pending. */
extern _Thread_local sw_status swi_pending_status;
/* Puts a prefix before the message of the pending error. Does nothing if the result would be too long. */
void swi_error_prefix(const char *prefix);

/* Returns the status that a user's function (of an operation, an objective, …) returned. If the status is an error and
 * the function recorded no message, records one: "operation mine: forward returned status 11 without a message". `name`
 * may be NULL. */
sw_status swi_returned(const char *kind, const char *name, const char *function, sw_status status);

#endif
