"""What runs beside what: one step with all streams of all GPUs at once, each piece of work between two clocks.

A serial pass lets one step follow another, also on another GPU, and so shows no overlap. Here the steps of each GPU
follow each other alone, copies between GPUs run on their own streams, and the next batch is copied from the host, from
pinned memory as in training. The work is queued step by step and not as a graph: where Python is slower than the GPU,
there are gaps that a training does not have.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cualex.devices.clocks import CudaClock
from cualex.devices.cuda import CudaDevice
from cualex.plan import Plan
from cualex.plan.step import Step

Interval = tuple[float, float]
COMPUTE, LINK, HOST = "compute", "link", "host"


@dataclass(frozen=True)
class Span:
    """A piece of work on a stream. place: of the device that it belongs to.  stream: COMPUTE, LINK or HOST.

    step: its index in the plan, -1 for a copy from the host.  began, seconds: since the first step began.
    """

    place: int
    stream: str
    step: int
    bytes: int
    began: float
    seconds: float


@dataclass(frozen=True)
class Overlap:
    """The spans of one step, and what of them lay beside each other."""

    spans: tuple[Span, ...]

    @property
    def seconds(self) -> float:
        """Time from the first step's begin to the last one's end."""
        return max(end for _, end in self._intervals(COMPUTE, LINK))

    def busy(self, place: int) -> float:
        """Return how long a device computes."""
        return length(self._intervals(COMPUTE, place=place))

    @property
    def together(self) -> float:
        """Time in which both devices compute; 0 where there is one."""
        places = {span.place for span in self.spans if span.stream == COMPUTE}
        return sum(self.busy(place) for place in places) - length(self._intervals(COMPUTE))

    @property
    def links(self) -> float:
        """Time in which something is copied between devices."""
        return length(self._intervals(LINK))

    @property
    def links_hidden(self) -> float:
        """Time of the links in which a device computes."""
        return common(self._intervals(LINK), self._intervals(COMPUTE))

    def loads(self) -> list[Span]:
        """Return the copies of the next batch, one a device."""
        return [span for span in self.spans if span.stream == HOST]

    def hidden(self, load: Span) -> float:
        """Return how long a copy from the host runs while its device computes."""
        own = [(load.began, load.began + load.seconds)]
        return common(own, self._intervals(COMPUTE, place=load.place))

    def document(self, names: Sequence[str]) -> dict[str, Any]:
        """Return plain values, with units in their names. names: of the devices."""
        return {
            "milliseconds": 1000 * self.seconds,
            "devices": [
                {"device": name, "busy_milliseconds": 1000 * self.busy(place)} for place, name in enumerate(names)
            ],
            "together_milliseconds": 1000 * self.together,
            "links_milliseconds": 1000 * self.links,
            "links_hidden_milliseconds": 1000 * self.links_hidden,
            "host_copies": [
                {
                    "device": names[load.place],
                    "bytes": load.bytes,
                    "milliseconds": 1000 * load.seconds,
                    "hidden_milliseconds": 1000 * self.hidden(load),
                }
                for load in self.loads()
            ],
        }

    def _intervals(self, *streams: str, place: int | None = None) -> list[Interval]:
        chosen = (span for span in self.spans if span.stream in streams and place in (None, span.place))
        return [(span.began, span.began + span.seconds) for span in chosen]


def length(intervals: Iterable[Interval]) -> float:
    """Return how much time intervals cover together; what several cover counts once."""
    total, reached = 0.0, -np.inf
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return float(total)


def common(one: list[Interval], other: list[Interval]) -> float:
    """Return how much time two lists of intervals both cover."""
    return length(one) + length(other) - length([*one, *other])


def measure(plan: Plan, batch: Sequence[np.ndarray]) -> Overlap | None:
    """Run a step of a plan on GPUs, and copy `batch`, the arguments of `plan.put`, for the next; None on a CPU."""
    devices: list[Any] = list(plan.parameters.devices)
    if not all(isinstance(device, CudaDevice) for device in devices):
        return None
    devices[0].synchronize()
    clocks: list[tuple[Step, CudaClock]] = []

    def timed(step: Step) -> None:
        device, home = devices[step.place], step.reads["source"].buffer.place if step.kind == "link" else None
        clock = device.clock() if home is None else device.clock(device.begin_link(devices[home]))
        clock.start()
        step.run()
        clock.stop()
        clocks.append((step, clock))

    plan.run(timed)
    loads = [device.clock(device.loading) for device in devices] if plan.training else []
    for clock in loads:
        clock.start()
    plan.put(*batch)
    for clock in loads:
        clock.stop()
    first = min(clock.began for _, clock in clocks)
    spans = [
        Span(
            step.place, LINK if step.kind == "link" else COMPUTE, index, step.bytes, clock.began - first, clock.seconds
        )
        for index, (step, clock) in enumerate(clocks)
    ]
    spans += [
        Span(place, HOST, -1, plan.inputs.bytes(place), clock.began - first, clock.seconds)
        for place, clock in enumerate(loads)
    ]
    return Overlap(tuple(spans))
