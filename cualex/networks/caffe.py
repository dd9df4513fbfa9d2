"""The two AlexNets that came with Caffe: bvlc_alexnet, and the reference network, CaffeNet.

    image 227x227  conv1 55  pool1 27  conv2 27  pool2 13  conv3 13  conv4 13  conv5 13  pool5 6  fc6 fc7 fc8

One tower whose conv2, conv4 and conv5 have two groups, where the paper has two towers: normalisation reaches across
all channels. It has k = 1, and its sum is divided by n. Dropout is inverted. Pools are rounded up, which at 227 pixels
makes no difference. Caffe's files read blue, green, red; these networks read red, green, blue.
"""

from cualex.layers import LRN, Conv, Dense, Dropout, Layer, MaxPool, ReLU, Softmax
from cualex.networks.network import Architecture, network
from cualex.networks.variants import deviations, scaled

REMARKS = (
    "Caffe's weights read blue, green, red; here conv1 reads red, green, blue.",
    "Caffe learns biases at twice the rate of weights, which --bias-lr 0.02 does here.",
    "Caffe's pictures were warped to 256x256; here the shorter side is 256 and the middle square is kept.",
)


@network("alexnet-caffe", smallest=55)
def alexnet_caffe(
    classes: int = 1000,
    crop: int = 227,
    dropout: float = 0.5,
    width: float = 1.0,
    mean_at: str = "crop",
    initial: str = "paper",
) -> Architecture:
    """Build bvlc_alexnet: ReLU, then normalisation, then pooling, and initial biases of 0.1.

    `dropout` is the share dropped after fc6 and fc7, 0 for none. `width` scales the filters and units of all layers
    but the last; their counts stay even. `initial` is how convolutions' weights begin, as variants.py has it: Caffe's
    as the paper says, with which the loss takes many epochs to move.
    """
    return _architecture(("relu", "norm", "pool"), 0.1, classes, crop, dropout, width, initial)


@network("caffenet", smallest=55)
def caffenet(
    classes: int = 1000,
    crop: int = 227,
    dropout: float = 0.5,
    width: float = 1.0,
    mean_at: str = "crop",
    initial: str = "paper",
) -> Architecture:
    """Build CaffeNet (bvlc_reference_caffenet): pooling before normalisation, and initial biases of 1."""
    return _architecture(("relu", "pool", "norm"), 1.0, classes, crop, dropout, width, initial)


def _architecture(
    order: tuple[str, ...], bias: float, classes: int, crop: int, dropout: float, width: float, initial: str
) -> Architecture:
    """Write the list once: `order` is that of the layers after conv1 and conv2."""
    std, upper = deviations(initial)
    dense = std and std / 2

    def each(count: int) -> int:
        return 2 * scaled(count, width, 2)

    def after(number: int) -> dict[str, Layer]:
        made: dict[str, Layer] = {
            "relu": ReLU(),
            "norm": LRN(k=1.0, alpha=1e-4 / 5),
            "pool": MaxPool(size=3, stride=2, round_up=True),
        }
        return {f"{kind}{number}": made[kind] for kind in order}

    drop = Dropout(dropout, inverted=True) if dropout else None
    layers: dict[str, Layer | None] = {
        "conv1": Conv(each(96), size=11, stride=4, std=std),
        **after(1),
        "conv2": Conv(each(256), size=5, pad=2, groups=2, std=std, bias=bias),
        **after(2),
        "conv3": Conv(each(384), size=3, pad=1, std=upper),
        "relu3": ReLU(),
        "conv4": Conv(each(384), size=3, pad=1, groups=2, std=upper, bias=bias),
        "relu4": ReLU(),
        "conv5": Conv(each(256), size=3, pad=1, groups=2, std=upper, bias=bias),
        "relu5": ReLU(),
        "pool5": MaxPool(size=3, stride=2, round_up=True),
        "fc6": Dense(each(4096), std=dense, bias=bias),
        "relu6": ReLU(),
        "drop6": drop,
        "fc7": Dense(each(4096), std=dense, bias=bias),
        "relu7": ReLU(),
        "drop7": drop,
        "fc8": Dense(classes, std=std),
        "softmax": Softmax(),
    }
    return Architecture(layers, stored=round(crop * 256 / 227), remarks=REMARKS)
