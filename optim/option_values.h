/* The values of a method's options in its spec. */
#ifndef SWALE_OPTIM_OPTION_VALUES_H
#define SWALE_OPTIM_OPTION_VALUES_H

#include <swale/optim.h>

typedef struct swo_values {
    double value[SW_MAX_OPTIONS];
    char unit[SW_MAX_OPTIONS]; /* of durations: 's' steps, '%' of the run, 'e' epochs */
    char spec[256];            /* the value of the SPEC option; "" if there is none */
} swo_values;

/* Converts durations to steps, as methods receive them. A percentage of the run, or a number of epochs, may be a
 * fractional number of steps; if it is an integer in exact arithmetic, as 7% of 100 steps, the result is exactly that
 * integer. The options of `table` begin at values[first]. */
sw_status swo_options_in_steps(const sw_optim *o, const char *method, const sw_option *table, const swo_values *values,
                               int first, double *out);

/* The options that all schedules have (schedule_options.c): the table of sw_schedule_common. */
extern const sw_option swo_schedule_options[];

#endif
