"""What the bits of a training depend on besides its recipe: the data set, and the type of machine."""

import hashlib
import json

import numpy as np

from cualex.errors import DataError, DeviceError
from cualex.kernels.binaries import compiler_version
from cualex.system import environment
from cualex.weights.parameters import Parameters


def machine(parameters: Parameters) -> dict:
    """Describe processor or GPU, libraries and precision, as plain values."""
    known, devices = environment.describe(), parameters.devices
    said = {name: known[name] for name in ("cualex", "system", "processor", "numpy")}
    said |= {"blas": sorted(known["blas"]), "engine": devices[0].engine, "precision": devices[0].precision}
    said["device"] = sorted({device.title for device in devices})
    if parameters.placement.cuda:
        said["nvrtc"] = _compiler()
    return said


def pictures(pack, validation) -> dict:
    """Count the pictures, and sum up names, classes and mean picture in a digest."""
    total = hashlib.sha256(np.ascontiguousarray(pack.mean, np.float32).tobytes())
    for part in (pack, validation):
        total.update(json.dumps([part.classes, part.names]).encode() + part.labels.astype("<i4").tobytes())
    return {"train": len(pack), "validation": len(validation), "digest": total.hexdigest()}


def check_pictures(expected: dict | None, got: dict) -> None:
    """Raise DataError unless a data set is the one that a run began with."""
    if expected == got:
        return
    counts = [f"{known['train']} + {known['validation']}" for known in (got, expected or {}) if known]
    different = f"{counts[0]} pictures, expected {counts[-1]}"
    if len(set(counts)) == 1:
        different = f"{counts[0]} pictures as expected, but with other names, classes or contents"
    raise DataError(f"not the data set of this run: {different}. Give the run's own data set, or start a new run.")


def _compiler() -> list[int] | None:
    """Return the version of CUDA's compiler, where it is installed."""
    try:
        return list(compiler_version())
    except DeviceError:
        return None
