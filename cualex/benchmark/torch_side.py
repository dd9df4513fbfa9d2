"""PyTorch's side of a comparison: the same network in PyTorch, in a separate process.

    {"do": "open", "network": "alexnet", "arguments": {...}, "batch": 32, "seed": 0, "threads": 2,
     "device": "cpu", "precision": "fp32"}
    {"do": "prepare", "mode": "train", "batch": 32, "steps": 2}     choose the fastest memory layout, then start anew
    {"do": "turn", "lrn": true, "steps": 2}                         -> {"seconds": 3.1}
    {"do": "loss"}                                                  -> {"loss": 6.9}
    {"do": "layers"}                                                -> a step's seconds, module by module

Layers run one by one (eager), and on a GPU also compiled, with CUDA graphs.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from cualex import networks
from cualex.benchmark import problem as problems
from cualex.benchmark.problem import DECAY, MOMENTUM, RATE, Problem
from cualex.benchmark.second_process import serve
from cualex.benchmark.torch_modules import build

LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
WAYS = {  # memory layout, and whether the network is compiled
    "cpu": {layout: (layout, False) for layout in LAYOUTS},
    "cuda": {
        **{layout: (layout, False) for layout in LAYOUTS},
        "compiled, channels_last": ("channels_last", True),
    },
}
TRIALS, SHORTER = 2, 4  # turns a layout, of which the faster counts, of a quarter of the steps


class Contender:
    """PyTorch's network on a batch, in one memory layout, eager or compiled."""

    def __init__(
        self,
        problem: Problem,
        mode: str,
        lrn: bool,
        way: tuple[str, bool] = ("NCHW", False),
        device: str = "cpu",
        precision: str = "fp32",
    ) -> None:
        """Load the problem's weights, and its batch as preprocessed floats on the device."""
        self.training, (layout, compiled) = mode == "train", way
        self.model = build(problem.network, lrn).to(device, memory_format=LAYOUTS[layout])
        self.run = torch.compile(self.model, mode="max-autotune") if compiled else self.model
        self.cast = functools.partial(torch.autocast, device, torch.bfloat16, enabled=precision == "bf16")
        self.wait = torch.cuda.synchronize if device == "cuda" else lambda: None
        parameters: dict[str, Any] = {}
        for name, parameter in self.model.named_parameters():
            first, *_, last = name.split(".")  # fc6.1.weight is fc6.weight
            parameters[f"{first}.{last}"] = parameter
        with torch.no_grad():
            for stage in problem.network.stages():
                for name in stage.parameters:
                    turned = stage.turned(name.rpartition(".")[2], problem.tensors[name])
                    parameters[name].copy_(torch.from_numpy(turned))
        self.crops = torch.from_numpy(problem.crops()).to(device, memory_format=LAYOUTS[layout])
        self.labels = torch.from_numpy(problem.labels).long().to(device)
        groups = [
            {"params": [parameters[name] for name in parameters if name.endswith(last)], "weight_decay": decay}
            for last, decay in ((".weight", DECAY), (".bias", 0.0))
        ]
        self.optimizer = torch.optim.SGD(groups, lr=RATE, momentum=MOMENTUM, fused=True)
        self._last = 0.0
        self._spans: dict[str, dict[str, float]] = {}

    def turn(self, steps: int) -> float:
        """Run a step that warms the caches and then `steps` more; return the seconds of the latter."""
        self.model.train(self.training)
        step = self._train if self.training else self._infer
        step()
        self.wait()
        began = time.perf_counter()
        for _ in range(steps):
            step()
        self.wait()
        return time.perf_counter() - began

    def layers(self) -> dict[str, Any]:
        """Run a step that warms the caches and another; return the seconds by module and of the update."""
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
        """Return the mean loss of the batch with the current weights, without dropout."""
        with self.cast():
            return float(functional.cross_entropy(self.model.eval()(self.crops), self.labels).item())

    def _train(self) -> None:
        self.optimizer.zero_grad()
        with self.cast():
            loss = functional.cross_entropy(self.run(self.crops), self.labels)
        loss.backward()
        self.optimizer.step()

    @torch.inference_mode()
    def _infer(self) -> torch.Tensor:
        with self.cast():
            return functional.softmax(self.run(self.crops), dim=1)

    @torch.inference_mode()
    def _infer_by_layer(self) -> None:
        with self.cast():
            functional.softmax(self._forward_by_layer(), dim=1)
        self._end("forward", "softmax")

    def _train_by_layer(self) -> None:
        """Run a training step.

        A module's backward pass lasts from the gradient of its output until the gradient of its input; by then autograd
        has computed the gradients of its parameters.
        """
        self.optimizer.zero_grad()
        self._end("update", "update")
        with self.cast():
            loss = functional.cross_entropy(self._forward_by_layer(), self.labels)
        self._end("forward", "softmax")
        loss.backward()
        self._end("backward", next(self.model.named_children())[0])
        self.optimizer.step()
        self._end("update", "update")

    def _forward_by_layer(self) -> torch.Tensor:
        """Run the modules one by one, with hooks on the gradients of their inputs."""
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
        """Record the end of a span, which began when the last one ended."""
        self.wait()
        now = time.perf_counter()
        spans = self._spans[way]
        spans[name] = spans.get(name, 0) + now - self._last
        self._last = now


class Side:
    """Answers the requests of the first process."""

    def answer(self, do: str, **question: object) -> dict[str, Any]:
        """Answer a request by its name."""
        asked: dict[str, Callable[..., dict[str, Any]]] = {
            "open": self.open,
            "prepare": self.prepare,
            "turn": self.turn,
            "loss": self.loss,
            "layers": self.layers,
        }
        return asked[do](**question)

    def open(
        self, network: str, arguments: dict[str, Any], batch: int, seed: int, threads: int, device: str, precision: str
    ) -> dict[str, Any]:
        """Make the problem; return versions and device."""
        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.benchmark = True
        self.device, self.precision = device, precision
        self.problem = problems.make(networks.build(network, **arguments), batch, seed)
        there = torch.cuda.get_device_name() if device == "cuda" else "cpu"
        return {"version": torch.__version__, "threads": torch.get_num_threads(), "device": there}

    def prepare(self, mode: str, batch: int, steps: int, without_lrn: bool = True) -> dict[str, Any]:
        """Choose the fastest memory layout, with LRN and without; keep a contender of both with the initial weights."""
        self.contenders: dict[bool, Contender] = {}
        layouts: dict[str, str] = {}
        problem, short = self.problem.first(batch), max(1, steps // SHORTER)
        for lrn in (True, False) if without_lrn else (True,):
            seconds: dict[str, float] = {}
            for name, way in WAYS[self.device].items():
                contender = Contender(problem, mode, lrn, way, self.device, self.precision)
                seconds[name] = min(contender.turn(short) for _ in range(TRIALS))
            layouts["with LRN" if lrn else "without LRN"] = best = min(seconds, key=seconds.__getitem__)
            way = WAYS[self.device][best]
            self.contenders[lrn] = Contender(problem, mode, lrn, way, self.device, self.precision)
        return {"layouts": layouts}

    def turn(self, lrn: bool, steps: int) -> dict[str, Any]:
        """Run some steps of the network, with LRN or without."""
        return {"seconds": self.contenders[lrn].turn(steps)}

    def loss(self) -> dict[str, Any]:
        """Return the loss of the network with LRN."""
        return {"loss": self.contenders[True].loss()}

    def layers(self) -> dict[str, Any]:
        """Run a step of the network with LRN, module by module."""
        return self.contenders[True].layers()


if __name__ == "__main__":
    serve(Side().answer)
