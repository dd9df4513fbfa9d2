"""Time that a step waits for data: the training loop's path from the pack to the plan."""

import time
from dataclasses import dataclass
from typing import Any

from cualex.data.batches import Stream
from cualex.data.prefetch import Prefetcher
from cualex.data.split import Split
from cualex.plan import Plan
from cualex.profiling.data_throughput import Rate


@dataclass(frozen=True)
class Waiting:
    """Seconds of `steps` steps with real data: in all, waiting for batches, and copying them to the device.

    rates: throughput of the stages, if measured.
    """

    data: str
    steps: int
    seconds: float
    waited: float
    handed: float
    rates: tuple[Rate, ...] = ()

    def document(self, images_per_s: float) -> dict[str, Any]:
        """Return plain values for one step of `images_per_s`, with units in their names."""
        return {
            "data": self.data,
            "steps": self.steps,
            "step_milliseconds": 1000 * self.seconds / self.steps,
            "waited_milliseconds": 1000 * self.waited / self.steps,
            "handed_in_milliseconds": 1000 * self.handed / self.steps,
            "share_waited": self.waited / self.seconds,
            "rates_of_a_core": [rate.document(images_per_s) for rate in self.rates],
        }


def measure(plan: Plan, pack: Split, data: str, steps: int, augment: bool = True) -> Waiting:
    """Run steps on prefetched batches, as training does, after one that waits for the first batch."""
    network, handed = plan.parameters.network, 0.0
    assert pack.mean is not None  # train has one
    plan.put_mean(pack.mean)
    device, stream = plan.parameters.devices[0], Stream(pack, 0, network.crop, augment)
    with Prefetcher(stream, plan.batch, staging=device.staging, lag=device.lag) as prefetcher:
        for step in range(-1, steps):
            if step == 0:
                began, waited, handed = time.perf_counter(), prefetcher.waited, 0.0
            batch = prefetcher.take()
            taken = time.perf_counter()
            plan.put(*batch)
            handed += time.perf_counter() - taken
            plan.run()
            prefetcher.hold(plan.loaded())
            _ = plan.result  # as training does, which reads the loss
            plan.control.step += 1
        return Waiting(data, steps, time.perf_counter() - began, prefetcher.waited - waited, handed)
