/* Convolutions of pictures with channels last. See conv_kernels.h. */
#include <swale/conv_kernels.h>
#include <swale/kernel.h>

#include "core/kernels/dispatch.h"

#if SW_KERNEL_FIRST
typedef struct conv_args {
    const sw_conv *conv;
    const void *x, *w, *dy, *bias;
    void *y, *dx, *dw;
} conv_args;
#endif

#if SW_KERNEL_PASS

/* Items are rows of y. */
static void SW_K(conv_forward)(void *args, int64_t begin, int64_t end, double *sums) {
    const conv_args *s = args;
    const sw_conv *c = s->conv;
    const int64_t each = c->inputs / c->groups, outs = c->outputs / c->groups;
    const real *bias = s->bias;
    (void)sums;
    for (int64_t row = begin; row < end; row++)
        for (int64_t j = 0; j < c->out_width; j++)
            for (int64_t o = 0; o < c->outputs; o++) {
                const real *w = (const real *)s->w + o * c->kernel_height * c->kernel_width * each;
                real sum = bias ? bias[o] : 0;
                for (int64_t u = 0; u < c->kernel_height; u++)
                    for (int64_t v = 0; v < c->kernel_width; v++, w += each) {
                        const int64_t h = row % c->out_height * c->stride[0] + u * c->dilation[0] - c->before[0],
                                      q = j * c->stride[1] + v * c->dilation[1] - c->before[1];
                        if (h < 0 || h >= c->height || q < 0 || q >= c->width)
                            continue;
                        const real *x = (const real *)s->x +
                                        ((row / c->out_height * c->height + h) * c->width + q) * c->inputs +
                                        o / outs * each;
                        for (int64_t k = 0; k < each; k++)
                            sum += x[k] * w[k];
                    }
                ((real *)s->y)[(row * c->out_width + j) * c->outputs + o] = sum;
            }
}

/* Items are samples. */
static void SW_K(conv_input_gradient)(void *args, int64_t begin, int64_t end, double *sums) {
    const conv_args *s = args;
    const sw_conv *c = s->conv;
    const int64_t each = c->inputs / c->groups, outs = c->outputs / c->groups;
    (void)sums;
    for (int64_t n = begin; n < end; n++) {
        real *to = (real *)s->dx + n * c->height * c->width * c->inputs;
        const real *dy = (const real *)s->dy + n * c->out_height * c->out_width * c->outputs;
        memset(to, 0, sizeof(real) * (size_t)(c->height * c->width * c->inputs));
        for (int64_t pixel = 0; pixel < c->out_height * c->out_width; pixel++)
            for (int64_t o = 0; o < c->outputs; o++) {
                const real *w = (const real *)s->w + o * c->kernel_height * c->kernel_width * each;
                for (int64_t u = 0; u < c->kernel_height; u++)
                    for (int64_t v = 0; v < c->kernel_width; v++, w += each) {
                        const int64_t h = pixel / c->out_width * c->stride[0] + u * c->dilation[0] - c->before[0],
                                      q = pixel % c->out_width * c->stride[1] + v * c->dilation[1] - c->before[1];
                        if (h < 0 || h >= c->height || q < 0 || q >= c->width)
                            continue;
                        real *dx = to + (h * c->width + q) * c->inputs + o / outs * each;
                        for (int64_t k = 0; k < each; k++)
                            dx[k] += dy[pixel * c->outputs + o] * w[k];
                    }
            }
    }
}

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

static const sw_kernels forward_kernels = SW_KERNEL_TABLE(conv_forward);
static const sw_kernels input_gradient_kernels = SW_KERNEL_TABLE(conv_input_gradient);
static const sw_kernels weight_gradient_kernels = SW_KERNEL_TABLE(conv_weight_gradient);

static sw_status conv_check(const sw_conv *c) {
    if (!c || c->size < sizeof *c)
        return sw_fail(SW_ERR_ARGUMENT, "conv: %s", c ? "its size must be sizeof(sw_conv)" : "it is NULL");
    if (c->type != SW_F32 && c->type != SW_F64)
        return sw_fail(SW_ERR_TYPE, "conv: the type is %s; f32 or f64 is needed", sw_dtype_name(c->type));
    return SW_OK;
}

static sw_status conv_run(const sw_kernels *kernels, conv_args *args, int64_t items, int64_t length) {
    const sw_conv *c = args->conv;
    if (swi_dry_run())
        sw_dry_run_count_product(c->batch * c->out_height * c->out_width, c->outputs,
                                 c->kernel_height * c->kernel_width * (c->inputs / c->groups));
    sw_kernel_run_rows((*kernels)[c->type][swi_cpu_level()], args, items, length, NULL);
    return SW_OK;
}

sw_status sw_conv_forward(const sw_conv *conv, const void *x, const void *w, const void *bias, void *y, void *scratch,
                          size_t bytes) {
    SW_TRY(conv_check(conv));
    (void)scratch, (void)bytes;
    conv_args args = {.conv = conv, .x = x, .w = w, .bias = bias, .y = y};
    return conv_run(&forward_kernels, &args, conv->batch * conv->out_height, SW_TILE);
}

sw_status sw_conv_input_gradient(const sw_conv *conv, const void *w, const void *dy, void *dx, void *scratch,
                                 size_t bytes) {
    SW_TRY(conv_check(conv));
    (void)scratch, (void)bytes;
    conv_args args = {.conv = conv, .w = w, .dy = dy, .dx = dx};
    return conv_run(&input_gradient_kernels, &args, conv->batch, SW_TILE);
}

sw_status sw_conv_weight_gradient(const sw_conv *conv, const void *x, const void *dy, void *dw, void *scratch,
                                  size_t bytes) {
    SW_TRY(conv_check(conv));
    (void)scratch, (void)bytes;
    conv_args args = {.conv = conv, .x = x, .dy = dy, .dw = dw};
    return conv_run(&weight_gradient_kernels, &args, conv->outputs, SW_TILE);
}

size_t sw_conv_forward_scratch(const sw_conv *conv) {
    (void)conv;
    return 0;
}

size_t sw_conv_input_gradient_scratch(const sw_conv *conv) {
    (void)conv;
    return 0;
}

size_t sw_conv_weight_gradient_scratch(const sw_conv *conv) {
    (void)conv;
    return 0;
}

#endif
