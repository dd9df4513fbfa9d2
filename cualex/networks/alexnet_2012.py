"""The network of 2012 as its code had it, which is not quite as the paper says.

    image 224x224  conv1 55  pool1 27  conv2 27  pool2 13  conv3 13  conv4 13  conv5 13  pool5 6  fc6 fc7 fc8

After the file `layers-145.cfg` of the published source, whose notes have the paper's error rates. `cualex summary
alexnet --against alexnet-2012` lists how the two differ.
"""

from functools import partial

from cualex.layers import LRN, Conv, Dense, Dropout, Exchange, Join, Layer, MaxPool, ReLU, Softmax, SpatialLRN
from cualex.networks.network import Architecture, network
from cualex.networks.variants import scaled

REMARKS = (
    "The code of 2012 divides the picture with its colour noise by 1.1; here nothing is divided.",
    "It takes one crop and one mirroring for 32 pictures together; here each picture has its own.",
    "It numbers ImageNet's classes as the challenge's development kit does; here they are in the order of their names.",
)


@network("alexnet-2012", smallest=52)
def alexnet_2012(
    classes: int = 1000, crop: int = 224, dropout: float = 0.5, width: float = 1.0, mean_at: str = "centre"
) -> Architecture:
    """Build the network: two towers that meet before conv3, fc6, fc7 and fc8.

    Sizes are rounded up: conv1 sees three pixels of zeros below and to the right, which stand for the mean colour. Its
    outputs are normalised and pooled with their signs, before the ReLU; conv5's are pooled before it. The sum of the
    normalisation is divided by n. The second tower's fc7 has the weights for its own units first.

    `dropout` is the share dropped after fc6 and fc7, 0 for none. `width` scales the filters and units of all layers
    but the last.
    """
    each = partial(scaled, width=width, towers=2)
    pool = MaxPool(size=3, stride=2, round_up=True)
    drop = Dropout(dropout, inverted=False) if dropout else None
    layers: dict[str, Layer | None] = {
        "conv1": Conv(each(96), size=11, stride=4, round_up=True),
        "norm1": LRN(alpha=1e-4 / 5),
        "pool1": pool,
        "relu1": ReLU(),
        "conv2": Conv(each(256), size=5, pad=2, bias=1.0),
        "relu2": ReLU(),
        "norm2": LRN(alpha=1e-4 / 5),
        "cnorm2": SpatialLRN(n=5, k=1.0, alpha=1e-3 / 25),
        "pool2": pool,
        "exchange3": Exchange(),
        "conv3": Conv(each(384), size=3, pad=1, std=0.03),
        "relu3": ReLU(),
        "conv4": Conv(each(384), size=3, pad=1, std=0.03, bias=1.0),
        "relu4": ReLU(),
        "conv5": Conv(each(256), size=3, pad=1, std=0.03, bias=1.0),
        "pool5": pool,
        "relu5": ReLU(),
        "exchange6": Exchange(),
        "fc6": Dense(each(4096), bias=1.0),
        "relu6": ReLU(),
        "drop6": drop,
        "exchange7": Exchange(own_first=True),
        "fc7": Dense(each(4096), bias=1.0),
        "relu7": ReLU(),
        "drop7": drop,
        "join8": Join(),
        "fc8": Dense(classes),
        "softmax": Softmax(),
    }
    return Architecture(layers, stored=round(crop * 256 / 224), towers=2, remarks=REMARKS)
