"""The named networks once more, written down in PyTorch from their descriptions and from nothing of cualex.

Each function returns a module that takes crops (n, 3, crop, crop) without their mean, and gives scores. `width` scales
what cualex's argument of that name scales. Modules with weights are named as cualex's layers.
"""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional


class Function(nn.Module):
    """Do what a function does."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Grey(nn.Module):
    """Weigh the colours."""

    def forward(self, x):
        weights = torch.tensor([0.299, 0.587, 0.114], dtype=x.dtype)
        return torch.einsum("nchw,c->nhw", x, weights)[:, None]


def network(*named):
    return nn.Sequential(OrderedDict((name, module) for name, module in named if module is not None))


def cifar(function, classes=10):
    act = {"relu": nn.ReLU, "tanh": nn.Tanh}[function]

    def norm():
        return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)

    return network(
        ("conv1", nn.Conv2d(3, 64, 5, padding=2)),
        ("act1", act()),
        ("norm1", norm()),
        ("pool1", nn.MaxPool2d(3, 2)),
        ("conv2", nn.Conv2d(64, 64, 5, padding=2)),
        ("act2", act()),
        ("norm2", norm()),
        ("pool2", nn.MaxPool2d(3, 2)),
        ("conv3", nn.Conv2d(64, 64, 5, padding=2)),
        ("act3", act()),
        ("pool3", nn.MaxPool2d(2, 2)),
        ("flat", nn.Flatten()),
        ("fc4", nn.Linear(64 * 3 * 3, classes)),
    )


def lenet5(act, classes=10):
    """32x32: 6 filters, averages, 16 filters that see all 6 maps, averages, 120, 84, and the classes."""
    return network(
        ("grey", Grey()),
        ("conv1", nn.Conv2d(1, 6, 5)),
        ("act1", act()),
        ("pool1", nn.AvgPool2d(2)),
        ("conv2", nn.Conv2d(6, 16, 5)),
        ("act2", act()),
        ("pool2", nn.AvgPool2d(2)),
        ("flat", nn.Flatten()),
        ("fc3", nn.Linear(400, 120)),
        ("act3", act()),
        ("fc4", nn.Linear(120, 84)),
        ("act4", act()),
        ("fc5", nn.Linear(84, classes)),
    )


def scores_and_gradients(module, x, labels):
    """Return scores, the mean loss over the pictures that count, and every gradient by its name."""
    module.zero_grad()
    scores = module(x)
    loss = functional.cross_entropy(scores, labels, ignore_index=-1)
    loss.backward()
    return (
        scores.detach().numpy(),
        loss.item(),
        {name: p.grad.numpy() for name, p in module.named_parameters()},
    )
