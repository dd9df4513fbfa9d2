"""The network of Krizhevsky, Sutskever and Hinton (2012), in two towers and in one.

    picture 227x227  conv1 55  pool1 27  conv2 27  pool2 13  conv3 13  conv4 13  conv5 13  pool5 6  fc6 fc7 fc8

The paper's text says 224; maps of 55x55 need 227 pixels, or 224 and three of padding. Initial weights are as the
2012 code had them, with 0.03 in conv3 to conv5; the text has 0.01 everywhere.
"""

from cualex.layers import LRN, Conv, Dense, Dropout, Exchange, Join, MaxPool, ReLU, Softmax
from cualex.networks.network import Network

REMARKS = (
    "Initial weights of 0.03 in conv3 to conv5 are those of the code of 2012; the paper's text has 0.01 everywhere.",
    "Crops of 227 pixels give the maps of 55x55 that the paper counts with; its text says 224.",
)
SMALLEST = 67  # of the crops that leave one value a map after the last pool


def alexnet(
    classes: int = 1000, crop: int = 227, dropout: float = 0.5, width: float = 1.0, mean_at: str = "crop"
) -> Network:
    """Build the network of the paper: two towers that meet before conv3, fc6, fc7 and fc8.

    Crops of 67, 99, 131, 163, 195 and 227 leave no pixel unread; others from 67 on fit as well. `dropout` is the
    share dropped after fc6 and fc7, 0 for none. `width` scales the filters and units of all layers but the last.
    """
    return _build("alexnet", 2, classes=classes, crop=crop, dropout=dropout, width=width, mean_at=mean_at)


def alexnet_one_tower(
    classes: int = 1000, crop: int = 227, dropout: float = 0.5, width: float = 1.0, mean_at: str = "crop"
) -> Network:
    """Build the same network in one tower, where every filter sees all maps of the layer below."""
    numbers = {"classes": classes, "crop": crop, "dropout": dropout, "width": width}
    return _build("alexnet-one-tower", 1, **numbers, mean_at=mean_at)


def _build(
    name: str, towers: int, classes: int, crop: int, dropout: float, width: float, mean_at: str
) -> Network:
    """Say the list once: the counts are of all towers together, and a single tower has nothing to exchange."""
    if crop < SMALLEST:
        raise ValueError(f"a crop must have at least {SMALLEST} pixels a side, got {crop}")

    def each(count):
        return max(1, round(count * width / towers))

    exchange = Exchange() if towers > 1 else None
    drop = Dropout(dropout, inverted=False) if dropout else None
    layers = {
        "conv1": Conv(each(96), size=11, stride=4),
        "relu1": ReLU(),
        "norm1": LRN(),
        "pool1": MaxPool(size=3, stride=2),
        "conv2": Conv(each(256), size=5, pad=2, bias=1.0),
        "relu2": ReLU(),
        "norm2": LRN(),
        "pool2": MaxPool(size=3, stride=2),
        "exchange3": exchange,
        "conv3": Conv(each(384), size=3, pad=1, std=0.03),
        "relu3": ReLU(),
        "conv4": Conv(each(384), size=3, pad=1, std=0.03, bias=1.0),
        "relu4": ReLU(),
        "conv5": Conv(each(256), size=3, pad=1, std=0.03, bias=1.0),
        "relu5": ReLU(),
        "pool5": MaxPool(size=3, stride=2),
        "exchange6": exchange,
        "fc6": Dense(each(4096), bias=1.0),
        "relu6": ReLU(),
        "drop6": drop,
        "exchange7": exchange,
        "fc7": Dense(each(4096), bias=1.0),
        "relu7": ReLU(),
        "drop7": drop,
        "join8": Join() if towers > 1 else None,
        "fc8": Dense(classes),
        "softmax": Softmax(),
    }
    return Network(
        name,
        {layer: made for layer, made in layers.items() if made is not None},
        towers,
        classes,
        crop,
        stored=round(crop * 256 / 227),
        mean_at=mean_at,
        remarks=REMARKS,
        arguments={"classes": classes, "crop": crop, "dropout": dropout, "width": width, "mean_at": mean_at},
    )
