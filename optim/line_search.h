/* Line searches: how far along the direction of the rules. */
#ifndef SWALE_LINE_SEARCH_H
#define SWALE_LINE_SEARCH_H

#include <swale/method.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A search along the rule's direction d from x: f(α) = f(x + α d), on the step's samples. d is the
 * rule's step at lr = 1 (with several groups: their learning rates over the largest): exact to the rounding
 * of x, so that f32 wants α of moderate size. */
typedef struct sw_search sw_search;
struct sw_search {
    const double *option;
    double *scalar;      /* kept from step to step */
    double value, slope; /* f(0), f'(0) < 0 */
    double initial;      /* the rule's lr, of several the largest: a first guess */
    void *optim;
};
/* f(α) and f'(α); Inf and NaN are handed back as they are, with SW_OK: the search shrinks. slope NULL: the
 * value alone, without a backward pass. */
SW_API sw_status sw_search_eval(sw_search *search, double alpha, double *value, double *slope);

typedef struct sw_line_search {
    size_t size; /* sizeof(sw_line_search) */
    const char *name, *summary, *source;
    const sw_option *options;
    const char *const *scalars;
    sw_status (*search)(sw_search *search, double *alpha); /* SW_SKIPPED: no step */
    sw_status (*check)(const double *option);              /* options that do not go together; NULL: all do */
    const char *cost;                                      /* of a trial, for the list: "1 value"; may be NULL */
} sw_line_search;

/* Adds a line search, and lists all: see Registration in method.h. */
SW_API sw_status sw_line_search_register(const sw_line_search *search);
SW_API const sw_line_search *sw_line_search_at(int index);

#ifdef __cplusplus
}
#endif
#endif
