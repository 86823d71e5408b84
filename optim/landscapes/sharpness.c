/* The largest rise of the loss in a ball, by projected gradient ascent:
 *
 *     e = rho d/‖d‖_p                          for each start d
 *     trial = P(e + s a(g)),  s = rho/2        a(g) = g/‖g‖ for p = 2, sign g for p = ∞; P: the projection to the ball
 *     e = trial if f(x + trial) > f(x + e), else s = s/2 */
#include "optim/landscapes/landscape_state.h"

#include <math.h>

typedef struct ascent {
    sw_landscape *l;
    sw_sharpness_options options;
    bool box;                      /* p = ∞ */
    double base;                   /* f(x) */
    double largest;                /* rise so far */
    void *e, *g, *trial, *g_trial; /* [dim] */
} ascent;

/* trial = the nearest point of the box to e + step sign g; e NULL: to step sign g */
static void ascent_move_in_box(const ascent *a, const void *e, const void *g, double step) {
    const sw_dtype type = a->l->type;
    const double radius = a->options.radius;
    for (int64_t i = 0; i < a->l->dim; i++) {
        const double slope = sw_load_element(type, g, i), from = e ? sw_load_element(type, e, i) : 0;
        const double to = slope > 0 ? from + step : slope < 0 ? from - step : from;
        sw_store_element(type, a->trial, i, fmin(fmax(to, -radius), radius));
    }
}

/* trial = P(e + step a(g)); e NULL: step a(g). False if g is 0 or not finite. */
static bool ascent_move(const ascent *a, const void *e, const void *g, double step) {
    const sw_landscape *l = a->l;
    double slope = 0, length = 0;
    if (sw_vector_norm(l->type, l->dim, g, &slope) != SW_OK || slope == 0)
        return false;
    if (a->box) {
        ascent_move_in_box(a, e, g, step);
        return true;
    }
    if (e)
        sw_vector_axpby(l->type, l->dim, 1, e, step / slope, g, a->trial);
    else
        sw_vector_axpby(l->type, l->dim, step / slope, g, 0, NULL, a->trial);
    if (sw_vector_norm(l->type, l->dim, a->trial, &length) != SW_OK)
        return false;
    if (length > a->options.radius)
        sw_vector_axpby(l->type, l->dim, a->options.radius / length, a->trial, 0, NULL, a->trial);
    return true;
}

/* Evaluates the trial. *better: its loss is above *value, which then becomes its loss, and e and g become its own. */
static sw_status ascent_try(ascent *a, double *value, bool *better) {
    double loss;
    swo_landscape_move(a->l, 1, a->trial);
    SW_TRY(swo_landscape_gradient(a->l, true, &loss, a->g_trial));
    *better = loss > *value || !isfinite(loss);
    a->largest = isfinite(loss) ? fmax(a->largest, loss - a->base) : (double)INFINITY;
    if (*better) {
        void *const e = a->e, *const g = a->g;
        *value = loss;
        a->e = a->trial, a->trial = e;
        a->g = a->g_trial, a->g_trial = g;
    }
    return SW_OK;
}

/* Ascends from rho times the direction d, of either sign. */
static sw_status ascent_from(ascent *a, const void *d, double sign) {
    double step = a->options.radius / 2, value = -INFINITY;
    bool better = ascent_move(a, NULL, d, sign * a->options.radius);
    for (int i = 0; i < a->options.steps && !isinf(a->largest); i++) {
        if (i == 0 && !better)
            break; /* no direction */
        if (i > 0 && !ascent_move(a, a->e, a->g, step))
            break;
        SW_TRY(ascent_try(a, &value, &better));
        step = better ? step : step / 2;
    }
    return SW_OK;
}

static sw_status ascent_run(ascent *a) {
    const sw_sharpness_options *o = &a->options;
    sw_rng rng = {.key = sw_rng_key(o->seed, "sharpness")};
    swo_landscape_move(a->l, 0, NULL);
    SW_TRY(swo_landscape_gradient(a->l, true, &a->base, a->g_trial));
    if (!isfinite(a->base))
        return sw_fail(SW_ERR_NONFINITE, "landscape_sharpness: the loss at the point is %g", a->base);
    SW_TRY(ascent_from(a, a->g_trial, 1));
    for (int i = 0; i < o->starts; i++) {
        swo_landscape_random(a->l, false, &rng, a->g_trial);
        SW_TRY(ascent_from(a, a->g_trial, 1));
    }
    for (int i = 0; o->direction && i < 2; i++) {
        sw_vector_axpby(a->l->type, a->l->dim, 1, o->direction, 0, NULL, a->g_trial);
        swo_landscape_mask(a->l, a->g_trial);
        SW_TRY(ascent_from(a, a->g_trial, i == 0 ? 1 : -1));
    }
    return SW_OK;
}

static sw_status ascent_read_options(const sw_sharpness_options *given, ascent *a) {
    sw_sharpness_options *o = &a->options;
    if (given)
        SW_TRY(sw_options_copy("landscape_sharpness", "sw_sharpness_options", o, sizeof *o, given, sizeof *o));
    o->radius = o->radius == 0 ? 0.05 : o->radius;
    o->norm = o->norm == 0 ? 2 : o->norm;
    o->steps = o->steps == 0 ? 10 : o->steps;
    o->starts = o->starts == 0 ? 2 : o->starts;
    a->box = isinf(o->norm) && o->norm > 0;
    if (!(o->radius > 0) || isinf(o->radius) || (o->norm != 2 && !a->box) || o->steps < 0 || o->starts < -1)
        return sw_fail(SW_ERR_ARGUMENT,
                       "landscape_sharpness: radius = %g, norm = %g, steps = %d, starts = %d; the radius is positive, "
                       "the norm 2 or INFINITY, and steps and starts are not negative (starts -1: none)",
                       o->radius, o->norm, o->steps, o->starts);
    return SW_OK;
}

sw_status sw_landscape_sharpness(sw_landscape *l, const sw_sharpness_options *options, double *rise) {
    SW_TRY(swo_landscape_check("landscape_sharpness", l, "rise", rise));
    ascent a = {.l = l, .options = {.size = sizeof a.options}};
    SW_TRY(ascent_read_options(options, &a));
    void *vectors = swo_landscape_vectors(l, 4);
    if (!vectors)
        return sw_last_failure();
    a.e = swo_landscape_vector(l, vectors, 0);
    a.g = swo_landscape_vector(l, vectors, 1);
    a.trial = swo_landscape_vector(l, vectors, 2);
    a.g_trial = swo_landscape_vector(l, vectors, 3);
    const sw_status status = ascent_run(&a);
    sw_free(vectors);
    *rise = a.largest;
    return status;
}
