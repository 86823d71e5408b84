/* The library's own methods, one file each; registry.c lists them. */
#ifndef SWALE_METHODS_H
#define SWALE_METHODS_H

#include "optim.h"

extern const sw_estimator swo_minibatch, swo_full, swo_sag, swo_saga, swo_svrg, swo_sam, swo_asam;
extern const sw_rule swo_sgd, swo_adam, swo_adamw;
extern const sw_schedule swo_constant, swo_cosine;
extern const sw_option swo_schedule_options[]; /* that all schedules take */
extern const sw_average swo_none, swo_ema;

#endif
