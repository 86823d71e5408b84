/* Checks for Inf and NaN in vectors, scalars, coefficients and step sizes. */
#include "optim/finite.h"
#include "optim/optimizer.h"

#include <math.h>

/* ---- Vectors ---- */

double swo_vector_bound(sw_dtype type, const void *v, int64_t count) {
    double norm = 0;
    if (sw_dtype_is_float(type) && count > 0 && sw_vector_norm(type, count, v, &norm) != SW_OK)
        return INFINITY;
    return norm * SWO_ROUNDING;
}

bool swo_vector_is_finite(sw_dtype type, const void *v, int64_t count) {
    double norm;
    return !sw_dtype_is_float(type) || count == 0 || sw_vector_norm(type, count, v, &norm) == SW_OK;
}

bool swo_element_is_finite(sw_dtype type, const void *v, int64_t i) {
    return isfinite(sw_load_element(type, v, i));
}

bool swo_no_new_infinity(sw_dtype type, int64_t count, const void *before, const void *after) {
    if (swo_vector_is_finite(type, after, count))
        return true;
    for (int64_t i = 0; i < count; i++)
        if (!swo_element_is_finite(type, after, i) && swo_element_is_finite(type, before, i))
            return false;
    return true;
}

sw_status swo_refuse_vector(const sw_optim *o, const char *kind, const char *method, const char *what, const char *of,
                            const char *param) {
    return sw_fail(SW_ERR_NONFINITE,
                   "%s %s: step %lld would make %s%s%s Inf or NaN (the gradient's norm is %g): the step is refused, "
                   "and x is unchanged",
                   kind, method, (long long)o->steps + 1, what, of, param, o->norm);
}

/* ---- Numbers ---- */

static sw_status finite_fail_number(const sw_optim *o, const char *kind, const char *method, const char *name,
                                    double value) {
    return sw_fail(SW_ERR_NONFINITE, "%s %s: %s is %g in step %lld: the step is not taken", kind, method, name, value,
                   (long long)o->steps + 1);
}

sw_status swo_check_scalars(const sw_optim *o, const char *kind, const char *method, const char *const *names,
                            const double *values) {
    for (int i = 0; names && names[i]; i++)
        if (!isfinite(values[i]))
            return finite_fail_number(o, kind, method, names[i], values[i]);
    return SW_OK;
}

sw_status swo_check_coefficients(const sw_optim *o, const char *kind, const char *method, const double *values) {
    double sum[4] = {0}; /* x - x is 0, and NaN for Inf and NaN; in one sum each addition would wait for the previous */
    for (int i = 0; i < SW_MAX_COEFFICIENTS; i += 4)
        for (int j = 0; j < 4; j++)
            sum[j] += values[i + j] - values[i + j];
    const bool wrong = (sum[0] + sum[1]) + (sum[2] + sum[3]) != 0;
    for (int i = 0; wrong && i < SW_MAX_COEFFICIENTS; i++)
        if (!isfinite(values[i]))
            return sw_fail(SW_ERR_NONFINITE, "%s %s: coefficient %d is %g in step %lld: the step is not taken", kind,
                           method, i, values[i], (long long)o->steps + 1);
    return SW_OK;
}

sw_status swo_check_estimates(const sw_optim *o) {
    for (const swo_estimate *e = o->estimate; e; e = e->inner) {
        const char *name = e->e.method->name;
        double scalar[SW_MAX_SCALARS];
        for (int i = 0; i < SW_MAX_SCALARS; i++)
            scalar[i] = swo_scalar(e->scalar, swo_whole_scalars(e->e.method), i);
        SW_TRY(swo_check_scalars(o, "estimator", name, e->e.method->scalars, scalar));
        if (isinf(e->e.lr)) /* NaN means that it proposes none */
            return finite_fail_number(o, "estimator", name, "the step size that it proposes", e->e.lr);
    }
    return SW_OK;
}
