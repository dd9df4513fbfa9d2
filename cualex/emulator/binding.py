"""The emulated machine from Python: memory of devices, and launches; what goes wrong in a kernel is an exception."""

import ctypes
import re
import subprocess
import weakref
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from cualex.emulator import build

ORDERS = {"ascending": 0, "descending": 1}
RANDOM = 2


class EmulationError(Exception):
    """Report what a kernel does wrong: what, where in memory, and at which line of which file."""


class Extent(ctypes.Structure):
    """Three unsigned numbers x, y, z."""

    _fields_ = [(name, ctypes.c_uint) for name in "xyz"]


class Total(ctypes.Structure):
    """The struct Total of requests.cpp."""

    _fields_ = [
        ("code", ctypes.c_void_p),
        ("in_shared", ctypes.c_int),
        ("write", ctypes.c_int),
        ("requests", ctypes.c_uint64),
        ("cost", ctypes.c_uint64),
        ("ideal", ctypes.c_uint64),
    ]


class Launched(ctypes.Structure):
    """The struct Launch of state.h."""

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
        ("own", ctypes.c_void_p),
    ]


class Own(ctypes.Structure):
    """The struct Own of state.h."""

    _fields_ = [
        ("fixed", ctypes.c_void_p),
        ("fixed_bytes", ctypes.c_size_t),
        ("dynamic", ctypes.c_void_p),
        ("begin", ctypes.c_void_p),
        ("end", ctypes.c_void_p),
        ("steps", ctypes.c_uint64),
        ("guards", ctypes.POINTER(ctypes.c_uint32)),
        ("guard_count", ctypes.c_size_t),
    ]


@dataclass(frozen=True)
class Fault:
    """One thing that a kernel does wrong: what the machine says, and where in the code; of a race also the other."""

    text: str
    code: int | None
    other: int | None = None
    ends: bool = False  # the launch; without a text what else was found says why


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
    library.emulator_finding.argtypes = [ctypes.POINTER(ctypes.c_void_p)] * 2
    library.emulator_mark_empty.argtypes = [ctypes.c_void_p]
    library.emulator_printed.restype = ctypes.c_char_p
    library.emulator_find_own.argtypes = [ctypes.c_void_p, ctypes.POINTER(Own)]
    library.emulator_requests.restype = ctypes.c_bool
    library.emulator_requests.argtypes = [ctypes.POINTER(Total)]
    return library


def order_of(schedule: str | int) -> int:
    """Return the number of a schedule's order."""
    return ORDERS[schedule] if isinstance(schedule, str) else RANDOM


_described: dict[int, str] = {}  # arrays that are alive, by their numbers


def allocate(device: int, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
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
    return np.frombuffer(memoryview(memory), dtype, count).reshape(shape)


def _free(start: int, number: int) -> None:
    machine().emulator_free(start)
    del _described[number]


def launch_faults(wanted: Launched, schedule: str | int) -> list[Fault]:
    """Run a launch, and return what its kernel does wrong."""
    code, other = ctypes.c_void_p(), ctypes.c_void_p()
    seed = 0 if isinstance(schedule, str) else schedule
    ended = machine().emulator_launch(ctypes.byref(wanted), seed, ctypes.byref(code))
    faults = [] if ended is None else [Fault(ended.decode(), code.value, ends=True)]
    while wanted.checked and (found := machine().emulator_finding(ctypes.byref(code), ctypes.byref(other))) is not None:
        faults.append(Fault(found.decode(), code.value, other.value))
    return faults


def request_totals() -> list[Total]:
    """Return the totals of the last launch that counted."""
    totals = []
    while machine().emulator_requests(ctypes.byref(total := Total())):
        totals.append(total)
    return totals


def with_arrays(text: str, names: dict[int, str]) -> str:
    """Return what the machine says with arrays described, and by the names of arguments where they are some."""

    def describe(found: re.Match) -> str:
        number = int(found.group(1))
        described = _described.get(number, "an array that is gone")
        return f"{names[number]} ({described})" if number in names else described

    return re.sub(r"\barray (\d+)", describe, text)


def frames_of(path: Path, codes: list[int | None]) -> list[list[str]]:
    """Return for each address of a library's code its "file:line", and then those that it is inlined in.

    Of an address that is not in this library, but in the machine's, nothing is known.
    """
    mapped = rf"^([0-9a-f]+)-([0-9a-f]+) .* {re.escape(str(path))}$"
    found = re.findall(mapped, Path("/proc/self/maps").read_text(), re.MULTILINE)
    start, end = min(int(first, 16) for first, _ in found), max(int(last, 16) for _, last in found)
    offsets = [hex(code - start - 1) if code and start < code <= end else "" for code in codes]
    words = ["addr2line", "-a", "-i", "-e", str(path), *filter(None, offsets)]
    listed = subprocess.run(words, capture_output=True, text=True).stdout if any(offsets) else ""
    each = iter(re.split(r"^0x", listed, flags=re.M)[1:])
    known = [next(each).split("\n")[1:] if offset else [] for offset in offsets]
    return [[re.sub(r" \(.*", "", frame.rpartition("/")[2]) for frame in frames] for frames in known]
