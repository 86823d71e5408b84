/* What optim's files share. Names begin with swo_. */
#ifndef SWALE_OPTIM_INTERNAL_H
#define SWALE_OPTIM_INTERNAL_H

#include <swale/optim.h>

#include <string.h>

/* ---- spec.c: "name option=value …" against option tables ---- */

typedef struct swo_values {
    double value[SW_MAX_OPTIONS];
    char unit[SW_MAX_OPTIONS]; /* of durations: 's' steps, '%' of the run, 'e' epochs */
    char spec[256];            /* of the SPEC option, "" if there is none */
} swo_values;

/* The first word of `text` into name; returns what follows it. */
const char *swo_name(const char *text, char name[64]);
/* Defaults, then `text` = "key=value key=value …". kind: "rule", for messages. `more`: a second table
 * (or NULL), whose options follow the first's. */
sw_status swo_parse(const char *kind, const char *method, const sw_option *table, const sw_option *more,
                    const char *text, swo_values *out);
/* Around an estimator that is being parsed: the wrappers before it, the nearest one first. */
typedef struct swo_wrapper {
    const char *name;
    const sw_option *options;
    const struct swo_wrapper *outer; /* NULL: none */
} swo_wrapper;
/* An error where `text`, which follows of=NAME, has an option of a wrapper that NAME does not know: all after of=
 * is NAME's own. */
sw_status swo_check_inner(const char *name, const sw_option *table, const swo_wrapper *outer, const char *text);
bool swo_in_range(const sw_option *option, double value);
/* "[0, 1)"; valid until this thread's next call. */
const char *swo_range_text(const sw_option *option);
int swo_count(const sw_option *table);
int swo_index(const sw_option *table, const char *name); /* -1: none */
/* A duration in steps. A part of the run or of an epoch need not be a whole number of them; one that is whole in
 * exact arithmetic, as 7% of 100, is whole here too. */
sw_status swo_steps(const char *what, double value, char unit, int64_t total, int64_t per_epoch, double *steps);

/* ---- call.c ---- */

/* Every status that a method's function or a callback returns passes through here, so that an error has a message:
 * "rule mine: begin returned status 2 without a message". SW_SKIPPED is an error unless may_skip. */
sw_status swo_returned(const char *kind, const char *name, const char *function, bool may_skip, sw_status status);

/* ---- registry.c ---- */

typedef enum swo_kind { SWO_ESTIMATOR, SWO_RULE, SWO_SCHEDULE, SWO_SEARCH, SWO_AVERAGE, SWO_KINDS } swo_kind;
extern const char *const swo_kind_names[SWO_KINDS];
enum { SWO_METHODS = 128 }; /* of a kind, at most: the library's own and registered ones */
/* The method, or NULL and an error with a suggestion. */
const void *swo_find(swo_kind kind, const char *name);
const void *swo_lookup(swo_kind kind, const char *name); /* no error */
int swo_methods(swo_kind kind, const void *list[], int capacity);

/* ---- the optimizer ---- */

typedef struct swo_stretch {
    int64_t offset, count; /* in x */
    int64_t slot;          /* where it begins in the group's slots */
} swo_stretch;

typedef struct swo_group {
    const sw_rule *rule;
    swo_values base;
    double effective[SW_MAX_OPTIONS];
    bool settled;   /* `effective` is what it will be in all steps, but for lr=auto */
    bool computed;  /* `effective` follows from `base`, and is no file's */
    int lr;         /* the index of that option, -1: there is none */
    double penalty; /* weight_decay, where the rule adds it to the gradient; of the coming step */
    double scalar[SW_MAX_SCALARS], saved[SW_MAX_SCALARS];
    double coefficient[SW_MAX_COEFFICIENTS];
    int64_t dim; /* elements of its parameters */
    char *slot[SW_MAX_SLOTS];
    int64_t slot_count[SW_MAX_SLOTS];
    int64_t *sized[SW_MAX_SLOTS]; /* [params + 1]: bounds of each parameter's part, for slots with a
                                   * size of their own; NULL: slot_at */
    swo_stretch *stretch;         /* [parameters at most] */
    int stretches;
    sw_param **param; /* its parameters in the order of the vector */
    int64_t *slot_at; /* [params]: where each begins in the slots */
    int params;
    char *selector;   /* NULL: the rest */
    sw_bounds bounds; /* of x and the slots before the coming step */
    bool bounds_known;
} swo_group;

typedef struct swo_schedule {
    const sw_schedule *method;
    swo_values values; /* of its table, then of the common one */
    char on[64];
    double resolved[SW_MAX_OPTIONS];
} swo_schedule;

enum { SWO_SCHEDULES = 4, SWO_SCRATCH = 7, SWO_GROUPS = 64 }; /* scratch: four for methods, three for smoothness.c */

/* Why a step was skipped: Inf or NaN in the gradient; a line search that gave up; a method's own decision. */
typedef enum swo_skip_cause { SWO_SKIP_GRADIENT = 0, SWO_SKIP_SEARCH, SWO_SKIP_RULE, SWO_SKIP_SAMPLE } swo_skip_cause;

/* schedule_options.c: the table of sw_schedule_common. */
extern const sw_option swo_schedule_options[];

struct swo_plain_rules;
typedef sw_status swo_run(sw_estimate *e, const struct swo_plain_rules *rules, int64_t most, int64_t *done);
typedef struct swo_estimate {
    sw_estimate e; /* first: what methods see */
    swo_values values;
    double resolved[SW_MAX_OPTIONS]; /* with durations in steps: e.option */
    double scalar[SW_MAX_SCALARS], saved[SW_MAX_SCALARS], saved_lr;
    size_t bytes;
    void *scratch[SWO_SCRATCH];
    int64_t room[SWO_SCRATCH], slot_count[SW_MAX_SLOTS];
    int64_t *ids, ids_room;
    struct swo_estimate *inner;
    /* Before the rules move x: whether the tables can take this step, whose gradient has the norm. NULL: they can. */
    sw_status (*fits)(sw_estimate *e, double norm);
    double penalty; /* the largest weight_decay of rules that add it to the gradient; 0: none */
    /* Optional: the step size that e.lr is, for parameters with another penalty. Curvatures of the loss and of the penalty
     * add up in each of them by itself, so that a free intercept need not wait for the penalty of the weights. */
    double (*lr_with)(const sw_estimate *e, double penalty);
    /* Optional: up to `most` steps in one loop, equal to that many ordinary ones up to rounding. It may end before any
     * step, which an ordinary step then takes, or refuses. */
    swo_run *run;
    double *squares;    /* [n]: ‖a_i‖² of samples in memory, or NULL */
    double l_of_rows;   /* lipschitz=auto: L of the rows; not from files, whose run may have had another option */
    double largest_row; /* with them: √(max ‖a_i‖² + 1) */
    bool chose_batch;   /* batch=0 was replaced when the objective was bound */
    void *lazy;         /* memory of loops over sparse rows, or NULL */
    size_t lazy_bytes;
    void *x_low; /* [dim], a slot of the method: the low-order part of x in f32 (swo_x_low), or NULL */
} swo_estimate;

/* The whole of an estimate whose public part methods see. */
static inline swo_estimate *swo_estimate_of(sw_estimate *e) {
    return (swo_estimate *)(void *)e;
}
static inline const swo_estimate *swo_estimate_of_const(const sw_estimate *e) {
    return (const swo_estimate *)(const void *)e;
}

/* Rules as such a loop wants them: sgd without momentum, each stretch of x with its own options. */
enum { SWO_PLAIN = 8 };
typedef struct swo_plain_rules {
    struct {
        int64_t offset, count;
        double lr, decay; /* lr NaN: what the estimator proposes */
        bool moves;       /* not frozen */
        bool proximal;    /* l1 or bounds */
        double l1, low, high;
    } stretch[SWO_PLAIN];
    int stretches;                                             /* in the order of x, all of it together */
    sw_status (*took)(void *user, double loss, double weight); /* after each step */
    void *user;
} swo_plain_rules;

/* Who set the length of the run. sw_train replaces one that it set itself, or that came from a file; the
 * program's own stays. */
typedef enum swo_length { SWO_LENGTH_NONE = 0, SWO_LENGTH_TRAIN, SWO_LENGTH_FILE, SWO_LENGTH_PROGRAM } swo_length;

struct sw_optim {
    sw_params *params;
    sw_dtype type;
    int64_t dim;
    uint64_t seed;
    double clip;
    /* rules */
    swo_group *group;
    int groups;
    bool *frozen; /* [params]: as of the stretches */
    /* Of frozen parameters, for the average (guard.c); read again when x or what is frozen has changed. */
    bool frozen_known, any_infinite;
    bool *infinite;     /* [params]: it is frozen and holds Inf or NaN */
    double frozen_norm; /* a bound of the 2-norm of their finite elements */
    void *workspace;
    size_t workspace_bytes;
    bool rules_point;
    /* step size */
    swo_schedule schedule[SWO_SCHEDULES];
    int schedules;
    const sw_line_search *search;
    swo_values search_values;
    double search_option[SW_MAX_OPTIONS];
    double search_scalar[SW_MAX_SCALARS], search_saved[SW_MAX_SCALARS];
    void *x_before, *direction, *trial, *trial_gradient;
    char **slot_before; /* [groups × SW_MAX_SLOTS]: to undo a rule's move when the search gives up, or the guard */
    bool kept;          /* in this step x_before and slot_before hold what was before it */
    uint64_t seen;      /* version of x after the last step */
    void *x_low;        /* for the coming step: swo_x_low */
    /* estimator */
    swo_estimate *estimate;
    const sw_objective *objective; /* bound by the first sw_optim_minimize */
    sw_tape *tape;
    sw_gradient *view; /* aimed at whatever a gradient is written to */
    uint64_t draws;
    double checked_norm; /* of the gradient that was checked last */
    bool statistics;     /* running statistics have yet to move in this step */
    /* average */
    const sw_average *average;
    swo_values average_values;
    double average_option[SW_MAX_OPTIONS];
    double average_scalar[SW_MAX_SCALARS], average_saved[SW_MAX_SCALARS];
    double average_coefficient[SW_MAX_COEFFICIENTS];
    char *average_slot[SW_MAX_SLOTS];
    int64_t average_count[SW_MAX_SLOTS];
    sw_bounds average_bounds;
    bool average_bounds_known, average_checked; /* checked: its update of this step is to be */
    char *average_before[SW_MAX_SLOTS];
    void *point;
    /* counters */
    int64_t steps, skipped, samples, total, per_epoch;
    /* skipped.c; not saved: a resumed run counts anew */
    int64_t skipped_in_a_row;
    int64_t most_skipped;      /* so many in a row are an error; 0: 100. Of sw_train, while it runs */
    swo_skip_cause skip_cause; /* of the last skipped step */
    const char *skip_name;     /* of the search, rule or estimator */
    swo_length length;         /* where `total` is from */
    double norm, saved_norm;
    bool wants_penalized;  /* steps take the next one */
    double penalized_norm; /* of the last step taken, with the penalty that the rules add */
    double loss_weight;    /* of the last sw_optim_minimize */
    /* of sw_train: the losses since its last evaluation, also by earlier calls of it */
    sw_loss_mean period;
    /* what is watched */
    struct swo_watch *watch; /* NULL: nothing */
};

/* Whether the method has this slot with these options and parameters of this type. */
bool swo_slot_needed(const sw_slot *slot, const double *option, sw_dtype type);
/* Bytes of an element of a slot. */
size_t swo_slot_size(const sw_slot *slot, sw_dtype type);
sw_dtype swo_slot_type(const sw_slot *slot, sw_dtype type);

/* step.c */
/* Values as methods see them: durations in steps. */
sw_status swo_in_steps(const sw_optim *o, const char *name, const sw_option *table, const swo_values *values, int first,
                       double *out);
sw_status swo_plan_stretches(sw_optim *o);
sw_status swo_options_now(sw_optim *o); /* effective options of the coming step */
sw_status swo_run_rules(sw_optim *o, const void *g);
/* What the average sees of the step that it follows. */
sw_step swo_average_step(sw_optim *o, int64_t step);
/* Before a step, and before a loop of steps: the average's options in steps, which frozen parameters are infinite, and its
 * start. */
sw_status swo_prepare_average(sw_optim *o);

/* The group as a whole, without vectors but with its slots: what begin, decide and reach see. */
void swo_whole(sw_optim *o, swo_group *group, const void *g, sw_step *step);

/* trial.c */
/* The updates of rules with a `reach` on copies: SW_ERR_NONFINITE if they would make a state or x Inf or NaN; the
 * message names it. Begin and decide are done. */
sw_status swo_try_rules(sw_optim *o, const void *g);

/* guard.c: nothing becomes Inf or NaN under SW_OK. */
bool swo_rule_has_reach(const sw_rule *rule);
/* Bounds of vectors are to be read anew. */
void swo_guard_forget(sw_optim *o);
/* Before the updates, once begin and decide are done; and after them, with their status. */
sw_status swo_guard_before(sw_optim *o, const void *g);
sw_status swo_guard_after(sw_optim *o, sw_status status);
sw_status swo_guard_search(sw_optim *o);
/* Frozen parameters as they are now. */
void swo_guard_read_frozen(sw_optim *o);
/* Where a frozen parameter is not finite: the average's states become 0; the point becomes x. */
void swo_guard_clear_infinite(sw_optim *o);
void swo_guard_point_as_x(const sw_optim *o, void *point);
/* True if all is finite in `after` that is so in `before`. */
bool swo_no_new_infinity(sw_dtype type, int64_t count, const void *before, const void *after);
sw_status swo_guard_scalars(const sw_optim *o, const char *kind, const char *method, const char *const *names,
                            const double *values);
sw_status swo_guard_coefficients(const sw_optim *o, const char *kind, const char *method, const double *values);
/* Scalars and proposed step sizes of the estimator and those inside it. */
sw_status swo_guard_estimators(const sw_optim *o);
/* Around the average's update where o->average_checked says so: the second undoes the step, or returns its status. */
sw_status swo_guard_keep_average(sw_optim *o);
sw_status swo_guard_average_after(sw_optim *o, sw_status status);

/* search.c: x moves along the rules' direction by what the search chooses. */
sw_status swo_search(sw_optim *o, const void *g);
/* Its vectors. */
sw_status swo_make_search(sw_optim *o);
/* Room for copies of the rules' slots, if there is none; the slots copied there, or back. */
sw_status swo_make_slots_before(sw_optim *o);
void swo_keep_slots(sw_optim *o, bool restore);

/* skipped.c */
/* Notes the cause if the status is SW_SKIPPED; returns it. */
sw_status swo_skip_by(sw_optim *o, swo_skip_cause cause, const char *name, sw_status status);
/* Counts a step that ended with the status, which it returns, or SW_ERR_NONFINITE if too many in a row were
 * skipped. */
sw_status swo_count_skipped(sw_optim *o, sw_status status);
/* "who: which were skipped, because …": with the cause of the last one, and what may help. */
sw_status swo_fail_skipped(const sw_optim *o, const char *who, const char *which);

/* watch.c */
void swo_watch_before(sw_optim *o);
void swo_watch_after(sw_optim *o, const void *g);
void swo_watch_free(sw_optim *o);
size_t swo_watch_bytes(const sw_optim *o);

/* bind.c */
sw_status swo_bind(sw_optim *o, const sw_objective *objective);
void swo_free_estimate(swo_estimate *e);
/* Zeros where parameters are frozen: they must not count in norms. */
void swo_zero_frozen(const sw_optim *o, void *g);

/* plain_run.c */
/* The low-order part of x, so that x + x_low is what compensated summation of the moves gives. The rules of the coming
 * step update it, as loops do, if they are sgd without momentum, in f32, on samples in memory. Otherwise NULL, and
 * x_low becomes 0. It also becomes 0 if x was written from outside. */
void *swo_x_low(sw_optim *o);
/* Up to `most` steps by the estimator's own loop, where there is one and it serves. took: after each. */
sw_status swo_plain_run(sw_optim *o, int64_t most, sw_status (*took)(void *user, double loss, double weight),
                        void *user, int64_t *done);
/* In such a loop: the weight of x after the coming step in the running average, 0 if the average leaves the step out.
 * The average's scalars change, and the caller restores them if the step is not taken. False: the pipeline must take
 * the step, and will refuse it. */
bool swo_average_weight(sw_optim *o, double *weight);

/* converged.c */
/* At x: the norm of the gradient of all samples with the penalty. INFINITY where it holds Inf or NaN. */
sw_status swo_true_norm(sw_optim *o, const sw_objective *f, double *norm);
/* The estimator's own test, "sag tol=1e-8": its tolerance; 0: it has none. */
double swo_own_tolerance(const sw_optim *o);
/* Whether it says that x is good enough; that it does not, until it has tested x again. */
bool swo_says_converged(const sw_optim *o);
void swo_reset_converged(sw_optim *o);

/* penalty.c */
/* The largest weight_decay of the rules that add it to the gradient: of the specs. */
double swo_penalty(const sw_optim *o);
double swo_group_penalty(const swo_group *group);
/* The same as schedules have it in this step (after it: had), over groups that are not frozen as a whole. */
double swo_penalty_now(const sw_optim *o);
double swo_group_penalty_now(const swo_group *group);
/* What lr=auto is for parameters with this penalty. */
double swo_lr_for(const sw_optim *o, double penalty);
bool swo_adds_to_objective(const sw_optim *o); /* a penalty, l1 or bounds */
/* g ← g + λx, each group's own λ, and of l1 and bounds the subgradient that is nearest to 0; 0 where frozen. And its
 * norm: INFINITY if x is outside the bounds. SW_SKIPPED: g holds Inf or NaN. */
sw_status swo_penalized_norm(sw_optim *o, const void *x, void *g, double *norm);
/* An error unless an estimator's option l2 is 0 or that penalty. */
sw_status swo_check_l2(const sw_estimate *e, double l2);

/* state.c */
/* Slot s of the group's parameter k: in its shape, or a vector where the slot has its own size. */
sw_array swo_state_of(const sw_optim *o, const swo_group *g, int k, int s);
/* Which parameters are frozen, as a number: a bit for each, and after the 52nd a hash of them. */
double swo_frozen_set(const sw_params *params);

/* describe.c */
/* Methods, with those of their options that are no mere numbers: optimizers of equal texts have states of equal
 * meaning. */
typedef struct swo_meaning {
    const char *key;
    char *(*text)(const sw_optim *o); /* freed by the caller; NULL and an error */
} swo_meaning;
enum { SWO_MEANINGS = 4 };
extern const swo_meaning swo_meanings[SWO_MEANINGS];

int swo_scalars(const char *const *names);
size_t swo_size(const sw_optim *o);

#endif
