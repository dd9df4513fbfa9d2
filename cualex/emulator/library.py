"""The emulated machine from Python: memory of devices, and launches; what goes wrong in a kernel is an exception."""

import ctypes
import re
import subprocess
import weakref
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from cualex.emulator import build
from cualex.kernels import Kernel, Launch
from cualex.kernels.source import SIGNATURE

ORDERS = {"ascending": 0, "descending": 1}
RANDOM = 2


class EmulationError(Exception):
    """Report what a kernel does wrong: what, where in memory, and at which line of which file."""


class Extent(ctypes.Structure):
    """Be three unsigned numbers x, y, z."""

    _fields_ = [(name, ctypes.c_uint) for name in "xyz"]


class Total(ctypes.Structure):
    """Be struct Total of requests.cpp."""

    _fields_ = [
        ("code", ctypes.c_void_p),
        ("in_shared", ctypes.c_int),
        ("write", ctypes.c_int),
        ("requests", ctypes.c_uint64),
        ("cost", ctypes.c_uint64),
        ("ideal", ctypes.c_uint64),
    ]


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
        ("counted", ctypes.c_bool),
        ("device", ctypes.c_int),
    ]


@cache
def machine() -> ctypes.PyDLL:
    """Load the emulated machine. It has one state: no other thread of Python runs while it does (PyDLL)."""
    library = ctypes.PyDLL(str(build.machine()))
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
    library.emulator_finding.restype = ctypes.c_char_p
    library.emulator_finding.argtypes = [ctypes.POINTER(ctypes.c_void_p)]
    library.emulator_requests.restype = ctypes.c_bool
    library.emulator_requests.argtypes = [ctypes.POINTER(Total)]
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
    weakref.finalize(memory, _free, start, number.value).atexit = False
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
        parts = re.search(SIGNATURE, program.text).group(2).split(",")
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
            raise EmulationError(f"{self.kernel.name}: {launch.block} threads a block, and its bound is {self.threads}")
        self._set_constants(launch)
        held, names = self._arguments(launch)
        pointers = (ctypes.c_void_p * len(held))(*(ctypes.addressof(value) for value in held))
        wanted = Launched(
            kernel=self.entry,
            arguments=ctypes.addressof(pointers),
            grid=Extent(*launch.grid),
            block=Extent(launch.block, 1, 1),
            shared_bytes=launch.shared,
            order=ORDERS.get(schedule, RANDOM),
            checked=self.checked,
            counted=count,
            device=device,
        )
        seed = 0 if schedule in ORDERS else schedule
        code = ctypes.c_void_p()
        fault = machine().emulator_launch(ctypes.byref(wanted), seed, ctypes.byref(code))
        faults = [] if fault is None else [(fault, code.value)]
        while self.checked and (found := machine().emulator_finding(ctypes.byref(code))) is not None:
            faults.append((found, code.value))
        if faults:
            raise EmulationError("\n".join(self._described(faults, names)))

    def requests(self) -> list[tuple[str, Total]]:
        """Return the totals of the last launch that counted, each with its line."""
        totals = []
        while machine().emulator_requests(ctypes.byref(total := Total())):
            totals.append(total)
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
                number = machine().emulator_array_at(address)
                if not number:
                    raise EmulationError(f"{self.kernel.name}: {argument.name} is not in a device's memory")
                names[number] = argument.name
        return held, names

    def _described(self, faults: list[tuple[bytes, int | None]], names: dict[int, str]) -> Iterator[str]:
        """Say what is wrong, with arrays by the names of the arguments, and the line."""

        def describe(found: re.Match) -> str:
            number = int(found.group(1))
            described = _described.get(number, "an array that is gone")
            return f"{names[number]} ({described})" if number in names else described

        lines = self.lines([code for _, code in faults])
        for (fault, _), line in zip(faults, lines, strict=True):
            text = re.sub(r"\barray (\d+)", describe, fault.decode())
            yield f"{self.kernel.name}: {text}{' at ' if line else ''}{line}"

    def lines(self, codes: list) -> list[str]:
        """Say for each address which line of which file it comes from: the .cu before its headers.

        Of an address that is not in this library, but in the machine's, nothing is known.
        """
        mapped = rf"^([0-9a-f]+)-([0-9a-f]+) .* {re.escape(str(self.path))}$"
        found = re.findall(mapped, Path("/proc/self/maps").read_text(), re.MULTILINE)
        start, end = min(int(first, 16) for first, _ in found), max(int(last, 16) for _, last in found)
        own = [start < code <= end if code else False for code in codes]
        offsets = [hex(code - start - 1) for code, here in zip(codes, own, strict=True) if here]
        words = ["addr2line", "-a", "-i", "-e", str(self.path), *offsets]
        listed = subprocess.run(words, capture_output=True, text=True).stdout if offsets else ""
        each = iter(re.split(r"^0x", listed, flags=re.M)[1:])
        return [_own_line(next(each).split("\n")[1:]) if here else "" for here in own]


def _own_line(frames: list[str]) -> str:
    """Choose from a place and those that it is inlined in: the innermost of the kernel's files, and its .cu's."""
    known = [re.sub(r" \(.*", "", frame.rpartition("/")[2]) for frame in frames]
    own = [frame for frame in known if re.match(r"\w+\.cuh?:[1-9]", frame)]
    if not own:
        return ""
    outer = next((frame for frame in own if ".cu:" in frame), own[-1])
    return own[0] if own[0] == outer else f"{own[0]} (from {outer})"
