"""Small networks for images of 32x32, in the spirit of cuda-convnet's networks for CIFAR-10.

Four layers with weights, as in figure 1 of the paper: three convolutions and one dense layer; once with ReLU and once
with tanh, alike in all else.
"""

from cualex.layers import Conv, Dense, Layer, MaxPool, Softmax, activation
from cualex.networks.network import Architecture, network
from cualex.networks.variants import normalisation, pooling

SCALE = 1 / 64  # of the grey levels


@network("cifar-relu")
def cifar_relu(
    classes: int = 10, crop: int = 27, mean_at: str = "crop", norm: str = "across", pool: int = 3
) -> Architecture:
    """Build the network: crops of 27 out of 32 pixels give maps of 13, 6 and 3 with no pixel unread.

    Images are scaled to a deviation of about 1. With grey levels as they are, the rate that the first layer
    bears is far too small for the others. `norm` is as variants.py has it, `pool` the side of the windows of pool1
    and pool2, of which 3 overlap and 2 do not.
    """
    return _architecture("relu", classes, norm, pool)


@network("cifar-tanh")
def cifar_tanh(
    classes: int = 10, crop: int = 27, mean_at: str = "crop", norm: str = "across", pool: int = 3
) -> Architecture:
    """Build its twin: the same layers and initial weights, with tanh for ReLU."""
    return _architecture("tanh", classes, norm, pool)


def _architecture(function: str, classes: int, norm: str, pool: int) -> Architecture:
    """Write the list once, with the activation `function`, after which its layers are named."""
    layers: dict[str, Layer | None] = {
        "conv1": Conv(64, size=5, pad=2, std=0.1),
        f"{function}1": activation(function),
        "norm1": normalisation(norm, SCALE),
        "pool1": pooling(pool),
        "conv2": Conv(64, size=5, pad=2, std=0.03),
        f"{function}2": activation(function),
        "norm2": normalisation(norm, SCALE),
        "pool2": pooling(pool),
        "conv3": Conv(64, size=5, pad=2, std=0.03),
        f"{function}3": activation(function),
        "pool3": MaxPool(size=2, stride=2),
        "fc4": Dense(classes, std=0.03),
        "softmax": Softmax(),
    }
    return Architecture(layers, stored=32, scale=SCALE)
