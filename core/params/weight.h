/* The weights of losses: the divisors of mean losses (loss_mean.h). */
#ifndef SWALE_PARAMS_WEIGHT_H
#define SWALE_PARAMS_WEIGHT_H

#include <swale/loss_mean.h>

/* The weight of a loss; `value` is SW_SUMMED for a sum. `mix` is 1 for one loss, and for several losses of equal
 * weight. For a tensor that combines losses of different weights it is a number that depends on the ratios of the
 * weights, and NaN for a mean and a sum together. */
typedef struct swi_weight {
    double value, mix;
} swi_weight;
static inline swi_weight swi_plain_weight(double value) {
    return (swi_weight){value, 1};
}
/* The weight of a tensor that combines losses with the weights a and b. */
swi_weight swi_weight_combine(swi_weight a, swi_weight b);
/* Whether the mean over two parts with these weights is defined. */
bool swi_weight_fits(swi_weight a, swi_weight b);
/* The error for two parts whose mean is not defined. */
sw_status swi_weight_refuse(const char *who, swi_weight a, swi_weight b);
/* An error unless the weight is finite and at least 0, or SW_SUMMED. */
sw_status swi_weight_check(const char *who, double weight);
/* Adds a part to a mean; an error if the mean is not defined. */
sw_status swi_mean_add(sw_loss_mean *mean, const char *who, double value, swi_weight weight);
/* The weight of all parts of a mean together: 0 without parts, or SW_SUMMED. */
double swi_mean_weight(const sw_loss_mean *mean);

#endif
