"""The emulated machine from Python: memory of devices, and launches; what goes wrong in a kernel is an exception."""

import ctypes
import re
import subprocess
import weakref
from functools import cache
from pathlib import Path

import numpy as np

from cualex.kernels import Kernel, Launch
from emulator import build

ORDERS = {"ascending": 0, "descending": 1}
RANDOM = 2


class EmulationError(Exception):
    """Report what a kernel does wrong: what, where in memory, and at which line of which file."""


class Extent(ctypes.Structure):
    """Be three unsigned numbers x, y, z."""

    _fields_ = [(name, ctypes.c_uint) for name in "xyz"]


class Launched(ctypes.Structure):
    """Be struct Launch of state.h."""

    _fields_ = [
        ("kernel", ctypes.c_void_p),
        ("arguments", ctypes.c_void_p),
        ("grid", Extent),
        ("block", Extent),
        ("shared_bytes", ctypes.c_size_t),
        ("order", ctypes.c_int),
        ("checked", ctypes.c_bool),
        ("device", ctypes.c_int),
    ]


@cache
def machine() -> ctypes.CDLL:
    """Load the emulated machine."""
    library = ctypes.CDLL(str(build.machine()))
    library.emulator_allocate.restype = ctypes.c_void_p
    library.emulator_allocate.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)]
    library.emulator_free.argtypes = [ctypes.c_void_p]
    library.emulator_array_at.argtypes = [ctypes.c_void_p]
    library.emulator_launch.restype = ctypes.c_char_p
    library.emulator_launch.argtypes = [
        ctypes.POINTER(Launched),
        ctypes.c_uint64,
        ctypes.POINTER(ctypes.c_void_p),
    ]
    return library


_described: dict[int, str] = {}  # arrays that are alive, by their numbers


def allocate(device: int, shape: tuple[int, ...], dtype) -> np.ndarray:
    """Return an array in the memory of a device, all its bytes 0xFF, a page that cannot be touched behind its end."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    number = ctypes.c_int()
    start = machine().emulator_allocate(device, count * dtype.itemsize, ctypes.byref(number))
    if start is None:
        raise MemoryError(f"device {device}: no memory for {dtype} {shape}")
    memory = (ctypes.c_char * (count * dtype.itemsize)).from_address(start)
    _described[number.value] = f"{dtype} {tuple(shape)} of device {device}"
    weakref.finalize(memory, _free, start, number.value)
    return np.frombuffer(memory, dtype, count).reshape(shape)


def _free(start: int, number: int) -> None:
    machine().emulator_free(start)
    del _described[number]


class Library:
    """Hold one kernel with its choices, ready to run."""

    def __init__(self, program: build.Program):
        """Load it; build it where that has not been done."""
        machine()  # the kernel's library finds it by its name
        self.kernel: Kernel = program.kernel
        self.checked = program.checked
        self.path: Path = build.path(program)
        library = ctypes.CDLL(str(self.path))
        self.entry = ctypes.cast(library.cualex_enter, ctypes.c_void_p)
        self.threads = ctypes.c_int.in_dll(library, "cualex_threads").value
        count = len(self.kernel.dimensions) + len(self.kernel.reals)
        self.constants = (ctypes.c_uint32 * count).in_dll(library, "cualex_constants")

    def run(self, launch: Launch, device: int, schedule: str | int) -> None:
        """Run all threads of a launch; `schedule` is "ascending", "descending" or a seed.

        Raise EmulationError when the kernel does what it must not.
        """
        kernel = self.kernel
        if launch.block > self.threads:
            raise EmulationError(
                f"{kernel.name}: {launch.block} threads a block, and its bound is {self.threads}"
            )
        self._set_constants(launch)
        held, numbers = self._arguments(launch)
        pointers = (ctypes.c_void_p * len(held))(*(ctypes.addressof(value) for value in held))
        order = ORDERS.get(schedule, RANDOM)
        wanted = Launched(
            self.entry,
            ctypes.addressof(pointers),
            Extent(*launch.grid),
            Extent(launch.block, 1, 1),
            launch.shared,
            order,
            self.checked,
            device,
        )
        code = ctypes.c_void_p()
        seed = schedule if order == RANDOM else 0
        fault = machine().emulator_launch(ctypes.byref(wanted), seed, ctypes.byref(code))
        if fault is not None:
            self._raise(fault.decode(), [code.value], numbers)

    def _set_constants(self, launch: Launch) -> None:
        kernel, given = self.kernel, launch.constants
        whole = np.array([given[name] for name in kernel.dimensions], np.int32)
        reals = np.array([given[name] for name in kernel.reals], np.float32)
        self.constants[:] = [*whole.view(np.uint32).tolist(), *reals.view(np.uint32).tolist()]

    def _arguments(self, launch: Launch) -> tuple[list, dict[int, str]]:
        """Return the arguments as ctypes values, and the names of the arrays by their numbers."""
        held, numbers = [], {}
        for argument, given in zip(self.kernel.arguments, launch.arguments, strict=True):
            if not argument.pointer:
                held.append(np.ctypeslib.as_ctypes_type(given.dtype)(given.item()))
                continue
            address = None if given is None else given.ctypes.data
            held.append(ctypes.c_void_p(address))
            if address is not None:
                number = machine().emulator_array_at(address)
                if not number:
                    raise EmulationError(f"{self.kernel.name}: {argument.name} is not in a device's memory")
                numbers[number] = argument.name
        return held, numbers

    def _raise(self, fault: str, codes: list, numbers: dict[int, str]) -> None:
        def describe(found: re.Match) -> str:
            number = int(found.group(1))
            described = _described.get(number, "an array that is gone")
            return f"{numbers[number]} ({described})" if number in numbers else described

        fault = re.sub(r"array (\d+)", describe, fault)
        lines = ", ".join(filter(None, self.lines(codes)))
        raise EmulationError(f"{self.kernel.name}: {fault}{' at ' if lines else ''}{lines}")

    def lines(self, codes: list) -> list[str]:
        """Say for each address in this library which line of which file it comes from: the .cu before its headers."""
        starts = re.findall(rf"^([0-9a-f]+)-.* {re.escape(str(self.path))}$", _mapped(), re.MULTILINE)
        start = min(int(each, 16) for each in starts)
        offsets = [hex((code or start + 1) - start - 1) for code in codes]
        words = ["addr2line", "-a", "-i", "-e", str(self.path), *offsets]
        listed = subprocess.run(words, capture_output=True, text=True).stdout
        return [_own_line(frames.split("\n")[1:]) for frames in re.split(r"^0x", listed, flags=re.M)[1:]]


def _mapped() -> str:
    return Path("/proc/self/maps").read_text()


def _own_line(frames: list[str]) -> str:
    """Choose from a place and those that it is inlined in: the .cu's, else the first of a header of the kernel's."""
    known = [re.sub(r" \(.*", "", frame.rpartition("/")[2]) for frame in frames]
    own = [frame for frame in known if re.match(r"\w+\.cuh?:[1-9]", frame)]
    whole = [frame for frame in own if ".cu:" in frame]
    if not own:
        return ""
    if whole and own[0] != whole[0]:
        return f"{own[0]} (from {whole[0]})"
    return own[0]
