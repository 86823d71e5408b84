/* RMSProp (Tieleman, Hinton 2012), as torch.optim.RMSprop defines it:
 *     g ← g + λθ
 *     v ← α v + (1 - α) g²
 *     centered:  ḡ ← α ḡ + (1 - α) g,  and v - ḡ² in place of v below
 *     d = g / (√v + ε)                             or √(v + ε): eps_in_root
 *     θ ← θ - η d;  with momentum  b ← μ b + d,  θ ← θ - η b
 * v - ḡ² is at least 0; a result that rounding makes negative is set to 0.
 */
#include <swale/kernel.h>
#include <swale/kernel_blocks.h>
#include <swale/kernel_roots.h>
#include <swale/kernel_second_moments.h>
#include <swale/rule.h>

#if SW_KERNEL_FIRST
typedef struct rmsprop_options {
    double lr, alpha, eps, eps_in_root, weight_decay, momentum, centered;
} rmsprop_options;
typedef struct rmsprop_slots {
    void *v, *mean, *momentum, *v_f64, *mean_f64;
} rmsprop_slots;
#endif

#if SW_KERNEL_PASS

SW_K_INLINE void SW_K(rmsprop_block)(const sw_step *s, int64_t n, const bool centered, const bool has_momentum,
                                     real *restrict x, const real *restrict gradient, real *restrict v,
                                     real *restrict mean, real *restrict momentum) {
    const rmsprop_options *o = SW_STEP_OPTIONS(s, rmsprop_options);
    const real lr = (real)o->lr, alpha = (real)o->alpha, one_minus_alpha = (real)(1 - o->alpha),
               weight_decay = (real)o->weight_decay, mu = (real)o->momentum, eps = (real)o->eps,
               eps_inside = o->eps_in_root != 0 ? eps : 0, eps_outside = eps - eps_inside;
    _Alignas(64) real numerator[SW_BLOCK_LENGTH], root[SW_BLOCK_LENGTH];
    for (int64_t i = 0; i < n; i++) {
        const real g = numerator[i] = gradient[i] + weight_decay * x[i];
        v[i] = alpha * v[i] + (one_minus_alpha * g) * g;
        real square = v[i];
        if (centered) {
            mean[i] = alpha * mean[i] + one_minus_alpha * g;
            square -= mean[i] * mean[i];
            square = square > 0 ? square : 0;
        }
        root[i] = square + eps_inside;
    }
    SW_K(sw_k_roots)(root, n);
    for (int64_t i = 0; i < n; i++) {
        real d = numerator[i] / (root[i] + eps_outside);
        if (has_momentum)
            d = momentum[i] = mu * momentum[i] + d;
        x[i] -= lr * d;
    }
}

/* Both flags are constants in each call, so that the compiler makes one loop for each combination. */
SW_K_INLINE void SW_K(rmsprop_loop)(const sw_step *s, int64_t begin, int64_t end, const bool centered,
                                    const bool has_momentum) {
    const rmsprop_slots *slots = SW_STEP_SLOTS(s, rmsprop_slots);
    real *x = s->x, *v = slots->v, *mean = slots->mean, *momentum = slots->momentum;
    const real *g = s->g;
    SW_BY_BLOCKS(s, begin, end,
                 SW_K(rmsprop_block)(s, n, centered, has_momentum, x + begin, g + begin, v + begin,
                                     centered ? mean + begin : NULL, has_momentum ? momentum + begin : NULL));
}

static void SW_K(rmsprop)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const rmsprop_slots *slots = SW_STEP_SLOTS(s, rmsprop_slots);
    (void)sums;
    if (slots->mean && slots->momentum)
        SW_K(rmsprop_loop)(s, begin, end, true, true);
    else if (slots->mean)
        SW_K(rmsprop_loop)(s, begin, end, true, false);
    else if (slots->momentum)
        SW_K(rmsprop_loop)(s, begin, end, false, true);
    else
        SW_K(rmsprop_loop)(s, begin, end, false, false);
}

SW_SECOND_MOMENT_KERNELS(rmsprop, rmsprop_slots, v, v_f64, 2)

#else

#include <swale/reach.h>
#include <swale/second_moments.h>

static const sw_kernels rmsprop_kernels = SW_KERNEL_TABLE(rmsprop_update);

/* clang-format off */
static const sw_option rmsprop_option_table[] = {
    {.name = "lr", .value = 0.01, .low = 0, .high = 1e6, .help = "η, learning rate",
     .search_low = 1e-5, .search_high = 1e-1, .search_log = true},
    {.name = "alpha", .value = 0.99, .low = 0, .high = 1, .open = SW_OPEN_HIGH,
     .help = "α, decay of the mean of g²", .search_low = 0.9, .search_high = 0.999},
    {.name = "eps", .value = 1e-8, .low = 1e-30, .high = 1, .help = "ε of the denominator",
     .search_low = 1e-10, .search_high = 1e-4, .search_log = true},
    SW_OPTION_EPS_IN_ROOT(0),
    SW_OPTION_WEIGHT_DECAY,
    {.name = "momentum", .value = 0, .low = 0, .high = 1, .open = SW_OPEN_HIGH, .help = "μ, the momentum of the steps",
     .search_low = 0, .search_high = 0.99},
    {.name = "centered", .kind = SW_OPTION_BOOL, .help = "divide by the standard deviation of g"},
    {0}};
/* clang-format on */

static bool rmsprop_has_momentum(const double *option) {
    return SW_OPTIONS_AS(option, rmsprop_options)->momentum != 0;
}

static bool rmsprop_is_centered(const double *option) {
    return SW_OPTIONS_AS(option, rmsprop_options)->centered != 0;
}

static bool rmsprop_in_f64(const double *option) {
    const rmsprop_options *o = SW_OPTIONS_AS(option, rmsprop_options);
    return sw_means_need_f64(o->eps, o->eps_in_root != 0, 1 - o->alpha, 2);
}

static bool rmsprop_needs_v(const double *option, sw_dtype type) {
    return type != SW_F32 || !rmsprop_in_f64(option);
}

static bool rmsprop_needs_v_f64(const double *option, sw_dtype type) {
    return !rmsprop_needs_v(option, type);
}

static sw_status rmsprop_begin(sw_step *s) {
    return sw_second_moments_check(s, "rmsprop", SW_STEP_OPTIONS(s, rmsprop_options)->eps, rmsprop_in_f64(s->option),
                                   SW_STEP_SLOTS(s, rmsprop_slots)->v_f64);
}

static void rmsprop_reach(const sw_step *s, sw_bounds *b) {
    const rmsprop_options *o = SW_STEP_OPTIONS(s, rmsprop_options);
    const rmsprop_slots *slots = SW_STEP_SLOTS(s, rmsprop_slots);
    double *v = slots->v ? &SW_SLOT_BOUND(b, rmsprop_slots, v) : &SW_SLOT_BOUND(b, rmsprop_slots, v_f64);
    double *mean = slots->mean ? &SW_SLOT_BOUND(b, rmsprop_slots, mean) : &SW_SLOT_BOUND(b, rmsprop_slots, mean_f64);
    double *momentum = &SW_SLOT_BOUND(b, rmsprop_slots, momentum);
    const double lr = fabs(o->lr), fresh = 1 - o->alpha, g = b->g + o->weight_decay * b->x,
                 least = o->eps_in_root != 0 ? sqrt(o->eps) : o->eps;
    *v = o->alpha * *v + fresh * g * g;
    double d = g / least;
    if (slots->mean || slots->mean_f64) { /* v - ḡ² may be 0 */
        *mean = o->alpha * *mean + fresh * g;
        b->largest += *mean * *mean;
    } else {
        d = sw_bound_tighter(d, sw_bound_normalized(b, s->type, fresh, least));
    }
    if (slots->momentum)
        d = *momentum = o->momentum * *momentum + d;
    b->largest += lr + d + g + o->weight_decay + *v;
    b->x += lr * d;
}

static const sw_slot rmsprop_slot_table[] = {
    {.name = "v", .needed_by = rmsprop_needs_v},
    {.name = "mean", .needed = rmsprop_is_centered, .needed_by = rmsprop_needs_v},
    {.name = "momentum", .needed = rmsprop_has_momentum},
    {.name = "v_f64", .type = SW_SLOT_F64, .needed_by = rmsprop_needs_v_f64},
    {.name = "mean_f64", .type = SW_SLOT_F64, .needed = rmsprop_is_centered, .needed_by = rmsprop_needs_v_f64},
    {0}};

SW_MATCH_OPTIONS(rmsprop_options, rmsprop_option_table);
SW_MATCH_SLOTS(rmsprop_slots, rmsprop_slot_table);

const sw_rule swo_rmsprop = {.size = sizeof(sw_rule),
                             .name = "rmsprop",
                             .summary = "divides by the root of the mean square of recent gradients",
                             .source = "Tieleman, Hinton 2012; Graves 2013 (centered)",
                             .options = rmsprop_option_table,
                             .slots = rmsprop_slot_table,
                             .flags = SW_RULE_LINEAR,
                             .begin = rmsprop_begin,
                             .update = &rmsprop_kernels,
                             .reach = rmsprop_reach};

#endif
