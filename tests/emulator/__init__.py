"""Run the kernels of kernels/*.cu on the CPU, thread by thread, as hostile as CUDA allows. Only g++ is needed.

    runtime = EmulatedRuntime(devices=2)                # a runtime of the CUDA engine: cualex/devices/runtime.py
    device = CudaDevice("cuda:0", runtime, 0, "tf32")   # device.launch(...) runs a .cu here

Options: `schedule` "ascending", "descending" or a seed: which thread and block goes first; `checked=True` watches
every access (races, uninitialised shared memory, bounds, alignment), about three times slower; `streams` "eager",
"late" or "random" with `seed`: when what is queued runs (streams.py); `events=True`: work on two streams that no event
brings into order is an error (hazards.py), but for arguments in `partly`, as "crop.pictures", of which a kernel
touches a part that it chooses itself; `lint=True` fills `runtime.requests`: bank conflicts and sectors by line.

A kernel that has no file: `run_text(runtime, TEXT, array, number, grid=, block=, shared=, **constants)` runs it and
returns its arrays; `launch_text` only describes the launch. Arrays are NumPy's, `runtime.allocate(0, shape, dtype)`,
full of 0xFF at first; look into them after `runtime.synchronize()`, and write them freely before a launch.
EmulationError says what a kernel does wrong, BuildError what g++ says. Without g++, `EmulatedRuntime` cannot run:
tests take the class from the fixture `emulated`, which skips them (or ask `available()`).
"""

from cualex.emulator.binding import EmulationError
from cualex.emulator.build import BuildError, compiler
from tests.emulator.hazards import HazardError
from tests.emulator.runtime import EmulatedRuntime
from tests.emulator.texts import launch_text, run_text

__all__ = [
    "BuildError",
    "EmulatedRuntime",
    "EmulationError",
    "HazardError",
    "available",
    "launch_text",
    "run_text",
]


def available() -> bool:
    """Say whether it can run here."""
    return bool(compiler())
