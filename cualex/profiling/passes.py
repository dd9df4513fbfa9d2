"""Time a plan's steps one by one, and the real step beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cualex.devices.clocks import Clock
from cualex.plan import Plan
from cualex.plan.step import Step
from cualex.profiling import overlap
from cualex.profiling.overlap import Overlap


@dataclass(frozen=True)
class Pass:
    """One serial pass and one real step, in seconds.

    began: start of the steps, from the first one's start.  seconds: their durations.  serial: from the first step's
    start to the last one's end.  real: of `plan.run()`.  overlap: on GPUs, a step whose streams run at once.
    """

    began: tuple[float, ...]
    seconds: tuple[float, ...]
    serial: float
    real: float
    overlap: Overlap | None = None


def measure(plan: Plan, batch: Sequence[np.ndarray] | None = None) -> Pass:
    """Run the steps one by one, then the plan; in training both update the weights.

    With `batch`, the arguments of `plan.put`, measure on GPUs what runs beside what.

    The clocks are read when both are queued, so that a GPU need not wait for the host.
    """
    clocks = _serial(plan)
    plan.control.step += 1
    real = _real(plan, clocks[-1])
    plan.control.step += 1
    first = clocks[0].began
    beside = None if batch is None else overlap.measure(plan, batch)
    if beside:
        plan.control.step += 1
    return Pass(
        began=tuple(clock.began - first for clock in clocks),
        seconds=tuple(clock.seconds for clock in clocks),
        serial=clocks[-1].began + clocks[-1].seconds - first,
        real=max(clock.began + clock.seconds for clock in real) - min(clock.began for clock in real),
        overlap=beside,
    )


def _serial(plan: Plan) -> list[Clock]:
    """Run step after step, on whatever device; return their clocks."""
    clocks: list[Clock] = []

    def timed(step: Step) -> None:
        clock = plan.parameters.devices[step.place].clock()
        clock.start(after=clocks[-1] if clocks else None)
        step.run()
        clock.stop()
        clocks.append(clock)

    plan.run(timed)
    return clocks


def _real(plan: Plan, after: Clock) -> list[Clock]:
    """Run the plan; return a clock a device."""
    clocks: list[Clock] = [device.clock() for device in plan.parameters.devices]
    for clock in clocks:
        clock.start(after)
    plan.run()
    for clock in clocks:
        clock.stop()
    return clocks
