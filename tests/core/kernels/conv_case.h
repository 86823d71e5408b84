/* Convolutions and their gradients for tests: operands, sums of products in f64, and a bound on the error of each
 * element. Include it after support.h. */
#ifndef TEST_CONV_CASE_H
#define TEST_CONV_CASE_H

#include <swale/extend.h>
#include <swale/conv_kernels.h>

#include <math.h>

#include "core/ops/levels.h"

/* One convolution, its operands and results. The arrays `type` have the type of the convolution; sum and bound have,
 * for each element of a result, the sum in f64 and Σ|a||b| of its terms. */
typedef struct conv_case {
    sw_conv conv;
    sw_array x, w, bias, dy, y, dx, dw;
    double *sum[3], *bound[3];
    int64_t *terms[3];
} conv_case;
enum { Y, DX, DW };

static const int thread_counts[] = {2, 3, 4, 8};

static inline int64_t *test_counts(int64_t n) {
    int64_t *counts = calloc((size_t)n + 1, sizeof *counts);
    assert_non_null(counts);
    return counts;
}

static inline double *test_sums(int64_t n) {
    double *sums = calloc((size_t)n + 1, sizeof *sums);
    assert_non_null(sums);
    return sums;
}

static inline sw_array *result(conv_case *c, int which) {
    return which == Y ? &c->y : which == DX ? &c->dx : &c->dw;
}

/* One term a·b of element `at` of a result. */
static inline void add_term(conv_case *c, int which, int64_t at, double a, double b) {
    c->sum[which][at] += a * b;
    c->bound[which][at] += fabs(a * b);
    c->terms[which][at]++;
}

/* The terms of the kernel's element (u, v) at the pixel (n, i, j) of y. */
static inline void add_terms(conv_case *c, int64_t n, int64_t i, int64_t j, int64_t u, int64_t v) {
    const sw_conv *p = &c->conv;
    const int64_t h = i * p->stride[0] + u * p->dilation[0] - p->before[0],
                  q = j * p->stride[1] + v * p->dilation[1] - p->before[1], each = p->inputs / p->groups;
    if (h < 0 || h >= p->height || q < 0 || q >= p->width)
        return;
    for (int64_t o = 0; o < p->outputs; o++)
        for (int64_t k = 0; k < each; k++) {
            const int64_t y = ((n * p->out_height + i) * p->out_width + j) * p->outputs + o,
                          x = ((n * p->height + h) * p->width + q) * p->inputs + o / (p->outputs / p->groups) * each +
                              k,
                          w = ((o * p->kernel_height + u) * p->kernel_width + v) * each + k;
            const double xv = test_get(&c->x, x), wv = test_get(&c->w, w), dv = test_get(&c->dy, y);
            add_term(c, Y, y, xv, wv);
            add_term(c, DX, x, dv, wv);
            add_term(c, DW, w, dv, xv);
        }
}

static inline void add_all_terms(conv_case *c) {
    const sw_conv *p = &c->conv;
    for (int64_t n = 0; n < p->batch; n++)
        for (int64_t i = 0; i < p->out_height; i++)
            for (int64_t j = 0; j < p->out_width; j++) {
                for (int64_t o = 0; o < p->outputs; o++)
                    add_term(c, Y, ((n * p->out_height + i) * p->out_width + j) * p->outputs + o, test_get(&c->bias, o),
                             1);
                for (int64_t u = 0; u < p->kernel_height; u++)
                    for (int64_t v = 0; v < p->kernel_width; v++)
                        add_terms(c, n, i, j, u, v);
            }
}

static inline conv_case case_new(const sw_conv *conv, uint64_t seed) {
    const sw_conv *p = conv;
    const int64_t x[4] = {p->batch, p->height, p->width, p->inputs},
                  y[4] = {p->batch, p->out_height, p->out_width, p->outputs},
                  w[4] = {p->outputs, p->kernel_height, p->kernel_width, p->inputs / p->groups};
    conv_case c = {.conv = *conv,
                   .x = test_filled(p->type, 4, x, -1, 1, seed),
                   .w = test_filled(p->type, 4, w, -1, 1, seed + 1),
                   .bias = test_filled(p->type, 1, &p->outputs, -1, 1, seed + 2),
                   .dy = test_filled(p->type, 4, y, -1, 1, seed + 3),
                   .y = test_array(p->type, 4, y),
                   .dx = test_array(p->type, 4, x),
                   .dw = test_array(p->type, 4, w)};
    for (int i = 0; i < 3; i++) {
        c.sum[i] = test_sums(sw_array_count(result(&c, i)));
        c.bound[i] = test_sums(sw_array_count(result(&c, i)));
        c.terms[i] = test_counts(sw_array_count(result(&c, i)));
    }
    add_all_terms(&c);
    return c;
}

static inline void case_free(conv_case *c) {
    sw_array *const all[] = {&c->x, &c->w, &c->bias, &c->dy, &c->y, &c->dx, &c->dw};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        test_array_free(all[i]);
    for (int i = 0; i < 3; i++)
        free(c->sum[i]), free(c->bound[i]), free(c->terms[i]);
}

/* The scratch of a product, in bytes. */
static inline size_t scratch_bytes(const sw_conv *c, int which) {
    return which == Y    ? sw_conv_forward_scratch(c)
           : which == DX ? sw_conv_input_gradient_scratch(c)
                         : sw_conv_weight_gradient_scratch(c);
}

/* Runs one of the three products, with new memory of the exact size as scratch. */
static inline void case_run(conv_case *c, int which) {
    const size_t bytes = scratch_bytes(&c->conv, which);
    void *scratch =
        bytes ? aligned_alloc(SW_ALIGNMENT, (bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT) : NULL;
    assert_true(!bytes || scratch);
    if (bytes)
        memset(scratch, 0xFF, bytes);
    sw_array *out = result(c, which);
    memset(out->data, 0xFF, test_bytes(out)); /* every element must be written */
    if (which == Y)
        assert_ok(sw_conv_forward(&c->conv, c->x.data, c->w.data, c->bias.data, c->y.data, scratch, bytes));
    else if (which == DX)
        assert_ok(sw_conv_input_gradient(&c->conv, c->w.data, c->dy.data, c->dx.data, scratch, bytes));
    else
        assert_ok(sw_conv_weight_gradient(&c->conv, c->x.data, c->dy.data, c->dw.data, scratch, bytes));
    free(scratch);
}

/* Copies y or dy of some samples, in work items that may be on several threads. */
static inline void take_samples(void *args, int64_t first, int64_t samples, void *y) {
    const conv_case *c = args;
    const size_t sample = test_bytes(&c->y) / (size_t)c->conv.batch;
    memcpy((char *)c->y.data + (size_t)first * sample, y, (size_t)samples * sample);
}

static inline void give_samples(void *args, int64_t first, int64_t samples, void *dy) {
    const conv_case *c = args;
    const size_t sample = test_bytes(&c->dy) / (size_t)c->conv.batch;
    memcpy(dy, (const char *)c->dy.data + (size_t)first * sample, (size_t)samples * sample);
}

/* case_run, with y by samples instead of an array. */
static inline void case_run_by_samples(conv_case *c, int which) {
    conv_case by_samples = *c;
    by_samples.conv.samples = which == Y ? take_samples : give_samples;
    by_samples.conv.samples_args = c;
    case_run(&by_samples, which);
}

/* A sum of n terms in any order, of products that may be rounded, has an error of at most n u Σ|a||b| to first order in
 * u, for both sides in f64; + 2 for the terms of second order and for the elements of one term. */
static inline void case_check(conv_case *c, int which) {
    const double u = c->conv.type == SW_F32 ? 0x1p-24 : 2 * 0x1p-53;
    const sw_array *out = result(c, which);
    for (int64_t i = 0; i < sw_array_count(out); i++) {
        const double got = test_get(out, i), most = ((double)c->terms[which][i] + 2) * u * c->bound[which][i];
        if (!(fabs(got - c->sum[which][i]) <= most)) {
            const sw_conv *p = &c->conv;
            fail_msg(
                "%s of [%lld,%lld,%lld,%lld] with [%lld,%lld,%lld], stride %lld, %lld, dilation %lld, %lld, "
                "before %lld, %lld, groups %lld, level %d: element %lld is %.9g, expected %.9g, error at most %.2g",
                (const char *[]){"y", "dx", "dw"}[which], (long long)p->batch, (long long)p->height,
                (long long)p->width, (long long)p->inputs, (long long)p->outputs, (long long)p->kernel_height,
                (long long)p->kernel_width, (long long)p->stride[0], (long long)p->stride[1], (long long)p->dilation[0],
                (long long)p->dilation[1], (long long)p->before[0], (long long)p->before[1], (long long)p->groups,
                sw_cpu_level(), (long long)i, got, c->sum[which][i], most);
        }
    }
}

/* The values are correct on every level, with equal bits on avx2 and avx512 and for every number of threads, of which
 * those above 1 are tested on the best level. */
static inline void case_compare(conv_case *c, bool with_threads) {
    const int best = sw_cpu_level();
    for (int which = 0; which < 3; which++) {
        sw_array *out = result(c, which);
        void *bits = malloc(test_bytes(out) + 1);
        assert_non_null(bits);
        for (int level = 0; level <= best; level++) {
            atomic_store(&swi_level, level);
            case_run(c, which);
            case_check(c, which);
            if (level <= 1)
                memcpy(bits, out->data, test_bytes(out));
            assert_memory_equal(out->data, bits, test_bytes(out));
        }
        for (size_t t = 0; with_threads && t < sizeof thread_counts / sizeof *thread_counts; t++) {
            sw_set_threads(thread_counts[t]);
            case_run(c, which);
            assert_memory_equal(out->data, bits, test_bytes(out));
        }
        case_run_by_samples(c, which);
        assert_memory_equal(out->data, bits, test_bytes(out));
        sw_set_threads(1);
        free(bits);
    }
}

static inline void compare_shape(sw_conv conv, uint64_t seed) {
    for (int type = 0; type < 2; type++) {
        conv.type = type ? SW_F64 : SW_F32;
        conv_case c = case_new(&conv, seed);
        case_compare(&c, seed % 4 == 0);
        case_free(&c);
    }
    expect_no_error();
}

/* Without groups: a square kernel, the same stride and number of zeros on both axes. */
static inline sw_conv plain_conv(int64_t batch, int64_t height, int64_t width, int64_t inputs, int64_t outputs,
                                 int64_t kernel, int64_t stride, int64_t zeros) {
    return (sw_conv){.size = sizeof(sw_conv),
                     .batch = batch,
                     .height = height,
                     .width = width,
                     .inputs = inputs,
                     .out_height = (height + 2 * zeros - kernel) / stride + 1,
                     .out_width = (width + 2 * zeros - kernel) / stride + 1,
                     .outputs = outputs,
                     .kernel_height = kernel,
                     .kernel_width = kernel,
                     .stride = {stride, stride},
                     .dilation = {1, 1},
                     .before = {zeros, zeros},
                     .groups = 1};
}

#endif
