/* Rules that are sgd without momentum. */
#ifndef SWALE_OPTIM_PLAIN_SGD_H
#define SWALE_OPTIM_PLAIN_SGD_H

#include <swale/optim.h>

bool swo_rules_are_plain(const sw_optim *o);
/* Divides the whole of x into stretches. Returns false if there are too many, or if a parameter is in no group. */
bool swo_plain_stretches(const sw_optim *o, sw_estimate_run *run);
/* Returns the low-order part of x, so that x + x_low is the compensated sum of all changes of x. The rules of the
 * coming step, and loops of many steps, update it if they are sgd without momentum, in f32, on samples in memory.
 * Otherwise returns NULL, and sets x_low to 0. It is also set to 0 if the program has written to x. */
void *swo_x_low(sw_optim *o);

#endif
