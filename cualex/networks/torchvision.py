"""The AlexNet of torchvision: that of Krizhevsky's "One weird trick" (2014), in one tower.

    image 224x224  conv1 55  pool1 27  conv2 27  pool2 13  conv3 13  conv4 13  conv5 13  pool5 6  fc6 fc7 fc8

Fewer filters than in 2012, no groups, no normalisation; 224 pixels with two of padding on every side. Dropout is
inverted and stands before fc6 and fc7. Images are scaled from 0 to 1, less ImageNet's mean colour and divided by its
deviation. torchvision averages what pool5 gives to 6x6, which at 224 pixels changes nothing and is left out here.
"""

import math
from functools import partial

from cualex.layers import Conv, Dense, Dropout, Layer, MaxPool, ReLU, Softmax
from cualex.networks.network import Architecture, network
from cualex.networks.variants import scaled

# Of ImageNet: red, green, blue; mean and standard deviation are (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225) of 255.
MEAN = 255 * 0.485, 255 * 0.456, 255 * 0.406
SCALE = 1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)
REMARKS = (
    "torchvision averages what pool5 gives to 6x6, which at 224 pixels changes nothing; here it is left out.",
    "Initial weights have He's deviation; PyTorch draws them evenly, with 0.41 of it, and biases as well.",
)


@network("alexnet-torchvision", smallest=63)
def alexnet_torchvision(
    classes: int = 1000, crop: int = 224, dropout: float = 0.5, width: float = 1.0, mean_at: str = "crop"
) -> Architecture:
    """Build the network.

    `dropout` is the share dropped before fc6 and fc7, 0 for none. `width` scales the filters and units of all layers
    but the last. Initial weights have He's deviation, sqrt(2 / inputs), with which it trains from the first epoch on;
    PyTorch draws them evenly, with 0.41 of that deviation.
    """
    side = (crop + 4 - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1

    each = partial(scaled, width=width)

    def std(inputs: int) -> float:
        return math.sqrt(2 / inputs)

    drop = Dropout(dropout, inverted=True) if dropout else None
    layers: dict[str, Layer | None] = {
        "conv1": Conv(each(64), size=11, stride=4, pad=2, std=std(3 * 121)),
        "relu1": ReLU(),
        "pool1": MaxPool(size=3, stride=2),
        "conv2": Conv(each(192), size=5, pad=2, std=std(each(64) * 25)),
        "relu2": ReLU(),
        "pool2": MaxPool(size=3, stride=2),
        "conv3": Conv(each(384), size=3, pad=1, std=std(each(192) * 9)),
        "relu3": ReLU(),
        "conv4": Conv(each(256), size=3, pad=1, std=std(each(384) * 9)),
        "relu4": ReLU(),
        "conv5": Conv(each(256), size=3, pad=1, std=std(each(256) * 9)),
        "relu5": ReLU(),
        "pool5": MaxPool(size=3, stride=2),
        "drop6": drop,
        "fc6": Dense(each(4096), std=std(each(256) * side**2)),
        "relu6": ReLU(),
        "drop7": drop,
        "fc7": Dense(each(4096), std=std(each(4096))),
        "relu7": ReLU(),
        "fc8": Dense(classes, std=0.01),
        "softmax": Softmax(),
    }
    return Architecture(layers, stored=round(crop * 256 / 224), scale=SCALE, mean=MEAN, remarks=REMARKS)
