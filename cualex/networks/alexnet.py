"""The network of Krizhevsky, Sutskever and Hinton (2012), in two towers and in one.

    image 227x227  conv1 55  pool1 27  conv2 27  pool2 13  conv3 13  conv4 13  conv5 13  pool5 6  fc6 fc7 fc8

The paper's text says 224; maps of 55x55 need 227 pixels, or 224 and three of padding. Initial weights are as the
2012 code had them, with 0.03 in conv3 to conv5; the text has 0.01 everywhere.
"""

from functools import partial

from cualex.layers import Conv, Dense, Dropout, Exchange, Join, Layer, ReLU, Softmax
from cualex.networks.network import Architecture, network
from cualex.networks.variants import deviations, normalisation, pooling, scaled

REMARKS = (
    "Initial weights of 0.03 in conv3 to conv5 are those of the code of 2012; the paper's text has 0.01 everywhere.",
    "Crops of 227 pixels give the maps of 55x55 that the paper counts with; its text says 224.",
)


@network("alexnet", smallest=67)
def alexnet(
    classes: int = 1000,
    crop: int = 227,
    dropout: float = 0.5,
    width: float = 1.0,
    mean_at: str = "crop",
    norm: str = "across",
    pool: int = 3,
    initial: str = "2012",
    exchange: bool = True,
) -> Architecture:
    """Build the network of the paper: two towers that meet before conv3, fc6, fc7 and fc8.

    Crops of 67, 99, 131, 163, 195 and 227 leave no pixel unread; others from 67 on fit as well. `dropout` is the
    share dropped after fc6 and fc7, 0 for none. `width` scales the filters and units of all layers but the last.

    The others are for the paper's experiments: `norm` and `initial` as variants.py has them, `pool` the side of a
    pool's window, of which 3 overlap and 2 do not, and without `exchange` the towers meet before fc8 alone.
    """
    return _architecture(2, classes, crop, dropout, width, norm, pool, initial, exchange)


@network("alexnet-one-tower", smallest=67)
def alexnet_one_tower(
    classes: int = 1000,
    crop: int = 227,
    dropout: float = 0.5,
    width: float = 1.0,
    mean_at: str = "crop",
    norm: str = "across",
    pool: int = 3,
    initial: str = "2012",
    half: bool = False,
) -> Architecture:
    """Build the same network in one tower, where every filter sees all maps of the layer below.

    With `half`, conv1 to conv4 have half of their filters and all else is as it was: what the paper compares two
    towers with (section 3.2, and its note).
    """
    early = 0.5 if half else 1.0
    return _architecture(1, classes, crop, dropout, width, norm, pool, initial, early=early)


def _architecture(
    towers: int,
    classes: int,
    crop: int,
    dropout: float,
    width: float,
    norm: str,
    pool: int,
    initial: str,
    exchange: bool = False,
    early: float = 1.0,
) -> Architecture:
    """Write the list once: the counts are of all towers together, and a single tower has nothing to exchange.

    `early` scales the filters of conv1 to conv4.
    """
    each = partial(scaled, width=width, towers=towers)
    std, upper = deviations(initial)
    meeting = Exchange() if exchange else None
    drop = Dropout(dropout, inverted=False) if dropout else None
    layers: dict[str, Layer | None] = {
        "conv1": Conv(each(96 * early), size=11, stride=4, std=std),
        "relu1": ReLU(),
        "norm1": normalisation(norm),
        "pool1": pooling(pool),
        "conv2": Conv(each(256 * early), size=5, pad=2, std=std, bias=1.0),
        "relu2": ReLU(),
        "norm2": normalisation(norm),
        "pool2": pooling(pool),
        "exchange3": meeting,
        "conv3": Conv(each(384 * early), size=3, pad=1, std=upper),
        "relu3": ReLU(),
        "conv4": Conv(each(384 * early), size=3, pad=1, std=upper, bias=1.0),
        "relu4": ReLU(),
        "conv5": Conv(each(256), size=3, pad=1, std=upper, bias=1.0),
        "relu5": ReLU(),
        "pool5": pooling(pool),
        "exchange6": meeting,
        "fc6": Dense(each(4096), std=std, bias=1.0),
        "relu6": ReLU(),
        "drop6": drop,
        "exchange7": meeting,
        "fc7": Dense(each(4096), std=std, bias=1.0),
        "relu7": ReLU(),
        "drop7": drop,
        "join8": Join() if towers > 1 else None,
        "fc8": Dense(classes, std=std),
        "softmax": Softmax(),
    }
    return Architecture(
        layers,
        stored=round(crop * 256 / 227),
        towers=towers,
        remarks=REMARKS if initial == "2012" else REMARKS[1:],
    )
