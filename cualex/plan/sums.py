"""Sums over ranks: the kept gradients of a plan in flat arrays, and the buckets in which they are added up.

On each device the gradients lie one behind the other, in the order in which the backward pass makes them, the topmost
layer first. A bucket is exchanged as soon as the steps that fill it have run, beside the backward pass of the layers
below: the dense layers' 58.6 million numbers beside the convolutions'. What a rank has of its own parts is a sum
already (`update.Sum`); the sums of all ranks are added in the same order, as a balanced tree of the batch's parts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from cualex.devices.control import Control
from cualex.devices.runtime import Array
from cualex.engine.contract import Device
from cualex.engine.host.tree import add_as_tree
from cualex.engine.host.update import BLOCK
from cualex.layers.maps import Buffer
from cualex.plan.step import Step
from cualex.ranks import Ranks, share
from cualex.weights.parameters import Parameters

BUCKET = (16 << 20) // 4 // BLOCK * BLOCK  # numbers: 16 MB of float32, whole blocks
LEDGER = "sums over ranks"

Key = tuple[str, int]  # a parameter and its device


@dataclass
class Bucket:
    """A part of a device's gradients. after: the step that completes it.  wait: until it has been added up."""

    place: int
    part: slice
    after: Step
    wait: Callable[[], None] | None = None


class RankSums:
    """The exchange of one plan: gradients in buckets, and the words of each update."""

    def __init__(
        self, ranks: Ranks, gradients: Mapping[Key, Buffer], steps: Sequence[Step], parameters: Parameters
    ) -> None:
        """Lay the gradients out in flat arrays, which become those of their buffers."""
        self.ranks, self._ledger, self._size = ranks, parameters.ledger, BUCKET
        made: dict[Key, int] = {}
        for index, step in enumerate(steps):
            if step.kind == "backward":
                made |= {(f"{step.layers[0]}.{last}", step.place): index for last in step.sinks.values()}
        self._flat: dict[int, Array] = {}
        self.buckets: list[Bucket] = []
        self._needed: dict[Key, list[Bucket]] = {}
        devices: Sequence[Device] = parameters.devices
        for place, device in enumerate(devices):
            own = [(key, made[key]) for key in made if key[1] == place and key in gradients]
            sizes = [int(np.prod(gradients[key].shape)) for key, _ in own]
            self._flat[place] = flat = device.allocate((sum(sizes),), device.master, zero=True)
            for (key, _), size, end in zip(own, sizes, np.cumsum(sizes), strict=True):
                gradients[key].array = flat[end - size : end].reshape(gradients[key].shape)
            self._cut(place, own, np.cumsum([0, *sizes]), steps)

    def _cut(self, place: int, own: Sequence[tuple[Key, int]], starts: np.ndarray, steps: Sequence[Step]) -> None:
        """Make the buckets of a device."""
        for first in range(0, int(starts[-1]), self._size):
            part = slice(first, min(first + self._size, int(starts[-1])))
            inside = [
                number for number in range(len(own)) if starts[number] < part.stop and starts[number + 1] > part.start
            ]
            bucket = Bucket(place, part, steps[max(own[number][1] for number in inside)])
            self.buckets.append(bucket)
            for number in inside:
                self._needed.setdefault(own[number][0], []).append(bucket)

    def steps(self, plain: Sequence[Step], loss: Callable[[], None], control: Control) -> list[Step]:
        """Return the steps of a rank's last part: behind the loss its words, behind each bucket's last step its sum."""
        *_, loss_step = (step for step in plain if step.kind == "forward")
        found: list[Step] = []
        for step in plain:
            found.append(step)
            if step is loss_step:
                found.append(_step("loss of all ranks", step, loss))
            for number, bucket in enumerate(self.buckets):
                if bucket.after is step:
                    found.append(_step(f"sum {number + 1}", step, partial(self._begin, number, control)))
        return found

    def _begin(self, number: int, control: Control) -> None:
        """Begin to add up a bucket, and enter in the ledger what this rank sends."""
        bucket, size, rank = self.buckets[number], self.ranks.size, self.ranks.rank
        what = f"add up gradients, {number + 1} of {len(self.buckets)}, in update {control.step + 1:,}"
        values = self._flat[bucket.place][bucket.part]
        bucket.wait = self.ranks.add_up(values, add_as_tree, what)
        own = share(len(values), size, rank)
        floats = self._ledger.floats
        floats[LEDGER] = floats.get(LEDGER, 0) + len(values) + (size - 2) * (own.stop - own.start)

    def wait_for(self, step: Step) -> None:
        """Wait until the gradients that an update reads have been added up."""
        for last in step.sinks.values():
            self.wait(self._needed[f"{step.layers[0]}.{last}", step.place])

    def wait(self, buckets: Sequence[Bucket] | None = None) -> None:
        """Wait until buckets, by default all, have been added up."""
        for bucket in self.buckets if buckets is None else buckets:
            if bucket.wait:
                bucket.wait()
                bucket.wait = None


def _step(name: str, beside: Step, run: Callable[[], None]) -> Step:
    step = Step(name, "sum", beside.layers, beside.towers, beside.place, beside.device, "ranks.add_up")
    step.run = run
    return step


class Words:
    """What the ranks tell one another once an update, as soon as the loss is known; all read the same.

    That all parts are finite, whatever `posted` has, the loss and counts of each part, and what batch normalisation has
    measured in it.
    """

    def __init__(self, ranks: Ranks, own: int, sums: Array, statistics: Sequence[Array], control: Control) -> None:
        """Keep the arrays from which each of this rank's `own` parts is taken."""
        self._ranks, self._own, self._sums, self._statistics, self._control = ranks, own, sums, statistics, control
        width = 4 + sum(each.size for each in statistics)
        self._mine = np.zeros((own, width))  # float64, which every float32 is in
        self.posted: Sequence[float] = ()
        self._wait: Callable[[], np.ndarray] | None = None

    def note(self) -> None:
        """Take what the part that has run has left."""
        row = self._mine[self._control.turn]
        row[:4] = self._sums
        end = 4
        for each in self._statistics:
            row[end : end + each.size] = each.reshape(-1)
            end += each.size

    def post(self) -> None:
        """Send them: the loss of the last part is known."""
        self.note()
        everything = np.concatenate([[self._control.finite], self.posted, self._mine.reshape(-1)])
        what = f"hear the loss of update {self._control.step + 1:,}"
        self._wait = self._ranks.gather(everything, what)

    def hear(self) -> tuple[np.ndarray, np.ndarray]:
        """Wait for those of all ranks; return `posted` of each (ranks, words), and the sums of all parts (parts, 4)."""
        assert self._wait is not None
        found = self._wait()
        self._control.finite = bool(found[:, 0].all())
        words = len(self.posted)
        self._parts = found[:, 1 + words :].reshape(-1, self._mine.shape[1])  # in the order of the batch
        return found[:, 1 : 1 + words], self._parts[:, :4]

    def move_averages(self, steps: Sequence[Step]) -> None:
        """Move the running averages by what was measured in every part, in the order of parts."""
        if not steps:
            return
        for part in self._parts:
            end = 4
            for each in self._statistics:
                np.copyto(each, part[end : end + each.size].reshape(each.shape), casting="same_kind")
                end += each.size
            for step in steps:
                step.run()
