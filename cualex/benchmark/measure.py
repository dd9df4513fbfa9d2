"""Our side of a comparison, and the yardstick of the machine: its own rate of matrix products."""

import statistics
import time

import numpy as np

from cualex.benchmark.problem import DECAY, MOMENTUM, RATE, Problem
from cualex.devices import Control
from cualex.parameters import Parameters
from cualex.plan import Plan
from cualex.workers import Workers

SIDE = 2048  # of the square matrices of the yardstick
PRODUCTS = 5  # of which the median counts


class Ours:
    """Run the plan of a network on a batch: stored pictures are put in, cropped and computed."""

    def __init__(self, problem: Problem, mode: str, device: str, precision: str | None = None):
        """Build the plan for "train" or "infer" and put the problem's weights in."""
        self.problem, self.mode = problem, mode
        self.parameters = Parameters(problem.network, device, precision=precision)
        self.control = Control(RATE, MOMENTUM, DECAY)
        self.plan = Plan(self.parameters, len(problem.labels), mode, control=self.control)
        self.plan.put_mean(problem.mean)
        self.restart()

    def restart(self) -> None:
        """Forget all updates."""
        self.parameters.load(self.problem.tensors)
        self.parameters.forget_velocities()
        self.control.step = 0

    def turn(self, steps: int) -> float:
        """Run a step that warms the caches and then `steps` more; return the seconds of these."""
        self._step()
        began = time.perf_counter()
        for _ in range(steps):
            self._step()
        return time.perf_counter() - began

    def loss(self) -> float:
        """Return the mean loss of the batch with the weights as they are, without dropping units."""
        plan = self.plan
        if self.mode == "train":
            plan = Plan(self.parameters, plan.batch, "infer")
            plan.put_mean(self.problem.mean)
        self._put(plan)
        plan.run()
        return plan.result.loss

    @property
    def operations(self) -> int:
        """Count the operations of a step's products, two a multiply-add, as plain sums would do them."""
        return sum(step.operations for step in self.plan.steps)

    @property
    def workers(self) -> Workers:
        """Return the workers that compute."""
        return self.parameters.devices[0].workers

    def _step(self) -> None:
        self._put(self.plan)
        self.plan.run()
        self.control.step += 1

    def _put(self, plan: Plan) -> None:
        plan.put(self.problem.pictures, self.problem.views, self.problem.labels)


class Yardstick:
    """Multiply two square float32 matrices on all workers, a block of rows and one BLAS thread each."""

    def __init__(self, workers: Workers, side: int = SIDE):
        rng = np.random.default_rng(0)
        self.workers, self.side = workers, side
        self.left, self.right = (rng.standard_normal((side, side), np.float32) for _ in range(2))
        self.product = np.empty((side, side), np.float32)

    def rate(self) -> float:
        """Return floating-point operations a second: the median of several products."""
        self._multiply()
        return 2 * self.side**3 / statistics.median(self._multiply() for _ in range(PRODUCTS))

    def _multiply(self) -> float:
        """Compute the product once; return the seconds it took."""
        count = self.workers.count
        edges = [self.side * part // count for part in range(count + 1)]

        def block(part: int, scratch: object) -> None:
            rows = slice(edges[part], edges[part + 1])
            np.matmul(self.left[rows], self.right, out=self.product[rows])

        began = time.perf_counter()
        self.workers.run(block, count)
        return time.perf_counter() - began
