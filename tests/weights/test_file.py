"""A weights file comes back equal to the byte, or not at all; whatever is wrong with it is one line."""

import dataclasses
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import safetensors
from safetensors.numpy import load_file, save_file

from cualex import networks, weights
from cualex.errors import OutputError, WeightsError
from cualex.weights import Weights, tensor_file
from tests import ROOT
from tests.support import colour_network

UMASK = os.umask(0)
os.umask(UMASK)
WAYS_OUT = ("Copy it again", "Give a weights file", "Update cualex", "as `cualex train` writes")


@pytest.fixture
def tiny(rng):
    """Make a two-tower network of 3 filters a tower, with numbers that are all different."""
    network = networks.build("alexnet", classes=3, crop=67, width=1 / 64)
    tensors = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in network.parameters().items()}
    mean = rng.uniform(0, 255, (network.stored, network.stored, 3)).astype(np.float32)
    return Weights(network, tensors, ["é", "two words", "c/d"], mean, notes={"training": '{"update": 7}'})


@pytest.fixture
def file(tiny, tmp_path):
    weights.save(tmp_path / "w.safetensors", tiny)
    return tmp_path / "w.safetensors"


@pytest.fixture
def refused(tmp_path):
    """See that a file is refused in one line that names it and the way out, and return the line."""

    def check(path, data=None):
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(WeightsError) as caught:
            weights.load(path)
        line = str(caught.value)
        assert line.startswith(f"{path}: ")
        assert "\n" not in line
        assert any(way in line for way in WAYS_OUT), line
        return line

    return check


def equal(one, other):
    """Tell whether two networks are the same to the bit."""
    pairs = [(one.tensors, other.tensors), (one.velocities, other.velocities)]
    arrays = [{"mean": one.mean}, {"mean": other.mean}]
    same = all(
        a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a) for a, b in [*pairs, arrays]
    )
    return same and (one.network, list(one.classes), one.notes) == (
        other.network,
        list(other.classes),
        other.notes,
    )


# --- there and back


def test_everything_comes_back_to_the_bit(tiny, file):
    assert equal(weights.load(file), tiny)
    assert all(tensor.flags.writeable for tensor in weights.load(str(file)).tensors.values())


def test_numbers_of_every_kind_come_back(tiny, tmp_path):
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4e38], np.float32)
    tiny.tensors["conv1.weight"].ravel()[:6] = odd
    weights.save(tmp_path / "w", tiny)
    assert equal(weights.load(tmp_path / "w"), tiny)


def test_the_same_network_gives_the_same_file(tiny, tmp_path):
    digests = {weights.save(tmp_path / name, tiny) for name in "ab"}
    assert len(digests) == 1
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    tiny.tensors["fc8.bias"][2] = np.nextafter(tiny.tensors["fc8.bias"][2], np.float32(9))
    assert weights.save(tmp_path / "c", tiny) not in digests


def test_velocities_come_back_in_a_checkpoint(tiny, tmp_path):
    velocities = {name: 2 * tensor for name, tensor in tiny.tensors.items()}
    velocities |= {f"second.{name}": tensor**2 for name, tensor in tiny.tensors.items()}  # Adam's
    kept = dataclasses.replace(tiny, velocities=velocities)
    weights.save(tmp_path / "last", kept)
    assert equal(weights.load(tmp_path / "last"), kept)


def test_tensors_may_lie_in_memory_in_any_way(tiny, tmp_path):
    other = dict(tiny.tensors)
    other["fc6.weight"] = np.asfortranarray(other["fc6.weight"])
    other["conv2.weight"] = np.repeat(other["conv2.weight"], 2, axis=3)[..., ::2]
    other["conv1.bias"] = other["conv1.bias"].astype(">f4")
    weights.save(tmp_path / "w", dataclasses.replace(tiny, tensors=other))
    assert equal(weights.load(tmp_path / "w"), tiny)


def test_another_program_can_read_the_tensors(tiny, file):
    found = load_file(file)
    assert os.stat(file).st_mode & 0o777 == 0o666 & ~UMASK
    assert found.keys() == tiny.tensors.keys() | {"preprocessing.mean"}
    assert found["conv2.weight"].tobytes() == tiny.tensors["conv2.weight"].tobytes()
    with safetensors.safe_open(file, framework="numpy") as opened:
        assert json.loads(opened.metadata()["classes"]) == ["é", "two words", "c/d"]


# --- damaged bytes


def test_a_file_cut_short_anywhere_is_refused(file, refused):
    data = file.read_bytes()
    header = 8 + struct.unpack("<Q", data[:8])[0]
    for length in {
        0,
        1,
        7,
        8,
        9,
        100,
        header - 1,
        header,
        header + 1,
        header + 5000,
        len(data) // 2,
        len(data) - 1,
    }:
        refused(file, data[:length])


def test_a_file_with_more_at_its_end_is_refused(file, refused):
    refused(file, file.read_bytes() + b"\0")


def places(data):
    """Choose bytes to damage: all kinds of places in length, header, metadata and every tensor."""
    rng = np.random.default_rng(2012)
    header = 8 + struct.unpack("<Q", data[:8])[0]
    fields = json.loads(data[8:header])
    starts = [header + fields[name]["data_offsets"][0] for name in fields if name != "__metadata__"]
    ends = [header + fields[name]["data_offsets"][1] - 1 for name in fields if name != "__metadata__"]
    return [*range(8), *rng.integers(8, header, 190), *rng.integers(header, len(data), 80), *starts, *ends]


@pytest.mark.slow
def test_a_flipped_byte_anywhere_is_refused(tiny, file, refused):
    data = file.read_bytes()
    chosen = places(data)
    assert len(chosen) > 300
    for number, place in enumerate(chosen):
        spoiled = bytearray(data)
        spoiled[place] ^= 1 << number % 8 if number % 3 else 0xFF
        refused(file, bytes(spoiled))


@pytest.mark.parametrize("what", ["name", "shape", "classes", "notes", "dropout"])
def test_a_change_that_is_well_formed_is_refused(tiny, file, refused, what):
    """Each of these is a whole safetensors file of a whole network; only the digest tells."""
    tensors, metadata = load_file(file), safetensors.safe_open(file, framework="numpy").metadata()
    if what == "name":  # two tensors of one shape change places
        pair = "conv3.bias", "conv4.bias"
        tensors[pair[0]], tensors[pair[1]] = tensors[pair[1]], tensors[pair[0]]
    elif what == "shape":
        tensors["fc7.weight"] = np.ascontiguousarray(tensors["fc7.weight"].T)
    elif what == "classes":
        metadata["classes"] = json.dumps(["é", "c/d", "two words"])
    elif what == "notes":
        metadata["notes"] = "{}"
    else:
        metadata["network"] = metadata["network"].replace('"dropout": 0.5', '"dropout": 0.9')
    save_file(tensors, file, metadata)
    assert "checksum mismatch" in refused(file)


def test_a_header_that_claims_too_much_is_refused(file, refused):
    data = file.read_bytes()
    for length in (2**63, 2**64 - 1, 10**11, 10**8, len(data)):
        refused(file, struct.pack("<Q", length) + data[8:])


OTHER = (
    "not a weights file of cualex, which are safetensors. Copy it again if it was one; `cualex import` converts those "
    "of PyTorch, ONNX, Caffe, Keras and TensorFlow."
)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "damaged or incomplete weights file of cualex (header too small). Copy it again, or train again."),
        (b"{}", "damaged or incomplete weights file of cualex (header too small). Copy it again, or train again."),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), OTHER),
        (b"PK\3\4" + bytes(5000), OTHER),
        (b"<html>not found</html>", OTHER),
        (bytes(4096), OTHER),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, refused, data, words):
    assert refused(tmp_path / "x.safetensors", data) == f"{tmp_path}/x.safetensors: {words}"


# --- whole files of something else


def rewritten(file, tensors=None, **metadata):
    """Write a file anew with other tensors or metadata, and with the digest that belongs to them."""
    with safetensors.safe_open(file, framework="numpy") as opened:
        metadata = {**opened.metadata(), **metadata}
    tensors = {**load_file(file), **(tensors or {})}
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    metadata = {name: text for name, text in metadata.items() if text is not None}
    if "digest" in metadata:
        metadata["digest"] = weights.digest(metadata, tensors)
    save_file(tensors, file, metadata)


def test_safetensors_of_another_program_are_refused(tmp_path, refused):
    save_file({"features.0.weight": np.zeros((64, 3, 11, 11), np.float32)}, tmp_path / "x")
    assert refused(tmp_path / "x").endswith(
        ": not a weights file of cualex, as `cualex train` writes; `cualex import` converts others."
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fc8.weight": None}, "lacks fc8.weight, so it is not alexnet"),
        ({"preprocessing.mean": None}, "lacks preprocessing.mean, so it is not alexnet"),
        ({"fc9.bias": np.zeros(3, np.float32)}, "has fc9.bias, which alexnet does not have"),
        ({"velocity.fc9.bias": np.zeros(3, np.float32)}, "has velocity.fc9.bias, which alexnet does not have"),
        (
            {"velocity.third.fc8.bias": np.zeros(10, np.float32)},
            "has velocity.third.fc8.bias, which alexnet does not have",
        ),
        ({"fc8.bias": np.zeros(3)}, "fc8.bias is F64 (3,), expected F32 (3,)"),
        ({"fc8.bias": np.zeros(3, np.float16)}, "fc8.bias is F16 (3,), expected F32 (3,)"),
        ({"fc8.bias": np.zeros((3, 1), np.float32)}, "fc8.bias is F32 (3, 1), expected F32 (3,)"),
        ({"fc8.bias": np.zeros(0, np.float32)}, "fc8.bias is F32 (0,), expected F32 (3,)"),
    ],
)
def test_tensors_of_another_network_are_named(file, refused, change, words):
    rewritten(file, change)
    assert refused(file) == (f"{file}: {words}. Copy it again, or give a weights file of this network.")


@pytest.mark.parametrize(
    "said",
    [
        {"name": "resnet", "arguments": {}},
        {"name": "alexnet", "arguments": {"depth": 3}},
        {"name": "alexnet", "arguments": {"crop": 5}},
    ],
)
def test_a_network_that_is_not_known_is_said(file, refused, said):
    rewritten(file, network=json.dumps(said))
    assert ": written by another version of cualex (" in refused(file)


def test_pictures_that_would_be_prepared_otherwise_are_said(tiny, file, refused):
    """The weights fit, but they have learned from other numbers: the answers would be wrong in silence."""
    own = {**weights.preprocessing(tiny.network), "scale": 0.25}
    rewritten(file, preprocessing=json.dumps(own))
    assert refused(file) == (
        f"{file}: written by another version of cualex (its images have scale 0.25, expected 1.0). "
        "Update cualex, or train again."
    )


@pytest.mark.parametrize(
    "change",
    [
        {"network": "[]"},
        {"preprocessing": None},
        {"network": '{"name": ["alexnet"], "arguments": {}}'},
        {"network": '{"name": "alexnet", "arguments": {"width": 1e999}}'},
        {"network": "[" * 100_000},
        {"network": None},
        {"classes": "3"},
        {"classes": None},
        {"notes": None},
        {"notes": "{"},
        {"digest": None},
    ],
)
def test_metadata_that_make_no_sense_are_refused(file, refused, change):
    rewritten(file, **change)
    refused(file)


def test_another_number_of_classes_is_said(file, refused):
    rewritten(file, classes='["a", "b"]')
    assert "names 2 classes for a network with 3" in refused(file)


def test_a_place_without_a_file_is_said(tmp_path, refused):
    way = "Give a weights file such as runs/train/best.safetensors."
    assert refused(tmp_path / "none") == f"{tmp_path}/none: cannot be read (No such file or directory). {way}"
    assert refused(tmp_path) == f"{tmp_path}: a directory without best.safetensors, so not a run. {way}"
    assert "not a file, but a device or pipe" in refused(type(tmp_path)("/dev/null"))
    refused(tmp_path / ("x" * 300))


def test_a_file_that_may_not_be_read_is_said(file, refused, monkeypatch):
    def denied(self, *arguments):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(type(file), "open", denied)
    assert f"{file}: cannot be read (Permission denied). Give" in refused(file)


# --- places that cannot be written


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_file_whole(tiny, file):
    """A limit on the size of files stands in for the end of the disk: the system stops the write halfway."""
    code = (
        "import resource, sys\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from tests.support import colour_network\n"
        "from cualex import weights\n"
        "made = colour_network.made()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    weights.save(sys.argv[1], made)\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, file, ROOT], capture_output=True, text=True, check=True)
    assert done.stdout == (
        f"OutputError cannot write {file}: the file would be larger than this system allows. Choose another path.\n"
    )
    assert os.listdir(file.parent) == [file.name]
    assert equal(weights.load(file), tiny)


@pytest.mark.parametrize("place", [3, 300, 0.5, -1])
def test_a_disk_that_keeps_something_else_is_noticed(tiny, file, monkeypatch, place):
    """The header's length, the header, a number in the middle, the last byte: each is compared before it counts."""
    write, before = tensor_file.write, file.read_bytes()

    def spoil(tensors, metadata, path, digest):
        made = write(tensors, metadata, path, digest)
        data = bytearray(path.read_bytes())
        data[int(place * len(data)) if place == 0.5 else place] ^= 1
        path.write_bytes(data)
        return made

    monkeypatch.setattr(tensor_file, "write", spoil)
    with pytest.raises(OutputError, match=r"it does not read back as it was written\. The disk may be failing\."):
        weights.save(file, dataclasses.replace(tiny, notes={}))
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == [file.name]


def test_a_place_that_cannot_be_written_is_said(tiny, tmp_path):
    with pytest.raises(OutputError, match="its directory does not exist"):
        weights.save(tmp_path / "none" / "w.safetensors", tiny)
    with pytest.raises(OutputError, match="it is a directory"):
        weights.save(tmp_path, tiny)
    assert os.listdir(tmp_path) == []


def test_colours_are_named_by_a_file_as_well(tmp_path):
    """The network of the other tests goes through a file unchanged."""
    assert equal(weights.load(colour_network.saved(tmp_path / "w")), colour_network.made())
