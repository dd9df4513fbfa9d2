"""LeNet-5, the network that all of these are compared with: LeCun, Bottou, Bengio and Haffner (1998).

    grey image 32x32  conv1 28  pool1 14  conv2 10  pool2 5  fc3 120  fc4 84  fc5 10

As it is taught today: averages have no weights of their own, every filter of the second convolution (the paper's C3)
sees all six maps, and the output is a softmax. In the paper each map's averages had a weight and a bias, a table said
which maps a filter of C3 sees, the outputs were radial basis functions, and the activation was 1.7159 tanh(2x / 3).
"""

import math
from functools import partial

from cualex.engine import activations
from cualex.layers import AveragePool, Conv, Dense, Grey, Softmax, activation
from cualex.networks.network import Architecture, network
from cualex.networks.variants import scaled


@network("lenet5", smallest=16)
def lenet5(
    classes: int = 10, crop: int = 32, function: str = "tanh", mean_at: str = "crop", width: float = 1.0
) -> Architecture:
    """Build the network with the activation `function`, one of engine/activations.py.

    Crops of 20, 24, 28, 32, ... leave no pixel unread. Images are scaled to a deviation of about 1, and initial
    weights drawn so that signals keep their size: 1 / (steepness sqrt(inputs)). `width` scales the filters and units
    of all layers but the last.
    """
    steepness, name = activations.find(function).steepness, function.partition(":")[0]
    maps = ((crop - 4) // 2 - 4) // 2  # the side of what pool2 gives

    each = partial(scaled, width=width)

    def std(inputs: int) -> float:
        return 1 / (steepness * math.sqrt(inputs))

    layers = {
        "grey": Grey(),
        "conv1": Conv(each(6), size=5, std=std(25)),
        f"{name}1": activation(function),
        "pool1": AveragePool(size=2, stride=2),
        "conv2": Conv(each(16), size=5, std=std(25 * each(6))),
        f"{name}2": activation(function),
        "pool2": AveragePool(size=2, stride=2),
        "fc3": Dense(each(120), std=std(maps**2 * each(16))),
        f"{name}3": activation(function),
        "fc4": Dense(each(84), std=std(each(120))),
        f"{name}4": activation(function),
        "fc5": Dense(classes, std=std(each(84))),
        "softmax": Softmax(),
    }
    return Architecture(layers, stored=crop, scale=1 / 64)
