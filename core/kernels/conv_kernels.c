/* Convolutions of pictures with channels last. See conv_kernels.h. */
#include <swale/conv_kernels.h>
#include <swale/kernel.h>

#include "core/kernels/conv_shared.h"
#include "core/kernels/dispatch.h"

#if SW_KERNEL_FIRST
typedef struct conv_args {
    const sw_conv *conv;
    const void *x, *dy;
    void *dw;
} conv_args;
#endif

#if SW_KERNEL_PASS

/* Items are output channels. */
static void SW_K(conv_weight_gradient)(void *args, int64_t begin, int64_t end, double *sums) {
    const conv_args *s = args;
    const sw_conv *c = s->conv;
    const int64_t each = c->inputs / c->groups, outs = c->outputs / c->groups,
                  length = c->kernel_height * c->kernel_width * each, pixels = c->out_height * c->out_width;
    (void)sums;
    memset((real *)s->dw + begin * length, 0, sizeof(real) * (size_t)((end - begin) * length));
    for (int64_t o = begin; o < end; o++)
        for (int64_t pixel = 0; pixel < c->batch * pixels; pixel++) {
            const real d = ((const real *)s->dy)[pixel * c->outputs + o];
            real *dw = (real *)s->dw + o * length;
            for (int64_t u = 0; u < c->kernel_height; u++)
                for (int64_t v = 0; v < c->kernel_width; v++, dw += each) {
                    const int64_t h = pixel % pixels / c->out_width * c->stride[0] + u * c->dilation[0] - c->before[0],
                                  q = pixel % c->out_width * c->stride[1] + v * c->dilation[1] - c->before[1];
                    if (h < 0 || h >= c->height || q < 0 || q >= c->width)
                        continue;
                    const real *x = (const real *)s->x + ((pixel / pixels * c->height + h) * c->width + q) * c->inputs +
                                    o / outs * each;
                    for (int64_t k = 0; k < each; k++)
                        dw[k] += x[k] * d;
                }
        }
}

#else /* ---- once ---- */

static const sw_kernels weight_gradient_kernels = SW_KERNEL_TABLE(conv_weight_gradient);

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

sw_status sw_conv_forward(const sw_conv *conv, const void *x, const void *w, const void *bias, void *y, void *scratch,
                          size_t bytes) {
    SW_TRY(conv_check(conv));
    return conv_dry_run(conv) ? SW_OK : swi_conv_windows(conv, false, x, w, bias, y, scratch, bytes);
}

sw_status sw_conv_input_gradient(const sw_conv *conv, const void *w, const void *dy, void *dx, void *scratch,
                                 size_t bytes) {
    SW_TRY(conv_check(conv));
    return conv_dry_run(conv) ? SW_OK : swi_conv_windows(conv, true, dy, w, NULL, dx, scratch, bytes);
}

sw_status sw_conv_weight_gradient(const sw_conv *conv, const void *x, const void *dy, void *dw, void *scratch,
                                  size_t bytes) {
    SW_TRY(conv_check(conv));
    (void)scratch, (void)bytes;
    conv_args args = {.conv = conv, .x = x, .dy = dy, .dw = dw};
    if (!conv_dry_run(conv))
        sw_kernel_run_rows(weight_gradient_kernels[conv->type][swi_cpu_level()], &args, conv->outputs, SW_TILE, NULL);
    return SW_OK;
}

size_t sw_conv_forward_scratch(const sw_conv *conv) {
    return swi_conv_windows_scratch(conv, false);
}

size_t sw_conv_input_gradient_scratch(const sw_conv *conv) {
    return swi_conv_windows_scratch(conv, true);
}

size_t sw_conv_weight_gradient_scratch(const sw_conv *conv) {
    (void)conv;
    return 0;
}

#endif
