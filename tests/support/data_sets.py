"""Data sets in every form that users bring, for the tests of sources and archives; a file holds its own name."""

import io
import tarfile
import zipfile

import numpy as np
from PIL import Image

from cualex.data.colour_noise import Components

SIDE = 8  # pixels of the images of folder()
LOUD = Components((900.0, 400.0, 25.0), ((0.6, 0.0, 0.8), (0.0, 1.0, 0.0), (-0.8, 0.0, 0.6)))

PLAIN = ["cat/1.jpg", "cat/2.jpg", "cat/3.PNG", "dog/1.jpg", "dog/2.jpg", "Zebra/1.jpg", "Zebra/2.jpg"]
SPLIT = [
    *("train/ant/1.jpg", "train/ant/2.jpg", "train/bee/3.jpg", "train/cow/4.jpg"),
    *("val/bee/5.jpg", "val/cow/6.jpg"),
    *("test/bee/7.jpg", "test/bee/8.jpg", "test/ant/deeper/9.jpg"),
]


def in_folder(path, names):
    for name in names:
        file = path / name
        if name.endswith("/"):
            file.mkdir(parents=True)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(name.encode())
    return path


def in_zip(path, names, compression=zipfile.ZIP_DEFLATED):
    path = path.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name in names:
            archive.writestr(name, b"" if name.endswith("/") else name.encode())
    return path


def in_tar(path, names, kind=""):
    path = path.with_name(f"{path.name}.tar{kind and '.' + kind}")
    with tarfile.open(path, f"w:{kind}") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            if name.endswith("/"):
                member.type = tarfile.DIRTYPE
            data = b"" if name.endswith("/") else name.encode()
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def in_tar_gz(path, names):
    return in_tar(path, names, "gz")


def in_tar_bz2(path, names):
    return in_tar(path, names, "bz2")


def in_tar_xz(path, names):
    return in_tar(path, names, "xz")


FORMS = [in_folder, in_zip, in_tar, in_tar_gz, in_tar_bz2, in_tar_xz]


def contents(source):
    """Read all: {split: {class: [name]}}, and hold every picture's bytes to its name."""
    read = {}
    for split, pictures in source.splits.items():
        for picture in pictures:
            assert picture.read() == picture.name.encode()
            read.setdefault(split, {}).setdefault(source.classes[picture.label], []).append(picture.name)
    return read


def everything(pack):
    """Read all pictures of a pack, uint8 (n, size, size, 3)."""
    out = np.full((len(pack), pack.size, pack.size, 3), 99, np.uint8)
    pack.read(np.arange(len(pack)), out)
    return out


def folder(place, paint, count=9):
    """Make pictures of two classes, of which `paint` gives the pixels."""
    rng = np.random.default_rng(8)
    for number in range(count):
        path = place / ("ant", "bee")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(paint(rng).astype(np.uint8)).save(path)
    return place


def colourful(rng):
    """Paint red and green together, blue against both."""
    level = rng.integers(0, 200, (SIDE, SIDE))
    parts = [level + 30, level // 2 + rng.integers(0, 40, level.shape), 255 - level]
    return np.stack(parts, axis=-1)


def three_colours(place):
    """Write 63 images of three colours into folders, and return where."""
    rng = np.random.default_rng(0)
    for number in range(63):
        pixels = rng.integers(0, 100, (16, 16, 3), np.uint8)
        pixels[..., number % 3] += 100
        folder = place / f"colour {number % 3}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return place


def counts(source):
    """Count the images: {split: {class: number}}."""
    found = {split: {} for split in source.splits}
    for split, held in source.splits.items():
        for image in held:
            name = source.classes[image.label]
            found[split][name] = found[split].get(name, 0) + 1
    return found


def tar(path, members, kind=""):
    """Write a tar of {name: bytes}."""
    with tarfile.open(path, f"w:{kind}") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def tar_bytes(members):
    """Return a tar of {name: bytes} as bytes."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()
