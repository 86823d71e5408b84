/* Declarations that all methods share: options, state, and the step that is passed to their functions. */
#ifndef SWALE_METHOD_H
#define SWALE_METHOD_H

#include <swale/extend.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A method is a constant struct with pointers to functions. It is registered once under its name, and specs can then
 * name it like the built-in methods.
 *
 * A function that fails calls sw_fail with the message for the program. If it returns an error without a message, the
 * optimizer writes one that names the method and the function: "rule mine: begin returned status 2 without a
 * message". */

typedef enum sw_option_kind {
    SW_OPTION_REAL = 0,
    SW_OPTION_INTEGER,
    SW_OPTION_BOOL,     /* 0 or 1; a spec may also contain true, false, or only the name, which means 1 */
    SW_OPTION_CHOICE,   /* one of "a|b|c"; the value is its index from 0 */
    SW_OPTION_DURATION, /* steps ("500"; 0 or at least 1), a percentage of the run ("10%"), or epochs ("3ep"). The last
                         * two are converted to steps as in exact arithmetic: 7% of 100 steps is 7, 7% of 50 is 3.5 */
    SW_OPTION_SPEC /* the inner estimator of a wrapper, "minibatch" by default. All of the text after it belongs to the
                         * inner spec, so that it is the last option in a spec */
} sw_option_kind;

enum {
    SW_OPEN_LOW = 1,              /* the range does not contain `low` */
    SW_OPEN_HIGH = 2,             /* the range does not contain `high` */
    SW_OPTION_AUTO = 4,           /* a spec may contain "auto"; the value is NaN then, and the method determines it */
    SW_OPTION_SHARED = 8,         /* an option of a rule that computes one step for all of its groups together: all
                                   * groups of the rule must have the same value */
    SW_OPTION_SHARED_OR_ZERO = 16 /* as SW_OPTION_SHARED, but some of the groups may have the value 0 */
};

typedef struct sw_option {
    const char *name;
    sw_option_kind kind;
    double value;     /* the default */
    double low, high; /* range */
    unsigned open;    /* SW_OPEN_LOW | SW_OPEN_HIGH */
    const char *choices;
    const char *help;
    double search_low, search_high; /* the range of a search of hyperparameters; if equal, the option is not searched */
    bool search_log;                /* the search uses a logarithmic scale */
    char unit; /* the unit of the default of a DURATION: 's' or 0 for steps, '%' of the run, 'e' for epochs. With
                * SW_OPEN_LOW the duration must be above 0 */
} sw_option;
/* Tables end with an option whose name is NULL. */

enum { SW_MAX_SLOTS = 8, SW_MAX_OPTIONS = 24, SW_MAX_SCALARS = 16, SW_MAX_COEFFICIENTS = 24, SW_MAX_SUMS = 8 };

/* The initial value of a slot: zero, or a copy of x. */
typedef enum sw_slot_start { SW_START_ZERO = 0, SW_START_X } sw_slot_start;

/* The quantities on which the size of a slot may depend. */
typedef struct sw_slot_sizes {
    int64_t n;                 /* the number of samples, for estimators; else 0 */
    int64_t dim;               /* the number of elements of x, or of `param` if it is not NULL */
    int64_t features, outputs; /* of a generalized linear model; else 0 */
    const sw_param *param;     /* for rules of unit TENSOR: the parameter that the slot belongs to; else NULL */
    const double *option;
    sw_dtype type; /* of the parameters */
} sw_slot_sizes;

/* The type of a slot's elements. SW_SLOT_REAL is the type of the parameters. */
typedef enum sw_slot_type { SW_SLOT_REAL = 0, SW_SLOT_F32, SW_SLOT_F64, SW_SLOT_I32, SW_SLOT_U8 } sw_slot_type;

/* A vector of a method's state. */
typedef struct sw_slot {
    const char *name;
    sw_slot_start start;
    sw_slot_type type;
    /* Returns the number of elements; NULL: dim. Estimators, averages and rules of unit TENSOR or VECTOR may have it.
     * For a rule of unit TENSOR it is called for each parameter (a Shampoo-like rule returns rows²), for a rule of unit
     * VECTOR once, with the dim of its group (L-BFGS returns pairs·dim). Rules of unit ELEMENT have one element for
     * each element of x. A rule with `count` cannot have `measure` or `point`, because these functions process
     * contiguous ranges of x, and such a slot has no ranges that correspond to them. A slot that starts as x has dim
     * elements. If the count of an average is 0, the slot is NULL. */
    int64_t (*count)(const sw_slot_sizes *sizes);
    /* Whether the slot is made; if false, it is NULL (`start` of an estimator may still make it: see
     * sw_estimate_make_slot). NULL: always. */
    bool (*needed)(const double *option);
    bool added; /* the slot was added in a later version: a file without it can be loaded, and the slot is zero then */
    /* As `needed`, if the decision also depends on the type of the parameters. If both are given, both must be true. */
    bool (*needed_by)(const double *option, sw_dtype type);
    /* For rules of unit VECTOR: scalars state which elements of the slot are valid. Because scalars are restored if a
     * step is not taken, the elements need not be restored. An example is a ring buffer of vectors with a spare vector,
     * to which a step writes. The slot is then not copied in every step. It is not checked for Inf and NaN, which
     * invalid elements may contain. */
    bool valid_by_scalars;
} sw_slot;

/* ---- A step ---- */

/* The argument of the functions of a rule or an average. A call processes either contiguous elements of x that share
 * all options, or one parameter, or all parameters of a group (SW_UNIT_VECTOR); x, g and slot point to the first of
 * these elements. Kernels (kernel.h) receive this struct as `args`, and add their index to these pointers. */
typedef struct sw_step {
    int64_t step;         /* the number of this step, from 1; it counts the steps of the optimizer, including those in
                           * which a parameter was frozen */
    const double *option; /* after schedules, in the order of the table */
    double *scalar;       /* in the order of the table; initially 0, kept from step to step. If the step is skipped, the
                           * values before the step are restored */
    double *coefficient;  /* [SW_MAX_COEFFICIENTS]: numbers that `begin` computes for the kernels */
    sw_dtype type;
    int64_t count; /* the number of elements to process */
    void *x;
    const void *g;
    void *slot[SW_MAX_SLOTS];
    void *out;             /* the output of `point`, and of `vector`: the direction */
    const sw_param *param; /* SW_UNIT_TENSOR: the parameter to process; else NULL */
    void *workspace;       /* SW_UNIT_TENSOR: workspace(param, type) bytes; in `part` the worker's scratch;
                            * SW_UNIT_VECTOR: the sum of workspace(param, type) over the parameters of the group */
    void *x_low;           /* SW_RULE_PROXIMAL_SGD: in f32, the low-order part of x; or NULL */
    void *group;           /* private, for sw_step_run */
    /* The next two are set in `vector`, and in `accepted` and `adopted` of rules of SW_UNIT_VECTOR; otherwise they are
     * 0. A copy of x or g that the rule keeps from an earlier step does not belong to this step if the program has
     * written to x, or if frozen_set differs from its value in the last step. */
    int64_t frozen_set; /* the set of frozen parameters of the group, as an integer below 2^53: keep it in a scalar */
    bool x_written;     /* the program has written to x since the last step that was taken, or that step did not call
                         * `vector`, because all parameters of the group were frozen */
} sw_step;

/* Runs a kernel over the elements of all parameters of a group that are not frozen. Only `accepted` and `adopted` of a
 * rule may call it, because they receive the step of a whole group; elsewhere it fails with SW_ERR_STATE. The kernel
 * receives as `args` a step as in `update`: for contiguous elements of x, and with SW_UNIT_TENSOR for one parameter. */
SW_API sw_status sw_step_run(const sw_step *step, const sw_kernels *kernels);
/* The same for rules of SW_UNIT_TENSOR, and also for frozen parameters, whose x and slots a kernel must not change: for
 * sums over the state of a group, which freezing a parameter should not change. */
SW_API sw_status sw_step_run_with_frozen(const sw_step *step, const sw_kernels *kernels);

/* Bounds of the result of a step. Before the step, x, g and slot[i] are upper bounds of the 2-norms of these vectors
 * over the group, and therefore of the absolute value of each element. `reach` replaces those of x and of the slots by
 * bounds that hold after the step. They need not be tight, but they must be bounds, and in normal use below 1e37. */
typedef struct sw_bounds {
    int64_t count; /* elements of the vectors */
    double g;      /* of the gradient that the rule receives */
    double x, slot[SW_MAX_SLOTS];
    double largest; /* initially 0; `reach` adds the largest intermediate results of the loop, and the coefficients
                     * that are rounded to the type of x. It may be too large */
    double own;     /* a number of the method, kept from step to step: initially 0; INFINITY after loading */
} sw_bounds;

/* ---- Values by name ----
 *
 * A method reads its options, slots, coefficients and scalars through structs that it defines, with the fields in the
 * order of the tables. All fields are double; in structs of slots, all are void *.
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
 * The SW_MATCH macros are a compile-time error if the number of fields differs from the number of lines of the table.
 * Structs may be nested: rules with common options share a struct. BOOL and CHOICE options are doubles too:
 * `o->nesterov != 0`. */

/* Converts `const double *option`, which the functions `check`, `needed` and `factor` receive. */
#define SW_OPTIONS_AS(option, type) ((const type *)(const void *)(option))
#define SW_SCALARS_AS(scalar, type) ((type *)(void *)(scalar))
#define SW_STEP_OPTIONS(step, type) SW_OPTIONS_AS((step)->option, type)
#define SW_STEP_SCALARS(step, type) SW_SCALARS_AS((step)->scalar, type)
#define SW_STEP_SLOTS(step, type) ((const type *)(const void *)(step)->slot)
/* A struct with more than SW_MAX_COEFFICIENTS fields does not compile. */
#define SW_STEP_COEFFICIENTS(step, type) \
    ((type *)(void *)((step)->coefficient + 0 * sizeof(char[SW_FIELDS(type) <= SW_MAX_COEFFICIENTS ? 1 : -1])))
/* The index in sw_step.slot of a field of a struct of slots. */
#define SW_SLOT_INDEX(type, field) ((int)(offsetof(type, field) / sizeof(void *)))
/* In `reach`: the bound of a slot, as an lvalue. */
#define SW_SLOT_BOUND(bounds, type, field) ((bounds)->slot[SW_SLOT_INDEX(type, field)])
/* The number of fields of a struct of doubles. */
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
 * Methods receive options of kind DURATION in steps, possibly with a fraction: 7% of 50 steps is 3.5. */

/* Rounds a number of steps to the nearest integer if it differs from it only by rounding errors; else returns it. */
SW_API double sw_duration_exact_steps(double steps);
/* Rounds a number of steps up to an integer: 0.2% of 1234 steps is 3. */
SW_API double sw_duration_whole_steps(double steps);
/* ⌊t/length⌋ as in exact arithmetic: the number of periods that are complete at step t. */
SW_API double sw_duration_periods(double t, double length);
/* Whether a step is a multiple of `every` and not before `start`; both are rounded up to whole steps. */
SW_API bool sw_duration_is_due(int64_t step, double start, double every);

/* ---- Registration ---- */
/* sw_rule_register and the corresponding functions of the other kinds register a method, which must remain valid and
 * constant until the program ends. A name can be registered once, and contains no blank and none of the characters
 * ; : = and comma. The names of options are unique within a method, and so are those of slots. A default is within its
 * range. The functions are thread-safe. sw_rule_find and sw_estimator_find return NULL for an unknown name. sw_rule_at
 * and the corresponding functions return the method with an index from 0, in the order of sw_optim_list, and NULL
 * beyond the last. */

#ifdef __cplusplus
}
#endif
#endif
