/* A convolution and the pool after it as one operation. The result of the convolution exists for a few samples at a
 * time, in the cache: forward pools it at once, and the vjp computes its gradient from that of the pool for each
 * product. */
#include <swale/conv.h>
#include <swale/extend.h>
#include <swale/pool.h>

#include "core/ops/conv_call.h"
#include "core/ops/pool_call.h"

typedef struct conv_pool_attributes {
    swi_conv_attributes conv;
    swi_pool_attributes pool;
} conv_pool_attributes;

/* One call. */
typedef struct conv_pool {
    sw_conv conv;
    sw_dtype type;
    int64_t y_shape[4]; /* of the convolution */
    int64_t out_count;  /* elements of a sample of the result */
    pool_args args;     /* of all samples */
    sw_kernel *kernel;  /* of the pool, for a pass */
    int64_t rows;       /* its items in a sample */
    swi_conv_bias bias; /* vjp; sums NULL: none */
} conv_pool;

/* ---- Shapes ---- */

static sw_status conv_pool_shape(sw_call *c) {
    const conv_pool_attributes *a = c->attributes;
    const sw_pool_options *given = &a->pool.options;
    int64_t y[4] = {0}, out[4], count;
    sw_pool_options o;
    SW_TRY(swi_conv_out_shape(c, &a->conv, y));
    SW_TRY(sw_shape_count(4, y, &count));
    SW_TRY(sw_pool_options_check(c->op->name, a->pool.average, POOL_AXES, a->pool.window, given, &o));
    SW_TRY(sw_pool_out_lengths(c->op->name, POOL_AXES, a->pool.window, &o, 4, y, out + 1));
    out[0] = y[0];
    out[3] = y[3];
    return sw_call_set_shape(c, c->in[0]->type, 4, out);
}

static sw_status conv_pool_begin(sw_call *c, bool backward, conv_pool *j) {
    const conv_pool_attributes *a = c->attributes;
    *j = (conv_pool){.type = c->in[0]->type};
    SW_TRY(swi_conv_out_shape(c, &a->conv, j->y_shape));
    SW_TRY(swi_conv_of(c, &a->conv, j->y_shape, &j->conv));
    SW_TRY(swi_pool_args_of(c->op->name, &a->pool, j->y_shape, c->out->shape, &j->args));
    j->out_count = c->out->shape[1] * c->out->shape[2] * c->out->shape[3];
    j->kernel = (*swi_pool_kernels(&a->pool, &j->args, backward, &j->rows))[j->type][sw_cpu_level()];
    j->conv.samples_args = j;
    return SW_OK;
}

/* ---- Forward ---- */

static const char *conv_pool_at(const void *array, int64_t element, int64_t size) {
    return array ? (const char *)array + element * size : NULL;
}

/* The arguments of the pool for the samples from `first` on. */
static pool_args conv_pool_args(const conv_pool *j, int64_t first) {
    const int64_t size = (int64_t)sw_dtype_size(j->type), at = first * j->out_count;
    pool_args s = j->args;
    s.place = (char *)(uintptr_t)conv_pool_at(s.place, at, pool_place_bytes(&s));
    s.y = conv_pool_at(s.y, at, size);
    return s;
}

static void conv_pool_take(void *args, int64_t first, int64_t samples, void *y) {
    const conv_pool *j = args;
    pool_args s = conv_pool_args(j, first);
    s.in = y;
    s.out = (char *)s.out + first * j->out_count * (int64_t)sw_dtype_size(j->type);
    j->kernel(&s, 0, samples * j->rows, NULL);
}

static sw_status conv_pool_forward(sw_call *c) {
    conv_pool j;
    void *scratch;
    SW_TRY(conv_pool_begin(c, false, &j));
    if (j.args.signs || !((const conv_pool_attributes *)c->attributes)->pool.average)
        if (!(j.args.place = sw_call_save(c, (size_t)(c->out->count * pool_place_bytes(&j.args)))))
            return SW_ERR_MEMORY;
    j.args.out = c->out->data;
    j.conv.samples = conv_pool_take;
    const size_t bytes = sw_conv_forward_scratch(&j.conv);
    SW_TRY(swi_conv_scratch(c, bytes, &scratch));
    return sw_conv_forward(&j.conv, c->in[0]->data, c->in[1]->data, c->inputs == 3 ? c->in[2]->data : NULL, NULL,
                           scratch, bytes);
}

/* ---- Gradients ---- */

/* The gradient of the convolution's result, from that of the pool. */
static void conv_pool_give(void *args, int64_t first, int64_t samples, void *dy) {
    const conv_pool *j = args;
    pool_args s = conv_pool_args(j, first);
    s.in = conv_pool_at(s.in, first * j->out_count, (int64_t)sw_dtype_size(j->type));
    s.out = dy;
    j->kernel(&s, 0, samples * j->rows, NULL);
}

/* The same, with the sums for the gradient of the bias. */
static void conv_pool_give_and_add(void *args, int64_t first, int64_t samples, void *dy) {
    const conv_pool *j = args;
    conv_pool_give(args, first, samples, dy);
    swi_conv_bias_add(&j->bias, first, samples, dy);
}

/* Some samples for the gradient of the bias alone. */
static sw_status conv_pool_bias_item(void *args, int64_t item, sw_worker *worker) {
    conv_pool_give_and_add(args, item, 1, worker->scratch);
    return SW_OK;
}

static sw_status conv_pool_bias_alone(sw_call *c, conv_pool *j) {
    const sw_conv *v = &j->conv;
    const int64_t y = v->out_height * v->out_width * v->outputs * (int64_t)sw_dtype_size(j->type);
    const size_t bytes = sw_parallel_scratch(v->batch, (size_t)y);
    void *scratch;
    SW_TRY(swi_conv_scratch(c, bytes, &scratch));
    return v->batch * y > 0
               ? sw_parallel_items_with_scratch(conv_pool_bias_item, j, v->batch, (size_t)y, scratch, bytes)
               : SW_OK;
}

/* The arguments of the vjp, and the memory of the results that are wanted. */
static sw_status conv_pool_vjp_begin(sw_call *c, conv_pool *j, void *grads[3]) {
    const bool average = ((const conv_pool_attributes *)c->attributes)->pool.average;
    SW_TRY(conv_pool_begin(c, true, j));
    for (int i = 0; i < 3; i++) {
        grads[i] = NULL;
        if (i < c->inputs && sw_call_wants_grad(c, i) && !(grads[i] = sw_call_grad(c, i)))
            return SW_ERR_MEMORY;
    }
    j->args.in = c->cotangent;
    j->args.place = c->saved;
    if (j->args.relu && !average)
        j->args.y = c->out->data;
    j->bias = swi_conv_bias_new(j->type, 4, j->y_shape);
    if (grads[2] && !(j->bias.sums = sw_call_scratch(c, swi_conv_bias_bytes(&j->bias))))
        return SW_ERR_MEMORY;
    return SW_OK;
}

static sw_status conv_pool_vjp(sw_call *c) {
    void *grads[3], *scratch;
    conv_pool j;
    SW_TRY(conv_pool_vjp_begin(c, &j, grads));
    j.conv.samples = conv_pool_give;
    const size_t dx_bytes = grads[0] ? sw_conv_input_gradient_scratch(&j.conv) : 0,
                 dw_bytes = grads[1] ? sw_conv_weight_gradient_scratch(&j.conv) : 0,
                 bytes = dx_bytes > dw_bytes ? dx_bytes : dw_bytes;
    SW_TRY(swi_conv_scratch(c, bytes, &scratch));
    if (grads[0])
        SW_TRY(sw_conv_input_gradient(&j.conv, c->in[1]->data, NULL, grads[0], scratch, bytes));
    if (grads[1]) {
        j.conv.samples = grads[2] ? conv_pool_give_and_add : conv_pool_give;
        SW_TRY(sw_conv_weight_gradient(&j.conv, c->in[0]->data, NULL, grads[1], scratch, bytes));
        sw_squares_report(sw_call_squares(c, 1), grads[1], c->in[1]->count);
    } else if (grads[2]) {
        SW_TRY(conv_pool_bias_alone(c, &j));
    }
    if (grads[2])
        swi_conv_bias_finish(&j.bias, grads[2]);
    return SW_OK;
}

/* ---- The operations ---- */

#define CONV_POOL_OP(name_, reads)                                                                    \
    {                                                                                                 \
        .size = sizeof(sw_op), .name = name_, .shape = conv_pool_shape, .forward = conv_pool_forward, \
        .vjp = conv_pool_vjp, .vjp_reads = SW_READS(0) | SW_READS(1) | (reads)                        \
    }
static const sw_op conv2d_max_pool2d_op = CONV_POOL_OP("conv2d_max_pool2d", 0),
                   conv2d_max_pool2d_relu_op = CONV_POOL_OP("conv2d_max_pool2d", SW_READS_OUT),
                   conv2d_avg_pool2d_op = CONV_POOL_OP("conv2d_avg_pool2d", 0);

/* Two operations. In 16 bits they are computed on copies in f32, so that the result is rounded once. */
static sw_tensor conv_pool_apart(const sw_tensor *in, const sw_conv_options *options, const swi_pool_attributes *pool) {
    sw_tensor wide[3];
    const sw_dtype type = sw_is_null(in[0]) ? SW_F32 : sw_value(in[0]).type;
    bool narrow = sw_dtype_is_16_bit(type); /* and all inputs have this type */
    for (int i = 0; i < 3; i++) {
        wide[i] = in[i];
        if (sw_is_null(in[i]))
            continue;
        const sw_dtype own = sw_value(in[i]).type;
        narrow = narrow && own == type;
        if (sw_dtype_is_16_bit(own))
            wide[i] = sw_cast(in[i], SW_F32);
    }
    const sw_tensor y = sw_conv2d(wide[0], wide[1], wide[2], options);
    const sw_tensor out = pool->average ? sw_avg_pool2d(y, pool->window[0], pool->window[1], &pool->options)
                                        : sw_max_pool2d(y, pool->window[0], pool->window[1], &pool->options);
    /* While the tape records, y stays as it would inside the operation: a released tensor permits one backward. */
    if (!sw_is_null(y) && !sw_tape_switch(y.tape, SW_RECORD))
        sw_release(y);
    return narrow && !sw_is_null(out) ? sw_cast(out, type) : out;
}

static sw_tensor conv_pool_apply(const sw_op *op, const sw_op *with_relu, const sw_tensor *in,
                                 const sw_conv_options *options, bool average, const int64_t *window,
                                 const sw_pool_options *pool) {
    conv_pool_attributes a = {0};
    if (!swi_pool_attributes_of(op->name, average, POOL_AXES, window, pool, &a.pool))
        return (sw_tensor){0};
    if (average && a.pool.options.relu && !swi_pool_has_signs(&a.pool)) /* the gradient needs x of the pool */
        return conv_pool_apart(in, options, &a.pool);
    if (!swi_conv_attributes_of(op->name, SW_CONV2D, in[2], options, &a.conv))
        return (sw_tensor){0};
    return sw_apply(a.pool.options.relu ? with_relu : op, &a, sizeof a, sw_is_null(in[2]) ? 2 : 3, in);
}

sw_tensor sw_conv2d_max_pool2d(sw_tensor x, sw_tensor weight, sw_tensor bias, const sw_conv_options *options,
                               int64_t window_height, int64_t window_width, const sw_pool_options *pool) {
    return conv_pool_apply(&conv2d_max_pool2d_op, &conv2d_max_pool2d_relu_op, (sw_tensor[]){x, weight, bias}, options,
                           false, (int64_t[]){window_height, window_width}, pool);
}

sw_tensor sw_conv2d_avg_pool2d(sw_tensor x, sw_tensor weight, sw_tensor bias, const sw_conv_options *options,
                               int64_t window_height, int64_t window_width, const sw_pool_options *pool) {
    return conv_pool_apply(&conv2d_avg_pool2d_op, &conv2d_avg_pool2d_op, (sw_tensor[]){x, weight, bias}, options, true,
                           (int64_t[]){window_height, window_width}, pool);
}
