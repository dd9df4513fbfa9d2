"""Builds of the network's kernels for the emulator: a library for each kernel and choice of its constants."""

import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cualex import kernels
from cualex.emulator.build import AT_ONCE, CHECKED, FOLDER, KERNEL, library, machine
from cualex.kernels import Kernel

# Most kernels are built for a few small launches: at -O2 g++ takes a third longer, and whole plans run no faster.
FAST = [*KERNEL, "-O1"]


@dataclass(frozen=True)
class Program:
    """Name what a library holds: a kernel with its text, its choices as options of the compiler, and the build."""

    kernel: Kernel
    text: str
    choices: tuple[str, ...]
    checked: bool

    @property
    def flags(self) -> list[str]:
        """Return the options of g++."""
        return [*(CHECKED if self.checked else FAST), *self.choices]


def program(kernel: Kernel, constants: Mapping, checked: bool = False) -> Program:
    """Describe the build of a kernel with some constants, of which only the choices matter."""
    choices = {name: constants[name] for name in kernel.choices}
    return Program(kernel, _assemble(kernel), _options(choices), checked)


def path(wanted: Program) -> Path:
    """Return the library of a program; build it where it is missing."""
    return library(wanted.kernel.name, _source(wanted), wanted.flags)


def build(programs: Iterable[Program], progress: Callable[[int, int], None] | None = None) -> None:
    """Build what is missing, several at once; `progress` gets how many are done, of how many."""
    programs = list(programs)
    machine()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done, _ in enumerate(pool.map(path, programs), 1):
            if progress is not None:
                progress(done, len(programs))


@cache
def _assemble(kernel: Kernel) -> str:
    return kernels.assemble(kernel, {"common/primitives.cuh": (FOLDER / "primitives.cuh").read_text()})


def _options(choices: dict) -> tuple[str, ...]:
    return tuple(f"-D{name}={int(v) if isinstance(v, bool) else v}" for name, v in choices.items())


def _source(wanted: Program) -> str:
    """Return the whole text for g++: the builtins, the constants, the kernel, and how the machine enters it.

    Dimensions and reals are variables that the kernel cannot write and g++ knows nothing about: their memory is
    laid out in assembler, one after the other, for Python to fill before a launch.
    """
    kernel = wanted.kernel
    types = [("int", name) for name in kernel.dimensions] + [("float", name) for name in kernel.reals]
    declared = "".join(f"extern const {kind} {name};\n" for kind, name in types)
    placed = "".join(f".hidden {name}\\n.globl {name}\\n{name}: .long 0\\n" for _, name in types)
    arguments = ", ".join(
        f"*({argument.type}{'*' if argument.pointer else ''}*)arguments[{i}]"
        for i, argument in enumerate(kernel.arguments)
    )
    bound = re.search(r"__global__ void\s+__launch_bounds__\(([^(),]*)", wanted.text)
    return (
        f'#include "cuda.h"\n{declared}{wanted.text}\n#line 1 "entry"\n#pragma GCC visibility push(default)\n'
        f'asm(".data\\n.balign 4\\n.globl cualex_constants\\ncualex_constants:\\n{placed}.long 0\\n.text");\n'
        f'extern "C" const int cualex_threads = {bound.group(1) if bound else 1024};\n'
        f'extern "C" void cualex_enter(void** arguments) {{ {kernel.name}({arguments}); }}\n'
    )
