"""What `cualex check` shows and writes: its words, its JSON, archives, memory, and nothing in the data set."""

import io
import json
import os
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cualex import cli
from cualex.data import check
from cualex.data.decoding import finish
from tests.support.data_sets import in_folder

FILES = {  # name in the set: the picture's number, or what the file holds instead
    **{f"set/train/{name}/{number}.png": 100 * ord(name) + number for name in "ab" for number in range(10)},
    **{f"set/val/a/{number}.png": number for number in range(3)},
    "set/val/b/copy.png": 100 * ord("a"),
    "set/val/b/cut.png": "cut",
    "set/train/b/bad.jpg": b"no picture",
    "set/train/b/list.txt": b"a list",
    "set/train/c/": None,
}


def png(number, place):
    pixels = np.random.default_rng(number).integers(0, 256, (36, 33, 3), np.uint8)
    Image.fromarray(pixels).save(place)
    return place.read_bytes()


@pytest.fixture
def spoiled(tmp_path):
    """Make a set with a fault of several kinds."""
    place = in_folder(tmp_path / "folder", FILES)
    for name, held in FILES.items():
        if isinstance(held, int):
            png(held, place / name)
        elif held == "cut":
            (place / name).write_bytes(png(7777, place / name)[:-200])
        elif held is not None:
            (place / name).write_bytes(held)
    return place / "set"


def run(place, *arguments):
    return CliRunner().invoke(cli.main, ["check", str(place), "--network", "cifar-relu", *arguments])


def test_the_words(spoiled):
    result = run(spoiled)
    assert result.exit_code == 3
    assert result.stdout == (
        "class     train  val\n"
        "────────────────────\n"
        "a            10    3\n"
        "b            10    1\n"
        "\n"
        "2 in all     20    4\n"
        "\n"
        "Formats: 24 PNG.\n"
        "Modes: 24 RGB; 0 grey in every pixel.\n"
        "Shorter side: 33 to 33 pixels, median 33; 0 are below 32 and will be upscaled.\n"
        "\n"
        "leakage (1): the same picture in more than one split: what should judge the training was learned\n"
        "  train/a/0.png, val/b/copy.png: in train and val, as a and b\n"
        "\n"
        "unreadable (1): pictures that cannot be read; training leaves them out\n"
        "  train/b/bad.jpg: not an image, or its header is damaged "
        "(expected JPEG, PNG, WebP, BMP, GIF, TIFF, PPM, AVIF, JPEG 2000 or HEIC)\n"
        "\n"
        "truncated (1): pictures that are cut short; training leaves them out\n"
        "  val/b/cut.png: cut short, the file ends before the picture does\n"
        "\n"
        "empty (1): class folders without any picture\n"
        "  train/c\n"
        "\n"
        "stray (1): files that are no pictures by their ending; they are left out\n"
        "  train/b/list.txt\n"
    )
    progress, *rest = result.stderr.splitlines()
    assert progress.startswith("Checking: 26/26 images, ")
    assert progress.endswith(", 2 unreadable")
    assert rest == ["Error: 2 of 26 images could not be read; they are listed above."]


def test_the_json(spoiled):
    result = run(spoiled, "--json")
    assert result.exit_code == 3
    report = json.loads(result.stdout)
    found = report.pop("findings")
    assert report == {
        "schema_version": 1,
        "data": str(spoiled),
        "size": 32,
        "files": {"train": 21, "val": 5},
        "unreadable": 2,
        "classes": {"a": {"train": 10, "val": 3}, "b": {"train": 10, "val": 1}},
        "formats": {"PNG": 24},
        "modes": {"RGB": 24},
        "grey": 0,
        "shorter_side": {"smallest": 33, "median": 33, "largest": 33, "enlarged": 0},
        "refusal": None,
        "notes": [],
    }
    assert [(entry["kind"], entry["count"]) for entry in found] == [
        *(("leakage", 1), ("unreadable", 1), ("truncated", 1), ("empty", 1), ("stray", 1))
    ]
    for entry in found:
        assert entry.keys() == {"kind", "fault", "count", "text", "items"}
        assert all(item.keys() == {"names", "text"} for item in entry["items"])
    assert found[0]["items"] == [{"names": ["train/a/0.png", "val/b/copy.png"], "text": "in train and val, as a and b"}]


def in_zip(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))


def in_tar(folder, path):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        archive.add(folder, folder.name)


@pytest.mark.parametrize(("name", "pack"), [("a.zip", in_zip), ("a.tar", in_tar), ("a.tar.gz", in_tar)])
def test_an_archive_is_looked_at_as_its_folder_is(spoiled, tmp_path, monkeypatch, name, pack):
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    pack(spoiled, tmp_path / name)
    folder, archive = (json.loads(run(place, "--json").stdout) for place in (spoiled, tmp_path / name))
    assert archive.pop("data") == str(tmp_path / name)
    assert folder.pop("data") == str(spoiled)
    for entry in archive["findings"]:
        for item in entry["items"]:
            # In the archive there is a folder around everything.
            item["names"] = [inside.removeprefix("set/") for inside in item["names"]]
    assert archive == folder


def test_the_report_does_not_depend_on_the_threads(spoiled):
    assert len({run(spoiled, "--json", "--workers", str(workers)).stdout for workers in (1, 2, 5)}) == 1


def state(place):
    """List all that a writer would change: names, kinds, sizes, dates and bytes."""
    held = {}
    for path in [place, *sorted(place.rglob("*"))]:
        status = path.stat()
        what = path.read_bytes() if path.is_file() else None
        held[str(path)] = (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, what)
    return held


# Run cualex and end with its exit code and every call that could have changed a file below the place given first.
WATCHED = """
import os, sys
place, changes = sys.argv.pop(1), []
CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.utime",
           "os.rmdir", "os.chown", "os.setxattr"}
def watch(event, arguments):
    named = [os.fsdecode(word) for word in arguments if isinstance(word, str | bytes | os.PathLike)]
    writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    if (writes or event in CHANGES) and any(name.startswith(place) for name in named):
        changes.append(event)
sys.addaudithook(watch)
from cualex.cli import main
try:
    main()
except SystemExit as end:
    print(end.code, changes, file=sys.stderr)
"""


def watched(home, data, cache):
    words = [sys.executable, "-c", WATCHED, str(home), "check", str(data), "--network", "cifar-relu"]
    environment = {**os.environ, "CUALEX_CACHE": str(cache)}
    ran = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    return ran.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["folder", "zip", "tar.gz"])
def test_nothing_is_written_into_the_data_set(spoiled, tmp_path, form):
    data = home = spoiled
    if form != "folder":
        home = tmp_path / "archives"
        data = home / f"set.{form}"
        home.mkdir()
        (in_zip if form == "zip" else in_tar)(spoiled, data)
    inside = [home, *home.rglob("*")]
    for path in inside:
        path.chmod(0o555 if path.is_dir() else 0o444)  # holds everyone but root
    before = state(home)
    assert watched(home, data, tmp_path / "cache") == "3 []"
    assert state(home) == before
    for path in inside:
        if path.is_dir():
            path.chmod(0o755)  # for pytest, which removes it


@pytest.mark.slow
def test_the_watch_sees_what_is_written(spoiled, tmp_path):
    in_tar(spoiled, tmp_path / "set.tar.gz")
    cache = tmp_path / "cache"
    ended = watched(cache, tmp_path / "set.tar.gz", cache)
    assert ended.startswith("3 [")
    assert "'os.mkdir'" in ended
    assert "'open'" in ended


@pytest.mark.slow
@pytest.mark.parametrize("count", [400, pytest.param(2000, marks=pytest.mark.slow)])
def test_many_pictures_in_bounded_memory(tmp_path, count):
    """Their pixels are 27 kB each; a name and what is known of a picture take a few kB."""
    size, workers = 96, 2
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for number in range(count):
            pixels[0, :2, 0] = divmod(7 if number == count - 1 else number, 256)  # the last one is a copy
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "BMP")
            split = "val" if number >= count * 19 // 20 else "train"
            archive.writestr(f"{split}/{number % 20:02}/{number}.bmp", file.getvalue())
    tracemalloc.start()
    try:
        work, done = check.check(tmp_path / "set.zip", size, workers=workers), []
        report = finish(note(work, done))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [(f.kind, [item.names for item in f.items]) for f in report.findings] == [
        ("leakage", [("train/07/7.bmp", f"val/19/{count - 1}.bmp")])
    ]
    assert len(report.classes) == 20
    assert done[-1] == count
    assert done == sorted(done)
    # Of the pictures that a thread works on there are the decoded one, the enlarged one, its copy and comparisons.
    assert peak < count * 4_000 + workers * 6 * size * size * 3


def note(work, done):
    """Hand a generator's progress on, and keep it."""
    while True:
        try:
            record = next(work)
        except StopIteration as end:
            return end.value
        done.append(record.done)
        yield record


@pytest.mark.slow
def test_many_classes_are_shown_by_the_smallest_and_the_largest(tmp_path):
    for label in range(23):
        for number in range(1 + label):
            place = tmp_path / "set" / f"{label:02}"
            place.mkdir(parents=True, exist_ok=True)
            png(1000 * label + number, place / f"{number}.png")
    shown = run(tmp_path / "set", "--val-split", "0").stdout.splitlines()
    rows = [line.split() for line in shown[2:23]]
    assert [row[0] for row in rows[:10]] == [f"{label:02}" for label in range(10)]
    assert rows[10] == ["...", "3", "more"]
    assert [row[-1] for row in rows[11:]] == [str(1 + label) for label in range(13, 23)]
    assert shown[24].split() == ["23", "in", "all", "276"]
    assert "few (9): classes with fewer than 10 pictures to learn from" in shown


def test_names_that_are_no_utf8_are_shown(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(12):
            png(100 * ord(name) + number, tmp_path / "set" / name / f"{number}.png")
    with open(os.fsencode(tmp_path / "set" / "a") + b"/\xff.png", "wb") as file:
        file.write(b"")
    for arguments in ([], ["--json"]):
        result = run(tmp_path / "set", *arguments)
        assert result.exit_code == 3
        assert "a/\ufffd.png" in result.stdout


@pytest.mark.parametrize("data", ["nowhere", "flat"])
def test_what_cannot_be_looked_at_is_an_error_of_one_line(tmp_path, data):
    (tmp_path / "flat").mkdir()
    png(1, tmp_path / "flat" / "1.png")
    result = run(tmp_path / data)
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: {tmp_path / data}: ")
