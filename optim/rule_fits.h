/* Whether a rule can update the parameters of its group. */
#ifndef SWALE_OPTIM_RULE_FITS_H
#define SWALE_OPTIM_RULE_FITS_H

#include "optim/optimizer.h"

/* One error for all parameters that the rule's `fits` refuses, with shapes, reasons, and a spec to use instead. */
sw_status swo_rule_fits(const sw_optim *o, const swo_group *group);

#endif
