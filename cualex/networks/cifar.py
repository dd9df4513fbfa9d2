"""A small network for pictures of 32x32, in the spirit of cuda-convnet's networks for CIFAR-10.

Four layers with weights, as in figure 1 of the paper: three convolutions and one dense layer.
"""

from cualex.layers import LRN, Conv, Dense, MaxPool, ReLU, Softmax
from cualex.networks.network import Network


def cifar_relu(classes: int = 10, crop: int = 27, mean_at: str = "crop") -> Network:
    """Build the network: crops of 27 out of 32 pixels give maps of 13, 6 and 3 with no pixel unread.

    Pictures are scaled to a deviation of about 1. With grey levels as they are, the rate that the first layer
    bears is far too small for the others.
    """
    layers = {
        "conv1": Conv(64, size=5, pad=2, std=0.1),
        "relu1": ReLU(),
        "norm1": LRN(),
        "pool1": MaxPool(size=3, stride=2),
        "conv2": Conv(64, size=5, pad=2, std=0.03),
        "relu2": ReLU(),
        "norm2": LRN(),
        "pool2": MaxPool(size=3, stride=2),
        "conv3": Conv(64, size=5, pad=2, std=0.03),
        "relu3": ReLU(),
        "pool3": MaxPool(size=2, stride=2),
        "fc4": Dense(classes, std=0.03),
        "softmax": Softmax(),
    }
    arguments = {"classes": classes, "crop": crop, "mean_at": mean_at}
    return Network(
        "cifar-relu", layers, 1, classes, crop, stored=32, scale=1 / 64, mean_at=mean_at, arguments=arguments
    )
