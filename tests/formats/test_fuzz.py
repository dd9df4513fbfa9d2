"""Damaged files of other programs: refused in one line, or tensors of the right shapes from the right places.

`python -m tests.formats.test_fuzz 20000` tries so many of each format.
"""

import collections
import functools
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from cualex import networks
from cualex.errors import WeightsError
from cualex.formats import load, recognise
from cualex.formats.onnx import export
from cualex.formats.reading.contents import Contents
from cualex.weights import Weights
from tests.support import foreign_files, mutations
from tests.support.confined import results

FEW, MANY = 50, 2_000
MEGABYTES = 32 + 64  # a file has a tenth of one; the thread that takes the SHA-256 may reserve 64 of addresses
SMALL = {"classes": 3, "crop": 67, "width": 88 / 4096}
WRITERS = {
    "caffe": lambda network, tensors: foreign_files.caffemodel(network, foreign_files.caffe_order(tensors)),
    "caffe of 2014": lambda network, tensors: foreign_files.caffemodel(
        network, foreign_files.caffe_order(tensors), old=True
    ),
    "onnx": lambda network, tensors: foreign_files.zoo(network, foreign_files.caffe_order(tensors)),
    "numpy": lambda network, tensors: foreign_files.npy(foreign_files.layers(network, tensors)),
    "numpy of Python 2": lambda network, tensors: foreign_files.python2_npy(foreign_files.layers(network, tensors)),
    "torch": lambda _, tensors: foreign_files.pth(foreign_files.torchvision(tensors)),
    "torch before 2020": lambda _, tensors: foreign_files.old_pth(foreign_files.torchvision(tensors)),
    "our onnx": lambda network, tensors: exported(network, tensors),
    "safetensors": lambda _, tensors: save(foreign_files.torchvision(tensors)),
}
OURS = ("our onnx",)  # whose text says its network, in words that may become other words
SUMMED = ("torch",)  # whose format keeps a sum of every byte of a tensor


def exported(network, tensors):
    """Write our own ONNX, with dropout that is put into the weights."""
    mean = np.full((network.stored, network.stored, 3), 100, np.float32)
    with tempfile.TemporaryDirectory() as place:
        (file,) = export.save(Path(place) / "net", Weights(network, tensors, ["a", "b", "c"], mean))
        return file.read_bytes()


@functools.cache
def whole(kind):
    """Make a file: its network, its tensors, its bytes, and which of them are not numbers of tensors."""
    rng = np.random.default_rng(2012)
    name = "alexnet-torchvision" if kind.startswith(("torch", "safe")) else "alexnet-caffe"
    name = "alexnet" if kind in OURS else name
    network = networks.build(name, **SMALL)
    tensors = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in network.parameters().items()}
    data = WRITERS[kind](network, tensors)
    structure = np.ones(len(data), bool)
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        with Contents(file.name) as contents:
            for tensor in recognise.read(contents, file.name).tensors.values():
                structure[slice(*tensor.span)] = False
    return network, tensors, data, np.flatnonzero(structure)


def structural(rng, data, places):
    """Change what is not a number of a tensor: bits, extreme bytes, or what stands elsewhere in the structure."""
    changed = bytearray(data)
    while changed == data:
        for _ in range(rng.integers(1, 4)):
            first = rng.integers(len(places))
            for place in places[first : first + rng.choice([1, 1, 2, 4, 8])]:
                way = rng.integers(4)
                if way == 0:
                    changed[place] ^= 1 << int(rng.integers(8))
                elif way == 1:
                    changed[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF]))
                elif way == 2:
                    changed[place] = data[rng.choice(places)]
                else:
                    changed[place] = (changed[place] + int(rng.choice([-1, 1]))) % 256
    return bytes(changed)


def damaged(kind, count):
    """Yield what comes of each damaged file: "same", "changed" where the format cannot tell, or the line."""
    network, tensors, data, places = whole(kind)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as place:
        path = Path(place) / "file"
        for number in range(-1, count):
            rng = np.random.default_rng([2012, number + 1])
            inside = number % 2 == 0
            mutant = structural(rng, data, places) if inside else mutations.mutate(rng, data, [data])
            path.write_bytes(data if number < 0 else mutant)
            try:
                found, _ = load.load(path, crop=67)
            except WeightsError as error:
                yield str(error).removeprefix(f"{path}: ")
                continue
            same = all(np.array_equal(found.tensors[name], tensors[name]) for name in tensors)
            if kind in OURS and found.network != network:
                yield "changed"
            elif found.network != network:
                yield f"{number} is accepted as {found.network.name}"
            elif any(found.tensors[name].shape != values.shape for name, values in tensors.items()):
                yield f"{number} is accepted with other shapes"
            elif not same and (inside or kind in SUMMED) and not turned(found.tensors, tensors):
                yield f"{number} is accepted with numbers from elsewhere"
            else:
                yield "same" if same else "changed"


def turned(found, tensors):
    """Tell whether each tensor has its own numbers, if in another order: one bit says whether rows or columns run."""
    return all(np.array_equal(np.sort(found[name], None), np.sort(each, None)) for name, each in tensors.items())


def each_damaged(count):
    """Yield [kind, what comes of it] for every format in turn."""
    for kind in WRITERS:
        yield from ([kind, line] for line in damaged(kind, count))


@pytest.mark.slow
@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_damage_is_refused_or_moves_nothing(count):
    """Tries 50 damaged files per format, 2,000 under `-m slow`."""
    found = results(each_damaged, count, seconds=10, megabytes=MEGABYTES)
    for kind in WRITERS:
        first, *lines = (line for own, line in found if own == kind)
        assert (first, len(lines)) == ("same", count), kind
        assert [line for line in lines if "is accepted" in line] == [], kind
        for line in lines:
            assert "\n" not in line
            assert len(line) < 400
            assert line in ("same", "changed") or line.endswith((".", ")")), line
        assert sum(line not in ("same", "changed") for line in lines) > count / 2, kind


def main(count):
    """Try many of each format and print what came of them."""
    for kind in WRITERS:
        first, *lines = results(damaged, kind, count, seconds=60, megabytes=MEGABYTES)
        found = collections.Counter(line if line in ("same", "changed") else "refused" for line in lines)
        wrong = [line for line in lines if "is accepted" in line]
        print(f"{kind}: {dict(found)} of {len(lines)}, {len(wrong)} wrong {wrong[:3]}", first, flush=True)


if __name__ == "__main__":
    from tests.formats import test_fuzz  # by its name, under which another process finds it

    test_fuzz.main(int(sys.argv[1]))
