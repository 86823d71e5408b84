/* sw_train: the loop around sw_optim_minimize, with its length, its callbacks and the conditions for its end. */
#include "optim/convergence.h"
#include "optim/method_status.h"
#include "optim/optimizer.h"
#include "optim/skipped_steps.h"
#include "optim/step_loop.h"

#include <math.h>

typedef struct train_run {
    const sw_objective *objective;
    sw_train_options options;
    sw_train_state state;
    sw_train_result *result;
    int64_t period;  /* steps between evaluations */
    bool fresh;      /* no step was taken since the last evaluation */
    int64_t checked; /* the step after which the gradient of all samples was last computed for the tolerance */
    bool ended;
} train_run;

static void train_end(train_run *r, sw_train_reason reason) {
    if (!r->ended)
        r->result->reason = reason;
    r->ended = true;
}

/* ---- Length ---- */

static sw_status train_check_options(const sw_train_options *options) {
    if (options->epochs < 0 || options->steps < 0)
        return sw_fail(SW_ERR_ARGUMENT, "train: %lld epochs, %lld steps; 0 (not given) or more is needed",
                       (long long)options->epochs, (long long)options->steps);
    if (options->epochs && options->steps)
        return sw_fail(SW_ERR_ARGUMENT, "train: %lld epochs and %lld steps; set only one of the two",
                       (long long)options->epochs, (long long)options->steps);
    if (options->log_every < 0 || options->evaluate_every < 0 || options->progress_every < 0 ||
        options->most_skipped < 0)
        return sw_fail(SW_ERR_ARGUMENT, "train: log_every, evaluate_every, progress_every and most_skipped "
                                        "must be 0 (the default) or more");
    if (!(options->tolerance >= 0))
        return sw_fail(SW_ERR_ARGUMENT, "train: tolerance = %g; 0 (never) or more is needed", options->tolerance);
    if (options->goal < SW_GOAL_NONE || options->goal > SW_GOAL_ABOVE || (options->goal && isnan(options->target)))
        return sw_fail(SW_ERR_ARGUMENT,
                       "train: goal = %d, target = %g; a target needs SW_GOAL_BELOW or "
                       "SW_GOAL_ABOVE",
                       (int)options->goal, options->target);
    return SW_OK;
}

/* Finds the number of steps of the whole run, 0 if no length is set, and of the steps already done. */
static sw_status train_find_length(train_run *r, sw_optim *o) {
    const sw_train_options *options = &r->options;
    sw_train_state *s = &r->state;
    SW_TRY(train_check_options(options));
    SW_TRY(sw_optim_bind(o, r->objective));
    const int64_t per_epoch = sw_optim_steps_per_epoch(o, r->objective);
    s->steps_per_epoch = per_epoch > 0 ? per_epoch : 1; /* without batches, a step is an epoch */
    if (options->epochs > INT64_MAX / s->steps_per_epoch)
        return sw_fail(SW_ERR_ARGUMENT, "train: %lld epochs of %lld steps are too many", (long long)options->epochs,
                       (long long)s->steps_per_epoch);
    /* A length that an earlier call of sw_train set is ignored. */
    const int64_t set = o->length == SWO_LENGTH_TRAIN ? 0 : o->total;
    s->total_steps = options->epochs ? options->epochs * s->steps_per_epoch : options->steps ? options->steps : set;
    s->step = sw_optim_steps_taken(o) + sw_optim_steps_skipped(o);
    s->epoch = s->step / s->steps_per_epoch;
    return SW_OK;
}

/* The error of a call with nothing left to do. The message has the options for as many steps again. */
static sw_status train_nothing_left(const train_run *r) {
    const sw_train_options *options = &r->options;
    const sw_train_state *s = &r->state;
    const long long done = (long long)s->step, epochs = (long long)s->epoch;
    if (options->epochs)
        return sw_fail(SW_ERR_STATE,
                       "train: nothing is left to do: the optimizer has done %lld steps, %lld whole "
                       "epochs, and the length in the options is %lld epochs of the whole run; for %lld "
                       "more give epochs = %lld",
                       done, epochs, (long long)options->epochs, (long long)options->epochs,
                       epochs + (long long)options->epochs);
    return sw_fail(SW_ERR_STATE,
                   "train: nothing is left to do: the optimizer has done %lld steps, and the length %s "
                   "is %lld steps of the whole run; for %lld more give steps = %lld",
                   done, options->steps ? "in the options" : "that the optimizer has", (long long)s->total_steps,
                   (long long)s->total_steps, done + (long long)s->total_steps);
}

/* Steps between two checks of the tolerance. */
static int64_t train_checks_every(const train_run *r) {
    const int64_t eighth = r->state.steps_per_epoch / 8;
    return eighth > 0 ? eighth : 1;
}

static sw_status train_start(train_run *r, sw_optim *o) {
    const sw_train_options *options = &r->options;
    const sw_train_state *s = &r->state;
    SW_TRY(train_find_length(r, o));
    if (!s->total_steps && !options->goal && !(options->tolerance > 0) && !options->stop && !options->log &&
        !options->evaluate && !options->progress)
        return sw_fail(SW_ERR_ARGUMENT, "train: no condition would end the run: set epochs, steps, a target, a "
                                        "tolerance, a stop flag or a callback");
    if (s->total_steps && s->step >= s->total_steps)
        return train_nothing_left(r);
    if (o->length != SWO_LENGTH_PROGRAM && (options->epochs || options->steps)) {
        o->total = s->total_steps;
        o->length = SWO_LENGTH_TRAIN;
    }
    r->period = r->options.evaluate_every ? r->options.evaluate_every : s->steps_per_epoch;
    r->options.log_every += !r->options.log_every;
    r->options.progress_every += r->options.progress_every ? 0 : 16;
    /* An earlier call may have begun a period and ended before its evaluation. */
    r->state.mean_loss = sw_loss_mean_value(&o->period);
    r->state.gradient_norm = sw_optim_gradient_norm(o);
    r->state.loss_scale = sw_optim_loss_scale(o);
    r->state.steps_skipped = sw_optim_steps_skipped(o);
    r->checked = r->state.step - train_checks_every(r);
    swo_estimator_reset_converged(o); /* an earlier run may have had another tolerance or another x */
    r->result->tolerance = fmax(options->tolerance, swo_estimator_tolerance(o)); /* either of the two ends the run */
    o->wants_penalized = options->tolerance > 0;
    return SW_OK;
}

/* ---- A step ---- */

static sw_status train_add_loss(sw_optim *o, double loss, double weight) {
    sw_loss_mean *period = &o->period;
    if (period->unit != 0 && (period->unit == SW_SUMMED) != (weight == SW_SUMMED))
        *period = (sw_loss_mean){0}; /* the losses changed from means to sums or back, for example after loading */
    return isnan(loss) ? SW_OK : sw_loss_mean_add_part(period, loss, weight);
}

static sw_status train_add_step(void *user, double loss, double weight) {
    return train_add_loss(user, loss, weight);
}

/* The number of steps before the next one after which a callback is called or the tolerance is checked. */
static int64_t train_free_steps(const train_run *r) {
    enum { MOST = 100000 }; /* steps between two checks of the stop flag */
    const sw_train_state *s = &r->state;
    const int64_t every[] = {
        r->period, r->options.progress ? s->steps_per_epoch : 0, r->options.log ? r->options.log_every : 0,
        r->options.progress ? r->options.progress_every : 0, r->options.tolerance > 0 ? train_checks_every(r) : 0};
    int64_t least = s->total_steps ? s->total_steps - s->step : MOST;
    for (size_t i = 0; i < sizeof every / sizeof *every; i++)
        if (every[i] > 0 && every[i] - s->step % every[i] < least)
            least = every[i] - s->step % every[i];
    const int64_t cut = MOST - s->step % MOST; /* loops end at steps that do not depend on where a run was resumed */
    return (least < cut ? least : cut) - 1;
}

static void train_end_converged(train_run *r, double tolerance, double norm) {
    r->result->tolerance = tolerance;
    r->result->full_norm = norm;
    train_end(r, SW_TRAIN_TOLERANCE);
}

/* The test of the estimator applies to x before the step. If the step led far away from the minimum, the run continues.
 * A custom estimator may have a test but no option tol: then the tolerance is not known, and the test ends the run. */
static sw_status train_check_estimator_test(train_run *r) {
    static const double MOST = 3; /* the largest norm, in units of the tolerance */
    sw_optim *o = r->state.optim;
    const double tolerance = swo_estimator_tolerance(o);
    double norm = NAN;
    if (tolerance > 0)
        SW_TRY(swo_full_gradient_norm(o, r->objective, &norm));
    if (norm > MOST * tolerance)
        swo_estimator_reset_converged(o);
    else
        train_end_converged(r, tolerance, norm);
    return SW_OK;
}

/* The gradient of all samples costs as much as an epoch, which limits the number of checks. It is computed after the
 * step, even if the step itself computed the gradient of all samples: with momentum, x may have passed the minimum. */
static sw_status train_check_tolerance(train_run *r) {
    sw_train_state *s = &r->state;
    double norm;
    if (swo_estimator_converged(s->optim))
        return train_check_estimator_test(r);
    if (!(r->options.tolerance > 0) || !(s->optim->penalized_norm <= r->options.tolerance) ||
        s->step - r->checked < train_checks_every(r))
        return SW_OK;
    r->checked = s->step;
    SW_TRY(swo_full_gradient_norm(s->optim, r->objective, &norm));
    if (norm <= r->options.tolerance)
        train_end_converged(r, r->options.tolerance, norm);
    return SW_OK;
}

static sw_status train_step(train_run *r) {
    sw_train_state *s = &r->state;
    const int64_t skipped = sw_optim_steps_skipped(s->optim);
    double begin = sw_seconds();
    int64_t together = 0;
    sw_status status = swo_step_loop(s->optim, train_free_steps(r), train_add_step, s->optim, &together);
    if (status == SW_OK)
        status = sw_optim_minimize(s->optim, r->objective, &s->loss);
    double seconds = sw_seconds() - begin;
    if (r->fresh)
        s->period_seconds = 0, s->mean_loss = NAN, r->fresh = false;
    s->step += together;
    r->result->steps += together;
    s->seconds += seconds;
    s->period_seconds += seconds;
    s->skipped = sw_optim_steps_skipped(s->optim) >
                 skipped; /* includes the step for which too many were skipped, whose status is an error */
    if (status != SW_OK && !s->skipped)
        return status;
    s->step++;
    s->epoch = s->step / s->steps_per_epoch;
    s->loss_scale = sw_optim_loss_scale(s->optim);
    s->steps_skipped = sw_optim_steps_skipped(s->optim);
    if (s->skipped) {
        s->loss = NAN;
        r->result->skipped++;
        if (status == SW_SKIPPED)
            return SW_OK;
        train_end(r, SW_TRAIN_SKIPPED);
        return status;
    }
    r->result->steps++;
    s->gradient_norm = sw_optim_gradient_norm(s->optim);
    SW_TRY(train_add_loss(s->optim, s->loss, sw_optim_loss_weight(s->optim)));
    s->mean_loss = sw_loss_mean_value(&s->optim->period);
    return train_check_tolerance(r);
}

/* ---- Callbacks ---- */

static sw_status train_call(train_run *r, sw_train_callback *callback, const char *name) {
    sw_train_state *s = &r->state;
    if (callback)
        SW_TRY(swo_method_status("train", "callback", name, false, callback(r->options.user, s)));
    if (sw_error()) /* the callback left an error pending */
        return sw_error_status();
    if (s->stop)
        train_end(r, SW_TRAIN_CALLBACK);
    return SW_OK;
}

static sw_status train_evaluate(train_run *r) {
    sw_train_state *s = &r->state;
    s->metric = s->mean_loss;
    s->optim->period = (sw_loss_mean){0}; /* before the callback: a checkpoint that it saves begins a new period */
    if (r->options.evaluate) {
        s->point = sw_optim_point(s->optim);
        if (!s->point)
            return sw_last_failure();
        sw_status status = train_call(r, r->options.evaluate, "evaluate");
        s->point = NULL;
        SW_TRY(status);
    }
    r->result->metric = s->metric;
    r->fresh = true;
    if ((r->options.goal == SW_GOAL_BELOW && s->metric <= r->options.target) ||
        (r->options.goal == SW_GOAL_ABOVE && s->metric >= r->options.target)) {
        r->ended = false; /* the target takes precedence over other reasons */
        train_end(r, SW_TRAIN_TARGET);
    }
    return SW_OK;
}

static sw_status train_report(train_run *r) {
    sw_train_state *s = &r->state;
    if (s->step % r->options.log_every == 0)
        SW_TRY(train_call(r, r->options.log, "log"));
    const bool last = s->step == s->total_steps || r->ended;
    if (s->step % r->options.progress_every == 0 || s->step % s->steps_per_epoch == 0 || last)
        SW_TRY(train_call(r, r->options.progress, "progress"));
    const bool asked = r->ended && r->result->reason == SW_TRAIN_CALLBACK;
    if (s->step % r->period == 0 || (last && !asked))
        SW_TRY(train_evaluate(r));
    return SW_OK;
}

static sw_status train_loop(train_run *r) {
    const sw_train_state *s = &r->state;
    while (!r->ended && (s->total_steps == 0 || s->step < s->total_steps)) {
        if (r->options.stop && *r->options.stop) {
            train_end(r, SW_TRAIN_STOP);
        } else {
            SW_TRY(train_step(r));
            SW_TRY(train_report(r));
        }
    }
    return sw_error_status(); /* an error that the objective left pending */
}

/* After the last step: whether the gradient's norm is within the tolerance. */
static sw_status train_check_convergence(train_run *r) {
    if (r->result->reason != SW_TRAIN_COMPLETE)
        return SW_OK;
    SW_TRY(swo_full_gradient_norm(r->state.optim, r->objective, &r->result->full_norm));
    r->result->reason = r->result->full_norm <= r->result->tolerance ? SW_TRAIN_TOLERANCE : SW_TRAIN_NOT_CONVERGED;
    return SW_OK;
}

sw_status sw_train(const sw_objective *objective, sw_optim *o, const sw_train_options *options,
                   sw_train_result *result) {
    sw_train_result unused = {.reason = SW_TRAIN_COMPLETE};
    train_run r = {.objective = objective,
                   .options = {.size = sizeof r.options},
                   .result = result ? result : &unused,
                   .state = {.optim = o, .loss = NAN, .mean_loss = NAN, .gradient_norm = NAN, .metric = NAN}};
    *r.result = (sw_train_result){
        .reason = SW_TRAIN_COMPLETE, .mean_loss = NAN, .metric = NAN, .gradient_norm = NAN, .full_norm = NAN};
    if (!o) {
        train_end(&r, SW_TRAIN_ERROR);
        return sw_error() ? sw_error_status() : sw_fail(SW_ERR_ARGUMENT, "train: the optimizer is NULL");
    }
    if (sw_error()) {
        train_end(&r, SW_TRAIN_ERROR);
        return sw_error_status();
    }
    sw_status status = SW_OK;
    if (options)
        status = sw_options_copy("train", "sw_train_options", &r.options, sizeof r.options, options,
                                 offsetof(sw_train_options, stop) + sizeof r.options.stop);
    if (status == SW_OK)
        status = train_start(&r, o);
    const int64_t before = r.state.step;
    if (status == SW_OK) {
        o->most_skipped = r.options.most_skipped;
        status = train_loop(&r);
        o->most_skipped = 0;
    }
    const bool stopped = r.result->reason != SW_TRAIN_COMPLETE && r.result->reason != SW_TRAIN_CALLBACK;
    if (status == SW_OK && !stopped && r.result->steps == 0 && r.result->skipped > 0) {
        r.ended = false; /* this reason takes precedence */
        train_end(&r, SW_TRAIN_SKIPPED);
        char which[64];
        sw_format(which, sizeof which, "all %lld steps", (long long)r.result->skipped);
        status = swo_fail_skipped(o, "train", which);
    }
    o->wants_penalized = false;
    if (status == SW_OK && r.result->tolerance > 0)
        status = train_check_convergence(&r);
    if (status != SW_OK)
        train_end(&r, SW_TRAIN_ERROR);
    if (r.state.steps_per_epoch)
        r.result->epochs = (double)(r.state.step - before) / (double)r.state.steps_per_epoch;
    r.result->seconds = r.state.seconds;
    r.result->mean_loss = r.state.mean_loss;
    r.result->gradient_norm = r.state.gradient_norm;
    return status;
}

int64_t sw_train_remaining(const sw_objective *objective, sw_optim *o, const sw_train_options *options) {
    train_run r = {.objective = objective, .options = {.size = sizeof r.options}};
    if (!o) {
        if (!sw_error())
            sw_fail(SW_ERR_ARGUMENT, "train_remaining: the optimizer is NULL");
        return -1;
    }
    if (sw_error()) /* sw_train would take no step */
        return -1;
    if (options && sw_options_copy("train_remaining", "sw_train_options", &r.options, sizeof r.options, options,
                                   offsetof(sw_train_options, stop) + sizeof r.options.stop) != SW_OK)
        return -1;
    if (train_find_length(&r, o) != SW_OK)
        return -1;
    if (r.state.total_steps == 0)
        return INT64_MAX;
    return r.state.step < r.state.total_steps ? r.state.total_steps - r.state.step : 0;
}

const char *sw_train_result_text(const sw_train_result *r, char *text, size_t size) {
    static const char *const reasons[] = {[SW_TRAIN_COMPLETE] = "complete",
                                          [SW_TRAIN_TARGET] = "the target is reached",
                                          [SW_TRAIN_TOLERANCE] = "converged",
                                          [SW_TRAIN_CALLBACK] = "ended by a callback",
                                          [SW_TRAIN_STOP] = "stopped",
                                          [SW_TRAIN_SKIPPED] = "too many steps were skipped",
                                          [SW_TRAIN_ERROR] = "ended by an error",
                                          [SW_TRAIN_NOT_CONVERGED] = "not converged"};
    const bool known = r && (int)r->reason >= 0 && r->reason <= SW_TRAIN_NOT_CONVERGED;
    const char *reason = known ? reasons[r->reason] : "unknown";
    if (known && (r->reason == SW_TRAIN_NOT_CONVERGED || (r->reason == SW_TRAIN_TOLERANCE && !isnan(r->full_norm))))
        sw_format(text, size, "%s after %.4g epochs: the gradient's norm is %.3g, %.3g times the tolerance %g", reason,
                  r->epochs, r->full_norm, r->full_norm / r->tolerance, r->tolerance);
    else
        sw_format(text, size, "%s after %.4g epochs", reason, r ? r->epochs : 0);
    return text;
}
