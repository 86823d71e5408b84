/* A layer that fails without sw_fail: a message names it. A layer that releases what it has read works. */
#include <swale/nn.h>

#include "helpers.h"

static sw_status build(sw_module *m, sw_sample_shape *shape) {
    (void)m, (void)shape;
    return (sw_status)11;
}
static sw_status build_well(sw_module *m, sw_sample_shape *shape) {
    (void)m, (void)shape;
    return SW_OK;
}
static sw_tensor forward(sw_module *m, sw_tensor x) {
    (void)m, (void)x;
    return (sw_tensor){0};
}

static void test_layer_that_fails_without_a_message_is_named(void **state) {
    (void)state;
    const sw_module_type bad_build = {.size = sizeof bad_build, .name = "mine", .build = build, .forward = forward},
                         bad_forward = {
                             .size = sizeof bad_forward, .name = "mine", .build = build_well, .forward = forward};
    sw_model *model = sw_model_new(SW_F32, 1);
    assert_null(sw_model_build(model, sw_module_new(model, &bad_build, 0)));
    assert_string_equal(sw_error(), "layer mine1: build returned status 11 without a message");
    sw_clear_error();
    sw_model_free(model);

    model = sw_model_new(SW_F32, 1);
    sw_module *m = sw_module_new(model, &bad_forward, 0);
    sw_model_set_input_shape(model, 1, (const int64_t[]){1});
    sw_model_build(model, m);
    sw_clear_error();
    const float one = 1;
    sw_tape *tape = sw_tape_new();
    assert_true(sw_is_null(sw_forward(m, sw_input(tape, sw_array_view(&one, SW_F32, 2, (const int64_t[]){1, 1})))));
    assert_string_equal(sw_error(), "layer mine1: its forward function returned a null tensor without a message");
    sw_clear_error();
    sw_tape_free(tape);
    sw_model_free(model);
}

/* x is released once f(x) is there: with dropout's mask in training, and in evaluation, where
 * dropout is the identity. */
static sw_tensor drop_and_release(sw_module *self, sw_tensor x) {
    sw_tensor h = sw_tanh(x), y = sw_forward(sw_module_child(self, 0), h);
    sw_release(h);
    return y;
}

static void test_dropout_in_a_composed_layer_works(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *m =
        sw_nn_sequential(model, sw_nn_compose(model, "mine", drop_and_release, sw_nn_dropout(model, 0.5), NULL),
                         sw_nn_relu(model), NULL);
    sw_model_set_input_shape(model, 1, (const int64_t[]){1});
    sw_model_build(model, m);
    const float one = 1;
    sw_tape *tape = sw_tape_new();
    for (int training = 0; training < 2; training++) {
        sw_tape_reset(tape);
        sw_tape_set_switch(tape, SW_TRAIN, training != 0);
        sw_tensor x = sw_input(tape, sw_array_view(&one, SW_F32, 2, (const int64_t[]){1, 1}));
        sw_tensor y = sw_forward(m, x);
        const double value = sw_item(y), kept = tanh(1);
        if (sw_error())
            fail_msg("%s", sw_error());
        assert_true(fabs(value - kept) < 1e-6 || (training && (value == 0 || fabs(value - 2 * kept) < 1e-6)));
    }
    sw_tape_free(tape);
    sw_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer_that_fails_without_a_message_is_named),
        cmocka_unit_test(test_dropout_in_a_composed_layer_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
