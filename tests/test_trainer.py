"""`cualex.train`: the command's bits and files, a record an epoch, and stops that lose nothing."""

import inspect
import os
import signal
import subprocess
import sys
from dataclasses import fields, replace

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cualex
from cualex import weights
from cualex.cli import main
from cualex.cli.train import train as command
from cualex.data.sources import demo
from cualex.errors import DataError, DeviceError, RunLocked, UsageError
from cualex.training import automatic_recipe, loop, options
from cualex.training.records import Epoch, Update
from cualex.training.run import Run, restore
from tests.support.tiny_runs import digest, left, log, results

pytestmark = pytest.mark.usefixtures("speck")

SMALL = {"network": "speck", "crop": 11, "batch_size": 8, "epochs": 3, "lr": 0.02}  # 6 updates of 13 images


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in a directory with 18 images of two colours in photos/, and with packs of its own."""
    rng = np.random.default_rng(0)
    for number in range(18):
        folder = tmp_path / "photos" / f"class {number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 90, (20, 20, 3)) + 150 * np.eye(3, dtype=int)[number % 2]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(automatic_recipe, "LEAST", 9)
    monkeypatch.setattr(automatic_recipe, "CPU", [replace(row, epochs=2) for row in automatic_recipe.CPU])
    return tmp_path


def run(*words):
    result = CliRunner().invoke(main, ["train", *map(str, words)])
    assert result.exit_code == 0, result.output


def words(given):
    """Return keywords as the options of the command: a flag for a truth, --no-augment for a false augment."""
    for name, value in given.items():
        yield f"--{'no-' * (value is False)}{name.replace('_', '-')}"
        if not isinstance(value, bool):
            yield value


def directory(made):
    """Return all that a run directory holds, without what time and the machine put into it."""
    tensors = {file.name: digest(weights.load(file).tensors) for file in made.path.glob("*.safetensors")}
    texts = {name: (made.path / name).read_text() for name in ("args.json", "classes.txt", "finished.json")}
    names = sorted(file.relative_to(made.path).as_posix() for file in made.path.rglob("*"))
    return {"names": names, "log": log(made), "results": results(made), **tensors, **texts}


# --- the command's bits and files


@pytest.mark.parametrize(
    "given",
    [
        {"network": "speck", "crop": 11},
        SMALL | {"keep": True, "momentum": 0.8, "val_split": 0.4, "seed": 3},
        SMALL | {"schedule": "steps", "drop_epochs": "1,2", "freeze": "conv1", "augment": False, "no_pack": True},
    ],
    ids=["automatic", "kept", "by hand"],
)
def test_the_run_is_the_commands_to_the_bit(here, given):
    run("photos", *words(given))
    made = cualex.train("photos", **given).run()
    assert made.path.name == "train-2"
    assert directory(made) == directory(Run("runs/train"))


@pytest.mark.slow
def test_a_training_draws_its_curves(here, drawn_curves):
    made = cualex.train("photos", **SMALL).run()
    with Image.open(made.path / "curves.png") as image:
        assert (np.asarray(image.convert("L")) < 250).mean() > 0.005


@pytest.mark.slow
def test_another_seed_is_another_run(here):
    first, second = (cualex.train("photos", **SMALL, seed=seed).run() for seed in (0, 1))
    assert directory(first)["best.safetensors"] != directory(second)["best.safetensors"]


def test_sequences_and_mappings_mean_what_texts_do(here):
    texts = {"schedule": "steps", "drop_epochs": "1,2", "freeze": "conv1,fc2"}
    lists = {"schedule": "steps", "drop_epochs": [1, 2], "freeze": ["conv1", "fc2"]}
    first, second = (cualex.train("photos", **SMALL, **given).recipe for given in (texts, lists))
    assert first == second
    assert (first.drop_epochs, first.freeze) == ((1, 2), ("conv1", "fc2"))
    tuned = cualex.train("photos", network="lenet5", variant={"function": "gelu"}).recipe
    assert tuned.variant == cualex.train("photos", network="lenet5", variant="function=gelu").recipe.variant
    assert tuned.variant == {"function": "gelu"}


@pytest.mark.slow
def test_numbers_of_any_kind_are_those_that_the_command_reads(here):
    numbers = {"epochs": np.int64(3), "batch_size": np.uint8(8), "lr": 1, "weight_decay": np.float32(0.25)}
    found = cualex.train("photos", network="speck", crop=11, **numbers)
    run("photos", "--network", "speck", "--crop", 11, "--epochs", 3, "-b", 8, "--lr", 1, "--weight-decay", 0.25)
    assert repr(found.recipe.described()) == repr(restore.recipe(Run("runs/train").arguments()["recipe"]).described())


@pytest.mark.slow
def test_small_sets_fine_tune_the_bundled_network_and_scratch_does_not(here):
    tuned, scratch = cualex.train("photos"), cualex.train("photos", scratch=True)
    assert tuned.setup.start is not None
    assert scratch.setup.start is None
    assert cualex.train("photos", weights="cifar10").recipe == cualex.train("photos", pretrained=True).recipe


def test_options_are_the_keywords_and_the_commands_options():
    """No list is kept twice without a test: names, choices and ranges of the command, the class and the function."""
    own = {"on_update", "on_notice", "compiling"}
    keywords = set(inspect.signature(cualex.train).parameters) - own
    apart = {"split_rule", "decoding", "lost", "described", "given"}
    assert keywords == {field.name for field in fields(options.Options)} - apart
    parameters = {{"named": "recipe", "start": "weights"}.get(each.name, each.name): each for each in command.params}
    assert set(parameters) - keywords == {
        *("overfit", "check_gradients", "find_lr", "yes", "as_json", "verbose"),
        *("ranks", "peer_timeout", "exchange_rows"),  # of commands, which a launcher starts
    }
    assert keywords <= set(parameters)
    defaults = options.Options()
    for name in keywords:
        kind, default = parameters[name].type, parameters[name].default
        if isinstance(kind, click.Choice):
            assert tuple(kind.choices) == options.CHOICES[name], name
        if isinstance(kind, click.IntRange | click.FloatRange):
            known = options.RANGES[name]
            assert (kind.min, kind.max, kind.min_open, kind.max_open, isinstance(kind, click.IntRange)) == (
                *(known.least, known.most, known.above, known.below, known.whole),
            ), name
        if isinstance(default, str | int | float) and name != "resume":
            assert default == getattr(defaults, name), name
    assert set(options.CHOICES) | set(options.RANGES) <= keywords


# --- records


@pytest.mark.slow
def test_there_is_a_record_an_epoch_and_nothing_is_printed(here, capfd):
    updates, told = [], []
    training = cualex.train("photos", **SMALL, on_update=updates.append, on_notice=told.append)
    assert training.directory is None
    epochs = list(training)
    assert [type(epoch) for epoch in epochs] == [Epoch] * 3
    assert [(epoch.epoch, epoch.epochs) for epoch in epochs] == [(1, 3), (2, 3), (3, 3)]
    assert [row["train/loss"] for row in training.directory.results()] == pytest.approx(
        [epoch.train_loss for epoch in epochs], rel=1e-5
    )
    assert {type(update) for update in updates} == {Update}
    assert updates[-1].update == updates[-1].updates == len(updates)
    assert told == training.notices
    assert told[0].startswith("val is held out from train: ")
    assert list(training) == []
    assert training.run() is training.directory
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_read_is_warned_of_and_listed(here):
    (here / "photos/class 0/damaged.png").write_bytes(b"no image")
    training = cualex.train("photos", **SMALL, val_split=0)
    with pytest.warns(
        UserWarning, match=r"^1 images could not be read and were skipped; runs/train/skipped\.csv lists"
    ):
        made = training.run()
    assert "damaged.png" in (made.path / "skipped.csv").read_text()
    assert any("no validation images" in text for text in training.notices)


@pytest.mark.slow
def test_the_demo_set_leaves_samples_as_the_command_does(here, monkeypatch):
    monkeypatch.setattr(demo, "IMAGES", {"train": 2, "val": 2})
    made = cualex.train(network="speck", crop=11, epochs=1, batch_size=8, recipe="cifar").run()
    run("--network", "speck", "--crop", 11, "--epochs", 1, "-b", 8, "--recipe", "cifar")
    assert sorted((made.path / "samples").iterdir())
    assert directory(made) == directory(Run("runs/train-2"))


# --- stops


@pytest.mark.slow
@pytest.mark.parametrize("how", ["run", "resume", "newest", "command"])
def test_leaving_the_loop_saves_and_all_ways_go_on_to_the_same_bits(here, how):
    whole = cualex.train("photos", **SMALL, keep=True, name="whole").run()
    training = cualex.train("photos", **SMALL, keep=True, name="left")
    for epoch in training:
        if epoch.epoch == 2:
            break
    assert (training.directory.path / "last.safetensors").exists()
    assert training.directory.outcome() is None
    if how == "command":
        run("--resume", "runs/left")
    elif how == "run":
        assert training.run() is training.directory
    else:
        cualex.train(resume=training.directory if how == "resume" else True).run()
    assert left(training.directory) == left(whole)


@pytest.mark.slow
def test_ctrl_c_is_pythons_own_between_records_and_saves(here):
    before = signal.getsignal(signal.SIGINT)
    whole = cualex.train("photos", **SMALL, keep=True, name="whole").run()
    training = cualex.train("photos", **SMALL, keep=True, name="stopped")

    def interrupted():
        for _ in training:
            assert signal.getsignal(signal.SIGINT) is before
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("the signal waits")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert signal.getsignal(signal.SIGINT) is before
    assert (training.directory.path / "last.safetensors").exists()
    training.run()
    assert left(training.directory) == left(whole)


@pytest.mark.slow
def test_ctrl_c_in_an_update_waits_for_its_end(here):
    whole = cualex.train("photos", **SMALL, keep=True, name="whole").run()
    seen = []

    def signalled(update):
        seen.append(update.update)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    training = cualex.train("photos", **SMALL, keep=True, name="stopped", on_update=signalled)
    with pytest.raises(KeyboardInterrupt):
        training.run()
    assert seen == [1, 2]
    cualex.train(resume="stopped").run()
    assert left(training.directory) == left(whole)


@pytest.mark.slow
def test_an_exception_that_is_kept_has_saved_and_unlocked(here):
    def refuse(update):
        raise ZeroDivisionError

    training = cualex.train("photos", **SMALL, on_update=refuse)
    with pytest.raises(ZeroDivisionError) as held:
        training.run()
    assert (training.directory.path / "last.safetensors").exists()
    assert cualex.train(resume=True).run().outcome()["updates"] == 6
    assert held.traceback


def test_signals_wait_in_every_update_and_minutes_are_seconds(here, monkeypatch):
    before, seen, asked, train = signal.getsignal(signal.SIGINT), set(), [], loop.train
    monkeypatch.setattr(loop, "train", lambda *given, **more: asked.append(more["save_every"]) or train(*given, **more))
    training = cualex.train("photos", **SMALL, save_every=0.5, on_update=lambda _: seen.add(signal.getsignal(2)))
    training.run()
    assert len(seen) == 1
    assert before not in seen
    assert asked == [30]


def test_a_run_that_is_left_is_not_locked(here):
    training = cualex.train("photos", **SMALL)
    records = iter(training)
    next(records)
    with pytest.raises(RunLocked, match=r"^runs/train: process \d+ on .* is training in it"):
        cualex.train(resume=True)
    records.close()
    assert cualex.train(resume=True).setup.run.path == training.directory.path


def test_a_stop_that_saves_nothing_is_found(here, monkeypatch):
    """Planted: the tests above see that there is a checkpoint."""
    monkeypatch.setattr(loop.Training, "_leave", lambda self: None)
    training = cualex.train("photos", **SMALL, keep=True)
    for _ in training:
        break
    assert not (training.directory.path / "last.safetensors").exists()


# --- wrong use


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"epoch": 5}, UsageError, r"^train\(\) has no keyword 'epoch'; there are data, .*\. Did you mean epochs\?$"),
        ({"epochs": 0}, UsageError, r"^epochs=0: expected a whole number of at least 1$"),
        ({"epochs": True}, UsageError, r"^epochs=True: expected a whole number of at least 1$"),
        ({"epochs": "5"}, UsageError, r"^epochs='5': expected a whole number of at least 1$"),
        ({"network": 5}, UsageError, r"^network=5: expected a text$"),
        ({"data": ["photos"]}, UsageError, r"^data=\['photos'\]: expected a path$"),
        ({"weights": 5}, UsageError, r"^weights=5: expected a path$"),
        ({"resume": 5}, UsageError, r"^resume=5: expected the path of a run, or True for the newest unfinished one$"),
        ({"lr": float("nan")}, UsageError, r"^lr=nan: expected a number above 0$"),
        ({"lr": float("inf")}, UsageError, r"^lr=inf: expected a number above 0$"),
        ({"multipliers": ["conv1.lr=2"]}, UsageError, r"^multipliers=\['conv1\.lr=2'\]: expected a text such as "),
        ({"lr": 0}, UsageError, r"^lr=0: expected a number above 0$"),
        ({"momentum": 1.0}, UsageError, r"^momentum=1\.0: expected a number of at least 0 and below 1$"),
        ({"seed": -1}, UsageError, r"^seed=-1: expected a whole number of at least 0 and at most "),
        ({"schedule": "cosin"}, UsageError, r"^schedule='cosin': expected plateau, steps, cosine, poly, 2012$"),
        ({"network": "alexnte"}, UsageError, r"^no network is called 'alexnte'; there are .* Did you mean alexnet\?$"),
        ({"data": "nowhere"}, DataError, r"^nowhere: no such folder, \.zip or \.tar; `demo` is the built-in data set$"),
        ({"device": "tpu"}, UsageError, r"^device 'tpu' in 'tpu': expected cpu, cuda:0, cuda:1, \.\.\. or auto$"),
        ({"schedule": "cosine", "drop_epochs": [3]}, UsageError, r"^--drop-epochs belongs to --schedule steps"),
        ({"resume": True, "recipe": "paper"}, UsageError, r"^--recipe is for new runs, and --resume continues one"),
        ({"resume": True}, UsageError, r"^no unfinished run in runs\."),
        ({"paper": True, "epochs": 1}, DataError, r"^batch size 128 is larger than the training set of \d+ images"),
    ],
)
def test_wrong_use_is_one_line_before_anything_is_written(here, given, kind, said):
    with pytest.raises(kind, match=said) as caught:
        cualex.train(**({"data": "photos"} | given if "resume" not in given else given))
    assert "\n" not in str(caught.value)
    assert not list(here.glob("runs/*"))
    assert not (here / "cache").exists()


@pytest.mark.slow
def test_a_gpu_that_is_not_there_is_said_in_the_commands_words(here, monkeypatch):
    from cualex.devices import placement

    monkeypatch.setattr(placement.CupyRuntime, "__init__", lambda self: None)
    monkeypatch.setattr(placement.CupyRuntime, "count", lambda self: 1)
    with pytest.raises(DeviceError) as caught:
        cualex.train("photos", device="cuda:7")
    result = CliRunner().invoke(main, ["train", "photos", "--device", "cuda:7"])
    assert result.stderr.splitlines()[-1] == f"Error: {caught.value}"


@pytest.mark.slow
def test_a_refused_resume_unlocks_the_run(here):
    training = cualex.train("photos", **SMALL)
    for _ in training:
        break
    with pytest.raises(UsageError) as held:  # with its frames, so that nothing is freed by chance
        cualex.train(resume="train", seed=1)
    cualex.train(resume="train").run()
    assert "its seed is 0, got 1, and cannot change on resume" in str(held.value)


def test_importing_cualex_loads_nothing_heavy():
    code = "import sys, cualex; print(*{'numpy', 'cupy', 'PIL', 'click', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
