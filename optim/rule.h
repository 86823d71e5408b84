/* Rules update x from the gradient. */
#ifndef SWALE_RULE_H
#define SWALE_RULE_H

#include <swale/method.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sw_unit {
    SW_UNIT_ELEMENT = 0, /* elementwise: the kernel `update` processes contiguous ranges of x */
    SW_UNIT_TENSOR       /* `tensor` processes one parameter per call, `part` one part of a parameter */
} sw_unit;

enum {
    SW_RULE_LINEAR = 1, /* the step is the learning rate (option "lr") times a direction */
    SW_RULE_PENALTY = 2, /* its option weight_decay adds λx to the gradient, so that the penalty λ/2 ‖x‖² is a part of
                          * the objective. The step sizes of estimators and tests of convergence include it. If the rule
                          * has options l1, nonnegative, low and high, tests of convergence treat them as those of
                          * sgd */
    SW_RULE_EXACT_GRADIENT = 4, /* errors of gradients accumulate in its steps, so that it needs an estimator with
                                 * SW_ESTIMATOR_EXACT */
    SW_RULE_PROXIMAL_SGD = 8 /* it has all options of sgd, with the same names and meanings. With momentum = 0 its step
                              * is θ ← prox(θ - lr (g + λθ)), where θ is x, or x + x_low if x_low is not NULL. The
                              * pipeline may therefore store x in two numbers, and estimators may take such steps in
                              * one loop (sw_estimator.run) */
};

/* ---- Options that several rules have ---- */

#define SW_OPTION_WEIGHT_DECAY_UP_TO(most)                                                              \
    {                                                                                                   \
        .name = "weight_decay", .value = 0, .low = 0, .high = most, .help = "λ, added to the gradient", \
        .search_low = 1e-6, .search_high = 1e-2, .search_log = true                                     \
    }
#define SW_OPTION_WEIGHT_DECAY SW_OPTION_WEIGHT_DECAY_UP_TO(1e6)
/* For rules that divide by the root of a mean or sum of squares. PyTorch adds ε to the root; some papers add it to the
 * squares. Without ε the quotient would be 0/0 for a gradient of 0: the range of eps therefore begins at 1e-30, which
 * f32 can represent. */
#define SW_OPTION_EPS_IN_ROOT(default_value) \
    { .name = "eps_in_root", .kind = SW_OPTION_BOOL, .value = default_value, .help = "√(v + ε) instead of √v + ε" }

typedef struct sw_rule {
    size_t size; /* sizeof(sw_rule) */
    const char *name, *summary, *source;
    const sw_option *options;
    const sw_slot *slots;                     /* ends with a NULL name; NULL: none */
    sw_status (*check)(const double *option); /* an error if options exclude each other; may be NULL */
    const char *const *scalars;               /* names, ending with NULL; NULL: none. Scalars are initially 0; `begin`
                                 * may set other values when step is 1. Only scalars with a name may be written */
    sw_unit unit;
    unsigned flags;
    /* The following functions are called for each group in each step, in this order. All except `update`, or
     * `tensor` or `part`, may be NULL. Only `begin` and `decide` may return SW_SKIPPED. The hooks at the end of the
     * struct are called before and after them. */
    sw_status (*begin)(sw_step *step);
    const sw_kernels *measure; /* adds to its sums, from x, g and slots, which it does not change */
    int sums;                  /* the number of these sums: 0 to SW_MAX_SUMS */
    /* sums: totals over all groups that have this rule. SW_SKIPPED skips the step for all groups. */
    sw_status (*decide)(sw_step *step, const double *sums);
    const sw_kernels *update;                                  /* SW_UNIT_ELEMENT */
    sw_status (*tensor)(sw_step *step);                        /* SW_UNIT_TENSOR */
    size_t (*workspace)(const sw_param *param, sw_dtype type); /* bytes of step->workspace in `tensor` */
    /* Writes to `out` the vector at which the model should be evaluated, if it is not x; x does not change. It may read
     * option, scalar, slot and step of the last step, but not g. NULL: the vector is x. */
    const sw_kernels *point;
    double cost; /* the number of passes over memory of the size of x in a step, for the list; 0: x, g and the slots are
                  * read once, x and the slots written once */
    /* Computes the bounds after the step from those before it. It may read option, scalar, coefficient, step, type and
     * count of the coming update, and which slots are NULL, but no vector. With it, x and the slots need no check after
     * the step as long as the bounds are finite. NULL: every step copies x and the slots, and reads them again after
     * the update, which takes memory and about twice the time. */
    void (*reach)(const sw_step *step, sw_bounds *bounds);
    /* With SW_RULE_LINEAR: returns the reason why the step is not linear in lr with these options, or NULL if it is.
     * NULL: the step is linear with all options. */
    const char *(*not_linear)(const double *option);

    /* ---- Hooks: each may be NULL ---- */

    /* Whether the rule can update this parameter. Called for each parameter of the rule's groups, frozen ones too, when
     * the optimizer is made, before sizes of slots are asked for; `option` as in the spec. If it cannot, the function
     * writes the reason into `reason` (sw_format), for example "it has 1 axis, and 2 are needed". The optimizer is then
     * refused with SW_ERR_ARGUMENT; the message names the rule, every such parameter with its shape and reason, and
     * selectors that give these parameters to another rule. NULL: the rule can update every parameter. */
    bool (*fits)(const sw_param *param, const double *option, sw_dtype type, char *reason, size_t bytes);

    /* Unit TENSOR: the update of a parameter in independent parts, such as the blocks of a matrix or the heads of an
     * attention layer. `parts` returns how many parts a parameter has, 0 or more; it is called when the optimizer is
     * made, with `option` as in the spec. `part` updates part number `part`, from 0. If the rule has `tensor` too, that
     * function runs first, for one parameter after the other, as preparation.
     *
     * The parts of all parameters of a group are one list of work items, the most expensive ones first, which the
     * library's threads share (sw_parallel_items). So a part must write only its own elements of x and of the slots,
     * and read none that other parts write; then results have the same bits for every number of threads. Functions such
     * as sw_gemm may be called, and compute on the thread of the part.
     *
     * `step` is that of the whole parameter: param, count, x, g and the slots at its first element. `workspace` and
     * worker->scratch are the same memory, of part_workspace bytes, aligned to SW_ALIGNMENT, whose contents are not
     * defined at the beginning of a part. Parts read scalars and coefficients; only begin and decide may write them. A
     * part that fails calls sw_fail, as everywhere. Of several that fail, the first in the list counts, whatever the
     * timing. SW_SKIPPED is an error. */
    int64_t (*parts)(const sw_param *param, const double *option, sw_dtype type);
    sw_status (*part)(sw_step *step, int64_t part, sw_worker *worker);
    /* Bytes of scratch that any part of the parameter needs. NULL: none. */
    size_t (*part_workspace)(const sw_param *param, const double *option, sw_dtype type);
    /* About how many multiplications and additions of a kernel's loop a part costs. Groups whose parts cost less than
     * SW_SERIAL together are run by the calling thread. NULL: a part has an equal share of the parameter's elements. */
    double (*part_cost)(const sw_param *param, const double *option, sw_dtype type, int64_t part);

    /* Once for each group after a step that was kept, as the last function of the step: the line search has chosen, the
     * average is updated, and the estimator has committed. Never after a step that was skipped or refused, nor for the
     * trials of a line search. A step of length 0 at a stationary point is kept.
     *
     * It sees what `begin` saw, with x after the step and the gradient g that the rule received; elements by
     * sw_step_run. It may write scalars and slots, for which `reach` must allow, and must not write x. If it fails, or
     * if a scalar or (without `reach`) a slot is Inf or NaN afterwards, the step may be partly done, as after an error
     * of an estimator's `commit`. SW_SKIPPED is an error. With `accepted` every step is taken by itself, never in a loop
     * of the estimator (sw_estimator.run). */
    sw_status (*accepted)(sw_step *step);

    /* The point of evaluation became x: once for each group after sw_optim_adopt_point has copied the vector of the
     * average, or of a rule's `point`, to the parameters. It is not called if that point is x already, nor when a
     * program or a file writes the parameters. A rule whose state belongs to the old x adapts it, as Schedule-Free sets
     * z = x.
     *
     * It sees option, scalar, coefficient and step of the last step, the new x and no g; elements by sw_step_run. It may
     * write scalars and slots, and must not write x. If it fails, or if a scalar or a slot is Inf or NaN afterwards, x,
     * slots and scalars are put back. SW_SKIPPED is an error. */
    sw_status (*adopted)(sw_step *step);
} sw_rule;

/* Registers a rule; finds one by name or by index: see Registration in method.h. */
SW_API sw_status sw_rule_register(const sw_rule *rule);
SW_API const sw_rule *sw_rule_find(const char *name);
SW_API const sw_rule *sw_rule_at(int index);

#ifdef __cplusplus
}
#endif
#endif
