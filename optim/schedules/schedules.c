/* Schedules: factors of an option over the run. Warm-up is the pipeline's. */
#include "../methods.h"

#include <math.h>

const sw_option swo_schedule_options[] = {
    {.name = "warmup", .kind = SW_OPTION_DURATION, .value = 0, .help = "linear rise from 1/warmup to 1"},
    {0}};

static double constant(const double *option, double t, double total) {
    (void)option, (void)t, (void)total;
    return 1;
}

const sw_schedule swo_constant = {.size = sizeof(sw_schedule), .name = "constant",
                                  .summary = "1", .factor = constant};

enum { FINAL };
static const sw_option cosine_options[] = {
    {.name = "final", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1,
     .help = "the factor at the end of the run"},
    {0}};

/* final + (1 - final)·½(1 + cos(π t/T)) */
static double cosine(const double *option, double t, double total) {
    const double pi = 3.14159265358979323846;
    double part = total > 0 && t < total ? t / total : 1;
    return option[FINAL] + (1 - option[FINAL]) * 0.5 * (1 + cos(pi * part));
}

const sw_schedule swo_cosine = {.size = sizeof(sw_schedule), .name = "cosine",
                                .summary = "half a cosine wave from 1 to final",
                                .source = "Loshchilov, Hutter, ICLR 2017",
                                .options = cosine_options, .factor = cosine, .needs_total = true};
