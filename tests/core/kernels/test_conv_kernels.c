/* Convolutions and their gradients: against sums of products in f64, with a bound on the error of each element, for
 * random shapes: strides, dilations, paddings, groups, all numbers of channels; equal bits for every number of threads,
 * and on avx2 and avx512. */
#include "support.h"

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

static int64_t *test_counts(int64_t n) {
    int64_t *counts = calloc((size_t)n + 1, sizeof *counts);
    assert_non_null(counts);
    return counts;
}

static double *test_sums(int64_t n) {
    double *sums = calloc((size_t)n + 1, sizeof *sums);
    assert_non_null(sums);
    return sums;
}

static sw_array *result(conv_case *c, int which) {
    return which == Y ? &c->y : which == DX ? &c->dx : &c->dw;
}

/* One term a·b of element `at` of a result. */
static void add_term(conv_case *c, int which, int64_t at, double a, double b) {
    c->sum[which][at] += a * b;
    c->bound[which][at] += fabs(a * b);
    c->terms[which][at]++;
}

/* The terms of the kernel's element (u, v) at the pixel (n, i, j) of y. */
static void add_terms(conv_case *c, int64_t n, int64_t i, int64_t j, int64_t u, int64_t v) {
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

static void add_all_terms(conv_case *c) {
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

static conv_case case_new(const sw_conv *conv, uint64_t seed) {
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

static void case_free(conv_case *c) {
    sw_array *const all[] = {&c->x, &c->w, &c->bias, &c->dy, &c->y, &c->dx, &c->dw};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        test_array_free(all[i]);
    for (int i = 0; i < 3; i++)
        free(c->sum[i]), free(c->bound[i]), free(c->terms[i]);
}

/* The scratch of a product, in bytes. */
static size_t scratch_bytes(const sw_conv *c, int which) {
    return which == Y    ? sw_conv_forward_scratch(c)
           : which == DX ? sw_conv_input_gradient_scratch(c)
                         : sw_conv_weight_gradient_scratch(c);
}

/* Runs one of the three products, with new memory of the exact size as scratch. */
static void case_run(conv_case *c, int which) {
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
static void take_samples(void *args, int64_t first, int64_t samples, void *y) {
    const conv_case *c = args;
    const size_t sample = test_bytes(&c->y) / (size_t)c->conv.batch;
    memcpy((char *)c->y.data + (size_t)first * sample, y, (size_t)samples * sample);
}

static void give_samples(void *args, int64_t first, int64_t samples, void *dy) {
    const conv_case *c = args;
    const size_t sample = test_bytes(&c->dy) / (size_t)c->conv.batch;
    memcpy(dy, (const char *)c->dy.data + (size_t)first * sample, (size_t)samples * sample);
}

/* case_run, with y by samples instead of an array. */
static void case_run_by_samples(conv_case *c, int which) {
    conv_case by_samples = *c;
    by_samples.conv.samples = which == Y ? take_samples : give_samples;
    by_samples.conv.samples_args = c;
    case_run(&by_samples, which);
}

/* A sum of n terms in any order, of products that may be rounded, has an error of at most n u Σ|a||b| to first order in
 * u, for both sides in f64; + 2 for the terms of second order and for the elements of one term. */
static void case_check(conv_case *c, int which) {
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
static void case_compare(conv_case *c, bool with_threads) {
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

static void compare_shape(sw_conv conv, uint64_t seed) {
    for (int type = 0; type < 2; type++) {
        conv.type = type ? SW_F64 : SW_F32;
        conv_case c = case_new(&conv, seed);
        case_compare(&c, seed % 4 == 0);
        case_free(&c);
    }
    expect_no_error();
}

static int64_t between(uint64_t *state, int64_t low, int64_t high) {
    return low + (int64_t)(test_random(state) % (uint64_t)(high - low + 1));
}

/* The length of the output of one axis, at least 1: the padding grows until the kernel fits. `padding` is that before
 * the axis. */
static int64_t out_length(int64_t length, int64_t kernel, int64_t stride, int64_t dilation, int64_t *before,
                          int64_t after) {
    const int64_t span = (kernel - 1) * dilation + 1;
    if (length + *before + after < span)
        *before = span - length - after;
    return (length + *before + after - span) / stride + 1;
}

static sw_conv random_conv(uint64_t *state) {
    const int64_t groups = between(state, 0, 2) ? 1 : between(state, 1, 5), depth = between(state, 0, 3);
    sw_conv c = {
        .size = sizeof c,
        .batch = between(state, 0, 2) ? between(state, 1, 5) : between(state, 8, 27),
        .height = between(state, 1, 12),
        .width = between(state, 1, 20),
        .inputs = groups * between(state, 1, depth ? 12 : 70),
        .outputs = groups * between(state, 1, depth ? 24 : 70),
        .kernel_height = between(state, 1, 5),
        .kernel_width = between(state, 1, 5),
        .stride = {between(state, 0, 1) ? 1 : between(state, 1, 6), between(state, 0, 1) ? 1 : between(state, 1, 6)},
        .dilation = {between(state, 0, 2) ? 1 : between(state, 1, 3), between(state, 0, 2) ? 1 : between(state, 1, 3)},
        .before = {between(state, 0, 6), between(state, 0, 6)},
        .groups = groups};
    if (between(state, 0, 1)) /* "valid", or few zeros */
        c.before[0] = c.before[1] = between(state, 0, 1);
    if (between(state, 0, 7) == 0) { /* depthwise */
        c.groups = c.inputs = between(state, 1, 70);
        c.outputs = c.inputs * between(state, 1, 2);
    }
    c.out_height =
        out_length(c.height, c.kernel_height, c.stride[0], c.dilation[0], &c.before[0], between(state, 0, 3));
    c.out_width = out_length(c.width, c.kernel_width, c.stride[1], c.dilation[1], &c.before[1], between(state, 0, 3));
    return c;
}

static void test_random_shapes(void **test_state) {
    (void)test_state;
    uint64_t state = 18;
    for (int i = 0; i < 200; i++)
        compare_shape(random_conv(&state), (uint64_t)i);
}

/* Without groups: a square kernel, the same stride and number of zeros on both axes. */
static sw_conv plain_conv(int64_t batch, int64_t height, int64_t width, int64_t inputs, int64_t outputs, int64_t kernel,
                          int64_t stride, int64_t zeros) {
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

/* Every number of channels up to more than two blocks, and the shapes of common networks, in a batch of more samples
 * than parts of a sum. */
static void test_channels_and_networks(void **test_state) {
    (void)test_state;
    for (int64_t channels = 1; channels <= 70; channels++)
        compare_shape(plain_conv(2, 5, 6, channels, 71 - channels, 3, 1, 1), (uint64_t)channels);
    static const int64_t networks[][7] = {
        /* batch, size, inputs, outputs, kernel, stride, zeros */
        {19, 28, 1, 16, 5, 1, 0}, {19, 12, 16, 32, 5, 1, 0}, {19, 14, 16, 32, 3, 1, 1}, {19, 14, 16, 32, 3, 2, 1},
        {2, 14, 32, 64, 1, 2, 0}, {1, 7, 64, 64, 3, 1, 1},   {1, 40, 3, 64, 7, 2, 3}};
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
        const int64_t *n = networks[i];
        compare_shape(plain_conv(n[0], n[1], n[1], n[2], n[3], n[4], n[5], n[6]), (uint64_t)i);
    }
}

/* One channel: the gradient of the weights has tiles with all taps of a window. Items have several samples, some of the
 * rows of a sample, or parts of a row; a last item is smaller; outputs do not fill a register. */
static void test_windows_with_one_channel(void **test_state) {
    (void)test_state;
    static const int64_t shapes[][6] = {/* batch, height, width, outputs, kernel, zeros */
                                        {40, 11, 13, 16, 3, 1}, {17, 9, 8, 7, 5, 2},  {16, 45, 40, 3, 5, 2},
                                        {33, 3, 1301, 1, 3, 0}, {18, 6, 7, 17, 5, 0}, {20, 8, 8, 8, 3, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t *s = shapes[i];
        compare_shape(plain_conv(s[0], s[1], s[2], 1, s[3], s[4], 1, s[5]), 4 * i);
    }
}

/* Depthwise: every number of channels, kernels with more taps than a tile, pictures smaller than the kernel, few and
 * many items. */
static void test_depthwise_shapes(void **test_state) {
    (void)test_state;
    for (int64_t channels = 4; channels <= 70; channels++)
        compare_shape((sw_conv){.size = sizeof(sw_conv),
                                .batch = 3,
                                .height = 6,
                                .width = 9,
                                .inputs = channels,
                                .out_height = 6,
                                .out_width = 9,
                                .outputs = channels,
                                .kernel_height = 3,
                                .kernel_width = 3,
                                .stride = {1, 1},
                                .dilation = {1, 1},
                                .before = {1, 1},
                                .groups = channels},
                      (uint64_t)channels);
    uint64_t state = 19;
    for (int i = 0; i < 60; i++) {
        sw_conv c = random_conv(&state);
        c.inputs = c.outputs = c.groups = between(&state, 8, 100);
        c.height = between(&state, 1, 30);
        c.kernel_height = between(&state, 1, 7);
        c.out_height = out_length(c.height, c.kernel_height, c.stride[0], c.dilation[0], &c.before[0], 2);
        compare_shape(c, (uint64_t)i);
    }
}

/* Shapes that Winograd's minimal filtering computes: odd lengths, channels that do not fill a register, borders of 0 to
 * 3 zeros. */
static const int64_t winograd_shapes[][6] = {/* batch, height, width, inputs, outputs, zeros */
                                             {7, 8, 9, 32, 32, 1},
                                             {5, 13, 12, 33, 47, 1},
                                             {9, 9, 8, 40, 32, 0},
                                             {3, 11, 14, 32, 65, 2},
                                             {4, 10, 10, 64, 33, 3},
                                             {30, 7, 7, 32, 48, 1},
                                             /* many channels: more terms than a chunk, a last chunk that is shorter */
                                             {4, 8, 7, 160, 128, 1},
                                             {6, 5, 6, 128, 192, 1}};

static sw_conv winograd_conv(const int64_t s[6]) {
    return plain_conv(s[0], s[1], s[2], s[3], s[4], 3, 1, s[5]);
}

static void test_winograd_shapes(void **test_state) {
    (void)test_state;
    for (size_t i = 0; i < sizeof winograd_shapes / sizeof *winograd_shapes; i++)
        compare_shape(winograd_conv(winograd_shapes[i]), 4 * i);
}

/* With many channels, tiles are computed in blocks. Equal samples have equal results, whatever their block. */
static void test_winograd_blocks_of_tiles(void **test_state) {
    (void)test_state;
    const int64_t shape[6] = {31, 6, 6, 256, 256, 1};
    sw_conv conv = winograd_conv(shape);
    conv.type = SW_F32;
    const int64_t x[4] = {conv.batch, 6, 6, 256}, w[4] = {256, 3, 3, 256}, sample = 6 * 6 * 256;
    sw_array arrays[3] = {test_filled(SW_F32, 4, x, -1, 1, 1), test_filled(SW_F32, 4, w, -1, 1, 2),
                          test_array(SW_F32, 4, x)};
    float *in = arrays[0].data, *out = arrays[2].data;
    for (int64_t n = 1; n < conv.batch; n++)
        memcpy(in + n * sample, in, (size_t)sample * sizeof *in);
    for (int which = 0; which < 2; which++) {
        const size_t bytes = scratch_bytes(&conv, which);
        void *scratch = aligned_alloc(SW_ALIGNMENT, (bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT);
        assert_non_null(scratch);
        memset(out, 0xFF, test_bytes(&arrays[2]));
        if (which == Y)
            assert_ok(sw_conv_forward(&conv, in, arrays[1].data, NULL, out, scratch, bytes));
        else
            assert_ok(sw_conv_input_gradient(&conv, arrays[1].data, in, out, scratch, bytes));
        assert_true(isfinite(out[0]) && out[0] != 0);
        for (int64_t n = 1; n < conv.batch; n++)
            assert_memory_equal(out + n * sample, out, (size_t)sample * sizeof *out);
        free(scratch);
    }
    for (int i = 0; i < 3; i++)
        test_array_free(&arrays[i]);
}

/* The sum of the squared errors of a result. */
static double squared_error(conv_case *c, int which) {
    double sum = 0;
    for (int64_t i = 0; i < sw_array_count(result(c, which)); i++) {
        const double e = test_get(result(c, which), i) - c->sum[which][i];
        sum += e * e;
    }
    return sum;
}

/* Runs a product sample by sample: so few tiles are computed directly. */
static void run_samples(conv_case *c, int which) {
    conv_case one = *c;
    one.conv.batch = 1;
    sw_array *const all[4] = {&one.x, &one.dy, &one.y, &one.dx};
    for (int i = 0; i < 4; i++)
        all[i]->shape[0] = 1;
    for (int64_t n = 0; n < c->conv.batch; n++) {
        case_run(&one, which);
        for (int i = 0; i < 4; i++)
            all[i]->data = (char *)all[i]->data + test_bytes(all[i]);
    }
}

/* Winograd's rounding errors are not above those of the direct sums. */
static void test_winograd_error(void **test_state) {
    (void)test_state;
    for (size_t i = 0; i < sizeof winograd_shapes / sizeof *winograd_shapes; i++) {
        sw_conv conv = winograd_conv(winograd_shapes[i]);
        conv.type = SW_F32;
        conv_case c = case_new(&conv, i);
        for (int which = 0; which < 2; which++) {
            case_run(&c, which);
            const double winograd = squared_error(&c, which);
            run_samples(&c, which);
            const double direct = squared_error(&c, which);
            if (!(winograd > 0 && winograd != direct && winograd <= direct))
                fail_msg("shape %zu, %s: squared error %.3g, directly %.3g", i, which == Y ? "y" : "dx", winograd,
                         direct);
        }
        case_free(&c);
    }
}

/* Empty arrays: y is the bias where there are no terms, gradients are 0, and nothing is read. */
static void test_empty(void **test_state) {
    (void)test_state;
    const sw_conv base = {.size = sizeof base,
                          .batch = 2,
                          .height = 4,
                          .width = 4,
                          .inputs = 3,
                          .out_height = 3,
                          .out_width = 3,
                          .outputs = 5,
                          .kernel_height = 2,
                          .kernel_width = 2,
                          .stride = {1, 1},
                          .dilation = {1, 1},
                          .groups = 1};
    sw_conv c = base;
    c.batch = 0;
    compare_shape(c, 1);
    c = base;
    c.inputs = 0;
    compare_shape(c, 2);
    c = base;
    c.outputs = 0;
    compare_shape(c, 3);
    c = base;
    c.height = 0;
    c.out_height = 2;
    c.before[0] = 3;
    compare_shape(c, 4);
    c = base;
    c.out_width = 0;
    compare_shape(c, 5);
}

static void test_mistakes(void **test_state) {
    (void)test_state;
    sw_conv c = {.size = sizeof c - 1, .type = SW_F32};
    assert_int_equal(sw_conv_forward(&c, NULL, NULL, NULL, NULL, NULL, 0), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "conv: its size must be sizeof(sw_conv)");
    assert_int_equal(sw_conv_input_gradient(NULL, NULL, NULL, NULL, NULL, 0), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "conv: it is NULL");
    c = (sw_conv){.size = sizeof c, .type = SW_F16};
    assert_int_equal(sw_conv_weight_gradient(&c, NULL, NULL, NULL, NULL, 0), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "conv: the type is f16; f32 or f64 is needed");
}

/* Zeros around a picture that would take more memory than there is: they are not copied. */
static void test_zeros_larger_than_any_memory(void **test_state) {
    (void)test_state;
    static const int64_t shapes[][6] = {/* batch, size, inputs and outputs of a group, groups, stride */
                                        {1, 1, 1, 1, 1, 1},
                                        {3, 5, 3, 20, 1, 1},
                                        {2, 4, 16, 33, 2, 1},
                                        {20, 3, 5, 8, 3, 1},
                                        {2, 4, 8, 8, 1, 1 << 30}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t *s = shapes[i], far = (int64_t)1 << 30, out = s[5] > 1 ? 3 : s[1];
        const sw_conv c = {.size = sizeof c,
                           .type = SW_F32,
                           .batch = s[0],
                           .height = s[1],
                           .width = s[1] + 1,
                           .inputs = s[2] * s[4],
                           .out_height = out,
                           .out_width = out + 1,
                           .outputs = s[3] * s[4],
                           .kernel_height = 3,
                           .kernel_width = 3,
                           .stride = {s[5], s[5]},
                           .dilation = {far, far},
                           .before = {far, far},
                           .groups = s[4]};
        for (int which = 0; which < 3; which++)
            assert_true(scratch_bytes(&c, which) < 1 << 20);
        compare_shape(c, 4 * i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_shapes),
                                       cmocka_unit_test(test_channels_and_networks),
                                       cmocka_unit_test(test_windows_with_one_channel),
                                       cmocka_unit_test(test_depthwise_shapes),
                                       cmocka_unit_test(test_winograd_shapes),
                                       cmocka_unit_test(test_winograd_blocks_of_tiles),
                                       cmocka_unit_test(test_winograd_error),
                                       cmocka_unit_test(test_empty),
                                       cmocka_unit_test(test_mistakes),
                                       cmocka_unit_test(test_zeros_larger_than_any_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
