/* The options of convolutions: ranges and defaults; the lengths of results. */
#include <swale/array.h>
#include <swale/conv_options.h>
#include <swale/memory.h>
#include <swale/text.h>

static const int64_t longest = INT32_MAX; /* of an axis: no product of two lengths overflows */

/* ---- Options ---- */

/* Fills in the default of a pair, and checks its range. For conv1d, a picture of height 1 gets `fallback` along H. */
static sw_status conv_check_pair(const char *who, sw_conv_kind kind, const char *name, int64_t *pair, int64_t least) {
    if (kind == SW_CONV1D) {
        if (pair[1] != 0)
            return sw_fail(SW_ERR_ARGUMENT, "%s: %s %s; the second number must be 0, because there is one axis", who,
                           name, sw_shape_text(2, pair));
        if (pair[0] == 0)
            pair[0] = least;
        if (pair[0] < least || pair[0] > longest)
            return sw_fail(SW_ERR_ARGUMENT, "%s: %s %lld; %lld to %lld is needed", who, name, (long long)pair[0],
                           (long long)least, (long long)longest);
        pair[1] = pair[0];
        pair[0] = least;
        return SW_OK;
    }
    if (pair[0] == 0 && pair[1] == 0)
        pair[0] = pair[1] = least;
    for (int i = 0; i < 2; i++)
        if (pair[i] < least || pair[i] > longest)
            return sw_fail(SW_ERR_ARGUMENT, "%s: %s %s; %lld to %lld along each axis%s is needed", who, name,
                           sw_shape_text(2, pair), (long long)least, (long long)longest,
                           least == 1 ? ", or [0,0] for the default [1,1]," : "");
    return SW_OK;
}

static sw_status conv_check_output_padding(const char *who, sw_conv_kind kind, const sw_conv_options *o) {
    const int64_t *extra = o->output_padding;
    if (kind != SW_CONV2D_TRANSPOSED)
        return extra[0] == 0 && extra[1] == 0
                   ? SW_OK
                   : sw_fail(SW_ERR_ARGUMENT, "%s: output_padding %s; only transposed convolutions have it", who,
                             sw_shape_text(2, extra));
    for (int i = 0; i < 2; i++)
        if (extra[i] < 0 || (extra[i] >= o->stride[i] && extra[i] >= o->dilation[i]))
            return sw_fail(
                SW_ERR_ARGUMENT,
                "%s: output_padding %s with stride %s and dilation %s; along each axis it must be 0 or more, "
                "and below the stride or the dilation",
                who, sw_shape_text(2, extra), sw_shape_text(2, o->stride), sw_shape_text(2, o->dilation));
    return SW_OK;
}

static sw_status conv_check_same(const char *who, sw_conv_kind kind, const sw_conv_options *o) {
    if (!o->same)
        return SW_OK;
    if (kind == SW_CONV2D_TRANSPOSED)
        return sw_fail(SW_ERR_ARGUMENT, "%s: same; a transposed convolution needs padding and output_padding", who);
    if (o->padding[0] != 0 || o->padding[1] != 0)
        return sw_fail(SW_ERR_ARGUMENT, "%s: padding %s and same; give one of them", who, sw_shape_text(2, o->padding));
    return SW_OK;
}

sw_status sw_conv_options_check(const char *who, sw_conv_kind kind, const sw_conv_options *options,
                                sw_conv_options *all) {
    sw_conv_options o = {.size = sizeof o};
    if (options)
        SW_TRY(sw_options_copy(who, "sw_conv_options", &o, sizeof o, options, sizeof o));
    o.size = sizeof o;
    SW_TRY(conv_check_same(who, kind, &o));
    SW_TRY(conv_check_pair(who, kind, "stride", o.stride, 1));
    SW_TRY(conv_check_pair(who, kind, "padding", o.padding, 0));
    SW_TRY(conv_check_pair(who, kind, "dilation", o.dilation, 1));
    SW_TRY(conv_check_output_padding(who, kind, &o));
    if (o.groups < 0 || o.groups > longest)
        return sw_fail(SW_ERR_ARGUMENT, "%s: groups %lld; 1 to %lld is needed (0: 1)", who, (long long)o.groups,
                       (long long)longest);
    if (o.groups == 0)
        o.groups = 1;
    *all = o;
    return SW_OK;
}

/* ---- Lengths ---- */

/* The axis of a picture [..., H, W, C], or of a signal [..., L, C], which has none along H (-1). */
static int conv_axis(sw_conv_kind kind, int rank, int axis) {
    return kind == SW_CONV1D ? (axis == 1 ? rank - 2 : -1) : rank - 3 + axis;
}

static sw_status conv_fail_kernel(const char *who, sw_conv_kind kind, const sw_conv_options *o, int axis, int rank,
                                  const int64_t *shape, int64_t kernel, int64_t padded, int64_t span) {
    return sw_fail(
        SW_ERR_SHAPE,
        "%s: axis %d of %s has %lld element%s with padding %lld, but a kernel of %lld with dilation %lld spans "
        "%lld; a smaller kernel or more padding is needed%s",
        who, conv_axis(kind, rank, axis), sw_shape_text(rank, shape), (long long)padded, padded == 1 ? "" : "s",
        (long long)o->padding[axis], (long long)kernel, (long long)o->dilation[axis], (long long)span,
        kind == SW_CONV2D && sw_seems_channels_first(rank, shape) ? " (move the channels to the last axis?)" : "");
}

static sw_status conv_fail_transposed(const char *who, const sw_conv_options *o, int axis, const char *input, int at,
                                      int64_t kernel, int64_t result) {
    return sw_fail(SW_ERR_SHAPE,
                   "%s: axis %d of the result would have length %lld, from %s, a kernel of %lld and padding %lld; less "
                   "padding or a larger kernel is needed",
                   who, at, (long long)result, input, (long long)kernel, (long long)o->padding[axis]);
}

sw_status sw_conv_out_length(const char *who, sw_conv_kind kind, const sw_conv_options *o, int axis, int rank,
                             const int64_t *shape, int64_t kernel, int64_t *out, int64_t *before) {
    const int at = conv_axis(kind, rank, axis);
    const int64_t length = at < 0 ? 1 : shape[at], stride = o->stride[axis];
    if (length > longest || kernel < 1 || kernel > longest)
        return sw_fail(SW_ERR_SHAPE, "%s: axis %d of %s and a kernel of %lld; at most %lld and 1 to %lld are possible",
                       who, at, sw_shape_text(rank, shape), (long long)kernel, (long long)longest, (long long)longest);
    const int64_t span = o->dilation[axis] * (kernel - 1) + 1;
    int64_t zeros = o->padding[axis], result;
    if (kind == SW_CONV2D_TRANSPOSED) {
        result = (length - 1) * stride - 2 * zeros + span + o->output_padding[axis];
        if (result < 1)
            return conv_fail_transposed(who, o, axis, sw_shape_text(rank, shape), at, kernel, result);
    } else if (o->same) {
        result = (length + stride - 1) / stride;
        const int64_t missing = (result - 1) * stride + span - length;
        zeros = missing > 0 ? missing / 2 : 0;
    } else {
        if (length + 2 * zeros < span)
            return conv_fail_kernel(who, kind, o, axis, rank, shape, kernel, length + 2 * zeros, span);
        result = (length + 2 * zeros - span) / stride + 1;
    }
    if (result > longest)
        return sw_fail(SW_ERR_SHAPE, "%s: axis %d of the result would have length %lld; at most %lld is possible", who,
                       at, (long long)result, (long long)longest);
    *out = result;
    if (before)
        *before = zeros;
    return SW_OK;
}
