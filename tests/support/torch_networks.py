"""The named networks once more, written down in PyTorch from their descriptions and from nothing of cualex.

Each function returns a module that takes crops (n, 3, crop, crop) without their mean, and gives scores. `width` scales
what cualex's argument of that name scales, `loud` every alpha. Modules with weights are named as cualex's layers.
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


def cifar(function, loud, classes=10):
    act = {"relu": nn.ReLU, "tanh": nn.Tanh}[function]

    def norm():
        return nn.LocalResponseNorm(5, alpha=5e-4 * loud, beta=0.75, k=2.0)

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


class WithinTowers(nn.Module):
    """Normalise 48 or so channels at a time: those of one tower; alpha is that of a term."""

    def __init__(self, alpha):
        super().__init__()
        self.alpha = alpha

    def forward(self, x):
        parts = x.chunk(2, dim=1)
        return torch.cat(
            [functional.local_response_norm(p, 5, alpha=5 * self.alpha, beta=0.75, k=2.0) for p in parts],
            dim=1,
        )


class SameMap(nn.Module):
    """Normalise by 5x5 pixels of the same map: (1 + alpha SUM)^-.75; a mean over a padded square is SUM / 25."""

    def __init__(self, alpha):
        super().__init__()
        self.alpha = alpha

    def forward(self, x):
        sums = 25 * functional.avg_pool2d(x**2, 5, stride=1, padding=2, count_include_pad=True)
        return x * (1 + self.alpha * sums) ** -0.75


class OwnFirst(nn.Module):
    """Be fc7 of 2012: each tower has a matrix over its own units and the other's, in this order."""

    def __init__(self, units, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2 * outputs, 2 * units))
        self.bias = nn.Parameter(torch.empty(2 * outputs))

    def forward(self, x):
        a, b = x.flatten(1).chunk(2, dim=1)
        first, second = self.weight.chunk(2)
        y = [torch.cat([a, b], 1) @ first.T, torch.cat([b, a], 1) @ second.T]
        return torch.cat(y, 1) + self.bias


def counts(width, *numbers, even=True):
    """Scale counts of filters and units; in towers and groups they stay even."""
    half = 2 if even else 1
    return [half * max(1, round(number * width / half)) for number in numbers]


def alexnet_2012(width, features, classes, loud):
    """As the 2012 code was: zeros to the right and below, LRN before ReLU, cnorm2, fc7's order. Towers are groups."""
    c1, c2, c3, c4, c5, f6, f7 = counts(width, 96, 256, 384, 384, 256, 4096, 4096)
    return network(
        ("three zeros", nn.ZeroPad2d((0, 3, 0, 3))),
        ("conv1", nn.Conv2d(3, c1, 11, stride=4)),
        ("norm1", WithinTowers(1e-4 / 5 * loud)),
        ("pool1", nn.MaxPool2d(3, 2, ceil_mode=True)),
        ("relu1", nn.ReLU()),
        ("conv2", nn.Conv2d(c1, c2, 5, padding=2, groups=2)),
        ("relu2", nn.ReLU()),
        ("norm2", WithinTowers(1e-4 / 5 * loud)),
        ("cnorm2", SameMap(1e-3 / 25 * loud)),
        ("pool2", nn.MaxPool2d(3, 2, ceil_mode=True)),
        ("conv3", nn.Conv2d(c2, c3, 3, padding=1)),
        ("relu3", nn.ReLU()),
        ("conv4", nn.Conv2d(c3, c4, 3, padding=1, groups=2)),
        ("relu4", nn.ReLU()),
        ("conv5", nn.Conv2d(c4, c5, 3, padding=1, groups=2)),
        ("pool5", nn.MaxPool2d(3, 2, ceil_mode=True)),
        ("relu5", nn.ReLU()),
        ("flat", nn.Flatten()),
        ("fc6", nn.Linear(c5 * features, f6)),
        ("relu6", nn.ReLU()),
        ("fc7", OwnFirst(f6 // 2, f7 // 2)),
        ("relu7", nn.ReLU()),
        ("fc8", nn.Linear(f7, classes)),
    )


def caffe(width, features, classes, pool_first, loud):
    """One tower, groups of 2 in conv2, conv4, conv5; LRN over all channels, k=1, alpha / n."""
    c1, c2, c3, c4, c5, f6, f7 = counts(width, 96, 256, 384, 384, 256, 4096, 4096)

    def after(number):
        norm = f"norm{number}", nn.LocalResponseNorm(5, alpha=1e-4 * loud, beta=0.75, k=1.0)
        pool = f"pool{number}", nn.MaxPool2d(3, 2, ceil_mode=True)
        return (f"relu{number}", nn.ReLU()), *((pool, norm) if pool_first else (norm, pool))

    return network(
        ("conv1", nn.Conv2d(3, c1, 11, stride=4)),
        *after(1),
        ("conv2", nn.Conv2d(c1, c2, 5, padding=2, groups=2)),
        *after(2),
        ("conv3", nn.Conv2d(c2, c3, 3, padding=1)),
        ("relu3", nn.ReLU()),
        ("conv4", nn.Conv2d(c3, c4, 3, padding=1, groups=2)),
        ("relu4", nn.ReLU()),
        ("conv5", nn.Conv2d(c4, c5, 3, padding=1, groups=2)),
        ("relu5", nn.ReLU()),
        ("pool5", nn.MaxPool2d(3, 2, ceil_mode=True)),
        ("flat", nn.Flatten()),
        ("fc6", nn.Linear(c5 * features, f6)),
        ("relu6", nn.ReLU()),
        ("fc7", nn.Linear(f6, f7)),
        ("relu7", nn.ReLU()),
        ("fc8", nn.Linear(f7, classes)),
    )


def torchvision(width, features, classes):
    """One weird trick: 64-192-384-256-256, pad 2, no groups, no LRN."""
    c1, c2, c3, c4, c5, f6, f7 = counts(width, 64, 192, 384, 256, 256, 4096, 4096, even=False)
    return network(
        ("conv1", nn.Conv2d(3, c1, 11, stride=4, padding=2)),
        ("relu1", nn.ReLU()),
        ("pool1", nn.MaxPool2d(3, 2)),
        ("conv2", nn.Conv2d(c1, c2, 5, padding=2)),
        ("relu2", nn.ReLU()),
        ("pool2", nn.MaxPool2d(3, 2)),
        ("conv3", nn.Conv2d(c2, c3, 3, padding=1)),
        ("relu3", nn.ReLU()),
        ("conv4", nn.Conv2d(c3, c4, 3, padding=1)),
        ("relu4", nn.ReLU()),
        ("conv5", nn.Conv2d(c4, c5, 3, padding=1)),
        ("relu5", nn.ReLU()),
        ("pool5", nn.MaxPool2d(3, 2)),
        ("flat", nn.Flatten()),
        ("fc6", nn.Linear(c5 * features, f6)),
        ("relu6", nn.ReLU()),
        ("fc7", nn.Linear(f6, f7)),
        ("relu7", nn.ReLU()),
        ("fc8", nn.Linear(f7, classes)),
    )


def alexnet_tanh(width, features, classes):
    """No padding, no LRN, groups as in the paper, tanh in the dense layers."""
    c1, c2, c3, c4, c5, f6, f7 = counts(width, 96, 256, 384, 384, 256, 4096, 4096)
    return network(
        ("conv1", nn.Conv2d(3, c1, 11, stride=4)),
        ("relu1", nn.ReLU()),
        ("pool1", nn.MaxPool2d(3, 2)),
        ("conv2", nn.Conv2d(c1, c2, 5, groups=2)),
        ("relu2", nn.ReLU()),
        ("pool2", nn.MaxPool2d(3, 2)),
        ("conv3", nn.Conv2d(c2, c3, 3)),
        ("relu3", nn.ReLU()),
        ("conv4", nn.Conv2d(c3, c4, 3, groups=2)),
        ("relu4", nn.ReLU()),
        ("conv5", nn.Conv2d(c4, c5, 3, groups=2)),
        ("relu5", nn.ReLU()),
        ("pool5", nn.MaxPool2d(3, 2)),
        ("flat", nn.Flatten()),
        ("fc6", nn.Linear(c5 * features, f6)),
        ("tanh6", nn.Tanh()),
        ("fc7", nn.Linear(f6, f7)),
        ("tanh7", nn.Tanh()),
        ("fc8", nn.Linear(f7, classes)),
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
