/* Rules: how x moves. */
#ifndef SWALE_RULE_H
#define SWALE_RULE_H

#include <swale/method.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sw_unit {
    SW_UNIT_ELEMENT = 0, /* each element by itself: kernels over stretches of the vector */
    SW_UNIT_TENSOR       /* a parameter at a time: `tensor` instead of the update kernel */
} sw_unit;

enum {
    SW_RULE_LINEAR = 1, /* the step is the learning rate (option "lr") times a direction */
    SW_RULE_PENALTY = 2, /* its option weight_decay adds λx to the gradient: the penalty λ/2 ‖x‖² is part of what is
                          * minimized. Estimators know of it (step sizes), and so do tests for convergence. These
                          * take its options l1, nonnegative, low and high, if it has them, as those of sgd */
    SW_RULE_EXACT_GRADIENT = 4, /* errors of gradients add up in its steps: for estimators that are EXACT */
    SW_RULE_PROXIMAL_SGD = 8 /* it has all options of sgd, with the same names and meanings. With momentum = 0 its step
                              * is θ ← prox(θ - lr (g + λθ)), of x + x_low where there is an x_low. So the pipeline may
                              * keep x in two numbers, and estimators may take such steps in a loop of their own */
};

/* ---- Options that several rules have ---- */

/* λ, added to the gradient */
#define SW_OPTION_WEIGHT_DECAY_UP_TO(most)                                                              \
    {                                                                                                   \
        .name = "weight_decay", .value = 0, .low = 0, .high = most, .help = "λ, added to the gradient", \
        .search_low = 1e-6, .search_high = 1e-2, .search_log = true                                     \
    }
#define SW_OPTION_WEIGHT_DECAY SW_OPTION_WEIGHT_DECAY_UP_TO(1e6)
/* Of rules that divide by the root of a mean or sum of squares. PyTorch adds ε to the root; some papers add it to the
 * squares. Without ε the quotient is 0/0 where a gradient is 0: the range of eps begins at 1e-30, which f32 holds. */
#define SW_OPTION_EPS_IN_ROOT(default_value) \
    { .name = "eps_in_root", .kind = SW_OPTION_BOOL, .value = default_value, .help = "√(v + ε) instead of √v + ε" }

typedef struct sw_rule {
    size_t size; /* sizeof(sw_rule) */
    const char *name, *summary, *source;
    const sw_option *options;
    const sw_slot *slots;                     /* ends with a NULL name; NULL: none */
    sw_status (*check)(const double *option); /* options that do not go together; NULL: all do */
    const char *const *scalars;               /* ends with NULL; NULL: none. They start at 0: `begin` sets others
                                 * when step is 1. One that is not named here may not be written */
    sw_unit unit;
    unsigned flags;
    /* Once for each group and step, in this order; all but the update may be NULL. Only begin and
     * decide may return SW_SKIPPED. */
    sw_status (*begin)(sw_step *step);
    const sw_kernels *measure; /* adds to `sums` numbers; reads x, g and slots, and moves none */
    int sums;                  /* 0 to SW_MAX_SUMS */
    /* sums: over all groups that have this rule. SW_SKIPPED ends the step for all. */
    sw_status (*decide)(sw_step *step, const double *sums);
    const sw_kernels *update;           /* SW_UNIT_ELEMENT */
    sw_status (*tensor)(sw_step *step); /* SW_UNIT_TENSOR */
    size_t (*workspace)(const sw_param *param, sw_dtype type);
    /* Another vector to evaluate at: fills out; x stays. Sees option, scalar, slot and step of the last
     * step, and no g. NULL: x. */
    const sw_kernels *point;
    double cost; /* passes over parameter-sized memory in a step, for the list; 0: x, g and the slots are
                  * read once, x and the slots written once */
    /* Bounds after the step, from those before it. Sees option, scalar, coefficient, step, type and count of the
     * coming update, and which slots there are; reads no vector. With it no step needs a check of its own: x and
     * the slots stay finite as long as the bounds are. NULL: every step keeps copies of x and of the slots, and
     * reads them again after the update, which takes memory and about twice the time. */
    void (*reach)(const sw_step *step, sw_bounds *bounds);
    /* With SW_RULE_LINEAR: why the step is not so with these options, or NULL. NULL: it is with all of them. */
    const char *(*not_linear)(const double *option);
} sw_rule;

/* Adds a rule, and lists all: see Registration in method.h. */
SW_API sw_status sw_rule_register(const sw_rule *rule);
SW_API const sw_rule *sw_rule_find(const char *name);
SW_API const sw_rule *sw_rule_at(int index);

#ifdef __cplusplus
}
#endif
#endif
