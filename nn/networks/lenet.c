/* LeNet: two convolutions 5×5 with max pools, and two linear layers. */
#include <swale/extend.h>
#include <swale/nn.h>

sw_module *sw_nn_lenet(sw_model *model, int64_t classes) {
    if (classes < 1) {
        sw_fail(SW_ERR_ARGUMENT, "lenet: %lld classes; 1 or more are needed", (long long)classes);
        return sw_module_fail(model);
    }
    sw_module *conv1 = sw_nn_conv2d(model, 0, 16, 5), *conv2 = sw_nn_conv2d(model, 16, 32, 5),
              *fc1 = sw_nn_linear(model, 0, 128), *fc2 = sw_nn_linear(model, 128, classes);
    return sw_nn_sequential(model, sw_module_set_name(conv1, "conv1"), sw_nn_relu(model), sw_nn_max_pool2d(model, 2),
                            sw_module_set_name(conv2, "conv2"), sw_nn_relu(model), sw_nn_max_pool2d(model, 2),
                            sw_nn_flatten(model), sw_module_set_name(fc1, "fc1"), sw_nn_relu(model),
                            sw_module_set_name(fc2, "fc2"));
}
