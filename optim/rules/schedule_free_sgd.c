/* Schedule-Free SGD (Defazio et al., NeurIPS 2024), which needs neither a schedule nor the length of the run.
 * schedule_free.h describes x, y and z:
 *     u = γ (g + λ y)
 *     z ← z - u,   x ← (1 - c) x + c z,   y = β x + (1 - β) z
 * The file also has the code that all Schedule-Free rules share.
 */
#include <swale/kernel.h>
#include "optim/rules/schedule_free.h"

#if SW_KERNEL_FIRST
typedef struct schedule_free_sgd_options {
    double lr, momentum, weight_decay;
    schedule_free_options free;
} schedule_free_sgd_options;
#endif

#if SW_KERNEL_PASS

static void SW_K(schedule_free_sgd)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const schedule_free_coefficients *c = SW_STEP_COEFFICIENTS(s, schedule_free_coefficients);
    real *restrict y = s->x, *restrict z = SW_STEP_SLOTS(s, schedule_free_slots)->z;
    const real *restrict g = s->g;
    const real gamma = (real)c->gamma, toward = (real)c->toward, beyond = (real)c->beyond,
               weight_decay = (real)SW_STEP_OPTIONS(s, schedule_free_sgd_options)->weight_decay;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real u = gamma * (g[i] + weight_decay * y[i]);
        y[i] = y[i] + toward * (z[i] - y[i]) - beyond * u;
        z[i] -= u;
    }
}

static void SW_K(schedule_free_point)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const real *y = s->x, *z = SW_STEP_SLOTS(s, schedule_free_slots)->z;
    const double beta = SW_STEP_SCALARS(s, schedule_free_scalars)->beta;
    const real to_x = (real)(beta > 0 ? 1 - 1 / beta : 0); /* 0: the rule has only waited (prodigy.h), and x = y = z */
    real *x = s->out;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        x[i] = y[i] + to_x * (z[i] - y[i]);
}

static void SW_K(schedule_free_restart)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const real *x = s->x;
    real *z = SW_STEP_SLOTS(s, schedule_free_slots)->z;
    (void)sums;
    memcpy(z + begin, x + begin, (size_t)(end - begin) * sizeof(real));
}

#else

/* ---- For all Schedule-Free rules ---- */

const sw_kernels swo_schedule_free_point = SW_KERNEL_TABLE(schedule_free_point);
static const sw_kernels schedule_free_restart_kernels = SW_KERNEL_TABLE(schedule_free_restart);

double swo_schedule_free_rate(const sw_step *s, const schedule_free_options *o, double k) {
    const double warmup = sw_duration_whole_steps(o->warmup);
    return SW_STEP_OPTIONS(s, schedule_free_head)->lr * (k < warmup ? k / warmup : 1);
}

/* Weights of 0, of steps with a learning rate of 0, leave x where it is. */
void swo_schedule_free_weigh(sw_step *s, const schedule_free_options *o, double k, double gamma) {
    schedule_free_scalars *scalars = SW_STEP_SCALARS(s, schedule_free_scalars);
    schedule_free_coefficients *coefficients = SW_STEP_COEFFICIENTS(s, schedule_free_coefficients);
    const double beta = SW_STEP_OPTIONS(s, schedule_free_head)->beta,
                 beta_before = scalars->beta > 0 ? scalars->beta : beta;
    scalars->lr_max = fmax(scalars->lr_max, gamma);
    const double weight = pow(k, o->r) * pow(scalars->lr_max, o->weight_lr_power);
    scalars->weight_sum += weight;
    scalars->beta = beta;
    const double c = weight > 0 ? weight / scalars->weight_sum : 0;
    coefficients->gamma = gamma;
    coefficients->toward = beta == beta_before ? c : 1 - beta / beta_before * (1 - c);
    coefficients->beyond = 1 - beta * (1 - c);
    coefficients->to_x = 1 - 1 / beta_before;
}

void swo_schedule_free_reach(const sw_step *s, sw_bounds *b, double u) {
    const schedule_free_coefficients *c = SW_STEP_COEFFICIENTS(s, schedule_free_coefficients);
    double *z = &SW_SLOT_BOUND(b, schedule_free_slots, z);
    b->largest += fabs(c->gamma) + u + b->x + *z;
    b->x = fabs(1 - c->toward) * b->x + fabs(c->toward) * *z + fabs(c->beyond) * u;
    *z += u;
}

sw_status swo_schedule_free_adopted(sw_step *s) {
    SW_STEP_SCALARS(s, schedule_free_scalars)->weight_sum = 0;
    return sw_step_run(s, &schedule_free_restart_kernels);
}

/* ---- SGD ---- */

static const sw_kernels schedule_free_sgd_kernels = SW_KERNEL_TABLE(schedule_free_sgd);

static sw_status schedule_free_sgd_begin(sw_step *s) {
    const schedule_free_options *o = &SW_STEP_OPTIONS(s, schedule_free_sgd_options)->free;
    const double k = (double)s->step;
    swo_schedule_free_weigh(s, o, k, swo_schedule_free_rate(s, o, k));
    return SW_OK;
}

static void schedule_free_sgd_reach(const sw_step *s, sw_bounds *b) {
    const double weight_decay = SW_STEP_OPTIONS(s, schedule_free_sgd_options)->weight_decay,
                 g = b->g + weight_decay * b->x;
    b->largest += weight_decay + g;
    swo_schedule_free_reach(s, b, fabs(SW_STEP_COEFFICIENTS(s, schedule_free_coefficients)->gamma) * g);
}

/* clang-format off */
static const sw_option schedule_free_sgd_option_table[] = {
    {.name = "lr", .value = 1, .low = 0, .high = 1e6, .help = "learning rate of z, γ after the warm-up",
     .search_low = 1e-2, .search_high = 10, .search_log = true},
    SCHEDULE_FREE_BETA("momentum"),
    SW_OPTION_WEIGHT_DECAY_UP_TO(1e300), /* as large as the squares of the data */
    SCHEDULE_FREE_OPTIONS(0, 2, 0),
    {0}};
/* clang-format on */
static const sw_slot schedule_free_sgd_slot_table[] = {{.name = "z", .start = SW_START_X}, {0}};
static const char *const schedule_free_sgd_scalar_names[] = {SCHEDULE_FREE_SCALARS, NULL};
SW_MATCH_OPTIONS(schedule_free_sgd_options, schedule_free_sgd_option_table);
SW_MATCH_SLOTS(schedule_free_slots, schedule_free_sgd_slot_table);
SW_MATCH_SCALARS(schedule_free_scalars, schedule_free_sgd_scalar_names);

const sw_rule swo_schedule_free_sgd = {.size = sizeof(sw_rule),
                                       .name = "schedule_free_sgd",
                                       .summary = "SGD that is evaluated at a mean of its iterates; no schedule",
                                       .source = "Defazio et al., NeurIPS 2024",
                                       .options = schedule_free_sgd_option_table,
                                       .slots = schedule_free_sgd_slot_table,
                                       .scalars = schedule_free_sgd_scalar_names,
                                       .flags = SW_RULE_PENALTY,
                                       .begin = schedule_free_sgd_begin,
                                       .update = &schedule_free_sgd_kernels,
                                       .point = &swo_schedule_free_point,
                                       .reach = schedule_free_sgd_reach,
                                       .adopted = swo_schedule_free_adopted};

#endif
