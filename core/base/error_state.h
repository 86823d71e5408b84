/* The pending error of this thread, for the library itself. */
#ifndef SWALE_BASE_ERROR_STATE_H
#define SWALE_BASE_ERROR_STATE_H

#include <swale/error.h>

enum { SWI_ERROR_TEXT = 4096 }; /* bytes of a message: long enough for a path and a list of mismatches */

/* The status of this thread's pending error; SW_OK if no error is pending. */
extern _Thread_local sw_status swi_pending_status;
/* Puts a prefix before the message of the pending error. Does nothing if the result would be too long. */
void swi_error_prefix(const char *prefix);
/* The same with the prefix "path: ". A very long path is shortened. */
void swi_error_prefix_path(const char *path);

/* The error state of a thread. swi_error_suspend saves it in `state` and leaves the thread without an error;
 * swi_error_resume restores it, as if nothing had failed in between. */
typedef struct swi_error_state {
    sw_status pending, latest;
    uint64_t failures;
    char text[SWI_ERROR_TEXT]; /* set only if an error was pending */
} swi_error_state;
void swi_error_suspend(swi_error_state *state);
void swi_error_resume(const swi_error_state *state);

/* Returns the status that a user's function (of an operation, an objective, …) returned. If the status is an error and
 * the function recorded no message, records one: "operation mine: forward returned status 11 without a message". `name`
 * may be NULL. */
sw_status swi_returned(const char *kind, const char *name, const char *function, sw_status status);

#endif
