"""The weights file: canonical tensors, network, classes and preprocessing in a safetensors file.

    <layer>.weight       (filters, channels / groups, rows, columns), or (outputs, inputs)       float32
    <layer>.bias         (filters,) or (outputs,)                                                float32
    <layer>.mean, <layer>.variance   (channels,): the running averages of batch normalisation    float32
    preprocessing.mean   (stored, stored, 3): the mean image, RGB from 0 to 255                float32
    velocity.<name>      momentum's velocities, in a checkpoint                                  float32
    velocity.first.<name>, velocity.second.<name>   Adam's moments, in a checkpoint              float32

A file of format 2 has weights in 8 bits (quantisation.py), and is read as float32:

    <layer>.weight, <layer>.weight.scale   the integers and a scale a filter (filters,)          int8, float32

The metadata are the network's name and arguments, of a network of one's own its layers (networks/own.py), the class
names in order, the preprocessing, and a SHA-256 of these and of all tensors' names, shapes and bytes, which is verified
at every load.
"""

import contextlib
import hashlib
import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors

from cualex import networks, pretrained
from cualex.errors import CualexError, ForeignWeights, OutputError, UsageError, WeightsError
from cualex.networks import Network, own
from cualex.system import files
from cualex.weights import quantisation, tensor_file
from cualex.weights.parameters import AVERAGES

FORMAT, EIGHT_BITS = "1", "2"
MEAN, VELOCITY = "preprocessing.mean", "velocity."

_OTHER = "Copy it again, or give a weights file of this network."

# What bytes that are no weights file raise: from safetensors, JSON, and a network with absurd arguments.
_DAMAGES: tuple[type[Exception], ...] = (safetensors.SafetensorError, ValueError, LookupError, TypeError)
_DAMAGES += (AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class Weights:
    """A trained network: canonical tensors (parameters and state), class names and mean image.

    velocities: of the optimizer, in a checkpoint.  notes: metadata of a run, text by name.
    """

    network: Network
    tensors: dict[str, np.ndarray]
    classes: list[str]
    mean: np.ndarray
    velocities: dict[str, np.ndarray] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def save(path: str | Path, weights: Weights, previous: str | Path | None = None, eight_bits: bool = False) -> str:
    """Write a weights file, whole or not at all, verify it, and return its digest.

    previous: a name under which the old file is kept.  eight_bits: round weights to 8 bits, for a quarter of the size.
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
        "network": json.dumps(_network(network)),
        "classes": json.dumps(list(weights.classes)),
        "preprocessing": json.dumps(preprocessing(network)),
        "notes": json.dumps(weights.notes),
        "digest": "0" * 64,  # until it is known
    }

    def write(part: Path) -> None:
        metadata["digest"] = tensor_file.write(tensors, metadata, part, lambda: digest(metadata, tensors))

    def check(part: Path) -> None:
        try:
            with _readable(part), _opened(part) as (_, written, *_):
                whole = written == metadata and tensor_file.same(part, tensors)
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


def _network(network: Network) -> dict[str, Any]:
    """Return a network as plain values: its name and arguments or, where these make no such network, its layers."""
    with contextlib.suppress(UsageError):
        if own.same(networks.build(network.name, **network.arguments), network):
            return {"name": network.name, "arguments": network.arguments}
    name = network.name if own.is_own(network.name) else f"own{own.MARK}{network.name}"
    return {"name": name, "arguments": own.described(network)}


def preprocessing(network: Network) -> dict[str, Any]:
    """Return the preprocessing of a crop, (RGB - mean) x scale, as plain values.

    mean_at: whether the mean image is cropped as the image is, or at its centre.  scale: a number, or one a channel.
    channel_mean: if the network has a fixed mean a channel instead of the training images'.
    """
    scale = list(network.scale) if isinstance(network.scale, tuple) else network.scale
    sizes = {"stored": network.stored, "crop": network.crop}
    values = sizes | {"channels": "RGB", "scale": scale, "mean": MEAN, "mean_at": network.mean_at}
    return values | ({"channel_mean": list(network.mean)} if network.mean else {})


def load(path: str | Path) -> Weights:
    """Read a weights file, or the bundled one by its name, "cifar10".

    Raise WeightsError when a name, shape or byte has changed since it was written.
    """
    path = pretrained.located(path)
    with _readable(path):
        with _opened(Path(path)) as (file, metadata, network, classes):
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if digest(metadata, tensors) != metadata["digest"]:
            raise WeightsError("checksum mismatch. Copy it again, or train again.")
        notes, mean = json.loads(metadata["notes"]), tensors.pop(MEAN)
        kept = [name for name in tensors if name.startswith(VELOCITY)]
        velocities = {name.removeprefix(VELOCITY): tensors.pop(name) for name in kept}
        return Weights(network, quantisation.restored(tensors), classes, mean, velocities, notes)


class Description(NamedTuple):
    """What the header of a weights file says; the digest is not verified."""

    network: Network
    classes: list[str]
    digest: str


def describe(path: str | Path) -> Description:
    """Read the header of a weights file, and none of its weights; raise WeightsError as `load` does."""
    path = pretrained.located(path)
    with _readable(path), _opened(Path(path)) as (_, metadata, network, classes):
        return Description(network, classes, metadata["digest"])


@contextlib.contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    """Turn whatever a damaged file raises into a WeightsError of one line."""
    try:
        yield
    except WeightsError as error:
        raise type(error)(f"{path}: {error}") from None
    except CualexError as error:
        raise WeightsError(
            f"{path}: written by another version of cualex ({_short(error)}). Update cualex, or train again."
        ) from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error}). {pretrained.WAY}") from None
    except _DAMAGES as error:
        raise WeightsError(
            f"{path}: damaged or incomplete weights file of cualex ({_short(error)}). Copy it again, or train again."
        ) from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, str], Network, list[str]]]:
    """Open a file and check all but the numbers: yield file (without a type), metadata, network, classes."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise WeightsError(
            pretrained.no_weights(path) if path.is_dir() else f"not a file, but a device or pipe. {pretrained.WAY}"
        )
    # Opened here as well, since the library's errors lack the system's reason.
    with path.open("rb") as raw, tensor_file.opened(raw, path) as file:
        metadata = file.metadata() or {}
        network, classes = _described(metadata)
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        _check_names(network, slices, metadata["cualex"] == EIGHT_BITS)
        yield file, metadata, network, classes


def digest(metadata: dict[str, str], tensors: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 of metadata and tensors, in the order of their names."""
    total = hashlib.sha256()
    for name in sorted(metadata):
        if name != "digest":
            total.update(json.dumps([name, metadata[name]]).encode())
    for name in sorted(tensors):
        total.update(json.dumps([name, list(tensors[name].shape)]).encode())
        total.update(tensors[name].data.cast("B") if tensors[name].size else b"")
    return total.hexdigest()


def _described(metadata: dict[str, str]) -> tuple[Network, list[str]]:
    """Return the network and the class names in a file's metadata."""
    if metadata.get("cualex") not in (FORMAT, EIGHT_BITS):
        raise ForeignWeights("not a weights file of cualex, as `cualex train` writes; `cualex import` converts others.")
    described = json.loads(metadata["network"])
    network = networks.build(described["name"], **described["arguments"])
    kept = json.loads(metadata["preprocessing"])
    for key, value in preprocessing(network).items():
        if kept.get(key, value) != value:
            raise UsageError(f"its images have {key} {kept[key]}, expected {value}")
    classes = json.loads(metadata["classes"])
    if len(classes) != network.classes:
        raise WeightsError(
            f"names {len(classes)} classes for a network with {network.classes}. Copy it again, or train again."
        )
    return network, classes


def _check_names(network: Network, slices: dict[str, Any], eight_bits: bool) -> None:
    """Raise WeightsError unless the tensors are exactly the network's, before reading any."""
    shapes = {**network.tensors(), MEAN: (network.stored, network.stored, 3)}
    for name, shape in network.parameters().items():
        velocities = [VELOCITY + average + name for average in ("", *AVERAGES)]
        shapes |= {velocity: shape for velocity in velocities if velocity in slices}
    expected: dict[str, tuple[str, tuple[int, ...]]] = {name: ("F32", shape) for name, shape in shapes.items()}
    if eight_bits:
        for name, shape in network.tensors().items():
            if len(shape) > 1:
                expected |= {name: ("I8", shape), name + quantisation.SCALE: ("F32", shape[:1])}
    for name in sorted(expected.keys() | slices.keys()):
        if name not in slices:
            raise WeightsError(f"lacks {name}, so it is not {network.name}. {_OTHER}")
        if name not in expected:
            raise WeightsError(f"has {_short(name)}, which {network.name} does not have. {_OTHER}")
        got = slices[name].get_dtype(), tuple(slices[name].get_shape())
        if got != expected[name]:
            described, wanted = (" ".join(map(str, each)) for each in (got, expected[name]))
            raise WeightsError(f"{name} is {described}, expected {wanted}. {_OTHER}")


def _short(error: BaseException | str) -> str:
    """Return the first line of an error's text, or of a name from a damaged file."""
    return (str(error) or type(error).__name__).splitlines()[0].removeprefix("Error while deserializing header: ")[:120]
