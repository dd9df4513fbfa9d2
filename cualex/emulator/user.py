"""Run a kernel of a user's file, and report what it does wrong, by line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cualex.emulator import arguments as given_arguments
from cualex.emulator import build, source
from cualex.emulator.program import Program
from cualex.emulator.report import Report
from cualex.errors import KernelError, UsageError

STEPS = 50_000_000
MOST_THREADS = 1 << 24
ORDERS = ("ascending", "descending")
BLOCK = (1024, 1024, 64)
GRID = (2**31 - 1, 65_535, 65_535)


def run(
    path: str | Path,
    *arguments: Any,
    kernel: str | None = None,
    grid: int | Sequence[int] = 1,
    block: int | Sequence[int] = 32,
    shared: int = 0,
    defines: Mapping[str, object] | None = None,
    schedule: str | int = "ascending",
    steps: int = STEPS,
) -> Report:
    """Run a kernel on the CPU, thread by thread, and report its faults and the cost of its requests to memory.

    path: a .cu file, or the text of one, in which a line break or `__global__` tells them apart.
    arguments: the kernel's, in order: numbers, NumPy arrays (which are copied; the report has the results), None for a
    null pointer, and texts as the command takes them: "zeros(1024)", "random(64, seed=1)", "x.npy".
    kernel: its name, where the file has several; of a template with its arguments, "sum<float, 128>".
    grid, block: blocks, and threads of a block: a number, or (x, y, z).
    shared: bytes for `extern __shared__`.
    defines: macros, as -D gives them to a compiler.
    schedule: which thread goes first: "ascending", "descending", or a seed for a random order.
    steps: blocks of code without a branch that all threads together may take, before the loop counts as endless.

        >>> from cualex import emulator
        >>> report = emulator.run(
        ...     "__global__ void twice(const float* x, float* y) { y[threadIdx.x] = 2 * x[threadIdx.x + 1]; }",
        ...     np.arange(4, dtype=np.float32), "zeros(4)", block=4)
        >>> report.arrays["y"][:3]
        array([2., 4., 6.], dtype=float32)
        >>> print(report.findings[0])
        kernel.cu:1: out of bounds: reads x[4], which has 4 elements

    Raises KernelError for what g++ or the emulator refuses, UsageError for arguments that do not fit.
    """
    if not build.compiler():
        raise KernelError("the emulator needs Linux and g++, which is not here.", "Install it, as by: apt install g++")
    name, text, folder = _opened(path)
    user = source.read(name, text, folder)
    chosen = user.kernel(kernel)
    extents = _extent("grid", grid, GRID), _extent("block", block, BLOCK)
    _check_size(*extents)
    if isinstance(schedule, str) and schedule not in ORDERS:
        raise UsageError(f"--schedule {schedule!r}: expected {', '.join(ORDERS)}, or a whole number as a seed.")
    if shared < 0:
        raise UsageError(f"--shared {shared}: expected a number of bytes, from 0.")
    program = Program(user, chosen, kernel, defines or {}, name)
    try:
        values = given_arguments.ready(chosen, program.types, arguments)
        return program.launch(values, *extents, shared, schedule, steps)
    finally:
        program.close()


def _opened(path: str | Path) -> tuple[str, str, Path]:
    """Return name, text and folder of a file, or of a text."""
    if isinstance(path, str) and ("\n" in path or "__global__" in path):
        return "kernel.cu", path, Path()
    try:
        text = Path(path).read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file.") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a directory: name a .cu file.") from None
    return Path(path).name, text.replace("\r\n", "\n"), Path(path).resolve().parent


def _extent(name: str, given: int | Sequence[int], most: tuple[int, int, int]) -> tuple[int, int, int]:
    sizes = (given,) if isinstance(given, int | np.integer) else tuple(given)
    whole = (*(int(size) for size in sizes), 1, 1)[:3]
    if len(sizes) > 3 or any(not 1 <= size <= limit for size, limit in zip(whole, most, strict=True)):
        raise UsageError(
            f"--{name} {','.join(map(str, sizes))}: expected 1 to 3 numbers from 1 to {', '.join(map(str, most))}."
        )
    return whole[0], whole[1], whole[2]


def _check_size(grid: tuple[int, int, int], block: tuple[int, int, int]) -> None:
    threads, blocks = block[0] * block[1] * block[2], grid[0] * grid[1] * grid[2]
    if threads > BLOCK[0]:
        raise UsageError(f"--block {','.join(map(str, block))}: {threads:,} threads, and a block has at most 1,024.")
    if threads * blocks > MOST_THREADS:
        raise UsageError(
            f"{blocks:,} blocks of {threads:,} are {threads * blocks:,} threads, and the emulator runs "
            f"{MOST_THREADS:,}. Choose a smaller grid: faults show in a few blocks."
        )
