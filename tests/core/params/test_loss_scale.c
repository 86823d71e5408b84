/* The loss scale: which results are multiplied by it, in which blocks, and what happens if it changes. The scale is a
 * power of 2, so that results without it have the bits of a computation without a scale. */
#include "core/params/vector.h"
#include "support.h"

#include <swale/extend.h>

/* ---- widen: f16 or bf16 gives f32; the gradient is rounded ---- */

static sw_status widen_shape(sw_call *c) {
    return sw_call_set_shape(c, SW_F32, c->in[0]->rank, c->in[0]->shape);
}

static sw_status widen_forward(sw_call *c) {
    sw_vector_convert(c->in[0]->type, c->out->count, c->in[0]->data, SW_F32, c->out->data);
    return SW_OK;
}

static sw_status widen_vjp(sw_call *c) {
    void *dx = sw_call_grad(c, 0);
    if (!dx)
        return SW_ERR_MEMORY;
    sw_vector_convert(SW_F32, c->out->count, c->cotangent, c->in[0]->type, dx);
    return SW_OK;
}

static const sw_op widen_op = {.size = sizeof(sw_op),
                               .name = "widen",
                               .shape = widen_shape,
                               .forward = widen_forward,
                               .vjp = widen_vjp,
                               .takes_16_bit = true};

/* ---- Losses with known gradients ---- */

enum { WIDTH = 5 };
static const sw_dtype halves[2] = {SW_F16, SW_BF16};
/* Exact in f16 and bf16, apart from the last ones, which are too small for f16: 2^-25 rounds to 0. */
static const double large[WIDTH] = {1, -0.75, 3, -0.0625, 0x1p-10},
                    tiny[WIDTH] = {0x1p-25, -0x1p-26, 0x1.8p-30, -0x1.4p-28, 0x1p-40};

static sw_params *params_of(sw_dtype storage) {
    const sw_dtype type = storage == SW_F64 ? SW_F64 : SW_F32;
    sw_params *p = sw_params_new_with_options(
        &(sw_params_options){.size = sizeof(sw_params_options), .type = type, .storage = storage});
    assert_non_null(p);
    assert_non_null(sw_params_add(p, "w", SW_SHAPE(WIDTH), NULL));
    assert_ok(sw_params_build(p));
    return p;
}

/* Σ c_j w_j in f32 (in f64 for parameters in f64): the gradient by w is c. */
static sw_tensor inner(sw_tape *tape, sw_tensor w, const double *c) {
    const sw_dtype type = sw_value(w).type;
    sw_tensor wide = sw_dtype_is_computed(type) ? w : sw_apply(&widen_op, NULL, 0, 1, &w);
    sw_tensor k = sw_empty(tape, sw_value(wide).type, SW_SHAPE(WIDTH));
    const sw_array a = sw_value(k);
    for (int j = 0; j < WIDTH; j++)
        test_set(&a, j, c[j]);
    return sw_sum(sw_mul(wide, k));
}

static sw_tensor loss_of(sw_tape *tape, sw_params *p, const double *c) {
    return inner(tape, sw_param_use(tape, sw_params_find(p, "w")), c);
}

static double rounded(sw_dtype type, double v) {
    uint64_t element = 0;
    sw_store_element(type, &element, 0, v);
    return sw_load_element(type, &element, 0);
}

/* Backward of the loss with the gradient c into the block of the parameters, or into g. */
static void add_pass(sw_tape *tape, sw_params *p, sw_gradient *g, const double *c, double weight) {
    assert_ok(sw_tape_bind(tape, p, NULL, g));
    assert_ok(sw_backward(sw_loss_with_weight(loss_of(tape, p, c), weight)));
    sw_tape_reset(tape);
}

static void expect_block(sw_gradient *g, double scale, const double *c) {
    const sw_dtype type = sw_gradient_type(g);
    const void *data = sw_gradient_data(g);
    if (sw_gradient_scale(g) != scale)
        fail_msg("the block's scale is %g, not %g", sw_gradient_scale(g), scale);
    for (int j = 0; j < WIDTH; j++)
        if (sw_load_element(type, data, j) != rounded(type, scale * c[j]))
            fail_msg("%s, element %d: %g, not %g·%g", sw_dtype_name(type), j, sw_load_element(type, data, j), scale,
                     c[j]);
}

/* ---- Tests ---- */

static void test_scales_are_powers_of_two(void **state) {
    (void)state;
    static const double wrong[] = {0, -1, 3, 1000, 0x1p25, 0x1p-25, 0x1.000002p4, INFINITY, -INFINITY, (double)NAN};
    sw_params *p = sw_params_new(SW_F32, 1);
    assert_true(sw_params_loss_scale(p) == 1);
    for (int e = -24; e <= 24; e++) {
        assert_ok(sw_params_set_loss_scale(p, ldexp(1, e)));
        assert_true(sw_params_loss_scale(p) == ldexp(1, e));
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(sw_params_set_loss_scale(p, wrong[i]), SW_ERR_ARGUMENT);
        if (wrong[i] == 1000)
            expect_error(SW_ERR_ARGUMENT,
                         "params_set_loss_scale: the scale is 1000; a power of 2 from 2^-24 to 2^24 is needed");
        sw_clear_error();
        assert_true(sw_params_loss_scale(p) == 0x1p24);
    }
    assert_int_equal(sw_params_set_loss_scale(NULL, 2), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "params_set_loss_scale: the set of parameters is NULL");
    assert_true(sw_params_loss_scale(NULL) == 1 && sw_gradient_scale(NULL) == 1);
    sw_params_free(p);
}

/* Gradients that f16 would round to 0 are exact in a 16-bit block with a scale, and in a view without it. */
static void test_blocks_of_16_bits_hold_the_scaled_gradient(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        sw_params *p = params_of(halves[k]);
        sw_tape *tape = sw_tape_new();
        sw_gradient *block = sw_params_gradient(p), *view = sw_gradient_view(p);
        float vector[WIDTH];
        sw_gradient_set_data(view, vector);
        assert_true(sw_gradient_scale(block) == 1 && sw_gradient_scale(view) == 1);
        add_pass(tape, p, NULL, tiny, 1);
        expect_block(block, 1, tiny);
        assert_true(halves[k] != SW_F16 || sw_load_element(SW_F16, sw_gradient_data(block), 0) == 0);
        sw_gradient_make_fresh(block);
        assert_ok(sw_params_set_loss_scale(p, 0x1p16));
        add_pass(tape, p, NULL, tiny, 1);
        expect_block(block, 0x1p16, tiny);
        assert_true(sw_load_element(halves[k], sw_gradient_data(block), 0) == 0x1p-9);
        const sw_array part = sw_param_grad(sw_params_find(p, "w"));
        assert_true(test_get(&part, 0) == 0x1p-9);
        add_pass(tape, p, view, tiny, 1); /* the leaf's gradient is rounded with the scale, and then divided by it */
        assert_true(sw_gradient_scale(view) == 1);
        for (int j = 0; j < WIDTH; j++)
            assert_true((double)vector[j] == rounded(halves[k], 0x1p16 * tiny[j]) * 0x1p-16);
        sw_gradient_make_fresh(block);
        assert_true(sw_gradient_scale(block) == 0x1p16); /* of the numbers that it still holds */
        sw_gradient_free(view);
        sw_tape_free(tape);
        sw_params_free(p);
    }
}

/* Blocks in f32 and f64: the bits of a computation without a scale. */
static void test_blocks_in_compute_types_hold_the_gradient(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        const sw_dtype type = k ? SW_F64 : SW_F32;
        sw_params *p = params_of(type);
        sw_tape *tape = sw_tape_new();
        sw_gradient *block = sw_params_gradient(p);
        static const double scales[] = {1, 0x1p24, 0x1p-24, 2};
        double first[WIDTH];
        for (int s = 0; s < 4; s++) {
            const double c[WIDTH] = {1.0 / 3, -1e-20, 1e20, 0, 7};
            assert_ok(sw_params_set_loss_scale(p, scales[s]));
            add_pass(tape, p, NULL, c, 1);
            assert_true(sw_gradient_scale(block) == 1);
            for (int j = 0; j < WIDTH; j++) {
                const double g = sw_load_element(type, sw_gradient_data(block), j);
                first[j] = s ? first[j] : g;
                assert_true(g == first[j] && g == rounded(type, c[j]));
            }
            sw_gradient_make_fresh(block);
        }
        sw_tape_free(tape);
        sw_params_free(p);
    }
}

/* The scale changes after each micro-batch. The block keeps the scale of its first pass, the sums are in f32, and the
 * mean is rounded once. The mean of c and 3c with the weights 1 and 3 is 2.5 c. */
static void test_scale_may_change_between_micro_batches(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        sw_params *p = params_of(halves[k]);
        sw_tape *tape = sw_tape_new();
        sw_gradient *block = sw_params_gradient(p), *view = sw_gradient_view(p);
        float vector[WIDTH];
        double thrice[WIDTH], mean[WIDTH];
        for (int j = 0; j < WIDTH; j++) {
            thrice[j] = 3 * large[j];
            mean[j] = 2.5 * large[j];
        }
        sw_gradient_set_data(view, vector);
        for (int to_view = 0; to_view < 2; to_view++) {
            sw_gradient *g = to_view ? view : block;
            assert_ok(sw_params_set_loss_scale(p, 0x1p10));
            add_pass(tape, p, g, large, 1);
            assert_ok(sw_params_set_loss_scale(p, 0x1p4));
            add_pass(tape, p, g, thrice, 2);
            assert_ok(sw_params_set_loss_scale(p, 0x1p12));
            add_pass(tape, p, g, thrice, 1);
            assert_true(sw_gradient_weight(g) == 4);
            expect_block(g, to_view ? 1 : 0x1p10, mean);
        }
        sw_gradient_make_fresh(block);
        add_pass(tape, p, NULL, large, 0); /* a part without weight, which the next one replaces */
        assert_ok(sw_params_set_loss_scale(p, 0x1p5));
        add_pass(tape, p, NULL, thrice, 1);
        expect_block(block, 0x1p5, thrice);
        sw_gradient_free(view);
        sw_tape_free(tape);
        sw_params_free(p);
    }
}

/* sw_backward uses the scale at the time of its call, not that when the loss was recorded. Two backward passes of one
 * recording with different scales add up. */
static void test_scale_may_change_on_one_tape(void **state) {
    (void)state;
    sw_params *p = params_of(SW_F16);
    sw_tape *tape = sw_tape_new();
    double sum[WIDTH];
    assert_ok(sw_params_set_loss_scale(p, 0x1p3));
    sw_tensor a = loss_of(tape, p, large), b = loss_of(tape, p, large);
    assert_ok(sw_params_set_loss_scale(p, 0x1p6));
    assert_ok(sw_backward(a));
    expect_block(sw_params_gradient(p), 0x1p6, large);
    assert_ok(sw_params_set_loss_scale(p, 0x1p2));
    assert_ok(sw_backward(b));
    for (int j = 0; j < WIDTH; j++)
        sum[j] = 2 * large[j];
    expect_block(sw_params_gradient(p), 0x1p6, sum);
    sw_tape_free(tape);
    sw_params_free(p);
}

/* The largest scale is the seed. Each block of 16 bits gets its own scale, and the one in f32 none. */
static void test_sets_with_different_scales_share_a_tape(void **state) {
    (void)state;
    sw_params *p = params_of(SW_F16), *q = params_of(SW_BF16), *r = params_of(SW_F32), *unused = params_of(SW_F16);
    sw_tape *tape = sw_tape_new();
    assert_ok(sw_params_set_loss_scale(p, 0x1p8));
    assert_ok(sw_params_set_loss_scale(q, 0x1p-3));
    assert_ok(sw_params_set_loss_scale(unused, 0x1p24)); /* not on this tape */
    for (int frozen = 0; frozen < 2; frozen++) {
        assert_ok(sw_tape_freeze(tape, unused, true)); /* on the tape, but without gradient */
        sw_tensor loss = sw_add(sw_add(loss_of(tape, p, large), loss_of(tape, q, large)), loss_of(tape, r, large));
        if (frozen)
            loss = sw_add(loss, loss_of(tape, unused, large));
        assert_ok(sw_backward(loss));
        expect_block(sw_params_gradient(p), 0x1p8, large);
        expect_block(sw_params_gradient(q), 0x1p-3, large);
        expect_block(sw_params_gradient(r), 1, large);
        sw_gradient_make_fresh(sw_params_gradient(p));
        sw_gradient_make_fresh(sw_params_gradient(q));
        sw_gradient_make_fresh(sw_params_gradient(r));
        sw_tape_reset(tape);
    }
    sw_tape_free(tape);
    sw_params_free(p);
    sw_params_free(q);
    sw_params_free(r);
    sw_params_free(unused);
}

static sw_tensor segment_of(void *user, sw_tape *tape, const sw_tensor *x) {
    sw_params *p = user;
    return sw_add(x[0], loss_of(tape, p, large));
}

/* A vjp that records operations sees the scaled cotangent, and does not multiply it again. */
static void test_segments_are_scaled_once(void **state) {
    (void)state;
    sw_params *p = params_of(SW_F16);
    sw_tape *tape = sw_tape_new();
    double twice[WIDTH];
    assert_ok(sw_params_set_loss_scale(p, 0x1p12));
    sw_tensor start = loss_of(tape, p, large);
    assert_ok(sw_backward(sw_recompute(segment_of, p, 1, &start)));
    for (int j = 0; j < WIDTH; j++)
        twice[j] = 2 * large[j];
    expect_block(sw_params_gradient(p), 0x1p12, twice);
    sw_tape_free(tape);
    sw_params_free(p);
}

/* ---- thrice: 3x, whose vjp records 3x and runs a backward ---- */

static sw_status thrice_shape(sw_call *c) {
    return sw_call_set_shape_like(c, 0);
}

static sw_status thrice_forward(sw_call *c) {
    sw_vector_axpby(c->out->type, c->out->count, 3, c->in[0]->data, 0, NULL, c->out->data);
    return SW_OK;
}

static sw_status thrice_vjp(sw_call *c) {
    void *dx = sw_call_grad(c, 0);
    const sw_mark mark = sw_tape_mark(c->tape);
    const sw_view *v = c->in[0];
    sw_tensor x = sw_variable(c->tape, sw_array_view(v->data, v->type, v->rank, v->shape)),
              y = sw_retain_grad(sw_scale(sw_reshape(x, SW_SHAPE(WIDTH)), 3));
    SW_TRY(sw_backward_from(y, sw_array_view(c->cotangent, v->type, v->rank, v->shape)));
    assert_memory_equal(sw_grad(y).data, c->cotangent, WIDTH * sizeof(float));
    memcpy(dx, sw_grad(x).data, WIDTH * sizeof(float));
    return sw_tape_rewind(c->tape, mark);
}

static const sw_op thrice_op = {.size = sizeof(sw_op),
                                .name = "thrice",
                                .shape = thrice_shape,
                                .forward = thrice_forward,
                                .vjp = thrice_vjp,
                                .vjp_reads = SW_READS(0)};

/* Inside a vjp, sw_backward_from and sw_grad do not apply the scale: cotangents are multiplied by it already. */
static void test_backward_inside_a_vjp_has_no_scale(void **state) {
    (void)state;
    sw_params *p = params_of(SW_F16);
    sw_tape *tape = sw_tape_new();
    double thrice[WIDTH];
    assert_ok(sw_params_set_loss_scale(p, 0x1p9));
    sw_tensor w = sw_param_use(tape, sw_params_find(p, "w")), wide = sw_apply(&widen_op, NULL, 0, 1, &w);
    assert_ok(sw_backward(inner(tape, sw_apply(&thrice_op, NULL, 0, 1, &wide), large)));
    for (int j = 0; j < WIDTH; j++)
        thrice[j] = 3 * large[j];
    expect_block(sw_params_gradient(p), 0x1p9, thrice);
    sw_tape_free(tape);
    sw_params_free(p);
}

/* sw_backward_from multiplies the cotangent, and does not change the caller's array. */
static void test_cotangents_are_scaled(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        sw_params *p = params_of(halves[k]);
        sw_tape *tape = sw_tape_new();
        const sw_array c = test_array(halves[k], SW_SHAPE(WIDTH)), before = test_array(halves[k], SW_SHAPE(WIDTH));
        for (int j = 0; j < WIDTH; j++)
            test_set(&c, j, large[j]);
        memcpy(before.data, c.data, test_bytes(&c));
        assert_ok(sw_params_set_loss_scale(p, 0x1p7));
        sw_tensor w = sw_param_use(tape, sw_params_find(p, "w"));
        assert_ok(sw_backward_from(sw_reshape(w, SW_SHAPE(WIDTH)), c));
        expect_block(sw_params_gradient(p), 0x1p7, large);
        sw_gradient_make_fresh(sw_params_gradient(p));
        sw_tape_reset(tape);
        assert_ok(sw_backward_from(sw_param_use(tape, sw_params_find(p, "w")), c)); /* the leaf itself */
        expect_block(sw_params_gradient(p), 0x1p7, large);
        assert_memory_equal(before.data, c.data, test_bytes(&c));
        sw_tape_free(tape);
        sw_params_free(p);
        free(c.data);
        free(before.data);
    }
}

static void expect_gradient(sw_tensor t, double factor, const double *c) {
    const sw_array g = sw_grad(t);
    assert_non_null(g.data);
    for (int j = 0; j < WIDTH; j++)
        if (test_get(&g, j) != rounded(g.type, factor * c[j]))
            fail_msg("%s, element %d: %g, not %g·%g", sw_dtype_name(g.type), j, test_get(&g, j), factor, c[j]);
}

/* The gradients of variables and of retained tensors are without the scale, also if they are the sum of several
 * backward passes with different scales, one of which does not reach the variable. */
static void test_gradients_of_variables_have_no_scale(void **state) {
    (void)state;
    static const sw_dtype types[] = {SW_F32, SW_F16, SW_BF16};
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        sw_params *p = params_of(SW_F16);
        sw_tape *tape = sw_tape_new();
        const sw_array x = test_filled(types[k], SW_SHAPE(WIDTH), -1, 1, 3);
        sw_tensor v = sw_variable(tape, x), unreached = sw_variable(tape, x),
                  view = sw_retain_grad(sw_reshape(v, SW_SHAPE(WIDTH))), loss = loss_of(tape, p, large);
        static const double scales[] = {1, 0x1p14, 0x1p-5, 1, 2};
        double passes = 0;
        for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
            assert_ok(sw_params_set_loss_scale(p, scales[i]));
            assert_ok(sw_backward(sw_add(loss, inner(tape, view, large))));
            expect_gradient(v, ++passes, large);
            expect_gradient(view, passes, large);
        }
        assert_ok(sw_backward(loss_of(tape, p, large)));
        expect_gradient(v, passes, large);
        assert_null(sw_grad(unreached).data);
        assert_null(sw_error());
        sw_tape_free(tape);
        sw_params_free(p);
        free(x.data);
    }
}

static sw_status refuse_vjp(sw_call *c) {
    (void)c;
    return sw_fail(SW_ERR_USER, "refused");
}
static const sw_op refuse_op = {
    .size = sizeof(sw_op), .name = "refuse", .shape = widen_shape, .forward = widen_forward, .vjp = refuse_vjp};

/* After a pass that failed, variables have no gradient, as without a scale. */
static void test_failed_pass_leaves_no_gradient(void **state) {
    (void)state;
    sw_params *p = params_of(SW_F32);
    for (int k = 0; k < 2; k++) {
        sw_tape *tape = sw_tape_new();
        const sw_array x = test_filled(SW_F32, SW_SHAPE(WIDTH), -1, 1, 3);
        assert_ok(sw_params_set_loss_scale(p, k ? 0x1p5 : 1));
        sw_tensor v = sw_variable(tape, x), w = sw_param_use(tape, sw_params_find(p, "w")),
                  refused = sw_apply(&refuse_op, NULL, 0, 1, &w);
        assert_ok(sw_backward(sw_add(inner(tape, v, large), inner(tape, w, large))));
        assert_int_equal(sw_backward(inner(tape, sw_input(tape, x), large)), SW_ERR_STATE); /* refused at once */
        sw_clear_error();
        expect_gradient(v, 1, large);
        assert_int_equal(sw_backward(sw_add(inner(tape, refused, large), inner(tape, v, large))), SW_ERR_USER);
        expect_error(SW_ERR_USER, "refused");
        assert_null(sw_grad(v).data);
        assert_true(sw_gradient_is_fresh(sw_params_gradient(p)));
        sw_tape_free(tape);
        free(x.data);
    }
    sw_params_free(p);
}

/* 2^15 is the largest power of 2 in f16. */
static void test_f16_loss_must_hold_its_seed(void **state) {
    (void)state;
    sw_params *s[2];
    for (int k = 0; k < 2; k++) {
        s[k] =
            sw_params_new_with_options(&(sw_params_options){.size = sizeof(sw_params_options), .storage = halves[k]});
        assert_non_null(sw_params_add(s[k], "s", 0, NULL, NULL));
        assert_ok(sw_params_build(s[k]));
        sw_tape *tape = sw_tape_new();
        sw_tensor loss = sw_reshape(sw_param_use(tape, sw_params_at(s[k], 0)), SW_SHAPE(1));
        assert_ok(sw_params_set_loss_scale(s[k], 0x1p15));
        assert_ok(sw_backward(loss));
        assert_true(sw_load_element(halves[k], sw_gradient_data(sw_params_gradient(s[k])), 0) == 0x1p15);
        sw_gradient_make_fresh(sw_params_gradient(s[k]));
        assert_ok(sw_params_set_loss_scale(s[k], 0x1p24));
        if (k == 0) {
            assert_int_equal(sw_backward(loss), SW_ERR_NONFINITE);
            expect_error(
                SW_ERR_NONFINITE,
                "backward: the loss is f16, which cannot hold the loss scale 1.67772e+07, the derivative with which "
                "backward begins; compute the loss in f32 (sw_cast its inputs), or set a smaller loss scale");
            assert_true(sw_gradient_is_fresh(sw_params_gradient(s[k])));
        } else {
            assert_ok(sw_backward(loss));
            assert_true(sw_load_element(SW_BF16, sw_gradient_data(sw_params_gradient(s[k])), 0) == 0x1p24);
        }
        sw_tape_free(tape);
        sw_params_free(s[k]);
    }
}

/* A gradient that overflows with the scale is Inf in the block and in a view, so that the step is skipped. */
static void test_overflow_is_infinite_everywhere(void **state) {
    (void)state;
    sw_params *p = params_of(SW_F16);
    sw_tape *tape = sw_tape_new();
    const double c[WIDTH] = {1, 8, 1, -8, 1};
    float vector[WIDTH];
    sw_gradient *view = sw_gradient_view(p);
    sw_gradient_set_data(view, vector);
    assert_ok(sw_params_set_loss_scale(p, 0x1p13));
    add_pass(tape, p, NULL, c, 1);
    expect_block(sw_params_gradient(p), 0x1p13, c); /* ±Inf at 8·2^13 */
    assert_true(isinf(sw_load_element(SW_F16, sw_gradient_data(sw_params_gradient(p)), 3)));
    for (int micro = 0; micro < 2; micro++) {
        add_pass(tape, p, view, c, 1);
        sw_gradient_data(view);
        assert_true(vector[0] == 1 && !isfinite(vector[1]) && !isfinite(vector[3]));
    }
    sw_gradient_free(view);
    sw_tape_free(tape);
    sw_params_free(p);
}

/* The check mode reports the overflow, with the scale that may be its cause. */
static void test_check_mode_names_the_scale(void **state) {
    (void)state;
    sw_params *p = params_of(SW_F16);
    sw_tape *tape = sw_tape_new();
    const double c[WIDTH] = {1, 8, 1, 1, 1};
    sw_tape_set_switch(tape, SW_CHECK, true);
    assert_ok(sw_params_set_loss_scale(p, 0x1p13));
    assert_int_equal(sw_backward(loss_of(tape, p, c)), SW_ERR_NONFINITE);
    expect_error(SW_ERR_NONFINITE,
                 "backward: widen: the gradient of input 0, parameter w became Inf at [1], with the loss "
                 "scale 8192; input 0 w f16 [5] from 0 to 0, mean 0");
    assert_ok(sw_params_set_loss_scale(p, 0x1p12));
    sw_tape_reset(tape);
    assert_ok(sw_backward(loss_of(tape, p, c)));
    sw_tape_free(tape);
    sw_params_free(p);
}

/* ---- Objectives ---- */

static sw_tensor objective_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    sw_params *p = user;
    double c[WIDTH];
    for (int j = 0; j < WIDTH; j++) {
        c[j] = 0;
        for (int64_t i = 0; i < count; i++)
            c[j] += (double)(ids[i] + 1) * tiny[j];
        c[j] /= (double)count;
    }
    return loss_of(tape, p, c);
}

/* The gradient of the mean over 4 samples is (1 + 2 + 3 + 4)/4 = 2.5 times `tiny`: in chunks and shards, in a view and
 * in a block of 16 bits, which has the scale. */
static void test_objectives_unscale_views_and_shards(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        sw_params *p = params_of(halves[k]);
        sw_tape *tape = sw_tape_new();
        const sw_objective f = {.size = sizeof f, .n = 4, .params = p, .user = p, .loss = objective_loss};
        sw_gradient *view = sw_gradient_view(p), *block = sw_params_gradient(p);
        float vector[WIDTH];
        double mean[WIDTH], value;
        for (int j = 0; j < WIDTH; j++)
            mean[j] = 2.5 * tiny[j];
        sw_gradient_set_data(view, vector);
        assert_ok(sw_params_set_loss_scale(p, 0x1p23));
        for (int chunk = 1; chunk <= 4; chunk *= 2) { /* equal weights: exact */
            assert_ok(sw_objective_gradient_chunked(&f, tape, NULL, NULL, 4, chunk, 0, &value, block));
            expect_block(block, 0x1p23, mean);
            assert_ok(sw_objective_gradient_chunked(&f, tape, NULL, NULL, 4, chunk, 0, &value, view));
            expect_block(view, 1, mean);
        }
        for (int shards = 1; shards <= 8; shards *= 2) {
            const sw_shard_options how = SW_OPTIONS(sw_shard_options, .shards = shards);
            assert_ok(sw_objective_gradient_sharded(&f, tape, NULL, NULL, 4, &how, 0, &value, view));
            expect_block(view, 1, mean);
        }
        sw_gradient_free(view);
        sw_tape_free(tape);
        sw_params_free(p);
    }
}

/* ---- Memory ---- */

static void scaled_pass(sw_params *p, sw_status *status) {
    sw_tape *tape = sw_tape_new();
    const float ones[WIDTH] = {1, 1, 1, 1, 1};
    sw_tensor wide = {0};
    if (tape) {
        sw_tensor w = sw_param_use(tape, sw_params_at(p, 0));
        wide = sw_apply(&widen_op, NULL, 0, 1, &w);
    }
    *status =
        sw_is_null(wide) ? sw_last_failure() : sw_backward_from(wide, sw_array_view(ones, SW_F32, SW_SHAPE(WIDTH)));
    sw_tape_free(tape);
}

static void test_every_failed_allocation_is_reported(void **state) {
    (void)state;
    static test_allocator allocator;
    test_allocator_install(&allocator);
    sw_params *p = params_of(SW_F16);
    assert_ok(sw_params_set_loss_scale(p, 4));
    sw_status status;
    int failures = 0;
    for (long long k = 1;; k++) {
        test_allocator_fail(&allocator, k, false);
        scaled_pass(p, &status);
        const bool failed = atomic_load(&allocator.failed) > 0;
        test_allocator_fail(&allocator, 0, false);
        if (!failed)
            break;
        failures++;
        assert_int_equal(status, SW_ERR_MEMORY);
        assert_non_null(sw_error());
        sw_clear_error();
        assert_true(sw_gradient_is_fresh(sw_params_gradient(p)));
    }
    assert_ok(status);
    assert_true(failures >= 3);
    assert_true(sw_load_element(SW_F16, sw_gradient_data(sw_params_gradient(p)), 0) == 4);
    sw_params_free(p);
    assert_int_equal(atomic_load(&allocator.live), 0);
    sw_set_allocator(NULL);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_no_error_left)
    const struct CMUnitTest tests[] = {
        TEST(test_scales_are_powers_of_two),
        TEST(test_blocks_of_16_bits_hold_the_scaled_gradient),
        TEST(test_blocks_in_compute_types_hold_the_gradient),
        TEST(test_scale_may_change_between_micro_batches),
        TEST(test_scale_may_change_on_one_tape),
        TEST(test_sets_with_different_scales_share_a_tape),
        TEST(test_segments_are_scaled_once),
        TEST(test_backward_inside_a_vjp_has_no_scale),
        TEST(test_cotangents_are_scaled),
        TEST(test_gradients_of_variables_have_no_scale),
        TEST(test_failed_pass_leaves_no_gradient),
        TEST(test_f16_loss_must_hold_its_seed),
        TEST(test_overflow_is_infinite_everywhere),
        TEST(test_check_mode_names_the_scale),
        TEST(test_objectives_unscale_views_and_shards),
        TEST(test_every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("loss_scale", tests, NULL, NULL);
}
