/* The status that a function of a method, or a callback, returns. */
#ifndef SWALE_OPTIM_METHOD_STATUS_H
#define SWALE_OPTIM_METHOD_STATUS_H

#include <swale/status.h>

/* Every such status passes through this function, so that an error has a message: "rule mine: begin returned status 2
 * without a message". SW_SKIPPED is an error unless may_skip. */
sw_status swo_method_status(const char *kind, const char *name, const char *function, bool may_skip, sw_status status);

#endif
