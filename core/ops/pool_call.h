/* What the operations with a pool share: attributes, arguments, kernels. */
#ifndef SWALE_OPS_POOL_CALL_H
#define SWALE_OPS_POOL_CALL_H

#include <swale/pool_options.h>

#include "core/ops/pool_window.h"

enum { POOL_AXES = 2 };

typedef struct swi_pool_attributes {
    bool average;
    bool adaptive; /* `window` is the size of the result */
    bool global;   /* adaptive, with one window and the result [N,C] */
    int axes;      /* 2: pictures [N,H,W,C]; 1: sequences [N,L,C] */
    int64_t window[POOL_AXES];
    sw_pool_options options;
} swi_pool_attributes;

/* Sets the attributes of the operation `who` with windows and options (NULL: the defaults), which are checked later, by
 * the shape rule. False after an error. */
bool swi_pool_attributes_of(const char *who, bool average, int axes, const int64_t *window,
                            const sw_pool_options *options, swi_pool_attributes *attributes);

/* Whether an average pool of max(x, 0) saves the signs of x (pool_args.signs), so that its gradient does not read x:
 * windows of at most 4 elements that do not overlap. */
bool swi_pool_has_signs(const swi_pool_attributes *attributes);

/* The arguments for x and a result of these shapes, which are correct, without arrays. */
sw_status swi_pool_args_of(const char *who, const swi_pool_attributes *attributes, const int64_t *shape,
                           const int64_t *out_shape, pool_args *args);

/* The kernels of a pass; *rows: their items in a picture. */
const sw_kernels *swi_pool_kernels(const swi_pool_attributes *attributes, const pool_args *args, bool backward,
                                   int64_t *rows);

#endif
