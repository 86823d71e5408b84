/* Trains a small network on Fashion-MNIST for one epoch. */
#include <stdio.h>
#include <swale/swale.h>

int main(int argc, char **argv) {
    if (argc > 1)
        return fprintf(stderr, "hello takes no arguments, but got %s\n", argv[1]), 2;
    sw_source *train = sw_fashion_mnist(NULL, SW_TRAINING);
    sw_model *net = sw_model_new(SW_F32, 42);
    sw_module *layers =
        sw_nn_sequential(net, sw_nn_linear(net, 784, 100), sw_nn_relu(net), sw_nn_linear(net, 100, 10), NULL);
    sw_optim *opt = sw_optim_new(sw_model_build(net, layers), "adamw lr=1e-3");
    sw_loader *data = sw_loader_new(train, 64, NULL);
    sw_tape *tape = sw_tape_new();
    sw_loss_mean mean = {0};
    for (sw_batch b; sw_loader_next(data, tape, &b); sw_tape_reset(tape)) {
        sw_tensor loss = sw_cross_entropy(sw_forward(layers, b.x), b.y);
        sw_backward(loss);
        sw_optim_step(opt);
        sw_loss_mean_add(&mean, loss);
    }
    if (!sw_error())
        printf("mean loss of the first epoch: %.3f\n", sw_loss_mean_value(&mean));
    if (fflush(stdout) != 0)
        sw_fail(SW_ERR_IO, "the result could not be printed");
    if (sw_error())
        fprintf(stderr, "%s\n", sw_error());
    sw_tape_free(tape), sw_loader_free(data), sw_optim_free(opt), sw_model_free(net);
    return sw_source_free(train), sw_error() != NULL;
}
