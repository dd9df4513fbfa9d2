"""`cualex pack` and what commands say around packing: room, questions, pictures that cannot be read."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cualex import cli
from cualex.cli import _packing
from cualex.data import pack, sources
from tests.support.data_sets import everything


@pytest.fixture
def folder(tmp_path):
    """Make a set of two classes, five and four pictures of one colour each, none of them square."""
    place = tmp_path / "set"
    for name, count in (("cat", 5), ("dog", 4)):
        (place / name).mkdir(parents=True)
        for number in range(count):
            picture = Image.new("RGB", (40 + number, 57), (20 * number, 7, 200 if name == "cat" else 0))
            picture.save(place / name / f"{number}.png")
    return place


@pytest.fixture
def run(folder, tmp_path):
    """Run `cualex pack` on the set, for pictures of 32 pixels."""

    def call(*arguments, **more):
        fixed = ["pack", str(folder), "--network", "cifar-relu", "--cache", str(tmp_path / "cache")]
        return CliRunner().invoke(cli.main, [*fixed, *arguments], **more)

    return call


def test_it_says_how_much_it_writes_and_what_it_wrote(run, folder, tmp_path):
    result = run()
    assert result.exit_code == 0
    assert f"{folder}: packing 9 images x 3,072 bytes takes 28 kB; " in result.stderr
    rows = [line.split() for line in result.stdout.splitlines()[2:]]
    assert [row[:4] for row in rows] == [["train", "7", "0", "2"], ["val", "2", "0", "2"]]
    assert rows[0][-1].startswith(str(tmp_path / "cache"))


def test_a_second_time_nothing_is_packed(run, monkeypatch):
    first = json.loads(run("--json").stdout)
    monkeypatch.setattr(pack, "decode_split", None)
    again = run("--json")
    assert json.loads(again.stdout) == first
    assert "to pack" not in again.stderr
    assert "Packing" not in again.stderr


def test_training_finds_what_was_packed(run, folder, tmp_path):
    told = json.loads(run("--json").stdout)
    found = pack.existing(sources.find(folder), "train", 32, cache=tmp_path / "cache")
    assert str(found.path) == told["splits"]["train"]["path"]
    assert np.unique(everything(found)[found.labels == 1][..., 2]) == [0]


def test_a_picture_that_cannot_be_read_is_named_and_ends_with_3(run, folder):
    (folder / "cat" / "1.png").write_bytes(b"nothing of the kind")
    result = run("--val-split", "0", "--json")
    assert result.exit_code == 3
    assert result.stderr.splitlines()[-3] == "train: 1 image could not be read and was skipped:"
    assert result.stderr.splitlines()[-2].startswith("  cat/1.png: not an image")
    assert result.stderr.splitlines()[-1] == (
        "Error: 1 image was skipped because it could not be read; the rest is packed."
    )
    train = json.loads(result.stdout)["splits"]["train"]
    assert (train["pictures"], [entry["name"] for entry in train["skipped"]]) == (8, ["cat/1.png"])


def test_the_screen_names_ten_and_counts_the_rest(capsys):
    _packing._report(
        "train", tuple((f"{number}.png", "empty") for number in range(1234)), "could not be read and {} skipped"
    )
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "train: 1,234 images could not be read and were skipped:"
    assert lines[1:11] == [f"  {number}.png: empty" for number in range(10)]
    assert lines[11:] == ["  ... and 1,224 more"]


def test_much_is_asked_for(run, monkeypatch, tmp_path):
    monkeypatch.setattr(_packing, "ASK", 9 * 3072 - 1)
    result = run()
    assert result.exit_code == 2
    assert result.stderr.endswith("are free. Continue? There is no terminal to ask at: add --yes to continue.\n")
    assert not list((tmp_path / "cache").rglob("pictures.uint8"))
    assert run("--yes").exit_code == 0


def test_as_much_as_is_allowed_is_not_asked_for(run, monkeypatch):
    monkeypatch.setattr(_packing, "ASK", 9 * 3072)
    assert run().exit_code == 0


def test_too_little_room_is_said_before_anything_is_written(run, monkeypatch, tmp_path):
    monkeypatch.setattr(pack, "free", lambda cache: 9 * 3072 - 1)
    result = run("--yes")
    assert result.exit_code == 1
    assert result.stderr.endswith(
        "takes 28 kB; 28 kB are free. Free some space, or set --cache to a directory on another disk.\n"
    )
    assert not list((tmp_path / "cache").rglob("pictures.uint8"))


def test_a_place_that_is_no_data_set_is_one_line(tmp_path):
    result = CliRunner().invoke(cli.main, ["pack", str(tmp_path / "none")])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"Error: {tmp_path}/none: no such folder")


def test_without_a_pack_the_splits_are_looked_through(folder, tmp_path, capsys):
    (folder / "dog" / "0.png").write_bytes(b"")
    source = sources.find(folder)
    made = _packing.packs(source, ["train", "val"], 32, cache=tmp_path / "cache", keep=False)
    assert sum(len(split) for split in made.values()) == 8
    assert "Reading train: " in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()
    for split in made.values():
        split.threads.shutdown()
