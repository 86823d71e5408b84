/* What Adam and its kin share. Each of them is, with its own coefficients,
 *     g ← g + λθ                                         λ = 0 if the decay is decoupled
 *     m ← β1 m + ϕ g                                     ϕ = 1 - β1
 *     v ← β2 v + (1 - β2) g²
 *     θ ← (1 - ηλ) θ - (a m + b g) / (√(v/(1 - β2ᵗ) + ε) + ε)    one of the two ε is 0
 * adam: a = η/(1 - β1ᵗ), b = 0; nadam, nadamw, …: see there. The loop is in adam.c.
 *
 * The products are ((1 - β2) g) g, and √(v + ε(1 - β2ᵗ))/√(1 - β2ᵗ) instead of √(v/(1 - β2ᵗ) + ε): no
 * intermediate result is larger than v itself, so that f32 takes every g whose v it can hold, as PyTorch's does.
 */
#ifndef SWALE_RULES_ADAM_H
#define SWALE_RULES_ADAM_H

#include "optim/methods.h"

/* The options all of them begin with. */
enum { LR, BETA1, BETA2, EPS, EPS_IN_ROOT, WEIGHT_DECAY, ADAM_OPTIONS };
/* ALONG_M, ALONG_G: a and b. FRESH: ϕ. ROOT_SCALE, INSIDE, OUTSIDE: the denominator is
 * √(v + INSIDE)·ROOT_SCALE + OUTSIDE. SCALE_BACK: 1/ROOT_SCALE, by which kernels multiply a, b and OUTSIDE instead
 * of the root by ROOT_SCALE: an operation less for each element. PLAIN: no denominator in this step. A rule's own coefficients follow. */
enum { ALONG_M, ALONG_G, FRESH, ROOT_SCALE, SCALE_BACK, INSIDE, OUTSIDE, L2, SHRINK, PLAIN, ADAM_COEFFICIENTS };

/* clang-format off */
#define ADAM_OPTION_ROWS(lr_default, decay_default, decay_help)                                    \
    {.name = "lr", .value = lr_default, .low = 0, .high = 1e6, .help = "η, learning rate",         \
     .search_low = 1e-4, .search_high = 1e-1, .search_log = true},                                 \
    {.name = "beta1", .value = 0.9, .low = 0, .high = 1, .open = SW_OPEN_HIGH,                     \
     .help = "decay of the mean of g", .search_low = 0.8, .search_high = 0.98},                    \
    {.name = "beta2", .value = 0.999, .low = 0, .high = 1, .open = SW_OPEN_HIGH,                   \
     .help = "decay of the mean of g²", .search_low = 0.95, .search_high = 0.9999},                \
    {.name = "eps", .value = 1e-8, .low = 1e-30, .high = 1, .help = "ε of the denominator",            \
     .search_low = 1e-10, .search_high = 1e-4, .search_log = true},                                \
    EPS_IN_ROOT_ROW(0),                                                                            \
    {.name = "weight_decay", .value = decay_default, .low = 0, .high = 1e6, .help = decay_help,    \
     .search_low = 1e-5, .search_high = 0.5, .search_log = true}
/* clang-format on */
#define DECAY_IN_GRADIENT "λ, added to the gradient"
#define DECAY_DECOUPLED "λ, decoupled: θ ← (1 - ηλ) θ"

/* The loop: slots m and v, or v_f64 for an ε too small for squares of f32 (methods.h); neither: no denominator. */
enum { M, V, V_F64 };
extern const sw_kernels swo_adam_kernels;
extern const sw_slot swo_adam_slots[];
bool swo_adam_in_f64(const double *option);
bool swo_adam_needs_v(const double *option, sw_dtype type);
bool swo_adam_needs_v_f64(const double *option, sw_dtype type);
/* The end of `begin`: see swo_check_squares. */
sw_status swo_adam_check(const sw_step *step, const char *rule);
/* Its bounds, by the coefficients; own: of |m|/√v. amsgrad's loop, whose denominator is no smaller, has them too. */
void swo_adam_reach(const sw_step *step, sw_bounds *bounds);
void swo_adam_reach_with(const sw_step *step, sw_bounds *bounds, int v_f64); /* which slot that is */
/* All coefficients as Adam has them. */
void swo_adam_begin(sw_step *step, bool decoupled);
/* ROOT_SCALE, INSIDE and OUTSIDE for (v/correction)^(1/p) + ε, or (v/correction + ε)^(1/p) with eps_in_root. */
void swo_adam_root(sw_step *step, double correction, double p);
/* … and as NadamW has them. */
void swo_nadamw_begin(sw_step *step);

#endif
