"""Time a plan's steps one by one, and the real step beside them."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cualex.devices.clocks import Clock
from cualex.plan import Plan
from cualex.plan.step import Step
from cualex.profiling import overlap
from cualex.profiling.overlap import Overlap
from cualex.ranks.measure import Waited, Watched


@dataclass(frozen=True)
class Pass:
    """One serial pass and one real step, in seconds.

    began: start of the steps, from the first one's start.  seconds: their durations.  serial: from the first step's
    start to the last one's end.  real: of `plan.run()`.  overlap: on GPUs, a step whose streams run at once.  sums: of
    ranks, what the real step exchanged, by the seconds from its start.
    """

    began: tuple[float, ...]
    seconds: tuple[float, ...]
    serial: float
    real: float
    overlap: Overlap | None = None
    sums: tuple[Waited, ...] = ()


def measure(plan: Plan, batch: Sequence[np.ndarray] | None = None, watched: Watched | None = None) -> Pass:
    """Run the steps one by one, then the plan; in training both update the weights.

    With `batch`, the arguments of `plan.put`, measure on GPUs what runs beside what. Of several ranks, which `watched`
    has, the steps behind the sums run in the real step alone, so that all ranks keep the same weights, and are timed
    there.

    The clocks are read when both are queued, so that a GPU need not wait for the host.
    """
    clocks = _serial(plan)
    last = clocks[-1][1]
    plan.control.step += 1
    behind = {id(step): 0.0 for step in plan.steps} if watched else {}
    for step, _ in clocks:
        behind.pop(id(step), None)
    if watched:
        watched.noted()
    with _timed([step for step in plan.steps if id(step) in behind], behind):
        real = _real(plan, last)
    plan.control.step += 1
    first = clocks[0][1].began
    beside = None if batch is None else overlap.measure(plan, batch)
    if beside:
        plan.control.step += 1
    began = {id(step): clock.began - first for step, clock in clocks}
    took = {id(step): clock.seconds for step, clock in clocks}
    end = last.began + last.seconds - first
    for number, seconds in behind.items():
        began[number], took[number] = end, seconds
        end += seconds
    start = min(clock.began for clock in real)
    return Pass(
        began=tuple(began[id(step)] for step in plan.steps),
        seconds=tuple(took[id(step)] for step in plan.steps),
        serial=end,
        real=max(clock.began + clock.seconds for clock in real) - start,
        overlap=beside,
        sums=tuple(replace(each, begun=each.begun - start) for each in (watched.noted() if watched else ())),
    )


def _serial(plan: Plan) -> list[tuple[Step, Clock]]:
    """Run step after step, on whatever device; return them with their clocks."""
    clocks: list[tuple[Step, Clock]] = []

    def timed(step: Step) -> None:
        clock = plan.parameters.devices[step.place].clock()
        clock.start(after=clocks[-1][1] if clocks else None)
        step.run()
        clock.stop()
        clocks.append((step, clock))

    plan.run(timed)
    return clocks


@contextlib.contextmanager
def _timed(steps: Sequence[Step], took: dict[int, float]) -> Iterator[None]:
    """Add the seconds of these steps of a CPU, whenever they run meanwhile, to those of their identity."""
    run = [step.run for step in steps]

    def timed(step: Step, plain: Callable[[], None]) -> None:
        began = time.perf_counter()
        plain()
        took[id(step)] += time.perf_counter() - began

    try:
        for step, plain in zip(steps, run, strict=True):
            step.run = functools.partial(timed, step, plain)
        yield
    finally:
        for step, plain in zip(steps, run, strict=True):
            step.run = plain


def _real(plan: Plan, after: Clock) -> list[Clock]:
    """Run the plan; return a clock a device."""
    clocks: list[Clock] = [device.clock() for device in plan.parameters.devices]
    for clock in clocks:
        clock.start(after)
    plan.run()
    for clock in clocks:
        clock.stop()
    return clocks
