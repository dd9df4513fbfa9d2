"""Profile a network's step: passes over the steps, the real step, optionally PyTorch's layers; then the table.

What a step costs: two operations for each of `Layer.multiply_adds` an image (layers/conv.py, layers/dense.py; other
layers have none), once forward, once for dx and once for dw, where the first layer has no dx; the bytes that it reads
and writes (plan/step.py), with what the update moves (`moved` in profiling/roofline.py); the time that is measured
(profiling/passes.py).
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np

from cualex.benchmark.our_side import Ours
from cualex.benchmark.problem import Problem
from cualex.data.sources import Source
from cualex.data.split import Split
from cualex.devices.placement import placement
from cualex.plan import Plan
from cualex.profiling import against_model, data_throughput, data_wait, rank_sums, roofline
from cualex.profiling.against_torch import TorchLayers
from cualex.profiling.passes import Pass, measure
from cualex.profiling.roofline import Roofline
from cualex.profiling.table import Profile, summarise
from cualex.ranks import ALONE, Ranks
from cualex.ranks.measure import Watched
from cualex.system import environment
from cualex.weights.parameters import Parameters

WARM_UP = 2  # passes that are not counted

MEASURED = {
    "milliseconds": "median of the passes; p95: the shortest that at most 5 % of them exceed",
    "operations": "two per multiply-add of convolutions and dense layers; none are counted for other layers",
    "bytes": "what a step reads and writes, once each, with the weights and momentum buffers that it updates",
    "serial": "from the first step's start to the last one's end, one step at a time",
    "real": "the plan as training and inference run it",
    "share_of_roofline": "max(operations / peak FLOP/s, bytes / bandwidth) over the measured time",
    "pictures": "random images, the same in every pass",
    "overlap": "a step whose streams run at once, queued step by step: the pass of the median length",
}


def profile(
    problem: Problem,
    mode: str = "train",
    device: str = "cpu",
    repeat: int = 20,
    *,
    precision: str | None = None,
    against: str | None = None,
    pack: Split | None = None,
    data: str = "",
    source: Source | None = None,
    side: int | None = None,
    copied: int = roofline.COPIED,
    modelled: bool = False,
    compiling: Callable[[int, int], None] | None = None,
    ranks: Ranks = ALONE,
) -> Iterator[Pass | Profile]:
    """Measure a network's step, "train" or "infer", layer by layer; yield every pass, and the profile last.

    against: "torch" runs PyTorch layer by layer after every pass.  pack, data: a split and the name of its set, on
    which as many steps run, to measure how long they wait.  source: its set, to measure the data throughput by stage.
    modelled: whether to put the model of kernels beside a GPU's times; `compiling` hears how many kernels are compiled
    for it.  side, copied: of the roofline's matrices, and its copy in bytes.  ranks: the processes that take the step
    together, each of its part of the problem's batch. Raise CualexError when PyTorch is not installed.
    """
    batch_size = len(problem.labels)
    watched = Watched(ranks) if ranks.size > 1 else None
    if watched:
        own = batch_size // ranks.size
        problem = problem.part(slice(ranks.rank * own, (ranks.rank + 1) * own))
    conditions: dict[str, Any] = {
        **environment.describe(),
        "load_average_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "network": {"name": problem.network.name, **problem.network.arguments},
        "mode": mode,
        "batch_size": batch_size,
        "repeat": repeat,
        "warm_up": WARM_UP,
        "measured": MEASURED,
    }
    placed = placement(device, problem.network.towers)
    ours = Ours(problem, mode, device, precision, watched or ALONE)
    with ExitStack() as stack:
        kind, used = "cuda" if placed.cuda else "cpu", ours.device.precision
        torch = stack.enter_context(TorchLayers(problem, mode, kind, used)) if against == "torch" else None
        plan, parameters = ours.plan, ours.parameters
        table = against_model.model(plan, mode, compiling) if modelled else None
        conditions |= {
            "device": str(placed),
            "precision": used,
            "torch": torch and torch.conditions,
        }
        roofs = _rooflines(parameters, side, copied)
        batch = _staged(plan, problem)
        plan.put(*batch)
        passes = []
        ranks.collect(None, "begin to measure")  # a rank that is slower to prepare is not lost
        ranks.begin_updates()
        for number in range(-WARM_UP, repeat):
            if torch:
                torch.run(counted=number >= 0)
                plan.run()  # PyTorch has used the caches
            made = measure(plan, None if watched else batch, watched)
            if number >= 0:
                passes.append(made)
                yield made
        ranks.begin_updates(over=True)
        again = _rooflines(parameters, side, copied)
        roofs = {name: roof.or_better(again[name]) for name, roof in roofs.items()}
    waited = None
    if pack is not None:
        waited = data_wait.measure(plan, pack, data, repeat, augment=mode == "train")
        if source is not None:
            waited = replace(waited, rates=tuple(data_throughput.measure(plan, pack, source, augment=mode == "train")))
    sums = rank_sums.document(ranks, passes, parameters, WARM_UP + repeat) if watched else None
    result = summarise(plan.steps, passes, parameters, roofs, conditions)
    yield replace(
        result,
        waiting=waited,
        torch=torch.document(result.rows) if torch else None,
        model=against_model.document(result.rows, table) if table else None,
        sums=sums,
    )


def _staged(plan: Plan, problem: Problem) -> tuple[np.ndarray, ...]:
    """Return images, views and labels in the memory from which training loads them."""
    staged = []
    for values, dtype in ((problem.images, np.uint8), (problem.views, np.int32), (problem.labels, np.int32)):
        staged.append(plan.parameters.devices[0].staging(values.shape, dtype))
        staged[-1][...] = values
    return tuple(staged)


def _rooflines(parameters: Parameters, side: int | None, copied: int) -> dict[str, Roofline]:
    """Measure the rooflines of all devices, once by name."""
    devices = {device.name: device for device in parameters.devices}
    return {name: roofline.measure(device, side, copied) for name, device in devices.items()}
