/* The library's own methods, one file each, or one for each family. */
#ifndef SWALE_METHODS_H
#define SWALE_METHODS_H

#include <swale/optim.h>

/* The library's methods in the order in which they are listed: a line for NAME is all that the registry needs beside
 * the definition of swo_NAME. */
/* clang-format off */
#define SWO_ESTIMATORS(X) \
    X(minibatch) \
    X(full) \
    X(sag) \
    X(saga) \
    X(svrg) \
    X(sam) \
    X(asam)
#define SWO_RULES(X) \
    X(sgd) \
    X(adagrad) \
    X(rmsprop) \
    X(adadelta) \
    X(adam) \
    X(amsgrad) \
    X(adamw) \
    X(nadam) \
    X(nadamw) \
    X(nadamp) \
    X(generalized_adam) \
    X(radam) \
    X(adamax) \
    X(lion) \
    X(fromage) \
    X(nag_gs) \
    X(amos) \
    X(fista)
#define SWO_SCHEDULES(X) \
    X(constant) \
    X(step) \
    X(exponential) \
    X(linear) \
    X(polynomial) \
    X(inverse_sqrt) \
    X(inverse_time) \
    X(cosine) \
    X(restarts) \
    X(cosine_cycles) \
    X(cyclic) \
    X(one_cycle)
#define SWO_SEARCHES(X) \
    X(armijo) \
    X(wolfe)
#define SWO_AVERAGES(X) \
    X(none) \
    X(ema) \
    X(polyak) \
    X(swa) \
    X(lawa_queue) \
    X(lawa_ema)
/* clang-format on */

#define SWO_DECLARE_ESTIMATOR(name) extern const sw_estimator swo_##name;
SWO_ESTIMATORS(SWO_DECLARE_ESTIMATOR)
#define SWO_DECLARE_RULE(name) extern const sw_rule swo_##name;
SWO_RULES(SWO_DECLARE_RULE)
#define SWO_DECLARE_SCHEDULE(name) extern const sw_schedule swo_##name;
SWO_SCHEDULES(SWO_DECLARE_SCHEDULE)
#define SWO_DECLARE_SEARCH(name) extern const sw_line_search swo_##name;
SWO_SEARCHES(SWO_DECLARE_SEARCH)
#define SWO_DECLARE_AVERAGE(name) extern const sw_average swo_##name;
SWO_AVERAGES(SWO_DECLARE_AVERAGE)

extern const sw_option swo_schedule_options[]; /* that all schedules take */
enum { SWO_WARMUP, SWO_OVER };                 /* they */

/* Durations reach methods in steps and may have a fraction: 7% of 50 steps are 3.5. */
/* Rounded up to whole steps: 0.2% of 1234 is 3. */
double swo_whole_steps(double steps);
/* A number of steps that is whole up to rounding, made whole. */
double swo_exact_steps(double steps);
/* ⌊t/length⌋ as in exact arithmetic: the number of periods that are complete at step t. */
double swo_periods(double t, double length);
/* Whether an average that looks at every so many-th step from a start on looks at this one. Both are rounded
 * up to whole steps. */
bool swo_average_due(int64_t step, double start, double every);
/* Whether the average is one vector that moves by e ← e + w (x - e) in each step, or less often (running.c); and w,
 * after the average's `begin`. */
bool swo_average_is_running(const sw_average *average);
double swo_running_weight(const double *coefficient);

/* The option of all rules that divide by the root of a mean or sum of squares: the lecture's AdaGrad and
 * RMSProp have ε inside, PyTorch outside. Without ε, 0/0 waits where a gradient is 0: its range begins
 * at 1e-30, which f32 holds. */
#define EPS_IN_ROOT_ROW(default_value) \
    { .name = "eps_in_root", .kind = SW_OPTION_BOOL, .value = default_value, .help = "√(v + ε) instead of √v + ε" }
/* Rules compute with subnormal numbers taken as zero, which is where squares of f32 end at |g| = 1e-19, while g itself
 * goes on to 1e-38: m/(√v + ε) would be m/ε there. That is harmless for ε well above 1e-19. For a smaller one such rules
 * keep their second moments in f64, in slots with the suffix _f64 that take the place of those without it.
 *
 * True where that is so: the denominator is v^(1/p) + eps or, in_root, (v + eps)^(1/p), and `fresh` is the weight of one
 * step in v (1 - β2; of a sum: one over the number of steps). */
bool swo_squares_in_f64(double eps, bool in_root, double fresh, double p);
/* The same of means, for which `fresh` may also be so small that a mean in f32 would stand still: below 2^-16. */
bool swo_means_in_f64(double eps, bool in_root, double fresh, double p);
/* For `begin`: an error if a schedule has made eps or `fresh` so small, and `slot` was not made. */
sw_status swo_check_squares(const sw_step *step, const char *rule, double eps, bool in_f64, int slot);

/* … and of those whose decay goes the way of the gradient. */
#define WEIGHT_DECAY_UP_TO(most)                                                                        \
    {                                                                                                   \
        .name = "weight_decay", .value = 0, .low = 0, .high = most, .help = "λ, added to the gradient", \
        .search_low = 1e-6, .search_high = 1e-2, .search_log = true                                     \
    }
#define WEIGHT_DECAY_ROW WEIGHT_DECAY_UP_TO(1e6)

/* The first options of estimators that take batches of a sampler. */
#define ORDER_ROW                                                                                                    \
    {                                                                                                                \
        .name = "order", .kind = SW_OPTION_CHOICE, .value = SW_SHUFFLE, .choices = "shuffle|sequential|replacement", \
        .help = "how samples are drawn"                                                                              \
    }
/* clang-format off */
#define BATCH_ROWS                                                                              \
    {.name = "batch", .kind = SW_OPTION_INTEGER, .value = 64, .low = 1, .high = 1e9,            \
     .help = "samples in a step", .search_low = 16, .search_high = 512, .search_log = true},    \
    ORDER_ROW
/* clang-format on */

#endif
