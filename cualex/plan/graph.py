"""A list of steps that is run again and again: one by one, or as a graph that a device has captured."""

from collections.abc import Callable, Sequence

from cualex.devices.control import Ledger
from cualex.engine.contract import Device
from cualex.plan.step import Step


class Replay:
    """Run steps: the first time one by one, so that all is loaded, then as a graph where there is one."""

    def __init__(self, steps: Sequence[Step], devices: Sequence[Device], ledger: Ledger, graph: bool):
        """Take the steps; with `graph` the second run captures them, where the device can."""
        self.steps, self.devices, self.ledger = steps, devices, ledger
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
        self._graph = self.devices[0].capture(self.devices, self._run_steps)
        self._crossing = dict(ledger.floats)
        ledger.floats.clear()
        ledger.floats.update(before)
