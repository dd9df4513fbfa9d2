"""Kernels that have no file in kernels/: small ones of the tests."""

import re
from collections.abc import Sequence
from dataclasses import fields

from cualex.kernels import Kernel, Launch
from cualex.kernels.source import SIGNATURE, parse
from emulator.build import TextKernel


def launch_text(
    text: str, arguments: Sequence, *, grid: Sequence[int], block: int, shared: int = 0, **constants
):
    """Describe a launch of the kernel that a text holds, as kernels.launch does for a file; headers may be included."""
    name = re.search(SIGNATURE, text).group(1)
    parsed = parse(name, text)
    kernel = TextKernel(**{each.name: getattr(parsed, each.name) for each in fields(Kernel)}, text=text)
    return Launch(kernel, tuple(arguments), (*grid, 1, 1)[:3], block, shared, constants)
