/* The point of evaluation: the vector of the average or of the rule, or x. */
#include "optim/average_step.h"
#include "optim/finite.h"
#include "optim/frozen.h"
#include "optim/method_status.h"
#include "optim/optimizer.h"
#include "optim/rule_hooks.h"
#include "optim/rule_step.h"
#include "optim/stored_gradient.h"

#include <string.h>

static const void *point_check(const sw_optim *o, const char *kind, const char *method) {
    if (swo_no_new_infinity(o->type, o->dim, sw_params_x(o->params), o->point))
        return o->point;
    sw_fail(SW_ERR_NONFINITE, "%s %s: the point of evaluation contains Inf or NaN after step %lld", kind, method,
            (long long)o->steps);
    return NULL;
}

/* For elements of frozen parameters that are not finite, the average is 0, and the point is x. */
static const void *point_of_average(sw_optim *o) {
    const sw_average *a = o->average;
    const size_t bytes = (size_t)o->dim * swo_size(o);
    if (swo_average_options(o) != SW_OK)
        return NULL;
    sw_step s = swo_average_step(o, o->steps);
    sw_status status = a->point_begin ? a->point_begin(&s) : SW_OK;
    status = swo_method_status("average", a->name, "point_begin", true, status);
    if (status == SW_SKIPPED || (status == SW_OK && !a->point && !o->average_slot[0]))
        return sw_params_x(o->params);
    if (status != SW_OK)
        return NULL;
    if (!o->frozen_known || o->seen != sw_params_version(o->params))
        swo_frozen_read(o);
    if (!a->point && !o->any_infinite)
        return o->average_slot[0];
    if (!o->point && !(o->point = sw_alloc_array_named(SW_ACCOUNT_TEMPORARIES, "point", "x", 1, bytes)))
        return NULL;
    if (a->point)
        sw_kernel_run(a->point, o->type, &s, s.count);
    else
        memcpy(o->point, o->average_slot[0], bytes);
    swo_frozen_copy_to_point(o, o->point);
    return point_check(o, "average", a->name);
}

const void *sw_optim_point(sw_optim *o) {
    if (!o)
        return NULL;
    void *x = sw_params_x(o->params);
    if (o->steps == 0)
        return x;
    if (o->average)
        return point_of_average(o);
    if (!o->rules_point)
        return x;
    memcpy(o->point, x, (size_t)o->dim * swo_size(o));
    for (int i = 0; i < o->groups; i++)
        for (int k = 0; o->group[i].rule->point && k < o->group[i].stretches; k++) {
            sw_step s;
            swo_stretch_step(o, &o->group[i], &o->group[i].stretch[k], NULL, &s);
            s.step = o->steps; /* the last step that was taken */
            sw_kernel_run(o->group[i].rule->point, o->type, &s, s.count);
        }
    return point_check(o, "rule", o->group[0].rule->name);
}

/* An error if leaves would read Inf. */
static sw_status point_check_range(const sw_optim *o, const float *point) {
    for (int i = 0; i < sw_params_count(o->params); i++) {
        const sw_param *p = sw_params_at(o->params, i);
        const int64_t beyond = p->tied || p->frozen ? -1 : swo_find_beyond_copy(o->params, point + p->offset, p->count);
        if (beyond >= 0)
            return sw_fail(SW_ERR_NONFINITE, "optim_adopt_point: parameter %s is %g there, which is beyond %s", p->name,
                           (double)point[p->offset + beyond], sw_dtype_name(sw_params_storage(o->params)));
    }
    return SW_OK;
}

sw_status sw_optim_adopt_point(sw_optim *o) {
    if (!o)
        return sw_error() ? sw_error_status() : sw_fail(SW_ERR_ARGUMENT, "optim_adopt_point: the optimizer is NULL");
    const void *point = sw_optim_point(o);
    const void *x = sw_params_x(o->params);
    if (!point)
        return sw_last_failure();
    if (point == x)
        return SW_OK;
    if (sw_params_storage(o->params) != o->type)
        SW_TRY(point_check_range(o, point));
    return swo_rules_adopt(o, point);
}
