/* Line searches determine the length of a step along the direction of the rules. */
#ifndef SWALE_LINE_SEARCH_H
#define SWALE_LINE_SEARCH_H

#include <swale/method.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A search from x along the direction d: f(α) = f(x + α d). f is the objective of the step: the mean loss of its
 * samples, and the penalty λ/2 ‖x‖² of the groups whose rules have SW_RULE_PENALTY, frozen parameters excluded. d is
 * the step of the rule with lr = 1; with several groups, the lr of each group is divided by the largest lr. For rules
 * of unit VECTOR d is exact; for other rules its precision is limited by the rounding of x, so that in f32 α must not
 * be much larger than 1.
 *
 * Slopes are ⟨∇f, d⟩ with the true gradient of f, even if the rule receives another gradient: one that a wrapper has
 * changed (SAM), or a clipped one. If the wrapper does not evaluate it at x, a step costs one more gradient.
 *
 * With the estimator full and an objective that is `fixed` (objective.h), a step does not compute the gradient at its
 * start if it is that of the last trial of the step before. Then n trials cost n gradients, and the first step one
 * more. A program that changes such an objective calls sw_params_mark_changed, after which the gradient is computed
 * again. */
typedef struct sw_search sw_search;
struct sw_search {
    const double *option;
    double *scalar;      /* kept from step to step */
    double value, slope; /* f(0), with the penalty; f'(0) < 0 */
    double initial;      /* the first guess: the largest lr of the rules */
    void *optim;
};
/* Computes f(α) and f'(α). They may be Inf or NaN, with SW_OK; the search should then try a smaller α. slope NULL:
 * computes only the value, without a backward pass. */
SW_API sw_status sw_search_eval(sw_search *search, double alpha, double *value, double *slope);

typedef struct sw_line_search {
    size_t size; /* sizeof(sw_line_search) */
    const char *name, *summary, *source;
    const sw_option *options;
    const char *const *scalars;
    sw_status (*search)(sw_search *search, double *alpha); /* SW_SKIPPED if it finds no step */
    sw_status (*check)(const double *option);              /* an error if options exclude each other; may be NULL */
    const char *cost;                                      /* of a trial, for the list: "1 value"; may be NULL */
} sw_line_search;

/* Registers a line search; returns one by index: see Registration in method.h. */
SW_API sw_status sw_line_search_register(const sw_line_search *search);
SW_API const sw_line_search *sw_line_search_at(int index);

#ifdef __cplusplus
}
#endif
#endif
