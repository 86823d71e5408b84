/* What all methods share: options, state, the step that their functions see. */
#ifndef SWALE_METHOD_H
#define SWALE_METHOD_H

#include <swale/extend.h>

#include <stddef.h>

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
    void *x_low;           /* SW_RULE_PROXIMAL_SGD: in f32, the low-order part of x; or NULL */
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

/* ---- Values by name ----
 *
 * A method reads its options, slots, coefficients and scalars through structs of its own, whose fields stand in the order
 * of the tables. The fields are all double; those of slots are all void *.
 *
 *     typedef struct lion_options {
 *         double lr, beta1, beta2, weight_decay;
 *     } lion_options;
 *     typedef struct lion_slots {
 *         void *m;
 *     } lion_slots;
 *
 *     const lion_options *o = SW_STEP_OPTIONS(step, lion_options);
 *     float *m = SW_STEP_SLOTS(step, lion_slots)->m;
 *
 *     static const sw_option lion_option_table[] = {{.name = "lr", …}, {.name = "beta1", …}, …, {0}};
 *     static const sw_slot lion_slot_table[] = {{.name = "m"}, {0}};
 *     SW_MATCH_OPTIONS(lion_options, lion_option_table);
 *     SW_MATCH_SLOTS(lion_slots, lion_slot_table);
 *
 * The SW_MATCH macros stop the compiler if a struct has not as many fields as its table has lines. Structs may be nested:
 * rules that share options share a struct of them. BOOL and CHOICE options are doubles too: `o->nesterov != 0`. */

/* From `const double *option`, as the functions `check`, `needed` and `factor` get it. */
#define SW_OPTIONS_AS(option, type) ((const type *)(const void *)(option))
#define SW_SCALARS_AS(scalar, type) ((type *)(void *)(scalar))
#define SW_STEP_OPTIONS(step, type) SW_OPTIONS_AS((step)->option, type)
#define SW_STEP_SCALARS(step, type) SW_SCALARS_AS((step)->scalar, type)
#define SW_STEP_SLOTS(step, type) ((const type *)(const void *)(step)->slot)
/* A struct with more than SW_MAX_COEFFICIENTS fields does not compile. */
#define SW_STEP_COEFFICIENTS(step, type) \
    ((type *)(void *)((step)->coefficient + 0 * sizeof(char[SW_FIELDS(type) <= SW_MAX_COEFFICIENTS ? 1 : -1])))
/* The number of a field of a struct of slots: the index in sw_step.slot. */
#define SW_SLOT_INDEX(type, field) ((int)(offsetof(type, field) / sizeof(void *)))
/* In `reach`: the bound of that slot, which can be assigned to. */
#define SW_SLOT_BOUND(bounds, type, field) ((bounds)->slot[SW_SLOT_INDEX(type, field)])
/* How many fields a struct of doubles has. */
#define SW_FIELDS(type) (sizeof(type) / sizeof(double))

#ifdef __cplusplus
#define SW_MATCH(type, field_size, table) \
    static_assert(sizeof(type) == (sizeof(table) / sizeof *(table)-1) * (field_size), #type " does not match " #table)
#else
#define SW_MATCH(type, field_size, table)                                                                 \
    _Static_assert(sizeof(type) == (sizeof(table) / sizeof *(table)-1) * (field_size), #type " does not " \
                                                                                             "match " #table)
#endif
#define SW_MATCH_OPTIONS(type, table) SW_MATCH(type, sizeof(double), table)
#define SW_MATCH_SCALARS(type, names) SW_MATCH(type, sizeof(double), names)
#define SW_MATCH_SLOTS(type, table) SW_MATCH(type, sizeof(void *), table)

/* ---- Durations ----
 *
 * Options of kind DURATION reach methods in steps and may have a fraction: 7% of 50 steps are 3.5. */

/* A number of steps that is whole up to rounding, made whole. */
SW_API double sw_duration_exact_steps(double steps);
/* Rounded up to whole steps: 0.2% of 1234 is 3. */
SW_API double sw_duration_whole_steps(double steps);
/* ⌊t/length⌋ as in exact arithmetic: the number of periods that are complete at step t. */
SW_API double sw_duration_periods(double t, double length);
/* Whether a step is a multiple of `every` and not before `start`; both are rounded up to whole steps. */
SW_API bool sw_duration_is_due(int64_t step, double start, double every);

/* ---- Registration ---- */
/* sw_rule_register and the like register a method, which must be a constant that stays. A name is taken once and holds no
 * blank and none of ; : = , . Options and slots each have names of their own; a default lies in its range. Thread-safe.
 * sw_rule_find and sw_estimator_find give NULL if there is no such name. sw_rule_at and the like give all there are, in the
 * order of sw_optim_list: index from 0; NULL beyond the last. */

#ifdef __cplusplus
}
#endif
#endif
