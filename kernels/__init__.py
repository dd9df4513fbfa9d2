"""CUDA kernels: found by name in the .cu files, checked against their source, compiled, and launched.

A launch takes three hops, from the operation to CuPy:

    cualex/engine/cuda/relu.py        forward(device, x, y)                     grid, block and constants of a kernel
    cualex/devices/cuda.py            device.launch("relu_forward", (x, y))     a `Launch`, checked against the .cu
    cualex/devices/cupy_runtime.py    runtime.launch(stream, launch)            the compiled function, on a stream

A `Launch` is a record: what will run, on which arrays, with which constants. So a device can note launches instead of
queueing them (`prepare`), have those of a whole plan compiled together (`compile`), and repeat them; and another
runtime, that of the emulator (cualex/emulator) in the tests, can run them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from cualex.kernels.source import Kernel, assemble, defines, find, names

__all__ = ["Kernel", "Launch", "assemble", "defines", "find", "names"]

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
    """One launch of a kernel: arguments, constants, grid (x, y, z), threads a block, bytes of shared memory."""

    kernel: Kernel
    arguments: tuple[Any, ...]
    grid: tuple[int, int, int]
    block: int
    shared: int
    constants: Mapping[str, int | float | str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, name: str, arguments: Sequence, *, grid: Sequence[int], block: int, constants: Mapping, shared: int = 0
    ) -> "Launch":
        """Make a launch, with every argument checked against the signature in the .cu file.

        Arrays must be contiguous and of the type that the signature names; None is a null pointer. Numbers must be
        NumPy scalars of the argument's width. Raise TypeError otherwise: that is a fault of ours.
        """
        kernel = find(name)
        if len(arguments) != len(kernel.arguments):
            raise TypeError(f"{name}: expected {len(kernel.arguments)} arguments, got {len(arguments)}")
        for wanted, given in zip(kernel.arguments, arguments, strict=True):
            if (fault := _fault(wanted, given, constants)) is not None:
                raise TypeError(f"{name}: argument {wanted.name}: {fault}")
        x, y, z = (*grid, 1, 1)[:3]
        if min(x, y, z) < 1 or not 1 <= block <= 1024:
            raise ValueError(f"{name}: grid {grid} and block {block} cannot be launched")
        made = cls(kernel, tuple(arguments), (x, y, z), block, shared, dict(constants))
        made.defines  # noqa: B018  (checks the constants)
        return made

    @cached_property
    def defines(self) -> tuple[str, ...]:
        """Return the compiler's options; with the kernel's name they say which binary this launch needs."""
        return defines(self.kernel, self.constants)

    @property
    def device(self) -> int:
        """Return the index of the GPU that the arrays lie on."""
        arrays = (each for each in self.arguments if each is not None and not isinstance(each, np.generic))
        return next(arrays).device.id


def _fault(wanted, given, constants) -> str | None:
    """Return what is wrong with an argument, or None."""
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
