"""Packed weights in the cache give the bits of their file, never those of another, and nothing where damaged."""

import errno
import os
import shutil
import time

import numpy as np
import pytest

import cualex
from cualex import networks, weights
from cualex.devices.placement import placement
from cualex.errors import WeightsError
from cualex.weights import Weights, file, initial, packed
from cualex.weights.parameters import Parameters
from tests.support.tiny_runs import digest


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """Let small and new files have entries, in a cache of the test."""
    monkeypatch.setattr(packed, "LEAST", 0)
    monkeypatch.setattr(packed, "RACE", -9.0)
    monkeypatch.setattr(packed, "PIECE", 16384)
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CUALEX_WEIGHTS_CACHE", raising=False)


def made(seed=0, name="speck", **sizes):
    network = networks.build(name, **sizes)
    mean = np.random.default_rng(seed).uniform(0, 255, (network.stored, network.stored, 3)).astype(np.float32)
    tensors = initial.draw(network, seed) | {
        each: np.ones(shape, np.float32) for each, shape in network.state().items()
    }
    return Weights(network, tensors, [f"class {number}" for number in range(network.classes)], mean)


@pytest.fixture
def path(tmp_path, speck):
    weights.save(tmp_path / "w.safetensors", made())
    return tmp_path / "w.safetensors"


@pytest.fixture
def reads(monkeypatch):
    """Count how often a weights file is read whole."""
    counted = []
    real = file.load
    monkeypatch.setattr(file, "load", lambda path: counted.append(path) or real(path))
    return counted


def answer(path, **options):
    """Return what a network computes for noise, to the bit."""
    model = cualex.load(path, **{"device": "cpu"} | options)
    side = model.network.stored
    images = np.random.default_rng(7).integers(0, 256, (2, side, side, 3), np.uint8)
    return model.probabilities(images).tobytes(), model.mean.tobytes(), model.classes


def entries(tmp_path):
    return sorted((tmp_path / "cache" / "weights").glob("*"))


@pytest.mark.parametrize("name", ["alexnet", "cifar-relu", "alexnet-caffe", "mote"])
def test_the_bits_are_those_of_the_file_which_is_not_read_again(tmp_path, reads, name, speck):
    """Of towers, groups, and averages of batch normalisation (mote)."""
    sizes = {"crop": 99, "width": 1 / 16} if name.startswith("alexnet") else {}
    kept = made(1, name, classes=2, **sizes)
    weights.save(tmp_path / "w.safetensors", kept)
    first = answer(tmp_path / "w.safetensors")
    assert len(reads) == 1
    for named in (tmp_path / "w.safetensors", str(tmp_path / "w.safetensors")):
        assert answer(named) == first
    assert len(reads) == 1
    _, parameters = packed.load(tmp_path / "w.safetensors", "auto", None)
    back = parameters.unload()
    assert digest(back) == digest(kept.tensors)
    assert len(entries(tmp_path)) == 1


def test_weights_of_eight_bits_have_an_entry(tmp_path, reads, speck):
    weights.save(tmp_path / "w.safetensors", made(), eight_bits=True)
    assert answer(tmp_path / "w.safetensors") == answer(tmp_path / "w.safetensors")
    assert len(reads) == 1


def test_a_changed_file_is_never_answered_with_old_weights(path, tmp_path, reads):
    """Of the same name, size and time of modification, written in place; and renamed over it."""
    old, before = answer(path), path.stat()
    other = made(seed=5)
    weights.save(tmp_path / "other.safetensors", other)
    expected = answer(tmp_path / "other.safetensors")
    data = (tmp_path / "other.safetensors").read_bytes()
    assert len(data) == before.st_size
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_ino == before.st_ino
    assert answer(path) == expected != old
    weights.save(path, made())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert answer(path) == old


def test_damage_to_a_file_that_has_an_entry_is_refused(path):
    answer(path)
    before, data = path.stat(), bytearray(path.read_bytes())
    data[-9] ^= 4  # the digest in the header stays
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(WeightsError, match="checksum mismatch"):
        cualex.load(path)


def test_a_file_that_has_just_changed_has_no_entry(path, tmp_path, monkeypatch, reads):
    """Its next change could come within one tick of the file system's clock."""
    monkeypatch.setattr(packed, "RACE", 2.0)
    answer(path)
    assert entries(tmp_path) == []
    monkeypatch.setattr(packed.time, "time", lambda: path.stat().st_ctime + 2.1)
    answer(path)
    assert len(entries(tmp_path)) == 1
    assert len(reads) == 2


def test_a_file_that_changes_while_it_is_read_has_no_entry(path, tmp_path, monkeypatch):
    real = file.load

    def slow(named):
        kept = real(named)
        weights.save(path, made(seed=5))
        return kept

    monkeypatch.setattr(file, "load", slow)
    answer(path)
    assert entries(tmp_path) == []


def damaged(data):
    """Yield an entry with every kind of damage: cut, longer, and a bit changed here and there."""
    for length in (0, 1, 39, 40, 100, len(data) // 2, len(data) - 1):
        yield data[:length]
    yield data + b"\0"
    yield bytes(len(data))
    for at in (0, 7, 8, 39, 40, 60, 16384, 16385, len(data) // 2, len(data) - 1):
        yield data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :]


def test_a_damaged_entry_is_replaced(path, tmp_path, reads):
    expected = answer(path)
    (entry,) = entries(tmp_path)
    whole = entry.read_bytes()
    for number, data in enumerate(damaged(whole), 1):
        assert data != whole
        part = entry.with_name("part")
        part.write_bytes(data)
        os.replace(part, entry)  # the old one may still be mapped
        assert answer(path) == expected
        assert len(reads) == 1 + number
        assert entry.read_bytes() == whole


def test_an_entry_of_another_layout_is_not_read(path, tmp_path, monkeypatch, reads):
    answer(path)
    monkeypatch.setattr(packed, "LAYOUT", 999)
    answer(path)
    assert len(reads) == len(entries(tmp_path)) == 2


def test_the_layout_is_that_of_its_version():
    """Where this fails the engine's order has changed: change LAYOUT, and this, or old entries give wrong answers."""
    network = networks.build("alexnet", classes=3, crop=67, width=1 / 64)
    tensors = {
        name: np.arange(np.prod(shape), dtype=np.float32).reshape(shape) for name, shape in network.tensors().items()
    }
    arrays = Parameters(network, tensors=tensors).arrays
    order = {name: np.append(array.ravel(), array.shape) for (name, _), array in arrays.items()}
    assert (packed.LAYOUT, digest(order)[:16]) == (1, "2b147cd1b3afa23b")


@pytest.mark.parametrize("options", [{"device": "cpu,cpu"}, {"precision": "fp64"}])
def test_other_placements_and_precisions_take_the_file(path, tmp_path, reads, options):
    assert answer(path, **options) == answer(path, **options)
    assert (len(reads), entries(tmp_path)) == (2, [])


def test_a_variable_turns_it_off(path, tmp_path, monkeypatch, reads):
    monkeypatch.setenv("CUALEX_WEIGHTS_CACHE", "0")
    answer(path)
    answer(path)
    assert (len(reads), entries(tmp_path)) == (2, [])


def test_small_files_have_no_entry(path, tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "LEAST", path.stat().st_size + 1)
    answer(path)
    assert entries(tmp_path) == []


@pytest.mark.parametrize("fault", ["a file", "full", "write"])
def test_a_cache_that_cannot_be_written_is_done_without(path, tmp_path, monkeypatch, fault):
    if fault == "a file":
        (tmp_path / "cache").write_text("")
    elif fault == "full":
        monkeypatch.setattr(packed.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1000, 999, 1))
    else:

        def fail(*paths):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(packed.os, "replace", fail)
    assert answer(path) == answer(path)
    assert fault == "a file" or entries(tmp_path) == []


def test_an_entry_of_another_user_is_read(path, tmp_path, monkeypatch, reads):
    """Its time of use cannot be noted."""
    cualex.load(path)
    before = len(reads)

    def refused(*given, **more):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(packed.os, "utime", refused)
    cualex.load(path)
    assert (before, len(reads)) == (1, 1)


def test_the_least_recently_used_entries_go(tmp_path, monkeypatch, speck):
    paths = [tmp_path / f"{number}.safetensors" for number in range(4)]
    for number, each in enumerate(paths):
        weights.save(each, made(seed=number))
    answer(paths[0])
    (first,) = entries(tmp_path)
    size = first.stat().st_size
    monkeypatch.setattr(packed, "MOST", 3 * size)
    answer(paths[1])
    (second,) = set(entries(tmp_path)) - {first}
    answer(paths[2])
    third = next(iter(set(entries(tmp_path)) - {first, second}))
    for number, entry in enumerate((first, second, third)):
        os.utime(entry, (time.time() - 100 + number,) * 2)
    answer(paths[0])  # used again
    answer(paths[3])
    left = set(entries(tmp_path))
    assert len(left) == 3
    assert (first in left, second in left, third in left) == (True, False, True)
    monkeypatch.setattr(packed, "MOST", size - 1)
    weights.save(tmp_path / "large.safetensors", made(seed=9))
    answer(tmp_path / "large.safetensors")
    assert set(entries(tmp_path)) == left


def test_an_update_stays_in_memory(path, tmp_path):
    answer(path)
    (entry,) = entries(tmp_path)
    before = entry.read_bytes()
    model = cualex.load(path)
    for array in model.parameters.arrays.values():
        array += 1
    assert entry.read_bytes() == before
    entry.unlink()
    assert all(np.isfinite(array).all() for array in model.parameters.arrays.values())


def test_auto_is_decided_once(path, monkeypatch):
    """Or a GPU that cannot be used would be warned of twice."""
    asked = []
    monkeypatch.setattr(packed, "placement", lambda *given: asked.append(given) or placement("cpu", 2))
    monkeypatch.setattr("cualex.devices.placement.automatic", None)
    cualex.load(path, "auto")
    assert len(asked) == 1
