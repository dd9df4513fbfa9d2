"""MNIST and CIFAR as they are downloaded: read to the pixels that they hold, or refused."""

import gzip
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from cualex.data import images, sources
from cualex.data.sources import arrays
from cualex.errors import DataError
from tests.support.data_sets import counts, in_folder, tar

RNG = np.random.default_rng(1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# --- MNIST and its kin

DIGITS = {"train": RNG.integers(0, 256, (20, 9, 7), np.uint8), "t10k": RNG.integers(0, 256, (10, 9, 7), np.uint8)}


def idx(place, compressed, prefix="", dot="-"):
    place.mkdir(exist_ok=True)
    for split, pixels in DIGITS.items():
        labels = (np.arange(len(pixels)) % 5).astype(np.uint8)
        files = {
            f"{prefix}{split}-images{dot}idx3-ubyte": struct.pack(">4I", 2051, *pixels.shape) + pixels.tobytes(),
            f"{prefix}{split}-labels{dot}idx1-ubyte": struct.pack(">2I", 2049, len(labels)) + labels.tobytes(),
        }
        for name, data in files.items():
            (place / (f"{name}.gz" if compressed else name)).write_bytes(gzip.compress(data) if compressed else data)
    return place


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize(("prefix", "dot"), [("", "-"), ("", "."), ("emnist-letters-", "-")])
def test_mnist(tmp_path, compressed, prefix, dot):
    place = idx(tmp_path / "mnist", compressed, prefix, dot)
    source = sources.find(place, val_split=0)
    assert counts(source) == {"train": dict.fromkeys("01234", 4), "test": dict.fromkeys("01234", 2)}
    for split, name in (("train", "train"), ("test", "t10k")):
        for image in source.splits[split]:
            index = int(image.name.rpartition("-")[2].removesuffix(".pgm"))
            grey = images.decode(image.read(), "x")
            assert (grey == DIGITS[name][index][:, :, None]).all()
            assert source.classes[image.label] == str(index % 5)


def test_one_of_the_files_stands_for_those_beside_it(tmp_path):
    place = idx(tmp_path / "mnist", True)
    in_folder(place, ["cat/1.jpg", "notes.txt"])
    for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"):
        assert counts(sources.find(place / name, val_split=0))["train"] == dict.fromkeys("01234", 4)


def test_files_that_were_expanded_beside_are_read_once(tmp_path):
    idx(tmp_path / "mnist", True)
    assert len(sources.find(idx(tmp_path / "mnist", False), val_split=0).splits["train"]) == 20


def test_mnist_in_a_zip(tmp_path):
    place = idx(tmp_path / "mnist", True)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for path in place.iterdir():
            archive.write(path, f"archive/{path.name}")
    assert counts(sources.find(tmp_path / "archive.zip", val_split=0))["test"] == dict.fromkeys("01234", 2)


def cut(data):
    return data[:-3]


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("train-images-idx3-ubyte", cut, "1,257 bytes of values, expected 1,260; copy or download it again"),
        ("train-labels-idx1-ubyte", lambda data: data[:3], "not an idx file of bytes in 1 dimensions"),
        ("train-images-idx3-ubyte", lambda data: b"\0\0\x0d\3" + data[4:], "not an idx file of bytes in 3 dimensions"),
        (
            "train-images-idx3-ubyte",
            lambda data: data[:4] + struct.pack(">3I", 2**31, 2**31, 2**31) + data[16:],
            "1,260 bytes of values, expected 9,903,520,314,283,042,199,192,993,792; copy or download it again",
        ),
    ],
)
def test_damaged_idx_files(tmp_path, file, change, message):
    place = idx(tmp_path / "mnist", False)
    (place / file).write_bytes(change((place / file).read_bytes()))
    with pytest.raises(DataError) as caught:
        sources.find(place)
    assert str(caught.value) == f"{place}: {file}: {message}"


def test_idx_files_that_do_not_belong_together(tmp_path):
    place = idx(tmp_path / "mnist", False)
    (place / "train-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, 2) + b"\0\1")
    with pytest.raises(DataError, match=r"20 images and 2 labels; copy or download both again$"):
        sources.find(place)
    (place / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"its labels are missing; put train-labels-idx1-ubyte beside it$"):
        sources.find(place)


def test_an_idx_that_expands_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "_MOST", 1000)
    with pytest.raises(DataError, match=r"it expands beyond 0 MB, too large for a data set$"):
        sources.find(idx(tmp_path / "mnist", True))


# --- CIFAR

PIXELS = RNG.integers(0, 256, (20, 3072), np.uint8)
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def cifar_python(names=NAMES):
    batch = {b"data": PIXELS, b"labels": [*range(10), *range(10)], b"filenames": [b"x.png"] * 20}
    return {
        **{f"cifar-10-batches-py/{name}": pickle.dumps(batch, protocol=2) for name in ("data_batch_1", "test_batch")},
        "cifar-10-batches-py/batches.meta": pickle.dumps({b"label_names": [name.encode() for name in names]}),
        "cifar-10-batches-py/readme.html": b"<html>",
    }


def cifar_100_python():
    batch = {b"data": PIXELS, b"fine_labels": [*range(10), *range(10)], b"coarse_labels": [0] * 20}
    return {
        **{f"cifar-100-python/{name}": pickle.dumps(batch) for name in ("train", "test")},
        "cifar-100-python/meta": pickle.dumps({b"fine_label_names": [name.encode() for name in NAMES]}),
    }


def records(*labels):
    return b"".join(bytes([label[n] for label in labels]) + PIXELS[n].tobytes() for n in range(20))


def cifar_binary():
    data = records([*range(10), *range(10)])
    return {
        **{f"cifar-10-batches-bin/{name}.bin": data for name in ("data_batch_1", "test_batch")},
        "cifar-10-batches-bin/batches.meta.txt": "".join(f"{name}\n" for name in NAMES).encode(),
    }


def cifar_100_binary():
    data = records([0] * 20, [*range(10), *range(10)])
    return {
        **{f"cifar-100-binary/{name}.bin": data for name in ("train", "test")},
        "cifar-100-binary/fine_label_names.txt": "".join(f"{name}\n" for name in NAMES).encode(),
    }


@pytest.mark.parametrize("make", [cifar_python, cifar_100_python, cifar_binary, cifar_100_binary])
@pytest.mark.parametrize("form", ["archive", "folder"])
def test_cifar(tmp_path, make, form):
    path = tar(tmp_path / "cifar.tar.gz", make(), "gz")
    if form == "folder":
        with tarfile.open(path) as archive:
            archive.extractall(tmp_path / "folder", filter="data")
        path = tmp_path / "folder"
    source = sources.find(path, val_split=0)
    assert counts(source) == {split: dict.fromkeys(NAMES, 2) for split in ("train", "test")}
    for image in source.splits["train"]:
        index = int(image.name.rpartition("-")[2].removesuffix(".ppm"))
        expected = PIXELS[index].reshape(3, 32, 32).transpose(1, 2, 0)
        assert (images.decode(image.read(), "x") == expected).all()
        assert source.classes[image.label] == NAMES[index % 10]


def test_classes_that_the_list_lacks_are_numbers(tmp_path):
    source = sources.find(tar(tmp_path / "c.tar", cifar_python(["airplane"])), val_split=0)
    assert source.classes == tuple("0123456789")


class Harm:
    def __reduce__(self):
        return (print, ("this ran",))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (pickle.dumps(Harm()), "damaged (it has builtins.print, expected arrays); download it again"),
        (pickle.dumps([1]), "expected a dictionary of CIFAR, got list"),
        (pickle.dumps({b"data": PIXELS[:, :9], b"labels": [0]}),
         "expected `data` of 3072 bytes an image and as many labels"),
        (cifar_python()["cifar-10-batches-py/data_batch_1"][:999],
         "damaged (pickle data was truncated); download it again"),
    ],
)  # fmt: skip
def test_pickles_that_are_no_batches(tmp_path, capsys, batch, message):
    path = tar(tmp_path / "cifar.tar", {**cifar_python(), "cifar-10-batches-py/data_batch_1": batch})
    with pytest.raises(DataError) as caught:
        sources.find(path)
    assert str(caught.value) == f"{path}: cifar-10-batches-py/data_batch_1: {message}"
    assert "this ran" not in capsys.readouterr().out
