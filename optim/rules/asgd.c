/* ASGD, averaged stochastic gradient descent (Polyak, Juditsky, SIAM J. Control Optim. 30, 1992), as torch.optim.ASGD
 * defines it. With η₁ = lr, μ₁ = 1:
 *     g ← g + weight_decay θ
 *     θ ← (1 - λ ηₜ) θ - ηₜ g
 *     θ̄ ← θ̄ + μₜ (θ - θ̄)
 *     ηₜ₊₁ = lr/(1 + λ lr t)^α,   μₜ₊₁ = 1/max(1, t - t0)
 * θ̄ (the state `average`, PyTorch's ax) is θ up to step t0 + 2, and later the mean of the points since that step. It
 * is the point of evaluation: sw_optim_point returns it, sw_train evaluates there, and sw_optim_adopt_point copies it
 * to the parameters. To evaluate at θ, evaluate at the parameters themselves.
 */
#include <swale/kernel.h>
#include <swale/kernel_blocks.h>
#include <swale/rule.h>

#if SW_KERNEL_FIRST
typedef struct asgd_options {
    double lr, lambda, alpha, t0, weight_decay;
} asgd_options;
typedef struct asgd_slots {
    void *average;
} asgd_slots;
typedef struct asgd_coefficients {
    double eta, shrink; /* ηₜ, 1 - λ ηₜ */
    double mu;          /* μₜ */
} asgd_coefficients;
#endif

#if SW_KERNEL_PASS

/* n ≤ SW_BLOCK_LENGTH elements */
SW_K_INLINE void SW_K(asgd_block)(const sw_step *s, int64_t n, real *restrict x, const real *restrict gradient,
                                  real *restrict average) {
    const asgd_coefficients *c = SW_STEP_COEFFICIENTS(s, asgd_coefficients);
    const real eta = (real)c->eta, shrink = (real)c->shrink, mu = (real)c->mu,
               weight_decay = (real)SW_STEP_OPTIONS(s, asgd_options)->weight_decay;
    if (c->mu == 1)
        for (int64_t i = 0; i < n; i++) {
            x[i] = shrink * x[i] - eta * (gradient[i] + weight_decay * x[i]);
            average[i] = x[i];
        }
    else
        for (int64_t i = 0; i < n; i++) {
            x[i] = shrink * x[i] - eta * (gradient[i] + weight_decay * x[i]);
            average[i] += mu * (x[i] - average[i]);
        }
}

/* By blocks, because the processor fetches no lines ahead for an average that is only written. */
static void SW_K(asgd)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *x = s->x, *average = SW_STEP_SLOTS(s, asgd_slots)->average;
    const real *gradient = s->g;
    (void)sums;
    SW_BY_BLOCKS(s, begin, end, SW_K(asgd_block)(s, n, x + begin, gradient + begin, average + begin));
}

static void SW_K(asgd_point)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)sums;
    memcpy((real *)s->out + begin, (const real *)SW_STEP_SLOTS(s, asgd_slots)->average + begin,
           (size_t)(end - begin) * sizeof(real));
}

#else

static const sw_kernels asgd_kernels = SW_KERNEL_TABLE(asgd), asgd_point_kernels = SW_KERNEL_TABLE(asgd_point);

/* ηₜ and μₜ of the next step. They depend on the learning rate of this one, as in PyTorch. */
typedef struct asgd_scalars {
    double eta, mu;
} asgd_scalars;
static const char *const asgd_scalar_names[] = {"eta", "mu", NULL};
SW_MATCH_SCALARS(asgd_scalars, asgd_scalar_names);

static sw_status asgd_begin(sw_step *s) {
    const asgd_options *o = SW_STEP_OPTIONS(s, asgd_options);
    asgd_scalars *scalars = SW_STEP_SCALARS(s, asgd_scalars);
    asgd_coefficients *c = SW_STEP_COEFFICIENTS(s, asgd_coefficients);
    const double t = (double)s->step;
    c->eta = s->step == 1 ? o->lr : scalars->eta;
    c->mu = s->step == 1 ? 1 : scalars->mu;
    c->shrink = 1 - o->lambda * c->eta;
    scalars->eta = o->lr / pow(1 + o->lambda * o->lr * t, o->alpha);
    scalars->mu = 1 / fmax(1, t - o->t0);
    return SW_OK;
}

static void asgd_reach(const sw_step *s, sw_bounds *b) {
    const double weight_decay = SW_STEP_OPTIONS(s, asgd_options)->weight_decay;
    const asgd_coefficients *c = SW_STEP_COEFFICIENTS(s, asgd_coefficients);
    double *average = &SW_SLOT_BOUND(b, asgd_slots, average);
    const double g = b->g + weight_decay * b->x;
    b->largest += fabs(c->eta) + fabs(c->shrink) + g + weight_decay;
    b->x = fabs(c->shrink) * b->x + fabs(c->eta) * g;
    b->largest += b->x + *average;
    *average = (1 - c->mu) * *average + c->mu * b->x;
}

/* clang-format off */
static const sw_option asgd_option_table[] = {
    {.name = "lr", .value = 0.01, .low = 0, .high = 1e6, .help = "η, learning rate",
     .search_low = 1e-3, .search_high = 1, .search_log = true},
    {.name = "lambda", .value = 1e-4, .low = 0, .high = 1e6, .help = "λ, decay of θ, and of the learning rate",
     .search_low = 1e-6, .search_high = 1e-2, .search_log = true},
    {.name = "alpha", .value = 0.75, .low = 0, .high = 10, .help = "α: the learning rate is lr/(1 + λ lr t)^α",
     .search_low = 0.5, .search_high = 1},
    {.name = "t0", .value = 1e6, .low = 0, .high = 1e15, .help = "the step at which averaging begins"},
    SW_OPTION_WEIGHT_DECAY,
    {0}};
/* clang-format on */
static const sw_slot asgd_slot_table[] = {{.name = "average", .start = SW_START_X}, {0}};
SW_MATCH_OPTIONS(asgd_options, asgd_option_table);
SW_MATCH_SLOTS(asgd_slots, asgd_slot_table);

const sw_rule swo_asgd = {.size = sizeof(sw_rule),
                          .name = "asgd",
                          .summary = "averaged stochastic gradient descent",
                          .source = "Polyak, Juditsky, SIAM J. Control Optim. 1992",
                          .options = asgd_option_table,
                          .slots = asgd_slot_table,
                          .scalars = asgd_scalar_names,
                          .begin = asgd_begin,
                          .update = &asgd_kernels,
                          .point = &asgd_point_kernels,
                          .reach = asgd_reach};

#endif
