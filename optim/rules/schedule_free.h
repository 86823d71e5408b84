/* The code that the Schedule-Free rules share (Defazio et al., The road less scheduled, NeurIPS 2024).
 *
 * There are three sequences of points. z takes the steps u of a base method, x is a weighted mean of all z, and the
 * gradient is evaluated between them, at y:
 *     z ← z - u
 *     x ← (1 - c) x + c z            c = w/Σw,  w = kʳ γmax^p
 *     y = β x + (1 - β) z
 * k counts the steps from 1, γ is the learning rate of a step, and γmax the largest one so far. The parameters are y,
 * the slot z has z, and x, the point of evaluation, is not stored, because it follows from both:
 *     x = y + (1 - 1/β) (z - y)
 *     y ← y + b (z - y) - (1 - β (1 - c)) u,  b = 1 - (β/β') (1 - c)         the previous z; β' is β of the step before
 * If β does not change, b = c, as in the authors' code.
 */
#ifndef SWALE_RULES_SCHEDULE_FREE_H
#define SWALE_RULES_SCHEDULE_FREE_H

#include <swale/rule.h>

/* The first options of all these rules. */
typedef struct schedule_free_head {
    double lr, beta;
} schedule_free_head;

/* Further options, at other positions: of w, and the linear warm-up of γ. */
typedef struct schedule_free_options {
    double warmup, r, weight_lr_power;
} schedule_free_options;

/* The first slot, scalars and coefficients of all these rules. */
typedef struct schedule_free_slots {
    void *z;
} schedule_free_slots;
typedef struct schedule_free_scalars {
    double weight_sum, lr_max, beta; /* Σw, γmax, β'; 0 before the first step */
} schedule_free_scalars;
#define SCHEDULE_FREE_SCALARS "weight_sum", "lr_max", "beta"
typedef struct schedule_free_coefficients {
    double gamma;  /* γ */
    double toward; /* b */
    double beyond; /* 1 - β (1 - c) */
    double to_x;   /* 1 - 1/β', for x before the step */
} schedule_free_coefficients;

/* clang-format off */
/* β = 0 would lose x, and a small β magnifies rounding errors of x by 1/β. */
#define SCHEDULE_FREE_BETA(option_name)                                                                       \
    {.name = option_name, .value = 0.9, .low = 0.01, .high = 1, .open = SW_OPEN_HIGH,                          \
     .help = "β: the gradient is that at β x + (1 - β) z", .search_low = 0.8, .search_high = 0.98}
#define SCHEDULE_FREE_OPTIONS(r_default, power_default, warmup_flags)                                              \
    {.name = "warmup", .kind = SW_OPTION_DURATION, .value = 0, .low = 0, .high = 1e15, .open = warmup_flags,       \
     .help = "linear rise of lr, which also gives these steps less weight in x"},                                  \
    {.name = "r", .value = r_default, .low = 0, .high = 16, .help = "step k has the weight kʳ γmax^p in x"},       \
    {.name = "weight_lr_power", .value = power_default, .low = 0, .high = 16, .help = "p in the weight kʳ γmax^p"}
/* clang-format on */

/* γ of step k: lr times the factor of the warm-up. */
double swo_schedule_free_rate(const sw_step *step, const schedule_free_options *o, double k);
/* Adds the weight of step k to the mean, and sets the coefficients of the step. */
void swo_schedule_free_weigh(sw_step *step, const schedule_free_options *o, double k, double gamma);
/* For `reach`: the bounds of y and z after a step with ‖u‖ ≤ u. */
void swo_schedule_free_reach(const sw_step *step, sw_bounds *bounds, double u);
/* `point`: x */
extern const sw_kernels swo_schedule_free_point;
/* `adopted`: the parameters are x now. Therefore z ← x, and a new mean begins. */
sw_status swo_schedule_free_adopted(sw_step *step);

#endif
