/* ASAM, adaptive SAM (J. Kwon, J. Kim, H. Park, I. K. Choi, ICML 2021), in the 2-norm:
 *     g = ∇f(x + ε),  ε = ρ T² ∇f(x) / ‖T ∇f(x)‖
 * T makes the neighborhood relative to the size of each element, so that scaling a layer up and the next one down has
 * no effect. Two forms of T are in use:
 *     scale=weights  T = |x| + eta for weights, 1 for biases and other parameters; ρ = 0.5  (SamsungLabs/ASAM)
 *     scale=all      T = |x| for all parameters; ρ = 2                                      (davda54/sam)
 * Weights are the matrices of layers, embeddings and heads, and parameters with "weight" in their names.
 */
#include <swale/kernel.h>

#if SW_KERNEL_FIRST
typedef struct asam_args {
    const void *x, *g;
    void *u, *out;
    double unit;             /* a power of 2 by which T is scaled if T g would overflow or underflow */
    double relative, offset; /* T = relative |x| + offset */
    double largest, factor;  /* max |u|, ρ/‖u/max|u|‖ */
} asam_args;
#endif

#if SW_KERNEL_PASS

static inline real SW_K(asam_measure)(real x, real relative, real offset) {
    return relative * (x < 0 ? -x : x) + offset;
}

/* u = T g */
static void SW_K(asam_scale)(void *args, int64_t begin, int64_t end, double *sums) {
    const asam_args *s = args;
    const real *restrict x = s->x, *restrict g = s->g;
    real *restrict u = s->u;
    const real relative = (real)s->relative, offset = (real)s->offset;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        u[i] = SW_K(asam_measure)(x[i], relative, offset) * g[i];
}

/* out = x + factor T u/max|u| */
static void SW_K(asam_move)(void *args, int64_t begin, int64_t end, double *sums) {
    const asam_args *s = args;
    const real *restrict x = s->x, *restrict u = s->u;
    real *restrict out = s->out;
    const real relative = (real)s->relative, offset = (real)s->offset, largest = (real)s->largest,
               factor = (real)s->factor;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        out[i] = x[i] + factor * (SW_K(asam_measure)(x[i], relative, offset) * (u[i] / largest));
}

#else

#include "optim/estimators/ascent.h"
#include "optim/estimators/estimators.h"

#include <math.h>
#include <string.h>

static const sw_kernels scale_kernels = SW_KERNEL_TABLE(asam_scale), move_kernels = SW_KERNEL_TABLE(asam_move);

typedef struct asam_options {
    double rho, scale, eta, p, of;
} asam_options;
enum { WEIGHTS, ALL }; /* scale */
/* clang-format off */
static const sw_option asam_option_table[] = {
    {.name = "rho", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1e6,
     .help = "ρ, the size of ε; 0: 0.5 for scale=weights, 2 for all", .search_low = 0.1, .search_high = 4,
     .search_log = true},
    {.name = "scale", .kind = SW_OPTION_CHOICE, .choices = "weights|all", .help = "parameters for which T is |x|"},
    {.name = "eta", .kind = SW_OPTION_REAL, .value = 0.01, .low = 0, .high = 1e6,
     .help = "added to |x| for scale=weights"},
    {.name = "p", .kind = SW_OPTION_REAL, .value = 2, .low = 2, .high = 2,
     .help = "norm of ε; T is defined for the 2-norm only"},
    {.name = "of", .kind = SW_OPTION_SPEC, .help = "the estimator of both gradients"},
    {0}};
/* clang-format on */
SW_MATCH_OPTIONS(asam_options, asam_option_table);

static bool asam_is_weight(const sw_param *p) {
    return p->role == SW_ROLE_WEIGHT || p->role == SW_ROLE_HEAD || p->role == SW_ROLE_EMBEDDING ||
           strstr(p->name, "weight") != NULL;
}

/* Runs a kernel over each parameter, with the T of this parameter. */
static void asam_run(const sw_estimate *e, const sw_kernels *kernels, const asam_args *whole) {
    const asam_options *o = SW_OPTIONS_AS(e->option, asam_options);
    const bool all = o->scale == ALL;
    for (int i = 0; i < sw_params_count(e->params); i++) {
        const sw_param *p = sw_params_at(e->params, i);
        if (p->tied)
            continue;
        const size_t at = (size_t)p->offset * sw_dtype_size(e->type);
        asam_args args = *whole;
        args.x = (const char *)whole->x + at;
        args.g = (const char *)whole->g + at;
        args.u = (char *)whole->u + at;
        args.out = (char *)whole->out + at;
        if (p->frozen) { /* its g is 0, and T may be Inf: Inf·0 is NaN */
            memset(args.u, 0, (size_t)p->count * sw_dtype_size(e->type));
            memcpy(args.out, args.x, (size_t)p->count * sw_dtype_size(e->type));
            continue;
        }
        args.relative = all || asam_is_weight(p) ? whole->unit : 0;
        args.offset = all ? 0 : whole->unit * (asam_is_weight(p) ? o->eta : 1);
        sw_kernel_run(kernels, e->type, &args, p->count);
    }
}

/* Computes u = T g and its largest element. If T g is not within the normal numbers, u is T g times a power of 2: ε
 * does not depend on the length of u. With the factor 2^-128, the product of any |x| and any g is finite. */
static sw_status asam_scaled(sw_estimate *e, asam_args *args) {
    const bool f32 = e->type == SW_F32;
    int64_t index;
    args->unit = 1;
    asam_run(e, &scale_kernels, args);
    SW_TRY(swo_largest(e, args->u, &args->largest, &index));
    if (isfinite(args->largest) && args->largest > (f32 ? 0x1p-100 : 0x1p-900))
        return SW_OK;
    args->unit = isfinite(args->largest) ? (f32 ? 0x1p60 : 0x1p500) : (f32 ? 0x1p-128 : 0x1p-1024);
    asam_run(e, &scale_kernels, args);
    return swo_largest(e, args->u, &args->largest, &index);
}

static sw_status asam_ascend(sw_estimate *e, const void *x, const void *g, void *out, bool *flat) {
    const asam_options *o = SW_OPTIONS_AS(e->option, asam_options);
    const double rho = o->rho > 0 ? o->rho : o->scale == ALL ? 2 : 0.5;
    asam_args args = {.x = x, .g = g, .u = sw_estimate_scratch(e, 2, 0), .out = out};
    if (!args.u)
        return SW_ERR_MEMORY;
    SW_TRY(asam_scaled(e, &args));
    *flat = args.largest == 0;
    if (*flat)
        return SW_OK;
    args.factor = rho / swo_norm_over(e, args.u, args.largest);
    args.unit = 1;
    asam_run(e, &move_kernels, &args);
    return SW_OK;
}

static sw_status asam_estimate(sw_estimate *e, const void *x, void *g) {
    return swo_ascent(e, x, g, asam_ascend);
}

const sw_estimator swo_asam = {.size = sizeof(sw_estimator),
                               .name = "asam",
                               .summary = "SAM with a neighborhood that is relative to the size of each element",
                               .source = "Kwon, Kim, Park, Choi, ICML 2021",
                               .options = asam_option_table,
                               .flags = SW_ESTIMATOR_OBJECTIVE | SW_ESTIMATOR_WRAPPER | SW_ESTIMATOR_AGAIN,
                               .cost = "2 gradients of the inner estimator",
                               .estimate = asam_estimate};

#endif
