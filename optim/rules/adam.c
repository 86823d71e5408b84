/* Adam (Kingma, Ba, ICLR 2015):
 *     g ← g + λθ
 *     m ← β1 m + (1 - β1) g
 *     v ← β2 v + (1 - β2) g²
 *     θ ← θ - η/(1 - β1ᵗ) · m / (√(v/(1 - β2ᵗ)) + ε)
 * and the loop of all rules whose equations are those of adam.h.
 */
#include <swale/kernel.h>
#include "optim/rules/adam.h"
#include "optim/rules/blocks.h"

#if SW_KERNEL_PASS

/* With the denominator, n ≤ BLOCK_LENGTH elements. */
BLOCK_FUNCTION SW_K(adam_block)(const sw_step *s, int64_t n, real *restrict x, const real *restrict gradient,
                                real *restrict m, real *restrict v) {
    const real beta1 = (real)s->option[BETA1], beta2 = (real)s->option[BETA2], fresh1 = (real)s->coefficient[FRESH],
               fresh2 = (real)(1 - s->option[BETA2]), a = (real)(s->coefficient[ALONG_M] * s->coefficient[SCALE_BACK]),
               b = (real)(s->coefficient[ALONG_G] * s->coefficient[SCALE_BACK]),
               outside = (real)(s->coefficient[OUTSIDE] * s->coefficient[SCALE_BACK]),
               inside = (real)s->coefficient[INSIDE], l2 = (real)s->coefficient[L2],
               shrink = (real)s->coefficient[SHRINK];
    _Alignas(64) real along[BLOCK_LENGTH], root[BLOCK_LENGTH];
    for (int64_t i = 0; i < n; i++) {
        const real g = gradient[i] + l2 * x[i];
        m[i] = beta1 * m[i] + fresh1 * g;
        v[i] = beta2 * v[i] + (fresh2 * g) * g;
        along[i] = a * m[i] + b * g;
        root[i] = v[i] + inside;
    }
    SW_K(roots)(root, n);
    for (int64_t i = 0; i < n; i++)
        x[i] = shrink * x[i] - along[i] / (root[i] + outside);
}

#if SW_KERNEL_F32
static void F64_KERNEL(adam_f32)(void *args, int64_t begin, int64_t end, double *sums);
#endif

static void SW_K(adam)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *restrict x = s->x;
    const real *restrict gradient = s->g;
    real *restrict m = s->slot[M], *restrict v = SQUARES(s, V, V_F64);
    const real beta1 = (real)s->option[BETA1], beta2 = (real)s->option[BETA2], fresh1 = (real)s->coefficient[FRESH],
               fresh2 = (real)(1 - s->option[BETA2]), a = (real)s->coefficient[ALONG_M],
               b = (real)s->coefficient[ALONG_G], l2 = (real)s->coefficient[L2], shrink = (real)s->coefficient[SHRINK];
    (void)sums;
#if SW_KERNEL_F32
    if (s->slot[V_F64]) {
        F64_KERNEL(adam_f32)(args, begin, end, sums);
        return;
    }
#endif
    if (!v) {
        for (int64_t i = begin; i < end; i++) {
            const real g = gradient[i] + l2 * x[i];
            m[i] = beta1 * m[i] + fresh1 * g;
            x[i] = shrink * x[i] - (a * m[i] + b * g);
        }
    } else if (s->coefficient[PLAIN] != 0) {
        for (int64_t i = begin; i < end; i++) {
            const real g = gradient[i] + l2 * x[i];
            m[i] = beta1 * m[i] + fresh1 * g;
            v[i] = beta2 * v[i] + (fresh2 * g) * g;
            x[i] = shrink * x[i] - (a * m[i] + b * g);
        }
    } else {
        BY_BLOCKS(s, begin, end, SW_K(adam_block)(s, n, x + begin, gradient + begin, m + begin, v + begin));
    }
}

#if !SW_KERNEL_F32
/* Parameters of f32, second moments of f64. */
static void SW_K(adam_f32)(void *args, int64_t begin, int64_t end, double *sums) {
    (void)sums;
    SW_K(on_f64)(args, begin, end, 1u << V_F64, SW_K(adam));
}
#endif

#else

#include "optim/reach.h"

const sw_kernels swo_adam_kernels = SW_KERNEL_TABLE(adam);

bool swo_adam_in_f64(const double *o) {
    return swo_means_in_f64(o[EPS], o[EPS_IN_ROOT] != 0, 1 - o[BETA2], 2);
}

bool swo_adam_needs_v(const double *option, sw_dtype type) {
    return type != SW_F32 || !swo_adam_in_f64(option);
}

bool swo_adam_needs_v_f64(const double *option, sw_dtype type) {
    return !swo_adam_needs_v(option, type);
}

const sw_slot swo_adam_slots[] = {{.name = "m"},
                                  {.name = "v", .needed_by = swo_adam_needs_v},
                                  {.name = "v_f64", .type = SW_SLOT_F64, .needed_by = swo_adam_needs_v_f64},
                                  {0}};

void swo_adam_root(sw_step *s, double correction, double p) {
    const bool in_root = s->option[EPS_IN_ROOT] != 0;
    s->coefficient[ROOT_SCALE] = p == 2 ? sqrt(1 / correction) : pow(1 / correction, 1 / p);
    s->coefficient[SCALE_BACK] = 1 / s->coefficient[ROOT_SCALE];
    s->coefficient[INSIDE] = in_root ? s->option[EPS] * correction : 0;
    s->coefficient[OUTSIDE] = in_root ? 0 : s->option[EPS];
}

void swo_adam_begin(sw_step *s, bool decoupled) {
    const double *o = s->option, t = (double)s->step;
    double *c = s->coefficient;
    c[ALONG_M] = o[LR] / (1 - pow(o[BETA1], t));
    c[ALONG_G] = 0;
    c[FRESH] = 1 - o[BETA1];
    swo_adam_root(s, 1 - pow(o[BETA2], t), 2);
    c[L2] = decoupled ? 0 : o[WEIGHT_DECAY];
    c[SHRINK] = decoupled ? 1 - o[LR] * o[WEIGHT_DECAY] : 1;
    c[PLAIN] = 0;
}

/* |m| ≤ R √v: with m' = β1 m + ϕ g and v' = β2 v + (1 - β2) g², Cauchy and Schwarz give
 * R'² = β1² R²/β2 + ϕ²/(1 - β2). What g² lost to flushing leaves `rest` in m. Without v, or a history, the
 * denominator's least value remains. */
void swo_adam_reach_with(const sw_step *s, sw_bounds *b, int v_f64) {
    const double *o = s->option, *c = s->coefficient, beta1 = o[BETA1], beta2 = o[BETA2], fresh2 = 1 - beta2;
    const double g = b->g + fabs(c[L2]) * b->x, m = beta1 * b->slot[M] + fabs(c[FRESH]) * g,
                 along = fabs(c[ALONG_M]) * m + fabs(c[ALONG_G]) * g;
    double far = along;
    b->slot[M] = m;
    b->largest += along + fabs(c[ALONG_M]) + fabs(c[ALONG_G]) + fabs(c[L2]) + fabs(c[SHRINK]) + fabs(c[ROOT_SCALE]);
    const int of_v = s->slot[V] ? V : v_f64;
    if (s->slot[of_v]) {
        const double v = beta2 * b->slot[of_v] + fresh2 * g * g, least = sqrt(c[INSIDE]) * c[ROOT_SCALE] + c[OUTSIDE];
        b->slot[of_v] = v;
        b->largest += sqrt(v) * c[ROOT_SCALE];
        b->own = beta2 > 0 ? sqrt(beta1 * beta1 * b->own * b->own / beta2 + c[FRESH] * c[FRESH] / fresh2) * (1 + 1e-6)
                           : INFINITY;
        const double of_g = swo_normalized(b, s->type, fresh2, least),
                     rest = (b->own + 1) * (of_g - sqrt((double)b->count / fresh2)),
                     of_m = sqrt((double)b->count) * b->own + rest;
        if (c[PLAIN] == 0)
            far = swo_tighter(along / least, fabs(c[ALONG_M]) * of_m + fabs(c[ALONG_G]) * of_g);
    }
    b->x = fabs(c[SHRINK]) * b->x + far;
}

void swo_adam_reach(const sw_step *s, sw_bounds *b) {
    swo_adam_reach_with(s, b, V_F64);
}

sw_status swo_adam_check(const sw_step *s, const char *rule) {
    return swo_check_squares(s, rule, s->option[EPS], swo_adam_in_f64(s->option), V_F64);
}

static sw_status adam_begin(sw_step *s) {
    swo_adam_begin(s, false);
    return swo_adam_check(s, "adam");
}

static const sw_option options[] = {ADAM_OPTION_ROWS(1e-3, 0, DECAY_IN_GRADIENT), {0}};

const sw_rule swo_adam = {.size = sizeof(sw_rule),
                          .name = "adam",
                          .summary = "adaptive moments",
                          .source = "Kingma, Ba, ICLR 2015",
                          .options = options,
                          .slots = swo_adam_slots,
                          .flags = SW_RULE_LINEAR,
                          .begin = adam_begin,
                          .update = &swo_adam_kernels,
                          .reach = swo_adam_reach};

#endif
