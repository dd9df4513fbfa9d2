"""Packs: what is in them, when they are made again, and what a full, closed or shared cache does."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from cualex.data import decoding, images, sources
from cualex.data import pack as packs
from cualex.data.decoding import Progress, finish
from cualex.data.no_pack import unpacked
from cualex.errors import DataError, OutputError, PictureError
from cualex.system import amounts
from tests.support.data_sets import everything

SIZE = 6


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path):
    """Make 9 pictures of two classes in train, not square and of several sizes, and 3 in val."""
    rng = np.random.default_rng(4)
    for split, name, count in (("train", "ant", 4), ("train", "bee", 5), ("val", "bee", 3)):
        for number in range(count):
            path = tmp_path / "set" / split / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shape = (SIZE + number, SIZE + 2 * (number % 2), 3)
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
    return tmp_path / "set"


def packed(folder, split="train", size=SIZE, **options):
    return finish(packs.pack(sources.find(folder), split, size, **options))


def expected(folder, pack):
    return np.stack([images.load(folder / name, pack.size) for name in pack.names])


def looked_through(folder, split="train", size=SIZE):
    return finish(unpacked(sources.find(folder), split, size))


MAKERS = [packed, looked_through]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_is_decoded_in_order(folder, make, split):
    pack = make(folder, split)
    assert pack.classes == ("ant", "bee")
    assert pack.skipped == ()
    if split == "train":
        assert pack.names == tuple(f"train/{n}/{i}.png" for n, k in (("ant", 4), ("bee", 5)) for i in range(k))
        assert pack.labels.tolist() == [0] * 4 + [1] * 5
    else:
        assert pack.labels.tolist() == [1] * 3
    assert pack.labels.dtype == np.int32
    assert len(pack) == len(pack.names)
    assert (everything(pack) == expected(folder, pack)).all()
    out = np.zeros((3, SIZE, SIZE, 3), np.uint8)
    pack.read(np.array([2, 0, 2]), out)
    assert (out == expected(folder, pack)[[2, 0, 2]]).all()


@pytest.mark.parametrize("make", MAKERS)
def test_the_mean_picture_is_that_of_train(folder, make):
    pack = make(folder, "train")
    exact = expected(folder, pack).astype(np.float64).mean(axis=0)
    assert pack.mean.dtype == np.float32
    assert pack.mean.shape == (SIZE, SIZE, 3)
    assert (pack.mean == exact.astype(np.float32)).all()
    assert make(folder, "val").mean is None


def test_the_file_is_plain_bytes(folder):
    pack = packed(folder)
    raw = np.fromfile(pack.path / "pictures.uint8", np.uint8).reshape(9, SIZE, SIZE, 3)
    assert (raw == expected(folder, pack)).all()
    assert (np.fromfile(pack.path / "mean.float32", np.float32) == pack.mean.ravel()).all()
    index = json.loads((pack.path / "index.json").read_text())
    assert index["source"] == str(folder)


def test_workers_and_tasks_change_nothing(folder, cache, monkeypatch):
    first = packed(folder, cache=cache / "1", workers=1)
    monkeypatch.setattr(decoding, "TASK", 1)
    second = packed(folder, cache=cache / "2", workers=5)
    assert (everything(first) == everything(second)).all()
    assert (first.mean == second.mean).all()
    assert first.names == second.names


def test_progress_counts_to_the_end(folder):
    (folder / "train/ant/0.png").write_bytes(b"")
    steps = list(packs.pack(sources.find(folder), "train", SIZE))
    assert [step.total for step in steps] == [9] * len(steps)
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[-1] == Progress(9, 9, 1)


def spoil(folder):
    (folder / "train/ant/1.png").write_bytes(b"")
    (folder / "train/bee/0.png").write_bytes((folder / "train/bee/0.png").read_bytes()[:60])
    (folder / "train/bee/3.png").write_bytes(b"no picture, but a note\n" * 9)
    return folder


REASON = (
    "not an image, or its header is damaged (expected JPEG, PNG, WebP, BMP, GIF, TIFF, PPM, AVIF, JPEG 2000 or HEIC)"
)


@pytest.mark.parametrize("make", MAKERS)
def test_what_cannot_be_read_is_left_out_and_listed(folder, make):
    for _ in range(2):  # made, then (as a pack) opened
        pack = make(spoil(folder))
        assert [name for name, _ in pack.skipped] == ["train/ant/1.png", "train/bee/0.png", "train/bee/3.png"]
        assert pack.skipped[0][1] == "the file is empty"
        assert pack.skipped[1][1] == "cut short, the file ends before the picture does"
        assert pack.skipped[2][1] == REASON
        assert len(pack) == 6
        assert pack.labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert (everything(pack) == expected(folder, pack)).all()
        assert (pack.mean == expected(folder, pack).astype(np.float64).mean(axis=0).astype(np.float32)).all()


def test_a_file_that_goes_while_unpacked_is_an_error_and_no_other_picture(folder):
    pack = looked_through(folder)
    (folder / "train/bee/2.png").unlink()
    out = np.zeros((2, SIZE, SIZE, 3), np.uint8)
    pack.read(np.array([5, 7]), out)
    with pytest.raises(PictureError, match=r"^train/bee/2\.png: cannot be read \(No such file or directory\)$"):
        pack.read(np.array([5, 6]), out)


@pytest.mark.parametrize("make", MAKERS)
def test_nothing_readable(folder, cache, make):
    for name in ("0", "1", "2"):
        (folder / f"val/bee/{name}.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        make(folder, "val")
    assert str(caught.value) == (
        f"{folder}: none of the 3 val images can be read; the first: val/bee/0.png: the file is empty"
    )
    assert not [path for path in cache.rglob("*") if path.suffix != ".lock" and path.name != "packs"]


@pytest.mark.parametrize("make", MAKERS)
def test_a_class_of_which_nothing_is_left(folder, make):
    for name in ("0", "1", "2", "3"):
        (folder / f"train/ant/{name}.png").write_bytes(b"")
    (folder / "train/bee/0.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        make(folder)
    assert str(caught.value) == (
        f"{folder}: no training image of class ant can be read; the first: train/ant/0.png: the file is empty; "
        "repair them, or remove the class"
    )


def steps_and_pack(folder, **options):
    """Return how many steps of progress there were, 0 for a pack that was there, and the pack."""
    work, steps = packs.pack(sources.find(folder, **options), "train", SIZE), 0
    while True:
        try:
            next(work)
            steps += 1
        except StopIteration as end:
            return steps, end.value


def test_a_pack_is_used_again_until_the_set_changes(folder, cache):
    assert steps_and_pack(folder)[0] > 0
    steps, pack = steps_and_pack(folder)
    assert steps == 0
    path = folder / "train/ant/2.png"
    Image.fromarray(np.full((SIZE, SIZE, 3), 200, np.uint8)).save(path)
    steps, again = steps_and_pack(folder)
    assert steps > 0
    assert (everything(again)[2] == 200).all()
    # The pack of before goes on serving who has it open, and one directory is left.
    assert not (everything(pack)[2] == 200).all()
    assert again.path == pack.path
    assert steps_and_pack(folder, classes=["bee", "ant"])[1].labels.tolist() == [1] * 4 + [0] * 5
    assert len([path for path in (cache / "packs").iterdir() if path.is_dir()]) == 1


@pytest.mark.slow
def test_splits_sizes_and_sets_have_packs_of_their_own(folder, tmp_path, cache):
    other = tmp_path / "other" / "set"
    other.parent.mkdir()
    os.rename(folder, other)
    folder.symlink_to(other)
    makers = [(folder, "train", 6), (folder, "val", 6), (folder, "train", 5)]
    made = [packed(*maker).path for maker in makers]
    assert len(set(made)) == 3
    assert packed(other).path == made[0]
    assert [packed(*maker).size for maker in makers] == [6, 6, 5]


def damage_index(path):
    (path / "index.json").write_text((path / "index.json").read_text()[:-9])


def damage_pictures(path):
    with open(path / "pictures.uint8", "r+b") as file:
        file.truncate(9 * SIZE * SIZE * 3 - 1)


def lengthen_pictures(path):
    with open(path / "pictures.uint8", "ab") as file:
        file.write(b"x")


def lose_mean(path):
    (path / "mean.float32").unlink()


def damage_mean(path):
    (path / "mean.float32").write_bytes(b"")


def empty_index(path):
    (path / "index.json").write_text("[]")


@pytest.mark.parametrize(
    "damage", [damage_index, damage_pictures, lengthen_pictures, lose_mean, damage_mean, empty_index]
)
def test_a_damaged_pack_is_made_again(folder, damage):
    _, pack = steps_and_pack(folder)
    whole = everything(pack)
    damage(pack.path)
    steps, again = steps_and_pack(folder)
    assert steps > 0
    assert (everything(again) == whole).all()


def test_a_pack_given_up_leaves_nothing(folder, cache, monkeypatch):
    monkeypatch.setattr(decoding, "TASK", 1)
    work = packs.pack(sources.find(folder), "train", SIZE)
    next(work)
    assert [path.name for path in cache.rglob("*.uint8")] == ["pictures.uint8"]
    work.close()
    assert list(cache.rglob("*.uint8")) == []
    assert packs.existing(sources.find(folder), "train", SIZE) is None


KILLED = """
import os, signal, sys
from cualex.data import decoding, pack, sources
decoding.TASK = 1
for step in pack.pack(sources.find(sys.argv[1]), "train", 6, workers=1):
    if step.done == 5:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_killed_process_leaves_no_pack_and_its_rest_is_swept(folder, cache):
    run = subprocess.run([sys.executable, "-c", KILLED, folder], timeout=60)
    assert run.returncode == -signal.SIGKILL
    assert len(list(cache.rglob("*.part"))) == 1
    assert packs.existing(sources.find(folder), "train", SIZE) is None
    pack = packed(folder)
    assert (everything(pack) == expected(folder, pack)).all()
    assert list(cache.rglob("*.part")) == []


@pytest.mark.slow
def test_two_at_once_make_one_pack(folder, monkeypatch):
    monkeypatch.setattr(decoding, "TASK", 1)
    source = sources.find(folder)
    first = packs.pack(source, "train", SIZE)
    next(first)
    second = packs.pack(source, "train", SIZE)
    assert next(second) == Progress(0, 9, 0, waiting=True)
    made = finish(first)
    # What is left for the second is to look again: not one picture is decoded twice.
    rest = []
    monkeypatch.setattr(images, "load", lambda *arguments: rest.append(arguments))
    assert finish(second).path == made.path
    assert not rest


FULL = "No space left on device"


def test_a_full_disk_leaves_nothing_and_says_what_is_needed(folder, cache, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, FULL)

    monkeypatch.setattr(packs.os, "fsync", full)
    with pytest.raises(OutputError) as caught:
        packed(folder)
    needed = 9 * SIZE * SIZE * 3
    assert packs.needed(sources.find(folder), "train", SIZE) == needed
    message = str(caught.value)
    assert message.startswith(f"{cache}/packs: the cache cannot be written ({FULL}; {amounts.size(needed)} needed, ")
    assert message.endswith(" free); set CUALEX_CACHE to another directory, or use --no-pack if the command has it")
    assert list(cache.rglob("*.part")) == []


def test_a_file_size_limit_is_a_full_disk_too(folder, cache):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9 * 32 * 32 * 3 - 1, hard))
        with pytest.raises(OutputError, match=r"the cache cannot be written \(File too large\); set CUALEX_CACHE"):
            packed(folder, size=32)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert list(cache.rglob("*.uint8")) == []
    assert len(packed(folder, size=32)) == 9


def test_a_cache_that_cannot_be_written(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as caught:
        packed(folder, cache=tmp_path / "file")
    assert str(caught.value) == (
        f"{tmp_path}/file: the cache cannot be written (File exists); set CUALEX_CACHE to another directory"
    )
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "packs").write_text("")
    with pytest.raises(OutputError) as caught:
        packed(folder)
    assert str(caught.value) == (
        f"{tmp_path}/cache/packs: the cache cannot be written (File exists); "
        "set CUALEX_CACHE to another directory, or use --no-pack if the command has it"
    )


def test_where_the_cache_is(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("CUALEX_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert packed(folder).path.parent == tmp_path / "home/.cache/cualex/packs"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert packed(folder).path.parent == tmp_path / "xdg/cualex/packs"
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "own"))
    assert packed(folder).path.parent == tmp_path / "own/packs"
    assert packed(folder, cache=tmp_path / "given").path.parent == tmp_path / "given/packs"
    assert packs.free(tmp_path / "given") > 0


def test_unpacked_writes_nothing(folder, cache):
    looked_through(folder)
    assert not cache.exists()


def test_decoding_runs_in_threads(folder, monkeypatch):
    names = set()
    meet = threading.Barrier(3)
    load = images.inspect

    def slow(*arguments, **options):
        names.add(threading.current_thread().name)
        meet.wait(timeout=20)
        return load(*arguments, **options)

    monkeypatch.setattr(decoding, "TASK", 1)
    monkeypatch.setattr(images, "inspect", slow)
    packed(folder, workers=3)  # 9 pictures, 3 at a time, or the barrier breaks
    assert len(names) == 3
