"""Test kernels at their first use on a type of GPU, in the shapes of the plan that is about to use them.

Kernels are specialised by -D, and compiled for one architecture: that one ran elsewhere proves little. So each kernel
without a record (records.py) runs once on the arrays of its plan, filled with small integers (trial.py), and some
hundred of its outputs, those of the first and the last block among them, are compared with what its formula gives on
the CPU (gemms.py, maps.py, loss.py, normalisation.py, parameters.py: NumPy in float64, nothing of the engines). What
the arrays held is put back, unless nothing will read it. CUDA graphs are compared with their kernels one by one
(graphs.py), copies between GPUs with copies through the host (copies.py).

What fails is not used again: the device notes it (devices/fallbacks.py), and gemms are launched on mma.sync in place of
wgmma, on FFMA in place of tensor cores, steps without a graph, copies through the host. A kernel that nothing can
replace ends the program. A self-test that cannot be completed ends nothing; kernels by wgmma then wait for one that is.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cualex.devices.fallbacks import Touched, needs_proof
from cualex.devices.runtime import Array, Runtime
from cualex.devices.self_test.copies import compare_copies
from cualex.devices.self_test.graphs import after_first, compare
from cualex.devices.self_test.launches import REFERENCES, Lost, describe, fault, key_of, replaceable
from cualex.devices.self_test.records import Record, Records
from cualex.errors import DeviceError
from cualex.kernels import Launch
from cualex.kernels.binaries import compiler_version

SECONDS = 10.0  # that a process may spend, besides compiling
LOG = logging.getLogger("cualex")  # goes to stderr, unless a program that uses logging says where
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
        self._conditions, self._kept = conditions, dict[int, Records]()
        self._said: set[str] = set()

    def records(self, index: int) -> Records:
        """Return the results for a GPU's type; equal GPUs share them."""
        if index not in self._kept:
            made = Records(self.folder, self._conditions(index))
            self._kept[index] = next((each for each in self._kept.values() if each.path == made.path), made)
        return self._kept[index]

    def kernels(self, device: Any, launches: Sequence[Launch], disposable: Sequence[Array]) -> list[Launch]:
        """Test what has no record yet; return the launches of kernels that failed, all of which can be replaced.

        Those that need proof (fallbacks.py) are also returned where there is still no record.

        Raise DeviceError for one that cannot.
        """
        try:
            records = self.records(device.index)
            wanted = {key_of(launch): launch for launch in launches if launch.kernel.name in REFERENCES}
            new = {key: launch for key, launch in wanted.items() if records.find(key) is None}
        except Exception as error:
            self.incomplete(device, error, launches)
            return [launch for launch in launches if needs_proof(launch)]
        if new:
            self._test(device, new, records, disposable)
        results = [(launch, records.find(key)) for key, launch in wanted.items()]
        unproven = [launch for launch, result in results if result is None and needs_proof(launch)]
        failed = [(launch, result.why) for launch, result in results if result and not result.passed]
        for launch, why in failed:
            if not replaceable(launch):
                raise DeviceError(
                    f"{describe(launch)} gives wrong results on {device.title} ({device.name}): "
                    f"{why}. Nothing can take its place. Use another --precision, or --device cpu; CUALEX_SELF_TEST=0 "
                    "would use it all the same; `cualex doctor` lists all results."
                )
        for how, other, proved in (("wgmma", "mma.sync, perhaps", True), ("tensor cores", "FFMA, slower and", False)):
            own = [(launch.kernel.name, why) for launch, why in failed if needs_proof(launch) == proved]
            if own:
                self.say(
                    f"Self-test on {device.title} ({device.name}): {len(own)} of {len(wanted)} kernels give wrong "
                    f"results on {how} and run on {other} with other bits: "
                    f"{', '.join(sorted({name for name, _ in own}))} ({own[0][1]})."
                )
        return [*(launch for launch, _ in failed), *unproven]

    def _test(self, device: Any, new: Mapping[str, Launch], records: Records, disposable: Sequence[Array]) -> None:
        """Test launches while there is time, those that need proof first, then tensor cores; keep the results."""
        found: dict[str, Record] = {}
        start = time.monotonic()
        try:
            self.runtime.synchronize()  # what is in flight may use the same memory
            for key, launch in sorted(
                new.items(), key=lambda item: (not needs_proof(item[1]), not replaceable(item[1]))
            ):
                left = [other for key, other in new.items() if key not in found]
                if self._late(device, time.monotonic() - start, _untested(left)):
                    break
                try:
                    found[key] = Record.now(describe(launch), self.trial(device, launch, disposable))
                except Lost as error:
                    found[key] = Record.now(describe(launch), str(error))
                    raise
                except DeviceError:
                    raise
                except Exception as error:  # its arrays are as they were
                    self.incomplete(device, error, [launch])
        finally:
            self.spent += time.monotonic() - start
            records.add(found)

    def trial(self, device: Any, launch: Launch, disposable: Sequence[Array]) -> str:
        """Run one launch on trial; return what is wrong with it, or an empty text."""
        return fault(self.runtime, device, launch, disposable)

    def graph(
        self, devices: Sequence[Any], work: Callable[[], None], graph: Callable[[], None], touched: Touched
    ) -> Callable[[], None] | None:
        """Compare a captured graph with the work that it was captured from, unless that was done; None: they differ.

        The graph's run is the last: the work is done, and the first call of what is returned does nothing.
        """
        first, ran = devices[0], False
        places = [device.index for device in devices]
        key = hashlib.sha256(f"graph {places} {touched.what}".encode()).hexdigest()[:32]
        found, start = None, time.monotonic()
        try:
            records = self.records(first.index)
            if records.find(key) is None and not self._late(first, 0.0, "a CUDA graph is used untested"):
                why = compare(self.runtime, devices, work, graph, touched)
                ran = not why
                records.add({key: Record.now(f"graph of {touched.what.count(';') + 1} steps", why)})
            found = records.find(key)
        except DeviceError:
            raise
        except Exception as error:  # the state is brought back
            self.incomplete(first, error)
        self.spent += time.monotonic() - start
        if found and not found.passed:
            self.say(
                f"Self-test on {first.title} ({first.name}): a CUDA graph is wrong ({found.why}); its steps run kernel "
                "by kernel, slower."
            )
            return None
        return after_first(graph) if ran else graph

    def copy(self, home: Any, device: Any, source: Array, target: Array) -> bool:
        """Compare a copy from one GPU to another with one through the host; return whether it is right.

        Each process does: settings of the machine decide, which no version tells.
        """
        start, what = time.monotonic(), f"copy from {home.name} to {device.name}"
        try:
            why = compare_copies(self.runtime, home, device, source, target)
            self.records(device.index).add({what: Record.now(what, why)})
        except DeviceError:
            raise
        except Exception as error:  # the source is as it was
            self.incomplete(device, error)
            return True
        self.spent += time.monotonic() - start
        if why:
            self.say(f"Self-test: copies from {home.name} to {device.name} {why}; they go through the host, slower.")
        return not why

    def _late(self, device: Any, running: float, left: str) -> bool:
        """Return whether the time is over that a process may spend, and say what is left."""
        if self.spent + running <= self._seconds:
            return False
        self.say(
            f"Self-test on {device.title} ({device.name}): {self._seconds:.0f} s are over; {left}. The next start "
            "tests what is left."
        )
        return True

    def incomplete(self, device: Any, error: Exception, launches: Sequence[Launch] = ()) -> None:
        """Say that a self-test could not be completed, of these launches among others."""
        unused = ", but for wgmma, in whose place mma.sync runs" if any(map(needs_proof, launches)) else ""
        self.say(
            f"The self-test on {device.title} ({device.name}) could not be completed: "
            f"{': '.join(filter(None, (type(error).__name__, str(error))))}. What is not tested is used all the same"
            f"{unused}."
        )

    def say(self, line: str) -> None:
        """Say a line, once."""
        if line not in self._said:
            self._said.add(line)
            LOG.warning(line)


def _untested(launches: Sequence[Launch]) -> str:
    """Say what becomes of launches that are not tested yet."""
    waiting = sum(map(needs_proof, launches))
    used = len(launches) - waiting
    said = [f"{waiting} by wgmma wait, and run on mma.sync"] if waiting else []
    said += [f"{used} kernel{'s are' if used > 1 else ' is'} used untested"] if used else []
    return "; ".join(said)


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
