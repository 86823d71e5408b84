/* Adadelta (Zeiler 2012):
 *     g ← g + λθ
 *     v ← ρ v + (1 - ρ) g²
 *     d = √(a + ε)/√(v + ε) · g         or (√a + ε)/(√v + ε) · g without eps_in_root
 *     a ← ρ a + (1 - ρ) d²
 *     θ ← θ - η d
 */
#include <swale/kernel.h>
#include "optim/methods.h"
#include "optim/rules/blocks.h"

#if SW_KERNEL_FIRST
enum { LR, RHO, EPS, EPS_IN_ROOT, WEIGHT_DECAY };
enum { V, A, V_F64, A_F64 }; /* slots */
#endif

#if SW_KERNEL_PASS

/* With ε in the roots their quotient is the root of one quotient, as long as that is a normal number. */
BLOCK_FUNCTION SW_K(adadelta_block)(const sw_step *s, int64_t n, const bool in_root, real *restrict x,
                                    const real *restrict gradient, real *restrict v, real *restrict a) {
#if SW_KERNEL_F32
    const real least = 0x1p-63f; /* root of the smallest normal number */
#else
    const real least = 0x1p-511;
#endif
    const real lr = (real)s->option[LR], rho = (real)s->option[RHO], fresh = (real)(1 - s->option[RHO]),
               decay = (real)s->option[WEIGHT_DECAY], eps = (real)s->option[EPS];
    _Alignas(64) real along[BLOCK_LENGTH], root[BLOCK_LENGTH], above[BLOCK_LENGTH];
    int tiny = 0;
    for (int64_t i = 0; i < n; i++) {
        const real g = along[i] = gradient[i] + decay * x[i];
        v[i] = rho * v[i] + (fresh * g) * g;
        root[i] = in_root ? (a[i] + eps) / (v[i] + eps) : v[i];
        above[i] = a[i];
    }
    SW_K(roots)(root, n);
    if (in_root) {
        for (int64_t i = 0; i < n; i++)
            tiny |= root[i] < least;
        for (int64_t i = 0; tiny && i < n; i++)
            if (root[i] < least)
                root[i] = SW_R(sqrt)(a[i] + eps) / SW_R(sqrt)(v[i] + eps);
    } else {
        SW_K(roots)(above, n);
    }
    for (int64_t i = 0; i < n; i++) {
        const real d = (in_root ? root[i] : (above[i] + eps) / (root[i] + eps)) * along[i];
        a[i] = rho * a[i] + (fresh * d) * d;
        x[i] -= lr * d;
    }
}

#if SW_KERNEL_F32
static void F64_KERNEL(adadelta_f32)(void *args, int64_t begin, int64_t end, double *sums);
#endif

static void SW_K(adadelta)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *x = s->x, *v = SQUARES(s, V, V_F64), *a = SQUARES(s, A, A_F64);
    const real *g = s->g;
    (void)sums;
#if SW_KERNEL_F32
    if (s->slot[V_F64]) {
        F64_KERNEL(adadelta_f32)(args, begin, end, sums);
        return;
    }
#endif
    if (s->option[EPS_IN_ROOT] != 0)
        BY_BLOCKS(s, begin, end, SW_K(adadelta_block)(s, n, true, x + begin, g + begin, v + begin, a + begin));
    else
        BY_BLOCKS(s, begin, end, SW_K(adadelta_block)(s, n, false, x + begin, g + begin, v + begin, a + begin));
}

#if !SW_KERNEL_F32
/* Parameters of f32, second moments of f64. */
static void SW_K(adadelta_f32)(void *args, int64_t begin, int64_t end, double *sums) {
    (void)sums;
    SW_K(on_f64)(args, begin, end, 1u << V_F64 | 1u << A_F64, SW_K(adadelta));
}
#endif

#else

#include "optim/reach.h"

static const sw_kernels kernels = SW_KERNEL_TABLE(adadelta);

/* clang-format off */
static const sw_option options[] = {
    {.name = "lr", .value = 1, .low = 0, .high = 1e6, .help = "η; the method itself wants none",
     .search_low = 1e-2, .search_high = 10, .search_log = true},
    {.name = "rho", .value = 0.9, .low = 0, .high = 1, .open = SW_OPEN_HIGH, .help = "ρ, decay of both means",
     .search_low = 0.8, .search_high = 0.99},
    {.name = "eps", .value = 1e-6, .low = 1e-30, .high = 1,
     .help = "ε; it is also where the first steps come from", .search_low = 1e-8, .search_high = 1e-4,
     .search_log = true},
    EPS_IN_ROOT_ROW(1),
    WEIGHT_DECAY_ROW,
    {0}};
/* clang-format on */

static bool adadelta_in_f64(const double *o) {
    return swo_means_in_f64(o[EPS], o[EPS_IN_ROOT] != 0, 1 - o[RHO], 2);
}

static bool adadelta_needs_v(const double *option, sw_dtype type) {
    return type != SW_F32 || !adadelta_in_f64(option);
}

static bool adadelta_needs_v_f64(const double *option, sw_dtype type) {
    return !adadelta_needs_v(option, type);
}

static sw_status adadelta_begin(sw_step *s) {
    return swo_check_squares(s, "adadelta", s->option[EPS], adadelta_in_f64(s->option), V_F64);
}

/* ‖√a‖² = Σ a ≤ √count ‖a‖, and |g|/√v is bounded by 1/√(1 - ρ), so that (1 - ρ) d² is at most about a + ε. */
static void adadelta_reach(const sw_step *s, sw_bounds *b) {
    const double *o = s->option, eps = o[EPS], lr = fabs(o[LR]), fresh = 1 - o[RHO],
                 a = b->slot[s->slot[A] ? A : A_F64], n = sqrt((double)b->count), g = b->g + o[WEIGHT_DECAY] * b->x;
    const bool in_root = o[EPS_IN_ROOT] != 0;
    const double least = in_root ? sqrt(eps) : eps, ratio = swo_normalized(b, s->type, fresh, least) / n,
                 above = in_root ? sqrt(n * a + n * n * eps) : sqrt(n * a) + n * eps,
                 of_one = sqrt(a) + (in_root ? sqrt(eps) : eps); /* the largest of an element */
    const double d = swo_tighter(above * ratio, of_one * g / least), k = fresh * ratio * ratio;
    const int v = s->slot[V] ? V : V_F64, of_a = s->slot[A] ? A : A_F64;
    b->slot[v] = o[RHO] * b->slot[v] + fresh * g * g;
    b->slot[of_a] = o[RHO] * a + swo_tighter(fresh * d * d, k * (in_root ? a + n * eps : 2 * a + 2 * n * eps * eps));
    b->largest += lr + d + g + o[WEIGHT_DECAY] + (a + eps) / eps + b->slot[v];
    b->x += lr * d;
}

static const sw_slot slots[] = {{.name = "v", .needed_by = adadelta_needs_v},
                                {.name = "a", .needed_by = adadelta_needs_v},
                                {.name = "v_f64", .type = SW_SLOT_F64, .needed_by = adadelta_needs_v_f64},
                                {.name = "a_f64", .type = SW_SLOT_F64, .needed_by = adadelta_needs_v_f64},
                                {0}};

const sw_rule swo_adadelta = {.size = sizeof(sw_rule),
                              .name = "adadelta",
                              .summary = "steps in the units of the parameters, no learning rate",
                              .source = "Zeiler 2012, arXiv 1212.5701",
                              .options = options,
                              .slots = slots,
                              .flags = SW_RULE_LINEAR,
                              .begin = adadelta_begin,
                              .update = &kernels,
                              .reach = adadelta_reach};

#endif
