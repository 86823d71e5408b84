/* Averages determine the point at which the model is evaluated. */
#ifndef SWALE_AVERAGE_H
#define SWALE_AVERAGE_H

#include <swale/method.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An average is updated after each step, and reads x. Its kernels receive an sw_step without g. */
typedef struct sw_average {
    size_t size; /* sizeof(sw_average) */
    const char *name, *summary, *source;
    const sw_option *options;
    const sw_slot *slots;
    const char *const *scalars;
    sw_status (*begin)(sw_step *step); /* SW_SKIPPED: no update in this step */
    const sw_kernels *update;
    sw_status (*point_begin)(sw_step *step); /* called before `point`, with the last step; SW_SKIPPED: the point is x */
    const sw_kernels *point;                 /* writes to out; NULL: slot 0 is the point */
    /* As `reach` of a rule (rule.h). bounds->x is the bound after the step, and bounds->g is not set. It may read only
     * the options. NULL: x and all slots are copied before each step, and the slots of the average are checked after
     * it. If it is given there are no copies: if `begin` fails, or sets a scalar or coefficient that is not finite, the
     * step is partly done. */
    void (*reach)(const sw_step *step, sw_bounds *bounds);
    /* For averages that are only a running mean: slot 0 is the mean e, and in f32 slot 1 is its low-order part;
     * `update` is e ← e + w (x - e), where `weight` returns w from the coefficients that `begin` set. Estimators may
     * then take many steps in one loop (sw_estimator.run). NULL: the average is not of this form. */
    double (*weight)(const double *coefficient);
} sw_average;

/* Registers an average; returns one by index: see Registration in method.h. */
SW_API sw_status sw_average_register(const sw_average *average);
SW_API const sw_average *sw_average_at(int index);

#ifdef __cplusplus
}
#endif
#endif
