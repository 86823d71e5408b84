/* Whether x is a minimum: the norm of the gradient of all samples, with what the rules add to the objective. */
#include "optim/internal.h"

#include <math.h>

sw_status swo_true_norm(sw_optim *o, const sw_objective *f, double *norm) {
    const void *x = sw_params_x(o->params);
    void *g = sw_alloc_array(o->dim, swo_size(o));
    double value;
    *norm = NAN;
    if (!g)
        return SW_ERR_MEMORY;
    sw_gradient_set_data(o->view, g);
    sw_tape_set_switch(o->tape, SW_UPDATE_BUFFERS, false);
    sw_status status =
        sw_objective_gradient_chunked(f, o->tape, x, NULL, f->n, 0, o->estimate->e.draw, &value, o->view);
    if (status == SW_OK && swo_penalized_norm(o, x, g, norm) != SW_OK) /* Inf or NaN: not a minimum */
        *norm = INFINITY;
    sw_free(g);
    return status;
}

double swo_own_tolerance(const sw_optim *o) {
    for (const swo_estimate *e = o->estimate; e; e = e->inner) {
        const int at = swo_index(e->e.method->options, "tol");
        if (at >= 0 && e->resolved[at] > 0)
            return e->resolved[at];
    }
    return 0;
}

bool swo_says_converged(const sw_optim *o) {
    return sw_optim_scalar(o, -1, "converged") == 1;
}

void swo_reset_converged(sw_optim *o) {
    for (swo_estimate *e = o->estimate; e; e = e->inner)
        for (int i = 0; i < swo_scalars(e->e.method->scalars); i++)
            if (strcmp(e->e.method->scalars[i], "converged") == 0)
                e->scalar[i] = 0;
}

const char *sw_train_result_text(const sw_train_result *r, char *text, size_t size) {
    static const char *const reasons[] = {[SW_TRAIN_COMPLETE] = "complete",
                                          [SW_TRAIN_TARGET] = "the target is reached",
                                          [SW_TRAIN_TOLERANCE] = "converged",
                                          [SW_TRAIN_CALLBACK] = "ended by a callback",
                                          [SW_TRAIN_STOP] = "stopped",
                                          [SW_TRAIN_SKIPPED] = "too many steps were skipped",
                                          [SW_TRAIN_ERROR] = "ended by an error",
                                          [SW_TRAIN_NOT_CONVERGED] = "not converged"};
    const bool known = r && (int)r->reason >= 0 && r->reason <= SW_TRAIN_NOT_CONVERGED;
    const char *reason = known ? reasons[r->reason] : "unknown";
    if (known && (r->reason == SW_TRAIN_NOT_CONVERGED || (r->reason == SW_TRAIN_TOLERANCE && !isnan(r->full_norm))))
        sw_format(text, size, "%s after %.4g epochs: the gradient's norm is %.3g, %.3g times the tolerance %g", reason,
                  r->epochs, r->full_norm, r->full_norm / r->tolerance, r->tolerance);
    else
        sw_format(text, size, "%s after %.4g epochs", reason, r ? r->epochs : 0);
    return text;
}
