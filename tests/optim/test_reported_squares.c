/* The norm of a gradient whose writers report their parts (sw_call_squares): it has the bits of a norm that reads the
 * whole gradient, and finds Inf and NaN wherever they come from. */
#include "support.h"

#include <swale/extend.h>
#include <swale/optim.h>

#include "core/params/gradient.h"

/* The weight of one product, in rows of tiles; the second product is divided into columns; the rest is one tile. */
enum { OUT = 800, IN = 401, LAST = 3, BATCH = 96 };

typedef struct net {
    sw_params *params;
    sw_param *first, *bias, *wide, *last;
    sw_tape *tape;
    sw_array x;
} net;

static net net_new(sw_dtype type) {
    net n = {.params = sw_params_new(type, 7), .tape = sw_tape_new()};
    const sw_param_options weight = {.size = sizeof weight, .role = SW_ROLE_WEIGHT};
    n.first = sw_params_add(n.params, "first", SW_SHAPE(OUT, IN), &weight);
    n.bias = sw_params_add(n.params, "bias", SW_SHAPE(OUT), NULL);
    n.wide = sw_params_add(n.params, "wide", SW_SHAPE(LAST, OUT), &weight);
    n.last = sw_params_add(n.params, "unused", SW_SHAPE(5), NULL);
    assert_int_equal(sw_params_build(n.params), SW_OK);
    const sw_array x =
        sw_array_view(sw_params_x(n.params), sw_params_type(n.params), SW_SHAPE(sw_params_dim(n.params)));
    test_fill(&x, -0.1, 0.1, 1);
    sw_params_mark_changed(n.params);
    n.x = sw_array_new(type, SW_SHAPE(BATCH, IN));
    test_fill(&n.x, -1, 1, 2);
    return n;
}

static void net_free(net *n) {
    sw_tape_free(n->tape);
    sw_array_free(&n->x);
    sw_params_free(n->params);
}

static void net_backward(const net *n) {
    const sw_tensor h = sw_tanh(sw_linear(sw_input(n->tape, n->x), sw_param_use(n->tape, n->first),
                                          sw_param_use(n->tape, n->bias))),
                    y = sw_linear(h, sw_param_use(n->tape, n->wide), (sw_tensor){0});
    assert_int_equal(sw_backward(sw_mean(sw_mul(y, y))), SW_OK);
    sw_tape_reset(n->tape);
}

static int reported(const sw_gradient *g) {
    int tiles = 0;
    for (int64_t i = 0; i < g->squares->tiles; i++)
        tiles += g->squares->known[i];
    return tiles;
}

/* The norm of the block, and the same by reading all of it. */
static void expect_equal_norms(const net *n) {
    sw_gradient *g = sw_params_gradient(n->params);
    double ours = 0, whole = -1;
    const sw_status status = swi_gradient_norm(g, &ours);
    assert_int_equal(sw_vector_norm(g->type, sw_params_dim(n->params), g->data, &whole), status);
    if (status == SW_OK)
        assert_true(ours == whole);
}

static void test_reported_norm_has_the_bits_of_one_that_reads_all(void **state) {
    (void)state;
    const int before = sw_threads();
    const sw_dtype types[] = {SW_F32, SW_F64, SW_BF16};
    for (int t = 0; t < 3; t++)
        for (int threads = 1; threads <= 4; threads += 3) {
            net n = net_new(types[t]);
            sw_gradient *g = sw_params_gradient(n.params);
            sw_set_threads(threads);
            for (int pass = 0; pass < 3; pass++) { /* the later passes are added */
                net_backward(&n);
                assert_true(types[t] == SW_BF16 || pass > 0 || reported(g) > OUT * IN / SW_TILE / 2);
                assert_true(pass == 0 || g->summed);
                if (pass > 0)
                    swi_gradient_data(g);
                assert_true(pass == 0 || reported(g) == 0);
                expect_equal_norms(&n);
                expect_equal_norms(&n); /* now all tiles are known */
            }
            sw_gradient_make_fresh(g);
            net_backward(&n); /* the next step: nothing is left of the previous one */
            expect_equal_norms(&n);
            net_free(&n);
        }
    sw_set_threads(before);
}

/* Two convolutions, of which one is transposed. Small models have no sums of squares. */
static void test_convolutions_report(void **state) {
    enum { CHANNELS = 128, SIDE = 5, WEIGHT = CHANNELS * 3 * 3 * CHANNELS };
    (void)state;
    sw_params *params = sw_params_new(SW_F32, 7);
    sw_param *w[2] = {sw_params_add(params, "w0", SW_SHAPE(CHANNELS, 3, 3, CHANNELS), NULL),
                      sw_params_add(params, "w1", SW_SHAPE(CHANNELS, 3, 3, CHANNELS), NULL)};
    assert_int_equal(sw_params_build(params), SW_OK);
    const sw_array all = sw_array_view(sw_params_x(params), SW_F32, SW_SHAPE(2 * WEIGHT));
    test_fill(&all, -0.1, 0.1, 1);
    sw_params_mark_changed(params);
    sw_array x = sw_array_new(SW_F32, SW_SHAPE(2, SIDE, SIDE, CHANNELS));
    test_fill(&x, -1, 1, 2);
    sw_tape *tape = sw_tape_new();
    const sw_tensor none = {0}, h = sw_tanh(sw_conv2d(sw_input(tape, x), sw_param_use(tape, w[0]), none, NULL)),
                    y = sw_conv2d_transposed(h, sw_param_use(tape, w[1]), none, NULL);
    assert_int_equal(sw_backward(sw_mean(sw_mul(y, y))), SW_OK);
    sw_gradient *g = sw_params_gradient(params);
    double ours, whole;
    assert_true(reported(g) >= 2 * (WEIGHT / SW_TILE - 1));
    assert_int_equal(swi_gradient_norm(g, &ours), SW_OK);
    assert_int_equal(sw_vector_norm(SW_F32, 2 * WEIGHT, g->data, &whole), SW_OK);
    assert_true(ours == whole && whole > 0);
    sw_tape_free(tape);
    sw_array_free(&x);
    sw_params_free(params);
}

/* A change of one element by the library must be found. */
static void test_changes_after_a_report_are_found(void **state) {
    (void)state;
    net n = net_new(SW_F32);
    sw_gradient *g = sw_params_gradient(n.params);
    const int64_t dim = sw_params_dim(n.params), at[] = {0, SW_TILE - 1, SW_TILE, 77777, dim - 1};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        const float inf = INFINITY;
        sw_gradient_make_fresh(g);
        net_backward(&n);
        expect_equal_norms(&n);
        assert_int_equal(swi_gradient_add(g, at[i], 1, 1, SW_F32, &inf, false), SW_OK);
        double norm;
        assert_int_equal(swi_gradient_norm(g, &norm), SW_SKIPPED);
        swi_gradient_fill_zero(g, at[i], 1);
        expect_equal_norms(&n);
    }
    net_free(&n);
}

/* A NaN in the input spreads to the whole first weight; a program may also write to the block, through a pointer that
 * it has kept from an earlier step. In both cases the step is skipped. */
static void test_steps_are_skipped(void **state) {
    (void)state;
    net n = net_new(SW_F32);
    sw_optim *o = sw_optim_new(n.params, "adamw lr=1e-3");
    for (int step = 0; step < 2; step++) {
        net_backward(&n);
        assert_int_equal(sw_optim_step(o), SW_OK);
    }
    const float kept = ((float *)n.x.data)[5];
    ((float *)n.x.data)[5] = NAN;
    net_backward(&n);
    assert_int_equal(sw_optim_step(o), SW_SKIPPED);
    ((float *)n.x.data)[5] = kept;
    float *g = sw_param_grad(n.first).data;
    for (int step = 0; step < 2; step++) {
        net_backward(&n);
        g[12345] = step ? INFINITY : 1;
        assert_int_equal(sw_optim_step(o), step ? SW_SKIPPED : SW_OK);
    }
    sw_optim_free(o);
    net_free(&n);
}

/* A parameter that is frozen between backward and step does not count. */
static void test_frozen_parameters_do_not_count(void **state) {
    (void)state;
    double norm[2];
    for (int exposed = 0; exposed < 2; exposed++) {
        net n = net_new(SW_F32);
        sw_optim *o = sw_optim_new(n.params, "sgd lr=0.1");
        if (exposed)
            sw_gradient_data(sw_params_gradient(n.params));
        net_backward(&n);
        sw_param_freeze(n.wide, true);
        assert_int_equal(sw_optim_step(o), SW_OK);
        norm[exposed] = sw_optim_gradient_norm(o);
        sw_optim_free(o);
        net_free(&n);
    }
    assert_true(norm[0] == norm[1] && norm[0] > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reported_norm_has_the_bits_of_one_that_reads_all),
        cmocka_unit_test(test_convolutions_report),
        cmocka_unit_test(test_changes_after_a_report_are_found),
        cmocka_unit_test(test_steps_are_skipped),
        cmocka_unit_test(test_frozen_parameters_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
