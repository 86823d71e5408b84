/* Advice for messages about samples that are not pictures or signals (channel_hint.h). */
#include "nn/layers/channel_hint.h"

const char *swn_channel_hint(int axes, int rank) {
    if (rank == axes)
        return " (add the axis of one channel with sw_nn_reshape?)";
    if (axes == 2 && rank == 1)
        return " (make them from vectors with sw_nn_reshape, or use sw_fashion_mnist_pictures?)";
    return "";
}
