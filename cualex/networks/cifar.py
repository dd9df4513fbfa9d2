"""Small networks for images of 32x32, in the spirit of cuda-convnet's networks for CIFAR-10.

Four layers with weights, as in figure 1 of the paper: three convolutions and one dense layer; once with ReLU and once
with tanh, alike in all else.
"""

from cualex.layers import AveragePool, Conv, Dense, Layer, MaxPool, Softmax, activation
from cualex.networks.network import Architecture, network
from cualex.networks.variants import normalisation, one_of, pooling, scaled

SCALE = 1 / 64  # of the grey levels
INPUTS = {"scaled": SCALE, "raw": 1.0}
POOLS = {"max": MaxPool, "average": AveragePool}  # of pool2 and pool3
INITIAL = {"even": (0.1, 0.03), "cuda-convnet": (0.0064, 0.01)}  # deviations in conv1 for scaled images, and above
LATER = ("width", "pools", "inputs", "initial")


@network("cifar-relu", later=LATER)
def cifar_relu(
    classes: int = 10,
    crop: int = 27,
    mean_at: str = "crop",
    norm: str = "across",
    pool: int = 3,
    width: float = 1.0,
    pools: str = "max",
    inputs: str = "scaled",
    initial: str = "even",
) -> Architecture:
    """Build the network: crops of 27 out of 32 pixels give maps of 13, 6 and 3 with no pixel unread.

    Images are scaled to a deviation of about 1. With grey levels as they are (`inputs` "raw"), the rate that the first
    layer bears is far too small for the others; its initial weights are then 1/64 as large, so that the network starts
    as the same function. `norm` is as variants.py has it, `pool` the side of the windows of pool1 and pool2, of which 3
    overlap and 2 do not. `width` scales the filters of all layers. With `pools` "average", pool2 and pool3 take means,
    as in cuda-convnet's layers-18pct.cfg. Initial weights are "even", to keep the signals' deviation from layer to
    layer, or as "cuda-convnet"'s files for CIFAR-10 have them: 0.0001 in conv1 for raw images, 0.01 above.
    """
    return _architecture("relu", classes, norm, pool, width, pools, inputs, initial)


@network("cifar-tanh", later=(*LATER, "function"))
def cifar_tanh(
    classes: int = 10,
    crop: int = 27,
    mean_at: str = "crop",
    norm: str = "across",
    pool: int = 3,
    width: float = 1.0,
    pools: str = "max",
    inputs: str = "scaled",
    initial: str = "even",
    function: str = "tanh",
) -> Architecture:
    """Build its twin: the same layers and initial weights, with tanh, or another `function`, for ReLU."""
    return _architecture(function, classes, norm, pool, width, pools, inputs, initial)


def _architecture(
    function: str, classes: int, norm: str, pool: int, width: float, pools: str, inputs: str, initial: str
) -> Architecture:
    """Write the list once, with the activation `function`, after which its layers are named."""
    scale = one_of(INPUTS, "inputs", inputs)
    average = one_of(POOLS, "pools", pools)
    first, upper = one_of(INITIAL, "initial weights", initial)
    filters, name = scaled(64, width), function.partition(":")[0]
    layers: dict[str, Layer | None] = {
        "conv1": Conv(filters, size=5, pad=2, std=first * SCALE / scale),
        f"{name}1": activation(function),
        "norm1": normalisation(norm, scale),
        "pool1": pooling(pool),
        "conv2": Conv(filters, size=5, pad=2, std=upper),
        f"{name}2": activation(function),
        "norm2": normalisation(norm, scale),
        "pool2": average(size=pooling(pool).size, stride=2),
        "conv3": Conv(filters, size=5, pad=2, std=upper),
        f"{name}3": activation(function),
        "pool3": average(size=2, stride=2),
        "fc4": Dense(classes, std=upper),
        "softmax": Softmax(),
    }
    return Architecture(layers, stored=32, scale=scale)
