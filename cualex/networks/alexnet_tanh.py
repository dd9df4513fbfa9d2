"""An AlexNet without padding and normalisation, with ReLU after convolutions and tanh in the dense layers.

    image 227x227  conv1 55  pool1 27  conv2 23  pool2 11  conv3 9  conv4 7  conv5 5  pool5 2  fc6 fc7 fc8

A form that is met in courses: 154,587 inputs become 1,024 features. Groups are the paper's towers, in one tower.
Their figure has dropout of 0.5 after the hidden dense layers; before version 0.2 the default was none, which runs and
weights files of then keep.
"""

import math

from cualex.layers import Conv, Dense, Dropout, Layer, MaxPool, ReLU, Softmax, activation
from cualex.networks.network import Architecture, network
from cualex.networks.variants import scaled


@network("alexnet-tanh", smallest=195)
def alexnet_tanh(
    classes: int = 1000, crop: int = 227, dropout: float = 0.5, width: float = 1.0, mean_at: str = "crop"
) -> Architecture:
    """Build the network; `dropout` is the share dropped after fc6 and fc7, 0 for none.

    `width` scales the filters and units of all layers but the last; counts of filters stay even. Images are scaled
    to a deviation of about 1, for tanh saturates. Initial weights are He's before ReLU and Glorot's before tanh.
    """

    def each(count: int) -> int:
        return 2 * scaled(count, width, 2)

    def std(inputs: int) -> float:
        return math.sqrt(2 / inputs)

    drop = Dropout(dropout, inverted=True) if dropout else None
    layers: dict[str, Layer | None] = {
        "conv1": Conv(each(96), size=11, stride=4, std=std(3 * 121)),
        "relu1": ReLU(),
        "pool1": MaxPool(size=3, stride=2),
        "conv2": Conv(each(256), size=5, groups=2, std=std(each(96) // 2 * 25)),
        "relu2": ReLU(),
        "pool2": MaxPool(size=3, stride=2),
        "conv3": Conv(each(384), size=3, std=std(each(256) * 9)),
        "relu3": ReLU(),
        "conv4": Conv(each(384), size=3, groups=2, std=std(each(384) // 2 * 9)),
        "relu4": ReLU(),
        "conv5": Conv(each(256), size=3, groups=2, std=std(each(384) // 2 * 9)),
        "relu5": ReLU(),
        "pool5": MaxPool(size=3, stride=2),
        "fc6": Dense(each(4096), std=None),
        "tanh6": activation("tanh"),
        "drop6": drop,
        "fc7": Dense(each(4096), std=None),
        "tanh7": activation("tanh"),
        "drop7": drop,
        "fc8": Dense(classes, std=0.01),
        "softmax": Softmax(),
    }
    return Architecture(layers, stored=round(crop * 256 / 227), scale=1 / 64)
