"""Training: the schedule, the watch, the run directory and the loop, on a network of a sixteenth of the width."""

import csv
import json
import math
import os
import signal

import numpy as np
import pytest

from cualex import weights
from cualex.errors import Diverged, OutputError, UsageError
from cualex.evaluation import Evaluation
from cualex.plan import Plan
from cualex.training import loop, recipes
from cualex.training.debugging import layer_statistics
from cualex.training.debugging.watch import diagnosis
from cualex.training.recipes import PAPER
from cualex.training.run import Run, newest_weights, restore
from cualex.training.run.writer import RunWriter
from cualex.training.schedules import Fixed, Plateau
from cualex.training.signals import SignalHandler
from cualex.weights import initial
from tests.support.tiny_runs import RECIPE, TINY, Pictures, known, small_model, training


def trained(tmp_path, recipe=TINY, name="train"):
    """Run a whole training, and return its records and its run."""
    run = Run.create(tmp_path, name)
    pictures = Pictures()
    return list(loop.train(recipe, pictures, Pictures(12, seed=1), run)), run


# --- schedule


def test_plateau_divides_by_ten_after_five_epochs_without_a_tenth_of_a_point():
    plateau = Plateau(0.01)
    said = [plateau.after_epoch(error) for error in (50, 40, 39.95, 39.92, 39.91, 39.905)]
    assert said == [None] * 6
    assert plateau.rate == 0.01
    assert plateau.after_epoch(39.91) == "no gain of 0.1 points in 5 epochs: learning rate 0.001 from now on"
    assert plateau.rate == pytest.approx(0.001)


def test_a_gain_of_a_tenth_starts_the_wait_anew():
    plateau = Plateau(0.01)
    for error in (40, 41, 41, 41, 41, 39.9, 41, 41, 41, 41):
        assert plateau.after_epoch(error) is None
    assert plateau.after_epoch(41)


def test_the_fourth_plateau_ends_the_training():
    plateau = Plateau(0.01)
    changes = [change for _ in range(21) if (change := plateau.after_epoch(40))]
    assert len(changes) == 4
    assert plateau.finished
    assert changes[-1].endswith("at the last learning rate: finished")
    assert plateau.rate == pytest.approx(1e-5)


def test_fixed_epochs():
    fixed = Fixed(0.01, (2, 3))
    rates = [(fixed.after_epoch(error), fixed.rate)[1] for error in (1, 2, 3, 4)]
    assert rates == pytest.approx([0.01, 0.001, 0.0001, 0.0001])


# --- recipe


def test_the_papers_recipe_is_the_papers():
    assert (PAPER.batch, PAPER.momentum, PAPER.decay, PAPER.rate) == (128, 0.9, 0.0005, 0.01)
    assert (PAPER.dropout, PAPER.crop, PAPER.epochs, PAPER.drop_epochs) == (0.5, 227, 90, ())
    assert (PAPER.augment, PAPER.colour_noise, PAPER.colour_components) == (True, 0.1, "data")
    assert [row for row in PAPER.against_paper() if row[2]] == [("augmented views per image", "1,800", "2,048")]


def test_a_recipe_says_each_number_that_is_not_the_papers():
    rows = {what: (here, paper) for what, here, paper in PAPER.but(batch=64, drop_epochs=(2, 3)).against_paper()}
    assert rows["batch size"] == ("64", "128")
    assert rows["learning-rate schedule"] == ("/10 after epochs 2, 3", "/10 on a plateau")
    assert sum(paper != "" for _, paper in rows.values()) == 3  # the third are the views


def test_recipes_have_names():
    assert recipes.named("demo", None) == recipes.DEMO
    assert recipes.named("demo", "alexnet-torchvision") == recipes.QUICK["alexnet-torchvision"]
    assert recipes.named("paper", None) == recipes.named("paper", "alexnet") == PAPER
    assert recipes.named("paper", "cifar-relu") == recipes.named("cifar", None) == recipes.CIFAR
    assert recipes.named("caffe", "caffenet").network == "caffenet"


# --- watch


def test_dead_filters_are_counted():
    bias = np.zeros(64, np.float32)
    bias[:16] = -1e6
    found = layer_statistics.activity(small_model(**{"conv2.bias": bias}), Pictures().pictures)
    assert found["relu2"].dead == pytest.approx(0.25, abs=0.05)
    assert found["relu1"].dead < 0.05


def test_the_diagnosis_names_the_dead_layer():
    text = diagnosis(2.3, math.log(10), 10, {"relu1": 0.0, "relu2": 1.0}, 0.01, 1000)
    assert "ln(10) = 2.303" in text
    assert "relu1 0%, relu2 100%" in text
    assert "all units of relu2 are zero on every image" in text
    assert "--lr 0.001" in text
    # right data have layers with so many dead units
    assert "--lr 0.03" in diagnosis(2.3, math.log(10), 10, {"relu1": 0.0, "relu7": 0.99}, 0.01, 1000)


# --- run


def test_a_name_with_a_slash_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--name: expected one directory name, got 'a/b'"):
        Run.create(tmp_path, "a/b")


def test_runs_never_share_a_directory(tmp_path):
    assert [Run.create(tmp_path).path.name for _ in range(3)] == ["train", "train-2", "train-3"]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*train: a file of that name exists"):
        Run.create(tmp_path / "file")


def test_the_newest_finished_run_is_found(tmp_path):
    with pytest.raises(UsageError, match=r"no finished run in .*: train one with `cualex train FOLDER`"):
        newest_weights(tmp_path)
    for _ in range(2):
        run = Run.create(tmp_path)
        (run.path / "best.safetensors").write_text("")
        run.finish({})
    Run.create(tmp_path)  # not finished
    assert newest_weights(tmp_path) == tmp_path / "train-2" / "best.safetensors"


# --- loop


def test_a_training_leaves_everything_in_its_directory(tmp_path):
    records, run = trained(tmp_path)
    names = {file.name for file in run.path.iterdir()}
    assert names == {
        *("args.json", "env.json", "classes.txt", "skipped.csv", "log.jsonl", "results.csv"),
        *("last.safetensors", "best.safetensors", "finished.json", "run.lock"),
    }
    updates = [record for record in records if isinstance(record, loop.Update)]
    epochs = [record for record in records if isinstance(record, loop.Epoch)]
    assert [update.update for update in updates] == list(range(1, 10))
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3]
    assert updates[-1].loss < updates[0].loss
    rows = run.results()
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["val/loss"] == pytest.approx(epochs[-1].validation.loss, rel=1e-4)
    assert (run.path / "classes.txt").read_text() == "colour 0\ncolour 1\ncolour 2\n"
    with open(run.path / "skipped.csv", newline="") as file:
        assert list(csv.reader(file))[1] == ["broken.jpg", "it, is"]


@pytest.mark.slow
def test_best_is_the_epoch_with_the_smallest_error(tmp_path):
    records, run = trained(tmp_path)
    best = max((r for r in records if isinstance(r, loop.Epoch)), key=lambda r: r.validation.top1)
    assert json.loads((run.path / "finished.json").read_text())["top1"] == best.validation.top1
    kept = weights.load(run.path / "best.safetensors")
    assert kept.classes == ["colour 0", "colour 1", "colour 2"]
    assert not kept.velocities
    assert set(weights.load(run.path / "last.safetensors").velocities) == set(kept.tensors)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tmp_path):
    first, second, other = (
        weights.load(trained(tmp_path, TINY.but(seed=seed, epochs=1))[1].path / "last.safetensors")
        for seed in (0, 0, 1)
    )
    name = "conv2.weight"
    assert np.array_equal(first.tensors[name], second.tensors[name])
    assert np.array_equal(first.velocities[name], second.velocities[name])
    assert not np.array_equal(first.tensors[name], other.tensors[name])


def test_an_interruption_leaves_the_state_it_found(tmp_path):
    run = Run.create(tmp_path)
    records = loop.train(TINY, Pictures(), Pictures(12), run)
    for _ in range(2):
        next(records)
    with pytest.raises(KeyboardInterrupt):
        records.throw(KeyboardInterrupt())
    kept = weights.load(run.path / "last.safetensors")
    assert json.loads(kept.notes["training"])["update"] == 2
    assert not (run.path / "finished.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_an_update_waits_for_its_end(tmp_path, monkeypatch, number):
    """The handler that was there before is called between two updates, and what is saved is whole."""

    class Stop(KeyboardInterrupt):
        pass

    def stop(*_):
        raise Stop

    before = signal.signal(number, stop)
    try:
        run, count, update = Run.create(tmp_path), [], Plan.run

        def signalled(plan):
            count.append(plan)
            if len(count) == 2:
                os.kill(os.getpid(), number)
            return update(plan)

        monkeypatch.setattr(Plan, "run", signalled)
        records = loop.train(TINY, Pictures(), Pictures(12), run)
        with pytest.raises(Stop):
            list(records)
        monkeypatch.undo()
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, before)
    kept = weights.load(run.path / "last.safetensors")
    assert json.loads(kept.notes["training"])["update"] == 2
    other = Run.create(tmp_path)
    undisturbed = loop.train(TINY, Pictures(), Pictures(12), other)
    for _ in range(2):
        next(undisturbed)
    undisturbed.close()
    same = weights.load(other.path / "last.safetensors")
    assert all(np.array_equal(kept.tensors[name], same.tensors[name]) for name in kept.tensors)


def test_a_second_signal_is_obeyed_at_once():
    with SignalHandler() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.noted
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_weights_that_are_no_numbers_are_never_kept(tmp_path, monkeypatch):
    """Planted: the last update of the first epoch leaves NaN, which only validation can see."""
    run, plans, update = Run.create(tmp_path), [], Plan.run

    def spoiled(plan):
        outcome = update(plan)
        plans.append(plan)
        if len(plans) == 3:
            plan.parameters.arrays["conv2.weight", 0][...] = np.nan
        return outcome

    monkeypatch.setattr(Plan, "run", spoiled)
    with pytest.raises(Diverged, match="the loss is nan"):
        list(loop.train(TINY, Pictures(), Pictures(12), run))
    assert {file.name for file in run.path.iterdir()}.isdisjoint({"best.safetensors", "finished.json"})


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_the_training_and_spares_the_weights(tmp_path):
    run = Run.create(tmp_path)
    with pytest.raises(Diverged, match=r"the loss is (nan|inf) at update \d+: .*try --lr 1e\+07.*Dead filters: relu1"):
        list(loop.train(TINY.but(rate=1e8, epochs=40), Pictures(), Pictures(12), run))
    for name in ("last", "best"):
        if (run.path / f"{name}.safetensors").exists():
            assert weights.load(run.path / f"{name}.safetensors")
    assert not (run.path / "finished.json").exists()


@pytest.mark.slow
def test_a_stuck_loss_is_said_with_the_dead_filters(tmp_path, monkeypatch):
    """Nothing moves at a rate of zero, so the loss stays where the weights begin: near ln 3."""
    monkeypatch.setattr(initial, "draw", quiet_scores)
    recipe = TINY.but(rate=1e-12, batch=2, epochs=9, drop_epochs=(99,))
    run = Run.create(tmp_path)
    records = loop.train(recipe, Pictures(), Pictures(12), run)
    notices = [record for record in records if isinstance(record, loop.Notice)]
    assert notices[0].text.startswith("the loss stays at ln(3) = 1.099")
    assert "dead filters: relu1" in notices[0].text


def quiet_scores(net, seed):
    """Draw initial weights whose scores are almost all alike."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.01, shape).astype(np.float32) for name, shape in net.parameters().items()}


@pytest.mark.slow
def test_the_last_epoch_is_always_saved(tmp_path):
    _, run = trained(tmp_path, TINY.but(epochs=2))
    kept = weights.load(run.path / "last.safetensors")
    assert json.loads(kept.notes["training"])["update"] == 6


def test_the_description_is_written_first(tmp_path):
    run = Run.create(tmp_path)
    next(loop.train(TINY, Pictures(), Pictures(12), run, description={"data": "here"}))
    written = json.loads((run.path / "args.json").read_text())
    assert written["data"] == "here"
    assert restore.recipe(written["recipe"]) == TINY
    assert json.loads((run.path / "env.json").read_text())["cores"] >= 1


def best_epoch(path, monkeypatch, tops, **recipe):
    """Return the epoch whose weights are kept where validation gives these."""
    following = iter(tops)

    def scripted(model, pack, **_):
        named = np.where(np.arange(12) < 12 * next(following), pack.labels, -1)
        shares = np.ones(12, np.float32)
        return Evaluation(pack.classes, pack.names, pack.labels, named, shares, 12, loss=1.0)

    monkeypatch.setattr(loop, "evaluate", scripted)
    run = Run.create(path)
    with known():
        list(training(run, RECIPE.but(epochs=len(tops), drop_epochs=(99,), **recipe)))
    return run.outcome()["best_epoch"]


@pytest.mark.slow
def test_of_epochs_with_the_same_top1_the_first_or_the_last_is_the_best(tmp_path, monkeypatch):
    tops = [0.25, 0.75, 0.5, 0.75, 0.5]
    assert best_epoch(tmp_path, monkeypatch, tops, ties="first") == 2
    assert best_epoch(tmp_path, monkeypatch, tops, ties="last") == 4


@pytest.mark.slow
def test_equals_are_written_twenty_times_at_the_most_and_at_the_end(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(RunWriter, "save_best", lambda writer: not saved.append(writer.state.epoch))
    assert best_epoch(tmp_path, monkeypatch, [1.0] * 25, ties="last") == 25
    assert saved == [*range(1, 25, 2), 25]
