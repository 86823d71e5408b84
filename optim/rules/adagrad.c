/* AdaGrad (Duchi, Hazan, Singer 2011):
 *     g ← g + λθ
 *     v ← v + g²
 *     θ ← θ - η/(1 + (t - 1) κ) · g / (√(v₀ + v) + ε)    or √(v₀ + v + ε): eps_in_root
 * v₀ (initial) is what torch starts v with; κ (lr_decay) is torch's too. */
#include <swale/kernel.h>
#include "optim/methods.h"
#include "optim/rules/blocks.h"

#if SW_KERNEL_FIRST
enum { LR, EPS, EPS_IN_ROOT, WEIGHT_DECAY, LR_DECAY, INITIAL };
enum { STEP_SIZE, INSIDE, OUTSIDE };
enum { V, V_F64 }; /* slots */
#endif

#if SW_KERNEL_PASS

BLOCK_FUNCTION SW_K(adagrad_block)(const sw_step *s, int64_t n, real *restrict x, const real *restrict gradient,
                                   real *restrict v) {
    const real lr = (real)s->coefficient[STEP_SIZE], inside = (real)s->coefficient[INSIDE],
               outside = (real)s->coefficient[OUTSIDE], decay = (real)s->option[WEIGHT_DECAY];
    _Alignas(64) real along[BLOCK_LENGTH], root[BLOCK_LENGTH];
    for (int64_t i = 0; i < n; i++) {
        const real g = gradient[i] + decay * x[i];
        v[i] += g * g;
        along[i] = lr * g;
        root[i] = v[i] + inside;
    }
    SW_K(roots)(root, n);
    for (int64_t i = 0; i < n; i++)
        x[i] -= along[i] / (root[i] + outside);
}

#if SW_KERNEL_F32
static void F64_KERNEL(adagrad_f32)(void *args, int64_t begin, int64_t end, double *sums);
#endif

static void SW_K(adagrad)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *x = s->x, *v = SQUARES(s, V, V_F64);
    const real *g = s->g;
    (void)sums;
#if SW_KERNEL_F32
    if (s->slot[V_F64]) {
        F64_KERNEL(adagrad_f32)(args, begin, end, sums);
        return;
    }
#endif
    BY_BLOCKS(s, begin, end, SW_K(adagrad_block)(s, n, x + begin, g + begin, v + begin));
}

#if !SW_KERNEL_F32
/* Parameters of f32, second moments of f64. */
static void SW_K(adagrad_f32)(void *args, int64_t begin, int64_t end, double *sums) {
    (void)sums;
    SW_K(on_f64)(args, begin, end, 1u << V_F64, SW_K(adagrad));
}
#endif

#else

#include "optim/reach.h"

static const sw_kernels kernels = SW_KERNEL_TABLE(adagrad);

/* A sum of a million steps. */
static bool adagrad_in_f64(const double *o) {
    return swo_squares_in_f64(o[EPS], o[EPS_IN_ROOT] != 0, 0x1p-20, 2);
}

static bool adagrad_needs_v(const double *option, sw_dtype type) {
    return type != SW_F32 || !adagrad_in_f64(option);
}

static bool adagrad_needs_v_f64(const double *option, sw_dtype type) {
    return !adagrad_needs_v(option, type);
}

static sw_status begin(sw_step *s) {
    const double *o = s->option;
    const bool in_root = o[EPS_IN_ROOT] != 0;
    s->coefficient[STEP_SIZE] = o[LR] / (1 + (double)(s->step - 1) * o[LR_DECAY]);
    s->coefficient[INSIDE] = o[INITIAL] + (in_root ? o[EPS] : 0);
    s->coefficient[OUTSIDE] = in_root ? 0 : o[EPS];
    return swo_check_squares(s, "adagrad", o[EPS], adagrad_in_f64(o), V_F64);
}

/* v ≥ g² bounds |g|/√v by 1. */
static void adagrad_reach(const sw_step *s, sw_bounds *b) {
    const double *c = s->coefficient, decay = s->option[WEIGHT_DECAY], g = b->g + decay * b->x, lr = fabs(c[STEP_SIZE]),
                 least = sqrt(c[INSIDE]) + c[OUTSIDE];
    const int of_v = s->slot[V] ? V : V_F64;
    b->slot[of_v] += g * g;
    b->largest += lr + lr * g + decay + c[INSIDE] + b->slot[of_v];
    b->x += lr * swo_tighter(g / least, swo_normalized(b, s->type, 1, least));
}

/* clang-format off */
static const sw_option options[] = {
    {.name = "lr", .value = 0.01, .low = 0, .high = 1e6, .help = "η, learning rate",
     .search_low = 1e-3, .search_high = 1, .search_log = true},
    {.name = "eps", .value = 1e-10, .low = 1e-30, .high = 1, .help = "ε of the denominator",
     .search_low = 1e-10, .search_high = 1e-4, .search_log = true},
    EPS_IN_ROOT_ROW(0),
    WEIGHT_DECAY_ROW,
    {.name = "lr_decay", .value = 0, .low = 0, .high = 1e6, .help = "κ: the t-th step is η/(1 + (t-1)κ)"},
    {.name = "initial", .value = 0, .low = 0, .high = 1e6, .help = "v₀, what the sum begins with"},
    {0}};
/* clang-format on */
static const sw_slot slots[] = {{.name = "v", .needed_by = adagrad_needs_v},
                                {.name = "v_f64", .type = SW_SLOT_F64, .needed_by = adagrad_needs_v_f64},
                                {0}};

const sw_rule swo_adagrad = {.size = sizeof(sw_rule),
                             .name = "adagrad",
                             .summary = "each element's step falls with its own gradients",
                             .source = "Duchi, Hazan, Singer, JMLR 2011",
                             .options = options,
                             .slots = slots,
                             .flags = SW_RULE_LINEAR,
                             .begin = begin,
                             .update = &kernels,
                             .reach = adagrad_reach};

#endif
