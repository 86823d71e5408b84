/* Steps that are skipped one after the other. */
#ifndef SWALE_OPTIM_SKIPPED_STEPS_H
#define SWALE_OPTIM_SKIPPED_STEPS_H

#include "optim/optimizer.h"

/* Records the cause if the status is SW_SKIPPED. Returns the status. */
sw_status swo_skipped_by(sw_optim *o, sw_skip_cause cause, const char *name, sw_status status);
/* Counts a step that ended with this status. Returns the status, or SW_ERR_NONFINITE if too many steps in a row were
 * skipped. */
sw_status swo_count_skipped(sw_optim *o, sw_status status);
/* Records the error "who: which were skipped, because …", with the cause of the last skipped step and a remedy. */
sw_status swo_fail_skipped(const sw_optim *o, const char *who, const char *which);

#endif
