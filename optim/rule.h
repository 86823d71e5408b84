/* Rules update x from the gradient. */
#ifndef SWALE_RULE_H
#define SWALE_RULE_H

#include <swale/method.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sw_unit {
    SW_UNIT_ELEMENT = 0, /* elementwise: the kernel `update` processes contiguous ranges of x */
    SW_UNIT_TENSOR,      /* `tensor` processes one parameter per call, `part` one part of a parameter */
    SW_UNIT_VECTOR       /* `vector` computes a direction for all parameters of a group in one call */
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
     * `tensor` or `part`, or `vector`, whichever the unit names, may be NULL. Only `begin` and `decide` may return
     * SW_SKIPPED. The hooks at the end of the struct are called at other times. */
    sw_status (*begin)(sw_step *step);
    const sw_kernels *measure; /* adds to its sums, from x, g and slots, which it does not change */
    int sums;                  /* the number of these sums: 0 to SW_MAX_SUMS */
    /* sums: totals over all groups that have this rule. SW_SKIPPED skips the step for all groups. */
    sw_status (*decide)(sw_step *step, const double *sums);
    const sw_kernels *update;                                  /* SW_UNIT_ELEMENT */
    sw_status (*tensor)(sw_step *step);                        /* SW_UNIT_TENSOR */
    size_t (*workspace)(const sw_param *param, sw_dtype type); /* bytes of step->workspace in `tensor` */
    /* Writes to `out` the vector at which the model should be evaluated, if it is not x; x does not change. It may read
     * option, scalar, coefficient, slot and step of the last step that was taken, but not g. NULL: the vector is x. */
    const sw_kernels *point;
    double cost; /* the number of passes over memory of the size of x in a step, for the list; 0: x, g and the slots are
                  * read once, x and the slots written once */
    /* Computes the bounds after the step from those before the step. It may read option, scalar, coefficient, step,
     * type and count of the coming update, and which slots are NULL, but no vector. With it, x and the slots need no
     * check after the step as long as the bounds are finite. NULL: every step copies x and the slots, and reads them
     * again after the update, which takes memory and about twice the time. */
    void (*reach)(const sw_step *step, sw_bounds *bounds);
    /* With SW_RULE_LINEAR: returns the reason why the step is not linear in lr with these options, or NULL if it is.
     * NULL: the step is linear with all options. */
    const char *(*not_linear)(const double *option);

    /* The members below are hooks. Each may be NULL. */

    /* Returns whether the rule can update this parameter. It is called when the optimizer is made, for each parameter
     * of the rule's groups (also frozen ones), before the sizes of slots are computed; `option` has the values of the
     * spec. If the rule cannot update the parameter, the function writes the reason to `reason` by sw_format, for
     * example "its rank is 1, and a matrix is needed". The optimizer is then refused with SW_ERR_ARGUMENT. The message
     * names the rule and every such parameter with its shape and the reason, and proposes a spec that gives these
     * parameters to another rule. NULL: the rule can update every parameter. */
    bool (*fits)(const sw_param *param, const double *option, sw_dtype type, char *reason, size_t bytes);

    /* SW_UNIT_TENSOR: the update of a parameter in independent parts, such as the blocks of a matrix or the heads of an
     * attention layer. `parts` returns the number of parts of a parameter, 0 or more. It is called when the optimizer
     * is made; `option` has the values of the spec. `part` updates one part; parts are counted from 0. If the rule also
     * has `tensor`, the pipeline first calls `tensor` for each parameter, one after the other, so that it can prepare
     * the parts.
     *
     * The parts of all parameters of a group form one list of work items (sw_parallel_items), which begins with the
     * most expensive ones, and which the library's threads share. A part must therefore write only its own elements of
     * x and of the slots, and must not read elements that other parts write. The results then have the same bits for
     * every number of threads. A part may call functions such as sw_gemm, which then compute on the thread of this
     * part.
     *
     * `step` describes the whole parameter: param, count, and x, g and the slots at its first element. `workspace` and
     * worker->scratch are the same memory of part_workspace bytes, aligned to SW_ALIGNMENT. Its contents are not
     * defined when a part begins. Parts read scalars and coefficients, which only `begin` and `decide` may write. If
     * several parts fail, the message is that of the first one in the list, whatever the timing of the threads. A part
     * must not return SW_SKIPPED. */
    int64_t (*parts)(const sw_param *param, const double *option, sw_dtype type);
    sw_status (*part)(sw_step *step, int64_t part, sw_worker *worker);
    /* Returns the bytes of scratch that any part of the parameter needs. NULL: none. */
    size_t (*part_workspace)(const sw_param *param, const double *option, sw_dtype type);
    /* Returns an estimate of the multiplications and additions of a part. If the sum over a group is less than
     * SW_SERIAL, the calling thread computes all of its parts. NULL: one multiplication for each element of the
     * parameter, divided equally among its parts. */
    double (*part_cost)(const sw_param *param, const double *option, sw_dtype type, int64_t part);

    /* Called once for each group at the end of every step that is kept: the line search has chosen the length, the
     * average is updated, and the estimator has committed its tables. It is not called for steps that are skipped or
     * refused, nor for the trials of a line search. A step of length 0 at a stationary point is kept.
     *
     * Its argument is that of `begin`, or that of `vector` for SW_UNIT_VECTOR, with x after the step and the gradient g
     * that the rule received. Use sw_step_run to process elements: its kernels receive g in the type of x, whereas
     * step->g is NULL if the gradient is stored in f16 or bf16. `accepted` may write scalars, and slots (within the
     * bounds of `reach`), but not x. If it fails, or if a scalar or (without `reach`) a slot is Inf or NaN afterwards,
     * the step may be partly done, as after a failed `commit` of an estimator. It must not return SW_SKIPPED. With
     * `accepted`, estimators do not take many steps in one loop (sw_estimator.run), because such a loop calls no
     * function of the rule. */
    sw_status (*accepted)(sw_step *step);

    /* Called once for each group after sw_optim_adopt_point has copied the point of evaluation, which an average or the
     * `point` of a rule computes, to x. It is not called if that point is x itself, or if a program or a file writes x.
     * A rule whose state depends on x adapts the state; Schedule-Free, for example, sets z = x.
     *
     * It may read option, scalar, coefficient and step of the last step that was taken, also after skipped steps and
     * after loading, and the new x (as `accepted` does), but not g. Use sw_step_run to process elements. It may write
     * scalars and slots, but not x. If it fails, or if a scalar or a slot is Inf or NaN afterwards, x, the slots and
     * the scalars are restored. It must not return SW_SKIPPED. */
    sw_status (*adopted)(sw_step *step);

    /* SW_UNIT_VECTOR: computes a direction d from the gradient of all parameters of the group. step->x, step->g and
     * step->out are vectors of step->count elements of the type of x: all parameters of the group, without gaps, in the
     * order of the parameter vector. Slots without `count` have the same layout. x and g must not be changed. The
     * elements of frozen parameters are 0 in x and g, and are ignored in d. The function writes d to `out`, and the
     * pipeline then computes
     *     x ← x + lr d
     * with the rule's option lr (1 if it has none), or with the factor that a line search chooses: set SW_RULE_LINEAR.
     * The slots are state, and are restored if the step is not taken. For this purpose every step copies x and the
     * slots (except those with sw_slot.valid_by_scalars), so that `reach` is not needed and is not called. With
     * SW_RULE_PENALTY, d is a direction for the gradient g + λx, which the function computes itself. It may write
     * scalars. It must not return SW_SKIPPED. */
    sw_status (*vector)(sw_step *step);

    /* SW_UNIT_TENSOR: as `workspace`, if the bytes that `tensor` needs depend on options; `option` has the values of
     * the spec. If a rule has both, the larger number counts. */
    size_t (*tensor_workspace)(const sw_param *param, const double *option, sw_dtype type);
} sw_rule;

/* ---- Vectors of a step ----
 *
 * Functions for rules of unit VECTOR. a, b, x and y are vectors of step->count elements of the parameters' type: x, g,
 * out, slots without `count`, rows of slots. Threads share long vectors; the results have the same bits for every
 * number of threads. */

/* The inner product ⟨a, b⟩, computed in f64; the sums of the tiles are added in a fixed order. */
SW_API double sw_step_dot(const sw_step *step, const void *a, const void *b);
/* y ← y + alpha x */
SW_API void sw_step_axpy(const sw_step *step, double alpha, const void *x, void *y);
/* y ← alpha x; y may be x. With alpha = 1 it is a copy. */
SW_API void sw_step_scale(const sw_step *step, double alpha, const void *x, void *y);
/* Row i of a slot of the parameters' type that holds several vectors, one after the other: its `count` returns a
 * multiple of dim. */
SW_API void *sw_step_row(const sw_step *step, void *slot, int64_t i);

/* Registers a rule; finds one by name or by index: see Registration in method.h. */
SW_API sw_status sw_rule_register(const sw_rule *rule);
SW_API const sw_rule *sw_rule_find(const char *name);
SW_API const sw_rule *sw_rule_at(int index);

#ifdef __cplusplus
}
#endif
#endif
