/* Every mistake of a caller has one exact message with the operation, the shapes, the axis that differs, and the layer;
 * and a call that fails changes nothing. */
#include "support.h"

#include <pthread.h>

#include <swale/extend.h>

typedef struct fixture {
    sw_tape *tape;
    float data[64];
} fixture;

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    sw_clear_error();
    f->tape = sw_tape_new();
    assert_non_null(f->tape);
    for (int i = 0; i < 64; i++)
        f->data[i] = (float)i / 8;
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    sw_tape_free(f->tape);
    free(f);
    return 0;
}

static sw_tensor leaf(const fixture *f, int rank, const int64_t *shape) {
    sw_tensor t = sw_variable(f->tape, sw_array_view(f->data, SW_F32, rank, shape));
    assert_false(sw_is_null(t));
    return t;
}

static sw_tensor typed(const fixture *f, sw_dtype type, int rank, const int64_t *shape) {
    sw_tensor t = sw_empty(f->tape, type, rank, shape);
    assert_false(sw_is_null(t));
    sw_array a = sw_value(t);
    memset(a.data, 0, test_bytes(&a));
    return t;
}

#define expect_null(tensor, status, text) \
    do {                                  \
        assert_true(sw_is_null(tensor));  \
        expect_error(status, text);       \
    } while (0)

/* ---- Shapes ---- */

static void test_product_refuses_wrong_shapes(void **state) {
    const fixture *f = *state;
    sw_tensor a = leaf(f, SW_SHAPE(2, 3)), b = leaf(f, SW_SHAPE(4, 5)), v = leaf(f, SW_SHAPE(3)),
              cube = leaf(f, SW_SHAPE(2, 3, 4)), none = {0};
    expect_null(sw_matmul(a, b), SW_ERR_SHAPE,
                "matmul: [2,3] times [4,5]; axis 1 of the first (3) must equal axis 0 of the second "
                "(4)");
    expect_null(sw_matmul(a, v), SW_ERR_SHAPE, "matmul: [2,3] times [3]; both must be matrices, or batches of them");
    expect_null(sw_linear(a, b, none), SW_ERR_SHAPE,
                "linear: input [2,3] and weight [4,5]; axis 1 of the input (3) must equal axis 1 of "
                "the weight (5)");
    expect_null(sw_linear(v, b, none), SW_ERR_SHAPE,
                "linear: input [3] and weight [4,5]; [batch,...,in] and [out,in] are needed");
    expect_null(sw_linear(a, cube, none), SW_ERR_SHAPE,
                "linear: input [2,3] and weight [2,3,4]; [batch,...,in] and [out,in] are needed");
    expect_null(sw_linear(cube, b, none), SW_ERR_SHAPE,
                "linear: input [2,3,4] and weight [4,5]; axis 2 of the input (4) must equal axis 1 of the weight (5)");
    expect_null(sw_linear(cube, leaf(f, SW_SHAPE(4, 12)), none), SW_ERR_SHAPE,
                "linear: input [2,3,4] and weight [4,12]; axis 2 of the input (4) must equal axis 1 of the weight (12) "
                "(flatten the input: sw_nn_flatten in a model, else sw_reshape?)");
    expect_null(sw_linear(a, a, v), SW_ERR_SHAPE, "linear: weight [2,3] and bias [3]; the bias must be [2]");
    expect_null(sw_linear(a, a, leaf(f, SW_SHAPE(1, 2))), SW_ERR_SHAPE,
                "linear: weight [2,3] and bias [1,2]; the bias must be [2]");
}

static void test_message_names_the_layer(void **state) {
    const fixture *f = *state;
    sw_tensor a = leaf(f, SW_SHAPE(2, 3)), b = leaf(f, SW_SHAPE(4, 5));
    assert_null(sw_tape_set_layer(f->tape, "encoder.linear1"));
    expect_null(sw_linear(a, b, (sw_tensor){0}), SW_ERR_SHAPE,
                "layer encoder.linear1: linear: input [2,3] and weight [4,5]; axis 1 of the input (3) "
                "must equal axis 1 of the weight (5)");
    assert_string_equal(sw_tape_set_layer(f->tape, "head"), "encoder.linear1");
    expect_null(sw_matmul(a, a), SW_ERR_SHAPE,
                "layer head: matmul: [2,3] times [2,3]; axis 1 of the first (3) must equal axis 0 of "
                "the second (2)");
    sw_tape_set_layer(f->tape, NULL);
    expect_null(sw_matmul(a, a), SW_ERR_SHAPE,
                "matmul: [2,3] times [2,3]; axis 1 of the first (3) must equal axis 0 of the second "
                "(2)");
    /* An error that is kept is not named after a layer that came later. */
    sw_fail(SW_ERR_USER, "first");
    sw_tape_set_layer(f->tape, "late");
    assert_true(sw_is_null(sw_matmul(a, a)));
    expect_error(SW_ERR_USER, "first");
}

static void test_elementwise_refuses_shapes_that_do_not_broadcast(void **state) {
    const fixture *f = *state;
    sw_tensor a = leaf(f, SW_SHAPE(2, 3)), b = leaf(f, SW_SHAPE(2, 4)), c = leaf(f, SW_SHAPE(3, 3)),
              empty = leaf(f, SW_SHAPE(0));
    expect_null(sw_add(a, b), SW_ERR_SHAPE,
                "add: [2,3] and [2,4] do not broadcast: 3 against 4 in axis 1 from the end; they must "
                "be equal, or one of them 1");
    expect_null(sw_sub(a, c), SW_ERR_SHAPE,
                "sub: [2,3] and [3,3] do not broadcast: 2 against 3 in axis 2 from the end; they must "
                "be equal, or one of them 1");
    expect_null(sw_mul(empty, a), SW_ERR_SHAPE,
                "mul: [0] and [2,3] do not broadcast: 0 against 3 in axis 1 from the end; they must "
                "be equal, or one of them 1");
}

static void test_loss_refuses_wrong_shapes(void **state) {
    fixture *f = *state;
    sw_tensor a = leaf(f, SW_SHAPE(2, 3)), b = leaf(f, SW_SHAPE(3, 2)), v = leaf(f, SW_SHAPE(2)),
              ids = typed(f, SW_I32, SW_SHAPE(2)), three = typed(f, SW_I32, SW_SHAPE(3));
    expect_null(sw_mse(a, b), SW_ERR_SHAPE, "mse: prediction [2,3] and target [3,2]; the shapes must be equal");
    expect_null(sw_mse(a, v), SW_ERR_SHAPE, "mse: prediction [2,3] and target [2]; the shapes must be equal");
    expect_null(sw_bce_with_logits(a, b), SW_ERR_SHAPE,
                "bce_with_logits: prediction [2,3] and target [3,2]; the shapes must be equal");
    expect_null(sw_cross_entropy(a, three), SW_ERR_SHAPE,
                "cross_entropy: logits [2,3] and ids [3]; [...,classes] and [...] are needed");
    expect_null(sw_cross_entropy(v, ids), SW_ERR_SHAPE,
                "cross_entropy: logits [2] and ids [2]; [...,classes] and [...] are needed");
    expect_null(sw_cross_entropy(leaf(f, SW_SHAPE(2, 0)), ids), SW_ERR_SHAPE,
                "cross_entropy: logits [2,0] have no classes");
    /* One class: the loss would be 0, and the accuracy 1, for any output. */
    sw_tensor column = leaf(f, SW_SHAPE(2, 1));
    expect_null(sw_cross_entropy(column, ids), SW_ERR_SHAPE,
                "cross_entropy: logits [2,1] have one class, and the loss is 0 for any logit (for two classes with one "
                "logit use sw_bce_with_logits)");
    expect_null(sw_cross_entropy(column, column), SW_ERR_SHAPE,
                "cross_entropy: logits [2,1] have one class, and the loss is 0 for any logit (for two classes with one "
                "logit use sw_bce_with_logits)");
    expect_null(sw_accuracy(column, ids), SW_ERR_SHAPE,
                "accuracy: scores [2,1] have one class, which is always the predicted one (for two classes with one "
                "score compare the score with a threshold)");
    expect_null(sw_mse(column, v), SW_ERR_SHAPE,
                "mse: prediction [2,1] and target [2]; the shapes must be equal (give one the shape of the other with "
                "sw_reshape)");
    expect_null(sw_huber(v, column), SW_ERR_SHAPE,
                "huber: prediction [2] and target [2,1]; the shapes must be equal (give one the shape of the other "
                "with sw_reshape)");
    expect_null(sw_bce_with_logits(v, ids), SW_ERR_TYPE,
                "bce_with_logits: the target is i32; f32, f64, f16 or bf16 is needed (sw_cast converts it)");
    expect_null(sw_cross_entropy(a, v), SW_ERR_SHAPE,
                "cross_entropy: logits [2,3] and distributions [2]; the shapes must be equal, "
                "[...,classes] (class ids are i32)");
    expect_null(sw_cross_entropy(ids, ids), SW_ERR_TYPE,
                "cross_entropy: the logits are i32; f32, f64, f16 or bf16 is needed");
    int32_t *id = sw_value(ids).data;
    id[0] = 1;
    id[1] = 3;
    expect_null(sw_cross_entropy(a, ids), SW_ERR_ARGUMENT, "cross_entropy: id 3 in row 1 is outside 0 to 2");
    id[0] = -1;
    expect_null(sw_cross_entropy(a, ids), SW_ERR_ARGUMENT, "cross_entropy: id -1 in row 0 is outside 0 to 2");
    id[0] = 0;
    id[1] = 2; /* and now it goes */
    assert_false(sw_is_null(sw_cross_entropy(a, ids)));
    expect_no_error();
}

static void test_reshape_refuses_another_count(void **state) {
    const fixture *f = *state;
    sw_tensor a = leaf(f, SW_SHAPE(2, 3)), empty = leaf(f, SW_SHAPE(0, 3));
    expect_null(sw_reshape(a, SW_SHAPE(4, 2)), SW_ERR_SHAPE, "reshape: [2,3] has 6 elements and cannot become [4,2]");
    expect_null(sw_reshape(leaf(f, SW_SHAPE(1)), SW_SHAPE(4)), SW_ERR_SHAPE,
                "reshape: [1] has 1 element and cannot become [4]");
    expect_null(sw_reshape(a, SW_SHAPE(4, -1)), SW_ERR_SHAPE, "reshape: [2,3] has 6 elements and cannot become [4,-1]");
    expect_null(sw_reshape(a, 0, NULL), SW_ERR_SHAPE, "reshape: [2,3] has 6 elements and cannot become []");
    expect_null(sw_reshape(empty, SW_SHAPE(0, -1)), SW_ERR_SHAPE,
                "reshape: [0,3] has 0 elements and cannot become [0,-1]");
    expect_null(sw_reshape(a, SW_SHAPE(-1, -1)), SW_ERR_SHAPE,
                "reshape: [2,3] cannot become [-1,-1]: one length may be -1, the others not below 0");
    expect_null(sw_reshape(a, SW_SHAPE(-2, -3)), SW_ERR_SHAPE,
                "reshape: [2,3] cannot become [-2,-3]: one length may be -1, the others not below 0");
    expect_null(sw_reshape(a, SW_MAX_RANK + 1, (int64_t[9]){6, 1, 1, 1, 1, 1, 1, 1, 1}), SW_ERR_SHAPE,
                "reshape: a tensor has 0 to 8 axes, not 9");
    sw_array r = sw_value(sw_reshape(empty, SW_SHAPE(-1, 3)));
    assert_int_equal(r.rank, 2);
    assert_int_equal(r.shape[0], 0);
    expect_no_error();
}

/* ---- Types ---- */

static void test_operation_refuses_wrong_types(void **state) {
    const fixture *f = *state;
    sw_tensor a = leaf(f, SW_SHAPE(2, 2)), wide = typed(f, SW_F64, SW_SHAPE(2, 2)),
              ids = typed(f, SW_I32, SW_SHAPE(2, 2)), none = {0};
    expect_null(sw_add(a, wide), SW_ERR_TYPE, "add: input 0 is f32 and input 1 is f64; convert one of them (sw_cast)");
    expect_null(sw_linear(a, a, wide), SW_ERR_TYPE,
                "linear: input 0 is f32 and input 2 is f64; convert one of them (sw_cast)");
    expect_null(sw_matmul(wide, a), SW_ERR_TYPE,
                "matmul: input 0 is f64 and input 1 is f32; convert one of them (sw_cast)");
    expect_null(sw_mse(a, wide), SW_ERR_TYPE, "mse: input 0 is f32 and input 1 is f64; convert one of them (sw_cast)");
    expect_null(sw_relu(ids), SW_ERR_TYPE, "relu: input 0 is i32; f32, f64, f16 or bf16 is needed");
    expect_null(sw_tanh(ids), SW_ERR_TYPE, "tanh: input 0 is i32; f32, f64, f16 or bf16 is needed");
    expect_null(sw_scale(ids, 2), SW_ERR_TYPE, "scale: input 0 is i32; f32, f64, f16 or bf16 is needed");
    expect_null(sw_sum(ids), SW_ERR_TYPE, "sum: input 0 is i32; f32, f64, f16 or bf16 is needed");
    expect_null(sw_mean(ids), SW_ERR_TYPE, "mean: input 0 is i32; f32, f64, f16 or bf16 is needed");
    expect_null(sw_dropout(ids, 0.5, 0), SW_ERR_TYPE, "dropout: input 0 is i32; f32, f64, f16 or bf16 is needed");
    expect_null(sw_mul(a, ids), SW_ERR_TYPE, "mul: input 1 is i32; f32, f64, f16 or bf16 is needed");
    expect_null(sw_linear(ids, a, none), SW_ERR_TYPE, "linear: input 0 is i32; f32, f64, f16 or bf16 is needed");
    const int32_t one = 1;
    expect_null(sw_variable(f->tape, sw_array_view(&one, SW_I32, 0, NULL)), SW_ERR_TYPE,
                "variable: i32 has no gradient; f32, f64, f16 or bf16 is needed");
}

static void test_operation_refuses_wrong_arguments(void **state) {
    const fixture *f = *state;
    sw_tensor a = leaf(f, SW_SHAPE(2));
    expect_null(sw_dropout(a, 1, 0), SW_ERR_ARGUMENT, "dropout: p = 1 is outside [0, 1)");
    expect_null(sw_dropout(a, -0.5, 0), SW_ERR_ARGUMENT, "dropout: p = -0.5 is outside [0, 1)");
    assert_true(sw_is_null(sw_dropout(a, (double)NAN, 0)));
    assert_int_equal(sw_error_status(), SW_ERR_ARGUMENT);
    sw_clear_error();
    expect_null(sw_input(f->tape, (sw_array){.type = SW_F32, .rank = 1, .shape = {3}}), SW_ERR_ARGUMENT,
                "input: the array has no data");
    expect_null(sw_input(NULL, sw_array_view(f->data, SW_F32, SW_SHAPE(2))), SW_ERR_ARGUMENT,
                "input: the tape is NULL");
    expect_null(sw_variable(NULL, sw_array_view(f->data, SW_F32, SW_SHAPE(2))), SW_ERR_ARGUMENT,
                "variable: the tape is NULL");
    expect_null(sw_empty(NULL, SW_F32, SW_SHAPE(2)), SW_ERR_ARGUMENT, "empty: the tape is NULL");
    expect_null(sw_empty(f->tape, SW_F32, SW_SHAPE(2, -3)), SW_ERR_SHAPE, "axis 1 of [2,-3] is negative");
    expect_null(sw_empty(f->tape, SW_F32, SW_SHAPE(INT64_MAX / 8, 64)), SW_ERR_SHAPE,
                "[1152921504606846975,64] has too many elements");
    assert_int_equal(sw_tape_set_sample_ids(NULL, NULL, 0), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "tape_set_sample_ids: the tape is NULL");
    assert_int_equal(sw_tape_set_sample_ids(f->tape, NULL, -2), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "tape_set_sample_ids: a count of -2");
    assert_int_equal(sw_tape_set_sample_ids(f->tape, NULL, 3), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "tape_set_sample_ids: the ids are NULL");
    assert_int_equal(sw_tape_set_sample_ids(f->tape, NULL, 0), SW_OK); /* an empty batch has no ids */
    expect_no_error();
}

static void test_array_refuses_more_than_eight_axes(void **state) {
    (void)state;
    const int64_t shape[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    float x = 0;
    assert_null(sw_array_view(&x, SW_F32, 9, shape).data);
    expect_error(SW_ERR_SHAPE, "an array has 0 to 8 axes, not 9");
    assert_null(sw_array_view(&x, SW_F32, -1, shape).data);
    expect_error(SW_ERR_SHAPE, "an array has 0 to 8 axes, not -1");
    assert_null(sw_array_view(&x, SW_F32, 2, NULL).data);
    sw_clear_error();
    assert_null(sw_array_view(&x, SW_F32, SW_SHAPE(1, -1)).data);
    expect_error(SW_ERR_SHAPE, "axis 1 of [1,-1] is negative");
    assert_non_null(sw_array_view(&x, SW_F32, 8, shape).data);
    expect_no_error();
    /* Also where an axis is empty the others have a product: strides and parts of shapes are made of it. */
    sw_array large = sw_array_view(&x, SW_F32, SW_SHAPE(1ll << 29, 0, 1ll << 29));
    assert_non_null(large.data);
    assert_int_equal(sw_array_count(&large), 0);
    assert_null(sw_array_view(&x, SW_F32, SW_SHAPE(1ll << 40, 1ll << 40, 0)).data);
    expect_error(SW_ERR_SHAPE, "[1099511627776,1099511627776,0] has too many elements");
    assert_null(sw_array_view(&x, SW_F32, SW_SHAPE(1ll << 40, 0, 1ll << 40)).data);
    expect_error(SW_ERR_SHAPE, "[1099511627776,0,1099511627776] has too many elements");
}

/* What is no element of the type is refused, not converted: that would be undefined. */
static void test_constant_refuses_what_the_type_cannot_hold(void **state) {
    const fixture *f = *state;
    assert_true(sw_item(sw_constant(f->tape, SW_I32, -2147483648.0)) == -2147483648.0);
    assert_true(sw_item(sw_constant(f->tape, SW_U8, 255)) == 255);
    assert_true(isnan(sw_item(sw_constant(f->tape, SW_F32, NAN))));
    expect_no_error();
    expect_null(sw_constant(f->tape, SW_I32, 3e9), SW_ERR_ARGUMENT,
                "constant: 3e+09 is not a whole number from -2147483648 to 2147483647 (i32)");
    expect_null(sw_constant(f->tape, SW_I32, NAN), SW_ERR_ARGUMENT,
                "constant: nan is not a whole number from -2147483648 to 2147483647 (i32)");
    expect_null(sw_constant(f->tape, SW_U8, -1), SW_ERR_ARGUMENT,
                "constant: -1 is not a whole number from 0 to 255 (u8)");
    expect_null(sw_constant(f->tape, SW_U8, 1.5), SW_ERR_ARGUMENT,
                "constant: 1.5 is not a whole number from 0 to 255 (u8)");
}

/* ---- Moments ---- */

static void test_item_needs_one_element(void **state) {
    const fixture *f = *state;
    sw_tensor a = leaf(f, SW_SHAPE(2, 3)), ids = typed(f, SW_I32, 0, NULL);
    assert_true(isnan(sw_item(a)));
    expect_error(SW_ERR_SHAPE, "item: one element is needed, the shape is [2,3]");
    assert_true(isnan(sw_item(leaf(f, SW_SHAPE(0)))));
    expect_error(SW_ERR_SHAPE, "item: one element is needed, the shape is [0]");
    assert_true(sw_item(ids) == 0);
    assert_true(sw_item(leaf(f, SW_SHAPE(1, 1))) == 0);
    expect_no_error();
    assert_true(isnan(sw_item((sw_tensor){0})));
    expect_error(SW_ERR_ARGUMENT, "a null tensor was used");
}

static void test_backward_refuses_what_is_no_loss(void **state) {
    const fixture *f = *state;
    sw_tensor a = leaf(f, SW_SHAPE(2, 3)), constant = sw_constant(f->tape, SW_F32, 2);
    assert_int_equal(sw_backward(sw_relu(a)), SW_ERR_SHAPE);
    expect_error(SW_ERR_SHAPE, "backward: the loss must be one number, its shape is [2,3]");
    const char *nothing = "backward: nothing the tensor depends on needs a gradient (recording off, "
                          "or all parameters frozen?)";
    assert_int_equal(sw_backward(sw_scale(constant, 2)), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, nothing);
    sw_tape_set_switch(f->tape, SW_RECORD, false);
    assert_int_equal(sw_backward(sw_sum(a)), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, nothing);
    sw_tape_set_switch(f->tape, SW_RECORD, true);
    assert_int_equal(sw_backward(sw_detach(sw_sum(a))), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, nothing);
    assert_int_equal(sw_backward((sw_tensor){0}), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "a null tensor was used");

    sw_tensor y = sw_tanh(a);
    const double wide[6] = {0};
    assert_int_equal(sw_backward_from(y, sw_array_view(wide, SW_F64, SW_SHAPE(2, 3))), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "backward: the tensor is f32, its cotangent f64");
    assert_int_equal(sw_backward_from(y, sw_array_view(f->data, SW_F32, SW_SHAPE(3, 2))), SW_ERR_SHAPE);
    expect_error(SW_ERR_SHAPE, "backward: the tensor's shape is [2,3], its cotangent's [3,2]");
    assert_int_equal(sw_backward_from(y, sw_array_view(f->data, SW_F32, SW_SHAPE(6))), SW_ERR_SHAPE);
    expect_error(SW_ERR_SHAPE, "backward: the tensor's shape is [2,3], its cotangent's [6]");
    assert_int_equal(sw_backward_from(y, sw_array_view(NULL, SW_F32, SW_SHAPE(2, 3))), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "backward: the cotangent has no data");
    assert_null(sw_grad(a).data); /* none of these left anything behind */
    expect_no_error();
}

static void test_tensor_of_a_reset_tape_is_refused(void **state) {
    const fixture *f = *state;
    const char *text = "a tensor was used after its tape was reset";
    sw_tensor a = leaf(f, SW_SHAPE(2)), b = sw_scale(a, 2);
    sw_tape_reset(f->tape);
    assert_null(sw_value(a).data);
    expect_error(SW_ERR_STATE, text);
    assert_true(isnan(sw_item(b)));
    expect_error(SW_ERR_STATE, text);
    assert_null(sw_grad(b).data);
    expect_error(SW_ERR_STATE, text);
    assert_int_equal(sw_backward(b), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, text);
    assert_true(sw_is_null(sw_retain_grad(b)));
    expect_error(SW_ERR_STATE, text);
    expect_null(sw_relu(b), SW_ERR_STATE, "relu: input 0: a tensor was used after its tape was reset");
    /* The same places are in use again: still not the same tensors. */
    sw_tensor c = leaf(f, SW_SHAPE(2)), d = sw_scale(c, 2);
    assert_int_equal(a.slot, c.slot);
    expect_null(sw_add(d, b), SW_ERR_STATE, "add: input 1: a tensor was used after its tape was reset");
    sw_tape_set_layer(f->tape, "norm");
    expect_null(sw_add(d, b), SW_ERR_STATE, "layer norm: add: input 1: a tensor was used after its tape was reset");
    sw_release(a);
    expect_error(SW_ERR_STATE, text);
}

static void test_tensor_after_release_is_refused(void **state) {
    const fixture *f = *state;
#define RELEASED                                                                 \
    "a tensor was used after sw_release (sw_nn_sequential releases the tensors " \
    "between its layers)"
    const char *text = RELEASED;
    sw_tensor a = leaf(f, SW_SHAPE(2)), b = sw_scale(a, 2), c = sw_relu(b);
    sw_release(b);
    assert_null(sw_value(b).data);
    expect_error(SW_ERR_STATE, text);
    expect_null(sw_relu(b), SW_ERR_STATE, "relu: input 0: " RELEASED);
    sw_release(b);
    expect_error(SW_ERR_STATE, text);
    assert_int_equal(sw_backward(sw_sum(c)), SW_OK); /* what was built on it still works */
    sw_release((sw_tensor){0});
    expect_no_error();
}

static void test_tensor_of_a_rewound_tape_is_refused(void **state) {
    const fixture *f = *state;
    sw_tensor a = leaf(f, SW_SHAPE(2)), before = sw_scale(a, 2);
    sw_mark mark = sw_tape_mark(f->tape);
    sw_tensor after = sw_scale(before, 2);
    assert_int_equal(sw_tape_rewind(f->tape, mark), SW_OK);
    assert_null(sw_value(after).data);
    expect_error(SW_ERR_STATE, "a tensor was used after its tape was reset");
    sw_tensor again = sw_scale(before, 3);
    assert_int_equal(again.slot, after.slot);
    expect_null(sw_relu(after), SW_ERR_STATE, "relu: input 0: a tensor was used after its tape was reset");
    assert_false(sw_is_null(sw_relu(before)));
    expect_no_error();
    sw_tape_reset(f->tape);
    assert_int_equal(sw_tape_rewind(f->tape, mark), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "tape_rewind: the mark is not of this pass of the tape");
    assert_int_equal(sw_tape_rewind(NULL, mark), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "tape_rewind: the mark is not of this pass of the tape");
    /* A mark whose place was itself forgotten */
    leaf(f, SW_SHAPE(2));
    sw_mark outer = sw_tape_mark(f->tape);
    leaf(f, SW_SHAPE(2));
    sw_mark inner = sw_tape_mark(f->tape);
    assert_int_equal(sw_tape_rewind(f->tape, outer), SW_OK);
    for (int i = 0; i < 3; i++)
        leaf(f, SW_SHAPE(2));
    assert_int_equal(sw_tape_rewind(f->tape, inner), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "tape_rewind: the mark is not of this pass of the tape");
}

static void test_tensors_of_two_tapes_are_refused(void **state) {
    const fixture *f = *state;
    sw_tape *other = sw_tape_new();
    sw_tensor a = leaf(f, SW_SHAPE(2)), b = sw_input(other, sw_array_view(f->data, SW_F32, SW_SHAPE(2)));
    expect_null(sw_add(a, b), SW_ERR_ARGUMENT, "add: inputs 0 and 1 are on different tapes");
    expect_null(sw_linear(a, a, b), SW_ERR_ARGUMENT, "linear: inputs 0 and 2 are on different tapes");
    sw_tape_free(other);
}

/* ---- Null tensors, and the first message ---- */

static void test_null_tensor_is_refused(void **state) {
    const fixture *f = *state;
    const sw_tensor null = {0};
    sw_tensor a = leaf(f, SW_SHAPE(2, 2));
    expect_null(sw_add(a, null), SW_ERR_ARGUMENT, "add: input 1 is a null tensor");
    expect_null(sw_relu(null), SW_ERR_ARGUMENT, "relu: input 0 is a null tensor");
    expect_null(sw_dropout(null, 0.5, 0), SW_ERR_ARGUMENT, "dropout: input 0 is a null tensor");
    expect_null(sw_reshape(null, SW_SHAPE(4)), SW_ERR_ARGUMENT, "reshape: input 0 is a null tensor");
    /* Only the first message counts, however long the chain that follows it. */
    sw_tensor bad = sw_matmul(a, leaf(f, SW_SHAPE(3, 2)));
    const char *text = "matmul: [2,2] times [3,2]; axis 1 of the first (2) must equal axis 0 of the "
                       "second (3)";
    assert_true(sw_is_null(bad));
    sw_tensor all[] = {sw_add(bad, a),
                       sw_sub(a, bad),
                       sw_mul(bad, bad),
                       sw_scale(bad, 2),
                       sw_matmul(bad, a),
                       sw_linear(bad, a, null),
                       sw_linear(a, bad, null),
                       sw_relu(bad),
                       sw_tanh(bad),
                       sw_sum(bad),
                       sw_mean(bad),
                       sw_reshape(bad, SW_SHAPE(4)),
                       sw_dropout(bad, 0.5, 0),
                       sw_detach(bad),
                       sw_cross_entropy(bad, a),
                       sw_mse(bad, a),
                       sw_bce_with_logits(a, bad),
                       sw_retain_grad(bad)};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_true(sw_is_null(all[i]));
    assert_null(sw_value(bad).data);
    assert_null(sw_grad(bad).data);
    assert_true(isnan(sw_item(bad)));
    assert_int_not_equal(sw_backward(bad), SW_OK);
    sw_release(bad);
    assert_true(sw_is_null(sw_matmul(a, leaf(f, SW_SHAPE(4))))); /* another mistake: not kept */
    expect_error(SW_ERR_SHAPE, text);
    assert_null(sw_error());
    assert_int_equal(sw_error_status(), SW_OK);
}

static void test_first_message_is_kept(void **state) {
    (void)state;
    assert_null(sw_error());
    assert_int_equal(sw_fail(SW_ERR_IO, "%s %d", "one", 1), SW_ERR_IO);
    assert_int_equal(sw_fail(SW_ERR_TYPE, "two"), SW_ERR_TYPE); /* its status, though not its text */
    expect_error(SW_ERR_IO, "one 1");
    sw_fail(SW_ERR_TYPE, "three");
    expect_error(SW_ERR_TYPE, "three");
    /* Too long: cut, not overrun. */
    char text[9000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    sw_fail(SW_ERR_USER, "%s", text);
    assert_true(strlen(sw_error()) > 500 && strlen(sw_error()) < sizeof text - 1);
    assert_int_equal(strspn(sw_error(), "x"), strlen(sw_error()));
    sw_clear_error();
}

static void *other_thread(void *arg) {
    (void)arg;
    if (sw_error() || sw_error_status() != SW_OK)
        return "the thread began with somebody else's message";
    sw_fail(SW_ERR_FORMAT, "mine");
    if (strcmp(sw_error(), "mine") != 0)
        return "the thread's own message is not kept";
    return NULL;
}

static void test_every_thread_has_its_own_error(void **state) {
    (void)state;
    pthread_t thread;
    void *result;
    sw_fail(SW_ERR_IO, "of the main thread");
    assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
    pthread_join(thread, &result);
    if (result)
        fail_msg("%s", (const char *)result);
    expect_error(SW_ERR_IO, "of the main thread");
}

/* ---- Parameters ---- */

static void test_params_refuse_wrong_declarations(void **state) {
    const fixture *f = *state;
    assert_null(sw_params_new(SW_I32, 1));
    expect_error(SW_ERR_TYPE, "parameters are f32, f64, f16 or bf16, not i32");
    sw_params *p = sw_params_new(SW_F32, 1), *q = sw_params_new(SW_F32, 1);
    sw_param *w = sw_params_add(p, "w", SW_SHAPE(2, 2), NULL);
    expect_null(sw_param_use(f->tape, w), SW_ERR_STATE, "parameter w is used before its set is built");
    assert_int_equal(sw_tape_bind(f->tape, p, NULL, NULL), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "tape_bind: the parameters are not built");
    assert_null(sw_gradient_new(p));
    expect_error(SW_ERR_STATE, "gradient: the parameters are not built");
    assert_int_equal(sw_params_reinitialize(p), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "params_reinitialize: the parameters are not built");
    assert_int_equal(sw_params_build(p), SW_OK);
    assert_int_equal(sw_params_build(p), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "params_build: the parameters are built already");
    assert_null(sw_params_add(p, "late", SW_SHAPE(2), NULL));
    expect_error(SW_ERR_STATE, "parameter late: the set is built already");

    sw_params_add(q, "a", SW_SHAPE(2), NULL);
    assert_null(sw_params_tie(q, "b", w));
    expect_error(SW_ERR_ARGUMENT, "parameter b: w belongs to another set");
    assert_int_equal(sw_params_build(q), SW_ERR_STATE); /* remembered, though the message is gone */
    expect_error(SW_ERR_STATE, "params_build: a parameter could not be declared");
    sw_params_free(q);
    q = sw_params_new(SW_F32, 1);
    sw_params_add(q, "a", SW_SHAPE(2), NULL);
    assert_null(sw_params_add(q, "a", SW_SHAPE(3), NULL));
    expect_error(SW_ERR_ARGUMENT, "parameter a is declared twice");
    assert_null(sw_params_add(q, "", SW_SHAPE(3), NULL));
    expect_error(SW_ERR_ARGUMENT, "a parameter needs a name");
    assert_null(sw_params_add(q, NULL, SW_SHAPE(3), NULL));
    expect_error(SW_ERR_ARGUMENT, "a parameter needs a name");
    assert_null(sw_params_add(q, "c", SW_SHAPE(-3), NULL));
    expect_error(SW_ERR_SHAPE, "axis 0 of [-3] is negative");
    sw_params_free(q);

    /* Bindings */
    q = sw_params_new(SW_F32, 1);
    sw_params_add(q, "a", SW_SHAPE(2), NULL);
    assert_int_equal(sw_params_build(q), SW_OK);
    assert_int_equal(sw_tape_bind(f->tape, p, NULL, sw_params_gradient(q)), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "tape_bind: the gradient block belongs to other parameters");
    assert_int_equal(sw_tape_bind(NULL, p, NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "tape_bind: the tape is NULL");
    assert_int_equal(sw_tape_bind(f->tape, NULL, NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "tape_bind: the parameter set is NULL");
    assert_false(sw_is_null(sw_param_use(f->tape, w)));
    assert_int_equal(sw_tape_bind(f->tape, p, NULL, NULL), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "tape_bind: parameters are in use on the tape; reset it first");
    assert_int_equal(sw_tape_freeze(f->tape, p, true), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "tape_freeze: parameters are in use on the tape; reset it first");
    assert_int_equal(sw_tape_bind(f->tape, q, NULL, NULL), SW_OK); /* another set is free */
    sw_tape_reset(f->tape);
    assert_int_equal(sw_tape_bind(f->tape, p, NULL, NULL), SW_OK);
    expect_null(sw_param_use(NULL, w), SW_ERR_ARGUMENT, "param_use: the tape is NULL");
    expect_null(sw_param_use(f->tape, NULL), SW_ERR_ARGUMENT, "param_use: the parameter is NULL");
    expect_no_error();
    sw_params_free(p);
    sw_params_free(q);
}

/* ---- The contract of operations ---- */

static sw_status no_shape(sw_call *call) {
    return sw_fail(SW_ERR_USER, "%s: never", call->op->name);
}
static sw_status no_forward(sw_call *call) {
    (void)call;
    return SW_OK;
}
static sw_status greedy_forward(sw_call *call) {
    for (int i = 0; i < 4; i++) /* as many as are promised */
        if (!sw_call_scratch(call, 16))
            return SW_OK;
    for (int i = 0; i < 16; i++)
        if (!sw_call_scratch(call, 16))
            return SW_ERR_STATE;
    return SW_OK;
}
static sw_status like_first(sw_call *call) {
    return sw_call_set_shape_like(call, 0);
}
static const sw_op never_op = {.size = sizeof(sw_op), .name = "never", .shape = no_shape, .forward = no_forward};
static const sw_op greedy_op = {
    .size = sizeof(sw_op), .name = "greedy", .shape = like_first, .forward = greedy_forward};

static void test_custom_operation_refuses_wrong_calls(void **state) {
    const fixture *f = *state;
    sw_tensor a = leaf(f, SW_SHAPE(2));
    expect_null(sw_apply(&never_op, NULL, 0, 0, NULL), SW_ERR_ARGUMENT, "never: an operation needs an input");
    expect_null(sw_apply(&never_op, NULL, 0, 1, &a), SW_ERR_USER, "never: never");
    expect_null(sw_apply(&greedy_op, NULL, 0, 1, &a), SW_ERR_STATE, "greedy: too many scratch blocks in one call");
    /* What failed left no trace on the tape. */
    sw_tensor b = sw_scale(a, 2);
    assert_int_equal(b.slot, a.slot + 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_product_refuses_wrong_shapes),
        TEST(test_message_names_the_layer),
        TEST(test_elementwise_refuses_shapes_that_do_not_broadcast),
        TEST(test_loss_refuses_wrong_shapes),
        TEST(test_reshape_refuses_another_count),
        TEST(test_operation_refuses_wrong_types),
        TEST(test_operation_refuses_wrong_arguments),
        TEST(test_array_refuses_more_than_eight_axes),
        TEST(test_constant_refuses_what_the_type_cannot_hold),
        TEST(test_item_needs_one_element),
        TEST(test_backward_refuses_what_is_no_loss),
        TEST(test_tensor_of_a_reset_tape_is_refused),
        TEST(test_tensor_after_release_is_refused),
        TEST(test_tensor_of_a_rewound_tape_is_refused),
        TEST(test_tensors_of_two_tapes_are_refused),
        TEST(test_null_tensor_is_refused),
        TEST(test_first_message_is_kept),
        TEST(test_every_thread_has_its_own_error),
        TEST(test_params_refuse_wrong_declarations),
        TEST(test_custom_operation_refuses_wrong_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
