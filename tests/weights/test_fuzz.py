"""Damaged and forged weights files: refused in one line, or the very numbers that were written; soon and small."""

import functools
import io
import json
import os
import pickle
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cualex import networks, weights
from cualex.errors import WeightsError
from cualex.weights import Weights
from tests.support import mutations
from tests.support.confined import results

COUNT, FEW = 20_000, 500
MEGABYTES = 32  # the file has a third of one
ODD = (
    *(
        None,
        True,
        -1,
        0,
        1,
        2**31,
        2**60,
        2**64,
        10**400,
        1e308,
        0.5,
        "",
        "x",
        "F64",
        "I8",
        "conv1.bias",
        [],
        [0, 0],
    ),
    *(
        [2**60],
        [2**32, 2**32],
        [-1, 4],
        [0, 2**62],
        [0.5],
        {},
        {"dtype": "F32"},
        "[" * 5000,
        "é\0",
        [[]] * 50,
    ),
)


@functools.cache
def whole():
    """Make a weights file with velocities: (what it holds, its bytes)."""
    rng = np.random.default_rng(2012)
    network = networks.build("alexnet", classes=3, crop=67, width=1 / 96)
    shapes = network.parameters()
    tensors = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    mean = rng.uniform(0, 255, (network.stored, network.stored, 3)).astype(np.float32)
    held = Weights(network, tensors, ["cat", "dog", "é"], mean, {"fc8.bias": tensors["fc8.bias"]}, {"seed": "7"})
    with tempfile.TemporaryDirectory() as place:
        weights.save(Path(place) / "w", held)
        return held, (Path(place) / "w").read_bytes()


def apart(data):
    """Take a file apart: its header and the bytes of the tensors."""
    end = 8 + struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:end]), data[end:]


def together(header, rest):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rest


def forged(rng, data):
    """Change a field of the header, well-formed as JSON: metadata, a tensor's type, shape or place, or its name."""
    header, rest = apart(data)
    names = list(header)
    name = names[rng.integers(len(names))] if rng.random() < 0.6 else "__metadata__"
    entry, value = header[name], ODD[rng.integers(len(ODD))]
    key = list(entry)[rng.integers(len(entry))]
    way = rng.integers(7)
    if way == 0:
        del entry[key]
    elif way == 1:
        del header[name]
    elif way == 2:
        header[str(value)[:50]] = header.pop(name)
    elif way == 3:
        header[name] = header[names[rng.integers(len(names))]]
    elif way == 4 and name != "__metadata__":  # as many bytes, so that the format finds nothing wrong
        entry |= {"dtype": ["I32", "F32"][len(entry["shape"]) % 2], "shape": entry["shape"][::-1]}
    elif name == "__metadata__" and entry[key][:1] in ("{", "["):
        inside = json.loads(entry[key])
        place = list(inside)[rng.integers(len(inside))] if isinstance(inside, dict) else rng.integers(len(inside))
        inside[place] = {**inside[place], "width": value} if isinstance(inside[place], dict) else value
        entry[key] = json.dumps(inside)
    else:
        entry[key] = json.dumps(value) if name == "__metadata__" and rng.random() < 0.8 else value
    return together(header, rest)


def mutated(number):
    """Make damaged file `number`: of two, one is blind damage and one a forged header."""
    rng = np.random.default_rng([2012, number])
    _, data = whole()
    if number % 2:
        made = forged(rng, data)
        return mutations.mutate(rng, made, [data]) if number % 8 == 1 else made
    if number % 4:
        return mutations.mutate(rng, data, [data])
    # Numbers and text of the header are changed, and its length is put right.
    header, rest = data[8 : len(data) - len(apart(data)[1])], apart(data)[1]
    return together(mutations.mutate(rng, header, [header]), rest)


def equal(found, held):
    """Tell whether what was read is what was written, to the bit."""
    pairs = (
        (found.tensors, held.tensors),
        (found.velocities, held.velocities),
        ({0: found.mean}, {0: held.mean}),
    )
    same = all(a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a) for a, b in pairs)
    named = (found.network, list(found.classes), found.notes) == (
        held.network,
        list(held.classes),
        held.notes,
    )
    return same and named


def damaged(count):
    """Yield what comes of every damaged file: "same" where its numbers are those that were written, or the line."""
    held, data = whole()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as place:
        path = Path(place) / "w.safetensors"
        for number in range(-1, count):
            path.write_bytes(mutated(number) if number >= 0 else data)
            try:
                found = weights.load(path)
            except WeightsError as error:
                yield str(error).removeprefix(f"{path}: ")
            else:
                yield "same" if equal(found, held) else f"{number} is accepted with other values"


@pytest.mark.parametrize("count", [FEW, pytest.param(COUNT, marks=pytest.mark.slow)])
def test_damage_is_refused_or_changes_nothing(count):
    """Tries 500 damaged files, 20,000 under `-m slow`."""
    first, *lines = results(damaged, count, seconds=10, megabytes=MEGABYTES)
    assert first == "same"
    assert len(lines) == count
    assert [line for line in lines if "accepted" in line] == []
    for line in lines:
        assert "\n" not in line
        assert len(line) < 400
        assert line == "same" or line.endswith((".", ")")), line
        assert "MemoryError" not in line
    # A file whose header is only written otherwise is the same file; most are not.
    assert 0 < lines.count("same") < 0.1 * count
    for words in (
        "checksum mismatch",
        "damaged or incomplete weights file",
        "by another version of cualex",
        "expected F32",
        "lacks",
    ):
        assert sum(words in line for line in lines) > 0.001 * count, words


# --- attacks made by hand


class Opens:
    """Make a file when it is unpickled: the mark of a program that trusts pickles."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def zipped(**members):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return made.getvalue()


def changed(name, **fields):
    """Change fields of an entry of the header."""
    header, rest = apart(whole()[1])
    header[name] |= fields
    return together(header, rest)


def twice(text):
    """Say the first entry that begins with `text` twice: many readers take the last, some the first."""
    header, rest = apart(whole()[1])
    name = next(name for name in header if name.startswith(text))
    again = json.dumps({name: header[name]}).encode()
    return together(json.dumps(header).encode()[:-1] + b", " + again[1:], rest)


def described(**arguments):
    """Let the network be described otherwise."""
    said = json.loads(apart(whole()[1])[0]["__metadata__"]["network"])
    return changed("__metadata__", network=json.dumps(said | {"arguments": said["arguments"] | arguments}))


def attacks(canary):
    """Name the attacks: the bytes, and words of the answer."""
    header, rest = apart(whole()[1])
    places = {name: entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"}
    last, (start, end) = max(places.items(), key=lambda place: place[1])
    shared = places["conv3.bias"]
    mark = pickle.dumps(Opens(canary))
    array = io.BytesIO()
    np.savez(array, conv1=np.array([Opens(canary)], object))
    no_file, other = (
        "damaged or incomplete weights file of cualex (",
        "not a weights file of cualex, which are safetensors",
    )
    return {
        "a header of 2^60 bytes": (struct.pack("<Q", 2**60) + whole()[1][8:], no_file),
        "a header of 2^64 - 1 bytes": (b"\xff" * 8 + whole()[1][8:], no_file),
        "a header of brackets": (together(b"[" * 1_000_000, rest), other),
        "tensors that overlap": (changed("conv4.bias", data_offsets=shared), no_file),
        "a tensor beyond the file": (changed(last, data_offsets=[start, end + 4]), no_file),
        "a tensor of 2^62 numbers": (changed("conv1.bias", shape=[2**62]), no_file),
        "a shape whose product overflows": (changed("conv1.bias", shape=[2**32, 2**32, 1]), no_file),
        "bytes that belong to no tensor": (whole()[1] + bytes(4096), no_file),
        "other numbers in as many bytes": (
            changed("conv1.bias", dtype="I32"),
            "conv1.bias is I32 (2,), expected F32 (2,)",
        ),
        "a tensor twice": (twice("fc8"), no_file),
        "metadata twice": (twice("__metadata__"), no_file),
        "a network as wide as can be": (described(width=250.0), "expected F32"),
        "a network that is wider": (described(width=1e9), "by another version of cualex"),
        "a network of no width": (described(width=-1e308), "by another version of cualex"),
        "2^60 classes": (described(classes=2**60), f"names 3 classes for a network with {2**60}"),
        "a crop of 2^60 pixels": (described(crop=2**60), "by another version of cualex"),
        "a pickle": (mark, other),
        "a pickle in a zip, as PyTorch's": (zipped(**{"archive/data.pkl": mark}), other),
        "an .npz": (array.getvalue(), other),
    }


def attacked(place):
    """Yield the answer to each attack, after one to the whole file."""
    path = Path(place) / "w.safetensors"
    path.write_bytes(whole()[1])
    yield len(weights.load(path).tensors)
    for data, _ in attacks(f"{place}/canary").values():
        path.write_bytes(data)
        try:
            yield f"accepted: {weights.load(path)}"
        except WeightsError as error:
            yield str(error)


def test_attacks_are_refused_in_a_line(tmp_path):
    _, *lines = results(attacked, str(tmp_path), seconds=10, megabytes=MEGABYTES)
    for (name, (_, words)), line in zip(attacks(None).items(), lines, strict=True):
        assert line.startswith(f"{tmp_path}/w.safetensors: "), name
        assert words in line, name
        assert len(line.splitlines()) == 1, name
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]
    with pickle.loads(pickle.dumps(Opens(f"{tmp_path}/canary"))):
        assert (tmp_path / "canary").exists()
