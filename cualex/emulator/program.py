"""A user's kernel as a program: compiled by g++, loaded, launched on the emulated machine."""

import _ctypes
import ctypes
import errno
import os
import re
from collections.abc import Mapping

import numpy as np

from cualex.emulator import arguments, binding, build
from cualex.emulator.arguments import BF16, Type, Value
from cualex.emulator.findings import Lines, shared_variables
from cualex.emulator.report import Report
from cualex.emulator.source import Source, UserKernel
from cualex.errors import KernelError, UsageError

STATIC_SHARED, SHARED = 48 * 1024, 227 * 1024  # bytes of a block
ERROR = re.compile(r"^(?:[^\n]*/)?([^\n:/]+):(\d+):(?:\d+:)? (?:fatal )?error: ([^\n]*)", re.MULTILINE)


class Program:
    """A user's kernel, compiled and loaded."""

    def __init__(self, user: Source, kernel: UserKernel, chosen: str | None, defines: Mapping, file: str) -> None:
        """Compile it; raise KernelError with the first thing that g++ says of the user's lines."""
        self.user, self.kernel, self.file = user, kernel, file
        called = kernel.name + (chosen or "").partition("<")[1] + (chosen or "").partition("<")[2]
        flags = [*build.OWN, *(f"-D{name}={value}" for name, value in defines.items())]
        try:
            self.path = build.library("user", _with_entry(user.text, called, kernel.bound), flags)
        except build.BuildError as error:
            raise self._refused(str(error)) from None
        binding.machine()
        try:
            self.library = ctypes.CDLL(str(self.path))
        except OSError as error:
            missing = str(error).rpartition("undefined symbol: ")[2]
            raise KernelError(f"{file}: the kernel calls {missing}, which the emulator does not have.") from None
        codes = ctypes.POINTER(ctypes.c_int).in_dll(self.library, "cualex_types")
        listed = [codes[i] for i in range(len(kernel.declared))]
        self.types = arguments.types_of(kernel, listed, f"{file}:{kernel.line}")
        self.threads = ctypes.c_int.in_dll(self.library, "cualex_threads").value
        self.called = called

    def launch(
        self,
        values: list[Value],
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        shared: int,
        schedule: str | int,
        steps: int,
    ) -> Report:
        """Run it."""
        if (count := int(np.prod(block))) > self.threads:
            raise UsageError(
                f"--block: {count:,} threads, and __launch_bounds__ of {self.kernel.name} says {self.threads:,}."
            )
        entry = ctypes.cast(self.library.cualex_enter, ctypes.c_void_p)
        own = binding.Own(steps=steps)
        own.dynamic = ctypes.addressof(ctypes.c_char.in_dll(self.library, "cualex_dynamic"))
        ctypes.c_char.in_dll(self.library, "cualex_mark")  # now this thread has the variables
        binding.machine().emulator_find_own(entry, ctypes.byref(own))
        guards = [start for start, _, name in shared_variables(self.path) if name.startswith("guard variable")]
        own.guards = (ctypes.c_uint32 * max(1, len(guards)))(*guards)
        own.guard_count = len(guards)
        static = own.fixed_bytes - 1
        if static > STATIC_SHARED or static + shared > SHARED:
            raise UsageError(
                f"{static:,} bytes of __shared__ variables and {shared:,} of --shared: a block has "
                f"{STATIC_SHARED:,} of the first and {SHARED:,} together. Take less."
            )
        placed = [_placed(value) for value in values]
        held = [
            ctypes.c_void_p(None if array is None else array.ctypes.data)
            if value.type.pointer
            else (ctypes.c_char * len(value.number)).from_buffer_copy(value.number)
            for value, array in zip(values, placed, strict=True)
        ]
        pointers = (ctypes.c_void_p * max(1, len(held)))(*(ctypes.addressof(each) for each in held))
        wanted = binding.Launched(
            kernel=entry,
            arguments=ctypes.addressof(pointers),
            grid=binding.Extent(*grid),
            block=binding.Extent(*block),
            shared_bytes=shared,
            order=binding.order_of(schedule),
            checked=True,
            counted=True,
            own=ctypes.addressof(own),
        )
        faults = binding.launch_faults(wanted, schedule)
        if any(fault.text.startswith("stopped by a signal") for fault in faults):
            raise KeyboardInterrupt
        every = zip(self.kernel.arguments, self.types, placed, strict=True)
        arrays = [(name, kind, array) for name, kind, array in every if array is not None]
        numbers = {
            binding.machine().emulator_array_at(array.ctypes.data): (name, kind, array.size // kind.lanes)
            for name, kind, array in arrays
        }
        lines = Lines(self.path, self.user, self.file)
        return Report(
            kernel=self.called,
            grid=grid,
            block=block,
            static_shared=static,
            dynamic_shared=shared,
            arrays={name: _result(kind, array) for name, kind, array in arrays},
            written=tuple(name for name, kind, _ in arrays if not kind.constant),
            findings=lines.findings([fault for fault in faults if fault.text], block, numbers, steps),
            requests=lines.requests(),
            printed=binding.machine().emulator_printed().decode("utf-8", "replace"),
            complete=not any(fault.ends for fault in faults),
        )

    def close(self) -> None:
        """Unload it: the next run begins with __device__ variables as they are declared."""
        _ctypes.dlclose(self.library._handle)

    def _refused(self, said: str) -> KernelError:
        """Return the first error of g++ at a line of the user's, with that line."""
        errors = [each.groups() for each in ERROR.finditer(said)]
        own = [each for each in errors if each[0] in self.user.files] or errors
        if not own:
            lines = said.strip().splitlines()
            if any(os.strerror(errno.ENOSPC) in line for line in lines):
                told = f"{os.strerror(errno.ENOSPC)}. Free some, or set CUALEX_CACHE to a directory on another disk."
                return KernelError(f"{self.file}: g++ cannot write what it compiles: {told}", details=said)
            told = next((line for line in lines if "error:" in line), lines[-1])
            return KernelError(f"{self.file}: g++ cannot compile it: {told}", details=said)
        file, line, what = own[0]
        what = re.sub(r" \[-[\w=-]+\]$", "", what)
        shown = self.user.line(file, int(line))
        more = f" ({len(own) - 1} more errors)" if len(own) > 1 else ""
        hint = self._hint(what)
        return KernelError(f"{file}:{line}: {what}{f': {shown}' if shown else ''}{more}", hint, said)

    def _hint(self, what: str) -> str:
        undeclared = re.match(r"'(\w+)' was not declared", what)
        name = undeclared.group(1) if undeclared else ""
        if name in self.user.host:
            return f"{name} (line {self.user.host[name]}) is the host's: kernels see what is marked __device__."
        if name.startswith("__"):
            return f"The emulator does not have {name}."
        if what.startswith("uninitialized const"):
            return "Give __constant__ memory its values where it is declared: no host fills it here."
        return ""


def _with_entry(text: str, called: str, bound: str) -> str:
    entry = f"emulator::Entry<&{called}>"
    return (
        f'#include "user.h"\n{text}\n#line 1 "entry"\n#pragma GCC visibility push(default)\n'
        f'extern "C" const int* const cualex_types = {entry}::types;\n'
        f'extern "C" const int cualex_threads = {bound or 1024};\n'
        f'extern "C" void cualex_enter(void** arguments) {{ {entry}::enter(arguments); }}\n'
    )


def _placed(value: Value) -> np.ndarray | None:
    """Return the array in emulated memory."""
    if value.array is None:
        return None
    array = binding.allocate(0, value.array.shape, value.array.dtype)
    if value.empty:
        binding.machine().emulator_mark_empty(array.ctypes.data)
    else:
        array[...] = value.array
    return array


def _result(kind: Type, array: np.ndarray) -> np.ndarray:
    return arguments.from_bf16(array) if kind.base == BF16 else array.copy()
