"""Peak memory of a training step, measured in a separate process."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cualex import networks
from cualex.benchmark.second_process import Second, serve
from cualex.networks import Network
from cualex.plan import Plan
from cualex.weights.parameters import Parameters

STEPS = 2  # the first allocates work memory


@dataclass(frozen=True)
class Peak:
    """Bytes: peak resident memory, on GPUs of CuPy's pools; planned memory; and the interpreter before any plan.

    None where the system does not tell: Windows, of processes.

    planned: buffers, parameters, velocities and work memory, the sum of `cualex summary --memory`.
    """

    resident: int | None
    planned: int
    interpreter: int | None


def measure(network: Network, batch: int, device: str = "cpu", precision: str | None = None) -> Peak:
    """Run training steps in a new process; return its memory."""
    with Second(__name__) as process:
        question = {"network": network.name, "arguments": network.arguments, "batch": batch}
        return Peak(**process.ask(**question, device=device, precision=precision))


def _answer(network: str, arguments: dict[str, Any], batch: int, device: str, precision: str | None) -> dict[str, Any]:
    """Train on one image of noise, with all weights zero: their values change no buffer."""
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
    work = sum(device.scratch_bytes for device in parameters.devices)
    pools = [device.held for device in {device.name: device for device in parameters.devices}.values()]
    held = [pool for pool in pools if pool is not None]
    return {
        "resident": _peak() if len(held) < len(pools) else sum(held),
        "planned": plan.bytes + parameters.bytes + work,
        "interpreter": interpreter,
    }


def _peak() -> int | None:
    """Return the peak resident memory of this process in bytes; None where Python cannot ask for it (Windows).

    On Linux `ru_maxrss` is inherited from the parent process, so VmHWM of /proc is read there.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    try:
        import resource
    except ModuleNotFoundError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    serve(_answer)
