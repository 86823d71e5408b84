/* The pending error of this thread, for the library itself. */
#ifndef SWALE_BASE_ERROR_STATE_H
#define SWALE_BASE_ERROR_STATE_H

#include <swale/error.h>

enum { SWI_ERROR_TEXT = 4096 }; /* bytes of a message: a path, and a list of faults */

/* This thread's first error since the last clear. */
extern _Thread_local sw_status swi_pending_status;
void swi_error_prefix(const char *prefix); /* in front of the message that is kept */

/* The error state of a thread. swi_error_suspend keeps it in `state` and leaves the thread without an error;
 * swi_error_resume restores it, as if nothing had failed in between. */
typedef struct swi_error_state {
    sw_status pending, latest;
    uint64_t failures;
    char text[SWI_ERROR_TEXT]; /* only if an error was pending */
} swi_error_state;
void swi_error_suspend(swi_error_state *state);
void swi_error_resume(const swi_error_state *state);

/* The status of an operation's, objective's or other user's function, with a message if it left none: "operation
 * mine: forward returned status 11 without a message". name NULL: there is none. */
sw_status swi_returned(const char *kind, const char *name, const char *function, sw_status status);

#endif
