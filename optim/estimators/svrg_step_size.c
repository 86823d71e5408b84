/* The step size of SVRG for lr=auto (svrg.h). */
#include "optim/estimators/svrg.h"

#include "optim/estimators/lipschitz_constants.h"

#include <math.h>
#include <string.h>

bool swo_svrg_searches(const sw_estimate *e) {
    return e->wants_lr && swo_svrg_options_of(e)->lipschitz == 0;
}

double swo_svrg_step_size_with(const sw_estimate *e, double l2) {
    const double given = swo_svrg_options_of(e)->lipschitz, found = swo_known_l(e, given, swo_svrg_scalars_of(e)->l),
                 l = (found + l2) * (given == 0 ? fmax(swo_svrg_scalars_of(e)->divisor, 1) : 1);
    if (!(found > 0)) /* there was no gradient yet */
        return 0;
    switch ((int)swo_svrg_options_of(e)->step) {
    case ONE_L: return 1 / l;
    case ONE_2L: return 1 / (2 * l);
    case ONE_4L: return 1 / (4 * l);
    default: return 1 / (3 * l);
    }
}

double swo_svrg_step_size(const sw_estimate *e) {
    return swo_svrg_step_size_with(e, e->penalty);
}

/* For lipschitz=auto. The mean of the L_i, which is at least the L of f, is used in place of that L. */
sw_status swo_svrg_l_of_rows(sw_estimate *e) {
    double curvature, sum = 0, most = 0;
    const double n = (double)e->n, b = fmin(swo_svrg_options_of(e)->batch, n);
    SW_TRY(swo_head_curvature(e, &curvature));
    for (int64_t i = 0; i < e->n; i++) {
        const double l = swo_sample_l(e, i, curvature);
        sum += l;
        most = fmax(most, l);
    }
    swo_svrg_scalars_of(e)->l = swo_glm_own_of(e)->l_of_rows = swo_expected_l(n, b, sum / n, most);
    return SW_OK;
}

/* The factor of L per measurement: L halves within two epochs of measurements, or 256 measurements if that is more. */
static double svrg_decay_of_l(const sw_estimate *e) {
    return exp2(-1 / fmax(2 * (double)e->per_epoch, 256));
}

void swo_svrg_take_l(sw_estimate *e, double met) {
    swo_svrg_scalars *s = swo_svrg_scalars_of(e);
    s->l = fmax(fmax(met, s->l * svrg_decay_of_l(e)), s->l_least);
}

/* L ← max(L times its decay, the curvature along x - w from Δg = g_x - g_w). If Δg is only rounding error, or if the
 * curvature of f_B is negative, there is no such curvature. */
sw_status swo_svrg_note_curvature(sw_estimate *e, const void *x, const void *g, const void *difference) {
    const double root = e->type == SW_F32 ? 0x1p-12 : 0x1p-26;
    void *way = sw_estimate_scratch(e, THERE, 0);
    double g_norm, change, distance;
    if (!way)
        return SW_ERR_MEMORY;
    sw_vector_axpby(e->type, e->dim, 1, x, -1, swo_svrg_slots_of(e)->snapshot, way);
    sw_estimate_zero_frozen(e, way);
    if (sw_vector_norm(e->type, e->dim, g, &g_norm) != SW_OK ||
        sw_vector_norm(e->type, e->dim, difference, &change) != SW_OK ||
        sw_vector_norm(e->type, e->dim, way, &distance) != SW_OK)
        return SW_OK;
    /* ‖Δg‖²/⟨Δg, x - w⟩ is at most L only if f_B is convex. Otherwise Δg may be almost orthogonal to x - w. */
    const double along = sw_vector_dot(e->type, e->dim, difference, way),
                 met = swo_svrg_part(e) * change * (sw_objective_is_glm(e->objective) ? change / along : 1 / distance);
    if (change > root * g_norm && along > 16 * root * change * distance && isfinite(met))
        swo_svrg_take_l(e, met);
    return SW_OK;
}

/* A curvature costs another gradient. It is measured in each step of the first two epochs, then in every fourth step.
 * If the curvature of the loss has no bound, each step measures it: the loss may become steep within a step, and a
 * small batch gives little information about the other samples. */
bool swo_svrg_measures(const sw_estimate *e) {
    const bool unbounded = e->objective->glm && sw_head_curvature(e->objective->glm->head) == 0;
    return swo_svrg_searches(e) && (e->step <= 2 * e->per_epoch || e->step % 4 == 0 || swo_svrg_scalars_of(e)->l == 0 ||
                                    e->count <= 4 || unbounded);
}

sw_status swo_svrg_keep_batch_gradient(sw_estimate *e, const void *g) {
    void *kept = sw_estimate_scratch(e, BATCH_GRADIENT, 0);
    if (!kept)
        return SW_ERR_MEMORY;
    memcpy(kept, g, (size_t)e->dim * sw_dtype_size(e->type));
    return SW_OK;
}

/* Measures the curvature along g, the direction of this step. After a snapshot, g is mostly ∇f(w), about which Δg has
 * no information. */
sw_status swo_svrg_measure_ahead(sw_estimate *e, const void *x, const void *g) {
    double met;
    SW_TRY(swo_curvature(e, x, sw_estimate_scratch(e, BATCH_GRADIENT, 0), g, swo_svrg_scalars_of(e)->l, &met));
    met *= swo_svrg_part(e);
    if (met > swo_svrg_scalars_of(e)->l && isfinite(met))
        swo_svrg_scalars_of(e)->l = met;
    return SW_OK;
}

/* Within a period x approaches the minimum up to noise, whose variance is proportional to lr. Consider the slope of the
 * objective along the line from one snapshot to the next. If it is positive at the end, the noise was larger than the
 * remaining distance to the minimum, and lr is halved. If it is still negative, and more than SHORT_OF of the slope at
 * the beginning, lr is doubled, up to 1/L or another limit set by `step`. With many samples and a small condition
 * number, a period then gains an order of magnitude. Otherwise lr does not change. */
void swo_svrg_adapt(sw_estimate *e, double before, double after) {
    static const double SHORT_OF = 0.1, MOST = 64;
    double *divisor = &swo_svrg_scalars_of(e)->divisor;
    *divisor = fmax(*divisor, 1);
    if (before >= 0 || after > 0)
        *divisor = fmin(2 * *divisor, MOST);
    else if (after < SHORT_OF * before)
        *divisor = fmax(*divisor / 2, 1);
}
