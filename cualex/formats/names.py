"""Find the network whose names a file's tensors have: below any prefix, and with any name of the last layer.

model.features.0.weight    torchvision's conv1.weight, below "model."
fc8_flickr.0               Caffe's fc8.weight under the name of a fine-tuned network: its inputs are fc7's outputs
"""

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

from cualex import networks
from cualex.errors import CualexError, WeightsError
from cualex.formats import conventions
from cualex.formats.conventions import MEAN, NETWORK, Convention
from cualex.formats.reading.contents import Damaged
from cualex.formats.reading.tensors import TensorFile, short
from cualex.networks import Network

OTHER = "It is a different network, which is not supported."
POOLING = {"Pooling": "pooling", "MaxPool": "pooling"}  # Caffe's word, and ONNX's
AVERAGES = ("ema", "swa", "averag", "teacher", "shadow")  # parts of names of second copies of the weights
BIASES = {"weight": "bias", ".0": ".1", "_w_0": "_b_0", "_W": "_b", "kernel": "bias"}  # how names end

# What a network's function raises for absurd arguments.
_IMPOSSIBLE = (CualexError, ArithmeticError, ValueError, TypeError, LookupError, AttributeError, RecursionError)

Told = tuple[Convention, dict[str, Any], list[tuple[str, str]]]


def recognised(file: TensorFile, network: str | None = None) -> Told:
    """Return the convention that a file's names follow, with those names, and the network's arguments and remarks."""
    told = note(file, NETWORK)
    arguments: dict[str, Any] = {}
    if isinstance(told, dict) and isinstance(told.get("name"), str) and isinstance(told.get("arguments"), dict):
        network, arguments = told["name"], told["arguments"]
    known = [each for each in conventions.CONVENTIONS if file.format in each.formats]
    fitting = [(each, found) for each in known if (found := _found(file, each))]
    order = tuple(POOLING.get(kind, kind) for _, kind in file.layers if kind == "LRN" or kind in POOLING)
    if order and any(each.order for each, _ in fitting):
        fitting = [(each, found) for each, found in fitting if each.order == order]
        if not fitting:
            raise WeightsError(f"its LRN and pooling ({', '.join(order[:8])}) match no known AlexNet. {OTHER}")
    if not fitting and network is not None:
        own = conventions.cualex_names(network, list(built(network, arguments).tensors()))
        known.append(own)
        fitting = [(own, found) for found in [_found(file, own)] if found]
    if not fitting and file.weighted:
        axes = file.weighted[-1].axes
        fitting = [
            (dataclasses.replace(each, dense=axes), found)
            for each in known
            if each.order == (order if "LRN" in order else ()) and (found := _in_order(file, each))
        ]
    if not fitting:
        raise _no_names(file, known, network)
    convention, found = fitting[0]
    return dataclasses.replace(convention, names=found), arguments, _remarks(file, convention, found)


def built(name: str, arguments: dict[str, Any]) -> Network:
    """Build a network with arguments from a file, which may be anything."""
    try:
        made = networks.build(name, **arguments)
        made.tensors()
    except _IMPOSSIBLE as error:
        raise WeightsError(f"its metadata describes an impossible network ({short(error)}).") from None
    return made


def note(file: TensorFile, name: str) -> object:
    """Return an entry of the metadata of a file that cualex exported, or None."""
    try:
        return json.loads(file.notes.get(name, "null"))
    except (ValueError, TypeError, RecursionError):
        raise Damaged(f"its metadata {name!r} is not JSON") from None


def lengths(file: TensorFile, convention: Convention, name: str, like: tuple[int, ...]) -> tuple[int, ...]:
    """Return a tensor's shape in canonical order of axes, if it has as many axes as `like`."""
    shape = file.tensors[convention.names[name]].shape
    while len(shape) > len(like) and shape[0] == 1:
        shape = shape[1:]  # Caffe's old layout always has four lengths
    if len(shape) != len(like) or len(shape) not in (2, 4):
        return shape
    order, ours = (convention.dense, "OI") if len(shape) == 2 else (convention.conv, "OIHW")
    return tuple(shape[order.index(axis)] for axis in ours)


def beside(file: TensorFile, convention: Convention) -> list[str]:
    """Return the tensors that lie with the network's, under the same prefix, and are none of it."""
    known = {*convention.names.values(), MEAN}
    groups, prefix = {file.groups.get(name, "") for name in known}, _prefix_of(convention)
    return sorted(
        name
        for name in {*file.tensors, *file.unread} - known
        if file.groups.get(name, "") in groups and name.startswith(prefix)
    )


def counter(file: TensorFile, name: str) -> bool:
    """Return whether a tensor is a single number, such as those that count updates or operations."""
    return name in file.unread or all(length == 1 for length in file.tensors[name].shape)


def _found(file: TensorFile, convention: Convention) -> dict[str, str] | None:
    """Return canonical name -> name in the file, or None."""
    head = _head(convention)
    body = {canonical: name for canonical, name in convention.names.items() if canonical not in head}
    for prefix in _prefixes(file, body.values()):
        names = {canonical: prefix + name for canonical, name in convention.names.items()}
        if all(names[canonical] in file.tensors for canonical in head):
            return names
        if last := _last(file, convention, names, head):
            return names | last
    return None


def _in_order(file: TensorFile, convention: Convention) -> dict[str, str] | None:
    """Return canonical name -> name in the file by the order of the layers in its graph, or None."""
    wanted = [name for name in convention.names if name.endswith(".weight")]
    kinds = ["conv" if name.startswith("conv") else "dense" for name in wanted]
    if [layer.kind for layer in file.weighted] != kinds:
        return None
    pairs = zip(wanted, file.weighted, strict=True)
    found = {name: layer.weight for name, layer in pairs}
    found |= {
        f"{name.removesuffix('weight')}bias": layer.bias for name, layer in zip(wanted, file.weighted, strict=True)
    }
    axes = {layer.axes for layer in file.weighted if layer.kind == "dense"}
    whole = found.keys() == convention.names.keys() and file.tensors.keys() >= set(found.values())
    return {name: found[name] for name in convention.names} if whole and len(axes) == 1 else None


def _head(convention: Convention) -> list[str]:
    """Return the canonical names of the last layer's weight and bias."""
    last = [name for name in convention.names if name.endswith(".weight")][-1].removesuffix("weight")
    return [name for name in convention.names if name.startswith(last)]


def _prefixes(file: TensorFile, names: Iterable[str]) -> list[str]:
    """Return the prefixes under which a file has all names, those of averages of the weights last."""
    names = list(names)
    anchor = names[0]
    ends = [name for name in file.tensors if name == anchor or name.endswith(f".{anchor}")]
    prefixes = [name.removesuffix(anchor) for name in ends]
    whole = [prefix for prefix in prefixes if all(prefix + name in file.tensors for name in names)]
    return sorted(whole, key=lambda prefix: any(word in prefix.lower() for word in AVERAGES))


def _last(file: TensorFile, convention: Convention, names: dict[str, str], head: list[str]) -> dict[str, str] | None:
    """Return the names of a last layer that is called otherwise: of the rest, the one that reads the layer below it.

    Raise WeightsError where several do.
    """
    taken = {name for canonical, name in names.items() if canonical not in head}
    below = [canonical for canonical in names if canonical.endswith(".weight") and canonical not in head][-1]
    (units, *_), axis = lengths(file, convention, below, (0, 0)), convention.dense.index("I")
    prefix, group = _prefix_of(convention, names), file.groups.get(names[below])
    found = []
    for name, tensor in file.tensors.items():
        shape = tensor.shape
        while len(shape) > 2 and shape[0] == 1:
            shape = shape[1:]
        bias = _bias(file, name)
        outputs = shape[1 - axis] if len(shape) == 2 else 0
        if name in taken or not name.startswith(prefix) or file.groups.get(name) != group or bias is None:
            continue
        if len(shape) == 2 and shape[axis] == units and file.tensors[bias].shape[-1] == outputs:
            found.append((name, bias))
    if len(found) > 1:
        several = ", ".join(short(weight) for weight, _ in found[:3])
        raise WeightsError(f"{len(found)} layers could be its last ({several}). Leave one, and save the file again.")
    return dict(zip(head, found[0], strict=False)) if found and len(head) == 2 else None


def _bias(file: TensorFile, weight: str) -> str | None:
    """Return the name of the bias beside a weight, or None."""
    for ending, other in BIASES.items():
        if weight.endswith(ending) and (name := weight.removesuffix(ending) + other) in file.tensors:
            return name
    return None


def _prefix_of(convention: Convention, names: dict[str, str] | None = None) -> str:
    """Return the prefix of names in a file."""
    given = names or convention.names
    first = next(iter(given))
    for each in (*conventions.CONVENTIONS, convention):
        plain = each.names.get(first, first)
        if given[first].endswith(plain):
            return given[first].removesuffix(plain)
    return ""


def _remarks(file: TensorFile, convention: Convention, found: dict[str, str]) -> list[tuple[str, str]]:
    """Return what is worth knowing about the names, and what was left alone."""
    remarks, head = list(file.remarks), _head(convention)[0]
    if not found[next(iter(found))].endswith(convention.names[next(iter(found))]):
        remarks.append(("weights", f"of other names, taken in the order of the graph, as {convention.title}"))
        return remarks
    prefix = found[next(iter(found))].removesuffix(convention.names[next(iter(found))])
    if prefix:
        remarks.insert(0, ("weights", f"those under {short(prefix.rstrip('.'))}"))
    if found[head] != prefix + convention.names[head]:
        last, usual = (name.rpartition(".")[0] or name for name in (found[head], convention.names[head]))
        shape = file.tensors[found[head]].shape
        count = shape[-2:][convention.dense.index("O")]
        remarks.append(("last layer", f"{short(last)}, with {count} outputs, is {short(usual)} here"))
    fitted = dataclasses.replace(convention, names=found)
    near = beside(file, fitted)
    counters = [name for name in near if counter(file, name)]
    if counters and file.format != "onnx":
        remarks.append(("skipped", f"{len(counters)} counters ({short(counters[0])}, ...)"))
    far = len(file.tensors) - len(found) - len(near)
    if far > 0 and file.format != "onnx" and MEAN not in file.tensors:
        rest = [name for name in file.tensors if name not in near and name not in found.values()]
        where = list(dict.fromkeys(short(name.partition(".")[0]) for name in rest))
        remarks.append(("skipped", f"{far} other tensors, of {', '.join(where[:4])}{', ...' * (len(where) > 4)}"))
    return remarks


def _no_names(file: TensorFile, known: list[Convention], network: str | None) -> WeightsError:
    """Return the error for a file with the names of no convention: of the nearest one, the layer that is missing."""
    if file.unread and not file.tensors:
        return next(iter(file.unread.values()))
    best: tuple[int, str, str] = (0, "", "")
    for each in known:
        wanted = list(each.names.values())
        ends = [name.removesuffix(own) for own in wanted for name in file.tensors if f".{name}".endswith(f".{own}")]
        for prefix in dict.fromkeys(ends):
            missing = [name for name in wanted if prefix + name not in file.tensors]
            has = len(wanted) - len(missing)
            if missing and has > best[0]:
                if prefix + missing[0] in file.unread:
                    return file.unread[prefix + missing[0]]
                best = has, f"{prefix}{missing[0]}", f"{each.title} ({has} of its {len(wanted)} tensors are here)"
    if best[0] > 1:
        return WeightsError(
            f"lacks {short(best[1])}, which belongs to {best[2]}. Save all layers of the network, under these names."
        )
    first = ", ".join(short(name) for name in list(file.tensors)[:3]) or "none"
    if network is None:
        way = (
            "If its tensors have cualex's names (conv1.weight), name its network with --network; "
            "files of cualex itself need no import (-w, --from)."
        )
    else:
        way = f"{network} has conv1.weight and so on."
    return WeightsError(f"{file.kind} whose tensors ({first}, ...) are those of no AlexNet known here. {way}")
