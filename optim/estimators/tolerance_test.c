/* The convergence test of SAG and SAGA for the option tol (gradient_table.h). */
#include "optim/estimators/gradient_table.h"

#include <math.h>
#include <string.h>

/* The estimate is a mean of gradients of the last epochs. Its norm may be larger than that of the gradient, by a factor
 * of 4 if the convergence is fast, or smaller. It is therefore only checked eight times per epoch whether the true
 * gradient, which decides but costs as much as an epoch, should be computed: first when the estimate is ten times the
 * tolerance, then when the last ratio of the two norms predicts that the gradient is near the tolerance. */
int64_t swo_table_tests_every(const sw_estimate *e) {
    if (swo_table_options_of(e)->tol == 0)
        return 0;
    const int64_t eighth = swo_table_rows(e) / 8;
    return eighth > 0 ? eighth : 1;
}

sw_status swo_table_test_tolerance(sw_estimate *e, const void *x, const void *g) {
    const int64_t every = swo_table_tests_every(e);
    const double tol = swo_table_options_of(e)->tol;
    swo_table_scalars *s = swo_table_scalars_of(e);
    if (every == 0)
        return SW_OK;
    void *all = sw_estimate_scratch(e, TABLE_WORK, e->dim); /* allocated in the first step, like all memory of a step */
    if (!all)
        return SW_ERR_MEMORY;
    if (e->x_written || s->norm > tol) /* or the run was loaded, and had a larger tol */
        s->converged = 0;
    if (e->step % every != 0 || (s->seen < swo_table_rows(e) && s->filled == 0))
        return SW_OK;
    double estimate, norm;
    s->converged = 0;
    memcpy(all, g, (size_t)e->dim * sw_dtype_size(e->type));
    SW_TRY(sw_estimate_penalized_norm(e, x, all, &estimate));
    if (isinf(estimate)) /* x is outside the bounds */
        return SW_OK;
    s->norm = estimate;
    const double ratio = s->ratio > 0 ? fmin(1.1 * s->ratio, 10) : 10;
    if (estimate > fmax(ratio, 1) * tol)
        return SW_OK;
    SW_TRY(sw_estimate_gradient(e, x, NULL, e->n, NULL, all));
    SW_TRY(sw_estimate_penalized_norm(e, x, all, &norm));
    s->norm = norm;
    s->converged = norm <= tol;
    s->ratio = norm > 0 ? estimate / norm : 1;
    return SW_OK;
}
