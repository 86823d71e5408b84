/* The pending error of this thread, for the library itself. */
#ifndef SWALE_BASE_ERROR_STATE_H
#define SWALE_BASE_ERROR_STATE_H

#include <swale/error.h>

/* This thread's first error since the last clear. */
extern _Thread_local sw_status swi_pending_status;
void swi_error_prefix(const char *prefix); /* in front of the message that is kept */

/* The status of an operation's, objective's or other user's function, with a message if it left none: "operation
 * mine: forward returned status 11 without a message". name NULL: there is none. */
sw_status swi_returned(const char *kind, const char *name, const char *function, sw_status status);

#endif
