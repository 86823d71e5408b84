/* 100 steps of LeNet and of a residual network with 16, 32 and 64 channels, beside PyTorch in float64: every loss,
 * and the running statistics at the end. golden/torch_networks.py derives the tolerances. */
#define _GNU_SOURCE
#include "helpers.h"

#include <swale/nn.h>

#include "golden/torch_networks.h"
#include "nn/torch_fill.h"

static sw_module *make_lenet(sw_model *m) {
    return sw_nn_lenet(m, 10);
}
static sw_module *make_resnet8(sw_model *m) {
    return sw_nn_resnet(m, 8, 16, 10);
}

enum { CLASSES = 10 };
static const struct network {
    const char *name;
    sw_module *(*make)(sw_model *m);
    int64_t side; /* of the pictures, which have one channel */
} networks[] = {{"lenet", make_lenet, 28}, {"resnet8", make_resnet8, 24}};

/* Relative to the largest element of each buffer. */
static void check_statistics(const struct torch_training *run, const sw_params *p) {
    const double *golden = run->statistics;
    for (int i = 0; i < sw_params_count(p); i++) {
        const sw_param *param = sw_params_at(p, i);
        const sw_array value = sw_param_value(param);
        double worst = 0, most = 0;
        for (int64_t j = 0; param->buffer && j < param->count; j++) {
            worst = fmax(worst, fabs(test_get(&value, j) - golden[j]));
            most = fmax(most, fabs(golden[j]));
        }
        if (!(worst <= run->tolerance * most))
            fail_msg("%s: %s ends %.2g of its largest element away; %.2g allowed", run->net, param->name, worst / most,
                     run->tolerance);
        golden += param->buffer ? param->count : 0;
    }
}

static sw_array samples(const sw_array *all, int64_t at) {
    sw_array part = *all;
    part.shape[0] = TORCH_BATCH;
    part.data = (char *)all->data + test_bytes(all) / (size_t)all->shape[0] * (size_t)at;
    return part;
}

static void follow(const struct network *net, const struct torch_training *run) {
    assert_string_equal(net->name, run->net);
    sw_model *m = sw_model_new(SW_F64, 1);
    assert_ok(sw_model_set_input_shape(m, SW_SHAPE(net->side, net->side, 1)));
    sw_module *root = net->make(m);
    sw_params *p = sw_model_build(m, root);
    assert_non_null(p);
    torch_fill(p, 31);
    sw_optim *optim = sw_optim_new(p, run->rule);
    sw_tape *tape = sw_tape_new();
    sw_array x = test_filled(SW_F64, SW_SHAPE(TORCH_SAMPLES, net->side, net->side, 1), -1, 1, 21),
             y = test_array(SW_I32, SW_SHAPE(TORCH_SAMPLES));
    for (int i = 0; i < TORCH_SAMPLES; i++)
        test_set(&y, i, i % CLASSES);
    for (int t = 0; t < TORCH_STEPS; t++) {
        const int64_t at = t * TORCH_BATCH % TORCH_SAMPLES;
        const sw_tensor loss =
            sw_cross_entropy(sw_forward(root, sw_input(tape, samples(&x, at))), sw_input(tape, samples(&y, at)));
        const double own = sw_item(loss), error = fabs(own - run->losses[t]) / run->losses[0];
        if (!(error <= run->tolerance))
            fail_msg("%s: the loss of step %d is %.17g, PyTorch's %.17g; %.2g of the first one apart, %.2g allowed",
                     net->name, t + 1, own, run->losses[t], error, run->tolerance);
        assert_ok(sw_backward(loss));
        assert_ok(sw_optim_step(optim));
        sw_tape_reset(tape);
    }
    check_statistics(run, p);
    test_array_free(&x);
    test_array_free(&y);
    sw_tape_free(tape);
    sw_optim_free(optim);
    sw_model_free(m);
    expect_no_error();
}

static void test_lenet_trains_as_in_pytorch(void **state) {
    (void)state;
    follow(&networks[0], &torch_trainings[0]);
}

static void test_resnet_trains_as_in_pytorch(void **state) {
    (void)state;
    follow(&networks[1], &torch_trainings[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_lenet_trains_as_in_pytorch, test_clear),
                                       cmocka_unit_test_teardown(test_resnet_trains_as_in_pytorch, test_clear)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
