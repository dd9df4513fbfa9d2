"""What validates a training, as the commands show it: sets with test/ and no val/, and runs of cualex 0.1."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cualex.cli import main
from cualex.data import sources
from cualex.data.sources import hold_out

pytestmark = pytest.mark.usefixtures("speck")

ARGUMENTS = Path("runs/train/args.json")
NAMES = [f"class {number % 2}/{number}.png" for number in range(30)]
# What cualex 0.1 at 302536c held out of these.
FIRST_VAL = [
    *("class 0/0.png", "class 0/16.png", "class 0/6.png"),
    *("class 1/13.png", "class 1/15.png", "class 1/23.png"),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in a directory with plain/ and with tested/, which has train/ and test/."""
    rng = np.random.default_rng(0)
    for name in [
        *(f"plain/{name}" for name in NAMES),
        *(f"tested/train/{name}" for name in NAMES),
        *(f"tested/test/{name}" for name in NAMES[:7]),
    ]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    return tmp_path


def run(*arguments):
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result


def train(data, *more):
    """Train for two epochs; return what the run recorded, and what was said."""
    said = run("train", data, "--network", "speck", "--crop", 11, "-b", 8, "--epochs", 2, *more).stderr
    return json.loads(ARGUMENTS.read_text()), said


def evaluated(*arguments):
    """Evaluate the run; return the split and how many images it has."""
    found = json.loads(run("evaluate", "-w", "runs/train/best.safetensors", "--json", *arguments).stdout)
    return found["split"], found["pictures"]


def aged(data, monkeypatch, *more):
    """Leave a run that was stopped as cualex 0.1 did: with its rule, of which it recorded nothing."""
    with monkeypatch.context() as patched:
        patched.setattr(hold_out, "RULE", "hash-rank-0")
        recorded, _ = train(data, *more)
    del recorded["split_rule"], recorded["val"]
    ARGUMENTS.write_text(json.dumps(recorded))
    Path("runs/train/finished.json").unlink()
    return recorded["pictures"]


@pytest.mark.slow
def test_part_of_train_validates_and_test_is_for_evaluate(here):
    recorded, said = train("tested")
    assert (recorded["split_rule"], recorded["val"]) == ("hash-threshold-2", "held-out")
    assert (recorded["pictures"]["train"], recorded["pictures"]["validation"]) == (24, 6)
    assert (
        "Note: val is held out from train: 6 of 30 images (--val-split 0.2); the test images choose neither epoch nor "
        "learning rate (--val test validates with them)\n"
    ) in said
    assert evaluated() == ("val", 6)
    assert evaluated("--split", "test") == ("test", 7)
    assert evaluated("--split", "train") == ("train", 24)


@pytest.mark.slow
def test_test_validates_where_it_is_asked_to(here):
    recorded, said = train("tested", "--val", "test")
    assert (recorded["split_rule"], recorded["val"]) == ("hash-threshold-2", "test")
    assert (recorded["pictures"]["train"], recorded["pictures"]["validation"]) == (30, 7)
    assert "held out" not in said
    assert evaluated() == ("test", 7)
    (here / "runs/train/finished.json").unlink()
    run("train", "--resume", "runs/train")
    assert json.loads(ARGUMENTS.read_text())["val"] == "test"


@pytest.mark.slow
def test_without_a_share_test_is_still_left_alone(here):
    recorded, said = train("tested", "--val-split", 0)
    assert (recorded["pictures"]["train"], recorded["pictures"]["validation"]) == (30, 30)
    assert (
        "Note: no validation images, so the training images are evaluated, at their centre crops.\n"
        "Note: the test images are not used; --val test validates on them.\n"
    ) in said
    assert evaluated() == ("test", 7)


def test_a_plain_set_has_no_test_to_validate_with(here):
    result = CliRunner().invoke(main, ["train", "plain", "--val", "test"])
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        1,
        f"Error: {here}/plain: no test/ to validate with; leave --val test out, or put images in test/CLASS/",
    )
    assert not (here / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--val", "test")])
def test_check_and_pack_divide_as_training_does(here, more):
    recorded, said = train("tested", *more)
    counts = {name: recorded["pictures"][name] for name in ("train", "validation")}
    report = json.loads(run("check", "tested", "--network", "cifar-relu", "--json", *more).stdout)
    files = dict(report["files"])
    assert files.pop("test") == 7
    assert list(files.values()) == ([30] if more else list(counts.values()))
    assert all(note in said for note in report["notes"])
    again = run("pack", "tested", "--network", "speck", "--crop", 11, "--json", *more)
    packed = json.loads(again.stdout)["splits"]
    assert {split: held["pictures"] for split, held in packed.items()} == report["files"]
    assert ("Packing train" in again.stderr, "Packing test" in again.stderr) == (False, not more)


def test_check_says_that_training_would_refuse(here):
    result = CliRunner().invoke(main, ["check", "plain", "--network", "cifar-relu", "--val", "test"])
    assert result.exit_code == 1
    assert "plain: no test/ to validate with" in result.stderr
    assert "held out" not in result.stderr.partition("Error:")[0]


@pytest.mark.slow
def test_a_run_of_the_first_cualex_goes_on_with_its_images(here, monkeypatch):
    """With other images it would be refused: their names are in the digest that a run keeps."""
    before = aged("plain", monkeypatch)
    first = sources.find("plain", split_rule="hash-rank-0")
    assert [picture.name for picture in first.splits["val"]] == FIRST_VAL
    assert (before["train"], before["validation"]) == (24, 6)
    assert evaluated() == ("val", 6)
    run("train", "--resume", "runs/train", "--epochs", 3, "--keep")
    recorded = json.loads(ARGUMENTS.read_text())
    assert recorded["pictures"] == before
    assert (recorded["split_rule"], recorded["val"]) == ("hash-rank-0", "val-or-test")
    assert evaluated() == ("val", 6)
    assert evaluated("plain", "--val-split", 0.5)[1] == 2 * 8  # by the run's rule: of 15 the nearest to the half
    ARGUMENTS.write_text(json.dumps({**recorded, "split_rule": "hash-threshold-1"}))
    result = CliRunner().invoke(main, ["train", "--resume", "runs/train", "--epochs", "4"])
    assert "not the data set of this run: 21 + 9 images, expected 24 + 6." in result.stderr


@pytest.mark.slow
def test_a_run_of_the_first_cualex_goes_on_to_validate_with_test(here, monkeypatch):
    before = aged("tested", monkeypatch, "--val", "test")
    assert (before["train"], before["validation"]) == (30, 7)
    assert evaluated() == ("test", 7)
    said = run("train", "--resume", "runs/train").stderr
    assert "held out" not in said
    recorded = json.loads(ARGUMENTS.read_text())
    assert recorded["pictures"] == before
    assert recorded["val"] == "val-or-test"


@pytest.mark.parametrize("command", ["train", "check", "pack"])
def test_help_says_what_validates(command):
    said = " ".join(run(command, "--help").stdout.split())
    assert "Validate on val/, or a held-out part of train/ where there is none; or on test/, which then also" in said
    assert (
        "Fraction of each class of the training images that is held out for validation where there is no val/" in said
    )
