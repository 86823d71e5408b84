/* The options that all schedules take, and the schedule that is none. Warm-up is the pipeline's. */
#include "optim/methods.h"

const sw_option swo_schedule_options[] = {
    {.name = "warmup", .kind = SW_OPTION_DURATION, .value = 0, .help = "linear rise from 1/warmup to 1"},
    {.name = "over",
     .kind = SW_OPTION_DURATION,
     .value = 0,
     .help = "length after the warm-up; 0: the rest of the run"},
    {0}};

static double constant(const double *option, double t, double total) {
    (void)option, (void)t, (void)total;
    return 1;
}

const sw_schedule swo_constant = {.size = sizeof(sw_schedule), .name = "constant", .summary = "1", .factor = constant};
