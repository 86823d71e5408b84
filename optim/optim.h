/* swale optim: optimizers as independent choices. Built on core alone.
 *
 * An optimizer is
 *   - an estimator: where the gradient comes from (mini-batch, SAG, SVRG, SAM, …),
 *   - a rule: how x moves (SGD, Adam, Muon, …), one for each group of parameters,
 *   - schedules or a line search: how large the step is,
 *   - an average: which point is evaluated (the last, an EMA, …).
 * Each is named by a spec, "adamw lr=1e-3 weight_decay=0.01", whose options come from the method's
 * table. Any fits any other, or sw_optim_new_with_options refuses with the reason.
 *
 * One step, the same for all: the estimator samples ids and evaluates gradients, each of which is
 * checked for Inf and NaN; the estimator combines them; the result is clipped; the rules move x; the
 * average moves; the estimator commits its tables. Rules compute with subnormal numbers (below 1e-38 in
 * f32) taken as zero: see sw_subnormals_flush. Where eps is so small that this would matter, a rule keeps its
 * second moments in f64, at 4 more bytes for each of their elements. A gradient with Inf or NaN ends the step
 * with SW_SKIPPED: then no counter, schedule, table, state or average has moved; only the sampler has gone
 * on, so that the next step sees other samples. After 100 skipped steps in a row the status is SW_ERR_NONFINITE,
 * and the message gives the cause; after sw_clear_error the count begins anew. After SW_OK x, the states, the
 * scalars and the step sizes of all methods are finite. A step that would make one of them infinite or NaN is
 * refused with SW_ERR_NONFINITE; the message names method, quantity and step. x and the states then keep their
 * bits, and only the sampler advances. Values of frozen parameters are not checked: an attention mask with -Inf
 * may be one. Where such a value is not finite, the states of averages are 0 (sw_optim_slot), and
 * sw_optim_point gives the value itself. After any other error, or if an estimator's `commit` fails, the step may
 * be partly done.
 */
#ifndef SWALE_OPTIM_H
#define SWALE_OPTIM_H

#include "extend.h"

#include <signal.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Using an optimizer ---------------------------------------------------------------------- */

typedef struct sw_optim sw_optim;

typedef struct sw_optim_options {
    size_t size; /* sizeof(sw_optim_options) */
    /* "minibatch batch=64" (NULL: that, or "full" for rules with SW_RULE_EXACT_GRADIENT). A wrapper takes its
     * inner one with of=: see sw_estimator. */
    const char *estimator;
    /* "adam lr=1e-3" (NULL: sgd). Several groups: "role=weight: sgd lr=0.1; name=head.*: adam; sgd lr=0.01". The
     * first that fits a parameter takes it; one without a selector takes the rest. Selectors: role=R,
     * name=PATTERN (* and ?), rank=N. */
    const char *rule;
    /* "cosine warmup=500", or several: "cosine; constant warmup=10% on=weight_decay" (on one option their
     * factors multiply), or a line search in place of those of lr. NULL: constant. A scaled option that leaves
     * its range, other than lr, ends the step with an error. */
    const char *schedule;
    const char *average; /* "ema decay=0.999"; NULL: none */
    double clip;         /* largest 2-norm of the whole gradient; 0: no limit */
    uint64_t seed;       /* of sampling and of random numbers in the objective */
    int64_t total_steps; /* of the whole run, for schedules that need an end; 0: not known */
} sw_optim_options;

/* NULL and an error for a spec that does not parse or parts that do not fit together. The parameters
 * must be built, and outlive the optimizer. */
SW_API sw_optim *sw_optim_new_with_options(sw_params *params, const sw_optim_options *options);
/* The rule alone: sw_optim_new(params, "adamw lr=1e-3"). */
SW_API sw_optim *sw_optim_new(sw_params *params, const char *rule);
SW_API void sw_optim_free(sw_optim *optim);

/* One step from the gradient that is in the parameters' own block, which is fresh afterwards. For
 * hand-written loops, and estimators that need one gradient. SW_SKIPPED, and SW_ERR_NONFINITE when the last 100
 * steps were all skipped: see above; the block is fresh then too. While an error is pending (core.h, "Errors") no
 * step is taken, and its status is returned. */
SW_API sw_status sw_optim_step(sw_optim *optim);
/* One step on an objective over the optimizer's own parameters. `value`, if not NULL, gets the mean
 * loss of the step's samples before it, Inf or NaN included; NaN if it is not known. The objective must outlive
 * the optimizer, and be the same each time. A line search that finds no step skips it too: near a minimum, a loop
 * ends at the first SW_SKIPPED. While an error is pending no step is taken, and its status is returned. */
SW_API sw_status sw_optim_minimize(sw_optim *optim, const sw_objective *objective, double *value);

/* The same `steps` times; the value is the mean loss over all of them. Ends at the first step that is skipped or
 * fails, with its status. sag, saga and svrg with the rule sgd, and any built-in average but lawa_queue, take many
 * steps in one loop where the samples of a generalized linear model are in memory (sw_glm_new); sw_train uses that
 * too. Over dense rows the result is bit-for-bit that of single steps. Over sparse rows a step costs O(nonzeros), also
 * with weight_decay, l1, bounds and averages, and the result equals that of single steps up to rounding. */
SW_API sw_status sw_optim_minimize_steps(sw_optim *optim, const sw_objective *objective, int64_t steps, double *value);

/* The vector at which to evaluate: the average's, the rule's, or the parameters' own. Valid until the
 * next step. Bind it with sw_tape_bind or pass it as `x`; the training vector is not touched. NULL
 * after an error. */
SW_API const void *sw_optim_point(sw_optim *optim);
/* Makes that vector the parameters' own, for the end of a run: what is saved, predicted or trained further is
 * then what was evaluated. Where the two are one already, nothing happens. */
SW_API sw_status sw_optim_adopt_point(sw_optim *optim);

/* Steps taken, without the skipped. While an error is pending no step is taken and the number stays. So a loop
 * until some step must ask for the error too:
 *
 *     while (sw_optim_steps_taken(o) < n && !sw_error())
 *         sw_optim_minimize(o, f, NULL); */
SW_API int64_t sw_optim_steps_taken(const sw_optim *optim);
SW_API int64_t sw_optim_steps_skipped(const sw_optim *optim); /* steps that were skipped, in a row or not */
SW_API double sw_optim_gradient_norm(const sw_optim *optim);  /* of the last step taken, before clipping */
/* The weight of the loss whose value the last sw_optim_minimize gave (see Means over parts in core.h; of several
 * losses with other weights, that of the first); NaN before the first. */
SW_API double sw_optim_loss_weight(const sw_optim *optim);
/* Samples asked for over n, of the objective. INFINITY while an error is pending: no epoch will be done then, and
 * a loop `while (sw_optim_epoch(o) < n)` ends. After sw_clear_error the real number is returned again. */
SW_API double sw_optim_epoch(const sw_optim *optim);
/* What the first sw_optim_minimize does: the estimator meets its objective and makes its tables. For
 * looking at them earlier. */
SW_API sw_status sw_optim_bind(sw_optim *optim, const sw_objective *objective);
/* Steps that make up an epoch for this objective (which it binds); 0: the estimator knows no epochs. */
SW_API int64_t sw_optim_steps_per_epoch(sw_optim *optim, const sw_objective *objective);
/* The length of the run in steps, for schedules; also options of unit "epochs" need the objective. */
SW_API sw_status sw_optim_set_total_steps(sw_optim *optim, int64_t steps);
/* That length: set by the program, by sw_train, or read from a file. 0: none is known. */
SW_API int64_t sw_optim_total_steps(const sw_optim *optim);
/* The value of a rule's option in the last (before the first: the first) step; group from 0. NaN and an
 * error for an unknown name. */
SW_API double sw_optim_option(const sw_optim *optim, int group, const char *name);
SW_API int sw_optim_group_count(const sw_optim *optim);
/* Bytes: state of the rules, of the estimator (vectors and tables) and of the average; and what is only
 * worked in (scratch, a search's vectors, the point). */
typedef struct sw_optim_memory {
    size_t rule, estimator, average, work;
} sw_optim_memory;
SW_API sw_optim_memory sw_optim_bytes(const sw_optim *optim);
/* State by name, as the methods' tables call it; views, not copies. data NULL, or NaN: no such name. */
/* A parameter's part of its rule's slot ("m"), in its shape. */
SW_API sw_array sw_optim_param_slot(const sw_optim *optim, const sw_param *param, const char *slot);
/* A slot of the estimator, of the one inside it, or of the average ("ema"), as a vector. */
SW_API sw_array sw_optim_slot(const sw_optim *optim, const char *slot);
/* A scalar of a group's rule ("d"); group -1: of estimator, line search or average. */
SW_API double sw_optim_scalar(const sw_optim *optim, int group, const char *name);

/* The tape on which objectives are evaluated, made on demand: for its switches (SW_CHECK). The optimizer's
 * own; NULL after an error. */
SW_API sw_tape *sw_optim_tape(sw_optim *optim);

/* 2-norms over the parameters of a layer, of the last step taken: x after it, the gradient that the rule saw
 * (combined and clipped), and x after less x before. */
typedef struct sw_norms {
    double parameter, gradient, update;
} sw_norms;
/* Whether steps take them. A step then copies x and reads x and g again; off, it costs nothing. */
SW_API sw_status sw_optim_record_norms(sw_optim *optim, bool on);
/* layer: the part of names before a dot, "linear1" for linear1.weight and linear1.bias, or a whole name;
 * NULL: all parameters. Tied ones count once. NaN before the first step that was watched; a skipped step
 * leaves them. An unknown name, or an optimizer that is not watched, is an error. */
SW_API sw_status sw_optim_norms(const sw_optim *optim, const char *layer, sw_norms *norms);

/* ---- Checkpoints ---- */
/* A file holds what is needed to resume a run, so that it is bit for bit identical to an uninterrupted one:
 * the parameters; the state of rules (by parameter), of the estimator and those inside it, of line search and
 * average; the sampler's place; counters. Equal states give equal files.
 *
 * To resume, a program makes the same optimizer again, binds it (sw_optim_bind) if it was bound when it
 * was saved, since an estimator's tables are made for its objective, and loads. Specs are the program's, and
 * not read from the file. Methods, groups, seed, n, and options that are whole numbers or choices (batch,
 * nesterov) must be those of the file; real numbers and durations (lr, decay), clip, and schedules, which
 * have no state, may be others: a run may continue with a smaller step. The length of the run is the file's
 * unless the program has set one, or gives one to sw_train. Every mismatch is reported in one message, and
 * nothing is changed after any error.
 *
 * What is the program's own, like the place of a loader, goes into the same file through an archive, under
 * names that do not begin with "optim.":
 *
 *     sw_archive *a = sw_archive_new();
 *     sw_optim_pack(optim, a);
 *     sw_archive_put_copy(a, "loader", sw_array_view(place, SW_I64, SW_SHAPE(2)));
 *     sw_archive_save(a, path);
 *     sw_archive_free(a);
 *
 * The values of eps and of a mean's length (β2) decide whether a rule in f32 keeps second moments in f64
 * (rules/small_eps.c; for Adam with β2 = 0.999, eps below 1e-13). A file can be loaded only if it was saved
 * with the same choice. With parameters of f64 the slots are the same for all values.
 * Files of versions that kept means in f32 without a second vector (ema_low, mean_low, next_low, sum_low) are
 * read; those vectors are zero then, as if the mean had just been rounded.
 *
 * The parameters alone are read from such a file by sw_params_unpack with the prefix "optim.x.". */
SW_API sw_status sw_optim_save(const sw_optim *optim, const char *path);
SW_API sw_status sw_optim_load(sw_optim *optim, const char *path);
/* Vectors are not copied: the archive is to be saved before the next step. */
SW_API sw_status sw_optim_pack(const sw_optim *optim, sw_archive *archive);
SW_API sw_status sw_optim_unpack(sw_optim *optim, const sw_archive *archive);

/* Every method, made from the tables: its source; its state in bytes a parameter, and how many bytes a
 * parameter a step of a rule or an average moves to and from memory, both in f32; how many gradients a step of
 * an estimator evaluates, and what a trial of a line search; its options with
 * defaults and ranges, and the range in which a search looks. */
SW_API void sw_optim_list(FILE *to);

/* ---- Training -------------------------------------------------------------------------------- */

/* What callbacks of sw_train see. Steps are counted with the skipped ones, as epochs are: of the whole run,
 * also what the optimizer did before this call. */
typedef struct sw_train_state {
    sw_optim *optim;
    int64_t step, total_steps;      /* done; of the whole run, 0: no end is set */
    int64_t steps_per_epoch, epoch; /* epochs: complete ones */
    double loss;                    /* of this step; NaN: skipped, or not known */
    double mean_loss;               /* over the steps since the last evaluation, by the weights of their losses;
                                     * also those of an earlier call that was stopped before it and of one
                                     * that was saved and loaded. Of losses that are sums: their sum */
    double gradient_norm;           /* of the last step taken, before clipping */
    bool skipped;                   /* this step was */
    double seconds, period_seconds; /* spent on steps, not in callbacks: in this call; since the last
                                     * evaluation */
    const void *point;              /* `evaluate`: where to; else NULL */
    double metric;                  /* `evaluate`: mean_loss; may be set to what the target is compared with */
    bool stop;                      /* may be set: the run ends here */
} sw_train_state;

/* An error (any status but SW_OK, or SW_OK with an error left pending) ends the run and is what sw_train
 * returns. A callback that handles an error clears it by sw_clear_error. */
typedef sw_status sw_train_callback(void *user, sw_train_state *state);

typedef enum sw_goal { SW_GOAL_NONE = 0, SW_GOAL_BELOW, SW_GOAL_ABOVE } sw_goal;

typedef struct sw_train_options {
    size_t size; /* sizeof(sw_train_options) */
    /* Length of the whole run, from the optimizer's first step: one of the two, or neither: the optimizer's own
     * steps if the program or a file has set them, else until something below ends it. An optimizer that has
     * done part of it, in an earlier call or before it was saved, continues from there: to train e more
     * epochs, set epochs to those already done plus e. A call with nothing left to do is an error
     * (SW_ERR_STATE); sw_train_remaining tells beforehand. An epoch of an estimator without batches is one
     * step. */
    int64_t epochs, steps;
    void *user;             /* for the callbacks, each of which may be NULL */
    sw_train_callback *log; /* after every log_every-th step (0: each) */
    int64_t log_every;
    /* After every evaluate_every-th step (0: each epoch), and at the end of a run that is complete. */
    sw_train_callback *evaluate;
    int64_t evaluate_every;
    sw_train_callback *progress; /* every progress_every-th step (0: 16), each epoch, and the last step */
    int64_t progress_every;
    /* Ends the run when the metric of an evaluation is at most, or at least, the target; without `evaluate`
     * it is the mean loss since the last time. */
    sw_goal goal;
    double target;
    double tolerance; /* ends the run when the norm of the gradient of all samples, with what the rules add to the
                       * objective (weight_decay, l1 and bounds of sgd, as schedules have them), is at most this;
                       * 0: never. It is taken after a step whose own gradient's is at most this, at most eight
                       * times an epoch. So does an estimator whose own test, in this run, says that x is good
                       * enough: "sag tol=1e-8". If the norm after that step is above 3 tol, the run goes on */
    /* So many steps skipped in a row, counting those just before the call, are an error; 0: 100. */
    int64_t most_skipped;
    const volatile sig_atomic_t *stop; /* not 0: the run ends before the next step, or where many steps are taken in one
                                        * loop, after it: within an epoch. For signals */
} sw_train_options;

typedef enum sw_train_reason {
    SW_TRAIN_COMPLETE = 0, /* all steps were done */
    SW_TRAIN_TARGET,
    SW_TRAIN_TOLERANCE,
    SW_TRAIN_CALLBACK, /* a callback asked for it */
    SW_TRAIN_STOP,     /* the stop flag: what was cut short is not evaluated */
    SW_TRAIN_SKIPPED,  /* too many in a row, or all of this call: an error */
    SW_TRAIN_ERROR,
    SW_TRAIN_NOT_CONVERGED /* all steps were done, and the gradient is above the tolerance that was asked for */
} sw_train_reason;

typedef struct sw_train_result {
    sw_train_reason reason;
    int64_t steps, skipped; /* taken and skipped by this call */
    double epochs;          /* done by this call */
    double seconds;         /* spent on steps */
    double mean_loss;       /* over the steps of the last period between evaluations, whole or not */
    double metric;          /* of the last evaluation (or the mean loss then); NaN: there was none */
    double gradient_norm;   /* of the last step taken */
    double tolerance;       /* that ended the run: the option, or the estimator's ("sag tol="), 0 if that is
                                 * not known; if neither did, the larger one; 0: there is none */
    double full_norm;       /* with a tolerance: the norm at the end of the gradient of all samples, with the
                                 * penalty; INFINITY where x is outside its bounds; NaN: it was not taken */
} sw_train_result;

/* How the run ended, in a line: "not converged after 50 epochs: the gradient's norm is 3.1e-05, 31 times the tolerance
 * 1e-06". Writes at most `size` bytes to text, and returns it. */
SW_API const char *sw_train_result_text(const sw_train_result *result, char *text, size_t size);

/* Takes steps on the objective until the run is complete or one of the options ends it. A length given here
 * is also the length of the schedules, unless the program has set the optimizer's own length
 * (sw_optim_options.total_steps, sw_optim_set_total_steps), which takes precedence. After a call with epochs = 5, a call
 * with epochs = 10 trains five more epochs, and the schedules continue at the middle of a run of ten.
 * `result`, unless NULL, is filled whatever happens. README.md shows the same by public calls. An error that
 * is pending (core.h, "Errors") when it is called, or that the objective or a callback leaves pending, ends
 * it: no step is taken after it. */
SW_API sw_status sw_train(const sw_objective *objective, sw_optim *optim, const sw_train_options *options,
                          sw_train_result *result);
/* The steps that sw_train with these options (or NULL) still has to take, counting skipped steps; 0 if the
 * run is complete, also one that was loaded; INT64_MAX where no length is set. Binds the objective, takes no
 * step. -1 after an error, and while one is pending, since then no step would be taken: a loop
 * `while (sw_train_remaining(f, o, how) > 0)` ends. */
SW_API int64_t sw_train_remaining(const sw_objective *objective, sw_optim *optim, const sw_train_options *options);

/* ---- Custom methods -------------------------------------------------------------------------- */
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

/* ---- Rules ---- */

typedef enum sw_unit {
    SW_UNIT_ELEMENT = 0, /* each element by itself: kernels over stretches of the vector */
    SW_UNIT_TENSOR       /* a parameter at a time: `tensor` instead of the update kernel */
} sw_unit;

enum {
    SW_RULE_LINEAR = 1, /* the step is the learning rate (option "lr") times a direction */
    SW_RULE_PENALTY = 2, /* its option weight_decay adds λx to the gradient: the penalty λ/2 ‖x‖² is part of what is
                          * minimized. Estimators know of it (step sizes), and so do tests for convergence. These
                          * take its options l1, nonnegative, low and high, if it has them, as those of sgd */
    SW_RULE_EXACT_GRADIENT = 4 /* errors of gradients add up in its steps: for estimators that are EXACT */
};

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

/* ---- Estimators ---- */

enum {
    SW_ESTIMATOR_OBJECTIVE = 1, /* evaluates by itself: not for sw_optim_step */
    SW_ESTIMATOR_WRAPPER = 2,   /* works through an inner estimator, named by its SPEC option */
    SW_ESTIMATOR_DIRECT = 4,    /* g is what sw_estimate_gradient gave, unchanged: a line search needs
                                 * that, since its trials are of the same samples */
    SW_ESTIMATOR_ONCE = 8,      /* `estimate` may run once a step only (its tables take what it saw) */
    SW_ESTIMATOR_AGAIN = 16,    /* a wrapper that runs the inner estimate more than once a step */
    SW_ESTIMATOR_OWN_IDS = 32,  /* `sample` makes its ids without a sampler */
    SW_ESTIMATOR_EXACT = 64     /* g is the gradient of f at x, the mean over all samples */
};

typedef struct sw_estimator sw_estimator;

/* An estimator at work. */
typedef struct sw_estimate sw_estimate;
struct sw_estimate {
    const sw_estimator *method;
    const double *option;
    double *scalar; /* kept from step to step; a skipped step undoes what was written */
    int64_t step;   /* this one's number, from 1 */
    const sw_objective *objective;
    sw_params *params;
    sw_tape *tape;
    sw_dtype type;
    int64_t n, dim;
    void *slot[SW_MAX_SLOTS];
    uint64_t seed;       /* of the optimizer: for a separate stream, sw_rng_key(seed, "sag") */
    sw_sampler *sampler; /* over n with option "batch"; NULL without one, or with OWN_IDS */
    int64_t per_epoch;   /* steps of an epoch: the sampler's, unless `start` sets another; 0: unknown */
    bool wants_lr;       /* a rule has lr=auto: what `lr` is, is asked for */
    const int64_t *ids;  /* set by `sample`; NULL with count n: all */
    int64_t count;
    uint64_t draw;      /* of random numbers: a new one for each sampling (skipped steps use one
                               * up), equal for all passes of the step; `sample` may replace it */
    double value;       /* set by `estimate`: the mean loss at the step's samples; NaN: unknown */
    double weight;      /* of that loss: set by sw_estimate_gradient and sw_estimate_glm_derivatives when they are
                               * given &e->value; NaN: `count` */
    double lr;          /* may be set: the step size it proposes, for lr=auto; NaN: none */
    sw_estimate *inner; /* of a wrapper */
    void *optim;        /* the pipeline's own */
};

struct sw_estimator {
    size_t size; /* sizeof(sw_estimator) */
    const char *name, *summary, *source;
    const sw_option *options;
    const sw_slot *slots;
    const char *const *scalars;
    unsigned flags;
    /* Once, before the first step with an objective: refuse what does not fit. May be NULL. */
    sw_status (*start)(sw_estimate *e);
    /* Chooses ids and count. NULL: the next batch of the sampler. */
    sw_status (*sample)(sw_estimate *e);
    /* The gradient estimate at x, into g (dim elements of the parameters' type). Tables are read, not
     * written; a slot may be rebuilt if a scalar that vouches for it is written too. Inside a wrapper
     * it may run several times a step, at different x, unless SW_ESTIMATOR_ONCE. Returns what
     * sw_estimate_gradient returns when that is not SW_OK. */
    sw_status (*estimate)(sw_estimate *e, const void *x, void *g);
    /* The step was taken: tables move. It cannot be skipped any more. May be NULL. */
    sw_status (*commit)(sw_estimate *e);
    const char *cost;  /* of a step, for the list: "2 gradients of a batch"; may be NULL */
    int added_scalars; /* at the end of `scalars`, in a later version: a file without them can be loaded, and they
                        * are 0 then */
};
/* A scalar named "converged" becomes 1 when the estimator's own test says that x is good enough, so that a
 * loop can end: sw_optim_scalar(optim, -1, "converged"). Each test sets it anew; sw_train sets it to 0 when it
 * begins.
 *
 * Options of kind DURATION reach every method's functions in steps (in an estimator's `start` a part of a
 * run whose length is not yet set is NaN). */

/* For `estimate`: the checked gradient of the mean loss of some samples at x. SW_SKIPPED if it holds
 * Inf or NaN. value may be NULL. ids NULL with count n: all, in chunks.
 * Running statistics (SW_UPDATE_BUFFERS) move in one evaluation of a step: the first by this function with
 * the step's own samples (ids is e->ids). */
SW_API sw_status sw_estimate_gradient(sw_estimate *e, const void *x, const int64_t *ids, int64_t count, double *value,
                                      void *g);
/* The mean loss alone, Inf or NaN included. */
SW_API sw_status sw_estimate_value(sw_estimate *e, const void *x, const int64_t *ids, int64_t count, double *value);
/* For a generalized linear model: the checked s_i [count, outputs]; see sw_objective_glm_derivatives. */
SW_API sw_status sw_estimate_glm_derivatives(sw_estimate *e, const void *x, const int64_t *ids, int64_t count,
                                             double *value, void *s);
/* … and back: g = beta·g + Σ c_i [a_i, 1] for coefficients c [count, outputs] (dim elements), also where
 * parameters are frozen: the pipeline sets the final gradient to 0 there. */
SW_API sw_status sw_estimate_glm_combine(sw_estimate *e, const int64_t *ids, int64_t count, const void *c, double beta,
                                         void *g);
/* For a wrapper: the inner one's estimate at x. The first call of a step fills e->value. A wrapper's
 * ids, count and draw are the inner one's unless it samples by itself; the inner one samples and
 * commits first; scalars of both are undone by a skip. */
SW_API sw_status sw_estimate_inner(sw_estimate *e, const void *x, void *g);
/* A vector of `count` elements (0: dim) of the parameters' type, kept from `sample` to the end of
 * `commit`; index 0 to 3. Asking for more elements moves it. Each estimator, also a wrapper and its
 * inner one, has its own. */
SW_API void *sw_estimate_scratch(sw_estimate *e, int index, int64_t count);
/* Room for `count` ids, for a `sample` that chooses by itself; kept until the next step. */
SW_API int64_t *sw_estimate_ids(sw_estimate *e, int64_t count);

/* ---- Schedules, line searches, averages ---- */

/* Multiplies an option of a rule, of kind REAL (on=NAME, default lr). All take warmup=DURATION: a linear rise
 * from 1/warmup to 1 first; and over=DURATION: its length after that, where it is not the rest of the run
 * ("cosine over=50%"). */
typedef struct sw_schedule {
    size_t size; /* sizeof(sw_schedule) */
    const char *name, *summary, *source;
    const sw_option *options;
    /* At step t from 0, counted from the end of the warm-up, of `total` after it (0: not known). t may
     * reach total and more. The common options warmup and over follow the schedule's own, in steps. */
    double (*factor)(const double *option, double t, double total);
    bool needs_total;
} sw_schedule;

/* A search along the rule's direction d from x: f(α) = f(x + α d), on the step's samples. d is the
 * rule's step at lr = 1 (with several groups: their learning rates over the largest): exact to the rounding
 * of x, so that f32 wants α of moderate size. */
typedef struct sw_search sw_search;
struct sw_search {
    const double *option;
    double *scalar;      /* kept from step to step */
    double value, slope; /* f(0), f'(0) < 0 */
    double initial;      /* the rule's lr, of several the largest: a first guess */
    void *optim;
};
/* f(α) and f'(α); Inf and NaN are handed back as they are, with SW_OK: the search shrinks. slope NULL: the
 * value alone, without a backward pass. */
SW_API sw_status sw_search_eval(sw_search *search, double alpha, double *value, double *slope);

typedef struct sw_line_search {
    size_t size; /* sizeof(sw_line_search) */
    const char *name, *summary, *source;
    const sw_option *options;
    const char *const *scalars;
    sw_status (*search)(sw_search *search, double *alpha); /* SW_SKIPPED: no step */
    sw_status (*check)(const double *option);              /* options that do not go together; NULL: all do */
    const char *cost;                                      /* of a trial, for the list: "1 value"; may be NULL */
} sw_line_search;

/* Moves after each step, reading x. Kernels get an sw_step without g. */
typedef struct sw_average {
    size_t size; /* sizeof(sw_average) */
    const char *name, *summary, *source;
    const sw_option *options;
    const sw_slot *slots;
    const char *const *scalars;
    sw_status (*begin)(sw_step *step); /* SW_SKIPPED: nothing to do in this step */
    const sw_kernels *update;
    sw_status (*point_begin)(sw_step *step); /* before `point`, at the last step; SW_SKIPPED: at x */
    const sw_kernels *point;                 /* fills out; NULL: slot 0 is the point */
    /* As of a rule; x is the bound after the step, and there is no g. Sees the options alone. NULL: x and all
     * slots are copied before each step, and the average's slots are checked after it. If it is given there are
     * no copies: when `begin` fails, or sets a scalar or coefficient that is not finite, the step is partly done. */
    void (*reach)(const sw_step *step, sw_bounds *bounds);
} sw_average;

/* Registers a method, which must be a constant that stays. A name is taken once and holds no blank and none of
 * ; : = , . Options and slots each have names of their own; a default lies in its range. Thread-safe. */
SW_API sw_status sw_rule_register(const sw_rule *rule);
SW_API sw_status sw_estimator_register(const sw_estimator *estimator);
SW_API sw_status sw_schedule_register(const sw_schedule *schedule);
SW_API sw_status sw_line_search_register(const sw_line_search *search);
SW_API sw_status sw_average_register(const sw_average *average);
/* NULL: no such name. */
SW_API const sw_rule *sw_rule_find(const char *name);
SW_API const sw_estimator *sw_estimator_find(const char *name);
/* All there are, in the order of sw_optim_list: index from 0; NULL beyond the last. */
SW_API const sw_rule *sw_rule_at(int index);
SW_API const sw_estimator *sw_estimator_at(int index);
SW_API const sw_schedule *sw_schedule_at(int index);
SW_API const sw_line_search *sw_line_search_at(int index);
SW_API const sw_average *sw_average_at(int index);

#ifdef __cplusplus
}
#endif
#endif
