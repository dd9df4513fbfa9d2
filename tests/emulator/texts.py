"""Kernels that have no file in kernels/: small ones of the tests."""

import re
from collections.abc import Sequence

import numpy as np

from cualex.devices.runtime import Runtime
from cualex.kernels import Launch
from cualex.kernels.source import SIGNATURE, parse


def launch_text(
    text: str,
    arguments: Sequence,
    *,
    grid: Sequence[int] = (1,),
    block: int = 32,
    shared: int = 0,
    **constants,
) -> Launch:
    """Describe a launch of the kernel in a text, as Launch.of does for a file; it may include headers."""
    found = re.search(SIGNATURE, text)
    if found is None:
        raise ValueError("the text holds no kernel")
    (kernel,) = parse(f"{found.group(1)}.cu", text).values()
    return Launch(kernel, tuple(arguments), (*grid, 1, 1)[:3], block, shared, constants)


def run_text(runtime: Runtime, text: str, *arguments, **options) -> list[np.ndarray]:
    """Run the kernel in a text on device 0; arrays among the arguments go there, and come back in the end."""
    stream = runtime.stream(0)
    placed = [_placed(runtime, stream, argument) for argument in arguments]
    runtime.launch(stream, launch_text(text, placed, **options))
    return [
        runtime.download(stream, there)
        for given, there in zip(arguments, placed, strict=True)
        if isinstance(given, np.ndarray)
    ]


def _placed(runtime: Runtime, stream, argument):
    if not isinstance(argument, np.ndarray):
        return argument
    array = runtime.allocate(0, argument.shape, argument.dtype)
    runtime.upload(stream, array, argument)
    return array
