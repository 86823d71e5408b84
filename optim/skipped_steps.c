/* Consecutive skipped steps: their number, their cause, and the error if there are too many. */
#include "optim/skipped_steps.h"
#include "optim/optimizer.h"

sw_status swo_skipped_by(sw_optim *o, sw_skip_cause cause, const char *name, sw_status status) {
    if (status == SW_SKIPPED) {
        o->skip_cause = cause;
        o->skip_name = name;
    }
    return status;
}

static sw_status skipped_fail_gradient(const sw_optim *o, const char *who, const char *which) {
    char scale[96] = "";
    if (sw_params_loss_scale(o->params) != 1)
        sw_format(scale, sizeof scale, ", with the loss scale %.10g", sw_params_loss_scale(o->params));
    return sw_fail(SW_ERR_NONFINITE,
                   "%s: %s were skipped, because the gradient contained Inf or NaN%s: look for them in the data, take "
                   "a smaller lr, or set clip%s%s; with SW_CHECK on, the tape names the operation that makes them",
                   who, which, scale, *scale ? ", or another loss_scale" : "",
                   sw_params_storage(o->params) == SW_F16 ? ", or use bf16 (f16 ends at 65504)" : "");
}

sw_status swo_fail_skipped(const sw_optim *o, const char *who, const char *which) {
    switch (o->skip_cause) {
    case SW_SKIP_SEARCH:
        return sw_fail(SW_ERR_NONFINITE,
                       "%s: %s were skipped, because line search %s found no step: the loss may be at a minimum up to "
                       "the rounding of %s (then end the run at the first skipped step, or use \"wolfe noise=1e-14\"), "
                       "or its gradient may be wrong (sw_gradcheck)",
                       who, which, o->skip_name, sw_dtype_name(o->type));
    case SW_SKIP_RULE:
        return sw_fail(SW_ERR_NONFINITE, "%s: %s were skipped by rule %s, whose begin or decide returned SW_SKIPPED",
                       who, which, o->skip_name);
    case SW_SKIP_SAMPLE:
        return sw_fail(SW_ERR_NONFINITE, "%s: %s were skipped by estimator %s, whose sample returned SW_SKIPPED", who,
                       which, o->skip_name);
    default: return skipped_fail_gradient(o, who, which);
    }
}

sw_status swo_count_skipped(sw_optim *o, sw_status status) {
    enum { MOST = 100 };
    if (status == SW_OK)
        o->skipped_in_a_row = 0;
    if (status != SW_SKIPPED)
        return status;
    o->skipped++;
    o->skipped_in_a_row++;
    if (o->skipped_in_a_row < (o->most_skipped ? o->most_skipped : MOST))
        return SW_SKIPPED;
    char which[64];
    sw_format(which, sizeof which, "%lld steps in a row", (long long)o->skipped_in_a_row);
    o->skipped_in_a_row = 0; /* after sw_clear_error, a program may try the same number of steps again */
    return swo_fail_skipped(o, "optimizer", which);
}
