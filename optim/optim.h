/* swale optim: optimizers that are combined from independent parts. It depends only on core.
 *
 *     sw_optim *optim = sw_optim_new(params, "adamw lr=1e-3");
 *     while (sw_optim_epoch(optim) < 10)
 *         sw_optim_minimize(optim, objective, NULL);
 *
 * sw_train (train.h) has a loop with evaluation and callbacks. An optimizer consists of
 *   - an estimator, which computes the gradient (mini-batch, SAG, SVRG, SAM, …),
 *   - a rule, which changes x (SGD, Adam, Muon, …), one for each group of parameters,
 *   - schedules or a line search, which determine the step size,
 *   - an average, which determines the point to evaluate (the last point, an EMA, …).
 *
 * Each part is selected by a spec, a name with options: "adamw lr=1e-3 weight_decay=0.01". sw_optim_list prints all
 * methods with their options. Any parts can be combined, except for some pairs that sw_optim_new_with_options refuses
 * with the reason.
 *
 * Every step has the same sequence: the estimator samples ids and evaluates gradients, each of which is checked for
 * Inf and NaN; the estimator combines them; the result is clipped; the rules update x; running statistics are
 * committed ("Buffers" in params.h); the average is updated; the estimator commits its tables; the `accepted` function
 * of each rule is called (rule.h). Rules treat subnormal numbers (below 1e-38 in f32) as zero: see sw_subnormals_flush
 * (parallel.h). If eps is so small that this would matter, a rule stores its second moments in f64, which takes 4 more
 * bytes for each of their elements.
 *
 * A gradient with Inf or NaN ends the step with SW_SKIPPED. The number of steps taken, schedules, tables, states,
 * running statistics and averages have not changed then; only the sampler has advanced (and sw_optim_epoch with it), so
 * that the next step gets other samples and random numbers; a dynamic loss scale is halved (see loss_scale below); and
 * `skipped` of an estimator may have changed its scalars. After 100 skipped steps in a row the status is
 * SW_ERR_NONFINITE, and the message gives the cause; after sw_clear_error the count starts again.
 *
 * After SW_OK, x and the states, scalars and step sizes of all methods are finite. A step that would make one of them
 * infinite or NaN, or a parameter too large for its storage type, is refused with SW_ERR_NONFINITE; the message names
 * the method, the quantity and the step. x and the states then keep their bits, and only the sampler has advanced.
 * Values of frozen parameters are not checked: an attention mask with -Inf may be one. If such a value is not finite,
 * the states of averages are 0 (sw_optim_slot), and sw_optim_point returns the value itself. After any other error, or
 * if `commit` of an estimator or `accepted` of a rule fails, the step may be partly done.
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

/* Options of an optimizer. */
typedef struct sw_optim_options {
    size_t size; /* sizeof(sw_optim_options) */
    /* "minibatch batch=64". NULL: "minibatch", or "full" for rules with SW_RULE_EXACT_GRADIENT. A wrapper has an inner
     * estimator, which is given by of=: see sw_estimator (estimator.h). */
    const char *estimator;
    /* "adam lr=1e-3"; NULL: "sgd". Several groups: "role=weight rank=2: sgd lr=0.1; name=head.*: adam; sgd lr=0.01". A
     * parameter belongs to the first group all of whose selectors match it; a group without a selector matches all
     * parameters. The selectors, separated by blanks, are role=R (sw_role_name), rank=N (the number of axes), and
     * name=PATTERN, in which * stands for any characters and ? for one; several patterns must all match. A group
     * without parameters is an error, and so is a parameter that a rule cannot update (sw_rule.fits). */
    const char *rule;
    /* "cosine warmup=500", or several schedules: "cosine; constant warmup=10% on=weight_decay". `on` names the option
     * of the rule that the schedule multiplies (default: lr); the factors of several schedules for one option are
     * multiplied. A line search may replace the schedules of lr. NULL: the constant schedule. If an option other than
     * lr leaves its range, the step ends with an error. */
    const char *schedule;
    const char *average; /* "ema decay=0.999"; NULL: no average */
    double clip;         /* the largest 2-norm of the whole gradient; 0: no clipping */
    uint64_t seed;       /* of sampling and of the random numbers in the objective */
    int64_t total_steps; /* the length of the whole run, for schedules that need it; 0: not known */
    /* The loss scale of the parameters (sw_params_set_loss_scale), which keeps small gradients in f16 from becoming 0.
     * "dynamic initial=65536 interval=2000 least=1" begins with `initial`. A step that is skipped because of Inf or NaN
     * in a gradient halves it, but not below `least`; `interval` steps in a row without such a skip double it, up to
     * 2^24. This is the rule of PyTorch's GradScaler, apart from the two bounds. "1024", a power of 2 from 2^-24 to
     * 2^24, is a constant scale, "none" is 1. NULL: "dynamic" if the parameters are stored in f16, else "none": bf16
     * has the range of f32 and needs no scale. The optimizer sets the scale when it is made. Several optimizers of the
     * same parameters share it. */
    const char *loss_scale;
} sw_optim_options;

/* Makes an optimizer for built parameters, which must outlive it. options NULL: all defaults. NULL and an error if a
 * spec is invalid or the parts cannot be combined. */
SW_API sw_optim *sw_optim_new_with_options(sw_params *params, const sw_optim_options *options);
/* Makes an optimizer with a rule, and defaults for the other options: sw_optim_new(params, "adamw lr=1e-3"). */
SW_API sw_optim *sw_optim_new(sw_params *params, const char *rule);
/* Frees the optimizer. Accepts NULL. */
SW_API void sw_optim_free(sw_optim *optim);

/* Takes one step with the gradient in the gradient block of the parameters, which is fresh afterwards. For programs
 * that call sw_backward themselves, with estimators that need one gradient and no objective; others are an error
 * (SW_ERR_STATE), and so is a fresh block. It returns SW_SKIPPED, or SW_ERR_NONFINITE if the last 100 steps were
 * skipped, as described above; the block is fresh then too. While an error is pending (error.h) it takes no step and
 * returns the status of the error. */
SW_API sw_status sw_optim_step(sw_optim *optim);
/* Takes one step on an objective of the optimizer's parameters. `value`, if not NULL, receives the mean loss of the
 * samples of this step before the step, which may be Inf or NaN; NaN if it is not known. The objective must outlive the
 * optimizer and be the same in every call. If a line search finds no step, the result is SW_SKIPPED too; near a
 * minimum, end the loop at the first SW_SKIPPED. While an error is pending it takes no step and returns the status of
 * the error. */
SW_API sw_status sw_optim_minimize(sw_optim *optim, const sw_objective *objective, double *value);

/* Takes up to `steps` ≥ 1 steps, as sw_optim_minimize; the value is the mean loss over all of them. It ends at the
 * first step that is skipped or fails, and returns the status of that step.
 *
 * Many steps are taken in one fast loop if the samples of a generalized linear model are in memory (sw_glm_new), the
 * estimator is sag, saga or svrg and not inside a wrapper (or any estimator with `run`), the rules are sgd without
 * momentum (or custom ones like it, without `accepted`), the average is a running mean (sw_average.weight), and there
 * is no clipping, schedule, line search or recording of norms, and the storage type is not f16. sw_train uses this loop
 * too. For dense rows the result is bit-for-bit that of single steps. For sparse rows a step costs O(nonzeros), also
 * with weight_decay, l1, bounds and averages, and the result equals that of single steps up to rounding. */
SW_API sw_status sw_optim_minimize_steps(sw_optim *optim, const sw_objective *objective, int64_t steps, double *value);

/* The vector at which the model should be evaluated: that of the average, that of the rule if it defines one, or the
 * vector of the parameters. It is valid until the next step. Pass it to sw_tape_bind or to functions with an argument
 * `x`; the vector of the parameters does not change. NULL after an error. */
SW_API const void *sw_optim_point(sw_optim *optim);
/* Copies that vector to the parameters, at the end of a run, so that the point that was evaluated is saved, used for
 * predictions or trained further. Rules adapt their state to it (sw_rule.adopted). Does nothing if the two are the same
 * vector. SW_ERR_NONFINITE if an element, unless it is frozen, would be infinite in the storage type. Nothing is
 * changed after an error. */
SW_API sw_status sw_optim_adopt_point(sw_optim *optim);

/* The number of steps taken, without skipped ones. While an error is pending no step is taken and the number does not
 * change. Therefore a loop that runs until some step must check the error too:
 *
 *     while (sw_optim_steps_taken(o) < n && !sw_error())
 *         sw_optim_minimize(o, f, NULL); */
SW_API int64_t sw_optim_steps_taken(const sw_optim *optim);
SW_API int64_t sw_optim_steps_skipped(const sw_optim *optim); /* all steps that were skipped */
SW_API double sw_optim_gradient_norm(const sw_optim *optim);  /* of the last step taken, before clipping */
/* The loss scale of the next backward pass, sw_params_loss_scale of the parameters. NaN if optim is NULL. */
SW_API double sw_optim_loss_scale(const sw_optim *optim);
/* The weight (loss_mean.h) of the loss whose value the last sw_optim_minimize returned; if the step evaluated several
 * losses with different weights, that of the first. NaN before the first step. */
SW_API double sw_optim_loss_weight(const sw_optim *optim);
/* The number of samples requested from the objective so far, divided by its n. While an error is pending it is
 * INFINITY, so that a loop `while (sw_optim_epoch(o) < n)` ends, because no step is taken then. After sw_clear_error it
 * returns the real number again. */
SW_API double sw_optim_epoch(const sw_optim *optim);
/* Binds the optimizer to its objective: checks the objective and makes the tables of the estimator. The first
 * sw_optim_minimize does this itself. Call it before loading a checkpoint, or to read the tables earlier. */
SW_API sw_status sw_optim_bind(sw_optim *optim, const sw_objective *objective);
/* The number of steps in an epoch of this objective, which it binds; 0 if the estimator has no batches, and after an
 * error. */
SW_API int64_t sw_optim_steps_per_epoch(sw_optim *optim, const sw_objective *objective);
/* Sets the length of the whole run in steps, for schedules; 0: not known. */
SW_API sw_status sw_optim_set_total_steps(sw_optim *optim, int64_t steps);
/* The length of the whole run: set by the program, by sw_train, or read from a file. 0: not known. */
SW_API int64_t sw_optim_total_steps(const sw_optim *optim);
/* The value that an option of a rule had in the last step, or before the first step, the value that it will have then.
 * Groups are counted from 0. NaN and an error for an unknown name. */
SW_API double sw_optim_option(const sw_optim *optim, int group, const char *name);
/* The number of groups. */
SW_API int sw_optim_group_count(const sw_optim *optim);
/* Bytes of memory: the states of the rules, of the estimator (vectors and tables) and of the average; and `work`,
 * memory for intermediate results (scratch, the vectors of a line search, the point). */
typedef struct sw_optim_memory {
    size_t rule, estimator, average, work;
} sw_optim_memory;
/* The memory that the optimizer uses. */
SW_API sw_optim_memory sw_optim_bytes(const sw_optim *optim);
/* The following functions return the state by the names in the methods' tables. Arrays are views, not copies. If there
 * is no such name, data is NULL, or the number is NaN, without an error. */
/* The part of a rule's slot ("m") for a parameter, in the shape of the parameter. */
SW_API sw_array sw_optim_param_slot(const sw_optim *optim, const sw_param *param, const char *slot);
/* A slot with `count` of a rule of unit VECTOR (a history), as a vector. Groups are counted from 0. */
SW_API sw_array sw_optim_group_slot(const sw_optim *optim, int group, const char *slot);
/* A slot of the estimator, of its inner estimators, or of the average ("ema"), as a vector. */
SW_API sw_array sw_optim_slot(const sw_optim *optim, const char *slot);
/* A scalar of the rule of a group ("d"); with group -1, of the estimator, the line search or the average. */
SW_API double sw_optim_scalar(const sw_optim *optim, int group, const char *name);

/* The tape on which objectives are evaluated, for its switches (SW_CHECK, SW_MEASURE). The optimizer owns it and makes
 * it on demand. NULL after an error. */
SW_API sw_tape *sw_optim_tape(sw_optim *optim);

/* 2-norms over the parameters of a layer in the last step taken: of x after the step, of the gradient that the rule
 * received (combined and clipped), and of the difference of x after and before the step. */
typedef struct sw_norms {
    double parameter, gradient, update;
} sw_norms;
/* Switches the recording of norms on or off. While it is on, a step copies x and reads x and the gradient once more. */
SW_API sw_status sw_optim_record_norms(sw_optim *optim, bool on);
/* Returns the recorded norms of a layer: of the parameters whose names begin with it and a dot ("linear1" for
 * linear1.weight and linear1.bias), or of one parameter by its whole name; NULL: all parameters. Tied parameters count
 * once. The norms are NaN before the first recorded step; a skipped step does not change them. An error for an unknown
 * name, or if norms are not recorded. */
SW_API sw_status sw_optim_norms(const sw_optim *optim, const char *layer, sw_norms *norms);

/* ---- Checkpoints ---- */
/* A checkpoint contains everything that is needed to resume a run, so that the resumed run is bit-for-bit identical to
 * an uninterrupted one: the parameters; the states of the rules (by parameter), of the estimator and its inner
 * estimators, of the line search and of the average; the position of the sampler; a dynamic loss scale; and counters.
 * Equal states give equal files.
 *
 * To resume, make the same optimizer again, bind it (sw_optim_bind) if it was bound when it was saved, because the
 * tables of an estimator are made for its objective, and load the file. The specs are those of the program; they are
 * not read from the file. The methods, groups, seed, n, and options that are integers or choices (batch, nesterov) must
 * equal those of the file. Options that are real numbers or durations (lr, decay), clip, loss_scale, and schedules,
 * which have no state, may differ: a run may continue with a smaller step. The length of the run is read from the file
 * unless the program has set one, or passes one to sw_train. One message reports every mismatch, and nothing is changed
 * after any error.
 *
 * A hand-written loop with its own loader and tape must also save the position of the loader (sw_loader_get_position)
 * and, for dropout and other random layers, the draw of the tape (sw_tape_draw). Data of the program can be saved in
 * the same file by an archive (archive.h), under names that do not begin with "optim.":
 *
 *     sw_archive *a = sw_archive_new();
 *     sw_optim_pack(optim, a);
 *     sw_archive_put_copy(a, "loader", sw_array_view(position, SW_I64, SW_SHAPE(2)));
 *     sw_archive_save(a, path);
 *     sw_archive_free(a);
 *
 * With parameters of f32, the values of eps and of the length of a mean (β2) decide whether a rule stores second
 * moments in f64 (second_moments.h; for Adam with β2 = 0.999, if eps is below 1e-13). A file can be loaded only by an
 * optimizer with the same decision. With parameters of f64 the slots are the same for all values.
 *
 * Files of older versions, which stored means in f32 without a second vector (ema_low, mean_low, next_low, sum_low),
 * can be loaded; these vectors are zero then, as if the mean had just been rounded.
 *
 * To load only the parameters from such a file, call sw_params_unpack with the prefix "optim.x.". */

/* Save a checkpoint to a file, or load it. */
SW_API sw_status sw_optim_save(const sw_optim *optim, const char *path);
SW_API sw_status sw_optim_load(sw_optim *optim, const char *path);
/* As sw_optim_save and sw_optim_load, with an archive. sw_optim_pack does not copy vectors: save the archive before the
 * next step. */
SW_API sw_status sw_optim_pack(const sw_optim *optim, sw_archive *archive);
SW_API sw_status sw_optim_unpack(sw_optim *optim, const sw_archive *archive);

/* Prints all methods, from their tables: the publication; the bytes of state per parameter, and the bytes per parameter
 * that a step of a rule or an average reads and writes, both in f32; the number of gradients that a step of an
 * estimator evaluates, and the cost of a trial of a line search; the options with their defaults and ranges, and the
 * ranges for a search of hyperparameters. */
SW_API void sw_optim_list(FILE *to);

#ifdef __cplusplus
}
#endif

#include <swale/curve.h>
#include <swale/landscape.h>
#include <swale/plane.h>
#include <swale/train.h>
#endif
