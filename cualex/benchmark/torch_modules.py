"""A network from PyTorch's modules.

Layers that no PyTorch module makes are refused. Towers are groups of convolutions, and normalisation inside a tower
sees the maps as twice as many images with half the channels.
"""

import torch
from torch import nn
from torch.nn import functional

from cualex.errors import UsageError
from cualex.layers import LRN
from cualex.networks import Network, Stage


class TowerLRN(nn.Module):
    """Normalise inside each tower; PyTorch divides alpha by n, so it is given n times ours."""

    def __init__(self, stage: Stage):
        super().__init__()
        layer, self.towers = stage.layer, stage.towers
        self.numbers = {"size": layer.n, "alpha": layer.alpha * layer.n, "beta": layer.beta, "k": layer.k}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Take (n, channels of all towers, rows, columns)."""
        apart = x.reshape(len(x) * self.towers, -1, *x.shape[2:])
        return functional.local_response_norm(apart, **self.numbers).reshape(x.shape)


class SquareLRN(nn.Module):
    """Normalise by the squares of pixels in the same map; PyTorch has no such module."""

    def __init__(self, stage: Stage):
        super().__init__()
        self.layer, self.size = stage.layer, 2 * (stage.layer.n // 2) + 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Take (n, channels, rows, columns)."""
        sums = self.size**2 * functional.avg_pool2d(x * x, self.size, stride=1, padding=self.size // 2)
        return x * (self.layer.k + self.layer.alpha * sums) ** -self.layer.beta


class Grey(nn.Module):
    """Weigh red, green and blue."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Take (n, 3, rows, columns)."""
        return 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]


class ClassicDropout(nn.Dropout):
    """Scale at test and not in training; PyTorch's own does the reverse."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Take maps or features of any shape."""
        return super().forward(x) * (1 - self.p)


def _conv(stage: Stage) -> nn.Module:
    layer, channels = stage.layer, stage.reading.shape[0]
    towers = 1 if stage.reading.shared else stage.towers
    end, groups = layer.border(stage.reading.shape), towers * layer.groups
    numbers = channels * towers, layer.filters * stage.towers, layer.size, layer.stride
    if end == layer.pad:
        return nn.Conv2d(*numbers, layer.pad, groups=groups)
    zeros = nn.ZeroPad2d((layer.pad, end, layer.pad, end))  # sizes are rounded up
    return nn.Sequential(zeros, nn.Conv2d(*numbers, groups=groups))


def _dense(stage: Stage) -> nn.Module:
    channels, rows, columns = stage.reading.shape
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * rows * columns, stage.towers * stage.layer.outputs))


def _pool(kind: type[nn.Module], stage: Stage) -> nn.Module:
    return kind(stage.layer.size, stage.layer.stride, ceil_mode=stage.layer.round_up)


FUNCTIONS = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "softplus": nn.Softplus, "linear": nn.Identity}
NOTHING = {"exchange", "join", "softmax"}  # what PyTorch's side leaves out: the loss takes the scores
MODULES = {
    "conv": _conv,
    "dense": _dense,
    "relu": lambda stage: nn.ReLU(inplace=True),
    "activation": lambda stage: FUNCTIONS[stage.layer.function](),
    "grey": lambda stage: Grey(),
    "lrn": TowerLRN,
    "spatial_lrn": SquareLRN,
    "maxpool": lambda stage: _pool(nn.MaxPool2d, stage),
    "averagepool": lambda stage: _pool(nn.AvgPool2d, stage),
    "dropout": lambda stage: (nn.Dropout if stage.layer.inverted else ClassicDropout)(stage.layer.share),
}


def build(network: Network, lrn: bool = True) -> nn.Module:
    """Make the network from PyTorch's modules: crops -> scores; where towers meet there is nothing to do."""
    modules = nn.Sequential()
    for stage in network.stages():
        kind = stage.layer.kind
        if kind in NOTHING or (isinstance(stage.layer, LRN) and not lrn):
            continue
        if kind not in MODULES:
            raise UsageError(
                f"PyTorch's side of the benchmark has no {kind}, which {network.name} has; leave --against out"
            )
        modules.add_module(stage.name, MODULES[kind](stage))
    return modules
