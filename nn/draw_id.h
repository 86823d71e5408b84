/* Random ids with the probabilities that logits give (draw_id.c). */
#ifndef SWALE_NN_DRAW_ID_H
#define SWALE_NN_DRAW_ID_H

#include <swale/array.h>
#include <swale/generate.h>
#include <swale/random.h>

/* One id and its logit, later its probability. */
typedef struct swn_candidate {
    double value;
    int32_t id;
} swn_candidate;

/* Draws an id from the `count` logits that begin at element `first`, by temperature, top_k and top_p. candidates[count]
 * is scratch. A negative result and an error (SW_ERR_NONFINITE) if a logit is NaN or +Inf, or if all are -Inf. */
int64_t swn_draw_id(const sw_array *logits, int64_t first, int64_t count, const sw_generate_options *options,
                    sw_rng *rng, swn_candidate *candidates);

#endif
