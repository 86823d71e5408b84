/* What all methods share: options, state, the step that their functions see. */
#ifndef SWALE_METHOD_H
#define SWALE_METHOD_H

#include <swale/extend.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A method is a constant with functions. It is registered once under its name and then used in specs
 * like the built-in ones.
 *
 * A function that fails calls sw_fail, whose message is what the program shows. Where it returns an error without
 * one, the message is that of the optimizer, and names the method and the function: "rule mine: begin returned
 * status 2 without a message". */

typedef enum sw_option_kind {
    SW_OPTION_REAL = 0,
    SW_OPTION_INTEGER,
    SW_OPTION_BOOL,     /* 0 or 1; also written true, false, or the bare name */
    SW_OPTION_CHOICE,   /* one of "a|b|c": its number from 0 */
    SW_OPTION_DURATION, /* in steps: "500", 0 or at least 1; "10%" of the run; "3ep" epochs. The last two as in
                         * exact arithmetic: 7% of 100 steps are 7, of 50 they are 3.5 */
    SW_OPTION_SPEC      /* the inner estimator of a wrapper; must be written last */
} sw_option_kind;

enum {
    SW_OPEN_LOW = 1, /* the end of the range is not in it */
    SW_OPEN_HIGH = 2,
    SW_OPTION_AUTO = 4 /* may also be written auto, which is NaN: the method finds a value */
};

typedef struct sw_option {
    const char *name;
    sw_option_kind kind;
    double value;     /* the default */
    double low, high; /* range */
    unsigned open;    /* SW_OPEN_LOW | SW_OPEN_HIGH */
    const char *choices;
    const char *help;
    double search_low, search_high; /* range for tuning; equal: not tuned */
    bool search_log;                /* … on a logarithmic scale */
    char unit; /* of a DURATION's default: 's' (or 0) steps, '%' of the run, 'e' epochs. SW_OPEN_LOW: more
                * than 0 is needed */
} sw_option;
/* Tables end with an option whose name is NULL. */

enum { SW_MAX_SLOTS = 8, SW_MAX_OPTIONS = 24, SW_MAX_SCALARS = 16, SW_MAX_COEFFICIENTS = 24, SW_MAX_SUMS = 8 };

typedef enum sw_slot_start { SW_START_ZERO = 0, SW_START_X /* a copy of x at the start */ } sw_slot_start;

/* What the size of a slot may depend on. */
typedef struct sw_slot_sizes {
    int64_t n, dim;            /* samples (estimators; else 0); parameters, or elements of `param` */
    int64_t features, outputs; /* of a generalized linear model; else 0 */
    const sw_param *param;     /* rules of unit TENSOR: whose slot it is; else NULL */
    const double *option;
    sw_dtype type; /* of the parameters */
} sw_slot_sizes;

/* The type of a slot's elements; REAL: that of the parameters. */
typedef enum sw_slot_type { SW_SLOT_REAL = 0, SW_SLOT_F32, SW_SLOT_F64, SW_SLOT_I32, SW_SLOT_U8 } sw_slot_type;

/* State of a method, zero at first. */
typedef struct sw_slot {
    const char *name;
    sw_slot_start start;
    sw_slot_type type;
    /* Elements; NULL: dim. For estimators, averages and rules of unit TENSOR (for each parameter: a
     * Shampoo-like rule asks for rows² of it); rules of unit ELEMENT have one for each element. A rule with a
     * `count` cannot have `measure` or `point`, because these see many parameters at once. A slot that starts
     * as x has dim elements. If the count of an average is 0, the slot is NULL. */
    int64_t (*count)(const sw_slot_sizes *sizes);
    bool (*needed)(const double *option); /* NULL: always; otherwise the slot may be NULL */
    bool added; /* in a later version: a file without it can be loaded, and the slot is then zero */
    /* Like `needed`, for what depends on the type of the parameters too. If both are given, both must be true. */
    bool (*needed_by)(const double *option, sw_dtype type);
} sw_slot;

/* ---- A step ---- */

/* What a rule's, or an average's, functions see. x, g and slot are at the first element of what is at
 * hand: a stretch of the vector with the same settings, or one parameter. Kernels (kernel.h) get it
 * as `args` and index from there. */
typedef struct sw_step {
    int64_t step;         /* this one's number, from 1; it counts the optimizer's steps, also those in
                           * which a parameter was frozen */
    const double *option; /* after schedules, in the order of the table */
    double *scalar;       /* in the order of the table, kept from step to step; a skipped step undoes
                           * what was written */
    double *coefficient;  /* [SW_MAX_COEFFICIENTS]: what `begin` works out for the kernels */
    sw_dtype type;
    int64_t count; /* elements at hand */
    void *x;
    const void *g;
    void *slot[SW_MAX_SLOTS];
    void *out;             /* `point`: where it goes */
    const sw_param *param; /* SW_UNIT_TENSOR: whose elements; else NULL */
    void *workspace;       /* SW_UNIT_TENSOR: workspace(param, type) bytes */
    void *x_low;           /* for built-in rules: in f32, the low-order part of x; or NULL */
} sw_step;

/* How far a step can go. Before the step x, g and slot[i] are bounds of the 2-norms of those vectors over the group,
 * and so of each element; `reach` replaces those of x and of the slots by bounds that hold after it. They need not
 * be tight: what matters is that they are bounds, and below 1e37 in use. */
typedef struct sw_bounds {
    int64_t count; /* elements of the vectors */
    double g;      /* of the gradient that the rule sees */
    double x, slot[SW_MAX_SLOTS];
    double largest; /* 0; `reach` adds the largest intermediate results of the loop, and the coefficients that it
                     * rounds to the type of x. An overestimate does no harm */
    double own;     /* the method's own number, kept from step to step: 0 at first, INFINITY after loading */
} sw_bounds;

/* ---- Registration ---- */
/* sw_rule_register and the like register a method, which must be a constant that stays. A name is taken once and holds no
 * blank and none of ; : = , . Options and slots each have names of their own; a default lies in its range. Thread-safe.
 * sw_rule_find and sw_estimator_find give NULL if there is no such name. sw_rule_at and the like give all there are, in the
 * order of sw_optim_list: index from 0; NULL beyond the last. */

#ifdef __cplusplus
}
#endif
#endif
