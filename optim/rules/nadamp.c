/* NadamP, of the AlgoPerf competition 2024: NadamW with another root in the denominator,
 *     m ← β1 m + (1 - β1) g
 *     v ← β2 v + (1 - β2) g²
 *     θ ← (1 - ηλ) θ - η/(1 - β1ᵗ) · (β1 m + (1 - β1) g) / ((v/(1 - β2ᵗ))^(1/p) + ε)
 * p = 2 is NadamW; p = 1.5, the other of the competition's, is quick too. Any other root is e^(log(v)/p): its
 * relative error in f32 is up to 88/p·2^-24 and some units in the last place, the rounding of the logarithm.
 * The latter takes v as within the normal numbers.
 */
#include <swale/kernel.h>
#include "optim/rules/adam.h"
#include "optim/rules/blocks.h"

#if SW_KERNEL_FIRST
enum { POWER = ADAM_OPTIONS };
#endif

#if SW_KERNEL_PASS

/* 0 has no logarithm, and squares of f32 reach Inf beyond |g| = 1.8e19. */
static inline real SW_K(normal_number)(real v) {
#if SW_KERNEL_F32
    const real least = 1.17549435e-38f, most = 3.4028234e38f;
#else
    const real least = 2.2250738585072014e-308, most = 1.7976931348623157e308;
#endif
    v = v > least ? v : least;
    return v < most ? v : most;
}

/* A number within 3.5 % of v^(-1/3), in f64 3e-5. Bits taken as a whole number are nearly a multiple of the
 * logarithm: a constant less a third of them. Vector code before AVX-512 converts whole numbers of 32 bits
 * only: the leading half of those of f64 passes through the mantissa of 2^52. */
static inline real SW_K(inverse_cube_root)(real v) {
#if SW_KERNEL_F32
    const real leading = (real)(int32_t)SW_K(sw_k_bits)(v);
    return SW_K(sw_k_from_bits)((uint32_t)(int32_t)(1419899904.0f - leading * (1 / 3.0f)));
#else
    const real start = 1430188287.16, unit = 4503599627370496.0;
    const real leading = SW_K(sw_k_from_bits)(SW_K(sw_k_bits)(unit) | SW_K(sw_k_bits)(v) >> 32) - unit;
    const real guess = start - leading * (1 / 3.0) + unit;
    const real y = SW_K(sw_k_from_bits)((SW_K(sw_k_bits)(guess) - SW_K(sw_k_bits)(unit)) << 32);
    const real h = 1 - (v * y) * (y * y);
    return y + y * (h * (1 / 3.0 + h * (2 / 9.0 + h * (14 / 81.0))));
#endif
}

/* (1 - h)^(-1/3) - 1: in f32 for |h| ≤ 0.103, within 9e-8; in f64 the series, for |h| ≤ 1e-4. */
static inline real SW_K(correction)(real h) {
#if SW_KERNEL_F32
    const real c1 = 0.333329139f, c2 = 0.222215569f, c3 = 0.174468768f, c4 = 0.145823882f;
#else
    const real c1 = 1 / 3.0, c2 = 2 / 9.0, c3 = 14 / 81.0, c4 = 35 / 243.0;
#endif
    return h * (c1 + h * (c2 + h * (c3 + h * c4)));
}

/* v^(2/3) = w (1 - h)^(-1/3), w = v y, h = 1 - v y³, y about v^(-1/3); 0 of 0, and ∞ or -∞ of ∞, by which
 * the step is 0. Largest relative error, by trial of every f32 of 20 octaves and many others: 2.2e-7 in f32, 2.3e-16
 * in f64. */
static inline real SW_K(two_thirds)(real v) {
    const real y = SW_K(inverse_cube_root)(v), w = v * y;
    return w + w * SW_K(correction)(1 - w * (y * y));
}

BLOCK_FUNCTION SW_K(take_root)(real *restrict root, int64_t n, double p) {
    const double exponent = 1 / p;
    if (p == 2) {
        SW_K(roots)(root, n);
        return;
    }
    if (p == 1.5)
        for (int64_t i = 0; i < n; i++)
            root[i] = SW_K(two_thirds)(root[i]);
    else
        for (int64_t i = 0; i < n; i++)
            root[i] = SW_K(sw_k_power)(SW_K(normal_number)(root[i]), exponent, 0);
}

BLOCK_FUNCTION SW_K(nadamp_block)(const sw_step *s, int64_t n, real *restrict x, const real *restrict g,
                                  real *restrict m, real *restrict v) {
    const real beta1 = (real)s->option[BETA1], beta2 = (real)s->option[BETA2], fresh1 = (real)s->coefficient[FRESH],
               fresh2 = (real)(1 - s->option[BETA2]), a = (real)(s->coefficient[ALONG_M] * s->coefficient[SCALE_BACK]),
               b = (real)(s->coefficient[ALONG_G] * s->coefficient[SCALE_BACK]),
               outside = (real)(s->coefficient[OUTSIDE] * s->coefficient[SCALE_BACK]),
               inside = (real)s->coefficient[INSIDE], shrink = (real)s->coefficient[SHRINK];
    _Alignas(64) real along[BLOCK_LENGTH], root[BLOCK_LENGTH];
    for (int64_t i = 0; i < n; i++) {
        m[i] = beta1 * m[i] + fresh1 * g[i];
        v[i] = beta2 * v[i] + (fresh2 * g[i]) * g[i];
        along[i] = a * m[i] + b * g[i];
        root[i] = v[i] + inside;
    }
    SW_K(take_root)(root, n, s->option[POWER]);
    for (int64_t i = 0; i < n; i++)
        x[i] = shrink * x[i] - along[i] / (root[i] + outside);
}

#if SW_KERNEL_F32
static void F64_KERNEL(nadamp_f32)(void *args, int64_t begin, int64_t end, double *sums);
#endif

static void SW_K(nadamp)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *x = s->x, *m = s->slot[M], *v = SQUARES(s, V, V_F64);
    const real *g = s->g;
    (void)sums;
#if SW_KERNEL_F32
    if (s->slot[V_F64]) {
        F64_KERNEL(nadamp_f32)(args, begin, end, sums);
        return;
    }
#endif
    BY_BLOCKS(s, begin, end, SW_K(nadamp_block)(s, n, x + begin, g + begin, m + begin, v + begin));
}

#if !SW_KERNEL_F32
/* Parameters of f32, second moments of f64. */
static void SW_K(nadamp_f32)(void *args, int64_t begin, int64_t end, double *sums) {
    (void)sums;
    SW_K(on_f64)(args, begin, end, 1u << V_F64, SW_K(nadamp));
}
#endif

#else

static const sw_kernels kernels = SW_KERNEL_TABLE(nadamp);

/* Another root than √: only the least denominator, that of v = 0, bounds the step. */
static void nadamp_reach(const sw_step *s, sw_bounds *b) {
    const double *o = s->option, *c = s->coefficient;
    const int of_v = s->slot[V] ? V : V_F64;
    const double least = (c[INSIDE] > 0 ? pow(c[INSIDE], 1 / o[POWER]) : 0) * c[ROOT_SCALE] + c[OUTSIDE];
    const double m = o[BETA1] * b->slot[M] + c[FRESH] * b->g, v = o[BETA2] * b->slot[of_v] + b->g * b->g,
                 along = fabs(c[ALONG_M]) * m + fabs(c[ALONG_G]) * b->g;
    b->slot[M] = m;
    b->slot[of_v] = v;
    b->largest += along + fabs(c[ALONG_M]) + fabs(c[ALONG_G]) + fabs(c[SHRINK]) + (v + 1) * c[ROOT_SCALE];
    b->x = fabs(c[SHRINK]) * b->x + along / least;
}

static bool nadamp_in_f64(const double *o) {
    return swo_means_in_f64(o[EPS], o[EPS_IN_ROOT] != 0, 1 - o[BETA2], o[POWER]);
}

static bool nadamp_needs_v(const double *option, sw_dtype type) {
    return type != SW_F32 || !nadamp_in_f64(option);
}

static bool nadamp_needs_v_f64(const double *option, sw_dtype type) {
    return !nadamp_needs_v(option, type);
}

static sw_status begin(sw_step *s) {
    swo_nadamw_begin(s);
    swo_adam_root(s, 1 - pow(s->option[BETA2], (double)s->step), s->option[POWER]);
    return swo_check_squares(s, "nadamp", s->option[EPS], nadamp_in_f64(s->option), V_F64);
}

/* clang-format off */
static const sw_option options[] = {
    ADAM_OPTION_ROWS(1e-3, 0.01, DECAY_DECOUPLED),
    {.name = "p", .value = 1.5, .low = 1, .high = 4, .help = "the root taken of v; 2: NadamW",
     .search_low = 1.5, .search_high = 2},
    {0}};
/* clang-format on */
static const sw_slot slots[] = {{.name = "m"},
                                {.name = "v", .needed_by = nadamp_needs_v},
                                {.name = "v_f64", .type = SW_SLOT_F64, .needed_by = nadamp_needs_v_f64},
                                {0}};

const sw_rule swo_nadamp = {.size = sizeof(sw_rule),
                            .name = "nadamp",
                            .summary = "NadamW with a p-th root in the denominator",
                            .source = "Kasimbeg et al., AlgoPerf, ICLR 2025",
                            .options = options,
                            .slots = slots,
                            .flags = SW_RULE_LINEAR,
                            .begin = begin,
                            .update = &kernels,
                            .reach = nadamp_reach};

#endif
