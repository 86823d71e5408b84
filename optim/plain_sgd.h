/* Rules that are sgd without momentum. */
#ifndef SWALE_OPTIM_PLAIN_SGD_H
#define SWALE_OPTIM_PLAIN_SGD_H

#include <swale/optim.h>

bool swo_rules_are_plain(const sw_optim *o);
/* x from its begin to its end; false: there are too many stretches, or elements of no group. */
bool swo_plain_stretches(const sw_optim *o, sw_estimate_run *run);
/* The low-order part of x, so that x + x_low is what compensated summation of the moves gives. The rules of the coming
 * step update it, as loops do, if they are sgd without momentum, in f32, on samples in memory. Otherwise NULL, and
 * x_low becomes 0. It also becomes 0 if x was written from outside. */
void *swo_x_low(sw_optim *o);

#endif
