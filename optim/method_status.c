/* The status that functions of methods and callbacks return. */
#include "optim/method_status.h"

#include <swale/optim.h>

sw_status swo_method_status(const char *kind, const char *name, const char *function, bool may_skip, sw_status status) {
    if (status == SW_OK || (status == SW_SKIPPED && may_skip))
        return status;
    if (status == SW_SKIPPED)
        return sw_fail(SW_ERR_STATE, "%s %s: %s returned SW_SKIPPED, but a step cannot be skipped there", kind, name,
                       function);
    /* sw_fail keeps an earlier message, so that this one counts only if there is none. */
    return sw_fail(status, "%s %s: %s returned status %d without a message", kind, name, function, (int)status);
}
