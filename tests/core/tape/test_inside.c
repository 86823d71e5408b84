/* The printed tape, the graph as DOT, and the check mode, which names the operation that produced a NaN or Inf. */
#define _POSIX_C_SOURCE 200809L
#include "support.h"

#include "core/ops/op_table.h"

/* What a function writes. */
static char *captured;
static size_t captured_bytes;

static FILE *capture(void) {
    FILE *to = open_memstream(&captured, &captured_bytes);
    assert_non_null(to);
    return to;
}

static void expect_captured(FILE *to, const char *text) {
    fclose(to);
    assert_string_equal(captured, text);
    free(captured);
}

static void expect_print(const sw_array *a, const char *text) {
    FILE *to = capture();
    sw_array_print(a, to);
    expect_captured(to, text);
}

/* ---- Print ---- */

static void test_array_is_printed(void **state) {
    (void)state;
    const float matrix[] = {0.5f, -1.25f, 3, 100.125f, 0, -0.001f};
    const sw_array a = sw_array_view(matrix, SW_F32, SW_SHAPE(2, 3));
    expect_print(&a, "f32 [2,3]\n[[  0.5000,  -1.2500,   3.0000],\n [100.1250,   0.0000,  -0.0010]]\n");
    const sw_array scalar = sw_array_view(matrix, SW_F32, 0, NULL);
    expect_print(&scalar, "f32 [] 0.5000\n");
    const int32_t ids[] = {3, -14, 2000};
    const sw_array whole = sw_array_view(ids, SW_I32, SW_SHAPE(3));
    expect_print(&whole, "i32 [3]\n[   3,  -14, 2000]\n");
    const uint8_t bytes[] = {0, 255};
    const sw_array u8 = sw_array_view(bytes, SW_U8, SW_SHAPE(2, 1));
    expect_print(&u8, "u8 [2,1]\n[[  0],\n [255]]\n");
    const double wide[] = {1e-9, 3, -(double)NAN, -INFINITY};
    const sw_array odd = sw_array_view(wide, SW_F64, SW_SHAPE(4));
    expect_print(&odd, "f64 [4]\n[1.0000e-09, 3.0000e+00,        nan,       -inf]\n");
    const sw_array empty = sw_array_view(wide, SW_F64, SW_SHAPE(2, 0));
    expect_print(&empty, "f64 [2,0]\n[[],\n []]\n");
    const sw_array none = {0};
    const sw_array long_and_empty = sw_array_view(wide, SW_F64, SW_SHAPE(1001, 0, 1ll << 40));
    expect_print(&long_and_empty, "f64 [1001,0,1099511627776]\n[[],\n [],\n [],\n ...,\n [],\n [],\n []]\n");
    expect_print(&none, "f32 [], no data\n");
    const sw_array blocks = sw_array_view(wide, SW_F64, SW_SHAPE(2, 1, 1));
    expect_print(&blocks, "f64 [2,1,1]\n[[[1.0000e-09]],\n [[3.0000e+00]]]\n");
    sw_array_print(NULL, stdout);
    sw_array_print(&a, NULL);
    expect_no_error();
}

static void test_large_array_is_printed_shortened(void **state) {
    (void)state;
    static double x[1600];
    for (int i = 0; i < 1600; i++)
        x[i] = i + 0.5;
    const sw_array a = sw_array_view(x, SW_F64, SW_SHAPE(40, 40));
    expect_print(&a, "f64 [40,40]\n"
                     "[[   0.5000,    1.5000,    2.5000, ...,   37.5000,   38.5000,   39.5000],\n"
                     " [  40.5000,   41.5000,   42.5000, ...,   77.5000,   78.5000,   79.5000],\n"
                     " [  80.5000,   81.5000,   82.5000, ...,  117.5000,  118.5000,  119.5000],\n"
                     " ...,\n"
                     " [1480.5000, 1481.5000, 1482.5000, ..., 1517.5000, 1518.5000, 1519.5000],\n"
                     " [1520.5000, 1521.5000, 1522.5000, ..., 1557.5000, 1558.5000, 1559.5000],\n"
                     " [1560.5000, 1561.5000, 1562.5000, ..., 1597.5000, 1598.5000, 1599.5000]]\n");
    const sw_array tall = sw_array_view(x, SW_F64, SW_SHAPE(800, 2)); /* a short axis is whole */
    expect_print(&tall, "f64 [800,2]\n[[   0.5000,    1.5000],\n [   2.5000,    3.5000],\n"
                        " [   4.5000,    5.5000],\n ...,\n [1594.5000, 1595.5000],\n"
                        " [1596.5000, 1597.5000],\n [1598.5000, 1599.5000]]\n");
    const sw_array row = sw_array_view(x, SW_F64, SW_SHAPE(30)); /* not shortened, but broken */
    FILE *to = capture();
    sw_array_print(&row, to);
    fclose(to);
    int lines = 0;
    for (char *at = captured, *end; (end = strchr(at, '\n')); at = end + 1, lines++)
        assert_true(end - at <= 100);
    assert_int_equal(lines, 4);
    assert_non_null(strstr(captured, "29.5000]\n"));
    free(captured);
}

static void test_tensor_and_parameter_are_printed(void **state) {
    (void)state;
    sw_params *params = sw_params_new(SW_F32, 1);
    const sw_param_options options = {.size = sizeof options, .role = SW_ROLE_HEAD};
    sw_param *w = sw_params_add(params, "out.weight", SW_SHAPE(2), &options);
    FILE *to = capture();
    sw_param_print(w, to);
    expect_captured(to, "out.weight, role head: [2], not built\n");
    assert_int_equal(sw_params_build(params), SW_OK);
    float *x = sw_params_x(params);
    x[0] = 2, x[1] = -3;
    sw_tape *tape = sw_tape_new();
    const float in[] = {10, 20};
    sw_tensor input = sw_input(tape, sw_array_view(in, SW_F32, SW_SHAPE(2)));
    const char *before = sw_tape_set_layer(tape, "out");
    sw_tensor product = sw_retain_grad(sw_mul(sw_param_use(tape, w), input));
    sw_tape_set_layer(tape, before);
    sw_tensor loss = sw_sum(product);
    assert_int_equal(sw_backward(loss), SW_OK);
    to = capture();
    sw_tensor_print(input, to);
    sw_tensor_print(product, to);
    sw_tensor_print(loss, to);
    sw_param_print(w, to);
    sw_param_freeze(w, true);
    sw_release(product);
    sw_tensor_print(product, to);
    sw_param_print(w, to);
    sw_tape_reset(tape);
    sw_tensor_print(loss, to);
    sw_tensor_print((sw_tensor){0}, to);
    expect_captured(to, "input, needs no gradient: f32 [2]\n[10, 20]\n"
                        "layer out: mul: f32 [2]\n[ 20, -60]\ngradient: f32 [2]\n[1, 1]\n"
                        "sum: f32 [] -40\n"
                        "out.weight, role head: f32 [2]\n[ 2, -3]\ngradient: f32 [2]\n[10, 20]\n"
                        "(released, or its tape was reset)\n"
                        "out.weight, role head, frozen: f32 [2]\n[ 2, -3]\ngradient: f32 [2]\n[10, 20]\n"
                        "(released, or its tape was reset)\n(null tensor)\n");
    expect_no_error();
    sw_tape_free(tape);
    sw_params_free(params);
}

/* ---- DOT ---- */

static void test_graph_is_written_as_dot(void **state) {
    (void)state;
    sw_params *params = sw_params_new(SW_F64, 1);
    sw_param *w = sw_params_add(params, "a \"quoted\".weight", SW_SHAPE(2), NULL);
    assert_int_equal(sw_params_build(params), SW_OK);
    double *x = sw_params_x(params);
    x[0] = 1, x[1] = 2;
    sw_tape *tape = sw_tape_new();
    sw_tape_set_layer(tape, "first");
    sw_tensor leaf = sw_param_use(tape, w), square = sw_mul(leaf, leaf);
    sw_tape_set_layer(tape, NULL);
    sw_tensor loss = sw_mean(square);
    assert_int_equal(sw_backward(loss), SW_OK);
    sw_release(square); /* nothing will read it: its memory is free */
    FILE *to = capture();
    assert_int_equal(sw_tape_dot(tape, to), SW_OK);
    expect_captured(to, "digraph tape {\n"
                        "  node [shape=box, style=filled, fillcolor=white, fontname=\"Helvetica\", fontsize=10];\n"
                        "  graph [fontname=\"Helvetica\", fontsize=10, color=gray];\n"
                        "  subgraph cluster_0 {\n    label=\"first\";\n"
                        "    n0 [label=\"a \\\"quoted\\\".weight\\nf64 [2]\\nfrom 1 to 2, mean 1.5\\n"
                        "gradient from 1 to 2, mean 1.5\", shape=ellipse, fillcolor=\"#fff2cc\"];\n"
                        "    n1 [label=\"mul\\nf64 [2]\\nreleased\"];\n  }\n"
                        "  n2 [label=\"mean\\nf64 []\\n2.5\"];\n"
                        "  n0 -> n1;\n  n0 -> n1;\n  n1 -> n2;\n}\n");
    to = fopen("/dev/full", "w");
    assert_non_null(to);
    setvbuf(to, NULL, _IONBF, 0);
    assert_int_equal(sw_tape_dot(tape, to), SW_ERR_IO);
    fclose(to);
    expect_error(SW_ERR_IO, "tape_dot: the graph could not be written");
    assert_int_equal(sw_tape_dot(NULL, stdout), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "tape_dot: the tape is NULL");
    sw_tape_free(tape);
    sw_params_free(params);
}

/* With SW_KEEP nothing is given back: values and gradients of all that was recorded are there. */
static void test_kept_tape_has_every_value_and_gradient(void **state) {
    (void)state;
    const double x[] = {1, 2};
    sw_tape *tape = sw_tape_new();
    assert_false(sw_tape_switch(tape, SW_KEEP));
    sw_tape_set_switch(tape, SW_KEEP, true);
    sw_tensor in = sw_variable(tape, sw_array_view(x, SW_F64, SW_SHAPE(2)));
    sw_tensor square = sw_mul(in, in), twice = sw_scale(square, 3), loss = sw_sum(twice);
    sw_release(square);
    sw_release(twice);
    for (int pass = 1; pass <= 2; pass++) { /* gradients add up, as those of a variable do */
        assert_int_equal(sw_backward(loss), SW_OK);
        const sw_array g = sw_grad(square), of_in = sw_grad(in);
        assert_true(test_get(&g, 0) == 3.0 * pass && test_get(&g, 1) == 3.0 * pass);
        assert_true(test_get(&of_in, 0) == 6.0 * pass && test_get(&of_in, 1) == 12.0 * pass);
    }
    const sw_array value = sw_value(twice);
    assert_true(test_get(&value, 1) == 12);
    expect_no_error();
    sw_tape_free(tape);
}

/* ---- Check ---- */

static sw_tape *checking_tape(void) {
    sw_tape *tape = sw_tape_new();
    assert_false(sw_tape_switch(tape, SW_CHECK));
    sw_tape_set_switch(tape, SW_CHECK, true);
    return tape;
}

static void test_check_mode_names_layer_and_operation(void **state) {
    (void)state;
    const double x[] = {1, 2, 3, 4, 0, -1};
    sw_tape *tape = checking_tape();
    sw_tensor in = sw_variable(tape, sw_array_view(x, SW_F64, SW_SHAPE(2, 3)));
    sw_tape_set_layer(tape, "block1.gate");
    assert_true(sw_is_null(sw_exp(sw_log(in))));
    expect_error(SW_ERR_NONFINITE, "layer block1.gate: log: produced NaN at [1,2] from input 0 f64 [2,3] from "
                                   "-1 to 4, mean 1.5");
    sw_tape_set_layer(tape, NULL);
    assert_true(sw_is_null(sw_exp(sw_scale(in, 1000))));
    expect_error(SW_ERR_NONFINITE, "exp: produced Inf at [0,0] from input 0 f64 [2,3] from -1000 to 4000, mean "
                                   "1500");
    assert_true(sw_is_null(sw_div(in, in)));
    expect_error(SW_ERR_NONFINITE, "div: produced NaN at [1,1] from input 0 f64 [2,3] from -1 to 4, mean 1.5, "
                                   "input 1 f64 [2,3] from -1 to 4, mean 1.5");
    sw_tape_set_switch(tape, SW_CHECK, false);
    assert_false(sw_is_null(sw_exp(sw_log(in))));
    expect_no_error();
    sw_tape_free(tape);
}

/* A mask of -Inf is no mistake, as long as no NaN comes of it; a NaN in a leaf is one where it is read. */
static void test_check_mode_accepts_infinite_masks_in_leaves(void **state) {
    (void)state;
    const float scores[] = {1, 2, 3}, mask[] = {0, -INFINITY, 0}, bad[] = {1, NAN, 3};
    sw_tape *tape = checking_tape();
    sw_tensor s = sw_variable(tape, sw_array_view(scores, SW_F32, SW_SHAPE(3))),
              m = sw_input(tape, sw_array_view(mask, SW_F32, SW_SHAPE(3)));
    sw_tensor p = sw_softmax(sw_add(s, m), 0);
    assert_int_equal(sw_backward(sw_sum(sw_mul(p, p))), SW_OK);
    expect_no_error();
    assert_true(sw_is_null(sw_sub(m, m)));
    expect_error(SW_ERR_NONFINITE, "sub: produced NaN at [1] from input 0 f32 [3] from 0 to 0, mean 0, 1 Inf, "
                                   "input 1 f32 [3] from 0 to 0, mean 0, 1 Inf");
    sw_tensor b = sw_input(tape, sw_array_view(bad, SW_F32, SW_SHAPE(3)));
    assert_true(sw_is_null(sw_add(s, b)));
    expect_error(SW_ERR_NONFINITE, "add: the tensor, input 1, holds NaN at [1]");

    sw_params *params = sw_params_new(SW_F32, 1);
    sw_param *w = sw_params_add(params, "linear1.weight", SW_SHAPE(3), NULL);
    assert_int_equal(sw_params_build(params), SW_OK);
    ((float *)sw_params_x(params))[2] = NAN;
    assert_true(sw_is_null(sw_relu(sw_param_use(tape, w))));
    expect_error(SW_ERR_NONFINITE, "relu: parameter linear1.weight, input 0, holds NaN at [2]");
    sw_tape_free(tape);
    sw_params_free(params);
}

static sw_status skip_vjp(sw_call *c) {
    float *to = sw_call_grad(c, 0);
    if (!to)
        return SW_ERR_MEMORY;
    memset(to, 0, (size_t)c->in[0]->count * sizeof *to);
    to[1] = NAN;
    return SW_OK;
}

static sw_status copy_forward(sw_call *c) {
    memcpy(c->out->data, c->in[0]->data, (size_t)c->in[0]->count * sizeof(float));
    return SW_OK;
}

static sw_status like_shape(sw_call *c) {
    return sw_call_set_shape_like(c, 0);
}

static const sw_op wrong_op = {
    .size = sizeof(sw_op), .name = "wrong", .shape = like_shape, .forward = copy_forward, .vjp = skip_vjp};

static void test_check_mode_names_the_gradient(void **state) {
    (void)state;
    sw_params *params = sw_params_new(SW_F32, 1);
    sw_param *w = sw_params_add(params, "linear1.bias", SW_SHAPE(2), NULL);
    assert_int_equal(sw_params_build(params), SW_OK);
    sw_tape *tape = checking_tape();
    sw_tape_set_layer(tape, "linear1"); /* the parameter is 0: √ has no derivative there */
    sw_tensor root = sw_sqrt(sw_param_use(tape, w));
    sw_tape_set_layer(tape, NULL);
    assert_int_equal(sw_backward(sw_sum(root)), SW_ERR_NONFINITE);
    expect_error(SW_ERR_NONFINITE, "layer linear1: backward: sqrt: the gradient of input 0, parameter "
                                   "linear1.bias became Inf at [0]; input 0 linear1.bias f32 [2] from 0 to "
                                   "0, mean 0");
    assert_true(sw_gradient_is_fresh(sw_params_gradient(params))); /* half a gradient is none */
    sw_tape_reset(tape);
    sw_tensor y = sw_apply(&wrong_op, NULL, 0, 1, (sw_tensor[]){sw_scale(sw_param_use(tape, w), 2)});
    assert_int_equal(sw_backward(sw_sum(y)), SW_ERR_NONFINITE);
    expect_error(SW_ERR_NONFINITE, "backward: wrong: the gradient of input 0 became NaN at [1]; input 0 f32 "
                                   "[2] from 0 to 0, mean 0");
    sw_tape_reset(tape);
    const float given[] = {NAN, 1};
    y = sw_scale(sw_param_use(tape, w), 2);
    assert_int_equal(sw_backward_from(y, sw_array_view(given, SW_F32, SW_SHAPE(2))), SW_ERR_NONFINITE);
    expect_error(SW_ERR_NONFINITE, "backward: scale: its cotangent holds NaN at [0]");
    sw_tape_reset(tape);
    assert_int_equal(sw_backward(sw_sum(sw_exp(sw_param_use(tape, w)))), SW_OK);
    expect_no_error();
    sw_tape_free(tape);
    sw_params_free(params);
}

static bool all_finite(const sw_array *a) {
    for (int64_t i = 0; a->data && i < sw_array_count(a); i++)
        if (!isfinite(test_get(a, i)))
            return false;
    return true;
}

/* Over the whole table: an error where a result is not finite, and nowhere else; the same bits as without
 * the check. */
static void test_check_mode_covers_every_operation(void **state) {
    (void)state;
    sw_tape *plain = sw_tape_new(), *checked = checking_tape();
    int errors = 0, fine = 0;
    for (int o = 0; op_at(o); o++)
        for (int type = SW_F32; type <= SW_F64; type++) {
            op_case c = {.op = op_at(o)};
            const char *at = c.op->shapes;
            while (op_next(&at, (sw_dtype)type, &c)) {
                sw_tensor in[OP_INPUTS], also[OP_INPUTS];
                sw_array out = sw_value(op_run(&c, plain, in, true));
                assert_non_null(out.data);
                bool finite = all_finite(&out);
                for (int i = 0; i < c.op->inputs && finite; i++) {
                    sw_array g = sw_grad(in[i]);
                    finite = all_finite(&g);
                }
                sw_array again = sw_value(op_run(&c, checked, also, true));
                bool composed = c.op->flags & COMPOSED; /* may overflow on the way to a finite result */
                if (sw_error() && finite && !composed)
                    fail_msg("%s, case %d: %s", c.op->label, c.number, sw_error());
                if (!finite && !sw_error())
                    fail_msg("%s, case %d: no error", c.op->label, c.number);
                if (sw_error())
                    assert_int_equal(sw_error_status(), SW_ERR_NONFINITE);
                else
                    assert_memory_equal(again.data, out.data, test_bytes(&out));
                errors += sw_error() != NULL;
                fine += sw_error() == NULL;
                sw_clear_error();
                op_free(&c);
            }
        }
    assert_true(errors > 4 && fine > 500);
    sw_tape_free(plain);
    sw_tape_free(checked);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_array_is_printed, test_clear),
        cmocka_unit_test_teardown(test_large_array_is_printed_shortened, test_clear),
        cmocka_unit_test_teardown(test_tensor_and_parameter_are_printed, test_clear),
        cmocka_unit_test_teardown(test_graph_is_written_as_dot, test_clear),
        cmocka_unit_test_teardown(test_kept_tape_has_every_value_and_gradient, test_clear),
        cmocka_unit_test_teardown(test_check_mode_names_layer_and_operation, test_clear),
        cmocka_unit_test_teardown(test_check_mode_accepts_infinite_masks_in_leaves, test_clear),
        cmocka_unit_test_teardown(test_check_mode_names_the_gradient, test_clear),
        cmocka_unit_test_teardown(test_check_mode_covers_every_operation, test_clear),
    };
    return cmocka_run_group_tests_name("inside", tests, NULL, NULL);
}
