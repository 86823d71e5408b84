/* The gradient of the bias of a convolution. See conv_call.h. */
#include <swale/extend.h>
#include <swale/memory.h>

#include "core/ops/conv_call.h"

#include <string.h>

/* The pixels of a piece, a multiple of SW_FOLD_GROUP; parts of the samples for the threads. */
enum { PIECE = 4096, MOST_PARTS = 64 };

swi_conv_bias swi_conv_bias_new(sw_dtype type, int rank, const int64_t *shape) {
    swi_conv_bias b = {.type = type, .samples = shape[0], .pixels = 1, .outputs = shape[rank - 1]};
    for (int i = 1; i < rank - 1; i++)
        b.pixels *= shape[i];
    b.pieces = (b.pixels + PIECE - 1) / PIECE;
    return b;
}

size_t swi_conv_bias_bytes(const swi_conv_bias *b) {
    return (size_t)((b->samples * b->pieces + 1) * b->outputs) * sizeof *b->sums + SW_ALIGNMENT; /* never 0 */
}

/* Pieces [begin, end), counted over all samples; dy is that of the sample of the first piece. */
static void bias_pieces(const swi_conv_bias *b, int64_t begin, int64_t end, const char *dy) {
    sw_kernel *sum = sw_fold_sum.columns[b->type][sw_cpu_level()];
    const int64_t row = b->outputs * (int64_t)sw_dtype_size(b->type), sample = b->pixels * row,
                  first = begin / b->pieces;
    for (int64_t i = begin; i < end; i++) {
        const int64_t n = i / b->pieces, from = i % b->pieces * PIECE, left = b->pixels - from;
        double *sums = b->sums + i * b->outputs;
        memset(sums, 0, (size_t)b->outputs * sizeof *sums);
        sw_fold_args args = {.x = dy + (n - first) * sample + from * row,
                             .to = sums,
                             .rows = left < PIECE ? left : PIECE,
                             .length = b->outputs,
                             .stride = b->outputs};
        sum(&args, 0, b->outputs, NULL);
    }
}

void swi_conv_bias_add(const swi_conv_bias *b, int64_t first, int64_t samples, const void *dy) {
    if (b->pieces > 0)
        bias_pieces(b, first * b->pieces, (first + samples) * b->pieces, dy);
}

typedef struct bias_job {
    const swi_conv_bias *bias;
    const char *dy;
    int64_t parts;
} bias_job;

static void bias_part(void *args, int64_t part) {
    const bias_job *j = args;
    const swi_conv_bias *b = j->bias;
    const int64_t all = b->samples * b->pieces, begin = sw_part_begin(all, j->parts, part),
                  sample = b->pixels * b->outputs * (int64_t)sw_dtype_size(b->type);
    bias_pieces(b, begin, sw_part_begin(all, j->parts, part + 1), j->dy + begin / b->pieces * sample);
}

void swi_conv_bias_add_all(const swi_conv_bias *b, const void *dy) {
    const int64_t all = b->samples * b->pieces;
    bias_job j = {b, dy, all < MOST_PARTS ? all : MOST_PARTS};
    if (sw_dry_run() || all == 0)
        return;
    if (b->samples * b->pixels * b->outputs < SW_SERIAL)
        bias_pieces(b, 0, all, dy);
    else
        sw_parallel(bias_part, &j, j.parts);
}

void swi_conv_bias_finish(const swi_conv_bias *b, void *db) {
    const int64_t all = b->samples * b->pieces, shape[2] = {all, b->outputs};
    double *total = b->sums + all * b->outputs;
    if (sw_dry_run())
        return;
    sw_sum_to_shape(SW_F64, 2, shape, b->sums, 1, &b->outputs, total, 1, true);
    for (int64_t o = 0; o < b->outputs; o++)
        if (b->type == SW_F32)
            ((float *)db)[o] = (float)total[o];
        else
            ((double *)db)[o] = total[o];
}
