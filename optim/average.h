/* Averages: which point is evaluated. */
#ifndef SWALE_AVERAGE_H
#define SWALE_AVERAGE_H

#include <swale/method.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Moves after each step, reading x. Kernels get an sw_step without g. */
typedef struct sw_average {
    size_t size; /* sizeof(sw_average) */
    const char *name, *summary, *source;
    const sw_option *options;
    const sw_slot *slots;
    const char *const *scalars;
    sw_status (*begin)(sw_step *step); /* SW_SKIPPED: nothing to do in this step */
    const sw_kernels *update;
    sw_status (*point_begin)(sw_step *step); /* before `point`, at the last step; SW_SKIPPED: at x */
    const sw_kernels *point;                 /* fills out; NULL: slot 0 is the point */
    /* As of a rule; x is the bound after the step, and there is no g. Sees the options alone. NULL: x and all
     * slots are copied before each step, and the average's slots are checked after it. If it is given there are
     * no copies: when `begin` fails, or sets a scalar or coefficient that is not finite, the step is partly done. */
    void (*reach)(const sw_step *step, sw_bounds *bounds);
    /* Of averages that are a running mean and nothing else: slot 0 is the mean e, and in f32 slot 1 is its low-order part;
     * `update` is e ← e + w (x - e), where w is what this gives from the coefficients of `begin`. Estimators may then
     * take many steps in a loop of their own. NULL: the average is not of this form. */
    double (*weight)(const double *coefficient);
} sw_average;

/* Adds an average, and lists all: see Registration in method.h. */
SW_API sw_status sw_average_register(const sw_average *average);
SW_API const sw_average *sw_average_at(int index);

#ifdef __cplusplus
}
#endif
#endif
