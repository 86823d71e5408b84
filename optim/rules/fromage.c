/* Fromage (Bernstein, Vahdat, Yue, Liu, NeurIPS 2020), for each tensor:
 *     θ ← (θ - η ‖θ‖/‖g‖ g) / √(1 + η²)
 * Norms are at least min_norm, so that a tensor of zeros can change, and a gradient of zeros is allowed.
 * The kernel scales g by a power of 2 to a norm of about 1 first: η ‖θ‖/‖g‖ may be outside the range of f32.
 */
#include <swale/kernel.h>
#include <swale/rule.h>

#if SW_KERNEL_FIRST
typedef struct fromage_options {
    double lr, min_norm;
} fromage_options;
/* The coefficients of θ ← shrink θ - of_g (scale g). */
typedef struct fromage_coefficients {
    double shrink, of_g, scale;
} fromage_coefficients;
#endif

#if SW_KERNEL_PASS

static void SW_K(fromage)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const fromage_coefficients *c = SW_STEP_COEFFICIENTS(s, fromage_coefficients);
    real *restrict x = s->x;
    const real *restrict g = s->g;
    const real shrink = (real)c->shrink, of_g = (real)c->of_g, scale = (real)c->scale;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        x[i] = shrink * x[i] - of_g * (scale * g[i]);
}

#else

static const sw_kernels fromage_kernels = SW_KERNEL_TABLE(fromage);

/* 2^-k with 2^k ≤ norm < 2^(k+1), within the normal numbers of the type. */
static double fromage_scale(sw_dtype type, double norm) {
    const int most = type == SW_F32 ? 126 : 1000, k = ilogb(norm);
    return ldexp(1, k > most ? -most : k < -most ? most : -k);
}

static sw_status fromage_tensor(sw_step *s) {
    const fromage_options *o = SW_STEP_OPTIONS(s, fromage_options);
    fromage_coefficients *c = SW_STEP_COEFFICIENTS(s, fromage_coefficients);
    double norm[2];
    sw_vector_two_norms(s->type, s->count, s->x, s->g, norm);
    const double norm_x = fmax(norm[0], o->min_norm), norm_g = fmax(norm[1], o->min_norm);
    c->shrink = 1 / sqrt(1 + o->lr * o->lr);
    c->scale = fromage_scale(s->type, norm_g);
    c->of_g = o->lr * norm_x / (norm_g * c->scale) * c->shrink;
    sw_kernel_run(&fromage_kernels, s->type, s, s->count);
    return SW_OK;
}

/* The step of a tensor is at most η max(‖θ‖, min_norm). */
static void fromage_reach(const sw_step *s, sw_bounds *b) {
    const fromage_options *o = SW_STEP_OPTIONS(s, fromage_options);
    const double lr = fabs(o->lr), shrink = 1 / sqrt(1 + lr * lr),
                 far = lr * (b->x + o->min_norm * sqrt((double)b->count));
    b->largest += lr + far;
    b->x = shrink * (b->x + far);
}

/* clang-format off */
static const sw_option fromage_option_table[] = {
    {.name = "lr", .value = 0.01, .low = 0, .high = 1e6, .help = "η, the step relative to the tensor's norm",
     .search_low = 1e-4, .search_high = 1e-1, .search_log = true},
    {.name = "min_norm", .value = 1e-6, .low = 0, .high = 1e6, .open = SW_OPEN_LOW,
     .help = "smallest value that is used for a norm"},
    {0}};
/* clang-format on */
SW_MATCH_OPTIONS(fromage_options, fromage_option_table);

const sw_rule swo_fromage = {.size = sizeof(sw_rule),
                             .name = "fromage",
                             .summary = "steps relative to the norm of each tensor",
                             .source = "Bernstein et al., NeurIPS 2020",
                             .options = fromage_option_table,
                             .unit = SW_UNIT_TENSOR,
                             .tensor = fromage_tensor,
                             .reach = fromage_reach,
                             .cost = 5}; /* x and g are read twice, once for their norms */

#endif
