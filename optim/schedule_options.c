/* The options of all schedules. The pipeline implements warm-up and duration. */
#include "optim/option_values.h"

const sw_option swo_schedule_options[] = {
    {.name = "warmup", .kind = SW_OPTION_DURATION, .value = 0, .help = "linear rise from 1/warmup to 1"},
    {.name = "over",
     .kind = SW_OPTION_DURATION,
     .value = 0,
     .help = "duration after the warm-up; 0: the rest of the run"},
    {0}};
SW_MATCH_OPTIONS(sw_schedule_common, swo_schedule_options);
