"""Small networks with loud numbers, a case for each that is exported: what other programs are held to."""

import numpy as np

from cualex import networks
from cualex.weights import Weights

SMALL = {"classes": 5, "width": 1 / 16}
CROPS = {
    **dict.fromkeys(("alexnet", "alexnet-one-tower", "alexnet-caffe", "caffenet"), 99),
    "alexnet-2012": 70,  # these two leave something over at the end
    "alexnet-torchvision": 95,
}
# Networks of the paper's experiments, in which other things meet: towers that are apart, norms within them, an
# input without dropout, one that keeps no power of two.
VARIANTS = {
    "alexnet, no exchange": {"exchange": False},
    "alexnet, batch norm": {"norm": "batch"},
    "alexnet, norm within": {"norm": "within"},
    "alexnet, no dropout": {"dropout": 0.0},
    "lenet5, leaky ReLU": {"function": "leaky-relu:0.25"},
    "lenet5, ELU": {"function": "elu:0.5"},
    "lenet5, GELU": {"function": "gelu"},
    "lenet5, a line": {"function": "linear:0.5,0.25"},
}
CASES = [*networks.names(), *VARIANTS]


def made(case):
    """Make a small network with numbers that are all different, loud where a constant would hide, and a mean."""
    rng = np.random.default_rng([2012, len(case)])
    name = case.partition(",")[0]
    numbers = {} if name.startswith("cifar") else {"width": SMALL["width"]}
    network = networks.build(
        name,
        classes=5,
        **numbers,
        **({"crop": CROPS[name]} if name in CROPS else {}),
        **VARIANTS.get(case, {}),
    )
    tensors = {}
    for full, shape in network.tensors().items():
        values = rng.standard_normal(shape)
        values *= 1.5 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.3
        if full.startswith("norm") and full.endswith(("weight", "variance")):
            values = 1 + np.abs(values)
        tensors[full] = values.astype(np.float32)
    if network.scale == 1:
        tensors["conv1.weight"] /= 4  # loud enough for normalisation to matter
        tensors[list(network.parameters())[-2]] /= 16
    mean = network.mean_picture(rng.uniform(60, 180, (network.stored, network.stored, 3)))
    return Weights(network, tensors, ["a", "b", "ç", "d e", "f"], mean)
