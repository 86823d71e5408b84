/* Rules that are sgd without momentum. */
#ifndef SWALE_OPTIM_PLAIN_SGD_H
#define SWALE_OPTIM_PLAIN_SGD_H

#include <swale/optim.h>

/* Rules as an estimator's loop of steps wants them: sgd without momentum, each stretch of x with its options. */
enum { SWO_PLAIN = 8 };
typedef struct swo_plain_rules {
    struct {
        int64_t offset, count;
        double lr, decay; /* lr NaN: what the estimator proposes */
        bool moves;       /* not frozen */
        bool proximal;    /* l1 or bounds */
        double l1, low, high;
    } stretch[SWO_PLAIN];
    int stretches;                                             /* in the order of x, all of it together */
    sw_status (*took)(void *user, double loss, double weight); /* after each step */
    void *user;
} swo_plain_rules;

bool swo_rules_are_plain(const sw_optim *o);
/* x from its begin to its end; false: there are too many stretches, or elements of no group. */
bool swo_plain_stretches(const sw_optim *o, swo_plain_rules *rules);
/* The low-order part of x, so that x + x_low is what compensated summation of the moves gives. The rules of the coming
 * step update it, as loops do, if they are sgd without momentum, in f32, on samples in memory. Otherwise NULL, and
 * x_low becomes 0. It also becomes 0 if x was written from outside. */
void *swo_x_low(sw_optim *o);

#endif
