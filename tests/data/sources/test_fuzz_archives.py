"""Archives that are damaged or meant to harm: one line each, soon and small, and no member read for another."""

import functools
import gzip
import io
import os
import struct
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cualex.data import sources
from cualex.data.sources import archives
from cualex.errors import DataError, PictureError
from tests.support import mutations
from tests.support.confined import MEGABYTE, results
from tests.support.data_sets import PLAIN, in_tar, in_tar_gz, in_zip

COUNT, FEW = 5_000, 200
MEGABYTES = 64


def answers(path):
    """Find a set and read it all: {name: bytes, or the line}, or the one line."""
    try:
        pictures = sources.find(path, val_split=0).splits["train"]
    except DataError as error:
        return str(error).removeprefix(f"{path}: ")
    found = {}
    for picture in pictures:
        try:
            found[picture.name] = picture.read()
        except PictureError as error:
            found[picture.name] = str(error)
    return found


@functools.cache
def whole():
    with tempfile.TemporaryDirectory() as place:
        stored = functools.partial(in_zip, compression=zipfile.ZIP_STORED)
        return [form(Path(place) / "set", PLAIN).read_bytes() for form in (in_zip, stored, in_tar, in_tar_gz)]


def mutated(number):
    """Make damaged archive `number`; of a tar, sometimes the sum of its first header is put right."""
    rng = np.random.default_rng([2012, number])
    data = mutations.mutate(rng, whole()[number % 4], whole())
    return summed(data) if number % 4 == 2 and number % 3 and len(data) > 512 else data


def summed(tar):
    """Write the sum that a tar's first header should have."""
    header = tar[:148] + b" " * 8 + tar[156:512]
    return tar[:148] + b"%06o\0 " % sum(header) + tar[156:]


def damaged(count):
    """Yield, for every damaged archive, the line, or how its members came out: whole, each in a line, or changed."""
    with tempfile.TemporaryDirectory() as place:
        os.environ["CUALEX_CACHE"] = place
        path = Path(place) / "set"
        for number in range(-4, count):
            path.write_bytes(mutated(number) if number >= 0 else whole()[number])
            found = answers(path)
            if isinstance(found, str):
                yield found
                continue
            for name, data in found.items():
                # A tar has no sum over its members' bytes; a zip has.
                if isinstance(data, bytes) and number % 4 < 2 and name in PLAIN and data != name.encode():
                    raise AssertionError(f"{name} of {number} is read as {data}")
            yield sorted({"line" if isinstance(data, str) else "bytes" for data in found.values()})


@pytest.mark.parametrize("count", [FEW, pytest.param(COUNT, marks=pytest.mark.slow)])
def test_damaged_archives_are_read_or_refused(count):
    """Tries 200 damaged archives, 5,000 under `-m slow`."""
    *first, _ = found = results(damaged, count, seconds=10, megabytes=MEGABYTES)
    assert first[:4] == [["bytes"]] * 4
    assert len(found) == count + 4
    lines = [line for line in found if isinstance(line, str)]
    assert all(len(line.splitlines()) == 1 and len(line) < 400 for line in lines)
    assert 0.2 * count < len(lines) < 0.95 * count
    assert sum(kinds == ["bytes", "line"] for kinds in found) > 0.01 * count


# --- attacks made by hand


def bomb(path, method, said=100, megabytes=80):
    """Write a zip whose first picture expands to much more than it says."""
    with zipfile.ZipFile(path, "w", method) as archive:
        with archive.open("a/1.jpg", "w") as member:
            for _ in range(megabytes):
                member.write(bytes(MEGABYTE))
        archive.writestr("b/2.jpg", "b")
    size = struct.pack("<I", megabytes * MEGABYTE)
    data = path.read_bytes()
    assert data.count(size) == 2
    path.write_bytes(data.replace(size, struct.pack("<I", said)))


def header(path, kind, size):
    """Write a tar whose first header is of a kind (a file, a long name, notes) and claims a size, 12 bytes."""
    data = in_tar(path, ["a/1.jpg", "b/2.jpg"]).read_bytes()
    path.write_bytes(summed(data[:124] + size + data[136:156] + kind + data[157:]))


def notes(path, record):
    """Write a tar whose first picture has notes of its own."""
    with tarfile.open(path, "w") as archive:
        for kind, name, data in (
            (tarfile.XHDTYPE, "x", record),
            (b"0", "a/1.jpg", b"a"),
            (b"0", "b/2.jpg", b"b"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, len(data)
            archive.addfile(member, io.BytesIO(data))


def far(number):
    """Write a number as a tar does when it has no room for digits: 12 bytes, the first bit set."""
    return ((1 << 95) + number if number >= 0 else (1 << 96) + number).to_bytes(12, "big")


BAD_CRC = "a/1.jpg: cannot be read from the zip (Bad CRC-32 for file 'a/1.jpg')"
RARE = "a/1.jpg: compressed by an unsupported method, expected deflate: repack the zip"
NO_TAR = "neither a folder nor a whole .zip or .tar ({}); copy or download it again"
ATTACKS = {
    "a bomb in a zip": (functools.partial(bomb, method=zipfile.ZIP_DEFLATED), BAD_CRC),
    "a bomb in a zip, bzip2": (functools.partial(bomb, method=zipfile.ZIP_BZIP2), RARE),
    "a member of 2^60 bytes": (functools.partial(header, kind=b"0", size=far(2**60)), NO_TAR),
    "a member of 2^90 bytes": (functools.partial(header, kind=b"0", size=far(2**90)), NO_TAR),
    "a member that leads back": (functools.partial(header, kind=b"0", size=far(-1024)), NO_TAR),
    "a member that ends where it begins": (functools.partial(header, kind=b"0", size=far(-512)), NO_TAR),
    "a name of 8 GB": (functools.partial(header, kind=b"L", size=b"77777777777 "), NO_TAR),
    "a name of 2^60 bytes": (functools.partial(header, kind=b"L", size=far(2**60)), NO_TAR),
    "a name of -1024 bytes": (functools.partial(header, kind=b"L", size=far(-1024)), NO_TAR),
    "notes of 2^60 bytes": (functools.partial(header, kind=b"x", size=far(2**60)), NO_TAR),
    "notes for all of 2^90 bytes": (functools.partial(header, kind=b"g", size=far(2**90)), NO_TAR),
    "a note of 10^20 bytes": (functools.partial(notes, record=b"99999999999999999999 a=b\n"), NO_TAR),
    "a note of a size of 10^25": (functools.partial(notes, record=b"34 size=1" + b"0" * 24 + b"\n"), NO_TAR),
    "a note that leads back": (functools.partial(notes, record=b"14 size=-2048\n"), NO_TAR),
}


def attacked():
    """Yield what comes of each attack, after a whole archive."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "set.tar"
        in_tar(Path(place) / "set", PLAIN)
        yield len(answers(path))
        for make, _ in ATTACKS.values():
            make(path)
            found = answers(path)
            yield found if isinstance(found, str) else str(found["a/1.jpg"])


def test_attacks_are_refused_in_a_line():
    _, *lines = results(attacked, seconds=20, megabytes=MEGABYTES)
    start, end = NO_TAR.split("{}")
    for (name, (_, words)), line in zip(ATTACKS.items(), lines, strict=True):
        assert line == words or (words == NO_TAR and line.startswith(start) and line.endswith(end)), (
            name,
            line,
        )
        assert len(line) < 200, name


def test_a_tar_that_grows_without_end_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(archives, "_GROWN", 20_000_000)
    whole = in_tar(tmp_path / "set", PLAIN).read_bytes()
    bomb = tmp_path / "bomb.tar.gz"
    bomb.write_bytes(gzip.compress(whole + bytes(21_000_000)))
    with pytest.raises(DataError) as caught:
        sources.find(bomb)
    assert str(caught.value) == (
        f"{bomb}: neither a folder nor a whole .zip or .tar (it expands beyond 20 MB, too large for a data set); "
        "copy or download it again"
    )
    assert list((tmp_path / "cache").iterdir()) == []
    # What grows by less than 200 times is read whatever its size.
    with gzip.open(bomb, "wb") as file:
        file.write(whole + bytes(21_000_000) + os.urandom(200_000))
    assert len(sources.find(bomb).splits["train"]) > 0
