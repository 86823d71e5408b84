/* Normalization over positions: the kernels that batch and group normalization share.
 *
 * x is [samples, rows, channels], and the channels are divided into groups. For each sample and group, the mean m and
 * the variance v are those of its `rows` positions in all channels of the group. Group normalization has the samples of
 * the batch; for batch normalization the whole batch is one sample, and each channel is a group.
 *
 *     y = (x - m) / √(v + ε) · weight + bias
 *
 * The elements of a sample are divided into chunks, whose size depends on the shape alone. Each chunk gives a mean and
 * a sum of squared deviations from it for each channel, which are combined in f64 in the order of the chunks (Chan,
 * Golub, LeVeque, Algorithms for computing the sample variance, The American Statistician 37, 1983). Therefore x is
 * read from memory once for the statistics, and the bits do not depend on the number of threads. */
#ifndef SWALE_CHANNEL_NORM_H
#define SWALE_CHANNEL_NORM_H

#include <swale/op.h>

#include "core/ops/norm_inputs.h"

/* The elements of a strip, which has a partial sum for each: SW_LANES of kernel.h. */
enum { SWI_CHANNEL_STRIP = 32 };

typedef struct swi_channel_norm {
    sw_dtype type; /* of x: f32 or f64 */
    int64_t samples, rows, channels, groups;
    /* The elements of a sample as rows of `width` elements, `fold` rows of `channels` each, so that they fill vectors;
     * a chunk has chunk_rows of them. */
    int64_t fold, width, chunk_rows, chunks; /* chunks: of a sample */
    int64_t period; /* the coefficients of the channels are repeated up to this length, a multiple of `channels` */
} swi_channel_norm;

/* The statistics of each sample and group, [samples, groups] each. */
typedef struct swi_channel_moments {
    double *mean, *inverse; /* inverse: 1/√(v + ε) */
} swi_channel_moments;

/* groups divides channels. */
swi_channel_norm swi_channel_norm_of(sw_dtype type, int64_t samples, int64_t rows, int64_t channels, int64_t groups);
/* The samples that are normalized together: their elements stay in the second-level cache between the statistics and
 * the result. At least 1 if there are elements, which is needed. */
int64_t swi_channel_block(const swi_channel_norm *n);
/* Allocates the moments, which the vjp gets as call->saved; mean NULL and an error if there is not enough memory. */
swi_channel_moments swi_channel_moments_save(sw_call *call, const swi_channel_norm *n);
/* The moments that a vjp finds in `saved`. */
swi_channel_moments swi_channel_moments_of(void *saved, const swi_channel_norm *n);

/* Computes the means and the population variances [samples, groups] of x, with scratch of swi_channel_partials. */
void swi_channel_statistics(const swi_channel_norm *n, const void *x, double *partial, double *mean, double *variance);
double *swi_channel_partials(sw_call *call, const swi_channel_norm *n); /* NULL: not enough memory */
/* inverse[i] = 1/√(variance[i] + eps) for all samples and groups. inverse may be variance. */
void swi_channel_inverse(const swi_channel_norm *n, const double *variance, double eps, double *inverse);
/* y = (x - m) inverse · weight + bias, with scratch of swi_channel_coefficients. weight and bias [channels] have the
 * type of x; NULL: 1 and 0. */
void swi_channel_apply(const swi_channel_norm *n, const swi_channel_moments *m, const void *weight, const void *bias,
                       const void *x, void *coefficients, void *y);
void *swi_channel_coefficients(sw_call *call, const swi_channel_norm *n); /* NULL: not enough memory */

/* The vjp of an operation: x is input 0, and weight and bias follow. Computes the gradients that are wanted. fixed: the
 * moments do not depend on x, as in evaluation. */
sw_status swi_channel_vjp(sw_call *call, const swi_channel_norm *n, const swi_channel_moments *m,
                          const swi_norm_inputs *inputs, bool fixed);

#endif
