/* What the mean of a loss was divided by. */
#ifndef SWALE_PARAMS_WEIGHT_H
#define SWALE_PARAMS_WEIGHT_H

#include <swale/loss_mean.h>

/* The weight of a loss, SW_SUMMED for a sum. mix: 1 for one loss or several of equal weight; for several
 * losses in one a number that their ratio determines; NaN for a mean and a sum together. */
typedef struct swi_weight {
    double value, mix;
} swi_weight;
static inline swi_weight swi_plain_weight(double value) {
    return (swi_weight){value, 1};
}
/* The weight of a sum of losses. */
swi_weight swi_weight_combine(swi_weight a, swi_weight b);
/* Whether parts with these weights have a mean. */
bool swi_weight_fits(swi_weight a, swi_weight b);
sw_status swi_weight_refuse(const char *who, swi_weight a, swi_weight b);
/* An error unless it is finite and at least 0, or SW_SUMMED. */
sw_status swi_weight_check(const char *who, double weight);
sw_status swi_mean_add(sw_loss_mean *mean, const char *who, double value, swi_weight weight);

#endif
