"""Locate the first NaN or Inf: in the weights, or in the output of a step of the plan.

After a non-finite loss the weights are those before it, so the same batch can be run again: step by step, with a check
of every output. None of this costs anything while all is finite.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cualex.data import batches
from cualex.data.batches import Stream
from cualex.data.prefetch import Prefetcher
from cualex.data.split import Split
from cualex.model import BATCH, Model
from cualex.plan import Plan
from cualex.plan.buffers import fitting
from cualex.plan.step import Step
from cualex.weights.parameters import Parameters, parameter

PLURALS = {"weight": "weights", "bias": "biases"}
NAMED = 3  # images that are listed, at most


@dataclass(frozen=True)
class Fault:
    """The first non-finite numbers, as a text. input: whether they are the network's input."""

    text: str
    input: bool = False


def in_tensors(tensors: dict[str, np.ndarray], what: str = "") -> Fault | None:
    """Check canonical parameters or velocities, from the top of the network down.

    Gradients flow from the top down, and a non-finite one spoils all below it: the topmost layer is the first.
    what: a prefix of the name, as in "momentum buffers of the weights".
    """
    broken: dict[str, tuple[int, int, str]] = {}
    for name in reversed(list(tensors)):
        if count := tensors[name].size - int(np.isfinite(tensors[name]).sum()):
            layer, _, last = parameter(name).rpartition(".")
            broken.setdefault(layer, (count, tensors[name].size, f"{what}{PLURALS.get(last, last)}"))
    if not broken:
        return None
    layer, (count, size, kind) = next(iter(broken.items()))
    below = f", and some of {len(broken) - 1} layers below" if len(broken) > 1 else ""
    return Fault(f"{count:,} of the {size:,} {kind} of {layer} are not finite{below}")


def in_parameters(parameters: Parameters) -> Fault | None:
    """Check weights and velocities."""
    return in_tensors(parameters.unload()) or in_tensors(parameters.unload_velocities(), "momentum buffers of the ")


def in_update(plan: Plan, stream: Stream, update: int, position: int) -> Fault | None:
    """Locate the cause of a non-finite loss after `update` updates, on the batch at `position` of the stream.

    The forward steps run again with the same dropout masks. None if all is finite: on a GPU, later updates in flight
    have changed the weights.
    """
    if fault := in_parameters(plan.parameters):
        return fault
    plan.control.step = update
    position += plan.rule.rank * plan.images
    names = [stream.pack.names[index] for index in stream.chosen(position, plan.images)]
    with Prefetcher(stream, plan.images, start=position) as prefetcher:
        plan.put(*prefetcher.take())
    return _in_run(plan, names)


def in_split(model: Model, pack: Split) -> Fault | None:
    """Run a network on a split until something is not finite."""
    plan, names = fitting(model.plan, BATCH), iter(pack.names)
    for images, labels in batches.Sequence(pack, plan.batch):
        plan.put(images, np.tile(model.centre(), (plan.batch, 1)), labels)
        if fault := _in_run(plan, list(itertools.islice(names, plan.batch))):
            return fault
    return None


def cause(fault: Fault | None, rate: float) -> str:
    """Return the cause of a non-finite loss, and the way out, as the end of a sentence."""
    if fault and fault.input:
        return f": {fault.text}. Look at them, at the mean image and at --colour-noise."
    advice = f"the learning rate {rate:g} is too large for these weights: try --lr {rate / 10:g}."
    return f": {fault.text}, so {advice}" if fault else f", so {advice}"


def _in_run(plan: Plan, names: Sequence[str]) -> Fault | None:
    """Run the forward pass of a plan on the batch in it, step by step. names: of its images."""
    forward = set(map(id, itertools.takewhile(lambda step: step.kind != "backward", plan.steps)))
    faults: list[Fault] = []

    def watched(step: Step) -> None:
        if not faults and id(step) in forward:
            step.run()
            faults.extend(_written(plan, step, names))

    plan.run(watched)
    return faults[0] if faults else None


def _written(plan: Plan, step: Step, names: Sequence[str]) -> list[Fault]:
    """Check the outputs of a step: (towers, images, ...), or of one tower."""
    device = plan.parameters.devices[step.place]
    for operand in step.writes.values():
        values = None if operand is None else device.download(operand.array())
        if values is None or values.ndim < 3 or np.isfinite(values).all():
            continue
        by_image = np.moveaxis(values, 0 if operand.tower is not None else 1, 0)
        first = plan.control.turn * len(by_image)  # a micro-batch of --accumulate
        part = names[first : first + len(by_image)]
        rows = by_image[: len(part)].reshape(len(part), -1)
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if not len(bad):
            continue
        if step.kind == "data":
            what = "the input of the network (image minus mean) is not finite"
            return [Fault(f"{what} for {_images(bad, part, len(part) == len(names))}", input=True)]
        where = f"the output of {step.layers[0]} is the first with NaN or Inf"
        return [Fault(f"{where}, for {_images(bad, part, len(part) == len(names))}")]
    return []


def _images(bad: np.ndarray, names: Sequence[str], whole: bool) -> str:
    """List some of the images of a batch, or of a part of it."""
    batch = "the batch" if whole else "a micro-batch"
    if len(bad) == len(names):
        return f"all {len(names)} images of {batch}" if len(names) > 1 else names[0]
    listed = ", ".join(names[index] for index in bad[:NAMED])
    more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    return f"{len(bad)} of the {len(names)} images of {batch}: {listed}{more}"
