"""Where numbers first stop being finite: in the weights, or in what a step of the plan writes.

After a loss that is no number the weights stay as they were before it, so the same batch can be run again. Its steps
are run one by one, and what each has written is looked at before the next one runs. Nothing of this costs anything
while the numbers are finite.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cualex.data import batches
from cualex.data.batches import Stream
from cualex.data.prefetch import Ahead
from cualex.model import BATCH, Model
from cualex.plan import Plan
from cualex.plan.step import Step
from cualex.weights.parameters import Parameters, parameter

PLURALS = {"weight": "weights", "bias": "biases"}
NAMED = 3  # pictures that are listed, at the most


@dataclass(frozen=True)
class Fault:
    """Say in words what is the first that is not finite, and whether it is what goes into the network."""

    text: str
    input: bool = False


def in_tensors(tensors: dict[str, np.ndarray], what: str = "") -> Fault | None:
    """Look through canonical parameters or velocities, from the top of the network down.

    Gradients are made from the top down, and one that is not finite spoils all below it: the topmost layer is the
    first. `what` stands behind the name, as in "momentum buffers of the weights".
    """
    broken = {}
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
    """Look through weights and velocities."""
    return in_tensors(parameters.unload()) or in_tensors(parameters.unload_velocities(), "momentum buffers of the ")


def in_update(plan: Plan, stream: Stream, update: int, position: int) -> Fault | None:
    """Look for what made a loss no number: that after `update` updates, of the batch at `position` of the stream.

    Its forward steps run again, with the same units dropped. None where all is finite: on a GPU updates that were
    queued behind it have moved the weights since.
    """
    if fault := in_parameters(plan.parameters):
        return fault
    plan.control.step = update
    names = [stream.pack.names[index] for index in stream.chosen(position, plan.batch)]
    with Ahead(stream, plan.batch, start=position) as ahead:
        plan.put(*ahead.take())
    return _in_run(plan, names)


def in_split(model: Model, pack) -> Fault | None:
    """Run a network over the pictures of a split until something is not finite."""
    plan, names = model.plan(BATCH), iter(pack.names)
    for pictures, labels in batches.Sequence(pack, BATCH):
        plan.put(pictures, np.tile(model.centre(), (BATCH, 1)), labels)
        if fault := _in_run(plan, list(itertools.islice(names, BATCH))):
            return fault
    return None


def said(fault: Fault | None, rate: float) -> str:
    """Say where a loss that is no number comes from, and the way out, as the end of a sentence."""
    if fault and fault.input:
        return f": {fault.text}. Look at them, at the mean image and at --colour-noise."
    cause = f"the learning rate {rate:g} is too large for these weights: try --lr {rate / 10:g}."
    return f": {fault.text}, so {cause}" if fault else f", so {cause}"


def _in_run(plan: Plan, names: Sequence[str]) -> Fault | None:
    """Run a plan, forward only, on the batch that is in it; `names` are those of its pictures."""
    forward = set(map(id, itertools.takewhile(lambda step: step.kind != "backward", plan.steps)))
    found: list[Fault] = []

    def watched(step: Step) -> None:
        if not found and id(step) in forward:
            step.run()
            found.extend(_written(plan, step, names))

    plan.run(watched)
    return found[0] if found else None


def _written(plan: Plan, step: Step, names: Sequence[str]) -> list[Fault]:
    """Look at the maps that a step has written: (towers, pictures, ...), or of one tower."""
    device = plan.parameters.devices[step.place]
    for operand in step.writes.values():
        values = None if operand is None else device.download(operand.array())
        if values is None or values.ndim < 3 or np.isfinite(values).all():
            continue
        by_picture = np.moveaxis(values, 0 if operand.tower is not None else 1, 0)
        first = plan.control.part * len(by_picture)  # a batch that does not fit is computed in parts
        own = names[first : first + len(by_picture)]
        each = by_picture[: len(own)].reshape(len(own), -1)
        bad = np.flatnonzero(~np.isfinite(each).all(axis=1))
        if not len(bad):
            continue
        if step.kind == "data":
            what = "the input of the network (image minus mean) is not finite"
            return [Fault(f"{what} for {_pictures(bad, own, len(own) == len(names))}", input=True)]
        where = f"the output of {step.layers[0]} is the first with NaN or Inf"
        return [Fault(f"{where}, for {_pictures(bad, own, len(own) == len(names))}")]
    return []


def _pictures(bad: np.ndarray, own: Sequence[str], whole: bool) -> str:
    """List some of the pictures of a batch, or of the part of one that is computed together."""
    batch = "the batch" if whole else "a part of the batch"
    if len(bad) == len(own):
        return f"all {len(own)} images of {batch}" if len(own) > 1 else own[0]
    listed = ", ".join(own[index] for index in bad[:NAMED])
    more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    return f"{len(bad)} of the {len(own)} images of {batch}: {listed}{more}"
