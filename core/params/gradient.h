/* Gradient blocks. */
#ifndef SWALE_PARAMS_GRADIENT_H
#define SWALE_PARAMS_GRADIENT_H

#include "core/kernels/squares.h"
#include "core/params/weight.h"

/* A gradient block. `data` holds the mean gradient, or, if `summed`, Σ weight/unit · gradient, with the sum of the
 * rounding errors in `low` (unless it is f64). For f16 and bf16 the whole sum is in `low`, because it may be too large
 * for these types; it begins as soon as there are several parts, or one pass adds to elements of two parameters. The
 * sum for one parameter that a pass uses more than once, for example a tied embedding, is in `few`. Until there are
 * several parts, the unit is the weight. Each pass of a tape is counted once: see swi_binding. */
struct sw_gradient {
    sw_params *params;
    sw_dtype type;      /* of data */
    void *data, *owned; /* owned: NULL for a view */
    bool fresh, summed;
    bool many_parts;    /* more than one part was added since the block was fresh */
    int64_t samples;    /* added since the block was fresh */
    swi_weight weight;  /* the sum over all parts */
    double unit;        /* if summed: a gradient with this weight is added with the factor 1 */
    double scale;       /* the elements, also of the sum, are multiplied by this loss scale; 1 unless f16 or bf16 */
    uint64_t serial;    /* a unique number of the contents, assigned when the block stops being fresh */
    bool mixed_weights; /* one pass had several backward runs, from losses with different weights */
    float *low;         /* [dim], NULL before it is needed */
    float *few;         /* [few_room], NULL before it is needed, and after `low` was */
    bool few_open;      /* the elements [few_at, few_at + few_count) are in `few` */
    int64_t few_at, few_count, few_room;
    unsigned char *written; /* [count]: whether the parameter's gradient was written since the block was fresh */
    sw_squares *squares;    /* of the elements of `data`; NULL for short vectors */
    bool exposed;           /* the program has a pointer to `data`, and may write to it at any time */
    struct swi_statistics *statistics; /* pending (statistics.c); NULL: none were reported */
    /* Lists: statistics of nodes whose right neighbor in the tree is being computed; statistics that are not in use. */
    struct swi_statistics *aside, *spare;
};

/* Begins another part with this weight and number of samples; call it before adding the gradients of the part. After an
 * error the block is unchanged. */
sw_status swi_gradient_open(sw_gradient *g, const char *who, swi_weight weight, int64_t samples);
/* The factor by which the gradients of a part with this weight, which are multiplied by the loss scale `scale`, are
 * multiplied before they are added. */
double swi_gradient_factor(const sw_gradient *g, double weight, double scale);
/* Adds factor·from to the n elements that begin at `at`, or stores it there. `type` is that of `from`: the block's, or
 * f16 or bf16 for a block in f32. The first addition to a block in f16 or bf16 allocates the sum in f32. */
sw_status swi_gradient_add(sw_gradient *g, int64_t at, int64_t n, double factor, sw_dtype type, const void *from,
                           bool store);
/* Sets n elements to 0. */
void swi_gradient_fill_zero(sw_gradient *g, int64_t at, int64_t n);
/* Declares that elements [at, at + n) of `data` have changed. The functions of this file do it themselves. */
static inline void swi_gradient_touch(sw_gradient *g, int64_t at, int64_t n) {
    if (g->squares)
        swi_squares_forget(g->squares, at, n);
}
/* As sw_gradient_data, for a caller that calls swi_gradient_touch after it has written. */
void *swi_gradient_data(sw_gradient *g);
/* The norm of `data`, as sw_vector_norm. Reads only elements whose writer did not report them (sw_call_squares). */
sw_status swi_gradient_norm(sw_gradient *g, double *norm);
/* Whether the block is f16 or bf16 and the gradient so far is in `low` alone. */
static inline bool swi_gradient_is_sum_in_f32(const sw_gradient *g) {
    return g->summed && sw_dtype_is_16_bit(g->type);
}
/* The present address of the gradient of n elements from `at` on, and its type. */
const void *swi_gradient_part(const sw_gradient *g, int64_t at, int64_t n, sw_dtype *type);
/* Converts the sum to the mean. */
void swi_gradient_close(sw_gradient *g);
/* Makes the block fresh, but keeps the running statistics that are pending. */
void swi_gradient_restart(sw_gradient *g);
/* Declares that the caller has written the mean gradient of one part to the whole vector. Later passes add to it. */
void swi_gradient_filled(sw_gradient *g, swi_weight weight, int64_t samples);

#endif
