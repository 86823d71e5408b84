/* Convolutions beyond the table in op_table.h: random shapes and options against the formula in conv.h, identities of
 * linear maps for the gradients, options that are out of range, limits of lengths, NaN, dry runs. */
#include "support.h"

#include <swale/extend.h>
#include <swale/pool.h>

#include "core/ops/levels.h"

/* ---- Random convolutions ---- */

typedef struct trial {
    sw_conv_options options;
    sw_array x, w, bias; /* x [N,H,W,C], w [out,kh,kw,C/groups], bias [out] */
} trial;

static int64_t between(uint64_t *seed, int64_t least, int64_t most) {
    return least + (int64_t)(test_random(seed) % (uint64_t)(most - least + 1));
}

/* A convolution whose padded picture is as long as its kernel or longer. */
static trial trial_new(sw_dtype type, uint64_t *seed) {
    trial t = {.options = {.size = sizeof t.options, .groups = between(seed, 1, 3)}};
    sw_conv_options *o = &t.options;
    int64_t x[4] = {between(seed, 1, 3)}, w[4];
    o->same = test_random(seed) % 4 == 0;
    for (int i = 0; i < 2; i++) {
        o->stride[i] = between(seed, 1, 4);
        o->dilation[i] = between(seed, 1, 3);
        o->padding[i] = o->same ? 0 : between(seed, 0, 4);
        w[i + 1] = between(seed, 1, 4);
        x[i + 1] = between(seed, 1, 6);
        const int64_t span = o->dilation[i] * (w[i + 1] - 1) + 1;
        if (!o->same && x[i + 1] + 2 * o->padding[i] < span)
            x[i + 1] = span - 2 * o->padding[i];
    }
    w[0] = o->groups * between(seed, 1, 4);
    w[3] = between(seed, 1, 5);
    x[3] = o->groups * w[3];
    t.x = test_filled(type, 4, x, -1, 1, test_random(seed));
    t.w = test_filled(type, 4, w, -1, 1, test_random(seed));
    t.bias = test_filled(type, 1, w, -1, 1, test_random(seed));
    return t;
}

static void trial_free(trial *t) {
    test_array_free(&t->x);
    test_array_free(&t->w);
    test_array_free(&t->bias);
}

/* The zeros before axis `axis` of a result of `out` elements. */
static int64_t zeros_before(const trial *t, int axis, int64_t out) {
    const sw_conv_options *o = &t->options;
    const int64_t span = o->dilation[axis] * (t->w.shape[axis + 1] - 1) + 1,
                  missing = (out - 1) * o->stride[axis] + span - t->x.shape[axis + 1];
    return !o->same ? o->padding[axis] : missing > 0 ? missing / 2 : 0;
}

/* Element [n,i,j,k] of the convolution, by the formula. */
static double element_of(const trial *t, const int64_t *y, int64_t n, int64_t i, int64_t j, int64_t k) {
    const sw_conv_options *o = &t->options;
    const int64_t *x = t->x.shape, *w = t->w.shape, first = k / (w[0] / o->groups) * w[3],
                  before[2] = {zeros_before(t, 0, y[1]), zeros_before(t, 1, y[2])};
    double sum = test_get(&t->bias, k);
    for (int64_t u = 0; u < w[1]; u++)
        for (int64_t v = 0; v < w[2]; v++)
            for (int64_t c = 0; c < w[3]; c++) {
                const int64_t row = i * o->stride[0] + u * o->dilation[0] - before[0],
                              column = j * o->stride[1] + v * o->dilation[1] - before[1];
                if (row >= 0 && row < x[1] && column >= 0 && column < x[2])
                    sum += test_get(&t->x, ((n * x[1] + row) * x[2] + column) * x[3] + first + c) *
                           test_get(&t->w, ((k * w[1] + u) * w[2] + v) * w[3] + c);
            }
    return sum;
}

static int64_t length_of(const trial *t, int axis) {
    const sw_conv_options *o = &t->options;
    const int64_t length = t->x.shape[axis + 1], span = o->dilation[axis] * (t->w.shape[axis + 1] - 1) + 1;
    return o->same ? (length + o->stride[axis] - 1) / o->stride[axis]
                   : (length + 2 * o->padding[axis] - span) / o->stride[axis] + 1;
}

/* At most 4·4·5 terms below 1, in any order: an error below 81² roundings. */
static const double tolerance[] = {[SW_F32] = 81 * 81 * 0x1p-24, [SW_F64] = 81 * 81 * 0x1p-53};

static void test_random_convolutions_equal_the_formula(void **state) {
    (void)state;
    uint64_t seed = 11;
    sw_tape *tape = sw_tape_new();
    for (int round = 0; round < 400; round++) {
        const sw_dtype type = round % 2 ? SW_F64 : SW_F32;
        trial t = trial_new(type, &seed);
        sw_tape_reset(tape);
        const sw_array y =
            sw_value(sw_conv2d(sw_input(tape, t.x), sw_input(tape, t.w), sw_input(tape, t.bias), &t.options));
        expect_no_error();
        const int64_t shape[4] = {t.x.shape[0], length_of(&t, 0), length_of(&t, 1), t.w.shape[0]};
        assert_true(sw_shape_equal(y.rank, y.shape, 4, shape));
        for (int64_t at = 0; at < sw_array_count(&y); at++) {
            const int64_t k = at % shape[3], j = at / shape[3] % shape[2], i = at / (shape[3] * shape[2]) % shape[1],
                          n = at / (shape[3] * shape[2] * shape[1]);
            const double expected = element_of(&t, shape, n, i, j, k);
            if (!(fabs(test_get(&y, at) - expected) <= tolerance[type]))
                fail_msg("round %d, [%d,%d,%d,%d] of %s: %.17g, expected %.17g", round, (int)n, (int)i, (int)j, (int)k,
                         sw_shape_text(4, shape), test_get(&y, at), expected);
        }
        trial_free(&t);
    }
    sw_tape_free(tape);
}

static double inner_product(const sw_array *a, const sw_array *b) {
    assert_true(sw_shape_equal(a->rank, a->shape, b->rank, b->shape));
    double sum = 0;
    for (int64_t i = 0; i < sw_array_count(a); i++)
        sum += test_get(a, i) * test_get(b, i);
    return sum;
}

/* y = conv(x, w) is linear in x and in w: <dy, y> = <dx, x> = <dw, w>. The transposed convolution with the same options
 * maps dy to dx, bit for bit, if output_padding gives it the length of x. Sums of at most 3·16·16·12 products of
 * numbers below 80: fewer than 2^14 roundings of numbers below 2^20. */
static void test_gradients_and_transposed_convolution_are_adjoint(void **state) {
    (void)state;
    uint64_t seed = 12;
    sw_tape *tape = sw_tape_new();
    int transposed = 0;
    for (int round = 0; round < 300; round++) {
        trial t = trial_new(SW_F64, &seed);
        sw_conv_options *o = &t.options;
        sw_tape_reset(tape);
        sw_tensor x = sw_variable(tape, t.x), w = sw_variable(tape, t.w), y = sw_conv2d(x, w, (sw_tensor){0}, o);
        const sw_array value = sw_value(y);
        sw_array dy = test_filled(SW_F64, value.rank, value.shape, -1, 1, test_random(&seed));
        assert_ok(sw_backward_from(y, dy));
        const sw_array dx = sw_grad(x), dw = sw_grad(w);
        const double both = inner_product(&value, &dy);
        assert_true(fabs(both - inner_product(&dx, &t.x)) <= 0x1p34 * 0x1p-53);
        assert_true(fabs(both - inner_product(&dw, &t.w)) <= 0x1p34 * 0x1p-53);
        bool possible = !o->same;
        for (int i = 0; i < 2; i++) {
            const int64_t span = o->dilation[i] * (t.w.shape[i + 1] - 1) + 1;
            o->output_padding[i] =
                t.x.shape[i + 1] - ((value.shape[i + 1] - 1) * o->stride[i] - 2 * o->padding[i] + span);
            possible &= o->output_padding[i] >= 0;
        }
        if (possible) {
            const sw_array back = sw_value(sw_conv2d_transposed(sw_input(tape, dy), w, (sw_tensor){0}, o));
            expect_no_error();
            assert_true(sw_shape_equal(back.rank, back.shape, 4, t.x.shape));
            assert_memory_equal(back.data, dx.data, test_bytes(&dx));
            transposed++;
        }
        test_array_free(&dy);
        trial_free(&t);
    }
    assert_true(transposed > 150);
    sw_tape_free(tape);
}

/* ---- Equal ways to say the same ---- */

static void expect_equal(sw_tensor a, sw_tensor b) {
    const sw_array x = sw_value(a), y = sw_value(b);
    expect_no_error();
    assert_true(sw_shape_equal(x.rank, x.shape, y.rank, y.shape));
    assert_memory_equal(x.data, y.data, test_bytes(&x));
}

static void test_defaults_and_short_forms_have_equal_bits(void **state) {
    (void)state;
    sw_array x = test_filled(SW_F32, SW_SHAPE(2, 7, 9, 4), -1, 1, 1),
             w = test_filled(SW_F32, SW_SHAPE(5, 3, 5, 4), -1, 1, 2),
             row = test_filled(SW_F32, SW_SHAPE(2, 9, 4), -1, 1, 3),
             kernel = test_filled(SW_F32, SW_SHAPE(5, 3, 4), -1, 1, 4);
    sw_tape *tape = sw_tape_new();
    sw_tensor in = sw_input(tape, x), weight = sw_input(tape, w), none = {0};
    expect_equal(
        sw_conv2d(in, weight, none, NULL),
        sw_conv2d(in, weight, none, &SW_OPTIONS(sw_conv_options, .stride = {1, 1}, .dilation = {1, 1}, .groups = 1)));
    expect_equal(sw_conv2d(in, weight, none, &SW_OPTIONS(sw_conv_options, .same = true)),
                 sw_conv2d(in, weight, none, &SW_OPTIONS(sw_conv_options, .padding = {1, 2})));
    /* conv1d is conv2d of pictures of height 1 */
    sw_tensor line = sw_input(tape, row), taps = sw_input(tape, kernel);
    sw_tensor y = sw_conv2d(sw_reshape(line, SW_SHAPE(2, 1, 9, 4)), sw_reshape(taps, SW_SHAPE(5, 1, 3, 4)), none,
                            &SW_OPTIONS(sw_conv_options, .stride = {1, 2}, .padding = {0, 1}, .dilation = {1, 2}));
    expect_equal(
        sw_conv1d(line, taps, none, &SW_OPTIONS(sw_conv_options, .stride = {2}, .padding = {1}, .dilation = {2})),
        sw_reshape(y, SW_SHAPE(2, 4, 5)));
    sw_tape_free(tape);
    test_array_free(&x);
    test_array_free(&w);
    test_array_free(&row);
    test_array_free(&kernel);
}

/* ---- Mistakes ---- */

typedef sw_tensor convolution(sw_tensor x, sw_tensor weight, sw_tensor bias, const sw_conv_options *options);

static void expect_refused(convolution *conv, sw_tensor x, sw_tensor w, sw_conv_options options, const char *message) {
    assert_true(sw_is_null(conv(x, w, (sw_tensor){0}, &options)));
    expect_error(SW_ERR_ARGUMENT, message);
}

#define REFUSES(conv, message, ...) expect_refused(conv, x, w, SW_OPTIONS(sw_conv_options, __VA_ARGS__), message)

static void test_options_out_of_range_are_refused(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    sw_tensor x = sw_empty(tape, SW_F32, SW_SHAPE(1, 5, 5, 2)), w = sw_empty(tape, SW_F32, SW_SHAPE(2, 3, 3, 2));
    REFUSES(sw_conv2d,
            "conv2d: stride [0,2]; 1 to 2147483647 along each axis, or [0,0] for the default [1,1], is needed",
            .stride = {0, 2});
    REFUSES(sw_conv2d,
            "conv2d: stride [-1,-1]; 1 to 2147483647 along each axis, or [0,0] for the default [1,1], is needed",
            .stride = {-1, -1});
    REFUSES(sw_conv2d, "conv2d: padding [1,-1]; 0 to 2147483647 along each axis is needed", .padding = {1, -1});
    REFUSES(
        sw_conv2d,
        "conv2d: dilation [2,2147483648]; 1 to 2147483647 along each axis, or [0,0] for the default [1,1], is needed",
        .dilation = {2, 1LL << 31});
    REFUSES(sw_conv2d, "conv2d: groups -1; 1 to 2147483647 is needed (0: 1)", .groups = -1);
    REFUSES(sw_conv2d, "conv2d: padding [1,1] and same; give one of them", .padding = {1, 1}, .same = true);
    REFUSES(sw_conv2d, "conv2d: output_padding [1,0]; only transposed convolutions have it", .output_padding = {1, 0});
    REFUSES(sw_conv1d, "conv1d: stride [2,3]; the second number must be 0, because there is one axis",
            .stride = {2, 3});
    REFUSES(sw_conv1d, "conv1d: padding -3; 0 to 2147483647 is needed", .padding = {-3});
    REFUSES(sw_conv1d, "conv1d: output_padding [1,0]; only transposed convolutions have it", .output_padding = {1});
    REFUSES(sw_conv2d_transposed, "conv2d_transposed: same; a transposed convolution needs padding and output_padding",
            .same = true);
    REFUSES(
        sw_conv2d_transposed,
        "conv2d_transposed: output_padding [1,2] with stride [2,2] and dilation [1,1]; along each axis it must be 0 or "
        "more, and below the stride or the dilation",
        .stride = {2, 2}, .output_padding = {1, 2});
    REFUSES(
        sw_conv2d_transposed,
        "conv2d_transposed: output_padding [0,-1] with stride [1,1] and dilation [1,1]; along each axis it must be 0 "
        "or more, and below the stride or the dilation",
        .output_padding = {0, -1});
    sw_conv_options options = {.size = 3};
    assert_true(sw_is_null(sw_conv2d(x, w, (sw_tensor){0}, &options)));
    char message[128];
    snprintf(message, sizeof message, "conv2d: options.size is 3; sizeof(sw_conv_options) is %zu", sizeof options);
    expect_error(SW_ERR_ARGUMENT, message);
    sw_tape_free(tape);
}

/* Pictures without samples can have any size. */
static void test_lengths_beyond_the_limit_are_refused(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    const int64_t long_axis = INT64_C(3000000000);
    sw_tensor w = sw_empty(tape, SW_F32, SW_SHAPE(1, 1, 1, 1)), none = {0};
    sw_tensor x = sw_empty(tape, SW_F32, SW_SHAPE(0, long_axis, 1, 1)),
              small = sw_empty(tape, SW_F32, SW_SHAPE(0, 3, 1, 1));
    assert_true(sw_is_null(sw_conv2d(x, w, none, NULL)));
    expect_error(SW_ERR_SHAPE, "conv2d: axis 1 of [0,3000000000,1,1] and a kernel of 1; at most 2147483647 and 1 to "
                               "2147483647 are possible");
    assert_true(sw_is_null(sw_conv2d(small, w, none, &SW_OPTIONS(sw_conv_options, .padding = {INT32_MAX, 0}))));
    expect_error(SW_ERR_SHAPE,
                 "conv2d: axis 1 of the result would have length 4294967297; at most 2147483647 is possible");
    sw_conv_options far = SW_OPTIONS(sw_conv_options, .stride = {INT32_MAX, 1});
    assert_true(sw_is_null(sw_conv2d_transposed(small, w, none, &far)));
    expect_error(
        SW_ERR_SHAPE,
        "conv2d_transposed: axis 1 of the result would have length 4294967295; at most 2147483647 is possible");
    sw_tensor channels = sw_empty(tape, SW_F32, SW_SHAPE(0, 1, 1, long_axis));
    assert_true(sw_is_null(sw_conv2d(channels, channels, none, NULL)));
    expect_error(SW_ERR_SHAPE, "conv2d: axis 3 of [0,1,1,3000000000] is too long");
    /* Many pixels of many channels: the number of elements overflows. */
    sw_tensor wide = sw_empty(tape, SW_F32, SW_SHAPE(INT32_MAX, 1, 1, 0)),
              deep = sw_empty(tape, SW_F32, SW_SHAPE(9, 1, 1, 0));
    assert_true(sw_is_null(
        sw_conv2d(wide, deep, none, &SW_OPTIONS(sw_conv_options, .padding = {INT32_MAX / 4, INT32_MAX / 4}))));
    assert_non_null(sw_error());
    sw_clear_error();
    /* A copy of the picture with its zeros would be larger than any memory; none is made. */
    const int64_t apart = (int64_t)1 << 30;
    sw_tensor pixel = sw_empty(tape, SW_F32, SW_SHAPE(1, 1, 1, 1)), nine = sw_empty(tape, SW_F32, SW_SHAPE(1, 3, 3, 1));
    *(float *)sw_value(pixel).data = 3;
    for (int i = 0; i < 9; i++)
        ((float *)sw_value(nine).data)[i] = (float)i;
    const sw_tensor middle = sw_conv2d(
        pixel, nine, none, &SW_OPTIONS(sw_conv_options, .padding = {apart, apart}, .dilation = {apart, apart}));
    assert_true(sw_item(middle) == 12);
    sw_tape_free(tape);
}

/* A null bias may be the result of an error. */
static void test_null_bias_with_a_pending_error_gives_a_null_tensor(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    sw_tensor x = sw_empty(tape, SW_F32, SW_SHAPE(1, 5, 5, 2)), w = sw_empty(tape, SW_F32, SW_SHAPE(2, 3, 3, 2));
    sw_fail(SW_ERR_STATE, "the bias has failed");
    assert_true(sw_is_null(sw_conv2d(x, w, (sw_tensor){0}, NULL)));
    expect_error(SW_ERR_STATE, "the bias has failed");
    sw_tape_free(tape);
}

/* ---- NaN and Inf ---- */

/* Every output pixel whose kernel covers the pixel is affected, and none beyond the next tile. */
static void test_nan_and_infinity_reach_the_pixels_around_them(void **state) {
    (void)state;
    enum { SIDE = 24, AT = 12 };
    for (int infinite = 0; infinite < 2; infinite++) {
        sw_array x = test_filled(SW_F32, SW_SHAPE(1, SIDE, SIDE, 16), 0.5, 1, 1),
                 w = test_filled(SW_F32, SW_SHAPE(16, 3, 3, 16), 0.5, 1, 2);
        test_set(&x, (AT * SIDE + AT) * 16 + 5, infinite ? (double)INFINITY : (double)NAN);
        sw_tape *tape = sw_tape_new();
        const sw_array y = sw_value(sw_conv2d(sw_input(tape, x), sw_input(tape, w), (sw_tensor){0},
                                              &SW_OPTIONS(sw_conv_options, .same = true)));
        expect_no_error();
        for (int i = 0; i < SIDE; i++)
            for (int j = 0; j < SIDE; j++) {
                const int far = abs(i - AT) > abs(j - AT) ? abs(i - AT) : abs(j - AT);
                for (int k = 0; k < 16; k++) {
                    const double value = test_get(&y, (i * SIDE + j) * 16 + k);
                    if (far <= 1)
                        assert_true(infinite ? !isfinite(value) : isnan(value));
                    else if (far > 4)
                        assert_true(isfinite(value));
                }
            }
        sw_tape_free(tape);
        test_array_free(&x);
        test_array_free(&w);
    }
}

/* ---- With a pool ---- */

typedef struct pooled {
    bool average, relu;
    int64_t window[2], stride[2];
    unsigned wanted; /* bit i: the gradient of input i */
} pooled;

typedef struct pooled_result {
    sw_tape *tape;
    sw_array y, grad[3];
} pooled_result;

/* The result and the gradients, by one operation or by two. */
static pooled_result pooled_run(const trial *t, const pooled *p, bool joined) {
    pooled_result r = {.tape = sw_tape_new()};
    const sw_array *arrays[3] = {&t->x, &t->w, &t->bias};
    sw_pool_options o = {.size = sizeof o, .stride = {p->stride[0], p->stride[1]}, .relu = p->relu};
    sw_tensor in[3], y;
    for (int i = 0; i < 3; i++)
        in[i] = p->wanted & 1u << i ? sw_variable(r.tape, *arrays[i]) : sw_input(r.tape, *arrays[i]);
    if (joined)
        y = (p->average ? sw_conv2d_avg_pool2d : sw_conv2d_max_pool2d)(in[0], in[1], in[2], &t->options, p->window[0],
                                                                       p->window[1], &o);
    else
        y = (p->average ? sw_avg_pool2d : sw_max_pool2d)(sw_conv2d(in[0], in[1], in[2], &t->options), p->window[0],
                                                         p->window[1], &o);
    expect_no_error();
    r.y = sw_value(y);
    sw_array dy = test_filled(r.y.type, r.y.rank, r.y.shape, -1, 1, 5);
    /* Twice, because a tensor that is released inside a function permits one backward alone. */
    for (int pass = 0; pass < 2 && p->wanted; pass++)
        assert_ok(sw_backward_from(y, dy));
    for (int i = 0; i < 3 && p->wanted; i++)
        if (p->wanted & 1u << i)
            r.grad[i] = sw_grad(in[i]);
    test_array_free(&dy);
    return r;
}

static void pooled_compare(const pooled_result *a, const pooled_result *b) {
    assert_memory_equal(a->y.data, b->y.data, test_bytes(&a->y));
    for (int i = 0; i < 3; i++)
        if (a->grad[i].data)
            assert_memory_equal(a->grad[i].data, b->grad[i].data, test_bytes(&a->grad[i]));
}

/* One operation has the bits of two, for every number of threads. */
static void pooled_check(const trial *t, const pooled *p, int most_threads) {
    pooled_result apart = pooled_run(t, p, false);
    for (int threads = 1; threads <= most_threads; threads += threads == 3 ? 5 : 1) {
        sw_set_threads(threads);
        pooled_result joined = pooled_run(t, p, true);
        pooled_compare(&apart, &joined);
        sw_tape_free(joined.tape);
    }
    sw_set_threads(1);
    sw_tape_free(apart.tape);
}

static void pooled_random(void) {
    uint64_t seed = 31;
    for (int round = 0; round < 60; round++) {
        trial t = trial_new(round % 2 ? SW_F64 : SW_F32, &seed);
        const int64_t h = length_of(&t, 0), w = length_of(&t, 1);
        pooled p = {
            .average = test_random(&seed) % 2, .relu = test_random(&seed) % 2, .wanted = test_random(&seed) % 8};
        for (int i = 0; i < 2; i++) {
            p.window[i] = between(&seed, 1, (i ? w : h) < 3 ? (i ? w : h) : 3);
            p.stride[i] = between(&seed, 1, 3);
        }
        pooled_check(&t, &p, 8);
        trial_free(&t);
    }
}

/* [batch, size, inputs, outputs, kernel], with `same` or without zeros: convolutions that are computed by samples, by
 * pixel, in parts of samples and by Winograd's algorithm. */
static void pooled_networks(void) {
    static const int64_t shapes[][6] = {{33, 12, 1, 16, 3, 1},  {20, 14, 16, 32, 3, 1}, {34, 12, 16, 32, 5, 0},
                                        {17, 12, 1, 16, 5, 0},  {3, 8, 16, 32, 3, 1},   {2, 40, 2, 3, 3, 1},
                                        {20, 12, 32, 32, 3, 1}, {20, 9, 8, 8, 3, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int average = 0; average < 2; average++) {
            const int64_t *s = shapes[i];
            trial t = {.options = {.size = sizeof t.options, .same = s[5] == 1}};
            t.x = test_filled(SW_F32, SW_SHAPE(s[0], s[1], s[1], s[2]), -1, 1, 7);
            t.w = test_filled(SW_F32, SW_SHAPE(s[3], s[4], s[4], s[2]), -1, 1, 8);
            t.bias = test_filled(SW_F32, SW_SHAPE(s[3]), -1, 1, 9);
            const pooled p = {.average = average, .relu = true, .window = {2, 2}, .stride = {2, 2}, .wanted = 7};
            pooled_check(&t, &p, 2);
            trial_free(&t);
        }
}

static void test_convolution_with_a_pool_has_the_bits_of_both(void **state) {
    (void)state;
    each_level(pooled_random);
    each_level(pooled_networks);
}

/* ---- Dry runs ---- */

/* A picture of 4 GB and its gradients only reserve addresses. Each of the three products of [64,512,512,64] with 64
 * kernels of 3×3×64 has 2·64·512²·64·576 floating-point operations, those that padding adds included. */
static void test_dry_run_counts_the_flops_and_touches_no_memory(void **state) {
    (void)state;
    assert_ok(sw_dry_run_begin());
    sw_tape *tape = sw_tape_new();
    sw_tensor x = sw_empty(tape, SW_F32, SW_SHAPE(64, 512, 512, 64)),
              w = sw_empty(tape, SW_F32, SW_SHAPE(64, 3, 3, 64));
    sw_tensor in = sw_variable(tape, sw_value(x)), weight = sw_variable(tape, sw_value(w)),
              y = sw_conv2d(in, weight, (sw_tensor){0}, &SW_OPTIONS(sw_conv_options, .same = true));
    expect_no_error();
    const double one = 2.0 * 64 * 512 * 512 * 64 * 576;
    assert_true(sw_dry_run_flops() == one);
    assert_ok(sw_backward_from(y, sw_value(y)));
    assert_true(sw_dry_run_flops() == 3 * one);
    sw_tape_free(tape);
    assert_ok(sw_dry_run_end());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_random_convolutions_equal_the_formula, test_clear),
        cmocka_unit_test_setup(test_gradients_and_transposed_convolution_are_adjoint, test_clear),
        cmocka_unit_test_setup(test_defaults_and_short_forms_have_equal_bits, test_clear),
        cmocka_unit_test_setup(test_options_out_of_range_are_refused, test_clear),
        cmocka_unit_test_setup(test_lengths_beyond_the_limit_are_refused, test_clear),
        cmocka_unit_test_setup(test_null_bias_with_a_pending_error_gives_a_null_tensor, test_clear),
        cmocka_unit_test_setup(test_nan_and_infinity_reach_the_pixels_around_them, test_clear),
        cmocka_unit_test_setup(test_convolution_with_a_pool_has_the_bits_of_both, test_clear),
        cmocka_unit_test_setup(test_dry_run_counts_the_flops_and_touches_no_memory, test_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
