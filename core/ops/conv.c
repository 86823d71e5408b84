/* Convolutions of pictures and signals, and transposed convolutions. The transposed convolution is the gradient of a
 * convolution by its input, so that each of its three products is one of the three products of that convolution. */
#include <swale/conv.h>
#include <swale/conv_kernels.h>
#include <swale/extend.h>
#include <swale/unary.h>

#include "core/ops/conv_call.h"
#include "core/ops/shared.h"

static sw_conv_kind conv_kind(const sw_call *c) {
    return ((const swi_conv_attributes *)c->attributes)->kind;
}

/* ---- Shapes ---- */

/* The axes of a picture or of a signal. */
static int conv_axes(sw_conv_kind kind) {
    return kind == SW_CONV1D ? 1 : 2;
}

static sw_status conv_check_ranks(const sw_call *c, sw_conv_kind kind) {
    static const char *const needed[] = {[SW_CONV1D] = "[N,L,C] and [out,k,C/groups]",
                                         [SW_CONV2D] = "[N,H,W,C] and [out,kh,kw,C/groups]",
                                         [SW_CONV2D_TRANSPOSED] = "[N,H,W,in] and [in,kh,kw,out/groups]"};
    const sw_view *x = c->in[0], *w = c->in[1];
    const int rank = conv_axes(kind) + 2;
    if (x->rank == rank && w->rank == rank)
        return SW_OK;
    return sw_fail(
        SW_ERR_SHAPE, "%s: input %s and weight %s; %s are needed%s", c->op->name, sw_shape_text(x->rank, x->shape),
        sw_shape_text(w->rank, w->shape), needed[kind],
        x->rank == rank - 1 && w->rank == rank ? " (add the axis of one channel or of one sample: sw_reshape?)" : "");
}

/* For an input that seems to have its channels first, [N,C,H,W]: `part` channels in each group. */
static const char *conv_hint(const sw_view *x, int64_t groups, int64_t part) {
    return part > 0 && x->shape[1] % groups == 0 && x->shape[1] / groups == part
               ? " (move the channels to the last axis: sw_permute?)"
               : "";
}

static sw_status conv_check_channels(const sw_call *c, const swi_conv_attributes *a) {
    const sw_view *x = c->in[0], *w = c->in[1];
    const int last = x->rank - 1;
    const int64_t groups = a->options.groups, have = x->shape[last];
    if (w->shape[0] % groups != 0)
        return sw_fail(SW_ERR_SHAPE, "%s: weight %s in %lld groups; axis 0 (%lld) must be a multiple of the groups",
                       c->op->name, sw_shape_text(w->rank, w->shape), (long long)groups, (long long)w->shape[0]);
    if (w->shape[last] > INT32_MAX) /* the product with the groups does not overflow */
        return sw_fail(SW_ERR_SHAPE, "%s: axis %d of %s is too long", c->op->name, last,
                       sw_shape_text(w->rank, w->shape));
    if (a->kind == SW_CONV2D_TRANSPOSED) {
        if (have == w->shape[0])
            return SW_OK;
        return sw_fail(
            SW_ERR_SHAPE,
            "%s: input %s and weight %s; axis 3 of the input (%lld) must equal axis 0 of the weight (%lld)%s",
            c->op->name, sw_shape_text(x->rank, x->shape), sw_shape_text(w->rank, w->shape), (long long)have,
            (long long)w->shape[0], conv_hint(x, 1, w->shape[0]));
    }
    const int64_t part = w->shape[last];
    if (have % groups == 0 && have / groups == part)
        return SW_OK;
    const char *hint = conv_hint(x, groups, part), *x_text = sw_shape_text(x->rank, x->shape),
               *w_text = sw_shape_text(w->rank, w->shape);
    if (groups == 1)
        return sw_fail(
            SW_ERR_SHAPE,
            "%s: input %s and weight %s; axis %d of the input (%lld) must equal axis %d of the weight (%lld)%s",
            c->op->name, x_text, w_text, last, (long long)have, last, (long long)part, hint);
    return sw_fail(
        SW_ERR_SHAPE,
        "%s: input %s and weight %s in %lld groups; axis %d of the input (%lld) must be %lld times axis %d of "
        "the weight (%lld)%s",
        c->op->name, x_text, w_text, (long long)groups, last, (long long)have, (long long)groups, last, (long long)part,
        hint);
}

sw_status swi_conv_out_shape(sw_call *c, const swi_conv_attributes *a, int64_t shape[4]) {
    const sw_view *x = c->in[0], *w = c->in[1];
    const int axes = conv_axes(a->kind);
    SW_TRY(sw_call_check_real(c));
    SW_TRY(conv_check_ranks(c, a->kind));
    SW_TRY(conv_check_channels(c, a));
    for (int i = 1; i <= axes; i++)
        SW_TRY(sw_conv_out_length(c->op->name, a->kind, &a->options, i - 1 + (axes == 1), x->rank, x->shape,
                                  w->shape[i], &shape[i], NULL));
    shape[0] = x->shape[0];
    shape[axes + 1] = a->kind == SW_CONV2D_TRANSPOSED ? w->shape[3] * a->options.groups : w->shape[0];
    if (c->inputs == 3 && (c->in[2]->rank != 1 || c->in[2]->shape[0] != shape[axes + 1]))
        return sw_fail(SW_ERR_SHAPE, "%s: weight %s and bias %s; the bias must be [%lld]", c->op->name,
                       sw_shape_text(w->rank, w->shape), sw_shape_text(c->in[2]->rank, c->in[2]->shape),
                       (long long)shape[axes + 1]);
    return SW_OK;
}

static sw_status conv_shape(sw_call *c) {
    int64_t shape[4] = {0};
    SW_TRY(swi_conv_out_shape(c, c->attributes, shape));
    return sw_call_set_shape(c, c->in[0]->type, c->in[0]->rank, shape);
}

/* ---- The convolution of a call ---- */

sw_status swi_conv_of(const sw_call *c, const swi_conv_attributes *a, const int64_t *shape, sw_conv *conv) {
    const sw_conv_options *o = &a->options;
    const bool transposed = a->kind == SW_CONV2D_TRANSPOSED;
    const int64_t *x = c->in[0]->shape, *w = c->in[1]->shape, *in = transposed ? shape : x,
                  *out = transposed ? x : shape;
    const int axes = conv_axes(a->kind);
    *conv = (sw_conv){.size = sizeof *conv,
                      .type = c->in[0]->type,
                      .batch = x[0],
                      .height = axes == 2 ? in[1] : 1,
                      .width = in[axes],
                      .inputs = in[axes + 1],
                      .out_height = axes == 2 ? out[1] : 1,
                      .out_width = out[axes],
                      .outputs = out[axes + 1],
                      .kernel_height = axes == 2 ? w[1] : 1,
                      .kernel_width = w[axes],
                      .stride = {o->stride[0], o->stride[1]},
                      .dilation = {o->dilation[0], o->dilation[1]},
                      .before = {o->padding[0], o->padding[1]},
                      .groups = o->groups};
    for (int i = 0; i < 2 && o->same; i++) {
        int64_t length;
        SW_TRY(sw_conv_out_length(c->op->name, a->kind, o, i, c->in[0]->rank, x, i ? w[axes] : conv->kernel_height,
                                  &length, &conv->before[i]));
    }
    return SW_OK;
}

static sw_status conv_of(const sw_call *c, sw_conv *conv) {
    return swi_conv_of(c, c->attributes, c->out->shape, conv);
}

sw_status swi_conv_scratch(sw_call *c, size_t bytes, void **scratch) {
    *scratch = bytes ? sw_call_scratch(c, bytes) : NULL;
    return bytes && !*scratch ? SW_ERR_MEMORY : SW_OK;
}

/* ---- Forward ---- */

static sw_status conv_forward(sw_call *c) {
    sw_conv conv;
    void *scratch;
    SW_TRY(conv_of(c, &conv));
    const size_t bytes = sw_conv_forward_scratch(&conv);
    SW_TRY(swi_conv_scratch(c, bytes, &scratch));
    return sw_conv_forward(&conv, c->in[0]->data, c->in[1]->data, c->inputs == 3 ? c->in[2]->data : NULL, c->out->data,
                           scratch, bytes);
}

static sw_status conv_transposed_forward(sw_call *c) {
    sw_conv conv;
    void *scratch;
    SW_TRY(conv_of(c, &conv));
    const size_t bytes = sw_conv_input_gradient_scratch(&conv);
    SW_TRY(swi_conv_scratch(c, bytes, &scratch));
    SW_TRY(sw_conv_input_gradient(&conv, c->in[1]->data, c->in[0]->data, c->out->data, scratch, bytes));
    if (c->inputs == 3)
        sw_binary_run(&swi_add_kernels, c->out, c->in[2], c->out);
    return SW_OK;
}

/* ---- Gradients ---- */

static sw_status conv_bias_gradient(sw_call *c) {
    if (c->inputs < 3 || !sw_call_wants_grad(c, 2))
        return SW_OK;
    void *db = sw_call_grad(c, 2);
    if (!db)
        return SW_ERR_MEMORY;
    swi_conv_bias bias = swi_conv_bias_new(c->out->type, c->out->rank, c->out->shape);
    if (!(bias.sums = sw_call_scratch(c, swi_conv_bias_bytes(&bias))))
        return SW_ERR_MEMORY;
    swi_conv_bias_add_all(&bias, c->cotangent);
    swi_conv_bias_finish(&bias, db);
    return SW_OK;
}

/* dX and dW. Of a transposed convolution, the input is the gradient of the convolution's output, and the cotangent has
 * the shape of its input. */
static sw_status conv_vjp(sw_call *c) {
    const bool transposed = conv_kind(c) == SW_CONV2D_TRANSPOSED, dx_wanted = sw_call_wants_grad(c, 0),
               dw_wanted = sw_call_wants_grad(c, 1);
    const void *x = c->in[0]->data, *w = c->in[1]->data, *dy = c->cotangent;
    void *scratch, *dx = NULL, *dw = NULL;
    sw_conv conv;
    if ((dx_wanted && !(dx = sw_call_grad(c, 0))) || (dw_wanted && !(dw = sw_call_grad(c, 1))))
        return SW_ERR_MEMORY;
    SW_TRY(conv_of(c, &conv));
    const size_t dx_bytes = !dx_wanted   ? 0
                            : transposed ? sw_conv_forward_scratch(&conv)
                                         : sw_conv_input_gradient_scratch(&conv),
                 dw_bytes = dw_wanted ? sw_conv_weight_gradient_scratch(&conv) : 0,
                 bytes = dx_bytes > dw_bytes ? dx_bytes : dw_bytes;
    SW_TRY(swi_conv_scratch(c, bytes, &scratch));
    if (dx_wanted)
        SW_TRY(transposed ? sw_conv_forward(&conv, dy, w, NULL, dx, scratch, bytes)
                          : sw_conv_input_gradient(&conv, w, dy, dx, scratch, bytes));
    if (dw_wanted) {
        SW_TRY(sw_conv_weight_gradient(&conv, transposed ? dy : x, transposed ? x : dy, dw, scratch, bytes));
        sw_squares_report(sw_call_squares(c, 1), dw, c->in[1]->count);
    }
    return conv_bias_gradient(c);
}

/* ---- The operations ---- */

#define CONVOLUTION(id, forward_of)                      \
    static const sw_op id##_op = {.size = sizeof(sw_op), \
                                  .name = #id,           \
                                  .shape = conv_shape,   \
                                  .forward = forward_of, \
                                  .vjp = conv_vjp,       \
                                  .vjp_reads = SW_READS(0) | SW_READS(1)};
CONVOLUTION(conv1d, conv_forward)
CONVOLUTION(conv2d, conv_forward)
CONVOLUTION(conv2d_transposed, conv_transposed_forward)

bool swi_conv_attributes_of(const char *who, sw_conv_kind kind, sw_tensor bias, const sw_conv_options *options,
                            swi_conv_attributes *a) {
    const bool fails = sw_error() != NULL, no_bias = sw_is_null(bias);
    *a = (swi_conv_attributes){.kind = kind};
    if (sw_conv_options_check(who, kind, options, &a->options) != SW_OK)
        return false;
    if (!no_bias && a->options.no_bias)
        sw_fail(SW_ERR_ARGUMENT, "%s: a bias and no_bias; give one of them", who);
    return no_bias ? !fails || a->options.no_bias : !a->options.no_bias;
}

static sw_tensor conv_apply(const sw_op *op, sw_conv_kind kind, sw_tensor x, sw_tensor weight, sw_tensor bias,
                            const sw_conv_options *options) {
    swi_conv_attributes a;
    if (!swi_conv_attributes_of(op->name, kind, bias, options, &a))
        return (sw_tensor){0};
    return sw_apply(op, &a, sizeof a, sw_is_null(bias) ? 2 : 3, (sw_tensor[]){x, weight, bias});
}

sw_tensor sw_conv1d(sw_tensor x, sw_tensor weight, sw_tensor bias, const sw_conv_options *options) {
    return conv_apply(&conv1d_op, SW_CONV1D, x, weight, bias, options);
}

sw_tensor sw_conv2d(sw_tensor x, sw_tensor weight, sw_tensor bias, const sw_conv_options *options) {
    return conv_apply(&conv2d_op, SW_CONV2D, x, weight, bias, options);
}

sw_tensor sw_conv2d_transposed(sw_tensor x, sw_tensor weight, sw_tensor bias, const sw_conv_options *options) {
    return conv_apply(&conv2d_transposed_op, SW_CONV2D_TRANSPOSED, x, weight, bias, options);
}
