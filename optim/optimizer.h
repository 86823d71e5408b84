/* The state of an optimizer. */
#ifndef SWALE_OPTIM_OPTIMIZER_H
#define SWALE_OPTIM_OPTIMIZER_H

#include "optim/estimate.h"
#include "optim/option_values.h"

/* ---- Rules ---- */

/* A contiguous range of x that consists of parameters of one group that are not frozen. */
typedef struct swo_stretch {
    int64_t offset, count; /* in x */
    int64_t slot;          /* the offset in the group's slots */
} swo_stretch;

/* A part of a parameter, for rules that update parameters in parts. */
typedef struct swo_part {
    double cost;
    int64_t part;
    int param; /* its index in the group */
} swo_part;

/* A rule and the parameters that it updates. */
typedef struct swo_group {
    const sw_rule *rule;
    swo_values base;
    double effective[SW_MAX_OPTIONS];
    bool settled;   /* `effective` will not change in later steps, except for lr=auto */
    bool computed;  /* `effective` was computed from `base`, not read from a file */
    int lr;         /* the index of the option lr; -1: there is none */
    double penalty; /* weight_decay in the coming step, if the rule adds it to the gradient; else 0 */
    double scalar[SW_MAX_SCALARS], saved[SW_MAX_SCALARS];
    double coefficient[SW_MAX_COEFFICIENTS];
    /* The values of the last step that was taken, which a skipped step restores. Coefficients: only if
     * swo_reads_last_step; options: only if they are not settled, or if swo_reads_last_step. */
    bool options_kept;
    double last_effective[SW_MAX_OPTIONS], last_coefficient[SW_MAX_COEFFICIENTS];
    bool last_computed;
    int64_t dim; /* the number of elements of its parameters */
    char *slot[SW_MAX_SLOTS];
    int64_t slot_count[SW_MAX_SLOTS];
    bool whole[SW_MAX_SLOTS]; /* unit VECTOR: the rule gives the size of the slot, which has no parts */
    int64_t
        *sized[SW_MAX_SLOTS]; /* [params + 1]: for slots with `count`, the offsets of the parts of the parameters and
                                   * the end; NULL: the offsets are slot_at */
    swo_stretch *stretch;     /* room for one per parameter */
    int stretches;
    sw_param **param; /* its parameters in the order of the vector */
    int64_t *slot_at; /* [params]: the offset of each parameter in the slots */
    int params;
    char *selector;   /* NULL: all parameters that belong to no earlier group */
    sw_bounds bounds; /* of x and the slots before the coming step */
    bool bounds_known;
    swo_part *part; /* [parts], the most expensive ones first (rule_parts.c) */
    int64_t parts;
    double parts_cost;
    size_t part_bytes; /* scratch of a worker */
    sw_optim *optim;   /* whose group it is, for sw_step_run */
    char *direction;   /* unit VECTOR: [dim], of the coming step */
    double missed;     /* 1: the last step that was taken did not call `vector`, because all parameters were frozen */
    char *packed_x, *packed_g; /* [dim]: copies for a group that is not one stretch; NULL until they are needed */
} swo_group;

/* Whether a rule has this member and it is not NULL. The struct of an earlier version ends before it. */
#define SWO_RULE_HAS(r, member) ((r)->size >= offsetof(sw_rule, member) + sizeof((r)->member) && (r)->member)

/* Whether the rule has functions that run between steps and read the options and coefficients of the last step. */
static inline bool swo_reads_last_step(const swo_group *group) {
    return group->rule->point || SWO_RULE_HAS(group->rule, adopted);
}

/* ---- Schedules ---- */

typedef struct swo_schedule {
    const sw_schedule *method;
    swo_values values; /* of the options of its table, then of the common options */
    char on[64];
    double resolved[SW_MAX_OPTIONS];
} swo_schedule;

enum { SWO_SCHEDULES = 4, SWO_GROUPS = 64 };

/* ---- The optimizer ---- */

/* The option loss_scale. The scale itself belongs to the parameters. */
typedef struct swo_loss_scale {
    bool dynamic;
    bool trial_overflow; /* in this step, the gradient at a trial point of the line search was not finite */
    double initial, least;
    int64_t interval;
    int64_t clean;                 /* steps taken since the scale has changed or a step was skipped for Inf or NaN */
    double file_scale, file_clean; /* as they are in a checkpoint */
} swo_loss_scale;

/* The source of the length of the run. sw_train replaces a length that it set itself or that was read from a file, but
 * not one that the program set. */
typedef enum swo_length { SWO_LENGTH_NONE = 0, SWO_LENGTH_TRAIN, SWO_LENGTH_FILE, SWO_LENGTH_PROGRAM } swo_length;

/* The gradient at x that the last trial of a line search has computed, in trial_gradient. The next step need not
 * compute it again. */
typedef struct swo_kept_gradient {
    bool valid;
    bool exact;                 /* it depends on x alone */
    double alpha;               /* of the trial */
    double value, weight, norm; /* as sw_estimate_gradient computes them */
    uint64_t version;           /* of x */
    int64_t frozen;             /* the set of frozen parameters */
} swo_kept_gradient;

struct sw_optim {
    sw_params *params;
    sw_dtype type;
    /* The gradient of the coming step: the type of its elements, and the factor by which they are multiplied when they
     * are read, which is 1 unless they are f16 or bf16 (stored_gradient.h). */
    sw_dtype g_type;
    double g_factor;
    void *wide_gradient;   /* [dim] of `type`, where the gradient block has another type; NULL before it is needed */
    void *tensor_gradient; /* [tensor_gradient_count] of `type`: that of one parameter, for rules of unit TENSOR */
    int64_t tensor_gradient_count;
    int64_t dim;
    uint64_t seed;
    double clip;
    /* rules */
    swo_group *group;
    int groups;
    bool *frozen; /* [params]: which parameters were frozen when the stretches were computed */
    /* Properties of the frozen parameters, for the average (frozen.c); computed again when x or the set of frozen
     * parameters has changed. */
    bool frozen_known, any_infinite;
    bool *infinite;     /* [params]: the parameter is frozen and contains Inf or NaN */
    double frozen_norm; /* a bound of the 2-norm of their finite elements */
    void *workspace;
    size_t workspace_bytes;
    bool rules_point;
    bool rules_parts, rules_accepted; /* a rule has these hooks */
    const void *hook_gradient;        /* the gradient for sw_step_run in the hook that is running; or NULL */
    /* step size */
    swo_schedule schedule[SWO_SCHEDULES];
    int schedules;
    const sw_line_search *search;
    swo_values search_values;
    double search_option[SW_MAX_OPTIONS];
    double search_scalar[SW_MAX_SCALARS], search_saved[SW_MAX_SCALARS];
    void *direction, *trial, *trial_gradient;
    /* If the rules receive another gradient than that of the loss: until the first trial, trial_gradient holds the
     * gradient of the loss at x, and true_value the loss. */
    bool true_known;
    double true_value;
    swo_kept_gradient kept;
    /* copies that undo a step (rollback.c) */
    void *x_before;
    char **slot_before; /* [groups × SW_MAX_SLOTS] */
    bool has_copies;    /* the copies contain the values before this step */
    double x_written; /* 1: the program has written to x since the last step that was taken. 0 before the first step */
    uint64_t seen;    /* the version of x after the last step */
    void *x_low;      /* for the coming step: see swo_x_low */
    /* estimator */
    swo_estimate *estimate;
    const sw_objective *objective; /* bound by the first sw_optim_minimize */
    sw_tape *tape;
    sw_gradient *view; /* its data are set to the vector that the next gradient is written to */
    uint64_t draws;
    int64_t statistics_of; /* the number of samples of this step whose running statistics were reported */
    double buffer_norm;    /* a bound of the 2-norm of the buffers after this step */
    /* average */
    const sw_average *average;
    swo_values average_values;
    double average_option[SW_MAX_OPTIONS];
    double average_scalar[SW_MAX_SCALARS], average_saved[SW_MAX_SCALARS];
    double average_coefficient[SW_MAX_COEFFICIENTS];
    char *average_slot[SW_MAX_SLOTS];
    int64_t average_count[SW_MAX_SLOTS];
    sw_bounds average_bounds;
    bool average_bounds_known, average_checked; /* average_checked: the result of its update must be checked */
    char *average_before[SW_MAX_SLOTS];
    void *point;
    /* counters */
    int64_t steps, skipped, samples, total, per_epoch;
    /* skipped_steps.c; not saved: in a resumed run the count begins at 0 */
    int64_t skipped_in_a_row;
    int64_t most_skipped;     /* the number of skipped steps in a row that is an error; 0: 100. sw_train sets it */
    sw_skip_cause skip_cause; /* of the last skipped step */
    const char *skip_name;    /* the name of the search, rule or estimator that skipped it */
    swo_length length;        /* the source of `total` */
    swo_loss_scale loss_scale;
    double norm, saved_norm;
    bool wants_penalized;  /* steps compute penalized_norm */
    double penalized_norm; /* of the last step taken: the norm of the gradient including the penalties of the rules */
    double loss_weight;    /* of the last sw_optim_minimize */
    /* of sw_train: the losses since its last evaluation, including those of earlier calls of sw_train */
    sw_loss_mean period;
    struct swo_norm_record *norms; /* norms.c; NULL: norms are not recorded */
};

/* Bytes of an element of x. */
static inline size_t swo_size(const sw_optim *o) {
    return sw_dtype_size(o->type);
}

/* Whether the program has written to x since the last step that was taken. True in the first step. */
static inline bool swo_x_is_written(const sw_optim *o) {
    return o->steps == 0 || o->x_written != 0 || o->seen != sw_params_version(o->params);
}

/* Element `offset` of x. */
static inline char *swo_x_at(const sw_optim *o, int64_t offset) {
    return (char *)sw_params_x(o->params) + (size_t)offset * swo_size(o);
}

#endif
