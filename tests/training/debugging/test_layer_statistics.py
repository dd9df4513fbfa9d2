"""What a training reads of its layers from time to time: sizes, changes, zeros, dead filters, and what is read."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from cualex import cli, weights
from cualex.cli import _training
from cualex.errors import OutOfMemory
from cualex.model import Model
from cualex.training import loop
from cualex.training.debugging import layer_statistics, watch
from cualex.training.debugging.layer_statistics import Activity, Figures, Input, Size
from cualex.training.debugging.watch import Watch
from cualex.training.records import Epoch
from cualex.training.run import Run
from tests.support import colour_network, tiny_runs
from tests.support.tiny_runs import Pictures, small_model

EVEN = np.arange(10).repeat(5)  # labels of ten classes


def test_what_the_network_reads_is_measured():
    model, pictures = small_model(), Pictures().pictures
    found = layer_statistics.read(model, pictures)
    values = pictures[:, 2:29, 2:29].astype(np.float64) - 100  # the mean picture of small_model
    assert found.mean == pytest.approx(values.mean(axis=(0, 1, 2)), abs=1e-4)
    assert found.deviation == pytest.approx(values.std(axis=(0, 1, 2)), abs=1e-4)
    assert not found.off_centre
    assert Input((-90.0, -100.0, -110.0), (60.0, 60.0, 60.0)).off_centre
    assert not Input((60.0, 0.0, -60.0), (60.0, 60.0, 60.0)).off_centre  # colours differ, brightness does not
    assert not Input((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)).off_centre  # images that are all alike


@pytest.mark.slow
def test_mean_weights_and_changes_are_those_of_the_run(tmp_path, speck):
    """The change is that of the last update: from the weights before it to the weights after it."""
    recipe, kept = tiny_runs.RECIPE.but(epochs=1), []
    for updates in (4, 5):  # 37 pictures in batches of 8: the fifth update is the last of the epoch
        run = Run.create(tmp_path)
        tiny_runs.stop(tiny_runs.training(run, recipe=recipe), updates)
        kept.append(weights.load(run.path / "last.safetensors").tensors)
    run = Run.create(tmp_path)
    records = list(tiny_runs.training(run, recipe=recipe, watched=True))
    (found,) = [record.layers for record in records if isinstance(record, Epoch)]
    assert set(found.sizes) == set(kept[1])
    for name, size in found.sizes.items():
        before, after = (tensors[name].astype(np.float64) for tensors in kept)
        assert size.mean == pytest.approx(np.abs(after).mean(), rel=1e-7)
        rounding = 2.0**-24 * np.abs(after).mean()  # of w + v
        assert size.change == pytest.approx(np.abs(after - before).mean(), abs=rounding, rel=1e-5)
        assert size.change > 0


def test_zeros_and_dead_filters_are_counted():
    """Filters 0 to 15 of 64 never fire; the others' shares are those of the maps themselves."""
    bias = np.zeros(64, np.float32)
    bias[:16] = -1e6
    model, pictures = small_model(**{"conv2.bias": bias}), Pictures().pictures
    found = layer_statistics.activity(model, pictures)
    assert list(found) == ["relu1", "relu2", "relu3"]
    for name, activity in found.items():
        maps = model.features(pictures, name)
        assert activity.zeros == pytest.approx((maps == 0).mean(), abs=1e-12)
        assert activity.dead == pytest.approx((maps.max(axis=(0, 2, 3)) == 0).mean(), abs=1e-12)
    assert found["relu2"].dead >= 0.25
    assert found["relu2"].zeros > found["relu1"].zeros > 0.1


@pytest.mark.slow
def test_looking_changes_no_bit(tmp_path, speck):
    ends = []
    for watched in (False, True):
        run = Run.create(tmp_path)
        list(tiny_runs.training(run, watched=watched))
        ends.append(tiny_runs.left(run))
    without, looked = ends
    lines = [line for line in looked["log"] if "layers" in line]
    assert len(lines) == tiny_runs.RECIPE.epochs
    for line in lines:
        del line["layers"]
    without["state"].pop("watch"), looked["state"].pop("watch")
    assert without == looked


@pytest.mark.slow
@pytest.mark.parametrize(
    "updates", [pytest.param(3, marks=pytest.mark.slow), 5, pytest.param(20, marks=pytest.mark.slow)]
)
def test_a_run_that_was_stopped_has_the_same_figures(tmp_path, monkeypatch, speck, updates):
    """It is time for a look after so many updates: a resumed run knows how many there were."""
    monkeypatch.setattr(watch, "UPDATES", 9)
    monkeypatch.setattr(watch, "SEEN", 2)
    ends = []
    for stops in ((), (updates,)):
        run = Run.create(tmp_path)
        for count in stops:
            tiny_runs.stop(tiny_runs.training(run), count)
        list(tiny_runs.training(run))
        ends.append(tiny_runs.left(run))
    assert ends[0] == ends[1]
    looked = [line["update"] for line in ends[0]["log"] if "layers" in line]
    assert looked == [10, 19, 28, 37]
    (first, *_) = [line["layers"] for line in ends[0]["log"] if "layers" in line]
    assert set(first["relus"]) == {"relu1", "relu2"}
    assert set(first["parameters"]["fc2.weight"]) == {"mean", "change"}
    assert first["pictures"] == 32


def test_a_look_is_at_most_a_hundredth_of_the_pictures_between():
    """Forward over p pictures is p / 3 of an update's work a picture."""
    quiet = Watch(EVEN, 32)
    for batch, epoch in ((8, 5), (128, 10), (1, 700)):
        looks = [update for update in range(epoch, 5000, epoch) if quiet.due(update, batch, watch.SHOWN)]
        assert looks
        between = np.diff([0, *looks])
        assert (watch.SHOWN / 3 / (between * batch)).max() < 0.0102
        assert between.min() >= watch.UPDATES
        quiet = Watch(EVEN, 32)
    assert all(Watch(EVEN, 32, every=True).due(update, 1, 32) for update in (1, 2, 3))


def test_the_cost_of_the_watch_is_below_two_per_cent():
    """Of the bytes of parameters that an update moves: w is read forward and backward, w and v read and written."""
    moved, read = 6, 2
    assert 1 / (3 * watch.SEEN) + read / moved / watch.UPDATES + read / moved / watch.CHECKED < 0.02


def test_a_training_that_fills_the_memory_goes_on_without_a_look_at_the_relus(tmp_path, monkeypatch, speck):
    """Planted: there is no room for a plan that keeps their outputs."""
    plan = Model.plan

    def full(model, batch, outputs=()):
        if "relu1" in outputs:
            raise OutOfMemory("no room")
        return plan(model, batch, outputs)

    monkeypatch.setattr(Model, "plan", full)
    records = list(tiny_runs.training(Run.create(tmp_path), recipe=tiny_runs.RECIPE.but(epochs=1), watched=True))
    (found,) = [record.layers for record in records if isinstance(record, Epoch)]
    assert not found.activity
    assert found.sizes["conv1.weight"].change > 0


def test_a_network_without_relus_is_looked_at_all_the_same():
    assert watch.dead_filters({}) == "not known"
    assert "--lr 0.03" in watch.diagnosis(2.3, 2.3, 10, {}, 0.01, 1000)


def test_padding_does_not_count(tmp_path):
    """The mean is over the canonical parameter, however an engine lays it out."""
    model = small_model()
    for name, size in layer_statistics.sizes(model.parameters, {}).items():
        tensor = model.parameters.unload()[name].astype(np.float64)
        assert size.mean == pytest.approx(np.abs(tensor).mean(), rel=1e-12)
        assert size.change == 0
    assert math.isfinite(sum(size.mean for size in layer_statistics.sizes(model.parameters, {}).values()))


@pytest.mark.slow
def test_both_engines_find_the_same(emulated, monkeypatch, tmp_path, speck):
    from cualex.devices import placement

    monkeypatch.setattr(placement, "CupyRuntime", lambda: emulated(streams="random", seed=1))
    recipe, looks = tiny_runs.RECIPE.but(epochs=1, batch=37), []
    for device, precision in (("cpu", None), ("cuda:0", "fp32"), ("cuda:0,cuda:0", "fp32")):
        settings = {"device": device, "precision": precision, "watched": True}
        records = list(
            loop.train(recipe, tiny_runs.Squares(), tiny_runs.Squares(4, seed=1), Run.create(tmp_path), **settings)
        )
        looks.append(next(record.layers for record in records if isinstance(record, Epoch)))
    host, one, two = looks
    assert one.activity == two.activity
    for other in (one, two):
        for name, size in host.sizes.items():
            assert other.sizes[name].mean == pytest.approx(size.mean, rel=1e-5)
            assert other.sizes[name].change == pytest.approx(size.change, rel=1e-3)
        for name, activity in host.activity.items():
            assert other.activity[name].zeros == pytest.approx(activity.zeros, abs=1e-3)


FOUND = Figures(
    ("conv1", "relu1", "fc2"),
    {
        "conv1.weight": Size(0.02, 0.00004),
        "conv1.bias": Size(0.0, 0.0),
        "fc2.weight": Size(0.5, 0.005),
        "fc2.bias": Size(1.0, None),
    },
    {"relu1": Activity(0.4567, 0.03125)},
    32,
    Input((-0.25, 0.5, 12.0), (50.0, 60.0, 70.0)),
)


def test_what_is_found_is_a_line_or_a_table():
    assert _training.layer_line(FOUND) == (
        "  update/weight ratio 2.0e-03 (conv1) to 1.0e-02 (fc2); zeros 46% to 46%; dead: relu1 3%"
    )
    lost = replace(FOUND, activity=FOUND.activity | {"relu2": Activity(1.0, 1.0)})
    assert _training.layer_line(lost).endswith(
        "; dead: relu1 3%, relu2 100%; all units of relu2 are dead: lower the learning rate"
    )
    assert _training.layer_table(FOUND) == [
        "  input: mean -0.2, 0.5, 12.0, deviation 50.0, 60.0, 70.0 (red, green, blue, in levels of 0 to 255)",
        "  layer          mean |w|       |dw|   mean |b|       |db|   zeros    dead",
        "  conv1         2.000e-02  4.000e-05  0.000e+00  0.000e+00",
        "  relu1                                                      45.7%    3.1%",
        "  fc2           5.000e-01  5.000e-03  1.000e+00",
    ]
    assert FOUND.document() == {
        "pictures": 32,
        "input": {"mean": [-0.25, 0.5, 12.0], "deviation": [50.0, 60.0, 70.0]},
        "parameters": {
            "conv1.weight": {"mean": 0.02, "change": 4e-05},
            "conv1.bias": {"mean": 0.0, "change": 0.0},
            "fc2.weight": {"mean": 0.5, "change": 0.005},
            "fc2.bias": {"mean": 1.0},
        },
        "relus": {"relu1": {"zeros": 0.4567, "dead": 0.03125}},
    }


@pytest.mark.slow
def test_the_command_prints_a_table_after_each_epoch(tmp_path):
    for name in colour_network.CLASSES:
        for number in range(4):
            colour_network.picture(tmp_path / f"set/{name}/{number}.png", name)
    words = [
        "train",
        str(tmp_path / "set"),
        "--network",
        "cifar-relu",
        "-b",
        "4",
        "--epochs",
        "2",
        "--output",
    ]
    result = CliRunner().invoke(cli.main, [*words, str(tmp_path), "--cache", str(tmp_path), "--watch"])
    assert result.exit_code == 0, result.output
    assert sum(line.startswith("  layer  ") for line in result.stderr.splitlines()) == 2
    assert sum(line.startswith("  relu3  ") for line in result.stderr.splitlines()) == 2
    assert json.loads((tmp_path / "train/args.json").read_text())["watch"] is True


def test_a_frozen_layer_has_not_moved(tmp_path, speck):
    """Its velocity stays what it was; the change of the weights is none."""
    run = Run.create(tmp_path)
    recipe = tiny_runs.RECIPE.but(epochs=2)
    list(tiny_runs.training(run, recipe=recipe.but(epochs=1)))
    records = list(tiny_runs.training(run, recipe=recipe.but(freeze=("conv1",)), watched=True))
    (found,) = [record.layers for record in records if isinstance(record, Epoch)]
    assert found.sizes["conv1.weight"].change == found.sizes["conv1.bias"].change == 0
    assert found.sizes["fc2.weight"].change > 0


def test_the_change_by_adam_is_not_made_up(tmp_path, speck):
    """It keeps no velocity, so that nothing is said of it; what it keeps is looked at all the same."""
    recipe = tiny_runs.RECIPE.but(epochs=1, optimizer="adam", rate=1e-3)
    records = list(tiny_runs.training(Run.create(tmp_path), recipe=recipe, watched=True))
    (found,) = [record.layers for record in records if isinstance(record, Epoch)]
    assert {size.change for size in found.sizes.values()} == {None}
    assert all(size.mean > 0 for size in found.sizes.values())
    assert "update/weight ratio" not in _training.layer_line(found)
