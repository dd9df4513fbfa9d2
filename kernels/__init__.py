"""The one door to CUDA: kernels are found by name, checked against their source, compiled and launched here.

    launch = kernels.launch("relu_forward", (x, y), grid=(64, 1, 1), block=256, constants={...})

A `Launch` is a record: what will run, on which arrays, with which constants. A runtime (CuPy's, or the emulator of
the tests) compiles and runs it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from cualex.kernels.source import Kernel, assemble, defines, find, names

__all__ = ["Kernel", "Launch", "assemble", "defines", "find", "launch", "names"]

TYPES = {
    "float": np.float32,
    "double": np.float64,
    "int": np.int32,
    "unsigned": np.uint32,
    "unsigned char": np.uint8,
    "unsigned short": np.uint16,
    "Control": np.uint32,
}
STATIC_SHARED = 48 * 1024  # bytes of shared memory that any kernel may have without asking


@dataclass(frozen=True, eq=False)
class Launch:
    """Be one launch of a kernel: arguments, constants, grid (x, y, z), threads a block, bytes of shared memory."""

    kernel: Kernel
    arguments: tuple[Any, ...]
    grid: tuple[int, int, int]
    block: int
    shared: int
    constants: Mapping[str, int | float | str] = field(default_factory=dict)

    @cached_property
    def defines(self) -> tuple[str, ...]:
        """Return the compiler's options; with the kernel's name they say which binary this launch needs."""
        return defines(self.kernel, self.constants)


def launch(
    name: str, arguments: Sequence, *, grid: Sequence[int], block: int, constants: Mapping, shared: int = 0
) -> Launch:
    """Describe a launch, with every argument checked against the signature in the .cu file.

    Arrays must be contiguous and of the type that the signature names; None is a null pointer. Numbers must be NumPy
    scalars of the argument's width. Raise TypeError otherwise: that is a fault of ours.
    """
    kernel = find(name)
    if len(arguments) != len(kernel.arguments):
        raise TypeError(f"{name}: expected {len(kernel.arguments)} arguments, got {len(arguments)}")
    for wanted, given in zip(kernel.arguments, arguments, strict=True):
        if (fault := _fault(wanted, given, constants)) is not None:
            raise TypeError(f"{name}: argument {wanted.name}: {fault}")
    grid = (*grid, 1, 1)[:3]
    if min(grid) < 1 or not 1 <= block <= 1024:
        raise ValueError(f"{name}: grid {grid} and block {block} cannot be launched")
    made = Launch(kernel, tuple(arguments), grid, block, shared, dict(constants))
    made.defines  # noqa: B018  (checks the constants)
    return made


def _fault(wanted, given, constants) -> str | None:
    """Say what is wrong with an argument, or None."""
    word = wanted.type
    if word == "Value":
        word = "unsigned short" if constants.get("PRECISION") == "BF16" else "float"
    dtype = np.dtype(TYPES[word])
    if not wanted.pointer:
        fits = isinstance(given, np.generic) and given.dtype == dtype
        return None if fits else f"expected a NumPy {dtype} scalar, got {type(given).__name__}"
    if given is None:
        return None
    if not hasattr(given, "dtype") or not hasattr(given, "flags"):
        return f"expected an array, got {type(given).__name__}"
    if given.dtype != dtype:
        return f"expected {dtype}, got {given.dtype}"
    return None if given.flags.c_contiguous else f"not contiguous: shape {given.shape}, strides {given.strides}"
