/* The code that the Prodigy rules share (Mishchenko, Defazio, Prodigy: An expeditiously adaptive parameter-free
 * learner, ICML 2024): the estimate d of the distance from the start to a solution, by which the learning rate η is
 * multiplied. d is common to all groups of the rule:
 *     ρ = d η
 *     r ← √β2 r + d/d⁰ ρ ⟨g, θ⁰ - θ⟩           over all groups
 *     s ← √β2 s + d/d⁰ ρ g
 *     d̂ = d_coef r/‖s‖₁                       over all groups
 *     d ← max(d, d̂) if d = d⁰;   d_max ← max(d_max, d̂);   d ← min(d_max, growth_rate d)
 * d⁰ is 1e-6 by default, and d may grow by a factor of 1e6 or more. The slots therefore hold s d⁰/d², m/d and v/d²,
 * with d of the last step, which have the size of g, g and g². A step multiplies them by powers of d'/d, where d' is d
 * of the step before.
 *
 * Without a gradient, or with η = 0, in all steps so far, ‖s‖₁ is 0. The rule then waits: it changes neither the
 * parameters nor its state, and does not count the step. The step is not skipped, because other groups may move, which
 * gives the parameters of this rule a gradient. A group with η = 0 waits too, while the others move.
 */
#ifndef SWALE_RULES_PRODIGY_H
#define SWALE_RULES_PRODIGY_H

#include <swale/rule.h>

#include <math.h>

/* Options of both rules; those of adam_options are before them. */
typedef struct prodigy_estimate {
    double d0, d_coef, growth_rate;
} prodigy_estimate;

typedef struct prodigy_scalars {
    double d, d_max, numerator; /* d of the next step; d_max; r */
    double k;                   /* steps in which the rule did not wait */
    double d_of_state;          /* d of the last step in which this group did not wait */
} prodigy_scalars;
#define PRODIGY_SCALARS "d", "d_max", "numerator", "k", "d_of_state"

/* In the slots' units. */
typedef struct prodigy_coefficients {
    double rho;             /* ρ */
    double keep, keep_v;    /* d'/d; β2 (d'/d)² */
    double s_keep, s_fresh; /* s ← s_keep s + s_fresh g */
    double unit;            /* d²/d⁰: ‖s‖₁ in units of the slot */
    double inner_unit;      /* d/d⁰ ρ */
    double growth;          /* d of the next step, divided by d */
    double waits;           /* 1: the group waits in this step */
} prodigy_coefficients;

typedef struct prodigy_sums {
    double inner; /* d/d⁰ ρ ⟨g, θ⁰ - θ⟩ */
    double norm;  /* ‖s‖₁ after the step */
} prodigy_sums;

/* clang-format off */
#define PRODIGY_ESTIMATE                                                                                       \
    {.name = "d0", .value = 1e-6, .low = 0, .high = 1e6, .open = SW_OPEN_LOW | SW_OPTION_SHARED,               \
     .help = "d⁰, the first estimate of the distance, far below it"},                                          \
    {.name = "d_coef", .value = 1, .low = 0, .high = 1e6, .open = SW_OPEN_LOW | SW_OPTION_SHARED,              \
     .help = "factor of the estimate d", .search_low = 0.25, .search_high = 4, .search_log = true},            \
    {.name = "growth_rate", .value = (double)INFINITY, .low = 1, .high = (double)INFINITY,                     \
     .open = SW_OPTION_SHARED, .help = "the largest factor of d in a step; 1.02 is a kind of warm-up",         \
     .search_low = 1, .search_high = 1}
/* clang-format on */

/* For `begin`. eta: η times the bias correction, if any. s_rate: the rate of s, instead of eta. */
void swo_prodigy_begin(const prodigy_estimate *o, double beta2, double eta, double s_rate, prodigy_scalars *scalars,
                       prodigy_coefficients *coefficients);
/* For `decide`. */
void swo_prodigy_decide(const prodigy_estimate *o, double beta2, const double *sums, prodigy_scalars *scalars,
                        prodigy_coefficients *coefficients);

#endif
