"""A network from PyTorch's modules.

Layers without a PyTorch module are refused. Towers are groups of convolutions, and LRN within a tower reshapes the maps
to twice as many images with half the channels.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from cualex.engine import activations
from cualex.errors import UsageError
from cualex.layers import LRN, Activation, Conv, Dense, Dropout, Layer
from cualex.layers.pool import Pool
from cualex.networks import Network, Stage

Kind = TypeVar("Kind", bound=Layer)


def _layer(stage: Stage, kind: type[Kind]) -> Kind:
    """Return a stage's layer, which is of that class: MODULES goes by its kind."""
    assert isinstance(stage.layer, kind)
    return stage.layer


class TowerLRN(nn.Module):
    """LRN within a tower; PyTorch divides alpha by n, so it gets n times ours."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        layer, self.towers = _layer(stage, LRN), stage.towers
        self.numbers = {"size": layer.n, "alpha": layer.alpha * layer.n, "beta": layer.beta, "k": layer.k}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise maps (n, channels of all towers, rows, columns)."""
        apart = x.reshape(len(x) * self.towers, -1, *x.shape[2:])
        return functional.local_response_norm(apart, **self.numbers).reshape(x.shape)


class SquareLRN(nn.Module):
    """LRN within a map, by the squares of neighbouring pixels; PyTorch has no such module."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.layer = _layer(stage, LRN)
        self.size = 2 * (self.layer.n // 2) + 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise maps (n, channels, rows, columns)."""
        sums = self.size**2 * functional.avg_pool2d(x * x, self.size, stride=1, padding=self.size // 2)
        return x * (self.layer.k + self.layer.alpha * sums) ** -self.layer.beta


class Grey(nn.Module):
    """Weighted sum of red, green and blue."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convert images (n, 3, rows, columns) to grey."""
        return 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]


class ClassicDropout(nn.Dropout):
    """Classic dropout, scaled at test; PyTorch's is scaled in training."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop elements of maps or features of any shape."""
        return super().forward(x) * (1 - self.p)


def _conv(stage: Stage) -> nn.Module:
    layer, channels = _layer(stage, Conv), stage.reading.shape[0]
    towers = 1 if stage.reading.shared else stage.towers
    end, groups = layer.border(stage.reading.shape), towers * layer.groups
    numbers = channels * towers, layer.filters * stage.towers, layer.size, layer.stride
    if end == layer.pad:
        return nn.Conv2d(*numbers, layer.pad, groups=groups)
    zeros = nn.ZeroPad2d((layer.pad, end, layer.pad, end))  # sizes are rounded up
    return nn.Sequential(zeros, nn.Conv2d(*numbers, groups=groups))


def _dense(stage: Stage) -> nn.Module:
    channels, rows, columns = stage.reading.shape
    if stage.towers > 1 and not stage.reading.shared:
        raise UsageError(f"PyTorch's side of the benchmark has no dense layer within a tower, as {stage.name} is")
    outputs = stage.towers * _layer(stage, Dense).outputs
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * rows * columns, outputs))


def _pool(kind: type[nn.Module], stage: Stage) -> nn.Module:
    layer = _layer(stage, Pool)
    return kind(layer.size, layer.stride, ceil_mode=layer.round_up)


class Line(nn.Module):
    """a x + b."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.a, self.b = a, b

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply it."""
        return x * self.a + self.b


def _activation(stage: Stage) -> nn.Module:
    """Return PyTorch's module of an activation, which has its name without hyphens."""
    found = activations.find(_layer(stage, Activation).function)
    if found.name == "linear":
        return nn.Identity() if found.parameter is None else Line(found.a, found.offset)
    named = {name.lower(): getattr(nn, name) for name in dir(nn)}[found.name.replace("-", "")]
    return named() if found.parameter is None else named(found.parameter)


def _dropout(stage: Stage) -> nn.Module:
    layer = _layer(stage, Dropout)
    return (nn.Dropout if layer.inverted else ClassicDropout)(layer.share)


NOTHING = {"exchange", "join", "softmax"}  # without a module: the loss reads the scores
MODULES: dict[str, Callable[[Stage], nn.Module]] = {
    "conv": _conv,
    "dense": _dense,
    "relu": lambda stage: nn.ReLU(inplace=True),
    "activation": _activation,
    "grey": lambda stage: Grey(),
    "lrn": TowerLRN,
    "spatial_lrn": SquareLRN,
    "maxpool": lambda stage: _pool(nn.MaxPool2d, stage),
    "averagepool": lambda stage: _pool(nn.AvgPool2d, stage),
    "dropout": _dropout,
}


def build(network: Network, lrn: bool = True) -> nn.Module:
    """Build the network from PyTorch's modules: crops -> scores."""
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


def scores(network: Network, tensors: Mapping[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """Return the scores (n, classes) of images (n, 3, crop, crop) by the modules, for tensors in the towers' order."""
    modules = build(network).eval()
    with torch.no_grad():
        for name, parameter in modules.named_parameters():
            first, *_, last = name.split(".")  # fc6.1.weight is fc6.weight
            parameter.copy_(torch.from_numpy(np.array(tensors[f"{first}.{last}"], np.float32)))
        made: np.ndarray = modules(torch.from_numpy(np.ascontiguousarray(images, np.float32))).numpy()
    return made
