/* Pooling beyond the table in op_table.h: PyTorch's numbers over all options, with equal elements, NaN and infinities;
 * random pools of every type on every level against plain loops; windows without an element; large pictures. */
#include "support.h"

#include <swale/extend.h>

#include "levels.h"

typedef sw_tensor (*pool_function)(sw_tensor x, const int64_t *window, const sw_pool_options *options);
typedef enum pool_numbers { NUMBERS, TIES, SPECIAL } pool_numbers;

static sw_tensor max_pool2d_of(sw_tensor x, const int64_t *window, const sw_pool_options *options) {
    return sw_max_pool2d(x, window[0], window[1], options);
}
static sw_tensor avg_pool2d_of(sw_tensor x, const int64_t *window, const sw_pool_options *options) {
    return sw_avg_pool2d(x, window[0], window[1], options);
}
static sw_tensor max_pool1d_of(sw_tensor x, const int64_t *window, const sw_pool_options *options) {
    return sw_max_pool1d(x, window[0], options);
}
static sw_tensor avg_pool1d_of(sw_tensor x, const int64_t *window, const sw_pool_options *options) {
    return sw_avg_pool1d(x, window[0], options);
}
static sw_tensor adaptive_max_pool2d_of(sw_tensor x, const int64_t *window, const sw_pool_options *options) {
    (void)options;
    return sw_adaptive_max_pool2d(x, window[0], window[1]);
}
static sw_tensor adaptive_avg_pool2d_of(sw_tensor x, const int64_t *window, const sw_pool_options *options) {
    (void)options;
    return sw_adaptive_avg_pool2d(x, window[0], window[1]);
}

#include "golden/torch_pool.h"

/* ---- PyTorch ---- */

enum { MOST = 512 };

static void pool_fill(const sw_array *x, pool_numbers kind, uint64_t seed) {
    static const double special[] = {NAN, INFINITY, -INFINITY};
    for (int64_t i = 0; i < sw_array_count(x); i++) {
        const uint64_t word = test_random(&seed);
        if (kind == NUMBERS)
            test_set(x, i, (double)(float)test_uniform(&seed, -2, 2));
        else if (kind == SPECIAL && word % 12 < 3)
            test_set(x, i, special[word % 12]);
        else
            test_set(x, i, (double)(word / 16 % 5) - 2);
    }
}

/* Integers, so that sums of several are exact in every order and type. */
static void cotangent_fill(const sw_array *dy, uint64_t seed) {
    for (int64_t i = 0; i < sw_array_count(dy); i++)
        test_set(dy, i, (double)(test_random(&seed) % 17) - 8);
}

static void expect_numbers(const char *what, int number, const sw_array *own, const double *expected,
                           double tolerance) {
    for (int64_t i = 0; i < sw_array_count(own); i++) {
        const double a = test_get(own, i), b = expected[i];
        if (!(fabs(a - b) <= tolerance || a == b || (isnan(a) && isnan(b))))
            fail_msg("case %d, %s, %s, level %d, element %d: %.17g, expected %.17g", number, what,
                     sw_dtype_name(own->type), sw_cpu_level(), (int)i, a, b);
    }
}

/* Largest elements are exact. Means are sums of at most 49 terms below 2, so that their error is below 50·2·49/49
 * roundings, 100·2^-24 = 6e-6; so are gradients, sums of at most 49 cotangents divided by the elements of a window. */
static double tolerance_of(bool average, sw_dtype type) {
    return !average ? 0 : type == SW_F64 ? 1e-12 : 1e-5;
}

static void compare_with_torch(void) {
    sw_tape *tape = sw_tape_new();
    for (int t = SW_F32; t <= SW_F64; t++)
        for (size_t k = 0; k < sizeof torch_pools / sizeof *torch_pools; k++) {
            const struct torch_pool *c = &torch_pools[k];
            sw_pool_options o = {.size = sizeof o, .ceil_mode = c->ceil_mode, .exclude_padding = c->exclude_padding};
            memcpy(o.stride, c->stride, sizeof o.stride);
            memcpy(o.padding, c->padding, sizeof o.padding);
            memcpy(o.dilation, c->dilation, sizeof o.dilation);
            sw_array x = test_array((sw_dtype)t, c->rank, c->shape);
            pool_fill(&x, c->kind, c->seed);
            sw_tape_reset(tape);
            const sw_tensor in = sw_variable(tape, x), out = c->function(in, c->window, &o);
            expect_no_error();
            const sw_array y = sw_value(out);
            assert_int_equal(sw_array_count(&y), c->outputs);
            sw_array dy = test_array(y.type, y.rank, y.shape);
            cotangent_fill(&dy, c->seed + 1);
            assert_ok(sw_backward_from(out, dy));
            const sw_array dx = sw_grad(in);
            const double *expected = torch_pool_numbers + c->at;
            const bool average =
                c->function == avg_pool2d_of || c->function == avg_pool1d_of || c->function == adaptive_avg_pool2d_of;
            expect_numbers("value", (int)k, &y, expected, tolerance_of(average, y.type));
            expect_numbers("gradient", (int)k, &dx, expected + c->outputs, tolerance_of(average, y.type));
            test_array_free(&x);
            test_array_free(&dy);
        }
    sw_tape_free(tape);
}

static void test_all_options_agree_with_torch(void **state) {
    (void)state;
    each_level(compare_with_torch);
}

/* ---- Random pools ---- */

typedef struct trial {
    bool average, adaptive;
    int64_t shape[4], out[2], window[2]; /* of x; of the result */
    sw_pool_options options;
} trial;

static int64_t between(uint64_t *seed, int64_t least, int64_t most) {
    return least + (int64_t)(test_random(seed) % (uint64_t)(most - least + 1));
}

/* A pool with room for a window; its result need not be small. */
static trial trial_new(uint64_t *seed) {
    static const int64_t channels[] = {1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 33};
    for (;;) {
        trial t = {.average = test_random(seed) % 2, .adaptive = test_random(seed) % 4 == 0};
        sw_pool_options *o = &t.options, all;
        const int64_t most = test_random(seed) % 8 ? 5 : 20;
        o->size = sizeof *o;
        o->ceil_mode = test_random(seed) % 2;
        o->exclude_padding = test_random(seed) % 2;
        t.shape[0] = between(seed, 1, 3);
        t.shape[3] = channels[test_random(seed) % (sizeof channels / sizeof *channels)];
        for (int i = 0; i < 2; i++) {
            t.shape[i + 1] = between(seed, 1, 22);
            t.window[i] = between(seed, 1, t.adaptive ? 9 : most);
            o->stride[i] = between(seed, 1, 5);
            o->padding[i] = between(seed, 0, t.window[i] / 2);
            o->dilation[i] = t.average ? 1 : between(seed, 1, 3);
        }
        if (test_random(seed) % 3 == 0)
            o->stride[0] = o->stride[1] = 0;
        memcpy(t.out, t.window, sizeof t.out);
        if (t.adaptive)
            return t;
        assert_ok(sw_pool_options_check("trial", t.average, 2, t.window, o, &all));
        if (sw_pool_out_lengths("trial", 2, t.window, &all, 4, t.shape, t.out) == SW_OK) {
            t.options = all;
            return t;
        }
        sw_clear_error();
    }
}

/* The positions of window i along an axis: begin, begin + dilation, … below `end`. They may be outside of x. */
static void window_of(const trial *t, int axis, int64_t i, int64_t *begin, int64_t *end, int64_t *step) {
    const sw_pool_options *o = &t->options;
    const int64_t n = t->shape[axis + 1], out = t->out[axis];
    *step = t->adaptive ? 1 : o->dilation[axis];
    *begin = t->adaptive ? (int64_t)floor((double)i * (double)n / (double)out) : i * o->stride[axis] - o->padding[axis];
    *end = t->adaptive ? (int64_t)ceil((double)(i + 1) * (double)n / (double)out)
                       : *begin + t->window[axis] * o->dilation[axis];
}

/* The result y [N,out,out,C] and the gradient dx of x, from the definitions. */
static void trial_reference(const trial *t, const double *x, const double *dy, double *y, double *dx) {
    const int64_t *s = t->shape, C = s[3];
    for (int64_t i = 0; i < s[0] * s[1] * s[2] * C; i++)
        dx[i] = 0;
    for (int64_t at = 0; at < s[0] * t->out[0] * t->out[1] * C; at++) {
        const int64_t c = at % C, j = at / C % t->out[1], i = at / C / t->out[1] % t->out[0],
                      n = at / C / t->out[1] / t->out[0];
        int64_t h0, h1, hs, w0, w1, ws, inside = 0, counted = 0, best = -1;
        double sum = 0;
        window_of(t, 0, i, &h0, &h1, &hs);
        window_of(t, 1, j, &w0, &w1, &ws);
        for (int pass = 0; pass < (t->average ? 2 : 1); pass++)
            for (int64_t h = h0; h < h1; h += hs)
                for (int64_t w = w0; w < w1; w += ws) {
                    const bool in = h >= 0 && h < s[1] && w >= 0 && w < s[2];
                    const int64_t k = ((n * s[1] + h) * s[2] + w) * C + c;
                    if (pass == 1 && in)
                        dx[k] += dy[at] / (double)(t->options.exclude_padding || t->adaptive ? inside : counted);
                    if (pass == 1)
                        continue;
                    counted += h < s[1] + t->options.padding[0] && w < s[2] + t->options.padding[1];
                    inside += in;
                    sum += in ? x[k] : 0;
                    if (in && (best < 0 || x[k] > x[best]))
                        best = k;
                }
        if (t->average)
            y[at] = sum / (double)(t->options.exclude_padding || t->adaptive ? inside : counted);
        else
            y[at] = best < 0 ? -INFINITY : x[best];
        if (!t->average && best >= 0)
            dx[best] += dy[at];
    }
}

static sw_tensor trial_run(const trial *t, sw_tensor x) {
    if (t->adaptive)
        return t->average ? sw_adaptive_avg_pool2d(x, t->out[0], t->out[1])
                          : sw_adaptive_max_pool2d(x, t->out[0], t->out[1]);
    return t->average ? sw_avg_pool2d(x, t->window[0], t->window[1], &t->options)
                      : sw_max_pool2d(x, t->window[0], t->window[1], &t->options);
}

/* The elements of a 16-bit array are those of `wide`, in f32, rounded. */
static void expect_rounded(const char *what, int number, const sw_array *own, const sw_array *wide) {
    for (int64_t i = 0; i < sw_array_count(own); i++) {
        double rounded = 0;
        sw_number_to_float(own->type, &rounded, 0, test_get(wide, i));
        if (test_get(own, i) != sw_element_to_number(own->type, &rounded, 0))
            fail_msg("trial %d, %s, %s, level %d, element %d: %.9g, not %.9g", number, what, sw_dtype_name(own->type),
                     sw_cpu_level(), (int)i, test_get(own, i), test_get(wide, i));
    }
}

/* Sums of up to 400 numbers below 2, which are divided by their number, and sums of up to 400 cotangents below 8,
 * divided in the same way: an error below 400·8·2^-24 = 2e-4. Numbers are multiples of 1/8, which all types contain. */
static void one_trial(const trial *t, int number, uint64_t seed) {
    static const sw_dtype types[] = {SW_F64, SW_F32, SW_F16, SW_BF16};
    const double tolerance[] = {1e-12, 2e-4};
    const int64_t *s = t->shape, count = s[0] * s[1] * s[2] * s[3], outputs = s[0] * t->out[0] * t->out[1] * s[3];
    double *x = calloc((size_t)count * 2, sizeof *x), *y = calloc((size_t)outputs * 2, sizeof *y), *dx = x + count,
           *dy = y + outputs;
    sw_tape *tape[4];
    sw_array value[4], gradient[4];
    for (int64_t i = 0; i < count; i++)
        x[i] = (double)between(&seed, -15, 15) / 8;
    for (int64_t i = 0; i < outputs; i++)
        dy[i] = (double)between(&seed, -8, 8);
    trial_reference(t, x, dy, y, dx);
    for (int k = 0; k < 4; k++) {
        tape[k] = sw_tape_new();
        sw_array in = test_array(types[k], 4, s);
        for (int64_t i = 0; i < count; i++)
            test_set(&in, i, x[i]);
        const sw_tensor leaf = sw_variable(tape[k], in), out = trial_run(t, leaf);
        expect_no_error();
        value[k] = sw_value(out);
        assert_int_equal(sw_array_count(&value[k]), outputs);
        sw_array cotangent = test_array(types[k], value[k].rank, value[k].shape);
        for (int64_t i = 0; i < outputs; i++)
            test_set(&cotangent, i, dy[i]);
        assert_ok(sw_backward_from(out, cotangent));
        gradient[k] = sw_grad(leaf);
        if (k < 2) {
            expect_numbers("value", number, &value[k], y, t->average ? tolerance[k] : 0);
            expect_numbers("gradient", number, &gradient[k], dx, t->average ? tolerance[k] : 0);
        } else {
            expect_rounded("value", number, &value[k], &value[1]);
            expect_rounded("gradient", number, &gradient[k], &gradient[1]);
        }
        test_array_free(&in);
        test_array_free(&cotangent);
    }
    for (int k = 0; k < 4; k++)
        sw_tape_free(tape[k]);
    free(x);
    free(y);
}

static void random_trials(void) {
    uint64_t seed = 19;
    for (int number = 0; number < 150; number++) {
        const trial t = trial_new(&seed);
        one_trial(&t, number, test_random(&seed));
    }
}

static void test_random_pools_equal_plain_loops(void **state) {
    (void)state;
    each_level(random_trials);
}

/* Samples of more than SW_TILE elements, which do not fit in the blocks on the stack for f16 and bf16, and places that
 * need more than a byte. */
static void test_large_pictures(void **state) {
    (void)state;
    const trial list[] = {
        {.shape = {2, 40, 30, 9}, .out = {20, 15}, .window = {2, 2}, .options = {.stride = {2, 2}, .dilation = {1, 1}}},
        {.average = true, .adaptive = true, .shape = {3, 40, 50, 4}, .out = {1, 1}},
        {.adaptive = true, .shape = {3, 40, 50, 4}, .out = {1, 1}},
        {.adaptive = true, .shape = {1, 5, 3, 20}, .out = {17, 18}},
    };
    for (int i = 0; i < 4; i++) {
        trial t = list[i];
        t.options.size = sizeof t.options;
        one_trial(&t, i, 100 + (uint64_t)i);
    }
}

/* ---- The option relu ---- */

/* Runs a pool of max(x, 0), by the option or by sw_relu. */
static void run_relu(const trial *t, bool option, sw_tape *tape, const sw_array *x, sw_array *y, sw_array *dx) {
    trial with = *t;
    with.options.relu = option;
    sw_tape_reset(tape);
    const sw_tensor in = sw_variable(tape, *x), out = trial_run(&with, option ? in : sw_relu(in));
    expect_no_error();
    *y = sw_value(out);
    sw_array dy = test_array(y->type, y->rank, y->shape);
    cotangent_fill(&dy, 5);
    assert_ok(sw_backward_from(out, dy));
    *dx = sw_grad(in);
    test_array_free(&dy);
}

/* Whether a position along an axis is in a window. The numbers are those of the options with the defaults. */
static bool is_in_a_window(const trial *t, int axis, int64_t position) {
    const sw_pool_options *o = &t->options;
    const bool whole = o->stride[0] == 0 && o->stride[1] == 0;
    const int64_t stride = whole ? t->window[axis] : o->stride[axis];
    bool inside = false;
    for (int64_t i = 0; i < t->out[axis]; i++) {
        const int64_t first = i * stride - o->padding[axis];
        inside = inside || (position >= first && position < first + t->window[axis]);
    }
    return inside;
}

/* Whether the gradient of element i, a NaN, may be 0: in max pools if it was not chosen, in means if it is in no
 * window. */
static bool gradient_may_be_zero(const trial *t, const sw_array *x, int64_t i) {
    const int64_t pixel = i / t->shape[3], w = pixel % t->shape[2], h = pixel / t->shape[2] % t->shape[1];
    return isnan(test_get(x, i)) && (!t->average || !is_in_a_window(t, 0, h) || !is_in_a_window(t, 1, w));
}

/* Values and gradients have equal bits, except for gradients of NaN elements that may be 0. */
static void one_relu(const trial *t, int number, sw_dtype type, bool special, sw_tape *const *tape) {
    sw_array x = test_array(type, 4, t->shape), y[2], dx[2];
    pool_fill(&x, special ? SPECIAL : number % 2 ? TIES : NUMBERS, (uint64_t)number);
    for (int64_t i = 0; i < sw_array_count(&x); i++)
        if (i % 5 == 0 && test_get(&x, i) == 0)
            test_set(&x, i, -0.0);
    for (int k = 0; k < 2; k++)
        run_relu(t, k, tape[k], &x, &y[k], &dx[k]);
    for (int64_t i = 0; i < sw_array_count(&y[0]); i++) {
        const double a = test_get(&y[0], i), b = test_get(&y[1], i);
        if (!((a == b && signbit(a) == signbit(b)) || (isnan(a) && isnan(b))))
            fail_msg("trial %d, %s, value %d: %g, not %g", number, sw_dtype_name(type), (int)i, b, a);
    }
    for (int64_t i = 0; i < sw_array_count(&x); i++) {
        const double a = test_get(&dx[0], i), b = test_get(&dx[1], i);
        const bool may_differ = gradient_may_be_zero(t, &x, i);
        if (!((a == b && signbit(a) == signbit(b)) || (isnan(a) && (isnan(b) || (may_differ && b == 0)))))
            fail_msg("trial %d, %s, gradient %d of %g: %g, not %g", number, sw_dtype_name(type), (int)i,
                     test_get(&x, i), b, a);
    }
    test_array_free(&x);
}

static void relu_trials(void) {
    sw_tape *tape[2] = {sw_tape_new(), sw_tape_new()};
    uint64_t seed = 23;
    for (int number = 0; number < 120; number++) {
        const trial t = trial_new(&seed);
        for (int type = SW_F32; type <= SW_BF16 && !t.adaptive; type++)
            one_relu(&t, number, (sw_dtype)type, number % 3 == 0, tape);
    }
    sw_tape_free(tape[0]);
    sw_tape_free(tape[1]);
}

static void test_relu_of_the_options_is_relu(void **state) {
    (void)state;
    each_level(relu_trials);
}

/* ---- Limits ---- */

/* A dilated window may have its elements before and after x. */
static void test_window_without_an_element_gives_minus_infinity(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    sw_array x = test_filled(SW_F32, SW_SHAPE(1, 2, 1, 3), -1, 1, 3);
    const sw_tensor in = sw_variable(tape, x), out = sw_max_pool2d(in, 2, 1,
                                                                   &SW_OPTIONS(sw_pool_options, .stride = {1, 1},
                                                                               .padding = {1, 0}, .dilation = {3, 1}));
    const sw_array y = sw_value(out);
    expect_no_error();
    assert_true(sw_shape_equal(y.rank, y.shape, SW_SHAPE(1, 1, 1, 3)));
    assert_ok(sw_backward_from(out, y));
    const sw_array dx = sw_grad(in);
    for (int i = 0; i < 3; i++)
        assert_true(test_get(&y, i) == -INFINITY);
    for (int i = 0; i < 6; i++)
        assert_true(test_get(&dx, i) == 0);
    test_array_free(&x);
    sw_tape_free(tape);
}

/* In f32 a sum of 0.1 in one chain would lose a digit after a few thousand terms, and would stop growing at 2^21. */
static void test_mean_of_a_large_picture_keeps_its_digits(void **state) {
    (void)state;
    enum { SIDE = 2049 };
    sw_tape *tape = sw_tape_new();
    const sw_tensor x = sw_empty(tape, SW_F32, SW_SHAPE(1, SIDE, SIDE, 1));
    const sw_array a = sw_value(x);
    for (int64_t i = 0; i < SIDE * SIDE; i++)
        ((float *)a.data)[i] = 0.1F;
    const sw_array y = sw_value(sw_global_avg_pool2d(x));
    expect_no_error();
    /* Sums of 32 equal terms have an error below 32 roundings; there are two roundings after that. */
    assert_true(fabs(test_get(&y, 0) - (double)0.1F) <= 34 * 0x1p-24 * 0.1);
    sw_tape_free(tape);
}

/* Long sums keep their rounding errors, which are not numbers if a sum is infinite. */
static void test_mean_of_infinities(void **state) {
    (void)state;
    enum { SIDE = 9, AT = 40 };
    static const struct {
        double first, second, mean;
    } cases[] = {{INFINITY, 1, INFINITY},
                 {-INFINITY, 1, -INFINITY},
                 {INFINITY, INFINITY, INFINITY},
                 {INFINITY, -INFINITY, NAN},
                 {NAN, 1, NAN}};
    sw_tape *tape = sw_tape_new();
    for (int t = SW_F32; t <= SW_BF16; t++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            sw_tape_reset(tape);
            const sw_tensor x = sw_empty(tape, (sw_dtype)t, SW_SHAPE(1, SIDE, SIDE, 1));
            const sw_array a = sw_value(x);
            for (int k = 0; k < SIDE * SIDE; k++)
                test_set(&a, k, k == AT ? cases[i].first : k == SIDE * SIDE - 1 ? cases[i].second : 1);
            const sw_array y = sw_value(sw_global_avg_pool2d(x));
            const double own = test_get(&y, 0);
            assert_true(isnan(cases[i].mean) ? isnan(own) : own == cases[i].mean);
        }
    sw_tape_free(tape);
}

static void expect_refused(sw_tensor y, sw_status status, const char *message) {
    assert_true(sw_is_null(y));
    expect_error(status, message);
}

static void test_mistakes_are_explained(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    const sw_tensor x = sw_empty(tape, SW_F32, SW_SHAPE(2, 4, 4, 3)),
                    ids = sw_empty(tape, SW_I32, SW_SHAPE(2, 4, 4, 3));
    expect_refused(sw_max_pool2d(x, 2, 0, NULL), SW_ERR_ARGUMENT,
                   "max_pool2d: window 2×0; 1 to 2^31 - 1 along each axis is needed");
    expect_refused(sw_avg_pool2d(x, 2, 2, &SW_OPTIONS(sw_pool_options, .dilation = {2, 2})), SW_ERR_ARGUMENT,
                   "avg_pool2d: dilation 2×2; only max pools have one");
    expect_refused(sw_max_pool2d(x, 3, 3, &SW_OPTIONS(sw_pool_options, .padding = {2, 1})), SW_ERR_ARGUMENT,
                   "max_pool2d: padding 2×1 of a window 3×3; at most half of the window is possible");
    expect_refused(sw_max_pool2d(ids, 2, 2, NULL), SW_ERR_TYPE,
                   "max_pool2d: input 0 is i32; f32, f64, f16 or bf16 is needed");
    expect_refused(sw_adaptive_max_pool2d(x, 0, 3), SW_ERR_ARGUMENT,
                   "adaptive_max_pool2d: a result of 0×3; 1 to 2^31 - 1 along each axis is needed");
    expect_refused(sw_max_pool1d(x, 2, NULL), SW_ERR_SHAPE,
                   "max_pool1d: x is [2,4,4,3]; [batch, length, channels] is needed");
    expect_refused(sw_max_pool2d(x, 2, 2, &(sw_pool_options){.size = 3}), SW_ERR_ARGUMENT,
                   "max_pool2d: options.size is 3; sizeof(sw_pool_options) is 64");
    sw_tape_free(tape);
}

#define TEST(name) cmocka_unit_test_teardown(name, test_clear)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_all_options_agree_with_torch),
        TEST(test_random_pools_equal_plain_loops),
        TEST(test_large_pictures),
        TEST(test_relu_of_the_options_is_relu),
        TEST(test_window_without_an_element_gives_minus_infinity),
        TEST(test_mean_of_a_large_picture_keeps_its_digits),
        TEST(test_mean_of_infinities),
        TEST(test_mistakes_are_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
