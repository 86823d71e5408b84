/* The two gradients of SAM and ASAM, and the largest element of a vector. */
#include <swale/kernel.h>

#if SW_KERNEL_FIRST
typedef struct largest_args {
    const void *v;
    void *out;
    double largest;
} largest_args;
#endif

#if SW_KERNEL_PASS

/* out[t] = max |v| over tile t. The range is one tile or all tiles. */
static void SW_K(ascent_largest)(void *args, int64_t begin, int64_t end, double *sums) {
    const largest_args *s = args;
    const real *v = s->v;
    real *out = s->out;
    (void)sums;
    for (int64_t tile = begin / SW_TILE; tile * SW_TILE < end; tile++) {
        const int64_t last = (tile + 1) * SW_TILE < end ? (tile + 1) * SW_TILE : end;
        int64_t i = tile * SW_TILE;
        real lane[SW_LANES] = {0}, most = 0;
        for (; i + SW_LANES <= last; i += SW_LANES)
            for (int j = 0; j < SW_LANES; j++) {
                const real a = v[i + j] < 0 ? -v[i + j] : v[i + j];
                lane[j] = a > lane[j] ? a : lane[j];
            }
        for (int j = 0; i < last; i++, j++) {
            const real a = v[i] < 0 ? -v[i] : v[i];
            lane[j] = a > lane[j] ? a : lane[j];
        }
        for (int j = 0; j < SW_LANES; j++)
            most = lane[j] > most ? lane[j] : most;
        out[tile] = most;
    }
}

/* Σ (v/largest)² */
static void SW_K(ascent_square)(void *args, int64_t begin, int64_t end, double *sums) {
    const largest_args *s = args;
    const real *restrict v = s->v;
    const real largest = (real)s->largest;
    real lane[SW_LANES] = {0};
    int64_t i = begin;
    for (; i + SW_LANES <= end; i += SW_LANES)
        for (int j = 0; j < SW_LANES; j++)
            lane[j] += (v[i + j] / largest) * (v[i + j] / largest);
    for (int j = 0; i < end; i++, j++)
        lane[j] += (v[i] / largest) * (v[i] / largest);
    SW_ADD_LANES(double, sums[0], lane);
}

#else

#include "optim/estimators/ascent.h"

#include <math.h>

static const sw_kernels largest_kernels = SW_KERNEL_TABLE(ascent_largest),
                        square_kernels = SW_KERNEL_TABLE(ascent_square);

static double ascent_size_at(sw_dtype type, const void *v, int64_t i) {
    return fabs(sw_load_element(type, v, i));
}

sw_status swo_largest(sw_estimate *e, const void *v, double *largest, int64_t *index) {
    const int64_t tiles = (e->dim + SW_TILE - 1) / SW_TILE;
    largest_args args = {.v = v, .out = sw_estimate_scratch(e, 1, tiles)};
    int64_t best = 0;
    *largest = 0;
    if (!args.out)
        return SW_ERR_MEMORY;
    sw_kernel_run(&largest_kernels, e->type, &args, e->dim);
    for (int64_t t = 0; t < tiles; t++)
        if (ascent_size_at(e->type, args.out, t) > *largest) {
            *largest = ascent_size_at(e->type, args.out, t);
            best = t;
        }
    for (*index = best * SW_TILE; *index < e->dim - 1 && ascent_size_at(e->type, v, *index) < *largest;)
        ++*index;
    return SW_OK;
}

double swo_norm_over(const sw_estimate *e, const void *v, double largest) {
    largest_args args = {.v = v, .largest = largest};
    double sum;
    sw_kernel_run_sums(&square_kernels, e->type, &args, e->dim, 1, &sum);
    return sqrt(sum);
}

sw_status swo_ascent(sw_estimate *e, const void *x, void *g, swo_ascend *ascend) {
    void *worse = sw_estimate_scratch(e, 0, 0);
    if (!worse)
        return SW_ERR_MEMORY;
    SW_TRY(sw_estimate_inner(e, x, g));
    bool flat = false;
    SW_TRY(ascend(e, x, g, worse, &flat));
    return flat ? SW_OK : sw_estimate_inner(e, worse, g);
}

#endif
