/* Convolutions of pictures with channels last: the public functions. See conv_kernels.h. */
#include <swale/conv_kernels.h>
#include <swale/status.h>

#include "core/kernels/conv_depthwise.h"
#include "core/kernels/conv_shared.h"
#include "core/kernels/conv_winograd.h"
#include "core/kernels/dispatch.h"

static sw_status conv_check(const sw_conv *c) {
    if (!c || c->size < sizeof *c)
        return sw_fail(SW_ERR_ARGUMENT, "conv: %s", c ? "its size must be sizeof(sw_conv)" : "it is NULL");
    if (c->type != SW_F32 && c->type != SW_F64)
        return sw_fail(SW_ERR_TYPE, "conv: the type is %s; f32 or f64 is needed", sw_dtype_name(c->type));
    return SW_OK;
}

/* Whether the arithmetic is only counted. */
static bool conv_dry_run(const sw_conv *c) {
    if (!swi_dry_run())
        return false;
    sw_dry_run_count_product(c->batch * c->out_height * c->out_width, c->outputs,
                             c->kernel_height * c->kernel_width * (c->inputs / c->groups));
    return true;
}

static sw_status conv_windows(const sw_conv *c, bool gradient, const void *picture, const void *w, const void *bias,
                              void *result, void *scratch, size_t bytes) {
    SW_TRY(conv_check(c));
    if (conv_dry_run(c))
        return SW_OK;
    if (swi_depthwise_fits(c))
        return swi_depthwise_windows(c, gradient, picture, w, bias, result, scratch, bytes);
    if (swi_winograd_fits(c, gradient ? SWI_CONV_INPUT : SWI_CONV_FORWARD))
        return swi_winograd_windows(c, gradient, picture, w, bias, result, scratch, bytes);
    return swi_conv_windows(c, gradient, picture, w, bias, result, scratch, bytes);
}

sw_status sw_conv_forward(const sw_conv *conv, const void *x, const void *w, const void *bias, void *y, void *scratch,
                          size_t bytes) {
    return conv_windows(conv, false, x, w, bias, y, scratch, bytes);
}

sw_status sw_conv_input_gradient(const sw_conv *conv, const void *w, const void *dy, void *dx, void *scratch,
                                 size_t bytes) {
    return conv_windows(conv, true, dy, w, NULL, dx, scratch, bytes);
}

sw_status sw_conv_weight_gradient(const sw_conv *conv, const void *x, const void *dy, void *dw, void *scratch,
                                  size_t bytes) {
    SW_TRY(conv_check(conv));
    if (conv_dry_run(conv))
        return SW_OK;
    if (swi_depthwise_fits(conv))
        return swi_depthwise_weights_gradient(conv, x, dy, dw, scratch, bytes);
    if (swi_winograd_fits(conv, SWI_CONV_WEIGHTS))
        return swi_winograd_weights_gradient(conv, x, dy, dw, scratch, bytes);
    return swi_conv_weights(conv, x, dy, dw, scratch, bytes);
}

static size_t conv_windows_scratch(const sw_conv *c, bool gradient) {
    const swi_conv_purpose purpose = gradient ? SWI_CONV_INPUT : SWI_CONV_FORWARD;
    if (swi_depthwise_fits(c))
        return swi_depthwise_scratch(c, purpose);
    return swi_winograd_fits(c, purpose) ? swi_winograd_scratch(c, purpose) : swi_conv_windows_scratch(c, gradient);
}

size_t sw_conv_forward_scratch(const sw_conv *conv) {
    return conv_windows_scratch(conv, false);
}

size_t sw_conv_input_gradient_scratch(const sw_conv *conv) {
    return conv_windows_scratch(conv, true);
}

size_t sw_conv_weight_gradient_scratch(const sw_conv *conv) {
    if (swi_depthwise_fits(conv))
        return swi_depthwise_scratch(conv, SWI_CONV_WEIGHTS);
    return swi_winograd_fits(conv, SWI_CONV_WEIGHTS) ? swi_winograd_scratch(conv, SWI_CONV_WEIGHTS)
                                                     : swi_conv_weights_scratch(conv);
}
