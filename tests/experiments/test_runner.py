"""Experiments as runs: they resume to the same result, and a training that diverges does not end the others."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from cualex.errors import OutputError
from cualex.experiments import compare, metrics, result, runner
from cualex.experiments import estimate as estimating
from cualex.experiments.compare import Row, Spread
from cualex.experiments.experiment import Arm, Experiment, Scale, Trial
from cualex.experiments.metrics import COLOURS, EPOCHS, ERRORS, UPDATES
from cualex.experiments.runner import Begin, Measured
from cualex.training import autoencoder, estimate
from cualex.training.finetuning import Start, begin
from cualex.training.recipes import PAPER
from cualex.training.records import Notice, Update
from cualex.training.run import Run
from tests.support.tiny_runs import RECIPE, Squares

pytestmark = pytest.mark.usefixtures("speck")

SETTINGS = {"device": "cpu", "precision": None, "compiling": None}


def toy(measure=ERRORS, seeds=1, **arms):
    """Return an experiment whose trainings take a tenth of a second."""
    arms = {name: arm if isinstance(arm, Arm) else Arm(arm) for name, arm in arms.items()}
    scale = Scale(RECIPE.but(epochs=2, colour_noise=0.0), "smaller", seeds=seeds)
    return Experiment(
        "toy", "A toy?", "Which?", "0", "nothing", arms or {"plain": Arm()}, measure, scale, scale, "Nothing."
    )


def records(experiment, place, **options):
    trials, pack = experiment.trials(experiment.scale), Squares()
    tested = pack if experiment.measure.on_training else Squares(12, seed=1)
    return runner.run(trials, experiment.measure, pack, tested, place, SETTINGS, **options)


def measured(experiment, place, **options):
    """Run all of an experiment, and return what was measured without the times."""
    found = [record for record in records(experiment, place, **options) if isinstance(record, Measured)]
    return [dataclasses.replace(each, seconds=0.0) for each in found]


TWO = {"plain": {}, "plainer": {"augment": False}}


# --- runs


@pytest.mark.slow
def test_a_stopped_experiment_goes_on_to_the_same_result(tmp_path):
    experiment = toy(seeds=2, **TWO)
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = measured(experiment, tmp_path / "whole")
    assert len(whole) == 4
    assert len({each.figures["test error, %"] for each in whole}) > 1
    for updates in (3, 8, 1, 15):
        some = records(experiment, tmp_path / "parts")
        for record in some:
            updates -= isinstance(record, Update)
            if not updates:
                break
        some.close()
    parts = measured(experiment, tmp_path / "parts")
    assert any(each.kept for each in parts)
    assert [dataclasses.replace(each, kept=False) for each in parts] == whole
    assert [each.kept for each in measured(experiment, tmp_path / "parts")] == [True] * 4
    for each in whole:
        logs = [
            [
                {key: value for key, value in json.loads(line).items() if not key.startswith("time_")}
                for line in (tmp_path / how / each.trial.name / "log.jsonl").read_text().splitlines()
            ]
            for how in ("whole", "parts")
        ]
        assert logs[0] == logs[1]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers_and_another_others(tmp_path):
    def losses(seeds, name):
        (tmp_path / name).mkdir()
        found = measured(toy(seeds=seeds), tmp_path / name)
        return [Run(tmp_path / name / each.trial.name).results()[-1]["val/loss"] for each in found]

    assert losses(2, "one") == (both := losses(2, "other"))
    assert both[0] != both[1]


@pytest.mark.slow
def test_more_seeds_keep_what_is_measured(tmp_path):
    measured(toy(), tmp_path)
    assert [each.kept for each in measured(toy(seeds=3), tmp_path)] == [True, False, False]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_one_that_diverges_is_reported_and_the_next_begins(tmp_path):
    experiment = toy(wild=Arm(rates=(1e30, 0.01)), plain=Arm())
    wild, tame, plain = measured(experiment, tmp_path)
    assert wild.diverged.startswith(("the loss is nan at update ", "the loss is inf at update "))
    assert wild.figures == {"test error, %": None, "training error, %": None}
    assert (tame.diverged, plain.diverged) == (None, None)
    again = measured(experiment, tmp_path)
    assert again[0] == dataclasses.replace(wild, kept=True)
    table = compare.rows(experiment, again)
    assert [(row.rate, row.missing, row.diverged, row.chosen) for row in table] == [
        (1e30, 1, 1, False), (0.01, 0, 0, True), (0.01, 0, 0, True),
    ]  # fmt: skip
    assert result.draw(experiment, again, table, tmp_path, 3).exists()


@pytest.mark.slow
@pytest.mark.parametrize("measure", [metrics.epochs_to(60.0), UPDATES], ids=["epochs", "updates"])
def test_a_training_ends_when_it_has_shown_what_is_asked(tmp_path, measure, monkeypatch):
    monkeypatch.setattr(metrics, "LEFT", 0.99)
    experiment = toy(measure, learns={"epochs": 40, "augment": False}, never={"rate": 1e-9})
    experiment.arms["never"] = Arm(rates=(1e-9,))
    learns, never = measured(experiment, tmp_path)
    assert never.figures[measure.columns[0]] is None
    assert never.epochs == 2
    assert 0 < learns.figures[measure.columns[0]] < 40 * 37 / 8
    assert learns.epochs < 40
    seen = metrics.errors if measure.goal else lambda run: [loss for _, loss in metrics.losses(run)]
    goal = measure.goal or 0.99 * np.log(3)
    *before, last = seen(Run(tmp_path / learns.trial.name))
    assert last <= goal < min([*before, np.inf])
    row = compare.rows(experiment, [learns, never])[1]
    assert row.missing == 1
    assert row.beyond == pytest.approx(getattr(never, measure.counts) / learns.figures[measure.columns[0]])
    assert result.draw(experiment, [learns, never], compare.rows(experiment, [learns, never]), tmp_path, 3)


def test_an_arm_starts_from_pre_trained_weights_and_does_so_once(tmp_path, monkeypatch):
    """All weights 0: a network that starts so has another loss than one that starts from drawn weights."""
    asked = []

    def start(recipe, pack, images, updates, **settings):
        asked.append((recipe.seed, len(images), updates, settings))
        yield autoencoder.Pretrained("conv1", 0.25, {})
        begun = begin(recipe, pack)
        return Start(dataclasses.replace(begun, tensors={k: 0 * v for k, v in begun.tensors.items()}), "none")

    monkeypatch.setattr(autoencoder, "start", start)
    experiment = toy(scratch={}, pretrained=Arm(pretrained=True))
    scale = dataclasses.replace(experiment.scale, unlabelled=(12, 5), recipe=experiment.scale.recipe.but(rate=1e-9))
    experiment = dataclasses.replace(experiment, scale=scale)
    unlabelled = Squares(12, seed=4)
    seen = list(records(experiment, tmp_path, unlabelled=unlabelled))
    notices = [each.text for each in seen if isinstance(each, Notice)]
    assert "conv1 gives back 75% of the variance of what it reads" in notices
    assert asked == [(0, 12, 5, {"device": "cpu", "precision": None})]
    losses = {arm: Run(tmp_path / f"{arm}-1e-09-0").results()[0]["val/loss"] for arm in experiment.arms}
    assert losses["pretrained"] == pytest.approx(np.log(3), abs=1e-5)  # results.csv has five digits
    assert losses["scratch"] != losses["pretrained"]
    list(records(experiment, tmp_path, unlabelled=unlabelled))
    assert len(asked) == 1


@pytest.mark.slow
def test_weights_go_when_a_training_is_measured_unless_they_are_to_be_kept(tmp_path):
    for keep in (False, True):
        place = tmp_path / str(keep)
        place.mkdir()
        (found,) = measured(toy(), place, keep_weights=keep)
        assert any((place / found.trial.name).glob("*.safetensors")) == keep
        assert (place / found.trial.name / "finished.json").exists()


@pytest.mark.slow
def test_filters_of_both_towers_are_kept_and_drawn(tmp_path):
    experiment = toy(COLOURS, seeds=2)
    found = measured(experiment, tmp_path)
    kept = np.load(tmp_path / found[0].trial.name / "filters.npy")
    assert kept.shape == (8, 3, 3, 3)
    picture = result.draw(experiment, found, compare.rows(experiment, found), tmp_path, 3)
    with Image.open(picture) as image:
        assert np.asarray(image.convert("L")).std() > 1


def test_the_time_is_that_of_all_updates_and_evaluations(monkeypatch):
    monkeypatch.setattr(estimate, "measure", lambda recipe, classes, **settings: estimate.Speed(0.5, 0.25))
    experiment = toy(seeds=3, **TWO)
    trials = experiment.trials(experiment.scale)
    took = estimating.seconds(trials, Squares(), Squares(12), SETTINGS)
    assert took == pytest.approx(6 * 2 * (37 / 8 * 0.5 + 12 / 32 * 0.25))


def test_a_few_updates_are_measured():
    experiment = toy()
    assert 0 < estimating.seconds(experiment.trials(experiment.scale), Squares(), Squares(12), SETTINGS) < 60


# --- directories


def test_the_same_description_goes_on_and_another_has_a_directory_of_its_own(tmp_path):
    first = runner.directory(tmp_path, "toy", {"epochs": 2, "rates": (1, 2)})
    assert first == tmp_path / "experiment-toy"
    assert runner.directory(tmp_path, "toy", {"epochs": 3}) == tmp_path / "experiment-toy-2"
    assert runner.directory(tmp_path, "toy", {"rates": [1, 2], "epochs": 2}) == first
    (first / "experiment.json").write_text("{")
    with pytest.raises(OutputError) as error:
        runner.directory(tmp_path, "toy", {"epochs": 2})
    assert str(error.value).startswith(f"{first}/experiment.json: cannot be read (Expecting ")
    assert str(error.value).endswith(f"). Remove {first}.")


def test_an_experiment_that_an_earlier_version_began_goes_on(tmp_path):
    """Its recipes lack the hyperparameters that there were not."""
    now = {"data": "toy", "recipes": {"arm": PAPER.described()}}
    earlier = {name: value for name, value in PAPER.described().items() if name not in ("warmup", "multipliers")}
    first = runner.directory(tmp_path, "toy", now)
    (first / "experiment.json").write_text(json.dumps({"data": "toy", "recipes": {"arm": earlier}}))
    assert runner.directory(tmp_path, "toy", now) == first
    other = {"data": "toy", "recipes": {"arm": PAPER.but(warmup=1.0).described()}}
    assert runner.directory(tmp_path, "toy", other) != first
    (first / "experiment.json").write_text(json.dumps({"data": "toy", "recipes": {"arm": {**earlier, "unheard": 3}}}))
    assert runner.directory(tmp_path, "toy", now) != first


@pytest.mark.parametrize("figures", ['{}, "more": 1', "{}", '{"another": 1.0}'])
def test_a_damaged_measurement_is_said(tmp_path, figures):
    trial = toy().trials(toy().scale)[0]
    (tmp_path / trial.name).mkdir()
    (tmp_path / trial.name / runner.MEASURED).write_text(
        f'{{"figures": {figures}, "diverged": null, "epochs": 1, "updates": 1, "seconds": 1.0}}'
    )
    with pytest.raises(OutputError, match=rf"measured\.json: cannot be read .*\. Remove {tmp_path}/plain-0\.01-0\."):
        runner.done(tmp_path, trial, ERRORS)


# --- the table


def made(arm, rate, seed, first, second=1.0, epochs=10, diverged=None):
    return Measured(Trial(arm, rate, seed, RECIPE), dict(zip(ERRORS.columns, (first, second), strict=True)),
                    diverged, epochs, 10 * epochs, 1.0)  # fmt: skip


def test_means_and_spreads_by_hand():
    assert compare.spread([]) is None
    assert compare.spread([3.0]) == Spread(3.0, None, 1)
    found = compare.spread([1.0, 2.0, 6.0])
    assert (found.mean, found.deviation, found.count) == (3.0, pytest.approx(7**0.5), 3)


def test_differences_are_taken_seed_by_seed():
    experiment = toy(base={}, other=Arm(paper="+1"))
    found = [made("base", 0.01, 0, 40.0), made("base", 0.01, 1, 60.0)]
    found += [made("other", 0.01, 1, 63.0), made("other", 0.01, 0, 41.0, 5.0)]
    base, other = compare.rows(experiment, found)
    assert (base.chosen, base.against, base.figures["test error, %"].mean) == (True, None, 50.0)
    assert other == Row(
        arm="other", rate=0.01, seeds=2, missing=0, diverged=0, chosen=True, paper="+1",
        figures={"test error, %": Spread(52.0, pytest.approx(15.556, abs=1e-3), 2),
                 "training error, %": Spread(3.0, pytest.approx(8**0.5), 2)},
        against=Spread(2.0, pytest.approx(2**0.5), 2),
    )  # fmt: skip


def test_the_best_rate_is_that_which_most_seeds_get_there_with():
    measure = dataclasses.replace(EPOCHS, columns=ERRORS.columns)
    experiment = toy(measure, base=Arm(rates=(1, 2, 3)), other=Arm(rates=(1, 2)))
    found = [
        made("base", 1, 0, 2.0),
        made("base", 1, 1, None),
        made("base", 2, 0, 4.0),
        made("base", 2, 1, 6.0),
    ]
    found += [made("base", 3, seed, 7.0) for seed in (0, 1)]
    found += [made("other", 1, 0, None, 40.0), made("other", 1, 1, None, 30.0)]
    found += [made("other", 2, 0, None, 36.0), made("other", 2, 1, None, 35.0)]
    table = compare.rows(experiment, found)
    assert [row.chosen for row in table] == [False, True, False, True, False]
    assert table[0].missing == 1
    assert (table[3].against, table[3].beyond) == (None, pytest.approx((10 / 4 + 10 / 6) / 2))
    assert compare.edges(experiment, table) == []
    found += [made("other", 3, 0, None, 34.0)]
    assert compare.edges(experiment, compare.rows(experiment, found)) == ["other"]
    reached = [*found[:6], made("other", 1, 0, 16.0), made("other", 1, 1, 12.0)]
    (last,) = (row for row in compare.rows(experiment, reached) if row.arm == "other")
    assert (last.against, last.beyond) == (Spread(3.0, pytest.approx(2**0.5), 2), None)


@pytest.mark.slow
def test_begin_says_which_and_how_many(tmp_path):
    begun = [record for record in records(toy(**TWO), tmp_path) if isinstance(record, Begin)]
    assert [(each.trial.name, each.number, each.total) for each in begun] == [
        ("plain-0.01-0", 1, 2),
        ("plainer-0.01-0", 2, 2),
    ]
