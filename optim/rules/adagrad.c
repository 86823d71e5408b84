/* AdaGrad (Duchi, Hazan, Singer 2011):
 *     g ← g + λθ
 *     v ← v + g²
 *     θ ← θ - η/(1 + (t - 1) κ) · g / (√(v₀ + v) + ε)    or √(v₀ + v + ε): eps_in_root
 * v₀ (initial) is PyTorch's initial value of v; κ (lr_decay) is also PyTorch's. */
#include <swale/kernel.h>
#include <swale/kernel_blocks.h>
#include <swale/kernel_roots.h>
#include <swale/kernel_second_moments.h>
#include <swale/rule.h>

#if SW_KERNEL_FIRST
typedef struct adagrad_options {
    double lr, eps, eps_in_root, weight_decay, lr_decay, initial;
} adagrad_options;
typedef struct adagrad_slots {
    void *v, *v_f64;
} adagrad_slots;
typedef struct adagrad_coefficients {
    double step_size;                /* η/(1 + (t - 1) κ) */
    double inside_root, eps_outside; /* the denominator is √(v + inside_root) + eps_outside */
} adagrad_coefficients;
#endif

#if SW_KERNEL_PASS

SW_K_INLINE void SW_K(adagrad_block)(const sw_step *s, int64_t n, real *restrict x, const real *restrict gradient,
                                     real *restrict v) {
    const adagrad_coefficients *c = SW_STEP_COEFFICIENTS(s, adagrad_coefficients);
    const real step_size = (real)c->step_size, inside_root = (real)c->inside_root, eps_outside = (real)c->eps_outside,
               weight_decay = (real)SW_STEP_OPTIONS(s, adagrad_options)->weight_decay;
    _Alignas(64) real numerator[SW_BLOCK_LENGTH], root[SW_BLOCK_LENGTH];
    for (int64_t i = 0; i < n; i++) {
        const real g = gradient[i] + weight_decay * x[i];
        v[i] += g * g;
        numerator[i] = step_size * g;
        root[i] = v[i] + inside_root;
    }
    SW_K(sw_k_roots)(root, n);
    for (int64_t i = 0; i < n; i++)
        x[i] -= numerator[i] / (root[i] + eps_outside);
}

static void SW_K(adagrad)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *x = s->x, *v = SW_STEP_SLOTS(s, adagrad_slots)->v;
    const real *g = s->g;
    (void)sums;
    SW_BY_BLOCKS(s, begin, end, SW_K(adagrad_block)(s, n, x + begin, g + begin, v + begin));
}

SW_SECOND_MOMENT_KERNELS(adagrad, adagrad_slots, v, v_f64, 1)

#else

#include <swale/reach.h>
#include <swale/second_moments.h>

static const sw_kernels adagrad_kernels = SW_KERNEL_TABLE(adagrad_update);

/* The test assumes a sum over a million steps. */
static bool adagrad_in_f64(const double *option) {
    const adagrad_options *o = SW_OPTIONS_AS(option, adagrad_options);
    return sw_squares_need_f64(o->eps, o->eps_in_root != 0, 0x1p-20, 2);
}

static bool adagrad_needs_v(const double *option, sw_dtype type) {
    return type != SW_F32 || !adagrad_in_f64(option);
}

static bool adagrad_needs_v_f64(const double *option, sw_dtype type) {
    return !adagrad_needs_v(option, type);
}

static sw_status adagrad_begin(sw_step *s) {
    const adagrad_options *o = SW_STEP_OPTIONS(s, adagrad_options);
    adagrad_coefficients *c = SW_STEP_COEFFICIENTS(s, adagrad_coefficients);
    const bool in_root = o->eps_in_root != 0;
    c->step_size = o->lr / (1 + (double)(s->step - 1) * o->lr_decay);
    c->inside_root = o->initial + (in_root ? o->eps : 0);
    c->eps_outside = in_root ? 0 : o->eps;
    return sw_second_moments_check(s, "adagrad", o->eps, adagrad_in_f64(s->option),
                                   SW_STEP_SLOTS(s, adagrad_slots)->v_f64);
}

/* v ≥ g² bounds |g|/√v by 1. */
static void adagrad_reach(const sw_step *s, sw_bounds *b) {
    const adagrad_coefficients *c = SW_STEP_COEFFICIENTS(s, adagrad_coefficients);
    const double weight_decay = SW_STEP_OPTIONS(s, adagrad_options)->weight_decay, g = b->g + weight_decay * b->x,
                 step_size = fabs(c->step_size), least = sqrt(c->inside_root) + c->eps_outside;
    double *v = SW_STEP_SLOTS(s, adagrad_slots)->v ? &SW_SLOT_BOUND(b, adagrad_slots, v)
                                                   : &SW_SLOT_BOUND(b, adagrad_slots, v_f64);
    *v += g * g;
    b->largest += step_size + step_size * g + weight_decay + c->inside_root + *v;
    b->x += step_size * sw_bound_tighter(g / least, sw_bound_normalized(b, s->type, 1, least));
}

/* clang-format off */
static const sw_option adagrad_option_table[] = {
    {.name = "lr", .value = 0.01, .low = 0, .high = 1e6, .help = "η, learning rate",
     .search_low = 1e-3, .search_high = 1, .search_log = true},
    {.name = "eps", .value = 1e-10, .low = 1e-30, .high = 1, .help = "ε of the denominator",
     .search_low = 1e-10, .search_high = 1e-4, .search_log = true},
    SW_OPTION_EPS_IN_ROOT(0),
    SW_OPTION_WEIGHT_DECAY,
    {.name = "lr_decay", .value = 0, .low = 0, .high = 1e6, .help = "κ: the t-th step is η/(1 + (t-1)κ)"},
    {.name = "initial", .value = 0, .low = 0, .high = 1e6, .help = "v₀, the initial value of the sum"},
    {0}};
/* clang-format on */
static const sw_slot adagrad_slot_table[] = {{.name = "v", .needed_by = adagrad_needs_v},
                                             {.name = "v_f64", .type = SW_SLOT_F64, .needed_by = adagrad_needs_v_f64},
                                             {0}};
SW_MATCH_OPTIONS(adagrad_options, adagrad_option_table);
SW_MATCH_SLOTS(adagrad_slots, adagrad_slot_table);

const sw_rule swo_adagrad = {.size = sizeof(sw_rule),
                             .name = "adagrad",
                             .summary = "divides by the root of the sum of squared gradients",
                             .source = "Duchi, Hazan, Singer, JMLR 2011",
                             .options = adagrad_option_table,
                             .slots = adagrad_slot_table,
                             .flags = SW_RULE_LINEAR,
                             .begin = adagrad_begin,
                             .update = &adagrad_kernels,
                             .reach = adagrad_reach};

#endif
