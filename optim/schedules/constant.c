/* The constant schedule, whose factor is 1. It has only the options of all schedules, for example the warm-up. */
#include <swale/schedule.h>

static double constant_factor(const double *option, double t, double total) {
    (void)option, (void)t, (void)total;
    return 1;
}

const sw_schedule swo_constant = {
    .size = sizeof(sw_schedule), .name = "constant", .summary = "the factor 1 in all steps", .factor = constant_factor};
