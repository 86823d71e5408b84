/* Temporary: for files of the methods' folders that still use private functions. */
#ifndef SWALE_OPTIM_INTERNAL_H
#define SWALE_OPTIM_INTERNAL_H

#include "optim/average_step.h"
#include "optim/estimate.h"
#include "optim/frozen.h"
#include "optim/optimizer.h"
#include "optim/penalty.h"
#include "optim/plain_sgd.h"

#include <string.h>

#define swo_penalty_now swo_penalty_in_step

#endif
