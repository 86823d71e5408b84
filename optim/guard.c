/* No number of a run becomes Inf or NaN under SW_OK: a step that would end so is refused before x is touched.
 *
 * The gradient is checked by the pass that takes its norm. Scalars, coefficients and step sizes are a few numbers,
 * and are checked in each step. For x and the vectors of state there is no pass to spare. Instead a bound of the
 * 2-norm of each is kept, which a rule's `reach` carries from step to step: it knows that the new x is at most
 * ‖x‖ + η‖g‖, or whatever its equation says, and how large intermediate results of its loop can be. Where all these
 * are far below the largest number of the type, the step cannot overflow; a gradient's norm, the options and the
 * coefficients are finite, and sums and products of finite numbers give NaN only after an Inf. A bound need not be
 * tight: between numbers of use and the end of f32 there are more than 30 powers of 10.
 *
 *   - Bounds are true from the first step on: the vectors are read once, and again when x was written from outside,
 *     after loading, and when a bound has grown too large to say anything.
 *   - If the bounds are still too large after that, the step is tried on copies (trial.c), which is exact.
 *   - A rule or an average without a `reach`, and an average after such a step, are checked afterwards, against
 *     copies of x and of the states, which are put back if anything has become Inf or NaN.
 *
 * A frozen parameter may hold Inf, as an attention mask does. Bounds of the rules leave frozen parameters out.
 * Averages read all of x, and Inf - Inf is NaN: where a frozen parameter is not finite, their states are 0 and their
 * point is x. Checks of whole vectors refuse only what was finite before.
 *
 * Estimators check their own tables: their gradients are checked, and so are their scalars and step sizes. */
#include "optim/internal.h"

#include <float.h>
#include <math.h>

/* Rounding in one step, relative to the bound: a norm of f32 is summed in at most 64 additions a lane and tile,
 * each of 2^-24 and together below 2^-17; a handful of roundings of an update are less. */
static const double GUARD_ROUNDING = 1 + 0x1p-16;

static double guard_limit(sw_dtype type) {
    return type == SW_F32 ? FLT_MAX / 4 : type == SW_F64 ? DBL_MAX / 4 : INFINITY;
}

bool swo_rule_has_reach(const sw_rule *r) {
    return r->size >= offsetof(sw_rule, reach) + sizeof r->reach && r->reach;
}

static bool average_has_reach(const sw_average *a) {
    return a->size >= offsetof(sw_average, reach) + sizeof a->reach && a->reach;
}

/* ---- A few numbers ---- */

static sw_status number_fails(const sw_optim *o, const char *kind, const char *method, const char *name, double value) {
    return sw_fail(SW_ERR_NONFINITE, "%s %s: %s is %g in step %lld: the step is not taken", kind, method, name, value,
                   (long long)o->steps + 1);
}

sw_status swo_guard_scalars(const sw_optim *o, const char *kind, const char *method, const char *const *names,
                            const double *values) {
    for (int i = 0; names && names[i]; i++)
        if (!isfinite(values[i]))
            return number_fails(o, kind, method, names[i], values[i]);
    return SW_OK;
}

sw_status swo_guard_coefficients(const sw_optim *o, const char *kind, const char *method, const double *values) {
    double sum[4] = {0}; /* of 0, or NaN for Inf and NaN; in one sum each addition would wait for the one before */
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

sw_status swo_guard_estimators(const sw_optim *o) {
    for (const swo_estimate *e = o->estimate; e; e = e->inner) {
        const char *name = e->e.method->name;
        SW_TRY(swo_guard_scalars(o, "estimator", name, e->e.method->scalars, e->scalar));
        if (isinf(e->e.lr)) /* NaN: it proposes none */
            return number_fails(o, "estimator", name, "the step size that it proposes", e->e.lr);
    }
    return SW_OK;
}

/* ---- Bounds ---- */

void swo_guard_forget(sw_optim *o) {
    for (int i = 0; i < o->groups; i++)
        o->group[i].bounds_known = false;
    o->average_bounds_known = false;
}

/* The 2-norm; INFINITY where it is no number. Whole numbers are always finite. */
static double vector_norm(sw_dtype type, const void *v, int64_t count) {
    double norm = 0;
    if ((type == SW_F32 || type == SW_F64) && count > 0 && sw_vector_norm(type, count, v, &norm) != SW_OK)
        return INFINITY;
    return norm * GUARD_ROUNDING;
}

static bool vector_is_finite(sw_dtype type, const void *v, int64_t count) {
    double norm;
    return (type != SW_F32 && type != SW_F64) || count == 0 || sw_vector_norm(type, count, v, &norm) == SW_OK;
}

static bool element_is_finite(sw_dtype type, const void *v, int64_t i) {
    return isfinite(type == SW_F32 ? (double)((const float *)v)[i] : ((const double *)v)[i]);
}

bool swo_no_new_infinity(sw_dtype type, int64_t count, const void *before, const void *after) {
    if (vector_is_finite(type, after, count))
        return true;
    for (int64_t i = 0; i < count; i++)
        if (!element_is_finite(type, after, i) && element_is_finite(type, before, i))
            return false;
    return true;
}

/* ---- Frozen parameters ---- */

/* A bound of the 2-norm of the finite elements. */
static double norm_of_finite(sw_dtype type, const void *v, int64_t count) {
    double largest = 0;
    for (int64_t i = 0; i < count; i++)
        if (element_is_finite(type, v, i))
            largest = fmax(largest, fabs(type == SW_F32 ? (double)((const float *)v)[i] : ((const double *)v)[i]));
    return largest * sqrt((double)count) * GUARD_ROUNDING;
}

void swo_guard_read_frozen(sw_optim *o) {
    const char *x = sw_params_x(o->params);
    o->frozen_norm = 0;
    o->any_infinite = false;
    o->frozen_known = true;
    for (int i = 0; i < sw_params_count(o->params); i++) {
        const sw_param *p = sw_params_at(o->params, i);
        o->infinite[i] = false;
        if (!p->frozen || p->tied || p->count == 0)
            continue;
        const void *value = x + (size_t)p->offset * swo_size(o);
        double norm = vector_norm(o->type, value, p->count);
        if (!isfinite(norm)) {
            o->infinite[i] = !vector_is_finite(o->type, value, p->count);
            norm = norm_of_finite(o->type, value, p->count);
        }
        o->any_infinite |= o->infinite[i];
        o->frozen_norm = hypot(o->frozen_norm, norm);
    }
}

static void set_element(sw_dtype type, void *v, int64_t i, double value) {
    if (type == SW_F32)
        ((float *)v)[i] = (float)value;
    else
        ((double *)v)[i] = value;
}

/* v: rows of dim elements. Where a frozen parameter holds Inf or NaN they become 0, or what x is there. */
static void put_at_infinite(const sw_optim *o, sw_dtype type, void *v, int64_t count, bool x_there) {
    const void *x = sw_params_x(o->params);
    for (int k = 0; k < sw_params_count(o->params) && o->any_infinite; k++) {
        const sw_param *p = sw_params_at(o->params, k);
        for (int64_t i = p->offset; o->infinite[k] && i < p->offset + p->count; i++)
            for (int64_t at = i; !element_is_finite(o->type, x, i) && at < count; at += o->dim)
                set_element(type, v, at,
                            !x_there            ? 0
                            : o->type == SW_F32 ? (double)((const float *)x)[i]
                                                : ((const double *)x)[i]);
    }
}

void swo_guard_clear_infinite(sw_optim *o) {
    const sw_slot *slots = o->average->slots;
    for (int i = 0; o->any_infinite && slots && slots[i].name; i++) {
        const sw_dtype type = swo_slot_type(&slots[i], o->type);
        if (o->average_slot[i] && (type == SW_F32 || type == SW_F64) && o->average_count[i] % o->dim == 0)
            put_at_infinite(o, type, o->average_slot[i], o->average_count[i], false);
    }
}

void swo_guard_point_as_x(const sw_optim *o, void *point) {
    put_at_infinite(o, o->type, point, o->dim, true);
}

/* ---- Groups ---- */

/* The parts of a slot, which belong to parameters that are not frozen. */
static int slot_parts(const swo_group *group, int i) {
    return !group->slot[i] ? 0 : group->sized[i] ? group->params : group->stretches;
}

static const char *slot_part(const sw_optim *o, const swo_group *group, int i, int part, int64_t *count) {
    const size_t size = swo_slot_size(&group->rule->slots[i], o->type);
    if (!group->sized[i]) {
        *count = group->stretch[part].count;
        return group->slot[i] + (size_t)group->stretch[part].slot * size;
    }
    *count = group->param[part]->frozen ? 0 : group->sized[i][part + 1] - group->sized[i][part];
    return group->slot[i] + (size_t)group->sized[i][part] * size;
}

/* Without frozen parameters: a step neither moves them nor reads them, and one may be an attention mask with -Inf.
 * What thaws one has the bounds read again (swo_plan_stretches). */
static void read_group(sw_optim *o, swo_group *group) {
    const size_t size = swo_size(o);
    const sw_slot *slots = group->rule->slots;
    sw_bounds *b = &group->bounds;
    b->x = 0;
    for (int k = 0; k < group->stretches; k++)
        b->x = hypot(b->x, vector_norm(o->type,
                                       (const char *)sw_params_x(o->params) + (size_t)group->stretch[k].offset * size,
                                       group->stretch[k].count));
    for (int i = 0; slots && slots[i].name; i++) {
        b->slot[i] = 0;
        for (int k = 0; k < slot_parts(group, i); k++) {
            int64_t count;
            const char *part = slot_part(o, group, i, k, &count);
            b->slot[i] = hypot(b->slot[i], vector_norm(swo_slot_type(&slots[i], o->type), part, count));
        }
    }
    group->bounds_known = true;
}

static bool within(const sw_bounds *b, sw_dtype type, const sw_slot *slots) {
    bool fits = b->x <= guard_limit(type) && b->largest <= guard_limit(type);
    for (int i = 0; slots && slots[i].name; i++)
        fits &= b->slot[i] <= guard_limit(swo_slot_type(&slots[i], type));
    return fits;
}

static void with_rounding(sw_bounds *b) {
    b->x *= GUARD_ROUNDING;
    for (int i = 0; i < SW_MAX_SLOTS; i++)
        b->slot[i] *= GUARD_ROUNDING;
}

/* Whether the rule's step is within the range of the type; the bounds after it. */
static bool group_is_safe(sw_optim *o, swo_group *group, sw_step *s, sw_bounds *after) {
    *after = group->bounds;
    after->count = s->count = group->dim;
    after->g = (o->clip > 0 && o->norm > o->clip ? o->clip : o->norm) * GUARD_ROUNDING;
    after->largest = 0;
    group->rule->reach(s, after);
    with_rounding(after);
    return within(after, o->type, group->rule->slots);
}

/* ---- Copies of x and of the states, where bounds say nothing ---- */

static sw_status keep(sw_optim *o) {
    if (!o->x_before && !(o->x_before = sw_alloc_array(o->dim, swo_size(o))))
        return SW_ERR_MEMORY;
    SW_TRY(swo_make_slots_before(o));
    memcpy(o->x_before, sw_params_x(o->params), (size_t)o->dim * swo_size(o));
    swo_keep_slots(o, false);
    o->kept = true;
    return SW_OK;
}

static void put_back(sw_optim *o) {
    memcpy(sw_params_x(o->params), o->x_before, (size_t)o->dim * swo_size(o));
    if (o->x_low)
        memset(o->x_low, 0, (size_t)o->dim * swo_size(o));
    swo_keep_slots(o, true);
}

static sw_status refuse_vector(const sw_optim *o, const char *kind, const char *method, const char *what,
                               const char *of, const char *param) {
    return sw_fail(SW_ERR_NONFINITE,
                   "%s %s: step %lld would make %s%s%s Inf or NaN (the gradient's norm is %g): it is not taken, and "
                   "x is as before",
                   kind, method, (long long)o->steps + 1, what, of, param, o->norm);
}

/* After the step of a rule without `reach`. */
static sw_status check_group(sw_optim *o, const swo_group *group) {
    const size_t size = swo_size(o);
    const sw_slot *slots = group->rule->slots;
    for (int k = 0; k < group->params; k++) {
        const sw_param *p = group->param[k];
        if (!p->frozen &&
            !vector_is_finite(o->type, (const char *)sw_params_x(o->params) + (size_t)p->offset * size, p->count))
            return refuse_vector(o, "rule", group->rule->name, "x", " of parameter ", p->name);
    }
    for (int i = 0; slots && slots[i].name; i++)
        for (int k = 0; k < slot_parts(group, i); k++) {
            int64_t count;
            const char *part = slot_part(o, group, i, k, &count);
            if (!vector_is_finite(swo_slot_type(&slots[i], o->type), part, count))
                return refuse_vector(o, "rule", group->rule->name, "its state ", slots[i].name, "");
        }
    return SW_OK;
}

/* ---- Averages ---- */

static void read_average(sw_optim *o) {
    const sw_slot *slots = o->average->slots;
    for (int i = 0; slots && slots[i].name; i++)
        o->average_bounds.slot[i] =
            o->average_slot[i] ? vector_norm(swo_slot_type(&slots[i], o->type), o->average_slot[i], o->average_count[i])
                               : 0;
    o->average_bounds_known = true;
}

static bool average_is_safe(sw_optim *o, double x, sw_bounds *after) {
    const sw_step s = {.step = o->steps + 1, .option = o->average_option, .type = o->type, .count = o->dim};
    *after = o->average_bounds;
    after->count = o->dim;
    after->x = x;
    after->largest = 0;
    o->average->reach(&s, after);
    with_rounding(after);
    return within(after, o->type, o->average->slots);
}

/* x: the bound after the rules' step; INFINITY where there is none. */
static void guard_average(sw_optim *o, double x) {
    o->average_checked = false;
    if (!o->average)
        return;
    x = hypot(x, o->frozen_norm); /* read by move */
    sw_bounds after;
    bool safe = average_has_reach(o->average) && isfinite(x);
    if (safe && !(o->average_bounds_known && average_is_safe(o, x, &after))) {
        read_average(o);
        safe = average_is_safe(o, x, &after);
    }
    o->average_checked = !safe;
    o->average_bounds_known = safe;
    if (safe)
        o->average_bounds = after;
}

sw_status swo_guard_keep_average(sw_optim *o) {
    const sw_slot *slots = o->average->slots;
    for (int i = 0; slots && slots[i].name; i++) {
        const size_t size = swo_slot_size(&slots[i], o->type);
        if (!o->average_slot[i])
            continue;
        if (!o->average_before[i] && !(o->average_before[i] = sw_alloc_array(o->average_count[i], size)))
            return SW_ERR_MEMORY;
        memcpy(o->average_before[i], o->average_slot[i], (size_t)o->average_count[i] * size);
    }
    return SW_OK;
}

sw_status swo_guard_average_after(sw_optim *o, sw_status status) {
    const sw_slot *slots = o->average->slots;
    for (int i = 0; status == SW_OK && slots && slots[i].name; i++)
        if (o->average_slot[i] &&
            !vector_is_finite(swo_slot_type(&slots[i], o->type), o->average_slot[i], o->average_count[i]))
            status = refuse_vector(o, "average", o->average->name, "its state ", slots[i].name, "");
    if (status == SW_OK)
        return SW_OK;
    put_back(o);
    for (int i = 0; slots && slots[i].name; i++)
        if (o->average_slot[i])
            memcpy(o->average_slot[i], o->average_before[i],
                   (size_t)o->average_count[i] * swo_slot_size(&slots[i], o->type));
    return status;
}

/* ---- Around the rules ---- */

static sw_status guard_numbers(const sw_optim *o) {
    for (int i = 0; i < o->groups; i++) {
        const swo_group *group = &o->group[i];
        SW_TRY(swo_guard_scalars(o, "rule", group->rule->name, group->rule->scalars, group->scalar));
        SW_TRY(swo_guard_coefficients(o, "rule", group->rule->name, group->coefficient));
    }
    return SW_OK;
}

sw_status swo_guard_before(sw_optim *o, const void *g) {
    bool any = false, copies = false;
    double x = 0;
    SW_TRY(guard_numbers(o));
    o->kept = o->search != NULL; /* it keeps them itself */
    for (int i = 0; i < o->groups; i++) {
        swo_group *group = &o->group[i];
        if (!swo_rule_has_reach(group->rule)) {
            copies = true;
            x = INFINITY;
            continue;
        }
        sw_bounds after;
        sw_step s;
        swo_whole(o, group, g, &s);
        bool safe = group->bounds_known && group_is_safe(o, group, &s, &after);
        if (!safe) {
            read_group(o, group);
            safe = group_is_safe(o, group, &s, &after);
        }
        any |= !safe;
        group->bounds = after;
        group->bounds_known = safe; /* else they are read again for the next step */
        x = safe ? hypot(x, after.x) : INFINITY;
    }
    if (any)
        SW_TRY(swo_try_rules(o, g));
    guard_average(o, o->search ? INFINITY : x);
    return (copies || o->average_checked) && !o->search ? keep(o) : SW_OK;
}

sw_status swo_guard_after(sw_optim *o, sw_status status) {
    for (int i = 0; i < o->groups && status == SW_OK; i++)
        if (!swo_rule_has_reach(o->group[i].rule))
            status = check_group(o, &o->group[i]);
    if (status != SW_OK && o->kept)
        put_back(o);
    return status;
}

/* After a line search, which puts x somewhere else on the rules' line. */
sw_status swo_guard_search(sw_optim *o) {
    swo_guard_forget(o);
    if (!swo_no_new_infinity(o->type, o->dim, o->x_before, sw_params_x(o->params)))
        return refuse_vector(o, "line search", o->search->name, "x", "", "");
    return swo_guard_scalars(o, "line search", o->search->name, o->search->scalars, o->search_scalar);
}
