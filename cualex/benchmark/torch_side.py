"""The other side of a comparison: the same network in PyTorch, in a process of its own.

    {"do": "open", "network": "alexnet", "arguments": {...}, "batch": 32, "seed": 0, "threads": 2}
    {"do": "prepare", "mode": "train", "batch": 32, "steps": 2}     choose the memory layout, then start anew
    {"do": "turn", "lrn": true, "steps": 2}                         -> {"seconds": 3.1}
    {"do": "loss"}                                                  -> {"loss": 6.9}
    {"do": "layers"}                                                -> a step's seconds, module by module

Towers are groups of convolutions, and normalisation inside a tower sees the maps as twice as many pictures with
half the channels. Layers run one by one, as PyTorch does unless told otherwise.
"""

import functools
import time

import torch
from torch import nn
from torch.nn import functional

from cualex import networks
from cualex.benchmark import problem as problems
from cualex.benchmark.problem import DECAY, MOMENTUM, RATE, Problem
from cualex.benchmark.second import serve
from cualex.networks import Network, Stage

LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
TRIALS, SHORTER = 2, 4  # turns for each layout, of which the faster counts; they have a quarter of the steps


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


class Contender:
    """Run a network of PyTorch's on a batch, in one memory layout."""

    def __init__(self, problem: Problem, mode: str, lrn: bool, layout: str):
        """Take the problem's weights and its batch as floats, ready to be read by the first layer."""
        self.training = mode == "train"
        self.model = build(problem.network, lrn).to(memory_format=LAYOUTS[layout])
        own = {}
        for name, parameter in self.model.named_parameters():
            first, *_, last = name.split(".")  # fc6.1.weight is fc6.weight
            own[f"{first}.{last}"] = parameter
        with torch.no_grad():
            for name, tensor in problem.tensors.items():
                own[name].copy_(torch.from_numpy(tensor))
        self.crops = torch.from_numpy(problem.crops()).to(memory_format=LAYOUTS[layout])
        self.labels = torch.from_numpy(problem.labels).long()
        groups = [
            {"params": [own[name] for name in own if name.endswith(last)], "weight_decay": decay}
            for last, decay in ((".weight", DECAY), (".bias", 0.0))
        ]
        self.optimizer = torch.optim.SGD(groups, lr=RATE, momentum=MOMENTUM, fused=True)
        self._last, self._spans = 0.0, {}

    def turn(self, steps: int) -> float:
        """Run a step that warms the caches and then `steps` more; return the seconds of these."""
        self.model.train(self.training)
        step = self._train if self.training else self._infer
        step()
        began = time.perf_counter()
        for _ in range(steps):
            step()
        return time.perf_counter() - began

    def layers(self) -> dict:
        """Run a step that warms the caches and another; return the seconds of its modules each way and the update's."""
        self.turn(0)
        self._spans = {"forward": {}, "backward": {}, "update": {}}
        self._last = began = time.perf_counter()
        if self.training:
            self._train_by_layer()
        else:
            self._infer_by_layer()
        return {**self._spans, "seconds": self._last - began}

    @torch.inference_mode()
    def loss(self) -> float:
        """Return the mean loss of the batch with the weights as they are, without dropping units."""
        return functional.cross_entropy(self.model.eval()(self.crops), self.labels).item()

    def _train(self) -> None:
        self.optimizer.zero_grad()
        functional.cross_entropy(self.model(self.crops), self.labels).backward()
        self.optimizer.step()

    @torch.inference_mode()
    def _infer(self) -> torch.Tensor:
        return functional.softmax(self.model(self.crops), dim=1)

    @torch.inference_mode()
    def _infer_by_layer(self) -> None:
        functional.softmax(self._forward_by_layer(), dim=1)
        self._end("forward", "softmax")

    def _train_by_layer(self) -> None:
        """Run a training step.

        A module's backward lasts from the moment when the gradient of its output is there until that of its input is;
        autograd has put the gradients of its parameters in place by then.
        """
        self.optimizer.zero_grad()
        self._end("update", "update")
        loss = functional.cross_entropy(self._forward_by_layer(), self.labels)
        self._end("forward", "softmax")
        loss.backward()
        self._end("backward", next(self.model.named_children())[0])
        self.optimizer.step()
        self._end("update", "update")

    def _forward_by_layer(self) -> torch.Tensor:
        """Run the modules one by one, and note when the gradient of each one's input will be there."""
        x = self.crops
        for name, module in self.model.named_children():
            self._end_with_gradient(x, name)
            x = module(x)
            self._end("forward", name)
        self._end_with_gradient(x, "softmax")
        return x

    def _end_with_gradient(self, x: torch.Tensor, name: str) -> None:
        if x.requires_grad:
            x.register_hook(functools.partial(self._end, "backward", name))

    def _end(self, way: str, name: str, gradient: torch.Tensor | None = None) -> None:
        """Note that something has just ended, which began when the last thing did."""
        now = time.perf_counter()
        spans = self._spans[way]
        spans[name] = spans.get(name, 0) + now - self._last
        self._last = now


class Side:
    """Answer the questions of the first process."""

    def answer(self, do: str, **question: object) -> dict:
        """Do what is asked for, by name."""
        asked = {
            "open": self.open,
            "prepare": self.prepare,
            "turn": self.turn,
            "loss": self.loss,
            "layers": self.layers,
        }
        return asked[do](**question)

    def open(self, network: str, arguments: dict, batch: int, seed: int, threads: int) -> dict:
        """Make the problem; say what answers."""
        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        self.problem = problems.make(networks.build(network, **arguments), batch, seed)
        return {"version": torch.__version__, "threads": torch.get_num_threads()}

    def prepare(self, mode: str, batch: int, steps: int, without_lrn: bool = True) -> dict:
        """Choose the faster layout, with LRN and without; keep a contender of each with the first weights."""
        self.contenders, layouts = {}, {}
        problem, short = self.problem.first(batch), max(1, steps // SHORTER)
        for lrn in (True, False) if without_lrn else (True,):
            seconds = {}
            for layout in LAYOUTS:
                contender = Contender(problem, mode, lrn, layout)
                seconds[layout] = min(contender.turn(short) for _ in range(TRIALS))
            layouts["with LRN" if lrn else "without LRN"] = best = min(seconds, key=seconds.get)
            self.contenders[lrn] = Contender(problem, mode, lrn, best)
        return {"layouts": layouts}

    def turn(self, lrn: bool, steps: int) -> dict:
        """Run some steps of the network, or of the same without LRN."""
        return {"seconds": self.contenders[lrn].turn(steps)}

    def loss(self) -> dict:
        """Return the loss of the network with LRN."""
        return {"loss": self.contenders[True].loss()}

    def layers(self) -> dict:
        """Run a step of the network with LRN, module by module."""
        return self.contenders[True].layers()


if __name__ == "__main__":
    serve(Side().answer)
