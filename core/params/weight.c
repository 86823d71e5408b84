/* The divisor of a mean loss, and means over parts of a batch. */
#include <swale/status.h>

#include "core/params/weight.h"

#include <math.h>

/* ---- Weights ---- */

static bool weight_is_sum(swi_weight w) {
    return w.value == SW_SUMMED;
}

/* For losses l_1 / w_1 + l_2 / w_2 + … with w_k = r_k w_1, the mean over parts is (Σ w_1 loss) / (Σ w_1) if every part
 * has the same ratios r_k. Therefore w_1 is the weight, and `mix` must be different for different ratios: it is a
 * linear form of the r_k whose coefficients are polynomials in a transcendental number. It is 1 if all weights are
 * equal. */
swi_weight swi_weight_combine(swi_weight a, swi_weight b) {
    static const double K = 0.31830988618379067; /* 1/π */
    if (weight_is_sum(a) != weight_is_sum(b))
        return (swi_weight){a.value, NAN};
    if (a.value == b.value && a.mix == b.mix)
        return a;
    if (a.value == 0)
        return (swi_weight){b.value, K * b.mix};
    return (swi_weight){a.value, a.mix + K * (b.mix * (b.value / a.value) - a.mix)};
}

/* A part with weight 0 fits every part. `mix` is computed by a few quotients, products and sums, each with a relative
 * rounding error of 2^-53. */
bool swi_weight_fits(swi_weight a, swi_weight b) {
    if (weight_is_sum(a) != weight_is_sum(b))
        return false;
    return a.value == 0 || b.value == 0 || fabs(a.mix - b.mix) <= 64 * 0x1p-53 * fabs(a.mix);
}

sw_status swi_weight_refuse(const char *who, swi_weight a, swi_weight b) {
    if (isnan(a.mix) || isnan(b.mix) || weight_is_sum(a) != weight_is_sum(b))
        return sw_fail(SW_ERR_STATE,
                       "%s: some of the losses are means and some are sums; use one reduction for all of "
                       "them, or evaluate the samples in one part",
                       who);
    return sw_fail(SW_ERR_STATE,
                   "%s: the weights (rows or class weights by which the losses were divided) of the losses in a sum "
                   "are in another ratio in one part than in another, so that the mean over the parts is not defined; "
                   "evaluate each loss separately, or all samples in one part",
                   who);
}

sw_status swi_weight_check(const char *who, double weight) {
    if ((weight >= 0 && weight < (double)INFINITY) || weight == SW_SUMMED)
        return SW_OK;
    return sw_fail(SW_ERR_ARGUMENT,
                   "%s: the weight of the loss is %g; it must be finite and at least 0, or "
                   "SW_SUMMED",
                   who, weight);
}

/* ---- Means ---- */

sw_status swi_mean_add(sw_loss_mean *m, const char *who, double value, swi_weight w) {
    const swi_weight before = {m->unit, m->mix};
    if (w.value == 0)
        return SW_OK;
    if (m->unit != 0 && !swi_weight_fits(before, w))
        return swi_weight_refuse(who, before, w);
    m->mix = w.mix;
    if (w.value == SW_SUMMED) {
        m->unit = SW_SUMMED;
        m->sum += value;
        return SW_OK;
    }
    if (m->unit == 0)
        m->unit = w.value;
    m->sum += value * (w.value / m->unit);
    m->weight += w.value / m->unit;
    return SW_OK;
}

double swi_mean_weight(const sw_loss_mean *m) {
    return m->unit == SW_SUMMED ? SW_SUMMED : m->weight * m->unit;
}

sw_status sw_loss_mean_add_part(sw_loss_mean *mean, double value, double weight) {
    if (!mean)
        return sw_fail(SW_ERR_ARGUMENT, "loss_mean: the mean is NULL");
    SW_TRY(swi_weight_check("loss_mean", weight));
    return swi_mean_add(mean, "loss_mean", value, swi_plain_weight(weight));
}

double sw_loss_mean_value(const sw_loss_mean *m) {
    if (!m || m->unit == 0)
        return NAN;
    return m->unit == SW_SUMMED ? m->sum : m->sum / m->weight;
}
