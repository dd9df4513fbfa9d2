"""Images that are kept as arrays: MNIST's idx files, and the python and binary batches of CIFAR-10 and CIFAR-100.

Each image becomes a file of its class in its split, `train/7/00012.pgm`, so that everything else sees folders.
"""

import functools
import gzip
import io
import pickle
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from cualex.data.sources import split_names
from cualex.data.sources.listing import File
from cualex.errors import DataError

_MOST = 1_000_000_000  # bytes that one file may expand to: EMNIST's largest has 548 million
_IDX = re.compile(r"(.*?)[-_.]?(images|labels)[-_.]idx([13])[-_.]?ubyte(?:\.gz)?", re.IGNORECASE)
_PYTHON = re.compile(r"(?:data_batch_\d+|test_batch|train|test)")
_BINARY = re.compile(r"(?:data_batch_\d+|test_batch|train|test)\.bin")
_SIDE = 32  # of CIFAR's images
_PIXELS = 3 * _SIDE * _SIDE


def expanded(files: Sequence[File]) -> list[File] | None:
    """Return the images in the arrays among the files, or None where there are none of a known kind.

    Raise DataError for files of a known kind that are damaged, or that lack their labels.
    """
    return next((found for reader in (_idx, _cifar_python, _cifar_binary) if (found := reader(files))), None)


def is_idx(name: str) -> bool:
    """Return whether a file's name is that of an idx file."""
    return _IDX.fullmatch(name) is not None


def _images(
    split: str, file: File, names: Sequence[str], ending: str, encoded: Callable[[int], bytes]
) -> Iterator[File]:
    """Yield an image's file for each class name of an array."""
    digits = len(str(len(names)))
    for index, group in enumerate(names):
        stem = file.name.replace("/", "_").partition(".")[0]
        name = f"{split}/{group}/{stem}-{index:0{digits}}{ending}"
        yield File(name, f"{file.stamp} {index}", functools.partial(encoded, index))


def _pgm(images: np.ndarray, index: int) -> bytes:
    rows, columns = images[index].shape
    return b"P5 %d %d 255\n" % (columns, rows) + images[index].tobytes()


def _ppm(images: np.ndarray, index: int) -> bytes:
    planes = images[index].reshape(3, _SIDE, _SIDE)
    return b"P6 %d %d 255\n" % (_SIDE, _SIDE) + planes.transpose(1, 2, 0).tobytes()


def _idx(files: Sequence[File]) -> list[File] | None:
    """Read MNIST and its kin: a file of images and one of labels for each split; of a copy beside its .gz only one."""
    parts: dict[tuple[str, str], File] = {}
    for file in files:
        found = _IDX.fullmatch(file.name.rpartition("/")[2])
        if found and (found[2].lower() == "images") == (found[3] == "3"):
            key = (file.name[: file.name.rfind("/") + 1] + found[1], found[2].lower())
            if key not in parts or parts[key].name.endswith(".gz"):
                parts[key] = file
    made: list[File] = []
    for (prefix, kind), file in parts.items():
        if kind != "images":
            continue
        if (prefix, "labels") not in parts:
            raise DataError(f"{file.name}: its labels are missing; put {_labels_of(file.name)} beside it")
        images = _array(file, 3)
        labels = _array(parts[prefix, "labels"], 1)
        if len(images) != len(labels):
            raise DataError(
                f"{file.name}: {len(images):,} images and {len(labels):,} labels; copy or download both again"
            )
        word = prefix.rpartition("/")[2]
        split = next(
            (split for part in re.split(r"[^a-z0-9]+", word.lower()) if (split := split_names.bare(part))), None
        )
        names = [str(label) for label in labels.tolist()]
        made += _images(split or "train", file, names, ".pgm", functools.partial(_pgm, images))
    return made or None


def _labels_of(name: str) -> str:
    return name.rpartition("/")[2].replace("images", "labels").replace("idx3", "idx1")


def _array(file: File, dimensions: int) -> np.ndarray:
    """Read an idx file of bytes: 0, 0, 8 (uint8), the number of dimensions, each as a big-endian word, the values."""
    data = _whole(file)
    head = 4 + 4 * dimensions
    if len(data) < head or data[:4] != bytes([0, 0, 8, dimensions]):
        raise DataError(f"{file.name}: not an idx file of bytes in {dimensions} dimensions")
    shape = struct.unpack_from(f">{dimensions}I", data, 4)
    size = int(np.prod(shape, dtype=object))
    if len(data) != head + size or 0 in shape[1:]:
        raise DataError(
            f"{file.name}: {len(data) - head:,} bytes of values, expected {size:,}; copy or download it again"
        )
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)


def _whole(file: File) -> bytes:
    """Return a file's bytes, expanded where it is a .gz."""
    data = file.read()
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            data = stream.read(_MOST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file.name}: damaged ({error}); copy or download it again") from None
    if len(data) > _MOST:
        raise DataError(f"{file.name}: it expands beyond {_MOST // 1_000_000} MB, too large for a data set")
    return data


class _Plain(pickle.Unpickler):
    """A pickle reader for dictionaries of arrays: it makes nothing else, and so runs nothing of the file."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what an array is made of."""
        if (module.replace("numpy._core", "numpy.core"), name) == ("numpy.core.multiarray", "_reconstruct"):
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            return lambda text, encoding: text.encode("latin-1")
        raise pickle.UnpicklingError(f"it has {module[:40]}.{name[:40]}, expected arrays")


def _unpickled(file: File) -> dict[str, Any]:
    """Return a pickled dictionary, its keys as text."""
    try:
        found = _Plain(io.BytesIO(file.read()), encoding="bytes").load()
    # A damaged pickle raises almost anything.
    except Exception as error:
        raise DataError(f"{file.name}: damaged ({' '.join(str(error).split())[:100]}); download it again") from None
    if not isinstance(found, dict):
        raise DataError(f"{file.name}: expected a dictionary of CIFAR, got {type(found).__name__}")
    return {_word(key): value for key, value in found.items()}


def _word(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _cifar_python(files: Sequence[File]) -> list[File] | None:
    """Read data_batch_1 ... and test_batch of CIFAR-10, or train and test of CIFAR-100 with their fine labels."""
    batches = [file for file in files if _PYTHON.fullmatch(_base(file))]
    meta = next((file for file in files if _base(file) in ("batches.meta", "meta")), None)
    if not batches or not any(file.read()[:1] == b"\x80" for file in batches[:1]):
        return None
    known: list[str] = []
    if meta is not None:
        described = _unpickled(meta)
        known = [_word(name) for name in described.get("fine_label_names") or described.get("label_names") or []]
    made: list[File] = []
    for file in batches:
        batch = _unpickled(file)
        images: Any = batch.get("data")
        labels: Any = batch.get("fine_labels") or batch.get("labels")
        whole = isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.shape[1:] == (_PIXELS,)
        if not whole or not isinstance(labels, list) or len(labels) != len(images):
            raise DataError(f"{file.name}: expected `data` of {_PIXELS} bytes an image and as many labels")
        names = _named([int(label) for label in labels], known)
        made += _images(_split(file), file, names, ".ppm", functools.partial(_ppm, images))
    return made


def _cifar_binary(files: Sequence[File]) -> list[File] | None:
    """Read the .bin files: a label, in CIFAR-100 two of which the second is the finer, and the pixels by colour."""
    batches = [file for file in files if _BINARY.fullmatch(_base(file))]
    if not batches:
        return None
    fine = any(_base(file) in ("train.bin", "test.bin") for file in batches)
    wanted = "fine_label_names.txt" if fine else "batches.meta.txt"
    listed = next((file for file in files if _base(file) == wanted), None)
    known = [] if listed is None else listed.read().decode("utf-8", "replace").split()
    made: list[File] = []
    for file in batches:
        data = np.frombuffer(file.read(), np.uint8)
        record = _PIXELS + (2 if fine else 1)
        if not len(data) or len(data) % record:
            raise DataError(f"{file.name}: {len(data):,} bytes, expected a multiple of {record:,}; download it again")
        rows = data.reshape(-1, record)
        names = _named(rows[:, record - _PIXELS - 1].tolist(), known)
        made += _images(_split(file), file, names, ".ppm", functools.partial(_ppm, rows[:, record - _PIXELS :]))
    return made


def _base(file: File) -> str:
    return file.name.rpartition("/")[2]


def _split(file: File) -> str:
    return "test" if _base(file).startswith("test") else "train"


def _named(labels: list[int], known: list[str]) -> list[str]:
    """Return the classes' names, or their numbers where the list of names lacks one."""
    return (
        [known[label] for label in labels] if len(known) > max(labels, default=0) else [str(label) for label in labels]
    )
