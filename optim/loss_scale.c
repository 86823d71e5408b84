/* Dynamic loss scaling: P. Micikevicius et al., Mixed precision training, ICLR 2018, section 3.2. The scale itself is
 * that of the parameters (sw_params_set_loss_scale), by which sw_backward multiplies gradients. */
#include "optim/loss_scale.h"
#include "optim/optimizer.h"

#include <math.h>

void swo_loss_scale_start(const sw_optim *o) {
    sw_params_set_loss_scale(o->params, o->loss_scale.initial);
}

/* One clean step, or one whose gradient was not finite. */
static double scale_next(swo_loss_scale *s, double scale, bool finite) {
    s->clean = finite ? s->clean + 1 : 0;
    if (!finite)
        return scale / 2 >= s->least ? scale / 2 : scale;
    if (s->clean < s->interval)
        return scale;
    s->clean = 0;
    return scale < SWO_MOST_SCALE ? 2 * scale : scale;
}

void swo_loss_scale_update(sw_optim *o, sw_status status, int64_t steps) {
    swo_loss_scale *s = &o->loss_scale;
    const bool overflow = status == SW_SKIPPED &&
                          (o->skip_cause == SW_SKIP_GRADIENT || (o->skip_cause == SW_SKIP_SEARCH && s->trial_overflow));
    if (!s->dynamic || (status != SW_OK && !overflow))
        return;
    if (status == SW_OK && s->trial_overflow) { /* a trial of the line search, which chose another point */
        s->clean = 0;
        return;
    }
    double scale = sw_params_loss_scale(o->params);
    for (int64_t i = 0; i < steps; i++)
        scale = scale_next(s, scale, !overflow);
    sw_params_set_loss_scale(o->params, scale);
}

bool swo_loss_scale_fits(double scale, double clean) {
    int exponent;
    return scale >= SWO_LEAST_SCALE && scale <= SWO_MOST_SCALE && frexp(scale, &exponent) == 0.5 && clean >= 0 &&
           clean <= 0x1p53 && floor(clean) == clean;
}

void swo_loss_scale_load(sw_optim *o) {
    swo_loss_scale *s = &o->loss_scale;
    if (!s->dynamic)
        return;
    s->clean = (int64_t)s->file_clean;
    sw_params_set_loss_scale(o->params, s->file_scale);
}
