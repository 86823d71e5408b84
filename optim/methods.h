/* The library's own methods, one file each; registry.c lists them. */
#ifndef SWALE_METHODS_H
#define SWALE_METHODS_H

#include "optim.h"

extern const sw_estimator swo_minibatch;
extern const sw_rule swo_sgd, swo_adam, swo_adamw;
extern const sw_schedule swo_constant, swo_cosine, swo_restarts, swo_cosine_cycles, swo_step,
    swo_exponential, swo_linear, swo_polynomial, swo_inverse_sqrt, swo_inverse_time, swo_cyclic,
    swo_one_cycle;
extern const sw_option swo_schedule_options[]; /* that all schedules take */
enum { SWO_WARMUP, SWO_OVER };                 /* they */
extern const sw_line_search swo_armijo, swo_wolfe;
extern const sw_average swo_none, swo_ema, swo_lawa_ema, swo_lawa_queue, swo_polyak, swo_swa;

/* Whether an average that looks at every so many-th step from a start on looks at this one. Both are rounded
 * up to whole steps. */
bool swo_average_due(int64_t step, double start, double every);

#endif
