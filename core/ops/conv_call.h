/* What the operations with a convolution share: attributes, shapes, the gradient of the bias. */
#ifndef SWALE_OPS_CONV_CALL_H
#define SWALE_OPS_CONV_CALL_H

#include <swale/conv_kernels.h>
#include <swale/conv_options.h>
#include <swale/extend.h>

typedef struct swi_conv_attributes {
    sw_conv_kind kind;
    sw_conv_options options; /* of sw_conv_options_check */
} swi_conv_attributes;

/* Sets the attributes of the operation `who`. An error if an option is out of range, or if there are a bias and
 * no_bias. False, without an error, if the bias is null while an error is pending, because it may have failed. */
bool swi_conv_attributes_of(const char *who, sw_conv_kind kind, sw_tensor bias, const sw_conv_options *options,
                            swi_conv_attributes *attributes);

/* Checks inputs 0 (x), 1 (the weight) and 2 (the bias, if there are three), and computes the shape of the convolution's
 * result, whose rank is that of x. */
sw_status swi_conv_out_shape(sw_call *call, const swi_conv_attributes *attributes, int64_t shape[4]);

/* The convolution whose input is [N,H,W,inputs] and whose output is [N,H',W',outputs]: of a transposed convolution, the
 * one that maps its result to its input. `shape` is that of the result of the call's convolution. */
sw_status swi_conv_of(const sw_call *call, const swi_conv_attributes *attributes, const int64_t *shape, sw_conv *conv);

/* Scratch of the call; *scratch is NULL for 0 bytes. */
sw_status swi_conv_scratch(sw_call *call, size_t bytes, void **scratch);

/* ---- The gradient of the bias (conv_bias.c) ---- */

/* The sum of dy [samples, pixels, outputs] over samples and pixels. The pixels of a sample are divided into pieces;
 * each piece has sums in f64, which are added at the end, so that the result does not depend on the order in which the
 * samples are processed. */
typedef struct swi_conv_bias {
    sw_dtype type; /* f32 or f64 */
    int64_t samples, pixels, outputs;
    int64_t pieces; /* of a sample */
    double *sums;   /* [samples, pieces, outputs]; then one row for the result */
} swi_conv_bias;

/* `rank` and `shape` of dy. The sums have swi_conv_bias_bytes. */
swi_conv_bias swi_conv_bias_new(sw_dtype type, int rank, const int64_t *shape);
size_t swi_conv_bias_bytes(const swi_conv_bias *bias);
/* Computes the sums of `samples` samples from sample `first` on, whose dy is given. Calls for different samples can run
 * in parallel. */
void swi_conv_bias_add(const swi_conv_bias *bias, int64_t first, int64_t samples, const void *dy);
/* The same for all samples, on all threads. */
void swi_conv_bias_add_all(const swi_conv_bias *bias, const void *dy);
/* Adds the sums of all samples, and stores the result: db [outputs]. */
void swi_conv_bias_finish(const swi_conv_bias *bias, void *db);

#endif
