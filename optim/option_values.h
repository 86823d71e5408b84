/* The values of a method's options, as its spec gives them. */
#ifndef SWALE_OPTIM_OPTION_VALUES_H
#define SWALE_OPTIM_OPTION_VALUES_H

#include <swale/optim.h>

typedef struct swo_values {
    double value[SW_MAX_OPTIONS];
    char unit[SW_MAX_OPTIONS]; /* of durations: 's' steps, '%' of the run, 'e' epochs */
    char spec[256];            /* of the SPEC option, "" if there is none */
} swo_values;

/* Values as methods see them: durations in steps. A part of the run or of an epoch need not be a whole number of steps;
 * one that is whole in exact arithmetic, as 7% of 100, is whole here too. The options of `table` are values[first] and
 * following. */
sw_status swo_options_in_steps(const sw_optim *o, const char *method, const sw_option *table, const swo_values *values,
                               int first, double *out);

/* The options that all schedules have (schedule_options.c): the table of sw_schedule_common. */
extern const sw_option swo_schedule_options[];

#endif
