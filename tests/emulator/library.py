"""One kernel of the network with its choices, ready to run in the emulator."""

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cualex.emulator import binding
from cualex.kernels import Kernel, Launch
from cualex.kernels.source import SIGNATURE
from tests.emulator import programs


class Library:
    """Hold one kernel with its choices, ready to run."""

    def __init__(self, program: programs.Program):
        """Load it; build it where that has not been done."""
        binding.machine()  # the kernel's library finds it by its name
        self.kernel: Kernel = program.kernel
        self.checked = program.checked
        self.path: Path = programs.path(program)
        parts = re.findall(SIGNATURE, program.text)[0][1].split(",")
        names = [argument.name for argument in self.kernel.arguments]
        self.arguments = [(name, "const" in part) for name, part in zip(names, parts, strict=True)]
        library = ctypes.CDLL(str(self.path))
        self.entry = ctypes.cast(library.cualex_enter, ctypes.c_void_p)
        self.threads = ctypes.c_int.in_dll(library, "cualex_threads").value
        count = len(self.kernel.dimensions) + len(self.kernel.reals)
        self.constants = (ctypes.c_uint32 * count).in_dll(library, "cualex_constants")

    def run(self, launch: Launch, device: int, schedule: str | int, count: bool = False) -> None:
        """Run all threads of a launch; `schedule` is "ascending", "descending" or a seed.

        With `count`, `requests` tells what its requests to memory cost. Raise EmulationError when the kernel does
        what it must not.
        """
        if launch.block > self.threads:
            raise binding.EmulationError(
                f"{self.kernel.name}: {launch.block} threads a block, and its bound is {self.threads}"
            )
        self._set_constants(launch)
        held, names = self._arguments(launch)
        pointers = (ctypes.c_void_p * len(held))(*(ctypes.addressof(value) for value in held))
        wanted = binding.Launched(
            kernel=self.entry,
            arguments=ctypes.addressof(pointers),
            grid=binding.Extent(*launch.grid),
            block=binding.Extent(launch.block, 1, 1),
            shared_bytes=launch.shared,
            order=binding.order_of(schedule),
            checked=self.checked,
            counted=count,
            device=device,
        )
        if faults := binding.launch_faults(wanted, schedule):
            raise binding.EmulationError("\n".join(self._described(faults, names)))

    def requests(self) -> list[tuple[str, binding.Total]]:
        """Return the totals of the last launch that counted, each with its line."""
        totals = binding.request_totals()
        return list(zip(self.lines([total.code for total in totals]), totals, strict=True))

    def _set_constants(self, launch: Launch) -> None:
        kernel, given = self.kernel, launch.constants
        whole = np.array([given[name] for name in kernel.dimensions], np.int32)
        reals = np.array([given[name] for name in kernel.reals], np.float32)
        self.constants[:] = [*whole.view(np.uint32).tolist(), *reals.view(np.uint32).tolist()]

    def _arguments(self, launch: Launch) -> tuple[list, dict[int, str]]:
        """Return the arguments as ctypes values, and the names of the arrays by their numbers."""
        held, names = [], {}
        for argument, given in zip(self.kernel.arguments, launch.arguments, strict=True):
            if not argument.pointer:
                held.append(np.ctypeslib.as_ctypes_type(given.dtype)(given.item()))
                continue
            address = None if given is None else given.ctypes.data
            held.append(ctypes.c_void_p(address))
            if address is not None:
                number = binding.machine().emulator_array_at(address)
                if not number:
                    raise binding.EmulationError(f"{self.kernel.name}: {argument.name} is not in a device's memory")
                names[number] = argument.name
        return held, names

    def _described(self, faults: list[binding.Fault], names: dict[int, str]) -> Iterator[str]:
        """Say what is wrong, with arrays by the names of the arguments, and the line."""
        lines = self.lines([fault.code for fault in faults])
        for fault, line in zip(faults, lines, strict=True):
            text = binding.with_arrays(fault.text, names)
            yield f"{self.kernel.name}: {text}{' at ' if line else ''}{line}"

    def lines(self, codes: list) -> list[str]:
        """Say for each address which line of which file it comes from: the .cu before its headers."""
        return [_own_line(frames) for frames in binding.frames_of(self.path, codes)]


def _own_line(frames: list[str]) -> str:
    """Choose from a place and those that it is inlined in: the innermost of the kernel's files, and its .cu's."""
    own = [frame for frame in frames if re.match(r"\w+\.cuh?:[1-9]", frame)]
    if not own:
        return ""
    outer = next((frame for frame in own if ".cu:" in frame), own[-1])
    return own[0] if own[0] == outer else f"{own[0]} (from {outer})"
