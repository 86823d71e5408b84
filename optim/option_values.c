/* Converts the durations among the values of options to steps. */
#include "optim/option_values.h"
#include <swale/method.h>
#include "optim/optimizer.h"

static sw_status duration_in_steps(const char *what, double value, char unit, int64_t total, int64_t per_epoch,
                                   double *steps) {
    if (unit == '%') {
        if (total <= 0)
            return sw_fail(SW_ERR_STATE,
                           "%s: %g%% of the run, but its length is not known: set total_steps of the optimizer", what,
                           value);
        *steps = sw_duration_exact_steps(value * (double)total / 100);
    } else if (unit == 'e') {
        if (per_epoch <= 0)
            return sw_fail(SW_ERR_STATE,
                           "%s: %g epochs, but the length of an epoch is not known: "
                           "sw_optim_bind the objective first",
                           what, value);
        *steps = sw_duration_exact_steps(value * (double)per_epoch);
    } else {
        *steps = value;
    }
    return SW_OK;
}

sw_status swo_options_in_steps(const sw_optim *o, const char *name, const sw_option *table, const swo_values *values,
                               int first, double *out) {
    for (int i = 0; table && table[i].name; i++) {
        int at = first + i;
        out[at] = values->value[at];
        if (table[i].kind == SW_OPTION_DURATION)
            SW_TRY(duration_in_steps(name, values->value[at], values->unit[at], o->total, o->per_epoch, &out[at]));
    }
    return SW_OK;
}
