"""What users get wrong, end to end: one line that names the file and the way out, the exit code, nothing half done."""

import os
import re
import struct
import subprocess
import sys
import zlib

import pytest
from PIL import Image

from cualex import weights
from cualex.devices.placement import automatic
from tests.support import colour_network
from tests.support.colour_network import broken, picture, run

WAY = "Give a weights file such as runs/train/best.safetensors."


@pytest.fixture
def file(tmp_path):
    return colour_network.saved(tmp_path / "kept" / "weights.safetensors")


@pytest.fixture
def red(tmp_path):
    return picture(tmp_path / "kept" / "red.png", "red")


@pytest.fixture
def data(tmp_path):
    """Make a set of three classes, five pictures each."""
    for name in colour_network.CLASSES:
        for number in range(5):
            picture(tmp_path / "set" / name / f"{number}.png", name, 100 + 9 * number)
    return tmp_path / "set"


def fault(result, code=1):
    """See that a command ended with one line on stderr and no word on stdout, and return the line."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("Error: ")
    return result.stderr.removeprefix("Error: ").rstrip("\n")


def tree(place):
    """Return all files below a place with their bytes."""
    return {str(path): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


# --- pictures


def enormous():
    """Make the start of a PNG that says it has 60 million pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 10_000, 6_000, 8, 2, 0, 0, 0)
    checked = header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + checked + struct.pack(">I", 999) + b"IDAT"


def truncated(path):
    """Write the first half of a JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((90, 70), 80).convert("RGB").save(path, "JPEG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


BAD = {
    "missing": (lambda path: path, "no such file or folder"),
    "empty": (lambda path: broken(path, b""), "the file is empty"),
    "cut": (truncated, "cut short, the file ends before the picture does"),
    "text": (
        lambda path: broken(path, b"hello"),
        r"not an image, or its header is damaged \(expected JPEG, PNG, .*\)",
    ),
    "enormous": (
        lambda path: broken(path, enormous()),
        "more than 50 million pixels: scale it down",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_picture_that_cannot_be_read_is_named(file, tmp_path, kind):
    make, words = BAD[kind]
    bad = make(tmp_path / "bad.jpg")
    for command in (["predict"], ["features", "-o", tmp_path / "out.npy"]):
        line = fault(run(*command, bad, "-w", file))
        assert re.fullmatch(rf"{re.escape(str(bad))}: {words}", line)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("kind", BAD)
def test_the_others_are_answered_all_the_same(file, red, tmp_path, kind):
    make, words = BAD[kind]
    bad = make(tmp_path / "bad.jpg")
    result = run("predict", red, bad, red, "-w", file, "--top", 1)
    assert result.exit_code == 3
    rows = [line.split(maxsplit=2) for line in result.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == [str(red), str(bad), str(red)]
    assert [row[2] for row in rows[::2]] == ["red", "red"]
    assert re.search(rf"not read: {words}$", result.stdout.splitlines()[3])
    assert result.stderr == "Error: 1 of 3 images could not be read; the others are classified.\n"


@pytest.mark.parametrize("kind", [kind for kind in BAD if kind != "missing"])
def test_a_picture_of_a_set_that_cannot_be_read_is_listed(file, data, tmp_path, kind):
    make, words = BAD[kind]
    make(data / "blue" / "2.png")
    result = run("evaluate", data, "-w", file, "--cache", tmp_path / "cache")
    assert result.exit_code == 3
    assert "all, 14 images: top-1 100.0%" in result.stdout
    assert re.search(rf"\n  blue/2\.png: {words}\n", result.stderr)


def test_a_set_without_any_readable_picture_is_an_error(file, data, tmp_path):
    for path in data.rglob("*.png"):
        path.write_bytes(b"")
    result = run("evaluate", data, "-w", file, "--cache", tmp_path / "cache", "--output", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == (
        f"Error: {data}: none of the 15 train images can be read; the first: blue/0.png: the file is empty"
    )
    assert list((tmp_path / "out").iterdir()) == []


# --- classes and sets


def test_an_empty_class_is_noted(file, data, tmp_path):
    for path in (data / "green").iterdir():
        path.unlink()
    result = run("evaluate", data, "-w", file, "--cache", tmp_path / "cache")
    assert result.exit_code == 0
    assert "Note: left out, no pictures inside: green\n" in result.stderr
    assert "Note: no images of the model's class green\n" in result.stderr
    assert "all, 10 images: top-1 100.0%" in result.stdout


def test_a_class_that_train_lacks_is_named(data, tmp_path):
    (data / "train").mkdir()
    for name in colour_network.CLASSES:
        (data / name).rename(data / "train" / name)
    picture(data / "val" / "red" / "9.png", "red")
    picture(data / "val" / "violet" / "9.png", "blue")
    arguments = ["--network", "cifar-relu", "--output", tmp_path / "runs", "--cache", tmp_path / "cache"]
    assert fault(run("train", data, *arguments)) == (
        f"{data}: val has classes that train lacks: violet; add images of them to train, or remove them from val"
    )
    assert not (tmp_path / "runs").exists()


def test_a_batch_larger_than_the_set_is_said_before_a_run_begins(data, tmp_path):
    arguments = ["--network", "cifar-relu", "--output", tmp_path / "runs", "--cache", tmp_path / "cache"]
    result = run("train", data, *arguments, "--val-split", 0, "--batch-size", 16)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == (
        "Error: batch size 16 is larger than the training set of 15 images; use --batch-size 15 or less"
    )
    assert "Packing" not in result.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_to_be_evaluated_a_set_may_be_smaller_than_a_batch(file, data, tmp_path):
    result = run("evaluate", data, "-w", file, "--cache", tmp_path / "cache", "--batch-size", 128)
    assert "all, 15 images: top-1 100.0%" in result.stdout


@pytest.mark.parametrize("what", ["missing", "empty", "file"])
def test_a_set_that_is_none_is_named(file, tmp_path, what):
    place = tmp_path / "data"
    if what == "empty":
        place.mkdir()
    elif what == "file":
        place.write_bytes(b"no archive")
    words = {"missing": "no such folder", "empty": "no images inside", "file": "neither a folder nor a whole"}
    assert fault(run("evaluate", place, "-w", file)).startswith(f"{place}: {words[what]}")


# --- weights

COMMANDS = {
    "predict": lambda red, data, out: ["predict", red],
    "features": lambda red, data, out: ["features", red, "-o", out],
    "evaluate": lambda red, data, out: ["evaluate", data],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("damage", ["missing", "directory", "begun", "empty", "cut", "flipped", "other", "foreign"])
def test_weights_that_cannot_be_used_are_named(red, data, file, tmp_path, command, damage):
    bad, whole = tmp_path / "bad.safetensors", file.read_bytes()
    if damage == "directory":
        bad.mkdir()
    elif damage == "begun":
        bad.mkdir()
        (bad / "args.json").write_text("{}")
        (bad / "last.safetensors").write_bytes(whole)
    elif damage == "other":  # the tensors of one network, and the name of another
        bad.write_bytes(whole.replace(b"cifar-relu", b"alexnet   "))
    elif damage != "missing":
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :]
        foreign = b"\x80\x02}q\x00X\x05\x00\x00\x00state"
        bad.write_bytes({"empty": b"", "cut": whole[:-1], "flipped": flipped, "foreign": foreign}[damage])
    words = {
        "missing": f"cannot be read (No such file or directory). {WAY}",
        "directory": f"a directory without best.safetensors, so not a run. {WAY}",
        "begun": "a run without best weights yet: its first validation writes best.safetensors. If it was stopped, "
        f"`cualex train --resume {bad}` continues it; or give its checkpoint, {bad}/last.safetensors.",
        "flipped": "checksum mismatch. Copy it again, or train again.",
        "other": "written by another version of cualex (",
        "foreign": "not a weights file of cualex, which are safetensors. Copy it again if it was one; `cualex import`",
    }
    line = fault(run(*COMMANDS[command](red, data, tmp_path / "out.npy"), "-w", bad))
    assert line.startswith(f"{bad}: {words.get(damage, 'damaged or incomplete weights file of cualex (')}")
    assert line.endswith((".", "train anew."))
    assert not list(tmp_path.glob("out*"))


# --- places to write


@pytest.mark.parametrize("name", ["out.npy", "out.csv"])
def test_a_place_for_features_that_cannot_be_written_is_named(file, red, tmp_path, name):
    (tmp_path / "file").write_text("")
    (tmp_path / "dir" / name).mkdir(parents=True)
    for place, words in (
        (tmp_path / "none" / name, "its directory does not exist. Create it first, or choose another path."),
        (tmp_path / "file" / name, "a part of the path is a file, not a directory. Choose another path."),
        (tmp_path / "dir" / name, "it is a directory or a device. Choose a file."),
    ):
        assert fault(run("features", red, "-o", place, "-w", file)) == f"cannot write {place}: {words}"


def test_a_place_for_an_evaluation_that_cannot_be_written_is_named_before_the_work(file, data, tmp_path):
    occupied = broken(tmp_path / "file", b"kept")
    for place, words in (
        (occupied, "a file of that name exists. Choose a directory."),
        (occupied / "deep", "a part of the path is a file, not a directory. Choose another path."),
    ):
        result = run("evaluate", data, "-w", file, "--output", place, "--cache", tmp_path / "cache")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.splitlines()[-1] == f"Error: cannot write {place}: {words}"
    assert occupied.read_bytes() == b"kept"
    assert not (tmp_path / "cache").exists()


def limited(*arguments, limit):
    """Run a command in a process whose files may have `limit` bytes: where one is longer, the disk is full."""
    code = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "from cualex import cli\n"
        "cli.main(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["out.npy", pytest.param("out.csv", marks=pytest.mark.slow)])
def test_a_full_disk_keeps_the_old_features(file, red, tmp_path, name):
    place = tmp_path / "out"
    place.mkdir()
    assert run("features", red, "-o", place / name, "-w", file).exit_code == 0
    before = tree(place)
    done = limited("features", red, "-o", place / name, "-w", file, "--layer", "conv1", limit=50_000)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: cannot write {place}/{name}: the file would be larger than this system allows. Choose another path.\n"
    )
    assert tree(place) == before


@pytest.mark.slow
def test_a_full_disk_keeps_the_old_evaluation(file, data, tmp_path):
    place, cache = tmp_path / "out", tmp_path / "cache"
    arguments = ["evaluate", data, "-w", file, "--cache", cache, "--output", place]
    assert run(*arguments).exit_code == 0
    before = tree(place)
    done = limited(*arguments, limit=10)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith(f"Error: cannot write {place}/per_class.csv: the file would be")
    assert tree(place) == before


# --- devices


@pytest.mark.skipif(automatic() != "cpu", reason="this machine has a GPU")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("device", ["cuda:0", "cuda"])
def test_a_gpu_that_is_not_there_is_said(red, data, file, tmp_path, command, device):
    arguments = COMMANDS[command](red, data, tmp_path / "out.npy")
    line = fault(run(*arguments, "-w", file, "--device", device))
    assert line.endswith("--device cpu needs none.")
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("tpu", "device 'tpu' in 'tpu': expected cpu, cuda:0, cuda:1, ... or auto"),
        ("cpu,cuda:0", "device 'cpu,cuda:0': expected only CPUs, or only GPUs"),
        (
            "cpu,cpu",
            "device 'cpu,cpu' names 2 devices; this network has 1 tower. "
            "Give one device for all towers, or one for each.",
        ),
    ],
)
def test_a_device_that_cannot_be_is_said(red, file, device, words):
    assert fault(run("predict", red, "-w", file, "--device", device), 2) == words


# --- all of it


def test_what_is_there_is_never_touched(file, red, data, tmp_path):
    """Commands that fail in every way leave inputs, weights and the folder as they were."""
    bad = broken(tmp_path / "kept" / "bad.png")
    before = tree(tmp_path)
    for arguments in (
        ["predict", red, bad],
        ["predict", bad, "--json"],
        ["features", red, bad, "-o", tmp_path / "none" / "out.npy"],
        ["features", red, "-o", tmp_path / "out.npy", "--layer", "fc9"],
        ["evaluate", data, "--split", "test"],
        ["evaluate", tmp_path / "kept"],
    ):
        assert run(*arguments, "-w", file).exit_code > 0
    assert tree(tmp_path) == before
    assert weights.load(file).classes == colour_network.CLASSES


@pytest.mark.slow
def test_a_pipe_that_is_closed_is_no_fault(file, red):
    code = "from cualex import cli; import sys; cli.main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "predict", str(red), "-w", str(file), "--json"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
