/* The constant schedule: 1. Its options are those of all schedules, among them the warm-up. */
#include <swale/schedule.h>

static double constant_factor(const double *option, double t, double total) {
    (void)option, (void)t, (void)total;
    return 1;
}

const sw_schedule swo_constant = {
    .size = sizeof(sw_schedule), .name = "constant", .summary = "the factor 1 in all steps", .factor = constant_factor};
