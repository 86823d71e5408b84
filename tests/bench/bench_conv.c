/* Convolutions: the rates of the forward pass, the gradient of the input and the gradient of the weights, relative to
 * sw_gemm in f32 for a product of 1024 × 1024 × 1024, with one and with two threads. Products with zeros around a
 * picture count as operations. The lines that end with _floor relate the time to a floor: the operations at the rate of
 * sw_gemm, or a pass that reads the operands and writes the result once, whichever takes longer. All sides alternate in
 * one run; figures are medians of ratios.
 *
 *     bench_conv [THREADS [NAME]]     all shapes by default; NAME: those that contain the text */
#include "bench.h"

#include <string.h>
#include <swale/conv_kernels.h>
#include <swale/extend.h>
#include <swale/library.h>

enum { ROUNDS = 9, PRODUCT = 1024 };
static const double enough_work = 4e8; /* operations in one measurement */

typedef struct shape {
    const char *name;
    int64_t batch, size, inputs, outputs, kernel, stride, zeros, groups;
} shape;
static const shape shapes[] = {{"lenet_1_16_5x5", 64, 28, 1, 16, 5, 1, 0, 1},
                               {"lenet_16_32_5x5", 64, 12, 16, 32, 5, 1, 0, 1},
                               {"same_1_16_3x3", 512, 28, 1, 16, 3, 1, 1, 1},
                               {"same_16_32_3x3", 512, 14, 16, 32, 3, 1, 1, 1},
                               {"cifar_16_16_3x3", 64, 28, 16, 16, 3, 1, 1, 1},
                               {"cifar_16_32_stride_2", 64, 28, 16, 32, 3, 2, 1, 1},
                               {"cifar_32_32_3x3", 64, 14, 32, 32, 3, 1, 1, 1},
                               {"cifar_16_32_1x1_stride_2", 64, 28, 16, 32, 1, 2, 0, 1},
                               {"cifar_32_64_stride_2", 64, 14, 32, 64, 3, 2, 1, 1},
                               {"cifar_64_64_3x3", 64, 7, 64, 64, 3, 1, 1, 1},
                               {"resnet18_3_64_7x7_stride_2", 2, 224, 3, 64, 7, 2, 3, 1},
                               {"resnet18_64_64_3x3", 2, 56, 64, 64, 3, 1, 1, 1},
                               {"resnet18_128_128_3x3", 2, 28, 128, 128, 3, 1, 1, 1},
                               {"resnet18_256_256_3x3", 2, 14, 256, 256, 3, 1, 1, 1},
                               {"resnet18_512_512_3x3", 2, 7, 512, 512, 3, 1, 1, 1},
                               {"groups_4_64_64_3x3", 64, 28, 64, 64, 3, 1, 1, 4},
                               {"depthwise_64_3x3", 64, 28, 64, 64, 3, 1, 1, 64},
                               {"depthwise_64_3x3_stride_2", 64, 28, 64, 64, 3, 2, 1, 64},
                               {"depthwise_128_5x5", 64, 14, 128, 128, 5, 1, 2, 128}};

typedef struct arrays {
    sw_conv conv;
    float *x, *w, *bias, *y, *dx, *dw, *dy;
    void *scratch[3];
    size_t bytes[3];
} arrays;

static float *filled(int64_t count) {
    float *p = aligned_alloc(64, ((size_t)count * sizeof(float) + 63) / 64 * 64);
    if (!p)
        exit(1);
    for (int64_t i = 0; i < count; i++)
        p[i] = (float)(i * 7919 % 1999) / 1999 - 0.5f;
    return p;
}

static arrays arrays_new(const shape *s) {
    const int64_t out = (s->size + 2 * s->zeros - s->kernel) / s->stride + 1;
    const int64_t x = s->batch * s->size * s->size * s->inputs, y = s->batch * out * out * s->outputs,
                  w = s->outputs * s->kernel * s->kernel * s->inputs / s->groups;
    arrays a = {.conv = {.size = sizeof(sw_conv),
                         .batch = s->batch,
                         .height = s->size,
                         .width = s->size,
                         .inputs = s->inputs,
                         .out_height = out,
                         .out_width = out,
                         .outputs = s->outputs,
                         .kernel_height = s->kernel,
                         .kernel_width = s->kernel,
                         .stride = {s->stride, s->stride},
                         .dilation = {1, 1},
                         .before = {s->zeros, s->zeros},
                         .groups = s->groups},
                .x = filled(x),
                .w = filled(w),
                .bias = filled(s->outputs),
                .y = filled(y),
                .dx = filled(x),
                .dw = filled(w),
                .dy = filled(y)};
    a.bytes[0] = sw_conv_forward_scratch(&a.conv);
    a.bytes[1] = sw_conv_input_gradient_scratch(&a.conv);
    a.bytes[2] = sw_conv_weight_gradient_scratch(&a.conv);
    for (int i = 0; i < 3; i++)
        a.scratch[i] = filled((int64_t)(a.bytes[i] / sizeof(float)) + 1);
    return a;
}

static void arrays_free(arrays *a) {
    free(a->x), free(a->w), free(a->bias), free(a->y), free(a->dx), free(a->dw), free(a->dy);
    for (int i = 0; i < 3; i++)
        free(a->scratch[i]);
}

static double operations(const sw_conv *c) {
    return 2.0 * (double)(c->batch * c->out_height * c->out_width * c->outputs * c->kernel_height * c->kernel_width) *
           (double)(c->inputs / c->groups);
}

static void run_once(const arrays *a, int which) {
    sw_status status = SW_OK;
    if (which == 0)
        status = sw_conv_forward(&a->conv, a->x, a->w, a->bias, a->y, a->scratch[0], a->bytes[0]);
    else if (which == 1)
        status = sw_conv_input_gradient(&a->conv, a->w, a->dy, a->dx, a->scratch[1], a->bytes[1]);
    else
        status = sw_conv_weight_gradient(&a->conv, a->x, a->dy, a->dw, a->scratch[2], a->bytes[2]);
    if (status != SW_OK)
        exit(1);
}

/* Operations a second. */
static double conv_rate(const arrays *a, int which) {
    const int repetitions = 1 + (int)(enough_work / operations(&a->conv));
    const double start = now();
    for (int r = 0; r < repetitions; r++)
        run_once(a, which);
    return operations(&a->conv) * repetitions / (now() - start);
}

/* Seconds of a pass that reads the operands and writes the result of a product, block by block. The result is
 * overwritten. Where a stride passes over pixels of x, their part of x is not read. */
static double pass_time(const arrays *a, int which) {
    enum { BLOCKS = 256 };
    const sw_conv *c = &a->conv;
    const int64_t used = c->kernel_height < c->stride[0] ? c->stride[0] * c->stride[1] : 1,
                  x = c->batch * c->height * c->width * c->inputs / (which == 1 ? 1 : used),
                  y = c->batch * c->out_height * c->out_width * c->outputs,
                  w = c->outputs * c->kernel_height * c->kernel_width * (c->inputs / c->groups);
    const float *from[2] = {which == 1 ? a->dy : a->x, which == 2 ? a->dy : a->w};
    const int64_t length[3] = {which == 1 ? y : x, which == 2 ? y : w, which == 0 ? y : which == 1 ? x : w};
    float *to = which == 0 ? a->y : which == 1 ? a->dx : a->dw;
    float sum[16] = {0};
    const double start = now();
    for (int64_t block = 0; block < BLOCKS; block++) {
        for (int k = 0; k < 2; k++)
            for (int64_t i = length[k] * block / BLOCKS; i + 16 <= length[k] * (block + 1) / BLOCKS; i += 16)
                for (int lane = 0; lane < 16; lane++)
                    sum[lane] += from[k][i + lane];
        const int64_t begin = length[2] * block / BLOCKS, end = length[2] * (block + 1) / BLOCKS;
        memset(to + begin, 0, sizeof(float) * (size_t)(end - begin));
    }
    *(volatile float *)to = sum[0];
    return now() - start;
}

static double product_rate(float *const m[3]) {
    const double start = now();
    if (sw_gemm(SW_F32, false, true, PRODUCT, PRODUCT, PRODUCT, 1, m[0], PRODUCT, m[1], PRODUCT, 0, m[2], PRODUCT) !=
        SW_OK)
        exit(1);
    return 2.0 * PRODUCT * PRODUCT * PRODUCT / (now() - start);
}

typedef struct rates {
    double rate[ROUNDS], ratio[ROUNDS], floor[ROUNDS];
} rates;

/* The floor of two threads is half of that of one, which is what a second core can reach at best. */
static void measure_product(const arrays *a, int which, int threads, float *const m[3], rates *r) {
    run_once(a, which);
    pass_time(a, which);
    for (int i = 0; i < ROUNDS; i++) {
        r->rate[i] = conv_rate(a, which);
        const double product = product_rate(m), bytes = pass_time(a, which) / threads,
                     arithmetic = operations(&a->conv) / product;
        r->ratio[i] = r->rate[i] / product;
        r->floor[i] = (bytes > arithmetic ? bytes : arithmetic) * r->rate[i] / operations(&a->conv);
    }
}

static void measure(const shape *s, int threads, float *const m[3]) {
    static const char *const names[] = {"y", "dx", "dw"};
    arrays a = arrays_new(s);
    const double target = s->inputs >= 16 ? 0.95 : 0.8;
    for (int which = 0; which < 3; which++) {
        rates r;
        char name[64], floor_name[80];
        if (which == 1 && s->inputs < 16) /* the gradient of a picture is not needed */
            continue;
        measure_product(&a, which, threads, m, &r);
        snprintf(name, sizeof name, "conv_%s_%s_%d", s->name, names[which], threads);
        snprintf(floor_name, sizeof floor_name, "%s_floor", name);
        note("%s: %.0f GF/s, %.3f ms", name, median(r.rate, ROUNDS) * 1e-9,
             operations(&a.conv) / median(r.rate, ROUNDS) * 1e3);
        if (threads == 1 && s->groups == 1) {
            figure(name, median(r.ratio, ROUNDS), target, AT_LEAST);
            figure(floor_name, median(r.floor, ROUNDS), target, AT_LEAST);
        } else {
            report(name, median(r.ratio, ROUNDS));
            report(floor_name, median(r.floor, ROUNDS));
        }
    }
    arrays_free(&a);
}

int main(int argc, char **argv) {
    float *const m[3] = {filled(PRODUCT * PRODUCT), filled(PRODUCT * PRODUCT), filled(PRODUCT * PRODUCT)};
    const int only = argc > 1 ? atoi(argv[1]) : 0;
    note("%s", sw_build_info());
    for (int threads = 1; threads <= 2; threads++) {
        if (only > 0 && threads != only)
            continue;
        sw_set_threads(threads);
        product_rate(m);
        note("%d threads, scaling of arithmetic %.2f, sgemm %.0f GF/s", threads, fma_scaling(), product_rate(m) * 1e-9);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            if (argc < 3 || strstr(shapes[i].name, argv[2]))
                measure(&shapes[i], threads, m);
    }
    free(m[0]), free(m[1]), free(m[2]);
    return 0;
}
