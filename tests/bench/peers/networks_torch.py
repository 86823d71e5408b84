"""The convolutional networks of ../networks.h and the layers of ../layers.h in PyTorch."""
from torch import nn, relu


class Block(nn.Module):
    """Two convolutions and a shortcut (He et al., CVPR 2016)."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Identity() if inputs == outputs else nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = relu(self.bn1(self.conv1(x)))
        return relu(self.bn2(self.conv2(y)) + self.downsample(x))


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 10))


def average():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(1568, 64), nn.ReLU(), nn.Linear(64, 10))


def resnet8():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), Block(16, 16, 1), Block(16, 32, 2),
        Block(32, 64, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


NETWORKS = {"lenet": lenet, "average": average, "resnet8": resnet8}

class Outputs(nn.Module):
    """A recurrent layer without the last state that it returns."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


LAYERS = {  # the shape of x, and the layer
    "max_pool_2": ((64, 16, 28, 28), lambda: nn.MaxPool2d(2)),
    "max_pool_3_stride_2": ((8, 64, 112, 112), lambda: nn.MaxPool2d(3, 2, 1)),
    "avg_pool_2": ((64, 16, 28, 28), lambda: nn.AvgPool2d(2)),
    "batch_norm": ((64, 16, 28, 28), lambda: nn.BatchNorm2d(16, track_running_stats=False)),
    "layer_norm_768x128": ((768, 128), lambda: nn.LayerNorm(128)),
    "layer_norm_2048x32": ((2048, 32), lambda: nn.LayerNorm(32)),
    "group_norm": ((64, 64, 14, 14), lambda: nn.GroupNorm(8, 64)),
    "depthwise_3x3": ((64, 64, 28, 28), lambda: nn.Conv2d(64, 64, 3, padding=1, groups=64)),
    "groups_4_3x3": ((64, 64, 28, 28), lambda: nn.Conv2d(64, 64, 3, padding=1, groups=4)),
    "lstm_128": ((32, 64, 128), lambda: Outputs(nn.LSTM(128, 128, batch_first=True))),
    "gru_128": ((32, 64, 128), lambda: Outputs(nn.GRU(128, 128, batch_first=True))),
}
