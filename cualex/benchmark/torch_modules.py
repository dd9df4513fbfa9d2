"""A network from PyTorch's modules.

Towers are groups of convolutions, and normalisation inside a tower sees the maps as twice as many pictures with
half the channels.
"""

import torch
from torch import nn
from torch.nn import functional

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


class ClassicDropout(nn.Dropout):
    """Scale at test and not in training; PyTorch's own does the reverse."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Take maps or features of any shape."""
        return super().forward(x) * (1 - self.p)


def _conv(stage: Stage) -> nn.Module:
    layer, channels = stage.layer, stage.reading.shape[0]
    towers = 1 if stage.reading.shared else stage.towers
    filters = layer.filters * stage.towers
    return nn.Conv2d(
        channels * towers, filters, layer.size, layer.stride, layer.pad, groups=towers * layer.groups
    )


def _dense(stage: Stage) -> nn.Module:
    channels, rows, columns = stage.reading.shape
    return nn.Sequential(
        nn.Flatten(), nn.Linear(channels * rows * columns, stage.towers * stage.layer.outputs)
    )


MODULES = {
    "conv": _conv,
    "dense": _dense,
    "relu": lambda stage: nn.ReLU(inplace=True),
    "lrn": TowerLRN,
    "maxpool": lambda stage: nn.MaxPool2d(stage.layer.size, stage.layer.stride),
    "dropout": lambda stage: (nn.Dropout if stage.layer.inverted else ClassicDropout)(stage.layer.share),
}


def build(network: Network, lrn: bool = True) -> nn.Module:
    """Make the network from PyTorch's modules: crops -> scores; where towers meet there is nothing to do."""
    modules = nn.Sequential()
    for stage in network.stages():
        if stage.layer.kind in MODULES and (lrn or stage.layer.kind != "lrn"):
            modules.add_module(stage.name, MODULES[stage.layer.kind](stage))
    return modules
