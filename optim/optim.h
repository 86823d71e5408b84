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

#include <swale/archive.h>
#include <swale/average.h>
#include <swale/estimator.h>
#include <swale/line_search.h>
#include <swale/objective.h>
#include <swale/rule.h>
#include <swale/schedule.h>

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

#ifdef __cplusplus
}
#endif

#include <swale/train.h>
#endif
