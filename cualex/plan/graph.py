"""A list of steps that is run again and again: one by one, or as a graph that a device has captured."""

from collections.abc import Callable, Sequence

from cualex.devices.fallbacks import Touched
from cualex.engine.contract import Device
from cualex.layers.maps import Buffer, Operand
from cualex.plan.step import Step
from cualex.weights.parameters import Parameters


class Replay:
    """Run steps: the first time one by one, so that all is loaded, then as a graph where there is one."""

    def __init__(self, steps: Sequence[Step], parameters: Parameters, gradients: Sequence[Buffer], graph: bool):
        """Take the steps; with `graph` the second run captures them, where the device can.

        gradients: those that are kept from step to step.
        """
        self.steps, self.parameters, self.gradients = steps, parameters, gradients
        self.devices: Sequence[Device] = parameters.devices
        self.ledger = parameters.ledger
        self._wanted, self._runs = graph and bool(steps), 0
        self._crossing: dict[str, int] = {}
        self._graph: Callable[[], None] | None = None

    @property
    def captured(self) -> bool:
        """Return whether runs replay a graph."""
        return self._graph is not None

    def run(self) -> None:
        """Queue all steps once."""
        if self._wanted and self._runs == 1:
            self._capture()
        self._runs += 1
        if self._graph is None:
            self._run_steps()
            return
        floats = self.ledger.floats
        for name, count in self._crossing.items():
            floats[name] = floats.get(name, 0) + count
        self._graph()

    def _run_steps(self) -> None:
        for step in self.steps:
            step.run()

    def _capture(self) -> None:
        """Record the steps; what they entered in the ledger is entered again at every launch."""
        ledger = self.ledger
        before = dict(ledger.floats)
        ledger.clear()
        self._graph = self.devices[0].capture(self.devices, self._run_steps, self._touched)
        self._crossing = dict(ledger.floats)
        ledger.floats.clear()
        ledger.floats.update(before)

    def _touched(self) -> Touched:
        """List what the steps touch: parameters and what moves with them, gradients, and the buffers they write."""
        made = self.parameters
        moving = (*made.arrays.items(), *made.velocities.items(), *made.copies.items())
        kept = [(place, array) for (_, place), array in moving] if any(step.sinks for step in self.steps) else []
        kept += [(buffer.place, buffer.array) for buffer in self.gradients]
        kept += [(step.place, each) for step in self.steps for each in step.writes.values() if hasattr(each, "nbytes")]
        values = [value for step in self.steps for value in step.writes.values()]
        operands = [each for value in values for each in (value if isinstance(value, list) else [value])]
        fresh = {id(each.buffer): each.buffer for each in operands if isinstance(each, Operand)}.values()
        results = [(buffer.place, buffer.array) for buffer in fresh if buffer.lasting]
        steps = "; ".join(f"{step.name} {step.function} {step.place} {step.bytes}" for step in self.steps)
        told = {step.place for step in self.steps if step.numbers.get("finite")}
        return Touched(steps, kept, [(buffer.place, buffer.array) for buffer in fresh], results, sorted(told))
