/* Pooling: shapes, and the operations. The kernels are in pool_forward.c and pool_vjp.c. */
#include <swale/extend.h>
#include <swale/pool.h>

#include "core/ops/pool_call.h"
#include "core/ops/shared.h"

#include <string.h>

/* Adaptive windows of equal length that follow one another are ordinary ones. */
static pool_axis pool_adaptive_axis(int64_t length, int64_t out) {
    pool_axis a = {.length = length, .out = out, .dilation = 1, .adaptive = length % out != 0};
    if (a.adaptive)
        for (int64_t i = 0; i < out; i++) {
            const int64_t count = pool_part_of(&a, i).count;
            a.window = count > a.window ? count : a.window;
        }
    else
        a.window = a.stride = length / out;
    return a;
}

/* Whether all windows along an axis have the divisor `window`: if the first and the last have it, all do. */
static bool pool_is_uniform(const pool_axis *a) {
    return !a->adaptive && pool_divisor(a, 0) == a->window && pool_divisor(a, a->out - 1) == a->window;
}

/* An unsigned byte has two bits for each element. */
bool swi_pool_has_signs(const swi_pool_attributes *a) {
    enum { MOST = 4 };
    const sw_pool_options *o = &a->options;
    const bool whole = o->stride[0] == 0 && o->stride[1] == 0; /* the strides are the window */
    int64_t elements = 1;
    for (int i = 0; i < a->axes; i++) {
        if (a->window[i] < 1 || a->window[i] > MOST || (!whole && o->stride[i] < a->window[i]))
            return false;
        elements *= a->window[i];
    }
    return a->average && !a->adaptive && o->relu && elements <= MOST;
}

sw_status swi_pool_args_of(const char *who, const swi_pool_attributes *a, const int64_t *shape,
                           const int64_t *out_shape, pool_args *args) {
    pool_axis axis[POOL_AXES] = {{.length = 1, .out = 1, .window = 1, .stride = 1, .dilation = 1}};
    sw_pool_options o = {0};
    if (!a->adaptive)
        SW_TRY(sw_pool_options_check(who, a->average, a->axes, a->window, &a->options, &o));
    for (int i = 0; i < a->axes; i++) {
        const int64_t length = shape[1 + i], out = a->global ? 1 : out_shape[1 + i];
        axis[POOL_AXES - a->axes + i] = a->adaptive ? pool_adaptive_axis(length, out)
                                                    : (pool_axis){.length = length,
                                                                  .out = out,
                                                                  .window = a->window[i],
                                                                  .stride = o.stride[i],
                                                                  .padding = o.padding[i],
                                                                  .dilation = o.dilation[i],
                                                                  .exclude_padding = o.exclude_padding};
    }
    *args = (pool_args){.relu = o.relu,
                        .signs = swi_pool_has_signs(a),
                        .rows_per_item = 1,
                        .height = axis[0],
                        .width = axis[1],
                        .channels = shape[a->axes + 1]};
    args->wide_places = axis[0].window * axis[1].window > UINT8_MAX + 1;
    if (pool_is_uniform(&axis[0]) && pool_is_uniform(&axis[1]))
        args->divisor = axis[0].window * axis[1].window;
    return SW_OK;
}

const sw_kernels *swi_pool_kernels(const swi_pool_attributes *a, const pool_args *args, bool backward, int64_t *rows) {
    const bool disjoint = pool_is_disjoint(&args->height) && pool_is_disjoint(&args->width);
    *rows = backward && !disjoint ? args->height.length : args->height.out;
    if (!backward)
        return a->average ? &swi_pool_avg : &swi_pool_max;
    if (disjoint)
        return a->average ? &swi_pool_avg_disjoint : &swi_pool_max_disjoint;
    return a->average ? &swi_pool_avg_overlapping : &swi_pool_max_overlapping;
}

/* The arguments for a call whose shapes are correct. Sequences are pictures of height 1. */
static sw_status pool_args_of(const sw_call *c, pool_args *args) {
    return swi_pool_args_of(c->op->name, c->attributes, c->in[0]->shape, c->out->shape, args);
}

static sw_status pool_shape(sw_call *c) {
    const swi_pool_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    const char *who = c->op->name;
    SW_TRY(sw_call_check_float(c));
    if (x->rank != a->axes + 2)
        return sw_fail(SW_ERR_SHAPE, "%s: x is %s; %s is needed", who, sw_shape_text(x->rank, x->shape),
                       a->axes == 1 ? "[batch, length, channels]" : "[batch, height, width, channels]");
    int64_t shape[POOL_AXES + 2] = {x->shape[0]};
    sw_pool_options o;
    shape[a->axes + 1] = x->shape[a->axes + 1];
    if (!a->adaptive) {
        SW_TRY(sw_pool_options_check(who, a->average, a->axes, a->window, &a->options, &o));
        SW_TRY(sw_pool_out_lengths(who, a->axes, a->window, &o, x->rank, x->shape, shape + 1));
        return sw_call_set_shape(c, x->type, a->axes + 2, shape);
    }
    SW_TRY(sw_pool_check_lengths(who, "a picture of", POOL_AXES, x->shape + 1));
    SW_TRY(sw_pool_check_lengths(who, "a result of", POOL_AXES, a->window));
    if (!a->average && x->shape[1] > INT32_MAX / x->shape[2]) /* so that a place in a window is a u32 */
        return sw_fail(SW_ERR_SHAPE, "%s: x is %s; at most 2^31 - 1 pixels are possible", who,
                       sw_shape_text(x->rank, x->shape));
    if (a->global)
        return sw_call_set_shape(c, x->type, 2, (int64_t[]){x->shape[0], x->shape[3]});
    memcpy(shape + 1, a->window, sizeof a->window);
    return sw_call_set_shape(c, x->type, 4, shape);
}

/* Runs a kernel whose items are the rows of pictures, of which each picture has `rows`. For f16 and bf16 the items are
 * pictures, which are converted to f32 as a whole. */
static sw_status pool_run(sw_call *c, const sw_kernels *kernels, pool_args *args, int64_t rows, bool backward) {
    const sw_dtype type = c->in[0]->type;
    const int64_t count = args->height.length * args->width.length * args->channels, /* elements of a picture of x */
        out_count = args->height.out * args->width.out * args->channels;
    const int64_t longer = count > out_count ? count : out_count, pictures = c->in[0]->count / count;
    if (!sw_dtype_is_16_bit(type)) {
        sw_kernel_run_rows((*kernels)[type][sw_cpu_level()], args, pictures * rows, longer / rows, NULL);
        return SW_OK;
    }
    const int64_t place_bytes = args->wide_places ? (int64_t)sizeof(uint32_t) : 1;
    const sw_wide_array arrays[] = {
        sw_wide_array_of(offsetof(pool_args, in), type, false, backward ? out_count : count),
        sw_wide_array_of(offsetof(pool_args, out), type, true, backward ? count : out_count),
        sw_wide_array_of(offsetof(pool_args, x), type, false, count),
        sw_wide_array_of(offsetof(pool_args, y), type, false, out_count),
        {offsetof(pool_args, place), SW_WIDE_ROWS, out_count * place_bytes}};
    args->rows_per_item = rows;
    const sw_wide_rows job = {.size = sizeof job,
                              .kernels = kernels,
                              .args = args,
                              .bytes = sizeof *args,
                              .type = type,
                              .array = arrays,
                              .arrays = 5,
                              .rows = pictures,
                              .length = longer};
    return swi_call_wide_rows(c, &job, NULL);
}

static sw_status pool_forward(sw_call *c) {
    const swi_pool_attributes *a = c->attributes;
    pool_args args;
    int64_t rows;
    SW_TRY(pool_args_of(c, &args));
    args.in = c->in[0]->data;
    args.out = c->out->data;
    if (!a->average || args.signs) {
        args.place = sw_call_save(c, (size_t)(c->out->count * pool_place_bytes(&args)));
        if (!args.place)
            return SW_ERR_MEMORY;
    }
    const sw_kernels *kernels = swi_pool_kernels(a, &args, false, &rows);
    return c->out->count == 0 ? SW_OK : pool_run(c, kernels, &args, rows, false);
}

static sw_status pool_vjp(sw_call *c) {
    const swi_pool_attributes *a = c->attributes;
    pool_args args;
    int64_t rows;
    SW_TRY(pool_args_of(c, &args));
    args.in = c->cotangent;
    args.out = sw_call_grad(c, 0);
    args.place = c->saved;
    if (args.relu && !a->average)
        args.y = c->out->data;
    else if (args.relu && !args.signs)
        args.x = c->in[0]->data;
    if (!args.out)
        return SW_ERR_MEMORY;
    const sw_kernels *kernels = swi_pool_kernels(a, &args, true, &rows);
    return c->out->count == 0 ? SW_OK : pool_run(c, kernels, &args, rows, true);
}

#define POOL_OP(name_, reads)                                                                                \
    {                                                                                                        \
        .size = sizeof(sw_op), .name = name_, .shape = pool_shape, .forward = pool_forward, .vjp = pool_vjp, \
        .vjp_reads = reads, .takes_16_bit = true                                                             \
    }
static const sw_op max_pool2d_relu_op = POOL_OP("max_pool2d", SW_READS_OUT),
                   avg_pool2d_relu_op = POOL_OP("avg_pool2d", SW_READS(0)),
                   max_pool1d_relu_op = POOL_OP("max_pool1d", SW_READS_OUT),
                   avg_pool1d_relu_op = POOL_OP("avg_pool1d", SW_READS(0)),
                   avg_pool2d_signs_op = POOL_OP("avg_pool2d", 0), avg_pool1d_signs_op = POOL_OP("avg_pool1d", 0);
static const sw_op max_pool2d_op = POOL_OP("max_pool2d", 0), avg_pool2d_op = POOL_OP("avg_pool2d", 0),
                   max_pool1d_op = POOL_OP("max_pool1d", 0), avg_pool1d_op = POOL_OP("avg_pool1d", 0),
                   adaptive_max_pool2d_op = POOL_OP("adaptive_max_pool2d", 0),
                   adaptive_avg_pool2d_op = POOL_OP("adaptive_avg_pool2d", 0),
                   global_max_pool2d_op = POOL_OP("global_max_pool2d", 0),
                   global_avg_pool2d_op = POOL_OP("global_avg_pool2d", 0);

bool swi_pool_attributes_of(const char *who, bool average, int axes, const int64_t *window,
                            const sw_pool_options *options, swi_pool_attributes *a) {
    *a = (swi_pool_attributes){.average = average, .axes = axes, .options.size = sizeof a->options};
    memcpy(a->window, window, (size_t)axes * sizeof *window);
    return !options ||
           sw_options_copy(who, "sw_pool_options", &a->options, sizeof a->options, options, sizeof a->options) == SW_OK;
}

/* with_relu: the operation for the option relu; with_signs: the same if signs are saved, NULL for max pools. */
static sw_tensor pool_apply(const sw_op *op, const sw_op *with_relu, const sw_op *with_signs, sw_tensor x, int axes,
                            const int64_t *window, const sw_pool_options *options) {
    swi_pool_attributes a;
    if (!swi_pool_attributes_of(op->name, with_signs != NULL, axes, window, options, &a))
        return (sw_tensor){0};
    const sw_op *chosen = !a.options.relu ? op : swi_pool_has_signs(&a) ? with_signs : with_relu;
    return sw_apply(chosen, &a, sizeof a, 1, &x);
}

sw_tensor sw_max_pool2d(sw_tensor x, int64_t window_height, int64_t window_width, const sw_pool_options *options) {
    return pool_apply(&max_pool2d_op, &max_pool2d_relu_op, NULL, x, 2, (int64_t[]){window_height, window_width},
                      options);
}

sw_tensor sw_avg_pool2d(sw_tensor x, int64_t window_height, int64_t window_width, const sw_pool_options *options) {
    return pool_apply(&avg_pool2d_op, &avg_pool2d_relu_op, &avg_pool2d_signs_op, x, 2,
                      (int64_t[]){window_height, window_width}, options);
}

sw_tensor sw_max_pool1d(sw_tensor x, int64_t window, const sw_pool_options *options) {
    return pool_apply(&max_pool1d_op, &max_pool1d_relu_op, NULL, x, 1, &window, options);
}

sw_tensor sw_avg_pool1d(sw_tensor x, int64_t window, const sw_pool_options *options) {
    return pool_apply(&avg_pool1d_op, &avg_pool1d_relu_op, &avg_pool1d_signs_op, x, 1, &window, options);
}

static sw_tensor pool_adaptive(const sw_op *op, sw_tensor x, bool average, int64_t out_height, int64_t out_width) {
    const swi_pool_attributes a = {.average = average,
                                   .adaptive = true,
                                   .global = op == &global_max_pool2d_op || op == &global_avg_pool2d_op,
                                   .axes = 2,
                                   .window = {out_height, out_width},
                                   .options.size = sizeof a.options};
    return sw_apply(op, &a, sizeof a, 1, &x);
}

sw_tensor sw_adaptive_max_pool2d(sw_tensor x, int64_t out_height, int64_t out_width) {
    return pool_adaptive(&adaptive_max_pool2d_op, x, false, out_height, out_width);
}

sw_tensor sw_adaptive_avg_pool2d(sw_tensor x, int64_t out_height, int64_t out_width) {
    return pool_adaptive(&adaptive_avg_pool2d_op, x, true, out_height, out_width);
}

sw_tensor sw_global_max_pool2d(sw_tensor x) {
    return pool_adaptive(&global_max_pool2d_op, x, false, 1, 1);
}

sw_tensor sw_global_avg_pool2d(sw_tensor x) {
    return pool_adaptive(&global_avg_pool2d_op, x, true, 1, 1);
}
