"""Data throughput: images per second and core, stage by stage, and how many CPU cores keep the device fed.

    decoding      an image file to (stored, stored, 3)
    packing       the same, with the sums for mean and covariance, and the writing; on two threads, one of which waits
    gathering     rows of a pack, in the order of an epoch, to a batch: in pinned memory for a GPU
    augmenting    gathering, drawing views and colours, and the crops of the CPU engine; a GPU crops by itself

Seconds are CPU time, on files in the page cache, so that other users of the machine and its disk matter little. Figures
are medians of some rounds. A copy of 64 MiB in the same rounds is the reference; into a batch that fits a cache a core
may write faster.
"""

import dataclasses
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from cualex.data import colour_noise
from cualex.data.batches import Stream
from cualex.data.decoding import decode_one, finish
from cualex.data.pack import Pack, pack
from cualex.data.sources import Source
from cualex.data.split import Split
from cualex.devices.host import HostDevice
from cualex.engine import host
from cualex.plan import Plan

ROUNDS = 5
IMAGES = 256  # gathered in a round, or a batch
FILES = 32  # decoded and packed in a round, at most
COPIED = 2**26  # bytes of the reference copy: more than most caches hold


@dataclasses.dataclass(frozen=True)
class Rate:
    """Throughput of a core in a stage: images and bytes written per second; its fields are keys of --json.

    bytes_per_s, of_a_copy: None where they tell little; of_a_copy is relative to the reference copy of the same rounds.
    """

    stage: str
    pictures_per_s: float
    bytes_per_s: float | None = None
    of_a_copy: float | None = None

    def cores(self, images_per_s: float) -> float:
        """Return the number of cores that keep a step of `images_per_s` fed."""
        return images_per_s / self.pictures_per_s

    def document(self, images_per_s: float) -> dict[str, Any]:
        """Return plain values."""
        return {**dataclasses.asdict(self), "cores": self.cores(images_per_s)}


def measure(plan: Plan, made: Split, source: Source, augment: bool = True) -> list[Rate]:
    """Measure all stages from files to a plan. made: the set's train split, packed or not."""
    size = plan.parameters.network.stored
    rates: list[Rate] = []
    lost = {name for name, _ in made.skipped}
    files = [image for image in source.splits["train"] if image.name not in lost][:FILES]
    rates.append(_rate("decoding", len(files), lambda: [decode_one(image, size) for image in files]))
    few = dataclasses.replace(source, name=f"{source.name} (a part)", splits={"train": tuple(files)})
    rates.append(_rate("packing", len(files), lambda: _pack(few, size)))
    if not isinstance(made, Pack):
        return rates
    assert made.components is not None  # train has them
    stream = Stream(made, 0, plan.parameters.network.crop, augment, colour_noise.Noise(made.components))
    rates.append(_gathering(plan, made, stream))
    if plan.parameters.engine is host.ENGINE:
        rates.append(_augmenting(plan, stream))
    return rates


def _pack(source: Source, size: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        finish(pack(source, "train", size, cache=directory, workers=1))


def _gathering(plan: Plan, made: Pack, stream: Stream) -> Rate:
    """Gather batch after batch as training does, into memory that the device reads.

    All of them once before the timing: reading from the disk is not a core's work.
    """
    batch, size = plan.batch, made.size
    rows = plan.parameters.devices[0].staging((batch, size, size, 3), np.uint8)
    many = _batches(batch)
    positions = itertools.cycle(range(0, (1 + ROUNDS) * many * batch, batch))
    where = "pinned memory" if plan.parameters.engine is not host.ENGINE else "memory"

    def work(batches: int = many) -> None:
        for _ in range(batches):
            made.read(stream.chosen(next(positions), batch), rows)

    work((1 + ROUNDS) * many)
    return _rate(f"gathering into {where}", many * batch, work, many * rows.nbytes)


def _augmenting(plan: Plan, stream: Stream) -> Rate:
    """Run the first step of the plan as well, on one worker; it crops the batch that was in it."""
    step = next(step for step in plan.steps if step.kind == "data")
    alone, arrays = HostDevice(workers=1, precision=plan.parameters.devices[0].precision), step.arrays()
    given = [arrays[name] for name in ("pictures", "views", "colours")]
    labels, positions = np.empty(plan.batch, np.int32), itertools.count(0, plan.batch)
    many = _batches(plan.batch)

    def work() -> None:
        images, views, shifts = given
        for _ in range(many):
            stream.fill(next(positions), images, views, labels, shifts)
            host.crop.forward(alone, **arrays, **step.numbers)

    return _rate("gathering and augmenting", many * plan.batch, work)


def _batches(batch: int) -> int:
    """Return the number of batches of a round."""
    return max(1, IMAGES // batch)


def _rate(stage: str, count: int, work: Callable[[], object], written: int | None = None) -> Rate:
    """Time some work on `count` images that writes `written` bytes, and the reference copy."""
    source, target = np.ones(COPIED, np.uint8), np.ones(COPIED, np.uint8)
    work()  # opens files, reads pages, allocates work arrays
    seconds, copies = zip(*_rounds(work, lambda: np.copyto(target, source)), strict=True)
    rate = count / statistics.median(seconds)
    if written is None:
        return Rate(stage, rate)
    shares = [written / each / (COPIED / copy) for each, copy in zip(seconds, copies, strict=True)]
    return Rate(stage, rate, written / statistics.median(seconds), statistics.median(shares))


def _rounds(*works: Callable[[], object]) -> Iterator[list[float]]:
    """Yield the CPU seconds of all works, round after round."""
    for _ in range(ROUNDS):
        taken = []
        for work in works:
            began = time.process_time()
            work()
            taken.append(max(time.process_time() - began, 1e-9))
        yield taken
