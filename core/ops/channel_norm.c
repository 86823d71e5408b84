/* The kernels of batch and group normalization (channel_norm.h).
 *
 * Errors in f32. A chunk sums deviations from a shift s, about its mean, in lanes of f32 of at most FLUSH elements,
 * which are then added in f64: Σ (x - s) and Σ (x - s)² have an error of at most about (FLUSH/4 + 4) 2^-24 = 1.2e-6 of
 * the sum of their absolute terms. The mean s + Σ(x - s)/k and the sum of squares Σ(x - s)² - (Σ(x - s))²/k correct the
 * error of the shift, so that the variance has this relative error also if the mean is large compared with the
 * deviations. */
#include <swale/kernel.h>
#include <swale/extend.h>

#include "core/ops/channel_norm.h"

#if SW_KERNEL_FIRST
enum { FLUSH = 64 };
_Static_assert((int)SWI_CHANNEL_STRIP == (int)SW_LANES, "a strip has a partial sum for each lane");

typedef struct channel_args {
    const swi_channel_norm *n;
    const void *x, *dy, *weight, *bias;
    const double *mean, *inverse; /* [samples, groups] */
    double *partial;              /* [samples, chunks, PARTIALS, channels] */
    double *sums;                 /* [samples, 2, channels]: Σ dy and Σ dy (x - m) */
    void *coefficients;           /* [samples, coefficients, period] */
    void *out;
    bool fixed;
} channel_args;

enum { PARTIALS = 3 };

/* The elements [first, first + count) of x: whole rows of `width` and, at the end of a sample, what is left. */
typedef struct channel_chunk {
    int64_t sample, first, count;
} channel_chunk;

static inline channel_chunk channel_chunk_at(const swi_channel_norm *n, int64_t unit) {
    const int64_t all = n->rows * n->channels, size = n->chunk_rows * n->width, begin = unit % n->chunks * size;
    const channel_chunk c = {unit / n->chunks, unit / n->chunks * all + begin, all - begin < size ? all - begin : size};
    return c;
}

static inline double *channel_partial(const channel_args *a, int64_t unit) {
    return a->partial + unit * PARTIALS * a->n->channels;
}

/* The mean of a group, whose part that the type of x can represent is subtracted first, and the rest. */
static inline double channel_rest(double mean, bool narrow) {
    return narrow ? mean - (double)(float)mean : 0;
}

/* What a strip sums: v; v - m and (v - m)²; g and g (v - m). */
typedef enum channel_sum_kind { SUM, DEVIATIONS, PRODUCTS } channel_sum_kind;

typedef struct channel_strip {
    double first[SW_LANES], second[SW_LANES];
} channel_strip;
#endif

#if SW_KERNEL_PASS

/* ---- Sums over a chunk ---- */

static inline real SW_K(channel_first)(channel_sum_kind kind, real v, real g, real m) {
    return kind == SUM ? v : kind == DEVIATIONS ? v - m : g;
}
static inline real SW_K(channel_second)(channel_sum_kind kind, real v, real g, real m) {
    const real d = v - m;
    return kind == DEVIATIONS ? d * d : g * d;
}

/* Adds the sums over the rows of a strip of SW_LANES columns. v and g are elements of x and y, m[j] is the shift of a
 * column. Four rows are added at a time, because their additions are independent. `kind` is a constant where this
 * function is inlined. */
SW_K_INLINE void SW_K(channel_strip_rows)(channel_sum_kind kind, const real *x, const real *y, int64_t stride,
                                          int64_t rows, const real *m, channel_strip *to) {
    for (int64_t r = 0; r < rows;) {
        const int64_t last = rows - r < FLUSH ? rows : r + FLUSH;
        real first[SW_LANES] = {0}, second[SW_LANES] = {0};
        for (; r + 4 <= last; r += 4) {
            const real *v = x + r * stride, *g = y + r * stride;
            for (int k = 0; kind == DEVIATIONS && k < 4; k++) /* the next chunk, which the sums of v read first */
                for (int j = 0; j < SW_LANES; j += SW_ALIGNMENT / (int)sizeof(real))
                    __builtin_prefetch(v + rows * stride + k * stride + j, 0, 2);
            SW_OVER_LANES
            for (int j = 0; j < SW_LANES; j++) {
                const int64_t b = j + stride, c = b + stride, d = c + stride;
                first[j] +=
                    (SW_K(channel_first)(kind, v[j], g[j], m[j]) + SW_K(channel_first)(kind, v[b], g[b], m[j])) +
                    (SW_K(channel_first)(kind, v[c], g[c], m[j]) + SW_K(channel_first)(kind, v[d], g[d], m[j]));
                if (kind != SUM)
                    second[j] +=
                        (SW_K(channel_second)(kind, v[j], g[j], m[j]) + SW_K(channel_second)(kind, v[b], g[b], m[j])) +
                        (SW_K(channel_second)(kind, v[c], g[c], m[j]) + SW_K(channel_second)(kind, v[d], g[d], m[j]));
            }
        }
        for (; r < last; r++) {
            const real *v = x + r * stride, *g = y + r * stride;
            SW_OVER_LANES
            for (int j = 0; j < SW_LANES; j++) {
                first[j] += SW_K(channel_first)(kind, v[j], g[j], m[j]);
                if (kind != SUM)
                    second[j] += SW_K(channel_second)(kind, v[j], g[j], m[j]);
            }
        }
        for (int j = 0; j < SW_LANES; j++) {
            to->first[j] += (double)first[j];
            to->second[j] += (double)second[j];
        }
    }
}

/* The sums of a chunk of `count` elements are added to first and second [channels]; shift [channels]. */
SW_K_INLINE void SW_K(channel_add_chunk)(channel_sum_kind kind, const swi_channel_norm *n, const real *x, const real *y,
                                         int64_t count, const double *shift, double *first, double *second) {
    const int64_t width = n->width, channels = n->channels, rows = count / width;
    for (int64_t at = 0; at < width; at += SW_LANES) {
        const int64_t from =
            width - at < SW_LANES ? width - SW_LANES : at; /* the last strip may overlap the one before */
        channel_strip sums = {{0}, {0}};
        real m[SW_LANES] = {0};
        for (int64_t j = 0, c = from % channels; kind != SUM && j < SW_LANES; j++, c = c + 1 == channels ? 0 : c + 1)
            m[j] = (real)shift[c];
        SW_K(channel_strip_rows)(kind, x + from, y + from, width, rows, m, &sums);
        for (int64_t j = at - from, c = at % channels; j < SW_LANES; j++, c = c + 1 == channels ? 0 : c + 1) {
            first[c] += sums.first[j];
            if (kind != SUM)
                second[c] += sums.second[j];
        }
    }
    for (int64_t i = rows * width, c = 0; i < count; i++, c = c + 1 == channels ? 0 : c + 1) { /* no whole row */
        const real m = kind == SUM ? 0 : (real)shift[c];
        first[c] += (double)SW_K(channel_first)(kind, x[i], y[i], m);
        if (kind != SUM)
            second[c] += (double)SW_K(channel_second)(kind, x[i], y[i], m);
    }
}

/* Means and sums of squared deviations in f64, for a chunk in which f32 overflows, or with Inf or NaN. */
static __attribute__((noinline)) void SW_K(channel_moments_in_f64)(int64_t channels, const real *x, int64_t rows,
                                                                   double *mean, double *squares) {
    for (int64_t c = 0; c < channels; c++) {
        mean[c] = squares[c] = 0;
        for (int64_t r = 0; r < rows; r++)
            mean[c] += (double)x[r * channels + c];
        mean[c] /= (double)rows;
        for (int64_t r = 0; r < rows; r++) {
            const double d = (double)x[r * channels + c] - mean[c];
            squares[c] += d * d;
        }
    }
}

/* The mean and the sum of squared deviations of each channel, in the chunks [begin, end). */
static void SW_K(channel_moments)(void *args, int64_t begin, int64_t end, double *sums) {
    const channel_args *a = args;
    const int64_t channels = a->n->channels;
    (void)sums;
    for (int64_t unit = begin; unit < end; unit++) {
        const channel_chunk chunk = channel_chunk_at(a->n, unit);
        const real *x = (const real *)a->x + chunk.first;
        const int64_t rows = chunk.count / channels;
        double *mean = channel_partial(a, unit), *squares = mean + channels, *deviations = squares + channels;
        bool finite = true;
        memset(mean, 0, PARTIALS * (size_t)channels * sizeof *mean);
        SW_K(channel_add_chunk)(SUM, a->n, x, x, chunk.count, NULL, mean, NULL);
        for (int64_t c = 0; c < channels; c++)
            mean[c] = (double)(real)(mean[c] / (double)rows);
        SW_K(channel_add_chunk)(DEVIATIONS, a->n, x, x, chunk.count, mean, deviations, squares);
        for (int64_t c = 0; c < channels; c++) {
            const double correction = deviations[c] / (double)rows, rest = squares[c] - deviations[c] * correction;
            mean[c] += correction;
            squares[c] = rest < 0 ? 0 : rest;
            finite &= rest - rest == 0;
        }
        if (!finite)
            SW_K(channel_moments_in_f64)(channels, x, rows, mean, squares);
    }
}

/* Σ dy and Σ dy (x - m) of each channel, in the chunks [begin, end). */
static void SW_K(channel_products)(void *args, int64_t begin, int64_t end, double *sums) {
    const channel_args *a = args;
    const int64_t channels = a->n->channels, per_group = channels / a->n->groups;
    (void)sums;
    for (int64_t unit = begin; unit < end; unit++) {
        const channel_chunk chunk = channel_chunk_at(a->n, unit);
        const double *group = a->mean + chunk.sample * a->n->groups;
        double *first = channel_partial(a, unit), *second = first + channels, *mean = second + channels;
        memset(first, 0, 2 * (size_t)channels * sizeof *first);
        for (int64_t c = 0; c < channels; c++)
            mean[c] = group[c / per_group];
        SW_K(channel_add_chunk)
        (PRODUCTS, a->n, (const real *)a->x + chunk.first, (const real *)a->dy + chunk.first, chunk.count, mean, first,
         second);
    }
}

/* ---- Coefficients of the channels, for the samples [begin, end) ---- */

/* Repeats the coefficients of the channels up to the period, in `rows` rows. */
static inline void SW_K(channel_repeat)(real *row, int64_t rows, int64_t channels, int64_t period) {
    for (int64_t r = 0; r < rows; r++, row += period)
        for (int64_t at = channels; at < period; at += channels)
            memcpy(row + at, row, (size_t)channels * sizeof *row);
}

/* m, scale and shift with y = (x - m) scale + shift. */
static void SW_K(channel_coefficients)(void *args, int64_t begin, int64_t end, double *sums) {
    const channel_args *a = args;
    const swi_channel_norm *n = a->n;
    const int64_t period = n->period, per_group = n->channels / n->groups;
    const real *weight = a->weight, *bias = a->bias;
    (void)sums;
    for (int64_t sample = begin; sample < end; sample++) {
        real *m = (real *)a->coefficients + sample * 3 * period, *scale = m + period, *shift = scale + period;
        for (int64_t g = 0; g < n->groups; g++) {
            const double mean = a->mean[sample * n->groups + g], r = a->inverse[sample * n->groups + g],
                         rest = channel_rest(mean, SW_KERNEL_F32);
            for (int64_t c = g * per_group; c < (g + 1) * per_group; c++) {
                const double factor = r * (weight ? (double)weight[c] : 1);
                m[c] = (real)mean;
                scale[c] = (real)factor;
                shift[c] = (real)((bias ? (double)bias[c] : 0) - rest * factor);
            }
        }
        SW_K(channel_repeat)(m, 3, n->channels, period);
    }
}

/* m, scale, shift and slope with dx = (dy scale - shift) - (x - m) slope. With r = 1/√(v + ε) and k elements in a
 * group, dx = r (dy w - Σ dy w/k - x̂ Σ dy w x̂/k), where x̂ = (x - mean) r. */
static void SW_K(channel_gradient_coefficients)(void *args, int64_t begin, int64_t end, double *sums) {
    const channel_args *a = args;
    const swi_channel_norm *n = a->n;
    const int64_t channels = n->channels, period = n->period, per_group = channels / n->groups;
    const double count = (double)(n->rows * per_group);
    const real *weight = a->weight;
    (void)sums;
    for (int64_t sample = begin; sample < end; sample++) {
        const double *of_dy = a->fixed ? NULL : a->sums + sample * 2 * channels,
                     *of_product = a->fixed ? NULL : of_dy + channels;
        real *m = (real *)a->coefficients + sample * 4 * period, *scale = m + period, *shift = scale + period,
             *slope = shift + period;
        for (int64_t g = 0; g < n->groups; g++) {
            const double mean = a->mean[sample * n->groups + g], r = a->inverse[sample * n->groups + g],
                         rest = channel_rest(mean, SW_KERNEL_F32);
            double dy = 0, product = 0;
            for (int64_t c = g * per_group; c < (g + 1) * per_group && !a->fixed; c++) {
                const double w = weight ? (double)weight[c] : 1;
                dy += w * of_dy[c];
                product += w * (of_product[c] - rest * of_dy[c]);
            }
            const double along = r * r * r * product / count;
            for (int64_t c = g * per_group; c < (g + 1) * per_group; c++) {
                m[c] = (real)mean;
                scale[c] = (real)(r * (weight ? (double)weight[c] : 1));
                shift[c] = (real)(r * dy / count - rest * along);
                slope[c] = (real)along;
            }
        }
        SW_K(channel_repeat)(m, 4, channels, period);
    }
}

/* ---- Elements of the chunks [begin, end) ---- */

static void SW_K(channel_apply)(void *args, int64_t begin, int64_t end, double *sums) {
    const channel_args *a = args;
    const int64_t period = a->n->period;
    (void)sums;
    for (int64_t unit = begin; unit < end; unit++) {
        const channel_chunk chunk = channel_chunk_at(a->n, unit);
        const real *m = (const real *)a->coefficients + chunk.sample * 3 * period, *scale = m + period,
                   *shift = scale + period;
        for (int64_t at = 0; at < chunk.count; at += period) {
            const int64_t left = chunk.count - at, length = left < period ? left : period;
            const real *x = (const real *)a->x + chunk.first + at;
            real *out = (real *)a->out + chunk.first + at;
            SW_INDEPENDENT
            for (int64_t j = 0; j < length; j++)
                out[j] = (x[j] - m[j]) * scale[j] + shift[j];
        }
    }
}

static void SW_K(channel_gradient)(void *args, int64_t begin, int64_t end, double *sums) {
    const channel_args *a = args;
    const int64_t period = a->n->period;
    (void)sums;
    for (int64_t unit = begin; unit < end; unit++) {
        const channel_chunk chunk = channel_chunk_at(a->n, unit);
        const real *m = (const real *)a->coefficients + chunk.sample * 4 * period, *scale = m + period,
                   *shift = scale + period, *slope = shift + period;
        for (int64_t at = 0; at < chunk.count; at += period) {
            const int64_t left = chunk.count - at, length = left < period ? left : period;
            const real *x = (const real *)a->x + chunk.first + at, *dy = (const real *)a->dy + chunk.first + at;
            real *out = (real *)a->out + chunk.first + at;
            if (a->fixed) {
                SW_INDEPENDENT
                for (int64_t j = 0; j < length; j++)
                    out[j] = dy[j] * scale[j];
            } else {
                SW_INDEPENDENT
                for (int64_t j = 0; j < length; j++)
                    out[j] = (dy[j] * scale[j] - shift[j]) - (x[j] - m[j]) * slope[j];
            }
        }
    }
}

#else /* ---- once ---- */

static const sw_kernels moments_kernels = SW_KERNEL_TABLE(channel_moments),
                        products_kernels = SW_KERNEL_TABLE(channel_products),
                        coefficients_kernels = SW_KERNEL_TABLE(channel_coefficients),
                        gradient_coefficients_kernels = SW_KERNEL_TABLE(channel_gradient_coefficients),
                        apply_kernels = SW_KERNEL_TABLE(channel_apply),
                        gradient_kernels = SW_KERNEL_TABLE(channel_gradient);

/* Runs a kernel over the chunks of all samples. */
static void channel_run(const sw_kernels *kernels, channel_args *a) {
    sw_kernel_run_rows((*kernels)[a->n->type][sw_cpu_level()], a, a->n->samples * a->n->chunks,
                       a->n->chunk_rows * a->n->width, NULL);
}

double *swi_channel_partials(sw_call *call, const swi_channel_norm *n) {
    return sw_call_scratch(call, (size_t)(n->samples * n->chunks * PARTIALS * n->channels) * sizeof(double));
}

/* ---- Statistics ---- */

typedef struct channel_pool {
    const swi_channel_norm *n;
    const double *partial;
    double *mean, *variance;
} channel_pool;

/* Combines the moments of the chunks for one sample and group. */
static void channel_pool_group(const channel_pool *p, int64_t sample, int64_t group) {
    const swi_channel_norm *n = p->n;
    const int64_t channels = n->channels, per_group = channels / n->groups, size = n->chunk_rows * n->width / channels;
    const double *from = p->partial + sample * n->chunks * PARTIALS * channels + group * per_group;
    double sum = 0, squares = 0;
    for (int64_t k = 0; k < n->chunks; k++) {
        const int64_t rows = k + 1 < n->chunks ? size : n->rows - k * size;
        double means = 0;
        for (int64_t c = 0; c < per_group; c++)
            means += from[k * PARTIALS * channels + c];
        sum += (double)rows * means;
    }
    const double count = (double)(n->rows * per_group), mean = sum / count;
    for (int64_t k = 0; k < n->chunks; k++) {
        const int64_t rows = k + 1 < n->chunks ? size : n->rows - k * size;
        const double *chunk = from + k * PARTIALS * channels;
        double between = 0;
        for (int64_t c = 0; c < per_group; c++) {
            squares += chunk[channels + c];
            between += (chunk[c] - mean) * (chunk[c] - mean);
        }
        squares += (double)rows * between;
    }
    p->mean[sample * n->groups + group] = mean;
    p->variance[sample * n->groups + group] = squares / count;
}

static void channel_pool_groups(void *args, int64_t begin, int64_t end, double *sums) {
    const channel_pool *p = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        channel_pool_group(p, i / p->n->groups, i % p->n->groups);
}

void swi_channel_statistics(const swi_channel_norm *n, const void *x, double *partial, double *mean, double *variance) {
    channel_args a = {.n = n, .x = x, .partial = partial};
    channel_run(&moments_kernels, &a);
    channel_pool p = {.n = n, .partial = partial, .mean = mean, .variance = variance};
    sw_kernel_run_rows(channel_pool_groups, &p, n->samples * n->groups, n->chunks * n->channels / n->groups, NULL);
}

/* ---- Forward ---- */

void swi_channel_apply(const swi_channel_norm *n, const swi_channel_moments *m, const void *weight, const void *bias,
                       const void *x, void *coefficients, void *y) {
    channel_args a = {.n = n,
                      .x = x,
                      .weight = weight,
                      .bias = bias,
                      .mean = m->mean,
                      .inverse = m->inverse,
                      .out = y,
                      .coefficients = coefficients};
    sw_kernel_run_rows(coefficients_kernels[n->type][sw_cpu_level()], &a, n->samples, 3 * n->period, NULL);
    channel_run(&apply_kernels, &a);
}

/* ---- vjp ---- */

/* Adds the sums of the chunks of a sample. */
static void channel_add_sums(void *args, int64_t begin, int64_t end, double *sums) {
    const channel_args *a = args;
    const int64_t channels = a->n->channels, chunks = a->n->chunks;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const int64_t sample = i / (2 * channels), at = i % (2 * channels);
        double total = 0;
        for (int64_t k = 0; k < chunks; k++)
            total += channel_partial(a, sample * chunks + k)[at];
        a->sums[i] = total;
    }
}

/* The gradients of weight and bias: Σ dy x̂ and Σ dy over samples and rows. */
static void channel_store_gradients(const channel_args *a, void *d_weight, void *d_bias) {
    const swi_channel_norm *n = a->n;
    const int64_t channels = n->channels, per_group = channels / n->groups;
    for (int64_t c = 0; c < channels && !sw_dry_run(); c++) {
        double weight = 0, bias = 0;
        for (int64_t sample = 0; sample < n->samples; sample++) {
            const int64_t group = sample * n->groups + c / per_group;
            const double *sums = a->sums + sample * 2 * channels,
                         rest = channel_rest(a->mean[group], n->type == SW_F32);
            bias += sums[c];
            weight += (sums[channels + c] - rest * sums[c]) * a->inverse[group];
        }
        if (d_weight)
            sw_store_element(n->type, d_weight, c, weight);
        if (d_bias)
            sw_store_element(n->type, d_bias, c, bias);
    }
}

/* The arguments for the samples of `block`, from `first` on. */
static channel_args channel_block(const channel_args *a, const swi_channel_norm *block, int64_t first) {
    const int64_t bytes = first * block->rows * block->channels * (int64_t)sw_dtype_size(block->type);
    channel_args b = *a;
    b.n = block;
    b.x = (const char *)a->x + bytes;
    b.dy = (const char *)a->dy + bytes;
    b.out = a->out ? (char *)a->out + bytes : NULL;
    b.mean += first * block->groups;
    b.inverse += first * block->groups;
    b.sums = a->sums ? a->sums + first * 2 * block->channels : NULL;
    return b;
}

/* The sums of dy and dy (x - m), and the gradient of x, for some samples. */
static void channel_block_gradient(channel_args *a) {
    const swi_channel_norm *n = a->n;
    if (a->sums) {
        channel_run(&products_kernels, a);
        sw_kernel_run_rows(channel_add_sums, a, n->samples * 2 * n->channels, n->chunks, NULL);
    }
    if (a->out) {
        sw_kernel_run_rows(gradient_coefficients_kernels[n->type][sw_cpu_level()], a, n->samples, 4 * n->period, NULL);
        channel_run(&gradient_kernels, a);
    }
}

sw_status swi_channel_vjp(sw_call *c, const swi_channel_norm *n, const swi_channel_moments *m,
                          const swi_norm_inputs *inputs, bool fixed) {
    channel_args a = {.n = n,
                      .x = c->in[0]->data,
                      .dy = c->cotangent,
                      .weight = swi_norm_data(c, swi_norm_weight(inputs)),
                      .mean = m->mean,
                      .inverse = m->inverse,
                      .fixed = fixed};
    void *d_weight, *d_bias;
    SW_TRY(swi_norm_gradient(c, 0, &a.out));
    SW_TRY(swi_norm_gradient(c, swi_norm_weight(inputs), &d_weight));
    SW_TRY(swi_norm_gradient(c, swi_norm_bias(inputs), &d_bias));
    if (c->out->count == 0) { /* sums without terms */
        if (d_weight)
            sw_vector_fill(n->type, n->channels, 0, d_weight);
        if (d_bias)
            sw_vector_fill(n->type, n->channels, 0, d_bias);
        return SW_OK;
    }
    swi_channel_norm block = *n;
    block.samples = swi_channel_block(n);
    if (d_weight || d_bias || !fixed) {
        a.partial = swi_channel_partials(c, &block);
        a.sums = sw_call_scratch(c, 2 * (size_t)(n->samples * n->channels) * sizeof(double));
        if (!a.partial || !a.sums)
            return SW_ERR_MEMORY;
    }
    a.coefficients =
        a.out ? sw_call_scratch(c, 4 * (size_t)(block.samples * n->period) * sw_dtype_size(n->type)) : NULL;
    if (a.out && !a.coefficients)
        return SW_ERR_MEMORY;
    for (int64_t first = 0; first < n->samples; first += block.samples) {
        block.samples = n->samples - first < block.samples ? n->samples - first : block.samples;
        channel_args part = channel_block(&a, &block, first);
        channel_block_gradient(&part);
    }
    if (a.sums)
        channel_store_gradients(&a, d_weight, d_bias);
    return SW_OK;
}

#endif
