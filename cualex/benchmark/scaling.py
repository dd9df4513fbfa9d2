"""A training step on several ranks beside one process: in rounds, as all comparisons are, and predicted first.

In a round rank 0 takes a step of its own images alone, while the others sleep; then, where all ranks are on one
machine, one process of all their cores takes a step of the whole batch; then all ranks take it together.
"""

import hashlib
import math
import os
import statistics
from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cualex import networks
from cualex.benchmark import problem
from cualex.benchmark.our_side import Ours
from cualex.benchmark.rounds import MOST, SECONDS, SEED
from cualex.benchmark.second_process import Second, serve
from cualex.devices.placement import placement
from cualex.errors import DeviceError, RanksDiffer, UsageError
from cualex.layers import Dense
from cualex.networks import Network
from cualex.plan.sums import BUCKET, LEDGER
from cualex.ranks import Ranks, differing, measure, model
from cualex.ranks.model import FLOAT, Link, Machines, Sizes, Update
from cualex.system import environment

MEASURED = {
    "alone": "rank 0 with its share of the batch and its cores, while the others sleep",
    "one_process": "the whole batch on all cores of the ranks, where they are on one machine",
    "efficiency": "images/s of all ranks over that of rank 0 alone times their number",
    "exposed": "time that a rank waits for losses and sums after its own backward pass, a step: least is that of the "
    "rank that the others wait for",
    "bytes": "that leave a rank in an update, by the ledger, the mean of the ranks",
    "predicted": "alone + max(0, bytes / rate - hidden) + latencies (cualex/ranks/model.py)",
}


@dataclass(frozen=True)
class Round:
    """One round: milliseconds of a step; one_process: None where ranks are on several machines.

    exposed: least and most of the ranks.
    """

    number: int
    alone_milliseconds: float
    one_process_milliseconds: float | None
    milliseconds: float
    exposed_milliseconds: tuple[float, float]


def sizes(network: Network) -> Sizes:
    """Return the numbers of a network that the model needs."""
    shapes = network.parameters()
    dense = [name for name, layer in network.layers.items() if isinstance(layer, Dense)]
    weights = [shapes[f"{name}.weight"] for name in dense]
    return Sizes(
        sum(map(math.prod, shapes.values())),
        sum(math.prod(shapes[f"{name}.{last}"]) for name in dense for last in ("weight", "bias")),
        sum(shape[1] for shape in weights),
        sum(shape[0] for shape in weights),
    )


def check(ranks: Ranks, network: Network, batch: int, device: str) -> None:
    """Raise UsageError unless a batch can be dealt to ranks, and DeviceError for GPUs."""
    if batch % ranks.size:
        fit = max(1, round(batch / ranks.size)) * ranks.size
        raise UsageError(f"batch size {batch} cannot be dealt to {ranks.size} ranks: use --batch-size {fit}")
    if placement(device, network.towers).cuda:
        raise DeviceError(f"{ranks.size} ranks compute on CPUs only so far: add --device cpu, or use one process.")


def benchmark(
    ranks: Ranks, network: Network, batch: int, rounds: int = 5, device: str = "cpu", seconds: float = SECONDS
) -> Generator[Update | Round | dict[str, Any]]:
    """Measure a training step of a batch on all ranks; every rank calls this.

    Yield what the model predicts from the links and from rank 0 alone, then every round, and the document last.
    Raise UsageError and DeviceError as `check`, RanksDiffer where the ranks have other weights at the end.
    """
    check(ranks, network, batch, device)
    cores = sorted(set().union(*ranks.collect(_bound(), "count cores")))
    given, images = problem.make(network, batch, SEED), batch // ranks.size
    own = given.part(slice(ranks.rank * images, (ranks.rank + 1) * images))
    conditions: dict[str, Any] = {
        **environment.describe(),
        "load_average_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "network": {"name": network.name, **network.arguments},
        "device": str(placement(device, network.towers)),
        "batch_size": batch,
        "rounds": rounds,
        "seconds_a_turn": seconds,
        "measured": MEASURED,
    }
    with ExitStack() as stack:
        alone = Ours(own, "train", device) if ranks.first else None

        def solo(steps: int) -> float:
            return ranks.at_first(lambda: alone.turn(steps) / steps if alone else 0.0, "time a step alone")

        steps = min(MOST, max(1, round(seconds / solo(1))))
        before = solo(steps)
        link = Link(measure.rate(ranks, FLOAT * BUCKET), measure.latency(ranks))
        on = Machines(link, compute=before)
        predicted = model.estimate(sizes(network), ranks.size, images, on).sum
        yield predicted
        second: Second | None = None
        if ranks.first and ranks.machines == 1:
            second = stack.enter_context(Second(__name__))
            second.ask(network=network.name, arguments=network.arguments, batch=batch, cores=cores)

        def whole(steps: int) -> float | None:
            return 1e3 * float(second.ask(steps=steps)["seconds"]) / steps if second else None

        team = _Team(ranks, own, device)
        losses = [team.loss()]
        played: list[Round] = []
        for number in range(1, rounds + 1):
            lonely = solo(steps)
            one = ranks.at_first(lambda: whole(steps), "time one process")
            took, exposed = team.turn(steps)
            played.append(Round(number, 1e3 * lonely, one, 1e3 * took, (1e3 * exposed[0], 1e3 * exposed[1])))
            yield played[-1]
        losses.append(team.loss())
    yield {
        "ranks": ranks.size,
        "machines": ranks.machines,
        "batch_size": batch,
        **_medians(played, batch, ranks.size),
        **team.bytes(sizes(network)),
        "predicted": {
            "milliseconds": 1e3 * (predicted.seconds or 0),
            "alone_milliseconds": 1e3 * before,
            "bytes_per_s": link.rate,
            "latency_s": link.latency,
            "hidden": model.HIDDEN,
        },
        "loss_before": losses[0],
        "loss_after": losses[1],
        "updates": team.ours.control.step,
        "rounds": [asdict(each) for each in played],
        "conditions": conditions,
    }


def _bound() -> set[int]:
    """Return the cores that this process may use, by number; none where the system does not tell."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


class _Team:
    """All ranks on their parts of one batch."""

    def __init__(self, ranks: Ranks, own: problem.Problem, device: str) -> None:
        """Build the plan of this rank."""
        self.ranks, self.watched = ranks, measure.Watched(ranks)
        self.ours = Ours(own, "train", device, ranks=self.watched)

    def turn(self, steps: int) -> tuple[float, tuple[float, float]]:
        """Take steps; return the seconds of one, of the slowest rank, and those that are exposed: least and most."""
        self.ranks.collect(None, "begin a turn")
        self.watched.noted()
        self.ranks.begin_updates()
        took = self.ours.turn(steps)
        self.ranks.begin_updates(over=True)
        waited = sum(each.waited for each in self.watched.noted()) / (steps + 1)  # one warms the caches
        every = self.ranks.collect((took / steps, waited), "compare times")
        exposed = [each for _, each in every]
        return max(each for each, _ in every), (min(exposed), max(exposed))

    def loss(self) -> float:
        """Return the mean loss of the whole batch. Raise RanksDiffer unless all ranks have the same weights."""
        tensors, total = self.ours.parameters.unload(), hashlib.sha256()
        for name in sorted(tensors):
            total.update(np.ascontiguousarray(tensors[name]).data)
        every = self.ranks.collect((total.hexdigest(), self.ours.loss()), "compare weights")
        if (rank := differing([digest for digest, _ in every])) is not None:
            raise RanksDiffer(f"rank {rank} has other weights than rank 0", "One of them computes or sends wrong bits.")
        return statistics.mean(loss for _, loss in every)

    def bytes(self, of: Sizes) -> dict[str, Any]:
        """Return the bytes that leave a rank in an update, as counted and by the formula 2 * 4 P (N - 1) / N."""
        floats, updates = self.ours.parameters.ledger.floats[LEDGER], self.ours.control.step
        every = self.ranks.collect(floats, "count bytes")
        size = self.ranks.size
        return {
            "bytes": FLOAT * sum(every) / size / updates,
            "formula_bytes": 2 * FLOAT * of.parameters * (size - 1) / size,
        }


def _medians(played: list[Round], batch: int, size: int) -> dict[str, Any]:
    """Return the medians of the rounds; those of ratios are of the ratios of each round."""

    def median(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return statistics.median(known) if known else None

    whole = [each.one_process_milliseconds for each in played]
    took = [each.milliseconds for each in played]
    return {
        "images_per_s": median(1e3 * batch / each for each in took),
        "milliseconds": median(took),
        "alone_milliseconds": median(each.alone_milliseconds for each in played),
        "one_process_milliseconds": median(whole),
        "efficiency": median(each.alone_milliseconds / each.milliseconds for each in played),
        "efficiency_of_one_process": median(one and one / each for one, each in zip(whole, took, strict=True)),
        "exposed_milliseconds": {
            "least": median(each.exposed_milliseconds[0] for each in played),
            "most": median(each.exposed_milliseconds[1] for each in played),
        },
    }


_one: list[Ours] = []  # of the process that is asked


def _answer(
    steps: int = 0,
    network: str = "",
    arguments: dict[str, Any] | None = None,
    batch: int = 0,
    cores: Sequence[int] = (),
) -> dict[str, Any]:
    """Make ready with a network, a batch and cores; then take steps, and return their seconds."""
    if network:
        if cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)
        _one[:] = [Ours(problem.make(networks.build(network, **arguments or {}), batch, SEED), "train", "cpu")]
    return {"seconds": _one[0].turn(steps) if steps else 0.0}


if __name__ == "__main__":
    serve(_answer)
