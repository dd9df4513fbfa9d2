"""Run one launch of a plan on trial, on the arrays that it has there, which get back what they held."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from cualex.devices.runtime import Array, Runtime, address
from cualex.devices.self_test import gemms, loss, maps, normalisation, parameters
from cualex.devices.self_test.trial import Trial, restore, save
from cualex.errors import DeviceError
from cualex.kernels import Kernel, Launch, assemble, names
from cualex.kernels.binaries import OPTIONS

REFERENCES: Mapping[str, Callable[[Trial], None]] = {
    name: getattr(module, name)
    for module in (gemms, loss, maps, normalisation, parameters)
    for name in names()
    if hasattr(module, name)
}


class Lost(DeviceError):
    """A GPU that fails in every call from a launch on."""


def fault(runtime: Runtime, device: Any, launch: Launch, disposable: Sequence[Array]) -> str:
    """Run a launch on trial; return what is wrong with it, or an empty text.

    disposable: arrays that need not get back what they held. Raise Lost where the launch has ended all work on the GPU.
    """
    stream, trial = device.stream, Trial(launch)
    REFERENCES[launch.kernel.name](trial)
    spans = [_span(array) for array in disposable]
    kept = [array for array in trial.touched if not _within(_span(array), spans)]
    before = [save(runtime, stream, array) for array in kept]
    try:
        trial.fill(runtime, stream)
        runtime.synchronize()
        try:
            runtime.launch(stream, launch)
            runtime.synchronize()
        except Exception as error:  # of CUDA, by way of CuPy
            return _failed(runtime, device, launch, f"{type(error).__name__}: {error}")
        return trial.fault(runtime, stream)
    except Lost:
        kept, before = [], []
        raise
    finally:
        for array, values in zip(kept, before, strict=True):
            put_back(runtime, device, array, values)


def put_back(runtime: Runtime, device: Any, array: Array, values: np.ndarray) -> None:
    """Give an array what it held; raise DeviceError where that fails: weights would be lost."""
    try:
        restore(runtime, device.stream, array, values)
        runtime.synchronize()  # before it is loaded anew on another stream
    except Exception as error:
        raise DeviceError(
            f"{device.title} ({device.name}) fails in the self-test: {type(error).__name__}: {error}. Start again; "
            "CUALEX_SELF_TEST=0 leaves the test out."
        ) from error


def _failed(runtime: Runtime, device: Any, launch: Launch, why: str) -> str:
    """Return why a launch failed; raise Lost where the GPU is lost to it."""
    try:
        runtime.synchronize()
    except Exception as error:  # after such a failure every call fails
        raise Lost(
            f"{describe(launch)} fails on {device.title} ({device.name}): {why}. It will not be used there again: "
            "start once more."
        ) from error
    return why


def describe(launch: Launch) -> str:
    """Return what a record names: the kernel, and how its gemm is computed."""
    constants = launch.constants
    how = [str(constants["PRECISION"]).lower()] if "PRECISION" in constants else []
    if launch.kernel.needs is None and "TENSOR_CORES" in constants:  # else the name says it
        on_tensor_cores = bool(constants["TENSOR_CORES"])
        if on_tensor_cores:  # maps of float32 are multiplied as TF32
            how = ["bf16" if constants["PRECISION"] == "BF16" else "tf32"]
        how.append("tensor cores" if on_tensor_cores else "FFMA")
    return " ".join([launch.kernel.name, *how])


def replaceable(launch: Launch) -> bool:
    """Return whether there is something to run in place of a launch."""
    return bool(launch.constants.get("TENSOR_CORES"))


def key_of(launch: Launch) -> str:
    """Return the hash of all that a launch is: text, constants, options, grid, and which arguments are null."""
    null = [argument is None for argument in launch.arguments]
    rest = launch.defines, OPTIONS, launch.grid, launch.block, launch.shared, null
    return hashlib.sha256(f"{text_of(launch.kernel)}{rest}".encode()).hexdigest()[:32]


@cache
def text_of(kernel: Kernel) -> str:
    """Return a kernel's whole text."""
    return assemble(kernel)


def _span(array: Array) -> tuple[int, int]:
    """Return where an array begins and ends."""
    start = address(array)
    return start, start + array.nbytes


def _within(span: tuple[int, int], others: Sequence[tuple[int, int]]) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in others)
