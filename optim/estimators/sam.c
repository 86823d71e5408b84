/* SAM, sharpness-aware minimization (P. Foret, A. Kleiner, H. Mobahi, B. Neyshabur, ICLR 2021):
 *     g = ∇f(x + ε),  ε = argmax ⟨∇f(x), ε⟩ over ‖ε‖_p ≤ ρ
 *       = ρ sign(h) |h|^(q-1) / (Σ |h|^q)^(1/p),  h = ∇f(x)/max|∇f(x)|,  1/p + 1/q = 1
 * p = 2: ρ h/‖h‖. p = ∞: ρ sign(h). p = 1: ±ρ at the element of largest |h|, the first of equal ones. Powers of |h| are
 * between 0 and 1 and the largest is 1, so that no number overflows and no sum is 0.
 *
 * The inner estimator (of=) computes both gradients, from the same samples with the same random numbers. An estimator
 * whose tables allow only one evaluation per step (sag, saga) is refused.
 */
#include <swale/kernel.h>

#if SW_KERNEL_FIRST
typedef struct sam_args {
    const void *x, *g;
    void *out;
    double largest, power, factor; /* max |g|, q - 1, ρ / (Σ |h|^q)^(1/p) */
} sam_args;
#endif

#if SW_KERNEL_PASS

/* |h|^q = |h| |h|^(q-1) */
static inline real SW_K(sam_term)(real g, real largest, double power) {
    const real h = (g < 0 ? -g : g) / largest;
    return h * SW_K(sw_k_power)(h, power, 0);
}

/* Σ |h|^q */
static void SW_K(sam_power_sum)(void *args, int64_t begin, int64_t end, double *sums) {
    const sam_args *s = args;
    const real *restrict g = s->g;
    const real largest = (real)s->largest;
    const double power = s->power;
    real lane[SW_LANES] = {0};
    int64_t i = begin;
    for (; i + SW_LANES <= end; i += SW_LANES)
        for (int j = 0; j < SW_LANES; j++)
            lane[j] += SW_K(sam_term)(g[i + j], largest, power);
    for (int j = 0; i < end; i++, j++)
        lane[j] += SW_K(sam_term)(g[i], largest, power);
    SW_ADD_LANES(double, sums[0], lane);
}

/* out = x + factor sign(h) |h|^(q-1) */
static void SW_K(sam_move)(void *args, int64_t begin, int64_t end, double *sums) {
    const sam_args *s = args;
    const real *restrict x = s->x, *restrict g = s->g;
    real *restrict out = s->out;
    const real largest = (real)s->largest, factor = (real)s->factor;
    const double power = s->power;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real h = (g[i] < 0 ? -g[i] : g[i]) / largest, size = factor * SW_K(sw_k_power)(h, power, 0);
        out[i] = x[i] + (g[i] < 0 ? -size : size);
    }
}

/* The same for p = 2. */
static void SW_K(sam_move_2)(void *args, int64_t begin, int64_t end, double *sums) {
    const sam_args *s = args;
    const real *restrict x = s->x, *restrict g = s->g;
    real *restrict out = s->out;
    const real largest = (real)s->largest, factor = (real)s->factor;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        out[i] = x[i] + factor * (g[i] / largest);
}

/* The same for p = ∞: an element with gradient 0 does not change. */
static void SW_K(sam_move_sign)(void *args, int64_t begin, int64_t end, double *sums) {
    const sam_args *s = args;
    const real *restrict x = s->x, *restrict g = s->g;
    real *restrict out = s->out;
    const real factor = (real)s->factor;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        out[i] = x[i] + (g[i] > 0 ? factor : g[i] < 0 ? -factor : (real)0);
}

#else

#include "optim/estimators/ascent.h"
#include "optim/estimators/estimators.h"

#include <math.h>

static const sw_kernels power_sum_kernels = SW_KERNEL_TABLE(sam_power_sum), move_kernels = SW_KERNEL_TABLE(sam_move),
                        move_2_kernels = SW_KERNEL_TABLE(sam_move_2),
                        move_sign_kernels = SW_KERNEL_TABLE(sam_move_sign);

typedef struct sam_options {
    double rho, p, of;
} sam_options;
/* clang-format off */
static const sw_option sam_option_table[] = {
    {.name = "rho", .kind = SW_OPTION_REAL, .value = 0.05, .low = 0, .high = 1e6, .help = "ρ, the size of ε",
     .search_low = 0.01, .search_high = 0.5, .search_log = true},
    {.name = "p", .kind = SW_OPTION_REAL, .value = 2, .low = 1, .high = INFINITY,
     .help = "the norm that measures ε; inf: the largest element"},
    {.name = "of", .kind = SW_OPTION_SPEC, .help = "the estimator of both gradients"},
    {0}};
/* clang-format on */
SW_MATCH_OPTIONS(sam_options, sam_option_table);

static void sam_move_one(sw_dtype type, void *x, int64_t i, const void *g, double rho) {
    if (type == SW_F32)
        ((float *)x)[i] += ((const float *)g)[i] < 0 ? -(float)rho : (float)rho;
    else
        ((double *)x)[i] += ((const double *)g)[i] < 0 ? -rho : rho;
}

static sw_status sam_ascend(sw_estimate *e, const void *x, const void *g, void *out, bool *flat) {
    const sam_options *o = SW_OPTIONS_AS(e->option, sam_options);
    const double p = o->p, rho = o->rho;
    sam_args args = {.x = x, .g = g, .out = out, .power = 1 / (p - 1), .factor = rho};
    int64_t index;
    double sum;
    SW_TRY(swo_largest(e, g, &args.largest, &index));
    *flat = args.largest == 0 || rho == 0;
    if (*flat)
        return SW_OK;
    if (p == 1) {
        memcpy(out, x, (size_t)e->dim * sw_dtype_size(e->type));
        sam_move_one(e->type, out, index, g, rho);
    } else if (p >
               1e20) { /* as p = ∞: q - 1 < 1e-20, so that powers are 1; with q - 1 = 0 the power of 0 would be wrong */
        sw_kernel_run(&move_sign_kernels, e->type, &args, e->dim);
    } else if (p == 2) {
        args.factor = rho / swo_norm_over(e, g, args.largest);
        sw_kernel_run(&move_2_kernels, e->type, &args, e->dim);
    } else {
        sw_kernel_run_sums(&power_sum_kernels, e->type, &args, e->dim, 1, &sum);
        args.factor = rho / pow(sum, 1 / p);
        sw_kernel_run(&move_kernels, e->type, &args, e->dim);
    }
    return SW_OK;
}

static sw_status sam_estimate(sw_estimate *e, const void *x, void *g) {
    return swo_ascent(e, x, g, sam_ascend);
}

const sw_estimator swo_sam = {.size = sizeof(sw_estimator),
                              .name = "sam",
                              .summary = "the gradient at the point of largest loss nearby",
                              .source = "Foret, Kleiner, Mobahi, Neyshabur, ICLR 2021",
                              .options = sam_option_table,
                              .flags = SW_ESTIMATOR_OBJECTIVE | SW_ESTIMATOR_WRAPPER | SW_ESTIMATOR_AGAIN,
                              .cost = "2 gradients of the inner estimator",
                              .estimate = sam_estimate};

#endif
