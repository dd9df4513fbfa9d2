"""One pass over a plan's steps with a clock on either side of each, and the real step beside it."""

from dataclasses import dataclass

from cualex.devices.clocks import Clock
from cualex.plan import Plan
from cualex.plan.step import Step


@dataclass(frozen=True)
class Pass:
    """Hold one serial pass and one real step, in seconds.

    `began` says when each step began, counted from the first one's start, and `seconds` how long it took; `serial` is
    the time from the first step's start to the last one's end, `real` that of `plan.run()`.
    """

    began: tuple[float, ...]
    seconds: tuple[float, ...]
    serial: float
    real: float


def measure(plan: Plan) -> Pass:
    """Run the steps one by one, then the plan as it is; in training both move the weights.

    The clocks are read when both are queued, so that a device that queues its work need not wait for the host.
    """
    clocks = _serial(plan)
    plan.control.step += 1
    real = _real(plan, clocks[-1])
    plan.control.step += 1
    first = clocks[0].began
    return Pass(
        began=tuple(clock.began - first for clock in clocks),
        seconds=tuple(clock.seconds for clock in clocks),
        serial=clocks[-1].began + clocks[-1].seconds - first,
        real=max(clock.began + clock.seconds for clock in real) - min(clock.began for clock in real),
    )


def _serial(plan: Plan) -> list[Clock]:
    """Run step after step, whatever place each is on; return a clock for each."""
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
    """Run the plan; return a clock for each device."""
    clocks = [device.clock() for device in plan.parameters.devices]
    for clock in clocks:
        clock.start(after)
    plan.run()
    for clock in clocks:
        clock.stop()
    return clocks
