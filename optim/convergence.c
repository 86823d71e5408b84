/* The test whether x is a minimum: the norm of the gradient of all samples, including the terms that the rules add to
 * the objective. */
#include "optim/convergence.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"
#include "optim/penalty.h"

#include <math.h>
#include <string.h>

sw_status swo_full_gradient_norm(sw_optim *o, const sw_objective *f, double *norm) {
    const void *x = sw_params_x(o->params);
    void *g = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, o->dim, swo_size(o));
    double value;
    *norm = NAN;
    if (!g)
        return SW_ERR_MEMORY;
    sw_gradient_set_data(o->view, g);
    sw_tape_set_switch(o->tape, SW_UPDATE_BUFFERS, false);
    sw_status status =
        sw_objective_gradient_chunked(f, o->tape, x, NULL, f->n, 0, o->estimate->e.draw, &value, o->view);
    if (status == SW_OK && swo_penalized_norm(o, x, g, norm) != SW_OK) /* Inf or NaN: x is not a minimum */
        *norm = INFINITY;
    sw_free(g);
    return status;
}

double swo_estimator_tolerance(const sw_optim *o) {
    for (const swo_estimate *e = o->estimate; e; e = e->inner) {
        const int at = swo_option_index(e->e.method->options, "tol");
        if (at >= 0 && e->resolved[at] > 0)
            return e->resolved[at];
    }
    return 0;
}

bool swo_estimator_converged(const sw_optim *o) {
    return sw_optim_scalar(o, -1, "converged") == 1;
}

void swo_estimator_reset_converged(sw_optim *o) {
    for (swo_estimate *e = o->estimate; e; e = e->inner)
        for (int i = 0; i < swo_scalar_count(e->e.method->scalars); i++)
            if (strcmp(e->e.method->scalars[i], "converged") == 0)
                memset(&e->scalar[i], 0, sizeof e->scalar[i]); /* all bits 0 are also the int64_t 0 */
}
