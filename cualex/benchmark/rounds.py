"""Benchmark rounds: matmul rate, cualex, PyTorch, PyTorch without LRN, and again.

A machine's speed drifts by more than the differences of interest, so only measurements of one round are compared.
During a turn the other sides sleep.
"""

import importlib.util
import os
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

from cualex.benchmark import memory, problem
from cualex.benchmark.matmul_rate import SIDES, yardstick
from cualex.benchmark.our_side import Ours
from cualex.benchmark.problem import Problem
from cualex.benchmark.results import Part, Result, Round, medians
from cualex.benchmark.second_process import Second
from cualex.devices.placement import open_devices, placement
from cualex.errors import CualexError
from cualex.networks import Network
from cualex.system import environment
from cualex.system.environment import cores

SECONDS = 3.0  # a turn of cualex, about
MOST = 1000  # steps in a turn
SEED = 0

# With the C library's default settings PyTorch spends much of a large step in page faults: it returns memory to the
# system after every layer and allocates it again. These are for glibc; elsewhere they change nothing.
TUNED = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "1000000000",
}

MEASURED = {
    "cualex": "stored uint8 pictures are put in (on a GPU once, before the turn), cropped, and computed; the units "
    "dropped are drawn anew",
    "torch": "float32 crops are ready on the device; SGD(fused=True); the fastest of its ways: layer by layer (eager) "
    "in either memory layout, and on a GPU compiled with graphs",
    "operations": "two a multiply-add of the layers' products",
}


def benchmark(
    network: Network,
    batch: int = 32,
    rounds: int = 5,
    device: str = "cpu",
    against: str | None = None,
    tuned: bool = True,
    seconds: float = SECONDS,
    side: int | None = None,
    precision: str | None = None,
) -> Generator[Round | Result]:
    """Measure training and inference of a batch, inference of one image, and the memory of a training step.

    Yield every round, and the result last. against: "torch" adds a turn of PyTorch to every round, with its allocator
    `tuned` or not; on a GPU in the same precision (bf16 by autocast), on the first GPU.  seconds: of a turn of cualex,
    about; PyTorch's has as many steps.  side: of the matrices for the matmul rate.
    """
    placed = placement(device, network.towers)
    first, where = open_devices(placed, precision)[0], str(placed)  # refuse a device now
    precision = first.precision
    parts = (Part("train", "train", batch), Part("infer", "infer", batch), Part("infer_batch_1", "infer", 1))
    conditions: dict[str, Any] = {
        **environment.describe(),
        "load_average_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "network": {"name": network.name, **network.arguments},
        "device": where,
        "precision": precision,
        "batch_size": batch,
        "rounds": rounds,
        "seconds_a_turn": seconds,
        "product_side": side or SIDES[first.engine],
        "measured": MEASURED,
        "torch": None,
    }
    figures: dict[str, dict[str, Any]] = {}
    layouts: dict[str, Any] = {}
    with ExitStack() as stack:
        torch = stack.enter_context(open_torch(tuned)) if against == "torch" else None
        if torch:
            question = {"network": network.name, "arguments": network.arguments, "threads": cores()}
            there = {"device": "cuda" if placed.cuda else "cpu", "precision": precision}
            opened = torch.ask(do="open", **question, **there, batch=batch, seed=SEED)
            conditions["torch"] = {**opened, "allocator": TUNED if tuned else {}, "layouts": layouts}
        given = problem.make(network, batch, SEED)
        for part in parts:
            match = Match(part, given, (where, precision), torch, seconds, side)
            figures[part.name] = yield from match.play(rounds)
            layouts[part.name] = match.layouts
    yield Result(figures, memory.measure(network, batch, where, precision), conditions)


class Match:
    """Both sides of one part, ready for their turns."""

    def __init__(
        self,
        part: Part,
        given: Problem,
        where: tuple[str, str],
        torch: Second | None,
        seconds: float,
        side: int | None,
    ) -> None:
        """Warm both up and choose the number of steps of a turn; PyTorch chooses its fastest memory layout.

        where: placement and precision.
        """
        self.part, self.torch = part, torch
        self.ours = Ours(given.first(part.batch), part.mode, *where)
        self.yardstick = yardstick(self.ours.device, side)
        self.steps = min(MOST, max(1, round(seconds / self.ours.turn(1))))
        self.ours.restart()
        self.layouts: dict[str, str] | None = None
        if torch:
            question = {"mode": part.mode, "batch": part.batch, "steps": self.steps}
            self.layouts = torch.ask(do="prepare", **question)["layouts"]

    def play(self, rounds: int) -> Generator[Round, None, dict[str, Any]]:
        """Yield every round; return their figures, with the losses before and after."""
        before = self._losses()
        played: list[Round] = []
        for number in range(1, rounds + 1):
            played.append(self._round(number))
            yield played[-1]
        return medians(played) | self._named(before, self._losses())

    def _round(self, number: int) -> Round:
        """Run a turn of every side."""
        product = self.yardstick.rate()
        seconds = self.ours.turn(self.steps)
        torch: dict[str, float] = {}
        if self.torch:
            torch = {
                "torch_images_per_s": self._torch_rate(self.torch, lrn=True),
                "torch_without_lrn_images_per_s": self._torch_rate(self.torch, lrn=False),
            }
        share = self.ours.operations * self.steps / seconds / product
        return Round(self.part, number, self.part.batch * self.steps / seconds, product, share, **torch)

    def _torch_rate(self, torch: Second, lrn: bool) -> float:
        seconds: float = torch.ask(do="turn", lrn=lrn, steps=self.steps)["seconds"]
        return self.part.batch * self.steps / seconds

    def _losses(self) -> tuple[float, float | None]:
        """Return cualex's and PyTorch's loss of the batch with the current weights."""
        return self.ours.loss(), self.torch.ask(do="loss")["loss"] if self.torch else None

    def _named(self, before: tuple[float, float | None], after: tuple[float, float | None]) -> dict[str, float | None]:
        """Return the losses by name: of the same weights at first, and after as many updates on either side.

        PyTorch draws other dropout masks, so the last two are equal only without dropout.
        """
        names = ("loss_before", "torch_loss_before", "loss_after", "torch_loss_after")
        updates = self.ours.control.step if self.part.mode == "train" else 0
        losses: dict[str, float | None] = dict(zip(names, (*before, *after), strict=True))
        return losses | {"updates": updates}


def open_torch(tuned: bool) -> Second:
    """Start PyTorch's process; raise CualexError when PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None:
        raise CualexError("--against torch: PyTorch is not installed. Install it: pip install torch")
    return Second("cualex.benchmark.torch_side", TUNED if tuned else {})
