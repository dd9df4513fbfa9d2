"""Test kernels at their first use on a type of GPU, in the shapes of the plan that is about to use them.

Kernels are specialised by -D, and compiled for one architecture: that one ran elsewhere proves little. So each kernel
without a record (records.py) runs once on the arrays of its plan, filled with small integers (trial.py), and some
hundred of its outputs, those of the first and the last block among them, are compared with what its formula gives on
the CPU (gemms.py, maps.py, normalisation.py, parameters.py: NumPy in float64, nothing of the engines). What the arrays
held before is put back, unless nothing will read it.

What fails is not used again: the device notes it (devices/fallbacks.py), and gemms are launched on FFMA in place of
tensor cores. A kernel that nothing can replace ends the program. A self-test that cannot be completed ends nothing.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cualex.devices.runtime import Array, Runtime
from cualex.devices.self_test import gemms, maps, normalisation, parameters
from cualex.devices.self_test.records import Record, Records
from cualex.devices.self_test.trial import Trial, address, restore, save
from cualex.errors import DeviceError
from cualex.kernels import Kernel, Launch, assemble, names
from cualex.kernels.binaries import OPTIONS, compiler_version

SECONDS = 10.0  # that a process may spend, besides compiling
LOG = logging.getLogger("cualex")  # goes to stderr, unless a program that uses logging says where
REFERENCES: Mapping[str, Callable[[Trial], None]] = {
    name: getattr(module, name)
    for module in (gemms, maps, normalisation, parameters)
    for name in names()
    if hasattr(module, name)
}
DRIVER = Path("/proc/driver/nvidia/version")


class SelfTest:
    """The self-tests of one runtime; `conditions` are those of a GPU's results, by its index."""

    def __init__(
        self,
        runtime: Runtime,
        folder: Path,
        conditions: Callable[[int], Mapping[str, str]],
        seconds: float = SECONDS,
    ) -> None:
        """Keep results in a folder."""
        self.runtime, self.folder, self.spent, self._seconds = runtime, folder, 0.0, seconds
        self._conditions, self._kept = conditions, dict[str, Records]()
        self._said: set[str] = set()

    def records(self, index: int) -> Records:
        """Return the results for a GPU's type; equal GPUs share them."""
        made = Records(self.folder, self._conditions(index))
        return self._kept.setdefault(made.path.name, made)

    def kernels(self, device: Any, launches: Sequence[Launch], disposable: Sequence[Array]) -> list[Launch]:
        """Test what has no record yet; return the launches of kernels that failed, all of which can be replaced.

        Raise DeviceError for one that cannot.
        """
        try:
            records = self.records(device.index)
            wanted = {_key(launch): launch for launch in launches if launch.kernel.name in REFERENCES}
            new = {key: launch for key, launch in wanted.items() if records.find(key) is None}
        except Exception as error:
            self.incomplete(device, error)
            return []
        if new:
            self._test(device, new, records, disposable)
        results = [(launch, records.find(key)) for key, launch in wanted.items()]
        failed = [(launch, result.why) for launch, result in results if result and not result.passed]
        for launch, why in failed:
            if not _replaceable(launch):
                raise DeviceError(
                    f"{describe(launch)} gives wrong results on {device.title} ({device.name}): "
                    f"{why}. Nothing can take its place. Use --device cpu; CUALEX_SELF_TEST=0 would "
                    f"use it all the same; `cualex doctor` lists all results."
                )
        if failed:
            self.say(
                f"Self-test on {device.title} ({device.name}): {len(failed)} of {len(wanted)} kernels give wrong "
                f"results on tensor cores and run on FFMA, slower and with other bits: "
                f"{', '.join(sorted({launch.kernel.name for launch, _ in failed}))} ({failed[0][1]})."
            )
        return [launch for launch, _ in failed]

    def _test(self, device: Any, new: Mapping[str, Launch], records: Records, disposable: Sequence[Array]) -> None:
        """Test launches while there is time, those on tensor cores first; keep the results."""
        found: dict[str, Record] = {}
        spans = [_span(array) for array in disposable]
        start = time.monotonic()
        try:
            self.runtime.synchronize()  # what is in flight may use the same memory
            for key, launch in sorted(new.items(), key=lambda item: not _replaceable(item[1])):
                if self.spent + time.monotonic() - start > self._seconds:
                    left = len(new) - len(found)
                    self.say(
                        f"Self-test on {device.title} ({device.name}): {self._seconds:.0f} s are over; {left} kernels "
                        "are used untested, and tested at the next start."
                    )
                    break
                found[key] = Record.now(describe(launch), self._trial(device, launch, spans))
        except DeviceError:
            raise
        except Exception as error:
            self.incomplete(device, error)
        finally:
            self.spent += time.monotonic() - start
            records.add(found)

    def _trial(self, device: Any, launch: Launch, disposable: Sequence[tuple[int, int]]) -> str:
        """Run one launch on trial; return what is wrong with it, or an empty text."""
        runtime, stream = self.runtime, device.stream
        trial = Trial(launch)
        REFERENCES[launch.kernel.name](trial)
        kept = [array for array in trial.touched if not _within(_span(array), disposable)]
        before = [save(runtime, stream, array) for array in kept]
        try:
            trial.fill(runtime, stream)
            runtime.synchronize()
            try:
                runtime.launch(stream, launch)
                runtime.synchronize()
            except Exception as error:
                return self._failed(device, launch, f"{type(error).__name__}: {error}")
            return trial.fault(runtime, stream)
        except DeviceError:
            kept, before = [], []  # the GPU is lost
            raise
        finally:
            for array, values in zip(kept, before, strict=True):
                self._put_back(device, array, values)

    def _put_back(self, device: Any, array: Array, values: np.ndarray) -> None:
        """Give an array what it held; raise DeviceError where that fails: weights would be lost."""
        try:
            restore(self.runtime, device.stream, array, values)
            self.runtime.synchronize()  # before it is loaded anew on another stream
        except Exception as error:
            raise DeviceError(
                f"{device.title} ({device.name}) fails in the self-test: {type(error).__name__}: {error}. Start again; "
                "CUALEX_SELF_TEST=0 leaves the test out."
            ) from error

    def _failed(self, device: Any, launch: Launch, why: str) -> str:
        """Return why a launch failed; where the GPU is lost to it, record that for the next start and raise."""
        try:
            self.runtime.synchronize()
        except Exception as error:  # after such a failure every call fails
            self.records(device.index).add({_key(launch): Record.now(describe(launch), why)})
            raise DeviceError(
                f"{describe(launch)} fails on {device.title} ({device.name}): {why}. It will not be used there again: "
                "start once more."
            ) from error
        return why

    def incomplete(self, device: Any, error: Exception) -> None:
        """Say that a self-test could not be completed."""
        self.say(
            f"The self-test on {device.title} ({device.name}) could not be completed: {type(error).__name__}: {error}. "
            "What is not tested is used all the same."
        )

    def say(self, line: str) -> None:
        """Say a line, once."""
        if line not in self._said:
            self._said.add(line)
            LOG.warning(line)


def describe(launch: Launch) -> str:
    """Return what a record names: the kernel, and how its gemm is computed."""
    constants = launch.constants
    how = [str(constants["PRECISION"]).lower()] if "PRECISION" in constants else []
    if "TENSOR_CORES" in constants:
        tile = "x".join(str(constants[f"TILE_{side}"]) for side in ("ROWS", "COLUMNS", "DEPTH"))
        how += ["tensor cores" if constants["TENSOR_CORES"] else "FFMA", tile]
    return " ".join([launch.kernel.name, *how])


def conditions(runtime: Any, index: int) -> dict[str, str]:
    """Return what a result on a GPU of CuPy holds for: its type, the driver, CuPy, the compiler."""
    driver = str(runtime.cupy.cuda.runtime.driverGetVersion())
    if DRIVER.exists():
        driver += f" {DRIVER.read_text().splitlines()[0]}"
    return {
        "gpu": runtime.title(index),
        "architecture": f"sm_{runtime.architecture(index)}",
        "driver": driver,
        "cupy": runtime.cupy.__version__,
        "nvrtc": ".".join(map(str, compiler_version())),
    }


def _key(launch: Launch) -> str:
    """Return the hash of all that a launch is: text, constants, options, grid, and which arguments are null."""
    null = [argument is None for argument in launch.arguments]
    rest = launch.defines, OPTIONS, launch.grid, launch.block, launch.shared, null
    return hashlib.sha256(f"{_text(launch.kernel)}{rest}".encode()).hexdigest()[:32]


@cache
def _text(kernel: Kernel) -> str:
    return assemble(kernel)


def _replaceable(launch: Launch) -> bool:
    """Return whether there is something to run in place of a launch."""
    return bool(launch.constants.get("TENSOR_CORES"))


def _span(array: Array) -> tuple[int, int]:
    """Return where an array begins and ends."""
    start = address(array)
    return start, start + array.nbytes


def _within(span: tuple[int, int], others: Sequence[tuple[int, int]]) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in others)
