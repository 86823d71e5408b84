/* L-BFGS as a program would write it: a rule of unit VECTOR that uses the public headers alone. D. Liu, J. Nocedal, On
 * the limited memory BFGS method for large scale optimization, Mathematical Programming 45, 1989; J. Nocedal, S.
 * Wright, Numerical Optimization, 2006, algorithm 7.4.
 *
 *     s = x - x_last,  y = g - g_last;  a pair is kept if ⟨s, y⟩ > 1e-10 ‖s‖ ‖y‖
 *     q ← g;  from the newest pair to the oldest: α_i = ⟨s_i, q⟩/⟨s_i, y_i⟩,  q ← q - α_i y_i
 *     q ← γ q,  γ = ⟨s, y⟩/⟨y, y⟩ of the newest pair
 *     from the oldest pair to the newest: β = ⟨y_i, q⟩/⟨s_i, y_i⟩,  q ← q + (α_i - β) s_i
 *     d = -q
 *
 * g includes the decay, λx. The pairs are rows of a ring buffer with one spare row, in which the next pair is computed.
 * Therefore a pair that is not kept overwrites no other pair, and a step that is not taken does not change the valid
 * rows. */
#ifndef TEST_LBFGS_RULE_H
#define TEST_LBFGS_RULE_H

#include <swale/optim.h>

#include <math.h>

enum { LBFGS_MOST = 64 };

typedef struct lbfgs_options {
    double lr, history, weight_decay;
} lbfgs_options;
typedef struct lbfgs_slots {
    void *x_last, *g_last, *s, *y, *sy;
} lbfgs_slots;
typedef struct lbfgs_scalars {
    double pairs, next, gamma; /* stored pairs; the spare row; γ */
    double known, frozen;      /* 1: x_last and g_last are those of the last step; the set of parameters that were
                                * frozen in it */
    double left_out;           /* pairs that were not kept */
} lbfgs_scalars;

static const sw_option lbfgs_option_table[] = {
    {.name = "lr", .value = 1, .low = 0, .high = 1e6, .help = "length of the step; 1 is that of Newton's method"},
    {.name = "history", .kind = SW_OPTION_INTEGER, .value = 10, .low = 1, .high = LBFGS_MOST, .help = "pairs"},
    SW_OPTION_WEIGHT_DECAY,
    {0}};
static const char *const lbfgs_scalar_names[] = {"pairs", "next", "gamma", "known", "frozen", "left_out", NULL};

static inline int64_t lbfgs_rows(const sw_slot_sizes *sizes) {
    return (int64_t)SW_OPTIONS_AS(sizes->option, lbfgs_options)->history + 1;
}
static inline int64_t lbfgs_ring(const sw_slot_sizes *sizes) {
    return lbfgs_rows(sizes) * sizes->dim;
}
static const sw_slot lbfgs_slot_table[] = {
    {.name = "x_last"},
    {.name = "g_last"},
    {.name = "s", .count = lbfgs_ring, .valid_by_scalars = true},
    {.name = "y", .count = lbfgs_ring, .valid_by_scalars = true},
    {.name = "sy", .type = SW_SLOT_F64, .count = lbfgs_rows, .valid_by_scalars = true},
    {0}};
SW_MATCH_OPTIONS(lbfgs_options, lbfgs_option_table);
SW_MATCH_SCALARS(lbfgs_scalars, lbfgs_scalar_names);
SW_MATCH_SLOTS(lbfgs_slots, lbfgs_slot_table);

/* The row of the pair that is k pairs older than the newest one. */
static inline int64_t lbfgs_row(const sw_step *step, int k) {
    const int64_t rows = (int64_t)SW_STEP_OPTIONS(step, lbfgs_options)->history + 1;
    return ((int64_t)SW_STEP_SCALARS(step, lbfgs_scalars)->next + rows - 1 - k) % rows;
}

/* Computes the pair of this step from q = g and from x_last and g_last. */
static inline void lbfgs_add_pair(sw_step *step, const void *q) {
    lbfgs_scalars *scalars = SW_STEP_SCALARS(step, lbfgs_scalars);
    const lbfgs_slots *slots = SW_STEP_SLOTS(step, lbfgs_slots);
    const int64_t next = (int64_t)scalars->next;
    void *s = sw_step_row(step, slots->s, next), *y = sw_step_row(step, slots->y, next);
    sw_step_scale(step, 1, step->x, s);
    sw_step_axpy(step, -1, slots->x_last, s);
    sw_step_scale(step, 1, q, y);
    sw_step_axpy(step, -1, slots->g_last, y);
    const double sy = sw_step_dot(step, s, y), yy = sw_step_dot(step, y, y), ss = sw_step_dot(step, s, s);
    if (!(sy > 1e-10 * sqrt(ss) * sqrt(yy))) {
        scalars->left_out++;
        return;
    }
    const double history = SW_STEP_OPTIONS(step, lbfgs_options)->history;
    ((double *)slots->sy)[next] = sy;
    scalars->gamma = sy / yy;
    scalars->next = (double)((next + 1) % ((int64_t)history + 1));
    scalars->pairs += scalars->pairs < history;
}

static inline sw_status lbfgs_vector(sw_step *step) {
    lbfgs_scalars *scalars = SW_STEP_SCALARS(step, lbfgs_scalars);
    const lbfgs_slots *slots = SW_STEP_SLOTS(step, lbfgs_slots);
    const double *sy = slots->sy;
    double alpha[LBFGS_MOST];
    void *q = step->out;
    sw_step_scale(step, 1, step->g, q);
    sw_step_axpy(step, SW_STEP_OPTIONS(step, lbfgs_options)->weight_decay, step->x, q);
    if (step->x_written || scalars->frozen != (double)step->frozen_set)
        scalars->known = scalars->pairs = 0;
    if (scalars->known != 0)
        lbfgs_add_pair(step, q);
    sw_step_scale(step, 1, step->x, slots->x_last);
    sw_step_scale(step, 1, q, slots->g_last);
    scalars->known = 1;
    scalars->frozen = (double)step->frozen_set;

    const int pairs = (int)scalars->pairs;
    for (int k = 0; k < pairs; k++) {
        const int64_t i = lbfgs_row(step, k);
        alpha[k] = sw_step_dot(step, sw_step_row(step, slots->s, i), q) / sy[i];
        sw_step_axpy(step, -alpha[k], sw_step_row(step, slots->y, i), q);
    }
    if (pairs > 0)
        sw_step_scale(step, scalars->gamma, q, q);
    for (int k = pairs - 1; k >= 0; k--) {
        const int64_t i = lbfgs_row(step, k);
        const double beta = sw_step_dot(step, sw_step_row(step, slots->y, i), q) / sy[i];
        sw_step_axpy(step, alpha[k] - beta, sw_step_row(step, slots->s, i), q);
    }
    sw_step_scale(step, -1, q, step->out);
    return SW_OK;
}

static const sw_rule proto_lbfgs = {.size = sizeof(sw_rule),
                                    .name = "proto_lbfgs",
                                    .summary = "limited-memory BFGS",
                                    .source = "Liu, Nocedal 1989",
                                    .options = lbfgs_option_table,
                                    .slots = lbfgs_slot_table,
                                    .scalars = lbfgs_scalar_names,
                                    .unit = SW_UNIT_VECTOR,
                                    .flags = SW_RULE_LINEAR | SW_RULE_PENALTY | SW_RULE_EXACT_GRADIENT,
                                    .vector = lbfgs_vector};

#endif
