/* NadamP, of the AlgoPerf competition 2024: NadamW with another root in the denominator,
 *     m ← β1 m + (1 - β1) g
 *     v ← β2 v + (1 - β2) g²
 *     θ ← (1 - ηλ) θ - η/(1 - β1ᵗ) · (β1 m + (1 - β1) g) / ((v/(1 - β2ᵗ))^(1/p) + ε)
 * p = 2 is NadamW; p = 1.5, the other of the competition's, is quick too. Any other root is e^(log(v)/p): its
 * relative error in f32 is up to 88/p·2^-24 and some units in the last place, the rounding of the logarithm.
 * Both see no v below the smallest normal number.
 */
#define SW_KERNEL_FILE "rules/nadamp.c"
#include "kernel.h"
#include "adam.h"

#ifndef NADAMP_OPTIONS
#define NADAMP_OPTIONS
enum { POWER = ADAM_OPTIONS };
enum { SQUARE_ROOT, TWO_THIRDS, ANY_ROOT };
#endif

#if SW_KERNEL_PASS

static inline real SW_K(normal_number)(real v) {
#if SW_KERNEL_F32
    const real least = 1.17549435e-38f;
#else
    const real least = 2.2250738585072014e-308;
#endif
    return v > least ? v : least;
}

/* v^(2/3) = v y, y = v^(-1/3). The leading half of v's bits, taken as a whole number, is nearly a multiple of
 * its logarithm; a constant less a third of that number are the leading bits of a y within 4 %. Then twice
 * y ← y (1 - h)^(-1/3) with h = 1 - v y³, by its series up to h³, which leaves an error of h⁴/7: 3e-5, then
 * what is rounding: 1.4e-7 in f32 and 2.5e-16 in f64 at most, by trial over the range. */
static inline real SW_K(two_thirds)(real v) {
#if SW_KERNEL_F32
    const real start = 21666.98f, unit = 8388608.0f; /* 2^23: adding it makes a whole number of the mantissa */
    enum { HALF = 16 };
#else
    const real start = 1430188287.16, unit = 4503599627370496.0; /* 2^52 */
    enum { HALF = 32 };
#endif
    const real leading = SW_K(sw_k_from_bits)(SW_K(sw_k_bits)(unit) | SW_K(sw_k_bits)(v) >> HALF) - unit;
    const real guess = start - leading * (1 / (real)3) + unit;
    real y = SW_K(sw_k_from_bits)((SW_K(sw_k_bits)(guess) - SW_K(sw_k_bits)(unit)) << HALF);
    for (int twice = 0; twice < 2; twice++) {
        const real h = 1 - (v * y) * (y * y);
        y += y * (h * (1 / (real)3 + h * (2 / (real)9 + h * (14 / (real)81))));
    }
    return v * y;
}

static inline real SW_K(root)(real v, real exponent, const int which) {
    if (which == SQUARE_ROOT)
        return SW_R(sqrt)(v);
    v = SW_K(normal_number)(v);
    return which == TWO_THIRDS ? SW_K(two_thirds)(v) : SW_K(sw_k_exp)(exponent * SW_K(sw_k_log)(v));
}

/* One loop for each root: it is a constant where this is called. */
static inline __attribute__((always_inline)) void SW_K(loop)(const sw_step *s, int64_t begin, int64_t end,
                                                             const int which) {
    real *restrict x = s->x;
    const real *restrict g = s->g;
    real *restrict m = s->slot[0], *restrict v = s->slot[1];
    const real beta1 = (real)s->option[BETA1], beta2 = (real)s->option[BETA2],
               fresh1 = (real)s->coefficient[FRESH], fresh2 = (real)(1 - s->option[BETA2]),
               a = (real)s->coefficient[ALONG_M], b = (real)s->coefficient[ALONG_G],
               scale = (real)s->coefficient[V_SCALE], inside = (real)s->coefficient[INSIDE],
               outside = (real)s->coefficient[OUTSIDE], shrink = (real)s->coefficient[SHRINK],
               exponent = (real)(1 / s->option[POWER]);
    for (int64_t i = begin; i < end; i++) {
        m[i] = beta1 * m[i] + fresh1 * g[i];
        v[i] = beta2 * v[i] + fresh2 * (g[i] * g[i]);
        x[i] = shrink * x[i] -
               (a * m[i] + b * g[i]) / (SW_K(root)(v[i] * scale + inside, exponent, which) + outside);
    }
}

static void SW_K(nadamp)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)sums;
    if (s->option[POWER] == 2)
        SW_K(loop)(s, begin, end, SQUARE_ROOT);
    else if (s->option[POWER] == 1.5)
        SW_K(loop)(s, begin, end, TWO_THIRDS);
    else
        SW_K(loop)(s, begin, end, ANY_ROOT);
}

#else

static const sw_kernels kernels = SW_KERNEL_TABLE(nadamp);

static sw_status begin(sw_step *s) {
    swo_nadamw_begin(s);
    return SW_OK;
}

static const sw_option options[] = {
    ADAM_OPTION_ROWS(1e-3, 0.01, DECAY_DECOUPLED),
    {.name = "p", .value = 1.5, .low = 1, .high = 4, .help = "the root taken of v; 2: NadamW",
     .search_low = 1.5, .search_high = 2},
    {0}};

const sw_rule swo_nadamp = {.size = sizeof(sw_rule), .name = "nadamp",
                            .summary = "NadamW with a p-th root in the denominator",
                            .source = "Kasimbeg et al., AlgoPerf, ICLR 2025", .options = options,
                            .slots = swo_adam_slots, .flags = SW_RULE_LINEAR, .begin = begin,
                            .update = &kernels};

#endif
