/* Loops over whole vectors: norms, checks for Inf and NaN, linear combinations, inner products. */
#define SW_KERNEL_16_BIT
#include <swale/kernel.h>
#include <swale/kernel_compensated.h>

#include "core/base/dry_run_state.h"
#include "core/kernels/convert.h"

#if SW_KERNEL_FIRST
enum { WIDE = 2 * SW_LANES };
typedef struct vector_args {
    const void *x, *y;
    void *out, *low;
    double a, b;
    bool fetch; /* vector_square: prefetch the next tile */
} vector_args;
#endif

#if SW_KERNEL_PASS

#if !SW_KERNEL_HALF

/* The same result as the loop of vector_square for at most SW_LANES elements, without adding lanes that are 0. */
static inline void SW_K(vector_few_squares)(const real *restrict g, int64_t n, double *sums) {
    double four[4] = {0};
    for (int64_t i = 0; i < n; i++)
        four[i % 4] += (double)(g[i] * g[i]);
    sums[0] += (four[0] + four[1]) + (four[2] + four[3]);
}

/* Prefetches WIDE elements of the next tile, after `done` bytes of this one: a part of each quarter. A processor reads
 * four pages at the same time faster than one after the other (on an Intel Xeon, 10 million f32 in 2.9 ms instead of
 * 4.0). It must be a macro: gcc removes calls of functions that only prefetch. */
#define VECTOR_FETCH(next, done)                                                           \
    for (int64_t quarter_ = 0; quarter_ < 4; quarter_++)                                   \
        for (int64_t at_ = 0; at_ < WIDE * (int64_t)sizeof(real) / 4; at_ += SW_ALIGNMENT) \
    __builtin_prefetch((const char *)(next) + (quarter_ * SW_TILE * (int64_t)sizeof(real) + (done)) / 4 + at_)

/* Σ g². If g holds Inf or NaN, so does the sum; therefore one pass computes the norm and checks for them. There are
 * twice as many partial sums as in other kernels, because each addition waits for the one before, and for data in the
 * cache this would take longer than reading them. */
static void SW_K(vector_square)(void *args, int64_t begin, int64_t end, double *sums) {
    const real *restrict g = (const stored *)((const vector_args *)args)->x + begin;
    int64_t n = end - begin, i = 0;
    if (n < WIDE) {
        SW_K(vector_few_squares)(g, n < SW_LANES ? n : SW_LANES, sums);
        if (n > SW_LANES)
            SW_K(vector_few_squares)(g + SW_LANES, n - SW_LANES, sums);
        return;
    }
    real lane[WIDE] = {0};
    const bool fetch = ((const vector_args *)args)->fetch;
    for (; i + WIDE <= n; i += WIDE) {
        if (fetch)
            VECTOR_FETCH(g + SW_TILE, i * (int64_t)sizeof(real));
        SW_OVER_LANES
        for (int j = 0; j < WIDE; j++)
            lane[j] += g[i + j] * g[i + j];
    }
    for (int j = 0; i < n; i++, j++)
        lane[j] += g[i] * g[i];
    SW_ADD_LANES(double, sums[0], lane);
    SW_ADD_LANES(double, sums[0], lane + SW_LANES);
}
#undef VECTOR_FETCH

static void SW_K(vector_two_squares)(void *args, int64_t begin, int64_t end, double *sums) {
    const vector_args *s = args;
    vector_args of_y = {.x = s->y, .fetch = s->fetch};
    SW_K(vector_square)(args, begin, end, sums);
    SW_K(vector_square)(&of_y, begin, end, sums + 1);
}

#endif

/* Σ (a g)² in f64, for g whose squares overflow or underflow. sums[1] counts Inf and NaN. */
static void SW_K(vector_careful_square)(void *args, int64_t begin, int64_t end, double *sums) {
    const vector_args *s = args;
    const stored *g = s->x;
    for (int64_t i = begin; i < end; i++) {
        double scaled = (double)SW_LOAD(g, i) * s->a;
        sums[0] += scaled * scaled;
        sums[1] += SW_LOAD(g, i) - SW_LOAD(g, i) != 0 ? 1 : 0; /* Inf - Inf and NaN - NaN are NaN, which is not 0 */
    }
}

static void SW_K(vector_fill)(void *args, int64_t begin, int64_t end, double *sums) {
    const vector_args *s = args;
    stored *out = s->out;
    const real a = (real)s->a;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        SW_STORE(out, i, a);
}

/* out = a x + b y; y may be NULL */
static void SW_K(vector_combine)(void *args, int64_t begin, int64_t end, double *sums) {
    const vector_args *s = args;
    const stored *x = s->x, *y = s->y;
    stored *out = s->out;
    const real a = (real)s->a, b = (real)s->b;
    (void)sums;
    if (y) {
        SW_INDEPENDENT
        for (int64_t i = begin; i < end; i++)
            SW_STORE(out, i, a * SW_LOAD(x, i) + b * SW_LOAD(y, i));
    } else {
        SW_INDEPENDENT
        for (int64_t i = begin; i < end; i++)
            SW_STORE(out, i, a * SW_LOAD(x, i));
    }
}

#if !SW_KERNEL_HALF

/* out + low ← out + low + a x, in two numbers */
static void SW_K(vector_add_compensated)(void *args, int64_t begin, int64_t end, double *sums) {
    const vector_args *s = args;
    const real *restrict x = s->x;
    real *restrict out = s->out, *restrict low = s->low;
    const real a = (real)s->a;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        SW_K(sw_k_compensated_add)(&out[i], &low[i], a * x[i]);
}

/* out + low ← (1 - a)(out + low) + a x, in two numbers */
static void SW_K(vector_mean_compensated)(void *args, int64_t begin, int64_t end, double *sums) {
    const vector_args *s = args;
    (void)sums;
    SW_K(sw_k_move_mean)(s->x, s->out, s->low, (real)s->a, begin, end);
}

#endif

/* sums[0] += ⟨x, y⟩ */
static void SW_K(vector_inner)(void *args, int64_t begin, int64_t end, double *sums) {
    const vector_args *s = args;
    const stored *x = s->x, *y = s->y;
    double lane[SW_LANES] = {0};
    int64_t i = begin;
    for (; i + SW_LANES <= end; i += SW_LANES) {
        SW_OVER_LANES
        for (int j = 0; j < SW_LANES; j++)
            lane[j] += (double)SW_LOAD(x, i + j) * (double)SW_LOAD(y, i + j);
    }
    for (int j = 0; i < end; i++, j++)
        lane[j] += (double)SW_LOAD(x, i) * (double)SW_LOAD(y, i);
    SW_ADD_LANES(double, sums[0], lane);
}

#else

#include "core/kernels/dispatch.h"
#include "core/kernels/squares.h"

static const sw_kernels square_f32_kernels = {SW_KERNEL_ROW(vector_square, f32)};

/* Σ g² of f16 or bf16 by the kernel for f32, with the bits of a vector in f32. Conversions by instructions are faster
 * than those in a loop of sums. */
static void vector_square_stored(sw_dtype type, void *args, int64_t begin, int64_t end, double *sums) {
    _Alignas(SW_ALIGNMENT) float g[SW_TILE];
    vector_args of_g = {.x = g};
    swi_convert_from_half(type, end - begin, (const uint16_t *)((const vector_args *)args)->x + begin, g);
    square_f32_kernels[SW_F32][sw_cpu_level()](&of_g, 0, end - begin, sums);
}
static void vector_square_f16(void *args, int64_t begin, int64_t end, double *sums) {
    vector_square_stored(SW_F16, args, begin, end, sums);
}
static void vector_square_bf16(void *args, int64_t begin, int64_t end, double *sums) {
    vector_square_stored(SW_BF16, args, begin, end, sums);
}

static const sw_kernels square_kernels = {SW_KERNEL_ROW(vector_square, f32),
                                          SW_KERNEL_ROW(vector_square, f64),
                                          {vector_square_f16, vector_square_f16, vector_square_f16},
                                          {vector_square_bf16, vector_square_bf16, vector_square_bf16}},
                        two_squares_kernels = {SW_KERNEL_ROW(vector_two_squares, f32),
                                               SW_KERNEL_ROW(vector_two_squares, f64)},
                        careful_kernels = SW_KERNEL_TABLE(vector_careful_square),
                        combine_kernels = SW_KERNEL_TABLE(vector_combine),
                        add_kernels = {SW_KERNEL_ROW(vector_add_compensated, f32),
                                       SW_KERNEL_ROW(vector_add_compensated, f64)},
                        mean_kernels = {SW_KERNEL_ROW(vector_mean_compensated, f32),
                                        SW_KERNEL_ROW(vector_mean_compensated, f64)},
                        inner_kernels = SW_KERNEL_TABLE(vector_inner), fill_kernels = SW_KERNEL_TABLE(vector_fill);

void sw_vector_fill(sw_dtype type, int64_t n, double value, void *out) {
    vector_args args = {.out = out, .a = value};
    sw_kernel_run(&fill_kernels, type, &args, n);
}

static void vector_convert_half(sw_dtype from_type, int64_t n, const uint16_t *from, sw_dtype to_type, void *to) {
    enum { BLOCK = 512 };
    float block[BLOCK];
    for (int64_t i = 0; i < n; i += BLOCK) {
        const int64_t some = n - i < BLOCK ? n - i : BLOCK;
        swi_convert_from_half(from_type, some, from + i, block);
        if (to_type == SW_F64)
            for (int64_t j = 0; j < some; j++)
                ((double *)to)[i + j] = (double)block[j];
        else
            swi_convert_to_half(to_type, some, block, (uint16_t *)to + i);
    }
}

void sw_vector_convert(sw_dtype from_type, int64_t n, const void *from, sw_dtype to_type, void *to) {
    if (n >= SW_SERIAL && swi_dry_run())
        return;
    const bool from_half = sw_dtype_is_16_bit(from_type), to_half = sw_dtype_is_16_bit(to_type);
    if (from_type == to_type) {
        if (n > 0)
            memcpy(to, from, (size_t)n * sw_dtype_size(to_type));
    } else if (from_half && to_type == SW_F32) {
        swi_convert_from_half(from_type, n, from, to);
    } else if (to_half && from_type == SW_F32) {
        swi_convert_to_half(to_type, n, from, to);
    } else if (from_half) { /* to f64, or to the other 16-bit type: f32 holds the numbers exactly */
        vector_convert_half(from_type, n, from, to_type, to);
    } else {
        for (int64_t i = 0; i < n; i++)
            sw_store_element(to_type, to, i, sw_load_element(from_type, from, i));
    }
}

void sw_vector_axpby(sw_dtype type, int64_t n, double a, const void *x, double b, const void *y, void *out) {
    vector_args args = {.x = x, .y = y, .out = out, .a = a, .b = b};
    sw_kernel_run(&combine_kernels, type, &args, n);
}

void sw_vector_add_compensated(sw_dtype type, int64_t n, double a, const void *x, void *sum, void *low) {
    vector_args args = {.x = x, .out = sum, .low = low, .a = a};
    sw_kernel_run(&add_kernels, type, &args, n);
}

void sw_vector_mean_compensated(sw_dtype type, int64_t n, double w, const void *x, void *mean, void *low) {
    vector_args args = {.x = x, .out = mean, .low = low, .a = w};
    sw_kernel_run(&mean_kernels, type, &args, n);
}

/* The norm of g from `sum` = Σ g². If the sum has overflowed or is too small to be accurate, reads g again. */
sw_status swi_vector_norm_of_sum(sw_dtype type, int64_t dim, const void *g, double sum, double *norm) {
    const double least = type == SW_F64 ? 1e-280 : 1e-28;
    if (isfinite(sum) && sum > least) {
        *norm = sqrt(sum);
        return SW_OK;
    }
    double sums[2];
    /* In f64 with this scale, the squares of the largest and of the smallest numbers are normal numbers. */
    vector_args args = {.x = g, .a = type != SW_F64 ? 1 : isfinite(sum) ? 0x1p600 : 0x1p-600};
    sw_kernel_run_sums(&careful_kernels, type, &args, dim, 2, sums);
    *norm = sqrt(sums[0]) / args.a;
    return sums[1] > 0 ? SW_SKIPPED : SW_OK;
}

/* Whether a loop over a vector should prefetch: it is longer than the caches. */
static bool vector_fetches(int64_t dim) {
    enum { LONG = 1 << 20 };
    return dim >= LONG && sw_cpu_needs_prefetch();
}

sw_status sw_vector_norm(sw_dtype type, int64_t dim, const void *g, double *norm) {
    vector_args args = {.x = g, .fetch = vector_fetches(dim)};
    double sum;
    sw_kernel_run_sums(&square_kernels, type, &args, dim, 1, &sum);
    return swi_vector_norm_of_sum(type, dim, g, sum, norm);
}

double swi_vector_tile_square(sw_dtype type, const void *x, int64_t begin, int64_t end, bool fetch) {
    vector_args args = {.x = x, .fetch = fetch && sw_cpu_needs_prefetch()};
    double sum = 0;
    square_kernels[type][swi_cpu_level()](&args, begin, end, &sum);
    return sum;
}

void sw_vector_two_norms(sw_dtype type, int64_t dim, const void *x, const void *y, double norm[2]) {
    vector_args args = {.x = x, .y = y, .fetch = vector_fetches(dim)};
    double sums[2];
    if (!sw_kernels_take(&two_squares_kernels, type)) {
        sw_vector_norm(type, dim, x, &norm[0]);
        sw_vector_norm(type, dim, y, &norm[1]);
        return;
    }
    sw_kernel_run_sums(&two_squares_kernels, type, &args, dim, 2, sums);
    swi_vector_norm_of_sum(type, dim, x, sums[0], &norm[0]);
    swi_vector_norm_of_sum(type, dim, y, sums[1], &norm[1]);
}

double sw_vector_dot(sw_dtype type, int64_t n, const void *x, const void *y) {
    vector_args args = {.x = x, .y = y};
    double sum;
    sw_kernel_run_sums(&inner_kernels, type, &args, n, 1, &sum);
    return sum;
}

#endif
