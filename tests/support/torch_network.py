"""Any network of cualex, built once more from PyTorch's own layers, as a second opinion.

Towers are groups: a convolution whose towers read their own maps is a grouped convolution, and normalisation
inside a tower sees the maps as twice as many pictures with half the channels. Where towers meet nothing is done,
since the maps of all towers lie side by side in one tensor anyway.
"""

import torch
from torch import nn
from torch.nn import functional


class TowerDense(nn.Module):
    """Connect the units of each tower with those of the same tower only."""

    def __init__(self, towers, inputs, outputs):
        super().__init__()
        self.towers = towers
        self.weight = nn.Parameter(torch.empty(towers * outputs, inputs))
        self.bias = nn.Parameter(torch.empty(towers * outputs))

    def forward(self, x):
        weight = self.weight.unflatten(0, (self.towers, -1))
        return torch.einsum("nti,toi->nto", x.unflatten(1, (self.towers, -1)), weight).flatten(1) + self.bias


class TowerLRN(nn.Module):
    """Normalise inside each tower; PyTorch divides alpha by n, so it is given n times ours."""

    def __init__(self, towers, layer):
        super().__init__()
        self.towers = towers
        self.numbers = {"size": layer.n, "alpha": layer.alpha * layer.n, "beta": layer.beta, "k": layer.k}

    def forward(self, x):
        apart = x.reshape(-1, x.shape[1] // self.towers, *x.shape[2:])
        return functional.local_response_norm(apart, **self.numbers).reshape(x.shape)


class ScaledDropout(nn.Dropout):
    """Drop as in 2012: x * mask in training, x * keep at test; PyTorch's own divides by keep in training."""

    def forward(self, x):
        return super().forward(x) * (1 - self.p)


def _dense(stage):
    inputs, outputs = stage.reading.shape, stage.layer.outputs
    inputs = inputs[0] * inputs[1] * inputs[2]
    if stage.towers == 1 or stage.reading.shared:
        return nn.Sequential(nn.Flatten(), nn.Linear(inputs, stage.towers * outputs))
    return nn.Sequential(nn.Flatten(), TowerDense(stage.towers, inputs, outputs))


def _conv(stage):
    layer, channels = stage.layer, stage.reading.shape[0]
    together = stage.reading.shared or stage.towers == 1
    if together and layer.groups > 1 and stage.towers > 1:
        raise NotImplementedError("groups of a convolution that several towers read the same maps for")
    towers = 1 if together else stage.towers
    return nn.Conv2d(
        channels * towers,
        layer.filters * stage.towers,
        layer.size,
        layer.stride,
        layer.pad,
        groups=towers * layer.groups,
    )


MADE = {
    "conv": _conv,
    "dense": _dense,
    "relu": lambda stage: nn.ReLU(),
    "lrn": lambda stage: TowerLRN(stage.towers, stage.layer),
    "maxpool": lambda stage: nn.MaxPool2d(stage.layer.size, stage.layer.stride),
    "dropout": lambda stage: (nn.Dropout if stage.layer.inverted else ScaledDropout)(stage.layer.share),
    "exchange": lambda stage: nn.Identity(),
    "join": lambda stage: nn.Identity(),
    "softmax": lambda stage: nn.Identity(),  # the loss takes the scores
}


class Twin(nn.Module):
    """Be a cualex network in PyTorch: crops without their mean (n, 3, crop, crop) -> scores (n, classes)."""

    def __init__(self, network):
        super().__init__()
        for stage in network.stages():
            self.add_module(stage.name, MADE[stage.layer.kind](stage))

    def forward(self, x):
        for layer in self.children():
            x = layer(x)
        return x

    def canonical(self):
        """Return the parameters by cualex's names: a Sequential's place within it is left out."""
        return {_name(name): parameter for name, parameter in self.named_parameters()}

    def load(self, tensors):
        """Take canonical tensors of cualex; the names and shapes must be the same."""
        own = self.canonical()
        assert own.keys() == tensors.keys()
        with torch.no_grad():
            for name, parameter in own.items():
                assert parameter.shape == tensors[name].shape, name
                parameter.copy_(torch.from_numpy(tensors[name]))

    def gradients(self, x, labels):
        """Return scores, the mean loss over the pictures that count, and every gradient by its name."""
        self.zero_grad()
        scores = self(x)
        loss = functional.cross_entropy(scores, labels, ignore_index=-1)
        loss.backward()
        return scores.detach(), loss.item(), {name: p.grad for name, p in self.canonical().items()}

    def optimizer(self, rate, momentum, decay):
        """Make PyTorch's SGD with the paper's decay: of weights, not of biases."""
        own = self.canonical()
        weights = [parameter for name, parameter in own.items() if name.endswith(".weight")]
        biases = [parameter for name, parameter in own.items() if name.endswith(".bias")]
        groups = [{"params": weights, "weight_decay": decay}, {"params": biases, "weight_decay": 0.0}]
        return torch.optim.SGD(groups, lr=rate, momentum=momentum)

    @torch.no_grad()
    def closest(self, x):
        """Say how near any ReLU or pool comes to deciding otherwise, as a share of the maps' own size.

        Equal zeros in a pool do not count: whichever gets the gradient, the ReLU below gives none on.
        """
        nearest = float("inf")
        for layer in self.children():
            distances = None
            if isinstance(layer, nn.ReLU):
                distances = x.abs()
            if isinstance(layer, nn.MaxPool2d):
                windows = x.unfold(2, layer.kernel_size, layer.stride).unfold(3, layer.kernel_size, layer.stride)
                first, second = windows.flatten(4).topk(2).values.unbind(-1)
                distances = (first - second)[first > 0]
            if distances is not None:
                nearest = min(nearest, (distances.min() / x.square().mean().sqrt()).item())
            x = layer(x)
        return nearest


def _name(name):
    """conv1.weight -> conv1.weight, fc6.1.weight -> fc6.weight."""
    first, *_, last = name.split(".")
    return f"{first}.{last}"
