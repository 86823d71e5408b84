/* Which point is evaluated: x itself, or its exponential moving average. */
#define SW_KERNEL_FILE "averages/ema.c"
#include "kernel.h"
#include "../optim.h"

#ifndef EMA_OPTIONS
#define EMA_OPTIONS
enum { DECAY, DEBIAS };
enum { WEIGHT };
#endif

#if SW_KERNEL_PASS

/* e = β e + (1 - β) θ */
static void SW_K(ema)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const real *restrict x = s->x;
    real *restrict e = s->slot[0];
    const real w = (real)s->coefficient[WEIGHT];
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        e[i] += w * (x[i] - e[i]);
}


#else

#include "../methods.h"

#include <math.h>

const sw_average swo_none = {.size = sizeof(sw_average), .name = "none",
                             .summary = "the last iterate"};

static const sw_kernels ema_kernels = SW_KERNEL_TABLE(ema);

static const sw_option options[] = {
    {.name = "decay", .kind = SW_OPTION_REAL, .value = 0.999, .low = 0, .high = 1,
     .open = SW_OPEN_HIGH, .help = "weight of the past"},
    {.name = "debias", .kind = SW_OPTION_BOOL, .value = 0,
     .help = "divide by 1 - decay^t: the start has no weight"},
    {0}};
static const sw_slot slots[] = {{.name = "ema", .start = SW_START_X}, {0}};

static sw_status begin(sw_step *s) {
    double decay = s->option[DECAY];
    s->coefficient[WEIGHT] = 1 - decay;
    if (s->option[DEBIAS] != 0) /* e_t/(1-βᵗ) from a zero start, as a running mean */
        s->coefficient[WEIGHT] = (1 - decay) / (1 - pow(decay, (double)s->step));
    return SW_OK;
}

const sw_average swo_ema = {.size = sizeof(sw_average), .name = "ema",
                            .summary = "exponential moving average of the iterates",
                            .source = "Polyak, Juditsky 1992; Kingma, Ba 2015, section 7",
                            .options = options, .slots = slots, .begin = begin,
                            .update = &ema_kernels};

#endif
