"""Keras: the layers with weights of a `.h5`, a `.weights.h5` and a `.keras`, in the order of the model.

    Keras 2   [model_weights/]LAYER/.../kernel:0, bias:0, gamma:0, beta:0, moving_mean:0, moving_variance:0;
              the attributes layer_names and weight_names have the order, model_config the layers
    Keras 3   layers/LAYER/vars/0, 1, ...; in a .keras, a zip, as model.weights.h5 beside config.json

Tensors are named by kind and number: `conv.1.kernel`, `dense.1.bias`, `norm.1.gamma`. HDF5 is parsed by h5py, of which
only the structure is asked: the numbers are read by their offsets as of any other file. Links to other files,
compressed and virtual data sets are refused.
"""

import importlib
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from cualex.errors import WeightsError
from cualex.formats.reading import zip_members
from cualex.formats.reading.contents import Contents, Damaged
from cualex.formats.reading.tensors import Tensor, TensorFile, apart, described, short

HDF5 = b"\x89HDF\r\n\x1a\n"
WEIGHTS, CONFIG = "model.weights.h5", "config.json"
LAYERS, TEXT = 1000, 1 << 22  # layers in a model; bytes of its description
PARTS = {"conv": ("kernel", "bias"), "dense": ("kernel", "bias"), "norm": ("gamma", "beta", "mean", "variance")}
OLD = {"moving_mean": "mean", "moving_variance": "variance"}
CAFFE = "Caffe's weights in HDF5. Save them as .caffemodel, and import that."
OTHER = (
    "HDF5 without the layers of a Keras model. Save it in Keras with model.save('FILE.keras'), or its tensors as "
    "safetensors under PyTorch's names."
)
# What h5py raises for damaged files.
_DAMAGES = (
    OSError,
    ValueError,
    LookupError,
    RuntimeError,
    TypeError,
    AttributeError,
    RecursionError,
    NotImplementedError,
)

_INSTALL = 'Install it: pip install "cualex[keras]"'
_WAY = "It is a different network, which is not supported."

Layer = tuple[str, dict[str, Any]]  # kind and data sets by part


def read(contents: Contents) -> TensorFile:
    """Describe the tensors of an HDF5 file."""
    return _read(contents, 0, contents.size, "Keras's HDF5", None)


def read_zip(contents: Contents, listed: list[zipfile.ZipInfo]) -> TensorFile:
    """Describe the tensors of a `.keras`; nothing in its configuration is built or run."""
    members = zip_members.members(contents, listed)
    held, config = members[WEIGHTS], members.get(CONFIG)
    held.compare(contents)
    told = None
    if config:
        config.compare(contents)
        if config.count > TEXT:
            raise Damaged(f"its {CONFIG} has {config.count} bytes, expected at most {TEXT}")
        told = contents.bytes(config.start, config.count).decode("utf-8", "replace")
    return _read(contents, held.start, held.count, "Keras's zip", told)


def _read(contents: Contents, start: int, count: int, kind: str, config: str | None) -> TensorFile:
    """Describe the tensors of the HDF5 file at a range of bytes."""
    try:
        h5py = importlib.import_module("h5py")
    except ImportError:
        raise WeightsError(
            'HDF5, as Keras writes it, and h5py is not installed. Install it: pip install "cualex[keras]"'
        ) from None
    part = zip_members.Raw(contents, start, count)
    tensors: dict[str, Tensor] = {}
    try:
        with h5py.File(part, "r") as file:
            config = config or _text(file.attrs.get("model_config"))
            numbered: dict[str, int] = {}
            for kept, parts in _layers(h5py, file):
                number = numbered[kept] = numbered.get(kept, 0) + 1
                for last, data in parts.items():
                    name = f"{kept}.{number}.{last}"
                    tensors[name] = _tensor(contents, start, name, data)
    except WeightsError:
        raise
    except _DAMAGES as error:
        raise Damaged(short(error)) from None
    layers, numbers = _described(config)
    return TensorFile("keras", kind, apart(tensors), layers, numbers)


def _layers(h5py: Any, file: Any) -> Iterator[Layer]:
    """Yield the layers with weights in the order of the model."""
    if _group(h5py, file, "data") and not _group(h5py, file, "layers"):
        raise WeightsError(CAFFE)
    root = _group(h5py, file, "model_weights") or file
    found = False
    if "layer_names" in root.attrs:
        for layer in _names(root.attrs["layer_names"]):
            group = _group(h5py, root, layer)
            names = _names(group.attrs["weight_names"]) if group else []
            parts = {_part(name): _data(h5py, group, name) for name in names}
            if parts:
                found = True
                yield _kind(layer, parts), parts
    elif stored := _group(h5py, file, "layers"):
        names = sorted(list(stored)[: LAYERS + 1], key=_natural)
        for layer in names[:LAYERS]:
            held = _group(h5py, stored, f"{layer}/vars")
            data = [_data(h5py, held, name) for name in sorted(held, key=int)] if held else []
            if data:
                found = True
                kept = {4: "conv", 2: "dense"}.get(len(data[0].shape), "norm")
                if len(data) != len(PARTS[kept]):
                    what = f"its layer {short(layer)} has {len(data)} arrays"
                    raise WeightsError(f"{what}, expected {len(PARTS[kept])} of a {kept} layer. {_WAY}")
                yield kept, dict(zip(PARTS[kept], data, strict=True))
    if not found:
        raise WeightsError(OTHER)


def _kind(layer: str, parts: dict[str, Any]) -> str:
    """Return the kind of a layer with these parts."""
    if parts.keys() == set(PARTS["norm"]):
        return "norm"
    if parts.keys() == set(PARTS["conv"]) and len(parts["kernel"].shape) in (2, 4):
        return "conv" if len(parts["kernel"].shape) == 4 else "dense"
    raise WeightsError(f"its layer {short(layer)} has {short(', '.join(parts))}, which is none of this network. {_WAY}")


def _part(name: str) -> str:
    """Return the part that a weight's name ends with: kernel of conv2d_1/kernel:0."""
    last = name.rpartition("/")[2].partition(":")[0]
    return OLD.get(last, last)


def _natural(name: str) -> tuple[str, int]:
    """Return the order of conv2d, conv2d_1, ..., conv2d_10."""
    found = re.fullmatch(r"(.*?)(?:_(\d{1,6}))?", name)
    return (found[1], int(found[2] or 0)) if found else (name, 0)


def _names(values: Any) -> list[str]:
    """Return the texts of an attribute."""
    if len(values) > LAYERS:
        raise Damaged(f"{len(values)} names in a list")
    return [_text(value) or "" for value in values]


def _text(value: Any) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else None


def _inside(h5py: Any, root: Any, path: str) -> Any:
    """Return what lies at a path of plain links, or None; a link elsewhere is refused."""
    for name in path.split("/"):
        if name in ("", ".", ".."):
            continue
        link = root.get(name, getlink=True) if hasattr(root, "get") else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise WeightsError(f"{short(path)} is a link, which is not followed. Save the model in one file.")
        root = root[name]
    return root


def _group(h5py: Any, root: Any, path: str) -> Any:
    """Return the group at a path, or None."""
    found = _inside(h5py, root, path)
    return found if isinstance(found, h5py.Group) else None


def _data(h5py: Any, root: Any, path: str) -> Any:
    """Return the data set at a path."""
    found = _inside(h5py, root, path)
    if not isinstance(found, h5py.Dataset):
        raise Damaged(f"{short(path)} is missing")
    return found


def _tensor(contents: Contents, start: int, name: str, data: Any) -> Tensor:
    """Describe a data set by the offset of its numbers."""
    offset = data.id.get_offset()
    if data.external or data.is_virtual or offset is None:
        raise WeightsError(f"{name} is compressed, in pieces or elsewhere. Save the model again with Keras.")
    return described(contents, name, data.shape, data.dtype.str, start + offset, data.id.get_storage_size())


def _described(config: str | None) -> tuple[list[tuple[str, str]], list[tuple[str, str, dict[str, Any]]]]:
    """Return (name, kind), and (kind, name, hyperparameters as ours), of the layers in a model's description."""
    layers: list[tuple[str, str]] = []
    numbers: list[tuple[str, str, dict[str, Any]]] = []
    try:
        listed = json.loads(config or "{}").get("config", {})
        listed = listed.get("layers", []) if isinstance(listed, dict) else listed
        for entry in listed[:LAYERS]:
            kept, own = entry["class_name"], entry["config"]
            name = str(own.get("name"))
            if kept in KINDS:
                layers.append((name, KINDS[kept]))
            if kept in NUMBERS:
                numbers.append((KINDS[kept], name, NUMBERS[kept](own)))
            function = own.get("activation") if kept != "ReLU" else "relu"
            if isinstance(function, str) and function != "linear":
                layers.append((name, function))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Damaged("the description of its layers is not Keras's") from None
    return layers, numbers


def _same(value: Any) -> Any:
    """Return the number that a pair of equal numbers has, else None."""
    values = set(value) if isinstance(value, list) else {value}
    return values.pop() if len(values) == 1 else None


KINDS = {
    "Conv2D": "conv",
    "Dense": "dense",
    "MaxPooling2D": "maxpool",
    "AveragePooling2D": "averagepool",
    "BatchNormalization": "batchnorm",
    "LayerNormalization": "layernorm",
}
NUMBERS = {
    "Conv2D": lambda own: {
        "stride": _same(own.get("strides", 1)),
        "pad": 0 if own.get("padding") == "valid" else None,
        "groups": own.get("groups", 1),
    },
    "MaxPooling2D": lambda own: {"size": _same(own.get("pool_size", 2)), "stride": _same(own.get("strides", 2))},
    "BatchNormalization": lambda own: {"epsilon": own.get("epsilon", 1e-3)},
}
