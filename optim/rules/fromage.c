/* Fromage (Bernstein, Vahdat, Yue, Liu, NeurIPS 2020), for each tensor:
 *     θ ← (θ - η ‖θ‖/‖g‖ g) / √(1 + η²)
 * Norms are at least min_norm: a tensor of zeros still moves, and a gradient of zeros does no harm.
 * The kernel scales g by a power of 2 to a norm of about 1 first: η ‖θ‖/‖g‖ alone may be no number of f32.
 */
#include <swale/kernel.h>
#include "optim/internal.h"
#include "optim/methods.h"

#if SW_KERNEL_FIRST
enum { LR, MIN_NORM };
enum { OF_X, OF_G, SCALE };
#endif

#if SW_KERNEL_PASS

static void SW_K(fromage)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *restrict x = s->x;
    const real *restrict g = s->g;
    const real of_x = (real)s->coefficient[OF_X], of_g = (real)s->coefficient[OF_G],
               scale = (real)s->coefficient[SCALE];
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        x[i] = of_x * x[i] - of_g * (scale * g[i]);
}

#else

static const sw_kernels kernels = SW_KERNEL_TABLE(fromage);

/* 2^-k with 2^k ≤ norm < 2^(k+1), within the normal numbers of the type. */
static double fromage_scale(sw_dtype type, double norm) {
    const int most = type == SW_F32 ? 126 : 1000, k = ilogb(norm);
    return ldexp(1, k > most ? -most : k < -most ? most : -k);
}

static sw_status tensor(sw_step *s) {
    const double lr = s->option[LR], least = s->option[MIN_NORM];
    double norm[2];
    sw_vector_two_norms(s->type, s->count, s->x, s->g, norm);
    s->coefficient[OF_X] = 1 / sqrt(1 + lr * lr);
    const double of_x = fmax(norm[0], least), of_g = fmax(norm[1], least);
    s->coefficient[SCALE] = fromage_scale(s->type, of_g);
    s->coefficient[OF_G] = lr * of_x / (of_g * s->coefficient[SCALE]) * s->coefficient[OF_X];
    sw_kernel_run(&kernels, s->type, s, s->count);
    return SW_OK;
}

/* The step of a tensor is at most η max(‖θ‖, min_norm). */
static void fromage_reach(const sw_step *s, sw_bounds *b) {
    const double lr = fabs(s->option[LR]), shrink = 1 / sqrt(1 + lr * lr),
                 far = lr * (b->x + s->option[MIN_NORM] * sqrt((double)b->count));
    b->largest += lr + far;
    b->x = shrink * (b->x + far);
}

/* clang-format off */
static const sw_option options[] = {
    {.name = "lr", .value = 0.01, .low = 0, .high = 1e6, .help = "η, the step relative to the tensor's norm",
     .search_low = 1e-4, .search_high = 1e-1, .search_log = true},
    {.name = "min_norm", .value = 1e-6, .low = 0, .high = 1e6, .open = SW_OPEN_LOW,
     .help = "what a norm is at least"},
    {0}};
/* clang-format on */

const sw_rule swo_fromage = {.size = sizeof(sw_rule),
                             .name = "fromage",
                             .summary = "steps relative to the norm of each tensor",
                             .source = "Bernstein et al., NeurIPS 2020",
                             .options = options,
                             .unit = SW_UNIT_TENSOR,
                             .tensor = tensor,
                             .reach = fromage_reach,
                             .cost = 5}; /* x and g are read twice, once for their norms */

#endif
