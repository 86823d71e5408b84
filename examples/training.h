/* Code of the programs that train a network with any method, fashion_mnist and gpt: options of the method, types,
 * optimizer, the run with its signals, results. Not part of the library.
 *
 * A program puts the macros into its table of options:
 *
 *     static const cli_option options[] = {
 *         TRAINING_METHODS("64", 60000, "adam lr=1e-3", "constant", "0: no limit"), TRAINING_TYPES,
 *         TRAINING_CHECKPOINT, TRAINING_CHECKS, TRAINING_LIST, CLI_COMMON(...)}; */
#ifndef SWALE_EXAMPLES_TRAINING_H
#define SWALE_EXAMPLES_TRAINING_H

#include "cli.h"

#include <swale/swale.h>

/* The values of these options, with defaults that a program may change before cli_start. */
static struct {
    const char *estimator, *rule, *schedule, *average, *dtype, *loss_scale, *checkpoint;
    int64_t batch;
    double clip;
    bool check, memory, list;
} training = {.rule = "adam lr=1e-3", .schedule = "constant", .average = "none", .dtype = "f32"};

/* The arguments are the defaults for --help, and the largest batch. */
#define TRAINING_METHODS(batch_default, most, rule_default, schedule_default, clip_default)                           \
    {"--batch", "N", CLI_COUNT, &training.batch, 1, most, "samples in a step (" batch_default ")"},                   \
        {"--estimator", "SPEC", CLI_TEXT, &training.estimator, 0, 0, "estimator of the gradient (minibatch)"},        \
        {"--rule", "SPEC", CLI_TEXT, &training.rule, 0, 0, "rule that updates the parameters (" rule_default ")"},    \
        {"--schedule",                                                                                                \
         "SPEC",                                                                                                      \
         CLI_TEXT,                                                                                                    \
         &training.schedule,                                                                                          \
         0,                                                                                                           \
         0,                                                                                                           \
         "schedule of the learning rate or another option (" schedule_default ")"},                                   \
        {"--average", "SPEC", CLI_TEXT, &training.average, 0, 0, "average of the iterates that is evaluated (none)"}, \
    {                                                                                                                 \
        "--clip", "X", CLI_REAL, &training.clip, 0, 1e30, "largest norm of the gradient (" clip_default ")"           \
    }
#define TRAINING_TYPES                                                                    \
    {"--dtype",                                                                           \
     "f32|f16|bf16|f64",                                                                  \
     CLI_TEXT,                                                                            \
     &training.dtype,                                                                     \
     0,                                                                                   \
     0,                                                                                   \
     "type of weights and activations (f32); f16 and bf16 with f32 masters"},             \
    {                                                                                     \
        "--loss-scale", "SPEC", CLI_TEXT, &training.loss_scale, 0, 0,                     \
            "dynamic, a power of 2, or none: the loss scale (f16: dynamic; others: none)" \
    }
#define TRAINING_CHECKPOINT                                                       \
    {                                                                             \
        "--checkpoint", "FILE", CLI_OUTPUT, &training.checkpoint, 0, 0,           \
            "save the state of the run to this file; resume from it if it exists" \
    }
#define TRAINING_CHECKS                                                                 \
    {"--memory",                                                                        \
     NULL,                                                                              \
     CLI_FLAG,                                                                          \
     &training.memory,                                                                  \
     0,                                                                                 \
     0,                                                                                 \
     "print the bytes of parameters, optimizer, activations by layer, data and so on"}, \
    {                                                                                   \
        "--check", NULL, CLI_FLAG, &training.check, 0, 0,                               \
            "stop at the first NaN or Inf and name the operation that produced it"      \
    }
#define TRAINING_LIST \
    { "--list", NULL, CLI_FLAG, &training.list, 0, 0, "print every estimator, rule, schedule and average" }

/* The type with this name among the first `count` of the list; a mistake ends the program with 2. */
static inline sw_dtype training_type(const char *option, const char *name, int count, const char *expected) {
    static const sw_dtype types[] = {SW_F16, SW_BF16, SW_F32, SW_F64};
    int i = 0;
    while (i < count && strcmp(name, sw_dtype_name(types[i])) != 0)
        i++;
    if (i == count)
        cli_fail(2, "%s %s: %s is needed", option, name, expected);
    return types[i];
}

/* ---- The optimizer ---- */

/* Inserts --batch into the spec of the estimator; for a wrapper (sam), into the spec of the innermost estimator. */
static inline void training_estimator_spec(char *spec, size_t size) {
    const char *outer = training.estimator;
    outer += strspn(outer, " ");
    if (training.batch && strstr(outer, "batch="))
        cli_fail(2, "the batch is given by --batch and by --estimator");
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(outer, " "), outer);
    const sw_estimator *method = sw_estimator_find(name);
    bool wraps = method && method->flags & SW_ESTIMATOR_WRAPPER && !strstr(outer, " of=");
    /* The longest texts that are inserted below; the first is " batch=60000". */
    if (snprintf(spec, size, "%s%s", outer, wraps && training.batch ? " of=minibatch" : "") + 16 > (int)size)
        cli_fail(2, "--estimator: a spec of %zu bytes is too long, about %zu are possible", strlen(outer), size - 32);
    if (!training.batch)
        return;
    char *inner = spec, rest[512];
    for (char *of = strstr(spec, " of="); of; of = strstr(of + 1, " of="))
        inner = of + 4;
    inner += strcspn(inner, " ");
    snprintf(rest, sizeof rest, "%s", inner);
    snprintf(inner, size - (size_t)(inner - spec), " batch=%lld%s", (long long)training.batch, rest);
}

/* Makes the optimizer of the options; with no --estimator, minibatch with `batch` samples. NULL after an error;
 * *usage: the error is a mistake on the command line. */
static inline sw_optim *training_optimizer(sw_params *params, int64_t batch, bool *usage) {
    char estimator[512];
    if (!training.estimator) {
        training.estimator = "minibatch";
        training.batch = training.batch ? training.batch : batch;
    }
    training_estimator_spec(estimator, sizeof estimator);
    const sw_optim_options how =
        SW_OPTIONS(sw_optim_options, .estimator = estimator, .rule = training.rule, .schedule = training.schedule,
                   .average = training.average, .clip = training.clip, .seed = (uint64_t)cli.seed,
                   .loss_scale = training.loss_scale);
    sw_optim *optim = sw_optim_new_with_options(params, &how);
    *usage = !optim && sw_error_status() != SW_ERR_MEMORY;
    if (optim && training.check)
        sw_tape_set_switch(sw_optim_tape(optim), SW_CHECK, true);
    if (optim && training.memory)
        sw_tape_set_switch(sw_optim_tape(optim), SW_MEASURE, true);
    return optim;
}

/* The steps of the run so far, including skipped ones. */
static inline int64_t training_steps(const sw_optim *optim) {
    return sw_optim_steps_taken(optim) + sw_optim_steps_skipped(optim);
}

/* ---- The run ---- */

/* Takes the steps that are left until a signal ends the run. `length` and `done`: the length of the run in epochs or
 * steps, and how many of them are complete; `option` is the name of the length. *trained is filled if there are steps
 * (NULL: not needed). */
static inline bool training_run(const sw_objective *objective, sw_optim *optim, const sw_train_options *how,
                                int64_t length, int64_t done, const char *option, sw_train_result *trained) {
    /* A run that was complete when its checkpoint was written has no steps left. */
    const int64_t left = length > 0 ? sw_train_remaining(objective, optim, how) : 0;
    if (left == 0 && done > 0)
        cli_note("the run is complete; give a larger %s to continue it\n", option);
    cli_catch_signals();
    const bool good = left == 0 || (left > 0 && sw_train(objective, optim, how, trained) == SW_OK);
    cli_release_signals();
    return good;
}

/* After a signal: prints how far the run is, `progress`, and how to continue it. */
static inline void training_say_how_to_resume(const cli_progress *line, const char *progress) {
    fprintf(stderr, "%sinterrupted after %s; ", line->live ? "\r\033[K" : "", progress);
    if (training.checkpoint)
        fprintf(stderr, "run the same command again to resume from %s\n", training.checkpoint);
    else
        fprintf(stderr, "use --checkpoint FILE to make a run resumable\n");
}

/* ---- Results ---- */

typedef struct result {
    const char *name; /* NULL: the end of a list */
    double value;
    int digits;
} result;

static inline int training_compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the values. */
static inline double training_median(double *values, int64_t count) {
    if (count == 0)
        return 0;
    qsort(values, (size_t)count, sizeof *values, training_compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* Prints lines "name value", and, if options demand them, the loss scale and the bytes of the run. */
static inline void training_print_results(const result *results, const sw_params *params, sw_optim *optim) {
    const long long skipped = sw_optim_steps_skipped(optim);
    if (skipped)
        cli_note("%lld %s skipped: Inf or NaN in the gradient\n", skipped, skipped == 1 ? "step was" : "steps were");
    for (const result *each = results; each->name; each++)
        printf("%s %.*f\n", each->name, each->digits, each->value);
    if (training.loss_scale || strcmp(training.dtype, "f16") == 0)
        printf("skipped %lld\nloss_scale %.9g\n", skipped, sw_optim_loss_scale(optim));
    if (!training.memory)
        return;
    printf("bytes_per_parameter %.2f\n", sw_memory_per_parameter(sw_params_dim(params)));
    sw_tape_memory_print(sw_optim_tape(optim), stdout);
    sw_memory_print(stdout);
}

#endif
