"""A small training on every placement of two GPUs, for tests that plant faults: prints what came out as JSON.

python -m tests.support.cudart_training FOLDER      FOLDER: where the runs go
"""

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np

from cualex import weights
from cualex.devices import placement
from cualex.devices.cuda import CudaDevice
from cualex.devices.cupy_runtime import CupyRuntime
from cualex.evaluation import evaluate
from cualex.training import loop
from cualex.training.run import Run
from tests.support import tiny_runs

PLACEMENTS = ("cuda:0", "cuda:0,cuda:1", "cuda:0,cuda:0")
RECIPE = tiny_runs.RECIPE.but(batch=4, epochs=2, drop_epochs=(1,), plain_epochs=1)


class Watched(CupyRuntime):
    """Count the graphs that are captured."""

    captured = 0

    def capture(self, streams, work):
        """Record work into a graph."""
        graph = super().capture(streams, work)
        self.captured += graph is not None
        return graph


def train(device, folder):
    """Train, and return what must be the same wherever it runs, and what was captured."""
    runtime = Watched()
    placement.CupyRuntime = lambda: runtime
    run = Run.create(folder, device.translate(str.maketrans(":,", "--")))
    list(loop.train(RECIPE, tiny_runs.Squares(22), tiny_runs.Squares(4, seed=1), run, device, "fp32"))
    kept = weights.load(run.path / "last.safetensors")
    return {
        "weights": tiny_runs.digest(kept.tensors),
        "velocities": tiny_runs.digest(kept.velocities),
        "captured": runtime.captured,
        "uncaptured": runtime.uncaptured,
    }


def much_shared_memory():
    """Launch a kernel with more shared memory than it has without asking."""
    device = CudaDevice("cuda:0", CupyRuntime(), 0, "fp32")
    x, y = (device.allocate((1, 256)) for _ in range(2))
    device.upload(x, np.arange(-128, 128))
    constants = {"COUNT": 256, "VECTOR": 1, "PRECISION": "FP32"}
    device.launch("relu_forward", (x, y), grid=(1, 1, 1), block=256, shared=50_000, **constants)
    return device.download(y)[0].tolist()


def main():
    """Print it."""
    loop.evaluate = partial(evaluate, batch=4)
    folder = Path(sys.argv[1])
    with tiny_runs.known():
        found = {device: train(device, folder) for device in PLACEMENTS}
    print(json.dumps({**found, "relu": much_shared_memory()}))


main()
