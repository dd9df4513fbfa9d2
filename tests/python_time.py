"""Print Python's own time of a step on a GPU: python -m tests.python_time [--device cuda:0,cuda:1] [--rounds 5]

The real CuPy runs on the stand-in for CUDA (tests/cudart), whose kernels, and copies to GPUs, do nothing here: left are
Python, CuPy and the stand-in's own bookkeeping. Counted is the processor time of the main thread alone (`thread_time`),
which another program on the machine does not lengthen by taking its turn; the thread that gathers batches is beside it.

    train       an update of alexnet, 227 pixels, 1,000 classes, in the loop that `cualex train` runs, records included
    predict     one image that is decoded already: `model.features(image, output)`

The loss of kernels that do nothing is 0 of 0 images: the benchmark answers 1.0 of the whole batch in its place.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time

import numpy as np

from cualex.data import colour_noise
from tests import cudart

BATCH, WARM_UP = 128, 10


class Pack:
    """An endless set of four images, 256 pixels a side."""

    size, skipped, classes = 256, (), tuple(map(str, range(1000)))

    def __init__(self, updates: int) -> None:
        """Make one epoch of so many updates."""
        self.images = np.random.default_rng(0).integers(0, 256, (4, 256, 256, 3), np.uint8)
        self.labels = np.arange(updates * BATCH, dtype=np.int32) % 1000
        self.names = tuple(map(str, self.labels))
        self.mean = self.images.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.covariance = np.eye(3)
        self.components = colour_noise.components(self.covariance)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Write images."""
        out[:] = self.images[indices % 4]


def main() -> None:
    """Measure both, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0", help="placement of the training")
    parser.add_argument("--rounds", type=int, default=5, help="series of which the median is given")
    parser.add_argument("--steps", type=int, default=40, help="steps of a series")
    given = parser.parse_args()
    os.environ |= {"CUDART_IDLE": "1", "CUDART_ORDER": "eager", "CUDART_MEMORY": str(16 << 30), "CUALEX_SELF_TEST": "0"}
    cudart.activate()
    print(f"train, batch {BATCH}, {given.device}: {said(training(given.device, given.steps, given.rounds))}")
    print(f"predict, one image, cuda:0: {said(predicting(given.steps, given.rounds))}")


def said(series: list[list[float]]) -> str:
    """Return the median of each series, and their median, in milliseconds."""
    medians = sorted(1000 * statistics.median(each) for each in series)
    return f"{statistics.median(medians):.3f} ms a step ({', '.join(f'{each:.3f}' for each in medians)})"


def training(device: str, steps: int, rounds: int) -> list[list[float]]:
    """Return the main thread's seconds for each update, in series."""
    from cualex.plan.step import Outcome, Result
    from cualex.training.loop import train
    from cualex.training.recipes import PAPER
    from cualex.training.records import Update
    from cualex.training.run import Run

    def result(outcome: Outcome) -> Result:
        outcome.sums()
        return Result(1.0, 0, 0, BATCH)

    Outcome.result = property(result)
    pack, found = Pack(2 * (WARM_UP + steps * rounds)), []
    with tempfile.TemporaryDirectory() as directory:
        records = train(PAPER.but(batch=BATCH), pack, pack, Run.create(directory, "run"), device, save_every=1e9)
        before = time.thread_time()
        for record in records:
            now = time.thread_time()
            if isinstance(record, Update):
                found.append(now - before)
            before = time.thread_time()
            if len(found) == WARM_UP + steps * rounds:
                break
        records.close()
    counted = found[WARM_UP:]
    return [counted[i * steps : (i + 1) * steps] for i in range(rounds)]


def predicting(steps: int, rounds: int) -> list[list[float]]:
    """Return the main thread's seconds for each image, in series."""
    from cualex import networks
    from cualex.benchmark import problem
    from cualex.model import Model
    from cualex.weights.file import Weights

    made = problem.make(networks.build("alexnet"), 1)
    model = Model(Weights(made.network, made.tensors, [str(i) for i in range(1000)], made.mean), "cuda:0")
    found = []
    for _ in range(WARM_UP + steps * rounds):
        before = time.thread_time()
        model.features(made.images, model.output)
        found.append(time.thread_time() - before)
    counted = found[WARM_UP:]
    return [counted[i * steps : (i + 1) * steps] for i in range(rounds)]


if __name__ == "__main__":
    sys.exit(main())
