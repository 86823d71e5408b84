/* Adadelta (Zeiler 2012):
 *     g ← g + λθ
 *     v ← ρ v + (1 - ρ) g²
 *     d = √(a + ε)/√(v + ε) · g         or (√a + ε)/(√v + ε) · g without eps_in_root
 *     a ← ρ a + (1 - ρ) d²
 *     θ ← θ - η d
 */
#include <swale/kernel.h>
#include <swale/kernel_blocks.h>
#include <swale/kernel_roots.h>
#include <swale/kernel_second_moments.h>
#include <swale/rule.h>

#if SW_KERNEL_FIRST
typedef struct adadelta_options {
    double lr, rho, eps, eps_in_root, weight_decay;
} adadelta_options;
typedef struct adadelta_slots {
    void *v, *a, *v_f64, *a_f64;
} adadelta_slots;
#endif

#if SW_KERNEL_PASS

SW_K_INLINE void SW_K(adadelta_block)(const sw_step *s, int64_t n, const bool in_root, real *restrict x,
                                      const real *restrict gradient, real *restrict v, real *restrict a) {
    const adadelta_options *o = SW_STEP_OPTIONS(s, adadelta_options);
    const real lr = (real)o->lr, rho = (real)o->rho, one_minus_rho = (real)(1 - o->rho), eps = (real)o->eps,
               weight_decay = (real)o->weight_decay;
    _Alignas(64) real g[SW_BLOCK_LENGTH], root_a[SW_BLOCK_LENGTH], root_v[SW_BLOCK_LENGTH], quotient[SW_BLOCK_LENGTH];
    for (int64_t i = 0; i < n; i++) {
        g[i] = gradient[i] + weight_decay * x[i];
        v[i] = rho * v[i] + (one_minus_rho * g[i]) * g[i];
        if (in_root) {
            quotient[i] = (a[i] + eps) / (v[i] + eps);
        } else {
            root_a[i] = a[i];
            root_v[i] = v[i];
        }
    }
    if (in_root) {
        SW_K(sw_k_root_quotients)(a, v, eps, n, quotient);
    } else {
        SW_K(sw_k_roots)(root_a, n);
        SW_K(sw_k_roots)(root_v, n);
    }
    for (int64_t i = 0; i < n; i++) {
        const real d = (in_root ? quotient[i] : (root_a[i] + eps) / (root_v[i] + eps)) * g[i];
        a[i] = rho * a[i] + (one_minus_rho * d) * d;
        x[i] -= lr * d;
    }
}

static void SW_K(adadelta)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const adadelta_slots *slots = SW_STEP_SLOTS(s, adadelta_slots);
    real *x = s->x, *v = slots->v, *a = slots->a;
    const real *g = s->g;
    (void)sums;
    if (SW_STEP_OPTIONS(s, adadelta_options)->eps_in_root != 0)
        SW_BY_BLOCKS(s, begin, end, SW_K(adadelta_block)(s, n, true, x + begin, g + begin, v + begin, a + begin));
    else
        SW_BY_BLOCKS(s, begin, end, SW_K(adadelta_block)(s, n, false, x + begin, g + begin, v + begin, a + begin));
}

SW_SECOND_MOMENT_KERNELS(adadelta, adadelta_slots, v, v_f64, 2)

#else

#include <swale/reach.h>
#include <swale/second_moments.h>

static const sw_kernels adadelta_kernels = SW_KERNEL_TABLE(adadelta_update);

/* clang-format off */
static const sw_option adadelta_option_table[] = {
    {.name = "lr", .value = 1, .low = 0, .high = 1e6, .help = "η, factor of the step; 1 in the paper",
     .search_low = 1e-2, .search_high = 10, .search_log = true},
    {.name = "rho", .value = 0.9, .low = 0, .high = 1, .open = SW_OPEN_HIGH, .help = "ρ, decay of both means",
     .search_low = 0.8, .search_high = 0.99},
    {.name = "eps", .value = 1e-6, .low = 1e-30, .high = 1,
     .help = "ε; it also determines the length of the first steps", .search_low = 1e-8, .search_high = 1e-4,
     .search_log = true},
    SW_OPTION_EPS_IN_ROOT(1),
    SW_OPTION_WEIGHT_DECAY,
    {0}};
/* clang-format on */

static bool adadelta_in_f64(const double *option) {
    const adadelta_options *o = SW_OPTIONS_AS(option, adadelta_options);
    return sw_means_need_f64(o->eps, o->eps_in_root != 0, 1 - o->rho, 2);
}

static bool adadelta_needs_v(const double *option, sw_dtype type) {
    return type != SW_F32 || !adadelta_in_f64(option);
}

static bool adadelta_needs_v_f64(const double *option, sw_dtype type) {
    return !adadelta_needs_v(option, type);
}

static sw_status adadelta_begin(sw_step *s) {
    return sw_second_moments_check(s, "adadelta", SW_STEP_OPTIONS(s, adadelta_options)->eps, adadelta_in_f64(s->option),
                                   SW_STEP_SLOTS(s, adadelta_slots)->v_f64);
}

/* ‖√a‖² = Σ a ≤ √count ‖a‖, and |g|/√v is bounded by 1/√(1 - ρ), so that (1 - ρ) d² is at most about a + ε. */
static void adadelta_reach(const sw_step *s, sw_bounds *b) {
    const adadelta_options *o = SW_STEP_OPTIONS(s, adadelta_options);
    const adadelta_slots *slots = SW_STEP_SLOTS(s, adadelta_slots);
    double *v = slots->v ? &SW_SLOT_BOUND(b, adadelta_slots, v) : &SW_SLOT_BOUND(b, adadelta_slots, v_f64);
    double *a = slots->a ? &SW_SLOT_BOUND(b, adadelta_slots, a) : &SW_SLOT_BOUND(b, adadelta_slots, a_f64);
    const double eps = o->eps, lr = fabs(o->lr), fresh = 1 - o->rho, a_before = *a, n = sqrt((double)b->count),
                 g = b->g + o->weight_decay * b->x;
    const bool in_root = o->eps_in_root != 0;
    const double least = in_root ? sqrt(eps) : eps, ratio = sw_bound_normalized(b, s->type, fresh, least) / n,
                 root_a = in_root ? sqrt(n * a_before + n * n * eps) : sqrt(n * a_before) + n * eps,
                 largest_root_a = sqrt(a_before) + (in_root ? sqrt(eps) : eps); /* of an element */
    const double d = sw_bound_tighter(root_a * ratio, largest_root_a * g / least), k = fresh * ratio * ratio;
    *v = o->rho * *v + fresh * g * g;
    *a = o->rho * a_before +
         sw_bound_tighter(fresh * d * d, k * (in_root ? a_before + n * eps : 2 * a_before + 2 * n * eps * eps));
    b->largest += lr + d + g + o->weight_decay + (a_before + eps) / eps + *v;
    b->x += lr * d;
}

static const sw_slot adadelta_slot_table[] = {{.name = "v", .needed_by = adadelta_needs_v},
                                              {.name = "a", .needed_by = adadelta_needs_v},
                                              {.name = "v_f64", .type = SW_SLOT_F64, .needed_by = adadelta_needs_v_f64},
                                              {.name = "a_f64", .type = SW_SLOT_F64, .needed_by = adadelta_needs_v_f64},
                                              {0}};

SW_MATCH_OPTIONS(adadelta_options, adadelta_option_table);
SW_MATCH_SLOTS(adadelta_slots, adadelta_slot_table);

const sw_rule swo_adadelta = {.size = sizeof(sw_rule),
                              .name = "adadelta",
                              .summary = "steps in the units of the parameters, without a learning rate",
                              .source = "Zeiler 2012, arXiv 1212.5701",
                              .options = adadelta_option_table,
                              .slots = adadelta_slot_table,
                              .flags = SW_RULE_LINEAR,
                              .begin = adadelta_begin,
                              .update = &adadelta_kernels,
                              .reach = adadelta_reach};

#endif
