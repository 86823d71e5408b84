/* Gradient blocks. */
#ifndef SWALE_PARAMS_GRADIENT_H
#define SWALE_PARAMS_GRADIENT_H

#include "core/params/weight.h"

/* data: the mean gradient, or, if `summed`, Σ weight/unit · gradient with the sum of the rounding errors in
 * `low` (f32 only). What a pass of a tape adds is counted once: see swi_binding. */
struct sw_gradient {
    sw_params *params;
    void *data, *owned; /* owned: NULL for a view */
    bool fresh, summed;
    bool several;           /* it holds more than one part since fresh */
    int64_t samples;        /* seen since fresh */
    swi_weight weight;      /* of all of them together */
    double unit;            /* the weight of a gradient that is added as it is, if summed */
    uint64_t serial;        /* of what it holds since it was fresh; never the same twice */
    bool apart;             /* a pass was run back more than once, for losses of other weights */
    float *low;             /* [dim], NULL before it is needed */
    unsigned char *written; /* [count]: holds a gradient since fresh */
};

/* Takes in another part: `weight` and `samples` of it. Fresh blocks become its own. An error leaves the
 * block as it is. */
sw_status swi_gradient_open(sw_gradient *g, const char *who, swi_weight weight, int64_t samples);
/* What gradients of a part that was taken in with this weight are multiplied by. */
double swi_gradient_factor(const sw_gradient *g, double weight);
/* Adds factor·from to n elements from `at` on, or stores it. */
void swi_gradient_add(sw_gradient *g, int64_t at, int64_t n, double factor, const void *from, bool store);
/* Turns a sum into the mean. */
void swi_gradient_close(sw_gradient *g);
/* The whole vector was written: the mean over a part, to which later passes add. */
void swi_gradient_filled(sw_gradient *g, swi_weight weight, int64_t samples);

#endif
