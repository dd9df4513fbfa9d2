"""How much memory a training step takes, in a process of its own."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cualex import networks
from cualex.benchmark.second_process import Second, serve
from cualex.networks import Network
from cualex.plan import Plan
from cualex.weights.parameters import Parameters

STEPS = 2  # the second finds all work memory in place


@dataclass(frozen=True)
class Peak:
    """Hold bytes: the most that was ever resident, what the plan says, and the interpreter before any plan.

    On GPUs `resident` is what CuPy's pools hold there.

    `planned` are the buffers, parameters, velocities and work memory that `cualex summary --memory` adds up.
    """

    resident: int
    planned: int
    interpreter: int


def measure(network: Network, batch: int, device: str = "cpu", precision: str | None = None) -> Peak:
    """Run training steps in a new process and say how much memory it had."""
    with Second(__name__) as process:
        question = {"network": network.name, "arguments": network.arguments, "batch": batch}
        return Peak(**process.ask(**question, device=device, precision=precision))


def _answer(network: str, arguments: dict, batch: int, device: str, precision: str | None) -> dict:
    """Train on one image of noise, with all weights zero: what they are changes no buffer."""
    interpreter = _peak()
    parameters = Parameters(networks.build(network, **arguments), device, precision=precision)
    plan = Plan(parameters, batch)
    stored = parameters.network.stored
    image = np.random.default_rng(0).integers(0, 256, (stored, stored, 3), np.uint8)
    images, views = np.broadcast_to(image, (batch, *image.shape)), np.zeros((batch, 3), np.int32)
    plan.put_mean(np.full((stored, stored, 3), 128, np.float32))
    for _ in range(STEPS):
        plan.put(images, views, np.zeros(batch, np.int32))
        plan.run()
    work = sum(place.scratch_bytes for place in parameters.devices)
    held = [place.held for place in {place.name: place for place in parameters.devices}.values()]
    return {
        "resident": _peak() if None in held else sum(held),
        "planned": plan.bytes + parameters.bytes + work,
        "interpreter": interpreter,
    }


def _peak() -> int:
    """Return the most bytes that this process ever had resident.

    Linux hands `ru_maxrss` down from the process that started this one, so there the kernel's own high-water
    mark of this program is read.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    serve(_answer)
