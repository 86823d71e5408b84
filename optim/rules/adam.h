/* The code that Adam and its variants share. Each of them is, with different coefficients,
 *     g ← g + λθ                                         λ = 0 if the decay is decoupled
 *     m ← β1 m + ϕ g                                     ϕ = 1 - β1
 *     v ← β2 v + (1 - β2) g²
 *     θ ← (1 - ηλ) θ - (a m + b g) / (√(v/(1 - β2ᵗ) + ε) + ε)    one of the two ε is 0
 * For adam, a = η/(1 - β1ᵗ) and b = 0; for the others see their files. The loop is in adam.c.
 *
 * The products are computed as ((1 - β2) g) g, and the root as √(v + ε(1 - β2ᵗ))/√(1 - β2ᵗ). No intermediate result is
 * larger than v itself, so that f32 overflows only if v does, as in PyTorch.
 */
#ifndef SWALE_RULES_ADAM_H
#define SWALE_RULES_ADAM_H

#include <swale/rule.h>
#include <swale/second_moments.h>

#include <math.h>

/* The first options of all these rules. */
typedef struct adam_options {
    double lr, beta1, beta2, eps, eps_in_root, weight_decay;
} adam_options;

/* The first coefficients of all these rules; those of one rule follow them. */
typedef struct adam_coefficients {
    double a, b;       /* the factors of m and g in the numerator */
    double phi;        /* ϕ */
    double root_scale; /* the denominator is √(v + eps_inside)·root_scale + eps_outside */
    double
        inverse_scale; /* 1/root_scale: kernels multiply a, b and eps_outside by it instead of the root by root_scale,
                           * one operation less for each element */
    double eps_inside, eps_outside;
    double l2, shrink;     /* λ in the gradient; the factor 1 - ηλ of θ */
    double no_denominator; /* if 1, the denominator is 1 in this step */
} adam_coefficients;

/* v_f64 replaces v for a small ε (second_moments.h). If both are NULL, there is no denominator. */
typedef struct adam_slots {
    void *m, *v, *v_f64;
} adam_slots;

/* clang-format off */
#define ADAM_OPTIONS(lr_default, decay_default, decay_help)                                        \
    {.name = "lr", .value = lr_default, .low = 0, .high = 1e6, .help = "η, learning rate",         \
     .search_low = 1e-4, .search_high = 1e-1, .search_log = true},                                 \
    {.name = "beta1", .value = 0.9, .low = 0, .high = 1, .open = SW_OPEN_HIGH,                     \
     .help = "decay of the mean of g", .search_low = 0.8, .search_high = 0.98},                    \
    {.name = "beta2", .value = 0.999, .low = 0, .high = 1, .open = SW_OPEN_HIGH,                   \
     .help = "decay of the mean of g²", .search_low = 0.95, .search_high = 0.9999},                \
    {.name = "eps", .value = 1e-8, .low = 1e-30, .high = 1, .help = "ε of the denominator",            \
     .search_low = 1e-10, .search_high = 1e-4, .search_log = true},                                \
    SW_OPTION_EPS_IN_ROOT(0),                                                                      \
    {.name = "weight_decay", .value = decay_default, .low = 0, .high = 1e6, .help = decay_help,    \
     .search_low = 1e-5, .search_high = 0.5, .search_log = true}
/* clang-format on */
#define DECAY_IN_GRADIENT "λ, added to the gradient"
#define DECAY_DECOUPLED "λ, decoupled: θ ← (1 - ηλ) θ"

extern const sw_kernels swo_adam_kernels;
extern const sw_slot swo_adam_slot_table[];
bool swo_adam_in_f64(const double *option);
bool swo_adam_needs_v(const double *option, sw_dtype type);
bool swo_adam_needs_v_f64(const double *option, sw_dtype type);
/* For `begin`: set all coefficients to those of Adam, or to those of NadamW. */
void swo_adam_begin(sw_step *step, bool decoupled);
void swo_nadamw_begin(sw_step *step);
/* Sets the denominator to (v/correction)^(1/p) + ε, or to (v/correction + ε)^(1/p) with eps_in_root. */
void swo_adam_root(sw_step *step, double correction, double p);
/* Call it at the end of `begin`: see sw_second_moments_check. */
sw_status swo_adam_check(const sw_step *step, const char *rule);
/* `reach`, which computes the bounds from the coefficients. bounds->own is a bound of |m|/√v. */
void swo_adam_reach(const sw_step *step, sw_bounds *bounds);
/* For rules whose denominator is at least that of Adam, and which have other slots after m. v: their bound of v; NULL
 * if they have no v. */
void swo_adam_reach_with(const sw_step *step, sw_bounds *bounds, double *v);

#endif
