/* The options of pooling: ranges and defaults; the lengths of results. */
#include <swale/array.h>
#include <swale/memory.h>
#include <swale/pool_options.h>
#include <swale/text.h>

#include <string.h>

enum { POOL_AXES = 2, POOL_TEXT = 48 };

/* "5×4", or "5" for sequences */
static const char *pool_text(int axes, const int64_t *lengths, char text[POOL_TEXT]) {
    if (axes == 1)
        sw_format(text, POOL_TEXT, "%lld", (long long)lengths[0]);
    else
        sw_format(text, POOL_TEXT, "%lld×%lld", (long long)lengths[0], (long long)lengths[1]);
    return text;
}

static sw_status pool_check_range(const char *who, const char *what, int axes, const int64_t *numbers, int64_t least,
                                  const char *hint) {
    char text[POOL_TEXT];
    for (int i = 0; i < axes; i++)
        if (numbers[i] < least || numbers[i] > INT32_MAX)
            return sw_fail(SW_ERR_ARGUMENT, "%s: %s %s; %lld to 2^31 - 1%s is needed", who, what,
                           pool_text(axes, numbers, text), (long long)least, hint);
    return SW_OK;
}

sw_status sw_pool_check_lengths(const char *who, const char *what, int axes, const int64_t *lengths) {
    return pool_check_range(who, what, axes, lengths, 1, axes == 1 ? "" : " along each axis");
}

/* Fills in the defaults. */
static sw_status pool_complete(const char *who, int axes, const int64_t *window, const sw_pool_options *given,
                               sw_pool_options *o) {
    *o = (sw_pool_options){.size = sizeof *o};
    if (given)
        SW_TRY(sw_options_copy(who, "sw_pool_options", o, sizeof *o, given, sizeof *o));
    if (axes == 1 && (o->stride[1] || o->padding[1] || o->dilation[1]))
        return sw_fail(SW_ERR_ARGUMENT,
                       "%s: stride, padding or dilation of a second axis; the second number must be 0, because there "
                       "is one axis",
                       who);
    if (o->stride[0] == 0 && o->stride[1] == 0)
        memcpy(o->stride, window, (size_t)axes * sizeof *window);
    if (o->dilation[0] == 0 && o->dilation[1] == 0)
        o->dilation[0] = o->dilation[1] = 1;
    return SW_OK;
}

sw_status sw_pool_options_check(const char *who, bool average, int axes, const int64_t *window,
                                const sw_pool_options *options, sw_pool_options *all) {
    sw_pool_options o;
    char a[POOL_TEXT], b[POOL_TEXT];
    bool dilated = false, padded = false;
    SW_TRY(sw_pool_check_lengths(who, "window", axes, window));
    SW_TRY(pool_complete(who, axes, window, options, &o));
    SW_TRY(pool_check_range(who, "stride", axes, o.stride, 1, ", or 0 along all axes for the window,"));
    SW_TRY(pool_check_range(who, "padding", axes, o.padding, 0, ""));
    SW_TRY(pool_check_range(who, "dilation", axes, o.dilation, 1, ", or 0 along all axes for 1,"));
    for (int i = 0; i < axes; i++) {
        dilated = dilated || o.dilation[i] != 1;
        padded = padded || o.padding[i] > window[i] / 2;
    }
    if (average && dilated)
        return sw_fail(SW_ERR_ARGUMENT, "%s: dilation %s; only max pools have one", who,
                       pool_text(axes, o.dilation, a));
    if (padded)
        return sw_fail(SW_ERR_ARGUMENT, "%s: padding %s of a window %s; at most half of the window is possible", who,
                       pool_text(axes, o.padding, a), pool_text(axes, window, b));
    if (!average && axes == 2 && window[0] > INT32_MAX / window[1])
        return sw_fail(SW_ERR_ARGUMENT, "%s: window %s; at most 2^31 - 1 elements are possible", who,
                       pool_text(axes, window, a));
    *all = o;
    return SW_OK;
}

sw_status sw_pool_out_lengths(const char *who, int axes, const int64_t *window, const sw_pool_options *all, int rank,
                              const int64_t *shape, int64_t *out) {
    const int64_t *lengths = shape + rank - 1 - axes;
    int64_t padded[POOL_AXES] = {0}, span[POOL_AXES] = {0};
    bool fits = true;
    SW_TRY(sw_pool_check_lengths(who, axes == 1 ? "a sequence of length" : "a picture of", axes, lengths));
    for (int i = 0; i < axes; i++) {
        const int64_t stride = all->stride[i];
        padded[i] = lengths[i] + 2 * all->padding[i];
        span[i] = (window[i] - 1) * all->dilation[i] + 1;
        const int64_t rest = padded[i] - span[i] + (all->ceil_mode ? stride - 1 : 0);
        out[i] = rest < 0 ? 0 : rest / stride + 1;
        if (all->ceil_mode && out[i] > 0 && (out[i] - 1) * stride >= lengths[i] + all->padding[i])
            out[i]--;
        fits = fits && out[i] > 0;
    }
    char a[POOL_TEXT], b[POOL_TEXT];
    if (!fits)
        return sw_fail(
            SW_ERR_SHAPE, "%s: a window that spans %s is larger than the padded %s %s; choose a smaller one%s", who,
            pool_text(axes, span, a), axes == 1 ? "sequence" : "picture", pool_text(axes, padded, b),
            axes == 2 && sw_seems_channels_first(rank, shape) ? " (move the channels to the last axis?)" : "");
    return SW_OK;
}
