"""cualex's side of a comparison: the plan of a network on a batch, run step after step."""

import time

from cualex.benchmark.problem import DECAY, MOMENTUM, RATE, Problem
from cualex.devices.control import Control
from cualex.devices.cuda import CudaDevice
from cualex.devices.host import HostDevice
from cualex.plan import Plan
from cualex.ranks import ALONE, Ranks
from cualex.weights.parameters import Parameters


class Ours:
    """The plan of a network on a batch: stored images are loaded, cropped and computed.

    A GPU's batch is loaded once, as the next one would be loaded beside the step. Of several ranks each computes its
    part of the batch, and all add up the gradients.
    """

    def __init__(
        self, problem: Problem, mode: str, device: str, precision: str | None = None, ranks: Ranks = ALONE
    ) -> None:
        """Build the plan for "train" or "infer" and load the problem's weights; problem: with this rank's images."""
        self.problem, self.mode, self._ranks = problem, mode, ranks
        self.parameters = Parameters(problem.network, device, precision=precision)
        self.control = Control(RATE, MOMENTUM, DECAY)
        batch, order = ranks.size * len(problem.labels), "chain" if ranks.size == 1 else "tree"
        self.plan = Plan(
            self.parameters, batch, mode, accumulate=ranks.size, order=order, control=self.control, ranks=ranks
        )
        self.plan.put_mean(problem.mean)
        self.restart()

    def restart(self) -> None:
        """Restore the initial weights."""
        self.parameters.load(self.problem.tensors)
        self.parameters.forget_velocities()
        self.control.step = 0

    def turn(self, steps: int) -> float:
        """Run a step that warms the caches and then `steps` more; return the seconds of the latter."""
        self._put(self.plan)
        self._step()
        self.plan.wait()
        began = time.perf_counter()
        for _ in range(steps):
            if not self.device.lag:
                self._put(self.plan)
            self._step()
        self.plan.wait()
        return time.perf_counter() - began

    def loss(self) -> float:
        """Return the mean loss of the batch with the current weights, without dropout; of a rank, of its images."""
        plan = self.plan
        if self.mode == "train":
            plan = Plan(self.parameters, plan.images, "infer")
            plan.put_mean(self.problem.mean)
        self._put(plan)
        plan.run()
        return plan.result.loss

    @property
    def operations(self) -> int:
        """Floating-point operations of a step's matrix products, two a multiply-add."""
        return sum(step.operations for step in self.plan.steps)

    @property
    def device(self) -> HostDevice | CudaDevice:
        """The first device."""
        return self.parameters.devices[0]

    def _step(self) -> None:
        self.plan.run()
        self.control.step += 1

    def _put(self, plan: Plan) -> None:
        plan.put(self.problem.images, self.problem.views, self.problem.labels)
