"""How a training ends: what it takes on the disk, checkpoints that go, kills in between, and its verdict resumed."""

import json
import os
import random
import signal
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cualex import networks, weights
from cualex.cli import _training, main
from cualex.errors import OutputError, UsageError
from cualex.evaluation import Evaluation
from cualex.plots import curves
from cualex.system import files
from cualex.training import loop
from cualex.training.records import Epoch, Update
from cualex.training.run import Run, checkpoints, writer
from cualex.training.run.checkpoints import Room
from cualex.training.verdict import Verdict
from tests.support.tiny_runs import OPTIONS, RECIPE, Squares, command, digest, go, left, log, results, stop, training

pytestmark = pytest.mark.usefixtures("speck")
BEST = ["best.safetensors"]
HEAD = 8192  # bytes, at the most, of a weights file beside its numbers: names, shapes, notes


class Free:
    """What the system says of a disk."""

    def __init__(self, free):
        self.free = free


def kept(run):
    return sorted(file.name for file in run.path.glob("*.safetensors"))


def result(run):
    """Return what a run has left when its checkpoints are gone."""
    return {
        "best": digest(weights.load(run.path / "best.safetensors").tensors),
        "log": log(run),
        "results": results(run),
        "finished": (run.path / "finished.json").read_text(),
    }


# --- the verdict


@pytest.mark.slow
def test_the_outcome_has_the_verdict_beside_the_keys_of_old(tmp_path):
    run = Run.create(tmp_path)
    list(training(run))
    outcome = run.outcome()
    assert list(outcome)[:5] == ["epochs", "updates", "best_epoch", "top1", "top5"]
    assert (outcome["epochs"], outcome["updates"]) == (9, 42)
    last = [line for line in log(run) if "val_loss" in line][-1]
    assert (outcome["images"], outcome["last_top1"], outcome["val_loss"]) == (
        12,
        last["top1"],
        last["val_loss"],
    )
    assert outcome["macro_recall"] == last["macro_recall"] is not None
    assert outcome["baseline"] == pytest.approx(1 / 3)
    assert outcome["held_out"]
    assert Verdict.read(outcome).phrase == outcome["verdict"]


@pytest.mark.slow
def test_a_verdict_on_the_epochs_since_a_stop_alone_is_found(whole, tmp_path, monkeypatch):
    """Planted; that it is the same after every stop is what test_resume.py compares."""
    run, judge = Run.create(tmp_path), writer.verdict.judge
    stop(training(run), 30)
    monkeypatch.setattr(writer.verdict, "judge", lambda epochs, *rest: judge(epochs[6:], *rest))
    list(training(run))
    assert left(run)["log"] == whole["log"]
    assert left(run)["finished"] != whole["finished"]


@pytest.mark.slow
def test_stopped_in_the_last_validation_and_after_it_the_verdict_is_the_same(whole, tmp_path):
    """All epochs are done, so that the last one's figures are in the log alone."""
    run = Run.create(tmp_path)
    records = training(run)
    go(records, 42)
    assert next(records).epoch == 9
    records.close()
    assert not [record for record in training(run) if isinstance(record, Update)]
    assert left(run) == whole


@pytest.mark.slow
def test_a_run_validated_on_its_training_images_says_so(tmp_path):
    run, squares = Run.create(tmp_path), Squares()
    list(loop.train(RECIPE.but(epochs=2), squares, squares, run))
    assert run.outcome()["held_out"] is False


@pytest.mark.slow
def test_the_command_prints_it(data, tmp_path):
    fixed = (data, *OPTIONS, "--output", tmp_path, "--cache", tmp_path / "packs")
    best, judged, *rest = trained(*fixed).stdout.splitlines()
    assert best.startswith("Best validation top-1 ")
    assert best.endswith(
        f"(epoch {Run(tmp_path / 'train').outcome()['best_epoch']}): {tmp_path}/train/best.safetensors"
    )
    assert judged.startswith(f"{Run(tmp_path / 'train').outcome()['verdict']}: ")
    assert rest
    found = json.loads(trained(*fixed, "--val-split", "0", "--json").stdout)
    outcome = Run(tmp_path / "train-2").outcome()
    outcome.pop("updates")
    assert {name: found[name] for name in outcome} == outcome
    assert found["held_out"] is False
    assert found["summary"][0].endswith("hold some out with --val-split 0.2.")
    assert trained(*fixed, "--val-split", "0").stdout.startswith("Best training top-1 ")


# --- the disk


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="momentum"),
        *(
            pytest.param(change, id=name, marks=pytest.mark.slow)
            for name, change in {
                "adam": {"optimizer": "adam", "rate": 0.001},
                "frozen": {"freeze": ("conv1",)},
                "batch normalisation": {"network": "mote"},
            }.items()
        ),
    ],
)
def test_the_room_that_is_announced_is_what_a_run_takes(tmp_path, monkeypatch, change):
    """At its most while a checkpoint is written beside two others, as all files together are measured there."""
    recipe, run, seen = RECIPE.but(epochs=2, **change), Run.create(tmp_path), []
    flush = files.flush

    def measured(path):
        seen.append(sum(file.stat().st_size for file in run.path.iterdir() if "safetensors" in file.name))
        flush(path)

    monkeypatch.setattr(files, "flush", measured)
    list(training(run, recipe, save_every=0.0))
    room = Room.of(networks.build(recipe.network, **recipe.arguments(3)), recipe)
    for name, expected in (("best", room.best), ("last", room.checkpoint), ("previous", room.checkpoint)):
        held = weights.load(run.path / f"{name}.safetensors")
        arrays = (*held.tensors.values(), *held.velocities.values(), held.mean)
        assert sum(array.nbytes for array in arrays) == expected
        assert 0 < (run.path / f"{name}.safetensors").stat().st_size - expected < HEAD
    sizes = {name: (run.path / f"{name}.safetensors").stat().st_size for name in ("best", "last")}
    # Checkpoints differ by the digits of their notes; one more or less would be a quarter.
    assert max(seen) == pytest.approx(3 * sizes["last"] + sizes["best"], rel=0.02)
    assert room.most == 3 * room.checkpoint + room.best
    assert room.left(keep=True) == room.best + 2 * room.checkpoint
    assert room.left(keep=False) == room.best


def test_the_files_of_a_run_that_goes_on_are_room_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda _: Free(1000))
    (tmp_path / "last.safetensors").write_bytes(b"x" * 70)
    (tmp_path / "log.jsonl").write_bytes(b"x" * 70)
    assert checkpoints.free(tmp_path) == 1070


def trained(*words):
    return CliRunner().invoke(main, command(*words))


@pytest.mark.slow
def test_a_run_says_what_it_will_write(data, tmp_path):
    done = trained(data, *OPTIONS, "--output", tmp_path, "--cache", tmp_path / "packs")
    assert done.exit_code == 0, done.output
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("This run writes")]
    assert line.startswith(f"This run writes up to 78 kB in {tmp_path}: 2 checkpoints of 22 kB, a third while ")
    assert "it is written, 12 kB of best weights; 56 kB remain at the end; " in line
    assert line.endswith(" are free.")


def test_a_disk_too_small_is_refused_before_anything_is_packed(data, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda _: Free(10_000))
    done = trained(data, *OPTIONS, "--output", tmp_path / "runs", "--cache", tmp_path / "packs")
    assert done.exit_code == 1
    assert done.stderr.endswith("10 kB are free. Free some space, or name a directory on another disk with --output.\n")
    assert not (tmp_path / "packs").exists()
    assert not list((tmp_path / "runs").iterdir())


def test_a_disk_that_the_packs_have_filled_is_refused_before_the_run(data, tmp_path, monkeypatch):
    found = iter([10**9, 10_000])
    monkeypatch.setattr(checkpoints, "free", lambda _: next(found))
    done = trained(data, *OPTIONS, "--output", tmp_path / "runs", "--cache", tmp_path / "packs")
    assert (done.exit_code, list((tmp_path / "runs").iterdir())) == (1, [])


@pytest.mark.slow
def test_best_weights_that_a_full_disk_refused_are_written_at_the_end(tmp_path, monkeypatch):
    """And not before: without them the checkpoint, which has the only weights, must not go."""
    run, refused = Run.create(tmp_path), OutputError("the disk is full.")
    save = Run.save_best

    def full(self, kept):
        raise refused

    monkeypatch.setattr(Run, "save_best", full)
    with pytest.raises(OutputError, match="full"):
        list(training(run, keep=False))
    assert run.outcome() is None
    assert run.resumable
    monkeypatch.setattr(Run, "save_best", save)
    list(training(run, keep=False))
    assert kept(run) == BEST
    assert run.outcome()["best_epoch"] == run.outcome()["epochs"] == 9


# --- checkpoints go at the end


@pytest.mark.slow
def test_the_checkpoints_of_a_finished_run_are_removed_and_the_rest_is_the_same(whole, tmp_path):
    run = Run.create(tmp_path)
    list(training(run, save_every=0.0, keep=False))
    assert kept(run) == BEST
    assert result(run) == {name: whole[name] for name in result(run)}


class Killed(BaseException):
    """What stands for a kill: nothing is done after it."""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["the mark", "the older", "the newer"])
def test_killed_while_it_ends_a_run_is_whole(whole, tmp_path, monkeypatch, moment):
    """Before the mark it goes on to the same end; after it, it is finished, and what is left can still go on."""
    run, unlink = Run.create(tmp_path), Path.unlink

    def kill(self, *_, **__):
        raise Killed

    def unlinked(self, **settings):
        if {"the older": "previous", "the newer": "last"}.get(moment) == self.stem:
            raise Killed
        unlink(self, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "_leave", lambda self: None)
        if moment == "the mark":
            patch.setattr(Run, "finish", kill)
        patch.setattr(Path, "unlink", unlinked)
        with pytest.raises(Killed):
            list(training(run, save_every=0.0, keep=False))
    gone = {"the mark": [], "the older": [], "the newer": ["previous.safetensors"]}[moment]
    assert set(kept(run)) == {"best.safetensors", "last.safetensors", "previous.safetensors"} - set(gone)
    if moment == "the mark":
        list(training(run, keep=False))
        assert kept(run) == BEST
    else:
        with pytest.raises(UsageError, match=r"is finished, after 9 epochs\. Give more --epochs"):
            training(run)
    assert result(run) == {name: whole[name] for name in result(run)}
    if moment != "the mark":
        records = training(run, RECIPE.but(epochs=10))
        assert next(record.update for record in records if isinstance(record, Update)) == 43
        records.close()


@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_kills_lose_nothing_where_checkpoints_go(forks, whole, tmp_path, kills):
    """Tries 3 kills, 100 under `-m slow`.

    Half of the kills are aimed at a file that is being written; finished.json is one of them.
    """
    chance, killed, number = random.Random(kills), 0, 0
    run = Run(tmp_path / "run-0")
    while killed < kills or not run.outcome():
        if run.outcome():
            run, number = Run(tmp_path / f"run-{number + 1}"), number + 1
        delay, aim = chance.uniform(0.02, 0.25), chance.choice([0, chance.uniform(0, 0.008)])
        more = {"aim": aim, "pause": 0.008, "keep": False}
        end = forks.ask(run=str(run.path), delay=delay if killed < kills else None, **more)
        assert end["code"] in (0, -9), end["output"]
        killed += end["code"] == -9
        assert run.outcome() or run.resumable or not (run.path / "log.jsonl").exists()
        assert not run.outcome() or result(run) == {name: whole[name] for name in result(run)}
    assert kept(run) == BEST


def test_checkpoints_that_cannot_be_removed_do_not_end_a_training(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(1, "Operation not permitted")

    run = Run.create(tmp_path)
    monkeypatch.setattr(Run, "remove_checkpoints", refuse)
    list(training(run, keep=False))
    assert run.outcome()


@pytest.mark.slow
def test_checkpoints_that_go_before_the_mark_are_lost(whole, tmp_path, monkeypatch):
    """Planted."""
    run = Run.create(tmp_path)

    def early(self, outcome):
        self.remove_checkpoints()
        raise Killed

    monkeypatch.setattr(loop.Training, "_leave", lambda self: None)
    monkeypatch.setattr(Run, "finish", early)
    with pytest.raises(Killed):
        list(training(run, keep=False))
    assert not run.resumable
    assert run.outcome() is None


# --- a signal about the end


@pytest.mark.slow
def test_ctrl_c_at_the_very_end_names_the_weights_and_no_resume_that_is_refused(data, tmp_path, monkeypatch):
    draw, count = curves.draw, []

    def interrupted(*given):
        count.append(given)
        if len(count) == 2:  # the last drawing, when the run has been marked
            os.kill(os.getpid(), signal.SIGINT)
        draw(*given)

    monkeypatch.setattr(curves, "draw", interrupted)
    done = trained(data, *OPTIONS, "--output", tmp_path, "--cache", tmp_path / "packs")
    assert done.exit_code == 130, done.output
    assert f"The training was already finished: {tmp_path / 'train/best.safetensors'}\n" in done.stderr
    assert "--resume" not in done.stderr
    assert json.loads((tmp_path / "train/finished.json").read_text())["epochs"] == 3


@pytest.mark.slow
def test_ctrl_c_in_the_last_validation_advises_a_resume_that_goes_on(data, tmp_path, monkeypatch):
    """The first signal waits for the end of what runs; an epoch's last one is obeyed before it is written."""
    evaluate, count = loop.evaluate, []

    def interrupted(*given, **more):
        count.append(given)
        if len(count) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return evaluate(*given, **more)

    monkeypatch.setattr(loop, "evaluate", interrupted)
    done = trained(data, *OPTIONS, "--output", tmp_path, "--cache", tmp_path / "packs")
    assert done.exit_code == 130, done.output
    advice = next(line for line in done.stderr.splitlines() if line.startswith("Resume with: "))
    assert advice == f"Resume with: cualex train --resume {tmp_path / 'train'}"
    done = trained(*advice.split()[4:], "--cache", tmp_path / "packs")
    assert done.exit_code == 0, done.output


def test_of_many_epochs_one_a_second_has_a_line(monkeypatch):
    said, clock = [], iter(np.arange(0, 1e4, 0.3))
    monkeypatch.setattr(_training._output, "say", said.append)
    monkeypatch.setattr(_training.time, "monotonic", lambda: next(clock))
    found = Evaluation(("a", "b"), ("1", "2"), np.arange(2), np.arange(2), np.ones(2, np.float32), 2, 0.5)
    for epochs in (_training.MANY, 200):
        said.clear()
        records = (Epoch(epoch, epochs, 1.0, found, False, 0.01, 0.1) for epoch in range(1, epochs + 1))
        _training.show(records, _training.Pace(2, 10))
        lines = [line.split()[1].partition("/")[0] for line in said]
        if epochs == _training.MANY:
            assert len(lines) == epochs
        else:
            assert epochs / 4 < len(lines) < epochs / 1.5
            assert lines[-1] == "200"
