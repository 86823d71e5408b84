/* 100 training steps of an LSTM and of a GRU with two layers, on sequences of different lengths, against PyTorch in
 * float64: the losses of all steps. golden/torch_recurrent.py derives the tolerances from the amplification of rounding
 * errors by the problem. */
#include "support.h"

#include <swale/swale.h>

#include <math.h>

#include "golden/torch_recurrent.h"

/* x [SAMPLES, TIME, INPUTS], the classes of the steps by the sums of the inputs up to them, and the lengths. */
static void sequences(sw_array *x, sw_array *ids, sw_array *lengths) {
    *x = test_filled(SW_F64, SW_SHAPE(SAMPLES, TIME, INPUTS), -1, 1, 11);
    *ids = test_array(SW_I32, 2, (int64_t[]){SAMPLES, TIME});
    *lengths = test_array(SW_I32, 1, (int64_t[]){SAMPLES});
    for (int64_t n = 0; n < SAMPLES; n++) {
        double total = 0;
        for (int64_t t = 0; t < TIME; t++) {
            for (int64_t i = 0; i < INPUTS; i++)
                total += test_get(x, (n * TIME + t) * INPUTS + i);
            test_set(ids, n * TIME + t, (total > -0.5) + (total > 0) + (total > 0.5));
        }
        test_set(lengths, n, (double)(1 + 5 * n % TIME));
    }
}

/* BATCH samples from `at` on: a view. */
static sw_array part_of(const sw_array *all, int64_t at) {
    sw_array part = *all;
    part.shape[0] = BATCH;
    part.data = (char *)all->data + (size_t)at * (test_bytes(all) / SAMPLES);
    return part;
}

static sw_tensor network(sw_module *self, int count, const sw_tensor *x) {
    return sw_forward(sw_module_child(self, 1), sw_forward_many(sw_module_child(self, 0), count, x));
}

static void follow(const struct torch_recurrent *golden) {
    const int64_t samples[2] = {TIME, INPUTS};
    const sw_recurrent_layer_options two = SW_OPTIONS(sw_recurrent_layer_options, .layers = 2);
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *const layers[2] = {strcmp(golden->layer, "lstm") == 0
                                      ? sw_nn_lstm_with_options(model, INPUTS, HIDDEN, &two)
                                      : sw_nn_gru_with_options(model, INPUTS, HIDDEN, &two),
                                  sw_nn_linear(model, HIDDEN, CLASSES)};
    sw_module *net =
        sw_nn_compose_many(model, "network", 2, network, 2, layers, &SW_OPTIONS(sw_compose_options, .id_inputs = 2));
    const sw_sample_shape shapes[2] = {{.rank = 2, .length = {samples[0], samples[1]}}, {.rank = 0}};
    assert_ok(sw_model_set_input_shapes(model, 2, shapes));
    sw_params *params = sw_model_build(model, net);
    sw_optim *optim = sw_optim_new(params, "adam lr=0.01");
    if (!optim)
        fail_msg("%s", sw_error());
    const sw_array w = sw_array_view(sw_params_x(params), SW_F64, SW_SHAPE(sw_params_dim(params)));
    test_fill(&w, -0.6, 0.6, 13);
    sw_params_mark_changed(params);
    sw_array x, ids, lengths;
    sequences(&x, &ids, &lengths);
    sw_tape *tape = sw_tape_new();
    for (int t = 0; t < STEPS; t++) {
        const int64_t at = t * BATCH % SAMPLES;
        const sw_tensor in[2] = {sw_input(tape, part_of(&x, at)), sw_input(tape, part_of(&lengths, at))},
                        loss = sw_cross_entropy(sw_forward_many(net, 2, in), sw_input(tape, part_of(&ids, at)));
        const double own = sw_item(loss), expected = golden->losses[t];
        if (!(fabs(own - expected) <= golden->tolerance * expected))
            fail_msg("%s: the loss of step %d is %.17g, PyTorch's %.17g, %.2g apart; %.2g allowed (%s)", golden->layer,
                     t + 1, own, expected, fabs(own / expected - 1), golden->tolerance, sw_error() ? sw_error() : "");
        assert_ok(sw_backward(loss));
        assert_ok(sw_optim_step(optim));
        sw_tape_reset(tape);
    }
    sw_tape_free(tape);
    sw_optim_free(optim);
    sw_model_free(model);
    test_array_free(&x);
    test_array_free(&ids);
    test_array_free(&lengths);
}

static void test_training_agrees_with_torch(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof torch_recurrent / sizeof *torch_recurrent; i++) {
        assert_true(torch_recurrent[i].tolerance <= 1e-9);
        assert_true(torch_recurrent[i].losses[STEPS - 1] < 0.8 * torch_recurrent[i].losses[0]); /* it learns */
        follow(&torch_recurrent[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_training_agrees_with_torch, test_no_error_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
