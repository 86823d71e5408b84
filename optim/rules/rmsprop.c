/* RMSProp (Tieleman, Hinton 2012), as torch.optim.RMSprop defines it:
 *     g ← g + λθ
 *     v ← α v + (1 - α) g²
 *     centered:  ḡ ← α ḡ + (1 - α) g,  and v - ḡ² in place of v below
 *     d = g / (√v + ε)                             or √(v + ε): eps_in_root
 *     θ ← θ - η d;  with momentum  b ← μ b + d,  θ ← θ - η b
 * v - ḡ² is at least 0, and is taken to be so where rounding says otherwise.
 */
#include <swale/kernel.h>
#include "optim/methods.h"
#include "optim/rules/blocks.h"

#if SW_KERNEL_FIRST
enum { LR, ALPHA, EPS, EPS_IN_ROOT, WEIGHT_DECAY, MOMENTUM, CENTERED };
enum { V, MEAN, BUFFER, V_F64, MEAN_F64 }; /* slots */
#endif

#if SW_KERNEL_PASS

BLOCK_FUNCTION SW_K(rmsprop_block)(const sw_step *s, int64_t n, const bool centered, const bool momentum,
                                   real *restrict x, const real *restrict gradient, real *restrict v,
                                   real *restrict mean, real *restrict b) {
    const real lr = (real)s->option[LR], alpha = (real)s->option[ALPHA], fresh = (real)(1 - s->option[ALPHA]),
               decay = (real)s->option[WEIGHT_DECAY], mu = (real)s->option[MOMENTUM], eps = (real)s->option[EPS],
               inside = s->option[EPS_IN_ROOT] != 0 ? eps : 0, outside = eps - inside;
    _Alignas(64) real along[BLOCK_LENGTH], root[BLOCK_LENGTH];
    for (int64_t i = 0; i < n; i++) {
        const real g = along[i] = gradient[i] + decay * x[i];
        v[i] = alpha * v[i] + (fresh * g) * g;
        real square = v[i];
        if (centered) {
            mean[i] = alpha * mean[i] + fresh * g;
            square -= mean[i] * mean[i];
            square = square > 0 ? square : 0;
        }
        root[i] = square + inside;
    }
    SW_K(roots)(root, n);
    for (int64_t i = 0; i < n; i++) {
        real d = along[i] / (root[i] + outside);
        if (momentum)
            d = b[i] = mu * b[i] + d;
        x[i] -= lr * d;
    }
}

/* One loop for each of the four combinations: both are constants where this is called. */
BLOCK_FUNCTION SW_K(loop)(const sw_step *s, int64_t begin, int64_t end, const bool centered, const bool momentum) {
    real *x = s->x, *v = SQUARES(s, V, V_F64), *mean = SQUARES(s, MEAN, MEAN_F64), *b = s->slot[BUFFER];
    const real *g = s->g;
    BY_BLOCKS(s, begin, end,
              SW_K(rmsprop_block)(s, n, centered, momentum, x + begin, g + begin, v + begin,
                                  centered ? mean + begin : NULL, momentum ? b + begin : NULL));
}

#if SW_KERNEL_F32
static void F64_KERNEL(rmsprop_f32)(void *args, int64_t begin, int64_t end, double *sums);
#endif

static void SW_K(rmsprop)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)sums;
#if SW_KERNEL_F32
    if (s->slot[V_F64]) {
        F64_KERNEL(rmsprop_f32)(args, begin, end, sums);
        return;
    }
#endif
    const void *mean = SQUARES(s, MEAN, MEAN_F64);
    if (mean && s->slot[BUFFER])
        SW_K(loop)(s, begin, end, true, true);
    else if (mean)
        SW_K(loop)(s, begin, end, true, false);
    else if (s->slot[BUFFER])
        SW_K(loop)(s, begin, end, false, true);
    else
        SW_K(loop)(s, begin, end, false, false);
}

#if !SW_KERNEL_F32
/* Parameters of f32, second moments of f64. */
static void SW_K(rmsprop_f32)(void *args, int64_t begin, int64_t end, double *sums) {
    (void)sums;
    SW_K(on_f64)(args, begin, end, 1u << V_F64 | 1u << MEAN_F64, SW_K(rmsprop));
}
#endif

#else

#include "optim/reach.h"

static const sw_kernels kernels = SW_KERNEL_TABLE(rmsprop);

/* clang-format off */
static const sw_option options[] = {
    {.name = "lr", .value = 0.01, .low = 0, .high = 1e6, .help = "η, learning rate",
     .search_low = 1e-5, .search_high = 1e-1, .search_log = true},
    {.name = "alpha", .value = 0.99, .low = 0, .high = 1, .open = SW_OPEN_HIGH,
     .help = "α, decay of the mean of g²", .search_low = 0.9, .search_high = 0.999},
    {.name = "eps", .value = 1e-8, .low = 1e-30, .high = 1, .help = "ε of the denominator",
     .search_low = 1e-10, .search_high = 1e-4, .search_log = true},
    EPS_IN_ROOT_ROW(0),
    WEIGHT_DECAY_ROW,
    {.name = "momentum", .value = 0, .low = 0, .high = 1, .open = SW_OPEN_HIGH, .help = "μ, of the steps",
     .search_low = 0, .search_high = 0.99},
    {.name = "centered", .kind = SW_OPTION_BOOL, .help = "divide by the standard deviation of g"},
    {0}};
/* clang-format on */

static bool has_momentum(const double *option) {
    return option[MOMENTUM] != 0;
}

static bool rmsprop_in_f64(const double *o) {
    return swo_means_in_f64(o[EPS], o[EPS_IN_ROOT] != 0, 1 - o[ALPHA], 2);
}

static bool rmsprop_needs_v(const double *option, sw_dtype type) {
    return type != SW_F32 || !rmsprop_in_f64(option);
}

static bool rmsprop_needs_v_f64(const double *option, sw_dtype type) {
    return !rmsprop_needs_v(option, type);
}

static bool is_centered(const double *option) {
    return option[CENTERED] != 0;
}

static sw_status rmsprop_begin(sw_step *s) {
    return swo_check_squares(s, "rmsprop", s->option[EPS], rmsprop_in_f64(s->option), V_F64);
}

static void rmsprop_reach(const sw_step *s, sw_bounds *b) {
    const double *o = s->option, lr = fabs(o[LR]), fresh = 1 - o[ALPHA], g = b->g + o[WEIGHT_DECAY] * b->x,
                 least = o[EPS_IN_ROOT] != 0 ? sqrt(o[EPS]) : o[EPS];
    const int of_v = s->slot[V] ? V : V_F64, of_mean = s->slot[MEAN] ? MEAN : MEAN_F64;
    b->slot[of_v] = o[ALPHA] * b->slot[of_v] + fresh * g * g;
    double d = g / least;
    if (s->slot[of_mean]) { /* v - ḡ² may be 0 */
        b->slot[of_mean] = o[ALPHA] * b->slot[of_mean] + fresh * g;
        b->largest += b->slot[of_mean] * b->slot[of_mean];
    } else {
        d = swo_tighter(d, swo_normalized(b, s->type, fresh, least));
    }
    if (s->slot[BUFFER])
        d = b->slot[BUFFER] = o[MOMENTUM] * b->slot[BUFFER] + d;
    b->largest += lr + d + g + o[WEIGHT_DECAY] + b->slot[of_v];
    b->x += lr * d;
}

static const sw_slot slots[] = {
    {.name = "v", .needed_by = rmsprop_needs_v},
    {.name = "mean", .needed = is_centered, .needed_by = rmsprop_needs_v},
    {.name = "momentum", .needed = has_momentum},
    {.name = "v_f64", .type = SW_SLOT_F64, .needed_by = rmsprop_needs_v_f64},
    {.name = "mean_f64", .type = SW_SLOT_F64, .needed = is_centered, .needed_by = rmsprop_needs_v_f64},
    {0}};

const sw_rule swo_rmsprop = {.size = sizeof(sw_rule),
                             .name = "rmsprop",
                             .summary = "divides by the root of the mean square of recent gradients",
                             .source = "Tieleman, Hinton 2012; Graves 2013 (centered)",
                             .options = options,
                             .slots = slots,
                             .flags = SW_RULE_LINEAR,
                             .begin = rmsprop_begin,
                             .update = &kernels,
                             .reach = rmsprop_reach};

#endif
