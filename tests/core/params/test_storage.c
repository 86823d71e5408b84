/* Parameters whose leaves and gradients are stored in 16 bits: the values that the tape reads and writes, their types,
 * and that sums in f32 lose no digits. The operation is a custom one, compiled for every storage type. */
#define SW_KERNEL_16_BIT
#include <swale/kernel.h>

#if SW_KERNEL_FIRST
typedef struct dot_args {
    const void *x, *w, *dy;
    void *out;
    int64_t width;
} dot_args;
#endif

#if SW_KERNEL_PASS

/* out_i = Σ_j x_ij w_j, in the compute type */
static void SW_K(dot)(void *args, int64_t begin, int64_t end, double *sums) {
    const dot_args *s = args;
    const stored *x = s->x, *w = s->w;
    real *out = s->out;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        real total = 0;
        for (int64_t j = 0; j < s->width; j++)
            total += SW_LOAD(x, i * s->width + j) * SW_LOAD(w, j);
        out[i] = total;
    }
}

/* dw_ij = dy_i x_ij: the engine adds over i */
static void SW_K(dot_vjp)(void *args, int64_t begin, int64_t end, double *sums) {
    const dot_args *s = args;
    const stored *x = s->x;
    const real *dy = s->dy;
    stored *out = s->out;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < s->width; j++)
            SW_STORE(out, i * s->width + j, dy[i] * SW_LOAD(x, i * s->width + j));
}

/* a·b of equal shapes, or with b repeated: all in the storage type */
static void SW_K(times)(void *args, int64_t begin, int64_t end, double *sums) {
    const dot_args *s = args;
    const stored *a = s->x, *b = s->w;
    stored *out = s->out;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        SW_STORE(out, i, SW_LOAD(a, i) * SW_LOAD(b, i % s->width));
}

#else

#include "core/params/gradient.h"
#include "core/params/vector.h"
#include "support.h"

static const sw_kernels dot_kernels = SW_KERNEL_TABLE(dot), dot_vjp_kernels = SW_KERNEL_TABLE(dot_vjp),
                        times_kernels = SW_KERNEL_TABLE(times);

/* ---- dot: x [n, width] and w [width] of one storage type give [n] of its compute type ---- */

static sw_status dot_shape(sw_call *c) {
    SW_TRY(sw_call_check_float(c));
    return sw_call_set_shape(c, sw_dtype_compute(c->in[0]->type), 1, c->in[0]->shape);
}

static sw_status dot_forward(sw_call *c) {
    dot_args args = {.x = c->in[0]->data, .w = c->in[1]->data, .out = c->out->data, .width = c->in[1]->count};
    sw_kernel_run(&dot_kernels, c->in[0]->type, &args, c->out->count);
    return SW_OK;
}

static sw_status dot_vjp(sw_call *c) {
    const sw_view *x = c->in[0], *w = c->in[1];
    const size_t bytes = (size_t)x->count * sw_dtype_size(x->type);
    void *dw = sw_call_grad(c, 1), *each = sw_call_scratch(c, bytes);
    if (!dw || !each)
        return SW_ERR_MEMORY;
    dot_args args = {.x = x->data, .dy = c->cotangent, .out = each, .width = w->count};
    sw_kernel_run(&dot_vjp_kernels, x->type, &args, x->shape[0]);
    for (int64_t j = 0; j < w->count; j++) {
        double sum = 0;
        for (int64_t i = 0; i < x->shape[0]; i++)
            sum += sw_load_element(x->type, each, i * w->count + j);
        sw_store_element(w->type, dw, j, sum);
    }
    return SW_OK;
}

static const sw_op dot_op = {.size = sizeof(sw_op),
                             .name = "dot",
                             .shape = dot_shape,
                             .forward = dot_forward,
                             .vjp = dot_vjp,
                             .vjp_reads = SW_READS(0),
                             .takes_16_bit = true};

/* ---- times: a [n, width] times b [width], which repeats; the engine adds its gradient over the rows ---- */

static sw_status times_shape(sw_call *c) {
    SW_TRY(sw_call_check_float(c));
    return sw_call_set_shape_broadcast_of(c, c->in[0]->type);
}

static sw_status times_forward(sw_call *c) {
    dot_args args = {.x = c->in[0]->data, .w = c->in[1]->data, .out = c->out->data, .width = c->in[1]->count};
    sw_kernel_run(&times_kernels, c->out->type, &args, c->out->count);
    return SW_OK;
}

static sw_status times_vjp(sw_call *c) {
    for (int i = 0; i < 2; i++) {
        if (!sw_call_wants_grad(c, i))
            continue;
        const sw_view *other = c->in[1 - i];
        dot_args args = {.x = c->cotangent, .w = other->data, .out = sw_call_grad(c, i), .width = other->count};
        if (!args.out)
            return SW_ERR_MEMORY;
        sw_kernel_run(&times_kernels, c->out->type, &args, c->out->count);
    }
    return SW_OK;
}

static const sw_op times_op = {.size = sizeof(sw_op),
                               .name = "times",
                               .shape = times_shape,
                               .forward = times_forward,
                               .vjp = times_vjp,
                               .vjp_reads = SW_READS(0) | SW_READS(1),
                               .broadcasts = true,
                               .takes_16_bit = true};

static sw_tensor apply2(const sw_op *op, sw_tensor a, sw_tensor b) {
    return sw_apply(op, NULL, 0, 2, (sw_tensor[]){a, b});
}

/* ---- Parameters ---- */

enum { WIDTH = 37, ROWS = 6 };
static const sw_dtype halves[2] = {SW_F16, SW_BF16};

static sw_status fill_thirds(const sw_init *init, const sw_param *param, sw_rng *rng, double *out) {
    (void)init, (void)rng;
    for (int64_t i = 0; i < param->count; i++)
        out[i] = (double)(i + 1) / 3 - 5; /* cannot be represented in 16 bits */
    return SW_OK;
}

static sw_params *params_of(sw_dtype storage) {
    sw_params *p =
        sw_params_new_with_options(&(sw_params_options){.size = sizeof(sw_params_options), .storage = storage});
    const sw_param_options options = {.size = sizeof options,
                                      .init = {.size = sizeof(sw_init), .name = "thirds", .fill = fill_thirds}};
    assert_non_null(p);
    assert_non_null(sw_params_add(p, "w", SW_SHAPE(WIDTH), &options));
    assert_non_null(sw_params_add(p, "unused", SW_SHAPE(3), &options));
    assert_non_null(sw_params_tie(p, "tied", sw_params_find(p, "w")));
    assert_int_equal(sw_params_build(p), SW_OK);
    return p;
}

static double rounded(sw_dtype type, double v) {
    uint64_t element = 0;
    sw_store_element(type, &element, 0, v);
    return sw_load_element(type, &element, 0);
}

static sw_array rows_of(sw_dtype type, uint64_t seed) {
    return test_filled(type, SW_SHAPE(ROWS, WIDTH), -2, 2, seed);
}

static void expect_leaf(sw_tensor leaf, sw_dtype type, const float *x) {
    const sw_array a = sw_value(leaf);
    assert_int_equal(a.type, type);
    for (int64_t i = 0; i < WIDTH; i++)
        assert_true(test_get(&a, i) == rounded(type, (double)x[i]));
}

/* Leaves hold x rounded to the storage type: after a change of x, and of the vector that is bound. */
static void test_leaves_are_x_in_the_storage_type(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        sw_params *p = params_of(halves[k]);
        sw_param *w = sw_params_find(p, "w");
        sw_tape *tape = sw_tape_new();
        float *x = sw_params_x(p), other[WIDTH + 3];
        assert_int_equal(sw_params_type(p), SW_F32);
        assert_int_equal(sw_params_storage(p), halves[k]);
        assert_int_equal(sw_param_value(w).type, SW_F32);
        expect_leaf(sw_param_use(tape, w), halves[k], x);
        assert_true(sw_value(sw_param_use(tape, w)).data == sw_value(sw_param_use(tape, w)).data);
        for (int i = 0; i < WIDTH; i++)
            x[i] *= -1.7F;
        sw_params_mark_changed(p);
        expect_leaf(sw_param_use(tape, w), halves[k], x); /* in the same pass */
        sw_tape_reset(tape);
        for (int i = 0; i < WIDTH + 3; i++)
            other[i] = x[i] + 1;
        assert_int_equal(sw_tape_bind(tape, p, other, NULL), SW_OK);
        expect_leaf(sw_param_use(tape, w), halves[k], other);
        sw_tape_reset(tape);
        for (int i = 0; i < WIDTH; i++)
            other[i] *= 3; /* a vector of the caller has no version, so that it is read again in each pass */
        expect_leaf(sw_param_use(tape, w), halves[k], other);
        sw_tape_reset(tape);
        assert_int_equal(sw_tape_bind(tape, p, NULL, NULL), SW_OK);
        expect_leaf(sw_param_use(tape, w), halves[k], x);
        expect_no_error();
        sw_tape_free(tape);
        sw_params_free(p);
    }
}

/* The set owns the copy that all tapes read, so that another tape costs no memory. A tape that is bound to another
 * vector has its own copy. */
static void test_tapes_share_the_copy(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        sw_params *p = params_of(halves[k]);
        sw_param *w = sw_params_find(p, "w");
        const sw_array stored = sw_param_stored_value(w);
        float *x = sw_params_x(p), other[WIDTH + 3] = {0};
        const size_t bytes = sw_memory_contents(SW_ACCOUNT_PARAMETERS);
        assert_int_equal(bytes, (WIDTH + 3) * (sizeof(float) + sizeof(uint16_t)));
        sw_tape *tapes[3] = {sw_tape_new(), sw_tape_new(), sw_tape_new()};
        for (int i = 0; i < 2; i++) {
            assert_ptr_equal(sw_value(sw_param_use(tapes[i], w)).data, stored.data);
            sw_tape_reset(tapes[i]);
        }
        assert_int_equal(sw_memory_contents(SW_ACCOUNT_PARAMETERS), bytes);
        assert_int_equal(stored.type, halves[k]);
        for (int i = 0; i < WIDTH; i++) {
            x[i] *= 3;
            assert_true(test_get(&stored, i) == rounded(halves[k], (double)x[i] / 3));
        }
        sw_params_mark_changed(p); /* computes the copy at once, before any tape uses it */
        for (int i = 0; i < WIDTH; i++)
            assert_true(test_get(&stored, i) == rounded(halves[k], (double)x[i]));
        assert_int_equal(sw_params_reinitialize(p), SW_OK);
        for (int i = 0; i < WIDTH; i++)
            assert_true(test_get(&stored, i) == rounded(halves[k], (double)(float)((double)(i + 1) / 3 - 5)));
        assert_int_equal(sw_tape_bind(tapes[2], p, other, NULL), SW_OK);
        assert_true(sw_value(sw_param_use(tapes[2], w)).data != stored.data);
        expect_leaf(sw_param_use(tapes[2], w), halves[k], other);
        expect_leaf(sw_param_use(tapes[0], w), halves[k], x);
        assert_int_equal(sw_memory_contents(SW_ACCOUNT_PARAMETERS), bytes + (WIDTH + 3) * sizeof(uint16_t));
        expect_no_error();
        for (int i = 0; i < 3; i++)
            sw_tape_free(tapes[i]);
        assert_int_equal(sw_memory_contents(SW_ACCOUNT_PARAMETERS), bytes);
        sw_params_free(p);
    }
    sw_params *p = params_of(SW_F32); /* without a copy, leaves read x */
    sw_param *w = sw_params_find(p, "w");
    assert_ptr_equal(sw_param_stored_value(w).data, sw_params_x(p));
    assert_null(sw_param_stored_value(NULL).data);
    sw_params_free(p);
}

/* d/dw of ½ mean(dot(x, w)²) in the order of the operations: the scale, a product for each side of z·z, and the
 * rounding of each term of the vjp. */
static void expected_gradient(sw_dtype type, const sw_array *x, const sw_array *w, double *g) {
    const float scale = (float)(0.5 / ROWS);
    double sum[WIDTH] = {0};
    for (int64_t i = 0; i < ROWS; i++) {
        float z = 0;
        for (int64_t j = 0; j < WIDTH; j++)
            z += (float)test_get(x, i * WIDTH + j) * (float)test_get(w, j);
        const float dz = 2 * (scale * z);
        for (int64_t j = 0; j < WIDTH; j++)
            sum[j] += rounded(type, (double)(dz * (float)test_get(x, i * WIDTH + j)));
    }
    for (int64_t j = 0; j < WIDTH; j++)
        g[j] = rounded(type, sum[j]);
}

static sw_tensor half_mean_square(sw_tensor z) {
    return sw_scale(sw_sum(sw_mul(z, z)), 0.5 / ROWS);
}

/* One pass: the block has the storage type, and the bits of the vjp's result; a parameter that the loss does not reach
 * has zeros. */
static void test_gradients_are_in_the_storage_type(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        const sw_dtype type = halves[k];
        sw_params *p = params_of(type);
        sw_param *w = sw_params_find(p, "w");
        sw_tape *tape = sw_tape_new();
        const sw_array x = rows_of(type, 5);
        double expected[WIDTH];
        sw_tensor leaf = sw_param_use(tape, w), z = apply2(&dot_op, sw_input(tape, x), leaf);
        const sw_array leaf_value = sw_value(leaf);
        expected_gradient(type, &x, &leaf_value, expected);
        assert_int_equal(sw_value(z).type, SW_F32);
        assert_int_equal(sw_backward(half_mean_square(z)), SW_OK);
        const sw_array of_leaf = sw_grad(leaf), g = sw_param_grad(w),
                       unused = sw_param_grad(sw_params_find(p, "unused"));
        assert_int_equal(sw_gradient_type(sw_params_gradient(p)), type);
        assert_true(g.type == type && of_leaf.type == type && of_leaf.data == g.data);
        for (int64_t j = 0; j < WIDTH; j++)
            assert_true(test_get(&g, j) == expected[j]);
        for (int64_t j = 0; j < 3; j++)
            assert_true(test_get(&unused, j) == 0);
        free(x.data);
        sw_tape_free(tape);
        sw_params_free(p);
    }
}

/* The mean of many micro-batches in a 16-bit block is as exact as its type allows, because the sum is kept in f32.
 * Without this, additions would have no effect once a sum is more than 2^11 (bf16: 2^8) times a term. */
static void test_sums_of_many_passes_lose_nothing(void **state) {
    (void)state;
    enum { PASSES = 3000 };
    for (int k = 0; k < 2; k++) {
        const sw_dtype type = halves[k];
        sw_params *p = params_of(type);
        sw_param *w = sw_params_find(p, "w");
        sw_tape *tape = sw_tape_new();
        double sum[WIDTH] = {0}, sizes[WIDTH] = {0};
        for (int pass = 0; pass < PASSES; pass++) {
            const sw_array x = rows_of(type, 100 + (uint64_t)pass);
            sw_tensor loss = sw_mean(apply2(&dot_op, sw_input(tape, x), sw_param_use(tape, w)));
            sw_gradient *alone = sw_gradient_new(p);
            assert_int_equal(sw_backward(loss), SW_OK); /* into the set's block, which adds up */
            sw_tape_reset(tape);
            assert_int_equal(sw_tape_bind(tape, p, NULL, alone), SW_OK);
            loss = sw_mean(apply2(&dot_op, sw_input(tape, x), sw_param_use(tape, w)));
            assert_int_equal(sw_backward(loss), SW_OK);
            for (int64_t j = 0; j < WIDTH; j++) {
                const double term = sw_load_element(type, sw_gradient_data(alone), j);
                sum[j] += term;
                sizes[j] += fabs(term);
            }
            sw_tape_reset(tape);
            assert_int_equal(sw_tape_bind(tape, p, NULL, NULL), SW_OK);
            sw_gradient_free(alone);
            free(x.data);
        }
        assert_true(sw_gradient_weight(sw_params_gradient(p)) == PASSES);
        const sw_array g = sw_param_grad(w);
        /* Each addition rounds a sum of at most Σ|g| to f32, 3000 of them lose 3000 · 2^-24 Σ|g|; of the mean that is
         * 2^-24 Σ|g|. It is rounded to the type once (half of 2^-10 or 2^-7 of it, or of the least number). */
        const double unit = type == SW_F16 ? 0x1p-11 : 0x1p-8, least = type == SW_F16 ? 0x1p-25 : 0x1p-134;
        for (int64_t j = 0; j < WIDTH; j++) {
            const double mean = sum[j] / PASSES, lost = 0x1p-24 * (sizes[j] + fabs(mean));
            assert_true(fabs(test_get(&g, j) - mean) <= (fabs(mean) + lost) * unit + lost + least);
        }
        expect_no_error();
        sw_tape_free(tape);
        sw_params_free(p);
    }
}

/* A parameter that one pass uses many times, under two names: the contributions are added in f32, and their sum is
 * rounded once. In 16 bits, additions would have no effect once a sum is 2^8 (f16: 2^11) times a term. The vector for
 * the sum has the elements of this parameter; without a second contribution there is none. */
static void test_contributions_of_one_pass_are_added_in_f32(void **state) {
    (void)state;
    enum { USES = 700 };
    for (int k = 0; k < 2; k++) {
        const sw_dtype type = halves[k];
        sw_params *p = params_of(type);
        sw_param *w = sw_params_find(p, "w"), *tied = sw_params_find(p, "tied");
        sw_tape *tape = sw_tape_new();
        for (int uses = 1; uses <= USES; uses += USES - 1) {
            double sum[WIDTH] = {0}, sizes[WIDTH] = {0};
            sw_array x[USES];
            sw_tensor loss = {0};
            for (int i = 0; i < uses; i++) {
                x[i] = test_filled(type, SW_SHAPE(WIDTH), 0.5, 1, 40 + (uint64_t)i);
                sw_tensor term = sw_sum(apply2(&times_op, sw_input(tape, x[i]), sw_param_use(tape, i % 2 ? tied : w)));
                loss = i ? sw_add(loss, term) : term;
                for (int64_t j = 0; j < WIDTH; j++) {
                    sum[j] += test_get(&x[i], j);
                    sizes[j] += fabs(test_get(&x[i], j));
                }
            }
            sw_gradient_make_fresh(sw_params_gradient(p));
            assert_int_equal(sw_backward(loss), SW_OK);
            assert_int_equal(sw_memory_contents(SW_ACCOUNT_GRADIENTS),
                             (WIDTH + 3) * sizeof(uint16_t) + (uses > 1 ? WIDTH * sizeof(float) : 0));
            const sw_array g = sw_param_grad(w), unused = sw_param_grad(sw_params_find(p, "unused"));
            /* Terms of the type, USES additions in f32, one rounding. */
            const double unit = type == SW_F16 ? 0x1p-11 : 0x1p-8;
            for (int64_t j = 0; j < WIDTH; j++)
                assert_true(fabs(test_get(&g, j) - sum[j]) <= fabs(sum[j]) * unit + sizes[j] * uses * 0x1p-24);
            for (int64_t j = 0; j < 3; j++)
                assert_true(test_get(&unused, j) == 0);
            sw_tape_reset(tape);
            for (int i = 0; i < uses; i++)
                free(x[i].data);
        }
        expect_no_error();
        sw_tape_free(tape);
        sw_params_free(p);
    }
}

/* One use of a parameter: Σ p·x, whose gradient is x. */
static sw_tensor use_of(sw_tape *tape, sw_param *param, const sw_array *x) {
    return sw_sum(apply2(&times_op, sw_input(tape, *x), sw_param_use(tape, param)));
}

/* If a second parameter is used more than once, or a second pass adds to the gradient, the sums of all parameters move
 * to one vector, with what was added in f32 so far. With u, half of the distance of numbers of the type above 1: one
 * pass has 1 + 2·0.75 u, two have the mean 1 + 1.5·0.75 u, and both are rounded to 1 + 2 u. If the sum had been rounded
 * before it moved, the results would be 1. */
static void test_sum_of_one_parameter_moves_to_that_of_all(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++)
        for (int passes = 1; passes <= 2; passes++) {
            const sw_dtype type = halves[k];
            const double unit = type == SW_F16 ? 0x1p-11 : 0x1p-8; /* half of the distance of the numbers above 1 */
            sw_params *p = params_of(type);
            sw_param *w = sw_params_find(p, "w"), *other = sw_params_find(p, "unused");
            sw_array one = test_array(type, SW_SHAPE(WIDTH)), half = test_array(type, SW_SHAPE(WIDTH)),
                     three = test_array(type, SW_SHAPE(3));
            for (int64_t i = 0; i < WIDTH; i++) {
                test_set(&one, i, 1);
                test_set(&half, i, 0.75 * unit);
            }
            for (int64_t i = 0; i < 3; i++)
                test_set(&three, i, 1.5);
            sw_tape *tape = sw_tape_new();
            for (int pass = 0; pass < passes; pass++) {
                sw_tensor loss = use_of(tape, w, &half);
                if (passes == 1) /* between the contributions to w, which backward adds in the reverse order */
                    loss = sw_add(loss, sw_add(use_of(tape, other, &three), use_of(tape, other, &three)));
                if (passes == 1 || pass == 1)
                    loss = sw_add(loss, use_of(tape, w, &half));
                loss = sw_add(loss, use_of(tape, w, &one));
                assert_int_equal(sw_backward(loss), SW_OK);
                sw_tape_reset(tape);
            }
            const sw_array g = sw_param_grad(w), rest = sw_param_grad(other);
            for (int64_t i = 0; i < WIDTH; i++)
                assert_true(test_get(&g, i) == 1 + 2 * unit);
            for (int64_t i = 0; i < 3; i++)
                assert_true(test_get(&rest, i) == (passes == 1 ? 3 : 0));
            assert_int_equal(sw_memory_contents(SW_ACCOUNT_GRADIENTS),
                             (WIDTH + 3) * (sizeof(uint16_t) + sizeof(float)));
            test_array_free(&one), test_array_free(&half), test_array_free(&three);
            sw_tape_free(tape);
            sw_params_free(p);
        }
}

/* The sum of the passes is larger than the largest f16, 65504; the mean is not. */
static void test_sums_may_exceed_the_type(void **state) {
    (void)state;
    enum { PASSES = 20 };
    const double scale = 16384;
    for (int k = 0; k < 2; k++) {
        const sw_dtype type = halves[k];
        sw_params *p = params_of(type);
        sw_param *w = sw_params_find(p, "w");
        sw_tape *tape = sw_tape_new();
        const sw_array x = rows_of(type, 8);
        sw_array one = {0}, g;
        double first[WIDTH];
        for (int pass = 0; pass < PASSES; pass++) {
            assert_int_equal(
                sw_backward(sw_scale(sw_mean(apply2(&dot_op, sw_input(tape, x), sw_param_use(tape, w))), scale)),
                SW_OK);
            sw_tape_reset(tape);
            one = pass == 0 ? sw_param_grad(w) : one;
            for (int64_t j = 0; pass == 0 && j < WIDTH; j++)
                first[j] = test_get(&one, j);
        }
        g = sw_param_grad(w);
        double largest = 0;
        for (int64_t j = 0; j < WIDTH; j++) {
            largest = fmax(largest, fabs(first[j]));
            assert_true(test_get(&g, j) == first[j]); /* the sums of 20 numbers of 11 bits are f32 */
        }
        assert_true(largest * PASSES > 65536 && largest < 65504);
        expect_no_error();
        sw_tape_free(tape);
        sw_params_free(p);
        free(x.data);
    }
}

/* A view is in the type of x: methods that combine several gradients compute in f32. It receives the same numbers. */
static void test_views_are_in_the_type_of_x(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        sw_params *p = params_of(halves[k]);
        sw_param *w = sw_params_find(p, "w");
        sw_tape *tape = sw_tape_new();
        const sw_array x = rows_of(halves[k], 9);
        float g[WIDTH + 3];
        sw_gradient *view = sw_gradient_view(p);
        assert_int_equal(sw_gradient_type(view), SW_F32);
        for (int passes = 1; passes <= 3; passes++) { /* stored, then added with compensation */
            assert_int_equal(sw_tape_bind(tape, p, NULL, NULL), SW_OK);
            sw_gradient_make_fresh(sw_params_gradient(p));
            assert_int_equal(sw_backward(sw_mean(apply2(&dot_op, sw_input(tape, x), sw_param_use(tape, w)))), SW_OK);
            sw_tape_reset(tape);
            memset(g, 0xFF, sizeof g);
            sw_gradient_set_data(view, g);
            assert_int_equal(sw_tape_bind(tape, p, NULL, view), SW_OK);
            for (int i = 0; i < passes; i++) {
                sw_tensor leaf = sw_param_use(tape, w);
                assert_int_equal(sw_backward(sw_mean(apply2(&dot_op, sw_input(tape, x), leaf))), SW_OK);
                assert_true(sw_grad(leaf).type == SW_F32 && sw_grad(leaf).data == (void *)g);
                sw_tape_reset(tape);
            }
            const sw_array block = sw_param_grad(w);
            for (int64_t j = 0; j < WIDTH;
                 j++) /* the mean of equal gradients: sums of two and three f32 and a product */
                assert_true(fabs((double)g[j] - test_get(&block, j)) <=
                            (passes == 1 ? 0 : fabs(test_get(&block, j)) * 0x1p-22));
            assert_true(g[WIDTH] == 0 && g[WIDTH + 2] == 0);
        }
        sw_tape_free(tape);
        sw_gradient_free(view);
        sw_params_free(p);
        free(x.data);
    }
}

/* ---- Tensors of 16 bits ---- */

/* A variable that is used twice, and one that is repeated: the engine adds in f32 and rounds once, except that it also
 * rounds between the two uses. */
static void test_engine_accumulates_in_16_bits(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        const sw_dtype type = halves[k];
        sw_tape *tape = sw_tape_new();
        sw_array a = rows_of(type, 3), b = test_filled(type, SW_SHAPE(WIDTH), -1, 1, 4),
                 c = test_filled(type, SW_SHAPE(ROWS, WIDTH), -1, 1, 6);
        sw_tensor ta = sw_variable(tape, a), tb = sw_variable(tape, b);
        sw_tensor y = apply2(&times_op, ta, tb);
        assert_int_equal(sw_value(y).type, type);
        assert_int_equal(sw_backward_from(y, c), SW_OK);
        const sw_array db = sw_grad(tb), da = sw_grad(ta);
        assert_true(db.type == type && da.type == type);
        double before[WIDTH], unit = type == SW_F16 ? 0x1p-11 : 0x1p-8;
        float sum[WIDTH] = {0}, sizes[WIDTH] = {0};
        for (int64_t j = 0; j < WIDTH; j++) {
            for (int64_t i = 0; i < ROWS; i++) {
                const double term = rounded(type, test_get(&c, i * WIDTH + j) * test_get(&a, i * WIDTH + j));
                sum[j] += (float)term;
                sizes[j] += (float)fabs(term);
            }
            before[j] = test_get(&db, j);
            /* Rounded once; the order of six additions in f32 is free. */
            assert_true(fabs(before[j] - (double)sum[j]) <=
                        fabs((double)sum[j]) * unit + (double)sizes[j] * 6 * 0x1p-24);
        }
        sw_tensor again = apply2(&times_op, ta, tb); /* a second use adds the sum, and rounds once more */
        assert_int_equal(sw_backward_from(again, c), SW_OK);
        const sw_array twice = sw_grad(tb);
        for (int64_t j = 0; j < WIDTH; j++) {
            const double both = before[j] + (double)sum[j];
            assert_true(fabs(test_get(&twice, j) - both) <= fabs(both) * unit + (double)sizes[j] * 7 * 0x1p-24);
        }
        expect_no_error();
        sw_tape_free(tape);
        free(a.data), free(b.data), free(c.data);
    }
}

/* f64 is not combined with 16 bits; views, which read no numbers, pass the type on. */
static void test_types_that_cannot_be_combined_are_refused(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    const sw_array a = rows_of(SW_BF16, 3), f = rows_of(SW_F64, 3);
    sw_tensor half = sw_variable(tape, a), wide = sw_input(tape, f);
    assert_true(sw_is_null(sw_add(wide, half)));
    expect_error(SW_ERR_TYPE, "add: input 0 is f64 and input 1 is bf16; convert one of them (sw_cast)");
    sw_tape_set_layer(tape, "linear7");
    assert_true(sw_is_null(sw_linear(half, wide, (sw_tensor){0})));
    expect_error(SW_ERR_TYPE,
                 "layer linear7: linear: input 1 is f64 and input 0 is bf16; convert one of them (sw_cast)");
    sw_tape_set_layer(tape, NULL);
    assert_true(sw_is_null(apply2(&dot_op, half, wide)));
    expect_error(SW_ERR_TYPE, "dot: input 1 is f64 and input 0 is bf16; convert one of them (sw_cast)");
    sw_tensor view = sw_reshape(half, SW_SHAPE(WIDTH, ROWS));
    assert_true(sw_value(view).type == SW_BF16 && sw_value(view).data == a.data);
    assert_int_equal(sw_backward_from(view, sw_array_view(a.data, SW_BF16, SW_SHAPE(WIDTH, ROWS))), SW_OK);
    assert_memory_equal(sw_grad(half).data, a.data, sizeof(uint16_t) * ROWS * WIDTH);
    expect_no_error();
    sw_tape_free(tape);
    free(a.data), free(f.data);
}

static void test_check_mode_finds_nan_in_16_bits(void **state) {
    (void)state;
    sw_params *p = params_of(SW_BF16);
    sw_tape *tape = sw_tape_new();
    const sw_array x = rows_of(SW_BF16, 3);
    sw_tape_set_switch(tape, SW_CHECK, true);
    ((float *)sw_params_x(p))[2] = NAN;
    sw_params_mark_changed(p);
    assert_true(sw_is_null(apply2(&dot_op, sw_input(tape, x), sw_param_use(tape, sw_params_find(p, "w")))));
    expect_error(SW_ERR_NONFINITE, "dot: parameter w, input 1, holds NaN at [2]");
    sw_tape_free(tape);
    sw_params_free(p);
    free(x.data);
}

/* A contribution that is added to the sum in f32, after another one was stored in 16 bits: 2·60000 is Inf in f16. */
static void test_check_mode_finds_infinity_in_a_sum(void **state) {
    (void)state;
    sw_params *p = params_of(SW_F16);
    sw_param *w = sw_params_find(p, "w");
    sw_tape *tape = sw_tape_new();
    const sw_array x = rows_of(SW_F16, 3), large = rows_of(SW_F16, 4);
    sw_tape_set_switch(tape, SW_CHECK, true);
    test_set(&large, 5, 60000);
    sw_tensor first = sw_scale(sw_sum(apply2(&dot_op, sw_input(tape, large), sw_param_use(tape, w))), 2),
              second = sw_sum(apply2(&dot_op, sw_input(tape, x), sw_param_use(tape, w)));
    assert_int_equal(sw_backward(second), SW_OK);
    assert_int_equal(sw_backward(first), SW_ERR_NONFINITE);
    assert_non_null(strstr(sw_error(), "parameter w became Inf at [5]"));
    sw_clear_error();
    sw_tape_free(tape);
    sw_params_free(p);
    free(x.data), free(large.data);
}

/* ---- Errors ---- */

static void test_other_storage_is_refused(void **state) {
    (void)state;
    const struct {
        sw_dtype type, storage;
        const char *message;
    } wrong[] = {
        {SW_F32, SW_F64, "parameters: storage f64 for parameters in f32; f32, f16 or bf16 is needed"},
        {SW_F64, SW_BF16, "parameters: storage bf16 for parameters in f64; f64 is needed"},
        {SW_BF16, SW_F16, "parameters: type bf16 and storage f16; leave the storage out, or let both be equal"},
        {SW_F32, SW_I32, "parameters: storage i32 for parameters in f32; f32, f16 or bf16 is needed"},
        {SW_I32, 0, "parameters are f32, f64, f16 or bf16, not i32"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const sw_params_options options = {.size = sizeof options, .type = wrong[i].type, .storage = wrong[i].storage};
        assert_null(sw_params_new_with_options(&options));
        expect_error(SW_ERR_TYPE, wrong[i].message);
    }
    assert_null(sw_params_new(SW_U8, 1));
    expect_error(SW_ERR_TYPE, "parameters are f32, f64, f16 or bf16, not u8");
    for (int k = 0; k < 2; k++)
        for (int how = 0; how < 3; how++) { /* three equivalent options */
            const sw_params_options options = {.size = sizeof options,
                                               .type = how ? halves[k] : SW_F32,
                                               .seed = 4,
                                               .storage = how < 2 ? halves[k] : 0};
            sw_params *p = how == 2 ? sw_params_new(halves[k], 4) : sw_params_new_with_options(&options);
            assert_true(sw_params_type(p) == SW_F32 && sw_params_storage(p) == halves[k] && sw_params_seed(p) == 4);
            sw_params_free(p);
        }
    for (int own = 0; own < 2; own++)
        for (int t = 0; t < 2; t++) {
            const sw_params_options options = {
                .size = sizeof options, .type = (sw_dtype)t, .seed = 3, .storage = own ? (sw_dtype)t : 0};
            sw_params *p = sw_params_new_with_options(&options);
            assert_true(sw_params_type(p) == (sw_dtype)t && sw_params_storage(p) == (sw_dtype)t);
            assert_int_equal(sw_params_seed(p), 3);
            sw_params_free(p);
        }
    sw_params *p = sw_params_new_with_options(NULL);
    assert_true(sw_params_type(p) == SW_F32 && sw_params_storage(p) == SW_F32 && sw_params_seed(p) == 0);
    sw_params_free(p);
    assert_null(sw_params_new_with_options(&(sw_params_options){.size = 1}));
    assert_int_equal(sw_error_status(), SW_ERR_ARGUMENT);
    sw_clear_error();
}

/* A number that x can hold and the copy cannot: an error, except for a parameter that is frozen before the build. */
static sw_status fill_large(const sw_init *init, const sw_param *param, sw_rng *rng, double *out) {
    (void)init, (void)rng;
    for (int64_t i = 0; i < param->count; i++)
        out[i] = i == 2 ? 65520 : 65519;
    return SW_OK;
}

static void test_initial_values_beyond_the_storage_type(void **state) {
    (void)state;
    const sw_param_options options = {.size = sizeof options,
                                      .init = {.size = sizeof(sw_init), .name = "large", .fill = fill_large}};
    for (int frozen = 0; frozen < 2; frozen++)
        for (int k = 0; k < 2; k++) {
            sw_params *p = sw_params_new(halves[k], 1);
            sw_param *w = sw_params_add(p, "w", SW_SHAPE(4), &options);
            sw_param_freeze(w, frozen);
            const bool beyond = halves[k] == SW_F16 && !frozen;
            assert_int_equal(sw_params_build(p), beyond ? SW_ERR_NONFINITE : SW_OK);
            if (beyond)
                expect_error(SW_ERR_NONFINITE,
                             "parameter w: initial values large: element 2 is 65520, too large for f16");
            const sw_array stored = sw_param_stored_value(w);
            assert_true(beyond || test_get(&stored, 1) == rounded(halves[k], 65519));
            assert_true(beyond || isinf(test_get(&stored, 2)) == (halves[k] == SW_F16));
            sw_params_free(p);
        }
}

/* Every allocation of a pass fails once: an error, and the next pass works. */
static void test_every_allocation_fails_once(void **state) {
    (void)state;
    test_allocator allocator;
    test_allocator_install(&allocator);
    const sw_array x = rows_of(SW_F16, 2);
    for (long long k = 1, failed = 1; failed > 0; k++) { /* the vectors of a set */
        sw_params *p =
            sw_params_new_with_options(&(sw_params_options){.size = sizeof(sw_params_options), .storage = SW_F16});
        assert_non_null(sw_params_add(p, "w", SW_SHAPE(WIDTH), NULL));
        test_allocator_fail(&allocator, k, false);
        const sw_status status = sw_params_build(p);
        failed = atomic_load(&allocator.failed);
        test_allocator_fail(&allocator, 0, false);
        assert_int_equal(status, failed ? SW_ERR_MEMORY : SW_OK);
        sw_clear_error();
        assert_int_equal(failed ? sw_params_build(p) : SW_OK, SW_OK);
        sw_params_free(p);
    }
    for (long long k = 1;; k++) {
        sw_params *p = params_of(SW_F16);
        sw_param *w = sw_params_find(p, "w");
        sw_tape *tape = sw_tape_new();
        sw_status status = SW_OK;
        test_allocator_fail(&allocator, k, false);
        for (int pass = 0; pass < 2 && status == SW_OK; pass++) {
            sw_tensor z = apply2(&dot_op, sw_input(tape, x), sw_param_use(tape, w));
            sw_tensor y = apply2(&times_op, sw_input(tape, x), sw_param_use(tape, w));
            status = sw_backward(sw_mean(z));
            if (status == SW_OK) /* added to the first, over the rows of x */
                status = sw_backward_from(y, x);
            sw_tape_reset(tape);
        }
        const bool failed = atomic_load(&allocator.failed) > 0;
        test_allocator_fail(&allocator, 0, false);
        assert_int_equal(status, failed ? SW_ERR_MEMORY : SW_OK);
        sw_clear_error();
        sw_tensor z = apply2(&dot_op, sw_input(tape, x), sw_param_use(tape, w));
        assert_int_equal(sw_backward(sw_mean(z)), SW_OK);
        sw_tape_free(tape);
        sw_params_free(p);
        if (!failed)
            break;
    }
    assert_true(atomic_load(&allocator.live) == 0);
    sw_set_allocator(NULL);
    free(x.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_leaves_are_x_in_the_storage_type),
                                       cmocka_unit_test(test_tapes_share_the_copy),
                                       cmocka_unit_test(test_gradients_are_in_the_storage_type),
                                       cmocka_unit_test(test_sums_of_many_passes_lose_nothing),
                                       cmocka_unit_test(test_contributions_of_one_pass_are_added_in_f32),
                                       cmocka_unit_test(test_sum_of_one_parameter_moves_to_that_of_all),
                                       cmocka_unit_test(test_sums_may_exceed_the_type),
                                       cmocka_unit_test(test_views_are_in_the_type_of_x),
                                       cmocka_unit_test(test_engine_accumulates_in_16_bits),
                                       cmocka_unit_test(test_types_that_cannot_be_combined_are_refused),
                                       cmocka_unit_test(test_check_mode_finds_nan_in_16_bits),
                                       cmocka_unit_test(test_check_mode_finds_infinity_in_a_sum),
                                       cmocka_unit_test(test_other_storage_is_refused),
                                       cmocka_unit_test(test_initial_values_beyond_the_storage_type),
                                       cmocka_unit_test(test_every_allocation_fails_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
