/* The library's own methods, one file each; registry.c lists them. */
#ifndef SWALE_METHODS_H
#define SWALE_METHODS_H

#include <swale/optim.h>

extern const sw_estimator swo_minibatch, swo_full, swo_sag, swo_saga, swo_svrg, swo_sam, swo_asam;
extern const sw_rule swo_sgd, swo_adagrad, swo_rmsprop, swo_adadelta, swo_adam, swo_amsgrad, swo_adamw, swo_nadam,
    swo_nadamw, swo_nadamp, swo_generalized_adam, swo_radam, swo_adamax, swo_lion, swo_fromage, swo_nag_gs, swo_amos,
    swo_fista;
extern const sw_schedule swo_constant, swo_cosine, swo_restarts, swo_cosine_cycles, swo_step, swo_exponential,
    swo_linear, swo_polynomial, swo_inverse_sqrt, swo_inverse_time, swo_cyclic, swo_one_cycle;
extern const sw_option swo_schedule_options[]; /* that all schedules take */
enum { SWO_WARMUP, SWO_OVER };                 /* they */
extern const sw_line_search swo_armijo, swo_wolfe;
extern const sw_average swo_none, swo_ema, swo_lawa_ema, swo_lawa_queue, swo_polyak, swo_swa;

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
