"""`cualex train --resume` as a user meets it."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cualex import weights
from cualex.cli import main
from tests.support.tiny_runs import RECIPE

pytestmark = pytest.mark.usefixtures("speck")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in a directory with pictures in photos/, and with packs of its own."""
    rng = np.random.default_rng(0)
    for number in range(30):
        folder = tmp_path / "photos" / f"class {number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    return tmp_path


def train(*arguments):
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


def started(*more):
    """Train for two epochs of 24 images, which are six updates of eight; with --keep checkpoints stay."""
    result = train("photos", "--network", "speck", "--crop", 11, "-b", 8, "--epochs", 2, "--lr", 0.005, *more)
    assert result.exit_code == 0, result.output
    return result


def fault(result):
    """Return the exit code and the one line."""
    return result.exit_code, result.stderr.splitlines()[-1]


@pytest.mark.slow
def test_the_newest_unfinished_run_goes_on_with_its_own_options(here):
    for name in ("train", "train-2"):
        started("--keep")
        (here / "runs" / name / "finished.json").unlink()
    result = train("--resume", "--json")
    assert result.exit_code == 0, result.output
    assert "Resuming runs/train-2" in result.stderr
    assert "Continues after update 6, with all epochs done." in result.stderr
    document = json.loads(result.stdout)
    assert document["run"] == "runs/train-2"
    assert json.loads((here / "runs/train-2/args.json").read_text())["recipe"]["rate"] == 0.005
    assert "Resuming runs/train\n" in train("--resume").stderr
    assert fault(train("--resume")) == (2, "Error: no unfinished run in runs. `cualex train` starts one.")


@pytest.mark.slow
def test_a_finished_run_goes_on_with_more_epochs_where_its_checkpoints_are_kept(here):
    started("--keep")
    assert fault(train("--resume", "runs/train")) == (
        2,
        "Error: runs/train is finished, after 2 epochs. Give more --epochs to continue.",
    )
    result = train("--resume", "train", "--epochs", 3, "--lr", 0.001)
    assert result.exit_code == 0, result.output
    assert "Continues with epochs 3 (was 2), rate 0.001 (was 0.005)." in result.stderr
    assert json.loads((here / "runs/train/finished.json").read_text())["updates"] == 9
    assert (here / "runs/train/last.safetensors").exists()  # --keep is one of the run's own options


@pytest.mark.slow
def test_a_finished_run_without_checkpoints_names_the_way_out(here):
    started()
    kept = sorted(file.name for file in (here / "runs/train").glob("*.safetensors"))
    assert kept == ["best.safetensors"]
    way_out = f"cualex train {here}/photos --from runs/train/best.safetensors"
    for more in ((), ("--epochs", 3)):
        assert fault(train("--resume", "runs/train", *more)) == (
            2,
            "Error: runs/train is finished, after 2 epochs, and its checkpoints were removed, for lack of --keep. "
            f"Start a new run from its weights: {way_out}",
        )
    result = train(*way_out.split()[2:], "-b", 8, "--epochs", 1)
    assert result.exit_code == 0, result.output


@pytest.mark.slow
def test_gradients_of_a_run_without_checkpoints_are_those_of_its_best_weights(here, monkeypatch):
    from cualex.cli import _debugging

    started()
    given = []
    monkeypatch.setattr(_debugging, "give", lambda _, recipe, pack, kept, *rest: given.append(kept))
    assert train("--resume", "runs/train", "--check-gradients").exit_code == 0
    best = weights.load(here / "runs/train/best.safetensors")
    assert all(np.array_equal(best.tensors[name], given[0].tensors[name]) for name in best.tensors)


@pytest.mark.slow
def test_class_weights_are_kept_until_others_are_given(here):
    (here / "photos" / "class 1" / "1.png").rename(here / "photos" / "class 0" / "1.png")

    def recipe():
        return json.loads((here / "runs/train/args.json").read_text())["recipe"]["class_weights"]

    said = started("--class-weights", "balanced", "--keep").stderr
    assert re.search(r"^  class weights in the loss +balanced +none$", said, re.MULTILINE)
    assert recipe() == "balanced"
    result = train("--resume", "runs/train", "--epochs", 3)
    assert (result.exit_code, recipe()) == (0, "balanced")
    result = train("--resume", "runs/train", "--epochs", 4, "--class-weights", "none")
    assert (result.exit_code, recipe()) == (0, "")
    assert 'class_weights "" (was "balanced")' in result.stderr


@pytest.mark.slow
def test_pictures_that_have_moved_are_named_and_others_are_refused(here):
    started("--keep")
    (here / "runs/train/finished.json").unlink()
    (here / "photos").rename(here / "moved")
    assert fault(train("--resume"))[1].startswith(f"Error: {here}/photos: no such folder, .zip or .tar")
    result = train("moved", "--resume")
    assert result.exit_code == 0, result.output
    (here / "moved/class 1/29.png").unlink()
    code, line = fault(train("--resume", "runs/train", "--epochs", 3))
    assert (code, "not the data set of this run" in line) == (1, True)


def test_what_is_no_run_is_refused(here):
    assert fault(train("--resume", "photos")) == (
        2,
        "Error: photos: not a run directory, since it has no args.json. Give one in runs/.",
    )


@pytest.mark.parametrize("option", [("--name", "new"), ("--paper",)])
def test_options_of_new_runs_are_refused(here, option):
    assert fault(train("--resume", "runs/train", *option)) == (
        2,
        f"Error: {option[0]} is for new runs, and --resume continues one: leave one of them out",
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recipe": {"epochs": "many"}}, "recipe.epochs='many': expected a whole number of at least 1"),
        ({"recipe": {"epochs": -3}}, "recipe.epochs=-3: expected a whole number of at least 1"),
        ({"recipe": {"rate": float("nan")}}, "recipe.rate=nan: expected a number above 0"),
        ({"recipe": {"batch": 0}}, "recipe.batch=0: expected a whole number of at least 1"),
        ({"recipe": {"optimizer": "best"}}, "recipe.optimizer='best': expected momentum, adam"),
        ({"recipe": {"network": ["speck"]}}, "recipe.network=['speck']: expected a text"),
        ({"recipe": {"variant": 7}}, "recipe.variant=7: expected a table"),
        ({"recipe": {"freeze": [3]}}, "recipe.freeze=[3]: expected a list of texts"),
        ({"recipe": {"seed": 2.5}}, "recipe.seed=2.5: expected a whole number"),
        ({"recipe": 3}, "recipe=3: expected a table"),
        ({"recipe": None}, "this run has no recipe. Start a new run."),
        ({"val_split": "half"}, "val_split='half': expected a number of at least 0 and below 1"),
        ({"val": "none"}, "val='none': expected held-out, test, val-or-test"),
        ({"split_rule": 5}, "split_rule=5: expected hash-threshold-2, "),
        ({"decoding": "new"}, "decoding='new': expected a whole number"),
        ({"save_every": -1}, "save_every=-1: expected a number of at least 0"),
        ({"precision": "fp5"}, "precision='fp5': expected fp32, tf32, bf16"),
        ({"device": 7}, "device=7: expected a text"),
        ({"data": 7}, "data=7: expected a path"),
        ({"names": [1]}, "names=[1]: expected a path"),
        ({"keep": "yes"}, "keep='yes': expected true or false"),
        ({"pictures": 9}, "pictures=9: expected the numbers of images"),
        ([1, 2], "expected a run's options by name, got list"),
        ("text", "expected a run's options by name, got str"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_a_hand_has_written_into_args_json_is_one_line(tmp_path, monkeypatch, change, said):
    """Whatever it is, neither a traceback nor a training with it."""
    monkeypatch.chdir(tmp_path)
    described = {"data": "demo", "val_split": 0.2, "device": "cpu", "recipe": RECIPE.described()}
    if isinstance(change, dict):
        recipe = change.get("recipe", {})
        described |= {**change, "recipe": described["recipe"] | recipe if isinstance(recipe, dict) else recipe}
    else:
        described = change
    run = tmp_path / "runs" / "train"
    run.mkdir(parents=True)
    (run / "args.json").write_text(json.dumps(described))
    (run / "last.safetensors").write_bytes(b"not read")
    code, line = fault(train("--resume", "runs/train"))
    assert code == 2, line
    assert line.startswith(f"Error: runs/train/args.json: {said}")
