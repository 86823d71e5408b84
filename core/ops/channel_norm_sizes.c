/* The sizes and the memory of normalizations over positions (channel_norm.h). */
#include <swale/extend.h>

#include <math.h>

#include "core/ops/channel_norm.h"

enum { CHUNK = 2 * SW_TILE, LEAST_ROWS = 16, PERIOD = 512, BLOCK_BYTES = 1 << 19 };

static int64_t channel_common_divisor(int64_t a, int64_t b) {
    while (b != 0) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

swi_channel_norm swi_channel_norm_of(sw_dtype type, int64_t samples, int64_t rows, int64_t channels, int64_t groups) {
    swi_channel_norm n = {
        .type = type, .samples = samples, .rows = rows, .channels = channels, .groups = groups, .width = channels};
    if (samples == 0 || rows == 0 || channels == 0)
        return n;
    if (channels < 2 * SWI_CHANNEL_STRIP) /* whole strips; wider rows have one at least */
        n.width *= SWI_CHANNEL_STRIP / channel_common_divisor(SWI_CHANNEL_STRIP, channels);
    n.chunk_rows = CHUNK / n.width > LEAST_ROWS ? CHUNK / n.width : LEAST_ROWS;
    const int64_t size = n.chunk_rows * n.width, repeated = channels < PERIOD ? PERIOD / channels : 1;
    n.chunks = (rows * channels + size - 1) / size;
    n.period = (repeated < rows ? repeated : rows) * channels;
    return n;
}

swi_channel_moments swi_channel_moments_of(void *saved, const swi_channel_norm *n) {
    return (swi_channel_moments){saved, (double *)saved + n->samples * n->groups};
}

swi_channel_moments swi_channel_moments_save(sw_call *call, const swi_channel_norm *n) {
    void *saved = sw_call_save(call, 2 * (size_t)(n->samples * n->groups) * sizeof(double));
    return saved ? swi_channel_moments_of(saved, n) : (swi_channel_moments){0};
}

int64_t swi_channel_block(const swi_channel_norm *n) {
    const int64_t fit = BLOCK_BYTES / (n->rows * n->channels * (int64_t)sw_dtype_size(n->type));
    return fit < 1 ? 1 : fit < n->samples ? fit : n->samples;
}

void *swi_channel_coefficients(sw_call *call, const swi_channel_norm *n) {
    return sw_call_scratch(call, 3 * (size_t)(n->samples * n->period) * sw_dtype_size(n->type));
}

void swi_channel_inverse(const swi_channel_norm *n, const double *variance, double eps, double *inverse) {
    for (int64_t i = 0; i < n->samples * n->groups; i++)
        inverse[i] = 1 / sqrt(variance[i] + eps);
}
