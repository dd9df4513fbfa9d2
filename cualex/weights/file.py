"""Our weights file: canonical tensors in a safetensors file that knows its network, classes and preprocessing.

    <layer>.weight       (filters, channels / groups, rows, columns), or (outputs, inputs)       float32
    <layer>.bias         (filters,) or (outputs,)                                                float32
    <layer>.mean, <layer>.variance   (channels,): the running averages of batch normalisation    float32
    preprocessing.mean   (stored, stored, 3): the mean picture, RGB from 0 to 255                float32
    velocity.<name>      the update's velocities, in a checkpoint                                float32
    velocity.first.<name>, velocity.second.<name>   Adam's averages, in a checkpoint             float32

A file of format 2 has weights in 8 bits (quantisation.py), and is read as float32:

    <layer>.weight, <layer>.weight.scale   the integers and a scale a filter (filters,)          int8, float32

The metadata hold the network's name and arguments, the class names in order, the preprocessing, and a SHA-256
over all of these and every tensor's name, shape and bytes, which is checked at every load.
"""

import contextlib
import hashlib
import json
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import safetensors

from cualex import networks, pretrained
from cualex.errors import CualexError, OutputError, UsageError, WeightsError
from cualex.networks import Network
from cualex.system import files
from cualex.weights import quantisation, tensor_file
from cualex.weights.parameters import AVERAGES

FORMAT, EIGHT_BITS = "1", "2"
MEAN, VELOCITY = "preprocessing.mean", "velocity."

_OTHER = "Copy it again, or give a weights file of this network."

# What bytes that are no weights file bring out: of safetensors, of JSON, and of a network with absurd arguments.
_DAMAGES = (
    safetensors.SafetensorError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


@dataclass(frozen=True)
class Weights:
    """Hold a trained network: its canonical tensors (parameters and state), class names and mean picture.

    `velocities` are there in a checkpoint; `notes` are whatever a run wants to keep, text by name.
    """

    network: Network
    tensors: dict[str, np.ndarray]
    classes: list[str]
    mean: np.ndarray
    velocities: dict[str, np.ndarray] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def save(path: str | Path, weights: Weights, previous: str | Path | None = None, eight_bits: bool = False) -> str:
    """Write a weights file, whole or not at all, read it back, and return its digest.

    With `previous`, the file that was there before is kept under that name. With `eight_bits`, weights are rounded to
    8 bits, and the file is a quarter as large.
    """
    tensors = quantisation.quantised(weights.tensors) if eight_bits else weights.tensors
    tensors = {**tensors, MEAN: weights.mean}
    tensors |= {VELOCITY + name: tensor for name, tensor in weights.velocities.items()}
    tensors = {
        name: np.ascontiguousarray(tensor, tensor.dtype if tensor.dtype == np.int8 else "<f4")
        for name, tensor in tensors.items()
    }
    network = weights.network
    metadata = {
        "cualex": EIGHT_BITS if eight_bits else FORMAT,
        "network": json.dumps({"name": network.name, "arguments": network.arguments}),
        "classes": json.dumps(list(weights.classes)),
        "preprocessing": json.dumps(preprocessing(network)),
        "notes": json.dumps(weights.notes),
        "digest": "0" * 64,  # until it is known
    }

    def write(part: Path) -> None:
        metadata["digest"] = tensor_file.write(tensors, metadata, part, lambda: digest(metadata, tensors))

    def check(part: Path) -> None:
        try:
            with _readable(part), _opened(part) as (_, found, *_):
                whole = found == metadata and tensor_file.same(part, tensors)
        except WeightsError as error:
            whole, reason = False, f" ({error})"
        else:
            reason = ""
        if not whole:
            raise OutputError(
                f"cannot write {path}: it does not read back as it was written. The disk may be failing.{reason}"
            )

    files.replace(path, write, check, previous)
    return metadata["digest"]


def preprocessing(network: Network) -> dict:
    """Describe what becomes of a picture before the first layer: (RGB - mean) x scale, of a crop of it.

    mean_at: whether the mean is taken at the crop, or at its own centre whatever the crop.  scale: a number, or one a
    channel.  channel_mean: where the network has a mean a channel, and not the training pictures'.
    """
    scale = list(network.scale) if isinstance(network.scale, tuple) else network.scale
    sizes = {"stored": network.stored, "crop": network.crop}
    said = sizes | {"channels": "RGB", "scale": scale, "mean": MEAN, "mean_at": network.mean_at}
    return said | ({"channel_mean": list(network.mean)} if network.mean else {})


def load(path: str | Path) -> Weights:
    """Read a weights file, or the bundled one by its name, "cifar10".

    Raise WeightsError unless every name, shape and byte is as it was written.
    """
    path = pretrained.located(path)
    with _readable(path):
        with _opened(Path(path)) as (file, metadata, network, classes):
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if digest(metadata, tensors) != metadata["digest"]:
            raise WeightsError("checksum mismatch. Copy it again, or train again.")
        notes, mean = json.loads(metadata["notes"]), tensors.pop(MEAN)
        found = [name for name in tensors if name.startswith(VELOCITY)]
        velocities = {name.removeprefix(VELOCITY): tensors.pop(name) for name in found}
        return Weights(network, quantisation.restored(tensors), classes, mean, velocities, notes)


@contextlib.contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    """Turn whatever a file brings out that is none into one line."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    except CualexError as error:
        raise WeightsError(
            f"{path}: written by another version of cualex ({_short(error)}). Update cualex, or train again."
        ) from None
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot be read ({error.strerror or error}). "
            "Give a weights file such as runs/train/best.safetensors."
        ) from None
    except _DAMAGES as error:
        raise WeightsError(
            f"{path}: not a complete weights file of cualex ({_short(error)}). Copy it again, or train again."
        ) from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple]:
    """Open a file and check all but the numbers: yield the file, its metadata, its network, the class names."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise WeightsError("a directory or device. Give a weights file such as runs/train/best.safetensors.")
    # Opened here as well, since the library's own errors do not say why the system refused.
    with path.open("rb") as raw, safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
        network, classes = _described(metadata)
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        _check_names(network, slices, metadata["cualex"] == EIGHT_BITS)
        json.loads(raw.read(*struct.unpack("<Q", raw.read(8))), object_pairs_hook=_once)
        yield file, metadata, network, classes


def _once(pairs: list[tuple[str, object]]) -> dict:
    """Refuse a name that is there twice: the library takes the last, another program may take the first."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a name is there twice")
    return made


def digest(metadata: dict[str, str], tensors: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 over metadata and tensors, in the order of their names."""
    total = hashlib.sha256()
    for name in sorted(metadata):
        if name != "digest":
            total.update(json.dumps([name, metadata[name]]).encode())
    for name in sorted(tensors):
        total.update(json.dumps([name, list(tensors[name].shape)]).encode())
        total.update(memoryview(tensors[name]).cast("B") if tensors[name].size else b"")
    return total.hexdigest()


def _described(metadata: dict[str, str]) -> tuple[Network, list[str]]:
    """Make the network that a file says it is for, and return it with the class names."""
    if metadata.get("cualex") not in (FORMAT, EIGHT_BITS):
        raise WeightsError("not a weights file of cualex, as `cualex train` writes; `cualex import` converts others.")
    said = json.loads(metadata["network"])
    network = networks.build(said["name"], **said["arguments"])
    own = json.loads(metadata["preprocessing"])
    for key, value in preprocessing(network).items():
        if own.get(key, value) != value:
            raise UsageError(f"its images have {key} {own[key]}, expected {value}")
    classes = json.loads(metadata["classes"])
    if len(classes) != network.classes:
        raise WeightsError(
            f"names {len(classes)} classes for a network with {network.classes}. Copy it again, or train again."
        )
    return network, classes


def _check_names(network: Network, slices: dict, eight_bits: bool) -> None:
    """Refuse a file whose tensors are not exactly those of its network, before reading any."""
    shapes = {**network.tensors(), MEAN: (network.stored, network.stored, 3)}
    for name, shape in network.parameters().items():
        own = [VELOCITY + average + name for average in ("", *AVERAGES)]
        shapes |= {each: shape for each in own if each in slices}
    expected = {name: ("F32", shape) for name, shape in shapes.items()}
    if eight_bits:
        for name, shape in network.tensors().items():
            if len(shape) > 1:
                expected |= {name: ("I8", shape), name + quantisation.SCALE: ("F32", shape[:1])}
    for name in sorted(expected.keys() | slices.keys()):
        if name not in slices:
            raise WeightsError(f"lacks {name}, so it is not {network.name}. {_OTHER}")
        if name not in expected:
            raise WeightsError(f"has {_short(name)}, which {network.name} does not have. {_OTHER}")
        found = slices[name].get_dtype(), tuple(slices[name].get_shape())
        if found != expected[name]:
            raise WeightsError(f"{name} is {_kind(found)}, expected {_kind(expected[name])}. {_OTHER}")


def _kind(tensor: tuple[str, tuple[int, ...]]) -> str:
    return " ".join(map(str, tensor))


def _short(error: BaseException | str) -> str:
    """Return the first line of an error's own words, or of a name: a damaged file may hold any."""
    return (str(error) or type(error).__name__).splitlines()[0][:120]
